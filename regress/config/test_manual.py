"""
test_manual.py: the manual pages and the programs say the same: commands,
flags, messages, and which key needs a restart.
"""
import os
import re
import subprocess

import pytest

from lib import shared


def page(name):
    with open(os.path.join(shared.TOP, "man", name)) as file:
        return file.read()


def said(*argv):
    done = subprocess.run([shared.program(argv[0]), *argv[1:]], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          env={"HOME": "/nonexistent", "PATH": "/usr/bin"})
    return done.stdout + done.stderr


def test_keys_that_need_a_restart():
    shown = said("tako-vm", "config", "--show-defaults")
    table = {line.split(":")[0] for line in shown.splitlines()
             if line.endswith("a change needs a restart")}
    items = re.split(r"(?m)^\.It Ic ", page("takod.conf.5"))[1:]
    manual = {item.split()[0] for item in items
              if "\nA change needs a restart.\n" in item}
    assert len(table) > 10
    assert table == manual


def test_messages():
    with open(os.path.join(shared.TOP, "common", "msg.h")) as file:
        rows = file.read().split("#define MSG_CATALOGUE(X)")[1]
    catalogue = re.findall(r"X\((\w+), \w+, FROM", rows.split("\n\n")[0])
    manual = re.findall(r"(?m)^\.It Dv (\w+)$", page("tako-imsg.7"))
    assert len(catalogue) > 30
    assert sorted(m for m in manual if m in catalogue) == sorted(catalogue)


def test_routes():
    with open(os.path.join(shared.TOP, "tako-api", "route.c")) as file:
        table = re.findall(
            r'\.method = HTTP_(\w+),\s+\.pattern = "([^"]+)"', file.read())
    manual = re.findall(r"(?m)^\.It Li (GET|POST|DELETE) (\S+)$",
                        page("tako-http.7"))

    def plain(routes):
        return sorted((method, re.sub(r"\{\w+\}", "{}", path))
                      for method, path in routes)
    assert len(table) > 15
    assert plain(manual) == plain(table)


@pytest.mark.parametrize("program,name", [("takoctl", "takoctl.8"),
                                          ("tako-vm", "tako-vm.1")])
def test_commands_and_flags(program, name):
    usage = said(program, "--help")
    commands = re.findall(r"(?m)^  ([a-z]+) ", usage)
    assert len(commands) >= 5
    manual = page(name)
    listed = re.findall(r"(?m)^\.It Ic ([a-z]+)", manual)
    assert set(listed) == set(commands)
    # What usage shows of a command stands in its item.
    for line in re.findall(r"(?m)^  [a-z]+ .*", usage):
        command = line.split()[0]
        item = "".join(re.findall(
            r"(?ms)^\.It Ic %s\b.*?(?=^\.It Ic [a-z]|^\.El)" % command,
            manual))
        for flag in re.findall(r"\[(-{1,2}[a-z-]+)", line):
            assert "Fl " + flag[1:] in item, (command, flag)
