"""malformed.py: bad input of all kinds. Each bad line gets the right error, and the connection lives on."""
import json
import random

from lib import both, check, equal, seconds

SANITIZERS = (b"__asan_init", b"__tsan_init")
BIG = 9007199254740992  # 2^53

BAD_VALUES = [
    # numbers
    b"01", b"-", b"+1", b".5", b"1.", b"1e", b"1e+", b"0x10", b"1_000", b"--1", b"1.e5", b"00", b"-01",
    # words
    b"NaN", b"Infinity", b"-Infinity", b"True", b"nul", b"nulll", b"undefined", b"x", b"'x'", b"", b"/*c*/1", b"1//c",
    # arrays and objects
    b"[", b"]", b"[1,]", b"[,1]", b"[1 2]", b"[1", b"[}", b"{", b"{]", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{"a" 1}',
    b"{a:1}", b"{1:2}", b'{"a":1]',
    # strings
    b'"', b'"x', b'"\\"', b'"\\', b'"\\x"', b'"\\0"', b"\"\\'\"", b'"\\u"', b'"\\u12"', b'"\\u12g4"', b'"\\U0041"',
    b'"a""b"',
]

BAD_BYTES = [
    b"\x80", b"\xbf", b"\xc3\xa9\xa9",                                             # no start
    b"\xc2", b"\xc2x", b"\xe2\x82", b"\xe2\x82x", b"\xf0\x9f\x8e",                # no end
    b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xf0\x80\x80\x80",  # longer than need be
    b"\xed\xa0\x80", b"\xed\xbf\xbf",                                             # halves of surrogate pairs
    b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfe", b"\xff",  # beyond Unicode
    b"caf\xe9", b"\xa4\xe9\xb3\xe6",                                               # other encodings
]


def obj(**fields):
    return json.dumps(fields).encode()


def bad_json():
    """Lines that are no JSON object."""
    good = b'{"type":"ping","data":"x"}'
    yield from (good[:n] for n in range(1, len(good)))              # cut off at every byte
    yield from (b"[]", b"[{}]", b'"x"', b"5", b"null", b"true", b" ", b"hello", b"{}{}", b"{},", b"}", b"{]")
    yield from (good + tail for tail in (b" x", b"{}", b",", b"}", b"]", b"\x00", b"//", b" 5"))
    for value in BAD_VALUES:
        yield b'{"type":"ping","data":' + value + b"}"
    for c in [*range(0, 10), *range(11, 32)]:                      # raw control characters in a string
        yield b'{"type":"ping","data":"a' + bytes([c]) + b'b"}'
    for c in (0, 1, 8, 9, 11, 12, 13, 27, 31):                     # and between the parts
        yield b'{"type":"ping",' + bytes([c]) + b'"data":1}'
    yield from (b'{"type":"ping",,"data":1}', b'{,"type":"ping"}', b'{"type":"ping",}', b'{"type":"ping";"data":1}',
                b'{"type"="ping"}', b'{"type":"ping" "data":1}', b"{type:'ping'}", b"\xef\xbb\xbf" + good,
                b'{"type":"ping","data":"x"', b'{"type":"ping\\","data":"x"}', b'{"ty\\pe":"ping"}',
                b'{"type":"ping"}}')


def bad_utf8():
    for text in BAD_BYTES:
        yield b'{"type":"ping","data":"' + text + b'"}'
        yield b'{"type":"send","room":"general","text":"ok ' + text + b' ok"}'
    yield from (b"\xff\xfe{\x00}\x00", b'{"\xff":1}', b"\x80", b'{"type":"pi\xffng"}')
    yield from (b'{"type":"ping","data":"' + e + b'"}' for e in
                (b"\\ud83c", b"\\udf89", b"\\udf89\\ud83c", b"\\ud83cx", b"\\ud83c\\u0041", b"\\ud83c\\n"))


def too_deep():
    for n in (16, 17, 40, 500, 5000):
        yield b'{"type":"ping","data":' + b"[" * n + b"]" * n + b"}"
    for n in (16, 100, 1500):
        yield b'{"type":"ping","data":' + b'{"a":' * n + b"1" + b"}" * n + b"}"
        yield b'{"x":' + b'[{"a":' * n + b"1" + b"}]" * n + b',"type":"ping"}'
    yield b'{"type":"ping","data":' + b"[" * 8000                   # and it never ends
    yield b'{"type":"ping","data":' + b'{"a":' * 2000


