"""K12: opens files by handles; types into a terminal."""
import fcntl

TIOCSTI, TIOCSCTTY = 0x5412, 0x540e
handle = ctypes.create_string_buffer((128).to_bytes(4, "little"), 160)
mount = ctypes.c_int()
tell(name=call("name_to_handle_at", -100, ctypes.c_char_p(b"/etc/passwd"),
               handle, ctypes.byref(mount), 0),
     open=call("open_by_handle_at", 0, handle, 0),
     tty=attempt(os.open, "/dev/tty", os.O_RDWR),
     stdin=attempt(fcntl.ioctl, 0, TIOCSTI, b"x"),
     control=attempt(fcntl.ioctl, 1, TIOCSCTTY, 0),
     ttys=[os.isatty(n) for n in range(3)])
