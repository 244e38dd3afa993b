"""
test_reference.py: takod and Tako VM 0.3.0 read the same files: generated ones
by the thousand, and hundreds of scalars for each type of key. Verdict and
values must agree but for DIFFERENCES, each of which stands in takod.conf(5)
with its reason, and is still there.
"""
import concurrent.futures
import json
import os
import re
import subprocess
import threading

import pytest

from config_files import TEXTS, Files
from lib import reference, shared
from scalars import scalars

HERE = os.path.dirname(os.path.abspath(__file__))
SEED = os.environ.get("TAKO_REGRESS_SEED", "0.3.0")
FILES = 2000


# ---- both readers -----------------------------------------------------------

class Reader:
    """A process that reads as many files as it is asked to."""

    def __init__(self, folder, *argv):
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=folder, env={"HOME": str(folder / "home"),
                             "PATH": "/usr/bin", "LANG": "C.UTF-8"})

    def answers(self, requests):
        """Lines for as many lines; both ways at a time."""
        def ask():
            self.process.stdin.writelines(requests)
            self.process.stdin.flush()
        thread = threading.Thread(target=ask)
        thread.start()
        lines = [self.process.stdout.readline() for _ in requests]
        thread.join()
        return [json.loads(line) for line in lines]

    def end(self):
        self.process.kill()
        self.process.communicate()


class Readers:
    """takod's loader and 0.3's, side by side."""

    def __init__(self, folder):
        self.folder = folder
        self.count = 0
        (folder / "home").mkdir()
        self.ours = Reader(folder, shared.program("regress/tools/conf_read"))
        self.theirs = Reader(folder, reference.python(), "-B",
                             os.path.join(HERE, "reference_read.py"))
        self.schema = json.loads(self.theirs.process.stdout.readline())

    def request(self, text, variables):
        self.count += 1
        path = self.folder / ("%d.yaml" % self.count)
        if text is not None:
            path.write_bytes(text if isinstance(text, bytes) else
                             text.encode(errors="surrogatepass"))
        return json.dumps({"path": str(path), "env": variables}) + "\n"

    def read(self, cases):
        """(takod's answer, 0.3's) for each (text, variables)."""
        requests = [self.request(*case) for case in cases]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            try:
                return list(zip(*pool.map(
                    lambda reader: reader.answers(requests),
                    (self.ours, self.theirs))))
            except BaseException:
                self.end()  # so that nobody waits for an answer
                raise

    def end(self):
        self.ours.end()
        self.theirs.end()


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    both = Readers(tmp_path_factory.mktemp("reference"))
    yield both
    both.end()


# ---- what differs between two answers ---------------------------------------

# What takod says of keys that are right each for itself: 0.3 says such a
# thing only where nothing else is wrong, and one at a time.
BETWEEN = re.compile(
    r"must not exceed|must be at least n|must have at least one key|"
    r"runc needs|need enabled|needs a vendor|exclude each other|count is for|"
    r"another job type has|stands here twice")
OTHER_NAMES = {"data_dir_str": "data_dir",
               "seccomp_profile_path_str": "seccomp_profile_path"}


def flat(value, path=""):
    """(path, value) of everything inside; of a list also its length."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, "%s.%s" % (path, key) if path else key)
    elif isinstance(value, list):
        yield path + ".length", len(value)
        for i, inner in enumerate(value):
            yield from flat(inner, "%s.%d" % (path, i))
    yield path, value if not isinstance(value, (dict, list)) else {}


def near(one, other):
    """
    One place is in the other; the file as a whole is everywhere. takod shows
    no more than 64 characters of a name.
    """
    short, long = sorted((one, other), key=len)
    return short in ("", long) or long.startswith(short + ".") or \
        len(short) >= 64 and long.startswith(short)


def key_of(place):
    """The key of an error's place, which may be a variable."""
    if place.startswith("TAKO_VM_"):
        place = place[len("TAKO_VM_"):].lower()
    # What takod says of one text of these lists, 0.3 may say of another.
    place = re.sub(r"(api_keys|device_ids)\.\d+$", r"\1", place)
    # takod shows them so.
    place = re.sub(r"[\x01-\x1f\x7f]",
                   lambda c: "\\x%02x" % ord(c.group()), place)
    return OTHER_NAMES.get(place, place)


