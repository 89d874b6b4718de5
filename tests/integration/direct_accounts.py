"""direct_accounts.py: direct conversations of accounts, which are kept and wait for who is away; how far one has read."""
import os
import signal
import sqlite3
import subprocess

from lib import Skip, both, check, equal, seconds
from lib.login import login, verifiers

ANN, BOB = "ann", "bob"


PASSWORD = "correct horse"
VERIFIERS = verifiers(PASSWORD)


def come(s, nick, **options):
    """A connection of that account, which is registered first where it is not there yet."""
    c = s.connect(**options)
    a = c.ask_any("hello", version=1, nick=nick)
    if a.type == "welcome":
        c.ask("register", **VERIFIERS)
        c.close()
        s.log.wait(conn=a.session, event="close")
        c = s.connect(**options)
    equal(login(c, nick, PASSWORD).type, "authenticated")
    c.hello(nick)
    return c


def disk(t, **options):
    return t.server(data=t.path("data"), **options)


def kill(s):
    s.clean = False
    s.signal(signal.SIGKILL)
    s.wait()


def go(s, *clients):
    """Ends in good order."""
    for c in clients:
        c.close()
    s.stop()


def texts(c, room, **fields):
    lines, end = c.ask_all("history", room=room, **fields)
    return [(m.room, m.seq, m.nick, m.text) for m in lines if m.type == "msg"], end.more


@both
def test_waits_for_who_is_away(t):
    s = t.server(threads=2)
    ann = come(s, ANN)
    ann.close()
    s.log.wait(conn=ann.session, event="close")
    bob = come(s, BOB)
    ack = bob.say("@" + ANN.upper(), "are you there?")
    equal((ack.room, ack.seq), ("@" + ANN, 1))
    equal(bob.expect("msg").room, "@" + ANN)
    bob.say("@" + ANN, "then later")
    bob.refused("send", "no_such_nick", room="@nobody", text="x")
    ann = come(s, ANN)
    line = ann.expect("unread")
    equal(dict(line), {"type": "unread", "room": "@" + BOB, "seq": 2, "read": 0, "unread": 2})
    joined = ann.ask("join", room="@" + BOB, after=0)
    equal((joined.room, joined.seq, joined.read, joined.unread, joined.topic), ("@" + BOB, 2, 0, 2, ""))
    got = ann.take(2)
    equal([(m.room, m.seq, m.nick, m.text) for m in got],
          [("@" + BOB, 1, BOB, "are you there?"), ("@" + BOB, 2, BOB, "then later")])
    equal(ann.say("@" + BOB, "now I am").seq, 3)
    equal([(c.expect("msg", seq=3).room) for c in (ann, bob)], ["@" + BOB, "@" + ANN])
    ann.quiet()


def test_guest_writes_to_an_absent_account(t):
    s = t.server(threads=2)
    come(s, ANN).close()
    guest = s.connect("gus")
    equal(guest.say("@" + ANN, "hello").seq, 1)
    guest.refused("join", "bad_request", room="@" + ANN)
    ann = come(s, ANN)
    equal(ann.expect("unread").room, "@gus")
    equal(texts(ann, "@gus"), ([("@gus", 1, "gus", "hello")], False))


def test_a_later_guest_reads_nothing_of_an_earlier_one(t):
    s = t.server(threads=2)
    ann = come(s, ANN)
    gus = s.connect("gus")
    gus.say("@" + ANN, "my secret")
    ann.say("@gus", "it is safe")
    equal(texts(gus, "@" + ANN)[0][1][3], "it is safe")
    gus.close()
    s.log.wait(conn=gus.session, event="close")
    ann.refused("send", "no_such_nick", room="@gus", text="gone?")
    equal(len(texts(ann, "@gus")[0]), 2)
    other = s.connect("GUS")
    equal(texts(other, "@" + ANN), ([], False))
    ann.say("@gus", "who is there?")
    equal(other.expect("msg").seq, 3)
    lines, end = other.ask_all("history", room="@" + ANN)
    equal([m.get("text") for m in lines], [None, "who is there?"])
    equal((lines[0].type, lines[0]["from"], lines[0].to), ("gap", 1, 2))
    equal([m[1] for m in texts(ann, "@gus")[0]], [1, 2, 3])


