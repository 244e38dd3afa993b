"""K06: sockets of every family, type and protocol."""
made, errors = [], {}
for family in range(0, 47):
    for kind in range(1, 7):
        for protocol in (0, 1, 6, 17, 58, 132, 136, 255, 262):
            ctypes.set_errno(0)
            file = libc.socket(family, kind, protocol)
            if file >= 0:
                os.close(file)
                made.append([family, kind, protocol])
            else:
                name = word(ctypes.get_errno())
                errors[name] = errors.get(name, 0) + 1
pairs = []
for family in range(0, 47):
    two = (ctypes.c_int * 2)()
    if libc.socketpair(family, 1, 0, two) == 0:
        pairs.append(family)
tell(made=made, errors=errors, pairs=pairs)
