"""
test_listen.py: where takod listens: several addresses of both kinds, a Unix
socket, the sockets that systemd passes; who counts as a client of this host
there; and what a reload makes of it.
"""
import grp
import json
import os
import socket
import stat
import subprocess
import sys
import threading

import pytest

from lib import host, shared
from lib.host import free_port

ASK = b"GET %s HTTP/1.1\r\nHost: %s\r\n%sConnection: close\r\n\r\n"


def reload(daemon, code=0, **keys):
    daemon.write_config(**keys)
    done = daemon.takoctl("reload")
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def ask(place, path=b"/pool/stats", name=b"localhost", more=b""):
    """The status; place: (address, port), or a path."""
    if isinstance(place, str):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20)
        sock.connect(place)
    else:
        sock = socket.create_connection(place, 20)
    with sock:
        sock.sendall(ASK % (path, name, more))
        return int(sock.makefile("rb").readline().split()[1])


def refused(place):
    try:
        if isinstance(place, str):
            socket.socket(socket.AF_UNIX).connect(place)
        else:
            socket.create_connection(place, 5).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    return False


@pytest.fixture(scope="module")
def daemon(shared_things):
    from conftest import end, make
    made = make("oci", "runc", config={"warm_pool_size": 0})
    yield made
    end(made)


def test_several(daemon):
    """IPv4 and IPv6, each with its port; one leaves, one stays, one comes."""
    places = [("127.0.0.1", daemon.port), ("127.0.0.2", free_port()),
              ("::1", free_port())]
    items = ["%s:%d" % place for place in places[:2]] + [
        "[::1]:%d" % places[2][1]]
    reload(daemon, server_listen=items)
    assert [ask(place) for place in places] == [200] * 3
    assert not refused(places[1])
    reload(daemon, server_listen=[items[0], items[2]])
    host.wait_for("it left", lambda: refused(places[1]), 20)
    assert ask(places[0]) == ask(places[2]) == 200
    # One that cannot be had changes nothing.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = reload(daemon, 78, server_listen=[
            "127.0.0.1:%d" % taken.getsockname()[1]])
    assert "cannot listen on port" in done.stderr
    assert ask(places[0]) == ask(places[2]) == 200


def test_path(daemon):
    """A Unix socket with its mode and group; who comes there is local."""
    path = os.path.join(daemon.dir, "http.sock")
    group = grp.getgrgid(os.stat("/etc/shadow").st_gid).gr_name
    here = "127.0.0.1:%d" % daemon.port
    # A socket of a takod that was killed is in the way of nobody.
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(path)
    reload(daemon, server_listen=[
        here, "unix:%s mode=0620 group=%s" % (path, group)])
    found = os.stat(path)
    assert stat.S_IMODE(found.st_mode) == 0o620
    assert grp.getgrgid(found.st_gid).gr_name == group
    assert ask(path) == 200
    # The Host rule holds there too, and what was forwarded is not local.
    assert ask(path, name=b"rebound.example") == 401
    assert ask(path, more=b"X-Forwarded-For: 1.2.3.4\r\n") == 401
    body = b'{"code": "print(1)"}'
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(b"POST /execute HTTP/1.1\r\nHost: localhost\r\n"
                     b"Content-Type: application/json\r\n"
                     b"Connection: close\r\nContent-Length: %d\r\n\r\n%s"
                     % (len(body), body))
        answer = sock.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 ") and b'"1\\n"' in answer
    # Another mode, the same socket: a client that waits is served.
    waiting = socket.socket(socket.AF_UNIX)
    waiting.connect(path)
    reload(daemon, server_listen=[here, "unix:%s" % path])
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    waiting.sendall(ASK % (b"/health", b"localhost", b""))
    assert waiting.recv(100).startswith(b"HTTP/1.1 200 ")
    waiting.close()
    # Someone else's socket is not taken away.
    other = os.path.join(daemon.dir, "other.sock")
    with socket.socket(socket.AF_UNIX) as used:
        used.bind(other)
        used.listen()
        done = reload(daemon, 78, server_listen=["unix:" + other])
        assert "in use" in done.stderr and os.path.exists(other)
    for item, wrong in (("unix:%s group=nobody-such" % other, "no group"),
                        ("unix:/nonexistent/x", "No such file")):
        assert wrong in reload(daemon, 78, server_listen=[item]).stderr
    reload(daemon, server_listen=None)
    host.wait_for("it is gone", lambda: not os.path.exists(path), 10)
    assert refused(path) and ask(("127.0.0.1", daemon.port)) == 200


