"""
test_networks.py: what a job with a network reaches, and what not. The hosts
are those of lib/world.py: nothing here leaves the machine.
"""
import json
import os
import signal
import sys

import pytest

from lib import host, shared
from lib.promise import interfaces
from lib.world import METADATA, World

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

ROUTER = "198.19.255.254"
REFUSED = "ECONNREFUSED"
HELLO = "hello"
# How a job sees each host of TRIES: (name, address, port, by UDP).
TRY = """
import errno, json, socket, sys
found = {}
for name, address, port, udp in TRIES:
    try:
        kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
        family, _, _, _, where = socket.getaddrinfo(
            address, port, type=kind)[0]
        with socket.socket(family, kind) as s:
            s.settimeout(1 if name == "multicast" else 20)
            s.connect(where)
            s.sendall(b"hello" if udp else b"GET / HTTP/1.0\\r\\n\\r\\n")
            data = b""
            while b"hello" not in data:
                part = s.recv(1000)
                if not part:
                    break
                data += part
            found[name] = "hello" if b"hello" in data else "other"
    except socket.gaierror:
        found[name] = "no name"
    except OSError as error:
        found[name] = errno.errorcode.get(error.errno, repr(error))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def world():
    world = World()
    yield world
    world.close()


def types(world):
    return [
        {"name": "open", "network_enabled": True},
        {"name": "some", "network_enabled": True, "allowed_hosts": [
            "pub.test", "other.test:8080", "priv.test",
            "none.test"]},
        {"name": "listed", "network_enabled": True, "allowed_hosts": [
            world.private, "%s/31:8080" % world.public,
            "[%s]:443" % world.public6, "priv.test:8080"]},
    ]


PLACES = [("oci", "runsc"), ("oci", "runc"), ("docker", "runsc"),
          ("docker", "runc")]


def place(engine, runtime):
    """What the configuration needs so that there can be networks."""
    return shared.docker_networks(runtime) if engine == "docker" else {}


@pytest.fixture(scope="module", params=PLACES, ids="-".join)
def daemon(request, shared_things, world):
    from conftest import end, make
    world.names(names(world))
    made = make(*request.param, config={
        **place(*request.param),
        "network_allow": ["198.51.100.0/24", "192.88.99.0/24",
                          "2001:db8::/32"],
        "warm_pool_size": 1, "job_types": types(world)},
        program=world.program(shared.program("takod")))
    yield made
    end(made)


def names(world):
    return {"pub.test": [world.public, world.public6],
            "other.test": [world.public], "priv.test": [world.private],
            "meta.test": [METADATA]}


def tries(daemon, job_type, *tried):
    """What a job found, and what its record says of its network."""
    answer = daemon.execute(TRY.replace("TRIES", repr(tried)),
                            job_type=job_type)
    assert answer["success"], answer
    record = daemon.record(answer["execution_id"])
    return json.loads(answer["stdout"]), record["takod"]["network"]


def tcp(name, address, port=80):
    return (name, address, port, False)


def test_public(daemon, world):
    """N05: public hosts, and nothing else."""
    found, network = tries(
        daemon, "open", tcp("public", world.public),
        tcp("port", world.public, 25), tcp("six", world.public6),
        ("udp", world.public, 9999, True), tcp("name", "any.example"),
        tcp("private", world.private), tcp("metadata", METADATA),
        tcp("host", world.here), tcp("host6", world.here6),
        tcp("own", host.own_address()), tcp("router", ROUTER, 53),
        tcp("pasta", "192.0.0.1"), tcp("shared", "100.64.0.1"),
        tcp("mapped", "::ffff:" + world.private),
        tcp("unique", "fd00::1"), tcp("nat64", "64:ff9b::a00:1"),
        ("dns", world.private, 53, True), ("multicast", "224.0.0.1", 5353,
                                           True))
    reached = {"public", "port", "six", "udp", "name"}
    assert {n for n, how in found.items() if how == HELLO} == reached, found
    # Multicast goes nowhere at all where there is no route for it.
    assert {how for n, how in found.items()
            if n not in reached | {"multicast"}} == {REFUSED}, found
    assert network["refused_packets"] >= 11
    assert {"tcp %s 80" % world.private, "udp %s 53" % world.private,
            "tcp %s 80" % world.here6} <= set(network["refused"]), network
    assert "its network refused" in daemon.log()


def test_other_jobs(daemon, world):
    """N05: an address of another job, which listens."""
    server = daemon.submit("""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
    out.connect(("%s", 9))
    print(out.getsockname()[0])
