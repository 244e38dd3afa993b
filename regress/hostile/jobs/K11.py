"""K11: makes and opens devices."""
import stat


def node(kind, major, minor):
    """Makes it and opens it: the first error."""
    path = "/tmp/node"
    said = attempt(os.mknod, path, 0o600 | kind, os.makedev(major, minor))
    if said == "ok":
        said = attempt(os.open, path, os.O_RDONLY)
        os.unlink(path)
    return said


found = {}
for folder, names, files in os.walk("/dev"):
    for name in files:
        path = os.path.join(folder, name)
        mode = os.lstat(path).st_mode
        if not stat.S_ISLNK(mode) and not stat.S_ISREG(mode):
            found[path] = attempt(os.open, path, os.O_RDWR | os.O_NONBLOCK)
tell(dev=sorted(os.listdir("/dev")), found=found,
     disk=node(stat.S_IFBLK, 254, 0), mem=node(stat.S_IFCHR, 1, 1),
     fuse=node(stat.S_IFCHR, 10, 229),
     open={p: attempt(os.open, p, os.O_RDWR) for p in (
         "/dev/mem", "/dev/kmem", "/dev/port", "/dev/kvm", "/dev/vda",
         "/dev/sda", "/dev/loop-control", "/dev/console", "/dev/tty0",
         "/dev/fuse", "/dev/net/tun")})
