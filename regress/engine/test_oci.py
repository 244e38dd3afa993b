"""
test_oci.py: the OCI driver of engine.h, driven alone, with both runtimes: what
a container is, what it may not, how it ends, and that nothing of it is left.
"""
import glob
import json
import os
import signal
import stat
import struct
import subprocess
import time

import pytest

from lib import host, shared
from lib.drive import Drive

RUNTIMES = ("runc", "runsc")
INSTANCE = "otest%d" % os.getpid()
UID_BASE = 733000
GROUP = "takod-" + INSTANCE
BUNDLES = "/run/takod/" + INSTANCE
LIMITS, READY, CODE, GO, STDOUT, STDERR, EXIT, DONE = 2, 3, 4, 6, 8, 9, 10, 15


@pytest.fixture(scope="module")
def data():
    path = os.path.join(host.scratch(), "oci")
    os.makedirs(path, mode=0o700, exist_ok=True)
    yield path
    # A driver that is closed in order takes its own group away as well.
    with Drive(*arguments(path)) as d:
        d.ask("reconcile", "reconciled")
        d.say("close")
        d.wait("ended")
    assert not glob.glob("/sys/fs/cgroup/" + GROUP)
    assert not glob.glob("/sys/fs/cgroup/*/" + GROUP)


def arguments(data, rootfs=None):
    return ("-e", "oci", "-d", data, "-i", INSTANCE, "-u", str(UID_BASE),
            "-R", rootfs or shared.rootfs())


# ---- what is on the host ----------------------------------------------------

def group_files(tag, name):
    return [f for f in glob.glob("/sys/fs/cgroup/*/%s/takod-%s-%s/%s"
                                 % (GROUP, INSTANCE, tag, name))
            + glob.glob("/sys/fs/cgroup/%s/takod-%s-%s/%s"
                        % (GROUP, INSTANCE, tag, name))]


def processes(tag):
    found = set()
    for path in group_files(tag, "cgroup.procs"):
        with open(path) as file:
            found |= {int(line) for line in file}
    return found


def limit(tag, *names):
    """The first of the files that is there, v1 or v2."""
    for name in names:
        for path in group_files(tag, name):
            with open(path) as file:
                return file.read().split()
    raise AssertionError("no %s for %s" % (names, tag))


def status(pid):
    with open("/proc/%d/status" % pid) as file:
        return dict(line.split(":\t", 1) for line in file.read().splitlines()
                    if ":\t" in line)


def left(data):
    """All that a container of this instance could leave."""
    found = glob.glob("/sys/fs/cgroup/*/%s/*/" % GROUP)
    found += glob.glob("/sys/fs/cgroup/%s/*/" % GROUP)
    found += glob.glob(BUNDLES + "/*")
    with open("/proc/self/mountinfo") as file:
        found += [line for line in file
                  if data in line or "/run/takod-root" in line]
    for process in host.processes():
        if any(UID_BASE <= u < UID_BASE + 1024 for u in process.uids()) or \
                "takod-%s-" % INSTANCE in " ".join(process.argv):
            found.append("%d %s" % (process.pid, process.argv))
    return found


@pytest.fixture
def drive(data):
    assert not left(data)
    with Drive(*arguments(data)) as d:
        yield d
        d.ask("reconcile", "reconciled")
        found = left(data)
    # A test that failed half way: the next one finds the host clean.
    with Drive(*arguments(data)) as d:
        d.ask("reconcile", "reconciled")
    assert not found


# ---- tako-init's stream -----------------------------------------------------

def frame(kind, payload=b""):
    return struct.pack("<BxxxI", kind, len(payload)) + payload


def send(drive, tag, data):
    for i in range(0, len(data), 2048):
        drive.say("send %s %s" % (tag, data[i:i + 2048].hex()))


