"""
tako-worker against a container that lies: the test is both the parent and
what took tako-init's place. Whatever comes, the worker ends its job with one
JOB_DONE, within bounded memory and time, and is never killed by it.
"""
import hashlib
import hashlib
import os
import socket
import struct
import time

import pytest

from stream_fixtures import worker  # noqa: F401
from stream_frames import frame

KIB = 1024
ENDED, SIGNALED = 1, 2


def exited(code=0, end=ENDED, microseconds=5):
    return frame("EXIT", struct.pack("<IIQ", end, code, microseconds))


def begin(name, size):
    if isinstance(name, str):
        name = name.encode()
    return frame("FILE_BEGIN", struct.pack("<Q", size) + name)


def whole(name, body=b"x"):
    data = b"".join(frame("FILE_DATA", body[at:at + 65536])
                    for at in range(0, len(body), 65536))
    return begin(name, len(body)) + data + frame("FILE_END", b"\1")


def skipped(name, why=1):
    return frame("SKIPPED", bytes([why]) + name)


HELLO = frame("HELLO", struct.pack("<II", 1, 1))


class Forger:
    """A worker whose container the test is."""

    def __init__(self, worker, mux=False, **caps):
        self.worker = worker(mux=int(mux), **caps)
        self.stream, theirs = socket.socketpair()
        self.stream.settimeout(20)
        self.worker.setup(theirs.fileno())
        theirs.close()
        self.mux = mux
        self.key, self.tagged = bytes(16), 0
        if mux:
            self.limits = self.take(8 + 40)
            self.key = self.limits[-16:]
            assert self.key != bytes(16)

    def take(self, count):
        data = b""
        while len(data) < count:
            data += self.stream.recv(count - len(data))
        return data

    def tag(self, data):
        """Whole frames as tako-init sends them after READY."""
        tagged = b""
        while data:
            length = struct.unpack("<I", data[4:8])[0]
            tag = hashlib.sha256(
                self.key + struct.pack("<Q", self.tagged) + data[:1]
                + data[4:8]).digest()[:3]
            tagged += data[:1] + tag + data[4:8 + length]
            data = data[8 + length:]
            self.tagged += 1
        return tagged

    def say(self, *frames, tag=True):
        data = b"".join(frames)
        if self.mux:
            if tag:
                data = self.tag(data)
            data = struct.pack(">BxxxI", 1, len(data)) + data
        try:
            self.stream.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def ready(self):
        self.say(HELLO, frame("READY"), tag=False)
        self.worker.expect("WORKER_READY")
        return self

    def running(self, code=b"print(1)"):
        self.ready()
        self.worker.start(code)
        self.sent = self.take((0 if self.mux else 8 + 40) + 8 + 2
                              + 8 + len(code) + 8)
        self.say(frame("STARTED"))
        return self

    def hang_up(self):
        self.stream.close()
        return self.finish()

    def finish(self):
        done = self.worker.finish()
        self.stream.close()
        return done


@pytest.fixture
def forger(worker):
    return lambda **more: Forger(worker, **more)


def assert_lost(done):
    assert done.end == "lost" and done.last["code"] == 0
    assert done.last["error"] == 0 and done.last["output_incomplete"] == 1


# ---- an honest one, so that the rest fails for its own reason ---------------

@pytest.mark.parametrize("mux", [False, True])
def test_honest(forger, mux):
    made = forger(mux=mux).running()
    made.say(frame("STDOUT", b"out"), frame("STDERR", b"err"),
             frame("STDOUT", b"put"), exited(3), whole("result.json", b"[1]"),
             whole("a", b"a" * 100000), skipped(b".x", 2), skipped(b"y", 3),
             frame("DONE"))
    done = made.finish()
    assert (done.end, done.last["code"]) == ("exited", 3)
    assert (done.stdout, done.stderr, done.result) == (b"output", b"err",
                                                       b"[1]")
    assert done.artifacts["a"]["sha256"] == hashlib.sha256(
        b"a" * 100000).digest()
    assert done.last["artifacts"] == 2 and done.last["artifacts_skipped"] == 1
    assert done.last["output_incomplete"] == 0


