"""faults.py: faults that careful reading has found, each with its story. None may come back."""
import json
import signal
import socket
import struct
import subprocess
import threading
import time
from collections import deque

from lib import SCALE, both, check, equal, seconds
from lib.login import login, need_scram, verifiers

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


@seconds(60)
def test_many_questions_at_once(t):
    """Nothing bounded the questions of one connection that were on their way to another reactor, only the answers that had
    come back: some KB of `history` in one write made hundreds of MB of answers."""
    s = t.server(threads=2)
    bobs = [s.connect(f"b{i}") for i in range(2)]
    for i in range(4):
        bobs[0].ask("join", room=f"room{i}")
        for _ in range(120):
            bobs[0].send("send", room=f"room{i}", text="x" * 8000)
        bobs[0].take(120, room=f"room{i}", timeout=10.0)
    for i in range(4):
        bobs[1].ask("join", room=f"room{i}")
    grown = []
    for room in range(4):  # some are at home on the other reactor
        before = s.rss()
        bobs[1].raw(lines(*[{"type": "history", "room": f"room{room}", "after": 0, "limit": 1000, "id": "h"}] * 80))
        time.sleep(0.5)
        grown.append(s.rss() - before)
        for _ in range(80):
            equal(bobs[1].expect("end", timeout=10.0).count, 120)
            bobs[1].inbox = deque(line for line in bobs[1].inbox if line.type == "end")
    if SCALE == 1:
        check(max(grown) < 30 << 20, f"80 questions cost {max(grown) >> 20} MB")


def test_requests_on_their_way(t):
    """The requests of one connection that were on their way were counted in 16 bits and not bounded."""
    s = t.server(threads=2)
    ann = s.connect("ann")
    for i in range(4):
        ann.ask("join", room=f"room{i}")
    many = 20_000
    ann.flood(lines(*[{"type": "send", "room": f"room{i % 4}", "text": "x"} for i in range(many)]), timeout=20.0)
    seqs = {f"room{i}": 0 for i in range(4)}
    while sum(seqs.values()) < many:
        line = ann.next(timeout=10.0)
        equal((line.type, line.seq), ("msg", seqs[line.room] + 1))
        seqs[line.room] += 1


def test_key_update(t):
    """A client asks for new keys (RFC 8446, section 4.6.3). The answer waited for the connection's next words in a buffer
    that another connection's words emptied first; what followed was encrypted by keys that the client knew nothing of."""
    s = t.server(threads=1)
    ann = s.join("general", "ann", tls=True)
    p = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{s.port}", "-alpn", "chat/1"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
    try:
        p.stdin.write(lines({"type": "hello", "version": 1, "nick": "bob"}))
        p.stdin.write(lines({"type": "join", "room": "general"}))
        p.stdin.flush()
        ann.expect("presence", nick="bob", event="join")
        for i in range(3):
            p.stdin.write("K\n")
            p.stdin.flush()
            time.sleep(0.3)
            ann.say("general", f"after {i}")
        time.sleep(0.3)
        p.stdin.write(lines({"type": "bye", "id": "b"}))
        p.stdin.flush()
        said = p.communicate(timeout=10)[0]
    finally:
        p.kill()
        p.wait()
    check("KEYUPDATE" in said, "s_client takes no K", said)
    for i in range(3):
        check(f'"text":"after {i}"' in said, f"after {i} did not come:", said[-1500:])


def test_noise_behind_close_notify(t):
    """What came behind a client's close_notify was read on and on in one turn, as long as there was more of it: nobody
    else on that reactor got a turn, and the stack grew."""
    s = t.server(threads=1)
    ann, loud = s.connect("ann"), s.connect("loud", tls=True, hello={"on_eof": "stay"})
    loud.notify()
    end, worst = time.monotonic() + 2.0, 0.0
    stop = threading.Event()

    def shout():
        loud.sock.settimeout(None)
        data = bytes(1 << 20)
        try:
            while not stop.is_set():
                loud.sock.sendall(data)
        except OSError:
            pass
    shouter = threading.Thread(target=shout)
    shouter.start()
    try:
        while time.monotonic() < end:
            began = time.monotonic()
            ann.sync()
            worst = max(worst, time.monotonic() - began)
            time.sleep(0.01)
    finally:
        stop.set()
        loud.close()
        shouter.join()
    check(worst < 1.0, f"a pong took {worst:.1f} s")


@seconds(60)
def test_comings_and_goings_for_a_slow_reader(t):
    """Who comes and who goes was queued for a slow reader without any bound."""
    s = t.server(threads=1, max_out=65536)
    slow, restless = s.join("general", "slow", rcvbuf=4096), s.connect("restless")
    step = lines({"type": "join", "room": "general"}, {"type": "leave", "room": "general"})
    for _ in range(300):
        restless.flood(step * 200, timeout=20.0)
        restless.sync()
    bob = s.join("general", "bob")
    equal(bob.say("general", "still there?").seq, 1)
    slow.bytes_in = 0
    slow.expect("msg", timeout=20.0)
    check(slow.bytes_in < 6 << 20, f"{slow.bytes_in} bytes had been queued")
    slow.sync()


