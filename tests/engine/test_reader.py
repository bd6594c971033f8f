"""LEB128 integers, names and lengths, with the suite's phrase and the offset of what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import MalformedError
from engine.binary.reader import Reader
from engine.instructions.leb import s, u


def refuses(data: bytes, method: str, phrase: str, offset: int) -> None:
    with pytest.raises(MalformedError, match=phrase) as caught:
        getattr(Reader(data), method)()
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("data", "n", "value"),
    [
        ("00", 32, 0),
        ("7f", 32, 127),
        ("8001", 32, 128),
        ("808000", 32, 0),  # longer than needed is fine
        ("8080808000", 32, 0),
        ("ffffffff0f", 32, 2**32 - 1),
        ("ffffffffffffffffff01", 64, 2**64 - 1),
        ("80808080808080808000", 64, 0),
    ],
)
def test_unsigned(data, n, value):
    r = Reader(bytes.fromhex(data))
    assert (r.u32() if n == 32 else r.u64()) == value
    assert r.pos == r.end


@pytest.mark.parametrize(
    ("data", "method", "value"),
    [
        ("00", "s32", 0),
        ("3f", "s32", 63),
        ("40", "s32", -64),
        ("7f", "s32", -1),
        ("ff7f", "s32", -1),
        ("ffffffff7f", "s32", -1),
        ("ffffffff07", "s32", 2**31 - 1),
        ("8080808078", "s32", -(2**31)),
        ("ffffffff0f", "s33", 2**32 - 1),
        ("8080808070", "s33", -(2**32)),
        ("ffffffffffffffffff00", "s64", 2**63 - 1),
        ("8080808080808080807f", "s64", -(2**63)),
    ],
)
def test_signed(data, method, value):
    r = Reader(bytes.fromhex(data))
    assert getattr(r, method)() == value
    assert r.pos == r.end


@pytest.mark.parametrize(
    ("data", "method", "phrase", "offset"),
    [
        ("", "u32", "unexpected end", 0),
        ("80", "u32", "unexpected end", 1),
        ("808080808000", "u32", "integer representation too long", 0),
        ("8080808010", "u32", "integer too large", 0),
        ("ffffffff1f", "u32", "integer too large", 0),
        ("8080808080808080808000", "u64", "integer representation too long", 0),
        ("80808080808080808002", "u64", "integer too large", 0),
        ("8080808008", "s32", "integer too large", 0),  # sign bit without its extension
        ("8080808070", "s32", "integer too large", 0),
        ("ffffffff6f", "s32", "integer too large", 0),
        ("808080808000", "s32", "integer representation too long", 0),
        ("8080808010", "s33", "integer too large", 0),
        ("80808080808080808001", "s64", "integer too large", 0),
        ("ffffffffffffffffff7e", "s64", "integer too large", 0),
        ("", "byte", "unexpected end", 0),
        ("02", "count", "length out of bounds", 0),
        ("ffffffff0f", "count", "length out of bounds", 0),
        ("02c328", "name", "malformed UTF-8 encoding", 1),
        ("0361c328", "name", "malformed UTF-8 encoding", 2),
        ("03eda080", "name", "malformed UTF-8 encoding", 1),  # a surrogate
        ("02c080", "name", "malformed UTF-8 encoding", 1),  # too long for its code point
        ("04f4908080", "name", "malformed UTF-8 encoding", 1),  # beyond the last code point
        ("0361", "name", "length out of bounds", 0),
    ],
)
def test_refusals(data, method, phrase, offset):
    refuses(bytes.fromhex(data), method, phrase, offset)


def test_a_reader_never_looks_behind_its_end():
    r = Reader(b"\x80\x01\x02\x03", 0, 1)
    with pytest.raises(MalformedError, match="unexpected end"):
        r.u32()
    with pytest.raises(MalformedError, match="unexpected end"):
        r.bytes(2)


def test_part_steps_over_what_it_gives():
    r = Reader(b"abcd")
    part = r.part(3)
    assert (part.pos, part.end, r.pos) == (0, 3, 3)


def test_a_name_may_hold_any_character():
    data = "\0é\U0001f600\u202e".encode()
    assert Reader(bytes((len(data),)) + data).name() == "\0é\U0001f600\u202e"


@given(st.integers(0, 2**64 - 1))
def test_u64_reads_what_u_writes(i):
    assert Reader(u(i)).u64() == i


@given(st.integers(-(2**63), 2**63 - 1))
def test_s64_reads_what_s_writes(i):
    assert Reader(s(i)).s64() == i


@given(st.integers(-(2**32), 2**32 - 1), st.binary(max_size=3))
def test_s33_reads_what_s_writes_whatever_follows(i, rest):
    assert Reader(s(i) + rest).s33() == i


@given(st.binary(max_size=12))
def test_signed_and_unsigned_agree_on_length_and_low_bits(data):
    def attempt(method):
        r = Reader(data)
        try:
            return getattr(r, method)(), r.pos
        except MalformedError:
            return None

    unsigned, signed = attempt("u64"), attempt("s64")
    if unsigned and signed:
        assert unsigned[1] == signed[1]
        low = min(64, 7 * unsigned[1])
        assert unsigned[0] % 2**low == signed[0] % 2**low
