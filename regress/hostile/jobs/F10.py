"""F10: looks for what another job left; leaves something everywhere."""
KEY, MARK = 0x7a6b, "left by a job"


def queue(flags):
    return call("mq_open", ctypes.c_char_p(b"left"), flags, 0o600)


found = []
for folder in ("/tmp", "/output", "/dev/shm", "/dev/mqueue"):
    if os.path.isdir(folder):
        found += [folder + "/" + name for name in os.listdir(folder)]
found += ["segment"] * (call("shmget", KEY, 4096, 0) == "ok")
found += ["semaphore"] * (call("semget", KEY, 1, 0) == "ok")
found += ["messages"] * (call("msgget", KEY, 0) == "ok")
found += ["queue"] * (queue(2) == "ok")
left = 0
for folder in ("/tmp", "/output", "/dev/shm"):
    with open(folder + "/left", "w") as file:
        file.write(MARK)
        left += 1
left += call("shmget", KEY, 4096, 0o1600) == "ok"
left += call("semget", KEY, 1, 0o1600) == "ok"
left += call("msgget", KEY, 0o1600) == "ok"
left += queue(0o102) == "ok"
tell(found=found, left=left)