def too_long():
    for n in (16385, 16386, 20_000, 65_536, 300_000):
        yield b'{"type":"ping","data":"' + b"x" * (n - 26) + b'"}'  # n bytes with the LF
    yield b"x" * 16384
    yield b"\xff" * 40_000
    yield b"[" * 40_000
    yield b"\x00" * 40_000


def bad_request():
    """(line, field)"""
    for type in (None, 5, True, [], {}):
        yield obj(type=type), "type"
    yield b"{}", "type"
    yield b'{"Type":"ping"}', "type"
    for id in (None, 5, True, [], {}, "", "x" * 65):
        yield obj(type="ping", id=id), "id"
    yield b'{"type":"ping","id":"a","id":"b"}', "id"
    yield b'{"type":"ping","type":"ping"}', "type"
    yield b'{"type":"ping","type":"send","room":"general","text":"x"}', "type"
    yield b'{"type":"send","room":"general","text":"a","text":"b"}', "text"
    yield b'{"type":"send","room":"general","room":"general","text":"a"}', "room"
    yield b'{"type":"send","room":"general","te\\u0078t":"a","text":"b"}', "text"
    for value in (None, 5, True, [], {}):
        yield obj(type="send", room="general", text=value), "text"
        yield obj(type="send", room=value, text="x"), "room"
        yield obj(type="join", room=value), "room"
        yield obj(type="topic", room="general", text=value), "text"
        yield obj(type="who", room=value), "room"
        yield obj(type="send", room="general", text="x", key=value), "key"
    for value in (None, "5", True, [], {}, -1, 1.5, BIG, 2**63, 2**64, 10**30):
        yield obj(type="join", room="general", after=value), "after"
        yield obj(type="history", room="general", limit=value), "limit"
        yield obj(type="history", room="general", before=value), "before"
    for number in (b"1e3", b"1.0", b"1E400", b"-9007199254740992", b"9" * 400):
        yield b'{"type":"history","room":"general","after":' + number + b"}", "after"


def unknown_type():
    for type in ("", "Ping", "PING", "ping ", "msg", "welcome", "error", "pong", "x" * 5000, "\u0000", "ping\u0000",
                 "日本", "x" + "é" * 100, "\u001b[31m\n"):
        yield json.dumps({"type": type}, ensure_ascii=False).encode()


def others():
    """(line, code)"""
    for room in ("General", "", "a b", "x" * 65, "räume", "@", "@ ", "a\u0000"):
        yield obj(type="join", room=room), "bad_room"
        yield obj(type="send", room=room, text="x"), "bad_room"
    yield obj(type="send", room="elsewhere", text="x"), "not_member"
    yield obj(type="send", room="@nobody", text="x"), "no_such_nick"
    yield obj(type="hello", version=1, nick="bob"), "already"


def all_bad():
    """Every bad line as (line, code, further fields)."""
    yield from ((line, "bad_json", {}) for line in bad_json())
    yield from ((line, "bad_utf8", {}) for line in bad_utf8())
    yield from ((line, "too_deep", {"max": 16}) for line in too_deep())
    yield from ((line, "too_long", {"max": 16384}) for line in too_long())
    yield from ((line, "bad_request", {"field": field}) for line, field in bad_request())
    yield from ((line, "unknown_type", {}) for line in unknown_type())
    yield from ((line, code, {}) for line, code in others())
    yield obj(type="send", room="general", text="x" * 8193), "too_long", {"field": "text", "max": 8192}


def expect_error(c, line, code, fields):
    e = c.next()
    what = f"{line[:100]!r} ({len(line)} bytes): {dict(e)}"
    equal((e.type, e.get("code")), ("error", code), what)
    for name, value in fields.items():
        equal(e.get(name), value, what)
    check(isinstance(e.text, str) and e.text, what)
    check("re" not in e, what)


@both
@seconds(60)
def test_each_bad_line(t):
    s = t.server()
    c = s.join("general", "ann")
    bad = list(all_bad())
    check(len(bad) >= 300, f"only {len(bad)} bad lines")
    for line, code, fields in bad:
        c.raw(line + b"\n")
        expect_error(c, line, code, fields)
    c.say("general", "still here")
    equal(c.expect("msg").seq, 1)


