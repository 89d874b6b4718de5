"""bots_scripts.py: chatbot's scripts, good and bad: what is wrong in one is said with its line, and none holds up a run."""
import os
import re
import signal
import subprocess

from lib import SCALE, Skip, check, equal
from lib.bots import finish_chatbot, right, run_chatbot, start_chatbot
from lib.server import CLEAN_ENV


def script(t, text):
    path = t.path("script.lua")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


# ---- what is wrong is said, and where


def test_a_bad_table_is_an_error_with_its_line(t):
    """Each was taken in silence, or was a crash."""
    bad = [
        ("roles = 5", "roles is a list of roles", "not 5"),
        ('roles = { {"a", bots = "many"} }', "role a: bots is a number from 0, not many"),
        ('roles = { {"a", rate = -1} }', "role a: rate is a number from 0, not -1"),
        ('roles = { {"a", sends = "no"} }', "role a: sends is true or false, not no"),
        ('roles = { {"a", speed = 3} }', 'role a: there is no "speed"; a role has its name and bots, rate, sends, tls, manual'),
        ('roles = { {"a", 5} }', "besides its name a role has bots, rate, sends, tls, manual"),
        ("custom = 5", "custom is a table", "not 5"),
        ("ratee = 5", 'there is no setting "ratee"'),
        ("bots = 'many'", 'bots: a whole number is expected, not "many"'),
        ("5", "takes names and values only"),
    ]
    for line, *said in bad:
        r = run_chatbot(t, script(t, "-- nothing here\nchatbot { " + line + " }\nfunction a(bot) end"), 1)
        equal(r.code, 2, line)
        check(re.search(r"script\.lua:2: ", r.progress) and all(s in r.progress for s in said), line, r.progress)


def test_the_command_line_is_blamed_for_its_own_values(t):
    path = script(t, "chatbot { custom = {every = 4, loud = true, word = '5'} }\nfunction bot(bot) end")
    for args, said in (
        (["--bots", "many"], "on the command line, bots=many: a whole number is expected"),
        (["--set", "every=often"], "on the command line, every=often: a number is expected"),
        (["--set", "loud=perhaps"], "on the command line, loud=perhaps: yes or no is expected"),
        (["--set", "evry=4"], "on the command line, evry=4: there is no such setting"),
    ):
        r = run_chatbot(t, path, 1, *args)
        equal(r.code, 2, args)
        check(said in r.progress and "script.lua" not in r.progress, r.progress)


def test_bad_arguments_are_errors_with_their_line(t):
    calls = [
        ("bot:connect{tsl = true}", 'connect: there is no option "tsl"; it takes tls, within, may_fail'),
        ('bot:login{on_eof = "stays"}', 'login: on_eof is "drain" or "stay", not stays'),
        ('bot:enter{resume = "yes"}', "enter: resume is true or false, not yes"),
        ('bot:join("general", {afterr = 1})', 'join: there is no option "afterr"; it takes after, within, may_fail'),
        ('bot:join("general", 5)', "join: its last argument is a table of options, not a number"),
        ('bot:send("x", {rooom = "general"})', 'send: there is no option "rooom"; it takes room, key, wait, within, may_fail'),
        ('bot:who("general", {line = true})', 'who: there is no option "line"'),
        ('bot:request({type = "ping"}, {within = "5"})', "request: within is seconds, not 5"),
        ('bot:ping{"may_fail"}', "ping: its options are names and values"),
        ('bot:expect{type = "mgs"}', 'expect: there is no type "mgs"; the server says msg, ack,'),
        ('bot:expect{typ = "msg"}', 'expect: no line has a field "typ"'),
        ('bot:expect{type = "msg", within = "5"}', "expect: within is seconds, not 5"),
        ('bot:expect{type = "msg", text = {}}', "expect: text is a text, a whole number, true or false, not a table"),
        ('bot:expect "msg"', "expect takes a table"),
        ('bot.nick = "ann"', "bot.nick cannot be set on a connection that has said hello"),
    ]
    body = "".join(f"\n    try(function() {call} end, [[{said}]])" for call, said in calls)
    r = run_chatbot(t, script(t, f"""chatbot {{ bots = 1, ramp = 0, duration = 1, within = 1 }}
        local function try(f, said)
            local ok, why = pcall(f)
            why = tostring(why)
            if ok or not why:find(said, 1, true) or not why:find("script.lua:%d+: ") then error("wanted " .. said .. ", got " .. why) end
        end
        function bot(bot){body}
        end
    """), t.server().port)
    right(r)


