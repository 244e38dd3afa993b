"""
cluster.py: several takods of this host on one PostgreSQL, each with a data
folder, ids, a port and a tap of its own, and what is asked of all of them.
"""
import json
import os
import secrets
import stat
import sys

from . import host, invariants, shared
from .takod import Takod

TAP = os.path.join(shared.TOP, "regress", "durable", "tap.py")
LEASE = 3  # seconds: the least that the configuration takes
# What is allowed beside the lease: the last heartbeat before, the others'
# next one, and this machine.
SLACK = 12


class Cluster:
    def __init__(self, size=3, runtime="runc", postgres=None, **config):
        self.postgres = postgres or shared.postgres()
        self.name = "cluster_%d_%s" % (os.getpid(), secrets.token_hex(4))
        self.url = self.postgres.create(self.name)
        self.runtime = runtime
        self.config = {"lease_seconds": LEASE, "max_workers": 3,
                       "warm_pool_size": 1, **config}
        self.checked = invariants.Invariants()
        self.nodes, self.taps = [], []
        try:
            for number in range(size):
                self.add("node%d" % number)
        except BaseException:
            self.close()
            raise

    def add(self, name, env=None, wait=True, slow=0, **config):
        """One more takod; its runtime has tap.py before it, and is slow."""
        folder = os.path.join(host.scratch(), self.name + "-" + name)
        os.mkdir(folder)
        log, script = (os.path.join(folder, n) for n in ("tap", "runtime"))
        open(log, "w").close()
        with open(script, "w") as file:
            file.write('#!/bin/sh\nsleep %g\nexec %s -I "%s" "%s" "%s" '
                       '"$@"\n' % (slow, sys.executable, TAP, log,
                                   self.runtime))
        os.chmod(script, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP
                 | stat.S_IROTH | stat.S_IXOTH)
        self.taps.append(log)
        node = Takod("oci", self.runtime, "sqlite", env=env, wait=wait, config={
            **self.config, "database_url": self.url, "node_name": name,
            self.runtime + "_path": script, **config})
        node.node = name
        self.nodes.append(node)
        return node

    def close(self):
        for node in self.nodes:
            if node.proc.returncode is None:
                node.stop()

    # ---- jobs ---------------------------------------------------------------

    def hold(self, node, *seconds):
        """A job for each, which runs on that node for so long."""
        jobs = []
        while len(jobs) < len(seconds):
            job, token = self.submit(node, seconds[len(jobs)], timeout=100)
            self.wait_begun(token)
            if self.holder(job) is node:
                jobs.append(job)
            else:
                # Another one was faster: not this time.
                node.post("/jobs/%s/cancel" % job)
                self.wait(node, job)
        return jobs

    def submit(self, node, seconds=0.0, more="", **fields):
        """A job that says what ran; (its id, its token)."""
        token = secrets.token_hex(8)
        job = node.submit(invariants.code(token, seconds, more), **fields)
        self.checked.acknowledged(job, token, fields.get("idempotency_key"))
        return job, token

    def wait(self, node, job, seconds=60):
        record = node.wait(job, seconds)
        self.checked.seen(job, record)
        return record

    def begun(self, token):
        """Whether output of that job came out of a container."""
        return any("ran" in line and token in line for log in self.taps
                   for line in host.read(log).splitlines())

    def wait_begun(self, token, seconds=20):
        host.wait_for("job of %s has begun" % token,
                      lambda: self.begun(token), seconds)

    def rows(self):
        """Table jobs, each look of which is checked against the last one."""
        text = self.postgres.psql(
            "SELECT to_jsonb(jobs) FROM jobs ORDER BY seq", self.name)
        rows = [json.loads(line) for line in text.splitlines()]
        self.checked.look(rows)
        return rows

    def row(self, job):
        return next(row for row in self.rows() if row["id"] == job)

    def holder(self, job):
        """The node that a running job's row names."""
        owner = (self.row(job)["owner"] or "").split("#")[0]
        return next((n for n in self.nodes if n.node == owner), None)

    def check(self):
        """Every promise, over all that was seen."""
        self.rows()
        self.checked.tap(*self.taps)
        assert self.checked.check() == []

    def list(self, node):
        """What takoctl nodes says, by name."""
        shown = node.takoctl("--json", "nodes", check=True).stdout
        return {n["name"]: n for n in json.loads(shown)["nodes"]}
