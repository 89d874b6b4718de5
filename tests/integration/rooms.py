"""rooms.py: join, leave, who, rooms, topic, presence."""
from lib import both, check, equal, seconds

BAD_ROOMS = ("", "General", "a b", "a/b", "x" * 65, "räume", "a\u0000b", "@", "@a b", "#general", "a\n")


def members(client, room):
    lines, end = client.ask_all("who", room=room)
    equal({line.type for line in lines} | {"member"}, {"member"})
    equal({line.room for line in lines} | {room}, {room})
    equal((end.count, end.more), (len(lines), False))
    return sorted(line.nick for line in lines)


@both
def test_join_and_leave(t):
    s = t.server(threads=2)
    ann, bob = s.connect("ann"), s.connect("bob")
    j = ann.ask("join", room="a.b-c_9")
    equal((j.type, j.room, j.seq, j.members, j.topic), ("joined", "a.b-c_9", 0, 1, ""))
    check(isinstance(j.epoch, int) and j.epoch > 0, "epoch", j)
    k = bob.ask("join", room="a.b-c_9")
    equal((k.epoch, k.members), (j.epoch, 2))
    p = ann.expect("presence")
    equal(dict(p), {"type": "presence", "room": "a.b-c_9", "nick": "bob", "event": "join"})
    equal(members(ann, "a.b-c_9"), ["ann", "bob"])
    left = bob.ask("leave", room="a.b-c_9")
    equal((left.type, left.room), ("left", "a.b-c_9"))
    equal(dict(ann.expect("presence")), {"type": "presence", "room": "a.b-c_9", "nick": "bob", "event": "leave"})
    ann.say("a.b-c_9", "are you gone?")
    bob.quiet()
    bob.refused("leave", "not_member", room="a.b-c_9")
    bob.refused("send", "not_member", room="a.b-c_9", text="yes")


def test_join_twice(t):
    s = t.server()
    ann, bob = s.join("general", "ann"), s.join("general", "bob")
    for text in "abc":
        bob.say("general", text)
    ann.take(3)
    ann.expect("presence")
    bob.take(3)
    again = ann.ask("join", room="general")
    equal((again.seq, again.members), (3, 2))
    ann.quiet()
    bob.quiet()
    again = ann.ask("join", room="general", after=1)
    equal([m.seq for m in ann.take(2)], [2, 3])
    bob.say("general", "d")
    equal(ann.expect("msg").seq, 4)
    ann.quiet()


def test_long_room_name(t):
    c = t.server().connect("ann")
    equal(c.ask("join", room="x" * 64).room, "x" * 64)


def test_bad_rooms(t):
    c = t.server().connect("ann")
    for type, more in (("join", {}), ("leave", {}), ("send", {"text": "x"}), ("history", {}), ("who", {}),
                       ("topic", {"text": "x"})):
        for room in BAD_ROOMS:
            c.refused(type, "bad_room", room=room, **more)
        for room in (5, None, ["general"], True):
            equal(c.refused(type, "bad_request", room=room, **more).field, "room")
        equal(c.refused(type, "bad_request", **more).field, "room")
        if type != "join":
            c.refused(type, "not_member", room="elsewhere", **more)
    c.quiet()


def test_bad_after(t):
    c = t.server().connect("ann")
    for after in (-1, 1.5, "1", None, True, 9007199254740992, 10**400, [0]):
        equal(c.refused("join", "bad_request", room="general", after=after).field, "after")
    equal(c.ask("join", room="general", after=9007199254740991).seq, 0)
    c.say("general", "x")
    equal(c.expect("msg").seq, 1)


@both
def test_who_and_rooms(t):
    s = t.server(threads=3)
    ann = s.join("tea", "ann")
    bob = s.join("tea", "bob")
    bob.ask("join", room="teapots")
    bob.ask("join", room="coffee")
    ann.say("tea", "hot")
    ann.ask("topic", room="tea", text="leaves")
    equal(members(ann, "tea"), ["ann", "bob"])
    equal(members(bob, "coffee"), ["bob"])
    lines, end = ann.ask_all("rooms")
    equal((end.count, end.more), (3, False))
    found = {r.room: (r.members, r.seq, r.topic) for r in lines}
    equal(found, {"tea": (2, 1, "leaves"), "teapots": (1, 0, ""), "coffee": (1, 0, "")})
    lines, end = ann.ask_all("rooms", prefix="tea")
    equal((sorted(r.room for r in lines), end.count), (["tea", "teapots"], 2))
    lines, end = ann.ask_all("rooms", prefix="x")
    equal((lines, end.count), ([], 0))
    equal(len(ann.ask_all("rooms", prefix="")[0]), 3)
    for prefix in (5, None, ["t"]):
        equal(ann.refused("rooms", "bad_request", prefix=prefix).field, "prefix")
    e = ann.refused("rooms", "too_long", prefix="x" * 65)
    equal((e.field, e.max), ("prefix", 64))


