"""K14: loosens the filter, adds its own; runs memory as code."""
import mmap

PR_GET_SECCOMP, PR_SET_SECCOMP, MODE_FILTER = 21, 22, 2


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


# One instruction: all is allowed.
allow = Program(1, (0x06).to_bytes(2, "little") + bytes(2)
                + (0x7fff0000).to_bytes(4, "little"))


def loosen():
    said = libc.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(allow), 0, 0)
    return "%d %s" % (said, call("unshare", 0x10000000))


def off():
    return "%d %s" % (libc.prctl(PR_SET_SECCOMP, 0, 0, 0, 0),
                      call("unshare", 0x10000000))


def memory():
    file = os.memfd_create("program")
    os.write(file, b"#!/bin/sh\nexit 0\n")
    pid = os.fork()
    if pid == 0:
        try:
            os.execve(file, ["program"], {})
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


tell(mode=libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0), loosen=forked(loosen),
     off=forked(off), memory=forked(memory),
     writable=attempt(lambda: mmap.mmap(-1, 4096, prot=7)))
