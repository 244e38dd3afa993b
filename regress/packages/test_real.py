"""
test_real.py: the built-in job types with packages, built from the registry
that this machine's pip is set up for, and used, under gVisor.
"""
import pytest

from lib import registry

# What a registry and a loaded machine may take.
pytestmark = pytest.mark.seconds(1200)
PANDAS = ("import numpy, pandas\n"
          "frame = pandas.DataFrame({'a': numpy.arange(4)})\n"
          "print(int(frame.a.sum()), numpy.__file__)\n")
SKLEARN = ("from sklearn.linear_model import LinearRegression\n"
           "model = LinearRegression().fit([[0], [1], [2]], [0, 2, 4])\n"
           "print(round(float(model.predict([[3]])[0])))\n")


@pytest.fixture(scope="module")
def daemon(shared_things):
    from conftest import end, make
    made = make("oci", "runsc", config={
        **registry.keys(), "warm_pool_size": 0, "production_mode": True})
    yield made
    end(made)


@pytest.mark.parametrize("name,code,first", [
    ("data-processing", PANDAS, "6 /.tako/packages/numpy"),
    ("ml-inference", SKLEARN, "6")], ids=["pandas", "scikit-learn"])
def test_built_in(daemon, name, code, first):
    path = "/job-types/%s/build" % name
    status, _, answer = daemon.post(path, timeout=380)
    assert status == 200, answer
    lines = daemon.get(path)[2]["lines"]
    assert any("Successfully installed" in line for line in lines), lines
    record = daemon.run(code, job_type=name)
    assert record["stdout"].startswith(first), record
    assert record["timing"]["dep_install_ms"] == 0, record
