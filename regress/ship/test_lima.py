"""
test_lima.py: the Lima file as far as it shows without Lima: only what its
template documents is in it, and what it runs in a fresh Debian installs takod.
"""
import os
import shutil
import subprocess

import pytest
import yaml

from lib import root, shared

# A package is built, and a system around it.
pytestmark = pytest.mark.seconds(2400)

# Of Lima's documented template, what the file uses, with each one's form.
KEYS = {
    "minimumLimaVersion": str, "base": list, "cpus": int, "memory": str,
    "disk": str, "param": dict, "mounts": list, "containerd": dict,
    "portForwards": list, "provision": list, "probes": list, "message": str,
}
INNER = {
    "mounts": {"location", "mountPoint", "writable"},
    "portForwards": {"guestIP", "guestPort", "hostIP", "hostPort"},
    "provision": {"mode", "script"},
    "probes": {"mode", "description", "script", "hint"},
}


@pytest.fixture(scope="module")
def lima():
    with open(os.path.join(shared.TOP, "etc", "takod.lima.yaml")) as file:
        return yaml.safe_load(file)


def test_form(lima):
    assert {key: type(value) for key, value in lima.items()} == KEYS
    for name, keys in INNER.items():
        assert [set(entry) for entry in lima[name]] == [keys] * len(
            lima[name])
    assert lima["base"] == ["template://_images/debian-12"]
    assert lima["provision"][0]["mode"] == "system"
    assert lima["probes"][0]["mode"] == "readiness"


def test_only_loopback(lima):
    for forward in lima["portForwards"]:
        assert forward["hostIP"] == forward["guestIP"] == "127.0.0.1"
        assert forward["hostPort"] == forward["guestPort"] == 8000
    assert not any(mount["writable"] for mount in lima["mounts"])


@pytest.mark.parametrize("part", ["provision", "probes"])
def test_scripts_are_shell(lima, part):
    for entry in lima[part]:
        assert entry["script"].startswith("#!/bin/bash\n")
        subprocess.run(["bash", "-n"], input=entry["script"], text=True,
                       check=True)


def test_param_is_used(lima):
    """Lima refuses a file with a parameter that nothing in it names."""
    for name in lima["param"]:
        assert any("PARAM_" + name in entry["script"]
                   for entry in lima["provision"])


def test_provision(lima):
    """From a fresh Debian with the checkout mounted to takod installed."""
    guest = root.copy("lima")
    script = guest.inside("/provision")
    with open(script, "w") as file:
        file.write(lima["provision"][0]["script"])
    os.chmod(script, 0o755)
    source = guest.inside("/mnt/takod")
    shutil.copytree(shared.TOP, source, symlinks=True,
                    ignore=shutil.ignore_patterns("build*", ".git"))
    guest.run("/provision")
    assert guest.run("tako-vm", "validate").returncode == 0
    assert not os.path.exists(os.path.join(source, "build"))
    assert not [name for name in os.listdir(guest.inside("/var/tmp"))
                if name.startswith("takod-")]
    # At the machine's next start it is there already.
    shutil.rmtree(source)
    guest.run("/provision")
