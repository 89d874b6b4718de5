"""bots.py: chatbot against a real chatd: each ready scenario in a few seconds, scripts, latency, reports, exit codes."""
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import time

from lib import SCALE, Skip, both, check, equal, seconds
from lib.bots import finish_chatbot, right, run_chatbot, start_chatbot
from lib.server import CLEAN_ENV

SHORT = {"ramp": 0.3, "settle": 0.2, "duration": 1.5, "drain": 20}


def short(t, scenario, *args, server=None, **options):
    s = server or t.server()
    if t.tls:
        options["tls"] = True
    return right(run_chatbot(t, scenario, s.port, *args, **{**SHORT, **options}))


# ---- the scenarios


@both
def test_chat_day(t):
    r = short(t, "chat-day", bots=24, rate=150)
    check(r["measured"]["sends"] > 50 and r["total"]["deliveries"] > 500, r["measured"])


@both
def test_fan_out(t):
    r = short(t, "fan-out", bots=30, rate=100)
    for kind in ("delivery", "ack", "connect", "login", "entry") + (("tls",) if t.tls else ()):
        check(r["latency_us"][kind]["count"] > 0, kind)
    equal(r["ends"], {"eof": 30})
    # Also on a busy machine, where the last one was under way when the turns were over, and some had left.
    equal(r["latency_us"]["delivery"]["count"], r["latency_us"]["ack"]["count"] * 30, "deliveries of what was measured")


def test_many_rooms(t):
    short(t, "many-rooms", bots=40, rooms=80, rate=100)


def test_idle(t):
    """Nobody talks: what there is to see is how they come in, which is before the measured time."""
    r = short(t, "idle", bots=300, rooms=10, ramp=1.2)
    equal(r["total"]["logins"], 300)
    for kind in ("connect", "login", "entry"):
        equal((r["latency_us"][kind]["count"], r["latency_us"][kind]["early"]), (300, True), kind)
    check(re.search(r"entry .* 300  \(before the measured time\)", r.said), r.said)
    check(re.search(r"ramp +\d+/300 up  \d+ ready  logins \d+/s  entry p50 [\d.]+ .?s  p99", r.progress), r.progress)
    rows = [dict(zip(r["columns"], row)) for row in r["rows"]]
    check(rows[0]["entry_p99"] >= rows[0]["entry_p50"] > 0, rows[0])


@both
def test_login_storm(t):
    r = short(t, "login-storm", bots=20, rate=60)
    check(r["ends"]["bye"] > 50, r["ends"])
    check(r["total"]["bytes_in"] > 300 * r["total"]["logins"], "bytes of connections that have ended", r["total"])
    entry = r["latency_us"]["entry"]
    check("early" not in entry and entry["count"] < r["total"]["logins"], "what was due in the measured time", entry, r["total"])
    check("logins" in r.progress and "delivered" not in r.progress, r.progress)


@both
def test_reconnect_storm(t):
    r = short(t, "reconnect-storm", "--set", "every=0.7", bots=40, rate=60, duration=2)
    check(r["ends"]["was-reset"] >= 20 and r["latency_us"]["catch-up"]["count"] >= 0, r["ends"])


def test_idle_bots_are_small(t):
    """tests/bench/bots-memory has the figure for 15,000: here what one process needs anyway is shared by fewer."""
    if SCALE != 1:
        raise Skip("a sanitizer's memory says nothing")
    r = short(t, "idle", bots=2000, rooms=50, ramp=2)
    check(r["chatbot"]["bytes_per_bot"] <= 12 * 1024 and r["chatbot"]["bytes_per_bot_besides_lua"] <= 4 * 1024, r["chatbot"])


def test_slow_readers(t):
    s = t.server(max_out="64k")
    r = short(t, "slow-readers", "--set", "pause=0.5", server=s, rate=100)
    check(r["latency_us"]["catch-up"]["count"] > 0 and r["total"]["gaps"] == 0, r["total"])


@both
def test_half_close(t):
    r = short(t, "half-close", bots=16, rate=40)
    check(r["ends"]["eof"] > 30 and r["ends"]["closed"] == 4, r["ends"])