class Job:
    """A slot that was made, and the code that ran in it."""

    def __init__(self, drive, tag, runtime, *keys):
        self.drive, self.tag = drive, tag
        drive.ask("create %s runtime=%s %s" % (tag, runtime, " ".join(keys)),
                  "created", tag)
        drive.wait("hello", tag)
        self.bytes = b""

    def frames(self):
        rest = self.bytes
        while len(rest) >= 8:
            kind, length = struct.unpack("<BxxxI", rest[:8])
            if len(rest) < 8 + length:
                return
            yield kind, rest[8:8 + length]
            rest = rest[8 + length:]

    def until(self, kind, seconds=30):
        """Payloads of that kind, once there is one, or the stream ended."""
        end = time.monotonic() + seconds
        while kind not in [k for k, _ in self.frames()]:
            if self.drive.had("eof", self.tag) and \
                    not self.drive.had("data", self.tag):
                break
            try:
                e = self.drive.wait("data", self.tag, seconds=0.2)
            except host.Deadline:
                assert time.monotonic() < end, "no frame %d" % kind
                continue
            self.bytes += bytes.fromhex(e["hex"])
        return [p for k, p in self.frames() if k == kind]

    def start(self, code):
        send(self.drive, self.tag, frame(
            LIMITS, struct.pack("<QQII16x", 1 << 20, 1 << 20, 10, 1 << 20)))
        self.until(READY)
        send(self.drive, self.tag, frame(CODE, code.encode()) + frame(GO))

    def run(self, code, seconds=60):
        """Its stdout and (end, code), or None when no word came."""
        self.start(code)
        self.until(DONE, seconds)
        out = b"".join(p for k, p in self.frames() if k == STDOUT)
        err = b"".join(p for k, p in self.frames() if k == STDERR)
        ends = [p for k, p in self.frames() if k == EXIT]
        self.err = err.decode(errors="replace")
        return (out.decode(errors="replace"),
                struct.unpack("<II", ends[0][:8]) if ends else None)

    def facts(self):
        return self.drive.ask("facts " + self.tag, "facts", self.tag)

    def remove(self):
        self.drive.ask("remove " + self.tag, "removed", self.tag)


def run_json(drive, tag, runtime, code, *keys):
    job = Job(drive, tag, runtime, *keys)
    out, end = job.run(code)
    assert end == (1, 0), (out, job.err, end)
    job.remove()
    return json.loads(out)


# ---- the runtime is there ---------------------------------------------------

@pytest.mark.parametrize("runtime", RUNTIMES)
def test_probe(drive, runtime):
    probe = drive.ask("probe " + runtime, "probe")
    assert probe["runtime"] == runtime
    assert probe["version"].startswith(runtime + " version ")
    with open("/proc/version") as file:
        ours = file.read()
    assert ours.startswith(probe["kernel"]) == (runtime == "runc")
    assert probe["kernel"].startswith("Linux version ")


def test_probe_that_lies(data):
    """Strict mode must not take runc for gVisor because of its name."""
    with Drive(*arguments(data), "-p", "runsc=" + fake_runtime(
            data, 'args=; for a; do [ "$a" = --network=none ] || '
            'args="$args $a"; done; exec runc $args')) as d:
        probe = d.ask("probe runsc", "probe", error="config")
    assert "no gVisor" in probe["detail"]
    assert not left(data)


def fake_runtime(data, script):
    path = os.path.join(data, "runtime.sh")
    with open(path, "w") as file:
        file.write("#!/bin/sh\n%s\n" % script)
    os.chmod(path, 0o755)
    return path


@pytest.mark.parametrize("script,error,text", [
    ("exit 3", "transient", "status 3"),
    ("kill -9 $$", "transient", "signal 9"),
    ('while [ "$1" != --log ]; do shift; done; '
     'printf "a\\nno room\\033[31m\\n" >"$2"; exit 1', "transient", "no room"),
    ("exec sleep 1000", "deadline", "in time"),
    ("sleep 1000 & wait", "deadline", "in time"),
    ("exit 0", "transient", "pid file"),
])
def test_runtime_fails(data, script, error, text):
    with Drive(*arguments(data), "-p",
               "runc=" + fake_runtime(data, script)) as d:
        made = d.ask("create a runtime=runc deadline_ms=%d" % (
            700 if error == "deadline" else 20000), "created", "a",
            error=error)
        assert text in made["detail"]
        assert "\033" not in made["detail"]
        assert not left(data)
        assert not host_children(d.process.pid)


def host_children(pid):
    out = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid,args",
                          "--no-headers"], capture_output=True, text=True)
    return out.stdout.strip()


def test_runtime_missing(data):
    with Drive(*arguments(data), "-p", "runsc=/nowhere/runsc") as d:
        for ask, event, tag in (("probe runsc", "probe", ""),
                                ("create a", "created", "a")):
            answer = d.ask(ask, event, tag, error="config")
            assert "not installed" in answer["detail"]


