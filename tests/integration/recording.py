"""recording.py: chat-trace record: whose connections it keeps, and what it does where something is forbidden."""
import os
import re
import socket
import subprocess
import sys

from captures import CONVERSATION
from lib import Skip, check, equal, seconds, wait_until
from lib.trace import chat_trace

STRANGERS = r"""
import socket
for i in range(200):
    with socket.create_server(("127.0.0.1", 0)) as l, socket.create_connection(l.getsockname()) as c:
        l.accept()[0].close()
"""
OWN = r"""
import socket, sys
def port(s):
    print(s.getsockname()[1], flush=True)
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    for i in range(5):
        with socket.create_server((host, 0), family=family) as l, socket.create_connection(l.getsockname()[:2]) as c:
            port(c)
            l.accept()[0].close()
        with socket.socket(family) as s:
            s.bind((host, 0))
            port(s)
            s.connect_ex((host, 1))
"""


@seconds(60)
def test_strangers_are_left_out(t):
    """As root: of a command whose connections last microseconds none is missing, and none of the others' is there."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    with subprocess.Popen([sys.executable, "-c", STRANGERS * 5]) as stranger:
        done = chat_trace(t, "record", "--quiet", "-o", t.path("out"), "--", sys.executable, "-c", OWN)
        stranger.wait()
    if "captured" in done.stderr or "network of its own" in done.stderr:
        raise Skip(done.stderr)
    wanted = sorted(map(int, done.stdout.split()))
    said = chat_trace(t, "show", "--list", t.path("out")).stdout
    got = sorted(int(re.search(r"(\d+) > ", line)[1]) for line in said.splitlines())
    check(set(got) <= set(wanted), f"others' connections were kept: {said}")
    if "too short" not in done.stderr:
        equal(got, wanted, said)
        resets = [line for line in said.splitlines() if "REFUSED" in line]
        equal(len(resets), 10, f"an RST is missing: {said}")


# ---- where something is not allowed ----

CONVERSATION_OF_ONE = CONVERSATION.replace('<"$2/input"', '</dev/null')
MAPPED = """
import socket, time
with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as l, socket.socket(socket.AF_INET6) as c:
    c.connect(("::ffff:127.0.0.1", l.getsockname()[1]))
    s = l.accept()[0]
    time.sleep(0.3)
    s.close()
"""
STRANGE_PORT = """
ip link set lo up && ip addr add 10.9.9.1/32 dev lo && ip route add 10.9.9.77/32 dev lo src 10.9.9.1 || exit 1
"$3" -c "$5" & "$1/chat-trace" record --quiet -o "$2/out" -- "$3" -c "$4"; code=$?; wait; exit $code
"""
LISTEN = """
import socket, time
with socket.create_server(("0.0.0.0", 7077)) as l, socket.create_connection(("127.0.0.1", 7077)) as c:
    time.sleep(1)
"""
CALL_OTHER = """
import socket, time
for i in range(8):
    with socket.socket() as s:
        s.setblocking(False)
        s.connect_ex(("10.9.9.77", 7077))
        time.sleep(0.1)
"""

CALL = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5) as s:
    s.sendall(b"here I am")
"""


def forbidding(t, what=""):
    """The environment of a host that lets unshare() pass and forbids what one would do then: tests/torturing/forbid.c."""
    library = t.build / "tests/torturing/libtest_forbid.so"
    if not library.exists():
        raise Skip("there is no way to forbid anything here")
    asan = os.environ.get("ASAN_OPTIONS", "detect_leaks=0") + ":verify_asan_link_order=0"
    return {**os.environ, "LD_PRELOAD": str(library), "CHATD_TEST_FORBID": what, "ASAN_OPTIONS": asan, "LC_ALL": "C.UTF-8"}


