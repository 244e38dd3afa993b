"""
An orderly stop leaves nothing: no process, container, control group or mount,
whatever was under way; and what waited then runs after the next start.
"""
import signal

import pytest

from lib import host

ENGINES = [("oci", "runsc"), ("oci", "runc"), ("docker", "runsc"),
           ("docker", "runc")]


@pytest.mark.parametrize("engine,runtime", ENGINES)
def test_stop_while_slots_are_made(start, engine, runtime):
    # Each execute makes takod begin the next slot; stop() checks for more.
    takod = start(engine, runtime)
    for _ in range(3):
        assert takod.execute("print(1)")["stdout"] == "1\n"
        takod.stop()
        takod.start()


def test_stop_drains(start):
    """Row T31 of the fault catalogue."""
    # What runs may end in drain_timeout; what waits is kept.
    takod = start("oci", "runc", config={"max_workers": 1})
    running = takod.submit("import time\ntime.sleep(4)\nprint('ran')")
    waiting = takod.submit("print('waited')")
    takod.wait_code(running)
    takod.stop()
    takod.start()
    record = takod.wait(running, 20)
    assert (record["status"], record["stdout"]) == ("succeeded", "ran\n")
    record = takod.wait(waiting, 20)
    assert (record["status"], record["stdout"]) == ("succeeded", "waited\n")


def test_second_sigterm_is_at_once(start):
    """Row T31 of the fault catalogue."""
    takod = start("oci", "runc")
    job = takod.submit("import time\ntime.sleep(60)", timeout=60)
    host.wait_for("the code runs", lambda: [
        c for c in takod.workers() if c["job_id"] == job
        and c["state"] == "running"], 20)
    takod.proc.send_signal(signal.SIGTERM)
    host.wait_for("it drains", lambda: "stopping: " in takod.log(), 10)
    takod.proc.send_signal(signal.SIGTERM)
    takod.stop(10)
    takod.start()
    record = takod.wait(job, 10)
    assert record["status"] == "failed"
    assert record["error"]["type"] == "interrupted"


def test_drain_timeout(start):
    """Row T31 of the fault catalogue."""
    takod = start("oci", "runc", config={"drain_timeout": 1})
    job = takod.submit("import time\ntime.sleep(60)", timeout=60)
    host.wait_for("the code runs", lambda: [
        c for c in takod.workers() if c["job_id"] == job
        and c["state"] == "running"], 20)
    takod.stop(10)
    takod.start()
    assert takod.wait(job, 10)["error"]["type"] == "interrupted"
