"""owned.py: rooms that are someone's: roles, access, invitations, kicks, bans, mutes. Guests here."""
import sqlite3

from lib import both, check, equal, seconds, wait_until

CHANGES = (("role", {"nick": "x", "role": "owner"}), ("access", {"access": "open"}), ("invite", {"nick": "x"}),
           ("kick", {"nick": "x"}), ("ban", {"nick": "x"}), ("unban", {"nick": "x"}), ("mute", {"nick": "x"}),
           ("unmute", {"nick": "x"}), ("bans", {}))


def roles(client, room="general"):
    return {m.nick: m.get("role", "member") for m in client.ask_all("who", room=room)[0]}


def people(s, *nicks, room="general"):
    """They join in this order; the first owns the room. What each has heard so far is forgotten."""
    there = [s.join(room, nick) for nick in nicks]
    for n, c in enumerate(there):
        for nick in nicks[n + 1:]:
            c.expect("presence", nick=nick, event="join")
        c.quiet()
    return there


def heard(client, event, **fields):
    line = client.expect("moderation", event=event, **fields)
    check(line.time > 0 and line.by, "by and time", line)
    return line


# ---- who owns a room ----

@both
def test_the_first_to_join_owns_it(t):
    s = t.server(threads=2)
    ann = s.connect("ann")
    joined = ann.ask("join", room="general")
    equal((joined.role, "access" in joined), ("owner", False))
    bob = s.connect("bob")
    check("role" not in bob.ask("join", room="general"), "bob has a role")
    equal(roles(bob), {"ann": "owner", "bob": "member"})
    e = bob.refused("topic", "not_allowed", room="general", text="mine")
    check("owners" in e.text, "it is not said who may", e)
    ann.ask("topic", room="general", text="hers")
    equal(bob.expect("topic").text, "hers")
    for change, fields in CHANGES:
        bob.refused(change, "not_allowed", room="general", **fields)


def test_an_owner_who_says_good_bye(t):
    """A guest's room is everyone's again when it is gone, and what it had said about others is over with it."""
    s = t.server(threads=2)
    ann, bob, carol = people(s, "ann", "bob", "carol")
    ann.ask("ban", room="general", nick="carol")
    ann.ask("access", room="general", access="invited")
    s.connect("dave").refused("join", "invited_only", room="general")
    ann.ask("bye")
    ann.rest()
    joined = s.connect("eve").ask("join", room="general")
    check("role" not in joined and "access" not in joined, "rights are left", joined)
    carol.ask("join", room="general")
    bob.ask("topic", room="general", text="everyone's")
    equal(roles(bob), {"bob": "member", "carol": "member", "eve": "member"})
    e = bob.refused("kick", "not_allowed", room="general", nick="carol")
    check("nobody owns" in e.text, "why", e)
    ann = s.connect("ann")  # the same nick, another guest
    check("role" not in ann.ask("join", room="general"), "another guest is owner")


def test_an_owner_who_comes_back(t):
    """A guest that lost its connection is owner again when it resumes; another guest of that nick is not."""
    s = t.server(threads=2)
    ann, bob = people(s, "ann", "bob")
    token = ann.welcome.resume
    ann.reset()
    bob.expect("presence", nick="ann", event="detach")
    bob.refused("topic", "not_allowed", room="general", text="mine")
    other = s.connect("Ann")
    check("role" not in other.ask("join", room="general"), "another guest is owner")
    other.ask("bye")
    other.rest()
    ann = s.connect("ann", hello={"resume": token})
    equal(ann.ask("join", room="general").role, "owner")
    ann.ask("kick", room="general", nick="bob")


def test_leaving_keeps_the_role(t):
    s = t.server()
    ann, bob = people(s, "ann", "bob")
    ann.ask("leave", room="general")
    bob.refused("topic", "not_allowed", room="general", text="mine")
    equal(ann.ask("join", room="general").role, "owner")


