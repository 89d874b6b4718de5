"""edits.py: editing and removing what one has said: new events in the one order, by the one who said it."""
import json
import os
import re
import signal
import struct

from lib import Skip, both, check, equal, seconds
from lib.bots import right, run_chatbot
from lib.chat import Terminal


def disk(t, name="data", **options):
    return t.server(data=t.path(name), **options)


def kill(s):
    s.clean = False
    s.signal(signal.SIGKILL)
    s.wait()


@both
def test_edit_and_remove(t):
    s = t.server(threads=2)
    ann, bob = s.join("general", "ann"), s.join("general", "bob")
    equal(ann.say("general", "helo").seq, 1)
    ack = ann.ask("edit", room="general", seq=1, text="hello \"bob\"")
    equal((ack.type, ack.room, ack.seq), ("ack", "general", 2))
    equal(ann.ask("remove", room="general", seq=1).seq, 3)
    for c in (ann, bob):
        old, edit, removal = c.take(3)
        equal((old.seq, old.text), (1, "helo"))
        equal(list(edit), ["type", "room", "seq", "nick", "time", "edits", "text"])
        equal((edit.seq, edit.nick, edit.edits, edit.text), (2, "ann", 1, 'hello "bob"'))
        equal((removal.seq, removal.nick, removal.removes, removal.text), (3, "ann", 1, ""))
    lines, end = bob.ask_all("history", room="general")
    equal([(m.seq, m.get("edits"), m.get("removes"), m.text) for m in lines],
          [(1, None, None, "helo"), (2, 1, None, 'hello "bob"'), (3, None, 1, "")])
    carol = s.connect("carol")
    carol.ask("join", room="general", after=1)
    equal([m.seq for m in carol.take(2)], [2, 3])


def test_who_may(t):
    s = t.server(threads=2)
    ann, bob = s.join("general", "ann"), s.join("general", "bob")
    ann.say("general", "ann's")
    bob.say("general", "bob's")
    equal(ann.ask("edit", room="general", seq=1, text="mine").seq, 3)
    bob.refused("edit", "not_yours", room="general", seq=1, text="his")
    bob.refused("remove", "not_yours", room="general", seq=1)
    ann.refused("remove", "not_yours", room="general", seq=2)
    for seq in (4, 9007199254740991):
        ann.refused("edit", "no_such_message", room="general", seq=seq, text="x")
    ann.refused("edit", "no_such_message", room="general", seq=3, text="of an edit")
    ann.refused("remove", "no_such_message", room="general", seq=3)
    ann.take(3)
    ann.quiet("msg")
    for seq in (0, -1, 1.5, "1", None, True, 9007199254740992):
        equal(ann.refused("edit", "bad_request", room="general", seq=seq, text="x").field, "seq")
    equal(ann.refused("edit", "bad_request", room="general", text="x").field, "seq")
    equal(ann.refused("edit", "bad_request", room="general", seq=1).field, "text")
    equal(ann.refused("edit", "bad_request", room="general", seq=1, text="").field, "text")
    equal(ann.refused("edit", "too_long", room="general", seq=1, text="x" * 8193).field, "text")
    equal(ann.refused("remove", "bad_request", room="general", seq=1, key="").field, "key")
    equal(ann.refused("edit", "bad_request", room="@bob", seq=1, text="x").field, "room")
    ann.refused("edit", "not_member", room="elsewhere", seq=1, text="x")
    s.connect().refused("edit", "hello_first", room="general", seq=1, text="x")


def test_another_one_of_that_nick(t):
    """A nick that was free for a moment may be somebody else's: what was said under it before is not his. With the resume
    token it is the same one."""
    s = t.server()
    ann = s.join("general", "Ann")
    ann.say("general", "the first one's")
    token = ann.welcome.resume
    again = s.connect()
    again.hello("ann", resume=token)
    again.ask("join", room="general")
    equal(again.ask("edit", room="general", seq=1, text="still mine").seq, 2)
    again.close()
    s.log.wait(event="close", conn=again.session)
    other = s.join("general", "ANN")
    other.refused("edit", "not_yours", room="general", seq=1, text="mine now")
    equal(other.say("general", "x").seq, 3)
    equal(other.ask("remove", room="general", seq=3).seq, 4)


