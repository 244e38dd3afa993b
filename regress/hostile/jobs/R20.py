"""R20: sets the clock, real-time scheduling, ionice, negative nice."""
time_of = (ctypes.c_long * 2)(0, 0)
tell(clock_settime=call("clock_settime", 0, time_of),
     settimeofday=call("settimeofday", time_of),
     adjtimex=call("adjtimex", ctypes.create_string_buffer(
         b"\1\0\0\0" + bytes(252), 256)),
     fifo=attempt(lambda: os.sched_setscheduler(
         0, os.SCHED_FIFO, os.sched_param(1))),
     ioprio=call("ioprio_set", 1, 0, 1 << 13),
     nice=attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5)))
