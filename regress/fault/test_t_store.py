"""
test_t_store.py: rows T09 to T14 and T17 of the fault catalogue: the database
stops, breaks, lies, hangs, is slow, forgets to notify, is full. A proxy stands
before a PostgreSQL of its own; starts of code are seen by a tapped runtime.
"""
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import host, waiting
from lib.fault import Client, Waiting, fill, tapped_runtime
from lib.faults import FlakyRunc
from lib.postgres import Postgres
from lib.proxy import PgProxy
from lib.takod import Takod

CONFIG = {"warm_pool_size": 1, "max_workers": 3, "queue_wait_timeout": 1,
          "retry_base_delay": 0.2, "drain_timeout": 5}
TEMPFAIL = 75  # sysexits(3)


class Place:
    """A PostgreSQL, the proxy before it, and daemons behind that."""

    def __init__(self):
        self.folder = os.path.join(host.scratch(), "fault-store")
        self.postgres = Postgres(self.folder + "-postgres")
        self.proxy = PgProxy(self.postgres)
        self.runtime, self.log = tapped_runtime(self.folder, "runc")
        self.daemons, self.serial = [], itertools.count(1)

    def client(self, way=None, **config):
        """way: whose proxy and runtime it has, where not those of all."""
        way = way or self
        name = "fault_%d" % next(self.serial)
        self.postgres.create(name)
        takod = Takod("oci", "runc", config={
            **CONFIG, "runc_path": way.runtime,
            "database_url": way.proxy.url(name), **config})
        # As lib/waiting.py wants them.
        takod.store, takod.postgres, takod.database = (
            "pg", self.postgres, name)
        self.daemons.append(takod)
        return Client(takod, log=way.log)

    def close(self):
        self.proxy.clear()
        if self.postgres.process is None:
            self.postgres.start()
        for takod in self.daemons:
            takod.close()
        self.proxy.close()
        self.postgres.stop()


@pytest.fixture(scope="module")
def place(shared_things):
    here = Place()
    yield here
    here.close()


@pytest.fixture(scope="module")
def daemon(place):
    """The one that most tests use: it survives them all."""
    return place.client()


@pytest.fixture
def client(place, daemon):
    place.proxy.clear()
    host.wait_for("the store is up", daemon.healthy, 30)
    yield Client(daemon.takod, log=place.log)
    place.proxy.clear()


@pytest.fixture
def own(place):
    """A daemon for one test, ended with it."""
    mine = []

    def make(**config):
        mine.append(place.client(**config))
        return mine[-1]
    yield make
    place.proxy.clear()
    for client in mine:
        client.takod.close()
        place.daemons.remove(client.takod)


def rows(place, client):
    """The table, as invariants.py wants it."""
    text = place.postgres.psql(
        "SELECT coalesce(json_agg(j), '[]') FROM (SELECT id, status, fence,"
        " attempt, code_started, ended_at, error FROM jobs) AS j;",
        client.takod.database)
    return json.loads(text)


@pytest.mark.parametrize("method,path,call", [
    ("GET", "/executions/%s", "S_GET"),
    ("POST", "/jobs/%s/cancel", "S_CANCEL"),
    ("GET", "/jobs/%s/artifacts/one", "S_GET_ARTIFACTS")])
def test_t01_answer_for_a_former_front(place, own, method, path, call):
    """The store answers when who asked is gone: nobody else is told."""
    # Then a request has one number: nobody asks first whether it may.
    client = own(allow_unauthenticated_network_access=True)
    mine, theirs = (client.must_submit(
        more="open('/output/one', 'w').write('%d')" % n) for n in range(2))
    client.succeeds(mine)
    client.succeeds(theirs)
    client.takod.replace_front()  # the numbers of requests begin anew
    for _ in range(10):
        client.succeeds(theirs)
    place.proxy.clear()
    place.proxy.rule(call, "delay_done", 3)
    asking = threading.Thread(
        target=client.ask, args=(method, path % theirs))
    asking.start()
    place.proxy.wait(call)
    front = client.takod.replace_front()
    place.proxy.rule("S_GET", "delay_done", 4)  # they wait for it
    # So many that one of them has the number of the one that is not answered.
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: client.ask(
            "GET", "/executions/" + mine), range(30)))
    asking.join()
    for status, _, answer in answers:
        assert (status, answer.get("execution_id")) == (200, mine), answer
    assert client.takod.children("tako-api") == [front]


