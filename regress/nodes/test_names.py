"""
The database's host by name: looked up by a child of takod's, so a name server
that says nothing holds nothing up.
"""
import os
import socket
import stat
import threading
import time

from lib import host, shared

NAME = "db.takod.example"
SERVER = "127.0.0.253"


class NameServer:
    """Silent, until it is told to answer: that name is 127.0.0.1."""

    def __init__(self):
        self.asked, self.answers = 0, False
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((SERVER, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(512)
            except OSError:
                return
            self.asked += 1
            if self.answers:
                self.sock.sendto(self.answer(query), peer)

    @staticmethod
    def answer(query):
        question = query[12:query.index(b"\0", 12) + 5]
        wanted = question[-4:-2] == b"\0\1"  # A; of others there are none
        head = query[:2] + b"\x81\x80\0\1" + (
            b"\0\1" if wanted else b"\0\0") + bytes(4)
        record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1"
        return head + question + (record if wanted else b"")

    def close(self):
        self.sock.close()


def program(tmp_path):
    """A takod that asks that name server, alone of this host's processes."""
    files = {"resolv.conf": "nameserver %s\noptions timeout:30 attempts:5\n"
             % SERVER, "nsswitch.conf": "hosts: dns\n"}
    lines = ["#!/bin/sh", "set -e"]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        lines.append("mount --bind %s /etc/%s" % (tmp_path / name, name))
        os.chmod(tmp_path / name, 0o644)
    lines.append('exec %s "$@"' % shared.program("takod"))
    inner, outer = tmp_path / "inner", tmp_path / "takod"
    inner.write_text("\n".join(lines) + "\n")
    outer.write_text('#!/bin/sh\nexec unshare -m %s "$@"\n' % inner)
    for path in (inner, outer):
        os.chmod(path, stat.S_IRWXU)
    return str(outer)


def test_silent_name_server(start, tmp_path):
    url = shared.postgres_database("names_%d" % os.getpid())
    server = NameServer()
    try:
        takod = start("oci", "runc", wait=False, program=program(tmp_path),
                      config={"database_url": url.replace("127.0.0.1", NAME)
                              + "?connect_timeout=2"})
        host.wait_for("the name server is asked", lambda: server.asked, 20)
        # While it says nothing, and longer than takod itself waits for it.
        host.wait_for("takod says so", lambda: "the name server does not "
                      "answer" in takod.log(), 30)
        host.wait_for("a child looks it up again",
                      lambda: takod.children("takod"), 10)
        child = host.Process(takod.children("takod")[0])
        assert child.uids() == [65534] * 4
        began = time.monotonic()
        takod.takoctl("status", check=True)
        assert takod.get("/health")[0] == 503
        assert time.monotonic() - began < 100  # it would wait for 150 s
        server.answers = True
        takod.wait_ready()
        assert takod.execute("print(6 * 7)")["stdout"] == "42\n"
        host.wait_for("no child of its own is left",
                      lambda: takod.children("takod") == [], 10)
    finally:
        server.close()
