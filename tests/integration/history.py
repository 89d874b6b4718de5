"""history.py: reading what was said, and what is kept."""
import json
import os

from lib import SCALE, Line, both, check, equal, seconds


def fill(s, nick, room, count):
    c = s.join(room, nick)
    for n in range(1, count + 1):  # one at a time: what is said in one turn is kept, and let go, together
        equal(c.say(room, f"m{n}").seq, n)
    c.take(count)
    return c


def read(client, room="general", **fields):
    """The answer as (seqs, gap or None, more), checked for its form."""
    lines, end = client.ask_all("history", room=room, **fields)
    gap = None
    if lines and lines[0].type == "gap":
        first = lines.pop(0)
        equal(first.room, room)
        gap = (first["from"], first.to)
    for m in lines:
        equal((m.type, m.room, m.text), ("msg", room, f"m{m.seq}"))
    equal(end.count, len(lines))
    seqs = [m.seq for m in lines]
    equal(seqs, list(range(seqs[0], seqs[0] + len(seqs))) if seqs else [])
    return seqs, gap, end.more


def span(a, b):
    return list(range(a, b + 1))


@both
def test_ways_to_ask(t):
    c = fill(t.server(threads=2), "ann", "general", 100)
    for fields, wanted in (
            ({}, (span(51, 100), None, True)),
            ({"limit": 3}, (span(98, 100), None, True)),
            ({"limit": 100}, (span(1, 100), None, False)),
            ({"limit": 1000}, (span(1, 100), None, False)),
            ({"before": 50, "limit": 4}, (span(46, 49), None, True)),
            ({"before": 3}, ([1, 2], None, False)),
            ({"before": 1}, ([], None, False)),
            ({"before": 0}, ([], None, False)),
            ({"before": 101, "limit": 1}, ([100], None, True)),
            ({"before": 5000, "limit": 2}, ([99, 100], None, True)),
            ({"after": 0, "limit": 2}, ([1, 2], None, True)),
            ({"after": 90}, (span(91, 100), None, False)),
            ({"after": 90, "limit": 10}, (span(91, 100), None, False)),
            ({"after": 90, "limit": 9}, (span(91, 99), None, True)),
            ({"after": 100}, ([], None, False)),
            ({"after": 9007199254740991}, ([], None, False)),
            ({"around": 50, "limit": 5}, (span(48, 52), None, True)),
            ({"around": 50, "limit": 4}, (span(48, 51), None, True)),
            ({"around": 50, "limit": 1}, ([50], None, True)),
            ({"around": 1, "limit": 5}, (span(1, 5), None, True)),
            ({"around": 100, "limit": 5}, (span(98, 100), None, True)),
            ({"around": 50, "limit": 1000}, (span(1, 100), None, False))):
        equal(read(c, **fields), wanted, str(fields))
    c.quiet()


def test_history_is_what_was_delivered(t):
    s = t.server()
    ann, bob = s.join("general", "ann"), s.join("general", "bob")
    for text in ("é", "\n\t\"\\", "🎉" * 2000, "x"):
        ann.say("general", text)
    live = [dict(m) for m in bob.take(4)]
    lines, _ = bob.ask_all("history", room="general")
    equal([{k: v for k, v in m.items() if k != "re"} for m in lines], live)
    carol = s.connect("carol")
    carol.ask("join", room="general", after=0)
    equal([dict(m) for m in carol.take(4)], live)


def test_history_errors(t):
    c = t.server().join("general", "ann")
    for field in ("before", "after", "around"):
        for value in (-1, 1.5, "1", None, True, [1], 9007199254740992):
            equal(c.refused("history", "bad_request", room="general", **{field: value}).field, field)
    for value in (0, -1, 1001, 1.5, "5", None, 9007199254740992):
        equal(c.refused("history", "bad_request", room="general", limit=value).field, "limit")
    for two in (("before", "after"), ("after", "around"), ("before", "around")):
        e = c.refused("history", "bad_request", room="general", **{two[0]: 1, two[1]: 1})
        check(e.field in two, "field", e.field)
    c.refused("history", "not_member", room="elsewhere")
    equal(read(c), ([], None, False))


def test_what_is_no_longer_kept(t):
    c = fill(t.server(history=10), "ann", "general", 100)
    for fields, wanted in (
            ({}, (span(91, 100), (51, 90), False)),
            ({"limit": 10}, (span(91, 100), None, False)),
            ({"limit": 9}, (span(92, 100), None, True)),
            ({"limit": 11}, (span(91, 100), (90, 90), False)),
            ({"after": 0}, (span(91, 100), (1, 90), False)),
            ({"after": 0, "limit": 3}, (span(91, 93), (1, 90), True)),
            ({"after": 89}, (span(91, 100), (90, 90), False)),
            ({"after": 90}, (span(91, 100), None, False)),
            ({"before": 50, "limit": 5}, ([], (45, 49), False)),
            ({"before": 93, "limit": 4}, ([91, 92], (89, 90), False)),
            ({"before": 91, "limit": 1}, ([], (90, 90), False)),
            ({"around": 92, "limit": 6}, (span(91, 94), (89, 90), True))):
        equal(read(c, **fields), wanted, str(fields))


