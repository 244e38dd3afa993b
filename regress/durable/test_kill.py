"""
A short run of kill.py on each store. The seed of a failure is in its output;
the same choices come again with regress/durable/kill.py --seed.
"""
import glob
import importlib.util
import os

import pytest

from lib import host
from lib.fault import some_seed

HERE = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location(
    "kill", os.path.join(HERE, "kill.py"))
kill = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kill)

MOMENTS = 12


@pytest.mark.parametrize("store,runtime", [("sqlite", "runsc"),
                                           ("pg", "runc")])
def test_kill(store, runtime):
    """Rows T01, T02, T03, T04, T05 of the fault catalogue."""
    seed = some_seed()
    print("seed %d" % seed)
    problems = kill.Trial(store, runtime, seed, print).run(MOMENTS)
    assert problems == [], "seed %d" % seed


@pytest.mark.parametrize("runtime", ["runsc", "runc"])
def test_killed_while_it_tries_the_runtime(start, runtime):
    """The next life starts all the same, and removes what that one left."""
    daemon = start(runtime=runtime, config={"warm_pool_size": 0})
    probes = daemon.bundles + "/*-probe*"
    daemon.stop()
    daemon.start(wait=False)
    left = host.wait_for("it tries the runtime", lambda: glob.glob(probes),
                         every=0.001)
    [api] = daemon.children("tako-api")
    daemon.kill9()
    host.wait_for("its port is free",
                  lambda: not os.path.exists("/proc/%d" % api))
    daemon.start()
    assert not set(left) & set(glob.glob(probes))
