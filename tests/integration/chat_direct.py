"""chat_direct.py: chat and what waits for an account: told at login, read on, and told to the server as read."""
import os

from lib import check, equal, wait_until
from lib.chat import Terminal
from lib.login import login, verifiers

PASSWORD = "correct horse"
VERIFIERS = verifiers(PASSWORD)


def register(s, *nicks):
    for nick in nicks:
        c = s.connect(nick)
        c.ask("register", **VERIFIERS)
        c.close()
        s.log.wait(conn=c.session, event="close")


def come(s, nick):
    c = s.connect()
    equal(login(c, nick, PASSWORD).type, "authenticated")
    c.hello(nick)
    return c


def terminal(t, s, *words, nick="ann", **options):
    path = t.path("password")
    with open(path, "w", encoding="utf-8") as f:
        f.write(PASSWORD + "\n")
    os.chmod(path, 0o600)
    return Terminal(t, "-n", nick, "--password-file", path, f"127.0.0.1:{s.port}", *words, **options)


def test_what_waits_is_told_and_read(t):
    s = t.server()
    register(s, "ann", "Bob")
    bob = come(s, "Bob")
    for n in range(1, 4):
        bob.say("@ann", f"wait{n}")
    term = terminal(t, s)
    term.expect("3 unread from @Bob: /msg Bob shows what")
    term.expect_line("general (3 unread elsewhere)>")
    term.type("/room").expect("@Bob: 3 unread")
    equal(term.screen().count("wait1"), 0)
    other = come(s, "ann")
    equal(other.expect("unread").unread, 3)
    term.type("/msg bob")
    term.expect("Bob: wait3")
    term.expect_line("@Bob>")
    line = other.expect("read")
    equal((line.room, line.seq), ("@Bob", 3))
    bob.say("@ann", "now")
    term.expect("Bob: now")
    equal(other.expect("read", seq=4).room, "@Bob")
    term.type("hello Bob")
    equal(bob.expect("msg", nick="ann").text, "hello Bob")
    equal(other.expect("read", seq=5).room, "@Bob")
    check(term.screen().count("wait1") == 1, term.screen())
    term.type("/quit").ended()
    come(s, "ann").quiet("unread")


def test_more_comes_before_it_is_read(t):
    """Then all of it is shown, in its order."""
    s = t.server()
    register(s, "ann", "bob")
    bob = come(s, "bob")
    bob.say("@ann", "one")
    term = terminal(t, s)
    term.expect("1 unread from @bob")
    bob.say("@ann", "two")
    seen = term.expect("bob: two")
    check(seen.index("bob: one") < seen.index("bob: two"), seen)
    term.expect_line("general (2 unread elsewhere)>")
    term.type("/join @BOB").expect_line("@bob>")


def test_who_looks_there_reads_on_at_once(t):
    s = t.server()
    register(s, "ann", "bob")
    bob = come(s, "bob")
    bob.say("@ann", "psst")
    term = terminal(t, s, "-r", "@bob")
    term.expect("bob: psst")
    wait_until(lambda: "unread" not in [m.type for m in peek(s)], "it is still unread")


def peek(s):
    c = come(s, "ann")
    c.sync()
    lines = list(c.inbox)
    c.close()
    return lines


def test_unread_in_rooms(t):
    s = t.server()
    register(s, "ann")
    gus = s.join("general", "gus")
    gus.ask("join", room="tea")
    term = terminal(t, s, "-r", "general", "-r", "tea")
    term.expect("you are in tea, with 1 other")
    gus.say("tea", "one")
    gus.say("general", "here")
    term.expect_line("general (1 unread elsewhere)>")
    gus.say("tea", "two")
    term.expect_line("general (2 unread elsewhere)>")
    term.type("/room").expect("tea: 2 unread")
    term.type("/room tea").expect_line("tea>")
    other = come(s, "ann")
    wait_until(lambda: other.ask("join", room="tea").unread == 0, "tea is still unread")
    equal(other.ask("join", room="general").unread, 0)
    other.ask("read", room="general", seq=1)
    gus.say("general", "three")
    term.expect_line("tea (1 unread elsewhere)>")
    other.ask("read", room="general", seq=2)
    term.expect_line("tea>")


def test_a_room_with_unread_when_coming_back(t):
    s = t.server()
    register(s, "ann")
    ann = come(s, "ann")
    ann.ask("join", room="general")
    ann.close()
    gus = s.join("general", "gus")
    for n in range(15):
        gus.say("general", f"m{n}.")
    term = terminal(t, s)
    seen = term.expect("m14.")
    check("15 unread there" in seen and "m0." in seen, seen)


def test_through_a_restart(t):
    """What was said meanwhile comes by itself in a conversation that is read on."""
    s = t.server(data=t.path("data"))
    register(s, "ann", "bob")
    bob = come(s, "bob")
    bob.say("@ann", "before")
    term = terminal(t, s, "-r", "@bob")
    term.expect("bob: before")
    s.kill()
    s.clean, s.exit_code = False, -9
    s = t.server(data=t.path("data"), listen=f"127.0.0.1:{s.port}")
    bob = come(s, "bob")
    bob.say("@ann", "meanwhile")
    seen = term.expect("bob: meanwhile", timeout=15)
    equal(seen.count("bob: before"), 1)
    term.expect("@bob>")


def test_reading_much_is_told_seldom(t):
    s = t.server()
    register(s, "ann", "bob")
    bob, other = come(s, "bob"), come(s, "ann")
    term = terminal(t, s, "-r", "@bob")
    term.expect_line("@bob>")
    for n in range(1, 201):
        bob.send("send", room="@ann", text=f"m{n}.")
    term.expect("m200.")
    other.expect("read", seq=200)
    other.sync()
    check(len([m for m in other.inbox if m.type == "read"]) <= 5, "it is told each time")
    term.type("/quit").ended()


def test_a_guest_tells_nothing(t):
    s = t.server()
    gus = s.join("general", "gus")
    term = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}")
    term.expect_line("general>")
    gus.say("@ann", "one")
    term.expect("gus: one")
    gus.close()
    s.log.wait(conn=gus.session, event="close")
    gus = s.connect("gus")
    gus.say("@ann", "another gus")
    term.expect("gus: another gus")
    term.expect_line("general>")
    check("needed" not in term.screen(), term.screen())