def test_a_guest_who_registers_goes_on(t):
    s = t.server(threads=2)
    ann = come(s, ANN)
    gus = s.connect("gus")
    gus.say("@" + ANN, "as a guest")
    gus.ask("register", **VERIFIERS)
    equal([m[3] for m in texts(gus, "@" + ANN)[0]], ["as a guest"])
    gus.say("@" + ANN, "as an account")
    gus.close()
    s.log.wait(conn=gus.session, event="close")
    ann.say("@gus", "welcome")
    gus = come(s, "gus")
    equal(gus.expect("unread").unread, 3)
    equal([m[3] for m in texts(gus, "@" + ANN)[0]], ["as a guest", "as an account", "welcome"])


def test_a_guest_who_registers_goes_on_after_a_restart(t):
    """Also where nothing was said since: the conversation is entered for the new account as it is made."""
    s = disk(t, threads=2)
    ann, zoe = come(s, ANN), come(s, "zoe")
    gus = s.connect("gus")
    ann.say("@gus", "hello, guest")
    gus.say("@zoe", "to another")
    gus.ask("register", **VERIFIERS)
    go(s, ann, zoe, gus)
    s = disk(t, threads=2)
    gus = come(s, "gus")
    equal(sorted((u.room, u.read, u.unread) for u in gus.take(2, "unread")), [("@ann", 0, 1), ("@zoe", 0, 1)])
    equal([m[3] for m in texts(gus, "@" + ANN)[0]], ["hello, guest"])
    equal([m[3] for m in texts(gus, "@zoe")[0]], ["to another"])
    equal(gus.ask_all("search", query="guest")[1].count, 1)


def test_both_were_guests(t):
    """What two guests have said is no account's; a new order begins with the first account."""
    s = t.server(threads=2)
    ann, gus = s.connect(ANN), s.connect("gus")
    gus.say("@" + ANN, "one")
    gus.say("@" + ANN, "two")
    ann.ask("register", **VERIFIERS)
    equal(gus.say("@" + ANN, "three").seq, 1)
    equal([m.text for m in ann.take(3)], ["one", "two", "three"])
    equal([m[3] for m in texts(ann, "@gus")[0]], ["three"])


def test_kept_over_a_restart(t):
    s = disk(t, threads=2)
    ann, bob = come(s, ANN), come(s, BOB)
    for n in range(1, 21):
        (ann if n % 2 else bob).say("@" + (BOB if n % 2 else ANN), f"m{n}")
    joined = ann.ask("join", room="@" + BOB)
    mine, theirs = texts(ann, "@" + BOB, after=0), texts(bob, "@" + ANN, after=0)
    equal([m[1:] for m in mine[0]], [m[1:] for m in theirs[0]])
    go(s, ann, bob)
    s = disk(t, threads=3)
    ann, bob = come(s, ANN), come(s, BOB)
    equal((texts(ann, "@" + BOB, after=0), texts(bob, "@" + ANN, after=0)), (mine, theirs))
    again = ann.ask("join", room="@" + BOB, after=15)
    equal((again.epoch, again.seq), (joined.epoch, 20))
    equal([(m.room, m.seq) for m in ann.take(5)], [("@" + BOB, n) for n in range(16, 21)])
    equal(bob.say("@" + ANN, "on").seq, 21)
    equal(ann.expect("msg").seq, 21)
    for fields, seqs, more in (({"before": 10, "limit": 2}, [8, 9], True), ({"around": 5, "limit": 3}, [4, 5, 6], True),
                               ({"after": 19}, [20, 21], False), ({"limit": 2}, [20, 21], True)):
        got = texts(bob, "@" + ANN, **fields)
        equal(([m[1] for m in got[0]], got[1]), (seqs, more), str(fields))


def test_killed_right_behind_the_ack(t):
    s = disk(t, threads=2)
    come(s, ANN).close()
    bob = come(s, BOB)
    first = bob.say("@" + ANN, "not lost", key="k1")
    kill(s)
    s = disk(t, threads=2)
    bob = come(s, BOB)
    again = bob.say("@" + ANN, "not lost", key="k1")
    equal((again.seq, again.time, again.repeat), (first.seq, first.time, True))
    equal("repeat" in bob.say("@" + ANN, "new", key="k2"), False)
    ann = come(s, ANN)
    line = ann.expect("unread")
    equal((line.room, line.unread), ("@" + BOB, 2))
    equal([m[3] for m in texts(ann, "@" + BOB)[0]], ["not lost", "new"])
    equal(ann.say("@" + BOB, "got it", key="k1").seq, 3)  # a key is its sender's


