"""
test_packages.py: packages of requests and of job types: installed once, seen
by whoever needs the same, and by a job as nothing but files to import.
"""
import concurrent.futures
import importlib.util
import inspect
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time

import pytest

from lib import host, shared
from lib import index as index_module
from lib.index import PASSWORD, Index

TINY = "import tiny; print(tiny.__file__)"
PLACE = "/.tako/packages/"
LONGER = ("a" * 220, "b" * 220)
HOOKS = {
    "sitecustomize.py": "print('sitecustomize ran')\n",
    "usercustomize/__init__.py": "print('usercustomize ran')\n",
    "early.pth": "import sys; print('pth ran')\n",
    "encodings/__init__.py": "print('encodings ran')\n",
    "json.py": "print('json ran')\n",
    "hooks.py": "WHO = 'hooks'\n",
    "hooks-1.0.data/scripts/python3": "#!/bin/sh\necho python ran\n",
}
TYPES = [
    {"name": "typed", "requirements": ["Tiny", "other>=1"]},
    {"name": "broken", "requirements": ["missing-thing"]},
]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    made = Index(str(tmp_path_factory.mktemp("index")))
    made.wheel("tiny")
    made.wheel("other", requires=["tiny"])
    made.wheel("hooks", files=HOOKS)
    made.wheel("builder", requires=[
        "source-only @ %s/simple/source-only/source-only-1.0.tar.gz"
        % made.url])
    made.wheel("bomb", files={"bomb.bin": bytes(300 << 20)})
    made.wheel("longer", files={
        "longer/__init__.py": "",
        "longer/%s/%s.py" % LONGER: "WHO = 'longer'\n",
        # Exactly as long as an entry has room for, without and with a slash.
        "longer/%s/a.py" % ("c" * 92): "", "longer/%s/a.py" % ("d" * 93): ""})
    made.wheel("second")
    made.wheel("third")
    made.wheel("further", below="extra/simple")
    made.wheel("elsewhere", below="away")
    page(made, "elsewhere", "%s/away/elsewhere/elsewhere-1.0-py3-none-any.whl"
         % made.proxy)
    os.mkdir(os.path.join(made.files, "source-only"))
    source(os.path.join(made.files, "source-only", "source-only-1.0.tar.gz"))
    made.wait()
    yield made
    made.close()


def page(index, name, link):
    """What the index says of a package whose file is not beside."""
    os.mkdir(os.path.join(index.files, name))
    with open(os.path.join(index.files, name, "index.html"), "w") as file:
        file.write("<a href='%s'>%s</a>" % (link, os.path.basename(link)))


def source(path):
    """A package that is built by its own code, which needs no other."""
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: source-only\n"
                    "Version: 1.0\n",
        "pyproject.toml": "[build-system]\nrequires = []\n"
                          "build-backend = 'back'\nbackend-path = ['.']\n",
        "back.py": "import sys\nsys.path.insert(0, '.')\n"
                   "from made import wheel\n"
                   "def build_wheel(folder, *_):\n"
                   "    import os, shutil\n"
                   "    wheel(folder, 'source_only')\n"
                   "    name = 'source_only-1.0-py3-none-any.whl'\n"
                   "    shutil.move(folder + '/source-only/' + name, folder)\n"
                   "    os.rmdir(folder + '/source-only')\n"
                   "    return name\n",
        "made.py": inspect.getsource(index_module),
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo("source-only-1.0/" + name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))


def settings(index, **more):
    return {"allow_runtime_requirements": True,
            "package_index_url": index.url + "/simple",
            "network_allow": [index.host],
            "max_startup_timeout": 120, "warm_pool_size": 0,
            "job_types": TYPES, **more}


@pytest.fixture(scope="module")
def daemon(index, shared_things):
    from conftest import end, make
    made = make("oci", "runc", config=settings(index))
    yield made
    end(made)


def reload(daemon, **changed):
    daemon.write_config(**changed)
    daemon.takoctl("reload", check=True)


def layers(daemon):
    shown = daemon.takoctl("--json", "layers", check=True).stdout
    return json.loads(shown)["layers"]


def folders(daemon):
    return os.listdir(os.path.join(daemon.data_dir, "layers"))


@pytest.mark.parametrize("engine,runtime", [
    ("oci", "runsc"), ("oci", "runc"), ("docker", "runsc"),
    ("docker", "runc")])