@both
def test_resets(t):
    r = short(t, "resets", bots=25, rate=100)
    check(r["ends"]["was-reset"] > 5, r["ends"])


def test_slowloris(t):
    s = t.server(login_seconds=1)
    r = short(t, "slowloris", server=s, bots=40, duration=2.5, rate=40)
    check(r["ends"]["idle"] >= 20, r["ends"])


def test_slowloris_in_a_server_that_waits_longer(t):
    """By default it ends nobody for 30 s. When turns are over, who waits for that is not waiting for anything due."""
    r = short(t, "slowloris", bots=40, rate=40, drain=2)
    equal(set(r["ends"]), {"closed", "eof"})


@both
def test_garbage(t):
    r = short(t, "garbage", bots=20, rate=80)
    check(r["total"]["errors"] > 20, r["total"])


@both
@seconds(40)
def test_soak(t):
    s = t.server(login_seconds=max(1, int(SCALE)))  # in a slow build a storm of handshakes takes longer than a second
    r = short(t, "soak", "--set", "every=1", server=s, bots=70, duration=4, flat=0)
    ends = {"bye", "eof", "was-reset", "closed", "protocol"} | ({"idle"} if SCALE == 1 else set())
    check(ends <= set(r["ends"]), r["ends"])
    equal(r["server"]["descriptors_after"], r["server"]["descriptors_before"], "descriptors of the server")


def test_list(t):
    r = run_chatbot(t, "--list", 1)
    names = [line.split()[0] for line in r.said.splitlines()]
    equal(names, ["chat-day", "fan-out", "garbage", "half-close", "idle", "login-storm", "many-rooms", "reconnect-storm",
                  "resets", "slow-readers", "slowloris", "soak"])
    check(all(len(line.split()) > 6 for line in r.said.splitlines()), r.said)


# ---- scripts


def script(t, text):
    path = t.path("script.lua")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def test_a_script_reads_like_a_persons_day(t):
    """Two bots talk to each other by expect, and the table's roles say who does what."""
    path = script(t, """
        chatbot { roles = { {"ann"}, {"bob"} }, ramp = 0, duration = 5 }
        function ann(bot)
            bot:join "general"
            bot:sleep(0.2)
            bot:send "hello, bob — 你好 🙂"
            local m = bot:expect{type = "msg", text = "hello, ann", within = 5}
            if m.nick ~= bot:nick_of(2) then bot:fail("who is " .. m.nick) end
            bot:shutdown()
            if bot:wait_end() ~= "eof" then bot:fail("not eof") end
        end
        function bob(bot)
            bot:join "general"
            local m = bot:expect{type = "msg", from = bot:nick_of(1)}
            if m.text ~= "hello, bob — 你好 🙂" or m.seq ~= 1 then bot:fail("got " .. m.text) end
            local who = bot:who("general", {lines = true})
            if who.count ~= 2 or #who.lines ~= 2 then bot:fail("who") end
            local seq = bot:send("hello, ann", {wait = true})
            if seq ~= 2 then bot:fail("seq " .. tostring(seq)) end
            if select(2, bot:join("No Room", {may_fail = "bad_room"})) ~= "bad_room" then bot:fail("bad_room") end
            bot:bye()
        end
    """)
    r = right(run_chatbot(t, path, t.server().port))
    equal(r["ends"], {"bye": 1, "eof": 1})


def test_what_a_script_does_not_expect_is_wrong(t):
    path = script(t, """
        chatbot { bots = 1, ramp = 0, duration = 1, within = 0.3 }
        function bot(bot)
            bot:join "Not A Room"
            bot:join "general"
            bot:expect{type = "msg"}
            error("the script's own")
        end
    """)
    r = run_chatbot(t, path, t.server().port)
    equal(r.code, 1)
    equal(r["faults"], {"answer": 2, "script": 1})
    check("bad_room" in r["wrong"][0] and "in vain" in r["wrong"][1] and "the script's own" in r["wrong"][2], r["wrong"])


