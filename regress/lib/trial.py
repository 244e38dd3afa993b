"""
trial.py: tako-vm doctor and tako-vm setup on a configuration file of a test's
own, and what they leave: nothing.
"""
import json
import os
import subprocess
import tempfile

from . import host, shared
from .host import free_port

# It can say its version, and hangs on all else; MARKER then names a file.
HANGING_RUNTIME = """#!/bin/sh
test "$1" = --version && echo runsc version hanging && exit 0
: >MARKER
exec sleep 600
"""


class Trial:
    """A folder with a configuration file. keys: those that differ from a
    healthy OCI engine under runsc with SQLite (None: left out)."""

    def __init__(self, **keys):
        self.dir = tempfile.mkdtemp(prefix="trial-", dir=host.scratch())
        self.tmp = os.path.join(self.dir, "tmp")
        os.mkdir(self.tmp)
        self.data_dir = os.path.join(self.dir, "data")
        os.mkdir(self.data_dir, 0o700)
        self.file = os.path.join(self.dir, "takod.yaml")
        self.keys = {
            "data_dir": self.data_dir,
            "database_url": "sqlite:///%s/takod.db" % self.data_dir,
            "server_port": free_port(),
            "engine": "oci",
            "rootfs": shared.rootfs(),
        }
        if keys.get("engine") == "docker":
            self.keys.update(docker_host=shared.dockerd().docker_host,
                             docker_image=shared.docker_image(), rootfs=None)
        if keys.get("container_runtime") == "runc":
            self.keys["security_mode"] = "permissive"
        self.write(**keys)

    def write(self, **keys):
        self.keys.update(keys)
        with open(self.file, "w") as file:
            for key, value in self.keys.items():
                if value is not None:
                    file.write("%s: %s\n" % (key, json.dumps(value)))
        return self

    def program(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o755)
        return path

    def hanging_runtime(self):
        """Its path, and the file that is there once it hangs."""
        marker = os.path.join(self.dir, "hangs")
        return self.program("hanging-runsc", HANGING_RUNTIME.replace(
            "MARKER", marker)), marker

    def start(self, *args, env=None, before=(), **more):
        return subprocess.Popen(
            [*before, shared.program("tako-vm"), "-c", self.file, *args],
            cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.dir,
                 "TMPDIR": self.tmp, **(env or {})}, **more)

    def vm(self, *args, seconds=60, **more):
        """(exit status, stdout, stderr); nothing may be left."""
        child = self.start(*args, **more)
        try:
            out, err = child.communicate(timeout=seconds)
        finally:
            if child.poll() is None:
                child.kill()
        self.nothing_left()
        return child.returncode, out, err

    def nothing_left(self):
        assert os.listdir(self.tmp) == []
        # What was killed may take a moment to be gone from /proc.
        try:
            host.wait_for("", lambda: not self.left(), 3)
        except host.Deadline:
            raise AssertionError("left: %s" % self.left()) from None

    def left(self):
        """What a trial left, in words."""
        words = [os.path.join(self.tmp, n) for n in os.listdir(self.tmp)]
        words += ["process %d: %s" % (p.pid, p.argv)
                  for p in host.processes()
                  if any(self.dir + "/" in word for word in p.argv)
                  and p.pid != os.getpid()]
        words += ["mount " + p for p in host.mounts_below(self.dir)]
        if self.keys["engine"] == "docker":
            # All others are of a takod whose name was noted.
            others = tuple("/%s-" % name for name in host.read(os.path.join(
                host.scratch(), "instances")).split())
            words += ["container %s" % c["Names"] for c in
                      shared.docker_api("GET", "/containers/json?all=1")[1]
                      if not c["Names"][0].startswith(others)]
        return words

    def groups(self, marker):
        """Control groups of the instance that a hanging doctor has."""
        host.wait_for("the runtime hangs", lambda: os.path.exists(marker))
        suffix = os.listdir(self.tmp)[0].rsplit("-", 1)[1]
        return lambda: host.cgroups_named("takod-doctor-" + suffix)
