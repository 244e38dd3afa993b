"""
test_real.py: the built-in job types with packages, built from the registry
that this machine's pip is set up for, and used, under gVisor.
"""
import os
import socket
import subprocess
import urllib.parse

import pytest

PANDAS = ("import numpy, pandas\n"
          "frame = pandas.DataFrame({'a': numpy.arange(4)})\n"
          "print(int(frame.a.sum()), numpy.__file__)\n")
SKLEARN = ("from sklearn.linear_model import LinearRegression\n"
           "model = LinearRegression().fit([[0], [1], [2]], [0, 2, 4])\n"
           "print(round(float(model.predict([[3]])[0])))\n")


def pip(setting):
    done = subprocess.run(["pip", "config", "get", setting],
                          capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def daemon(shared_things):
    from conftest import end, make
    index = os.environ.get("PIP_INDEX_URL") or pip("global.index-url") \
        or "https://pypi.org/simple"
    hosts = {urllib.parse.urlsplit(index).hostname, "files.pythonhosted.org"}
    # A mirror may stand in a private network.
    addresses = {info[4][0] for host in hosts
                 for info in socket.getaddrinfo(host, 443)}
    made = make("oci", "runsc", config={
        "package_index_url": index, "network_allow": sorted(addresses),
        "package_certificates_file": os.environ.get("PIP_CERT"),
        "warm_pool_size": 0, "production_mode": True})
    yield made
    end(made)


@pytest.mark.parametrize("name,code,first", [
    ("data-processing", PANDAS, "6 /.tako/packages/numpy"),
    ("ml-inference", SKLEARN, "6")], ids=["pandas", "scikit-learn"])
def test_built_in(daemon, name, code, first):
    path = "/job-types/%s/build" % name
    status, _, answer = daemon.post(path, timeout=170)
    assert status == 200, answer
    lines = daemon.get(path)[2]["lines"]
    assert any("Successfully installed" in line for line in lines), lines
    record = daemon.run(code, job_type=name)
    assert record["stdout"].startswith(first), record
    assert record["timing"]["dep_install_ms"] == 0, record
