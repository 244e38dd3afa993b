"""
test_store.py: what the stores of artifacts promise when something fails: no
record names what is not there, nothing that no record names stays, and a store
that is away costs time alone.
"""
import json
import os
import re
import socket
import sqlite3
import subprocess
import time
import uuid

import pytest

import download
from lib import host, shared

DAY = 24 * 3600
MAKES = "open('/output/a.txt', 'w').write('kept')\n"
SLOW = MAKES + "import time; time.sleep(%s)\n"


class Database:
    """The daemon's own: while it is stopped, if it is an SQLite file."""
    def __init__(self, daemon):
        self.pg = daemon.store == "pg"
        self.path = daemon.data_dir + "/takod.db"
        self.name = daemon.keys["database_url"].rpartition("/")[2]

    def ask(self, sql):
        if self.pg:
            return shared.postgres().psql(sql + ";\n", self.name)
        with sqlite3.connect(self.path, timeout=30) as db:
            rows = db.execute(sql).fetchall()
        db.close()
        return "\n".join(str(row[0]) for row in rows)


def folders(daemon):
    """Places of the local store: <job id>/<claim>."""
    top = daemon.data_dir + "/artifacts"
    return {"%s/%s" % (job, claim) for job in os.listdir(top)
            for claim in os.listdir(os.path.join(top, job))}


class Local:
    """The places that a store has, and strays put into it."""
    def __init__(self, daemon):
        self.daemon = daemon

    def places(self):
        return folders(self.daemon)

    def stray(self, place, age):
        path = os.path.join(self.daemon.data_dir, "artifacts", place)
        os.makedirs(path, 0o700)
        with open(path + "/0", "w") as file:
            file.write("x")
        then = time.time() - age
        os.utime(os.path.dirname(path), (then, then))


class Rows:
    def __init__(self, daemon):
        self.database = Database(daemon)

    def places(self):
        return set(re.findall(r"[0-9a-z-]+/\d+", self.database.ask(
            "SELECT DISTINCT id || '/' || fence FROM artifact_chunks")))

    def stray(self, place, age):
        # More than one statement removes.
        rows = ("generate_series(1, 150) AS n (n)" if self.database.pg else
                "(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1"
                " FROM s WHERE n < 150) SELECT n FROM s)")
        data = "'\\x00'" if self.database.pg else "x'00'"
        self.database.ask(
            "INSERT INTO artifact_chunks SELECT '%s', %s, 0, n, %d, %s FROM %s"
            % (*place.split("/"), (time.time() - age) * 1e6, data, rows))


class Objects:
    def __init__(self, daemon):
        self.prefix = daemon.keys["s3_prefix"]

    def places(self):
        return {k.removeprefix(self.prefix).rpartition("/")[0]
                for k in shared.s3().keys() if k.startswith(self.prefix)}

    def stray(self, place, age):
        service = shared.s3()
        if age:
            service.tell("copy", service.keys()[0],
                         "%s%s/0" % (self.prefix, place))


KINDS = {"local": Local, "database": Rows, "s3": Objects}


@pytest.mark.parametrize("kind,store", download.STORES)
def test_strays_and_old_records(start, kind, store):
    """Retention, and what a takod leaves that is killed at the wrong time."""
    prefix = {"s3_prefix": "strays-%s/" % uuid.uuid4()} if kind == "s3" else {}
    daemon = start("oci", "runc", store, config={
        **download.store_keys(kind), **prefix, "log_level": "INFO"})
    keep, old = (daemon.execute(MAKES)["execution_id"] for _ in range(2))
    daemon.execute("print(5)")
    daemon.stop()
    database, there = Database(daemon), KINDS[kind](daemon)
    assert there.places() == {keep + "/1", old + "/1"}
    database.ask("UPDATE jobs SET ended_at = %d WHERE id = '%s'"
                 % ((time.time() - 2 * DAY) * 1e6, old))
    strays = [str(uuid.uuid4()) + "/1",  # its record is gone
              keep + "/7",               # of another claim
              "api-%s/3" % uuid.uuid4()]
    young = str(uuid.uuid4()) + "/1"
    for place in strays:
        there.stray(place, 2 * 3600)
    there.stray(young, 0)
    if kind == "local":
        # One that takods of before have left: the files in the job's folder.
        top = daemon.data_dir + "/artifacts/"
        os.rename(top + keep + "/1/0", top + keep + "/0")
        os.rmdir(top + keep + "/1")
        os.utime(top + keep, (1, 1))
    if kind == "s3":
        shared.s3().tell("begin", daemon.keys["s3_prefix"] + strays[0] + "/9")
        assert shared.s3().tell("uploads") == 1
        shared.s3().tell("age", 2 * 3600)
    daemon.write_config(execution_record_ttl_days=1)
    daemon.start()
    host.wait_for("the old record is gone", lambda:
                  "retention: 1 records" in daemon.log(), 30)
    wanted = {keep + ("/0" if kind == "local" else "/1")}
    if kind != "s3":
        wanted.add(young)
    if kind == "database" and store == "sqlite":
        for place in strays:
            host.wait_for("strays are removed", lambda: re.search(
                r"job %s \(database, %s\)" % tuple(place.split("/")),
                daemon.log()), 30)
    else:
        host.wait_for("strays are removed",
                      lambda: there.places() == wanted, 30)
    if kind == "s3":
        host.wait_for("the upload is aborted",
                      lambda: shared.s3().tell("uploads") == 0, 30)
    assert daemon.get("/executions/" + old)[0] == 404
    assert download.get(daemon, keep, "a.txt")[2] == b"kept"
    daemon.stop()
    assert there.places() == wanted


