"""
test_image.py: takoctl image. The real build is made once for all tests of a
run (shared.rootfs); what can go wrong is tried with a stand-in for mmdebstrap
that makes a tree of a few files.
"""
import json
import os
import signal
import stat
import subprocess

import pytest

from lib import host, shared

STAND_IN = r"""#!/bin/sh -eu
echo "I: stand-in" >&2
echo started >>"$STAND_IN_LOG"
for word; do case "$word" in */rootfs) root=$word ;; esac; done
mkdir -p "$root/mnt"
mount -t tmpfs stand-in "$root/mnt"
if [ -n "${STAND_IN_WAIT:-}" ]; then read -r line <"$STAND_IN_WAIT"; fi
if [ -n "${STAND_IN_FAIL:-}" ]; then echo "E: it failed" >&2; exit 3; fi
umount "$root/mnt"
mkdir -p "$root/etc/apt/apt.conf.d" "$root/tmp" "$root/var/lib/dpkg" \
    "$root/usr/bin" "$root/usr/lib/python3.0/encodings/__pycache__" \
    "$root/usr/lib/python3.0/__pycache__"
echo 'Acquire::http::Proxy "http://user:secret@proxy/";' \
    >"$root/etc/apt/apt.conf.d/99mmdebstrap"
printf 'Package: python3\nStatus: install ok installed\nVersion: 3.0\n%s' \
    'Architecture: all
Maintainer: nobody
Description: none
' >"$root/var/lib/dpkg/status"
for f in etc/passwd etc/group etc/shadow etc/gshadow usr/bin/python3 \
    usr/lib/python3.0/__pycache__/os.x.pyc \
    usr/lib/python3.0/encodings/__pycache__/x.pyc; do : >"$root/$f"; done
chmod 6777 "$root/usr/bin/python3"
"""


class Builder:
    def __init__(self, folder):
        self.data = os.path.join(folder, "data")
        self.images = os.path.join(self.data, "images")
        self.log = os.path.join(folder, "log")
        self.config = os.path.join(folder, "takod.yaml")
        os.makedirs(os.path.join(folder, "bin"))
        stand_in = os.path.join(folder, "bin", "mmdebstrap")
        with open(stand_in, "w") as file:
            file.write(STAND_IN)
        os.chmod(stand_in, 0o755)
        with open(self.config, "w") as file:
            file.write("data_dir: %s\nengine: oci\n" % json.dumps(self.data))
        self.env = dict(os.environ, STAND_IN_LOG=self.log,
                        PATH=os.path.dirname(stand_in) + ":"
                        + os.environ["PATH"])

    def start(self, *words, **env):
        return subprocess.Popen(
            [shared.program("takoctl"), "-c", self.config, "image", *words],
            env=dict(self.env, **env), text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)

    def run(self, *words, **env):
        process = self.start(*words, **env)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def built(self):
        return host.read(self.log).count("started")

    def names(self):
        return sorted(os.listdir(self.images))

    def temporary(self):
        return [n for n in self.names() if n.startswith(".tmp")]


@pytest.fixture
def builder(tmp_path):
    return Builder(str(tmp_path))


# ---- the real tree ----------------------------------------------------------

def walk(root):
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            yield path, os.lstat(path)


def test_the_tree_has_what_a_job_needs():
    root = shared.rootfs()
    for name, mode in (("code", 0o755), ("input", 0o755), ("output", 0o755),
                       ("app", 0o755), ("tmp", 0o1777), (".tako", 0o755)):
        status = os.lstat(os.path.join(root, name))
        assert stat.S_ISDIR(status.st_mode)
        assert stat.S_IMODE(status.st_mode) == mode
        assert status.st_uid == 0
    assert os.path.getsize(os.path.join(root, ".tako/init")) == 0
    assert "sandbox:x:1000:1000:" in host.read(root + "/etc/passwd")
    ran = subprocess.run(
        ["chroot", "--userspec=1000:1000", root, "python3", "-c",
         "import json, ssl, sqlite3, subprocess, getpass; print("
         "json.__cached__, getpass.getuser())"],
        capture_output=True, text=True, check=True).stdout.split()
    assert os.path.exists(root + ran[0])  # bytecode is there, not made now
    assert ran[1] == "sandbox"


