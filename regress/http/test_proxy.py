"""
test_proxy.py: whose word on a client's address is taken: Forwarded and
X-Forwarded-For of trusted proxies, and the header of the PROXY protocol.
"""
import json
import os
import socket
import struct

import pytest

from lib import host
from lib.host import free_port

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def reload(daemon, **keys):
    daemon.write_config(**keys)
    done = daemon.takoctl("reload")
    assert done.returncode == 0, (done.stdout, done.stderr)


@pytest.fixture(scope="module")
def daemon(shared_things):
    from conftest import end, make
    made = make("oci", "runc", config={
        "warm_pool_size": 0, "allow_unauthenticated_network_access": True,
        "trusted_proxies": ["127.0.0.2", "10.0.0.0/8", "2001:db8::/32"]})
    yield made
    end(made)


def open_(daemon, source="127.0.0.2", port=None):
    sock = socket.socket()
    sock.settimeout(20)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port or daemon.port))
    return sock


def ask(daemon, fields="", source="127.0.0.2", port=None, ahead=b"",
        path="/pool/stats"):
    """The status, and the client that the log names."""
    mark = "asked-" + os.urandom(8).hex()
    with open_(daemon, source, port) as sock:
        sock.sendall(ahead + (
            "GET %s HTTP/1.1\r\nHost: localhost\r\nX-Correlation-ID: %s\r\n"
            "%sConnection: close\r\n\r\n" % (path, mark, "".join(
                line + "\r\n" for line in fields.splitlines()))).encode())
        line = sock.makefile("rb").readline()

    def named():
        for text in daemon.log().splitlines():
            if "[%s]" % mark in text and " GET " in text:
                return text.split("] ", 1)[1].split()[0]
        return None
    return int(line.split()[1]), host.wait_for("the log names it", named, 10)


CHAINS = [
    ("X-Forwarded-For: 192.0.2.7", "192.0.2.7"),
    ("X-Forwarded-For: 192.0.2.7:4711", "192.0.2.7"),
    ("X-Forwarded-For: 2001:db9::7", "2001:db9::7"),
    ("X-Forwarded-For: [2001:db9::7]:80", "2001:db9::7"),
    ("X-Forwarded-For: ::ffff:192.0.2.7", "192.0.2.7"),
    # From the end on: what the client itself wrote does not count.
    ("X-Forwarded-For: 1.1.1.1, 192.0.2.7", "192.0.2.7"),
    ("X-Forwarded-For: 192.0.2.7, 10.1.2.3", "192.0.2.7"),
    ("X-Forwarded-For: 1.1.1.1\nX-Forwarded-For: 192.0.2.7, 10.1.2.3",
     "192.0.2.7"),
    ("X-Forwarded-For: 10.0.0.1, 10.0.0.2", "10.0.0.1"),
    ("X-Forwarded-For: 192.0.2.7, unknown", "127.0.0.2"),
    ("X-Forwarded-For: 192.0.2.7, nonsense, 10.0.0.1", "10.0.0.1"),
    ("X-Forwarded-For: ,", "127.0.0.2"),
    ("Forwarded: for=192.0.2.7", "192.0.2.7"),
    ("Forwarded: proto=http; FOR=\"192.0.2.7:99\";by=10.0.0.1",
     "192.0.2.7"),
    ("Forwarded: for=\"[2001:db9::7]:80\"", "2001:db9::7"),
    ("Forwarded: for=1.1.1.1, for=192.0.2.7,for=10.0.0.9", "192.0.2.7"),
    ("Forwarded: for=192.0.2.7, for=_hidden", "127.0.0.2"),
    ("Forwarded: by=10.0.0.1", "127.0.0.2"),
    ("Forwarded: for=\"192.0.2.7", "127.0.0.2"),
    # One of the two is the client's own.
    ("Forwarded: for=1.1.1.1\nX-Forwarded-For: 192.0.2.7", "127.0.0.2"),
    ("Forwarded: for=192.0.2.7\nX-Forwarded-For: 192.0.2.7", "192.0.2.7"),
    ("", "127.0.0.2"),
    ("X-Forwarded-For: " + "1.1.1.1, " * 40 + "192.0.2.7", "192.0.2.7"),
]


def test_chains(daemon):
    for fields, client in CHAINS:
        assert ask(daemon, fields) == (200, client), fields


def test_word_of_others(daemon):
    for fields, _ in CHAINS:
        assert ask(daemon, fields, "127.0.0.3") == (200, "127.0.0.3"), fields


def test_rate_and_log(daemon):
    """Each client of a proxy has its own rate, and a tenant of its own."""
    reload(daemon, api_rate_limit_enabled=True, api_rate_limit_requests=3,
           api_rate_limit_window_seconds=3600)
    try:
        for client in ("192.0.2.1", "192.0.2.2"):
            assert [ask(daemon, "X-Forwarded-For: " + client)[0]
                    for _ in range(4)] == [200] * 3 + [429]
        # All addresses of one IPv6 network are one client.
        assert [ask(daemon, "X-Forwarded-For: 2001:db9::%x" % n)[0]
                for n in range(1, 5)] == [200] * 3 + [429]
    finally:
        reload(daemon, api_rate_limit_enabled=False)
    reload(daemon, tenant_defaults={"jobs_per_window": 1})
    body = json.dumps({"code": "1"}).encode()
    got = []
    for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        with open_(daemon) as sock:
            sock.sendall(b"POST /execute/async HTTP/1.1\r\nHost: a\r\n"
                         b"Content-Type: application/json\r\n"
                         b"X-Forwarded-For: %s\r\nContent-Length: %d\r\n\r\n"
                         % (client.encode(), len(body)) + body)
            got.append(int(sock.makefile("rb").readline().split()[1]))
    assert got == [200, 429, 200]
    reload(daemon, tenant_defaults=None)


