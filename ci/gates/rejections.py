"""Gate: is every rule of validation broken by some test?  ``python -m ci.gates.rejections``.

Each ``raise InvalidError`` of the validator and of the typing rules is switched off in turn, and the tests of the rules
must notice.  What cannot be noticed, because something behind it rejects the same, stands in ``COVERED``.  The exit
status is the verdict: 0 clean, 1 a rejection that nobody missed.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

__all__ = ["TESTS", "Rejection", "is_noticed", "main", "rejections", "switched_off"]

ROOT = Path(__file__).resolve().parents[2]
TESTS = tuple(
    f"tests/engine/test_{name}.py" for name in ("module_rules", "validate", "features", "typing_rules", "matching")
)
# Part of the message, and what rejects in its place.
COVERED = {
    "found an empty stack": "popping any type from the empty stack",
    "requires non-descriptor allocation": "looking up the descriptor that the type does not have",
}


class Rejection(NamedTuple):
    """One statement: its module, its line, and its source."""

    module: str
    line: int
    source: str


class _Off(ast.NodeTransformer):
    """Puts nothing in the place of the statement that begins on a line."""

    def __init__(self, line: int) -> None:
        self.line = line

    def visit_Raise(self, node: ast.Raise) -> ast.stmt:
        return ast.copy_location(ast.Pass(), node) if node.lineno == self.line else node


def rejections() -> list[Rejection]:
    """Return every statement that says that a module is invalid."""
    found = []
    for path in sorted([*ROOT.glob("engine/validation/*.py"), *ROOT.glob("engine/instructions/*.py")]):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                source = ast.get_source_segment(text, node) or ""
                if source.startswith("raise InvalidError("):
                    found.append(Rejection(module, node.lineno, source))
    return found


def switched_off(source: str, line: int) -> ast.Module:
    """Return the tree of a module without the statement on a line."""
    tree: ast.Module = _Off(line).visit(ast.parse(source))
    return ast.fix_missing_locations(tree)


# Run in a process of its own: the module is compiled without its statement, then the tests run.
_CHILD = """
import sys
from importlib.machinery import SourceFileLoader
import pytest
from ci.gates.rejections import switched_off
module, line, *tests = sys.argv[1:]
usual = SourceFileLoader.get_code
def get_code(self, name):
    if name != module:
        return usual(self, name)
    path = self.get_filename(name)
    return compile(switched_off(self.get_source(name), int(line)), path, "exec")
SourceFileLoader.get_code = get_code
sys.exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
"""


def is_noticed(rejection: Rejection, tests: tuple[str, ...] = TESTS) -> bool:
    """Tell whether a test fails, or cannot even be collected, without a rejection."""
    command = [sys.executable, "-c", _CHILD, rejection.module, str(rejection.line), *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode != 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", metavar="TEXT", default="", help="those whose module or message has this in it")
    args = parser.parse_args()
    chosen = [r for r in rejections() if args.only in f"{r.module} {r.source}"]
    chosen = [r for r in chosen if not any(part in r.source for part in COVERED)]
    with ThreadPoolExecutor(args.jobs) as pool:
        missed = [r for r, noticed in zip(chosen, pool.map(is_noticed, chosen), strict=True) if not noticed]
    for r in missed:
        print(f"rejections: nobody misses {r.module}:{r.line}: {r.source}")
    print(f"rejections: {len(chosen)} switched off one by one, {len(missed)} missed by no test")
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
