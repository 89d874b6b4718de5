"""chat_accounts.py: chat and accounts: registering on a terminal, coming in by key and by password, and coming back."""
import os
import stat

from lib import both, check, equal, wait_until
from lib.chat import Chat, Puppet, Terminal
from lib.login import ITERATIONS, b64, login, need_scram, unb64, verifiers


def address(s):
    return f"127.0.0.1:{s.port}"


def register(s, nick="ann", password="correct horse", **fields):
    need_scram(s.test)
    c = s.connect(nick)
    c.ask("register", **verifiers(password), **fields)
    c.close()
    s.log.wait(conn=c.session, event="close")


def secret(t, text, name="password", mode=0o600):
    path = t.path(name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text + "\n")
    os.chmod(path, mode)
    return path


def say(t, s, *words, text="hello\n", exit_code=0, **options):
    """chat in a pipe says that; its end. Gives it."""
    c = Chat(t, "-n", "ann", *words, address(s), stdin=text, **options)
    c.run(exit_code)
    return c


@both
def test_password_file(t):
    s = t.server()
    register(s)
    tls = ["--tls"] if t.tls else []
    c = say(t, s, *tls, "--password-file", secret(t, "correct horse"))
    check("ann: hello" in c.text, c.text)
    mechanism = "SCRAM-SHA-256-PLUS" if t.tls else "SCRAM-SHA-256"
    s.log.wait(event="login", mechanism=mechanism, outcome="done")
    c = say(t, s, *tls, "--password-file", secret(t, "wrong"), exit_code=3)
    check("password" in c.stderr() and "-n" in c.stderr(), c.stderr())


def test_no_way_in(t):
    s = t.server()
    register(s)
    c = say(t, s, exit_code=3)
    check("account" in c.stderr() and "--password-file" in c.stderr(), c.stderr())
    check(not os.path.exists(t.path(".config/chat/key.pem")), "no key is made by the way")


@both
def test_the_refused_leave_in_good_order(t):
    """No RST: the server's last words are waited for."""
    s = t.server()
    register(s)
    s.join("general", "bob")
    tls = ["--tls"] if t.tls else []
    for n, who in enumerate((["-n", "ann"], ["-n", "ann", "--password-file", secret(t, "wrong")], ["-n", "bob"])):
        Chat(t, *tls, *who, address(s), stdin="hello\n").run(exit_code=3)
        wait_until(lambda: len([r for r in s.log.read() if r.get("event") == "close"]) == n + 2, "its close line")
    ends = [r for r in s.log.read() if r.get("event") == "close"][1:]
    equal([(r["ended-first"], r["how"]) for r in ends], [("peer", "graceful")] * 3)


def test_default_nick_is_somebodys_account(t):
    """Who did not choose the nick gets another one, as with one that is in use."""
    s = t.server()
    register(s, nick="tester")
    c = Chat(t, address(s), stdin="hello\n")
    c.run()
    check("tester_: hello" in c.text, c.text, c.stderr())


def test_files_that_others_can_read(t):
    s = t.server()
    register(s)
    c = say(t, s, "--password-file", secret(t, "correct horse", mode=0o640), exit_code=2)
    check("chmod 600" in c.stderr(), c.stderr())
    c = say(t, s, "--password-file", t.path("none"), exit_code=2)
    c = say(t, s, "--password-file", secret(t, ""), exit_code=2)
    os.makedirs(t.path(".config/chat"))
    key = secret(t, "no key", ".config/chat/key.pem", 0o604)
    c = say(t, s, exit_code=3)
    check("chmod 600" in c.stderr(), c.stderr())
    os.chmod(key, 0o600)
    c = say(t, s, exit_code=3)
    check("no Ed25519 key" in c.stderr(), c.stderr())


def test_register_on_a_terminal(t):
    need_scram(t)
    s = t.server()
    term = Terminal(t, "-n", "Ann", address(s))
    term.expect_line("general>")
    term.write("half a line").keys("C-a").keys("C-k")
    term.type("/register").expect("password for Ann")
    term.type("correct horse").expect("once more")
    term.type("correct horse").expect("Ann is your account from now on: elsewhere by its password")
    term.type("/nick").expect("which is your account")
    screen = term.screen()
    check("correct" not in screen, screen)
    term.keys("Up")
    check("correct" not in term.expect("/nick"), "it is in the history")
    term.keys("C-u").type("/quit").ended()
    equal(login(s.connect(), "ann", "correct horse").type, "authenticated")
    mode = os.stat(t.path(".config/chat/key.pem")).st_mode
    equal(stat.S_IMODE(mode), 0o600)
    equal(stat.S_IMODE(os.stat(t.path(".config/chat")).st_mode), 0o700)
    c = say(t, s)  # from now on by key, without a question
    check("ann: hello" in c.text, c.text)
    s.log.wait(event="login", mechanism="ED25519", outcome="done")


def test_password_is_asked_for(t):
    s = t.server()
    register(s)
    term = Terminal(t, "-n", "ann", address(s))
    term.expect("password of ann at")
    term.type("wrong").expect("that is not the password")
    term.expect_line(f"password of ann at {address(s)}:")
    term.type("correct horse").expect("(your account)")
    term.expect_line("general>")
    term.type("hello").expect("ann: hello")
    screen = term.screen()
    check("horse" not in screen and "wrong" not in screen, screen)
    term.type("/password").expect("new password")
    term.type("battery").expect("once more")
    term.type("staple").expect("two different")
    term.type("/password").type("battery").expect("once more")
    term.type("battery").expect("ann has another password from now on")
    term.type("/key").expect("lets it in as ann from now on")
    term.type("/quit").ended()
    equal(login(s.connect(), "ann", "battery").type, "authenticated")
    say(t, s)
    s.log.wait(event="login", mechanism="ED25519", outcome="done")


