"""server.py: a chatd under test."""
import os
import re
import resource
import select
import shlex
import signal
import subprocess
import sys
import time

from .client import Client
from .log import Log
from .test import SCALE, check, equal

# A program to run chatd under, e.g. `valgrind -q --error-exitcode=99`.
WRAP = shlex.split(os.environ.get("CHATD_WRAP", ""))
BAD_SIGN = re.compile(r"Sanitizer|runtime error:|==\d+==|Assertion|terminate called")
CLEAN_ENV = {"ASAN_OPTIONS": "abort_on_error=0:exitcode=86:detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1",
             "TSAN_OPTIONS": "exitcode=66:second_deadlock_stack=1"}

# LISTEN_PID has to name the process that becomes chatd: only that one knows.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Server:
    """chatd on a free port of the loopback, with memory for data, its log in the test's directory.

    Options become chatd's: threads=4 is --threads 4, ping_seconds=1 is --ping-seconds 1, a list repeats the option,
    True is the bare option, None leaves out a default of ours. Besides: args (words as they are), nofile (a limit of
    descriptors), env (a dict), inherit (a listening socket's descriptor, handed over as systemd does).
    """

    count = 0

    def __init__(self, test, *args, nofile=None, env=None, inherit=None, **options):
        Server.count += 1
        self.test, self.nofile, self.inherit = test, nofile, inherit
        base = test.path(f"chatd{Server.count}")
        self.port_file, self.log_file, self.stderr_file = base + ".ports", base + ".log", base + ".stderr"
        self.log = Log(self.log_file)
        self.env = {**CLEAN_ENV, **os.environ, **(env or {})}
        # What a test says of memory's limits is about the server that has nothing else.
        on_disk = os.environ.get("CHATD_TEST_DATA") == "disk" and not any("history" in str(o) for o in (*options, *args))
        data = base + ".data" if on_disk else "memory"
        defaults = {"listen": "127.0.0.1:0", "port_file": self.port_file, "log": self.log_file, "data": data}
        self.argv = [str(test.build / "chatd"), *self.words({**defaults, **options}), *map(str, args)]
        self.process, self.ports, self.exit_code = None, [], None
        self.clean = True        # False where a test ends it in another way: no good end is asked for
        self.stderr_wanted = ""  # what the test has found in stderr and approves of

    @staticmethod
    def words(options):
        out = []
        for name, value in options.items():
            for v in value if isinstance(value, (list, tuple)) else [value]:
                if v is not None and v is not False:
                    out += ["--" + name.replace("_", "-")] + ([] if v is True else [str(v)])
        return out

    def _before_exec(self):
        if self.nofile:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.nofile, self.nofile))

    def spawn(self):
        hand_over = [sys.executable, "-c", HAND_OVER, str(self.inherit)] if self.inherit is not None else []
        with open(self.stderr_file, "ab") as err:
            self.process = subprocess.Popen(hand_over + WRAP + self.argv, stdin=subprocess.DEVNULL, stdout=err,
                                            stderr=err, env=self.env, preexec_fn=self._before_exec,
                                            pass_fds=() if self.inherit is None else (self.inherit,))
        self.pid = self.process.pid

    def start(self):
        """Runs it and waits until it listens."""
        self.spawn()
        watch = os.pidfd_open(self.pid)
        deadline = time.monotonic() + 10 * SCALE
        try:
            while not os.path.exists(self.port_file):
                ended, _, _ = select.select([watch], [], [], 0.002)
                check(not ended, f"chatd ended at once, exit code {self.process.poll()}: {self.stderr()}")
                check(time.monotonic() < deadline, "chatd wrote no port file")
        finally:
            os.close(watch)
        with open(self.port_file, encoding="ascii") as f:
            self.ports = [int(line) for line in f.read().split()]
        check(self.ports, "the port file is empty")

    @property
    def port(self):
        return self.ports[0]

    def stderr(self):
        with open(self.stderr_file, encoding="utf-8", errors="replace") as f:
            return f.read()

    # ---- clients ----

    def connect(self, nick=None, tls=None, **options):
        """A connection, over TLS where the test is; with nick it has said hello. Options: as Client; hello={...}."""
        hello = options.pop("hello", {})
        options.setdefault("port", self.port)
        c = self.test.keep(Client(tls=self.test.tls if tls is None else tls, **options))
        if nick is not None:
            c.hello(nick, **hello)
        return c

    def join(self, room, nick, **options):
        """A connection that has said hello and is in that room."""
        c = self.connect(nick, **options)
        c.ask("join", room=room)
        return c

    # ---- looking at it ----

    def rss(self):
        """Resident bytes, now."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # ---- its end ----

    def signal(self, which):
        self.process.send_signal(which)

    def wait(self, timeout=15.0):
        """Waits for its end and gives the exit code (minus the signal)."""
        if self.exit_code is None:
            try:
                self.exit_code = self.process.wait(timeout * SCALE)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"chatd still runs {timeout * SCALE:.0f} s after it should have ended") from None
        return self.exit_code

    def stop(self):
        if self.exit_code is None and self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def verify(self):
        """After its end: a good exit code, a good log, silence on stderr."""
        said = self.stderr()
        check(not BAD_SIGN.search(said), f"chatd's stderr:\n{said}")
        if self.clean:
            equal(self.exit_code, 0, "chatd's exit code")
            equal(said, self.stderr_wanted, "chatd's stderr")
        self.log.verify(self.clean)
