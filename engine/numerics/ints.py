"""Integer operators (spec: op-iadd and the sections around it).

Every operand and result is unsigned, ``0 <= i < 2**n``.
"""

from __future__ import annotations

from engine.errors import Trap, TrapKind

__all__ = [
    "iabs", "iadd", "iadd_sat_s", "iadd_sat_u", "iand", "iandnot", "iavgr_u", "ibitselect", "iclz", "ictz", "idiv_s",
    "idiv_u", "ieq", "ieqz", "iextend16_s", "iextend32_s", "iextend8_s", "ige_s", "ige_u", "igt_s", "igt_u", "ile_s",
    "ile_u", "ilt_s", "ilt_u", "imax_s", "imax_u", "imin_s", "imin_u", "imul", "ine", "ineg", "inot", "ior", "ipopcnt",
    "iq15mulr_sat_s", "irem_s", "irem_u", "irotl", "irotr", "ishl", "ishr_s", "ishr_u", "isub", "isub_sat_s",
    "isub_sat_u", "ixor", "mask", "sat_s", "sat_u", "sign", "signed",
]  # fmt: skip


def mask(n: int) -> int:
    """Return ``n`` ones."""
    return (1 << n) - 1


def sign(n: int) -> int:
    """Return the sign bit of ``n`` bits alone; adding it maps signed order to unsigned order."""
    return 1 << (n - 1)


def signed(n: int, i: int) -> int:
    """Spec: aux-signed."""
    return (i ^ 1 << n - 1) - (1 << n - 1)


def sat_u(n: int, i: int) -> int:
    """Spec: aux-sat.  ``i`` is any integer."""
    return 0 if i < 0 else min(i, mask(n))


def sat_s(n: int, i: int) -> int:
    """Spec: aux-sat.  ``i`` is any integer."""
    return max(-sign(n), min(i, sign(n) - 1)) & mask(n)


def iadd(n: int, i: int, j: int) -> int:
    """Spec: op-iadd."""
    return (i + j) & mask(n)


def isub(n: int, i: int, j: int) -> int:
    """Spec: op-isub."""
    return (i - j) & mask(n)


def imul(n: int, i: int, j: int) -> int:
    """Spec: op-imul."""
    return (i * j) & mask(n)


def idiv_u(n: int, i: int, j: int) -> int:
    """Spec: op-idiv_u."""
    if j == 0:
        raise Trap(TrapKind.DIVIDE_BY_ZERO)
    return i // j


def idiv_s(n: int, i: int, j: int) -> int:
    """Spec: op-idiv_s.  Truncates toward zero."""
    if j == 0:
        raise Trap(TrapKind.DIVIDE_BY_ZERO)
    a, b = signed(n, i), signed(n, j)
    q = abs(a) // abs(b)
    if (a < 0) != (b < 0):
        return -q & mask(n)
    if q == sign(n):
        raise Trap(TrapKind.INTEGER_OVERFLOW)
    return q


def irem_u(n: int, i: int, j: int) -> int:
    """Spec: op-irem_u."""
    if j == 0:
        raise Trap(TrapKind.DIVIDE_BY_ZERO)
    return i % j


def irem_s(n: int, i: int, j: int) -> int:
    """Spec: op-irem_s.  The sign of the dividend; no overflow, the smallest by -1 leaves 0."""
    if j == 0:
        raise Trap(TrapKind.DIVIDE_BY_ZERO)
    a = signed(n, i)
    r = abs(a) % abs(signed(n, j))
    return -r & mask(n) if a < 0 else r


def inot(n: int, i: int) -> int:
    """Spec: op-inot."""
    return i ^ mask(n)


def iand(n: int, i: int, j: int) -> int:
    """Spec: op-iand."""
    return i & j


def iandnot(n: int, i: int, j: int) -> int:
    """Spec: op-iandnot."""
    return i & (j ^ mask(n))


def ior(n: int, i: int, j: int) -> int:
    """Spec: op-ior."""
    return i | j


def ixor(n: int, i: int, j: int) -> int:
    """Spec: op-ixor."""
    return i ^ j


def ibitselect(n: int, i: int, j: int, k: int) -> int:
    """Spec: op-ibitselect.  Bits of ``i`` where ``k`` has ones, of ``j`` elsewhere."""
    return i & k | j & (k ^ mask(n))


def ishl(n: int, i: int, j: int) -> int:
    """Spec: op-ishl."""
    return (i << (j & (n - 1))) & mask(n)


def ishr_u(n: int, i: int, j: int) -> int:
    """Spec: op-ishr_u."""
    return i >> (j & (n - 1))


def ishr_s(n: int, i: int, j: int) -> int:
    """Spec: op-ishr_s."""
    return (signed(n, i) >> (j & (n - 1))) & mask(n)


