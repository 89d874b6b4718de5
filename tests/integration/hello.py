"""hello.py: who a connection is: hello, nicks, versions, resuming."""
import pathlib
import re

from lib import both, check, equal

PROTOCOL = pathlib.Path(__file__).resolve().parents[2] / "protocol" / "PROTOCOL.md"


@both
def test_welcome(t):
    s = t.server()
    c = s.connect()
    w = c.ask("hello", version=1, nick="ann", agent="tests 1.0", extra={"never": ["heard", "of"]})
    equal((w.type, w.version, w.nick), ("welcome", 1, "ann"))
    check(re.fullmatch(r"chatd \d+\.\d+\.\d+\S*", w.server), w.server)
    check(isinstance(w.resume, str) and 16 <= len(w.resume) <= 128, "resume:", w.resume)
    check(w.time > 1_700_000_000_000, "time is in milliseconds:", w.time)
    accept = s.log.wait(conn=w.session, event="accept")
    host, port = c.sock.getsockname()
    equal(accept["peer"], f"{host}:{port}")
    equal(accept["local"], f"127.0.0.1:{s.port}")


def test_limits_are_those_of_the_document(t):
    """PROTOCOL.md's table of limits has the defaults, and welcome has each of them."""
    table = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", PROTOCOL.read_text(encoding="utf-8"), re.M))
    limits = t.server().connect("ann").welcome.limits
    equal(limits, {name: int(value) for name, value in table.items()})


def test_limits_follow_the_options(t):
    s = t.server(max_line=4096, max_rooms_per_connection=7, history=20, presence_max=3, ping_seconds=11,
                 idle_seconds=33, requests_per_second=44, max_out=100_000)
    equal(s.connect("ann").welcome.limits,
          {"max_line": 4096, "max_text": 8192, "max_rooms": 7, "history": 20, "presence_max": 3, "ping_s": 11,
           "idle_s": 33, "requests_per_s": 44, "max_out": 100_000})


def test_hello_comes_first(t):
    c = t.server().connect()
    for request in ({"type": "join", "room": "a"}, {"type": "leave", "room": "a"}, {"type": "rooms"},
                    {"type": "send", "room": "a", "text": "x"}, {"type": "history", "room": "a"},
                    {"type": "who", "room": "a"}, {"type": "topic", "room": "a", "text": "x"}):
        c.refused(code="hello_first", **request)
    equal(c.ask("ping", data=5).data, 5)
    c.hello("ann")
    c.refused("hello", "already", version=1, nick="ann")
    c.refused("hello", "already", version=1, nick="bob")
    equal(c.ask("join", room="a").members, 1)


def test_bye_before_hello(t):
    c = t.server().connect()
    equal(c.ask("bye").code, "bye")
    equal(c.rest(), [])


def test_version_of_another_time(t):
    c = t.server().connect()
    for version in (0, 2, 99, 9007199254740991):
        e = c.refused("hello", "bad_version", version=version, nick="ann")
        equal((e.min, e.max), (1, 1))
        check("1" in e.text, "the text says which version is spoken:", e.text)
    for version in ("1", 1.5, -1, None, True, 9007199254740992):
        equal(c.refused("hello", "bad_request", version=version, nick="ann").field, "version")
    equal(c.refused("hello", "bad_request", nick="ann").field, "version")
    c.hello("ann")


def test_bad_nicks(t):
    c = t.server().connect()
    for nick in ("", "a b", "a\nb", "@ann", "a/b", "😀", "a\u200bb", "x" * 33, "安" * 11, "a\u0000b", "a\u0007", "#a",
                 "a\u202eb", "\u0301a"):
        c.refused("hello", "bad_nick", version=1, nick=nick)
    for nick in (5, None, ["ann"], {"nick": "ann"}, True):
        equal(c.refused("hello", "bad_request", version=1, nick=nick).field, "nick")
    equal(c.refused("hello", "bad_request", version=1).field, "nick")


