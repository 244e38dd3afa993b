"""
test_reload.py: the configuration taken anew by SIGHUP and takoctl reload,
with real jobs before, across and after it.
"""
import http.client
import json
import signal
import socket
import threading
import time

import pytest

from lib import host
from lib.host import free_port


def reload(takod, *args, code=0):
    # By its socket: takoctl would read a file that is not valid as well.
    done = takod.takoctl("-s", takod.data_dir + "/takod.sock", "--json",
                         "reload", *args)
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def test_nothing_has_changed(start):
    takod = start("oci", "runc")
    assert reload(takod) == {"changes": [], "errors": []}
    done = takod.takoctl("reload", check=True)
    assert done.stdout == "nothing has changed\n"


def test_changes_take_effect(start):
    takod = start("oci", "runc", config={
        "max_timeout": 100, "job_types": [
            {"name": "mine", "environment": {"A": "secret-one"}}]})
    shown = "import os; print(os.environ.get('A'))"
    assert takod.execute(shown, job_type="mine")["stdout"] == "secret-one\n"
    takod.write_config(max_timeout=50, job_types=[
        {"name": "mine", "environment": {"A": "secret-two"}},
        {"name": "another", "environment": {"A": "new"}}],
        container_limits={"nofile_soft": 99, "nofile_hard": 99},
        max_stdout_bytes=2048)
    would = reload(takod, "--dry-run")
    assert takod.execute(shown, job_type="mine")["stdout"] == "secret-one\n"
    assert reload(takod)["changes"] == would["changes"]
    by_key = {c["key"]: c for c in would["changes"]}
    assert by_key["max_timeout"] == {
        "key": "max_timeout", "before": 100, "after": 50, "restart": False}
    assert by_key["job_types"]["before"] == "mine"
    assert by_key["job_types"]["after"] == "mine another"
    assert "secret" not in json.dumps(would) + takod.log()

    assert takod.execute(shown, job_type="mine")["stdout"] == "secret-two\n"
    assert takod.execute(shown, job_type="another")["stdout"] == "new\n"
    record = takod.execute("import resource\n"
                           "print(resource.getrlimit("
                           "resource.RLIMIT_NOFILE))")
    assert record["stdout"] == "(99, 99)\n"
    assert len(takod.execute("print('x' * 9999)")["stdout"]) <= 2048
    status, _, _ = takod.post("/execute", {"code": "1", "timeout": 60})[:3]
    assert status in (400, 422)


def test_sighup(start):
    takod = start("oci", "runc", config={"log_level": "INFO"})
    takod.write_config(log_level="DEBUG")
    takod.proc.send_signal(signal.SIGHUP)
    host.wait_for("the log says so", lambda:
                  'reload: log_level: "INFO" -> "DEBUG"' in takod.log(), 10)
    assert takod.execute("print(1)")["stdout"] == "1\n"
    assert " DEBUG takod[" in takod.log()


def test_invalid_file_changes_nothing(start):
    """Row T30 of the fault catalogue."""
    takod = start("oci", "runc", config={"max_workers": 2})
    takod.write_config(max_workers=0, no_such_key=1)
    answer = reload(takod, code=78)
    assert answer["changes"] == []
    assert [e["key"] for e in answer["errors"]] == [
        "max_workers", "no_such_key"]
    assert all(e["line"] > 0 and e["file"] == takod.file
               for e in answer["errors"])
    done = takod.takoctl("-s", takod.data_dir + "/takod.sock", "reload", "-n")
    assert done.returncode == 78 and done.stdout == ""
    assert "max_workers: must be " in done.stderr
    assert "nothing has changed" in done.stderr
    assert "reload: " in takod.log() and "max_workers" in takod.log()
    done = takod.takoctl("reload")
    assert done.returncode == 78 and "max_workers: must be " in done.stderr
    assert takod.execute("print(1)")["stdout"] == "1\n"


def test_what_needs_a_restart_is_named(start):
    takod = start("oci", "runc", config={"max_timeout": 100})
    takod.write_config(data_dir="/nonexistent/x", enable_seccomp=False,
                       max_timeout=90)
    changes = {c["key"]: c["restart"] for c in reload(takod)["changes"]}
    assert changes == {"data_dir": True, "enable_seccomp": True,
                       "max_timeout": False}
    done = takod.takoctl("-s", takod.data_dir + "/takod.sock", "reload")
    assert "needs a restart" in done.stdout
    assert "max_timeout" not in done.stdout
    # Still filtered: what needs a restart has not half changed.
    status = takod.execute("print([l for l in open('/proc/self/status') "
                           "if l.startswith('Seccomp:')])")["stdout"]
    assert "2" in status


def test_another_port(start):
    takod = start("oci", "runc")
    old, takod_port = takod.port, free_port()
    kept = http.client.HTTPConnection("127.0.0.1", old, timeout=20)
    kept.request("GET", "/health")
    assert kept.getresponse().read()
    takod.write_config(server_port=takod_port)
    reload(takod)
    # A connection that is there goes on; new ones go to the other port.
    kept.request("GET", "/health")
    assert kept.getresponse().status == 200
    kept.close()
    takod.port = takod_port
    host.wait_for("the new port answers",
                  lambda: takod.get("/health")[0] == 200, 10)

    def refused():
        try:
            socket.create_connection(("127.0.0.1", old), 5).close()
        except ConnectionRefusedError:
            return True
        return False
    host.wait_for("the old one is closed", refused, 10)
    takod.url = "http://127.0.0.1:%d" % takod_port
    assert takod.execute("print(1)")["stdout"] == "1\n"


