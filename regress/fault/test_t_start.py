"""
test_t_start.py: rows T11, T15, T16, T25, T33 to T37 of the fault catalogue:
what a start may meet, full disks, a log that nobody reads, takoctl cut off.
"""
import fcntl
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from contextlib import closing

import pytest

from lib import host, shared, waiting
from lib.fault import Client, Waiting, fill
from lib.postgres import Postgres, program
from lib.takod import Takod

CONFIG = {"warm_pool_size": 0, "max_workers": 2, "queue_wait_timeout": 1,
          "retry_base_delay": 0.1, "drain_timeout": 5}


def refuses(takod, text, seconds=15):
    """A start that has to end with an error that says so."""
    takod.start(wait=False)
    try:
        host.wait_for("it ends", lambda: not takod.alive(), seconds)
    finally:
        if takod.alive():
            takod.discard()
    assert takod.proc.returncode != 0
    assert text in takod.log(), takod.log()[-2000:]


@pytest.fixture
def quick(start):
    """A daemon with runc, SQLite and no pool."""
    def make(**more):
        return start("oci", "runc", config={**CONFIG, **more.pop(
            "config", {})}, **more)
    return make


# ---- T11: failover ----------------------------------------------------------

@pytest.fixture
def pair(shared_things):
    """A PostgreSQL and its standby by streaming replication."""
    first = Postgres(os.path.join(host.scratch(), "first"))
    second = Postgres.__new__(Postgres)
    second.folder = os.path.join(host.scratch(), "second")
    second.data = second.path("data")
    second.process = None
    second.env, second.password = [], first.password
    os.makedirs(second.folder)
    shutil.chown(second.folder, "postgres", "postgres")
    os.chmod(second.folder, 0o700)
    subprocess.run(
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups",
         program("pg_basebackup"), "-D", second.data, "-R", "-c", "fast",
         "-h", "127.0.0.1", "-p", str(first.port), "-U", "postgres"],
        check=True, cwd="/", env={**os.environ,
                                  "PGPASSWORD": first.password},
        capture_output=True)
    second.port = host.free_port()
    second.start()
    yield first, second
    for each in (second, first):
        each.stop()


def test_t11_failover(pair, quick):
    """target_session_attrs: it finds the server that can be written to."""
    first, second = pair
    url = first.create("failover").replace(
        "127.0.0.1:%d" % first.port, "127.0.0.1:%d,127.0.0.1:%d" % (
            first.port, second.port))
    takod = quick(config={"database_url": url})
    client = Client(takod)
    job = client.must_submit(key="before-failover", token="%016x" % 11)
    client.succeeds(job)
    running = client.must_submit(3)
    takod.wait_status(running, "running")
    host.wait_for("the standby has it", lambda: second.psql(
        "SELECT count(*) FROM jobs WHERE id = '%s' AND code_started = 1"
        % running, "failover").strip() == "1")
    first.kill()
    host.wait_for("refused", lambda: client.submit()[0] == 503)
    second.psql("SELECT pg_promote(true)")
    client.succeeds(running)
    assert client.must_submit(key="before-failover",
                              token="%016x" % 11) == job
    client.succeeds(client.must_submit())
    client.check()
    takod.close()
    first.start()


# ---- T15: schemas -----------------------------------------------------------

def test_t15_newer_schema_is_refused(quick):
    takod = quick()
    client = Client(takod)
    job = client.must_submit()
    client.succeeds(job)
    takod.stop()
    path = os.path.join(takod.data_dir, "takod.db")
    with closing(sqlite3.connect(path)) as db, db:
        version, = db.execute("SELECT version FROM meta").fetchone()
        db.execute("UPDATE meta SET version = 9999")
    refuses(takod, "newer takod")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE meta SET version = %d" % version)
    takod.start()
    client.check()


def test_t15_two_migrators(quick, start):
    """Two that find an empty database: each waits for the other."""
    url = shared.postgres_database("two_migrators")
    both = [quick(wait=False, config={"database_url": url})
            for _ in range(2)]
    for takod in both:
        takod.wait_ready()
        client = Client(takod)
        client.succeeds(client.must_submit())
        client.check()


# ---- T16: a backup ----------------------------------------------------------

def test_t16_old_backup(quick):
    """Rows that ran when the backup was made are ended, and run no more."""
    takod = quick()
    client = Client(takod)
    job = client.must_submit(30)
    host.wait_for("it runs", lambda: [
        w for w in takod.workers() if w["state"] == "running"])
    # As a backup of the volume has it: the file and its journal.
    names = [n for n in os.listdir(takod.data_dir) if n.startswith("takod.db")]
    kept = {}
    for name in names:
        with open(os.path.join(takod.data_dir, name), "rb") as file:
            kept[name] = file.read()
    takod.takoctl("cancel", job, check=True)
    after = client.must_submit()
    takod.wait(after)
    takod.stop()
    for name in os.listdir(takod.data_dir):
        if name.startswith("takod.db"):
            os.unlink(os.path.join(takod.data_dir, name))
    for name, data in kept.items():
        with open(os.path.join(takod.data_dir, name), "wb") as file:
            file.write(data)
    takod.start()
    record = takod.wait(job, 10)
    assert record["error"]["type"] == "interrupted", record
    assert takod.get("/executions/" + after)[0] == 404
    client = Client(takod)
    client.succeeds(client.must_submit())
    client.idle()


# ---- T25: the state directory -----------------------------------------------