def test_exit_codes(t):
    s = t.server()
    equal(run_chatbot(t, "no-such-scenario", s.port).code, 2)
    equal(run_chatbot(t, "fan-out", s.port, "--no-such-option").code, 2)
    equal(run_chatbot(t, "fan-out", s.port, "--bots", "many").code, 2)
    r = run_chatbot(t, "fan-out", s.port, f"127.0.0.1:{s.port}")
    check(r.code == 2 and "a server is given by --host" in r.progress, r.progress)
    equal(run_chatbot(t, script(t, "chatbot { bots = }"), s.port).code, 2)
    equal(run_chatbot(t, script(t, "chatbot { bots = 1 }"), s.port).code, 2)
    equal(run_chatbot(t, "fan-out", s.port, "--json", t.path("no/dir"), bots=2, **SHORT).code, 4)
    s.stop()
    r = run_chatbot(t, "fan-out", s.port, bots=2, ramp=0, within=1, drain=1)
    equal(r.code, 3)
    last = r.progress.splitlines()[-1]
    check(f"127.0.0.1:{s.port}: is chatd running there?" in last, last)


def await_phase(p, phase):
    """A line of the progress says that it is in that phase."""
    while line := p.stderr.readline():
        if f" s  {phase}" in line:
            return
    raise AssertionError(f"chatbot ended before {phase}")


def test_an_interrupt_ends_in_good_order(t):
    s = t.server()
    p = start_chatbot(t, "fan-out", s.port, bots=10, ramp=0, duration=60)
    await_phase(p, "settle")
    p.send_signal(signal.SIGINT)
    r = right(finish_chatbot(t, p))
    check(r["interrupted"] and r["ends"] == {"eof": 10}, r["ends"])


# ---- latency that can be believed


@seconds(60)
def test_a_stalled_server_shows_under_open_loop(t):
    """The load goes on while the server stands still for 2 s, and who was due in that time has waited for it."""
    s = t.server()
    p = start_chatbot(t, "fan-out", s.port, bots=60, rate=400, ramp=0.3, settle=0.5, duration=5)
    await_phase(p, "measure")
    os.kill(s.pid, signal.SIGSTOP)
    time.sleep(2.0)
    os.kill(s.pid, signal.SIGCONT)
    r = right(finish_chatbot(t, p, 40))
    equal(r["loop"], "open")
    for kind in ("delivery", "ack"):
        check(r["latency_us"][kind]["p999"] >= 2_000_000, kind, r["latency_us"][kind]["p999"])
    check(1980 <= r["turns"]["due"] <= 2020, "turns were due all the time", r["turns"])
    if SCALE == 1:  # a sanitizer may leave chatbot itself too little time
        equal(r["turns"]["not_begun"], 0, "turns that were due and did not begin")


def test_a_closed_loop_says_so(t):
    r = right(run_chatbot(t, "fan-out", t.server().port, "--html", t.path("run.html"), "--closed", bots=10, **SHORT))
    equal(r["loop"], "closed")
    check("closed loop" in r.said and "closed loop" in r.progress, r.said)
    with open(t.path("run.html"), encoding="utf-8") as f:
        check('"loop":"closed"' in f.read(), "the page does not say so")


# ---- reports


def test_a_report_that_cannot_be_written_costs_no_run(t):
    """It is opened first; what is in it already stays there until there is something better."""
    s = t.server()
    r = run_chatbot(t, "fan-out", s.port, "--html", t.path("no/dir.html"), duration=60)
    equal((r.code, r.said), (4, ""))
    with open(t.path("run.json"), "w", encoding="utf-8") as f:
        f.write('{"old": "' + "x" * 200000 + '"}')
    p = start_chatbot(t, "fan-out", s.port, bots=10, ramp=0, duration=60)
    check("10 bots" in p.stderr.readline(), "the run's first words")
    with open(t.path("run.json"), encoding="utf-8") as f:
        check("old" in json.load(f), "the report of the run before")
    p.send_signal(signal.SIGINT)
    check("settings" in right(finish_chatbot(t, p)), "the new report, and nothing behind it")


