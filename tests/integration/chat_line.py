"""chat on a terminal: what a person sees."""
import re

from lib import both, check, equal, seconds, wait_until
from lib.chat import Puppet, Terminal


@both
def test_a_conversation(t):
    s = t.server()
    bob = s.join("general", "bob")
    ann = Terminal(t, "--tls" if t.tls else "--plain", "-n", "ann", f"127.0.0.1:{s.port}")
    ann.expect("you are in general, with 1 other")
    ann.type("hello, bob")
    equal(bob.expect("msg").text, "hello, bob")
    ann.expect(re.compile(r"^\d\d:\d\d ann: hello, bob$", re.M))
    bob.say("general", "你好，安 🎉")
    ann.expect(re.compile(r"^\d\d:\d\d bob: 你好，安 🎉$", re.M))
    equal(ann.expect_line("general>").count("hello, bob"), 1)  # what was typed is there once
    ann.type("/quit")
    ann.ended()
    equal(bob.expect("presence", event="leave").nick, "ann")


def test_the_typed_line_is_left_whole(t):
    s = t.server()
    bob = s.join("general", "bob")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}", columns=40)
    ann.expect("you are in general")
    typed = "half a line, 中文 too, that is long enough to wrap"
    ann.write(typed)
    ann.expect("wrap")
    for n in range(5):
        bob.say("general", f"message {n}")
    seen = ann.expect("message 4").splitlines()
    start = [i for i, line in enumerate(seen) if line.startswith("general> ")]
    equal(len(start), 1, "prompts on the screen")
    equal("".join(line.ljust(40) for line in seen[start[0]:]).replace(" ", ""), ("general> " + typed).replace(" ", ""))
    ann.keys("Home").write("X").keys("End").type(".")
    equal(bob.expect("msg", nick="ann").text, "X" + typed + ".")


def test_editing(t):
    s = t.server()
    bob = s.join("general", "bob")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}")
    ann.expect("you are in general")
    ann.write("你好世界").keys("BSpace", "BSpace").type("!")
    equal(bob.expect("msg", nick="ann").text, "你好!")
    ann.keys("Up").type("?")
    equal(bob.expect("msg", nick="ann").text, "你好!?")
    ann.write("/he").keys("Tab")
    ann.expect_line("general> /help")
    ann.keys("C-u").write("bo").keys("Tab")
    ann.expect_line("general> bob:")
    for typed, whole in (("/tcp l", "/tcp live"), ("/access i", "/access invited"), ("/role bob m", "/role bob m"),
                         ("/role bob mo", "/role bob moderator"), ("/role bo", "/role bob")):
        ann.keys("C-u").write(typed).keys("Tab")
        ann.expect_line("general> " + whole)
    ann.keys("C-c")
    ann.expect_line("general>")


def test_paste(t):
    s = t.server()
    bob = s.join("general", "bob")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}")
    ann.expect("you are in general")
    ann.paste("one\ntwo 二\n\n  three\n")
    ann.expect("three")
    equal([line for line in bob.inbox if line.type == "msg"], [])
    ann.keys("Enter")
    equal([m.text for m in bob.take(3)], ["one", "two 二", "  three"])


def test_a_paste_is_said_as_it_is(t):
    """A slash in the middle of it is no command. One line is what it would be if it was typed."""
    s = t.server()
    bob = s.join("general", "bob")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}")
    ann.expect("you are in general")
    ann.paste("one\n/leave\n//two\n").expect("//two")
    ann.keys("Enter")
    equal([m.text for m in bob.take(3)], ["one", "/leave", "//two"])
    ann.paste("/who\n").keys("Enter").expect("2 here: ")


