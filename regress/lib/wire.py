"""
wire.py: a TCP connection's way, which can be cut: between a takod and its
database. Cut, it stays open at both ends and carries nothing, as where a cable
was pulled; mended, what was open is closed, and new connections are carried. Or
the answers alone are held back, and come late.
"""
import socket
import threading


class Wire:
    def __init__(self, port):
        self.upstream = ("127.0.0.1", port)
        self.whole = threading.Event()
        self.whole.set()
        self.answering = threading.Event()
        self.answering.set()
        self.lock, self.open = threading.Lock(), set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(
                target=self.connect, args=(near,), daemon=True).start()

    def connect(self, near):
        self.whole.wait()
        try:
            far = socket.create_connection(self.upstream)
        except OSError:
            near.close()
            return
        with self.lock:
            self.open |= {near, far}
        for way in ((near, far, self.whole), (far, near, self.answering)):
            threading.Thread(target=self.carry, args=way,
                             daemon=True).start()

    def carry(self, source, sink, allowed):
        try:
            while data := source.recv(65536):
                self.whole.wait()
                allowed.wait()
                sink.sendall(data)
        except OSError:
            pass
        self.end({source, sink})

    def end(self, sockets):
        with self.lock:
            mine = sockets & self.open
            self.open -= mine
        for sock in mine:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def cut(self):
        self.whole.clear()

    def hold_answers(self):
        self.answering.clear()

    def let_answers(self):
        self.answering.set()

    def mend(self):
        with self.lock:
            old = set(self.open)
        self.end(old)
        self.whole.set()

    def close(self):
        self.listener.close()
        self.answering.set()
        self.mend()