# ---- roles ----

@both
def test_roles(t):
    s = t.server(threads=2)
    ann, bob, carol = people(s, "Ann", "bob", "carol")
    ack = ann.ask("role", room="general", nick="BOB", role="moderator")
    equal((ack.type, ack.room, ack.time > 0, "seq" in ack), ("ack", "general", True, False))
    for c in (ann, bob, carol):
        equal(dict(heard(c, "role")), {"type": "moderation", "room": "general", "event": "role", "nick": "bob",
                                       "by": "Ann", "role": "moderator", "time": ack.time})
    equal(roles(carol), {"Ann": "owner", "bob": "moderator", "carol": "member"})
    equal(bob.ask("join", room="general").role, "moderator")
    bob.ask("topic", room="general", text="a moderator's")
    bob.refused("role", "not_allowed", room="general", nick="carol", role="moderator")
    bob.refused("role", "not_allowed", room="general", nick="bob", role="owner")
    for change in ("kick", "ban", "mute"):
        e = bob.refused(change, "not_allowed", room="general", nick="ann")
        check("Ann is an owner" in e.text, "why", e)
    ann.ask("role", room="general", nick="carol", role="owner")
    equal(roles(carol)["carol"], "owner")
    carol.ask("role", room="general", nick="ann", role="member")
    ann.refused("kick", "not_allowed", room="general", nick="bob")
    equal(roles(ann), {"Ann": "member", "bob": "moderator", "carol": "owner"})
    ann.ask("ping")


def test_the_last_owner_stays(t):
    s = t.server()
    ann, bob = people(s, "ann", "bob")
    for role in ("member", "moderator"):
        e = ann.refused("role", "not_allowed", room="general", nick="ann", role=role)
        check("name another" in e.text, "what to do", e)
    ann.ask("role", room="general", nick="bob", role="owner")
    ann.ask("role", room="general", nick="ann", role="member")
    equal(roles(bob), {"ann": "member", "bob": "owner"})
    bob.refused("role", "not_allowed", room="general", nick="bob", role="member")


def test_a_role_for_nobody(t):
    s = t.server()
    ann, = people(s, "ann")
    for change, fields in (("role", {"role": "owner"}), ("invite", {})):
        check("nobody" in ann.refused(change, "no_such_nick", room="general", nick="zoe", **fields).text, change)
    ann.ask("role", room="general", nick="zoe", role="member")  # that is what zoe is
    ann.quiet()


def test_moderators_go_on_without_an_owner(t):
    s = t.server()
    ann, bob, carol = people(s, "ann", "bob", "carol")
    ann.ask("role", room="general", nick="bob", role="moderator")
    ann.ask("bye")
    ann.rest()
    carol.refused("topic", "not_allowed", room="general", text="mine")
    bob.ask("role", room="general", nick="bob", role="owner")
    equal(roles(bob), {"bob": "owner", "carol": "member"})


# ---- putting out ----

@both
def test_kick(t):
    s = t.server(threads=2)
    ann, bob, carol = people(s, "ann", "Bob", "carol")
    ack = ann.ask("kick", room="general", nick="bob", reason="spam \u2615")
    equal(dict(bob.expect("left")), {"type": "left", "room": "general", "code": "kicked", "by": "ann",
                                     "reason": "spam \u2615"})
    for c in (ann, carol):
        equal(dict(c.next()), {"type": "moderation", "room": "general", "event": "kick", "nick": "Bob", "by": "ann",
                               "reason": "spam \u2615", "time": ack.time})
        c.expect("presence", nick="Bob", event="leave")
    ann.say("general", "he is out")
    bob.quiet()
    for type, more in (("send", {"text": "x"}), ("history", {}), ("who", {}), ("leave", {}), ("topic", {"text": "x"})):
        bob.refused(type, "not_member", room="general", **more)
    equal(bob.ask("join", room="general").members, 3)
    e = ann.refused("kick", "no_such_nick", room="general", nick="zoe")
    check("not in general" in e.text, "why", e)


