"""accounts.py: nicks that are somebody's: registering, logging in by password and by key, several connections, guessing."""
import os
import time

from lib import both, check, equal, run_chatd
from lib.login import Bound, Key, Scram, b64, login, need_scram, unb64, verifiers

ANN = verifiers("correct horse")


def disk(t, **options):
    return t.server(data=t.path("data"), drain_seconds=0, **options)


def make(s, nick="ann", fields=None, **options):
    """An account, registered by a guest who goes again."""
    if fields is None or "public_key" not in fields:
        need_scram(s.test)
    c = s.connect(nick, **options)
    equal(c.ask("register", **(fields or ANN)).nick, nick)
    c.close()
    s.log.wait(conn=c.session, event="close")


def come(s, nick="ann", password="correct horse", **options):
    """A connection of the account that has said hello."""
    c = s.connect(**options)
    equal(login(c, nick, password).type, "authenticated")
    c.hello(nick)
    return c


@both
def test_register_and_log_in(t):
    s = t.server()
    make(s)
    c = s.connect()
    e = c.refused("hello", "login_required", version=1, nick="ann")
    wanted = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "ED25519"] if t.tls else ["SCRAM-SHA-256", "ED25519"]
    equal(e.mechanisms, wanted)
    answer = login(c, "ann", "correct horse")
    equal((answer.type, answer.nick), ("authenticated", "ann"))
    w = c.hello("ann")
    equal((w.nick, w.account), ("ann", True))
    check("resume" not in w, "an account needs no token")
    c.ask("join", room="general")
    equal(c.say("general", "mine").seq, 1)


@both
def test_registered_is_an_account_at_once(t):
    """Who registers goes on as the account: a second connection of it comes beside, in the same rooms one member."""
    need_scram(t)
    s = t.server(threads=2)
    guest = s.join("general", "ann")
    bob = s.join("general", "bob")
    guest.expect("presence", event="join", nick="bob")
    guest.ask("register", **ANN)
    second = come(s)
    equal(second.ask("join", room="general").members, 2)
    bob.quiet("presence")
    guest.close()
    s.log.wait(conn=guest.session, event="close")
    time.sleep(0.3)  # what would be told is gathered for a fifth of a second
    bob.quiet("presence")
    second.ask("leave", room="general")
    equal(bob.expect("presence").event, "leave")


def test_password_over_tls_only(t):
    need_scram(t)
    s = t.server()
    c = s.connect("ann")
    c.refused("register", "plain_refused", password="correct horse")
    c.close()
    s.log.wait(conn=c.session, event="close")
    c = s.connect("ann", tls=True)
    equal(c.ask("register", password="correct horse", timeout=20).nick, "ann")
    for text in ("", "x" * 1025):
        check(c.ask_any("register", password=text).code in ("bad_request", "too_long"), text)
    equal(c.refused("register", "bad_request", password="a\u0007b").field, "password")
    c.close()
    equal(login(s.connect(), "ann", "correct horse").type, "authenticated")


def test_password_in_another_form(t):
    """The same password by another keyboard: composed or not, wide or not."""
    s = t.server()
    make(s, fields={"password": "Ａnge\u0301"}, tls=True)
    equal(login(s.connect(), "ann", "Ang\u00e9").type, "authenticated")


def test_bad_registers(t):
    need_scram(t)
    s = t.server()
    s.connect().refused("register", "hello_first", **ANN)
    c = s.connect("ann")
    equal(c.refused("register", "bad_request").field, "public_key")
    for without in ("salt", "iterations", "stored_key", "server_key"):
        c.refused("register", "bad_request", **{k: v for k, v in ANN.items() if k != without})
    for field, values in {"salt": ["", "x", b64(b"x" * 15), b64(b"x" * 17), 5, ANN["salt"] + "\n"],
                          "iterations": [0, 4095, 10_000_001, "4096", -1], "stored_key": [b64(b"x" * 31), "=" * 44],
                          "server_key": [b64(b"x" * 33)], "mechanism": ["SCRAM-SHA-1", "PLAIN", ""]}.items():
        for value in values:
            equal(c.refused("register", "bad_request", **{**ANN, field: value}).field, field)
    equal(c.refused("register", "bad_request", public_key=b64(b"x" * 31)).field, "public_key")
    s.connect().hello("bob")
    c.close()
    s.log.wait(conn=c.session, event="close")
    s.connect("ann")  # nothing was registered


