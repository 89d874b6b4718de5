"""search.py: finding what was said: which words match, in which order, of which rooms; in memory, on disk, and over what
happens to a disk."""
import re
import signal
import sqlite3
import time

import database
from lib import SCALE, check, equal, run_chatd, seconds, wait_until
from lib.chat import Terminal
from lib.login import login, verifiers


def disk(t, name="data", **options):
    return t.server(data=t.path(name), **options)


def kill(s):
    s.clean = False
    s.signal(signal.SIGKILL)
    s.wait()


def find(c, query, **fields):
    """The messages found, as (room, seq), over all pages; each page checked for its form."""
    found, next = [], {}
    for _ in range(1000):
        lines, end = c.ask_all("search", query=query, **fields, **next)
        equal((end.count, end.more), (len(lines), "next" in end))
        check(all(m.type == "msg" for m in lines), lines)
        found += [(m.room, m.seq) for m in lines]
        if not end.more:
            return found
        next = {"next": end.next}
    raise AssertionError("the search does not end")


def seqs(c, query, **fields):
    return [seq for _, seq in find(c, query, **fields)]


def both_stores(func):
    """In memory, on disk while all is in the inbox, and on disk once it is indexed."""
    def run(t):
        for how in ("memory", "inbox", "index"):
            s = t.server() if how == "memory" else disk(t, how)
            func(t, s, (lambda: wait_indexed(t, "index")) if how == "index" else (lambda: None))
            kill(s)
    run.__name__ = func.__name__
    return run


def wait_indexed(t, name="data", room=1):
    """Until all that was said in that room is in the index, and nothing in the inbox."""
    def is_indexed():
        db = sqlite3.connect(t.path(name) + "/chatd.db")
        try:
            last, = db.execute("SELECT coalesce(max(id + count - 1) & 0xffffffffff, 0) FROM messages WHERE id >> 40 = ?", (room,)).fetchone()
            row = db.execute("SELECT low, high FROM indexed WHERE room = ?", (room,)).fetchone()
            return database.all_is_moved(t.path(name) + "/chatd.db") and row is not None and row[0] <= 1 and row[1] == last
        finally:
            db.close()
    wait_until(is_indexed, "an index", timeout=10.0)


SAID = [
    "Hello, World",                          # 1
    "the world says hello",                  # 2
    "全文検索エンジンを作る",                 # 3
    "我们用中文搜索消息",                     # 4
    "中，文",                                 # 5
    "un Café s'il vous plaît",               # 6
    "ＦＵＬＬ ｗｉｄｔｈ and ｴﾝｼﾞﾝ",           # 7
    "quotes \" and \\ back and AND OR NOT",  # 8
    "NEAR(a b) column:filter pre* -minus ^", # 9
    "문서를 검색합니다",                       # 10
    "Привет, Мир",                           # 11
    "good night 🙂",                         # 12
    "line one\nline two",                    # 13
    "state-of-the-art",                      # 14
]

LOOKED_FOR = {
    "hello": [2, 1], "HELLO world": [2, 1], '"hello world"': [1], '"world says"': [2], "hello nobody": [],
    "hell": [], "検索": [3], "エンジン": [7, 3], "ｴﾝｼﾞﾝ": [7, 3], "中文": [4], "文": [5, 4, 3], "搜索": [4], "索中": [],
    "中文搜索": [4], "消息 搜索": [4], "cafe": [6], "CAFÉ": [6], "plait": [6], "full width": [7], "ｆｕｌｌ": [7], "검색": [10],
    "привет": [11], "МИР привет": [11], "🙂": [12], '"one line"': [13], "line": [13], "art state": [14], "state-of": [14],
    "of-state": [], '"': None, "*": None, "AND": [8, 7], "and or not": [8], "NEAR(a b)": [9], "NEAR(b a)": [], "column:filter": [9],
    "pre*": [9], "-minus": [9], "a\" OR \"b": [], "quotes\"\"": [8], "');DROP TABLE words;--": [], "{terms}: x": [], "^": None,
    "words MATCH 'x'": [], "\u0000": None, "\\": None, "terms:hello": [],
}


