"""N08: raw sockets, ping, low ports, multicast, router advertisements."""
import socket


def make(family, kind, protocol):
    return attempt(socket.socket, family, kind, protocol)


def send(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        return attempt(sock.sendto, b"x", address)


def join():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                        socket.inet_aton("224.0.0.251") + bytes(4))


tell(raw4=make(socket.AF_INET, socket.SOCK_RAW, 1),
     raw6=make(socket.AF_INET6, socket.SOCK_RAW, 58),
     ping=make(socket.AF_INET, socket.SOCK_DGRAM, 1),
     packet=make(17, socket.SOCK_RAW, 0),
     multicast4=send(socket.AF_INET, ("224.0.0.1", 9)),
     multicast6=send(socket.AF_INET6, ("ff02::1", 9)),
     broadcast=send(socket.AF_INET, ("255.255.255.255", 9)),
     join=attempt(join))
