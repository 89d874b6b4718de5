"""chat_hostile.py: chat against those who pass for somebody else: servers without the account or the certificate, texts
that would be lines of others."""
import os
import pty
import re
import socket
import subprocess

from lib import check, equal, wait_until
from lib.chat import Chat, Puppet, Terminal
from lib.login import Key, b64


def secret(t, text="correct horse"):
    path = t.path("password")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text + "\n")
    os.chmod(path, 0o600)
    return path


def make_key(t):
    os.makedirs(t.path(".config/chat"))
    return Key(t, ".config/chat/key.pem")


def key_login(p):
    """Plays a server that takes any key; gives the hello that follows."""
    hello = p.take("hello")
    p.say("error", re=hello["id"], code="login_required", text="log in", mechanisms=["ED25519"])
    auth = p.take("auth")
    p.say("challenge", re=auth["id"], data=b64(b"c" * 32))
    p.say("authenticated", re=p.take("auth")["id"], nick="ann")
    return p.take("hello")


def let_in(p, hello, **fields):
    p.say("welcome", re=hello["id"], server="puppet 1", version=1, nick="ann", time=1, limits={}, **{"session": "p-1", **fields})
    join = p.take("join")
    return p.say("joined", re=join["id"], room=join["room"], epoch=1, seq=0, members=1, topic="")


# ---- logins that are left out ----

def test_no_login_where_a_password_is_given(t):
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", "--password-file", secret(t), p.address, stdin="hello\n")
    hello = p.accept().take("hello")
    p.say("welcome", re=hello["id"], server="puppet 1", version=1, nick="ann", session="p-1", time=1, limits={})
    p.expect_end()
    chat.run(exit_code=5)
    check("without a login" in chat.stderr() and "leave out --password-file" in chat.stderr(), chat.stderr())


def test_welcome_in_the_middle_of_a_login(t):
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", "--password-file", secret(t), p.address, stdin="hello\n")
    hello = p.accept().take("hello")
    p.say("error", re=hello["id"], code="login_required", text="log in", mechanisms=["SCRAM-SHA-256"])
    p.take("auth")
    p.say("welcome", re=hello["id"], server="puppet 1", version=1, nick="ann", account=True, session="p-1", time=1, limits={})
    p.expect_end()
    chat.run(exit_code=5)
    check("before the login is done" in chat.stderr(), chat.stderr())


def test_a_signature_before_the_challenge(t):
    """The signature to compare with was all zero until the password was asked for: that could be sent without knowing it."""
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", "--password-file", secret(t), p.address, stdin="hello\n")
    hello = p.accept().take("hello")
    p.say("error", re=hello["id"], code="login_required", text="log in", mechanisms=["SCRAM-SHA-256"])
    auth = p.take("auth")
    p.say("authenticated", re=auth["id"], nick="ann", data=b64(b"v=" + b64(bytes(32)).encode()))
    p.expect_end()
    chat.run(exit_code=5)
    check("did not show that it knows your account" in chat.stderr(), chat.stderr())


def test_an_account_without_a_login(t):
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", p.address, stdin="hello\n")
    hello = p.accept().take("hello")
    p.say("welcome", re=hello["id"], server="puppet 1", version=1, nick="ann", account=True, session="p-1", time=1, limits={})
    chat.run(exit_code=5)


def test_no_login_any_more(t):
    """Whoever has logged in once does so on each connection; what the server cannot do now is waited for."""
    make_key(t)
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", p.address)
    p.accept()
    let_in(p, key_login(p), account=True).msg(1, "here")
    chat.expect("here")
    p.cut()
    hello = p.accept().take("hello")
    p.say("error", re=hello["id"], code="login_required", text="log in", mechanisms=["ED25519"])
    p.say("error", re=p.take("auth")["id"], code="storage", text="not now")
    p.accept()
    let_in(p, key_login(p), account=True).msg(2, "again")
    chat.expect("again")
    p.cut()
    hello = p.accept().take("hello")
    p.say("welcome", re=hello["id"], server="puppet 1", version=1, nick="ann", session="p-2", time=1, limits={})
    p.expect_end()
    chat.run(exit_code=5)
    check("without a login now" in chat.stderr(), chat.stderr())


# ---- certificates ----

