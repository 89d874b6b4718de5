"""trace.py: the event logs of both programs, their schema, and what chat-trace makes of them."""
import json
import pathlib
import re
import socket
import struct
import subprocess
import sys
import time
import unicodedata

from lib import both, check, equal

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(t, *args, status=0):
    done = subprocess.run([str(t.build / "chat-trace"), *map(str, args)], capture_output=True, text=True, timeout=20,
                          env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})
    equal(done.returncode, status, f"exit code of chat-trace {' '.join(map(str, args))}: {done.stderr}")
    return done.stdout


def chat(t, s, log, *args, text="hello\n"):
    """A chat that says something and ends its side first."""
    done = subprocess.run([str(t.build / "chat"), "-n", "ann", "--trace", log, "--known-hosts", t.path("known"), *args,
                           f"127.0.0.1:{s.port}"], input=text, capture_output=True, text=True, timeout=20)
    equal(done.returncode, 0, done.stderr)


def keeps_schema(*paths):
    files = [str(f) for p in map(pathlib.Path, paths) for f in (sorted(p.glob("*.sqlog")) if p.is_dir() else [p])]
    done = subprocess.run([sys.executable, str(ROOT / "tests" / "qlog_check.py"), *files], capture_output=True, text=True,
                          timeout=20)
    check(done.returncode == 0 and done.stdout.endswith(" 0 errors\n"), done.stdout)


def width(line):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


@both
def test_a_graceful_end_from_both_sides(t):
    """chat ends first and reads on: both sides' calls and states are in one ladder, at every width."""
    trace, log = t.path("trace"), t.path("chat.sqlog")
    s = t.server(trace=trace, trace_detail="messages")
    chat(t, s, log, *(["--tls"] if t.tls else []))
    s.stop()
    keeps_schema(trace, log)
    out = run(t, "show", trace, log, "--width", 120, "--evidence")
    words = ["socket()", "connect()", "accept", "shutdown(WR)", "FIN_WAIT1", "CLOSE_WAIT", "TIME_WAIT*", "close()", "recv = 0",
             "GRACEFUL", "The client closed first.", "came after its FIN"]
    for word in words:
        check(word in out, f"{word} is missing in\n{out}")
    check(("TLS handshake" in out) == t.tls, out)
    for columns in (60, 80, 120, 200):
        for form in ("terminal", "ascii"):
            out = run(t, "show", trace, log, "-w", columns, "-f", form, "--color", "never", "-e")
            check(all(width(line) <= columns for line in out.splitlines()), f"too wide for {columns}:\n{out}")
            check(form != "ascii" or out.isascii(), out)


def messages(*paths):
    """(direction, type) of each chat:message."""
    events = [json.loads(r) for p in paths for r in p.read_text(encoding="utf-8").split("\x1e")[1:]]
    return [(e["data"]["direction"], e["data"]["type"]) for e in events if e.get("name") == "chat:message"]


@both
def test_messages_both_ways(t):
    """On request each line is in the event log of both programs, as sent where it leaves and as received where it comes."""
    trace, log = pathlib.Path(t.path("trace")), pathlib.Path(t.path("chat.sqlog"))
    s = t.server(trace=trace, trace_detail="messages")
    chat(t, s, log, "--trace-detail", "messages", *(["--tls"] if t.tls else []))
    s.stop()
    keeps_schema(trace, log)
    server, client = messages(*trace.glob("*.sqlog")), messages(log)
    turned = [("sent" if way == "received" else "received", what) for way, what in client]
    for what in ("hello", "join", "send"):
        check(("sent", what) in client, f"{what} was not sent: {client}")
    for what in ("welcome", "joined", "msg"):
        check(("received", what) in client, f"{what} has not come: {client}")
    equal(sorted(server), sorted(turned))
    equal(messages(log)[0], ("sent", "hello"))


def test_no_messages_unless_asked(t):
    trace, log = pathlib.Path(t.path("trace")), pathlib.Path(t.path("chat.sqlog"))
    s = t.server(trace=trace)
    chat(t, s, log)
    s.stop()
    equal(messages(log, *trace.glob("*.sqlog")), [])


def test_each_format_is_whole(t):
    trace, log = t.path("trace"), t.path("chat.sqlog")
    s = t.server(trace=trace)
    chat(t, s, log)
    s.stop()
    svg, html = run(t, "show", trace, log, "-f", "svg"), run(t, "show", trace, log, "-f", "html")
    check(svg.startswith("<svg") and svg.endswith("</svg>\n"), svg[:200])
    check("@DATA@" not in html and "GRACEFUL" in html and "http://" not in html.replace("http://www.w3.org/2000/svg", ""),
          "the page needs something else")
    check(run(t, "show", trace, log, "-f", "mermaid").startswith("sequenceDiagram\n"))
    run(t, "show", trace, log, "-f", "pcapng", status=1)


