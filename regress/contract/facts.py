"""
facts.py: runs inside a job, not in pytest: collects what the job sees and
writes it to /output/result.json. test_surroundings.py checks it line by line.
"""
import ctypes
import errno
import fcntl
import json
import os
import resource
import socket
import stat
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
PR_GET_NO_NEW_PRIVS = 39


def attempt(function, *args):
    """'ok', or the name of the error."""
    try:
        function(*args)
        return "ok"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


def make(path):
    with open(path, "w") as file:
        file.write("x")


def mode(path):
    found = os.lstat(path)
    return {"mode": stat.S_IMODE(found.st_mode), "uid": found.st_uid,
            "kind": stat.S_IFMT(found.st_mode)}


def text(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError as error:
        return errno.errorcode.get(error.errno, "?")


def descriptors():
    found = []
    for fd in range(1024):
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
            found.append(fd)
        except OSError:
            pass
    return found


def connect(family, address):
    began = time.monotonic()
    with socket.socket(family) as sock:
        sock.settimeout(5)
        word = attempt(sock.connect, address)
    return {"error": word, "seconds": time.monotonic() - began}


def block_device():
    """Makes a node of a disk and opens it: the first error."""
    word = attempt(os.mknod, "/tmp/disk", 0o600 | stat.S_IFBLK,
                   os.makedev(254, 0))
    if word == "ok":
        word = attempt(os.open, "/tmp/disk", os.O_RDONLY)
        os.unlink("/tmp/disk")
    return word


def executable_in(folder):
    path = folder + "/script"
    with open(path, "w") as file:
        file.write("#!/bin/sh\nexit 0\n")
    os.chmod(path, 0o755)
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(path, [path])
        except OSError as error:
            os._exit(error.errno)
    status = os.waitpid(pid, 0)[1]
    os.unlink(path)
    code = os.waitstatus_to_exitcode(status)
    return errno.errorcode.get(code, "ok" if code == 0 else str(code))


facts = {
    "descriptors": descriptors(),
    "argv": sys.argv,
    "orig_argv": sys.orig_argv,
    "flags": {"unbuffered": os.environ.get("PYTHONUNBUFFERED"),
              "isolated": sys.flags.isolated,
              "write_through": sys.stdout.write_through},
    "path0": sys.path[0],
    "file": __file__,
    "name": __name__,
    "spec": repr(__spec__),
    "package": repr(__package__),
    "main_is_this": sys.modules["__main__"].__dict__ is globals(),
    "cwd": os.getcwd(),
    "stdin": sys.stdin.read(),
    "stdin_tty": sys.stdin.isatty(),
    "environment": dict(os.environ),
    "uids": list(os.getresuid()),
    "gids": list(os.getresgid()),
    "groups": os.getgroups(),
    "status": text("/proc/self/status"),
    "no_new_privs": libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
    "mounts": text("/proc/self/mounts"),
    "version": text("/proc/version"),
    "release": os.uname().release,
    "hostname": socket.gethostname(),
    "interfaces": [line.split(":")[0].strip() for line in
                   text("/proc/net/dev").splitlines() if ":" in line],
    "listing": {path: sorted(os.listdir(path)) for path in
                ("/", "/app", "/tmp", "/code", "/input", "/output",
                 "/dev/shm", "/dev")},
    "modes": {path: mode(path) for path in
              ("/code", "/code/main.py", "/input", "/input/data.json",
               "/output", "/tmp", "/app")},
    "code": text("/code/main.py"),
    "limits": {name: list(resource.getrlimit(
        getattr(resource, "RLIMIT_" + name)))
        for name in ("NOFILE", "NPROC", "FSIZE", "CORE")},
    "create": {path: attempt(make, path) for path in
               ("/x", "/etc/x", "/usr/x", "/app/x", "/code/x", "/input/x",
                "/var/tmp/x", "/root/x", "/.tako/x", "/.tako/init",
                "/usr/lib/python3/x", "/tmp/x", "/output/x.txt")},
    "overwrite": {path: attempt(make, path) for path in
                  ("/code/main.py", "/input/data.json", "/etc/passwd",
                   "/proc/sys/kernel/hostname", "/proc/sysrq-trigger")},
    "execute": {path: executable_in(path) for path in ("/tmp",)},
    "setuid0": attempt(os.setuid, 0),
    "chroot": attempt(os.chroot, "/tmp"),
    "disk": block_device(),
    "mount": libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
    "connect4": connect(socket.AF_INET, ("192.0.2.1", 80)),
    "connect6": connect(socket.AF_INET6, ("2001:db8::1", 80)),
    "metadata": connect(socket.AF_INET, ("169.254.169.254", 80)),
    "loopback": connect(socket.AF_INET,
                        ("127.0.0.1", json.load(
                            open("/input/data.json"))["port"])),
    "resolve": attempt(socket.getaddrinfo, "example.com", 80),
    "pids": sorted(int(n) for n in os.listdir("/proc") if n.isdigit()),
    "pid": os.getpid(),
}
if os.path.exists("/output/x.txt"):
    os.unlink("/output/x.txt")
with open("/output/result.json", "w") as file:
    json.dump(facts, file)
