"""
test_ctl.py: takoctl with a real daemon: each command, for people and for
programs, its exit statuses, and callers and servers that are not as they
should be.
"""
import grp
import json
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from lib import host, shared

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
NO_JOB = "00000000-0000-4000-8000-000000000000"
# sysexits(3)
USAGE, DATAERR, UNAVAILABLE, PROTOCOL = 64, 65, 69, 76
NOPERM, CONFIG = 77, 78
SLEEP = "import time; print('begins', flush=True); time.sleep(60)"


def ctl(takod, *args, code=0):
    """What it prints."""
    done = takod.takoctl(*args)
    assert done.returncode == code, (args, done.stdout, done.stderr)
    assert code or done.stderr == "", done.stderr
    assert not code or done.stdout == "", done.stdout
    return done.stdout or done.stderr


def ctl_json(takod, *args):
    return json.loads(ctl(takod, "--json", *args))


def lines(text):
    """name -> what stands behind it."""
    return dict(re.split(r" {2,}|(?<=^.{14}) ", line, maxsplit=1)
                for line in text.splitlines())


@pytest.fixture(scope="module")
def runc(shared_things):
    """One daemon for the commands that leave it as it is."""
    from conftest import end, make
    daemon = make("oci", "runc", config={"max_workers": 2})
    yield daemon
    end(daemon)


def running(takod, code=SLEEP, **fields):
    job = takod.submit(code, **fields)
    takod.wait_status(job, "running")
    return job


# ---- status, workers --------------------------------------------------------

def test_status(runc):
    text = lines(ctl(runc, "status"))
    assert text["state"] == "ready"
    assert text["engine"] == "oci, up, breaker closed"
    assert text["runtime"] == "runc" and text["store"] == "sqlite, up"
    assert text["jobs"] == "0 running of 2, 0 waiting of 100"
    assert text["listening"] == "127.0.0.1:%d" % runc.port
    assert text["configuration"] == runc.file
    assert text["daemon"].startswith("takod 0.1.0, pid %d, up " % runc.pid)
    answer = ctl_json(runc, "status")
    assert answer["ready"] is True
    assert answer["engine"] == {
        "name": "oci", "up": True, "runtime": "runc", "fallback": False,
        "breaker": "closed", "failures": 0}
    assert answer["store"] == {"name": "sqlite", "up": True}
    assert answer["queue"]["max_workers"] == 2
    assert answer["daemon"]["pid"] == runc.pid
    assert answer["daemon"]["data_dir"] == runc.data_dir
    assert answer["daemon"]["draining"] is False
    # --json is taken behind the command, and -j before it, too.
    for args in (("status", "--json"), ("-j", "status")):
        assert set(json.loads(ctl(runc, *args))) == set(answer)


def test_workers(runc):
    job = running(runc)

    def workers():
        return ctl_json(runc, "workers")["workers"]
    # It has the job also while its container still starts.
    rows = host.wait_for("the worker runs it", lambda: [
        row for row in [workers()] if any(
            r["job_id"] == job and r["state"] == "running" for r in row)])[0]
    [api] = [r for r in rows if r["name"] == "tako-api"]
    assert (api["state"], api["slot"]) == ("serving", -1)
    assert [api["pid"]] == runc.children("tako-api")
    [mine] = [r for r in rows if r["job_id"] == job]
    assert mine["name"] == "tako-worker" and mine["state"] == "running"
    assert mine["container"].startswith("takod-" + runc.instance)
    assert mine["uid"] == host.Process(mine["pid"]).uids()[0] != 0
    head, *table = ctl(runc, "workers").splitlines()
    assert head.split() == ["PROCESS", "PID", "UID", "STATE", "SLOT", "JOB",
                            "TYPE", "AGE", "JOB"]
    assert any(re.match(r"tako-worker +%d .* running .* %s$" % (
        mine["pid"], job), row) for row in table), table
    ctl(runc, "cancel", job)
    assert runc.wait(job)["status"] == "cancelled"


# ---- jobs, job, cancel ------------------------------------------------------