def test_resets_are_told_apart(t):
    """One that lingers for 0, one that comes for a socket that is gone."""
    trace = t.path("trace")
    s = t.server(trace=trace)
    linger = socket.create_connection(("127.0.0.1", s.port))
    linger.sendall(b'{"type":"hello","id":"1","nick":"ann","version":1}\n')
    linger.recv(10000)
    port = linger.getsockname()[1]
    linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    linger.close()
    s.log.wait(event="close", peer=f"127.0.0.1:{port}")
    s.stop()
    keeps_schema(trace)
    out = run(t, "show", trace, "--conn", f"127.0.0.1:{port}")
    check("ABORTED" in out and "The client sent RST" in out and "ECONNRESET" in out, out)


def test_many_connections_are_listed_first(t):
    trace = t.path("trace")
    s = t.server(trace=trace, threads=2)
    for i in range(12):
        c = s.connect(f"n{i}")
        c.fin()
        c.ends_with("eof")
    s.stop()
    keeps_schema(trace)
    out = run(t, "show", trace)
    equal(len(out.splitlines()), 12)
    check(all("GRACEFUL" in line for line in out.splitlines()), out)
    check(re.search(r"^#7 ", run(t, "show", trace, "--conn", 7)), "not the seventh")
    run(t, "show", trace, "--conn", 13, status=1)


def test_bad_files_are_named(t):
    """Cut, garbled, of another kind, empty, not there: a clear error, and what is whole is shown."""
    trace, log = t.path("trace"), pathlib.Path(t.path("chat.sqlog"))
    s = t.server(trace=trace)
    chat(t, s, str(log))
    s.stop()
    whole = log.read_bytes()
    cut, garbled = pathlib.Path(t.path("cut.sqlog")), pathlib.Path(t.path("garbled.sqlog"))
    cut.write_bytes(whole[:-30])
    middle = whole.index(b"shutdown")
    garbled.write_bytes(whole[:middle] + b"\x00{{{" + whole[middle + 4:])
    for path, word in ((cut, "cut"), (garbled, "left out")):
        done = subprocess.run([str(t.build / "chat-trace"), "show", str(path)], capture_output=True, text=True, timeout=20)
        equal(done.returncode, 0, done.stderr)
        check(word in done.stderr and "connect" in done.stdout, done.stderr)
    pathlib.Path(t.path("young.sqlog")).touch()  # a program has made it, and had nothing to write yet
    done = subprocess.run([str(t.build / "chat-trace"), "show", t.path("young.sqlog"), str(log)], capture_output=True, text=True,
                          timeout=20)
    equal(done.returncode, 0, done.stderr)
    check("young.sqlog: it is empty" in done.stderr and "connect" in done.stdout, done.stderr)
    run(t, "show", t.path("young.sqlog"))
    for name, data in (("text", b"hello\n"), ("empty", b""), ("noise", bytes(range(256)) * 20)):
        path = pathlib.Path(t.path(name))
        path.write_bytes(data)
        run(t, "show", path, status=1)
    run(t, "show", t.path("not-there"), status=1)


def test_live_sees_a_half_closed_connection(t):
    trace = t.path("trace")
    s = t.server(trace=trace)
    c = s.connect("ann", hello={"on_eof": "stay"})
    c.fin()
    time.sleep(0.4)
    out = run(t, "live", "--once", "--width", 200, trace)
    check("HALF-CLOSED CLOSE_WAIT" in out and "1 open" in out, out)


def event_log(path, *events):
    """An event log with these (seconds ago, name, id, data), of a server."""
    now = time.time()
    epoch = int(now) - 1000
    head = {"file_schema": "urn:ietf:params:qlog:file:sequential", "serialization_format": "application/qlog+json-seq",
            "trace": {"common_fields": {"time_format": "relative_to_epoch", "host": "here", "reference_time": {
                "clock_type": "system", "epoch": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))}},
                "vantage_point": {"name": "a test", "type": "server"}, "event_schemas": ["urn:x-chatd:qlog:2026-11-28:tcp"]}}
    records = [head] + [{"time": (now - ago - epoch) * 1000, "name": name, "group_id": who, "data": data}
                        for ago, name, who, data in events]
    pathlib.Path(path).write_text("".join("\x1e" + json.dumps(r) + "\n" for r in records), encoding="utf-8")


CLOSED = {"ended_first": "peer", "how": "graceful", "reason": "eof", "bytes_in": 1, "bytes_out": 1}
EVIL = "\x1b[2Jevil\x9b31m\u009b32m\x07"


def test_no_text_reaches_the_terminal_as_a_command(t):
    """Ids, reasons and details of a file are shown in the list, in the ladder and live, but obeyed nowhere."""
    ends = {"local": "127.0.0.1:7000", "peer": "127.0.0.1:5000", "cookie": "0" * 15 + "1"}
    event_log(t.path("evil.sqlog"), (5, "tcp:connection", EVIL, ends),
              (4, "app:call", EVIL, {"call": EVIL, "ret": -1, "errno": EVIL, "detail": EVIL}),
              (3, "tcp:reset", EVIL, {"direction": "sent", "why": EVIL}),
              (2, "app:closed", EVIL, {**CLOSED, "how": EVIL, "reason": EVIL}))
    for args in (("show", "-l"), ("show", "-e"), ("show", "-f", "ascii"), ("show", "-f", "mermaid"), ("show", "-f", "svg"),
                 ("live", "--once", "--width", 200)):
        out = run(t, *args, t.path("evil.sqlog"))
        check("evil" in out, out)
        bad = [c for c in out if (c < " " and c != "\n") or "\x7f" <= c <= "\x9f"]
        check(not bad, f"{args}: {bad} in {out!r}")


