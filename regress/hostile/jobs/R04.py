"""R04: double-forks a daemon without descriptors; the main process ends."""
PR_SET_NAME = 15
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        libc.prctl(PR_SET_NAME, b"R04-daemon", 0, 0, 0)
        os.closerange(0, 256)
        while True:
            time.sleep(0.01)
    os._exit(0)
os.wait()
print("main ends", flush=True)
