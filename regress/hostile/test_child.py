"""
test_child.py: a hostile child in the place of tako-api or tako-worker, also in
its role for words, tries
every illegal frame, type, state, token, length, arity and descriptor, floods
and keeps silent (regress/tools/hostile_child.c). After each the parent has to
be the same process, with one line in its log, bounded memory and processor
time; the other children are untouched; the job of that worker ends; what has no
words is not found by them, and all else goes on.
"""
import os
import re
import shutil
import subprocess
import time

import pytest

from lib import host, shared
from lib.proxy import PgProxy
from lib.takod import Takod

HOSTILE = shared.program("regress/tools/hostile_child")
# What says nothing is ended by a deadline, what ends itself by nobody.
NO_VIOLATION = {"closes", "dies", "silent_running", "early_done",
                "done_twice"}


def attacks(who):
    lines = subprocess.run([HOSTILE, "-l"], check=True, text=True,
                           capture_output=True).stdout.splitlines()
    rows = [line.split() for line in lines]
    return [pytest.param(int(n), name, id=name)
            for n, kind, _, name in rows if kind == who]


# One of them breaks no rule of the frames, and has a test of its own.
KEYLESS = [p for p in attacks("api") if p.values[1] == "job_without_key"]
ATTACKS_OF_API = [p for p in attacks("api") if p not in KEYLESS]


def refused_calls(log):
    """Lines of takod that name the call which a child's filter refused."""
    return re.findall(r"(?m)^.* takod\[\d+\]: violation by tako-\w+\[\d+\]: "
                      r"\w+_REFUSED: system call 41 \(socket\); killed$", log)


class Hostile(Takod):
    """A takod whose tako-api or tako-worker is the hostile program."""

    def __init__(self, who, folder, number, **more):
        self.folder = folder
        for name in ("takod", "tako-api", "tako-worker", "tako-init"):
            source = HOSTILE if name == who else shared.program(name)
            shutil.copy(source, os.path.join(folder, name))
            os.chmod(os.path.join(folder, name), 0o755)
        self.set_attack(number)
        super().__init__(engine="oci", runtime="runc", wait=False,
                         program=os.path.join(folder, "takod"), **more)

    def set_attack(self, number):
        path = os.path.join(self.folder, "attack")
        with open(path, "w") as file:
            file.write(str(number))
        stage = os.path.join(self.folder, "stage")
        with open(stage, "w"):
            pass
        os.chmod(stage, 0o666)
        os.chmod(path, 0o644)

    def expect_refusal(self):
        """regress/run looks for refused calls in the logs of all others."""
        with open(os.path.join(self.dir, "refuses"), "w"):
            pass

    def wait_control(self):
        """takoctl is answered, and the engine is known."""
        host.wait_for("takoctl status", lambda: '"ready": true' in
                      self.takoctl("--json", "status").stdout, 30)

    def stages(self):
        return len(host.read(os.path.join(self.folder, "stage")))


def parent_figures(pid):
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    with open("/proc/%d/status" % pid) as file:
        rss = next(int(line.split()[1]) for line in file
                   if line.startswith("VmRSS"))
    fds = len(os.listdir("/proc/%d/fd" % pid))
    return ticks / os.sysconf("SC_CLK_TCK"), rss, fds


def violations(log):
    return [line for line in log.splitlines() if "violation by" in line]


def folder_for(name):
    path = os.path.join(host.scratch(), name)
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path, 0o755)
    return path


def test_job_without_key():
    """tako-api is no authority on keys: the parent judges them itself."""
    number, = [p.values[0] for p in KEYLESS]
    daemon = Hostile(
        "tako-api", folder_for("hostile-key"), number,
        config={"warm_pool_size": 0, "api_auth_enabled": True,
                "api_keys": ["a-key-of-somebody-else"]})
    try:
        host.wait_for("it is denied", lambda: "d" in host.read(
            os.path.join(daemon.folder, "stage")), 40)
        daemon.wait_control()
        assert daemon.takoctl("jobs", check=True).stdout == "none\n"
        daemon.stop()
    finally:
        daemon.discard()


@pytest.mark.parametrize("number,name", ATTACKS_OF_API)
def test_hostile_api(number, name, sanitized):
    """Row T07 of the fault catalogue."""
    daemon = Hostile("tako-api", folder_for("hostile-api"), number,
                     config={"warm_pool_size": 0})
    try:
        if name.startswith("refused"):
            daemon.expect_refusal()
        host.wait_for("the attack begins", lambda: daemon.stages() > 0, 40)
        cpu, rss, fds = parent_figures(daemon.pid)
        begun = time.monotonic()
        # Once it is answered, the next attacker is on its way.
        host.wait_for("the attacker is replaced",
                      lambda: daemon.stages() > 1, 40)
        spent = parent_figures(daemon.pid)
        assert daemon.alive()
        lines = violations(daemon.log())
        if name not in NO_VIOLATION:
            assert lines, daemon.log()[-2000:]
            # Once for each attacker: it is killed by then.
            pids = re.findall(r"violation by tako-api\[(\d+)\]",
                              "\n".join(lines))
            assert len(pids) == len(set(pids)) == len(lines), lines
        if name.startswith("refused_call"):
            # Row T08: one line, with the number.
            assert lines == refused_calls(daemon.log()), lines
        # A flood may cost what it sends, but no more than that.
        assert spent[0] - cpu <= 1.0 + (time.monotonic() - begun)
        # A sanitizer's build has a margin around each allocation.
        most = 48 if sanitized else 16
        assert spent[1] - rss < most * 1024, "parent grew by %d KiB" % (
            spent[1] - rss)
        assert spent[2] - fds <= 12
        # It is still a daemon: takoctl is answered, and it ends in order.
        daemon.wait_control()
        daemon.stop()
    finally:
        daemon.discard()


