"""
test_doctor.py: tako-vm doctor on hosts that are well, and with each thing
wrong once: it says so, names the mend, ends in time and changes nothing.
"""
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess

import pytest

from lib import host, shared
from lib.trial import Trial

SECRET = "sesame-4711"
# All of its schema, whatever its number.
WHOLE = re.compile(r"schema (\d+) of \1, whole")


def doctor(trial, **more):
    """(exit status, the findings by name: lists of (status, text, mend))."""
    code, out, err = trial.vm("doctor", "--json", **more)
    assert err == "" and SECRET not in out
    answer = json.loads(out)
    assert set(answer) == {"ok", "version", "configuration", "checks"}
    assert answer["ok"] is (code == 0)
    found = {}
    for finding in answer["checks"]:
        assert set(finding) == {"check", "status", "text", "mend"}
        assert finding["status"] in ("ok", "info", "warn", "fail")
        found.setdefault(finding["check"], []).append(
            (finding["status"], finding["text"], finding["mend"]))
    failed = any(f[0] == "fail" for fs in found.values() for f in fs)
    assert code == (1 if failed else 0)
    return code, found


def only_failure(trial, check, text, mend, **more):
    """That check fails, no other does, and it says both."""
    code, found = doctor(trial, **more)
    failed = {name: f for name, fs in found.items() for f in fs
              if f[0] == "fail"}
    assert code == 1 and list(failed) == [check], failed
    assert text in failed[check][1], failed
    assert mend in failed[check][2], failed
    return found


def contents(folder):
    """Every file below it with its digest."""
    found = {}
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)
            with open(path, "rb") as file:
                found[path] = hashlib.sha256(file.read()).hexdigest()
    return found


# ---- all is well ------------------------------------------------------------

@pytest.mark.parametrize("engine,runtime,store", [
    ("oci", "runsc", "sqlite"), ("oci", "runc", "pg"),
    ("docker", "runsc", "pg"), ("docker", "runc", "sqlite")])
def test_all_is_well(engine, runtime, store):
    more = {}
    if store == "pg":
        more["database_url"] = shared.postgres_database(
            "doctor_%s_%s" % (engine, runtime))
    trial = Trial(engine=engine, container_runtime=runtime, **more)
    code, found = doctor(trial)
    assert code == 0, found
    [(status, text, mend)] = found["runtime"]
    assert (status, mend) == ("ok", None)
    assert text.startswith(runtime + " runs a container (")
    # gVisor's kernel is another one than this.
    assert (os.uname().release in text) is (runtime == "runc")
    other = "runc" if runtime == "runsc" else "runsc"
    [(status, text, _)] = found["other_runtime"]
    assert status == "info" and text.startswith(other + " runs a container")
    assert ("API v1." in found["engine"][0][1]) is (engine == "docker")
    assert re.match(r"PostgreSQL \d+\.\d+" if store == "pg" else "SQLite /",
                    found["database"][0][1])
    assert re.search(r"ABI \d", found["landlock"][0][1])
    # Nothing of a takod was made.
    assert os.listdir(trial.data_dir) == []


@pytest.mark.parametrize("engine,runtime", [
    ("oci", "runsc"), ("oci", "runc"), ("docker", "runc")])
def test_network(engine, runtime):
    """Tried where a job type has one, and only there."""
    types = [{"name": "net", "network_enabled": True}]
    _, found = doctor(Trial(engine=engine, container_runtime=runtime,
                            job_types=types))
    assert found["network"][0][:2] == (
        "ok", "a container gets a network of its own"), found
    if engine == "docker":
        only_failure(Trial(engine=engine, container_runtime="runsc",
                           job_types=types), "network", "--network=none",
                     "daemon.json")


def test_network_of_an_engine_elsewhere():
    """Its processes are not to be seen here."""
    only_failure(
        Trial(engine="docker", container_runtime="runc",
              job_types=[{"name": "net", "network_enabled": True}]),
        "network", "with the same /proc", "network_enabled off",
        before=("unshare", "--pid", "--fork", "--mount-proc",
                "--kill-child"))


