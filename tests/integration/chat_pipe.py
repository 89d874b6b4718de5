"""chat in a pipe, and for scripts (--json): what it says, how it ends, its exit codes."""
import os
import re
import signal
import subprocess

from lib import both, check, equal, seconds, wait_until
from lib.chat import Chat, Puppet
from lib.log import Log


def tls_words(t):
    return ["--tls"] if t.tls else ["--plain"]


@both
def test_echo(t):
    s = t.server()
    bob = s.join("general", "bob")
    chat = Chat(t, *tls_words(t), "-n", "ann", f"127.0.0.1:{s.port}", stdin="hello\n")
    equal(chat.run(), "ann: hello\n")
    equal(bob.expect("msg").text, "hello")
    equal(bob.expect("presence", event="detach").nick, "ann")
    close = s.log.wait(event="close")
    equal(close["ended-first"], "peer")
    check(close["how"] in ("graceful", "half-closed"), close)
    if not t.tls:
        equal(chat.stderr(), "")


@both
def test_both_logs_tell_the_same_life(t):
    s = t.server()
    log = t.path("client.log")
    Chat(t, *tls_words(t), "-n", "ann", "--log", log, f"127.0.0.1:{s.port}", stdin="hello\n").run()
    s.log.wait(event="close")
    client, server = Log(log).read(), s.log.read()
    events = [r["event"] for r in client]
    equal(events[0], "socket")
    equal(events[-1], "close")
    equal(events.count("close"), 1)
    wanted = {"connect", "shutdown", "recv-fin"} | ({"tls-handshake", "send-close-notify", "recv-close-notify"} if t.tls else set())
    check(wanted <= set(events), events)
    equal(len({r["conn"] for r in client}), 1)
    equal({r["side"] for r in client}, {"client"})
    end, theirs = client[-1], [r for r in server if r.get("event") == "close"][0]
    equal((end["ended-first"], theirs["ended-first"]), ("self", "peer"))
    equal((end["bytes-in"], end["bytes-out"]), (theirs["bytes-out"], theirs["bytes-in"]))
    equal((end["msgs-in"], end["msgs-out"]), (theirs["msgs-out"], theirs["msgs-in"]))
    local = [r["local"] for r in client if r["event"] == "connect"][0]
    equal(local, [r["peer"] for r in server if r.get("event") == "accept"][0])


def test_clients_share_a_log(t):
    """Two that start in the same instant had one connection id: their lives could not be told apart."""
    s = t.server()
    log = t.path("client.log")
    chats = [Chat(t, "-n", f"c{n}", "--log", log, f"127.0.0.1:{s.port}", stdin="") for n in range(4)]
    for chat in chats:
        chat.run()
    equal(len({r["conn"] for r in Log(log).read()}), 4)


def test_lines_of_all_kinds(t):
    s = t.server()
    bob = s.join("general", "bob")
    Chat(t, "-n", "ann", f"127.0.0.1:{s.port}", stdin='one\r\n\n"two"\tand \\\n你好 🎉\nno LF').run()
    equal([m.text for m in bob.take(4)], ["one", '"two"\tand \\', "你好 🎉", "no LF"])


def test_what_cannot_be_sent(t):
    s = t.server()
    bob = s.join("general", "bob")
    chat = Chat(t, "-n", "ann", f"127.0.0.1:{s.port}", stdin=b"one\nbad \xff\n" + b"x" * 8193 + b"\n" + b"y" * 8192 + b"\n")
    chat.run(exit_code=1)
    equal([len(m.text) for m in bob.take(2)], [3, 8192])
    equal(chat.stderr(), "chat: line 2 was not sent: it is not text in UTF-8\n"
                         "chat: line 3 was not sent: it has 8193 bytes, and the server takes 8192\n")


def test_nothing_at_all(t):
    s = t.server()
    equal(Chat(t, "-n", "ann", f"127.0.0.1:{s.port}", stdin="").run(), "")


@both
@seconds(60)
def test_many_lines(t):
    """More than is held in the client: input is read as acknowledgements come."""
    s = t.server(history=100000)
    text = "".join(f"line {n}\n" for n in range(20000))
    chat = Chat(t, *tls_words(t), "-n", "ann", f"127.0.0.1:{s.port}")
    feeder = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=chat.process.stdin)
    chat.end_input()
    pid = os.fork()
    if pid == 0:
        feeder.stdin.write(text.encode())
        feeder.stdin.close()
        os._exit(0)
    feeder.stdin.close()
    out = chat.run(timeout=40)
    os.waitpid(pid, 0)
    feeder.wait()
    equal(out, "".join(f"ann: line {n}\n" for n in range(20000)))