s = socket.create_server(("0.0.0.0", 8080))
s.settimeout(6)
try:
    s.accept()
    print("somebody came")
except TimeoutError:
    pass
""" % world.public, job_type="open")
    host.wait_for("it runs", lambda: daemon.record(server)["status"] ==
                  "running", 20)
    answer = daemon.execute(TRY.replace("TRIES", """(lambda number: [
        (a, a, 8080, False) for a in (
            "198.18.%d.%d" % (n >> 8, n & 255)
            for n in range(max(number - 8, 0), number))])(
        (lambda s: s.connect(("198.51.100.1", 9)) or int.from_bytes(
            socket.inet_aton(s.getsockname()[0])[2:], "big"))(
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))"""),
        job_type="open")
    found = json.loads(answer["stdout"])
    assert set(found.values()) == {REFUSED}, answer
    record = daemon.wait(server)
    address, *more = record["stdout"].split()
    assert address in found and not more


def test_allowed_hosts(daemon, world):
    """N09: what is not listed is not reached, whichever way it is written."""
    number = int.from_bytes(bytes(map(int, world.public.split("."))), "big")
    found, network = tries(
        daemon, "some", tcp("name", "pub.test"), tcp("v6", world.public6),
        tcp("address", world.public), tcp("other", "other.test", 8080),
        tcp("https", "pub.test", 443), tcp("port", "pub.test", 25),
        tcp("rebound", "priv.test"), tcp("private", world.private),
        tcp("metadata", METADATA), tcp("host", world.here),
        tcp("decimal", str(number + 1)),
        tcp("octal", "0%o.0.0.1" % 10), tcp("hex", "0x0a000001"),
        tcp("mapped", "::ffff:" + world.private),
        ("udp", world.public, 9999, True), ("dns", world.public, 53, True),
        tcp("unlisted", "any.example"), tcp("unknown", "none.test"))
    allowed = {"name", "v6", "address", "other", "https"}
    assert {n for n, how in found.items() if how == HELLO} == allowed, found
    assert {how for n, how in found.items() if n not in allowed} == {
        REFUSED, "no name"}, found
    assert [n for n, how in found.items() if how == "no name"] == [
        "unlisted", "unknown"]
    assert sorted(network["addresses"]["pub.test"]) == sorted(
        [world.public, world.public6])
    assert network["addresses"]["none.test"] == []
    assert "tcp %s 80" % world.private in network["refused"]


def test_redirect(daemon, world):
    """N09: a host that is allowed sends the job elsewhere."""
    answer = daemon.execute("""
import urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open("http://pub.test/").read())
for where in ("%s", "%s"):
    try:
        print(opener.open("http://pub.test/to/" + where).read())
    except OSError as error:
        print("refused")