def test_live_with_many_files(t):
    """A hundred files of the past need no descriptor each, and those who ended long ago are only counted."""
    (directory := pathlib.Path(t.path("trace"))).mkdir()
    for i in range(100):
        event_log(directory / f"server-{i:03}.sqlog", (500, "app:closed", f"old-{i}", CLOSED))
    event_log(directory / "server-zz.sqlog", (1, "tcp:state_updated", "new", {"new": "ESTABLISHED", "source": "tcp_info"}),
              (0, "app:closed", "last", CLOSED))
    done = subprocess.run(["sh", "-c", 'ulimit -n 40; exec "$0" live --once "$1"', str(t.build / "chat-trace"), str(directory)],
                          capture_output=True, text=True, timeout=20)
    equal(done.returncode, 0, done.stderr)
    check(done.stdout.startswith("1 open, 102 in all"), done.stdout)
    check("○ graceful (eof)" in done.stdout and "last" in done.stdout, done.stdout)


def test_live_goes_on_with_another_file_of_that_name(t):
    """chat --trace begins its file anew."""
    path = pathlib.Path(t.path("chat.sqlog"))
    up = {"new": "ESTABLISHED", "source": "tcp_info"}
    event_log(path, *[(1, "tcp:state_updated", f"first-{i}", up) for i in range(20)])
    with subprocess.Popen([str(t.build / "chat-trace"), "live", "--interval", "50", "--width", "100", str(path)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as live:
        try:
            while "first-19" not in live.stdout.readline():
                pass
            event_log(path, (1, "tcp:state_updated", "second", up))
            while "second" not in (line := live.stdout.readline()):
                check(line, live.stderr)
        finally:
            live.terminate()


def test_live_names_what_is_no_log(t):
    for name, data in (("text", b"hello\n"), ("json", b'\x1e{"a":1}\n'), ("noise", bytes(range(256)) * 20)):
        path = pathlib.Path(t.path(name))
        path.write_bytes(data)
        done = subprocess.run([str(t.build / "chat-trace"), "live", "--once", str(path)], capture_output=True, text=True, timeout=20)
        equal(done.returncode, 1, done.stdout)
        check("no event log" in done.stderr, done.stderr)


def test_one_page_holds_one_connection(t):
    """Formats that hold one connection refuse to be given all; the others take them."""
    event_log(t.path("two.sqlog"), *[(9 - i, "tcp:connection", f"c{i}", {"local": "127.0.0.1:7000", "peer": f"127.0.0.1:500{i}",
                                     "cookie": f"{i:016x}"}) for i in range(2)],
              *[(5, "app:closed", f"c{i}", CLOSED) for i in range(2)])
    for form in ("html", "svg", "mermaid"):
        done = subprocess.run([str(t.build / "chat-trace"), "show", "--all", "-f", form, "-o", t.path("out"), t.path("two.sqlog")],
                              capture_output=True, text=True, timeout=20)
        equal(done.returncode, 2, done.stderr)
        check("--conn" in done.stderr and not pathlib.Path(t.path("out")).exists(), done.stderr)
        run(t, "show", "-f", form, "--conn", "2", t.path("two.sqlog"))
    check(run(t, "show", "--all", t.path("two.sqlog")).count("\n#") == 1)


def test_numbers_of_any_size(t):
    """A file may claim any number: what is shown is the nearest that there is."""
    huge = {"rtt": 1e300, "rto": -1e300, "unacked": 1e99, "acked": 1e99, "received": -5, "cwnd": 1e12, "snd_wnd": 4e9}
    ends = {"local": "127.0.0.1:7000", "peer": "127.0.0.1:5000", "cookie": "0" * 15 + "1", "client_isn": 1e30}
    event_log(t.path("huge.sqlog"), (5, "tcp:connection", "c", ends), (4, "app:call", "c", {"call": "send", "ret": 1e300, "info": huge}),
              (-1e300, "app:call", "c", {"call": "recv", "ret": -1e300, "info": huge}), (3, "app:closed", "c", CLOSED))
    check("send" in run(t, "show", t.path("huge.sqlog")))
    check("rtt 4294967295 us" in run(t, "show", "-f", "html", t.path("huge.sqlog")))
    run(t, "live", "--once", t.path("huge.sqlog"))


def test_another_schema_is_named(t):
    path = pathlib.Path(t.path("old.sqlog"))
    event_log(path, (5, "app:closed", "c", CLOSED))
    path.write_text(path.read_text().replace("2026-11-28:tcp", "2026-11:tcp"))
    done = subprocess.run([str(t.build / "chat-trace"), "show", "-l", str(path)], capture_output=True, text=True, timeout=20)
    check("urn:x-chatd:qlog:2026-11:tcp" in done.stderr, done.stderr)