@pytest.mark.parametrize("kind", ("local", "database"))
def test_kill_before_the_row(start, kind):
    """Killed between the files and their row: the record names none (T04)."""
    daemon = start("oci", "runc", "pg", config=download.store_keys(kind))
    database, there = Database(daemon), KINDS[kind](daemon)
    job_id = daemon.submit(SLOW % 5)
    daemon.wait_code(job_id)
    # Somebody holds its row: its end cannot be written.
    holder = subprocess.Popen(
        ["psql", "-qAt", daemon.keys["database_url"]],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        holder.stdin.write("BEGIN; SELECT 'held' FROM jobs WHERE id = '%s'"
                           " FOR UPDATE;\n" % job_id)
        holder.stdin.flush()
        while holder.stdout.readline() != "held\n":
            assert holder.poll() is None
        place = job_id + "/1"
        host.wait_for("its artifacts are kept",
                      lambda: place in there.places(), 30)
        daemon.kill9()
        # Its statement waits in the server, or on its way to it, which
        # would still do it.
        own = (" FROM pg_stat_activity WHERE datname = current_database()"
               " AND application_name LIKE 'takod-%'")
        database.ask("SELECT pg_terminate_backend(pid)" + own)
        host.wait_for("its connections have ended", lambda: database.ask(
            "SELECT count(*)" + own).strip() == "0", 30)
    finally:
        holder.kill()
        holder.communicate()
    host.wait_for("its children have ended", lambda: not [
        p for p in daemon.own_uid_processes()], 30)
    daemon.start()
    record = daemon.record(job_id)
    assert (record["status"], record["error"]["type"]) == (
        "failed", "interrupted")
    assert record["artifacts"] == []
    assert download.get(daemon, job_id, "a.txt")[0] == 404
    assert place in there.places()  # too young to be removed
    if kind == "local":
        os.utime(daemon.data_dir + "/artifacts/" + job_id, (1, 1))
    else:
        database.ask("UPDATE artifact_chunks SET written_at = 1")
    daemon.stop()
    daemon.start()
    host.wait_for("they are removed", lambda: not there.places(), 30)


def test_kill_in_the_middle(start):
    """Killed between two files of a job; S3 hangs, and comes back."""
    service = shared.s3()
    prefix = "kill-%s/" % uuid.uuid4()
    daemon = start("oci", "runc", "sqlite", config=service.keys_of_takod(
        s3_prefix=prefix))
    job_id = daemon.submit(
        "import time; time.sleep(4)\n" + MAKES +
        "open('/output/b.txt', 'w').write('b')\n")
    daemon.wait_status(job_id, "running")
    service.tell("hold", 1)
    try:
        host.wait_for("one of two is there", lambda: len(
            [k for k in service.keys() if k.startswith(prefix)]) == 1, 30)
        daemon.kill9()
    finally:
        service.tell("go")
    host.wait_for("its children have ended", lambda: not [
        p for p in daemon.own_uid_processes()], 30)
    daemon.start()
    record = daemon.record(job_id)
    assert record["error"]["type"] == "interrupted"
    assert record["artifacts"] == []
    service.tell("age", 2 * 3600)
    daemon.stop()
    daemon.start()
    host.wait_for("what is left is removed", lambda: not [
        k for k in service.keys() if k.startswith(prefix)], 30)


def test_s3_away(start):
    """A job's end waits for S3 and is not lost; others go on."""
    service = shared.s3()
    daemon = start("oci", "runc", "sqlite", config=service.keys_of_takod(
        s3_prefix="away-%s/" % uuid.uuid4(), drain_timeout=1))
    kept = daemon.run(MAKES)["execution_id"]
    service.tell("fail", 1000000)
    try:
        waits = daemon.submit(MAKES)
        host.wait_for("it waits", lambda: "job %s: its artifacts wait"
                      % waits in daemon.log(), 30)
        assert daemon.execute("print(5)")["stdout"] == "5\n"
        assert daemon.get("/jobs/" + waits)[2]["status"] == "running"
        status, heads, _ = download.get(daemon, kept, "a.txt")
        assert (status, heads["retry-after"]) == (503, "1")
        assert download.get(daemon, kept, "a.txt", None, "HEAD")[0] == 200
    finally:
        service.tell("fail", 0)
    record = daemon.wait(waits)
    assert record["status"] == "succeeded"
    assert download.get(daemon, waits, "a.txt")[2] == b"kept"
    assert "artifact store s3 is up" in daemon.log()

    # A key that is no longer taken, and is mended in its file.
    service.write_credentials("wrong")
    try:
        waits = daemon.submit(MAKES)
        host.wait_for("it is refused", lambda:
                      "SignatureDoesNotMatch" in daemon.log(), 30)
    finally:
        service.write_credentials()
    assert daemon.wait(waits)["status"] == "succeeded"

    # Lost by the service: the record stays, the bytes do not come.
    service.tell("drop", "%s%s/1/0" % (daemon.keys["s3_prefix"], kept))
    assert daemon.get("/jobs/%s/artifacts/a.txt" % kept)[2]["detail"] == (
        "Artifact not found")

    # The key is nobody's but the parent's.
    for pid in daemon.children():
        with open("/proc/%d/environ" % pid, "rb") as file:
            assert service.secret.encode() not in file.read()
        assert service.secret not in host.read("/proc/%d/cmdline" % pid)
    assert service.secret not in daemon.log()

    # A stop does not wait for it: the job did not succeed.
    service.tell("fail", 1000000)
    try:
        waits = daemon.submit(MAKES)
        host.wait_for("it waits", lambda: "job %s: its artifacts wait"
                      % waits in daemon.log(), 30)
        daemon.stop(30)
    finally:
        service.tell("fail", 0)
    daemon.start()
    record = daemon.record(waits)
    assert (record["status"], record["error"]["type"]) == (
        "failed", "internal_error")
    assert record["takod"]["artifacts_lost"] is True
    assert record["artifacts"] == []


def test_what_s3_is_asked(start):
    """Where its configuration says, and signed for its region."""
    key = os.path.join(host.scratch(), "key-%s" % uuid.uuid4())
    with open(key, "w") as file:
        file.write("[default]\naws_access_key_id = who\n"
                   "aws_secret_access_key = secret\n")
    os.chmod(key, 0o600)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        start("oci", "runc", config={
            "artifact_store": "s3", "s3_bucket": "a-bucket",
            "s3_endpoint": "http://127.0.0.1:%d" % server.getsockname()[1],
            "s3_region": "mars-north-7", "s3_prefix": "some/where/",
            "s3_credentials_file": key})
        # It looks for what no record names as soon as it is ready.
        client, _ = server.accept()
        with client:
            client.settimeout(30)
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65536)
            client.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
    words = head.decode()
    assert words.startswith("GET /a-bucket/?"), words
    assert "some%2Fwhere%2F" in words.split(" ", 2)[1]
    scope = re.search(r"Credential=who/\d{8}/([^,]+),", words)
    assert scope and scope.group(1) == "mars-north-7/s3/aws4_request", words