def test_jobs(runc):
    good = runc.execute("print(1)")["execution_id"]
    bad = runc.execute("raise SystemExit(3)")["execution_id"]
    rows = ctl_json(runc, "jobs", "-l", "2")["jobs"]
    assert [(r["job_id"], r["status"], r["exit_code"]) for r in rows] == [
        (bad, "failed", 3), (good, "succeeded", 0)]
    rows = ctl_json(runc, "jobs", "-t", "succeeded", "-l", "1")["jobs"]
    assert [r["job_id"] for r in rows] == [good]
    head, *table = ctl(runc, "jobs", "-l", "1").splitlines()
    assert head.split()[:2] == ["JOB", "STATUS"] and len(table) == 1
    assert re.match(r"%s +failed +default +20\d\d-\S+ .* 3$" % bad, table[0])
    assert ctl(runc, "jobs", "-t", "oom") == "none\n"
    assert ctl_json(runc, "jobs", "-t", "oom") == {"jobs": []}


def test_as_many_jobs_as_may_be_asked_for(start):
    takod = start("oci", "runc", config={
        "max_workers": 1, "warm_pool_size": 0, "max_queue_size": 1100})
    first = running(takod)
    ids = [takod.submit("print(1)") for _ in range(1005)]
    rows = ctl_json(takod, "jobs", "-l", "1000")["jobs"]
    assert [r["job_id"] for r in rows] == ids[::-1][:1000]
    assert len(ctl(takod, "jobs", "-t", "queued",
                   "-l", "1000").splitlines()) == 1001
    ctl(takod, "drain")  # so that none of them begins
    ctl(takod, "cancel", first)
    ctl(takod, "stop", "-n")
    assert takod.proc.wait(30) == 0


def test_job(runc):
    job = runc.execute(
        "import json, sys\n"
        "print('a\\x1b[2J\\u202eb'); print('wrong', file=sys.stderr)\n"
        "json.dump({'n': 1}, open('/output/result.json', 'w'))\n"
        "raise SystemExit(4)")["execution_id"]
    answer = ctl_json(runc, "job", job)
    assert answer["job_id"] == job and answer["status"] == "failed"
    assert (answer["exit_code"], answer["runtime"]) == (4, "runc")
    assert answer["stdout"] == "a\x1b[2J\u202eb\n"
    assert answer["stderr"] == "wrong\n"
    assert json.loads(answer["output"]) == {"n": 1}
    assert answer["started_at"] <= answer["ended_at"]
    text = ctl(runc, "job", job)
    assert re.search(r"(?m)^exit code +4$", text)
    assert re.search(r"(?m)^error +runtime_error: ", text)
    assert "\x1b" not in text and "\n    a\\x1b[2J" in text
    assert "\nstderr:\n    wrong\n" in text


def test_job_with_much_output(runc):
    job = runc.execute("print('x' * 59 + '\\n' * 1 + 'y' * 60000)")
    shown = ctl_json(runc, "job", job["execution_id"])["stdout"]
    assert shown == "x" * 59 + "\n" + "y" * 60000 + "\n"
    text = ctl(runc, "job", job["execution_id"])
    assert text.count("y") >= 60000
    assert max(len(line) for line in text.splitlines()) < 2100


def test_job_that_waits(runc):
    busy = [running(runc), running(runc)]
    job = runc.submit("print(1)")
    answer = ctl_json(runc, "job", job)
    assert answer["status"] == "queued"
    assert answer["started_at"] is answer["ended_at"] is None
    assert not re.search("(?m)^(started|ended|exit code)",
                         ctl(runc, "job", job))
    # It never runs; a running one is ended; then there is nothing to do.
    assert ctl(runc, "cancel", job) == ""
    assert ctl_json(runc, "cancel", busy[0]) == {"ok": True}
    ctl(runc, "cancel", busy[1])
    record = runc.wait(job)
    assert (record["status"], record["started_at"]) == ("cancelled", None)
    for each in busy:
        assert runc.wait(each)["status"] == "cancelled"
        assert "nothing to do" in ctl(runc, "cancel", each, code=DATAERR)


