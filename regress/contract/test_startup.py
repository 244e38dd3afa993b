"""
Starts of a container, apart from the four daemons: one that does not come up in
time, its runtime being a script that hangs for as long as a file says so; and
what a start costs gVisor.
"""
import os
import re
import stat

from lib import host, syscalls


def hanging_runtime(folder):
    """(path of the runtime, path of the file that makes it hang)"""
    flag, path = os.path.join(folder, "hang"), os.path.join(folder, "runtime")
    with open(path, "w") as file:
        file.write('#!/bin/sh\ncase " $* " in\n*" run "*|*" create "*)\n'
                   '\t[ -e "%s" ] && exec sleep 1000 ;;\nesac\n'
                   'exec runc "$@"\n' % flag)
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR | stat.S_IXGRP
             | stat.S_IXOTH)
    return path, flag


def test_startup_timeout(start, tmp_path):
    path, flag = hanging_runtime(str(tmp_path))
    takod = start("oci", "runc", config={"runc_path": path,
                                         "warm_pool_size": 0})
    assert takod.execute("print(1)")["stdout"] == "1\n"
    open(flag, "w").close()
    job = takod.submit("print(1)", startup_timeout=10)
    record = takod.wait(job, 60)
    assert record["status"] == "timeout", record
    assert record["exit_code"] == -1 and record["stdout"] == ""
    assert record["error"]["type"] == "startup_timeout"
    assert record["error"]["phase"] == "startup"
    assert record["timing"]["phase_at_exit"] == "startup"
    assert 10000 <= record["timing"]["total_ms"] <= 25000, record["timing"]
    os.unlink(flag)
    assert takod.execute("print(2)")["stdout"] == "2\n"


def test_cancel_while_it_starts(start, tmp_path):
    path, flag = hanging_runtime(str(tmp_path))
    takod = start("oci", "runc", config={"runc_path": path,
                                         "warm_pool_size": 0})
    open(flag, "w").close()
    job = takod.submit("print(1)", startup_timeout=60)
    host.wait_for("the runtime hangs", lambda: [
        p for p in host.descendants(takod.pid) if p.comm == "sleep"], 20)
    assert takod.post("/jobs/%s/cancel" % job)[0] == 200
    record = takod.wait(job, 10)
    assert record["status"] == "cancelled" and record["stdout"] == ""
    host.wait_for("the hanging runtime is gone", lambda: not [
        p for p in host.descendants(takod.pid) if p.comm == "sleep"], 10)
    os.unlink(flag)
    assert takod.execute("print(2)")["stdout"] == "2\n"


def test_tako_init_makes_few_system_calls_under_gvisor(start, tmp_path):
    # Each is 25 us there. It made 2,100 when it closed 1,000 descriptors by
    # themselves, and set every signal.
    folder = tmp_path / "logs"
    takod = start("oci", "runsc", config={
        "warm_pool_size": 0, "runsc_args": [
            "--debug", "--strace", "--debug-log=%s/" % folder]})
    assert takod.execute("print(1)")["stdout"] == "1\n"
    calls = [len(re.findall(r"\] init E ", log.read_text()))
             for log in folder.glob("*.boot.txt")]
    assert 50 < max(calls) < 300, calls


def test_gvisor_finds_what_spares_it_waits(start):
    # For all processors, 10 to 20 ms each, at what begins with threads.
    takod = start("oci", "runsc", config={"warm_pool_size": 1})
    host.wait_for("a slot", lambda: takod.stats()["takod"]["slots_ready"])
    own, = [name for name in takod.containers() if not name.endswith(".run")]
    sizes = [int(host.Process(pid).status()["FDSize"])
             for folder in host.cgroups_named(own)
             for pid in host.cgroup_pids(folder)]
    assert len(sizes) >= 2 and min(sizes) >= 512, sizes
    shown = takod.execute("import ctypes\n"
                          "print(ctypes.CDLL(None).syscall(%d, 0, 0, 0))\n"
                          % syscalls.numbers()["membarrier"])
    assert shown["stdout"] == "0\n", shown  # none of its commands
