"""
test_t_engine.py: rows T18 to T24 of the fault catalogue: the Docker engine
stops, is killed, hangs, answers wrongly, loses containers and streams. A real
engine, behind a proxy; regress/engine tries its driver with a fake one.
"""
import os
import re
import subprocess
import threading
import time

import pytest

from lib import host, shared
from lib.fault import Client, Waiting
from lib.proxy import DockerProxy
from lib.takod import Takod

CONFIG = {"warm_pool_size": 1, "max_workers": 4, "queue_wait_timeout": 1,
          "retry_base_delay": 0.2, "drain_timeout": 5,
          "job_types": [{"name": "open", "network_enabled": True,
                         "warm_pool_size": 0}]}


class Place:
    def __init__(self):
        path = os.path.join(host.scratch(), "fault-docker.sock")
        self.image = shared.docker_image()
        self.proxy = DockerProxy(path, shared.dockerd().docker_host)
        self.takod = self.start()

    def start(self, **config):
        return Takod("docker", "runc", config={
            **CONFIG, "docker_host": self.proxy.docker_host, **config})

    def close(self):
        self.proxy.clear()
        if shared.dockerd().process is None:
            shared.dockerd().start()
        self.takod.close()
        self.proxy.close()


@pytest.fixture(scope="module")
def place(shared_things):
    here = Place()
    yield here
    here.close()


@pytest.fixture
def client(place):
    """The daemon of all tests here, well again after each."""
    place.proxy.clear()
    one = Client(place.takod, proxy=place.proxy)
    well(one)
    yield one
    place.proxy.clear()
    well(one)
    one.succeeds(one.must_submit())
    one.check()


def well(client):
    """The engine answers, and the breaker lets jobs through."""
    def probe():
        answer = client.takod.get("/health")[2]
        return (answer["docker_available"]
                and answer["circuit_breaker"]["state"] != "open")
    host.wait_for("the engine answers", probe, 60, 0.1)


def runs(client, job):
    host.wait_for("its code runs", lambda: [
        w for w in client.takod.workers() if w["job_id"] == job
        and w["state"] == "running"], 30)


# ---- T18, T19: the engine is gone -------------------------------------------

def test_t18_engine_stopped(place, client):
    """What waits goes on waiting; what the engine took with it has an end."""
    running = client.must_submit(30)
    runs(client, running)
    shared.dockerd().pause()
    try:
        record = client.ended(running, 20)
        assert record["status"] == "failed", record
        assert record["error"]["type"] in ("sandbox_died", "interrupted")
        host.wait_for("it is seen", lambda: not client.healthy())
        queued = [client.must_submit() for _ in range(3)]
        with Waiting(client, 2):
            assert client.takod.get("/jobs/" + queued[0])[2][
                "status"] == "pending"
    finally:
        shared.dockerd().start()
    for job in queued:
        client.succeeds(job, 60)


def orphans():
    """Processes in groups of containers that the engine does not know."""
    known = {row["Id"] for row in shared.docker_api(
        "GET", "/containers/json?all=1")[1]}
    return [host.Process(pid).argv
            for top in host.cgroups_named(shared.dockerd().cgroup)
            for folder, _, _ in os.walk(top)
            if len(os.path.basename(folder)) == 64
            and os.path.basename(folder) not in known
            for pid in host.cgroup_pids(folder) if host.alive(pid)]


@pytest.mark.parametrize("kind, value", [("error", 500), ("half", None)])
def test_t19_no_list_of_what_is_left(place, client, kind, value):
    """takod was killed, and is not told at first what it left."""
    def left():
        return {row["Id"] for row in place.takod.docker_containers()}
    host.wait_for("a slot", left)
    former = left()
    place.takod.kill9()
    place.proxy.rule("list", kind, value)
    place.takod.start()
    host.wait_for("it is gone", lambda: not former & left())


