#!/usr/bin/python3
"""
index.py: an index of packages in a network namespace of its own, at an address
that this host reaches and that is nobody else's. As a program it is the
server; log lines are "<method> <path> <user or ->".

/simple/		wheels that wheel() made
/private/simple/	the same, for the user and password below
/hang/simple/		never answers
/extra/simple/		another index; https:// has its certificate in cert.pem
http://.../...		it is a proxy too, which takes the same from here
"""
import base64
import functools
import hashlib
import http.server
import os
import socketserver
import ssl
import subprocess
import sys
import time
import zipfile

USER, PASSWORD = "alice", "open-sesame-81"
PORT, PROXY_PORT, TLS_PORT = 8080, 8081, 8443


def wheel(folder, name, version="1.0", files=None, requires=()):
    """A wheel with those files (text or bytes by path) in folder/name/."""
    info = "%s-%s.dist-info" % (name, version)
    files = dict(files if files is not None
                 else {name + ".py": "WHO = %r\n" % name})
    files[info + "/METADATA"] = (
        "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version) +
        "".join("Requires-Dist: %s\n" % item for item in requires))
    files[info + "/WHEEL"] = ("Wheel-Version: 1.0\nGenerator: test\n"
                              "Root-Is-Purelib: true\nTag: py3-none-any\n")
    record = "".join("%s,,\n" % path for path in files)
    files[info + "/RECORD"] = record + info + "/RECORD,,\n"
    os.makedirs(os.path.join(folder, name.replace("_", "-")), exist_ok=True)
    path = os.path.join(folder, name.replace("_", "-"),
                        "%s-%s-py3-none-any.whl" % (name, version))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, content in files.items():
            archive.writestr(inside, content)
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *_):
        pass

    def do_GET(self):
        proxied = self.path.startswith("http://")
        if proxied:
            self.path = "/" + self.path.split("/", 3)[3]
        user = self.headers.get("Authorization", "-")
        print(self.command, ("proxy " if proxied else "") + self.path,
              user, flush=True)
        if self.path.startswith("/hang/"):
            while True:
                time.sleep(60)
        if self.path.startswith("/private/"):
            right = base64.b64encode(
                ("%s:%s" % (USER, PASSWORD)).encode()).decode()
            if user != "Basic " + right:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="private"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.path = self.path[len("/private"):]
        super().do_GET()


class Index:
    """One in folder, until close()."""

    def __init__(self, folder):
        # One of 64 networks, for lanes and checkouts at the same time.
        number = os.getpid() % 64 * 4
        self.name = "takod-index-%d" % os.getpid()
        self.link = "tki%d" % os.getpid()
        self.host = "198.18.77.%d" % (number + 2)
        self.folder = os.path.join(folder, "index")
        self.files = os.path.join(self.folder, "files", "simple")
        os.makedirs(self.files)
        self.url = "http://%s:%d" % (self.host, PORT)
        self.tls = "https://%s:%d" % (self.host, TLS_PORT)
        self.cert = os.path.join(self.folder, "cert.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
             "-days", "2", "-subj", "/CN=index", "-addext",
             "subjectAltName=IP:" + self.host, "-keyout", self.cert + ".key",
             "-out", self.cert], check=True, stderr=subprocess.DEVNULL)
        self.proxy = "http://%s:%d" % (self.host, PROXY_PORT)
        self.log_path = os.path.join(self.folder, "log")
        self.servers = []
        ip("netns", "add", self.name)
        try:
            ip("link", "add", self.link, "type", "veth", "peer", "name",
               "eth0", "netns", self.name)
            ip("addr", "add", "198.18.77.%d/30" % (number + 1), "dev",
               self.link)
            ip("link", "set", self.link, "up")
            for words in (["addr", "add", self.host + "/30", "dev", "eth0"],
                          ["link", "set", "eth0", "up"],
                          ["route", "add", "default", "via",
                           "198.18.77.%d" % (number + 1)]):
                ip("-n", self.name, *words)
            for port in (PORT, PROXY_PORT, TLS_PORT):
                with open(self.log_path, "ab") as log:
                    self.servers.append(subprocess.Popen(
                        ["ip", "netns", "exec", self.name, sys.executable,
                         os.path.abspath(__file__), self.host, str(port),
                         os.path.dirname(self.files), self.cert],
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        except BaseException:
            self.close()
            raise

    def wheel(self, *args, **more):
        """wheel(), into /simple/, or into another folder if below says so."""
        return wheel(os.path.join(os.path.dirname(self.files), more.pop(
            "below", "simple")), *args, **more)

    def wait(self):
        """Until it answers."""
        from . import host  # not as a program
        host.wait_for("the index answers", lambda: subprocess.run(
            ["curl", "-fsS", "-o", "/dev/null", self.url + "/simple/"],
            stderr=subprocess.DEVNULL).returncode == 0)

    def log(self):
        with open(self.log_path) as file:
            return file.read().splitlines()

    def asked(self, text):
        """Lines of requests that have it."""
        return [line for line in self.log() if text in line]

    def close(self):
        for server in self.servers:
            server.kill()
            server.wait()
        subprocess.run(["ip", "link", "del", self.link],
                       stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "del", self.name],
                       stderr=subprocess.DEVNULL)


def ip(*args):
    subprocess.run(["ip", *args], check=True, stdin=subprocess.DEVNULL)


class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        """Without the look-up of its own name, which takes seconds here."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


if __name__ == "__main__":
    server = Server(
        (sys.argv[1], int(sys.argv[2])),
        functools.partial(Handler, directory=sys.argv[3]))
    if int(sys.argv[2]) == TLS_PORT:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[4], sys.argv[4] + ".key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
