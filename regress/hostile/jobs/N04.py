"""N04: tries what listens on the host's loopback."""
import socket


def connect(family, address):
    with socket.socket(family) as sock:
        sock.settimeout(10)
        return attempt(sock.connect, address)


ports = [5432, 2375, 2376, 8000, GIVEN["port"], GIVEN["listening"]]
tell(v4=[connect(socket.AF_INET, ("127.0.0.1", p)) for p in ports],
     v6=[connect(socket.AF_INET6, ("::1", p)) for p in ports],
     any=[connect(socket.AF_INET, ("0.0.0.0", p)) for p in ports])
