"""
root.py: a clean Debian root with all that takod's package depends on, made
once in a test run; copies of it, to run programs in or to boot.

A booted root has a systemd of its own as process 1, in namespaces and control
groups of its own: what a unit's directives do is seen there and not guessed.
"""
import os
import shutil
import subprocess
import uuid

from . import host, shared

SUITE = "bookworm"
INCLUDE = ("systemd-sysv", "ca-certificates", "mmdebstrap", "runsc", "runc",
           "python3", "iproute2", "nftables", "passt")
BOOT_SECONDS = 60
made = {}


def package():
    """Paths of the package and of its .changes, built by `make deb`."""
    if "package" not in made:
        environment = {k: v for k, v in os.environ.items()
                       if k not in ("MAKEFLAGS", "MFLAGS", "SAN")}
        built = os.stat(shared.program("takoctl")).st_mtime_ns
        subprocess.run(["make", "-s", "-C", shared.TOP, "deb",
                        "B=" + shared.build()], check=True, env=environment,
                       stdout=subprocess.DEVNULL)
        # Other tests run these programs meanwhile.
        assert os.stat(shared.program("takoctl")).st_mtime_ns == built
        folder = os.path.join(shared.build(), "deb")
        names = os.listdir(folder)
        made["package"] = tuple(
            os.path.join(folder, next(n for n in names if n.startswith(start)
                                      and n.endswith(end)))
            for start, end in (("takod_", ".deb"), ("takod_", ".changes")))
    return made["package"]


def field(name):
    return subprocess.run(["dpkg-deb", "-f", package()[0], name], check=True,
                          capture_output=True, text=True).stdout.strip()


def apt_lines(*argv):
    return subprocess.run(argv, check=True, capture_output=True,
                          text=True).stdout.splitlines()


def sources():
    """This host's own apt sources of the suite."""
    lines = apt_lines("apt-get", "indextargets", "--format",
                      "deb $(REPO_URI) $(RELEASE) $(COMPONENT)",
                      "Created-By: Packages")
    return sorted({line for line in lines if line.endswith(" main")
                   and line.split()[2].split("-")[0] == SUITE})


def bootstrap(folder, path, include):
    """A Debian with such packages, in path; folder is for what apt reads."""
    options = [line for line in apt_lines("apt-config", "dump",
                                          "--no-empty", "Acquire")
               if line.startswith(("Acquire::http", "Acquire::Check-",
                                   "Acquire::Retries", "Acquire::ForceIPv"))]
    for name, lines in (("apt.conf", options + [
            'Acquire::Languages "none";']), ("sources.list", sources())):
        with open(os.path.join(folder, name), "w") as file:
            file.write("\n".join(lines) + "\n")
    subprocess.run(
        ["mmdebstrap", "--quiet", "--mode=root", "--variant=apt",
         "--format=directory", "--skip=cleanup/apt/lists",
         "--aptopt=" + os.path.join(folder, "apt.conf"),
         "--include=" + ",".join(include), SUITE, path,
         os.path.join(folder, "sources.list")],
        check=True, stdin=subprocess.DEVNULL)


def base():
    if "base" not in made:
        folder = os.path.join(host.scratch(), "root")
        os.mkdir(folder)
        path = os.path.join(folder, "base")
        bootstrap(folder, path, INCLUDE)
        # What sets kernel parameters is not for a guest.
        masked = os.path.join(path, "etc/systemd/system/")
        for unit in ("systemd-sysctl.service", "console-getty.service",
                     "proc-sys-fs-binfmt_misc.automount"):
            os.symlink("/dev/null", masked + unit)
        shutil.copy("/etc/resolv.conf", os.path.join(path, "etc"))
        made["base"] = Root(path)
        made["base"].run("apt-get", "satisfy", "-y", "-qq",
                         "--no-install-recommends", field("Depends"))
    return made["base"]


