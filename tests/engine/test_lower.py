"""Lowering: what is pending is evaluated as if where it stood; control, places of traps, and hostile sizes."""

from __future__ import annotations

import pytest

from engine import Store, Trap, TrapKind, decode, encode, instantiate, invoke, validate
from engine.execution.build import Build
from engine.execution.driver import Activation
from engine.execution.frame import LAZY
from engine.execution.lower import MAX_NESTING, TALL, complete
from engine.instructions import TABLE
from engine.module import Code, Export, In, Module
from engine.runtime.store import Config
from engine.types import I32, FuncType, RecType, SubType
from tests.support.wasm import call, run, wasm, wat

BUILDS = {
    "default": None,
    "shaped": Build(inline=False),
    "unfolded": Build(fold=False),
    "plain": Build(inline=False, fold=False),
}
OUT_OF_BOUNDS = TrapKind.MEMORY_OUT_OF_BOUNDS
ZERO = TrapKind.DIVIDE_BY_ZERO
LOAD = "(i32.load (i32.const -4))"  # traps
DIV = "(i32.div_u (i32.const 1) (local.get $z))"  # traps too, for $z = 0


@pytest.fixture(params=BUILDS)
def build(request):
    return BUILDS[request.param]


def instance(text, build=None):
    return instantiate(Store(Config(build=build)), wat(text))


def f(body, build=None, *args, memory="(memory 1)", signature="(param $z i32) (result i32)", more=""):
    text = f'{memory} (global $g (mut i32) (i32.const 5)) {more} (func (export "f") {signature} {body})'
    return call(instance(text, build), "f", *(args or (0,)))


def trap_of(body, build, **options):
    with pytest.raises(Trap) as caught:
        f(body, build, **options)
    return caught.value.kind


# -- pending expressions


@pytest.mark.parametrize(("body", "result"), [
    ("(i32.load (i32.const 0)) (i32.store (i32.const 0) (i32.const 9))", 0),
    ("(global.get $g) (global.set $g (i32.const 9))", 5),
    ("(global.get $g) (call $set)", 5),
    ("(i32.load (i32.const 0)) (call $set)", 0),
    ("(memory.size) (drop (memory.grow (i32.const 1)))", 1),
    ("(i32.load (i32.const 0)) (memory.fill (i32.const 0) (i32.const 1) (i32.const 4))", 0),
    ("(local.get $z) (local.set $z (i32.const 9))", 0),
    ("(i32.add (local.get $z) (i32.const 1)) (local.set $z (i32.const 9))", 1),
    ("(i32.add (local.get $z) (local.tee $z (i32.const 9)))", 9),
    ("(i32.add (local.tee $z (i32.const 9)) (local.get $z))", 18),
    ("(local.get $z) (i32.add (i32.const 1) (local.tee $z (i32.add (local.get $z) (i32.const 1)))) (i32.add)", 2),
    ("(local.get $z) (block (br_if 0 (i32.const 1)) (local.set $z (i32.const 9)))", 0),
    ("(local.get $z) (block (br_if 0 (i32.const 0)) (local.set $z (i32.const 9)))", 0),
    ("(local.get $z) (loop (local.set $z (i32.const 9)))", 0),
    ("(local.get $z) (if (i32.const 1) (then (local.set $z (i32.const 9))))", 0),
    ("(table.size 0) (drop (table.grow 0 (ref.null func) (i32.const 2)))", 1),
    ("(ref.is_null (table.get 0 (i32.const 0))) (table.set 0 (i32.const 0) (ref.func $set))", 1),
])  # fmt: skip
def test_an_effect_does_not_change_what_was_pushed_before_it(body, result, build):
    more = "(table 1 funcref) (elem declare func $set)"
    more += "(func $set (global.set $g (i32.const 9)) (i32.store (i32.const 0) (i32.const 9)))"
    assert f(body, build, more=more) == result


def test_putting_an_operand_in_its_slot_keeps_what_is_below(build):
    # the sum stays pending and reads the slot that the dropped value then wants
    body = "(call $two) (i32.add) (drop (i32.load (i32.const 0)))"
    assert f(body, build, more="(func $two (result i32 i32) (i32.const 3) (i32.const 4))") == 7


