"""
dockerd.py: a private Docker engine for tests: own data, own containerd, own
socket, no network of its own (no bridge, no firewall rules), runsc and runc
as runtimes. All of it lies in one folder and is ended by process id.

A former engine of the same folder that was left running, or killed half way,
is ended first; a folder name that is made anew for each run never has one.
"""
import json
import os
import shutil
import signal
import subprocess

from . import host

START_SECONDS = 60
STOP_SECONDS = 30


# runsc of 2022 takes this file, which kernels of today show in every network
# namespace, for a sign of the host's.
RUNSC_NETWORKS = """#!/bin/sh
exec unshare --mount sh -c '
mount -t tmpfs -o size=4k,mode=555,ro none /proc/sys/net
exec %s "$@"' runsc "$@"
"""


class Dockerd:
    """Starts an engine in folder, and returns once it answers. networks:
    under runsc a job has what network its container has; remap: a user whose
    subordinate ids its containers have."""

    def __init__(self, folder, runtimes=None, debug=False, networks=False,
                 remap=None):
        self.remap = remap
        self.folder = os.path.abspath(folder)
        self.data_root = self.path("data")
        self.socket = self.path("docker.sock")
        self.docker_host = "unix://" + self.socket
        # Control groups of its containers lie together, under a name that
        # is this folder's own.
        self.cgroup = self.folder.strip("/").replace("/", "-")
        self.process = None
        self.debug = debug
        os.makedirs(self.folder, exist_ok=True)
        runsc = shutil.which("runsc") or "/usr/bin/runsc"
        if networks:
            with open(self.path("runsc-networks"), "w") as file:
                file.write(RUNSC_NETWORKS % runsc)
            os.chmod(file.name, 0o755)
            runsc = file.name
        self.runtimes = runtimes or {
            "runsc": {"path": runsc, "runtimeArgs": [
                "--network=" + ("sandbox" if networks else "none")]},
        }
        self.end_former()
        self.start()

    def path(self, *names):
        return os.path.join(self.folder, *names)

    # ---- life -----------------------------------------------------------

    def configure(self):
        with open(self.path("daemon.json"), "w") as file:
            json.dump({
                "runtimes": self.runtimes,
                "default-runtime": "runc",
                "data-root": self.data_root,
                "exec-root": self.path("exec"),
                "pidfile": self.path("docker.pid"),
                "hosts": [self.docker_host],
                "cgroup-parent": "/" + self.cgroup,
                "bridge": "none",
                "iptables": False,
                "ip6tables": False,
                "ip-forward": False,
                "ip-masq": False,
                "live-restore": False,
                "debug": self.debug,
                "shutdown-timeout": 5,
                **({"userns-remap": self.remap} if self.remap else {}),
            }, file)

    def start(self):
        self.configure()
        # A process id in one of these files may be another process' by now,
        # or a zombie's: dockerd takes that for a containerd that runs.
        for stale in (self.socket, self.path("docker.pid"),
                      self.path("exec", "containerd", "containerd.pid")):
            if os.path.lexists(stale):
                os.unlink(stale)
        log = open(self.path("dockerd.log"), "ab")
        self.process = subprocess.Popen(
            ["dockerd", "--config-file", self.path("daemon.json")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True)
        log.close()
        host.note_daemon(self.process.pid)
        host.wait_for("the Docker engine answers", self.answers,
                      START_SECONDS, 0.05)

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError("dockerd ended:\n" + self.log_tail())
        from . import shared
        connection = shared.UnixConnection(self.socket, timeout=5)
        try:
            connection.request("GET", "/_ping")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def log_tail(self, lines=30):
        text = host.read(self.path("dockerd.log"))
        return "\n".join(text.splitlines()[-lines:])

    def pause(self):
        """As systemd stops it: its containers end. start() follows."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def stop(self):
        """Ends the engine and what it left: nothing of it stays mounted."""
        self.pause()
        self.end_former()
        shutil.rmtree(self.data_root, ignore_errors=True)
        shutil.rmtree(self.path("exec"), ignore_errors=True)

    def kill(self):
        """kill -9 of the daemon, and of its containerd, which it takes with
        it: its containers go on."""
        self.process.kill()
        self.process.wait()
        self.process = None
        for pid in self.named("containerd"):
            if not self.is_shim(pid):
                self.end(pid)

    # ---- what a former engine left --------------------------------------

    def end_former(self):
        """Ends every process that works in this folder: dockerd first, so
        that it starts nothing anew, then containerd, its shims and what ran
        in containers; then takes mounts and control groups away."""
        for name in ("dockerd", "containerd", "containerd-shim", "runsc",
                     "exe", "runc"):
            for pid in self.named(name):
                self.end(pid)
        groups = host.cgroups_named(self.cgroup)
        for group in groups:
            for pid in host.cgroup_pids(group):
                self.end(pid)
        for point in host.mounts_below(self.folder):
            subprocess.run(["umount", "-l", point], check=False,
                           stderr=subprocess.DEVNULL)
        for group in groups:
            self.remove_cgroup(group)

    def named(self, name):
        return [process.pid for process in host.processes()
                if process.comm.startswith(name[:15])
                and any(self.folder + "/" in word for word in process.argv)]

    @staticmethod
    def is_shim(pid):
        return "shim" in host.read("/proc/%d/cmdline" % pid).split("\0")[0]

    @staticmethod
    def end(pid):
        host.signal_pid(pid, signal.SIGKILL)
        host.wait_for("process %d ends" % pid, lambda: not host.alive(pid))

    @staticmethod
    def remove_cgroup(path):
        """Inner groups first; the kernel may need a moment to let one go."""
        def gone():
            for top, _, _ in os.walk(path, topdown=False):
                try:
                    os.rmdir(top)
                except OSError:
                    return False
            return True
        host.wait_for("control group %s is gone" % path, gone)
