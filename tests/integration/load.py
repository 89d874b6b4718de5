"""load.py: a hundred clients in twenty rooms, all sending at once, by one loop: every member of each room
sees the same messages as 1, 2, 3, …"""
import json
import selectors
import socket
import time

from lib import LONG, SCALE, check, equal, seconds

CLIENTS, ROOMS = 100, 20
SENDS = 100_000 if LONG else 20_000
WINDOW = 1 << 16  # bytes handed to the socket at a time


class Member:
    """One client of the load: its room, what it has still to send, what it has seen."""

    def __init__(self, number, port, each):
        self.nick, self.room = f"n{number}", f"room{number % ROOMS}"
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setblocking(False)
        opening = [{"type": "hello", "version": 1, "nick": self.nick, "id": "hello"},
                   {"type": "join", "room": self.room, "id": "join"}]
        self.out = b"".join(json.dumps(r).encode() + b"\n" for r in opening)
        self.sends = b"".join(b'{"type":"send","room":"%s","text":"%s:%d","id":"%d"}\n'
                              % (self.room.encode(), self.nick.encode(), i, i) for i in range(each))
        self.partial, self.seen, self.acks, self.wanted = b"", [], {}, each * CLIENTS // ROOMS
        self.each, self.joined = each, False

    def read(self):
        data = self.sock.recv(1 << 18)
        check(data, f"{self.nick}: the server ended")
        *lines, self.partial = (self.partial + data).split(b"\n")
        for line in lines:
            self.hear(json.loads(line))

    def hear(self, line):
        kind = line["type"]
        if kind == "msg":
            self.seen.append((line["seq"], line["text"]))
            equal(line["seq"], len(self.seen), f"{self.nick} in {self.room}")
        elif kind == "ack":
            check(line["re"] not in self.acks, f"{self.nick}: a second ack of {line['re']}")
            self.acks[line["re"]] = line["seq"]
        elif kind == "joined":
            self.joined = True
        else:
            check(kind in ("welcome", "presence"), f"{self.nick}: {line}")

    def write(self):
        self.out = self.out[self.sock.send(self.out[:WINDOW]):]

    def done(self):
        return len(self.seen) >= self.wanted and len(self.acks) >= self.each


def turn(selector, members, finished, timeout):
    """Reads and writes until finished() says so of every member."""
    deadline = time.monotonic() + timeout * SCALE
    left = set(members)
    while left:
        check(time.monotonic() < deadline, f"{len(left)} members have not got everything")
        for key, events in selector.select(1.0):
            m = key.data
            if events & selectors.EVENT_READ:
                m.read()
            if events & selectors.EVENT_WRITE:
                m.write()
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if m.out else 0)
            if wanted != key.events:
                selector.modify(m.sock, wanted, m)
            if finished(m):
                left.discard(m)


def check_rooms(members):
    for room in {m.room for m in members}:
        inside = [m for m in members if m.room == room]
        order = inside[0].seen
        for m in inside:
            check(m.seen == order, f"{m.nick} and {inside[0].nick} saw different things in {room}")
        at = {text: seq for seq, text in order}
        equal(len(at), len(order), f"messages of {room}")
        for m in inside:
            mine = [at[f"{m.nick}:{i}"] for i in range(m.each)]
            equal(mine, sorted(mine), f"{m.nick}'s own order in {room}")
            equal(mine, [m.acks[str(i)] for i in range(m.each)], f"{m.nick}'s acks in {room}")


@seconds(120)
def test_everyone_sees_one_order(t):
    s = t.server(threads=4)
    members = [Member(n, s.port, SENDS // CLIENTS) for n in range(CLIENTS)]
    selector = selectors.DefaultSelector()
    for m in members:
        t.keep(m.sock)
        selector.register(m.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, m)
    turn(selector, members, lambda m: m.joined, 10)
    for m in members:
        m.out += m.sends
        selector.modify(m.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, m)
    turn(selector, members, Member.done, 100)
    check_rooms(members)
    for m in members:
        equal(len(m.seen), m.wanted, f"{m.nick}'s messages")
    selector.close()