def test_a_reader_that_goes_away(t):
    s = t.server()
    bob = s.join("general", "bob")
    chat = Chat(t, "-n", "ann", f"127.0.0.1:{s.port}")
    bob.expect("presence", event="join")
    chat.process.stdout.close()
    bob.say("general", "anyone?")
    equal(chat.process.wait(8), 1)
    equal(s.log.wait(event="close")["how"], "reset")


def test_changes(t):
    s = t.server()
    bob = s.join("general", "bob")
    chat = Chat(t, "-n", "ann", f"127.0.0.1:{s.port}")
    bob.expect("presence", event="join")
    bob.say("general", "one")
    bob.ask("edit", room="general", seq=1, text="two\nlines")
    bob.ask("remove", room="general", seq=1)
    chat.expect("(removed)\n")
    chat.end_input()
    equal(chat.run(), "bob: one\nbob ✎1: two\n    lines\nbob ✎1: (removed)\n")


def test_direct(t):
    s = t.server()
    bob = s.connect("bob")
    Chat(t, "-n", "ann", "-r", "@bob", f"127.0.0.1:{s.port}", stdin="psst\n").run()
    equal(bob.expect("msg").room, "@ann")
    chat = Chat(t, "-n", "ann", "-r", "@nobody", f"127.0.0.1:{s.port}", stdin="psst\n")
    chat.run(exit_code=1)
    check("not sent: " in chat.stderr(), chat.stderr())


def test_several_rooms(t):
    s = t.server()
    bob = s.join("tea", "bob")
    chat = Chat(t, "-n", "ann", "-r", "general", "-r", "tea", f"127.0.0.1:{s.port}")
    bob.expect("presence", event="join")
    bob.say("tea", "two\nlines")
    chat.expect("[tea] bob: two\n    lines\n")
    chat.end_input()
    chat.run()


def test_on_eof_stay(t):
    s = t.server()
    bob = s.join("general", "bob")
    chat = Chat(t, "-n", "ann", "--on-eof", "stay", f"127.0.0.1:{s.port}", stdin="one\n")
    bob.expect("msg")
    s.log.wait(event="recv-fin")
    bob.say("general", "still there?")
    chat.expect("bob: still there?")
    bob.fin().ends_with("eof")
    s.stop()
    chat.run()


def test_signals(t):
    s = t.server()
    chat = Chat(t, "-n", "ann", f"127.0.0.1:{s.port}")
    s.log.wait(event="accept")
    chat.write("x\n")
    chat.expect("ann: x")
    chat.signal(signal.SIGTERM)
    chat.run()
    equal(s.log.wait(event="close")["reason"], "bye")


def test_escapes_from_the_wire(t):
    s = t.server()
    bob = s.join("general", "bob")
    chat = Chat(t, "-n", "ann", f"127.0.0.1:{s.port}")
    bob.expect("presence", event="join")
    bob.say("general", "\x1b[2J\x9b31m\u202eevil\x07\nann: forged")
    chat.expect("bob: ^[[2J<U+009B>31m<U+202E>evil^G\n    ann: forged\n")
    chat.end_input()
    chat.run()


# ---- losing the connection ----

def test_a_lost_ack_costs_nothing(t):
    """The server took the line, and the connection broke before its ack: it goes again under the same key, with `resume`."""
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", p.address, stdin="hello\n")
    p.accept().welcome(epoch=5, seq=3)
    first = p.take("send")
    p.cut()
    p.accept()
    hello, join = p.welcome(epoch=5, seq=4)
    equal(hello["resume"], "token")
    equal(join["after"], 3)
    again = p.take("send")
    equal((again["key"], again["text"]), (first["key"], "hello"))
    p.msg(4, "hello").say("ack", re=again["id"], room="general", seq=4, time=1, repeat=True).end()
    equal(chat.run(), "ann: hello\n")
    check(re.search(r"connecting again in 0\.\d s$", chat.stderr(), re.M), chat.stderr())


