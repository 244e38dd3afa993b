"""
whole.py: figures of the whole way of a job: the tail of many calls, thousands
in a row, what one costs in system calls, messages, commits and allocations,
jobs with packages, and what jobs that write a lot cost.
"""
import http.client
import json
import os
import random
import re
import subprocess
import threading
import time

from calls import (bare_command, call, pss_kib, slots_back, takod_rate,
                   takod_works)
from durable import Database, tool
from figures import figure, finish, percentile, turns
from lib import environment, host, postgres, registry, shared
from lib.takod import Takod

CALLS, SHARE = 500, 0.2   # of the tail, at so much of what is possible
ROW, FIRST = 10000, 1000  # in a row, and those that the last are compared with
PATH_JOBS = 100
NUMBERS = """\
numpy==2.4.6
pandas==3.1.1
python-dateutil==4.0.0
six==1.17.0
tzdata==2026.6
"""
IMPORT = "import numpy, pandas"


def warm(engine, runtime, store, **keys):
    return Takod(engine, runtime, store, config={
        "warm_pool_size": 2, "log_level": "WARNING", **keys})


# ---- the tail ---------------------------------------------------------------

def tail(engine, runtime, store, calls=CALLS):
    """
    p99 beside p50 of calls that come by chance, at a fifth of the rate, with
    as many slots as that asks for.
    """
    takod = warm(engine, runtime, store, max_workers=4, max_queue_size=100,
                 warm_pool_size=None)
    took, errors = [], []

    def one():
        try:
            connection = http.client.HTTPConnection(takod.host, takod.port)
            took.append(call(connection))
            connection.close()
        except Exception as error:
            errors.append(error)
    try:
        takod_rate(takod, 8)
        rate = takod_rate(takod, 40) * SHARE
        slots_back(takod, 2)
        chance, threads = random.Random(1), []
        due = time.perf_counter()
        for _ in range(calls):
            due += chance.expovariate(rate)
            time.sleep(max(0, due - time.perf_counter()))
            threads.append(threading.Thread(target=one))
            threads[-1].start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
    finally:
        finish(takod)
    return figure("tail %s %s %s" % (engine, runtime, store), "ms",
                  [percentile(took, 0.5)], [percentile(took, 0.99)], "<=", 3,
                  calls=calls, rate=rate)


# ---- in a row ---------------------------------------------------------------

def left(takod):
    """What a job could leave: by name, how many."""
    data = sum(len(files) + len(folders)
               for _, folders, files in os.walk(takod.data_dir))
    return {"descriptors": len(os.listdir("/proc/%d/fd" % takod.pid)),
            "mounts": host.read("/proc/%d/mountinfo" % takod.pid).count("\n"),
            "cgroups": sum(takod.instance in name for _, names, _ in os.walk(
                "/sys/fs/cgroup") for name in names),
            "files": data, "processes": len(host.descendants(takod.pid))}


