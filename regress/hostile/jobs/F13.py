"""F13: reads of itself, of init and of all others what /proc shows."""
shown = {name: text("/proc/self/" + name) for name in (
    "mountinfo", "mounts", "cgroup", "maps", "status", "environ", "net/unix",
    "net/tcp", "net/dev", "net/route")}
pids = [int(n) for n in os.listdir("/proc") if n.isdigit()]
tell(shown=shown, pids=len(pids),
     init={name: text("/proc/1/" + name) for name in (
         "environ", "maps", "mem", "stack", "auxv")},
     links={name: attempt(os.readlink, "/proc/1/" + name)
            for name in ("exe", "root", "cwd")},
     far=sorted(p for p in pids if p > 100000))