def test_nothing_comes_back_from_before(t):
    """What was being typed when an older line was fetched and said instead, came back with Down."""
    s = t.server()
    bob = s.join("general", "bob")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}")
    ann.expect("you are in general")
    ann.type("first")
    ann.write("draft").keys("Up").expect_line("general> first")
    ann.keys("Enter")
    equal([m.text for m in bob.take(2)], ["first", "first"])
    ann.keys("Up").expect_line("general> first")
    ann.keys("Down").expect_line("general>")
    # An older line that was changed, left, and come back to: its undo list was freed twice.
    for text in ("one", "two"):
        ann.type(text)
    ann.keys("Up", "Up").write("x").keys("Down", "Up").expect_line("general> onex")
    ann.keys("Enter")
    equal([m.text for m in bob.take(3)], ["one", "two", "onex"])
    ann.keys("Up", "Up", "Up").write("y").keys("C-_", "C-_", "C-_", "C-c").expect_line("general>")
    ann.type("done").expect("ann: done")


def test_a_narrow_window(t):
    s = t.server()
    bob = s.join("general", "bob")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}", columns=100)
    ann.expect("you are in general")
    ann.resize(32)
    bob.say("general", "words that wrap, 中文字符也要换行而且不能切断 and an end")
    seen = ann.expect("an end").splitlines()
    at = [i for i, line in enumerate(seen) if "bob: words" in line][0]
    told = seen[at:-1]
    check(len(told) > 2 and all(line.startswith("        ") for line in told[1:]), seen)
    equal("".join(told).replace(" ", "")[len("00:00bob:"):], "wordsthatwrap,中文字符也要换行而且不能切断andanend")


def test_a_window_that_grows(t):
    """What is being typed takes fewer lines then; what stands above it stays."""
    s = t.server()
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}", columns=40)
    ann.expect("you are in general")
    ann.type("above").expect("ann: above")
    typed = "a line that wraps, 中文也一样 and goes on and on until it is four lines long in the narrow window"
    ann.write(typed).expect("narrow window")
    for columns in (60, 120):
        ann.resize(columns)
        ann.expect(re.compile(f"general> {re.escape(typed[:40])}"))
        wait_until(lambda: "".join(ann.screen().splitlines()).replace(" ", "").endswith(typed.replace(" ", "")), "the line, drawn anew")
        check("ann: above" in ann.screen(), ann.screen())
    ann.keys("Enter").expect("ann: a line that wraps")
    check("ann: above" in ann.screen(), ann.screen())


def test_help_is_wrapped_between_words(t):
    s = t.server()
    for columns in (30, 60, 80, 120):
        ann = Terminal(t, "-n", f"ann{columns}", f"127.0.0.1:{s.port}", columns=columns, rows=120)
        ann.expect("you are in general")
        lines = ann.type("/help").expect(re.compile(r"earlier\s+lines\.")).splitlines()
        told = lines[[i for i, line in enumerate(lines) if line.startswith("  /help")][0]:]
        check(any(re.match(r"  /kick +NICK \[REASON\]", line) for line in told), told)
        words = " ".join(" ".join(told).split())
        for one in ("put somebody out for good", "open|invited|accounts", "who may come into", "go into a room and talk there", "with these words, in your rooms; \"in quotes\": a phrase",
                    "connection: you only listen then", "begins with // with one slash. TAB completes"):
            check(one in words, f"{one!r} is cut at {columns}:\n" + "\n".join(told))


def test_commands(t):
    s = t.server()
    bob = s.join("general", "bob")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}", rows=60)
    ann.expect("you are in general")
    bob.ask("role", room="general", nick="ann", role="moderator")
    bob.ask("access", room="general", access="accounts")
    for command, seen in (("/help", "/reconnect"), ("/who", "2 here: "), ("/rooms", "general: 2 here, 0 said, for accounts, and"),
                          ("/topic green tea", "ann has set the topic of general: green tea"), ("/foo", "there is no /foo"),
                          ("/msg", "/msg NICK [TEXT]"), ("/nick x", "you are ann here"), ("/join Tea", "Tea can't be a room"),
                          ("/join tea", "you are in tea, alone so far"), ("/room", "tea (you talk here)"),
                          ("/history 0", "a number from 1 to 1000"), ("/tcp", "● ESTABLISHED"),
                          ("/leave", "you are not in tea any more"), ("lost", "you are not in tea: /join tea"),
                          ("/room general", "general>"), ("/msg nobody psst", "not sent to @nobody: psst")):
        ann.type(command).expect(seen)
    ann.type("/msg bob psst")
    equal(bob.expect("msg", room="@ann").text, "psst")
    ann.expect("[@bob] ann: psst")
    ann.type("/msg bob").expect_line("@bob>")
    ann.type("//help is a command")
    equal(bob.expect("msg", room="@ann").text, "/help is a command")