def test_image_missing(data, tmp_path):
    with Drive("-e", "oci", "-d", str(tmp_path), "-i", INSTANCE) as d:
        for ask, event, tag in (("probe runsc", "probe", ""),
                                ("create a", "created", "a"),
                                ("ping", "ping", "")):
            answer = d.ask(ask, event, tag, error="no_image")
            assert "takoctl image build" in answer["detail"]


def test_foreign_root(data, tmp_path):
    (tmp_path / "tmp").mkdir()
    with Drive(*arguments(data, str(tmp_path))) as d:
        answer = d.ask("create a", "created", "a", error="config")
        assert "/.tako/init" in answer["detail"]
        assert " /tmp " not in answer["detail"].split("mounted on:")[1]
    assert os.listdir(tmp_path) == ["tmp"]


def test_refused(drive):
    answer = drive.ask("create a image=python:3", "created", "a",
                       error="config")
    assert "engine: docker" in answer["detail"]


# ---- what a container is ----------------------------------------------------

@pytest.mark.parametrize("runtime", RUNTIMES)
def test_limits_on_the_host(drive, runtime):
    job = Job(drive, "a", runtime, "memory=134217728", "cpus=0.5", "pids=77",
              "slot=3")
    assert limit("a", "memory.limit_in_bytes", "memory.max") == ["134217728"]
    if group_files("a", "memory.memsw.limit_in_bytes"):
        assert limit("a", "memory.memsw.limit_in_bytes") == ["134217728"]
    assert limit("a", "cpu.cfs_quota_us", "cpu.max")[0] == "50000"
    assert 77 <= int(limit("a", "pids.max")[0]) <= 77 + 512
    pids = processes("a")
    assert pids
    for pid in pids:
        s = status(pid)
        assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2"
        with open("/proc/%d/oom_score_adj" % pid) as file:
            assert file.read().strip() == "1000"
        with open("/proc/%d/environ" % pid, "rb") as file:
            assert b"CANARY" not in file.read()
        if runtime == "runc":
            uid = str(UID_BASE + 257 + 2 * 3)
            assert s["Uid"].split() == s["Gid"].split() == [uid] * 4
            for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                assert int(s[key], 16) == 0, key
    job.remove()


