"""
front.py: figures of the HTTP front: requests a second beside libevent's own
server, plain and over TLS; what memory it takes when it is full of clients and
under floods; and what others notice of a flood by one source.
"""
import os
import re
import select
import signal
import socket
import subprocess
import time

from figures import figure, finish, turns
from lib import host, shared
from lib.host import free_port
from lib.takod import Takod

REQUESTS, CLIENTS = 20000, 16
KEY = "0123456789abcdef-bench"
IDLE = 512
MEMORY_GOAL_MIB = 16
HEAD = b"POST /execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: " \
    b"application/json\r\n"


def tool(name):
    return shared.program("regress/tools/" + name)


def load(port, requests=REQUESTS, clients=CLIENTS, *more):
    """(requests a second, median ms, p99 ms)"""
    done = subprocess.run(
        [tool("http_load"), str(port), str(clients), str(requests),
         "get=/health", *more], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [float(n) for n in re.findall(r"[\d.]+", done.stdout)]


class Hello:
    """evhttp_hello: libevent's own server with a fixed answer."""

    def __init__(self, *pair):
        self.proc = subprocess.Popen([tool("evhttp_hello"), *pair],
                                     stdout=subprocess.PIPE, text=True)
        self.port = int(self.proc.stdout.readline())

    def close(self):
        self.proc.terminate()
        self.proc.wait()


def pair(folder):
    made = [os.path.join(folder, "bench" + end) for end in (".pem", ".key")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
         "-out", made[0], "-keyout", made[1]], check=True,
        capture_output=True)
    return made


def takod(**keys):
    return Takod("oci", "runc", "sqlite", config={
        "warm_pool_size": 0, "log_level": "WARNING", **keys})


def health(rounds):
    daemon, floor = takod(), Hello()
    try:
        for port in (daemon.port, floor.port):
            load(port, 2000)
        alone, ours = turns(rounds, lambda: load(floor.port)[0],
                            lambda: load(daemon.port)[0])
    finally:
        floor.close()
        finish(daemon)
    return figure("front health", "req/s", alone, ours, ">=", 0.8)


def health_tls(rounds):
    """With a key and the rate limit, and a route that both hold for."""
    folder = os.path.join(host.scratch(), "bench-tls")
    os.makedirs(folder, exist_ok=True)
    names = pair(folder)
    port = free_port()
    daemon, floor = takod(), Hello(*names)
    try:
        daemon.write_config(
            tls_certificate_file=names[0], tls_key_file=names[1],
            server_listen=["127.0.0.1:%d" % daemon.port,
                           "127.0.0.1:%d tls" % port],
            api_auth_enabled=True, api_keys=[KEY],
            api_rate_limit_enabled=True, api_rate_limit_requests=100000,
            api_rate_limit_window_seconds=1)
        daemon.takoctl("reload", check=True)
        for there in (port, floor.port):
            load(there, 2000, CLIENTS, "tls", "key=" + KEY)
        alone, ours = turns(
            rounds,
            lambda: load(floor.port, REQUESTS, CLIENTS, "tls",
                         "key=" + KEY)[0],
            lambda: load(port, REQUESTS, CLIENTS, "tls", "key=" + KEY)[0])
    finally:
        floor.close()
        finish(daemon)
    return figure("front health tls", "req/s", alone, ours, ">=", 0.6)


# ---- memory -----------------------------------------------------------------

def pss_kib(daemon):
    pid, = daemon.children("tako-api")
    found = re.search(r"^Pss: +(\d+) kB$",
                      host.read("/proc/%d/smaps_rollup" % pid), re.M)
    return int(found.group(1))


def connect(port, source):
    sock = socket.socket()
    sock.settimeout(10)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port))
    return sock


def push(sock, data):
    """As much as is taken at once."""
    sock.setblocking(False)
    try:
        while data:
            data = data[sock.send(data):]
    except OSError:
        pass


# What each of 32 clients of a source sends, again and again.
FLOODS = {
    "slow heads": b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 16000,
    "trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" +
        b"X: aaaaaaaa\r\n" * 300,
    "small chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" +
        b"1\r\nx\r\n" * 4000,
    "fields": b"GET /health HTTP/1.1\r\n" + b"X:\r\n" * 10000,
    "bodies": HEAD + b"Content-Length: 400000\r\n\r\n" + b" " * 390000,
    "pipelined": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000,
}


def memory(rounds):
    """MiB of the front over idle, with 512 clients and under each flood."""
    daemon = takod(api_max_connections_per_source=512)
    rows = []
    try:
        load(daemon.port, 2000)
        for name, sent in [("512 idle", None), *FLOODS.items()]:
            idle, most = [], []
            for _ in range(min(rounds, 5)):
                idle.append(pss_kib(daemon) / 1024)
                count = IDLE if sent is None else 32
                socks = [connect(daemon.port, "127.0.0.%d" % (2 + n % 16))
                         for n in range(count)]
                for sock in socks:
                    if sent is None:
                        sock.sendall(b"GET /health HTTP/1.1\r\n"
                                     b"Host: localhost\r\n\r\n")
                        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
                    else:
                        push(sock, sent)
                peak = 0
                for _ in range(10):
                    peak = max(peak, pss_kib(daemon) / 1024)
                    time.sleep(0.02)
                most.append(peak)
                for sock in socks:
                    sock.close()
            rows.append(figure("front " + name, "MiB", idle, most, "<= +",
                               MEMORY_GOAL_MIB))
    finally:
        finish(daemon)
    return rows


# ---- a flood beside others --------------------------------------------------

class Flood:
    """
    One source that takes all the connections it may have, asks ahead on each
    and leaves. It is a process of its own, as slow as it likes to be.
    """

    def __init__(self, port):
        self.port = port
        self.pid = os.fork()
        if self.pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.nice(10)
            self.run()

    def run(self):
        ask = b"GET /pool/stats HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8
        while True:
            try:
                socks = [connect(self.port, "127.0.0.66")
                         for _ in range(40)]
            except OSError:
                continue
            for sock in socks:
                push(sock, ask)
            select.select([], [], [], 0.005)
            for sock in socks:
                sock.close()

    def close(self):
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)


def beside(rounds):
    """
    p99 of other clients alone, and beside a flood by one source. That takes a
    processor for itself, and so does what answers it: so also beside a flood
    of another server, which takes of this one nothing else.
    """
    daemon, other = takod(), Hello()

    def others(flooded=None):
        flood = Flood(flooded) if flooded else None
        try:
            return load(daemon.port, 3000, 4)[2]
        finally:
            if flood:
                flood.close()

    def row(name, floor):
        return figure(name, "ms", *turns(
            rounds, floor, lambda: others(daemon.port)), "<=", 3)
    try:
        load(daemon.port, 2000)
        return [row("front p99 in a flood", others),
                row("front p99 in a flood, to one of another server",
                    lambda: others(other.port))]
    finally:
        other.close()
        finish(daemon)


def plan(options):
    return [("front health", health, (options.rounds,)),
            ("front health tls", health_tls, (options.rounds,)),
            ("front memory", memory, (options.rounds,)),
            ("front p99 in a flood", beside, (options.rounds,))]