def test_nothing_is_shown_twice(t):
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", p.address)
    p.accept().welcome(epoch=5, seq=1)
    p.msg(2, "two").msg(2, "two").msg(3, "three")
    chat.expect("three")
    p.cut()
    p.accept()
    equal(p.welcome(epoch=5, seq=6)[1]["after"], 3)
    p.msg(3, "three").msg(4, "four").say("gap", room="general", **{"from": 5, "to": 5}).msg(6, "six").msg(8, "eight")
    chat.expect("eight")
    chat.end_input()
    p.end()
    equal(chat.run(), "ann: two\nann: three\nann: four\nann: six\nann: eight\n")
    check("messages 5 to 5 of general are no longer kept" in chat.stderr(), chat.stderr())
    check("messages 7 to 7 of general are missing" in chat.stderr(), chat.stderr())


def test_another_epoch(t):
    """The order was lost: everything of the new one is asked for and shown, from 1."""
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", p.address)
    p.accept().welcome(epoch=5, seq=10)
    p.msg(11, "old")
    chat.expect("old")
    p.cut()
    p.accept().welcome(epoch=6, seq=12)
    p.msg(12, "new 12")
    equal(p.take("join")["after"], 0)
    p.say("joined", re="chat.join.general", room="general", epoch=6, seq=12, members=1, topic="")
    for seq in range(1, 13):
        p.msg(seq, f"new {seq}")
    chat.expect("new 12")
    chat.end_input()
    p.end()
    equal(chat.run(), "ann: old\n" + "".join(f"ann: new {n}\n" for n in range(1, 13)))


def test_no_reconnect(t):
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", "--no-reconnect", p.address, stdin="hello\n")
    p.accept().welcome()
    p.take("send")
    p.cut()
    chat.run(exit_code=4)
    check("reset the connection" in chat.stderr(), chat.stderr())


@seconds(60)
def test_a_server_that_comes_back(t):
    """A restart loses nothing that is still to be said."""
    s = t.server()
    chat = Chat(t, "-n", "ann", f"127.0.0.1:{s.port}")
    chat.write("before\n")
    chat.expect("before")
    port = s.port
    s.stop()
    chat.write("between\n")
    wait_until(lambda: "connecting again" in chat.stderr(), "the loss is told")
    s2 = t.server(listen=f"127.0.0.1:{port}")
    chat.expect("between", timeout=30)
    chat.end_input()
    equal(chat.run(), "ann: before\nann: between\n")
    check(s2.log.find(event="accept"))


def test_overloaded_is_tried_again(t):
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", p.address)
    p.accept().welcome()
    chat.write("hello\n")
    first = p.take("send")
    p.say("error", re=first["id"], code="overloaded", text="later", retry_after_ms=10)
    again = p.take("send")
    equal(again["key"], first["key"])
    p.ack(again, 1)
    chat.end_input()
    p.end()
    chat.run()


# ---- who one is ----

def test_nick_in_use(t):
    s = t.server()
    s.connect("ann")
    chat = Chat(t, "-n", "ann", f"127.0.0.1:{s.port}", stdin="x\n")
    chat.run(exit_code=3)
    check("the nick ann is taken" in chat.stderr() and "-n ann_" in chat.stderr(), chat.stderr())
    s.connect("tester")  # the login name: nobody has asked for it
    chat = Chat(t, f"127.0.0.1:{s.port}", stdin="x\n")
    equal(chat.run(), "tester_: x\n")


def test_old_and_new_versions(t):
    for low, high, who in ((2, 3, "the chat is too old"), (0, 0, "the server is too old")):
        p = Puppet(t)
        chat = Chat(t, p.address, stdin="x\n")
        hello = p.accept().take("hello")
        p.say("error", re=hello["id"], code="bad_version", text="no", min=low, max=high)
        chat.run(exit_code=6)
        check(who in chat.stderr(), chat.stderr())


def test_what_is_no_chat_server(t):
    for said in ("SSH-2.0-OpenSSH_9.2p1\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "\x1b]0;evil\x07\n", "[]\n",
                 '{"hello":"world"}\n'):
        p = Puppet(t)
        chat = Chat(t, p.address, stdin="x\n")
        p.accept().raw(said)
        chat.run(exit_code=6)
        check("is no chat server" in chat.stderr() and "\x1b" not in chat.stderr(), chat.stderr())


