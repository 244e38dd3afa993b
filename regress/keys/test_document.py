"""
The document that Tako VM's configuration was described by: each row of its
tables (what a file or a variable may say, the default, the bounds), and its
two examples as they stand, started, and jobs run by them.
"""
import concurrent.futures
import http.client
import json
import os
import re
import subprocess

import pytest

from lib import host, registry, shared


def document(name):
    return host.read(os.path.join(shared.TOP, "regress", "config", name))


FULL = document("full.yaml")
PRODUCTION = document("production.yaml")

# ---- rows --------------------------------------------------------------------

# (key, default in the document, what it may be, what it may not be)
OPTIONS = [
    ("log_level", "INFO",
     ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "debug"], ["TRACE"]),
    ("server_host", "0.0.0.0", ["0.0.0.0", "127.0.0.1", "::"], [""]),
    ("server_port", 8000, [1, 65535], [0, 65536]),
    ("api_max_payload_bytes", 2097152, [1024, 104857600], [1023, 104857601]),
    ("api_rate_limit_enabled", True, [True, False], ["perhaps"]),
    ("api_rate_limit_requests", 120, [1, 100000], [0, 100001]),
    ("api_rate_limit_window_seconds", 60, [1, 3600], [0, 3601]),
    ("max_retry_attempts", 2, [1, 10], [0, 11]),
    ("retry_base_delay", 1.0, [0.1, 60], [0.09, 60.1]),
    ("queue_wait_timeout", 1.0, [0.1, 30], [0.09, 30.1]),
    ("container_runtime", "runsc", ["runsc"], ["crun", "kata"]),
    ("security_mode", "permissive", ["permissive", "strict"], ["loose"]),
    ("enable_seccomp", True, [True, False], ["perhaps"]),
    ("enable_cap_restrictions", True, [True, False], ["perhaps"]),
    ("enable_userns", False, [True, False], ["perhaps"]),
    ("default_timeout", 30, [1, 300], [0, 3601]),
    ("max_timeout", 300, [30, 86400], [0, 86401]),
    ("default_startup_timeout", 120, [10, 600], [9, 601]),
    ("max_startup_timeout", 600, [120, 1800], [29, 1801]),
]
LIMITS = [
    ("pids_limit", 100, [10, 1000], [9, 1001]),
    ("nofile_soft", 256, [64, 256], [63, 65537]),
    ("nofile_hard", 256, [256, 65536], [63, 65537]),
    ("nproc_soft", 50, [10, 50], [9, 1001]),
    ("nproc_hard", 50, [50, 1000], [9, 1001]),
    ("fsize", 104857600, [1048576, 1073741824], [1048575, 1073741825]),
    ("tmpfs_size", "100m", ["10m", "2g", "2048m"], ["9m", "2049m", "3g"]),
]
TYPES = [
    ("name", None, ["a", "A-b_9", "x" * 64], ["", "a b", "x" * 65, None]),
    ("requirements", [], [[], ["pandas", "numpy==1.2"]], ["pandas", 1]),
    ("memory_limit", "512m", ["64m", "32g", "1g"], ["63m", "33g", 512]),
    ("cpu_limit", 1.0, [0.1, 16], [0.05, 16.5]),
    ("timeout", 30, [1, 300], [0, 301, 3601]),
    ("network_enabled", False, [True, False], ["perhaps"]),
]
# (variable, key, default, a value, what it means, no value of it)
VARIABLES = [
    ("DATA_DIR", "data_dir", "~/.tako_vm", "/srv/x", "/srv/x", None),
    ("DATABASE_URL", "database_url",
     "postgresql://postgres:postgres@localhost:5432/tako_vm",
     "postgresql://h/d", "postgresql://h/d", "mysql://h/d"),
    ("SECURITY_MODE", "security_mode", "strict", "permissive", "permissive",
     "loose"),
    ("CONTAINER_RUNTIME", "container_runtime", "runsc", "runsc", "runsc",
     "crun"),
    ("API_MAX_PAYLOAD_BYTES", "api_max_payload_bytes", 2097152, "4096", 4096,
     "1023"),
    ("API_RATE_LIMIT_ENABLED", "api_rate_limit_enabled", True, "no", False,
     "perhaps"),
    ("API_RATE_LIMIT_REQUESTS", "api_rate_limit_requests", 120, "7", 7, "0"),
    ("API_RATE_LIMIT_WINDOW_SECONDS", "api_rate_limit_window_seconds", 60,
     "5", 5, "3601"),
    ("ENABLE_SECCOMP", "enable_seccomp", True, "0", False, "2"),
    ("ENABLE_CAP_RESTRICTIONS", "enable_cap_restrictions", True, "false",
     False, ""),
]
# Where the document's default is not the one that holds: Tako VM 0.3's does,
# and of the database the manual says so.
OTHERWISE = {
    "server_host": "127.0.0.1",
    "security_mode": "strict",
    "database_url": "sqlite:///%(home)s/.tako_vm/takod.db",
    "data_dir": "%(home)s/.tako_vm",
}


