"""
test_t_random.py: a short run of random_faults.py (row T38) on each store and
engine. The seed of a failure is in its output; make soak SEED=n has it again.
"""
import importlib.util
import os

import pytest

from lib.fault import some_seed

HERE = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location(
    "random_faults", os.path.join(HERE, "random_faults.py"))
faults = importlib.util.module_from_spec(spec)
spec.loader.exec_module(faults)

SECONDS = 10


@pytest.mark.parametrize("pair", faults.PAIRS)
def test_t38_random_faults(pair):
    seed = some_seed()
    print("seed %d" % seed)
    problems = faults.Trial(pair, seed, print).run(SECONDS)
    assert problems == [], "seed %d\n%s" % (seed, "\n".join(problems))