def differences(ours, theirs):
    """
    [("refused", key, what takod says), ("accepted", key, what 0.3 says),
    ("value", key, takod's, 0.3's), ...]
    """
    mine = [(key_of(e[2]), e[3]) for e in ours["errors"]]
    others = [(key_of(e[0]), e[2]) for e in theirs["errors"]]
    twice = {key for key, text in mine if text == "stands here twice"}
    found = []
    if mine and others and not others[0][0] and \
            theirs["errors"][0][1] != "value_error":
        return []  # 0.3 did not come to the keys
    if not mine and not others:
        a, b = dict(flat(ours["values"])), dict(flat(theirs["values"]))
        return [("value", key, a.get(key), b.get(key))
                for key in sorted({*a, *b})
                if not re.fullmatch("(%s)(.length)?" % OWN, key) and
                (key in a, a.get(key), type(a.get(key))) !=
                (key in b, b.get(key), type(b.get(key)))]
    for key, text in others:
        # The last one counts there, here none.
        if any(near(key, k) for k in twice if key):
            continue
        if not any(near(key, k) for k, _ in mine) or (
                not key and not any(BETWEEN.search(t) or not k
                                    for k, t in mine)):
            found.append(("accepted", key, text))
    for key, text in mine:
        if text != "stands here twice" and any(
                key == k or key.startswith(k + ".") for k in twice):
            continue
        if others and key not in twice and BETWEEN.search(text):
            continue
        if not any(near(key, k) for k, _ in others):
            found.append(("refused", key, text))
    return found


def size(text):
    """Bytes of "512m" and the like, as 0.3 understands it."""
    text = str(text).strip().lower()
    shift = {"g": 30, "m": 20, "k": 10}.get(text[-1:], 0)
    return int(text[:-1] if shift else text) << shift