def test_nobody_there(t):
    p = Puppet(t)
    p.close()
    chat = Chat(t, p.address, stdin="x\n")
    chat.run(exit_code=3)
    check(f"refused the connection: is chatd running there? (chatd --listen {p.address})" in chat.stderr(), chat.stderr())
    chat = Chat(t, "no..name:7000", stdin="x\n")
    chat.run(exit_code=3)
    check("was not found" in chat.stderr(), chat.stderr())


def test_without_standard_output(t):
    """The socket got its number, and everything was printed into it."""
    s = t.server()
    bob = s.join("general", "bob")
    chat = subprocess.run(["sh", "-c", 'echo hello | "$@" >&- 2>&-', "sh", t.build / "chat", "-n", "ann", f"127.0.0.1:{s.port}"],
                          env={**os.environ, "HOME": str(t.dir)}, check=False, timeout=20)
    equal(chat.returncode, 0)
    equal(bob.expect("msg").text, "hello")
    equal(s.log.wait(event="close")["msgs-in"], "3")  # hello, join, send


def test_nohup(t):
    s = t.server()
    chat = Chat(t, "-n", "ann", f"127.0.0.1:{s.port}", ignored=signal.SIGHUP)
    chat.write("x\n")
    chat.expect("ann: x")
    chat.signal(signal.SIGHUP)
    for word in ("y", "z"):
        chat.write(word + "\n")
        chat.expect(f"ann: {word}")
    chat.signal(signal.SIGTERM)
    chat.run()


def test_no_place_for_event_logs(t):
    chat = Chat(t, "127.0.0.1:1", stdin="", env={"CHAT_TRACE": t.path("none/such")})
    chat.run(exit_code=2)
    check(chat.stderr().startswith("chat: CHAT_TRACE: "), chat.stderr())


def test_usage(t):
    for words in (["--nothing"], ["-r", "Not A Room"], ["host:0"], ["--tls", "--plain"]):
        chat = Chat(t, *words, stdin="")
        chat.run(exit_code=2)
        check(chat.stderr().startswith("chat: "), chat.stderr())
    check("Usage: chat" in Chat(t, "--help", stdin="").run())
    check(re.fullmatch(r"chat \d+\.\d+\.\d+\n", Chat(t, "--version", stdin="").run()))


# ---- certificates ----

def test_trust_on_first_use(t):
    first = t.server()
    known = t.path("known")
    where = ["--tls", "--known-hosts", known, "-n", "ann"]
    chat = Chat(t, *where, f"127.0.0.1:{first.port}", stdin="x\n")
    chat.run()
    check("first time at" in chat.stderr(), chat.stderr())
    equal(os.stat(known).st_mode & 0o777, 0o600)
    chat = Chat(t, *where, f"127.0.0.1:{first.port}", stdin="x\n")
    chat.run()
    equal(chat.stderr(), "")
    port = first.port
    first.stop()
    t.server(listen=f"127.0.0.1:{port}")  # with another certificate
    chat = Chat(t, *where, f"127.0.0.1:{port}", stdin="x\n")
    chat.run(exit_code=5)
    prints = re.findall(r"SHA256:[0-9a-f:]{95}", chat.stderr())
    check(len(prints) == 2 and prints[0] != prints[1], chat.stderr())
    check(known in chat.stderr(), chat.stderr())


def test_certificate_by_issuer(t):
    s = t.server()
    chat = Chat(t, "--ca", "/etc/hostname", f"127.0.0.1:{s.port}", stdin="x\n")
    chat.run(exit_code=2)
    key, cert = t.path("other.key"), t.path("other.crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    key, "-out", cert, "-days", "2", "-subj", "/CN=x", "-addext", "subjectAltName=DNS:localhost"],
                   check=True, capture_output=True)
    mine = t.server(cert=cert, key=key)
    Chat(t, "--ca", cert, f"localhost:{mine.port}", stdin="x\n").run()
    for server, host in ((s, "localhost"), (mine, "127.0.0.1")):  # another issuer; another name
        chat = Chat(t, "--ca", cert, f"{host}:{server.port}", stdin="x\n")
        chat.run(exit_code=5)
        check("could not be verified" in chat.stderr(), chat.stderr())


def test_tls_where_there_is_none(t):
    p = Puppet(t)
    chat = Chat(t, "--tls", p.address, stdin="x\n")
    p.accept().raw("HTTP/1.1 400 Bad Request\r\n\r\n")
    chat.run(exit_code=6)
    check("TLS with" in chat.stderr(), chat.stderr())


