"""starting.py: how chatd starts, and what it says when it cannot: one sentence and an exit code."""
import os
import re
import socket
import subprocess

from lib import Skip, both, check, equal, run_chatd, wait_until

USAGE, LISTEN, STORAGE = 2, 3, 4

# The words of a command line, and what the sentence about it must have in it.
BAD_OPTIONS = [
    (["--lisen", "127.0.0.1:0"], "--listen"), (["--nonsense"], "--help"), (["word"], "word"),
    (["--threads"], "--threads"), (["--threads", "none"], "threads"), (["--threads", "0"], "1"),
    (["--threads", "65"], "64"), (["--listen", "127.0.0.1"], "listen"), (["--listen", "127.0.0.1:70000"], "listen"),
    (["--listen", "nowhere:7000"], "listen"), (["--plain", "maybe"], "loopback"), (["--log-level", "loud"], "info"), (["--trusted", "127.0.0.1/8"], "127.0.0.0/8"),
    (["--max-line", "1"], "max-line"), (["--drain-seconds", "-1"], "drain-seconds"),
]

# A config file, the number of the bad line, and what the sentence about it must have in it.
BAD_CONFIGS = [
    ("# fine\nthreads = 2\nlisten 127.0.0.1:0\n", 3, "="),
    ("threads = many\n", 1, "whole number"),
    ("\n\nthreads = 65\n", 3, "64"),
    ("lisen = 127.0.0.1:0\n", 1, "listen"),
    ("max-line = 1\n", 1, "max-line"),
    ("plain = \"any\n", 1, "quote"),
    ("threads = 1\nthreads = 2\n", 2, "twice"),
    ("config = x\n", 1, "command line"),
    ("trusted = 10.0.0.1/8\n", 1, "10.0.0.0/8"),
]


def refused(t, code, *args, says=(), **popen):
    """chatd must end with that code and say one sentence to stderr, with these words in it."""
    got, out, err = run_chatd(t, *args, **popen)
    equal((got, out), (code, ""), f"{args}: {err}")
    check(err.startswith("chatd: ") and err.endswith("\n"), f"{args}: {err!r}")
    equal(err.count("\n"), 1, f"{args}: {err!r}")
    for word in says:
        check(word in err, f"{word!r} is not in {err!r}")
    return err


def config(t, text):
    path = t.path("test.conf")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def test_help_and_version(t):
    code, out, err = run_chatd(t, "--help")
    equal((code, err), (0, ""))
    for option in ("--listen", "--port-file", "--data", "--threads", "--plain", "--log", "--config",
                   "--drain-seconds"):
        check(option in out, f"{option} is not in --help")
    code, out, err = run_chatd(t, "--version")
    equal((code, err), (0, ""))
    check(re.match(r"chatd \d+\.\d+\.\d+", out), out)


def test_port_in_use(t):
    s = t.server()
    refused(t, LISTEN, "--listen", f"127.0.0.1:{s.port}", "--data", "memory", "--log", t.path("other.txt"),
            says=[str(s.port)])
    s.connect("ann")


def test_address_of_another_machine(t):
    refused(t, LISTEN, "--listen", "192.0.2.1:0", "--data", "memory", says=["192.0.2.1"])


def test_bad_options(t):
    for args, word in BAD_OPTIONS:
        refused(t, USAGE, *args, says=[word])


def test_bad_config_lines(t):
    """file:line, and what was expected."""
    for text, line, word in BAD_CONFIGS:
        path = config(t, text)
        refused(t, USAGE, "--config", path, says=[f"{path}:{line}:", word])
        refused(t, USAGE, "--check-config", "--config", path, says=[f"{path}:{line}:", word])
    refused(t, USAGE, "--config", t.path("nowhere.conf"), says=["nowhere.conf"])


def test_check_config(t):
    path = config(t, "# a comment\nthreads = 3\n\nmax-line = 32k\nlisten = 127.0.0.1:0\nlisten = [::1]:0\n")
    code, out, err = run_chatd(t, "--check-config", "--config", path, "--threads", "4")
    equal((code, err), (0, ""))
    check(re.search(r"threads\W+4", out) and re.search(r"max-line\W+32k|max-line\W+32768", out), out)


def test_config_file_and_options_together(t):
    path = config(t, "max-rooms-per-connection = 5\nhistory = 7\nthreads = 1\n")
    s = t.server(config=path, history=9)
    limits = s.connect("ann").welcome.limits
    equal((limits["max_rooms"], limits["history"]), (5, 9))


def test_bad_certificates(t):
    cert, key, other = t.path("cert.pem"), t.path("key.pem"), t.path("other.pem")
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([*make, "-keyout", other, "-out", t.path("x.pem")], check=True, stderr=subprocess.DEVNULL)
    bad = config(t, "this is no certificate\n")
    base = ["--listen", "127.0.0.1:0", "--data", "memory"]
    for pair, word in (((bad, key), bad), ((cert, bad), bad), ((cert, other), other), ((t.path("none"), key), "none"),
                       ((cert, t.path("none")), "none")):
        refused(t, USAGE, *base, "--cert", pair[0], "--key", pair[1], says=[word])
    refused(t, USAGE, *base, "--cert", cert, says=["key"])
    refused(t, USAGE, *base, "--key", key, says=["cert"])
    s = t.server(cert=cert, key=key)
    s.connect("ann", tls=True)


def test_unwritable_places(t):
    wall = config(t, "a file, no directory\n")
    base = ["--listen", "127.0.0.1:0"]
    refused(t, STORAGE, *base, "--data", f"{wall}/data", says=[f"{wall}/data", "--data DIR"])
    for option in ("--log", "--port-file"):
        code, out, err = run_chatd(t, *base, "--data", "memory", option, f"{wall}/x")
        check(code in (1, USAGE), f"exit code {code}")
        said = [line for line in err.splitlines() if not line.startswith("time=")]  # the log goes there too
        check(len(said) == 1 and said[0].startswith("chatd: ") and f"{wall}/x" in said[0], repr(err))
        equal(out, "")


