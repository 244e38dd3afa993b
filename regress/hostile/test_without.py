"""
test_without.py: for each defence, once: where it is left out, the test of a
row that it holds is seen to fail. Under runc and the OCI engine, whose
container is a file that can be changed (without.py); the other three are
judged by the same table.

Not here are defences behind which another one stands, so that taking one out
shows nothing: read-only paths, nodev, nosuid and the list of devices (a job is
not root, and has no capability), the limit of cores (takod has none to give),
no new privileges and the 32-bit calls (takod has none and its own filter
refuses those, for all that it starts), and that tako-init kills what is left (the container is ended right behind it).
Nor is the processor's quota, which a busy machine keeps by itself: its value is
looked at in keys/test_containers.py, as is the largest file; and noexec in
contract/test_surroundings.py.
"""
import concurrent.futures
import json
import os
import shutil
import socket
import subprocess
import sys

import pytest

from lib import host, shared

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import jobs_run  # noqa: E402
import rows  # noqa: E402
import without  # noqa: E402

AT_ONCE = 3


def careless_init(folder):
    """tako-init, built from changed sources."""
    for name in ("common", "tako-init"):
        shutil.copytree(os.path.join(shared.TOP, name),
                        os.path.join(folder, name))
    shutil.copy(os.path.join(shared.TOP, "Makefile"), folder)
    for name, old, new in without.CARELESS:
        path = os.path.join(folder, "tako-init", name)
        with open(path) as file:
            text = file.read()
        assert text.count(old) == 1, "%s has changed: %r" % (name, old)
        with open(path, "w") as file:
            file.write(text.replace(old, new))
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("MAKEFLAGS", "MFLAGS", "SAN")}
    subprocess.run(["make", "-s", "-C", folder, "B=build",
                    "build/tako-init"], check=True, env=environment)
    return os.path.join(folder, "build", "tako-init")


class Places:
    """What the changed containers need, beside the runtime."""

    def __init__(self):
        self.folder = os.path.join(host.scratch(), "without")
        os.mkdir(self.folder, 0o755)
        self.runc = os.path.join(self.folder, "runc")
        shutil.copy(without.__file__, self.runc)
        os.chmod(self.runc, 0o755)
        shown = os.path.join(self.folder, "shown")
        os.mkdir(shown, 0o755)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(os.path.join(shown, "socket"))
        self.socket.listen()
        self.holder = subprocess.Popen(
            ["unshare", "--ipc", "sleep", "infinity"])
        host.note_daemon(self.holder.pid)
        host.wait_for("it has a namespace of its own", lambda: os.readlink(
            "/proc/%d/ns/ipc" % self.holder.pid) != os.readlink(
            "/proc/self/ns/ipc"))
        self.places = {
            "ipc": "/proc/%d/ns/ipc" % self.holder.pid, "folder": shown,
            "canary": shared.CANARY,
            "init": careless_init(os.path.join(self.folder, "careless")),
        }

    def write(self, uid):
        with open(os.path.join(self.folder, without.PLACES), "w") as file:
            json.dump({**self.places, "uid": uid}, file)

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.socket.close()
        # Left by the one that may write to its root.
        path = os.path.join(shared.rootfs(), "var", "tmp", "x")
        if os.path.exists(path):
            os.unlink(path)
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def said(shared_things):
    """What the rows' tests say where a defence is left out."""
    from conftest import end, make
    places = Places()
    daemon = None
    try:
        daemon = make("oci", "runc", config={
            "runc_path": places.runc, "enable_userns": False,
            "warm_pool_size": 0, "job_types": [
                {"name": name, "environment": {without.VARIABLE: name},
                 "memory_limit": "64m" if name == "memory_limit" else "512m"}
                for name in without.DEFENCES]})
        # The last slot's, which no job here has.
        places.write(daemon.uid_base + 1023)
        yield run_all(daemon)
    finally:
        if daemon:
            end(daemon)
        places.close()


def run_all(daemon):
    def run(name):
        jobs = jobs_run.Jobs(daemon)
        wanted = dict(without.DEFENCES[name])
        jobs.run([rows.TABLE[row] for row in wanted], job_type=name)
        return jobs.problems
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(without.DEFENCES, pool.map(run, without.DEFENCES)))


@pytest.mark.parametrize("name", list(without.DEFENCES))
def test_without(said, name):
    for row, words in without.DEFENCES[name]:
        assert any(words in text for text in said[name][row]), (
            "without %s, %s should fail by %r: %r" % (
                name, row, words, said[name][row]))


def test_namespace_of_root(shared_things):
    """A user namespace that root made: its users share what R16 counts."""
    from conftest import end, make
    folder = os.path.join(host.scratch(), "root-made")
    os.mkdir(folder)
    path = os.path.join(folder, "runc")
    with open(path, "w") as file:
        file.write("""#!/usr/bin/python3 -IB
import json, os, shutil, sys
if "run" in sys.argv:
    path = sys.argv[sys.argv.index("--bundle") + 1] + "/config.json"
    with open(path) as file:
        config = json.load(file)
    for namespace in config["linux"]["namespaces"]:
        namespace.pop("path", None)
    with open(path, "w") as file:
        json.dump(config, file)
program = shutil.which("runc")
os.execv(program, [program] + sys.argv[1:])
""")
    os.chmod(path, 0o755)
    daemon = make("oci", "runc", config={
        "runc_path": path, "enable_userns": True, "warm_pool_size": 2})
    try:
        jobs = jobs_run.Jobs(daemon)
        jobs.run([rows.TABLE["R16"]])
        assert any("R16.queues" in text for text in jobs.problems["R16"]), (
            jobs.problems)
    finally:
        end(daemon)
        shutil.rmtree(folder)
