"""
download.py: what the tests of artifacts share: requests whose answer is bytes,
and daemons with each of the stores.
"""
import http.client
import urllib.parse

import pytest

from conftest import end, make
from lib import shared
from lib.host import free_port  # noqa: F401

MIB = 1 << 20
# Of one job: more than the defaults, so that large files are met too.
CAPS = {"max_artifact_bytes": 160 * MIB, "max_total_artifacts_bytes": 320 * MIB,
        "container_limits": {"tmpfs_size": "400m", "fsize": 200 * MIB},
        "default_timeout": 60}
# artifact_store and the database beside it.
STORES = (("local", "sqlite"), ("database", "sqlite"), ("database", "pg"),
          ("s3", "sqlite"))


def fetch(daemon, path, headers=None, method="GET", timeout=60):
    """(status, headers with lower-case names, bytes)."""
    connection = http.client.HTTPConnection(
        daemon.host, daemon.port, timeout=timeout)
    try:
        connection.putrequest(method, path)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        reply = connection.getresponse()
        return (reply.status,
                {k.lower(): v for k, v in reply.getheaders()}, reply.read())
    finally:
        connection.close()


def path_of(job_id, name):
    """Of an artifact, by the name that a record lists or by its bytes."""
    return "/jobs/%s/artifacts/%s" % (job_id, urllib.parse.quote(name, safe=""))


def get(daemon, job_id, name, headers=None, method="GET"):
    return fetch(daemon, path_of(job_id, name), headers, method)


def store_keys(kind):
    """What a configuration says of an artifact store."""
    if kind == "s3":
        return shared.s3().keys_of_takod()
    return {"artifact_store": kind}


@pytest.fixture(scope="module", params=STORES, ids="-".join)
def stored(request, shared_things):
    """A daemon of each artifact store: a test that asks for it runs on all."""
    kind, store = request.param
    daemon = make("oci", "runc", store, config={
        **CAPS, **store_keys(kind), "api_write_timeout": 2})
    yield daemon
    end(daemon)
