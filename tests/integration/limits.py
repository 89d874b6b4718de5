"""limits.py: everything that a peer can make grow has a bound, and each bound is reached here."""
import os
import re
import sqlite3
import ssl
import time

from lib import SCALE, both, check, equal, run_chatd, wait_until
from lib.login import b64

NOBODY = "192.0.2.0/24"  # a network that nobody here is in: then the loopback is not trusted


def turned_away(c):
    """The connection is one too many: bye limit, FIN."""
    bye = c.ends_with("limit")
    check(bye.retry_after_ms > 0, "retry_after_ms", bye)
    equal([line for line in c.inbox if line.type != "error"], [])
    c.fin() if c.tls else c.cut()


def connect_when_free(s, **options):
    """Tries until a connection is taken and gives it."""
    deadline = time.monotonic() + 5 * SCALE
    while time.monotonic() < deadline:
        try:
            c = s.connect(**options)
            c.send("ping", id="p")
            if c.next().type == "pong":
                return c
            c.close()
        except ssl.SSLError:  # who is one too many is told so in plain
            pass
        time.sleep(0.01)
    raise AssertionError("no place became free")


def test_max_connections(t):
    s = t.server(max_connections=3, threads=2)
    taken = [s.connect(f"n{i}") for i in range(3)]
    for _ in range(4):
        turned_away(s.connect())
    for c in taken:
        c.sync()
    taken[1].ask("bye")
    taken[1].rest()
    taken[1].fin()
    s.log.close_of(taken[1].session)
    connect_when_free(s).hello("n1")


def test_max_connections_counts_every_end(t):
    """However they end, their places are free again."""
    s = t.server(max_connections=2)
    for i in range(12):
        c = connect_when_free(s, tls=bool(i % 2))
        (c.reset, c.close, c.fin, c.cut)[i % 4]()
    connect_when_free(s)
    connect_when_free(s)


def test_max_per_address(t):
    s = t.server(max_per_address=2, trusted=NOBODY)
    s.connect("a"), s.connect("b")
    turned_away(s.connect())
    other = s.connect("c", source="127.0.0.2")
    s.connect("d", source="127.0.0.2")
    turned_away(s.connect(source="127.0.0.2"))
    other.reset()
    s.log.close_of(other.session)
    connect_when_free(s, source="127.0.0.2")


def test_trusted_addresses(t):
    s = t.server(max_per_address=1, requests_per_second=1, trusted=["192.0.2.0/24", "127.0.0.5"])
    people = [s.connect(f"n{i}", source="127.0.0.5") for i in range(5)]
    for c in people:
        for _ in range(20):
            c.sync()
    s.connect("other")
    turned_away(s.connect())


def test_max_rooms_of_the_server(t):
    s = t.server(max_rooms=2, threads=2)
    ann, bob = s.connect("ann"), s.connect("bob")
    ann.ask("join", room="a")
    bob.ask("join", room="b")
    e = ann.refused("join", "server_rooms", room="c")
    equal(e.max, 2)
    equal(ann.ask("join", room="b").members, 2)
    equal({r.room for r in ann.ask_all("rooms")[0]}, {"a", "b"})


def test_max_rooms_of_a_connection(t):
    s = t.server(max_rooms_per_connection=2)
    ann = s.connect("ann")
    ann.ask("join", room="a")
    ann.ask("join", room="b")
    e = ann.refused("join", "too_many_rooms", room="c")
    equal(e.max, 2)
    ann.ask("join", room="a")  # in it already: no further room
    ann.ask("leave", room="a")
    ann.ask("join", room="c")
    ann.refused("join", "too_many_rooms", room="a")


def test_max_members(t):
    s = t.server(max_members=2, threads=2)
    ann, bob, carol = s.join("general", "ann"), s.join("general", "bob"), s.connect("carol")
    e = carol.refused("join", "room_full", room="general")
    equal(e.max, 2)
    carol.refused("send", "not_member", room="general", text="x")
    equal(ann.ask("join", room="general").members, 2)
    bob.ask("leave", room="general")
    equal(carol.ask("join", room="general").members, 2)
    bob.refused("join", "room_full", room="general")