def test_lines_for_people():
    code, out, err = Trial(container_runtime="runc").vm("doctor")
    assert (code, err) == (0, "")
    *lines, last = out.splitlines()
    assert last == "takod would start and run jobs here."
    for line in lines:
        assert re.match(r"(ok|info|warn)  {1,4}[a-z_]+ +\S", line), line
    code, out, err = Trial(api_user="nobody-such").vm("doctor")
    assert code == 1 and out.endswith("mend what says FAIL.\n")
    assert re.search(r"(?m)^FAIL  users +api_user: no such user, or it is "
                     r"root; make that user", out)


def test_manual_has_every_check():
    _, found = doctor(Trial(container_runtime="runc", engine="oci", job_types=[
        {"name": "net", "network_enabled": True}]))
    with open(os.path.join(shared.TOP, "man", "tako-vm.1")) as file:
        page = file.read().split(".It Ic doctor")[1].split("\n.El")[0]
    listed = set(re.findall(r"[a-z_]+", " ".join(
        re.findall(r"(?m)^\.It Cm (.*)", page))))
    assert listed == set(found)


def test_the_takod_that_runs(start):
    takod = start("oci", "runc")
    assert takod.execute("print(1)")["stdout"] == "1\n"
    trial = Trial(**{**takod.keys, "container_runtime": "runc"})
    code, found = doctor(trial)
    assert code == 0, found
    assert "process %d" % takod.pid in found["control_socket"][0][1]
    assert "served by the takod that runs" in found["port"][0][1]
    assert "has it to itself" in found["database"][0][1]
    assert takod.execute("print(2)")["stdout"] == "2\n"


# ---- the host ---------------------------------------------------------------

def test_not_root():
    trial = Trial()
    program = os.path.join(trial.dir, "tako-vm")
    shutil.copy(os.path.realpath(shared.program("tako-vm")), program)
    os.chmod(trial.dir, 0o755)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
         program, "-c", trial.file, "doctor"], text=True, cwd="/",
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
        env={"PATH": "/usr/bin"})
    assert done.returncode == 1, done.stderr
    assert re.search(r"(?m)^FAIL  privileges .*as root \(sudo\)$", done.stdout)
    # A copy has no takod beside it, unless one is installed.
    assert re.search(r"(?m)^(FAIL|ok)  +programs ", done.stdout)
    assert re.search(r"(?m)^info  engine +not tried: only root can$",
                     done.stdout)


def test_configuration_not_valid():
    found = only_failure(
        Trial(container_limits={"pids_limit": 5}), "configuration",
        "container_limits.pids_limit: must be between 10 and 1000",
        "tako-vm validate")
    assert found["kernel"][0][0] == "ok" and "engine" not in found


def test_a_variable_is_not_valid():
    trial = Trial(container_runtime="runc")
    code, out, _ = trial.vm("doctor", env={"TAKO_VM_API_AUTH_ENABLED": "x"})
    assert code == 1
    assert re.search(r"(?m)^FAIL  configuration +TAKO_VM_API_AUTH_ENABLED: "
                     r"must be true, false", out), out


def test_too_few_descriptors():
    found = only_failure(
        Trial(api_max_connections=2000), "limits",
        "1000 descriptors are allowed, api_max_connections 2000 needs 2064",
        "LimitNOFILE=2064", preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (1000, 1000)))
    assert found["runtime"][0][0] == "ok"


@pytest.mark.parametrize("key", ["api_user", "worker_user"])
def test_user_missing(key):
    only_failure(Trial(**{key: "nobody-such"}), "users",
                 key + ": no such user", "useradd --system")


def test_ids_of_others():
    code, found = doctor(Trial(uid_base=65000, container_runtime="runc"))
    assert code == 0
    [(status, text, mend)] = found["users"]
    assert status == "warn" and "user nobody is 65534" in text
    assert "set uid_base" in mend


# ---- folders and sockets ----------------------------------------------------

def test_data_dir_is_a_file():
    trial = Trial(database_url="sqlite:////tmp/takod-doctor-none.db")
    path = os.path.join(trial.dir, "a-file")
    with open(path, "w"):
        pass
    only_failure(trial.write(data_dir=path), "data_dir",
                 path + " is a file", "set data_dir")


