"""
test_unit.py: the systemd unit and its drop-ins, under a systemd: takod starts
with each, jobs run, and what they may do is not less than without a unit.
"""
import json
import os
import re
import shutil
import subprocess

import pytest

from lib import host, root, shared

# A package is built, and a system around it.
pytestmark = pytest.mark.seconds(2400)

CONFIG = "/etc/tako_vm/config.yaml"
DROPINS = "/etc/systemd/system/takod.service.d"
# By `systemd-analyze security`: a higher one is a loss. A parent that makes
# containers has to be root with mounts and namespaces, and so cannot have the
# 2.6 that it has where a Docker engine makes them: without any network, and
# with its control groups' folder alone to write to, it would have 2.8.
EXPOSURE = {None: 4.0, "network": 4.4, "runc": 5.3, "docker": 2.3}
GVISOR = "engine: oci\ncontainer_runtime: runsc\nsecurity_mode: strict\n"
RUNC = "engine: oci\ncontainer_runtime: runc\nsecurity_mode: permissive\n"

# What a job may do that a unit's directives could take from it.
JOB = """
import ctypes, mmap, os, resource, socket, subprocess, sys, threading
os.nice(1)
os.sched_setaffinity(0, {0})
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
os.mkdir("/tmp/x")
os.chmod("/tmp/x", 0o2755)
assert os.stat("/tmp/x").st_mode & 0o7777 == 0o2755
if os.uname().release != "4.4.0":  # gVisor knows no such question
    query = ctypes.c_ulong(0xffffffff)
    assert ctypes.CDLL(None).personality(query) != -1
mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
socket.socketpair()
socket.socket(socket.AF_INET6)
thread = threading.Thread(target=print, args=("thread",))
thread.start()
thread.join()
subprocess.run([sys.executable, "-c", "print('child')"], check=True)
open("/dev/urandom", "rb").read(1)
open("/output/a", "w").write("x")
print(os.uname().nodename)
"""
SEND = """
import json, sys, urllib.request
url = "http://127.0.0.1:8000/execut"
request = urllib.request.Request(url + "e", sys.argv[1].encode(),
                                 {"Content-Type": "application/json"})
answer = json.load(urllib.request.urlopen(request, timeout=60))
record = url + "ions/" + answer["execution_id"] + "?view=full"
print(urllib.request.urlopen(record, timeout=60).read().decode())
"""

HEALTH = """
import http.client
asked = http.client.HTTPConnection("127.0.0.1", 8000, timeout=60)
asked.request("GET", "/health")
print(asked.getresponse().status)
"""


@pytest.fixture(scope="module")
def tree():
    """A root with the package, as one installs it; not yet booted."""
    tree = root.copy("unit")
    tree.install()
    return tree


@pytest.fixture(scope="module")
def booted(tree):
    # The image of the other tests is there, and so need not be built.
    images = os.path.dirname(os.path.dirname(shared.rootfs()))
    binds = [(images, "/var/lib/tako_vm/images"),
             (shared.build(), shared.build()),
             (os.path.dirname(shared.dockerd().socket), "/srv/docker")]
    # What a sanitizer build needs is in no package that takod depends on.
    needed = subprocess.run(["ldd", shared.program("takod")], check=True,
                            capture_output=True, text=True).stdout
    binds += [(path, path) for path in
              re.findall(r"=> (/\S*/lib(?:a|ub)san\.\S+)", needed)]
    shared.docker_image()
    booted = root.Booted(tree, binds)
    yield booted
    booted.stop()


def journal(booted):
    return booted.run("journalctl", "--no-pager", "--output=cat",
                      "--unit=takod", "--lines=25").stdout


def job(booted, code, **fields):
    body = json.dumps({"code": code, **fields})
    done = booted.run("python3", "-c", SEND, body, check=False)
    assert done.returncode == 0, done.stderr[-500:] + journal(booted)
    return json.loads(done.stdout)


def restart(booted, config, dropin=None, more=""):
    """Starts takod anew with a configuration and some of the drop-ins."""
    with open(booted.root.inside(CONFIG), "w") as file:
        file.write("data_dir: /var/lib/tako_vm\n" + config)
    folder = booted.root.inside(DROPINS)
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    for name in (dropin or "").split():
        shutil.copy(booted.root.inside(
            "/usr/share/takod/takod-%s.conf" % name), folder)
    with open(os.path.join(folder, "test.conf"), "w") as file:
        file.write("[Service]\nRestart=no\n" + more)
    booted.run("systemctl", "daemon-reload")
    done = booted.run("systemctl", "restart", "takod", check=False)
    assert done.returncode == 0, journal(booted)


VOID = """
import glob, os
for path in glob.glob('/proc/[0-9]*/comm'):
    if open(path).read() == 'tako-api\\n':
        own, here = (os.readlink('/proc/%s/ns/net' % pid)
                     for pid in (path.split('/')[2], 'self'))
        print('own' if own != here else 'shared')
"""


