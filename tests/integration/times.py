"""times.py: pings, idleness, logging in, stalling: each by a small setting."""
import signal
import time

from lib import SCALE, both, check, equal, seconds


@both
def test_ping_then_idle(t):
    """Silence: a ping, and, with no answer, bye idle."""
    s = t.server(ping_seconds=1, idle_seconds=2)
    bob = s.connect("bob", hello={"on_eof": "stay"})
    bob.ask("join", room="general")
    bob.fin()
    c = s.join("general", "ann")
    began = time.monotonic()
    ping = c.expect("ping", timeout=4.0)
    equal(dict(ping), {"type": "ping"})
    check(0.5 < time.monotonic() - began < 3 * SCALE, "the ping's time")
    c.ends_with("idle")
    check(1.5 < time.monotonic() - began < 5 * SCALE, "the end's time")
    c.fin()
    equal(bob.expect("presence", nick="ann", event="detach").room, "general")
    close = s.log.close_of(c.session)
    equal((close["reason"], close["ended-first"], close["how"]), ("idle", "self", "graceful"))


@both
@seconds(45)
def test_any_line_answers_a_ping(t):
    s = t.server(ping_seconds=1, idle_seconds=2)
    c = s.connect("ann")
    for answer in (b"\n", b'{"type":"ping"}\n', b"nonsense\n", b"\r\n", b'{"type":"rooms","id":"r"}\n'):
        c.expect("ping", timeout=4.0)
        c.raw(answer)
    c.sync()
    check("bye" not in [line.type for line in c.inbox], "it was given up")


def test_pongless_but_talking(t):
    """Someone who talks all the time is never asked."""
    s = t.server(ping_seconds=1, idle_seconds=2)
    c = s.join("general", "ann")
    for _ in range(10):
        time.sleep(0.25)
        c.say("general", "x")
    equal([line.type for line in c.inbox if line.type != "msg"], [])


@both
def test_no_hello(t):
    s = t.server(login_seconds=1)
    c = s.connect()
    c.sync()
    c.ends_with("idle")


def test_nothing_at_all(t):
    """A connection that never says a byte ends too; and one that stays within its TLS handshake."""
    s = t.server(login_seconds=1, linger_seconds=1)
    silent, half = s.connect(), s.connect()
    half.raw(b"\x16\x03\x01\x02\x00\x01\x00")
    equal(silent.expect("bye", timeout=8.0).code, "idle")
    s.log.wait(event="close", count=2, timeout=8.0)
    silent.close(), half.close()


def test_slow_bytes_are_no_hello(t):
    """Bytes that trickle do not hold the place for ever."""
    s = t.server(login_seconds=2, linger_seconds=1)
    c = s.connect()
    began = time.monotonic()
    try:
        while not c.eof and time.monotonic() - began < 10 * SCALE:
            c.raw(b" ")
            c.pump(0.1)
    except (BrokenPipeError, ConnectionResetError):
        pass
    check(time.monotonic() - began < 8 * SCALE, "it was never ended")
    s.log.wait(event="close", timeout=8.0)


@both
@seconds(60)
def test_stall(t):
    """A client that takes nothing of what waits for it, for stall-seconds, is given up; the others do not notice."""
    s = t.server(stall_seconds=1, linger_seconds=1, threads=2)
    stuck, bob = s.join("general", "stuck", rcvbuf=4096), s.join("general", "bob")
    line = b'{"type":"send","room":"general","text":"' + b"x" * 8000 + b'"}\n'
    for _ in range(20):
        bob.flood(line * 100)
        bob.take(100, timeout=15.0)  # who is behind himself is not told who goes
    close = s.log.close_of(stuck.session, timeout=10.0)
    check(close["how"] in ("timeout", "aborted", "reset"), close["how"])
    check(close["reason"] in ("slow", "stalled"), close["reason"])
    equal(bob.expect("presence", nick="stuck").event, "detach")
    bob.say("general", "on we go")


def test_a_reload_with_other_times(t):
    """Who came before a reload waits as long as who came after it: a queue of connections has one duration, and stayed
    out of order when that became shorter, so that whoever came later waited for those with the old one."""
    path = t.path("chatd.conf")

    def write(idle):
        with open(path, "w", encoding="ascii") as f:
            f.write(f"ping-seconds = {idle // 2}\nidle-seconds = {idle}\n")
    write(120)
    s = t.server(config=path, threads=1)
    old = s.connect("old")
    write(2)
    s.signal(signal.SIGHUP)
    s.log.wait(event="reload")
    new = s.connect("new")
    for c in (old, new):
        c.expect("ping", timeout=4.0)
    for c in (old, new):
        c.ends_with("idle", timeout=4.0)
        c.close()
    late = s.connect("late")
    write(120)
    s.signal(signal.SIGHUP)
    s.log.wait(event="reload", count=2)
    time.sleep(2.5)
    late.sync()
    equal([line.type for line in late.inbox], [])
