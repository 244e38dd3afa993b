"""
test_front.py: tako-api alone, with a parent whose answers the test gives
(fakeparent.py): what it asks for each request, what it makes of each answer,
and what it does with a parent that breaks the rules.
"""
import http.client
import os
import re

import pytest

from fakeparent import TYPES, FakeParent, memfd
from lib import host, shared

JOB = "0f0e0d0c-0b0a-4908-8706-050403020100"
GOOD = {"code": "print(1)"}
NOW = 1700000000000000


@pytest.fixture
def parent():
    made = []

    def make(**more):
        made.append(FakeParent(**more))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def front():
    one = FakeParent()
    yield one
    # It served to the end, and ends with its parent.
    assert one.close() == 0


def record(fake, to, status=2, parts=(b"", b"", b"", b"", b""), **more):
    names = ("stdout_len", "stderr_len", "output_len", "artifacts_len",
             "extras_len")
    fields = {"job_id": JOB, "status": status, "job_type": "default",
              "job_version": "default@latest", "created_at": NOW,
              "started_at": NOW, "ended_at": NOW + 2500000, "runtime": 1,
              "startup_ms": -1, "dependencies_ms": -1, "execution_ms": -1,
              "total_ms": -1, "max_rss_kb": -1, "cpu_ms": -1, "wall_ms": -1,
              **dict(zip(names, map(len, parts))), **more}
    data = b"".join(parts)
    fd = memfd(data) if data else None
    fake.send("REP_RECORD", to=to, fd=fd, **fields)
    if fd is not None:
        os.close(fd)


# ---- what it asks, and what becomes of the answer -----------------------------

def test_page_of_no_room(parent):
    """A list's records count while they come, whoever waits for the rest."""
    one = parent(max_memory=1048576)
    client = one.ask("GET", "/executions?limit=100")
    asked = one.expect("REQ_LIST")
    part = (b"x" * 200000, b"", b"", b"", b"")
    for _ in range(3):
        record(one, asked.id, parts=part)
    other = one.ask("GET", "/executions?limit=100")
    second = one.expect("REQ_LIST")
    for _ in range(3):
        record(one, second.id, parts=part)
    assert one.expect("REQ_GONE") is not None
    status, names, _ = one.answer(other)
    assert status == 503 and int(names["retry-after"]) >= 1
    # What came too late is nobody's, and the first one has its place again.
    record(one, second.id, parts=part)
    one.send("REP_LIST", to=second.id, next=0, unindexed=0)
    record(one, asked.id, parts=part)
    one.send("REP_LIST", to=asked.id, next=0, unindexed=0)
    status, _, answer = one.answer(client)
    assert status == 200 and len(answer["items"]) == 4


def test_submit(front):
    client = front.ask("POST", "/execute/async", (
        b'{"code":"\\u00e9\\n", "input_data": {"n": 1e400 }, "timeout":"5",'
        b'"startup_timeout":20,"job_type":"a@1","idempotency_key":"12345678",'
        b'"requirements":["b", "a>=1"]}'), {"X-Correlation-ID": "mine",
                                             "X-API-Key": "shown"})
    asked = front.expect("REQ_SUBMIT")
    payload = os.pread(asked.fd, 4096, 0)
    os.close(asked.fd)
    assert payload == '\u00e9\n{"n": 1e400 }["b","a>=1"]'.encode()
    assert dict(asked) == {
        "sync": 0, "code_len": 3, "input_len": 13, "requirements_len": 12,
        "timeout": 5, "startup_timeout": 20, "job_type": "a@1",
        "idempotency_key": "12345678", "correlation_id": "mine",
        "client": "127.0.0.1", "key": "shown"}
    front.send("REP_SUBMIT", to=asked.id, job_id=JOB, status=0)
    status, names, answer = front.answer(client)
    assert (status, answer) == (200, {"job_id": JOB, "status": "queued"})
    assert names["x-correlation-id"] == "mine"


def test_submit_least(front):
    client = front.ask("POST", "/execute", GOOD)
    asked = front.expect("REQ_SUBMIT")
    assert os.pread(asked.fd, 4096, 0) == b"print(1){}"
    os.close(asked.fd)
    assert re.fullmatch("[0-9a-f-]{36}", asked["correlation_id"])
    assert (asked["sync"], asked["timeout"], asked["startup_timeout"],
            asked["job_type"], asked["requirements_len"]) == (1, 0, 0, "", 0)
    record(front, asked.id, parts=(b"1\n", b"e\xff", b"[1.50]", b"", b"{}"))
    status, names, answer = front.answer(client)
    assert status == 200 and names["cache-control"] == "no-store"
    assert answer == {
        "success": True, "output": [1.5], "execution_time": 2.5,
        "stdout": "1\n", "stderr": "e\ufffd", "exit_code": 0, "error": None,
        "job_type": "default", "execution_id": JOB, "runtime": "runsc"}


