"""
test_access.py: API keys in files, their rotation, guesses, and the rate at its
bounds.
"""
import os
import socket
import time

import pytest

from lib import host

KEYS = {name: "0123456789abcdef-" + name for name in ("anna", "bert", "carl")}


def reload(daemon, code=0, **keys):
    daemon.write_config(**keys)
    done = daemon.takoctl("reload")
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def ask(daemon, key=None, source="127.0.0.1", path="/pool/stats"):
    """(status, Retry-After or None)"""
    with socket.socket() as sock:
        sock.settimeout(20)
        sock.bind((source, 0))
        sock.connect((daemon.host, daemon.port))
        sock.sendall(("GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: "
                      "close\r\n%s\r\n" % (path, "X-API-Key: %s\r\n" % key
                                           if key else "")).encode())
        head = sock.makefile("rb").read().decode()
    wait = [line.split(": ")[1] for line in head.split("\r\n")
            if line.startswith("Retry-After")]
    return int(head.split()[1]), int(wait[0]) if wait else None


@pytest.fixture(scope="module")
def daemon(shared_things):
    from conftest import end, make
    folder = os.path.join(host.scratch(), "credentials")
    os.mkdir(folder, 0o700)
    with open(os.path.join(folder, "carl"), "w") as file:
        file.write(KEYS["carl"])
    made = make("oci", "runc", config={"warm_pool_size": 0},
                env={"CREDENTIALS_DIRECTORY": folder})
    yield made
    end(made)


def write(daemon, name, text):
    path = os.path.join(daemon.dir, "keys", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    return path


def test_key_files(daemon):
    """A file, a folder and a credential; each key is named as its file."""
    single = write(daemon, "../anna", KEYS["anna"] + "\n")
    write(daemon, "bert", KEYS["bert"])
    write(daemon, ".hidden", "not a key")
    reload(daemon, api_auth_enabled=True, api_key_files=[
        single, os.path.join(daemon.dir, "keys"), "carl"])
    assert ask(daemon)[0] == 401
    for name, key in KEYS.items():
        assert ask(daemon, key)[0] == 200, name
    status, _, answer = daemon.post("/execute", {"code": "1"},
                                    headers={"X-API-Key": KEYS["carl"]})
    assert status == 200
    record = daemon.get("/executions/%s?view=full" % answer["execution_id"],
                        headers={"X-API-Key": KEYS["anna"]})[2]
    assert record["takod"]["key"] == "carl"
    printed = daemon.takoctl("reload", "-n").stdout + daemon.log()
    assert not [key for key in KEYS.values() if key in printed]


def test_rotation(daemon):
    """Files alone change, and reload takes them; no key of the file did."""
    path = write(daemon, "bert", KEYS["bert"] + "-2")
    assert "api_keys" in reload(daemon).stdout
    assert ask(daemon, KEYS["bert"])[0] == 401
    assert ask(daemon, KEYS["bert"] + "-2")[0] == 200
    # Both at a time: a second file, then the first goes.
    write(daemon, "bert-new", KEYS["bert"])
    reload(daemon)
    assert ask(daemon, KEYS["bert"])[0] == ask(
        daemon, KEYS["bert"] + "-2")[0] == 200
    os.unlink(path)
    reload(daemon)
    assert ask(daemon, KEYS["bert"] + "-2")[0] == 401
    for name, text, wrong in (
            ("short", "short", "16 characters"),
            ("two", KEYS["bert"] + "-3\nmore", "control characters"),
            ("not a name", KEYS["bert"] + "-3", "called by"),
            ("twice", KEYS["bert"], "stands here twice"),
            ("anna", KEYS["bert"] + "-3", "another key has this name")):
        path = write(daemon, name, text)
        assert wrong in reload(daemon, 78).stderr, name
        assert ask(daemon, KEYS["bert"])[0] == 200
        os.unlink(path)
    done = reload(daemon, 78, api_key_files=["/nonexistent/key"])
    assert "/nonexistent/key: No such file" in done.stderr
    done = reload(daemon, 78, api_key_files=[])
    assert "at least one key" in done.stderr
    reload(daemon, api_key_files=["carl"])


@pytest.mark.parametrize("loose", [False, True])
def test_guesses(daemon, loose):
    """So many wrong keys, then they wait; a right one never does, nor others,
    nor who shows none."""
    source = "127.0.0.%d" % (21 + loose)
    reload(daemon, api_auth_failures=100000 if loose else 5)
    got = [ask(daemon, "guess-%d" % n, source) for n in range(8)]
    if loose:
        assert got == [(401, None)] * 8
        return
    assert got[:5] == [(401, None)] * 5
    assert [status for status, _ in got[5:]] == [429] * 3
    assert all(50 <= wait <= 61 for _, wait in got[5:])
    assert ask(daemon, KEYS["carl"], source)[0] == 200
    assert ask(daemon, None, source)[0] == 401
    assert ask(daemon, "guess-0", "127.0.0.23")[0] == 401
    reload(daemon, api_auth_failures=None)


def test_rate_at_its_bounds(daemon):
    """As many as it says, and the next one when Retry-After says so."""
    reload(daemon, api_auth_enabled=False, api_key_files=None,
           api_rate_limit_enabled=True, api_rate_limit_requests=4,
           api_rate_limit_window_seconds=4)
    began = time.monotonic()
    got = [ask(daemon, None, "127.0.0.31") for _ in range(6)]
    assert [status for status, _ in got] == [200] * 4 + [429] * 2
    assert {wait for _, wait in got[4:]} <= {3, 4}

    def again():
        return ask(daemon, None, "127.0.0.31")[0] == 200
    host.wait_for("one more", again, 10, 0.02)
    assert time.monotonic() - began >= 4
    # By now all of them are gone, and so many are let in again.
    assert [ask(daemon, None, "127.0.0.31")[0] for _ in range(4)] == [
        200] * 3 + [429]
    # Another one is not concerned.
    assert ask(daemon, None, "127.0.0.32")[0] == 200
    # And without limits nothing of it holds.
    reload(daemon, api_rate_limit_enabled=False)
    assert all(ask(daemon, None, "127.0.0.31")[0] == 200 for _ in range(8))
