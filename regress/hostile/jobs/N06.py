"""N06: connects to abstract sockets of the host."""
import socket


def connect(name, kind):
    with socket.socket(socket.AF_UNIX, kind) as sock:
        return attempt(sock.connect, "\0" + name)


tell(stream=connect(GIVEN["abstract"], socket.SOCK_STREAM),
     datagram=connect(GIVEN["abstract"] + "-d", socket.SOCK_DGRAM),
     listed=[line for line in text("/proc/net/unix").splitlines()
             if "@" in line])
