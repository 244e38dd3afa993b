"""
rows.py: what must happen, row by row of the hostile-job catalogue of
threats.md, on each engine and runtime.

A row has a program in jobs/ (job() and quick()), or tests elsewhere that hold
it (held=). To add one: a program, its line here. What is expected of a fact is
a value, a set of which it is one, a pattern, a dictionary of facts (other keys
may be there), or a function; By(...) where runtimes or engines differ, for the
reason beside it.

Differences that several rows have:
- gVisor answers for itself. What it grants is in its own kernel and ends with
  the sandbox; a call that it lacks is ENOSYS there and EPERM under the filter.
- gVisor keeps no more than the mode of a file, so writing where nothing may
  be written is EACCES before it is EROFS.
"""
import ast
import os
import re
import stat
from typing import NamedTuple

from lib import host

HERE = os.path.dirname(os.path.abspath(__file__))
REGRESS = os.path.dirname(HERE)


class By:
    """A different expectation by runtime, engine, or both."""

    def __init__(self, **ways):
        self.ways = ways

    def of(self, takod):
        for key in (takod.engine + "_" + takod.runtime, takod.runtime,
                    takod.engine, "other"):
            if key in self.ways:
                return self.ways[key]
        raise KeyError((takod.engine, takod.runtime))


class Row(NamedTuple):
    name: str
    program: str = None  # of jobs/
    quick: bool = False  # among others in one job
    ends: object = None  # (status, error type, exit code), more than one
    facts: object = None
    held: tuple = ()  # tests: path::function
    request: object = None  # fields of the request; By where they differ
    times: int = 1
    together: bool = False  # those times at once, not one after the other
    beside: bool = False  # another job runs at the same time
    after: tuple = ()  # further checks: (takod, record) -> problems
    weight: int = 0  # the longest first


def job(name, ends=(("succeeded", None, 0),), facts=None, **more):
    return Row(name, program=name, ends=ends, facts=facts,
               request=more.pop("request", {}), **more)


def quick(name, facts, **more):
    return Row(name, program=name, quick=True, facts=facts, **more)


def held(name, *tests):
    return Row(name, held=tests)


# ---- judging -----------------------------------------------------------------

def resolved(wanted, takod):
    return wanted.of(takod) if isinstance(wanted, By) else wanted


def mismatch(found, wanted, takod, where=""):
    """Words on what is not as expected; empty: nothing."""
    wanted = resolved(wanted, takod)
    if wanted is None:  # there it is not asked
        return []
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            return ["%s: %r" % (where, found)]
        return [text for key, value in wanted.items() for text in mismatch(
            found.get(key, "not told"), value, takod, where + "." + key)]
    if callable(wanted):
        good = wanted(found)
    elif isinstance(wanted, (set, frozenset)):
        good = isinstance(found, str) and found in wanted
    elif isinstance(wanted, re.Pattern):
        good = isinstance(found, str) and wanted.fullmatch(found)
    else:
        good = found == wanted
    return [] if good else ["%s: %.600r, expected %r" % (
        where, found, getattr(wanted, "__doc__", None)
        if callable(wanted) else wanted)]


def facts_problems(row, takod, facts):
    if row.facts is None:
        return []
    return mismatch(facts, row.facts, takod, row.name)


def end_problems(row, takod, record):
    error = (record["error"] or {}).get("type")
    found = (record["status"], error, record["exit_code"])
    wanted = resolved(row.ends, takod)
    if any(all(w in (None, f) for w, f in zip(way[1:], found[1:]))
           and way[0] == found[0] for way in wanted):
        return []
    return ["%s: ended as %r, not as one of %r; stderr: %s" % (
        row.name, found, wanted, record["stderr"][-300:])]


def test_problems(name, row):
    """Is there such a test, and does it name the row?"""
    path, _, function = name.partition("::")
    with open(os.path.join(REGRESS, path)) as file:
        text = file.read()
    if not function:
        return [] if row in text else ["%s does not name %s" % (name, row)]
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            first = min([node.lineno] + [d.lineno
                                         for d in node.decorator_list])
            lines = text.splitlines()[first - 3:node.end_lineno]
            if row in "\n".join(lines).upper():
                return []
            return ["%s does not name %s" % (name, row)]
    return ["there is no test %s" % name]


# ---- what facts may be -------------------------------------------------------