def test_the_progress_fits_its_terminal(t):
    """A line that wraps cannot be rewritten in place: each second left one behind."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    p = subprocess.Popen([str(t.build / "chatbot"), "fan-out", "--host", f"127.0.0.1:{t.server().port}", "--bots", "10",
                          "--ramp", "0", "--settle", "0", "--duration", "1.3"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs, env={**CLEAN_ENV, **os.environ})
    os.close(theirs)
    seen = b""
    try:
        while data := os.read(ours, 65536):
            seen += data
    except OSError:  # EIO: the other end is closed
        pass
    os.close(ours)
    equal(p.wait(5), 0)
    lines = [line.removeprefix("\x1b[K") for line in seen.decode().split("\r")]
    rows = [line for line in lines if " up " in line]
    check(rows and all(len(row) < 60 for row in rows) and max(map(len, rows)) == 59, rows)


def test_the_page_is_one_file(t):
    s = t.server()
    right(run_chatbot(t, "fan-out", s.port, "--html", t.path("run.html"), bots=10, **SHORT))
    with open(t.path("run.html"), encoding="utf-8") as f:
        page = f.read()
    equal(re.findall(r'(?:src|href)\s*=|@import|https?://|url\(', page), [], "what the page would load")
    equal(page.count('{"scenario":'), 1)
    both_runs = t.path("two.html")
    equal(run_chatbot(t, "--compare", s.port, "--html", both_runs, t.path("run.json"), t.path("run.json")).code, 0)
    with open(both_runs, encoding="utf-8") as f:
        equal(f.read().count('{"scenario":'), 2)


def test_the_page_shows_what_there_is(t):
    """Where nobody talks, how they come in: its charts were empty."""
    node = shutil.which("node")
    if not node:
        raise Skip("there is no node to run the page's script")
    s = t.server()
    pages = []
    for scenario in ("login-storm", "fan-out"):
        right(run_chatbot(t, scenario, s.port, "--html", t.path("run.html"), bots=10, rate=50, **{**SHORT, "duration": 0.8}))
        with open(t.path("run.html"), encoding="utf-8") as f:
            page = re.search(r"<script>(.*)</script>", f.read(), re.S)[1]
        stub = "const element = {}; const document = {getElementById: () => element, querySelectorAll: () => []};"
        pages.append(subprocess.run([node, "-e", f"{stub}{page};process.stdout.write(element.innerHTML)"],
                                    capture_output=True, text=True, timeout=10, check=True).stdout)
    storm, talk = pages
    check("Logins a second" in storm and "Due to welcome, over time" in storm and "Deliveries a second" not in storm, storm[:500])
    check("Deliveries a second" in talk and "Send to delivery, over time" in talk, talk[:500])
    check("entry, before the measured time" in talk and "entry, before the measured time" not in storm, "whose way in it was")


def test_the_figures_of_a_run_are_its_own(t):
    """Bytes of connections that are still open; a room whose name strtod takes for a number; growth that nobody knows."""
    path = t.path("script.lua")
    with open(path, "w", encoding="utf-8") as f:
        f.write("""
            chatbot { bots = 4, ramp = 0, settle = 0, duration = 1, rate = 40 }
            function bot(bot)
                bot:join(settings.room_prefix .. 1)
                for _ in bot:turns() do bot:send() end
            end
        """)
    r = right(run_chatbot(t, path, t.server().port, "--room-prefix", "inf"))
    equal(r["settings"]["room_prefix"], "inf")
    equal(r["server"]["growth_percent"], None)
    check(r["measured"]["bytes_in"] > 100 * r["measured"]["deliveries"] > 0, r["measured"])
    check(r["measured"]["bytes_out"] > 100 * r["measured"]["sends"] > 0, r["measured"])


def test_the_servers_process_is_found(t):
    s = t.server()
    r = right(run_chatbot(t, "fan-out", s.port, bots=10, **SHORT))
    equal(r["server"]["pid"], s.pid)
    check(r["server"]["rss"] > 1 << 20 and r["rows"], r["server"])
