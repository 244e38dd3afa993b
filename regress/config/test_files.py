"""
test_files.py: tako-vm validate and config over whole files: what each wrong
file is told, the documents of Tako VM as they were written, the search order,
the variables, and that the manual and the example name every key.
"""
import json
import os
import re
import subprocess

import pytest

from lib import shared

TOP = shared.TOP
KEY = "0123456789abcdef"


@pytest.fixture
def vm(tmp_path):
    """Runs tako-vm in an empty folder; (exit status, stdout, stderr)."""
    def run(*args, env=None, home=None):
        done = subprocess.run(
            [shared.program("tako-vm"), *args], cwd=str(tmp_path),
            env={"HOME": str(home or tmp_path / "home"), "PATH": "/usr/bin",
                 **(env or {})},
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        return (done.returncode, done.stdout.decode(), done.stderr.decode())
    return run


@pytest.fixture
def check(vm, tmp_path):
    """What validate says of a text: a list of (line, key, message)."""
    def run(text, env=None):
        (tmp_path / "x.yaml").write_text(text)
        status, out, _ = vm("validate", "--json", "x.yaml", env=env)
        answer = json.loads(out)
        assert answer["valid"] == (status == 0) == (not answer["errors"])
        assert answer["file"] == "x.yaml"
        return [(e["line"], e["key"], e["message"]) for e in answer["errors"]]
    return run


@pytest.fixture
def effective(vm, tmp_path):
    def run(text, env=None):
        (tmp_path / "x.yaml").write_text(text)
        status, out, err = vm("config", "--json", "-c", "x.yaml", env=env)
        assert status == 0, err
        return json.loads(out)
    return run


# ---- one wrong thing each ---------------------------------------------------

WRONG = [
    ("max_worker: 3", 1, "max_worker",
     "unknown key; did you mean max_workers?"),
    ("MAX_WORKERS: 3", 1, "MAX_WORKERS",
     "unknown key; did you mean max_workers?"),
    ("sever_host: x", 1, "sever_host",
     "unknown key; did you mean server_host?"),
    ("quite_other: 3", 1, "quite_other", "unknown key"),
    ("pids_limit: 50", 1, "pids_limit",
     "unknown key; did you mean container_limits.pids_limit?"),
    ("container_limits: {pid_limit: 50}", 1, "container_limits.pid_limit",
     "unknown key; did you mean container_limits.pids_limit?"),
    ("max_workers: 3\nmax_workers: 3", 2, "max_workers", "stands here twice"),
    ("data_dir: /a\ndata_dir_str: /a", 2, "data_dir", "stands here twice"),
    ("max_workers: 0", 1, "max_workers", "must be between 1 and 64"),
    ("max_workers: 65", 1, "max_workers", "must be between 1 and 64"),
    ("max_workers: 1e1", 1, "max_workers", "must be a whole number"),
    ("max_workers: 4.5", 1, "max_workers", "must be a whole number"),
    ("max_workers: [4]", 1, "max_workers", "must be a single value"),
    ("max_workers:", 1, "max_workers", "must not be null or left out"),
    ("max_workers: 2001-01-01", 1, "max_workers", "must be a whole number"),
    ("max_workers: !!binary NA==", 1, "max_workers",
     "has a form or a tag that is not allowed"),
    ("max_workers: !x {}", 1, "max_workers",
     "has a form or a tag that is not allowed"),
    ("api_hostnames: [!!binary YQ==]", 1, "api_hostnames.0",
     "has a form or a tag that is not allowed"),
    ("rootfs: &a \"\\0\"\n", 1, "rootfs", "must not contain a NUL"),
    ("session_max_concurrent: 1.0e+20", 1, "session_max_concurrent",
     "must be a whole number"),
    ("retry_base_delay: 0.05", 1, "retry_base_delay",
     "must be between 0.1 and 60"),
    ("retry_base_delay: .nan", 1, "retry_base_delay", "must be a number"),
    ("retry_base_delay: .inf", 1, "retry_base_delay",
     "must be between 0.1 and 60"),
    ("session_max_concurrent: 0", 1, "session_max_concurrent",
     "must be at least 1"),
    ("production_mode: 2", 1, "production_mode", "must be true or false"),
    ("production_mode: enabled", 1, "production_mode",
     "must be true or false"),
    ("log_level: loud", 1, "log_level",
     "must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ("log_level: 5", 1, "log_level",
     "must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ("container_runtime: RUNSC", 1, "container_runtime",
     "must be one of runsc, runc"),
    ("security_mode: Strict", 1, "security_mode",
     "must be one of strict, permissive"),
    ("docker_image: 5", 1, "docker_image",
     "must be a text: put it in quotes"),
    ("server_host: ''", 1, "server_host", "must be an address or a name"),
    ("api_keys: x", 1, "api_keys", "must be a list"),
    ("api_keys: [1234567890123456]", 1, "api_keys.0",
     "must be a text: put it in quotes"),
    ("api_keys: [short]", 1, "api_keys.0",
     "must be at least 16 characters long"),
    ("api_keys: ['" + KEY + "', '" + KEY + " ']", 1, "api_keys.1",
     "stands here twice"),
    ("api_keys: [\"%s\\n-\"]" % KEY, 1, "api_keys.0",
     "must not contain control characters"),
    ("api_keys: [[]]", 1, "api_keys.0",
     "must be a text, or a mapping of name and key"),
    ("api_keys: [{name: a}]", 1, "api_keys.0.key", "is missing"),
    ("api_keys: [{key: '" + KEY + "'}]", 1, "api_keys.0.name", "is missing"),
    ("api_keys: [{name: a b, key: '" + KEY + "'}]", 1, "api_keys.0.name",
     "must consist of letters, digits, - and _"),
    ("api_keys: [{name: a, key: short}]", 1, "api_keys.0.key",
     "must be at least 16 characters long"),
    ("api_keys: [{name: a, key: '" + KEY + "', max_queue: 1}]", 1,
     "api_keys.0.max_queue",
     "unknown key; did you mean api_keys.0.max_queued?"),
    ("api_keys: [{name: a, key: '" + KEY + "', weight: 0}]", 1,
     "api_keys.0.weight", "must be between 1 and 1000"),
    ("api_keys: [{name: a, key: '" + KEY + "', priority: 10}]", 1,
     "api_keys.0.priority", "must be between 0 and 9"),
    ("api_keys:\n- {name: a, key: '" + KEY + "'}\n- {name: a, key: '" + KEY +
     "2'}", 3, "api_keys.1.name", "another key has this name"),
    ("api_keys:\n- '" + KEY + "'\n- {name: a, key: '" + KEY + "'}", 3,
     "api_keys.1", "stands here twice"),
    ("tenant_defaults: {jobs_per_window: -1}", 1,
     "tenant_defaults.jobs_per_window", "must be at least 0"),
    ("tenant_defaults: {weight: null}", 1, "tenant_defaults.weight",
     "must not be null or left out"),
    ("budget_window_seconds: 59", 1, "budget_window_seconds",
     "must be between 60 and 86400"),
    ("priority_ageing_seconds: 0", 1, "priority_ageing_seconds",
     "must be between 1 and 86400"),
    ("api_auth_enabled: true", 1, "api_keys",
     "must have at least one key where api_auth_enabled is true"),
    ("api_auth_header: 'a b'", 1, "api_auth_header",
     "must consist of letters, digits, - and _"),
    ("database_url: mysql://h/d", 1, "database_url",
     "must begin with postgresql://"),
    ("database_url: postgresql:///d", 1, "database_url",
     "must name a host, or have a host= parameter"),
    ("database_url: postgresql://h/", 1, "database_url",
     "must name a database"),
    ("database_url: postgresql://[h/d", 1, "database_url", "brackets"),
    ("database_url: postgresql://[::x]/d", 1, "database_url", "brackets"),
    ("dependency_proxy_url: http://[::x]", 1, "dependency_proxy_url",
     "must name a host"),
    ("database_url: 'sqlite:///'", 1, "database_url", "must name a file"),
    ("dependency_proxy_url: ftp://h", 1, "dependency_proxy_url",
     "must begin with http://, https:// or socks5://"),
    ("dependency_proxy_url: http://h/x", 1, "dependency_proxy_url",
     "must not have a path, query or fragment"),
    ("dependency_proxy_url: http://:1", 1, "dependency_proxy_url",
     "must name a host"),
    ("dependency_proxy_url: 'http://h;x'", 1, "dependency_proxy_url",
     "contains characters that are not allowed"),
    ("default_timeout: 301", 1, "default_timeout",
     "must not exceed max_timeout"),
    ("max_timeout: 20", 1, "default_timeout", "must not exceed max_timeout"),
    ("max_startup_timeout: 60", 1, "default_startup_timeout",
     "must not exceed max_startup_timeout"),
    ("session_max_ttl_seconds: 60", 1, "session_idle_timeout_seconds",
     "must not exceed session_max_ttl_seconds"),
    ("container_runtime: runc", 1, "container_runtime",
     "runc needs security_mode: permissive"),
    ("container_limits: []", 1, "container_limits", "must be a mapping"),
    ("container_limits:", 1, "container_limits",
     "must not be null or left out"),
    ("container_limits:\n  nofile_hard: 128\n", 2,
     "container_limits.nofile_hard", "must be at least nofile_soft"),
    ("container_limits:\n  nproc_soft: 60\n", 2,
     "container_limits.nproc_hard", "must be at least nproc_soft"),
    ("container_limits: {tmpfs_size: 100}", 1, "container_limits.tmpfs_size",
     "such as 100m, or a number of bytes in quotes"),
    ("container_limits: {tmpfs_size: 9m}", 1, "container_limits.tmpfs_size",
     "must be between 10m and 2g"),
    ("container_limits: {tmpfs_size: 10239k}", 1,
     "container_limits.tmpfs_size", "must be between 10m and 2g"),
    ("container_limits: {tmpfs_size: 1.5g}", 1, "container_limits.tmpfs_size",
     "must be a whole number"),
    ("job_types: {}", 1, "job_types", "must be a list"),
    ("job_types: [a]", 1, "job_types.0", "must be a mapping"),
    ("job_types: [{}]", 1, "job_types.0.name", "is missing"),
    ("job_types: [{name: a b}]", 1, "job_types.0.name",
     "must consist of letters, digits, - and _"),
    ("job_types: [{name: '--'}]", 1, "job_types.0.name",
     "must consist of letters, digits, - and _"),
    ("job_types: [{name: %s}]" % ("a" * 65), 1, "job_types.0.name",
     "must be 1 to 64 characters long"),
    ("job_types:\n- name: a\n- name: a\n", 3, "job_types.1.name",
     "another job type has this name"),
    ("job_types:\n- {name: a, timeout: 301}", 2, "job_types.0.timeout",
     "must not exceed max_timeout"),
    ("job_types: [{name: a, memory_limit: 512k}]", 1,
     "job_types.0.memory_limit",
     "must be a whole number with m or g behind it, such as 512m"),
    ("job_types: [{name: a, memory_limit: 1024}]", 1,
     "job_types.0.memory_limit",
     "must be a whole number with m or g behind it, such as 512m"),
    ("job_types: [{name: a, memory_limit: 63m}]", 1,
     "job_types.0.memory_limit", "must be between 64m and 32g"),
    ("job_types: [{name: a, memory_limit: 33g}]", 1,
     "job_types.0.memory_limit", "must be between 64m and 32g"),
    ("job_types: [{name: a, python_version: 3.11}]", 1,
     "job_types.0.python_version", "must be a text: put it in quotes"),
    ("job_types: [{name: a, cpu_limit: 17}]", 1, "job_types.0.cpu_limit",
     "must be between 0.1 and 16"),
    ("job_types: [{name: a, environment: {A: 1}}]", 1,
     "job_types.0.environment.A", "must be a text: put it in quotes"),
    ("job_types: [{name: a, environment: {A=B: x}}]", 1,
     "job_types.0.environment", "must not be empty or contain ="),
    ("job_types: [{name: a, shared_code: [../x]}]", 1,
     "job_types.0.shared_code.0", "must stay below the folder of this file"),
    ("job_types: [{name: a, shared_code: [a/../../x]}]", 1,
     "job_types.0.shared_code.0", "must stay below the folder of this file"),
    ("job_types: [{name: a, shared_code: [/etc/passwd]}]", 1,
     "job_types.0.shared_code.0", "must stay below the folder of this file"),
    ("job_types: [{name: a, gpu: {vendor: amd}}]", 1, "job_types.0.gpu",
     "vendor, count and device_ids need enabled: true"),
    ("job_types: [{name: a, gpu: {enabled: true}}]", 1, "job_types.0.gpu",
     "enabled: true needs a vendor"),
    ("job_types: [{name: a, gpu: {enabled: true, vendor: x}}]", 1,
     "job_types.0.gpu.vendor", "must be one of nvidia, amd"),
    ("job_types: [{name: a, gpu: {enabled: 1, vendor: amd, count: 1}}]", 1,
     "job_types.0.gpu", "count is for the vendor nvidia only"),
    ("job_types: [{name: a, gpu: {enabled: 1, vendor: nvidia, count: 1, "
     "device_ids: [a]}}]", 1, "job_types.0.gpu",
     "count and device_ids exclude each other"),
    ("job_types: [{name: a, gpu: {enabled: 1, vendor: amd, "
     "device_ids: [a, A]}}]", 1, "job_types.0.gpu.device_ids.1",
     "stands here twice"),
    ("job_types: [{name: a, allowed_hosts: [x.org]}]", 1,
     "job_types.0.allowed_hosts", "needs network_enabled: true"),
    *(("job_types: [{name: a, network_enabled: true, allowed_hosts: ['%s']}]"
       % host, 1, "job_types.0.allowed_hosts.0", text) for host, text in [
        ("", "must be a name, an address"),
        ("x.org:0", "must have a port from 1 to 65535"),
        ("x.org:65536", "must have a port from 1 to 65535"),
        ("x.org:", "must have a port from 1 to 65535"),
        ("*.x.org", "must name one host"),
        ("https://x.org", "must be the host of that URL"),
        ("x.org/24", "must be a name, an address"),
        ("a b", "must be a name, an address"),
        # What the C library would take for addresses.
        ("2130706433", "must be a name, an address"),
        ("0x7f.1", "must be a name, an address"),
        ("1.0x7f000001", "must be a name, an address"),
        ("010.0.0.1.5", "must be a name, an address"),
        ("10.0.0.1/8", "no bits behind its length"),
        ("10.0.0.0/33", "must be a name, an address"),
        ("[::1", "must be a name, an address"),
        ("[::1]80", "must have a port from 1 to 65535")]),
    ("network_allow: [unix]", 1, "network_allow.0",
     "must be an address or address/bits"),
    ("network_deny: [x.org]", 1, "network_deny.0", "must be an address"),
    ("job_types: [{name: a, gpu: null}]", 1, "job_types.0.gpu",
     "must not be null or left out"),
    ("docker_host: tcp://h:1", 1, "docker_host", "must be unix:///path"),
    ("api_hostnames: ['a b']", 1, "api_hostnames.0", "must be a host name"),
    ("api_header_timeout: 0", 1, "api_header_timeout",
     "must be between 0.1 and 3600"),
    ("api_max_connections: 10", 1, "api_max_connections_per_source",
     "must not exceed api_max_connections"),
    ("data_dir: ''", 1, "data_dir", "must not be empty"),
    ("- a", 1, None, "must be a mapping of keys to values"),
    ("hello", 1, None, "must be a mapping of keys to values"),
    ("a: [", 2, None, "not YAML"),
    ("max_workers: 3\n---\nmax_workers: 4\n", 2, None,
     "more than one document"),
    ("max_workers: *x", 1, None, "an alias without its anchor"),
    ("a: &x 1\nb: &x 2", 2, None, "an anchor of this name is there already"),
    ("5: a", 1, None, "a key must be a text"),
    ("on: a", 1, None, "a key must be a text"),
    ("a\tb: \x01", 1, None, "not YAML"),
    # What else operators do; each is told what mends it.
    ("max_workers: four", 1, "max_workers",
     "must be a whole number between 1 and 64"),
    ("max_timeout: 5m", 1, "max_timeout",
     "must be a whole number between 1 and 86400"),
    ("session_max_concurrent: x", 1, "session_max_concurrent",
     "must be a whole number of at least 1"),
    ("job_types: [{name: a, cpu_limit: 500m}]", 1, "job_types.0.cpu_limit",
     "must be a number between 0.1 and 16"),
    ("workers: 4", 1, "workers", "did you mean max_workers?"),
    ("port: 80", 1, "port", "did you mean server_port?"),
    ("database: a", 1, "database", "did you mean database_url?"),
    ("memory_limit: 1g", 1, "memory_limit",
     "did you mean job_types.0.memory_limit?"),
    ("job_types: [{name: a, max_timeout: 1}]", 1, "job_types.0.max_timeout",
     "did you mean max_timeout?"),
    ("job_types: [{name: a, memory: 1g}]", 1, "job_types.0.memory",
     "did you mean job_types.0.memory_limit?"),
    ("max_workers:4", 1, None, "max_workers: 4 with a space behind"),
    ("job_types:\n  default: {timeout: 3}", 2, "job_types",
     "each of which begins with - name:"),
    ("job_types: [{name: a, requirements: numpy}]", 1,
     "job_types.0.requirements", "such as [a, b]"),
    ("job_types: [{name: a, environment: [A=b]}]", 1,
     "job_types.0.environment", "such as {NAME: text}"),
    ("job_types: [{name: a, environment: {A: }}]", 1,
     "job_types.0.environment.A", 'must be a text, if only ""'),
    ("job_types: [{name: a, gpu: true}]", 1, "job_types.0.gpu",
     "with keys such as enabled"),
    ("container_limits:\n", 1, "container_limits",
     "its keys are indented below it"),
    ("container_limits:\n\tpids_limit: 50", 2, None,
     "indent with spaces, not with tabs"),
    ("container_limits:\n  pids_limit: 50\n   fsize: 1", 3, None,
     "look at how the lines are indented"),
    ("docker_image: @a", 1, None, "a text that begins so needs quotes"),
    ("docker_image: *a", 1, None, "a text that begins with * needs quotes"),
    ("\u00fc\u00fc: @a", 1, None, "a text that begins so needs quotes"),
    ("server_host: localhost:8000", 1, "server_host",
     "without scheme and port"),
    ("server_host: http://localhost", 1, "server_host",
     "without scheme and port"),
    ("server_host: '[::1]:80'", 1, "server_host", "without scheme and port"),
    ("max_timeout: 10", 1, "default_timeout",
     "must not exceed max_timeout; by default it is 30"),
    ("container_limits: {nofile_soft: 300}", 1,
     "container_limits.nofile_hard",
     "must be at least nofile_soft; by default it is 256"),
]


@pytest.mark.parametrize("text,line,key,message", WRONG)
def test_wrong(check, text, line, key, message):
    errors = check(text)
    # where the text is about the form, its keys are wrong beside that
    found = [e for e in errors if e[:2] == (line, key) and message in e[2]]
    assert len(found) == 1, errors
    assert len(errors) == 1 or key is None, errors


def test_an_alias_is_wrong_where_it_stands(check):
    assert check("rootfs: &a \"\\0\"\nserver_host: *a\n") == [
        (1, "rootfs", "must not contain a NUL"),
        (2, "server_host", "must not contain a NUL")]


def test_a_home_folder_is_not_put_in(vm, tmp_path):
    (tmp_path / "x.yaml").write_text("data_dir: ~/tako\n")
    status, out, _ = vm("validate", "x.yaml")
    assert status == 0
    assert "x.yaml:1:11: data_dir: ~ and $ stand for themselves" in out


def test_all_errors_at_once(vm, tmp_path):
    (tmp_path / "tako_vm.yaml").write_text(
        "max_worker: 3\n"
        "database_url: hunter2\n"
        "container_limits:\n"
        "  pids_limit: 5\n"
        "job_types:\n"
        "  - {name: a, timeout: hunter2}\n"
        "api_keys: [hunter2]\n")
    status, out, _ = vm("validate", env={"TAKO_VM_SESSIONS_ENABLED": "hunter2"})
    assert status == 1
    assert out.splitlines() == [
        "Validating: tako_vm.yaml",
        "",
        "Validation FAILED:",
        "  - tako_vm.yaml:1:1: max_worker: unknown key; did you mean "
        "max_workers?",
        "  - tako_vm.yaml:2:15: database_url: must begin with postgresql://, "
        "postgresql+psycopg:// or sqlite:///, with one / more for an "
        "absolute path",
        "  - tako_vm.yaml:4:15: container_limits.pids_limit: must be between "
        "10 and 1000",
        "  - tako_vm.yaml:6:24: job_types.0.timeout: must be a whole number "
        "between 1 and 3600",
        "  - tako_vm.yaml:7:12: api_keys.0: must be at least 16 characters "
        "long",
        "  - TAKO_VM_SESSIONS_ENABLED: must be true, false, 1, 0, yes or no",
    ]


# ---- right files ------------------------------------------------------------

@pytest.mark.parametrize("text", [
    "", "# nothing\n", "null", "{}", "[]", "false", "0", "''", "---\n...\n",
])
def test_empty(effective, text):
    assert effective(text)["max_workers"] == 4


@pytest.mark.parametrize("text,key,value", [
    ("max_workers: '6'", "max_workers", 6),
    ("max_workers: 6.0", "max_workers", 6),
    ("max_workers: ' 6.0 '", "max_workers", 6),
    ("max_workers: 0x10", "max_workers", 16),
    ("max_workers: 017", "max_workers", 15),
    ("max_workers: 1:2", "max_workers", 62),
    ("max_workers: true", "max_workers", 1),
    ("max_timeout: 1_000", "max_timeout", 1000),
    ("production_mode: 'Y'", "production_mode", True),
    ("production_mode: 1.0", "production_mode", True),
    ("production_mode: oFf", "production_mode", False),
    ("retry_base_delay: '1e1'", "retry_base_delay", 10.0),
    ("retry_base_delay: 2", "retry_base_delay", 2.0),
    ("retry_base_delay: .5", "retry_base_delay", 0.5),
    ("log_level: Warning", "log_level", "WARNING"),
    ("database_url: postgresql+psycopg://h/d", "database_url",
     "postgresql://h/d"),
    ("database_url: postgresql:///d?host=/run/x", "database_url",
     "postgresql:///d?host=/run/x"),
    ("database_url: postgresql://u:pa:ss@h:1/d", "database_url",
     "postgresql://u:***@h:1/d"),
    ("database_url: postgresql://h/d?password=x&a=b", "database_url",
     "postgresql://h/d?password=***&a=b"),
    ("database_url: sqlite:////x y/z", "database_url", "sqlite:////x y/z"),
    ("dependency_proxy_url: ' '", "dependency_proxy_url", None),
    ("dependency_proxy_url: ' http://h:1/ '", "dependency_proxy_url",
     "http://h:1/"),
    ("dependency_proxy_url: socks5://u:p@h", "dependency_proxy_url",
     "socks5://u:xxxxx@h"),
    ("api_auth_header: ' X-A '", "api_auth_header", "X-A"),
    ("seccomp_profile_path_str: /x", "seccomp_profile_path", "/x"),
    ("data_dir_str: /x", "data_dir", "/x"),
    ("api_idle_timeout: 0.25", "api_idle_timeout", 0.25),
    ("a: &a 5\n".replace("a: ", "max_timeout: ") + "default_timeout: *a",
     "default_timeout", 5),
    ("<<: {max_workers: 9}\nmax_queue_size: 7", "max_workers", 9),
])
def test_right(effective, text, key, value):
    found = effective(text)[key]
    assert found == value and type(found) is type(value)


def test_data_dir(effective, tmp_path):
    assert effective("")["data_dir"] == str(tmp_path / "home" / ".tako_vm")
    data = effective("", {"XDG_DATA_HOME": "/xdg"})
    assert data["data_dir"] == "/xdg/tako_vm"
    assert data["database_url"] == "sqlite:////xdg/tako_vm/takod.db"
    assert effective("data_dir: rel")["data_dir"] == str(tmp_path / "rel")
    data = effective("data_dir: /a", {"TAKO_VM_DATA_DIR": "/b"})
    assert data["data_dir"] == "/b"


# ---- variables --------------------------------------------------------------

VARIABLES = [
    ("SERVER_HOST", "server_host", "::1", "::1"),
    ("SERVER_PORT", "server_port", "8001", 8001),
    ("DATA_DIR", "data_dir", "/v", "/v"),
    ("DATABASE_URL", "database_url", "postgresql://h/v", "postgresql://h/v"),
    ("SECURITY_MODE", "security_mode", "Permissive", "permissive"),
    ("CONTAINER_RUNTIME", "container_runtime", "RUNSC", "runsc"),
    ("API_MAX_PAYLOAD_BYTES", "api_max_payload_bytes", " 2_048 ", 2048),
    ("API_RATE_LIMIT_ENABLED", "api_rate_limit_enabled", "No", False),
    ("API_RATE_LIMIT_REQUESTS", "api_rate_limit_requests", "7", 7),
    ("API_RATE_LIMIT_WINDOW_SECONDS", "api_rate_limit_window_seconds", "7", 7),
    ("ENABLE_SECCOMP", "enable_seccomp", "0", False),
    ("ENABLE_CAP_RESTRICTIONS", "enable_cap_restrictions", "FALSE", False),
    ("API_AUTH_HEADER", "api_auth_header", "X-V", "X-V"),
    ("ALLOW_UNAUTHENTICATED_NETWORK_ACCESS",
     "allow_unauthenticated_network_access", "yes", True),
    ("ALLOW_RUNTIME_REQUIREMENTS", "allow_runtime_requirements", "1", True),
    ("DEPENDENCY_PROXY_URL", "dependency_proxy_url", "http://v:1",
     "http://v:1"),
    ("ENABLE_RUNTIME_DEPENDENCY_CACHE", "enable_runtime_dependency_cache",
     "true", True),
    ("SESSIONS_ENABLED", "sessions_enabled", "TRUE", True),
    ("SESSION_IDLE_TIMEOUT_SECONDS", "session_idle_timeout_seconds", "77", 77),
    ("SESSION_MAX_TTL_SECONDS", "session_max_ttl_seconds", "7777", 7777),
    ("SESSION_MAX_CONCURRENT", "session_max_concurrent", "3", 3),
]


@pytest.mark.parametrize("name,key,text,value", VARIABLES)
def test_variable(effective, vm, name, key, text, value):
    env = {"TAKO_VM_" + name: text}
    assert effective("", env)[key] == value
    _, out, _ = vm("config", "-c", "x.yaml", env=env)
    assert re.search(r"(?m)^%s: .*  # TAKO_VM_%s$" % (key, name), out)


def test_what_is_overridden_is_not_judged(effective, check):
    """As in 0.3: a file may have placeholders."""
    text = "database_url: ${DATABASE_URL}\napi_keys: [changeme]\n"
    env = {"TAKO_VM_DATABASE_URL": "postgresql://h/d",
           "TAKO_VM_API_KEYS": KEY}
    assert effective(text, env)["database_url"] == "postgresql://h/d"
    assert [e[1] for e in check(text)] == ["database_url", "api_keys.0"]
    env["TAKO_VM_API_KEYS"] = "x"
    assert [e[1] for e in check(text, env)] == ["TAKO_VM_API_KEYS"]


@pytest.mark.parametrize("name,text,message", [
    ("SESSIONS_ENABLED", "on", "must be true, false, 1, 0, yes or no"),
    ("ENABLE_SECCOMP", "", "must be true, false, 1, 0, yes or no"),
    ("API_MAX_PAYLOAD_BYTES", "4.0", "must be a whole number"),
    ("API_MAX_PAYLOAD_BYTES", "0x800", "must be a whole number"),
    ("API_MAX_PAYLOAD_BYTES", "1023", "must be between 1024 and 104857600"),
    ("SESSION_MAX_CONCURRENT", "", "must be a whole number"),
    ("DATABASE_URL", "", "must begin with postgresql://"),
    ("SECURITY_MODE", "loose", "must be one of strict, permissive"),
    ("CONTAINER_RUNTIME", "runc", "runc needs security_mode: permissive"),
    ("API_KEYS", "short", "must be at least 16 characters long"),
    ("API_AUTH_ENABLED", "1", "api_keys must have at least one key"),
    ("SESSION_MAX_TTL_SECONDS", "60", "session_idle_timeout_seconds must not "
     "exceed session_max_ttl_seconds; by default it is 1800"),
    ("DATA_DIR", "", "must not be empty"),
    ("DATA_DIR", os.fsdecode(b"/\xff"), "must be UTF-8"),
    ("SESSION_IDLE_TIMEOUT_SECONDS", "86400x", "must be a whole number"),
])
def test_variable_wrong(check, name, text, message):
    errors = check("", {"TAKO_VM_" + name: text})
    assert len(errors) == 1
    assert errors[0][:2] == (None, "TAKO_VM_" + name)
    assert message in errors[0][2]


def test_variable_keys(effective, check):
    env = {"TAKO_VM_API_KEYS": " %s, ,%sB," % (KEY, KEY)}
    text = "api_auth_enabled: true\napi_keys: ['%sC']" % KEY
    assert len(effective(text, env)["api_keys"]) == 2
    assert check("api_auth_enabled: true", env) == []
    env["TAKO_VM_API_KEYS"] += KEY
    assert check("", env) == [
        (None, "TAKO_VM_API_KEYS", "stands here twice")]


# ---- where the file is found ------------------------------------------------

def test_search_order(vm, tmp_path):
    home = tmp_path / "home"
    places = [tmp_path / "tako_vm.yaml", tmp_path / "config" / "tako_vm.yaml",
              home / ".tako_vm" / "config.yaml"]
    status, out, _ = vm("validate")
    if os.path.exists("/etc/tako_vm/config.yaml"):
        assert out.startswith("Validating: /etc/tako_vm/config.yaml")
    else:
        assert status == 1 and out.startswith("No configuration file found.")
        assert json.loads(vm("validate", "--json")[1])["valid"] is False
    for i in (2, 1, 0):
        places[i].parent.mkdir(parents=True, exist_ok=True)
        places[i].write_text("max_workers: %d\n" % (i + 1))
        status, out, _ = vm("config", "--json")
        assert json.loads(out)["max_workers"] == i + 1
    (tmp_path / "v.yaml").write_text("max_workers: 11\n")
    (tmp_path / "c.yaml").write_text("max_workers: 12\n")
    env = {"TAKO_VM_CONFIG": "v.yaml"}
    assert json.loads(vm("config", "--json", env=env)[1])["max_workers"] == 11
    for flag in ("-c", "--config"):
        _, out, _ = vm(flag, "c.yaml", "config", "--json", env=env)
        assert json.loads(out)["max_workers"] == 12
    _, out, _ = vm("validate", "v.yaml", "-c", "c.yaml")
    assert "Workers: 11" in out


def test_named_file_must_be_there(vm, tmp_path):
    (tmp_path / "tako_vm.yaml").write_text("max_workers: 1\n")
    for run in (lambda: vm("validate", "none.yaml"),
                lambda: vm("validate", "-c", "none.yaml"),
                lambda: vm("validate", env={"TAKO_VM_CONFIG": "none.yaml"})):
        status, out, _ = run()
        assert status == 1
        assert "none.yaml: No such file or directory" in out
    status, out, err = vm("config", env={"TAKO_VM_CONFIG": "none.yaml"})
    assert status == 1 and out == ""
    assert err == ("Configuration error: none.yaml: "
                   "No such file or directory\n")


def test_not_a_file(vm, tmp_path):
    (tmp_path / "tako_vm.yaml").mkdir()
    status, out, _ = vm("validate")
    assert status == 1 and "tako_vm.yaml: is not a file" in out
    status, out, _ = vm("validate", "/dev/zero")
    assert status == 1 and "/dev/zero: is not a file" in out


def test_usage(vm):
    assert vm("nonsense")[0] == 2
    assert vm("validate", "--nonsense")[0] == 2
    assert vm("validate", "a", "b")[0] == 2
    assert vm()[0] == 1
    assert vm("--help")[0] == 0
    status, out, _ = vm("version")
    assert status == 0 and re.fullmatch(r"tako-vm \d+\.\d+\.\d+\n", out)


# ---- warnings ---------------------------------------------------------------

@pytest.mark.parametrize("text,warned", [
    ("server_host: 127.0.0.1", False), ("server_host: 127.1.2.3", False),
    ("server_host: localhost", False), ("server_host: LocalHost", False),
    ("server_host: '::1'", False), ("server_host: '[::1]'", False),
    ("server_host: 0.0.0.0", True), ("server_host: '::'", True),
    ("server_host: 127.evil.example", True), ("server_host: h", True),
    ("server_host: 0.0.0.0\nallow_unauthenticated_network_access: true",
     True),
    ("server_host: 0.0.0.0\napi_auth_enabled: true\n"
     "api_keys: ['%sX']" % KEY, False),
    ("security_mode: permissive", True),
])
def test_warning(vm, tmp_path, text, warned):
    (tmp_path / "x.yaml").write_text(text)
    status, out, _ = vm("validate", "--json", "x.yaml")
    assert status == 0
    assert bool(json.loads(out)["warnings"]) == warned
    status, _, err = vm("config", "-c", "x.yaml")
    assert status == 0 and err.startswith("Warning: ") == warned


# ---- what is printed loads again --------------------------------------------

def test_config_loads_again(vm, effective, tmp_path):
    text = ("api_auth_enabled: true\napi_keys: ['%sa', '%sb', "
            "{name: ci, key: '%sc', max_queued: 7, priority: null}]\n"
            "tenant_defaults: {weight: 3}\n"
            "job_types:\n  - name: a\n    environment: {'x y': \"\\u2028'\"}\n"
            "enable_userns: true\n" % (KEY, KEY, KEY))
    data = effective(text)
    assert data["api_keys"][2]["max_queued"] == 7
    assert data["api_keys"][2]["weight"] is None
    for args in ((), ("--json",), ("--show-defaults",)):
        status, out, _ = vm("config", "-c", "x.yaml", *args)
        assert status == 0 and KEY not in out
        again = tmp_path / "again.yaml"
        again.write_text(out)
        status, out, err = vm("config", "-c", "again.yaml", "--json")
        assert status == 0, err
        assert "nobody can use it" in err
        assert json.loads(out) == data


def test_origins(vm, tmp_path):
    (tmp_path / "tako_vm.yaml").write_text(
        "\nmax_workers: 9\ncontainer_limits:\n  pids_limit: 50\n")
    _, out, _ = vm("config", env={"TAKO_VM_ENABLE_SECCOMP": "no"})
    assert "\nmax_workers: 9  # file, line 2\n" in out
    assert "\n  pids_limit: 50  # file, line 4\n" in out
    assert "\nenable_seccomp: false  # TAKO_VM_ENABLE_SECCOMP\n" in out
    assert "\nmax_queue_size: 100  # default\n" in out
    _, out, _ = vm("config", "--show-defaults")
    assert "\nmax_workers: 9  # file, line 2; default 4\n" in out
    assert re.search(r"(?m)^data_dir: .*; a change needs a restart$", out)


# ---- documents --------------------------------------------------------------

FULL = open(os.path.join(os.path.dirname(__file__), "full.yaml")).read()
PRODUCTION = open(os.path.join(
    os.path.dirname(__file__), "production.yaml")).read()


def test_document_full(vm, effective, check):
    defaults = effective("")
    assert check(FULL) == []
    data = effective(FULL)
    assert data["server_host"] == "0.0.0.0"
    assert data["security_mode"] == "permissive"
    assert data["database_url"] == (
        "postgresql://postgres:***@localhost:5432/tako_vm")
    types = {t["name"]: t for t in data["job_types"]}
    assert types["data-processing"]["requirements"] == ["pandas", "numpy"]
    assert types["data-processing"]["memory_limit"] == "1g"
    assert types["api-client"]["network_enabled"] is True
    assert types["api-client"]["memory_limit"] == "256m"
    # all else is the default
    for key, value in defaults.items():
        if key not in ("server_host", "security_mode", "database_url",
                       "job_types"):
            assert data[key] == value, key
    _, out, _ = vm("validate", "x.yaml")
    assert "protected mode" in out


def test_document_production(vm, effective):
    data = effective(PRODUCTION)
    assert data["container_limits"] == {
        "nofile_soft": 128, "nofile_hard": 128, "nproc_soft": 50,
        "nproc_hard": 50, "fsize": 104857600, "tmpfs_size": "64m",
        "pids_limit": 50}
    assert data["enable_userns"] is True and data["max_timeout"] == 60
    (_, out, _) = vm("validate", "x.yaml")
    assert "Configuration is valid!" in out
    assert "Mode: production" in out


# ---- completeness -----------------------------------------------------------

def all_keys(data):
    """Every key that there is, from what config prints, in its parts."""
    job_type = {"name", "requirements", "python_version", "base_image",
                "shared_code", "environment", "memory_limit", "cpu_limit",
                "timeout", "startup_timeout", "network_enabled",
                "allowed_hosts", "session_enabled", "gpu", "warm_pool_size",
                "preload"}
    assert set(data["job_types"][0]) == job_type
    return (set(data), set(data["container_limits"]), job_type,
            set(data["job_types"][0]["gpu"]), set(data["tenant_defaults"]),
            set(data["api_keys"][0]))


def test_manual_has_every_key(effective):
    with open(os.path.join(TOP, "man", "takod.conf.5")) as file:
        page = file.read()
    keys = set().union(*all_keys(effective(
        "job_types: [{name: a}]\napi_keys: [{name: a, key: '%s'}]" % KEY)))
    assert set(re.findall(r"(?m)^\.It Ic (\w+)$", page)) == keys
    named = set(re.findall(r"(?m)^\.Ev TAKO_VM_(\w+)", page))
    assert named >= {name for name, *_ in VARIABLES}
    assert named - {name for name, *_ in VARIABLES} == {
        "API_KEYS", "API_AUTH_ENABLED", "CONFIG"}


def test_example_is_the_defaults(effective):
    with open(os.path.join(TOP, "etc", "takod.example.yaml")) as file:
        text = file.read()
    assert effective(text) == effective("")
    bare = re.sub(r"(?m)^#(?=[a-z0-9_ ]+:|  - )(?! [a-z])", "", text)
    bare = re.sub(r"(?m)^#(?=(  )+[a-z-])", "", bare)
    data, defaults = effective(bare), effective("")
    assert {k for k in data if data[k] != defaults[k]} == {
        "data_dir", "database_url", "job_types"}
    assert set(re.findall(r"(?m)^#?([a-z0-9_]+):", text)) == set(data)
    assert [t["name"] for t in data["job_types"]] == ["example"]
    assert data["job_types"] == effective(
        "job_types: [{name: example}]")["job_types"]


@pytest.mark.parametrize("name", sorted(
    n for n in os.listdir(os.path.join(TOP, "etc"))
    if n.endswith(".yaml") and n != "takod.lima.yaml"))  # that one is Lima's
def test_shipped(vm, name):
    status, out, _ = vm("validate", os.path.join(TOP, "etc", name))
    assert status == 0, out
