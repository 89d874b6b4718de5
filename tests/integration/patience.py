"""patience.py: peers that are slow, silent, unheard or gone: who is waited for and how long, and what waiting may cost."""
import ctypes
import os
import socket
import struct
import time

from lib import SCALE, Skip, both, check, equal

SO_ATTACH_FILTER = 26


def fill(c, room, count, size=8000):
    """That many messages in that room, of which c is."""
    c.flood(b"".join(b'{"type":"send","room":"%s","text":"%s"}\n' % (room.encode(), b"x" * size) for _ in range(count)))
    c.take(count, timeout=10.0)


def read_at(c, bytes_per_second):
    """Reads to the server's end, no faster than that."""
    began, got = time.monotonic(), 0
    while not c.eof:
        data = c.sock.recv(16384)
        got += len(data)
        if not data:
            c.eof = True
        elif c.tls:
            c.from_wire.write(data)
            c._decrypt()
        else:
            c._take(data)
        time.sleep(max(0.0, began + got / bytes_per_second - time.monotonic()))
    return time.monotonic() - began


# ---- after our FIN ----

@both
def test_slow_reader_after_bye(t):
    """A peer that was only slow was reset linger-seconds after the server's FIN, and lost what was on its way, the bye too."""
    s = t.server(linger_seconds=1)
    ann = s.join("general", "ann", rcvbuf=16384)
    fill(ann, "general", 120)
    ann.send("history", room="general", after=0, limit=1000, id="h")
    ann.send("bye", id="b")
    took = read_at(ann, 350_000)
    check(took > 2.2, f"all of it was here after {took:.1f} s: nobody was waited for")
    lines = ann.rest()
    equal([m.seq for m in lines if m.type == "msg" and "re" in m], list(range(1, 121)))
    equal((lines[-1].type, lines[-1].re), ("bye", "b"))
    ann.fin()
    close = s.log.close_of(ann.session)
    equal((close["reason"], close["ended-first"]), ("bye", "self"))
    check(close["how"] in ("graceful", "half-closed"), close["how"])


def test_linger_total_seconds(t):
    """However little and however long it takes, it is not waited for without an end."""
    s = t.server(linger_seconds=1, linger_total_seconds=2)
    ann = s.join("general", "ann", rcvbuf=4096)
    fill(ann, "general", 120)
    ann.send("history", room="general", after=0, limit=1000, id="h")
    ann.send("bye")
    began = s.log.wait(conn=ann.session, event="shutdown") and time.monotonic()
    while "close" not in s.log.events(ann.session):
        check(time.monotonic() - began < 6 * SCALE, "it is waited for without an end")
        ann.sock.recv(2048)
        time.sleep(0.05)
    check(time.monotonic() - began > 1.5, "it took more all the time, and was given up")
    equal(s.log.close_of(ann.session)["how"], "aborted")
    ann.eof = True


# ---- silence ----

@both
def test_stay_after_a_ping(t):
    """A listener whose FIN came after a ping, which it then could not answer, was thrown out as idle."""
    s = t.server(ping_seconds=1, idle_seconds=2)
    ann = s.connect("ann", hello={"on_eof": "stay"})
    ann.ask("join", room="general")
    ann.expect("ping", timeout=4.0)
    ann.fin()
    s.log.wait(conn=ann.session, event="recv-close-notify" if t.tls else "recv-fin")
    time.sleep(1.3)
    bob = s.join("general", "bob")
    bob.say("general", "still there?")
    equal(ann.expect("msg").text, "still there?")


def vanish(c):
    """From now on nothing that is sent to c comes through, as if its machine were gone: a filter that keeps 0 bytes."""
    program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    c.sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program)))


