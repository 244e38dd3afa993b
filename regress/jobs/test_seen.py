"""
test_seen.py: what was measured of a running Tako VM 0.3.0, row by row, as far
as jobs are concerned: takod does the same, or better where that was decided.
"""
import concurrent.futures
import http.client
import json
import re
import threading
import time

import pytest

from lib import host

DISABLED = ("Runtime dependency installation is disabled. Use pre-built images "
            "or set allow_runtime_requirements=True.")
PATHS = ["/execute", "/execute/async"]


@pytest.fixture(scope="module", params=["sqlite", "pg"])
def daemon(request, shared_things):
    from conftest import end, make
    made = make("oci", "runc", request.param, config={
        "max_workers": 2,
        "job_types": [{"name": "small", "memory_limit": "64m"}]})
    yield made
    end(made)


def kinds(answer):
    return [(e["type"], e["loc"]) for e in answer["detail"]]


# ---- bodies -----------------------------------------------------------------

@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body,wanted", [
    (b"", [("missing", ["body"])]),
    (b"null", [("model_attributes_type", ["body"])]),
    (b"[]", [("model_attributes_type", ["body"])]),
    (b"7", [("model_attributes_type", ["body"])]),
    (b'"x"', [("model_attributes_type", ["body"])]),
    (b"  \n", [("json_invalid", ["body", 3])]),
    ({"code": ""}, [("string_too_short", ["body", "code"])]),
    ({"code": " \t\n\u2003"}, [("value_error", ["body", "code"])]),
    ({"code": "x" * 100001}, [("string_too_long", ["body", "code"])]),
    ({"code": "x", "input_data": None}, [("dict_type",
                                          ["body", "input_data"])]),
    ({"code": "x", "input_data": []}, [("dict_type",
                                        ["body", "input_data"])]),
    ({"code": "x", "requirements": "numpy"},
     [("list_type", ["body", "requirements"])]),
    ({"code": "x", "requirements": ["a"] * 51},
     [("too_long", ["body", "requirements"])]),
    ({"code": "x", "job_type": "x" * 129},
     [("string_too_long", ["body", "job_type"])]),
    ({"code": "x", "idempotency_key": "k" * 256},
     [("string_too_long", ["body", "idempotency_key"])]),
    ({"code": "x", "idempotency_key": "k" * 7},
     [("string_too_short", ["body", "idempotency_key"])]),
    ({"code": "x", "idempotency_key": ""},
     [("string_too_short", ["body", "idempotency_key"])]),
    ({"code": "x", "idempotency_key": "caf\u00e9-keys"},
     [("string_pattern_mismatch", ["body", "idempotency_key"])]),
    # Fields in their order, whatever the body's is; unknown ones last.
    ({"b": 1, "requirements": 1, "timeout": "x", "a": 1, "code": 1},
     [("string_type", ["body", "code"]), ("int_parsing", ["body", "timeout"]),
      ("list_type", ["body", "requirements"]),
      ("extra_forbidden", ["body", "b"]),
      ("extra_forbidden", ["body", "a"])]),
    ({"code": "x", "timeout": 5.5}, [("int_from_float", ["body", "timeout"])]),
    ({"code": "x", "timeout": True}, [("int_type", ["body", "timeout"])]),
    ({"code": "x", "timeout": -1}, [("greater_than_equal",
                                     ["body", "timeout"])]),
    ({"code": "x", "timeout": 10 ** 9}, [("less_than_equal",
                                          ["body", "timeout"])]),
    # Better than there: 500, accepted, accepted, 500.
    (b'{"code": "x", "timeout": 1e999}', [("finite_number",
                                           ["body", "timeout"])]),
    (b'{"code": "x", "input_data": {"a": NaN}}', [("json_invalid", None)]),
    (b'{"code": "x", "input_data": {"a": -Infinity}}',
     [("json_invalid", None)]),
    (b'{"code": "x\\ud83d"}', [("json_invalid", None)]),
    (b'{"code": "x\xff"}', [("json_invalid", None)]),
    (b'{"code": "x"', [("json_invalid", None)]),
])
def test_bodies(daemon, path, body, wanted):
    status, names, answer = daemon.post(path, body)
    assert status == 422, answer
    got = [(kind, loc if want[1] else None)
           for (kind, loc), want in zip(kinds(answer), wanted)]
    assert got == wanted and len(kinds(answer)) == len(wanted)
    assert answer["correlation_id"] == names["x-correlation-id"]


@pytest.mark.parametrize("body", [
    b'\xef\xbb\xbf{"code": "1"}', {"code": "1", "timeout": 5.0},
    {"code": "1", "timeout": "5"}, {"code": "1", "timeout": None},
    {"code": "1", "requirements": []}, {"code": "1", "requirements": None},
    {"code": "1", "job_type": None, "idempotency_key": None}])
def test_bodies_that_are_taken(daemon, body):
    status, _, answer = daemon.post("/execute", body)
    assert status == 200 and answer["success"], answer