""" % (METADATA, world.private), job_type="some")
    assert answer["stdout"].splitlines() == [
        "b'hello\\n'", "refused", "refused"], answer


def test_listed_addresses(daemon, world):
    """Who names an address means it, also a private one; a name is reached
    where another item has its address."""
    found, _ = tries(
        daemon, "listed", tcp("private", world.private),
        tcp("https", world.private, 443),
        tcp("not the port", world.private, 25),
        tcp("of the name", "priv.test", 443),
        tcp("network", world.public, 8080), tcp("not its", world.public, 80),
        tcp("v6", world.public6, 443), tcp("not v6", world.public6, 80),
        tcp("name", "priv.test", 8080))
    assert {n for n, how in found.items() if how == HELLO} == {
        "private", "https", "of the name", "network", "v6"}, found


def test_metadata_by_name(daemon, world):
    """N03 in allow-list mode: a name that became a metadata service's; and
    a reload takes effect for new sandboxes."""
    changed = types(world)
    changed[1]["allowed_hosts"] = ["meta.test", "pub.test:443"]
    daemon.write_config(job_types=changed)
    daemon.takoctl("reload", check=True)
    try:
        found, network = tries(
            daemon, "some", tcp("meta", "meta.test"),
            tcp("gone", "pub.test"), tcp("new", "pub.test", 443))
        assert found == {"meta": REFUSED, "gone": REFUSED, "new": HELLO}
        assert "tcp %s 80" % METADATA in network["refused"]
    finally:
        daemon.write_config(job_types=types(world))
        daemon.takoctl("reload", check=True)


def test_denied(daemon, world):
    daemon.write_config(network_deny=[world.public + "/32"])
    daemon.takoctl("reload", check=True)
    try:
        found, _ = tries(daemon, "open", tcp("public", world.public),
                         tcp("six", world.public6))
        assert found == {"public": REFUSED, "six": HELLO}
        found, _ = tries(daemon, "listed", tcp("named", world.public, 8080))
        assert found == {"named": HELLO}
    finally:
        daemon.write_config(network_deny=None)
        daemon.takoctl("reload", check=True)


def test_without(daemon, world):
    """A type without a network has none beside them."""
    answer = daemon.execute("""
import socket
print([line.split(":")[0].strip() for line in open("/proc/net/dev")][2:])
try:
    socket.create_connection(("%s", 80), 5)
except OSError as error:
    print(error.errno)
""" % world.public)
    assert answer["stdout"].splitlines() in (
        ["['lo']", "101"], ["['lo']", "113"]), answer


def test_new_address_of_the_host(daemon, world):
    """N05: one that comes while a job runs is refused to it."""
    open(world.log, "w").close()
    job = daemon.submit("""
import socket, time
through = said = refused = 0
while refused < 20:  # in a row
    try:
        with socket.create_connection(("%s", 8080), 1) as s:
            through = s.recv(10) == b"hello\\n"
    except OSError:  # its packets get lost while the address moves
        refused += through
    else:
        refused = 0
        if through and not said:
            socket.create_connection(("%s", 26), 20).close()
            said = 1
    time.sleep(0.05)
