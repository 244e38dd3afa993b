"""
preload: what the waiting interpreter has imported before the code comes. A job
sees what it would see had its own first line imported it; what cannot be
imported harms nobody else.
"""
import json
import re
import time

import pytest

from lib import host

MODULES = ["asyncio", "sqlite3", "decimal", "random", "mine.deep"]
FILES = {
    "mine/__init__.py": "import os, time\nWHEN = time.time()\nFDS = "
                        "sorted(os.listdir('/proc/self/fd'))\nSTATE = []\n",
    "mine/deep.py": "from . import STATE\nprint('imported')\n",
    "broken.py": "print('half')\nimport mine\nraise ValueError('no')\n",
    "exits.py": "import sys\nsys.exit(3)\n",
    "hangs.py": "import time\nwhile True: time.sleep(1000)\n",
    "heavy.py": "x = []\nwhile True: x.append(b'x' * 1000000)\n",
    "crashes.py": "import os\nos.kill(os.getpid(), 11)\n",
}
COMBOS = (("oci", "runsc", "sqlite"), ("oci", "runc", "pg"),
          ("docker", "runsc", "pg"), ("docker", "runc", "sqlite"))
CONFIG = {"warm_pool_size": 0, "job_types": [
    {"name": "plain", "shared_code": ["mine"]},
    {"name": "loaded", "shared_code": ["mine"], "preload": MODULES,
     "warm_pool_size": 1},
    {"name": "partly", "shared_code": ["mine", "broken.py", "exits.py"],
     "preload": ["broken", "decimal", "no.such", "exits"]},
    {"name": "unled", "shared_code": ["mine", "broken.py", "exits.py"]},
    {"name": "elsewhere", "preload": ["decimal"],
     "environment": {"HOME": "/nowhere"}},
    {"name": "hangs", "shared_code": ["hangs.py"], "preload": ["hangs"],
     "startup_timeout": 10},
    {"name": "heavy", "shared_code": ["heavy.py"], "preload": ["heavy"],
     "memory_limit": "64m"},
    {"name": "crashes", "shared_code": ["crashes.py"],
     "preload": ["decimal", "crashes"]}]}

# First line: what is imported either way.
LOOK = "import asyncio, sqlite3, decimal, random, mine.deep\n" + r"""
import gc, json, os, signal, sys, threading, warnings
before = list(sys.modules)
import site
names = sorted(vars())
status = [l for l in open('/proc/self/status') if l[:3] in ('Sig', 'Thr')]
with open('/output/result.json', 'w') as file:
    json.dump({
    'names': names, 'name': __name__, 'file': __file__, 'argv': sys.argv,
    'orig': sys.orig_argv, 'path': sys.path, 'modules': before,
    'cache': sorted(sys.path_importer_cache), 'flags': repr(sys.flags),
    'finders': [getattr(f, '__name__', str(type(f))) for f in sys.meta_path],
    'hooks': len(sys.path_hooks), 'main': sys.modules['__main__'].__file__,
    'spec': repr(__spec__), 'loader': str(type(__loader__)),
    'environ': dict(os.environ), 'tmp': os.listdir('/tmp'),
    'code': os.listdir('/code'), 'cwd': os.getcwd(),
    'argv0': open('/proc/self/cmdline').read(),
    'initial': sorted(open('/proc/self/environ').read().split('\0')),
    'fds': sorted(os.listdir('/proc/self/fd')), 'umask': os.umask(0),
    'threads': threading.active_count(), 'status': status,
    'site': [site.USER_SITE, site.USER_BASE, site.ENABLE_USER_SITE],
    'warnings': len(warnings.filters), 'callbacks': len(gc.callbacks),
    'atexit': __import__('atexit')._ncallbacks(),
    'exc': str(sys.exc_info()), 'last': hasattr(sys, 'last_value'),
    'err': sys.stderr.isatty(), 'out': [sys.stdout.line_buffering,
        sys.stdout.encoding, sys.stdout.fileno(), sys.stderr.fileno()],
    }, file)
"""
FAILS = """import decimal, mine.deep, sys
def f(n):
    try:
        return decimal.Decimal(n)
    except decimal.InvalidOperation as e:
        raise RuntimeError('wrapped') from e
def g():
    f('x')
print(sys.exc_info(), file=sys.stderr)
g()
"""


