"""
The contract with user code: what a job finds around itself, line by line, on
both engines and both runtimes. One job per daemon (facts.py) tells it all.
"""
import os
import re
import stat

import pytest

from lib import shared

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "facts.py")) as source:
    CODE = source.read()
REFUSED = ("EROFS", "EACCES", "EPERM", "ENOENT")
NAMES = {"PATH", "HOME", "LANG", "XDG_CACHE_HOME", "MPLCONFIGDIR"}


@pytest.fixture(scope="module")
def record(combo):
    record = combo.run(CODE, input_data={"port": combo.port})
    assert record["status"] == "succeeded", record["stderr"]
    return record


@pytest.fixture(scope="module")
def facts(record):
    return record["output"]


def mount_of(facts, point):
    """(type, options) of a mount point as the job sees it; the last one."""
    lines = [line.split() for line in facts["mounts"].splitlines()]
    found = [(f[2], f[3].split(",")) for f in lines if f[1] == point]
    assert found, facts["mounts"]
    return found[-1]


# ---- a plain script ---------------------------------------------------------

def test_argv(facts):
    assert facts["argv"] == ["/code/main.py"]


def test_started_as_python3_u(facts):
    assert os.path.basename(facts["orig_argv"][0]).startswith("python3")
    assert facts["orig_argv"][1:] == ["-u", "/code/main.py"]
    assert facts["flags"]["isolated"] == 0
    assert facts["flags"]["write_through"] is True


def test_dunder_file_and_main(facts):
    assert facts["file"] == "/code/main.py"
    assert facts["name"] == "__main__"
    assert facts["main_is_this"] is True
    assert facts["spec"] == "None" and facts["package"] == "None"


def test_first_of_sys_path(facts):
    assert facts["path0"] == "/code"


def test_code_can_be_read(facts):
    assert facts["code"] == CODE
    assert facts["listing"]["/code"] == ["main.py"]


def test_working_directory(facts):
    assert facts["cwd"] == "/app"
    assert facts["listing"]["/app"] == []


def test_stdin_at_its_end(facts):
    assert facts["stdin"] == "" and facts["stdin_tty"] is False


# ---- who it is --------------------------------------------------------------

def test_ids(facts, combo):
    assert len(set(facts["uids"])) == 1 and len(set(facts["gids"])) == 1
    if combo.engine == "docker" and combo.runtime == "runc":
        # No user namespace there: an id of the slot's own on the host.
        assert facts["uids"][0] >= 1000 and facts["gids"][0] >= 1000
    else:
        assert facts["uids"][0] == 1000 and facts["gids"][0] == 1000
    assert 0 not in facts["groups"]


def test_no_capabilities(facts):
    sets = dict(re.findall(r"^(Cap\w+):\s*(\w+)$", facts["status"], re.M))
    assert {"CapInh", "CapPrm", "CapEff", "CapBnd"} <= set(sets)
    assert {int(value, 16) for value in sets.values()} == {0}, sets


def test_no_new_privileges(facts):
    assert facts["no_new_privs"] == 1


def test_seccomp_filter(facts, combo):
    if combo.runtime == "runc":
        assert re.search(r"^Seccomp:\s*2$", facts["status"], re.M)


def test_privileged_calls_fail(facts):
    for name in ("setuid0", "chroot"):
        assert facts[name] in ("EPERM", "EINVAL"), (name, facts[name])
    # gVisor lets anybody make a node; it leads to no device.
    assert facts["disk"] in ("EPERM", "EACCES", "ENXIO"), facts["disk"]
    assert facts["mount"] == -1


def test_environment_is_the_allow_list(facts):
    environment = facts["environment"]
    assert set(environment) == NAMES
    assert environment["HOME"] == "/tmp"
    assert environment["LANG"] == "C.UTF-8"
    assert environment["XDG_CACHE_HOME"].startswith("/tmp")
    assert environment["MPLCONFIGDIR"].startswith("/tmp")
    assert "/usr/bin" in environment["PATH"].split(":")


def test_descriptors(facts):
    # X01
    assert facts["descriptors"] == [0, 1, 2]


def test_sees_no_other_processes(facts):
    # tako-init, itself, and what the facts script forked.
    assert facts["pids"][0] == 1 and facts["pid"] in facts["pids"]
    assert len(facts["pids"]) <= 3, facts["pids"]


