"""
test_uninstall.py: make uninstall takes away what the targets of installation
put there, and nothing else.
"""
import os
import subprocess

from lib import shared

TARGETS = ("install", "install-python", "install-service",
           "install-completions")
# The operator's: made by install-service, but never taken away.
KEPT = "etc/tako_vm/config.yaml"
# There before, in the folders that takod's own files come to.
FOREIGN = ("usr/sbin/other", "usr/libexec/takod/other", "usr/share/takod/mine",
           "usr/share/man/man8/other.8", "lib/systemd/system/other.service",
           "usr/lib/python3/dist-packages/other.py",
           "usr/lib/sysusers.d/other.conf",
           "usr/share/bash-completion/completions/other",
           "var/lib/tako_vm/takod.db")


def make(folder, *targets):
    # What is built is taken as it is: -o says that it is not to be made anew.
    built = ["all", *map(shared.program, ("takoctl", "tako-vm"))]
    subprocess.run(
        ["make", "-s", "-C", shared.TOP, "B=" + shared.build(),
         *(word for name in built for word in ("-o", name)),
         "DESTDIR=%s" % folder, "PREFIX=/usr", *targets],
        check=True, stdin=subprocess.DEVNULL)


def files(folder):
    """Everything below a folder but its folders, by path."""
    return {os.path.relpath(os.path.join(where, name), folder)
            for where, _, names in os.walk(folder) for name in names}


def test_nothing_is_left(tmp_path):
    make(tmp_path, *TARGETS)
    there = files(tmp_path)
    assert len(there) > 25 and KEPT in there
    for part in ("usr/sbin/takod", "usr/bin/tako-vm",
                 "lib/systemd/system/takod.service",
                 "usr/lib/python3/dist-packages/tako_vm/config.py",
                 "usr/share/zsh/site-functions/_takoctl"):
        assert part in there
    # As it is once Python has loaded it.
    cache = tmp_path / "usr/lib/python3/dist-packages/tako_vm/__pycache__"
    cache.mkdir()
    (cache / "config.cpython-311.pyc").write_bytes(b"")
    make(tmp_path, "uninstall")
    assert files(tmp_path) == {KEPT}
    for folder in ("usr/libexec/takod", "usr/share/takod",
                   "usr/lib/python3/dist-packages/tako_vm"):
        assert not (tmp_path / folder).exists()
    make(tmp_path, "uninstall")  # once more is no error


def test_what_others_have_stays(tmp_path):
    for path in FOREIGN:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / KEPT).parent.mkdir(parents=True)
    (tmp_path / KEPT).write_text("max_workers: 3\n")
    before = files(tmp_path)
    make(tmp_path, *TARGETS)
    assert files(tmp_path) > before
    make(tmp_path, "uninstall")
    assert files(tmp_path) == before
    for path in FOREIGN:
        assert (tmp_path / path).read_text() == path
    assert (tmp_path / KEPT).read_text() == "max_workers: 3\n"
