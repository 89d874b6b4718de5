"""bots_planted.py: chatbot against a stand-in for the server that breaks one promise: it has to find each, say which, and
fail. Needs no chatd."""
from lib import check, equal
from lib.bots import right, run_chatbot
from lib.double import PLANT_AT, Double


def play(t, plant, script="fan-out", **options):
    double = t.keep(Double(plant))
    options = {"bots": 10, "rate": 60, "ramp": 0.1, "settle": 0, "duration": 1, "within": 5, **options}
    return double, run_chatbot(t, script, double.port, **options)


def finds(t, plant, faults, *words, **how):
    double, r = play(t, plant, **how)
    equal(double.planted, 1, "the double has done it")
    equal(r.code, 1, f"chatbot's exit code; it said {r.said}")
    equal(r["faults"], faults)
    check(all(any(word in line for line in r["wrong"]) for word in words), words, r["wrong"])
    check("WRONG" in r.said and r["wrong"][0] in r.progress, r.said)


def one_bot(t, body):
    """A script for one bot, which has no rate and ends when its function does."""
    path = t.path("script.lua")
    with open(path, "w", encoding="utf-8") as f:
        f.write("chatbot { bots = 1, ramp = 0, duration = 5 }\nfunction bot(bot)\n" + body + "\nend\n")
    return path


def test_nothing(t):
    _, r = play(t, None)
    right(r)


def test_lost(t):
    finds(t, "lost", {"missing": 1}, f"seq {PLANT_AT + 1} came after {PLANT_AT - 1}")


def test_lost_last(t):
    finds(t, "lost-last", {"tail": 1}, f"the last to come was seq {PLANT_AT - 1}")


def test_repeated(t):
    finds(t, "repeated", {"repeated": 1}, f"seq {PLANT_AT} came again")


def test_swapped(t):
    finds(t, "swapped", {"missing": 1, "order": 1}, f"seq {PLANT_AT} came after {PLANT_AT + 1}")


def test_altered(t):
    """Whose text is the right one depends on who was first: chatbot shows that they differ."""
    double, r = play(t, "altered")
    equal((double.planted, r.code), (1, 1))
    check(r["faults"].get("altered", 0) >= 1, r["faults"])


def test_wrong_ack(t):
    double, r = play(t, "wrong-ack")
    equal((double.planted, r.code), (1, 1))
    check(r["faults"].get("ack", 0) >= 1, r["faults"])


def test_wrong_close(t):
    finds(t, "wrong-close", {"close": 1}, "ended by idle; expected: eof")


def test_no_bye(t):
    finds(t, "no-bye", {"close": 1}, "ended by no-bye")


def test_reset_behind_bye(t):
    """The last lines may be destroyed by it: only who goes on sending behind a bye has that coming."""
    finds(t, "reset", {"close": 1}, "ended by reset; expected: eof")


def test_a_line_behind_bye(t):
    finds(t, "after-bye", {"line": 1}, "a line behind bye")


def test_no_ack(t):
    finds(t, "no-ack", {"answer": 1, "unacknowledged": 1}, "was never acknowledged", within=1)


def test_an_ack_of_another_room(t):
    finds(t, "ack-room", {"ack": 1}, "names room elsewhere")


def test_duplicate(t):
    """The others can't tell it from a new message; who said it knows."""
    finds(t, "duplicate", {"repeated": 1}, f"was delivered a second time, as seq {PLANT_AT + 1}")


def test_put_out(t):
    finds(t, "left", {"stray": 1}, "put out of room bots-1, which the script does not expect")


def test_a_script_may_expect_to_be_put_out(t):
    path = t.path("script.lua")
    with open(path, "w", encoding="utf-8") as f:
        f.write("""
            chatbot { roles = { {"talker"}, {"victim", sends = false}, {"listener", bots = 2, sends = false} } }
            function talker(bot)
                bot:join()
                for _ in bot:turns() do bot:send() end
            end
            function victim(bot)
                bot:join()
                local left = bot:expect{type = "left", code = "kicked"}
                if left.by ~= "nobody" then bot:fail("by whom?") end
                bot:sleep()
            end
            function listener(bot)
                bot:join()
                bot:sleep()
            end
        """)
    double, r = play(t, "left", path, bots=4)
    right(r)
    equal(double.planted, 1)


def test_gap(t):
    finds(t, "gap", {"gap": 1}, f"seq {PLANT_AT} to {PLANT_AT} are no longer kept")
    _, r = play(t, "gap", gaps=True)
    right(r)
    equal(r["total"]["gaps"], 1)


COMES_BACK = """
    bot:join()
    for _ = 1, 8 do bot:send(nil, {wait = true}) end
    bot:close()
    bot:enter()
    bot:join(nil, {after = true})
    bot:close()
"""


def test_a_room_that_has_shrunk(t):
    finds(t, "shrunken", {"missing": 1}, "joined says that seq 6 is the newest, and 8 was there before",
          script=one_bot(t, COMES_BACK), bots=1)


def test_a_new_epoch(t):
    path = one_bot(t, COMES_BACK)
    finds(t, "epoch", {"epoch": 1}, "room bots-1 has a new order, epoch 2 after 1", script=path, bots=1)
    _, r = play(t, "epoch", path, bots=1, new_epochs=True)
    right(r)
    equal(r["new_epochs"], 1)
    check("1 times a room had a new order" in r.said, r.said)


def test_two_answers(t):
    finds(t, "twice", {"answer": 1}, "pong: an answer to request 1, which has had its answer",
          script=one_bot(t, "bot:ping()\nbot:ping()"), bots=1)


def test_an_answer_that_comes_too_late_is_not_the_next_ones(t):
    body = """
        bot:request({type = "ping", data = "one"}, {within = 0.2, may_fail = "timeout"})
        local pong = bot:request{type = "ping", data = "two"}
        if pong.data ~= "two" then bot:fail("this is the answer to " .. pong.data) end
    """
    double, r = play(t, "late", one_bot(t, body), bots=1)
    right(r)
    equal(double.planted, 1)


def test_a_direct_conversation_can_be_joined(t):
    """By an account; the stand-in lets everyone. chatbot fell over it."""
    _, r = play(t, None, one_bot(t, 'bot:join("@ann", {after = 0})'), bots=1)
    right(r)