def test_guests_cannot_take_it(t):
    """Nor by another case or width of the letters, nor with an old token."""
    need_scram(t)
    s = t.server()
    c = s.connect("Ann")
    token = c.welcome.resume
    c.ask("register", **ANN)
    c.close()
    s.log.wait(conn=c.session, event="close")
    guest = s.connect()
    for nick in ("Ann", "ann", "ANN", "ａｎｎ", "ᴬnn"):
        guest.refused("hello", "login_required", version=1, nick=nick)
    guest.refused("hello", "login_required", version=1, nick="ann", resume=token)
    equal(login(guest, "ａｎｎ", "correct horse", name="ANN").nick, "Ann")
    guest.refused("hello", "bad_nick", version=1, nick="")
    equal(guest.hello("ANN").nick, "ANN")


def test_logged_in_as_one_hello_as_another(t):
    need_scram(t)
    s = t.server()
    make(s, "ann")
    make(s, "bob", verifiers("other"))
    c = s.connect()
    login(c, "ann", "correct horse")
    c.refused("hello", "login_required", version=1, nick="bob")
    w = c.hello("eve")
    check("account" not in w, "a guest:", w)
    c.refused("auth", "already", nick="ann", mechanism="SCRAM-SHA-256", data="")


def test_wrong_password_and_unknown_account(t):
    """The same answers in both steps, and the same salt each time, also over a restart."""
    s = disk(t)
    make(s)
    challenges, errors = {}, {}
    for nick in ("ann", "nobody", "nobody"):
        c = s.connect()
        scram = Scram(nick, "wrong")
        answer = c.ask("auth", nick=nick, mechanism="SCRAM-SHA-256", data=scram.first())
        equal(sorted(answer), ["data", "re", "type"])
        final = scram.final(answer.data)
        equal(len(unb64(scram.fields["s"])), 16)
        before = challenges.setdefault(nick, scram.fields["s"])
        equal(scram.fields["s"], before, "the salt")
        e = c.refused("auth", "bad_login", data=final)
        errors[nick] = {k: v for k, v in e.items() if k != "re"}
    equal(errors["ann"], errors["nobody"])
    s.stop()
    s = disk(t)
    scram = Scram("nobody", "wrong")
    scram.final(s.connect().ask("auth", nick="nobody", mechanism="SCRAM-SHA-256", data=scram.first()).data)
    equal(scram.fields["s"], challenges["nobody"], "the salt after a restart")


def test_logins_that_are_none(t):
    s = t.server()
    make(s)
    c = s.connect()
    first = Scram("ann", "correct horse").first()
    equal(c.refused("auth", "bad_request", data=first).field, "mechanism")
    equal(c.refused("auth", "bad_request", nick="ann", mechanism="PLAIN", data=first).field, "mechanism")
    equal(c.refused("auth", "bad_request", nick="ann", mechanism="SCRAM-SHA-256-PLUS", data=first).field, "mechanism")
    equal(c.refused("auth", "bad_request", nick="ann", mechanism="SCRAM-SHA-256").field, "data")
    equal(c.refused("auth", "bad_request", nick="ann", mechanism="SCRAM-SHA-256", data="!").field, "data")
    equal(c.refused("auth", "bad_request", mechanism="SCRAM-SHA-256", data=first).field, "nick")
    c.refused("auth", "bad_nick", nick="a b", mechanism="SCRAM-SHA-256", data=first)
    for data in (b"", b"n", b"\0", b"n,,n=ann", b"n,a=bob,n=ann,r=x", b"n,,n=bob,r=abc", b"n,,n=ann,r=" + b"x" * 1000 + b"\0"):
        c.refused("auth", "bad_login", nick="ann", mechanism="SCRAM-SHA-256", data=b64(data))
    c.refused("auth", "too_long", nick="ann", mechanism="SCRAM-SHA-256", data=b64(b"x" * 4096))
    long = c.ask("auth", nick="ann", mechanism="SCRAM-SHA-256", data=b64(b"n,,n=ann,r=" + b"x" * 1000))
    equal(long.type, "challenge")
    equal(login(c, "ann", "correct horse").type, "authenticated")  # a login begins anew whenever it likes


