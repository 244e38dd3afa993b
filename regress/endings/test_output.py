"""
Hostile output: floods, bytes that are no text, results that are no JSON, and
files that are no files. The record is always valid and within its caps.
"""
import pytest

pytestmark = pytest.mark.usefixtures("survives", "promised")
MAX = 65536  # max_stdout_bytes, max_stderr_bytes
NOTICE = "[TRUNCATED: output exceeded %d bytes]" % MAX


def assert_cut(text, first):
    assert NOTICE in text
    assert len(text.encode()) <= MAX
    assert text.startswith(first * 1000)


# ---- floods -----------------------------------------------------------------

def test_much_on_stdout(combo):
    # O01, and O07: one write of a megabyte, then exit at once.
    record = combo.run("import os\nos.write(1, b'a' * 1000000)\n"
                       "os._exit(0)")
    assert record["status"] == "succeeded", record
    assert_cut(record["stdout"], "a")
    assert record["stdout_truncated"] is True
    assert record["stderr_truncated"] is False


def test_endless_line(combo):
    # O02
    record = combo.run("import os\nfor _ in range(512):\n"
                       "    os.write(1, b'b' * 65536)\n")
    assert record["status"] == "succeeded", record
    assert_cut(record["stdout"], "b")


def test_both_streams_at_once(combo):
    # O03: no deadlock, and each in its order.
    record = combo.run(
        "import os\n"
        "if os.fork() == 0:\n"
        "    for n in range(4000): os.write(2, b'%07d\\n' % n)\n"
        "    os._exit(0)\n"
        "for n in range(4000): os.write(1, b'%07d\\n' % n)\n"
        "os.wait()\n")
    assert record["status"] == "succeeded", record
    for text in (record["stdout"], record["stderr"]):
        assert text == "".join("%07d\n" % n for n in range(4000))


def test_many_small_writes(combo):
    # O03
    record = combo.run("import os\nfor n in range(50000): os.write(1, b'x')",
                       timeout=60)
    assert record["stdout"] == "x" * 50000, len(record["stdout"])


def test_just_within_the_cap(combo):
    record = combo.run("import os\nos.write(1, b'x' * %d)" % MAX)
    assert record["stdout"] == "x" * MAX
    assert record["stdout_truncated"] is False


def test_cut_on_a_character(combo):
    record = combo.run("print('\\u4e2d' * 100000)")
    assert record["stdout_truncated"] is True
    assert "\ufffd" not in record["stdout"]
    assert len(record["stdout"].encode()) <= MAX


# ---- bytes that are no text -------------------------------------------------

def test_invalid_utf8(combo):
    # O04
    record = combo.run(
        "import os\n"
        "os.write(1, b'a\\xff\\xfeb \\xc0\\xaf \\xed\\xa0\\x80 "
        "\\xf4\\x90\\x80\\x80 \\xe4\\xb8 end \\xe4\\xb8\\xad')")
    text = record["stdout"]
    assert text.startswith("a\ufffd\ufffdb ")
    assert text.endswith(" end \u4e2d") and "\ufffd" in text


def test_nul_bytes(combo):
    # O05
    record = combo.run("import os\nos.write(1, b'a\\0b\\n')\n"
                       "os.write(2, b'\\0')")
    assert record["status"] == "succeeded", record
    assert record["stdout"] == "a\ufffdb\n"
    assert record["stderr"] == "\ufffd"


def test_nul_in_a_result(combo):
    # O05
    record = combo.run("open('/output/result.json', 'w').write("
                       "'{\"a\": \"x\\\\u0000y\"}')")
    assert record["status"] == "succeeded", record
    assert record["output"] in ({"a": "x\0y"}, {"a": "x\ufffdy"})


def test_terminal_escapes(combo):
    # O06
    text = "\x1b[2J\x1b]0;title\x07\rfake\n<script>alert(1)</script>\n"
    record = combo.run("import sys\nsys.stdout.write(%r)" % text)
    assert record["stdout"] == text
    shown = combo.takoctl("job", record["execution_id"]).stdout
    assert "\x1b" not in shown and "\x07" not in shown
    assert "\x1b" not in combo.log()


def test_closes_its_streams(combo):
    # O07
    record = combo.run("import os\nos.close(1); os.close(2); os.close(0)\n"
                       "os._exit(3)")
    assert record["exit_code"] == 3 and record["stdout"] == ""


# ---- result.json ------------------------------------------------------------

