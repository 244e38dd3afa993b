"""
host.py: the scratch folder of a test run, and what a run may leave on the
host: processes, mounts, control groups. Used by regress/run, pytest, the
durability test and the figures; runs as root, on the host.

A scratch folder has a random name made by mkdtemp, so whatever names it on
its command line belongs to that run. It holds `owner` (pid and start time of
the run), `pids` (the same of each daemon started) and `instances` (the name
of each takod, which is in the name of all its containers).
"""
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PREFIX = "takod-check-"
CGROUPS = "/sys/fs/cgroup"
# What a test run starts: nothing else is ended, whatever it has open.
OURS = ("takod", "tako-", "runsc", "runc", "exe", "dockerd", "containerd",
        "postgres", "postmaster", "init", "python3")
given = set()  # by free_port()
# No wait for an event ends before that many seconds: a host may be busy, and
# nothing but a test that fails pays for it.
PATIENCE = 30.0


class Deadline(AssertionError):
    """Something that had to happen did not happen in time."""


def free_port():
    """A port of the loopback address that nobody has: below those that the
    kernel gives away, where it might be another's before it is used. Of two
    processes of pytest each has ports of its own."""
    lane = int(os.environ.get("TAKO_REGRESS_LANE") or 0)
    while True:
        port = random.randrange(10000 + lane, 32000, 3)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in given:
            given.add(port)
            return port


def own_address():
    """An address of this host that is not its loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # Nothing is sent: it asks for the way there only.
        sock.connect(("192.0.2.1", 9))
        return sock.getsockname()[0]


def wait_for(what, probe, seconds=PATIENCE, every=0.02):
    """Waits until probe() is true and returns its value."""
    seconds = max(seconds, PATIENCE)
    end = time.monotonic() + seconds
    while True:
        late = time.monotonic() > end  # a last look comes after it
        value = probe()
        if value:
            return value
        if late:
            raise Deadline("not within %g s: %s" % (seconds, what))
        time.sleep(every)


def read(path, default=""):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except (OSError, ValueError):
        return default


class Process:
    """A process as /proc shows it at one moment."""

    def __init__(self, pid):
        self.pid = pid
        stat = read("/proc/%d/stat" % pid)
        if not stat:
            raise ProcessLookupError(pid)
        self.comm, rest = stat[stat.index("(") + 1:].rsplit(")", 1)
        fields = rest.split()
        self.state, self.ppid = fields[0], int(fields[1])
        self.started = int(fields[19])
        self.argv = read("/proc/%d/cmdline" % pid).split("\0")[:-1]

    def status(self):
        lines = read("/proc/%d/status" % self.pid).splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    def uids(self):
        return [int(n) for n in self.status().get("Uid", "").split()]


def processes():
    """Every process that is not a zombie."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                process = Process(int(name))
            except (ProcessLookupError, IndexError, ValueError):
                continue
            if process.state not in "ZX":
                found.append(process)
    return found


def alive(pid, started=None):
    try:
        process = Process(pid)
    except ProcessLookupError:
        return False
    return process.state not in "ZX" and started in (None, process.started)


def descendants(pid):
    """Processes below pid, nearest first."""
    everyone, found, wave = processes(), [], {pid}
    while wave:
        wave_found = [p for p in everyone if p.ppid in wave]
        found += wave_found
        wave = {p.pid for p in wave_found}
    return found