INSIDE = r"""
import json, os, resource, socket
def text(p):
    with open(p) as f: return f.read()
mounts = {}
for line in text('/proc/self/mounts').splitlines():
    w = line.split(); mounts[w[1]] = w[2:4]
def attempt(f, *a):
    try: f(*a); return 'done'
    except OSError as e: return e.errno
def size(p):
    s = os.statvfs(p); return s.f_frsize * s.f_blocks
print(json.dumps({
 'uid': [os.getuid(), os.geteuid(), os.getgid(), os.getgroups()],
 'env': dict(os.environ), 'cwd': os.getcwd(), 'host': os.uname().nodename,
 'fds': sorted(os.listdir('/proc/self/fd')), 'dev': sorted(os.listdir('/dev')),
 'sys': os.listdir('/sys'), 'mounts': mounts,
 'net': [l.split(':')[0].strip() for l in
     text('/proc/net/dev').splitlines()[2:]],
 'devices': {p: attempt(os.open, p, os.O_RDWR) for p in
     ('/dev/fuse', '/dev/net/tun', '/dev/kvm', '/dev/mem', '/dev/tty')},
 'mknod': attempt(os.mknod, '/tmp/null', 0o20666, 259),
 'write': {p: attempt(open, p + '/x', 'w') for p in
     ('/', '/app', '/etc', '/usr', '/.tako', '/proc/sys/kernel', '/output',
      '/tmp', '/dev/shm', '/dev')},
 'read': {p: attempt(lambda q: open(q).read(1), p) for p in
     ('/proc/kcore', '/proc/kallsyms', '/proc/keys', '/proc/timer_list')},
 'sysrq': attempt(open, '/proc/sysrq-trigger', 'w'),
 'core': resource.getrlimit(resource.RLIMIT_CORE),
 'nofile': resource.getrlimit(resource.RLIMIT_NOFILE),
 'fsize': resource.getrlimit(resource.RLIMIT_FSIZE),
 'status': dict(l.split(':\t', 1) for l in
     text('/proc/self/status').splitlines() if ':\t' in l),
 'oom': attempt(lambda: os.write(
     os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'0')),
 'size': {p: size(p) for p in ('/output', '/tmp')},
 'pid1': text('/proc/1/cmdline'),
}))
"""


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_inside(drive, runtime):
    os.environ["CANARY"] = "must not be seen"
    seen = run_json(drive, "a", runtime, INSIDE, "env.COLOUR=blue",
                    "env.HOME=/output", "tmpfs=20971520", "output=10485760")
    assert seen["uid"][:3] == [1000, 1000, 1000]
    assert all(g == 1000 for g in seen["uid"][3])
    env = seen["env"]
    assert env.pop("COLOUR") == "blue" and env.pop("HOME") == "/output"
    assert set(env) <= {"PATH", "LANG", "XDG_CACHE_HOME", "MPLCONFIGDIR",
                        "LC_CTYPE"}
    assert seen["cwd"] == "/app" and seen["host"] == "tako"
    assert seen["pid1"].startswith("/.tako/init")
    # 3 is the listing's own.
    assert seen["fds"] == ["0", "1", "2", "3"]
    assert seen["net"] == ["lo"]
    devices = {"core", "fd", "full", "null", "ptmx", "pts", "random", "shm",
               "stderr", "stdin", "stdout", "tty", "urandom", "zero"}
    if runtime == "runsc":
        # gVisor's own, whatever the configuration: its kernel's, not ours.
        assert set(seen["dev"]) <= devices | {"fuse", "net"}
    else:
        assert set(seen["dev"]) <= devices
        assert seen["sys"] == []
        assert seen["mknod"] == 1
        assert not [p for p, got in seen["devices"].items()
                    if got not in (1, 2, 6, 13)], seen["devices"]
    for path, got in seen["write"].items():
        if path in ("/output", "/tmp", "/dev/shm"):
            assert got == "done", path
        else:
            assert got in (1, 2, 13, 30), (path, got)
    assert seen["sysrq"] in (1, 2, 13, 30)
    for path, got in seen["read"].items():
        # An empty file in its place, or none.
        assert got in ("done", 1, 2, 13), (path, got)
    assert seen["core"] == [1, 1] and seen["nofile"] == [256, 256]
    assert seen["fsize"] == [104857600, 104857600]
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd"):
        assert int(seen["status"][key], 16) == 0, key
    if runtime == "runc":
        assert seen["status"]["NoNewPrivs"] == "1"
        # The kernel keeps the floor only where root could set one.
        if int(status(os.getpid())["CapEff"], 16) >> 24 & 1:
            assert seen["oom"] == 13
    assert seen["size"] == {"/output": 10485760, "/tmp": 20971520}
    mounts = seen["mounts"]
    assert "ro" in mounts["/"][1].split(",")
    for path in ("/code", "/input", "/output", "/tmp", "/dev/shm"):
        options = mounts[path][1].split(",")
        assert mounts[path][0] == "tmpfs", path
        if runtime == "runc":
            assert {"nosuid", "nodev", "noexec"} <= set(options), path
    assert not [p for p in mounts if "takod" in p or "regress" in p]


# ---- what works --------------------------------------------------------------

USEFUL = r"""
import concurrent.futures, multiprocessing, socket, sqlite3, ssl, subprocess
import threading, json, tempfile, asyncio, select, mmap, signal
def double(n): return 2 * n
if __name__ == '__main__':
    a, b = socket.socketpair()
    t = threading.Thread(target=a.send, args=(b'x',)); t.start(); t.join()
    s = socket.create_server(('127.0.0.1', 0))
    c = socket.create_connection(s.getsockname())
    with multiprocessing.Pool(2) as pool:
        p = pool.map(double, [1, 2])
    with tempfile.TemporaryFile() as f: f.write(b'x')
    print(json.dumps([b.recv(1).decode(), p,
        subprocess.run(['echo', 'sub'], capture_output=True,
            text=True).stdout, sqlite3.connect(':memory:').execute(
            'select 1').fetchone(), asyncio.run(asyncio.sleep(0, 5)),
        len(ssl.create_default_context().get_ciphers()) > 0]))
"""


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_useful_things_work(drive, runtime):
    assert run_json(drive, "a", runtime, USEFUL) == [
        "x", [2, 4], "sub\n", [1], 5, True]