@both_stores
def test_what_matches(t, s, indexed):
    c = s.join("general", "ann")
    for text in SAID:
        c.say("general", text)
    indexed()
    for query, wanted in LOOKED_FOR.items():
        if wanted is None:
            equal(c.refused("search", "bad_request", query=query).field, "query", repr(query))
        else:
            equal(seqs(c, query), wanted, repr(query))
            equal(seqs(c, query, room="general", limit=1), wanted, repr(query))
    lines, _ = c.ask_all("search", query="café")
    live = [m for m in c.take(len(SAID)) if m.seq == 6][0]
    equal({k: v for k, v in lines[0].items() if k != "re"}, dict(live))


@both_stores
def test_rooms(t, s, indexed):
    """Only of rooms that one is in; of several, by time."""
    ann, bob = s.join("one", "ann"), s.join("two", "bob")
    ann.ask("join", room="two")
    for n in range(6):
        (ann if n % 2 == 0 else bob).say("one" if n % 2 == 0 else "two", f"word {n}")
        time.sleep(0.002)
    indexed()
    everything = [("two", 3), ("one", 3), ("two", 2), ("one", 2), ("two", 1), ("one", 1)]
    equal(find(ann, "word"), everything)
    equal(find(ann, "word", limit=1), everything)
    equal(find(ann, "word", limit=4), everything)
    equal(find(ann, "word", room="one"), [m for m in everything if m[0] == "one"])
    equal(find(bob, "word"), [m for m in everything if m[0] == "two"])
    bob.refused("search", "not_member", query="word", room="one")
    ann.ask("leave", room="one")
    equal(find(ann, "word"), [m for m in everything if m[0] == "two"])
    _, end = s.connect("carol").ask_all("search", query="word")
    equal((end.count, end.more), (0, False))
    # a `next` of somebody else's rooms opens nothing
    _, end = bob.ask_all("search", query="word", limit=1)
    lines, end = s.connect("dave").ask_all("search", query="word", next=end.next)
    equal((lines, end.more), ([], False))


@both_stores
def test_changes(t, s, indexed):
    """What was edited is found by what it says now, what was removed is not."""
    c = s.join("general", "ann")
    for n in range(1, 6):
        c.say("general", f"apple {n}")
    indexed()
    c.ask("edit", room="general", seq=2, text="pear two")      # 6
    c.ask("remove", room="general", seq=3)                     # 7
    c.ask("edit", room="general", seq=4, text="pear four")     # 8
    c.ask("edit", room="general", seq=4, text="plum four")     # 9
    c.ask("edit", room="general", seq=5, text="pear five")     # 10
    c.ask("remove", room="general", seq=5)                     # 11
    c.ask("edit", room="general", seq=5, text="pear again")    # 12: it is gone all the same
    for _ in range(2):
        equal(seqs(c, "apple"), [1])
        equal(seqs(c, "pear"), [6])
        equal(seqs(c, "plum"), [9])
        equal(seqs(c, "apple", limit=1), [1])
        indexed()


@both_stores
def test_paging(t, s, indexed):
    """Pages repeat nothing and lose nothing, whatever is said meanwhile."""
    c, other = s.join("general", "ann"), s.join("general", "bob")
    for n in range(1, 301):
        c.say("general", "even and odd" if n % 2 == 0 else "odd")
    indexed()
    for query, step in (("odd", 1), ("even", 2), ("even odd", 2)):
        found, next, newest = [], {}, other.ask("join", room="general").seq
        wanted = [n for n in range(newest, 0, -1) if n > 300 or n % step == 0]
        while True:
            lines, end = c.ask_all("search", query=query, limit=7, **next)
            found += [m.seq for m in lines]
            if not end.more:
                break
            next = {"next": end.next}
            other.say("general", "odd and even")
        equal(found, wanted)