JOB_TYPE = "job_types: [{name: a, %s}]"
TYPE = r"job_types\.\d+\."
PATHS = "data_dir|docker_image"
# (words of takod.conf(5), a file that shows it, its variables, kind of the
#  difference, pattern of its key, and a pattern of what is said or a function
#  of takod's value and 0.3's)
DIFFERENCES = [
    ("a file that is named but missing", None, {},
     "refused", "", "^No such file or directory$"),
    ("a key or << that stands twice", "max_workers: 3\nmax_workers: 3\n", {},
     "refused", ".*", "stands here twice$"),
    ("a boolean variable that is none", "", {"TAKO_VM_ENABLE_SECCOMP": "on"},
     "refused", "enable_.*|.*_enabled|allow_.*",
     "^must be true, false, 1, 0, yes or no$"),
    ("job types of the same name", "job_types: [{name: a}, {name: a}]", {},
     "refused", TYPE + "name", "^another job type has this name$"),
    ("container_runtime: runc with security_mode: strict",
     "container_runtime: runc", {},
     "refused", "container_runtime|security_mode", "^runc needs"),
    ("a job type's name that is not ASCII", "job_types: [{name: \u00fc}]", {},
     "refused", TYPE + "name", "^must consist of letters, digits, - and _$"),
    ("digits that are not", JOB_TYPE % "memory_limit: \u0666\u0664m", {},
     "refused", ".*", "^must be a (whole )?number"),
    ("a NUL in a text", JOB_TYPE % "python_version: \"\\0\"", {},
     "refused", ".*", "^must not contain a NUL$"),
    ("half of a surrogate pair", JOB_TYPE % "python_version: \"\\ud800\"",
     {}, "refused", "", "^not YAML: found invalid Unicode character escape"),
    ("control characters in API keys",
     "api_keys: [\"0123456789\\tabcdef\"]", {},
     "refused", "api_keys", "^must not contain control characters$"),
    ("control characters in API keys, names and paths",
     "docker_image: \"a\\nb\"", {},
     "refused", PATHS + "|database_url",
     "^must not contain control characters$"),
    ("names and paths that are empty", "docker_image: ' '", {},
     "refused", PATHS, "^must not be empty$"),
    ("a server_host that is empty",
     "server_host: ''\nallow_unauthenticated_network_access: true", {},
     "refused", "server_host", "^must be an address or a name$"),
    ("that is empty or has a space",
     "server_host: 'a b'\nallow_unauthenticated_network_access: true", {},
     "refused", "server_host", "^must not contain spaces or control"),
    ("a space, a scheme or a port",
     "server_host: h:80\nallow_unauthenticated_network_access: true", {},
     "refused", "server_host", "^must be an address or a name alone"),
    ("whose name is empty or has a =",
     JOB_TYPE % "environment: {\"A=B\": x}", {},
     "refused", TYPE + "environment",
     "^the name of a variable must not|^a key must be a text$"),
    ("shared_code outside of the folder", JOB_TYPE % "shared_code: [../a]",
     {}, "refused", TYPE + r"shared_code\.\d+", "^must stay below"),
    ("lists of more than 1000 items",
     JOB_TYPE % "requirements: [%s]" % ("a, " * 1001), {},
     "refused", ".*", "^has more than 1000 items$"),
    ("mappings of more than 1024 keys",
     JOB_TYPE % "environment: {%s}" % "".join(
         "a%d: x, " % i for i in range(1025)), {},
     "refused", ".*", "^has more than 1024 keys$"),
    ("more than 65536 values with aliases followed",
     "job_types:\n- {name: a, requirements: &r [%s]}\n" % ("x, " * 999) +
     "".join("- {name: a%d, requirements: *r}\n" % i for i in range(99)), {},
     "refused", "", "^aliases make too much of this file$"),
    ("1000 anchors",
     "job_types:\n" + "".join(
         "- {name: a%d, requirements: [%s]}\n" % (i, "".join(
             "&a%d_%d a, " % (i, j) for j in range(500))) for i in range(3)),
     {}, "refused", "", "^too many anchors$"),
    ("or 1 MiB", "max_workers: 3\n" + "#" * 1048576, {},
     "refused", "", "^is larger than 1 MiB$"),
    ("the tags !!binary, !!set, !!omap and !!pairs",
     JOB_TYPE % "python_version: !!binary YQ==", {},
     "refused", ".*", "^has a form or a tag that is not allowed$"),
    ("a server_host that others can reach without a key",
     "server_host: 0.0.0.0", {},
     "accepted", "", "refusing to bind non-loopback host"),
    ("takod's own keys", "engine: oci", {},
     "accepted", r"engine|docker_host|run.*_(path|args)|rootfs|(.*\.)?"
     "warm_pool_(size|idle_seconds)|"
     "job_types\\.[0-9]+\\.(allowed_hosts|preload)(\\.length)?|"
     "(api|worker)_user|uid_base|control_.*|log_format|"
     "drain_timeout|require_landlock|api_hostnames|api_max_conn.*|api_.*_timeout|node_name|"
     "api_auth_failures|api_key_files|api_max_header_.*|api_min_rate_bytes|"
     "api_max_(memory|request_line)_bytes|api_pipeline_depth|cors_origins|"
     "network_(allow|deny)|"
     "server_listen|tls_.*_file|trusted_proxies|"
     "lease_seconds|artifact_store|s3_.*|tenant_defaults(\\..*)?|"
     "budget_window_seconds|priority_ageing_seconds|"
     "package_.*|layer_.*",
     "^Extra inputs are not permitted$"),
    ("a mapping among api_keys",
     "api_keys: [{name: a, key: 0123456789abcdef}]", {},
     "accepted", r"api_keys(\..*)?", "^Input should be a valid string$"),
    ("a database_url of SQLite", "database_url: sqlite:////a", {},
     "accepted", "database_url", "must use postgresql://"),
    ("data_dir_str, where TAKO_VM_DATA_DIR overrides it", "data_dir_str: a",
     {"TAKO_VM_DATA_DIR": "/b"},
     "accepted", "data_dir", "^Extra inputs are not permitted$"),
    ("tabs between values", "max_workers: 3\t\n", {},
     "accepted", "", r"found character '\\t' that cannot start any token"),
    ("database_url by default", "", {}, "value", "database_url",
     lambda ours, theirs: ours.startswith("sqlite:////") and
     theirs == "postgresql://postgres:postgres@localhost:5432/tako_vm"),
    ("with its scheme in small letters", "database_url: POSTGRESQL://h/d", {},
     "value", "database_url",
     lambda ours, theirs: ours == theirs[:10].lower() + theirs[10:]),
    ("its own variables TAKO_VM_SERVER_HOST and TAKO_VM_SERVER_PORT", "",
     {"TAKO_VM_SERVER_PORT": "8001"},
     "value", "server_port", lambda ours, theirs: (ours, theirs) == (
         8001, 8000)),
    ("a relative data_dir is made absolute", "data_dir: a/b", {},
     "value", "data_dir", lambda ours, theirs:
     not theirs.strip().startswith("/") and
     ours.endswith("/" + theirs.strip())),
    ("space around server_host", "docker_image: ' a '", {},
     "value", "server_host|database_url|" + PATHS,
     lambda ours, theirs: ours == theirs.strip()),
    ("an empty base_image", JOB_TYPE % "base_image: ''", {},
     "value", TYPE + "base_image",
     lambda ours, theirs: ours is None and theirs == ""),
    ("or seccomp_profile_path is null", "seccomp_profile_path: ''", {},
     "value", "seccomp_profile_path",
     lambda ours, theirs: ours is None and theirs == ""),
    ("a size is shown in the largest unit", JOB_TYPE % "memory_limit: 1024M",
     {}, "value", TYPE + r"memory_limit|container_limits\.tmpfs_size",
     lambda ours, theirs: size(ours) == size(theirs)),
    ("session_max_concurrent stops at 2147483647",
     "session_max_concurrent: 2147483648", {},
     "value", "session_max_concurrent",
     lambda ours, theirs: ours == 2147483647 < theirs),
]
# Keys that are takod's alone.
OWN = next(row[4] for row in DIFFERENCES if row[0] == "takod's own keys")


