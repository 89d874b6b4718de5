"""trace.py: the event logs of both programs, their schema, and what chat-trace makes of them."""
import pathlib
import re
import socket
import struct
import subprocess
import sys
import time
import unicodedata

from lib import both, check, equal

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(t, *args, status=0):
    done = subprocess.run([str(t.build / "chat-trace"), *map(str, args)], capture_output=True, text=True, timeout=20,
                          env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})
    equal(done.returncode, status, f"exit code of chat-trace {' '.join(map(str, args))}: {done.stderr}")
    return done.stdout


def chat(t, s, log, *args, text="hello\n"):
    """A chat that says something and ends its side first."""
    done = subprocess.run([str(t.build / "chat"), "-n", "ann", "--trace", log, "--known-hosts", t.path("known"), *args,
                           f"127.0.0.1:{s.port}"], input=text, capture_output=True, text=True, timeout=20)
    equal(done.returncode, 0, done.stderr)


def keeps_schema(*paths):
    files = [str(f) for p in map(pathlib.Path, paths) for f in (sorted(p.glob("*.sqlog")) if p.is_dir() else [p])]
    done = subprocess.run([sys.executable, str(ROOT / "tests" / "qlog_check.py"), *files], capture_output=True, text=True,
                          timeout=20)
    check(done.returncode == 0 and done.stdout.endswith(" 0 errors\n"), done.stdout)


def width(line):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


@both
def test_a_graceful_end_from_both_sides(t):
    """chat ends first and reads on: both sides' calls and states are in one ladder, at every width."""
    trace, log = t.path("trace"), t.path("chat.sqlog")
    s = t.server(trace=trace, trace_detail="messages")
    chat(t, s, log, *(["--tls"] if t.tls else []))
    s.stop()
    keeps_schema(trace, log)
    out = run(t, "show", trace, log, "--width", 120, "--evidence")
    words = ["socket()", "connect()", "accept", "shutdown(WR)", "FIN_WAIT1", "CLOSE_WAIT", "TIME_WAIT*", "close()", "recv = 0",
             "GRACEFUL", "The client closed first.", "came after its FIN"]
    for word in words:
        check(word in out, f"{word} is missing in\n{out}")
    check(("TLS handshake" in out) == t.tls, out)
    for columns in (60, 80, 120, 200):
        for form in ("terminal", "ascii"):
            out = run(t, "show", trace, log, "-w", columns, "-f", form, "--color", "never", "-e")
            check(all(width(line) <= columns for line in out.splitlines()), f"too wide for {columns}:\n{out}")
            check(form != "ascii" or out.isascii(), out)


def test_each_format_is_whole(t):
    trace, log = t.path("trace"), t.path("chat.sqlog")
    s = t.server(trace=trace)
    chat(t, s, log)
    s.stop()
    svg, html = run(t, "show", trace, log, "-f", "svg"), run(t, "show", trace, log, "-f", "html")
    check(svg.startswith("<svg") and svg.endswith("</svg>\n"), svg[:200])
    check("@DATA@" not in html and "GRACEFUL" in html and "http://" not in html.replace("http://www.w3.org/2000/svg", ""),
          "the page needs something else")
    check(run(t, "show", trace, log, "-f", "mermaid").startswith("sequenceDiagram\n"))
    run(t, "show", trace, log, "-f", "pcapng", status=1)


def test_resets_are_told_apart(t):
    """One that lingers for 0, one that comes for a socket that is gone."""
    trace = t.path("trace")
    s = t.server(trace=trace)
    linger = socket.create_connection(("127.0.0.1", s.port))
    linger.sendall(b'{"type":"hello","id":"1","nick":"ann","version":1}\n')
    linger.recv(10000)
    port = linger.getsockname()[1]
    linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    linger.close()
    s.log.wait(event="close", peer=f"127.0.0.1:{port}")
    s.stop()
    keeps_schema(trace)
    out = run(t, "show", trace, "--conn", f"127.0.0.1:{port}")
    check("ABORTED" in out and "The client sent RST" in out and "ECONNRESET" in out, out)


def test_many_connections_are_listed_first(t):
    trace = t.path("trace")
    s = t.server(trace=trace, threads=2)
    for i in range(12):
        c = s.connect(f"n{i}")
        c.fin()
        c.ends_with("eof")
    s.stop()
    keeps_schema(trace)
    out = run(t, "show", trace)
    equal(len(out.splitlines()), 12)
    check(all("GRACEFUL" in line for line in out.splitlines()), out)
    check(re.search(r"^#7 ", run(t, "show", trace, "--conn", 7)), "not the seventh")
    run(t, "show", trace, "--conn", 13, status=1)


def test_bad_files_are_named(t):
    """Cut, garbled, of another kind, empty, not there: a clear error, and what is whole is shown."""
    trace, log = t.path("trace"), pathlib.Path(t.path("chat.sqlog"))
    s = t.server(trace=trace)
    chat(t, s, str(log))
    s.stop()
    whole = log.read_bytes()
    cut, garbled = pathlib.Path(t.path("cut.sqlog")), pathlib.Path(t.path("garbled.sqlog"))
    cut.write_bytes(whole[:-30])
    middle = whole.index(b"shutdown")
    garbled.write_bytes(whole[:middle] + b"\x00{{{" + whole[middle + 4:])
    for path, word in ((cut, "cut"), (garbled, "left out")):
        done = subprocess.run([str(t.build / "chat-trace"), "show", str(path)], capture_output=True, text=True, timeout=20)
        equal(done.returncode, 0, done.stderr)
        check(word in done.stderr and "connect" in done.stdout, done.stderr)
    pathlib.Path(t.path("young.sqlog")).touch()  # a program has made it, and had nothing to write yet
    done = subprocess.run([str(t.build / "chat-trace"), "show", t.path("young.sqlog"), str(log)], capture_output=True, text=True,
                          timeout=20)
    equal(done.returncode, 0, done.stderr)
    check("young.sqlog: it is empty" in done.stderr and "connect" in done.stdout, done.stderr)
    run(t, "show", t.path("young.sqlog"))
    for name, data in (("text", b"hello\n"), ("empty", b""), ("noise", bytes(range(256)) * 20)):
        path = pathlib.Path(t.path(name))
        path.write_bytes(data)
        run(t, "show", path, status=1)
    run(t, "show", t.path("not-there"), status=1)


def test_live_sees_a_half_closed_connection(t):
    trace = t.path("trace")
    s = t.server(trace=trace)
    c = s.connect("ann", hello={"on_eof": "stay"})
    c.fin()
    time.sleep(0.4)
    out = run(t, "live", "--once", "--width", 200, trace)
    check("HALF-CLOSED CLOSE_WAIT" in out and "1 open" in out, out)