@both
def test_topic(t):
    s = t.server()
    ann, bob = s.join("general", "ann"), s.join("general", "bob")
    ack = ann.ask("topic", room="general", text="t\u00e9 \u2615")
    equal((ack.type, ack.room, ack.time > 0, "seq" in ack), ("ack", "general", True, False))
    for c in (ann, bob):
        line = c.expect("topic")
        equal((line.room, line.nick, line.text, line.time), ("general", "ann", "t\u00e9 \u2615", ack.time))
    equal(s.connect("carol").ask("join", room="general").topic, "t\u00e9 \u2615")
    ann.ask("topic", room="general", text="")
    equal(bob.expect("topic").text, "")
    ann.ask("topic", room="general", text="x" * 512)
    equal(len(bob.expect("topic").text), 512)
    e = ann.refused("topic", "too_long", room="general", text="x" * 513)
    equal((e.field, e.max), ("text", 512))
    for text in (5, None, ["x"]):
        equal(ann.refused("topic", "bad_request", room="general", text=text).field, "text")
    equal(ann.refused("topic", "bad_request", room="general", text="cut\0here").field, "text")  # it was kept as "cut"
    equal(ann.refused("topic", "bad_request", room="general").field, "text")


def test_presence_of_each_end(t):
    """leave and bye are told as leave; FIN, reset and idleness as detach."""
    s = t.server(threads=2)
    ann = s.join("general", "ann")

    def ended(nick, how):
        c = s.join("general", nick)
        ann.expect("presence", nick=nick, event="join")
        how(c)
        return ann.expect("presence", nick=nick).event
    equal(ended("b1", lambda c: c.ask("leave", room="general")), "leave")
    equal(ended("b2", lambda c: c.ask("bye")), "leave")
    equal(ended("b3", lambda c: c.fin()), "detach")
    equal(ended("b4", lambda c: c.reset()), "detach")
    ann.quiet()


def test_presence_goes_to_fellow_members_only(t):
    s = t.server()
    ann, bob = s.join("a", "ann"), s.join("b", "bob")
    carol = s.join("a", "carol")
    ann.expect("presence", room="a", nick="carol")
    carol.close()
    ann.expect("presence", room="a", nick="carol", event="detach")
    bob.quiet()
    ann.quiet()


@seconds(45)
def test_presence_of_a_large_room(t):
    """More than presence_max members: no names, a count at most each 5 s, and only when it has changed."""
    s = t.server(presence_max=3, threads=2)
    ann = s.join("big", "ann")
    others = [s.join("big", f"n{i}") for i in range(12)]
    counts = [ann.expect("presence", event="count", timeout=8.0)]
    names = [p.nick for p in ann.inbox if p.type == "presence" and p.event == "join"]
    equal(names, ["n0", "n1"], "names in a large room")
    ann.inbox.clear()
    while counts[-1].members != 13:
        counts.append(ann.expect("presence", event="count", timeout=8.0))
    check(len(counts) <= 2, "a count too many:", counts)
    equal(dict(counts[-1]), {"type": "presence", "room": "big", "event": "count", "members": 13})
    for c in others[6:]:
        c.close()
    last = ann.expect("presence", event="count", timeout=8.0)
    equal(last.members, 7)
    ann.quiet("presence")


def test_epoch_of_a_new_server(t):
    """Memory keeps no order over a restart: another epoch."""
    first = t.server()
    epoch = first.connect("ann").ask("join", room="general").epoch
    first.stop()
    check(t.server().connect("ann").ask("join", room="general").epoch != epoch, "the epoch is the same")


def test_room_outlives_its_members(t):
    s = t.server()
    ann = s.join("general", "ann")
    j = ann.ask("join", room="general")
    ann.say("general", "one")
    ann.ask("bye")
    ann.rest()
    bob = s.connect("bob")
    k = bob.ask("join", room="general", after=0)
    equal((k.epoch, k.seq, k.members), (j.epoch, 1, 1))
    equal(bob.expect("msg").text, "one")