@pytest.mark.parametrize("how", ["immediate", "kill"])
def test_t09_postgres_stops(place, own, how):
    client = own()
    takod = client.takod
    waiter = {}
    # More than there are workers: the places are held until it is back.
    jobs = [client.must_submit(1.0) for _ in range(5)]
    thread = threading.Thread(target=lambda: waiter.update(
        answer=client.ask("POST", "/execute", {
            "code": "import time\ntime.sleep(1)\nprint('sync')"}, 60)))
    thread.start()
    host.wait_for("three run", lambda: takod.stats()["running"] == 3)
    client.inv.look(rows(place, client))
    stopped = time.monotonic()
    if how == "kill":
        place.postgres.kill()
    else:
        place.postgres.end(signal.SIGQUIT)
        place.postgres.process = None
    host.wait_for("a submit is refused", lambda: client.submit()[0] == 503)
    with Waiting(client, 2):
        client.refused()
        assert client.ask("GET", "/jobs/" + jobs[0])[0] == 503
        assert not client.healthy()
        # They end meanwhile, and keep their places.
        host.wait_for("nothing of them runs", lambda: not [
            w for w in takod.workers() if w["state"] == "running"])
        assert takod.stats()["running"] == 3
    place.postgres.start()
    host.wait_for("it is back", client.healthy)
    away = time.monotonic() - stopped
    for job in jobs:
        client.succeeds(job)
    thread.join(30)
    # Ten seconds without its database, and who waits is told so.
    status, _, answer = waiter["answer"]
    assert status == 200 or away > 10 and "the job goes on" in answer[
        "detail"], waiter
    client.inv.look(rows(place, client))
    client.check()


def test_t09_nobody_waits_for_ever(place, own):
    """I6: who waits in POST /execute is told when the database stays away."""
    client = own()
    answer = {}
    thread = threading.Thread(target=lambda: answer.update(
        got=client.ask("POST", "/execute", {
            "code": "import time\ntime.sleep(1)"}, 25)))
    thread.start()
    host.wait_for("it runs", lambda: client.takod.stats()["running"] == 1)
    place.postgres.stop()
    try:
        thread.join(40)
        assert answer["got"][0] == 503, answer
        assert int(answer["got"][1]["retry-after"]) >= 1
    finally:
        place.postgres.start()
    host.wait_for("taken again", lambda: client.submit()[0] == 200, 20)
    client.check()


@pytest.mark.parametrize("statement", ["S_SUBMIT", "S_CLAIM", "S_START",
                                       "S_FINISH"])
def test_t10_cut_after_commit(place, own, statement):
    """The outcome is asked for before anything is done a second time."""
    client = own()
    for kind in ("cut_done", "cut_sent", "cut"):
        place.proxy.rule(statement, kind)
        keys = ["%s-%s-%d" % (statement, kind, n) for n in range(3)]
        tokens = {key: "%016x" % abs(hash(key)) for key in keys}
        for key in keys:
            def again():
                return client.submit(key=key, token=tokens[key])[0] == 200
            host.wait_for("the job is taken", again, 20)
            again()  # the same job
        for job in list(client.inv.tokens):
            client.succeeds(job)
        place.proxy.wait(statement)
        client.inv.look(rows(place, client))
        place.proxy.clear()
    client.check()


def test_t10_release_is_not_lost(place, own):
    """A job given back while the connection breaks waits, not nobody's."""
    client = own(warm_pool_size=0)
    takod = client.takod
    shutil.copy(place.runtime, place.runtime + ".kept")
    try:
        with open(place.runtime, "w") as file:
            file.write("#!/bin/sh\nexit 1\n")
        place.proxy.rule("S_RELEASE", "cut")
        place.proxy.rule("S_RELEASE", "cut_done")
        job = client.must_submit()
        place.proxy.wait("S_RELEASE", 2)
    finally:
        shutil.copy(place.runtime + ".kept", place.runtime)
    client.ended(job)
    assert takod.alive()


# All that a job's life asks of the store, and what is asked about it.
WRITES = ("S_SUBMIT", "S_CLAIM", "S_START", "S_RELEASE", "S_FINISH",
          "S_CANCEL", "S_CHUNK_PUT", "S_BEAT")
READS = ("S_GET", "S_POSITION", "S_COUNTS", "S_GET_ARTIFACTS", "S_CHUNK_GET",
         "S_TENANTS", "S_NODES", "S_LETTERS")
AGAIN = ("40001", "40P01", "55P03")
LOST = ("25006", "57P01", "57P03", "53100", "53200", "53300", "57014")


