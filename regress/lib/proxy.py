"""
proxy.py: stands between takod and PostgreSQL, or between takod and a Docker
engine, passes on what they say, notes it, and misbehaves where a rule says so.

A rule is for one kind of call (a PostgreSQL statement by its name in
takod/pg_statements.h, such as S_FINISH; a call of the Docker API by the names
of fakedockerd: ping create attach start inspect wait kill delete list info;
"*" for any), and holds for `times` calls. What it does:

    error TEXT/N  answers so itself: an SQLSTATE, or a status of HTTP
    done N        passes it on and answers with that status all the same
    cut           closes the connection, the call is not passed on
    cut_sent      passes it on and closes at once
    cut_done      passes it on, waits for the answer, closes without giving it
    hang          takes it and says nothing, on this connection, ever
    hang_done     passes it on and keeps the answer
    delay S       passes it on after S seconds
    delay_done S  gives the answer after S seconds
    raw BYTES     (Docker) answers with these bytes and closes
    half          (Docker) half of the answer, then closes
    endless_head  (Docker) an answer that never gets to its end

then() is called when the rule is used: before the call is passed on, or, with
the *done kinds, when its answer is there. Sockets of a proxy that is `dead`
stay open and silent, also new ones: a half-open peer.
"""
import collections
import json
import os
import re
import socket
import struct
import threading
import time

from . import shared


class Cut(Exception):
    """This connection is to be closed."""


class Rule:
    def __init__(self, call, kind, value=None, times=1, then=None):
        self.call, self.kind, self.value = call, kind, value
        self.times, self.then = times, then

    def used(self):
        if self.then:
            self.then()


class Proxy:
    """Listens; a thread or two for each connection."""

    def __init__(self, target):
        self.target = target
        self.rules, self.log = [], []
        self.open = set()
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.awake = threading.Event()  # not dead
        self.awake.set()
        self.closed = False
        self.listener = self.listen()
        self.listener.listen(128)
        threading.Thread(target=self.accept, daemon=True).start()

    def connect(self):
        family = (socket.AF_UNIX if isinstance(self.target, str)
                  else socket.AF_INET)
        sock = socket.socket(family)
        try:
            sock.connect(self.target)
            if family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            sock.close()
            raise
        return sock

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.begin, args=(client,),
                             daemon=True).start()

    def begin(self, client):
        """One connection, from its first byte on."""
        self.awake.wait()
        server = None
        with self.lock:
            self.open.add(client)
        try:
            server = self.connect()
            with self.lock:
                self.open.add(server)
            self.serve(client, server)
        except (OSError, ValueError, Cut):
            pass
        self.end(client, server)

    def end(self, *socks):
        for sock in socks:
            if sock is None:
                continue
            with self.lock:
                self.open.discard(sock)
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    # ---- what tests do ---------------------------------------------------

    def rule(self, call, kind, value=None, times=1, then=None):
        rule = Rule(call, kind, value, times, then)
        with self.lock:
            self.rules.append(rule)
        return rule

    def clear(self):
        with self.lock:
            self.rules.clear()
            self.log.clear()

    def cut_all(self):
        """Every connection breaks now."""
        with self.lock:
            now = list(self.open)
        self.end(*now)

    def die(self):
        """From now on nothing is passed on, and nothing is closed."""
        self.awake.clear()

    def revive(self):
        """What was open when it died does not come back."""
        self.cut_all()
        self.awake.set()

    def close(self):
        self.end(self.listener)
        self.revive()

    def calls(self, name):
        with self.lock:
            return [c for c in self.log if c[0] == name]

    def wait(self, name, count=1, seconds=20):
        """Until so many calls of that name came."""
        with self.changed:
            if not self.changed.wait_for(
                    lambda: len(self.calls(name)) >= count, seconds):
                raise AssertionError("no call %s; there were %s" % (
                    name, sorted({c[0] for c in self.log})))

    # ---- what connections do ---------------------------------------------

    def take(self, names, what=None):
        """Notes a call; the rule for it, or None."""
        with self.changed:
            for name in names:
                self.log.append((name, what))
            found = None
            for rule in self.rules:
                if rule.times and (rule.call == "*" or rule.call in names):
                    rule.times -= 1
                    found = rule
                    break
            self.changed.notify_all()
        return found