def test_errors(t):
    c = t.server().join("general", "ann")
    for value in (0, -1, 101, 1.5, "5", None):
        equal(c.refused("search", "bad_request", query="x", limit=value).field, "limit")
    for value in (None, 1, "", ["x"]):
        equal(c.refused("search", "bad_request", query=value).field, "query")
    equal(c.refused("search", "bad_request").field, "query")
    equal(c.refused("search", "too_long", query="x" * 513).field, "query")
    for value in ("x", "1:", ":1", "1:1,2:2", "11112222333344445:1", "1:1 ", "\u0000", 5):
        equal(c.refused("search", "bad_request", query="x", next=value).field, "next", repr(value))
    equal(c.refused("search", "too_long", query="x", next="1" * 8193).field, "next")
    c.refused("search", "bad_room", query="x", room="No Room")
    c.refused("search", "account_needed", query="x", room="@bob")
    t.server().connect().refused("search", "hello_first", query="x")
    s = t.server(search="off")
    s.join("general", "ann").refused("search", "search_off", query="x")


@seconds(60)
def test_over_restarts(t):
    s = disk(t)
    c = s.join("general", "ann")
    for n in range(50):
        c.say("general", f"before {n}")
    kill(s)
    s = disk(t)
    c = s.join("general", "ann")
    equal(seqs(c, "before", limit=30), list(range(50, 0, -1)))
    for n in range(50):
        c.say("general", f"before and after {n}")
    wait_indexed(t)
    kill(s)
    s = disk(t)
    c = s.join("general", "ann")
    equal(seqs(c, "before", limit=30), list(range(100, 0, -1)))
    equal(seqs(c, "after 7"), [58])
    c.close()
    s.stop()
    code, out, err = run_chatd(t, "--data", t.path("data"), "--check-data")
    check(code == 0 and "good: 100 messages in 1 rooms" in out, out + err)


def make_old(t, count):
    """A database of before there was an index."""
    s = disk(t)
    c = s.join("general", "ann")
    for n in range(1, count + 1):
        c.send("send", room="general", text=f"number {n}, some words")
        if n % 500 == 0:
            c.take(500, timeout=15.0)
    c.close()
    s.stop()
    db = sqlite3.connect(t.path("data") + "/chatd.db")
    db.executescript("DROP TABLE words; DROP TABLE indexed; DROP TABLE changes; PRAGMA user_version=2")
    db.close()


@seconds(60)
def test_an_older_database(t):
    """Of a database that has no index everything is found from the first moment on, by looking; and the index fills by itself."""
    make_old(t, 5000)
    s = disk(t)
    c = s.join("general", "ann")
    equal(seqs(c, "77 some"), [77])
    wait_indexed(t)
    equal(seqs(c, "number 4077"), [4077])
    equal(seqs(c, "some words", limit=100), list(range(5000, 0, -1)))


@seconds(60)
def test_search_off_and_on(t):
    s = disk(t)
    c = s.join("general", "ann")
    c.say("general", "one fish")
    wait_indexed(t)
    kill(s)
    s = disk(t, search="off")
    s.join("general", "bob").say("general", "two fish")
    kill(s)
    s = disk(t)
    c = s.join("general", "ann")
    equal(seqs(c, "fish"), [2, 1])
    wait_indexed(t)
    equal(seqs(c, "fish"), [2, 1])


@seconds(60)
def test_retention(t):
    """What is let go of leaves the index too: what is left has no word of it."""
    s = disk(t, keep_messages=100)
    c = s.join("general", "ann")
    for n in range(1, 1001):
        c.send("send", room="general", text=f"number{n} tail " + "x" * 900)
        if n % 100 == 0:
            c.take(100, timeout=15.0)
    wait_indexed_to_end(t)

    def oldest():
        db = sqlite3.connect(t.path("data") + "/chatd.db")
        try:
            return db.execute("SELECT min(id) & 0xffffffffff FROM messages").fetchone()[0]
        finally:
            db.close()
    wait_until(lambda: oldest() > 800, "what is old is gone", timeout=20.0)
    first = oldest()
    equal(seqs(c, "number5"), [])
    equal(seqs(c, f"number{first + 10}"), [first + 10])
    found = seqs(c, "tail", limit=100)
    check(found[-1] >= first and found == list(range(found[0], found[-1] - 1, -1)), found)
    c.close()
    s.stop()
    code, out, err = run_chatd(t, "--data", t.path("data"), "--check-data")
    equal(code, 0, out + err)


def wait_indexed_to_end(t):
    def is_indexed():
        db = sqlite3.connect(t.path("data") + "/chatd.db")
        try:
            row = db.execute("SELECT high FROM indexed").fetchone()
            return row is not None and row[0] >= 1000
        finally:
            db.close()
    wait_until(is_indexed, "an index", timeout=10.0)


