"""R08: allocates past the limit in one process, four times that at most."""
data = []
while len(data) < 64:
    data.append(bytearray(b"x") * (4 << 20))
