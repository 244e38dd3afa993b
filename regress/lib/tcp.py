"""
tcp.py: what tests that speak HTTP byte by byte do with a socket. A reset is an
end too: what a server may send before it is what the tests are about.
"""


def read_all(sock):
    """All that comes until the end."""
    got = b""
    try:
        while piece := sock.recv(65536):
            got += piece
    except ConnectionError:
        pass
    return got


def send(sock, data):
    """As much as the server takes; whether it took all."""
    try:
        sock.sendall(data)
        return True
    except ConnectionError:
        return False