@pytest.mark.parametrize("path,view,wait", [
    ("/jobs/" + JOB, 0, 0), ("/jobs/%s/result" % JOB, 1, 0),
    ("/jobs/%s/result?view=full" % JOB, 2, 0),
    ("/jobs/%s/result?wait=on" % JOB, 1, 30000),
    ("/jobs/%s/result?wait=1&timeout=1.25&view=full" % JOB, 2, 1250),
    ("/jobs/%s/result?timeout=5" % JOB, 1, 0),
    ("/executions/" + JOB, 1, 0), ("/executions/%s?view=full" % JOB, 2, 0),
    ("/executions/%s?wait=true" % JOB, 1, 0)])
def test_get(front, path, view, wait):
    client = front.ask("GET", path)
    asked = front.expect("REQ_GET")
    assert dict(asked) == {"job_id": JOB, "view": view, "wait_ms": wait}
    record(front, asked.id, status=0, started_at=0, ended_at=0,
           queue_position=2, runtime=0)
    status, _, answer = front.answer(client)
    assert status == 200
    if view == 0:
        assert answer == {
            "job_id": JOB, "status": "pending",
            "created_at": "2023-11-14T22:13:20.000000+00:00",
            "started_at": None, "duration_ms": None, "queue_position": 2}
    else:
        assert (answer["status"], answer["exit_code"]) == ("queued", None)
        assert ("takod" in answer) == (view == 2)


def test_wait_that_ends_early(front):
    client = front.ask("GET", "/jobs/%s/result?wait=1" % JOB)
    asked = front.expect("REQ_GET")
    record(front, asked.id, status=1, timed_out=1)
    status, _, answer = front.answer(client)
    assert (status, answer["detail"]) == (408, "Timeout waiting for job")


def test_cancel(front):
    client = front.ask("POST", "/jobs/%s/cancel" % JOB)
    asked = front.expect("REQ_CANCEL")
    assert dict(asked) == {"job_id": JOB}
    front.send("REP_CANCEL", to=asked.id, job_id=JOB)
    assert front.answer(client)[2] == {"status": "cancelled", "job_id": JOB}


def stats(front, path, **values):
    client = front.ask("GET", path)
    asked = front.expect("REQ_STATS")
    front.send("REP_STATS", to=asked.id, **values)
    return front.answer(client)


def test_health(front):
    status, names, answer = stats(front, "/health")
    assert status == 503 and int(names["retry-after"]) >= 1
    assert answer == {"status": "starting",
                      "detail": "Server is not ready yet"}
    good = {"ready": 1, "engine_up": 1, "store_up": 1, "runtime": "runsc",
            "gvisor": 1, "engine": "oci", "store": "sqlite"}
    status, _, answer = stats(front, "/health", **good)
    assert (status, answer["status"]) == (200, "healthy")
    assert answer["version"] == "0.1.0"
    for bad in ({"engine_up": 0}, {"store_up": 0}, {"breaker": 1}):
        status, _, answer = stats(front, "/health", **{**good, **bad})
        assert (status, answer["status"]) == (200, "degraded")
    answer = stats(front, "/health", **{
        **good, "breaker": 2, "failures": 5, "successes": 1,
        "last_failure": NOW + 500000, "fallback": 1})[2]
    assert answer["circuit_breaker"] == {
        "state": "half_open", "failure_count": 5, "success_count": 1,
        "last_failure": 1700000000.5}
    assert answer["takod"]["fallback"] is True
    answer = stats(front, "/pool/stats", pending=1, running=2, max_workers=3,
                   max_queue=4, slots_ready=5)[2]
    assert [answer[k] for k in ("pending", "running", "max_workers",
                                "max_queue_size")] == [1, 2, 3, 4]
    assert answer["takod"]["slots_ready"] == 5


