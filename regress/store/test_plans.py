"""
What PostgreSQL is asked for each job is planned a few times, and then no more:
to plan a claim takes longer than the claim.
"""
import re

from lib import host, shared

OF_A_JOB = {"submit": "WITH known AS", "claim": "WITH clock AS",
            "start": "UPDATE jobs SET code_started", "end": "WITH ended AS"}


def planned(log):
    """How often, by what it begins with, in a server's log."""
    found = re.findall(r"LOG:  PLANNER STATISTICS\n(?:[\t!].*\n|.*DETAIL:.*\n)*"
                       r".*STATEMENT:  (.*)", log)
    return {name: sum(sql.startswith(begin) for sql in found)
            for name, begin in OF_A_JOB.items()}


def test_statements_of_a_job_are_planned_once(start):
    takod = start("oci", "runc", "pg", config={"warm_pool_size": 0})
    server = shared.postgres()
    server.psql('ALTER DATABASE "%s" SET log_planner_stats = on'
                % takod.keys["database_url"].rsplit("/", 1)[1])
    takod.stop()
    takod.start()

    def jobs():
        before = len(host.read(server.path("log")))
        for _ in range(8):
            assert takod.execute("print(1)")["stdout"] == "1\n"
        return planned(host.read(server.path("log"))[before:])
    first = jobs()
    assert all(1 <= n <= 6 for n in first.values()), first
    assert jobs() == dict.fromkeys(OF_A_JOB, 0)
