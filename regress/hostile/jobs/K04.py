"""K04: uses the kernel's keyrings."""
user, name = ctypes.c_char_p(b"user"), ctypes.c_char_p(b"takod-regress")
tell(add=call("add_key", user, name, name, 4, -3),
     request=call("request_key", user, name, 0, -3),
     session=call("keyctl", 0, -3, 1), join=call("keyctl", 1, 0),
     describe=call("keyctl", 6, -4, 0, 0))
