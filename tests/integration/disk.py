"""disk.py: a disk that fails while the server runs, in each way: what may not be kept is refused, everything else goes on, the
log says what to do, and when the disk is well again it goes on by itself."""
import json
import os
import re
import shutil
import signal
import sqlite3
import time

import database
from lib import Skip, check, check_good, equal, run_chatd, seconds, wait_until
from lib.login import b64, need_scram, verifiers


class Disk:
    """The disk of one server: tests/torturing/disk.c."""

    def __init__(self, t, name="data"):
        self.t, self.data, self.file = t, t.path(name), t.path("disk")
        self.library = t.build / "tests/torturing/libtest_disk.so"
        if not self.library.exists():
            raise Skip("there is no way to break a disk here")
        self.set(".")

    def set(self, state):
        with open(self.file, "r+b" if os.path.exists(self.file) else "wb") as f:
            f.write(state.encode())

    def server(self, **options):
        asan = os.environ.get("ASAN_OPTIONS", "abort_on_error=0:exitcode=86:detect_leaks=1") + ":verify_asan_link_order=0"
        return self.t.server(data=self.data, env={"LD_PRELOAD": str(self.library), "CHATD_TEST_DISK": self.file,
                                                  "ASAN_OPTIONS": asan}, **options)


def kill(s):
    s.clean = False
    s.signal(signal.SIGKILL)
    s.wait()


def read_all(c, room="general"):
    lines, _ = c.ask_all("history", room=room, after=0, limit=1000)
    return [(m.seq, m.nick, m.text) for m in lines]


def refuses(ann, bob, s, todo):
    """Sends and topics fail, all else goes on, and the log says what to do."""
    before = read_all(bob)
    for n in range(3):
        equal(ann.ask_any("send", id=f"no{n}", room="general", text="not kept", key=f"no{n}").code, "storage")
    ann.refused("topic", "storage", room="general", text="not kept")
    ann.ask("ping")
    ann.ask("send", room="@bob", text="between us")
    equal(bob.expect("msg", room="@ann").text, "between us")
    equal(read_all(bob), before)
    carol = s.connect("carol")
    equal(carol.ask("join", room="general", after=0).seq, len(before))
    equal(bob.expect("presence", nick="carol").event, "join")
    equal([m.seq for m in carol.take(len(before))], [m[0] for m in before])
    equal(carol.ask("join", room="elsewhere").seq, 0)
    carol.close()
    equal({m.nick for m in ann.ask_all("who", room="general")[0]} - {"carol"}, {"ann", "bob"})
    line = s.log.wait(event="storage-failed")
    check(todo in line["todo"], line)
    bob.quiet("msg", "gap")


def recovers(ann, bob, s):
    """It goes on by itself: no number is left out, keys of what failed are free, and a kill loses nothing."""
    kept = len(read_all(bob))
    again = wait_until(lambda: (a := ann.ask_any("send", room="general", text="kept", key="no0")).type == "ack" and a, "it goes on")
    equal((again.seq, "repeat" in again), (kept + 1, False))
    equal(bob.expect("msg", room="general").seq, kept + 1)
    ann.ask("topic", room="general", text="kept")
    s.log.wait(event="storage-again")
    return read_all(bob)


def survives(t, s, data, before):
    kill(s)
    s = t.server(data=data)
    bob = s.connect("bob")
    equal(bob.ask("join", room="general").topic, "kept")
    equal(read_all(bob), before)
    bob.close()
    s.stop()
    equal(run_chatd(t, "--data", data, "--check-data")[0], 0)


@seconds(60)
def test_writes_are_refused(t):
    """By a full disk, by one that has become read-only, by one that does not bring it down to the plate."""
    for state, todo in (("f", "make space"), ("w", "mount that file system for writing"), ("s", "look at the disk")):
        disk = Disk(t, "data-" + state)
        s = disk.server()
        ann, bob = s.join("general", "ann"), s.join("general", "bob")
        for n in range(5):
            ann.say("general", f"m{n}")
        bob.take(5)
        disk.set(state)
        refuses(ann, bob, s, todo)
        disk.set(".")
        survives(t, s, disk.data, recovers(ann, bob, s))


