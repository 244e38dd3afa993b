"""R14: a million files, and a tree of ten thousand folders, and leaves it."""


def files(folder):
    """How many could be made, and the error that ended it."""
    number = 0
    try:
        while number < 1000000:
            os.mknod("%s/%d" % (folder, number))
            number += 1
    except OSError as error:
        return number, word(error.errno)
    return number, "ok"


def deep(folder):
    depth = 0
    os.chdir(folder)
    try:
        while depth < 10000:
            os.mkdir("d")
            os.chdir("d")
            depth += 1
    except OSError as error:
        return depth, word(error.errno)
    return depth, "ok"


tell(depth=deep("/output"))
tell(tmp=files("/tmp"))
tell(output=files("/output"))
