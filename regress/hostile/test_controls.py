"""
test_controls.py: K16, that the profile is not too tight: CPython's own tests
of what is nearest to the kernel, as Debian ships them, under runc; numpy and
pandas on both engines and both runtimes. What programs commonly do is in
jobs/K16.py.
"""
import os
import shutil

import pytest

from lib import environment, shared

SUITE = "/usr/lib/python3.11/test"
# Run at once, each as long as the other. What they need beside themselves.
HALVES = (
    ["test_posix", "test_mmap", "test_select", "test_epoll", "test_fcntl",
     "test_resource", "test_threading.ThreadTests"],
    ["test_os", "test_thread", "test_tempfile"],
)
BESIDE = ["lock_tests.py", "mapping_tests.py", "tf_inherit_check.py"]
# Tests that meet what is meant to be.
KNOWN = {
    # /tmp is noexec, and so is what is mapped from there.
    "test.test_mmap.MmapTests.test_access_parameter",
    # A file may not be of any size.
    "test.test_resource.ResourceTest.test_fsize_ismax",
    # The id of a slot is no user of the image.
    "test.test_posix.PosixTester.test_getgrouplist",
}
RUN_SUITE = """
import json, os, sys, test, unittest
from test import support
test.__path__.append('/app/shared_code/suite')
support.use_resources = []
os.chdir('/tmp')
result = unittest.TestResult()
unittest.defaultTestLoader.loadTestsFromNames(
    ['test.' + name for name in %r]).run(result)
with open('/output/result.json', 'w') as file:
    json.dump({'run': result.testsRun, 'failed': {
        test.id(): text[-600:] for test, text in
        result.failures + result.errors}}, file)
"""
PACKAGES = """numpy==2.0.2
pandas==2.2.3
python-dateutil==2.9.0.post0
pytz==2024.2
tzdata==2024.2
six==1.16.0
"""
FOLDERS = ("numpy", "numpy.libs", "pandas", "dateutil", "pytz", "six.py")
RUN_SITE = """
import sys
sys.path.insert(0, '/app/shared_code/site')
import numpy, pandas
a = numpy.arange(40000.0).reshape(200, 200)
frame = pandas.DataFrame({'k': ['a', 'b'] * 50, 'n': range(100)})
frame.to_csv('/output/frame.csv')
print(int((a @ a.T).trace()), frame.groupby('k').n.sum().to_dict(),
      len(pandas.read_csv('/output/frame.csv')),
      numpy.linalg.matrix_rank(a), len(numpy.fft.fft(a[0])))
"""
LIMITS = {"nproc_soft": 200, "nproc_hard": 200, "pids_limit": 200}


def copy_suite(folder):
    os.mkdir(folder)
    names = {name.split(".")[0] + ".py" for half in HALVES for name in half}
    for name in sorted(names) + BESIDE:
        shutil.copy(os.path.join(SUITE, name), folder)


def copy_site(folder):
    interpreter = environment.python(
        os.path.join(shared.build(), "numbers"), PACKAGES)
    site = os.path.join(os.path.dirname(os.path.dirname(interpreter)),
                        "lib", "python3.11", "site-packages")
    os.mkdir(folder)
    for name in FOLDERS:
        path = os.path.join(site, name)
        if os.path.isdir(path):
            shutil.copytree(path, os.path.join(folder, name), ignore=(
                shutil.ignore_patterns("tests", "__pycache__", "*.pyi")))
        else:
            shutil.copy(path, folder)


@pytest.fixture(scope="module")
def controls(combo):
    before = {key: combo.keys.get(key)
              for key in ("job_types", "container_limits")}
    copy_suite(os.path.join(combo.dir, "suite"))
    copy_site(os.path.join(combo.dir, "site"))
    combo.write_config(container_limits=LIMITS, job_types=[
        {"name": name, "shared_code": [name], "memory_limit": "1g",
         "timeout": 120} for name in ("suite", "site")])
    combo.takoctl("reload", check=True)
    yield combo
    combo.write_config(**before)
    combo.takoctl("reload", check=True)
    for name in ("suite", "site"):
        shutil.rmtree(os.path.join(combo.dir, name))


def test_controls(controls):
    """K16"""
    numbers = controls.submit(RUN_SITE, job_type="site", timeout=110)
    halves = [controls.submit(RUN_SUITE % half, job_type="suite", timeout=110)
              for half in HALVES if controls.runtime == "runc"]
    record = controls.wait(numbers, 120)
    assert record["status"] == "succeeded", record["stderr"]
    assert record["stdout"] == (
        "21332533340000 {'a': 2450, 'b': 2500} 100 2 200\n"), record
    for half, job in zip(HALVES, halves):
        record = controls.wait(job, 120)
        assert record["status"] == "succeeded", record["stderr"][-2000:]
        failed = record["output"]["failed"]
        assert set(failed) <= KNOWN, failed
        assert record["output"]["run"] > 150, record["output"]
