"""
environment.py: virtual environments of Debian's python3 below the build
directory, for what tests need of PyPI. Each is made once a build directory.
"""
import fcntl
import os
import shutil
import subprocess
import sys

SECONDS = 170  # for each step; a test may take 180


def run(argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=SECONDS)
    if done.returncode != 0:
        raise AssertionError("%s ends with %d:\n%s" % (
            " ".join(argv[:4]), done.returncode, done.stdout))


def python(folder, packages):
    """A virtual environment with these packages; the path of its python3."""
    # Who else wants one waits until it is made.
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return made(folder, packages)


def made(folder, packages):
    interpreter = os.path.join(folder, "bin", "python3")
    wanted = os.path.join(folder, "packages")
    complete = os.path.join(folder, "complete")  # its copy, when all is there
    if os.path.exists(complete):
        with open(complete) as file:
            if file.read() == packages:
                return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    print("installing %s in %s" % (packages.split()[0], folder),
          file=sys.stderr)
    run(["/usr/bin/python3", "-m", "venv", "--without-pip", folder])
    with open(wanted, "w") as file:
        file.write(packages)
    run(["/usr/bin/python3", "-m", "pip", "--disable-pip-version-check",
         "--python", interpreter, "install", "-q", "--no-deps", "--no-compile",
         "--only-binary", ":all:", "-r", wanted])
    os.rename(wanted, complete)
    return interpreter
