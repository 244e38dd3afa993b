"""
The Python package: what a program of the reference document does with it.
"""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lib import shared

sys.path.insert(0, os.path.join(shared.TOP, "python"))
from tako_vm.config import (  # noqa: E402
    ConfigurationError, load_config, validate_config_file)

FILE = """\
max_workers: 7
data_dir: /var/lib/elsewhere
database_url: postgresql://u:secret@db/x
api_keys: [0123456789abcdef]
container_limits:
  pids_limit: 50
job_types:
  - name: small
    memory_limit: 64m
    environment: {A: b}
  - name: wide
    gpu: {enabled: true, vendor: nvidia, count: 2}
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("TAKO_VM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TAKO_VM_COMMAND", shared.program("tako-vm"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_as_the_document_has_it(place):
    Path("tako_vm.yaml").write_text(FILE)
    assert validate_config_file(Path("tako_vm.yaml")) == []
    config = load_config()
    assert (config.max_workers, len(config.job_types)) == (7, 2)
    assert config.data_dir == Path("/var/lib/elsewhere")
    assert config.container_limits.pids_limit == 50
    assert config.container_limits.nofile_soft == 256
    small, wide = config.job_types
    assert (small.name, small.memory_limit, small.environment,
            small.gpu.enabled) == ("small", "64m", {"A": "b"}, False)
    assert (wide.gpu.enabled, wide.gpu.vendor, wide.gpu.count) == (
        True, "nvidia", 2)
    assert config.get("max_timeout") == config.max_timeout == 300
    assert config.get("nothing", 5) == 5
    # As they are, for the program that asks; not where all of it is printed.
    assert config.database_url == "postgresql://u:secret@db/x"
    assert config.api_keys == ["0123456789abcdef"]
    assert "secret" not in repr(config) and "0123" not in repr(config)
    with pytest.raises(AttributeError):
        config.max_worker


def test_defaults_and_environment(place, monkeypatch):
    config = load_config()
    assert config.data_dir == place / ".tako_vm" and config.job_types == []
    assert config.seccomp_profile_path is None
    monkeypatch.setenv("TAKO_VM_DATA_DIR", "/x/y")
    assert load_config().data_dir == Path("/x/y")


def test_every_error_of_a_file(place):
    Path("bad.yaml").write_text("max_workers: 0\n\nmax_worker: 3\n")
    errors = validate_config_file("bad.yaml")
    assert len(errors) == 2, errors
    assert errors[0].startswith("bad.yaml:1:") and "max_workers" in errors[0]
    assert errors[1].startswith("bad.yaml:3:") and "max_workers" in errors[1]
    with pytest.raises(ConfigurationError) as caught:
        load_config("bad.yaml")
    assert caught.value.errors == errors


def test_files_that_cannot_be_read(place):
    assert len(validate_config_file("none.yaml")) == 1
    with pytest.raises(ConfigurationError, match="none.yaml"):
        load_config(Path("none.yaml"))
    Path("-c").write_text("max_workers: 3\n")
    assert validate_config_file("-c") == []


def test_no_command(monkeypatch):
    monkeypatch.setenv("TAKO_VM_COMMAND", "/nowhere/tako-vm")
    with pytest.raises(ConfigurationError, match="/nowhere/tako-vm"):
        load_config()


def test_installed(place):
    subprocess.run(["make", "-s", "-C", shared.TOP, "install-python",
                    "DESTDIR=%s" % (place / "root"), "PYTHONDIR=/lib"],
                   check=True)
    done = subprocess.run(
        [sys.executable, "-I", "-c",
         "import sys; sys.path.insert(0, 'root/lib')\n"
         "from tako_vm.config import load_config\n"
         "print(load_config().max_workers)"],
        stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "4\n"