def test_replayed_proof(t):
    s = t.server()
    make(s)
    c = s.connect()
    scram = Scram("ann", "correct horse")
    final = scram.final(c.ask("auth", nick="ann", mechanism="SCRAM-SHA-256", data=scram.first()).data)
    other = s.connect()
    other.ask("auth", nick="ann", mechanism="SCRAM-SHA-256", data=scram.first())
    other.refused("auth", "bad_login", data=final)
    other.refused("auth", "bad_request", data=final)  # one try a challenge
    equal(c.ask("auth", data=final).type, "authenticated")
    c.refused("auth", "bad_request", data=final)


def test_downgrade(t):
    """Over TLS a client that could bind but was not offered it ("y") has met somebody in between."""
    s = t.server()
    make(s)
    e = login(s.connect(tls=True), "ann", "correct horse", header="y,,")
    equal((e.type, e.code), ("error", "bad_login"))
    equal(login(s.connect(tls=False), "ann", "correct horse", header="y,,").type, "authenticated")
    equal(login(s.connect(tls=True), "ann", "correct horse", header="n,,").type, "authenticated")
    e = login(s.connect(tls=True), "ann", "correct horse", header="p=tls-exporter,,", binding=b"x" * 32)
    equal(e.code, "bad_login")


def test_channel_binding(t):
    s = t.server()
    make(s)
    plus = {"mechanism": "SCRAM-SHA-256-PLUS", "header": "p=tls-exporter,,"}
    c = Bound(t, s.port)
    equal(login(c, "ann", "correct horse", binding=c.binding, **plus).type, "authenticated")
    equal(c.ask_any("hello", version=1, nick="ann").account, True)
    other = Bound(t, s.port)
    check(other.binding != c.binding, "each connection has its own")
    equal(login(other, "ann", "correct horse", binding=c.binding, **plus).code, "bad_login")
    for header in ("n,,", "y,,", "p=tls-unique,,", "p=tls-server-end-point,,"):
        equal(login(other, "ann", "correct horse", "SCRAM-SHA-256-PLUS", header, other.binding).code, "bad_login")


def test_key(t):
    s = t.server()
    key, other = Key(t), Key(t, "other.pem")
    make(s, fields={"public_key": b64(key.public)})
    c = s.connect()
    equal(key.login(c, "ANN", folded="ann").nick, "ann")
    equal(c.hello("ann").account, True)
    c = s.connect()
    known = other.login(c, "ann")
    unknown = key.login(c, "nobody")
    equal({k: v for k, v in known.items() if k != "re"}, {k: v for k, v in unknown.items() if k != "re"})
    equal(known.code, "bad_login")
    check(login(s.connect(), "ann", "").code in ("bad_login", "bad_request"), "it has no password")
    challenge = unb64(c.ask("auth", nick="ann", mechanism="ED25519", data=b64(key.public)).data)
    for n, make_bad in enumerate((lambda x: b"", lambda x: b"x" * 64, lambda x: key.sign("ann", bytes(32)),
                                  lambda x: key.sign("bob", x))):
        c = s.connect(source=f"127.0.0.{n + 10}")
        challenge = unb64(c.ask("auth", nick="ann", mechanism="ED25519", data=b64(key.public)).data)
        c.refused("auth", "bad_login", data=b64(make_bad(challenge)))


def test_key_is_bound_to_the_connection(t):
    s = t.server()
    key = Key(t)
    make(s, fields={"public_key": b64(key.public)})
    c, other = Bound(t, s.port), Bound(t, s.port)
    equal(key.login(c, "ann", c.binding).type, "authenticated")
    equal(key.login(other, "ann", c.binding).code, "bad_login")
    equal(key.login(other, "ann").code, "bad_login")


def test_another_password_and_more_keys(t):
    s = t.server()
    make(s)
    keys = [Key(t, f"key{i}.pem") for i in range(17)]
    c = come(s)
    c.ask("register", **verifiers("another"))
    equal(login(s.connect(), "ann", "correct horse").code, "bad_login")
    equal(login(s.connect(), "ann", "another").type, "authenticated")
    for key in keys[:16]:
        c.ask("register", public_key=b64(key.public))
    c.refused("register", "too_many_keys", public_key=b64(keys[16].public))
    c.ask("register", public_key=b64(keys[3].public))  # it has that already
    equal(keys[15].login(s.connect(), "ann").type, "authenticated")
    equal(keys[16].login(s.connect(), "ann").code, "bad_login")
    equal(login(s.connect(), "ann", "another").type, "authenticated")


