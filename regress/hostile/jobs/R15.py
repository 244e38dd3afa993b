"""R15: opens files, sockets, pipes, epolls until that fails."""
import select
import socket

WAYS = {
    "files": lambda: [os.open("/dev/null", os.O_RDONLY)],
    "pipes": lambda: os.pipe(),
    "sockets": lambda: [s.detach() for s in socket.socketpair()],
    "epolls": lambda: [select.epoll()],
    "events": lambda: [os.eventfd(0)],
    "memory": lambda: [os.memfd_create("x")],
}


def exhaust(way):
    held = []
    try:
        while len(held) < 10000:
            held.append(way())
    except OSError as error:
        return "%s %d" % (word(error.errno), len(held))
    return "ok"


tell(**{name: forked(lambda: exhaust(way)) for name, way in WAYS.items()})
