"""N02: resolves names."""
import socket

began = time.monotonic()
said = []
for name in ("example.com", "localhost.example", "host.docker.internal"):
    try:
        socket.getaddrinfo(name, 80)
        said.append("ok")
    except OSError:
        said.append("fails")
tell(said=said, soon=time.monotonic() - began < 5)