ASKS = {
    "submit": ("POST", "/execute/async", GOOD, "Job not found"),
    "execute": ("POST", "/execute", GOOD, "Job not found"),
    "status": ("GET", "/jobs/" + JOB, None, "Job not found"),
    "result": ("GET", "/jobs/%s/result" % JOB, None, "Job not found"),
    "record": ("GET", "/executions/" + JOB, None, "Execution not found"),
    "cancel": ("POST", "/jobs/%s/cancel" % JOB, None,
               "Job not found or already completed"),
    "rerun": ("POST", "/jobs/%s/rerun" % JOB, {}, "Job not found"),
    "fork": ("POST", "/jobs/%s/fork" % JOB, {"code": "x"}, "Job not found"),
    "letter": ("DELETE", "/dlq/7", None, "DLQ entry not found"),
    "letters": ("GET", "/dlq", None, "DLQ entry not found"),
}
# enum rep: the status and the text.
REFUSALS = {
    1: (404, None), 2: (409, "Idempotency key reused with different payload"),
    3: (503, "Job queue is full, try again later"),
    4: (503, "Service temporarily unavailable"),
    5: (503, "Server is not ready yet"), 6: (422, "Invalid request"),
    7: (401, "Missing or invalid API key."), 8: (500, "Internal server error"),
    9: (429, "Too many jobs of this client are waiting, try again later"),
    10: (429, "Budget of this client is used up, try again later"),
    11: (400, "Cannot rerun job that hasn't completed"),
}


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("error", REFUSALS)
def test_refusals(front, ask, error):
    method, path, body, missing = ASKS[ask]
    client = front.ask(method, path, body)
    asked = front.receive()
    if asked.fd is not None:
        os.close(asked.fd)
    front.send("REP_ERROR", to=asked.id, error=error, job_id=JOB)
    status, names, answer = front.answer(client)
    wanted, detail = REFUSALS[error]
    assert (status, answer["detail"]) == (wanted, detail or missing)
    assert ("retry-after" in names) == (status == 503)
    assert ("existing_job_id" in answer) == (status == 409)
    assert answer.get("existing_job_id", JOB) == JOB


def test_refusal_with_a_text(front):
    for error, text, wanted in (
            (4, "The database is not available", None),
            (6, "effective timeout must be less than or equal to the "
                "configured max_timeout (5 seconds)", None),
            (8, "/var/lib/secret", "Internal server error"),
            (12, "Build failed: no", None)):
        client = front.ask("POST", "/execute", GOOD)
        asked = front.expect("REQ_SUBMIT")
        os.close(asked.fd)
        front.send("REP_ERROR", to=asked.id, error=error, detail=text,
                   retry_after=7)
        _, names, answer = front.answer(client)
        assert answer["detail"] == (wanted or text)
        assert names.get("retry-after", "7") == "7"


def test_bad_requests_ask_nothing(front):
    for method, path, body in (
            ("POST", "/execute", {}), ("POST", "/execute", b"{"),
            ("POST", "/execute", {**GOOD, "timeout": 301}),
            ("GET", "/jobs/x", None), ("GET", "/executions/x", None),
            ("POST", "/jobs/x/cancel", None), ("GET", "/nothing", None),
            ("GET", "/jobs/%s/result?wait=x" % JOB, None)):
        assert front.answer(front.ask(method, path, body))[0] in (404, 422)
    assert front.silent()


def test_client_goes_away(front):
    for method, path, kind, told in (
            ("POST", "/execute", "REQ_SUBMIT", True),
            ("GET", "/jobs/%s/result?wait=1" % JOB, "REQ_GET", True),
            ("POST", "/jobs/%s/cancel" % JOB, "REQ_CANCEL", False),
            ("GET", "/health", "REQ_STATS", False)):
        client = front.ask(method, path,
                           GOOD if kind == "REQ_SUBMIT" else None)
        asked = front.expect(kind)
        if asked.fd is not None:
            os.close(asked.fd)
        client.close()
        if told:
            gone = front.expect("REQ_GONE")
            assert gone.id == asked.id
        # An answer that was under way meets nobody, and harms nobody.
        front.send("REP_ERROR", to=asked.id, error=8)
        status, _, _ = stats(front, "/pool/stats")
        assert status == 200


def test_many_clients_go_away(parent):
    one = parent(max_connections=2000, max_connections_per_source=2000)
    path = "/jobs/%s/result?wait=1" % JOB
    clients = []
    ids = set()
    for _ in range(300):
        clients.append(one.ask("GET", path))
        ids.add(one.expect("REQ_GET").id)
    assert len(ids) == 300
    # The parent does not read meanwhile: the words have to wait.
    for client in clients:
        client.close()
    told = {one.expect("REQ_GONE").id for _ in range(300)}
    assert told == ids
    assert one.proc.poll() is None


# ---- who may ask --------------------------------------------------------------

def admit(fake, path="/pool/stats", method="GET", body=None, headers=None,
          **verdict):
    client = fake.ask(method, path, body, headers)
    asked = fake.expect("REQ_ADMIT")
    fake.send("REP_ADMIT", to=asked.id, **verdict)
    return client, asked


