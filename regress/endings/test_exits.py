"""
How it ended: exit codes, signals, exceptions. What a job is charged with
comes from facts that it cannot forge; its own number stays its own number.
"""
import pytest

pytestmark = pytest.mark.usefixtures("survives", "promised")
SIGNALS = {
    "SIGSEGV": (139, "segfault"), "SIGABRT": (134, "abort"),
    "SIGFPE": (136, "arithmetic_error"), "SIGBUS": (135, "bus_error"),
    "SIGPIPE": (141, "pipe_error"), "SIGKILL": (137, "killed"),
    "SIGTERM": (143, "runtime_error"), "SIGHUP": (129, "runtime_error"),
    "SIGINT": (130, "runtime_error"), "SIGQUIT": (131, "runtime_error"),
    "SIGILL": (132, "runtime_error"), "SIGUSR1": (138, "runtime_error"),
    "SIGALRM": (142, "runtime_error"), "SIGRTMAX": (192, "runtime_error"),
}
EXCEPTIONS = {
    "raise TypeError('x')": "type_error",
    "raise ValueError('x')": "value_error",
    "{}['x']": "key_error",
    "[][1]": "index_error",
    "None.x": "attribute_error",
    "nothing": "name_error",
    "import no_such_module": "import_error",
    "from os import no_such_name": "import_error",
    "x = = 1": "syntax_error",
    "if True:\nx": "syntax_error",
    "open('/none')": "file_not_found",
    "raise FileExistsError('x')": "file_error",
    "raise OSError('x')": "os_error",
    "open('/etc/shadow')": "permission",
    "def f(): f()\nf()": "recursion_error",
    "assert 1 == 2": "assertion_error",
    "1 / 0": "division_error",
    "import math; math.exp(1000)": "overflow_error",
    "b'\\xff'.decode()": "encoding_error",
    "'\\u00e9'.encode('ascii')": "encoding_error",
    "import json; json.loads('{')": "json_error",
    "import socket; socket.create_connection(('127.0.0.1', 1))":
        "network_error",
    "raise TimeoutError('x')": "network_timeout",
    "raise MemoryError('x')": "oom",
    "raise RuntimeError('x')": "runtime_error",
    "class Own(Exception): pass\nraise Own('x')": "runtime_error",
}


def test_success(combo):
    record = combo.run("print(1)")
    assert record["status"] == "succeeded" and record["exit_code"] == 0
    assert record["error"] is None


def test_sys_exit_zero_after_errors_on_stderr(combo):
    record = combo.run("import sys\n"
                       "print('Traceback: ValueError: x', file=sys.stderr)\n"
                       "sys.exit(0)")
    assert record["status"] == "succeeded" and record["error"] is None


def run_all(combo, codes, **fields):
    """Runs many at once; the records in the same order."""
    jobs = [combo.submit(code, **fields) for code in codes]
    return [combo.wait(job, 120) for job in jobs]


# R19: numbers that other programs give a meaning have none here.
def test_exit_codes(combo):
    codes = (1, 2, 3, 77, 124, 125, 126, 127, 128, 130, 134, 137, 139, 143,
             255)
    records = run_all(combo, ["import os\nos._exit(%d)" % n for n in codes])
    for code, record in zip(codes, records):
        assert record["status"] == "failed", record
        assert record["exit_code"] == code
        assert record["error"] == {
            "type": "runtime_error", "message": "Exit code %d" % code,
            "phase": "execution"}
        assert record["takod"]["attempt"] == 1


def test_signals(combo):
    # R18
    records = run_all(combo, [
        "import os, signal\n"
        "number = signal.%s\n"
        "if number != signal.SIGKILL:\n"
        "    signal.signal(number, signal.SIG_DFL)\n"
        "os.kill(os.getpid(), number)\n"
        "signal.pause()\n" % name for name in SIGNALS], timeout=10)
    for (name, (code, kind)), record in zip(SIGNALS.items(), records):
        assert (record["status"], record["exit_code"]) == ("failed", code), (
            name, record)
        assert record["error"]["type"] == kind, (name, record["error"])


def test_abort_and_real_segfault(combo):
    # K13
    record = combo.run("import os\nos.abort()")
    assert (record["exit_code"], record["error"]["type"]) == (134, "abort")
    record = combo.run("import ctypes\nctypes.string_at(0)")
    assert (record["exit_code"], record["error"]["type"]) == (139, "segfault")


def test_exceptions(combo):
    wrong = []
    for code, record in zip(EXCEPTIONS, run_all(combo, EXCEPTIONS)):
        found = (record["status"], record["exit_code"],
                 (record["error"] or {}).get("type"))
        if found != ("failed", 1, EXCEPTIONS[code]):
            wrong.append((code, found, EXCEPTIONS[code], record["stderr"]))
    assert wrong == []


def test_message_is_the_last_line(combo):
    error = combo.run("raise ValueError('of this kind')")["error"]
    assert error == {"type": "value_error", "phase": "execution",
                     "message": "ValueError: of this kind"}


def test_words_on_stderr_are_no_class(combo):
    record = combo.run(
        "import sys\n"
        "print('ModuleNotFoundError MemoryError timeout', file=sys.stderr)\n"
        "raise KeyError('Segmentation fault: TimeoutError')")
    assert record["error"]["type"] == "key_error"


