"""stopping.py: SIGTERM, twice; SIGHUP."""
import os
import signal
import socket
import subprocess
import time

from lib import Log, SCALE, both, check, equal, raises, wait_until


@both
def test_sigterm_drains(t):
    """bye shutdown to all, FIN, theirs awaited, exit 0."""
    s = t.server(threads=2)
    ann, bob, silent = s.join("general", "ann"), s.join("general", "bob"), s.connect()
    silent.sync()
    s.signal(signal.SIGTERM)
    for c in (ann, bob, silent):
        c.ends_with("shutdown")
    ann.fin(), silent.fin()
    s.log.close_of(ann.session)
    time.sleep(0.2)
    check(s.process.poll() is None, "it did not wait for bob's FIN")
    raises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", s.port))
    bob.fin()
    equal(s.wait(), 0)
    for c in (ann, bob):
        close = s.log.close_of(c.session)
        equal((close["reason"], close["how"], close["ended-first"]), ("shutdown", "graceful", "self"))
    check(float(s.log.close_of(bob.session)["half-closed"].rstrip("s")) > 0.15, "bob took his time")


@both
def test_sigterm_delivers_what_is_queued(t):
    s = t.server(threads=2, max_out="16M")
    slow, bob = s.join("general", "slow", rcvbuf=4096), s.join("general", "bob")
    for _ in range(10):
        for _ in range(100):
            bob.send("send", room="general", text="x" * 4000)
        bob.take(100)
    s.signal(signal.SIGTERM)
    bob.ends_with("shutdown")
    bob.fin()
    lines = slow.rest(timeout=10.0)
    equal([line.seq for line in lines if line.type == "msg"], list(range(1, 1001)))
    equal((lines[-1].type, lines[-1].code), ("bye", "shutdown"))
    slow.fin()
    equal(s.wait(), 0)


def test_sigterm_with_nobody_there(t):
    s = t.server(threads=4)
    began = time.monotonic()
    equal(s.stop(), 0)
    check(time.monotonic() - began < 2 * SCALE, "it waited for nobody")


def test_drain_seconds(t):
    """Who does not end is not waited for any longer than that."""
    s = t.server(drain_seconds=1, linger_seconds=30)
    c = s.connect("ann")
    s.signal(signal.SIGTERM)
    c.ends_with("shutdown")
    began = time.monotonic()
    equal(s.wait(), 0)
    check(0.3 < time.monotonic() - began < 5 * SCALE, "about a second")
    s.log.close_of(c.session)


def test_who_has_all_and_does_not_close(t):
    """A client that had read everything and did not close its socket held up the stop for all of linger-seconds."""
    s = t.server(threads=2, drain_seconds=10, linger_seconds=10)
    early, c = s.connect("early"), s.connect("ann")
    early.ask("bye")
    s.log.wait(conn=early.session, event="shutdown")
    s.signal(signal.SIGTERM)
    c.ends_with("shutdown")
    began = time.monotonic()
    equal(s.wait(), 0)
    check(time.monotonic() - began < 3 * SCALE, "it was waited for")
    for who in (early, c):
        equal(s.log.close_of(who.session)["how"], "unfinished")  # no reset


def test_sigterm_overtakes_a_bye(t):
    """A bye with an id that still waited for what was to come before it got no answer when the server stopped."""
    s = t.server(threads=1, max_out=65536)
    slow, bob = s.join("general", "slow", rcvbuf=4096), s.join("general", "bob")
    for _ in range(10):
        for _ in range(100):
            bob.send("send", room="general", text="x" * 8000)
        bob.take(100, timeout=10.0)
    slow.raw('{"type":"ping","id":"p"}\n{"type":"bye","id":"b"}\n')
    bob.sync(), bob.sync()
    s.signal(signal.SIGTERM)
    bob.ends_with("shutdown")
    bob.fin()
    lines = slow.rest(timeout=10.0)
    equal((lines[-1].type, lines[-1].re), ("bye", "b"))
    slow.fin()
    equal(s.wait(), 0)


def test_stop_leaves_passwords_that_wait(t):
    """At a stop all the passwords in line were still made into verifiers, for nobody."""
    s = t.server(threads=1, linger_seconds=1)
    crowd = [s.connect(f"n{i}", tls=True) for i in range(60)]
    for c in crowd:
        c.send("register", password="correct horse battery staple", id="r")
    crowd[0].expect(re="r")
    s.signal(signal.SIGTERM)
    time.sleep(0.05)
    began = time.monotonic()
    s.signal(signal.SIGTERM)
    s.wait()
    check(time.monotonic() - began < 1 * SCALE, f"they took {time.monotonic() - began:.1f} s")