def test_no_way_back_from_an_issuer(t):
    """Who sits in between took a certificate that nobody had signed, and was met `for the first time`."""
    key, cert = t.path("other.key"), t.path("other.crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    key, "-out", cert, "-days", "2", "-subj", "/CN=x", "-addext", "subjectAltName=DNS:localhost"],
                   check=True, capture_output=True)
    s = t.server(cert=cert, key=key)
    where = ["--tls", "-n", "ann", f"localhost:{s.port}"]
    for _ in range(2):
        chat = Chat(t, *where, stdin="x\n", env={"SSL_CERT_FILE": cert})
        chat.run()
        equal(chat.stderr(), "")
    with open(t.path(".config/chat/known_hosts"), encoding="ascii") as f:
        equal(f.read(), f"localhost:{s.port} issuer\n")
    port = s.port
    s.stop()
    t.server(listen=f"127.0.0.1:{port}")
    chat = Chat(t, *where, stdin="x\n", env={"SSL_CERT_FILE": cert})
    chat.run(exit_code=5)
    check("that no known issuer has signed; before, it had one" in chat.stderr() and "--ca" in chat.stderr(), chat.stderr())


def test_a_wait_without_end(t):
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", p.address)
    p.accept().welcome()
    p.say("bye", code="shutdown", text="gone", retry_after_ms=1 << 40)
    p.sock.shutdown(socket.SHUT_WR)
    wait_until(lambda: "connecting again in 600." in chat.stderr(), "how long it waits")


# ---- what reaches the terminal ----

def test_escapes_in_a_code(t):
    p = Puppet(t)
    chat = Chat(t, "-n", "ann", "--no-reconnect", p.address)
    p.accept().welcome()
    p.say("bye", code="\x1b]0;x\x07\u009b2J", text="\x1b[2J")
    p.sock.shutdown(socket.SHUT_WR)
    chat.run(exit_code=4)
    check("(^[]0;x^G<U+009B>2J)" in chat.stderr() and "\x1b" not in chat.stderr(), repr(chat.stderr()))


def test_escapes_in_a_session(t):
    p = Puppet(t)
    ann = Terminal(t, "-n", "ann", p.address, columns=120)
    let_in(p, p.accept().take("hello"), session="\x1b[2J")
    ann.expect("you are in general")
    ann.type("/tcp").expect("^[[2J there")
    check("you are in general" in ann.screen(), ann.screen())


def indented(seen, first):
    """The lines of that message, behind its first one, up to the prompt."""
    lines = seen.splitlines()
    at = [i for i, line in enumerate(lines) if first in line][-1]
    prompt = [i for i, line in enumerate(lines) if line.startswith("general")][-1]
    return lines[at + 1:prompt]


def test_the_terminal_wraps_nothing(t):
    """Where it finds a character wider than chat does, the end of a line is lost, rather than set in the first column."""
    s = t.server()
    bob = s.join("general", "bob")
    bob.say("general", "hello")
    master, slave = pty.openpty()
    ann = subprocess.Popen([t.build / "chat", "-n", "ann", "--plain", f"127.0.0.1:{s.port}"], stdin=slave, stdout=slave, stderr=slave,
                           env={**os.environ, "HOME": str(t.dir), "TERM": "xterm"}, start_new_session=True)
    os.close(slave)
    seen = b""
    while b"hello" not in seen or b"general>" not in seen[seen.index(b"hello"):]:
        seen += os.read(master, 4096)
    ann.kill()
    ann.wait()
    os.close(master)
    check(seen.rfind(b"\x1b[?7l", 0, seen.index(b"hello")) > seen.rfind(b"\x1b[?7h", 0, seen.index(b"hello")), seen)
    check(seen.rfind(b"\x1b[?7h") > seen.rfind(b"\x1b[?7l"), seen)  # the line that is typed wraps


def test_a_window_of_few_columns(t):
    s = t.server()
    bob = s.join("general", "bob")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}", columns=20)
    ann.expect("you are in")
    bob.say("general", "1234567 12:00 ann: it was not me that said so, end.")
    told = indented(ann.expect("end."), "bob:")
    check(told and all(line.startswith(" ") for line in told), told)


def test_a_long_name_hides_nobody(t):
    """The names before a text are wrapped with it."""
    s = t.server()
    room, nick = "r" * 64, "n" * 32
    bob = s.join(room, nick)
    ann = Terminal(t, "-n", "ann", "-r", "general", "-r", room, f"127.0.0.1:{s.port}", columns=60)
    ann.expect("with 1 other")
    bob.say(room, "hello")
    ann.expect(re.compile(r"^ .*n{32}:\s+hello$", re.M))


def test_a_direct_conversation_that_cannot_be_read_on(t):
    """What comes in it is shown all the same."""
    make_key(t)
    p = Puppet(t)
    ann = Terminal(t, "-n", "ann", p.address)
    p.accept()
    let_in(p, key_login(p), account=True)
    ann.expect("you are in general")
    p.say("unread", room="@bob", seq=3, read=0, unread=3)
    ann.expect("3 unread from @bob")
    p.msg(4, "four", nick="bob", room="@bob")
    while (join := p.take())["type"] != "join":
        pass
    p.say("error", re=join["id"], code="storage", text="not now")
    p.msg(5, "five", nick="bob", room="@bob")
    ann.expect("bob: five")
