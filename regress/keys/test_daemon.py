"""
Keys whose effect is in the daemon: who it runs as, what it takes and how much,
how often it tries, where things are. Few daemons, each with many keys.
"""
import json
import os
import pwd
import socket
import stat
import subprocess
import time

import pytest

from lib import host, shared
from lib.host import free_port

KEY = "0123456789abcdef"

# Of this run alone: two takods of a host may not have the same, and those that
# takod chooses itself begin at 1880000000.
UID_BASE = 1800000000 + os.getpid() % 65536 * 1024


def reload(takod, **keys):
    takod.write_config(**keys)
    takod.takoctl("reload", check=True)


# ---- where things are, and who it is -----------------------------------------

@pytest.fixture(scope="module")
def placed(shared_things, tmp_path_factory):
    """Root file systems, runtime, sockets and users of its own."""
    from conftest import end, make
    folder = tmp_path_factory.mktemp("placed")
    os.chmod(folder, 0o711)
    for name in ("root", "base"):
        subprocess.run(["cp", "-al", shared.rootfs(), str(folder / name)],
                       check=True)
        # A new file: the others are hard links.
        (folder / name / "etc" / "which-root").write_text(name)
    wrapper = folder / "runtime"
    wrapper.write_text('#!/bin/sh\necho "$*" >> %s/calls\nexec runc "$@"\n'
                       % folder)
    wrapper.chmod(0o755)
    profile = json.loads(subprocess.run(
        [shared.program("regress/tools/engine_drive"), "-S"],
        capture_output=True, check=True).stdout)
    for rule in profile["syscalls"]:
        rule["names"] = [n for n in rule["names"] if n != "getpriority"]
    (folder / "profile.json").write_text(json.dumps(profile))
    daemon = make(
        "oci", "runc", config={
            "database_url": "sqlite:///%s/own.db" % folder,
            "rootfs": str(folder / "root"), "runc_path": str(wrapper),
            "runc_args": ["--debug"], "api_user": "daemon",
            "worker_user": "games", "uid_base": UID_BASE,
            "control_socket": str(folder / "control"),
            "seccomp_profile_path": str(folder / "profile.json"),
            "production_mode": True, "max_workers": 2, "max_queue_size": 2,
            "warm_pool_size": 1, "default_timeout": 1,
            "api_hostnames": ["takod.example"],
            "job_types": [{"name": "other", "warm_pool_size": 2,
                           "base_image": str(folder / "base")}]})
    daemon.folder = folder
    yield daemon
    end(daemon)


def test_root_file_systems(placed):
    code = "print(open('/etc/which-root').read())"
    assert placed.execute(code)["stdout"] == "root\n"
    assert placed.execute(code, job_type="other")["stdout"] == "base\n"


def test_runtime_and_its_arguments(placed):
    calls = (placed.folder / "calls").read_text().splitlines()
    runs = [call for call in calls if " run " in call]
    assert runs and all(call.startswith("--debug ") for call in runs), calls


def test_arguments_of_gvisor(start, tmp_path):
    wrapper = tmp_path / "runsc"
    wrapper.write_text('#!/bin/sh\necho "$*" >> %s/calls\nexec runsc "$@"\n'
                       % tmp_path)
    wrapper.chmod(0o755)
    takod = start("oci", "runsc", config={
        "runsc_path": str(wrapper), "runsc_args": ["--strace=false"],
        "warm_pool_size": 0})
    assert takod.execute("print(1)")["stdout"] == "1\n"
    runs = [call for call in (tmp_path / "calls").read_text().splitlines()
            if " run " in call]
    # takod's own word on the network comes after it.
    assert runs and all(call.startswith("--strace=false --network=none ")
                        for call in runs), runs


def test_users(placed):
    api, = placed.children("tako-api")
    assert host.Process(api).uids()[0] == pwd.getpwnam("daemon").pw_uid
    uids = {host.Process(pid).uids()[0]
            for pid in placed.children("tako-worker")}
    assert uids == {pwd.getpwnam("games").pw_uid}
    shown = placed.execute("print(open('/proc/self/uid_map').read().split())")
    outside = int(eval(shown["stdout"])[1])
    assert UID_BASE <= outside < UID_BASE + 1024


