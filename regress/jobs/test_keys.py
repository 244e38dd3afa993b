"""
test_keys.py: idempotency keys, on both stores: one key is one job, whatever
comes between. Rows A02 to A05 of the threats.
"""
import concurrent.futures
import http.client
import itertools
import json
import time

import pytest

from lib import host

SERIAL = itertools.count(1)
MANY = 100


@pytest.fixture(scope="module", params=["sqlite", "pg"])
def daemon(request, shared_things):
    from conftest import end, make
    made = make("oci", "runc", request.param, config={
        "max_workers": 2, "api_max_connections_per_source": 256,
        "max_queue_size": 20})
    yield made
    end(made)


def new_key():
    return "key-%d-%d" % (time.monotonic_ns(), next(SERIAL))


def at_once(count, call):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


def newest(daemon, count):
    shown = daemon.takoctl("--json", "jobs", "-l", str(count), check=True)
    return [row["job_id"] for row in json.loads(shown.stdout)["jobs"]]


# ---- A02: many at once ------------------------------------------------------

@pytest.mark.parametrize("path,name", [("/execute/async", "job_id"),
                                       ("/execute", "execution_id")])
def test_many_posts_are_one_job(daemon, path, name):
    before = newest(daemon, 1)
    body = {"code": "print(7)", "idempotency_key": new_key()}
    answers = at_once(MANY, lambda _: daemon.post(path, body))
    assert {status for status, _, _ in answers} == {200}
    ids = {answer[name] for _, _, answer in answers}
    assert len(ids) == 1
    job, = ids
    record = daemon.wait(job)
    assert (record["status"], record["stdout"]) == ("succeeded", "7\n")
    assert record["takod"]["attempt"] == 1
    assert newest(daemon, 2) == [job] + before
    if path == "/execute":
        assert {a["stdout"] for _, _, a in answers} == {"7\n"}


def test_both_routes_at_once(daemon):
    body = {"code": "print(8)", "idempotency_key": new_key()}
    answers = at_once(40, lambda n: daemon.post(
        "/execute" if n % 2 else "/execute/async", body))
    assert {status for status, _, _ in answers} == {200}
    ids = {a.get("job_id") or a["execution_id"] for _, _, a in answers}
    assert len(ids) == 1


def test_many_payloads_with_one_key(daemon):
    """One wins; the others hear 409 with its id."""
    key = new_key()
    answers = at_once(40, lambda n: daemon.post("/execute/async", {
        "code": "print(%d)" % (n % 4), "idempotency_key": key}))
    won = {a["job_id"] for status, _, a in answers if status == 200}
    lost = [a for status, _, a in answers if status == 409]
    assert len(won) == 1 and len(lost) == 30
    assert {a["existing_job_id"] for a in lost} == won
    daemon.wait(won.pop())


# ---- A03: another body ------------------------------------------------------

@pytest.mark.parametrize("changed", [
    {"code": "print(2)"}, {"input_data": {"a": 1}}, {"timeout": 9},
    {"startup_timeout": 11}, {"job_type": "small"},
    {"requirements": ["requests"]}])
def test_another_body(daemon, changed):
    body = {"code": "print(1)", "timeout": 8, "idempotency_key": new_key()}
    job = daemon.post("/execute/async", body)[2]["job_id"]
    record = daemon.wait(job)
    for path in ("/execute/async", "/execute"):
        status, _, answer = daemon.post(path, {**body, **changed})
        assert status == 409
        assert answer["detail"] == (
            "Idempotency key reused with different payload")
        assert answer["existing_job_id"] == job
    assert daemon.record(job) == record


def test_what_makes_a_body_the_same(daemon):
    """Order and white space do not; nor does a default that is written out."""
    key = new_key()
    first = daemon.post("/execute/async", (
        '{"code": "print(1)", "idempotency_key": "%s"}' % key))[2]["job_id"]
    for text in (
            '{"idempotency_key":"%s","code":"print(1)"}',
            '{"code": "print(1)", "job_type": null, "timeout": null,'
            ' "idempotency_key": "%s", "requirements": []}',
            '{"code": "print(1)", "job_type": "default",'
            ' "idempotency_key": "%s", "input_data": {}}'):
        status, _, answer = daemon.post("/execute/async", text % key)
        assert (status, answer["job_id"]) == (200, first), answer
    daemon.wait(first)


