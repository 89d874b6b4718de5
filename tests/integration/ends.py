"""ends.py: how connections end: FIN, close_notify, reset, bye; what the peer sees and what the log says.

The connections of nc and openssl are the real programs, as a person would use them."""
import json
import re
import signal
import socket
import subprocess
import time

from lib import LONG, SCALE, Line, both, check, equal, seconds, wait_until

CONVERSATION = ({"type": "hello", "version": 1, "nick": "ann", "id": "1"},
                {"type": "join", "room": "general", "id": "2"},
                {"type": "send", "room": "general", "text": "one", "id": "3"},
                {"type": "send", "room": "general", "text": "two", "id": "4"})


def as_lines(requests):
    return "".join(json.dumps(r) + "\n" for r in requests)


def check_conversation(lines, code):
    """The answers to CONVERSATION, both messages, and bye as the last line. Gives the session."""
    answers = [line for line in lines if "re" in line]
    pushed = [line for line in lines if "re" not in line]
    equal([(a.type, a.re) for a in answers[:4]], [("welcome", "1"), ("joined", "2"), ("ack", "3"), ("ack", "4")])
    equal([a.seq for a in answers[2:4]], [1, 2])
    equal([(m.type, m.seq, m.text) for m in pushed[:2]], [("msg", 1, "one"), ("msg", 2, "two")])
    equal((lines[-1].type, lines[-1].code), ("bye", code))
    equal(len(lines), 7)
    return answers[0].session


def in_order(events, *wanted):
    places = [events.index(w) for w in wanted if w in events]
    check(len(places) == len(wanted) and places == sorted(places), f"{wanted} in {events}")


# ---- nc ----

def test_nc_half_close(t):
    """printf | nc -N: the FIN comes right behind the requests, and everything is still answered."""
    s = t.server(threads=2)
    nc = subprocess.run(["nc", "-N", "127.0.0.1", str(s.port)], input=as_lines(CONVERSATION), text=True,
                        stdout=subprocess.PIPE, timeout=10 * SCALE, check=True)
    session = check_conversation([Line(json.loads(x)) for x in nc.stdout.splitlines()], "eof")
    close = s.log.close_of(session)
    events = s.log.events(session)
    in_order(events, "accept", "recv-fin", "shutdown", "close")
    equal(events.count("close"), 1)
    accept, = s.log.find(conn=session, event="accept")
    check(accept["state"] in ("ESTABLISHED", "CLOSE_WAIT"), accept["state"])  # nc's FIN may be there already
    equal(s.log.find(conn=session, event="recv-fin")[0]["state"], "CLOSE_WAIT")
    equal(s.log.find(conn=session, event="shutdown")[0]["state"], "LAST_ACK")
    equal((close["ended-first"], close["reason"]), ("peer", "eof"))
    check(close["how"] in ("graceful", "half-closed"), close["how"])
    equal((close["msgs-in"], close["msgs-out"]), ("4", "7"))
    equal((close["bytes-in"], close["bytes-out"]), (str(len(as_lines(CONVERSATION))), str(len(nc.stdout.encode()))))