def test_control_socket(placed):
    mode = os.stat(placed.folder / "control").st_mode
    assert stat.S_ISSOCK(mode)
    assert not os.path.exists(placed.data_dir + "/takod.sock")


def test_system_call_profile(placed):
    """The one that is named refuses what the installed one allows."""
    code = ("import os\ntry:\n    print(os.getpriority(os.PRIO_PROCESS, 0))\n"
            "except OSError as e:\n    print(e.errno)\n")
    assert placed.execute(code)["stdout"] in ("1\n", "38\n")


def test_data(placed):
    assert os.stat(placed.data_dir).st_mode & 0o777 == 0o700
    job = placed.execute("print(1)")["execution_id"]
    # Records are where database_url says, not where they are by default.
    assert not os.path.exists(placed.data_dir + "/takod.db")
    assert any(job.encode() in path.read_bytes()
               for path in placed.folder.glob("own.db*"))


def test_ready_slots(placed):
    def ready():
        return sorted(w["job_type"] for w in placed.workers()
                      if w["state"] == "ready")
    host.wait_for("one and two slots are ready",
                  lambda: ready() == ["default", "other", "other"], 30)
    reload(placed, warm_pool_size=0)
    host.wait_for("two slots are ready",
                  lambda: ready() == ["other", "other"], 30)
    reload(placed, warm_pool_size=1)


def test_places_and_queue(placed):
    """Two run, two wait, one is told to come again; a third place lets one
    more run."""
    slow = "import time\ntime.sleep(30)"
    jobs = [placed.submit(slow, timeout=60) for _ in range(2)]
    for job in jobs:
        placed.wait_status(job, "running")
    jobs += [placed.submit(slow, timeout=60) for _ in range(2)]
    status, _, answer = placed.post("/execute/async", {"code": slow})
    assert status == 503, answer
    assert placed.stats()["running"] == 2
    reload(placed, max_workers=3)
    host.wait_for("three run", lambda: placed.stats()["running"] == 3, 20)
    reload(placed, max_queue_size=3)
    jobs += [placed.submit(slow, timeout=60) for _ in range(2)]
    reload(placed, max_workers=2, max_queue_size=2)
    for job in jobs:
        placed.post("/jobs/%s/cancel" % job)
    for job in jobs:
        assert placed.wait(job)["status"] == "cancelled"


def test_unknown_types_in_production(placed):
    record = placed.run("print(1)", job_type="nothing")
    assert record["error"]["type"] == "config_error"
    reload(placed, production_mode=False)
    assert placed.run("print(1)", job_type="nothing")["stdout"] == "1\n"
    reload(placed, production_mode=True)


def test_time_of_who_names_none(placed):
    """default_timeout; the type `default` has a time of its own, 30 s."""
    record = placed.run("import time\ntime.sleep(60)")
    assert record["status"] == "timeout", record
    assert 900 <= record["timing"]["execution_ms"] <= 20000, record["timing"]
    code = "import time\ntime.sleep(2)\nprint('slept')"
    record = placed.run(code, job_type="default")
    assert record["stdout"] == "slept\n", record


def test_names_for_local_clients(placed):
    for name, status in (("takod.example", 200), ("TAKOD.example:80", 200),
                         ("other.example", 401)):
        assert placed.get("/pool/stats", headers={"Host": name})[0] == status
    reload(placed, api_hostnames=["other.example"])
    assert placed.get("/pool/stats", headers={
        "Host": "other.example"})[0] == 200
    assert placed.get("/pool/stats", headers={
        "Host": "takod.example"})[0] == 401


# ---- what it takes -----------------------------------------------------------