def test_what_the_container_is_sent(forger):
    made = forger(max_artifacts=7, max_result=2048).running(b"x = 1")
    assert made.sent == (
        frame("LIMITS", struct.pack("<QQII", 1 << 20, 4 << 20, 7, 2048)
              + bytes(16))
        + frame("INPUT", b"{}") + frame("CODE", b"x = 1") + frame("GO"))


def test_a_byte_at_a_time(forger):
    made = forger(mux=True).running()
    data = (frame("STDOUT", b"out") + exited() + whole("a", b"abc")
            + frame("DONE"))
    data = made.tag(data)
    for n in range(len(data)):
        made.say(data[n:n + 1], tag=False)
    done = made.finish()
    assert done.end == "exited" and done.stdout == b"out"
    assert list(done.artifacts) == ["a"]


# ---- frames that are not due, or not possible -------------------------------

HEAD = {
    "unknown": frame(99), "zero": frame(0), "largest": frame(255),
    "not zero": b"\7\0\1\0" + bytes(4),
    "too long": struct.pack("<BxxxI", 8, 65537),
    "endless": struct.pack("<BxxxI", 8, 0xffffffff),
    "own": frame("GO"), "own limits": frame("LIMITS", bytes(24)),
    "own code": frame("CODE", b"x"),
}
BEFORE = {**HEAD, "ready first": frame("READY"),
          "version": frame("HELLO", struct.pack("<II", 2, 1)),
          "short": frame("HELLO", b"abc"),
          "done": frame("DONE"), "exit": exited(),
          "no frame": b"GET / HTTP/1.1\r\n\r\n"}
WAITING = {**HEAD, "again": HELLO, "ready again": frame("READY"),
           "started": frame("STARTED"), "output": frame("STDOUT", b"x"),
           "exit": exited(), "file": whole("a")}
RUNNING = {**HEAD, "started again": frame("STARTED"), "hello": HELLO,
           "empty": frame("STDOUT"), "file": begin("a", 1),
           "data": frame("FILE_DATA", b"x"), "done": frame("DONE"),
           "skipped": skipped(b"a"),
           "lost": exited(end=0), "end 3": exited(end=3),
           "code 256": exited(256), "signal 0": exited(0, SIGNALED),
           "signal 65": exited(65, SIGNALED),
           "time": exited(microseconds=1 << 63),
           "short exit": frame("EXIT", b"\1")}
AFTER = {**HEAD, "exit twice": exited() + exited(),
         "output": frame("STDOUT", b"x"), "error": frame("ERROR", b"x"),
         "data alone": frame("FILE_DATA", b"x"),
         "end alone": frame("FILE_END", b"\1"),
         "no name": frame("FILE_BEGIN", bytes(8)),
         "long name": begin("x" * 256, 1), "slash": begin("../x", 1),
         "path": begin("/etc/passwd", 1), "nul": begin(b"a\0b", 1),
         "dot": begin(".", 1), "dot dot": begin("..", 1),
         "hidden": begin(".x", 1), "over its cap": begin("a", (1 << 20) + 1),
         "huge": begin("a", (1 << 64) - 1),
         "result over its cap": begin("result.json", (1 << 20) + 1),
         "data over its size": begin("a", 1) + frame("FILE_DATA", b"xy"),
         "shorter than it says": begin("a", 2) + frame("FILE_DATA", b"x")
         + frame("FILE_END", b"\1"),
         "whole, but not so told": begin("a", 0) + frame("FILE_END", b"\0"),
         "end of 2": begin("a", 0) + frame("FILE_END", b"\2"),
         "file in a file": begin("a", 1) + begin("b", 1),
         "done in a file": begin("a", 1) + frame("DONE"),
         "name twice": whole("a") + whole("a"),
         "result twice": whole("result.json") + whole("result.json"),
         "all over the cap": b"".join(whole(str(n), bytes(1 << 20))
                                      for n in range(5)),
         "too many": b"".join(whole(str(n), b"") for n in range(101)),
         "skipped for nothing": skipped(b"a", 0),
         "skipped for 8": skipped(b"a", 8), "skipped /": skipped(b"a/b"),
         "skipped long": skipped(b"x" * 256), "skipped none": skipped(b"")}