def test_request(index, start, engine, runtime):
    """Installed for the first job; the second one starts warm."""
    place = shared.docker_networks(runtime) if engine == "docker" else {}
    daemon = start(engine, runtime, config=settings(index, **place))
    before = len(index.asked("tiny-1.0"))
    first = daemon.run(TINY, requirements=["tiny"])
    assert first["stdout"] == PLACE + "tiny.py\n", first
    assert first["timing"]["dep_install_ms"] > 0, first
    second = daemon.run(TINY, requirements=["tiny"])
    assert second["status"] == "succeeded", second
    assert second["timing"]["dep_install_ms"] == 0, second
    # The same, otherwise written.
    third = daemon.run(TINY, requirements=["Tiny", "tiny"])
    assert third["timing"]["dep_install_ms"] == 0, third
    assert len(index.asked("tiny-1.0")) == before + 1
    # Known to the next life too.
    daemon.stop()
    daemon.start()
    fourth = daemon.run(TINY, requirements=["tiny"])
    assert fourth["timing"]["dep_install_ms"] < 10000, fourth
    assert len(index.asked("tiny-1.0")) == before + 1


def test_request_finds_one_ready(index, start):
    """By demand, beside as many of the type's own as are set."""
    daemon = start("oci", "runc", config=settings(index, warm_pool_size=1))
    daemon.run(TINY, requirements=["tiny"])
    host.wait_for("one of each is ready", lambda: daemon.stats()["takod"][
        "slots_ready"] == 2)
    before = daemon.stats()["takod"]["jobs_warm"]
    daemon.run(TINY, requirements=["tiny"])
    assert daemon.stats()["takod"]["jobs_warm"] == before + 1


def test_no_network_for_the_job(daemon, index):
    """N10: what the installer reached, a job does not; nothing of it stays."""
    record = daemon.run(
        "import os, socket, tiny\n"
        "try:\n"
        "    socket.create_connection((%r, 8080), 2)\n"
        "except OSError as error:\n"
        "    print('no', error.errno)\n"
        "print([k for k in os.environ if 'proxy' in k.lower() or 'PIP' in k])"
        % index.host, requirements=["tiny"])
    assert record["stdout"].startswith("no "), record
    assert record["stdout"].endswith("[]\n"), record


def test_long_names(daemon):
    """As long as a part may be, and longer than an entry of an archive."""
    record = daemon.run(
        "import longer, os\n"
        "print([len(name) for name in sorted(os.listdir(longer.__path__[0]))"
        " if name != '__pycache__'])\n"
        "from longer.%s.%s import WHO\n"
        "print(WHO)" % LONGER, requirements=["longer"])
    assert record["stdout"] == "[11, 220, 92, 93]\nlonger\n", record


def test_read_only(daemon):
    record = daemon.run(
        "import os\n"
        "for path in ('tiny.py', 'new'):\n"
        "    try:\n"
        "        open(%r + path, 'a')\n"
        "    except OSError as error:\n"
        "        print(error.errno in (13, 30))\n"
        "try:\n"
        "    os.chmod(%r, 0o777)\n"
        "except OSError:\n"
        "    print(True)\n" % (PLACE, PLACE), requirements=["tiny"])
    assert record["stdout"] == "True\nTrue\nTrue\n", record


def test_programs_from_tmp(daemon):
    code = ("import os, subprocess\n"
            "open('/tmp/x', 'w').write('#!/bin/sh\\necho ran\\n')\n"
            "os.chmod('/tmp/x', 0o755)\n"
            "try:\n"
            "    print(subprocess.run('/tmp/x', capture_output=True).stdout)\n"
            "except OSError as error:\n"
            "    print(error.errno)\n")
    assert daemon.run(code)["stdout"] == "13\n"
    assert daemon.run(code, requirements=["tiny"])["stdout"] == "b'ran\\n'\n"


def test_two_at_once(daemon, index):
    """Who wants the same meanwhile waits for the same."""
    before = len(index.asked("second-1.0"))
    with concurrent.futures.ThreadPoolExecutor(2) as both:
        records = list(both.map(lambda _: daemon.run(
            "import second; print(second.WHO)", requirements=["second"]),
            range(2)))
    assert [r["stdout"] for r in records] == ["second\n"] * 2, records
    assert len(index.asked("second-1.0")) == before + 1
    assert sum(item["requirements"] == ["second"]
               for item in layers(daemon)) == 1