def test_former_life_is_in_the_way_yet(daemon):
    """A tako-api that ends a moment after its takod is waited for."""
    os.kill(daemon.pid, 9)
    daemon.proc.wait()
    with socket.socket() as former:
        former.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        host.wait_for("its own is gone",
                      lambda: refused((daemon.host, daemon.port)))
        former.bind((daemon.host, daemon.port))
        former.listen()
        daemon.start(wait=False)
        host.wait_for("takod waits", lambda: "waiting for its end"
                      in daemon.log(), 20, 0.01)
    daemon.wait_ready()
    assert ask((daemon.host, daemon.port)) == 200


def test_path_in_protected_mode(daemon):
    """Others need the key, who comes over the socket does not."""
    path = os.path.join(daemon.dir, "local.sock")
    address = host.own_address()
    reload(daemon, server_listen=["0.0.0.0:%d" % daemon.port,
                                  "[::]:%d" % daemon.port, "unix:" + path])
    assert ask(path) == 200
    assert ask(("127.0.0.1", daemon.port)) == 200
    assert ask(("::1", daemon.port)) == 200
    assert ask((address, daemon.port)) == 401
    with open(os.path.join(daemon.data_dir, "api_key")) as file:
        key = b"X-API-Key: " + file.read().strip().encode() + b"\r\n"
    assert ask((address, daemon.port), more=key) == 200
    reload(daemon, server_listen=None)
    # Only this host reaches it: nothing is protected.
    reload(daemon, server_listen=["127.0.0.1:%d" % daemon.port,
                                  "unix:" + path])
    assert ask(path) == 200
    reload(daemon, server_listen=None)


