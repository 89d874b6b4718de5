"""chat_back.py: chat after a loss: what it waits for, what it keeps, what it says, and when it gives up."""
from lib import check, equal, seconds, wait_until
from lib.chat import Chat, Puppet, Terminal

# ---- lines that no server answers ----


def test_a_line_that_is_too_long_once_escaped(t):
    """Its 3000 bytes are 18000 in JSON. The server skipped it and could not say whose it was: chat sent it again, for ever."""
    s = t.server()
    bob = s.join("general", "bob")
    chat = Chat(t, "-n", "ann", f"127.0.0.1:{s.port}", stdin="\x01" * 3000 + "\nok\n")
    equal(chat.run(exit_code=1), "ann: ok\n")
    equal(bob.expect("msg").text, "ok")
    check("line 1 was not sent: it has so many control characters" in chat.stderr(), chat.stderr())


def test_an_end_without_an_answer(t):
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", p.address, stdin="hello\n")
    p.accept().welcome()
    p.take("send")
    p.end()
    chat.run(exit_code=1)
    check("not sent: the server ended the connection without an answer to it" in chat.stderr(), chat.stderr())


def test_another_limit_when_it_is_back(t):
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", p.address)
    p.accept().welcome()
    p.msg(1, "here")
    chat.expect("here")
    p.cut()
    wait_until(lambda: "connecting again" in chat.stderr(), "the loss")
    chat.write('"' * 3000 + "\nshort\n")
    chat.end_input()
    p.accept().welcome(max_line=4096)
    send = p.take("send")
    equal(send["text"], "short")
    p.ack(send, 2).end()
    chat.run(exit_code=1)
    check("not sent: it is a longer line than the server takes" in chat.stderr(), chat.stderr())


# ---- refused when it comes back ----

def test_what_may_pass_is_waited_for(t):
    for code in ("storage", "nick_in_use"):
        p = Puppet(t)
        chat = Chat(t, "-n", "ann", p.address)
        p.accept().welcome()
        chat.write("hello\n")
        p.take("send")
        p.cut()
        hello = p.accept().take("hello")
        p.say("error", re=hello["id"], code=code, text="not now", retry_after_ms=10)
        p.expect_end()
        p.accept().welcome()
        send = p.take("send")
        equal(send["text"], "hello")
        chat.end_input()
        p.ack(send, 1).end()
        chat.run()
        check("(not now); trying again in" in chat.stderr(), chat.stderr())


def test_who_comes_for_the_first_time_is_told(t):
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", p.address, stdin="hello\n")
    hello = p.accept().take("hello")
    p.say("error", re=hello["id"], code="storage", text="not now")
    chat.run(exit_code=3)


@seconds(60)
def test_a_room_that_is_full_when_it_is_back(t):
    """What is said there waits until it is in again."""
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", p.address)
    p.accept().welcome(epoch=5, seq=3)
    p.msg(4, "here")
    chat.expect("here")
    p.cut()
    wait_until(lambda: "connecting again" in chat.stderr(), "the loss")
    chat.write("one\n")
    hello = p.accept().take("hello")
    p.say("welcome", re=hello["id"], server="puppet 1", version=1, nick="ann", session="p-2", time=1, limits={})
    join, send = p.take("join"), p.take("send")
    p.say("error", re=join["id"], code="room_full", text="the room is full")
    p.say("error", re=send["id"], code="not_member", text="one has to be in there")
    wait_until(lambda: "not back in general yet" in chat.stderr(), "what it waits for")
    chat.write("two\n")
    join = p.take("join")
    equal(join["after"], 4)
    p.say("joined", re=join["id"], room="general", epoch=5, seq=4, members=1, topic="")
    for seq, text in ((5, "one"), (6, "two")):
        send = p.take("send")
        equal(send["text"], text)
        p.ack(send, seq)
    chat.end_input()
    p.end()
    chat.run()