BAD_RESULTS = {
    "truncated": ("'{\"a\": 1'", "invalid_json"),
    "text": ("'hello'", "invalid_json"),
    "empty": ("''", "invalid_json"),
    "nan": ("'{\"a\": NaN}'", "invalid_json"),
    "infinity": ("'[Infinity]'", "invalid_json"),
    "duplicate": ("'{\"a\": 1, \"a\": 2}'", "invalid_json"),
    "trailing": ("'{} x'", "invalid_json"),
    "huge-number": ("'[1e400]'", "invalid_json"),
    "deep": ("'[' * 1000000", ("too_deep", "invalid_json")),
    "deep-closed": ("'[' * 10000 + ']' * 10000", "too_deep"),
    "large": ("'\"' + 'x' * (11 << 20) + '\"'", "too_large"),
}


@pytest.mark.parametrize("name", list(BAD_RESULTS))
def test_bad_result(combo, name):
    # O10, O11, O12
    text, reason = BAD_RESULTS[name]
    record = combo.run("print('ran')\n"
                       "open('/output/result.json', 'w').write(%s)" % text)
    assert record["status"] == "succeeded", record
    assert record["output"] is None and record["stdout"] == "ran\n"
    wanted = reason if isinstance(reason, tuple) else (reason,)
    assert record["takod"]["result"] in wanted, record["takod"]


def test_many_keys(combo):
    # O12: large, but right.
    record = combo.run("import json\njson.dump({str(n): n for n in "
                       "range(100000)}, open('/output/result.json', 'w'))")
    assert record["status"] == "succeeded", record["error"]
    assert len(record["output"]) == 100000


def test_long_number(combo):
    record = combo.run("open('/output/result.json', 'w').write('[' + "
                       "'9' * 100000 + ']')")
    assert record["status"] == "succeeded"
    assert record["output"] is None or len(record["output"]) == 1


@pytest.mark.parametrize("make", [
    "os.symlink('/etc/passwd', '/output/result.json')",
    "os.mkfifo('/output/result.json')",
    "os.mkdir('/output/result.json')",
    "import socket; s = socket.socket(socket.AF_UNIX);"
    " s.bind('/output/result.json')",
], ids=("link", "fifo", "folder", "socket"))
def test_result_that_is_no_file(combo, make):
    # F01, F02
    record = combo.run("import os\n" + make)
    assert record["status"] == "succeeded", record
    assert record["output"] is None and record["artifacts"] == []


# ---- artifacts --------------------------------------------------------------

def test_names_of_artifacts(combo):
    # F06
    names = ["-rf", "a\nb", "a\\b", "a\"b", "x" * 255, "\u202ertl", "a b",
             "..hidden", "%2e%2e"]
    record = combo.run("for name in %r:\n"
                       "    open('/output/' + name, 'w').write('x')" % names)
    assert record["status"] == "succeeded", record
    found = {a["name"] for a in record["artifacts"]}
    assert len(found) == len(record["artifacts"])
    # A percent sign before two hex digits is shown as one that was a byte.
    assert {"-rf", "x" * 255, "a b", "%252e%252e"} <= found
    assert not any("/" in name for name in found)


def test_name_that_is_no_text(combo):
    record = combo.run("open(b'/output/\\xff\\xfe', 'w').write('x')\n"
                       "open('/output/good', 'w').write('x')")
    assert record["status"] == "succeeded", record
    assert "good" in {a["name"] for a in record["artifacts"]}


def test_many_artifacts(combo):
    # F07
    record = combo.run("for n in range(1500):\n"
                       "    open('/output/%d' % n, 'w').close()")
    assert record["status"] == "succeeded", record
    assert len(record["artifacts"]) == 1000


def test_artifact_over_the_cap(combo):
    # F05
    record = combo.run("with open('/output/sparse', 'wb') as file:\n"
                       "    file.truncate(90 << 20)\n"
                       "open('/output/small', 'w').write('x')")
    assert record["status"] == "succeeded", record
    assert [a["name"] for a in record["artifacts"]] == ["small"]


def test_odd_modes(combo):
    # F08
    record = combo.run(
        "import os\n"
        "for name, mode in (('a', 0), ('b', 0o6777), ('c', 0o111)):\n"
        "    open('/output/' + name, 'w').write(name)\n"
        "    os.chmod('/output/' + name, mode)\n"
        "os.chmod('/output', 0)\n")
    assert record["status"] == "succeeded", record
    assert {a["size_bytes"] for a in record["artifacts"]} <= {1}


def test_hard_links(combo):
    # F04
    record = combo.run("import os\nopen('/output/a', 'w').write('x')\n"
                       "os.link('/output/a', '/output/b')\n")
    assert record["status"] == "succeeded", record
    assert all(a["size_bytes"] == 1 for a in record["artifacts"])
