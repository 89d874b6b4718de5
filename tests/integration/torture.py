"""torture.py: the short forms of tests/torture: trouble under load, and nothing lost."""
import os
import pathlib
import re
import subprocess

from lib import SCALE, Skip, check, equal, seconds

PROGRAM = pathlib.Path(__file__).resolve().parents[1] / "torture"


def torture(t, *words):
    os.mkdir(t.path("data"))
    done = subprocess.run([PROGRAM, str(t.build), *words, "--data", t.path("data")], capture_output=True, text=True,
                          timeout=110 * SCALE, check=False)
    if done.returncode == 77:
        raise Skip(done.stdout.strip())
    equal(done.returncode, 0, done.stdout + done.stderr)
    acked = re.search(r"(\d+) acknowledged", done.stdout)
    check(acked and int(acked[1]) > 100, done.stdout)
    return done.stdout


@seconds(120)
def test_kill_and_term(t):
    torture(t, "8", "kill", "term", "--senders", "20", "--listeners", "10", "--seconds", "0.5")


@seconds(120)
def test_full_disk(t):
    said = torture(t, "6", "full", "kill", "--senders", "20", "--listeners", "5")
    check("full 6 times" in said, said)


@seconds(120)
def test_clock_set_back(t):
    said = torture(t, "6", "clock", "kill", "term", "--senders", "20", "--listeners", "5", "--seconds", "0.5")
    check(re.search(r"clock was set \d+ times, 6 of them back", said), said)


@seconds(120)
def test_network_pulled(t):
    said = torture(t, "4", "net", "--senders", "10", "--listeners", "5", "--seconds", "0.5")
    check("pulled 4 times" in said, said)
