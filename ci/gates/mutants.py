"""Gate: mutated modules through decode and validate, with all features; ``python -m ci.gates.mutants``.

Every mutant must be accepted or rejected with a typed error, a malformed one with its offset, within a second of
processor time and a bounded heap.  Half of the mutants are broken byte by byte, half by section, LEB128 integer, opcode
and type, so that they get past the first check.  Mutant ``i`` is a function of the seed and ``i`` alone; a failure
prints its index, and ``--only I`` runs that one again with its traceback.  The exit status is the verdict: 0 clean, 1
failures.
"""

from __future__ import annotations

import sys
from binascii import hexlify

from ci.gates import pool
from ci.gates.mutations import mutant
from engine import InvalidError, MalformedError, UnsupportedError, decode, validate
from engine.features import EXECUTED


def check(data: bytes) -> str:
    """Decode and validate a module and return what became of it; whatever escapes is a failure."""
    try:
        validate(decode(data, EXECUTED), EXECUTED)
    except (MalformedError, InvalidError, UnsupportedError) as e:
        word = type(e).__name__.removesuffix("Error").lower()
        if e.where is not None and e.where.offset is not None:
            return word
        if isinstance(e, MalformedError):
            raise AssertionError(f"no offset: {e}") from e
        return f"{word} without offset"
    return "accepted"


GATE = pool.Gate("mutants", mutant, check, hexlify)


if __name__ == "__main__":
    sys.exit(pool.main(GATE, __doc__, 100_000))
