"""store.py: what is kept on disk: over restarts, kill -9, a full disk, a damaged file."""
import os
import shutil
import signal
import sqlite3
import subprocess
import time

import database
from lib import Skip, check, check_good, equal, run_chatd, seconds, wait_until


def disk(t, name="data", **options):
    """A server on a directory of the test's; started again with the same name it finds what was kept."""
    return t.server(data=t.path(name), **options)


def kill(s):
    s.clean = False
    s.signal(signal.SIGKILL)
    s.wait()


def read_all(c, room="general"):
    lines, end = c.ask_all("history", room=room, after=0, limit=1000)
    equal(end.more, False)
    return [(m.seq, m.nick, m.text, m.time) for m in lines]


def fill(s, count, room="general", nick="ann"):
    c = s.join(room, nick)
    for n in range(1, count + 1):
        c.say(room, f"m{n}")
    c.take(count)
    return c


def test_restart_keeps_all(t):
    s = disk(t, threads=2)
    ann = fill(s, 20)
    before = read_all(ann)
    ann.ask("topic", room="general", text="kept, too")
    epoch = ann.ask("join", room="general").epoch
    ann.close()
    s.stop()
    s = disk(t, threads=3)
    bob = s.connect("bob")
    joined = bob.ask("join", room="general", after=15)
    equal((joined.epoch, joined.seq, joined.topic), (epoch, 20, "kept, too"))
    equal([m.seq for m in bob.take(5)], list(range(16, 21)))
    equal(read_all(bob), before)
    equal(bob.say("general", "m21").seq, 21)
    check(bob.take(1)[0].time >= before[-1][3], "time went back")


def test_kill_keeps_all(t):
    s = disk(t)
    ann = fill(s, 30)
    before = read_all(ann)
    kill(s)
    s = disk(t)
    equal(read_all(s.join("general", "bob")), before)


def test_keys_over_a_restart(t):
    for how in ("stop", "kill"):
        s = disk(t, how)
        ann, bob = s.join("general", "ann"), s.join("general", "bob")
        first = ann.ask("send", room="general", text="once", key="k1")
        ann.ask("send", room="general", text="twice", key="k2")
        bob.ask("send", room="general", text="bob's", key="k1")
        if how == "stop":
            for c in (ann, bob):
                c.close()
            s.stop()
        else:
            kill(s)
        s = disk(t, how)
        ann = s.join("general", "ann")
        again = ann.ask("send", room="general", text="once", key="k1")
        equal((again.seq, again.time, again.repeat), (first.seq, first.time, True))
        new = ann.ask("send", room="general", text="new", key="k3")
        equal((new.seq, "repeat" in new), (4, False))
        equal([m[2] for m in read_all(ann)], ["once", "twice", "bob's", "new"])


def press(s, c, count):
    """Says something in rooms until one of them is at home where the silent one is, and takes its place in memory."""
    n = 0
    while len(s.log.find(event="keys-let-go", room="silent")) < count:
        check(n < 50, "it keeps its keys")
        c.ask("join", room=f"busy{n}")
        for _ in range(80):
            c.send("send", room=f"busy{n}", text="y" * 1000)
        c.take(80, room=f"busy{n}")
        n += 1
    c.inbox.clear()


