"""
test_openapi.py: the document at /openapi.json. It is valid, complete and in
step with what serves; every answer that the tests of this run saw is as it
says; and schemathesis, which makes requests of it, finds nothing.
"""
import http.client
import json
import os
import re
import subprocess

import pytest

from fakeparent import FakeParent
from lib import answers, host, public

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "..", "..")
NOBODY = "00000000-0000-4000-8000-000000000000"
KEY = "a-key-of-this-test-and-of-no-other"
SEED = 7
EXAMPLES = 10  # of each operation, in each phase
# What this module itself sees of each operation, so that it is worth
# something when it runs alone.
MET = {
    "root": [307], "docs": [200], "redoc": [200], "docsScript": [200],
    "docsStyle": [200], "openapi": [200, 304], "health": [200],
    "poolStats": [200], "execute": [200, 409, 413, 415, 422],
    "executeAsync": [200, 422], "getJob": [200, 404],
    "getJobResult": [200, 404, 408, 422], "cancelJob": [200, 404],
    "rerunJob": [200, 400, 404, 422], "forkJob": [200, 404, 422],
    "getArtifact": [200, 206, 304, 404, 416], "listExecutions": [200, 422],
    "diffExecutions": [200, 404], "getExecution": [200, 404],
    "listJobTypes": [200], "getJobType": [200, 404],
    "buildJobType": [200, 404, 500], "getBuild": [200, 404],
    "dlqStats": [200], "listDlq": [200, 422],
    "removeDlqEntry": [404, 422],
}


def source(*names):
    with open(os.path.join(TOP, *names)) as file:
        return file.read()


def document_of(**setup):
    """The document of a front that is set up so."""
    front = FakeParent(**setup)
    try:
        client = front.ask("GET", "/openapi.json")
        return front.answer(client)[2]
    finally:
        front.close()


@pytest.fixture(scope="module")
def document(takod):
    return takod.get("/openapi.json")[2]


