#!/usr/bin/python3
"""
kill.py: kills takod, its children and its containers with SIGKILL at random
moments over a running load, and checks what was promised.

	regress/durable/kill.py --build DIR [--moments 200] [--store NAME]
		[--runtime NAME] [--seed N]

Checked: every job that was acknowledged reaches exactly one terminal state
and keeps it; after a start no container of the life before is left; no job
ran twice, and none that is recorded as succeeded did not run. What ran is not
asked of takod: tap.py stands between takod and the runtime and writes down
which code entered which container and whose output came out of it.

The last line says what was seen; the exit status is 0 when all held. The seed
is printed first: it gives the same choices again, though not the same timing.
"""
import collections
import http.client
import os
import random
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from lib import host  # noqa: E402
from lib.fault import campaign, say, tapped_runtime  # noqa: E402
from lib.takod import Takod, TERMINAL  # noqa: E402

STORES = ("sqlite", "pg")
TARGETS = ("parent", "api", "worker", "workers", "container", "containers",
           "everything")
CLIENTS = 3
WAITING = 8  # jobs that each client keeps under way
END_SECONDS = 180
# How a job may end when what ran it was killed.
BROKEN = ("interrupted", "internal_error", "sandbox_died", "killed",
          "docker_error", "service_unavailable")


def job_code(token, seconds):
    return ("# TOKEN-%s\nimport time\nprint('RAN-%s', flush=True)\n"
            "time.sleep(%.3f)\nprint('END-%s')\n"
            % (token, token, seconds, token))


class Load(threading.Thread):
    """
    A client: submits jobs for as long as it is told to. Where an answer does
    not come, one with an idempotency key asks again, as a real one would.
    """

    def __init__(self, takod, seed):
        super().__init__(daemon=True)
        self.takod, self.random = takod, random.Random(seed)
        self.acknowledged = {}  # id -> token
        self.again = collections.deque()  # (token, body) without an answer
        self.stopped = threading.Event()

    def make(self):
        token = "%016x" % self.random.getrandbits(64)
        seconds = self.random.choice((0, 0, 0.02, 0.1, 0.3))
        body = {"code": job_code(token, seconds), "timeout": 100}
        if self.random.random() < 0.5:
            body["idempotency_key"] = "key-" + token
        return token, body

    def submit(self):
        """The id of an acknowledged job, or None."""
        token, body = self.again.popleft() if self.again else self.make()
        answer = {}
        try:
            status, _, answer = self.takod.post("/execute/async", body, 10)
        except (OSError, ValueError, http.client.HTTPException):
            status = 0  # the front was killed: perhaps it was taken
        if status == 200:
            self.acknowledged[answer["job_id"]] = token
            return answer["job_id"]
        if "idempotency_key" in body:
            self.again.append((token, body))
        return None

    def ended(self, job):
        try:
            answer = self.takod.get("/jobs/" + job, 10)[2]
            return answer.get("status") in TERMINAL
        except (OSError, ValueError, AttributeError,
                http.client.HTTPException):
            return False

    def run(self):
        waiting = collections.deque()
        while not self.stopped.wait(self.random.uniform(0, 0.05)):
            if len(waiting) < WAITING:
                job = self.submit()
                if job:
                    waiting.append(job)
            elif self.ended(waiting[0]):
                waiting.popleft()


