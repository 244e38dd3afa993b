"""
installer.py: installs packages into a layer. The code of an installer's
container, a part of the program takod (layer_build.c): the last line, which
calls main() with the settings, is added there. Its input is a wheel of pip,
for images that have none.

It leaves /output/layer.tar, the installed files, and /output/layer.lock, a
line "name version sha256" for each package. What pip says goes to stdout, line
by line; the reason of a failure, in few lines, to stderr.

Nothing that was installed is run here, and what Python would run before a
job's own code (sitecustomize, modules of the standard library's names) is left
out: jobs find the layer in front of the standard library.
"""
import compileall
import errno
import io
import json
import netrc
import os
import pkgutil
import py_compile
import shutil
import subprocess
import sys
import tarfile
import urllib.parse

WORK = "/output/.work"  # hidden, so that it is no file of the result
TREE = WORK + "/tree"
HOOKS = {"sitecustomize", "usercustomize"}
# A wheel may name another package by an address, and pip takes what is there
# whatever --only-binary says. It installs wheels in its own process, and
# starts others to build.
WHEELS_ONLY = """
import runpy, sys
def hook(event, _):
    if event in ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.system"):
        raise PermissionError(
            "a package is to be built from its source, and "
            "package_source_builds is off")
sys.addaudithook(hook)
del sys.argv[0]
"""


def fail(text):
    if os.strerror(errno.ENOSPC) in text:
        text += "\nlayer_max_bytes gives no more room than that"
    sys.stderr.write(text[-2000:].strip() + "\n")
    sys.exit(1)


def pip_there():
    """The image's own pip fits its interpreter; else the one of takod."""
    probe = subprocess.run([sys.executable, "-Im", "pip", "--version"],
                           stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    return None if probe.returncode == 0 else "/input/data.json/pip"


def pip_command(s):
    place = pip_there()
    if s["source"]:
        return ["-I", place] if place else ["-Im", "pip"]
    run = "runpy.run_path(sys.argv[0], run_name='__main__')" if place else \
        "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
    return ["-Ic", WHEELS_ONLY + run, place or "pip"]


def pip_arguments(s):
    argv = ["install", "--target", TREE, "--report", WORK + "/report",
            "--no-compile", "--no-cache-dir", "--no-input", "--no-color",
            "--disable-pip-version-check", "--root-user-action=ignore",
            "--progress-bar=off", "--retries", "2", "--timeout", "20"]
    if not s["source"]:
        argv += ["--only-binary", ":all:"]
    if s["certificates"]:
        with open(WORK + "/certificates", "w") as file:
            file.write(s["certificates"])
        argv += ["--cert", WORK + "/certificates"]
    if s["proxy"]:
        argv += ["--proxy", s["proxy"]]
    for url in [s["index"]] + s["extra"]:
        if url.startswith("http:"):  # the operator's choice
            argv += ["--trusted-host", urllib.parse.urlsplit(url).netloc]
    return argv


def environment(s):
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": WORK,
           "TMPDIR": WORK, "PIP_CONFIG_FILE": "/dev/null",
           "PIP_INDEX_URL": s["index"]}
    if s["netrc"]:
        env["NETRC"] = WORK + "/netrc"
        with open(env["NETRC"], "w") as file:
            file.write(s["netrc"])
        os.chmod(env["NETRC"], 0o600)
    if s["extra"]:
        env["PIP_EXTRA_INDEX_URL"] = " ".join(s["extra"])
    return env


def secrets(s):
    """What stands in no line of pip's, should it ever print it."""
    found = [urllib.parse.urlsplit(s["proxy"]).password] if s["proxy"] else []
    if s["netrc"]:
        try:
            hosts = netrc.netrc(WORK + "/netrc").hosts
        except (OSError, netrc.NetrcParseError) as error:
            # Its text may be a line of the file.
            fail("ERROR: package_netrc_file: %s" % type(error).__name__)
        found += [host[2] for host in hosts.values()]
    return [word for word in found if word]


