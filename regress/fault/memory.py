"""
memory.py: row T27 of the fault catalogue: the Nth allocation of a process
fails, and two more behind it, while it works on a job, for every N up to what
a whole job takes. Each N is a job of its own, which has to have an end; the
process may fail what it was about, or end with a clean error.

In `make check` and `make asan` (there under the sanitizers) as many of them
are tried as there is time for, others each time; `make soak PAIR=memory` tries
all of them.
"""
import random
import time

from lib import host, invariants

PROGRAMS = ("takod", "tako-api", "tako-worker")
BROKEN = ("interrupted", "internal_error", "sandbox_died", "docker_error")
MANY = 10 ** 9
MORE = "open('/output/a', 'w').write('x')"


class Sweep:
    def __init__(self, client, program, seed):
        self.client, self.takod = client, client.takod
        self.points = self.takod.points
        self.program, self.seed = program, seed
        self.tried = 0

    def count(self):
        """How many allocations it makes for a job."""
        self.client.succeeds(self.client.must_submit())
        self.filled()
        self.points.malloc(self.program, MANY, 1)
        self.client.succeeds(self.client.must_submit(more=MORE))
        self.filled()
        count = MANY - self.points.malloc_left()
        self.points.clear()
        return count

    def filled(self):
        """The next job's slot is made meanwhile, with a worker of its own."""
        host.wait_for("the pool is full", lambda: [
            w for w in self.takod.workers() if w["state"] == "ready"], 20)

    def alive(self):
        """Out of memory may be its end, but a clean one; then it starts."""
        if self.takod.alive():
            return
        log = self.takod.log()[-4000:]
        assert self.takod.proc.returncode == 1, log
        self.points.clear()
        self.takod.start()

    def one(self, after):
        token = "2700%04x%08x" % (PROGRAMS.index(self.program), after)
        jobs, front = [], self.takod.children("tako-api")

        def taken():
            self.alive()
            status, job, _ = self.client.submit(
                key="%s-%06d" % (self.program, after), token=token, more=MORE)
            jobs.append(job)
            return status == 200

        def ended():
            self.alive()
            status, _, record = self.client.ask(
                "GET", "/executions/%s?view=full" % jobs[-1])
            return status == 200 and record if record.get(
                "status") in invariants.TERMINAL else None
        self.points.malloc(self.program, after, 3)
        host.wait_for("the job is taken", taken, 40, 0.01)
        # A breaker may be open for half a minute.
        record = host.wait_for("it ends", ended, 60, 0.01)
        self.points.clear()
        self.alive()
        self.client.inv.seen(jobs[-1], record)
        assert record["status"] == "succeeded" or (
            record["error"]["type"] in BROKEN), (after, record)
        if self.program == "tako-api" and (
                self.takod.children("tako-api") != front):
            # The next one that dies so soon is replaced ever later.
            self.takod.stop()
            self.takod.start()

    def run(self, seconds=None):
        """(how many were tried, how many there are)"""
        begun, total = time.monotonic(), self.count()
        size = len(self.takod.log())
        order = list(range(total))
        random.Random(self.seed).shuffle(order)
        for after in order:
            if seconds and time.monotonic() - begun > seconds:
                break
            try:
                self.one(after)
            except host.Deadline as error:
                raise AssertionError("allocation %d: %s\n%s" % (
                    after, error, self.takod.log()[-4000:])) from None
            self.tried += 1
        said = self.takod.log()[size:]
        for word in ("ERROR: AddressSanitizer", "runtime error:"):
            assert word not in said, said[said.index(word) - 500:][:3000]
        return self.tried, total