def test_certificate_is_kept_in_the_data_directory(t):
    data = t.path("data")
    one = t.server(data=data)
    first = one.connect("ann", tls=True).tls.getpeercert(True)
    one.stop()
    for name in os.listdir(data):
        if name.endswith(".key"):
            equal(os.stat(os.path.join(data, name)).st_mode & 0o77, 0, "others may read the key")
    two = t.server(data=data)
    check(two.connect("ann", tls=True).tls.getpeercert(True) == first, "another certificate after a restart")


def test_name(t):
    """What the server is called is in its log and in the certificate that it makes; it was read nowhere."""
    s = t.server(name="chat.example.org")
    equal(s.log.find(event="start")[0]["name"], "chat.example.org")
    cert = t.path("cert.der")
    with open(cert, "wb") as f:
        f.write(s.connect("ann", tls=True).tls.getpeercert(True))
    said = subprocess.run(["openssl", "x509", "-inform", "DER", "-in", cert, "-noout", "-subject", "-ext", "subjectAltName"],
                          capture_output=True, text=True, check=True).stdout
    check(re.search(r"subject=CN ?= ?chat\.example\.org", said), said)
    check("DNS:chat.example.org" in said and "DNS:localhost" in said, said)


def test_data_directory_of_its_own(t):
    """Without --data: in the user's state directory, made for that user alone, and the log says where."""
    where = t.path("state/chatd")
    s = t.server(data=None)
    equal([line["where"] for line in s.log.find(event="data")], [where])
    equal([os.stat(d).st_mode & 0o777 for d in (t.path("state"), where)], [0o700, 0o700])
    ann = s.join("general", "ann")
    ann.say("general", "kept")
    ann.close()
    err = refused(t, STORAGE, "--listen", "127.0.0.1:0", says=[where, "another chatd", "--data DIR", "--data memory"])
    check(f"(process {s.pid})" in err, err)
    refused(t, LISTEN, "--listen", f"127.0.0.1:{s.port}", says=["--listen"])  # the port comes first
    s.stop()
    s = t.server(data=None)
    bob = s.connect("bob")
    equal(bob.ask("join", room="general").seq, 1)
    bob.close()
    s.stop()
    code, out, err = run_chatd(t, "--check-data")
    equal((code, err), (0, ""))
    check(where in out, out)


def test_no_place_for_data(t):
    env = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_STATE_HOME")}
    words = [str(t.build / "chatd"), "--check-config"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        equal(done.returncode, USAGE)
        check("--data DIR" in done.stderr and "--data memory" in done.stderr, done.stderr)
    else:
        check("data = /var/lib/chatd  # default" in done.stdout, done.stdout)
    done = subprocess.run(words, env={**env, "STATE_DIRECTORY": "/srv/state"}, capture_output=True, text=True, check=False)
    check("data = /srv/state  # default" in done.stdout, done.stdout)


def test_several_addresses(t):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        listen = ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"]
    except OSError:
        listen = ["127.0.0.1:0", "127.0.0.2:0"]
    s = t.server(listen=listen)
    equal(len(s.ports), len(listen))
    hosts = [a.rsplit(":", 1)[0].strip("[]") for a in listen]
    people = [s.join("general", f"n{i}", host=host, port=port, tls=bool(i & 1))
              for i, (host, port) in enumerate(zip(hosts, s.ports))]
    people[0].say("general", "to all of you")
    for c in people:
        equal(c.expect("msg").text, "to all of you")


def test_socket_of_a_service_manager(t):
    """LISTEN_FDS: the socket is there already, as systemd hands it over."""
    listener = t.keep(socket.create_server(("127.0.0.1", 0)))
    port = listener.getsockname()[1]
    fd = listener.fileno()
    s = t.server(listen=None, env={"LISTEN_FDS": "1"}, inherit=fd)
    equal(s.ports, [port])
    s.connect("ann")


@both
def test_plain_off(t):
    s = t.server(plain="off")
    c = s.connect(tls=False)
    c.send("ping", id="p")
    lines = c.rest()
    equal([line.type for line in lines], ["error", "bye"])
    equal([line.code for line in lines], ["plain_refused", "protocol"])
    c.fin()
    if t.tls:
        s.connect("ann")


def own_address():
    """An address of this machine beyond the loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            host = probe.getsockname()[0]
        except OSError:
            return None
    return None if host.startswith("127.") else host


def test_plain_from_elsewhere(t):
    host = own_address()
    if not host:
        raise Skip("this machine has the loopback only")
    s = t.server(listen=f"{host}:0")
    c = s.connect(host=host, tls=False)
    c.send("ping", id="p")
    equal([line.code for line in c.rest()], ["plain_refused", "protocol"])
    s.connect("ann", host=host, tls=True)
    s = t.server(listen=f"{host}:0", plain="any")
    s.connect("ann", host=host, tls=False)


def test_log_to_stderr(t):
    """Without --log the lines go to stderr."""
    s = t.server(log=None)
    s.connect("ann").ask("bye")
    wait_until(lambda: "event=accept" in s.stderr(), "an accept line on stderr")
    s.stop()
    s.stderr_wanted = s.stderr()
    check("event=close" in s.stderr_wanted, "no close line")


def test_port_file_is_whole(t):
    s = t.server()
    with open(s.port_file, encoding="ascii") as f:
        equal(f.read(), f"{s.port}\n")
    equal([n for n in os.listdir(t.dir) if "ports" in n and n != os.path.basename(s.port_file)], [])
