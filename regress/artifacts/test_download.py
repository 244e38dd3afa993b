"""
test_download.py: GET and HEAD /jobs/{id}/artifacts/{name}, from each store:
whole, in part, conditional; names of any bytes; clients that go away.
"""
import email.utils
import hashlib
import os
import re
import socket
import struct
import time

import pytest

import download
from download import stored  # noqa: F401
from lib import host

CODE = """
import os
out = b"/output/"
def put(name, data):
    with open(out + name, "wb") as file:
        file.write(data)
put(b"a.txt", b"0123456789")
put(b"empty", b"")
put(b"page.html", b"<script>alert(1)</script>")
put(b"pixel.png", bytes.fromhex("89504e470d0a1a0a") + b"x" * 9)
put(b".hidden", b"not listed")
os.mkdir("/output/folder")
put(b"folder/inside", b"not listed")
put(b"result.json", b'{"n": 5}')
for name in %r:
    put(name, b"of " + name)
"""
# F06, H64: what a name can do to a header, a path, a listing.
NAMES = [
    b"with space.txt", b'quo"te.txt', b"semi;colon='x'", b"cr\r\nX-Evil: 1",
    b"new\nline", b"back\\slash", b"-dash", b"per%cent", b"per%41cent",
    b"perAcent", b"%2e%2e%2f", b"bad\xff\xfe.bin", b"half\xc3", b"%FF",
    b"\xff", "\u202egpj.exe".encode(), "\u00fcml\u00e4ut".encode(),
    "\U0001f40d.py".encode(), b"a" * 255, b"\xff" * 85, b"?query#frag",
    b"..dots..", b"\x01\x7f\x1b[31mred",
]


@pytest.fixture(scope="module")
def job(stored):
    daemon = stored
    record = daemon.run(CODE % [n for n in NAMES if n[:1] != b"."])
    assert record["status"] == "succeeded", record
    return daemon, record


def listed(record):
    return {a["name"]: a for a in record["artifacts"]}


def shown(name):
    """A name as records list it (tako-http(7))."""
    out, i = "", 0
    while i < len(name):
        if re.match(rb"%[0-9A-Fa-f]{2}", name[i:]):
            out, i = out + "%25", i + 1
            continue
        for n in (1, 2, 3, 4):
            try:
                out, i = out + name[i:i + n].decode(), i + n
                break
            except UnicodeDecodeError:
                continue
        else:
            out, i = out + "%%%02X" % name[i], i + 1
    return out


def test_listing(job):
    _, record = job
    names = listed(record)
    wanted = {shown(n) for n in NAMES if n[:1] != b"."} | {
        "a.txt", "empty", "page.html", "pixel.png", "result.json"}
    assert set(names) == wanted
    assert len(names) == len(record["artifacts"])
    assert record["output"] == {"n": 5}
    assert record["takod"]["artifacts_lost"] is False


def test_whole(job):
    daemon, record = job
    entry = listed(record)["a.txt"]
    status, heads, body = download.get(daemon, record["execution_id"], "a.txt")
    assert (status, body) == (200, b"0123456789")
    assert heads["content-type"] == "text/plain; charset=utf-8"
    assert heads["content-length"] == "10"
    assert heads["etag"] == '"%s"' % hashlib.sha256(body).hexdigest()
    assert heads["etag"] == '"%s"' % entry["sha256"]
    assert heads["accept-ranges"] == "bytes"
    assert heads["x-content-type-options"] == "nosniff"
    assert heads["content-disposition"] == 'attachment; filename="a.txt"'
    ended = email.utils.parsedate_to_datetime(heads["last-modified"])
    assert abs(ended.timestamp() - time.time()) < 120
    for name, kind in (("page.html", "text/html; charset=utf-8"),
                       ("pixel.png", "image/png"),
                       ("result.json", "application/json"),
                       ("empty", "application/octet-stream")):
        status, heads, body = download.get(
            daemon, record["execution_id"], name)
        assert (status, heads["content-type"]) == (200, kind)
        assert len(body) == listed(record)[name]["size_bytes"]
        assert hashlib.sha256(body).hexdigest() == \
            listed(record)[name]["sha256"]


def test_head(job):
    daemon, record = job
    job_id = record["execution_id"]
    full = download.get(daemon, job_id, "a.txt")
    head = download.get(daemon, job_id, "a.txt", {"Range": "bytes=1-2"}, "HEAD")
    assert (head[0], head[2]) == (200, b"")
    for name in ("content-length", "etag", "content-type", "last-modified",
                 "content-disposition"):
        assert head[1][name] == full[1][name], name
    assert download.get(daemon, job_id, "none", None, "HEAD")[0] == 404