RUNG = re.compile(r"^ *\d+\.\d+ ", re.M)


def test_the_ladder_of_the_connection(t):
    """/tcp: from socket() on, calls with states and the segments that follow from them."""
    s = t.server()
    for columns, mark in ((60, "┄PA "), (120, "┄PSH,ACK ")):
        ann = Terminal(t, "-n", f"ann{columns}", f"127.0.0.1:{s.port}", columns=columns, rows=60)
        ann.expect("you are in general")
        ann.type("/tcp")
        seen = ann.expect("segment inferred from calls")
        for word in ("socket()", "connect()", "SYN" if columns > 100 else "┄S 0", "send ", "recv ", mark, "EST"):
            check(word in seen, f"{word} is missing:\n{seen}")
        check(all(len(line) <= columns for line in seen.splitlines()))
        for n in range(20):
            ann.type(f"word {n}")
        ann.expect("word 19")
        ann.type("/tcp").expect(re.compile(r"⋮ \d+ rungs: /tcp all shows them"))
        ann.type("/tcp all").expect("send ")
        ann.type("/quit").ended()
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}", columns=60, env={"LC_ALL": "C"})
    ann.expect("you are in general")
    ann.type("/tcp").expect("segment inferred from calls")
    rungs = [line for line in ann.screen().splitlines() if RUNG.match(line)]
    check(len(rungs) > 5 and all(line.isascii() for line in rungs), rungs)
    ann.resize(50)
    ann.type("/tcp").expect("the ladder takes 60 columns")


def test_a_ladder_that_is_drawn_as_it_comes(t):
    """/tcp live, in the middle of a conversation: rungs come above the typed line, which stays whole; /tcp off ends it; the
    next connection gets a head of its own, and an end its verdict."""
    s = t.server()
    bob = s.join("general", "bob")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}", rows=60)
    ann.expect("you are in general")
    ann.type("/tcp live").expect("is drawn from now on")
    ann.write("half a line").expect_line("general> half a line")
    before = len(RUNG.findall(ann.screen()))
    bob.say("general", "are you there?")
    ann.expect(re.compile(r"^ *\d+\.\d+ recv \d+ ", re.M))
    ann.expect_line("general> half a line")
    ann.keys("Home").write("X").keys("Enter")
    equal(bob.expect("msg", nick="ann").text, "Xhalf a line")
    ann.expect(re.compile(r"^ *\d+\.\d+ send \d+ ", re.M))
    check(len(RUNG.findall(ann.screen())) > before)
    ann.type("/reconnect").expect("UNFINISHED. The client has ended its side")
    ann.expect("socket()")
    ann.type("/tcp off").expect("not drawn any more")
    bob.say("general", "and now?")
    ann.expect("bob: and now?")
    drawn = len(RUNG.findall(ann.screen()))
    bob.say("general", "still?")
    ann.expect("bob: still?")
    equal(len(RUNG.findall(ann.screen())), drawn)