def test_data_dir_cannot_be_written():
    only_failure(
        Trial(data_dir="/sys/takod", control_socket="/run/takod-none.sock",
              database_url="sqlite:////tmp/takod-doctor-none.db"),
        "data_dir", "nothing can be made in /sys", "set data_dir")


def test_data_dir_open_to_others():
    trial = Trial(container_runtime="runc")
    os.chmod(trial.data_dir, 0o755)
    code, found = doctor(trial)
    assert code == 0 and found["data_dir"][0][0] == "warn"
    assert "chmod 700" in found["data_dir"][0][2]
    os.chmod(trial.data_dir, 0o711)  # as takod.service makes it
    assert doctor(trial)[1]["data_dir"][0][0] == "ok"


def test_data_dir_to_be_made():
    trial = Trial(container_runtime="runc")
    path = os.path.join(trial.dir, "a", "b")
    trial.write(data_dir=path, database_url="sqlite:///%s/takod.db" % path)
    code, found = doctor(trial)
    assert code == 0 and "will be made" in found["data_dir"][0][1]
    assert not os.path.exists(os.path.dirname(path))


def test_port_of_another_program():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        only_failure(Trial(server_port=port), "port",
                     "port %d is in use by process %d (" % (
                         port, os.getpid()), "set server_port")


def test_address_of_another_host():
    only_failure(Trial(server_host="192.0.2.1"), "port",
                 "Cannot assign requested address", "set server_host")


@pytest.mark.parametrize("path,text", [
    ("/etc/passwd", "is not a socket"),
    ("/nonexistent/takod.sock", "nothing can be made in /nonexistent"),
    ("/tmp/" + "x" * 120, "longer than 107 bytes")])
def test_control_socket(path, text):
    only_failure(Trial(control_socket=path), "control_socket", text,
                 "set control_socket")


def test_control_group_missing():
    only_failure(Trial(control_group="nobody-such"), "control_socket",
                 "there is no group nobody-such", "groupadd")


# ---- the database -----------------------------------------------------------

def test_database_refuses_the_connection():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = "postgresql://me:%s@127.0.0.1:%d/jobs" % (
            SECRET, closed.getsockname()[1])
        only_failure(Trial(database_url=url), "database",
                     "Connection refused", "set database_url")


def test_database_hangs():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = "postgresql://me:%s@127.0.0.1:%d/jobs?connect_timeout=2" % (
            SECRET, silent.getsockname()[1])
        only_failure(Trial(database_url=url), "database",
                     "no answer in time", "start PostgreSQL")


def test_database_password_wrong():
    url = shared.postgres_database("doctor_password").replace(
        shared.postgres().password, SECRET)
    only_failure(Trial(database_url=url), "database",
                 "password authentication failed", "password")


@pytest.mark.parametrize("sql,text,mend", [
    ("UPDATE meta SET version = 99", "schema 99, this takod knows",
     "newer takod"),
    ("ALTER TABLE jobs DROP COLUMN fence CASCADE", "has not takod's schema",
     "set database_url"),
    ("DELETE FROM meta", "has not takod's schema", "set database_url")])
def test_pg_schema(made_database, sql, text, mend):
    name, url = made_database
    shared.postgres().psql(sql, name)
    only_failure(Trial(database_url=url), "database", text, mend)


def test_pg_rights(made_database):
    name, url = made_database
    shared.postgres().psql(
        "DROP ROLE IF EXISTS clerk; CREATE ROLE clerk LOGIN PASSWORD '%s';"
        "GRANT SELECT ON meta TO clerk; GRANT SELECT, INSERT ON jobs,"
        " payloads, outputs, nodes TO clerk" % SECRET, name)
    theirs = re.sub("//.*@", "//clerk:%s@" % SECRET, url)
    found = only_failure(Trial(database_url=theirs), "database",
                         "UPDATE on jobs", "GRANT them TO clerk")
    assert "INSERT" not in found["database"][0][1]
    shared.postgres().psql("REVOKE SELECT ON meta FROM clerk", name)
    only_failure(Trial(database_url=theirs), "database",
                 "permission denied for table meta", "GRANT SELECT ON meta")
    # Without rights, it sees as much as with them.
    assert doctor(Trial(database_url=url, container_runtime="runc"))[0] == 0


