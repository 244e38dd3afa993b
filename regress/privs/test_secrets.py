"""
test_secrets.py: what takod is told in confidence stays with it. One daemon has
every secret that a configuration can hold, each a distinct canary, and runs
jobs; then the memory of all processes around it, their environments and
command lines, its log, what jobs saw and said, and the rows of its database
are searched for each of them. The parent's own memory is searched too, to see
that this search would find one.
"""
import os
import re
import secrets
import subprocess

import pytest

from lib import host, postgres, shared

KEY_SHOWN, KEY_KEPT = ("canary-key-" + secrets.token_hex(12) for _ in "12")
PROXY_WORD = "canary-proxy-" + secrets.token_hex(12)
ENVIRONMENT = "canary-env-" + secrets.token_hex(12)

LOOK = r"""
import glob, json, os, sys
found = [repr(dict(os.environ))]
for path in glob.glob('/proc/*/environ') + glob.glob('/proc/*/cmdline'):
    try:
        found.append(open(path, errors='replace').read())
    except OSError as error:
        found.append(str(error))
print(found)
print(sys.argv, file=sys.stderr)
open('/output/seen.txt', 'w').write(repr(found))
json.dump(found, open('/output/result.json', 'w'))
"""


@pytest.fixture(scope="module")
def told(shared_things):
    from conftest import end, make
    daemon = make("oci", "runc", "pg", env={"TAKO_SOMETHING": ENVIRONMENT},
                  config={
        "api_auth_enabled": True, "api_keys": [KEY_SHOWN, KEY_KEPT],
        "dependency_proxy_url":
            "http://somebody:%s@127.0.0.1:9" % PROXY_WORD,
        "warm_pool_size": 1,
        **shared.s3().keys_of_takod(s3_prefix="canary/")}, wait=False)
    daemon.show = {"X-API-Key": KEY_SHOWN}
    host.wait_for("it is ready", lambda: " ready: serving" in daemon.log(), 60)
    daemon._learn()
    yield daemon
    end(daemon)


def canaries():
    """{secret: the bytes by which it is known}"""
    credentials = host.read(shared.s3().keys_of_takod()["s3_credentials_file"])
    key = re.search(r"aws_secret_access_key\s*=\s*(\S+)", credentials).group(1)
    return {"database password": shared.postgres().password.encode(),
            "S3 key": key.encode(), "API key": KEY_KEPT.encode(),
            "proxy password": PROXY_WORD.encode(),
            "environment": ENVIRONMENT.encode()}


# A sanitizer has that much and more of what may be read, and no text there.
SHADOW = 1 << 40


def memory(pid):
    """All that a process can read of itself, piece by piece."""
    with open("/proc/%d/maps" % pid) as file:
        maps = [line.split() for line in file]
    with open("/proc/%d/mem" % pid, "rb", buffering=0) as mem:
        for fields in maps:
            if not fields[1].startswith("r") or fields[-1] in (
                    "[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            start, end = (int(n, 16) for n in fields[0].split("-"))
            if end - start > SHADOW:
                continue
            try:
                mem.seek(start)
                yield mem.read(end - start)
            except (OSError, ValueError):
                pass  # a file's map beyond its end


def known_in(pieces):
    """Names of the secrets that are in some bytes."""
    found = set()
    for piece in pieces:
        found |= {name for name, word in canaries().items() if word in piece}
    return found


def ask(daemon, code, **fields):
    status, _, answer = daemon.post("/execute", {"code": code, **fields},
                                    headers=daemon.show)
    assert status == 200, answer
    return answer["execution_id"]


def test_secrets_stay_with_the_parent(told):
    job = ask(told, LOOK)
    shown = told.request("GET", "/executions/%s?view=full" % job,
                         headers=told.show)
    assert shown[2]["status"] == "succeeded", shown
    # Beside what waits, one that is at work.
    sleeper = told.post("/execute/async", {"code": "import time\n"
                        "time.sleep(60)"}, headers=told.show)[2]["job_id"]
    told.wait_code(sleeper)
    assert told.get("/health")[0] == 200
    assert told.request("GET", "/executions", headers={
        "X-API-Key": "guessed"})[0] == 401
    children = told.children("tako-api") + told.children("tako-worker")
    assert len(children) >= 2
    # The search finds what is there: the parent has to have these.
    assert {"database password", "S3 key", "environment"} <= known_in(
        memory(told.pid))
    for pid in children + sorted(told.container_pids()):
        assert known_in(memory(pid)) == set(), (pid, host.read(
            "/proc/%d/cmdline" % pid))
        for name in ("environ", "cmdline"):
            with open("/proc/%d/%s" % (pid, name), "rb") as file:
                assert known_in([file.read()]) == set(), (pid, name)
        assert re.search(r"Max core file size +[01] +[01] ",
                         host.read("/proc/%d/limits" % pid))
    # Of a key the parent keeps the hash, and nobody sees the file's words,
    # which are read again at each reload.
    assert "API key" not in known_in(memory(told.pid))
    for _ in range(2):
        told.takoctl("reload", check=True)
        assert "API key" not in known_in(memory(told.pid))
    with open("/proc/%d/cmdline" % told.pid, "rb") as file:
        assert known_in([file.read()]) == set()
    assert re.search(r"Max core file size +[01] +[01] ",
                     host.read("/proc/%d/limits" % told.pid))
    assert known_in([told.log().encode()]) == set()
    assert known_in([repr(shown).encode()]) == set()
    for args in (("status",), ("workers",), ("--json", "status"),
                 ("job", job)):
        done = told.takoctl(*args)
        assert known_in([(done.stdout + done.stderr).encode()]) == set()
    assert told.post("/jobs/%s/cancel" % sleeper,
                     headers=told.show)[0] == 200
    rows = subprocess.run(
        [postgres.program("pg_dump"), told.keys["database_url"]],
        check=True, capture_output=True).stdout
    assert job.encode() in rows
    assert known_in([rows]) == set()
    # Nor does the key that a client showed go further than to the parent.
    assert KEY_SHOWN.encode() not in rows
    assert KEY_SHOWN not in told.log()