def take_all(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            raise Cut
        data += more
    return data


# ---- PostgreSQL -------------------------------------------------------------

def statement_names():
    """s<number> -> S_NAME, as takod numbers its statements."""
    with open(os.path.join(shared.TOP, "takod", "pg_statements.h")) as file:
        text = file.read()
    names = re.findall(r"^\t(S_[A-Z_]+)\b", text, re.M)
    return {"s%d" % n: name for n, name in enumerate(names)}


class Asked:
    """What is under way up to one sync."""

    def __init__(self):
        self.names, self.data, self.rule = [], b"", None


class PgProxy(Proxy):
    """Between takod and PostgreSQL, on a TCP port of the loopback address."""

    def __init__(self, postgres):
        self.names = statement_names()
        self.postgres = postgres
        super().__init__(("127.0.0.1", postgres.port))

    def listen(self):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        return sock

    def url(self, database):
        return "postgresql://postgres:%s@127.0.0.1:%d/%s" % (
            self.postgres.password, self.port, database)

    def serve(self, client, server):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            size, code = struct.unpack("!ii", take_all(client, 8))
            body = take_all(client, size - 8)
            if code in (80877103, 80877104):
                client.sendall(b"N")  # neither TLS nor GSS
                continue
            rule = self.take(["connect"])
            if rule and rule.kind == "error":
                rule.used()
                client.sendall(pg_error(rule.value, "FATAL"))
                raise Cut
            self.before(rule)
            server.sendall(struct.pack("!ii", size, code) + body)
            break
        asked = collections.deque()  # syncs whose answer has not come
        ready = threading.Condition()
        threading.Thread(target=self.answers, daemon=True,
                         args=(client, server, asked, ready)).start()
        now = Asked()
        while True:
            kind, data = self.message(client)
            now.data += data
            if kind == b"B":
                portal, name, _ = data[5:].split(b"\0", 2)
                now.names.append(self.names.get(name.decode(), "?"))
            if kind == b"p":
                server.sendall(now.data)
                now = Asked()
            elif kind in (b"S", b"Q"):
                self.asked(client, server, asked, ready, now)
                now = Asked()
            elif kind == b"X":
                server.sendall(now.data)

    @staticmethod
    def message(sock):
        head = take_all(sock, 5)
        size, = struct.unpack("!i", head[1:])
        return head[:1], head + take_all(sock, size - 4)

    def before(self, rule):
        """What a rule asks for before the call goes on."""
        if rule is None:
            return
        if "done" not in rule.kind:
            rule.used()
        if rule.kind == "cut":
            raise Cut
        if rule.kind == "delay":
            time.sleep(rule.value)
        if rule.kind == "hang":
            threading.Event().wait()

    def asked(self, client, server, asked, ready, now):
        self.awake.wait()
        now.rule = self.take(now.names)
        self.before(now.rule)
        refused = now.rule is not None and now.rule.kind == "error"
        with ready:
            asked.append(now)
            if refused:
                self.refuse(client, asked)
        if not refused:
            server.sendall(now.data)
        if now.rule is not None and now.rule.kind == "cut_sent":
            raise Cut

    @staticmethod
    def refuse(client, asked):
        """Own answers that are due; the condition is held."""
        while asked and asked[0].rule and asked[0].rule.kind == "error":
            first = asked.popleft()
            fatal = first.rule.value.startswith("57P")
            client.sendall(pg_error(first.rule.value,
                                    "FATAL" if fatal else "ERROR"))
            if fatal:
                client.shutdown(socket.SHUT_RDWR)
                return
            client.sendall(b"Z\0\0\0\5I")

    def answers(self, client, server, asked, ready):
        held = b""
        try:
            while True:
                kind, data = self.message(server)
                self.awake.wait()
                with ready:
                    first = asked[0] if asked else None
                rule = first.rule if first else None
                if rule is None or "done" not in rule.kind:
                    client.sendall(data)
                else:
                    held += data
                if kind != b"Z" or first is None:
                    continue
                if held:
                    held = self.after(client, rule, held)
                with ready:
                    asked.popleft()
                    self.refuse(client, asked)
        except (OSError, Cut):
            self.end(client, server)

    @staticmethod
    def after(client, rule, held):
        rule.used()
        if rule.kind == "cut_done":
            raise Cut
        if rule.kind == "hang_done":
            threading.Event().wait()
        time.sleep(rule.value)
        client.sendall(held)
        return b""


def pg_error(state, severity):
    fields = b"S%s\0V%s\0C%s\0Mtold to fail\0\0" % (
        severity.encode(), severity.encode(), state.encode())
    return b"E" + struct.pack("!i", len(fields) + 4) + fields


# ---- the Docker Engine API --------------------------------------------------

TOKEN = re.compile(rb"TOKEN-([0-9a-f]{16})")
RAN = re.compile(rb"RAN-([0-9a-f]{16})")


def call_name(method, target):
    """As fakedockerd names calls; others by method and path."""
    path = re.sub(r"^/v1\.\d+", "", target.split("?")[0])
    fixed = {"/_ping": "ping", "/info": "info",
             "/containers/create": "create", "/containers/json": "list"}
    if path in fixed:
        return fixed[path]
    match = re.fullmatch(r"/containers/([^/]+)(?:/(\w+))?", path)
    if not match:
        return method + " " + path
    return {"json": "inspect", None: "delete"}.get(match[2], match[2])


class DockerProxy(Proxy):
    """
    Between takod and a Docker engine, on a unix socket of its own. It sees
    the stream of each container: given and ran have, by the token in a job's
    code, the containers that were given that code and that printed it.
    """

    def __init__(self, path, docker_host):
        self.path = path
        self.docker_host = "unix://" + path
        self.streams, self.lone = {}, set()
        self.given = collections.defaultdict(set)
        self.ran = collections.defaultdict(set)
        # What the last containers were asked to be.
        self.specs = collections.deque(maxlen=1000)
        super().__init__(docker_host.removeprefix("unix://"))

    def listen(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(self.path)
        os.chmod(self.path, 0o666)
        return sock

    @staticmethod
    def head(file):
        """First line, all of the head's bytes, its fields."""
        lines, fields = [file.readline()], {}
        if not lines[0]:
            raise Cut
        while lines[-1] not in (b"\r\n", b"\n", b""):
            lines.append(file.readline())
            name, _, value = lines[-1].decode("latin-1").partition(":")
            fields[name.strip().lower()] = value.strip()
        return lines[0].decode("latin-1"), b"".join(lines), fields

    @staticmethod
    def body(file, fields):
        if fields.get("transfer-encoding") == "chunked":
            data = b""
            while True:
                line = file.readline()
                data += line
                size = int(line.strip() or b"0", 16)
                data += file.read(size + 2)
                if size == 0:
                    return data
        return file.read(int(fields.get("content-length", 0)))

    def serve(self, client, server):
        asks, answers = client.makefile("rb"), server.makefile("rb")
        while True:
            line, head, fields = self.head(asks)
            body = self.body(asks, fields)
            self.awake.wait()
            method, target, _ = line.split(" ", 2)
            name = call_name(method, target)
            if name == "create":
                with self.lock:
                    self.specs.append(json.loads(body))
            rule = self.take([name], (method, target))
            kind = rule.kind if rule else ""
            if rule and "done" not in kind:
                rule.used()
            self.instead(client, rule)
            server.sendall(head + body)
            if kind == "cut_sent":
                raise Cut
            reply, reply_head, reply_fields = self.head(answers)
            self.awake.wait()
            if rule and "done" in kind:
                rule.used()
            status = int(reply.split(" ")[1])
            if status == 101 and kind in ("", "delay", "delay_done"):
                client.sendall(reply_head)
                self.stream(client, server, asks, answers, target)
                return
            data = b""
            if method != "HEAD" and status not in (204, 304):
                data = self.body(answers, reply_fields)
            self.answer(client, rule, kind, reply_head + data)

    @staticmethod
    def instead(client, rule):
        """What is done without asking the engine."""
        if rule is None:
            return
        if rule.kind == "cut":
            raise Cut
        if rule.kind == "delay":
            time.sleep(rule.value)
        if rule.kind == "hang":
            threading.Event().wait()
        if rule.kind == "error":
            client.sendall(status_answer(rule.value))
            raise Cut
        if rule.kind == "raw":
            client.sendall(rule.value)
            raise Cut
        if rule.kind == "endless_head":
            client.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                client.sendall(b"X-Endless: %s\r\n" % (b"x" * 1000))

    @staticmethod
    def answer(client, rule, kind, data):
        if kind == "cut_done":
            raise Cut
        if kind == "hang_done":
            threading.Event().wait()
        if kind == "delay_done":
            time.sleep(rule.value)
        if kind == "done":
            client.sendall(status_answer(rule.value))
            raise Cut
        if kind == "half":
            client.sendall(data[:len(data) * 2 // 3])
            raise Cut
        client.sendall(data)

    def stream(self, client, server, asks, answers, target):
        ident = target.split("/containers/")[1].split("/")[0]
        with self.lock:
            self.streams[ident] = client
        # What the readers took already.
        into = threading.Thread(
            target=self.pump, daemon=True,
            args=(asks, server, TOKEN, self.given, ident))
        into.start()
        self.pump(answers, client, RAN, self.ran, ident)
        into.join()
        while ident in self.lone and answers.read1(65536):
            pass  # the engine's side stays open until the container ends

    def pump(self, source, sink, pattern, found, ident):
        tail = b""
        try:
            while data := source.read1(65536):
                self.awake.wait()
                for token in pattern.findall(tail + data):
                    with self.lock:
                        found[token.decode()].add(ident)
                tail = (tail + data)[-64:]
                sink.sendall(data)
            with self.lock:
                if sink in self.open and ident not in self.lone:
                    sink.shutdown(socket.SHUT_WR)
        except (OSError, ValueError):
            pass

    def cut_streams(self):
        """Towards takod only: the container is not told."""
        with self.lock:
            now, self.streams = self.streams, {}
            self.lone |= set(now)
        self.end(*now.values())


def status_answer(status):
    data = json.dumps({"message": "told to fail"}).encode()
    head = "HTTP/1.1 %d X\r\nApi-Version: 1.41\r\nContent-Type: " \
        "application/json\r\nConnection: close\r\n" % status
    if status in (204, 304):
        return (head + "\r\n").encode()
    return ("%sContent-Length: %d\r\n\r\n" % (head, len(data))).encode() + data