def test_history_on_going_in(t):
    s = t.server()
    bob = s.join("general", "bob")
    for n in range(15):
        bob.say("general", f"number {n}.")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}", rows=60)
    seen = ann.expect("number 14.")
    equal(re.findall(r"number (\d+)", seen), [str(n) for n in range(5, 15)])
    ann.type("/history 15").expect("number 0.")
    ann.keys("C-l")
    ann.type("/history 4 #8").expect("[general #9] bob: number 8.")
    equal(re.findall(r"#(\d+)\] bob", ann.screen()), ["6", "7", "8", "9"])
    for wrong in ("x", "1001", "#", "#0", "5 #x", "5 6"):
        ann.type("/history " + wrong).expect("/history takes a number from 1 to 1000, or #SEQ, or both")
        ann.keys("C-l")


def test_more_rooms_than_an_answer_has(t):
    """The first thousand looked like all that there are."""
    s = t.server(max_rooms_per_connection=2000)
    bob = s.connect("bob")
    bob.raw("".join('{"type":"join","room":"room-%04d"}\n' % n for n in range(1001)))
    bob.ask("join", room="general")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}")
    ann.expect("you are in general")
    ann.type("/rooms").expect("there are more: /rooms PREFIX shows those that begin with it")
    ann.type("/rooms room-100").expect("room-1000: 1 here")
    equal(ann.screen().count("there are more"), 1, "times that there were more")


def test_escapes_from_the_wire(t):
    s = t.server()
    bob = s.join("general", "bob")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}", env={"NO_COLOR": "1"})
    ann.expect("you are in general")
    bob.say("general", "\x1b[2J\x1b]0;title\x07\u009b31m\u202egnp.exe\x7f\r\x08")
    bob.ask("topic", room="general", text="\x1b[2J")
    ann.expect("bob: ^[[2J^[]0;title^G<U+009B>31m<U+202E>gnp.exe^?^M^H")
    ann.expect("topic of general: ^[[2J")
    check("you are in general" in ann.screen(), "the screen was cleared")
    check("\x1b[" not in ann.raw(), "colours in spite of NO_COLOR")


def test_half_close_by_hand(t):
    s = t.server()
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}", columns=120)
    ann.expect("you are in general")
    ann.type("/shutdown").expect("your FIN is sent")
    ann.expect("the server's FIN came")
    ann.expect("you have ended your side, and this was all (eof)")
    ann.expect("/reconnect makes a new connection, /quit leaves")
    ann.type("more?").expect("you have ended your side of the connection; /reconnect makes a new one")
    ann.type("/tcp").expect("you ended first")
    ann.type("/reconnect").expect_line("general>")
    ann.type("again").expect("ann: again")
    ann.type("/quit").ended()


def test_half_close_and_stay(t):
    s = t.server()
    bob = s.join("general", "bob")
    ann = Terminal(t, "-n", "ann", "--on-eof", "stay", f"127.0.0.1:{s.port}", columns=120)
    ann.expect("you are in general")
    ann.type("/shutdown").expect("your FIN is sent")
    s.log.wait(event="recv-fin")
    bob.say("general", "can you hear me?")
    ann.expect("bob: can you hear me?")
    ann.type("/tcp").expect("◐ HALF-CLOSED FIN_WAIT_2")
    ann.expect("you can no longer send, the server still can")
    ann.type("/quit").ended()


def test_verbose(t):
    s = t.server()
    ann = Terminal(t, "-v", "--tls", "-n", "ann", f"127.0.0.1:{s.port}", columns=120)
    ann.expect("the TLS handshake is done: TLSv1.3")
    ann.expect("connected (ESTABLISHED): 127.0.0.1:")
    ann.type("/quit")
    seen = ann.ended()
    check("the server's close_notify came" in seen and "close() is called" in seen, seen)


@seconds(60)
def test_the_server_goes_and_comes_back(t):
    s = t.server()
    port = s.port
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{port}", columns=120)
    ann.expect("you are in general")
    s.kill()
    s.clean, s.exit_code = False, -9
    ann.expect("connecting again in")
    ann.type("while you were away")
    ann.expect("1 waiting>")
    ann.expect("pending, to general: while you were away")
    t.server(listen=f"127.0.0.1:{port}")
    ann.expect("ann: while you were away", timeout=30)
    ann.expect("begun anew")
    equal(ann.expect_line("general>").count("ann: while you were away"), 1)
    ann.type("/quit").ended()


