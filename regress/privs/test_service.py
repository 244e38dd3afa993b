"""
test_service.py: the systemd unit as far as it shows without systemd: jobs run
with no more capabilities than it leaves, and it is installed with its paths.
"""
import os
import re
import subprocess

import pytest

from lib import host, shared


def bounding_set(runtime):
    """What the unit leaves, with its drop-in where runc needs that."""
    names = []
    for name in ["takod.service"] + ["takod-runc.conf"] * (runtime == "runc"):
        with open(os.path.join(shared.TOP, "etc", name)) as file:
            names += re.search(r"(?m)^CapabilityBoundingSet=(.*)$",
                               file.read()).group(1).split()
    return ["+" + name[len("CAP_"):].lower() for name in names]


@pytest.mark.parametrize("runtime", ["runsc", "runc"])
def test_capabilities_suffice(start, runtime, tmp_path):
    wrapper = tmp_path / "takod"
    wrapper.write_text(
        "#!/bin/sh\nexec setpriv --no-new-privs --bounding-set=-all,%s %s "
        '"$@"\n' % (",".join(bounding_set(runtime)), shared.program("takod")))
    wrapper.chmod(0o755)
    takod = start("oci", runtime, program=str(wrapper))
    status = host.read("/proc/%d/status" % takod.pid)
    held = int(re.search(r"CapEff:\s*([0-9a-f]+)", status).group(1), 16)
    assert bin(held).count("1") == len(bounding_set(runtime))
    record = takod.run("open('/output/a', 'w').write('x'); print(1)")
    assert record["stdout"] == "1\n" and len(record["artifacts"]) == 1
    assert takod.run("x = b'x' * (1 << 30)")["status"] == "oom"
    takod.stop()


def test_installed(tmp_path):
    subprocess.run(["make", "-s", "-C", shared.TOP, "install-service",
                    "DESTDIR=%s" % tmp_path, "PREFIX=/usr"], check=True)
    text = (tmp_path / "lib/systemd/system/takod.service").read_text()
    assert "\nExecStart=/usr/sbin/takod -c " in text
    assert "\nExecReload=/usr/sbin/takoctl -c " in text and "@SBINDIR" not in text
    users = (tmp_path / "usr/lib/sysusers.d/takod.conf").read_text()
    assert re.findall(r"(?m)^u (\S+)", users) == ["_takod_api",
                                                  "_takod_worker"]
    assert (tmp_path / "usr/lib/tmpfiles.d/takod.conf").exists()
