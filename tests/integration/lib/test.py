"""test.py: a test's surroundings (its servers, its directory, what is checked after it) and small words for
writing one."""
import os
import pathlib
import time

# Slow builds (sanitizers, valgrind) get more time by CHATD_TIME_SCALE; CHATD_LONG=1 asks for the full figures.
SCALE = float(os.environ.get("CHATD_TIME_SCALE", "1"))
LONG = os.environ.get("CHATD_LONG", "") not in ("", "0")


class Skip(Exception):
    """This machine cannot run the test; the text says why."""


def both(func):
    """The test runs twice, over plain TCP and over TLS; t.tls says which."""
    func.transports = ("plain", "tls")
    return func


def seconds(n):
    """How long the test may take, where that is not the usual 30 s."""
    def mark(func):
        func.seconds = n
        return func
    return mark


def check(fact, *what):
    if not fact:
        raise AssertionError(" ".join(map(str, what)) or "that does not hold")


def clip(value):
    """For a failure's text: a value in at most some 600 characters."""
    text = repr(value)
    return text if len(text) <= 600 else f"{text[:400]} ... {text[-150:]} ({len(text)} characters)"


def equal(got, wanted, what=""):
    if got == wanted:
        return
    where = ""
    if isinstance(got, list) and isinstance(wanted, list):
        at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
        where = f" (lengths {len(got)} and {len(wanted)}; different from {at} on: {clip(got[at:at + 3])})"
    raise AssertionError(f"{what + ': ' if what else ''}got {clip(got)}, wanted {clip(wanted)}{where}")


def raises(kind, func, *args):
    try:
        func(*args)
    except kind as e:
        return e
    raise AssertionError(f"{kind.__name__} did not come")


def wait_until(fact, what, timeout=5.0):
    """Polls until fact() is true and returns what it said."""
    deadline = time.monotonic() + timeout * SCALE
    while True:
        got = fact()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout * SCALE:.0f} s in vain: {what}")
        time.sleep(0.002)


def evidence_of(directory):
    """The ends of the logs and of what was said to stderr: for a failure's detail."""
    out = []
    for path in sorted(pathlib.Path(directory).glob("*.log")) + sorted(pathlib.Path(directory).glob("*.stderr")):
        lines = path.read_text(errors="replace").splitlines()
        if lines:
            out.append(f"--- {path.name}, the last of {len(lines)} lines")
            out += lines[-25:]
    return "\n".join(out) + "\n"


class Test:
    """Given to each test. What it makes ends with it, and is checked."""

    def __init__(self, build, directory, tls):
        self.build, self.dir, self.tls = pathlib.Path(build), pathlib.Path(directory), tls
        self.servers = []
        self.things = []  # whatever has a close(): closed at the end, last one first

    def server(self, *args, **options):
        """A running chatd; see Server for the options."""
        from .server import Server
        s = Server(self, *args, **options)
        self.servers.append(s)
        s.start()
        return s

    def path(self, name):
        return str(self.dir / name)

    def keep(self, thing):
        self.things.append(thing)
        return thing

    def _close_things(self):
        while self.things:
            self.things.pop().close()

    def finish(self):
        """After a test that has passed: everything ends in good order, or it has not passed."""
        self._close_things()
        for s in self.servers:
            s.stop()
        for s in self.servers:
            s.verify()

    def abandon(self):
        for s in self.servers:
            s.kill()
        try:
            self._close_things()
        except OSError:
            pass

    def evidence(self):
        return evidence_of(self.dir)