def vm(folder, *args, text=None, env=None):
    """tako-vm in folder, with text as its file; (exit status, answer)."""
    if text is not None:
        (folder / "x.yaml").write_text(text)
    done = subprocess.run(
        [shared.program("tako-vm"), *args], cwd=str(folder),
        env={"HOME": str(folder), "PATH": "/usr/bin", **(env or {})},
        capture_output=True, text=True, timeout=30)
    return done.returncode, json.loads(done.stdout or "null"), done.stderr


def verdict(folder, text):
    return vm(folder, "validate", "--json", "x.yaml", text=text)[1]


def effective(folder, text="", env=None):
    status, answer, error = vm(folder, "config", "--json", "-c", "x.yaml",
                               text=text, env=env)
    assert status == 0, error
    return answer


def line(key, value, before=""):
    return before + "%s: %s" % (key, json.dumps(value))


def holds(folder, key, value):
    return OTHERWISE.get(key, value) % {"home": folder} \
        if isinstance(value, str) else value


def row(folder, path, form, default, good, bad):
    for value in good:
        answer = verdict(folder, form % json.dumps(value))
        assert answer["valid"], (value, answer)
    for value in bad:
        answer = verdict(folder, form % json.dumps(value))
        assert not answer["valid"], value
        assert path in [e["key"] for e in answer["errors"]], answer


@pytest.mark.parametrize("key,default,good,bad", OPTIONS,
                         ids=[o[0] for o in OPTIONS])
def test_option(tmp_path, key, default, good, bad):
    assert effective(tmp_path)[key] == holds(tmp_path, key, default)
    row(tmp_path, key, key + ": %s\n", default, good, bad)
    # Each that may be is what is in effect.
    for value in good:
        shown = effective(tmp_path, line(key, value))[key]
        assert shown == (value.upper() if key == "log_level" else value)


def test_runc(tmp_path):
    text = "container_runtime: runc\nsecurity_mode: permissive\n"
    assert effective(tmp_path, text)["container_runtime"] == "runc"
    assert not verdict(tmp_path, "container_runtime: runc\n")["valid"]


@pytest.mark.parametrize("key,default,good,bad", LIMITS,
                         ids=[o[0] for o in LIMITS])
def test_limit(tmp_path, key, default, good, bad):
    assert effective(tmp_path)["container_limits"][key] == default
    row(tmp_path, "container_limits." + key,
        "container_limits: {" + key + ": %s}\n", default, good, bad)


@pytest.mark.parametrize("key,default,good,bad", TYPES,
                         ids=[o[0] for o in TYPES])
def test_field_of_a_job_type(tmp_path, key, default, good, bad):
    form = "job_types: [{%s%s: %%s}]\n" % (
        "" if key == "name" else "name: mine, ", key)
    row(tmp_path, "job_types.0." + key, form, default, good, bad)
    if key == "name":
        assert not verdict(tmp_path, "job_types: [{timeout: 3}]")["valid"]
    else:
        types = effective(tmp_path, "job_types: [{name: mine}]")["job_types"]
        assert types[0][key] == default


