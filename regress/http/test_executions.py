"""
test_executions.py: GET /executions and GET /executions/{a}/diff/{b}: pages,
filters, searches, and what is wrong with them. That both stores find the same
is for regress/unit/store_conformance.c.
"""
import json
import socket
import time
import urllib.parse

import pytest

from lib import host

NOBODY = "00000000-0000-4000-8000-000000000000"
KEYS = ["items", "limit", "offset", "has_more", "count", "takod"]


@pytest.fixture(scope="module", params=["sqlite", "pg"])
def daemon(request, shared_things):
    """One with a few records of its own."""
    from conftest import end, make
    daemon = make("oci", "runc", request.param, config={"max_workers": 2})
    yield daemon
    end(daemon)


@pytest.fixture(scope="module")
def jobs(daemon):
    """Records by name; the newest is the last one."""
    made = {
        "good": daemon.execute("import os\nprint('alpha beta')",
                               input_data={"n": [1, 2]}),
        "bad": daemon.execute("import os\nprint('alpha gamma')\n"
                              "raise KeyError('Apfel')",
                              input_data={"n": [1, 3]},
                              idempotency_key="the-key-of-bad"),
        "small": daemon.execute("import sys; sys.exit(3)", job_type="small"),
        "bytes": daemon.execute(
            "import sys\nsys.stdout.buffer.write(b'\\xff\\x00\\xc3pfel\\n')"),
    }
    made = {name: answer["execution_id"] for name, answer in made.items()}
    host.wait_for("all can be searched for", lambda: page(
        daemon, q="import")["takod"]["unindexed"] == 0, 30)
    return made


def ask(daemon, **query):
    return daemon.get("/executions?" + urllib.parse.urlencode(query))


def page(daemon, **query):
    status, names, answer = ask(daemon, **query)
    assert status == 200, answer
    assert list(answer) == KEYS and names["cache-control"] == "no-store"
    assert answer["count"] == len(answer["items"]) <= answer["limit"]
    assert answer["has_more"] == (answer["takod"]["next"] is not None)
    assert ("unindexed" in answer["takod"]) == ("q" in query)
    return answer


def found(daemon, jobs, **query):
    """The names of the records that a query finds, in their order."""
    names = {job: name for name, job in jobs.items()}
    return [names[item["execution_id"]]
            for item in page(daemon, **query)["items"]]


ALL = ["bytes", "small", "bad", "good"]


def test_newest_first(daemon, jobs):
    answer = page(daemon)
    assert (answer["limit"], answer["offset"]) == (100, 0)
    assert found(daemon, jobs) == ALL and answer["has_more"] is False
    for view in ("", "full", "slim"):
        for item in page(daemon, view=view)["items"]:
            path = "/executions/%s?view=%s" % (item["execution_id"], view)
            assert daemon.get(path)[2] == item


@pytest.mark.parametrize("query,want", [
    ({"status": "failed"}, ["small", "bad"]), ({"status": "running"}, []),
    ({"status": "nope"}, []), ({"status": ""}, ALL),
    ({"job_type": "small"}, ["small"]), ({"job_type": "x" * 200}, []),
    ({"status": "failed", "job_type": "small"}, ["small"]),
    ({"error_type": "key_error"}, ["bad"]), ({"error_type": "nope"}, []),
    ({"exit_code": 3}, ["small"]), ({"exit_code": "0"}, ["bytes", "good"]),
    ({"key": "the-key-of-bad"}, ["bad"]), ({"key": "another-key"}, []),
    ({"parent": NOBODY}, []), ({"parent": "no id"}, []),
    ({"since": "2026-01-01T00:00:00Z"}, ALL), ({"since": 4e9}, []),
    ({"until": "2020-01-01"}, []), ({"until": "0"}, []),
    ({"limit": 2}, ["bytes", "small"]), ({"offset": 3}, ["good"]),
    ({"limit": "2.0", "offset": " 1"}, ["small", "bad"]),
    ({"offset": 4}, []), ({"offset": 10 ** 17}, []),
    ({"offset": 2 ** 63 - 3}, []),
    ({"unknown": "x"}, ALL),
    ({"q": "alpha"}, ["bad", "good"]), ({"q": "ALPHA -gamma"}, ["good"]),
    ({"q": '"alpha gamma"'}, ["bad"]), ({"q": "keyerror apfel"}, ["bad"]),
    ({"q": "pfel"}, ["bytes"]), ({"q": "sys.exit"}, ["small"]),
    ({"q": "import", "status": "failed", "limit": 1}, ["small"]),
    ({"q": "'; DROP TABLE jobs --"}, []), ({"q": "alpha OR x"}, []),
])
def test_filters(daemon, jobs, query, want):
    assert found(daemon, jobs, **query) == want


def test_since_and_until_are_of_created_at(daemon, jobs):
    made = daemon.record(jobs["bad"])["created_at"]
    assert found(daemon, jobs, since=made) == ["bytes", "small", "bad"]
    assert found(daemon, jobs, until=made) == ["good"]


