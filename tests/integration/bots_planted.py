"""bots_planted.py: chatbot against a stand-in for the server that breaks one promise: it has to find each, say which, and
fail. Needs no chatd."""
from lib import check, equal
from lib.bots import right, run_chatbot
from lib.double import PLANT_AT, Double


def play(t, plant):
    double = t.keep(Double(plant))
    return double, run_chatbot(t, "fan-out", double.port, bots=10, rate=60, ramp=0.1, settle=0, duration=1, within=5)


def finds(t, plant, faults, *words):
    double, r = play(t, plant)
    equal(double.planted, 1, "the double has done it")
    equal(r.code, 1, f"chatbot's exit code; it said {r.said}")
    equal(r["faults"], faults)
    check(all(any(word in line for line in r["wrong"]) for word in words), words, r["wrong"])
    check("WRONG" in r.said and r["wrong"][0] in r.progress, r.said)


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
