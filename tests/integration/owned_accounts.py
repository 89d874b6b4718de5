"""owned_accounts.py: rooms that are an account's: on several connections, for those who are away, and over restarts."""
import signal

from lib import both, check, equal, seconds
from lib.login import login, verifiers

PASSWORD = verifiers("correct horse")


def disk(t, **options):
    return t.server(data=t.path("data"), drain_seconds=0, threads=2, **options)


def kill(s):
    s.clean = False
    s.signal(signal.SIGKILL)
    s.wait()


def make(s, *nicks):
    """Accounts, registered by guests who go again."""
    for nick in nicks:
        c = s.connect(nick)
        c.ask("register", **PASSWORD)
        c.close()
        s.log.wait(conn=c.session, event="close")


def come(s, nick, room=None):
    """A connection of the account that has said hello, in that room if one is named."""
    c = s.connect()
    equal(login(c, nick, "correct horse").type, "authenticated")
    c.hello(nick)
    if room:
        c.ask("join", room=room)
    return c


def roles(client, room="general"):
    return {m.nick: m.get("role", "member") for m in client.ask_all("who", room=room)[0]}


def restart(t, s, how):
    if how == "kill":
        kill(s)
    else:
        s.stop()
    return disk(t)


def test_restart_keeps_whose_it_is(t):
    """Also by kill -9 right behind each ack, and where nothing was ever said in the room."""
    s = disk(t)
    make(s, "ann", "bob", "carol", "dave")
    equal(come(s, "ann").ask("join", room="general").role, "owner")
    for how in ("kill", "stop"):
        s = restart(t, s, how)
        bob = come(s, "bob")
        check("role" not in bob.ask("join", room="general"), "bob owns ann's room")
        ann = come(s, "ann")
        equal(ann.ask("join", room="general").role, "owner")
    steps = (("role", {"nick": "bob", "role": "moderator"}), ("ban", {"nick": "carol", "reason": "spam"}),
             ("mute", {"nick": "guest", "seconds": 3600, "reason": "\u2615"}), ("access", {"access": "invited"}),
             ("invite", {"nick": "dave"}))
    for change, fields in steps:
        ann.ask(change, room="general", **fields)
        s = restart(t, s, "kill")
        ann = come(s, "ann", "general")
    bob = come(s, "bob")
    joined = bob.ask("join", room="general")
    equal((joined.role, joined.access), ("moderator", "invited"))
    equal(roles(bob), {"ann": "owner", "bob": "moderator"})
    e = come(s, "carol").refused("join", "banned", room="general")
    equal((e.reason, e.by), ("spam", "ann"))
    s.connect("erin").refused("join", "invited_only", room="general")
    equal(come(s, "dave").ask("join", room="general").access, "invited")
    equal(sorted((b.type, b.nick, b.reason, "until" in b) for b in bob.ask_all("bans", room="general")[0]),
          [("ban", "carol", "spam", False), ("mute", "guest", "\u2615", True)])
    for change, fields in (("unban", {"nick": "carol"}), ("unmute", {"nick": "guest"}), ("access", {"access": "open"}),
                           ("role", {"nick": "bob", "role": "member"})):
        ann.ask(change, room="general", **fields)
        s = restart(t, s, "kill")
        ann = come(s, "ann", "general")
    equal(ann.ask_all("bans", room="general")[0], [])
    come(s, "carol", "general")
    equal(roles(ann)["carol"], "member")
    check("role" not in come(s, "bob").ask("join", room="general"), "bob is moderator again")


@both
def test_all_connections_of_an_account(t):
    s = t.server(threads=3)
    make(s, "ann", "bob")
    ann = come(s, "ann", "general")
    bobs = [come(s, "bob", "general") for _ in range(4)]
    elsewhere = come(s, "bob", "other")
    for c in bobs[1:]:
        c.sync()
    ann.expect("presence", nick="bob", event="join")
    ann.ask("mute", room="general", nick="bob")
    for c in bobs:
        c.expect("moderation", event="mute")
        c.refused("send", "muted", room="general", text="x")
    ann.ask("kick", room="general", nick="bob", reason="all of you")
    for c in bobs:
        equal(c.expect("left").reason, "all of you")
    ann.expect("moderation", event="kick")
    ann.expect("presence", nick="bob", event="leave")
    ann.say("general", "alone")
    for c in bobs:
        c.quiet("msg", "moderation", "presence")
        c.refused("send", "not_member", room="general", text="x")
    elsewhere.say("other", "and here I am")
    equal(elsewhere.ask("join", room="general").members, 2)
    ann.expect("presence", nick="bob", event="join")
    ann.ask("access", room="general", access="invited")
    ann.ask("kick", room="general", nick="bob")
    ann.ask("invite", room="general", nick="bob")
    ann.expect("presence", nick="bob", event="leave")
    for c in (*bobs, elsewhere):
        equal(c.expect("moderation", event="invite").by, "ann")
    ann.ask("ban", room="general", nick="bob")
    for c in (*bobs, elsewhere):
        c.refused("join", "banned", room="general")
    ann.quiet("presence")