def test_good_nicks(t):
    s = t.server()
    for nick in ("a", "Ann-Marie.o_o", "7", "x" * 32, "安" * 10, "Ünï", "Жанна", "अनु", "عمر", "._-", "né"):
        equal(s.connect(nick).welcome.nick, nick)


def test_look_alikes_are_one_nick(t):
    s = t.server()
    s.connect("Ann"), s.connect("Straße"), s.connect("Ünï")
    for nick in ("Ann", "ann", "ANN", "ＡＮＮ", "STRASSE", "strasse", "ÜNÏ", "u\u0308ni\u0308"):
        s.connect().refused("hello", "nick_in_use", version=1, nick=nick)
    s.connect("anna")


@both
def test_nick_is_free_after_the_end(t):
    s = t.server()
    c = s.connect("ann")
    c.ask("bye")
    c.rest()
    s.connect("ann").fin().ends_with("eof")
    s.connect("ann")


def test_other_fields_of_hello(t):
    c = t.server().connect()
    for fields, field in (({"on_eof": "linger"}, "on_eof"), ({"on_eof": 1}, "on_eof"), ({"agent": 5}, "agent"),
                          ({"resume": 5}, "resume")):
        equal(c.refused("hello", "bad_request", version=1, nick="ann", **fields).field, field)
    for field in ("agent", "resume"):
        e = c.refused("hello", "too_long", version=1, nick="ann", **{field: "x" * 129})
        equal((e.field, e.max), (field, 128))
    c.hello("ann", agent="x" * 128, resume="x" * 128, on_eof="drain")


@both
def test_resume_replaces(t):
    s = t.server(threads=2)
    old = s.join("general", "ann")
    bob = s.join("general", "bob")
    old.expect("presence", nick="bob", event="join")
    new = s.connect("ann", hello={"resume": old.welcome.resume})
    equal(new.welcome.nick, "ann")
    check(new.session != old.session, "a connection's own id")
    old.ends_with("replaced")
    bob.expect("presence", nick="ann", event="detach")
    old.fin()
    equal(s.log.close_of(old.session)["reason"], "replaced")
    new.refused("send", "not_member", room="general", text="rooms are not taken along")
    new.ask("join", room="general")
    new.say("general", "back")
    equal(bob.expect("msg").nick, "ann")


def test_resume_is_told_in_order(t):
    """Rooms hear that the earlier connection is gone before the one that took over joins them, however soon that is."""
    s = t.server(threads=4, requests_per_second=1000000)
    rooms = [f"room{n}" for n in range(8)]
    bob, ann = s.connect("bob"), s.connect("ann")
    for c in (bob, ann):
        for room in rooms:
            c.ask("join", room=room)
    bob.take(len(rooms), "presence", event="join")
    for _ in range(60):
        new = s.connect()
        new.send("hello", version=1, nick="ann", resume=ann.welcome.resume, id="hello")
        new.raw("".join(f'{{"type":"join","room":"{room}","id":"{room}"}}\n' for room in rooms))
        new.welcome = new.expect(re="hello")
        equal([new.expect(re=room).members for room in rooms], [2] * len(rooms))
        ann.close()
        ann = new
    told = bob.take(60 * 2 * len(rooms), "presence")
    for room in rooms:
        equal([p.event for p in told if p.room == room], 60 * ["detach", "join"], room)


def test_resume_with_a_wrong_token(t):
    s = t.server()
    ann, bob = s.connect("ann"), s.connect("bob")
    for token in ("x", bob.welcome.resume, ann.welcome.resume[:-1], ann.welcome.resume + "x"):
        s.connect().refused("hello", "nick_in_use", version=1, nick="ann", resume=token)
    s.connect("carol", hello={"resume": "nonsense"})
    ann.quiet()


def test_resume_after_the_end(t):
    s = t.server()
    ann = s.connect("ann")
    ann.reset()
    s.log.close_of(ann.session)
    s.connect("ann", hello={"resume": ann.welcome.resume})
