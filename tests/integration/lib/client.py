"""client.py: a client of few words: lines out, lines in, and every way to end a connection.

It drives TLS by memory BIOs, because Python's own socket wrapper cannot half-close."""
import json
import select
import socket
import ssl
import struct
import time
from collections import deque

from .test import SCALE, check, equal

CHUNK = 1 << 18
PATIENCE = 5.0  # seconds that a line may take


class ConnectionReset(Exception):
    """The server sent RST."""


class Line(dict):
    """A line of the server. Its fields also as attributes: line.type, line.re, line.seq."""

    def __getattr__(self, name):
        if name not in self:
            raise AssertionError(f"no field {name} in {dict(self)}")
        return self[name]


def as_line(data):
    """One line of the server, in the form that the protocol promises: type first, then re."""
    line = Line(json.loads(data))
    keys = list(line)[:2]
    check(keys[0] == "type" and ("re" not in line or keys[1] == "re"), f"not in order: {data!r}")
    return line


def tls_context(alpn=("chat/1",)):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


class Client:
    """One connection.

    eof: the server's end has come (FIN). notified: its close_notify has come, on TLS. Lines that have come and that
    nobody has asked for yet wait in inbox, in their order.
    """

    def __init__(self, port, host="127.0.0.1", tls=False, rcvbuf=None, source=None, context=None):
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            self.sock.bind((source, 0))
        self.sock.settimeout(PATIENCE * SCALE)
        self.sock.connect((host, port))
        self.inbox, self.partial = deque(), b""
        self.eof = self.notified = self.closed = False
        self.ids, self.bytes_out, self.bytes_in = 0, 0, 0
        self.welcome = None
        self.as_bytes = False  # what comes is no lines: it gathers in partial
        self.tls = None
        if tls:
            self._handshake(context or tls_context(), host)

    # ---- bytes ----

    def _handshake(self, context, host):
        self.from_wire, self.to_wire = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.from_wire, self.to_wire, server_hostname=host)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(CHUNK)
                if not data:
                    self.eof = True
                    raise AssertionError("the server ended during the TLS handshake") from None
                self.from_wire.write(data)
        self._flush()
        self._decrypt()

    def _flush(self):
        if self.to_wire.pending:
            self.sock.sendall(self.to_wire.read())

    def _decrypt(self):
        """Takes everything readable out of TLS."""
        out = []
        while True:
            try:
                data = self.tls.read(CHUNK)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                data = b""
            if not data:
                self.notified = True
                break
            out.append(data)
        self._take(b"".join(out))

    def _take(self, data):
        """Splits what has come into lines."""
        self.bytes_in += len(data)
        if self.as_bytes:
            self.partial += data
            return
        *lines, self.partial = (self.partial + data).split(b"\n")
        self.inbox.extend(map(as_line, lines))

    def pump(self, timeout):
        """Waits for bytes and takes them in; False where none came in time."""
        if self.eof:
            return False
        readable, _, _ = select.select([self.sock], [], [], max(0.0, timeout))
        if not readable:
            return False
        try:
            data = self.sock.recv(CHUNK)
        except ConnectionResetError:
            self.eof = True
            raise ConnectionReset() from None
        if not data:
            self.eof = True
            check(self.as_bytes or not self.partial, f"the server ended inside a line: {self.partial!r}")
        elif self.tls:
            self.from_wire.write(data)
            self._decrypt()
        else:
            self._take(data)
        return True

    def raw(self, data):
        """Sends these bytes as they are."""
        data = data.encode() if isinstance(data, str) else data
        self.bytes_out += len(data)
        if self.tls:
            self.tls.write(data)
            self._flush()
        else:
            self.sock.sendall(data)
        return self

    def flood(self, data, timeout=10.0):
        """Sends bytes while also reading, as one must when there are many both ways."""
        data = data.encode() if isinstance(data, str) else data
        self.bytes_out += len(data)
        if self.tls:
            self.tls.write(data)
            data = self.to_wire.read()
        view, deadline = memoryview(data), time.monotonic() + timeout * SCALE
        while view:
            check(time.monotonic() < deadline, f"the server took no more, {len(view)} bytes left")
            readable, writable, _ = select.select([] if self.eof else [self.sock], [self.sock], [], 1.0)
            if readable:
                self.pump(0.0)
            if writable:
                view = view[self.sock.send(view, socket.MSG_DONTWAIT):]
        return self

    # ---- lines ----

    def send(self, type, **fields):
        """Sends a request, without waiting for anything."""
        return self.raw(json.dumps({"type": type, **fields}, ensure_ascii=False) + "\n")

    def new_id(self):
        self.ids += 1
        return f"r{self.ids}"

    def next(self, timeout=PATIENCE):
        """The next line, whatever it is."""
        deadline = time.monotonic() + timeout * SCALE
        while not self.inbox:
            self._wait_more(deadline, "a line")
        return self.inbox.popleft()

    def expect(self, type=None, timeout=PATIENCE, **fields):
        """The first line with that type and these values; those before it stay in the inbox."""
        wanted = {**({"type": type} if type else {}), **fields}
        deadline, seen = time.monotonic() + timeout * SCALE, 0
        while True:
            while seen < len(self.inbox):
                line = self.inbox[seen]
                if all(k in line and line[k] == v for k, v in wanted.items()):
                    del self.inbox[seen]
                    return line
                seen += 1
            self._wait_more(deadline, wanted)

    def _wait_more(self, deadline, wanted):
        if self.eof:
            raise AssertionError(f"the server ended, and {wanted} had not come; there are {list(self.inbox)[-5:]}")
        self.pump(deadline - time.monotonic())
        if time.monotonic() > deadline:
            raise AssertionError(f"no {wanted} came in time; there are {list(self.inbox)[-5:]}")

    def take(self, count, type="msg", timeout=PATIENCE, **fields):
        return [self.expect(type, timeout, **fields) for _ in range(count)]

    def ask(self, type, timeout=PATIENCE, **fields):
        """Sends a request and gives its final answer, which must not be an error."""
        line = self.ask_any(type, timeout, **fields)
        check(line.type != "error", f"{type} {fields} failed: {dict(line)}")
        return line

    def ask_any(self, type, timeout=PATIENCE, **fields):
        """Sends a request and gives its first answer."""
        id = fields.pop("id", None) or self.new_id()
        self.send(type, id=id, **fields)
        return self.expect(re=id, timeout=timeout)

    def ask_all(self, type, timeout=PATIENCE, **fields):
        """Sends history, who or rooms and gives the lines of the answer, and its `end`."""
        id = self.new_id()
        self.send(type, id=id, **fields)
        lines = []
        while True:
            line = self.expect(re=id, timeout=timeout)
            check(line.type != "error", f"{type} {fields} failed: {dict(line)}")
            if line.type == "end":
                return lines, line
            lines.append(line)

    def refused(self, type, code, **fields):
        """Sends a request that must fail with that code; gives the error."""
        line = self.ask_any(type, **fields)
        equal((line.type, line.get("code")), ("error", code), f"{type} {fields}")
        check(line.text, "an error without text")
        return line

    def hello(self, nick, timeout=PATIENCE, **fields):
        self.welcome = self.ask("hello", timeout, version=1, nick=nick, **fields)
        return self.welcome

    @property
    def session(self):
        """The connection's id in the server's log."""
        return self.welcome.session

    def say(self, room, text, **fields):
        """Sends a message and gives its ack."""
        return self.ask("send", room=room, text=text, **fields)

    def say_much(self, room, count, size=3900):
        """Sends so many messages of so many bytes at once, in a room that it is in, and waits until all are back."""
        self.raw((json.dumps({"type": "send", "room": room, "text": "x" * size}) + "\n") * count)
        self.take(count, timeout=30.0)

    def sync(self):
        """A ping and its pong: what the server had queued for us before is here now."""
        self.ask("ping")
        return self

    def quiet(self, *types):
        """Nothing of these types (or nothing at all) waits in the inbox, after a sync."""
        self.sync()
        got = [line for line in self.inbox if not types or line.type in types]
        equal([dict(line) for line in got], [], "lines that should not be there")

    # ---- the end ----

    def fin(self):
        """Ends our side: close_notify where there is TLS, then FIN. The other goes on."""
        if self.tls:
            self.notify()
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def notify(self):
        """Sends close_notify alone."""
        try:
            self.tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLSyscallError):
            pass
        self._flush()
        return self

    def cut(self):
        """FIN without close_notify."""
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        """Ends both sides with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def rest(self, timeout=PATIENCE):
        """Reads on to the server's FIN and gives all lines that had not been asked for. On TLS its close_notify must
        have come first."""
        deadline = time.monotonic() + timeout * SCALE
        while not self.eof:
            self.pump(deadline - time.monotonic())
            check(self.eof or time.monotonic() < deadline, "the server's FIN did not come")
        check(not self.tls or self.notified, "FIN without close_notify from the server")
        lines = list(self.inbox)
        self.inbox.clear()
        return lines

    def ends_with(self, code, timeout=PATIENCE):
        """Reads on to the server's FIN; the last line has to be a bye with that code. Gives it."""
        lines = self.rest(timeout)
        check(lines and lines[-1].type == "bye", f"no bye at the end: {lines[-3:]}")
        equal(lines[-1].code, code, "bye's code")
        equal([line.type for line in lines].count("bye"), 1, "byes")
        self.inbox.extend(lines[:-1])
        return lines[-1]

    def close(self):
        """Closes the socket as it is; in good order where that is still possible."""
        if self.closed:
            return
        self.closed = True
        self.sock.close()
