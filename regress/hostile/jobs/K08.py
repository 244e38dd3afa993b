"""K08: modules, kexec, reboot, swap, accounting, quotas, ports, ldt."""
path = ctypes.c_char_p(b"/tmp/x")
zeros = ctypes.create_string_buffer(64)
trials = {
    "init_module": (zeros, 64, path), "finit_module": (0, path, 0),
    "delete_module": (path, 0), "kexec_load": (0, 0, 0, 0),
    "kexec_file_load": (0, 0, 0, 0, 0),
    # Wrong on purpose in its second word: it is to be refused, not done.
    "reboot": (0xfee1dead, 1, 0, 0), "swapon": (path, 0), "swapoff": (path,),
    "acct": (path,), "quotactl": (0, path, 0, 0), "sethostname": (path, 1),
    "setdomainname": (path, 1), "iopl": (3,), "ioperm": (0, 1, 1),
    "modify_ldt": (1, zeros, 16), "vhangup": (), "lookup_dcookie": (0, 0, 0),
}
tell(calls={name: forked(lambda: call(name, *args))
            for name, args in trials.items() if name in GIVEN["calls"]})
