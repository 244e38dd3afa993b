"""
test_retention.py: execution_record_ttl_days. Records that ended longer ago go
with all that belongs to them, while jobs are served; all others stay.
"""
import os
import sqlite3
import time

import pytest

from lib import host, shared

# Many batches of the sweep; it leaves nine tenths of the time to others.
MANY = 2000
DAY = 24 * 3600
# Of another length than the ids of jobs, so that SQL can tell them apart.
OLD_IDS = "'old-' || n"
NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL"
              " SELECT n + 1 FROM numbers WHERE n < %d) " % MANY,
    "pg": "WITH numbers (n) AS (SELECT generate_series(1, %d)) " % MANY,
}


class Database:
    """The daemon's own, while it is stopped: it locks an SQLite file."""
    def __init__(self, daemon):
        self.store = daemon.store
        self.path = daemon.data_dir + "/takod.db"
        self.name = daemon.keys["database_url"].rpartition("/")[2]

    def ask(self, sql):
        """The first column of the first row, as text."""
        if self.store == "pg":
            return shared.postgres().psql(sql + ";\n", self.name)
        with sqlite3.connect(self.path, timeout=30) as db:
            row = db.execute(sql).fetchone()
        db.close()
        return "" if row is None else str(row[0])

    def count(self, table):
        answer = self.ask("SELECT count(*) FROM " + table)
        return int(answer.split()[-1])

    def columns(self, table):
        if self.store == "pg":
            text = self.ask("SELECT string_agg(column_name, ',') FROM"
                            " information_schema.columns WHERE table_name"
                            " = '%s' AND is_generated = 'NEVER'"
                            % table).split()[-1]
        else:
            text = self.ask("SELECT group_concat(name) FROM"
                            " pragma_table_info('%s')" % table)
        return [name for name in text.split(",") if name != "seq"]

    def multiply(self, table, of, changed):
        names = self.columns(table)
        values = [changed.get(name, name) for name in names]
        insert = "INSERT INTO %s (%s) " % (table, ", ".join(names))
        select = "SELECT %s FROM %s, numbers WHERE id = '%s'" % (
            ", ".join(values), table, of)
        self.ask(NUMBERS[self.store] + insert + select
                 if self.store == "pg" else
                 insert + NUMBERS[self.store] + select)


def artifact_folder(daemon, job_id):
    return os.path.join(daemon.data_dir, "artifacts", job_id)


@pytest.mark.parametrize("store", ("sqlite", "pg"))
def test_old_records_go(start, store):
    daemon = start("oci", "runc", store, config={"log_level": "INFO"})
    makes = "open('/output/a.txt', 'w').write('kept')\n"
    old = daemon.execute(makes, idempotency_key="only-once")["execution_id"]
    young = daemon.execute(makes)["execution_id"]
    assert os.listdir(artifact_folder(daemon, old))

    daemon.stop()
    database = Database(daemon)
    ended = "%d" % ((time.time() - 2 * DAY) * 1e6)
    database.ask("UPDATE jobs SET ended_at = %s WHERE id = '%s'"
                 % (ended, old))
    database.multiply("jobs", old, {"id": OLD_IDS, "idempotency_key": "''"})
    for table in ("payloads", "outputs"):
        database.multiply(table, old, {"id": OLD_IDS})
    assert database.count("jobs") == MANY + 2
    # What a takod leaves that is ended between the row and its folder.
    for name, days in (("gone-long-ago", 2), ("gone-today", 0)):
        path = artifact_folder(daemon, name)
        os.mkdir(path, 0o700)
        with open(path + "/0", "w") as file:
            file.write("x")
        then = time.time() - days * DAY
        os.utime(path, (then, then))

    daemon.start()
    assert "records that ended" not in daemon.log()
    daemon.write_config(execution_record_ttl_days=1)
    daemon.takoctl("reload", check=True)
    served = 0
    deadline = time.monotonic() + 120
    while "retention: %d records" % (MANY + 1) not in daemon.log():
        assert time.monotonic() < deadline, daemon.log()[-3000:]
        assert daemon.execute("print(5)")["stdout"] == "5\n"
        served += 1
    assert served > 0
    assert daemon.get("/executions/" + old)[0] == 404
    assert daemon.record(young)["artifacts"][0]["name"] == "a.txt"
    host.wait_for("the folder without a record is gone", lambda:
                  not os.path.exists(artifact_folder(daemon,
                                                     "gone-long-ago")), 10)
    assert not os.path.exists(artifact_folder(daemon, old))
    assert os.path.exists(artifact_folder(daemon, "gone-today"))
    assert os.listdir(artifact_folder(daemon, young))
    # Its idempotency key is free: the job runs anew.
    again = daemon.execute(makes, idempotency_key="only-once")["execution_id"]
    assert again != old
    daemon.stop()
    for table in ("jobs", "payloads", "outputs"):
        assert database.count(table) == 2 + served, table
