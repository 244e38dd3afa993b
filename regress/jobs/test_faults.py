"""
test_faults.py: faults that are not the job's: attempts with a growing pause,
each kept; the end after the last one, with a dead letter; the circuit breaker
in all its states. The runtime fails when it is told to.
"""
import datetime
import json
import os
import sqlite3
import time

import pytest

from lib import host, shared
from lib.faults import FlakyRunc

CODE = "print('ran')"
LETTER = ["id", "job_id", "job_data", "error_type", "error_message",
          "retry_count", "created_at", "client_ip", "correlation_id"]
ATTEMPT = {"attempt", "started_at", "ended_at", "error_type", "where",
           "message"}


def flaky(store, **config):
    from conftest import make
    runc = FlakyRunc(host.scratch())
    daemon = make("oci", "runc", store, config={
        "runc_path": runc.path, "warm_pool_size": 0, "max_workers": 1,
        "retry_base_delay": 0.2, "queue_wait_timeout": 0.1, **config})
    return daemon, runc


@pytest.fixture(scope="module", params=["sqlite", "pg"])
def pair(request, shared_things):
    from conftest import end
    daemon, runc = flaky(request.param, max_retry_attempts=3)
    yield daemon, runc
    end(daemon)


def failed_attempt(daemon, job):
    """The first attempt, once it has failed."""
    def first():
        attempts = daemon.record(job)["takod"]["attempts"]
        return attempts[0] if attempts and attempts[0]["where"] else None
    return host.wait_for("an attempt failed", first, 10)


def seconds(text):
    return datetime.datetime.fromisoformat(text).timestamp()


def breaker(daemon):
    status, _, answer = daemon.get("/health")
    assert status == 200
    state = answer["circuit_breaker"]
    wanted = "degraded" if state["state"] == "open" else "healthy"
    assert answer["status"] == wanted
    return state


def dlq(daemon, query=""):
    status, names, answer = daemon.get("/dlq" + query)
    assert status == 200 and names["cache-control"] == "no-store"
    assert list(answer) == ["items", "limit", "offset", "has_more", "count"]
    assert answer["count"] == len(answer["items"])
    return answer


# ---- attempts ---------------------------------------------------------------

def test_one_attempt_of_a_healthy_job(pair):
    daemon, _ = pair
    record = daemon.run(CODE)
    attempt, = record["takod"]["attempts"]
    assert set(attempt) == ATTEMPT
    assert attempt == {
        "attempt": 1, "started_at": record["started_at"],
        "ended_at": record["ended_at"], "error_type": None, "where": None,
        "message": None}
    record = daemon.run("raise ValueError('no')")
    attempt, = record["takod"]["attempts"]
    assert attempt["error_type"] == "value_error"
    assert attempt["where"] is None
    assert attempt["message"] == "ValueError: no"


def test_runs_after_passing_faults(pair):
    daemon, runc = pair
    before = daemon.get("/dlq/stats")[2]["total"]
    runc.fail()
    try:
        job = daemon.submit(CODE)
        first = failed_attempt(daemon, job)
        assert daemon.record(job)["status"] in ("queued", "running")
        assert first["error_type"] == "docker_error"
        assert first["where"] == "slot" and first["message"]
    finally:
        runc.work()
    record = daemon.wait(job)
    assert (record["status"], record["stdout"]) == ("succeeded", "ran\n")
    *failed, last = record["takod"]["attempts"]
    assert failed[0] == first
    assert record["takod"]["attempt"] == last["attempt"] == len(failed) + 1
    assert last["error_type"] is last["where"] is None
    assert daemon.get("/dlq/stats")[2]["total"] == before
    # The waiter got the same record as who asks later.
    assert daemon.record(job) == record


