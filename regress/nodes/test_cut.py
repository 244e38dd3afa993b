"""
A node that cannot reach its database, or whose clock is wrong: what it holds
it holds no longer than others may rely on.
"""
import datetime
import glob
import os
import signal
import threading
import time

import pytest

from lib import host, postgres, shared
from lib.cluster import Cluster
from lib.wire import Wire

LEASE = 6  # the order of its parts is looked at: not the least one


@pytest.fixture
def cluster(shared_things):
    made = []

    def make(*args, **more):
        made.append(Cluster(*args, **more))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture
def wire(shared_things):
    one = Wire(shared.postgres().port)
    yield one
    one.close()


def groups_of(node, job):
    """Control groups of the container that has the job there."""
    names = [w["container"] for w in node.workers() if w["job_id"] == job]
    return {name: host.cgroups_named(name) for name in names}


def test_cut_off(cluster, wire):
    """What it cannot hold it kills, before anybody else takes it up."""
    pair = cluster(0, lease_seconds=LEASE)
    port = shared.postgres().port
    near = pair.add("near")
    far = pair.add("far", database_url=pair.url.replace(
        ":%d/" % port, ":%d/" % wire.port))

    # Less than a lease: nothing is lost.
    job = pair.hold(far, 3)[0]
    wire.cut()
    lines = far.log().count("postgresql is")
    far.get("/health")  # it answers without its database
    wire.mend()
    host.wait_for("it saw that the connection broke", lambda: far.log().count(
        "postgresql is") >= lines + 2, 30)
    assert pair.wait(near, job)["status"] == "succeeded"

    jobs = pair.hold(far, 60, 60)
    groups = [g for j in jobs for g in groups_of(far, j).values()]
    assert all(groups) and len(groups) == 2
    wire.cut()

    def taken_up():
        ended = [pair.row(j)["status"] != "running" for j in jobs]
        left = [pid for several in groups for group in several
                for pid in host.cgroup_pids(group)]
        assert not (any(ended) and left), (ended, left)
        return all(ended)
    host.wait_for("the other one takes them up", taken_up, 3 * LEASE + 10)
    for job in jobs:
        assert pair.wait(near, job)["error"]["type"] == "interrupted"
    assert far.log().count("the lease could not be extended in time") == 2
    wire.mend()
    late = "somebody else ended it; our end is dropped"
    host.wait_for("its own ends come too late", lambda: far.log().count(
        late) == 2, 30)
    job, _ = pair.submit(far)
    assert pair.wait(near, job)["status"] == "succeeded"
    pair.check()


def test_alone(cluster, wire):
    """Nobody else could take it up: a long outage ends no job."""
    one = cluster(0, lease_seconds=3)
    far = one.add("alone", database_url=one.url.replace(
        ":%d/" % shared.postgres().port, ":%d/" % wire.port))
    job = one.hold(far, 6)[0]  # two leases
    groups = [g for several in groups_of(far, job).values() for g in several]
    wire.cut()
    host.wait_for("it has run to its end", lambda: not any(
        host.cgroup_pids(g) for g in groups), 30)
    assert one.row(job)["status"] == "running"
    wire.mend()
    host.wait_for("its end is recorded",
                  lambda: one.row(job)["status"] != "running", 30)
    assert one.wait(far, job)["status"] == "succeeded"
    assert "could not be extended" not in far.log()
    one.check()


def test_late_answer(cluster, wire):
    """Told that it may hand code over, after the job was taken from it."""
    pair = cluster(0, max_workers=1, warm_pool_size=0, lease_seconds=8)
    near = pair.add("near")
    # Slow: its answers are held before it asks whether it may begin.
    far = pair.add("far", slow=2, database_url=pair.url.replace(
        ":%d/" % shared.postgres().port, ":%d/" % wire.port))
    kept = pair.hold(near, 60)
    job, token = pair.submit(far)
    host.wait_for("it has claimed the job", lambda: pair.row(job)[
        "status"] == "running", 20, 0)
    wire.hold_answers()
    row = host.wait_for("it has asked to begin", lambda: [
        r for r in [pair.row(job)] if r["code_started"]], 20)[0]
    assert row["status"] == "running" and row["owner"].startswith("far#")
    host.signal_pid(far.pid, signal.SIGSTOP)
    try:
        wire.let_answers()
        record = pair.wait(near, job)
        assert record["error"]["type"] == "interrupted"
    finally:
        host.signal_pid(far.pid, signal.SIGCONT)
    host.wait_for("it knows better", lambda: "job %s: no longer surely ours"
                  % job in far.log(), 10)
    host.wait_for("its container is gone",
                  lambda: not far.container_pids(), 15)
    assert token not in host.read(pair.taps[1])
    for each in kept:
        near.post("/jobs/%s/cancel" % each)
        pair.wait(near, each)
    pair.check()


def faketime():
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    assert found, "package faketime is missing"
    return found[0]