def test_no_password_is_given(t):
    s = t.server()
    register(s)
    for key in ("C-c", "C-d"):
        term = Terminal(t, "-n", "ann", address(s))
        term.expect("password of ann at")
        term.keys(key)
        check("-n" in term.ended(3), term.screen())


def test_a_secret_leaves_nothing_behind(t):
    """It could be had back by ^Y where it was killed, by Down where an older line was fetched."""
    s = t.server()
    term = Terminal(t, "-n", "ann", address(s), columns=100)
    term.expect("you are in general")
    term.type("said before").expect("ann: said before")
    for keys in (("C-u",), ("C-w",), ("M-d", "Home", "C-k"), ("Up",), ("Up", "Down")):
        term.type("/register").expect("password for ann")
        term.write("hunter2").keys(*keys).keys("C-c")
        term.expect("nothing has changed")
        term.expect_line("general>")
        term.write("a").keys("C-y", "Up", "Down", "C-y").write("b")
        term.expect_line("general> ab")
        term.keys("C-c").expect_line("general>")
        term.keys("C-l")
    check("hunter" not in term.screen(), term.screen())


def test_a_secret_in_a_narrow_window(t):
    """The question filled the line, and stood there once more for each key."""
    s = t.server()
    term = Terminal(t, "-n", "ann", address(s), columns=30)
    term.expect("you are in general")
    term.type("/register").expect("password for ann")
    term.write("hunter2").keys("BSpace", "BSpace")
    term.keys("C-c").expect("nothing has changed")
    equal(term.screen().count("password for"), 0, term.screen())


def test_comes_back_by_itself(t):
    """Over a restart of the server too: with the password that was asked for once."""
    s = t.server(data=t.path("data"), drain_seconds=0)
    register(s)
    term = Terminal(t, "-n", "ann", address(s))
    term.expect("password of ann at")
    term.type("correct horse").expect("(your account)")
    term.type("/reconnect")
    s.log.wait(count=2, event="login", outcome="done")
    s.stop()
    again = t.server(data=t.path("data"), drain_seconds=0, listen=address(s))
    again.log.wait(event="login", outcome="done", timeout=15)
    term.type("back").expect("ann: back")


def test_waits_its_turn(t):
    """Throttled: chat says how long it waits, and then comes in."""
    s = t.server(trusted="none")
    register(s)
    while login(s.connect(), "ann", "x").code == "bad_login":
        pass
    c = say(t, s, "--password-file", secret(t, "correct horse"))
    check("ann: hello" in c.text and "wait" in c.stderr(), c.stderr())


def answer_login(t, p, final):
    """Plays a server that has an account, up to its last word."""
    hello = p.take("hello")
    p.say("error", re=hello["id"], code="login_required", text="log in", mechanisms=["SCRAM-SHA-256"])
    auth = p.take("auth")
    equal((auth["nick"], auth["mechanism"]), ("ann", "SCRAM-SHA-256"))
    nonce = unb64(auth["data"]).decode().split("r=")[1]
    challenge = final.pop("challenge", f"r={nonce}server,s={b64(b'x' * 16)},i={ITERATIONS}").replace("NONCE", nonce)
    p.say("challenge", re=auth["id"], data=b64(challenge.encode()))
    return p


def test_server_that_does_not_know_the_account(t):
    """Mutual: a server that cannot sign gets no hello."""
    for data in (b"v=" + b64(b"x" * 32).encode(), b"", b"e=other-error"):
        p = Puppet(t)
        c = Chat(t, "-n", "ann", "--password-file", secret(t, "correct horse"), p.address)
        p.accept()
        answer_login(t, p, {})
        auth = p.take("auth")
        p.say("authenticated", re=auth["id"], nick="ann", data=b64(data))
        p.expect_end()
        c.run(5)
        check("between you and the server" in c.stderr(), c.stderr())


def test_challenges_that_are_not_answered(t):
    salt = b64(b"x" * 16)
    for challenge in ("", "r=", "r=elsewhere,s=%s,i=4096" % salt, "r=NONCE,s=%s,i=4096" % salt, "r=NONCEx,s=%s,i=1" % salt,
                      "r=NONCEx,s=%s,i=999999999" % salt, "r=NONCEx,s=!,i=4096", "r=NONCEx,s=%s,i=4096x" % salt, "m=x"):
        p = Puppet(t)
        c = Chat(t, "-n", "ann", "--password-file", secret(t, "correct horse"), p.address)
        p.accept()
        answer_login(t, p, {"challenge": challenge})
        p.expect_end()
        c.run(5)
        check("not gone on with" in c.stderr(), c.stderr())


def test_keys_and_the_end_of_an_account(t):
    s = t.server()
    register(s, public_key="11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    term = Terminal(t, "-n", "ann", "--password-file", secret(t, "correct horse"), address(s), columns=100)
    term.expect_line("general>")
    term.type("/unkey").expect("this machine has no key")
    term.type("/key").expect("lets it in as ann from now on")
    term.type("/keys").expect("ann logs in by its password, and by these keys:")
    term.expect("(this machine's)")
    term.type("/unkey 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").expect("that key lets nobody in as ann any more")
    term.type("/unkey x").expect("public_key takes 32 bytes in base64")
    term.type("/unregister bob").expect("nick takes ann here")
    term.type("/unregister ann").expect("your account ann is removed")
    term.expect("your account has been removed")
    s.connect().refused("hello", "login_required", version=1, nick="ann")