def test_seccomp_switch(drive):
    job = Job(drive, "a", "runc", "seccomp=0")
    assert {status(p)["Seccomp"] for p in processes("a")} == {"0"}
    job.remove()


def test_own_id_without_userns(drive):
    job = Job(drive, "a", "runc", "userns=0", "slot=5")
    uid = str(UID_BASE + 257 + 2 * 5)
    for pid in processes("a"):
        assert status(pid)["Uid"].split() == [uid] * 4
    out, end = job.run("open('/output/x', 'w'); print(open('/tmp/y', 'w'))")
    assert end == (1, 0), job.err
    job.remove()


# ---- how it ends ------------------------------------------------------------

@pytest.mark.parametrize("runtime", RUNTIMES)
def test_plain_end(drive, runtime):
    job = Job(drive, "a", runtime)
    out, end = job.run("print('hi'); raise SystemExit(3)")
    assert out == "hi\n" and end == (1, 3)
    # It waits for the end of its stream, and its counters are there so long.
    facts = job.facts()
    assert facts["oom_kills"] == 0
    assert 1 << 20 < facts["memory_peak"] < 512 << 20
    assert 1000 < facts["cpu_us"] < 60_000_000
    job.remove()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_oom(drive, runtime):
    job = Job(drive, "a", runtime, "memory=100663296")
    out, end = job.run("a = []\nwhile True: a.append(bytearray(1 << 20))")
    # Under runc tako-init outlives the job; a gVisor sandbox goes as a whole.
    assert end == ((2, 9) if runtime == "runc" else None)
    if runtime == "runsc":
        drive.wait("exit", "a")
    facts = job.facts()
    assert facts["oom_kills"] >= 1
    # The kernel charges in batches, which may pass the limit by some pages.
    assert 64 << 20 < facts["memory_peak"] < 101 << 20
    job.remove()


def test_oom_of_a_child(drive):
    job = Job(drive, "a", "runc", "memory=100663296")
    out, end = job.run(
        "import os\nif os.fork() == 0:\n a = []\n"
        " while True: a.append(bytearray(1 << 20))\n"
        "print(os.wait()[1])")
    assert (out, end) == ("9\n", (1, 0))
    assert job.facts()["oom_kills"] == 1
    job.remove()


BOMB = "import os\nwhile True:\n try: os.fork()\n except OSError: pass"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_fork_bomb(drive, runtime):
    """Stopped by pids_limit; a kill ends all of it, and it is soon gone."""
    job = Job(drive, "a", runtime, "pids=60", "nproc=1000", "cpus=0.5")
    job.start(BOMB)
    top = 60 + (16 if runtime == "runc" else 512)
    end = time.monotonic() + 60
    while True:
        n = int(limit("a", "pids.current")[0])
        assert n <= top
        # The sandbox may die of it; then nothing is left to grow.
        if n > (50 if runtime == "runc" else 100) or drive.had("exit", "a"):
            break
        assert time.monotonic() < end, n
    drive.say("kill a")
    drive.wait("exit", "a")
    job.remove()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_kill_is_prompt(drive, runtime):
    job = Job(drive, "a", runtime)
    job.start("import signal, time\n"
              "for s in set(range(1, 65)) - {9, 19, 32, 33}:\n"
              " signal.signal(s, signal.SIG_IGN)\n"
              "print('deaf', flush=True)\ntime.sleep(1000)")
    job.until(STDOUT)
    drive.say("kill a")
    drive.say("kill a")
    drive.wait("exit", "a")
    assert not drive.had("exit", "a")
    job.remove()


def test_init_gone_at_once(data, tmp_path):
    """A first process that ended before it could be watched has ended."""
    for name in ("tako-init", "engine_drive"):
        source = shared.program("regress/tools/" + name) \
            if name == "engine_drive" else "/bin/true"
        (tmp_path / name).write_bytes(open(source, "rb").read())
        (tmp_path / name).chmod(0o755)

    class Elsewhere(Drive):
        pass
    # /bin/true of the host needs libraries that the image has as well.
    old, shared.program = shared.program, lambda n: str(
        tmp_path / os.path.basename(n))
    try:
        d = Elsewhere(*arguments(data))
    finally:
        shared.program = old
    with d:
        d.ask("create a runtime=runc", "created", "a")
        d.wait("exit", "a")
        d.ask("remove a", "removed", "a")
    assert not left(data)


