"""
test_log.py: what the processes of takod write to stderr, at every level and
in every form. A line of a child is as the configuration says from its first
one on.
"""
import json
import os
import re
import subprocess

import pytest

from lib import host


def lines(takod):
    return takod.log().splitlines()


def test_json(start):
    takod = start("oci", "runc", config={"log_format": "json"})
    takod.execute("print(1)")
    takod.replace_front()  # its first lines are in the log then
    takod.stop()
    objects = [json.loads(line) for line in lines(takod)]
    assert {o["process"] for o in objects} >= {"takod", "tako-api"}
    assert all(o["level"] in ("DEBUG", "INFO", "WARNING") for o in objects)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:.]{15}\+00:00", o["time"])
               for o in objects)
    requests = [o for o in objects if "POST /execute" in o["message"]]
    assert len(requests) == 1 and requests[0]["process"] == "tako-api"
    assert re.fullmatch(r"[0-9a-f-]{36}", requests[0]["correlation_id"])


def test_versions(start):
    """What takod stands on, once; and what is known to be bad of it."""
    takod = start("oci", "runc")
    takod.execute("print(1)")
    said = [line for line in lines(takod) if "libraries: " in line]
    assert len(said) == 1, said
    for name in ("libevent", "SQLite", "libpq", "libcurl", "libyaml",
                 "jansson", "libseccomp", "msgpack-c"):
        assert re.search(r"\b%s \d+\.\d+" % name, said[0]), said
    said = [line for line in lines(takod) if " is older than " in line]
    runc = subprocess.run(["runc", "--version"], capture_output=True,
                          text=True).stdout.split("\n")[0]
    number = [int(n) for n in re.findall(r"\d+", runc)[:3]]
    bad = number < [1, 2, 8] or [1, 3, 0] <= number < [1, 3, 3]
    assert [runc in line and "CVE-2025-31133" in line
            for line in said] == [True] * bad, said


@pytest.mark.parametrize("level,least", [("WARNING", "WARNING"),
                                         ("ERROR", "ERROR")])
def test_level(start, level, least):
    takod = start("oci", "runc", config={"log_level": level,
                                         "security_mode": "permissive"})
    takod.execute("print(1)")
    assert takod.get("/nothing")[0] == 404
    takod.replace_front()  # its first lines are in the log then
    takod.execute("print(1)")
    takod.stop()
    below = ("DEBUG", "INFO", "WARNING")
    below = below[:below.index(least)] if least in below else below
    assert not [line for line in lines(takod) if line.split()[1] in below]


def test_takoctl_verbose(start):
    takod = start("oci", "runc", config={"log_level": "ERROR"})
    takod.execute("print(1)")
    assert "POST /execute" not in takod.log()
    takod.takoctl("verbose", "info", check=True)
    takod.execute("print(2)")
    host.wait_for("the request is logged",
                  lambda: "POST /execute" in takod.log(), 10)


def test_journal(start):
    takod = start("oci", "runc")
    takod.stop()
    before = len(lines(takod))
    log = os.stat(takod.log_path)
    takod.env["JOURNAL_STREAM"] = "%d:%d" % (log.st_dev, log.st_ino)
    takod.start()
    takod.execute("print(1)")
    takod.stop()
    mine = lines(takod)[before:]
    assert all(re.match(r"<[2-7]>tako(d|-api|-worker)\[\d+\]: ", line)
               for line in mine), mine
    assert [line for line in mine if "POST /execute" in line][0][:3] == "<6>"


def test_variable_of_another_stream(start):
    takod = start("oci", "runc", env={"JOURNAL_STREAM": "1:2"})
    assert re.match(r"\d{4}-", lines(takod)[0])
