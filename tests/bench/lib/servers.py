"""The servers that are measured: how each is started as it does best, on its own port, and ended by its pid."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

START_S = 10
END_S = 15


class NotStarted(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def raise_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def first_line(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return (done.stdout.strip().splitlines() or ["?"])[0]


class Server:
    """One kind of server. `protocol` is what the load speaks to it."""

    name = protocol = program = ""
    has_tls = False
    size = 64  # bytes of a message's text

    def __init__(self, build):
        self.build = build

    def find(self):
        """The program's path, or None."""
        return shutil.which(self.program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

    def version(self):
        return first_line(self.find(), "--version")

    def command(self, port, directory, tls, threads):
        raise NotImplementedError

    def start(self, directory, cpus, tls=None, threads=1):
        """tls: None, or (certificate file, key file). Returns what is running."""
        port = free_port()
        command = self.command(port, directory, tls, threads)
        with open(os.path.join(directory, self.name + ".log"), "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory,
                preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        running = Running(self, process, port)
        try:
            running.wait_until_up()
        except NotStarted:
            running.end()
            raise
        return running


class Running:
    def __init__(self, server, process, port):
        self.server, self.process, self.port = server, process, port

    def wait_until_up(self):
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                time.sleep(0.2)
                return
            except OSError:
                time.sleep(0.05)
        raise NotStarted(f"{self.server.name} did not start")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_ns(self):
        total = 0
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{thread}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
        return total

    def wait_until_closed(self, descriptors):
        """Until the server has no more than so many again, and half a second for what it does behind that."""
        end = time.monotonic() + START_S
        while self.descriptors() > descriptors and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Floor(Server):
    name = protocol = "floor"
    size = 160  # what chatd makes of a text of 64 bytes: so both write as much

    def find(self):
        return os.path.join(self.build, "tests", "bench", "floor")

    def version(self):
        return "tests/bench/floor.c"

    def command(self, port, directory, tls, threads):
        return [self.find(), str(port)]


class Chatd(Server):
    name, protocol, has_tls = "chatd", "chat", True

    def find(self):
        return os.path.join(self.build, "chatd")

    def data(self, directory):
        return "memory"

    def command(self, port, directory, tls, threads):
        return [self.find(), "--listen", f"127.0.0.1:{port}", "--data", self.data(directory), "--threads", str(threads),
                "--log-level", "warn", "--idle-seconds", "3600", "--drain-seconds", "0"]


class TracedChatd(Chatd):
    name = "chatd --trace"

    def command(self, port, directory, tls, threads):
        return [*super().command(port, directory, tls, threads), "--trace", tempfile.mkdtemp(dir=directory)]


class StoringChatd(Chatd):
    name = "chatd --data"

    def data(self, directory):
        return tempfile.mkdtemp(dir=directory)


class Redis(Server):
    name, protocol, program, has_tls = "redis", "redis", "redis-server", True

    def command(self, port, directory, tls, threads):
        at = ["--port", str(port)]
        if tls:
            at = ["--port", "0", "--tls-port", str(port), "--tls-cert-file", tls[0], "--tls-key-file", tls[1],
                  "--tls-ca-cert-file", tls[0], "--tls-auth-clients", "no"]
        return [self.find(), *at, "--bind", "127.0.0.1", "--protected-mode", "no", "--save", "", "--appendonly", "no",
                "--maxclients", "18000", "--client-output-buffer-limit", "pubsub 0 0 0"]


class Nats(Server):
    name, protocol, program = "nats", "nats", "nats-server"

    def command(self, port, directory, tls, threads):
        return [self.find(), "-a", "127.0.0.1", "-p", str(port)]


class Mosquitto(Server):
    name, protocol, program, has_tls = "mosquitto", "mqtt", "mosquitto", True

    def version(self):
        return first_line(self.find(), "-h")

    def command(self, port, directory, tls, threads):
        config = os.path.join(directory, "mosquitto.conf")
        lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence false", "set_tcp_nodelay true",
                 "max_queued_messages 0", "log_dest none", "user root"]
        if tls:
            lines += [f"certfile {tls[0]}", f"keyfile {tls[1]}"]
        with open(config, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
        return [self.find(), "-c", config]


INSPIRCD = """
<server name="irc.bench" description="bench" network="bench">
<admin name="bench" nick="bench" email="root@localhost">
<bind address="127.0.0.1" port="{port}" type="clients">
<connect allow="*" timeout="600" pingfreq="3600" threshold="1000000" commandrate="1000000000" fakelag="no"
         hardsendq="1073741824" softsendq="1073741824" recvq="1048576" localmax="100000" globalmax="100000"
         maxchans="100" limit="100000" useident="no" resolvehostnames="no" maxconnwarn="no">
<performance softlimit="100000" somaxconn="4096" netbuffersize="65534" clonesonconnect="no" quietbursts="yes">
<dns server="127.0.0.1" timeout="1">
<log method="stderr" type="* -USERINPUT -USEROUTPUT" level="default" target="unused">
"""


class Inspircd(Server):
    name, protocol, program = "inspircd", "irc", "inspircd"

    def command(self, port, directory, tls, threads):
        config = os.path.join(directory, "inspircd.conf")
        with open(config, "w", encoding="utf-8") as f:
            f.write(INSPIRCD.format(port=port))
        as_root = ["--runasroot"] if os.getuid() == 0 else []
        return [self.find(), "--nofork", "--nopid", *as_root, f"--config={config}"]


# Beside chatd itself, in the group that asks what each costs.
VARIANTS = {"tracing": TracedChatd, "disk": StoringChatd}
ALL = [Floor, Chatd, Redis, Nats, Mosquitto, Inspircd]


def make_certificate(directory):
    """For the peers; chatd makes its own."""
    cert, key = os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=localhost", "-days", "2", "-keyout", key, "-out", cert],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return cert, key
