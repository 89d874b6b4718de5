"""verdicts.py: what chat-trace says of forty ended connections, against what is in their capture by other code."""
import json
import re
import sys
from collections import Counter

from lib import SCALE, check, equal, seconds
from lib.trace import ACK, FIN, RST, SYN, chat_trace, connections, read_capture, record

CLOSE_NOTIFY = 19  # a TLS 1.3 record of an alert, encrypted: bytes behind its head


def is_before(a, b):
    return (a - b) % 2**32 >= 2**31


def last_record(data):
    """The length of the last TLS record of that stream, or None."""
    at, length = 0, None
    while at + 5 <= len(data):
        length = int.from_bytes(data[at + 3:at + 5], "big")
        at += 5 + length
    return length if at == len(data) else None


class Seen:
    """What a capture tells of one connection."""

    def __init__(self, key, segments, end):
        """end: when the capture's last packet came, of whatever connection."""
        self.segments, self.client, self.end = segments, key[0], end
        self.answered = any(s.flags & (SYN | ACK) == SYN | ACK for s in segments)
        self.resets = [s for s in segments if s.flags & RST]
        self.fins = {}
        for s in segments:
            if s.flags & FIN:
                self.fins.setdefault(s.source, s)
        self.first = min(self.fins.values(), key=lambda s: s.time) if self.fins else None

    def name(self, end):
        return "client" if end == self.client else "server"

    def stream(self, end):
        """What that end has sent, each byte once."""
        start, out = None, b""
        for s in self.segments:
            if s.source == end and s.flags & SYN:
                start = s.seq + 1
            elif s.source == end and s.len:
                new = (start + len(out) - s.seq) % 2**32
                out += s.data[new:] if new <= s.len else b""
        return out

    def fell_silent(self):
        """Who answered nothing to the last segments, which only repeated themselves, while the capture went on for longer than
        the next one would have taken to come; or None."""
        repeats, top = [], {}
        for s in self.segments:
            end = s.seq + s.len + bool(s.flags & (SYN | FIN))
            repeats.append(s.source in top and end != s.seq and not is_before(top[s.source], end))
            if s.source not in top or is_before(top[s.source], end):
                top[s.source] = end
        tail = [s for s, again in zip(self.segments[-2:], repeats[-2:]) if again]
        if len(tail) != 2 or tail[0].source != tail[1].source:
            return None
        return tail[0].target if self.end > tail[1].time + 2.5 * (tail[1].time - tail[0].time) else None

    def how(self):
        if not self.answered:
            return "REFUSED" if self.resets else "UNANSWERED"
        if self.resets:
            return "ABORTED"
        if self.fell_silent():
            return "TIMED OUT"
        return "GRACEFUL" if len(self.fins) == 2 else "OPEN"

    def bytes_after_fin(self):
        """New bytes that the other end sent to the one that ended first, later than its FIN."""
        total, top = 0, None
        for s in self.segments:
            if s.source != self.first.target:
                continue
            end = (s.seq + s.len + bool(s.flags & SYN)) % 2**32
            if s.time > self.first.time and s.len and (top is None or is_before(top, end)):
                total += (end - max(top or s.seq, s.seq)) % 2**32
            if top is None or is_before(top, end):
                top = end
        return total

    def second(self):
        second, = (f for f in self.fins.values() if f is not self.first)
        return second

    def acknowledgement(self, fin):
        """The segment that acknowledged it; or None."""
        end = (fin.seq + fin.len + 1) % 2**32
        return next((s for s in self.segments if s.source == fin.target and s.flags & ACK and s.ack == end and s.time > fin.time), None)

    def crossed(self):
        """Whether neither had the other's FIN when it sent its own."""
        return self.second().ack != (self.first.seq + self.first.len + 1) % 2**32

    def teardown_length(self):
        """3 where the second FIN is what acknowledges the first, 4 where another segment is; None where an ACK is missing."""
        acks = [self.acknowledgement(self.first), self.acknowledgement(self.second())]
        return None if None in acks else 3 if acks[0] is self.second() else 4