def in_namespaces(booted):
    """Whether tako-api has a network namespace of its own."""
    shown = booted.run("python3", "-c", VOID).stdout
    assert shown in ("own\n", "shared\n"), shown
    return shown == "own\n"


def check_jobs(booted, runtime):
    answer = job(booted, JOB)
    assert answer["stdout"].split() == ["thread", "child", "tako"], \
        answer["stderr"]
    assert answer["runtime"] == runtime
    assert [a["name"] for a in answer["artifacts"]] == ["a"]
    answer = job(booted, "x = b'x' * (1 << 30)")
    assert (answer["exit_code"], answer["runtime"]) == (137, runtime)
    answer = job(booted, "while True:\n    pass", timeout=1)
    assert answer["exit_code"] == 124
    assert "ended with status" not in journal(booted)
    booted.run("systemctl", "reload", "takod")
    booted.run("systemctl", "stop", "takod")
    shown = booted.run("systemctl", "show", "takod", "--value",
                       "--property=Result,ExecMainStatus").stdout.split()
    assert sorted(shown) == ["0", "success"]


def test_runs_as_installed(booted):
    """The package's own configuration: started at boot, under gVisor."""
    assert booted.run("systemctl", "is-active",
                      "takod").stdout == "active\n", journal(booted)
    condition = booted.run("systemctl", "show", "takod-image", "--value",
                           "--property=ConditionResult").stdout
    assert condition == "no\n"
    status = json.loads(booted.run("takoctl", "--json", "status").stdout)
    assert status["daemon"]["version"] == root.field("Version")
    assert in_namespaces(booted)
    check_jobs(booted, "runsc")


@pytest.mark.parametrize("config,runtime", [
    (GVISOR, "runsc"), (RUNC, "runc"), (RUNC + "enable_userns: true\n",
                                        "runc")],
    ids=["runsc", "runc", "userns"])
def test_runc_dropin_breaks_no_job(booted, config, runtime):
    restart(booted, config, "runc")
    check_jobs(booted, runtime)


PEER = "192.88.99.2"  # public, but nobody's
NETWORK = """
network_allow: [%s/32]
job_types:
  - name: out
    network_enabled: true
    allowed_hosts: ["%s:8080"]
""" % (PEER, PEER)


@pytest.fixture
def peer(booted):
    """A host beside this one that answers HTTP."""
    booted.run("systemd-run", "--unit=peer", "--property=Type=exec",
               "--property=PrivateNetwork=yes", "python3", "-m",
               "http.server", "8080", "--directory=/usr/share/takod")
    pid = booted.run("systemctl", "show", "peer", "--value",
                     "--property=MainPID").stdout.strip()
    within = "nsenter --net --target=" + pid
    try:
        for line in ("ip link add near type veth peer name far netns " + pid,
                     "ip addr add 192.88.99.1/30 dev near",
                     "ip link set near up",
                     within + " ip addr add %s/30 dev far" % PEER,
                     within + " ip link set far up",
                     "ip route add default via " + PEER):
            booted.run(*line.split())
        yield
    finally:
        # A network namespace ends some time after its last process: the
        # next peer would find the link still there.
        booted.run("ip", "link", "del", "near", check=False)
        booted.run("systemctl", "stop", "peer")


@pytest.mark.parametrize("config,runtime,dropins", [
    (GVISOR, "runsc", "network"), (RUNC, "runc", "network runc")],
    ids=["runsc", "runc"])
def test_network_dropin(booted, peer, config, runtime, dropins):
    restart(booted, config + NETWORK, dropins)
    answer = job(booted, "import urllib.request\n"
                 "print(urllib.request.urlopen('http://%s:8080').status)"
                 % PEER, job_type="out", timeout=30)
    assert (answer["stdout"], answer["runtime"]) == ("200\n", runtime), (
        answer["stderr"] + journal(booted))
    check_jobs(booted, runtime)


def test_wrong_file_is_not_tried_again(booted):
    restart(booted, GVISOR)
    booted.run("systemctl", "stop", "takod")
    with open(booted.root.inside(CONFIG), "a") as file:
        file.write("max_worker: 2\n")
    os.unlink(os.path.join(booted.root.inside(DROPINS), "test.conf"))
    booted.run("systemctl", "daemon-reload")
    assert booted.run("systemctl", "start", "takod", check=False).returncode
    shown = booted.run("systemctl", "show", "takod", "--value",
                       "--property=ActiveState,NRestarts").stdout.split()
    assert sorted(shown) == ["0", "failed"]
    host.wait_for("the journal says what is wrong",
                  lambda: "max_workers" in journal(booted))
    booted.run("systemctl", "reset-failed", "takod")


def test_low_port(booted):
    restart(booted, GVISOR + "server_port: 80\n")
    status = booted.run("tako-vm", "status")
    assert status.stdout.startswith("Status: healthy\n")
    booted.run("systemctl", "stop", "takod")


