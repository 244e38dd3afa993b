"""K03: traces and reads init, a parent and a sibling."""
ATTACH, SEIZE, TRACEME = 16, 0x4206, 0
SELF = os.getpid()
try:
    FILE = os.pidfd_open(SELF)
except OSError:
    FILE = 0  # a kernel without
sibling = os.fork()
if sibling == 0:
    time.sleep(TRIAL_SECONDS)
    os._exit(0)


class Area(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


buffer = ctypes.create_string_buffer(16)
mine = Area(ctypes.addressof(buffer), 16)
theirs = Area(id(type(sibling)), 16)


def of(pid):
    return {
        "seize": call("ptrace", SEIZE, pid), "attach": forked(
            lambda: call("ptrace", ATTACH, pid)),
        "read": call("process_vm_readv", pid, ctypes.byref(mine), 1,
                     ctypes.byref(theirs), 1, 0),
        "write": call("process_vm_writev", pid, ctypes.byref(mine), 1,
                      ctypes.byref(theirs), 1, 0),
        "getfd": call("pidfd_getfd", FILE, 0, 0),
        "kcmp": call("kcmp", SELF, pid, 0, 0, 0),
        "mem": attempt(os.open, "/proc/%d/mem" % pid, os.O_RDWR),
        "fd": attempt(os.listdir, "/proc/%d/fd" % pid),
    }


try:
    tell(init=of(1))
    tell(sibling=of(sibling))
finally:
    os.kill(sibling, signal.SIGKILL)
