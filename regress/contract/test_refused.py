"""
test_refused.py: a job whose type needs what takod cannot give ends with a
config_error that names it; it never runs without.
"""
import pytest

NEEDS = {
    "network": ({"network_enabled": True}, "needs a network"),
    "gpu": ({"gpu": {"enabled": True, "vendor": "nvidia"}}, "needs a GPU"),
    "packages": ({"requirements": ["numpy"]}, "needs packages"),
}


@pytest.fixture(scope="module")
def daemon(shared_things):
    from conftest import end, make
    made = make("oci", "runc", config={"job_types": [
        {"name": name, **keys} for name, (keys, _) in NEEDS.items()]})
    yield made
    end(made)


@pytest.mark.parametrize("name", NEEDS)
def test_refused(daemon, name):
    answer = daemon.execute("print('it ran')", job_type=name)
    assert answer["success"] is False and "it ran" not in answer["stdout"]
    record = daemon.record(answer["execution_id"])
    assert record["status"] == "failed", record
    assert record["error"]["type"] == "config_error", record
    assert NEEDS[name][1] in record["error"]["message"], record


def test_others_run(daemon):
    assert daemon.execute("print('it ran')")["stdout"] == "it ran\n"
