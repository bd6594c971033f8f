"""Every planted bug is wrong where it says, and right beside it; the default build is right everywhere."""

# ruff: noqa: E501  one bug per line
from __future__ import annotations

import pytest

from engine import decode, instantiate, invoke, validate
from engine.errors import Trap
from engine.runtime.store import Config, Store
from harness.planted import PLANTED
from oracles.adapter import load
from oracles.adapters.reference import PLANTS
from tests.support.wasm import wasm

MIN = 1 << 31
NAN, MINUS_NAN = 0x7FF8 << 48, 0xFFF8 << 48
UNREACHABLE, BOUNDS, OVERFLOW, MISMATCH, DIVIDE = (
    "unreachable", "out of bounds memory access", "integer overflow", "indirect call type mismatch",
    "integer divide by zero",
)  # fmt: skip

TABLE = "(type $i (func (result i32))) (type $l (func (result i64))) (table funcref (elem $l $i)) (func $l (result i64) i64.const 1) (func $i (result i32) i32.const 5)"
CASES = [
    # bug, body of f with its signature, wrong for, what is right and wrong there, and a right use beside it
    ("rem-s", "(param i32 i32) (result i32) local.get 0 local.get 1 i32.rem_s", (MIN, 2**32 - 1), 0, OVERFLOW, (7, 4)),
    ("copysign-nan", "(param i64 i64) (result i64) local.get 0 f64.reinterpret_i64 local.get 1 f64.reinterpret_i64 f64.copysign i64.reinterpret_f64", (NAN, 1 << 63), MINUS_NAN, NAN, (3, 1 << 63)),
    ("min-zero", "(param i32 i32) (result i32) local.get 0 f32.reinterpret_i32 local.get 1 f32.reinterpret_i32 f32.min i32.reinterpret_f32", (MIN, 0), MIN, 0, (0, MIN)),
    ("shr-64", "(param i64 i64) (result i64) local.get 0 local.get 1 i64.shr_s", (5, 64), 5, 0, (5, 1)),
    ("trunc-edge", "(param i32) (result i32) local.get 0 f32.reinterpret_i32 i32.trunc_f32_s", (0x4F000000,), OVERFLOW, MIN, (0x4EFFFFFF,)),
    ("load8-sign", '(param i32) (result i32) local.get 0 i32.load8_s', (0,), 2**32 - 128, 128, (1,)),
    ("select-sign", "(param i32) (result i32) i32.const 1 i32.const 2 local.get 0 select", (2**32 - 1,), 1, 2, (1,)),
    ("nearest-tie", "(param i64) (result i64) local.get 0 f64.reinterpret_i64 f64.nearest i64.reinterpret_f64", (0x3FE << 52,), 0, 0x3FF << 52, (0x3FF8 << 48,)),
    ("swizzle-wraps", "(param i32) (result i32) v128.const i32x4 5 6 7 8 local.get 0 i8x16.splat i8x16.swizzle i8x16.extract_lane_u 3", (20,), 0, 6, (4,)),
    ("average-down", "(param i32 i32) (result i32) local.get 0 i16x8.splat local.get 1 i16x8.splat i16x8.avgr_u i16x8.extract_lane_u 7", (7, 8), 8, 7, (6, 8)),
    ("last-byte", "(param i32) (result i32) local.get 0 i32.load", (65532,), 0, BOUNDS, (65531,)),
    ("grow-result", "(param i32) (result i32) local.get 0 memory.grow", (1,), 1, 2, (0,)),
    ("copy-overlap", "(param i32) (result i32) i32.const 8 i32.const 1 i32.store8 local.get 0 i32.const 8 i32.const 4 memory.copy i32.const 10 i32.load8_u", (9,), 0, 1, (11,)),
    ("fill-bounds", "(param i32) (result i32) i32.const 65535 i32.const 1 local.get 0 memory.fill i32.const 0", (2,), BOUNDS, 0, (1,)),
    ("data-drop", "(param i32) (result i32) data.drop $d i32.const 0 i32.const 0 local.get 0 memory.init $d i32.const 7", (1,), BOUNDS, 7, (0,)),
    ("br-table", "(param i32) (result i32) block block local.get 0 br_table 0 1 end i32.const 1 return end i32.const 2", (1,), 2, 1, (0,)),
    ("tee", "(param i32) (result i32) local.get 0 local.get 0 i32.const 9 local.tee 0 i32.sub i32.sub", (4,), 9, 4, (9,)),
    ("call-type", "(param i32) (result i32) local.get 0 call_indirect (type $i)", (0,), MISMATCH, 5, (1,)),
    ("lost-store", "(param i32) (result i32) (local i32) i32.const 20 local.get 0 i32.store i32.const 1 i32.const 0 i32.div_u local.set 1 i32.const 0", (3,), DIVIDE, DIVIDE, ()),
]  # fmt: skip
MODULE = '(memory (export "m") 1 3) (data (i32.const 0) "\\80\\01") (data $d "x")' + TABLE + '(func (export "f") {})'


def outcome(body, args, build=None):
    module = decode(wasm(MODULE.format(body)))
    validate(module)
    store = Store(Config(build=build))
    instance = instantiate(store, module, [])
    try:
        (value,) = invoke(store, instance.exports["f"], args)
    except Trap as trap:
        value = trap.kind.value
    return value, instance


def test_every_bug_has_a_case():
    assert [case[0] for case in CASES] == list(PLANTED)
    assert set(PLANTS) >= set(PLANTED)


@pytest.mark.parametrize(("name", "body", "args", "right", "wrong", "beside"), CASES, ids=[c[0] for c in CASES])
def test_a_planted_bug_is_wrong_where_it_says_and_right_beside_it(name, body, args, right, wrong, beside):
    build = PLANTED[name].build()
    assert outcome(body, args)[0] == right
    assert outcome(body, args, build)[0] == wrong
    if beside:
        assert outcome(body, beside, build)[0] == outcome(body, beside)[0]


def test_the_lost_store_is_in_memory_alone():
    body, args = next((c[1], c[2]) for c in CASES if c[0] == "lost-store")
    stored = [outcome(body, args, b)[1].exports["m"].data[20] for b in (None, PLANTED["lost-store"].build())]
    assert stored == [3, 0]


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_an_oracle(name):
    assert load(f"reference:plant={name}").describe().variant == f"plant={name}"
