"""F12: writes what sets the kernel."""
PATHS = {
    "/proc/sys/kernel/core_pattern": "|/tmp/x",
    "/proc/sys/kernel/hostname": "x", "/proc/sys/vm/overcommit_memory": "1",
    "/proc/sys/net/ipv4/ip_forward": "1",
    "/proc/sys/net/ipv4/ping_group_range": "0 2000000",
    "/proc/sysrq-trigger": "h", "/proc/irq/default_smp_affinity": "1",
    "/proc/self/uid_map": "0 0 1", "/proc/self/gid_map": "0 0 1",
    "/proc/1/oom_score_adj": "-1000", "/sys/fs/cgroup/cgroup.procs": "0",
    "/sys/fs/cgroup/release_agent": "/tmp/x",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "-1",
    "/sys/kernel/uevent_helper": "/tmp/x", "/sys/power/state": "mem",
}


def write(path):
    file = os.open(path, os.O_WRONLY)
    os.write(file, PATHS[path].encode())


tell(write={path: attempt(write, path) for path in PATHS},
     groups=[line for line in text("/proc/mounts").splitlines()
             if " cgroup" in line])
