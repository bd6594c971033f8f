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
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from engine import InvalidError, MalformedError, UnsupportedError, decode, validate
from engine.binary import encode
from engine.instructions import TABLE
from engine.instructions.leb import u
from engine.module import In
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from engine.module import Module

BASES = 40
CHUNK = 500
LIMIT_S = 1.0
HEAP_BYTES = 2 << 30
TYPE_BYTES = (0x7F, 0x7E, 0x7D, 0x7C, 0x7B, 0x70, 0x6F, 0x6E, 0x64, 0x63, 0x60, 0x5F, 0x5E, 0x50, 0x40, 0x69, 0x00)
INTEGERS = (0, 1, 2, 127, 128, 0x7FFF_FFFF, 0xFFFF_FFFF, 1 << 32, 1 << 35, (1 << 64) - 1, 1 << 64)
OVERLONG = (b"\x80\x00", b"\x80\x80\x80\x80\x00", b"\xff\xff\xff\xff\x7f", b"\x80" * 10 + b"\x00", b"\xff" * 12)

Sections = list[tuple[int, bytes]]


@cache
def bases(seed: int) -> tuple[bytes, ...]:
    """Return the valid modules that mutants start from."""
    profiles = list(PRESETS.values())
    return tuple(generate(Source.fresh("base", seed, i), profiles[i % len(profiles)]).wasm for i in range(BASES))


def read_u(data: bytes, pos: int) -> tuple[int, int]:
    """Return the unsigned LEB128 integer at ``pos`` and where it ends, which may be the end of the data."""
    value = shift = 0
    while pos < len(data):
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return value, pos


def split(wasm: bytes) -> Sections:
    """Return the sections of a valid module, by id and contents."""
    sections, pos = [], 8
    while pos < len(wasm):
        size, start = read_u(wasm, pos + 1)
        sections.append((wasm[pos], wasm[start : start + size]))
        pos = start + size
    return sections


def join(sections: Iterable[tuple[int, bytes]]) -> bytes:
    return b"\0asm\x01\0\0\0" + b"".join(bytes([n]) + u(len(body)) + body for n, body in sections)


# byte by byte


def replace_byte(source: Source, data: bytes, other: bytes) -> bytes:
    i = source.below(len(data))
    return data[:i] + bytes([source.bits(8)]) + data[i + 1 :]


def flip_bit(source: Source, data: bytes, other: bytes) -> bytes:
    i = source.below(len(data))
    return data[:i] + bytes([data[i] ^ 1 << source.below(8)]) + data[i + 1 :]


def insert_bytes(source: Source, data: bytes, other: bytes) -> bytes:
    i = source.below(len(data) + 1)
    return data[:i] + bytes(source.bits(8) for _ in range(source.between(1, 8))) + data[i:]


def delete_bytes(source: Source, data: bytes, other: bytes) -> bytes:
    i = source.below(len(data))
    return data[:i] + data[i + source.between(1, 16) :]


def truncate(source: Source, data: bytes, other: bytes) -> bytes:
    return data[: source.between(1, len(data))]


def repeat_bytes(source: Source, data: bytes, other: bytes) -> bytes:
    i = source.below(len(data))
    return data[:i] + data[i : i + source.between(1, 64)] * source.between(2, 40) + data[i:]


def splice(source: Source, data: bytes, other: bytes) -> bytes:
    i, j = source.below(len(data)), source.below(len(other))
    return data[:i] + other[j : j + source.between(1, 128)] + data[i:]


BYTEWISE: tuple[Callable[[Source, bytes, bytes], bytes], ...]
BYTEWISE = (replace_byte, flip_bit, insert_bytes, delete_bytes, truncate, repeat_bytes, splice)


# by the structure


def change_sections(source: Source, sections: Sections, other: Sections) -> Sections:
    """Drop, repeat, exchange, rename, empty or import a section."""
    i = source.below(len(sections))
    n, body = sections[i]
    changed = source.choose(([], [(n, body)] * 2, [(source.below(16), body)], [(n, b"")], [source.choose(other)]))
    if source.chance(15):
        j = source.below(len(sections))
        sections[i], sections[j] = sections[j], sections[i]
        return sections
    return [*sections[:i], *changed, *sections[i + 1 :]]


