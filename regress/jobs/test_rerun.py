"""
test_rerun.py: POST /jobs/{id}/rerun and /jobs/{id}/fork, and takoctl rerun.
"""
import json

import pytest

NOBODY = "00000000-0000-4000-8000-000000000000"
ECHO = ("import json\n"
        "d = json.load(open('/input/data.json'))\n"
        "json.dump({'seen': d}, open('/output/result.json', 'w'))\n"
        "print('original')")
SLEEP = "import time; time.sleep(60)"


@pytest.fixture(scope="module", params=["sqlite", "pg"])
def daemon(request, shared_things):
    from conftest import end, make
    made = make("oci", "runc", request.param,
                config={"max_workers": 2, "default_timeout": 10,
                        "job_types": [{"name": "small", "timeout": 10}]})
    yield made
    end(made)


@pytest.fixture(scope="module")
def parent(daemon):
    return daemon.run(ECHO, input_data={"n": 2 ** 70}, timeout=17,
                      startup_timeout=77)


def again(daemon, job_id, how, body, code=200):
    status, _, answer = daemon.post("/jobs/%s/%s" % (job_id, how), body)
    assert status == code, (status, answer)
    return answer


def test_rerun_keeps_all(daemon, parent):
    answer = again(daemon, parent["execution_id"], "rerun", {})
    assert list(answer) == ["job_id", "status"]
    assert answer["status"] == "queued"
    record = daemon.wait(answer["job_id"])
    assert record["status"] == "succeeded"
    assert record["output"] == {"seen": {"n": 2 ** 70}}
    assert record["parent_execution_id"] == parent["execution_id"]
    assert record["relationship"] == "rerun"
    for name in ("code_hash", "input_hash", "job_type", "stdout"):
        assert record[name] == parent[name], name
    assert record["takod"]["timeout"] == 17
    assert record["takod"]["startup_timeout"] == 77
    assert record["idempotency_key"] is None
    # A rerun of a rerun has that one for its parent.
    third = daemon.wait(again(daemon, answer["job_id"], "rerun",
                              {"timeout": None})["job_id"])
    assert third["parent_execution_id"] == answer["job_id"]
    assert third["output"] == record["output"]


def test_rerun_with_other_limits(daemon, parent):
    answer = again(daemon, parent["execution_id"], "rerun",
                   {"timeout": 55, "job_type": "small"})
    record = daemon.wait(answer["job_id"])
    assert record["job_type"] == "small"
    assert record["takod"]["timeout"] == 55
    assert record["takod"]["startup_timeout"] == 77


def test_fork_has_its_own_code(daemon, parent):
    answer = again(daemon, parent["execution_id"], "fork",
                   {"code": ECHO.replace("original", "h\u00e9 forked")})
    record = daemon.wait(answer["job_id"])
    assert record["stdout"] == "h\u00e9 forked\n"
    assert record["output"] == {"seen": {"n": 2 ** 70}}
    assert record["relationship"] == "fork"
    assert record["parent_execution_id"] == parent["execution_id"]
    assert record["code_hash"] != parent["code_hash"]
    assert record["input_hash"] == parent["input_hash"]
    assert record["takod"]["timeout"] == 17


def test_of_one_that_runs_or_was_cancelled(daemon):
    job = daemon.submit(SLEEP, input_data={"a": 1}, timeout=100)
    daemon.wait_status(job, "running")
    answer = again(daemon, job, "rerun", {}, 400)
    assert answer["detail"] == "Cannot rerun job that hasn't completed"
    fork = again(daemon, job, "fork", {"code": ECHO})["job_id"]
    assert daemon.wait(fork)["output"] == {"seen": {"a": 1}}
    daemon.post("/jobs/%s/cancel" % job)
    assert daemon.wait(job)["status"] == "cancelled"
    second = again(daemon, job, "rerun", {})["job_id"]
    daemon.wait_status(second, "running")
    daemon.post("/jobs/%s/cancel" % second)
    assert daemon.wait(second)["relationship"] == "rerun"


@pytest.mark.parametrize("how,body", [("rerun", {}), ("fork", {"code": "1"})])
@pytest.mark.parametrize("job", [NOBODY, "api-" + NOBODY, "x", "%27",
                                 "..%2f..%2fetc"])
def test_of_one_that_is_not_there(daemon, how, body, job):
    assert again(daemon, job, how, body, 404)["detail"] == "Job not found"


