"""
test_hostile.py: the rows of HTTP bad input that need a takod behind the front,
on one daemon, and the table that says which test holds each of the rows H01 to
H64.

The limits of the front are configuration. So each test of a limit is run with
it, and once more with the key that takes the defence out (`loose`): what was
refused has to pass then, or the test would see nothing.
"""
import ast
import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

from lib import host, shared
from lib.tcp import read_all, send

HOST = b"Host: localhost\r\n"
GET = b"GET /pool/stats HTTP/1.1\r\n" + HOST
HEALTH = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
FRAMING = "http/test_framing.py::"
UNIT = "unit/http.c"
SECONDS = 20

# Where each row is held. What is asked for below the rows, the cases of a public
# prober, is test_http11probe.py: SUMMARY there says how many pass.
HELD = {
    **{"H%02d" % n: [FRAMING + "ROWS"] for n in (
        *range(1, 24), 25, 26, 27, *range(29, 34), *range(35, 40),
        *range(44, 53))},
    "H24": [FRAMING + "test_h24_body_that_stops", "test_slow_body"],
    "H28": [FRAMING + "test_h28_options"],
    "H34": [UNIT],
    "H40": [FRAMING + "test_h40_slow_head", "test_slow_head"],
    "H41": [FRAMING + "test_h41_slow_body", FRAMING + "test_h41_slow_reader",
            "test_slow_body", "test_slow_reader"],
    "H42": [FRAMING + "test_h42_silence", "test_silence"],
    "H43": ["test_one_source", "test_all_connections"],
    "H53": ["test_bodies"], "H54": ["test_bodies"],
    "H55": ["test_costly_json"], "H56": ["test_bodies"],
    "H57": ["test_bodies"], "H58": ["test_bodies"], "H59": ["test_bodies"],
    "H60": ["test_size_of_a_body", "test_memory_for_all"],
    "H61": ["test_queries"],
    "H62": ["artifacts/test_download.py::test_ranges"],
    "H63": [FRAMING + "test_h63_reset", "test_reset"],
    "H64": ["artifacts/test_download.py::test_names"],
}


@pytest.fixture(scope="module")
def daemon(shared_things):
    from conftest import end, make
    made = make("oci", "runc", config={"warm_pool_size": 0})
    yield made
    end(made)


class Loose:
    """Keys for a while; what was there before is there again after it."""

    def __init__(self, daemon, keys):
        self.daemon, self.keys = daemon, keys

    def __enter__(self):
        self.daemon.write_config(**self.keys)
        self.daemon.takoctl("reload", check=True)

    def __exit__(self, *_):
        self.daemon.write_config(**dict.fromkeys(self.keys))
        self.daemon.takoctl("reload", check=True)


def connect(daemon, source="127.0.0.1", size=None):
    sock = socket.socket()
    if size is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    sock.settimeout(SECONDS)
    sock.bind((source, 0))
    sock.connect((daemon.host, daemon.port))
    return sock


def statuses(daemon, data):
    """Of all answers to some bytes."""
    with connect(daemon) as sock:
        send(sock, data)
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        got = read_all(sock)
    return [int(n) for n in re.findall(rb"HTTP/1\.1 (\d+) ", got)]


def served(sock, ask=HEALTH):
    return send(sock, ask) and sock.recv(65536).startswith(b"HTTP/1.1 200 ")


def front(daemon):
    pid, = daemon.children("tako-api")
    return pid


def memory(daemon):
    """Of the front, in MiB."""
    status = host.Process(front(daemon)).status()
    return int(status["VmRSS"].split()[0]) / 1024


def cpu(daemon):
    with open("/proc/%d/stat" % front(daemon)) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def control_answers(daemon):
    began = time.monotonic()
    daemon.takoctl("status", check=True)
    return time.monotonic() - began < 10


# ---- the table ----------------------------------------------------------------

def test_every_row_is_held():
    assert sorted(HELD) == ["H%02d" % n for n in range(1, 65)]
    for row, tests in HELD.items():
        for test in tests:
            path, _, name = test.rpartition("::")
            path = os.path.join(shared.TOP, "regress",
                                path or "http/test_hostile.py")
            if test == UNIT:
                with open(os.path.join(shared.TOP, "regress", UNIT)) as file:
                    assert '"%s"' % row in file.read(), row
                continue
            with open(path) as file:
                text = file.read()
            if name == "ROWS":
                assert '("%s", ' % row in text or '"%s"' % row in text, row
                continue
            names = {node.name for node in ast.parse(text).body
                     if isinstance(node, ast.FunctionDef)}
            assert name in names, (row, test)