@seconds(60)
def test_keys_that_memory_had_no_place_for(t):
    """They count among --history-total: a silent room's go, and are read again before anything more is said there, in its order."""
    for threads in (1, 2):
        s = disk(t, f"data{threads}", threads=threads, history_total="64k", log_level="debug", requests_per_second=1_000_000)
        ann = s.join("silent", "ann")
        for n in range(0, 3000, 500):
            for k in range(n, n + 500):
                ann.send("send", room="silent", text="x", key=f"k{k}")
            ann.take(500, room="silent", timeout=10.0)
        press(s, ann, 1)
        for id, fields in (("1", {"key": "new"}), ("2", {}), ("3", {"key": "k7"}), ("4", {"key": "new"}), ("5", {}), ("6", {"key": "k2999"})):
            ann.send("send", id=id, room="silent", text=id, **fields)
        answers = [ann.expect("ack") for _ in range(6)]
        equal([(a.re, a.seq, a.get("repeat", False)) for a in answers],
              [("1", 3001, False), ("2", 3002, False), ("3", 8, True), ("4", 3001, True), ("5", 3003, False), ("6", 3000, True)])
        equal([m.text for m in ann.take(3, room="silent")], ["1", "2", "5"])
        check(int(s.log.wait(event="keys-read")["keys"]) == 3000, "not all were read")
        press(s, ann, 2)
        equal(ann.ask("edit", room="silent", seq=3001, text="1!", key="e").seq, 3004)
        equal(ann.ask("edit", room="silent", seq=3001, text="1!", key="e").repeat, True)
        equal(ann.ask("leave", room="silent").type, "left")


def test_rooms_that_nobody_is_in(t):
    s = disk(t, threads=2)
    for room in ("one", "two", "three"):
        fill(s, 3, room, nick=room).close()
    ann = s.join("empty", "ann")
    ann.ask("topic", room="empty", text="nothing said")
    ann.close()
    s.stop()
    s = disk(t, threads=2)
    ann = s.join("two", "ann")
    lines, end = ann.ask_all("rooms")
    equal(sorted((r.room, r.members, r.seq, r.topic) for r in lines),
          [("empty", 0, 0, "nothing said"), ("one", 0, 3, ""), ("three", 0, 3, ""), ("two", 1, 3, "")])
    lines, end = ann.ask_all("rooms", prefix="t")
    equal((sorted(r.room for r in lines), end.count), (["three", "two"], 2))


def test_a_room_that_was_given_up(t):
    """Beyond max-rooms an empty room leaves memory; joined again, it is read from the disk."""
    s = disk(t, max_rooms=2, threads=1)
    epoch, closed = None, 0
    for _ in range(2):
        for room in ("a", "b", "c"):
            closed += 1
            c = s.connect("ann")
            joined = c.ask("join", room=room)
            epoch = epoch or joined.epoch
            c.say(room, "x")
            c.close()
            s.log.wait(event="close", count=closed)
            time.sleep(0.05)
    c = s.connect("ann")
    joined = c.ask("join", room="a", after=0)
    equal((joined.epoch, joined.seq), (epoch, 2))
    equal([m.seq for m in c.take(2)], [1, 2])


@seconds(60)
def test_behind_what_is_in_memory(t):
    """12 MB in a room: most of it is only on disk. Joining after, history and live delivery make one order."""
    s = disk(t, threads=2, max_out=65536)
    ann = s.join("general", "ann")
    for _ in range(60):
        for _ in range(100):
            ann.send("send", room="general", text="x" * 2000)
        ann.take(100, timeout=15.0)
    bob = s.connect("bob", rcvbuf=65536)
    equal(bob.ask("join", room="general", after=0).seq, 6000)
    for _ in range(20):
        ann.say("general", "live")
    equal([m.seq for m in bob.take(6020, timeout=20.0)], list(range(1, 6021)))
    for fields, first, last in (({"around": 3000, "limit": 11}, 2995, 3005), ({"before": 100, "limit": 5}, 95, 99),
                                ({"after": 0, "limit": 3}, 1, 3), ({"before": 4500, "limit": 10}, 4490, 4499)):
        lines, end = bob.ask_all("history", room="general", **fields)
        equal(([m.seq for m in lines], end.more), (list(range(first, last + 1)), True), str(fields))
    bob.quiet("gap")


def mount_small(path, size):
    os.makedirs(path)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], capture_output=True)
    if done.returncode != 0:
        raise Skip("a tmpfs can't be mounted here")


class Mounted:
    def __init__(self, path):
        self.path = path

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=False)


