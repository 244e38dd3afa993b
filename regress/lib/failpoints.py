"""
failpoints.py: a takod of the build with failpoints, and the file that says
what happens at which of them (common/failpoint.h has the names' meaning).
"""
import mmap
import os
import shutil
import struct
import tempfile

from . import host, shared
from .fault import tapped_runtime
from .takod import Takod

ACTIONS = {"count": 0, "kill": 1, "stop": 2, "exit": 3, "abort": 4}
POINTS = 16
POINT = struct.Struct("<48siiii")
REST = struct.Struct("<16siiii48siiq")
IO_AT = 32  # where files stand in it
IO = struct.Struct("<48sii")
SIZE = POINTS * POINT.size + REST.size


class Failpoints:
    """The file, mapped as the daemon's processes map it."""

    def __init__(self, path):
        with open(path, "w+b") as file:
            file.truncate(SIZE)
            self.map = mmap.mmap(file.fileno(), SIZE)
        os.chmod(path, 0o666)
        self.names = []

    def set(self, name, action="kill", after=0):
        """From the hit behind `after` ones on."""
        if name not in self.names:
            self.names.append(name)
        POINT.pack_into(self.map, self.names.index(name) * POINT.size,
                        name.encode(), ACTIONS[action], after, 0, 0)

    def clear(self):
        """Nothing happens any more; the clock is right again."""
        self.map[:] = bytes(SIZE)
        self.names = []

    def hits(self, name):
        return POINT.unpack_from(
            self.map, self.names.index(name) * POINT.size)[3]

    def wait(self, name, count=1, seconds=20):
        host.wait_for("%s is hit" % name,
                      lambda: self.hits(name) >= count, seconds)

    def malloc(self, program, after, fails=1):
        REST.pack_into(self.map, POINTS * POINT.size,
                       program[:15].encode(), after, fails, 0, 0, b"", 0, 0,
                       0)

    def malloc_left(self):
        """How many allocations it lets pass until the first one fails."""
        return REST.unpack_from(self.map, POINTS * POINT.size)[1]

    def malloc_failed(self):
        return REST.unpack_from(self.map, POINTS * POINT.size)[3]

    def files(self, path, number):
        """What is written to files with this in their path fails so."""
        IO.pack_into(self.map, POINTS * POINT.size + IO_AT, path.encode(),
                     number, 0)

    def files_failed(self):
        return IO.unpack_from(self.map, POINTS * POINT.size + IO_AT)[2]

    def clock(self, seconds):
        struct.pack_into("<q", self.map, SIZE - 8, int(seconds * 1e6))


class FailTakod(Takod):
    """A takod with failpoints, in a folder of its own."""

    def __init__(self, *args, **more):
        folder = tempfile.mkdtemp(prefix="failpoints-", dir=host.scratch())
        os.chmod(folder, 0o755)
        for name in ("takod", "tako-api", "tako-worker", "tako-init"):
            shutil.copy(os.path.join(shared.build(), "failpoints", name),
                        os.path.join(folder, name))
        self.points = Failpoints(os.path.join(folder, "failpoints"))
        super().__init__(*args, program=os.path.join(folder, "takod"), **more)


def tapped_takod(name, config):
    """One under runc, with its log of whose code started (tap_log)."""
    runtime, log = tapped_runtime(os.path.join(host.scratch(), name), "runc")
    takod = FailTakod("oci", "runc", config={**config, "runc_path": runtime})
    takod.tap_log = log
    return takod
