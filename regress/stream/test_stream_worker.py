"""
tako-worker and tako-init together, with the test as the parent: a job from
JOB_START to JOB_DONE, and what is told of it.
"""
import hashlib
import os
import signal
import socket

import pytest

from stream_fixtures import box, worker  # noqa: F401
from stream_worker import UID, sealed

MAX = 65536
NOTICE = b"\n[TRUNCATED: output exceeded 65536 bytes]"
EXECUTION, COMPLETED = 3, 4  # enum job_phase


@pytest.fixture
def run(box, worker):
    """Runs code in a new container under a new worker."""
    def go(code, data=b"{}", **caps):
        made, one = box(), worker(**caps)
        one.setup(made.take)
        one.expect("WORKER_READY")
        one.start(code.encode() if isinstance(code, str) else code, data)
        go.worker = one
        return one.finish()
    return go


def test_hello(run):
    done = run("import sys\nprint('out')\nprint('err', file=sys.stderr)")
    assert (done.end, done.last["code"], done.last["error"]) == ("exited", 0,
                                                                 0)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    assert done.result is None and done.state == "absent"
    assert done.phases == [EXECUTION, COMPLETED] and done.artifacts == {}
    assert done.truncated == [False, False, None]
    assert done.last["message"] == ""
    assert done.last["output_incomplete"] == 0
    assert done.names == ["JOB_PHASE"] * 2 + ["JOB_OUTPUT"] * 2 + ["JOB_DONE"]
    assert done.last["execution_us"] > 0


def test_input_and_large_code(run):
    code = "x = 0\n" + "x += 1\n" * 200000
    code += "print(x, len(open('/input/data.json').read()))"
    done = run(code, b"{" + b" " * 1000000 + b"}")
    assert done.stdout == b"200000 1000002\n", done.stderr


def test_result_and_artifacts(run):
    done = run("""
import os
os.chdir('/output')
open('result.json', 'w').write(' {"a": [1.50, 1E5, "\\\\u0000"]}\\n')
open('a.txt', 'w').write('text')
open('pixel.bin', 'wb').write(b'\\x89PNG\\r\\n\\x1a\\n' + bytes(70000))
open('.hidden', 'w').write('x')
os.symlink('/etc/passwd', 'link')
open(b'\\xff', 'w').write('')
""")
    assert done.state == "ok"
    assert done.result == b' {"a": [1.50, 1E5, "\\u0000"]}\n'
    assert set(done.artifacts) == {"result.json", "a.txt", "pixel.bin",
                                   "\udcff"}
    png = done.artifacts["pixel.bin"]
    body = b"\x89PNG\r\n\x1a\n" + bytes(70000)
    assert png["size"] == len(body)
    assert png["sha256"] == hashlib.sha256(body).digest()
    assert png["content_type"] == "image/png"
    assert run.worker.file(png["number"]) == body
    assert done.artifacts["a.txt"]["content_type"] == "text/plain"
    first = done.artifacts["result.json"]
    assert first["number"] == 0
    assert first["content_type"] == "application/json"
    assert run.worker.file(0) == done.result
    mode = os.stat(os.path.join(run.worker.spool, "0")).st_mode
    assert mode & 0o7777 == 0o600
    assert done.last["artifacts"] == 4
    assert done.last["artifacts_skipped"] == 1  # the link


def test_long_output_is_cut_and_repaired(run):
    done = run("import os\nos.write(1, b'\\xff' * 30000)\n"
               "os.write(2, '\\u4e2d'.encode() * 30000)\n")
    assert done.seen[:2] == [30000, 90000]
    assert done.truncated[:2] == [True, True]
    for text, sign in ((done.stdout, "\ufffd"), (done.stderr, "\u4e2d")):
        assert text.endswith(NOTICE) and MAX - 3 < len(text) <= MAX
        assert set(text[:-len(NOTICE)].decode()) == {sign}


def test_output_of_exactly_the_cap(run):
    done = run("import os\nos.write(1, b'x' * 65536)\n"
               "os.write(2, b'x' * 65537)\n")
    assert done.stdout == b"x" * MAX
    assert done.stderr == b"x" * (MAX - len(NOTICE)) + NOTICE
    assert done.truncated[:2] == [False, True]


def test_traceback_after_a_flood(run):
    done = run("import sys\nprint('x' * 1000000, file=sys.stderr)\n{}['k']")
    assert done.last["message"] == "KeyError: 'k'"


def test_exception(run):
    done = run("open('/home/somebody/secret')")
    assert done.end == "exited" and done.last["code"] == 1
    assert done.last["message"] == (
        "FileNotFoundError: [Errno 2] No such file or directory: '<path>'")