def test_socket(booted):
    """The first client starts takod; one that comes while it is down waits."""
    booted.run("systemctl", "stop", "takod")
    booted.run("systemctl", "start", "takod.socket")
    try:
        restart(booted, GVISOR + "server_listen: [systemd]\n")
        booted.run("systemctl", "stop", "takod")
        for begin in (), ("systemctl", "restart", "--no-block", "takod"):
            if begin:
                booted.run(*begin)
            # It may be told to come again, but is answered.
            assert booted.run("python3", "-c", HEALTH).stdout in (
                "200\n", "503\n")
            host.wait_for("takod is ready", lambda: booted.run(
                "tako-vm", "status", check=False).returncode == 0, 60)
            assert job(booted, "print(1)")["stdout"] == "1\n"
        assert booted.run("systemctl", "is-active", "takod").stdout \
            == "active\n"
    finally:
        booted.run("systemctl", "stop", "takod.socket", "takod")


@pytest.mark.parametrize("runtime", ["runsc", "runc"])
def test_docker_dropin(booted, runtime):
    # The engine is outside: tako-init has to be where it sees it too, in the
    # build folder, which may be one that the unit hides.
    config = ("engine: docker\ndocker_host: unix:///srv/docker/docker.sock\n"
              "docker_image: %s\ncontainer_runtime: %s\nsecurity_mode: %s\n"
              % (shared.docker_image(), runtime,
                 "strict" if runtime == "runsc" else "permissive"))
    restart(booted, config, "docker", "PrivateTmp=no\nProtectHome=no\n"
            # A sanitizer build looks for leaks by ptrace(2), which is denied.
            "Environment=ASAN_OPTIONS=detect_leaks=0\n"
            "ExecStart=\nExecStart=%s -c %s\n" % (shared.program("takod"), CONFIG))
    # RestrictNamespaces: the children's other walls stand.
    assert not in_namespaces(booted)
    check_jobs(booted, runtime)


def exposure(tree, dropin):
    """The score of the installed unit with a drop-in."""
    folder = tree.inside(DROPINS)
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    for name in (dropin or "").split():
        shutil.copy(tree.inside("/usr/share/takod/takod-%s.conf" % name),
                    folder)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true",
         "--root=" + tree.path, "--threshold=100", "takod.service"],
        capture_output=True, text=True)
    shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return float(re.search(r"level for takod.service: ([0-9.]+)",
                           done.stdout).group(1))


@pytest.mark.parametrize("dropin", EXPOSURE)
def test_exposure(tree, dropin):
    assert exposure(tree, dropin) <= EXPOSURE[dropin]
    assert exposure(tree, "docker") <= 2.6


def calls(words):
    """The system calls of a SystemCallFilter= value."""
    found = set()
    for word in words:
        if not word.startswith("@"):
            found.add(word)
            continue
        shown = subprocess.run(["systemd-analyze", "syscall-filter", word],
                               check=True, capture_output=True, text=True)
        lines = [line.strip() for line in shown.stdout.splitlines()[1:]]
        found |= calls([w for w in lines if w and not w.startswith("#")])
    return found


def test_filter_denies_nothing_that_a_job_has():
    with open(os.path.join(shared.TOP, "etc", "takod-runc.conf")) as file:
        filters = re.findall(r"(?m)^SystemCallFilter=(.+)$", file.read())
    denied = calls(filters[0].lstrip("~").split()) - calls(
        filters[1].split())
    with open(os.path.join(shared.TOP, "etc", "seccomp.json")) as file:
        profile = json.load(file)
    allowed = {name for rule in profile["syscalls"]
               if rule["action"] == "SCMP_ACT_ALLOW"
               for name in rule["names"]}
    assert filters[0].startswith("~") and len(filters) == 2
    assert len(denied) > 40 and len(allowed) > 200
    assert not denied & allowed


def test_log_goes_to_the_journal_with_its_level(booted):
    restart(booted, RUNC, "runc")

    def levels():
        shown = booted.run("journalctl", "--no-pager", "--output=json",
                           "--unit=takod", "--lines=40").stdout
        found = [json.loads(line) for line in shown.splitlines()]
        return {line["PRIORITY"] for line in found
                if "which isolates less" in line["MESSAGE"]}
    assert host.wait_for("the journal has that line", levels) == {"4"}
    booted.run("systemctl", "stop", "takod")
    restart(booted, RUNC + "log_format: json\n", "runc")
    host.wait_for("the journal has a line of it", lambda: any(
        "ready" in json.loads(line)["message"]
        for line in journal(booted).splitlines() if line.startswith("{")))
    booted.run("systemctl", "stop", "takod")


def test_nothing_is_left(booted):
    """Its containers' groups end with it, although not below its own."""
    def gone():
        found = [name for group in booted.groups
                 for name in host.cgroups_named("takod-")
                 if name.startswith(group + "/takod-")]
        return not found
    host.wait_for("no control group is left", gone, 10)
