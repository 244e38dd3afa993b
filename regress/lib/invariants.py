"""
invariants.py: what takod promises whatever breaks, checked over what clients
were told, over rows of the database and over what an engine was seen to do.

	I1	an acknowledged job is never lost and reaches one terminal state
	I2	a job moves forward only, by who holds it; an end is an end
	I3	its code starts at most once, and not before a row says so
	I4	no container of a job is left long after the job ended
	I5	no output of another job is in its record
	I6	a request is answered, or refused, within its deadline
	I7	one idempotency key, one job
	I8	what is degraded waits: it does not spin

A test tells what it sees, in any order and as often as it likes, and calls
check() last: the problems, in words. Calls may come from several threads. A
job whose output is to be told from others' prints RAN-<token>, and its code
has the text TOKEN-<token> (16 hex digits: code() makes such jobs).

To add a source of events, give it a method that notes what it saw; to add a
promise, a method that check() calls.
"""
import collections
import json
import re
import threading

TERMINAL = ("succeeded", "failed", "timeout", "oom", "cancelled")
RAN = re.compile(r"RAN-([0-9a-f]{16})")
# Of a row that has ended these may not change, and of no row the last three
# may become less.
GROWING = ("fence", "attempt", "code_started")


def code(token, seconds=0.0, more=""):
    """The code of a job that says when it began and when it was done."""
    return ("# TOKEN-%s\nimport time\nprint('RAN-%s', flush=True)\n%s\n"
            "time.sleep(%.3f)\nprint('END-%s')\n"
            % (token, token, more, seconds, token))


class Invariants:
    def __init__(self):
        self.lock = threading.RLock()
        self.tokens = {}  # acknowledged job -> token, or None
        self.keys = collections.defaultdict(set)  # key -> jobs
        self.ends = {}  # job -> its end, as a client saw it first
        self.rows = {}  # job -> its row as it was last seen
        self.gone = set()  # jobs whose rows may be gone: they were removed
        self.given = collections.defaultdict(set)  # token -> containers
        self.ran = collections.defaultdict(set)
        self.tapped = False  # given and ran are complete
        self.problems = []

    def problem(self, format, *args):
        with self.lock:
            text = format % args
            if text not in self.problems:
                self.problems.append(text)

    # ---- what clients saw ---------------------------------------------------

    def acknowledged(self, job, token=None, key=None):
        """A submit was answered with this job."""
        with self.lock:
            self.tokens[job] = token
            if key is not None:
                self.keys[key].add(job)

    def seen(self, job, record):
        """A record (view=full) as a client got it, ended or not."""
        with self.lock:
            token = self.tokens.get(job)
            words = json.dumps([record.get("stdout"), record.get("stderr"),
                                record.get("output")])
            foreign = set(RAN.findall(words)) - {token}
            if token is not None and foreign:
                self.problem("I5: record of job %s has output of %s", job,
                             sorted(foreign))
            if record["status"] not in TERMINAL:
                if job in self.ends:
                    self.problem("I1: job %s ended as %s, then is %s", job,
                                 self.ends[job][0], record["status"])
                return
            end = (record["status"], (record.get("error") or {}).get("type"),
                   record["ended_at"], record.get("stdout"),
                   json.dumps(record.get("output")))
            if self.ends.setdefault(job, end) != end:
                self.problem("I1: job %s ended twice: %r, then %r", job,
                             self.ends[job], end)

    # ---- rows ---------------------------------------------------------------

    def look(self, rows):
        """The rows of table jobs, as dicts, at one moment."""
        with self.lock:
            now = {row["id"]: row for row in rows}
            for job, row in now.items():
                if job in self.rows:
                    self.moved(job, self.rows[job], row)
            for job in set(self.rows) - set(now) - self.gone:
                self.problem("I1: the row of job %s is gone", job)
            self.rows.update(now)

    def moved(self, job, was, row):
        if was["status"] in TERMINAL:
            if {k: v for k, v in row.items() if was.get(k, v) != v}:
                self.problem("I2: row of job %s changed after its end: %r, "
                             "then %r", job, was, row)
            return
        for name in GROWING:
            if row[name] < was[name] and (
                    name != "code_started" or was["status"] == "running"):
                self.problem("I2: %s of job %s went from %s to %s", name,
                             job, was[name], row[name])
        if (row["status"] == "queued" and was["code_started"]
                and was["status"] == "running"):
            self.problem("I3: job %s waits again though its code may have "
                         "run", job)

    def removed(self, job):
        """Its record was removed on purpose."""
        with self.lock:
            self.gone.add(job)

    # ---- engine events ------------------------------------------------------

    def started(self, token, container):
        """The code of that job was handed into a container."""
        with self.lock:
            self.given[token].add(container)

    def printed(self, token, container):
        """Output of that job came out of a container."""
        with self.lock:
            self.ran[token].add(container)

    def tap(self, *paths):
        """Logs of regress/durable/tap.py, of all runtimes that were used."""
        for path in paths:
            with open(path) as file:
                for line in file:
                    word, container, token = line.split()
                    note = self.started if word == "given" else self.printed
                    note(token, container)
        self.tapped = True

    def containers_left(self, names):
        """They are there still, and no job has them."""
        for name in names:
            self.problem("I4: container %s is left", name)

    # ---- time ---------------------------------------------------------------

    def answered(self, what, seconds, limit):
        """A request's answer, of whatever kind, took so long."""
        if seconds > limit:
            self.problem("I6: %s was answered after %.1f s, not within %g s",
                         what, seconds, limit)

    def spent(self, what, cpu, seconds, share=0.2):
        """Processor time of a process while it could only wait."""
        if cpu > share * seconds + 0.1:
            self.problem("I8: %s spent %.2f s of %.2f s while it waited",
                         what, cpu, seconds)

    # ---- the promises -------------------------------------------------------

    def check(self):
        """Everything has been told: all problems, in words."""
        with self.lock:
            self.check_ends()
            self.check_starts()
            for key, jobs in self.keys.items():
                if len(jobs) > 1:
                    self.problem("I7: key %s made jobs %s", key,
                                 sorted(jobs))
            return self.problems

    def check_ends(self):
        for job in self.tokens:
            row = self.rows.get(job)
            end = self.ends.get(job)
            if self.rows and row is None and job not in self.gone:
                self.problem("I1: job %s was acknowledged and has no row",
                             job)
            elif row is not None and row["status"] not in TERMINAL:
                self.problem("I1: job %s has not ended: %r", job, row)
            elif row is None and end is None:
                self.problem("I1: nobody saw the end of job %s", job)
            if row is not None and end is not None and (
                    row["status"] != end[0]):
                self.problem("I1: job %s is %s, a client was told %s", job,
                             row["status"], end[0])

    def check_starts(self):
        for token in set(self.given) | set(self.ran):
            if len(self.given[token]) > 1 or len(self.ran[token]) > 1:
                self.problem("I3: code %s ran twice: given to %s, ran in %s",
                             token, sorted(self.given[token]),
                             sorted(self.ran[token]))
        if not self.tapped:
            return
        for job, token in self.tokens.items():
            row = self.rows.get(job)
            if row is None or token is None:
                continue
            if self.given[token] and not row["code_started"]:
                self.problem("I3: code of job %s ran, and its row does not "
                             "say that it began: %r", job, row)
            if row["status"] == "succeeded" and not self.ran[token]:
                self.problem("I3: job %s succeeded and did not run", job)
