"""
shared.py: what the tests of one run share: where the build is, the executor's
root file system, one private PostgreSQL, one private Docker engine, one S3
service. Each is started when first asked for, and ended by close().

regress/run says by environment which build and which root file system:
TAKO_REGRESS_BUILD and TAKO_REGRESS_ROOTFS.
"""
import functools
import http.client
import json
import os
import socket
import subprocess

from . import host

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
# In the environment of each daemon that pytest starts, and nowhere else.
CANARY = "canary-5d0c1e7b"
started = {}
# Two processes of pytest that run at a time start each its own things.
LANE = os.environ.get("TAKO_REGRESS_LANE", "")


def build():
    return os.path.abspath(os.environ.get(
        "TAKO_REGRESS_BUILD", os.path.join(TOP, "build")))


def program(name):
    return os.path.join(build(), name)


# ---- the executor's image ---------------------------------------------------

def image_config():
    """A configuration file whose data folder keeps the built image."""
    cache = os.path.join(build(), "check-image")
    os.makedirs(cache, exist_ok=True)
    path = os.path.join(cache, "takod.yaml")
    with open(path, "w") as file:
        file.write("data_dir: %s\nengine: oci\n" % json.dumps(cache))
        file.write("database_url: %s\n"
                   % json.dumps("sqlite:///%s/none.db" % cache))
    return path


@functools.lru_cache(None)
def sanitized():
    """Whether this is the sanitizer build: no system call filter, and what was
    freed is not given back soon."""
    with open(program("takod"), "rb") as file:
        return b"__asan_init" in file.read()


def rootfs():
    """The root file system of the image; built once per checkout."""
    path = os.environ.get("TAKO_REGRESS_ROOTFS")
    if not path:
        config = image_config()
        image_build(config)
        current = os.path.join(os.path.dirname(config), "images", "current")
        # An OCI runtime takes no link for a root.
        path = os.path.realpath(os.path.join(current, "rootfs"))
        os.environ["TAKO_REGRESS_ROOTFS"] = path
    return path


def image_build(config):
    """takoctl image build; what it says is shown, for it may take long."""
    child = subprocess.Popen(
        [program("takoctl"), "-c", config, "image", "build"],
        stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    host.note_daemon(child.pid)
    try:
        status = child.wait()
    finally:
        # It ends its own children when it is asked to end.
        if child.poll() is None:
            child.terminate()
            child.wait()
    if status != 0:
        raise AssertionError("takoctl image build ends with %d" % status)


# ---- PostgreSQL -------------------------------------------------------------

def postgres():
    if "postgres" not in started:
        from . import postgres as module
        folder = os.path.join(host.scratch(), "postgres" + LANE)
        started["postgres"] = module.Postgres(folder)
    return started["postgres"]


def postgres_database(name):
    """A fresh database in the private cluster; its URL."""
    return postgres().create(name.replace("-", "_"))


# ---- Docker -----------------------------------------------------------------

def dockerd(networks=False):
    """networks: another one, whose runsc takes the network of its container;
    the first one's has none at all."""
    name = "docker-networks" if networks else "docker"
    if name not in started:
        from . import dockerd as module
        folder = os.path.join(host.scratch(), name + LANE)
        started[name] = module.Dockerd(folder, networks=networks)
    return started[name]


def docker_image(networks=False):
    """The executor's image in such an engine, by name."""
    name = "code-executor:latest"
    if not getattr(dockerd(networks), "has_image", False):
        docker_image_build(dockerd(networks))
        dockerd(networks).has_image = True
    return name


def docker_image_build(engine):
    path = os.path.join(host.scratch(), "docker-image%s.yaml" % LANE)
    with open(path, "w") as file:
        file.write("data_dir: %s\nengine: docker\ndocker_host: %s\n" % (
            json.dumps(os.path.join(build(), "check-image")),
            json.dumps(engine.docker_host)))
    rootfs()  # so that the file system is there and only imported
    image_build(path)


def docker_networks(runtime):
    """Keys for a takod whose jobs under that runtime can have a network."""
    networks = runtime == "runsc"
    return {"docker_host": dockerd(networks).docker_host,
            "docker_image": docker_image(networks)}


# ---- S3 ---------------------------------------------------------------------

def s3():
    if "s3" not in started:
        from . import s3server
        started["s3"] = s3server.S3(os.path.join(host.scratch(), "s3" + LANE))
    return started["s3"]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def docker_api(method, path, body=None, networks=False):
    """A call to the private engine; (status, JSON or None)."""
    connection = UnixConnection(
        dockerd(networks).docker_host.removeprefix("unix://"))
    try:
        connection.request(
            method, path, body if body is None or isinstance(body, bytes)
            else json.dumps(body), {
                "Content-Type": "application/x-tar" if isinstance(body, bytes)
                else "application/json"})
        reply = connection.getresponse()
        data = reply.read()
    finally:
        connection.close()
    return reply.status, json.loads(data) if data else None


def close():
    """Ends what was started, the last one first."""
    for name in reversed(list(started)):
        started.pop(name).stop()
