"""
Prints how many jobs a second llm-sandbox runs, each in a container of its own:

	drive_llm_sandbox.py IMAGE RUNTIME jobs at_once
"""
import concurrent.futures
import sys
import time

from llm_sandbox import SandboxSession

image, runtime, jobs, at_once = sys.argv[1:3] + [int(n) for n in sys.argv[3:]]


def run(_):
    with SandboxSession(
            lang="python", image=image, keep_template=True,
            skip_environment_setup=True, runtime_configs={
                "runtime": runtime, "network_mode": "none", "tty": True}) as s:
        got = s.run("print(1)")
    assert got.stdout.strip() == "1", got


began = time.perf_counter()
with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
    list(pool.map(run, range(jobs)))
print(jobs / (time.perf_counter() - began))