def test_many_at_once(t):
    """Searches of many connections are answered, each in full, while others talk."""
    s = disk(t, threads=2)
    talker = s.join("general", "talker")
    for n in range(500):
        talker.say("general", f"common word {n}")
    clients = [s.join("general", f"c{n}") for n in range(30)]
    for c in clients:
        for n in range(3):
            c.send("search", query="common word", id=f"s{n}")
    talker.say("general", "meanwhile")
    for c in clients:
        for n in range(3):
            last = None
            while last is None or last.type == "msg":
                last = c.expect(re=f"s{n}", timeout=10.0)
            equal((last.type, last.get("count")), ("end", 20))


def test_on_a_terminal(t):
    s = t.server()
    bob = s.join("general", "bob")
    for n in range(1, 31):
        bob.say("general", f"the Word {n} of thirty")
    bob.say("general", "中文搜索，搜索")
    ann = Terminal(t, "-n", "ann", f"127.0.0.1:{s.port}", rows=50, env={"NO_COLOR": "1"})
    ann.expect("you are in general")
    ann.type("/more")
    ann.expect("/search WORDS comes first")
    ann.type("/search \"of thirty\" WORD")
    ann.expect(re.compile(r"^\d\d:\d\d \[general #30\] bob: the \*Word\* 30 \*of thirty\*$", re.M))
    ann.expect("there may be more: /more goes on")
    ann.type("/more")
    ann.expect(re.compile(r"^\d\d:\d\d \[general #1\] bob: the \*Word\* 1 \*of thirty\*$", re.M))
    ann.expect("that is all")
    ann.type("/search 搜索")
    ann.expect("[general #31] bob: 中文*搜索*，*搜索*")
    ann.type("/search nothing like that")
    ann.expect("nothing in your rooms has these words")
    ann.type("/quit")
    ann.ended()


@seconds(60)
def test_a_damaged_index(t):
    """Nothing but searches fails; --check-data says what to do, and the server makes the index anew by itself."""
    s = disk(t)
    c = s.join("general", "ann")
    for n in range(300):
        c.say("general", f"message {n}")
    wait_indexed(t)
    kill(s)
    db = sqlite3.connect(t.path("data") + "/chatd.db")
    for key, block in db.execute("SELECT id, block FROM words_data WHERE id > 10").fetchall():
        db.execute("UPDATE words_data SET block = ? WHERE id = ?", (b"\xff" * len(block), key))
    db.commit()
    db.close()
    code, out, err = run_chatd(t, "--data", t.path("data"), "--check-data")
    check(code == 4, (code, out, err))
    s = disk(t)
    c = s.join("general", "ann")
    c.say("general", "message 300")
    lines = c.ask_any("search", query="message 7")
    check(lines.type in ("error", "end"), lines)
    s.log.wait(event="search-index")
    wait_until(lambda: c.ask_any("search", query="message 7").type == "msg", "an index made anew", timeout=15.0)
    wait_indexed(t)
    equal(seqs(c, "message 7"), [8])
    c.close()
    s.stop()
    equal(run_chatd(t, "--data", t.path("data"), "--check-data")[0], 0)


def test_an_index_that_does_not_open(t):
    """Damage to what the index begins with kept chatd from starting, though no message was concerned."""
    s = disk(t)
    c = s.join("general", "ann")
    c.say("general", "a red fish")
    wait_indexed(t)
    kill(s)
    db = sqlite3.connect(t.path("data") + "/chatd.db")
    equal(db.execute("UPDATE words_data SET block = x'0000000003ffffffff' WHERE id = 10").rowcount, 1)  # its structure
    db.commit()
    db.close()
    s = disk(t)
    c = s.join("general", "ann")
    equal(seqs(c, "fish"), [1])
    check(s.log.wait(event="search-index")["todo"].startswith("nothing"), "what is to be done")
    wait_indexed(t)
    equal(seqs(c, "fish"), [1])
    c.close()
    s.stop()
    equal(run_chatd(t, "--data", t.path("data"), "--check-data")[0], 0)


