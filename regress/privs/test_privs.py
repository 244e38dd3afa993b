"""
test_privs.py: what each process may do, read from /proc of a running takod:
ids, capabilities, no_new_privs, seccomp, dumpable, limits, environment and
every descriptor. Without this a filter rots.
"""
import json
import os
import re

import pytest

from lib import host, shared


def golden():
    """{process: {call: how}} as regress/unit/promises found it."""
    with open(os.path.join(shared.TOP, "regress", "unit",
                           "promises.golden")) as file:
        parts = re.split(r"(?m)^\[(.*)\]\n", file.read())[1:]
    return {name: dict(re.findall(r"(?m)^(\w+): (.+)$", text))
            for name, text in zip(parts[::2], parts[1::2])}


GOLDEN = golden()


def status(pid):
    with open("/proc/%d/status" % pid) as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file
                    if ":\t" in line)


def descriptors(pid):
    """{number: what it is}"""
    found = {}
    for name in os.listdir("/proc/%d/fd" % pid):
        try:
            found[int(name)] = re.sub(
                r"\d+", "N", os.readlink("/proc/%d/fd/%s" % (pid, name)))
        except OSError:
            pass
    return found


def limits(pid):
    with open("/proc/%d/limits" % pid) as file:
        return {line[:26].strip(): line[26:47].strip()
                for line in file.read().splitlines()[1:]}


def settled(takod):
    """Pids of tako-api and of workers whose interpreter waits."""
    def ready():
        stats = takod.get("/pool/stats")[2]
        return stats["takod"]["slots_ready"] >= 2
    host.wait_for("the warm pool is full", ready, 60)
    return takod.children("tako-api"), takod.children("tako-worker")


@pytest.fixture(scope="module")
def daemon(takod):
    return takod


def both(daemon):
    api, workers = settled(daemon)
    assert len(api) == 1 and len(workers) >= 2
    return api + workers


def test_children_are_unprivileged(daemon):
    for pid in both(daemon):
        now = status(pid)
        for kind in ("Uid", "Gid"):
            ids = set(now[kind].split())
            assert len(ids) == 1 and int(ids.pop()) > 65535, now[kind]
        assert now["Groups"].strip() == ""
        for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(now[caps], 16) == 0, (caps, now[caps])
        assert now["NoNewPrivs"].strip() == "1"


def test_children_are_filtered(daemon, sanitized):
    for pid in both(daemon):
        if not sanitized:
            assert status(pid)["Seccomp"].strip() == "2"
        # Not dumpable: its /proc belongs to root.
        assert os.stat("/proc/%d/mem" % pid).st_uid == 0


def test_each_worker_has_its_own_id(daemon):
    pids = both(daemon)
    ids = [status(pid)["Uid"].split()[0] for pid in pids]
    assert len(set(ids)) == len(ids)


def test_children_are_in_the_void(daemon):
    """Namespaces of their own, of which all but the cgroups' are empty; the
    workers' network is one for all, but not tako-api's."""
    seen, networks = [], []
    for pid in both(daemon):
        for kind in ("user", "pid", "net", "ipc", "uts", "mnt"):
            mine = os.readlink("/proc/%d/ns/%s" % (pid, kind))
            assert mine != os.readlink("/proc/self/ns/" + kind)
            (networks if kind == "net" else seen).append(mine)
        assert os.listdir("/proc/%d/root/" % pid) == []
        mounts = host.read("/proc/%d/mountinfo" % pid).splitlines()
        assert len(mounts) == 1 and " / / ro," in mounts[0], mounts
        devices = host.read("/proc/%d/net/dev" % pid).splitlines()[2:]
        assert [line.split(":")[0].strip() for line in devices] == ["lo"]
        assert host.read("/proc/%d/net/unix" % pid).count("\n") == 1
        assert status(pid)["NSpid"].split() == [str(pid), "1"]
        # What is short of memory takes it from them, not from the parent.
        assert host.read("/proc/%d/oom_score_adj" % pid).strip() == "500"
    # They borrowed its memory when they started, and the kernel gives one
    # score to those who share it.
    assert host.read("/proc/%d/oom_score_adj" % daemon.pid) == \
        host.read("/proc/self/oom_score_adj")
    assert len(set(seen)) == len(seen)
    assert networks[0] not in networks[1:]
    assert len(networks) > 2 and len(set(networks[1:])) == 1


