"""The tables, in Markdown."""

import platform
import re

from lib import measure

BEGIN, END = "<!-- figures: written by ./dev bench --write -->", "<!-- end of figures -->"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def number(value, digits=0, unit=1.0):
    return "–" if value is None else f"{value / unit:,.{digits}f}"


def shape_in_words(shape):
    rooms, members, window = re.search(r"(\d+)x(\d+):(\d+)", shape).groups()
    return f"{rooms} × {members}, window {window}"


def names_of(bench, group):
    return [s.name for s in bench.servers if any(r["group"] == group and r["server"] == s.name for r in bench.results)]


def fan_out(bench, shapes, group):
    """CPU of the server for each delivery in ns, and as a multiple of the floor."""
    names = names_of(bench, group)
    rows = []
    for shape in shapes:
        row = [shape_in_words(shape)]
        for name in names:
            cell = number(bench.median(shape, name, "ns_per_delivery"))
            ratio = bench.ratio((shape, name), (shape, "floor")) if name != "floor" else None
            row.append(cell + (f" ({ratio:.2f})" if ratio else ""))
        rows.append(row)
    return table(["rooms × members", *names], rows)


def speed(bench, shapes):
    """chatd alone: what the same runs delivered, and how long it took."""
    rows = []
    for shape in shapes:
        def of(key, digits=0, at=shape):
            return number(bench.median(at, "chatd", key), digits)
        share = bench.median(shape, "chatd", "user_share")
        rows.append([shape_in_words(shape), of("deliveries_per_s"), of("us_p50"), of("us_p99"), of("us_p999"),
                     number(share, 0, 0.01) + " %", of("server_cores", 2)])
    return table(["chatd", "deliveries/s", "p50 µs", "p99 µs", "p99.9 µs", "user part of its CPU", "cores it used"], rows)


def memory(bench, shapes):
    rows = []
    for shape in shapes:
        for name in names_of(bench, "memory"):
            kib = bench.median(shape, name, "bytes_per_connection")
            if kib is not None:
                rows.append([f"{name}, {'TLS' if shape.startswith('tls:') else 'plain'}", number(kib, 2, 1024),
                             number(bench.median(shape, name, "memory_before"), 0, 1024),
                             number(bench.median(shape, name, "cpu_us_per_connection"), 1)])
    return table([f"{measure.IDLE:,} connections", "KiB each", "KiB before the first", "CPU µs to make one"], rows)


def reactors(bench, shapes):
    rows = []
    for shape in shapes:
        one, two = (bench.median(shape, "chatd", "ns_per_delivery", n) for n in (1, 2))
        rows.append([shape_in_words(shape), number(one), number(two),
                     number(bench.ratio((shape, "chatd", 2), (shape, "chatd", 1)), 2),
                     number(bench.median(shape, "chatd", "deliveries_per_s", 1)),
                     number(bench.median(shape, "chatd", "deliveries_per_s", 2))])
    return table(["one room on both", "ns, 1 reactor", "ns, 2 reactors", "ratio", "deliveries/s, 1", "deliveries/s, 2"],
                 rows)


def scale_in_words(shape):
    rooms, members, bystanders, each = re.search(r"(\d+)x(\d+):\d+\+(\d+)(?:\*(\d+))?", shape).groups()
    if each:
        return f"{int(rooms) * int(each)} × {members}, each in {each}"
    return f"{rooms} × {members}, {int(bystanders):,} silent"


def scaling(bench, shapes):
    rows = []
    for what, (small, large) in measure.SCALING.items():
        if small not in shapes or large not in shapes:
            continue
        growth = {name: bench.ratio((large, name), (small, name)) for name in ("floor", "chatd")}
        for name in names_of(bench, "scaling"):
            over = growth[name] / growth["floor"] if growth[name] and growth["floor"] else None
            rows.append([f"{what}, {name}", scale_in_words(small), scale_in_words(large),
                         number(bench.median(small, name, "ns_per_delivery")),
                         number(bench.median(large, name, "ns_per_delivery")),
                         number(growth[name], 2), number(over, 2)])
    return table(["what grows", "from", "to", "ns before", "ns after", "ratio", "beside the floor's"], rows)


