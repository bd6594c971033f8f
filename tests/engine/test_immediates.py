import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.binary.reader import Reader
from engine.errors import MalformedError
from engine.instructions import immediates
from engine.instructions.immediates import (
    BLOCKTYPE,
    BRTABLE,
    CATCHES,
    DATAIDX,
    ELEMIDX,
    F32_BITS,
    F64_BITS,
    HEAPTYPE,
    I32_BITS,
    I64_BITS,
    LANEIDX,
    LANES,
    LEADING_MEMIDX,
    LEADING_TABLEIDX,
    LOCALIDX,
    MEMARG,
    RESERVED,
    TABLEIDX,
    TYPEUSE,
    V128_BITS,
    VALTYPES,
    CastBranch,
    Catch,
    Imm,
    MemArg,
    print_operands,
    read_reftype,
)
from engine.types import ANY, EXTERN, EXTERNREF, F32, F64, FUNC, FUNCREF, I31, I32, I64, V128, ref
from engine.values import f32_from_bits, f32_round, f64_from_bits
from tests.support import bits

u32 = st.integers(0, 2**32 - 1)
heaptypes = st.sampled_from([FUNC, EXTERN, ANY, I31]) | u32
valtypes = st.sampled_from([I32, I64, F32, F64, V128]) | st.builds(ref, st.booleans(), heaptypes)
VALUES = {
    "br_table": st.tuples(st.lists(u32, max_size=5).map(tuple), u32),
    "memarg": st.builds(MemArg, st.integers(0, 63), st.integers(0, 2**64 - 1), st.just(0) | u32),
    "blocktype": st.none() | valtypes | u32,
    "valtypes": st.lists(valtypes, max_size=3).map(tuple),
    "heaptype": heaptypes,
    "cast": st.builds(CastBranch, u32, *[st.builds(ref, st.booleans(), heaptypes)] * 2),
    "catches": st.lists(st.builds(Catch, st.none() | u32, st.booleans(), u32), max_size=4).map(tuple),
    "i32": bits.integers(32),
    "i64": bits.integers(64),
    "f32": bits.floats(32),
    "f64": bits.floats(64),
    "v128": st.integers(0, 2**128 - 1),
    "lanes": st.binary(min_size=16, max_size=16),
    "laneidx": st.integers(0, 255),
    "zero": st.just(0),
}
KINDS = {name: kind for name, kind in vars(immediates).items() if isinstance(kind, Imm)}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_was_written_is_read_back_and_nothing_more(kind):
    @given(VALUES.get(kind.name, u32))
    def round_trip(value):
        data = kind.write(value)
        r = Reader(data + b"\x7f")
        assert kind.read(r) == value
        assert r.pos == len(data)

    round_trip()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_truncation_is_malformed_with_an_offset_inside(kind):
    @given(VALUES.get(kind.name, u32), st.data())
    def refused(value, data):
        whole = kind.write(value)
        part = whole[: data.draw(st.integers(0, len(whole) - 1))]
        with pytest.raises(MalformedError) as e:
            kind.read(Reader(part))
        assert 0 <= e.value.offset <= len(part)

    refused()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@given(junk=st.binary(max_size=12))
def test_garbage_is_a_value_or_malformed(kind, junk):
    try:
        value = kind.read(Reader(junk))
    except MalformedError as e:
        assert 0 <= e.offset <= len(junk)
    else:
        assert kind.read(Reader(kind.write(value))) == value
        assert isinstance(kind.print_(value), str)


@pytest.mark.parametrize(
    ("kind", "value", "data"),
    [
        (LOCALIDX, 300, "ac02"),
        (BRTABLE, ((1, 2), 0), "02010200"),
        (MEMARG, MemArg(2, 16), "0210"),
        (MEMARG, MemArg(2, 16, 1), "420110"),
        (MEMARG, MemArg(0, 2**64 - 1), "00" + "ff" * 9 + "01"),
        (BLOCKTYPE, None, "40"),
        (BLOCKTYPE, I64, "7e"),
        (BLOCKTYPE, FUNCREF, "70"),
        (BLOCKTYPE, ref(False, 5), "6405"),
        (BLOCKTYPE, 64, "c000"),
        (VALTYPES, (I32, ref(True, 0)), "027f6300"),
        (HEAPTYPE, FUNC, "70"),
        (HEAPTYPE, 100, "e400"),
        (I32_BITS, 2**32 - 1, "7f"),
        (I32_BITS, 2**31, "8080808078"),
        (I64_BITS, 2**64 - 2, "7e"),
        (F32_BITS, 0x3F800001, "0100803f"),
        (F64_BITS, 0x7FF0000000000001, "010000000000f07f"),
        (V128_BITS, 2**127 + 0x0201, "0102" + "00" * 13 + "80"),
        (LANEIDX, 255, "ff"),
        (LANES, bytes(range(16)), bytes(range(16)).hex()),
        (CATCHES, (), "00"),
        (CATCHES, (Catch(1, False, 2), Catch(3, True, 4)), "0200010201" + "0304"),
        (CATCHES, (Catch(None, False, 5), Catch(None, True, 6)), "0202050306"),
    ],
)  # fmt: skip
def test_binary_forms(kind, value, data):
    assert kind.write(value).hex() == data
    assert kind.read(Reader(bytes.fromhex(data))) == value


