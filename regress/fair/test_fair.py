"""
test_fair.py: whom takod serves, with real daemons: turns by key and weight,
limits and budgets and what a client is told then, keys that are rotated.
Turns are judged by the order of the starts, never by how long they took. What
the stores promise is asked of them one by one in store_conformance.
"""
import concurrent.futures
import json

import pytest

from lib import host, waiting

FLOOD, OTHER, THIRD = "flood-key-0123456789", "other-key-0123456789", \
    "third-key-0123456789"
NAP = "import time; time.sleep(0.15)"


def keyed(flood=None, other=None, **more):
    return {
        "api_auth_enabled": True, "max_queue_size": 1000, "max_workers": 2,
        "api_max_connections_per_source": 200,
        "api_keys": [{"name": "flood", "key": FLOOD, **(flood or {})},
                     {"name": "other", "key": OTHER, **(other or {})}],
        **more}


def post(takod, key, code="pass", path="/execute/async", **fields):
    return takod.post(path, {"code": code, **fields},
                      headers={"X-API-Key": key})


def submit(takod, key, code="pass", **fields):
    status, _, answer = post(takod, key, code, **fields)
    assert status == 200, (status, answer)
    return answer["job_id"]


def record(takod, job, key=OTHER):
    status, _, answer = takod.get("/executions/%s?view=full" % job,
                                  headers={"X-API-Key": key})
    assert status == 200, answer
    return answer


def ended(takod, jobs, key=OTHER, seconds=90):
    """Records of the jobs, once all have ended."""
    def all_ended():
        records = [record(takod, job, key) for job in jobs]
        return records if all(r["ended_at"] for r in records) else None
    return host.wait_for("%d jobs have ended" % len(jobs), all_ended,
                         seconds, 0.2)


def starts(takod, jobs, key=OTHER):
    """Those that have begun, in the order in which they did."""
    records = [record(takod, job, key) for job in jobs]
    return sorted((r["started_at"], r["execution_id"]) for r in records
                  if r["started_at"])


def tenants(takod):
    shown = takod.takoctl("--json", "tenants", check=True).stdout
    return {t["name"]: t for t in json.loads(shown)["tenants"]}


def refused(answer, detail, most=300):
    status, names, body = answer
    assert (status, body["detail"]) == (429, detail)
    assert 1 <= int(names["retry-after"]) <= most


FILLED = "Too many jobs of this client are waiting, try again later"
SPENT = "Budget of this client is used up, try again later"


@pytest.mark.parametrize("store", ["sqlite", "pg"])
def test_flood(start, store):
    """Whoever floods the queue delays another key's n jobs by n turns."""
    takod = start("oci", "runc", store, config=keyed())
    flood = [submit(takod, FLOOD, NAP) for _ in range(60)]
    other = [submit(takod, OTHER, NAP) for _ in range(8)]
    place = takod.get("/jobs/" + other[7],
                      headers={"X-API-Key": OTHER})[2]["queue_position"]
    assert 0 <= (place or 0) <= 16
    stats = takod.get("/pool/stats", headers={"X-API-Key": OTHER})[2]
    assert stats["takod"]["tenants_waiting"] <= 2
    records = ended(takod, other)
    assert {r["takod"]["key"] for r in records} == {"other"}
    came = record(takod, other[0])["created_at"]
    order = [job for at, job in starts(takod, flood + other) if at > came]
    for n, job in enumerate(other, 1):
        # Two more may have been claimed before the first one came.
        assert order.index(job) + 1 <= 2 * n + 2, order
    shown = tenants(takod)
    assert shown["key:flood"]["waiting"] > 10
    assert shown["key:other"]["used_jobs"] == 8
    assert shown["key:other"]["used_cpu_seconds"] > 0


# All that may wait, 10,000, but a few for the other key.
MANY = 9990


