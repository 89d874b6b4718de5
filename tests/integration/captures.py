"""captures.py: what chat-trace makes of captures: its own, tshark's view of the same, foreign ones, broken ones."""
import datetime
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys

from lib import Skip, check, equal, seconds
from lib.trace import ACK, FIN, SYN, chat_trace, connections, read_capture, record

CONVERSATION = r"""
set -eu
"$1/chatd" --listen 127.0.0.1:0 --port-file "$2/ports" --data memory --log "$2/chatd.log" & server=$!
while [ ! -s "$2/ports" ]; do sleep 0.02; done
"$1/chat" --plain --json -n ann -r general --log "$2/ann.log" "127.0.0.1:$(cat "$2/ports")" <"$2/input" >"$2/output"
kill "$server"; wait "$server"
"""
FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32}


def have_conversation(t):
    """chat says some things, asks for a lot, and ends its side; recorded in a directory, which is returned."""
    requests = [{"type": "send", "room": "general", "text": f"line {i} {'x' * 300}"} for i in range(40)]
    requests += [{"type": "history", "room": "general", "limit": 100, "id": f"h{i}"} for i in range(10)]
    with open(t.path("input"), "w", encoding="utf-8") as f:
        f.write("".join(json.dumps(r) + "\n" for r in requests))
    record(t, t.path("out"), "sh", "-c", CONVERSATION, "sh", t.build, t.dir)
    return t.path("out")


def ladder_rows(text):
    """(from the client, flags, seq, length, ack) of each segment of a wide ladder."""
    for line in text.splitlines():
        cells = [cell for cell in re.split("[│┊]", line) if "▶" in cell or "◀" in cell]
        if not cells:
            continue
        body = re.sub("[─═┄]", " ", cells[0])
        found = re.search(r"((?:[A-Z]{3},?)+) (\d+)(?::(\d+))?(?: ack=(\d+))?", body)
        if found:
            flags = sum(FLAGS[f] for f in found[1].split(","))
            length = int(found[3]) - int(found[2]) if found[3] else 0
            yield "▶" in body, flags, int(found[2]), length, int(found[4] or 0)


