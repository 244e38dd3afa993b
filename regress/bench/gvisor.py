#!/usr/bin/python3
"""
gvisor.py: what a slot under gVisor costs, by runsc and its arguments.

	regress/bench/gvisor.py --build DIR [--runsc NAME=PATH]... [--rounds N]

For each variant a takod is started under a deadline, and runs jobs that find no
slot and jobs that find one ready, in turn with the other variants. It prints a
table in Markdown, of medians:

	made	from the claim of a job to a sandbox whose interpreter waits
	cpu	processor time of such a sandbox with a print(1), by its cgroup
	warm	a whole round trip of print(1) over HTTP, a slot being ready
	files	the same of a job that looks for 2,000 files and reads 200
	calls	the same of a job that makes 20,000 getppid(2)
"""
import argparse
import os
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

FILES = """import glob
for p in glob.glob('/usr/lib/python3*/*.py')[:200]:
    open(p).read()
import os
for i in range(2000):
    os.path.exists('/usr/lib/none/%d' % i)
"""
CALLS = "import os\nfor _ in range(20000): os.getppid()\n"
CONFIG = {"warm_pool_size": 0, "max_workers": 2, "log_level": "INFO",
          "job_types": [{"name": "cold", "warm_pool_size": 0},
                        {"name": "warm", "warm_pool_size": 1}]}
# Arguments that one runsc or the other may not have: then that is the answer.
VARIANTS = [
    ("as it comes", []),
    ("platform ptrace", ["--platform=ptrace"]),
    ("platform systrap", ["--platform=systrap"]),
    ("platform kvm", ["--platform=kvm"]),
    ("no directfs", ["--directfs=false"]),
    ("overlay2 none", ["--overlay2=none"]),
    ("overlay2 root:memory", ["--overlay2=root:memory"]),
    ("overlay2 all:memory", ["--overlay2=all:memory"]),
    ("file-access shared", ["--file-access=shared"]),
    ("file-access-mounts exclusive", ["--file-access-mounts=exclusive"]),
    ("ignore-cgroups", ["--ignore-cgroups"]),
    ("no lisafs", ["--lisafs=false"]),
    ("dcache 0", ["--dcache=0"]),
    ("cpu-num-from-quota", ["--cpu-num-from-quota"]),
    ("no gso", ["--gso=false", "--software-gso=false"]),
]


class Variant:
    def __init__(self, name, path, arguments):
        from lib.takod import Takod
        self.name, self.why, self.daemon = name, None, None
        self.made, self.cpu, self.warm = [], [], []
        self.files, self.calls = [], []
        try:
            self.daemon = Takod("oci", "runsc", "sqlite", config={
                **CONFIG, "runsc_path": path, "runsc_args": arguments})
            self.round()  # what is read for the first time
            for list_ in self.lists():
                list_.clear()
        except (AssertionError, OSError) as error:
            self.why = self.reason(str(error))
            if self.daemon:
                self.daemon.discard()

    def end(self):
        if self.why:
            self.daemon.discard()  # what hangs does not end in order
        else:
            self.daemon.close()

    def lists(self):
        return self.made, self.cpu, self.warm, self.files, self.calls

    @staticmethod
    def reason(text):
        for mark in ("flag provided but not defined", "invalid value",
                     "does not run a container", "in time"):
            for line in text.splitlines():
                if mark in line:
                    return line[line.index(mark):][:90]
        return "a job is not done: " + text.strip().splitlines()[-1][:60]

    def timed(self, code):
        from lib import host
        host.wait_for("a slot is ready", lambda: any(
            w["state"] == "ready" for w in self.daemon.workers()), 30)
        began = time.perf_counter()
        answer = self.daemon.execute(code, job_type="warm")
        took = 1000 * (time.perf_counter() - began)
        if answer["exit_code"] != 0:
            raise AssertionError(answer["stderr"] + "exit %d"
                                 % answer["exit_code"])
        return took

    def round(self):
        record = self.daemon.run("print(1)", job_type="cold")
        if record["status"] != "succeeded":
            raise AssertionError(str(record["error"]["message"]))
        self.made.append(record["timing"]["startup_ms"])
        self.cpu.append(record["resource_usage"]["cpu_time_ms"])
        self.warm.append(self.timed("print(1)"))
        self.files.append(self.timed(FILES))
        self.calls.append(self.timed(CALLS))


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--runsc", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    os.environ["TAKO_REGRESS_BUILD"] = os.path.abspath(options.build)
    os.environ.setdefault("TAKO_REGRESS_ROOTFS", "")
    from lib import host, shared
    shared.rootfs()
    programs = [p.split("=", 1) for p in options.runsc] or [
        ["runsc", "runsc"]]
    print("| runsc | variant | made | cpu | warm | files | calls |")
    print("|---|---|---|---|---|---|---|", flush=True)
    try:
        # A few at a time: each has its own slot waiting.
        for program, path in programs:
            for at in range(0, len(VARIANTS), 5):
                table(program, path, VARIANTS[at:at + 5], options.rounds)
    finally:
        shared.close()
        host.clean(host.scratch())


def table(program, path, variants, rounds):
    made = [Variant(name, path, arguments) for name, arguments in variants]
    for _ in range(rounds):
        for variant in made:
            if variant.why is None:
                try:
                    variant.round()
                except (AssertionError, OSError) as error:
                    variant.why = variant.reason(str(error))
    for variant in made:
        if variant.why:
            print("| %s | %s | %s | | | | |" % (
                program, variant.name, variant.why.replace("|", "/")))
        else:
            print("| %s | %s | %s |" % (program, variant.name, " | ".join(
                "%.0f" % statistics.median(v) for v in variant.lists())))
        sys.stdout.flush()
        if variant.daemon:
            variant.end()


if __name__ == "__main__":
    main()