@pytest.mark.parametrize("command", ["job", "cancel"])
def test_no_such_job(runc, command):
    assert ctl(runc, command, NO_JOB, code=DATAERR) == \
        "takoctl: %s: No such job, or nothing to do\n" % command
    for wrong in ("x", "../etc/passwd", NO_JOB + "0", ""):
        assert "not a job id" in ctl(runc, command, wrong, code=USAGE)


# ---- drain, resume, stop, verbose -------------------------------------------

def test_drain_and_resume(runc):
    job = running(runc, "import time; time.sleep(4); print('done')")
    assert ctl(runc, "drain") == ""
    assert ctl_json(runc, "status")["daemon"]["draining"] is True
    assert ", draining\n" in ctl(runc, "status")
    status, _, answer = runc.post("/execute/async", {"code": "print(1)"})
    assert status == 503, answer
    assert runc.wait(job)["stdout"] == "done\n"
    assert ctl_json(runc, "resume") == {"ok": True}
    assert runc.execute("print(2)")["stdout"] == "2\n"
    assert "CTL_DRAIN by uid 0" in runc.log()


def test_stop_lets_running_jobs_end(start):
    takod = start("oci", "runc")
    job = running(takod, "import time; time.sleep(4); print('done')")
    assert ctl(takod, "stop") == ""
    assert takod.proc.wait(30) == 0
    takod.start()
    assert takod.record(job)["stdout"] == "done\n"


def test_stop_at_once(start):
    takod = start("oci", "runc")
    job = running(takod)
    assert ctl_json(takod, "stop", "-n") == {"ok": True}
    assert takod.proc.wait(15) == 0
    takod.start()
    record = takod.record(job)
    assert record["status"] == "failed"
    assert record["error"]["type"] == "interrupted", record


def test_verbose(runc):
    def level():
        return ctl_json(runc, "status")["daemon"]["log_level"]
    assert ctl(runc, "verbose", "ERROR") == "" and level() == "error"
    before = len(runc.log())
    runc.execute("print(1)")
    assert runc.log()[before:] == ""
    ctl(runc, "verbose", "debug")
    assert level() == "debug"
    runc.execute("print(1)")
    assert " INFO tako-api[" in runc.log()[before:]
    assert " DEBUG takod[" in runc.log()[before:]
    assert "warning" in ctl(runc, "verbose", "loud", code=USAGE)


# ---- wrong use --------------------------------------------------------------

@pytest.mark.parametrize("args", [
    (), ("none",), ("--none", "status"), ("status", "x"), ("workers", "x"),
    ("jobs", "x"), ("jobs", "-l"), ("jobs", "-l", "0"), ("jobs", "-l", "x"),
    ("jobs", "-l", "1001"), ("jobs", "-t", "gone"), ("jobs", "-x"), ("job",),
    ("job", NO_JOB, NO_JOB), ("cancel",), ("drain", "x"), ("resume", "-n"),
    ("stop", "x"), ("stop", "-x"), ("verbose",), ("reload", "x"),
    ("reload", "--wet"), ("image",), ("image", "none"),
    ("image", "build", "x"), ("image", "list", "x"), ("image", "remove"),
    ("completion",), ("completion", "fish")])
def test_wrong_arguments(runc, args):
    ctl(runc, *args, code=USAGE)
    assert runc.alive()


def test_no_daemon(runc):
    path = runc.dir + "/nobody.sock"
    assert ctl(runc, "-s", path, "status", code=UNAVAILABLE) == \
        "takoctl: no takod is running at %s\n" % path
    assert "too long" in ctl(runc, "--socket", "/" + "x" * 200, "status",
                             code=USAGE)


def test_configuration_not_valid(runc):
    path = os.path.join(runc.dir, "bad.yaml")
    with open(path, "w") as file:
        file.write("max_workers: 0\n")
    said = ctl(runc, "-c", path, "status", code=CONFIG)
    assert said.startswith(path + ":1:") and "max_workers" in said
    # Whoever names the socket needs no file.
    assert "ready" in ctl(runc, "-c", path, "-s",
                          runc.data_dir + "/takod.sock", "status")


# ---- who may ----------------------------------------------------------------