def tshark_rows(capture):
    if not shutil.which("tshark"):
        raise Skip("tshark is not installed")
    fields = ["frame.time_epoch", "tcp.srcport", "tcp.dstport", "tcp.flags", "tcp.seq", "tcp.len", "tcp.ack"]
    said = subprocess.run(["tshark", "-r", capture, "-T", "fields", *(x for f in fields for x in ("-e", f))], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    lines = sorted((line.split("\t") for line in said.splitlines()), key=lambda line: line[0])  # two cores write as they come
    rows = [[int(x, 0) for x in line[1:]] for line in lines]
    server = rows[0][1]
    return [(r[1] == server, r[2] & 0x3f, r[3], r[4], r[5]) for r in rows]


@seconds(60)
def test_same_as_tshark(t):
    """Every segment in the ladder is in tshark's list of the same capture, with the same numbers, and none is missing."""
    out = have_conversation(t)
    theirs = tshark_rows(out + "/wire.pcap")
    ours = list(ladder_rows(chat_trace(t, "show", "-w", 240, out).stdout))
    check(len(theirs) >= 20, f"only {len(theirs)} segments")
    equal(ours, theirs)


@seconds(60)
def test_half_close_is_told(t):
    said = chat_trace(t, "show", have_conversation(t)).stdout
    check("GRACEFUL" in said and "The client closed first" in said and "bytes came after its FIN" in said, said[-600:])
    for call in ("shutdown(WR)", "accept()", "connect()"):
        check(call in said, f"{call} is not there:\n{said[:3000]}")


def as_of_another_host(source, target, ahead_s, skew):
    """That event log, as a machine would have written it whose clock is so far ahead and runs faster by that."""
    with open(source, encoding="utf-8") as f:
        records = [json.loads(r) for r in f.read().split("\x1e")[1:]]
    common = records[0]["trace"]["common_fields"]
    epoch = datetime.datetime.fromisoformat(common["reference_time"]["epoch"].replace("Z", "+00:00"))
    common["host"] = "another"
    common["reference_time"]["epoch"] = (epoch + datetime.timedelta(seconds=ahead_s)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for r in records[1:]:
        r["time"] *= 1 + skew
    with open(target, "w", encoding="utf-8") as f:
        f.write("".join("\x1e" + json.dumps(r) + "\n" for r in records))


def told(t, *paths):
    """(ms, whether it has a segment, the server's call) of each row that has one of chatd's."""
    rows = []
    for line in chat_trace(t, "show", "-w", 240, *paths).stdout.splitlines():
        found = re.match(r" *(\d+\.\d+) .*[│┊](.*)[│┊] .* ((?:send|recv|accept|shutdown|close)\S*(?: [=\d ]+)?)", line)
        if found:
            rows.append((float(found[1]), bool(found[2].strip()), found[3].strip()))
    return rows


@seconds(60)
def test_two_hosts(t):
    """A real conversation whose server's clock is made 7.25 s ahead, or behind, and 100 ppm too fast: its calls stand
    again where they were in the ladder of one clock, as exactly as both ways took alike on a machine that has other things to do."""
    out = have_conversation(t)
    logs = sorted(pathlib.Path(out).glob("*.sqlog"))
    server = [p for p in logs if p.name.startswith("server-") and b'"accept4"' in p.read_bytes()]
    others = [p for p in logs if p not in server] + [pathlib.Path(out) / "wire.pcap"]
    wanted = told(t, *server, *others)
    check(len(wanted) >= 10 and wanted[0][2].startswith("accept") and wanted[-1][2].startswith("close"), wanted)
    for ahead in (7.25, -7.25):
        moved = []
        for i, p in enumerate(server):
            moved.append(t.path(f"moved{i}.sqlog"))
            as_of_another_host(p, moved[-1], ahead, 1e-4)
        got = told(t, *moved, *others)
        equal([r[2] for r in got], [r[2] for r in wanted], "the server's calls")
        apart = [abs(a[0] - b[0]) for a, b in zip(got, wanted)]
        check(max(apart) < 20, f"{ahead} s: {max(apart):.3f} ms off")


STRANGERS = r"""
import socket
for i in range(200):
    with socket.create_server(("127.0.0.1", 0)) as l, socket.create_connection(l.getsockname()) as c:
        l.accept()[0].close()
"""
OWN = r"""
import socket, sys
def port(s):
    print(s.getsockname()[1], flush=True)
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    for i in range(5):
        with socket.create_server((host, 0), family=family) as l, socket.create_connection(l.getsockname()[:2]) as c:
            port(c)
            l.accept()[0].close()
        with socket.socket(family) as s:
            s.bind((host, 0))
            port(s)
            s.connect_ex((host, 1))
"""


@seconds(60)
def test_strangers_are_left_out(t):
    """As root: of a command whose connections last microseconds none is missing, and none of the others' is there."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    with subprocess.Popen([sys.executable, "-c", STRANGERS * 5]) as stranger:
        done = chat_trace(t, "record", "--quiet", "-o", t.path("out"), "--", sys.executable, "-c", OWN)
        stranger.wait()
    if "captured" in done.stderr or "network of its own" in done.stderr:
        raise Skip(done.stderr)
    wanted = sorted(map(int, done.stdout.split()))
    said = chat_trace(t, "show", "--list", t.path("out")).stdout
    got = sorted(int(re.search(r"(\d+) > ", line)[1]) for line in said.splitlines())
    check(set(got) <= set(wanted), f"others' connections were kept: {said}")
    if "too short" not in done.stderr:
        equal(got, wanted, said)
        resets = [line for line in said.splitlines() if "REFUSED" in line]
        equal(len(resets), 10, f"an RST is missing: {said}")


# ---- foreign captures ----

FOREIGN = r"""
cd "$1"
echo "a page" > page
python3 -m http.server --bind 127.0.0.1 8123 >/dev/null 2>&1 & server=$!
for i in 1 2 3 4 5 6 7 8 9 10; do curl -s -o got http://127.0.0.1:8123/page && break; sleep 0.2; done
kill "$server"
cmp page got
"""


def foreign(t):
    """What a curl and some other server had to say, without any log of ours."""
    if not shutil.which("curl"):
        raise Skip("curl is not installed")
    record(t, t.path("foreign.pcap"), "sh", "-c", FOREIGN, "sh", t.dir)
    return t.path("foreign.pcap")


@seconds(60)
def test_curl(t):
    path = foreign(t)
    done = [c for c in connections(read_capture(path)).values() if any(s.len for s in c)]
    equal(len(done), 1, "connections with data")
    said = chat_trace(t, "show", "--list", path).stdout
    line, = [x for x in said.splitlines() if "GRACEFUL" in x]
    number = line.split()[0]
    rows = list(ladder_rows(chat_trace(t, "show", "-w", 240, "--conn", number, path).stdout))
    equal(len(rows), len(done[0]), "segments")
    for row, s in zip(rows, done[0]):
        equal((row[1], row[3]), (s.flags & 0x3f, s.len))


def ethernet_packets(path):
    """(time in ns, the IP packet) of each."""
    with open(path, "rb") as f:
        data = f.read()
    at = 24
    while at < len(data):
        sec, ns, caught, _ = struct.unpack_from("=IIII", data, at)
        yield sec * 10**9 + ns, data[at + 30:at + 16 + caught]
        at += 16 + caught


def pcap(packets, order, magic, unit, link, head):
    out = struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, 262144, link)
    for time, ip in packets:
        p = head + ip
        out += struct.pack(order + "IIII", time // 10**9, time % 10**9 // (10**9 // unit), len(p), len(p)) + p
    return out


def block(order, kind, body):
    body += b"\0" * (-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def pcapng(packets, order, resolution, unit, link, head):
    out = block(order, 0x0a0d0d0a, struct.pack(order + "IHHq", 0x1a2b3c4d, 1, 0, -1))
    out += block(order, 1, struct.pack(order + "HHIHHB3xHH", link, 0, 0, 9, 1, resolution, 0, 0))
    out += block(order, 0xbad, b"a block of another kind")
    for time, ip in packets:
        p, ticks = head + ip, time * unit // 10**9
        out += block(order, 6, struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xffffffff, len(p), len(p)) + p)
    return out


LINKS = {"ethernet": (1, b"\0" * 12 + b"\x08\0"), "vlan": (1, b"\0" * 12 + b"\x81\0\0\x05\x08\0"), "null": (0, b"\2\0\0\0"),
         "loop": (108, b"\0\0\0\2"), "raw": (101, b""), "ipv4": (228, b""),
         "cooked": (113, b"\0\0\3\4\0\6" + b"\0" * 8 + b"\x08\0"), "cooked2": (276, b"\x08\0\0\0\0\0\0\1\3\4\0\6" + b"\0" * 8)}


def test_every_form(t):
    """The same packets in each form give the same ladder, to the microsecond."""
    packets = list(ethernet_packets(foreign(t)))
    forms = {}
    for name, (link, head) in LINKS.items():
        for order in "<>":
            forms[f"{name} pcap us {order}"] = pcap(packets, order, 0xa1b2c3d4, 10**6, link, head)
            forms[f"{name} pcap ns {order}"] = pcap(packets, order, 0xa1b23c4d, 10**9, link, head)
            forms[f"{name} pcapng us {order}"] = pcapng(packets, order, 6, 10**6, link, head)
            forms[f"{name} pcapng ns {order}"] = pcapng(packets, order, 9, 10**9, link, head)
    wanted = {}
    for name, data in forms.items():
        with open(t.path("x"), "wb") as f:
            f.write(data)
        said = chat_trace(t, "show", "-w", 160, "--all", t.path("x")).stdout
        kind = "ns" if " ns " in name else "us"
        equal(said, wanted.setdefault(kind, said), name)
    check("GRACEFUL" in wanted["ns"] and "GRACEFUL" in wanted["us"], wanted["us"])


# ---- broken ones ----

def complaint(t, data):
    with open(t.path("broken"), "wb") as f:
        f.write(data)
    said = chat_trace(t, "show", t.path("broken"), code=1).stderr
    check(said.startswith("chat-trace: ") and "broken" in said, said)
    return said


def test_broken(t):
    """A cut, garbled or wrong file is told from a good one, in a sentence, wherever the fault is."""
    packets = list(ethernet_packets(foreign(t)))
    good = pcap(packets, "<", 0xa1b2c3d4, 10**6, 1, LINKS["ethernet"][1])
    good_ng = pcapng(packets, "<", 9, 10**9, 1, LINKS["ethernet"][1])
    check("cut" in complaint(t, good[:-5]))
    check("cut" in complaint(t, good[:24 + 7]))
    check("cut" in complaint(t, good_ng[:-5]))
    check("garbled" in complaint(t, good[:24 + 8] + b"\xff\xff\xff\x7f" + good[24 + 12:]))
    check("garbled" in complaint(t, good_ng[:28 + 4] + b"\x03\0\0\0" + good_ng[28 + 8:]))
    check("garbled" in complaint(t, good_ng[:-4] + b"\1\2\3\4"))
    check("without any TCP" in complaint(t, good[:24]))
    complaint(t, b"GIF89a, surely no capture\n")
    complaint(t, b"")
    complaint(t, b"\0" * 4096)


def test_no_way_to_crash(t):
    """Each byte of the heads changed, and the file cut at each place of them: an answer, never a signal."""
    packets = list(ethernet_packets(foreign(t)))[:6]
    for good in (pcap(packets, "<", 0xa1b2c3d4, 10**6, 1, LINKS["ethernet"][1]),
                 pcapng(packets, ">", 9, 10**9, 1, LINKS["ethernet"][1])):
        for at in range(0, min(len(good), 260), 3):
            for data in (good[:at], good[:at] + bytes([good[at] ^ 0xff]) + good[at + 1:]):
                with open(t.path("x"), "wb") as f:
                    f.write(data)
                code = chat_trace(t, "show", t.path("x"), code=None).returncode
                check(code in (0, 1), f"exit code {code} for a file changed at byte {at}")


def test_first_segments(t):
    """SYN, SYN,ACK, ACK: J+1, K+1, no data, by the raw numbers."""
    for segments in connections(read_capture(foreign(t))).values():
        if len(segments) < 4:
            continue  # before the server listened
        syn, answer, ack = segments[:3]
        equal([s.flags for s in segments[:3]], [SYN, SYN | ACK, ACK])
        equal((answer.ack, ack.ack, ack.seq), ((syn.seq + 1) % 2**32, (answer.seq + 1) % 2**32, (syn.seq + 1) % 2**32))
        equal([s.len for s in segments[:3]], [0, 0, 0])
        check(any(s.flags & FIN for s in segments))