@seconds(60)
def test_forbidden_network(t):
    """Where a network of one's own is forbidden only when one is in it, the command still runs in the one that there is."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        done = subprocess.run([t.build / "chat-trace", "record", "--own-network", "--quiet", "-o", t.path("out"), "--",
                               sys.executable, "-c", CALL, str(listener.getsockname()[1])], env=forbidding(t), text=True,
                              capture_output=True, timeout=20, check=False)
        equal(done.returncode, 0, done.stderr)
        check("forbids a network namespace" in done.stderr, done.stderr)
        with listener.accept()[0] as s:
            equal(s.recv(100), b"here I am")


def forbidden_record(t, what, *args, code=0):
    """record as root, where more than that is forbidden; what it said."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    done = subprocess.run([t.build / "chat-trace", "record", "--quiet", "-o", t.path("out"), *args], env=forbidding(t, what),
                          text=True, capture_output=True, timeout=30, check=False)
    if "Operation not permitted" in done.stderr or "own network" in done.stderr:
        raise Skip(done.stderr)
    equal(done.returncode, code, done.stderr)
    return done.stderr


@seconds(60)
def test_whose_is_not_told(t):
    """Where the kernel tells nothing of others' sockets, what is not known to be the command's is not kept, and that is said."""
    with subprocess.Popen([sys.executable, "-c", STRANGERS]) as stranger:
        said = forbidden_record(t, "bd", "--", "sh", "-c", CONVERSATION_OF_ONE, "sh", t.build, t.dir)
        stranger.wait()
    check("does not tell whose connections are whose" in said, said)
    listed = chat_trace(t, "show", "--list", t.path("out")).stdout.splitlines()
    equal(len(listed), 1, listed)
    check("GRACEFUL, " in listed[0], listed)


@seconds(60)
def test_mapped_addresses(t):
    """A socket of both families, looked for among the kernel's, is the one whose IPv4 segments were captured."""
    forbidden_record(t, "b", "--", sys.executable, "-c", MAPPED)
    listed = chat_trace(t, "show", "--list", t.path("out")).stdout.splitlines()
    equal(len(listed), 1, listed)


@seconds(60)
def test_no_such_interface(t):
    said = forbidden_record(t, "", "-i", "typo0", "--", "touch", t.path("ran"), code=2)
    check("typo0" in said or "No such device" in said, said)
    check(not os.path.exists(t.path("ran")), "the command ran all the same")


@seconds(60)
def test_killed(t):
    """SIGTERM ends the command, then the recording; what others sent lies nowhere, neither meanwhile nor afterwards."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    with subprocess.Popen([t.build / "chat-trace", "record", "--quiet", "-o", t.path("out"), "--", "sh", "-c",
                           f"touch {t.path('runs')}; exec sleep 20"], stderr=subprocess.PIPE, text=True) as done:
        wait_until(lambda: os.path.exists(t.path("runs")), "it runs")
        check("wire.pcap.all" not in os.listdir(t.path("out")), os.listdir(t.path("out")))
        done.terminate()
        equal(done.wait(10), 128 + 15, done.stderr.read())
    equal([name for name in os.listdir(t.path("out")) if not name.endswith("sqlog")], ["wire.pcap"])


@seconds(60)
def test_anothers_port(t):
    """A stranger's connection to another host's port, whose number a socket of the command listens on, is a stranger's."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    done = subprocess.run(["unshare", "-n", "sh", "-c", STRANGE_PORT, "sh", t.build, t.dir, sys.executable, LISTEN, CALL_OTHER],
                          text=True, capture_output=True, timeout=30, check=False)
    if "RTNETLINK" in done.stderr or "unshare" in done.stderr or "network of its own" in done.stderr:
        raise Skip(done.stderr)
    equal(done.returncode, 0, done.stderr)
    check("captured" not in done.stderr, done.stderr)
    listed = chat_trace(t, "show", "--list", t.path("out")).stdout
    check("REFUSED" in listed or "GRACEFUL" in listed or "ABORTED" in listed, f"its own is missing: {listed}")
    check("10.9.9.77" not in listed, listed)


@seconds(60)
def test_forbidden_labs(t):
    """A lab that needs such a network is skipped, and says why; one that does not runs."""
    for name, code, word in (("fast-open", 77, "forbids a network namespace"), ("linger-zero", 0, "as expected")):
        done = subprocess.run([t.build / "chat-trace", "lab", name], env={**forbidding(t), "TMPDIR": str(t.dir)}, text=True,
                              capture_output=True, timeout=30, check=False)
        equal(done.returncode, code, done.stdout + done.stderr)
        check(word in done.stdout, done.stdout)