def test_ends_after_the_last_attempt(pair):
    daemon, runc = pair
    runc.fail()
    try:
        answer = daemon.execute(CODE, timeout=7)
    finally:
        runc.work()
    assert answer["success"] is False and answer["exit_code"] == -1
    record = daemon.record(answer["execution_id"])
    assert record["status"] == "failed"
    assert record["error"]["type"] == "docker_error"
    assert record["error"]["phase"] == "startup"
    assert record["exit_code"] == -1 and record["stdout"] == ""
    attempts = record["takod"]["attempts"]
    assert [a["attempt"] for a in attempts] == [1, 2, 3]
    assert {a["error_type"] for a in attempts} == {"docker_error"}
    assert attempts[-1]["message"] == record["error"]["message"]
    # 0.2 s and 0.4 s, ten per cent either way, and not before that.
    pauses = [seconds(b["started_at"]) - seconds(a["ended_at"])
              for a, b in zip(attempts, attempts[1:])]
    assert pauses[0] >= 0.2 * 0.9 and pauses[1] >= 0.4 * 0.9, pauses

    entry = dlq(daemon)["items"][0]
    assert list(entry) == LETTER
    assert entry["job_id"] == record["execution_id"]
    assert entry["error_type"] == "docker_error"
    assert entry["error_message"] == record["error"]["message"]
    assert entry["retry_count"] == 2
    assert entry["client_ip"] == "127.0.0.1"
    assert entry["correlation_id"] == record["takod"]["correlation_id"]
    assert entry["created_at"].endswith("Z")
    assert entry["created_at"][:-1] == record["ended_at"][:-6]
    assert entry["job_data"] == {
        "job_type": "default", "code_hash": record["code_hash"],
        "input_hash": record["input_hash"], "code_size_bytes": len(CODE),
        "input_size_bytes": 2, "has_idempotency_key": False,
        "timeout": 7,
        "startup_timeout": record["takod"]["startup_timeout"]}
    # No path, container or runtime argument leaves.
    assert daemon.dir not in json.dumps([record, entry])


@pytest.mark.parametrize("code", [
    "raise SystemExit(125)", "import os; os.abort()", "1/0",
    "raise OSError('cannot connect to the docker daemon')"])
def test_own_failures_leave_no_letter(pair, code):
    daemon, _ = pair
    before = daemon.get("/dlq/stats")[2]
    record = daemon.run(code)
    assert record["status"] == "failed"
    assert len(record["takod"]["attempts"]) == 1
    assert daemon.get("/dlq/stats")[2] == before
    assert breaker(daemon)["failure_count"] == 0


def test_refused_jobs_leave_no_letter(pair):
    daemon, _ = pair
    before = daemon.get("/dlq/stats")[2]
    record = daemon.run(CODE, requirements=["requests"])
    assert record["error"]["type"] == "dependency_error"
    assert daemon.get("/dlq/stats")[2] == before


def test_cancel_between_attempts(pair):
    # X07
    daemon, runc = pair
    runc.fail()
    try:
        job = daemon.submit(CODE)
        failed_attempt(daemon, job)
        assert daemon.post("/jobs/%s/cancel" % job)[0] == 200
    finally:
        runc.work()
    record = daemon.wait(job, 10)
    assert record["status"] == "cancelled"
    assert record["takod"]["attempts"][0]["error_type"] == "docker_error"


# ---- dead letters -----------------------------------------------------------

@pytest.fixture(scope="module")
def letters(pair):
    """Three of them, the newest first."""
    daemon, runc = pair
    daemon.write_config(max_retry_attempts=1)
    daemon.takoctl("reload", check=True)
    runc.fail()
    try:
        for n in range(3):
            daemon.execute("print('letter', %d)" % n,
                           idempotency_key="letter-%d" % n)
            runc.work()
            assert daemon.execute(CODE)["success"]  # the breaker stays shut
            runc.fail()
    finally:
        runc.work()
    daemon.write_config(max_retry_attempts=3)
    daemon.takoctl("reload", check=True)
    return dlq(daemon, "?limit=3")["items"]


def test_stats_and_pages(pair, letters):
    daemon, _ = pair
    status, _, stats = daemon.get("/dlq/stats")
    assert status == 200 and list(stats) == ["total", "by_error_type"]
    assert stats["by_error_type"] == {"docker_error": stats["total"]}
    everything = dlq(daemon)
    assert everything["count"] == stats["total"] >= 3
    assert (everything["limit"], everything["offset"]) == (100, 0)
    assert everything["has_more"] is False
    assert [e["id"] for e in everything["items"]] == sorted(
        (e["id"] for e in everything["items"]), reverse=True)
    page = dlq(daemon, "?limit=1&offset=1")
    assert page["items"] == everything["items"][1:2] and page["has_more"]
    assert dlq(daemon, "?error_type=docker_error")["count"] == stats["total"]
    for odd in ("config_error", "no%27such", "x" * 100, "%ff"):
        assert dlq(daemon, "?error_type=" + odd)["count"] == 0
    assert dlq(daemon, "?offset=1000000")["items"] == []
    assert letters[0]["job_data"]["has_idempotency_key"] is True
    assert "letter-" not in json.dumps(letters)