def test_changed_store(start):
    """Artifacts are found where they were put, whatever is configured."""
    service = shared.s3()
    where = service.keys_of_takod(s3_prefix="changed-%s/" % uuid.uuid4())
    daemon = start("oci", "runc", "sqlite", config={
        **where, "artifact_store": "local"})
    jobs = {}
    for kind in ("local", "database", "s3", "local"):
        if kind != daemon.keys["artifact_store"]:
            daemon.stop()
            daemon.write_config(artifact_store=kind)
            daemon.start()
        jobs.setdefault(kind, []).append(daemon.run(MAKES)["execution_id"])
    for kind in jobs:
        for job_id in jobs[kind]:
            assert download.get(daemon, job_id, "a.txt")[2] == b"kept", kind
    daemon.stop()
    daemon.write_config(s3_bucket=None)
    daemon.start()
    assert download.get(daemon, jobs["database"][0], "a.txt")[0] == 200
    assert download.get(daemon, jobs["s3"][0], "a.txt")[0] == 503
    assert "lie in another store" in daemon.log()


@pytest.fixture
def small(request):
    """A file system of a few megabytes."""
    path = os.path.join(host.scratch(), "small-%s" % uuid.uuid4())
    os.mkdir(path, 0o711)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=711", "tmpfs",
                    path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)
    os.rmdir(path)


