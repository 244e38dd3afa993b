"""
memory.py: row T27 of the fault catalogue: the Nth allocation of a process
fails while it works on a job, for every N up to what a whole job takes: alone,
for then nothing else may hide that nobody looked at it, and with two more
behind it. Each time is a job of its own, which has to have an end; the process
may fail what it was about, or end with a clean error.

In `make check` and `make asan` (there under the sanitizers) as many of them
are tried as there is time for, others each time; `make soak PAIR=memory` tries
all of them.
"""
import itertools
import json
import random
import signal
import time

from lib import host, invariants

CHILDREN = ("tako-worker", "tako-words")
PROGRAMS = ("takod", "tako-api", *CHILDREN)
BROKEN = ("interrupted", "internal_error", "sandbox_died", "docker_error")
FAILS = (1, 3)  # one behind the other
MANY = 10 ** 9
MORE = "open('/output/a', 'w').write('x')"
# Of a worker that ends nobody has to wait for longer.
QUICK = 20


class Sweep:
    def __init__(self, client, program, seed):
        self.client, self.takod = client, client.takod
        self.points = self.takod.points
        self.program, self.seed = program, seed
        self.words = program == "tako-words"
        self.tokens = []
        self.tried = 0

    def count(self):
        """How many allocations it makes for a job."""
        self.client.succeeds(self.client.must_submit())
        self.settled()
        self.begins_anew()
        self.points.malloc(self.program, MANY, 1)
        self.client.succeeds(self.client.must_submit(more=MORE))
        self.settled()
        count = MANY - self.points.malloc_left()
        self.points.clear()
        return count

    def begins_anew(self):
        """What takes texts apart serves many jobs: here one each time."""
        if self.words:
            for pid in self.takod.children("tako-words"):
                host.signal_pid(pid, signal.SIGKILL)

    def settled(self):
        """
        What goes on behind a job is done: the next one's slot is made, with a
        worker of its own, or its words are indexed.
        """
        def ready():
            self.alive()
            shown = self.takod.takoctl("--json", "workers")
            return shown.returncode == 0 and [
                w for w in json.loads(shown.stdout)["workers"]
                if w["state"] == "ready"]

        def indexed():
            return self.points.malloc_failed() > 0 or self.indexed()
        if self.words:
            host.wait_for("its words are indexed", indexed, every=0.05)
        else:
            host.wait_for("the pool is full", ready, every=0.1)

    def search(self, word):
        status, _, answer = self.client.ask("GET", "/executions?q=" + word)
        assert status == 200, (status, answer)
        return answer

    def indexed(self):
        return self.search("x")["takod"]["unindexed"] == 0

    def alive(self):
        """Out of memory may be its end, but a clean one; then it starts."""
        if self.takod.alive():
            return
        log = self.takod.log()[-4000:]
        assert self.takod.proc.returncode == 1, log
        self.points.clear()
        self.takod.start()

    def one(self, after, fails):
        token = "27%02x%04x%08x" % (
            fails, PROGRAMS.index(self.program), after)
        jobs, front = [], self.takod.children("tako-api")

        def taken():
            self.alive()
            status, job, _ = self.client.submit(
                key="%s-%d-%06d" % (self.program, fails, after), token=token,
                more=MORE)
            jobs.append(job)
            return status == 200

        def ended():
            self.alive()
            status, _, record = self.client.ask(
                "GET", "/executions/%s?view=full" % jobs[-1])
            return status == 200 and record if record.get(
                "status") in invariants.TERMINAL else None
        self.begins_anew()
        begun = time.monotonic()
        self.points.malloc(self.program, after, fails)
        host.wait_for("the job is taken", taken, 40)
        # A breaker may be open for half a minute.
        record = host.wait_for("it ends", ended, 60, 0.05)
        self.settled()
        self.points.clear()
        self.alive()
        took = time.monotonic() - begun
        assert took < QUICK or self.program not in CHILDREN, took
        self.client.inv.seen(jobs[-1], record)
        self.tokens.append(token)
        assert record["status"] == "succeeded" or (
            record["error"]["type"] in BROKEN), record
        if self.program == "tako-api" and (
                self.takod.children("tako-api") != front):
            # The next one that dies so soon is replaced ever later.
            self.takod.stop()
            self.takod.start()

    def run(self, seconds=None):
        """(how many were tried, how many there are)"""
        begun, total = time.monotonic(), self.count()
        size = len(self.takod.log())
        order = list(itertools.product(range(total), FAILS))
        random.Random(self.seed).shuffle(order)
        for after, fails in order:
            if seconds and time.monotonic() - begun > seconds:
                break
            try:
                self.one(after, fails)
            except (host.Deadline, AssertionError) as error:
                raise AssertionError("allocation %d, %d of them: %s\n%s" % (
                    after, fails, error, self.takod.log()[-4000:])) from None
            self.tried += 1
        if self.words:
            host.wait_for("all can be searched for", self.indexed)
            for token in self.tokens:
                assert self.search(token)["count"] == 1, token
        said = self.takod.log()[size:]
        for word in ("ERROR: AddressSanitizer", "runtime error:"):
            assert word not in said, said[said.index(word) - 500:][:3000]
        return self.tried, len(order)