# ---- files ------------------------------------------------------------------

def test_root_is_read_only(facts):
    assert "ro" in mount_of(facts, "/")[1]
    for path, word in facts["create"].items():
        if path in ("/tmp/x", "/output/x.txt"):
            assert word == "ok", (path, word)
        else:
            assert word in REFUSED, (path, word)


def test_code_and_input_as_they_stand(facts):
    modes = facts["modes"]
    for path in ("/code", "/input"):
        assert modes[path]["mode"] == 0o555, (path, modes[path])
        assert modes[path]["kind"] == stat.S_IFDIR
    for path in ("/code/main.py", "/input/data.json"):
        assert modes[path]["mode"] == 0o444, (path, modes[path])
        assert modes[path]["kind"] == stat.S_IFREG
    for path, word in facts["overwrite"].items():
        assert word in REFUSED, (path, word)


def test_tmp_is_tmpfs_without_exec(facts):
    kind, options = mount_of(facts, "/tmp")
    assert kind == "tmpfs" and "noexec" in options, (kind, options)
    assert facts["execute"]["/tmp"] == "EACCES"
    assert set(facts["listing"]["/tmp"]) <= {"x"}


def test_output_and_input_folders(facts):
    assert facts["listing"]["/output"] == []
    assert facts["listing"]["/input"] == ["data.json"]


def test_no_host_path_is_mounted(facts, combo):
    # What comes from a disk of the host is the image and tako-init.
    allowed = {"/", "/.tako/init"}
    if combo.engine == "docker":
        # Docker makes these three for each container.
        allowed |= {"/etc/resolv.conf", "/etc/hostname", "/etc/hosts"}
    for line in facts["mounts"].splitlines():
        source, point, kind = line.split()[:3]
        if source.startswith("/") or kind in ("9p", "overlay", "ext4", "xfs"):
            assert point in allowed, line
    for word in (shared.TOP, combo.dir):
        assert word not in facts["mounts"], facts["mounts"]


def test_no_devices_of_the_host(facts, combo):
    harmless = {"core", "fd", "full", "mqueue", "null", "ptmx", "pts",
                "random", "shm", "stderr", "stdin", "stdout", "tty",
                "urandom", "zero", "console"}
    if combo.runtime == "runsc":
        harmless |= {"fuse", "net"}  # gVisor's own
    assert set(facts["listing"]["/dev"]) <= harmless


# ---- network ----------------------------------------------------------------

def test_no_network(facts):
    assert set(facts["interfaces"]) <= {"lo"}
    for name in ("connect4", "connect6", "metadata"):
        found = facts[name]
        assert found["error"] in ("ENETUNREACH", "EADDRNOTAVAIL",
                                  "EHOSTUNREACH", "EAFNOSUPPORT"), found
        assert found["seconds"] < 2, found


def test_loopback_is_its_own(facts):
    # takod listens on that port of the host's loopback.
    assert facts["loopback"]["error"] in ("ECONNREFUSED", "ENETUNREACH",
                                          "EADDRNOTAVAIL")


def test_names_do_not_resolve(facts):
    assert facts["resolve"] != "ok"


# ---- limits and runtime -----------------------------------------------------

def test_limits(facts):
    assert facts["limits"] == {"NOFILE": [256, 256], "NPROC": [50, 50],
                               "FSIZE": [104857600, 104857600],
                               "CORE": [1, 1]}


def test_runtime_is_the_one_recorded(facts, record, combo):
    # X06
    assert record["runtime"] == combo.runtime
    host_release = os.uname().release
    if combo.runtime == "runsc":
        # gVisor's own kernel, not the host's.
        assert facts["release"] != host_release
        assert facts["version"].startswith("Linux version 4.4.0")
    else:
        assert facts["release"] == host_release


def test_record_of_the_run(record):
    assert record["exit_code"] == 0 and record["error"] is None
    assert re.fullmatch("[0-9a-f]{64}", record["code_hash"])
    assert re.fullmatch("[0-9a-f]{64}", record["input_hash"])
    timing = record["timing"]
    assert timing["execution_ms"] > 0 and timing["total_ms"] > 0
    assert timing["phase_at_exit"] == "completed"
    usage = record["resource_usage"]
    assert usage["max_rss_mb"] > 0
    assert usage["cpu_time_ms"] > 0
    assert usage["wall_time_ms"] > 0
