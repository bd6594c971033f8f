"""Does the judge notice when an expectation is wrong?  ``python -m ci.gates.comparer [DIR|ARCHIVE] [--engine ID]``.

Every command that passed is judged again under expectations that differ a little: another bit of a number, another sign
of a NaN's class, one lane, a null for a reference, another count, another phrase, another kind of assertion.  Each of
these mutants must fail.  The default is the installed official suite.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.wast.judge import judge, trap_phrase
from harness.wast.reader import read_script
from harness.wast.runner import ScriptRunner
from harness.wast.schedule import Schedule, schedule
from harness.wast.spectest import parts_for
from harness.wast.suite import SuiteError, features_of, load_installed, load_manifest, load_path
from harness.wast.values import Either, Exact, Lanes, Nan, NullRef, SomeRef, number
from oracles.plan import WIDTHS
from oracles.traps import PHRASES, merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.wast.script import Command
    from harness.wast.suite import SuiteFile
    from harness.wast.values import Pattern
    from oracles.adapter import Description

__all__ = ["main", "mutants", "survivors"]

_QUIET_ONE = {"f32": 0x7FC00001, "f64": 0x7FF8000000000001}
_SIGNALLING = {"f32": 0x7F800001, "f64": 0x7FF0000000000001}
_INFINITE = {"f32": 0x7F800000, "f64": 0x7FF0000000000000}
_KINDS = ("assert_return", "assert_trap", "assert_exhaustion", "assert_exception", "assert_unlinkable")


def _patterns(p: Pattern) -> Iterator[tuple[str, Pattern]]:
    """Yield patterns near ``p`` that match nothing that ``p`` matches."""
    match p:
        case Exact(value=(kind, payload)) if kind in WIDTHS:
            bits = int(payload, 16)
            for name, flip in (("lowest bit", 0), ("middle bit", WIDTHS[kind] // 2), ("highest bit", WIDTHS[kind] - 1)):
                yield f"{kind} {name}", Exact(number(kind, bits ^ 1 << flip))
            yield f"{kind} as another type", Exact(number("i64" if kind != "i64" else "f64", bits & (1 << 64) - 1))
        case Exact(value=(kind, payload)):
            yield "reference as null", NullRef(None)
            other = {"host": payload["host"] + 1} if isinstance(payload, dict) else payload + 1
            yield "another reference", Exact((kind, other))
        case Nan(kind=kind):
            yield "nan as zero", Exact(number(kind, 0))
            yield "nan as infinity", Exact(number(kind, _INFINITE[kind]))
            yield "nan as signalling", Exact(number(kind, _SIGNALLING[kind]))
        case Lanes(width=width, lanes=lanes):
            for i in (0, len(lanes) - 1):
                lane = lanes[i]
                changed = _INFINITE[f"f{width}"] if isinstance(lane, str) else lane ^ 1
                yield "vector lane", Lanes(width, (*lanes[:i], changed, *lanes[i + 1 :]))
        case NullRef():
            yield "null as reference", SomeRef(None)
            if p.top is not None:
                yield "null of another hierarchy", NullRef("extern" if p.top != "extern" else "func")
        case SomeRef():
            yield "reference as null", NullRef(None)
        case Either(options=options):
            changed_all = [next(_patterns(option))[1] for option in options]
            if not any(isinstance(o, NullRef) for o in (*options, *changed_all)):
                yield "either", Either(tuple(changed_all))


def mutants(command: Command, engine: Description) -> Iterator[tuple[str, Command]]:
    """Yield name and command for each wrong expectation derived from a right one."""
    for i, pattern in enumerate(command.patterns):
        for name, changed in _patterns(pattern):
            yield name, replace(command, patterns=(*command.patterns[:i], changed, *command.patterns[i + 1 :]))
    if command.kind == "assert_return":
        yield "one result more", replace(command, patterns=(*command.patterns, Exact(("i32", "00000000"))))
        if command.patterns:
            yield "one result less", replace(command, patterns=command.patterns[:-1])
    if command.kind == "assert_trap":
        for phrase in set(PHRASES) - merged(trap_phrase(command.phrase), engine.name, engine.version):
            yield "another trap", replace(command, phrase=phrase)
    if command.kind == "assert_unlinkable":
        phrase = "incompatible import type" if "unknown import" in command.phrase else "unknown import"
        yield "another link error", replace(command, phrase=phrase)
    if command.kind in _KINDS:
        for kind in set(_KINDS) - {command.kind}:
            yield f"{command.kind} as {kind}", replace(command, kind=kind)
    if command.kind in ("assert_invalid", "assert_malformed"):
        yield f"{command.kind} as valid", replace(command, kind="module")
    if command.kind == "module":
        yield "module as assert_invalid", replace(command, kind="assert_invalid")
        yield "module as assert_malformed", replace(command, kind="assert_malformed")


def survivors(runner: ScriptRunner, file: SuiteFile) -> tuple[Counter[str], list[str]]:
    """Return how many mutants of each kind there were in a script, and one sentence for each that passed."""
    script = read_script(file.data)
    binaries, said = runner.assemble(script)
    engine = runner.oracle.description
    features = features_of(file.folder)
    plan = schedule(script, binaries, parts_for(engine.features, features), features)
    records = runner.oracle.run(plan.plan)
    made: Counter[str] = Counter()
    passed: list[str] = []
    for check, verdict in zip(plan.checks, judge(plan, records, said, engine), strict=True):
        if not verdict.passed or verdict.column == "text" or check.step is None:
            continue
        for name, command in mutants(check.command, engine):
            made[name] += 1
            mutant = Schedule(plan.plan, (replace(check, command=command),))
            if judge(mutant, records, {}, engine)[0].passed:
                passed.append(f"{file.name}:{command.line}: {name}: {' '.join(map(str, command.patterns))}")
    return made, passed


def main() -> int:
    """Judge the mutants of every script; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("suite", nargs="?", type=Path, metavar="DIR|ARCHIVE")
    parser.add_argument("--engine", default="wasmtime", metavar="ID", help="whose passes are judged again")
    args = parser.parse_args()
    manifest = load_manifest()
    try:
        files = load_path(args.suite, manifest) if args.suite else load_installed(manifest)
    except SuiteError as e:
        print(f"comparer: {e}", file=sys.stderr)
        return 3
    made: Counter[str] = Counter()
    passed: list[str] = []
    with ScriptRunner(args.engine) as runner:
        for file in files:
            more, alive = survivors(runner, file)
            made += more
            passed += alive
    for sentence in passed[:50]:
        print(f"comparer: not noticed: {sentence}")
    print(f"comparer: {made.total():,} mutants of {len(made)} kinds in {len(files)} scripts, {len(passed)} not noticed")
    return 1 if passed or not made else 0


if __name__ == "__main__":
    sys.exit(main())