def test_what_is_said_at_once_is_ones_own(t):
    """In the millisecond in which somebody else let go of the nick, too."""
    s = t.server()
    for n in range(100):
        room = f"r{n}"
        old, ann = s.join(room, "ann"), s.connect()
        old.send("bye")
        old.expect("bye")
        ann.raw("".join(json.dumps(line) + "\n" for line in (
            {"type": "hello", "version": 1, "nick": "ann"}, {"type": "join", "room": room},
            {"type": "send", "room": room, "text": "x"},
            {"type": "edit", "id": "e", "room": room, "seq": 1, "text": "y"})))
        equal(ann.expect(re="e").type, "ack")
        ann.close()
        old.close()
        s.log.wait(event="close", count=2 * n + 2)


def test_order_and_ids(t):
    """Requests of one connection are carried out in their order, whatever an edit has to wait for."""
    s = disk(t, threads=2)
    ann = s.join("general", "ann")
    for n in range(1, 101, 4):
        ann.raw("".join(json.dumps(m) + "\n" for m in (
            {"type": "send", "room": "general", "text": f"m{n}", "id": f"s{n}"},
            {"type": "edit", "room": "general", "seq": n, "text": f"e{n}", "id": f"e{n}"},
            {"type": "send", "room": "general", "text": f"m{n + 2}", "id": f"t{n}"},
            {"type": "remove", "room": "general", "seq": n + 2, "id": f"r{n}"})))
        equal([ann.expect("ack", re=f"{c}{n}").seq for c in "setr"], [n, n + 1, n + 2, n + 3])
    equal([m.seq for m in ann.take(100)], list(range(1, 101)))
    ann.send("edit", room="general", seq=1, text="no id")
    equal(ann.take(1)[0].edits, 1)
    ann.quiet()


def test_idempotent(t):
    """A repeated key gets the first ack, also after a restart and when what it was about is gone."""
    s = disk(t)
    ann = s.join("general", "ann")
    ann.say("general", "one")
    first = ann.ask("edit", room="general", seq=1, text="two", key="k")
    again = ann.ask("edit", room="general", seq=1, text="two", key="k")
    equal((again.seq, again.time, again.repeat), (first.seq, first.time, True))
    gone = ann.ask("remove", room="general", seq=1, key="r")
    equal(ann.ask("remove", room="general", seq=1, key="r").seq, gone.seq)
    kill(s)
    s = disk(t)
    ann = s.join("general", "ann")
    again = ann.ask("edit", room="general", seq=1, text="two", key="k")
    equal((again.seq, again.repeat), (first.seq, True))
    ann.refused("edit", "not_yours", room="general", seq=1, text="three", key="other")  # a guest of another server's life
    lines, _ = ann.ask_all("history", room="general")
    equal([(m.seq, m.get("edits"), m.get("removes")) for m in lines], [(1, None, None), (2, 1, None), (3, None, 1)])


@seconds(60)
def test_what_is_only_on_disk(t):
    """The message is read from the store; others' sends go on meanwhile and everything has one order."""
    s = disk(t, threads=2, history=50)
    ann, bob = s.join("general", "ann"), s.join("general", "bob")
    for n in range(1, 501):
        ann.say("general", f"m{n}")
    for n in range(1, 101):
        ann.send("edit", room="general", seq=n, text=f"e{n}", id=f"e{n}")
        bob.send("send", room="general", text=f"b{n}")
        if n % 20 == 0:
            bob.take(20, nick="bob")
    check(all(ann.expect("ack", re=f"e{n}").seq > 500 for n in range(1, 101)), "acks of edits")
    equal([m.seq for m in ann.take(700)], list(range(1, 701)))
    bob.refused("edit", "not_yours", room="general", seq=3, text="x")


def test_no_longer_kept(t):
    s = t.server(history=5)
    ann = s.join("general", "ann")
    for n in range(20):
        ann.say("general", str(n))
    ann.refused("edit", "no_such_message", room="general", seq=3, text="x")
    equal(ann.ask("edit", room="general", seq=18, text="x").seq, 21)