def _within(source: Source, sections: Sections, change: Callable[[bytes], bytes], ids: Sequence[int] = ()) -> Sections:
    """Change the contents of one section, of these ids where the module has any, and keep its size right."""
    candidates = [i for i, (n, body) in enumerate(sections) if body and (not ids or n in ids)]
    if candidates:
        i = source.choose(candidates)
        sections[i] = sections[i][0], change(sections[i][1])
    return sections


def change_integer(source: Source, sections: Sections, other: Sections) -> Sections:
    """Read some place as an integer and write another, or the same in too many bytes."""

    def change(body: bytes) -> bytes:
        i = source.below(len(body))
        value, end = read_u(body, i)
        if source.chance(25):
            return body[:i] + source.choose(OVERLONG) + body[end:]
        near = (value + 1, max(value - 1, 0), value * 2, value ^ 1 << source.below(32))
        return body[:i] + u(source.choose(near if source.chance(50) else INTEGERS)) + body[end:]

    return _within(source, sections, change)


def change_opcode(source: Source, sections: Sections, other: Sections) -> Sections:
    """Put an instruction of the table over some byte of the code."""

    def change(body: bytes) -> bytes:
        opcode = source.choose(OPCODES)
        i = source.below(len(body))
        return body[:i] + opcode + body[i + (1 if source.chance(70) else len(opcode)) :]

    return _within(source, sections, change, ids=(10,))


def change_type(source: Source, sections: Sections, other: Sections) -> Sections:
    """Put another type over a byte that looks like one."""

    def change(body: bytes) -> bytes:
        places = [i for i, byte in enumerate(body) if byte in TYPE_BYTES[:-1]] or [0]
        i = source.choose(places)
        return body[:i] + bytes([source.choose(TYPE_BYTES)]) + body[i + 1 :]

    return _within(source, sections, change, ids=(1, 2, 4, 5, 6, 9, 10))


def _opcode(opcode: int | tuple[int, int]) -> bytes:
    return bytes([opcode]) if isinstance(opcode, int) else bytes([opcode[0]]) + u(opcode[1])


@cache
def decoded(wasm: bytes) -> Module:
    return decode(wasm)


def change_instruction(source: Source, wasm: bytes) -> bytes:
    """Put rows with the same kinds of immediates in the place of some instructions: well-formed, rarely valid."""
    module = decoded(wasm)
    codes = list(module.codes)
    for _ in range(source.between(1, 3)):
        x = source.below(len(codes))
        body = list(codes[x].body)
        i = source.below(len(body))
        body[i] = In(source.choose(ALIKE[body[i].row.imms]), body[i].imms)
        codes[x] = replace(codes[x], body=tuple(body))
    return encode(replace(module, codes=tuple(codes)))


ALIKE = {row.imms: [other for other in TABLE if other.imms == row.imms] for row in TABLE}
OPCODES = tuple(_opcode(row.opcode) for row in TABLE)
STRUCTURAL: tuple[Callable[[Source, Sections, Sections], Sections], ...]
STRUCTURAL = (change_integer, change_opcode, change_type, change_sections)


def mutant(seed: int, i: int) -> bytes:
    """Return mutant ``i``."""
    source = Source.fresh("mutant", seed, i)
    data, other = source.choose(bases(seed)), source.choose(bases(seed))
    if i % 2:
        for _ in range(source.between(1, 4)):
            data = source.choose(BYTEWISE)(source, data, other) or data[:1]
        return data
    if source.chance(30):
        return change_instruction(source, data)
    sections, others = split(data), split(other)
    for _ in range(source.between(1, 3)):
        sections = source.choose(STRUCTURAL)(source, sections, others) or split(data)
    return join(sections)


def verdict(data: bytes) -> str:
    """Return what became of a module; a word with a colon is a failure."""
    start = time.process_time()
    try:
        validate(decode(data))
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
        validate(decode(data))
        return 0
    counts, failures = run(args.seed, args.count, args.jobs)
    print(", ".join(f"{n} {word}" for word, n in sorted(counts.items())), f"and {len(failures)} failures")
    for i, word in failures[:20]:
        print(f"mutant {i}: {word}  (python -m ci.gates.mutants --seed {args.seed} --only {i})")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
