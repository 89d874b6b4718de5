"""bots.py: chatbot run against a server, its report read."""
import json
import os
import subprocess

from .server import BAD_SIGN, CLEAN_ENV
from .test import SCALE, Skip, check, equal


class Report(dict):
    """What chatbot --json has written; besides: code (its exit code), said (stdout), progress (stderr)."""


def start_chatbot(t, script, port, *args, **options):
    """chatbot as a process. options: rate=5 is --rate 5, tls=True the bare option."""
    program = t.build / "chatbot"
    if not os.access(program, os.X_OK):
        raise Skip("chatbot is not built: there is no Lua 5.4")
    words = []
    for name, value in options.items():
        words += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
    return subprocess.Popen([str(program), str(script), "--host", f"127.0.0.1:{port}", "--json", t.path("run.json"), *words, *args],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**CLEAN_ENV, **os.environ})


def finish_chatbot(t, process, timeout=25.0):
    """Waits for its end and reads the report, where it has written one."""
    try:
        said, progress = process.communicate(timeout=timeout * SCALE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"chatbot did not end: {process.communicate()[1][-2000:]}") from None
    check(not BAD_SIGN.search(progress), f"chatbot's stderr:\n{progress}")
    report = Report()
    if os.path.exists(t.path("run.json")):
        with open(t.path("run.json"), encoding="utf-8") as f:
            report.update(json.load(f))
    report.code, report.said, report.progress = process.returncode, said, progress
    return report


def run_chatbot(t, script, port, *args, **options):
    return finish_chatbot(t, start_chatbot(t, script, port, *args, **options))


def right(report):
    """The run found nothing wrong."""
    equal(report.get("wrong"), [], f"what chatbot found wrong (exit {report.code}): {report.progress[-1500:]}")
    equal(report.code, 0, "chatbot's exit code")
    check("right:" in report.said, report.said)
    return report
