"""
peers.py: jobs a second beside other programs that run Python in containers, on
the same engine in the same run: Tako VM 0.3.0 itself, and llm-sandbox. Both
come from PyPI into virtual environments of their own below the build directory.

Neither's image is in a registry that is used here: both get takod's, the first
with an entrypoint of ours (peer/) that keeps its contract. starlette is pinned,
since newer ones hang the artifact downloads of Tako VM 0.3.0.
"""
import http.client
import io
import json
import os
import signal
import subprocess
import tarfile
import time

from calls import takod_rate
from figures import figure, finish
from lib import environment, host, reference, shared
from lib.takod import Takod

HERE = os.path.dirname(os.path.abspath(__file__))
AT_ONCE = 4
SECONDS = 300  # for a round of a peer
GOALS = {"docker": 2, "oci": 6}  # times the jobs a second of Tako VM 0.3.0
SERVER = """\
starlette==1.6.0
fastapi==0.165.0
uvicorn==0.54.0
annotated-doc==0.0.7
anyio==4.16.0
click==8.5.1
h11==0.16.0
opentelemetry-api==1.45.2
"""
SANDBOX = "llm-sandbox==0.3.46\ndocker==7.2.0\n"


def image(name, recipe, files):
    """takod's image with a few files more, in the engine."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path, content in {
                **files, "Dockerfile": "FROM %s\n%s" % (
                    shared.docker_image(), recipe)}.items():
            content = content if isinstance(content, bytes) else (
                content.encode())
            info = tarfile.TarInfo(path)
            info.mode, info.size = 0o755, len(content)
            tar.addfile(info, io.BytesIO(content))
    connection = shared.UnixConnection(
        shared.dockerd().docker_host.removeprefix("unix://"))
    try:
        connection.request(
            "POST", "/build?version=1&t=" + name, data.getvalue(),
            {"Content-Type": "application/x-tar"})
        answer = connection.getresponse()
        said = answer.read()
    finally:
        connection.close()
    assert answer.status == 200 and b"Successfully built" in said, said
    return name


def reference_image():
    """As Tako VM 0.3.0 wants it."""
    gosu = os.path.join(host.scratch(), "gosu")
    subprocess.run(["gcc", "-static", "-O2", "-o", gosu,
                    os.path.join(HERE, "peer", "gosu.c")], check=True)
    files = {}
    for name, path in (("gosu", gosu), ("entrypoint.sh", os.path.join(
            HERE, "peer", "entrypoint.sh"))):
        with open(path, "rb") as file:
            files[name] = file.read()
    return image("tako-vm-reference:latest",
                 "COPY entrypoint.sh gosu /\n"
                 "ENTRYPOINT [\"/entrypoint.sh\"]\n", files)


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request(method, path, body and json.dumps(body),
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


class TakoVM:
    """Tako VM 0.3.0 on the tests' engine and PostgreSQL."""

    def __init__(self, runtime, jobs):
        python = environment.python(
            os.path.join(shared.build(), "bench-tako-vm"),
            reference.PACKAGES + SERVER)
        self.port = host.free_port()
        self.folder = os.path.join(host.scratch(), "tako-vm-%d" % self.port)
        os.makedirs(os.path.join(self.folder, "jobs"))
        path = os.path.join(self.folder, "config.yaml")
        with open(path, "w") as file:
            json.dump({
                "server_port": self.port, "data_dir": self.folder,
                "database_url": shared.postgres_database(
                    "tako_vm_%d" % self.port),
                # The server does not go by docker_image.
                "job_types": [{"name": "bench", "base_image": reference_image()}],
                "container_runtime": runtime,
                "security_mode":
                    "strict" if runtime == "runsc" else "permissive",
                # gVisor counts its own threads among the pids.
                "container_limits": {"pids_limit": 512},
                "max_workers": AT_ONCE, "max_queue_size": jobs,
                "api_rate_limit_enabled": False, "log_level": "WARNING"},
                file)
        self.log = open(os.path.join(self.folder, "log"), "w+")
        self.process = subprocess.Popen(
            [python, "-m", "tako_vm.cli", "--config", path, "server"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            cwd=self.folder, start_new_session=True,
            env={"PATH": os.environ["PATH"], "HOME": self.folder,
                 "DOCKER_HOST": shared.dockerd().docker_host,
                 "TAKO_VM_CONFIG": path,
                 "TAKO_VM_WORKSPACE": os.path.join(self.folder, "jobs")})
        try:
            host.wait_for("Tako VM 0.3.0 answers", self.answers, 60)
        except AssertionError as error:
            self.close()
            raise AssertionError("%s: %s" % (error, self.said())) from error

    def said(self):
        self.log.flush()
        with open(self.log.name) as file:
            return file.read()[-1500:]

    def answers(self):
        assert self.process.poll() is None, self.said()
        try:
            return ask(self.port, "GET", "/health")[0] == 200
        except OSError:
            return False

    def rate(self, jobs):
        """From the first submit to the last end."""
        began = time.perf_counter()
        ids = []
        for _ in range(jobs):
            status, answer = ask(self.port, "POST", "/execute/async",
                                 {"code": "print(1)", "job_type": "bench"})
            assert status == 200, answer
            ids.append(answer["job_id"])
        for job in ids:
            status, answer = ask(
                self.port, "GET", "/jobs/%s/result?wait=true" % job)
            assert status == 200 and answer["stdout"] == "1\n", (
                status, answer, self.said())
        return jobs / (time.perf_counter() - began)

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()


class LLMSandbox:
    """llm-sandbox on the tests' engine: it has neither queue nor records."""

    def __init__(self, runtime, jobs):
        self.runtime = runtime
        self.python = environment.python(
            os.path.join(shared.build(), "bench-llm-sandbox"),
            SANDBOX + reference.PACKAGES.split("\n", 1)[1])
        self.image = image(
            "llm-sandbox:latest", "COPY python /usr/bin/\nCMD [\"/bin/sh\"]\n",
            {"python": "#!/bin/sh\nexec python3 \"$@\"\n"})

    def rate(self, jobs):
        done = subprocess.run(
            [self.python, os.path.join(HERE, "peer", "drive_llm_sandbox.py"),
             self.image, self.runtime, str(jobs), str(AT_ONCE)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=SECONDS, env={
                "PATH": os.environ["PATH"], "HOME": host.scratch(),
                "DOCKER_HOST": shared.dockerd().docker_host})
        assert done.returncode == 0, done.stderr[-500:]
        return float(done.stdout)

    def close(self):
        pass


def beside(name, peer, goals, runtime, jobs, rounds):
    """Both of takod's engines beside the peer, all three turn about."""
    takods, theirs = {}, peer(runtime, jobs)
    rates = {"docker": [], "oci": []}
    floor = []
    try:
        for engine in rates:
            takods[engine] = Takod(engine, runtime, "pg", config={
                "max_workers": AT_ONCE, "max_queue_size": jobs,
                "log_level": "WARNING"})
        theirs.rate(AT_ONCE)
        for _ in range(rounds):
            floor.append(theirs.rate(jobs))
            for engine, daemon in takods.items():
                rates[engine].append(takod_rate(daemon, jobs))
    finally:
        theirs.close()
        for daemon in takods.values():
            finish(daemon)
    return [figure("%s %s %s" % (name, engine, runtime), "jobs/s", floor,
                   measured, ">=" if engine in goals else None,
                   goals.get(engine), jobs=jobs)
            for engine, measured in rates.items()]


def plan(options):
    few = min(options.rounds, 3)
    return [("%s %s" % (name, runtime), beside,
             (name, peer, goals, runtime, options.jobs, few))
            for name, peer, goals in (("tako-vm", TakoVM, GOALS),
                                      ("llm-sandbox", LLMSandbox, {}))
            for runtime in ("runc", "runsc")]