def test_ranges(job):
    daemon, record = job
    job_id = record["execution_id"]
    data = b"0123456789"
    rows = [
        ("bytes=0-0", 206, data[0:1]), ("bytes=2-5", 206, data[2:6]),
        ("bytes=5-", 206, data[5:]), ("bytes=-3", 206, data[-3:]),
        ("bytes=-99", 206, data), ("bytes=0-99999999999999999999", 206, data),
        ("bytes=9-9", 206, data[9:]), ("BYTES= 1-2", 206, data[1:3]),
        ("bytes=10-", 416, None), ("bytes=99999999999999999999-", 416, None),
        ("bytes=-0", 416, None),
        # Several, or none at all: the whole (H62).
        ("bytes=0-1,3-4", 200, data), ("bytes=0-5,2-7,-1", 200, data),
        ("bytes=5-2", 200, data), ("bytes=a-b", 200, data),
        ("bytes=", 200, data), ("bytes=-", 200, data), ("lines=1-2", 200, data),
        ("bytes=1-2x", 200, data), ("0-1", 200, data),
        ("bytes=+1-2", 200, data), ("bytes=1--2", 200, data),
    ]
    for value, wanted, body in rows:
        status, heads, got = download.get(
            daemon, job_id, "a.txt", {"Range": value})
        assert status == wanted, (value, status)
        if status == 416:
            assert heads["content-range"] == "bytes */10", value
            continue
        assert got == body, value
        if status == 206:
            first = data.index(body)
            assert heads["content-range"] == "bytes %d-%d/10" % (
                first, first + len(body) - 1), value
    empty = [download.get(daemon, job_id, "empty", {"Range": r})[0]
             for r in ("bytes=0-", "bytes=-1")]
    assert empty == [416, 200]


def test_conditions(job):
    daemon, record = job
    job_id = record["execution_id"]
    heads = download.get(daemon, job_id, "a.txt")[1]
    etag, date = heads["etag"], heads["last-modified"]

    def ask(method="GET", **fields):
        fields = {k.replace("_", "-"): v for k, v in fields.items()}
        return download.get(daemon, job_id, "a.txt", fields, method)
    for value in (etag, "W/" + etag, "*", '"x", ' + etag, 'W/"y",' + etag):
        for method in ("GET", "HEAD"):
            status, got, body = ask(method, If_None_Match=value)
            assert (status, body) == (304, b""), value
            assert got["etag"] == etag and "content-length" not in got
    for value in ('"x"', etag.upper(), etag[:-1], "", '"', etag[1:-1]):
        status, _, body = ask(If_None_Match=value)
        assert (status, body) == (200, b"0123456789"), value
    status, _, body = ask(If_None_Match='"x"', Range="bytes=1-2")
    assert (status, body) == (206, b"12")
    for value, wanted in ((etag, 206), (date, 206), ("W/" + etag, 200),
                          ('"x"', 200),
                          ("Thu, 01 Jan 1970 00:00:00 GMT", 200)):
        assert ask(If_Range=value, Range="bytes=1-2")[0] == wanted, value
    # A condition that is met comes before a range that is not there.
    assert ask(If_None_Match=etag, Range="bytes=99-")[0] == 304


def test_names(job):
    daemon, record = job
    job_id = record["execution_id"]
    for name in NAMES:
        for asked in (shown(name), name):
            if name[:1] == b".":
                assert download.get(daemon, job_id, asked)[0] == 404
                continue
            if name == b"\xff" and asked == name or name == b"%FF":
                pass  # both are met: by its listed form, each
            status, heads, body = download.get(daemon, job_id, asked)
            assert status == 200, (name, asked)
            if asked == shown(name):
                assert body == b"of " + name, (name, asked)
            for field, value in heads.items():
                assert "\r" not in value and "\n" not in value
                assert field != "x-evil"
            value = heads["content-disposition"]
            assert re.fullmatch(
                r'attachment; filename(="[A-Za-z0-9._~-]+"'
                r"|\*=utf-8''[A-Za-z0-9._~%-]+)", value), value
    # By their bytes, where that is no other's listed form.
    assert download.get(daemon, job_id, b"\xff")[2] == b"of \xff"
    assert download.get(daemon, job_id, b"bad\xff\xfe.bin")[0] == 200