@both
def test_ban(t):
    s = t.server(threads=2)
    ann, bob, carol = people(s, "ann", "bob", "carol")
    ack = ann.ask("ban", room="general", nick="bob", reason="spam")
    equal(dict(bob.expect("left")), {"type": "left", "room": "general", "code": "banned", "by": "ann",
                                     "reason": "spam"})
    equal(dict(heard(carol, "ban")), {"type": "moderation", "room": "general", "event": "ban", "nick": "bob",
                                      "by": "ann", "reason": "spam", "time": ack.time})
    e = bob.refused("join", "banned", room="general")
    equal((e.reason, e.by, "until" in e), ("spam", "ann", False))
    check("ann" in e.text and "spam" in e.text, "who and why", e)
    ann.refused("role", "not_allowed", room="general", nick="bob", role="moderator")
    ann.refused("invite", "not_allowed", room="general", nick="bob")
    ann.ask("ban", room="general", nick="zoe")  # nobody has to be there for that
    s.connect("ZOE").refused("join", "banned", room="general")
    lines, end = ann.ask_all("bans", room="general")
    equal(sorted((b.type, b.room, b.nick, b.by, b.reason, "until" in b) for b in lines),
          [("ban", "general", "bob", "ann", "spam", False), ("ban", "general", "zoe", "ann", "", False)])
    equal((end.count, end.more), (2, False))
    ann.ask("unban", room="general", nick="BOB")
    heard(carol, "unban", nick="bob")
    bob.ask("join", room="general")
    ann.refused("unban", "no_such_nick", room="general", nick="bob")
    for change in ("kick", "ban", "mute"):
        equal(ann.refused(change, "bad_request", room="general", nick="Ann").field, "nick")


@both
def test_mute(t):
    s = t.server(threads=2)
    ann, bob, carol = people(s, "ann", "bob", "carol")
    first = bob.ask("send", room="general", text="before", key="k")
    ann.ask("mute", room="general", nick="bob", reason="calm down")
    equal(heard(bob, "mute").reason, "calm down")
    e = bob.refused("send", "muted", room="general", text="but")
    equal((e.reason, "retry_after_ms" in e), ("calm down", False))
    check("ann" in e.text, "who", e)
    equal(bob.ask("send", room="general", text="before", key="k").seq, first.seq)  # it was acknowledged once
    bob.send("send", room="general", text="without an id")
    equal(bob.expect("error", code="muted").get("re"), None)
    carol.take(1, text="before")
    equal(ann.say("general", "quiet now").seq, 2)
    equal(carol.expect("msg").text, "quiet now")
    bob.expect("msg", text="quiet now")
    equal([(m.type, m.nick) for m in ann.ask_all("bans", room="general")[0]], [("mute", "bob")])
    bob.ask("leave", room="general")
    bob.ask("join", room="general")
    bob.refused("send", "muted", room="general", text="again")
    ann.ask("unmute", room="general", nick="bob")
    bob.say("general", "thanks")
    ann.refused("unmute", "no_such_nick", room="general", nick="bob")


def test_a_muted_moderator(t):
    """An owner who mutes a moderator is not undone by that one, nor by another moderator."""
    s = t.server()
    ann, bob, carol = people(s, "ann", "bob", "carol")
    for nick in ("bob", "carol"):
        ann.ask("role", room="general", nick=nick, role="moderator")
    ann.ask("mute", room="general", nick="bob")
    for c in (bob, carol):
        e = c.refused("unmute", "not_allowed", room="general", nick="bob")
        check("bob is a moderator" in e.text, "why", e)
    bob.refused("send", "muted", room="general", text="x")
    ann.ask("unmute", room="general", nick="bob")
    bob.say("general", "thanks")


