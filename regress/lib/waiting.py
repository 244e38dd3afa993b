"""
waiting.py: rows of jobs that wait, thousands at once, by SQL: as copies of a
job that has ended. The takod whose rows they are is stopped meanwhile.
"""
import os
import sqlite3
from contextlib import closing

from . import shared

# What an ended row has and a waiting one has not.
VALUES = {"status": "'queued'", "idempotency_key": "''", "fence": "0",
          "attempt": "0", "code_started": "0", "started_at": "0",
          "ended_at": "0", "exit_code": "-1", "error": "NULL",
          "error_phase": "NULL", "phase_at_exit": "NULL", "runtime": "NULL"}
CHUNK = {"pg": 500, "sqlite": 100000}  # rows of one statement


def ident(number):
    """The id of the copy of that number, from 1 on."""
    return "a0000000-0000-4000-8000-%012d" % number


def sql(takod, text):
    """Rows of what a query finds, as lists of texts."""
    if takod.store == "pg":
        server = getattr(takod, "postgres", None) or shared.postgres()
        out = server.psql(text, getattr(
            takod, "database", takod.name.replace("-", "_")))
        return [line.split("|") for line in out.splitlines()]
    path = os.path.join(takod.data_dir, "takod.db")
    with closing(sqlite3.connect(path)) as db, db:
        return [[str(value) for value in row] for row in db.execute(text)]


def columns(takod, table):
    """Those that are given, not made, but the id."""
    if takod.store == "pg":
        found = sql(takod, (
            "SELECT column_name FROM information_schema.columns WHERE "
            "table_name = '%s' AND is_generated = 'NEVER' AND "
            "is_identity = 'NO'" % table))
        names = [row[0] for row in found]
    else:
        names = [row[1] for row in sql(
            takod, "PRAGMA table_info(%s)" % table)]
    return [name for name in names if name not in ("seq", "id")]


def copies(takod, job, count):
    """So many waiting copies of a job."""
    chunk = CHUNK[takod.store]
    names = {table: columns(takod, table) for table in ("jobs", "payloads")}
    for first in range(1, count + 1, chunk):
        last = min(first + chunk - 1, count)
        if takod.store == "pg":
            numbers = "generate_series(%d, %d) AS c(n)" % (first, last)
            made = ("'a0000000-0000-4000-8000-' || lpad(n::text, 12, '0')")
        else:
            numbers = ("(WITH RECURSIVE c(n) AS (SELECT %d UNION ALL SELECT "
                       "n + 1 FROM c WHERE n < %d) SELECT n FROM c)"
                       % (first, last))
            made = "printf('a0000000-0000-4000-8000-%012d', n)"
        for table in names:
            sql(takod, "INSERT INTO %s (id, %s) SELECT %s, %s FROM %s, %s "
                "AS t WHERE t.id = '%s' ORDER BY n" % (
                    table, ", ".join(names[table]), made, ", ".join(
                        VALUES.get(name, "t." + name) if table == "jobs"
                        else "t." + name for name in names[table]),
                    numbers, table, job))