@pytest.fixture(scope="module")
def pg_made(shared_things):
    """The schema as takod makes it, to be copied."""
    from lib.takod import Takod
    takod = Takod("oci", "runc", "pg")
    takod.stop()
    return takod.keys["database_url"].rsplit("/", 1)[1]


@pytest.fixture
def made_database(pg_made, request):
    name = "doctor_%d" % (abs(hash(request.node.name)) % 10**8)
    shared.postgres().psql("DROP DATABASE IF EXISTS %s;\n"
                           "CREATE DATABASE %s TEMPLATE %s"
                           % (name, name, pg_made))
    return name, shared.postgres().url(name)


@pytest.fixture(scope="module")
def sqlite_made(shared_things):
    """A file as takod left it when it was killed, with its journal."""
    from lib.takod import Takod
    takod = Takod("oci", "runc", "sqlite", config={"warm_pool_size": 0})
    assert takod.execute("print(1)")["stdout"] == "1\n"
    os.kill(takod.pid, signal.SIGSTOP)
    kept = os.path.join(host.scratch(), "doctor-sqlite")
    os.mkdir(kept)
    for name in ("takod.db", "takod.db-wal"):
        shutil.copy(os.path.join(takod.data_dir, name), kept)
    os.kill(takod.pid, signal.SIGCONT)
    takod.stop()
    return kept


def sqlite_trial(folder, sql=None):
    trial = Trial(container_runtime="runc")
    for name in os.listdir(folder):
        shutil.copy(os.path.join(folder, name), trial.data_dir)
    if sql:
        with sqlite3.connect(trial.data_dir + "/takod.db") as db:
            db.execute(sql)
        db.close()
    return trial


def test_sqlite_after_a_crash_is_not_changed(sqlite_made):
    trial = sqlite_trial(sqlite_made)
    before = contents(trial.data_dir)
    assert os.path.getsize(trial.data_dir + "/takod.db-wal") > 0
    code, found = doctor(trial)
    assert code == 0 and WHOLE.search(found["database"][0][1]), found
    assert contents(trial.data_dir) == before


def test_sqlite_after_a_stop_is_not_changed(sqlite_made):
    trial = sqlite_trial(sqlite_made, "UPDATE meta SET probe = 7")
    before = contents(trial.data_dir)
    assert list(before) == [trial.data_dir + "/takod.db"]
    # takod, which locks the file, may start meanwhile.
    with sqlite3.connect(trial.data_dir + "/takod.db",
                         isolation_level=None) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("BEGIN EXCLUSIVE")
        code, found = doctor(trial)
        db.execute("ROLLBACK")
    db.close()
    assert code == 0 and WHOLE.search(found["database"][0][1]), found


@pytest.mark.parametrize("sql,text,mend", [
    ("UPDATE meta SET version = 99", "schema 99, this takod knows",
     "newer takod"),
    ("ALTER TABLE jobs RENAME COLUMN fence TO hedge",
     "has not takod's schema", "set database_url"),
    ("DROP TABLE meta", "is not a database of takod", "set database_url")])
def test_sqlite_schema(sqlite_made, sql, text, mend):
    only_failure(sqlite_trial(sqlite_made, sql), "database", text, mend)


