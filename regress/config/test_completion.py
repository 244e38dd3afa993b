"""
test_completion.py: the completion scripts as bash itself uses them.
"""
import subprocess

import pytest

from lib import shared

ASK = """
source <("$1" completion bash)
COMP_WORDS=("${@:2}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
"_${2##*/}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def offered(*words):
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", shared.program(words[0]), *words],
        capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize("words,want", [
    (("takoctl", "re"), {"resume", "reload", "rerun", "retry"}),
    (("takoctl", "-c", "re", "st"), {"status", "stop"}),
    (("takoctl", "reload", ""), {"--dry-run"}),
    (("takoctl", "logs", ""), {"--stdout", "--stderr"}),
    (("takoctl", "executions", "--s"), {"--since"}),
    (("takoctl", "verbose", "w"), {"warning"}),
    (("takoctl", "image", ""), {"build", "list", "remove"}),
    (("takoctl", "drain", ""), set()),
    (("tako-vm", "ver"), {"version"}),
    (("tako-vm", "server", ""), {"--host", "--port"}),
    (("tako-vm", "completion", "b"), {"bash"})])
def test_bash(words, want):
    assert offered(*words) == want


@pytest.mark.parametrize("program", ["takoctl", "tako-vm"])
def test_zsh_has_every_command(program):
    def run(shell):
        return subprocess.run(
            [shared.program(program), "completion", shell],
            capture_output=True, text=True)
    text = run("zsh").stdout
    done = subprocess.run(["zsh", "-n", "/dev/stdin"], input=text, text=True,
                          capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert text.startswith("#compdef %s\n" % program)
    for command in offered(program, ""):
        assert "\t'%s:" % command in text
    assert run("fish").returncode in (2, 64)