def test_networks_without_a_capability(start):
    """Where takod may not enter one, each child has its own."""
    daemon = start("docker", "runc", "sqlite", config={
        "warm_pool_size": 2, "allow_runtime_requirements": False,
        "job_types": [{"name": name} for name in (
            "default", "data-processing", "ml-inference")]})
    networks = [os.readlink("/proc/%d/ns/net" % pid) for pid in both(daemon)]
    assert len({os.readlink("/proc/self/ns/net"), *networks}) == \
        len(networks) + 1


def test_limits(daemon):
    for pid in both(daemon):
        now = limits(pid)
        assert now["Max processes"] == "0"
        assert now["Max core file size"] == "0"
        assert int(now["Max open files"]) <= 65536
        assert now["Max file size"] != "unlimited"
    for pid in settled(daemon)[1]:
        assert limits(pid)["Max cpu time"] == str(
            600 + daemon.keys["max_timeout"])


def test_environment_is_empty(daemon, sanitized):
    for pid in both(daemon):
        with open("/proc/%d/environ" % pid, "rb") as file:
            assert file.read() == b""
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            # Its name, how it logs, and the number it has on the host.
            assert re.fullmatch(rb"tako-(api|worker)\0[0-4][tjp]%d\0" % pid,
                                file.read())


COMMON = {0: "/dev/null", 1: "/dev/null", 3: "socket:[N]"}


def test_descriptors_of_the_front(daemon):
    api = settled(daemon)[0][0]
    found = descriptors(api)
    for number, what in COMMON.items():
        assert found[number] == what
    rest = [w for n, w in found.items() if n not in (0, 1, 2, 3)]
    allowed = {"socket:[N]", "anon_inode:[eventpoll]", "anon_inode:[eventfd]",
               "anon_inode:[timerfd]", "pipe:[N]"}
    assert set(rest) <= allowed, found
    assert len(rest) <= 16


def test_descriptors_of_a_worker(daemon):
    for worker in settled(daemon)[1]:
        found = descriptors(worker)
        for number, what in COMMON.items():
            assert found[number] == what
        rest = sorted(w for n, w in found.items() if n > 3)
        folders = [w for w in rest if "/spool/" in w]
        assert len(folders) == 1, found
        allowed = {"socket:[N]", "anon_inode:[eventpoll]",
                   "anon_inode:[eventfd]", "anon_inode:[timerfd]",
                   "pipe:[N]", folders[0]}  # a pipe: libevent's signals
        assert set(rest) <= allowed, found
        assert len(rest) <= 8, found


# What shut.c leaves takod: for either engine, for networks of a Docker
# engine's containers, which the built-in types may need to install packages,
# and for runtimes of its own.
CAPS = ("CHOWN DAC_OVERRIDE FOWNER KILL SETGID SETUID SETPCAP "
        "NET_BIND_SERVICE SYS_PTRACE").split()
CAPS_OF_NETWORKS = "SYS_ADMIN NET_ADMIN MKNOD".split()
CAPS_OF_RUNTIMES = ("SYS_ADMIN SYS_CHROOT NET_ADMIN FSETID MKNOD NET_RAW "
                    "SETFCAP AUDIT_WRITE").split()
NUMBERS = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5,
           "SETGID": 6, "SETUID": 7, "SETPCAP": 8, "NET_BIND_SERVICE": 10,
           "NET_ADMIN": 12, "NET_RAW": 13, "SYS_CHROOT": 18,
           "SYS_PTRACE": 19, "SYS_ADMIN": 21, "MKNOD": 27, "AUDIT_WRITE": 29,
           "SETFCAP": 31}


