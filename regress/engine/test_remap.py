"""
test_remap.py: a Docker Engine with userns-remap, whose containers have 65,536
ids of their own: those of takod's range are none of them.
"""
import os
import subprocess

import pytest

from lib import host, shared
from lib.dockerd import Dockerd

USER = "takod-remap"
CODE = """
import os, threading
with open("/proc/self/uid_map") as file:
    print(os.getuid(), *file.read().split())
with open("/output/made", "w") as file:
    file.write("x" * 70000)
thread = threading.Thread(target=print, args=("thread",))
thread.start(), thread.join()
"""


@pytest.fixture(scope="module")
def user():
    """Whose subordinate ids are given by useradd(8)."""
    # A run that was killed left it.
    subprocess.run(["userdel", USER], stderr=subprocess.DEVNULL, check=False)
    subprocess.run(["useradd", "--system", "--add-subids-for-system", USER],
                   check=True)
    try:
        yield USER
    finally:
        subprocess.run(["userdel", USER], check=True)


@pytest.fixture(scope="module")
def engine(user):
    engine = Dockerd(os.path.join(host.scratch(), "docker-remap"),
                     remap=user)
    try:
        shared.docker_image_build(engine)
        yield engine
    finally:
        engine.stop()


@pytest.mark.parametrize("runtime", ["runc", "runsc"])
def test_jobs(start, engine, runtime):
    daemon = start(engine="docker", runtime=runtime, config={
        "docker_host": engine.docker_host, "warm_pool_size": 2,
        "docker_image": "code-executor:latest"})
    seen = set()
    for _ in range(2):
        record = daemon.run(CODE)
        assert record["status"] == "succeeded", record
        first, thread = record["stdout"].splitlines()
        uid, *ids = map(int, first.split())
        assert thread == "thread" and 0 < uid < 65536
        if runtime == "runc":
            assert ids[0] == 0 and ids[1] != 0 and ids[2] < 1 << 17
        seen.add(uid)
        [made] = record["artifacts"]
        assert made["size_bytes"] == 70000
    # Limits are counted by user: one for each slot where the kernel counts.
    assert len(seen) == (2 if runtime == "runc" else 1)
