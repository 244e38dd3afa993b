"""K05: bpf, perf_event_open, userfaultfd, io_uring, fanotify."""
zeros = ctypes.create_string_buffer(256)
perf = ctypes.create_string_buffer(
    (1).to_bytes(4, "little") + (128).to_bytes(4, "little") + bytes(248), 256)
tell(bpf=call("bpf", 0, zeros, 64),
     perf=call("perf_event_open", perf, 0, -1, -1, 0),
     userfaultfd=call("userfaultfd", 1),
     io_uring=call("io_uring_setup", 4, zeros),
     io_uring_enter=call("io_uring_enter", -1),
     io_uring_register=call("io_uring_register", -1),
     fanotify=call("fanotify_init", 0, 0), aio=call("io_setup", 1, zeros))
