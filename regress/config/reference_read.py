"""
reference_read.py: what conf_read (regress/tools) does, done by Tako VM 0.3.0;
run by the interpreter of lib/reference.py. The first line of its answer is
the JSON schema of 0.3's configuration; then come a line of errors and values
for each line of standard input. It makes no data folder: whether a path can
be made is no question of reading.
"""
import json
import logging
import os
import sys
from pathlib import Path

from pydantic import ValidationError
from tako_vm import config as reference

logging.disable(logging.CRITICAL)
reference.TakoVMConfig._ensure_data_dir = lambda self: None


def values(config):
    dump = config.model_dump(mode="json")
    for key in ("data_dir", "seccomp_profile_path"):
        dump[key] = dump.pop(key + "_str")
    return dump


def errors(error):
    """[[place, what kind, text], ...]; no place: the file as a whole."""
    cause = error.__cause__ if isinstance(
        error, reference.ConfigurationError) else error
    if isinstance(cause, ValidationError):
        return [[".".join(map(str, e["loc"])), e["type"], e["msg"]]
                for e in cause.errors(include_input=False, include_url=False)]
    if cause is None:
        cause = error
    return [["", type(cause).__name__, str(cause)]]


def answer(request):
    os.environ.update(request["env"])
    try:
        config = reference.load_config(Path(request["path"]))
        return {"errors": [], "values": values(config)}
    except Exception as error:
        return {"errors": errors(error), "values": None}
    finally:
        for name in request["env"]:
            del os.environ[name]


print(json.dumps(reference.TakoVMConfig.model_json_schema()), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
