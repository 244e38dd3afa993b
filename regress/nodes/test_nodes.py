"""
Three takods on one PostgreSQL: any of them answers for any job; what one of
them loses the others take up; a paused one changes nothing.
"""
import signal
import threading

import pytest

from lib import host, shared
from lib.cluster import LEASE, SLACK, Cluster


@pytest.fixture(scope="module")
def three(shared_things):
    cluster = Cluster()
    yield cluster
    cluster.close()


def test_any_node_answers(three):
    a, b, c = three.nodes
    job, token = three.submit(a, more="import json\n"
                              "json.dump({'n': 7}, open('/output/result.json',"
                              " 'w'))")
    records = [three.wait(node, job) for node in (c, b, a)]
    assert records[0] == records[1] == records[2]
    assert records[0]["status"] == "succeeded"
    assert records[0]["output"] == {"n": 7}
    assert records[0]["stdout"].startswith("RAN-" + token)
    for node in three.nodes:
        assert node.get("/jobs/" + job)[2]["status"] == "succeeded"
    # The key is known to all.
    fields = {"code": "print(1)", "idempotency_key": "a-key-of-three"}
    ids = {n.post("/execute/async", fields)[2]["job_id"] for n in three.nodes}
    assert len(ids) == 1
    three.checked.acknowledged(ids.pop(), key="a-key-of-three")


def test_wait_is_woken(three):
    # Asked of another node than the one that runs it; longer than any poll.
    a, b, _ = three.nodes
    job, token = three.submit(a, 2)
    three.wait_begun(token)
    owner = three.holder(job)
    asked = next(n for n in three.nodes if n is not owner)
    record = asked.get("/jobs/%s/result?wait=true&timeout=30&view=full" % job)
    assert record[0] == 200 and record[2]["status"] == "succeeded", record
    three.checked.seen(job, record[2])


def test_sync_on_a_full_node(three):
    # Another one with a free place runs it, and who asked is answered.
    a = three.nodes[0]
    kept = three.hold(a, 60, 60, 60)
    answer = a.execute("print(6 * 7)")
    assert answer["stdout"] == "42\n" and answer["success"], answer
    three.checked.acknowledged(answer["execution_id"])
    for job in kept:
        assert a.post("/jobs/%s/cancel" % job)[0] == 200
        assert three.wait(a, job)["status"] == "cancelled"


def test_cancel_elsewhere(three):
    job, token = three.submit(three.nodes[0], 60, timeout=100)
    three.wait_begun(token)
    owner = three.holder(job)
    other = next(n for n in three.nodes if n is not owner)
    status, _, answer = other.post("/jobs/%s/cancel" % job)
    assert (status, answer) == (200, {"status": "cancelled", "job_id": job})
    record = three.wait(other, job, 15)
    assert record["status"] == "cancelled"
    assert record["error"]["type"] == "cancelled"
    host.wait_for("no container of it runs", lambda: not [
        c for c in owner.workers() if c["job_id"] == job], 10)
    assert other.post("/jobs/%s/cancel" % job)[0] == 404


def test_nodes_listed(three):
    # Each says the same of all, but for which one it is.
    for node in three.nodes:
        listed = three.list(node)
        assert set(listed) == {"node0", "node1", "node2"}
        assert [n for n in listed if listed[n]["self"]] == [node.node]
        assert {n["state"] for n in listed.values()} == {"up"}
        assert all(n["silent_ms"] < 1000 * (LEASE + SLACK)
                   and n["max_workers"] == 3 for n in listed.values())
        assert listed[node.node]["instance"] == node.instance
    text = three.nodes[1].takoctl("nodes", check=True).stdout.splitlines()
    assert text[0].split()[:3] == ["NODE", "VERSION", "STATE"]
    assert [line.split()[0] for line in text[1:]] == [
        "node0", "node1", "node2"]
    assert [line.endswith("(this one)") for line in text[1:]] == [
        False, True, False]
    stats = host.wait_for("the pool's figures know of all", lambda: [
        s["takod"] for s in [three.nodes[0].stats()]
        if s["takod"]["nodes"] == 3], LEASE + SLACK)[0]
    assert stats["node"] == "node0" and stats["nodes_max_workers"] == 9
    three.nodes[2].takoctl("drain", check=True)
    host.wait_for("it is shown draining", lambda: three.list(
        three.nodes[0])["node2"]["state"] == "draining", 5)
    three.nodes[2].takoctl("resume", check=True)
    host.wait_for("it is shown up again", lambda: three.list(
        three.nodes[0])["node2"]["state"] == "up", 5)