def test_parent_keeps_what_its_engine_needs(combo, sanitized):
    now = status(combo.pid)
    names = CAPS + (CAPS_OF_RUNTIMES if combo.engine == "oci"
                    else CAPS_OF_NETWORKS)
    mask = sum(1 << NUMBERS[name] for name in names)
    for caps in ("CapPrm", "CapEff", "CapBnd"):
        assert int(now[caps], 16) == mask, (caps, now[caps])
    assert int(now["CapInh"], 16) == int(now["CapAmb"], 16) == 0
    assert now["NoNewPrivs"].strip() == "1"
    if not sanitized:
        assert now["Seccomp"].strip() == "2"


def test_no_job_misses_what_the_parent_is_denied():
    """A job under runc inherits the parent's filter."""
    with open(os.path.join(shared.TOP, "etc", "seccomp.json")) as file:
        profile = json.load(file)
    allowed = {name for rule in profile["syscalls"]
               if rule["action"] == "SCMP_ACT_ALLOW"
               for name in rule["names"]}
    denied = GOLDEN["takod, engine oci"]
    assert len(allowed) > 200 and len(denied) > 25
    assert not allowed & set(denied)


def manual_lists():
    """{list or group: its calls} of tako-sandbox.7."""
    with open(os.path.join(shared.TOP, "man", "tako-sandbox.7")) as file:
        parts = re.split(r"(?m)^\.\\\" (?:list|group): (.*)\n", file.read())[1:]
    found = {}
    for name, text in zip(parts[::2], parts[1::2]):
        text = re.split(r"(?m)^\.(?:It|El)\b", text)[0]
        words = " ".join(re.findall(r"(?m)^\.Ic (.*)$", text))
        found[name] = set(re.findall(r"\w+", words))
    return found


def test_manual_has_every_call():
    """The groups of tako-sandbox.7 add up to what the filters let through."""
    lists = manual_lists()
    oci, docker, alone = (lists.pop("takod, engine " + name) for name in (
        "oci", "docker", "docker alone"))
    assert oci == set(GOLDEN["takod, engine oci"])
    assert oci | docker == set(GOLDEN["takod, engine docker with networks"])
    assert oci | docker | alone == set(GOLDEN["takod, engine docker"])
    both = lists["stdio"] | lists["recvfd"] | lists["memfd"] | lists["fails"]
    assert both | lists["accept"] == set(GOLDEN["tako-api"])
    assert both | lists["artifact"] == set(GOLDEN["tako-worker"])
    assert both == set(GOLDEN["tako-words"])
    failing = {call for who in ("tako-api", "tako-worker")
               for call, how in GOLDEN[who].items() if "fails" in how}
    assert failing == lists["fails"]


def test_parent_is_closed_to_others(daemon):
    assert os.stat("/proc/%d/mem" % daemon.pid).st_uid == 0
    assert oct(os.stat(daemon.data_dir).st_mode & 0o777) == "0o700"
    socket = os.path.join(daemon.data_dir, "takod.sock")
    assert oct(os.stat(socket).st_mode & 0o777) == "0o660"


def test_secrets_stay_with_the_parent(daemon):
    """X03: The canary of the parent's environment is in no child and no log."""
    from conftest import CANARY
    for pid in both(daemon):
        for name in ("environ", "cmdline"):
            with open("/proc/%d/%s" % (pid, name), "rb") as file:
                assert CANARY.encode() not in file.read()
    assert CANARY not in daemon.log()
    seen = daemon.execute(
        "import os; print(dict(os.environ)); "
        "print(open('/proc/1/environ').read() "
        "if os.access('/proc/1/environ', os.R_OK) else '')")
    assert CANARY not in seen["stdout"]