def test_results_of_a_call_keep_what_is_below(build):
    body = "(call $two) (i32.sub) (call $two) (i32.add) (i32.mul)"
    assert f(body, build, more="(func $two (result i32 i32) (i32.const 7) (i32.const 4))") == 33


@pytest.mark.parametrize(("body", "kind"), [
    (f"{LOAD} (local.set $z {DIV})", OUT_OF_BOUNDS),
    (f"{DIV} (local.set $z {LOAD})", ZERO),
    (f"{LOAD} (drop {DIV})", OUT_OF_BOUNDS),
    (f"(drop {LOAD}) {DIV}", OUT_OF_BOUNDS),
    (f"(i32.add {LOAD} {DIV})", OUT_OF_BOUNDS),
    (f"(i32.add {DIV} {LOAD})", ZERO),
    (f"{LOAD} (i32.store (i32.const 0) {DIV})", OUT_OF_BOUNDS),
    (f"(i32.store {LOAD} {DIV}) (i32.const 0)", OUT_OF_BOUNDS),
    (f"(i32.store (i32.const -4) {DIV}) (i32.const 0)", ZERO),
    (f"{LOAD} (global.set $g {DIV})", OUT_OF_BOUNDS),
    (f"{LOAD} (return {DIV})", OUT_OF_BOUNDS),
    (f"{LOAD} (br 0 {DIV})", OUT_OF_BOUNDS),
    (f"{LOAD} (drop (br_if 0 (i32.const 1) {DIV}))", OUT_OF_BOUNDS),
    (f"(br_if 0 {LOAD} {DIV})", OUT_OF_BOUNDS),
    (f"(br_if 0 (i32.const 3) {DIV}) (drop {LOAD})", ZERO),
    (f"{LOAD} (br_table 0 0 {DIV})", OUT_OF_BOUNDS),
    (f"{LOAD} (if {DIV} (then))", OUT_OF_BOUNDS),
    (f"{LOAD} (block (drop {DIV}))", OUT_OF_BOUNDS),
    (f"{LOAD} (unreachable)", OUT_OF_BOUNDS),
    (f"{LOAD} (drop (call $one {DIV}))", OUT_OF_BOUNDS),
    (f"(call $both {LOAD} {DIV})", OUT_OF_BOUNDS),
    (f"(call_indirect (param i32) (result i32) {LOAD} {DIV})", OUT_OF_BOUNDS),
    ("(call_indirect (param i32) (result i32) (i32.const 1) (i32.const 0))", TrapKind.UNREACHABLE),
    (f"(call_indirect (param i32) (result i32) {LOAD} (i32.const 9))", OUT_OF_BOUNDS),
    (f"(select {LOAD} (i32.const 1) (i32.const 0))", OUT_OF_BOUNDS),
    (f"(select (i32.const 1) {LOAD} (i32.const 1))", OUT_OF_BOUNDS),
    (f"(select {DIV} {LOAD} (i32.const 1))", ZERO),
    (f"(select {DIV} (i32.const 1) {LOAD})", ZERO),
    (f"(select (result i32) (i32.const 1) {LOAD} (i32.const 1))", OUT_OF_BOUNDS),
    (f"(memory.fill {LOAD} {DIV} (i32.const 0)) (i32.const 0)", OUT_OF_BOUNDS),
    (f"(drop (memory.grow {LOAD})) {DIV}", OUT_OF_BOUNDS),
    (f"(i32.trunc_f32_s (f32.const nan)) (drop {DIV})", TrapKind.BAD_CONVERSION),
    (f"{LOAD} (loop (br_if 0 {DIV}))", OUT_OF_BOUNDS),
])  # fmt: skip
def test_the_first_trap_is_the_one_that_happens(body, kind, build):
    more = "(table 1 funcref) (elem (i32.const 0) $one) (func $one (param i32) (result i32) unreachable)"
    more += "(func $both (param i32 i32) (result i32) unreachable)"
    assert trap_of(body, build, more=more) is kind


