"""slow.py: readers that cannot keep up. They fall behind at bounded memory, are fed from what is kept, and are told
of what is not."""
import json
import os

from lib import SCALE, both, check, equal, seconds


def pour(sender, count, size, room="general"):
    """Sends that many messages and reads them all back."""
    line = json.dumps({"type": "send", "room": room, "text": "x" * size}).encode() + b"\n"
    for _ in range(count // 100):
        sender.flood(line * 100, timeout=30.0)
        for _ in range(100):
            sender.expect("msg", timeout=15.0)


def read_in_order(c, seq, last):
    """Reads msg and gap lines from seq+1 on to last; gives the gaps. Neither hole nor repeat goes by."""
    gaps = []
    while seq < last:
        line = c.next(timeout=10.0)
        if line.type == "gap":
            equal(line["from"], seq + 1)
            check(line.to >= line["from"], line)
            gaps.append((line["from"], line.to))
            seq = line.to
        elif line.type == "msg":
            equal(line.seq, seq + 1)
            seq = line.seq
        else:
            equal(line.type, "presence")
    equal(seq, last)
    return gaps


@both
@seconds(60)
def test_gap_where_nothing_is_kept(t):
    """Beyond max-out and beyond what is kept: one gap line in its place, and the reader lives on."""
    s = t.server(max_out=65536, history=100, threads=2)
    slow, bob = s.join("general", "slow", rcvbuf=4096), s.join("general", "bob")
    before = s.rss()
    pour(bob, 12_000, 1000)
    if not os.environ.get("CHATD_WRAP") and SCALE == 1:
        check(s.rss() - before < 8 << 20, f"a slow reader cost {s.rss() - before} bytes")
    gaps = read_in_order(slow, 0, 12_000)
    check(len(gaps) >= 1, "12 MB went by without a gap: was anything skipped?")
    for n in range(12_001, 12_011):
        bob.say("general", "live again")
        equal(read_in_order(slow, n - 1, n), [])
    slow.quiet("gap", "bye")


@both
@seconds(60)
def test_no_gap_where_all_is_kept(t):
    """Beyond max-out, but kept: the reader is fed from history and misses nothing."""
    s = t.server(max_out=65536, history=20_000, history_bytes="64M", threads=2)
    slow, bob = s.join("general", "slow", rcvbuf=4096), s.join("general", "bob")
    pour(bob, 8000, 1000)
    equal(read_in_order(slow, 0, 8000), [])
    bob.say("general", "live again")
    equal(read_in_order(slow, 8000, 8001), [])


@seconds(60)
def test_slow_while_more_comes(t):
    """The reader catches up while the room goes on."""
    s = t.server(max_out=65536, history=50_000, history_bytes="64M", threads=2)
    slow, bob = s.join("general", "slow", rcvbuf=16384), s.join("general", "bob")
    seq = 0
    for _ in range(30):
        pour(bob, 400, 500)
        for _ in range(20):  # less than what comes
            slow.pump(0.0)
            while slow.inbox:
                line = slow.inbox.popleft()
                if line.type == "msg":
                    equal(line.seq, seq + 1)
                    seq += 1
    equal(read_in_order(slow, seq, 12_000), [])


@seconds(60)
def test_one_slow_reader_harms_nobody(t):
    s = t.server(max_out=65536, history=100, threads=2)
    slow = s.join("general", "slow", rcvbuf=4096)
    others = [s.join("general", f"n{i}") for i in range(5)]
    bob = s.join("general", "bob")
    for c in others:
        c.inbox.clear()
    line = json.dumps({"type": "send", "room": "general", "text": "x" * 1000}).encode() + b"\n"
    for start in range(0, 6000, 200):
        bob.flood(line * 200)
        for c in [*others, bob]:
            for seq in range(start + 1, start + 201):
                equal(c.expect("msg", timeout=10.0).seq, seq)
    for c in others:
        c.quiet("gap", "bye")
    equal(slow.next().type, "presence")


@seconds(60)
def test_slow_in_several_rooms(t):
    """Each room's order holds by itself, whatever is behind."""
    s = t.server(max_out=65536, history=100, threads=4)
    slow, bob = s.connect("slow", rcvbuf=4096), s.connect("bob")
    rooms = [f"room{i}" for i in range(4)]
    for c in (slow, bob):
        for room in rooms:
            c.ask("join", room=room)
    for _ in range(10):
        for room in rooms:
            pour(bob, 300, 1000, room)
    at = dict.fromkeys(rooms, 0)
    while min(at.values()) < 3000:
        line = slow.next(timeout=10.0)
        if line.type == "gap":
            equal(line["from"], at[line.room] + 1)
            at[line.room] = line.to
        elif line.type == "msg":
            equal(line.seq, at[line.room] + 1)
            at[line.room] += 1
    equal(at, dict.fromkeys(rooms, 3000))


def until_joined(c, id, seqs):
    """Reads up to the answer with that id; the numbers of the messages before it go to seqs."""
    while (line := c.next(timeout=10.0)).get("re") != id:
        if line.type == "msg":
            seqs.append(line.seq)
    return line


@both
@seconds(60)
def test_join_again_while_behind(t):
    """It replays from there, though the first reading is not done; nothing of that one comes behind the answer."""
    s = t.server(max_out=65536, history=20_000, history_bytes="64M", threads=2)
    bob = s.join("general", "bob")
    pour(bob, 3000, 4000)
    slow = s.connect("slow", rcvbuf=4096)
    slow.send("join", id="first", room="general", after=0)
    for after in (10, 2000, 20):
        slow.send("join", id=f"again{after}", room="general", after=after)
    until_joined(slow, "first", [])
    at = 0
    for after in (10, 2000, 20):
        seqs = []
        until_joined(slow, f"again{after}", seqs)
        equal(seqs, list(range(at + 1, at + 1 + len(seqs))))
        check(at + len(seqs) < 3000, "it was not behind any more")
        at = after
    equal(read_in_order(slow, 20, 3000), [])
    slow.quiet("gap")


@seconds(60)
def test_joins_without_reading(t):
    """Each replay was queued, whatever waited already: one piece, and no more, is what a connection that does not read holds."""
    s = t.server(data=t.path("data"), history=5, threads=2, requests_per_second=1_000_000)
    ann = s.join("general", "ann")
    for n in range(1, 61):
        ann.say("general", f"{n} " + "x" * 4000)
    pusher = s.connect("pusher", rcvbuf=4096)
    before = s.rss()
    for n in range(400):
        pusher.send("join", id=f"j{n}", room="general", after=0)
    pusher.send("send", room="general", text="done")
    ann.expect("msg", seq=61)
    if not os.environ.get("CHATD_WRAP") and SCALE == 1:
        check(s.rss() - before < 16 << 20, f"400 joins cost {s.rss() - before >> 20} MiB")
    until_joined(pusher, "j399", [])
    equal(read_in_order(pusher, 0, 61), [])
    pusher.quiet("gap")


@seconds(60)
def test_many_rooms_without_reading(t):
    """A connection that is behind in all its rooms is fed by one after the other: all of them, each in order."""
    s = t.server(data=t.path("data"), history=5, threads=2, requests_per_second=1_000_000)
    ann, slow = s.connect("ann"), s.connect("slow", rcvbuf=4096)
    rooms = [f"r{n}" for n in range(80)]
    for room in rooms:
        ann.ask("join", room=room)
        for n in range(32):
            ann.send("send", room=room, text="x" * 8000)
    ann.sync()
    ann.inbox.clear()
    before = s.rss()
    for room in rooms:
        slow.send("join", room=room, after=0)
    slow.send("send", room=rooms[-1], text="done")
    while ann.expect("msg", room=rooms[-1], timeout=10.0).text != "done":
        pass
    if not os.environ.get("CHATD_WRAP") and SCALE == 1:
        check(s.rss() - before < 8 << 20, f"80 rooms cost {s.rss() - before >> 20} MiB")
    at = dict.fromkeys(rooms, 0)
    for _ in range(80 * 32 + 1):
        line = slow.expect("msg", timeout=10.0)
        equal(line.seq, at[line.room] + 1)
        at[line.room] += 1
    equal(set(list(at.values())[:-1]), {32})