# Why an RST was sent, as whoever made it happen knows. "unseen": its sender kept no log, and the wire does not tell.
WHYS = {"linger-zero": "unseen", "unread": "unseen", "unread-logged": "because {unread} bytes were unread when it closed",
        "late": "because something came for a socket that was gone", "refused": "nobody listens there",
        "stalled": "on purpose (SO_LINGER with 0): stalled.", "lingered": "on purpose (SO_LINGER with 0): linger.",
        "chat-breaks": "on purpose (SO_LINGER with 0): reset."}


def agree_on_why(seen, known, said):
    first = seen.resets[0]
    if first.flags & ACK or not seen.answered:
        check("socket that was gone" not in said, "an RST with ACK is a socket's own")
        wanted = WHYS.get(known["kind"], "unseen")
    else:  # it answers a segment: what that acknowledged is its number (RFC 9293, section 3.5.2)
        check(any(s.ack == first.seq for s in seen.segments if s.target == first.source), "nothing made it come")
        wanted = WHYS["late"]
    wanted = "why cannot be seen from here" if wanted == "unseen" else wanted.format(**known)
    check(wanted in said, f"not {wanted!r}")


def agree(seen, known, said):
    """Asserts that the sentence fits what was seen, and what is known besides."""
    kind = known["kind"]
    how = seen.how()
    if kind == "truncated":
        equal(how, "GRACEFUL", "by its segments alone")
        check(last_record(seen.stream(seen.client)) != CLOSE_NOTIFY, "the client did send close_notify")
        how = "TRUNCATED"
    check(said.startswith(how), f"not {how}")
    if kind == "clean-tls":
        equal(last_record(seen.stream(seen.client)), CLOSE_NOTIFY, "the client's last record")
    if how in ("ABORTED", "REFUSED"):
        check(f"The {seen.name(seen.resets[0].source)} sent RST" in said, "not by that end")
    if how in ("ABORTED", "REFUSED"):
        agree_on_why(seen, known, said)
    if how == "TIMED OUT":
        check(f"The {seen.name(seen.fell_silent())} fell silent" in said, "not that end")
    if kind == "both-at-once":
        check(seen.crossed(), "the FINs did not cross")
        check("Both closed at once: each FIN was under way when the other came." in said, "not at once")
    elif how in ("GRACEFUL", "TRUNCATED"):
        check(f"The {seen.name(seen.first.source)} closed first." in said, "not that end first")
        after = seen.bytes_after_fin()
        check((f" {after} byte" in said and "after its FIN" in said) or (after == 0 and "after its FIN" not in said),
              f"{after} bytes came after the FIN")
    if how == "GRACEFUL":
        length = seen.teardown_length()
        check((f", {length} segments." if length else "The last acknowledgement is not in the capture.") in said, f"{length} segments")
    if kind == "half-closed":
        check("Half-closed" in said and seen.bytes_after_fin() > 0, "not half-closed")


@seconds(90)
def test_forty_teardowns(t):
    out = t.path("out")
    record(t, out, sys.executable, "-B", __file__.replace("verdicts.py", "lib/teardowns.py"), t.build, t.dir, timeout=60 * SCALE)
    with open(t.path("manifest.json"), encoding="ascii") as f:
        known = {m["port"]: m for m in json.load(f)}
    verdicts = {}
    for line in chat_trace(t, "show", "-w", 1000, "--list", out, code=None).stdout.splitlines():
        found = re.match(r" *\d+  \S+:(\d+) > \S+  .*?< \d+  (.*)", line)
        verdicts[int(found[1])] = found[2]
    counts, wrong = Counter(), []
    wire = read_capture(out + "/wire.pcap")
    for key, segments in connections(wire).items():
        seen, said = Seen(key, segments, max(s.time for s in wire)), verdicts.get(key[0][1], "nothing")
        about = known.get(key[0][1]) or {"kind": "chat-breaks" if seen.resets else "clean-tls"}
        kind = about["kind"]
        counts[kind] += 1
        try:
            agree(seen, about, said)
        except AssertionError as why:
            wrong.append(f"{kind}: {why}; chat-trace says: {said}")
    check(not wrong, f"{len(wrong)} of {sum(counts.values())}\n" + "\n".join(wrong))
    equal(sum(counts.values()), 42, str(counts))
