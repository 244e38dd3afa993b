"""
test_refused.py: a job whose type needs what this host cannot give ends with a
config_error that names it; it never runs without.
"""
import glob
import os
import subprocess

import pytest

from lib import shared

NEEDS = {
    "nvidia": ({"gpu": {"enabled": True, "vendor": "nvidia", "count": 1},
                "warm_pool_size": 1}, "needs a GPU: /dev/nvidiactl: No such"),
    "amd": ({"gpu": {"enabled": True, "vendor": "amd",
                     "device_ids": ["0"]}}, "those of amd need engine: docker"),
}


@pytest.fixture(scope="module")
def daemon(shared_things):
    from conftest import end, make
    made = make("oci", "runc", config={"job_types": [
        {"name": name, **keys} for name, (keys, _) in NEEDS.items()]})
    yield made
    end(made)


@pytest.mark.parametrize("name", NEEDS)
def test_refused(daemon, name):
    answer = daemon.execute("print('it ran')", job_type=name)
    assert answer["success"] is False and "it ran" not in answer["stdout"]
    record = daemon.record(answer["execution_id"])
    assert record["status"] == "failed", record
    assert record["error"]["type"] == "config_error", record
    assert NEEDS[name][1] in record["error"]["message"], record


def test_x05_image_without_python(start, tmp_path):
    """X05: named to whoever wants a job of it, and not tried."""
    tree = str(tmp_path / "tree")
    subprocess.run(["cp", "-al", shared.rootfs(), tree], check=True)
    for path in glob.glob(tree + "/usr/bin/python3*"):
        os.unlink(path)
    daemon = start("oci", "runc", config={"job_types": [
        {"name": "bad", "base_image": tree},
        {"name": "path", "environment": {"PATH": "/nowhere"}}]})
    for name in ("bad", "path"):
        record = daemon.run("print('it ran')", job_type=name)
        assert record["status"] == "failed" and not record["stdout"], record
        assert record["error"]["type"] == "config_error", record
        assert " has no python3 in <path>" in record["error"]["message"], record
    assert daemon.get("/job-types/bad")[2]["image_exists"] is False


def test_packages_of_a_request(daemon):
    text = ("Runtime dependency installation is disabled. Use pre-built "
            "images or set allow_runtime_requirements=True.")
    answer = daemon.execute("print('it ran')", requirements=["numpy"])
    assert answer["success"] is False and answer["stdout"] == ""
    assert answer["exit_code"] == -1 and answer["error"] == text, answer
    record = daemon.record(answer["execution_id"])
    assert record["error"]["type"] == "dependency_error", record
    # None are none.
    assert daemon.execute("print(1)", requirements=[])["stdout"] == "1\n"


def test_sessions(daemon):
    """Switched on, there are none yet; a type that may be used for them runs
    its jobs as ever."""
    daemon.write_config(
        sessions_enabled=True, session_idle_timeout_seconds=30,
        session_max_ttl_seconds=60, session_max_concurrent=1,
        job_types=[{"name": "lasting", "session_enabled": True}])
    daemon.takoctl("reload", check=True)
    assert daemon.post("/sessions", {"job_type": "lasting"})[0] == 404
    assert daemon.execute("print(1)", job_type="lasting")["stdout"] == "1\n"


def test_others_run(daemon):
    assert daemon.execute("print('it ran')")["stdout"] == "it ran\n"
