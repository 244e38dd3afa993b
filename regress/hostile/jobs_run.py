"""
jobs_run.py: runs the programs of jobs/ on a daemon, many at a time, and says
of each row of the table (rows.py) what is not as it has to be.
"""
import concurrent.futures
import json
import os
import socket

import rows
from lib import host, shared, syscalls

HERE = os.path.dirname(os.path.abspath(__file__))
AT_ONCE = 4  # max_workers of the daemons
LONG = 110  # seconds: no job that is to end by itself takes them


def program(name):
    with open(os.path.join(HERE, "jobs", name + ".py")) as file:
        return file.read()


def code_of(row):
    return program("prelude") + "\n\n" + program(row.program)


def code_of_many(names):
    """One job that runs them one after the other, each in a child."""
    texts = {row.name: program(row.program) for row in names}
    return "%s\n\nrun_all(json.loads(%r))\n" % (
        program("prelude"), json.dumps(texts))


class Surroundings:
    """What of the host a job may try to reach, there while jobs run."""

    def __init__(self, takod):
        self.sockets = []
        listening = self.listen(socket.AF_INET, ("0.0.0.0", 0))
        name = "takod-regress-%d" % listening.getsockname()[1]
        self.listen(socket.AF_UNIX, "\0" + name)
        self.listen(socket.AF_UNIX, "\0" + name + "-d", socket.SOCK_DGRAM)
        self.given = {
            "calls": syscalls.numbers(), "port": takod.port,
            "address": host.own_address(), "abstract": name,
            "listening": listening.getsockname()[1],
        }

    def listen(self, family, address, kind=socket.SOCK_STREAM):
        sock = socket.socket(family, kind)
        self.sockets.append(sock)
        sock.bind(address)
        if kind == socket.SOCK_STREAM:
            sock.listen()
        return sock

    def close(self):
        for sock in self.sockets:
            sock.close()


class Jobs:
    """The rows' records, by row; more than one where a row asks for it."""

    def __init__(self, takod):
        self.takod = takod
        self.records, self.problems, self.facts = {}, {}, {}

    def run(self, wanted, **fields):
        """Runs them; fields go into every request."""
        quick = [row for row in wanted if row.quick]
        own = [row for row in wanted if not row.quick and row.program]
        # What takes longest comes first.
        own.sort(key=lambda row: -row.weight)
        surroundings = Surroundings(self.takod)
        fields.setdefault("input_data", surroundings.given)
        try:
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                running = [pool.submit(self.run_row, row, fields)
                           for row in own]
                if quick:
                    running.append(pool.submit(self.run_quick, quick, fields))
                for future in running:
                    future.result()
        finally:
            surroundings.close()

    def run_quick(self, quick, fields):
        record = self.takod.run(code_of_many(quick),
                                **{"timeout": LONG, **fields})
        for row in quick:
            self.records[row.name] = [record]
            self.facts[row.name] = [(record["output"] or {}).get(row.name)]
            self.judge(row)

    def run_row(self, row, fields):
        """One after the other, or together: what the row says."""
        body = {"timeout": LONG, **rows.resolved(row.request, self.takod),
                **fields}
        records, self.problems[row.name] = [], []
        if row.together:
            jobs = [self.takod.submit(code_of(row), **body)
                    for _ in range(row.times)]
            records = [self.takod.wait(job, 240) for job in jobs]
        else:
            for _ in range(row.times):
                job = self.takod.submit(code_of(row), **body)
                if row.beside:
                    self.run_beside(row, job, fields)
                records.append(self.takod.wait(job, 240))
                for check in row.after:
                    self.problems[row.name] += check(
                        self.takod, records[-1])
        self.records[row.name] = records
        self.facts[row.name] = [record["output"] for record in records]
        self.judge(row)

    def run_beside(self, row, job, fields):
        """Another job while the first one has its code."""
        self.takod.wait_code(job)
        answer = self.takod.run(program("prelude") + program("neighbour"),
                                **fields)
        if answer["output"] != {"threads": 20, "children": 5}:
            self.problems[row.name].append("beside it: %r" % answer)

    def names(self):
        """Names of rows by the ids of their jobs."""
        names = {}
        for name, records in self.records.items():
            for record in records:
                job = record["execution_id"]
                names[job] = (names[job] + ", " if job in names else "") + name
        return names

    def judge(self, row):
        found = self.problems.setdefault(row.name, [])
        for record, facts in zip(self.records[row.name],
                                 self.facts[row.name]):
            if not row.quick:
                found += rows.end_problems(row, self.takod, record)
            found += rows.facts_problems(row, self.takod, facts)
            found += kept_problems(record)


def kept_problems(record):
    """What holds for the record of every job."""
    words = []
    takod = record["takod"]
    if takod["attempt"] != 1 or len(takod["attempts"]) != 1:
        words.append("it was begun more than once: %r" % takod)
    if shared.CANARY in json.dumps(record):
        words.append("it knows what is in takod's environment")
    if record["ended_at"] is None:
        words.append("it has no end: %r" % record)
    return words
