"""
http11probe.py: the cases of Http11Probe (github.com/MDA2AV/Http11Probe, MIT
licence) as data: what is sent, and which answers pass.

A case is (id, level, rule, step, ...): its bytes on one connection, a step at a
time, the next one once the last was answered and if the connection is open.
The level is that of the RFC's sentence behind it.

A rule is terms, the first that fits decides: "+" pass, "~" warn, "-" fail; none
fits: fail. What a term names is of the first step's outcome, with "2." of the
second's, and all that "&" joins has to be so:

	400	an answer with that status
	2xx	one of that class
	any	one at all
	closed	the server closed the connection, with or without an answer
	none	it closed without one (the prober lets silence pass for this)
	silent	nothing came, and it is open
	more	more answers than requests
	echo	the job of the body came back; never so for a cookie
	body	there is a body
	dated	Date has the form of RFC 9110, 5.6.7
	allow	there is that field; so for any name of one

The tool aims at `/` of a server that answers GET and echoes POST. Here

- GET is of /health, and where conditions and ranges are asked for, of a job's
  artifact (ARTIFACT; JOB_ID, ETAG and MODIFIED stand for those of the run);
- POST is of /execute, with its type. Where an answer of 2xx may come, its body
  is a job that was run before under its idempotency key (JOB): the answer is
  that job again if its bytes were heard as sent, which stands for the echo.
  Sizes follow;
- POST without a body is of a build of what needs none (BUILD);
- OPTIONS is of `*`, as paths here do not have it: 405 with Allow (row H28);
- cookies go to /health, /cookie is nowhere: fields are not echoed.
"""
import hashlib
import json

JOB_ID = b"00000000-0000-4000-8000-000000000000"
TEXT = b"an artifact\n"
ARTIFACT = b"/jobs/" + JOB_ID + b"/artifacts/a.txt"
ETAG = b'"%s"' % hashlib.sha256(TEXT).hexdigest().encode()
MODIFIED = b"Fri, 01 Jan 2100 00:00:00 GMT"
CODE = "open('/output/a.txt', 'w').write('an artifact\\n')"
KEY = "probe-of-http"
JOB = json.dumps({"code": CODE, "idempotency_key": KEY}).encode()
BUILD = b"/job-types/default/build"
SIZE = len(JOB)

MUST, SHOULD, OUGHT, MAY, NONE = "MUST", "SHOULD", "ought to", "MAY", "none"

# The rules that more than one case has.
REFUSE = "+400 +none"
REFUSE_ONLY = "+400"
EITHER = "+400 ~2xx +none"  # refusing is better, obeying is allowed
CODING = "+400 +501 +none"
WAIT = "+400 +none +silent"
SERVED = "+2xx"
ECHO = "+2xx&echo"
NO_UPGRADE = "-101 +any +none"
DIFFERS = "+400 +closed ~2xx"  # two framings in one request
CLOSES = "+400 +closed"
ALONE = "-more +400 +closed"  # nothing hidden in it is answered
IN_STEP = "+400 +closed ~2xx&2.400 +2xx&2.2xx ~2xx"
NO_NAME = "+4xx +5xx +2xx +none"  # a misspelt name has no effect
LIVES = "+2xx +400 +431 +none"
COOKIES = "~404 +2xx ~400 ~none"
MATCHES = "+2xx&2.304 ~2xx&2.2xx ~2xx&2.none"
CHANGED = "+2xx&2.2xx ~2xx&2.304 ~2xx&2.none"
TRACE = "+405 +501 +none ~2xx"

HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json"
CHUNKED = b"Transfer-Encoding: chunked"


def request(method, target, lines, data=b"", version=b"1.1"):
    return b"%s %s HTTP/%s\r\n%s%s\r\n%s" % (
        method, target, version, HOST,
        b"".join(line + b"\r\n" for line in lines), data)


def get(*lines, target=b"/health", method=b"GET", **more):
    return request(method, target, lines, **more)


def post(*lines, data=b"hello", target=b"/execute", **more):
    return request(b"POST", target, (JSON, *lines), data, **more)


def raw(line, *lines):
    """A request line as it is, and lines."""
    return b"\r\n".join([line, *lines, b"", b""])


def length(text):
    return b"Content-Length: " + text


def coded(text):
    """Both framings: a coding, and the length of the body behind it."""
    return post(b"Transfer-Encoding:" + text, length(b"5"))


def chunked(data):
    return post(CHUNKED, data=data)


def chunk(size=b"%x" % SIZE, data=JOB, trailer=b"", end=b"\r\n"):
    return chunked(size + b"\r\n" + data + end + b"0\r\n" + trailer + b"\r\n")


def piece(line, data=b"hello\r\n"):
    """A chunk that is not to be taken: its first line and what follows."""
    return chunked(line + data + b"0\r\n\r\n")