def explains(row, difference):
    kind, key, pattern = row[3:6]
    if difference[0] != kind or not re.fullmatch(key, difference[1]):
        return False
    if callable(pattern):
        return bool(pattern(*difference[2:]))
    return re.search(pattern, difference[2]) is not None


def explained(difference):
    return any(explains(row, difference) for row in DIFFERENCES)


def unexplained(cases, answers):
    """Lines about what no row explains."""
    found = []
    for (text, variables), (ours, theirs) in zip(cases, answers):
        wrong = [d for d in differences(ours, theirs) if not explained(d)]
        if wrong:
            found.append("%r %r: %r" % (text, variables, wrong))
    return found


# ---- the comparison ---------------------------------------------------------

def manual():
    """What takod.conf(5) says of differences, without its macros."""
    with open(os.path.join(shared.TOP, "man", "takod.conf.5")) as file:
        text = file.read().split(".Sh DIFFERENCES")[1]
    text = re.sub(r"(?m)^\.(It|Pp|Bl|El)\b.*$", "", text)
    text = re.sub(r"(?m)^\.[A-Z][a-z] |(?<= )(Cm|Li|Ic) ", "", text)
    return re.sub(r" (?=[,:;])", "", " ".join(text.split()))


@pytest.mark.parametrize("row", DIFFERENCES, ids=lambda row: row[0])
def test_difference(readers, row):
    """It is in the manual, and is there."""
    assert row[0] in manual()
    case = row[1], row[2]
    answers = readers.read([case])
    found = differences(*answers[0])
    assert any(explains(row, one) for one in found), found
    assert unexplained([case], answers) == []


