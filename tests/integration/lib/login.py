"""login.py: the client's side of a login, written from the RFCs (5802, 7677, 9266) and PROTOCOL.md alone."""
import base64
import hashlib
import hmac
import json
import os
import subprocess
import time

from .client import Line
from .program import run_chatd
from .test import SCALE, Skip, check, equal

ITERATIONS = 4096  # the fewest that are taken: tests need not be slow


def need_scram(t):
    """For what needs passwords: a chatd built without GNU SASL has none."""
    if "no GNU SASL" in run_chatd(t, "--version")[1]:
        raise Skip("chatd was built without GNU SASL")


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text):
    return base64.b64decode(text, validate=True)


def mac(key, text):
    return hmac.digest(key, text if isinstance(text, bytes) else text.encode(), "sha256")


def verifiers(password, iterations=ITERATIONS, salt=None):
    """What a server keeps of a password, as the fields of `register`."""
    salt = salt or os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(mac(salted, "Client Key")).digest()
    return {"mechanism": "SCRAM-SHA-256", "salt": b64(salt), "iterations": iterations, "stored_key": b64(stored),
            "server_key": b64(mac(salted, "Server Key"))}


class Scram:
    """One login. header: GS2's; binding: of the connection, with -PLUS."""

    def __init__(self, nick, password, header="n,,", binding=b"", nonce=None):
        self.password, self.header, self.binding = password, header, binding
        self.nonce = nonce or b64(os.urandom(18))
        self.bare = f"n={nick},r={self.nonce}"

    def first(self):
        return b64((self.header + self.bare).encode())

    def final(self, challenge):
        server = unb64(challenge).decode()
        self.fields = dict(part.split("=", 1) for part in server.split(","))
        check(self.fields["r"].startswith(self.nonce) and self.fields["r"] != self.nonce, "the server's nonce:", server)
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), unb64(self.fields["s"]), int(self.fields["i"]))
        without = f"c={b64(self.header.encode() + self.binding)},r={self.fields['r']}"
        self.message = f"{self.bare},{server},{without}"
        key = mac(salted, "Client Key")
        proof = bytes(a ^ b for a, b in zip(key, mac(hashlib.sha256(key).digest(), self.message)))
        self.signature = mac(mac(salted, "Server Key"), self.message)
        return b64(f"{without},p={b64(proof)}".encode())

    def verify(self, data):
        equal(unb64(data).decode(), "v=" + b64(self.signature), "the server's signature")


def login(c, nick, password, mechanism="SCRAM-SHA-256", header="n,,", binding=b"", name=None):
    """Logs in and gives the answer: authenticated, or the error of either step."""
    scram = Scram(name or nick, password, header, binding)
    answer = c.ask_any("auth", nick=nick, mechanism=mechanism, data=scram.first())
    if answer.type == "error":
        return answer
    equal(answer.type, "challenge")
    answer = c.ask_any("auth", data=scram.final(answer.data))
    if answer.type == "authenticated":
        scram.verify(answer.data)
    return answer


class Key:
    """An Ed25519 key in a file, as OpenSSL makes it."""

    def __init__(self, t, name="key.pem"):
        self.file, self.t = t.path(name), t
        self.openssl("genpkey", "-algorithm", "ed25519", "-out", self.file)
        self.public = self.openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")[-32:]

    @staticmethod
    def openssl(*words):
        return subprocess.run(["openssl", *words], check=True, capture_output=True).stdout

    def sign(self, nick, challenge, binding=b""):
        text = self.t.path("signed")
        with open(text, "wb") as f:
            f.write(b"chatd login v1\0" + nick.encode() + b"\0" + challenge + binding)
        return self.openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.file, "-in", text)

    def login(self, c, nick, binding=b"", folded=None):
        answer = c.ask_any("auth", nick=nick, mechanism="ED25519", data=b64(self.public))
        if answer.type == "error":
            return answer
        signature = self.sign(folded or nick, unb64(answer.data), binding)
        return c.ask_any("auth", data=b64(signature))


class Bound:
    """A TLS connection by `openssl s_client`, which tells its channel binding: Python's ssl does not know tls-exporter."""

    def __init__(self, t, port):
        words = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-alpn", "chat/1", "-nocommands",
                 "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        t.keep(self)
        self.ids = 0
        self.binding = bytes.fromhex(self.line("    Keying material: "))

    def line(self, prefix):
        deadline = time.monotonic() + 10 * SCALE
        while time.monotonic() < deadline:
            line = self.process.stdout.readline().decode()
            check(line, "s_client ended")
            if line.startswith(prefix):
                return line[len(prefix):].strip()
        raise AssertionError(f"no {prefix!r} came")

    def ask_any(self, type, **fields):
        self.ids += 1
        request = {"type": type, "id": f"b{self.ids}", **fields}
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        while True:
            line = Line(json.loads("{" + self.line("{")))
            if line.get("re") == request["id"]:
                return line

    def close(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
