"""
takod.py: starts a takod with its own configuration, data folder, control
socket and port, talks to it, ends it, and checks that nothing of it is left.
Used by pytest, the durability test and the figures; runs as root.
"""
import hashlib
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import time

from . import answers, host, shared

SERIAL = itertools.count(1)
START_SECONDS = 60
TERMINAL = ("succeeded", "failed", "timeout", "oom", "cancelled")


def has_own_ids(data_dir):
    """takod takes its ids by this path (takod/ids.c), and does not start
    where another one has them: no two daemons of a run do."""
    block = hashlib.sha256(data_dir.encode()).digest()[4:8]
    number = int.from_bytes(block, sys.byteorder) % 200000
    try:
        os.makedirs(os.path.join(host.scratch(), "ids", str(number)))
    except FileExistsError:
        return False
    return True


def unique(pairs):
    """An object of an answer, in which no name may come twice."""
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), "a name twice: %r" % names
    return dict(pairs)


class Takod:
    """
    A takod with one engine ('oci', 'docker'), runtime ('runsc', 'runc') and
    store ('sqlite', 'pg'). config: further keys of its file. wait=False
    returns before it is ready. files: texts to write beside its file.
    text: its file as it stands, instead of keys; its port, its data folder,
    its database and its image are named by variables and links alone.
    within: a command that makes its surroundings and becomes it.
    """

    def __init__(self, engine="oci", runtime="runsc", store="sqlite",
                 config=None, env=None, wait=True, program=None, files=None,
                 text=None, within=()):
        self.engine, self.runtime, self.store = engine, runtime, store
        self.program = program or shared.program("takod")
        while True:
            self.name = "t%d-%d" % (os.getpid(), next(SERIAL))
            self.dir = os.path.join(host.scratch(), self.name)
            self.data_dir = os.path.join(self.dir, "data")
            if has_own_ids(self.data_dir):
                break
        os.mkdir(self.dir, 0o711)
        self.file = os.path.join(self.dir, "takod.yaml")
        self.log_path = os.path.join(self.dir, "log")
        self.host, self.port = "127.0.0.1", host.free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "HOME": self.dir,
                    # For a sanitizer's build; children get none of it. What
                    # is freed is reused soon, so that a figure of memory
                    # means something.
                    "UBSAN_OPTIONS": "print_stacktrace=1",
                    "ASAN_OPTIONS": "quarantine_size_mb=4", **(env or {})}
        self.keys = self._keys(config or {})
        self.text, self.within = text, within
        if text is not None:
            self._surround()
        self.proc, self.pid, self.instance = None, None, None
        self.uid_base = None
        self.write_config()
        for name, text in (files or {}).items():
            self.write_file(name, text)
        try:
            self.start(wait)
        except BaseException:
            # Whoever asked for it gets no handle to end it by.
            if self.proc:
                self.discard()
            raise

    def _keys(self, more):
        keys = {
            "server_port": self.port,
            "data_dir": self.data_dir,
            "engine": self.engine,
            "container_runtime": self.runtime,
            "security_mode":
                "strict" if self.runtime == "runsc" else "permissive",
            "api_rate_limit_enabled": False,
            "log_level": "DEBUG",
        }
        if self.store == "pg":
            keys["database_url"] = shared.postgres_database(self.name)
        else:
            keys["database_url"] = "sqlite:///" + self.data_dir + "/takod.db"
        if self.engine == "docker":
            # An engine that only seems to be one comes with both.
            if not more.get("docker_host"):
                keys["docker_host"] = shared.dockerd().docker_host
            if not more.get("docker_image"):
                keys["docker_image"] = shared.docker_image()
        else:
            keys["rootfs"] = shared.rootfs()
        keys.update(more)
        return {k: v for k, v in keys.items() if v is not None}

    def _surround(self):
        """What a file that names none of it has to find on this host."""
        self.env.update(TAKO_VM_SERVER_PORT=str(self.port),
                        TAKO_VM_DATA_DIR=self.data_dir,
                        TAKO_VM_DATABASE_URL=self.keys["database_url"])
        os.mkdir(self.data_dir, 0o700)
        # <images>/<hash>/rootfs, as takoctl image build leaves it.
        images = os.path.dirname(os.path.dirname(shared.rootfs()))
        os.symlink(images, os.path.join(self.data_dir, "images"))

    def write_config(self, **changed):
        """Writes the file anew, with some keys changed (None: without)."""
        self.keys.update(changed)
        with open(self.file, "w") as file:
            if self.text is not None:
                file.write(self.text)
                return
            for key, value in self.keys.items():
                if value is not None:
                    # JSON is YAML.
                    file.write("%s: %s\n" % (key, json.dumps(value)))

    def write_file(self, name, text):
        """A file, or a link to what "-> " names, beside the configuration."""
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        if text.startswith("-> "):
            os.symlink(text[3:], path)
            return
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o700 if text.startswith("#!") else 0o600)

    # ---- life ---------------------------------------------------------------

    def start(self, wait=True):
        argv = [*self.within, self.program, "-c", self.file]
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen(
                argv, cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True)
        self.pid = self.proc.pid
        host.note_daemon(self.pid)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=START_SECONDS):
        def ready():
            if self.proc.poll() is not None:
                raise AssertionError("takod ended with %d:\n%s" % (
                    self.proc.returncode, self.log()[-3000:]))
            try:
                return self.get("/health", timeout=20)[0] == 200
            except (OSError, http.client.HTTPException):
                return False
        try:
            host.wait_for("GET /health answers 200", ready, seconds)
        except host.Deadline as error:
            raise AssertionError(
                "%s\n%s" % (error, self.log()[-3000:])) from None
        self._learn()

    def replace_front(self):
        """Kills tako-api. The pid of the other one, once it serves."""
        before, = self.children("tako-api")
        host.signal_pid(before, signal.SIGKILL)
        front = host.wait_for("another tako-api", lambda: [
            pid for pid in self.children("tako-api") if pid != before])[0]
        self.wait_ready()
        return front

    def _learn(self):
        """What it is called and which ids it uses, to find what it left."""
        api = host.wait_for("tako-api runs", lambda: self.children("tako-api"))
        self.uid_base = host.Process(api[0]).uids()[0]
        status = self.takoctl("--json", "status", check=True)
        self.instance = json.loads(status.stdout)["daemon"]["instance"]
        host.note_instance("takod-" + self.instance)

    @property
    def bundles(self):
        """Where the OCI engine has its containers' folders."""
        return "/run/takod/%s" % self.instance

    def log(self):
        return host.read(self.log_path)

    def alive(self):
        return self.proc.poll() is None

    def children(self, comm=None):
        """Pids of its direct children, or of those with that name."""
        return [p.pid for p in host.processes() if p.ppid == self.pid
                and comm in (None, p.comm)]

    def stop(self, seconds=60):
        """SIGTERM; it has to end with 0 and leave nothing."""
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        try:
            code = self.proc.wait(max(seconds, host.PATIENCE))
        except subprocess.TimeoutExpired:
            self.discard()
            raise AssertionError("takod does not end:\n" +
                                 self.log()[-3000:]) from None
        assert code == 0, "takod ended with %d:\n%s" % (
            code, self.log()[-3000:])
        left = self.leftovers()
        if left:
            # An exit may take a moment to be seen in /proc.
            try:
                host.wait_for("", lambda: not self.leftovers(), 3)
            except host.Deadline:
                raise AssertionError("takod left:\n" + "\n".join(
                    self.leftovers())) from None

    def kill9(self):
        """SIGKILL to the parent alone."""
        host.signal_pid(self.pid, signal.SIGKILL)
        self.proc.wait()

    def discard(self):
        """Ends all of it, whatever state it is in."""
        for process in host.descendants(self.pid):
            host.signal_pid(process.pid, signal.SIGKILL)
        host.signal_pid(self.pid, signal.SIGKILL)
        self.proc.wait()

    def close(self):
        """End of a test: an orderly stop, if it still runs."""
        if self.proc.returncode is None:
            self.stop()

    # ---- what is left -------------------------------------------------------

    def container_groups(self):
        if not self.instance:
            return []
        return host.cgroups_named("takod-" + self.instance)

    def containers(self):
        """Names of its containers that are on the host now."""
        if self.engine == "docker":
            return {c["Name"].strip("/") for c in self.docker_containers()}
        mark = "takod-%s-" % self.instance
        return {os.path.basename(g) for g in self.container_groups()
                if os.path.basename(g).startswith(mark)}

    def container_pids(self):
        """Processes in its containers, as the host sees them."""
        pids = set()
        for group in self.container_groups():
            pids |= host.cgroup_pids(group)
        if self.engine == "docker":
            for container in self.docker_containers():
                pid = container.get("Pid")
                if pid:
                    pids |= {pid}
        return pids

    def docker_containers(self):
        """Containers in the private Docker engine that have its name."""
        if not self.instance:
            return []
        found = []
        networks = "docker-networks" in self.keys["docker_host"]

        def ask(path):
            return shared.docker_api("GET", path, networks=networks)
        for container in ask("/containers/json?all=1")[1]:
            if any(self.instance in n for n in container["Names"]):
                inspected = ask("/containers/%s/json" % container["Id"])
                if inspected[0] == 200:
                    found.append({"Id": container["Id"],
                                  "Name": inspected[1]["Name"],
                                  **inspected[1]["State"]})
        return found

    def own_uid_processes(self):
        """Processes that have one of the ids it gives its children."""
        if self.uid_base is None or self.uid_base < 65536:
            return []
        span = range(self.uid_base, self.uid_base + 1024)
        return [p for p in host.processes()
                if any(uid in span for uid in p.uids())]

    def leftovers(self):
        """What is left of it on the host, in words; empty: nothing."""
        words = ["process %d: %s" % (p.pid, " ".join(p.argv)[:160] or p.comm)
                 for p in host.processes()
                 if any(self.dir + "/" in word for word in p.argv)
                 and p.comm.startswith(host.OURS) and p.pid != os.getpid()]
        words += ["process %d of uid %s: %s" % (p.pid, p.uids()[:1], p.comm)
                  for p in self.own_uid_processes()]
        words += ["mount " + p for p in host.mounts_below(self.dir)]
        words += ["cgroup " + g for g in self.container_groups()]
        if self.engine == "docker":
            words += ["container " + c["Id"] for c in self.docker_containers()]
        return words

    # ---- talking ------------------------------------------------------------

    def request(self, method, path, body=None, headers=None, timeout=60):
        """(status, headers with lower-case names, JSON or text)."""
        connection = http.client.HTTPConnection(
            self.host, self.port, timeout=timeout)
        try:
            heads = dict(headers or {})
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            if body is not None:
                heads.setdefault("Content-Type", "application/json")
            connection.request(method, path, body, heads)
            reply = connection.getresponse()
            data = reply.read()
        finally:
            connection.close()
        names = {k.lower(): v for k, v in reply.getheaders()}
        answers.note(method, path, reply.status, names, data)
        if names.get("content-type", "").startswith("application/json"):
            return reply.status, names, json.loads(
                data, object_pairs_hook=unique)
        return reply.status, names, data.decode(errors="replace")

    def get(self, path, timeout=60, headers=None):
        return self.request("GET", path, None, headers, timeout)

    def post(self, path, body=None, timeout=120, headers=None):
        return self.request("POST", path, body, headers, timeout)

    def execute(self, code, **fields):
        """POST /execute; the answer, which has to be a 200."""
        body = {"code": code, **fields}
        status, _, answer = self.post("/execute", body)
        assert status == 200, (status, answer)
        return answer

    def run(self, code, **fields):
        """Runs to its end; the whole record (view=full)."""
        return self.record(self.execute(code, **fields)["execution_id"])

    def record(self, job_id):
        status, _, answer = self.get("/executions/%s?view=full" % job_id)
        assert status == 200, (status, answer)
        return answer

    def submit(self, code, **fields):
        """POST /execute/async; the job's id."""
        status, _, answer = self.post("/execute/async",
                                      {"code": code, **fields})
        assert status == 200, (status, answer)
        return answer["job_id"]

    def wait(self, job_id, seconds=60):
        """Waits for the end; the whole record."""
        end = time.monotonic() + max(seconds, host.PATIENCE)
        while True:
            left = max(1, min(300, int(end - time.monotonic())))
            status, _, answer = self.get(
                "/jobs/%s/result?wait=true&timeout=%d&view=full"
                % (job_id, left), timeout=left + 30)
            if status == 200 and answer["status"] in TERMINAL:
                return answer
            assert status in (200, 408), (status, answer)
            if time.monotonic() > end:
                raise host.Deadline("job %s does not end: %r"
                                    % (job_id, answer))

    def wait_status(self, job_id, *wanted, seconds=30):
        """Waits until GET /jobs/ID shows one of the states."""
        def probe():
            answer = self.get("/jobs/" + job_id)[2]
            return answer if answer.get("status") in wanted else None
        return host.wait_for("%s is %s" % (job_id, "/".join(wanted)),
                             probe, seconds)

    def wait_code(self, job_id, seconds=30):
        """Waits until a worker has handed the job's code over."""
        host.wait_for("the code of %s runs" % job_id, lambda: any(
            w["job_id"] == job_id and w["state"] == "running"
            for w in self.workers()), seconds)

    def stats(self):
        return self.get("/pool/stats")[2]

    def workers(self):
        """Its children as takoctl shows them: name, pid, job_id ..."""
        shown = self.takoctl("--json", "workers", check=True).stdout
        return json.loads(shown)["workers"]

    def takoctl(self, *args, check=False):
        """takoctl on this daemon; a CompletedProcess with text."""
        done = subprocess.run(
            [shared.program("takoctl"), "-c", self.file, *args], env=self.env,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120)
        if check:
            assert done.returncode == 0, (args, done.stderr, done.stdout)
        return done


