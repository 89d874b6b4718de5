"""messages.py: send, ack, msg, keys, direct conversations, and joining with neither gap nor repeat."""
import json
import random
import time

from lib import both, check, equal, seconds, wait_until

TEXTS = ("x", " ", "tab\tand\nline\r\n", "quote \" and \\ back", "\u0001\u001b[31m\u007f\u0085", "日本語 🎉 é",
         "</script>&amp;", "\U0010ffff\ufffd\ufeff", "{\"type\":\"bye\"}", "null \u0000 inside")


@both
def test_send_to_a_room(t):
    s = t.server(threads=3)
    people = [s.join("general", f"n{i}") for i in range(4)]
    before = int(time.time() * 1000)
    for n, text in enumerate(TEXTS, 1):
        who = people[n % 4]
        ack = who.say("general", text)
        equal((ack.type, ack.room, ack.seq, "repeat" in ack), ("ack", "general", n, False))
        check(before - 1000 <= ack.time <= int(time.time() * 1000) + 1000, "time", ack.time)
        wanted = {"type": "msg", "room": "general", "seq": n, "nick": f"n{n % 4}", "time": ack.time, "text": text}
        for c in people:
            equal(dict(c.expect("msg")), wanted)


def test_send_without_id_is_not_answered(t):
    c = t.server().join("general", "ann")
    c.send("send", room="general", text="one")
    equal(c.expect("msg").seq, 1)
    c.send("send", room="elsewhere", text="two")
    e = c.expect("error")
    equal((e.code, "re" in e), ("not_member", False))
    c.quiet()


def test_text_limits(t):
    c = t.server().join("general", "ann")
    for text in ("x" * 8192, "é" * 4096, "🎉" * 2048, "\n" * 8000, "\"" * 8000):
        c.say("general", text)
        equal(c.expect("msg").text, text)
    for text in ("x" * 8193, "é" * 4097):
        e = c.refused("send", "too_long", room="general", text=text)
        equal((e.field, e.max), ("text", 8192))
    for text in ("", 5, None, ["x"], {"a": 1}, True):
        equal(c.refused("send", "bad_request", room="general", text=text).field, "text")
    equal(c.refused("send", "bad_request", room="general").field, "text")
    equal(c.ask("join", room="general").seq, 5)


def test_escapes_in_any_form(t):
    c = t.server().join("general", "ann")
    c.raw(b'{"\\u0074ype":"se\\u006ed","room":"gener\\u0061l","id":"\\u00e9","text":"\\ud83c\\udf89\\/\\b\\f"}\n')
    equal(c.expect("ack").re, "é")
    equal(c.expect("msg").text, "🎉/\b\f")


def test_ids(t):
    c = t.server().connect("ann")
    for id in ("x", "x" * 64, "é" * 32, "\"\\\n", "🎉"):
        equal(c.ask("ping", id=id).re, id)
    for id in ("", "x" * 65, 5, None, ["x"], {"x": 1}, False):
        c.send("ping", id=id)
        e = c.expect("error")
        equal((e.code, e.field, "re" in e), ("bad_request", "id", False))


def test_ping_gives_back(t):
    c = t.server().connect("ann")
    for data in (0, -1.5, "x", None, True, [], {}, [1, [2, {"a": "é\n"}]], 9007199254740993, {"type": "bye",
        "id": 1}):
        pong = c.ask("ping", data=data)
        equal((pong.type, pong.data, pong.time > 0), ("pong", data, True))
    check("data" not in c.ask("ping"), "data out of nothing")


@both
def test_key_is_taken_once(t):
    s = t.server(threads=2)
    ann, bob = s.join("general", "ann"), s.join("general", "bob")
    first = ann.say("general", "once", key="k" * 64)
    again = ann.say("general", "once more", key="k" * 64)
    equal({k: again[k] for k in ("room", "seq", "time", "repeat")},
          {"room": "general", "seq": 1, "time": first.time, "repeat": True})
    equal(bob.say("general", "bob's own", key="k" * 64).seq, 2)
    equal([m.seq for m in bob.take(2)], [1, 2])
    bob.quiet("msg")
    ann.ask("join", room="other")
    equal(ann.say("other", "another room", key="k" * 64).seq, 1)
    for key in ("", 5, None):
        equal(ann.refused("send", "bad_request", room="general", text="x", key=key).field, "key")
    e = ann.refused("send", "too_long", room="general", text="x", key="k" * 65)
    equal((e.field, e.max), ("key", 64))


@both
def test_key_after_reconnecting(t):
    """The ack was lost with the connection: the send is repeated, and taken once."""
    s = t.server(threads=2)
    bob = s.join("general", "bob")
    ann = s.join("general", "ann")
    ann.send("send", room="general", text="did it arrive?", key="k1")
    equal(bob.expect("msg").seq, 1)
    ann.reset()
    s.log.close_of(ann.session)
    back = s.connect("ann", hello={"resume": ann.welcome.resume})
    back.ask("join", room="general", after=0)
    equal(back.expect("msg").seq, 1)
    again = back.say("general", "did it arrive?", key="k1")
    equal((again.seq, again.get("repeat")), (1, True))
    equal(back.say("general", "so it did").seq, 2)
    equal(bob.expect("msg").seq, 2)
    bob.quiet("msg")


