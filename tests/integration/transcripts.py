"""transcripts.py: plays the conversations in the documentation against a real chatd, over plain TCP and over TLS.

A ```transcript block has one server of its own; words like --history 3 after `transcript` are options for it, `plain`
or `tls` plays it over that alone. Its lines:

    > {...}         the client sends this line (as it stands, whatever it is)
    < {...}         the server sends this; * stands for any value, ... for more fields
    = fin           the client ends its side
    < fin           the server ends its side
    ann> bob<       the same, with several clients

Of one client's `<` lines the answers (with re) come in the written order, and so do the lines that the server pushes;
between the two the order is free, as PROTOCOL.md says. A bye is the last line of all. Every line has to be
written down: at the block's end nothing else may have come.
"""
import json
import pathlib
import re

from lib import both, check, equal

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLACES = ["README.md", "protocol/*.md", "docs/*.md", "docs/*/*.md"]
FENCE = re.compile(r"^```transcript\b(.*)$")
STEP = re.compile(r"^(\w*)([><=]) ?(.*)$")
STAR = "\u0000any"   # stands for *
REST = "\u0000more"  # stands for ...
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\*|\.\.\.')


def blocks(text):
    """(number of the fence's line, its words, the lines inside) of each transcript."""
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        m = FENCE.match(line)
        if m:
            inside = []
            for n, inner in lines:
                if inner.startswith("```"):
                    break
                inside.append((n, inner))
            yield number, m[1].split(), inside


def parse_wanted(text):
    """A `<` line as an object in which STAR and REST stand for what is not told."""
    def replace(m):
        return {"*": json.dumps(STAR), "...": f"{json.dumps(REST)}:0"}.get(m[0], m[0])
    return json.loads(TOKEN.sub(replace, text))


def fits(got, wanted):
    if wanted == STAR:
        return True
    if not isinstance(wanted, dict):
        return got == wanted and type(got) is type(wanted)
    if not isinstance(got, dict):
        return False
    named = wanted.keys() - {REST}
    return (all(k in got and fits(got[k], wanted[k]) for k in named)
            and (REST in wanted or got.keys() == named))


class Actor:
    """One client of a transcript."""

    def __init__(self, client):
        self.client, self.ended, self.finished = client, False, False

    def say(self, text):
        self.client.raw(text + "\n")

    def fin(self):
        self.client.fin()
        self.finished = True

    def hear(self, text):
        """Takes the next line of the wanted line's kind, answer or pushed, and compares."""
        if text == "fin":
            equal(self.client.rest(), [], "lines before the server's FIN")
            self.ended = True
            return
        wanted = parse_wanted(text)
        check("type" in wanted, f"no type in {text}")
        got = self.take("re" in wanted)
        check(fits(got, wanted), f"got    {json.dumps(got, ensure_ascii=False)}\n        wanted {text}")
        if wanted["type"] == "bye":
            equal(self.client.rest(), [], "lines after bye")

    def take(self, is_answer):
        waiting = []
        while True:
            line = self.client.next()
            if ("re" in line) == is_answer:
                self.client.inbox.extendleft(reversed(waiting))
                return line
            waiting.append(line)

    def leave(self):
        if not self.finished and not self.ended:
            self.client.quiet()
        elif not self.ended:
            equal(list(self.client.inbox), [], "lines that are not written down")


def server_options(words):
    return [w for w in words if w not in ("plain", "tls")]


def play(test, words, steps):
    server = test.server(*server_options(words))
    actors = {}
    for number, line in steps:
        if not line.strip():
            continue
        m = STEP.match(line)
        check(m, f"line {number} is no step of a transcript: {line}")
        name, sign, text = m.groups()
        if name not in actors:
            actors[name] = Actor(server.connect())
        actor = actors[name]
        try:
            if sign == "=":
                equal(text, "fin", "what a client does")
            {">": actor.say, "<": actor.hear, "=": lambda _: actor.fin()}[sign](text)
        except AssertionError as e:
            raise AssertionError(f"line {number}: {line}\n        {e}") from None
    for actor in actors.values():
        actor.leave()


def case(words, steps):
    def func(test):
        play(test, words, steps)
    both(func)
    only = [w for w in words if w in ("plain", "tls")]
    if only:
        func.transports = tuple(only)
    return func


def cases():
    for place in PLACES:
        for path in sorted(ROOT.glob(place)):
            name = path.relative_to(ROOT).with_suffix("")
            for number, words, steps in blocks(path.read_text(encoding="utf-8")):
                yield f"{name}:{number}", case(words, steps)