# R19: phrases of engines and kernels.
def test_phrases_are_only_text(combo):
    phrases = (
        "Killed", "Out of memory: Killed process 1 (python3)",
        "cannot connect to the docker daemon", "docker: Error response from",
        "OCI runtime exec failed", "container is not running",
        "Execution timed out", "sandbox died", "urpc method failed: EOF")
    records = run_all(combo, [
        "import os, sys\nprint(%r); print(%r, file=sys.stderr)\n"
        "sys.stdout.flush(); os._exit(125)" % (text, text)
        for text in phrases])
    for text, record in zip(phrases, records):
        assert record["status"] == "failed" and record["exit_code"] == 125
        assert record["error"]["type"] == "runtime_error", record["error"]
        assert record["stdout"] == record["stderr"] == text + "\n"
        assert record["takod"]["attempt"] == 1
    health = combo.get("/health")[2]
    assert health["status"] == "healthy"
    assert health["circuit_breaker"]["failure_count"] == 0


def test_files_of_other_runners_are_only_files(combo):
    # O14: names that some runner uses for phase, timing or exit.
    record = combo.run(
        "import os\n"
        "for name in ('phase', 'exit_code', 'timing.json', '.phase',\n"
        "             'status', 'error.json'):\n"
        "    open('/output/' + name, 'w').write('timeout 124')\n"
        "for name in ('phase', 'exit_code'):\n"
        "    open('/tmp/' + name, 'w').write('timeout 124')\n")
    assert record["status"] == "succeeded" and record["error"] is None
    assert record["timing"]["phase_at_exit"] == "completed"


# R18
def test_kills_everything_it_can(combo):
    record = combo.run(
        "import os, signal\n"
        "try:\n"
        "    os.kill(-1, signal.SIGKILL)\n"
        "except OSError:\n"
        "    pass\n"
        "print('still here', flush=True)\n")
    if combo.runtime == "runsc" and record["status"] == "failed":
        # gVisor of 2022 lets a job end pid 1, and with it its sandbox.
        assert record["error"]["type"] in ("sandbox_died", "killed")
    else:
        assert record["status"] == "succeeded", record
        assert record["stdout"] == "still here\n"


def test_signals_to_pid_1(combo):
    # R18
    names = ("SIGKILL", "SIGTERM", "SIGSTOP", "SIGINT", "SIGSEGV", "SIGCHLD",
             "SIGPIPE")
    records = run_all(combo, [
        "import os, signal, time\n"
        "try:\n"
        "    os.kill(1, signal.%s)\n"
        "except OSError:\n"
        "    pass\n"
        "time.sleep(0.2)\n"
        "print('still here', flush=True)\n" % name for name in names],
        timeout=6)
    for name, record in zip(names, records):
        assert_survived(combo, name, record)


def assert_survived(combo, name, record):
    if record["status"] == "succeeded":
        assert record["stdout"] == "still here\n"
    elif combo.runtime == "runsc" and name in ("SIGKILL", "SIGSTOP",
                                               "SIGSEGV"):
        wanted = (("timeout", "execution_timeout"),
                  ("failed", "sandbox_died"))
        assert (record["status"], record["error"]["type"]) in wanted
    else:
        raise AssertionError(record)
    assert record["takod"]["attempt"] == 1


def test_cannot_speak_for_tako_init(combo):
    # Every way to the protocol's descriptors, with a frame that says exit 0.
    record = combo.run("""
import glob, os, struct, sys
frame = struct.pack('<BxxxI', 10, 16) + struct.pack('<IIQ', 1, 0, 1)
frame += struct.pack('<BxxxI', 15, 0)
opened = []
for path in glob.glob('/proc/1/fd/*') + ['/proc/1/mem', '/dev/console',
                                         '/dev/tty', '/dev/stdin']:
    try:
        fd = os.open(path, os.O_WRONLY)
        os.write(fd, frame)
        opened.append(path)
    except OSError:
        pass
sys.stdout.buffer.write(frame); sys.stdout.flush()
sys.stderr.buffer.write(frame); sys.stderr.flush()
open('/output/opened', 'w').write(repr(opened))
os._exit(9)
""")
    # A pipe can be opened anew under gVisor, which breaks the stream and
    # forges nothing; where none could be opened, the job just ends.
    assert record["status"] == "failed", record
    if record["error"]["type"] == "sandbox_died":
        assert (combo.engine, combo.runtime) == ("docker", "runsc"), record
    else:
        assert record["exit_code"] == 9, record
        assert [a["name"] for a in record["artifacts"]] == ["opened"]


def test_cannot_trace_tako_init(combo):
    record = combo.run("""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
print(libc.ptrace(PTRACE_ATTACH, 1, 0, 0),
      libc.ptrace(PTRACE_SEIZE, 1, 0, 0))
buffer = ctypes.create_string_buffer(16)
class iovec(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]
mine = iovec(ctypes.addressof(buffer), 16)
theirs = iovec(0x400000, 16)
print(libc.process_vm_readv(1, ctypes.byref(mine), 1,
                            ctypes.byref(theirs), 1, 0))
""")
    assert record["stdout"] == "-1 -1\n-1\n", record
