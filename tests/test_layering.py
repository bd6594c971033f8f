"""Who may import whom, read with ``ast`` and compared with the layers that CONTRIBUTING.md draws.

Every import statement counts, also one inside a function: a lazy import is still a dependency.  The one exemption is
``if TYPE_CHECKING:`` inside the engine, where a row may name the frame it receives but never builds.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent

# Top-level packages of ours, and which others each may import.
PACKAGES = {
    "engine": set(),
    "oracles": {"engine"},
    "generators": {"engine", "oracles"},
    "harness": {"engine", "generators", "oracles"},
    "ci": {"engine", "generators", "oracles", "harness"},
    "benchmarks": {"engine", "generators", "oracles", "harness"},
    "tests": {"engine", "generators", "oracles", "harness", "ci", "benchmarks"},
}

# Inside the engine left never imports right; neighbours in one group may import each other.
ENGINE = (
    ("features", "types", "errors"),
    ("values", "matching"),
    ("numerics",),
    ("instructions",),
    ("module",),
    ("binary", "text", "validation"),
    ("runtime",),
    ("execution",),
    ("resume", "snapshot", "debug"),
    ("component",),
)

# What runs in a side environment without our engine: standard library of CPython 3.10 and each other.
WORKER_SIDE = {f"oracles.{name}" for name in ("plan", "outcome", "traps", "protocol", "worker", "adapter", "adapters")}
WORKER_SIDE |= {"oracles"}
SINCE_3_11 = {
    "asyncio": {"TaskGroup", "timeout", "Runner", "Barrier"},
    "datetime": {"UTC"},
    "enum": {"StrEnum", "ReprEnum", "verify", "member", "nonmember", "global_enum", "EnumCheck", "FlagBoundary"},
    "hashlib": {"file_digest"},
    "itertools": {"batched"},
    "logging": {"getLevelNamesMapping"},
    "typing": {
        "Self", "LiteralString", "Never", "NotRequired", "Required", "TypeVarTuple", "Unpack", "assert_never",
        "assert_type", "dataclass_transform", "override", "reveal_type",
    },
}  # fmt: skip
MODULES_SINCE_3_11 = {"tomllib", "wsgiref.types"}


@dataclass(frozen=True)
class Import:
    """``target`` is the module imported, ``name`` what is taken from it, if anything."""

    importer: str
    target: str
    name: str | None
    line: int
    is_annotation: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}{f' ({self.name})' if self.name else ''}"


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(root: Path) -> dict[str, tuple[Path, ast.Module]]:
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            found[module_name(path, root)] = (path, ast.parse(path.read_bytes(), str(path)))
    return found


def _names_type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name | ast.Attribute) and ast.unparse(test).endswith("TYPE_CHECKING")


def imports(importer: str, path: Path, tree: ast.AST, *, annotation: bool = False) -> Iterator[Import]:
    """Yield every import below ``tree``; ``from p import n`` counts as one of ``p`` and, should it exist, ``p.n``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(importer, alias.name, None, node.lineno, annotation)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = importer.split(".")[: None if path.name == "__init__.py" else -1]
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                yield Import(importer, base, alias.name, node.lineno, annotation)
        elif isinstance(node, ast.If) and _names_type_checking(node.test):
            yield from imports(importer, path, ast.Module(node.body, []), annotation=True)
            yield from imports(importer, path, ast.Module(node.orelse, []), annotation=annotation)
        else:
            yield from imports(importer, path, node, annotation=annotation)


def rank(module: str) -> int:
    """Return the place of an engine module in the order; the package's own face comes after everything."""
    layer = next(iter(module.split(".")[1:2]), "")
    return next((i for i, group in enumerate(ENGINE) if layer in group), len(ENGINE))


def violations(root: Path) -> list[str]:
    modules = sources(root)
    found = []
    for name, (path, tree) in modules.items():
        for i in imports(name, path, tree):
            # The module truly meant: a submodule where there is one of that name.
            target = f"{i.target}.{i.name}" if f"{i.target}.{i.name}" in modules else i.target
            if reason := _broken_rule(i, target):
                found.append(f"{i}: {reason}")
    return found


def _broken_rule(i: Import, target: str) -> str | None:
    top, own = target.partition(".")[0], i.importer.partition(".")[0]
    if _is_worker_side(i.importer):
        return _broken_worker_rule(i, target)
    if top not in PACKAGES:
        return None
    if top != own and top not in PACKAGES[own]:
        return f"{own} may not import {top}"
    if own == "generators" and top == "oracles" and target != "oracles.plan":
        return "of the oracles, generators know the plan alone"
    is_ours = i.importer.startswith("oracles.adapters.reference")
    if own == "oracles" and top == "engine" and _is_adapter(i.importer) and not is_ours:
        return "the reference adapter alone imports the engine"
    if own == top == "engine" and not i.is_annotation and rank(target) > rank(i.importer):
        return "left never imports right"
    return None


