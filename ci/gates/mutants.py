"""Gate: mutated modules through decode and validate; ``python -m ci.gates.mutants``.

Every mutant must be accepted or rejected with a typed error, a malformed one with its offset, within a second of
processor time and a bounded heap.  Half of the mutants are broken byte by byte, half by section, LEB128 integer, opcode
and type, so that they get past the first check.  Mutant ``i`` is a function of the seed and ``i`` alone; a failure
prints its index, and ``--only I`` runs that one again with its traceback.  The exit status is the verdict: 0 clean, 1
failures.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from ci.gates.mutations import mutant
from engine import InvalidError, MalformedError, UnsupportedError, decode, validate
from engine.features import EXECUTED

CHUNK = 500
LIMIT_S = 1.0
HEAP_BYTES = 2 << 30


def verdict(data: bytes) -> str:
    """Return what became of a module; a word with a colon is a failure."""
    start = time.process_time()
    try:
        validate(decode(data, EXECUTED), EXECUTED)
        word = "accepted"
    except (MalformedError, InvalidError, UnsupportedError) as e:
        word = type(e).__name__.removesuffix("Error").lower()
        if e.where is None or e.where.offset is None:
            word = f"no offset: {e}" if isinstance(e, MalformedError) else f"{word} without offset"
    except (Exception, RecursionError) as e:  # noqa: BLE001  the very thing to look for
        word = f"{type(e).__name__}: {e}"
    spent_s = time.process_time() - start
    return word if spent_s <= LIMIT_S else f"slow: {spent_s:.1f} s"


def run_chunk(seed: int, start: int, end: int) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Return how mutants ``start <= i < end`` fared, and the failures."""
    resource.setrlimit(resource.RLIMIT_DATA, (HEAP_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    counts: Counter[str] = Counter()
    failures = []
    for i in range(start, end):
        word = verdict(mutant(seed, i))
        if ":" in word:
            failures.append((i, word))
        else:
            counts[word] += 1
    return counts, failures


def run(seed: int, count: int, jobs: int) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Return how ``count`` mutants fared, and the failures in order."""
    counts: Counter[str] = Counter()
    failures: list[tuple[int, str]] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        starts = range(0, count, CHUNK)
        for some, failed in pool.map(run_chunk, [seed] * len(starts), starts, [min(s + CHUNK, count) for s in starts]):
            counts += some
            failures += failed
    return counts, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", type=int, metavar="I", help="run one mutant and let its exception out")
    args = parser.parse_args()
    if args.only is not None:
        data = mutant(args.seed, args.only)
        print(data.hex())
        validate(decode(data, EXECUTED), EXECUTED)
        return 0
    counts, failures = run(args.seed, args.count, args.jobs)
    print(", ".join(f"{n} {word}" for word, n in sorted(counts.items())), f"and {len(failures)} failures")
    for i, word in failures[:20]:
        print(f"mutant {i}: {word}  (python -m ci.gates.mutants --seed {args.seed} --only {i})")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
