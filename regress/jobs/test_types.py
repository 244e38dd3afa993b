"""
test_types.py: GET /job-types, /job-types/{name}, and builds, with both
engines.
"""
import os
import re
import sys

import pytest

from lib import host, shared

sys.path.insert(0, os.path.join(shared.TOP, "regress", "tools"))

FIELDS = ["name", "requirements", "python_version", "memory_limit",
          "cpu_limit", "timeout", "session_enabled", "gpu_enabled",
          "gpu_vendor", "image_exists"]
TYPES = [
    {"name": "plain", "memory_limit": "64m", "cpu_limit": 0.5, "timeout": 9},
    {"name": "packages", "requirements": ["numpy>=1", "pandas"],
     "python_version": "3.12", "memory_limit": "1536m"},
    {"name": "gpu", "gpu": {"enabled": True, "vendor": "nvidia"},
     "session_enabled": True, "memory_limit": "2g"},
]


@pytest.fixture(scope="module", params=["oci", "docker"])
def daemon(request, shared_things):
    from conftest import end, make
    absent = "/no/such/rootfs" if request.param == "oci" else "no-such:image"
    made = make(request.param, "runc", config={
        "package_index_url": "http://127.0.0.1:9/simple",
        "job_types": TYPES + [{"name": "absent", "base_image": absent}]})
    yield made
    end(made)


def test_list(daemon):
    status, names, types = daemon.get("/job-types")
    assert status == 200 and names["content-type"] == "application/json"
    assert isinstance(types, list)
    for answer in types:
        assert list(answer) == FIELDS
    named = {t["name"]: t for t in types}
    assert set(named) == {"default", "data-processing", "ml-inference",
                          "plain", "packages", "gpu", "absent"}
    plain = dict(zip(FIELDS, ["plain", [], "3.11", "64m", 0.5, 9, False,
                              False, None, True]))
    assert named["plain"] == plain
    assert named["packages"]["requirements"] == ["numpy>=1", "pandas"]
    assert named["packages"]["python_version"] == "3.12"
    assert named["packages"]["memory_limit"] == "1536m"
    assert named["gpu"]["gpu_enabled"] is True
    assert named["gpu"]["gpu_vendor"] == "nvidia"
    assert named["gpu"]["session_enabled"] is True
    assert named["gpu"]["memory_limit"] == "2g"
    assert named["data-processing"]["requirements"] == ["pandas", "numpy"]
    # A default job runs in the engine's image; packages are in none.
    assert {n: t["image_exists"] for n, t in named.items()} == {
        "default": True, "plain": True, "gpu": True, "absent": False,
        "packages": False, "data-processing": False, "ml-inference": False}
    for answer in types:
        one = daemon.get("/job-types/" + answer["name"])
        assert (one[0], one[2]) == (200, answer)


@pytest.mark.parametrize("name,shown", [
    ("none", "none"), ("default@1.0", "default@1.0"), ("%41", "A"),
    ("it%27s%20%22odd%22", "it's \"odd\""), ("%c3%a9", "\u00e9"),
    ("x" * 255, "x" * 255)])
def test_no_such_type(daemon, name, shown):
    for method, path in (("GET", "/job-types/" + name),
                         ("POST", "/job-types/%s/build" % name)):
        status, names, answer = daemon.request(method, path)
        assert status == 404
        assert answer["detail"] == "Job type '%s' not found" % shown
        assert answer["correlation_id"] == names["x-correlation-id"]


@pytest.mark.parametrize("name", ["plain", "packages", "absent"])
def test_builds_are_honest(daemon, name):
    """A type without packages is its image; an index that nobody reaches
    gives none, and what is not there is no image to build on."""
    for query in ("", "?version_tag=1.0.0"):
        status, _, answer = daemon.post("/job-types/%s/build%s" % (name,
                                                                   query))
        if name != "plain":
            assert status == 500
            assert answer["detail"].startswith("Build failed: ")
            continue
        assert status == 200, answer
        assert answer == {
            "status": "built", "job_type": name,
            "version": "%s@sha256:%s" % (name, answer["digest"]),
            "digest": answer["digest"],
            "image_ref": "tako-vm-%s:latest" % name}
        assert re.fullmatch("[0-9a-f]{12}", answer["digest"]), answer
    status, names, _ = daemon.request("DELETE", "/job-types/%s/build" % name)
    assert (status, names["allow"]) == (
        405, "POST, GET, HEAD")


def test_absent_image_stops_no_others(daemon):
    """Those jobs fail at once, each; the engine's breaker stays shut."""
    for job in [daemon.submit("print(1)", job_type="absent")
                for _ in range(7)]:
        assert daemon.wait(job)["error"]["type"] == "config_error"
    breaker = daemon.get("/health")[2]["circuit_breaker"]
    del breaker["success_count"]  # of the pool's own slots, as they come
    assert breaker == {"state": "closed", "failure_count": 0,
                       "last_failure": None}
    assert daemon.execute("print(1)")["stdout"] == "1\n"


def test_image_that_goes(start):
    """image_exists is asked of the engine each time, not remembered."""
    link = os.path.join(host.scratch(), "rootfs-link")
    os.symlink(shared.rootfs(), link)
    daemon = start("oci", "runc", config={
        "job_types": [{"name": "linked", "base_image": link}]})
    assert daemon.get("/job-types/linked")[2]["image_exists"] is True
    os.unlink(link)
    assert daemon.get("/job-types/linked")[2]["image_exists"] is False