@seconds(60)
def test_bans_and_mutes_run_out(t):
    s = t.server(threads=2)
    ann, bob, carol = people(s, "ann", "bob", "carol")
    ack = ann.ask("ban", room="general", nick="bob", seconds=2, reason="a moment")
    until = heard(carol, "ban").until
    check(abs(until - ack.time - 2000) < 500, "until", until, ack)
    equal(bob.expect("left").until, until)
    e = bob.refused("join", "banned", room="general")
    equal(e.until, until)
    check(0 < e.retry_after_ms <= 2000, "retry_after_ms", e)
    ann.ask("mute", room="general", nick="carol", seconds=1)
    e = carol.refused("send", "muted", room="general", text="x")
    check(0 < e.retry_after_ms <= 1000, "retry_after_ms", e)
    wait_until(lambda: carol.ask_any("send", room="general", text="x").type == "ack", "the mute has run out")
    wait_until(lambda: bob.ask_any("join", room="general").type == "joined", "the ban has run out")
    equal(ann.ask_all("bans", room="general")[0], [])


# ---- access ----

@both
def test_invited(t):
    s = t.server(threads=2)
    ann, bob = people(s, "ann", "bob")
    carol = s.connect("carol")
    ann.ask("access", room="general", access="invited")
    equal(heard(bob, "access").access, "invited")
    e = carol.refused("join", "invited_only", room="general")
    check("invite" in e.text, "what to do", e)
    bob.say("general", "I am in")
    bob.refused("invite", "not_allowed", room="general", nick="carol")
    ann.ask("invite", room="general", nick="carol")
    line = carol.expect("moderation")
    equal((line.event, line.room, line.nick, line.by), ("invite", "general", "carol", "ann"))
    heard(bob, "invite", nick="carol")
    joined = carol.ask("join", room="general")
    equal(joined.access, "invited")
    carol.quiet("moderation")
    ann.ask("kick", room="general", nick="carol")  # and the invitation is over
    carol.expect("left")
    carol.refused("join", "invited_only", room="general")
    bob.ask("leave", room="general")
    bob.refused("join", "invited_only", room="general")
    ann.ask("leave", room="general")
    equal(ann.ask("join", room="general").role, "owner")
    ann.ask("access", room="general", access="accounts")
    bob.refused("join", "account_needed", room="general")
    ann.ask("access", room="general", access="open")
    check("access" not in bob.ask("join", room="general"), "it is open")


def test_an_invitation_is_for_one_guest(t):
    """Not for the next one that takes the nick."""
    s = t.server()
    ann, = people(s, "ann")
    ann.ask("access", room="general", access="invited")
    carol = s.connect("carol")
    ann.ask("invite", room="general", nick="carol")
    carol.ask("bye")
    carol.rest()
    carol = s.connect("carol")
    carol.refused("join", "invited_only", room="general")


def test_an_invitation_takes_no_role(t):
    """A moderator invited the stranger who had taken the nick of an owner that was away: the owner was none any more."""
    s = t.server(threads=2)
    ann, bob = people(s, "ann", "bob")
    ann.ask("role", room="general", nick="bob", role="moderator")
    token = ann.welcome.resume
    ann.reset()
    bob.expect("presence", nick="ann", event="detach")
    other = s.connect("ann")
    e = bob.refused("invite", "not_allowed", room="general", nick="ann")
    check("away" in e.text, "why", e)
    other.quiet("moderation")
    other.ask("bye")
    other.rest()
    ann = s.connect("ann", hello={"resume": token})
    equal(ann.ask("join", room="general").role, "owner")
    bob.ask("invite", room="general", nick="ann")  # in vain, and no harm
    equal(roles(bob), {"ann": "owner", "bob": "moderator"})


# ---- what is asked wrongly ----

