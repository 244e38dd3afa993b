"""
test_setup.py: tako-vm setup on both engines and runtimes, with and without a
daemon that runs; what fails, and what ends it in the middle.
"""
import json
import os
import shutil
import signal
import subprocess

import pytest

from lib import host, shared
from lib.index import Index
from lib.trial import Trial

FIELDS = {"ok", "version", "configuration", "engine", "image", "daemon",
          "packages", "job", "error", "mend"}


def vm_setup(trial, **more):
    """(exit status, the JSON object, stderr)."""
    code, out, err = trial.vm("setup", "--json", **more)
    answer = json.loads(out)
    assert set(answer) == FIELDS
    assert answer["ok"] is (code == 0)
    assert (answer["error"] is None) is (answer["mend"] is None) is (code == 0)
    return code, answer, err


def failure(trial, error, mend, **more):
    code, answer, err = vm_setup(trial, **more)
    assert code == 1 and answer["job"] is None
    assert error in answer["error"], answer
    assert mend in answer["mend"], answer
    return answer, err


@pytest.mark.parametrize("engine,runtime", [
    ("oci", "runsc"), ("oci", "runc"), ("docker", "runsc"),
    ("docker", "runc")])
def test_a_job_runs(engine, runtime):
    trial = Trial(engine=engine, container_runtime=runtime)
    code, answer, err = vm_setup(trial)
    assert (code, err) == (0, ""), answer
    assert answer["engine"] == engine
    assert answer["image"]["state"] == "present"
    assert answer["daemon"] == "private"
    assert answer["job"]["runtime"] == runtime
    assert answer["job"]["id"].startswith("api-")
    assert answer["packages"] == []
    # The trial was made elsewhere.
    assert os.listdir(trial.data_dir) == []


def test_every_key_of_a_file_goes_along():
    """What the real takod has for itself does not reach the trial."""
    trial = Trial(
        container_runtime="runc", server_host="192.0.2.1",
        api_auth_enabled=True, api_keys=["a-key-that-is-long-enough"],
        control_socket="/nonexistent/takod.sock", control_group="nobody-such",
        database_url="postgresql://me:sesame@192.0.2.1/none",
        job_types=[{"name": "default", "memory_limit": "128m",
                    "shared_code": ["lib/own.py"]}])
    os.mkdir(os.path.join(trial.dir, "lib"))
    trial.program("lib/own.py", "")
    code, answer, err = vm_setup(trial)
    assert code == 0, (answer, err)
    assert answer["daemon"] == "private"


def test_lines_for_people():
    code, out, err = Trial(container_runtime="runc").vm("setup")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == [
        "image", "daemon", "job", "daemon", "Setup"]
    code, out, err = Trial(rootfs="/nonexistent").vm("setup")
    assert (code, out) == (1, "")
    assert err == ("Setup FAILED: rootfs: there is no /nonexistent; correct "
                   "rootfs, or leave the key out: setup then makes an image\n")


def built_image(trial):
    """The finished tree of this run in data_dir/images, not yet current."""
    key = os.path.dirname(shared.rootfs())
    images = os.path.join(trial.data_dir, "images")
    os.mkdir(images)
    os.symlink(key, os.path.join(images, os.path.basename(key)))


def test_the_image_is_made():
    trial = Trial(container_runtime="runc", rootfs=None)
    built_image(trial)
    code, answer, err = vm_setup(trial)
    assert code == 0, (answer, err)
    assert answer["image"] == {
        "name": trial.data_dir + "/images/current/rootfs", "state": "built"}
    assert vm_setup(trial)[1]["image"]["state"] == "present"


def test_the_image_is_made_for_docker():
    trial = Trial(engine="docker", container_runtime="runc",
                  docker_image="tako-setup-test:latest")
    built_image(trial)
    try:
        code, answer, err = vm_setup(trial)
        assert code == 0, (answer, err)
        assert answer["image"] == {"name": "tako-setup-test:latest",
                                   "state": "built"}
    finally:
        shared.docker_api("DELETE", "/images/tako-setup-test:latest?force=1")


def test_the_image_cannot_be_made():
    trial = Trial(rootfs=None)
    with open(os.path.join(trial.data_dir, "images"), "w"):
        pass  # where the folder of images is to be
    answer, err = failure(trial, "image could not be made", "run tako-vm")
    assert answer["image"] is None and "images" in err


@pytest.mark.parametrize("config", [
    {}, {"api_auth_enabled": True, "api_keys": ["a-key-long-enough-for-it"]},
    {"server_host": "0.0.0.0"}], ids=["plain", "keys", "protected"])
def test_in_the_takod_that_runs(start, config):
    takod = start("oci", "runc", config=config)
    trial = Trial(**{**takod.keys, "container_runtime": "runc"})
    code, answer, err = vm_setup(trial)
    assert (code, err) == (0, ""), answer
    assert answer["daemon"] == "running" and takod.alive()
    shown = takod.takoctl("--json", "job", answer["job"]["id"], check=True)
    assert json.loads(shown.stdout)["status"] == "succeeded"


