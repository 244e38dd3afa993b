"""
Keys whose effect is inside a container or on its control group, on both
engines and both runtimes. Each daemon of `combo` takes them by a reload, all
at once, and gives them back afterwards; one job tells most of them.
"""
import json
import os
import re

import pytest

from lib import host

MIB = 1 << 20
TUNED = {
    "container_limits": {
        "nofile_soft": 100, "nofile_hard": 128, "nproc_soft": 20,
        "nproc_hard": 30, "fsize": 2 * MIB, "tmpfs_size": "20m",
        "pids_limit": 40},
    "max_stdout_bytes": 2048, "max_stderr_bytes": 3072,
    "max_artifact_bytes": 32768, "max_total_artifacts_bytes": 60000,
    "enable_cap_restrictions": False, "enable_userns": True,
    "job_types": [{
        "name": "tuned", "memory_limit": "96m", "cpu_limit": 0.5,
        "timeout": 60, "startup_timeout": 77, "warm_pool_size": 1,
        "environment": {"ANSWER": "42", "HOME": "/output"}},
        {"name": "brief", "timeout": 1}],
}
# Of the bounding set: what Docker gives a container.
DOCKER_CAPS = 0xa80425fb
NET_RAW = 1 << 13

FACTS = r"""
import json, os, resource, sys, time
def text(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError as e:
        return str(e.errno)
def limit(name):
    return resource.getrlimit(getattr(resource, 'RLIMIT_' + name))
def grow(path):
    size = 0
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with open(path, 'wb', buffering=0) as f:
            while size < 64 << 20:
                size += f.write(bytes(1 << 18))
    except OSError as e:
        os.unlink(path)
        return size, e.errno
tmp = os.statvfs('/tmp')
out = os.statvfs('/output')
facts = {
    'limits': {n: limit(n) for n in ('NOFILE', 'NPROC', 'FSIZE', 'CORE')},
    'text': text('/proc/self/limits'),
    'tmp': tmp.f_frsize * tmp.f_blocks,
    'output': out.f_frsize * out.f_blocks,
    'mounts': text('/proc/self/mounts'),
    'grow': grow('/tmp/big'),
    'status': text('/proc/self/status'),
    'uid_map': text('/proc/self/uid_map').split(),
    'meminfo': text('/proc/meminfo').split()[:2],
    'answer': os.environ['ANSWER'], 'home': os.environ['HOME'],
}
with open('/output/result.json', 'w') as f:
    json.dump(facts, f)
with open('/output/kept', 'w') as f:
    f.write('x' * 32000)
with open('/output/too-large', 'w') as f:
    f.write('x' * 32769)
sys.stdout.write('o' * 5000)
sys.stderr.write('e' * 5000)
"""


@pytest.fixture(scope="module")
def tuned(combo):
    before = {key: combo.keys.get(key) for key in TUNED}
    combo.write_config(**TUNED)
    combo.takoctl("reload", check=True)
    yield combo
    combo.write_config(**before)
    combo.takoctl("reload", check=True)


@pytest.fixture(scope="module")
def record(tuned):
    record = tuned.run(FACTS, job_type="tuned")
    assert record["status"] == "succeeded", record["stderr"]
    return record


@pytest.fixture(scope="module")
def facts(record):
    return record["output"]


def group_value(takod, *names):
    """A file of the group that the container of the running job has."""
    mark, = [w["container"] for w in takod.workers() if w["job_id"]]
    if takod.engine == "docker":
        mark, = [c["Id"] for c in takod.docker_containers()
                 if c["Name"].strip("/") == mark]
    for folder in host.cgroups_named(mark):
        for name in names:
            text = host.read(os.path.join(folder, name))
            if text and not folder.endswith(".run"):
                return text.split()
    raise AssertionError("no %s of %s" % (names, mark))


# ---- limits ------------------------------------------------------------------

def test_limits_of_a_process(facts, tuned):
    assert facts["limits"] == {"NOFILE": [100, 128], "NPROC": [20, 30],
                               "FSIZE": [2 * MIB, 2 * MIB], "CORE": [1, 1]}
    if tuned.runtime == "runsc":
        return  # gVisor has no /proc/self/limits
    assert re.search(r"(?m)^Max open files +100 +128 ", facts["text"])
    assert re.search(r"(?m)^Max file size +2097152 +2097152 ", facts["text"])


def test_largest_file(facts):
    # What is written ends exactly there.
    assert facts["grow"] == [2 * MIB, 27], facts["grow"]


