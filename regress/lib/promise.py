"""
promise.py: what must be the same on a host after jobs as before them, however
hostile they were: the P column of threats.md. Taken before and after a batch
of jobs; what is not the same is told in words, with the job whose container
has it where the daemon's log says so.
"""
import hashlib
import os
import re
import shutil
import subprocess

from . import host, shared

SETTLED_SECONDS = 20  # P holds within this time after a batch of many
RSS_GROWTH_KIB = 8 << 10
# What records, their artifacts, the log and the database's journal may add: a
# part of what a job may write.
DISK_GROWTH = 32 << 20
SETTINGS = ("kernel/core_pattern", "kernel/hostname",
            "vm/overcommit_memory", "net/ipv4/ip_forward")


def descriptors(pid, less):
    """What a process has open, by kind and how many, but for those."""
    kinds = {kind: -count for kind, count in less.items()}
    for name in os.listdir("/proc/%d/fd" % pid):
        try:
            kind = os.readlink("/proc/%d/fd/%s" % (pid, name))
        except OSError:
            continue
        kind = re.sub(r"[0-9]+", "", kind)
        if "/etilqs_" in kind:
            continue  # SQLite's, of a statement it keeps
        kinds[kind] = kinds.get(kind, 0) + 1
    return {kind: count for kind, count in kinds.items() if count}


def programs():
    """What the runtimes' programs are, by their digests."""
    found = {}
    for name in ("runc", "runsc"):
        path = shutil.which(name)
        if path:
            with open(path, "rb") as file:
                found[path] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def interfaces():
    """Of containers' networks, in the host's namespace: there are none."""
    return sorted(name for name in os.listdir("/sys/class/net")
                  if re.fullmatch("tk[0-9]+", name))


def bytes_below(folder):
    total = 0
    for here, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(here, name)).st_blocks * 512
            except OSError:
                pass
    return total