@seconds(60)
def test_killed_again_and_again(t):
    """Whatever was acknowledged is there, once, in its order; what was not is sent again under its key."""
    acked, sent = {}, 0
    for turn in range(6):
        s = disk(t, threads=2)
        if turn == 0:
            come(s, ANN).close()
        bob = come(s, BOB)
        for n in range(max(0, sent - 60), sent + 40):
            bob.send("send", id=f"s{n}", room="@" + ANN, text=f"m{n}", key=f"k{n}")
        sent += 40
        for _ in range(turn * 15):
            line = bob.next()
            if line.type == "ack":
                equal(acked.setdefault(line.re, line.seq), line.seq)
        kill(s)
    s = disk(t, threads=2)
    bob = come(s, BOB)
    for n in range(sent):
        ack = bob.say("@" + ANN, f"m{n}", id=f"s{n}", key=f"k{n}")
        equal(acked.setdefault(f"s{n}", ack.seq), ack.seq)
    ann = come(s, ANN)
    equal(ann.expect("unread").unread, sent)
    ann.ask("join", room="@" + BOB, after=0)
    got = ann.take(sent)
    equal([m.seq for m in got], list(range(1, sent + 1)))
    equal(sorted(m.text for m in got), sorted(f"m{n}" for n in range(sent)))
    equal({f"s{m.text[1:]}": m.seq for m in got}, acked)


@both
def test_all_connections_of_both(t):
    s = t.server(threads=2)
    one, two, bob, other = come(s, ANN), come(s, ANN), come(s, BOB), come(s, BOB)
    for n in range(1, 6):
        bob.say("@" + ANN, f"m{n}")
    for c, room in ((one, "@" + BOB), (two, "@" + BOB), (bob, "@" + ANN), (other, "@" + ANN)):
        equal([(m.room, m.seq) for m in c.take(5)], [(room, n) for n in range(1, 6)])
    one.say("@" + BOB, "m6")
    for c in (one, two, bob, other):
        equal(c.expect("msg").seq, 6)
        c.quiet()


@seconds(60)
def test_reading_on_while_others_write(t):
    """A join with `after` amid live messages: neither gap nor repeat, whoever has the conversation's home."""
    for threads in (1, 3):
        s = t.server(threads=threads)
        bob = come(s, BOB)
        come(s, ANN).close()
        for n in range(50):
            bob.say("@" + ANN, "early")
        for n in range(8):
            for _ in range(25):
                bob.send("send", room="@" + ANN, text="live")
            ann = come(s, ANN)
            ann.send("join", id="j", room="@" + BOB, after=10 + n)
            for _ in range(25):
                bob.send("send", room="@" + ANN, text="live")
            last = 50 + (n + 1) * 50
            bob.expect("msg", seq=last, timeout=20)
            seqs = []
            ann.expect("joined")
            # What was live before the join was carried out stands in front, and may reach up to the last one.
            while 11 + n not in seqs or seqs[-1] < last:
                m = ann.expect("msg", timeout=20)
                seqs.append(m.seq)
            before = [q for q in seqs if q < 11 + n]
            equal(before, [])
            start = seqs.index(11 + n)
            equal(seqs[start:], list(range(11 + n, last + 1)), f"{threads} threads, after {10 + n}")
            ann.close()
        s.stop()


def test_leave(t):
    """Who has left gets what is new still: a direct conversation needs no join."""
    s = t.server(threads=2)
    ann, bob = come(s, ANN), come(s, BOB)
    equal(ann.refused("leave", "bad_request", room="@" + BOB).field, "room")
    bob.say("@" + ANN, "one")
    ann.ask("join", room="@" + BOB)
    equal(ann.ask("leave", room="@" + BOB).room, "@" + BOB)
    bob.say("@" + ANN, "two")
    equal([m.seq for m in ann.take(2)], [1, 2])
    ann.quiet()


def test_joins_are_counted(t):
    s = t.server(max_rooms_per_connection=1)
    ann, _ = come(s, ANN), come(s, BOB)
    ann.ask("join", room="@" + BOB)
    equal(ann.refused("join", "too_many_rooms", room="general").max, 1)
    ann.ask("leave", room="@" + BOB)
    ann.ask("join", room="general")
    equal(ann.refused("join", "too_many_rooms", room="@" + BOB).max, 1)


