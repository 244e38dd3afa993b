"""R11: maps a tebibyte untouched, asks for huge pages, locks memory."""
import mmap

MAP_HUGETLB = 0x40000


def huge():
    area = mmap.mmap(-1, 4 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
                     | MAP_HUGETLB)
    area[0] = 1


def lock():
    size = 256 << 20
    area = mmap.mmap(-1, size)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    if libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(size)) != 0:
        raise OSError(ctypes.get_errno(), "mlock")


tell(tebibyte=attempt(mmap.mmap, -1, 1 << 40), lock=attempt(lock))
# Where it is given, there may be no such page to touch.
tell(huge=forked(lambda: attempt(huge)),
     file=attempt(os.memfd_create, "huge", os.MFD_HUGETLB))
