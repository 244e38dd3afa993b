"""R02: starts threads without end and keeps them."""
import threading

held = threading.Event()
count, ended = 0, "all started"
try:
    while count < 5000:
        threading.Thread(target=held.wait, daemon=True).start()
        count += 1
except (RuntimeError, MemoryError):
    ended = "refused"
tell(ended=ended, count=count)
print("full", flush=True)
time.sleep(4)
os._exit(0)