def test_sqlite_damaged(sqlite_made):
    trial = sqlite_trial(sqlite_made, "UPDATE meta SET probe = 7")
    path = trial.data_dir + "/takod.db"
    with sqlite3.connect(path) as db:
        [(page,)] = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'jobs'")
        [(size,)] = db.execute("PRAGMA page_size")
    db.close()
    with open(path, "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    only_failure(trial, "database", path + " is damaged", "backup")


def test_sqlite_is_another_file():
    trial = Trial()
    with open(trial.data_dir + "/takod.db", "w") as file:
        file.write("this is a letter\n" * 300)
    only_failure(trial, "database", "file is not a database",
                 "set database_url")


def test_sqlite_is_no_file():
    trial = Trial()
    os.mkfifo(trial.data_dir + "/takod.db")
    only_failure(trial, "database", "is not a regular file",
                 "set database_url")


def test_sqlite_folder_missing():
    only_failure(Trial(database_url="sqlite:////nonexistent/takod.db"),
                 "database", "cannot be made", "make that folder")


# ---- engines, images, runtimes ----------------------------------------------

def test_no_image():
    trial = Trial(rootfs=None)
    only_failure(trial, "image", trial.data_dir + "/images", "tako-vm setup")
    only_failure(trial.write(rootfs="/nonexistent"), "image", "/nonexistent",
                 "rootfs")


def test_no_image_in_docker():
    only_failure(Trial(engine="docker", docker_image="none-such:latest"),
                 "image", "none-such:latest is not in the Docker Engine",
                 "tako-vm setup")


def test_docker_socket_missing():
    only_failure(Trial(docker_host="unix:///nonexistent/docker.sock",
                       rootfs=None).write(engine="docker"),
                 "engine", "/nonexistent/docker.sock", "start the Docker")


def test_docker_hangs():
    trial = Trial(rootfs=None)
    path = os.path.join(trial.dir, "docker.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        # auto takes it, as takod does: somebody listens there.
        found = only_failure(
            trial.write(engine="auto", docker_host="unix://" + path),
            "engine", path, "start the Docker")
        assert "engine: auto" in found["engine"][0][1]


def test_runtime_missing():
    only_failure(Trial(runsc_path="/nonexistent/runsc"), "runtime",
                 "runsc is not installed (looked for /nonexistent/runsc)",
                 "apt-get install runsc")
    found = only_failure(
        Trial(runc_path="/nonexistent/runc", container_runtime="runc"),
        "runtime", "runc is not installed", "apt-get install runc")
    assert found["other_runtime"][0][1].startswith("runsc runs a container")


def test_permissive_takes_runc():
    trial = Trial(security_mode="permissive",
                  runsc_path="/nonexistent/runsc")
    code, found = doctor(trial)
    assert code == 0
    assert [f[0] for f in found["runtime"]] == ["warn", "ok"]
    assert "install gVisor" in found["runtime"][0][2]
    trial.write(runc_path="/nonexistent/runc")
    code, found = doctor(trial)
    assert code == 1
    assert [f[0] for f in found["runtime"]] == ["warn", "fail"]


def test_runtime_fails():
    trial = Trial()
    path = trial.program("broken", "#!/bin/sh\n"
                         "test \"$1\" = --version && echo runsc version 0 &&"
                         " exit 0\nexit 33\n")
    only_failure(trial.write(runsc_path=path), "runtime",
                 "runsc ended with status 33", "install gVisor")


def test_runtime_hangs():
    trial = Trial()
    path, marker = trial.hanging_runtime()
    # The limit is the engine's own: 20 s for a container to start.
    found = only_failure(trial.write(runsc_path=path), "runtime",
                         "did not start the container in time",
                         "see what it waits for")
    assert os.path.exists(marker)
    assert found["other_runtime"][0][1].startswith("runc runs a container")


def test_runtime_is_no_gvisor():
    only_failure(
        Trial(runsc_path=shutil.which("runc"), runsc_args=[]), "runtime", "",
        "install gVisor")


def test_the_switch_that_is_at_fault_is_named():
    trial = Trial(container_runtime="runc", enable_userns=True)
    path = trial.program("runc-no-userns", """#!/bin/sh
for word; do
	test "$bundle" = next && bundle=$word
	test "$word" = --bundle && bundle=next
done
grep -q uidMappings "$bundle/config.json" && exit 1
exec %s "$@"
""" % shutil.which("runc"))
    only_failure(trial.write(runc_path=path), "runtime",
                 "runc does not run a container", "enable_userns: false")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM,
                                    signal.SIGKILL])
def test_ended_in_the_middle(number):
    trial = Trial()
    path, marker = trial.hanging_runtime()
    child = trial.write(runsc_path=path).start("doctor")
    try:
        groups = trial.groups(marker)
        child.send_signal(number)
        out, err = child.communicate(timeout=10)
    finally:
        child.kill()
    if number == signal.SIGKILL:
        assert child.returncode == -number
    else:
        assert child.returncode == 1
        assert err == "tako-vm doctor: ended by a signal\n"
        trial.nothing_left()
    # Killed, it cannot wait for its check, which cleans up all the same.
    host.wait_for("nothing is left", lambda: not trial.left(), 10)
    host.wait_for("no group is left", lambda: not groups(), 10)