def test_nobody(t):
    s = disk(t)
    ann = come(s, ANN)
    for type, fields in (("send", {"text": "x"}), ("history", {}), ("join", {}), ("read", {"seq": 1})):
        ann.refused(type, "no_such_nick", room="@nobody", **fields)
    guest = s.connect("gus")
    guest.refused("send", "no_such_nick", room="@nobody", text="x")
    guest.refused("read", "account_needed", room="@" + ANN, seq=1)
    equal(ann.ask_all("rooms")[1].count, 0)
    ids = [ann.new_id() for _ in range(5)]
    for id in ids:
        ann.send("send", id=id, room="@nobody", text="x")
    equal([ann.expect(re=id).code for id in ids], ["no_such_nick"] * 5)


def test_not_in_the_list_of_rooms(t):
    s = disk(t)
    ann, bob = come(s, ANN), come(s, BOB)
    ann.say("@" + BOB, "x")
    ann.ask("join", room="general")
    equal([r.room for r in ann.ask_all("rooms")[0]], ["general"])
    go(s, ann, bob)
    s = disk(t)
    equal([r.room for r in come(s, ANN).ask_all("rooms")[0]], [])


def test_retention_leaves_a_gap(t):
    """What is no longer kept of a direct conversation is named."""
    s = t.server(history=3)
    ann, bob = come(s, ANN), come(s, BOB)
    for n in range(1, 7):
        bob.say("@" + ANN, f"m{n}")
        ann.expect("msg", seq=n)
    ann.ask("join", room="@" + BOB, after=1)
    gap = ann.expect("gap")
    equal((gap.room, gap["from"]), ("@" + BOB, 2))
    equal([m.seq for m in ann.take(6 - gap.to)], list(range(gap.to + 1, 7)))
    lines, _ = ann.ask_all("history", room="@" + BOB, after=0)
    equal((lines[0].type, lines[0].room, lines[0]["from"], lines[0].to), ("gap", "@" + BOB, 1, gap.to))


@seconds(60)
def test_slow_reader(t):
    """One that reads on and does not take what comes falls behind and is fed from what is kept: nothing is missing."""
    s = disk(t, threads=2, max_out=65536)
    bob = come(s, BOB)
    ann = come(s, ANN, rcvbuf=65536)
    ann.ask("join", room="@" + BOB)
    for n in range(20):
        for _ in range(100):
            bob.send("send", room="@" + ANN, text="x" * 4000)
        bob.take(100, timeout=15)
    equal([m.seq for m in ann.take(2000, timeout=20)], list(range(1, 2001)))


def full_disk(t, size):
    path = t.path("small")
    os.makedirs(path)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], capture_output=True).returncode != 0:
        raise Skip("a tmpfs can't be mounted here")

    class Mounted:
        def close(self):
            subprocess.run(["umount", "-l", path], check=False)
    t.keep(Mounted())
    return path


@seconds(60)
def test_full_disk(t):
    """What the disk does not take is refused and seen by nobody; there are no holes, and it goes on by itself."""
    path = full_disk(t, "8m")
    s = t.server(data=path)
    ann, bob = come(s, ANN), come(s, BOB)
    acked = 0
    for n in range(6000):
        a = bob.ask_any("send", room="@" + ANN, text="x" * 4000)
        if a.type == "error":
            break
        acked += 1
        equal(a.seq, acked)
    equal(a.code, "storage")
    new = bob.ask_any("send", room="@gus", text="x")
    equal(new.code, "no_such_nick")
    gus = s.connect("gus")
    new = gus.ask_any("send", room="@" + ANN, text="x" * 4000)
    check(new.type == "ack" or new.code == "storage", new)
    a = bob.ask_any("read", room="@" + ANN, seq=1)
    check(a.type == "read" or a.code == "storage", a)
    subprocess.run(["mount", "-o", "remount,size=64m", path], check=True)
    equal(bob.say("@" + ANN, "again").seq, acked + 1)
    equal([m.seq for m in ann.take(acked + 1, room="@" + BOB, timeout=15.0)], list(range(1, acked + 2)))
    bob.ask("read", room="@" + ANN, seq=acked)
    gus.say("@" + ANN, "me too")


# ---- marks ----


