"""K10: gets more rights by programs and by asking."""
import subprocess

status = dict(line.split(":\t", 1) for line in
              text("/proc/self/status").splitlines() if ":\t" in line)
# A program that anybody may make set-user-ID, of no use to its owner.
with open("/output/own", "w") as file:
    file.write("x")
header = (ctypes.c_int * 2)(0x20080522, 0)
full = (ctypes.c_uint32 * 6)(*[0xffffffff] * 6)
set_id = [os.path.join(folder, name)
          for root in ("/usr/bin", "/usr/sbin", "/usr/lib")
          for folder, _, names in os.walk(root) for name in names
          if os.lstat(os.path.join(folder, name)).st_mode & 0o6000]
after = subprocess.run(
    [sys.executable, "-I", "-S", "-c", "import os\nprint(os.geteuid())"],
    capture_output=True, text=True).stdout.strip()
PR_CAP_AMBIENT, RAISE, PR_GET_NO_NEW_PRIVS = 47, 2, 39
tell(caps={k: v for k, v in status.items() if k.startswith("Cap")},
     no_new_privs=libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
     set_id=set_id, same=after == str(os.geteuid()),
     setuid=forked(lambda: attempt(os.setuid, 0)),
     setgid=forked(lambda: attempt(os.setgid, 0)),
     setgroups=forked(lambda: attempt(os.setgroups, [0])),
     capset=forked(lambda: call("capset", header, full)),
     ambient=libc.prctl(PR_CAP_AMBIENT, RAISE, 21, 0, 0),
     chown=attempt(os.chown, "/output/own", 0, 0))
os.unlink("/output/own")
