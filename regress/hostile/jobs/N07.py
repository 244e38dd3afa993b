"""N07: walks all of its files for sockets."""
import stat

found, seen = [], 0
for folder, names, files in os.walk("/"):
    if folder == "/":
        names[:] = [n for n in names if n not in ("proc", "sys", "usr")]
    for name in files:
        seen += 1
        path = os.path.join(folder, name)
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            found.append(path)
tell(found=found, seen=seen > 10, there=[p for p in (
    "/run/docker.sock", "/var/run/docker.sock", "/run/containerd",
    "/run/postgresql", "/run/takod", "/var/lib/takod", "/run/systemd")
    if os.path.exists(p)])