def test_the_takod_that_runs_takes_no_jobs(start):
    takod = start("oci", "runc")
    trial = Trial(**{**takod.keys, "container_runtime": "runc"})
    takod.takoctl("drain", check=True)
    failure(trial, "takod did not run the job", "tako-vm doctor")
    takod.takoctl("resume", check=True)
    assert vm_setup(trial)[0] == 0


def test_runtime_missing():
    failure(Trial(runsc_path="/nonexistent/runsc"),
            "RuntimeUnavailableError: security_mode is strict and runsc does "
            "not run a container", "tako-vm doctor")


def test_docker_socket_missing():
    trial = Trial(rootfs=None).write(
        engine="docker", docker_host="unix:///nonexistent/docker.sock")
    trial.keys["engine"] = "oci"  # nothing of it to look for afterwards
    failure(trial, "/nonexistent/docker.sock", "engine: oci")


def test_configuration_not_valid():
    _, err = failure(Trial(max_workers=0), "configuration is not valid",
                     "tako-vm validate")
    assert "max_workers: must be between" in err


def test_not_root():
    trial = Trial()
    program = os.path.join(trial.dir, "tako-vm")
    shutil.copy(os.path.realpath(shared.program("tako-vm")), program)
    os.chmod(trial.dir, 0o755)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
         program, "-c", trial.file, "setup"], text=True, cwd="/",
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
        env={"PATH": "/usr/bin"})
    assert (done.returncode, done.stdout) == (1, "")
    assert "run it as root (sudo)" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_in_the_middle(number):
    trial = Trial()
    path, marker = trial.hanging_runtime()
    child = trial.write(runsc_path=path).start("setup")
    try:
        host.wait_for("the runtime hangs", lambda: os.path.exists(marker))
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 1
    assert "Setup FAILED: ended by a signal" in err
    trial.nothing_left()


def test_killed_in_the_middle():
    trial = Trial()
    path, marker = trial.hanging_runtime()
    child = trial.write(runsc_path=path).start("setup")
    try:
        host.wait_for("the runtime hangs", lambda: os.path.exists(marker))
    finally:
        child.kill()
        child.communicate()
    # It can clean up nothing; but its takod ends, and what that started.
    host.wait_for("no process is left", lambda: not [
        word for word in trial.left() if "process" in word], 20)


# ---- packages ---------------------------------------------------------------

@pytest.fixture(scope="module")
def index(tmp_path_factory):
    made = Index(str(tmp_path_factory.mktemp("index")))
    made.wheel("tiny")
    made.wait()
    yield made
    made.close()


def typed(index, **keys):
    """What configures a job type with packages from there."""
    return {"package_index_url": index.url + "/simple",
            "network_allow": [index.host], "warm_pool_size": 0,
            "job_types": [{"name": "typed", "requirements": ["tiny"]}],
            **keys}


def made_layers(trial):
    """Those that are whole; what else is there goes when takod starts."""
    return [name for name in os.listdir(os.path.join(
        trial.data_dir, "layers")) if not name.startswith(".")]


def test_packages_are_installed(index, start):
    """By the trial's takod; the real one has them when it starts."""
    trial = Trial(container_runtime="runc", **typed(index))
    code, out, err = trial.vm("setup")
    assert (code, err) == (0, ""), out
    assert "Successfully installed tiny" in out, out
    assert [line.split()[0] for line in out.splitlines()
            if not line.startswith(" ")] == [
                "image", "daemon", "build", "job", "daemon", "Setup"]
    layer, = made_layers(trial)
    before = len(index.log())
    code, answer, err = vm_setup(trial)
    assert code == 0 and answer["packages"] == ["typed"], (answer, err)
    daemon = start("oci", "runc", config={
        **typed(index), "production_mode": True, **{
            key: trial.keys[key]
            for key in ("rootfs", "data_dir", "database_url")}})
    record = daemon.run("import tiny; print(tiny.WHO)", job_type="typed")
    assert record["stdout"] == "tiny\n", record
    assert daemon.get("/job-types/typed/build")[2]["layer"] == layer
    assert len(index.log()) == before


def test_packages_in_the_takod_that_runs(index, start):
    takod = start("oci", "runc", config=typed(index))
    trial = Trial(**{**takod.keys, "container_runtime": "runc"})
    code, answer, err = vm_setup(trial)
    assert code == 0 and answer["packages"] == ["typed"], (answer, err)
    assert answer["daemon"] == "running", answer
    assert takod.get("/job-types/typed")[2]["image_exists"] is True


def test_packages_that_are_not_there(index):
    trial = Trial(container_runtime="runc", **typed(index, job_types=[
        {"name": "typed", "requirements": ["missing-thing"]}]))
    failure(trial, "job type typed: Build failed: ", "setup again")
    answer, _ = failure(trial, "No matching distribution found for missing-",
                        "setup again")
    assert answer["packages"] == [], answer
    assert made_layers(trial) == []


def test_ended_while_packages_are_installed(index):
    trial = Trial(container_runtime="runc", **typed(
        index, package_index_url=index.url + "/hang/simple"))
    child = trial.start("setup")
    try:
        host.wait_for("the index is asked", lambda: index.asked("/hang/"))
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 1
    assert "Setup FAILED: ended by a signal" in err
    trial.nothing_left()
    assert made_layers(trial) == []
