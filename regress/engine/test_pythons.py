"""
python_version: job types pick an image by it, on both engines; what is not
there is an error that says what is, and the command that makes it.
"""
import json
import os
import subprocess

import pytest

from lib import shared
from test_image import builder  # noqa: F401

TYPES = [{"name": "new", "python_version": "3.13", "warm_pool_size": 0},
         {"name": "none", "python_version": "3.12"},
         {"name": "odd", "python_version": "3.1/../../x"}]
# The first one has to make the image.
pytestmark = pytest.mark.seconds(2400)
SHOW = "import sys\nprint('%d.%d' % sys.version_info[:2])\n"


def takoctl(*words, config=None, check=True):
    done = subprocess.run(
        [shared.program("takoctl"), "-c", config or shared.image_config(),
         "image", *words], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=500)
    assert done.returncode == 0 or not check, done.stderr
    return done


@pytest.fixture(scope="module")
def images(shared_things):
    """The folder of images, with another Python's; built once a checkout."""
    shared.rootfs()
    takoctl("build", "--python", "3.13")
    return os.path.join(os.path.dirname(shared.image_config()), "images")


@pytest.mark.parametrize("runtime", ["runsc", "runc"])
def test_of_debian(start, images, runtime):
    daemon = start("oci", runtime, config={
        "warm_pool_size": 0, "job_types": TYPES})
    # Not there yet.
    record = daemon.run(SHOW, job_type="new")
    assert record["status"] == "failed"
    assert record["error"]["type"] == "config_error"
    assert record["error"]["message"] == (
        "no image has python_version 3.13; there are: 3.11; make others "
        "(3.9, 3.11 and 3.13) with: takoctl image build --python X.Y")
    assert not daemon.get("/job-types/new")[2]["image_exists"]
    os.symlink(images, daemon.data_dir + "/images")
    assert daemon.get("/job-types/new")[2]["image_exists"]
    assert daemon.run(SHOW, job_type="new")["stdout"] == "3.13\n"
    assert daemon.run(SHOW)["stdout"] == "3.11\n"
    for name in "none", "odd":
        record = daemon.run(SHOW, job_type=name)
        assert record["error"]["type"] == "config_error"
        assert "there are: 3.11, 3.13; make" in record["error"]["message"]


def test_import_ahead(start, images):
    """preload knows no version by name."""
    daemon = start("oci", "runc", config={"warm_pool_size": 0, "job_types": [
        {"name": "new", "python_version": "3.13",
         "preload": ["decimal", "none"]}]})
    os.symlink(images, daemon.data_dir + "/images")
    code = "import sys\nprint('_decimal' in sys.modules, sys.path)\n"
    record = daemon.run(code, job_type="new")
    assert record["takod"]["preload"]["failed"] == ["none"], record
    assert record["stdout"].startswith("True ") and "/tmp" not in \
        record["stdout"]


def test_in_docker(start, images, tmp_path):
    config = str(tmp_path / "takod.yaml")
    with open(config, "w") as file:
        file.write("data_dir: %s\nengine: docker\ndocker_host: %s\n" % (
            json.dumps(os.path.dirname(images)),
            json.dumps(shared.dockerd().docker_host)))
    daemon = start("docker", "runc", config={
        "warm_pool_size": 0, "job_types": TYPES})
    record = daemon.run(SHOW, job_type="none")
    assert record["error"]["type"] == "config_error"
    assert '"takoctl image build", for another python_version (3.9, 3.11 ' \
        'and 3.13) with --python X.Y' in record["error"]["message"]
    takoctl("build", "--python", "3.13", config=config)
    assert daemon.run(SHOW, job_type="new")["stdout"] == "3.13\n"
    assert daemon.run(SHOW)["stdout"] == "3.11\n"
    rows = json.loads(takoctl("list", "--json", config=config).stdout)
    assert [(r["name"], r["python"], r["current"]) for r in rows
            if r["engine"] == "docker"] == [
        ("code-executor:latest", "3.11", True),
        ("code-executor:python3.13", "3.13", True)]
    takoctl("remove", "code-executor:python3.13", config=config)
    rows = json.loads(takoctl("list", "--json", config=config).stdout)
    assert len([r for r in rows if r["engine"] == "docker"]) == 1


def test_list_and_remove(builder):
    """As of the default one; here mmdebstrap is a stand-in."""
    status, _, err = builder.run("build", "--python", "3.12")
    assert status == 64
    assert "no Debian with Python 3.12; there are those with 3.9, 3.11 and " \
        "3.13" in err
    assert builder.run("build", "--python")[0] == 64
    for python in "3.11", "3.13", "3.9":
        assert builder.run("build", "--python", python)[0] == 0
    assert builder.built() == 3
    assert builder.run("build")[0] == 0 and builder.built() == 3
    rows = json.loads(builder.run("list", "--json")[1])
    assert [(r["python"], r["suite"]) for r in rows[:1]] == [
        ("3.11", "bookworm")]
    assert {(r["python"], r["suite"], r["current"]) for r in rows} == {
        ("3.11", "bookworm", True), ("3.13", "trixie", True),
        ("3.9", "bullseye", True)}
    key = os.readlink(builder.images + "/python3.13")
    assert key[:12] in builder.run("list")[1]
    assert builder.run("remove", "python3.13")[0] == 0
    assert builder.run("remove", "python3.13")[0] == 66
    assert not os.path.lexists(builder.images + "/python3.13")
    assert not os.path.exists(builder.images + "/" + key)
    assert builder.run("remove", "current")[0] == 0
    assert builder.run("remove", "python../../x")[0] == 66
    assert builder.run("remove", os.readlink(
        builder.images + "/python3.9"))[0] == 0
    assert builder.names() == ["lock"]