class Meeting:
    """
    A daemon whose statements each meet one error. One slot: jobs wait, and
    are claimed. Its runtime can fail: then jobs are put back. Artifacts are
    in the database.
    """

    def __init__(self, place):
        folder = tempfile.mkdtemp(prefix="meeting-", dir=host.scratch())
        self.place, self.flaky = place, FlakyRunc(folder)
        self.runtime, self.log = tapped_runtime(folder, self.flaky.path)
        self.proxy = PgProxy(place.postgres)
        self.client = place.client(
            self, max_workers=1, warm_pool_size=0, lease_seconds=3,
            artifact_store="database")

    def close(self):
        self.proxy.clear()
        self.client.takod.close()
        self.place.daemons.remove(self.client.takod)
        self.proxy.close()

    def meet(self, state, statements):
        """Until each statement has met it once."""
        rules = {name: self.proxy.rule(name, "error", state)
                 for name in statements}
        end = time.monotonic() + 240
        while left := [name for name, rule in rules.items() if rule.times]:
            assert time.monotonic() < end, "%s: never %s" % (state, left)
            self.day("S_RELEASE" in left)
        # Each job has its end, and nobody was told of an error.
        for job, token in list(self.client.inv.tokens.items()):
            if token is not None:
                record = self.client.ended(job, 60)
                assert record["status"] in ("succeeded", "cancelled"), record
        self.client.inv.look(rows(self.place, self.client))

    def ask(self, *what):
        status, heads, answer = self.client.ask(*what)
        assert status in (200, 400, 404, 503), (what, status, answer)
        if status == 503 and what[0] == "POST":
            assert int(heads["retry-after"]) >= 1
        return status, answer

    def day(self, fail):
        """All that clients and operators ask for."""
        client, takod = self.client, self.client.takod
        if fail:
            self.flaky.fail()
        jobs = [client.submit(0.05, more="open('/output/a', 'w').write('a')")
                for _ in range(3)]
        assert all(status in (200, 503) for status, _, _ in jobs), jobs
        jobs = [job for _, job, _ in jobs if job is not None]
        if fail:
            if jobs:
                host.wait_for("it was not started", self.flaky.failed, 30)
            self.flaky.work()
        for job in jobs[2:]:
            self.ask("POST", "/jobs/%s/cancel" % job)
        for job in jobs:
            self.ask("GET", "/jobs/" + job)
        for command in ("tenants", "nodes", "dlq"):
            takod.takoctl(command)
        self.ask("GET", "/pool/stats")
        for job in jobs:
            client.ended(job, 60)
            self.ask("GET", "/jobs/%s/artifacts/a" % job)


def test_t12_conflicts(place):
    """Each statement meets each of these: nobody hears of it."""
    meeting = Meeting(place)
    try:
        for state in AGAIN:
            meeting.meet(state, WRITES + READS)
        assert len(meeting.proxy.calls("connect")) <= 2
        meeting.client.check()
    finally:
        meeting.close()


def test_t12_errors(place):
    """
    Each statement meets each of these: nothing is lost, none is 500. The
    daemons are as many as errors, for each drops its session and comes back
    later every time.
    """
    meetings = [Meeting(place) for _ in LOST]
    try:
        with ThreadPoolExecutor(len(LOST)) as pool:
            done = [pool.submit(meeting.meet, state, WRITES + ("S_GET",))
                    for meeting, state in zip(meetings, LOST)]
        for meeting, future in zip(meetings, done):
            future.result()
            assert meeting.client.takod.alive()
            meeting.client.check()
    finally:
        for meeting in meetings:
            meeting.close()


@pytest.mark.parametrize("state", ["57P03", "53300"])
def test_t12_error_of_the_connection(place, own, state):
    client = own()
    place.proxy.rule("connect", "error", state, times=2)
    job = client.must_submit(0.5)
    place.proxy.cut_all()
    client.refused()
    client.succeeds(job)
    assert len(place.proxy.calls("connect")) >= 3
    client.check()


def test_t13_slow(place, client):
    """Five seconds a statement: the job's own limit is still exact."""
    place.proxy.rule("*", "delay_done", 5, times=100)
    status, job, _ = client.submit(30, timeout=4)
    assert status == 200
    host.wait_for("it runs", lambda: [
        w for w in client.takod.workers() if w["state"] == "running"], 30)
    host.wait_for("it was ended", lambda: not [
        w for w in client.takod.workers() if w["state"] == "running"], 10)
    place.proxy.clear()
    record = client.ended(job)
    assert record["status"] == "timeout"
    assert record["takod"]["attempt"] == 1, record
    assert 3900 < record["timing"]["execution_ms"] < 8500, record["timing"]
    client.check()