def test_restart_keeps_accounts(t):
    need_scram(t)
    s = disk(t)
    key = Key(t)
    make(s, fields={**ANN, "public_key": b64(key.public)})
    s.stop()
    s = disk(t, threads=3)
    s.connect().refused("hello", "login_required", version=1, nick="ann")
    come(s)
    equal(key.login(s.connect(), "ann").type, "authenticated")
    s.stop()
    kept = b"".join(open(os.path.join(t.path("data"), f), "rb").read() for f in os.listdir(t.path("data")))
    check(b"correct horse" not in kept and ANN["salt"].encode() in kept, "verifiers are kept, no password")


def test_many_accounts_are_known_at_the_start(t):
    """More than are read at a time: none of their nicks is a guest's for a moment."""
    key = b64(bytes(range(32)))
    s = disk(t, durability="process")
    for n in range(1100):
        make(s, f"n{n}", {"public_key": key})
    s.stop()
    s = disk(t)
    c = s.connect()
    for n in (0, 1, 500, 999, 1000, 1099):
        c.refused("hello", "login_required", version=1, nick=f"n{n}")
    c.hello("n1100")


@both
def test_several_connections(t):
    """Each is in the rooms that it joined; what is said directly reaches all; who names the account once."""
    s = t.server(threads=2)
    make(s)
    mine = [come(s) for _ in range(5)]
    bob = s.join("general", "bob")
    for n, c in enumerate(mine[:4]):
        equal(c.ask("join", room="general").members, 2)
    time.sleep(0.3)
    bob.sync()
    equal([(p.nick, p.event) for p in bob.inbox if p.type == "presence"], [("ann", "join")])
    bob.inbox.clear()
    who, _ = bob.ask_all("who", room="general")
    equal(sorted(m.nick for m in who), ["ann", "bob"])
    bob.say("@ann", "for all of you")
    for c in mine:
        equal(c.expect("msg", room="@bob").text, "for all of you")
    mine[4].say("@bob", "from one of us")
    for c in mine:
        equal(c.expect("msg", room="@bob", nick="ann").text, "from one of us")
    mine[0].say("general", "hello")
    for c in mine[:4]:
        equal(c.expect("msg", room="general").seq, 1)
    mine[4].quiet("msg")
    for c in mine[:3]:
        c.fin()
        c.ends_with("eof")
    time.sleep(0.3)
    bob.quiet("presence")
    mine[3].ask("leave", room="general")
    equal(bob.expect("presence").event, "leave")
    equal(bob.ask("join", room="general").members, 1)


def test_so_many_connections(t):
    s = t.server()
    make(s)
    all_of_them = [come(s) for _ in range(64)]
    c = s.connect()
    login(c, "ann", "correct horse")
    c.refused("hello", "too_many_connections", version=1, nick="ann")
    all_of_them[7].reset()
    s.log.wait(conn=all_of_them[7].session, event="close")
    c.hello("ann")


def test_login_is_bounded_in_time(t):
    s = t.server(login_seconds=1)
    make(s)
    for until in ("challenge", "authenticated"):
        c = s.connect()
        if until == "challenge":
            c.ask("auth", nick="ann", mechanism="SCRAM-SHA-256", data=Scram("ann", "x").first())
        else:
            login(c, "ann", "correct horse")
        c.ends_with("idle", timeout=6)


def test_secrets_stay_out_of_the_log(t):
    need_scram(t)
    s = t.server(trace_detail="messages", log_level="debug", trace=t.path("."), drain_seconds=0)
    key = Key(t)
    c = s.connect("ann", tls=True)
    c.ask("register", password="correct horse", public_key=b64(key.public), timeout=20)
    c.ask("register", **ANN)
    login(s.connect(tls=True), "ann", "correct horse")
    login(s.connect(), "ann", "wrong horse")
    s.log.wait(event="login", outcome="refused")
    s.stop()
    secrets = ["correct horse", "wrong horse", ANN["stored_key"], ANN["server_key"], ANN["salt"]]
    for name in os.listdir(t.dir):
        path = t.path(name)
        if os.path.isfile(path) and not name.endswith(".pem"):
            said = open(path, "rb").read().decode(errors="replace")
            for secret in secrets:
                check(secret not in said, f"{name} has {secret}")


