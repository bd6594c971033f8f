"""Hostile input: a typed error, bounded memory, no recursion, whatever the bytes."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ci.gates import material, mutants, mutations
from engine import InvalidError, MalformedError, UnsupportedError, decode, encode, validate
from engine.features import EXECUTED
from engine.instructions.leb import s, u
from engine.text.printer import print_module
from tests.support.binary import HEADER, func, module, section

HUGE = b"\xff\xff\xff\xff\x0f"
ERRORS = (MalformedError, InvalidError, UnsupportedError)


def judge(data: bytes) -> str:
    """Return what became of a module; anything but a typed error escapes."""
    try:
        validate(decode(data, EXECUTED), EXECUTED)
    except ERRORS as e:
        assert not isinstance(e, MalformedError) or e.offset is not None
        return type(e).__name__
    return "valid"


def peak_bytes(data: bytes) -> int:
    tracemalloc.start()
    try:
        judge(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        *[module(section(id, HUGE)) for id in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13)],
        module(section(1, b"\1\x60", HUGE)),
        module(section(1, b"\1\x4e", HUGE)),
        module(section(1, b"\1\x5f", HUGE)),
        module(section(1, b"\1\x50", HUGE)),
        module(section(2, b"\1", HUGE)),
        module(section(9, b"\1\1\0", HUGE)),
        module(section(11, b"\1\1", HUGE)),
        module(section(12, HUGE)),
        module(section(0, HUGE)),
        func(b"\x0e" + HUGE + b"\0\x0b"),
        func(b"\x1c" + HUGE + b"\x7f\x0b"),
        func(b"\x0b", HUGE),
    ],
)
def test_a_count_allocates_nothing_by_itself(data):
    assert judge(data) == "MalformedError"
    assert peak_bytes(data) < 100_000


def test_declared_locals_allocate_nothing():
    data = func(b"\x0b", b"\1" + HUGE + b"\x7f")
    assert judge(data) == "UnsupportedError"
    assert peak_bytes(data) < 100_000


def test_many_functions_with_many_locals():
    n = 2000
    code = b"\1" + u(50_000) + b"\x7f\x0b"
    code = u(len(code)) + code
    data = module(section(1, b"\1\x60\0\0"), section(3, u(n), b"\0" * n), section(10, u(n), code * n))
    assert judge(data) == "valid"


@pytest.mark.parametrize("opener", [b"\x02\x40", b"\x03\x40", b"\x41\0\x04\x40"])
def test_deep_nesting_does_not_recurse(opener):
    n = 30_000
    data = func(opener * n + b"\x0b" * (n + 1))
    assert judge(data) == "valid"
    assert judge(data[:-1]) == "MalformedError"
    assert encode(decode(data)) == data
    assert print_module(decode(data)).count("end") >= n


def test_a_chain_of_types_does_not_recurse():
    n = 20_000
    group = b"".join(b"\x60\1\x63" + s(x - 1) + b"\0" if x else b"\x60\0\0" for x in range(n))
    assert judge(module(section(1, u(n), group))) == "valid"
    chain = b"".join(b"\x50\1" + u(x - 1) + b"\x5f\0" if x else b"\x50\0\x5f\0" for x in range(n))
    assert judge(module(section(1, u(n), chain))) == "UnsupportedError"


def test_blocks_with_long_types_in_unreachable_code_stay_linear():
    type_ = b"\x60" + u(1000) + b"\x7f" * 1000 + u(1000) + b"\x7f" * 1000
    n = 2000
    body = b"\0" + b"\x02\1" * n + b"\x0b" * n + b"\x0c\0\x0b"
    code = b"\0" + body
    data = module(section(1, b"\2\x60\0\0", type_), section(3, b"\1\0"), section(10, b"\1", u(len(code)), code))
    assert judge(data) == "valid"


def test_br_tables_with_many_labels_stay_linear():
    table = b"\x41\0\x0e" + u(10_000) + b"\0" * 10_001
    assert judge(func((b"\x02\x40" + table + b"\x0b") * 20 + b"\x0b")) == "valid"


def test_every_prefix_of_a_module_is_refused():
    for wasm in material.bases(1)[:5]:
        ends = {8}  # a header alone is a module, and so is one that ends after a section
        for start, end in zip(_starts(wasm), [*_starts(wasm)[1:], len(wasm)], strict=True):
            ends |= {start, end}
        for n in range(len(wasm)):
            if n not in ends:
                assert judge(wasm[:n]) == "MalformedError", n


def _starts(wasm: bytes) -> list[int]:
    starts, pos = [], 8
    while pos < len(wasm):
        starts.append(pos)
        size, body = mutations.read_u(wasm, pos + 1)
        pos = body + size
    return starts


@given(st.binary(max_size=200))
@example(b"")
@settings(max_examples=300)
def test_any_bytes(data):
    judge(data)
    judge(HEADER + data)


@given(st.binary(max_size=100))
@settings(max_examples=300)
def test_any_body(data):
    judge(func(data))
    judge(func(data + b"\x0b"))


@given(st.sampled_from([1, 2, 4, 5, 6, 7, 9, 11, 13]), st.binary(max_size=60))
@settings(max_examples=300)
def test_any_section(id, data):
    judge(module(section(id, data)))


@pytest.mark.parametrize("half", [0, 1])  # by structure, byte by byte
def test_mutants_get_a_typed_verdict(half):
    verdicts = {judge(mutants.mutant(5, i)) for i in range(half, 1600, 2)}
    assert verdicts >= {"valid", "MalformedError", "InvalidError"}


def test_what_is_accepted_can_be_written_and_read_again():
    for i in range(800):
        try:
            m = decode(mutants.mutant(6, i), EXECUTED)
            validate(m, EXECUTED)
        except ERRORS:
            continue
        data = encode(m)
        assert encode(decode(data, EXECUTED)) == data
        validate(decode(data, EXECUTED), EXECUTED)


def test_operands_by_the_thousand_are_bounded():
    many = b"\x60\0" + u(1000) + b"\x7f" * 1000
    for n, expected in ((900, "InvalidError"), (5000, "UnsupportedError")):
        body = b"\0" + b"\x10\0" * n + b"\x0b"
        data = module(section(1, b"\2", many, b"\x60\0\0"), section(2, b"\1\0\0\0\0"), section(3, b"\1\1"),
                      section(10, b"\1", u(len(body)), body))  # fmt: skip
        assert judge(data) == expected
        assert peak_bytes(data) < 40_000_000


def test_messages_do_not_grow_with_the_stack():
    with pytest.raises(InvalidError, match=r"i32, i32, \.\.\. \(func 0") as caught:
        validate(decode(func(b"\x41\0" * 10_000 + b"\x0b")))
    assert len(str(caught.value)) < 300


def test_tables_of_a_module_are_bounded():
    table = b"\x70\0\1"
    assert judge(module(section(4, u(100), table * 100))) == "valid"
    assert judge(module(section(4, u(101), table * 101))) == "UnsupportedError"


def test_wide_structures_in_unreachable_code_stay_linear():
    wide = b"\x5f" + u(10_000) + b"\x7f\1" * 10_000
    body = b"\0" + b"\xfb\0\1\x1a" * 20_000 + b"\x0b"
    code = b"\0" + body
    types = section(1, b"\2\x60\0\0", wide)
    assert judge(module(types, section(3, b"\1\0"), section(10, b"\1", u(len(code)), code))) == "valid"
    assert judge(module(section(1, b"\1\x5f" + u(10_001) + b"\x7f\1" * 10_001))) == "UnsupportedError"


def test_branches_on_null_with_many_values_stay_linear():
    type_ = b"\x60\0" + u(1000) + b"\x7f" * 1000
    body = b"\2\1" + b"\x41\0" * 1000 + b"\xd0\x70\xd5\0\x1a" * 5000 + b"\x0b\0\x0b"
    code = b"\0" + body
    data = module(section(1, b"\2\x60\0\0", type_), section(3, b"\1\0"), section(10, b"\1", u(len(code)), code))
    assert judge(data) == "valid"


def test_an_array_of_four_thousand_million_operands_is_refused():
    code = b"\0\0\xfb\x08\1\xff\xff\xff\xff\x0f\x1a\x0b"
    types = section(1, b"\2\x60\0\0\x5e\x7f\0")
    data = module(types, section(3, b"\1\0"), section(10, b"\1", u(len(code)), code))
    assert judge(data) == "UnsupportedError"