@pytest.mark.parametrize("store", ["sqlite", "pg"])
def test_flood_of_many(start, store):
    """
    The queue is full of one key's jobs: the nth of another's starts no later
    than the 2nth of all, twice as late as if it were alone.
    """
    takod = start("oci", "runc", store, config=keyed(
        max_queue_size=10000))
    first = submit(takod, FLOOD, NAP)
    ended(takod, [first], FLOOD)
    takod.stop()
    waiting.copies(takod, first, MANY)
    takod.start()
    assert tenants(takod)["key:flood"]["waiting"] >= MANY - 100
    other = [submit(takod, OTHER, NAP) for _ in range(8)]
    ended(takod, other)
    assert tenants(takod)["key:flood"]["waiting"] > MANY - 500
    takod.stop()  # SQLite's file is its alone
    order = [row[0] for row in waiting.sql(
        takod, "SELECT id FROM jobs WHERE started_at > (SELECT created_at "
        "FROM jobs WHERE id = '%s') ORDER BY started_at" % other[0])]
    assert len(order) - len(other) >= 4, order  # both had their turns
    for n, job in enumerate(other, 1):
        # Two more may have been claimed before the first one came.
        assert order.index(job) + 1 <= 2 * n + 2, order


def test_depth(start):
    """
    One key that floods meets its own limits, and nobody else's: A12 of the
    threats, long polls included.
    """
    takod = start("oci", "runc", config=keyed(
        {"max_queued": 10, "max_running": 1}, max_workers=4))
    slow = submit(takod, FLOOD, "import time; time.sleep(20)")
    host.wait_for("it runs", lambda: record(
        takod, slow)["status"] == "running", 20)
    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        polls = [pool.submit(
            takod.get, "/jobs/%s/result?wait=true&timeout=30" % slow, 60,
            {"X-API-Key": FLOOD}) for _ in range(40)]
        answers = list(pool.map(
            lambda n: post(takod, FLOOD, idempotency_key="flood-%03d" % n),
            range(20)))
        assert [a[0] for a in answers].count(200) == 10
        for answer in answers:
            if answer[0] != 200:
                refused(answer, FILLED)
        # At once also in the way that waits.
        refused(post(takod, FLOOD, path="/execute"), FILLED)
        # The other one does not notice.
        for _ in range(4):
            status, _, body = post(takod, OTHER, path="/execute")
            assert status == 200 and body["success"], body
        shown = tenants(takod)["key:flood"]
        assert (shown["waiting"], shown["running"]) == (10, 1)
        assert (shown["max_queued"], shown["max_running"]) == (10, 1)
        status = takod.post("/jobs/%s/cancel" % slow, {},
                            headers={"X-API-Key": FLOOD})[0]
        assert status == 200
        assert {p.result()[2]["status"] for p in polls} == {"cancelled"}
    # What was refused has not used up its key; one after the other they run.
    jobs = [a[2]["job_id"] for a in answers if a[0] == 200]
    spans = sorted((r["started_at"], r["ended_at"])
                   for r in ended(takod, jobs))
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:])), spans
    again = [n for n, a in enumerate(answers) if a[0] != 200][0]
    job = submit(takod, FLOOD, idempotency_key="flood-%03d" % again)
    assert job not in jobs


def test_budgets(start):
    takod = start("oci", "runc", config=keyed(
        {"jobs_per_window": 3}, {"cpu_seconds_per_window": 1},
        budget_window_seconds=86400))
    jobs = [submit(takod, FLOOD) for _ in range(2)]
    kept = submit(takod, FLOOD, idempotency_key="kept-key")
    refused(post(takod, FLOOD), SPENT, 86400)
    refused(post(takod, FLOOD, idempotency_key="lost-key"), SPENT, 86400)
    assert submit(takod, FLOOD, idempotency_key="kept-key") == kept
    ended(takod, jobs)
    # The other one's is counted by what its jobs used.
    burn = "import time\nwhile time.process_time() < 1.1: pass"
    ended(takod, [submit(takod, OTHER, burn)])
    refused(post(takod, OTHER), SPENT, 86400)
    assert tenants(takod)["key:other"]["used_cpu_seconds"] >= 1
    # A reload gives more, at once, and the key is still to be had.
    takod.write_config(api_keys=[
        {"name": "flood", "key": FLOOD, "jobs_per_window": 9},
        {"name": "other", "key": OTHER}])
    takod.takoctl("reload", check=True)
    host.wait_for("the store has the new limits", lambda: tenants(takod)[
        "key:flood"]["jobs_per_window"] == 9)
    assert submit(takod, FLOOD, idempotency_key="lost-key") != kept
    assert submit(takod, OTHER)