def signal_pid(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def mounts_below(path):
    """Mount points below path, innermost first."""
    points = []
    for line in read("/proc/self/mountinfo").splitlines():
        fields = line.split()
        # A path is written with blanks and backslashes as octal numbers.
        point = fields[4].encode().decode("unicode_escape")
        if point == path or point.startswith(path + "/"):
            points.append(point)
    return sorted(points, key=len, reverse=True)


def cgroups_named(text):
    """Control groups with text in their own name, innermost first."""
    found = []
    for folder, names, _ in os.walk(CGROUPS):
        found += [os.path.join(folder, n) for n in names if text in n]
    return sorted(found, key=len, reverse=True)


def cgroup_pids(folder):
    pids = set()
    for here, _, files in os.walk(folder):
        if "cgroup.procs" in files:
            path = os.path.join(here, "cgroup.procs")
            pids |= {int(n) for n in read(path).split()}
    return pids - {0}


def remove_cgroup(path):
    """A group with those in it, once what was killed there is gone."""
    def gone():
        for folder, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                return False
        return True
    wait_for("control group %s is gone" % path, gone)


# ---- the scratch folder -----------------------------------------------------

def scratch():
    """The folder of this run; made at the first call."""
    path = os.environ.get("TAKO_REGRESS_SCRATCH")
    if not path:
        base = os.environ.get("TMPDIR", "/tmp")
        path = tempfile.mkdtemp(prefix=PREFIX, dir=base)
        os.chmod(path, 0o711)  # PostgreSQL runs as a user of its own
        os.environ["TAKO_REGRESS_SCRATCH"] = path
        note(path, "owner", os.getpid())
    return path


def note(folder, name, pid):
    """Notes a process of this run, for whoever has to clean up after it."""
    with open(os.path.join(folder, name), "a") as file:
        file.write("%d %d\n" % (pid, Process(pid).started))


def note_daemon(pid):
    note(scratch(), "pids", pid)


def note_instance(name):
    with open(os.path.join(scratch(), "instances"), "a") as file:
        file.write(name + "\n")


def noted(folder, name):
    """The noted processes that still are the ones noted."""
    pairs = [line.split() for line in
             read(os.path.join(folder, name)).splitlines()]
    return [int(p[0]) for p in pairs if len(p) == 2
            and alive(int(p[0]), int(p[1]))]


def belonging(folder):
    """Processes of the run that has this scratch folder."""
    found = {}
    for pid in noted(folder, "pids"):
        for process in descendants(pid):
            found[process.pid] = process
        try:
            found[pid] = Process(pid)
        except ProcessLookupError:
            pass
    owners = set(noted(folder, "owner")) | {os.getpid()}
    for process in processes():
        named = any(folder + "/" in word for word in process.argv)
        if named and process.comm.startswith(OURS):
            found[process.pid] = process
    for instance in read(os.path.join(folder, "instances")).split():
        for group in cgroups_named(instance):
            for pid in cgroup_pids(group):
                try:
                    found[pid] = Process(pid)
                except ProcessLookupError:
                    pass
    return [p for p in found.values() if p.pid not in owners]


def leftovers(folder):
    """What a run left on the host, in words; empty when nothing."""
    words = ["process %d: %s" % (p.pid, " ".join(p.argv)[:160] or p.comm)
             for p in belonging(folder)]
    words += ["mount " + point for point in mounts_below(folder)]
    for instance in set(read(os.path.join(folder, "instances")).split()):
        words += ["cgroup " + g for g in cgroups_named(instance)]
    return words


def clean(folder):
    """Ends and removes all that a run left, then its folder."""
    ended = []
    end = time.monotonic() + 20
    while time.monotonic() < end:
        left = belonging(folder)
        if not left:
            break
        for process in left:
            ended.append(process.comm)
            signal_pid(process.pid, signal.SIGKILL)
        time.sleep(0.05)
    for point in mounts_below(folder):
        subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL)
    for instance in set(read(os.path.join(folder, "instances")).split()):
        for group in cgroups_named(instance):
            try:
                remove_cgroup(group)
            except Deadline:
                pass
    shutil.rmtree(folder, ignore_errors=True)
    return ended


def clean_former():
    """Cleans up after runs that were killed; returns their folders."""
    base = os.environ.get("TMPDIR", "/tmp")
    found = []
    for name in sorted(os.listdir(base)):
        folder = os.path.join(base, name)
        if not name.startswith(PREFIX) or not os.path.isdir(folder):
            continue
        if not os.path.exists(os.path.join(folder, "owner")):
            # Perhaps just being made by another run.
            if time.time() - os.stat(folder).st_mtime < 60:
                continue
        if noted(folder, "owner"):
            continue
        clean(folder)
        found.append(folder)
    return found
