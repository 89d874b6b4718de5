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
