"""
conftest.py: what every pytest file of regress/ may ask for.

takod	the default daemon (OCI engine, runsc, SQLite), one for the session
combo	one daemon for each engine and runtime: a test that asks for it runs
	four times
start	a function that makes further daemons (arguments of Takod), ended
	with the test
"""
import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import host, shared  # noqa: E402
from lib.devices import Devices  # noqa: E402
from lib.promise import Promise  # noqa: E402
from lib.takod import Takod  # noqa: E402

TEST_SECONDS = 400  # no test may take longer without a mark
COMBOS = (
    ("oci", "runsc", "sqlite"),
    ("oci", "runc", "pg"),
    ("docker", "runsc", "pg"),
    ("docker", "runc", "sqlite"),
)
# Job types of the daemons below, for tests of limits and environments.
JOB_TYPES = [{"warm_pool_size": 0, **job_type} for job_type in (
    {"name": "small", "memory_limit": "64m"},
    {"name": "envs", "environment": {"GREETING": "hello, world",
                                     "UMLAUT": "\u00fc", "EMPTY": ""}},
    {"name": "sharing",
     "shared_code": ["one.py", "./lib/../lib/", "link", "tool"]},
)]
# What the last of them shares, beside the configuration.
FILES = {
    "one.py": "WHO = 'one'\n",
    "lib/__init__.py": "from .deep.two import WHO\n",
    "lib/deep/two.py": "WHO = 'two'\n",
    "lib/data.txt": "text\n",
    "lib/again.py": "-> ../one.py",
    "link": "-> versions/three",
    "versions/three/__init__.py": "WHO = 'three'\n",
    "tool": "#!/bin/sh\necho ran\n",
}
CONFIG = {
    "warm_pool_size": 2,
    "max_workers": 4,
    "max_timeout": 120,
    "job_types": JOB_TYPES,
    # Nobody answers there: tests that install packages have their own index.
    "package_index_url": "http://127.0.0.1:9/simple",
}
CANARY = shared.CANARY
# Where two processes of regress/run note whose a lane is; "": all are ours.
CLAIMS = os.environ.get("TAKO_REGRESS_CLAIMS", "")
# Where two run at a time one begins with what takes long, the other with what
# mostly waits, lest both wait at a time.
LONG = ("oci-", "docker-", "ship")
WAITING = ("fault/", "nodes/", "store/")
FIRST = (LONG, WAITING) if shared.LANE == "1" else (WAITING, LONG)
# And they end with this, which looks at what the others saw.
LAST = "http/test_openapi"
# Without regress/run the scratch folder is ours to remove.
OWN_SCRATCH = "TAKO_REGRESS_SCRATCH" not in os.environ
made = []  # every daemon of the session, for reports of failures
logged = {}  # the size of each one's log when this test began


def pytest_configure(config):
    # regress/run ends us with SIGTERM: let fixtures be torn down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.addinivalue_line(
        "markers", "seconds(n): it may take so long, where that is longer")


def lane_of(item):
    """What has to run one after the other: the tests of one combo, those that
    share the roots of regress/ship, those of one file."""
    params = getattr(item, "callspec", None)
    if params and "combo" in params.params:
        return "-".join(params.params["combo"])
    folder = os.path.basename(item.path.parent)
    return folder if folder == "ship" else "%s/%s" % (folder, item.path.name)


def pytest_collection_modifyitems(config, items):
    # NAME of regress/run.
    only = os.environ.get("TAKO_REGRESS_ONLY", "")
    out = [item for item in items if only not in item.nodeid]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if only in item.nodeid]


