"""
test_api.py: every endpoint of the HTTP API against a running takod, its
errors, and the rules that all answers keep. What a job sees and how it ends
is tested elsewhere; here it is the forms.
"""
import http.client
import json
import re
import socket
import threading
import time

import pytest

from lib import host

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"
NOBODY = "00000000-0000-4000-8000-000000000000"
SLIM = ["execution_id", "status", "job_type", "job_version", "created_at",
        "started_at", "ended_at", "duration_ms", "exit_code", "stdout",
        "stderr", "output", "error", "timing", "runtime"]
FULL = SLIM + ["job_ref", "artifacts", "input_artifacts", "resource_usage",
               "code_hash", "input_hash", "parent_execution_id",
               "relationship", "stdout_truncated", "stderr_truncated",
               "idempotency_key", "takod"]


@pytest.fixture(scope="module")
def done(takod):
    """A record of a job that ended well."""
    answer = takod.execute("print('hi')", idempotency_key="api-done-%d"
                           % time.monotonic_ns())
    assert answer["success"], answer
    return answer["execution_id"]


def raw(takod, data, close=True):
    """All bytes that come back for some bytes; b'' too."""
    with socket.create_connection((takod.host, takod.port), 20) as sock:
        sock.sendall(data)
        if close:
            sock.shutdown(socket.SHUT_WR)
        got = b""
        while True:
            piece = sock.recv(65536)
            if not piece:
                return got
            got += piece


def head(takod, path):
    """HEAD: the status, the fields, and all that follows them."""
    got = raw(takod, b"HEAD %s HTTP/1.1\r\nHost: localhost\r\n"
              b"Connection: close\r\n\r\n" % path.encode(), close=False)
    first, _, rest = got.partition(b"\r\n")
    fields, _, body = rest.partition(b"\r\n\r\n")
    pairs = [line.split(": ", 1) for line in fields.decode().split("\r\n")]
    return int(first.split()[1]), {k.lower(): v for k, v in pairs}, body


def errors(answer):
    """The validation list as (type, loc, msg)."""
    for item in answer["detail"]:
        extra = {"input", "ctx"} if item["type"] == "json_invalid" else set()
        assert set(item) == {"type", "loc", "msg"} | extra
    return [(e["type"], e["loc"], e["msg"]) for e in answer["detail"]]


# ---- rules of every answer ---------------------------------------------------

ANSWERS = [
    ("GET", "/", None, 307), ("GET", "/health", None, 200),
    ("GET", "/pool/stats", None, 200), ("GET", "/nothing", None, 404),
    ("GET", "/jobs/" + NOBODY, None, 404), ("POST", "/execute", {}, 422),
    ("DELETE", "/execute", None, 405), ("POST", "/execute", b"{", 422),
]


@pytest.mark.parametrize("method,path,body,status", ANSWERS)
def test_common_headers(takod, method, path, body, status):
    got, names, answer = takod.request(method, path, body)
    assert got == status
    assert names["x-content-type-options"] == "nosniff"
    assert names["x-frame-options"] == "DENY"
    assert names["x-xss-protection"] == "1; mode=block"
    assert re.fullmatch(UUID, names["x-correlation-id"])
    if status >= 400:
        assert answer["correlation_id"] == names["x-correlation-id"]
        assert list(answer)[:2] == ["detail", "correlation_id"]