@pytest.mark.parametrize("query,kind,name", [
    ("limit=0", "greater_than_equal", "limit"),
    ("limit=1001", "less_than_equal", "limit"),
    ("limit=x", "int_parsing", "limit"), ("limit=", "int_parsing", "limit"),
    ("offset=-1", "greater_than_equal", "offset"),
    ("offset=1.5", "int_parsing", "offset"),
    ("offset=99999999999999999999", "less_than_equal", "offset")])
def test_bad_pages(pair, query, kind, name):
    status, _, answer = pair[0].get("/dlq?" + query)
    assert status == 422
    error, = answer["detail"]
    assert (error["type"], error["loc"]) == (kind, ["query", name])


def test_remove(pair, letters):
    daemon, _ = pair
    mine = letters[0]
    status, _, answer = daemon.request("DELETE", "/dlq/%d" % mine["id"])
    assert (status, answer) == (200, {"status": "removed",
                                      "entry_id": mine["id"]})
    assert mine["id"] not in [e["id"] for e in dlq(daemon)["items"]]
    # The record of its job stays.
    assert daemon.record(mine["job_id"])["status"] == "failed"
    for gone in (mine["id"], 0, -1, 2 ** 62, 10 ** 30):
        status, _, answer = daemon.request("DELETE", "/dlq/%d" % gone)
        assert (status, answer["detail"]) == (404, "DLQ entry not found")
    status, _, answer = daemon.request("DELETE", "/dlq/x")
    assert status == 422
    assert answer["detail"][0]["loc"] == ["path", "entry_id"]
    assert answer["detail"][0]["type"] == "int_parsing"
    status, names, _ = daemon.get("/dlq/%d" % mine["id"])
    assert (status, names["allow"]) == (405, "DELETE")


def test_takoctl_dlq(pair, letters):
    daemon, _ = pair
    mine, other = letters[1], letters[2]
    shown = json.loads(daemon.takoctl("--json", "dlq", check=True).stdout)
    assert shown["dead_letters"] == dlq(daemon, "?limit=20")["items"]
    head, *rows = daemon.takoctl("dlq", "list", "-l", "1", "-t",
                                 "docker_error",
                                 check=True).stdout.splitlines()
    assert head.split()[:3] == ["ID", "JOB", "ERROR"]
    assert rows[0].split()[:4] == [str(mine["id"]), mine["job_id"],
                                   "docker_error", "0"]
    one = daemon.takoctl("--json", "dlq", "show", str(mine["id"]), check=True)
    assert json.loads(one.stdout) == mine
    text = daemon.takoctl("dlq", "show", str(mine["id"]), check=True).stdout
    assert mine["error_message"] in text and mine["job_id"] in text
    assert daemon.takoctl("dlq", "list", "-t", "oom",
                          check=True).stdout == "none\n"
    # Its job runs now, and the letter is dealt with.
    job = daemon.takoctl("dlq", "retry", str(mine["id"]),
                         check=True).stdout.strip()
    record = daemon.wait(job)
    assert record["parent_execution_id"] == mine["job_id"]
    assert record["stdout"] == "letter 1\n"
    host.wait_for("the letter is gone", lambda: mine["id"] not in [
        e["id"] for e in dlq(daemon)["items"]], 10)
    done = daemon.takoctl("dlq", "remove", str(other["id"]), check=True)
    assert done.stdout == ""
    for argv, code in ((["show", str(other["id"])], 65),
                       (["remove", str(other["id"])], 65),
                       (["retry", str(other["id"])], 65),
                       (["show", "x"], 64), (["show"], 64), (["other"], 64),
                       (["remove", "0"], 64), (["list", "-l", "0"], 64),
                       (["list", "-t", "zz"], 64), (["list", "1"], 64)):
        done = daemon.takoctl("dlq", *argv)
        assert done.returncode == code, (argv, done)
        assert done.stdout == "" and done.stderr