# ---- nothing is left --------------------------------------------------------

@pytest.mark.parametrize("runtime", RUNTIMES)
def test_cancel(drive, data, runtime):
    for wait_ms in (0, 5, 20, 40, 120):
        drive.say("create a runtime=" + runtime)
        try:
            drive.wait("created", "a", seconds=wait_ms / 1000)
            made = True
        except host.Deadline:
            drive.say("cancel a")
            # It may have been made in between: then there is no "cancelled".
            made = not wait_either(drive, "cancelled", "bad")
        if made:
            drive.ask("remove a", "removed", "a")
        host.wait_for("all gone", lambda: not left(data), 20)
        assert not drive.had("exit", "a")
        assert made or not drive.had("created", "a")
        drive.kept.clear()


def wait_either(drive, first, second):
    """Whether the first of the two events came."""
    def came():
        return drive.had(first, "a") or drive.had(second, "a")
    host.wait_for(first, came, 20, every=0.001)
    return bool(drive.had(first, "a"))


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("moment_ms", (0, 10, 30, 80, 150, None))
def test_killed_driver(data, runtime, moment_ms):
    """kill -9 at any moment: the next life's reconcile leaves nothing."""
    d = Drive(*arguments(data))
    d.wait("open")
    for tag in ("a", "b"):
        d.say("create %s runtime=%s" % (tag, runtime))
    if moment_ms is None:
        for tag in ("a", "b"):
            d.wait("created", tag)
    else:
        try:
            d.wait("created", "a", seconds=moment_ms / 1000)
        except host.Deadline:
            pass
    d.process.send_signal(signal.SIGKILL)
    d.process.wait()
    with Drive(*arguments(data)) as d:
        d.ask("reconcile", "reconciled")
        assert not left(data)
        # And it works as before.
        d.ask("create a runtime=" + runtime, "created", "a")
        d.ask("remove a", "removed", "a")
    assert not left(data)


def test_reconcile_spares_the_living(drive, data):
    job = Job(drive, "a", "runc")
    os.mkdir(os.path.join(BUNDLES, "takod-x-old"), 0o700)
    drive.ask("reconcile", "reconciled")
    assert os.listdir(BUNDLES) == ["takod-%s-a" % INSTANCE]
    out, end = job.run("print('alive')")
    assert (out, end) == ("alive\n", (1, 0))
    job.remove()


def test_folders_are_private(drive):
    job = Job(drive, "a", "runc")
    for path in (BUNDLES, BUNDLES + "/takod-%s-a" % INSTANCE):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    job.remove()


# ---- the profile ------------------------------------------------------------

def profile_of(path=None):
    """The profile that the driver would give to a container, as text."""
    return subprocess.run(
        [shared.program("regress/tools/engine_drive"), "-S",
         *(("-s", path) if path else ())], capture_output=True, text=True)


def test_shipped_profile_is_the_table():
    with open(os.path.join(shared.TOP, "etc", "seccomp.json")) as file:
        shipped = file.read()
    # The shipped one is of the commonest machine.
    assert shipped == profile_of().stdout.replace(
        "SCMP_ARCH_AARCH64", "SCMP_ARCH_X86_64")


def test_conditional_rules_of_a_profile(tmp_path):
    """Rules for capabilities, other machines and kernels do not count."""
    path = tmp_path / "p.json"
    arch = "amd64" if os.uname().machine == "x86_64" else "arm64"
    rule = {"action": "SCMP_ACT_ALLOW", "args": None}
    path.write_text(json.dumps({
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": None,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64",
                     "subArchitectures": ["SCMP_ARCH_X86"]},
                    {"architecture": "SCMP_ARCH_AARCH64",
                     "subArchitectures": ["SCMP_ARCH_ARM"]}],
        "syscalls": [
            dict(rule, names=["read"], includes={}, excludes={}),
            dict(rule, name="write"),
            dict(rule, names=["mount"], includes={"caps": ["CAP_SYS_ADMIN"]}),
            dict(rule, names=["open"], excludes={"caps": ["CAP_SYS_ADMIN"]}),
            dict(rule, names=["arm"], includes={"arches": ["s390x"]}),
            dict(rule, names=["mine"], includes={"arches": [arch]}),
            dict(rule, names=["not"], excludes={"arches": [arch]}),
            dict(rule, names=["future"], includes={"minKernel": "99.1"}),
            dict(rule, names=["past"], includes={"minKernel": "4.8"})]}))
    out = json.loads(profile_of(str(path)).stdout)
    names = [n for r in out["syscalls"] for n in r["names"]]
    assert names == ["read", "write", "open", "mine", "past"]
    assert len(out["architectures"]) == 2
    assert all("includes" not in r and "args" not in r
               for r in out["syscalls"])


