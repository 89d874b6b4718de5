"""foreign.py: those who came to the wrong port: HTTP, older TLS, noise."""
import ssl
import warnings

from lib import ConnectionReset, both, check, equal, tls_context


def slurp(c):
    """All bytes up to the server's FIN."""
    c.as_bytes = True
    while not c.eof:
        check(c.pump(5.0), "no end came")
    return c.partial


@both
def test_http(t):
    s = t.server()
    for request in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n",
                    b"HEAD /x?y=z HTTP/1.1\r\n\r\n",
                    b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", b"OPTIONS * HTTP/1.1\r\n\r\n"):
        c = s.connect()
        c.as_bytes = True
        c.raw(request)
        head, body = slurp(c).split(b"\r\n\r\n", 1)
        status, *fields = head.decode().split("\r\n")
        equal(status, "HTTP/1.1 400 Bad Request")
        headers = dict(f.lower().split(": ", 1) for f in fields)
        equal(headers.get("connection"), "close")
        equal(int(headers.get("content-length", len(body))), len(body))
        check("content-type" in headers, headers)
        error, bye, rest = body.split(b"\n")
        c.as_bytes = False
        c.partial = b""
        c._take(error + b"\n" + bye + b"\n")
        lines = list(c.inbox)
        equal([line.type for line in lines], ["error", "bye"])
        equal((lines[1].code, rest), ("protocol", b""))
        check("web" in lines[0].text or "HTTP" in lines[0].text, lines[0].text)
        c.fin()
    s.connect("ann")


def test_http_words_in_a_conversation(t):
    """Only the first line of a connection is looked at."""
    c = t.server().connect("ann")
    c.raw(b"GET / HTTP/1.1\r\n")
    equal(c.expect("error").code, "bad_json")
    c.quiet()


def old_tls(version):
    context = tls_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version
        context.maximum_version = version
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def test_older_tls(t):
    """TLS 1.2 and 1.1 are refused with the alert that says so; the log says it too."""
    s = t.server()
    for n, version in enumerate((ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_1), 1):
        try:
            s.connect(tls=True, context=old_tls(version))
            raise AssertionError(f"{version} was taken")
        except ssl.SSLError as e:
            check("PROTOCOL_VERSION" in str(e).upper().replace(" ", "_"), f"another alert: {e}")
        s.log.wait(event="tls-handshake", count=n)
    for r in s.log.find(event="tls-handshake"):
        equal(r["ret"], "-1")
        check("1.3" in r.get("error", ""), r)
    s.connect("ann", tls=True)


def test_foreign_alpn(t):
    s = t.server()
    try:
        s.connect(tls=True, context=tls_context(("h2", "http/1.1")))
        raise AssertionError("another protocol was taken")
    except ssl.SSLError as e:
        check("NO_APPLICATION_PROTOCOL" in str(e).upper().replace(" ", "_"), f"another alert: {e}")
    equal(s.connect("ann", tls=True, context=tls_context(("h2", "chat/1"))).tls.selected_alpn_protocol(), "chat/1")
    s.connect("bob", tls=True, context=tls_context(()))


def test_noise_instead_of_tls(t):
    s = t.server(linger_seconds=1)
    for n, noise in enumerate((b"\x16\x03\x01\x00\x05hello", b"\x16" + b"\xff" * 100, b"\x16" * 1000,
                               b"\x16\x03\x01\x40\x01" + b"x" * 20000), 1):
        c = s.connect(tls=False)
        c.as_bytes = True
        c.raw(noise)
        try:
            slurp(c)
        except ConnectionReset:
            pass
        c.close()
        s.log.wait(event="close", count=n)
    s.connect("ann", tls=True)


def test_noise_within_tls(t):
    """A record that does not decrypt ends the connection, and is no orderly end."""
    s = t.server(linger_seconds=1)
    c = s.connect("ann", tls=True)
    c.sock.sendall(b"\x17\x03\x03\x00\x20" + b"n" * 32)
    c.as_bytes = True
    try:
        slurp(c)
    except (ConnectionReset, ssl.SSLError):
        pass
    c.close()
    check(s.log.close_of(c.session)["how"] not in ("graceful", "half-closed"), "that was no good end")