def in_a_row(jobs):
    """The last ones beside the first ones, and what is there more then."""
    takod = warm("oci", "runc", "sqlite")
    api, = takod.children("tako-api")
    took, memory, things = [], [], []

    def quiet():
        slots_back(takod, 2)
        host.wait_for("nothing goes on", lambda: not takod_works(takod), 60)
        memory.append((pss_kib(takod.pid) + pss_kib(api)) / 1024)
        things.append(left(takod))
    try:
        connection = http.client.HTTPConnection(takod.host, takod.port)
        first = min(FIRST, jobs // 3)
        for number in range(jobs):
            if number == first:
                quiet()
            took.append(call(connection))
        quiet()
        connection.close()
    finally:
        finish(takod)
    more = {k: v - things[0][k] for k, v in things[1].items()}
    return [figure("row of jobs, p50", "ms", [percentile(took[:first], 0.5)],
                   [percentile(took[-first:], 0.5)], "<=", 1.1, jobs=jobs),
            figure("row of jobs, memory", "MiB", [memory[0]], [memory[1]],
                   "<= +", 1, jobs=jobs, more_than_after_the_first=more),
            figure("row of jobs, things left", "more",
                   [sum(things[0].values())], [sum(things[1].values())],
                   "<= +", 0, jobs=jobs, by_name=more)]


# ---- what one costs ---------------------------------------------------------

EVENTS = {"system calls": "raw_syscalls:sys_enter",
          "sendmsg": "syscalls:sys_enter_sendmsg",
          "recvmsg": "syscalls:sys_enter_recvmsg",
          "wake-ups": "syscalls:sys_enter_epoll_wait",
          "epoll_ctl": "syscalls:sys_enter_epoll_ctl",
          "syncs": "syscalls:sys_enter_fdatasync",
          "allocations": "probe_libc:malloc"}


class Counting:
    """perf counts what a process does, for as long as it is asked to."""

    def __init__(self, pid):
        self.process = subprocess.Popen(
            ["perf", "stat", "--no-inherit", "-x", ";", "-e", ",".join(EVENTS.values()),
             "-p", str(pid)], stderr=subprocess.PIPE, text=True)

    def end(self, jobs):
        self.process.send_signal(2)
        said = self.process.communicate()[1]
        found = dict(reversed(line.split(";")[:3:2]) for line in
                     said.splitlines() if line.count(";") > 2)
        assert set(EVENTS.values()) <= set(found), said
        return {name: int(found[event]) / jobs
                for name, event in EVENTS.items()}


def commits(takod):
    if takod.store != "pg":
        return None
    url = takod.keys["database_url"]
    return int(subprocess.run(
        ["psql", "-XAtc", "SELECT pg_stat_force_next_flush(), xact_commit"
         " FROM pg_stat_database WHERE datname = current_database()", url],
        capture_output=True, text=True, check=True).stdout.split("|")[1])


def path(store, jobs):
    """A warm call by its system calls, in takod and in its front."""
    probe = ["perf", "probe", "-q", "-x", "/lib/x86_64-linux-gnu/libc.so.6"]
    subprocess.run([*probe, "malloc"], check=True, capture_output=True)
    takod = warm("oci", "runc", store)
    api, = takod.children("tako-api")
    rows = []
    try:
        connection = http.client.HTTPConnection(takod.host, takod.port)
        for _ in range(5):
            call(connection)
        counting = [Counting(takod.pid), Counting(api)]
        time.sleep(1)
        before = commits(takod)
        for _ in range(jobs):
            # Nobody asks meanwhile: that would be counted too.
            host.wait_for("two slots and nothing goes on", lambda: len(
                takod.children("tako-worker")) == 2
                and not takod_works(takod), 60)
            call(connection)
        after = commits(takod)
        for who, counted in zip(("takod", "front"), counting):
            parts = {k: {"n": 1, "median": v, "p10": v, "p90": v}
                     for k, v in counted.end(jobs).items()}
            if before is not None and who == "takod":
                each = (after - before) / jobs
                parts["commits"] = {"n": 1, "median": each, "p10": each,
                                    "p90": each}
            rows.append({"name": "path %s %s" % (who, store), "unit": "calls",
                         "measured": parts["system calls"], "parts": parts})
        connection.close()
    finally:
        finish(takod)
        subprocess.run(["perf", "probe", "-q", "-d", "probe_libc:malloc"],
                       capture_output=True)
    return rows


# ---- packages ---------------------------------------------------------------

def post(takod, body, seconds=300):
    connection = http.client.HTTPConnection(takod.host, takod.port,
                                            timeout=seconds)
    began = time.perf_counter()
    connection.request("POST", "/execute", json.dumps(body),
                       {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    assert answer.get("stdout") == "1\n", answer
    return (time.perf_counter() - began) * 1000


def preload(runtime, rounds):
    """numpy and pandas are imported already, beside an interpreter's start."""
    python = environment.python(
        os.path.join(shared.build(), "bench-numbers"), NUMBERS)
    takod = Takod("oci", runtime, "sqlite", config={
        **registry.keys(), "log_level": "WARNING", "job_types": [{
            "name": "numbers", "requirements": NUMBERS.split(),
            "preload": ["numpy", "pandas"], "warm_pool_size": 2,
            "timeout": 60}]})
    body = {"code": IMPORT + "\nprint(1)", "job_type": "numbers"}

    def ours():
        slots_back(takod, 2)
        host.wait_for("nothing goes on", lambda: not takod_works(takod), 60)
        return post(takod, body)
    try:
        takod.takoctl("build", "numbers", check=True)
        ours()
        results = turns(rounds, lambda: bare_command(
            [python, "-c", IMPORT + "\nprint(1)"]), ours)
    finally:
        finish(takod)
    return figure("preload oci " + runtime, "ms", *results, "<=",
                  {"runc": 0.2, "runsc": 0.3}[runtime])


def requirements(runtime, rounds):
    """A second job with the same ones, beside a warm one with none."""
    takod = warm("oci", runtime, "sqlite", allow_runtime_requirements=True,
                 **registry.keys())
    without = {"code": "print(1)"}
    listed = {**without, "requirements": ["six==1.17.0"]}

    def one(body):
        slots_back(takod, 2)
        host.wait_for("nothing goes on", lambda: not takod_works(takod), 60)
        return post(takod, body)
    try:
        one(listed), one(listed), one(without)
        results = turns(rounds, lambda: one(without), lambda: one(listed))
    finally:
        finish(takod)
    return figure("requirements oci " + runtime, "ms", *results, "<=", 1.3)


# ---- records over HTTP ------------------------------------------------------

def get_http(store, records, rounds):
    """GET /executions/{id} among many records, beside among a thousand."""
    takods = []

    def median(takod, last):
        return sum(float(tool(
            "http_load", takod.port, 1, 100, "get=/executions/"
            "00000000-0000-4000-8000-%012x" % random.randrange(last))
            .split()[2]) for _ in range(5)) / 5
    try:
        for number in 1000, records:
            database = Database(store)
            tool("store_bench", database.url, "fill", number)
            takods.append((Takod("oci", "runc", store, config={
                "database_url": database.url, "warm_pool_size": 0,
                "execution_record_ttl_days": 3650, "log_level": "WARNING"}),
                number))
        results = turns(rounds, lambda: median(*takods[0]),
                        lambda: median(*takods[1]))
    finally:
        for takod, _ in takods:
            finish(takod)
    return figure("get http " + store, "ms", *results, "<=", 1.2,
                  records=records)


# ---- jobs that write a lot --------------------------------------------------

SYNCS = """
import os, time
end = time.time() + 60
fd = os.open("/output/x", os.O_CREAT | os.O_RDWR)
while time.time() < end:
    os.pwrite(fd, b"x" * 65536, 0)
    os.fsync(fd)
    os.sync()
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
"""
FLOODS = {"stdout": "while True: print('x' * 1000)",
          "endless line": "import sys\nwhile True: sys.stdout.write('x' * 999)",
          "small writes": "import os\nfor n in range(500000):"
                          " os.write(1, b'x'); os.write(2, b'y')"}
KEPT_MIB = 65536 / 2**20


def commit_p99(database, folder):
    """ms of a row's insert and commit by one client, the 99th percentile."""
    script = os.path.join(folder, "one.sql")
    with open(script, "w") as file:
        file.write("INSERT INTO floor VALUES (gen_random_uuid()::text,"
                   " 'print(1)');\n")
    prefix = os.path.join(folder, "log")
    subprocess.run([postgres.program("pgbench"), "-n", "-M", "prepared", "-c",
                    "1", "-t", "300", "-f", script, "-l", "--log-prefix",
                    prefix, database.url], check=True, capture_output=True)
    took = []
    for name in os.listdir(folder):
        if name.startswith("log"):
            with open(os.path.join(folder, name)) as file:
                took += [int(line.split()[2]) / 1000 for line in file]
            os.unlink(os.path.join(folder, name))
    return percentile(took, 0.99)


def commit_beside(runtime, rounds):
    """Of PostgreSQL alone, and while a job does nothing but sync."""
    database = Database("pg")
    shared.postgres().psql("CREATE TABLE floor (id TEXT PRIMARY KEY, code"
                           " BYTEA)", database.name)
    takod = warm("oci", runtime, "sqlite", max_timeout=90)

    def beside():
        job = takod.submit(SYNCS, timeout=90)
        takod.wait_status(job, "running")
        took = commit_p99(database, database.folder)
        takod.request("DELETE", "/jobs/" + job)
        takod.wait(job, 60)
        return took
    try:
        results = turns(rounds, lambda: commit_p99(database, database.folder),
                        beside)
    finally:
        finish(takod)
        database.drop()
    return figure("commits p99 beside syncs, " + runtime, "ms", *results, "<=",
                  5)


def kib(pid, field):
    found = re.search(r"^%s:\s+(\d+) kB$" % field,
                      host.read("/proc/%d/status" % pid) or "", re.M)
    return int(found.group(1)) / 1024 if found else None


def output(runtime):
    """MiB and seconds of the processor of the worker of a job that floods."""
    takod = Takod("oci", runtime, "sqlite", config={
        "max_workers": 1, "warm_pool_size": 1, "log_level": "WARNING",
        "max_stdout_bytes": 65536})
    rows = []
    try:
        for name, code in FLOODS.items():
            slots_back(takod, 1)
            worker, = takod.children("tako-worker")
            idle = most = kib(worker, "VmHWM")
            job = takod.submit(code, timeout=20 if "for" in code else 4)
            used = 0
            while takod.get("/jobs/" + job)[2]["status"] not in (
                    "succeeded", "failed", "timeout"):
                most = kib(worker, "VmHWM") or most
                stat = host.read("/proc/%d/stat" % worker)
                if stat:
                    fields = stat.rsplit(")", 1)[1].split()
                    used = (int(fields[11]) + int(fields[12])) / 100
                time.sleep(0.01)
            rows.append(figure("output %s, %s" % (name, runtime), "MiB",
                               [idle], [most], "<= +", KEPT_MIB + 1))
            if "for" in code:
                rows.append(figure(
                    "output %s, worker's processor, %s" % (name, runtime),
                    "s", [2], [max(used, 0.01)], "<=", 1))
    finally:
        finish(takod)
    return rows


def plan(options):
    few, n = min(options.rounds, 5), options.rounds
    figures = [("tail oci %s %s" % (r, s), tail, ("oci", r, s))
               for r in ("runc", "runsc") for s in ("pg", "sqlite")]
    figures += [("preload oci " + r, preload, (r, n))
                for r in ("runc", "runsc")]
    figures += [("requirements oci " + r, requirements, (r, n))
                for r in ("runc", "runsc")]
    figures += [("row of jobs", in_a_row, (options.row,))]
    figures += [("path " + s, path, (s, PATH_JOBS)) for s in ("pg", "sqlite")]
    figures += [("get http " + s, get_http, (s, options.records, few))
                for s in ("pg", "sqlite")]
    figures += [("commits " + r, commit_beside, (r, few))
                for r in ("runc", "runsc")]
    figures += [("output " + r, output, (r,)) for r in ("runc", "runsc")]
    return figures