# ---- H38, H39, H44: a head's size, pipelining ----------------------------------

@pytest.mark.parametrize("key,loose,request_,status", [
    ("api_max_request_line_bytes", 8192,
     b"GET /health?" + b"a" * 300 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    ("api_max_header_bytes", 65536,
     HEALTH[:-2] + b"X: " + b"a" * 400 + b"\r\n\r\n", 431),
    ("api_max_header_fields", 1000, HEALTH[:-2] + b"X: a\r\n" * 9 + b"\r\n",
     431)], ids=["line", "bytes", "fields"])
def test_size_of_a_head(daemon, key, loose, request_, status):
    with Loose(daemon, {key: 8 if "fields" in key else 256}):
        assert statuses(daemon, request_ + HEALTH) == [status]
    with Loose(daemon, {key: loose}):
        assert statuses(daemon, request_ + HEALTH) == [200, 200]


def test_pipeline(daemon):
    assert statuses(daemon, HEALTH * 30) == [200] * 8
    with Loose(daemon, {"api_pipeline_depth": 3}):
        assert statuses(daemon, HEALTH * 30) == [200] * 3
    with Loose(daemon, {"api_pipeline_depth": 100}):
        assert statuses(daemon, HEALTH * 30) == [200] * 30


# ---- H24, H40 to H42: deadlines -----------------------------------------------

POST = (b"POST /execute HTTP/1.1\r\n" + HOST +
        b"Content-Type: application/json\r\n")


def lasts(daemon, sent, trickle=b"", seconds=1.2, size=None):
    """What came when it was ended; None: it lives on after that time."""
    with connect(daemon, size=size) as sock:
        send(sock, sent)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([sock], [], [], 0.05)[0]:
                return read_all(sock)
            if trickle and not send(sock, trickle):
                return read_all(sock)
    return None


def test_slow_head(daemon):
    sent = HEALTH[:20]
    with Loose(daemon, {"api_header_timeout": 0.4}):
        assert lasts(daemon, sent, b"a", 8).startswith(b"HTTP/1.1 408 ")
    assert lasts(daemon, sent, b"a") is None


def test_slow_body(daemon):
    sent = POST + b"Content-Length: 100000\r\n\r\n"
    with Loose(daemon, {"api_body_timeout": 0.4}):
        assert lasts(daemon, sent, b" ", 8).startswith(b"HTTP/1.1 408 ")
        assert lasts(daemon, sent, b"", 8).startswith(b"HTTP/1.1 408 ")
    # Either key takes it out.
    assert lasts(daemon, sent, b" ") is None
    with Loose(daemon, {"api_body_timeout": 0.4, "api_min_rate_bytes": 1}):
        assert lasts(daemon, sent + b" " * 20, b" ") is None


def test_silence(daemon):
    with Loose(daemon, {"api_header_timeout": 1.0, "api_idle_timeout": 0.4}):
        assert lasts(daemon, b"", seconds=8) == b""
        with connect(daemon) as sock:
            assert served(sock)
            assert read_all(sock) == b""
    assert lasts(daemon, b"") is None
    with connect(daemon) as sock:
        assert served(sock)
        assert not select.select([sock], [], [], 1)[0]


def test_slow_reader(daemon):
    """It is let go, and what it did not read is held by nobody."""
    def descriptors():
        return len(os.listdir("/proc/%d/fd" % front(daemon)))

    def let_go(ask, seconds):
        before = descriptors()
        with connect(daemon, size=4096) as sock:
            send(sock, ask)
            # It answers: its connection is one of them.
            assert sock.recv(1)
            end = time.monotonic() + seconds
            while time.monotonic() < end and descriptors() > before:
                select.select([], [], [], 0.05)
            gone = descriptors() == before
        host.wait_for("the connection is gone",
                      lambda: descriptors() == before, SECONDS)
        return gone
    with Loose(daemon, {"max_stdout_bytes": 8000000}):
        job = daemon.execute("print('x' * 7000000)")["execution_id"]
    ask = b"GET /executions/%s HTTP/1.1\r\n" % job.encode() + HOST + b"\r\n"
    host.wait_for("former ones are gone", lambda: descriptors() < 20)
    assert not let_go(ask, 1.5)
    with Loose(daemon, {"api_write_timeout": 0.4}):
        assert let_go(ask, 8)


# ---- H43: floods of connections ------------------------------------------------

@pytest.mark.parametrize("loose", [False, True])
def test_one_source(daemon, loose):
    """Of 300 connections 32 are taken; all others are served meanwhile."""
    keys = {"api_max_connections_per_source": 400} if loose else {
        "api_max_connections_per_source": None}
    with Loose(daemon, keys):
        socks = [connect(daemon) for _ in range(300)]
        try:
            assert sum(map(served, socks)) == (300 if loose else 32)
            with connect(daemon, "127.0.0.2") as other:
                assert served(other)
            assert control_answers(daemon)
        finally:
            for sock in socks:
                sock.close()
    host.wait_for("a place", lambda: daemon.get("/health")[0] == 200)


def test_all_connections(daemon):
    with Loose(daemon, {"api_max_connections": 40,
                        "api_max_connections_per_source": 20}):
        socks = [connect(daemon, "127.0.0.%d" % (2 + n % 5))
                 for n in range(100)]
        assert sum(map(served, socks)) == 40
        assert control_answers(daemon)
        for sock in socks:
            sock.close()
    host.wait_for("a place", lambda: daemon.get("/health")[0] == 200)


# ---- H53 to H61: bodies and queries --------------------------------------------

def body(text, kind="application/json", **more):
    return text, {**({} if kind is None else {"Content-Type": kind}), **more}


BODIES = [
    ("H53", *body(b'{"code": "1"}', None), 422),
    ("H53", *body(b'{"code": "1"}', "text/plain"), 422),
    ("H53", *body(b'{"code": "1"}', **{"Content-Encoding": "gzip"}), 415),
    ("H54", *body(b""), 422), ("H54", *body(b"{}x"), 422),
    ("H54", *body('{"code": "1"}'.encode("utf-16")), 422),
    ("H54", *body(b'{"code": "1"}{"code": "1"}'), 422),
    ("H56", *body(b'{"code": "1", "code": "2"}'), 422),
    ("H56", *body(b'{"code": "1", "\\u0063ode": "2"}'), 422),
    ("H57", *body(b'{"code": "\xff"}'), 422),
    ("H57", *body(b'{"code": "\\ud800"}'), 422),
    ("H58", *body(b'{"code": "1", "timeout": 1e999}'), 422),
    ("H58", *body(b'{"code": "1", "timeout": 18446744073709551616}'), 422),
    ("H58", *body(b'{"code": "1", "timeout": 1.5}'), 422),
    ("H58", *body(b'{"code": "1", "timeout": "x"}'), 422),
    ("H58", *body(b'{"code": "1", "timeout": true}'), 422),
    ("H59", *body(b'{"code": "1", "more": 1}'), 422),
    ("H59", *body(b'{"code": 1}'), 422), ("H59", *body(b'{"code": null}'), 422),
    ("H59", *body(b'{}'), 422), ("H59", *body(b'[]'), 422),
]


def test_bodies(daemon):
    before = daemon.get("/executions?limit=1")[2]["items"]
    for row, text, headers, status in BODIES:
        if "Content-Type" not in headers:
            headers = {**headers, "Content-Type": ""}
        got, _, answer = daemon.request("POST", "/execute/async", text,
                                        headers)
        assert got == status, (row, text, answer)
        if status == 422 and headers["Content-Type"]:
            assert answer["detail"][0]["loc"][0] == "body", (row, answer)
    assert daemon.get("/executions?limit=1")[2]["items"] == before


def test_costly_json(daemon):
    """Refused, for little time, and nothing stays."""
    daemon.post("/execute", b"[")
    texts = [b"[" * 100000, b'{"a":' * 100000,
             json.dumps({"code": "1", **{str(n): n for n in range(100000)}}),
             json.dumps({"code": "", "input_data": {
                 "k%d" % n: 0 for n in range(80000)}})]
    for text in texts:
        before, size = cpu(daemon), memory(daemon)
        assert daemon.post("/execute", text)[0] == 422
        assert cpu(daemon) - before < 0.5
        assert memory(daemon) < size + 32


def test_queries(daemon):
    for query in ("limit=-1", "limit=1000000000", "offset=-1"):
        assert daemon.get("/executions?" + query)[0] == 422, query
    assert daemon.get("/executions?limit=1&limit=2")[0] in (200, 422)
    many = "&".join("a%d=1" % n for n in range(1000))
    assert daemon.get("/executions?" + many)[0] in (200, 400, 422)
    assert daemon.get("/executions?" + "a&" * 5000)[0] == 414


def test_size_of_a_body(daemon):
    for size, status in ((2097152, 422), (2097153, 413)):
        assert daemon.post("/execute", b'{"x": "%s"}' % (
            b"a" * (size - 9)))[0] == status


def test_memory_for_all(daemon, sanitized):
    """Many that send at once: one cap for all, told by 503."""
    def flood():
        answers, socks = [], []
        head = POST + b"Content-Length: 2000000\r\n\r\n"
        for _ in range(24):
            socks.append(connect(daemon))
            send(socks[-1], head + b" " * 1900000)
        end = time.monotonic() + 1.5
        for sock in socks:
            got = b""
            # One byte alone comes ahead of an answer: see tako-api/conn.c.
            while len(got) < 12 and select.select(
                    [sock], [], [], max(0, end - time.monotonic()))[0]:
                got += sock.recv(12 - len(got))
            if len(got) == 12:
                answers.append(got)
            sock.close()
        return answers
    with Loose(daemon, {"api_max_memory_bytes": 8388608}):
        before = memory(daemon)
        answers = flood()
        assert answers and set(answers) == {b"HTTP/1.1 503"}
        # A sanitizer keeps what was freed.
        assert sanitized or memory(daemon) - before < 8 + 8
    host.wait_for("a place", lambda: daemon.get("/health")[0] == 200)
    assert flood() == []
    host.wait_for("a place", lambda: daemon.get("/health")[0] == 200)


# ---- H63 ------------------------------------------------------------------------

def test_reset(daemon):
    """Nothing stays of clients that go in the middle."""
    host.wait_for("former ones are gone", lambda: len(os.listdir(
        "/proc/%d/fd" % front(daemon))) < 20, SECONDS)
    before = len(os.listdir("/proc/%d/fd" % front(daemon)))
    for sent in (POST + b"Content-Length: 50\r\n\r\n{", HEALTH * 5, GET,
                 b"", POST + b"Content-Length: 13\r\n\r\n{\"code\": \"1\"}"):
        for _ in range(5):
            sock = connect(daemon)
            send(sock, sent)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            b"\1\0\0\0\0\0\0\0")
            sock.close()
    host.wait_for("no descriptor is left", lambda: len(os.listdir(
        "/proc/%d/fd" % front(daemon))) == before, SECONDS)


