"""faults.py: faults that careful reading has found, each with its story. None may come back."""
import json
import signal
import socket
import struct
import threading
import time

from lib import both, check, equal


def lines(*requests):
    return "".join(json.dumps(r) + "\n" for r in requests)


def client_hello(ciphers):
    """A ClientHello by hand, with that many cipher suites, in as many records as it takes one: RFC 8446, section 4.1.2."""
    suites = b"\x13\x01" * ciphers
    body = b"\x03\x03" + bytes(32) + b"\x00" + struct.pack(">H", len(suites)) + suites + b"\x01\x00"
    extensions = struct.pack(">HHB2s", 43, 3, 2, b"\x03\x04")
    body += struct.pack(">H", len(extensions)) + extensions
    hello = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack(">H", len(hello)) + hello


def test_hello_with_too_many_suites(t):
    """A ClientHello whose list of cipher suites was over the bound was refused before its extensions were listed, and then
    the list of them, which nobody had made, was freed: whatever pointer was on the stack."""
    s = t.server()
    for n in (100, 257, 400, 2000) * 5:
        c = s.connect(tls=False)
        c.sock.sendall(client_hello(n))
        while c.sock.recv(4096):
            pass
        c.close()
    s.connect("ann")


def test_close_with_an_answer_on_its_way(t):
    """A request and broken TLS behind it in one segment: leaving the room flushed it, the acknowledgement let go of the
    connection while it was being closed, and the connection was freed twice."""
    s = t.server(threads=1)
    for i in range(5):
        c = s.join("general", f"n{i}", tls=True)
        c.tls.write(lines({"type": "send", "room": "general", "text": "hello"}).encode())
        c.sock.sendall(c.to_wire.read() + b"\x17\x03\x03\x00\x20" + bytes(32))
        equal(s.log.close_of(c.session)["reason"], "tls-error")
        c.close()
    equal(s.join("general", "ann").ask("history", room="general", limit=1).seq, 5)


def test_a_forged_resume(t):
    """A resume token with a wrong proof was refused, but the identity that it named was taken over all the same: whoever
    guessed it (they are given out in turn) and got the nick read what had been said to its earlier owner."""
    s = t.server(threads=1)
    ann, bob = s.connect("ann"), s.connect("bob")
    ann.ask("send", room="@bob", text="for your eyes only")
    bob.expect("msg")
    who = bob.welcome.resume[:16]
    bob.ask("bye")
    bob.rest()
    bob.fin()
    s.log.close_of(bob.session)
    mallory = s.connect("bob", hello={"resume": who + "0" * 32})
    check(mallory.welcome.resume[:16] != who, "the identity of another")
    messages, end = mallory.ask_all("history", room="@ann")
    equal(messages, [])


@both
def test_stopping_waits_for_the_homes(t):
    """A reactor with no connection left ended at once on SIGTERM, and with it the rooms at home there: who was behind in
    one of them, on another reactor, was fed no more, and hung until drain-seconds were over."""
    s = t.server(threads=2, max_out=65536, history=20_000)
    slow, bob = s.connect("slow", rcvbuf=4096), s.connect("bob")  # one on each reactor
    rooms = [f"room{i}" for i in range(6)]
    for room in rooms:
        slow.ask("join", room=room)
        bob.ask("join", room=room)
    for room in rooms:
        bob.flood(lines(*[{"type": "send", "room": room, "text": "x" * 4000}] * 150))
        bob.take(150, timeout=10.0, room=room)
    s.signal(signal.SIGTERM)
    bob.ends_with("shutdown")
    bob.fin()
    s.log.close_of(bob.session)
    got = slow.rest(timeout=8.0)
    for room in rooms:
        equal([line.seq for line in got if line.type == "msg" and line.room == room], list(range(1, 151)))
    equal((got[-1].type, got[-1].code), ("bye", "shutdown"))
    slow.fin()
    equal(s.wait(5.0), 0)


def test_coming_while_it_stops(t):
    """A connection that was on its way to its reactor when that was told to stop was taken in and told nothing: the stop
    waited for it. Where the reactor had ended by then, it was never closed, and the log had no close line."""
    for _ in range(8):
        s = t.server(threads=4, drain_seconds=20)
        stopping, socks = threading.Event(), []

        def knock():
            while not stopping.is_set():
                c = socket.socket()
                try:
                    c.connect(("127.0.0.1", s.port))
                except OSError:
                    return
                socks.append(c)
        knockers = [threading.Thread(target=knock) for _ in range(2)]
        for k in knockers:
            k.start()
        time.sleep(0.02)
        s.signal(signal.SIGTERM)
        equal(s.wait(5.0), 0)
        stopping.set()
        for k in knockers:
            k.join()
        for c in socks:
            c.close()