@pytest.mark.parametrize("how,body,wanted", [
    ("rerun", b"", [("missing", ["body"])]),
    ("rerun", None, [("missing", ["body"])]),
    ("rerun", b"null", [("model_attributes_type", ["body"])]),
    ("rerun", b"{", [("json_invalid", ["body", 1])]),
    ("rerun", {"code": "x", "input_data": {}, "idempotency_key": "12345678"},
     [("extra_forbidden", ["body", "code"]),
      ("extra_forbidden", ["body", "input_data"]),
      ("extra_forbidden", ["body", "idempotency_key"])]),
    ("rerun", {"timeout": 0, "job_type": "a b"},
     [("string_pattern_mismatch", ["body", "job_type"]),
      ("greater_than_equal", ["body", "timeout"])]),
    ("fork", {}, [("missing", ["body", "code"])]),
    ("fork", {"timeout": "x", "job_type": 1, "code": " ", "zz": 1},
     [("value_error", ["body", "code"]), ("string_type", ["body", "job_type"]),
      ("int_parsing", ["body", "timeout"]),
      ("extra_forbidden", ["body", "zz"])]),
    ("fork", {"code": ""}, [("string_too_short", ["body", "code"])]),
    ("fork", {"code": None}, [("string_type", ["body", "code"])]),
])
def test_bad_bodies(daemon, how, body, wanted):
    # Whether the other job is there does not matter yet.
    answer = again(daemon, NOBODY, how, body, 422)
    assert [(e["type"], e["loc"]) for e in answer["detail"]] == wanted


@pytest.mark.parametrize("how,body", [("rerun", {"timeout": 121}),
                                      ("fork", {"code": "1", "timeout": 999})])
def test_ceiling_is_first(daemon, how, body):
    answer = again(daemon, NOBODY, how, body, 422)
    assert answer["detail"] == ("timeout must be less than or equal to the "
                                "configured max_timeout (120 seconds)")
    assert set(answer) == {"detail", "correlation_id"}


def test_kept_timeout_above_a_new_ceiling(daemon, parent):
    daemon.write_config(max_timeout=16)
    daemon.takoctl("reload", check=True)
    try:
        answer = again(daemon, parent["execution_id"], "rerun", {}, 422)
        assert answer["detail"] == (
            "effective timeout must be less than or equal to the configured "
            "max_timeout (16 seconds)")
        again(daemon, parent["execution_id"], "rerun", {"timeout": 16})
    finally:
        daemon.write_config(max_timeout=120)
        daemon.takoctl("reload", check=True)


def test_full_queue_and_draining(daemon, parent):
    daemon.write_config(max_queue_size=1, max_workers=1)
    daemon.takoctl("reload", check=True)
    jobs = [daemon.submit(SLEEP, timeout=100)]
    try:
        daemon.wait_status(jobs[0], "running")
        jobs.append(daemon.submit(SLEEP, timeout=100))
        for how, body in (("rerun", {}), ("fork", {"code": "1"})):
            status, names, answer = daemon.post(
                "/jobs/%s/%s" % (parent["execution_id"], how), body)
            assert status == 503 and int(names["retry-after"]) >= 1
            assert answer["detail"] == "Job queue is full, try again later"
    finally:
        for job in jobs:
            daemon.post("/jobs/%s/cancel" % job)
        daemon.write_config(max_queue_size=None, max_workers=2)
        daemon.takoctl("reload", check=True)
    daemon.takoctl("drain", check=True)
    status, names, _ = daemon.post(
        "/jobs/%s/rerun" % parent["execution_id"], {})
    assert status == 503 and "retry-after" in names
    daemon.takoctl("resume", check=True)


def test_takoctl_rerun(daemon, parent):
    done = daemon.takoctl("rerun", "-T", "59", "-t", "small",
                          parent["execution_id"], check=True)
    record = daemon.wait(done.stdout.strip())
    assert record["parent_execution_id"] == parent["execution_id"]
    assert record["job_type"] == "small"
    assert record["takod"]["timeout"] == 59
    done = daemon.takoctl("--json", "retry", parent["execution_id"],
                          check=True)
    answer = json.loads(done.stdout)
    assert answer["status"] == "queued"
    assert daemon.wait(answer["job_id"])["relationship"] == "rerun"
    for argv, code in ((["rerun", NOBODY], 65), (["rerun"], 64),
                       (["rerun", "x y"], 64),
                       (["rerun", "-T", "0", NOBODY], 64)):
        done = daemon.takoctl(*argv)
        assert done.returncode == code and done.stdout == "", done