def test_a_failed_line(t):
    p = Puppet(t)
    ann = Terminal(t, "-n", "ann", p.address)
    p.accept().welcome()
    ann.expect("you are in general")
    ann.type("hello")
    send = p.take("send")
    p.say("error", re=send["id"], code="storage", text="the disk is full")
    ann.expect("not sent to general: hello (the disk is full)")
    ann.type("hello?")
    p.take("send")
    ann.expect("pending, to general: hello?")


def test_a_failed_line_is_told_whole(t):
    p = Puppet(t)
    ann = Terminal(t, "-n", "ann", p.address)
    p.accept().welcome()
    ann.expect("you are in general")
    ann.paste("word " * 1000 + "end").keys("Enter")
    send = p.take("send")
    p.say("error", re=send["id"], code="storage", text="the disk is full")
    ann.expect(re.compile(r"word end \(the\s+disk\s+is full\)"))


def test_leaving(t):
    s = t.server()
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}")
    ann.expect("you are in general")
    ann.keys("C-c").expect("^C once more, or /quit, leaves")
    ann.keys("C-c").ended()
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}")
    ann.expect("you are in general")
    ann.keys("C-d").ended()
    s.log.wait(count=2, event="close", reason="bye")


def test_killed_by_quit(t):
    """^\\ leaves the terminal as it was."""
    s = t.server()
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}", after="stty -a")
    ann.expect("you are in general")
    ann.keys("C-\\")
    seen = ann.expect("icanon")
    check("-icanon" not in seen and "-echo " not in seen, seen)


def test_nobody_there(t):
    p = Puppet(t)
    p.close()
    ann = Terminal(t, "-n", "ann", p.address)
    check("is chatd running there?" in ann.ended(exit_code=3))


# ---- rooms that are someone's ----

def test_what_an_owner_does(t):
    s = t.server()
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}", rows=80, columns=120)
    ann.expect("you own general until you go (/register makes it last)")
    bob, carol = s.join("general", "bob"), s.join("general", "carol")
    ann.expect("carol came")
    for command, seen in (("/role bob moderator", "you have made bob a moderator of general"),
                          ("/who", "ann (owner)"),
                          ("/role bob king", "role takes owner, moderator or member"),
                          ("/role bob", "/role takes a nick and a role"),
                          ("/role ann member", "ann is the only owner of general: name another one first"),
                          ("/mute carol 2h too loud", "you have muted carol in general until "),
                          ("/bans", "carol is muted by ann since "),
                          ("/unmute carol", "you have let carol speak again in general"),
                          ("/bans", "nobody is banned or muted here"),
                          ("/kick carol enough", "you have put carol out of general: enough"),
                          ("/kick carol", "carol is not in general"),
                          ("/ban carol", "you have banned carol from general"),
                          ("/bans", "carol is banned by ann since "),
                          ("/unban carol", "you have let carol into general again"),
                          ("/access invited", "you have made general a room for those who are invited"),
                          ("/invite carol", "you have invited carol to general"),
                          ("/access shut", "access takes open, invited or accounts"),
                          ("/access open", "you have made general open to everyone"),
                          ("/ban ann", "that is yourself: to go out, leave the room"),
                          ("/ban a*b", "that can't be a nick"), ("/kick", "/kick NICK [REASON]")):
        ann.type(command).expect(seen)
    check("carol left" not in ann.screen(), "it is told twice that carol went")
    bob.sync()
    equal([e.reason for e in bob.inbox if e.type == "moderation" and e.event in ("mute", "kick")],
          ["too loud", "enough"])
    equal(carol.expect("left").reason, "enough")
    ann.type("/msg bob").expect_line("@bob>")
    ann.type("/kick bob").expect("a direct conversation is nobody's")