def install(s):
    env = environment(s)
    hidden = secrets(s)
    child = subprocess.Popen(
        [sys.executable] + pip_command(s) + pip_arguments(s) + ["--"] +
        s["requirements"], env=env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", cwd=WORK)
    last, broken = [], ""
    for line in child.stdout:
        for word in hidden:
            line = line.replace(word, "****")
        sys.stdout.write(line)
        sys.stdout.flush()
        last = (last + [line])[-12:]
        if "connection broken by" in line:
            broken = line
    if child.wait() != 0:
        wrong = [line for line in last if line.startswith("ERROR:")]
        if broken:  # to pip the same as an index that lacks the package
            wrong.append("ERROR: An index could not be reached\n")
        fail("".join(wrong[::-1] or last) + broken)


def lock():
    with open(WORK + "/report") as file:
        report = json.load(file)
    lines = []
    for item in report["install"]:
        hashes = item["download_info"].get("archive_info", {})
        value = hashes.get("hashes", {}).get("sha256") or \
            hashes.get("hash", "").replace("sha256=", "")
        lines.append("%s %s %s\n" % (item["metadata"]["name"],
                                     item["metadata"]["version"],
                                     value or "-"))
    return "".join(sorted(lines, key=str.lower))


def standard():
    """Modules of the standard library, of which Python 3.9 has no list."""
    names = getattr(sys, "stdlib_module_names", None)
    if names is not None:
        return set(names)
    top = os.path.dirname(os.__file__)
    return set(sys.builtin_module_names) | {
        module.name for module in pkgutil.iter_modules(
            [top, os.path.join(top, "lib-dynload")])}


def strip():
    hidden = HOOKS | standard()
    for name in os.listdir(TREE):
        path = os.path.join(TREE, name)
        if name.split(".")[0] not in hidden and not name.endswith(".pth"):
            continue
        print("left out: %s" % name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def entry_of(tar, name):
    """One of that name, which stands before it where it is long."""
    entry = tarfile.TarInfo(name)
    text = os.fsencode(name)
    # A folder's is given a slash at its end.
    if len(text) >= tarfile.LENGTH_NAME:
        before = tarfile.TarInfo("././@LongLink")
        before.type = tarfile.GNUTYPE_LONGNAME
        before.size = len(text)
        tar.addfile(before, io.BytesIO(text))
        entry.name = "long"
    return entry


def pack(cap):
    """Files go as they enter the tar: there are never two of all."""
    size = count = 0
    with tarfile.open("/output/layer.tar", "w",
                      format=tarfile.USTAR_FORMAT) as tar:
        for folder, folders, files in os.walk(TREE):
            folders.sort()
            inside = os.path.relpath(folder, TREE)
            if inside != ".":
                entry = entry_of(tar, inside)
                entry.type = tarfile.DIRTYPE
                entry.mode = 0o755
                tar.addfile(entry)
            for name in sorted(files):
                path = os.path.join(folder, name)
                entry = entry_of(tar, os.path.normpath(
                    os.path.join(inside, name)))
                entry.size = os.path.getsize(path)
                entry.mode = 0o755 if os.access(path, os.X_OK) else 0o644
                size += entry.size
                count += 1
                if size > cap:
                    fail("ERROR: the packages are larger than "
                         "layer_max_bytes (%d bytes)" % cap)
                with open(path, "rb") as file:
                    tar.addfile(entry, file)
                os.unlink(path)
    print("%d files, %d MiB" % (count, size >> 20))


def main(settings):
    os.makedirs(TREE)
    try:
        install(settings)
        text = lock()
        strip()
        print("Compiling bytecode")
        # A layer never changes: its source need not be looked at again.
        compileall.compile_dir(
            TREE, quiet=2, workers=2, stripdir=TREE,
            prependdir=settings["place"],
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        pack(settings["max_bytes"])
        with open("/output/layer.lock", "w") as file:
            file.write(text)
    except OSError as error:
        fail("ERROR: %s" % error)