VERIFIERS = verifiers("correct horse")


def come(s, nick):
    """A connection of that account, registered first where it is not there yet."""
    c = s.connect()
    if c.ask_any("hello", version=1, nick=nick).type == "welcome":
        c.ask("register", **VERIFIERS)
        return c
    equal(login(c, nick, "correct horse").type, "authenticated")
    c.hello(nick)
    return c


@both_stores
def test_direct_conversations(t, s, indexed):
    """An account finds what was said to it and by it directly, under the other's nick, and nobody else does."""
    ann, bob, carol = come(s, "ann"), come(s, "bob"), come(s, "carol")
    for c in (ann, bob, carol):
        c.ask("join", room="general")
    ann.say("@bob", "a secret word")
    time.sleep(0.002)
    bob.say("@ann", "another word")
    time.sleep(0.002)
    carol.say("general", "an open word")
    time.sleep(0.002)
    carol.say("@ann", "carol's word")
    indexed()
    equal(find(ann, "word"), [("@carol", 1), ("general", 1), ("@bob", 2), ("@bob", 1)])
    equal(find(bob, "word", limit=1), [("general", 1), ("@ann", 2), ("@ann", 1)])
    equal(find(carol, "word"), [("@ann", 1), ("general", 1)])
    equal(find(ann, "word", room="@BOB", limit=1), [("@bob", 2), ("@bob", 1)])
    equal(find(ann, "word", room="@nobody"), [])
    equal(find(carol, "word", room="@bob"), [])
    equal(find(s.join("general", "gus"), "word"), [("general", 1)])
    equal(ann.refused("search", "bad_request", query="word", room="@ann").field, "room")
    lines, _ = ann.ask_all("search", query="secret")
    equal((lines[0].nick, lines[0].text), ("ann", "a secret word"))

@seconds(60)
def test_every_place_in_memory(t):
    """Each message is looked at, however many there are: the piece looked through at a time has no seam."""
    s = t.server(history=1000)
    ann = s.join("general", "ann")
    for n in range(1, 200):
        ann.say("general", f"word{n}")
        equal(seqs(ann, f"word{n}"), [n])
    equal(seqs(ann, "word1"), [1])


@seconds(60)
def test_much_text_in_memory(t):
    """Many long messages in many rooms: a search of them all gives the others their turn, and comes to every one in the end."""
    s = t.server(threads=1, requests_per_second=1000000)
    ann, bob = s.connect("ann"), s.connect("bob")
    for n in range(60):
        ann.ask("join", room=f"r{n}")
        ann.say(f"r{n}", "needle")
        for _ in range(60):
            ann.send("send", room=f"r{n}", text="hay in" * 1300)
        ann.sync()
        ann.inbox.clear()
    for query in ("nothing", "needle"):
        waited = []
        for n in range(3):  # what else the machine does may take its time, but not each time
            ann.send("search", query=query, id=f"{query}{n}")
            start = time.monotonic()
            bob.sync()
            waited.append(time.monotonic() - start)
            ann.expect("end", re=f"{query}{n}")
        check(min(waited) < 0.2 * SCALE, "bob waited", waited)
    ann.inbox.clear()
    equal(sorted(find(ann, "needle", limit=100)), sorted((f"r{n}", 1) for n in range(60)))


@seconds(60)
def test_a_damaged_index_and_retention(t):
    """What is let go of is taken out of the index: where that is damaged it is made anew, and letting go goes on."""
    s = disk(t)
    c = s.join("general", "ann")
    for n in range(4):
        for _ in range(50):
            c.send("send", room="general", text="message " + "x" * 1000)
        c.take(50)
    wait_indexed(t)
    kill(s)
    db = sqlite3.connect(t.path("data") + "/chatd.db")
    equal(db.execute("UPDATE words_data SET block = x'ffffffffffff' WHERE id = 1").rowcount, 1)  # its totals
    db.commit()
    s = disk(t, keep_messages=20)
    s.log.wait(event="search-index")
    wait_until(lambda: db.execute("SELECT sum(count) FROM messages").fetchone()[0] < 200, "it lets go", timeout=15.0)
    db.close()
    check(len(s.log.find(event="storage-retain")) < 2, "it says so again and again")