def test_not_there(job):
    daemon, record = job
    job_id = record["execution_id"]
    other = daemon.run("open('/output/mine', 'w').write('x')")
    assert daemon.get("/jobs/%s/artifacts/mine" % job_id)[0] == 404
    assert download.get(daemon, other["execution_id"], "mine")[2] == b"x"
    base = "/jobs/%s/artifacts/" % job_id
    for path, detail in (
            (base + "none", "Artifact not found"),
            (base + ".hidden", "Artifact not found"),
            (base + "folder", "Artifact not found"),
            (base + "inside", "Artifact not found"),
            (base + "0", "Artifact not found"),
            (base + "%2e%2e", "Artifact not found"),
            (base + "..%2f0", "Artifact not found"),
            (base + "folder%2finside", "Artifact not found"),
            (base + "a" * 700, "Artifact not found"),
            (base + "%252e%252e%252fa.txt", "Artifact not found"),
            ("/jobs/%s/artifacts/a.txt" % ("0" * 8 + job_id[12:]),
             "Job not found"),
            ("/jobs/..%2f..%2fetc/artifacts/passwd", "Job not found"),
            ("/jobs/api-00000000-0000-4000-8000-000000000000/artifacts/a.txt",
             "Job not found"),
            (base, "Not Found"), (base + "a.txt/x", "Not Found")):
        status, _, answer = daemon.get(path)
        assert (status, answer["detail"]) == (404, detail), path
    for path in (base + "a%2", base + "a.txt%00", base + "%"):
        assert daemon.get(path)[0] == 400, path
    status, heads, _ = daemon.post(base + "a.txt")
    assert (status, heads["allow"]) == (405, "GET, HEAD")
    queued = daemon.submit("import time; time.sleep(600)")
    status, _, answer = daemon.get("/jobs/%s/artifacts/a.txt" % queued)
    assert (status, answer["detail"]) == (404, "Artifact not found")
    assert daemon.post("/jobs/%s/cancel" % queued)[0] == 200


LARGE = 100 * download.MIB
LARGE_CODE = """
def put(name, mib):
    with open("/output/" + name, "wb") as file:
        for i in range(mib):
            file.write(bytes([i]) * 1048576)
put("large", %d)
put("medium", 16)
""" % (LARGE // download.MIB)


def peak_rss(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", host.read(
        "/proc/%d/status" % pid)).group(1)) * 1024


def reset_peak(pid):
    with open("/proc/%d/clear_refs" % pid, "w") as file:
        file.write("5")


def open_files(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


@pytest.fixture(scope="module")
def large(stored):
    daemon = stored
    pids = [daemon.pid, daemon.children("tako-api")[0]]
    for pid in pids:
        reset_peak(pid)
    before = [peak_rss(pid) for pid in pids]
    record = daemon.run(LARGE_CODE)
    assert record["status"] == "succeeded", record
    assert listed(record)["large"]["size_bytes"] == LARGE
    return daemon, record, pids, before


def test_large(large):
    """100 MB go through the store and to a client, in bounded memory."""
    daemon, record, pids, before = large
    status, heads, body = download.get(daemon, record["execution_id"], "large")
    assert (status, len(body)) == (200, LARGE)
    assert hashlib.sha256(body).hexdigest() == \
        listed(record)["large"]["sha256"]
    status, _, part = download.get(
        daemon, record["execution_id"], "large",
        {"Range": "bytes=%d-%d" % (LARGE - 5, LARGE)})
    assert (status, part) == (206, body[-5:])
    for pid, was in zip(pids, before):
        assert peak_rss(pid) - was < 24 * download.MIB, host.read(
            "/proc/%d/status" % pid)


def connect(daemon, job_id, name, small=False):
    sock = socket.socket()
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(30)
    sock.connect((daemon.host, daemon.port))
    sock.sendall(("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
                  % download.path_of(job_id, name)).encode())
    return sock


def test_reset(large):
    """Clients that go away in the middle leave no descriptor (H63)."""
    daemon, record, pids, _ = large
    api = pids[1]
    before = [open_files(pid) for pid in pids]
    for i in range(8):
        sock = connect(daemon, record["execution_id"], "medium")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        if i % 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
        sock.close()
    for pid, count in zip(pids, before):
        host.wait_for("no descriptor is left in %d" % pid,
                      lambda: open_files(pid) <= count, 30)
    assert daemon.children("tako-api") == [api]
    assert download.get(daemon, record["execution_id"], "medium",
                        {"Range": "bytes=0-0"})[2] == b"\0"


def test_slow_reader(stored, large):
    """One that does not read is ended by api_write_timeout."""
    daemon, record, pids, _ = large
    before = open_files(pids[1])
    logged = daemon.log().count("does not read its answer")
    sock = connect(daemon, record["execution_id"], "medium", small=True)
    assert sock.recv(1) == b"H"
    host.wait_for("it is ended", lambda: daemon.log().count(
        "does not read its answer") > logged, 30)
    host.wait_for("nothing of it is open", lambda:
                  open_files(pids[1]) <= before, 30)
    sock.close()