@pytest.mark.parametrize("kind", ("local", "database"))
def test_no_space(small, kind):
    """T25: never a success with artifacts missing; and no restart after it."""
    from conftest import end, make
    database = "sqlite:///%s.db" % small
    daemon = make("oci", "runc", "sqlite", config={
        **download.CAPS, "artifact_store": kind, "data_dir": small + "/data",
        "database_url": database})
    try:
        record = daemon.run(
            "print('said')\n" + MAKES +
            "open('/output/z.bin', 'wb').write(b'x' * 20000000)\n")
        assert (record["status"], record["error"]["type"]) == (
            "failed", "internal_error"), record
        assert record["error"]["message"] == "Artifacts could not be stored"
        assert record["stdout"] == "said\n" and record["exit_code"] == 0
        assert record["takod"]["artifacts_lost"] is True
        for entry in record["artifacts"]:
            assert download.get(daemon, record["execution_id"],
                                entry["name"])[0] == 200
        # One that failed by itself keeps its own reason.
        record = daemon.run(
            "open('/output/z.bin', 'wb').write(b'x' * 20000000)\n1 / 0\n")
        assert record["error"]["type"] == "division_error"
        assert record["takod"]["artifacts_lost"] is True
        fine = daemon.run(MAKES + "open('/output/big', 'wb').write(b'y' *"
                          " 3000000)\n")
        assert fine["status"] == "succeeded", fine
        assert fine["takod"]["artifacts_lost"] is False
        if kind == "database":
            # A get needs room too: it is asked again later.
            with open(small + "/filler", "wb") as file:
                try:
                    while True:
                        file.write(b"z" * 65536)
                        file.flush()
                except OSError:
                    pass
            assert download.get(daemon, fine["execution_id"], "big")[0] == 503
            os.unlink(small + "/filler")
        assert len(download.get(
            daemon, fine["execution_id"], "big")[2]) == 3000000
    finally:
        end(daemon)
        for name in os.listdir(os.path.dirname(small)):
            if name.startswith(os.path.basename(small) + ".db"):
                os.unlink(os.path.join(os.path.dirname(small), name))


def test_poisoned(start):
    """A07: what a row says is no way out of the store."""
    daemon = start("oci", "runc", "sqlite")
    jobs = [daemon.run(MAKES)["execution_id"] for _ in range(7)]
    secret = os.path.join(daemon.dir, "secret")
    with open(secret, "w") as file:
        file.write("kept")  # as long as it, so that length does not tell
    top = daemon.data_dir + "/artifacts/"
    for job_id, change in ((jobs[0], "link"), (jobs[1], "cut"),
                           (jobs[2], "gone")):
        path = top + job_id + "/1/0"
        os.unlink(path) if change != "cut" else os.truncate(path, 2)
        if change == "link":
            os.symlink(secret, path)
    daemon.stop()
    database = Database(daemon)
    database.ask("UPDATE outputs SET artifact_store = '../../..'"
                 " WHERE id = '%s'" % jobs[3])
    database.ask("UPDATE outputs SET artifacts = x'0102'"
                 " WHERE id = '%s'" % jobs[4])
    database.ask("UPDATE jobs SET fence = -1 WHERE id = '%s'" % jobs[5])
    daemon.start()
    wanted = (500, 500, 404, 503, 503, 404, 200)
    for job_id, status in zip(jobs, wanted):
        got = download.get(daemon, job_id, "a.txt")
        assert got[0] == status, (job_id, status, got)
        assert status == 200 or b"kept" not in got[2]
    assert daemon.execute("print(5)")["stdout"] == "5\n"


