"""
test_docker.py: the Docker driver of engine.h, driven alone: against a real
engine with both runtimes, and against a fake one that fails on demand.
"""
import json
import os
import platform
import signal
import struct
import sys

import pytest

from lib import host, shared
from lib.drive import Drive

sys.path.insert(0, os.path.join(shared.TOP, "regress", "tools"))
from fakedockerd import FakeDockerd  # noqa: E402

RUNTIMES = ("runc", "runsc")
INSTANCE = "dtest%d" % os.getpid()
UID_BASE = 731000


def containers(instance=INSTANCE):
    filters = json.dumps({"label": ["takod.instance=" + instance]})
    status, rows = shared.docker_api(
        "GET", "/v1.40/containers/json?all=1&filters="
        + filters.replace('"', "%22").replace(" ", "%20"))
    assert status == 200
    return rows


def inspect(tag):
    status, answer = shared.docker_api(
        "GET", "/v1.40/containers/takod-%s-%s/json" % (INSTANCE, tag))
    assert status == 200
    return answer


def arguments(docker_host, image="none", instance=INSTANCE):
    return ("-e", "docker", "-H", docker_host, "-I", image, "-i", instance,
            "-u", str(UID_BASE))


@pytest.fixture(scope="module")
def image():
    return shared.docker_image()


@pytest.fixture
def drive(image):
    where = arguments(shared.dockerd().docker_host, image)
    with Drive(*where) as d:
        yield d
    with Drive(*where) as after:
        after.ask("reconcile", "reconciled")
    assert not containers()


@pytest.fixture
def fake():
    path = os.path.join(host.scratch(), "fake.sock")
    engine = FakeDockerd(path)
    yield engine
    engine.close()


@pytest.fixture
def fdrive(fake):
    with Drive(*arguments(fake.docker_host)) as d:
        yield d


# ---- a real engine ----------------------------------------------------------

@pytest.mark.parametrize("runtime", RUNTIMES)
def test_probe(drive, runtime):
    probe = drive.ask("probe " + runtime, "probe")
    assert probe["runtime"] == runtime
    assert "Docker Engine" in probe["version"]
    ours = "Linux version %s " % platform.release()
    assert probe["kernel"].startswith("Linux version ")
    assert probe["kernel"].startswith(ours) == (runtime == "runc")
    assert runtime in drive.ask("describe", "describe")["detail"]
    assert not containers()


