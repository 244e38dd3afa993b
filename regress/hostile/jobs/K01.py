"""K01: unshare, clone, clone3 with each flag of a new namespace; setns."""
import subprocess
import threading

FLAGS = {"NS": 0x20000, "CGROUP": 0x2000000, "UTS": 0x4000000,
         "IPC": 0x8000000, "USER": 0x10000000, "PID": 0x20000000,
         "NET": 0x40000000, "TIME": 0x80}
tell(unshare={n: forked(lambda: call("unshare", f)) for n, f in FLAGS.items()})


def clone(flags):
    """The child of a clone that was let through ends at once."""
    parent = os.getpid()
    said = call("clone", flags | signal.SIGCHLD)
    if os.getpid() != parent:
        os._exit(0)
    return said


# NEWTIME has no bit in clone: there it is a part of the signal.
tell(clone={n: forked(lambda: clone(f)) for n, f in FLAGS.items()
            if n != "TIME"},
     clone3={n: forked(lambda: call("clone3", ctypes.create_string_buffer(
         f.to_bytes(8, "little") + bytes(56), 64), 64))
         for n, f in FLAGS.items()})
tell(setns={n: call("setns", os.open("/proc/self/ns/" + n, os.O_RDONLY), 0)
            for n in ("mnt", "net", "pid", "user")
            if os.path.exists("/proc/self/ns/" + n)})
thread = threading.Thread(target=tell, kwargs={"thread": "ok"})
thread.start()
thread.join()
tell(subprocess=subprocess.run(["true"]).returncode)