def test_interrupted_jobs_leave_letters(pair):
    daemon, _ = pair
    job = daemon.submit("import time; time.sleep(60)")
    daemon.wait_code(job)
    daemon.kill9()
    daemon.start()
    record = daemon.wait(job)
    assert record["error"]["type"] == "interrupted"
    attempt, = record["takod"]["attempts"]
    assert (attempt["error_type"], attempt["where"]) == ("interrupted", "node")
    entry = dlq(daemon, "?error_type=interrupted")["items"][0]
    assert entry["job_id"] == job and entry["retry_count"] == 0
    # After an orderly stop that could not wait: the same.
    job = daemon.submit("import time; time.sleep(60)")
    daemon.wait_code(job)
    daemon.takoctl("stop", "-n", check=True)
    daemon.stop()
    daemon.start()
    assert daemon.wait(job)["error"]["type"] == "interrupted"
    assert job in [e["job_id"] for e in dlq(daemon)["items"]]


def test_old_letters_go(pair, letters):
    """dlq_ttl_days, in batches: the last test of this daemon's letters."""
    daemon, _ = pair
    newest = dlq(daemon)["items"][0]
    daemon.stop()
    columns = ("job_type, error, error_message, retry_count, created_at, "
               "client, correlation_id, parent_id, keyed, code_hash, "
               "input_hash, code_len, input_len, timeout, startup_timeout")
    old = "created_at - 172800000000"
    copy = ("INSERT INTO dead_letters (job_id, %s) SELECT 'old-' || n, %s"
            " FROM dead_letters, numbers WHERE letter = %d"
            % (columns, columns.replace("created_at", old), newest["id"]))
    if daemon.store == "pg":
        shared.postgres().psql(
            "WITH numbers (n) AS (SELECT generate_series(1, 170)) " + copy
            + ";\n", daemon.keys["database_url"].rpartition("/")[2])
    else:
        with sqlite3.connect(os.path.join(daemon.data_dir, "takod.db"),
                             timeout=30) as db:
            db.execute("INSERT INTO dead_letters (job_id, " + columns + ") "
                       "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL "
                       "SELECT n + 1 FROM numbers WHERE n < 170) "
                       + copy.partition(") ")[2])
        db.close()
    daemon.start()
    total = daemon.get("/dlq/stats")[2]["total"]
    assert total > 170
    daemon.write_config(dlq_ttl_days=1)
    daemon.takoctl("reload", check=True)
    host.wait_for("the old ones are gone", lambda: daemon.get(
        "/dlq/stats")[2]["total"] == total - 170, 20)
    assert dlq(daemon)["items"][0] == newest
    host.wait_for("the log says so", lambda:
                  "retention: 170 dead letters" in daemon.log(), 5)


# ---- the circuit breaker: each change of its state is in unit/breaker ------

def test_breaker(shared_things):
    from conftest import end
    daemon, runc = flaky("sqlite", max_retry_attempts=2)
    try:
        assert breaker(daemon) == {
            "state": "closed", "failure_count": 0, "success_count": 0,
            "last_failure": None}
        runc.fail()
        before = time.time()
        jobs = [daemon.submit(CODE) for _ in range(4)]
        opened = host.wait_for("the breaker opens", lambda: (
            breaker(daemon) if breaker(daemon)["state"] == "open" else None),
            20)
        since = time.monotonic()
        assert opened["failure_count"] == 5 and opened["success_count"] == 0
        assert before <= opened["last_failure"] <= time.time()
        # Jobs are taken, and wait without being tried.
        waiting = daemon.submit(CODE)
        assert daemon.get("/jobs/" + waiting)[2]["status"] == "pending"
        host.wait_for("half a minute", lambda:
                      time.monotonic() - since > 28, 40, every=0.5)
        assert runc.failed() == 5
        assert breaker(daemon)["state"] == "open"
        runc.work()
        seen = []

        def closed():
            seen.append(breaker(daemon)["state"])
            return seen[-1] == "closed"
        host.wait_for("it closes", closed, 20)
        assert set(seen) <= {"open", "half_open", "closed"}
        assert "breaker half open" in daemon.log()
        assert breaker(daemon)["failure_count"] == 0
        assert daemon.wait(waiting)["status"] == "succeeded"
        assert {daemon.wait(job)["status"] for job in jobs} <= {
            "succeeded", "failed"}
    finally:
        if os.path.exists(runc.flag):
            runc.work()
        end(daemon)
