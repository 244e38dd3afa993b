"""
The contract with user code: how its source is read, how its errors read, its
input, its output, its artifacts, its limits. On both engines and runtimes.
"""
import hashlib
import json
import re

import pytest

from lib import shared

IN_DATA = "print(open('/input/data.json').read(), end='')"


# ---- source -----------------------------------------------------------------

def test_hello(combo):
    answer = combo.execute("print('hello')")
    assert answer["success"] is True
    assert answer["stdout"] == "hello\n" and answer["stderr"] == ""
    assert answer["exit_code"] == 0 and answer["error"] is None
    assert re.fullmatch("api-[0-9a-f-]{36}", answer["execution_id"])
    assert answer["runtime"] == combo.runtime
    assert answer["job_type"] == "default"
    assert 0 < answer["execution_time"] < 30


def test_traceback_has_source_lines(combo):
    answer = combo.execute(
        "def inner(value):\n"
        "    raise ValueError('not %r' % value)\n"
        "\n"
        "inner(3)")
    assert answer["stderr"] == (
        "Traceback (most recent call last):\n"
        '  File "/code/main.py", line 4, in <module>\n'
        "    inner(3)\n"
        '  File "/code/main.py", line 2, in inner\n'
        "    raise ValueError('not %r' % value)\n"
        "ValueError: not 3\n")
    assert answer["exit_code"] == 1 and answer["success"] is False


def test_syntax_error_shows_the_line(combo):
    answer = combo.execute("x = 1\nif x = 2:\n    pass\n")
    assert 'File "/code/main.py", line 2\n    if x = 2:\n' in answer["stderr"]
    assert "\nSyntaxError: " in answer["stderr"]


def test_source_of_a_function(combo):
    answer = combo.execute(
        "import inspect\n"
        "def f():\n    return 'body'\n"
        "print(inspect.getsource(f), end='')")
    assert answer["stdout"] == "def f():\n    return 'body'\n"


@pytest.mark.parametrize("code,out", [
    ("print(1)", "1\n"),                          # no newline at the end
    ("print(1)\r\nprint(2)\r\n", "1\n2\n"),
    ("\ufeffprint(1)\n", "1\n"),                  # a byte order mark
    ("print('\u00e9\u4e2d\U0001f600')\n", "\u00e9\u4e2d\U0001f600\n"),
    ("# -*- coding: utf-8 -*-\nprint('\u00e9')\n", "\u00e9\n"),
    ("#!/usr/bin/python3\nprint(1)\n", "1\n"),
    ("# -*- coding: latin-1 -*-\nprint(1)\n", "1\n"),
    ("from __future__ import annotations\nprint(1)\n", "1\n"),
], ids=("plain", "crlf", "bom", "utf8", "cookie", "shebang", "latin1",
        "future"))
def test_source_forms(combo, code, out):
    answer = combo.execute(code)
    assert answer["stdout"] == out, answer


def test_long_source(combo):
    code = "x = 0\n" + "x += 1  # padding\n" * 5000 + "print(x)\n"
    assert combo.execute(code)["stdout"] == "5000\n"


def test_what_python_programs_need(combo):
    code = """
import multiprocessing, sqlite3, ssl, subprocess, tempfile, threading
import concurrent.futures, asyncio
print(subprocess.run(['echo', 'child'], capture_output=True,
                     text=True).stdout, end='')
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(lambda n: n * n, range(100))))
with tempfile.NamedTemporaryFile() as file:
    file.write(b'x'); file.flush()
    db = sqlite3.connect(file.name + '.db')
    db.execute('create table t (n)')
    db.execute('insert into t values (7)')
    db.commit()
    print(db.execute('select n from t').fetchone()[0])
queue = multiprocessing.Queue()
child = multiprocessing.Process(target=queue.put, args=('spawned',))
child.start(); print(queue.get()); child.join()
async def main():
    await asyncio.sleep(0.01)
    return 'async'
print(asyncio.run(main()))
"""
    answer = combo.execute(code)
    assert answer["stdout"] == "child\n328350\n7\nspawned\nasync\n", answer


# ---- environment ------------------------------------------------------------

def test_environment_of_the_job_type(combo):
    answer = combo.execute(
        "import json, os; print(json.dumps(dict(os.environ)))",
        job_type="envs")
    environment = json.loads(answer["stdout"])
    assert environment["GREETING"] == "hello, world"
    assert environment["UMLAUT"] == "\u00fc" and environment["EMPTY"] == ""
    assert answer["job_type"] == "envs"