def test_a_store_before_a_trap_is_done(build):
    body = f"(i32.store (i32.const 8) (i32.const 77)) (global.set $g (i32.const 6)) (i32.add {LOAD} (i32.const 1))"
    i = instance(f'(memory (export "m") 1) (global $g (export "g") (mut i32) (i32.const 5))'
                 f'(func (export "f") (result i32) {body})', build)  # fmt: skip
    with pytest.raises(Trap):
        call(i, "f")
    assert i.exports["m"].data[8] == 77
    assert i.exports["g"].value == 6


@pytest.mark.parametrize("memory", ["(memory 1)", "(memory 1 1000)", "(memory 1 60000)"])
@pytest.mark.parametrize("at", [65533, 65536, 2**32 - 1])
@pytest.mark.parametrize("offset", [0, 1, 2**32 - 1])
def test_a_store_out_of_bounds_writes_nothing(memory, at, offset, build):
    i = instance(f'{memory} (export "m" (memory 0)) (func (export "f") (param i32)'
                 f"(i32.store offset={offset} (local.get 0) (i32.const -1)))", build)  # fmt: skip
    with pytest.raises(Trap) as caught:
        call(i, "f", at)
    assert caught.value.kind is OUT_OF_BOUNDS
    assert not any(i.exports["m"].data[:])


def test_memory_grows_under_bound_closures(build):
    body = """(drop (memory.grow (i32.const 1))) (local.set $z (i32.const 65532))
      (i32.store (local.get $z) (i32.const 4)) (i32.load (local.get $z))"""
    for memory in ("(memory 0)", "(memory 0 5)", "(memory 1 5)", "(memory 1 5000)"):
        assert f(body, build, memory=memory) == 4


# -- control


def test_values_pass_through_blocks(build):
    body = """(local.get $z) (i32.const 10)
      (block (param i32 i32) (result i32 i32)
        (br_if 0 (local.get $z))
        (drop) (drop) (i32.const 20) (i32.const 1))
      (i32.sub)"""
    assert f(body, build, 0) == 19
    assert f(body, build, 3) == (3 - 10) % 2**32


def test_loop_parameters_swap(build):
    # gcd: the parameters change places on every way back
    body = """(i32.const 84) (local.get $z)
      (loop $l (param i32 i32) (result i32)
        (local.set $b) (local.set $a)
        (local.get $b) (i32.rem_u (local.get $a) (local.get $b))
        (br_if $l (local.tee $r (i32.rem_u (local.get $a) (local.get $b))))
        (drop))"""
    assert (
        f(body, build, 36, signature="(param $z i32) (result i32) (local $a i32) (local $b i32) (local $r i32)") == 12
    )


def test_a_branch_moves_values_down_in_parallel(build):
    body = """(block (result i32 i32 i32)
        (i32.const 100) (i32.const 200)
        (local.get $z) (i32.add (local.get $z) (i32.const 1)) (i32.add (local.get $z) (i32.const 2))
        (br 0))
      (i32.mul) (i32.sub)"""
    assert f(body, build, 5) == (5 - 6 * 7) % 2**32


def test_if_without_else_gives_its_parameters(build):
    body = "(i32.const 8) (if (param i32) (result i32) (local.get $z) (then (i32.add (i32.const 1))))"
    assert [f(body, build, z) for z in (0, 1)] == [8, 9]


def test_if_is_left_by_branches_from_both_sides(build):
    body = """(if (result i32) (local.get $z)
        (then (drop (br_if 0 (i32.const 1) (i32.eq (local.get $z) (i32.const 2)))) (i32.const 3))
        (else (br 0 (i32.const 4))))"""
    assert [f(body, build, z) for z in (0, 1, 2)] == [4, 3, 1]


def test_br_table_chooses_or_falls_to_the_default(build):
    body = """(block $d (result i32) (block $b (result i32) (block $a (result i32)
        (br_table $a $b $a $d (i32.const 7) (local.get $z)))
        (i32.add (i32.const 100)) (return)) (i32.add (i32.const 200)) (return))"""
    expected = [107, 207, 107, 7, 7, 7]
    assert [f(body, build, z) for z in (0, 1, 2, 3, 4, 2**32 - 1)] == expected


