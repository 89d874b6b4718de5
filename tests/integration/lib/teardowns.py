"""teardowns.py BUILD DIR: forty connections, each ended in one way or another, for verdicts.py to look at afterwards. Run in a
network of its own. Writes DIR/manifest.json: for each its kind, the client's port, and what is known of it here alone."""
import ctypes
import fcntl
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import termios
import time

build, directory = sys.argv[1:]
manifest = []
HISTORY = {"type": "history", "room": "general", "limit": 100, "id": "9"}


def start_chatd(name, *options):
    ports = f"{directory}/{name}.ports"
    chatd = subprocess.Popen([f"{build}/chatd", "--listen", "127.0.0.1:0", "--port-file", ports, "--data", "memory",
                              "--log", f"{directory}/{name}.log", *options])
    while not os.path.exists(ports):
        time.sleep(0.01)
    with open(ports, encoding="ascii") as f:
        return chatd, int(f.read().split()[0])


def note(kind, sock, **more):
    manifest.append({"kind": kind, "port": sock.getsockname()[1], **more})


def write_log(sock, server, **close):
    """An event log of this client's, with what its close() left unread: as docs/trace-events.md has it."""
    now = time.time()
    second = int(now)
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        host = f.read().strip()
    records = [{"file_schema": "urn:ietf:params:qlog:file:sequential", "serialization_format": "application/qlog+json-seq",
                "trace": {"common_fields": {"time_format": "relative_to_epoch", "host": host, "system_info": {"process_id": 1},
                                            "reference_time": {"clock_type": "system",
                                                               "epoch": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))}},
                          "vantage_point": {"name": "a test", "type": "client"}, "event_schemas": []}}]
    ends = {"local": f"127.0.0.1:{sock}", "peer": f"127.0.0.1:{server}", "cookie": "0" * 16}
    for name, data in (("tcp:connection", ends), ("app:call", {"call": "close", "ret": 0, **close})):
        records.append({"time": (now - second) * 1000, "name": name, "group_id": f"t-{sock}", "data": data})
    with open(f"{os.environ['CHAT_TRACE']}/test-{sock}.sqlog", "w", encoding="ascii") as f:
        f.write("".join("\x1e" + json.dumps(r) + "\n" for r in records))


