"""Writes regress/unit/conf_scalars.h: what Tako VM 0.3's libraries make of
each scalar below, for the unit test that compares takod with it.

Run with a Python that has PyYAML and pydantic (2.x); not part of the tests:
    python make_scalars.py > ../unit/conf_scalars.h
"""
import math

import yaml
from pydantic import BaseModel

WORDS = """
true True TRUE tRUE TrUe false False FALSE fALSE yes Yes YES yES no No NO nO
on On ON oN off Off OFF oFF y Y n N t T f F null Null NULL nULL ~ ~~ none None
NaN nan inf Infinity = == < << <<< - -- --- . .. + ++ : -: yes: e E _ __ 0_ _0
enabled disabled truee atrue
"""
NUMBERS = """
0 1 2 3 7 8 9 10 42 100 1000 65536 2147483647 2147483648 4294967296
9223372036854775807 9223372036854775808 99999999999999999999999 -1 -0 +0 +1 -42
+42 --1 ++1 +-1 00 01 007 010 017 018 019 08 09 0777 -010 +017 0o17 0O17 0o8
0x10 0X10 0xff 0xFF 0xfF 0xg 0x 0x_ 0x_1 -0x10 +0x1f 0b1 0b0 0b101 0b102 0b
0b_ 0b_1 -0b11 +0b11 0B1 1_000 1__000 1_ _1 1_0_0 0_1 0_ 0__ 1_000_000 -1_0
1:30 1:2:3 1:60 1:59 1:5 1:05 01:30 0:30 -1:30 +1:30 1:30:60 1: :30 1::30 9:59
1:30:30 190:20:30 1_0:30 1:3_0 10:99 1:000 59:59 60:60
0.0 1.0 2.0 4.0 4.5 -4.0 +4.0 1. 0. -1. 10. 1._ 1_.0 1.0_ 1._0 1_0.0 .5 .0 -.5
+.5 .5_ ._5 ._ .5e+1 .5e1 5.e+1 1e3 1E3 1e+3 1e-3 1.e3 1.0e3 1.0e+3 1.0E+3
1.0e-3 1.5e+300 1.0e+400 1.0e-400 -1.0e+3 1.0e+ 1.0e 1.0e+_ 12e03 1.0f 1d3
1:30.5 1:30.0 0:0.5 1:60.5 -1:30.5 1:30. 1:30._5 1:2:3.25 1_0:30.5 01:30.5
.inf .Inf .INF .iNF -.inf +.inf -.Inf .nan .NaN .NAN .Nan -.nan +.nan .in
00.5 01.5 0.1 0.25 0x1p3 0x1.8p1 1,000 1.000,5 1/2 50% 1k 512m 1g 0.10 1.10
100000000000000000000.0 1.0000000000000000000001 0.30000000000000004 1e 1e5e
123456789012345678901234567890 1.7976931348623157e+308
"""
TIMES = """
2001-01-01 2001-1-1 2001-01-1 01-01-2001 2001-13-45 2001-01-01T00:00:00
2001-01-01t00:00:00 2001-01-01T00:00:00Z 2001-01-01T0:00:00 2001-1-1T1:2:3
2001-01-01T01:02:03.5 2001-01-01T01:02:03. 2001-01-01T01:02:03+01
2001-01-01T01:02:03+01:30 2001-01-01T01:02:03-1 2001-01-01T01:02 12:30:45
2001-01-01T 2001-01 20010101 2001-01-01x
"""
QUOTED = """
|true|TRUE|tRuE|false|yes|Yes|no|on|off|y|Y|n|t|f|T|F| true|true |1|0|2|-1|01|
1.0|0.0|4|4.0|4.|4.00|4.5|.5|0.5|-.5|+.5| 4 |4 0|+4|-4|--4|+ 4|1_000|1__0|_1|
1_|0_1|0x10|0b1|0o7|010|1:30|1e3|1E3|1e+3|1.5e3|1.e3|1.5e|e5|1e400|1e-400|
1_0.5|1_.5|1._5|1.5_0|1.5_|_1.5|1e1_0|4.0_0|4._0|4_.0|4.0.0|+4.0|-4.0|-0|-0.0|
null|~|None|nan_|00012|0004.0|9223372036854775807|9223372036854775808|
40000000000000000000000.0|4.000000000000000000000|1.0f|1d3|0x1p3|,4|4,5|
2001-01-01|<<|=|yes please|abc|hello world|512m| |.|+|-|1 |0 | 0|on |oN|
12345678901234567890123456789012345678901234567890
"""
ODD = [
    '2001-01-01 10:20:30', '2001-01-01 10:20:30.5 +1', '2001-01-01 1:02:03',
    '"\\u00a04"', '"4\\u00a0"', '"\\u20284"', '"\\t4\\n"', '"\\v4\\f"',
    '"\\u0664"', '"\\uff14"', '"\\xe9"', '"\\u2003true"', '"4\\u3000"',
    "'4'", "'it''s'", "''", '""', '', '!!str 5', '!!str true', '!!str',
    '!!int "5"', '!!int "0x1f"', '!!int "1_0"', '!!int "1:30"', '!!int abc',
    '!!int ""', '!!int "1.0"', '!!int "017"', '!!float 5', '!!float "1e3"',
    '!!float abc', '!!float "1:30"', '!!float ".inf"', '!!bool "yes"',
    '!!bool "ON"', '!!bool "tRuE"', '!!bool "1"', '!!bool maybe',
    '!!null x', '!!null ""', '!!timestamp 2001-01-01',
    '!!timestamp "x"', '!!python/none x', '!!python/object:os.system x',
    '!foo 5', '!<tag:yaml.org,2002:int> "7"', '! 5', '! "5"', '! true',
    '!!seq 5', '!!map 5', '&a 5', '&a true', '&a "5"', 'a b', 'true # no',
    '5 # five', '"5" # five', 'a#b', "'true'", "'0'", '|\n  5', '>\n  5',
    '|-\n  5', '>-\n  true', '|-\n  true\n', '5\n  6', 'a\n  b',
]


class Model(BaseModel):
    b: bool = False
    i: int = 0
    f: float = 0.0
    t: str = ""


def scalars():
    seen = []
    for block in (WORDS, NUMBERS, TIMES):
        seen += block.split()
    for text in QUOTED.replace("\n", "").split("|"):
        seen.append('"%s"' % text)
    seen += ODD
    return list(dict.fromkeys(seen))


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
