#!/bin/sh
# What Tako VM 0.3.0 expects of its executor's image: /code/main.py is run as
# user sandbox under the time limit that it names, and the phases are written
# where it reads them. Its own image is in no package registry.
ms() { date +%s%3N; }
phases=/tako-meta/.tako_phase
began=$(ms)
echo "phase=startup" >$phases
started=$(ms)
printf 'phase=execution\nstartup_ms=%d\n' $((started - began)) >$phases
timeout --signal=TERM --kill-after=10s "${TAKO_EXECUTION_TIMEOUT:-30}s" \
    /gosu python3 -u /code/main.py
code=$?
ended=$(ms)
phase=completed
[ $code -eq 0 ] || phase=failed
printf 'phase=%s\nfailed_phase=execution\nstartup_ms=%d\nexecution_ms=%d\ntotal_ms=%d\n' \
    $phase $((started - began)) $((ended - started)) $((ended - began)) \
    >$phases
exit $code