@pytest.mark.parametrize("text,why", [
    ("", "profile"), ("[]", "defaultAction"), ('{"defaultAction": 1}', "needs"),
    ('{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["x"]}]}',
     "action"), ('{"a": 1, "a": 2}', "duplicate")])
def test_broken_profile(tmp_path, text, why):
    path = tmp_path / "p.json"
    path.write_text(text)
    done = profile_of(str(path))
    assert done.returncode != 0 and why in done.stdout + done.stderr


def test_named_profile_is_used(data, tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps({
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["uname"], "action": "SCMP_ACT_ERRNO",
             "errnoRet": 95}]}))
    with Drive(*arguments(data), "-s", str(path)) as d:
        job = Job(d, "a", "runc")
        out, _ = job.run("import os\ntry: os.uname()\n"
                         "except OSError as e: print(e.errno)")
        assert out == "95\n"
        job.remove()
    assert not left(data)


# ---- graphics processors ----------------------------------------------------

GPU = """
import json, os
top = %r
r = {n: os.path.exists(top + n) for n in ("nvidiactl", "nvidia0", "nvidia1")}
try:
    open(top + "nvidia0", "wb", 0).write(b"x")
except OSError as e:
    r["write"] = e.errno
try:
    os.mknod("/tmp/full", 0o20666, os.makedev(1, 7))
    r["mknod"] = 0
except OSError as e:
    r["mknod"] = e.errno
print(json.dumps(r))
"""


@pytest.mark.parametrize("keys,both", [
    ((), True), (("userns=0",), True), (("gpu_count=1",), False),
    (("gpu_id=0",), False)])
def test_gpu(drive, devices, keys, both):
    """The nodes of the host, which here are those of /dev/full, can be opened
    by the job; others not even be made."""
    for name in ("nvidiactl", "nvidia-uvm", "nvidia0", "nvidia1"):
        devices(name)
    seen = run_json(drive, "a", "runc", GPU % (devices.folder + "/"),
                    "gpu=nvidia:" + devices.folder, *keys)
    assert seen == {"nvidiactl": True, "nvidia0": True, "nvidia1": both,
                    "write": 28, "mknod": 1}


@pytest.mark.parametrize("keys,why", [
    ("gpu_count=3", "there are 2, not 3"),
    ("gpu_id=2", "/nvidia2: No such file"),
    ("gpu_id=GPU-1234", "device_ids: GPU-1234: cards are known here by")])
def test_gpu_that_is_not_there(drive, devices, keys, why):
    for name in ("nvidiactl", "nvidia-uvm", "nvidia0", "nvidia1"):
        devices(name)
    answer = drive.ask("create a runtime=runc gpu=nvidia:%s %s" % (
        devices.folder, keys), "created", "a", error="config")
    assert why in answer["detail"], answer


@pytest.mark.parametrize("runtime,vendor,there,mode,why", [
    ("runsc", "nvidia", ["nvidiactl"], 0o666, "container_runtime: runc"),
    ("runc", "nvidia", [], 0o666, "/nvidiactl: No such file"),
    ("runc", "nvidia", ["nvidiactl"], 0o666, "/nvidia-uvm: No such file"),
    ("runc", "nvidia", ["nvidiactl", "nvidia-uvm"], 0o666,
     "/nvidia0 and so on there are 0, not 1"),
    ("runc", "nvidia", ["nvidiactl", "nvidia-uvm", "nvidia0"], 0o660,
     "must be 0666"),
    ("runc", "amd", ["kfd"], 0o666, "engine: docker")])
def test_no_gpu(drive, devices, runtime, vendor, there, mode, why):
    for name in there:
        devices(name, mode)
    answer = drive.ask("create a runtime=%s gpu=%s:%s" % (
        runtime, vendor, devices.folder), "created", "a", error="config")
    assert why in answer["detail"], answer
