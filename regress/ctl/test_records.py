"""
test_records.py: takoctl executions, show, logs, diff, export and import. An
archive goes from an SQLite daemon to a PostgreSQL one, and archives that are
damaged or made to harm change nothing.
"""
import hashlib
import io
import json
import os
import pathlib
import pty
import sqlite3
import subprocess
import tarfile
import tempfile

import pytest

from lib import host, shared

USAGE, DATAERR, NOINPUT = 64, 65, 66
NO_JOB = "00000000-0000-4000-8000-000000000000"
FILES = "import json, os\n" \
        "print('alpha beta')\n" \
        "open('/output/a.bin', 'wb').write(bytes(range(256)) * 500)\n" \
        "open(b'/output/\\xff \\x1b[31m', 'w').write('x')\n" \
        "json.dump({'n': 1}, open('/output/result.json', 'w'))\n"


def ctl(takod, *args, code=0):
    done = takod.takoctl(*args)
    assert done.returncode == code, (args, done.stdout, done.stderr)
    return done


def ctl_json(takod, *args, code=0):
    return json.loads(ctl(takod, "--json", *args, code=code).stdout)


@pytest.fixture(scope="module")
def source(shared_things):
    from conftest import end, make
    daemon = make("oci", "runc", config={"max_workers": 2})
    yield daemon
    end(daemon)


@pytest.fixture(scope="module")
def jobs(source):
    made = {
        "files": source.execute(FILES, idempotency_key="key-of-files",
                                input_data={"x": "\u00e4"})["execution_id"],
        "bad": source.execute(
            "import sys\nprint('alpha\\x1b[31m')\n"
            "sys.exit('gone \\x07')")["execution_id"],
        "killed": source.execute(
            "import os; os.kill(os.getpid(), 11)")["execution_id"],
    }
    waiting = source.submit("import time; time.sleep(60)")
    source.wait_status(waiting, "running")
    source.post("/jobs/%s/cancel" % waiting)
    source.wait(waiting)
    made["cancelled"] = waiting
    return made


@pytest.fixture(scope="module")
def archive(source, jobs):
    path = os.path.join(source.dir, "export.tar")
    done = ctl(source, "export", "-o", path)
    assert done.stdout == "4 records exported, 0 have not ended\n"
    return path


def rows(takod, *args):
    return [row["job_id"] for row in
            ctl_json(takod, "executions", *args)["jobs"]]


# ---- executions, show, logs, diff -------------------------------------------

def test_executions(source, jobs):
    everything = [jobs[n] for n in ("cancelled", "killed", "bad", "files")]
    assert rows(source) == everything
    assert rows(source, "-l", "1") == everything[:1]
    for args, names in (
            (["-t", "cancelled"], ["cancelled"]),
            (["--exit-code", "139"], ["killed"]),
            (["--error-type", "segfault"], ["killed"]),
            (["--key", "key-of-files"], ["files"]),
            (["--job-type", "default", "-t", "succeeded"], ["files"]),
            (["--parent", NO_JOB], []), (["--until", "2020-01-01"], []),
            (["--since", "2020-01-01T00:00:00Z", "--limit", "1"],
             ["cancelled"])):
        assert rows(source, *args) == [jobs[n] for n in names], args
    host.wait_for("words are known", lambda: rows(
        source, "-q", "alpha -gone") == [jobs["files"]], 30)
    assert rows(source, "--query", '"alpha beta"') == [jobs["files"]]
    answer = ctl_json(source, "executions", "-l", "3")
    assert rows(source, "--after", answer["next"]) == everything[3:]
    # The same under its former name.
    assert ctl_json(source, "jobs", "-l", "3") == answer
    text = ctl(source, "executions", "--status", "failed").stdout
    assert [line.split()[0] for line in text.splitlines()] == [
        "JOB", jobs["killed"], jobs["bad"]]


@pytest.mark.parametrize("args", [
    ("executions", "x"), ("executions", "-q"), ("executions", "-q", '"'),
    ("executions", "-q", "-a"), ("executions", "--since", "now"),
    ("executions", "--exit-code", "999"), ("executions", "--after", "0"),
    ("executions", "--error-type", "nope"), ("executions", "-o", "x"),
    ("executions", "--parent", "x"), ("show",), ("logs",), ("logs", "x"),
    ("logs", "--other", NO_JOB), ("diff", NO_JOB), ("diff", "x", NO_JOB),
    ("import",), ("import", "a", "b"), ("export", "x")])