def test_generated_files(readers):
    print("seed", SEED)
    files = Files(readers.schema, SEED)
    cases = [files.make(number) for number in range(FILES)]
    answers = readers.read(cases)
    verdicts = [not theirs["errors"] for _, theirs in answers]
    assert FILES // 5 < sum(verdicts) < FILES // 2  # there are enough of both
    wrong = unexplained(cases, answers)
    assert wrong == [], "seed %s: %d\n%s" % (
        SEED, len(wrong), "\n".join(wrong[:20]))


# For each type of key that 0.3 has: files for scalars to stand in.
PLACES = {
    "boolean": ["production_mode: %s"],
    "integer": ["max_queue_size: %s", "session_max_concurrent: %s",
                "max_total_artifacts_bytes: %s"],
    "integer or null": ["job_types: [{name: a, gpu: {enabled: true, vendor: "
                        "nvidia, count: %s}}]"],
    "number": ["queue_wait_timeout: %s",
               "job_types:\n- name: a\n  cpu_limit: %s"],
    "size": ["job_types:\n- name: a\n  memory_limit: %s",
             "container_limits:\n  tmpfs_size: %s"],
    "text": ["docker_image: %s", "data_dir: %s", "server_host: %s",
             "api_auth_header: %s", "database_url: %s",
             "job_types:\n- name: %s",
             "job_types:\n- name: a\n  python_version: %s"],
    "text or null": ["seccomp_profile_path: %s", "dependency_proxy_url: %s",
                     "job_types:\n- name: a\n  base_image: %s"],
    "enumeration": ["log_level: %s", "security_mode: %s",
                    "container_runtime: %s"],
    "enumeration or null": ["job_types:\n- name: a\n  gpu:\n    "
                            "vendor: %s\n    enabled: true"],
    "list": ["api_keys: %s", "job_types:\n- name: a\n  requirements: %s"],
    "item": ["job_types:\n- name: a\n  requirements:\n  - %s",
             "api_keys:\n- %s"],
    "mapping": ["container_limits: %s",
                "job_types:\n- name: a\n  environment: %s"],
    "mapping's text": ["job_types:\n- name: a\n  environment:\n    A: %s"],
    "mapping's name": ["job_types:\n- name: a\n  environment:\n    %s: a"],
    "job types": ["job_types: %s", "job_types:\n- %s"],
    "whole": ["%s"],
}


def texts_of(place):
    """Scalars of all forms, and texts that are nearly right for the key."""
    key = re.split(r"[^a-z_]+", place.split("%s")[0])[-2:][0]
    right, near_ones = TEXTS.get(key, ([], []))
    return scalars() + [json.dumps(text) for text in right + near_ones]


@pytest.mark.parametrize("kind", PLACES)
def test_scalars(readers, kind):
    cases = [(place % text + "\n", {})
             for place in PLACES[kind] for text in texts_of(place)]
    assert len(cases) >= 200
    wrong = unexplained(cases, readers.read(cases))
    assert wrong == [], "%d\n%s" % (len(wrong), "\n".join(wrong[:20]))


def test_scalar_table_is_as_it_was_made():
    """regress/unit/conf_scalars.h, which the unit test is built with."""
    made = subprocess.run(
        [reference.python(), "-B", os.path.join(HERE, "make_scalars.py")],
        stdout=subprocess.PIPE, text=True, check=True).stdout
    with open(os.path.join(shared.TOP, "regress/unit/conf_scalars.h")) as file:
        assert file.read() == made, "run regress/config/make_scalars.py"