def test_pages(daemon, jobs):
    """By place, each record comes once, whatever comes meanwhile."""
    seen, query = [], {"limit": 1, "view": "full"}
    for _ in range(4):
        answer = page(daemon, **query)
        seen += [item["execution_id"] for item in answer["items"]]
        query["after"] = answer["takod"]["next"]
    assert seen == [jobs[name] for name in ALL] and query["after"] is None


@pytest.mark.parametrize("query,errors", [
    ({"limit": 0}, [("greater_than_equal", "limit", "Input should be greater "
                     "than or equal to 1")]),
    ({"limit": 1001}, [("less_than_equal", "limit", "Input should be less "
                        "than or equal to 1000")]),
    ({"limit": "x"}, [("int_parsing", "limit", "Input should be a valid "
                       "integer, unable to parse string as an integer")]),
    ({"limit": ""}, [("int_parsing", "limit", None)]),
    ({"limit": "5.5"}, [("int_parsing", "limit", None)]),
    ({"offset": -1}, [("greater_than_equal", "offset", "Input should be "
                       "greater than or equal to 0")]),
    ({"offset": 2 ** 63}, [("less_than_equal", "offset", None)]),
    ({"offset": "9" * 5000}, None),
    ({"exit_code": 256}, [("less_than_equal", "exit_code", None)]),
    ({"since": "yesterday"}, [("datetime_parsing", "since", None)]),
    ({"until": "2026-13-01"}, [("datetime_parsing", "until", None)]),
    ({"after": "0"}, [("value_error", "after", None)]),
    ({"after": "x"}, [("value_error", "after", None)]),
    ({"q": ""}, [("value_error", "q", None)]),
    ({"q": "-a"}, [("value_error", "q", None)]),
    ({"q": 'a "b'}, [("value_error", "q", None)]),
    ({"q": "x" * 600}, [("value_error", "q", None)]),
    ({"q": b"\xff a"}, [("value_error", "q", None)]),
    ({"view": "x", "limit": 0, "offset": "y", "q": "-"},
     [("greater_than_equal", "limit", None), ("int_parsing", "offset", None),
      ("value_error", "q", None)]),
])
def test_errors(daemon, query, errors):
    status, _, answer = ask(daemon, **query)
    if errors is None:
        assert status in (414, 422)
        return
    assert status == 422, answer
    got = [(e["type"], e["loc"], e["msg"]) for e in answer["detail"]]
    assert [(kind, where) for kind, where, _ in got] == [
        (kind, ["query", name]) for kind, name, _ in errors]
    for (_, _, said), (_, _, want) in zip(got, errors):
        assert want in (None, said)
    assert answer["correlation_id"]


@pytest.mark.parametrize("query", [
    "%00", "%FF", "a%00b", "%5C", "'", "a'b", "$1", "?1", "a:*", "*", "()", "^",
    "{}", "NEAR/2", "%22%22", "-%22a%22", "%27%27%27", "a%20%22", "%3C-%3E", "!a",
    "a%20%26%20b", "a|b", "%C3%28", "%F0%9F%98%80", "x" * 512, "%22" * 300])
def test_no_query_is_a_fault(daemon, query):
    status, _, answer = daemon.get("/executions?q=" + query)
    # A NUL is none of HTTP's.
    assert status in ((400,) if "%00" in query else (200, 422)), answer
    assert daemon.alive()


def test_running_and_waiting(daemon):
    """Records that have not ended are listed; their words come later."""
    first = daemon.submit("import time; time.sleep(60) # sleepers")
    daemon.wait_status(first, "running")
    answer = page(daemon, status="running")
    assert [i["execution_id"] for i in answer["items"]] == [first]
    assert answer["items"][0]["exit_code"] is None
    daemon.post("/jobs/%s/cancel" % first)
    daemon.wait(first)
    host.wait_for("it can be searched for", lambda: [
        i["execution_id"] for i in page(daemon, q="sleepers")["items"]] == [
            first], 30)
    assert page(daemon, status="running")["items"] == []


def test_a_page_of_much(daemon):
    """A page is bounded in bytes, and goes on where it ended."""
    ids = [daemon.execute("print('x' * 1000000)\n" * 7, timeout=60)
           ["execution_id"] for _ in range(4)]
    size = len(daemon.record(ids[0])["stdout"])
    assert size > 60000
    seen, query = [], {"limit": 4, "view": "full"}
    while True:
        answer = page(daemon, **query)
        seen += answer["items"]
        if len(seen) >= 4:
            break
        query["after"] = answer["takod"]["next"]
    assert [i["execution_id"] for i in seen[:4]] == ids[::-1]
    assert all(len(i["stdout"]) == size for i in seen[:4])
    assert daemon.stats()["running"] == 0


