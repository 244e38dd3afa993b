"""K09: personalities that weaken address layout."""
tell(norandom=forked(lambda: call("personality", 0x40000)),
     exec=forked(lambda: call("personality", 0x400000)),
     both=forked(lambda: call("personality", 0x440000)),
     plain=call("personality", 0), asked=call("personality", 0xffffffff))
