"""faults.py: faults that careful reading has found, each with its story. None may come back."""
import json
import socket
import struct
import time

from lib import Client, both, check, equal, seconds, wait_until

NOBODY = "192.0.2.0/24"  # a network that nobody here is in: then the loopback is not trusted


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