@pytest.mark.parametrize("name", list(BEFORE))
def test_before_hello(forger, name):
    made = forger()
    made.say(BEFORE[name])
    done = made.hang_up()
    assert_lost(done)
    assert done.names == ["JOB_DONE"]


@pytest.mark.parametrize("name", list(WAITING))
def test_while_it_waits_for_a_job(forger, name):
    made = forger().ready()
    made.say(WAITING[name])
    assert_lost(made.hang_up())


@pytest.mark.parametrize("name", list(RUNNING))
def test_while_it_runs(forger, name):
    made = forger().running()
    made.say(frame("STDOUT", b"before"), RUNNING[name],
             frame("STDOUT", b"after"), exited())
    done = made.finish()
    assert_lost(done)
    assert done.stdout == b"before"
    assert done.names[-3:] == ["JOB_OUTPUT", "JOB_OUTPUT", "JOB_DONE"]


@pytest.mark.parametrize("name", list(AFTER))
def test_after_the_end(forger, name):
    made = forger().running()
    made.say(frame("STDOUT", b"before"), exited(), AFTER[name],
             frame("DONE"))
    done = made.finish()
    assert_lost(done)
    assert done.stdout == b"before"
    assert len(done.artifacts) <= 100
    assert sum(a["size"] for a in done.artifacts.values()) <= 4 << 20


@pytest.mark.parametrize("head", [
    b"\0" + bytes(7), b"\3" + bytes(7), b"\1\1" + bytes(6),
    b"HTTP/1.1 200 OK\r\n"])
def test_bad_heads_of_docker(forger, head):
    """Row T22 of the fault catalogue."""
    made = forger(mux=True).running()
    made.stream.sendall(head)
    assert_lost(made.finish())


def test_stderr_of_docker_is_ignored(forger):
    made = forger(mux=True).running()
    made.stream.sendall(struct.pack(">BxxxI", 2, 5) + b"noise"
                        + struct.pack(">BxxxI", 1, 0))
    made.say(frame("STDOUT", b"x"), exited(), frame("DONE"))
    done = made.finish()
    assert done.end == "exited" and done.stdout == b"x"


@pytest.mark.parametrize("kind", ["zero", "again", "guess"])
def test_frame_of_a_job_that_opened_the_pipe(forger, kind):
    made = forger(mux=True).running()
    made.say(frame("STDOUT", b"before"))
    forged = exited()
    if kind == "again":  # a tag that was right for another frame
        forged = made.tag(forged)
        made.tagged -= 1
        made.say(frame("STDOUT", b"more"))
    elif kind == "guess":
        forged = forged[:1] + b"\1\2\3" + forged[4:]
    made.say(forged, frame("DONE"), tag=False)
    done = made.finish()
    assert_lost(done)
    assert done.stdout.startswith(b"before")


# ---- ends that come early ---------------------------------------------------

def test_stream_ends_while_it_runs(forger):
    made = forger().running()
    made.say(frame("STDOUT", b"some"), frame("STDERR", b"cut")[:-1])
    done = made.hang_up()
    assert_lost(done)
    assert done.stdout == b"some" and done.stderr == b""


def test_stream_ends_while_files_come(forger):
    made = forger().running()
    made.say(exited(7), whole("a"), begin("b", 10),
             frame("FILE_DATA", b"12345"))
    done = made.hang_up()
    # How it ended is known; that something is missing is told.
    assert (done.end, done.last["code"]) == ("exited", 7)
    assert done.last["output_incomplete"] == 1
    assert list(done.artifacts) == ["a"]