def test_row_d08_nothing_runs_before_the_job(daemon):
    """What Python would run by itself, and what stands in the way of its own
    modules, is left out."""
    record = daemon.run(
        "import sys, json, hooks, shutil\n"
        "print(hooks.WHO, json.__file__.startswith('/usr/lib'),\n"
        "      shutil.which('python3'))", requirements=["hooks"])
    assert record["stdout"] == "hooks True /usr/bin/python3\n", record
    assert "ran" not in record["stderr"], record


def test_row_d08_python_without_a_list(monkeypatch, tmp_path):
    """Python 3.9 does not say which modules are its own."""
    spec = importlib.util.spec_from_file_location(
        "installer", os.path.join(shared.TOP, "takod", "installer.py"))
    installer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(installer)
    monkeypatch.setattr(installer, "TREE", str(tmp_path))
    monkeypatch.delattr(sys, "stdlib_module_names")
    for name in ("json.py", "sys.py", "_struct.abi3.so", "tiny.py",
                 "early.pth", "usercustomize.pyc", "encodings/__init__.py",
                 "third/json.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    installer.strip()
    assert sorted(os.listdir(tmp_path)) == ["third", "tiny.py"]
    assert os.listdir(tmp_path / "third") == ["json.py"]


DIGEST = """
import hashlib, os
sum = hashlib.sha256()
for top, folders, files in os.walk('/.tako/packages'):
    folders.sort()
    for name in sorted(files):
        path = os.path.join(top, name)
        sum.update(b'%s %o ' % (path.encode(), os.stat(path).st_mode))
        sum.update(open(path, 'rb').read())
for path in ('tiny.py', 'other.py', 'new.py'):
    try:
        open('/.tako/packages/' + path, 'a').write('poison')
        print('written')
    except OSError:
        pass
import other
print(sum.hexdigest(), other.WHO)
"""


def test_row_d09_same_for_each_tenant(start, index):
    """What a tenant's job tries to write nobody finds; and what is installed
    anew is the same to the byte."""
    names = {"alice": "a-key-of-alice-here", "bob": "another-key-of-bob"}
    daemon = start("oci", "runc", config=settings(
        index, api_auth_enabled=True, api_keys=[
            {"name": name, "key": key} for name, key in names.items()]))

    def run(name):
        status, _, answer = daemon.post(
            "/execute", {"code": DIGEST, "requirements": ["other"]},
            headers={"X-API-Key": names[name]})
        assert status == 200 and answer["success"], answer
        return answer["stdout"]
    first = run("alice")
    assert first.endswith(" other\n") and "written" not in first, first
    before = len(index.log())
    assert run("bob") == run("alice") == first
    assert len(index.log()) == before
    layer, = layers(daemon)
    host.wait_for("it is removed", lambda: daemon.takoctl(
        "layers", "--remove", layer["key"]).returncode == 0)
    assert run("bob") == first
    assert len(index.log()) > before
    again, = layers(daemon)
    assert again["packages"] == layer["packages"], (layer, again)


@pytest.mark.parametrize("name,words", [
    ("source-only", "No matching distribution found for source-only"),
    ("builder", "package_source_builds is off"),
    ("missing-thing", "No matching distribution found for missing-thing"),
    ("bomb", "layer_max_bytes"),
])
def test_row_d06_d07_dependency_error(daemon, name, words):
    reload(daemon, layer_max_bytes=20 << 20)
    try:
        record = daemon.run("print('it ran')", requirements=[name])
    finally:
        reload(daemon, layer_max_bytes=None)
    assert record["status"] == "failed" and record["exit_code"] == -1, record
    assert record["error"]["type"] == "dependency_error", record
    assert record["error"]["phase"] == "dependencies", record
    assert words in record["error"]["message"], record
    assert record["timing"]["phase_at_exit"] == "dependencies", record
    assert record["stdout"] == "" and record["timing"]["dep_install_ms"] > 0
    host.wait_for("nothing is left of it", lambda: not [
        name for name in folders(daemon) if name.startswith(".")])
    assert daemon.run("print(1)")["stdout"] == "1\n"


def test_row_d07_index_that_hangs(daemon, index):
    """The job's own limit ends it, a cancellation too, and layer_timeout the
    installer."""
    reload(daemon, package_index_url=index.url + "/hang/simple",
           layer_timeout=14)
    try:
        late = daemon.submit("print(1)", requirements=["tiny"],
                             startup_timeout=10)
        waits = daemon.submit("print(1)", requirements=["tiny"])
        gone = daemon.submit("print(1)", requirements=["tiny"])
        daemon.wait_status(gone, "running")
        assert daemon.post("/jobs/%s/cancel" % gone)[0] == 200
        record = daemon.wait(gone)
        assert record["status"] == "cancelled", record
        record = daemon.wait(late)
        assert record["status"] == "timeout", record
        assert record["error"]["type"] == "startup_timeout", record
        assert record["error"]["phase"] == "dependencies", record
        assert record["timing"]["phase_at_exit"] == "dependencies", record
        record = daemon.wait(waits)
        assert record["error"]["type"] == "dependency_error", record
        assert "layer_timeout (14 s)" in record["error"]["message"], record
        assert 14000 <= record["timing"]["dep_install_ms"] < 40000, record
    finally:
        reload(daemon, package_index_url=index.url + "/simple",
               layer_timeout=None)


def test_build(daemon, index):
    """Over HTTP and by takoctl, with what the installer says as it comes."""
    path = "/job-types/typed"
    assert daemon.get(path)[2]["image_exists"] is False
    assert daemon.get(path + "/build")[2]["status"] == "missing"
    done = daemon.takoctl("build", "typed", check=True)
    assert "Collecting tiny" in done.stderr, done
    version = done.stdout.strip()
    status, _, answer = daemon.post(path + "/build")
    assert status == 200 and answer["version"] == version, answer
    assert answer["status"] == "built" and answer["job_type"] == "typed"
    assert answer["image_ref"] == "tako-vm-typed:latest", answer
    assert answer["digest"] == version[-12:], answer
    shown = daemon.get(path + "/build")[2]
    assert shown["status"] == "built" and shown["error"] is None, shown
    assert any("Successfully installed" in line for line in shown["lines"])
    assert shown["layer"].startswith(answer["digest"]), shown
    assert daemon.get(path)[2]["image_exists"] is True
    before = len(index.log())
    record = daemon.run("import other, tiny; print(other.WHO)",
                        job_type="typed")
    assert record["stdout"] == "other\n", record
    assert record["timing"]["dep_install_ms"] == 0, record
    # Also together with what a request asks for.
    assert daemon.run("import third, other; print(third.WHO)",
                      job_type="typed",
                      requirements=["third"])["stdout"] == "third\n"
    assert len(index.log()) > before
    status, _, answer = daemon.post("/job-types/broken/build")
    assert status == 500, answer
    assert answer["detail"].startswith("Build failed: "), answer
    assert daemon.get("/job-types/broken/build")[2]["status"] == "failed"
    assert daemon.get("/job-types/none/build")[0] == 404


def test_layers(daemon):
    """What there is, what is in it, and its end."""
    daemon.takoctl("build", "typed", check=True)
    mine = [item for item in layers(daemon) if item["job_types"] == ["typed"]]
    assert len(mine) == 1, mine
    assert [(p["name"], p["version"], len(p["sha256"]))
            for p in mine[0]["packages"]] == [
                ("other", "1.0", 64), ("tiny", "1.0", 64)], mine
    assert mine[0]["requirements"] == ["other>=1", "tiny"], mine
    key = mine[0]["key"]
    text = daemon.takoctl("layers", check=True).stdout
    assert key[:12] in text and "typed" in text, text
    text = daemon.takoctl("layers", key[:12], check=True).stdout
    assert "other" in text and "1.0" in text, text
    # In use: not now.
    job = daemon.submit("import time; time.sleep(60)", job_type="typed")
    daemon.wait_code(job)
    assert daemon.takoctl("layers", "--remove", key).returncode != 0
    daemon.takoctl("cancel", job, check=True)
    daemon.wait(job)
    host.wait_for("it is removed", lambda: daemon.takoctl(
        "layers", "--remove", key).returncode == 0)
    assert daemon.takoctl("layers", "--remove", key).returncode != 0
    host.wait_for("its files are gone", lambda: not any(
        key[:12] in name for name in folders(daemon)))
    assert daemon.get("/job-types/typed")[2]["image_exists"] is False
    assert daemon.get("/job-types/typed/build")[2]["status"] == "missing"


def test_build_of_another_list(daemon):
    """What is said of a build is of what the type needs now, and of whatever
    type it was made for."""
    def status(name):
        return daemon.get("/job-types/%s/build" % name)[2]["status"]
    same = {**TYPES[0], "name": "same"}
    reload(daemon, job_types=TYPES + [same])
    try:
        assert daemon.post("/job-types/broken/build")[0] == 500
        daemon.takoctl("build", "typed", check=True)
        assert [status(name) for name in ("typed", "same", "broken")] == [
            "built", "built", "failed"]
        reload(daemon, job_types=[
            {**kind, "requirements": ["third", "other"]}
            for kind in TYPES + [same]])
        assert [status(name) for name in ("typed", "same", "broken")] == [
            "missing"] * 3
    finally:
        reload(daemon, job_types=TYPES)


def test_production(daemon):
    """Only what was built runs; what mends it is said."""
    for item in layers(daemon):
        if "typed" in item["job_types"]:
            host.wait_for("it is removed", lambda: daemon.takoctl(
                "layers", "--remove", item["key"]).returncode == 0)
    reload(daemon, production_mode=True)
    try:
        record = daemon.run("print(1)", job_type="typed")
        assert record["error"]["type"] == "config_error", record
        assert "takoctl build typed" in record["error"]["message"], record
        daemon.takoctl("build", "typed", check=True)
        assert daemon.run("import tiny; print(1)",
                          job_type="typed")["stdout"] == "1\n"
    finally:
        reload(daemon, production_mode=None)


def test_kept_while_there_is_room(daemon):
    """Above layer_cache_bytes what no job type needs goes, the type's
    stays."""
    daemon.takoctl("build", "typed", check=True)
    daemon.run(TINY, requirements=["tiny"])
    assert any(item["runtime"] for item in layers(daemon))
    reload(daemon, layer_cache_bytes=0)
    try:
        host.wait_for("those of requests go", lambda: not any(
            item["runtime"] for item in layers(daemon)), 30)
        assert any("typed" in item["job_types"] for item in layers(daemon))
    finally:
        reload(daemon, layer_cache_bytes=None)
    assert daemon.run(TINY, requirements=["tiny"])["status"] == "succeeded"


def test_once_more(daemon):
    """Rerun and fork keep the packages."""
    parent = daemon.run(TINY, requirements=["tiny"])
    path = "/jobs/%s/" % parent["execution_id"]
    for verb, body in (("rerun", {}), ("fork", {"code": TINY})):
        status, _, answer = daemon.post(path + verb, body)
        assert status == 200, answer
        record = daemon.wait(answer["job_id"])
        assert record["stdout"] == PLACE + "tiny.py\n", record


def test_private_index(start, index, tmp_path):
    """Credentials from a file: asked for with them, and they are nowhere."""
    file = tmp_path / "netrc"
    file.write_text("machine %s login alice password %s\n"
                    % (index.host, PASSWORD))
    file.chmod(0o600)
    daemon = start("oci", "runc", config=settings(
        index, package_index_url=index.url + "/private/simple"))
    record = daemon.run(TINY, requirements=["tiny"])
    assert record["error"]["type"] == "dependency_error", record
    reload(daemon, package_netrc_file=str(file))
    record = daemon.run(
        "import os, tiny\n"
        "seen = str(dict(os.environ))\n"
        "for top, _, files in os.walk('/.tako'):\n"
        "    for name in files:\n"
        "        seen += open(os.path.join(top, name), errors='replace')"
        ".read()\n"
        "print(%r in seen)" % PASSWORD, requirements=["tiny"])
    assert record["stdout"] == "False\n", record
    assert PASSWORD not in json.dumps(record) + daemon.log()
    assert PASSWORD not in daemon.takoctl("--json", "layers").stdout
    assert subprocess.run(["grep", "-r", PASSWORD, daemon.data_dir],
                          capture_output=True).stdout == b""


def test_further_index(daemon, index):
    name = {"requirements": ["further", "tiny"]}
    assert daemon.run("import further", **name)["status"] == "failed"
    reload(daemon,
           package_extra_index_urls=[index.url + "/extra/simple"])
    try:
        assert daemon.run("import further, tiny", **name)[
            "status"] == "succeeded"
    finally:
        reload(daemon, package_extra_index_urls=None)


def test_files_elsewhere(daemon, index):
    """The installer reaches no other host than it is told of."""
    code = "import elsewhere; print(1)"
    record = daemon.run(code, requirements=["elsewhere"])
    assert record["error"]["type"] == "dependency_error", record
    assert not index.asked("/away/")
    reload(daemon, package_hosts=[index.proxy.split("//")[1]])
    try:
        record = daemon.run(code, requirements=["elsewhere"])
        assert record["stdout"] == "1\n", record
    finally:
        reload(daemon, package_hosts=None)


def test_certificates(daemon, index):
    reload(daemon, package_index_url=index.tls + "/simple")
    try:
        record = daemon.run(TINY, requirements=["tiny"])
        assert record["error"]["type"] == "dependency_error", record
        assert record["error"]["message"].startswith(
            "ERROR: An index could not be reached"), record
        assert "certificate verify failed" in record["stderr"], record
        reload(daemon, package_certificates_file=index.cert)
        record = daemon.run(TINY, requirements=["tiny"])
        assert record["stdout"] == PLACE + "tiny.py\n", record
    finally:
        reload(daemon, package_certificates_file=None,
               package_index_url=index.url + "/simple")


def test_pip(daemon):
    """The image has none: without a wheel of it nothing is installed."""
    reload(daemon, package_pip_wheel="/no/such/wheel")
    try:
        record = daemon.run("print(1)", requirements=["tiny", "second"])
        assert record["error"]["type"] == "config_error", record
        assert "package_pip_wheel" in record["error"]["message"], record
    finally:
        reload(daemon, package_pip_wheel=None)


def test_source_builds(daemon):
    """Allowed, what has no wheel is built; the layer is another one."""
    reload(daemon, package_source_builds=True)
    try:
        record = daemon.run("import source_only; print(source_only.WHO)",
                            requirements=["source-only"])
        assert record["stdout"] == "source_only\n", record
        assert daemon.run("import builder, source_only",
                          requirements=["builder"])["status"] == "succeeded"
    finally:
        reload(daemon, package_source_builds=None)


def test_kept_if_wanted(start, index):
    """What requests asked for goes ten minutes after its last use, unless
    enable_runtime_dependency_cache is on."""
    daemon = start("oci", "runc", config=settings(
        index, enable_runtime_dependency_cache=True))
    daemon.run(TINY, requirements=["tiny"])
    lock = os.path.join(daemon.data_dir, "layers", layers(daemon)[0]["key"],
                        "lock.json")
    daemon.stop()
    os.utime(lock, (time.time() - 700, time.time() - 700))
    daemon.start()
    # The sweep comes with the first look at the image.
    assert daemon.run(TINY, requirements=["tiny"])["status"] == "succeeded"
    daemon.stop()
    os.utime(lock, (time.time() - 700, time.time() - 700))
    daemon.write_config(enable_runtime_dependency_cache=False)
    daemon.start()
    host.wait_for("it goes", lambda: layers(daemon) == [], 30)


def test_proxy(daemon, index):
    """All by the proxy, also the names."""
    reload(daemon, dependency_proxy_url=index.proxy,
           package_index_url="http://index.invalid/simple")
    try:
        record = daemon.run(TINY, requirements=["tiny", "third"])
        assert record["status"] == "succeeded", record
        assert index.asked("proxy /simple/tiny/")
    finally:
        reload(daemon, dependency_proxy_url=None,
               package_index_url=index.url + "/simple")


def test_killed_within_a_build(start, index):
    """Nothing half made is taken for a layer, and the next life removes it."""
    daemon = start("oci", "runc", config=settings(
        index, package_index_url=index.url + "/hang/simple"))
    job = daemon.submit(TINY, requirements=["tiny"])
    host.wait_for("it is being made", lambda: any(
        name.startswith(".tmp") for name in folders(daemon)))
    host.signal_pid(daemon.pid, signal.SIGKILL)
    daemon.proc.wait()
    daemon.write_config(package_index_url=index.url + "/simple")
    daemon.start()
    host.wait_for("what was left is gone", lambda: not [
        name for name in folders(daemon) if name.startswith(".")])
    assert daemon.wait(job)["stdout"] == PLACE + "tiny.py\n"


def test_full_disk(start, index, tmp_path):
    """No room for it: its job fails, what runs besides goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "takod-test",
                    str(disk)], check=True)
    try:
        index.wheel("large", files={"large.bin": os.urandom(16 << 20)})
        daemon = start("oci", "runc", config=settings(
            index, data_dir=str(disk / "data"),
            database_url="sqlite:///%s" % (tmp_path / "db")))
        record = daemon.run("print(1)", requirements=["large"])
        assert record["status"] == "failed", record
        assert record["error"]["phase"] == "dependencies", record
        host.wait_for("nothing is left of it", lambda: not [
            name for name in os.listdir(disk / "data" / "layers")])
        assert daemon.run("print(1)")["stdout"] == "1\n"
        daemon.stop()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def bring_image(name, files):
    """What an operator makes by docker build: ours with some files more."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    status, made = shared.docker_api("POST", "/containers/create", {
        "Image": shared.docker_image(), "Cmd": ["none"]})
    assert status == 201, made
    where = "/containers/" + made["Id"]
    try:
        assert shared.docker_api("PUT", where + "/archive?path=/",
                                 archive.getvalue())[0] == 200
        assert shared.docker_api(
            "POST", "/commit?container=%s&repo=tako-vm-%s&tag=latest"
            % (made["Id"], name))[0] == 201
    finally:
        shared.docker_api("DELETE", where)