@both
def test_join_after_what_is_no_longer_kept(t):
    s = t.server(history=10)
    ann = fill(s, "ann", "general", 100)
    bob = s.connect("bob")
    equal(bob.ask("join", room="general", after=20).seq, 100)
    equal(dict(bob.next()), {"type": "gap", "room": "general", "from": 21, "to": 90})
    equal([bob.next().seq for _ in range(10)], span(91, 100))
    ann.say("general", "m101")
    equal(bob.next().seq, 101)
    bob.quiet()


def test_bytes_kept(t):
    """history-bytes bounds a room's memory too; what falls out is named."""
    s = t.server(history=100_000, history_bytes=100_000)
    c = s.join("general", "ann")
    for _ in range(300):
        c.say("general", "x" * 1000)
    c.take(300)
    lines, end = c.ask_all("history", room="general", after=0, limit=1000)
    gap, rest = lines[0], lines[1:]
    equal((gap.type, gap["from"], gap.to), ("gap", 1, 300 - len(rest)))
    check(30 <= len(rest) <= 100, f"{len(rest)} messages of 1000 bytes in 100,000")
    equal(end.count, len(rest))


def test_a_long_answer(t):
    """1,000 messages of 8 KiB asked for at once: far more than max-out. What comes is whole, and says if there is more."""
    s = t.server(max_out=65536)
    c = s.join("general", "ann")
    text = "x" * 8000
    for _ in range(10):
        for _ in range(100):
            c.send("send", room="general", text=text)
        c.take(100)
    got, before = [], {}
    while True:
        lines, end = c.ask_all("history", room="general", limit=1000, timeout=15.0, **before)
        check(len(lines) >= 50 or not end.more, f"only {len(lines)} at a time")
        equal(end.count, len(lines))
        got = [m.seq for m in lines] + got
        before = {"before": got[0]}
        if not end.more:
            break
    equal(got, span(1, 1000))
    seqs = []
    while len(seqs) < 1000:
        lines, end = c.ask_all("history", room="general", limit=1000, timeout=15.0, after=len(seqs))
        seqs += [m.seq for m in lines]
        equal(end.more, len(seqs) < 1000)
    equal(seqs, span(1, 1000))


def uneven(s, short, long, text):
    """A room that has so many short messages, then so many long ones."""
    c = s.join("general", "ann")
    for size, count in (("x", short), (text, long)):
        for n in range(0, count, 100):
            for _ in range(100):
                c.send("send", room="general", text=size)
            c.take(100, timeout=15.0)
    return c


def read_uneven(c, count):
    """Every way to ask for as much as may be: what comes is next to what was asked for, and there is no hole."""
    for fields, first, last, middle in (({}, None, count, None), ({"before": count - 9}, None, count - 10, None), ({"after": 50}, 51, None, None),
                                        ({"around": count - 300}, None, None, count - 300), ({"after": count - 300}, count - 299, None, None)):
        lines, end = c.ask_all("history", room="general", limit=1000, timeout=15.0, **fields)
        seqs = [m.seq for m in lines]
        equal(seqs, span(seqs[0], seqs[-1]), str(fields))
        equal((end.count, end.more), (len(seqs), True), str(fields))
        check(first in (None, seqs[0]) and last in (None, seqs[-1]), f"{fields}: {seqs[0]} to {seqs[-1]}")
        check(middle is None or seqs[0] < middle < seqs[-1], f"{fields}: {seqs[0]} to {seqs[-1]}")
        check(len(json.dumps(lines)) > 700_000, f"{fields}: only {len(lines)} messages")
    got, end = [], Line(more=True)
    while end.more:
        lines, end = c.ask_all("history", room="general", limit=1000, timeout=15.0, **({"before": got[0]} if got else {}))
        got = [m.seq for m in lines] + got
    equal(got, span(1, count))


@seconds(60)
def test_an_answer_of_uneven_messages(t):
    """What had to be left out was guessed from how long they were on average: the newest were missing, and nothing said so."""
    for options in ({}, {"data": t.path("data"), "history": 5}):
        s = t.server(**options)
        read_uneven(uneven(s, 600, 400, "x" * 8000), 1000)


@seconds(60)
def test_an_answer_of_very_long_messages(t):
    """More was read for an answer than could be, and it failed each time it was asked for."""
    s = t.server(data=t.path("data"), history=5, max_line="64k")
    read_uneven(uneven(s, 100, 400, "\x01" * 8000), 500)


def test_all_rooms_together(t):
    """Each room may keep much; all rooms together are bounded, and the one that was silent longest pays."""
    s = t.server(history_total="256k", threads=1)
    c = s.join("silent", "ann")
    c.ask("join", room="busy")
    for room, count in (("silent", 100), ("busy", 200)):
        for _ in range(count):
            c.ask("send", room=room, text="x" * 1000)
    lines, end = c.ask_all("history", room="busy", limit=1000)
    kept_busy = len([m for m in lines if m.type == "msg"])
    lines, end = c.ask_all("history", room="silent", limit=1000)
    kept_silent = len([m for m in lines if m.type == "msg"])
    equal(kept_busy, 200)
    check(kept_silent < 60, f"the silent room keeps {kept_silent}")
    before = s.rss()
    for i in range(50):
        c.ask("join", room=f"r{i}")
        for _ in range(40):
            c.ask("send", room=f"r{i}", text="y" * 1000)
    if not os.environ.get("CHATD_WRAP") and SCALE == 1:  # a sanitizer keeps freed memory for a while
        check(s.rss() - before < 2 << 20, f"50 rooms cost {s.rss() - before} bytes")