# ---- a close that eats no answer ------------------------------------------------

def test_refusal_is_read(daemon):
    """The client sends on: no reset may destroy what it was told."""
    sent = POST + b"Content-Length: 3000000\r\n\r\n" + bytes(2900000)
    for _ in range(10):
        with connect(daemon) as sock:
            send(sock, sent)
            assert read_all(sock).startswith(b"HTTP/1.1 413 ")


def test_continue(daemon):
    head = (POST + b"Content-Length: 13\r\nExpect: 100-continue\r\n\r\n")
    with connect(daemon) as sock:
        send(sock, head)
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        send(sock, b'{"code": ""} ')
        assert sock.recv(65536).startswith(b"HTTP/1.1 422 ")
    with connect(daemon) as sock:
        send(sock, head.replace(b"13", b"3000000"))
        assert read_all(sock).startswith(b"HTTP/1.1 413 ")


# ---- a flood beside others ------------------------------------------------------

def test_flood_beside_others(daemon):
    """One source that opens, asks and leaves without end: others go on."""
    over = threading.Event()

    def flood():
        while not over.is_set():
            socks = [connect(daemon) for _ in range(20)]
            for sock in socks:
                send(sock, HEALTH * 4)
            for sock in socks:
                sock.close()
    thread = threading.Thread(target=flood)
    thread.start()
    try:
        with connect(daemon, "127.0.0.3") as sock:
            for _ in range(50):
                assert served(sock)
        assert control_answers(daemon)
    finally:
        over.set()
        thread.join()


def test_accepts_few_at_a_time(start, tmp_path):
    """Who connects without end keeps nobody waiting who is connected."""
    daemon = start("oci", "runc", config={"warm_pool_size": 0})
    api, = daemon.children("tako-api")
    trace = str(tmp_path / "trace")
    tracer = subprocess.Popen(
        ["strace", "-qq", "-e", "trace=accept4,epoll_wait", "-o", trace,
         "-p", str(api)], stdin=subprocess.DEVNULL)
    clients = []
    try:
        host.wait_for("it is traced", lambda: daemon.get("/health")[0] == 200
                      and "accept4" in host.read(trace))
        os.kill(api, signal.SIGSTOP)
        clients = [socket.create_connection((daemon.host, daemon.port))
                   for _ in range(100)]
        os.kill(api, signal.SIGCONT)
        host.wait_for("all are accepted", lambda: len(re.findall(
            r"^accept4\(.* = \d", host.read(trace), re.M)) > 100)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        for client in clients:
            client.close()
    turns = re.split(r"^epoll_wait.*$", host.read(trace), flags=re.M)
    most = max(len(re.findall(r"^accept4\(.* = \d", turn, re.M))
               for turn in turns)
    assert most <= 8
