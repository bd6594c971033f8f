"""Gate: which modules are valid, by us and by wasmtime; ``python -m ci.gates.agreement``.

For each set of features, both judge modules near valid ones (``ci.gates.mutations.neighbour``), configured equally as
far as wasmtime can be.  Where one accepts what the other rejects, an entry of ``EXPLAINED`` must say who is right and
by which rule.  Module ``i`` of a set is a function of the seed and ``i`` alone; ``--only SET:I`` shows both verdicts.
The exit status is the verdict: 0 clean, 1 differences.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from ci.gates.mutations import neighbour
from engine import decode, validate
from engine.errors import WasmError
from engine.features import ALL, FEATURES, MEMORY64, MULTI_MEMORY, WASM_1, WASM_2, WASM_3, Feature, FeatureSet
from oracles.adapters.wasmtime_api import Setup, load, settled

CHUNK = 500


class Explained(NamedTuple):
    """A known difference while feature ``off`` is off: the pattern of the message of the side that rejects.

    ``right`` says whose verdict the specification gives, ``rule`` by what.
    """

    name: str
    off: Feature
    we_reject: str
    right: str
    rule: str


EXPLAINED = (
    Explained(
        "long sizes in limits", MEMORY64, r"malformed: integer (representation too long|too large)", "we",
        "binary-limits of 2.0: sizes are u32, of at most 5 bytes; wasmtime reads 64 bits and looks at the value",
    ),
    Explained(
        "long memory indices of bulk instructions", MULTI_MEMORY, r"malformed: zero byte expected", "we",
        "binary-instr of 2.0: a zero byte stands there; wasmtime reads an index and looks at the value",
    ),
)  # fmt: skip


def equal(features: FeatureSet) -> FeatureSet:
    """Return the set nearest to ``features`` with which both can be configured."""
    return frozenset(FEATURES[name] for name in settled(f.name for f in features))


SETS = {name: equal(features) for name, features in
        {"wasm-1": WASM_1, "wasm-2": WASM_2, "wasm-3": WASM_3, "all": ALL}.items()}  # fmt: skip


def ours(wasm: bytes, features: FeatureSet) -> str | None:
    """Return why we reject a module, or None."""
    try:
        validate(decode(wasm, features), features)
    except WasmError as e:
        return f"{type(e).__name__.removesuffix('Error').lower()}: {e}"
    return None


def theirs(wasm: bytes, features: FeatureSet) -> str | None:
    """Return why wasmtime rejects a module, or None."""
    api = load()
    engine = api.engine(Setup(features=frozenset(f.name for f in features)))
    return api.error(api.wasmtime_module_validate(engine, wasm, len(wasm)))


def compare(wasm: bytes, features: FeatureSet) -> str:
    """Return in a few words what both say, a difference that nothing explains after ``!``."""
    we, they = ours(wasm, features), theirs(wasm, features)
    if (we is None) == (they is None):
        return "both accept" if we is None else "both reject"
    if we is not None and we.startswith("unsupported: "):
        return "beyond our limits"
    for known in EXPLAINED:
        if we is not None and known.off not in features and re.match(known.we_reject, we):
            return f"{known.name} ({known.right} are right)"
    return f"! we reject ({we})" if we is not None else f"! wasmtime rejects ({they})"


def run_chunk(name: str, seed: int, start: int, end: int) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Return the words for ``start <= i < end``, and the differences."""
    counts: Counter[str] = Counter()
    found = []
    for i in range(start, end):
        word = compare(neighbour(seed, i, SETS[name]), SETS[name])
        if word.startswith("!"):
            found.append((i, word.removeprefix("! ")))
        else:
            counts[word] += 1
    return counts, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=20_000, help="modules per set")
    parser.add_argument("--set", action="append", choices=list(SETS), dest="sets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", metavar="SET:I", help="show one module and both verdicts")
    args = parser.parse_args()
    if args.only is not None:
        name, _, i = args.only.partition(":")
        wasm = neighbour(args.seed, int(i), SETS[name])
        print(wasm.hex(), ours(wasm, SETS[name]), theirs(wasm, SETS[name]), sep="\n")
        return 0
    failed = False
    with ProcessPoolExecutor(args.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for name in args.sets or SETS:
            starts = range(0, args.count, CHUNK)
            counts: Counter[str] = Counter()
            found: list[tuple[int, str]] = []
            ends = [min(start + CHUNK, args.count) for start in starts]
            for some, differences in pool.map(run_chunk, [name] * len(ends), [args.seed] * len(ends), starts, ends):
                counts += some
                found += differences
            print(f"{name}: {', '.join(f'{n:,} {word}' for word, n in counts.most_common())}; {len(found)} differences")
            for i, what in found[:20]:
                print(f"  {name}:{i}: {what}  (python -m ci.gates.agreement --seed {args.seed} --only {name}:{i})")
            failed = failed or bool(found) or not counts["both accept"] or not counts["both reject"]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
