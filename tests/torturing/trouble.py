"""trouble.py: what can be done to a server's surroundings: its disk, its clock, its network. Each kind begins and ends within
a round, as often as asked, and says at the end what it has done."""
import mmap
import os
import random
import struct
import subprocess
import sys
import time

INSIDE = "CHATD_TORTURE_INSIDE"  # in the environment once we are in namespaces of our own


class Unable(Exception):
    """This machine can't do it; the text says why."""


def enter_namespaces(kinds):
    """Runs the same command again where mounts, and the network, are its own: root needs no more, others become root there."""
    if os.environ.get(INSIDE):
        return
    words = ["unshare", "--mount"] + (["--net"] if "net" in kinds else [])
    words += [] if os.geteuid() == 0 else ["--map-root-user"]
    try:
        done = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
    except OSError as e:
        raise Unable(f"unshare is needed: {e}") from None
    if done.returncode:
        raise Unable(f"this machine lets no namespaces be made: {done.stderr.strip()}")
    sys.stdout.flush()
    os.execvpe(words[0], [*words, sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})


def must(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unable(f"{' '.join(words)}: {done.stderr.strip()}")


class Trouble:
    """Nothing: for kinds that do less."""

    prefix, options, env, host = [], [], {}, "127.0.0.1"
    silence_s = 1e9  # after which a client gives up

    def span(self, seconds):
        """Within a round: when it begins, when it ends, and how long the round is."""
        return *sorted(random.uniform(0, seconds) for _ in range(2)), seconds

    def begin(self):
        pass

    def end(self):
        pass

    def said(self):
        return ""

    def close(self):
        pass


class Full(Trouble):
    """The disk of the data is small, and full for a while."""

    def __init__(self, data, _build):
        must("mount", "-t", "tmpfs", "-o", "size=256m", "none", data)
        self.filler, self.times = os.path.join(data, "filler"), 0

    def begin(self):
        with open(self.filler, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 65536)
            except OSError:
                self.times += 1

    def end(self):
        if os.path.exists(self.filler):
            os.unlink(self.filler)

    def said(self):
        return f"the disk was full {self.times} times"


class Clock(Trouble):
    """The server's clock is set, mostly back, by up to hours; it goes on from there."""

    def __init__(self, _data, build):
        library = os.path.join(build, "tests/torturing/libtest_clock.so")
        if not os.path.exists(library):
            raise Unable(f"there is no {library}")
        self.file = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"chatd-clock-{os.getpid()}")
        with open(self.file, "wb") as f:
            f.write(bytes(8))
        with open(self.file, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 8)
        self.shift_us, self.times, self.back = 0, 0, 0
        self.env = {"LD_PRELOAD": library, "CHATD_TEST_CLOCK": self.file,
                    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}

    def set(self, by_us):
        self.shift_us += by_us
        self.map[:] = struct.pack("=q", self.shift_us)
        self.times += 1
        self.back += by_us < 0

    def begin(self):
        self.set(-int(10 ** random.uniform(3, 10)))  # a millisecond to some hours

    def end(self):
        if random.random() < 0.3:
            self.set(int(10 ** random.uniform(3, 9.5)))

    def said(self):
        return f"the clock was set {self.times} times, {self.back} of them back"

    def close(self):
        os.unlink(self.file)


class Net(Trouble):
    """The server is behind a wire of its own, which is pulled for less or for longer than the server waits for the silent."""

    idle_s = 3
    silence_s = 3.5
    host, client = "10.77.0.2", "10.77.0.1"

    def __init__(self, _data, _build):
        if not os.environ.get(INSIDE):
            raise Unable("this needs a network namespace")
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "1000000"])
        self.prefix = ["nsenter", "-t", str(self.holder.pid), "-n"]
        self.times = self.long = 0
        self.options = ["--plain", "any", "--trusted", "10.77.0.0/24", "--ping-seconds", "1", "--idle-seconds", str(self.idle_s),
                        "--stall-seconds", "2", "--login-seconds", "2", "--linger-seconds", "1"]
        try:
            self.lay()
        except (Unable, OSError) as e:
            self.close()
            raise Unable(str(e)) from None

    def lay(self):
        ours, deadline = os.readlink("/proc/self/ns/net"), time.monotonic() + 10
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == ours:
            if self.holder.poll() is not None or time.monotonic() > deadline:
                raise Unable("a second network namespace can't be made")
            time.sleep(0.005)
        must("ip", "link", "add", "torture0", "type", "veth", "peer", "name", "torture1", "netns", str(self.holder.pid))
        for prefix, name, address in (([], "torture0", self.client), (self.prefix, "torture1", self.host)):
            must(*prefix, "ip", "address", "add", f"{address}/24", "dev", name)
            must(*prefix, "ip", "link", "set", name, "up")
            must(*prefix, "ip", "link", "set", "lo", "up")

    def span(self, seconds):
        first = random.uniform(0, seconds / 2)
        last = first + random.choice([random.uniform(0.1, 0.9), random.uniform(1.1, 2.2)]) * self.idle_s
        return first, last, last + random.uniform(0, seconds / 2)

    def begin(self):
        """Now at one end, now at the other: there the network is gone, here only silent."""
        self.at = random.choice([(self.prefix, "torture1"), ([], "torture0")])
        self.began, self.times = time.monotonic(), self.times + 1
        must(*self.at[0], "ip", "link", "set", self.at[1], "down")

    def end(self):
        must(*self.at[0], "ip", "link", "set", self.at[1], "up")
        self.long += time.monotonic() - self.began > self.idle_s

    def said(self):
        return f"the network was pulled {self.times} times, {self.long} of them for longer than {self.idle_s} s of idle-seconds"

    def close(self):
        self.holder.kill()
        self.holder.wait()


KINDS = {"full": Full, "clock": Clock, "net": Net}