def test_node_killed(three):
    """What ran on it ends as interrupted, what had not begun runs elsewhere."""
    a, b, c = three.nodes
    running = three.hold(a, 60, 60, 60)
    # More than there are places: some of them wait, on nobody.
    waiting = [three.submit(a, 0.1)[0] for _ in range(6)]
    for pid in [a.pid] + a.children() + list(a.container_pids()):
        host.signal_pid(pid, signal.SIGKILL)
    a.proc.wait()
    for job in running:
        record = three.wait(b, job, LEASE + SLACK)
        assert record["status"] == "failed", record
        assert record["error"]["type"] == "interrupted"
    for job in waiting:
        assert three.wait(c, job, 30)["status"] == "succeeded"
    assert three.list(b)["node0"]["state"] == "lost"
    # Its next life begins at once, under the same name.
    a.start()
    assert three.list(b)["node0"]["state"] == "up"
    job, _ = three.submit(a)
    assert three.wait(b, job)["status"] == "succeeded"
    three.check()


def test_own_jobs_at_restart(three):
    """Its own are taken up at once: no lease has to run out for that."""
    a, b, _ = three.nodes
    job = three.hold(a, 60, 60, 60)[0]
    shared.postgres().psql("UPDATE jobs SET lease_until = lease_until +"
                           " 3600000000 WHERE status = 'running'", three.name)
    for pid in [a.pid] + a.children():
        host.signal_pid(pid, signal.SIGKILL)
    a.proc.wait()
    a.start()
    assert three.wait(b, job, 5)["error"]["type"] == "interrupted"
    three.check()


def test_node_paused(three):
    """Paused for two leases, it loses what it had, and changes nothing."""
    a, b, c = three.nodes
    # The last one ends while its takod cannot hear of it.
    running = three.hold(a, 60, 60, 4)
    host.signal_pid(a.pid, signal.SIGSTOP)
    began = {job: three.row(job) for job in running}
    try:
        for job in running:
            record = three.wait(b, job, 2 * LEASE + SLACK)
            assert record["error"]["type"] == "interrupted"
    finally:
        host.signal_pid(a.pid, signal.SIGCONT)
    host.wait_for("what ran there is killed", lambda: not [
        w for w in a.workers() if w["job_id"] in running], 10)
    host.wait_for("the late end is refused", lambda: "job %s: somebody else "
                  "ended it; our end is dropped" % running[-1] in a.log(), 10)
    assert a.alive()
    for job in running:
        assert three.wait(a, job)["error"]["type"] == "interrupted"
        assert three.row(job)["fence"] == began[job]["fence"]
    job, _ = three.submit(a)
    assert three.wait(c, job)["status"] == "succeeded"
    three.check()


def test_two_never_run_one(three):
    """Everybody submits and claims; each job's code is handed over once."""
    jobs, lock = [], threading.Lock()

    def load(node):
        for _ in range(12):
            job = three.submit(node, 0.05)[0]
            with lock:
                jobs.append(job)
    threads = [threading.Thread(target=load, args=(n,)) for n in three.nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, job in enumerate(jobs):
        record = three.wait(three.nodes[n % 3], job)
        assert record["status"] == "succeeded", record
    assert len(jobs) == 36
    three.check()
