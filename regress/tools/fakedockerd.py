#!/usr/bin/python3
"""
fakedockerd: a Docker engine that does nothing but answer, and answers wrongly
where it is told to. For faults only: whether takod works with Docker is tested
with a real one.

It knows the calls that takod makes and no others (they get 400), keeps its
containers in memory, logs each call, and greets on an attached stream like
tako-init does. A fault is (call, kind, value): the next call of that name
fails so. Calls: ping info create attach start inspect wait kill delete list.
Kinds:
    status N    answers with that status and a message, does nothing
    done N      does it, then answers with that status
    hang        takes the call and never answers
    hang_done   does it and never answers
    close       closes the connection without a word
    cut         half of the answer, then closes
    garbage     an answer that is no JSON
    empty       an answer with the JSON {}
    raw BYTES   those bytes, then closes
    endless_head, endless_body   never stops
RunningDockerd is one whose containers seem to run the jobs of invariants.py:
as many of them as a test has time for.
"""
import collections
import hashlib
import json
import os
import re
import socket
import struct
import sys
import threading
import urllib.parse

GREETING = struct.pack("<B3xIII", 1, 8, 1, 1)
VERSION = "1.41"


def frame(payload):
    return struct.pack(">B3xI", 1, len(payload)) + payload


class Container:
    def __init__(self, ident, name, spec):
        self.id, self.name, self.spec = ident, name, spec
        self.running = False
        self.stream = None
        self.ended = threading.Event()


