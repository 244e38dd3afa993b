"""K13: how large a core it may leave: none."""
import resource

tell(core=resource.getrlimit(resource.RLIMIT_CORE))
