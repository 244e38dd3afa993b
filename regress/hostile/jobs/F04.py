"""F04: hard-links what lies on other mounts into /output."""
tell(passwd=attempt(os.link, "/etc/passwd", "/output/passwd"),
     init=attempt(os.link, "/.tako/init", "/output/init"),
     code=attempt(os.link, "/code/main.py", "/output/code"),
     within=attempt(os.link, "/etc/passwd", "/etc/passwd2"))
