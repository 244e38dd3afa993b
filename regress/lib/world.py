"""
world.py: hosts for jobs with a network, in network namespaces of the test's
own: one that is public (of a documentation range, which the configuration has
to allow), one that is private, one that answers where metadata services do.
All are one namespace behind a veth; nothing of it is outside this machine.
"""
import os
import signal
import subprocess
import sys

from . import host

METADATA = "169.254.169.254"
SERVER = os.path.join(os.path.dirname(__file__), "world_server.py")


def run(*argv, check=True):
    return subprocess.run(argv, check=check, capture_output=True,
                          text=True).stdout


class World:
    def __init__(self):
        number = self._free_number()
        self.space = "tw%d" % os.getpid()
        self.near, self.far = self.space + "a", self.space + "b"
        self.here = "198.51.100.%d" % (4 * number + 1)
        self.public = "198.51.100.%d" % (4 * number + 2)
        self.private = "10.213.%d.1" % number
        self.spare = "192.88.99.%d" % number  # public too
        self.here6 = "2001:db8:%x::1" % number
        self.public6 = "2001:db8:%x::2" % number
        self.proc = None
        # What the daemon has for /etc/hosts and /etc/resolv.conf.
        self.folder = os.path.join(host.scratch(), self.space)
        os.mkdir(self.folder, 0o755)
        self.log = os.path.join(self.folder, "log")  # ports that were used
        open(self.log, "w").close()
        self.names({})
        with open(os.path.join(self.folder, "resolv.conf"), "w") as file:
            file.write("nameserver %s\noptions timeout:1 attempts:1\n"
                       % self.public)
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _free_number():
        for number in range(40, 63):
            if not run("ip", "route", "show", "198.51.100.%d/30"
                       % (4 * number)):
                return number
        raise AssertionError("no addresses left for a test")

    def _make(self):
        inside = ("ip", "-n", self.space)
        run("ip", "netns", "add", self.space)
        run("ip", "link", "add", self.near, "type", "veth", "peer", "name",
            self.far, "netns", self.space)
        run("ip", "addr", "add", self.here + "/30", "dev", self.near)
        run("ip", "addr", "add", self.here6 + "/64", "dev", self.near,
            "nodad")
        run("ip", "link", "set", self.near, "up")
        for address in (self.public + "/30", self.private + "/32",
                        self.spare + "/32", METADATA + "/32"):
            run(*inside, "addr", "add", address, "dev", self.far)
        run(*inside, "addr", "add", self.public6 + "/64", "dev", self.far,
            "nodad")
        run(*inside, "link", "set", self.far, "up")
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "route", "add", "default", "via", self.here)
        for address in (self.private, self.spare, METADATA):
            run("ip", "route", "replace", address + "/32", "via", self.public)
        self.proc = subprocess.Popen(
            ["ip", "netns", "exec", self.space, sys.executable, SERVER,
             self.public, self.log],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.proc.stdout.readline() == "ready\n"

    def names(self, names):
        """Names as the daemon looks them up, with their addresses."""
        with open(os.path.join(self.folder, "hosts"), "w") as file:
            file.write("127.0.0.1 localhost\n")
            for name, addresses in names.items():
                for address in addresses:
                    file.write("%s %s\n" % (address, name))

    def program(self, program, other=None, instead=None):
        """takod, which sees those names, and instead of a program another
        one: a script that becomes it."""
        path = os.path.join(self.folder, "takod")
        with open(path, "w") as file:
            file.write("""#!/bin/sh
exec unshare --mount sh -euc '
mount --bind %s/hosts /etc/hosts
mount --bind %s/resolv.conf /etc/resolv.conf
%sexec %s "$@"' sh "$@"
""" % (self.folder, self.folder,
       "mount --bind %s $(readlink -f %s)\n" % (instead, other)
       if other else "", program))
        os.chmod(path, 0o755)
        return path

    def take_spare(self):
        """This host has that address now."""
        run("ip", "addr", "add", self.spare + "/32", "dev", "lo")

    def give_spare(self):
        run("ip", "addr", "del", self.spare + "/32", "dev", "lo")

    def close(self):
        if self.proc:
            self.proc.send_signal(signal.SIGKILL)
            self.proc.wait()
        for address in (self.private, self.spare, METADATA):
            run("ip", "route", "del", address + "/32", "via", self.public,
                check=False)
        run("ip", "link", "del", self.near, check=False)
        run("ip", "netns", "del", self.space, check=False)
