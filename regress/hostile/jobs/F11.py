"""F11: reads what the kernel says about itself and the host."""
PATHS = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug",
         "/proc/kallsyms", "/proc/kmsg", "/proc/acpi/wakeup",
         "/proc/scsi/scsi", "/proc/interrupts", "/proc/latency_stats",
         "/proc/asound/version", "/sys/firmware/acpi",
         "/sys/firmware/dmi/tables/DMI", "/sys/kernel/debug/x",
         "/dev/kmsg", "/dev/mem")


def first(path):
    """'nothing', what is there, or why not."""
    try:
        with open(path, "rb") as file:
            data = file.read(200)
            return repr(data) if data else "nothing"
    except OSError as error:
        return word(error.errno)


def pointers():
    """Lines of kernel symbols with an address that is not hidden."""
    try:
        with open("/proc/kallsyms") as file:
            return sum(int(line.split()[0], 16) != 0 for line in file)
    except (OSError, ValueError):
        return 0


buffer = ctypes.create_string_buffer(4096)
tell(read={path: first(path) for path in PATHS}, pointers=pointers(),
     syslog=call("syslog", 3, buffer, 4096))