def cookie(value, target=b"/health"):
    return get(b"Cookie: " + value, target=target)


def artifact(*lines):
    return get(*lines, target=ARTIFACT)


def hiding(*lines, hidden=b"GET"):
    """A body that ends at once by its coding; a request stands behind it."""
    data = b"0\r\n\r\n" + get(method=hidden)
    return post(*(line.replace(b"LENGTH", b"%d" % len(data))
                  for line in lines), data=data)


UPGRADE = (b"Upgrade: websocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"
           b"ZQ==", b"Sec-WebSocket-Version: 13")
WEBSOCKET = (b"Connection: Upgrade", *UPGRADE)
NEXT = get()
PREFIX = NEXT[:-2]
INNER = get(length(b"7"))
BOTH = post(length(b"5"), CHUNKED, data=b"0\r\n\r\n")
BOTH_BACK = post(CHUNKED, length(b"5"), data=b"0\r\n\r\n")
# What a generator of .NET gives for the seed 42.
GARBAGE = bytes.fromhex(
    "3e17ba96ae04cd3b99869e56f0adbf3a6fb74d2555175dcc6e8b0914579ab036cfd6280b"
    "b3c707dbaef270dc9505096e676be7f10d46d827baed2722fbb9e4fed667871a85b386a8"
    "af727663a7813769819aadebb3bf2989fd0051c69fe4e0f50e71052d7eefe9b3e53e429b"
    "cf758038b5bea0600bf84a173efd1d8462c009ca918154357b0aea92b1fa06747c8eb987"
    "801810e04480ea1527eeee80d26451253577094e204bbdabd40dae11f2d59ab044950349"
    "af288611963f0d8c1b69c04ca8e03f05846b67345a650c36d1d82251543e3c3c6007750c"
    "f1f8b7e03d31906a4d61681296942bd82dcfef4a1c503fbe1dbc37dc2c83eba16a32148b"
    "b486f728")

