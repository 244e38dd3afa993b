"""X04: writes to the programs that are behind it."""
tell(open={path: attempt(os.open, path, os.O_WRONLY) for path in (
        "/proc/self/exe", "/proc/1/exe", "/.tako/init", "/usr/bin/python3")},
     replace=attempt(os.rename, "/.tako/init", "/.tako/other"),
     unlink=attempt(os.unlink, "/.tako/init"))