@pytest.fixture(scope="module")
def front(shared_things):
    from conftest import end, make
    daemon = make("oci", "runc", config={
        "api_max_payload_bytes": 6000, "max_code_bytes": 2000,
        "max_input_bytes": 3000, "max_timeout": 40, "default_timeout": 20,
        "max_startup_timeout": 50, "default_startup_timeout": 40,
        "api_max_connections": 40, "api_max_connections_per_source": 4})
    yield daemon
    end(daemon)


def test_size_of_code(front):
    code = "#" * 1990 + "\nprint(1)"
    assert front.post("/execute", {"code": code[-2000:]})[0] == 200
    status, _, answer = front.post("/execute", {"code": "#" * 2001})
    assert status == 422 and "code" in json.dumps(answer), answer
    reload(front, max_code_bytes=2500)
    assert front.post("/execute", {"code": "#" * 2001})[0] == 200
    # Larger than before is written whole, too: the container's /code.
    assert front.execute("#" * 2400 + "\nprint('end')")["stdout"] == "end\n"


def test_size_of_input(front):
    good = {"code": "import json\nprint(len(open('/input/data.json').read()))",
            "input_data": {"a": "x" * 2900}}
    assert 2900 < int(front.execute(**good)["stdout"]) <= 3000
    status, _, answer = front.post("/execute", {
        "code": "1", "input_data": {"a": "x" * 3001}})
    assert status == 422 and "input_data" in json.dumps(answer), answer


def test_size_of_a_body(front):
    body = b'{"code": "1"' + b" " * 7000 + b"}"
    status, _, answer = front.post("/execute", body)
    assert status == 413, answer
    reload(front, api_max_payload_bytes=8000)
    assert front.post("/execute", body)[0] == 200


def test_ceilings(front):
    for field, most in (("timeout", 40), ("startup_timeout", 50)):
        assert front.post("/execute", {"code": "1", field: most})[0] == 200
        status, _, answer = front.post("/execute", {
            "code": "1", field: most + 1})
        assert status == 422 and field in json.dumps(answer), answer


def test_connections(front):
    def connect(source="127.0.0.1"):
        return socket.create_connection(("127.0.0.1", front.port), 10,
                                        (source, 0))

    def answered(sock, status):
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return sock.recv(65536).startswith(b"HTTP/1.1 %d " % status)
    host.wait_for("former connections are gone", lambda: len([
        name for name in os.listdir("/proc/%d/fd"
                                    % front.children("tako-api")[0])]) < 20)
    held = [connect() for _ in range(4)]
    assert all(answered(sock, 200) for sock in held)
    with connect() as one_more:
        assert answered(one_more, 503)
    # In all, of whatever source.
    reload(front, api_max_connections=5)
    with connect("127.0.0.2") as fifth:
        assert answered(fifth, 200)
        with connect("127.0.0.2") as one_more:
            assert answered(one_more, 503)
    for sock in held:
        sock.close()


@pytest.mark.parametrize("key,sent,status", [
    ("api_header_timeout", b"GET /health HTTP/1.1\r\nHost: loc", 408),
    ("api_body_timeout", b"POST /execute HTTP/1.1\r\nHost: localhost\r\n"
     b"Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{", 408),
    ("api_idle_timeout", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
     200)])
def test_patience(front, key, sent, status):
    """A little of it, not the default's ten and more."""
    reload(front, api_max_connections=40, **{key: 1.5})
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", front.port), 20) as sock:
        sock.sendall(sent)
        got = b""
        while chunk := sock.recv(65536):
            got += chunk
        assert 1.4 <= time.monotonic() - began < 9
    assert got.startswith(b"HTTP/1.1 %d " % status), got
    reload(front, **{key: None})


def test_patience_with_a_reader(front):
    """A client that takes no answer is let go."""
    job = front.submit("print('x' * 60000)")
    front.wait(job)
    reload(front, api_write_timeout=0.5)
    ask = (b"GET /executions/%s?view=full HTTP/1.1\r\nHost: localhost\r\n"
           b"\r\n" % job.encode())
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", front.port))
        sock.sendall(ask * 200)

        def let_go():
            try:
                sock.send(ask)
            except (ConnectionResetError, BrokenPipeError):
                return True
            return False
        host.wait_for("the front lets go", let_go, 10)
    reload(front, api_write_timeout=None)


