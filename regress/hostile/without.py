#!/usr/bin/python3 -IB
"""
without.py: an OCI runtime that leaves out one defence: the real runc, with the
container's configuration changed as a variable of its environment asks. And
the table of what a row's test must then say.
"""
import json
import os
import shutil
import sys

VARIABLE = "WITHOUT"
PLACES = "places.json"  # beside the link to this: paths that edits need


def namespace(config, kind):
    config["linux"]["namespaces"] = [
        n for n in config["linux"]["namespaces"] if n["type"] != kind]


def limits(config, *names):
    config["process"]["rlimits"] = [
        r for r in config["process"]["rlimits"] if r["type"] not in names]


def tmpfs(config, word, value):
    """An option of every tmpfs of the job's."""
    for mount in config["mounts"]:
        if mount["destination"] in ("/tmp", "/output"):
            mount["options"] = [
                "%s=%s" % (word, value) if o.startswith(word + "=") else o
                for o in mount["options"]]


def without_seccomp(config, places):
    config["process"]["args"].remove("-f3")


def without_pid_namespace(config, places):
    namespace(config, "pid")


def without_network_namespace(config, places):
    namespace(config, "network")


def without_ipc_namespace(config, places):
    """One for all jobs, which is not the host's."""
    namespace(config, "ipc")
    config["linux"]["namespaces"].append(
        {"type": "ipc", "path": places["ipc"]})


def without_own_uid(config, places):
    config["process"]["user"] = {"uid": places["uid"], "gid": places["uid"]}
    for word in ("uid", "gid"):
        for mount in config["mounts"]:
            mount["options"] = [
                "%s=%d" % (word, places["uid"]) if o.startswith(word + "=")
                else o for o in mount["options"]]


def without_readonly_root(config, places):
    config["root"]["readonly"] = False


def without_masked_paths(config, places):
    config["linux"]["maskedPaths"] = []


def without_bounding_set(config, places):
    config["process"]["capabilities"]["bounding"] = ["CAP_NET_RAW"]


def without_file_limit(config, places):
    limits(config, "RLIMIT_NOFILE")


def without_process_limit(config, places):
    """Others have this machine too: more, not without end."""
    limits(config, "RLIMIT_NPROC")
    config["linux"]["resources"]["pids"]["limit"] = 300


def without_memory_limit(config, places):
    config["linux"]["resources"]["memory"] = {"limit": 512 << 20}


def without_sizes(config, places):
    tmpfs(config, "size", 200 << 20)


def without_inodes(config, places):
    tmpfs(config, "nr_inodes", 100000)


def without_oom_score(config, places):
    config["process"]["oomScoreAdj"] = 0


def without_device_list(config, places):
    config["linux"]["devices"] = [{
        "path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11,
        "fileMode": 0o666}]


def without_private_files(config, places):
    config["mounts"].append({
        "destination": "/app", "type": "bind", "source": places["folder"],
        "options": ["bind", "ro"]})


def without_clean_environment(config, places):
    config["process"]["env"].append("TAKO_CANARY=" + places["canary"])


def without_care(config, places):
    """tako-init with all that it guards against left out."""
    for mount in config["mounts"]:
        if mount["destination"] == "/.tako/init":
            mount["source"] = places["init"]


# What is left out, and what the rows' tests must say: (row, a part of it).
DEFENCES = {
    "seccomp": [
        ("K01", "K01.unshare"), ("K04", "K04.session"),
        ("K09", "K09.norandom"), ("K14", "K14.loosen"),
        ("R17", "R17.syncfs"), ("R11", "R11.file"), ("K06", "K06.made"),
        ("K15", "beyond golden/syscalls-runc")],
    "pid_namespace": [("F13", "F13.pids")],
    "network_namespace": [("N01", "N01.interfaces"), ("N04", "N04.v4"),
                          ("N06", "N06.stream")],
    "ipc_namespace": [("F10", "segment")],
    "own_uid": [("R16", "R16.queues")],
    "readonly_root": [("F09", "/var/tmp")],
    "masked_paths": [("F11", "/proc/kallsyms")],
    "bounding_set": [("K10", "K10.caps")],
    "file_limit": [("R15", "EMFILE")],
    "process_limit": [("R02", "R02.count"), ("R03", "R03.made")],
    "memory_limit": [("R08", "R08: ended"), ("R09", "R09.child")],
    "sizes": [("R10", "R10.tmp"), ("R13", "R13.mebibytes")],
    "inodes": [("R14", "R14.tmp")],
    "oom_score": [("R12", "R12.score")],
    "device_list": [("K11", "K11.dev")],
    "private_files": [("N07", "N07.found"), ("F13", "mountinfo")],
    "clean_environment": [("X03", "X03.own"), ("X03", "it knows")],
    "care": [("F01", "artifacts are"), ("K03", "K03.init")],
}
# Of tako-init's sources: what is changed into what, for the last of them.
CARELESS = (
    ("main.c", "prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)",
     "prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)"),
    ("main.c", "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1", "0"),
    ("collect.c", "O_RDONLY | O_NOFOLLOW | O_NONBLOCK",
     "O_RDONLY | O_NONBLOCK"),
)


def main():
    arguments = sys.argv[1:]
    if "run" in arguments:
        path = os.path.join(arguments[arguments.index("--bundle") + 1],
                            "config.json")
        with open(path) as file:
            config = json.load(file)
        for entry in config["process"]["env"]:
            name, _, value = entry.partition("=")
            if name == VARIABLE:
                config["process"]["env"].remove(entry)
                with open(os.path.join(os.path.dirname(sys.argv[0]),
                                       PLACES)) as file:
                    places = json.load(file)
                globals()["without_" + value](config, places)
                with open(path, "w") as file:
                    json.dump(config, file)
                break
    program = shutil.which("runc")
    os.execv(program, [program] + arguments)


if __name__ == "__main__":
    main()
