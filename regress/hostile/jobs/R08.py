"""R08: allocates past the limit in one process."""
data = []
while True:
    data.append(bytearray(b"x") * (4 << 20))
