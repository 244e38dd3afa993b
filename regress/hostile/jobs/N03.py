"""N03: asks for a cloud's metadata."""
import socket


def connect(family, address):
    with socket.socket(family) as sock:
        sock.settimeout(10)
        return attempt(sock.connect, address)


tell(v4=connect(socket.AF_INET, ("169.254.169.254", 80)),
     ecs=connect(socket.AF_INET, ("169.254.170.2", 80)),
     v6=connect(socket.AF_INET6, ("fd00:ec2::254", 80)),
     local=connect(socket.AF_INET6, ("fe80::1", 80, 0, 1)))
