"""
fault.py: what tests of faults share: a client that notes what it was told for
invariants.py, a runtime whose jobs are seen to start, processor time, and the
command line of programs that break takod at random.
"""
import argparse
import http.client
import itertools
import os
import random
import signal
import stat
import time

from . import host, invariants, shared

TAP = os.path.join(shared.TOP, "regress", "durable", "tap.py")
ANSWER_SECONDS = 25  # no request but a wait takes longer, whatever breaks
TOKENS = itertools.count(1)


def tapped_runtime(folder, runtime):
    """
    (path, log): a program that is the runtime with tap.py before it, which
    writes down whose code entered which container.
    """
    os.makedirs(folder, exist_ok=True)
    log, path = os.path.join(folder, "tap.log"), os.path.join(folder, "run")
    with open(path, "w") as file:
        file.write('#!/bin/sh\nexec /usr/bin/python3 -I "%s" "%s" "%s" "$@"\n'
                   % (TAP, log, runtime))
    os.chmod(path, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP
             | stat.S_IROTH | stat.S_IXOTH)
    open(log, "a").close()
    return path, log


def fill(volume, piece=4096):
    """Takes all the space there is, to the last piece; returns the file to
    remove."""
    name = os.path.join(volume, "filler")
    with open(name, "wb", 0) as file:
        try:
            while True:
                file.write(b"x" * piece)
        except OSError:
            pass
    return name


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Client:
    """Submits jobs to a takod, waits for their ends, tells an Invariants."""

    def __init__(self, takod, inv=None, proxy=None, log=None):
        self.takod, self.inv = takod, inv or invariants.Invariants()
        self.proxy, self.log = proxy, log  # where starts are seen

    def ask(self, method, path, body=None, limit=ANSWER_SECONDS):
        """(status, headers, answer); status 0 when none came."""
        begun = time.monotonic()
        try:
            answer = self.takod.request(method, path, body,
                                        timeout=limit + 10)
        except (OSError, ValueError, http.client.HTTPException) as error:
            answer = 0, {}, {"error": str(error)}
        self.inv.answered("%s %s" % (method, path),
                          time.monotonic() - begun, limit)
        return answer

    def submit(self, seconds=0.0, key=None, token=None, more="", **fields):
        """(status, id or None, headers); what is acknowledged is noted."""
        token = token or "%08x%08x" % (os.getpid(), next(TOKENS))
        body = {"code": invariants.code(token, seconds, more), **fields}
        if key is not None:
            body["idempotency_key"] = key
        status, heads, answer = self.ask("POST", "/execute/async", body)
        if status != 200:
            return status, None, heads
        self.inv.acknowledged(answer["job_id"], token, key)
        return status, answer["job_id"], heads

    def must_submit(self, *args, **more):
        status, job, _ = self.submit(*args, **more)
        assert status == 200, status
        return job

    def ended(self, job, seconds=90):
        """The record of a job, once it has ended."""
        def probe():
            status, _, record = self.ask(
                "GET", "/executions/%s?view=full" % job)
            if status != 200:
                return None
            self.inv.seen(job, record)
            return record if record["status"] in invariants.TERMINAL else None
        return host.wait_for("job %s ends" % job, probe, seconds, 0.05)

    def succeeds(self, job, seconds=90):
        record = self.ended(job, seconds)
        token = self.inv.tokens[job]
        assert (record["status"], record["stdout"]) == (
            "succeeded", "RAN-%s\nEND-%s\n" % (token, token)), record
        return record

    def healthy(self):
        status, _, answer = self.ask("GET", "/health")
        return status == 200 and answer["status"] == "healthy"

    def refused(self):
        """A submit that has to be told to come again later."""
        status, job, heads = self.submit()
        assert status == 503, (status, job)
        assert int(heads["retry-after"]) >= 1
        return True

    def check(self, seconds=90):
        """Every job has ended, and every promise was kept."""
        for job in list(self.inv.tokens):
            self.ended(job, seconds)
        if self.log:
            self.inv.tap(self.log)
        if self.proxy:
            for seen, note in ((self.proxy.given, self.inv.started),
                               (self.proxy.ran, self.inv.printed)):
                for token, containers in list(seen.items()):
                    for container in list(containers):
                        note(token, container)
            self.inv.tapped = True
        self.idle()
        problems = self.inv.check()
        assert problems == [], "\n".join(problems)

    def idle(self, seconds=20):
        """Containers are those of the pool, and none of jobs."""
        def probe():
            stats = self.takod.stats()
            # One more may be on its way in or out.
            found = [name for name in self.takod.containers()
                     if not name.endswith(".run")]
            return stats["running"] == 0 and len(
                found) <= self.takod.keys.get("warm_pool_size", 0)
        try:
            host.wait_for("only the pool is left", probe, seconds, 0.1)
        except host.Deadline:
            self.inv.containers_left(self.takod.containers())


class Waiting:
    """with Waiting(client): the daemon's processor time in there is small."""

    def __init__(self, client, seconds=0.0):
        self.client, self.seconds = client, seconds

    def pids(self):
        takod = self.client.takod
        return [takod.pid] + takod.children("tako-api")

    def __enter__(self):
        self.begun = time.monotonic()
        self.before = {pid: cpu_seconds(pid) for pid in self.pids()}
        return self

    def __exit__(self, *error):
        if error[0] is None:
            left = self.begun + self.seconds - time.monotonic()
            time.sleep(max(0, left))  # a measured time, no wait for a result
            took = time.monotonic() - self.begun
            for pid, before in self.before.items():
                if host.alive(pid):
                    self.client.inv.spent("process %d" % pid, cpu_seconds(
                        pid) - before, took)


# ---- programs that break takod at random ------------------------------------

def some_seed():
    return random.SystemRandom().getrandbits(31)


def say(text):
    print(text, flush=True)


def campaign(doc, add, problems_of):
    """
    The whole of such a program: its options are --build, --seed and those
    that add(parser) adds. The seed is printed; problems_of(options) tries it
    and returns what was wrong, in words. Returns the exit status.
    """
    parser = argparse.ArgumentParser(description=doc.split("\n")[1])
    parser.add_argument("--build", required=True)
    parser.add_argument("--seed", type=int, default=some_seed())
    add(parser)
    options = parser.parse_args()
    os.environ["TAKO_REGRESS_BUILD"] = os.path.abspath(options.build)
    say("seed %d" % options.seed)

    def ended(number, frame):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, ended)
    host.clean_former()
    try:
        problems = problems_of(options)
    finally:
        shared.close()
        host.clean(host.scratch())
    for problem in problems:
        say("PROBLEM: " + problem)
    return 1 if problems else 0
