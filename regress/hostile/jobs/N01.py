"""N01: connects to addresses of both families; looks for interfaces."""
import socket


def connect(family, address, kind=socket.SOCK_STREAM):
    began = time.monotonic()
    with socket.socket(family, kind) as sock:
        sock.settimeout(5)
        said = attempt(sock.connect, address)
    return said, time.monotonic() - began < 4


tell(interfaces=[line.split(":")[0].strip() for line in
                 text("/proc/net/dev").splitlines() if ":" in line],
     tcp4=connect(socket.AF_INET, ("192.0.2.1", 80)),
     tcp6=connect(socket.AF_INET6, ("2001:db8::1", 80)),
     udp4=connect(socket.AF_INET, ("192.0.2.1", 53), socket.SOCK_DGRAM),
     udp6=connect(socket.AF_INET6, ("2001:db8::1", 53), socket.SOCK_DGRAM),
     host=connect(socket.AF_INET, (GIVEN["address"], GIVEN["listening"])))