def claimed(session):
    """The tests of one lane after the other, of those that no other process
    has begun."""
    lanes = {}
    for item in session.items:
        lanes.setdefault(lane_of(item), []).append(item)
    order = sorted(lanes, key=lambda lane: (
        lane.startswith(LAST), not lane.startswith(FIRST[0]),
        # What the other begins with is behind all that is left.
        lane.startswith(FIRST[1])))
    for lane in order:
        try:
            os.mkdir(os.path.join(CLAIMS, lane.replace("/", ":")))
        except FileExistsError:
            continue
        yield from lanes[lane]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    """As pytest's own, but two processes share the tests."""
    if not CLAIMS or session.config.option.collectonly:
        return None
    tests = claimed(session)
    item = next(tests, None)
    while item is not None:
        # Known before this one ends: what both need is not ended between.
        following = next(tests, None)
        item.config.hook.pytest_runtest_protocol(
            item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        item = following
    return True


def make(engine="oci", runtime="runsc", store="sqlite", **more):
    config = {**CONFIG, **more.pop("config", {})}
    env = {"TAKO_CANARY": shared.CANARY, **more.pop("env", {})}
    daemon = Takod(engine, runtime, store, config=config, env=env,
                   files={**FILES, **more.pop("files", {})}, **more)
    made.append(daemon)
    return daemon


def end(daemon):
    made.remove(daemon)
    daemon.close()


# They name shared_things so that it ends after them, whichever test is last.
@pytest.fixture(scope="session")
def takod(shared_things):
    daemon = make()
    yield daemon
    end(daemon)


@pytest.fixture(scope="session", params=COMBOS, ids="-".join)
def combo(request, shared_things):
    engine, runtime, store = request.param
    daemon = make(engine, runtime, store)
    yield daemon
    end(daemon)


@pytest.fixture
def survives(combo):
    """After the test: same daemon, the next job runs, none is running."""
    before = combo.pid, combo.children("tako-api")
    yield
    assert combo.alive(), combo.log()[-3000:]
    assert (combo.pid, combo.children("tako-api")) == before
    assert combo.get("/health")[0] == 200
    answer = combo.execute("print(6 * 7)")
    assert answer["stdout"] == "42\n" and answer["exit_code"] == 0, answer
    host.wait_for("no job is running", lambda:
                  combo.stats()["running"] == 0, 10)


@pytest.fixture(scope="module")
def promised(combo):
    """After the module: the host is as it was before its jobs."""
    promise = Promise(combo)
    yield
    broken = promise.broken()
    assert not broken, "\n".join(broken)


@pytest.fixture
def start():
    mine = []

    def start_one(*args, **more):
        mine.append(make(*args, **more))
        return mine[-1]
    yield start_one
    for daemon in mine:
        end(daemon)


@pytest.fixture
def devices():
    made = Devices()
    yield made
    made.close()


@pytest.fixture(scope="session")
def sanitized():
    """Whether this is the sanitizer build, which has no system call filter."""
    return shared.sanitized()


@pytest.fixture(scope="session", autouse=True)
def shared_things():
    yield
    for daemon in list(made):
        daemon.discard()
    shared.close()
    if OWN_SCRATCH:
        left = host.leftovers(host.scratch())
        host.clean(host.scratch())
        assert not left, "\n".join(left)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item, nextitem):
    mark = item.get_closest_marker("seconds")
    seconds = mark.args[0] if mark else TEST_SECONDS

    def late(number, frame):
        raise host.Deadline("test takes longer than %d s" % seconds)
    signal.signal(signal.SIGALRM, late)
    logged.clear()
    logged.update((daemon, log_size(daemon)) for daemon in made)
    signal.alarm(seconds)
    yield
    signal.alarm(0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped:
        # What cannot run is a failure here.
        report.outcome = "failed"
        report.longrepr = "skipped: %r" % (report.longrepr,)
        if hasattr(report, "wasxfail"):
            del report.wasxfail
    if report.failed:
        for daemon in made:
            lines = recent(daemon)
            if lines:
                report.sections.append((
                    "log of %s" % daemon.name, "\n".join(lines)))


def log_size(daemon):
    try:
        return os.path.getsize(daemon.log_path)
    except OSError:
        return 0


def recent(daemon):
    """The end of its log of this test, without what all tests ask for."""
    try:
        with open(daemon.log_path, "rb") as file:
            file.seek(logged.get(daemon, 0))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines()
            if " GET /pool/stats " not in line
            and " GET /health " not in line][-25:]
