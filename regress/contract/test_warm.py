"""
Slots by demand: none for what nobody asks for, some for what is asked for, and
a size that the configuration names is kept to.
"""
import json
import os
import re

import pytest

from lib import host

CONFIG = {"warm_pool_size": 0, "max_workers": 3, "job_types": [
    {"name": "asked"}, {"name": "other"},
    {"name": "none", "warm_pool_size": 0},
    {"name": "slow", "preload": ["slow"], "shared_code": ["slow.py"]},
    {"name": "many", "preload": ["slow"], "shared_code": ["slow.py"],
     "warm_pool_size": 0}]}
FILES = {"slow.py": "import time\ntime.sleep(2)\n"}
PROCESSORS = os.sysconf("SC_NPROCESSORS_ONLN")


def slots(daemon, state=None, job_type=None):
    """Of the children, those that have a container."""
    return [w["name"] for w in daemon.workers() if w["job_type"]
            and state in (None, w["state"])
            and job_type in (None, w["job_type"])]


def containers(daemon):
    """Without what the runtime itself runs in."""
    return {n for n in daemon.containers() if not n.endswith(".run")}


def pool(daemon):
    return daemon.stats()["takod"]


@pytest.mark.parametrize("runtime", ["runsc", "runc"])
def test_follow_what_is_asked_for(start, runtime):
    daemon = start("oci", runtime, config=CONFIG, files=FILES)
    assert pool(daemon)["slots_wanted"] == 0
    assert not slots(daemon)
    # The first one waits, the next one does not.
    assert daemon.execute("print(1)", job_type="asked")["stdout"] == "1\n"
    host.wait_for("one is ready", lambda: slots(daemon, "ready", "asked"), 20)
    assert pool(daemon)["slots_wanted"] == 1
    assert daemon.execute("print(2)", job_type="asked")["stdout"] == "2\n"
    found = pool(daemon)
    assert (found["jobs_warm"], found["jobs_cold"]) == (1, 1)
    shown = json.loads(daemon.takoctl("--json", "status", check=True).stdout)
    assert (shown["pool"]["jobs_warm"], shown["pool"]["jobs_cold"]) == (1, 1)
    # A second one so soon may be the second of many.
    assert re.search(r"slots .*[12] wanted; 1 jobs found one ready, 1 waited",
                     daemon.takoctl("status", check=True).stdout)
    # A size that is named holds.
    for _ in range(2):
        daemon.execute("print(1)", job_type="none")
    host.wait_for("that one alone is left", lambda: slots(
        daemon, "ready", "asked") == slots(daemon), 20)
    # Another configuration: made anew, and ended when nobody asks.
    before = containers(daemon)
    daemon.write_config(container_limits={"pids_limit": 321})
    daemon.takoctl("reload", check=True)
    host.wait_for("it is another one", lambda: containers(daemon)
                  and not containers(daemon) & before, 40)
    daemon.write_config(warm_pool_idle_seconds=1)
    daemon.takoctl("reload", check=True)
    host.wait_for("nobody asks any more",
                  lambda: pool(daemon)["slots_wanted"] == 0, 20)
    host.wait_for("none is left", lambda: not containers(daemon), 20)


def test_more_where_they_take_long(start):
    # Those of a size that is named are not counted among them.
    daemon = start("oci", "runc", files=FILES,
                   config={**CONFIG, "warm_pool_size": 3})
    for job in [daemon.submit("print(1)", job_type="slow")
                for _ in range(9)]:
        assert daemon.wait(job)["stdout"] == "1\n"
    # 9 jobs in half a minute, 2 s each: 0.6 at a time, and more by chance:
    # as many as can run.
    assert pool(daemon)["slots_wanted"] == 3 + 3
    host.wait_for("two are ready",
                  lambda: len(slots(daemon, "ready", "slow")) >= 2, 30)


def shares(daemon):
    """Of the processors, for each container, by its name."""
    found = {}
    for group in daemon.container_groups():
        for file in ("cpu.shares", "cpu.weight"):
            text = host.read(os.path.join(group, file))
            if text and not group.endswith(".run"):
                found[os.path.basename(group)] = (file, int(text))
    return {n: v for n, v in found.items() if n in containers(daemon)}


@pytest.mark.parametrize("runtime", ["runsc", "runc"])
def test_gives_way_to_jobs(start, runtime):
    whole = ("cpu.shares", 1024), ("cpu.weight", 100)
    daemon = start("oci", runtime, config=CONFIG, files=FILES)
    # What a job waits for does not.
    job = daemon.submit("print(1)", job_type="slow")
    made = host.wait_for("it is made", lambda: shares(daemon), 20)
    assert set(made.values()) <= set(whole), made
    assert daemon.wait(job)["stdout"] == "1\n"
    # What is made ahead does, until it is ready.
    made = host.wait_for("another is made", lambda: {
        n: v for n, v in shares(daemon).items() if v not in whole}, 20)
    (name, (file, part)), = made.items()
    assert part <= 102
    host.wait_for("it is ready", lambda: slots(daemon, "ready", "slow"), 20)
    assert shares(daemon)[name] in whole
    # Or wanted.
    daemon.takoctl("reload", check=True)
    daemon.execute("print(1)", job_type="slow")
    made = host.wait_for("another is made", lambda: {
        n: v for n, v in shares(daemon).items() if v not in whole}, 20)
    job = daemon.submit("print(1)", job_type="slow")
    assert host.wait_for("it does not give way any more", lambda: shares(
        daemon).get(list(made)[0]) in whole or daemon.get(
            "/jobs/" + job)[2]["status"] == "succeeded", 20)
    assert daemon.wait(job)["stdout"] == "1\n"


def test_no_more_at_a_time_than_processors(start):
    """And, as soon as a job would find one, one less."""
    daemon = start("oci", "runc", files=FILES, config={
        "warm_pool_size": 0, "job_types": [
            {"name": "many", "preload": ["slow"], "shared_code": ["slow.py"],
             "warm_pool_size": 2 * PROCESSORS}]})
    most = {False: 0, True: 0}

    def full():
        states = [w["state"] for w in daemon.workers()
                  if w["job_type"] == "many"]
        ready = states.count("ready")
        most[ready > 0] = max(most[ready > 0], len(states) - ready)
        return ready == 2 * PROCESSORS
    host.wait_for("all are ready", full, 60)
    assert 1 <= most[False] <= PROCESSORS, most
    assert 1 <= most[True] <= max(1, PROCESSORS - 1), most


def test_the_next_one_is_made_behind_a_short_job(start):
    """To make the next sandbox takes as much as a job: one that ends at once
    does not share the processors with that. (On a busy machine it may.)"""
    daemon = start("oci", "runc", config={"warm_pool_size": 1})
    for _ in range(20):
        host.wait_for("one is ready", lambda: slots(daemon, "ready"), 20)
        before = len(daemon.log())
        assert daemon.execute("print(1)")["stdout"] == "1\n"
        host.wait_for("the next is made", lambda: re.search(
            r"tako-worker\[\d+\] started", daemon.log()[before:]))
        log = daemon.log()[before:]
        if log.index(": succeeded after ") < log.index("] started as"):
            return
    raise AssertionError("it was always made before the job had ended")
