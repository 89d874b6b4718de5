"""teardowns.py BUILD DIR: forty connections, each ended in one way or another, for verdicts.py to look at afterwards. Run in a
network of its own. Writes DIR/manifest.json: for each its kind and the client's port."""
import ctypes
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time

build, directory = sys.argv[1:]
manifest = []
HISTORY = {"type": "history", "room": "general", "limit": 100, "id": "9"}


def start_chatd(name):
    ports = f"{directory}/{name}.ports"
    chatd = subprocess.Popen([f"{build}/chatd", "--listen", "127.0.0.1:0", "--port-file", ports, "--data", "memory",
                              "--log", f"{directory}/{name}.log"])
    while not os.path.exists(ports):
        time.sleep(0.01)
    with open(ports, encoding="ascii") as f:
        return chatd, int(f.read().split()[0])


def note(kind, sock):
    manifest.append({"kind": kind, "port": sock.getsockname()[1]})


def drop_all(sock):
    """Segments that come to this socket are dropped (SO_ATTACH_FILTER, `ret 0`)."""
    code = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    sock.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxQ", 1, ctypes.addressof(code)))


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


def main():
    chatd, port = start_chatd("chatd")
    kept = [timed_out() for _ in range(2)] + [unanswered() for _ in range(2)]
    for make, count in ((half_closed, 5), (server_ends, 5), (reset_on_purpose, 4), (reset_unread, 4), (reset_after_fin, 3),
                        (truncated, 4), (clean_tls, 3)):
        for n in range(count):
            make(port, n)
    for _ in range(3):
        refused()
    for n in range(2):
        killed(n)
    for n in range(3):
        plain_pair(n % 2)
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