@pytest.mark.parametrize("length", [8, 128, 129, 255])
def test_lengths_of_keys(daemon, length):
    key = ("%d-" % time.monotonic_ns()).ljust(length, "k")[-length:]
    job = daemon.submit("1", idempotency_key=key)
    assert daemon.wait(job)["idempotency_key"] == key


WAITS = {**dict.fromkeys(("1", "yes", "on", "t", "true", "Y", "TRUE"), 408),
         **dict.fromkeys(("0", "no", "off", "f", "false", "N"), 200)}


def test_words_for_wait(daemon):
    job = daemon.submit("import time; time.sleep(60)")
    daemon.wait_status(job, "running")
    try:
        with concurrent.futures.ThreadPoolExecutor(len(WAITS)) as pool:
            answers = pool.map(lambda word: daemon.get(
                "/jobs/%s/result?wait=%s&timeout=1" % (job, word)), WAITS)
            got = dict(zip(WAITS, (status for status, _, _ in answers)))
        assert got == WAITS
    finally:
        daemon.post("/jobs/%s/cancel" % job)
        daemon.wait(job)


@pytest.mark.parametrize("query,kind", [
    ("wait=maybe", "bool_parsing"), ("timeout=soon", "float_parsing"),
    ("timeout=0.5", "greater_than_equal"), ("timeout=301", "less_than_equal")])
def test_bad_queries(daemon, query, kind):
    job = daemon.submit("1")
    status, _, answer = daemon.get("/jobs/%s/result?%s" % (job, query))
    assert (status, answer["detail"][0]["type"]) == (422, kind)
    daemon.wait(job)


# ---- ends -------------------------------------------------------------------

@pytest.mark.parametrize("code,status,exit_code,error,message", [
    ("import time; time.sleep(60)", "timeout", 124, "execution_timeout",
     r"Code execution exceeded time limit \(1s\) "
     r"\(startup: \d+ms, execution: \d+ms\)"),
    ("x = bytearray(200 << 20)", "oom", 137, "oom",
     "Execution exceeded memory limit"),
    ("raise SystemExit(7)", "failed", 7, "runtime_error", "Exit code 7"),
    ("import sys; sys.stderr.write('e' * 300); sys.exit(3)", "failed", 3,
     "runtime_error", "e{200}"),
    ("1 / 0", "failed", 1, "division_error",
     "ZeroDivisionError: division by zero"),
    ("raise SystemExit(124)", "failed", 124, "runtime_error",
     "Exit code 124"),
    ("raise SystemExit(125)", "failed", 125, "runtime_error",
     "Exit code 125"),
    ("raise SystemExit(137)", "failed", 137, "runtime_error",
     "Exit code 137"),
    ("raise SystemExit(139)", "failed", 139, "runtime_error",
     "Exit code 139"),
    ("raise SystemExit(143)", "failed", 143, "runtime_error",
     "Exit code 143"),
    ("import os; os.abort()", "failed", 134, "abort", ".*SIGABRT.*"),
    ("import os; os.kill(os.getpid(), 11)", "failed", 139, "segfault",
     ".*SIGSEGV.*"),
    ("import os; os.kill(os.getpid(), 9)", "failed", 137, "killed",
     ".*SIGKILL.*"),
])
def test_ends(daemon, code, status, exit_code, error, message):
    record = daemon.run(code, job_type="small",
                        timeout=1 if status == "timeout" else 60)
    assert (record["status"], record["exit_code"], record["error"]["type"]) \
        == (status, exit_code, error), record
    assert re.fullmatch(message, record["error"]["message"], re.S), record


@pytest.mark.parametrize("asked,ran", [
    (None, "default"), ("default", "default"), ("small", "small"),
    ("nosuch", "default"), ("small@1.0", "small"), ("nosuch@x:y", "default")])
def test_types_as_asked_and_as_run(daemon, asked, ran):
    ref = (asked or "default") + "@latest"
    record = daemon.run("1", job_type=asked)
    assert record["job_type"] == ran
    assert record["job_version"] == record["job_ref"] == ref
    assert daemon.execute("1", job_type=asked)["job_type"] == ran


def test_an_unknown_type_while_it_waits(daemon):
    blockers = [daemon.submit("import time; time.sleep(60)")
                for _ in range(2)]
    for job in blockers:
        daemon.wait_status(job, "running")
    waiting = daemon.submit("1", job_type="nosuch")
    record = daemon.record(waiting)
    assert (record["status"], record["job_type"], record["job_version"]) == (
        "queued", "nosuch", "nosuch@latest")
    for job in blockers:
        daemon.post("/jobs/%s/cancel" % job)
    record = daemon.wait(waiting)
    assert (record["job_type"], record["job_version"]) == (
        "default", "nosuch@latest")


@pytest.mark.parametrize("asked", [["requests"], ["requests", "x" * 250],
                                   ["nothing-of-that-name==9.9"]])