@seconds(60)
def test_a_directory_that_is_gone(t):
    """Files that are moved away could still be written to, and all of it would be lost with the process."""
    s = t.server(data=t.path("data"))
    ann, bob = s.join("general", "ann"), s.join("general", "bob")
    for n in range(5):
        ann.say("general", f"m{n}")
    bob.take(5)
    os.rename(t.path("data"), t.path("away"))
    refuses(ann, bob, s, "put the directory back")
    os.mkdir(t.path("data"))
    with open(t.path("data/chatd.db"), "wb"):
        pass
    equal(ann.ask_any("send", room="general", text="not kept").code, "storage")
    os.unlink(t.path("data/chatd.db"))
    os.rename(t.path("away"), t.path("data"))
    survives(t, s, t.path("data"), recovers(ann, bob, s))


def fill(t, disk, count, size=2000):
    """A room of so many messages, where they are read from; no server runs any more, and nothing of it is in memory."""
    s = disk.server()
    ann = s.join("general", "ann")
    for _ in range(count // 100):
        for _ in range(100):
            ann.send("send", room="general", text="x" * size)
        ann.take(100, timeout=15.0)
    ann.close()
    time.sleep(1.5)  # until all of it is moved to its place
    s.stop()


@seconds(90)
def test_a_damaged_page(t):
    """What is damaged is not written to, though there would be room in the log beside it."""
    disk = Disk(t)
    fill(t, disk, 100, size=20)
    s = disk.server()
    ann, bob = s.join("general", "ann"), s.join("general", "bob")
    bob.ask_all("history", room="general", after=0, limit=1000)
    disk.set("g")
    ann.ask_any("send", room="general", text="it is kept, or refused")
    wait_until(lambda: s.log.find(event="storage-failed"), "the damage is found")
    for n in range(3):
        equal(ann.ask_any("send", room="general", text="not kept", key="no").code, "storage")
    ann.ask("ping")
    equal({m.nick for m in ann.ask_all("who", room="general")[0]}, {"ann", "bob"})
    line = s.log.find(event="storage-failed")[0]
    check("--check-data" in line["todo"] and "backup" in line["todo"], line)
    disk.set(".")
    a = wait_until(lambda: (a := ann.ask_any("send", room="general", text="kept", key="no")).type == "ack" and a, "it goes on")
    check(a.seq in (101, 102) and "repeat" not in a, a)
    s.log.wait(event="storage-again")
    ann.ask("topic", room="general", text="kept")
    survives(t, s, disk.data, read_all(bob))


@seconds(90)
def test_reads_that_fail_for_a_while(t):
    """Who is behind waits, and misses nothing; who asks is told; the log has the way down and up again."""
    disk = Disk(t)
    fill(t, disk, 4000)
    s = disk.server(max_out=65536, log_level="debug")
    ann = s.join("general", "ann")
    bob = s.connect("bob", rcvbuf=65536)
    bob.ask("join", room="general", after=0)
    got = [m.seq for m in bob.take(10)]
    disk.set("r")
    ann.refused("history", "storage", room="general", around=3000, limit=10)
    ann.say("general", "live")  # nothing need be read for that
    line = s.log.wait(event="storage-unread")
    check("look at the disk" in line["todo"], line)
    s.log.wait(event="behind", conn=bob.session)
    while True:
        try:
            got += [bob.expect("msg", timeout=2.5).seq]
        except AssertionError:
            break
    check(len(got) < 4000, "nothing was left to read")
    equal(s.log.find(event="caught-up", conn=bob.session), [])
    disk.set(".")
    got += [m.seq for m in bob.take(4001 - len(got), timeout=20.0)]
    equal(got, list(range(1, 4002)))
    bob.quiet("gap")
    s.log.wait(event="caught-up", conn=bob.session)
    s.log.wait(event="storage-read-again")
    steps = [e for e in s.log.events(bob.session) if e in ("behind", "feeding", "caught-up")]
    equal((steps[:2], steps.count("behind"), steps[-1]), (["feeding", "behind"], 1, "caught-up"))
    check(steps.count("feeding") > 2, steps)
    ann.say("general", "live again")
    equal(bob.expect("msg").seq, 4002)
    ann.ask("join", room="elsewhere")


@seconds(90)
def test_what_is_damaged_is_a_gap(t):
    """What is damaged and stays so is passed over, and said to be: one is not kept from what comes behind it."""
    disk = Disk(t)
    fill(t, disk, 2000)
    s = disk.server()
    ann = s.join("general", "ann")
    for n in range(3):
        equal(ann.say("general", f"new {n}").seq, 2001 + n)
    bob = s.connect("bob")
    disk.set("g")
    bob.ask("join", room="general", after=100)
    gap = bob.expect("gap", timeout=15.0)
    check(gap["from"] >= 101 and gap["to"] >= gap["from"], gap)
    equal([m.seq for m in bob.take(2003 - gap["to"], timeout=10.0)], list(range(gap["to"] + 1, 2004)))
    check("--check-data" in s.log.wait(event="storage-unread")["todo"], "the log says what to do")
    s.log.wait(event="caught-up", conn=bob.session)


@seconds(90)
def test_only_what_is_damaged_is_a_gap(t):
    """One page in the middle: what is behind it, and can be read, is not left out with it."""
    disk = Disk(t)
    fill(t, disk, 2000)
    path = disk.data + "/chatd.db"
    db = sqlite3.connect(path)
    size, = db.execute("PRAGMA page_size").fetchone()
    offsets = [at for (at,) in db.execute("SELECT pgoffset FROM dbstat WHERE name = 'messages'")]
    db.close()
    with open(path, "r+b") as f:
        for at in offsets:
            f.seek(at)
            page = f.read(size)
            m = re.search(rb'"seq":(1[0-4]..),"nick"', page)
            if m and page[:4] != bytes(4):  # one that goes on in another page, so that it is seen
                break
        f.seek(at)
        f.write(b"\xa5" * size)
        seq = int(m[1])
    s = disk.server(search="off")
    bob = s.connect("bob")
    bob.ask("join", room="general", after=100)
    seqs, gaps = [], []
    while not seqs or seqs[-1] < 2000:
        line = bob.next(timeout=15.0)
        if line.type == "gap":
            gaps.append(line)
            check(line["from"] <= seq <= line.to, line)
            seqs += range(line["from"], line.to + 1)
        elif line.type == "msg":
            seqs.append(line.seq)
    equal(seqs, list(range(101, 2001)))
    equal(len(gaps), 1)
    check(gaps[0].to - gaps[0]["from"] < 400, gaps[0])


def test_what_was_refused_does_not_come_back(t):
    """The disk took the commit, and only the fsync failed: after a kill it was there, though its sender was told that it is not."""
    disk = Disk(t)
    s = disk.server()
    ann = s.join("general", "ann")
    ann.say("general", "kept")
    for n in range(3):
        disk.set("s")
        ann.refused("send", "storage", room="general", text=f"refused {n}")
        kill(s)
        disk.set(".")
        s = disk.server()
        ann = s.join("general", "ann")
        equal([m[2] for m in read_all(ann)], ["kept"])


@seconds(90)
def test_what_was_carried_over_is_not_on_the_disk(t):
    """The fsync of the file failed behind a part of a checkpoint, which SQLite does not do again: what it had written there was
    lost with the kernel's memory, though it had been acknowledged. Now nothing more is kept, the log says what to do, and the next
    start takes all of it from the WAL: here the file is, by then, as it was before anything was carried over."""
    disk = Disk(t)
    s = disk.server(requests_per_second=1_000_000)
    ann = s.join("general", "ann")
    ann.say("general", "first")
    ann.close()
    s.stop()
    shutil.copy(disk.data + "/chatd.db", t.path("before"))
    s = disk.server(requests_per_second=1_000_000, threads=2)
    ann = s.join("general", "ann")
    ann.say_much("general", 300)
    said, db = 301, sqlite3.connect(disk.data + "/chatd.db", isolation_level=None)
    db.execute("BEGIN")  # who looks keeps what is said from here on from being carried over
    db.execute("SELECT count(*) FROM rooms").fetchall()
    disk.set("c")
    batch = (json.dumps({"type": "send", "id": "x", "room": "general", "text": "x" * 3900}) + "\n") * 200
    for _ in range(100):
        ann.raw(batch)
        said += sum(ann.expect(re="x", timeout=30.0).type == "ack" for _ in range(200))
        ann.inbox.clear()
        if s.log.find(event="storage-failed"):
            break
    db.close()
    record = s.log.wait(event="storage-failed")
    check("not on the disk" in record["why"] and "restart chatd" in record["todo"], record)
    disk.set(".")
    ann.refused("send", "storage", room="general", text="the disk is well, but the file is not")
    ann.ask("ping")
    ann.close()
    s.stop()
    check(os.path.getsize(disk.data + "/chatd.db-wal") > 2 << 20, "the WAL is gone")
    shutil.copy(t.path("before"), disk.data + "/chatd.db")
    s = disk.server()
    carol = s.join("general", "carol")
    equal(carol.say("general", "goes on").seq, said + 1)
    carol.close()
    s.stop()
    check_good(t, disk.data, said + 1)


def test_the_log_begins_anew_once_nobody_looks(t):
    """Somebody looked at the database just when the WAL was carried over: nothing was tried again before as much had been said."""
    s = t.server(data=t.path("data"), requests_per_second=1_000_000, log_level="debug")
    ann = s.join("general", "ann")
    db = sqlite3.connect(t.path("data/chatd.db"), isolation_level=None)
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM rooms").fetchall()
    ann.say_much("general", 3000)

    def is_blocked():
        return any(e["by"] == "writer" and int(e["pages"]) < int(e["of"]) for e in s.log.find(event="storage-carried"))
    wait_until(is_blocked, "the writer cannot carry all of it over", timeout=10.0)
    db.execute("COMMIT")
    db.close()

    def salt():
        with open(t.path("data/chatd.db-wal"), "rb") as f:
            return f.read(24)[16:]
    before = salt()

    def has_begun_anew():
        ann.say("general", "a few words")
        return salt() != before
    wait_until(has_begun_anew, "the WAL has begun anew", timeout=10.0)


def test_a_damaged_inbox(t):
    """What lies in a row is damaged, which SQLite does not see: it is damage all the same, and the log says what to do."""
    s = t.server(data=t.path("data"))
    s.join("general", "ann").say("general", "x")
    kill(s)
    db = sqlite3.connect(t.path("data/chatd.db"))
    equal(db.execute("UPDATE inbox SET parts = zeroblob(10)").rowcount, 1)
    db.commit()
    db.close()
    code, _, err = run_chatd(t, "--data", t.path("data"), "--listen", "127.0.0.1:0")
    equal(code, 4)
    check("not an error" not in err and "damaged" in err and "--check-data" in err and "backup" in err, err)
    code, _, err = run_chatd(t, "--data", t.path("data"), "--check-data")
    equal(code, 4)
    check("not an error" not in err and "damaged" in err and "backup" in err, err)


# ---- what one is put out of while the disk is being read ----

def wait_moved(disk):
    """Until what was said is no longer in the inbox, which is read with every request."""
    wait_until(lambda: database.all_is_moved(disk.data + "/chatd.db"), "the inbox is empty")


def send_and_hang(c, disk, **request):
    """The request is at the room's home, or at the store, when the ping before it is answered; and stays there."""
    disk.set("h")
    c.raw(json.dumps({"type": "ping", "id": "first"}) + "\n" + json.dumps(request) + "\n")
    c.expect("pong", re="first")


@seconds(60)
def test_put_out_while_an_edit_is_read(t):
    """The old line is still being read when its author is put out: the edit is refused, before or behind `left`, not made."""
    for threads in (1, 2):
        disk = Disk(t, f"data{threads}")
        s = disk.server(threads=threads, history=5)
        ann, bob = s.join("general", "ann"), s.join("general", "bob")
        for n in range(100):
            bob.say("general", f"{n} " + "x" * 2000)
        for how in ("kick", "ban"):
            wait_moved(disk)
            send_and_hang(bob, disk, type="edit", id="e", room="general", seq=3 if how == "kick" else 40, text="too late")
            if how == "ban":
                ann.send("ban", room="general", nick="bob", id="out")
                ann.ask("who", room="general")  # its home has had the ban
            else:
                ann.ask("kick", room="general", nick="bob")
                bob.expect("left", code="kicked")
            disk.set(".")
            answer = bob.expect(re="e")
            equal((answer.type, answer.get("code")), ("error", "not_member"))
            if how == "kick":
                bob.ask("join", room="general")
        equal(ann.expect(re="out").type, "ack")
        lines, _ = ann.ask_all("history", room="general", limit=10)
        equal([m.seq for m in lines if "edits" in m], [])
        equal(ann.say("general", "on").seq, 101)


@seconds(60)
def test_put_out_while_a_search_runs(t):
    """Who was put out of a room meanwhile finds nothing more there."""
    disk = Disk(t)
    s = disk.server(threads=2)
    ann, bob = s.join("general", "ann"), s.join("general", "bob")
    bob.ask("join", room="other")
    for n in range(100):
        ann.say("general", f"secret {n} " + "x" * 2000)
    bob.say("other", "secret elsewhere")
    for request in ({"room": "general"}, {}):
        ann.say("general", "what makes readers read anew")
        bob.inbox.clear()
        wait_moved(disk)
        send_and_hang(bob, disk, type="search", id="s", query="secret", **request)
        ann.ask("kick", room="general", nick="bob")
        bob.expect("left", code="kicked")
        bob.inbox.clear()
        disk.set(".")
        if request:
            answer = bob.expect(re="s")
            equal((answer.type, answer.get("code")), ("error", "not_member"))
        else:
            equal((bob.expect("msg", re="s").room, bob.expect("end", re="s").count), ("other", 1))
        bob.sync()
        bob.quiet("msg")
        bob.ask("join", room="general")


@seconds(40)
def test_who_waits_for_the_server_is_not_idle(t):
    """Whose answers to pings were not read, because the server was still busy with what it had asked, was given up as idle; the
    same before hello, when the disk was slow to say whose nick it was."""
    disk = Disk(t)
    s = disk.server(threads=1, ping_seconds=1, idle_seconds=2, login_seconds=2)
    ann, bob, late = s.join("general", "ann"), s.connect("bob"), s.connect()
    ann.ask("register", public_key=b64(os.urandom(32)))
    ann.say("general", "needle")
    wait_moved(disk)
    disk.set("h")
    ann.send("search", id="s", query="needle")
    late.send("auth", id="a", nick="ann", mechanism="ED25519", data=b64(os.urandom(32)))
    until = time.monotonic() + 3.5
    while time.monotonic() < until:
        for c in (ann, bob):
            c.pump(0.05)
            if any(line.type == "ping" for line in c.inbox):
                c.inbox.clear()
                c.raw(b"\n")
        late.pump(0.0)
    disk.set(".")
    equal(ann.expect("end", re="s").count, 1)
    equal(late.expect(re="a").type, "challenge")
    ann.sync(), bob.sync()
    late.hello("late")


@seconds(60)
def test_one_request_at_a_time(t):
    """Who is too slow for what is said to it directly reads on there by itself: that does not let its next request be carried
    out before the one that is under way is answered."""
    need_scram(t)
    disk = Disk(t)
    s = disk.server(threads=2, max_out=65536, requests_per_second=1000000, log_level="debug")
    ann, bob = s.connect("ann"), s.connect("bob", rcvbuf=4096)
    ann.ask("register", **verifiers("correct horse"))
    bob.ask("join", room="general")
    bob.say("general", "needle")
    ann.say("@bob", "first")
    ann.ask("join", room="general")
    for _ in range(1500):  # as much as the kernel takes for bob, who does not read
        ann.send("send", room="general", text="x" * 4000)
    ann.sync()
    wait_moved(disk)
    disk.set("h")
    bob.raw('{"type":"search","id":"s","query":"needle"}\n{"type":"ping","id":"behind it"}\n')
    for _ in range(100):
        ann.send("send", room="@bob", text="x" * 8000)
    try:
        s.log.wait(event="feeding", conn=bob.session, room=re.compile("^@"), timeout=2.0)
    except AssertionError:
        pass  # the writer had to read, and hangs too: what comes now has its order all the same
    disk.set(".")
    answers = []
    while len(answers) < 2:
        line = bob.next(timeout=20.0)
        if line.type in ("end", "pong"):
            answers.append(line.re)
    equal(answers, ["s", "behind it"])
