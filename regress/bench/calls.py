"""
calls.py: figures of a call with a slot ready, of jobs a second, of what filters
cost on a call, and of the memory of what stands by.
"""
import copy
import ctypes
import http.client
import json
import os
import re
import subprocess
import threading
import time

from figures import figure, finish, summary, turns
from lib import host, shared
from lib.takod import Takod, TERMINAL

BODY = json.dumps({"code": "print(1)"})
BARE = ["/usr/bin/python3", "-I", "-c", "print(1)"]
AT_ONCE = 4
CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
# Of the ratio, by figure.
CALL_GOALS = {"oci runc": 0.5, "oci runsc": 0.8, "docker runc": 1.2,
              "docker runsc": 2.0}
RATE_GOALS = {"oci": 0.9, "docker": 0.8}
FILTER_CALLS = 10  # a round: of a small difference more have to be seen
PSS_GOAL_MIB = 20


# ---- one call with a slot ready ---------------------------------------------

def bare():
    """ms of a whole interpreter process that prints 1."""
    return bare_command(BARE)


def bare_command(argv):
    null = os.open("/dev/null", os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]
    began = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
    os.waitpid(pid, 0)
    took = (time.perf_counter() - began) * 1000
    os.close(null)
    return took


def slots_back(takod, wanted):
    """Waits until the warm pool is full and nothing is being made."""
    def probe():
        stats = takod.stats()
        return (stats["running"] == 0
                and stats["takod"]["slots_ready"] >= wanted
                and stats["takod"]["slots_starting"] == 0)
    host.wait_for("ready slots are back", probe, 60)