@both
def test_a_key_is_not_that_of_who_has_the_nick_next(t):
    """Somebody else takes the nick of a guest who left, and numbers his sends in the same way: none is swallowed."""
    s = t.server(threads=2)
    bob = s.join("general", "bob")
    ann = s.join("general", "ann")
    bob.say("@ann", "hello")
    equal(ann.say("general", "ann's", key="1").seq, 1)
    equal(ann.say("@bob", "ann's", key="1").seq, 2)
    ann.close()
    s.log.close_of(ann.session)
    other = s.join("general", "ANN")
    ack = other.say("general", "somebody else's", key="1")
    equal((ack.seq, "repeat" in ack), (2, False))
    equal("repeat" in other.say("@bob", "somebody else's", key="1"), False)
    equal(other.say("general", "somebody else's", key="1").repeat, True)
    other.close()
    s.log.close_of(other.session)
    back = s.connect("ann", hello={"resume": ann.welcome.resume})
    back.ask("join", room="general")
    again = back.say("general", "ann's", key="1")
    equal((again.seq, again.repeat), (1, True))


def test_a_key_outlives_registering(t):
    """A guest who registers goes on with his keys."""
    s = t.server()
    ann = s.join("general", "ann")
    equal(ann.say("general", "once", key="1").seq, 1)
    ann.ask("register", public_key="11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    equal(ann.say("general", "once", key="1").repeat, True)


def test_a_guest_repeats_a_send_after_a_restart(t):
    """No token is good any more then: of what is read from the disk the nick decides."""
    s = t.server(data=t.path("data"))
    equal(s.join("general", "ann").say("general", "once", key="1").seq, 1)
    s.stop()
    s = t.server(data=t.path("data"))
    ann = s.join("general", "ann")
    equal(ann.say("general", "once", key="1").repeat, True)


def test_key_many_in_one_write(t):
    s = t.server()
    c = s.join("general", "ann")
    line = json.dumps({"type": "send", "room": "general", "text": "x", "key": "same"})
    c.raw("".join(line[:-1] + f',"id":"{i}"}}\n' for i in range(50)))
    acks = [c.expect("ack", re=str(i)) for i in range(50)]
    equal([a.seq for a in acks], [1] * 50)
    equal([a.get("repeat", False) for a in acks], [False] + [True] * 49)
    c.expect("msg")
    c.quiet("msg")


@both
def test_direct(t):
    s = t.server(threads=3)
    ann, bob, carol = s.connect("Ann"), s.connect("bob"), s.connect("carol")
    ack = bob.say("@ann", "psst")
    equal((ack.room, ack.seq), ("@Ann", 1))
    wanted = {"type": "msg", "room": "@bob", "seq": 1, "nick": "bob", "time": ack.time, "text": "psst"}
    equal(dict(ann.expect("msg")), wanted)
    equal(dict(bob.expect("msg")), {**wanted, "room": "@Ann"})
    equal(ann.say("@bob", "yes?").seq, 2)
    equal([c.expect("msg").room for c in (ann, bob)], ["@bob", "@Ann"])
    equal(carol.say("@ＡＮＮ", "hello").seq, 1)
    equal(ann.expect("msg").room, "@carol")
    equal(bob.say("@ann", "again", key="k").seq, 3)
    equal(bob.say("@ann", "again", key="k").get("repeat"), True)
    lines, end = ann.ask_all("history", room="@bob")
    equal([(m.room, m.seq, m.nick, m.text) for m in lines],
          [("@bob", 1, "bob", "psst"), ("@bob", 2, "Ann", "yes?"), ("@bob", 3, "bob", "again")])
    equal((end.count, end.more), (3, False))
    lines, end = ann.ask_all("history", room="@bob", before=3, limit=1)
    equal(([m.seq for m in lines], end.more), ([2], True))
    equal(carol.ask_all("history", room="@bob")[1].count, 0)


def test_direct_errors(t):
    s = t.server()
    ann = s.connect("ann")
    s.connect("bob")
    ann.refused("send", "no_such_nick", room="@nobody", text="x")
    ann.refused("history", "no_such_nick", room="@nobody")
    equal(ann.refused("send", "bad_request", room="@ann", text="x").field, "room")
    for type, more in (("join", {}), ("leave", {}), ("who", {}), ("topic", {"text": "x"})):
        equal(ann.refused(type, "bad_request", room="@bob", **more).field, "room")
    e = ann.refused("send", "too_long", room="@bob", text="x" * 8193)
    equal(e.field, "text")


def test_direct_ends_with_a_guest(t):
    """What was said to a guest is gone when one of the two is, and is not shown to the next one of that name."""
    s = t.server(threads=2)
    ann, bob = s.connect("ann"), s.connect("bob")
    bob.say("@ann", "secret")
    ann.expect("msg")
    ann.ask("bye")
    ann.rest()
    bob.refused("send", "no_such_nick", room="@ann", text="are you there?")
    other = s.connect("ann")
    equal(other.ask_all("history", room="@bob")[1].count, 0)
    equal(bob.say("@ann", "hello, stranger").seq, 1)
    equal(other.expect("msg").text, "hello, stranger")
    other.quiet()


def test_pipelined_requests_to_many_rooms(t):
    """Everything sent at once is carried out in its order, whichever thread a room lives on."""
    s = t.server(threads=4)
    c = s.connect("ann")
    rooms = [f"room{i}" for i in range(30)]
    lines = []
    for room in rooms:
        lines += [{"type": "join", "room": room, "id": f"j-{room}"}]
        lines += [{"type": "send", "room": room, "text": str(n), "id": f"{room}-{n}"} for n in range(3)]
        lines += [{"type": "leave", "room": room, "id": f"l-{room}"}]
        lines += [{"type": "send", "room": room, "text": "late", "id": f"x-{room}"}]
    c.raw("".join(json.dumps(line) + "\n" for line in lines))
    for room in rooms:
        equal(c.expect(re=f"j-{room}").type, "joined")
        equal([c.expect(re=f"{room}-{n}").seq for n in range(3)], [1, 2, 3])
        equal(c.expect(re=f"l-{room}").type, "left")
        equal(c.expect(re=f"x-{room}").get("code"), "not_member")
    for room in rooms:
        got = [m.text for m in c.inbox if m.type == "msg" and m.room == room]
        equal(got, ["0", "1", "2"][:len(got)])


def flood(client, room, first, count):
    client.raw("".join(json.dumps({"type": "send", "room": room, "text": f"m{n}"}) + "\n"
                       for n in range(first, first + count)))


def check_run(client, after, last):
    """The client gets every message from after+1 to last, once each and in order."""
    for seq in range(after + 1, last + 1):
        got = client.expect("msg")
        equal((got.seq, got.text), (seq, f"m{seq}"))


@both
@seconds(60)
def test_join_after_while_others_send(t):
    s = t.server(threads=4)
    chance = random.Random(7)
    sender = s.join("general", "sender")
    joiners, sent = [], 0
    for i in range(40):
        flood(sender, "general", sent + 1, 100)
        sent += 100
        c = s.connect(f"j{i}")
        sender.pump(0.0)
        newest = max((line.seq for line in sender.inbox if line.type == "msg"), default=0)
        after = chance.randrange(0, newest + 1)
        c.send("join", room="general", after=after, id="j")
        joiners.append((c, after))
    for c, after in joiners:
        j = c.expect(re="j")
        check(j.seq >= 0 and j.type == "joined", j)
        check_run(c, after, sent)
        c.quiet("msg", "gap")
    check_run(sender, 0, sent)


def test_join_begins_right_behind_its_seq(t):
    """Without `after` the first message is the one behind `seq` of joined."""
    s = t.server(threads=4)
    sender = s.join("general", "sender")
    joiners, sent = [], 0
    for i in range(30):
        flood(sender, "general", sent + 1, 50)
        sent += 50
        c = s.connect(f"j{i}")
        c.send("join", room="general", id="j")
        joiners.append(c)
    for c in joiners:
        check_run(c, c.expect(re="j").seq, sent)
        c.quiet("msg", "gap")


@both
def test_leaving_and_coming_back(t):
    """A client that leaves and joins again after what it has seen sees everything once."""
    s = t.server(threads=4)
    sender, c = s.join("general", "sender"), s.join("general", "c")
    seen, sent = 0, 0
    for _ in range(30):
        flood(sender, "general", sent + 1, 40)
        sent += 40
        c.ask("leave", room="general")
        while c.inbox:
            line = c.inbox.popleft()
            if line.type == "msg":
                equal(line.seq, seen + 1)
                seen = line.seq
        c.ask("join", room="general", after=seen)
    check_run(c, seen, sent)
    c.quiet("msg", "gap")


@both
def test_coming_back_after_resets(t):
    """The same, each time with a new connection."""
    s = t.server(threads=3)
    sender, c = s.join("general", "sender"), s.join("general", "c")
    seen, sent = 0, 0
    for _ in range(15):
        flood(sender, "general", sent + 1, 60)
        sent += 60
        wait_until(lambda: c.pump(0.05) or c.inbox, "something to read")
        for line in list(c.inbox):
            if line.type == "msg":
                equal(line.seq, seen + 1)
                seen = line.seq
        token = c.welcome.resume
        c.reset()
        c = s.connect("c", hello={"resume": token})
        c.ask("join", room="general", after=seen)
    check_run(c, seen, sent)
    c.quiet("msg", "gap")
