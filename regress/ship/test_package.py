"""
test_package.py: the Debian package. It is built, checked by lintian,
installed in a clean root, tried there, and purged without a trace.
"""
import json
import os
import re
import subprocess

import pytest

from lib import root, shared

# A package is built, and a system around it.
pytestmark = pytest.mark.seconds(2400)

PAGES = {"takod": 8, "takoctl": 8, "tako-vm": 1, "takod.conf": 5,
         "tako-imsg": 7}
USERS = ("_takod_api", "_takod_worker")
LOAD = """
from pathlib import Path
from tako_vm.config import load_config, validate_config_file
config = load_config()
print(config.max_workers, config.data_dir)
print(validate_config_file(Path("/etc/tako_vm/config.yaml")))
"""


@pytest.fixture(scope="module")
def clean():
    return root.copy("package")


@pytest.fixture(scope="module")
def before(clean):
    return clean.files()


@pytest.fixture(scope="module")
def installed(clean, before):
    said = clean.install()
    assert "error" not in said.stderr.lower(), said.stderr
    return clean


def test_lintian():
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on=error,warning",
         "--display-level=>=warning", root.package()[1]],
        capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), (done.stdout,
                                                       done.stderr)


def test_version():
    done = subprocess.run([shared.program("tako-vm"), "version"],
                          capture_output=True, text=True)
    assert root.field("Version") in done.stdout.split()


def test_dependencies_are_computed():
    for library in ("libc6", "libcurl4", "libevent-core", "libpq5",
                    "libseccomp2", "libsqlite3-0", "libyaml-0-2"):
        assert library in root.field("Depends")
    assert {"runsc", "mmdebstrap"} <= set(re.split(
        r", *", root.field("Recommends")))


def test_what_it_installs(installed):
    for name, section in PAGES.items():
        page = "/usr/share/man/man%d/%s.%d.gz" % (section, name, section)
        assert os.path.getsize(installed.inside(page)) > 200
    for path in ("/usr/sbin/takod", "/usr/libexec/takod/tako-init",
                 "/lib/systemd/system/takod.service",
                 "/lib/systemd/system/takod-image.service",
                 "/lib/systemd/system/takod.socket",
                 "/usr/share/takod/takod.example.yaml",
                 "/usr/share/takod/takod-docker.conf",
                 "/usr/share/takod/takod-network.conf",
                 "/usr/share/takod/takod-runc.conf",
                 "/usr/share/takod/takod.lima.yaml",
                 "/usr/share/bash-completion/completions/takoctl",
                 "/usr/share/zsh/site-functions/_tako-vm"):
        assert os.path.isfile(installed.inside(path)), path
    assert os.stat(installed.inside("/var/lib/tako_vm")).st_mode \
        & 0o7777 == 0o711
    wanted = "/etc/systemd/system/multi-user.target.wants/takod.service"
    assert os.path.islink(installed.inside(wanted))
    for user in USERS:
        shown = installed.run("getent", "passwd", user).stdout
        assert re.fullmatch(r"%s:[^:]*:\d+:\d+:[^:]*:/:/usr/sbin/nologin\n"
                            % user, shown), shown


def test_commands(installed):
    checked = installed.run("takod", "-n", "-c", "/etc/tako_vm/config.yaml")
    assert checked.stdout == "Configuration is valid!\n"
    said = installed.run("tako-vm", "validate").stdout
    assert said.startswith("Validating: /etc/tako_vm/config.yaml\n"
                           "Configuration is valid!\n")
    shown = json.loads(installed.run("tako-vm", "config", "--json").stdout)
    assert "/var/lib/tako_vm" in json.dumps(shown)
    # No daemon runs, and that is said.
    status = installed.run("takoctl", "status", check=False)
    assert status.returncode != 0
    assert "/var/lib/tako_vm/takod.sock" in status.stderr
    loaded = installed.run("python3", "-c", LOAD).stdout
    assert loaded == "4 /var/lib/tako_vm\n[]\n"


def test_unit_is_understood(installed):
    done = installed.run("systemd-analyze", "verify", "--man=no",
                         "takod.service", "takod-image.service",
                         "takod.socket", check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_image_is_built(installed):
    """What takod-image.service runs, before takod is started."""
    with open(installed.inside(
            "/lib/systemd/system/takod-image.service")) as file:
        command = re.search(r"(?m)^ExecStart=(.*)$", file.read()).group(1)
    installed.run(*command.split())
    current = installed.inside("/var/lib/tako_vm/images/current")
    rootfs = os.path.join(current, "rootfs")
    assert os.path.exists(os.path.join(rootfs, "usr/bin/python3"))


def test_configuration_is_kept(installed):
    path = installed.inside("/etc/tako_vm/config.yaml")
    with open(path, "a") as file:
        file.write("max_workers: 7\n")
    os.chmod(path, 0o600)
    installed.install()
    with open(path) as file:
        assert "max_workers: 7\n" in file.read()
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_removal_keeps_data_and_purge_does_not(installed, before):
    data = installed.inside("/var/lib/tako_vm/artifacts")
    os.makedirs(data, exist_ok=True)
    installed.run("apt-get", "remove", "-y", "-qq", "takod")
    assert os.path.exists(data)
    assert os.path.exists(installed.inside("/etc/tako_vm/config.yaml"))
    assert not os.path.exists(installed.inside("/usr/sbin/takod"))
    installed.run("apt-get", "purge", "-y", "-qq", "takod")
    assert sorted(installed.files() - before) == []
    assert sorted(before - installed.files()) == []
    for user in USERS:
        assert installed.run("getent", "passwd", user,
                             check=False).returncode == 2
        assert installed.run("getent", "group", user,
                             check=False).returncode == 2