def test_what_becomes_of_one(t):
    s = t.server()
    bob, carol = s.join("general", "bob"), s.connect("carol")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}", rows=80, columns=120)
    ann.expect("you are in general")
    bob.ask("mute", room="general", nick="ann", reason="calm \x1b[2J", seconds=7200)
    ann.expect("bob has muted you in general until ")
    ann.expect(": calm ^[[2J; you can read on")
    ann.type("but I").expect("not sent to general: but I (you are muted in general for another 2 h, by bob: calm")
    bob.ask("unmute", room="general", nick="ann")
    ann.expect("bob has let you speak again in general")
    ann.type("/bans").expect("only owners and moderators of general may do that")
    bob.ask("role", room="general", nick="ann", role="moderator")
    ann.expect("bob has made you a moderator of general")
    bob.ask("kick", room="general", nick="ann", reason="spam")
    ann.expect("bob has put you out of general: spam; you may come back: /join general")
    ann.type("hello?").expect("you are not in general: /join general")
    ann.expect_line("general (not in it)>")
    ann.type("/join general").expect("you are a moderator of general")
    ann.expect_line("general>")
    bob.ask("ban", room="general", nick="ann", reason="spam")
    ann.expect("bob has banned you from general: spam; its owners and moderators can lift that")
    ann.type("/join general").expect("you are banned from general, by bob: spam")
    bob.ask("unban", room="general", nick="ann")
    bob.ask("access", room="general", access="invited")
    ann.type("/join general").expect("general is for those who are invited: its owners and moderators can invite you")
    bob.ask("invite", room="general", nick="ann")
    ann.expect("bob has invited you to general: /join general")
    ann.type("/join general").expect("general is for those who are invited")


def test_refused_at_the_door(t):
    """Who never was in a room is not told to be there no more, and sees that what is typed goes nowhere."""
    s = t.server()
    bob = s.join("cellar", "bob")
    bob.ask("access", room="cellar", access="invited")
    ann = Terminal(t, "-n", "ann", "-r", "tea", f"127.0.0.1:{s.port}", columns=120)
    ann.expect("you are in tea")
    ann.type("/join cellar").expect("cellar is for those who are invited: its owners and moderators can invite you")
    ann.expect_line("cellar (not in it)>")
    check("any more" not in ann.screen(), ann.screen())
    ann.type("hello").expect("you are not in cellar: /join cellar, or /room for where you are")
    ann.type("/room tea").expect_line("tea>")
    ann.type("/leave").expect("you are not in tea any more")
    ann.expect_line("tea (not in it)>")


@seconds(60)
def test_behind_and_caught_up(t):
    """Old messages come live: chat asks how far the room is, and says when it is behind and when no longer."""
    p = Puppet(t)
    ann = Terminal(t, "-n", "ann", p.address)
    p.accept().welcome(epoch=5)
    ann.expect("you are in general")
    p.msg(1, "fresh", nick="bob").msg(2, "stale", nick="bob", age_s=60)
    join = p.take("join")
    equal((join["room"], "after" in join), ("general", False))
    p.msg(3, "staler", nick="bob", age_s=60)  # one question is enough
    p.say("joined", re=join["id"], room="general", epoch=5, seq=5, members=2, topic="")
    ann.expect("behind in general: 2 messages to come")
    p.msg(4, "four", nick="bob", age_s=30).msg(5, "five", nick="bob")
    ann.expect("caught up in general: 2 messages")
    # A clock that was set is no lag: that is found out once, and not told.
    p.msg(6, "six", nick="bob", age_s=600)
    join = p.take("join")
    p.say("joined", re=join["id"], room="general", epoch=5, seq=6, members=2, topic="")
    p.msg(7, "seven", nick="bob", age_s=600)
    ann.expect("bob: seven")
    ann.type("still here")
    equal(p.take()["type"], "send")
    equal(ann.expect_line("general>").count("behind in"), 1)