def test_file_that_could_not_be_read(forger):
    made = forger().running()
    made.say(exited(), begin("bad", 10), frame("FILE_DATA", b"123"),
             frame("FILE_END", b"\0"), whole("good", b"good"), frame("DONE"))
    done = made.finish()
    assert list(done.artifacts) == ["good"]
    assert made.worker.file(0) == b"good"
    assert done.last["artifacts_skipped"] == 1
    assert done.last["output_incomplete"] == 1


def test_silent_container_after_stop(forger):
    # It is dead, but something holds its stream open.
    made = forger().running()
    began = time.monotonic()
    made.worker.send("JOB_STOP")
    assert_lost(made.finish())
    assert time.monotonic() - began < 30


def test_words_after_stop_still_count(forger):
    made = forger().running()
    made.worker.send("JOB_STOP")
    made.say(frame("STDOUT", b"late"), exited(4), frame("DONE"))
    done = made.finish()
    assert (done.end, done.last["code"], done.stdout) == ("exited", 4,
                                                          b"late")


def test_error_text_is_data(forger):
    made = forger()
    made.say(HELLO, frame("ERROR", b"%s%n\x1b[2J\nforged line\xff\0"
                          + b"x" * 5000))
    done = made.finish()
    assert done.end == "lost" and len(done.last["message"]) == 200
    log = made.worker.log()
    assert "\x1b" not in log and log.count("\n") == 1


# ---- floods -----------------------------------------------------------------

def processor_seconds(pid):
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid):
    with open("/proc/%d/statm" % pid) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_million_tiny_frames(forger):
    made = forger().running()
    block = frame("STDOUT", b"x") * 10000
    for _ in range(100):
        made.say(block)
    made.say(exited())
    spent, size = processor_seconds(made.worker.pid), resident(
        made.worker.pid)
    made.say(frame("DONE"))
    done = made.finish()
    assert done.end == "exited" and done.seen[0] == 1000000
    assert done.truncated[0] and len(done.stdout) == 65536
    assert spent <= 2 and size < 64 << 20, (spent, size)


def test_flood_of_output(forger):
    made = forger().running()
    before = resident(made.worker.pid)
    block = frame("STDERR", b"y" * 65536) * 16
    for _ in range(256):
        made.say(block)
    # A look while it is still being fed: kept are the cap and the tail.
    assert resident(made.worker.pid) - before < 2 << 20
    made.say(exited(1), frame("DONE"))
    done = made.finish()
    assert done.seen[1] == 256 << 20 and len(done.stderr) == 65536


def test_flood_of_skipped_files(forger):
    made = forger().running()
    made.say(exited())
    for n in range(100):
        made.say(b"".join(skipped(b"%d" % (n * 1000 + i), 5)
                          for i in range(1000)))
    made.say(frame("DONE"))
    done = made.finish()
    assert done.last["artifacts_skipped"] == 100000


def test_a_thousand_artifacts(forger):
    made = forger(max_artifacts=1000).running()
    made.say(exited(), *(whole(str(n), b"%d" % n) for n in range(1000)),
             frame("DONE"))
    done = made.finish()
    assert len(done.artifacts) == 1000
    assert done.artifacts["999"]["number"] == 999
    assert made.worker.file(999) == b"999"


def test_slow_container(forger):
    # It takes its code in small pieces; nothing is lost, nobody spins.
    made = forger().ready()
    code = bytes(range(256)) * 4096
    made.worker.start(code, b"[" + b" " * 100000 + b"]")
    want = code + b"[" + b" " * 100000 + b"]"
    data = b""
    while not data.endswith(frame("GO")):
        data += made.stream.recv(1000)
    got, at = {4: b"", 5: b""}, 8 + 40
    assert data[:8] == struct.pack("<BxxxI", 2, 40)
    while at < len(data):
        kind, length = struct.unpack("<BxxxI", data[at:at + 8])
        if kind != 6:
            got[kind] += data[at + 8:at + 8 + length]
        at += 8 + length
    assert got[4] + got[5] == want
    assert processor_seconds(made.worker.pid) < 1
    assert_lost(made.hang_up())