def test_login_seconds_of_who_asks_too_fast(t):
    """Whoever asked too much before its hello was, when it was read again, treated as one who had said hello: it could
    stay for ever."""
    s = t.server(login_seconds=1, requests_per_second=5, trusted=NOBODY)
    c = s.connect()
    c.raw(lines(*[{"type": "ping", "id": str(i)} for i in range(8)]))
    c.ends_with("idle")
    c.fin()


def test_a_direct_message_while_reading_history(t):
    """Answers that a client had asked for itself counted for its being too slow for a direct message: it was cut off in the
    midst of its history."""
    s = t.server(max_out=65536, threads=1)
    slow, bob = s.connect("slow", rcvbuf=4096), s.join("general", "bob")
    for _ in range(4):
        for _ in range(100):
            bob.send("send", room="general", text="x" * 8000)
        bob.take(100, timeout=10.0)
    slow.ask("join", room="general")
    for i in range(4):
        slow.send("history", room="general", after=0, limit=1000, id=f"h{i}")
    time.sleep(0.5)
    bob.ask("send", room="@slow", text="psst")
    slow.expect("end", re="h3", timeout=10.0)
    equal(slow.expect("msg", room="@bob", timeout=10.0).text, "psst")
    slow.sync()


def in_one_turn(s, *said):
    """What these clients say is there when the server looks, and in this order."""
    s.signal(signal.SIGSTOP)
    for c, requests in said:
        c.raw(lines(*requests))
    s.signal(signal.SIGCONT)
    for c, requests in said:
        c.take(len(requests))


def test_too_slow_for_two_conversations_at_once(t):
    """An account's connection that was too slow for what one said to it directly left a conversation in which the other one had
    just said something: the account's next connection was too slow for that, and the server ended for its nick, gone already."""
    need_scram(t)
    for odd in (0, 1):  # the rooms of a turn speak in the opposite order: carol is not to be the one who is too much
        s = t.server(threads=1, max_rooms_per_connection=1, max_out=65536)
        bob, carol, ann, slow = s.connect("bob"), s.connect("carol"), s.connect("ann"), []
        ann.ask("register", **verifiers("correct horse"))
        ann.close()
        s.log.wait(conn=ann.session, event="close")
        for room in ("@carol", "general"):
            slow.append(s.connect(rcvbuf=4096))
            equal(login(slow[-1], "ann", "correct horse").type, "authenticated")
            slow[-1].hello("ann")
            slow[-1].ask("join", room=room)
        eve = s.join("general", "eve")
        for n in range(1000):
            much = (bob, [{"type": "send", "room": "@ann", "text": "x" * 8000}] * 7)
            little = (carol, [{"type": "send", "room": "@ann", "text": "me too"}])
            in_one_turn(s, *((little, much) if n % 2 == odd else (much, little)))
            eve.sync()
            if any(line.type == "presence" for line in eve.inbox):
                break
        equal(eve.expect("presence").nick, "ann")
        for c in (*slow, bob, carol, eve):
            c.reset()
        s.stop()


def test_leave_makes_place_for_a_join(t):
    """Requests are carried out in their order: a room that is being left is no room that one is in."""
    s = t.server(max_rooms_per_connection=1, threads=4)
    ann = s.connect("ann")
    ann.ask("join", room="room0")
    for i in range(1, 9):
        ann.send("leave", room=f"room{i - 1}")
        equal(ann.ask_any("join", room=f"room{i}").type, "joined")
    ann.refused("join", "too_many_rooms", room="another")


@both
def test_own_words_behind_a_full_queue(t):
    """Right before its bye a client had said something which its own full queue had no place for: it had fallen behind,
    but its bye was due already, and its words were lost to it."""
    s = t.server(threads=1, max_out=65536)
    for n in range(200, 460, 20):  # the kernel takes some of it, nobody knows how much
        slow = s.connect(f"slow{n}", rcvbuf=4096)
        slow.ask("join", room=f"room{n}")
        slow.raw(lines(*[{"type": "ping", "id": "p", "data": "x" * 8000}] * n))
        time.sleep(0.05)
        slow.raw(lines({"type": "send", "room": f"room{n}", "text": "mine"}, {"type": "bye"}))
        got = slow.rest(timeout=10.0)
        equal([line.text for line in got if line.type == "msg"], ["mine"], f"after {n} pings")
        slow.fin()


@seconds(60)
def test_much_to_write_after_fin(t):
    """After a client's FIN the kernel only tells of changes. Where a turn's share was written and the kernel would have
    taken more, there was none: the rest waited until the connection was given up as stalled."""
    s = t.server(threads=2, stall_seconds=20)
    ann = s.connect("ann", tls=True, rcvbuf=8 << 20)
    for i in range(2):
        ann.ask("join", room=f"room{i}")
        for _ in range(120):
            ann.send("send", room=f"room{i}", text="x" * 8000)
        ann.take(120, room=f"room{i}", timeout=10.0)
    n = 12
    ann.raw(lines(*[{"type": "history", "room": f"room{i % 2}", "after": 0, "limit": 1000, "id": str(i)} for i in range(n)]))
    ann.fin()
    got = ann.rest(timeout=10.0)
    equal(sorted(int(line.re) for line in got if line.type == "end"), list(range(n)))
