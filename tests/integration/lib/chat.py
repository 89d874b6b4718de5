"""chat.py: the program chat under test, in a pipe or on a terminal, and a server of few words that plays what a real
one does only on a bad day."""
import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import time

from .server import BAD_SIGN, CLEAN_ENV
from .test import SCALE, Skip, check, equal, wait_until

PATIENCE = 8.0


class Chat:
    """A chat process with pipes. Its home, and so its known_hosts, is the test's directory."""

    count = 0

    def __init__(self, test, *args, stdin=None, env=None, ignored=None):
        Chat.count += 1
        self.test = test
        self.stderr_file = test.path(f"chat{Chat.count}.stderr")
        self.env = {**CLEAN_ENV, **os.environ, "HOME": str(test.dir), "USER": "tester", "LC_ALL": "C.UTF-8",
                    "TERM": "xterm", "TZ": "UTC", **(env or {})}
        self.env.pop("XDG_CONFIG_HOME", None)
        self.argv = [str(test.build / "chat"), *map(str, args)]
        self.out = b""
        with open(self.stderr_file, "wb") as err:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err,
                                            env=self.env, preexec_fn=ignored and (lambda: signal.signal(ignored, signal.SIG_IGN)))
        self.fd = self.process.stdout.fileno()
        test.keep(self)
        if stdin is not None:
            try:
                self.write(stdin)
                self.end_input()
            except BrokenPipeError:
                pass  # it has ended already, for which there are good reasons

    def write(self, text):
        self.process.stdin.write(text.encode() if isinstance(text, str) else text)
        self.process.stdin.flush()

    def end_input(self):
        self.process.stdin.close()

    def pump(self, timeout):
        """Takes what has been printed; False at its end."""
        ready, _, _ = select.select([self.fd], [], [], max(0.0, timeout))
        if not ready:
            return True
        data = os.read(self.fd, 1 << 16)
        self.out += data
        return bool(data)

    @property
    def text(self):
        return self.out.decode(errors="replace")

    def expect(self, what, timeout=PATIENCE):
        """Waits until that has been printed."""
        deadline = time.monotonic() + timeout * SCALE
        while what not in self.text:
            more = self.pump(deadline - time.monotonic())
            check(what in self.text or (more and time.monotonic() < deadline),
                  f"chat did not print {what!r}, but {self.text[-2000:]!r}; stderr: {self.stderr()}")
        return self

    def run(self, exit_code=0, timeout=PATIENCE):
        """Waits for its end, which must be that one, and gives what it printed."""
        deadline = time.monotonic() + timeout * SCALE
        while self.pump(deadline - time.monotonic()):
            check(time.monotonic() < deadline, f"chat still runs; it printed {self.text[-2000:]!r}; {self.stderr()}")
        self.process.wait(PATIENCE * SCALE)
        check(not BAD_SIGN.search(self.stderr()), self.stderr())
        equal(self.process.returncode, exit_code, f"chat's exit code ({self.stderr()}) {self.text[-500:]}")
        return self.text

    def stderr(self):
        with open(self.stderr_file, encoding="utf-8", errors="replace") as f:
            return f.read()

    def lines(self):
        """What --json printed, as dicts."""
        return [json.loads(line) for line in self.text.splitlines()]

    def signal(self, which):
        self.process.send_signal(which)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for f in (self.process.stdin, self.process.stdout):
            if f and not f.closed:
                try:
                    f.close()
                except OSError:
                    pass


