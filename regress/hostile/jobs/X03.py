"""X03: dumps the environment of itself, of init, of all that it sees."""
others = []
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (os.getpid(), os.getppid()):
        said = text("/proc/%s/environ" % name)
        others.append(said if said in ("EACCES", "EPERM") else
                      sorted(e.split("=")[0] for e in said.split("\0") if e))
tell(own=sorted(os.environ), others=others, all=dict(os.environ))
