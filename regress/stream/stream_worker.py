"""
stream_worker.py: the real tako-worker with the test as its parent. The frames of
common/msg.h are read out of that file, so that the two cannot part.
"""
import array
import fcntl
import mmap
import os
import re
import select
import signal
import socket
import struct
import time

from lib import shared

SECONDS = 60
UID = 64321
TOKEN = 0xfedcba9876543210
FROM = {"FROM_PARENT", "FROM_API", "FROM_WORKER", "FROM_CTL"}
SEALS = 0x0f  # F_SEAL_SEAL, SHRINK, GROW, WRITE
F_ADD_SEALS, F_GET_SEALS = 1033, 1034
CAPS = {"mux": 0, "max_stdout": 65536, "max_stderr": 65536,
        "max_result": 1 << 20, "max_artifact": 1 << 20,
        "max_artifacts_total": 4 << 20, "max_artifacts": 100, "live": 0}
ERRORS = ("none timeout startup_timeout execution_timeout oom cancelled "
          "interrupted segfault abort arithmetic_error bus_error pipe_error "
          "killed permission syntax_error import_error").split()


def catalogue():
    """{name: (number, [(kind, field)])} of common/msg.h."""
    with open(os.path.join(shared.TOP, "common", "msg.h")) as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    text = text.replace("\\\n", " ")
    fields = {name: re.findall(r"\b([UISBD])\((\w+)", body) for name, body in
              re.findall(r"#define MSG_(\w+)\(U, I, S, B, D\)(.*)", text)}
    rows = re.search(r"#define MSG_CATALOGUE\(X\)(.*)", text).group(1)
    names = re.findall(r"X\((\w+), \w+, (?:%s)" % "|".join(FROM), rows)
    return {name: (number, fields[name])
            for number, name in enumerate(names, 1)}


CATALOGUE = catalogue()
BY_NUMBER = {number: name for name, (number, _) in CATALOGUE.items()}


def pack_value(kind, value):
    if kind in "UI":
        if value < 0:
            return b"\xd3" + struct.pack(">q", value)
        if value < 128:
            return bytes([value])
        # As short as it goes: the reader takes no other form.
        for tag, form, bound in ((0xcc, ">B", 1 << 8), (0xcd, ">H", 1 << 16),
                                 (0xce, ">I", 1 << 32), (0xcf, ">Q", 1 << 64)):
            if value < bound:
                return bytes([tag]) + struct.pack(form, value)
    if kind == "S":
        data = value.encode()
        return b"\xd9" + bytes([len(data)]) + data
    return b"\xc4" + bytes([len(value)]) + value


def pack(name, seq, values):
    number, fields = CATALOGUE[name]
    body = b"\xdc" + struct.pack(">H", len(fields))
    if len(fields) < 16:
        body = bytes([0x90 | len(fields)])
    for kind, field in fields:
        body += pack_value(kind, values[field])
    return struct.pack("=IIII", number, 16 + len(body), 0, seq) + body


def unpack_values(data):
    at = 0

    def take(count):
        nonlocal at
        at += count
        assert at <= len(data)
        return data[at - count:at]

    def number(form):
        return struct.unpack(">" + form, take(struct.calcsize(form)))[0]

    def value():
        tag = number("B")
        if tag < 0x80:
            return tag
        if 0xa0 <= tag <= 0xbf:
            return take(tag & 31).decode()
        forms = {0xcc: "B", 0xcd: "H", 0xce: "I", 0xcf: "Q",
                 0xd0: "b", 0xd1: "h", 0xd2: "i", 0xd3: "q"}
        if tag in forms:
            return number(forms[tag])
        if tag in (0xd9, 0xda):
            return take(number("BH"[tag - 0xd9])).decode()
        if tag in (0xc4, 0xc5):
            return take(number("BH"[tag - 0xc4]))
        raise AssertionError("tag %#x" % tag)
    tag = number("B")
    count = number("H") if tag == 0xdc else tag & 15
    values = [value() for _ in range(count)]
    assert at == len(data)
    return values


