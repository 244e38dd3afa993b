"""
stream_frames.py: the frames of common/stream.h for tests, and the real tako-init in
namespaces of its own: the host's python3 in a chroot of tmpfs and binds, with
the folders that an engine would make. No engine is needed.
"""
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import time

from lib import shared

SECONDS = 60  # no step takes longer
STREAM_MAX = 65536
NAMES = ("HELLO LIMITS READY CODE INPUT GO STARTED STDOUT STDERR EXIT "
         "FILE_BEGIN FILE_DATA FILE_END SKIPPED DONE ERROR").split()
TYPES = {name: number for number, name in enumerate(NAMES, 1)}
SKIPS = (None, "not_regular", "hidden", "too_large", "total", "count",
         "bad_name", "io")
LIMITS = {"artifact": 1 << 20, "total": 4 << 20, "count": 100,
          "result": 1 << 20}

ROOT = r"""
set -e
mount -t tmpfs -o size=64m none "$1"
cd "$1"
mkdir code input output tmp app proc usr etc dev
for link in bin lib lib32 lib64; do
    if [ -L /$link ]; then cp -a /$link .
    elif [ -d /$link ]; then mkdir $link; mount --rbind /$link $link; fi
done
for folder in usr etc dev; do mount --rbind /$folder $folder; done
for folder in code input output tmp; do
    mount -t tmpfs -o size=16m,uid=1000,gid=1000,mode=755 none $folder
done
cp "$2" init
mount -t proc none proc
exec chroot --userspec=1000:1000 --groups= . /usr/bin/env -i $4 \
    PATH="$3" HOME=/tmp LANG=C.UTF-8 /init
"""


def frame(kind, payload=b""):
    number = TYPES.get(kind, kind)
    return struct.pack("<BxxxI", number, len(payload)) + payload


def limits(**changes):
    v = {**LIMITS, **changes}
    return frame("LIMITS", struct.pack("<QQII", v["artifact"], v["total"],
                                       v["count"], v["result"]) + bytes(16))


class Ended(Exception):
    """The stream ended."""


class Box:
    """A running tako-init, and the worker's end of its stream."""

    def __init__(self, folder, path="/usr/bin:/bin", two_pipes=False,
                 env=""):
        self.folder = os.path.join(str(folder), "root")
        os.makedirs(self.folder, exist_ok=True)
        if two_pipes:
            their_in, self.to = os.pipe()
            self.take, their_out = os.pipe()
        else:
            ours, theirs = socket.socketpair()
            their_in = their_out = theirs.detach()
            self.to = self.take = ours.detach()
        self.data = b""
        self.process = subprocess.Popen(
            ["unshare", "-m", "-p", "-f", "--kill-child", "sh", "-c", ROOT,
             "sh", self.folder, shared.program("tako-init"), path, env],
            stdin=their_in, stdout=their_out, start_new_session=True)
        for fd in {their_in, their_out}:
            os.close(fd)
        self.deadline = time.monotonic() + SECONDS

    def close(self):
        for fd in {self.to, self.take} - {-1}:
            os.close(fd)
        self.to = self.take = -1
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def hang_up(self):
        """The worker's end of what it sends."""
        if self.to == self.take:
            with socket.socket(fileno=os.dup(self.to)) as end:
                end.shutdown(socket.SHUT_WR)
        else:
            os.close(self.to)
            self.to = -1

    def send(self, data):
        while data:
            data = data[os.write(self.to, data):]

    def need(self, count):
        try:
            while len(self.data) < count:
                left = max(self.deadline - time.monotonic(), 0)
                if not select.select([self.take], [], [], left)[0]:
                    raise TimeoutError("no frame came")
                got = os.read(self.take, 1 << 20)
                if not got:
                    raise Ended
                self.data += got
        except ConnectionResetError:
            raise Ended from None
        data, self.data = self.data[:count], self.data[count:]
        return data

    def receive(self):
        head = self.need(8)
        number, length = struct.unpack("<BxxxI", head)
        assert head[1:4] == b"\0\0\0" and length <= STREAM_MAX
        assert 1 <= number <= len(NAMES), number
        return NAMES[number - 1], self.need(length)

    def expect(self, kind):
        got, payload = self.receive()
        assert got == kind, (got, payload)
        return payload

    def ready(self, **changes):
        version, pid = struct.unpack("<II", self.expect("HELLO"))
        assert (version, pid) == (1, 1)
        self.send(limits(**changes))
        self.expect("READY")
        return self

    def start(self, code, data=b"{}", chunk=STREAM_MAX):
        if isinstance(code, str):
            code = code.encode()
        for kind, body in (("INPUT", data), ("CODE", code)):
            for at in range(0, len(body), chunk):
                self.send(frame(kind, body[at:at + chunk]))
        self.send(frame("GO"))
        self.expect("STARTED")
        return self

    def finish(self):
        """All that comes until DONE and the end of the stream."""
        run = Run()
        while True:
            kind, payload = self.receive()
            run.take(kind, payload)
            if kind == "DONE":
                break
        # It stays for as long as there is somebody to read its counters.
        assert self.process.poll() is None
        self.hang_up()
        try:
            kind, payload = self.receive()
            raise AssertionError("after DONE: " + kind)
        except Ended:
            pass
        assert self.process.wait(SECONDS) == 0
        return run

    def run(self, code, data=b"{}", **changes):
        return self.ready(**changes).start(code, data).finish()


class Run:
    """A run as its frames tell it; the order of frames is asserted."""

    def __init__(self):
        self.stdout = self.stderr = b""
        self.end = self.code = None
        self.files, self.skipped, self.order = {}, {}, []
        self.name = None

    def take(self, kind, payload):
        getattr(self, "on_" + kind.lower())(payload)

    def on_stdout(self, payload):
        assert self.end is None
        self.stdout += payload

    def on_stderr(self, payload):
        assert self.end is None
        self.stderr += payload

    def on_exit(self, payload):
        assert self.end is None
        end, self.code, self.execution_us = struct.unpack("<IIQ", payload)
        self.end = ("lost", "exited", "signaled")[end]

    def on_file_begin(self, payload):
        assert self.end is not None and self.name is None
        self.size = struct.unpack("<Q", payload[:8])[0]
        self.name = payload[8:].decode(errors="surrogateescape")
        self.body = b""

    def on_file_data(self, payload):
        self.body += payload

    def on_file_end(self, payload):
        assert payload == (b"\1" if len(self.body) == self.size else b"\0")
        self.files[self.name] = self.body
        self.order.append(self.name)
        self.name = None

    def on_skipped(self, payload):
        assert self.end is not None and self.name is None
        self.skipped[payload[1:].decode(errors="surrogateescape")] = \
            SKIPS[payload[0]]

    def on_done(self, payload):
        assert self.end is not None and self.name is None
