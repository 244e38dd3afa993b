"""Writes regress/unit/conf_scalars.h: what Tako VM 0.3's libraries make of
each scalar of scalars.py, for the unit test that compares takod with it. Run by
the interpreter of lib/reference.py; test_reference.py sees that it is done:
    make_scalars.py > regress/unit/conf_scalars.h
"""
import math
import os
import sys

import yaml
from pydantic import BaseModel

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from scalars import scalars  # noqa: E402


class Model(BaseModel):
    b: bool = False
    i: int = 0
    f: float = 0.0
    t: str = ""


def take(kind, value):
    try:
        return getattr(Model(**{kind: value}), kind)
    except ValueError:
        return None


def c_string(text):
    """JSON's escapes are C's, but for \\u; and a hex digit must not follow."""
    out = ""
    for byte in text.encode():
        char = chr(byte)
        if char in '"\\':
            out += "\\" + char
        elif 32 <= byte < 127:
            out += char
        else:
            out += "\\%03o" % byte
    return '"%s"' % out


def c_int(value):
    top = 2**63 - 1
    return "%d" % max(-top, min(top, value))


def c_float(value):
    if value is None or math.isnan(value):
        return "NONE"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return repr(float(value))


def row(text):
    try:
        value = yaml.safe_load("v: %s\n" % text)["v"]
    except Exception:
        return "\t{ %s, 0, -1, 0, 0, NONE, NULL }," % c_string(text)
    if isinstance(value, float) and math.isnan(value):
        value = None
    boolean, number = take("b", value), take("i", value)
    string = take("t", value)
    return "\t{ %s, 1, %s, %d, %s, %s, %s }," % (
        c_string(text),
        "-1" if boolean is None else int(boolean),
        number is not None,
        "0" if number is None else c_int(number),
        c_float(take("f", value)),
        "NULL" if string is None else c_string(string),
    )


print("""/*
 * conf_scalars.h: made by regress/config/make_scalars.py from PyYAML %s and
 * pydantic; not written by hand. One row a scalar, as it stands behind "v: ".
 */
/* clang-format off */
#define NONE (0.0 / 0.0)
static const struct scalar {
\tconst char *text;
\tint loads;	/* 0: the loader refuses the document */
\tint as_bool;	/* -1: refused */
\tint is_int;
\tint64_t as_int; /* held at the ends of its range */
\tdouble as_float; /* NONE: refused */
\tconst char *as_text; /* NULL: refused */
} scalars[] = {""" % yaml.__version__)
for s in scalars():
    print(row(s))
print("};\n/* clang-format on */")