def test_for_one_who_is_away(t):
    """Roles and invitations for an account that is not there; for a nick without one there is nobody."""
    s = disk(t)
    make(s, "Ann", "Bob", "carol")
    ann = come(s, "Ann", "general")
    ann.ask("role", room="general", nick="bob", role="owner")
    ann.ask("access", room="general", access="accounts")
    s.connect("guest").refused("join", "account_needed", room="general")
    come(s, "carol", "general")
    ann.ask("access", room="general", access="invited")
    ann.ask("invite", room="general", nick="carol")
    ann.refused("role", "no_such_nick", room="general", nick="zoe", role="owner")
    ann.refused("invite", "no_such_nick", room="general", nick="zoe")
    bob = come(s, "Bob")
    equal(bob.ask("join", room="general").role, "owner")
    ann.ask("role", room="general", nick="ann", role="member")  # there is another one
    equal(bob.expect("moderation", event="role").role, "member")
    s = restart(t, s, "kill")
    equal(come(s, "Bob").ask("join", room="general").role, "owner")
    ann = come(s, "Ann")
    ann.refused("join", "invited_only", room="general")
    come(s, "carol", "general")


def test_an_owner_who_goes(t):
    """An account's room stays its own while it is away."""
    s = t.server()
    make(s, "ann")
    ann = come(s, "ann", "general")
    bob = s.join("general", "bob")
    ann.ask("bye")
    ann.rest()
    bob.refused("topic", "not_allowed", room="general", text="mine")
    equal(come(s, "ann").ask("join", room="general").role, "owner")


def test_a_guest_who_registers_keeps_its_room(t):
    s = disk(t)
    ann, bob = s.join("general", "ann"), s.join("general", "bob")
    ann.ask("role", room="general", nick="bob", role="moderator")
    ann.ask("register", **PASSWORD)
    ann.ask("topic", room="general", text="hers")
    ann.ask("mute", room="general", nick="bob")
    equal(roles(ann), {"ann": "owner", "bob": "moderator"})
    s = restart(t, s, "kill")
    ann = come(s, "ann")
    equal(ann.ask("join", room="general").role, "owner")
    check("role" not in s.connect("bob").ask("join", room="general"), "a guest's role was kept")
    equal([(b.type, b.nick) for b in ann.ask_all("bans", room="general")[0]], [("mute", "bob")])


def test_a_bans_time_goes_on_while_the_server_is_off(t):
    s = disk(t)
    make(s, "ann")
    ann = come(s, "ann", "general")
    ann.ask("ban", room="general", nick="bob", seconds=1)
    ann.ask("ban", room="general", nick="carol", seconds=3600)
    s.connect("bob").refused("join", "banned", room="general")
    s = restart(t, s, "stop")
    ann = come(s, "ann", "general")
    s.connect("carol").refused("join", "banned", room="general")
    while ann.ask_all("bans", room="general")[1].count > 1:
        pass
    s.connect("bob").ask("join", room="general")


@seconds(60)
def test_damaged_rights(t):
    """What can't be read is named in the log; the rest holds, and the room does not pass for nobody's."""
    import sqlite3
    s = disk(t)
    make(s, "ann", "bob")
    ann = come(s, "ann", "general")
    ann.ask("ban", room="general", nick="carol")
    ann.say("general", "kept")
    s.stop()
    db = sqlite3.connect(t.path("data") + "/chatd.db")
    equal(db.execute("UPDATE facts SET value = substr(value, 1, 20) WHERE kind = 'room' AND key = ?",
                     (b"general/ann",)).rowcount, 1)
    db.commit()
    db.close()
    s = disk(t)
    joined = come(s, "ann").ask("join", room="general")
    equal((joined.seq, "role" in joined), (1, False))
    s.log.wait(event="damaged-right", room="general", nick="ann")
    s.connect("carol").refused("join", "banned", room="general")


def test_the_list_of_rooms_shows_their_access(t):
    """Of rooms in memory, and of those that only the disk knows."""
    s = disk(t)
    make(s, "ann")
    ann = come(s, "ann", "open")
    for access in ("invited", "accounts"):
        ann.ask("join", room=access)
        ann.say(access, "a word, so that the room is kept")
        ann.ask("access", room=access, access=access)
    ann.say("open", "here too")
    wanted = {"open": None, "invited": "invited", "accounts": "accounts"}
    for _ in range(2):
        equal({r.room: r.get("access") for r in s.connect("gus").ask_all("rooms")[0]}, wanted)
        s.stop()
        s = disk(t)
    ann = come(s, "ann", "invited")
    ann.ask("access", room="invited", access="open")
    equal([r.get("access") for r in ann.ask_all("rooms", prefix="inv")[0]], [None])


def test_who_with_many_roles(t):
    """Roles come and go one by one, and the room counts them right: its last owner but one may step down."""
    s = disk(t)
    ann = s.connect("ann")
    ann.ask("register", public_key="11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    ann.ask("join", room="general")
    nicks = [f"n{i}" for i in range(100)]
    for nick in nicks:
        c = s.connect(nick)
        c.ask("register", public_key="11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
        ann.ask("role", room="general", nick=nick, role="moderator")
        c.close()
    ann.ask("role", room="general", nick="n7", role="owner")
    ann.ask("role", room="general", nick="n8", role="member")
    equal(roles(ann), {"ann": "owner"})
    ann.ask("role", room="general", nick="ann", role="member")
    ann.refused("topic", "not_allowed", room="general", text="x")
