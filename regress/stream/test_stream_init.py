"""
tako-init alone, as PID 1 of namespaces, with the test in the worker's place:
what it makes of code, output, signals and files.
"""
import os
import struct
import time

import pytest

from stream_fixtures import box  # noqa: F401
from stream_frames import Ended, frame, limits

KIB = 1024


# ---- code -------------------------------------------------------------------

def test_hello(box):
    run = box().run("print('hello')")
    assert (run.end, run.code) == ("exited", 0)
    assert run.stdout == b"hello\n" and run.stderr == b""
    assert run.files == {} and run.skipped == {}
    assert 0 < run.execution_us < 20000000


def test_pipes_instead_of_a_socket(box):
    assert box(two_pipes=True).run("print('hello')").stdout == b"hello\n"


@pytest.mark.parametrize("code", ["", "\n", "# nothing", " \t\n"])
def test_code_that_does_nothing(box, code):
    run = box().run(code)
    assert (run.end, run.code, run.stderr) == ("exited", 0, b"")


def test_code_larger_than_a_pipe(box):
    code = "x = 0\n" + "x += 1  # padding\n" * 20000 + "print(x)\n"
    assert len(code) > 300 * KIB
    assert box().run(code).stdout == b"20000\n"


def test_code_in_small_pieces_and_after_input(box):
    made = box().ready()
    made.start("print(open('/input/data.json').read())", b'{"a": 1e400}',
               chunk=3)
    assert made.finish().stdout == b'{"a": 1e400}\n'


def test_input_is_empty_when_none_came(box):
    run = box().run("print(open('/input/data.json').read())", b"")
    assert run.stdout == b"\n"


def test_syntax_error_shows_its_line(box):
    run = box().run("x = 1\nif x = 2:\n    pass\n")
    assert b'  File "/code/main.py", line 2\n    if x = 2:\n' in run.stderr
    assert run.stderr.splitlines()[-1].startswith(b"SyntaxError: ")
    assert run.code == 1


def test_traceback_shows_its_lines(box):
    run = box().run("def f():\n    return 1 / 0\nf()\n")
    assert run.stderr.decode().splitlines()[:4] == [
        "Traceback (most recent call last):",
        '  File "/code/main.py", line 3, in <module>', "    f()",
        '  File "/code/main.py", line 2, in f']


@pytest.mark.parametrize("head", [
    "# -*- coding: latin-1 -*-\n", "#!/usr/bin/python3\n# coding=latin-1\n",
    "\r\n# vim: set fileencoding=iso-8859-15 :\r\n",
    "# " + "x" * 2000 + "\n# coding: latin-1\n"])
def test_other_encodings(box, head):
    # The tokenizer seeks in such a file: it must not be a FIFO.
    run = box().run(head.encode() + b"print(ascii('\xe9'))\n")
    assert run.stdout == b"'\\xe9'\n", run.stderr


@pytest.mark.parametrize("head", [
    "# -*- coding: utf-8 -*-\n", "# coding: utf8\n", "# coding: UTF_8\n",
    "\ufeff# coding: utf-8\n", "coding = 1  # coding: x\n"])
def test_the_usual_encoding(box, head):
    run = box().run(head + "print(ascii('\u00e9'))\n")
    assert run.stdout == b"'\\xe9'\n", run.stderr


def test_unknown_encoding(box):
    run = box().run("# coding: no-such\nprint(1)\n")
    assert run.code == 1 and b"no-such" in run.stderr


def test_script_is_plain(box):
    run = box().run(
        "import os, sys\n"
        "print(__file__, sys.argv, os.getcwd(), sys.flags.isolated,\n"
        "      sys.stdin.read() == '', os.getpgrp() == os.getpid(),\n"
        "      os.getsid(0) == os.getpid(), oct(os.umask(0)))\n"
        "print(sorted(os.listdir('/proc/self/fd'))[:3],\n"
        "      len(os.listdir('/proc/self/fd')))\n"
        "print([l for l in open('/proc/self/status') if l[:3] == 'Sig'])\n"
        "print(sorted(os.environ))\n")
    lines = run.stdout.decode().splitlines()
    assert lines[0] == ("/code/main.py ['/code/main.py'] /app 0 True True "
                        "True 0o22")
    assert lines[1] == "['0', '1', '2'] 4"  # one is the folder's own
    assert "SigBlk:\\t0000000000000000" in lines[2]
    # python3 ignores SIGPIPE and SIGXFSZ, and handles SIGINT, by itself.
    assert "SigIgn:\\t0000000001001000" in lines[2]
    assert lines[3] == "['HOME', 'LANG', 'PATH']"


def test_no_signal_is_ignored_that_the_engine_ignored(box):
    run = box(env="--ignore-signal").run(
        "for line in open('/proc/self/status'):\n"
        "    if line.startswith('SigIgn'): print(line[-17:-1])\n")
    assert (run.end, run.code, run.stderr) == ("exited", 0, b"")
    assert run.stdout == b"0000000001001000\n"  # python3's own two