def test_br_table_of_16000_targets(build):
    targets = " ".join("$a" if i % 2 else "$b" for i in range(16000))
    body = f"(block $b (block $a (br_table {targets} $a (local.get $z))) (return (i32.const 1))) (i32.const 2)"
    assert [f(body, build, z) for z in (0, 1, 15998, 15999, 16000)] == [2, 1, 2, 1, 1]


@pytest.mark.parametrize("body", [
    "(return (i32.const 3)) (i32.const 4) (drop) (block (br 0) (unreachable)) (loop (br 0)) (i32.const 5)",
    "(block (result i32) (br 0 (i32.const 3)) (if (result i32) (then (i32.const 1)) (else (i32.const 2))))",
    "(block (loop (br 1) (br 0) (drop)) (unreachable)) (i32.const 3)",
    "(if (result i32) (local.get $z) (then (unreachable)) (else (return (i32.const 3)) (block (loop))))",
    "(if (i32.eqz (local.get $z)) (then (br 1 (i32.const 3)) (if (then) (else (nop))))) (unreachable)",
    "(loop (result i32) (block (return (i32.const 3))) (br 0))",
])  # fmt: skip
def test_dead_code_is_skipped(body, build):
    assert f(body, build) == 3


def test_unreachable_places_trap_nowhere_else(build):
    assert trap_of("(unreachable)", build) is TrapKind.UNREACHABLE


def test_several_results(build):
    text = '(func (export "f") (param i32) (result i32 i64 f32) (local.get 0) (i64.const 2) (f32.const 3))'
    assert call(instance(text, build), "f", 1) == [1, 2, 3.0]
    assert call(instance('(func (export "f"))', build), "f") is None


def test_float_bits_survive_moves(build):
    text = """(memory 1) (func (export "f") (param f32 f64) (result i32 i64) (local $a f32) (local $b f64)
      (local.set $a (local.get 0)) (local.set $b (local.get 1))
      (f32.store (i32.const 0) (f32.neg (local.get $a))) (f64.store (i32.const 8) (f64.neg (local.get $b)))
      (i32.reinterpret_f32 (f32.load (i32.const 0))) (i64.load (i32.const 8)))"""
    from engine.values import f32_from_bits, f64_from_bits

    args = f32_from_bits(0x7FA00001), f64_from_bits(0x7FF4000000000001)
    assert call(instance(text, build), "f", *args) == [0xFFA00001, 0xFFF4000000000001]


# -- places


def test_a_trap_names_function_and_offset(build):
    text = """(module (memory 1) (table 1 funcref) (type $t (func))
      (func (export "load") (drop (i32.load (i32.const -1))))
      (func (export "store") (i64.store (i32.const -1) (i64.const 0)))
      (func (export "div") (local i32) (drop (i32.div_s (i32.const 1) (local.get 0))))
      (func (export "unreachable") (nop) (unreachable))
      (func (export "fill") (memory.fill (i32.const -1) (i32.const 0) (i32.const 9)))
      (func (export "indirect") (call_indirect (type $t) (i32.const 0)))
      (func (export "get") (drop (table.get 0 (i32.const 7)))))"""
    binary = wasm(text)
    i = instantiate(Store(Config(build=build)), decode(binary))
    first = {"load": 0x28, "store": 0x37, "div": 0x6D, "unreachable": 0x00, "fill": 0xFC, "indirect": 0x11, "get": 0x25}
    for x, (name, opcode) in enumerate(first.items()):
        with pytest.raises(Trap) as caught:
            call(i, name)
        assert caught.value.where.funcidx == x, name
        assert binary[caught.value.where.offset] == opcode, name


