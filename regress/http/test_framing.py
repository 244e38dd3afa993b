"""
test_framing.py: hostile and odd input on the socket, row by row of the table
of HTTP bad input (H01 to H53, H63), against the parser and connections alone
(http_serve) and against a takod: the one at $TAKOD_URL, else the session's.

A fault is answered once, says that it closes, and closes; nothing behind it
reaches the router. What a table cannot say (deadlines, caps, who is still
there) is tested on http_serve with limits of a fraction of a second.
"""
import os
import random
import re
import select
import socket
import struct
import subprocess
import time
import urllib.parse

import pytest

from lib import host, shared
from lib.tcp import read_all, send

SECONDS = 15  # for anything that is to happen
JOB = b"/jobs/00000000-0000-4000-8000-000000000000/cancel"
HOST = b"Host: localhost\r\n"
GET = b"GET /health HTTP/1.1\r\n" + HOST
POST = b"POST " + JOB + b" HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
OK = (200, 404)  # the router's answer, and no fault


class Serve:
    """http_serve with some limits; lines() are the requests it met."""

    def __init__(self, **limits):
        self.proc = subprocess.Popen(
            [shared.program("regress/tools/http_serve"),
             *("%s=%d" % pair for pair in limits.items())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.host = "127.0.0.1"
        self.text = b""
        os.set_blocking(self.proc.stdout.fileno(), False)
        self.wait_line("port ")
        self.port = int(self.lines()[0].split()[1])
        self.fds = self.count()

    def lines(self):
        while select.select([self.proc.stdout], [], [], 0)[0]:
            piece = os.read(self.proc.stdout.fileno(), 65536)
            if not piece:
                break
            self.text += piece
        return self.text.decode().splitlines()

    def wait_line(self, start, seconds=SECONDS):
        host.wait_for("a line " + start, lambda: any(
            line.startswith(start) for line in self.lines()), seconds)

    def count(self):
        return len(os.listdir("/proc/%d/fd" % self.proc.pid))

    def wait_idle(self, seconds=SECONDS):
        """Until every connection is closed on the server's side."""
        host.wait_for("all connections closed",
                      lambda: self.count() == self.fds, seconds)

    def cpu(self):
        with open("/proc/%d/stat" % self.proc.pid) as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.proc.stdin.close()
        status = self.proc.wait(SECONDS)
        self.proc.stdout.close()
        return status


@pytest.fixture
def serve():
    made = []

    def make(**limits):
        made.append(Serve(**limits))
        return made[-1]
    yield make
    for one in made:
        assert one.close() == 0


@pytest.fixture(scope="module")
def plain():
    one = Serve()
    yield one
    assert one.close() == 0


@pytest.fixture(params=["parser", "takod"])
def server(request):
    if request.param == "parser":
        return request.getfixturevalue("plain")
    url = os.environ.get("TAKOD_URL")
    if not url:
        return request.getfixturevalue("takod")
    found = urllib.parse.urlsplit(url)
    found.host, found.port = found.hostname, found.port or 80
    return found


def connect(server, source=None):
    sock = socket.create_connection((server.host, server.port), SECONDS,
                                    source_address=source)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def answers(got, head_only=False):
    """[(status, fields, body)]; every byte belongs to one of them."""
    found = []
    while got:
        head, mark, got = got.partition(b"\r\n\r\n")
        assert mark, "half an answer: %r" % head
        first, *lines = head.decode("ascii").split("\r\n")
        status = int(re.fullmatch(r"HTTP/1\.1 (\d{3}) [ -~]*", first)[1])
        fields = {}
        for line in lines:
            name, value = line.split(": ", 1)
            assert name.lower() not in fields, line
            fields[name.lower()] = value
        size = int(fields.get("content-length", 0))
        if head_only or status in (100, 204, 304):
            size = 0
        assert len(got) >= size, "an answer is cut off"
        found.append((status, fields, got[:size]))
        got = got[size:]
    return found


def exchange(server, data, step=None, head_only=False):
    """The answers to some bytes that end with closing our half."""
    with connect(server) as sock:
        if step is None:
            send(sock, data)
        else:
            for at in range(0, len(data), step):
                if not send(sock, data[at:at + step]):
                    break
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it closed first
        return answers(read_all(sock), head_only)


def check(server, data, wanted, step=None):
    got = exchange(server, data, step, data.startswith(b"HEAD "))
    assert len(got) == len(wanted), got
    for (status, fields, body), want in zip(got, wanted):
        assert status in (want if isinstance(want, tuple) else (want,)), got
        assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]"
                            r"{2} \d{4} \d\d:\d\d:\d\d GMT", fields["date"])
    if wanted[-1] != OK:
        assert fields["connection"] == "close"
        if not isinstance(server, Serve) and not data.startswith(b"HEAD "):
            assert fields["content-type"] == "application/json"
            assert fields["x-content-type-options"] == "nosniff"
            assert re.fullmatch(
                rb'\{"detail": ?".+", ?"correlation_id": ?"[0-9a-f-]{36}"\}',
                body), body
    if isinstance(server, Serve):
        assert not [line for line in server.lines() if "smuggled" in line]