def test_files_and_folders_as_promised(box):
    run = box().run(
        "import os\n"
        "for p in ('/code', '/code/main.py', '/input', '/input/data.json'):\n"
        "    print(oct(os.stat(p).st_mode))\n"
        "print(os.listdir('/code'), os.listdir('/input'))\n")
    assert run.stdout.decode().split("\n")[:5] == [
        "0o40555", "0o100444", "0o40555", "0o100444",
        "['main.py'] ['data.json']"]


def test_job_that_removes_its_code(box):
    run = box().run(
        "import os\nos.chmod('/code', 0o755)\nos.remove('/code/main.py')\n"
        "os.mkfifo('/code/main.py')\nprint('gone')\n")
    assert (run.code, run.stdout) == (0, b"gone\n")


# ---- what cannot run --------------------------------------------------------

def test_no_interpreter(box):
    made = box(path="/nowhere")
    made.expect("HELLO")
    text = made.expect("ERROR")
    assert b"python3: No such file" in text
    with pytest.raises(Ended):
        made.receive()


@pytest.mark.parametrize("data", [
    frame("GO"), frame("CODE", b"print(1)"), frame("DONE"), frame(99),
    frame("LIMITS", b"short"), limits() + limits(),
    struct.pack("<BxxxI", 4, 65537)])
def test_frames_out_of_order(box, data):
    made = box()
    made.expect("HELLO")
    made.send(data)
    kind, _ = made.receive()
    if kind == "READY":
        kind, _ = made.receive()
    assert kind == "ERROR"
    with pytest.raises(Ended):
        made.receive()


def test_worker_that_goes_away(box):
    made = box().ready().start("import time\ntime.sleep(100)\n")
    os.close(made.to)
    made.to = made.take = -1
    assert made.process.wait(30) == 1


def test_code_that_does_not_fit(box):
    made = box().ready()
    with pytest.raises((Ended, BrokenPipeError, ConnectionResetError)):
        for _ in range(1000):
            made.send(frame("CODE", b"#" * 65536))
        made.receive()
        made.receive()


# ---- output -----------------------------------------------------------------

def test_both_streams_flooded(box):
    run = box().run(
        "import os\n"
        "child = os.fork()\n"
        "fd = 2 if child == 0 else 1\n"
        "for n in range(300):\n"
        "    os.write(fd, (b'%06d ' % n) * 5000)\n"
        "if child == 0: os._exit(0)\n"
        "os.wait()\n")
    want = b"".join(b"%06d " % n * 5000 for n in range(300))
    assert run.stdout == want and run.stderr == want


def test_flood_while_nobody_reads(box):
    made = box().ready().start(
        "import os\n"
        "for n in range(200): os.write(1, b'a' * 65536)\n"
        "os.write(2, b'end')\n")
    # Bounded: the job is held up by the pipe, not by memory.
    def resident():
        with open("/proc/%d/task/%d/children" % ((made.process.pid,) * 2)) \
                as file:
            child = file.read().split()[0]
        with open("/proc/%s/statm" % child) as file:
            return int(file.read().split()[1]) * 4096
    assert resident() < 8 << 20
    run = made.finish()
    assert len(run.stdout) == 200 * 65536 and run.stderr == b"end"


def test_last_words_of_a_quick_death(box):
    run = box().run("import os\nos.write(1, b'x' * 60000)\nos._exit(3)\n")
    assert (run.code, len(run.stdout)) == (3, 60000)


def test_closed_streams(box):
    run = box().run("import os, time\nfor n in range(3): os.close(n)\n"
                    "time.sleep(0.1)\nos._exit(4)\n")
    assert (run.end, run.code) == ("exited", 4)


def test_bytes_as_they_are(box):
    run = box().run("import os\nos.write(1, bytes(range(256)))\n")
    assert run.stdout == bytes(range(256))


# ---- the end ----------------------------------------------------------------

@pytest.mark.parametrize("number", [1, 2, 6, 9, 11, 15, 34, 64])
def test_signals_are_told(box, number):
    run = box().run("import os, signal\n"
                    "signal.signal({0}, signal.SIG_DFL) if {0} != 9 else 0\n"
                    "os.kill(os.getpid(), {0})\n"
                    "signal.pause()\n".format(number))
    assert (run.end, run.code) == ("signaled", number)


def test_signals_to_it_do_nothing(box):
    run = box().run(
        "import os\n"
        "for n in list(range(1, 32)) + list(range(34, 65)):\n"
        "    os.kill(1, n)\n"
        "print('still here')\n")
    assert run.stdout == b"still here\n" and run.code == 0


def test_it_cannot_be_looked_into(box):
    run = box().run(
        "import ctypes, os\n"
        "def attempt(f, *a):\n"
        "    try: f(*a)\n"
        "    except OSError as e: return e.strerror\n"
        "    return 'ok'\n"
        "libc = ctypes.CDLL(None)\n"
        "print(attempt(open, '/proc/1/mem'), attempt(os.listdir,\n"
        "      '/proc/1/fd'), attempt(open, '/proc/1/environ'),\n"
        "      libc.ptrace(16, 1, 0, 0))\n")
    assert run.stdout == (b"Permission denied Permission denied "
                          b"Permission denied -1\n")