def test_t13_half_open(place, client):
    """The peer is silent: requests end, limits hold, and it comes back."""
    job = client.must_submit(30, timeout=4)
    host.wait_for("it runs", lambda: [
        w for w in client.takod.workers() if w["state"] == "running"])
    place.proxy.die()
    try:
        with Waiting(client):
            status, _, heads = client.submit()  # within its deadline
            assert status == 503, status
            host.wait_for("it was ended", lambda: not [
                w for w in client.takod.workers() if w["state"] == "running"])
        assert not client.healthy()
    finally:
        place.proxy.revive()
    record = client.ended(job)
    assert record["status"] == "timeout"
    assert 3900 < record["timing"]["execution_ms"] < 9000, record["timing"]
    host.wait_for("taken again", lambda: client.submit()[0] == 200, 20)
    client.check()


def test_t14_no_notify(place, client):
    """A row that nobody was told of is found within the poll interval."""
    takod = client.takod
    done = client.must_submit()
    client.succeeds(done)
    # As another node's submit whose NOTIFY was lost.
    place.postgres.psql(
        "BEGIN; CREATE TEMP TABLE one AS SELECT * FROM jobs WHERE id = '%s';"
        "UPDATE one SET id = 'a0000000-0000-4000-8000-000000000014',"
        " status = 'queued', fence = 0, attempt = 0, code_started = 0,"
        " started_at = 0, ended_at = 0, error = NULL, error_phase = NULL,"
        " phase_at_exit = NULL, exit_code = -1, idempotency_key = '',"
        " seq = (SELECT max(seq) + 1000 FROM jobs);"
        "ALTER TABLE one DROP COLUMN place;"  # the last one: it is generated
        "INSERT INTO jobs OVERRIDING SYSTEM VALUE SELECT * FROM one;"
        "CREATE TEMP TABLE two AS SELECT * FROM payloads WHERE id = '%s';"
        "UPDATE two SET id = 'a0000000-0000-4000-8000-000000000014';"
        "INSERT INTO payloads SELECT * FROM two; COMMIT;" % (done, done),
        takod.database)
    host.wait_for("it has ended", lambda: takod.get(
        "/jobs/a0000000-0000-4000-8000-000000000014")[2]["status"]
        == "succeeded", 5)


def test_t13_list_gives_up(place, own):
    """
    A list that takes too long (T13) is answered with what was found so far,
    and goes on behind it. SQLite's is in test_t_process.py.
    """
    client = own(max_workers=1)
    takod = client.takod
    job = client.must_submit()
    client.succeeds(job)
    takod.stop()
    waiting.copies(takod, job, 4500)  # more than one statement looks at
    takod.start()
    place.proxy.rule("?", "delay_done", 4.5, times=20)
    path = "/executions?limit=5&exit_code=1"
    status, _, page = client.ask("GET", path)
    assert (status, page["items"]) == (200, []), page
    assert page["has_more"] and int(page["takod"]["next"]) > 1, page
    place.proxy.clear()
    while page["has_more"]:  # perhaps once more: an answer was on its way
        status, _, page = client.ask("GET", "%s&after=%s" % (
            path, page["takod"]["next"]))
        assert (status, page["items"]) == (200, []), page


# ---- T17: the volume of the database ----------------------------------------

@pytest.fixture
def volume():
    """A file system of 4 MB, mounted below the scratch folder."""
    path = os.path.join(host.scratch(), "volume")
    os.makedirs(path, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=755",
                    "none", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_t17_disk_full(start, volume):
    takod = start("oci", "runc", config={
        "warm_pool_size": 1, "max_workers": 2,
        "database_url": "sqlite:///%s/takod.db" % volume})
    client = Client(takod)
    running = client.must_submit(4)
    takod.wait_code(running)
    filler = fill(volume)
    host.wait_for("a submit is refused", lambda: client.submit()[0] == 503)
    with Waiting(client, 2):
        client.refused()
    assert not client.healthy()
    os.unlink(filler)
    host.wait_for("taken again", lambda: client.submit()[0] == 200, 10)
    client.succeeds(running)
    client.check()


def test_import_while_the_store_is_away(place, client, own):
    """It says so, and changes nothing; once more, it is done."""
    mine = own()
    source, target = client.takod, mine.takod
    job = source.execute("print('carried')")["execution_id"]
    path = os.path.join(source.dir, "export.tar")
    source.takoctl("export", "-o", path, check=True)
    place.postgres.kill()
    host.wait_for("a submit is refused", lambda: mine.submit()[0] == 503)
    done = target.takoctl("import", path)
    assert done.returncode == TEMPFAIL, (done.stdout, done.stderr)
    assert done.stdout == "0 records imported, 0 skipped\n"
    assert "database is not available" in done.stderr, done.stderr
    place.postgres.start()
    host.wait_for("the store is back", mine.healthy, 30)
    assert target.get("/executions")[2]["count"] == 0
    target.takoctl("import", path, check=True)
    assert target.record(job)["stdout"] == "carried\n"
