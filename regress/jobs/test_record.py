"""
test_record.py: a whole record, with every engine and runtime: nothing in it is
left out, and takod.proof is what the kernel and the engine show.
"""
import hashlib
import json
import os
import platform
import re

import pytest

from lib import shared

CODE = ("import hashlib, sys\n"
        "data = bytearray(60 << 20)\n"
        "for i in range(0, len(data), 4096): data[i] = 1\n"
        "n = 0\n"
        "for i in range(400000): n += i\n"
        "open('/output/a.txt', 'w').write('kept')\n"
        "open('/output/result.json', 'w').write('{\"n\": 1}')\n"
        "print(open('/proc/version').read().strip())\n"
        "print('h\u00e9', file=sys.stderr)\n")
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"
NAMESPACES = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"}


def digest(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def record(combo):
    return combo.run(CODE, input_data={"a": [1, None]}, timeout=60)


def test_every_field_is_filled(combo, record):
    assert record["status"] == "succeeded", record
    for name in ("created_at", "started_at", "ended_at"):
        assert re.fullmatch(TIME, record[name])
    timing = record["timing"]
    assert timing["phase_at_exit"] == "completed"
    assert 0 <= timing["startup_ms"] <= timing["total_ms"]
    assert timing["dep_install_ms"] == 0
    assert 0 < timing["execution_ms"] <= timing["total_ms"]
    assert record["duration_ms"] >= timing["execution_ms"]
    usage = record["resource_usage"]
    assert 60 <= usage["max_rss_mb"] < 512
    # The sandbox's own part is in it under gVisor, the job's in any case.
    assert 0 < usage["cpu_time_ms"] < 60000
    assert timing["execution_ms"] <= usage["wall_time_ms"] < 60000
    assert record["code_hash"] == digest(CODE.encode())
    code, data = record["input_artifacts"]
    assert code == {"name": "_code.py", "size_bytes": len(CODE.encode()),
                    "sha256": record["code_hash"],
                    "content_type": "text/x-python"}
    assert data["sha256"] == record["input_hash"]
    assert data["content_type"] == "application/json"
    named = {a["name"]: a for a in record["artifacts"]}
    assert named["a.txt"]["sha256"] == digest(b"kept")
    assert record["stdout_truncated"] is record["stderr_truncated"] is False
    assert record["runtime"] == combo.runtime
    assert record["output"] == {"n": 1}
    assert record["takod"]["engine"] == combo.engine
    assert record["takod"]["attempt"] == 1


def test_flags_of_what_was_cut(combo):
    record = combo.run("import sys\n"
                       "sys.stdout.write('o' * 70000)\n"
                       "sys.stderr.write('e' * 70000)\n")
    assert record["stdout_truncated"] is record["stderr_truncated"] is True
    assert "[TRUNCATED: output exceeded" in record["stderr"]


@pytest.mark.parametrize("code,timeout", [
    ("import os; os.abort()", 60), ("raise SystemExit(3)", 60),
    ("import time; time.sleep(60)", 1)])
def test_usage_of_those_that_fail(combo, code, timeout):
    record = combo.run(code, timeout=timeout)
    figures = record["resource_usage"]
    assert all(isinstance(v, (int, float)) for v in figures.values()), figures
    assert figures["max_rss_mb"] > 0 and figures["cpu_time_ms"] > 0
    assert record["takod"]["proof"]["runtime"] == combo.runtime


# ---- proof ------------------------------------------------------------------

def test_proof(combo, record):
    proof = record["takod"]["proof"]
    gvisor = combo.runtime == "runsc"
    assert proof["runtime"] == combo.runtime
    # What the job itself saw.
    assert proof["kernel"] == record["stdout"].strip()
    assert proof["kernel"].startswith(
        "Linux version %s " % platform.release()) != gvisor
    assert proof["process"] == ("runsc" if gvisor else "init")
    assert proof["no_new_privileges"] is True
    assert proof["seccomp"]["mode"] == 2
    assert proof["seccomp"]["filters"] >= 1
    if gvisor:
        # Its filter is gVisor's own; the profile is for the host's kernel.
        assert proof["seccomp"]["profile"] is None
    else:
        assert re.fullmatch("[0-9a-f]{64}", proof["seccomp"]["profile"])
        assert int(proof["capabilities"], 16) == 0
    assert proof["network"] == "none"
    spaces = proof["namespaces"]
    assert set(spaces) == NAMESPACES
    for name in ("ipc", "mnt", "net", "uts"):
        assert isinstance(spaces[name], int), name
        assert spaces[name] != os.stat("/proc/self/ns/" + name).st_ino
    if not gvisor:
        assert isinstance(spaces["pid"], int)
    limits = proof["limits"]
    assert limits["memory_bytes"] == 512 << 20
    assert limits["memory_and_swap_bytes"] == 512 << 20
    assert limits["cpus"] == 1.0
    assert limits["pids"] > 100
    assert (limits["open_files"] is None) == gvisor
    if not gvisor:
        assert limits["open_files"] == 256
        assert limits["processes"] == 50
        assert limits["file_bytes"] == 100 << 20


def test_proof_of_image_and_version(combo, record):
    proof = record["takod"]["proof"]
    if combo.engine == "docker":
        image = shared.docker_api(
            "GET", "/images/%s/json" % shared.docker_image())[1]
        assert proof["image"] == image["Id"]
        assert proof["engine_version"].startswith("Docker Engine ")
        assert proof["runtime_version"] is None
    else:
        key = os.path.basename(os.path.dirname(shared.rootfs()))
        assert proof["image"] == key
        assert proof["runtime_version"].startswith(
            "%s version " % combo.runtime)


def test_proof_is_of_this_container(combo):
    """The namespaces of the record are those of the job's own processes."""
    job = combo.submit("import time; time.sleep(60)")
    combo.wait_code(job)
    seen = set()
    for pid in combo.container_pids():
        try:
            seen.add(os.stat("/proc/%d/ns/net" % pid).st_ino)
        except FileNotFoundError:
            pass
    combo.post("/jobs/%s/cancel" % job)
    record = combo.wait(job)
    mine = record["takod"]["proof"]["namespaces"]["net"]
    assert mine in seen
    other = combo.run("print(1)")["takod"]["proof"]["namespaces"]
    assert other["net"] != mine or other["mnt"] not in seen


def test_nothing_private_leaves(combo, record):
    text = json.dumps(record)
    for word in (combo.dir, shared.rootfs(), "/tmp/", "/proc/", "/usr/"):
        assert word not in text.replace(record["stdout"], ""), word


def test_proof_follows_the_limits(start, sanitized):
    """Other limits of a job type, and no filter, are what is shown."""
    daemon = start("oci", "runc", config={"enable_seccomp": False,
                                          "job_types": [
        {"name": "tiny", "memory_limit": "96m", "cpu_limit": 0.5}]})
    proof = daemon.run("print(1)", job_type="tiny")["takod"]["proof"]
    assert proof["limits"]["memory_bytes"] == 96 << 20
    assert proof["limits"]["cpus"] == 0.5
    # What is left is takod's own filter, which all below it inherits.
    own = 0 if sanitized else 1
    assert proof["seccomp"] == {"profile": None, "mode": 2 * own,
                                "filters": own}