def test_flood_before_slow_store(shared_things):
    """It asks for more than the store can follow: it has to wait."""
    number, = [p.values[0] for p in ATTACKS_OF_API if p.id == "flood_cancel"]
    server = shared.postgres()
    server.create("flood_slow")
    proxy = PgProxy(server)
    folder = folder_for("hostile-slow")
    try:
        hung = proxy.rule("S_CANCEL", "hang")
        daemon = Hostile("tako-api", folder, number, config={
            "warm_pool_size": 0, "database_url": proxy.url("flood_slow")})
        try:
            host.wait_for("the attack begins", lambda: not hung.times, 40)
            _, rss, _ = parent_figures(daemon.pid)
            seen = [None] * 5

            def rests():
                seen.append(parent_figures(daemon.pid))
                return len(set(seen[-5:])) == 1
            host.wait_for("nothing moves", rests, 20, 0.1)
            grown = seen[-1][1] - rss
            assert grown < 8 * 1024, "parent grew by %d KiB" % grown
            assert daemon.alive()
            proxy.clear()
            daemon.wait_control()
            daemon.stop()
        finally:
            daemon.discard()
    finally:
        proxy.close()


@pytest.mark.parametrize("number,name", attacks("worker"))
def test_hostile_worker(number, name):
    """Row T07 of the fault catalogue."""
    folder = folder_for("hostile-worker")
    daemon = Hostile("tako-worker", folder, number, config={
        "warm_pool_size": 0, "max_workers": 1, "max_retry_attempts": 1,
        "default_startup_timeout": 15})
    try:
        if name.startswith("refused"):
            daemon.expect_refusal()
        daemon.wait_ready()
        api = daemon.children("tako-api")
        job = daemon.submit("print(1)", timeout=3, startup_timeout=15)
        host.wait_for("the attack begins", lambda: daemon.stages() > 0, 30)
        cpu, rss, fds = parent_figures(daemon.pid)
        # silent at the start: the startup timeout ends it.
        record = daemon.wait(job, 60)
        assert record["status"] in ("failed", "timeout"), record
        assert record["status"] != "succeeded"
        if name not in NO_VIOLATION | {"silent"}:
            assert violations(daemon.log()), daemon.log()[-2000:]
        assert len(violations(daemon.log())) <= 10
        if name.startswith("refused_call"):
            assert violations(daemon.log()) == refused_calls(daemon.log())
        assert daemon.alive() and daemon.children("tako-api") == api
        spent = parent_figures(daemon.pid)
        assert spent[0] - cpu <= 3.0, "parent spent %.1f s" % (spent[0] - cpu)
        assert spent[1] - rss < 16 * 1024
        assert spent[2] - fds <= 12
        assert daemon.get("/health")[0] == 200
        daemon.stop()
    finally:
        daemon.discard()


def found(daemon, query):
    status, _, body = daemon.get("/executions?q=" + query)
    assert status == 200, body
    return [row["execution_id"] for row in body["items"]]


def test_hostile_words():
    """
    Each record is tried twice, is then known without words, and the next ones
    are found again. One takod for all: its words' child is another each time.
    """
    rows = {p.values[1]: p.values[0] for p in attacks("words")}
    folder = folder_for("hostile-words")
    shutil.copy(shared.program("tako-worker"), folder + "/tako-worker.real")
    os.chmod(folder + "/tako-worker.real", 0o755)
    daemon = Hostile("tako-worker", folder, rows["words_none"],
                     config={"warm_pool_size": 1})
    try:
        daemon.wait_ready()
        api = daemon.children("tako-api")
        cpu, rss, fds = parent_figures(daemon.pid)
        for i, (name, number) in enumerate(sorted(rows.items())):
            daemon.set_attack(number)
            record = daemon.execute("print('word%d')" % i)
            assert record["stdout"] == "word%d\n" % i
            job = record["execution_id"]
            host.wait_for("it is given up: " + name, lambda: (
                "job %s cannot be searched for" % job in daemon.log()), 60)
            assert daemon.stages() == 2, name
            assert daemon.log().count("job %s cannot" % job) == 1
        assert daemon.children("tako-api") == api
        spent = parent_figures(daemon.pid)
        assert spent[0] - cpu <= 5.0, "parent spent %.1f s" % (spent[0] - cpu)
        assert spent[1] - rss < 16 * 1024
        assert spent[2] - fds <= 12
        # Those that asked for nothing else but to be found.
        shutil.copy(folder + "/tako-worker.real", folder + "/new")
        os.chmod(folder + "/new", 0o755)
        os.rename(folder + "/new", folder + "/tako-worker")
        job = daemon.execute("print('wordlast')")["execution_id"]
        host.wait_for("it is found", lambda:
                      found(daemon, "wordlast") == [job], 30)
        assert found(daemon, "word0") == []
        daemon.stop()
    finally:
        daemon.discard()
