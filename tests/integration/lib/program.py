"""program.py: chatd run to its end, for the tests of how it starts, or does not."""
import os
import subprocess

from .server import CLEAN_ENV, WRAP
from .test import SCALE, check, equal


def check_good(test, data, messages):
    """--check-data finds so many messages, and nothing wrong."""
    code, out, err = run_chatd(test, "--data", data, "--check-data")
    equal((code, err), (0, ""))
    check(f"good: {messages} messages" in out, out)


def run_chatd(test, *args, timeout=10.0, **popen):
    """Runs chatd with these words and gives (exit code, stdout, stderr)."""
    done = subprocess.run([*WRAP, str(test.build / "chatd"), *map(str, args)], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout * SCALE, check=False,
                          env={**CLEAN_ENV, **os.environ}, **popen)
    return done.returncode, done.stdout, done.stderr
