"""
stream_fixtures.py: a sandbox without an engine, for the tests of this folder.
(No conftest.py: a second module of that name would hide the first.)
"""
import pytest

from stream_frames import Box
from stream_worker import Worker


@pytest.fixture
def box(tmp_path):
    """A function that makes a Box; all of them end with the test."""
    boxes = []

    def make(**more):
        boxes.append(Box(tmp_path / str(len(boxes)), **more))
        return boxes[-1]
    yield make
    for made in boxes:
        made.close()


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
