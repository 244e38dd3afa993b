"""Beside a job that takes all it can: does it get what it needs?"""
import threading

threads = [threading.Thread(target=time.sleep, args=(0.05,))
           for _ in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
children = [forked(os.getpid) for _ in range(5)]
tell(threads=len(threads), children=len(children))
