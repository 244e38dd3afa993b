"""
drive.py: engine_drive (regress/tools) as a Python object: one engine driver
without the rest of takod.
"""
import json
import queue
import subprocess
import threading

from . import host, shared


class Drive:
    """Commands are sent as lines; events come back, and are waited for."""

    def __init__(self, *arguments, env=None):
        self.process = subprocess.Popen(
            [shared.program("regress/tools/engine_drive"), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.events = queue.Queue()
        self.kept = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))
        self.events.put({"event": "ended", "tag": ""})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.quit()

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait(self, event, tag="", seconds=30, error="ok"):
        """The next event of that name about tag. error None: any."""
        def matches(e):
            return e["event"] == event and e.get("tag", "") == tag
        found = next((e for e in self.kept if matches(e)), None)
        if found:
            self.kept.remove(found)
        while not found:
            try:
                e = self.events.get(timeout=seconds)
            except queue.Empty:
                raise host.Deadline("no event %s %s; had: %s"
                                    % (event, tag, self.kept)) from None
            if matches(e):
                found = e
            elif e["event"] == "ended":
                raise AssertionError("engine_drive ended; had: %s" % self.kept)
            else:
                self.kept.append(e)
        if error is not None and found.get("error", "ok") != error:
            raise AssertionError("%s %s: %s" % (event, tag, found))
        return found

    def had(self, event, tag=""):
        """Events that came so far, without waiting."""
        while not self.events.empty():
            self.kept.append(self.events.get())
        return [e for e in self.kept
                if e["event"] == event and e.get("tag", "") == tag]

    def ask(self, line, event, tag="", **wait):
        self.say(line)
        return self.wait(event, tag, **wait)

    def quit(self):
        """As a killed takod: it removes nothing."""
        if self.process.poll() is None:
            self.process.kill()
        return self.process.wait()
