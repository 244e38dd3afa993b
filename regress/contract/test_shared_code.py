"""
shared_code: the operator's files in the containers of a job type, where Tako
VM 0.3 has them, as they were at the start or at the last reload, on both
engines and both runtimes.
"""
import json
import os
import subprocess
import sys

import pytest

from lib import host, shared

LOOK = r"""
import json, os, subprocess, sys
def attempt(f, *a):
    try:
        f(*a)
        return 'ok'
    except OSError as e:
        return 'refused'
import one, lib, three, lib.again
import shared_code.one
tree = {}
for folder, dirs, files in os.walk('/app'):
    for name in dirs + files:
        path = os.path.join(folder, name)
        tree[path[len('/app/'):]] = oct(os.lstat(path).st_mode)
print(json.dumps({
    'who': [one.WHO, lib.WHO, three.WHO, lib.again.WHO, shared_code.one.WHO],
    'file': [one.__file__, lib.__file__],
    'path': [p for p in sys.path if p.startswith('/app')],
    'first': sys.path[0], 'cwd': os.getcwd(), 'tree': tree,
    'data': open('/app/shared_code/lib/data.txt').read(),
    'write': [attempt(open, '/app/shared_code/one.py', 'a'),
              attempt(open, '/app/shared_code/lib/new', 'w'),
              attempt(os.mkdir, '/app/new'),
              attempt(os.chmod, '/app/shared_code/one.py', 0o777),
              attempt(os.unlink, '/app/shared_code/one.py')],
    'mounts': [l.split()[1:4] for l in open('/proc/mounts')
               if l.split()[1].startswith('/app')],
    'status': open('/proc/self/mounts').read(),
    'ran': subprocess.run(['/app/shared_code/tool'],
                          capture_output=True).stdout.decode()
        if os.access('/app/shared_code/tool', os.X_OK) else 'no',
}))
"""


def test_what_a_job_sees(combo):
    record = combo.run(LOOK, job_type="sharing")
    assert record["status"] == "succeeded", record["stderr"]
    seen = json.loads(record["stdout"])
    assert seen["who"] == ["one", "two", "three", "one", "one"]
    assert seen["file"] == ["/app/shared_code/one.py",
                            "/app/shared_code/lib/__init__.py"]
    assert seen["path"] == ["/app/shared_code", "/app"]
    assert seen["first"] == "/code" and seen["cwd"] == "/app"
    # Nothing else is there; a link is what it leads to, as in 0.3.
    assert set(seen["tree"]) == {
        "shared_code", "shared_code/one.py", "shared_code/tool",
        "shared_code/lib", "shared_code/lib/__init__.py",
        "shared_code/lib/data.txt", "shared_code/lib/again.py",
        "shared_code/lib/deep", "shared_code/lib/deep/two.py",
        "shared_code/three", "shared_code/three/__init__.py"}
    assert set(seen["tree"].values()) == {"0o40555", "0o100444", "0o100555"}
    assert seen["data"] == "text\n" and seen["ran"] == "ran\n"
    assert set(seen["write"]) == {"refused"}
    (point, kind, options), = seen["mounts"]
    assert point == "/app"
    assert "ro" in options.split(","), options
    for word in (shared.TOP, combo.dir):
        assert word not in seen["status"]


def test_other_types_have_none_of_it(combo):
    answer = combo.execute(
        "import os, sys\nprint(os.listdir('/app'), 'PYTHONPATH' in "
        "os.environ, [p for p in sys.path if p.startswith('/app')])")
    assert answer["stdout"] == "[] False []\n"


