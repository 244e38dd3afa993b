#!/usr/bin/python3
"""
random_faults.py: row T38 of the fault catalogue: faults of the other rows at
random, at random moments, over a running load, and then every promise checked.

	regress/fault/random_faults.py --build DIR [--seed N]
		[--seconds 600 | --rounds N] [--pair sqlite|pg|fake]

`make soak SECONDS=n SEED=n` calls it so, with ROUNDS=n instead and PAIR=name;
make check runs it for some seconds. Time and rounds are for each pair. The
seed is printed first: it gives the same faults again in the same order, though
not at the same instants. The exit status is 0 when all promises held.
"""
import collections
import os
import random
import resource
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tools"))

import memory  # noqa: E402
from fakedockerd import RunningDockerd  # noqa: E402
from lib import host, invariants, shared  # noqa: E402
from lib.failpoints import FailTakod  # noqa: E402
from lib.fault import Client, campaign, say, tapped_runtime  # noqa: E402
from lib.postgres import Postgres  # noqa: E402
from lib.proxy import DockerProxy, PgProxy  # noqa: E402

# OCI engine with SQLite; Docker engine with PostgreSQL, each behind a proxy;
# an engine that only seems to run jobs, behind a proxy, with SQLite: quicker.
PAIRS = ("sqlite", "pg", "fake")
PACE = {"fake": 0.3}  # of the pauses
CONFIG = {"warm_pool_size": 1, "max_workers": 3, "drain_timeout": 5,
          "queue_wait_timeout": 1, "retry_base_delay": 0.1,
          "max_retry_attempts": 10}
CLIENTS = 2
WAITING = 6  # jobs that each client keeps under way
BROKEN = ("interrupted", "internal_error", "sandbox_died", "killed",
          "docker_error", "service_unavailable")
POINTS = ("takod.submitted", "takod.claimed", "takod.creating",
          "takod.created", "takod.started", "takod.handed_over",
          "takod.ended", "takod.finishing", "takod.finished",
          "takod.removed", "worker.ready", "worker.given", "worker.running",
          "worker.collecting", "worker.done", "words.text",
          "api.answered")
STATES = ("40001", "40P01", "55P03", "25006", "57P01", "57014", "53100",
          "53200")
STATEMENTS = ("S_SUBMIT", "S_CLAIM", "S_START", "S_RELEASE", "S_FINISH",
              "S_GET", "S_COUNTS", "connect")
CALLS = ("ping", "create", "attach", "start", "inspect", "wait", "delete",
         "list")


class Load(threading.Thread):
    """A client that keeps jobs under way, each with a key, and asks again."""

    def __init__(self, client, seed):
        super().__init__(daemon=True)
        self.client, self.random = client, random.Random(seed)
        self.over = threading.Event()
        self.again = collections.deque()

    def one(self):
        if self.again:
            return self.again.popleft()
        token = "%016x" % self.random.getrandbits(64)
        return token, self.random.choice((0, 0.02, 0.1, 0.4))

    def run(self):
        under_way = collections.deque()
        while not self.over.wait(self.random.uniform(0, 0.05)):
            if len(under_way) < WAITING:
                token, seconds = self.one()
                status, job, _ = self.client.submit(
                    seconds, key="key-" + token, token=token, timeout=60)
                if status == 200:
                    under_way.append(job)
                else:
                    self.again.append((token, seconds))
                continue
            status, _, record = self.client.ask(
                "GET", "/executions/%s?view=full" % under_way[0])
            if status == 200:
                self.client.inv.seen(under_way[0], record)
                if record["status"] in invariants.TERMINAL:
                    under_way.popleft()