def test_wrong_clocks(cluster):
    """An hour fast and an hour slow: leases and records are as they should."""
    trio = cluster(1)
    for name, offset in (("fast", "+3600"), ("slow", "-3600")):
        # Its children have an environment of their own, without this.
        trio.add(name, env={
            "LD_PRELOAD": faketime(), "FAKETIME": offset,
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
            "ASAN_OPTIONS": "verify_asan_link_order=0"})
    now = datetime.datetime.now(datetime.timezone.utc)
    far = [abs((datetime.datetime.fromisoformat(
        n.log().split("\n")[0].split(" ")[0].replace("Z", "+00:00"))
        - now).total_seconds()) > 3000 for n in trio.nodes]
    assert far == [False, True, True], "their clocks are not as wanted"
    jobs = [trio.hold(node, 7)[0] for node in trio.nodes]
    queued = [trio.submit(node, 0.1)[0] for node in trio.nodes * 4]
    for number, job in enumerate(jobs + queued):
        record = trio.wait(trio.nodes[number % 3], job)
        assert record["status"] == "succeeded", record
        times = [datetime.datetime.fromisoformat(record[name]) for name in
                 ("created_at", "started_at", "ended_at")]
        assert times == sorted(times)
        assert all(abs((t - now).total_seconds()) < 120 for t in times)
        assert record["duration_ms"] < 60000
    assert {n["state"] for n in trio.list(trio.nodes[0]).values()} == {"up"}
    assert all("nobody held it" not in n.log() for n in trio.nodes)
    trio.check()


def test_clock_put_forward(cluster, tmp_path):
    """The database's own, by an hour: no lease ends of those who live."""
    offset = tmp_path / "offset"
    offset.write_text("+0")
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder) in host.scratch():
            break
        folder.chmod(0o755)
    database = postgres.Postgres(
        os.path.join(host.scratch(), "faked-clock"), {
            "LD_PRELOAD": faketime(), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_TIMESTAMP_FILE": str(offset), "NO_FAKE_STAT": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    try:
        pair = cluster(2, postgres=database)
        jobs = [pair.hold(node, 7)[0] for node in pair.nodes]
        # Until then they take nothing up anyway.
        time.sleep(pair.config["lease_seconds"] + 1)
        offset.write_text("+3600")
        later = datetime.datetime.now() + datetime.timedelta(minutes=59)
        assert float(database.psql("SELECT extract(epoch FROM now())")) > (
            later.timestamp())
        for job in jobs:
            assert pair.wait(pair.nodes[0], job)["status"] == "succeeded"
        assert all("clock was put forward by 3" in node.log()
                   for node in pair.nodes)
        pair.check()
        pair.close()
    finally:
        database.stop()


def test_lost_wake_ups(cluster):
    """Nobody is told: all is seen by looking, within the poll interval."""
    pair = cluster(2, max_workers=1)
    a, b = pair.nodes
    for node in pair.nodes:
        hold_all, token = pair.submit(node, 60, timeout=100)
        pair.wait_begun(token)
    later, _ = pair.submit(a)
    sql = shared.postgres().psql

    def end_it():
        return sql("UPDATE jobs SET status = 'cancelled', error = 'cancelled',"
                   " ended_at = created_at WHERE id = '%s'" % later,
                   pair.name) == ""
    timer = threading.Timer(0.5, end_it)
    timer.start()
    status, _, record = b.get("/jobs/%s/result?wait=true&timeout=20" % later)
    timer.join()
    assert (status, record["status"]) == (200, "cancelled"), record
    # A job that becomes due without a word.
    due, _ = pair.submit(b)
    sql("UPDATE jobs SET not_before = 9000000000000000 WHERE id = '%s'" % due,
        pair.name)
    running = [r["id"] for r in pair.rows() if r["status"] == "running"]
    for job in running:
        assert a.post("/jobs/%s/cancel" % job)[0] == 200
        assert pair.wait(a, job, 15)["status"] == "cancelled"
    assert a.get("/jobs/" + due)[2]["status"] in ("pending", "queued")
    sql("UPDATE jobs SET not_before = 0 WHERE id = '%s'" % due, pair.name)
    assert pair.wait(a, due, 15)["status"] == "succeeded"
    # One that stops in good order is not taken for lost.
    b.stop()
    host.wait_for("it is shown stopped", lambda: pair.list(a)["node1"][
        "state"] == "stopped", 15)


def test_same_name(cluster):
    """A second one of a name waits until the first one has gone."""
    pair = cluster(1)
    first = pair.nodes[0]
    second = pair.add("again", wait=False, node_name="node0")
    host.wait_for("it says why it waits", lambda: "another takod of this "
                  "node_name uses the database" in second.log(), 30)
    assert second.get("/health")[0] == 503
    first.stop()
    second.wait_ready()
    job = second.submit("print(1)")
    assert second.wait(job)["status"] == "succeeded"


def test_ids_do_not_overlap(cluster):
    pair = cluster(1)
    base = pair.nodes[0].uid_base
    for wrong in (base, base + 1023, base - 1023):
        other = pair.add("other%d" % wrong, wait=False, uid_base=wrong)
        assert other.proc.wait(20) != 0
        assert "ids %d to %d" % (wrong, wrong + 1023) in other.log()
        assert "set uid_base" in other.log()
        pair.nodes.remove(other)
    beside = pair.add("beside", uid_base=base + 1024)
    assert beside.uid_base == base + 1024
    assert os.path.exists("/proc/%d" % beside.pid)