def test_nothing_of_the_daemons_environment(combo):
    code = """
import glob
found = b''
for path in glob.glob('/proc/*/environ'):
    try:
        found += open(path, 'rb').read()
    except OSError:
        pass
print(found.decode(errors='replace'))
"""
    answer = combo.execute(code)
    assert answer["success"] is True
    assert shared.CANARY not in json.dumps(answer)
    assert "PG" not in answer["stdout"] and "DOCKER" not in answer["stdout"]


# ---- input ------------------------------------------------------------------

def test_no_input(combo):
    assert combo.execute(IN_DATA)["stdout"] == "{}"


def test_numbers_arrive_as_sent(combo):
    data = ('{"big": 1208925819614629174706176, "small": 0.1, "huge": 1e400,'
            ' "exact": 0.10000000000000000000000000000001, "whole": 1.0,'
            ' "minus": -0, "power": 1E5, "tiny": 5e-999}')
    body = '{"code": %s, "input_data": %s}' % (json.dumps(IN_DATA), data)
    status, _, answer = combo.post("/execute", body)
    assert status == 200 and answer["success"], answer
    assert answer["stdout"] == data


def test_input_of_every_kind(combo):
    data = {"text": "\u00e9\u4e2d\U0001f600 \" \\ \n \u0001", "none": None,
            "true": True, "list": [1, [2, {"deep": []}]], "": "empty name"}
    code = ("import json\nd = json.load(open('/input/data.json'))\n"
            "json.dump(d, open('/output/result.json', 'w'))\n")
    assert combo.run(code, input_data=data)["output"] == data


def test_large_input(combo):
    data = {"text": "x" * 1000000}
    code = ("import json\n"
            "print(len(json.load(open('/input/data.json'))['text']))")
    assert combo.execute(code, input_data=data)["stdout"] == "1000000\n"


# ---- output and artifacts ---------------------------------------------------

@pytest.mark.parametrize("value", [
    {"a": [1, 2.5, None, True]}, [1, 2], "text", 42, True, None, {}],
    ids=("object", "list", "text", "number", "true", "null", "empty"))
def test_result_becomes_output(combo, value):
    code = "open('/output/result.json', 'w').write(%r)" % json.dumps(value)
    answer = combo.execute(code)
    assert answer["success"] is True and answer["output"] == value


def test_no_result(combo):
    assert combo.execute("pass")["output"] is None


def test_artifacts_are_recorded(combo):
    files = {"report.txt": b"a report\n", "data.bin": bytes(range(256)) * 64,
             "empty": b"", "name with blank.csv": b"a,b\n",
             "\u00fcml\u00e4ut.txt": b"x", "result.json": b'{"a": 1}',
             "large.bin": b"0123456789abcdef" * 65536}
    small = {n: d for n, d in files.items() if n != "large.bin"}
    code = ("import os\n"
            "for name, data in %r.items():\n"
            "    open('/output/' + name, 'wb').write(data)\n"
            "with open('/output/large.bin', 'wb') as file:\n"
            "    file.write(b'0123456789abcdef' * 65536)\n"
            "os.mkdir('/output/folder')\n"
            "open('/output/folder/inside', 'w').write('x')\n"
            "open('/output/.hidden', 'w').write('x')\n"
            "os.symlink('/etc/passwd', '/output/link')\n"
            "os.mkfifo('/output/pipe')\n" % small)
    record = combo.run(code)
    assert record["status"] == "succeeded", record
    found = {a["name"]: a for a in record["artifacts"]}
    assert set(found) == set(files)
    for name, data in files.items():
        assert found[name]["size_bytes"] == len(data), name
        assert found[name]["sha256"] == hashlib.sha256(data).hexdigest(), name
        assert "/" in found[name]["content_type"], name
    assert record["output"] == {"a": 1}


def test_slim_record_has_no_artifacts(combo):
    answer = combo.execute("open('/output/a', 'w').write('x')")
    slim = combo.get("/executions/" + answer["execution_id"])[2]
    assert "artifacts" not in slim and "code_hash" not in slim
    assert slim["status"] == "succeeded" and slim["stdout"] == ""


def test_artifacts_of_a_failed_job_are_kept(combo):
    record = combo.run(
        "open('/output/partial.txt', 'w').write('half')\n"
        "open('/output/result.json', 'w').write('[1]')\n"
        "raise SystemExit(4)")
    assert record["status"] == "failed" and record["exit_code"] == 4
    assert {a["name"] for a in record["artifacts"]} == {"partial.txt",
                                                        "result.json"}
    assert record["output"] == [1]


