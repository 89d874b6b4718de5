"""labs.py: chat-trace lab: each lab, on this kernel, as an ordinary user would run it."""
import pathlib
import re

from lib import LONG, SCALE, Skip, check, equal, seconds
from lib.trace import chat_trace

ROOT = pathlib.Path(__file__).resolve().parents[2]
SLOW = {"half-open", "orphan-fin-wait-2"}  # some seconds each


def names(t):
    return [line.split()[0] for line in chat_trace(t, "lab", "list").stdout.splitlines()]


def lab(name):
    def run(t):
        if name in SLOW and not LONG:
            raise Skip("takes seconds: CHATD_LONG=1 runs it")
        said = chat_trace(t, "lab", name, timeout=60).stdout
        check("NOT " not in said and " of " in said, said)
    run.seconds = 60
    return run


def cases():
    for name in ("handshake", "syn-lost", "syn-received", "half-close", "three-or-four", "simultaneous-close",
                 "rst-unread", "lingering-close", "linger-zero", "time-wait", "orphan-fin-wait-2", "half-open", "backlog",
                 "zero-window", "tls-close", "fast-open"):
        yield name, lab(name)


def test_list(t):
    equal(len(names(t)), 16)
    equal(names(t), [name for name, _ in cases()])


def test_no_such_lab(t):
    said = chat_trace(t, "lab", "nonsense", code=2).stderr
    check("there is no lab nonsense" in said, said)


@seconds(2400)
def test_all_twenty_times(t):
    if not LONG:
        raise Skip("takes minutes: CHATD_LONG=1 runs it")
    for _ in range(20):
        last = chat_trace(t, "lab", "--brief", "all", timeout=120 / SCALE).stdout.splitlines()[-1]
        check(last.startswith("16 labs as expected, 0 not, 0 skipped"), last)


def test_closing_comes_from_the_kernel(t):
    """simultaneous-close: CLOSING and TIME_WAIT of both sides are what inet_diag said, not what follows from segments."""
    said = chat_trace(t, "lab", "simultaneous-close", timeout=60).stdout
    for state in ("CLOSING*", "TIME_WAIT*"):
        check(said.count(state) >= 2, f"{state} on both sides:\n{said}")
    check("~CLOSING" not in said and "~TIME_WAIT" not in said, said)


def test_each_lab_is_in_the_docs(t):
    """docs/tcp names each lab that there is and no other, in both languages."""
    for place in ("docs/tcp", "docs/tcp/zh"):
        text = "".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / place).glob("*.md")))
        named = set(re.findall(r"chat-trace lab ([a-z0-9-]+)", text))
        equal(named - {"list", "all"} - set(names(t)), set(), f"{place}: labs that there are not")
        equal({name for name in names(t) if f"`{name}`" not in text and name not in named}, set(), f"{place}: labs left out")
