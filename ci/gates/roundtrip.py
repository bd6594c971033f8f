"""Gate: the text format on the whole suite; ``python -m ci.gates.roundtrip [DIR|ARCHIVE]``.

Each module of the suite that can be decoded is printed and parsed, and must encode to the bytes that the decoded module
encodes to.  Each text is assembled by our parser and by wasmtime's, and wherever they disagree it must be explained;
``docs/text-format.md`` has the list.  The exit status is the verdict: 0 clean, 1 failures.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import UnsupportedError, decode, encode, parse, print_module
from engine.binary.sections import SECTIONS
from engine.errors import WasmError
from engine.features import EXECUTED
from engine.module import Active, Code, Data, Elem, Global, In, Module, Table
from engine.text.parser.annotations import FIRST, Placed, settle
from engine.text.parser.fields import runs
from harness.wast.reader import read_script
from harness.wast.runner import ASSEMBLERS, ScriptRunner
from harness.wast.schedule import text_name
from harness.wast.script import ModuleSource
from harness.wast.suite import SuiteError, load_installed, load_manifest, load_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.wast.suite import SuiteFile

__all__ = ["main", "survives"]


def survives(wasm: bytes) -> str:
    """Return why a module is not the same after printing and parsing, or nothing; raise its error if malformed."""
    module = decode(wasm, EXECUTED)
    canonical = encode(module)
    if not same(decode(canonical, EXECUTED), module):
        return "decoding and encoding changes it"
    try:
        again = parse(print_module(module), EXECUTED, names=False)
    except UnsupportedError as e:
        return "" if "locals" in e.feature else str(e)
    except WasmError as e:
        return f"its text does not parse: {e}"
    return "" if encode(_comparable(again)) == encode(_comparable(module)) else "its text is another module"


def same(a: Any, b: Any) -> bool:
    """Tell whether two modules, or parts of modules, are equal but for the offsets of instructions."""
    if isinstance(a, In):
        return isinstance(b, In) and a[:2] == b[:2]
    if type(a) is tuple:
        return type(b) is tuple and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, _HOLD_CODE):
        parts = [field.name for field in fields(a) if field.compare]
        return type(a) is type(b) and all(same(getattr(a, name), getattr(b, name)) for name in parts)
    return bool(a == b)


_HOLD_CODE = Module, Code, Global, Table, Elem, Data, Active


def _comparable(module: Module) -> Module:
    """Return a module without what text cannot say.

    That is a data count that no instruction needs, empty sections with custom ones behind them, and how locals are cut
    into runs.
    """
    order = {section.id: 2 * place + 1 for place, section in enumerate(SECTIONS)}
    placed = [Placed(c.name, c.data, order.get(c.after, FIRST)) for c in module.customs]
    codes = [replace(code, locals=runs([t for n, t in code.locals for _ in range(n)])) for code in module.codes]
    return settle(replace(module, data_count=None, codes=tuple(codes), customs=()), placed)


def _modules(runner: ScriptRunner, file: SuiteFile) -> Iterator[tuple[int, bytes]]:
    """Yield line and bytes of each module of a script that is bytes, or becomes bytes."""
    script = read_script(file.data)
    binaries, _ = runner.assemble(script)
    for i, command in enumerate(script.commands):
        if isinstance(command.subject, ModuleSource):
            wasm = command.subject.data if command.subject.form == "binary" else binaries.get(text_name(i))
            if wasm is not None:
                yield command.line, wasm


def check(files: Iterable[SuiteFile]) -> tuple[Counter[str], list[str]]:
    """Return counts, and one sentence for each failure."""
    counts: Counter[str] = Counter()
    failures = []
    with ScriptRunner("reference", ASSEMBLERS["own"], ASSEMBLERS["wasmtime"]) as runner:
        for file in files:
            for line, wasm in _modules(runner, file):
                try:
                    problem = survives(wasm)
                except WasmError as e:
                    counts[f"{type(e).__name__} in bytes"] += 1
                    continue
                counts["survive"] += not problem
                if problem:
                    failures.append(f"{file.name}:{line}: {problem}")
            for found in runner.run(file).disagreements:
                counts[f"{found.right} right: {found.why.partition(';')[0]}"] += 1
                if found.right not in ("own", "both"):
                    failures.append(f"{file.name}:{found.line}: {found.right} right: {found.why}")
    return counts, failures


def main() -> int:
    """Check the suite and return the exit status."""
    manifest = load_manifest()
    try:
        files = load_path(Path(sys.argv[1]), manifest) if len(sys.argv) > 1 else load_installed(manifest)
    except SuiteError as e:
        print(f"roundtrip: {e}", file=sys.stderr)
        return 3
    counts, failures = check(files)
    for what, n in counts.most_common():
        print(f"{n:7,} {what}")
    for sentence in failures[:50]:
        print(f"roundtrip: {sentence}")
    print(f"roundtrip: {len(failures)} failures")
    return 1 if failures or not counts["survive"] else 0


if __name__ == "__main__":
    sys.exit(main())