def test_size_of_tmp(facts, tuned):
    assert facts["tmp"] == 20 * MIB
    options = [line.split()[3] for line in facts["mounts"].splitlines()
               if line.split()[1] == "/tmp"][-1]
    if tuned.runtime == "runc":
        assert "size=20480k" in options.split(","), options


def test_environment(facts):
    assert facts["answer"] == "42" and facts["home"] == "/output"


def test_capabilities_that_a_program_could_get(facts, tuned):
    # gVisor takes raw sockets away from all.
    wanted = DOCKER_CAPS & ~(NET_RAW if tuned.runtime == "runsc" else 0)
    sets = dict(re.findall(r"(?m)^(Cap\w+):\s*(\w+)$", facts["status"]))
    assert int(sets["CapBnd"], 16) == wanted, sets
    for name in ("CapPrm", "CapEff", "CapInh"):
        assert int(sets[name], 16) == 0, sets


def test_user_namespace(facts, tuned):
    """On with runc: the ids inside are others outside. gVisor has its own,
    and with Docker the engine decides."""
    first, outside, count = facts["uid_map"][:3]
    if (tuned.engine, tuned.runtime) == ("oci", "runc"):
        assert first == "0" and outside != "0" and count == "1"
        assert facts["uid_map"][3] == "1000" and facts["uid_map"][4] != "1000"
        assert int(outside) >= tuned.uid_base
    elif tuned.engine == "docker" and tuned.runtime == "runc":
        assert (first, outside) == ("0", "0")


def test_ids_seen_from_the_host(tuned):
    """And a job that says it is 1000 runs under an id of takod's own."""
    job = tuned.submit("import time\nprint('up', flush=True)\ntime.sleep(60)",
                       job_type="tuned")
    try:
        tuned.wait_code(job)
        outside = set(range(tuned.uid_base, tuned.uid_base + 1024))
        pids = host.wait_for("it runs", lambda: [
            p for p in host.processes()
            if p.argv[-2:] == ["-u", "/code/main.py"]
            and set(p.uids()) & outside
        ] if tuned.runtime == "runc" else tuned.workers(), 20)
        assert pids
        if tuned.runtime == "runc":
            assert all(1000 not in p.uids() for p in pids)
        # The same while it runs: what its control group says.
        assert group_value(tuned, "memory.max", "memory.limit_in_bytes") == [
            str(96 * MIB)]
        assert group_value(tuned, "cpu.max", "cpu.cfs_quota_us")[0] == "50000"
        limit = int(group_value(tuned, "pids.max")[0])
        assert 40 <= limit <= 40 + 512
        if tuned.runtime == "runc":
            assert limit < 100
    finally:
        tuned.post("/jobs/%s/cancel" % job)
        tuned.wait(job)


def test_memory(tuned):
    record = tuned.run("x = bytearray(80 << 20)\nprint(len(x))\n"
                       "x = bytearray(200 << 20)\nprint('more')",
                       job_type="tuned")
    assert record["status"] == "oom", record
    assert "more" not in record["stdout"]


def test_memory_as_gvisor_shows_it(facts, tuned):
    if tuned.runtime == "runsc":
        assert int(facts["meminfo"][1]) <= 96 * 1024


# ---- what is kept of a job ---------------------------------------------------

def test_output_is_cut(record):
    for name, most in (("stdout", 2048), ("stderr", 3072)):
        assert most // 2 < len(record[name]) <= most, name
        assert set(record[name][:1000]) <= set("oe")


def test_artifacts_are_capped(record, tuned):
    assert {a["name"] for a in record["artifacts"]} == {"result.json", "kept"}
    # Of three that are not too large one would be too much in all.
    record = tuned.run("for name in 'abc':\n"
                       "    open('/output/' + name, 'w').write('x' * 25000)")
    assert [a["size_bytes"] for a in record["artifacts"]] == [25000] * 2


# ---- time and slots ----------------------------------------------------------

def test_time_of_the_type(tuned):
    record = tuned.run("import time\ntime.sleep(60)", job_type="brief")
    assert record["status"] == "timeout", record
    assert 900 <= record["timing"]["execution_ms"] <= 20000, record["timing"]


def test_slots_kept_ready(tuned):
    """One of the type, as many as warm_pool_size says of the default one."""
    def ready():
        # Others that were asked for may be there by demand.
        names = sorted(w["job_type"] for w in tuned.workers()
                       if w["state"] == "ready"
                       and w["job_type"] in ("default", "tuned"))
        return names == ["default", "default", "tuned"]
    host.wait_for("as many slots as are wanted are ready", ready, 30)
    assert tuned.keys["warm_pool_size"] == 2