def test_bad_fields(t):
    s = t.server()
    ann, bob = people(s, "ann", "bob")
    for change, fields in CHANGES:
        ann.refused(change, "bad_room", room="General", **fields)
        equal(ann.refused(change, "bad_request", room="@bob", **fields).field, "room")
        ann.refused(change, "not_member", room="elsewhere", **fields)
        if "nick" in fields:
            ann.refused(change, "bad_nick", **{**fields, "room": "general", "nick": "a b"})
            equal(ann.refused(change, "bad_request", **{**fields, "room": "general", "nick": 5}).field, "nick")
            del (without := dict(fields))["nick"]
            equal(ann.refused(change, "bad_request", room="general", **without).field, "nick")
    for role in ("king", "", None, 5):
        equal(ann.refused("role", "bad_request", room="general", nick="bob", role=role).field, "role")
    for access in ("closed", "", None, 5):
        equal(ann.refused("access", "bad_request", room="general", access=access).field, "access")
    for change in ("ban", "mute"):
        for n in (0, -1, 1.5, "1", 315360001):
            equal(ann.refused(change, "bad_request", room="general", nick="bob", seconds=n).field, "seconds")
    for change in ("kick", "ban", "mute"):
        e = ann.refused(change, "too_long", room="general", nick="bob", reason="x" * 257)
        equal((e.field, e.max), ("reason", 256))
        equal(ann.refused(change, "bad_request", room="general", nick="bob", reason=5).field, "reason")
    ann.ask("mute", room="general", nick="bob", reason="\u2615" * 85)
    ann.send("unmute", room="general", nick="bob")  # without an id there is no answer
    heard(bob, "unmute")
    ann.quiet("ack", "error")


@seconds(60)
def test_the_lists_are_bounded(t):
    s = t.server(requests_per_second=1000000)
    ann, bob = people(s, "ann", "bob")
    ann.flood("".join(f'{{"type":"ban","room":"general","nick":"n{n}"}}\n' for n in range(999)))
    e = ann.refused("mute", "list_full", room="general", nick="bob")
    equal(e.max, 1000)
    ann.ask("unban", room="general", nick="n500")
    ann.ask("mute", room="general", nick="bob", seconds=1)
    ann.refused("ban", "list_full", room="general", nick="zoe")
    equal(len(ann.ask_all("bans", room="general")[0]), 999)
    wait_until(lambda: ann.ask_any("ban", room="general", nick="zoe").type == "ack", "bob's place is free again")


# ---- while messages flow ----

@seconds(60)
def test_nothing_after_left(t):
    """Kicks and bans while everyone speaks: nothing of the room comes behind `left`, every send is acknowledged before it or
    fails, and what was acknowledged is there."""
    s = t.server(threads=3, requests_per_second=1000000)
    names = ["ann", *(f"n{i}" for i in range(8))]
    ann, *others = (s.join("general", n) for n in names)
    for round in range(6):
        for c in others:
            c.flood("".join(f'{{"type":"send","room":"general","text":"r{round}","id":"{round}.{n}"}}\n'
                            for n in range(60)))
        victim = others[round]
        if round % 2:
            ann.ask("ban", room="general", nick=names[round + 1])
        else:
            ann.ask("kick", room="general", nick=names[round + 1])
        others[-1].say("general", "after it")
        victim.sync()
        kinds = [line for line in victim.inbox if line.get("room") == "general" or line.type in ("ack", "error")]
        at = [line.type for line in kinds].index("left")
        behind = kinds[at + 1:]
        equal([dict(line) for line in behind if line.type != "error"], [], "behind `left`")
        acked = [line for line in kinds if line.type == "ack"]
        failed = [line for line in kinds if line.type == "error"]
        equal({line.code for line in failed} | {"not_member"}, {"not_member"})
        mine = [line for line in acked + failed if line.get("re", "").startswith(f"{round}.")]
        equal(len(mine), 60, "answers")
        lines, _ = ann.ask_all("history", room="general", limit=1000)
        kept = {m.seq for m in lines if m.nick == names[round + 1]}
        check({line.seq for line in acked if line.re.startswith(f"{round}.")} <= kept, "acknowledged, and not there")
        victim.inbox.clear()
        ann.inbox.clear()
        for c in others:
            c.sync()
            c.inbox.clear()