@both
@seconds(60)
def test_all_bad_lines_in_pieces(t):
    """The same in one stream, mixed, cut where chance has it; with CR LF, and good lines between."""
    chance = random.Random(11)
    s = t.server()
    c = s.join("general", "ann")
    bad = [b for b in all_bad() if b[1] != "no_such_nick"]  # its answer may be overtaken by that of a ping
    chance.shuffle(bad)
    stream = b"".join(line + b"\r\n\n" + obj(type="ping", id=str(n)) + b"\n" for n, (line, _, _) in enumerate(bad))
    while stream:
        n = chance.choice((1, 7, 100, 1400, 16384, 16385, 100_000))
        c.flood(stream[:n])
        stream = stream[n:]
    for n, (line, code, fields) in enumerate(bad):
        expect_error(c, line, code, fields)
        equal(c.next().re, str(n))


def test_before_hello(t):
    """The same lines from someone who has not said who he is."""
    c = t.server().connect()
    for line, code, _ in all_bad():
        if code == "already":
            continue
        c.raw(line + b"\n")
        e = c.next()
        if code in ("bad_json", "bad_utf8", "too_deep", "unknown_type"):
            equal(e.code, code, repr(line[:100]))
        equal(e.type, "error")
    c.hello("ann")


@both
@seconds(60)
def test_ten_megabytes_without_lf(t):
    s = t.server()
    c = s.join("general", "ann")
    binary = (t.build / "chatd").read_bytes()
    before = s.rss()
    for _ in range(160):
        c.flood(b"x" * 65536)
    if not any(sign in binary for sign in SANITIZERS):
        check(s.rss() - before < 2 << 20, f"grew by {s.rss() - before} bytes")
    c.raw(b"\n")
    e = c.expect("error")
    equal((e.code, e.max), ("too_long", 16384))
    c.quiet()


def test_longest_line(t):
    """max_line counts the LF, and a CR."""
    c = t.server().connect("ann")
    for end in (b"\n", b"\r\n"):
        room = 16384 - len(end) - len(b'{"type":"ping","id":"x","data":""}')
        c.raw(b'{"type":"ping","id":"x","data":"' + b"d" * room + b'"}' + end)
        equal(len(c.expect("pong").data), room)
        c.raw(b'{"type":"ping","id":"x","data":"' + b"d" * (room + 1) + b'"}' + end)
        equal(c.expect("error").code, "too_long")
    c.quiet()


def test_smaller_max_line(t):
    c = t.server(max_line=1024).connect("ann")
    equal(c.welcome.limits["max_line"], 1024)
    c.raw(b"x" * 1024 + b"\n")
    e = c.expect("error")
    equal((e.code, e.max), ("too_long", 1024))
    c.quiet()


def test_heartbeats_are_nothing(t):
    c = t.server().connect("ann")
    c.raw(b"\n\n\r\n\r\n\n")
    c.quiet()


def test_good_lines_of_odd_form(t):
    """What looks strange and is right."""
    c = t.server().connect("ann")
    for line in (b'  {  "type"  :  "ping"  ,  "id"  :  "a"  }  ', b'{"id":"a","type":"ping"}',
                 b'{"type":"ping","id":"a"}\r', b'{"type":"\\u0070\\u0069ng","id":"\\u0061"}',
                 b'{"type":"ping","id":"a","x":1e400,"y":-0.0,"z":9999999999999999999999}',
                 b'{"type":"ping","id":"a","":1,"TYPE":2,"x":{"type":5,"id":6},"x":7}',
                 b'{"type":"ping","id":"a","data":' + b"[" * 15 + b"]" * 15 + b"}",
                 b'{"type":"ping","id":"a","data":{"a":[{},[],{"b":[]},"]}"]}}',
                 b'{"type":"ping","id":"a","data":"\\u0000\\ud83c\\udf89"}'):
        c.raw(line + b"\n")
        equal(c.next().get("re"), "a", repr(line))
    equal(c.ask("ping", data=[[1.5e300, -1, "\u0000"]]).data, [[1.5e300, -1, "\u0000"]])


def test_noise(t):
    """Random bytes, and good lines with bytes changed, from many connections: nothing falls over."""
    chance = random.Random(5)
    s = t.server(threads=2)
    good = obj(type="send", room="general", text="hello \u00e9", key="k", id="1")
    for i in range(20):
        c = s.join("general", f"n{i}")
        out = bytearray()
        for _ in range(100):
            line = bytearray(good)
            for _ in range(chance.randrange(1, 4)):
                line[chance.randrange(len(line))] = chance.randrange(256)
            out += line + b"\n" + chance.randbytes(chance.randrange(50)) + b"\n"
        c.flood(bytes(out))
        c.raw(b"\n")
        c.sync()
