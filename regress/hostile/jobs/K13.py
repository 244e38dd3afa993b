"""K13: how large a core it may leave: none; tries to change that."""
import resource

tell(core=resource.getrlimit(resource.RLIMIT_CORE))
for limit in ((0, 1), (0, 0)):
    try:
        resource.setrlimit(resource.RLIMIT_CORE, limit)
    except OSError:
        pass
tell(after=resource.getrlimit(resource.RLIMIT_CORE))