def test_other_addresses_under_load(start):
    """To every address of the host and back: no client is lost, and the
    port is takod's alone all the time."""
    takod = start("oci", "runc", config={"api_max_connections_per_source":
                                         200})
    wrong, sent, over = [], [], threading.Event()

    def client():
        while not over.is_set():
            try:
                status, _, health = takod.get("/health", timeout=20)
                if status != 200:
                    wrong.append(health)
            except Exception as error:  # any at all is what is looked for
                wrong.append(repr(error))
            sent.append(1)
    threads = [threading.Thread(target=client) for _ in range(6)]
    for thread in threads:
        thread.start()
    other = host.own_address()
    for _ in range(4):
        for name in ("0.0.0.0", "127.0.0.1"):
            takod.write_config(server_host=name)
            reload(takod)
            before = len(sent)
            host.wait_for("clients are served",
                          lambda: len(sent) > before + 20, 20)
            with socket.socket() as thief, \
                    pytest.raises(OSError, match="in use"):
                thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                thief.bind(("127.0.0.1", takod.port))
                thief.listen()
            if name == "0.0.0.0":
                with socket.create_connection((other, takod.port), 5):
                    pass
    over.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]

    def refused():
        try:
            socket.create_connection((other, takod.port), 5).close()
        except ConnectionRefusedError:
            return True
        return False
    host.wait_for("nobody listens there any more", refused, 20)
    assert takod.execute("print(1)")["stdout"] == "1\n"


def test_wildcard_that_goes_accepts_who_waits(start):
    """Clients whose connection the front has not accepted yet when their
    listener goes: the front is stopped meanwhile."""
    takod = start("oci", "runc", config={"server_host": "0.0.0.0"})
    front = takod.children("tako-api")[0]
    host.signal_pid(front, signal.SIGSTOP)
    waiting = [socket.create_connection(("127.0.0.1", takod.port), 10)
               for _ in range(20)]
    takod.write_config(server_host="127.0.0.1")
    reload(takod)
    host.signal_pid(front, signal.SIGCONT)
    for connection in waiting:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
                           b"Connection: close\r\n\r\n")
        assert connection.makefile("rb").readline().startswith(
            b"HTTP/1.1 200 ")
        connection.close()


def test_port_that_is_taken(start):
    takod = start("oci", "runc", config={"max_timeout": 100})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        takod.write_config(server_port=taken.getsockname()[1],
                           max_timeout=77)
        done = takod.takoctl("reload")
    assert done.returncode == 78 and "cannot listen on port" in done.stderr
    assert takod.execute("print(1)")["stdout"] == "1\n"
    # Nothing has changed, the timeout neither: it is seen as a change still.
    takod.write_config(server_port=takod.port)
    assert [c["key"] for c in reload(takod)["changes"]] == ["max_timeout"]


def test_keys(start):
    """Row T30 of the fault catalogue."""
    takod = start("oci", "runc")
    key = "0123456789abcdef"
    takod.write_config(api_auth_enabled=True, api_keys=[key])
    answer = reload(takod)
    assert key not in json.dumps(answer)
    assert takod.get("/jobs/nothing")[0] == 401
    takod.write_config(api_keys=["f" * 16])
    assert [c["key"] for c in reload(takod)["changes"]] == ["api_keys"]
    takod.write_config(api_auth_enabled=False, api_keys=None)
    reload(takod)
    assert takod.get("/jobs/nothing")[0] == 404


def test_while_stopping(start):
    takod = start("oci", "runc")
    job = takod.submit("import time\ntime.sleep(5)")
    takod.wait_status(job, "running")
    takod.proc.send_signal(signal.SIGTERM)
    host.wait_for("it drains", lambda: "stopping: " in takod.log(), 10)
    takod.proc.send_signal(signal.SIGHUP)
    host.wait_for("the log says so",
                  lambda: "reload: takod is stopping" in takod.log(), 10)
    takod.stop()


def test_under_load(start):
    """Row T30 of the fault catalogue."""
    takod = start("oci", "runc", config={"max_workers": 20,
                                         "max_queue_size": 1000})
    slow = [takod.submit("import time\ntime.sleep(8)\nprint('slept')")
            for _ in range(16)]
    wrong, sent, over = [], [], threading.Event()

    def client():
        while not over.is_set():
            try:
                record = takod.execute("print(7)")
                if record["stdout"] != "7\n":
                    wrong.append(record)
            except Exception as error:  # any at all is what is looked for
                wrong.append(repr(error))
            sent.append(1)
    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun, turn = time.monotonic(), 0
    # It may be busy, but not without end.
    while time.monotonic() - begun < (10 if len(sent) > 50 else 60):
        takod.write_config(max_workers=18 + turn % 3,
                           max_timeout=100 + turn % 7)
        takod.proc.send_signal(signal.SIGHUP)
        turn += 1
        over.wait(0.1)
    over.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    assert len(sent) > 50
    for job in slow:
        record = takod.wait(job, 60)
        assert (record["status"], record["stdout"]) == (
            "succeeded", "slept\n"), record
    assert takod.log().count("reload: max_timeout") >= 20
