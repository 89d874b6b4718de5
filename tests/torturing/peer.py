"""peer.py: one client of a torture. It is there again after every end of its connection, and holds all that it hears against
what it has heard before."""
import array
import errno
import functools
import json
import selectors
import socket
import sys
import time

ROOM = "torture"
AGAIN_S = 0.05     # between the end of a connection and the next try
CONNECTING_S = 0.5  # that a try may take


def text_of(nick, number):
    """What it says with that number: mostly a few words, now and then more, seldom what takes a page of the database."""
    size = number * 7919 % 5000 if number % 40 == 0 else number * 31 % 300 if number % 5 == 0 else 0
    return f"{nick} {number} " + "每条消息 wird gehört 🙂 "[:size] * (size // 20)


@functools.lru_cache(4096)
def name_of(text):
    """The first two words of what was said, where the rest is as it was said too; else all of it."""
    nick, number, *_ = (text + "  ").split(" ")
    return sys.intern(f"{nick} {number}") if number.isdigit() and text == text_of(nick, int(number)) else text


class Peer:
    """A sender says numbered messages and keeps their acknowledgements; a listener keeps all that is said."""

    def __init__(self, number, sends):
        self.sends = sends
        self.nick = f"{'s' if sends else 'l'}{number}"
        self.sock, self.partial, self.out = None, b"", b""
        self.is_up = self.is_in = False  # connected; in the room
        self.heard, self.again = 0, 0    # when: the last bytes, or the try began; the next try
        self.token, self.epoch = None, None
        self.waiting = {}   # number of a message -> its text: sent, not acknowledged
        self.acked = {}     # number -> (seq, time)
        self.fresh = []     # numbers that were acknowledged since the last comparison
        self.refused = []   # waiting, and to be sent again: the disk was full
        self.said = 0
        self.seen = []      # names of messages, in the order of their seq from 1 on
        self.times = array.array("q")
        self.faults = []

    # ---- its connection ----

    def connect(self, address, selector):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.heard = time.monotonic()
        self.partial, self.is_up, self.is_in, self.out = b"", False, False, b""
        code = self.sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            self.sock.close()
            self.sock, self.again = None, time.monotonic() + AGAIN_S
            return
        selector.register(self.sock, selectors.EVENT_WRITE, self)

    def connected(self, selector):
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.gone(selector)
            return
        self.is_up, self.heard = True, time.monotonic()
        selector.modify(self.sock, selectors.EVENT_READ, self)
        resume = {"resume": self.token} if self.token else {}
        self.put(type="hello", id="hello", version=1, nick=self.nick, **resume)
        after = {} if self.sends else {"after": len(self.seen)}
        self.put(type="join", id="join", room=ROOM, **after)
        self.flush()

    def gone(self, selector):
        self.refused, self.is_in, self.out = [], False, b""
        self.again = time.monotonic() + AGAIN_S
        if self.sock is None:
            return
        selector.unregister(self.sock)
        self.sock.close()
        self.sock = None

    def is_lost(self, silence_s):
        """Whether its connection says nothing for too long: the server would have asked."""
        silent = time.monotonic() - self.heard
        return self.sock is not None and silent > (silence_s if self.is_up else CONNECTING_S)

    def put(self, **line):
        self.out += json.dumps(line).encode() + b"\n"

    def flush(self):
        try:
            self.out = self.out[self.sock.send(self.out):] if self.out else b""
        except BlockingIOError:
            pass
        except OSError:
            self.out = b""

    def read(self):
        """False at the end of the connection."""
        while True:
            try:
                data = self.sock.recv(1 << 18)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self.heard = time.monotonic()
            *lines, self.partial = (self.partial + data).split(b"\n")
            for line in lines:
                self.take(json.loads(line))

    # ---- what it says ----

    def say(self, number):
        self.put(type="send", id=str(number), room=ROOM, text=text_of(self.nick, number), key=f"{self.nick}-{number}")

    def say_more(self, most):
        while self.is_in and len(self.waiting) < most:
            self.said += 1
            self.waiting[self.said] = True
            self.say(self.said)
        if self.out:
            self.flush()

    def say_again(self):
        refused, self.refused = self.refused, []
        if self.is_in:
            for number in refused:
                self.say(number)
            self.flush()

    # ---- what it hears ----

    def take(self, line):
        kind = line["type"]
        if kind == "ack":
            self.take_ack(int(line["re"]), line["seq"], line["time"])
        elif kind == "msg":
            if not self.sends:
                self.take_msg(line["seq"], name_of(line["text"]), line["time"])
        elif kind == "welcome":
            self.token = line["resume"]
        elif kind == "joined":
            self.joined(line)
        elif kind == "ping":
            self.out += b"\n"
            self.flush()
        elif kind == "gap":
            self.faults.append(("gap", line))
        elif kind == "error":
            self.take_error(line)

    def take_error(self, line):
        if line["code"] == "storage" and line["re"].isdigit():
            self.refused.append(int(line["re"]))
        elif line["code"] in ("nick_in_use", "hello_first"):
            self.heard = 0  # a connection that went unseen holds the nick, and its welcome never came: try again
        else:
            self.faults.append(("error", line))

    def joined(self, line):
        if self.epoch not in (None, line["epoch"]):
            self.faults.append(("lost", f"another epoch: {line}"))
        self.is_in = True
        if line["seq"] > 0:  # of an empty room nothing is kept: it may begin again
            self.epoch = line["epoch"]
        for number in self.waiting:
            self.say(number)
        self.flush()

    def take_ack(self, number, seq, at):
        if self.acked.setdefault(number, (seq, at)) != (seq, at):
            self.faults.append(("repeated", f"{self.nick} {number} has {self.acked[number]} and {(seq, at)}"))
        if self.waiting.pop(number, None):
            self.fresh.append(number)

    def take_msg(self, seq, name, at):
        if seq == len(self.seen) + 1:
            if self.times and at < self.times[-1]:
                self.faults.append(("time back", f"seq {seq} is of {at}, the one before it of {self.times[-1]}"))
            self.seen.append(name)
            self.times.append(at)
        elif seq <= len(self.seen):
            self.faults.append(("repeated" if self.seen[seq - 1] == name else "out of order", f"seq {seq}: {name}"))
        else:
            self.faults.append(("gap", f"seq {seq} after {len(self.seen)}"))
