"""conftest.py: a sandbox without an engine for the tests of this folder."""
import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from frames import Box  # noqa: E402
from worker import Worker  # noqa: E402


def late(number, stack):
    raise TimeoutError("a step took too long")


@pytest.fixture
def box(tmp_path):
    """A function that makes a Box; all of them end with the test."""
    boxes = []
    former = signal.signal(signal.SIGALRM, late)

    def make(**more):
        boxes.append(Box(tmp_path / str(len(boxes)), **more))
        return boxes[-1]
    yield make
    for made in boxes:
        made.close()
    signal.signal(signal.SIGALRM, former)


@pytest.fixture
def worker(tmp_path):
    """A function that makes a Worker; all of them end with the test."""
    workers = []

    def make(**caps):
        folder = tmp_path / ("worker%d" % len(workers))
        workers.append(Worker(folder, **caps))
        return workers[-1]
    yield make
    for made in workers:
        made.close()