def test_a_nick_is_set_before_hello(t):
    path = script(t, """
        chatbot { bots = 1, ramp = 0, duration = 1, manual = true }
        function bot(bot)
            bot.nick = "ann"
            bot:enter()
            bot:bye()
            bot.nick = "bob"
            bot:enter()
            if bot:who(bot:join().room, {lines = true}).lines[1].nick ~= "bob" then bot:fail("who?") end
        end
    """)
    right(run_chatbot(t, path, t.server().port))


# ---- what a script asks


def test_who_is_put_out_says_that_it_may_be(t):
    """The owner bans the other, who expects it. The lines of the list of bans have the names of requests, and the first of
    them was taken for the answer."""
    path = script(t, """
        chatbot { roles = { {"owner"}, {"guest"} }, ramp = 0.2, duration = 3 }
        function owner(bot)
            bot:join "tea"
            bot:expect{type = "presence", event = "join"}
            bot:request{type = "mute", room = "tea", nick = bot:nick_of(2), reason = "hush"}
            bot:request{type = "ban", room = "tea", nick = bot:nick_of(2), reason = "out"}
            local bans = bot:request({type = "bans", room = "tea"}, {lines = true})
            if bans.type ~= "end" or bans.count ~= #bans.lines or #bans.lines == 0 then bot:fail("bans") end
        end
        function guest(bot)
            bot:may_be_put_out()
            bot:join "tea"
            bot:sleep(1)
        end
    """)
    s = t.server()
    right(run_chatbot(t, path, s.port))
    with open(path, encoding="utf-8") as f:
        unsuspecting = f.read().replace("bot:may_be_put_out()", "")
    r = run_chatbot(t, script(t, unsuspecting.replace('"tea"', '"tea2"')), s.port)
    equal((r.code, r["faults"]), (1, {"stray": 1}))


def test_a_replay_is_no_repetition(t):
    """The first bot of a room with a history, and one that asks again for what it has said itself."""
    s = t.server()
    right(run_chatbot(t, script(t, """
        chatbot { bots = 1, ramp = 0, duration = 1 }
        function bot(bot)
            bot:join "tea"
            for i = 1, 20 do bot:send(nil, {wait = true}) end
            bot:join("tea", {after = 0})
            bot:expect{type = "msg", seq = 20}
            bot:send(nil, {wait = true})
        end
    """), s.port))
    r = right(run_chatbot(t, script(t, """
        chatbot { bots = 1, ramp = 0, duration = 1 }
        function bot(bot)
            bot:join("tea", {after = 15})
            bot:expect{type = "msg", seq = 21}
        end
    """), s.port))
    equal(r["total"]["deliveries"], 6)


def test_who_has_read_slowly_comes_back_at_full_speed(t):
    path = script(t, """
        chatbot { bots = 1, ramp = 0, duration = 1, within = 3 }
        function bot(bot)
            bot:read_slowly(200)
            bot:bye()
            bot:enter{within = 0.5}
            bot:ping()
        end
    """)
    right(run_chatbot(t, path, t.server().port))


def test_texts_that_are_shorter_than_their_mark(t):
    path = script(t, """
        chatbot { bots = 1, ramp = 0, duration = 1, size = 5 }
        function bot(bot)
            bot:join()
            bot:send()
            bot:send "hi"
        end
    """)
    r = right(run_chatbot(t, path, t.server().port))
    equal(r["stretched"], 1)
    check(re.search(r"1 texts were longer than asked for: the mark that they are measured by takes up to \d+ bytes", r.said), r.said)


def test_a_role_may_have_a_rate_of_its_own(t):
    path = script(t, """
        chatbot { roles = { {"talker", bots = 4}, {"crier", bots = 2, rate = 60} }, rate = 20, ramp = 0, settle = 0, duration = 1 }
        function talker(bot)
            bot:join "tea"
            for _ in bot:turns() do bot:send() end
        end
        function crier(bot)
            bot:join "street"
            for _ in bot:turns() do bot:send() end
        end
    """)
    s = t.server()
    r = right(run_chatbot(t, path, s.port))
    check("open loop: 80 turns a second were due" in r.said, r.said)
    check(abs(r["turns"]["due"] - 80) <= 3 and r["turns"]["not_begun"] == 0, r["turns"])
    ann = s.connect("ann")
    tea, street = (ann.ask("join", room=room).seq for room in ("tea", "street"))
    check(abs(tea - 20) <= 3 and abs(street - 60) <= 3, tea, street)