def as_user(takod, gid, *args):
    folder = os.path.join(takod.dir, "others")
    os.makedirs(folder, 0o755, exist_ok=True)
    program = shutil.copy(shared.program("takoctl"), folder)
    return subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=%d" % gid, "--clear-groups",
         program, *args], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, cwd="/", env={"PATH": "/usr/bin"}, timeout=60)


def test_the_group_may_and_others_may_not(start):
    """Row T35 of the fault catalogue."""
    group = grp.getgrnam("games")
    path = os.path.join(host.scratch(), "ctl-%d.sock" % os.getpid())
    takod = start("oci", "runc", config={"control_socket": path,
                                         "control_group": group.gr_name})
    done = as_user(takod, group.gr_gid, "-s", path, "drain")
    assert (done.returncode, done.stderr) == (0, "")
    assert "CTL_DRAIN by uid 65534" in takod.log()
    done = as_user(takod, 65534, "-s", path, "resume")
    assert (done.returncode, done.stdout) == (NOPERM, "")
    assert done.stderr == "takoctl: %s: permission denied\n" % path
    assert ctl_json(takod, "status")["daemon"]["draining"] is True


def test_root_alone_may(runc):
    done = as_user(runc, 65534, "-s", runc.data_dir + "/takod.sock", "stop")
    assert done.returncode == NOPERM and runc.alive()


# ---- servers and clients that are not what they should be -------------------

@pytest.mark.parametrize("words", [
    None, b"\0", b"x" * 64, b"\xff" * 4096], ids=str)
def test_a_server_that_is_no_takod(runc, words):
    path = os.path.join(runc.dir, "other.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(path)
        server.listen()
        child = subprocess.Popen(
            [shared.program("takoctl"), "-s", path, "status"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        server.settimeout(30)
        client, _ = server.accept()
        with client:
            client.settimeout(30)
            client.recv(4096)
            if words:
                client.send(words)
                # It hangs up; unless it has done so already.
                try:
                    while client.recv(4096):
                        pass
                except ConnectionResetError:
                    pass
        out, err = child.communicate(timeout=30)
    os.unlink(path)
    assert (child.returncode, out) == (PROTOCOL, "")
    assert err.startswith("takoctl: takod closed the connection"), err


def test_daemon_that_ends_with_its_answer(runc, tmp_path):
    """The end of the connection comes together with the last frame: takod
    stops as soon as it has answered `stop -n`."""
    path = str(tmp_path / "takod.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(path)
        server.listen()
        server.settimeout(30)
        child = subprocess.Popen([shared.program("takoctl"), "-s", path,
                                  "resume"], stdin=subprocess.DEVNULL)
        client, _ = server.accept()
        with client, socket.socket(socket.AF_UNIX,
                                   socket.SOCK_SEQPACKET) as daemon:
            daemon.settimeout(30)
            daemon.connect(runc.data_dir + "/takod.sock")
            for _ in ("hello", "resume"):
                daemon.send(client.recv(4096))
            child.send_signal(signal.SIGSTOP)
            client.send(daemon.recv(65536))
        child.send_signal(signal.SIGCONT)
        assert child.wait(30) == 0


@pytest.mark.parametrize("words", [
    b"\0", b"x" * 64, b"\xff" * 4096, b"\0" * 65000], ids=len)
def test_a_client_that_is_no_takoctl(runc, words):
    """Row T35 of the fault catalogue."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(30)
        client.connect(runc.data_dir + "/takod.sock")
        client.send(words)
        try:
            assert client.recv(4096) == b""
        except ConnectionResetError:
            pass
    assert ctl_json(runc, "status")["ready"] is True


def test_too_many_clients(runc):
    """
    Row T35. Who comes when all places are taken is let go, and takod goes on.
    """
    path = runc.data_dir + "/takod.sock"
    many = []
    try:
        for _ in range(32):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            client.connect(path)
            many.append(client)
        done = runc.takoctl("status")
        assert done.returncode == PROTOCOL, (done.stdout, done.stderr)
    finally:
        for client in many:
            client.close()
    host.wait_for("there is room again",
                  lambda: runc.takoctl("status").returncode == 0)
    assert runc.execute("print(1)")["stdout"] == "1\n"
