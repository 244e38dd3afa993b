"""R10: fills /dev/shm and /tmp."""
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def fill(folder):
    """Megabytes that fit, and the error that ended it."""
    total, number, last = 0, 0, "ok"
    block = bytes(1 << 20)
    while last != "ENOSPC" and total < 1024:
        with open("%s/%d" % (folder, number), "wb", buffering=0) as file:
            try:
                while file.write(block) == len(block):
                    total += 1
            except OSError as error:
                last = word(error.errno)
        number += 1
        if number > 64:
            break
    for name in range(number):
        os.unlink("%s/%d" % (folder, name))
    return total, last


for name, folder in (("shm", "/dev/shm"), ("tmp", "/tmp")):
    size, error = fill(folder)
    tell(**{name: size, name + "_error": error})