def test_admit(parent):
    one = parent(admit=1)
    client, asked = admit(one, headers={"Host": "a.example:1"}, verdict=1)
    assert dict(asked) == {"peer": "127.0.0.1", "host": "a.example:1",
                           "key": "", "forwarded": 0}
    status, names, answer = one.answer(client)
    assert (status, answer["detail"]) == (401, "Missing or invalid API key.")
    assert names["www-authenticate"] == "Bearer"
    client, _ = admit(one, verdict=2, retry_after=17)
    status, names, answer = one.answer(client)
    assert (status, answer["detail"]) == (
        429, "Rate limit exceeded. Try again later.")
    assert names["retry-after"] == "17"
    # Refused before the path, and before the payload.
    for path, method, body in (("/nothing", "GET", None),
                               ("/execute", "POST", b"{"),
                               ("/execute", "DELETE", None),
                               ("/jobs/%ff", "GET", None)):
        client, asked = admit(one, path, method, body, verdict=1)
        assert one.answer(client)[0] == 401
    # Open to everybody: nobody is asked.
    client = one.ask("GET", "/health")
    one.send("REP_STATS", to=one.expect("REQ_STATS").id)
    assert one.answer(client)[0] == 503
    client, _ = admit(one, "/execute", "POST", {})
    assert one.answer(client)[0] == 422


@pytest.mark.parametrize("headers,key,forwarded", [
    ({"X-API-Key": "k"}, "k", 0), ({"x-api-key": " k "}, "k", 0),
    ({"Authorization": "Bearer k"}, "k", 0),
    ({"Authorization": "bEARER  k"}, "k", 0),
    ({"Authorization": "Basic k"}, "", 0),
    ({"Authorization": "Bearer"}, "", 0),
    ({"X-API-Key": "a", "Authorization": "Bearer b"}, "a", 0),
    ({"X-API-Key": "k" * 512}, "k" * 512, 0),
    ({"X-API-Key": "k" * 513}, "", 0),
    ({"X-Forwarded-For": "1.2.3.4"}, "", 1),
    ({"Forwarded": "for=1.2.3.4"}, "", 1)])
def test_what_is_shown_to_the_parent(parent, headers, key, forwarded):
    one = parent(admit=1)
    client, asked = admit(one, headers=headers, verdict=1)
    assert (asked["key"], asked["forwarded"]) == (key, forwarded)
    assert one.answer(client)[0] == 401


def test_body_before_the_word_of_the_parent(parent):
    one = parent(admit=1)
    client = one.ask("POST", "/execute", GOOD)
    asked = one.expect("REQ_ADMIT")
    # The body is there by now or comes later: both are one.
    one.send("REP_ADMIT", to=asked.id)
    submit = one.expect("REQ_SUBMIT")
    assert os.pread(submit.fd, 100, 0) == b"print(1){}"
    os.close(submit.fd)
    record(one, submit.id)
    assert one.answer(client)[0] == 200


def test_asked_once_of_a_connection(parent):
    """As long as it shows the same, and the configuration is the same."""
    one = parent(admit=1)
    client = http.client.HTTPConnection(one.host, one.port, timeout=10)

    def go(asked, verdict=0, **headers):
        client.request("GET", "/jobs/" + JOB, headers=headers)
        if asked:
            one.send("REP_ADMIT", to=one.expect("REQ_ADMIT").id,
                     verdict=verdict)
        if verdict == 0:
            record(one, one.expect("REQ_GET").id)
        reply = client.getresponse()
        reply.read()
        return reply.status
    key = {"X-API-Key": "k" * 16}
    assert go(True, **key) == 200
    assert go(False, **key) == 200
    assert go(True, 1) == 401
    assert go(True, 1, **{"X-API-Key": "l" * 16}) == 401
    assert go(True, 1, **key, Host="b.example") == 401
    assert go(True, 1, **key, Forwarded="for=1.2.3.4") == 401
    assert go(False, **key) == 200
    # What is let in once is no key to another: not to one that was refused.
    assert go(True, Forwarded="for=1.2.3.4") == 200
    assert go(True, 1, **key) == 401
    assert go(False, Forwarded="for=1.2.3.4") == 200
    one.send("API_SETUP", **{**one.SETUP, "admit": 1})
    one.listen()
    assert go(True, 1, Forwarded="for=1.2.3.4") == 401
    # Where each one counts, each one is asked for.
    one.send("API_SETUP", **{**one.SETUP, "admit": 2})
    one.listen()
    assert go(True, **key) == 200
    assert go(True, 2, **key) == 429
    client.close()


