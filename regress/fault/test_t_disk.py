"""
test_t_disk.py: rows T17, T25 and T36 of the fault catalogue: volumes that are
full, read-only or broken under the database, the state folder, the artifacts
and the log. ENOSPC comes from small file systems too (test_t_store.py,
test_t_start.py); EIO and EROFS from the build with failpoints alone, whose
writes to some files fail: without a device mapper a disk cannot be made to
fail and be well again, and no file system becomes read-only while files are
open on it for writing.
"""
import errno
import os
import re
import subprocess

import pytest

from lib import host
from lib.failpoints import tapped_takod
from lib.fault import Client, Waiting, fill

CONFIG = {"warm_pool_size": 1, "max_workers": 2, "queue_wait_timeout": 1,
          "retry_base_delay": 0.1, "drain_timeout": 5}
ERRORS = [errno.ENOSPC, errno.EIO, errno.EROFS]
NAMES = [errno.errorcode[number] for number in ERRORS]
each_error = pytest.mark.parametrize("number", ERRORS, ids=NAMES)
WRITE = "open('/output/a.bin', 'wb').write(b'x' * 5000)"


@pytest.fixture(scope="module")
def place(shared_things):
    takod = tapped_takod("fault-disk", CONFIG)
    yield takod
    takod.points.clear()
    takod.close()


@pytest.fixture
def client(place):
    """The daemon of all tests here; each leaves it well, without a start."""
    pid = place.pid
    one = Client(place, log=place.tap_log)
    yield one
    place.points.clear()
    host.wait_for("it is well", one.healthy, 45)
    record = one.succeeds(one.must_submit(more=WRITE), 60)
    assert [a["name"] for a in record["artifacts"]] == ["a.bin"]
    one.check()
    assert place.pid == pid and place.alive()


def failed(place):
    host.wait_for("something could not be written", place.points.files_failed)


@each_error
def test_t17_database(place, client, number):
    """Submits are refused, what ran is committed later."""
    running = client.must_submit(4, more=WRITE)
    place.wait_code(running)
    place.points.files("takod.db", number)
    host.wait_for("a submit is refused", lambda: client.submit()[0] == 503)
    with Waiting(client, 2.5):
        client.refused()
        host.wait_for("it has ended", lambda: not [
            w for w in place.workers() if w["state"] == "running"])
    assert not client.healthy()
    failed(place)
    place.points.clear()
    host.wait_for("taken again", lambda: client.submit()[0] == 200, 20)
    client.succeeds(running)


@each_error
@pytest.mark.parametrize("where", ["/spool/", "/artifacts/"])
def test_t25_artifacts(place, client, where, number):
    """Where they arrive and where they are kept: never OK without them."""
    place.points.files(where, number)
    jobs = [client.must_submit(more=WRITE) for _ in range(2)]
    failed(place)
    if where == "/artifacts/":
        for job in jobs:
            record = client.ended(job)
            assert record["status"] == "failed", record
            assert record["error"]["type"] == "internal_error", record
            assert record["artifacts"] == []
    place.points.clear()
    for job in jobs:
        record = client.ended(job, 60)
        kept = [a["name"] for a in record["artifacts"]]
        assert (record["status"] == "succeeded") == (kept == ["a.bin"]), record


@each_error
def test_t25_state_directory(place, client, number):
    """All of it: nothing is taken that could not be kept, and it comes back."""
    place.points.files(place.data_dir, number)
    host.wait_for("a submit is refused", lambda: client.submit()[0] == 503)
    with Waiting(client, 1):
        client.refused()
    assert place.takoctl("status").returncode == 0
    failed(place)


# ---- T36: the log -----------------------------------------------------------

LINE = re.compile(r"\S+ (DEBUG|INFO|WARNING|ERROR|CRITICAL) tako\S+: .")


@each_error
def test_t36_log_file(place, client, number):
    """Lines are lost, jobs are not; then the log says how many were."""
    place.points.files(place.log_path, number)
    jobs = [client.must_submit() for _ in range(3)]
    for job in jobs:
        client.succeeds(job)
    failed(place)
    size = len(place.log())
    place.points.clear()
    client.succeeds(client.must_submit())
    assert "log lines were lost" in place.log()[size:]
    assert "job %s: succeeded" % jobs[0] not in place.log()


def test_t36_log_volume_full(start):
    """A file that grew until its volume was full, and one that is gone."""
    volume = os.path.join(host.scratch(), "log-volume")
    os.makedirs(volume)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755",
                    "none", volume], check=True)
    try:
        takod = start("oci", "runc", config=CONFIG)
        client = Client(takod)
        takod.stop()
        takod.log_path = os.path.join(volume, "log")
        takod.start()
        filler = fill(volume, 1000)
        for job in [client.must_submit() for _ in range(5)]:
            client.succeeds(job)
        os.unlink(filler)
        client.succeeds(client.must_submit())
        assert "log lines were lost" in takod.log()
        # No line has the rest of another one in it.
        torn = [line for line in takod.log().splitlines()
                if not LINE.match(line)]
        assert len(torn) <= 3, torn  # a process may have torn its last one
        lost = [line for line in takod.log().splitlines()
                if "lines were lost" in line]
        # It may stand behind what another process has torn.
        assert all(LINE.search(line) for line in lost), lost
        os.unlink(takod.log_path)
        for job in [client.must_submit() for _ in range(3)]:
            client.succeeds(job)
        with Waiting(client, 1):
            pass
        client.check()
        takod.stop()
    finally:
        subprocess.run(["umount", "-l", volume], check=True)