@both
def test_requests_per_second_are_delayed(t):
    """Whoever asks too fast is read more slowly: nothing fails, nothing is lost, the order holds."""
    s = t.server(requests_per_second=10, trusted=NOBODY)
    c, other = s.connect("ann"), s.connect("bob")
    began = time.monotonic()
    for n in range(50):
        c.send("ping", id=str(n))
    other.sync()
    check(time.monotonic() - began < 1.0 * SCALE, "somebody else had to wait")
    for n in range(50):
        line = c.next(timeout=10.0)
        equal((line.type, line.re), ("pong", str(n)))
    took = time.monotonic() - began
    check(2.0 < took < 8.0 * SCALE, f"50 requests at 10 a second took {took:.1f} s")


def test_what_requests_cost(t):
    """What is more work than a ping counts for more of them."""
    s = t.server(requests_per_second=50, trusted=NOBODY)
    requests = {5: [{"type": "history", "room": "general"}, {"type": "who", "room": "general"}, {"type": "rooms"},
                    {"type": "auth", "data": ""}, {"type": "register"}],
                10: [{"type": "search", "query": "x"}], 1: [{"type": "ping"}, {"type": "topic", "room": "general"}]}
    asked = [(cost, r, s.join("general", f"n{cost}{n}")) for cost, all in requests.items() for n, r in enumerate(all)]
    began = time.monotonic()
    for cost, request, c in asked:  # a second's worth may be asked at once: the rest takes 1.5 s
        for n in range(125 // cost):
            c.send(**request)
        c.send("ping", id="last")
    while asked:
        for one in list(asked):
            one[2].pump(0.002)
            if any(line.get("re") == "last" for line in one[2].inbox):
                took = time.monotonic() - began
                check(1.2 < took < 4 * SCALE, f"{one[:2]}: {took:.2f} s")
                asked.remove(one)
        check(time.monotonic() - began < 10 * SCALE, f"no answer to {asked}")


def test_one_address_cannot_take_all_rooms(t):
    """By the defaults one address could be in as many rooms as there may be, and nobody else could make one."""
    out = run_chatd(t, "--check-config")[1]
    most, rooms, each = (int(re.search(rf"^{name} = (\d+)", out, re.M)[1])
                         for name in ("max-rooms", "max-per-address", "max-rooms-per-connection"))
    check(rooms * each <= most / 10, f"{rooms} connections in {each} rooms each, of {most}")


@both
def test_delayed_requests_are_carried_out_after_fin(t):
    """The FIN (on TLS: close_notify) comes with the requests, long before they may be carried out."""
    s = t.server(requests_per_second=10, trusted=NOBODY)
    c = s.connect("ann")
    c.raw("".join(f'{{"type":"ping","id":"{n}"}}\n' for n in range(30))).fin()
    lines = c.rest(timeout=10.0)
    equal([line.get("re") for line in lines], [*map(str, range(30)), None])
    equal(lines[-1].code, "eof")


def test_answers_that_are_not_read(t):
    """Someone who asks and asks and reads nothing is not read any more: the server's memory stays bounded."""
    s = t.server(max_out=65536)
    c = s.connect("ann", rcvbuf=4096)
    line = b'{"type":"ping","data":"' + b"x" * 10_000 + b'"}\n'
    with_id = line.replace(b"{", b'{"id":"1",', 1)
    before, sent = s.rss(), 0
    c.sock.setblocking(False)
    quiet_since = time.monotonic()
    while sent < 100_000_000 and time.monotonic() - quiet_since < 0.5:
        try:
            sent += c.sock.send(with_id[sent % len(with_id):] + with_id * 20)
            quiet_since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.005)
    check(sent < 50_000_000, "it was read on and on")
    if not os.environ.get("CHATD_WRAP") and SCALE == 1:
        check(s.rss() - before < 8 << 20, f"grew by {s.rss() - before} bytes")
    c.sock.settimeout(5)
    s.connect("bob").sync()
    got, tail = 0, sent % len(with_id)
    while got < sent // len(with_id):
        c.pump(5.0)
        got += len(c.inbox)
        c.inbox.clear()
    check(tail >= 0 and not c.eof, "it lives on")