@seconds(60)
def test_full_disk(t):
    """Sends fail while it is full; who is acknowledged is kept, numbers have no hole, and it goes on by itself."""
    path = t.path("small")
    mount_small(path, "12m")
    t.keep(Mounted(path))
    s = t.server(data=path)
    ann, bob = s.join("general", "ann"), s.join("general", "bob")
    acked, failed = [], 0
    while not failed and len(acked) < 6000:
        a = ann.ask_any("send", room="general", text="x" * 4000)
        if a.type == "error":
            equal(a.code, "storage")
            failed += 1
        else:
            acked.append(a.seq)
    check(failed, "the disk did not fill up")
    ann.ask("ping")
    ann.ask("join", room="elsewhere")
    for _ in range(3):
        id = ann.new_id()
        for n in range(5):
            ann.send("send", id=f"{id}-{n}", room="general", text="y" * 4000)
        for n in range(5):
            a = ann.expect(re=f"{id}-{n}")
            acked += [a.seq] if a.type == "ack" else []
    equal(acked, list(range(1, len(acked) + 1)))
    s.log.wait(event="storage-failed")
    subprocess.run(["mount", "-o", "remount,size=64m", path], check=True)
    a = ann.say("general", "again")
    equal(a.seq, len(acked) + 1)
    s.log.wait(event="storage-again")
    equal([m.seq for m in bob.take(a.seq, timeout=15.0)], list(range(1, a.seq + 1)))
    kill(s)
    s = t.server(data=path)
    carol = s.connect("carol")
    equal(carol.ask("join", room="general").seq, a.seq)
    carol.close()
    s.stop()
    equal(run_chatd(t, "--data", path, "--check-data")[0], 0)


def fill_up(c, seq):
    """Sends until nothing more is kept; what was, the first of it behind seq."""
    acked = []
    while True:
        a = c.ask_any("send", room="general", text="x" * 4000)
        if a.type == "error":
            equal((a.code, acked), ("storage", list(range(seq + 1, seq + 1 + len(acked)))))
            return acked
        acked.append(a.seq)
        check(len(acked) < 2000, "there is no limit")


@seconds(60)
def test_keep_total(t):
    """A limit of our own works as a full disk does: sends fail, what is acknowledged is kept, it goes on when there is space, over
    a restart too; and what is let go of makes space."""
    s = disk(t, keep_total="2m")
    ann = s.join("general", "ann")
    acked = fill_up(ann, 0)
    check(len(acked) > 100, f"only {len(acked)} were taken")
    check("--keep-total" in s.log.wait(event="storage-failed")["todo"], "the log does not say what to do")
    ann.ask("join", room="elsewhere")
    kill(s)
    s = disk(t, keep_total="2m")
    bob = s.join("general", "bob")
    equal(kept_of(bob), acked)
    acked += fill_up(bob, len(acked))
    bob.close()
    s.stop()
    check(os.path.getsize(t.path("data/chatd.db")) < 4 << 20, "it has grown far beyond its limit")
    s = disk(t, keep_total="2m", keep_bytes=200_000)
    bob = s.join("general", "bob")
    acked += fill_up(bob, len(acked))
    wait_until(lambda: bob.ask_any("send", room="general", text="more").type == "ack", "it does not go on", timeout=20)
    bob.close()
    s.stop()
    s = disk(t, keep_total="4m")
    bob = s.join("general", "bob")
    equal(bob.say("general", "more").seq, len(acked) + 2)
    bob.close()
    s.stop()
    equal(run_chatd(t, "--data", t.path("data"), "--check-data")[0], 0)


def test_keys_of_what_failed(t):
    """A send that failed was not kept, so that its key is free: sent again it is new."""
    path = t.path("small")
    mount_small(path, "6m")
    t.keep(Mounted(path))
    s = t.server(data=path)
    ann = s.join("general", "ann")
    for n in range(6000):
        a = ann.ask_any("send", room="general", text="x" * 8000, key=f"k{n}")
        if a.type == "error":
            break
    equal((a.type, a.code), ("error", "storage"))
    subprocess.run(["mount", "-o", "remount,size=64m", path], check=True)
    a = ann.ask("send", room="general", text="x" * 8000, key=f"k{n}")
    equal((a.seq, "repeat" in a), (n + 1, False))