def test_wrong_use(source, args):
    done = ctl(source, *args, code=USAGE)
    assert done.stdout == "" and done.stderr


def test_show(source, jobs):
    assert ctl(source, "show", jobs["bad"]).stdout == ctl(
        source, "job", jobs["bad"]).stdout
    assert ctl_json(source, "show", jobs["files"])["stdout"] == "alpha beta\n"


def terminal(takod, *args):
    """What it writes to a terminal."""
    master, slave = pty.openpty()
    done = subprocess.Popen(
        [shared.program("takoctl"), "-c", takod.file, *args], env=takod.env,
        stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
    os.close(slave)
    got = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        got += piece
    os.close(master)
    return done.wait(30), got.replace(b"\r\n", b"\n")


def test_logs(source, jobs):
    done = ctl(source, "logs", jobs["bad"])
    assert (done.stdout, done.stderr) == ("alpha\x1b[31m\n", "gone \x07\n")
    done = ctl(source, "logs", "--stderr", jobs["bad"])
    assert (done.stdout, done.stderr) == ("", "gone \x07\n")
    assert ctl_json(source, "logs", jobs["bad"]) == {
        "stdout": "alpha\x1b[31m\n", "stderr": "gone \x07\n"}
    assert ctl_json(source, "logs", "--stdout", jobs["bad"]) == {
        "stdout": "alpha\x1b[31m\n"}
    # A terminal is not driven by a job.
    status, got = terminal(source, "logs", jobs["bad"])
    assert status == 0 and b"\x1b" not in got and b"\x07" not in got
    assert got == b"alpha\\x1b[31m\ngone \\x07\n"
    assert ctl(source, "logs", NO_JOB, code=DATAERR).stdout == ""


def test_diff(source, jobs):
    a, b = jobs["files"], jobs["bad"]
    text = ctl(source, "diff", a, b, code=1).stdout
    assert "status           succeeded -> failed\n" in text
    assert "--- a/stdout\n+++ b/stdout\n@@ -1,1 +1,1 @@\n-alpha beta\n" in text
    mine = ctl_json(source, "diff", a, b, code=1)
    theirs = source.get("/executions/%s/diff/%s" % (a, b))[2]
    for name in ("a", "b", "outcome", "identical"):
        assert mine[name] == theirs[name]
    for name in ("code", "input", "output", "stdout", "stderr"):
        for what in ("identical", "added", "removed", "too_different"):
            assert mine[name][what] == theirs[name][what]
    assert ctl(source, "diff", a, a).stdout == ""
    assert ctl_json(source, "diff", a, a)["identical"] is True
    assert NO_JOB in ctl(source, "diff", a, NO_JOB, code=DATAERR).stderr
    status, got = terminal(source, "diff", a, b)
    assert status == 1 and b"\x1b" not in got and b"-alpha beta\n" in got


# ---- export and import ------------------------------------------------------

def members(path):
    with tarfile.open(path) as tar:
        return [(m.name, tar.extractfile(m).read()) for m in tar]


def test_archive(source, jobs, archive):
    content = dict(members(archive))
    names = list(content)
    assert names[0] == "takod-export.json" and names[-1] == "manifest.json"
    folder = "records/%s/" % jobs["files"]
    record = json.loads(content[folder + "record.json"])
    assert content[folder + "code.py"].decode() == FILES
    for file in record["files"]:
        assert hashlib.sha256(content[folder + file["name"]]).hexdigest() == \
            file["sha256"]
    assert len(record["artifacts"]) == 3
    for artifact in record["artifacts"]:
        data = content["%sartifacts/%d" % (folder, artifact["number"])]
        assert hashlib.sha256(data).hexdigest() == artifact["sha256"]
    assert os.stat(archive).st_mode & 0o777 == 0o600
    assert not os.path.exists(archive + ".part")
    # Filters, and standard output.
    done = subprocess.run(
        [shared.program("takoctl"), "-c", source.file, "export", "-t",
         "cancelled"], capture_output=True, timeout=60)
    assert done.returncode == 0
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        assert sum("record.json" in name for name in tar.getnames()) == 1
    done = ctl(source, "export", "-o", source.dir + "/no/such/folder",
               code=73)
    assert "No such file" in done.stderr


def artifacts(takod, job):
    """{name: bytes} of what it left, each of them checked by takoctl."""
    folder = tempfile.mkdtemp(dir=takod.dir)
    ctl(takod, "artifacts", "get", job, "-o", folder)
    return {path.name: path.read_bytes()
            for path in pathlib.Path(folder).iterdir()}


def test_round_trip(source, jobs, archive, start):
    """
    From SQLite and files to PostgreSQL and its rows, and back to SQLite and
    S3: the same records, the same artifacts.
    """
    target = start("oci", "runc", "pg", config={
        "warm_pool_size": 0, "artifact_store": "database"})
    done = ctl(target, "import", archive)
    assert done.stdout == "4 records imported, 0 skipped\n"
    mine = source.get("/executions?view=full")[2]["items"]
    assert target.get("/executions?view=full")[2]["items"] == mine
    files = artifacts(source, jobs["files"])
    assert len(files) == 3 and artifacts(target, jobs["files"]) == files
    for folder in ("artifacts", "spool"):
        assert os.listdir(os.path.join(target.data_dir, folder)) == []
    # Once more: nothing is done twice; a key is known.
    answer = ctl_json(target, "import", archive)
    assert answer["imported"] == 0 and {
        row["id"] for row in answer["skipped"]} == set(jobs.values())
    status, _, answer = target.post("/execute/async", {
        "code": FILES, "input_data": {"x": "\u00e4"},
        "idempotency_key": "key-of-files"})
    assert (status, answer["job_id"]) == (200, jobs["files"])
    host.wait_for("words are known", lambda: rows(
        target, "-q", "alpha -gone") == [jobs["files"]], 30)
    # And back, into one that has none of it, through a pipe.
    back = start("oci", "runc", "sqlite", config={
        "warm_pool_size": 0, **shared.s3().keys_of_takod()})
    with subprocess.Popen([shared.program("takoctl"), "-c", target.file,
                           "export"], stdout=subprocess.PIPE) as export:
        done = subprocess.run(
            [shared.program("takoctl"), "-c", back.file, "import", "-"],
            stdin=export.stdout, capture_output=True, text=True, timeout=60,
            env={**os.environ, "TMPDIR": target.dir})
    assert done.stdout == "4 records imported, 0 skipped\n", done.stderr
    assert back.get("/executions?view=full")[2]["items"] == mine
    assert artifacts(back, jobs["files"]) == files
    # Nobody's share is less for what ended elsewhere.
    assert ctl_json(back, "tenants")["tenants"] == []
    back.stop()
    with sqlite3.connect(back.data_dir + "/takod.db") as db:
        assert db.execute("SELECT DISTINCT tenant FROM jobs").fetchall() == [
            ("addr:127.0.0.1",)]
    db.close()


def test_artifact_that_is_missing(source, start, jobs, archive):
    """Its record is left out and said; the others are exported."""
    target = start("oci", "runc", "sqlite", config={"warm_pool_size": 0})
    ctl(target, "import", archive)
    top = os.path.join(target.data_dir, "artifacts", jobs["files"])
    place, = os.listdir(top)
    assert os.stat(os.path.join(top, place)).st_mode & 0o777 == 0o700
    os.unlink(os.path.join(top, place, "1"))
    path = os.path.join(target.dir, "part.tar")
    done = ctl(target, "export", "-o", path, code=DATAERR)
    assert "%s is left out: its artifact 1" % jobs["files"] in done.stderr
    assert done.stdout.startswith("3 records exported")
    assert not any(jobs["files"] in name for name, _ in members(path))


def entry(name, data=b"", kind=tarfile.REGTYPE, **more):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def write(path, entries, form=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w", format=form) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))


def change(text, old, new):
    assert old in text, (old, text)
    return text.replace(old, new)


def spoil(content, how, job):
    """Entries of an archive that is damaged, or made to harm."""
    folder = "records/%s/" % job
    record = folder + "record.json"
    names = [name for name, _ in content]
    entries = [entry(name, data) for name, data in content]
    at = names.index(record)

    def put(name, data):
        entries[names.index(name)] = entry(name, data)
    if how == "byte":
        data = bytearray(dict(content)[folder + "code.py"])
        data[3] ^= 1
        put(folder + "code.py", bytes(data))
    elif how == "artifact":
        put(folder + "artifacts/0", b"other")
    elif how == "record":
        put(record, change(dict(content)[record].decode(),
                           '"attempt": 1', '"attempt": 2').encode())
    elif how == "bounds":
        put(record, change(dict(content)[record].decode(),
                           '"attempt": 1', '"attempt": -1').encode())
    elif how == "queued":
        put(record, change(dict(content)[record].decode(),
                           '"succeeded"', '"queued"').encode())
    elif how == "path":
        put(record, change(dict(content)[record].decode(),
                           '"code.py"', '"../../../etc/passwd"').encode())
    elif how == "twice":
        entries.insert(-1, entries[at])
    elif how == "left out":
        del entries[names.index(folder + "code.py")]
    elif how == "order":
        entries[at + 1], entries[at + 2] = entries[at + 2], entries[at + 1]
    elif how == "no manifest":
        entries.pop()
    elif how == "behind":
        entries.append(entry("more", b"x"))
    elif how == "one less":
        other = next(n for n in names if n.endswith("record.json") and
                     n != record).rsplit("/", 1)[0]
        entries = [e for e in entries if not e[0].name.startswith(other)]
    elif how == "another id":
        entries[at] = entry("records/%s/record.json" % NO_JOB,
                            dict(content)[record])
    elif how == "dots":
        entries[at] = entry("records/../../x/record.json",
                            dict(content)[record])
    elif how == "absolute":
        entries[0] = entry("/etc/takod-export.json", content[0][1])
    elif how == "link":
        entries[at + 1] = entry(folder + "code.py", kind=tarfile.SYMTYPE,
                                linkname="/etc/shadow")
    elif how == "hard link":
        entries[at + 1] = entry(folder + "code.py", kind=tarfile.LNKTYPE,
                                linkname=record)
    elif how == "device":
        entries[at + 1] = entry(folder + "code.py", kind=tarfile.CHRTYPE)
    elif how == "folder":
        entries.insert(1, entry("records", kind=tarfile.DIRTYPE))
    elif how == "form":
        entries[0] = entry("takod-export.json", content[0][1].replace(
            b'"version": 1', b'"version": 99'))
    elif how == "not JSON":
        put(record, b"{" * 100000)
    elif how == "large JSON":
        put(record, b" " * (5 << 20))
    elif how == "sparse":
        entries[at + 1] = entry(folder + "code.py", b"x" * 512, pax_headers={
            "GNU.sparse.major": "1", "GNU.sparse.minor": "0",
            "GNU.sparse.name": folder + "code.py",
            "GNU.sparse.realsize": str(1 << 40)})
    return entries


SPOILED = ("byte", "artifact", "record", "bounds", "queued", "path", "twice",
           "left out", "order", "no manifest", "behind", "one less",
           "another id", "dots", "absolute", "link", "hard link", "device",
           "folder", "form", "not JSON", "large JSON", "sparse")


@pytest.fixture(scope="module")
def target(shared_things):
    from conftest import end, make
    daemon = make("oci", "runc", config={"warm_pool_size": 0})
    yield daemon
    end(daemon)


def refused(target, path):
    """One line of why, and nothing of it is there."""
    done = ctl(target, "import", path, code=DATAERR)
    assert done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("takoctl: import: ")
    assert done.stderr.endswith("; nothing was imported\n")
    assert target.get("/executions")[2]["items"] == []
    assert os.listdir(os.path.join(target.data_dir, "artifacts")) == []
    assert os.listdir(os.path.join(target.data_dir, "spool")) == []
    return done.stderr


@pytest.mark.parametrize("how", SPOILED)
def test_spoiled(target, archive, jobs, how):
    path = os.path.join(target.dir, "spoiled.tar")
    write(path, spoil(members(archive), how, jobs["files"]))
    assert path not in refused(target, path)


@pytest.mark.parametrize("part", [0, 1, 511, 512, 5000, 20000, -1024])
def test_cut(target, archive, part):
    """A file that ends early, wherever that is."""
    path = os.path.join(target.dir, "cut.tar")
    with open(archive, "rb") as file:
        data = file.read()
    end = len(data.rstrip(b"\0"))
    with open(path, "wb") as file:
        file.write(data[:part if part >= 0 else end + part])
    refused(target, path)


def test_no_archive(target):
    for data in (b"hello\n" * 1000, b"\x1f\x8b" + b"\0" * 2000,
                 os.urandom(4096)):
        path = os.path.join(target.dir, "none.tar")
        with open(path, "wb") as file:
            file.write(data)
        refused(target, path)
    done = ctl(target, "import", path + ".not", code=NOINPUT)
    assert "No such file" in done.stderr


def test_good_after_all(target, archive):
    """The daemon that refused all that takes what is right."""
    done = ctl(target, "import", archive)
    assert done.stdout == "4 records imported, 0 skipped\n"