MOMENTS = ["create", "start", "starting", "running", "delete"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_t19_engine_killed(place, client, moment):
    """
    kill -9 while it works on a call: the code starts once, or never, and no
    process is left (I4). What a shim keeps for itself is the engine's.
    """
    dead, begun = [], []

    def kill():
        if not begun:
            begun.append(1)
            # "starting": some time after it was asked, about when a shim
            # has made the first process.
            threading.Timer(0.07 if moment == "starting" else 0, end).start()

    def end():
        shared.dockerd().kill()
        dead.append(1)
    if moment != "running":
        place.proxy.rule(moment.replace("ing", ""), "cut_sent", then=kill)
    jobs = [client.must_submit(0.3) for _ in range(2)]
    if moment == "running":
        jobs.append(client.must_submit(4))
        runs(client, jobs[-1])
        kill()
    host.wait_for("the engine is killed", lambda: dead, 30)
    time.sleep(0.2)  # it stays away for a moment
    shared.dockerd().start()
    for job in jobs:
        record = client.ended(job, 60)
        # Its containers end with a killed engine's next start.
        assert record["status"] == "succeeded" or record["error"]["type"] in (
            "sandbox_died", "interrupted", "internal_error"), record
    client.idle()
    # An engine that is killed within a start may leave the container's first
    # process to a shim, and know of no process afterwards.
    host.wait_for("takod ends what the engine forgot",
                  lambda: not orphans(), 20)


@pytest.mark.parametrize("moment", ["start", "inspect"])
def test_t19_engine_killed_while_connecting(place, client, moment):
    """It works on the container that holds the network of another one."""
    dead = []

    def kill():
        shared.dockerd().kill()
        dead.append(1)
    place.proxy.rule(moment, "cut_sent", then=kill)
    job = client.must_submit(job_type="open")
    host.wait_for("the engine is killed", lambda: dead, 30)
    shared.dockerd().start()
    record = client.ended(job, 60)
    assert record["status"] == "succeeded", record
    client.idle()
    host.wait_for("takod ends what the engine forgot",
                  lambda: not orphans(), 20)
    host.wait_for("its files are gone", lambda: not os.listdir(
        place.takod.data_dir + "/networks"))


# ---- T20: the engine hangs --------------------------------------------------

def test_t20_hangs_while_making(place, client):
    """Each call has a deadline; the job is tried again, and not blamed."""
    calls = ("create", "attach", "start", "inspect")
    # One job may meet them all.
    place.takod.write_config(max_retry_attempts=len(calls) + 1)
    place.takod.takoctl("reload", check=True)
    try:
        for call in calls:
            place.proxy.rule(call, "hang")
        jobs = [client.must_submit() for _ in range(4)]
        for call in calls:
            place.proxy.wait(call)
        for job in jobs:
            client.succeeds(job, 120)
    finally:
        place.takod.write_config(max_retry_attempts=None)
        place.takod.takoctl("reload", check=True)


def test_t20_remove_hangs(place, client):
    """A slot is not given out again before its container is proven gone."""
    hung = place.proxy.rule("delete", "error", 500, times=6)
    job = client.must_submit()
    client.succeeds(job)
    mine = place.proxy.ran[client.inv.tokens[job]]
    host.wait_for("the removal failed", lambda: hung.times < 6)
    ident = next(iter(mine))
    while hung.times > 0:
        left = [c for c in client.takod.docker_containers()
                if c["Id"] == ident]
        assert left
        assert "its slot stays taken" in client.takod.log()
        time.sleep(0.2)
    host.wait_for("it is removed", lambda: not [
        c for c in client.takod.docker_containers() if c["Id"] == ident], 15)


# ---- T21, T22: wrong answers ------------------------------------------------

RAW = b"HTTP/1.1 200 OK\r\n\r\n{\"Id\": "
WRONG = [("create", "error", 500), ("create", "error", 409),
         ("create", "error", 507), ("create", "done", 500),
         ("create", "half", None), ("create", "raw", RAW),
         ("attach", "error", 500), ("attach", "raw", RAW),
         ("start", "error", 500), ("start", "done", 500),
         ("inspect", "half", None), ("inspect", "raw", RAW)]


def test_t21_wrong_answers(place, client):
    """Statuses and answers that no engine should give: never the job's."""
    for call, kind, value in WRONG:
        place.proxy.clear()
        rule = place.proxy.rule(call, kind, value)
        jobs = [client.must_submit() for _ in range(2)]
        for job in jobs:
            client.succeeds(job, 60)
        assert rule.times == 0 or kind == "done", (call, kind, value)


def test_t21_image_is_missing(place, client):
    """404 of create: the record says what to do about it."""
    place.proxy.rule("create", "error", 404, times=20)
    jobs = [client.must_submit() for _ in range(3)]
    records = [client.ended(job, 60) for job in jobs]
    told = [r for r in records if r["status"] == "failed"]
    assert told and all(r["error"]["type"] == "config_error" and
                        "takoctl image build" in r["error"]["message"]
                        for r in told), records
    # Its breaker may be open for half a minute now: not what is tried next.
    place.proxy.clear()
    place.takod.stop()
    place.takod.start()


def test_t21_late(place, client):
    """Slow answers: the limit counts from when the code began."""
    for call in ("create", "start", "inspect"):
        place.proxy.rule(call, "delay_done", 3, times=2)
    jobs = [client.must_submit(0.5, timeout=5, startup_timeout=60)
            for _ in range(3)]
    for job in jobs:
        record = client.ended(job, 60)
        assert record["status"] == "succeeded", record


@pytest.mark.parametrize("call", ["create", "start"])
def test_t22_endless_head(place, client, call):
    place.proxy.rule(call, "endless_head")
    jobs = [client.must_submit() for _ in range(2)]
    with Waiting(client):
        pass
    for job in jobs:
        client.succeeds(job, 60)
    with open("/proc/%d/status" % client.takod.pid) as file:
        rss = next(int(line.split()[1]) for line in file
                   if line.startswith("VmRSS"))
    assert rss < 64 * 1024


# ---- T23: somebody else's hand ----------------------------------------------

def container_of(place, client, job):
    token = client.inv.tokens[job]
    return next(iter(host.wait_for(
        "its code is in a container", lambda: place.proxy.ran[token])))


@pytest.mark.parametrize("how", ["kill", "stop?t=0", "delete", "pause"])
def test_t23_third_party(place, client, how):
    """The record says that it was neither the job nor its limit."""
    job = client.must_submit(20, timeout=4 if how == "pause" else 30)
    ident = container_of(place, client, job)
    if how == "delete":
        status, _ = shared.docker_api(
            "DELETE", "/containers/%s?force=1" % ident)
    else:
        status, _ = shared.docker_api(
            "POST", "/containers/%s/%s" % (ident, how))
    assert status == 204
    record = client.ended(job, 30)
    assert record["status"] == "failed", record
    assert record["error"]["type"] == "interrupted", record
    assert "killed_externally" in record["error"]["message"]
    host.wait_for("the container is gone", lambda: not [
        c for c in client.takod.docker_containers() if c["Id"] == ident], 20)


def test_t23_image_deleted(place, client):
    """
    Deleted while takod runs: jobs say so, and run again once it is back. The
    row of T23 calls it internal_error(image_missing); what somebody can mend
    has the type config_error, and the mend is in its message.
    """
    tag = subprocess.run(
        ["docker", "-H", shared.dockerd().docker_host, "tag",
         "code-executor:latest", "kept:1"], capture_output=True)
    assert tag.returncode == 0, tag.stderr
    shared.docker_api("DELETE", "/images/code-executor:latest?noprune=1")
    try:
        jobs = [client.must_submit() for _ in range(3)]
        records = [client.ended(job, 60) for job in jobs]
    finally:
        shared.docker_api(
            "POST", "/images/kept:1/tag?repo=code-executor&tag=latest")
        shared.docker_api("DELETE", "/images/kept:1?noprune=1")
    failed = [r for r in records if r["status"] == "failed"]
    assert failed and all(r["error"]["type"] == "config_error" and
                          "takoctl image build" in r["error"]["message"]
                          for r in failed), records


# ---- T24: the stream --------------------------------------------------------

def test_t24_stream_breaks(place, client):
    job = client.must_submit(20, timeout=30)
    ident = container_of(place, client, job)
    place.proxy.cut_streams()
    record = client.ended(job, 20)
    assert record["status"] == "failed", record
    assert record["error"]["type"] == "internal_error", record
    assert record["takod"]["output_incomplete"] is True
    assert "RAN-" in record["stdout"]
    host.wait_for("the container is gone", lambda: not [
        c for c in client.takod.docker_containers() if c["Id"] == ident], 20)


# ---- X08: what is asked of an engine ----------------------------------------

CALLS = {"ping", "info", "create", "attach", "start", "inspect", "wait",
         "kill", "delete", "list", "image"}


def test_x08_calls(place, client):
    """No other call is made than those takod needs, whatever went wrong."""
    job = client.must_submit()
    client.succeeds(job)
    job = client.must_submit(20, timeout=1)
    client.ended(job)
    client.succeeds(client.must_submit(job_type="open"))
    with place.proxy.lock:
        names = {re.sub(r"GET /images/[\w.:-]+/json", "image", name)
                 for name, _ in place.proxy.log}
        specs = list(place.proxy.specs)
    assert names <= CALLS, names - CALLS
    modes = set()
    for spec in specs:
        conf = spec["HostConfig"]
        assert not conf.get("Privileged") and not conf.get("Binds")
        assert conf["CapDrop"] == ["ALL"] and not conf.get("CapAdd")
        assert conf["ReadonlyRootfs"]
        networks = ["none", "container:%s-net" % spec["Labels"]["takod.name"]]
        modes.add(networks.index(conf["NetworkMode"]))
        for mode in ("PidMode", "UTSMode", "UsernsMode"):
            assert conf.get(mode) in (None, "", "private"), (mode, conf)
        own = "/etc/hosts", "/etc/resolv.conf"
        assert [m["Target"] for m in conf["Mounts"]] == ["/.tako/init", *(
            own if conf["NetworkMode"] != "none" else ())]
        assert all(m["ReadOnly"] for m in conf["Mounts"])
    assert modes == {0, 1}