def test_long_forms_that_say_nothing_new_are_read():
    assert BLOCKTYPE.read(Reader(bytes.fromhex("6370"))) is FUNCREF
    assert MEMARG.read(Reader(bytes.fromhex("420010"))) == MemArg(2, 16, 0)
    assert MEMARG.read(Reader(bytes.fromhex("82000a"))) == MemArg(2, 10)
    assert LOCALIDX.read(Reader(bytes.fromhex("8100"))) == 1


@pytest.mark.parametrize(
    ("kind", "data", "phrase", "offset"),
    [
        (MEMARG, "800100", "malformed memop flags", 0),
        (MEMARG, "800200", "malformed memop flags", 0),
        (MEMARG, "0282808080808080808010", "integer too large", 1),
        (MEMARG, "0282808080808080808080 00".replace(" ", ""), "integer representation too long", 1),
        (BLOCKTYPE, "41", "malformed value type", 0),
        (BLOCKTYPE, "ff7f", "malformed block type", 0),
        (VALTYPES, "017a", "malformed value type", 1),
        (VALTYPES, "0178", "malformed value type", 1),
        (HEAPTYPE, "7f", "malformed heap type", 0),
        (I32_BITS, "8080808008", "integer too large", 0),
        (I32_BITS, "808080808000", "integer representation too long", 0),
        (I64_BITS, "ff" * 9 + "7e", "integer too large", 0),
        (LOCALIDX, "ffffffff1f", "integer too large", 0),
        (BRTABLE, "ffffffff0f00", "unexpected end", 6),
    ],
)  # fmt: skip
def test_malformed_immediates(kind, data, phrase, offset):
    with pytest.raises(MalformedError, match=phrase) as e:
        kind.read(Reader(bytes.fromhex(data)))
    assert e.value.offset == offset


def test_a_number_type_is_no_reference_type():
    with pytest.raises(MalformedError, match="malformed reference type"):
        read_reftype(Reader(b"\x7f"))


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (LOCALIDX, 3, "3"),
        (TYPEUSE, 3, "(type 3)"),
        (BRTABLE, ((1, 2), 0), "1 2 0"),
        (BRTABLE, ((), 7), "7"),
        (MEMARG, MemArg(0, 0), "align=1"),
        (MEMARG, MemArg(3, 65535), "offset=65535 align=8"),
        (MEMARG, MemArg(3, 1, 2), "2 offset=1 align=8"),
        (BLOCKTYPE, None, ""),
        (BLOCKTYPE, F64, "(result f64)"),
        (BLOCKTYPE, EXTERNREF, "(result externref)"),
        (BLOCKTYPE, ref(False, 4), "(result (ref 4))"),
        (BLOCKTYPE, 4, "(type 4)"),
        (VALTYPES, (I32,), "(result i32)"),
        (HEAPTYPE, EXTERN, "extern"),
        (HEAPTYPE, 2, "2"),
        (I32_BITS, 2**32 - 1, "-1"),
        (I32_BITS, 2**31, "-2147483648"),
        (I64_BITS, 2**63 - 1, "9223372036854775807"),
        (F32_BITS, 0x3FC00000, "0x1.8000000000000p+0"),
        (F32_BITS, 0x80000000, "-0x0.0p+0"),
        (F32_BITS, 0x7F800000, "inf"),
        (F32_BITS, 0xFF800000, "-inf"),
        (F32_BITS, 0x7FC00000, "nan:0x400000"),
        (F32_BITS, 0xFF800001, "-nan:0x1"),
        (F64_BITS, 0x7FF0000000000001, "nan:0x1"),
        (F64_BITS, 0xFFF8000000000000, "-nan:0x8000000000000"),
        (F64_BITS, 1, "0x0.0000000000001p-1022"),
    ],
)  # fmt: skip
def test_text_forms(kind, value, text):
    assert kind.print_(value) == text


@given(bits.floats(32), bits.floats(64))
def test_printed_numbers_are_exact(b, c):
    z, w = f32_from_bits(b), f64_from_bits(c)
    if not math.isnan(z):
        assert f32_round(float.fromhex(F32_BITS.print_(b))) == z
    if not math.isnan(w):
        assert float.fromhex(F64_BITS.print_(c)) == w


@pytest.mark.parametrize(
    ("kinds", "values", "text"),
    [
        ((TYPEUSE, LEADING_TABLEIDX), (2, 0), "0 (type 2)"),
        ((ELEMIDX, LEADING_TABLEIDX), (5, 1), "1 5"),
        ((DATAIDX, LEADING_MEMIDX), (5, 0), "0 5"),
        ((TABLEIDX, TABLEIDX), (1, 2), "1 2"),
        ((BLOCKTYPE,), (None,), ""),
        ((), (), ""),
    ],
)  # fmt: skip
def test_an_index_that_may_be_left_out_is_printed_first(kinds, values, text):
    assert print_operands(kinds, values) == text


def test_a_reserved_byte_is_zero_and_not_printed():
    assert print_operands([RESERVED], [0]) == ""
    with pytest.raises(MalformedError, match="zero byte expected"):
        RESERVED.read(Reader(b"\1"))
