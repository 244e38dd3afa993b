"""
test_ids.py: several takods of one host never have an id or a name in common,
wherever on the host they are.
"""
import os
import signal

import pytest

from lib import host

OWN_NETWORK = ("unshare", "--net", "sh", "-euc",
               'ip link set lo up; exec "$@"', "sh")
NO_RUN = ("unshare", "--mount", "sh", "-euc",
          'mount -t tmpfs -o ro none /run; exec "$@"', "sh")
# Another folder under a path that somebody has.
OTHER_DATA = ("unshare", "--net", "--mount", "sh", "-euc",
              'ip link set lo up; mount -t tmpfs none "$0"; exec "$@"')
UID_BASE = 1700000000
FAR = 1024


def begin(start, within=OWN_NETWORK, uid_base=UID_BASE, **more):
    """One that nobody can reach."""
    return start("oci", "runc", "sqlite", wait=False, within=within, config={
        "uid_base": uid_base, "warm_pool_size": 0, **more})


def served(takod):
    host.wait_for("it serves", lambda: "ready: serving" in takod.log()
                  or takod.proc.poll() is not None)
    assert takod.proc.poll() is None, takod.log()


def refused(takod, *words):
    assert takod.proc.wait(host.PATIENCE) != 0
    for word in words:
        assert word in takod.log()


@pytest.fixture
def first(start):
    takod = begin(start)
    served(takod)
    return takod


def test_networks_of_their_own(start, first):
    """Two that share the host's ids and see no socket of each other."""
    for base in (UID_BASE, UID_BASE + FAR - 1, UID_BASE - FAR + 1):
        refused(begin(start, uid_base=base),
                "ids %d to %d" % (base, base + FAR - 1), "set uid_base")
    refused(begin(start, within=()), "set uid_base")
    served(begin(start, uid_base=UID_BASE + FAR))
    # Nothing is left of one that was killed, whatever it had begun.
    os.kill(first.pid, signal.SIGKILL)
    first.proc.wait()
    served(begin(start))


def test_same_name(start, first):
    """Its name, which containers have too, follows from the path alone."""
    refused(begin(start, within=(*OTHER_DATA, first.data_dir),
                  uid_base=UID_BASE + FAR, data_dir=first.data_dir),
            "or the name", "another data_dir")


def test_nowhere_to_claim(start):
    refused(begin(start, within=NO_RUN), "/run/takod/ids: ", "let root write")