def field(line, method=GET):
    return method + line + b"\r\n\r\n"


def body(line, data=b"hello"):
    return POST + line + b"\r\n\r\n" + data


def chunks(data):
    return CHUNKED + data


ROWS = [
    ("H01", b"GET /health HTTP/1.1\r\n\r\n", [400]),
    ("H02", GET + HOST + b"\r\n", [400]),
    *[("H02", b"GET /health HTTP/1.1\r\nHost:" + h + b"\r\n\r\n", [400])
      for h in (b"", b" ", b" a, b", b" user@a", b" a/b", b" a b")],
    ("H03", b"GET /health HTTP/1.1\nHost: localhost\n\n", [400]),
    ("H03", b"GET /health HTTP/1.1\r\nHost: localhost\n\r\n", [400]),
    ("H03", GET + b"\n", [400]),
    ("H04", field(b"X: a\rb"), [400]),
    ("H04", b"GET /health HTTP/1.1\rHost: localhost\r\r", [400]),
    ("H05", field(b"X: a\r\n b"), [400]),
    ("H06", body(b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5",
                 b"0\r\n\r\n" + SMUGGLED), [400]),
    ("H07", body(b"Transfer-Encoding:\tchunked\r\nContent-Length: 5",
                 b"0\r\n\r\n" + SMUGGLED), [400]),
    ("H07", body(b"Transfer-Encoding:\tchunked",
                 b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)), [OK]),
    ("H08", body(b"Content-Length : %d" % len(SMUGGLED), SMUGGLED), [400]),
    ("H09", field(b"X: a\0b"), [400]),
    ("H10", GET + b"\0X: a\r\n\r\n" + SMUGGLED, [400]),
    ("H11", b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
    *[("H12", field(b"X: a" + c), [400])
      for c in (b"\x01", b"\x0b", b"\x1b[2J", b"\x7f")],
    *[("H13", field(b"X" + bytes([c]) + b"Y: a"), [400])
      for c in b"(),/;<=>?@[]{} \"\\\xe4"],
    ("H13", field(b": a"), [400]),
    ("H14", field(b"X"), [400]),
    *[("H15", body(line, b"0\r\n\r\n" + SMUGGLED), [400]) for line in (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5")],
    ("H16", body(b"Transfer-Encoding: gzip, chunked"), [501]),
    ("H16", body(b"Content-Length: 5\r\n"
                 b"Transfer-Encoding: gzip, chunked"), [501]),
    *[("H17", body(b"Transfer-Encoding:" + te, b"0\r\n\r\n" + SMUGGLED),
       [(400, 501)]) for te in (
        b" xchunked", b"", b" identity", b" chunked, chunked",
        b" \x0bchunked", b" chunked,", b" ,chunked", b" chunked;q=1")],
    ("H18", body(b"Transfer-Encoding: chunked\r\n"
                 b"Transfer-Encoding: chunked", b"0\r\n\r\n"), [400]),
    ("H19", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"
     b"0\r\n\r\n" + SMUGGLED, [400]),
    *[("H20", body(line), [400]) for line in (
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: 5, 5")],
    *[("H21", body(b"Content-Length:" + n), [400]) for n in (
        b" +5", b" -0", b" 0x5", b" 5_0", b" 5 5", b"", b" -1", b" 5.",
        b" \xb2")],
    *[("H22", body(b"Content-Length: " + n), [400]) for n in (
        b"9223372036854775807", b"10000000000000000000000",
        b"18446744073709551621", b"9" * 400)],
    ("H23", body(b"Content-Length: 2097153"), [413]),
    ("H25", b"HEAD /health HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n"
     b"\r\n" % len(SMUGGLED) + SMUGGLED, [400]),
    ("H26", GET + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
     [400]),
    ("H26", b"DELETE " + JOB + b" HTTP/1.1\r\n" + HOST +
     b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, [400]),
    *[("H27", m + b" HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED, [501])
      for m in (b"CONNECT a:1", b"BREW /", b"get /", b"GETS /")],
    ("H27", b"A" * 65536, [501]),
    ("H29", chunks(b"0\r\n\r\n") + GET + b"\r\n", [OK, OK]),
    *[("H29", chunks(size + b"\r\nhello\r\n0\r\n\r\n" + SMUGGLED), [400])
      for size in (b"0x5", b"+5", b"-0", b"5 junk", b" 5", b"5_0", b"",
                   b"5 ", b"5\t;a", b"g")],
    *[("H30", chunks(size + b"\r\nhello\r\n0\r\n\r\n"), [400])
      for size in (b"-5", b"0" * 16 + b"5", b"1" + b"0" * 16)],
    ("H30", chunks(b"f" * 16 + b"\r\nhello"), [(400, 413)]),
    *[("H31", chunks(b"5\r\n" + data + b"0\r\n\r\n" + SMUGGLED), [400])
      for data in (b"hello!\r\n", b"hello", b"hell\r\n", b"hello\r")],
    *[("H32", chunks(data + SMUGGLED), [400]) for data in (
        b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\n",
        b"5\r\nhello\r\n" + b"\r\n" * 1000 + b"0\r\n\r\n")],
    ("H33", chunks(b"5;a=b;c=\"d; e\"\r\nhello\r\n0;f\r\n\r\n"), [OK]),
    ("H33", chunks(b"5;" + b"a" * 65536 + b"\r\nhello\r\n0\r\n\r\n"), [400]),
    ("H33", chunks(b"5;a\x01\r\nhello\r\n0\r\n\r\n"), [400]),
    ("H35", chunks(b"1\r\nx\r\n" * 20000 + b"0\r\n\r\n"), [400]),
    ("H36", chunks(b"0\r\nHost: b\r\nContent-Length: 40\r\n"
                   b"Transfer-Encoding: chunked\r\nAuthorization: x\r\n\r\n")
     + GET + b"\r\n", [OK, OK]),
    ("H37", chunks(b"0\r\n" + b"X: aaaaaaaaaaaa\r\n" * 100000), [431]),
    ("H38", b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
     [414]),
    ("H38", field(b"X: " + b"a" * 16384), [431]),
    ("H38", field(b"\r\n".join([b"X: " + b"a" * 400] * 60)), [431]),
    ("H39", field(b"\r\n".join([b"X:"] * 100)), [431]),
    ("H39", field(b"\r\n".join([b"X:"] * 10000)), [431]),
    ("H44", (GET + b"\r\n") * 3, [OK] * 3),
    ("H45", b"\r\n" + GET + b"\r\n", [OK]),
    ("H45", b"\r\n\r\n" + GET + b"\r\n", [400]),
    *[("H46", b"GET /health " + v + b"\r\n" + HOST + b"\r\n", [400])
      for v in (b"HTTP/1.9", b"HTTP/0.9", b"HTTP/+1.-1", b"HTTP/1.01",
                b"http/1.1", b"HTTP/1.1 ", b"HTTP/1", b"")],
    ("H46", b"GET /health HTTP/2.0\r\n" + HOST + b"\r\n", [505]),
    ("H46", b"GET /health\r\n\r\n", [400]),
    ("H47", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9, [400]),
    ("H47", b"\x16\x03\x01\x00\xf0\x01\x00\x00\xec\x03\x03" + b"\x55" * 229,
     [400]),
    ("H47", random.Random(47).randbytes(4096), [(400, 501)]),
    ("H48", field(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                  b"HTTP2-Settings: AAMAAABkAAQAAP__"), [OK]),
    ("H48", field(b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
                  b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                  b"Sec-WebSocket-Version: 13"), [OK]),
    *[("H49", b"GET " + t + b" HTTP/1.1\r\n" + HOST + b"\r\n", [400])
      for t in (b"/a b", b"/\xc3\xa4", b"/a\\b", b"/#a", b"a", b"*")],
    ("H50", b"GET http://u@other/health HTTP/1.0\r\n\r\n", [400]),
    ("H50", b"GET http://other/health HTTP/1.1\r\n" + HOST + b"\r\n",
     [400]),
    ("H50", b"GET http://localhost/health HTTP/1.1\r\n" + HOST + b"\r\n",
     [OK]),
    *[("H51", b"GET " + t + b" HTTP/1.1\r\n" + HOST + b"\r\n", [400])
      for t in (b"/%00", b"/%zz", b"/%", b"/?a=%4")],
    ("H52", body(b"Content-Length: 5\r\nExpect: 200-ok"), [417]),
    ("H52", body(b"Content-Length: 3000000\r\nExpect: 100-continue", b""),
     [413]),
]


@pytest.mark.parametrize("data,wanted", [row[1:] for row in ROWS], ids=[
    "%s-%d" % (row[0], n) for n, row in enumerate(ROWS)])
def test_row(server, data, wanted):
    check(server, data, wanted)
    if len(data) <= 400:
        check(server, data, wanted, step=1)


# ---- what takod's routes make of it -------------------------------------------

def test_h27_known_method_on_a_path(takod):
    for method in (b"TRACE", b"QUERY", b"PATCH"):
        (status, fields, _), = exchange(
            takod, method + b" /health HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (status, fields["allow"]) == (405, "GET, HEAD")


def test_h28_options(takod):
    (status, fields, rest), (after, _, _) = exchange(
        takod, b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n" + GET + b"\r\n")
    assert (status, rest, after) == (204, b"", 200)
    assert "GET" in fields["allow"] and "content-length" not in fields
    # The body of one that is refused is never taken for a request.
    (status, fields, _), = exchange(
        takod, b"OPTIONS /execute HTTP/1.1\r\n" + HOST +
        b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED)
    assert (status, fields["connection"]) == (405, "close")


@pytest.mark.parametrize("target", [
    b"/../etc/passwd", b"/%2e%2e%2fetc", b"///", b"/%0d%0aX:y", b"/%252e",
    b"/%c0%ae", b"/jobs/%c3%28", b"/jobs/..%2f.."])
def test_h51_targets(takod, target):
    (status, _, rest), = exchange(
        takod, b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert status in (400, 404) and b"etc" not in rest


def test_h53_type_and_coding(takod):
    def post(lines):
        (status, _, _), = exchange(
            takod, b"POST /execute HTTP/1.1\r\n" + HOST + lines +
            b"Content-Length: 2\r\n\r\n{}")
        return status
    assert post(b"") == 422
    assert post(b"Content-Type: text/plain\r\n") == 422
    assert post(b"Content-Type: application/json\r\n"
                b"Content-Encoding: gzip\r\n") == 415


# ---- answers, and the connection between them ---------------------------------

def test_keep_alive(plain):
    with connect(plain) as sock:
        for version, more, kept in (
                (b"1", b"", None), (b"0", b"Connection: keep-alive\r\n",
                                    "keep-alive"),
                (b"1", b"Connection: x, Close\r\n", "close")):
            sock.sendall(b"GET /k HTTP/1." + version + b"\r\n" + HOST + more +
                         b"\r\n")
            (status, fields, rest), = answers(sock.recv(65536))
            assert (status, rest) == (200, b"GET /k ")
            assert fields.get("connection") == kept
        assert sock.recv(1) == b""
    (status, fields, _), = exchange(plain, b"GET / HTTP/1.0\r\n\r\n")
    assert (status, fields["connection"]) == (200, "close")


def test_head(plain):
    (status, fields, rest), = exchange(
        plain, b"HEAD /big/100 HTTP/1.1\r\n" + HOST +
        b"Connection: close\r\n\r\n", head_only=True)
    assert (status, fields["content-length"], rest) == (200, "100", b"")


@pytest.mark.parametrize("size", [0, 1, 65536, 10485760])
def test_large_answer(plain, size):
    (status, _, rest), = exchange(
        plain, b"GET /big/%d HTTP/1.1\r\n" % size + HOST + b"\r\n")
    assert status == 200 and rest == bytes(size)


def test_body_in_any_pieces(plain):
    data = bytes(range(256)) * 40
    one = body(b"Content-Length: %d" % len(data), data)
    two = chunks(b"".join(b"%x;a\r\n%s\r\n" % (n, data[:n])
                          for n in (1, 4096, 10240)) + b"0\r\nX: y\r\n\r\n")
    for step in (None, 100, 1460):
        first, second, _ = exchange(plain, one + two + GET + b"\r\n", step)
        assert first[2] == b"POST " + JOB + b" " + data
        assert second[2] == b"POST " + JOB + b" " + data[:1] + data[:4096] \
            + data[:10240]


def test_h44_pipeline(plain):
    paths = [b"/p%d" % n for n in range(1000)]
    got = exchange(plain, b"".join(
        b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n" for path in paths))
    assert [rest for _, _, rest in got] == [
        b"GET " + path + b" " for path in paths[:8]]
    assert [fields.get("connection") for _, fields, _ in got] == \
        [None] * 7 + ["close"]
    # One that waits for its answers may go on for ever.
    with connect(plain) as sock:
        for _ in range(50):
            sock.sendall(GET + b"\r\n")
            assert answers(sock.recv(65536))[0][0] == 200


def test_h52_continue(plain):
    head = POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with connect(plain) as sock:
        sock.sendall(head)
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        assert answers(sock.recv(65536))[0][2].endswith(b" hello")
        # Refused before it is asked for.
        sock.sendall(head.replace(JOB, b"/refuse"))
        (status, fields, _), = answers(read_all(sock))
        assert (status, fields["connection"]) == (401, "close")
    # One that does not wait is not told.
    (status, _, _), = exchange(plain, head + b"hello")
    assert status == 200


def test_refusal_survives_the_upload(plain):
    """No reset by what was not read may destroy the answer."""
    data = POST.replace(JOB, b"/refuse") + \
        b"Content-Length: 2000000\r\n\r\n" + bytes(2000000)
    for _ in range(20):
        with connect(plain) as sock:
            assert send(sock, data)
            (status, fields, _), = answers(read_all(sock))
        assert (status, fields["connection"]) == (401, "close")


# ---- who is still there -------------------------------------------------------

WAIT = GET.replace(b"/health", b"/wait") + b"\r\n"


@pytest.mark.parametrize("ahead", [b"", GET + b"\r\n", b"x" * 30000])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_goes_away(serve, how, ahead):
    one = serve()
    sock = connect(one)
    sock.sendall(WAIT + ahead)
    one.wait_line("GET /wait")
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
    sock.close()
    one.wait_line("gone /wait", 1)
    one.wait_idle()


def test_client_goes_away_behind_a_full_buffer(serve):
    """Its FIN does not arrive: the kernel takes nothing before it."""
    one = serve()
    sock = connect(one)
    sock.sendall(WAIT)
    one.wait_line("GET /wait")
    sock.setblocking(False)
    try:
        while True:
            sock.send(bytes(65536))
    except BlockingIOError:
        sock.close()
    one.wait_line("gone /wait", 4)
    one.wait_idle()


def test_client_closes_its_half(serve):
    one = serve()
    # It is there, and gets its answers, in order.
    got = exchange(one, (GET + b"\r\n") * 3 + body(b"Content-Length: 5"))
    assert [status for status, _, _ in got] == [200] * 4
    # Where the answer lets wait, its first byte comes, and no more.
    with connect(one) as sock:
        sock.sendall(WAIT)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(65536) == b"H"
        assert not [line for line in one.lines() if line[:4] == "gone"]
    # It closed the other half later: nothing but the next byte tells.
    one.wait_line("gone /wait", 4)
    one.wait_idle()


def test_answer_behind_a_probe_is_whole(takod):
    """The bytes that a half-closed client gets early belong to its answer."""
    (status, _, rest), = exchange(
        takod, b"GET /jobs/00000000-0000-4000-8000-000000000000/result?wait=1"
        b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert status == 404 and b"Job not found" in rest


def test_half_a_request(plain):
    for data in (b"G", GET, POST + b"Content-Length: 5\r\n\r\nhell",
                 CHUNKED + b"5\r\nhello\r\n"):
        check(plain, data, [400])
    assert exchange(plain, b"") == []


@pytest.mark.parametrize("phase", ["upload", "wait", "download"])
def test_h63_reset(serve, phase):
    one = serve()
    for _ in range(20):
        sock = connect(one)
        sock.sendall({
            "upload": POST + b"Content-Length: 1000000\r\n\r\n" + bytes(5000),
            "wait": WAIT,
            "download": GET.replace(b"/health", b"/big/10000000") + b"\r\n",
        }[phase])
        if phase == "download":
            assert sock.recv(100)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
        sock.close()
    one.wait_idle()


# ---- deadlines ----------------------------------------------------------------

def trickle(sock, data, pause):
    """A byte each pause, until something comes back; that."""
    for at in range(len(data)):
        if not send(sock, data[at:at + 1]):
            break
        if select.select([sock], [], [], pause)[0]:
            break
    return answers(read_all(sock))


def test_h24_body_that_stops(serve):
    one = serve(body_ms=300)
    for head in (POST + b"Content-Length: 50\r\n\r\nhello",
                 CHUNKED + b"5\r\nhel", CHUNKED):
        with connect(one) as sock:
            sock.sendall(head)
            (status, fields, _), = answers(read_all(sock))
        assert (status, fields["connection"]) == (408, "close")
    one.wait_line("gone " + JOB.decode())
    one.wait_idle()


def test_h40_slow_head(serve):
    one = serve(header_ms=400)
    for data in (GET + b"X: " + b"a" * 200, b"\r\n" + b"G" * 30):
        with connect(one) as sock:
            (status, fields, _), = trickle(sock, data, 0.03)
        assert (status, fields["connection"]) == (408, "close")
    one.wait_idle()


def test_h41_slow_body(serve):
    one = serve(body_ms=400)
    with connect(one) as sock:
        sock.sendall(POST + b"Content-Length: 1000\r\n\r\n")
        (status, _, _), = trickle(sock, bytes(1000), 0.03)
    assert status == 408


def test_body_that_keeps_the_rate(serve):
    one = serve(body_ms=1000)
    with connect(one) as sock:
        sock.sendall(POST + b"Content-Length: 40000\r\n\r\n")
        for _ in range(40):  # some 3 deadlines long
            assert not select.select([sock], [], [], 0.08)[0]
            sock.sendall(bytes(1000))
        sock.shutdown(socket.SHUT_WR)
        assert answers(read_all(sock))[0][0] == 200


def test_h41_slow_reader(serve):
    one = serve(write_ms=1000)
    ask = GET.replace(b"/health", b"/big/50000000") + b"\r\n"
    with connect(one) as sock:
        sock.sendall(ask)
        assert sock.recv(1)
        one.wait_idle()
        assert len(read_all(sock)) < 50000000
    # One that reads on gets all of it, however many deadlines it takes.
    with connect(one) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(ask)
        got = 0
        began = time.monotonic()
        while got < 50000000:
            if time.monotonic() - began < 3:
                select.select([], [], [], 0.01)
            piece = sock.recv(65536)
            assert piece
            got += len(piece)


def test_h42_silence(serve):
    one = serve(header_ms=1000, idle_ms=300)
    began = time.monotonic()
    with connect(one) as sock:
        assert sock.recv(1) == b""
    with connect(one) as sock:
        sock.sendall(GET + b"\r\n")
        assert answers(sock.recv(65536))[0][0] == 200
        assert sock.recv(1) == b""
    assert 0.5 < time.monotonic() - began < 15


# ---- caps ---------------------------------------------------------------------

def served(sock):
    """Is a request on this connection answered by the router?"""
    try:
        sock.sendall(GET + b"\r\n")
        return sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    except ConnectionError:
        return False


def test_h43_one_source(serve):
    one = serve(max_per_source=32)
    socks = [connect(one) for _ in range(200)]
    assert sum(map(served, socks)) == 32
    # Others are served meanwhile.
    with connect(one, ("127.0.0.2", 0)) as sock:
        assert served(sock)
    for sock in socks:
        sock.close()
    one.wait_idle()
    with connect(one) as sock:
        assert served(sock)


def test_all_connections(serve):
    """Row T26 of the fault catalogue."""
    one = serve(max=10)
    socks = [connect(one, ("127.0.0.%d" % n, 0)) for n in range(2, 42)]
    assert [served(sock) for sock in socks] == [True] * 10 + [False] * 30
    socks[0].close()

    def another():
        with connect(one, ("127.0.0.99", 0)) as sock:
            return served(sock)
    host.wait_for("a place", another, SECONDS)
    for sock in socks:
        sock.close()


def test_answers_that_nobody_reads(serve):
    """They are bounded together; small ones and the connection go on."""
    one = serve()
    socks = [connect(one) for _ in range(10)]
    for sock in socks:
        sock.sendall(GET.replace(b"/health", b"/big/50000000") + b"\r\n")
    got = [sock.recv(12) for sock in socks]
    assert got[:5] == [b"HTTP/1.1 200"] * 5
    assert got[-1] == b"HTTP/1.1 503"
    socks[-1].recv(65536)
    assert served(socks[-1])
    for sock in socks:
        sock.close()
    one.wait_idle()


def test_refused_client_is_told(serve):
    one = serve(max_per_source=1)
    with connect(one) as first, connect(one) as second:
        assert served(first)
        send(second, GET + b"\r\n")
        (status, fields, _), = answers(read_all(second))
    assert (status, fields["connection"]) == (503, "close")


def test_no_descriptor_left(serve):
    """It waits without spinning, and goes on."""
    one = serve(nofile=20)
    socks = [connect(one) for _ in range(32)]
    host.wait_for("no descriptor is left", lambda: one.count() == 20,
                  SECONDS)
    before = one.cpu()
    select.select([], [], [], 0.5)  # what it costs to wait
    assert one.cpu() - before < 0.1
    for sock in socks[:20]:
        sock.close()
    assert all(served(sock) for sock in socks[20:])
    for sock in socks[20:]:
        sock.close()
    one.wait_idle()