class Promise:
    """Made before the jobs; broken() says after them what is not kept."""

    def __init__(self, takod):
        self.takod = takod
        # Whatever is made once, or as often as jobs run at once, is there.
        for job in [takod.submit("import time; time.sleep(0.3)")
                    for _ in range(takod.keys["max_workers"])]:
            takod.wait(job)
        self.settle()
        self.before = self.quiet_state()
        self.programs = programs()
        self.disk = self.disk_used()
        self.rss = self.rss_kib()

    def names(self):
        """Of containers; not of the group that a runtime was started in."""
        return {name for name in self.takod.containers()
                if not name.endswith(".run")}

    def settled(self):
        """No job, every wanted slot ready, nothing being made or removed."""
        stats = self.takod.stats()
        workers = [w for w in self.takod.workers()
                   if w["name"] == "tako-worker"]
        return (stats["running"] == 0 and
                stats["takod"]["slots_starting"] == 0 and
                stats["takod"]["slots_ready"] >=
                self.takod.keys["warm_pool_size"] and
                all(w["state"] == "ready" for w in workers) and
                self.names() == {w["container"] for w in workers})

    def settle(self):
        host.wait_for("no job runs, and the pool is full", self.settled,
                      SETTLED_SECONDS, 0.05)

    def rss_kib(self):
        status = host.Process(self.takod.pid).status()
        return int(status["VmRSS"].split()[0])

    def disk_used(self):
        used = bytes_below(self.takod.dir)
        if self.takod.engine == "docker":
            used += bytes_below(os.path.join(
                shared.dockerd().data_root, "containers"))
        return used

    def mounts(self):
        points = host.mounts_below(self.takod.dir)
        if self.takod.engine == "docker":
            points += host.mounts_below(shared.dockerd().folder)
        return points

    def networks(self, but):
        """Network namespaces of its processes and of those with its ids."""
        found = set()
        for process in (self.takod.own_uid_processes() +
                        host.descendants(self.takod.pid)):
            try:
                if process.pid not in but:
                    found.add(os.readlink("/proc/%d/ns/net" % process.pid))
            except OSError:
                pass
        return found

    def rules(self):
        """Of containers' networks, where takod's router has them."""
        found = {}
        for name in os.listdir("/proc/%d/fd" % self.takod.pid):
            path = "/proc/%d/fd/%s" % (self.takod.pid, name)
            try:
                kind, _, number = os.readlink(path).partition(":[")
            except OSError:
                continue
            if number and kind in ("user", "net"):
                found[kind] = path
        if len(found) != 2:
            return ""
        done = subprocess.run(
            ["nsenter", "--user=" + found["user"], "--net=" + found["net"],
             "sh", "-c", "nft list chains; ip -brief link"],
            capture_output=True, text=True, check=True)
        return re.sub(r"[0-9]+", "", done.stdout)

    def volumes(self):
        if self.takod.engine != "docker":
            return 0
        found = shared.docker_api("GET", "/volumes")[1]
        return len(found["Volumes"] or [])

    def state(self):
        takod = self.takod
        api = takod.children("tako-api")
        groups = takod.container_groups()
        own = [p for p in takod.own_uid_processes()]
        inside = takod.container_pids()
        # It comes with what was printed, and goes when there is no more.
        words = takod.children("tako-words")
        return {
            "parent": takod.pid, "api": api,
            "descriptors of the parent": descriptors(takod.pid, {
                "socket:[]": len(words), "anon_inode:[pidfd]": len(words)}),
            "containers": len(self.names()),
            "control groups": len(groups),
            "mounts": len(self.mounts()), "volumes": self.volumes(),
            "network namespaces": len(self.networks(words)),
            "interfaces": interfaces(),
            "rules": self.rules(),
            "processes of its ids": sorted(
                p.comm for p in own if p.pid not in inside
                and p.pid not in words),
            "bundles": len([1 for here, _, files in
                            os.walk(takod.bundles)
                            if "config.json" in files]),
            "settings": {name: host.read("/proc/sys/" + name)
                         for name in SETTINGS},
        }

    def quiet_state(self):
        """Once nothing comes and goes."""
        seen = [None]

        def same_again():
            seen.append(self.state())
            return seen[-1] == seen[-2]
        host.wait_for("nothing moves", same_again, every=0.1)
        return seen[-1]

    def same(self, name, before, after):
        if name != "descriptors of the parent" or (
                self.takod.engine == "oci"):
            return before == after
        # Connections to the Docker engine are kept for the next call.
        more = dict(after)
        sockets = more.pop("socket:[]", 0)
        kept = dict(before)
        return (kept.pop("socket:[]", 0) + 2 * self.takod.keys["max_workers"]
                >= sockets and more == kept)

    def blame(self, word):
        """The jobs that ran in containers whose name is in the word."""
        handed = re.findall(r"job (\S+): handed over to (\S+)",
                            self.takod.log())
        return [job for job, container in handed if container in word]

    def broken(self, jobs=None):
        """jobs: names of rows by job id, to say which of them it was."""
        words, after = [], {}

        def same_again():
            after.update(self.state())
            return all(self.same(name, self.before[name], value)
                       for name, value in after.items())
        try:
            self.settle()
            host.wait_for("all is as it was", same_again, SETTLED_SECONDS,
                          0.1)
        except host.Deadline as late:
            words.append(str(late))
            after = after or self.state()
        for name, value in self.before.items():
            if not self.same(name, value, after[name]):
                words.append("%s: %s before, %s after" % (
                    name, value, after[name]))
        if programs() != self.programs:
            words.append("a runtime's program is not what it was")
        words += self.left()
        words += self.exposed()
        grown = self.rss_kib() - self.rss
        if grown > RSS_GROWTH_KIB * (4 if shared.sanitized() else 1):
            words.append("takod grew by %d KiB" % grown)
        grown = self.disk_used() - self.disk
        if grown > DISK_GROWTH:
            words.append("its files grew by %d bytes" % grown)
        if self.takod.get("/health")[0] != 200:
            words.append("it is not healthy")
        answer = self.takod.execute("print(6 * 7)")
        if answer["stdout"] != "42\n" or answer["exit_code"] != 0:
            words.append("the next job: %r" % answer)
        if shared.CANARY in self.takod.log():
            words.append("its log has what is in its environment")
        named = {job: (jobs or {}).get(job, job) for word in words
                 for job in self.blame(word)}
        return words + ["ran there: " + name for name in named.values()]

    def left(self):
        """Containers and control groups of no slot."""
        slots = {w["container"] for w in self.takod.workers()}
        words = ["container %s is left" % name
                 for name in self.names() - slots]
        if self.takod.engine == "oci":
            words += ["control group %s is left" % group
                      for group in self.takod.container_groups()
                      if not any(name and name in group for name in slots)
                      and os.path.basename(group).startswith("takod-%s-"
                                                  % self.takod.instance)]
        return words

    def exposed(self):
        """Processes in a container that the kernel would not take first."""
        words = []
        for pid in self.takod.container_pids():
            score = host.read("/proc/%d/oom_score_adj" % pid).strip()
            if score not in ("1000", ""):
                words.append("process %d: oom_score_adj %s" % (pid, score))
        return words