def damage(path):
    """Overwrites every page but the first one."""
    with open(path, "r+b") as f:
        size = os.fstat(f.fileno()).st_size
        f.seek(8192)
        f.write(os.urandom(size - 8192))


def test_corrupt_file(t):
    """--check-data sees it, and a server that is started on it says what to do and ends. (Of a file that is damaged while it
    serves: disk.py.)"""
    s = disk(t)
    ann = fill(s, 5)
    ann.close()
    s.stop()
    damage(t.path("data/chatd.db"))
    code, _, err = run_chatd(t, "--data", t.path("data"), "--check-data")
    equal(code, 4)
    check("backup" in err, err)
    code, _, err = run_chatd(t, "--data", t.path("data"), "--listen", "127.0.0.1:0")
    equal(code, 4)
    check("--check-data" in err, err)


def test_no_database(t):
    os.mkdir(t.path("data"))
    with open(t.path("data/chatd.db"), "wb") as f:
        f.write(b"this is no database" * 1000)
    code, _, err = run_chatd(t, "--data", t.path("data"), "--listen", "127.0.0.1:0")
    equal(code, 4)
    check(err.startswith("chatd: ") and "chatd.db" in err, err)


def test_newer_schema(t):
    s = disk(t)
    s.stop()
    with sqlite3.connect(t.path("data/chatd.db")) as db:
        db.execute("PRAGMA user_version = 1000")
    code, _, err = run_chatd(t, "--data", t.path("data"), "--listen", "127.0.0.1:0")
    equal(code, 4)
    check("newer" in err, err)


def test_an_older_inbox(t):
    """Up to version 3 of the schema the inbox had a row for each commit, and no end within: what such a chatd has left there,
    killed, is counted by --check-data, and kept by the next one that starts."""
    s = disk(t)
    ann = fill(s, 5)
    before = read_all(ann)
    kill(s)
    with sqlite3.connect(t.path("data/chatd.db")) as db:
        blob, = db.execute("SELECT parts FROM inbox").fetchone()
        ends = [end for _, _, _, end in database.parts(blob)]
        db.execute("DELETE FROM inbox")
        for row in (blob[:ends[0]], blob[ends[0]:ends[-1]]):
            db.execute("INSERT INTO inbox(parts) VALUES(?)", (row,))
        db.execute("PRAGMA user_version = 3")
    check_good(t, t.path("data"), 5)
    s = disk(t)
    equal(read_all(s.join("general", "bob")), before)
    equal(s.join("general", "carol").say("general", "m6").seq, 6)
    kill(s)
    check_good(t, t.path("data"), 6)


def test_what_is_old_in_the_inbox(t):
    """The inbox is written over in place: what stands behind its end was moved before, and is not there a second time."""
    s = disk(t)
    ann = fill(s, 20)
    wait_until(lambda: database.all_is_moved(t.path("data/chatd.db")), "what was said is in its place", timeout=10.0)
    equal(ann.say("general", "m21").seq, 21)
    equal(s.join("elsewhere", "bob").say("elsewhere", "first").seq, 1)
    kill(s)
    check_good(t, t.path("data"), 22)
    s = disk(t)
    equal([m[2] for m in read_all(s.join("general", "carol"))], [f"m{n}" for n in range(1, 22)])


def test_the_log_is_carried_over_beside_the_writer(t):
    """By the carrier, and the last of it by the writer: then it begins anew, and does not grow without end."""
    s = disk(t, log_level="debug", requests_per_second=1_000_000)
    ann = s.join("general", "ann")
    said = 0

    def whole(by):
        return [e for e in s.log.find(event="storage-carried", by=by) if e["pages"] == e["of"]]
    while len(whole("writer")) < 2:
        ann.say_much("general", 500)
        said += 500
        check(said < 60000, "the WAL is not carried over")
    check(len(whole("carrier")) >= 2, "the writer carries all of it over")
    check(os.path.getsize(t.path("data/chatd.db-wal")) < 52 << 20, "the WAL has grown and grown")
    kill(s)
    check_good(t, t.path("data"), said)