def test_record_keeps_what_was_submitted(combo):
    code = ("import os, sys\n"
            "os.chmod('/code', 0o755); os.chmod('/code/main.py', 0o644)\n"
            "open('/code/main.py', 'w').write('something else')\n"
            "print(1)\n")
    record = combo.run(code, input_data={"a": 1})
    assert record["status"] == "succeeded", record
    assert record["code_hash"] == hashlib.sha256(code.encode()).hexdigest()
    names = {a["name"]: a for a in record["input_artifacts"]}
    assert set(names) == {"_code.py", "_input.json"}
    assert names["_code.py"]["sha256"] == record["code_hash"]
    assert names["_code.py"]["size_bytes"] == len(code)


# ---- one job after another --------------------------------------------------

def test_nothing_of_an_earlier_job(combo):
    marker = "left-behind"
    leave = """
import os
for folder in ('/tmp', '/output', '/dev/shm', '/var/tmp', '/app', '/code'):
    try:
        os.chmod(folder, 0o777)
    except OSError:
        pass
    try:
        open(folder + '/%s', 'w').write('x')
        print(folder)
    except OSError:
        pass
""" % marker
    look = """
import os
for folder, _, names in os.walk('/'):
    if folder.startswith(('/proc', '/sys')):
        continue
    for name in names:
        if name == '%s':
            print(folder)
""" % marker
    assert "/tmp" in combo.execute(leave)["stdout"]
    assert combo.execute(look)["stdout"] == ""


# ---- limits -----------------------------------------------------------------

def test_size_of_tmp(combo):
    code = """
import errno, os
size = os.statvfs('/tmp').f_frsize * os.statvfs('/tmp').f_blocks
wrote, word = 0, None
for name in 'ab':
    try:
        with open('/tmp/' + name, 'wb', buffering=0) as file:
            while wrote < 200 << 20:
                wrote += file.write(bytes(1 << 20))
                if wrote == 60 << 20:
                    break
    except OSError as error:
        word = errno.errorcode[error.errno]
print(size >> 20, wrote >> 20, word)
"""
    size, wrote, word = combo.execute(code)["stdout"].split()
    assert word == "ENOSPC" and 90 <= int(wrote) <= 100, (size, wrote, word)


def test_size_of_one_file(combo):
    code = """
import errno, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with open('/output/big', 'wb') as file:
    try:
        file.seek(104857600)
        file.write(b'x'); file.flush()
        print('ok')
    except OSError as error:
        print(errno.errorcode[error.errno])
        file.truncate(0)
import os
os._exit(0)
"""
    assert combo.execute(code)["stdout"] in ("EFBIG\n", "ENOSPC\n")


def test_number_of_files(combo):
    code = """
import errno, os
fds = []
try:
    while True:
        fds.append(os.open('/dev/null', os.O_RDONLY))
except OSError as error:
    print(errno.errorcode[error.errno], len(fds) + 3)
"""
    assert combo.execute(code)["stdout"] == "EMFILE 256\n"


def test_number_of_processes(combo):
    code = """
import errno, os, signal, time
children, word = [], None
try:
    while len(children) < 300:
        pid = os.fork()
        if pid == 0:
            signal.pause()
        children.append(pid)
except OSError as error:
    word = errno.errorcode[error.errno]
for pid in children:
    os.kill(pid, signal.SIGKILL)
print(word, len(children), flush=True)
"""
    answer = combo.execute(code)
    if combo.runtime == "runsc" and answer["stdout"] == "":
        # Too many processes may end a gVisor sandbox; see container.md.
        record = combo.record(answer["execution_id"])
        assert record["error"]["type"] == "sandbox_died"
        return
    word, count = answer["stdout"].split()
    assert word == "EAGAIN" and int(count) <= 100, answer["stdout"]


def test_share_of_the_processor(combo):
    # Two processes that spin for a second get one processor between them.
    code = """
import os, time
def spin():
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        pass
pid = os.fork()
spin()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
"""
    record = combo.run(code)
    assert record["status"] == "succeeded", record
    spent = record["resource_usage"]["cpu_time_ms"]
    # A start of gVisor counts too: it is the sandbox's own time.
    assert spent < (1.5 * 1000) * 1.35 + 700, spent