def test_nc_is_killed(t):
    """kill -9 of a client: its kernel says FIN for it."""
    s = t.server()
    bob = s.join("general", "bob")
    nc = subprocess.Popen(["nc", "127.0.0.1", str(s.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        nc.stdin.write(as_lines(CONVERSATION[:2]))
        nc.stdin.flush()
        session = json.loads(nc.stdout.readline())["session"]
        bob.expect("presence", nick="ann", event="join")
        wait_until(lambda: nc.stdout.readline(), "joined")
        nc.kill()
        bob.expect("presence", nick="ann", event="detach")
    finally:
        nc.kill()
        nc.wait()
        nc.stdin.close()
        nc.stdout.close()
    close = s.log.close_of(session)
    equal(close["ended-first"], "peer")
    in_order(s.log.events(session), "accept", "recv-fin", "close")


# ---- openssl s_client ----

class SClient:
    """openssl s_client -quiet, spoken with through pipes."""

    def __init__(self, port, *options):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-quiet", "-alpn", "chat/1", *options, "-connect", f"127.0.0.1:{port}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def say(self, requests):
        self.process.stdin.write(as_lines(requests))
        self.process.stdin.flush()

    def lines(self, count):
        return [Line(json.loads(self.process.stdout.readline())) for _ in range(count)]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def test_s_client_bye(t):
    """The server's close_notify and FIN come first, the client's answer them."""
    s = t.server(threads=2)
    c = t.keep(SClient(s.port))
    c.say([*CONVERSATION, {"type": "bye", "id": "5"}])
    session = check_conversation(c.lines(7), "bye")
    equal(c.process.wait(5 * SCALE), 0)
    close = s.log.close_of(session)
    events = s.log.events(session)
    in_order(events, "accept", "tls-handshake", "send-close-notify", "shutdown", "recv-fin", "close")
    in_order(events, "recv-close-notify", "recv-fin")
    equal((close["ended-first"], close["how"], close["reason"]), ("self", "graceful", "bye"))


def test_s_client_ends_first(t):
    """The client's close_notify and FIN come first (-no_ign_eof: at the end of its input)."""
    s = t.server(threads=2)
    c = t.keep(SClient(s.port, "-no_ign_eof"))
    c.say(CONVERSATION)
    session = next(line for line in c.lines(6) if line.type == "welcome").session
    c.process.stdin.close()
    equal(c.process.wait(5 * SCALE), 0)
    close = s.log.close_of(session)
    events = s.log.events(session)
    in_order(events, "accept", "tls-handshake", "recv-close-notify", "send-close-notify", "close")
    in_order(events, "recv-close-notify", "recv-fin", "close")
    in_order(events, "send-close-notify", "shutdown", "close")
    equal((close["ended-first"], close["reason"]), ("peer", "eof"))


# ---- each end, exactly ----

@both
def test_half_close_at_once(t):
    s = t.server(threads=2)
    c = s.connect()
    c.raw(as_lines(CONVERSATION)).fin()
    session = check_conversation(c.rest(), "eof")
    close = s.log.close_of(session)
    events = s.log.events(session)
    if t.tls:  # its FIN may be read later than its close_notify, which is what ends its requests
        in_order(events, "tls-handshake", "recv-close-notify", "send-close-notify", "shutdown", "close")
        in_order(events, "recv-close-notify", "recv-fin", "close")
    else:
        in_order(events, "recv-fin", "shutdown", "close")
    equal((close["ended-first"], close["bytes-in"], close["bytes-out"]), ("peer", str(c.bytes_out), str(c.bytes_in)))


def test_close_notify_alone(t):
    """TLS: the client's close_notify ends its requests, also while its FIN is still to come."""
    t.tls = True
    s = t.server()
    c = s.connect("ann").notify()
    equal(c.rest()[-1].code, "eof")
    s.log.wait(conn=c.session, event="shutdown")
    in_order(s.log.events(c.session), "recv-close-notify", "send-close-notify", "shutdown")
    check("recv-fin" not in s.log.events(c.session), "a FIN that was not sent")
    c.sock.shutdown(socket.SHUT_WR)
    equal(s.log.close_of(c.session)["ended-first"], "peer")


def test_truncated(t):
    """TLS: FIN without close_notify. What came before it is carried out; the log says truncated."""
    t.tls = True
    s = t.server(threads=2)
    c = s.connect()
    c.raw(as_lines(CONVERSATION)).cut()
    session = check_conversation(c.rest(), "eof")
    close = s.log.close_of(session)
    equal((close["how"], close["ended-first"]), ("truncated", "peer"))
    check("recv-close-notify" not in s.log.events(session), "a close_notify that was not sent")
    fin, = s.log.find(conn=session, event="recv-fin")
    equal(fin.get("tls"), "truncated")


@both
def test_bye_graceful(t):
    s = t.server()
    c = s.connect("ann")
    bye = c.ask("bye", text="good night")
    equal((bye.code, bye.type), ("bye", "bye"))
    equal(c.rest(), [])
    fin = s.log.wait(conn=c.session, event="shutdown")
    check(fin["state"] in ("FIN_WAIT_1", "FIN_WAIT_2", "FIN_WAIT1", "FIN_WAIT2"), fin["state"])
    check("close" not in s.log.events(c.session), "closed before the client's FIN")
    c.fin()
    close = s.log.close_of(c.session)
    equal((close["ended-first"], close["how"], close["reason"]), ("self", "graceful", "bye"))


@both
def test_requests_after_bye(t):
    """What follows bye is not heard, and no reset comes of it."""
    s = t.server()
    c = s.connect("ann")
    c.send("bye", id="b")
    c.send("ping", id="p")
    c.send("join", room="general")
    equal([(line.type, line.get("re")) for line in c.rest()], [("bye", "b")])
    c.send("ping")
    c.fin()
    close = s.log.close_of(c.session)
    equal((close["how"], close["reason"]), ("graceful", "bye"))


def test_bye_fields(t):
    c = t.server().connect("ann")
    equal(c.refused("bye", "bad_request", text=5).field, "text")
    e = c.refused("bye", "too_long", text="x" * 513)
    equal((e.field, e.max), ("text", 512))
    c.send("bye", text="x" * 512)
    bye = c.expect("bye")
    equal((bye.code, "re" in bye), ("bye", False))
    equal(c.rest(), [])


@both
def test_incomplete(t):
    """A last line without LF is not carried out."""
    s = t.server()
    bob = s.join("general", "bob")
    c = s.join("general", "ann")
    c.raw('{"type":"send","room":"general","text":"cut off","id":"x"}').fin()
    lines = [line for line in c.rest() if line.type != "presence"]
    equal([(line.type, line.code) for line in lines], [("error", "incomplete"), ("bye", "eof")])
    bob.expect("presence", nick="ann", event="detach")
    bob.quiet("msg")


@both
def test_end_before_hello(t):
    s = t.server()
    c = s.connect()
    c.raw("\n").fin()
    equal([line.get("code") for line in c.rest()], ["eof"])


def test_nothing_said(t):
    """Connections that say nothing: FIN, or a reset. Each has its close line."""
    s = t.server()
    one = s.connect(tls=False).fin()
    wait_until(lambda: one.pump(0.01) or one.eof, "the server's FIN")
    two = s.connect(tls=False)
    s.log.wait(event="accept", count=2)
    two.reset()
    s.log.wait(event="close", count=2)


@both
def test_reset_by_the_client(t):
    s = t.server(threads=2)
    bob = s.join("general", "bob")
    c = s.join("general", "ann")
    c.reset()
    close = s.log.close_of(c.session)
    equal((close["how"], close["ended-first"]), ("reset", "none"))
    rst, = s.log.find(conn=c.session, event="recv-rst")
    equal((rst["ret"], rst["errno"]), ("-1", "ECONNRESET"))
    bob.expect("presence", nick="ann", event="detach")
    equal(s.log.events(c.session).count("close"), 1)


@both
def test_reset_after_fin(t):
    """The client ends its side, then gives up on the rest."""
    s = t.server(threads=2)
    c = s.connect("ann", hello={"on_eof": "stay"})
    c.ask("join", room="general")
    c.fin()
    s.log.wait(conn=c.session, event="recv-fin")
    c.reset()
    close = s.log.close_of(c.session)
    equal((close["how"], close["ended-first"]), ("reset", "peer"))


@both
def test_reset_while_output_waits(t):
    s = t.server(threads=2)
    c = s.join("general", "ann", rcvbuf=4096)
    bob = s.join("general", "bob")
    for _ in range(2000):
        bob.send("send", room="general", text="x" * 4000)
        bob.pump(0.0)
    bob.take(2000, timeout=15.0)
    c.reset()
    equal(s.log.close_of(c.session)["how"], "reset")
    bob.expect("presence", nick="ann", event="detach")


def read_slowly(c, pause=0.0005, bite=4096):
    """Reads in small bites to the server's FIN."""
    while not c.eof:
        readable = c.sock.recv(bite)
        if not readable:
            c.eof = True
        elif c.tls:
            c.from_wire.write(readable)
            c._decrypt()
        else:
            c._take(readable)
        time.sleep(pause)


@both
@seconds(120)
def test_queued_messages_after_fin(t):
    """Much is queued towards a client that has sent its FIN and reads slowly: all of it comes, then bye, then FIN."""
    count, size = (50_000, 64) if LONG else (5_000, 1000)
    s = t.server(threads=2, history_bytes="1G")
    slow = s.join("general", "slow", rcvbuf=4096)
    bob = s.join("general", "bob")
    text = "x" * size
    for first in range(0, count, 500):
        bob.flood(as_lines([{"type": "send", "room": "general", "text": text}] * 500))
    for seq in range(1, count + 1):
        equal(bob.expect("msg", timeout=30.0).seq, seq)
    slow.fin()
    s.log.wait(conn=slow.session, event="recv-fin")
    read_slowly(slow)
    lines = slow.rest()
    equal((lines[-1].type, lines[-1].code), ("bye", "eof"))
    msgs = [line for line in lines if line.type == "msg"]
    equal([m.seq for m in msgs], list(range(1, count + 1)))
    equal({line.type for line in lines}, {"presence", "msg", "bye"})
    close = s.log.close_of(slow.session)
    equal((close["how"], close["ended-first"], close["reason"]), ("half-closed", "peer", "eof"))
    equal(close["bytes-out"], str(slow.bytes_in))
    check("recv-rst" not in s.log.events(slow.session), "a reset")


@both
def test_messages_after_the_fin_are_not_waited_for(t):
    """Whatever is said after the FIN was read does not keep the connection: a busy room lets go of it. What was said before is
    all delivered: the last of it once was still under way between two reactors when the one read the FIN, and was lost."""
    s = t.server(threads=2)
    slow = s.join("general", "slow", rcvbuf=4096)
    bob = s.join("general", "bob")
    bob.flood(as_lines([{"type": "send", "room": "general", "text": "x" * 2000}] * 1000))
    bob.take(1000)
    slow.fin()
    s.log.wait(conn=slow.session, event="recv-fin")
    bob.flood(as_lines([{"type": "send", "room": "general", "text": "late"}] * 1000))
    bob.take(1000)
    lines = slow.rest(timeout=20.0)
    equal((lines[-1].type, lines[-1].code), ("bye", "eof"))
    seqs = [line.seq for line in lines if line.type == "msg"]
    equal(seqs, list(range(1, len(seqs) + 1)))
    check(len(seqs) >= 1000, f"only {len(seqs)} of the 1000 messages from before the FIN")


@both
def test_a_busy_room_lets_go(t):
    """The same while the room never falls silent, and says more than the slow client takes."""
    s = t.server(threads=2, max_out=65536, history_bytes="1G")
    slow = s.join("general", "slow", rcvbuf=4096)
    bob = s.join("general", "bob")
    line = as_lines([{"type": "send", "room": "general", "text": "x" * 2000}])
    bob.flood(line * 6000)  # 12 MB: more than kernels buffer
    bob.ask("ping", timeout=30.0)  # behind the last of them: the room has them all
    slow.fin()
    deadline = time.monotonic() + 15 * SCALE
    while not slow.eof:
        check(time.monotonic() < deadline, "the room went on, and the connection with it")
        bob.flood(line * 20)
        bob.inbox.clear()
        slow.pump(0.001)
    lines = slow.rest()
    equal((lines[-1].type, lines[-1].code), ("bye", "eof"))
    seq = 0
    for line in lines:  # the room may have let go of what was still to be read
        if line.type in ("msg", "gap"):
            equal(line.get("seq", line.get("from")), seq + 1)
            seq = line.get("seq", line.get("to"))
    check(seq >= 6000, f"the room had 6000 messages, the last one told was {seq}")


@both
def test_stay(t):
    """on_eof stay: the FIN ends the requests, and the client goes on listening."""
    s = t.server(threads=2, ping_seconds=1, idle_seconds=2)
    ann = s.connect("ann", hello={"on_eof": "stay"})
    ann.ask("join", room="general")
    ann.fin()
    equal(s.log.wait(conn=ann.session, event="recv-fin")["state"], "CLOSE_WAIT")
    bob = s.join("general", "bob")
    ann.expect("presence", nick="bob", event="join")
    for n in range(1, 6):
        bob.say("general", f"m{n}")
        equal(ann.expect("msg").seq, n)
        time.sleep(0.5)  # beyond idle-seconds in all: a listener cannot answer a ping
    equal(bob.say("@ann", "you too").seq, 1)
    equal(ann.expect("msg").room, "@bob")
    check("bye" not in [line.type for line in ann.inbox], "a listener was given up")
    bob.close()
    s.signal(signal.SIGTERM)
    ann.ends_with("shutdown")
    equal(s.wait(), 0)
    close = s.log.close_of(ann.session)
    equal((close["ended-first"], close["how"], close["reason"]), ("peer", "half-closed", "shutdown"))
    check(float(close["half-closed"].rstrip("s")) > 2.5, close["half-closed"])


def test_stay_ends_with_the_client(t):
    s = t.server()
    ann = s.connect("ann", hello={"on_eof": "stay"})
    ann.ask("join", room="general")
    ann.fin()
    s.log.wait(conn=ann.session, event="recv-fin")
    bob = s.join("general", "bob")
    ann.expect("presence", event="join")
    ann.close()
    for n in range(20):
        bob.say("general", f"m{n}")
    equal(bob.expect("presence", nick="ann").event, "detach")
    s.log.close_of(ann.session)


@both
def test_peer_that_will_not_stop(t):
    """A client that goes on sending after bye gets a reset in the end, by the server's word in the log."""
    s = t.server(linger_seconds=1)
    c = s.connect("ann")
    c.ask("bye")
    c.rest()
    data = b"x" * 65536

    def push():
        try:
            c.sock.send(data)
        except (ConnectionResetError, BrokenPipeError):
            return True
        return False
    c.sock.settimeout(0.2)
    deadline = time.monotonic() + 10 * SCALE
    while time.monotonic() < deadline:
        try:
            if push():
                break
        except TimeoutError:
            continue
    else:
        raise AssertionError("it was never stopped")
    close = s.log.close_of(c.session)
    equal((close["how"], close["ended-first"]), ("aborted", "self"))


@both
def test_peer_that_does_not_end(t):
    """A client that reads bye and then just stays is waited for linger-seconds."""
    s = t.server(linger_seconds=1)
    c = s.connect("ann")
    c.ask("bye")
    c.rest()
    began = time.monotonic()
    s.log.close_of(c.session)
    check(0.5 < time.monotonic() - began < 4 * SCALE, "after a second or so")


def test_ids_and_ends_of_many(t):
    """A hundred connections of all sorts, one after the other: a hundred ids, each with its one life."""
    s = t.server(threads=4)
    for i in range(100):
        c = s.connect(f"n{i}", tls=bool(i & 1))
        c.ask("join", room=f"r{i % 7}")
        (c.reset, c.close, c.fin, lambda: c.ask("bye"))[i % 4]()
    wait_until(lambda: len(s.log.find(event="close")) >= 75, "the ends")
    equal(len({r["conn"] for r in s.log.find(event="accept")}), 100)
    check(re.fullmatch(r"\S+", c.session), c.session)