def test_probe_of_what_is_not_there(drive):
    probe = drive.ask("probe crun", "probe", error="config")
    assert "daemon.json" in probe["detail"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_life(drive, runtime):
    drive.say("create a runtime=%s slot=3 env.NAME=value" % runtime)
    assert drive.wait("created", "a")["mux"] == 1
    drive.wait("hello", "a")
    pid = inspect("a")["State"]["Pid"]
    facts = drive.ask("facts a", "facts", "a")
    assert facts["oom_kills"] == 0
    assert facts["memory_peak"] > 0
    drive.say("kill a")
    drive.wait("exit", "a")
    assert not host.alive(pid)
    facts = drive.ask("facts a", "facts", "a")
    assert facts["oom_kills"] == 0
    assert facts["cpu_us"] > 0
    drive.ask("remove a", "removed", "a")
    assert not containers()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_removed_while_it_runs(drive, runtime):
    drive.ask("create a runtime=" + runtime, "created", "a")
    drive.wait("hello", "a")
    ident = inspect("a")["Id"]
    drive.ask("remove a", "removed", "a")
    assert not containers()
    assert not host.cgroups_named(ident)
    assert not drive.had("exit", "a")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_it_is_asked_for(drive, runtime):
    """X05: Everything of HostConfig that keeps a job where it belongs."""
    drive.say("create a runtime=%s slot=5 memory=134217728 cpus=0.5 pids=40 "
              "code=1000000 input=2000000 output=3000000 tmpfs=10000000 "
              "nofile=99 nproc=77 fsize=5000000 env.HOME=/elsewhere "
              "env.NAME=a=b" % runtime)
    drive.wait("created", "a")
    got = inspect("a")
    uid = 1000 if runtime == "runsc" else UID_BASE + 257 + 2 * 5
    conf, hostconf = got["Config"], got["HostConfig"]
    assert conf["User"] == "%d:%d" % (uid, uid)
    assert conf["Entrypoint"] == ["/.tako/init"]
    assert not conf["Cmd"]
    assert conf["WorkingDir"] == "/app"
    assert conf["NetworkDisabled"] is True
    assert conf["Healthcheck"] == {"Test": ["NONE"]}
    assert conf["Tty"] is False
    assert conf["Hostname"] == "tako"
    names = [e.split("=")[0] for e in conf["Env"]]
    assert len(names) == len(set(names))
    assert {"HOME=/elsewhere", "NAME=a=b", "LANG=C.UTF-8"} < set(conf["Env"])
    if runtime == "runc":
        environ = "/proc/%d/environ" % got["State"]["Pid"]
        assert "HOSTNAME=" not in host.read(environ)
    expected = {
        "Memory": 134217728, "MemorySwap": 134217728,
        "NanoCpus": 500000000, "ReadonlyRootfs": True,
        "PidsLimit": 40 + (512 if runtime == "runsc" else 16),
        "NetworkMode": "none", "IpcMode": "private",
        "CgroupnsMode": "private", "PidMode": "", "UTSMode": "",
        "UsernsMode": "", "Privileged": False, "CapAdd": None,
        "CapDrop": ["ALL"], "Devices": [], "Binds": None,
        "VolumesFrom": None, "PortBindings": None, "AutoRemove": False,
        "PublishAllPorts": False, "OomScoreAdj": 1000, "Runtime": runtime,
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    }
    assert {k: hostconf.get(k) or None for k in expected} \
        == {k: v or None for k, v in expected.items()}
    limits = {u["Name"]: (u["Soft"], u["Hard"]) for u in hostconf["Ulimits"]}
    assert limits == {"nofile": (99, 99), "nproc": (77, 77),
                      "fsize": (5000000, 5000000), "core": (1, 1)}
    sizes = {"/code": 1000000, "/input": 2000000, "/output": 3000000,
             "/tmp": 10000000}
    assert set(hostconf["Tmpfs"]) == set(sizes)
    for path, size in sizes.items():
        options = hostconf["Tmpfs"][path].split(",")
        for want in ("nosuid", "nodev", "noexec", "size=%d" % size,
                     "uid=%d" % uid, "gid=%d" % uid):
            assert want in options, (path, options)
    mount, = hostconf["Mounts"]
    assert (mount["Target"], mount["ReadOnly"]) == ("/.tako/init", True)
    assert "no-new-privileges" in hostconf["SecurityOpt"]
    assert "seccomp=unconfined" not in hostconf["SecurityOpt"]
    status = host.Process(got["State"]["Pid"]).status()
    if runtime == "runc":
        assert status["Uid"].split() == [str(uid)] * 4
        assert {status[c].strip("0") for c in
                ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    net = "/proc/%d/net/dev" % got["State"]["Pid"]
    names = [x.split(":")[0].strip() for x in host.read(net).splitlines()[2:]]
    if runtime == "runc":
        assert names == ["lo"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_least_pids(drive, runtime):
    """pids_limit may be 10: the runtime's own start must fit as well."""
    drive.ask("create a pids=10 runtime=" + runtime, "created", "a")
    drive.wait("hello", "a")


def frame(kind, payload=b""):
    return struct.pack("<B3xI", kind, len(payload)) + payload


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_oom_is_counted(drive, runtime):
    """The counters of a container that died of its memory are read in time,
    before the engine takes its control group away. Under runc tako-init
    outlives the job."""
    code = b"x = []\nwhile True: x.append(bytearray(1 << 20))"
    for i in range(5):
        tag = "o%d" % i
        drive.say("create %s memory=67108864 runtime=%s" % (tag, runtime))
        drive.wait("hello", tag)
        limits = frame(2, struct.pack("<QQII16x", 1024, 1024, 1, 1024))
        drive.ask("send %s %s" % (tag, limits.hex()), "data", tag)  # READY
        job = frame(5, b"{}") + frame(4, code) + frame(6)
        drive.say("send %s %s" % (tag, job.hex()))
        if runtime == "runsc":
            drive.wait("exit", tag)
        facts = host.wait_for("it is counted", lambda: [
            f for f in [drive.ask("facts " + tag, "facts", tag)]
            if f["oom_kills"] >= 1])[0]
        assert facts["memory_peak"] in (-1, *range(60 << 20, 65 << 20))
        drive.ask("remove " + tag, "removed", tag)


def test_no_image(drive):
    failed = drive.ask("create a image=no-such-image:1 runtime=runc",
                       "created", "a", error="no_image")
    assert "takoctl image build" in failed["detail"]
    assert not containers()


def test_no_runtime(drive):
    drive.ask("create a runtime=crun", "created", "a", error="config")
    assert not containers()


def test_name_is_taken(drive):
    """A leftover of that name goes; the next try succeeds."""
    drive.ask("create a runtime=runc", "created", "a")
    with Drive(*arguments(shared.dockerd().docker_host,
                          shared.docker_image())) as other:
        other.ask("create a runtime=runc", "created", "a", error="transient")
        host.wait_for("the leftover is removed", lambda: not containers())
        other.ask("create a runtime=runc", "created", "a")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_cancel(drive, runtime):
    drive.say("create a runtime=" + runtime)
    drive.ask("cancel a", "cancelled", "a")
    # The engine may finish what was begun: pings look for it.
    def clean():
        drive.ask("ping", "ping")
        return not containers()
    host.wait_for("the cancelled container is removed", clean, 20)
    assert not drive.had("created", "a")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_reconcile(image, runtime):
    where = arguments(shared.dockerd().docker_host, image)
    others = arguments(shared.dockerd().docker_host, image, "other")
    with Drive(*where) as former, Drive(*others) as neighbour:
        neighbour.ask("create n runtime=runc", "created", "n")
        former.ask("create a runtime=" + runtime, "created", "a")
        former.quit()
        assert len(containers()) == 1
        with Drive(*where) as now:
            now.ask("create b runtime=runc", "created", "b")
            now.ask("reconcile", "reconciled")
            assert [c["Names"] for c in containers()] \
                == [["/takod-%s-b" % INSTANCE]]
            now.ask("remove b", "removed", "b")
        assert len(containers("other")) == 1
        neighbour.ask("remove n", "removed", "n")


def test_engine_hangs(drive):
    """Row T20. A job's time is up also while the engine does not answer."""
    drive.ask("create a runtime=runc", "created", "a")
    drive.wait("hello", "a")
    pid = shared.dockerd().process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        drive.ask("kill a", "exit", "a")
        drive.ask("ping", "ping", error="deadline")
        drive.ask("create b runtime=runc deadline_ms=500", "created", "b",
                  error="deadline")
    finally:
        os.kill(pid, signal.SIGCONT)
    drive.ask("remove a", "removed", "a")

    def clean():
        drive.ask("ping", "ping", error=None)
        return not containers()
    host.wait_for("nothing is left of b", clean, 20)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_engine_killed(drive, runtime):
    drive.ask("create a runtime=" + runtime, "created", "a")
    drive.wait("hello", "a")
    shared.dockerd().kill()
    drive.ask("ping", "ping", error="away")
    drive.ask("create b runtime=runc", "created", "b", error="away")
    drive.ask("kill a", "exit", "a")
    shared.dockerd().start()
    drive.ask("ping", "ping")
    drive.ask("remove a", "removed", "a")


# ---- graphics processors ----------------------------------------------------

def test_gpu_of_amd(drive, devices):
    """The nodes of the host, and the groups that they are for."""
    devices("kfd", 0o660)
    devices("dri/renderD128")
    devices("dri/renderD129")
    drive.ask("create a runtime=runc gpu=amd:" + devices.folder, "created",
              "a")
    drive.wait("hello", "a")
    got = inspect("a")
    nodes = [devices.folder + "/" + name
             for name in ("kfd", "dri/renderD128", "dri/renderD129")]
    assert got["HostConfig"]["Devices"] == [
        {"PathOnHost": node, "PathInContainer": node,
         "CgroupPermissions": "rw"} for node in nodes]
    assert got["HostConfig"]["GroupAdd"] == ["0"]
    root = "/proc/%d/root" % got["State"]["Pid"]
    assert all(os.path.exists(root + node) for node in nodes)


@pytest.mark.parametrize("runtime,vendor,there,why", [
    ("runsc", "amd", ["kfd", "dri/renderD128"], "container_runtime: runc"),
    ("runc", "amd", [], "/kfd: No such file"),
    ("runc", "amd", ["kfd"], "/dri/renderD128 and so on there are 0, not 1"),
    ("runc", "nvidia", [], "/nvidiactl: No such file"),
    ("runc", "nvidia", ["nvidiactl"], "nvidia-container-runtime-hook")])
def test_no_gpu(fake, fdrive, devices, runtime, vendor, there, why):
    for name in there:
        devices(name)
    answer = fdrive.ask("create a runtime=%s gpu=%s:%s" % (
        runtime, vendor, devices.folder), "created", "a", error="config")
    assert why in answer["detail"], answer
    assert not fake.calls("create")


# ---- a fake engine ----------------------------------------------------------

def gone(fake, fdrive):
    """What a failed create may have left goes at a ping at the latest."""
    def clean():
        fdrive.ask("ping", "ping", error=None)
        return not fake.containers
    host.wait_for("the container is removed", clean, 20)


def test_fake_life(fake, fdrive):
    """The fake's answers are right as long as it is told nothing else; and
    an exit is noticed by the engine's word where no process can be seen."""
    fdrive.ask("create a runtime=runc", "created", "a")
    fdrive.wait("hello", "a")
    fdrive.ask("kill a", "exit", "a")
    fdrive.ask("remove a", "removed", "a")
    assert not fake.containers
    assert {entry[0] for entry in fake.log} == {
        "ping", "create", "attach", "start", "inspect", "wait", "kill",
        "delete"}
    assert all("latest" not in entry[2] for entry in fake.log)
    paths = {entry[2].split("/")[1] for entry in fake.log}
    assert paths == {"_ping", "v1.41"}


def test_images(drive, image):
    drive.ask("image " + image, "image")
    for name in ("no-such:image", "../version", "/etc", "x?all=1", "a#b",
                 "", "%41", "x" * 300):
        if name:
            drive.ask("image " + name, "image", error="no_image")


@pytest.mark.parametrize("kind,value,error", [
    ("status", 404, "no_image"), ("status", 500, None), ("close", None, None),
    ("garbage", None, None)])
def test_faults_of_images(fake, fdrive, kind, value, error):
    # A first call, so that the engine's version is known.
    fdrive.ask("image some:name", "image")
    fake.fault("image", kind, value)
    answer = fdrive.ask("image some:name", "image", error=error)
    # A connection that was idle may have ended: then it is asked anew.
    assert answer["error"] != "ok" or kind == "close"
    fdrive.ask("image some:name", "image")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_proof(drive, runtime, image):
    drive.ask("probe " + runtime, "probe")
    drive.ask("create a runtime=%s memory=134217728 cpus=0.5" % runtime,
              "created", "a")
    drive.wait("hello", "a")
    proof = drive.ask("proof a", "proof", "a")["proof"]
    assert proof["runtime"] == runtime
    assert proof["image"] == inspect("a")["Image"]
    assert proof["limits"]["memory_bytes"] == 134217728
    assert proof["limits"]["cpus"] == 0.5
    assert proof["network"] == "none"
    pid = inspect("a")["State"]["Pid"]
    for name, number in proof["namespaces"].items():
        there = os.stat("/proc/%d/ns/%s" % (pid, name)).st_ino
        own = os.stat("/proc/self/ns/" + name).st_ino
        assert number == ("host" if there == own else there)
    drive.say("kill a")
    drive.wait("exit", "a")
    # Its number may be another process' now: nothing is read of that.
    proof = drive.ask("proof a", "proof", "a")["proof"]
    assert set(proof) == {"image", "runtime", "runtime_version",
                          "engine_version"}
    drive.ask("remove a", "removed", "a")


def test_proof_where_nothing_can_be_seen(fake, fdrive):
    """An engine whose processes are not on this host proves by its word."""
    fdrive.ask("create a runtime=runc", "created", "a")
    proof = fdrive.ask("proof a", "proof", "a")["proof"]
    assert proof == {"image": None, "runtime": None, "runtime_version": None,
                     "engine_version": None}
    fdrive.ask("remove a", "removed", "a")


STEPS = ("create", "attach", "start", "inspect")
# A connection that was open before and closes without an answer is no fault
# of the call: libcurl asks once more, and the second answer counts.
AGAIN = "away ok"
FAULTS = (
    ("status", 500, "transient"), ("status", 409, "transient"),
    ("status", 400, "config"), ("status", 507, "transient"),
    ("done", 500, "transient"), ("hang", None, "deadline"),
    ("hang_done", None, "deadline"), ("close", None, AGAIN),
    ("cut", None, "away"), ("garbage", None, "away"), ("empty", None, "away"),
    ("raw", b"\0\xff\r\n\r\n", "away"), ("raw", b"HTTP/1.1 200", AGAIN),
    ("endless_head", None, "away"),
    ("endless_body", None, "away deadline"),
)
# Answers without a body, or which are a stream from then on: not to be bent.
MAKES_NO_SENSE = {("attach", k) for k in ("done", "hang_done", "cut",
                                          "garbage", "empty",
                                          "endless_body")} \
    | {("start", k) for k in ("cut", "garbage", "empty", "endless_body")}


@pytest.mark.parametrize("call,kind,value,error", [
    (call, *fault) for call in STEPS for fault in FAULTS
    if (call, fault[0]) not in MAKES_NO_SENSE])
def test_fault_while_making(fake, fdrive, call, kind, value, error):
    """Rows T21, T22 of the fault catalogue."""
    if call == "attach":
        error = "transient" if kind == "status" else error.split()[0]
    fake.fault(call, kind, value)
    failed = fdrive.ask("create a runtime=runc deadline_ms=%d" % (
        1000 if "deadline" in error else 20000), "created", "a", error=None)
    assert failed["error"] in error.split(), failed
    if failed["error"] == "ok":
        fdrive.ask("remove a", "removed", "a")
    else:
        assert failed["detail"]
    gone(fake, fdrive)
    fdrive.ask("create b runtime=runc", "created", "b")
    fdrive.wait("hello", "b")
    assert fdrive.process.poll() is None


@pytest.mark.parametrize("head", [
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream"
    b"\r\n\r\n",
    b"HTTP/1.0 101 UPGRADED\r\n\r\n",
    b"HTTP/1.1 101 UPGRADED \r\n\r\n",
    b" HTTP/1.1 101 UPGRADED\r\n\r\n",
    b"HTTP/1.1 1010UPGRADED\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nX: 101 UPGRADED\r\n\r\n",
    b"HTTP/1.1 101 UPGRADED\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
], ids=["text", "200", "http-1.0", "blank", "shifted", "1010", "404", "long"])
def test_only_an_upgrade_is_handed_out(fake, fdrive, head):
    """A connection that may still speak HTTP never leaves the driver."""
    fake.fault("attach", "raw", head)
    failed = fdrive.ask("create a runtime=runc", "created", "a", error=None)
    assert failed["error"] in ("transient", "away")
    gone(fake, fdrive)


@pytest.mark.parametrize("kind,value", [
    ("status", 500), ("close", None), ("garbage", None), ("cut", None)])
def test_wait_is_asked_again(fake, fdrive, kind, value):
    fake.fault("wait", kind, value)
    fdrive.ask("create a runtime=runc", "created", "a")
    if kind in ("garbage", "cut"):
        fdrive.ask("kill a", "exit", "a")
    else:
        fake.wait_call("wait", count=2)
        fdrive.ask("kill a", "exit", "a")
    fdrive.ask("remove a", "removed", "a")


@pytest.mark.parametrize("kind,value", [
    ("status", 500), ("close", None), ("hang_done", None), ("done", 500)])
def test_removal_fails(fake, fdrive, kind, value):
    """It is told, and tried again at each ping."""
    fdrive.ask("create a runtime=runc", "created", "a")
    fake.fault("delete", kind, value)
    fdrive.ask("remove a", "removed", "a", error=None, seconds=25)
    gone(fake, fdrive)


def test_removal_is_under_way_already(fake, fdrive):
    fdrive.ask("create a runtime=runc", "created", "a")
    for _ in range(3):
        fake.fault("delete", "status", 409)
    fdrive.ask("remove a", "removed", "a")
    assert not fake.containers


def test_removed_by_somebody_else(fake, fdrive):
    fdrive.ask("create a runtime=runc", "created", "a")
    with fake.lock:
        container, = fake.containers.values()
        fake.containers.clear()
    container.ended.set()
    fdrive.wait("exit", "a")
    fdrive.ask("remove a", "removed", "a")


def test_an_engine_too_old(fake, fdrive):
    fake.version = "1.39"
    failed = fdrive.ask("create a runtime=runc", "created", "a",
                        error="config")
    assert "1.40" in failed["detail"]
    assert not fake.calls("create")


def test_no_engine(fake):
    with Drive(*arguments(fake.docker_host + ".no")) as d:
        d.ask("ping", "ping", error="away")
        d.ask("probe runc", "probe", error="away")
        d.ask("create a runtime=runc", "created", "a", error="away")


def test_probe_of_a_runtime_that_is_not_gvisor(image):
    """A runtime that only has gVisor's name is found out."""
    from lib.dockerd import Dockerd
    liar = Dockerd(os.path.join(host.scratch(), "liar"),
                   runtimes={"runsc": {"path": "runc"}})
    try:
        with Drive(*arguments(liar.docker_host)) as d:
            d.ask("probe runsc", "probe", error="no_image")
    finally:
        liar.stop()


def test_probe_says_what_failed(fake, fdrive):
    """The fake runs nothing: the stream greets, but shows no kernel."""
    fdrive.say("probe runsc")
    fake.wait_call("inspect")  # so the start is done
    with fake.lock:
        container, = fake.containers.values()
    container.stream.shutdown(1)
    probe = fdrive.wait("probe", error="config")
    assert "python3" in probe["detail"]
    gone(fake, fdrive)
