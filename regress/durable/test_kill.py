"""
A short run of kill.py on each store. The seed of a failure is in its output;
the same choices come again with regress/durable/kill.py --seed.
"""
import importlib.util
import os

import pytest

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
