"""
test_build.py: what is built is the same wherever and whenever, and says what
it is made of.
"""
import hashlib
import json
import os
import shutil
import subprocess

import pytest

from lib import environment, host, shared

PROGRAMS = ("takod", "tako-api", "tako-worker", "tako-init", "takoctl")
SOURCES = ("Makefile", "common", "takod", "tako-api", "tako-worker",
           "tako-init", "takoctl", "regress")
# The public validator of CycloneDX and what it needs, for one test.
VALIDATOR = """\
cyclonedx-python-lib==11.12.0
arrow==1.4.0
attrs==26.1.0
boolean.py==5.0
defusedxml==0.7.1
fqdn==1.6.0
idna==3.20
isoduration==20.11.0
jsonpointer==3.12
jsonschema==4.26.0
jsonschema-specifications==2025.9.1
lark==1.3.1
license-expression==30.4.4
packageurl-python==0.17.6
py-serializable==2.2.0
python-dateutil==4.0.0
referencing==0.37.0
rfc3339-validator==0.1.4
rfc3986-validator==0.1.1
rfc3987-syntax==1.1.0
rpds-py==2026.9.1
six==1.17.0
sortedcontainers==2.4.0
typing_extensions==4.16.0
tzdata==2026.6
uri-template==1.3.0
webcolors==25.10.0
"""
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(sys.stdin.read())
print(error)
sys.exit(error is not None)
"""


def digest(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make(folder, *argv):
    done = subprocess.run(
        ["make", "-s", "-j2", "CFLAGS=", *argv], cwd=folder,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


def test_reproducible():
    """Another folder, another day, other names for what is in it."""
    other = os.path.join(host.scratch(), "a longer path", "other")
    for name in SOURCES:
        source = os.path.join(shared.TOP, name)
        target = os.path.join(other, name)
        if os.path.isdir(source):
            shutil.copytree(source, target, copy_function=shutil.copyfile)
        else:
            os.makedirs(other, exist_ok=True)
            shutil.copyfile(source, target)
    make(other, "B=elsewhere", "all",
         *(["SAN=1"] if shared.sanitized() else []))
    try:
        for name in PROGRAMS:
            assert digest(os.path.join(other, "elsewhere"), name) == digest(
                shared.build(), name), name
    finally:
        shutil.rmtree(os.path.dirname(other))


@pytest.fixture(scope="module")
def bom():
    done = subprocess.run(
        [os.path.join(shared.TOP, "regress", "sbom"),
         "--build", shared.build()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open(os.path.join(shared.build(), "takod.cdx.json")) as file:
        return file.read()


def test_bom_is_one(bom):
    python = environment.python(
        os.path.join(shared.build(), "check-cyclonedx"), VALIDATOR)
    done = subprocess.run([python, "-c", VALIDATE], input=bom, text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_bom_is_true(bom):
    """Every library that a program loads is in it, as dpkg knows it."""
    whole = json.loads(bom)
    by_ref = {c["bom-ref"]: c for c in whole["components"]}
    depends = {d["ref"]: d["dependsOn"] for d in whole["dependencies"]}
    for name in PROGRAMS:
        assert by_ref[name]["hashes"][0]["content"] == digest(
            shared.build(), name)
        listed = {p["name"] for ref in depends[name]
                  for p in by_ref[ref]["properties"]}
        loaded = subprocess.run(
            ["ldd", os.path.join(shared.build(), name)], text=True,
            capture_output=True).stdout
        paths = [os.path.realpath(word) for line in loaded.splitlines()
                 for word in line.split() if word.startswith("/")]
        assert all("file:" + path in listed for path in paths), name
        assert paths or name == "tako-init"
    # What is in the static one as well.
    names = {by_ref[ref]["name"] for ref in depends["tako-init"]}
    assert {"libc6-dev", "libmd-dev"} <= names
    for component in by_ref.values():
        if component["type"] == "library":
            version = subprocess.run(
                ["dpkg-query", "-W", "-f", "${Version}", component["name"]],
                capture_output=True, text=True).stdout
            assert version.startswith(component["version"]), component
