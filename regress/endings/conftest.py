"""
conftest.py: after each test of an ending the same daemon is alive, the next
job runs, and what the job had is gone.
"""
import pytest

from lib import host


@pytest.fixture(autouse=True)
def survives(combo):
    before = combo.pid, combo.children("tako-api")
    yield
    assert combo.alive(), combo.log()[-3000:]
    assert (combo.pid, combo.children("tako-api")) == before
    assert combo.get("/health")[0] == 200
    answer = combo.execute("print(6 * 7)")
    assert answer["stdout"] == "42\n" and answer["exit_code"] == 0, answer
    host.wait_for("no job is running", lambda:
                  combo.stats()["running"] == 0, 10)