def test_put_out_while_behind(t):
    """A reader too slow for live delivery is put out like anyone, and its connection goes on."""
    s = t.server(max_out=65536, requests_per_second=1000000)
    ann = s.join("general", "ann")
    bob = s.join("general", "bob", rcvbuf=4096)
    for n in range(300):
        ann.send("send", room="general", text="x" * 4000)
    ann.sync()
    ann.ask("kick", room="general", nick="bob", reason="too slow")
    bob.expect("left", code="kicked", timeout=20.0)
    rest = [line.type for line in bob.inbox if line.type == "msg"]
    ann.say("general", "after it")
    bob.sync()
    equal([line.type for line in bob.inbox if line.type == "msg"], rest)
    bob.ask("join", room="general")


def test_who_asks_is_put_out(t):
    """Requests of a moderator that wait behind its own kick are not carried out."""
    s = t.server(threads=2)
    ann, bob, carol = people(s, "ann", "bob", "carol")
    ann.ask("role", room="general", nick="bob", role="moderator")
    for n in range(20):
        ann.raw('{"type":"kick","room":"general","nick":"bob","id":"k"}\n')
        bob.raw('{"type":"topic","room":"general","text":"t","id":"t"}\n{"type":"mute","room":"general","nick":"carol",'
                '"id":"m"}\n{"type":"unmute","room":"general","nick":"carol","id":"u"}\n')
        equal(ann.expect(re="k").type, "ack")
        for id in "tmu":
            answer = bob.expect(re=id)
            check(answer.type == "ack" or answer.code in ("not_member", "no_such_nick"), "answer", answer)
        bob.expect("left")
        bob.ask("join", room="general")


# ---- kept ----

def test_what_a_guest_said_ends_with_the_server(t):
    """After a restart a guest's room is everyone's, and nobody is banned by someone who can't take it back."""
    s = t.server(data=t.path("data"), threads=2)
    ann, bob = people(s, "ann", "bob")
    ann.say("general", "kept")
    ann.ask("ban", room="general", nick="bob")
    ann.ask("access", room="general", access="invited")
    ann.close()
    bob.close()
    s.stop()
    s = t.server(data=t.path("data"), threads=2)
    joined = s.connect("bob").ask("join", room="general")
    equal((joined.seq, "role" in joined, "access" in joined), (1, False, False))


def test_what_could_not_be_kept(t):
    """The change is not made, nobody hears of it, and the one concerned stays and may speak."""
    s = t.server(data=t.path("data"), threads=2)
    ann, bob = people(s, "ann", "bob")
    db = sqlite3.connect(t.path("data") + "/chatd.db")
    db.execute("CREATE TRIGGER full BEFORE INSERT ON facts BEGIN SELECT RAISE(ABORT, 'no'); END")
    db.commit()
    for change, fields in (("ban", {"nick": "bob"}), ("mute", {"nick": "bob"}), ("access", {"access": "invited"})):
        e = ann.refused(change, "storage", room="general", **fields)
        check("nothing has changed" in e.text, "what of it", e)
    bob.say("general", "still here")
    s.connect("carol").ask("join", room="general")
    ann.quiet("moderation")
    db.execute("DROP TRIGGER full")
    db.commit()
    db.close()
    ann.ask("mute", room="general", nick="bob")
    bob.refused("send", "muted", room="general", text="x")


def test_a_room_given_up(t):
    """Memory: a room that was given up for another is new, and so somebody else's."""
    s = t.server(max_rooms=1, threads=1)
    ann = s.join("general", "ann")
    ann.ask("leave", room="general")
    bob = s.join("other", "bob")
    bob.ask("leave", room="other")
    equal(bob.ask("join", room="general").role, "owner")
