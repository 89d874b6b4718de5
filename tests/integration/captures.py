"""captures.py: what chat-trace makes of captures: its own, tshark's view of the same, foreign ones, broken ones."""
import datetime
import json
import pathlib
import re
import shutil
import struct
import subprocess
import sys

from lib import SCALE, Skip, check, equal, seconds
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


def keeps_schema(path):
    done = subprocess.run([sys.executable, pathlib.Path(__file__).parents[1] / "qlog_check.py", path], capture_output=True, text=True,
                          timeout=20, check=False)
    check(done.returncode == 0, done.stdout)


@seconds(60)
def test_both_sides_in_one_log(t):
    """-f qlog writes a valid log with the segments in it, of which show makes the same ladder again."""
    out = have_conversation(t)
    wanted = chat_trace(t, "show", "-w", 240, "-e", "--all", out)
    chat_trace(t, "show", "-f", "qlog", "-o", t.path("all.sqlog"), "--all", out)
    with open(t.path("all.sqlog"), encoding="utf-8") as f:
        names = [json.loads(r).get("name") for r in f.read().split("\x1e")[1:]]
    equal(names.count("tcp:segment"), len(read_capture(out + "/wire.pcap")), "segments")
    check({"app:call", "app:closed", "tcp:connection", "tcp:state_updated"} <= set(names), set(names))
    keeps_schema(t.path("all.sqlog"))
    equal(chat_trace(t, "show", "-w", 240, "-e", "--all", t.path("all.sqlog")).stdout, wanted.stdout)
    chat_trace(t, "show", "-f", "qlog", "-o", t.path("again.sqlog"), "--all", t.path("all.sqlog"))
    equal(pathlib.Path(t.path("again.sqlog")).read_text(), pathlib.Path(t.path("all.sqlog")).read_text())


@seconds(60)
def test_many_in_one_log(t):
    """Forty ended connections, of all kinds, some without any log of ours: their verdicts are the same from the one file."""
    record(t, t.path("out"), sys.executable, "-B", __file__.replace("captures.py", "lib/teardowns.py"), t.build, t.dir,
           timeout=60 * SCALE)
    chat_trace(t, "show", "-f", "qlog", "-o", t.path("all.sqlog"), "--all", t.path("out"), code=None)
    keeps_schema(t.path("all.sqlog"))
    equal(chat_trace(t, "show", "-w", 1000, "--list", t.path("all.sqlog")).stdout,
          chat_trace(t, "show", "-w", 1000, "--list", t.path("out"), code=None).stdout)


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
    check(len(wanted) >= 6 and wanted[0][2].startswith("accept") and wanted[-1][2].startswith("close"), wanted)
    for ahead in (7.25, -7.25):
        moved = []
        for i, p in enumerate(server):
            moved.append(t.path(f"moved{i}.sqlog"))
            as_of_another_host(p, moved[-1], ahead, 1e-4)
        got = told(t, *moved, *others)
        equal([r[2] for r in got], [r[2] for r in wanted], "the server's calls")
        apart = [abs(a[0] - b[0]) for a, b in zip(got, wanted)]
        check(max(apart) < 20, f"{ahead} s: {max(apart):.3f} ms off")


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
        p, ticks = head + ip, -(-time * unit // 10**9)  # rounded up: what is read back, rounded down, is the same
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
    for bits in (30, 31, 32):
        forms[f"2^{bits} pcapng ns <"] = pcapng(packets, "<", 0x80 | bits, 2**bits, 101, b"")
    wanted = {}
    for name, data in forms.items():
        with open(t.path("x"), "wb") as f:
            f.write(data)
        said = chat_trace(t, "show", "-w", 160, "--all", t.path("x")).stdout
        kind = "ns" if " ns " in name else "us"
        equal(said, wanted.setdefault(kind, said), name)
    check("GRACEFUL" in wanted["ns"] and "GRACEFUL" in wanted["us"], wanted["us"])


BRIDGE = [(3, 0), (4, 0), (5, 4)]  # interface and direction: in at one port, the bridge itself, out at another


def test_through_a_bridge(t):
    """A packet that `-i any` saw at three interfaces within microseconds is one segment, and nothing was sent again."""
    packets = list(ethernet_packets(foreign(t)))
    seen = [(time + 3000 * i, struct.pack("!HHIHBB8s", 0x800, 0, interface, 1, way, 6, b"\0" * 8) + ip)
            for time, ip in packets for i, (interface, way) in enumerate(BRIDGE)]
    for name, data in (("once", pcap(packets, "<", 0xa1b23c4d, 10**9, 101, b"")), ("thrice", pcap(seen, "<", 0xa1b23c4d, 10**9, 276, b""))):
        with open(t.path(name), "wb") as f:
            f.write(data)
    done = chat_trace(t, "show", "-w", 160, "--all", t.path("thrice"))
    equal(done.stdout, chat_trace(t, "show", "-w", 160, "--all", t.path("once")).stdout)
    check(f"{2 * len(packets)} packets were captured at another interface as well" in done.stderr, done.stderr)


@seconds(60)
def test_packet_comments(t):
    """-f pcapng: tshark reads the same packets, and the calls and states as their comments."""
    if not shutil.which("tshark"):
        raise Skip("tshark is not installed")
    out = have_conversation(t)
    chat_trace(t, "show", "-f", "pcapng", "-o", t.path("out.pcapng"), out)
    equal(tshark_rows(t.path("out.pcapng")), tshark_rows(out + "/wire.pcap"))
    said = subprocess.run(["tshark", "-r", t.path("out.pcapng"), "-T", "fields", "-e", "tcp.flags", "-e", "frame.comment"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.splitlines()
    comments = [(int(line.split("\t")[0], 0), line.split("\t", 1)[1]) for line in said]
    equal(comments[0][0], SYN)
    check("client: socket()" in comments[0][1], comments[0])
    whole = " ".join(said for _, said in comments)
    for words in ("client: connect()", "client: shutdown(WR)", "client: FIN_WAIT_1 (", "server: accept", "server: recv ",
                  "server: close()"):
        check(words in whole, f"{words}: {comments}")
    with open(t.path("out.pcapng"), "rb") as f:
        check(b"GRACEFUL, " in f.read(), "the section has no verdict")


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


@seconds(90)
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
