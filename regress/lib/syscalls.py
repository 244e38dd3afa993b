"""
syscalls.py: numbers of system calls, and their names, as libseccomp knows
them: what takod's runtimes resolve a profile with.
"""
import ctypes

LAST = 600  # behind all that there are
ARCHES = {"x86_64": 0xc000003e, "aarch64": 0xc00000b7}
library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
library.free = ctypes.CDLL(None).free


def named(number, arch=None):
    """The call's name on that architecture (this one's: None), or None."""
    token = ARCHES[arch] if arch else library.seccomp_arch_native()
    found = library.seccomp_syscall_resolve_num_arch(
        ctypes.c_uint32(token), number)
    if not found:
        return None
    name = ctypes.cast(found, ctypes.c_char_p).value.decode()
    library.free(ctypes.c_void_p(found))
    return name


def numbers(arch=None):
    """Numbers by name."""
    return {name: number for number, name in
            ((n, named(n, arch)) for n in range(LAST)) if name}