def test_read_is_kept_before_it_is_answered(t):
    """Also where the mark stands there already, because the request before it has just set it: it is on its way to the disk."""
    s = disk(t, threads=1)
    ann = come(s, ANN)
    ann.ask("join", room="general")
    for n in range(3):
        ann.say("general", f"m{n}")
    ann.ask("read", room="general", seq=1)
    db = sqlite3.connect(t.path("data/chatd.db"), isolation_level=None)
    db.execute("BEGIN IMMEDIATE")  # nothing is kept until it ends
    for id, seq in (("a", 2), ("b", 2), ("c", 1), ("d", 3), ("e", 3)):
        ann.send("read", id=id, room="general", seq=seq)
    for _ in range(3):
        ann.sync()
    equal([line.re for line in ann.inbox if line.type == "read"], [])
    db.execute("ROLLBACK")
    db.close()
    for id, seqs in (("a", (2, 3)), ("b", (2, 3)), ("c", (2, 3)), ("d", (3,)), ("e", (3,))):
        check(ann.expect("read", re=id).seq in seqs, f"{id} has another")
    kill(s)
    equal(come(disk(t, threads=1), ANN).ask("join", room="general").read, 3)


@both
def test_read_is_kept_and_synced(t):
    s = t.server(threads=3)
    one, two = come(s, ANN), come(s, ANN)
    guest = s.connect("gus")
    for c in (one, two, guest):
        joined = c.ask("join", room="general")
        equal(("read" in joined, "unread" in joined), (c != guest, c != guest))
    for n in range(1, 6):
        guest.say("general", f"m{n}")
    equal(one.ask("read", room="general", seq=3).seq, 3)
    equal(dict(two.expect("read")), {"type": "read", "room": "general", "seq": 3})
    equal(two.ask("read", room="general", seq=2).seq, 3)  # it never goes down
    one.quiet("read")
    equal(two.ask("read", room="general", seq=99).seq, 5)  # nor beyond what there is
    equal(one.expect("read").seq, 5)
    two.quiet("read")
    guest.refused("read", "account_needed", room="general", seq=1)
    one.refused("read", "not_member", room="elsewhere", seq=1)
    equal(one.refused("read", "bad_request", room="general").field, "seq")
    equal(one.refused("read", "bad_request", room="general", seq=-1).field, "seq")
    one.send("read", room="general", seq=5)
    one.sync()


def test_marks_over_a_restart(t):
    s = disk(t, threads=2)
    ann, bob = come(s, ANN), come(s, BOB)
    for c in (ann, bob):
        equal(c.ask("join", room="general").unread, 0)
    for n in range(1, 11):
        bob.say("general", f"m{n}")
        bob.say("@" + ANN, f"d{n}")
    ann.ask("read", room="general", seq=4)
    ann.ask("read", room="@" + BOB, seq=7)
    kill(s)
    s = disk(t, threads=2)
    ann = come(s, ANN)
    line = ann.expect("unread")
    equal((line.room, line.seq, line.read, line.unread), ("@" + BOB, 10, 7, 3))
    joined = ann.ask("join", room="general")
    equal((joined.seq, joined.read, joined.unread), (10, 4, 6))
    joined = ann.ask("join", room="@" + BOB, after=joined.read)
    equal((joined.read, joined.unread), (7, 3))
    ann.ask("read", room="@" + BOB, seq=10)
    go(s, ann)
    s = disk(t, threads=2)
    ann = come(s, ANN)
    ann.quiet("unread")
    joined = ann.ask("join", room="other")
    equal((joined.read, joined.unread), (0, 0))


def test_a_room_counts_from_the_first_join(t):
    s = disk(t, threads=2)
    gus = s.join("general", "gus")
    for n in range(5):
        gus.say("general", "before")
    ann = come(s, ANN)
    joined = ann.ask("join", room="general")
    equal((joined.read, joined.unread), (5, 0))
    ann.ask("leave", room="general")
    gus.say("general", "after")
    joined = ann.ask("join", room="general")
    equal((joined.read, joined.unread), (5, 1))


def test_many_marks_at_once(t):
    """They are put together; each request has its answer and the last one counts."""
    s = disk(t, threads=2)
    ann, other = come(s, ANN), come(s, ANN)
    ann.ask("join", room="general")
    for _ in range(200):
        ann.send("send", room="general", text="x")
    ann.take(200)
    ids = [ann.new_id() for _ in range(200)]
    for n, id in enumerate(ids):
        ann.send("read", id=id, room="general", seq=n + 1)
    for id in ids:
        equal(ann.expect(re=id).type, "read")
    equal(other.expect("read", seq=200).room, "general")
    ann.close()
    other.close()
    s.stop()
    s = disk(t)
    equal(come(s, ANN).ask("join", room="general").read, 200)