@pytest.fixture(scope="module", params=COMBOS, ids="-".join)
def daemon(request, shared_things):
    from conftest import end, make
    made = make(*request.param, config=CONFIG, files=FILES)
    yield made
    end(made)


def slot_ready(daemon, job_type="loaded"):
    host.wait_for("a slot is ready", lambda: any(
        w["job_type"] == job_type and w["state"] == "ready"
        for w in daemon.workers()), 60)


def test_is_imported_ahead(daemon):
    slot_ready(daemon)
    now = time.time()
    code = "import mine\nprint(mine.WHEN)\n"
    record = daemon.run(code, job_type="loaded")
    assert float(record["stdout"]) < now
    assert record["takod"]["preload"] == {"modules": MODULES, "failed": []}
    record = daemon.run(code, job_type="plain")
    assert float(record["stdout"]) > now
    assert "preload" not in record["takod"]


def test_is_a_plain_script(daemon):
    plain = daemon.run(LOOK, job_type="plain")
    slot_ready(daemon)
    loaded = daemon.run(LOOK, job_type="loaded")
    assert plain["status"] == loaded["status"] == "succeeded", loaded
    differ = {key: (value, loaded["output"][key])
              for key, value in plain["output"].items()
              if value != loaded["output"][key]}
    assert not differ
    # What it printed was nobody's.
    assert (plain["stdout"], loaded["stdout"]) == ("imported\n", "")
    assert loaded["output"]["fds"][:3] == ["0", "1", "2"]
    assert len(loaded["output"]["fds"]) == 5  # the folder's, result.json


@pytest.mark.parametrize("code", [
    FAILS, "import mine.deep\nif x = 1:\n", "import mine.deep\nnone()\n"])
def test_tracebacks(daemon, code):
    plain = daemon.run(code, job_type="plain")
    loaded = daemon.run(code, job_type="loaded")
    assert plain["stderr"] == loaded["stderr"] != ""
    assert plain["error"] == loaded["error"]
    assert plain["exit_code"] == loaded["exit_code"] == 1


def test_nothing_is_shared(daemon):
    code = ("import decimal, mine, random, os\n"
            "print(random.random(), hash('a'), mine.STATE, "
            "decimal.getcontext().prec)\n"
            "mine.STATE.append(1)\ndecimal.getcontext().prec = 3\n"
            "decimal.DefaultContext.prec = 3\n")
    seen = []
    for _ in range(3):
        slot_ready(daemon)
        seen.append(daemon.run(code, job_type="loaded")["stdout"].split())
    assert len({s[0] for s in seen}) == 3, seen
    assert len({s[1] for s in seen}) == 3, seen
    assert {tuple(s[2:]) for s in seen} == {("[]", "28")}


def test_another_encoding(daemon):
    slot_ready(daemon)
    record = daemon.run(b"# coding: latin-1\nimport mine.deep\n"
                        b"print(ascii('\xe9'))\n".decode("latin-1"),
                        job_type="loaded")
    assert record["stdout"].startswith("imported\n'"), record["stderr"]


