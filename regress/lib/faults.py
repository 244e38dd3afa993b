"""
faults.py: an OCI runtime that fails when it is told to: the real runc behind a
script, for faults of the engine that jobs meet.
"""
import os
import shutil

SCRIPT = """\
#!/bin/sh
if [ -e '%(flag)s' ]; then
    echo 'told to fail' >>'%(flag)s'
    exit 1
fi
exec '%(runc)s' "$@"
"""


class FlakyRunc:
    """path goes into runc_path. fail() and work() say what it does next."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "flaky-runc")
        self.flag = os.path.join(folder, "flaky-runc.fails")
        with open(self.path, "w") as file:
            file.write(SCRIPT % {"flag": self.flag,
                                 "runc": shutil.which("runc")})
        os.chmod(self.path, 0o755)

    def fail(self):
        with open(self.flag, "w"):
            pass

    def failed(self):
        """How often it did since fail()."""
        with open(self.flag) as file:
            return len(file.readlines())

    def work(self):
        os.unlink(self.flag)
