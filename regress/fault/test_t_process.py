"""
test_t_process.py: rows T01 to T08, T26 to T28, T31 and T37 of the fault
catalogue: processes that are killed, stopped, run out of memory or of
descriptors, each at named moments. A daemon of the build with failpoints.
"""
import os
import resource
import signal
import sys
import threading
import time

import pytest

from lib import host, invariants
from lib.failpoints import tapped_takod
from lib.fault import Client, Waiting, cpu_seconds, some_seed
from lib.faults import NoMemory

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import memory  # noqa: E402

CONFIG = {"warm_pool_size": 1, "max_workers": 2, "queue_wait_timeout": 1,
          "retry_base_delay": 0.1, "drain_timeout": 5}


@pytest.fixture(scope="module")
def place(shared_things):
    takod = tapped_takod("fault-process", CONFIG)
    yield takod
    takod.points.clear()
    takod.close()


@pytest.fixture
def client(place):
    """The daemon, as many lives as it may need, and its promises."""
    place.points.clear()
    if not place.alive():
        place.start()
    one = Client(place, log=place.tap_log)
    yield one
    place.points.clear()
    if not place.alive():
        place.start()
    one.succeeds(one.must_submit())
    one.check()


def runs(takod, job):
    return host.wait_for("its code runs", lambda: [
        w for w in takod.workers() if w["job_id"] == job
        and w["state"] == "running"], 20)[0]


BROKEN = ("interrupted", "internal_error", "sandbox_died")


def ended_well(client, job, broken=BROKEN):
    record = client.ended(job)
    assert record["status"] == "succeeded" or (
        record["status"] == "failed"
        and record["error"]["type"] in broken), record
    return record


# ---- T01: tako-api ----------------------------------------------------------

def test_t01_front_killed(place, client):
    """After the COMMIT, before the answer: the key finds the same job."""
    running = client.must_submit(4)
    runs(place, running)
    before, = place.children("tako-api")
    place.points.set("api.answered", "kill")
    status, job, _ = client.submit(key="t01-front-killed", token="%016x" % 1)
    assert status == 0, status
    place.points.clear()
    host.wait_for("it is replaced", lambda: client.ask("GET", "/health")[0]
                  == 200)
    assert place.children("tako-api") != [before]
    job = client.must_submit(key="t01-front-killed", token="%016x" % 1)
    assert client.must_submit(key="t01-front-killed", token="%016x" % 1) == job
    client.succeeds(job)
    client.succeeds(running)


# ---- T02: tako-worker -------------------------------------------------------

@pytest.mark.parametrize("moment,again", [
    ("worker.ready", True), ("worker.given", False),
    ("worker.running", False), ("worker.collecting", False),
    ("worker.done", False)])
def test_t02_worker_killed(place, client, moment, again):
    place.points.set(moment, "kill")
    job = client.must_submit(0.2)
    place.points.wait(moment)
    place.points.clear()
    record = ended_well(client, job)
    if again:
        # Nothing had run: the job runs after all.
        assert record["status"] == "succeeded", record
    if moment == "worker.done":
        # Its last word was said: the result is committed, once.
        assert record["status"] == "succeeded", record


# ---- T03, T04: the parent, and all of it ------------------------------------