def test_refused_configurations(start):
    credentials = os.path.join(host.scratch(), "key-%s" % uuid.uuid4())
    text = "[default]\naws_access_key_id = a\naws_secret_access_key = b\n"
    rows = [
        ({"artifact_store": "s3"}, "s3_bucket: must name a bucket"),
        ({"s3_bucket": "abc"}, "s3_credentials_file: must name the file"),
        ({"s3_bucket": "Upper"}, "s3_bucket: must be a bucket's name"),
        ({"s3_endpoint": "ftp://x"}, "s3_endpoint: must be http"),
        ({"s3_endpoint": "https://user:pw@x"}, "s3_endpoint: must have"),
        ({"s3_endpoint": "https://x/path"}, "s3_endpoint: must have"),
        ({"s3_prefix": "/x"}, "s3_prefix: must be"),
        ({"s3_prefix": "a b"}, "s3_prefix: must be"),
        ({"s3_region": "a/b"}, "s3_region: must consist"),
        ({"artifact_store": "ftp"}, "artifact_store: "),
    ]
    files = [(None, 0o600, "No such file"), (text, 0o644, "chmod o-rw"),
             ("[other]\n" + text[10:], 0o600, "is missing in [default]"),
             ("[default]\naws_access_key_id = a\n", 0o600, "is missing")]

    def said(keys):
        path = credentials + ".yaml"
        with open(path, "w") as file:
            for key, value in keys.items():
                file.write("%s: %s\n" % (key, value))
        done = subprocess.run(
            [shared.program("takod"), "-c", path], text=True, timeout=30,
            capture_output=True, stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/bin", "HOME": "/nonexistent"})
        assert done.returncode != 0
        return done.stderr
    data = {"data_dir": credentials + ".data", "server_port": 1,
            "engine": "oci"}
    for keys, words in rows:
        assert words in said({**data, **keys}), keys
    for content, mode, words in files:
        if content is not None:
            with open(credentials, "w") as file:
                file.write(content)
            os.chmod(credentials, mode)
        answer = said({**data, "server_port": download.free_port(),
                       "s3_bucket": "abc", "s3_credentials_file": credentials})
        assert words in answer and "s3_credentials_file" in answer, answer


def test_takoctl(start, tmp_path):
    daemon = start("oci", "runc", "sqlite")
    names = [b"a.txt", b"\x1b[31mred", b"bad\xff", b"-o", b"per%41"]
    record = daemon.run("for name in %r:\n"
                        "    open(b'/output/' + name, 'wb').write(b'of ' +"
                        " name)\n" % names)
    job_id = record["execution_id"]

    def run(*words):
        return subprocess.run(
            [shared.program("takoctl"), "-c", daemon.file, *words],
            cwd=tmp_path, env=daemon.env, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=60)
    shown = run("artifacts", "list", job_id)
    assert shown.returncode == 0, shown
    assert b"\x1b" not in shown.stdout and b"\xff" not in shown.stdout
    for words in (b"a.txt", b"\\x1b[31mred", b"bad%FF", b"per%2541",
                  b"text/plain"):
        assert words in shown.stdout, words
    listed = run("--json", "artifacts", "list", job_id)
    assert json.loads(listed.stdout)["artifacts"] == [
        {k: a[k] for k in ("name", "size_bytes", "sha256", "content_type")}
        for a in record["artifacts"]]
    assert run("artifacts", "get", job_id, "a.txt", "-o", "-").stdout == (
        b"of a.txt")
    assert run("artifacts", "get", job_id, "bad%FF", "-o",
               "copy").returncode == 0
    assert (tmp_path / "copy").read_bytes() == b"of bad\xff"
    assert run("artifacts", "get", job_id, "a.txt").returncode == 0
    again = run("artifacts", "get", job_id, "a.txt")
    assert again.returncode == 74 and b"exists" in again.stderr
    os.mkdir(tmp_path / "all")
    done = run("artifacts", "get", job_id, "-o", "all")
    assert done.returncode == 0, done
    folder = os.fsencode(tmp_path / "all")
    assert {n: open(os.path.join(folder, n), "rb").read()
            for n in os.listdir(folder)} == {n: b"of " + n for n in names}
    for words, status in (
            (("get", job_id, "none"), 65), (("list", "x"), 64),
            (("get", str(uuid.uuid4()), "a"), 65), (("put", job_id), 64),
            (("list", job_id, "-o", "x"), 64)):
        assert run("artifacts", *words).returncode == status, words
