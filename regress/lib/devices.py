"""
devices.py: device nodes for the tests of graphics processors, which no machine
of a test has: those of /dev/full, in a folder beside the real ones.
"""
import os
import shutil
import stat


class Devices:
    def __init__(self):
        self.folder = "/dev/takod-test-%d" % os.getpid()
        os.mkdir(self.folder)

    def __call__(self, name, mode=0o666):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.mknod(path, stat.S_IFCHR, os.makedev(1, 7))
        os.chmod(path, mode)

    def close(self):
        shutil.rmtree(self.folder)
