"""trace.py: chat-trace as the tests run it, and a reading of captures that shares no code with it."""
import os
import struct
import subprocess

from .test import SCALE, Skip, equal

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def chat_trace(t, *args, timeout=30.0, code=0, **popen):
    """Runs chat-trace, whose exit code is to be that one (None: any; 77 skips the test)."""
    program = t.build / "chat-trace"
    if not os.access(program, os.X_OK):
        raise Skip("this build has no chat-trace")
    env = {k: v for k, v in os.environ.items() if k not in ("CHAT_TRACE", "COLUMNS")}
    done = subprocess.run([str(program), *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=timeout * SCALE, check=False,
                          env={**env, "LC_ALL": "C.UTF-8", "TMPDIR": str(t.dir)}, **popen)
    if done.returncode == 77:
        raise Skip(done.stdout.strip().splitlines()[-1])
    if code is not None:
        equal(done.returncode, code, f"chat-trace {' '.join(map(str, args))}: {done.stderr}\n{done.stdout[-3000:]}")
    return done


def record(t, output, *command, **more):
    """A command in a network of its own, captured; skips where this host forbids that."""
    probe = chat_trace(t, "record", "--own-network", "--quiet", "-o", t.path("probe"), "--", "true").stderr
    for word in ("forbids", "without libpcap", "captured"):
        if word in probe:
            raise Skip(probe.strip())
    return chat_trace(t, "record", "--own-network", "--quiet", "-o", output, "--", *command, **more)


class Segment:
    """One TCP segment of a capture, numbers as on the wire."""

    def __init__(self, time, source, target, seq, ack, flags, length, data):
        self.data = data  # as much as was captured
        self.time, self.source, self.target = time, source, target
        self.seq, self.ack, self.flags, self.len = seq, ack, flags, length


def read_capture(path):
    """The TCP segments over IPv4 of a nanosecond pcap in this machine's byte order, of Ethernet, as lab and record write it."""
    with open(path, "rb") as f:
        data = f.read()
    magic, _, _, _, _, _, link = struct.unpack_from("=IHHIIII", data)
    equal((magic, link), (0xa1b23c4d, 1), "the capture's head")
    at, out = 24, []
    while at < len(data):
        sec, ns, caught, _ = struct.unpack_from("=IIII", data, at)
        ip = data[at + 30:at + 16 + caught]
        at += 16 + caught
        head = (ip[0] & 15) * 4
        sport, dport, seq, ack, off, flags = struct.unpack_from("!HHIIBB", ip, head)
        total = struct.unpack_from("!H", ip, 2)[0]
        begin = head + (off >> 4) * 4
        out.append(Segment(sec * 10**9 + ns, (ip[12:16], sport), (ip[16:20], dport), seq, ack, flags, total - begin,
                           ip[begin:total]))
    return out


def connections(segments):
    """By (client, server), in order of their SYNs; each a list of segments."""
    out = {}
    for s in segments:
        if s.flags & (SYN | ACK) == SYN:
            out.setdefault((s.source, s.target), [])
        key = (s.source, s.target) if (s.source, s.target) in out else (s.target, s.source)
        out[key].append(s)
    return out
