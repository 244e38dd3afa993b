"""F09: writes where nothing may be written."""


def write(path):
    with open(path, "a") as file:
        file.write("x")


tell(new={path: attempt(write, path + "/x") for path in (
         "/", "/app", "/etc", "/usr", "/usr/lib/python3/dist-packages",
         "/root", "/var/tmp", "/.tako", "/dev", "/proc", "/sys", "/code",
         "/input")},
     old={path: attempt(write, path) for path in (
         "/etc/passwd", "/usr/bin/python3", "/.tako/init", "/code/main.py",
         "/input/data.json")})