def test_rate(front):
    reload(front, api_rate_limit_enabled=True, api_rate_limit_requests=5,
           api_rate_limit_window_seconds=300)
    answers = [front.get("/pool/stats")[:2] for _ in range(8)]
    assert [status for status, _ in answers] == [200] * 5 + [429] * 3
    assert 200 < int(answers[-1][1]["retry-after"]) <= 301
    reload(front, api_rate_limit_window_seconds=1)
    host.wait_for("a window later it is served again",
                  lambda: front.get("/pool/stats")[0] == 200, 10, 0.2)
    reload(front, api_rate_limit_enabled=False)
    assert all(front.get("/pool/stats")[0] == 200 for _ in range(8))


def test_keys_and_their_header(front):
    reload(front, api_auth_enabled=True, api_keys=[KEY],
           api_auth_header="X-Mine")
    assert front.get("/pool/stats")[0] == 401
    assert front.get("/pool/stats", headers={"X-API-Key": KEY})[0] == 401
    assert front.get("/pool/stats", headers={"X-Mine": KEY})[0] == 200
    reload(front, api_auth_enabled=False, api_keys=None, api_auth_header=None)


def test_served_without_keys(front):
    """Others than this host, where something else is said to guard."""
    headers = {"X-Forwarded-For": "192.0.2.9", "Host": "anything.example"}
    reload(front, server_host="0.0.0.0")
    front.host = host.own_address()
    try:
        assert front.get("/pool/stats", headers=headers)[0] == 401
        reload(front, allow_unauthenticated_network_access=True)
        assert front.get("/pool/stats", headers=headers)[0] == 200
        assert front.execute("print(1)")["stdout"] == "1\n"
    finally:
        front.host = "127.0.0.1"
        reload(front, server_host=None,
               allow_unauthenticated_network_access=None)


# ---- how often it tries ------------------------------------------------------

@pytest.fixture
def failing(start, tmp_path):
    """A runtime that fails while a file is there, and writes when it did."""
    runtime, flag = tmp_path / "runtime", tmp_path / "fails"
    log = tmp_path / "times"
    runtime.write_text(
        '#!/bin/sh\ncase " $* " in\n*" run "*)\n'
        '\t[ -e "%s" ] && { date +%%s.%%N >> "%s"; exit 1; } ;;\nesac\n'
        'exec runc "$@"\n' % (flag, log))
    runtime.chmod(0o755)
    takod = start("oci", "runc", config={
        "runc_path": str(runtime), "warm_pool_size": 0,
        "max_retry_attempts": 3, "retry_base_delay": 0.4,
        "queue_wait_timeout": 0.1})

    def fail():
        """How a job ends whose starts fail, and the times between them."""
        log.write_text("")
        flag.touch()
        record = takod.run("print(1)")
        flag.unlink()
        # One that runs: the engine is believed in again.
        assert takod.execute("print(2)")["stdout"] == "2\n"
        times = [float(text) for text in log.read_text().split()]
        return record, [b - a for a, b in zip(times, times[1:])]
    takod.fail = fail
    return takod


def test_attempts_and_delays(failing):
    record, gaps = failing.fail()
    assert record["status"] == "failed", record
    assert record["error"]["type"] == "docker_error", record
    # Three in all, after 0.4 and 0.8 s, ten per cent either way, or later.
    assert len(gaps) == 2, gaps
    assert gaps[0] >= 0.3 and gaps[1] >= 0.7, gaps
    reload(failing, max_retry_attempts=1)
    assert failing.fail()[1] == []


