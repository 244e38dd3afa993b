"""
browser.py: a headless Chromium that a test drives by its DevTools protocol,
over a pair of pipes: no driver and no port. What it logs, what it asks of the
network and what a policy stops is collected.
"""
import json
import os
import select
import subprocess
import tempfile
import time

from . import host

SECONDS = 60  # for anything that is to happen


class Refused(AssertionError):
    """A command that the browser does not carry out."""


class Browser:
    def __init__(self):
        self.profile = tempfile.mkdtemp(dir=host.scratch())
        self.ids, self.events, self.rest = 0, [], b""
        there, self.write = os.pipe()
        self.read, back = os.pipe()

        def before():
            # It reads commands on 3 and writes answers on 4.
            in_, out = os.dup(there), os.dup(back)
            os.dup2(in_, 3)
            os.dup2(out, 4)
        with open(os.path.join(self.profile, "log"), "w") as log:
            self.proc = subprocess.Popen(
                ["/usr/bin/chromium", "--headless=new", "--no-sandbox",
                 "--disable-gpu", "--disable-dev-shm-usage",
                 "--disable-background-networking", "--disable-extensions",
                 "--disable-component-update", "--disable-sync",
                 "--no-first-run", "--no-default-browser-check",
                 "--remote-debugging-pipe", "--user-data-dir=" + self.profile,
                 "about:blank"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=before, pass_fds=(3, 4),
                env={**os.environ, "HOME": self.profile})
        os.close(there)
        os.close(back)
        self.session = None
        target = host.wait_for("a page", lambda: [
            one for one in self.call("Target.getTargets")["targetInfos"]
            if one["type"] == "page"], SECONDS)[0]["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target,
                                 flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.call(domain + ".enable")

    def message(self, seconds):
        """The next one that it sends; None: none comes."""
        end = time.monotonic() + seconds
        while b"\0" not in self.rest:
            left = max(0, end - time.monotonic())
            if not select.select([self.read], [], [], left)[0]:
                return None
            piece = os.read(self.read, 1 << 20)
            assert piece, "the browser is gone"
            self.rest += piece
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **params):
        self.ids += 1
        command = {"id": self.ids, "method": method, "params": params}
        if self.session:
            command["sessionId"] = self.session
        os.write(self.write, json.dumps(command).encode() + b"\0")
        while True:
            got = self.message(SECONDS)
            assert got is not None, method + ": no answer"
            if got.get("id") == self.ids:
                if "error" in got:
                    raise Refused(method, got)
                return got["result"]
            self.events.append(got)

    def run(self, script):
        """The value of an expression on the page, awaited."""
        got = self.call("Runtime.evaluate", expression=script,
                        awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in got, (script, got)
        return got["result"].get("value")

    def open(self, url):
        self.events.clear()
        self.call("Page.navigate", url=url)

    def wait(self, what, script, seconds=SECONDS):
        def probe():
            try:
                return self.run(script)
            except Refused:  # another page comes just now
                return None
        return host.wait_for(what, probe, seconds)

    def noted(self, method):
        """The parameters of all events of a kind since the page was opened."""
        return [event["params"] for event in self.events
                if event.get("method") == method]

    def asked(self):
        """Every URL that was asked for."""
        return [params["request"]["url"]
                for params in self.noted("Network.requestWillBeSent")]

    def complaints(self):
        """What its console and its log have, in words, when it is quiet."""
        while (got := self.message(0.3)) is not None:
            self.events.append(got)
        words = [p["entry"]["text"] for p in self.noted("Log.entryAdded")
                 if p["entry"]["level"] in ("error", "warning")]
        words += [json.dumps(p["args"])
                  for p in self.noted("Runtime.consoleAPICalled")]
        words += [json.dumps(p["exceptionDetails"])
                  for p in self.noted("Runtime.exceptionThrown")]
        return words + [json.dumps(p["issue"])
                        for p in self.noted("Audits.issueAdded")]

    def close(self):
        os.close(self.write)
        try:
            self.proc.wait(10)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        os.close(self.read)
