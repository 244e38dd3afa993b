"""R06: spins on all processors past its time, many times over."""
for _ in range(15):
    if os.fork() == 0:
        break
while True:
    pass
