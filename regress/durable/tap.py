#!/usr/bin/python3 -I
"""
tap.py: stands in for an OCI runtime: runs the real one, and writes down what
goes into the container and what comes out of it.

	tap.py LOG RUNTIME [argument ...]

It is named as takod's runtime (by a script that fills in the first two), so
it sees the one channel that a container has, and is no part of takod: what
it writes is the proof of what ran. Where the runtime gets a socket as stdin,
a process in between copies both ways and appends a line to LOG for each

	given CONTAINER TOKEN	the job's code was sent into the container
	ran CONTAINER TOKEN	the job's own output came out of it

where a job's code has the text TOKEN-<hex> and prints RAN-<hex>. The copying
process outlives the runtime and takod, until the container's end.
"""
import os
import re
import select
import signal
import socket
import stat
import sys

GIVEN = re.compile(rb"TOKEN-([0-9a-f]{16})")
RAN = re.compile(rb"RAN-([0-9a-f]{16})")
KEEP = 64  # bytes looked at again: a token may come in two pieces


def is_socket(fd):
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False


class Side:
    """One direction: bytes read, waiting to be written, and searched."""

    def __init__(self, source, sink, word, pattern, log, name):
        self.source, self.sink = source, sink
        self.word, self.pattern = word, pattern
        self.log, self.name = log, name
        self.waiting, self.tail, self.told = b"", b"", set()
        self.open = True

    def read(self):
        try:
            data = self.source.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.open = False
            return
        text = self.tail + data
        for token in self.pattern.findall(text):
            if token not in self.told:
                self.told.add(token)
                os.write(self.log, b"%s %s %s\n" % (
                    self.word, self.name, token))
        self.tail = text[-KEEP:]
        self.waiting += data

    def write(self):
        try:
            self.waiting = self.waiting[self.sink.send(self.waiting):]
        except OSError:
            self.waiting = b""  # nobody is there any more

    def finish(self):
        if not self.open and not self.waiting:
            try:
                self.sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            return True
        return False


def copy(outer, inner, log, name):
    """Copies until the container's side has ended."""
    into = Side(outer, inner, b"given", GIVEN, log, name)
    out = Side(inner, outer, b"ran", RAN, log, name)
    sides = [into, out]
    while out in sides:
        reading = [s.source for s in sides if s.open and not s.waiting]
        writing = [s.sink for s in sides if s.waiting]
        readable, writable, _ = select.select(reading, writing, [])
        for side in list(sides):
            if side.open and not side.waiting and side.source in readable:
                side.read()
            elif side.waiting and side.sink in writable:
                side.write()
            if side.finish():
                sides.remove(side)


def stand_between(log_path, name):
    """Forks the copying process; our stdin and stdout become its pair."""
    ours, theirs = socket.socketpair()
    if os.fork() != 0:
        ours.close()
        os.dup2(theirs.fileno(), 0)
        os.dup2(theirs.fileno(), 1)
        theirs.close()
        return
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    theirs.close()
    outer = socket.socket(fileno=os.dup(0))
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    for sock in (outer, ours):
        sock.setblocking(True)
    keep = {0, 1, 2, outer.fileno(), ours.fileno(), log}
    for fd in {int(n) for n in os.listdir("/proc/self/fd")} - keep:
        try:
            os.close(fd)
        except OSError:
            pass
    copy(outer, ours, log, name)
    os._exit(0)


def main():
    log, runtime, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
    if is_socket(0) and ("run" in arguments or "create" in arguments):
        # The container's name is the last word of these commands.
        stand_between(log, arguments[-1].encode())
    os.execvp(runtime, [runtime] + arguments)


main()