SMUGGLING = [
    ("SMUG-CL-TE-BOTH", OUGHT, EITHER, post(
        length(b"23"), CHUNKED, data=b"D\r\nhello-bananas\r\n0\r\n\r\n")),
    ("SMUG-DUPLICATE-CL", MUST, REFUSE,
     post(length(b"5"), length(b"10"), data=b"helloworld")),
    ("SMUG-CL-LEADING-ZEROS", SHOULD, EITHER,
     post(length(b"00%d" % SIZE), data=JOB)),
    ("SMUG-TE-XCHUNKED", MUST, CODING, coded(b" xchunked")),
    ("SMUG-TE-TRAILING-SPACE", MUST, "+400 +501 +none ~2xx&closed",
     coded(b" chunked ")),
    ("SMUG-TE-SP-BEFORE-COLON", MUST, REFUSE,
     post(b"Transfer-Encoding : chunked", length(b"5"))),
    ("SMUG-CL-NEGATIVE", MUST, REFUSE, post(length(b"-1"), data=b"")),
    ("SMUG-CLTE-PIPELINE", MAY, DIFFERS,
     post(length(b"4"), CHUNKED, data=b"0\r\n\r\n")),
    ("SMUG-TECL-PIPELINE", MAY, DIFFERS,
     post(CHUNKED, length(b"30"), data=b"0\r\n\r\n")),
    ("SMUG-CL-TRAILING-SPACE", SHOULD, EITHER,
     post(length(b"%d " % SIZE), data=JOB)),
    ("SMUG-TE-DOUBLE-CHUNKED", SHOULD, EITHER, coded(b" chunked, chunked")),
    ("SMUG-CL-EXTRA-LEADING-SP", SHOULD, EITHER,
     post(length(b" %d" % SIZE), data=JOB)),
    ("SMUG-TE-CASE-MISMATCH", SHOULD, EITHER, coded(b" Chunked")),
    ("SMUG-CL-COMMA-DIFFERENT", MUST, REFUSE, post(length(b"5, 10"))),
    ("SMUG-TE-NOT-FINAL-CHUNKED", MUST, REFUSE, post(
        b"Transfer-Encoding: chunked, gzip", data=b"0\r\n\r\n")),
    ("SMUG-TE-HTTP10", MUST, REFUSE,
     post(CHUNKED, length(b"5"), version=b"1.0")),
    ("SMUG-CHUNK-BARE-SEMICOLON", MUST, REFUSE, piece(b"5;\r\n")),
    ("SMUG-CHUNK-EXT-INVALID-TOKEN", MUST, REFUSE, piece(b"5;bad[=x\r\n")),
    ("SMUG-BARE-CR-HEADER-VALUE", MUST, REFUSE,
     post(length(b"5"), b"X-Test: val\rue")),
    ("SMUG-CL-OCTAL", MUST, REFUSE, post(length(b"0o5"))),
    ("SMUG-CHUNK-UNDERSCORE", MUST, REFUSE,
     piece(b"1_0\r\n", b"hello world!!!!!\r\n")),
    ("SMUG-TE-EMPTY-VALUE", MUST, REFUSE, coded(b" ")),
    ("SMUG-TE-LEADING-COMMA", SHOULD, EITHER, coded(b" , chunked")),
    ("SMUG-TE-DUPLICATE-HEADERS", MUST, REFUSE,
     post(CHUNKED, b"Transfer-Encoding: identity", length(b"5"))),
    ("SMUG-CHUNK-HEX-PREFIX", MUST, REFUSE, piece(b"0x5\r\n")),
    ("SMUG-CHUNK-SIZE-PLUS", MUST, REFUSE, piece(b"+5\r\n")),
    ("SMUG-CHUNK-SIZE-TRAILING-OWS", MUST, REFUSE, piece(b"5 \r\n")),
    ("SMUG-CL-HEX-PREFIX", MUST, REFUSE, post(length(b"0x5"))),
    ("SMUG-CL-INTERNAL-SPACE", MUST, REFUSE,
     post(length(b"1 0"), data=b"hello12345")),
    ("SMUG-CHUNK-LEADING-SP", MUST, REFUSE, piece(b" 5\r\n")),
    ("SMUG-CHUNK-MISSING-TRAILING-CRLF", MUST, REFUSE,
     piece(b"5\r\n", b"hello")),
    ("SMUG-CHUNK-EXT-LF", MAY, EITHER, chunk(b"%x;\n" % SIZE + JOB, b"")),
    ("SMUG-CHUNK-SPILL", MUST, REFUSE, piece(b"5\r\n", b"hello!!\r\n")),
    ("SMUG-CHUNK-LF-TERM", MAY, EITHER, chunk(end=b"\n")),
    ("SMUG-CHUNK-EXT-CTRL", MUST, REFUSE, piece(b"5;\0ext\r\n")),
    ("SMUG-CHUNK-EXT-CR", MUST, REFUSE, piece(b"5;a\rX\r\n")),
    ("SMUG-TE-VTAB", MUST, REFUSE, coded(b" \x0bchunked")),
    ("SMUG-TE-FORMFEED", MUST, REFUSE, coded(b" \x0cchunked")),
    ("SMUG-TE-NULL", MUST, REFUSE, coded(b" chunked\0")),
    ("SMUG-CHUNK-LF-TRAILER", MAY, EITHER,
     chunked(b"%x\r\n%s\r\n0\r\n\n" % (SIZE, JOB))),
    ("SMUG-TE-IDENTITY", MUST, CODING, coded(b" identity")),
    ("SMUG-CHUNK-NEGATIVE", MUST, REFUSE, piece(b"-1\r\n")),
    ("SMUG-TRANSFER_ENCODING", MUST, EITHER, post(
        b"Transfer_Encoding: chunked", length(b"%d" % SIZE), data=JOB)),
    ("SMUG-CL-COMMA-SAME", MUST, EITHER,
     post(length(b"%d, %d" % (SIZE, SIZE)), data=JOB)),
    ("SMUG-CL-COMMA-TRIPLE", MUST, EITHER,
     post(length(b"%d, %d, %d" % (SIZE, SIZE, SIZE)), data=JOB)),
    ("SMUG-CHUNKED-WITH-PARAMS", MUST, EITHER, coded(b" chunked;ext=val")),
    ("SMUG-EXPECT-100-CL", MUST, EITHER, post(
        length(b"%d" % SIZE), b"Expect: 100-continue", data=JOB)),
    ("SMUG-TRAILER-CL", MUST, EITHER,
     chunk(trailer=b"Content-Length: 50\r\n")),
    ("SMUG-TRAILER-TE", MUST, EITHER, chunk(trailer=CHUNKED + b"\r\n")),
    ("SMUG-TRAILER-HOST", MUST, EITHER,
     chunk(trailer=b"Host: evil.example.com\r\n")),
    ("SMUG-TRAILER-AUTH", MUST, EITHER,
     chunk(trailer=b"Authorization: Bearer evil\r\n")),
    ("SMUG-HEAD-CL-BODY", MUST, EITHER,
     get(length(b"5"), method=b"HEAD", data=b"hello")),
    ("SMUG-OPTIONS-CL-BODY", MUST, EITHER, get(
        length(b"5"), method=b"OPTIONS", target=b"*", data=b"hello")),
    ("SMUG-CL-UNDERSCORE", MUST, REFUSE,
     post(length(b"1_0"), data=b"helloworld")),
    ("SMUG-CL-NEGATIVE-ZERO", MUST, REFUSE, post(length(b"-0"), data=b"")),
    ("SMUG-CL-DOUBLE-ZERO", SHOULD, EITHER,
     post(length(b"00"), data=b"", target=BUILD)),
    ("SMUG-CL-LEADING-ZEROS-OCTAL", SHOULD, EITHER,
     post(length(b"0200"), data=JOB.ljust(200))),
    ("SMUG-TE-OBS-FOLD", MUST, "+400 +none ~2xx&closed",
     coded(b"\r\n chunked")),
    ("SMUG-TE-TRAILING-COMMA", SHOULD, EITHER, coded(b" chunked,")),
    ("SMUG-TE-TAB-BEFORE-VALUE", MUST, EITHER, coded(b"\tchunked")),
    ("SMUG-ABSOLUTE-URI-HOST-MISMATCH", MUST, EITHER,
     get(target=b"http://other.example.com/health")),
    ("SMUG-MULTIPLE-HOST-COMMA", MUST, REFUSE,
     raw(b"GET /health HTTP/1.1", b"Host: localhost, other.example.com")),
    ("SMUG-CHUNK-BARE-CR-TERM", MUST, REFUSE, piece(b"5\r")),
    ("SMUG-TRAILER-CONTENT-TYPE", MUST, EITHER,
     chunk(trailer=b"Content-Type: text/evil\r\n")),
    ("SMUG-CLTE-CONN-CLOSE", MUST, CLOSES, BOTH, NEXT),
    ("SMUG-TECL-CONN-CLOSE", MUST, CLOSES, BOTH_BACK, NEXT),
    ("SMUG-CLTE-DESYNC", MUST, CLOSES,
     post(length(b"6"), CHUNKED, data=b"0\r\n\r\nX"), NEXT),
    ("SMUG-CLTE-SMUGGLED-GET", MUST, ALONE,
     hiding(length(b"LENGTH"), CHUNKED)),
    ("SMUG-CLTE-SMUGGLED-GET-CL-PLUS", MUST, ALONE,
     hiding(length(b"+LENGTH"), CHUNKED)),
    ("SMUG-CLTE-SMUGGLED-GET-CL-NON-NUMERIC", MUST, ALONE,
     hiding(length(b"LENGTHx"), CHUNKED)),
    ("SMUG-CLTE-SMUGGLED-GET-TE-OBS-FOLD", MUST, ALONE,
     hiding(b"Transfer-Encoding:\r\n chunked", length(b"LENGTH"))),
    ("SMUG-CLTE-SMUGGLED-HEAD", MUST, ALONE,
     hiding(length(b"LENGTH"), CHUNKED, hidden=b"HEAD")),
    ("SMUG-CLTE-SMUGGLED-GET-TE-TRAILING-SPACE", MUST, ALONE,
     hiding(length(b"LENGTH"), CHUNKED + b" ")),
    ("SMUG-CLTE-SMUGGLED-GET-TE-LEADING-COMMA", MUST, ALONE,
     hiding(length(b"LENGTH"), b"Transfer-Encoding: , chunked")),
    ("SMUG-CLTE-SMUGGLED-GET-TE-CASE-MISMATCH", MUST, ALONE,
     hiding(length(b"LENGTH"), b"Transfer-Encoding: Chunked")),
    ("SMUG-TE-DUPLICATE-HEADERS-SMUGGLED-GET", MUST, ALONE, hiding(
        CHUNKED, b"Transfer-Encoding: identity", length(b"LENGTH"))),
    # By its length it ends behind the size, and the chunk is a request.
    ("SMUG-TECL-SMUGGLED-GET", MUST, ALONE, post(
        CHUNKED, length(b"%d" % len(b"%x\r\n" % len(INNER))),
        data=b"%x\r\n%s\r\n0\r\n\r\n" % (len(INNER), INNER))),
    ("SMUG-DUPLICATE-CL-SMUGGLED-GET", MUST, ALONE, post(
        length(b"4"), length(b"%d" % (4 + len(NEXT))),
        data=b"PING" + NEXT)),
    ("SMUG-GET-CL-PREFIX-DESYNC", MAY,
     "+400 +closed ~2.more +2xx&2.400 +2xx&2.2xx ~any",
     get(length(b"%d" % len(PREFIX)), data=PREFIX), b"\r\n" + NEXT),
    ("SMUG-TECL-DESYNC", MUST, CLOSES,
     post(CHUNKED, length(b"30"), data=b"0\r\n\r\nX"), NEXT),
    ("SMUG-CL0-BODY-POISON", NONE, "+400 +closed ~2xx",
     post(length(b"0"), data=b"X", target=BUILD), NEXT),
    ("SMUG-GET-CL-BODY-DESYNC", MAY, IN_STEP,
     get(length(b"5"), data=b"hello"), NEXT),
    ("SMUG-OPTIONS-CL-BODY-DESYNC", NONE, IN_STEP, get(
        length(b"5"), method=b"OPTIONS", target=b"*", data=b"hello"), NEXT),
    ("SMUG-EXPECT-100-CL-DESYNC", NONE, "+417 " + IN_STEP + " ~any",
     post(length(b"%d" % SIZE), b"Expect: 100-continue", data=JOB), NEXT),
    ("SMUG-OPTIONS-TE-OBS-FOLD", MUST, CLOSES, get(
        b"Transfer-Encoding:\r\n chunked", length(b"5"), method=b"OPTIONS",
        target=b"*", data=b"hello"), NEXT),
    ("SMUG-CHUNK-INVALID-SIZE-DESYNC", MUST, CLOSES,
     chunked(b"+0\r\n\r\nX"), NEXT),
    ("SMUG-PIPELINE-SAFE", SHOULD, "+2xx&2.2xx ~2xx", NEXT, NEXT),
]

