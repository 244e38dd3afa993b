"""
test_differ.py: takod's parser of requests beside two others, h11 and llhttp, on
every input of the corpus and on mutations of them. Where they disagree stands
in the table below with its reason; nothing else may, and all of it does.
"""
import os

from lib import public, shared
from test_framing import ROWS

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(HERE, "..", "fuzz", "corpus", "http")
SEED = 7
MUTATIONS = 6000
SEED_MAX = 65536  # bytes of a row that is kept as a seed

HEAD = "its head refused here"
BODY = "its body refused here"

# {(other, how): {reason: why}}. The reason is that of who refuses.
TABLE = {
    ("h11", HEAD): {
        "Both Content-Length and Transfer-Encoding":
            "H15: a sign of smuggling; h11 goes by the coding",
        "Content-Length out of range": "H22: h11 counts without an end",
        "Folded header field": "H05: obsolete (RFC 9112, 5.2); h11 unfolds",
        "Forbidden byte in the head":
            "H12: h11 lets control bytes other than NUL through",
        "HTTP version not supported":
            "H46: h11 leaves the major version to its user",
        "Header fields too large": "H38: h11 leaves it to its user",
        "Request line too long": "H38, likewise",
        "Too many header fields": "H39, likewise",
        "Host differs from the request target":
            "H50: h11 leaves the target to its user",
        "Line feed without carriage return": "H03: h11 takes bare LF",
        "Malformed Content-Length": "H20: h11 merges `5, 5`",
        "Malformed Host": "H02: h11 does not look into Host",
        "Malformed request target":
            "H49: h11 takes any visible bytes for a target",
        "More than one Content-Length": "H20: h11 merges equal ones",
        "No body is allowed for this method":
            "H25, H26: readers between disagree about it",
        "Transfer-Encoding in HTTP/1.0": "H19: RFC 9112, 6.1; h11 obeys it",
        "Unknown HTTP version":
            "H46: h11 leaves the minor version to its user",
        "Unknown expectation": "H52: h11 knows 100-continue and passes over "
                               "others",
        "Unknown method": "H27: h11 takes any token",
    },
    ("h11", BODY): {
        "Carriage return without line feed":
            "H33: h11 takes any bytes for a chunk extension",
        "Chunk extension too long": "H33: h11 leaves it to its user",
        "Chunk size too long": "H30: 16 digits here, 20 there",
        "Forbidden byte in the head": "H12, in a trailer",
        "Line feed without carriage return": "H03, in a trailer",
        "Malformed chunk extension":
            "H33: h11 takes any bytes for a chunk extension",
        "Malformed chunk size": "H29: h11 takes blanks behind the size, and "
                                "bare LF",
        "Malformed trailer": "H05, H32: h11 unfolds trailers, and takes bare "
                             "LF",
    },
    ("h11", "its head refused there"): {
        "no request line received":
            "H45: one blank line may stand before a request (RFC 9112, 2.2)",
    },
    ("h11", "its body refused there"): {
        "Only Transfer-Encoding: chunked is supported":
            "H36: h11 judges trailers as fields; here they are dropped",
        "bad Content-Length": "H36, likewise",
        "multiple Transfer-Encoding headers": "H36, likewise",
    },
    ("llhttp", HEAD): {
        "Blank lines before the request": "H45: llhttp takes any number",
        "Carriage return without line feed":
            "H45: llhttp takes CR and LF alone before a request",
        "Content-Length out of range": "H22: llhttp counts to 64 bits",
        "Header fields too large": "H38: llhttp leaves it to its user",
        "Request line too long": "H38, likewise",
        "Too many header fields": "H39, likewise",
        "HTTP version not supported":
            "H46: this llhttp leaves the version to its user",
        "Unknown HTTP version": "H46, likewise",
        "Host differs from the request target":
            "H50: llhttp leaves the target to its user",
        "Line feed without carriage return":
            "H46: llhttp takes a line without a version for HTTP/0.9",
        "Malformed HTTP version": "H46: llhttp takes two blanks, and HTTP/0.9",
        "Malformed Host": "H02: llhttp does not look into Host",
        "Malformed Transfer-Encoding":
            "H17: llhttp looks for chunked at the end of the value",
        "Malformed request line":
            "H46: llhttp takes a line without a version for HTTP/0.9",
        "Malformed request target":
            "H49: llhttp takes most bytes for a target",
        "More than one Host": "H02: llhttp does not look into Host",
        "No Host": "H01: llhttp does not ask for one",
        "No body is allowed for this method":
            "H25, H26: readers between disagree about it",
        "Transfer-Encoding in HTTP/1.0":
            "H19: RFC 9112, 6.1; llhttp obeys it",
        "Transfer-Encoding without chunked last":
            "H17: RFC 9112, 6.3; llhttp leaves other codings to its user",
        "Unknown Transfer-Encoding":
            "H16: llhttp leaves other codings to its user",
        "Unknown expectation": "H52: llhttp leaves it to its user",
        "Unknown method": "H27: llhttp knows CONNECT and WebDAV",
    },
    ("llhttp", BODY): {
        "Chunk extension too long": "H33: llhttp leaves it to its user",
        "Chunk size too long": "H30: llhttp takes any number of zeros",
        "Malformed chunk extension":
            "H33: llhttp takes an extension whose value is empty",
    },
    ("llhttp", "its body refused there"): {
        "Content-Length can't be present with Transfer-Encoding":
            "H36: llhttp judges trailers as fields; here they are dropped",
        "Invalid `Transfer-Encoding` header value": "H36, likewise",
        "Request has invalid `Transfer-Encoding`":
            "H07: white space around a value is none of it (RFC 9110, 5.5); "
            "llhttp takes a tab behind it for a part",
    },
    ("llhttp", "another body"): {
        "": "H48: llhttp reads no body where an upgrade is asked for; here "
            "none is made",
    },
}


def seeds():
    found = {}
    for name in os.listdir(CORPUS):
        with open(os.path.join(CORPUS, name), "rb") as file:
            found[file.read()] = name
    return found


def test_rows_are_seeds():
    """Each case of framing is also an input of the fuzz target."""
    kept = seeds()
    missing = [(name, data[:60]) for name, data, _ in ROWS
               if data not in kept and len(data) <= SEED_MAX]
    assert missing == []


def test_disagreements():
    found = public.run(
        os.path.join(HERE, "differ.py"),
        shared.program("regress/tools/http_verdicts"), str(SEED),
        str(MUTATIONS), CORPUS)
    assert found["inputs"] == len(os.listdir(CORPUS)) + MUTATIONS
    known = {(other, how, reason): why for (other, how), rows in TABLE.items()
             for reason, why in rows.items()}
    new = ["%s: %s: %s (%d): %s" % tuple(row) for row in found["found"]
           if tuple(row[:3]) not in known]
    assert new == [], "\n".join(new)
    assert set(known) - {tuple(row[:3]) for row in found["found"]} == set()