def test_descriptors_run_out(t):
    """No descriptor left: accepting pauses, the log says so, nobody is cut; with some free again it goes on."""
    s = t.server(threads=1, nofile=48)
    crowd = [s.connect() for _ in range(60)]
    said = wait_until(lambda: [r for r in s.log.read() if r.get("level") in ("warn", "error")], "a line about it")
    check(any(re.search(r"descriptor|EMFILE|open files", " ".join(r.values())) for r in said), said)
    inside = len(s.log.find(event="accept"))
    check(20 < inside < 48, f"{inside} were accepted")
    ticks = cpu(s.pid)
    crowd[0].hello("first")
    time.sleep(0.5)
    check(cpu(s.pid) - ticks < 0.3, "it spins instead of waiting")
    check(len(s.log.find(level="warn")) + len(s.log.find(level="error")) < 10, "it fills the log")
    for c in crowd[:40]:
        c.close()
    for n, c in enumerate(crowd[40:]):
        c.hello(f"n{n}", timeout=10.0)
    s.log.wait(event="accept", count=60)


def cpu(pid):
    """CPU seconds that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_no_descriptor_is_leaked(t):
    s = t.server(threads=2)
    s.connect("first").ask("bye")
    before = s.descriptors()
    for i in range(60):
        c = s.connect(f"n{i}", tls=bool(i % 2))
        c.ask("join", room=f"r{i}")
        (c.reset, c.close, c.fin)[i % 3]()
        if i % 3 == 2:
            c.rest()
            c.close()
    s.log.wait(event="close", count=60)
    wait_until(lambda: s.descriptors() <= before, "the descriptors' return")


def account(s, nick):
    """A connection of that nick, which it has registered."""
    c = s.connect(nick)
    c.ask("register", public_key=b64(os.urandom(32)))
    return c


def leave(s, c):
    c.close()
    s.log.wait(conn=c.session, event="close")


def test_direct_conversations_of_an_account(t):
    """Guests begin 500 with one account, accounts 1000; what was begun goes on, and others have room of their own."""
    s = t.server(threads=2, data=t.path("data"), durability="process")
    ann, bob, first = account(s, "ann"), account(s, "bob"), s.connect("first")
    first.say("@ann", "hello")
    for i in range(499):
        c = s.connect(f"g{i}")
        c.say("@ann", "hello")
        leave(s, c)
    guest = s.connect("guest")
    e = guest.refused("send", "too_many_conversations", room="@ann", text="x")
    equal(e.max, 500)
    check("ann has 500 direct conversations" in e.text, "the text names whose and how many:", e.text)
    ann.refused("send", "too_many_conversations", room="@guest", text="x")
    first.say("@ann", "I was here before")
    ann.say("@first", "and go on")
    guest.say("@bob", "who else?")
    guest.refused("send", "too_many_conversations", room="@ann", text="x")
    for i in range(500):
        c = account(s, f"a{i}")
        c.say("@ann", "hello")
        leave(s, c)
    e = bob.refused("send", "too_many_conversations", room="@ann", text="x")
    equal(e.max, 1000)
    bob.say("@a7", "hello")
    first.say("@ann", "still here")


def test_max_accounts(t):
    s = t.server(max_accounts=2, data=t.path("data"))
    ann, bob, carol = account(s, "ann"), account(s, "bob"), s.connect("carol")
    e = carol.refused("register", "server_accounts", public_key=b64(os.urandom(32)))
    equal(e.max, 2)
    ann.ask("register", public_key=b64(os.urandom(32)))  # one key more: no further account
    leave(s, bob)
    s.stop()
    s = t.server(max_accounts=2, data=t.path("data"))
    s.connect("carol").refused("register", "server_accounts", public_key=b64(os.urandom(32)))


def set_rooms(t, last):
    db = sqlite3.connect(t.path("data/chatd.db"))
    db.execute("INSERT INTO rooms(id, name, epoch) VALUES(?, ?, 7)", (last, f"r{last}"))
    db.commit()
    db.close()


def test_max_kept_rooms(t):
    """On disk rooms stay: guests begin so many, accounts go on up to what the numbers of messages can bear."""
    s = t.server(data=t.path("data"), max_kept_rooms=2, requests_per_second=1_000_000)
    ann = s.connect("ann")
    for room in ("a", "b"):
        ann.ask("join", room=room)
        ann.say(room, "x")
    e = ann.refused("join", "server_rooms", room="c")
    check(e.max == 2 and "account" in e.text, e)
    bob = s.connect("bob")
    bob.ask("join", room="a")
    amy = s.connect("amy")
    amy.ask("register", public_key=b64(b"x" * 32))
    amy.ask("join", room="c")
    amy.say("c", "x")
    for c in (ann, bob, amy):
        c.close()
    s.stop()
    set_rooms(t, (1 << 23) - 2)
    s = t.server(data=t.path("data"), max_kept_rooms=8_000_000)
    ann = s.connect("ann")
    ann.ask("join", room=f"r{(1 << 23) - 2}")
    equal(ann.say(f"r{(1 << 23) - 2}", "x").seq, 1)
    equal([m.seq for m in ann.ask_all("history", room=f"r{(1 << 23) - 2}")[0]], [1])
    zoe = s.connect("zoe")
    zoe.ask("register", public_key=b64(b"y" * 32))
    equal(zoe.refused("join", "server_rooms", room="d").max, (1 << 23) - 2)
    zoe.refused("send", "storage", room="@amy", text="x")
    for c in (ann, zoe):
        c.close()
    s.stop()
    code, out, err = run_chatd(t, "--data", t.path("data"), "--check-data")
    equal((code, err), (0, ""))


def test_rooms_in_one_answer(t):
    """1000, in the order of their names; and what `next` asks for is what comes behind: all of them, each once."""
    s = t.server(data=t.path("data"), threads=2)
    ann = s.join("kept", "ann")
    ann.say("kept", "x")
    ann.close()
    s.stop()
    names = {f"r{n:04}" for n in range(2500)} | {f"{n}x" for n in range(20)} | {"-", "_", "..", "z" * 64}
    db = sqlite3.connect(t.path("data/chatd.db"))
    db.executemany("INSERT INTO rooms(name, epoch) VALUES(?, 7)", [(n,) for n in names | {"@" + "0" * 32, "@" + "f" * 32}])
    db.commit()
    db.close()
    s = t.server(data=t.path("data"), threads=2)
    ann = s.join("r0007", "ann")
    ann.ask("join", room="nothing.said")
    names |= {"kept", "nothing.said"}
    for prefix, wanted in ((None, sorted(names)), ("r", sorted(n for n in names if n[0] == "r")), ("r24", [f"r{n}" for n in range(2400, 2500)]),
                           ("1", sorted(n for n in names if n[0] == "1")), ("z", ["z" * 64]), ("nothing", ["nothing.said"]), ("zzzza", [])):
        got, fields = [], {} if prefix is None else {"prefix": prefix}
        while True:
            lines, end = ann.ask_all("rooms", **fields)
            check(len(lines) == end.count <= 1000 and (end.count == 1000 or not end.more), f"{end.count} rooms, more: {end.more}")
            got += [r.room for r in lines]
            equal([r.members for r in lines if r.room in ("r0007", "nothing.said")], [1] * sum(r.room in ("r0007", "nothing.said") for r in lines))
            if not end.more:
                break
            fields["next"] = end.next
        equal(got, wanted, prefix)
    for next in (5, None, "A b", "@ann"):
        equal(ann.refused("rooms", "bad_request", next=next).field, "next")