def attach(sock, *code):
    """A classic BPF program decides what comes to this socket (SO_ATTACH_FILTER)."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *insn) for insn in code))
    sock.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(code)))


def drop_all(sock):
    attach(sock, (0x06, 0, 0, 0))  # ret 0


def drop_fins(sock):
    attach(sock, (0x30, 0, 0, 13), (0x45, 0, 1, 1), (0x06, 0, 0, 0), (0x06, 0, 0, 0xffffffff))  # ldb [13]; jset FIN; ret 0; ret all


def pass_all(sock):
    sock.setsockopt(socket.SOL_SOCKET, 27, 0)  # SO_DETACH_FILTER


def connect(port):
    s = socket.create_connection(("127.0.0.1", port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def send(s, *requests):
    s.sendall("".join(json.dumps(r) + "\n" for r in requests).encode())


def join(port, nick, sock=None):
    """In a room; returns the socket and a file to read its lines from."""
    s = sock or connect(port)
    lines = s.makefile("rb")
    send(s, {"type": "hello", "version": 1, "nick": nick, "id": "1"}, {"type": "join", "room": "general", "id": "2"})
    while b'"joined"' not in lines.readline():
        pass
    return s, lines


def drain(s):
    try:
        while s.recv(65536):
            pass
    except OSError:
        pass
    s.close()


def lingering(port, kind, n):
    s, _ = join(port, f"{kind}{n}")
    note(kind, s)
    return s


def half_closed(port, n):
    s = lingering(port, "half-closed", n)
    send(s, {"type": "send", "room": "general", "text": "y" * 2000, "id": "3"}, *[HISTORY] * 3)
    s.shutdown(socket.SHUT_WR)
    drain(s)


def server_ends(port, n):
    s = lingering(port, "server-ends", n)
    send(s, {"type": "bye", "id": "3"})
    drain(s)


def reset_on_purpose(port, n):
    s = lingering(port, "linger-zero", n)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def reset_unread(port, n):
    s = lingering(port, "unread", n)
    send(s, HISTORY)
    s.recv(1)
    os.close(s.detach())


def reset_unread_logged(port, n):
    """The same, by one who says in his log how much that was."""
    s, _ = join(port, f"logged{n}")
    send(s, HISTORY)
    s.recv(1)
    time.sleep(0.05)
    unread = struct.unpack("i", fcntl.ioctl(s.fileno(), termios.FIONREAD, b"\0" * 4))[0]
    note("unread-logged", s, unread=unread)
    client = s.getsockname()[1]
    os.close(s.detach())
    write_log(client, port, detail=f"unread={unread}")


def late():
    """Something comes for a socket that is gone: it was closed with nothing unread."""
    s, other = pair()
    note("late", s)
    s.close()
    time.sleep(0.05)
    other.sendall(b"is anyone there?")
    drain(other)


def stalled():
    """chatd cuts one who does not read."""
    chatd, port = start_chatd("stalling", "--stall-seconds", "1")
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", port))
    s, _ = join(port, "deaf", s)
    note("stalled", s)
    send(s, *[{"type": "send", "room": "general", "text": "z" * 8000, "id": "3"}] * 40, *[HISTORY] * 40)
    return chatd, s


def lingered():
    """chatd says bye and FIN to one who does not end his side."""
    chatd, port = start_chatd("lingering", "--linger-seconds", "1")
    s = lingering(port, "lingered", 0)
    send(s, {"type": "bye", "id": "3"})
    return chatd, s


def chat_breaks(port):
    """chat resets its connection when nobody takes what it prints."""
    chat = subprocess.Popen([f"{build}/chat", "--plain", "-n", "broken", "-r", "general", f"127.0.0.1:{port}"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    chat.stdout.close()
    manifest.append({"kind": "chat-breaks", "port": None})
    chat.stdin.write(b"hello\n")
    chat.stdin.flush()
    chat.wait()
    chat.stdin.close()


def reset_after_fin(port, n):
    s = lingering(port, "fin-then-rst", n)
    send(s, *[HISTORY] * 20)
    s.shutdown(socket.SHUT_WR)
    s.recv(1)
    os.close(s.detach())


def truncated(port, n):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["chat/1"])
    raw = connect(port)
    note("truncated", raw)
    s, _ = join(port, f"truncated{n}", context.wrap_socket(raw))
    under = socket.socket(fileno=os.dup(s.fileno()))
    under.shutdown(socket.SHUT_WR)
    drain(under)
    os.close(s.detach())


def clean_tls(port, n):
    chat = subprocess.Popen([f"{build}/chat", "--tls", "--json", "-n", f"tls{n}", "-r", "general", "--known-hosts",
                             f"{directory}/hosts", f"127.0.0.1:{port}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    while b'"joined"' not in chat.stdout.readline():
        pass
    manifest.append({"kind": "clean-tls", "port": None})
    chat.communicate()


def refused():
    gone = socket.create_server(("127.0.0.1", 0))
    port = gone.getsockname()[1]
    gone.close()
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    note("refused", s)
    assert s.connect_ex(("127.0.0.1", port)) != 0
    s.close()


def unanswered():
    deaf = socket.create_server(("127.0.0.1", 0))
    drop_all(deaf)
    s = socket.socket()
    s.settimeout(0.1)
    s.bind(("127.0.0.1", 0))
    note("unanswered", s)
    assert s.connect_ex(deaf.getsockname()) != 0
    s.close()
    return deaf


def pair():
    listener = socket.create_server(("127.0.0.1", 0))
    s = connect(listener.getsockname()[1])
    return s, listener.accept()[0]


def timed_out():
    s, deaf = pair()
    note("timed-out", s)
    drop_all(deaf)
    s.setsockopt(socket.IPPROTO_TCP, 18, 900)  # TCP_USER_TIMEOUT, ms
    s.sendall(b"is anyone there?")
    try:
        s.recv(1)
    except TimeoutError:
        pass
    return s, deaf


def killed(n):
    chatd, port = start_chatd(f"killed{n}")
    s, _ = join(port, "left")
    note("killed", s)
    chatd.send_signal(signal.SIGKILL)
    chatd.wait()
    drain(s)


def plain_pair(first):
    s, other = pair()
    note("client-first" if first == 0 else "server-first", s)
    ends = (s, other) if first == 0 else (other, s)
    s.sendall(b"x" * 10)
    other.recv(100)
    time.sleep(0.05)
    ends[0].shutdown(socket.SHUT_WR)
    ends[1].recv(100)
    time.sleep(0.06)
    ends[1].close()
    drain(ends[0])


def both_at_once():
    """Neither gets the other's FIN before it has sent its own: both are dropped at first."""
    ends = pair()
    note("both-at-once", ends[0])
    for s in ends:
        drop_fins(s)
    for s in ends:
        s.shutdown(socket.SHUT_WR)
    for s in ends:
        pass_all(s)
    for s in ends:
        drain(s)


def main():
    chatd, port = start_chatd("chatd")
    kept = [timed_out() for _ in range(2)] + [unanswered() for _ in range(2)]
    waiting = [stalled(), lingered()]
    for make, count in ((half_closed, 4), (server_ends, 4), (reset_on_purpose, 3), (reset_unread, 2), (reset_unread_logged, 2),
                        (reset_after_fin, 3), (truncated, 3), (clean_tls, 3)):
        for n in range(count):
            make(port, n)
    chat_breaks(port)
    late()
    for _ in range(3):
        refused()
    for n in range(2):
        killed(n)
    for n in range(3):
        plain_pair(n % 2)
    for n in range(2):
        both_at_once()
    deadline = time.monotonic() + 20
    for other, _ in waiting:
        name = "stalling" if other is waiting[0][0] else "lingering"
        while "event=close" not in open(f"{directory}/{name}.log", encoding="utf-8").read() and time.monotonic() < deadline:
            time.sleep(0.02)
        other.terminate()
        other.wait()
    time.sleep(0.1)
    chatd.terminate()
    chatd.wait()
    with open(f"{directory}/manifest.json", "w", encoding="ascii") as f:
        json.dump(manifest, f)
    if os.fork() == 0:  # those that were kept stay open until the capture is over
        os.closerange(0, 3)
        time.sleep(1)
    os._exit(len(kept) - 4)


main()
