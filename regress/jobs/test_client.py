"""
test_client.py: Tako VM 0.3.0's own client, unchanged, drives takod.
"""
import json
import os
import subprocess
import sys

import pytest

from lib import reference, shared

HERE = os.path.dirname(os.path.abspath(__file__))
SLIM = {"execution_id", "status", "job_type", "job_version", "created_at",
        "started_at", "ended_at", "duration_ms", "exit_code", "stdout",
        "stderr", "output", "error", "timing", "runtime"}
# The models that 0.3.0's own server makes its answers by: strict ones. What
# they need of the web framework is nothing: it is not installed.
MODELS = """
import json, sys
from unittest import mock
class Any(mock.MagicMock):
    __path__ = []
    class BaseHTTPMiddleware:
        pass
    class HTTPException(Exception):
        pass
    RequestValidationError = HTTPException
for name in ("fastapi", "starlette"):
    for part in ("", ".concurrency", ".exceptions", ".responses", ".requests",
                 ".middleware", ".middleware.base", ".middleware.cors",
                 ".types", ".routing", ".encoders", ".datastructures"):
        sys.modules[name + part] = Any()
sys.modules["uvicorn"] = Any()
import tako_vm.server.app
app = sys.modules["tako_vm.server.app"]
assert issubclass(app.HealthResponse, app.BaseModel)
got = json.load(sys.stdin)
for name, key in (
        ("JobStatusResponse", "get_status"),
        ("ExecutionRecordResponse", "get_result"),
        ("ExecutionRecordResponse", "get_execution"),
        ("ExecutionRecordFullResponse", "get_execution_full"),
        ("CancelResponse", "cancel"), ("DLQStatsResponse", "dlq_stats"),
        ("JobTypeResponse", "get_job_type")):
    model, value = getattr(app, name), dict(got[key])
    # What takod adds to a record stands under one name, to a status another.
    value.pop("started_at" if key == "get_status" else "takod", None)
    model(**value)
for value in got["list_job_types"]:
    app.JobTypeResponse(**value)
health = dict(got["health"]); health.pop("takod")
app.HealthResponse(**health)
pool = dict(got["pool_stats"]); pool.pop("takod")
app.PoolStatsResponse(**pool)
print("valid")
"""


@pytest.fixture(scope="module")
def python():
    return reference.python()


@pytest.fixture(scope="module", params=["sqlite", "pg"])
def daemon(request, shared_things):
    from conftest import end, make
    made = make("oci", "runsc" if request.param == "sqlite" else "runc",
                request.param)
    yield made
    end(made)


@pytest.fixture(scope="module")
def got(python, daemon):
    done = subprocess.run(
        [python, os.path.join(HERE, "client_0_3.py"), daemon.url], text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=150, cwd="/",
        env={"PATH": "/usr/bin:/bin", "HOME": daemon.dir})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_functions(got, daemon):
    assert got["send"] == ["Total", {"total": 5, "text": "sum"}]
    assert "ValueError: told to" in got["send_fails"]
    raw = got["send_raw"]
    assert raw["success"] is True
    assert raw["output"] == {"total": 42, "text": "sum"}
    assert raw["exit_code"] == 0 and raw["error"] is None
    assert raw["runtime"] == daemon.runtime and raw["job_type"] == "default"
    assert raw["job_id"].startswith("api-") and raw["execution_time"] > 0
    assert raw["correlation_id"] == "client-0-3"
    assert raw["deserialization_error"] is None
    assert got["module_send"] == {"total": 2, "text": "sum"}
    assert got["module_health"] == "healthy"


def test_jobs(got):
    assert got["submit_again"] is True
    assert got["submit_other"] == {
        "type": "ClientError", "status": 409, "cid": True,
        "detail": "Idempotency key reused with different payload"}
    record = got["get_result"]
    assert set(record) == SLIM and record["status"] == "succeeded"
    assert record["output"] == {"total": 11, "text": "sum"}
    assert record == got["get_execution"]
    assert got["get_result_full"] == got["get_execution_full"]
    assert set(got["get_result_full"]) > SLIM
    assert got["get_status"]["status"] == "succeeded"
    assert got["get_status"]["job_id"] == got["job"]
    assert json.loads(got["submit_code"]["stdout"]) == {"n": 1}


def test_reruns(got):
    for name, relationship, stdout in (("rerun", "rerun", '{"n": 1}'),
                                       ("fork", "fork", "forked")):
        record = got[name]
        assert record["relationship"] == relationship
        assert record["parent_execution_id"] == got["rerun_of"]
        assert record["stdout"].replace('":1', '": 1') == stdout + "\n"
    assert got["rerun"]["takod"]["timeout"] == 59
    assert got["rerun_running"] == {
        "type": "ClientError", "status": 400, "cid": True,
        "detail": "Cannot rerun job that hasn't completed"}


def test_cancel(got):
    assert got["cancel"]["status"] == got["cancelled"] == "cancelled"
    assert got["cancel_again"] == {
        "type": "ClientError", "status": 404, "cid": True,
        "detail": "Job not found or already completed"}


def test_errors(got):
    assert got["no_job"]["status"] == 404
    assert got["no_job"]["detail"] == "Job not found"
    assert got["no_job_type"]["detail"] == "Job type 'none' not found"
    assert got["no_build"]["status"] == 404
    assert got["build_job_type"]["status"] == "built"
    assert got["bad_code"]["status"] == 422
    assert "Code cannot be empty" in got["bad_code"]["detail"]


def test_answers_fit_the_models_of_0_3(python, got):
    done = subprocess.run(
        [python, "-c", MODELS], input=json.dumps(got), text=True,
        capture_output=True, timeout=100, cwd="/",
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"})
    assert done.stdout == "valid\n", done.stderr[-3000:]


def test_each_method_was_tried(python):
    """A client with more methods than were tried would be another one."""
    done = subprocess.run(
        [python, "-c", "from tako_vm.sdk.client import TakoVM\n"
         "print(*[n for n in vars(TakoVM) if n[0] != '_'])"],
        text=True, capture_output=True, timeout=60, cwd="/",
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"})
    methods = set(done.stdout.split())
    with open(os.path.join(HERE, "client_0_3.py")) as file:
        text = file.read()
    untried = {m for m in methods if "client.%s" % m not in text}
    assert untried <= {"download_artifact", "list_executions"}, untried