def test_client_that_goes_away(daemon, jobs):
    for _ in range(20):
        with socket.create_connection(
                (daemon.host, daemon.port), 20) as sock:
            sock.sendall(b"GET /executions?limit=1000&view=full HTTP/1.1\r\n"
                         b"Host: localhost\r\n\r\n")
    assert found(daemon, jobs, key="the-key-of-bad") == ["bad"]


def test_page_of_many_bytes(start):
    """A page ends when its records have 16 MiB; the rest comes after it."""
    takod = start("oci", "runc", "sqlite", config={
        "max_stdout_bytes": 8 << 20, "warm_pool_size": 1})
    jobs = [takod.execute("print('x' * (6 << 20))")["execution_id"]
            for _ in range(4)]
    first = page(takod, limit=10)
    assert first["has_more"] and first["count"] == 3
    rest = page(takod, limit=10, after=first["takod"]["next"])
    assert not rest["has_more"]
    items = first["items"] + rest["items"]
    assert [item["execution_id"] for item in items] == jobs[::-1]
    assert {len(item["stdout"]) for item in items} == {(6 << 20) + 1}


# ---- diff -------------------------------------------------------------------

def diff(daemon, a, b):
    status, names, answer = daemon.get("/executions/%s/diff/%s" % (a, b))
    assert status == 200, answer
    assert names["cache-control"] == "no-store"
    assert list(answer) == ["a", "b", "code", "input", "output", "stdout",
                            "stderr", "outcome", "timing", "identical"]
    assert (answer["a"], answer["b"]) == (a, b)
    return answer


def test_diff(daemon, jobs):
    answer = diff(daemon, jobs["good"], jobs["bad"])
    assert answer["identical"] is False
    assert answer["code"] == {
        "identical": False, "added": 2, "removed": 1, "too_different": False,
        "bytes_a": 29, "bytes_b": 54,
        "diff": "--- a\n+++ b\n@@ -1,2 +1,3 @@\n import os\n"
                "-print('alpha beta')\n\\ No newline at end of file\n"
                "+print('alpha gamma')\n+raise KeyError('Apfel')\n"
                "\\ No newline at end of file\n"}
    # JSON has a line for each value.
    assert answer["input"]["diff"].splitlines()[2:] == [
        "@@ -1,6 +1,6 @@", " {", '   "n": [', "     1,", "-    2", "+    3",
        "   ]", " }"]
    assert answer["stdout"]["diff"].endswith("-alpha beta\n+alpha gamma\n")
    assert answer["output"]["identical"] is True
    assert answer["stderr"]["added"] > 0 == answer["stderr"]["removed"]
    assert answer["outcome"] == {
        "status": {"a": "succeeded", "b": "failed"},
        "exit_code": {"a": 0, "b": 1},
        "error_type": {"a": None, "b": "key_error"},
        "error_message": {"a": None, "b": "KeyError: 'Apfel'"}}
    for value in answer["timing"].values():
        if None not in (value["a"], value["b"]):
            assert value["change"] == value["b"] - value["a"] != 0
    back = diff(daemon, jobs["bad"], jobs["good"])
    assert back["code"]["added"] == 1 and back["code"]["removed"] == 2


def test_diff_of_one(daemon, jobs):
    answer = diff(daemon, jobs["bad"], jobs["bad"])
    assert answer["identical"] is True
    assert answer["outcome"] == answer["timing"] == {}
    assert all(answer[name]["identical"] and answer[name]["diff"] is None
               for name in ("code", "input", "output", "stdout", "stderr"))


def test_diff_of_what_is_too_different(daemon, jobs):
    """It is said, and in a bounded time: nobody else waits for it."""
    code = "import random\nrandom.seed(%d)\n" \
           "for _ in range(9000): print(random.random())"
    a, b = [daemon.execute(code % n)["execution_id"] for n in (1, 2)]
    began = time.monotonic()
    answer = diff(daemon, a, b)
    assert time.monotonic() - began < 50
    assert answer["stdout"]["too_different"] is True
    assert answer["stdout"]["diff"] is None
    assert answer["code"]["added"] == answer["code"]["removed"] == 1


@pytest.mark.parametrize("a,b", [(NOBODY, None), (None, NOBODY), ("x", None),
                                 (None, "x"), (NOBODY, NOBODY)])
def test_diff_of_nothing(daemon, jobs, a, b):
    path = "/executions/%s/diff/%s" % (a or jobs["good"], b or jobs["good"])
    status, _, answer = daemon.get(path)
    assert (status, answer["detail"]) == (404, "Execution not found")
    assert daemon.post(path, {})[0] == 405


def test_json_is_json(daemon, jobs):
    """Bytes that are no text come as U+FFFD, on a page too."""
    [item] = [i for i in page(daemon)["items"]
              if i["execution_id"] == jobs["bytes"]]
    assert item["stdout"] == "\ufffd\ufffd\ufffdpfel\n"
    assert json.dumps(item)