def test_one_server_a_directory(t):
    disk(t)
    code, _, err = run_chatd(t, "--data", t.path("data"), "--listen", "127.0.0.1:0")
    equal(code, 4)
    check("another chatd" in err, err)


@seconds(60)
def test_backup_while_running(t):
    s = disk(t)
    ann = fill(s, 50)
    code, out, err = run_chatd(t, "--data", t.path("data"), "--backup", t.path("copy.db"))
    equal(code, 0, err)
    before = read_all(ann)
    ann.say("general", "later")
    os.mkdir(t.path("other"))
    shutil.move(t.path("copy.db"), t.path("other/chatd.db"))
    equal(run_chatd(t, "--data", t.path("other"), "--check-data")[0], 0)
    equal(read_all(disk(t, "other").join("general", "bob")), before)
    equal(run_chatd(t, "--data", t.path("data"), "--check-data")[0], 0)


@seconds(60)
def test_backup_of_a_busy_server(t):
    """It began anew with every commit, once it was more than the 16 MiB that are copied at a time: and never ended."""
    s = disk(t, durability="process")
    ann = s.join("general", "ann")
    with sqlite3.connect(t.path("data/chatd.db")) as db:
        db.execute("CREATE TABLE ballast AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80)"
                   " SELECT zeroblob(1048576) FROM n")
    db.close()
    backup = subprocess.Popen([t.build / "chatd", "--data", t.path("data"), "--backup", t.path("copy.db")], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    try:
        while backup.poll() is None:
            check(time.monotonic() < deadline, "the backup does not end while something is being said")
            ann.say("general", "x")
            ann.inbox.clear()
    finally:
        backup.kill()
    equal(backup.wait(), 0)
    check(os.path.getsize(t.path("copy.db")) > 80 << 20, "the copy is not whole")
    equal(sorted(f for f in os.listdir(t.dir) if f.startswith("copy")), ["copy.db"])


@seconds(60)
def test_the_log_shrinks(t):
    """While somebody looks at the database for long, a backup for instance, its WAL grows; it did not shrink again."""
    s = disk(t, durability="process", search="off", requests_per_second=1_000_000)
    ann = s.join("general", "ann")
    wal = lambda: os.path.getsize(t.path("data/chatd.db-wal"))
    db = sqlite3.connect(t.path("data/chatd.db"), isolation_level=None)
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM rooms").fetchall()

    while wal() < 64 << 20:
        ann.say_much("general", 100, 8000)
    db.execute("COMMIT")
    db.close()

    def is_short():
        ann.say_much("general", 100, 8000)
        return wal() < 52 << 20
    wait_until(is_short, "the WAL is short again", timeout=15.0)
    ann.close()


def resume(c, epoch, seq):
    """As a client does that has come to seq: what it is given of the messages that came under numbers it has, if it finds the
    epoch that it knows; else all."""
    joined = c.ask("join", room="general")
    start = seq if joined.epoch == epoch else 0
    c.ask("join", room="general", after=start)
    return joined.epoch, [m.text for m in c.take(joined.seq - start)]


def test_a_backup_that_is_put_back(t):
    """What was said behind it is gone, and its numbers are given out again: under another epoch, or who had seen the first ones
    would drop the second ones as seen. How far accounts have read is still known, and it is done once."""
    s = disk(t)
    ann = fill(s, 3)
    bob = s.connect("bob")
    bob.ask("register", public_key="11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    bob.ask("join", room="general")
    bob.ask("read", room="general", seq=2)
    epoch = ann.ask("join", room="general").epoch
    equal(run_chatd(t, "--data", t.path("data"), "--backup", t.path("copy.db"))[0], 0)
    for n in range(4, 7):
        ann.say("general", f"lost {n}")
    ann.take(3)
    for c in (ann, bob):
        c.close()
    s.stop()
    marks = [m for m in facts(t) if m[0] == "read"]
    os.mkdir(t.path("other"))
    shutil.move(t.path("copy.db"), t.path("other/chatd.db"))
    s = disk(t, "other")
    check("copy" in s.log.wait(event="storage-new-epochs")["why"], "the log says why")
    carol, ann = s.join("general", "carol"), s.connect("ann")
    for n in range(4, 9):
        carol.say("general", f"new {n}")
    new, got = resume(ann, epoch, 6)
    equal((new > epoch, got), (True, ["m1", "m2", "m3", "new 4", "new 5", "new 6", "new 7", "new 8"]))
    after = [m for m in facts(t, "other") if m[0] == "read"]
    equal([m[2].replace(str(new).encode(), str(epoch).encode()) for m in after], [m[2] for m in marks])
    for c in (carol, ann):
        c.close()
    s.stop()
    s = disk(t, "other")
    equal(s.join("general", "ann").ask("join", room="general").epoch, new)
    equal(s.log.find(event="storage-new-epochs"), [])


def test_the_machine_has_stopped(t):
    """With --durability process the last of what was acknowledged may be gone then; not after kill -9 alone, nor after an end."""
    def epoch_of(**options):
        s = disk(t, **options)
        bob = s.connect("bob")
        epoch = bob.ask("join", room="general").epoch
        bob.close()
        return s, epoch

    s = disk(t, durability="process")
    ann = fill(s, 3)
    epoch = ann.ask("join", room="general").epoch
    kill(s)
    s, again = epoch_of(durability="process")
    equal(again, epoch)
    kill(s)
    with sqlite3.connect(t.path("data/chatd.db")) as db:
        equal(db.execute("UPDATE facts SET value = 'another' WHERE kind = 'server' AND key = CAST('boot' AS BLOB)").rowcount, 1)
    db.close()
    s, new = epoch_of()  # with --durability power: what was before it may be missing all the same
    check(new > epoch, "the same epoch, though messages may be gone")
    check("stopped" in s.log.find(event="storage-new-epochs")[0]["why"], "the log says why")
    s.stop()
    equal([f for f in facts(t) if bytes(f[1]) == b"boot"], [])
    s, again = epoch_of(durability="process")
    equal(again, new)
    s.stop()
    equal([f for f in facts(t) if bytes(f[1]) == b"boot"], [])


def kept_of(c, room="general"):
    lines, end = c.ask_all("history", room=room, after=0, limit=1000)
    if lines and lines[0].type == "gap":
        equal(lines[0]["from"], 1)
        lines.pop(0)
    while end.more:
        more, end = c.ask_all("history", room=room, after=lines[-1].seq, limit=1000)
        lines += more
    return [m.seq for m in lines]


def stored(t, name="data"):
    with sqlite3.connect(t.path(name + "/chatd.db")) as db:
        return db.execute("SELECT coalesce(sum(count), 0) FROM messages").fetchone()[0]


@seconds(60)
def test_retention(t):
    """By number, size and age: old ones go, the newest stay, and what is gone is a gap for who asks."""
    rules = {"number": {"keep_messages": 100}, "size": {"keep_bytes": 40_000}, "age": {"keep_seconds": 2}}
    running = {name: disk(t, name, **option) for name, option in rules.items()}
    anns = [s.join("general", "ann") for s in running.values()]
    for n in range(20):
        for ann in anns:
            for _ in range(25):
                ann.send("send", room="general", text="x" * 200)
            ann.take(25)
        if n % 4 == 0:
            time.sleep(1.1)  # so that rows are made of it
    for ann in anns:
        ann.close()
    for name, option in rules.items():
        wait_until(lambda: stored(t, name) < 400, f"{name}: {stored(t, name)} are still kept", timeout=15)
        running[name].stop()
        s = disk(t, name, **option)
        bob = s.join("general", "bob")
        kept = kept_of(bob)
        check(len(kept) < 400 and kept == list(range(kept[0], 501)), f"{name}: {kept}")
        if name == "number":
            check(len(kept) >= 100, f"only {len(kept)} are kept")
        equal(bob.say("general", "on").seq, 501)
        bob.close()
        s.stop()
        equal(run_chatd(t, "--data", t.path(name), "--check-data")[0], 0)


def test_durability_process(t):
    s = disk(t, durability="process")
    before = read_all(fill(s, 10))
    kill(s)
    equal(read_all(disk(t, durability="process").join("general", "bob")), before)


def test_order_around_leaving(t):
    """What one says before he leaves comes before his leaving, though it has to be kept first."""
    s = disk(t, threads=2)
    ann, bob = s.join("general", "ann"), s.join("general", "bob")
    for n in range(20):
        bob.send("send", id="s", room="general", text=f"m{n}")
        bob.send("leave", id="l", room="general")
        bob.send("join", id="j", room="general")
        equal([bob.expect(re=r).type for r in ("s", "l", "j")], ["ack", "left", "joined"])
        got = []
        while len(got) < 2:
            line = ann.next()
            if line.type == "msg" or line.event == "leave":
                got.append(line.type)
        equal(got, ["msg", "presence"])


def facts(t, name="data"):
    with sqlite3.connect(t.path(name + "/chatd.db")) as db:
        return db.execute("SELECT kind, key, CAST(value AS BLOB) FROM facts ORDER BY kind, key").fetchall()


def test_facts_are_checked_and_copied(t):
    """Accounts and the like: in a copy that is taken while chatd runs, and seen where they are damaged."""
    s = disk(t)
    s.join("general", "ann").say("general", "x")
    with sqlite3.connect(t.path("data/chatd.db")) as db:
        db.execute("INSERT INTO facts VALUES('test', 'one', '{\"a\":1}')")
    before = facts(t)
    equal(run_chatd(t, "--data", t.path("data"), "--backup", t.path("copy.db"))[0], 0)
    equal([os.stat(t.path(f)).st_mode & 0o777 for f in ("copy.db", "data/chatd.db", "data/chatd.db-wal")], [0o600] * 3)
    os.mkdir(t.path("other"))
    shutil.move(t.path("copy.db"), t.path("other/chatd.db"))
    equal(facts(t, "other"), before)
    code, out, err = run_chatd(t, "--data", t.path("other"), "--check-data")
    equal((code, err), (0, ""))
    check(f"1 messages in 1 rooms, {len(before)} facts" in out, out)
    for value in ('{"a":', "1", "[]", "{}x"):
        with sqlite3.connect(t.path("other/chatd.db")) as db:
            db.execute("UPDATE facts SET value = ? WHERE kind = 'test'", (value,))
        code, out, err = run_chatd(t, "--data", t.path("other"), "--check-data")
        equal((code, out), (4, ""), value)
        check('test "one"' in err and "1 faults" in err, err)
    code, _, err = run_chatd(t, "--data", t.path("nowhere"), "--check-data")
    equal(code, 4)
    check("--data DIR" in err, err)


def test_a_hole_is_found(t):
    """--check-data follows a room from its rows into what is not moved there yet."""
    s = disk(t)
    ann = fill(s, 5)
    kill(s)  # so that it is all in the inbox
    s = disk(t)
    ann = s.join("general", "ann")
    equal(ann.say("general", "m6").seq, 6)
    kill(s)
    equal(run_chatd(t, "--data", t.path("data"), "--check-data")[0], 0)
    with sqlite3.connect(t.path("data/chatd.db")) as db:
        equal(db.execute("SELECT sum(count) FROM messages").fetchone()[0], 5)
        db.execute("UPDATE messages SET id = id - 1")
    code, _, err = run_chatd(t, "--data", t.path("data"), "--check-data")
    equal(code, 4)
    check("seq 6: messages before it are missing" in err, err)
