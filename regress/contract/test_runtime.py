"""
Which runtime runs a job: decided by really running it, at start. strict means
gVisor or nothing; permissive falls back, and says so everywhere.
"""
import http.client
import os
import subprocess

import pytest

from lib import host, shared
from lib.host import free_port

HINT = "RuntimeUnavailableError"


@pytest.fixture(params=("missing", "broken"))
def no_runsc(request, tmp_path):
    """A runsc_path that does not work."""
    if request.param == "missing":
        return str(tmp_path / "none")
    path = tmp_path / "runsc"
    path.write_text("#!/bin/sh\ncase $* in *--version*) "
                    "echo runsc version 1 ;; *) exit 1 ;; esac\n")
    path.chmod(0o755)
    return str(path)


def test_strict_without_gvisor_does_not_start(no_runsc, tmp_path):
    # X06
    port = free_port()
    config = tmp_path / "takod.yaml"
    config.write_text(
        "server_port: %d\ndata_dir: %s/data\nengine: oci\nrootfs: %s\n"
        "database_url: sqlite:///%s/data/takod.db\nsecurity_mode: strict\n"
        "container_runtime: runsc\nrunsc_path: %s\n" % (
            port, tmp_path, shared.rootfs(), tmp_path, no_runsc))
    child = subprocess.Popen(
        [shared.program("takod"), "-c", str(config)], cwd=tmp_path,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True)
    host.note_daemon(child.pid)
    try:
        output = child.communicate(timeout=60)[0].decode()
    except subprocess.TimeoutExpired:
        child.terminate()
        output = child.communicate(timeout=30)[0].decode()
        raise AssertionError("it runs on:\n" + output) from None
    assert child.returncode not in (0, -11, -6), output
    assert HINT in output
    assert "install" in output.lower()
    with pytest.raises(OSError):
        http.client.HTTPConnection("127.0.0.1", port, timeout=2).connect()
    assert not [p for p in host.processes()
                if any(str(tmp_path) in word for word in p.argv)
                and p.pid != os.getpid() and p.comm.startswith(host.OURS)
                and not p.comm.startswith("python3")]


def test_permissive_falls_back_loudly(start, no_runsc):
    takod = start("oci", "runsc", config={
        "security_mode": "permissive", "runsc_path": no_runsc})
    record = takod.run("import os; print(os.uname().release)")
    assert record["runtime"] == "runc"
    assert record["stdout"].strip() == os.uname().release
    health = takod.get("/health")[2]
    assert health["gvisor_available"] is False
    assert "permissive" in takod.log().lower()


def test_runc_with_strict_is_refused(tmp_path):
    config = tmp_path / "takod.yaml"
    config.write_text("container_runtime: runc\nsecurity_mode: strict\n"
                      "data_dir: %s/data\n" % tmp_path)
    done = subprocess.run([shared.program("takod"), "-n", "-c", str(config)],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode != 0
    assert "container_runtime" in done.stderr or \
        "security_mode" in done.stderr


def test_health_names_gvisor(combo):
    health = combo.get("/health")[2]
    assert health["status"] == "healthy"
    assert health["docker_available"] is True
    if combo.runtime == "runsc":
        assert health["gvisor_available"] is True
    assert health["circuit_breaker"]["state"] == "closed"
