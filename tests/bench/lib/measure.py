"""What is measured: shapes, each put on every server in turn, round after round: a noisy minute hits all alike."""

import json
import os
import re
import statistics
import subprocess
import sys

from lib import servers

IDLE = 15000  # connections, in rooms of 1000
FAN_OUT = ["1x1000:1", "1x1000:64", "1x100:64", "500x10:8", "500x10:1"]
TLS = ["tls:1x1000:1", "tls:1x1000:64"]
IDLING = ["idle", "tls:idle"]
REACTORS = ["reactors:1x1000:1", "reactors:1x1000:64"]
# What grows tenfold, and the two shapes: at window 1, where each delivery is a write of its own however many
# there are. Bystanders (+N) keep the number of connections where that is not what grows; *N: everyone is in so many
# rooms, and speaks in them in turn. The floor knows no such thing: it does the same work for either.
SCALING = {
    "rooms": ("50x10:1+0*1", "50x10:1+0*10"),
    "rooms with members of their own": ("50x10:1+4950", "500x10:1+0"),
    "members": ("1x100:1+900", "1x1000:1+0"),
    "connections": ("1x100:1+1399", "1x100:1+14899"),
}
# Of chatd beside itself with --trace, or with its history on disk. "lives": IDLE connections made and closed.
TRACING = ["tracing:1x1000:64", "tracing:lives"]
DISK = ["disk:1x1000:1", "disk:1x1000:64", "disk:lives"]
SCALES = [shape for pair in SCALING.values() for shape in pair]
GROUPS = {"fan-out": FAN_OUT, "tls": TLS, "memory": IDLING, "reactors": REACTORS, "scaling": SCALES, "tracing": TRACING,
          "disk": DISK}


def groups_of(words):
    """The shapes that the words of the command line mean, by group."""
    chosen = {}
    for word in words or GROUPS:
        for group, shapes in GROUPS.items():
            if word == group:
                chosen[group] = list(shapes)
            elif word in shapes:
                chosen.setdefault(group, []).append(word)
            else:
                continue
            break
        else:
            if not re.fullmatch(r"\d+x\d+:\d+", word):
                raise ValueError(f"{word} is neither a shape nor one of {', '.join(GROUPS)}")
            chosen.setdefault("fan-out", []).append(word)
    return chosen


class Bench:
    def __init__(self, build, directory, seconds, only):
        self.build, self.directory, self.seconds = build, directory, seconds
        self.results = []
        self.certificate = servers.make_certificate(directory)
        self.servers, self.missing = [], []
        for kind in servers.ALL:
            server = kind(build)
            if only and server.name not in only:
                continue
            if server.find() and os.path.exists(server.find()):
                self.servers.append(server)
            else:
                self.missing.append(server.program or server.name)
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpus, self.load_cpus, self.all_cpus = {cpus[0]}, {cpus[-1]}, set(cpus)

    def run(self, groups, rounds):
        for group, shapes in groups.items():
            for shape in shapes:
                for number in range(rounds):
                    runs = self.runs_of(group, shape)
                    turn = number % len(runs) if runs else 0
                    for server, threads in runs[turn:] + runs[:turn]:
                        self.measure(group, shape, server, threads, number)

    def runs_of(self, group, shape):
        """Which servers, on how many threads."""
        if group in servers.VARIANTS:
            return [(s, 1) for s in self.servers if s.name == "chatd"] + [(servers.VARIANTS[group](self.build), 1)]
        if group == "reactors":
            return [(s, n) for s in self.servers if s.name == "chatd" for n in (1, 2)]
        if group == "scaling":
            return [(s, 1) for s in self.servers if s.name in ("floor", "chatd")]
        if group == "memory":
            return [(s, 1) for s in self.servers if s.name != "floor" and (s.has_tls or shape == "idle")]
        if group == "tls":
            return [(s, 1) for s in self.servers if s.has_tls or s.name == "floor"]
        return [(s, 1) for s in self.servers]

    def measure(self, group, shape, server, threads, number):
        tls = shape.startswith("tls:") and server.has_tls
        free = group == "reactors"  # then both server and load may run anywhere
        running = None
        print(f"{shape} {server.name} threads={threads} round {number + 1}", file=sys.stderr, flush=True)
        try:
            running = server.start(self.directory, self.all_cpus if free else self.server_cpus,
                                   self.certificate if tls else None, threads)
            result = self.put_load(shape, server, running, tls, self.all_cpus if free else self.load_cpus)
        except (servers.NotStarted, subprocess.SubprocessError, ValueError) as e:
            print(f"  failed: {e}", file=sys.stderr)
            result = {"failed": str(e)}
        finally:
            if running:
                running.end()
        result.update(group=group, shape=shape, server=server.name, threads=threads, round=number)
        self.results.append(result)

    def put_load(self, shape, server, running, tls, cpus):
        command = [os.path.join(self.build, "tests", "bench", "load"), server.protocol, str(running.port),
                   str(running.process.pid), "--size", str(server.size)]
        if shape.endswith(("idle", "lives")):
            rooms = IDLE // 1000
            command += ["--rooms", str(rooms), "--members", "999", "--ms", "0", "--settle-ms", "2000" if shape.endswith("idle") else "1000"]
        else:
            rooms, members, window, bystanders, each = re.search(
                r"(\d+)x(\d+):(\d+)(?:\+(\d+))?(?:\*(\d+))?$", shape).groups("0")
            command += ["--rooms", rooms, "--members", members, "--window", window, "--bystanders", bystanders,
                        "--ms", str(int(self.seconds * 1000))]
            if each != "0":
                command += ["--rooms-each", each]
        if tls:
            command.append("--tls")
        descriptors, cpu = running.descriptors(), running.cpu_ns()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                              timeout=self.seconds + 240, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        if done.returncode != 0:
            raise ValueError(done.stderr.strip() or f"the load ended with {done.returncode}")
        result = json.loads(done.stdout)
        if shape.endswith("lives"):
            running.wait_until_closed(descriptors)
            result["us_to_close"] = (running.cpu_ns() - cpu) / IDLE / 1000 - result["cpu_us_per_connection"]
        return result

    # --- what came out

    def values(self, shape, server, key, threads=1):
        """By round."""
        return {r["round"]: r[key] for r in self.results
                if (r["shape"], r["server"], r["threads"]) == (shape, server, threads) and key in r}

    def median(self, shape, server, key, threads=1):
        values = self.values(shape, server, key, threads)
        return statistics.median(values.values()) if values else None

    def ratio(self, over, under, key="ns_per_delivery"):
        """Median of the rounds' ratios. over, under: (shape, server) or (shape, server, threads)."""
        top = self.values(over[0], over[1], key, *over[2:])
        bottom = self.values(under[0], under[1], key, *under[2:])
        both = [top[n] / bottom[n] for n in top if bottom.get(n)]
        return statistics.median(both) if both else None