def test_a_room_is_not_taken_for_another(t):
    """`tea` is refused, and `teapot`, which is answered later, was given up too."""
    p = Puppet(t)
    ann = Terminal(t, "-n", "ann", "-r", "teapot", "-r", "tea", p.address)
    for again in (False, True):
        hello = p.accept().take("hello")
        p.say("welcome", re=hello["id"], server="puppet 1", version=1, nick="ann", session="p-1", time=1, limits={})
        joins = [p.take("join"), p.take("join")]
        equal([j["room"] for j in joins], ["teapot", "tea"])
        if not again:
            for j in joins:
                p.say("joined", re=j["id"], room=j["room"], epoch=1, seq=0, members=1, topic="")
            ann.expect("you are in tea,")
            p.cut()
    p.say("error", re=joins[1]["id"], code="banned", text="not you")
    seen = ann.expect("you are not in tea any more")
    check("not in teapot any more" not in seen, seen)


# ---- the end of input, and silence ----

def test_the_end_of_input_while_it_is_away(t):
    """Nothing is left to come back for."""
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", p.address)
    p.accept().welcome()
    chat.write("hello\n")
    p.ack(p.take("send"), 1)
    p.msg(1, "hello")
    chat.expect("hello")
    p.listener.close()
    p.cut()
    wait_until(lambda: "connecting again" in chat.stderr(), "the loss")
    chat.end_input()
    chat.run()


@seconds(60)
def test_silence_behind_our_end(t):
    """Nothing can be asked any more, and TCP has nothing to send: a server that is gone was waited for, for ever."""
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", p.address, stdin="")
    p.accept().welcome(ping_s=1)
    p.expect_end()
    chat.run(exit_code=4)
    check("was not heard of any more" in chat.stderr(), chat.stderr())


@seconds(60)
def test_many_tries_are_told_seldom(t):
    p = Puppet(t)
    chat = Chat(t, "-v", "-n", "ann", p.address)
    p.accept().welcome()
    for n in range(1, 5):
        p.cut()
        wait_until(lambda: chat.stderr().count("close() is called") == n, "the end of the connection")
        if n < 4:
            p.accept().take("hello")
    chat.end_input()
    chat.run()
    equal(chat.stderr().count("still no way to"), 2, chat.stderr())
    check("told seldom from now on" in chat.stderr(), chat.stderr())


# ---- on a terminal, without a connection ----

def test_rooms_while_it_is_away(t):
    p = Puppet(t)
    ann = Terminal(t, "-n", "ann", p.address)
    p.accept().welcome()
    ann.expect("you are in general")
    p.cut()
    ann.expect_line("general (offline)>")
    ann.type("/room").expect("general (you talk here)")
    ann.type("/join tea").expect("you will be in tea when there is one again")
    ann.expect_line("tea (offline)>")
    ann.type("/room general").expect_line("general (offline)>")
    ann.type("/leave").expect("you are not in general any more")
    ann.type("/leave").expect("you are not in general\n")
    equal(p.accept().welcome()[1]["room"], "tea")
    ann.expect("you are in tea")


def test_what_cannot_be_done_after_shutdown(t):
    p = Puppet(t)
    ann = Terminal(t, "-n", "ann", p.address, columns=120)
    p.accept().welcome()
    ann.expect("you are in general")
    ann.type("/shutdown").expect("your FIN is sent")
    for n, command in enumerate(("/who", "/join tea")):
        ann.type(command)
        wait_until(lambda: ann.screen().count("you have ended your side of the connection; /reconnect") == n + 1, command)
    p.end()


def test_leaving_with_something_unsaid(t):
    p = Puppet(t)
    ann = Terminal(t, "-n", "ann", p.address)
    p.accept().welcome()
    ann.expect("you are in general")
    p.cut()
    ann.expect_line("general (offline)>")
    ann.type("hello").expect_line("general (offline) 1 waiting>")
    ann.type("/quit").ended(4)
    check("1 line of yours may not have arrived" in ann.screen(), ann.screen())
