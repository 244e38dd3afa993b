"""K02: mounts, and whatever else changes what is where."""
none, tmp = ctypes.c_char_p(b"tmpfs"), ctypes.c_char_p(b"/tmp")
tell(mount=call("mount", none, tmp, none, 0, 0),
     remount=call("mount", none, ctypes.c_char_p(b"/"), none, 32, 0),
     bind=call("mount", ctypes.c_char_p(b"/etc"), tmp, none, 4096, 0),
     umount=call("umount2", ctypes.c_char_p(b"/proc"), 2),
     pivot=call("pivot_root", tmp, tmp), chroot=call("chroot", tmp),
     fsopen=call("fsopen", none, 0), fspick=call("fspick", 0, tmp, 0),
     open_tree=call("open_tree", 0, tmp, 1),
     move_mount=call("move_mount", 0, tmp, 0, tmp, 4),
     setattr=call("mount_setattr", 0, tmp, 0, 0, 0))
