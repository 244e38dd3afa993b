"""
How it ended: time, memory, cancelling, and a sandbox that dies. Rows R01 to
R04 and R09 of the hostile jobs are in regress/hostile.
"""
import http.client
import json
import os
import signal

import pytest

from lib import host

pytestmark = pytest.mark.usefixtures("survives", "promised")


def assert_timeout(record, limit):
    assert record["status"] == "timeout", record
    assert record["exit_code"] == 124
    assert record["error"]["type"] == "execution_timeout"
    assert record["error"]["phase"] == "execution"
    assert record["error"]["message"].startswith(
        "Code execution exceeded time limit (%ds) (startup: " % limit)
    # tako-init's clock begins a moment after the parent's; the host may be
    # busy, and the job would not end by itself for long.
    assert limit * 1000 - 50 <= record["timing"]["execution_ms"] \
        <= limit * 1000 + 10000, record["timing"]


# ---- time -------------------------------------------------------------------

@pytest.mark.parametrize("code", [
    "while True:\n    pass",
    "import time\ntime.sleep(60)",
    # R05: signals that could be ignored or blocked
    "import signal, time\n"
    "for n in signal.valid_signals() - {9, 19}:\n"
    "    try:\n        signal.signal(n, signal.SIG_IGN)\n"
    "    except OSError:\n        pass\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
    "while True:\n    time.sleep(1)",
    # R07: stops itself and its children
    "import os, signal\n"
    "if os.fork() == 0:\n    os.kill(os.getpid(), signal.SIGSTOP)\n"
    "os.kill(os.getpid(), signal.SIGSTOP)",
    # O01: floods all the time
    "import os\nwhile True:\n    os.write(1, b'x' * 65536)",
    "import sys\nwhile True:\n    sys.stdin.read()",
], ids=("spin", "sleep", "ignores", "stops", "floods", "reads"))
def test_timeout(combo, code):
    assert_timeout(combo.run(code, timeout=1), 1)


def test_timeout_keeps_what_was_printed(combo):
    record = combo.run("import time\nprint('before', flush=True)\n"
                       "open('/output/half', 'w').write('x')\n"
                       "time.sleep(60)", timeout=3)
    assert_timeout(record, 3)
    assert record["stdout"] == "before\n"


# ---- memory -----------------------------------------------------------------

HOG = "data = []\nwhile True:\n    data.append(bytearray(b'x') * (4 << 20))\n"


def test_out_of_memory(combo):
    record = combo.run(HOG, job_type="small", timeout=60)
    assert record["status"] == "oom", record
    assert record["exit_code"] == 137 and record["error"]["type"] == "oom"
    assert record["error"]["message"] == "Execution exceeded memory limit"


# ---- cancelling -------------------------------------------------------------

@pytest.mark.parametrize("code", [
    "import time\ntime.sleep(60)",
    "import signal\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
    "while True:\n    pass",
    "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
], ids=("sleeps", "spins", "stopped"))
def test_cancel_running(combo, code):
    job = combo.submit(code, timeout=60)
    combo.wait_status(job, "running")
    status, _, answer = combo.post("/jobs/%s/cancel" % job)
    assert status == 200 and answer == {"status": "cancelled", "job_id": job}
    record = combo.wait(job, 20)
    assert record["status"] == "cancelled"
    assert record["error"]["type"] == "cancelled"
    status, _, answer = combo.post("/jobs/%s/cancel" % job)
    assert status == 404
    assert answer["detail"] == "Job not found or already completed"


def test_cancel_waiting(combo):
    # Four run: the fifth waits, is cancelled, and never runs.
    running = [combo.submit("import time\ntime.sleep(60)", timeout=60)
               for _ in range(4)]
    try:
        waiting = combo.submit("print('ran')")
        shown = combo.get("/jobs/" + waiting)[2]
        assert shown["status"] == "pending", shown
        assert shown["queue_position"] == 1
        status, _, _ = combo.post("/jobs/%s/cancel" % waiting)
        assert status == 200
        record = combo.record(waiting)
        assert record["status"] == "cancelled"
        assert record["started_at"] is None and record["stdout"] == ""
    finally:
        for job in running:
            combo.post("/jobs/%s/cancel" % job)
    for job in running:
        assert combo.wait(job, 20)["status"] == "cancelled"
    assert combo.record(waiting)["status"] == "cancelled"


def test_client_that_goes_away_cancels(combo):
    connection = http.client.HTTPConnection(combo.host, combo.port, timeout=20)
    body = json.dumps({"code": "import time\ntime.sleep(60)", "timeout": 60})
    connection.request("POST", "/execute", body,
                       {"Content-Type": "application/json"})
    host.wait_for("the job runs", lambda: combo.stats()["running"] == 1, 20)
    connection.close()
    host.wait_for("it is cancelled",
                  lambda: combo.stats()["running"] == 0, 10)


# ---- a sandbox that dies ----------------------------------------------------

def test_sandbox_killed_from_outside(combo):
    job = combo.submit("import time\nprint('on', flush=True)\n"
                       "time.sleep(60)", timeout=60)
    # Before the code is handed over it would only run elsewhere.
    host.wait_for("the code runs", lambda: [
        c for c in combo.workers() if c["job_id"] == job
        and c["state"] == "running"], 20)
    pids = job_pids(combo, job)
    assert pids, "no process of the job's container is seen"
    # The oldest is their init: without it no word can come of the others.
    for pid in sorted(pids):
        host.signal_pid(pid, signal.SIGKILL)
    record = combo.wait(job, 20)
    assert record["status"] == "failed", record
    # A Docker Engine with runc tells it from the job's own doing.
    told = (combo.engine, combo.runtime) == ("docker", "runc")
    assert record["error"]["type"] == (
        "interrupted" if told else "sandbox_died"), record["error"]
    assert record["takod"]["attempt"] == 1


def job_pids(combo, job):
    """Host pids of the container that runs the job."""
    names = [c["container"] for c in combo.workers()
             if c["job_id"] == job]
    assert len(names) == 1, combo.workers()
    if combo.engine == "docker":
        return [c["Pid"] for c in combo.docker_containers()
                if names[0] in c["Name"]]
    pids = set()
    for group in host.cgroups_named(names[0]):
        pids |= host.cgroup_pids(group)
    return pids


# ---- what a job leaves -------------------------------------------------------


def test_grandchild_holds_the_pipes(combo):
    # O08: nobody waits for the end of a pipe.
    code = """
import os, time
print('main', flush=True)
if os.fork() == 0:
    os.setsid()
    time.sleep(60)
"""
    record = combo.run(code, timeout=50)
    assert record["status"] == "succeeded", record
    assert record["stdout"] == "main\n"
    assert record["timing"]["execution_ms"] < 40000


def test_host_keeps_no_core(combo):
    # K13
    pattern = host.read("/proc/sys/kernel/core_pattern")
    before = set(os.listdir(combo.dir))
    record = combo.run("import os, resource\n"
                       "print(resource.getrlimit(resource.RLIMIT_CORE)[1],"
                       " flush=True)\nos.abort()")
    assert record["error"]["type"] == "abort"
    # Of one byte: no file, and no program that core_pattern names.
    assert record["stdout"] == "1\n"
    assert set(os.listdir(combo.dir)) == before
    assert host.read("/proc/sys/kernel/core_pattern") == pattern