def test_look_at_the_queue(failing):
    """What becomes due without a wake-up is found that late."""
    reload(failing, retry_base_delay=0.1, max_retry_attempts=2)

    def gap():
        record, gaps = failing.fail()
        assert len(gaps) == 1, gaps
        return gaps[0]
    host.wait_for("one is found soon", lambda: gap() < 1.5)
    reload(failing, queue_wait_timeout=2.5)
    assert gap() > 1


# ---- how long a start may take -----------------------------------------------

def test_time_of_a_start(start, tmp_path):
    """Of a type, and of who names no type."""
    runtime, flag = tmp_path / "runtime", tmp_path / "hangs"
    runtime.write_text('#!/bin/sh\ncase " $* " in\n*" run "*)\n'
                       '\t[ -e "%s" ] && exec sleep 1000 ;;\nesac\n'
                       'exec runc "$@"\n' % flag)
    runtime.chmod(0o755)
    takod = start("oci", "runc", config={
        "runc_path": str(runtime), "warm_pool_size": 0,
        "default_startup_timeout": 12,
        "job_types": [{"name": "quick", "startup_timeout": 10}]})
    flag.touch()
    jobs = {10: takod.submit("1", job_type="quick"), 12: takod.submit("1")}
    for seconds, job in jobs.items():
        record = takod.wait(job, 60)
        assert record["error"]["type"] == "startup_timeout", record
        assert record["takod"]["startup_timeout"] == seconds
        assert seconds <= record["timing"]["total_ms"] / 1000 < seconds + 15
    flag.unlink()


# ---- switches off ------------------------------------------------------------

SWITCHES = r"""
import ctypes, json
libc = ctypes.CDLL(None, use_errno=True)
status = open('/proc/self/status').read()
family = libc.socket(38, 5, 0)  # AF_ALG: the filter knows no use for it
print(json.dumps({'status': status, 'alg': family >= 0
                  or ctypes.get_errno() == 97,
                  'map': open('/proc/self/uid_map').read().split()}))
"""


@pytest.mark.parametrize("engine", ["oci", "docker"])
def test_switches(start, engine, sanitized):
    """Under runc, where they reach the host's kernel: each on and off."""
    takod = start(engine, "runc", config={
        "enable_seccomp": False, "enable_cap_restrictions": False,
        "enable_userns": False})

    def seen():
        facts = json.loads(takod.execute(SWITCHES)["stdout"])
        fields = dict(line.split(":\t", 1) for line in
                      facts["status"].splitlines() if ":\t" in line)
        return (int(fields["Seccomp"]), int(fields["CapBnd"], 16),
                facts["map"][1] != "0", facts["alg"])
    # takod's own filter is on all that it starts, and lets this socket be.
    own = 2 if engine == "oci" and not sanitized else 0
    assert seen() == (own, 0xa80425fb, False, True)
    reload(takod, enable_cap_restrictions=True, enable_userns=True)
    # With Docker the engine decides, and this one maps no ids.
    assert seen() == (own, 0, engine == "oci", True)
    takod.stop()
    takod.write_config(enable_seccomp=True)
    takod.start()
    assert seen() == (2, 0, engine == "oci", False)


# ---- Docker's own ------------------------------------------------------------

def test_image_and_socket_of_docker(start):
    """docker_image: the container is of the image that is named; one that is
    not there is named to the job. docker_host: it is that engine's."""
    image = shared.docker_image()
    shared.docker_api("POST", "/images/%s/tag?repo=another&tag=name" % image)
    takod = start("docker", "runc", config={
        "docker_image": "another:name", "job_types": [
            {"name": "none", "base_image": "no-such:image"}]})
    job = takod.submit("import time\ntime.sleep(20)")
    takod.wait_status(job, "running")
    images = {shared.docker_api("GET", "/containers/%s/json" % c["Id"])[1][
        "Config"]["Image"] for c in takod.docker_containers()}
    assert images == {"another:name"}
    takod.post("/jobs/%s/cancel" % job)
    record = takod.run("print(1)", job_type="none")
    assert record["error"]["type"] == "config_error", record
    assert "the image is not in the Docker Engine" in \
        record["error"]["message"], record