class Root:
    """A root file system; programs in it see this host's network."""

    def __init__(self, path):
        self.path = path

    def run(self, *argv, check=True, seconds=1200, **more):
        """A program in there; a CompletedProcess with text."""
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh",
             "-euc", 'mount --bind "$0" "$0"; cd "$0"; '
             'mount -t proc proc "$0/proc"; mount -t tmpfs -o mode=755 tmpfs "$0/run"; '
             'mount -t tmpfs -o mode=755 tmpfs "$0/dev"; '
             'for n in null zero urandom; do touch "$0/dev/$n"; '
             'mount --bind "/dev/$n" "$0/dev/$n"; done; '
             'exec chroot "$0" "$@"', self.path, *argv],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=seconds, env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
                "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
            **more)
        assert not check or done.returncode == 0, (argv, done.stdout[-2000:],
                                                   done.stderr[-2000:])
        return done

    def inside(self, path):
        return os.path.join(self.path, path.lstrip("/"))

    def install(self):
        """Installs the package with dpkg: all it needs is there."""
        shutil.copy(package()[0], self.inside("/takod.deb"))
        done = self.run("dpkg", "-i", "/takod.deb")
        os.unlink(self.inside("/takod.deb"))
        return done

    def files(self):
        """Every path in it, but what apt and dpkg keep for themselves."""
        found = set()
        for folder, names, files in os.walk(self.path):
            here = folder[len(self.path):]
            if here.startswith(("/var/lib/apt", "/var/cache", "/var/log",
                                "/var/lib/dpkg")):
                continue
            found |= {here + "/" + name for name in names + files}
        return found


def copy(name):
    """A copy of the base, for one module of tests."""
    path = os.path.join(host.scratch(), "root", name)
    subprocess.run(["cp", "-a", base().path, path], check=True)
    return Root(path)


def groups_of_ours():
    """This process' group in each mounted hierarchy, as folders."""
    own = {}
    for line in host.read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        own[controllers] = path
    found = []
    for line in host.read("/proc/self/mountinfo").splitlines():
        left, right = line.split(" - ")
        kind, _, options = right.split()[:3]
        if kind not in ("cgroup", "cgroup2"):
            continue
        mine = [path for names, path in own.items()
                if kind == "cgroup2" and not names
                or names and set(names.split(",")) <= set(options.split(","))]
        found += [left.split()[4] + path.rstrip("/") for path in mine[:1]]
    return found


class Booted:
    """A root with systemd in it; binds: (path here, path in there)."""

    def __init__(self, root, binds=()):
        self.root = root
        self.name = "takod-boot-" + uuid.uuid4().hex[:8]
        self.groups = [os.path.join(g, self.name) for g in groups_of_ours()]
        host.note_instance(self.name)
        for group in self.groups:
            os.mkdir(group)
            for name in ("cpuset.cpus", "cpuset.mems"):
                path = os.path.join(group, name)
                if os.path.exists(path) and not host.read(path).strip():
                    with open(path, "w") as file:
                        file.write(host.read(os.path.join(
                            os.path.dirname(group), name)))
        self.log = os.path.join(host.scratch(), self.name + ".log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [os.path.join(shared.TOP, "regress", "lib", "boot"),
                 root.path, *("%s:%s" % pair for pair in binds)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=self.enter)
        host.note_daemon(self.process.pid)
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def enter(self):
        for group in self.groups:
            with open(os.path.join(group, "cgroup.procs"), "w") as file:
                file.write("0")

    def wait(self):
        def up():
            assert self.process.poll() is None, host.read(self.log)
            children = [p for p in host.descendants(self.process.pid)
                        if p.comm == "systemd"
                        and p.ppid == self.process.pid]
            self.pid = children[0].pid if children else None
            if not self.pid:
                return False
            state = self.run("systemctl", "is-system-running", check=False)
            return state.stdout.strip() in ("running", "degraded")
        host.wait_for("systemd is up: " + host.read(self.log), up,
                      BOOT_SECONDS, 0.1)
        # On a host nothing covers a part of /proc.
        self.run("umount", "--lazy", "/proc/sys")

    def run(self, *argv, check=True, seconds=400):
        done = subprocess.run(
            ["nsenter", "--target", str(self.pid), "--mount", "--pid",
             "--net", "--ipc", "--uts", "--cgroup", "--root", "--wd=/",
             "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *argv],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=seconds)
        assert not check or done.returncode == 0, (
            argv, done.stdout[-2000:], done.stderr[-2000:])
        return done

    def stop(self):
        """Ends it: the kernel kills all that is in its process namespace."""
        self.process.kill()
        self.process.wait()
        for group in self.groups:
            host.remove_cgroup(group)