MOMENTS = ["takod.submitted", "takod.claimed", "takod.creating",
           "takod.created", "takod.started", "takod.handed_over",
           "takod.ended", "takod.finishing", "takod.finished",
           "takod.removed"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_t03_parent_killed(place, client, moment):
    # Two with a key, which ask again when no answer comes.
    place.points.set(moment, "kill")
    jobs = {}

    def submit(n):
        key, token = "t03-%s-%d" % (moment[6:], n), "%08x%08x" % (
            0x30000000 + n, MOMENTS.index(moment))
        for _ in range(200):
            status, job, _ = client.submit(0.1, key=key, token=token)
            if status == 200:
                jobs[key] = job
                return
            time.sleep(0.1)
    threads = [threading.Thread(target=submit, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    host.wait_for("it is killed", lambda: not place.alive(), 20)
    children = [p for p in host.processes() if p.comm.startswith("tako-")
                and place.dir in " ".join(p.argv)]
    place.points.clear()
    place.proc.wait()
    host.wait_for("children end with it", lambda: not [
        p for p in children if host.alive(p.pid, p.started)], 5)
    before = place.containers()
    place.start()
    assert not before & place.containers(), "containers of a former life"
    for thread in threads:
        thread.join(30)
    assert len(jobs) == 3
    for job in jobs.values():
        ended_well(client, job)


def test_t04_everything_killed(place, client):
    """All processes and containers at once, as with the power."""
    job = client.must_submit(20, more="open('/output/a', 'w').write('x')")
    runs(place, job)
    for pid in [place.pid] + place.children() + sorted(
            place.container_pids()):
        host.signal_pid(pid, signal.SIGKILL)
    place.proc.wait()
    place.start()
    record = client.ended(job)
    assert record["error"]["type"] == "interrupted", record
    assert os.listdir(os.path.join(place.data_dir, "spool")) in (
        [], *[[name] for name in place.containers()])


# ---- T05: the kernel's own kill ---------------------------------------------

BIG = {"x": "x" * 900000}


def out_of_memory(pid, use, limit=128 << 10):
    """use() makes the process take memory; the kernel has to kill it."""
    group = NoMemory(pid, limit)
    try:
        use()
        host.wait_for("the kernel kills it", lambda: group.kills() >= 1
                      and not host.alive(pid), 20)
    finally:
        group.close()


def test_t05_worker_out_of_memory(place, client):
    """As T02: the job's own end is not known, and it is not run again."""
    ready = host.wait_for("one waits for a job", lambda: [
        w["pid"] for w in place.workers() if w["state"] == "ready"])
    jobs = []
    # A result is read into the worker's memory.
    out_of_memory(ready[0], lambda: jobs.append(client.must_submit(
        more="open('/output/result.json', 'w').write('\"%s\"' % ("
        "'x' * 5000000))")), 1 << 20)
    record = client.ended(jobs[0])
    assert record["error"]["type"] == "internal_error", record


def test_t05_front_out_of_memory(place, client):
    """As T01: jobs run on, and a key finds what was taken."""
    running = client.must_submit(4)
    runs(place, running)
    api, = place.children("tako-api")
    keyed = {"key": "t05-front", "token": "%016x" % 5, "input_data": BIG}
    out_of_memory(api, lambda: client.submit(**keyed))
    host.wait_for("it is replaced", lambda: client.ask("GET", "/health")[0]
                  == 200, 10)
    job = client.must_submit(**keyed)
    assert client.must_submit(**keyed) == job
    client.succeeds(job)
    client.succeeds(running)


def test_t05_parent_out_of_memory(place, client):
    """As T03. When the host has no memory, jobs go before it does."""
    job = client.must_submit(20)
    runs(place, job)
    children = place.children()

    def likely(pid):
        return int(host.read("/proc/%d/oom_score_adj" % pid))
    assert all(likely(pid) == 1000 > likely(place.pid)
               for pid in place.container_pids())

    def use():
        host.wait_for("it is killed", lambda: client.submit(
            input_data=BIG)[0] == 0 or not place.alive(), 20)
    out_of_memory(place.pid, use)
    assert place.proc.wait() == -signal.SIGKILL
    host.wait_for("children end with it", lambda: not [
        pid for pid in children if host.alive(pid)], 5)
    place.start()
    assert client.ended(job)["error"]["type"] == "interrupted"


# ---- T06: a child that stands still -----------------------------------------

@pytest.fixture
def stopped(start):
    """Another daemon, whose parent stands still while its job runs."""
    # No interpreter but the job's.
    takod = start("oci", "runc", config={**CONFIG, "warm_pool_size": 0})
    client = Client(takod)
    job = client.must_submit(60, timeout=5)
    takod.wait_code(job)
    host.signal_pid(takod.pid, signal.SIGSTOP)
    yield client, job
    host.signal_pid(takod.pid, signal.SIGCONT)


def test_t06_stopped_children(place, client, stopped):
    """
    SIGSTOP: they are replaced, and what one says later counts no more. A job
    whose parent stands still ends all the same: its worker sees to it (T06).
    """
    job = client.must_submit(60, timeout=60)
    worker = runs(place, job)["pid"]
    api, = place.children("tako-api")
    for pid in (worker, api):
        host.signal_pid(pid, signal.SIGSTOP)
    with Waiting(client):
        host.wait_for("both are replaced", lambda: not host.alive(worker)
                      and not host.alive(api), 40)
    assert "is not answered" in place.log()
    record = client.ended(job)
    assert record["error"]["type"] == "internal_error", record
    for pid in (worker, api):
        host.signal_pid(pid, signal.SIGCONT)
    other, job = stopped
    host.wait_for("its code runs no more", lambda: not [
        pid for pid in other.takod.container_pids()
        if "main.py" in host.read("/proc/%d/cmdline" % pid)], 40)
    assert "says nothing any more" in other.takod.log()
    host.signal_pid(other.takod.pid, signal.SIGCONT)
    record = other.ended(job)
    assert record["error"]["type"] in ("internal_error",
                                       "execution_timeout"), record
    other.check()


def test_t06_parent_stopped(place, client):
    """Its own sleep is nobody else's fault: no child is replaced for it."""
    before = place.children("tako-api")
    job = client.must_submit(4)
    runs(place, job)
    log = len(place.log())
    host.signal_pid(place.pid, signal.SIGSTOP)
    time.sleep(3)  # the fault itself
    host.signal_pid(place.pid, signal.SIGCONT)
    client.succeeds(job)
    assert place.children("tako-api") == before
    assert "violation" not in place.log()[log:]


def test_t13_list_gives_up(place, client):
    """A list that takes too long (T13): what was found so far, and the rest
    behind it. The loop stands still in the middle of it, as on a slow disk."""
    jobs = [client.must_submit() for _ in range(4)]
    for job in jobs:
        client.succeeds(job)
    pages = []
    path = "/executions?limit=9&since=2000-01-01"
    place.points.set("takod.listing", "stop", 2)
    thread = threading.Thread(target=lambda: pages.append(
        client.ask("GET", path)))
    thread.start()
    host.wait_for("it stands still", lambda: host.Process(
        place.pid).state == "T")
    time.sleep(4.2)  # the fault itself
    place.points.clear()
    host.signal_pid(place.pid, signal.SIGCONT)
    thread.join(30)
    status, _, page = pages[0]
    assert (status, page["has_more"]) == (200, True), page
    found = [item["execution_id"] for item in page["items"]]
    assert len(found) in (2, 3), found
    assert found == jobs[:-len(found) - 1:-1]  # the newest ones
    status, _, page = client.ask("GET", "%s&after=%s" % (
        path, page["takod"]["next"]))
    assert status == 200
    assert page["items"][0]["execution_id"] == jobs[3 - len(found)], page


# ---- T08: children that cannot start ----------------------------------------

def test_t08_crash_loop(place, client):
    """The front dies at each start: replaced ever more slowly, then works."""
    folder = os.path.dirname(place.program)
    path = os.path.join(folder, "tako-api")
    os.rename(path, path + ".kept")
    with open("/bin/false", "rb") as file, open(path, "wb") as copy:
        copy.write(file.read())
    os.chmod(path, 0o755)
    try:
        host.signal_pid(place.children("tako-api")[0], signal.SIGKILL)
        host.wait_for("it says so", lambda: "dies again and again"
                      in place.log(), 20)
        begun, before = time.monotonic(), cpu_seconds(place.pid)
        host.wait_for("a few tries later", lambda: place.log().count(
            "dies again and again") >= 2, 20)
        assert cpu_seconds(place.pid) - before < 0.2 * (
            time.monotonic() - begun) + 0.3
    finally:
        os.rename(path + ".kept", path)
    host.wait_for("the front is back", lambda: client.ask(
        "GET", "/health")[0] == 200, 40)


# ---- T26: no descriptors ----------------------------------------------------

def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def test_t26_no_descriptors(place, client):
    """Load is shed, nothing spins, and it recovers by itself."""
    pid = place.pid
    job, log = client.must_submit(0.5), len(place.log())
    was = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE,
                     (descriptors(pid), was[1]))
    try:
        threads = [threading.Thread(target=client.submit)
                   for _ in range(8)]
        with Waiting(client, 1):
            for thread in threads:
                thread.start()
        assert "violation" not in place.log()[log:]
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, was)
    for thread in threads:
        thread.join()
    assert place.alive()
    host.wait_for("the front answers", lambda: client.ask(
        "GET", "/health")[0] == 200, 20)
    ended_well(client, job)
    for one in list(client.inv.tokens):
        record = client.ended(one)
        # An attempt without descriptors is the host's fault.
        assert record["status"] == "succeeded" or record["error"]["type"] in (
            "docker_error", *BROKEN), record
    # Its breaker may be open for half a minute now: not what is tried next.
    place.stop()
    place.start()


# ---- T27: no memory ---------------------------------------------------------

# Of one process that fails, the time is mostly that of its next start.
@pytest.mark.parametrize("program,seconds", [
    ("takod", 16), ("tako-api", 8), ("tako-worker", 10), ("tako-words", 6)])
def test_t27_no_memory(place, client, program, seconds):
    """The Nth allocation fails: an error, or a clean end (memory.py)."""
    seed = some_seed()
    print("seed %d" % seed)
    sweep = memory.Sweep(client, program, seed)
    tried, total = sweep.run(seconds)
    print("%d of %d" % (tried, total))
    assert tried >= 1
    # Its breaker may be open for half a minute now: not what is tried next.
    place.stop()
    place.start()


# ---- T23: somebody else's hand ----------------------------------------------

def freeze(container):
    """As `runc pause` does it."""
    for group in host.cgroups_named(container):
        for name, word in (("freezer.state", "FROZEN"),
                           ("cgroup.freeze", "1")):
            path = os.path.join(group, name)
            if os.path.exists(path) and not group.endswith(".run"):
                with open(path, "w") as file:
                    file.write(word)


def test_t23_paused(place, client):
    """
    A container that was paused did not use up its time; it is gone all the
    same. Of one that was killed an OCI runtime tells takod nothing (T23):
    that is sandbox_died, as a job's own doing under gVisor.
    """
    job = client.must_submit(30, timeout=5)
    worker = runs(place, job)
    freeze(worker["container"])
    record = client.ended(job, 30)
    assert (record["status"], record["error"]["type"]) == (
        "failed", "interrupted"), record
    assert "killed_externally" in record["error"]["message"]
    job = client.must_submit(30)
    pids = host.wait_for("its code runs", lambda: [
        pid for group in host.cgroups_named(runs(place, job)["container"])
        for pid in host.cgroup_pids(group)])
    for pid in pids:
        host.signal_pid(pid, signal.SIGKILL)
    assert client.ended(job)["error"]["type"] == "sandbox_died"


# ---- T28: interrupted calls, full buffers -----------------------------------

def test_t28_signals_and_full_buffers(place, client):
    """A storm of signals, and outputs larger than any buffer both ways."""
    done = threading.Event()

    def storm():
        while not done.is_set():
            host.signal_pid(place.pid, signal.SIGHUP)
            for pid in place.children():
                host.signal_pid(pid, signal.SIGSTOP)
                host.signal_pid(pid, signal.SIGCONT)
            time.sleep(0.01)
    thread = threading.Thread(target=storm)
    thread.start()
    try:
        jobs = [client.must_submit(0.1, more="print('x' * 1000000)")
                for _ in range(6)]
        for job in jobs:
            record = client.ended(job)
            assert record["status"] == "succeeded", record
            assert record["stdout"].count("x") >= 60000
    finally:
        done.set()
        thread.join()


# ---- T31: asked to end ------------------------------------------------------

def test_t31_sigquit_is_at_once(place, client):
    job = client.must_submit(60, timeout=60)
    runs(place, job)
    place.proc.send_signal(signal.SIGQUIT)
    # It runs for a minute: it was not waited for.
    assert place.proc.wait(40) == 0
    assert place.leftovers() == []
    place.start()
    assert client.ended(job)["error"]["type"] == "interrupted"


# ---- T29: the clock ---------------------------------------------------------

@pytest.mark.parametrize("seconds", [3600, -3600, -1.5])
def test_t29_clock_steps(place, client, seconds):
    """
    As by hand and as NTP steps it: limits are by another clock, nothing
    expires, nothing is early.
    """
    old = client.must_submit()
    client.succeeds(old)

    def lasted():
        place.points.clock(0)
        begun = time.monotonic()
        job = client.must_submit(30, timeout=3)
        runs(place, job)
        stepped = time.monotonic()
        place.points.clock(seconds)
        record = client.ended(job)
        assert record["status"] == "timeout", record
        assert time.monotonic() - begun >= 3
        assert record["ended_at"] >= record["started_at"]
        return time.monotonic() - stepped
    # Late by no step of the clock; a busy host has more than one try.
    host.wait_for("its time was exact", lambda: lasted() < 4.5)
    other = client.must_submit()
    client.succeeds(other)
    assert client.ended(old)["status"] == "succeeded"


def test_t29_suspend(place, client):
    """
    All stand still, the clock goes on: nothing was late (T29). Of a suspended
    host CLOCK_MONOTONIC would stand still too, and CLOCK_BOOTTIME, which
    leases are counted by, would not: neither can be had for a process that
    runs. A lease that ran out is what regress/nodes tries with a paused node.
    """
    old = client.must_submit()
    client.succeeds(old)
    job = client.must_submit(4, timeout=60)
    runs(place, job)
    pids = [place.pid] + place.children() + sorted(place.container_pids())
    for pid in pids:
        host.signal_pid(pid, signal.SIGSTOP)
    place.points.clock(7200)
    time.sleep(2)  # the fault itself
    for pid in pids[::-1]:
        host.signal_pid(pid, signal.SIGCONT)
    record = client.succeeds(job)
    assert record["takod"]["attempt"] == 1
    assert record["ended_at"] >= record["started_at"]
    assert client.ended(old)["status"] == "succeeded"


# ---- T37: a poison job ------------------------------------------------------

@pytest.fixture
def no_pool(place, client):
    """Slots are made for jobs alone, so that the breaker counts those."""
    def pool(size):
        place.write_config(warm_pool_size=size)
        place.takoctl("reload", check=True)
    pool(0)
    host.wait_for("none is ready", lambda: not [
        w for w in place.workers() if w["job_type"]], 20)
    yield
    pool(1)


def test_t37_poison_job(place, client, no_pool):
    """What kills its worker each time has an end, and is in nobody's way."""
    place.points.set("worker.ready", "kill")
    record = client.ended(client.must_submit())
    assert (record["status"], record["takod"]["attempt"]) == ("failed", 2), (
        record)
    place.points.clear()
    client.succeeds(client.must_submit())


def test_tokens_are_told_apart():
    """The checker sees output of another job (I5), and a second run (I3)."""
    inv = invariants.Invariants()
    inv.acknowledged("a", "%016x" % 1)
    inv.seen("a", {"status": "succeeded", "ended_at": "x", "error": None,
                   "stdout": "RAN-%016x" % 2})
    inv.started("%016x" % 1, "one")
    inv.started("%016x" % 1, "two")
    inv.answered("a request", 30, 25)
    inv.spent("a process", 5, 10)
    text = "\n".join(inv.check())
    for promise in ("I3", "I5", "I6", "I8"):
        assert promise in text