def sealed(data):
    fd = os.memfd_create("job", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
    fcntl.fcntl(fd, F_ADD_SEALS, SEALS)
    return fd


class Done:
    """What a worker told of its job, in the order it did."""

    def __init__(self):
        self.names, self.artifacts, self.phases = [], {}, []
        self.stdout = self.stderr = self.result = None
        self.truncated = [None, None, None]
        self.seen = [None, None, None]


class Worker:
    def __init__(self, folder, **caps):
        self.spool = os.path.join(str(folder), "spool")
        os.makedirs(self.spool)
        os.chown(self.spool, UID, UID)
        os.chmod(self.spool, 0o300)
        self.log_path = os.path.join(str(folder), "log")
        self.caps = {**CAPS, **caps}
        self.seq_out = self.seq_in = 0
        self.token = TOKEN
        self.deadline = time.monotonic() + SECONDS
        self.channel, theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = os.open(shared.program("tako-worker"),
                          os.O_RDONLY | os.O_CLOEXEC)
        log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.pid = os.fork()
        if self.pid == 0:
            self.become(theirs, program, log)
        os.close(program)
        os.close(log)
        theirs.close()
        self.status = None

    @staticmethod
    def become(channel, program, log):
        try:
            program = fcntl.fcntl(program, fcntl.F_DUPFD_CLOEXEC, 100)
            channel = os.dup2(channel.fileno(), 99)
            os.dup2(log, 2)
            null = os.open("/dev/null", os.O_RDWR)
            for fd in (0, 1):
                os.dup2(null, fd)
            os.dup2(channel, 3)
            os.closerange(4, program)
            os.closerange(program + 1, 4096)
            os.chdir("/")
            os.setgroups([])
            os.setresgid(UID, UID, UID)
            os.setresuid(UID, UID, UID)
            os.execve(program, ["tako-worker"], {})
        finally:
            os._exit(127)

    def close(self):
        self.channel.close()
        if self.status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            finally:
                self.status = os.waitpid(self.pid, 0)[1]

    def log(self):
        with open(self.log_path) as file:
            return file.read()

    def wait(self):
        """How it exited; it must within the time."""
        pidfd = os.pidfd_open(self.pid)
        try:
            left = max(self.deadline - time.monotonic(), 0)
            assert select.select([pidfd], [], [], left)[0], "does not end"
        finally:
            os.close(pidfd)
        self.status = os.waitpid(self.pid, 0)[1]
        return os.waitstatus_to_exitcode(self.status)

    def send(self, name, fd=None, **values):
        self.seq_out += 1
        values.setdefault("token", self.token)
        data = pack(name, self.seq_out, values)
        control = []
        if fd is not None:
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                        array.array("i", [fd]))]
        self.channel.sendmsg([data], control)

    def receive(self):
        """(name, {field: value}, descriptor or None); None at the end."""
        self.channel.settimeout(max(self.deadline - time.monotonic(), 0.001))
        data, control, _, _ = self.channel.recvmsg(
            65536, socket.CMSG_SPACE(8))
        if not data:
            return None
        number, length, _, seq = struct.unpack("=IIII", data[:16])
        self.seq_in += 1
        assert (length, seq) == (len(data), self.seq_in)
        name = BY_NUMBER[number]
        fields = [field for _, field in CATALOGUE[name][1]]
        values = dict(zip(fields, unpack_values(data[16:]), strict=True))
        fds = array.array("i")
        for _, _, part in control:
            fds.frombytes(part)
        assert len(fds) <= 1
        assert values.get("token", self.token) == self.token
        return name, values, fds[0] if fds else None

    def expect(self, name):
        got, values, fd = self.receive()
        assert got == name, (got, values)
        if fd is not None:
            os.close(fd)
        return values

    def setup(self, stream):
        """Hands caps and the stream over; stream is not taken."""
        fd = os.open(self.spool, os.O_RDONLY | os.O_DIRECTORY)
        self.send("WORKER_SETUP", fd, **self.caps)
        os.close(fd)
        self.send("WORKER_STREAM", stream)
        assert self.expect("WORKER_SETUP_DONE")["pid"] == self.pid
        return self

    def start(self, code=b"print(1)", data=b"{}"):
        fd = sealed(code + data)
        self.send("JOB_START", fd, code_len=len(code), input_len=len(data))
        os.close(fd)

    def output(self, done, values, fd):
        which = values["which"]
        assert fcntl.fcntl(fd, F_GET_SEALS) & SEALS == SEALS
        assert os.fstat(fd).st_size == values["len"]
        data = b""
        if values["len"]:
            with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as view:
                data = view[:]
        os.close(fd)
        name = ("stdout", "stderr", "result")[which]
        assert getattr(done, name) is None
        setattr(done, name, data)
        done.seen[which] = values["seen"]
        done.truncated[which] = values["truncated"] == 1

    def finish(self):
        """All that comes up to JOB_DONE; then the channel is closed."""
        done = Done()
        while True:
            name, values, fd = self.receive()
            done.names.append(name)
            if name == "JOB_OUTPUT":
                self.output(done, values, fd)
            elif name == "JOB_PHASE":
                done.phases.append(values["phase"])
            elif name == "JOB_ARTIFACT":
                assert values["number"] == len(done.artifacts)
                done.artifacts[os.fsdecode(values["name"])] = values
            elif name == "JOB_DONE":
                break
            elif name != "WORKER_READY":
                raise AssertionError(name)
        done.last = values
        done.end = ("lost", "exited", "signaled")[values["end"]]
        done.state = ("absent", "ok", "too_large", "invalid_json", "too_deep",
                      "not_regular")[values["result"]]
        self.channel.shutdown(socket.SHUT_RDWR)
        assert self.wait() == 0, self.log()
        return done

    def file(self, number):
        with open(os.path.join(self.spool, str(number)), "rb") as file:
            return file.read()