def test_the_tree_has_nothing_more():
    root = shared.rootfs()
    for path, status in walk(root):
        mode = status.st_mode
        if stat.S_ISREG(mode):
            assert not mode & 0o6002, path
        elif stat.S_ISDIR(mode):
            assert not mode & 0o2 or mode & 0o1000, path
        else:
            assert stat.S_ISLNK(mode), path  # no device, socket, FIFO
    assert host.read(root + "/etc/machine-id", "none") == ""
    assert not os.listdir(root + "/etc/apt/sources.list.d")
    assert not os.path.exists(root + "/etc/apt/sources.list")
    assert not os.path.exists(root + "/etc/apt/apt.conf.d/99mmdebstrap")
    assert not os.listdir(root + "/var/lib/apt/lists")
    assert host.read(root + "/etc/resolv.conf", None) == ""


def test_every_module_has_bytecode():
    root = shared.rootfs()
    lib = subprocess.run(
        ["chroot", root, "python3", "-c", "import os; print(os.__file__)"],
        capture_output=True, text=True, check=True).stdout.strip()
    lib = root + os.path.dirname(lib)
    modules = [n[:-3] for n in os.listdir(lib) if n.endswith(".py")]
    cached = {n.split(".")[0] for n in os.listdir(lib + "/__pycache__")}
    assert len(modules) > 100
    assert set(modules) <= cached


# ---- building ---------------------------------------------------------------

def test_second_build_is_instant(builder):
    status, _, err = builder.run("build")
    assert status == 0, err
    status, _, err = builder.run("build")
    assert status == 0
    assert "there already" in err
    assert builder.built() == 1
    key, = [n for n in builder.names() if len(n) == 64]
    assert os.readlink(builder.images + "/current") == key
    with open("%s/%s/manifest.json" % (builder.images, key)) as file:
        manifest = json.load(file)
    assert manifest["key"] == key
    assert manifest["packages"] == {"python3": "3.0"}
    assert sorted(os.listdir("%s/%s" % (builder.images, key))) \
        == ["manifest.json", "rootfs"]


def test_nothing_of_the_hosts_apt_is_in_it(builder):
    builder.run("build")
    found = subprocess.run(["grep", "-r", "secret", builder.data],
                           stdout=subprocess.PIPE, check=False)
    assert found.stdout == b""
    mode = os.stat(builder.images + "/current/rootfs/usr/bin/python3").st_mode
    assert stat.S_IMODE(mode) == 0o775


def test_a_build_that_fails(builder):
    status, _, err = builder.run("build", STAND_IN_FAIL="1")
    assert status == 70
    assert "E: it failed" in err
    assert builder.names() == ["lock"]
    assert builder.run("build")[0] == 0


def test_a_tree_without_python(builder):
    """X05: What cannot run a job does not get a key."""
    path = os.path.join(os.path.dirname(builder.config), "bin", "mmdebstrap")
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text + 'rm "$root/usr/bin/python3"\n')
    assert builder.run("build")[0] == 70
    assert builder.names() == ["lock"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM,
                                    signal.SIGINT])
def test_a_build_that_is_killed(builder, tmp_path, number):
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    process = builder.start("build", STAND_IN_WAIT=fifo)
    host.wait_for("the build begins", builder.built)
    process.send_signal(number)
    process.wait(30)
    assert not host.mounts_below(builder.data)
    assert not os.path.lexists(builder.images + "/current")
    status, _, err = builder.run("build")
    assert status == 0, err
    assert not builder.temporary()
    assert not host.mounts_below(builder.data)


def test_two_builds_at_once(builder, tmp_path):
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    first = builder.start("build", STAND_IN_WAIT=fifo)
    host.wait_for("the first begins", builder.built)
    second = builder.start("build", STAND_IN_WAIT=fifo)
    assert "waiting for it" in second.stderr.readline()
    with open(fifo, "w") as file:
        file.write("go\n")
    assert first.wait(60) == 0
    assert second.wait(60) == 0
    assert builder.built() == 1
    assert not builder.temporary()