def call(connection):
    """ms of one POST /execute, the whole round trip."""
    began = time.perf_counter()
    connection.request("POST", "/execute", BODY,
                       {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    took = (time.perf_counter() - began) * 1000
    assert answer["stdout"] == "1\n", answer
    return took


def execute(engine, runtime, store, rounds):
    takod = Takod(engine, runtime, store, config={
        "warm_pool_size": 2, "log_level": "WARNING"})
    floor, measured = [], []
    try:
        connection = http.client.HTTPConnection(takod.host, takod.port)
        for number in range(rounds + 3):
            slots_back(takod, 2)
            # The last container is being taken down: not within a measure.
            host.wait_for("nothing goes on",
                          lambda: not takod_works(takod), 20)
            one = bare()
            two = call(connection)
            if number >= 3:  # the first ones warm caches
                floor.append(one)
                measured.append(two)
        connection.close()
    finally:
        finish(takod)
    return figure("execute %s %s %s" % (engine, runtime, store), "ms", floor,
                  measured, "<=", CALL_GOALS["%s %s" % (engine, runtime)])


def takod_works(takod):
    """Does it or what it started (a runtime, a removal) use the processor?"""
    def used():
        total = 0
        for pid in [takod.pid] + [p.pid for p in
                                  host.descendants(takod.pid)]:
            stat = host.read("/proc/%d/stat" % pid)
            if stat:
                fields = stat.rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
        return total
    before = used()
    time.sleep(0.05)
    return used() - before > 1


# ---- what filters cost ------------------------------------------------------

def unfiltered():
    """takod without filters and Landlock of its own processes."""
    folder = os.path.join(shared.build(), "unfiltered")
    programs = [os.path.join(folder, name) for name in (
        "takod", "tako-api", "tako-worker", "tako-init")]
    subprocess.run(["make", "-s", "-C", shared.TOP, "B=" + folder,
                    "CFLAGS=-DSANDBOX_NULL -DLANDLOCK_NULL",
                    *programs], check=True,
                   stdin=subprocess.DEVNULL)
    return programs[0]


def filters(rounds):
    """Warm calls with the job's profile and takod's own filters, against
    calls to a takod that has neither; both turn about."""
    config = {"warm_pool_size": 1, "log_level": "WARNING"}
    daemons, connections = [], []

    def one(number):
        for daemon in daemons:
            slots_back(daemon, 1)
            host.wait_for("nothing goes on",
                          lambda: not takod_works(daemon), 20)
        return call(connections[number])
    try:
        daemons.append(Takod("oci", "runc", "sqlite", program=unfiltered(),
                             config={**config, "enable_seccomp": False}))
        daemons.append(Takod("oci", "runc", "sqlite", config=config))
        connections += [http.client.HTTPConnection(d.host, d.port)
                        for d in daemons]
        turns(3, lambda: one(0), lambda: one(1))  # they warm caches
        floor, measured = turns(rounds * FILTER_CALLS, lambda: one(0),
                                lambda: one(1))
    finally:
        for connection in connections:
            connection.close()
        for daemon in daemons:
            finish(daemon)
    return figure("filters oci runc", "ms", floor, measured, "<=", 1.03)


# ---- jobs per second --------------------------------------------------------

def many(function, count):
    """Calls function(n) count times, AT_ONCE at a time; calls a second."""
    numbers, lock, errors = list(range(count)), threading.Lock(), []

    def work():
        while not errors:
            with lock:
                if not numbers:
                    return
                number = numbers.pop()
            try:
                function(number)
            except Exception as error:
                errors.append(error)
    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return count / (time.perf_counter() - began)


def takod_rate(takod, count):
    """Jobs a second from the first submit to the last end."""
    began = time.perf_counter()
    jobs = [takod.submit("print(1)") for _ in range(count)]
    for job in jobs:
        record = takod.wait(job, 300)
        assert record["status"] in TERMINAL and record["stdout"] == "1\n", (
            record)
    return count / (time.perf_counter() - began)


def find_bundle(takod):
    """The bundle of a ready slot, as takod made it."""
    for folder, _, files in os.walk(takod.bundles):
        if "config.json" in files:
            with open(os.path.join(folder, "config.json")) as file:
                spec = json.load(file)
            if "ociVersion" in spec:
                return spec
    raise AssertionError("no bundle below " + takod.bundles)


def show_root(path):
    """
    takod has the image at a fixed path in the mount namespace of each
    runtime; we have it there in one of our own, made once.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (lambda: libc.unshare(CLONE_NEWNS),
                 lambda: libc.mount(b"none", b"/", None,
                                    MS_REC | MS_PRIVATE, None),
                 lambda: libc.mount(shared.rootfs().encode(), path.encode(),
                                    None, MS_BIND, None)):
        if call() == -1:
            raise OSError(ctypes.get_errno(), "mount namespace")


class Bundle:
    """That bundle, run to its end by the runtime alone, without takod."""

    def __init__(self, takod, runtime, count):
        self.runtime = runtime
        self.folder = os.path.join(takod.dir, "floor")
        self.instance = "takod-floor-%d" % os.getpid()
        host.note_instance(self.instance)
        spec = find_bundle(takod)
        spec["process"]["args"] = ["/usr/bin/python3", "-c", "print(1)"]
        spec["process"]["terminal"] = False
        if spec["root"]["path"] != shared.rootfs():
            show_root(spec["root"]["path"])
        # takod makes a container's user namespace, and the runtime joins it,
        # and the job's filter, which tako-init puts on; here the runtime
        # makes both.
        if runtime != "runsc":
            spec["linux"]["seccomp"] = json.loads(subprocess.run(
                [shared.program("regress/tools/engine_drive"), "-S"],
                check=True, capture_output=True).stdout)
        for namespace in spec["linux"]["namespaces"]:
            if namespace["type"] == "user":
                namespace.pop("path", None)
        for number in range(count):
            self.write(spec, number)

    def write(self, spec, number):
        own = copy.deepcopy(spec)
        path = own.get("linux", {}).get("cgroupsPath", "")
        name = "%s-%d" % (self.instance, number)
        if path:
            own["linux"]["cgroupsPath"] = os.path.join(
                os.path.dirname(path), name)
        folder = os.path.join(self.folder, str(number))
        os.makedirs(folder)
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(own, file)

    def run(self, number):
        root = os.path.join(self.folder, "root")
        arguments = ["--root", root]
        if self.runtime == "runsc":
            arguments += ["--network=none"]
        done = subprocess.run(
            [self.runtime, *arguments, "run", "--bundle",
             os.path.join(self.folder, str(number)),
             "%s-%d" % (self.instance, number)],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        assert done.stdout == b"1\n", (done.stdout, done.stderr)


class DockerFloor:
    """A container of the same shape by the Engine API alone."""

    def __init__(self, takod):
        found = takod.docker_containers()
        assert found, "no ready slot in the engine"
        shape = shared.docker_api("GET", "/containers/%s/json"
                                  % found[0]["Id"])[1]
        self.body = {**shape["Config"], "HostConfig": shape["HostConfig"],
                     "Entrypoint": ["/usr/bin/python3"],
                     "Cmd": ["-c", "print(1)"], "Labels": {}}
        for key in ("AttachStdin", "OpenStdin", "StdinOnce", "Tty"):
            self.body[key] = False

    def run(self, number):
        status, made = shared.docker_api(
            "POST", "/containers/create", self.body)
        assert status == 201, made
        path = "/containers/" + made["Id"]
        status, answer = shared.docker_api("POST", path + "/start")
        assert status == 204, answer
        answer = shared.docker_api("POST", path + "/wait")[1]
        assert answer["StatusCode"] == 0, answer
        status, answer = shared.docker_api("DELETE", path + "?v=1")
        assert status == 204, answer


def rate(engine, runtime, store, jobs, rounds):
    """No slot is ready when the first one comes."""
    keys = {"max_workers": AT_ONCE, "max_queue_size": jobs,
            "log_level": "WARNING"}
    takod = Takod(engine, runtime, store, config={**keys, "warm_pool_size": 1})
    floor, measured = [], []
    try:
        slots_back(takod, 1)
        alone = (DockerFloor(takod) if engine == "docker"
                 else Bundle(takod, runtime, jobs))
        takod.write_config(warm_pool_size=0)
        takod.takoctl("reload", check=True)
        for _ in range(rounds):
            host.wait_for("no slots", lambda: not takod.stats()[
                "takod"]["slots_ready"], 60)
            floor.append(many(alone.run, jobs))
            measured.append(takod_rate(takod, jobs))
    finally:
        finish(takod)
    return figure("rate %s %s %s" % (engine, runtime, store), "jobs/s", floor,
                  measured, ">=", RATE_GOALS[engine], jobs=jobs)


# ---- memory -----------------------------------------------------------------

def pss_kib(pid):
    found = re.search(r"^Pss: +(\d+) kB$",
                      host.read("/proc/%d/smaps_rollup" % pid), re.M)
    assert found, pid
    return int(found.group(1))


def memory(rounds):
    """PSS of takod, tako-api and four tako-workers, idle."""
    takod = Takod("oci", "runsc", "sqlite", config={
        "warm_pool_size": 4, "log_level": "WARNING"})
    samples, parts = [], {}
    try:
        slots_back(takod, 4)
        for _ in range(rounds):
            total = 0
            for pid in [takod.pid] + takod.children():
                comm = host.Process(pid).comm
                if comm not in ("takod", "tako-api", "tako-worker"):
                    continue
                size = pss_kib(pid)
                parts.setdefault(comm, []).append(size / 1024)
                total += size
            samples.append(total / 1024)
    finally:
        finish(takod)
    row = {"name": "memory idle", "unit": "MiB", "rule": "MiB <=",
           "measured": summary(samples), "goal": PSS_GOAL_MIB,
           "parts": {k: summary(v) for k, v in parts.items()}}
    row["met"] = row["measured"]["median"] <= PSS_GOAL_MIB
    return row


def plan(options):
    kinds = [(e, r) for e in ("oci", "docker") for r in ("runc", "runsc")]
    figures = [("execute %s %s %s" % (e, r, s), execute,
                (e, r, s, options.rounds))
               for e, r in kinds for s in ("pg", "sqlite")]
    figures += [("rate %s %s %s" % (e, r, s), rate,
                 (e, r, s, options.jobs, min(options.rounds, 3)))
                for e, r in kinds for s in ("pg", "sqlite")
                if e == "oci" or s == "sqlite"]
    figures += [("filters oci runc", filters, (options.rounds,)),
                ("memory idle", memory, (options.rounds,))]
    return figures
