"""
differ.py: gives requests to takod's parser (http_verdicts) and to two others,
h11 and llhttp (httptools), and says where they disagree. Runs where those are.

	differ.py HTTP_VERDICTS SEED MUTATIONS FOLDER

The inputs are the files of FOLDER, then mutations of them that follow from
SEED. Prints JSON: for each kind of disagreement [other, kind, reason] how many
there are, and the first input of it.
"""
import json
import os
import random
import re
import struct
import subprocess
import sys

import h11
import httptools

SIZE_MAX = 3000  # of an input that is mutated
ODD = [b"\0", b"\t", b"\n", b"\r", b" ", b",", b":", b";", b"\r\n", b"0",
       b"\x0b", b"\x7f", b"\x80", b"\xff", b"chunked", b"Content-Length: 5\r\n",
       b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1", b"HTTP/1.0", b"POST ",
       b"Host: a\r\n", b"/", b"%", b"\"", b"=", b"+", b"-", b"_", b"x"]


class Verdict:
    """Requests as [method, target, body, whole], and how it ended: "more",
    "close" or "fault", with the reason of a fault."""
    def __init__(self):
        self.requests, self.end, self.reason = [], "more", ""

    def fault(self, reason):
        self.end, self.reason = "fault", reason
        return self


def ours(program, inputs):
    """The verdicts of takod's parser, in one run of its program."""
    done = subprocess.run(
        [program], check=True, stdout=subprocess.PIPE,
        input=b"".join(struct.pack("<I", len(one)) + one for one in inputs))
    verdicts, now = [], Verdict()
    for line in done.stdout.decode().splitlines():
        word, *rest = line.split(" ", 3 if line.startswith("end") else -1)
        if word == "head":
            texts = [b"" if text == "-" else bytes.fromhex(text)
                     for text in rest[:3]]
            now.requests.append([*texts, rest[3] == "whole"])
            continue
        now.end = rest[0]
        if now.end == "fault":
            now.reason = rest[2]
        verdicts.append(now)
        now = Verdict()
    assert len(verdicts) == len(inputs)
    return verdicts


def of_h11(data):
    verdict = Verdict()
    conn = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    try:
        conn.receive_data(data)
        while True:
            event = conn.next_event()
            if event is h11.NEED_DATA:
                return verdict
            if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                verdict.end = "close"
                return verdict
            if isinstance(event, h11.Request):
                verdict.requests.append(
                    [event.method, event.target, b"", False])
            elif isinstance(event, h11.Data):
                verdict.requests[-1][2] += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                verdict.requests[-1][3] = True
                conn.send(h11.Response(status_code=404, headers=[
                    ("Content-Length", "0")]))
                conn.send(h11.EndOfMessage())
                if conn.our_state is not h11.DONE:
                    verdict.end = "close"
                    return verdict
                conn.start_next_cycle()
    except h11.RemoteProtocolError as error:
        # What it names is cut off: {!r}, and numbers.
        return verdict.fault(re.sub(
            r"[(:]? ?(b?bytearray\(|b?['\"]|\[|\().*|\d+.*", "",
            str(error)).strip())


class Listener:
    def __init__(self, verdict):
        self.verdict, self.parser, self.url = verdict, None, b""
        self.closed = False

    def on_message_begin(self):
        self.url = b""

    def on_url(self, url):
        self.url += url

    def on_headers_complete(self):
        self.verdict.requests.append(
            [self.parser.get_method(), self.url, b"", False])

    def on_body(self, data):
        self.verdict.requests[-1][2] += data

    def on_message_complete(self):
        self.verdict.requests[-1][3] = True
        if not self.parser.should_keep_alive():
            self.closed = True


def of_llhttp(data):
    verdict = Verdict()
    listener = Listener(verdict)
    listener.parser = httptools.HttpRequestParser(listener)
    try:
        listener.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        listener.closed = True
    except httptools.HttpParserError as error:
        if not listener.closed:
            return verdict.fault(re.sub(r"\s+", " ", str(error)))
    if listener.closed:
        verdict.end = "close"
    return verdict


def state(verdict, i):
    """How far a verdict took the request of that number."""
    if i < len(verdict.requests):
        return "whole" if verdict.requests[i][3] else "part"
    return "none"


def compare(mine, other):
    """(kind, reason) of the first disagreement, or None."""
    for i in range(max(len(mine.requests), len(other.requests)) + 1):
        a, b = state(mine, i), state(other, i)
        if "none" in (a, b):
            # Nothing more is asked of one that closes.
            if a == "none" and mine.end == "close" or \
                    b == "none" and other.end == "close":
                return None
        if a == b == "none":
            return None
        if a != "whole" and mine.end == "fault":
            if a == "none" and b != "none":
                return "its head refused here", mine.reason
            if b == "whole":
                return "its body refused here", mine.reason
            return None
        if b != "whole" and other.end == "fault":
            if b == "none" and a != "none":
                return "its head refused there", other.reason
            if a == "whole":
                return "its body refused there", other.reason
            return None
        if a != b:
            return "another end", "%s here, %s there" % (a, b)
        one, two = mine.requests[i], other.requests[i]
        if one[0] != two[0]:
            return "another method", ""
        if one[1] != two[1] and two[1].startswith(b"/"):
            return "another target", ""
        if one[2] != two[2]:
            return "another body", ""
    return None


def mutated(inputs, seed, count):
    draw = random.Random(seed)
    inputs = [one for one in inputs if 0 < len(one) <= SIZE_MAX]
    for _ in range(count):
        one = bytearray(draw.choice(inputs))
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            at = draw.randrange(len(one) + 1)
            how = draw.randrange(6)
            if how == 0:
                one[at:at + 1] = draw.choice(ODD)
            elif how == 1:
                one[at:at] = draw.choice(ODD)
            elif how == 2:
                del one[at:at + draw.choice((1, 1, 2, 8))]
            elif how == 3 and at < len(one):
                one[at] = draw.randrange(256)
            else:
                # A line of another, in the place of one or beside it.
                lines = bytes(one).split(b"\r\n")
                others = draw.choice(inputs).split(b"\r\n")
                at = draw.randrange(len(lines))
                lines[at:at + (how == 4)] = [draw.choice(others)]
                one = bytearray(b"\r\n".join(lines))
        yield bytes(one)


def main():
    program, seed, count, folder = sys.argv[1:]
    inputs = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            inputs.append(file.read())
    inputs += mutated(inputs, int(seed), int(count))
    found = {}
    for data, mine in zip(inputs, ours(program, inputs)):
        for name, judge in (("h11", of_h11), ("llhttp", of_llhttp)):
            difference = compare(mine, judge(data))
            if difference:
                entry = found.setdefault(
                    (name, *difference), {"count": 0, "input": repr(data)})
                entry["count"] += 1
                entry["input"] = min(entry["input"], repr(data), key=len)
    json.dump({"inputs": len(inputs), "found": [
        [*key, entry["count"], entry["input"][:300]]
        for key, entry in sorted(found.items())]}, sys.stdout)


if __name__ == "__main__":
    main()
