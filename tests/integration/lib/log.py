"""log.py: reads the lifecycle log, and knows what always holds in it."""
import datetime
import re
import time

from .test import SCALE, check, equal

PAIR = re.compile(r'([a-z][a-z0-9-]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?: +|$)')
ESCAPE = re.compile(r'\\(x[0-9a-f]{2}|.)')
ENDS = {"peer", "self", "both", "none"}
HOWS = {"graceful", "half-closed", "reset", "timeout", "truncated", "refused", "aborted", "unfinished", "failed"}
CLOSE_FIELDS = ("state", "ended-first", "how", "reason", "bytes-in", "bytes-out", "msgs-in", "msgs-out", "duration",
                "rtt")


def unquote(value):
    if not value.startswith('"'):
        return value
    return ESCAPE.sub(lambda m: chr(int(m[1][1:], 16)) if len(m[1]) == 3 else m[1], value[1:-1])


def parse_line(line):
    """`key=value` pairs as a dict. The whole line has to be such pairs, and no key comes twice."""
    record, at = {}, 0
    while at < len(line):
        m = PAIR.match(line, at)
        check(m, f"not key=value from column {at + 1}: {line!r}")
        check(m[1] not in record, f"{m[1]} is there twice: {line!r}")
        record[m[1]] = unquote(m[2])
        at = m.end()
    return record


def time_of(record):
    return datetime.datetime.strptime(record["time"], "%Y-%m-%dT%H:%M:%S.%fZ").timestamp()


def seconds_of(text):
    check(re.fullmatch(r"\d+(\.\d+)?s", text), f"not a duration: {text!r}")
    return float(text[:-1])


class Log:
    """A log file that is being written."""

    def __init__(self, path):
        self.path, self.offset, self.records, self.rest = path, 0, [], ""

    def read(self):
        """Everything that is in it by now, as records."""
        try:
            with open(self.path, encoding="utf-8") as f:
                f.seek(self.offset)
                text = f.read()
                self.offset = f.tell()
        except FileNotFoundError:
            return self.records
        *lines, self.rest = (self.rest + text).split("\n")
        self.records += [parse_line(line) for line in lines]
        return self.records

    def find(self, **fields):
        """The records with these values. A - in a key is written _; a value may be a compiled pattern."""
        wanted = {k.replace("_", "-"): v for k, v in fields.items()}

        def fits(record, key, value):
            got = record.get(key)
            return got is not None and (bool(value.search(got)) if hasattr(value, "search") else got == str(value))
        return [r for r in self.read() if all(fits(r, k, v) for k, v in wanted.items())]

    def wait(self, count=1, timeout=5.0, **fields):
        """Waits until there are that many such records, and gives the first."""
        deadline = time.monotonic() + timeout * SCALE
        while True:
            found = self.find(**fields)
            if len(found) >= count:
                return found[0]
            if time.monotonic() > deadline:
                raise AssertionError(f"the log has {len(found)} of {count} lines with {fields}")
            time.sleep(0.002)

    def events(self, conn):
        return [r["event"] for r in self.find(conn=conn)]

    def close_of(self, conn, timeout=5.0):
        return self.wait(conn=conn, event="close", timeout=timeout)

    def verify(self, complete=True):
        """What holds in every log, whatever the test was. complete: the server has ended in good order."""
        records = self.read()
        equal(self.rest, "", "the log's last line is torn")
        lives = {}
        for r in records:
            check("time" in r and "event" in r, f"a line without time or event: {r}")
            if "side" in r:
                lives.setdefault(r["conn"], []).append(r)
        for conn, life in lives.items():
            verify_life(conn, life, complete)
        return lives


def verify_life(conn, life, complete):
    """One connection's lines: accept first, close last and once, and each fits the others."""
    # An end of ours that failed, as the peer's RST was there first, ended nothing.
    events = [r["event"] for r in life if not (r["event"] == "shutdown" and r["ret"] == "-1")]
    what = f"conn {conn}: {' '.join(events)}"
    equal({r["side"] for r in life}, {"server"}, what)
    equal(events[0], "accept", f"{what}: begins with")
    equal(events.count("accept"), 1, f"{what}: accepts")
    check(events.count("close") <= 1, f"{what}: closes twice")
    check("close" not in events[:-1], f"{what}: lines after the close")
    check(events.count("shutdown") <= 1 and events.count("recv-fin") <= 1, f"{what}: ends twice")
    for a, b in zip(life, life[1:]):
        check(a["time"] <= b["time"], f"{what}: time goes back at {b['event']}")
    for r in life:
        check("state" in r and "source" in r, f"{what}: {r['event']} has no state")
        for end in ("local", "peer", "cookie"):
            equal(r.get(end, life[0].get(end)), life[0].get(end), f"{what}: {end} at {r['event']}")
    if events[-1] == "close":
        verify_close(what, events, life)
    else:
        check(not complete, f"{what}: no close line")


def verify_close(what, events, life):
    close = life[-1]
    for field in CLOSE_FIELDS:
        check(field in close, f"{what}: the close line has no {field}")
    check(close["ended-first"] in ENDS, f"{what}: ended-first={close['ended-first']}")
    check(close["how"] in HOWS, f"{what}: how={close['how']}")
    for field in ("bytes-in", "bytes-out", "msgs-in", "msgs-out"):
        check(close[field].isdigit(), f"{what}: {field}={close[field]}")
    took = seconds_of(close["duration"])
    between = time_of(close) - time_of(life[0])
    check(abs(took - between) < 0.5, f"{what}: duration={took}, by the lines' times {between}")
    verify_end(what, events, close)


def verify_end(what, events, close):
    how, first = close["how"], close["ended-first"]

    def place(*names):
        return min([events.index(n) for n in names if n in events], default=None)
    theirs, ours = place("recv-fin", "recv-close-notify"), place("shutdown", "send-close-notify")
    if first == "peer":
        check(theirs is not None and (ours is None or theirs < ours), f"{what}: ended-first=peer")
    if first == "self":
        check(ours is not None and (theirs is None or ours < theirs), f"{what}: ended-first=self")
    if first == "none":
        check(theirs is None and ours is None, f"{what}: ended-first=none")
    equal("recv-rst" in events, how == "reset", f"{what}: how={how}, a reset was seen")
    if how in ("graceful", "half-closed"):
        check("recv-fin" in events and "shutdown" in events, f"{what}: how={how} with one end missing")
    if how == "half-closed":
        check(seconds_of(close.get("half-closed", "")) > 0, f"{what}: half-closed for no time")
    if how == "graceful" and "tls-handshake" in events:
        check("recv-close-notify" in events and "send-close-notify" in events, f"{what}: no close_notify")
    for notify, fin in (("recv-close-notify", "recv-fin"), ("send-close-notify", "shutdown")):
        if notify in events and fin in events:
            check(events.index(notify) < events.index(fin), f"{what}: {notify} after {fin}")
