#!/usr/bin/python3
"""
processor.py: processor time of a job, process by process.

	regress/bench/processor.py --build DIR [--runtime runc] [--store sqlite]
	    [--jobs N] [--warm N] [--rounds N] [--floor]

Jobs are submitted at once to a takod that has no slot (--warm: so many), as
`rate` does; perf(1) records every switch of the scheduler meanwhile, so that
other load of the machine moves no number here but by caches. Printed are
milliseconds a job in each of takod's descendants, by what they were when it was
spent; of its client and of the store; and of the kernel's own threads, which
serve everybody. --floor prints the same of the runtime alone with the same
bundle.
"""
import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

EVENTS = ("sched:sched_switch", "sched:sched_process_fork",
          "sched:sched_process_exec")
LINE = re.compile(r"\[(\d+)\]\s+(\d+\.\d+):\s+\S*?(sched_\w+):\s+(.*)")
SWITCH = re.compile(r"prev_comm=(.*) prev_pid=(\d+) prev_prio=")
FORK = re.compile(r" pid=(\d+) child_comm=(.*) child_pid=(\d+)")


class Recording:
    def __init__(self):
        self.file = tempfile.NamedTemporaryFile()
        told, self.tell = os.pipe()
        self.heard, answer = os.pipe()
        self.process = subprocess.Popen(
            ["perf", "record", "-q", "-a", "-m", "2048", "-o", self.file.name,
             "-D", "-1", "--control", "fd:%d,%d" % (told, answer),
             *(word for event in EVENTS for word in ("-e", event))],
            stderr=subprocess.DEVNULL, pass_fds=(told, answer))
        os.close(told), os.close(answer)
        os.write(self.tell, b"enable\n")
        assert os.read(self.heard, 16), "perf does not begin"

    def end(self):
        time.sleep(1)  # what goes on behind the last answer
        self.process.send_signal(2)
        self.process.wait()
        os.close(self.tell), os.close(self.heard)
        with subprocess.Popen(
                ["perf", "script", "-i", self.file.name, "-F",
                 "cpu,time,event,trace"], stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True) as script:
            yield from script.stdout


class Times:
    """Seconds by task and name of the moment; who forked whom."""

    def __init__(self, lines):
        self.spent = collections.defaultdict(float)  # (tid, comm)
        self.parent, self.last, self.switches = {}, {}, collections.Counter()
        began = {}
        for line in lines:
            found = LINE.search(line)
            if not found:
                continue
            cpu, now, event, rest = found.groups()
            now = float(now)
            if event == "sched_switch":
                comm, tid = SWITCH.match(rest).groups()
                tid = int(tid)
                if cpu in began:
                    self.spent[tid, comm] += now - began[cpu]
                    self.switches[tid] += 1
                began[cpu] = now
                self.last[tid] = comm
            elif event == "sched_process_fork":
                tid, comm, child = FORK.search(rest).groups()
                self.parent[int(child)] = int(tid)
                self.last[int(child)] = comm

    def of(self, tid, root):
        while tid != root and tid in self.parent:
            tid = self.parent[tid]
        return tid == root


def kernel_thread(tid):
    try:
        with open("/proc/%d/stat" % tid) as file:
            return file.read().rsplit(")", 1)[1].split()[1] == "2"
    except OSError:
        return False


def tasks(pid):
    return [int(name) for name in os.listdir("/proc/%d/task" % pid)]


def tell(title, jobs, times, groups):
    """groups: of names and the processes that they begin with."""
    total = collections.defaultdict(float)
    turns = collections.Counter()
    for (tid, comm), seconds in times.spent.items():
        name = None
        for label, roots in groups:
            root = next((r for r in roots if times.of(tid, r)), None)
            if root is None:
                continue
            if label is not None:
                name = label
            elif tid == root or comm != times.last[root]:
                name = comm
            elif times.last[tid] != comm:
                name = "%s, to be %s" % (comm, times.last[tid])
            else:
                name = comm + ", forked"
            break
        if name is None and tid == 0:
            name = "(idle)"
        elif name is None and kernel_thread(tid):
            name = "(kernel threads)"
        elif name is None:
            name = "(others)"
        total[name] += seconds
        turns[name] += times.switches[tid]
    ours = sum(v for k, v in total.items() if not k.startswith("("))
    print("%s: %.2f ms a job" % (title, ours * 1000 / jobs))
    for name, seconds in sorted(total.items(), key=lambda item: -item[1]):
        print("    %-32s %7.2f ms" % (name, seconds * 1000 / jobs))
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--build", required=True)
    parser.add_argument("--runtime", default="runc")
    parser.add_argument("--store", default="sqlite")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--warm", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--floor", action="store_true")
    options = parser.parse_args()
    os.environ["TAKO_REGRESS_BUILD"] = os.path.abspath(options.build)
    import calls
    from figures import finish
    from lib import host, shared
    from lib.takod import Takod
    host.clean_former()
    takod = Takod("oci", options.runtime, options.store, config={
        "max_workers": calls.AT_ONCE, "max_queue_size": options.jobs,
        "log_level": "WARNING", "warm_pool_size": 1})
    jobs = options.jobs
    try:
        calls.slots_back(takod, 1)
        alone = options.floor and calls.Bundle(takod, options.runtime, jobs)
        takod.write_config(warm_pool_size=options.warm)
        takod.takoctl("reload", check=True)
        calls.takod_rate(takod, 8)
        store = (tasks(shared.postgres().process.pid)
                 + [p.pid for p in host.descendants(
                     shared.postgres().process.pid)]
                 if options.store == "pg" else [])
        for _ in range(options.rounds):
            host.wait_for("nothing goes on",
                          lambda: not calls.takod_works(takod), 60)
            for name, count in (("takod", calls.takod_rate),) + (
                    (("floor", None),) if alone else ()):
                before = host.descendants(takod.pid)
                recording = Recording()
                if count:
                    rate = count(takod, jobs)
                else:
                    rate = calls.many(alone.run, jobs)
                times = Times(recording.end())
                times.parent.update(
                    (p.pid, takod.pid) for p in before)
                tell("%s %s %s, %.1f jobs/s" % (
                    name, options.runtime, options.store, rate), jobs, times,
                    ((None, [takod.pid]), ("store", store),
                     ("client", tasks(os.getpid()))) if count else
                    ((None, tasks(os.getpid())),))
    finally:
        finish(takod)
        shared.close()
        host.clean(host.scratch())


if __name__ == "__main__":
    main()