def test_plain_where_tls_is_wanted(t):
    s = t.server(plain="off")
    chat = Chat(t, f"127.0.0.1:{s.port}", stdin="x\n")
    chat.run(exit_code=6)
    check("use --tls" in chat.stderr(), chat.stderr())


# ---- for scripts ----

@both
def test_json(t):
    s = t.server()
    chat = Chat(t, "--json", *tls_words(t), "-n", "ann", "-r", "general", f"127.0.0.1:{s.port}",
                stdin='{"type":"send","room":"general","text":"hi","id":"1"}\n{"type":"rooms","id":"2"}\n')
    chat.run()
    lines = chat.lines()
    types = [line["type"] for line in lines]
    equal([x for x in types if x != "chat"].count("bye"), 1)
    check({"welcome", "joined", "ack", "msg", "room", "end"} <= set(types), types)
    connected = [line for line in lines if line.get("event") == "connected"][0]
    equal(connected["tls"], t.tls)
    equal(lines[-1], {"type": "chat", "event": "over", "exit": 0})


def test_json_with_faults(t):
    s = t.server()
    chat = Chat(t, "--json", "-n", "ann", f"127.0.0.1:{s.port}",
                stdin='{"type":"ping","id":"1"\n{"type":"hello","version":1,"nick":"x"}\n[]\n{"type":"ping","id":"4"}\n')
    chat.run(exit_code=1)
    invalid = [line for line in chat.lines() if line.get("event") == "invalid"]
    equal([line["line"] for line in invalid], [1, 2, 3])
    check([line for line in chat.lines() if line["type"] == "pong"])
    chat = Chat(t, "--json", "-n", "ann", f"127.0.0.1:{s.port}", stdin='{"type":"join","room":"X","id":"1"}\n')
    chat.run(exit_code=1)
    equal([line["code"] for line in chat.lines() if line["type"] == "error"], ["bad_room"])


def test_json_says_bye(t):
    """The script's own `bye`, with its input still open: that is no loss."""
    s = t.server()
    chat = Chat(t, "--json", "-n", "ann", f"127.0.0.1:{s.port}")
    chat.expect("welcome")
    chat.write('{"type":"bye","id":"1"}\n')
    chat.run()
    equal(chat.lines()[-1], {"type": "chat", "event": "over", "exit": 0})


def test_json_is_one_connection(t):
    p = Puppet(t)
    chat = Chat(t, "--json", "-n", "ann", "-r", "general", p.address)
    p.accept().welcome()
    p.raw('{"type":"msg","room":"general","seq":1,"nick":"b","time":1,"text":"\x7f\u202e\u009b"}\n')
    chat.expect("\\u007f\\u202e\\u009b")
    p.cut()
    chat.run(exit_code=4)
    equal(chat.lines()[-1]["exit"], 4)


@both
def test_who_leaves_ends_first(t):
    """Its close_notify does not run ahead of its FIN: else the server would answer with an end of its own, and wait in TIME_WAIT."""
    s = t.server()
    for n in range(1, 21):
        Chat(t, *tls_words(t), "-n", "ann", f"127.0.0.1:{s.port}", stdin="hello\n").run()
        s.log.wait(event="close", count=n)
    states = {r["state"] for r in s.log.find(event="shutdown")}
    check(states <= {"LAST_ACK", "CLOSED"}, states)


@both
def test_the_ladder_goes_to_stderr(t):
    """--ladder in a pipe: rungs on stderr as they come, with the verdict; what is printed stays what it was."""
    s = t.server()
    chat = Chat(t, "-n", "ann", "--ladder", "--tls" if t.tls else "--plain", f"127.0.0.1:{s.port}")
    chat.write("hello\n")
    chat.expect("ann: hello")
    wait_until(lambda: "connect()" in chat.stderr(), "the first rungs")
    check("GRACEFUL" not in chat.stderr(), chat.stderr())
    chat.end_input()
    equal(chat.run(), "ann: hello\n")
    said = chat.stderr()
    # FIN_WAIT_2, or TIME_WAIT where the server's end was there before anyone looked.
    for word in ("socket()", "connect()", "shutdown(WR)", "_WAIT", "recv = 0", "close()", "GRACEFUL", "The client closed first."):
        check(word in said, f"{word} is missing:\n{said}")
    check(("TLS handshake" in said) == t.tls, said)
    check(all(len(line) <= 100 for line in said.splitlines() if "│" in line), said)