def test_unread_of_many_conversations(t):
    """More than fit a page of the store; only those where something waits."""
    s = t.server(threads=2, max_per_address=1000)
    come(s, ANN).close()
    for n in range(150):
        c = come(s, f"p{n}")
        c.say("@" + ANN, "hello")
        c.close()
    ann = come(s, ANN)
    got = ann.take(150, "unread", timeout=15)
    equal(sorted(m.room for m in got), sorted(f"@p{n}" for n in range(150)))
    for m in got[:140]:
        ann.ask("read", room=m.room, seq=1)
    ann.close()
    ann = come(s, ANN)
    equal(len(ann.take(10, "unread")), 10)
    ann.quiet("unread")


def edits(c, room):
    lines, _ = c.ask_all("history", room=room)
    return [(m.room, m.seq, m.nick, m.get("edits"), m.get("removes"), m.text) for m in lines if m.type == "msg"]


@seconds(60)
def test_edit_and_remove(t):
    """Where one of the two is an account, as in rooms: by the one who said it, told to both, kept, found as it is now."""
    for data in ("memory", t.path("data")):
        s = t.server(threads=2, data=data)
        ann, bob, guest = come(s, ANN), come(s, BOB), s.connect("guest")
        ann.say("@bob", "helo")
        bob.expect("msg", seq=1)
        bob.refused("edit", "not_yours", room="@ann", seq=1, text="his")
        bob.refused("edit", "no_such_message", room="@ann", seq=2, text="none")
        ack = ann.ask("edit", room="@Bob", seq=1, text="hello", key="k")
        equal((ack.room, ack.seq), ("@bob", 2))
        equal(ann.ask("edit", room="@bob", seq=1, text="hello", key="k").repeat, True)
        m = bob.expect("msg", seq=2)
        equal((m.room, m.nick, m.edits, m.text), ("@ann", "ann", 1, "hello"))
        equal(bob.ask_all("search", query="hello", room="@ann")[0][0].seq, 2)
        equal(ann.ask("remove", room="@bob", seq=1).seq, 3)
        equal(bob.expect("msg", seq=3).removes, 1)
        equal(bob.ask_all("search", query="hello")[0], [])
        want = [(1, "ann", None, None, "helo"), (2, "ann", 1, None, "hello"), (3, "ann", None, 1, "")]
        equal(edits(bob, "@ann"), [("@ann", *line) for line in want])
        equal(edits(ann, "@bob"), [("@bob", *line) for line in want])
        guest.say("@ann", "a guest's")
        equal(guest.ask("edit", room="@ann", seq=1, text="still mine").seq, 2)
        equal(ann.take(2, room="@guest")[1].edits, 1)
        guest.refused("edit", "no_such_nick", room="@nobody", seq=1, text="x")
        equal(guest.refused("edit", "bad_request", room="@guest", seq=1, text="x").field, "room")
        other = s.connect("other")
        guest.say("@other", "between guests")
        equal(guest.refused("edit", "bad_request", room="@other", seq=1, text="x").field, "room")
        guest.close()
        s.log.wait(conn=guest.session, event="close")
        again = s.connect("guest")  # another one: what was said is neither his to read nor to change
        again.refused("edit", "no_such_message", room="@ann", seq=1, text="his")
        equal(edits(again, "@ann"), [])
        if data == "memory":
            go(s, ann, bob, again, other)
            continue
        kill(s)
        s = t.server(data=data)
        ann = come(s, ANN)
        equal(edits(ann, "@bob"), [("@bob", *line) for line in want])
        equal(ann.ask("edit", room="@bob", seq=1, text="again").seq, 4)


@seconds(60)
def test_leave_and_join_at_once(t):
    """A join by an account takes the way by its mark, a leave does not: what comes behind a leave waits for it, or it would
    get there first."""
    s = t.server(threads=4, requests_per_second=1000000)
    rooms = [f"room{n}" for n in range(16)]
    for c in (come(s, nick) for nick in ("ann", "bob", "carol", "dave")):
        for room in rooms:
            c.ask("join", room=room)
        for _ in range(40):
            for room in rooms:
                c.raw(f'{{"type":"leave","room":"{room}","id":"1"}}\n{{"type":"join","room":"{room}","id":"2"}}\n')
            answers = [c.next() for _ in range(2 * len(rooms))]
            equal([[a.type for a in answers if a.room == room] for room in rooms], [["left", "joined"]] * len(rooms))
        c.close()
        s.log.wait(conn=c.session, event="close")