class Trial:
    """A daemon on one store, its load, and the moments."""

    def __init__(self, store, runtime, seed, say):
        self.store, self.runtime, self.seed, self.say = (
            store, runtime, seed, say)
        self.random = random.Random(seed)
        self.ends = {}  # id -> (status, error type) as first seen
        self.problems = []
        self.killed = collections.Counter()
        self.takod, self.loads = None, []

    # ---- set-up -------------------------------------------------------------

    def open(self):
        folder = os.path.join(host.scratch(), "tap-%s-%d" % (
            self.store, self.seed))
        path, self.tap_log = tapped_runtime(folder, self.runtime)
        self.takod = Takod("oci", self.runtime, self.store, config={
            self.runtime + "_path": path,
            "warm_pool_size": 2, "max_workers": 3, "log_level": "DEBUG"})
        for n in range(CLIENTS):
            self.loads.append(Load(self.takod, self.seed * 100 + n))
            self.loads[-1].start()

    def close(self):
        for load in self.loads:
            load.stopped.set()
        for load in self.loads:
            load.join(30)
        if self.takod and self.takod.proc.returncode is None:
            self.takod.stop(90)

    # ---- one moment ---------------------------------------------------------

    def victims(self, target):
        takod = self.takod
        workers = takod.children("tako-worker")
        containers = sorted(takod.container_pids())
        pick = self.random.choice
        return {
            "parent": lambda: [takod.pid],
            "api": lambda: takod.children("tako-api"),
            "worker": lambda: [pick(workers)] if workers else [],
            "workers": lambda: workers,
            "container": lambda: [pick(containers)] if containers else [],
            "containers": lambda: containers,
            "everything": lambda: [takod.pid] + takod.children()
            + containers,
        }[target]()

    def moment(self, number):
        time.sleep(self.random.uniform(0, 0.6))  # the random moment
        target = self.random.choice(TARGETS)
        before = self.takod.containers()
        victims = self.victims(target)
        for pid in victims:
            host.signal_pid(pid, signal.SIGKILL)
        self.killed[target] += 1
        if target in ("parent", "everything"):
            self.takod.proc.wait()
            self.takod.start(wait=False)
            self.takod.wait_ready()
            left = before & self.takod.containers()
            if left:
                self.problem("after kill %d of %s a container is left: %s"
                             % (number, target, sorted(left)))
        else:
            host.wait_for("the front is back", self.front_answers, 20)
            if self.takod.proc.poll() is not None:
                self.problem("kill %d of %s ended takod with %s:\n%s" % (
                    number, target, self.takod.proc.returncode,
                    self.takod.log()[-2000:]))
                self.takod.start()

    def front_answers(self):
        try:
            return self.takod.get("/health", 5)[0] in (200, 503)
        except (OSError, ValueError, http.client.HTTPException):
            return self.takod.proc.poll() is not None

    # ---- checks -------------------------------------------------------------

    def problem(self, text):
        self.problems.append(text)
        self.say(text)

    def acknowledged(self):
        jobs = {}
        for load in self.loads:
            jobs.update(dict(load.acknowledged))
        return jobs

    def see_ends(self, jobs, seconds):
        """Notes how each job ended; a state once seen may not change."""
        end = time.monotonic() + seconds
        for job in jobs:
            while True:
                status, _, record = self.takod.get(
                    "/executions/%s?view=full" % job, 30)
                if status == 404:
                    self.problem("job %s was acknowledged and is lost" % job)
                    break
                if status == 200 and record["status"] in TERMINAL:
                    self.seen(job, record)
                    break
                if time.monotonic() > end:
                    self.problem("job %s does not end: %r" % (job, record))
                    break
                time.sleep(0.05)

    def seen(self, job, record):
        error = (record["error"] or {}).get("type")
        found = (record["status"], error, record["ended_at"],
                 record["stdout"])
        if self.ends.setdefault(job, found) != found:
            self.problem("job %s ended twice: %r, then %r" % (
                job, self.ends[job], found))

    def tapped(self):
        """token -> containers that were given its code, that printed it."""
        given = collections.defaultdict(set)
        ran = collections.defaultdict(set)
        for line in host.read(self.tap_log).splitlines():
            word, container, token = line.split()
            (given if word == "given" else ran)[token].add(container)
        return given, ran

    def check(self):
        jobs = self.acknowledged()
        self.see_ends(jobs, END_SECONDS)
        self.see_ends(jobs, 30)  # once more: an end is an end
        given, ran = self.tapped()
        for token in set(given) | set(ran):
            if len(given[token]) > 1 or len(ran[token]) > 1:
                self.problem("code %s ran twice: given to %s, ran in %s" % (
                    token, sorted(given[token]), sorted(ran[token])))
        for job, token in jobs.items():
            if job not in self.ends:
                continue
            status, error, _, stdout = self.ends[job]
            if status == "succeeded":
                if not ran[token] or stdout != "RAN-%s\nEND-%s\n" % (
                        token, token):
                    self.problem("job %s succeeded, but what ran is %r, "
                                 "stdout %r" % (job, ran[token], stdout))
            elif status != "failed" or error not in BROKEN:
                self.problem("job %s ended as %s, %s" % (job, status, error))
            if error == "interrupted" and not given[token]:
                # Allowed only in the moment between the row that says
                # "started" and the hand-over: counted, shown.
                self.killed["interrupted before the hand-over"] += 1
        return jobs

    def run(self, moments):
        self.open()
        try:
            for number in range(1, moments + 1):
                self.moment(number)
                if number % 20 == 0:
                    self.say("%s: %d moments, %d jobs acknowledged" % (
                        self.store, number, len(self.acknowledged())))
            for load in self.loads:
                load.stopped.set()
            for load in self.loads:
                load.join(30)
            jobs = self.check()
        finally:
            self.close()
        if not jobs:
            self.problem("no job was acknowledged: nothing was tried")
        ends = collections.Counter(
            "%s%s" % (e[0], ":" + e[1] if e[1] else "")
            for e in self.ends.values())
        self.say("%s, %s: seed %d, %d moments (%s), %d jobs (%s), "
                 "%d problems" % (
                     self.store, self.runtime, self.seed, moments,
                     counted(self.killed), len(jobs), counted(ends),
                     len(self.problems)))
        return self.problems


def counted(counter):
    return ", ".join("%s %d" % pair for pair in sorted(counter.items()))


def add(parser):
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--store", choices=STORES)
    parser.add_argument("--runtime", choices=("runsc", "runc"),
                        default="runc")


def problems_of(options):
    problems = []
    for store in [options.store] if options.store else STORES:
        problems += Trial(store, options.runtime, options.seed,
                          say).run(options.moments)
    return problems


if __name__ == "__main__":
    sys.exit(campaign(__doc__, add, problems_of))
