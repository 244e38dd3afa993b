"""
answers.py: what the daemons of this run answered, a few answers of each kind,
so that they can be held to the document at /openapi.json. Each process that
runs tests has a file of its own in the scratch folder, and reads all.
"""
import glob
import json
import os
import re

from . import host

EACH = 12  # of one method, path and status
SIZE_MAX = 131072

counts = {}


def note(method, path, status, names, data):
    """One answer; names: its fields; data: its body."""
    path = path.split("?")[0]
    kind = (method, re.sub(r"[0-9a-f-]{36}", "*", path), status)
    counts[kind] = counts.get(kind, 0) + 1
    if counts[kind] > EACH or len(data) > SIZE_MAX:
        return
    with open(os.path.join(host.scratch(), "answers.%d" % os.getpid()),
              "a") as file:
        print(json.dumps({"method": method, "path": path, "status": status,
                          "fields": names, "body": data.decode("latin-1")}),
              file=file)


def write(path):
    """All of them, of all processes, as lines of JSON; a line that is being
    written is left out."""
    with open(path, "w") as file:
        for name in glob.glob(os.path.join(host.scratch(), "answers.*")):
            with open(name) as noted:
                file.writelines(line for line in noted if line.endswith("\n"))
