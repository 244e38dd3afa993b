"""
client_0_3.py URL: the client of Tako VM 0.3.0, each of its methods against a
server. Runs in an interpreter that has that version; prints what it got as one
JSON object, by the names of the methods. Nothing of takod's tests is imported.
"""
import json
import sys
import time
from dataclasses import asdict, dataclass

import tako_vm
from tako_vm.sdk import client as module

URL = sys.argv[1]
got = {}


@dataclass
class Numbers:
    a: int
    b: int


@dataclass
class Total:
    total: int
    text: str


def add(numbers: Numbers) -> Total:
    return Total(total=numbers.a + numbers.b, text="sum")


def breaks(numbers: Numbers) -> Total:
    raise ValueError("told to")


def refused(call, *args, **kwargs):
    """What the client raises for an error, as a dict."""
    try:
        call(*args, **kwargs)
    except module.APIError as error:
        return {"type": type(error).__name__, "status": error.status_code,
                "detail": error.detail, "cid": bool(error.correlation_id)}
    return None


def until(probe):
    end = time.monotonic() + 30
    while True:
        value = probe()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.05)


def main():
    client = module.TakoVM(URL, correlation_id="client-0-3")
    total = client.send(add, Numbers(2, 3), timeout=20)
    got["send"] = [type(total).__name__, asdict(total)]
    try:
        client.send(breaks, Numbers(1, 1), timeout=20)
    except module.SDKExecutionError as error:
        got["send_fails"] = str(error)
    raw = client.send_raw(add, Numbers(40, 2), timeout=20)
    got["send_raw"] = {**asdict(raw), "output": asdict(raw.output)}

    key = "client-key-%d" % time.monotonic_ns()
    job = client.submit(add, Numbers(5, 6), timeout=20, idempotency_key=key)
    got["submit_again"] = job == client.submit(
        add, Numbers(5, 6), timeout=20, idempotency_key=key)
    got["submit_other"] = refused(client.submit, add, Numbers(5, 7),
                                  timeout=20, idempotency_key=key)
    got["get_result"] = client.get_result(job, timeout=30)
    got["get_result_full"] = client.get_result(job, view="full")
    got["get_status"] = client.get_status(job)
    got["get_execution"] = client.get_execution(job)
    got["get_execution_full"] = client.get_execution(job, view="full")
    got["job"] = job

    code = client.submit_code(
        "print(open('/input/data.json').read())", {"n": 1}, timeout=20,
        startup_timeout=60, job_type="default")
    got["submit_code"] = client.get_result(code, timeout=30)
    again = client.rerun(code, timeout=59)
    got["rerun"] = client.get_result(again, timeout=30, view="full")
    got["rerun_of"] = code
    other = client.fork(code, "print('forked')", job_type="default")
    got["fork"] = client.get_result(other, timeout=30, view="full")

    sleeps = client.submit_code("import time; time.sleep(60)", timeout=100)
    until(lambda: client.get_status(sleeps)["status"] == "running")
    got["cancel"] = client.cancel(sleeps)
    got["cancelled"] = client.get_result(sleeps, timeout=30)["status"]
    got["cancel_again"] = refused(client.cancel, sleeps)
    got["rerun_running"] = None
    sleeps = client.submit_code("import time; time.sleep(60)", timeout=100)
    until(lambda: client.get_status(sleeps)["status"] == "running")
    got["rerun_running"] = refused(client.rerun, sleeps)
    client.cancel(sleeps)

    got["pool_stats"] = client.pool_stats()
    got["dlq_stats"] = client.dlq_stats()
    got["health"] = client.health()
    got["list_job_types"] = client.list_job_types()
    got["get_job_type"] = client.get_job_type("default")
    got["no_job_type"] = refused(client.get_job_type, "none")
    got["build_job_type"] = client.build_job_type("default")
    got["no_build"] = refused(client.build_job_type, "none")
    got["no_job"] = refused(client.get_status,
                            "00000000-0000-4000-8000-000000000000")
    got["bad_code"] = refused(client.submit_code, " ")
    # The module's functions go through the default client.
    tako_vm.configure(URL, timeout=30)
    got["module_send"] = asdict(tako_vm.send(add, Numbers(1, 1)))
    got["module_health"] = tako_vm.health()["status"]
    files = client.submit_code(
        "open('/output/a b.bin', 'wb').write(bytes(range(256)))")
    client.get_result(files, timeout=30)
    got["files"] = files
    print(json.dumps(got))


main()