OK = (("succeeded", None, 0),)
ERRNO = re.compile("E[A-Z0-9]+")  # any error, but an error
REFUSED = {"EPERM", "EACCES", "EROFS", "ENOENT"}
NO_CALL = {"EPERM", "ENOSYS"}
NO_WAY = {"ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "ETIMEDOUT",
          "EAFNOSUPPORT"}
TIMEOUT = ("timeout", "execution_timeout", 124)
DIED = ("failed", "sandbox_died", None)
OOM = ("oom", "oom", 137)


def every(wanted):
    """All values of a dictionary, or of a list, are as wanted."""
    def check(found):
        values = found.values() if isinstance(found, dict) else found
        return bool(values) and all(
            value in wanted if isinstance(wanted, (set, tuple))
            else wanted.fullmatch(value) for value in values)
    check.__doc__ = "every one of %r" % (wanted,)
    return check


def at_most(most):
    def check(found):
        return isinstance(found, int) and 0 <= found <= most
    check.__doc__ = "a number up to %d" % most
    return check


def zero_caps(found):
    """all capability sets are empty"""
    return {"CapInh", "CapPrm", "CapEff", "CapBnd"} <= set(found) and all(
        int(value, 16) == 0 for value in found.values())


def golden(name):
    """The words of a file of golden/; # begins a comment."""
    with open(os.path.join(HERE, "golden", name)) as file:
        return {word for line in file
                for word in line.split("#")[0].split()}


ENVIRONMENT = sorted(golden("environ"))


def sockets_of_ip(found):
    """only UNIX, IPv4 and IPv6 streams and datagrams"""
    return {(1, 1, 0), (1, 2, 0), (2, 1, 0), (2, 2, 0), (10, 1, 0)} <= set(
        map(tuple, found)) and all(
        family in (1, 2, 10) and kind in (1, 2) and protocol in (0, 6, 17)
        for family, kind, protocol in found)


def sockets_of_gvisor(found):
    """of its own stack: also ping, seqpacket, its own netlink routes"""
    return {family for family, _, _ in found} <= {1, 2, 10, 16} and not any(
        kind == 3 and family in (2, 10) for family, kind, _ in found)


def mounts_shown(found):
    """a path of the host stands beside what is documented only"""
    known = {"/", "/.tako/init", "/etc/hostname", "/etc/hosts",
             "/etc/resolv.conf"}
    lines = [line.split() for line in found.splitlines()]
    return bool(lines) and all(
        line[4] in known for line in lines
        if line[line.index("-") + 1] in ("ext4", "xfs", "btrfs", "overlay",
                                         "9p", "zfs"))


def own_groups(found):
    """its own control group is the root of all it sees"""
    return all(line.endswith(":/") for line in found.splitlines())


def devices(takod_file):
    def check(found):
        return set(found) <= golden(takod_file)
    check.__doc__ = "no more than golden/" + takod_file
    return check


def no_lines(found):
    """nothing but the head of the table"""
    return len(found.splitlines()) <= 1


def read_nothing(found):
    """every file is empty, not there, or closed"""
    return all(value == "nothing" or value in REFUSED | {"EIO"}
               for value in found.values())


# ---- further checks ----------------------------------------------------------

def no_daemon(takod, record):
    """R04: when the record says the end, nothing of it runs any more."""
    return ["R04: process %d is alive" % p.pid for p in host.processes()
            if p.comm == "R04-daemon"]


def quarter_of_a_processor(takod, record):
    """R06: six seconds at a quarter of a processor, and what the start took,
    which with gVisor is the sandbox's too."""
    used = record["resource_usage"]["cpu_time_ms"]
    if used is None and takod.engine == "docker":
        return []  # the engine removed the counter with the container
    most = 2500 if takod.runtime == "runc" else 3500
    return [] if used < most else ["R06: it used %r ms" % used]


def oom_counted(takod, record):
    kills = record["takod"].get("oom_kills")
    return [] if kills and kills >= 1 else ["oom_kills is %r" % kills]


def artifacts_are(*names):
    def check(takod, record):
        found = sorted(a["name"] for a in record["artifacts"])
        return [] if found == sorted(names) else [
            "artifacts are %r" % found]
    return check


def artifacts_mine(takod, record):
    """F03: no more is in them than the job wrote."""
    found = [a for a in record["artifacts"] if a["size_bytes"] not in (0, 4)]
    return ["F03: %r" % found] if found else []