class Trial:
    def __init__(self, pair, seed, say):
        self.pair, self.seed, self.say = pair, seed, say
        self.random = random.Random("%s %d" % (pair, seed))
        self.counted = collections.Counter()
        self.problems, self.loads, self.log = [], [], None
        self.postgres = self.pg = self.docker = self.takod = None
        self.fake = None

    # ---- set-up -------------------------------------------------------------

    def open(self):
        folder = os.path.join(host.scratch(), "random-%s-%d" % (
            self.pair, self.seed))
        config = dict(CONFIG)
        if self.pair == "sqlite":
            path, self.log = tapped_runtime(folder, "runc")
            config["runc_path"] = path
            self.takod = FailTakod("oci", "runc", config=config)
        else:
            os.mkdir(folder, 0o711)
            self.takod = FailTakod("docker", "runc", config={
                **config, **getattr(self, "set_up_" + self.pair)(folder)})
            if self.fake:
                self.takod.docker_containers = lambda: [
                    {"Id": c.id, "Name": c.name} for c in self.fake.all()]
        self.points = self.takod.points
        self.client = Client(self.takod, proxy=self.docker, log=self.log)
        for n in range(CLIENTS):
            self.loads.append(Load(self.client, self.seed * 100 + n))
            self.loads[-1].start()

    def set_up_pg(self, folder):
        self.postgres = Postgres(os.path.join(folder, "postgres"))
        self.pg = PgProxy(self.postgres)
        self.postgres.create("soak")
        self.docker = DockerProxy(os.path.join(folder, "docker.sock"),
                                  shared.dockerd().docker_host)
        return {"docker_host": self.docker.docker_host,
                "docker_image": shared.docker_image(),
                "database_url": self.pg.url("soak")}

    def set_up_fake(self, folder):
        self.fake = RunningDockerd(os.path.join(folder, "fake.sock"))
        self.docker = DockerProxy(os.path.join(folder, "docker.sock"),
                                  self.fake.docker_host)
        return {"docker_host": self.docker.docker_host,
                "docker_image": "fake"}

    def close(self):
        for load in self.loads:
            load.over.set()
        for load in self.loads:
            load.join(60)
        self.heal()
        if self.takod is not None and self.takod.proc.returncode is None:
            try:
                self.takod.stop(90)
            except AssertionError as error:
                self.problems.append(str(error))
        for other in (self.pg, self.docker, self.fake):
            if other is not None:
                other.close()
        if self.postgres is not None:
            self.postgres.stop()

    # ---- faults: each is done when it returns -------------------------------

    def kill_child(self):
        children = self.takod.children()
        if children:
            host.signal_pid(self.random.choice(children), signal.SIGKILL)

    def pause(self, least, most):
        time.sleep(self.random.uniform(least, most)
                   * PACE.get(self.pair, 1))

    def kill_container(self):
        if self.fake:
            containers = self.fake.all()
            if containers:
                self.fake.do_kill(None, self.random.choice(containers))
            return
        pids = sorted(self.takod.container_pids())
        if pids:
            host.signal_pid(self.random.choice(pids), signal.SIGKILL)

    def kill_parent(self):
        self.takod.kill9()

    def kill_everything(self):
        for pid in [self.takod.pid] + self.takod.children() + sorted(
                self.takod.container_pids()):
            host.signal_pid(pid, signal.SIGKILL)
        self.takod.proc.wait()

    def stand_still(self):
        pid = self.random.choice([self.takod.pid] + self.takod.children())
        host.signal_pid(pid, signal.SIGSTOP)
        self.pause(0.05, 0.5)
        host.signal_pid(pid, signal.SIGCONT)

    def failpoint(self):
        self.points.set(self.random.choice(POINTS), "kill",
                        self.random.randrange(3))
        self.pause(0.1, 0.5)
        self.points.clear()

    def no_memory(self):
        self.points.malloc(
            self.random.choice(("takod", "tako-api", "tako-worker")),
            self.random.randrange(500), self.random.randrange(1, 4))
        self.pause(0.3, 0.3)
        self.points.clear()

    def no_descriptors(self):
        pid = self.random.choice(
            [self.takod.pid] + self.takod.children("tako-api"))
        try:
            was = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            count = len(os.listdir("/proc/%d/fd" % pid))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (
                count + self.random.randrange(4), was[1]))
            self.pause(0.1, 0.5)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, was)
        except (ProcessLookupError, FileNotFoundError, PermissionError):
            pass  # it is just being replaced

    def clock(self):
        self.points.clock(self.random.choice((-3600, 3600)))
        self.pause(0.1, 0.5)
        self.points.clear()

    def hangup(self):
        for _ in range(self.random.randrange(1, 5)):
            host.signal_pid(self.takod.pid, signal.SIGHUP)

    def pg_break(self):
        self.pg.cut_all()

    def pg_dead(self):
        self.pg.die()
        self.pause(0.1, 2)
        self.pg.revive()

    def pg_rule(self):
        kind = self.random.choice(("error", "cut", "cut_sent", "cut_done",
                                   "delay_done"))
        value = {"error": self.random.choice(STATES),
                 "delay_done": 0.5}.get(kind)
        self.pg.rule(self.random.choice(STATEMENTS[:-1]), kind, value)

    def pg_restart(self):
        self.postgres.kill()
        self.pause(0, 0.5)
        self.postgres.start()

    def docker_break(self):
        self.docker.cut_all()

    def docker_streams(self):
        self.docker.cut_streams()

    def docker_dead(self):
        self.docker.die()
        self.pause(0.1, 2)
        self.docker.revive()

    def docker_rule(self):
        kind = self.random.choice(("error", "done", "cut", "cut_sent",
                                   "cut_done", "delay_done", "half", "raw"))
        value = {"error": self.random.choice((500, 409, 507)), "done": 500,
                 "delay_done": 0.5, "raw": b"HTTP/1.1 200 OK\r\n\r\n{"
                 }.get(kind)
        self.docker.rule(self.random.choice(CALLS), kind, value)

    FAULTS = (kill_child, kill_container, kill_parent, kill_everything,
              stand_still, failpoint, failpoint, no_memory, no_descriptors,
              clock, hangup)
    PG_FAULTS = (pg_break, pg_dead, pg_rule, pg_rule, pg_restart)
    DOCKER_FAULTS = (docker_break, docker_streams, docker_dead, docker_rule,
                     docker_rule)

    def heal(self):
        for proxy in (self.pg, self.docker):
            if proxy is not None:
                proxy.clear()
        if self.takod is not None:
            self.points.clear()
            for pid in [self.takod.pid] + self.takod.children():
                host.signal_pid(pid, signal.SIGCONT)

    def round(self):
        self.pause(0, 0.4)  # the random moment
        faults = self.FAULTS + (self.PG_FAULTS if self.pg else ()) + (
            self.DOCKER_FAULTS if self.docker else ())
        fault = self.random.choice(faults)
        self.counted[fault.__name__] += 1
        fault(self)
        # An end by itself is one for want of memory, or by a failpoint.
        if not self.takod.alive():
            code = self.takod.proc.returncode
            if code not in (1, -signal.SIGKILL):
                self.problems.append("after %s takod ended with %d:\n%s" % (
                    fault.__name__, code, self.takod.log()[-2000:]))
            self.points.clear()
            self.start_again()

    def start_again(self):
        """As systemd does: it refuses to start on an engine that fails."""
        for _ in range(5):
            try:
                return self.takod.start()
            except AssertionError as error:
                if "RuntimeUnavailableError" not in str(error):
                    raise
        raise AssertionError("it does not start")

    # ---- the end ------------------------------------------------------------

    def check(self):
        self.heal()
        if not self.takod.alive():
            self.start_again()
        host.wait_for("takod is well", self.client.healthy, 90, 0.2)
        try:
            self.client.check(90)
        except AssertionError as error:
            self.problems.append(str(error))
        ends = collections.Counter()
        for job, end in self.client.inv.ends.items():
            ends["%s%s" % (end[0], ":" + end[1] if end[1] else "")] += 1
            if end[0] != "succeeded" and (
                    end[0] != "failed" or end[1] not in BROKEN):
                self.problems.append("job %s ended as %s, %s" % (
                    job, end[0], end[1]))
        if not ends:
            self.problems.append("no job was acknowledged")
        return ends

    def run(self, seconds, rounds=None):
        """For so long, or so many rounds; and until a job was taken."""
        number, ends = 0, {}
        try:
            self.open()
            begun = time.monotonic()

            def goes_on():
                took = time.monotonic() - begun
                return (number < rounds if rounds is not None
                        else took < seconds) or (
                            not self.client.inv.tokens and took < 120)
            while not self.problems and goes_on():
                self.round()
                number += 1
                if number % 500 == 0:
                    self.say("%s: %d rounds, %d jobs" % (
                        self.pair, number, len(self.client.inv.tokens)))
            for load in self.loads:
                load.over.set()
            for load in self.loads:
                load.join(60)
            ends = self.check()
        finally:
            self.close()
        self.say("%s: seed %d, %d faults (%s), jobs: %s; %d problems" % (
            self.pair, self.seed, sum(self.counted.values()), ", ".join(
                "%s %d" % one for one in sorted(self.counted.items())),
            ", ".join("%s %d" % one for one in sorted(ends.items())),
            len(self.problems)))
        return self.problems


def add(parser):
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--pair", choices=PAIRS + ("memory",))


def no_memory(seed):
    """Row T27, all of it."""
    takod = FailTakod("oci", "runc", config=CONFIG)
    try:
        for program in memory.PROGRAMS:
            say("%s: %d of %d allocations failed" % (
                program, *memory.Sweep(Client(takod), program, seed).run()))
    except AssertionError as error:
        return [str(error)]
    finally:
        takod.points.clear()
        takod.close()
    return []


def problems_of(options):
    if options.pair == "memory":
        return no_memory(options.seed)
    problems = []
    for pair in [options.pair] if options.pair else PAIRS:
        problems += Trial(pair, options.seed, say).run(
            options.seconds, options.rounds)
    return problems


if __name__ == "__main__":
    sys.exit(campaign(__doc__, add, problems_of))