# ---- life ---------------------------------------------------------------------

def test_start_and_end(parent):
    one = parent(serve=False)
    one.send("LOG_LEVEL", level=0)
    one.send("API_SETUP", **one.SETUP)
    assert one.silent()
    one.listen()
    assert one.expect("SETUP_DONE")["pid"] == one.proc.pid
    assert one.close() == 0


def test_inside_the_sandbox(front):
    lines = host.read("/proc/%d/status" % front.proc.pid)
    found = dict(line.split(":\t", 1) for line in lines.splitlines()
                 if ":\t" in line)
    assert found["NoNewPrivs"] == "1" and found["CapEff"] == "0" * 16
    if not shared.sanitized():
        assert found["Seccomp"] == "2"


def test_drain(parent):
    one = parent()
    client = one.ask("GET", "/jobs/%s/result?wait=1" % JOB)
    asked = one.expect("REQ_GET")
    one.send("API_DRAIN", deadline_ms=20000)
    # What is under way is answered; then the process ends by itself.
    record(one, asked.id)
    assert one.answer(client)[0] == 200
    assert one.wait() == 0


def test_drain_has_a_deadline(parent):
    one = parent()
    client = one.ask("GET", "/jobs/%s/result?wait=1" % JOB)
    one.expect("REQ_GET")
    one.send("API_DRAIN", deadline_ms=300)
    assert one.wait() == 0
    client.close()


def test_new_configuration(parent):
    one = parent()
    assert one.answer(one.ask("POST", "/execute", {
        **GOOD, "timeout": 301}))[0] == 422
    one.send("API_SETUP", **{**one.SETUP, "max_timeout": 500})
    one.listen()
    client = one.ask("POST", "/execute", {**GOOD, "timeout": 301})
    asked = one.expect("REQ_SUBMIT")
    os.close(asked.fd)
    record(one, asked.id)
    assert one.answer(client)[0] == 200


# A parent that breaks the rules is a bug: the front ends, and says why.

def violation(one, words):
    assert one.wait() == 1
    assert words in one.text()


@pytest.mark.parametrize("name", ["API_DRAIN", "REP_ADMIT", "REP_SUBMIT",
                                  "REP_STATS", "REP_ERROR", "JOB_STOP",
                                  "API_LISTEN"])
def test_too_early(parent, name):
    one = parent(serve=False)
    fd = one.listener.fileno() if name == "API_LISTEN" else None
    values = {"error": 1} if name == "REP_ERROR" else {}
    if name == "JOB_STOP":
        values = {"token": 1}
    one.send(name, fd=fd, **values)
    violation(one, "is not permitted now")


def test_answer_to_nothing(parent):
    one = parent()
    one.send("REP_STATS", to=1)
    violation(one, "an answer to what was never asked")


def test_answer_of_another_kind(parent):
    one = parent()
    client = one.ask("GET", "/health")
    asked = one.expect("REQ_STATS")
    one.send("REP_CANCEL", to=asked.id, job_id=JOB)
    violation(one, "REP_CANCEL answers REQ_STATS")
    client.close()


@pytest.mark.parametrize("lengths,seals", [
    ({"stdout_len": 4}, 15), ({"stdout_len": 2}, 15),
    ({"stdout_len": 3}, 7), ({"stderr_len": 1 << 34}, 15)])
def test_record_whose_memory_is_wrong(parent, lengths, seals):
    one = parent()
    client = one.ask("GET", "/executions/" + JOB)
    asked = one.expect("REQ_GET")
    fd = memfd(b"abc", seals)
    one.send("REP_RECORD", to=asked.id, fd=fd, **lengths)
    os.close(fd)
    violation(one, "rep_record")
    client.close()


@pytest.mark.parametrize("body", [
    b"", b"\x91\xc0", b"\xdd\xff\0\0\0", b"\x92\x01\x01", b"\x91\x05"])
def test_frame_that_is_none(parent, body):
    one = parent()
    one.send_raw(TYPES["LOG_LEVEL"][0], 0, body)
    assert one.wait() == 1


def test_reply_of_a_large_job(front):
    out = ("\u00e9\n\"" * 250000).encode() + bytes(range(256))
    client = front.ask("GET", "/executions/" + JOB)
    asked = front.expect("REQ_GET")
    record(front, asked.id, parts=(out, out, b"null", b"", b""))
    answer = front.answer(client)[2]
    assert answer["stdout"] == answer["stderr"]
    assert answer["stdout"].startswith("\u00e9\n\"" * 250000)
    assert answer["output"] is None


