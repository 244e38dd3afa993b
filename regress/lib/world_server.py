"""
world_server.py: what answers in a World's namespace. TCP on some ports says
hello, and notes that; HTTP on 80 redirects /to/ADDRESS there; UDP 9999 echoes; UDP and TCP
53 are a name server for which every name is the public address.
"""
import http.server
import socket
import socketserver
import struct
import sys
import threading

PUBLIC, LOG = sys.argv[1:]
PORTS = (443, 8080, 25, 26)


class Http(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", "http://%s/" % self.path[4:])
            self.end_headers()
            return
        body = b"hello\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Six(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        http.server.HTTPServer.server_bind(self)


class Line(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            self.request.sendall(b"hello\n")
            self.request.shutdown(socket.SHUT_WR)
            self.request.recv(1000)
        except OSError:
            pass  # it has gone already
        with open(LOG, "a") as log:
            log.write("%d\n" % self.server.server_address[1])


class Lines(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True


def dns_answer(query):
    """The public address for a question of type A, but for none.test."""
    end = query.index(0, 12) + 5
    kind = struct.unpack(">H", query[end - 4:end - 2])[0]
    answer = b""
    if kind == 1 and b"\x04none\x04test" not in query:
        answer = (b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) +
                  socket.inet_aton(PUBLIC))
    return (query[:2] + b"\x81\x80\x00\x01" +
            struct.pack(">HHH", bool(answer), 0, 0) + query[12:end] + answer)


def udp(port, answer):
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind(("::", port))
    # An answer comes from the address that was asked.
    sock.setsockopt(socket.IPPROTO_IPV6, 49, 1)  # IPV6_RECVPKTINFO
    while True:
        data, extra, _, peer = sock.recvmsg(2048, 256)
        try:
            sock.sendmsg([answer(data)], extra, 0, peer)
        except (OSError, ValueError, struct.error):
            pass


for server in [Six(("::", 80), Http)] + [
        Lines(("::", port), Line) for port in PORTS]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
threading.Thread(target=udp, args=(9999, lambda data: data),
                 daemon=True).start()
threading.Thread(target=udp, args=(53, dns_answer), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
