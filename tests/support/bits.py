"""Bit patterns where numeric instructions go wrong, and strategies around them."""

from __future__ import annotations

from hypothesis import strategies as st

_I32 = [0, 1, 2, 7, 31, 32, 33, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0x00FF_FFFF, 0x0100_0001, 0x7FFF_FFFF]
_F32 = [
    0x0000_0000, 0x0000_0001, 0x007F_FFFF, 0x0080_0000,  # zero, subnormal, smallest normal
    0x3EFF_FFFF, 0x3F00_0000, 0x3F00_0001, 0x3F7F_FFFF, 0x3F80_0000, 0x3F80_0001, 0x3FC0_0000, 0x4020_0000,  # to 2.5
    0x4AFF_FFFF, 0x4B00_0000, 0x4B00_0001, 0x4B7F_FFFF, 0x4B80_0000,  # around 2**23 and 2**24
    0x4EFF_FFFF, 0x4F00_0000, 0x4F7F_FFFF, 0x4F80_0000,  # around 2**31 and 2**32
    0x5EFF_FFFF, 0x5F00_0000, 0x5F7F_FFFF, 0x5F80_0000,  # around 2**63 and 2**64
    0x7F7F_FFFF, 0x7F80_0000, 0x7F80_0001, 0x7FA0_0000, 0x7FC0_0000, 0x7FFF_FFFF,  # largest, infinity, NaNs
]  # fmt: skip
_F64 = [
    0x0000_0000_0000_0000, 0x0000_0000_0000_0001, 0x000F_FFFF_FFFF_FFFF, 0x0010_0000_0000_0000,
    0x3690_0000_0000_0000, 0x36A0_0000_0000_0000, 0x380F_FFFF_E000_0000, 0x3810_0000_0000_0000,  # f32 underflow
    0x3FDF_FFFF_FFFF_FFFF, 0x3FE0_0000_0000_0000, 0x3FE0_0000_0000_0001, 0x3FEF_FFFF_FFFF_FFFF, 0x3FF0_0000_0000_0000,
    0x3FF0_0000_1000_0000, 0x3FF0_0000_1000_0001, 0x3FF8_0000_0000_0000, 0x4004_0000_0000_0000,  # f32 ties
    0x41DF_FFFF_FFC0_0000, 0x41DF_FFFF_FFE0_0000, 0x41E0_0000_0000_0000, 0x41E0_0000_0010_0000, 0x41E0_0000_0020_0000,
    0x41EF_FFFF_FFE0_0000, 0x41EF_FFFF_FFFF_FFFF, 0x41F0_0000_0000_0000,  # around 2**31 and 2**32
    0x432F_FFFF_FFFF_FFFF, 0x4330_0000_0000_0000, 0x4330_0000_0000_0001, 0x4340_0000_0000_0000,  # around 2**52
    0x43DF_FFFF_FFFF_FFFF, 0x43E0_0000_0000_0000, 0x43E0_0000_0000_0001, 0x43EF_FFFF_FFFF_FFFF, 0x43F0_0000_0000_0000,
    0x47EF_FFFF_E000_0000, 0x47EF_FFFF_EFFF_FFFF, 0x47EF_FFFF_F000_0000, 0x47F0_0000_0000_0000,  # f32 overflow
    0x7FEF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000, 0x7FF0_0000_0000_0001, 0x7FF4_0000_0000_0000, 0x7FF8_0000_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF,
]  # fmt: skip
_I64 = [
    *_I32,
    0x7FFF_FFBF_FFFF_FFFF,
    0x7FFF_FFFF_FFFF_FFFF,
    63,
    64,
    65,
    1 << 31,
    1 << 32,
    (1 << 53) + 1,
    0x8000_0080_0000_0001,
]

INTEGERS = {
    32: sorted({*_I32, *(-i % 2**32 for i in _I32), 1 << 31}),
    64: sorted({*_I64, *(-i % 2**64 for i in _I64), 1 << 63}),
}
FLOATS = {
    32: sorted({*_F32, *(b | 1 << 31 for b in _F32)}),
    64: sorted({*_F64, *(b | 1 << 63 for b in _F64)}),
}


def integers(n: int) -> st.SearchStrategy[int]:
    """Unsigned integers of ``n`` bits, edges often."""
    return st.sampled_from(INTEGERS[n]) | st.integers(0, 2**n - 1)


def floats(n: int) -> st.SearchStrategy[int]:
    """Bits of floats: edges, any bits at all, and values of ordinary size."""
    width = {32: 23, 64: 52}[n]
    bias = (1 << (n - width - 2)) - 1
    ordinary = st.tuples(st.integers(0, 1), st.integers(bias - 3, bias + 66), st.integers(0, 2**width - 1)).map(
        lambda parts: parts[0] << (n - 1) | parts[1] << width | parts[2]
    )
    return st.sampled_from(FLOATS[n]) | st.integers(0, 2**n - 1) | ordinary
