"""
test_rows.py: no row of the fault catalogue is without a test.
"""
import ast
import importlib.util
import os

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
REGRESS = os.path.dirname(HERE)
spec = importlib.util.spec_from_file_location(
    "rows", os.path.join(HERE, "rows.py"))
rows = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rows)


def test_every_row():
    assert sorted(rows.ROWS) == ["T%02d" % n for n in range(1, 39)]
    assert all(rows.ROWS.values())


@pytest.mark.parametrize("row", sorted(rows.ROWS))
def test_row(row):
    """The tests exist, and each says in its name or text what it holds."""
    for name in rows.ROWS[row]:
        path, _, function = name.partition("::")
        with open(os.path.join(REGRESS, path)) as file:
            text = file.read()
        if not function:
            assert row in text, name
            continue
        found = [node for node in ast.parse(text).body
                 if isinstance(node, ast.FunctionDef)
                 and node.name == function]
        assert len(found) == 1, name
        words = function.upper() + (ast.get_docstring(found[0]) or "")
        assert row in words, "%s does not name %s" % (name, row)
