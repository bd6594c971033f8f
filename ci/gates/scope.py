"""Which scripts of the pinned suite are in scope of the reference engine; ``python -m ci.gates.scope [--bless]``.

In scope is each script of ``core`` whose valid modules wasmtime accepts with only those features on that the reference engine
executes.  The list is computed, never chosen; it is checked in as ``ci/baselines/spec/scope.json``, and this gate fails
if it is not what the installed suite gives, or if the reference engine's expectations have a failure in it.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from engine.features import EXECUTED
from harness import baselines
from harness.wast.reader import read_script
from harness.wast.runner import ASSEMBLER, ScriptRunner
from harness.wast.schedule import LIMITS, text_name
from harness.wast.script import ModuleSource
from harness.wast.suite import SuiteError, SuiteFile, load_installed, load_manifest
from oracles.outcome import Returned
from oracles.plan import Plan, Step

__all__ = ["compute", "in_scope", "main"]

_VALID = ("module", "assert_trap", "assert_unlinkable")
FEATURES = tuple(sorted(f.name for f in EXECUTED))


def in_scope(runner: ScriptRunner, file: SuiteFile) -> bool:
    """Return whether the engine of ``runner`` accepts every valid module of the script with FEATURES alone."""
    script = read_script(file.data)
    binaries, _ = runner.assemble(script)
    modules: dict[str, bytes] = {}
    for i, command in enumerate(script.commands):
        if command.kind in _VALID and isinstance(command.subject, ModuleSource):
            name = text_name(i)
            binary = command.subject.data if command.subject.form == "binary" else binaries.get(name)
            if binary is None:
                return False
            modules[name] = binary
    steps = tuple(Step("validate", {"module": name}) for name in modules)
    records = runner.oracle.run(Plan(steps, modules=modules, features=FEATURES, nan="none", limits=LIMITS))
    return len(records) == len(steps) and all(isinstance(r.outcome, Returned) for r in records)


def compute(files: list[SuiteFile]) -> dict[str, Any]:
    """Return the contents of ``scope.json``."""
    with ScriptRunner(ASSEMBLER) as runner:
        names = [file.name for file in files if file.folder.startswith("core/") and in_scope(runner, file)]
        engine = runner.oracle.description
    by = f"{engine.name}@{engine.version}"
    return {"suite": load_manifest().name, "by": by, "features": list(FEATURES), "files": names}


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
    print(f"scope: {len(computed['files'])} of {len(files)} scripts, by {computed['by']}")
    return 0 if known == computed else 1


if __name__ == "__main__":
    sys.exit(main())