def beside_itself(bench, group, shapes):
    """chatd with something switched on, against without."""
    name = measure.servers.VARIANTS[group].name
    rows, off, on = [], 0, 0

    def add(what, key, shape, times):
        nonlocal off, on
        without, with_it = bench.median(shape, "chatd", key), bench.median(shape, name, key)
        if without is None or with_it is None:
            return
        off, on = off + without * times, on + with_it * times
        rows.append([what, number(without, 1), number(with_it, 1),
                     number(bench.ratio((shape, name), (shape, "chatd"), key), 2)])

    for shape in shapes:
        if shape.endswith("lives"):
            add("a connection made, in µs", "cpu_us_per_connection", shape, measure.IDLE * 1000)
            add("a connection closed, in µs", "us_to_close", shape, measure.IDLE * 1000)
        else:
            add(f"a delivery, {shape_in_words(shape)}, in ns", "ns_per_delivery", shape,
                (bench.median(shape, "chatd", "deliveries_per_s") or 0) * bench.seconds)
    if on and len(rows) > 1:
        rows.append(["all of that load together, in s", number(off, 2, 1e9), number(on, 2, 1e9), number(on / off, 2)])
    return table(["server CPU of", "chatd", name, "ratio"], rows)


def machine(bench, rounds):
    cpu, mem = "?", 0
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        text = f.read()
        found = re.search(r"model name\s*: (.*)", text)
        cpu = found.group(1) if found else platform.machine()
        cores = len(re.findall(r"^processor", text, re.M))
    with open("/proc/meminfo", encoding="utf-8") as f:
        mem = int(re.search(r"MemTotal: *(\d+)", f.read()).group(1)) / 1024 / 1024
    versions = "; ".join(f"{s.name}: {s.version()}" for s in bench.servers if s.name != "floor")
    return (f"{cores} cores of {cpu}, {mem:.1f} GiB, Linux {platform.release()}. {versions}. Medians of {rounds} rounds, "
            f"{bench.seconds:g} s each.")


def markdown(bench, groups, rounds):
    """Everything that was measured."""
    parts = [machine(bench, rounds)]
    if "fan-out" in groups:
        parts += ["Server CPU for each delivery in ns, and in brackets as a multiple of the floor:",
                  fan_out(bench, groups["fan-out"], "fan-out"), speed(bench, groups["fan-out"])]
    if "tls" in groups:
        parts += ["The same with TLS 1.3 (the floor is plain):", fan_out(bench, groups["tls"], "tls")]
    if "memory" in groups:
        parts += ["Memory (Pss) of an idle connection that is in one room, and what it took to make it:",
                  memory(bench, groups["memory"])]
    if "reactors" in groups:
        parts += ["Two reactors against one; server and load share all cores:", reactors(bench, groups["reactors"])]
    if "scaling" in groups:
        parts += ["Server CPU for each delivery as one thing grows tenfold and the others stay:",
                  scaling(bench, groups["scaling"])]
    if "tracing" in groups:
        parts += [f"chatd with an event log of its connections (`--trace`), against without; lives: {measure.IDLE:,} "
                  "connections made and closed:", beside_itself(bench, "tracing", groups["tracing"])]
    if "disk" in groups:
        parts += ["chatd with its history on disk, against in memory:", beside_itself(bench, "disk", groups["disk"])]
    if bench.missing:
        parts.append("Not installed, so not measured: " + ", ".join(bench.missing) + ".")
    return "\n\n".join(parts) + "\n"


def write(path, text):
    """Puts text between the markers of a page."""
    with open(path, encoding="utf-8") as f:
        page = f.read()
    before, rest = page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