def whole_result(takod, record):
    """O13: one of the two, whole; or none, where it was swapped for none."""
    output = record["output"]
    good = output is None or (
        output["which"] in "ab" and
        output["fill"] == output["which"] * (1 << 20))
    return [] if good else ["O13: %.200r" % output]


def equal_shares(takod, record):
    """R16: kept for the other of the two; both must have the same."""
    found = (record["output"] or {}).get("inotify")
    return [] if found else ["R16: %r" % record["output"]]


def calls_are_golden(takod, record):
    """K15: what is answered is what the list of the runtime has."""
    from lib import syscalls
    answers = (record["output"] or {}).get("answers") or {}
    open_calls = set()
    for number, said in answers.items():
        if said not in ("EPERM", "ENOSYS", "SIGSYS"):
            open_calls.add(syscalls.named(int(number)) or number)
    # uretprobe and uprobe, which the kernel itself puts into programs that are
    # traced: no filter sees them.
    open_calls -= {"335", "336"}
    wanted = golden("syscalls-" + takod.runtime)
    # Of a table that has more than this machine or its kernel.
    there = set(syscalls.numbers())
    late = {"fchmodat2": (6, 6), "futex_waitv": (5, 16), "epoll_pwait2":
            (5, 11), "landlock_create_ruleset": (5, 13),
            "landlock_add_rule": (5, 13), "landlock_restrict_self": (5, 13)}
    kernel = tuple(int(n) for n in re.match(
        r"(\d+)\.(\d+)", os.uname().release).groups())
    lacks = {name for name, since in late.items() if kernel < since}
    more, less = open_calls - wanted, (wanted & there) - open_calls - lacks
    return ["K15: beyond golden/syscalls-%s: %s" % (
        takod.runtime, sorted(more))] * bool(more) + [
        "K15: refused, of golden/syscalls-%s: %s" % (
            takod.runtime, sorted(less))] * bool(less)


# ---- the rows ----------------------------------------------------------------

EXITS = "endings/test_exits.py::"
LIMITS = "endings/test_limits.py::"
OUTPUT = "endings/test_output.py::"
SURROUNDINGS = "contract/test_surroundings.py::"
NETWORKS = "hostile/test_networks.py::"
BOMBED = (TIMEOUT, ("failed", "runtime_error", None),
          ("failed", "killed", None))