def _is_adapter(module: str) -> bool:
    return module.startswith("oracles.adapters.")


def _is_worker_side(module: str) -> bool:
    return module in WORKER_SIDE or module.startswith("oracles.adapters.wasmer")


def _broken_worker_rule(i: Import, target: str) -> str | None:
    top = target.partition(".")[0]
    if top == "oracles":
        return None if _is_worker_side(target) else f"{target} does not go into a side environment"
    if _is_adapter(i.importer) and top.startswith("wasmer"):
        return None
    if top not in sys.stdlib_module_names:
        return "the worker side has the standard library only"
    if target in MODULES_SINCE_3_11 or i.name in SINCE_3_11.get(target, ()):
        return "CPython 3.10 does not have it"
    return None


def newer_syntax(root: Path) -> list[str]:
    """Return the worker-side files that CPython 3.10 cannot parse."""
    found = []
    for name, (path, _) in sources(root).items():
        if _is_worker_side(name):
            try:
                ast.parse(path.read_bytes(), str(path), feature_version=(3, 10))
            except SyntaxError as e:
                found.append(f"{name}:{e.lineno}: {e.msg}")
    return found


def test_imports_follow_the_layers():
    assert violations(ROOT) == []


def test_the_worker_side_parses_on_cpython_3_10():
    assert newer_syntax(ROOT) == []


def test_every_engine_module_has_a_place_in_the_order():
    top = {module.split(".")[1] for module in sources(ROOT) if module.startswith("engine.")}
    assert top - {layer for group in ENGINE for layer in group} == set()


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("engine/types.py", "import engine.module", "left never imports right"),
        ("engine/types.py", "from engine import decode", "left never imports right"),
        ("engine/numerics/ints.py", "def f():\n    from ..execution.calls import invoke", "left never imports right"),
        (
            "engine/binary/reader.py",
            "if TYPE_CHECKING:\n    pass\nelse:\n    import engine.runtime.store",
            "left never",
        ),
        ("engine/errors.py", "import oracles.plan", "engine may not import oracles"),
        ("engine/errors.py", "if TYPE_CHECKING:\n    import oracles.plan", "engine may not import oracles"),
        ("generators/body.py", "from oracles.outcome import Returned", "generators know the plan alone"),
        ("generators/body.py", "from oracles import outcome", "generators know the plan alone"),
        ("generators/body.py", "import harness.case", "generators may not import harness"),
        ("oracles/process.py", "import generators.source", "oracles may not import generators"),
        ("oracles/adapters/wasmtime.py", "import engine", "the reference adapter alone imports the engine"),
        ("oracles/worker.py", "def f():\n    import psutil", "the worker side has the standard library only"),
        ("oracles/plan.py", "from typing import Self", "CPython 3.10 does not have it"),
        ("oracles/worker.py", "from oracles.process import Oracle", "does not go into a side environment"),
        ("oracles/adapters/wasmer1.py", "import engine.types", "the worker side has the standard library only"),
        ("harness/case.py", "import tests.support", "harness may not import tests"),
        ("ci/gates/spec.py", "import tests.support", "ci may not import tests"),
    ],
)
def test_a_planted_violation_is_caught(tmp_path, file, text, expected):
    for existing in ("engine/__init__.py", "oracles/outcome.py", "oracles/process.py", file):
        (tmp_path / existing).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / existing).write_text("")
    (tmp_path / file).write_text(text)
    assert len(found := violations(tmp_path)) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("engine/instructions/control.py", "if TYPE_CHECKING:\n    from engine.execution.frame import Frame"),
        ("engine/binary/reader.py", "from engine.text import lexer"),
        ("engine/__init__.py", "from engine.execution.calls import invoke"),
        ("generators/module.py", "from oracles.plan import Plan"),
        ("oracles/adapters/reference.py", "from engine import decode"),
        ("oracles/adapters/wasmer1.py", "import wasmer, struct"),
        ("harness/runner.py", "import generators.source, oracles.process, click"),
    ],
)
def test_what_the_layers_allow_passes(tmp_path, file, text):
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(text)
    assert violations(tmp_path) == []


def test_planted_newer_syntax_is_caught(tmp_path):
    (tmp_path / "oracles").mkdir()
    (tmp_path / "oracles" / "plan.py").write_text("try:\n    pass\nexcept* ValueError:\n    pass\n")
    assert len(newer_syntax(tmp_path)) == 1