@pytest.mark.parametrize("sent", ["a", "x" * 128, "!~{}\"\\<>"])
def test_correlation_kept(takod, sent):
    for path in ("/health", "/nothing"):
        names = takod.get(path, headers={"X-Correlation-ID": sent})[1]
        assert names["x-correlation-id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "a b", "caf\u00e9", "a\tb"])
def test_correlation_replaced(takod, sent):
    headers = {"X-Correlation-ID": sent.encode("utf-8")}
    names = takod.get("/health", headers=headers)[1]
    assert re.fullmatch(UUID, names["x-correlation-id"])


def test_correlation_in_record_and_log(takod):
    mine = "corr-%d" % time.monotonic_ns()
    status, _, answer = takod.post("/execute", {"code": "print(1)"},
                                   headers={"X-Correlation-ID": mine})
    assert status == 200
    record = takod.record(answer["execution_id"])
    assert record["takod"]["correlation_id"] == mine
    host.wait_for("the log names it", lambda: mine in takod.log(), 5)


@pytest.mark.parametrize("path", [
    "/nothing", "/jobs", "/jobs/", "/jobs//result", "/execute/x", "//health",
    "/jobs/%s/other" % NOBODY, "/jobs/%s/result/x" % NOBODY, "/HEALTH",
    "/executions/%s/diff" % NOBODY, "/docs/../health", "/%2e%2e/health", "/jobs%2f" + NOBODY])
def test_unknown_route(takod, path):
    status, _, answer = takod.get(path)
    assert (status, answer["detail"]) == (404, "Not Found")


@pytest.mark.parametrize("path", ["/%00", "/jobs/%zz", "/jobs/%ff", "/%c0%af"])
def test_path_that_cannot_be_decoded(takod, path):
    status, names, answer = takod.get(path)
    assert status == 400 and isinstance(answer["detail"], str)
    assert answer["correlation_id"] == names["x-correlation-id"]


def test_path_is_decoded_once(takod, done):
    assert takod.get("/%68ealth")[0] == 200
    assert takod.get("/jobs/" + "".join("%%%02x" % ord(c) for c in done))[
        2]["job_id"] == done
    assert takod.get("/%2568ealth")[0] == 404


@pytest.mark.parametrize("method,path,allow", [
    ("POST", "/health", "GET, HEAD"), ("GET", "/execute", "POST"),
    ("GET", "/execute/async", "POST"), ("DELETE", "/", "GET, HEAD"),
    ("PUT", "/jobs/x", "GET, HEAD"), ("PATCH", "/jobs/x/cancel", "POST"),
    ("OPTIONS", "/execute", "POST"), ("DELETE", "/dlq/stats", "GET, HEAD"), ("POST", "/jobs/x/result", "GET, HEAD")])
def test_wrong_method(takod, method, path, allow):
    status, names, answer = takod.request(method, path)
    assert (status, names["allow"]) == (405, allow)
    assert answer["detail"] == "Method Not Allowed"
    if method == "GET":
        status, names, body = head(takod, path)
        assert (status, names["allow"], body) == (405, allow, b"")


@pytest.mark.parametrize("path", ["/", "/health", "/pool/stats", "/nothing",
                                  "/jobs/x", "/executions/x?view=full"])
def test_head_is_get_without_body(takod, path):
    status, names, _ = takod.get(path)
    got, fields, body = head(takod, path)
    assert (got, body) == (status, b"")
    assert fields.get("content-type") == names.get("content-type")
    # Its length is that of GET; figures may have moved meanwhile.
    assert ("content-length" in fields) == ("content-length" in names)


def test_slash_at_the_end_is_sent_on(takod):
    status, names, _ = takod.get("/pool/stats/?a=%20b")
    assert (status, names["location"]) == (307, "/pool/stats?a=%20b")
    status, names, _ = takod.post("/execute/", {"code": "x"})
    assert (status, names["location"]) == (307, "/execute")


def test_root(takod):
    status, names, answer = takod.get("/")
    assert (status, names["location"], answer) == (307, "/docs", "")


# ---- the daemon --------------------------------------------------------------

def test_health(takod):
    status, names, answer = takod.get("/health")
    assert status == 200 and names["content-type"] == "application/json"
    assert list(answer) == [
        "status", "docker_available", "gvisor_available", "circuit_breaker",
        "version", "production_mode", "queue_stats", "takod"]
    assert answer["status"] == "healthy"
    assert answer["docker_available"] is True
    assert answer["gvisor_available"] is True
    assert answer["production_mode"] is False
    assert answer["circuit_breaker"] == {
        "state": "closed", "failure_count": 0,
        "success_count": answer["circuit_breaker"]["success_count"],
        "last_failure": None}
    assert answer["takod"]["runtime"] == "runsc"
    assert set(answer["queue_stats"]) == {
        "pending", "running", "max_workers", "max_queue_size"}


def test_pool_stats(takod):
    answer = takod.stats()
    assert list(answer) == ["pending", "running", "max_workers",
                            "max_queue_size", "takod"]
    assert answer["max_workers"] == 4
    assert answer["takod"]["warm_pool_size"] == 2


def test_starting(start):
    daemon = start(wait=False)
    seen = set()

    def ready():
        try:
            status, names, answer = daemon.get("/health", timeout=5)
        except (OSError, http.client.HTTPException):
            return False
        seen.add(status)
        if status == 503:
            assert answer["status"] == "starting"
            assert set(answer) == {"status", "detail"}
            assert "retry-after" in names
        return status == 200
    host.wait_for("takod is ready", ready, 60)
    assert seen <= {200, 503}
    daemon.wait_ready()


# ---- POST /execute -----------------------------------------------------------

def test_execute(takod):
    status, names, answer = takod.post("/execute", {
        "code": "import json\nprint('out \u00e9')\n"
                "import sys; print('err', file=sys.stderr)\n"
                "json.dump(json.load(open('/input/data.json')),"
                " open('/output/result.json', 'w'))",
        "input_data": {"a": [1, None, "\u00e9"]}})
    assert status == 200
    assert names["cache-control"] == "no-store"
    assert list(answer) == [
        "success", "output", "execution_time", "stdout", "stderr",
        "exit_code", "error", "job_type", "execution_id", "runtime"]
    assert answer["success"] is True
    assert answer["output"] == {"a": [1, None, "\u00e9"]}
    assert isinstance(answer["execution_time"], float)
    assert 0 < answer["execution_time"] < 30
    assert (answer["stdout"], answer["stderr"]) == ("out \u00e9\n", "err\n")
    assert (answer["exit_code"], answer["error"]) == (0, None)
    assert (answer["job_type"], answer["runtime"]) == ("default", "runsc")
    assert re.fullmatch("api-" + UUID, answer["execution_id"])


def test_execute_that_fails(takod):
    answer = takod.execute("raise ValueError('no')")
    assert answer["success"] is False
    assert answer["error"] == "ValueError: no"
    assert answer["exit_code"] == 1 and answer["output"] is None
    assert "Traceback" in answer["stderr"]


def test_numbers_reach_the_job_as_written(takod):
    text = ('{"code": "print(open(\'/input/data.json\').read())", '
            '"input_data": {"big": 1208925819614629174706177, '
            '"r": 0.10, "e": 1e400}}')
    answer = takod.post("/execute", text)[2]
    assert "1208925819614629174706177" in answer["stdout"]
    assert "0.10" in answer["stdout"] and "1e400" in answer["stdout"]


@pytest.mark.parametrize("code", [
    "print(chr(34) + chr(92) + chr(9) + chr(1))",
    "import sys; sys.stdout.buffer.write(bytes([0, 255, 0x0a]))"])
def test_output_of_odd_bytes(takod, code):
    out = takod.execute(code)["stdout"]
    assert out in ('"\\\t\x01\n', "\ufffd\ufffd\n")


def test_long_output(takod):
    answer = takod.execute("print('\\n\"' * 100000)")
    assert "[TRUNCATED: output exceeded 65536 bytes]" in answer["stdout"]
    assert answer["stdout"].startswith('\n"' * 1000)


@pytest.mark.parametrize("body,wanted", [
    ({}, [("missing", ["body", "code"], "Field required")]),
    ({"code": ""}, [("string_too_short", ["body", "code"],
                     "String should have at least 1 character")]),
    ({"code": " \n"}, [("value_error", ["body", "code"],
                        "Value error, Code cannot be empty")]),
    ({"code": "x\0"}, [("value_error", ["body", "code"],
                        "Value error, Code cannot contain null characters")]),
    ({"zz": 1, "timeout": 0, "code": 5, "startup_timeout": True,
      "input_data": None, "requirements": "x", "job_type": "a b",
      "idempotency_key": "short"}, [
          ("string_type", ["body", "code"], "Input should be a valid string"),
          ("dict_type", ["body", "input_data"],
           "Input should be a valid dictionary"),
          ("greater_than_equal", ["body", "timeout"],
           "Input should be greater than or equal to 1"),
          ("int_type", ["body", "startup_timeout"],
           "Input should be a valid integer"),
          ("string_pattern_mismatch", ["body", "job_type"],
           "String should match pattern "
           "'^[a-zA-Z0-9_-]+(@[a-zA-Z0-9_.@:-]+)?$'"),
          ("string_too_short", ["body", "idempotency_key"],
           "String should have at least 8 characters"),
          ("list_type", ["body", "requirements"],
           "Input should be a valid list"),
          ("extra_forbidden", ["body", "zz"],
           "Extra inputs are not permitted")]),
    ({"code": "x", "requirements": ["ok", "--index-url=http://x"]}, [
        ("value_error", ["body", "requirements", 1],
         "Value error, Invalid package requirement")]),
    ([], [("model_attributes_type", ["body"],
           "Input should be a valid dictionary or object to extract fields "
           "from")]),
    (b"", [("missing", ["body"], "Field required")]),
])
def test_validation(takod, body, wanted):
    for path in ("/execute", "/execute/async"):
        status, _, answer = takod.post(path, body)
        assert status == 422
        assert errors(answer) == wanted
        assert set(answer) == {"detail", "correlation_id"}


@pytest.mark.parametrize("body,offset", [
    (b"{", 1), (b" ", 1), (b'{"code":"x"} x', 13),
    (b'{"code":"x","code":"y"}', None), (b'{"code":"\xff"}', 9),
    (b'{"code":"x","timeout":NaN}', 22), (b'{"code":"\\ud800"}', None),
    (b'{"code":"x","input_data":' + b'{"a":' * 65 + b"1" + b"}" * 66, None),
    ("{\"code\":\"x\"}".encode("utf-16"), 0)])
def test_no_json(takod, body, offset):
    status, _, answer = takod.post("/execute", body)
    assert status == 422
    (kind, loc, msg), = errors(answer)
    assert (kind, loc[0], msg) == ("json_invalid", "body",
                                   "JSON decode error")
    assert isinstance(loc[1], int) and offset in (None, loc[1])


@pytest.mark.parametrize("kind,good", [
    ("application/json", True), ("Application/JSON; charset=utf-8", True),
    ("application/vnd.api+json", True), (None, False), ("text/json", False),
    ("text/plain", False), ("application/jsonx", False),
    ("application/x-www-form-urlencoded", False)])
def test_content_type(takod, kind, good):
    head = "POST /execute/async HTTP/1.1\r\nHost: localhost\r\n" \
        "Connection: close\r\nContent-Length: 2\r\n"
    if kind is not None:
        head += "Content-Type: %s\r\n" % kind
    got = raw(takod, head.encode() + b"\r\n{}", close=False)
    assert got.startswith(b"HTTP/1.1 422 ")
    assert (b"missing" in got) == good
    assert (b"model_attributes_type" in got) != good


def test_bom_and_numbers_as_strings(takod):
    body = b'\xef\xbb\xbf{"code":"print(1)","timeout":" 5.0 "}'
    status, _, answer = takod.post("/execute", body)
    assert status == 200 and answer["stdout"] == "1\n"


@pytest.mark.parametrize("path", ["/execute", "/execute/async"])
def test_ceilings(takod, path):
    status, _, answer = takod.post(path, {"code": "x", "timeout": 121})
    assert status == 422
    assert answer["detail"] == ("timeout must be less than or equal to the "
                                "configured max_timeout (120 seconds)")
    assert set(answer) == {"detail", "correlation_id"}


def test_content_encoding(takod):
    status, _, answer = takod.post("/execute", b"x" * 10, headers={
        "Content-Encoding": "gzip"})
    assert status == 415 and "Content-Encoding" in answer["detail"]


def test_payload_too_large(takod):
    wanted = "Payload too large. Maximum allowed size is 2097152 bytes."
    # Declared: answered before a byte of the body is there.
    got = raw(takod, b"POST /execute HTTP/1.1\r\nHost: localhost\r\n"
              b"Content-Type: application/json\r\n"
              b"Content-Length: 2097153\r\n\r\n", close=False)
    assert got.startswith(b"HTTP/1.1 413 ") and wanted.encode() in got
    # Grown.
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    got = raw(takod, b"POST /execute HTTP/1.1\r\nHost: localhost\r\n"
              b"Content-Type: application/json\r\n"
              b"Transfer-Encoding: chunked\r\n\r\n" + piece * 33,
              close=False)
    assert got.startswith(b"HTTP/1.1 413 ") and wanted.encode() in got
    # At the limit it is read.
    body = b'{"code":""}'.ljust(2097152)
    assert takod.post("/execute", body)[0] == 422


# ---- POST /execute/async and what follows ------------------------------------

def test_async(takod):
    status, names, answer = takod.post("/execute/async", {"code": "print(7)"})
    assert status == 200 and names["cache-control"] == "no-store"
    assert list(answer) == ["job_id", "status"]
    assert re.fullmatch(UUID, answer["job_id"])
    assert answer["status"] == "queued"
    record = takod.wait(answer["job_id"])
    assert (record["status"], record["stdout"]) == ("succeeded", "7\n")


def test_idempotency(takod):
    key = "api-key-%d" % time.monotonic_ns()
    body = {"code": "print(1)", "idempotency_key": key}
    first = takod.post("/execute/async", body)[2]["job_id"]
    assert takod.post("/execute/async", body)[2]["job_id"] == first
    status, _, answer = takod.post("/execute/async",
                                   {**body, "code": "print(2)"})
    assert status == 409
    assert answer["detail"] == "Idempotency key reused with different payload"
    assert answer["existing_job_id"] == first
    takod.wait(first)
    status, _, again = takod.post("/execute/async", body)
    assert (again["job_id"], again["status"]) == (first, "succeeded")
    # /execute honours it too: the job that is there, not another.
    status, _, answer = takod.post("/execute", body)
    assert (status, answer["execution_id"]) == (200, first)
    assert answer["stdout"] == "1\n"
    assert takod.record(first)["idempotency_key"] == key


def test_status_of_a_job(takod, done):
    status, names, answer = takod.get("/jobs/" + done)
    assert status == 200 and names["cache-control"] == "no-store"
    assert list(answer) == ["job_id", "status", "created_at", "started_at",
                            "duration_ms", "queue_position"]
    assert (answer["job_id"], answer["status"]) == (done, "succeeded")
    assert re.fullmatch(TIME, answer["created_at"])
    assert re.fullmatch(TIME, answer["started_at"])
    assert isinstance(answer["duration_ms"], int)
    assert answer["queue_position"] is None


@pytest.mark.parametrize("path", ["/jobs/%s/result", "/executions/%s"])
def test_records(takod, done, path):
    status, names, slim = takod.get(path % done)
    assert status == 200 and names["cache-control"] == "no-store"
    assert list(slim) == SLIM
    full = takod.get(path % done + "?view=full")[2]
    assert list(full) == FULL
    assert {k: full[k] for k in SLIM} == slim
    assert takod.get(path % done + "?view=other")[2] == slim
    assert slim["execution_id"] == done
    assert slim["job_version"] == full["job_ref"] == "default@latest"
    for name in ("created_at", "started_at", "ended_at"):
        assert re.fullmatch(TIME, slim[name])
    assert slim["created_at"] <= slim["started_at"] <= slim["ended_at"]
    assert list(slim["timing"]) == ["startup_ms", "dep_install_ms",
                                    "execution_ms", "total_ms",
                                    "phase_at_exit"]
    assert slim["timing"]["phase_at_exit"] == "completed"
    assert [a["name"] for a in full["input_artifacts"]] == [
        "_code.py", "_input.json"]
    assert list(full["input_artifacts"][0]) == [
        "name", "size_bytes", "sha256", "content_type"]
    assert full["code_hash"] == full["input_artifacts"][0]["sha256"]
    assert set(full["resource_usage"]) == {"max_rss_mb", "cpu_time_ms",
                                           "wall_time_ms"}
    assert full["relationship"] is full["parent_execution_id"] is None


def test_artifacts_of_a_record(takod):
    record = takod.run(
        "open('/output/a b\"\u00e9.txt', 'w').write('12345')\n"
        "open('/output/result.json', 'w').write('[1]')")
    named = {a["name"]: a for a in record["artifacts"]}
    assert named["a b\"\u00e9.txt"]["size_bytes"] == 5
    assert re.fullmatch("[0-9a-f]{64}", named["a b\"\u00e9.txt"]["sha256"])
    assert "result.json" in named and record["output"] == [1]


@pytest.mark.parametrize("method,path,detail", [
    ("GET", "/jobs/%s", "Job not found"),
    ("GET", "/jobs/%s/result", "Job not found"),
    ("GET", "/jobs/%s/result?wait=true", "Job not found"),
    ("GET", "/executions/%s", "Execution not found"),
    ("POST", "/jobs/%s/cancel", "Job not found or already completed")])
@pytest.mark.parametrize("job", [
    NOBODY, "api-" + NOBODY, "x", "..", "%27", "a" * 200, "a" * 5000])
def test_no_such_job(takod, method, path, detail, job):
    if job == "..":
        job = "%2e%2e"
    status, _, answer = takod.request(method, path % job)
    if len(job) > 255:
        detail = "Not Found"
    assert (status, answer["detail"]) == (404, detail)


def test_result_while_it_runs(takod):
    job = takod.submit("import time; time.sleep(60)")
    takod.wait_status(job, "running")
    record = takod.get("/jobs/%s/result" % job)[2]
    assert record["status"] == "running" and record["exit_code"] is None
    assert record["ended_at"] is None and record["stdout"] == ""
    began = time.monotonic()
    status, _, answer = takod.get("/jobs/%s/result?wait=1&timeout=1.5" % job)
    assert (status, answer["detail"]) == (408, "Timeout waiting for job")
    assert 1.4 < time.monotonic() - began < 20
    # A waiter that gives up changed nothing.
    assert takod.get("/jobs/" + job)[2]["status"] == "running"
    status, _, answer = takod.post("/jobs/%s/cancel" % job)
    assert (status, answer) == (200, {"status": "cancelled", "job_id": job})
    assert takod.wait(job)["status"] == "cancelled"


def test_cancel_wakes_who_waits(takod):
    job = takod.submit("import time; time.sleep(60)")
    got = []
    thread = threading.Thread(target=lambda: got.append(
        takod.get("/jobs/%s/result?wait=yes&timeout=60" % job)))
    thread.start()
    takod.wait_status(job, "running")
    assert takod.post("/jobs/%s/cancel" % job)[0] == 200
    thread.join(20)
    assert got and got[0][0] == 200
    assert got[0][2]["status"] == "cancelled"
    assert got[0][2]["error"]["type"] == "cancelled"
    assert takod.post("/jobs/%s/cancel" % job)[0] == 404


def test_cancel_of_what_ended(takod, done):
    status, _, answer = takod.post("/jobs/%s/cancel" % done)
    assert (status, answer["detail"]) == (
        404, "Job not found or already completed")


@pytest.mark.parametrize("query,wanted", [
    ("wait=2", [("bool_parsing", "wait")]),
    ("timeout=0", [("greater_than_equal", "timeout")]),
    ("timeout=301", [("less_than_equal", "timeout")]),
    ("timeout=nan", [("less_than_equal", "timeout")]),
    ("timeout=x&wait=x", [("bool_parsing", "wait"),
                          ("float_parsing", "timeout")])])
def test_bad_query(takod, done, query, wanted):
    status, _, answer = takod.get("/jobs/%s/result?%s" % (done, query))
    assert status == 422
    assert [(e[0], e[1]) for e in errors(answer)] == [
        (kind, ["query", name]) for kind, name in wanted]


def test_pending_job(takod, start):
    daemon = start(config={"max_workers": 1, "max_queue_size": 2})
    first = daemon.submit("import time; time.sleep(60)")
    daemon.wait_status(first, "running")
    waiting = [daemon.submit("print(1)") for _ in range(2)]
    for place, job in enumerate(waiting, 1):
        answer = daemon.get("/jobs/" + job)[2]
        assert answer["status"] == "pending"
        assert answer["queue_position"] == place
        assert answer["started_at"] is None
        assert answer["duration_ms"] is None
        assert daemon.get("/executions/" + job)[2]["status"] == "queued"
    for path in ("/execute", "/execute/async"):
        status, names, answer = daemon.post(path, {"code": "x"})
        assert status == 503 and int(names["retry-after"]) >= 1
        assert answer["detail"] == "Job queue is full, try again later"
    answer = daemon.post("/jobs/%s/cancel" % waiting[0])[2]
    assert answer["status"] == "cancelled"
    record = daemon.record(waiting[0])
    assert record["status"] == "cancelled" and record["started_at"] is None
    assert record["exit_code"] == -1 and record["timing"] is None
    assert daemon.get("/jobs/" + waiting[1])[2]["queue_position"] == 1
    daemon.post("/jobs/%s/cancel" % first)
    assert daemon.wait(waiting[1])["status"] == "succeeded"


def leave(takod, body):
    """Sends POST /execute and goes away once its job runs; the job's id."""
    mark = "mark-%d" % time.monotonic_ns()
    data = json.dumps({**body, "code": body["code"] + " # " + mark}).encode()
    before = {w["job_id"] for w in takod.workers()}
    sock = socket.create_connection((takod.host, takod.port), 20)
    sock.sendall(b"POST /execute HTTP/1.1\r\nHost: localhost\r\n"
                 b"Content-Type: application/json\r\n"
                 b"Content-Length: %d\r\n\r\n" % len(data) + data)

    def running():
        return {w["job_id"] for w in takod.workers()} - before - {"", None}
    job, = host.wait_for("the job runs", running, 20)
    sock.close()
    return job


def test_client_of_execute_goes_away(takod):
    job = leave(takod, {"code": "import time; time.sleep(60)"})
    record = takod.wait(job, 20)
    assert record["status"] == "cancelled"


def test_client_with_a_key_goes_away(takod):
    job = leave(takod, {"code": "import time; time.sleep(4); print(5)",
                        "idempotency_key": "api-gone-%d"
                        % time.monotonic_ns()})
    record = takod.wait(job, 20)
    assert (record["status"], record["stdout"]) == ("succeeded", "5\n")


# ---- who may ask -------------------------------------------------------------

KEY = "0123456789abcdef-key"


@pytest.fixture(scope="module")
def guarded(takod):
    from conftest import end, make
    daemon = make(config={
        "api_auth_enabled": True, "api_keys": [KEY],
        "api_auth_header": "X-My-Key", "api_rate_limit_enabled": True,
        "api_rate_limit_requests": 30, "api_rate_limit_window_seconds": 3600})
    yield daemon
    end(daemon)


def test_keys_and_rate(guarded):
    def refused(headers, method="GET", path="/pool/stats", body=None):
        status, names, answer = guarded.request(method, path, body, headers)
        assert (status, answer["detail"]) == (
            401, "Missing or invalid API key.")
        assert names["www-authenticate"] == "Bearer"

    refused({})
    refused({"X-My-Key": KEY + "x"})
    refused({"X-API-Key": KEY})
    refused({"Authorization": "Basic " + KEY})
    refused({}, path="/nothing")
    # Before the payload is looked at.
    refused({}, "POST", "/execute", b"{")
    refused({"X-My-Key": "caf\u00e9".encode()})
    refused({"X-My-Key": "x" * 600})
    for headers in ({"X-My-Key": KEY}, {"x-my-key": KEY},
                    {"Authorization": "Bearer " + KEY},
                    {"Authorization": "bearer   " + KEY}):
        assert guarded.get("/pool/stats", headers=headers)[0] == 200
    got = raw(guarded, b"GET /pool/stats HTTP/1.1\r\nHost: localhost\r\n"
              b"Connection: close\r\nX-My-Key: " + KEY.encode() +
              b"\r\nX-My-Key: " + KEY.encode() + b"\r\n\r\n", close=False)
    assert got.startswith(b"HTTP/1.1 401 ")
    # Wrong keys are counted by their address, good ones by the key.
    for _ in range(40):
        status, names, answer = guarded.get("/pool/stats")
        if status == 429:
            break
        assert status == 401
    assert status == 429
    assert answer["detail"] == "Rate limit exceeded. Try again later."
    assert 1 <= int(names["retry-after"]) <= 3601
    assert guarded.get("/pool/stats",
                       headers={"X-My-Key": KEY})[0] == 200
    for _ in range(5):
        assert guarded.get("/health")[0] == 200


def test_foreign_host_is_refused(takod):
    status, _, answer = takod.get("/pool/stats",
                                  headers={"Host": "rebound.example"})
    assert (status, answer["detail"]) == (401, "Missing or invalid API key.")
    assert takod.get("/pool/stats", headers={"Host": "localhost:1"})[0] == 200
    # A request without that field names its host in the target.
    for name, status in ((b"rebound.example", 401), (b"localhost:1", 200)):
        got = raw(takod, b"GET http://" + name + b"/pool/stats HTTP/1.0\r\n"
                  b"\r\n", close=False)
        assert got.startswith(b"HTTP/1.1 %d " % status), got
    assert takod.get("/pool/stats", headers={
        "X-Forwarded-For": "1.2.3.4"})[0] == 401
    assert takod.get("/health", headers={"Host": "rebound.example"})[0] == 200


# ---- the front is replaced ---------------------------------------------------

def test_front_killed(takod, done):
    """Row T01 of the fault catalogue."""
    job = takod.submit("import time; time.sleep(1); print(3)")
    pid, = takod.children("tako-api")
    host.signal_pid(pid, 9)

    def back():
        try:
            return takod.get("/jobs/" + done)[0] == 200
        except (OSError, http.client.HTTPException):
            return False
    host.wait_for("the front is back", back)
    assert takod.wait(job)["stdout"] == "3\n"
    assert takod.alive()