def test_modules_that_cannot_be_imported(daemon):
    for _ in range(2):
        record = daemon.run("import decimal\nprint(1)\n", job_type="partly")
        assert record["stdout"] == "1\n" and record["stderr"] == ""
        assert record["takod"]["preload"] == {
            "modules": ["broken", "decimal", "no.such", "exits"],
            "failed": ["broken", "no.such", "exits"]}
    for module in "broken", "no.such", "exits":
        code = "import " + module
        found = [daemon.run(code, job_type=name)
                 for name in ("partly", "unled")]
        assert found[0]["stderr"] == found[1]["stderr"]
        assert found[0]["stdout"] == found[1]["stdout"]
        assert found[0]["exit_code"] == found[1]["exit_code"] != 0
        # Once, not for each sandbox.
        assert len(re.findall("job type partly: preload: %s cannot"
                              % re.escape(module), daemon.log())) == 1


def test_no_folder_of_the_user(daemon):
    record = daemon.run("print(1)", job_type="elsewhere")
    assert record["stdout"] == "1\n" and record["stderr"] == ""
    assert record["takod"]["preload"]["failed"] == ["decimal"]


@pytest.mark.parametrize("name, why", [
    ("hangs", "it takes too long"),
    ("heavy", "it takes more than memory_limit"), ("crashes", "it ended")])
def test_sandboxes_that_it_ends(daemon, name, why):
    """The job runs all the same, at once, and so do those after it."""
    job = daemon.submit("print(1)", job_type=name)
    record = daemon.wait(job)
    assert record["stdout"] == "1\n", record
    assert record["takod"]["attempt"] == 1
    assert "preload" not in record["takod"]
    text = "job type %s: preload ended a sandbox: %s" % (name, why)
    assert text in daemon.log()
    assert daemon.execute("print(2)", job_type=name)["stdout"] == "2\n"
    assert daemon.log().count("job type %s: preload ended" % name) == 1
    # The engine is not to blame.
    breaker = daemon.get("/health")[2]["circuit_breaker"]
    assert breaker["state"] == "closed" and breaker["failure_count"] == 0
    failing = {"hangs": "import hangs", "crashes": "import crashes",
               "heavy": "import heavy"}[name]
    record = daemon.wait(daemon.submit(
        failing, job_type=name, timeout=1 if name == "hangs" else 60))
    assert record["error"]["type"] in {
        "hangs": ["execution_timeout"], "crashes": ["segfault"],
        # gVisor's own end may be seen before its counter.
        "heavy": ["oom", "sandbox_died"]}[name], record


def test_tried_anew_by_reload(start):
    """And a job's own timeout holds."""
    daemon = start("oci", "runc", files=FILES, config={
        "warm_pool_size": 0, "job_types": [
            {"name": "hangs", "shared_code": ["hangs.py"],
             "preload": ["hangs"], "warm_pool_size": 1,
             "startup_timeout": 10}]})
    slot_ready(daemon, "hangs")
    assert daemon.log().count("job type hangs: preload ended") == 1
    daemon.write_config(job_types=[{**daemon.keys["job_types"][0],
                                    "startup_timeout": 600}])
    daemon.takoctl("reload", check=True)
    record = daemon.wait(daemon.submit("print(1)", job_type="hangs",
                                       startup_timeout=10))
    assert record["stdout"] == "1\n"
    assert daemon.log().count("job type hangs: preload ended") == 2


def test_keys(tmp_path):
    from lib import shared
    import subprocess
    for text, why in (("[os.path, _a.b9]", None), ("[a b]", "module's name"),
                      ("[a.]", "module's name"), ("[.a]", "module's name"),
                      ("['9a']", "module's name"), ("[a..b]", "module"),
                      ("['']", "module's name"), ("[\"a'b\"]", "module"),
                      ("[%s]" % ("a" * 129), "at most 128"),
                      (json.dumps(["a"] * 33), "more than 32 items")):
        file = tmp_path / "x.yaml"
        file.write_text("job_types: [{name: mine, preload: %s}]\n" % text)
        done = subprocess.run([shared.program("tako-vm"), "validate",
                               str(file)], capture_output=True, text=True)
        assert (done.returncode == 0) == (why is None), done.stdout
        if why:
            assert "job_types.0.preload" in done.stdout + done.stderr
            assert why in done.stdout + done.stderr
