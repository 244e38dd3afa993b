"""
reference.py: Tako VM 0.3.0 itself, whose files and clients takod takes, in a
virtual environment of its own below the build directory. It is made once a
build directory, with Debian's python3 and pip; nothing but tests uses it.
"""
import os
import shutil
import subprocess
import sys

from . import shared

# Everything that is installed, so that each run compares with the same.
PACKAGES = """\
tako-vm==0.3.0
annotated-types==0.8.0
certifi==2026.10.19.post1
charset-normalizer==3.5.3
idna==3.20
psycopg==3.3.9
psycopg-binary==3.3.9
psycopg-pool==3.3.3
pydantic==2.14.4
pydantic_core==2.50.5
PyYAML==6.0.4
requests==2.34.2
typing-inspection==0.4.5
typing_extensions==4.16.0
urllib3==2.8.0
"""
SECONDS = 170  # for each step; a test may take 180


def run(argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=SECONDS)
    if done.returncode != 0:
        raise AssertionError("%s ends with %d:\n%s" % (
            " ".join(argv[:4]), done.returncode, done.stdout))


def python():
    """The path of a python3 in which `import tako_vm` is Tako VM 0.3.0's."""
    folder = os.path.join(shared.build(), "reference")
    interpreter = os.path.join(folder, "bin", "python3")
    wanted = os.path.join(folder, "packages")
    complete = os.path.join(folder, "complete")  # its copy, when all is there
    if os.path.exists(complete):
        with open(complete) as file:
            if file.read() == PACKAGES:
                return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    print("installing Tako VM 0.3.0 in " + folder, file=sys.stderr)
    run(["/usr/bin/python3", "-m", "venv", "--without-pip", folder])
    with open(wanted, "w") as file:
        file.write(PACKAGES)
    run(["/usr/bin/python3", "-m", "pip", "--disable-pip-version-check",
         "--python", interpreter, "install", "-q", "--no-deps", "--no-compile",
         "--only-binary", ":all:", "-r", wanted])
    os.rename(wanted, complete)
    return interpreter