def test_copy_of_a_moment(start):
    """A change is seen after a reload, by new jobs alone; warm slots and the
    variable of the job type's own are as ever; what is not used goes."""
    who = "import one, time\nprint(one.WHO, flush=True)\n"
    slow = who + ("time.sleep(3)\nimport importlib\nimportlib.reload(one)\n"
                  "print(one.WHO)\n")
    takod = start("oci", "runc", config={"job_types": [
        {"name": "warm", "shared_code": ["one.py"], "warm_pool_size": 1},
        {"name": "own", "shared_code": ["one.py"], "environment": {
            "PYTHONPATH": "/nowhere"}}]})
    copies = takod.data_dir + "/shared_code"

    def ready():
        return [w for w in takod.workers() if w["job_type"] == "warm"
                and w["state"] == "ready"]
    host.wait_for("a slot is ready", ready, 20)
    assert takod.execute(who, job_type="warm")["stdout"] == "one\n"
    assert takod.execute("import os; print(os.environ['PYTHONPATH'])",
                         job_type="own")["stdout"] == "/nowhere\n"
    assert not json.loads(takod.takoctl("--json", "reload", check=True)
                          .stdout)["changes"]

    job = takod.submit(slow, job_type="warm")
    takod.wait_status(job, "running")
    takod.write_file("one.py", "WHO = 'another'\n")
    assert takod.execute(who, job_type="warm")["stdout"] == "one\n"
    would = json.loads(takod.takoctl(
        "--json", "reload", "--dry-run", check=True).stdout)
    assert [c["key"] for c in would["changes"]] == ["shared_code"]
    assert takod.execute(who, job_type="warm")["stdout"] == "one\n"
    takod.takoctl("reload", check=True)
    assert takod.execute(who, job_type="warm")["stdout"] == "another\n"
    assert takod.wait(job)["stdout"] == "one\none\n"
    host.wait_for("the former copy is gone",
                  lambda: len(os.listdir(copies)) == 1, 20)

    # A file that is gone: nothing changes, and the message names it.
    os.unlink(takod.dir + "/one.py")
    done = takod.takoctl("reload")
    assert done.returncode == 78
    text = "job type warm: shared_code.0: one.py: No such file"
    assert text in done.stderr and "reload: " + text in takod.log()
    assert takod.execute(who, job_type="warm")["stdout"] == "another\n"
    takod.write_config(job_types=[])
    takod.takoctl("reload", check=True)
    host.wait_for("no copy is left", lambda: not os.listdir(copies), 20)


WRONG = {
    "missing": ({}, ["none.py"], "none.py: No such file or directory"),
    "link out": ({"l.py": "-> /etc/passwd"}, ["l.py"],
                 "l.py: leads out of the folder of the configuration"),
    "link out below": ({"d/l.py": "-> ../../x"}, ["d"],
                       "d/l.py: leads out of the folder"),
    "link to nothing": ({"d/l.py": "-> none"}, ["d"],
                        "d/l.py: No such file or directory"),
    "circle": ({"d/l": "-> ../d"}, ["d"], ": too deep"),
    "the folder": ({}, ["."], "is the folder of the configuration itself"),
    "the configuration": ({}, ["takod.yaml"], "is the configuration itself"),
    "data_dir": ({}, ["data"], "is data_dir"),
    "same name": ({"a/m.py": "", "b/m.py": ""}, ["a/m.py", "b/m.py"],
                  "another one has the same last name"),
    "a pipe": ({}, ["pipe"], "pipe: is neither a file nor a folder"),
    "too much": ({}, ["big"], "all shared_code is more than 256 MiB"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong(tmp_path, name):
    files, paths, text = WRONG[name]
    for path, content in files.items():
        path = tmp_path / path
        path.parent.mkdir(exist_ok=True)
        if content.startswith("-> "):
            path.symlink_to(content[3:])
        else:
            path.write_text(content)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "data").mkdir(0o700)
    with open(tmp_path / "big", "wb") as file:
        file.truncate((256 << 20) + 1)
    config = tmp_path / "takod.yaml"
    config.write_text(
        "data_dir: %s/data\nserver_port: 1\nengine: oci\n"
        "job_types: [{name: mine, shared_code: %s}]\n"
        % (tmp_path, json.dumps(paths)))
    done = subprocess.run([shared.program("takod"), "-c", str(config)],
                          cwd="/", capture_output=True, text=True, timeout=20)
    assert done.returncode == 1, done.stderr
    assert "job type mine: shared_code." in done.stderr, done.stderr
    assert text in done.stderr, done.stderr


def test_folders_are_renamed_meanwhile(start, tmp_path):
    """Anywhere on the host: then the kernel asks to be asked again whether a
    path with .. in it leads out."""
    daemon = start("oci", "runc", files={"lib/a.py": "A = 1\n"}, config={
        "warm_pool_size": 0, "job_types": [
            {"name": "sharing", "shared_code": ["lib/../lib/../lib/a.py"]}]})
    mover = subprocess.Popen(
        [sys.executable, "-c",
         "import os, sys; os.chdir(sys.argv[1]); os.mkdir('a'); print(1,"
         " flush=True)\nwhile True: os.rename('a', 'b'); os.rename('b', 'a')",
         str(tmp_path)], stdout=subprocess.PIPE)
    try:
        mover.stdout.readline()
        for turn in range(60):
            with open(daemon.dir + "/lib/a.py", "a") as file:
                file.write("# %d\n" % turn)
            daemon.takoctl("reload", check=True)
    finally:
        mover.kill()
        mover.wait()


def test_missing_is_warned_of(tmp_path):
    config = tmp_path / "takod.yaml"
    config.write_text("data_dir: /nonexistent/data\n"
                      "job_types: [{name: mine, shared_code: [none.py]}]\n")
    done = subprocess.run([shared.program("tako-vm"), "validate",
                           str(config)], capture_output=True, text=True)
    assert done.returncode == 0
    assert "shared_code.0: is not there" in done.stdout + done.stderr
