"""
test_landlock.py: on a kernel without Landlock takod does not start, unless the
configuration says that it may; tako-vm doctor says the same. A filter of system
calls makes the kernel look like one.
"""
import json
import os

import pytest

from lib import host, shared
from lib.takod import Takod
from lib.trial import Trial

# Its one call is answered as by a kernel that has never heard of it.
WITHOUT = """#!/usr/bin/python3
import ctypes, os, struct, sys
CALL, ENOSYS = 444, 38
def statement(code, k, yes=0, no=0):
    return struct.pack("HBBI", code, yes, no, k)
program = b"".join((
    statement(0x20, 0),                     # the call's number
    statement(0x15, CALL, 0, 1),            # is it this one?
    statement(0x06, 0x00050000 | ENOSYS),   # then an error
    statement(0x06, 0x7fff0000)))           # else it is allowed
buffer = ctypes.create_string_buffer(program)
filter = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(22, 2, ctypes.create_string_buffer(filter), 0, 0) == 0
os.execv(PROGRAM, [PROGRAM] + sys.argv[1:])
"""


def without(folder, name):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(WITHOUT.replace("PROGRAM", repr(shared.program(name))))
    os.chmod(path, 0o755)
    return path


@pytest.mark.parametrize("required", [True, False])
def test_no_landlock(tmp_path, shared_things, required):
    daemon = Takod("oci", "runc", wait=False,
                   program=without(str(tmp_path), "takod"),
                   config={"require_landlock": required})
    try:
        if required:
            assert daemon.proc.wait(30) != 0
            assert "set require_landlock: false" in daemon.log()
            return
        daemon.wait_ready()
        assert daemon.execute("print(1)")["stdout"] == "1\n"
        assert "WARNING" in next(line for line in daemon.log().splitlines()
                                 if "no Landlock" in line)
    finally:
        daemon.close()


@pytest.mark.parametrize("required", [True, False])
def test_doctor(tmp_path, shared_things, required):
    trial = Trial(container_runtime="runc", require_landlock=required)
    code, out, _ = trial.vm("doctor", "--json",
                            executable=without(str(tmp_path), "tako-vm"))
    found, = [f for f in json.loads(out)["checks"]
              if f["check"] == "landlock"]
    assert found["status"] == ("fail" if required else "warn")
    assert code == (1 if required else 0)
    assert "no Landlock" in found["text"]
    assert "require_landlock" in found["mend"]