""" % (world.spare, world.public), job_type="open", timeout=110)
    with open(world.log) as log:
        host.wait_for("it got through", lambda: "26\n" in log.read(), 60)
    world.take_spare()
    try:
        record = daemon.wait(job, 110)
    finally:
        world.give_spare()
    assert record["status"] == "succeeded", record
    assert "tcp %s 8080" % world.spare in \
        record["takod"]["network"]["refused"], record


def uplink(daemon):
    """pasta of this daemon."""
    return [p for p in daemon.own_uid_processes()
            if p.comm.startswith(("pasta", "passt"))]


def test_pasta_dies(daemon, world):
    """It is started again, and jobs get through."""
    tries(daemon, "open", tcp("public", world.public))
    [before] = uplink(daemon)
    host.signal_pid(before.pid, signal.SIGKILL)
    host.wait_for("another pasta", lambda: [
        p for p in uplink(daemon) if p.pid != before.pid], 20)
    assert "pasta has ended" in daemon.log()
    found, _ = tries(daemon, "open", tcp("public", world.public))
    assert found == {"public": HELLO}


# ---- a takod that is killed --------------------------------------------------

@pytest.mark.parametrize("engine,runtime", PLACES)
def test_killed(shared_things, world, engine, runtime):
    """Nothing of its networks outlives it but what a job's sandbox holds, and
    that is gone once the next life has begun."""
    from conftest import end, make
    made = make(engine, runtime, config={
        **place(engine, runtime),
        "network_allow": ["198.51.100.0/24"], "warm_pool_size": 0,
        "drain_timeout": 0,
        "job_types": [{"name": "open", "network_enabled": True}]},
        program=world.program(shared.program("takod")))
    job = made.submit("import time; time.sleep(60)", job_type="open")
    made.wait_code(job)
    assert len(uplink(made)) == 1
    former = [(p.pid, p.started) for p in made.own_uid_processes()]
    containers = made.containers()
    made.kill9()
    host.wait_for("pasta's end", lambda: not uplink(made), 10)
    made.start()
    # With its processes go a namespace, its interfaces and its rules.
    host.wait_for("what is left to go", lambda: not any(
        host.alive(*process) for process in former), 20)
    found, _ = tries(made, "open", tcp("public", world.public))
    assert found == {"public": HELLO}
    assert not containers & made.containers()
    if engine == "docker":
        assert {name + "-net" for name in containers} & containers
        # What is there is of the new life.
        assert not {name.split(".")[0] for name in os.listdir(
            made.data_dir + "/networks")} & containers
    assert interfaces() == []
    end(made)


# ---- where there can be none -------------------------------------------------

def refused(daemon, text):
    """A job of a type with a network is, and one of another type is not."""
    answer = daemon.execute("print('it ran')", job_type="open")
    record = daemon.record(answer["execution_id"])
    assert (record["status"], record["error"]["type"]) == (
        "failed", "config_error"), record
    assert text in record["error"]["message"], record
    assert daemon.execute("print(1)")["stdout"] == "1\n"


@pytest.mark.parametrize("program,instead,said,text", [
    ("/usr/sbin/nft", "/dev/null", "nft: Permission denied",
     "nft: Permission denied"),
    ("/usr/bin/pasta", "/dev/null", "pasta: Permission denied",
     "pasta: Permission denied"),
    ("/usr/bin/pasta", "/bin/false", "again in 100 ms",
     "pasta does not start")], ids=["nft", "pasta", "broken"])
def test_missing(shared_things, world, program, instead, said, text):
    """One line says it at the start, and so does each such job's record."""
    from conftest import end, make
    made = make("oci", "runc", config={
        "warm_pool_size": 0,
        "job_types": [{"name": "open", "network_enabled": True}]},
        program=world.program(shared.program("takod"), program, instead))
    host.wait_for("a line of it", lambda: said in made.log(), 10)
    try:
        refused(made, "containers can have no network: " + text)
    finally:
        end(made)


def test_docker_without(shared_things):
    """A runtime that the engine starts without a network."""
    from conftest import end, make
    made = make("docker", "runsc", config={
        "warm_pool_size": 0,
        "job_types": [{"name": "open", "network_enabled": True}]})
    refused(made, "--network=none: take that out")
    end(made)


# As etc/takod.service with takod-network.conf, without what gVisor needs there;
# MKNOD where the host's /dev/net/tun is not for everybody.
CAPABILITIES = ("sys_admin", "sys_chroot", "setuid", "setgid", "setpcap",
                "chown", "fowner", "dac_override", "kill", "net_admin",
                "net_bind_service", "mknod")


def test_docker_capabilities(shared_things, world, tmp_path):
    """Those of the systemd unit are enough; and what is given up at the start
    for want of such a job type is missed after a reload."""
    from conftest import end, make
    program = tmp_path / "takod"
    program.write_text("#!/bin/sh\nexec setpriv --bounding-set=-all%s %s "
                       "\"$@\"\n" % ("".join(",+" + c for c in CAPABILITIES),
                                      world.program(shared.program("takod"))))
    program.chmod(0o755)
    plain = [{"name": name, "requirements": []}
             for name in ("data-processing", "ml-inference")]
    made = make("docker", "runc", program=str(program), config={
        "network_allow": ["198.51.100.0/24"], "warm_pool_size": 0,
        "job_types": types(world) + plain})
    try:
        found, _ = tries(made, "open", tcp("public", world.public),
                         tcp("private", world.private))
        assert found == {"public": HELLO, "private": REFUSED}
        made.stop()
        made.write_config(job_types=plain)
        made.start()
        rights = int(host.Process(made.pid).status()["CapEff"], 16)
        assert not rights & (1 << 21 | 1 << 12), hex(rights)
        made.write_config(job_types=types(world) + plain)
        made.takoctl("reload", check=True)
        refused(made, "restart it")
    finally:
        end(made)