# ---- where the server is


def test_sources_are_of_the_loopback(t):
    path = script(t, "chatbot { bots = 3, ramp = 0, duration = 0 }\nfunction bot(bot) bot:ping() end")
    s = t.server()
    right(run_chatbot(t, path, s.port, sources=3))
    peers = {e["peer"].rsplit(":", 1)[0] for e in s.log.find(event="accept")}
    equal(peers, {"127.0.0.1", "127.0.0.2", "127.0.0.3"})
    r = run_chatbot(t, path, s.port, "--host", f"[::1]:{s.port}", sources=3)
    check(r.code == 2 and "only a server on the IPv4 loopback" in r.progress, r.progress)


def test_all_addresses_of_a_name_are_tried(t):
    """localhost is ::1 first on many machines, where chatd does not listen by default."""
    with open(t.path("hosts"), "w", encoding="utf-8") as f:
        f.write("::1 chatd.test\n127.0.0.1 chatd.test\n")
    namespace = ["unshare", "--mount", "--map-root-user", "sh", "-c",
                 f"mount --bind {t.path('hosts')} /etc/hosts && getent ahosts chatd.test"]
    try:
        names = subprocess.run(namespace, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        names = ""
    if not names.startswith("::1"):
        raise Skip("this machine does not let a test have names of its own")
    path = script(t, "chatbot { bots = 2, ramp = 0, duration = 0 }\nfunction bot(bot) bot:ping() end")
    command = f"mount --bind {t.path('hosts')} /etc/hosts && exec {t.build / 'chatbot'} {path} --host chatd.test:{t.server().port}"
    p = subprocess.run([*namespace[:-1], command], capture_output=True, text=True, timeout=20, env={**CLEAN_ENV, **os.environ})
    check(p.returncode == 0 and "right:" in p.stdout, p.stdout, p.stderr)


def test_what_was_expected_may_come_after_turns_are_over(t):
    """A bot is taken from its expect at the end; the error that it waited for, sent for, is on its way and no fault."""
    s = t.server()
    path = script(t, """
        chatbot { bots = 1, ramp = 0, settle = 0, duration = 60, rate = 1 }
        function bot(bot)
            bot:join()
            print("joined")
            io.stdout:flush()
            bot:sleep(0.2) -- meanwhile the server is stopped
            bot:raw '{"type":"dance"}\\n'
            print("sent")
            io.stdout:flush()
            pcall(bot.expect, bot, {type = "error", code = "unknown_type"})
            print("interrupted")
            io.stdout:flush()
        end
    """)
    p = start_chatbot(t, path, s.port)
    equal(p.stdout.readline(), "joined\n")
    os.kill(s.pid, signal.SIGSTOP)
    equal(p.stdout.readline(), "sent\n")
    p.send_signal(signal.SIGINT)
    equal(p.stdout.readline(), "interrupted\n")
    os.kill(s.pid, signal.SIGCONT)
    r = right(finish_chatbot(t, p, 5))
    equal(r["total"]["errors"], 1)


# ---- a run goes on, whatever its script does


ENDLESS = ["while true do pcall(function() bot:snd() end) end",
           "while true do end",
           "coroutine.wrap(function() while true do end end)()",
           "table.sort({3, 2, 1, 4}, function() while true do end end)"]


def test_an_endless_loop_can_be_interrupted(t):
    s = t.server()
    for body in ENDLESS:
        path = script(t, "chatbot { bots = 2, ramp = 0, duration = 60, drain = 0.3 }\nfunction bot(bot)\n"
                      f"bot:join() io.stdout:write('looping\\n') io.stdout:flush()\n{body}\nend")
        p = start_chatbot(t, path, s.port)
        equal(p.stdout.readline(), "looping\n")
        p.send_signal(signal.SIGINT)
        equal(finish_chatbot(t, p, 5).code, 1, body)


def test_an_endless_loop_does_not_hold_up_the_others(t):
    path = script(t, """
        chatbot { roles = { {"looper", sends = false}, {"talker"} }, ramp = 0, settle = 0, duration = 1, rate = 20 }
        function looper(bot)
            bot:sleep(0.05)
            while true do pcall(function() error() end) end
        end
        function talker(bot)
            bot:join()
            for _ in bot:turns() do bot:send() end
        end
    """)
    r = run_chatbot(t, path, t.server().port, drain=0.3 * SCALE)
    equal((r.code, r["faults"]), (1, {"answer": 1}))
    check("has not come to its end" in r["wrong"][0], r["wrong"])
    check(r["measured"]["acks"] >= (15 if SCALE == 1 else 1), r["measured"])


def test_turns_that_cannot_be_kept_up_with(t):
    """Two bots are to do more than any could: the run ends in time, and says how much was not even begun."""
    s = t.server()
    path = script(t, """
        chatbot { bots = 2, ramp = 0, settle = 0, duration = 0.5, rate = 1e6 }
        function bot(bot)
            for _ in bot:turns() do
                for i = 1, 10000 do end
            end
        end
    """)
    r = right(run_chatbot(t, path, s.port, within=1))
    turns = r["turns"]
    check(turns["not_begun"] > 0 and turns["late"] > 0 and turns["due"] == turns["begun"] + turns["not_begun"], turns)
    check(abs(turns["due"] / (1e6 * r["measured_seconds"]) - 1) < 0.1, "what was due", turns, r["measured_seconds"])
    check(f"{turns['not_begun']} of {turns['due']} turns that were due were not begun" in r.said, r.said)
    check(f"late: at {turns['late']} of" in r.said, r.said)
    p = start_chatbot(t, path, s.port, duration=60)
    check("2 bots against" in p.stderr.readline(), "the run's first words")
    p.send_signal(signal.SIGINT)
    right(finish_chatbot(t, p, 5))


def test_each_beat_that_chatbot_misses_is_late(t):
    """Its own loop stands still for half a second: fifty samples, not one; and the report says whose fault it was."""
    path = script(t, """
        chatbot { bots = 1, ramp = 0, settle = 0, duration = 1, rate = 10 }
        function bot(bot)
            bot:join()
            bot:turn()
            bot:turn()
            os.execute("sleep 0.5")
            bot:send()
            bot:turn()
        end
    """)
    r = right(run_chatbot(t, path, t.server().port))
    lag = r["latency_us"]["lag"]
    check(lag["count"] >= 95 * r["measured_seconds"] and lag["p90"] > 200_000, lag)
    check("chatbot itself was late in the measured time" in r["chatbot"]["limit"], r["chatbot"])


def test_bots_that_are_ready_too_late(t):
    """Those that were not when the ramp was over, not those that never were."""
    path = script(t, """
        chatbot { bots = 3, ramp = 0, settle = 0, duration = 0.5, within = 0.2 }
        function bot(bot)
            while bot.index == 1 and bot.now < 0.2 do bot:ping() end
            bot:sleep()
        end
    """)
    r = right(run_chatbot(t, path, t.server().port))
    equal(r["unready"], 1)
    check("note: 1 bots were not ready when the ramp's time was over" in r.said, r.said)


def test_a_run_that_keeps_up_misses_nothing(t):
    r = right(run_chatbot(t, "fan-out", t.server().port, bots=10, rate=200, ramp=0.1, settle=0.1, duration=1))
    equal(r["turns"]["not_begun"], 0)
    check("not begun" not in r.said, r.said)


def test_a_second_interrupt_is_not_right(t):
    """What nobody has acknowledged is not known to be right."""
    s = t.server()
    path = script(t, """
        chatbot { bots = 1, ramp = 0, duration = 60 }
        function bot(bot)
            bot:join()
            print("joined")
            io.stdout:flush()
            bot:sleep(0.2) -- meanwhile the server is stopped
            bot:send()
            print("sent")
            io.stdout:flush()
            pcall(bot.sleep, bot)
            print("interrupted")
            io.stdout:flush()
        end
    """)
    p = start_chatbot(t, path, s.port)
    equal(p.stdout.readline(), "joined\n")
    os.kill(s.pid, signal.SIGSTOP)
    equal(p.stdout.readline(), "sent\n")
    p.send_signal(signal.SIGINT)
    equal(p.stdout.readline(), "interrupted\n")
    p.send_signal(signal.SIGINT)
    r = finish_chatbot(t, p, 5)
    os.kill(s.pid, signal.SIGCONT)
    equal((r.code, r["faults"]), (1, {"answer": 1}))
    check("1 sends under way" in r["wrong"][0] and "right:" not in r.said, r.said)