class Terminal:
    """chat on a terminal of that size, which tmux plays: what is asked for is what a person would see."""

    count = 0

    def __init__(self, test, *args, columns=80, rows=24, env=None, after=""):
        if not shutil.which("tmux"):
            raise Skip("there is no tmux")
        Terminal.count += 1
        self.tmux_words = ["tmux", "-S", test.path(f"tmux{Terminal.count}"), "-f", "/dev/null"]
        words = ["env", f"HOME={test.dir}", "LC_ALL=C.UTF-8", "TERM=screen-256color", "TZ=UTC", "USER=tester"]
        words += [f"{k}={v}" for k, v in {**CLEAN_ENV, **(env or {})}.items()]
        words += [str(test.build / "chat"), *map(str, args)]
        # tmux sometimes misses with what code its program has ended; a shell does not.
        self.code_file = test.path(f"tmux{Terminal.count}.code")
        words = ["sh", "-c", 'trap : INT QUIT; "$@"; echo $? >"$0"; ' + after, self.code_file, *words]
        self.tmux("new-session", "-d", "-x", columns, "-y", rows, shlex.join(words), ";", "set", "-g", "remain-on-exit", "on",
                  ";", "set", "-g", "status", "off")
        test.keep(self)

    def tmux(self, *words):
        return subprocess.run([*self.tmux_words, *map(str, words)], check=True, capture_output=True, text=True).stdout

    def screen(self):
        """What stands there, without empty lines at the end."""
        return self.tmux("capture-pane", "-p", "-S", "-200").rstrip("\n")

    def raw(self):
        """The same with colours."""
        return self.tmux("capture-pane", "-p", "-e", "-S", "-200")

    def keys(self, *names):
        self.tmux("send-keys", *names)
        return self

    def write(self, text):
        self.tmux("send-keys", "-l", text)
        return self

    def type(self, line):
        return self.write(line).keys("Enter")

    def paste(self, text):
        self.tmux("set-buffer", text)
        self.tmux("paste-buffer", "-p")
        return self

    def resize(self, columns, rows=24):
        """tmux sets out the screen anew at once, and tells the program a while later."""
        self.tmux("resize-window", "-x", columns, "-y", rows)
        fd = os.open(self.tmux("display-message", "-p", "#{pane_tty}").strip(), os.O_RDONLY | os.O_NOCTTY)
        try:
            wait_until(lambda: os.get_terminal_size(fd) == (columns, rows), "the terminal's new size")
        finally:
            os.close(fd)
        return self

    def expect(self, what, timeout=PATIENCE):
        """Waits until that can be seen; a compiled pattern or a text. Gives the screen."""
        deadline = time.monotonic() + timeout * SCALE
        while True:
            seen = self.screen()
            if what.search(seen) if hasattr(what, "search") else what in seen:
                return seen
            check(time.monotonic() < deadline, f"{what!r} is not on the screen:\n{seen}")
            time.sleep(0.02)

    def expect_line(self, last, timeout=PATIENCE):
        """Waits until that is the line at the bottom."""
        return self.expect(re.compile(re.escape(last) + r"\s*\Z"), timeout)

    def _code(self):
        try:
            with open(self.code_file, encoding="ascii") as f:
                return f.read().strip()
        except FileNotFoundError:
            return ""

    def ended(self, exit_code=0, timeout=PATIENCE):
        """Waits for its end, which must be that one; gives the last screen."""
        deadline = time.monotonic() + timeout * SCALE
        while not (code := self._code()):
            check(time.monotonic() < deadline, f"chat still runs:\n{self.screen()}")
            time.sleep(0.02)
        equal(code, str(exit_code), "exit code\n" + self.screen())
        check(not BAD_SIGN.search(self.screen()), self.screen())
        return self.screen()

    def close(self):
        subprocess.run([*self.tmux_words, "kill-server"], capture_output=True)


class Puppet:
    """A listening socket whose other end is played by the test, line by line."""

    def __init__(self, test):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE * SCALE)
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.sock = None
        test.keep(self)

    def accept(self):
        if self.sock:
            self.sock.close()
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(PATIENCE * SCALE)
        self.file = self.sock.makefile("rb")
        return self

    def take(self, type=None):
        """The next line of the client's, which has to be of that type."""
        line = self.file.readline()
        check(line, "the client ended its side")
        request = json.loads(line)
        check(type is None or request["type"] == type, f"not a {type}: {request}")
        return request

    def say(self, type, **fields):
        self.raw(json.dumps({"type": type, **fields}, ensure_ascii=False) + "\n")
        return self

    def raw(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)
        return self

    def welcome(self, epoch=1, seq=0, resume="token", **limits):
        """Plays the beginning up to the first room; gives hello and join."""
        hello = self.take("hello")
        self.say("welcome", re=hello["id"], server="puppet 1", version=1, nick=hello["nick"], session="p-1", resume=resume,
                 time=int(time.time() * 1000), limits=limits)
        join = self.take("join")
        self.say("joined", re=join["id"], room=join["room"], epoch=epoch, seq=seq, members=1, topic="")
        return hello, join

    def msg(self, seq, text, nick="ann", room="general", age_s=0):
        return self.say("msg", room=room, seq=seq, nick=nick, time=int((time.time() - age_s) * 1000), text=text)

    def ack(self, send, seq):
        return self.say("ack", re=send["id"], room=send["room"], seq=seq, time=1)

    def expect_end(self):
        equal(self.file.readline(), b"", "the client's end")
        return self

    def end(self):
        """Says bye and ends its side, after the client has ended its own."""
        self.expect_end()
        self.say("bye", code="eof", text="that was all")
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def cut(self):
        """Goes away without a word."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.file.close()
        self.sock.close()
        self.sock = None
        return self

    def close(self):
        self.listener.close()
        if self.sock:
            self.sock.close()


__all__ = ["Chat", "Puppet", "Terminal"]