@pytest.fixture
def volume():
    path = os.path.join(host.scratch(), "state")
    os.makedirs(path, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=755",
                    "none", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_t25_state_directory_full(quick, volume):
    """Never `succeeded` without its artifacts; it recovers by itself."""
    takod = quick(config={
        "data_dir": volume + "/data",
        "database_url": shared.postgres_database("t25")})
    client = Client(takod)
    write = "open('/output/a.bin', 'wb').write(b'x' * 500000)"
    job = client.must_submit(more=write)
    client.succeeds(job)
    filler = fill(volume)
    job = client.must_submit(more=write)
    record = client.ended(job)
    assert record["status"] != "succeeded", record
    os.unlink(filler)

    def well():
        record = client.ended(client.must_submit(more=write))
        return record["status"] == "succeeded" and len(
            takod.get("/executions/%s/artifacts" % record["execution_id"])[2])
    host.wait_for("jobs succeed again", well, 45)
    client.check()


# ---- T33, T34: somebody was here before -------------------------------------

def test_t33_second_takod_is_refused(quick):
    """One data directory, one takod."""
    takod = quick()
    other = Takod.__new__(Takod)
    other.__dict__.update(takod.__dict__)
    other.log_path = takod.log_path + ".second"
    other.file = takod.file + ".second"
    other.keys = {**takod.keys, "server_port": takod.port}
    other.write_config()
    refuses(other, "another takod works there")
    client = Client(takod)
    client.succeeds(client.must_submit())


def test_t34_what_a_socket_may_be(quick):
    takod = quick()
    path = os.path.join(takod.data_dir, "takod.sock")
    takod.kill9()
    assert os.path.exists(path)  # a dead takod's: replaced
    # What a child that it had just forked holds goes a little later.
    with open(os.path.join(takod.data_dir, "lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        takod.start(wait=False)
        time.sleep(0.5)  # the fault itself
    takod.wait_ready()
    takod.stop()
    target = os.path.join(takod.dir, "target")
    for make in (lambda: os.symlink(target, path),
                 lambda: open(path, "w").close(),
                 lambda: os.mkdir(path)):
        make()
        refuses(takod, "control_socket: ")
        assert not os.path.exists(target)
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        else:
            os.unlink(path)
    takod.start()
    assert os.stat(path).st_mode & 0o777 == 0o660


# ---- T35: takoctl -----------------------------------------------------------

def test_t35_takoctl_cut(quick):
    """A hundred that go away in the middle, while jobs run on."""
    takod = quick()
    client = Client(takod)
    jobs = [client.must_submit(0.2) for _ in range(4)]
    cut = [subprocess.Popen([shared.program("takoctl"), "-c", takod.file,
                             command], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, env=takod.env)
           for _ in range(25)
           for command in ("jobs", "status", "workers", "jobs")]
    for n, child in enumerate(cut):
        if n % 2:
            child.kill()
    for child in cut:
        child.wait(30)
    for job in jobs:
        client.succeeds(job)
    assert takod.takoctl("status").returncode == 0
    client.check()


# ---- T36: the log -----------------------------------------------------------

def test_t36_log_is_not_read(quick):
    """A pipe that nobody reads costs lines, and no time."""
    takod = quick()
    client = Client(takod)
    takod.stop()
    read_end, write_end = os.pipe()
    fcntl.fcntl(read_end, fcntl.F_SETPIPE_SZ, 4096)
    takod.proc = subprocess.Popen(
        [takod.program, "-c", takod.file], cwd=takod.dir, env=takod.env,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=write_end, start_new_session=True)
    takod.pid = takod.proc.pid
    host.note_daemon(takod.pid)
    os.close(write_end)
    takod.wait_ready()
    for job in [client.must_submit() for _ in range(5)]:
        client.succeeds(job)
    # Whoever reads again is told what is missing.
    told = []

    def read():
        with os.fdopen(read_end, errors="replace") as file:
            for line in file:
                if "log lines were lost" in line:
                    told.append(line)
    thread = threading.Thread(target=read)
    thread.start()
    client.succeeds(client.must_submit())
    host.wait_for("it is said", lambda: told)
    client.check()
    takod.stop()
    thread.join(10)


def test_t36_log_is_gone(quick):
    """The reader has ended: no signal, no loop."""
    takod = quick()
    client = Client(takod)
    takod.stop()
    read_end, write_end = os.pipe()
    takod.proc = subprocess.Popen(
        [takod.program, "-c", takod.file], cwd=takod.dir, env=takod.env,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=write_end, start_new_session=True)
    takod.pid = takod.proc.pid
    host.note_daemon(takod.pid)
    os.close(write_end)
    takod.wait_ready()
    os.close(read_end)
    for job in [client.must_submit() for _ in range(3)]:
        client.succeeds(job)
    with Waiting(client, 1):
        pass
    client.check()
    takod.stop()


# ---- T37: a long queue ------------------------------------------------------

ROWS = 100000


def test_t37_long_queue(quick):
    """100,000 rows wait: the start is as quick, no more run than may."""
    takod = quick(config={"max_queue_size": 10000})
    client = Client(takod)
    job = client.must_submit(0.05)
    client.succeeds(job)
    takod.stop()

    def start():
        takod.stop()
        begun = time.monotonic()
        takod.start()
        return time.monotonic() - begun
    empty = start()
    takod.stop()
    waiting.copies(takod, job, ROWS)
    host.wait_for("it is as quick", lambda: start() < empty + 1.5)
    assert takod.get("/health")[2]["queue_stats"]["pending"] > 0
    host.wait_for("some have ended", lambda: len([
        1 for n in range(1, 6) if takod.get(
            "/jobs/" + waiting.ident(n))[2]["status"]
        == "succeeded"]) == 5, 20)
    assert takod.stats()["running"] <= 2
    takod.stop()