# ---- A04: what comes between ------------------------------------------------

def test_key_of_a_refused_request_is_free(daemon):
    key = new_key()
    for body in ({"code": "", "idempotency_key": key},
                 {"code": "x", "timeout": 99999, "idempotency_key": key},
                 {"code": "x", "timeout": 121, "idempotency_key": key}):
        assert daemon.post("/execute/async", body)[0] == 422
    job = daemon.submit("print('mine')", idempotency_key=key)
    assert daemon.wait(job)["stdout"] == "mine\n"


def test_key_of_a_full_queue_is_free(daemon):
    blockers = [daemon.submit("import time; time.sleep(60)")
                for _ in range(2)]
    for job in blockers:
        daemon.wait_status(job, "running")
    waiting = [daemon.submit("1") for _ in range(20)]
    key = new_key()
    assert daemon.post("/execute/async", {
        "code": "print(5)", "idempotency_key": key})[0] == 503
    for job in waiting + blockers:
        daemon.post("/jobs/%s/cancel" % job)
    job = daemon.submit("print(6)", idempotency_key=key)
    assert daemon.wait(job)["stdout"] == "6\n"


def test_keys_survive_a_kill(daemon):
    """Of takod, with the job done, running or waiting: the same job."""
    key, running = new_key(), new_key()
    done = daemon.submit("print(1)", idempotency_key=key)
    daemon.wait(done)
    sleeps = daemon.submit("import time; time.sleep(60)",
                           idempotency_key=running)
    daemon.wait_code(sleeps)
    daemon.kill9()
    daemon.start()
    assert daemon.submit("print(1)", idempotency_key=key) == done
    answer = daemon.post("/execute/async", {
        "code": "import time; time.sleep(60)", "idempotency_key": running})
    assert answer[2]["job_id"] == sleeps
    assert daemon.wait(sleeps)["error"]["type"] == "interrupted"


def test_answer_that_was_lost(daemon):
    """The front is killed while it is asked: a retry meets the same job."""
    seen = set()
    for _ in range(3):
        key = new_key()
        body = {"code": "print(3)", "idempotency_key": key}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(daemon.post, "/execute/async", body)
            host.signal_pid(daemon.children("tako-api")[0], 9)
            try:
                seen.add(first.result(30)[2]["job_id"])
            except (OSError, http.client.HTTPException):
                pass

        def retry():
            try:
                return daemon.post("/execute/async", body)
            except (OSError, http.client.HTTPException):
                return None
        status, _, answer = host.wait_for("the front is back", retry, 20)
        assert status == 200
        job = answer["job_id"]
        assert daemon.post("/execute/async", body)[2]["job_id"] == job
        assert daemon.wait(job)["takod"]["attempt"] == 1


# ---- A05: keys that are none ------------------------------------------------

@pytest.mark.parametrize("path", ["/execute", "/execute/async"])
@pytest.mark.parametrize("key", ["", "short77", "k" * 256, "caf\u00e9-key-1",
                                 "white space", "slash/slash", "nul\0nul-k",
                                 "semi;colon--", 12345678, ["a" * 8], True])
def test_bad_keys(daemon, path, key):
    status, _, answer = daemon.post(path, {"code": "print(1)",
                                           "idempotency_key": key})
    assert status == 422
    error, = answer["detail"]
    assert error["loc"] == ["body", "idempotency_key"]
    assert str(key) not in json.dumps(answer) or key in ("", True)


def test_key_twice_in_a_body(daemon):
    status, _, answer = daemon.post("/execute/async", (
        '{"code": "1", "idempotency_key": "key-one-1",'
        ' "idempotency_key": "key-two-2"}'))
    assert (status, answer["detail"][0]["type"]) == (422, "json_invalid")
