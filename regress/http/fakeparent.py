"""
fakeparent.py: the parent's end of the channel to tako-api, in the place of
takod, so that a test can give any answer at any moment and see what is asked.
The messages are those of common/msg.h, which is read for them.
"""
import array
import http.client
import json
import os
import re
import select
import socket
import struct
import subprocess

from lib import host, shared

MSG_FD = 3
IDS = 61234  # uid and gid of the child: nobody's
HEADER = struct.Struct("=IIII")
SEALS = 0xf  # write, shrink, grow, seal
F_ADD_SEALS, F_GET_SEALS = 1033, 1034


def source(name):
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                        "..", "common", name)


def catalogue():
    """{TYPE: (number, [(kind, field)])}"""
    with open(source("msg.h")) as file:
        text = file.read()
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S).replace("\\\n", " ")
    table = re.search(r"#define MSG_CATALOGUE\(X\)(.*)", text).group(1)
    types = {}
    for number, name in enumerate(re.findall(r"X\((\w+),", table), 1):
        fields = re.search(r"#define MSG_%s\(U, I, S, B, D\)(.*)" % name,
                           text).group(1)
        types[name] = (number, re.findall(r"\b([UISBD])\((\w+),", fields))
    return types


TYPES = catalogue()
NAMES = {number: name for name, (number, _) in TYPES.items()}


def pack(value):
    if isinstance(value, int):
        return (b"\xcf" + struct.pack(">Q", value) if value >= 0
                else b"\xd3" + struct.pack(">q", value))
    if isinstance(value, str):
        value = value.encode()
        return b"\xda" + struct.pack(">H", len(value)) + value
    return b"\xc5" + struct.pack(">H", len(value)) + value


def unpack(data):
    """The values of a flat array, as msgpack-c writes them."""
    at = 1 if data[0] != 0xdc else 3
    sizes = {0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q",
             0xd0: ">b", 0xd1: ">h", 0xd2: ">i", 0xd3: ">q"}
    blobs = {0xc4: ">B", 0xc5: ">H", 0xc6: ">I",
             0xd9: ">B", 0xda: ">H", 0xdb: ">I"}
    values = []
    while at < len(data):
        tag = data[at]
        at += 1
        if tag < 0x80:
            values.append(tag)
        elif tag >= 0xe0:
            values.append(tag - 256)
        elif tag in sizes:
            values.append(struct.unpack_from(sizes[tag], data, at)[0])
            at += struct.calcsize(sizes[tag])
        else:
            if tag & 0xe0 == 0xa0:
                size = tag & 0x1f
            else:
                size = struct.unpack_from(blobs[tag], data, at)[0]
                at += struct.calcsize(blobs[tag])
            value = data[at:at + size]
            at += size
            values.append(bytes(value) if tag in (0xc4, 0xc5, 0xc6)
                          else value.decode())
    return values


def memfd(data, seals=SEALS):
    import fcntl
    fd = os.memfd_create("answer", os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


def drop():
    """In the child: fd 3 alone, and nobody's ids."""
    os.setgroups([])
    os.setresgid(IDS, IDS, IDS)
    os.setresuid(IDS, IDS, IDS)


class Message(dict):
    """A message by its fields; .type, .id, .fd beside them."""


class FakeParent:
    SETUP = {"max_payload": 2097152, "max_code": 102400,
             "max_input": 1048576, "max_timeout": 300,
             "max_startup_timeout": 600, "default_timeout": 30,
             "production_mode": 0, "admit": 0, "keys": 0, "max_connections": 64,
             "max_connections_per_source": 64, "header_timeout_ms": 10000,
             "body_timeout_ms": 10000, "idle_timeout_ms": 10000,
             "write_timeout_ms": 10000, "min_rate": 1024,
             "pipeline_depth": 8, "max_line": 8192, "max_head": 16384,
             "max_fields": 100, "max_memory": 268435456, "auth_header": "X-API-Key",
             "version": "0.1.0"}

    def __init__(self, serve=True, **setup):
        self.sock, child = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.seq = 0
        self.log = open(os.path.join(host.scratch(), "fakeparent.log"), "a+b")
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.listener.setblocking(False)  # as takod makes it
        self.host, self.port = self.listener.getsockname()
        self.proc = self._spawn(child)
        child.close()
        if serve:
            self.send("API_SETUP", **{**self.SETUP, **setup})
            self.listen()
            assert self.expect("SETUP_DONE")["pid"] == self.proc.pid

    def _spawn(self, child):
        def before():
            os.dup2(child.fileno(), MSG_FD)
            drop()
        # The descriptor keeps its number: nothing else may be passed.
        return subprocess.Popen(
            [shared.program("tako-api")], env={}, preexec_fn=before,
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            pass_fds=(MSG_FD,))

    def listen(self):
        self.send("API_LISTEN", fd=self.listener.fileno(), name="test")

    # ---- messages -------------------------------------------------------

    def send(self, name, /, *, to=0, fd=None, **values):
        number, fields = TYPES[name]
        empty = {"U": 0, "I": 0, "S": "", "B": b"", "D": bytes(32)}
        body = b"\xdc" + struct.pack(">H", len(fields))
        for kind, field in fields:
            body += pack(values.pop(field, empty[kind]))
        assert not values, values
        self.send_raw(number, to, body, fd)

    def send_raw(self, number, to, body, fd=None):
        self.seq += 1
        frame = HEADER.pack(number, HEADER.size + len(body), to,
                            self.seq) + body
        control = [] if fd is None else [(
            socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.sock.sendmsg([frame], control)

    def receive(self, seconds=30):
        """The next message; None at the end of the channel."""
        if not select.select([self.sock], [], [], seconds)[0]:
            raise host.Deadline("no message of tako-api:\n" + self.text())
        data, control, _, _ = self.sock.recvmsg(16384, 64)
        if not data:
            return None
        number, size, ident, _ = HEADER.unpack_from(data)
        assert size == len(data)
        message = Message(zip([f for _, f in TYPES[NAMES[number]][1]],
                              unpack(data[HEADER.size:])))
        message.type, message.id, message.fd = NAMES[number], ident, None
        for _, _, rights in control:
            message.fd, = array.array("i", rights)
        return message

    def expect(self, name, seconds=30):
        message = self.receive(seconds)
        assert message is not None and message.type == name, (
            name, message and message.type, self.text())
        return message

    def silent(self):
        return not select.select([self.sock], [], [], 0)[0]

    # ---- clients ---------------------------------------------------------

    def ask(self, method, path, body=None, headers=None):
        """Sends a request; answer() reads what comes."""
        client = http.client.HTTPConnection(self.host, self.port, timeout=30)
        heads = dict(headers or {})
        if isinstance(body, dict):
            body = json.dumps(body)
        if body is not None:
            heads.setdefault("Content-Type", "application/json")
        client.request(method, path, body, heads)
        return client

    def answer(self, client):
        reply = client.getresponse()
        data = reply.read()
        client.close()
        names = {k.lower(): v for k, v in reply.getheaders()}
        if names.get("content-type") == "application/json":
            data = json.loads(data)
        return reply.status, names, data

    # ---- life -------------------------------------------------------------

    def text(self):
        self.log.flush()
        with open(self.log.name, errors="replace") as file:
            return file.read()[-2000:]

    def wait(self, seconds=30):
        return self.proc.wait(seconds)

    def close(self):
        self.sock.close()
        try:
            code = self.wait()
        finally:
            if self.proc.poll() is None:
                self.proc.kill()
                self.proc.wait()
            self.listener.close()
            self.log.close()
        return code
