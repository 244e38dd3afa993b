"""K13: how large a core it may leave: none; tries to change that."""
import resource

tell(core=resource.getrlimit(resource.RLIMIT_CORE))
for limit in ((0, 1), (0, 0)):
    try:
        resource.setrlimit(resource.RLIMIT_CORE, limit)
    except OSError:
        pass
# Of the number of a limit the kernel takes 32 bits.
none = ctypes.create_string_buffer(16)
for number in (resource.RLIMIT_CORE, 1 << 32 | resource.RLIMIT_CORE):
    call("setrlimit", number, ctypes.addressof(none))
    call("prlimit64", 0, number, ctypes.addressof(none))
tell(after=resource.getrlimit(resource.RLIMIT_CORE))