def test_retry_after(start):
    """A full queue says after how long it has had a place of late."""
    takod = start("oci", "runc", config={"max_workers": 1,
                                         "max_queue_size": 2})
    jobs = [takod.submit("import time; time.sleep(1.5)")]
    for _ in range(3):
        jobs.append(host.wait_for("there is a place", lambda: takod.post(
            "/execute/async", {"code": "import time; time.sleep(1.5)"})[2]
            .get("job_id"), 30, 0.1))
    while True:
        status, names, answer = takod.post("/execute/async",
                                           {"code": "pass"})
        if status != 200:
            break
    assert (status, answer["detail"]) == (
        503, "Job queue is full, try again later")
    assert 2 <= int(names["retry-after"]) <= 60


def test_weights_and_rotation(start):
    takod = start("oci", "runc", config=keyed(max_workers=1))
    first = submit(takod, FLOOD, NAP, idempotency_key="rotated-1")
    a = [submit(takod, FLOOD, NAP) for _ in range(25)]
    b = [submit(takod, OTHER, NAP) for _ in range(25)]
    # A key of the same name is the same client's; the old one is nobody's.
    takod.write_config(api_keys=[
        {"name": "other", "key": OTHER, "weight": 4},
        {"name": "flood", "key": THIRD, "weight": 1}])
    changes = takod.takoctl("reload", check=True).stdout
    assert "api_keys" in changes
    for key in (FLOOD, OTHER, THIRD):
        assert key not in changes and key not in takod.log()
    assert post(takod, FLOOD)[0] == 401
    assert submit(takod, THIRD, NAP, idempotency_key="rotated-1") == first
    assert post(takod, THIRD, "2", idempotency_key="rotated-1")[0] == 409
    # Other clients' keys of idempotency are others.
    assert submit(takod, OTHER, "2", idempotency_key="rotated-1") != first
    host.wait_for("the store has the new weights", lambda: tenants(takod)[
        "key:other"]["weight"] == 4)
    begun = {job for _, job in starts(takod, a + b)}
    order = host.wait_for("fifteen more have begun", lambda: [
        s for s in [[job for _, job in starts(takod, a + b)
                     if job not in begun]] if len(s) >= 15], 60, 0.3)[0]
    # Of fifteen turns twelve: one was given perhaps before it was known.
    assert 11 <= len(set(order[:15]) & set(b)) <= 13, order


def test_defaults(start):
    """What holds for addresses, and for keys that have nothing of their own."""
    takod = start("oci", "runc", config={
        "max_workers": 1, "tenant_defaults": {"max_queued": 1}})
    running = takod.submit("import time; time.sleep(60)")
    host.wait_for("it runs", lambda: takod.stats()["running"] == 1)
    waiting = takod.submit("pass")
    refused(takod.post("/execute/async", {"code": "pass"}), FILLED)
    for job in (running, waiting):
        assert takod.post("/jobs/%s/cancel" % job)[0] == 200


def test_ageing(start):
    """A lower priority has a turn once it was left out for so long."""
    takod = start("oci", "runc", config=keyed(
        {"priority": 5}, max_workers=1, priority_ageing_seconds=1))
    high = [submit(takod, FLOOD, NAP) for _ in range(40)]
    low = submit(takod, OTHER, NAP)
    ended(takod, [low])
    assert len(starts(takod, high)) < 40


def test_without_keys(takod):
    """Clients without a key: by address, and with one space of keys."""
    job = takod.submit("pass", idempotency_key="fair-without-1")
    answer = takod.wait(job)
    assert answer["takod"]["key"] is None
    shown = takod.takoctl("tenants", check=True).stdout
    assert "addr:127.0.0.1" in shown
    # What is not used does not count.
    assert takod.submit("pass", idempotency_key="fair-without-1") == job
    assert takod.get("/pool/stats")[2]["takod"]["tenants_waiting"] == 0