class FakeDockerd:
    """Serves on path until close(). Used by several threads: self.lock."""

    def __init__(self, path, version=VERSION):
        self.path = path
        self.version = version
        self.docker_host = "unix://" + path
        self.containers = {}
        self.faults = []
        self.log = []
        self.held = []
        self.lock = threading.RLock()
        self.seen = threading.Condition(self.lock)
        self.listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()
        with self.lock:
            for conn in self.held:
                conn.close()

    def fault(self, call, kind, value=None):
        with self.lock:
            self.faults.append((call, kind, value))

    def calls(self, name):
        with self.lock:
            return [entry for entry in self.log if entry[0] == name]

    def wait_call(self, name, seconds=10, count=1):
        """Until a call of that name came."""
        with self.seen:
            if not self.seen.wait_for(
                    lambda: len(self.calls(name)) >= count, seconds):
                raise AssertionError("no call: " + name)

    # ---- one connection --------------------------------------------------

    def accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,),
                             daemon=True).start()

    def serve(self, conn):
        with self.lock:
            self.held.append(conn)
        file = conn.makefile("rb")
        try:
            while True:
                line = file.readline().decode()
                if not line:
                    break
                method, target, _ = line.split(" ", 2)
                heads = {}
                while (head := file.readline().decode().strip()):
                    name, _, value = head.partition(":")
                    heads[name.lower()] = value.strip()
                body = file.read(int(heads.get("content-length", 0)))
                if not self.call(conn, method, target, body):
                    return  # hijacked, or never to be answered
        except (OSError, ValueError):
            pass
        conn.close()

    def call(self, conn, method, target, body):
        url = urllib.parse.urlsplit(target)
        query = urllib.parse.parse_qs(url.query)
        path = re.sub(r"^/v1\.\d+", "", url.path)
        name, which = self.name_call(method, path)
        with self.seen:
            self.log.append((name, method, target, body))
            kind, value = self.take_fault(name)
            self.seen.notify_all()
        if kind in ("status", "close", "hang", "raw", "endless_head"):
            return self.misbehave(conn, kind, value)
        status, answer = self.work(conn, name, which, query, body)
        if kind == "hang_done":
            return False
        if kind == "done":
            status, answer = value, {"message": "it failed, it says"}
        if kind == "endless_body":
            conn.sendall(b"HTTP/1.1 200 OK\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n")
            while True:
                conn.sendall(b"10000\r\n" + b"[" * 65536 + b"\r\n")
        if status == 101:
            return False
        data = json.dumps(answer).encode() if answer is not None else b""
        if kind == "garbage":
            data = b"\x00\xff{{{ not json"
        if kind == "empty":
            data = b"{}"
        head = "HTTP/1.1 %d X\r\nApi-Version: %s\r\nContent-Length: %d\r\n" \
               "\r\n" % (status, self.version, len(data))
        if status == 204:
            head = "HTTP/1.1 204 No Content\r\nApi-Version: %s\r\n\r\n" \
                % self.version
        if kind == "cut":
            conn.sendall(head.encode() + data[:len(data) // 2])
            conn.shutdown(socket.SHUT_RDWR)
            return False
        conn.sendall(head.encode() + data)
        return True

    def take_fault(self, name):
        for entry in self.faults:
            if entry[0] == name:
                self.faults.remove(entry)
                return entry[1:]
        return None, None

    def misbehave(self, conn, kind, value):
        if kind == "status":
            data = json.dumps({"message": "told to fail"}).encode()
            conn.sendall(b"HTTP/1.1 %d X\r\nApi-Version: 1.41\r\n"
                         b"Content-Length: %d\r\n\r\n%s"
                         % (value, len(data), data))
            return True
        if kind == "raw":
            conn.sendall(value)
        if kind == "endless_head":
            conn.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                conn.sendall(b"X-Endless: %s\r\n" % (b"x" * 1000) * 64)
        if kind != "hang":
            conn.shutdown(socket.SHUT_RDWR)
        return False

    # ---- what an engine does ---------------------------------------------

    @staticmethod
    def name_call(method, path):
        if path == "/_ping":
            return "ping", None
        if path == "/info":
            return "info", None
        if path == "/containers/create":
            return "create", None
        if path == "/containers/json":
            return "list", None
        match = re.match(r"^/images/(.+)/json$", path)
        if match:
            return "image", match[1]
        match = re.match(r"^/containers/([^/]+)(?:/(\w+))?$", path)
        if not match:
            return "unknown", None
        verb = {"json": "inspect", None: "delete"}.get(
            match[2], match[2])
        return verb, match[1]

    def find(self, which):
        for container in self.containers.values():
            if which in (container.id, container.name):
                return container
        return None

    def work(self, conn, name, which, query, body):
        with self.lock:
            container = self.find(which)
        if name == "ping":
            return 200, None
        if name == "info":
            return 200, {"ServerVersion": "fake",
                         "Runtimes": {"runc": {}, "runsc": {}}}
        if name == "image":
            return 200, {"Id": "sha256:" + "0" * 64}
        if name == "create":
            return self.create(query["name"][0], json.loads(body))
        if name == "list":
            return 200, self.list(json.loads(query["filters"][0]))
        if name == "unknown":
            return 400, {"message": "not a call that takod makes"}
        if container is None:
            return 404, {"message": "No such container: %s" % which}
        return getattr(self, "do_" + name)(conn, container)

    def create(self, name, spec):
        with self.lock:
            if self.find(name):
                return 409, {"message": "name in use"}
            container = Container(os.urandom(32).hex(), name, spec)
            self.containers[container.id] = container
        return 201, {"Id": container.id, "Warnings": []}

    def list(self, filters):
        label, _, value = filters["label"][0].partition("=")
        with self.lock:
            return [{"Id": c.id, "Names": ["/" + c.name],
                     "Labels": c.spec["Labels"]}
                    for c in self.containers.values()
                    if c.spec["Labels"].get(label) == value]

    def do_attach(self, conn, container):
        container.stream = conn  # first: the start may come at once
        conn.sendall(b"HTTP/1.1 101 UPGRADED\r\nContent-Type: "
                     b"application/vnd.docker.raw-stream\r\nConnection: "
                     b"Upgrade\r\nUpgrade: tcp\r\n\r\n")
        return 101, None

    @staticmethod
    def do_start(_, container):
        container.running = True
        if container.stream is not None:
            container.stream.sendall(frame(GREETING))
        return 204, None

    @staticmethod
    def do_inspect(_, container):
        # A process that is surely there, and surely not the container's.
        return 200, {"Id": container.id, "State": {
            "Running": container.running, "OOMKilled": False,
            "Pid": os.getpid() if container.running else 0}}

    @staticmethod
    def do_wait(_, container):
        container.ended.wait()
        return 200, {"StatusCode": 137}

    @staticmethod
    def do_kill(_, container):
        container.running = False
        container.ended.set()
        return 204, None

    def do_delete(self, conn, container):
        self.do_kill(conn, container)
        with self.lock:
            self.containers.pop(container.id, None)
        if container.stream is not None:
            container.stream.shutdown(socket.SHUT_RDWR)
        return 204, None


# ---- containers that seem to run --------------------------------------------

# Frames of common/stream.h.
LIMITS, READY, CODE, GO, STARTED, STDOUT, EXIT, DONE = 2, 3, 4, 6, 7, 8, 10, 15
END_EXITED = 1
TOKEN = re.compile(rb"TOKEN-([0-9a-f]{16})")
SLEEP = re.compile(rb"time\.sleep\(([0-9.]+)\)")
KERNEL = b"Linux version %s fake\n" % os.uname().release.encode()


class RunningDockerd(FakeDockerd):
    """
    Its containers take their code as tako-init does, print what it would and
    end. One stream for each; a container without a stream runs nothing.
    """

    def __init__(self, *args):
        super().__init__(*args)
        self.log = collections.deque(maxlen=100)  # it is asked for long

    def all(self):
        with self.lock:
            return list(self.containers.values())

    def do_start(self, _, container):
        container.running = True
        threading.Thread(target=self.live, args=(container,),
                         daemon=True).start()
        return 204, None

    def do_kill(self, conn, container):
        super().do_kill(conn, container)
        if container.stream is not None:
            try:
                container.stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        return 204, None

    def do_delete(self, conn, container):
        self.do_kill(conn, container)
        with self.lock:
            self.containers.pop(container.id, None)
        return 204, None

    def live(self, container):
        try:
            if container.spec.get("Entrypoint", [""])[0] == "python3":
                container.stream.sendall(frame(KERNEL))  # the probe
            else:
                self.job(container)
        except (AttributeError, OSError, ValueError, struct.error):
            pass  # no stream, or it broke: as tako-init it ends then
        self.do_kill(None, container)

    @staticmethod
    def take(file):
        kind, size = struct.unpack("<B3xI", file.read(8))
        return kind, file.read(size)

    def job(self, container):
        stream, file = container.stream, container.stream.makefile("rb")
        stream.sendall(frame(GREETING))
        kind, limits = self.take(file)
        key, count, code = limits[24:40], 0, b""

        def say(kind, payload=b""):
            nonlocal count
            tag = b"\0\0\0"
            if any(key):
                tag = hashlib.sha256(key + struct.pack(
                    "<QBI", count, kind, len(payload))).digest()[:3]
            count += 1
            stream.sendall(frame(struct.pack(
                "<B3sI", kind, tag, len(payload)) + payload))
        stream.sendall(frame(struct.pack("<B3xI", READY, 0)))
        while kind != GO:
            kind, payload = self.take(file)
            code += payload if kind == CODE else b""
        say(STARTED)
        token = TOKEN.search(code)
        if token:
            say(STDOUT, b"RAN-%s\n" % token[1])
        if SLEEP.search(code):
            # Ended early by a kill.
            container.ended.wait(float(SLEEP.search(code)[1]))
        if not container.running:
            return
        if token:
            say(STDOUT, b"END-%s\n" % token[1])
        say(EXIT, struct.pack("<IIQ", END_EXITED, 0, 1000))
        say(DONE)


def main():
    """fakedockerd.py SOCKET [CALL=KIND[=VALUE]]...: until stdin ends."""
    fake = FakeDockerd(sys.argv[1])
    for word in sys.argv[2:]:
        call, kind, *value = word.split("=")
        fake.fault(call, kind, int(value[0]) if value else None)
    sys.stdin.read()
    fake.close()


if __name__ == "__main__":
    main()