def test_bots_take_them(t):
    """chatbot's checks know that an edit has its place in the order, and that it may repeat a text."""
    path = t.path("script.lua")
    with open(path, "w", encoding="utf-8") as f:
        f.write("""
        chatbot { bots = 2, ramp = 0, duration = 1 }
        function bot(bot)
            bot:join "general"
            local seq = bot:send("the same text", {wait = true})
            bot:raw('{"type":"edit","room":"general","seq":' .. seq .. ',"text":"the same text"}\\n')
            bot:raw('{"type":"remove","room":"general","seq":' .. seq .. '}\\n')
            bot:sleep(0.5)
            bot:send("behind it", {wait = true})
            bot:bye()
        end
        """)
    right(run_chatbot(t, path, t.server().port))


def test_on_a_terminal(t):
    s = t.server()
    bob = s.join("general", "bob")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}")
    ann.expect("you are in general")
    ann.type("/edit what?")
    ann.expect("nothing that you said in general can be changed")
    ann.type("helo")
    ann.expect(re.compile(r"^\d\d:\d\d ann: helo$", re.M))
    bob.say("general", "hi")
    ann.expect("bob: hi")
    ann.type("/edit hello, bob")
    equal(bob.expect("msg", edits=1).text, "hello, bob")
    ann.expect(re.compile(r"^\d\d:\d\d ann ✎1: hello, bob$", re.M))
    ann.type("/edit 2 not mine")
    ann.expect("only the one who said it may change it")
    ann.type("/edit 1 hello")
    equal(bob.expect("msg", edits=1).text, "hello")
    ann.type("/remove")
    equal(bob.expect("msg", removes=1).seq, 5)
    ann.expect(re.compile(r"^\d\d:\d\d ann ✎1: \(removed\)$", re.M))
    ann.type("/quit")
    ann.ended()


def test_the_next_one_of_that_nick(t):
    """Who takes a nick in the very millisecond in which it was let go has not said what was said under it before."""
    s = t.server(requests_per_second=1000000)
    for n in range(1, 101):
        first, next = s.join("general", f"nick{n}"), s.connect()
        first.raw('{"type":"send","room":"general","text":"x"}\n{"type":"bye"}\n')
        next.raw(f'{{"type":"hello","version":1,"nick":"nick{n}"}}\n' * 10)
        first.ends_with("bye")
        next.send("hello", version=1, nick=f"nick{n}")
        next.ask("join", room="general")
        next.refused("edit", "not_yours", room="general", seq=n, text="mine")
        first.close()
        next.close()


class Clock:
    """The time of day of one server: tests/torturing/clock.c."""

    def __init__(self, t):
        self.file, library = t.path("clock"), t.build / "tests/torturing/libtest_clock.so"
        if not library.exists():
            raise Skip("there is no way to set a clock here")
        self.set(0)
        asan = os.environ.get("ASAN_OPTIONS", "abort_on_error=0:exitcode=86:detect_leaks=1") + ":verify_asan_link_order=0"
        self.env = {"LD_PRELOAD": str(library), "CHATD_TEST_CLOCK": self.file, "ASAN_OPTIONS": asan}

    def set(self, seconds):
        with open(self.file, "r+b" if os.path.exists(self.file) else "wb") as f:
            f.write(struct.pack("=q", seconds * 1_000_000))


def test_whose_it_is_when_the_clock_was_set_back(t):
    """A guest's messages are nobody else's who gets the nick later, though by the clock that is earlier; nor over a restart."""
    clock = Clock(t)
    s = disk(t, env=clock.env, log_level="error")
    ann = s.join("general", "ann")
    ann.say("general", "the first ann's")
    clock.set(-3600)
    ann.ask("bye")
    ann.rest()
    ann = s.join("general", "ann")
    ann.refused("edit", "not_yours", room="general", seq=1, text="of another one")
    equal(ann.say("general", "the second ann's").seq, 2)
    equal(ann.ask("edit", room="general", seq=2, text="mine").seq, 3)
    clock.set(-7200)
    kill(s)
    s = disk(t, env=clock.env, log_level="error")
    ann = s.join("general", "ann")
    for seq in (1, 2):
        ann.refused("edit", "not_yours", room="general", seq=seq, text="of another one")
