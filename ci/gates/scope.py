"""Which scripts of the pinned suite are in scope of the reference engine; ``python -m ci.gates.scope [--bless]``.

In scope is each script of ``core`` whose valid modules wasmtime accepts with vectors, garbage collection, function
references, exceptions, tail calls, several memories, 64-bit memories and threads off: the part of the suite that is
Wasm 2.0 without vectors, which the reference engine must pass whole whatever else it executes.  The list is computed,
never chosen; it is checked in as ``ci/baselines/spec/scope.json``, and this gate fails if it is not what the installed
suite gives, or if the reference engine's expectations have a failure in it.

Some scripts in scope also hold *invalid* modules that use a feature which is off.  ``lacking`` has the ordinals of
those commands where wasmtime, with the feature off, says just that.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from engine.features import EXTENDED_CONST, SIMD, WASM_2
from harness import __version__, baselines
from harness.wast.expectations import Expectations, ranges, unranged
from harness.wast.reader import read_script
from harness.wast.runner import ScriptRunner
from harness.wast.schedule import LIMITS, text_name
from harness.wast.script import ModuleSource
from harness.wast.suite import SuiteError, load_installed, load_manifest
from oracles.outcome import Rejected, Returned, Unsupported
from oracles.plan import Plan, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.wast.suite import SuiteFile
    from oracles.outcome import Outcome

__all__ = ["FEATURES", "compute", "main", "unexplained"]

_JUDGE = "wasmtime"
_NOT_ENABLED = "not enabled"
_VALID = ("module", "assert_trap", "assert_unlinkable")
FEATURES = tuple(sorted(f.name for f in WASM_2 - {SIMD} | {EXTENDED_CONST}))


def _modules(runner: ScriptRunner, file: SuiteFile) -> tuple[dict[int, bytes | None], dict[int, bytes]]:
    """Return the binaries of the script's valid modules, None where there is none, and of the others, by ordinal."""
    script = read_script(file.data)
    binaries, _ = runner.assemble(script)
    valid: dict[int, bytes | None] = {}
    others: dict[int, bytes] = {}
    for i, command in enumerate(script.commands):
        if isinstance(command.subject, ModuleSource):
            binary = command.subject.data if command.subject.form == "binary" else binaries.get(text_name(i))
            if command.kind in _VALID:
                valid[i] = binary
            elif binary is not None:
                others[i] = binary
    return valid, others


def _validate(runner: ScriptRunner, modules: Mapping[int, bytes | None]) -> list[Outcome]:
    """Return what wasmtime says of each module with FEATURES alone; a missing binary is Blocked."""
    steps = tuple(Step("validate", {"module": text_name(i)}) for i in modules)
    named = {text_name(i): binary for i, binary in modules.items() if binary is not None}
    plan = Plan(steps, modules=named, features=FEATURES, nan="none", limits=LIMITS)
    outcomes = [record.outcome for record in runner.oracle.run(plan)]
    if len(outcomes) != len(steps):
        raise RuntimeError(f"the worker failed: {outcomes[-1]}")
    return outcomes


def _names_a_feature(outcome: Outcome) -> bool:
    return isinstance(outcome, Unsupported) or (isinstance(outcome, Rejected) and _NOT_ENABLED in outcome.text)


def compute(files: list[SuiteFile]) -> dict[str, Any]:
    """Return the contents of ``scope.json``."""
    names: list[str] = []
    lacking: dict[str, str] = {}
    with ScriptRunner(_JUDGE) as runner:
        for file in files:
            if not file.folder.startswith("core/"):
                continue
            valid, others = _modules(runner, file)
            if not all(isinstance(outcome, Returned) for outcome in _validate(runner, valid)):
                continue
            names.append(file.name)
            said = zip(others, _validate(runner, others), strict=True)
            off = [i for i, outcome in said if _names_a_feature(outcome)]
            if off:
                lacking[file.name] = ranges(off)
        engine = runner.oracle.description
    by = f"{engine.name}@{engine.version}"
    return {
        "suite": load_manifest().name, "by": by, "features": list(FEATURES), "files": names, "lacking": lacking,
    }  # fmt: skip


def unexplained(scope: Mapping[str, Any]) -> list[str]:
    """Return ``FILE: ordinals`` of what the reference engine's expectations let fail in scope without a reason."""
    expected = Expectations.load(baselines() / "spec", f"reference@{__version__}", scope["suite"])
    if not expected.known:
        return [f"every script: there are no expectations for {expected.engine}"]
    found = []
    for name in scope["files"]:
        failing = expected.files.get(name, {}).get("failing", {})
        allowed = set(unranged(scope["lacking"].get(name, "")))
        extra = sorted(set(unranged(failing.pop("unsupported feature", ""))) - allowed)
        extra += [i for text in failing.values() for i in unranged(text)]
        if extra:
            found.append(f"{name}: {ranges(sorted(extra))}")
    return found


def main() -> int:
    """Compare with what is checked in, or write it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bless", action="store_true", help="write the list instead of comparing")
    bless = parser.parse_args().bless
    try:
        files = load_installed(load_manifest())
    except SuiteError as e:
        print(f"scope: {e}", file=sys.stderr)
        return 3
    path = baselines() / "spec" / "scope.json"
    computed = compute(files)
    if bless:
        path.write_text(json.dumps(computed, indent=1) + "\n", "utf-8")
    known = json.loads(path.read_text("utf-8"))
    for name in sorted(set(known["files"]) ^ set(computed["files"])):
        print(f"scope: {name} is {'no longer' if name in known['files'] else 'now'} in scope")
    failures = unexplained(known)
    for failure in failures:
        print(f"scope: the reference engine is expected to fail in {failure}")
    print(f"scope: {len(computed['files'])} of {len(files)} scripts, by {computed['by']}")
    return 0 if known == computed and not failures else 1


if __name__ == "__main__":
    sys.exit(main())
