"""R09: a child allocates past the limit while the main process lives on."""
pid = os.fork()
if pid == 0:
    data = []
    while len(data) < 64:
        data.append(bytearray(b"x") * (4 << 20))
    os._exit(0)
tell(child=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