def test_orphans_die_with_the_job(box):
    began = time.monotonic()
    run = box().run(
        "import os, signal, time\n"
        "for n in range(20):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork() == 0:\n"
        "            for s in range(1, 32):\n"
        "                try: signal.signal(s, signal.SIG_IGN)\n"
        "                except OSError: pass\n"
        "            if n % 2: os.kill(os.getpid(), signal.SIGSTOP)\n"
        "            time.sleep(1000)\n"
        "        os._exit(0)\n"
        "print('parent')\n")
    assert run.stdout == b"parent\n" and run.code == 0
    assert time.monotonic() - began < 40


def test_fork_storm_ends(box):
    run = box().run(
        "import os, resource\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (60, 60))\n"
        "def storm():\n"
        "    while True:\n"
        "        try: os.fork()\n"
        "        except OSError: pass\n"
        "if os.fork() == 0: storm()\n"
        "import time; time.sleep(0.3); os._exit(7)\n")
    assert (run.end, run.code) == ("exited", 7)


def test_zombies_are_reaped(box):
    run = box().run(
        "import os, time\n"
        "for n in range(200):\n"
        "    if os.fork() == 0:\n"
        "        if os.fork() == 0: os._exit(0)\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
        "deadline = time.monotonic() + 50\n"
        "while time.monotonic() < deadline:\n"
        "    pids = [p for p in os.listdir('/proc') if p.isdigit()]\n"
        "    if len(pids) == 2: break\n"
        "print(len(pids))\n")
    assert run.stdout == b"2\n"


def test_kill_everything(box):
    run = box().run("import os, time\n"
                    "child = os.fork()\n"
                    "if child == 0: time.sleep(1000)\n"
                    "os.kill(-1, 9)\n"
                    "print(os.waitpid(child, 0)[1])\n")
    assert run.stdout == b"9\n" and run.code == 0


# ---- files ------------------------------------------------------------------

def test_files_of_all_kinds(box):
    run = box().run("""
import os, socket
os.chdir('/output')
for name in ('a', 'result.json', '.hidden', '..x', '-rf', 'a\\nb', 'x' * 255):
    open(name, 'w').write(name)
open(b'\\xff', 'w').write('bytes')
open('large', 'wb').truncate((1 << 20) + 1)
open('edge', 'wb').truncate(1 << 20)
os.mkdir('folder'); open('folder/inside', 'w').write('x')
os.mkfifo('fifo')
os.symlink('/etc/passwd', 'link'); os.symlink('a', 'link2')
socket.socket(socket.AF_UNIX).bind('socket')
os.link('a', 'hard')
for name in ('zero', 'exec'):
    open(name, 'w').write(name)
os.chmod('zero', 0); os.chmod('exec', 0o6711); os.chmod('/output', 0)
""")
    assert run.code == 0, run.stderr
    assert run.order[0] == "result.json"
    assert {n: len(b) for n, b in run.files.items()} == {
        "a": 1, "hard": 1, "result.json": 11, "-rf": 3, "a\nb": 3,
        "x" * 255: 255, "\udcff": 5, "edge": 1 << 20, "zero": 4, "exec": 4}
    assert run.files["-rf"] == b"-rf"
    assert run.skipped == {
        ".hidden": "hidden", "..x": "hidden", "large": "too_large",
        "folder": "not_regular", "fifo": "not_regular",
        "link": "not_regular", "link2": "not_regular",
        "socket": "not_regular"}


@pytest.mark.parametrize("make,why", [
    ("os.symlink('/etc/passwd', N)", "not_regular"),
    ("os.mkdir(N)", "not_regular"), ("os.mkfifo(N)", "not_regular"),
    ("open(N, 'w').truncate(70000)", "too_large")])
def test_result_that_is_no_file(box, make, why):
    run = box().run("import os\nN = '/output/result.json'\n" + make,
                    result=65536)
    assert run.skipped == {"result.json": why} and run.files == {}


def test_number_of_files(box):
    run = box().run("for n in range(50):\n"
                    "    open('/output/%d' % n, 'w').write('x')\n"
                    "open('/output/result.json', 'w').write('1')\n",
                    count=10)
    assert len(run.files) == 10 and run.order[0] == "result.json"
    assert len(run.skipped) == 41
    assert set(run.skipped.values()) == {"count"}


def test_size_of_all_files(box):
    run = box().run("for n in range(10):\n"
                    "    open('/output/%d' % n, 'wb').write(bytes(1000))\n",
                    total=4500)
    assert len(run.files) == 4
    assert set(run.skipped.values()) == {"total"}


def test_no_files_are_wanted(box):
    run = box().run("open('/output/a', 'w').write('x')\n", count=0)
    assert run.files == {} and run.skipped == {"a": "count"}


def test_deep_tree_costs_nothing(box):
    run = box().run("import os\nos.chdir('/output')\n"
                    "for n in range(3000):\n"
                    "    os.mkdir('d'); os.chdir('d')\n")
    assert run.skipped == {"d": "not_regular"} and run.code == 0