def test_blocks_are_the_same_whatever_came_first():
    text = """(func (export "f") (param i32) (result i32) (i32.const 5)
      (block (result i32) (i32.const 1) (br_table 0 0 1 0 (local.get 0)))
      (loop (if (i32.eq (local.get 0) (i32.const 1)) (then (local.set 0 (i32.const 7)) (br 1)) (else (nop))))
      (if (result i32) (local.get 0) (then (i32.const 4))
        (else (drop (br_if 1 (i32.const 3) (local.get 0))) (i32.const 2)))
      (i32.add) (i32.add))"""
    shapes = []
    for args in ((0, 1, 2), (2, 1, 0), (3,)):
        func = instance(text).exports["f"]
        for z in args:
            assert invoke(func.module.store, func, [z]) == [1 if z == 2 else 8 if z == 0 else 10]
        complete(func.lowered)
        blocks = sorted(func.lowered.blocks, key=lambda b: b.number)
        shapes.append([(b.number, b.cost, b.need, b.kind, b.offset, len(b.body)) for b in blocks])
    assert shapes[0] == shapes[1] == shapes[2]
    numbers = [shape[0] for shape in shapes[0]]
    assert len({*numbers}) == len(numbers)


def test_a_block_is_lowered_when_control_comes_to_it():
    func = instance("""(func (export "f") (param i32) (result i32)
      (if (result i32) (local.get 0) (then (i32.const 1)) (else (i32.const 2))))""").exports["f"]
    assert invoke(func.module.store, func, [1]) == [1]
    assert [b.kind == LAZY for b in func.lowered.blocks] == [False, False, True, False]
    assert invoke(func.module.store, func, [0]) == [2]
    assert not any(b.kind == LAZY for b in func.lowered.blocks)


def test_frames_made_before_a_block_was_known_are_large_enough():
    # the outermost frame waits in a call while the innermost makes the block that needs many slots
    gets = "(local.get $n) " * 40
    text = f"""(func $f (export "f") (param $n i32) (result i32) (local $s i32)
      (if (local.get $n) (then (local.set $s (call $f (i32.sub (local.get $n) (i32.const 1))))))
      (if (i32.lt_u (local.get $n) (i32.const 4)) (then
        {gets} (br_if 0 (i32.const 0)) (call $zero) {"i32.add " * 40} (local.set $s (i32.add (local.get $s)))))
      (local.get $s))
      (func $zero (result i32) (i32.const 0))"""
    assert call(instance(text), "f", 5) == 40 * (0 + 1 + 2 + 3)


@pytest.mark.parametrize("n", [TALL - 1, TALL, TALL + 1, 3 * TALL])
def test_ways_meet_below_a_tall_stack(n, build):
    consts = "(i32.const 1) " * n
    text = f"""(func (export "f") (param $z i32) (result i32) {consts}
      (block (result i32) (br_if 0 (i32.const 10) (local.get $z)) (i32.const 10) (i32.add))
      (if (param i32) (result i32) (local.get $z) (then (i32.const 100) (i32.add)) (else))
      {"i32.add " * n})"""
    assert [call(instance(text, build), "f", z) for z in (0, 1)] == [n + 20, n + 110]


def test_lowering_waits_for_the_first_call():
    i = instance('(func (export "f") (if (i32.const 0) (then (call $g)))) (func $g (export "g"))')
    assert i.exports["f"].lowered is None
    call(i, "f")
    assert i.exports["f"].lowered.entry is not None
    assert i.exports["g"].lowered is None


def test_instructions_without_offsets_run_too():
    row = TABLE.by_name
    functype = RecType((SubType(True, (), FuncType((I32,), (I32,))),))
    body = (In(row["local.get"], (0,)), In(row["i32.const"], (1,)), In(row["i32.add"]), In(row["end"]))
    module = Module(types=(functype,), funcs=(0,), codes=(Code((), body),), exports=(Export("f", "func", 0),))
    validate(module)
    assert run(module, "f", 4) == 5
    assert run(decode(encode(module)), "f", 4) == 5


# -- sizes


def module_of(names, params=(), results=(I32,), locals_=()):
    """A module of one function from instruction names, for bodies too large for an assembler."""
    functype = RecType((SubType(True, (), FuncType(params, results)),))
    body = tuple(In(TABLE.by_name[name], imms) for name, *imms in ((n if isinstance(n, tuple) else (n,)) for n in names)
                 for imms in [tuple(imms)])  # fmt: skip
    module = Module(types=(functype,), funcs=(0,), codes=(Code(locals_, body),), exports=(Export("f", "func", 0),))
    validate(module)
    return module