def test_signal(run):
    done = run("import os\nos.abort()")
    assert (done.end, done.last["code"]) == ("signaled", 6)
    assert done.last["message"] == "Terminated by signal 6 (SIGABRT)"


@pytest.mark.parametrize("text,state", [
    ("{", "invalid_json"), ("", "invalid_json"), ("[NaN]", "invalid_json"),
    ("[1e400]", "invalid_json"), ("{\"a\": 1, \"a\": 2}", "invalid_json"),
    ("[" * 65 + "]" * 65, "too_deep"), ("x" * 70000, "too_large"),
    ("\\ufeff{}", "invalid_json")])
def test_bad_results(run, text, state):
    done = run("open('/output/result.json', 'w').write('%s')" % text,
               max_result=65536)
    assert done.state == state and done.result is None
    assert ("result.json" in done.artifacts) == (state != "too_large")


def test_large_result_is_no_artifact(run):
    done = run("open('/output/result.json', 'w').write('\"%s\"')"
               % ("x" * 60000), max_artifact=1024, max_result=65536)
    assert done.state == "ok" and len(done.result) == 60002
    assert done.artifacts == {} and done.last["artifacts_skipped"] == 1


def test_container_that_dies(box, worker):
    made, one = box(), worker()
    one.setup(made.take)
    one.expect("WORKER_READY")
    one.start(b"print('first', flush=True)\nimport time\ntime.sleep(1000)\n")
    assert one.expect("JOB_PHASE")["phase"] == EXECUTION
    os.killpg(made.process.pid, signal.SIGKILL)
    os.close(made.take)
    made.to = made.take = -1
    one.send("JOB_STOP")
    done = one.finish()
    assert done.end == "lost" and done.last["output_incomplete"] == 1
    assert done.phases == []
    assert done.last["error"] == 0 and done.last["message"] == ""


def test_container_that_dies_before_a_job(box, worker):
    made, one = box(), worker()
    one.setup(made.take)
    one.expect("WORKER_READY")
    os.killpg(made.process.pid, signal.SIGKILL)
    made.process.wait()
    os.close(made.take)
    made.to = made.take = -1
    done = one.finish()
    assert done.names == ["JOB_DONE"] and done.end == "lost"


def test_no_interpreter(box, worker):
    made, one = box(path="/nowhere"), worker()
    one.setup(made.take)
    done = one.finish()
    assert done.end == "lost" and "No such file" in done.last["message"]
    assert "No such file" in one.log()


# ---- the parent's own faults end the worker ---------------------------------

def test_channel_closed_at_any_time(box, worker):
    one = worker()
    one.channel.close()
    assert one.wait() == 0
    one = worker()
    one.setup(box().take)
    one.channel.close()
    assert one.wait() == 0


def bad_token(one):
    one.token = 1
    one.start()


def no_seals(one):
    fd = os.memfd_create("job")
    os.write(fd, b"print(1){}")
    one.send("JOB_START", fd, code_len=8, input_len=2)


def wrong_length(one):
    one.send("JOB_START", sealed(b"print(1){}"), code_len=8, input_len=3)


def twice(one):
    one.start()
    one.start()


@pytest.mark.parametrize("fault", [bad_token, no_seals, wrong_length, twice])
def test_faults_of_the_parent(box, worker, fault):
    one = worker()
    one.setup(box().take)
    one.expect("WORKER_READY")
    fault(one)
    assert one.wait() == 1
    assert "takod's frame" in one.log()


# ---- how it is shut in ------------------------------------------------------

def test_status_and_descriptors(worker):
    one = worker()
    ours, theirs = socket.socketpair()
    one.setup(theirs.fileno())
    theirs.close()
    with open("/proc/%d/status" % one.pid) as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Uid"].split() == [str(UID)] * 4
    fds = {int(n): os.readlink("/proc/%d/fd/%s" % (one.pid, n))
           for n in os.listdir("/proc/%d/fd" % one.pid)}
    assert {fds.pop(0), fds.pop(1)} == {"/dev/null"}
    assert fds.pop(2) == one.log_path
    kinds = sorted(v.split(":")[0] for v in fds.values())
    # The channel, the stream, the folder; the rest is the event loop's.
    assert kinds.count(one.spool) == 1
    assert set(kinds) <= {one.spool, "socket", "pipe", "anon_inode"}, fds
    inodes = [v for v in fds.values() if v.startswith("socket:")]
    assert os.readlink("/proc/%d/fd/3" % one.pid) in inodes
    ours.close()
