"""
test_jobs.py: the hostile-job catalogue (rows.py) on both engines and both
runtimes: every program runs once, many at a time; then the host is as it was
before. A test is a row on one of them. TAKO_REGRESS_ROW=R14,K06 in the
environment runs those rows alone.
"""
import os
import sys

import pytest

from lib.promise import Promise

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import jobs_run  # noqa: E402
import rows  # noqa: E402

ONLY = os.environ.get("TAKO_REGRESS_ROW")
WANTED = [row for row in rows.ROWS if row.program and
          (not ONLY or row.name in ONLY.split(","))]
JOB_TYPES = [{"name": "quarter", "cpu_limit": 0.25, "warm_pool_size": 0}]


@pytest.fixture(scope="module")
def daemon(combo):
    before = combo.keys["job_types"]
    combo.write_config(job_types=before + JOB_TYPES)
    combo.takoctl("reload", check=True)
    yield combo
    combo.write_config(job_types=before)
    combo.takoctl("reload", check=True)


@pytest.fixture(scope="module")
def batch(daemon):
    """All rows' jobs on this daemon, and what was promised and not kept."""
    promise = Promise(daemon)
    jobs = jobs_run.Jobs(daemon)
    jobs.run(WANTED)
    jobs.broken = promise.broken(jobs.names())
    return jobs


@pytest.mark.parametrize("name", [row.name for row in WANTED])
def test_row(batch, name):
    assert not batch.problems[name], "\n".join(batch.problems[name])


def test_nothing_is_left(batch):
    """P, after all of them."""
    assert not batch.broken, "\n".join(batch.broken)


def test_every_row():
    """Each row of the catalogue is here, and what holds it exists."""
    assert sorted(rows.TABLE) == sorted(rows.CATALOGUE)
    assert len(rows.TABLE) == len(rows.ROWS)
    programs = {name[:-3] for name in os.listdir(
        os.path.join(rows.HERE, "jobs")) if name.endswith(".py")}
    assert programs == {row.program for row in rows.ROWS if row.program} | {
        "prelude", "neighbour"}
    wrong = []
    for row in rows.ROWS:
        assert row.program or row.held, row.name
        wrong += [text for name in row.held
                  for text in rows.test_problems(name, row.name)]
        if row.program and not jobs_run.program(row.program).startswith(
                '"""%s: ' % row.name):
            wrong.append("jobs/%s.py does not begin with its row" % row.name)
    assert not wrong, "\n".join(wrong)


WATCH = """
import ctypes, fcntl, os, select, signal, sysconfig
ACCESS, CLOSE, OPEN, ALL = 0x1, 0x10, 0x20, 0xfff
libc = ctypes.CDLL(None)
folder = sysconfig.get_path("stdlib") + "/wsgiref"
opened = os.open(folder, os.O_RDONLY)
fd = libc.inotify_init1(os.O_NONBLOCK)
signal.signal(signal.SIGIO, lambda *_: print("told"))
made = [libc.inotify_add_watch(fd, folder.encode(), mask) != -1
        for mask in (ACCESS, CLOSE, OPEN, ALL)]
try:
    fcntl.fcntl(opened, fcntl.F_NOTIFY, 1 << 31 | 1)
    made.append(True)
except OSError:
    pass
print("ready", flush=True)
if any(made) and select.select([fd], [], [], 5)[0]:
    print("seen")
# What a job does itself it may see.
os.mkdir("/tmp/own")
print(libc.inotify_add_watch(fd, b"/tmp/own", 0x3ce) != -1)
"""


def test_what_others_open(daemon):
    """F13: a job does not see what another one opens and reads of the image,
    of which both have the same files."""
    watching = daemon.submit(WATCH)
    daemon.wait_status(watching, "running", "succeeded")
    while daemon.record(watching)["status"] == "running":
        assert daemon.execute("import wsgiref.handlers")["success"]
    record = daemon.wait(watching)
    assert record["stdout"] == "ready\nTrue\n", record


def test_what_a_request_may_not_ask(takod):
    """X02: no field of a request leads to the container's shape."""
    shape = {"image": "other", "cwd": "/etc", "user": "root", "uid": 0,
             "entrypoint": ["/bin/sh"], "volumes": ["/:/host"],
             "mounts": [{"source": "/", "target": "/host"}],
             "privileged": True, "network_mode": "host", "runtime": "runc",
             "labels": {"a": "b"}, "environment": {"LD_PRELOAD": "/tmp/x"},
             "cap_add": ["ALL"], "security_opt": ["seccomp=unconfined"]}
    status, _, answer = takod.post("/execute", {"code": "1", **shape})
    assert status == 422, answer
    assert {error["loc"][-1] for error in answer["detail"]
            if error["type"] == "extra_forbidden"} == set(shape), answer
