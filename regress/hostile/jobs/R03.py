"""R03: leaves 10 000 unreaped children, or as many as it is let."""
made = refused = 0
end = time.monotonic() + 20
while made < 10000 and time.monotonic() < end and not refused:
    try:
        if os.fork() == 0:
            os._exit(0)
        made += 1
    except OSError:
        refused += 1
tell(made=made, refused=refused)
# Those whose parent is gone are init's.
pid = os.fork() if not refused else 0
if pid == 0 and not refused:
    for _ in range(20):
        if os.fork() == 0:
            os._exit(0)
os._exit(5)