COMPLIANCE = [
    ("COMP-BASELINE", NONE, SERVED, NEXT),
    ("RFC9112-2.2-BARE-LF-REQUEST-LINE", MAY, EITHER,
     raw(b"GET /health HTTP/1.1\nHost: localhost")),
    ("RFC9112-2.2-BARE-LF-HEADER", MAY, EITHER,
     raw(b"GET /health HTTP/1.1", b"Host: localhost\nX-Test: value")),
    ("RFC9112-5.1-OBS-FOLD", MUST, REFUSE_ONLY,
     get(b"X-Test: value\r\n continued")),
    ("RFC9110-5.6.2-SP-BEFORE-COLON", MUST, REFUSE_ONLY,
     get(b"X-Test : value")),
    ("RFC9112-3-MULTI-SP-REQUEST-LINE", SHOULD, EITHER,
     get(method=b"GET ")),
    ("RFC9112-7.1-MISSING-HOST", MUST, REFUSE_ONLY,
     raw(b"GET /health HTTP/1.1")),
    ("RFC9112-2.3-INVALID-VERSION", SHOULD, "+400 +505 +none",
     get(version=b"9.9")),
    ("RFC9112-5-EMPTY-HEADER-NAME", MUST, REFUSE, get(b": empty-name")),
    ("RFC9112-3-CR-ONLY-LINE-ENDING", MUST, REFUSE_ONLY,
     raw(b"GET /health HTTP/1.1\rHost: localhost")),
    ("RFC9112-3-MISSING-TARGET", MUST, REFUSE,
     raw(b"GET HTTP/1.1", HOST[:-2])),
    ("RFC9112-3.2-FRAGMENT-IN-TARGET", SHOULD, EITHER,
     get(target=b"/health#frag")),
    ("RFC9112-2.3-HTTP09-REQUEST", SHOULD, WAIT, b"GET /\r\n"),
    ("RFC9112-5-INVALID-HEADER-NAME", MUST, REFUSE, get(b"Bad[Name: value")),
    ("RFC9112-5-HEADER-NO-COLON", MUST, REFUSE, get(b"NoColonHere")),
    ("RFC9110-5.4-DUPLICATE-HOST", MUST, REFUSE_ONLY,
     get(b"Host: other.example.com")),
    ("RFC9112-6.1-CL-NON-NUMERIC", MUST, REFUSE,
     post(length(b"abc"), data=b"")),
    ("RFC9112-6.1-CL-PLUS-SIGN", MUST, REFUSE, post(length(b"+5"))),
    ("COMP-WHITESPACE-BEFORE-HEADERS", MUST, REFUSE,
     raw(b"GET /health HTTP/1.1", b" ", HOST[:-2])),
    ("COMP-DUPLICATE-HOST-SAME", MUST, REFUSE_ONLY, get(HOST[:-2])),
    ("COMP-HOST-WITH-USERINFO", MUST, REFUSE,
     raw(b"GET /health HTTP/1.1", b"Host: user@localhost")),
    ("COMP-HOST-WITH-PATH", MUST, REFUSE,
     raw(b"GET /health HTTP/1.1", b"Host: localhost/path")),
    ("COMP-ASTERISK-WITH-GET", MUST, REFUSE, get(target=b"*")),
    ("COMP-OPTIONS-STAR", MUST, SERVED, get(method=b"OPTIONS", target=b"*")),
    ("COMP-UNKNOWN-TE-501", MUST, CODING,
     post(b"Transfer-Encoding: gzip", data=b"")),
    ("COMP-LEADING-CRLF", SHOULD, EITHER, b"\r\n\r\n" + NEXT),
    ("COMP-ABSOLUTE-FORM", SHOULD, "+2xx ~400 ~none",
     get(target=b"http://localhost/health")),
    ("COMP-METHOD-CASE", SHOULD, "+400 +405 +501 +none ~2xx",
     get(method=b"get")),
    ("COMP-POST-CL-BODY", MUST, ECHO, post(length(b"%d" % SIZE), data=JOB)),
    ("COMP-POST-CL-ZERO", MUST, SERVED + " +none",
     post(length(b"0"), data=b"", target=BUILD)),
    ("COMP-POST-NO-CL-NO-TE", MUST, SERVED + " +none",
     post(data=b"", target=BUILD)),
    ("COMP-POST-CL-UNDERSEND", MUST, WAIT, post(length(b"10"))),
    ("COMP-CHUNKED-BODY", MUST, ECHO, chunk()),
    ("COMP-CHUNKED-MULTI", MUST, ECHO, chunked(
        b"5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (JOB[:5], SIZE - 5, JOB[5:]))),
    ("COMP-CHUNKED-EMPTY", MUST, SERVED + " +none",
     post(CHUNKED, data=b"0\r\n\r\n", target=BUILD)),
    ("COMP-CHUNKED-NO-FINAL", MUST, WAIT, chunked(b"5\r\nhello\r\n")),
    ("COMP-UPGRADE-POST", MUST, NO_UPGRADE, post(*WEBSOCKET, data=b"")),
    ("COMP-UPGRADE-MISSING-CONN", MUST, NO_UPGRADE, get(*UPGRADE)),
    ("COMP-UPGRADE-UNKNOWN", MUST, NO_UPGRADE,
     get(b"Connection: Upgrade", b"Upgrade: totally-made-up/1.0")),
    ("COMP-METHOD-CONNECT", SHOULD, "+400 +405 +501 +none",
     raw(b"CONNECT example.com:443 HTTP/1.1", b"Host: example.com:443")),
    ("COMP-EXPECT-UNKNOWN", MAY, "+417 +none ~2xx", get(b"Expect: 200-ok")),
    ("COMP-GET-WITH-CL-BODY", MAY, "+400 +none ~any",
     get(length(b"5"), data=b"hello")),
    ("COMP-CHUNKED-EXTENSION", MUST, "~none ~400 " + ECHO,
     chunk(b"%x;ext=value" % SIZE)),
    ("COMP-UPGRADE-INVALID-VER", MUST, "-101 +426 +none ~2xx +any",
     get(*WEBSOCKET[:-1], b"Sec-WebSocket-Version: 99")),
    ("COMP-METHOD-TRACE", SHOULD, TRACE, get(method=b"TRACE")),
    ("COMP-HOST-EMPTY-VALUE", MUST, REFUSE,
     raw(b"GET /health HTTP/1.1", b"Host: ")),
    ("COMP-REQUEST-LINE-TAB", SHOULD, EITHER,
     raw(b"GET\t/health HTTP/1.1", HOST[:-2])),
    ("COMP-VERSION-MISSING-MINOR", MUST, REFUSE, get(version=b"1")),
    ("COMP-VERSION-LEADING-ZEROS", MUST, REFUSE, get(version=b"01.01")),
    ("COMP-VERSION-WHITESPACE", MUST, REFUSE, get(version=b" 1.1")),
    ("COMP-CONNECTION-CLOSE", MUST, "+2xx&closed", get(b"Connection: close")),
    ("COMP-HTTP10-DEFAULT-CLOSE", SHOULD, "+2xx&closed ~2xx",
     get(version=b"1.0")),
    ("COMP-HTTP10-NO-HOST", MAY, "~2xx +400 +none",
     raw(b"GET /health HTTP/1.0")),
    ("COMP-HTTP12-VERSION", MAY, "~2xx ~505 +none", get(version=b"1.2")),
    ("COMP-TRACE-WITH-BODY", SHOULD, "+400 " + TRACE,
     get(length(b"5"), method=b"TRACE", data=b"hello")),
    ("COMP-CHUNKED-TRAILER-VALID", MUST, ECHO,
     chunk(trailer=b"X-Checksum: abc\r\n")),
    ("COMP-CHUNKED-HEX-UPPERCASE", MUST, ECHO, chunked(
        b"A\r\n%s\r\n%X\r\n%s\r\n0\r\n\r\n" % (
            JOB[:10], SIZE - 10, JOB[10:]))),
    ("COMP-RANGE-POST", MUST, "-206 +2xx", post(
        length(b"%d" % SIZE), b"Range: bytes=0-10", data=JOB)),
    ("COMP-UPGRADE-HTTP10", MUST, NO_UPGRADE,
     get(*WEBSOCKET, version=b"1.0")),
    ("COMP-HEAD-NO-BODY", MUST, "-body +2xx", get(method=b"HEAD")),
    ("COMP-UNKNOWN-METHOD", SHOULD, "+501 +405 +400 +none ~2xx",
     get(method=b"FOOBAR")),
    ("COMP-405-ALLOW", MUST, "+405&allow -405 ~any", get(method=b"DELETE")),
    ("COMP-DATE-HEADER", MUST, "+2xx&date", NEXT),
    ("COMP-DATE-FORMAT", SHOULD, "+2xx&dated ~2xx", NEXT),
    ("COMP-NO-1XX-HTTP10", MUST, "-1xx +any +none +silent", post(
        b"Expect: 100-continue", length(b"5"), version=b"1.0")),
    ("COMP-NO-CL-IN-204", MUST, "-204&content-length +204 ~any",
     get(method=b"OPTIONS", target=b"*")),
    ("COMP-OPTIONS-ALLOW", SHOULD, "+2xx&allow ~2xx",
     get(method=b"OPTIONS", target=b"*")),
    ("COMP-CONTENT-TYPE", SHOULD, "+2xx&content-type ~2xx", NEXT),
    ("COMP-VERSION-CASE", MUST, REFUSE,
     raw(b"GET /health http/1.1", HOST[:-2])),
    ("COMP-LONG-URL-OK", SHOULD, "-414 +any ~none",
     get(target=b"/" + b"a" * 7900)),
    ("COMP-SPACE-IN-TARGET", MUST, REFUSE, get(target=b"/hea lth")),
    ("COMP-DUPLICATE-CT", SHOULD, EITHER, request(
        b"POST", b"/execute", (length(b"5"), b"Content-Type: text/plain",
                               b"Content-Type: text/html"), b"hello")),
    ("COMP-TRACE-SENSITIVE", SHOULD, TRACE, get(
        b"Authorization: Bearer secret-token-123", method=b"TRACE")),
    ("COMP-RANGE-INVALID", MAY, "~206 +2xx +416 ~any ~none",
     artifact(b"Range: bytes=abc-xyz")),
    ("COMP-ACCEPT-NONSENSE", SHOULD, "+406 ~2xx ~none",
     get(b"Accept: application/x-nonsense")),
    ("COMP-POST-UNSUPPORTED-CT", MAY, "+415 +2xx ~any ~none",
     request(b"POST", b"/execute", (
         length(b"5"), b"Content-Type: application/x-nonsense"), b"hello")),
]

MALFORMED = [
    ("MAL-BINARY-GARBAGE", SHOULD, WAIT, GARBAGE),
    ("MAL-LONG-URL", SHOULD, "+400 +414 +431 +none",
     get(target=b"/" + b"A" * 100000)),
    ("MAL-LONG-HEADER-VALUE", SHOULD, "+400 +431 +none",
     get(b"X-Big: " + b"B" * 100000)),
    ("MAL-MANY-HEADERS", NONE, "+400 +431 +none",
     get(*(b"X-H-%d: value" % n for n in range(10000)))),
    ("MAL-NUL-IN-URL", MUST, REFUSE, get(target=b"/\0test")),
    ("MAL-CONTROL-CHARS-HEADER", MUST, REFUSE,
     get(b"X-Test: abc\x07\x08\x0bdef")),
    ("MAL-INCOMPLETE-REQUEST", NONE, WAIT, PREFIX + b"X-Test: value"),
    ("MAL-EMPTY-REQUEST", NONE, WAIT, b""),
    ("MAL-LONG-HEADER-NAME", SHOULD, "+400 +431 +none",
     get(b"A" * 100000 + b": val")),
    ("MAL-LONG-METHOD", SHOULD, REFUSE, get(method=b"A" * 100000)),
    ("MAL-NON-ASCII-HEADER-NAME", MUST, REFUSE, get(b"X-T\xc3\xabst: value")),
    ("MAL-NON-ASCII-URL", MUST, REFUSE, get(target=b"/caf\xc3\xa9")),
    ("MAL-CL-OVERFLOW", MUST, REFUSE,
     post(length(b"99999999999999999999"), data=b"")),
    ("MAL-WHITESPACE-ONLY-LINE", NONE, WAIT, b"   \r\n\r\n"),
    ("MAL-NUL-IN-HEADER-VALUE", MUST, REFUSE, get(b"X-Test: val\0ue")),
    ("MAL-CHUNK-SIZE-OVERFLOW", MUST, REFUSE, piece(b"FFFFFFFFFFFFFFFF0\r\n")),
    ("MAL-H2-PREFACE", NONE, "+505 " + WAIT,
     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("MAL-CL-EMPTY", MUST, REFUSE, post(length(b""), data=b"")),
    ("MAL-CL-TAB-BEFORE-VALUE", MAY, EITHER,
     post(b"Content-Length:\t%d" % SIZE, data=JOB)),
    ("MAL-URL-BACKSLASH", SHOULD, "+400 +none ~2xx ~3xx ~4xx",
     get(target=b"/path\\file")),
    ("MAL-URL-OVERLONG-UTF8", MUST, REFUSE, get(target=b"/\xc0\xaf")),
    ("MAL-URL-PERCENT-NULL", NONE, "+400 +none ~2xx ~3xx ~4xx",
     get(target=b"/path%00.html")),
    ("MAL-URL-PERCENT-CRLF", NONE, "+400 +none ~2xx ~3xx ~4xx",
     get(target=b"/path%0d%0aX-Injected:%20true")),
    ("MAL-CHUNK-EXT-64K", NONE, "+400 +431 +none ~2xx",
     chunk(b"%x;ext=" % SIZE + b"a" * 65536)),
    ("MAL-RANGE-OVERLAPPING", NONE, "~200 ~206 ~400 ~416 ~431 +none",
     artifact(b"Range: bytes=" + b",".join([b"0-"] * 1000))),
    ("MAL-POST-CL-HUGE-NO-BODY", MUST, WAIT,
     post(length(b"999999999"), data=b"")),
]

NORMALIZATION = [
    ("NORM-UNDERSCORE-CL", NONE, NO_NAME, post(
        length(b"%d" % SIZE), b"Content_Length: 99", data=JOB)),
    ("NORM-SP-BEFORE-COLON-CL", MUST, NO_NAME, post(
        length(b"%d" % SIZE), b"Content-Length : 5", data=JOB)),
    ("NORM-TAB-IN-NAME", MUST, NO_NAME, post(
        length(b"%d" % SIZE), b"Content\tLength: 99", data=JOB)),
    ("NORM-CASE-TE", NONE, NO_NAME, post(
        length(b"%d" % SIZE), b"TRANSFER-ENCODING: chunked", data=JOB)),
    ("NORM-UNDERSCORE-TE", NONE, NO_NAME, post(
        length(b"%d" % SIZE), b"Transfer_Encoding: chunked", data=JOB)),
]

CONDITIONS = [
    ("CAP-ETAG-304", SHOULD, MATCHES, artifact(b"Connection: keep-alive"),
     artifact(b"If-None-Match: " + ETAG)),
    ("CAP-LAST-MODIFIED-304", SHOULD, MATCHES,
     artifact(b"Connection: keep-alive"),
     artifact(b"If-Modified-Since: " + MODIFIED)),
    ("CAP-ETAG-IN-304", SHOULD, "+2xx&2.304&2.etag ~2xx",
     artifact(b"Connection: keep-alive"),
     artifact(b"If-None-Match: " + ETAG)),
    ("CAP-INM-PRECEDENCE", SHOULD, MATCHES,
     artifact(b"Connection: keep-alive"),
     artifact(b"If-None-Match: " + ETAG,
              b"If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT")),
    ("CAP-INM-WILDCARD", SHOULD, MATCHES, artifact(b"Connection: keep-alive"),
     artifact(b"If-None-Match: *")),
    ("CAP-IMS-FUTURE", SHOULD, CHANGED, artifact(b"Connection: keep-alive"),
     artifact(b"If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT")),
    ("CAP-IMS-INVALID", SHOULD, CHANGED, artifact(b"Connection: keep-alive"),
     artifact(b"If-Modified-Since: not-a-date")),
    ("CAP-INM-UNQUOTED", SHOULD, CHANGED, artifact(b"Connection: keep-alive"),
     artifact(b"If-None-Match: " + ETAG.strip(b'"'))),
    ("CAP-ETAG-WEAK", SHOULD, MATCHES, artifact(b"Connection: keep-alive"),
     artifact(b"If-None-Match: W/" + ETAG)),
]

COOKIE = [
    ("COOK-ECHO", NONE, "~none +2xx&echo", cookie(b"foo=bar")),
    ("COOK-OVERSIZED", NONE, LIVES, cookie(b"big=" + b"A" * 65536)),
    ("COOK-EMPTY", NONE, "+2xx +400 +none", cookie(b"")),
    ("COOK-NUL", NONE, "+400 +2xx +none", cookie(b"foo=\0bar")),
    ("COOK-CONTROL-CHARS", NONE, "+400 +2xx +none",
     cookie(b"foo=\x01\x02\x03")),
    ("COOK-MANY-PAIRS", NONE, LIVES,
     cookie(b"; ".join(b"k%d=v%d" % (n, n) for n in range(1000)))),
    ("COOK-MALFORMED", NONE, "+2xx +400 +none", cookie(b"===;;;")),
    ("COOK-MULTI-HEADER", NONE, "+2xx&echo ~2xx ~400 ~none",
     get(b"Cookie: a=1", b"Cookie: b=2")),
    ("COOK-PARSED-BASIC", NONE, COOKIES, cookie(b"foo=bar", b"/cookie")),
    ("COOK-PARSED-MULTI", NONE, COOKIES,
     cookie(b"a=1; b=2; c=3", b"/cookie")),
    ("COOK-PARSED-EMPTY-VAL", NONE, COOKIES, cookie(b"foo=", b"/cookie")),
    ("COOK-PARSED-SPECIAL", NONE, COOKIES,
     cookie(b"a=hello world; b=x=y", b"/cookie")),
]

SUITES = {"Smuggling": SMUGGLING, "Compliance": COMPLIANCE,
          "Malformed": MALFORMED, "Normalization": NORMALIZATION,
          "Capabilities": CONDITIONS, "Cookies": COOKIE}
