"""The gate that switches rejections off: it finds them, and would notice one that no test needs."""

from __future__ import annotations

import ast

from ci.gates.rejections import COVERED, TESTS, is_noticed, rejections, switched_off

SOURCE = 'def f(x):\n    if x:\n        raise InvalidError("bad")\n    return 1\n'


def named(text: str):
    (found,) = [r for r in rejections() if text in r.source]
    return found


def test_every_rejection_is_found():
    found = rejections()
    assert len(found) > 60
    assert {"engine.validation.body", "engine.validation.module", "engine.instructions.control"} <= {
        r.module for r in found
    }
    for part in COVERED:
        assert any(part in r.source for r in found)


def test_one_statement_is_switched_off():
    assert ast.unparse(switched_off(SOURCE, 3)) == "def f(x):\n    if x:\n        pass\n    return 1"
    assert ast.unparse(switched_off(SOURCE, 2)) == ast.unparse(ast.parse(SOURCE))


def test_a_rejection_is_missed_by_the_test_of_its_rule_and_by_no_other():
    rejection = named("shared memory must have maximum")
    assert is_noticed(rejection, TESTS[:1])
    assert not is_noticed(rejection, ("tests/engine/test_matching.py",))