def test_requirements_when_disabled(daemon, asked):
    answer = daemon.execute("print('ran')", requirements=asked)
    assert answer["success"] is False and answer["exit_code"] == -1
    assert answer["error"] == answer["stderr"] == DISABLED
    assert answer["stdout"] == "" and answer["output"] is None
    record = daemon.wait(daemon.submit("print('ran')", requirements=asked))
    assert (record["status"], record["exit_code"]) == ("failed", -1)
    assert record["error"]["type"] == "dependency_error"
    assert record["error"]["message"] == record["stderr"] == DISABLED


def test_requirements_that_cannot_be_given(start):
    """Allowed, but their index is not there: never run without."""
    daemon = start("oci", "runc", config={
        "allow_runtime_requirements": True,
        "package_index_url": "http://127.0.0.1:9/simple"})
    answer = daemon.execute("print('ran')", requirements=["requests"])
    assert answer["success"] is False and "ran" not in answer["stdout"]
    record = daemon.record(answer["execution_id"])
    assert record["error"]["type"] == "dependency_error", record


# ---- what a job leaves ------------------------------------------------------

@pytest.mark.parametrize("text,output", [
    ('{"a": 1}', {"a": 1}), ("[1, 2]", [1, 2]), ("7", 7), ('"x"', "x"),
    ("null", None), ("NaN", None), ('{"a": 1e400}', None),
    ('{"a": Infinity}', None), ("{", None), ("", None)])
def test_results(daemon, text, output):
    """A result.json of any form is kept; it is output where it is JSON."""
    record = daemon.run("open('/output/result.json', 'w').write(%r)" % text)
    assert record["output"] == output
    assert [a["name"] for a in record["artifacts"]] == ["result.json"]
    assert record["status"] == "succeeded"


def test_result_of_a_failed_job(daemon):
    record = daemon.run("open('/output/result.json', 'w').write('[1]')\n"
                        "raise SystemExit(3)")
    assert (record["status"], record["output"]) == ("failed", [1])
    assert [a["name"] for a in record["artifacts"]] == ["result.json"]


def test_which_files_are_artifacts(daemon):
    record = daemon.run(
        "import os\n"
        "for name in ('.hidden', 'a.txt', '\u00e9.bin'):\n"
        "    open('/output/' + name, 'w').write(name)\n"
        "os.mkdir('/output/folder')\n"
        "open('/output/folder/inside', 'w').write('x')\n"
        "raise ValueError('kept all the same')")
    assert sorted(a["name"] for a in record["artifacts"]) == [
        "a.txt", "\u00e9.bin"]
    assert [a["name"] for a in record["input_artifacts"]] == [
        "_code.py", "_input.json"]


@pytest.mark.parametrize("data,shown", [
    ("b'a\\0b\\n'", "a\ufffdb\n"), ("b'a\\xffb\\n'", "a\ufffdb\n"),
    ("b'\\xed\\xa0\\x80'", "\ufffd\ufffd\ufffd")])
def test_bytes_on_stdout(daemon, data, shown):
    record = daemon.run("import sys; sys.stdout.buffer.write(%s)" % data)
    assert record["status"] == "succeeded" and record["stdout"] == shown


def test_a_synchronous_job_is_seen_while_it_runs(daemon):
    got = []
    thread = threading.Thread(target=lambda: got.append(daemon.execute(
        "import time; time.sleep(60)")))
    before = {w["job_id"] for w in daemon.workers()}
    thread.start()

    def running():
        ids = {w["job_id"] for w in daemon.workers()} - before - {"", None}
        return [i for i in ids if i.startswith("api-")]
    job, = host.wait_for("the job runs", running, 20)
    assert daemon.stats()["running"] >= 1
    assert daemon.get("/jobs/" + job)[2]["status"] == "running"
    assert daemon.post("/jobs/%s/cancel" % job)[0] == 200
    thread.join(20)
    assert got and got[0]["success"] is False


# ---- other forms ------------------------------------------------------------

@pytest.mark.parametrize("path", ["/job-types", "/job-types/default", "/dlq",
                                  "/dlq/stats", "/job-types/none"])
def test_head(daemon, path):
    status = daemon.get(path)[0]
    connection = http.client.HTTPConnection(daemon.host, daemon.port,
                                            timeout=20)
    connection.request("HEAD", path)
    reply = connection.getresponse()
    assert reply.status == status and reply.read() == b""
    connection.close()


def test_views(daemon):
    record = daemon.run("1")
    for view in ("", "slim", "FULL", "full%20"):
        answer = daemon.get("/executions/%s?view=%s" % (
            record["execution_id"], view))[2]
        assert "takod" not in answer and "code_hash" not in answer
    assert "takod" in daemon.get("/jobs/%s/result?view=full"
                                 % record["execution_id"])[2]


def test_ids_that_were_never_given(daemon):
    """The same answer for each, near or far from one that is there."""
    job = daemon.run("1")["execution_id"]
    near = job[:-1] + ("0" if job[-1] != "0" else "1")
    seen = set()
    for other in (near, near.replace("api-", ""), job.upper(), "x" * 36):
        status, _, answer = daemon.get("/jobs/" + other)
        answer.pop("correlation_id")
        seen.add((status, json.dumps(answer)))
    assert seen == {(404, '{"detail": "Job not found"}')}