@pytest.mark.parametrize("name,key,default,value,meant,bad", VARIABLES,
                         ids=[o[0] for o in VARIABLES])
def test_variable(tmp_path, name, key, default, value, meant, bad):
    name = "TAKO_VM_" + name
    assert effective(tmp_path)[key] == holds(tmp_path, key, default)
    assert effective(tmp_path, env={name: value})[key] == meant
    if bad is not None:
        (tmp_path / "x.yaml").write_text("")
        status, answer, _ = vm(tmp_path, "validate", "--json", "x.yaml",
                               env={name: bad})
        assert status == 1
        assert [e["key"] for e in answer["errors"]] == [name], answer


def test_variable_of_the_file(tmp_path):
    (tmp_path / "named.yaml").write_text("max_workers: 7\n")
    (tmp_path / "tako_vm.yaml").write_text("max_workers: 5\n")
    for env, workers in (({}, 5), ({"TAKO_VM_CONFIG": "named.yaml"}, 7)):
        status, answer, error = vm(tmp_path, "config", "--json", env=env)
        assert status == 0 and answer["max_workers"] == workers, error


def test_variable_of_the_data(tmp_path):
    assert effective(tmp_path, env={"XDG_DATA_HOME": "/custom/data/path"})[
        "data_dir"] == "/custom/data/path/tako_vm"


def test_manual_says_which_defaults_hold():
    with open(os.path.join(shared.TOP, "man", "takod.conf.5")) as manual:
        text = manual.read()
    differences = text[text.index(".Sh DIFFERENCES"):]
    for word in ("Ic server_host", "Li 0.0.0.0", "Ic security_mode",
                 "Cm permissive", "Ic database_url"):
        assert word in differences, word


# ---- the full example --------------------------------------------------------

@pytest.fixture(scope="module")
def full(shared_things):
    from conftest import end, make
    daemon = make("oci", "runsc", "pg", text=FULL)
    yield daemon
    end(daemon)


def ask(daemon, address, headers=None, path="/pool/stats", body=None):
    connection = http.client.HTTPConnection(address, daemon.port, timeout=60)
    try:
        connection.request("POST" if body else "GET", path,
                           json.dumps(body) if body else None,
                           {"Content-Type": "application/json",
                            **(headers or {})})
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


def test_full_is_as_it_stands(full):
    assert host.read(full.file) == FULL
    assert re.search(r"(?m)^server_host: \"0\.0\.0\.0\"", FULL)
    assert re.search(r"(?m)^security_mode: permissive", FULL)
    log = full.log()
    assert "protected mode" in log and full.data_dir + "/api_key" in log
    key = host.read(full.data_dir + "/api_key").strip()
    assert len(key) >= 32 and key not in log
    assert os.stat(full.data_dir + "/api_key").st_mode & 0o777 == 0o600


def test_full_runs_jobs(full):
    record = full.run("print(6 * 7)")
    assert (record["status"], record["stdout"]) == ("succeeded", "42\n")
    # gVisor is there: permissive mode has nothing to fall back from.
    assert record["runtime"] == "runsc"


def test_full_from_elsewhere(full):
    other = host.own_address()
    code = {"code": "print(1)"}
    key = host.read(full.data_dir + "/api_key").strip()
    for headers in ({}, {"X-API-Key": "x" * 64}, {"Host": "localhost"},
                    {"X-Forwarded-For": "127.0.0.1"}):
        assert ask(full, other, headers)[0] == 401, headers
        status, answer = ask(full, other, headers, "/execute", code)
        assert (status, answer["detail"]) == (
            401, "Missing or invalid API key."), headers
    for headers in ({"X-API-Key": key}, {"Authorization": "Bearer " + key}):
        assert ask(full, other, headers)[0] == 200
    status, answer = ask(full, other, {"X-API-Key": key}, "/execute", code)
    assert (status, answer["stdout"]) == (200, "1\n")


