"""F01: links to what it may not read, where artifacts are."""
for n, target in enumerate((
        "/etc/shadow", "/etc/passwd", "/proc/self/environ", "/proc/1/environ",
        "/proc/1/root/etc/passwd", "/proc/self/exe", "/code/main.py",
        "/dev/zero", "/output/plain")):
    os.symlink(target, "/output/link%d" % n)
with open("/output/plain", "w") as file:
    file.write("plain")