def test_listener_that_vanishes(t):
    """A listener that is gone without a word, of which none is expected, was never noticed."""
    s = t.server(ping_seconds=1, idle_seconds=2, stall_seconds=2)
    silent, told = [s.connect(n, hello={"on_eof": "stay"}) for n in ("silent", "told")]
    told.ask("join", room="general")
    for c in (silent, told):
        c.fin()
        s.log.wait(conn=c.session, event="recv-fin")
        vanish(c)
    s.join("general", "bob").say("general", "nobody acknowledges this")
    for c in (silent, told):
        close = s.log.close_of(c.session, timeout=8.0)
        equal((close["how"], close["reason"]), ("timeout", "timeout"))


def test_ping_seconds_are_exact(t):
    """They counted from a look at the connection that might be as long ago again."""
    s = t.server(ping_seconds=2, idle_seconds=4)
    ann = s.connect("ann")
    time.sleep(1.2)
    ann.sync()
    said = time.monotonic()
    ann.expect("ping", timeout=6.0)
    took = time.monotonic() - said
    check(1.9 < took < 2.5 * SCALE, f"the ping came {took:.2f} s after the last word")


# ---- what waiting costs ----

class RawTls:
    """A client of OpenSSL's, in C: Python's asks for no other keys."""

    def __init__(self, port):
        try:
            self.ssl = ctypes.CDLL("libssl.so.3")
        except OSError:
            raise Skip("OpenSSL 3 cannot be loaded here") from None
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(self.ssl, name).restype = ctypes.c_void_p
        self.sock = socket.socket()
        for which in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self.sock.setsockopt(socket.SOL_SOCKET, which, 16384)
        self.sock.connect(("127.0.0.1", port))
        self.context = ctypes.c_void_p(self.ssl.SSL_CTX_new(ctypes.c_void_p(self.ssl.TLS_client_method())))
        self.conn = ctypes.c_void_p(self.ssl.SSL_new(self.context))
        self.ssl.SSL_set_fd(self.conn, self.sock.fileno())
        equal(self.ssl.SSL_connect(self.conn), 1)

    def say(self, line):
        equal(self.ssl.SSL_write(self.conn, line, len(line)), len(line))

    def update_keys(self, count):
        """Asks for other keys so many times, and reads nothing. False where the server takes no more for a while."""
        self.sock.setblocking(False)
        for _ in range(count):
            self.ssl.SSL_key_update(self.conn, 1)  # SSL_KEY_UPDATE_REQUESTED
            patience = 200
            while self.ssl.SSL_do_handshake(self.conn) != 1:
                patience -= 1
                if patience == 0:
                    return False
                time.sleep(0.002)
        return True

    def close(self):
        self.ssl.SSL_free(self.conn)
        self.ssl.SSL_CTX_free(self.context)
        self.sock.close()


def test_key_updates_that_are_not_read(t):
    """TLS answers a KeyUpdate by itself. The answers to who reads none were kept without any bound."""
    s = t.server(threads=1, max_out=65536)
    bob, greedy = s.join("general", "bob"), t.keep(RawTls(s.port))
    greedy.say(b'{"type":"hello","version":1,"nick":"greedy"}\n{"type":"join","room":"general"}\n')
    bob.expect("presence", nick="greedy")
    for _ in range(10):  # more than kernels keep for who does not read
        fill(bob, "general", 100)
    check(not greedy.update_keys(100_000), "all of them were taken")
    bob.sync()


def test_unfinished_lines_hold_what_they_are(t):
    """A long line left its place, of its own length, to the first byte of the next one."""
    s = t.server(threads=1, max_line="1M", max_out="4M")
    crowd = [s.connect(f"n{i}") for i in range(20)]
    before = s.rss()
    for c in crowd:
        c.raw(b'{"type":"' + b"x" * 900_000 + b'"}\n{')
        equal(c.expect("error").code, "unknown_type")
    if not os.environ.get("CHATD_WRAP") and SCALE == 1:
        check(s.rss() - before < 8 << 20, f"grew by {s.rss() - before} bytes")
    for c in crowd:
        for piece in (b'"type":"p', b'ing","id', b'":"1"', b'}', b'\n'):
            c.raw(piece)
        equal(c.expect("pong").re, "1")