ROWS = [
    # ---- resources
    job("R01", By(runc=BOMBED, runsc=BOMBED + (DIED, OOM)),
        request={"timeout": 2}, weight=2),
    job("R02", By(runc=OK, runsc=OK + (DIED,)), By(
        runc={"ended": "refused", "count": at_most(128)}, runsc=None),
        beside=True, weight=3),
    job("R03", By(runc=(("failed", "runtime_error", 5),),
                  runsc=(("failed", "runtime_error", 5), DIED)),
        By(runc={"made": at_most(128), "refused": 1}, runsc=None)),
    job("R04", after=(no_daemon,)),
    held("R05", LIMITS + "test_timeout"),
    job("R06", (TIMEOUT,), request={"job_type": "quarter", "timeout": 6},
        beside=True, after=(quarter_of_a_processor,), weight=3),
    held("R07", LIMITS + "test_timeout"),
    job("R08", (OOM,), request={"job_type": "small"}, after=(oom_counted,)),
    # gVisor is one process to the host's kernel: a child's end is its end.
    job("R09", By(runc=OK, runsc=(OOM,)), By(runc={"child": -9}, runsc=None),
        request={"job_type": "small"}, after=(oom_counted,)),
    job("R10", facts={"shm": 64, "shm_error": "ENOSPC",
                      "tmp": 100, "tmp_error": "ENOSPC"}, weight=1),
    # A tebibyte of addresses is no memory, and gVisor gives it; so are its
    # huge pages, which it takes for any. Those of the host, where there are
    # some, count for no limit of memory.
    job("R11", facts={"tebibyte": {"ENOMEM", "ok"},
                      "lock": {"ENOMEM", "EPERM"},
                      "huge": By(runc="EPERM", runsc={"ok", "ENOMEM"}),
                      "file": By(runc="EPERM", runsc={"ok", "EINVAL"})}),
    # gVisor has a figure of its own there; the host's is looked at by the P
    # check. Back to 0 is only refused where root may set a floor.
    job("R12", facts=By(runc={"score": "1000", "lower": "EACCES"},
                        runsc={"lower": {"ok", "EACCES"}})),
    job("R13", facts={"last": "ENOSPC", "mebibytes": at_most(60)}),
    # gVisor's tmpfs counts no inodes; each is memory of the sandbox, which is
    # what bounds them.
    job("R14", By(runc=OK, runsc=(OOM, DIED, TIMEOUT)), By(
        runc={"depth": [10000, "ok"], "tmp": [65535, "ENOSPC"],
              "output": lambda found: found[1] == "ENOSPC"
              and found[0] < 65536}, runsc=None),
        request=By(runc={},
                   runsc={"timeout": 20, "job_type": "small"}), weight=4),
    job("R15", facts=every(re.compile(r"EMFILE \d{2,3}"))),
    job("R16", facts=By(
        runc={"inotify": 128, "queues": 9, "timers": 3000, "pending": 3000},
        runsc={"inotify": at_most(256), "timers": 3000}),
        times=2, together=True, weight=2),
    job("R17", facts=By(runc={"syncfs": "ok", "sync": "ok"},
                        runsc={"syncfs": "EBADF", "sync": "ok"})),
    held("R18", EXITS + "test_signals", EXITS + "test_kills_everything_it_can",
         EXITS + "test_signals_to_pid_1"),
    held("R19", EXITS + "test_exit_codes",
         EXITS + "test_phrases_are_only_text"),
    # gVisor's own scheduler has priorities for itself.
    quick("R20", {"clock_settime": "EPERM", "settimeofday": "EPERM",
                  "adjtimex": "EPERM", "fifo": {"EPERM", "EINVAL"},
                  "ioprio": "EPERM",
                  "nice": By(runc={"EACCES", "EPERM"}, runsc={"ok"})}),
    # ---- output
    held("O01", OUTPUT + "test_much_on_stdout", LIMITS + "test_timeout"),
    held("O02", OUTPUT + "test_endless_line"),
    held("O03", OUTPUT + "test_both_streams_at_once",
         OUTPUT + "test_many_small_writes"),
    held("O04", OUTPUT + "test_invalid_utf8"),
    held("O05", OUTPUT + "test_nul_bytes", OUTPUT + "test_nul_in_a_result"),
    held("O06", OUTPUT + "test_terminal_escapes"),
    held("O07", OUTPUT + "test_much_on_stdout",
         OUTPUT + "test_closes_its_streams"),
    held("O08", LIMITS + "test_grandchild_holds_the_pipes"),
    quick("O09", {"read": ""}),
    held("O10", OUTPUT + "test_bad_result"),
    held("O11", OUTPUT + "test_bad_result"),
    held("O12", OUTPUT + "test_bad_result", OUTPUT + "test_many_keys"),
    job("O13", after=(whole_result,)),
    held("O14", EXITS + "test_files_of_other_runners_are_only_files"),
    # ---- files
    job("F01", after=(artifacts_are("plain"),),
        held=(OUTPUT + "test_result_that_is_no_file",)),
    held("F02", OUTPUT + "test_result_that_is_no_file"),
    job("F03", after=(artifacts_mine,)),
    quick("F04", {"passwd": "EXDEV", "init": "EXDEV", "code": "EXDEV",
                  "within": {"EROFS", "EPERM"}},
          held=(OUTPUT + "test_hard_links",)),
    held("F05", OUTPUT + "test_artifact_over_the_cap"),
    held("F06", OUTPUT + "test_names_of_artifacts",
         "artifacts/test_download.py"),
    held("F07", OUTPUT + "test_many_artifacts"),
    held("F08", OUTPUT + "test_odd_modes"),
    quick("F09", {"new": every(REFUSED), "old": every(REFUSED)}),
    job("F10", facts={"found": [], "left": 7}, times=3),
    # gVisor's log of its kernel is a few lines of its own.
    quick("F11", {"read": read_nothing, "pointers": 0,
                  "syslog": By(runc="EPERM", runsc={"ok", "EPERM"})}),
    quick("F12", {"write": every(REFUSED)}),
    quick("F13", {"shown": {
        "mountinfo": mounts_shown, "cgroup": own_groups,
        "net/unix": lambda text: "@" not in text and "/run/" not in text,
        "net/tcp": no_lines, "net/route": no_lines},
        "init": By(runc=every({"EACCES", "EPERM", "EIO", "ENOENT"}),
                   runsc={"mem": ERRNO}),
        "links": By(runc=every({"EACCES"}), runsc=None),
        "pids": at_most(6)},
        held=("hostile/test_jobs.py::test_what_others_open",)),
    # ---- kernel
    # gVisor: a namespace of its own kernel gives no way out of it.
    quick("K01", {"unshare": By(runc=every({"EPERM"}),
                                runsc={"NET": "EPERM", "PID": "EPERM"}),
                  "clone": By(runc=every({"EPERM"}),
                              runsc={"NET": "EPERM", "PID": "EPERM"}),
                  "clone3": every({"ENOSYS"}),
                  "setns": By(runc=every({"EPERM"}), runsc=every(ERRNO)),
                  "thread": "ok", "subprocess": 0}),
    quick("K02", By(runc=dict.fromkeys((
        "mount", "remount", "bind", "umount", "pivot", "chroot", "fsopen",
        "fspick", "open_tree", "move_mount", "setattr"), "EPERM"),
        runsc=dict.fromkeys((
            "mount", "remount", "bind", "umount", "pivot", "chroot",
            "fsopen", "open_tree", "move_mount", "setattr"), NO_CALL))),
    # Of its own processes a job may read the memory: it is one user. gVisor
    # has ptrace among them.
    quick("K03", {
        "init": By(runc=every({"EPERM", "EACCES"}), runsc={
            "seize": ERRNO, "attach": ERRNO, "write": ERRNO, "mem": ERRNO}),
        "sibling": By(runc={
            "seize": "EPERM", "attach": "EPERM", "read": "EPERM",
            "write": "EPERM", "getfd": "EPERM", "kcmp": "EPERM"},
            runsc={"getfd": ERRNO, "kcmp": ERRNO})}),
    quick("K04", By(runc=dict.fromkeys(
        ("add", "request", "session", "join", "describe"), "EPERM"),
        runsc=dict.fromkeys(
            ("add", "request", "session", "join", "describe"),
            {"EACCES", "EPERM", "ENOSYS"}))),
    # gVisor makes rings of its own, in the sandbox.
    quick("K05", By(runc=dict.fromkeys(
        ("bpf", "perf", "userfaultfd", "io_uring", "io_uring_enter",
         "io_uring_register", "fanotify", "aio"), NO_CALL),
        runsc={"bpf": NO_CALL, "perf": {"ENODEV", "EPERM", "ENOSYS"},
               "userfaultfd": "ENOSYS", "fanotify": "ENOSYS"})),
    quick("K06", {"made": By(runc=sockets_of_ip, runsc=sockets_of_gvisor),
                  "pairs": [1]}),
    # gVisor: a 32-bit call is what the number means to it, or an error; its
    # kernel is behind both doors.
    quick("K07", By(runc=dict.fromkeys(
        ("getpid32", "socketcall", "socket32", "x32", "socketx32"),
        {"SIGSYS", "refused"}) | {"native": "answered"},
        runsc={"native": "answered", "x32": {"refused", "SIGSYS"},
               "socketx32": {"refused", "SIGSYS"},
               "socket32": {"refused", "SIGSYS", "SIGSEGV"}})),
    quick("K08", {"calls": every(NO_CALL)}),
    quick("K09", {"norandom": {"EPERM", "EINVAL"},
                  "exec": {"EPERM", "EINVAL"}, "both": {"EPERM", "EINVAL"},
                  "plain": By(runc="ok", runsc={"ok", "EINVAL"}),
                  "asked": By(runc="ok", runsc={"ok", "EINVAL"})}),
    quick("K10", {"caps": zero_caps, "no_new_privs": 1, "set_id": [],
                  "same": True, "setuid": "EPERM", "setgid": "EPERM",
                  "setgroups": "EPERM", "capset": "EPERM", "ambient": -1,
                  "chown": "EPERM"}),
    # gVisor's /dev has fuse and tun of its own kernel; no node that is made
    # leads to the host.
    quick("K11", By(
        runc={"dev": devices("dev-runc"), "disk": "EPERM", "mem": "EPERM",
              "fuse": "EPERM", "open": every({"ENOENT", "EPERM", "EACCES",
                                              "ENXIO"})},
        runsc={"dev": devices("dev-runsc"), "disk": {"ENXIO", "EPERM"},
               "mem": {"ENXIO", "EPERM"},
               "open": {p: {"ENOENT", "ENXIO"} for p in (
                   "/dev/mem", "/dev/kmem", "/dev/port", "/dev/kvm",
                   "/dev/vda", "/dev/sda", "/dev/console")}})),
    quick("K12", {"name": {"EPERM", "ENOTSUP", "ENOSYS"},
                  "open": {"EPERM", "ENOTSUP", "ENOSYS"},
                  "tty": {"ENXIO", "EIO", "ENOENT"}, "stdin": "ENOTTY",
                  "control": "ENOTTY", "ttys": [False, False, False]}),
    # A limit of one byte is what keeps a core from a program that core_pattern
    # names, so it may not be lowered either. gVisor has cores of its own.
    quick("K13", {"core": [1, 1], "after": By(runc=[1, 1], runsc=None)}, held=(
        LIMITS + "test_host_keeps_no_core",
        EXITS + "test_abort_and_real_segfault")),
    # Memory that is code, and programs without a file, are no boundary here:
    # a job that may run any Python may run anything.
    quick("K14", By(runc={"mode": 2, "loosen": "0 EPERM", "off": "-1 EPERM",
                          "writable": "ok"}, runsc={"writable": "ok"})),
    job("K15", after=(calls_are_golden,), request={"timeout": 110}, weight=5),
    job("K16", facts={
        "threads": 9900, "processes": 90, "queue": "said",
        "subprocess": "a\nsub\n-15", "asyncio": "line\nchild\n5",
        "sqlite": 4950, "tls": True, "files": [["a", "b", "c", "d"], 1],
        "sockets": [1, 1], "signals": ["alarm"], "random": 8, "cpus": True},
        held=("hostile/test_controls.py::test_controls",)),
    # ---- network
    quick("N01", {"interfaces": ["lo"], **{
        name: lambda found: found[0] in NO_WAY and found[1]
        for name in ("tcp4", "tcp6", "udp4", "udp6", "host")}}),
    quick("N02", {"said": ["fails"] * 3, "soon": True}),
    quick("N03", dict.fromkeys(("v4", "ecs", "v6", "local"), NO_WAY)),
    quick("N04", {"v4": every({"ECONNREFUSED"}),
                  "v6": every({"ECONNREFUSED", "EADDRNOTAVAIL"}),
                  "any": every({"ECONNREFUSED"})}),
    held("N05", *(NETWORKS + "test_" + name for name in (
        "public", "other_jobs", "new_address_of_the_host"))),
    quick("N06", {"stream": "ECONNREFUSED", "datagram": "ECONNREFUSED",
                  "listed": []}),
    quick("N07", {"found": [], "seen": True, "there": []}),
    # gVisor answers pings of its own loopback. A low port of a network of
    # one's own is nobody's, so binding one is not tried.
    quick("N08", {"raw4": "EPERM", "raw6": "EPERM", "packet": NO_CALL,
                  "ping": By(runc={"EPERM", "EACCES"},
                             runsc={"ok", "EPERM"}),
                  "multicast4": NO_WAY, "multicast6": NO_WAY,
                  "broadcast": NO_WAY, "join": ERRNO}),
    held("N09", NETWORKS + "test_allowed_hosts",
         NETWORKS + "test_redirect"),
    held("N10", "packages/test_packages.py::test_no_network_for_the_job"),
    # ---- around it
    held("X01", SURROUNDINGS + "test_descriptors"),
    held("X02", "hostile/test_jobs.py::test_what_a_request_may_not_ask"),
    quick("X03", {"own": ENVIRONMENT,
                  "others": lambda found: found and all(
                      names in ("EACCES", ENVIRONMENT) for names in found)},
          held=("privs/test_privs.py::test_secrets_stay_with_the_parent",)),
    quick("X04", {"open": every(REFUSED | {"ETXTBSY"}),
                  "replace": {"EROFS", "EACCES"},
                  "unlink": {"EROFS", "EACCES"}}),
    held("X05", "engine/test_docker.py::test_what_it_is_asked_for",
         "engine/test_image.py::test_a_tree_without_python",
         "contract/test_refused.py::test_x05_image_without_python"),
    held("X06", "contract/test_runtime.py::"
         "test_strict_without_gvisor_does_not_start",
         SURROUNDINGS + "test_runtime_is_the_one_recorded"),
    held("X07", "jobs/test_faults.py::test_cancel_between_attempts"),
    held("X08", "fault/test_t_engine.py::test_x08_calls"),
]
TABLE = {row.name: row for row in ROWS}
CATALOGUE = [letter + "%02d" % n for letter, last in (
    ("R", 20), ("O", 14), ("F", 13), ("K", 16), ("N", 10), ("X", 8))
    for n in range(1, last + 1)]