@pytest.fixture(scope="module")
def operations(document):
    """[(method, path, operation)]"""
    return [(method, path, operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()]


# ---- what it says ------------------------------------------------------------

@pytest.mark.parametrize("setup", [{}, {"admit": 1, "keys": 1}])
def test_valid(setup, tmp_path):
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document_of(**setup)))
    done = subprocess.run([public.program("openapi-spec-validator"), path],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_route(document, operations):
    """Those of the source and of the document are the same."""
    rows = set(re.findall(r"\.method = HTTP_(\w+),\s+\.pattern = \"([^\"]+)\"",
                          source("tako-api", "route.c")))
    told = {(method.upper(), path) for method, path, _ in operations}
    assert len(rows) >= 25
    assert told - rows == {
        ("HEAD", "/jobs/{job_id}/artifacts/{artifact_name}")}
    assert rows <= told


def test_everything_is_told(document, operations):
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(set(ids)) == len(ids)
    for method, path, operation in operations:
        assert operation["summary"] and operation["tags"], path
        for one in operation["parameters"]:
            assert "$ref" in one or one["description"] and one["schema"]
        assert any(status < "400" for status in operation["responses"])
        for status, one in operation["responses"].items():
            assert "$ref" in one or one["description"], (path, status)
    for name, schema in document["components"]["schemas"].items():
        assert schema["description"], name
        if name in ("Submit", "Rerun", "Fork"):
            assert all(one["description"]
                       for one in schema["properties"].values())
    # Each that there is is used, and each that is used is there.
    used = set(re.findall(r'"#/components/(\w+)/([^"]+)"',
                          json.dumps(document)))
    there = {(kind, name) for kind, found in document["components"].items()
             for name in found if kind != "securitySchemes"}
    assert used <= there
    assert {name for kind, name in there - used} <= {
        "Status404", "Status405", "Allow"}


def test_every_error(document):
    """All texts of reply.c, and all statuses that HTTP itself may give."""
    text = json.dumps(document)
    rows = re.findall(r"\[(API_\w+)\] = \{ (\d+),\s*(?:\"([^\"]*)\"|NULL)",
                      source("tako-api", "reply.c"))
    assert len(rows) >= 25
    for name, status, detail in rows:
        assert not detail or json.dumps(detail)[1:-1] in text, name
        assert '"%s"' % status in text or "Status" + status in text, name
    for name in ("http.c", "http_head.c", "conn.c"):
        for status in re.findall(
                r"(?:fault|wrong)\((?:\w+, )?(\d{3}),",
                source("tako-api", name)):
            assert "Status" + status in document["components"]["responses"]


def test_names(document):
    """Lists of names are those of the records."""
    schemas = document["components"]["schemas"]
    assert schemas["Status"]["enum"] == [
        "queued", "running", "succeeded", "failed", "timeout", "oom",
        "cancelled"]
    assert schemas["State"]["enum"][0] == "pending"
    assert "sandbox_died" in schemas["ErrorType"]["enum"]
    assert schemas["Runtime"]["enum"] == ["runsc", "runc", "crun"]


def test_keys():
    """Said where they are asked for, and of what; not said where not."""
    without, local = document_of(), document_of(admit=1)
    asked = document_of(admit=1, keys=1, auth_header="X-Tako")
    assert "securitySchemes" not in without["components"]
    assert "security" not in without
    schemes = asked["components"]["securitySchemes"]
    assert schemes["ApiKey"] == {"type": "apiKey", "in": "header",
                                 "name": "X-Tako"}
    assert schemes["Bearer"] == {"type": "http", "scheme": "bearer"}
    assert asked["security"] == [{"ApiKey": []}, {"Bearer": []}]
    free = {path for path, item in asked["paths"].items()
            for operation in item.values() if operation.get("security") == []}
    assert free == {"/health", "/docs", "/redoc", "/openapi.json",
                    "/docs/page.js", "/docs/page.css"}
    for path, item in asked["paths"].items():
        for operation in item.values():
            assert ("401" in operation["responses"]) == (path not in free)
    # Without keys strangers are refused too; with neither, nobody is.
    assert "401" in local["paths"]["/execute"]["post"]["responses"]
    assert "401" not in without["paths"]["/execute"]["post"]["responses"]


def test_limits():
    def fields(**setup):
        return document_of(**setup)["components"]["schemas"]["Submit"][
            "properties"]
    usual = fields()
    assert usual["timeout"]["minimum"] == 1
    assert usual["timeout"]["maximum"] == 300
    assert usual["startup_timeout"]["maximum"] == 600
    assert usual["code"]["maxLength"] == 100000
    assert usual["requirements"]["maxItems"] == 50
    other = fields(max_timeout=17, max_startup_timeout=20, max_code=2000,
                   max_input=4000)
    assert other["timeout"]["maximum"] == 17
    assert other["startup_timeout"]["maximum"] == 20
    assert other["code"]["maxLength"] == 2000
    assert "2000 bytes" in other["code"]["description"]
    assert "4000 bytes" in other["input_data"]["description"]


def test_reload():
    """Another configuration has another document, with another ETag."""
    front = FakeParent()
    try:
        def ask(**headers):
            return front.answer(front.ask("GET", "/openapi.json", None,
                                          headers))
        _, first, before = ask()
        assert ask(**{"If-None-Match": first["etag"]})[0] == 304
        assert ask(**{"If-None-Match": 'W/"x", ' + first["etag"]})[0] == 304
        front.send("API_SETUP", **{**FakeParent.SETUP, "max_timeout": 18})
        front.listen()
        status, second, after = host.wait_for(
            "the new document", lambda: ask(
                **{"If-None-Match": first["etag"]})
            if ask()[1]["etag"] != first["etag"] else None, 10)
        assert status == 200 and before != after
        assert second["etag"] != first["etag"]
        assert front.silent()  # the parent is not asked
    finally:
        front.close()


def test_head(takod):
    for path in ("/docs", "/openapi.json"):
        names = takod.get(path)[1]
        client = http.client.HTTPConnection(takod.host, takod.port)
        client.request("HEAD", path)
        reply = client.getresponse()
        assert (reply.status, reply.read()) == (200, b"")
        for name in ("content-length", "content-type", "etag"):
            assert reply.headers[name] == names[name]
        client.close()


# ---- what serves --------------------------------------------------------------

def jobs(takod):
    """Every route, and what this module is to see of it."""
    key = {"idempotency_key": "openapi-%d" % os.getpid()}
    leaves = takod.execute(
        "open('/output/a.txt', 'w').write('hello')", **key)["execution_id"]
    fails = takod.execute("import nothing_of_that_name")["execution_id"]
    late = takod.submit("import time; time.sleep(60)")
    post, get = takod.post, takod.get
    for body in ({"code": "1", **key}, {"code": ""}, b"{", b"x" * 3000000):
        post("/execute", body)
    post("/execute", {"code": "1"}, headers={"Content-Encoding": "gzip"})
    post("/execute/async", {"code": 5, "timeout": 9999, "x": 1})
    post("/execute/async", {"code": "1", "timeout": 9999})
    get("/jobs/%s/result?wait=1&timeout=1" % late)
    for job in (leaves, fails, late, NOBODY):
        get("/jobs/" + job)
        get("/jobs/%s/result" % job)
        get("/executions/%s?view=full" % job)
        get("/executions/%s/diff/%s" % (leaves, job))
    get("/jobs/%s/result?timeout=x" % late)
    for job in (leaves, late, NOBODY):
        post("/jobs/%s/rerun" % job, {})
        post("/jobs/%s/fork" % job, {"code": "print(1)"})
        post("/jobs/%s/rerun" % job, {"x": 1})
        post("/jobs/%s/fork" % job, {})
    artifact = "/jobs/%s/artifacts/a.txt" % leaves
    etag = get(artifact)[1]["etag"]
    for headers in ({"Range": "bytes=1-2"}, {"Range": "bytes=99-"},
                    {"If-None-Match": etag}):
        get(artifact, headers=headers)
    get(artifact + ".not")
    post("/jobs/%s/cancel" % late)
    post("/jobs/%s/cancel" % leaves)
    takod.wait(late)
    get("/jobs/%s/result?view=full" % late)
    for path in ("/", "/docs", "/redoc", "/docs/page.js", "/docs/page.css",
                 "/health", "/pool/stats", "/executions?limit=3&view=full",
                 "/executions?q=hello", "/executions?limit=0", "/job-types",
                 "/job-types/small", "/job-types/none", "/dlq", "/dlq/stats",
                 "/dlq?limit=x"):
        get(path)
    etag = get("/openapi.json")[1]["etag"]
    get("/openapi.json", headers={"If-None-Match": etag})
    post("/job-types/small/build")
    post("/job-types/none/build")
    post("/job-types/data-processing/build")
    takod.get("/job-types/small/build")
    takod.get("/job-types/none/build")
    takod.request("DELETE", "/dlq/x")
    takod.request("DELETE", "/dlq/999999999")


def test_answers(takod, document, tmp_path):
    """Those of all tests before this one, and of every route."""
    jobs(takod)
    wanted, seen = tmp_path / "openapi.json", tmp_path / "answers"
    wanted.write_text(json.dumps(document))
    answers.write(seen)
    found = public.run(os.path.join(HERE, "conform.py"), wanted, seen)
    assert not found["wrong"], "\n".join(found["wrong"][:40])
    met = {tuple(pair) for pair in found["met"]}
    assert sorted({(name, status) for name, statuses in MET.items()
                   for status in statuses} - met) == []
    assert set(MET) | {"getArtifactHead"} == {
        operation["operationId"] for item in document["paths"].values()
        for operation in item.values()}


def test_answers_can_be_wrong(document, tmp_path):
    """The check above sees what is not as it is told."""
    wanted, seen = tmp_path / "openapi.json", tmp_path / "answers"
    wanted.write_text(json.dumps(document))
    fields = {"content-type": "application/json", "x-correlation-id": "x"}
    rows = [("/dlq/stats", 200, '{"total": "x", "by_error_type": {}}', fields),
            ("/dlq/stats", 200, '{"total": 1, "by_error_type": {}, "x": 1}',
             fields),
            ("/dlq/stats", 418, "{}", fields),
            ("/dlq/stats", 200, "{}", {**fields, "content-type": "text/x"}),
            ("/dlq/stats", 200, '{"total": 1, "by_error_type": {}}',
             {"content-type": "application/json"}),
            ("/nothing", 200, "{}", fields)]
    seen.write_text("\n".join(json.dumps({
        "method": "GET", "path": path, "status": status, "fields": names,
        "body": body}) for path, status, body, names in rows))
    found = public.run(os.path.join(HERE, "conform.py"), wanted, seen)
    assert len(found["wrong"]) == len(rows), found["wrong"]


@pytest.mark.seconds(1200)
def test_schemathesis(start, tmp_path):
    """Requests that the document allows and that it does not, of a seed."""
    daemon = start("oci", "runc", "sqlite", config={
        "api_rate_limit_enabled": False, "api_auth_enabled": True,
        "api_keys": [KEY],
        # It guesses a lot, and wants to hear 401 each time.
        "api_auth_failures": 100000})
    url = "http://%s:%d/openapi.json" % (daemon.host, daemon.port)
    print("seed", SEED)
    done = subprocess.run(
        [public.program("schemathesis"), "--no-color", "--config-file",
         os.path.join(HERE, "schemathesis.toml"), "run", url,
         "--seed", str(SEED), "--max-examples", str(EXAMPLES),
         "--request-timeout", "120", "--warnings", "off",
         "--header", "X-API-Key: " + KEY,
         "--continue-on-failure"],
        cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-8000:]
    tested = re.search(r"Selected: (\d+)/(\d+)\s+Tested: (\d+)", done.stdout)
    assert len(set(tested.groups())) == 1 and int(tested[1]) >= 25
    assert re.search(r"Test cases:\s+\d{3,} generated", done.stdout)
    assert daemon.alive() and daemon.get("/health")[0] == 200
