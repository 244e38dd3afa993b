"""
answers.py: what the daemons of this session answered, a few answers of each
kind, so that they can be held to the document at /openapi.json.
"""
import json
import re

EACH = 12  # of one method, path and status
SIZE_MAX = 131072

kinds = {}


def note(method, path, status, names, data):
    """One answer; names: its fields; data: its body."""
    path = path.split("?")[0]
    kind = (method, re.sub(r"[0-9a-f-]{36}", "*", path), status)
    noted = kinds.setdefault(kind, [])
    if len(noted) < EACH and len(data) <= SIZE_MAX:
        noted.append((path, names, data))


def write(path):
    """All of them as lines of JSON."""
    with open(path, "w") as file:
        for (method, _, status), noted in kinds.items():
            for where, names, data in noted:
                print(json.dumps({
                    "method": method, "path": where, "status": status,
                    "fields": names, "body": data.decode("latin-1")}),
                    file=file)