@pytest.mark.parametrize("opening", [("block", None), ("loop", None)])
def test_nesting_of_10000(opening):
    assert run(module_of([opening] * 10000 + ["end"] * 10000 + [("i32.const", 4), "end"]), "f") == 4


def test_branch_out_of_10000_blocks():
    names = [("block", None)] * 10000 + [("br", 9999)] + ["end"] * 10000 + [("i32.const", 4), "end"]
    assert run(module_of(names), "f") == 4


def test_ifs_nested_3000_deep():
    names = [("local.get", 0), ("if", None)] * 3000 + [("i32.const", 4), "return"]
    names += ["else", "nop", "end"] * 3000 + [("i32.const", 5), "end"]
    m = module_of(names, params=(I32,))
    assert [run(m, "f", z) for z in (1, 0)] == [4, 5]


@pytest.mark.parametrize("n", [MAX_NESTING - 1, MAX_NESTING, MAX_NESTING + 1, 5000])
def test_expressions_as_deep_as_one_likes(n):
    right = [("local.get", 0)] * (n + 1) + ["i32.add"] * n + ["end"]
    left = [("local.get", 0)] + [("local.get", 0), "i32.add"] * n + ["end"]
    assert run(module_of(right, params=(I32,)), "f", 3) == 3 * (n + 1)
    assert run(module_of(left, params=(I32,)), "f", 3) == 3 * (n + 1)


def test_thousands_of_locals():
    names = []
    for x in range(3000):
        names += [("local.get", max(x - 1, 0)), ("i32.const", 1), "i32.add", ("local.set", x)]
    assert run(module_of([*names, ("local.get", 2999), "end"], locals_=((3000, I32),)), "f") == 3000


def test_a_tall_stack_costs_no_more_per_instruction():
    # quadratic work would take minutes
    n = 30000
    names = [("local.get", 0)] * n + [("i32.const", 1), ("local.set", 0)] * n + ["i32.add"] * (n - 1) + ["end"]
    assert run(module_of(names, params=(I32,)), "f", 1) == n


def test_a_paused_activation_is_plain_data():
    func = instance('(func (export "f") (result i32) (i32.const 2))').exports["f"]
    activation = Activation(func.module.store, func, [])
    ((block, registers),) = activation.frames
    assert block.code.func is func
    assert registers == [None] * len(registers)
    assert activation.run() == [2]


@pytest.mark.parametrize("n", [7, 8, 9, 40])
def test_branches_carry_many_values(n, build):
    types = " ".join(["i32"] * n)
    values = " ".join(f"(i32.add (local.get $z) (i32.const {x}))" for x in range(n))
    for branch in ("br 0", "br_if 0 (local.get $z)", "br_table 0 0 (local.get $z)", "return"):
        text = f"""(func (export "f") (param $z i32) (result {types})
          (block (result {types}) (i32.const 77) {values} ({branch}) (return)))"""
        assert call(instance(text, build), "f", 5) == [5 + x for x in range(n)]


def test_many_branches_of_many_values_take_little_memory():
    import tracemalloc

    n, m = 1000, 1000
    names = [("block", 1), ("i32.const", 0), *[("local.get", 0)] * n, *[("local.get", 0), ("br_if", 0)] * m]
    functype = RecType((SubType(True, (), FuncType((I32,), (I32,))),))
    blocktype = RecType((SubType(True, (), FuncType((), (I32,) * n)),))
    names += [("br", 0), "end", *["drop"] * (n - 1), "end"]
    body = tuple(In(TABLE.by_name[name], tuple(imms))
                 for name, *imms in ((x if isinstance(x, tuple) else (x,)) for x in names))  # fmt: skip
    module = Module(types=(functype, blocktype), funcs=(0,), codes=(Code((), body),), exports=(Export("f", "func", 0),))
    validate(module)
    i = instantiate(Store(), module)
    tracemalloc.start()
    assert call(i, "f", 1) == 1
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()