def test_version_tells(t):
    """With GNU SASL or without it, which it says on use too."""
    said = run_chatd(t, "--version")[1]
    check("GNU SASL" in said, said)
    if "no GNU SASL" not in said:
        return
    c = t.server().connect("ann")
    check("without GNU SASL" in c.refused("register", "bad_request", **ANN).text, "on use")
    c.ask("register", public_key=b64(Key(t).public))
    c = t.servers[0].connect()
    equal(c.refused("hello", "login_required", version=1, nick="ann").mechanisms, ["ED25519"])
    check("without GNU SASL" in login(c, "ann", "x").text, "on use")


# ---- guessing ----

def guess(c, nick="ann", password="wrong"):
    """One try; the code, and how long to wait."""
    answer = login(c, nick, password)
    return (answer.get("code", answer.type), answer.get("retry_after_ms", 0))


def test_guessing_is_throttled(t):
    s = t.server(trusted="none")
    make(s)
    for _ in range(5):
        equal(guess(s.connect())[0], "bad_login")
    equal(guess(s.connect())[0], "bad_login")
    code, wait = guess(s.connect())
    equal(code, "throttled")
    check(0 < wait <= 1000, wait)
    code, wait = guess(s.connect(), "bob")  # it is the address that has to wait, whomever it asks for
    equal(code, "throttled")
    time.sleep(wait / 1000 + 0.05)
    equal(guess(s.connect())[0], "bad_login")
    code, longer = guess(s.connect())
    equal(code, "throttled")
    check(1000 < longer <= 2000, "the wait grows:", longer)
    equal(guess(s.connect(), password="correct horse")[0], "throttled")  # the right one is not heard either
    check("retry_after_ms" in login(s.connect(), "ann", "x"), "it says how long")


def test_owner_is_not_locked_out(t):
    """Others guess at ann's password from many addresses; from one that has not guessed she comes in at once."""
    s = t.server(trusted="none")
    make(s)
    for n in range(2, 32):
        equal(guess(s.connect(source=f"127.0.0.{n}"))[0], "bad_login")
    equal(guess(s.connect(source="127.0.0.31"))[0], "throttled")  # no free ones are left at this account
    equal(guess(s.connect(source="127.0.0.40"), password="correct horse")[0], "authenticated")
    equal(guess(s.connect(source="127.0.0.40"), password="correct horse")[0], "authenticated")


def test_behind_a_relay_each_account_is_counted(t):
    s = t.server()  # 127.0.0.1 is trusted
    make(s, "ann")
    make(s, "bob", verifiers("other"))
    while guess(s.connect())[0] == "bad_login":
        pass
    equal(guess(s.connect(), "bob", "other")[0], "authenticated")


def test_new_accounts_are_throttled(t):
    s = t.server(trusted="none")
    for n in range(21):
        make(s, f"n{n}")
    c = s.connect("more")
    e = c.refused("register", "throttled", **ANN)
    check(0 < e.retry_after_ms <= 1000, e)
    make(s, "elsewhere", source="127.0.0.2")


def test_others_do_not_notice(t):
    """tests/bench/logins in short: hundreds of guesses and a hundred logins at once, while others talk."""
    s = t.server(trusted="none", threads=1)
    make(s)
    make(s, "bob", verifiers("right"))
    talkers = [s.connect(f"t{n}", source="127.0.0.2") for n in range(2)]
    for c in talkers:
        c.ask("join", room="general")
    guessers = [s.connect() for _ in range(20)]
    codes = []
    for n in range(25):
        for c in guessers:
            c.send("auth", id=f"g{n}", nick="ann", mechanism="SCRAM-SHA-256", data=Scram("ann", "x").first())
        talkers[0].send("send", room="general", text=f"m{n}")
        equal(talkers[1].expect("msg", timeout=1).text, f"m{n}")
        for c in guessers:
            answer = c.expect(re=f"g{n}")
            if answer.type == "challenge":
                answer = c.ask_any("auth", data=b64(b"c=biws,r=x,p=" + b"x" * 44))
            codes.append(answer.code)
    check(codes.count("bad_login") <= 8, codes.count("bad_login"))
    equal(codes.count("bad_login") + codes.count("throttled"), 500)
    many = [s.connect(source=f"127.0.1.{n + 1}") for n in range(60)]
    for c in many:
        equal(login(c, "bob", "right").type, "authenticated")
        c.send("hello", version=1, nick="bob", id="h")
    talkers[0].send("send", room="general", text="still here")
    talkers[1].expect("msg", timeout=1, text="still here")
    for c in many:
        equal(c.expect(re="h").account, True)


