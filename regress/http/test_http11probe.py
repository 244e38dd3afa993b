"""
test_http11probe.py: the cases of http11probe.py on a takod, run and judged as
Http11Probe does. None fails but those of OTHERWISE, which say why.

A connection is open if the answer does not say that it closes; then it gets our
end, and all that still comes is looked at. One that is to close has to.
"""
import collections
import concurrent.futures
import re
import socket

import pytest

import http11probe as probe
from lib import host
from lib.tcp import read_all, send
from test_differ import seeds
from test_framing import answers

SECONDS = host.PATIENCE
SILENT_SECONDS = 1  # where nothing need come
AT_A_TIME = 64
CASES = {case[0]: case[1:] for cases in probe.SUITES.values()
         for case in cases}

# Where takod decides otherwise: the status it answers with, and why.
OTHERWISE = {
    "COMP-DUPLICATE-CT": (422, "H53: as for any type that is not JSON's"),
    "COMP-HTTP12-VERSION": (400, "H46: 1.0 and 1.1 are what there is"),
    "COOK-ECHO": (200, "no field of a request comes back in an answer"),
    "MAL-LONG-METHOD": (
        501, "H27: RFC 9112, 3, has 501 for a method longer than any known"),
    "MAL-POST-CL-HUGE-NO-BODY": (
        413, "H23: what is declared too large is not waited for"),
}

# Of each suite, how many cases pass, warn and fail.
SUMMARY = {
    "Smuggling": (73, 14, 0),
    "Compliance": (70, 4, 2),
    "Malformed": (21, 3, 2),
    "Normalization": (5, 0, 0),
    "Capabilities": (8, 1, 0),
    "Cookies": (6, 5, 1),
}


class Outcome:
    """What came of one step: the words that rules are made of."""

    def __init__(self, got, closed, job_id):
        self.status, self.words = None, set()
        if closed:
            self.words.add("closed")
        if not got:
            self.words.add("none" if closed else "silent")
            return
        (self.status, fields, body), *more = got
        self.words |= {str(self.status), "%dxx" % (self.status // 100),
                       "any", *fields}
        if body:
            self.words.add("body")
        if more:
            self.words.add("more")
        if job_id in body:
            self.words.add("echo")
        if re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} "
                        r"\d\d:\d\d:\d\d GMT", fields.get("date", "")):
            self.words.add("dated")


def complete(got, head_only):
    """The answers so far, when the last one is whole."""
    try:
        return answers(got, head_only) if got else None
    except AssertionError:
        return None


def read(sock, head_only, last):
    """(answers, closed) of one step."""
    got, found = b"", None
    try:
        while not (found := complete(got, head_only)):
            if not (piece := sock.recv(65536)):
                return [], True
            got += piece
        closes = found[-1][1].get("connection") == "close"
        if closes or last:
            if not closes:
                sock.shutdown(socket.SHUT_WR)
            found = answers(got + read_all(sock), head_only)
        return found, closes
    except socket.timeout:
        return [], False
    except ConnectionError:
        return [], True


def run(takod, at, case, real, otherwise):
    """The outcomes of a case's steps, as far as it came."""
    _, rule, *steps = case
    done = []
    silent = "silent" in rule and not otherwise
    # No source has more connections than it may.
    with socket.create_connection(
            (takod.host, takod.port), SECONDS,
            source_address=("127.0.%d.1" % (at % 250 + 1), 0)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(SILENT_SECONDS if silent else SECONDS)
        for n, step in enumerate(steps):
            for name, value in real.items():
                step = step.replace(name, value)
            send(sock, step)
            got, closed = read(sock, step.startswith(b"HEAD "),
                               n + 1 == len(steps))
            done.append(Outcome(got, closed, real[probe.JOB_ID]))
            if "closed" in done[-1].words:
                break
    return done


def judge(rule, done):
    words = set(done[0].words)
    words |= {"2." + word for word in
              (done[1].words if len(done) > 1 else {"none"})}
    for term in rule.split():
        if set(term[1:].split("&")) <= words:
            return {"+": "Pass", "~": "Warn", "-": "Fail"}[term[0]]
    return "Fail"


@pytest.fixture(scope="module")
def outcomes(takod):
    """{id: outcomes}, all run beside each other."""
    answer = takod.execute(probe.CODE, idempotency_key=probe.KEY)
    assert answer["success"], answer
    path = "/jobs/%s/artifacts/a.txt" % answer["execution_id"]
    status, fields, body = takod.get(path)
    assert (status, body.encode()) == (200, probe.TEXT)
    assert fields["etag"].encode() == probe.ETAG
    assert takod.post(probe.BUILD.decode())[0] == 200
    real = {probe.JOB_ID: answer["execution_id"].encode(),
            probe.MODIFIED: fields["last-modified"].encode()}
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        done = {name: pool.submit(run, takod, at, case, real, name in OTHERWISE)
                for at, (name, case) in enumerate(CASES.items())}
        return {name: one.result() for name, one in done.items()}


@pytest.mark.parametrize("name", CASES)
def test_case(outcomes, name):
    _, rule, *_ = CASES[name]
    done = outcomes[name]
    said = [sorted(one.words) for one in done]
    if name in OTHERWISE:
        assert judge(rule, done) == "Fail", said
        assert done[0].status == OTHERWISE[name][0], said
    else:
        assert judge(rule, done) != "Fail", said


@pytest.mark.parametrize("suite", probe.SUITES)
def test_summary(outcomes, suite):
    """No case of a suite passes less well than it did."""
    count = collections.Counter(
        judge(rule, outcomes[name])
        for name, _, rule, *_ in probe.SUITES[suite])
    assert (count["Pass"], count["Warn"], count["Fail"]) == SUMMARY[suite]


def test_cases_are_seeds():
    """Each case is also an input of the fuzz target."""
    kept = seeds()
    assert [name for name, (_, _, *steps) in CASES.items()
            if b"".join(steps) not in kept] == []