def test_reload_under_load(daemon):
    """Listeners come and go; whoever asks one that stays is served."""
    path = os.path.join(daemon.dir, "load.sock")
    here, more = "127.0.0.1:%d" % daemon.port, free_port()
    reload(daemon, server_listen=[here, "unix:" + path])
    over, wrong, sent = threading.Event(), [], []

    def client(place):
        while not over.is_set():
            try:
                if ask(place, b"/health") != 200:
                    wrong.append(place)
            except Exception as error:  # any at all is what is looked for
                wrong.append(repr(error))
            sent.append(1)
    threads = [threading.Thread(target=client, args=(place,)) for place in (
        ("127.0.0.1", daemon.port), path, path)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        for items in ([here, "unix:" + path, "127.0.0.1:%d" % more],
                      ["unix:" + path, here]):
            reload(daemon, server_listen=items)
            before = len(sent)
            host.wait_for("clients are served",
                          lambda: len(sent) > before + 10, 20)
    over.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    reload(daemon, server_listen=None)


# systemd's protocol: the descriptors from 3 on, and three variables.
PASS = """
import os, sys
fds = [int(n) for n in sys.argv[1].split(",")]
for place, fd in enumerate([os.dup(fd) for fd in fds], 50):
    os.dup2(fd, place)
for place in range(len(fds)):
    os.dup2(50 + place, 3 + place)
os.closerange(3 + len(fds), 80)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)),
                  LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


class Passed:
    """subprocess.Popen for lib.takod: takod with descriptors as of systemd."""

    def __init__(self, socks, names):
        self.socks, self.names = socks, names

    def wrap(self, popen):
        def start(argv, **more):
            return popen(
                [sys.executable, "-c", PASS,
                 ",".join(str(s.fileno()) for s in self.socks),
                 ":".join(self.names), *argv],
                pass_fds=[s.fileno() for s in self.socks], **more)
        return start


@pytest.mark.parametrize("how", ["all", "named"])
def test_systemd(shared_things, monkeypatch, how):
    from conftest import end, make
    import lib.takod
    path = os.path.join(host.scratch(), "passed-%s.sock" % how)
    inet, local = socket.socket(), socket.socket(socket.AF_UNIX)
    inet.bind(("127.0.0.1", 0))
    local.bind(path)
    for sock in (inet, local):
        sock.listen()
    port = inet.getsockname()[1]
    # It waits since before takod was started.
    early = socket.create_connection(("127.0.0.1", port), 60)
    early.sendall(ASK % (b"/nothing", b"localhost", b""))
    monkeypatch.setattr(host, "free_port", lambda: port)
    popen = Passed([inet, local], ["web", "local"]).wrap(
        lib.takod.subprocess.Popen)
    monkeypatch.setattr(lib.takod.subprocess, "Popen", popen)
    items = ["systemd"] if how == "all" else ["systemd:web",
                                              "systemd:local"]
    daemon = make("oci", "runc", config={
        "warm_pool_size": 0, "server_listen": items})
    monkeypatch.undo()
    try:
        assert early.recv(100).startswith(b"HTTP/1.1 404 ")
        assert ask(("127.0.0.1", port)) == ask(path) == 200
        # What systemd meant for takod is not there for its children.
        with open("/proc/%d/environ" % daemon.children("tako-api")[0]) as f:
            assert "LISTEN" not in f.read()
        if how == "named":
            reload(daemon, server_listen=["systemd:local"])
            assert ask(path) == 200
            reload(daemon, server_listen=items)
            host.wait_for("it is served again", lambda: ask(
                ("127.0.0.1", port)) == 200, 10)
            done = reload(daemon, 78, server_listen=["systemd:other"])
            assert "no socket named other" in done.stderr
    finally:
        early.close()
        end(daemon)
    # They were systemd's: the path is not taken away.
    assert os.path.exists(path)
    inet.close()
    local.close()


def test_peers_of_both_kinds(shared_things, monkeypatch):
    """A socket of systemd that takes IPv4 too: such a peer's address comes as
    one of IPv6, and counts as what it is."""
    from conftest import end, make
    import lib.takod
    sock = socket.socket(socket.AF_INET6)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", 0))
    sock.listen()
    port = sock.getsockname()[1]
    monkeypatch.setattr(host, "free_port", lambda: port)
    popen = Passed([sock], ["web"]).wrap(lib.takod.subprocess.Popen)
    monkeypatch.setattr(lib.takod.subprocess, "Popen", popen)
    daemon = make("oci", "runc", config={
        "warm_pool_size": 0, "server_listen": ["systemd"]})
    monkeypatch.undo()
    try:
        assert ask(("127.0.0.1", port)) == ask(("127.9.9.9", port)) == 200
        assert ask(("::1", port)) == 200
        assert ask((host.own_address(), port)) == 401
        assert ask(("::1", port), name=b"rebound.example") == 401
        assert " 127.0.0.1 GET /pool/stats" in daemon.log()
        assert "::ffff:" not in daemon.log()
    finally:
        end(daemon)
        sock.close()


@pytest.mark.parametrize("item,wrong", [
    ("", "must not be empty"), ("8000", "must begin with"),
    ("127.0.0.1:0", "port from 1"), ("::1:80", "in brackets"),
    ("[::1:80", "must begin with"), ("unix:x", "whole path"),
    ("unix:/" + "x" * 120, "whole path"), ("unix:/x mode=9", "octal"),
    ("unix:/x mode=1777", "octal"), ("127.0.0.1:80 mode=600", "may be"),
    ("127.0.0.1:80 ssl", "tls and proxy"), ("http://a:80", "brackets")])
def test_items_that_are_none(tmp_path, item, wrong):
    (tmp_path / "x.yaml").write_text("server_listen: [%s]\n"
                                     % json.dumps(item))
    done = subprocess.run(
        [shared.program("tako-vm"), "validate", "x.yaml"], cwd=tmp_path,
        env={"HOME": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1 and "server_listen.0" in done.stdout
    assert wrong in done.stdout
