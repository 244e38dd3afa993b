"""
durable.py: the figures of what is kept: submits a second, claims and reads
with many rows, starts with many rows, and the processor's time for a job.
Loads go to the loopback address, and are bounded by a number of jobs.

The clients of the submits are one process (regress/tools/http_load), and so
are pgbench and the loop that are their floors. Claims and reads are calls of
the store (regress/tools/store_bench), without HTTP.
"""
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import time
import uuid

from figures import figure, finish, summary, turns
from lib import host, postgres, shared
from lib.takod import Takod, TERMINAL

STORES = ("pg", "sqlite")
CLIENTS, SUBMITS = 16, 800
WAITING, TENANTS, CLAIMS = 100000, 10000, 50
RECORDS, FINDS = 20000, 40
JOBS = 60
SEARCH_GOAL_MS = 200
BARE = ["/usr/bin/python3", "-I", "-c", "print(1)"]


def tool(name, *arguments):
    """What one of regress/tools prints."""
    done = subprocess.run(
        [shared.program("regress/tools/" + name), *map(str, arguments)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, (name, arguments, done.stdout, done.stderr)
    return done.stdout


class Database:
    """An empty one of either store, for as long as it is wanted."""

    made = 0

    def __init__(self, store):
        Database.made += 1
        self.folder = os.path.join(host.scratch(), "db%d" % Database.made)
        os.mkdir(self.folder, 0o700)
        self.name = None
        if store == "pg":
            self.name = "bench_%d_%d" % (os.getpid(), Database.made)
            self.url = shared.postgres().create(self.name)
        else:
            self.url = "sqlite:///%s/takod.db" % self.folder

    def drop(self):
        if self.name:
            shared.postgres().psql('DROP DATABASE "%s"' % self.name)
        shutil.rmtree(self.folder)


# ---- durable submits a second -----------------------------------------------

def busy_takod(store):
    """One whose only place is taken, so that what comes waits."""
    takod = Takod("oci", "runc", store, config={
        "max_workers": 1, "warm_pool_size": 1, "max_queue_size": 10000,
        "max_timeout": 3600, "log_level": "WARNING"})
    job = takod.submit("import time; time.sleep(3600)", timeout=3600)
    takod.wait_status(job, "running")
    return takod


def pgbench():
    """Inserts and commits a row, with as many clients; a second."""
    database = Database("pg")
    shared.postgres().psql("CREATE TABLE floor (id TEXT PRIMARY KEY, code"
                           " BYTEA)", database.name)
    script = os.path.join(database.folder, "insert.sql")
    with open(script, "w") as file:
        file.write("INSERT INTO floor VALUES (gen_random_uuid()::text,"
                   " 'print(1)');\n")

    def run():
        done = subprocess.run(
            [postgres.program("pgbench"), "-n", "-M", "prepared",
             "-c", str(CLIENTS), "-t", str(SUBMITS // CLIENTS), "-f", script,
             database.url], capture_output=True, text=True)
        found = re.search(r"^tps = ([\d.]+) \(without", done.stdout, re.M)
        assert found, (done.stdout, done.stderr)
        return float(found.group(1))
    return run


def sqlite_loop():
    """Inserts and commits a row, one after the other; a second."""
    database = Database("sqlite")
    rows = sqlite3.connect(os.path.join(database.folder, "floor.db"),
                           isolation_level=None)
    rows.execute("PRAGMA journal_mode = WAL")
    rows.execute("PRAGMA synchronous = FULL")
    rows.execute("CREATE TABLE floor (id TEXT PRIMARY KEY, code BLOB)")

    def run():
        ids = [str(uuid.uuid4()) for _ in range(SUBMITS)]
        began = time.perf_counter()
        for each in ids:
            rows.execute("INSERT INTO floor VALUES (?, ?)",
                         (each, b"print(1)"))
        return SUBMITS / (time.perf_counter() - began)
    return run


def submits(store, rounds):
    takod = busy_takod(store)

    def run():
        said = tool("http_load", takod.port, CLIENTS, SUBMITS)
        return float(said.split()[0])
    try:
        floor = pgbench() if store == "pg" else sqlite_loop()
        floor(), run()  # the first ones warm caches
        results = turns(min(rounds, 10000 // SUBMITS - 1), floor, run)
    finally:
        # Not in order: that would wait for the job.
        takod.discard()
    return figure("submits " + store, "jobs/s", *results, ">=", 0.5)


# ---- claims -----------------------------------------------------------------

def milliseconds(said, column):
    """By name, a column (p50, p95 ...) of store_bench's last table."""
    lines = said[said.rindex("ms  "):].splitlines()
    place = lines[0].split().index(column) - 1
    rows = {line[:18].strip(): line[18:].split() for line in lines[1:]
            if re.fullmatch(r"[\d. ]+", line[18:])}
    return {name: float(numbers[place]) for name, numbers in rows.items()}


def claims(store, tenants, rounds):
    """The median claim of each of few, and of many rows."""
    many = Database(store)
    tool("store_bench", "-w", WAITING, "-t", tenants, many.url, 0)

    def among_few():
        few = Database(store)
        said = tool("store_bench", "-w", 100, "-t", tenants, few.url, CLAIMS)
        few.drop()
        return milliseconds(said, "p50")["claim"]

    def among_many():
        said = tool("store_bench", "-c", many.url, CLAIMS)
        return milliseconds(said, "p50")["claim"]
    among_many()
    results = turns(rounds, among_few, among_many)
    many.drop()
    return figure("claim %s%s" % (store, " tenants" if tenants > 1 else ""),
                  "ms", *results, "<=", 1.5, waiting=WAITING, tenants=tenants)


# ---- reads ------------------------------------------------------------------

def reads(store, records, rounds):
    """Of get and list the medians, of searches the worst one's 95th."""
    few, many = Database(store), Database(store)
    for database, number in (few, 1000), (many, records):
        tool("store_bench", database.url, "fill", number)

    def find(database):
        said = tool("store_bench", database.url, "find", FINDS)
        half, most = (milliseconds(said, c) for c in ("p50", "p95"))
        return (half["get"], half["list 100"],
                max(v for k, v in most.items() if k.startswith("search")))
    results = turns(rounds, lambda: find(few), lambda: find(many))
    few.drop(), many.drop()
    floor, measured = (list(zip(*each)) for each in results)
    rows = [figure(name + store, "ms", floor[n], measured[n], "<=", goal,
                   records=records)
            for n, (name, goal) in enumerate(
                (("get ", 1.2), ("list ", 2), ("search p95 ", 1)))]
    # That one's goal is no ratio.
    slow = rows[2]
    slow.update(rule="ms <=", goal=SEARCH_GOAL_MS,
                met=slow["measured"]["median"] <= SEARCH_GOAL_MS)
    return rows


# ---- starts -----------------------------------------------------------------

def start_seconds(takod):
    """From exec to the first 200 of GET /health."""
    began = time.perf_counter()
    takod.start(wait=False)
    while True:
        try:
            if takod.get("/health", timeout=5)[0] == 200:
                break
        except OSError:
            pass
        assert takod.alive() and time.perf_counter() < began + 60, takod.log()
        time.sleep(0.002)
    took = time.perf_counter() - began
    takod.wait_ready()
    takod.stop()
    return took


def starts(store, rounds):
    """With many rows that wait, and with none."""
    takods = []
    try:
        for waiting in 0, WAITING:
            database = Database(store)
            if waiting:
                tool("store_bench", "-w", waiting, database.url, 0)
            takods.append(Takod("oci", "runc", store, config={
                "database_url": database.url, "max_workers": 1,
                "warm_pool_size": 1, "log_level": "WARNING"}))
            takods[-1].stop()
        results = turns(rounds, *(lambda t=t: start_seconds(t)
                                  for t in takods))
    finally:
        for takod in takods:
            finish(takod)
    return figure("start " + store, "s", *results, "<= +", 1, waiting=WAITING)


# ---- the processor's time for a job -----------------------------------------

def ticks(pid, first):
    """Seconds of a process, or (first 13) of the children it waited for."""
    fields = host.read("/proc/%d/stat" % pid).rsplit(")", 1)[1].split()
    return ((int(fields[first]) + int(fields[first + 1]))
            / os.sysconf("SC_CLK_TCK"))


def bare_cpu():
    """ms of the processor of a whole interpreter that prints 1."""
    def used():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime
    before = used()
    for _ in range(10):
        subprocess.run(BARE, stdout=subprocess.DEVNULL, check=True)
    return (used() - before) * 100


def processor(store, rounds):
    """
    ms of takod, tako-api and the workers for a job. With the Docker engine,
    so that takod has no other children than these.
    """
    takod = Takod("docker", "runc", store, config={
        "warm_pool_size": 2, "max_queue_size": JOBS, "log_level": "WARNING"})
    api = takod.children("tako-api")[0]
    parts = {"takod": [], "tako-api": [], "workers": []}

    def used():
        return (ticks(takod.pid, 11), ticks(api, 11), ticks(takod.pid, 13))

    def run():
        before = used()
        jobs = [takod.submit("print(1)") for _ in range(JOBS)]
        for job in jobs:
            assert takod.wait(job, 300)["status"] in TERMINAL
        each = [(b - a) * 1000 / JOBS for a, b in zip(before, used())]
        for name, value in zip(parts, each):
            parts[name].append(value)
        return sum(each)
    try:
        run()
        for values in parts.values():
            values.clear()
        results = turns(rounds, bare_cpu, run)
    finally:
        finish(takod)
    return figure("cpu of a job " + store, "ms", *results,
                  parts={k: summary(v) for k, v in parts.items()})


def plan(options):
    """(name, function, its arguments) of each, as regress/bench/run has it."""
    few = min(options.rounds, 5)
    figures = [("submits " + s, submits, (s, options.rounds)) for s in STORES]
    figures += [("claim %s%s" % (s, " tenants" if t > 1 else ""), claims,
                 (s, t, few)) for s in STORES for t in (1, TENANTS)]
    figures += [("get list search " + s, reads, (s, options.records, few))
                for s in STORES]
    figures += [("start " + s, starts, (s, few)) for s in STORES]
    figures += [("cpu of a job " + s, processor, (s, few)) for s in STORES]
    return figures
