"""
faults.py: faults that a test brings about from outside: an OCI runtime that
fails when it is told to (the real runc behind a script), and memory that the
kernel does not give to a process.
"""
import os
import re
import shutil

from . import host

SCRIPT = """\
#!/bin/sh
if [ -e '%(flag)s' ]; then
    echo 'told to fail' >>'%(flag)s'
    exit 1
fi
exec '%(runc)s' "$@"
"""


class FlakyRunc:
    """path goes into runc_path. fail() and work() say what it does next."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "flaky-runc")
        self.flag = os.path.join(folder, "flaky-runc.fails")
        with open(self.path, "w") as file:
            file.write(SCRIPT % {"flag": self.flag,
                                 "runc": shutil.which("runc")})
        os.chmod(self.path, 0o755)

    def fail(self):
        with open(self.flag, "w"):
            pass

    def failed(self):
        """How often it did since fail()."""
        with open(self.flag) as file:
            return len(file.readlines())

    def work(self):
        os.unlink(self.flag)


class NoMemory:
    """
    A memory control group around one process, which is killed by the kernel
    when it takes more than so many bytes beyond what it has. With cgroup v1,
    also where v2 is mounted beside it, and with v2 alone.
    """

    def __init__(self, pid, limit=128 << 10):
        v1 = re.search(r"^\S+ (\S+) cgroup \S*\bmemory\b", host.read(
            "/proc/mounts"), re.M)
        top = v1[1] if v1 else host.CGROUPS
        if not v1:
            self.write(os.path.join(top, "cgroup.subtree_control"), "+memory")
        self.path = os.path.join(top, "takod-no-memory-%d" % pid)
        self.counter = "memory.oom_control" if v1 else "memory.events"
        os.mkdir(self.path)
        limits = ("memory.limit_in_bytes",) if v1 else (
            "memory.max", "memory.swap.max")
        self.write(os.path.join(self.path, "cgroup.procs"), pid)
        for name in limits:
            if os.path.exists(os.path.join(self.path, name)):
                self.write(os.path.join(self.path, name),
                           0 if "swap" in name else limit)

    @staticmethod
    def write(path, value):
        with open(path, "w") as file:
            file.write(str(value))

    def kills(self):
        """How many processes the kernel has killed in it."""
        text = host.read(os.path.join(self.path, self.counter))
        return int(re.search(r"^oom_kill (\d+)", text, re.M)[1])

    def close(self):
        host.remove_cgroup(self.path)