def test_connections_of_a_client(daemon):
    """A proxy has as many as it likes, a client behind it does not."""
    def slow(client):
        sock = open_(daemon)
        sock.sendall(b"POST /execute HTTP/1.1\r\nHost: a\r\nContent-Type: "
                     b"application/json\r\nX-Forwarded-For: %s\r\n"
                     b"Content-Length: 20\r\nExpect: 100-continue\r\n\r\n"
                     % client)
        return sock, int(sock.recv(100).split()[1])
    reload(daemon, api_max_connections_per_source=4)
    asked = [slow(b"192.0.2.1") for _ in range(6)]
    asked += [slow(b"192.0.2.%d" % n) for n in range(2, 8)]
    assert [status for _, status in asked] == [100] * 4 + [503] * 2 + \
        [100] * 6
    for sock, _ in asked:
        sock.close()
    reload(daemon, api_max_connections_per_source=None)


def test_protected_mode(daemon):
    """Who is forwarded is not of this host, whatever his address."""
    reload(daemon, allow_unauthenticated_network_access=False)
    assert ask(daemon, "X-Forwarded-For: 192.0.2.1")[0] == 401
    assert ask(daemon, "X-Forwarded-For: 127.0.0.1")[0] == 401
    assert ask(daemon)[0] == 200
    reload(daemon, allow_unauthenticated_network_access=True)


# ---- the PROXY protocol ---------------------------------------------------------

def header(client, command=1, extra=b""):
    if ":" in client:
        family, body = 0x21, socket.inet_pton(socket.AF_INET6, client) + \
            bytes(16) + struct.pack(">HH", 1, 2)
    else:
        family, body = 0x11, socket.inet_aton(client) + bytes(4) + \
            struct.pack(">HH", 1, 2)
    body += extra
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack(
        ">H", len(body)) + body


@pytest.fixture(scope="module")
def port(daemon):
    port = free_port()
    reload(daemon, server_listen=["127.0.0.1:%d" % daemon.port,
                                  "127.0.0.1:%d proxy" % port])
    yield port
    reload(daemon, server_listen=None)


def test_proxy_protocol(daemon, port):
    for ahead, client in (
            (header("192.0.2.9"), "192.0.2.9"),
            (header("192.0.2.9", extra=bytes(900)), "192.0.2.9"),
            (header("2001:db9::9"), "2001:db9::9"),
            (header("::ffff:192.0.2.9"), "192.0.2.9"),
            (header("192.0.2.9", command=0), "127.0.0.2"),
            (SIGNATURE + b"\x21\0\0\0", "127.0.0.2")):
        assert ask(daemon, port=port, ahead=ahead) == (200, client), ahead
    # One that is itself trusted may name another one.
    assert ask(daemon, "X-Forwarded-For: 192.0.2.8", port=port,
               ahead=header("10.0.0.1")) == (200, "192.0.2.8")
    assert ask(daemon, "X-Forwarded-For: 192.0.2.8", port=port,
               ahead=header("192.0.2.9")) == (200, "192.0.2.9")


def ends(daemon, port, sent, source="127.0.0.2", step=None):
    """All that came back."""
    with open_(daemon, source, port) as sock:
        try:
            for at in range(0, len(sent), step or len(sent)):
                sock.sendall(sent[at:at + (step or len(sent))])
            return sock.makefile("rb").read()
        except ConnectionError:
            return b""


GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def test_proxy_protocol_in_protected_mode(daemon, port):
    """Who comes by a proxy is not of this host, also where it does not say
    who that is; the proxy itself is."""
    keys = {"server_listen": ["127.0.0.1:%d" % daemon.port,
                              "127.0.0.1:%d proxy" % port]}
    reload(daemon, allow_unauthenticated_network_access=False, **keys)
    for ahead, status in (
            (header("127.0.0.1"), 401), (header("::1"), 401),
            (SIGNATURE + b"\x21\x31\0\xd8" + bytes(216), 401),
            (SIGNATURE + b"\x21\0\0\0", 401),
            (SIGNATURE + b"\x21\x12\0\x0c" + bytes(12), 401),
            (SIGNATURE + b"\x20\0\0\0", 200),
            (header("192.0.2.9", command=0), 200)):
        assert ask(daemon, port=port, ahead=ahead)[0] == status, ahead
    reload(daemon, allow_unauthenticated_network_access=True, **keys)


def test_what_is_no_header(daemon, port):
    for sent in (GET, b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + GET,
                 SIGNATURE + b"\x11\x11\0\x0c" + bytes(12) + GET,
                 SIGNATURE + b"\x22\x11\0\x0c" + bytes(12) + GET,
                 SIGNATURE + b"\x21\x11\0\x04" + bytes(4) + GET,
                 SIGNATURE + b"\x21\x11\xff\xff" + bytes(2000)):
        assert ends(daemon, port, sent) == b"", sent
    # Of a client that is no trusted proxy not even a good one.
    assert ends(daemon, port, header("192.0.2.9") + GET, "127.0.0.3") == b""
    # In pieces it is one too.
    assert ends(daemon, port, header("192.0.2.9") + GET, step=1).startswith(
        b"HTTP/1.1 200 ")
    # One that does not end is waited for as long as for a head.
    reload(daemon, api_header_timeout=0.4)
    assert ends(daemon, port, header("192.0.2.9")[:20]) == b""
    reload(daemon, api_header_timeout=None)