def test_drain_with_a_stuck_reader(t):
    s = t.server(drain_seconds=1)
    stuck, bob = s.join("general", "stuck", rcvbuf=4096), s.join("general", "bob")
    for _ in range(20):
        for _ in range(100):
            bob.send("send", room="general", text="x" * 8000)
        bob.take(100, timeout=10.0)
    s.signal(signal.SIGTERM)
    bob.ends_with("shutdown")
    bob.fin()
    equal(s.wait(), 0)
    close = s.log.close_of(stuck.session)
    check(close["how"] in ("aborted", "timeout", "unfinished", "reset"), close["how"])


def test_second_sigterm_ends_at_once(t):
    s = t.server(drain_seconds=60, linger_seconds=60)
    c = s.connect("ann")
    s.signal(signal.SIGTERM)
    c.ends_with("shutdown")
    time.sleep(0.1)
    check(s.process.poll() is None, "the first one did not wait")
    began = time.monotonic()
    s.signal(signal.SIGTERM)
    s.wait()
    check(time.monotonic() - began < 3 * SCALE, "the second one waited")
    s.log.close_of(c.session)


def test_sigint_is_sigterm(t):
    s = t.server()
    c = s.connect("ann")
    s.signal(signal.SIGINT)
    c.ends_with("shutdown")
    c.fin()
    equal(s.wait(), 0)


def test_port_is_free_at_once(t):
    """A stop and a start on the same port, with connections of before still in TIME_WAIT."""
    s = t.server()
    c = s.connect("ann")
    s.signal(signal.SIGTERM)
    c.ends_with("shutdown")
    c.fin()
    equal(s.wait(), 0)
    again = t.server(listen=f"127.0.0.1:{s.port}")
    again.connect("ann")


def test_sighup_reopens_the_log(t):
    s = t.server()
    one = s.connect("one")
    s.log.wait(conn=one.session, event="accept")
    os.rename(s.log_file, s.log_file + ".1")
    s.signal(signal.SIGHUP)
    wait_until(lambda: os.path.exists(s.log_file), "the new log")
    check(s.log.rest == "", "a torn line")
    s.log.offset = 0
    two = s.connect("two")
    s.log.wait(conn=two.session, event="accept")
    one.ask("bye")
    one.rest()
    one.fin()
    s.log.close_of(one.session)


def test_sighup_moves_the_log(t):
    """`log` may change on SIGHUP, to another file and to stderr; it was only opened anew where it was."""
    path, moved = t.path("chatd.conf"), t.path("moved.log")

    def write(text):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
    first = t.path("first.log")
    write(f"log = {first}\n")
    s = t.server(config=path, log=None)
    write(f"log = {moved}\n")
    s.signal(signal.SIGHUP)
    s.log = Log(moved)
    s.log.wait(event="reload")
    write(f"log = {t.path('no/such/place')}\n")
    s.signal(signal.SIGHUP)
    check("no/such/place" in s.log.wait(event="reload", what="log")["file"], "the log says what is wrong")
    write("")
    s.signal(signal.SIGHUP)
    wait_until(lambda: "event=reload" in s.stderr(), "a line on stderr")
    write(f"log = {first}\n")
    s.signal(signal.SIGHUP)
    s.log = Log(first)
    s.log.wait(event="reload")
    s.connect("ann")
    s.stderr_wanted = s.stderr()


def test_sighup_rereads_the_config(t):
    path = t.path("chatd.conf")

    def write(text):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
    write("max-rooms-per-connection = 1\n")
    s = t.server(config=path)
    c = s.connect("ann")
    c.ask("join", room="a")
    equal(c.refused("join", "too_many_rooms", room="b").max, 1)
    write("max-rooms-per-connection = 2\n")
    s.signal(signal.SIGHUP)
    wait_until(lambda: c.ask_any("join", room="b").type == "joined", "the new limit")
    equal(c.refused("join", "too_many_rooms", room="c").max, 2)
    write("max-rooms-per-connection = 2\nmax-line = lots\n")
    s.signal(signal.SIGHUP)
    line = wait_until(lambda: s.log.find(level="error") + s.log.find(level="warn"), "the log says what is wrong")[0]
    check("chatd.conf:2" in " ".join(line.values()), line)
    c.sync()


def test_sighup_takes_a_new_certificate(t):
    cert, key = t.path("cert.pem"), t.path("key.pem")
    make_certificate(cert, key, "first")
    s = t.server(cert=cert, key=key)
    first = s.connect("one", tls=True).tls.getpeercert(True)
    make_certificate(cert, key, "second")
    s.signal(signal.SIGHUP)
    wait_until(lambda: s.connect(tls=True).tls.getpeercert(True) != first, "the new certificate")


def make_certificate(cert, key, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "1", "-subj", f"/CN={name}", "-keyout", key, "-out", cert],
                   check=True, stderr=subprocess.DEVNULL)