def with_keys(t, s, nick, *keys):
    """A connection of that nick, which it has registered by those keys."""
    c = s.connect(nick)
    for key in keys:
        c.ask("register", public_key=b64(key.public))
    return c


def test_a_key_is_taken_away(t):
    s = disk(t)
    keys = [Key(t, f"k{i}.pem") for i in range(3)]
    c = with_keys(t, s, "ann", *keys)
    texts = [b64(key.public) for key in keys]
    answer = c.ask("keys")
    equal((answer.type, answer.nick, answer.password, answer.public_keys), ("keys", "ann", False, texts))
    equal(c.ask("unregister", public_key=texts[1]).nick, "ann")
    c.refused("unregister", "no_such_key", public_key=texts[1])
    c.ask("unregister", public_key=texts[0])
    c.refused("unregister", "last_key", public_key=texts[2])
    equal(c.ask("keys").public_keys, texts[2:])
    c.close()
    s.stop()
    s = disk(t)
    equal(keys[1].login(s.connect(), "ann").code, "bad_login")
    c = s.connect()
    equal(keys[2].login(c, "ann").type, "authenticated")
    c.hello("ann")
    c.ask("register", **ANN)
    c.ask("unregister", public_key=texts[2])
    answer = c.ask("keys")
    equal((answer.password, answer.public_keys), (True, []))


def test_bad_unregisters(t):
    s = t.server()
    c = s.connect("ann")
    for request in ("keys", "unregister"):
        c.refused(request, "account_needed", nick="ann")
    key = Key(t)
    c.ask("register", public_key=b64(key.public))
    equal(c.refused("unregister", "bad_request").field, "public_key")
    equal(c.refused("unregister", "bad_request", nick="ann", public_key=b64(key.public)).field, "public_key")
    equal(c.refused("unregister", "bad_request", public_key="x").field, "public_key")
    for nick in ("bob", "", "a b", 5):
        equal(c.refused("unregister", "bad_request", nick=nick).field, "nick")
    equal(c.ask("keys").public_keys, [b64(key.public)])


def test_an_account_is_removed(t):
    """All its connections end; nobody gets its nick or what it had; its rooms go on without it, at once and after a restart."""
    s = disk(t, threads=2)
    key, other = Key(t, "a.pem"), Key(t, "b.pem")
    ann, bob = with_keys(t, s, "Ann", key), with_keys(t, s, "bob", other)
    for room in ("shared", "hers"):
        equal(ann.ask("join", room=room).role, "owner")
        bob.ask("join", room=room)
    ann.ask("role", room="shared", nick="bob", role="moderator")
    ann.ask("access", room="hers", access="accounts")
    bob.say("@ann", "a word")
    ann.say("@bob", "another")
    second, between = s.connect(), s.connect()
    for c in (second, between):
        equal(key.login(c, "ann").type, "authenticated")
    second.hello("ann")
    second.expect("unread")
    equal(ann.ask("unregister", nick="ANN").nick, "Ann")
    ann.ends_with("kicked")
    second.ends_with("kicked")
    between.refused("hello", "bad_login", version=1, nick="ann")
    bob.ask("role", room="shared", nick="bob", role="owner")  # there is no owner left, so that a moderator may
    bob.ask("topic", room="hers", text="everyone's")
    for restarts in range(2):
        equal(key.login(s.connect(), "ann").code, "bad_login")
        s.connect().refused("hello", "login_required", version=1, nick="ann")
        bob.refused("send", "no_such_nick", room="@ann", text="x")
        equal([m.text for m in bob.ask_all("history", room="@ann")[0]], ["a word", "another"])
        bob.refused("role", "no_such_nick", room="shared", nick="ann", role="owner")
        equal("access" in s.connect("gus").ask("join", room="hers"), False)
        if restarts == 0:
            bob.close()
            s.stop()
            s = disk(t, threads=2)
            bob = s.connect()
            other.login(bob, "bob")
            bob.hello("bob")
            equal(bob.ask("join", room="shared").role, "owner")