def gone(daemon):
    """Nothing of a build is left, in data_dir and in the engine."""
    host.wait_for("nothing is left of it", lambda: not [
        name for name in folders(daemon) if name.startswith(".")] and
        not daemon.containers() and
        not os.listdir(daemon.data_dir + "/networks"), 30)


def test_docker(start, index):
    """All of it with the Docker engine; the image of a type goes before its
    requirements, while it is there."""
    daemon = start("docker", "runc", config=settings(
        index, layer_max_bytes=20 << 20, production_mode=True))
    for name, words in (("bomb", "layer_max_bytes"),
                        ("missing-thing", "No matching distribution")):
        record = daemon.run("print('it ran')", requirements=[name])
        assert record["error"]["type"] == "dependency_error", record
        assert words in record["error"]["message"], record
        gone(daemon)
    record = daemon.run(TINY, job_type="typed")
    assert "takoctl build typed" in record["error"]["message"], record
    assert daemon.get("/job-types/typed")[2]["image_exists"] is False
    done = daemon.takoctl("build", "typed", check=True)
    assert "Collecting tiny" in done.stderr, done
    assert daemon.run(TINY, job_type="typed")["stdout"] == PLACE + "tiny.py\n"
    layer, = layers(daemon)
    assert [p["name"] for p in layer["packages"]] == ["other", "tiny"], layer
    bring_image("typed", {
        "usr/lib/python3/dist-packages/tiny.py": "WHO = 'brought'\n"})
    try:
        version = daemon.takoctl("build", "typed", check=True).stdout
        assert version.strip() != done.stdout.strip()
        code = "import tiny; print(tiny.WHO)"
        assert daemon.run(code, job_type="typed")["stdout"] == "brought\n"
    finally:
        shared.docker_api("DELETE", "/images/tako-vm-typed:latest?force=1")
    # Whoever builds sees that it is gone; the layer is still there.
    assert daemon.takoctl("build", "typed", check=True).stdout == done.stdout
    assert daemon.run(code, job_type="typed")["stdout"] == "tiny\n"


def test_docker_killed_within_a_build(start, index):
    """The engine is killed while it runs an installer: whoever waits is told
    or served, and nothing of it is left."""
    daemon = start("docker", "runc", config=settings(
        index, package_index_url=index.url + "/hang/simple"))
    before = len(index.asked("/hang/"))
    job = daemon.submit(TINY, requirements=["tiny"])
    host.wait_for("it installs", lambda:
                  len(index.asked("/hang/")) > before, 60)
    reload(daemon, package_index_url=index.url + "/simple")
    shared.dockerd().kill()
    shared.dockerd().start()
    record = daemon.wait(job, 120)
    assert record["status"] == "succeeded" or record["error"]["type"] in (
        "docker_error", "service_unavailable"), record
    gone(daemon)
    assert daemon.run(TINY, requirements=["tiny"])["status"] == "succeeded"