@pytest.mark.parametrize("headers", [
    {"Forwarded": "for=192.0.2.43"}, {"X-Forwarded-For": "127.0.0.1"},
    {"Host": "rebound.example"}, {"Host": "rebound.example:8000"}])
def test_full_from_here_by_others(full, headers):
    assert ask(full, "127.0.0.1")[0] == 200
    assert ask(full, "127.0.0.1", headers)[0] == 401
    assert ask(full, "127.0.0.1", headers, "/execute",
               {"code": "print(1)"})[0] == 401
    key = host.read(full.data_dir + "/api_key").strip()
    assert ask(full, "127.0.0.1", {**headers, "X-API-Key": key})[0] == 200


def test_full_packages(start):
    """Installed when they are asked for first, where their registry may be in
    a special range."""
    daemon = start("oci", "runsc", "sqlite", text=FULL + "".join(
        "%s: %s\n" % (key, json.dumps(value))
        for key, value in registry.keys().items()))
    record = daemon.run("import requests, httpx\nprint('it ran')",
                        job_type="api-client")
    assert (record["status"], record["stdout"]) == (
        "succeeded", "it ran\n"), record


# ---- the production example --------------------------------------------------

@pytest.fixture(scope="module")
def production(shared_things):
    from conftest import end, make
    daemon = make("oci", "runsc", "sqlite", text=PRODUCTION)
    yield daemon
    end(daemon)


def test_production_jobs_do_not_die(production):
    """At pids_limit 50 gVisor's own threads have room of their own."""
    code = r"""
import os, resource, subprocess, sys, threading
done = []
threads = [threading.Thread(target=done.append, args=(i,)) for i in range(16)]
for t in threads: t.start()
for t in threads: t.join()
pids = []
for _ in range(10):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    pids.append(pid)
for pid in pids: os.waitpid(pid, 0)
out = subprocess.run([sys.executable, '-c', 'print(5)'], capture_output=True)
print(len(done), out.stdout, resource.getrlimit(resource.RLIMIT_NOFILE),
      os.statvfs('/tmp').f_blocks * os.statvfs('/tmp').f_frsize >> 20)
"""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        records = list(pool.map(lambda _: production.run(code), range(24)))
    for record in records:
        assert record["status"] == "succeeded", record
        assert record["stdout"] == "16 b'5\\n' (128, 128) 64\n", record
        assert record["runtime"] == "runsc"


def test_production_times(production):
    """Of a type that may run longer than max_timeout, as with 0.3: the
    configuration is valid, its jobs need a time of their own."""
    status, _, answer = production.post("/execute", {
        "code": "print(1)", "job_type": "ml-inference"})
    assert status == 422
    assert "effective timeout must be less than or equal to the configured " \
        "max_timeout (60 seconds)" in json.dumps(answer), answer
    assert production.post("/execute", {"code": "1", "timeout": 61})[0] == 422
    for name, timeout in (("ml-inference", 60), ("data-processing", None)):
        body = {"code": "print(1)", "job_type": name}
        if timeout:
            body["timeout"] = timeout
        status, _, answer = production.post("/execute", body)
        assert status == 200, answer
        record = production.record(answer["execution_id"])
        # What is in the way now is that nobody has built them.
        assert record["error"]["type"] == "config_error"
        assert "takoctl build " + name in record["error"]["message"]


def test_production_knows_its_types_alone(production):
    record = production.run("print('it ran')", job_type="no-such")
    assert record["status"] == "failed" and record["stdout"] == ""
    assert record["error"]["type"] == "config_error"
    assert "Unknown job type" in record["error"]["message"]
    assert production.run("print(1)", job_type="default")["stdout"] == "1\n"


def test_production_logs_less(production):
    assert " INFO " not in production.log()