def irotl(n: int, i: int, j: int) -> int:
    """Spec: op-irotl."""
    k = j & (n - 1)
    return ((i << k) | (i >> (n - k))) & mask(n)


def irotr(n: int, i: int, j: int) -> int:
    """Spec: op-irotr."""
    k = j & (n - 1)
    return ((i >> k) | (i << (n - k))) & mask(n)


def iclz(n: int, i: int) -> int:
    """Spec: op-iclz."""
    return n - i.bit_length()


def ictz(n: int, i: int) -> int:
    """Spec: op-ictz."""
    return (i & -i).bit_length() - 1 if i else n


def ipopcnt(n: int, i: int) -> int:
    """Spec: op-ipopcnt."""
    return i.bit_count()


def iextend8_s(n: int, i: int) -> int:
    """Spec: op-iextendn_s."""
    return signed(8, i & 0xFF) & mask(n)


def iextend16_s(n: int, i: int) -> int:
    """Spec: op-iextendn_s."""
    return signed(16, i & 0xFFFF) & mask(n)


def iextend32_s(n: int, i: int) -> int:
    """Spec: op-iextendn_s."""
    return signed(32, i & 0xFFFF_FFFF) & mask(n)


def ieqz(n: int, i: int) -> int:
    """Spec: op-ieqz."""
    return 0 if i else 1


def ieq(n: int, i: int, j: int) -> int:
    """Spec: op-ieq."""
    return 1 if i == j else 0


def ine(n: int, i: int, j: int) -> int:
    """Spec: op-ine."""
    return 1 if i != j else 0


def ilt_u(n: int, i: int, j: int) -> int:
    """Spec: op-ilt_u."""
    return 1 if i < j else 0


def ilt_s(n: int, i: int, j: int) -> int:
    """Spec: op-ilt_s."""
    return 1 if (i ^ sign(n)) < (j ^ sign(n)) else 0


def igt_u(n: int, i: int, j: int) -> int:
    """Spec: op-igt_u."""
    return 1 if i > j else 0


def igt_s(n: int, i: int, j: int) -> int:
    """Spec: op-igt_s."""
    return 1 if (i ^ sign(n)) > (j ^ sign(n)) else 0


def ile_u(n: int, i: int, j: int) -> int:
    """Spec: op-ile_u."""
    return 1 if i <= j else 0


def ile_s(n: int, i: int, j: int) -> int:
    """Spec: op-ile_s."""
    return 1 if (i ^ sign(n)) <= (j ^ sign(n)) else 0


def ige_u(n: int, i: int, j: int) -> int:
    """Spec: op-ige_u."""
    return 1 if i >= j else 0


def ige_s(n: int, i: int, j: int) -> int:
    """Spec: op-ige_s."""
    return 1 if (i ^ sign(n)) >= (j ^ sign(n)) else 0


def ineg(n: int, i: int) -> int:
    """Spec: op-ineg."""
    return -i & mask(n)


def iabs(n: int, i: int) -> int:
    """Spec: op-iabs.  The smallest integer is its own absolute value."""
    return -i & mask(n) if i >= sign(n) else i


def imin_u(n: int, i: int, j: int) -> int:
    """Spec: op-imin_u."""
    return min(i, j)


def imin_s(n: int, i: int, j: int) -> int:
    """Spec: op-imin_s."""
    return i if i ^ sign(n) <= j ^ sign(n) else j


def imax_u(n: int, i: int, j: int) -> int:
    """Spec: op-imax_u."""
    return max(i, j)


def imax_s(n: int, i: int, j: int) -> int:
    """Spec: op-imax_s."""
    return i if i ^ sign(n) >= j ^ sign(n) else j


def iadd_sat_u(n: int, i: int, j: int) -> int:
    """Spec: op-iadd_sat_u."""
    return sat_u(n, i + j)


def iadd_sat_s(n: int, i: int, j: int) -> int:
    """Spec: op-iadd_sat_s."""
    return sat_s(n, signed(n, i) + signed(n, j))


def isub_sat_u(n: int, i: int, j: int) -> int:
    """Spec: op-isub_sat_u."""
    return sat_u(n, i - j)


def isub_sat_s(n: int, i: int, j: int) -> int:
    """Spec: op-isub_sat_s."""
    return sat_s(n, signed(n, i) - signed(n, j))


def iavgr_u(n: int, i: int, j: int) -> int:
    """Spec: op-iavgr_u."""
    return (i + j + 1) >> 1


def iq15mulr_sat_s(n: int, i: int, j: int) -> int:
    """Spec: op-iq15mulrsat."""
    return sat_s(n, (signed(n, i) * signed(n, j) + (1 << 14)) >> 15)
