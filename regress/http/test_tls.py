"""
test_tls.py: TLS in the HTTP front: versions and ciphers, the handshake's
deadline, who does not speak it, how it ends, and certificates that change.
"""
import json
import os
import select
import socket
import ssl
import subprocess
import threading
import time

import pytest

from lib import host
from lib.host import free_port

SECONDS = 20
ASK = b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n\r\n"


def certificate(folder, name, kind="ec", extra=()):
    """(certificate, key) for localhost; its name is the common name."""
    made = [os.path.join(folder, name + end) for end in (".pem", ".key")]
    how = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] \
        if kind == "ec" else ["-newkey", kind]
    subprocess.run(
        ["openssl", "req", "-x509", *how, "-nodes", "-days", "2", "-subj",
         "/CN=" + name, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-out", made[0], "-keyout", made[1], *extra], check=True,
        capture_output=True)
    return made


def reload(daemon, code=0, **keys):
    daemon.write_config(**keys)
    done = daemon.takoctl("reload")
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


class Secure:
    """The TLS listener of a takod, which has a plain one beside it."""

    def __init__(self, daemon, port, trusted):
        self.daemon, self.port, self.trusted = daemon, port, trusted

    def context(self, **more):
        context = ssl.create_default_context(cafile=self.trusted)
        for name, value in more.items():
            setattr(context, name, value)
        return context

    def raw(self):
        return socket.create_connection(("127.0.0.1", self.port), SECONDS)

    def connect(self, context=None):
        return (context or self.context()).wrap_socket(
            self.raw(), server_hostname="localhost",
            suppress_ragged_eofs=False)

    def ask(self, path="/health", context=None):
        """The status; and it ends as TLS has to, by a word."""
        with self.connect(context) as sock:
            sock.sendall(ASK % (path.encode(), b"close"))
            return everything(sock)


def everything(sock):
    got = b""
    while piece := sock.recv(65536):
        got += piece
    return got


@pytest.fixture(scope="module")
def secure(shared_things):
    from conftest import end, make
    daemon = make("oci", "runc", config={"warm_pool_size": 0})
    pair = certificate(daemon.dir, "first")
    port = free_port()
    reload(daemon, tls_certificate_file=pair[0], tls_key_file=pair[1],
           server_listen=["127.0.0.1:%d" % daemon.port,
                          "127.0.0.1:%d tls" % port])
    yield Secure(daemon, port, pair[0])
    end(daemon)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_versions(secure):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = secure.context(minimum_version=version,
                                 maximum_version=version)
        assert secure.ask(context=context).startswith(b"HTTP/1.1 200 ")
    old = secure.context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        secure.connect(old)


def test_ciphers(secure):
    def shaken(ciphers):
        context = secure.context(maximum_version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(ciphers)
        with secure.connect(context) as sock:
            return sock.cipher()[0]
    assert "GCM" in shaken("ECDHE+AESGCM")
    assert "CHACHA20" in shaken("ECDHE+CHACHA20")
    for weak in ("ECDHE+AES:!AESGCM:!AESCCM@SECLEVEL=0", "RSA@SECLEVEL=0"):
        with pytest.raises(ssl.SSLError):
            shaken(weak)


def test_protocol_in_it(secure):
    for offered, chosen in ((["http/1.1"], "http/1.1"),
                            (["h2", "http/1.1"], "http/1.1"), (["h2"], None)):
        context = secure.context()
        context.set_alpn_protocols(offered)
        with secure.connect(context) as sock:
            assert sock.selected_alpn_protocol() == chosen


def test_requests(secure):
    """Pipelined, in pieces, large both ways, a job and its file."""
    with secure.connect() as sock:
        sock.sendall(ASK % (b"/health", b"keep-alive") * 4 +
                     ASK % (b"/health", b"close"))
        assert everything(sock).count(b"HTTP/1.1 200 ") == 5
    code = ("import os\nopen('/output/big', 'wb').write(bytes(range(256)) * "
            "8192)\nprint(len(open('/input/data.json').read()) > 900000)")
    body = json.dumps({"code": code, "input_data": {"a": "x" * 900000}})
    with secure.connect() as sock:
        sock.sendall(b"POST /execute HTTP/1.1\r\nHost: localhost\r\n"
                     b"Content-Type: application/json\r\nConnection: close\r\n"
                     b"Content-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 100000):
            sock.sendall(body[at:at + 100000].encode())
        head, _, answer = everything(sock).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    answer = json.loads(answer)
    assert answer["success"], answer
    got = secure.ask("/jobs/%s/artifacts/big" % answer["execution_id"])
    assert got.partition(b"\r\n\r\n")[2] == bytes(range(256)) * 8192


def test_handshake_has_a_deadline(secure):
    reload(secure.daemon, api_header_timeout=1.5)
    try:
        for sent in (b"", b"\x16\x03\x01\x02\x00\x01"):
            with secure.raw() as sock:
                sock.sendall(sent)
                began = time.monotonic()
                assert sock.recv(100) == b""
                assert time.monotonic() - began < 8
        # And so has what comes first in it.
        with secure.connect() as sock:
            assert sock.recv(1) == b""
        with secure.connect() as sock:
            sock.sendall(b"GET / HT")
            assert everything(sock).startswith(b"HTTP/1.1 408 ")
    finally:
        reload(secure.daemon, api_header_timeout=None)
    with secure.raw() as sock:
        assert not select.select([sock], [], [], 1)[0]


def test_who_does_not_speak_it(secure):
    """A close, and no reset: neither hangs, nor reads nonsense as an answer."""
    for sent in (ASK % (b"/health", b"close"), os.urandom(3000),
                 b"POST / HTTP/1.1\r\n\r\n" + bytes(100000)):
        with secure.raw() as sock:
            try:
                sock.sendall(sent)
            except ConnectionError:
                pass
            got = everything(sock)
            assert len(got) < 16 and not got.startswith(b"HTTP")
    # TLS where none is spoken gets an answer, and a close.
    with socket.create_connection(("127.0.0.1", secure.daemon.port),
                                  SECONDS) as sock:
        with pytest.raises(ssl.SSLError):
            secure.context().wrap_socket(sock, server_hostname="localhost")
    assert secure.ask().startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("how", ["word", "cut"])
def test_client_goes(secure, how):
    """Its job is cancelled, with TLS's word or without it."""
    body = json.dumps({"code": "import time; time.sleep(60)"}).encode()
    sock = secure.connect()
    sock.sendall(b"POST /execute HTTP/1.1\r\nHost: localhost\r\n"
                 b"Content-Type: application/json\r\nContent-Length: %d\r\n"
                 b"\r\n%s" % (len(body), body))

    def newest():
        items = secure.daemon.get("/executions?limit=1")[2]["items"]
        return items and items[0]["status"] == "running" and items[0]
    job = host.wait_for("it runs", newest, SECONDS)["execution_id"]
    if how == "word":
        sock.setblocking(False)
        try:
            sock.unwrap()
        except (ssl.SSLError, OSError):
            pass
    sock.close()
    assert secure.daemon.wait(job)["status"] == "cancelled"


def test_reload(secure):
    """A new certificate under load: no client is lost; an old connection goes
    on; a pair that does not fit changes nothing."""
    daemon = secure.daemon
    with open(secure.trusted) as file:
        first = file.read()
    new = certificate(daemon.dir, "second", "rsa:2048")
    files = daemon.keys["tls_certificate_file"], daemon.keys["tls_key_file"]
    before = [open(name).read() for name in files]
    both = os.path.join(daemon.dir, "both.pem")
    with open(both, "w") as file:
        file.write(first + open(new[0]).read())
    secure.trusted = both
    kept = secure.connect()
    over, wrong, seen = threading.Event(), [], []

    def client():
        while not over.is_set():
            try:
                with secure.connect() as sock:
                    name = sock.getpeercert()["subject"][0][0][1]
                    sock.sendall(ASK % (b"/health", b"close"))
                    if not everything(sock).startswith(b"HTTP/1.1 200 "):
                        wrong.append(name)
                    seen.append(name)
            except Exception as error:  # any at all is what is looked for
                wrong.append(repr(error))
    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for names, texts in (("second", [open(n).read() for n in new]),
                             ("first", before)) * 2:
            # The same names, other files: no key has changed.
            for name, text in zip(files, texts):
                with open(name, "w") as file:
                    file.write(text)
            assert "tls_certificate_file" in reload(daemon).stdout
            host.wait_for("it is shown", lambda: seen[-1:] == [names], SECONDS)
        # The key of the other one.
        with open(files[1], "w") as file:
            file.write(open(new[1]).read())
        done = reload(daemon, 78)
        assert "the key is not that of the certificate" in done.stderr
        assert "PRIVATE" not in daemon.log()
        for text, what in (("", "the key is none"),
                           (before[0], "the key is none")):
            with open(files[1], "w") as file:
                file.write(text)
            assert what in reload(daemon, 78).stderr
        os.unlink(files[1])
        assert "No such file" in reload(daemon, 78).stderr
        count = len(seen)
        host.wait_for("clients are served", lambda: len(seen) > count + 5)
        with open(files[1], "w") as file:
            file.write(before[1])
        assert reload(daemon).stdout == "nothing has changed\n"
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:3]
    kept.sendall(ASK % (b"/health", b"close"))
    assert everything(kept).startswith(b"HTTP/1.1 200 ")
    kept.close()
    # A front that is replaced has it too.
    host.signal_pid(daemon.children("tako-api")[0], 9)

    def back():
        try:
            return secure.ask().startswith(b"HTTP/1.1 200 ")
        except OSError:
            return False
    host.wait_for("the next front speaks it", back, SECONDS)


def test_off_and_on(secure):
    """Without server_listen the one listener speaks it."""
    daemon = secure.daemon
    keys = {name: daemon.keys[name] for name in (
        "tls_certificate_file", "tls_key_file", "server_listen")}
    done = reload(daemon, 78, tls_certificate_file=None)
    assert "a certificate needs its key" in done.stderr
    done = reload(daemon, 78, tls_key_file=None)
    assert "tls needs tls_certificate_file" in done.stderr
    reload(daemon, server_listen=None)
    assert daemon.get("/health")[0] == 200
    reload(daemon, **{**keys, "server_listen": None})
    secure.port, port = daemon.port, secure.port
    host.wait_for("it speaks it", lambda: secure.ask().startswith(
        b"HTTP/1.1 200 "))
    reload(daemon, **keys)
    secure.port = port


def test_memory_of_the_front(secure):
    """The key is in the front's memory and nowhere else; it has no file."""
    api, = secure.daemon.children("tako-api")
    names = os.listdir("/proc/%d/fd" % api)
    links = [os.readlink("/proc/%d/fd/%s" % (api, n)) for n in names]
    assert not [link for link in links if "memfd" in link], links
    for pid in secure.daemon.children("tako-worker"):
        assert not [n for n in os.listdir("/proc/%d/fd" % pid)
                    if "tls" in os.readlink("/proc/%d/fd/%s" % (pid, n))]