def test_not_root():
    result = subprocess.run(
        [shared.program("takoctl"), "image", "build"], cwd="/",
        user=65534, group=65534, extra_groups=[], text=True,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent",
             "TAKO_VM_DATA_DIR": "/nonexistent/data"},
        capture_output=True, check=False)
    assert result.returncode == 77, result.stderr
    assert "must be run as root" in result.stderr


def test_no_mmdebstrap(builder, tmp_path):
    status, _, err = builder.run("build", PATH=str(tmp_path))
    assert status == 69
    assert "apt-get install mmdebstrap" in err


# ---- list, remove -----------------------------------------------------------

def test_list_and_remove(builder):
    assert builder.run("list")[:2] == (0, "")
    assert json.loads(builder.run("list", "--json")[1]) == []
    builder.run("build")
    row, = json.loads(builder.run("list", "--json")[1])
    assert row["current"] is True
    assert os.path.isdir(row["path"])
    assert row["key"][:12] in builder.run("list")[1]
    assert builder.run("remove", "0" * 64)[0] != 0
    assert builder.run("remove", "../data")[0] != 0
    assert builder.run("remove", "")[0] != 0
    assert os.path.isdir(row["path"])
    assert builder.run("remove", row["key"][:12])[0] == 0
    assert builder.names() == ["lock"]


@pytest.mark.parametrize("words", [
    (), ("build", "--dokcer"), ("list", "x"), ("remove",), ("frob",)])
def test_usage(builder, words):
    assert builder.run(*words)[0] == 64


# ---- Docker -----------------------------------------------------------------

@pytest.fixture
def docker_builder(builder):
    with open(builder.config, "w") as file:
        file.write("data_dir: %s\nengine: docker\ndocker_host: %s\n"
                   "docker_image: stand-in:1\n"
                   % (json.dumps(builder.data),
                      json.dumps(shared.dockerd().docker_host)))
    yield builder
    shared.docker_api("DELETE", "/v1.40/images/stand-in:1?force=1")


def docker_image():
    status, answer = shared.docker_api(
        "GET", "/v1.40/images/stand-in:1/json")
    return answer if status == 200 else None


def test_import(docker_builder):
    status, _, err = docker_builder.run("build")
    assert status == 0, err
    key = os.readlink(docker_builder.images + "/current")
    image = docker_image()
    assert image["Config"]["Labels"]["takod.key"] == key
    status, _, err = docker_builder.run("build")
    assert "stand-in:1 is there already" in err
    assert docker_image()["Id"] == image["Id"]
    rows = json.loads(docker_builder.run("list", "--json")[1])
    assert [(r["engine"], r["current"]) for r in rows] \
        == [("oci", True), ("docker", True)]
    assert docker_builder.run("remove", "stand-in:1")[0] == 0
    assert docker_image() is None


def test_an_import_cut_short_makes_no_image(docker_builder, tmp_path):
    """tar fails after a part of the tree: that part is no image."""
    docker_builder.run("build")
    docker_builder.run("remove", "stand-in:1")
    tar = str(tmp_path / "bin" / "tar")
    with open(tar, "w") as file:
        file.write("#!/bin/sh\n/usr/bin/tar \"$@\" | head -c 10240\nexit 2\n")
    os.chmod(tar, 0o755)
    status, _, err = docker_builder.run("build")
    assert status == 69, err
    assert docker_image() is None
    os.unlink(tar)
    assert docker_builder.run("build")[0] == 0
    assert docker_image()


def test_no_engine_to_import_into(docker_builder):
    text = host.read(docker_builder.config).replace(
        shared.dockerd().docker_host, "unix:///nonexistent/docker.sock")
    with open(docker_builder.config, "w") as file:
        file.write(text)
    status, _, err = docker_builder.run("build")
    assert status == 69
    assert "/nonexistent/docker.sock" in err
