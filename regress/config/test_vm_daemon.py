"""
test_vm_daemon.py: tako-vm server and tako-vm status, with a real daemon.
"""
import http.server
import json
import subprocess
import threading

import pytest

from lib import host, shared
from lib.host import free_port


def vm(*args):
    done = subprocess.run(
        [shared.program("tako-vm"), *args], stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_server_and_status(start):
    takod = start("oci", "runc")
    takod.stop()
    # Another port than the file's, by the flag.
    takod.port = free_port()
    with open(takod.log_path, "ab") as log:
        takod.proc = subprocess.Popen(
            [shared.program("tako-vm"), "-c", takod.file, "server",
             "--host", "127.0.0.1", "--port", str(takod.port)],
            cwd=takod.dir, env=takod.env, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True)
    takod.pid = takod.proc.pid
    host.note_daemon(takod.pid)
    takod.wait_ready()
    assert takod.execute("print(1)")["stdout"] == "1\n"

    url = "http://127.0.0.1:%d" % takod.port
    code, out, err = vm("status", "--url", url + "/")
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == ["Status: healthy", "Engine: available"]
    code, out, _ = vm("status", "--json", "--url", url)
    assert code == 0 and json.loads(out)["status"] == "healthy"
    # Without --url it is asked where the file says, and there is nobody.
    code, out, err = vm("-c", takod.file, "status")
    assert (code, out) == (1, "")
    assert err.startswith("Error: cannot ask http://127.0.0.1:%d: "
                          % takod.keys["server_port"])
    takod.stop()
    assert vm("status", "--url", url)[0] == 1


def test_status_where_the_file_says(start):
    takod = start("oci", "runc")
    code, out, err = vm("-c", takod.file, "status")
    assert (code, err) == (0, "") and out.startswith("Status: healthy\n")


@pytest.mark.parametrize("status,body,want", [
    (200, b"hello", "invalid JSON"), (200, b"[]", "invalid JSON"),
    (404, b"not\x1b[2Jhere", "server returned HTTP 404\n  not\\x1b"),
    (200, b'{"status": "' + b"x" * 100000, "cannot ask")])
def test_status_of_another_server(status, body, want):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                pass  # it has hung up: that is what is tested

        def log_message(self, *args):
            pass
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            code, out, err = vm("status", "--url", "http://127.0.0.1:%d"
                                % server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
    assert (code, out) == (1, "") and want in err
    assert "\x1b" not in err


@pytest.mark.parametrize("args", [
    ("server", "--port", "0"), ("server", "--port", "x"),
    ("server", "--host", "not a name")])
def test_server_with_a_bad_flag(args):
    code, _, err = vm(*args)
    assert code == 78, err
    assert "TAKO_VM_SERVER_%s: " % args[1][2:].upper() in err
