"""The cursor over frames: where they stand, locals and operands before the current instruction, activations."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest

from engine import Store, Trap, UncaughtException, decode, instantiate, invoke, parse, validate
from engine.debug import CursorError, operands
from engine.execution.build import DEFAULT, Build, build_of
from engine.features import EXECUTED
from engine.runtime.heap import StructInst
from engine.runtime.store import Config
from engine.types import F32, F64, I32, I64, V128, FuncType, RefType
from tests.support.wasm import wasm, wat

PC_MODES = ("call", "return")
HOST = '(import "" "host" (func $host))'


class Watched:
    """An instance whose imported function shows ``look`` what the store's cursor sees."""

    def __init__(self, module, look, params=(), results=()):
        self.store = Store(Config(guest_debug=True))
        self.seen = []

        def host(caller, args):
            self.seen.append(look(caller.store.debug_frames()))
            return results

        types = {int: I32}
        functype = FuncType(tuple(params), tuple(types[type(v)] for v in results))
        module = wat(module) if isinstance(module, str) else module
        imports = [self.store.alloc_host_func(functype, host)] if module.imports else []
        self.instance = instantiate(self.store, module, imports)

    def call(self, name="main", *args):
        return invoke(self.store, self.instance.exports[name], args)


def values(cursor):
    """Return locals and operands of the frame."""
    return (
        [cursor.local(i).value for i in range(cursor.num_locals())],
        [cursor.stack(i).value for i in range(cursor.num_stacks())],
    )


def walk(cursor):
    """Return place, locals and operands of every frame."""
    out = []
    while not cursor.done():
        out.append((cursor.function_index_and_pc(), *values(cursor)))
        cursor.move_to_parent()
    return out


TWO_FRAMES = """(module (import "" "host" (func))
  (func (export "main") i32.const 1 i32.const 2 call 2 drop)
  (func (param i32 i32) (result i32) local.get 0 local.get 1 call 0 i32.add))"""


def test_two_frames_with_locals_and_operands():
    watched = Watched(TWO_FRAMES, walk)
    watched.call()
    assert watched.seen == [[((1, 65), [1, 2], [1, 2]), ((0, 55), [], [1, 2])]]


def test_frames_that_wait_may_be_shown_at_the_instruction_after_the_call():
    seen = []

    def host(caller, args):
        seen.extend(place for place, *_ in walk(caller.store.debug_frames(pc_mode="return")))
        return ()

    store = Store(Config(guest_debug=True))
    instance = instantiate(store, wat(TWO_FRAMES), [store.alloc_host_func(FuncType((), ()), host)])
    invoke(store, instance.exports["main"], ())
    assert seen == [(1, 67), (0, 57)]
    with pytest.raises(ValueError, match="pc_mode"):
        store.debug_frames(pc_mode="next")


def test_a_trap_is_where_it_is_in_both_modes():
    places = []
    store = Store(Config(guest_debug=True))
    text = '(func (export "main") (result i32) (i32.div_u (i32.const 7) (i32.const 0)))'
    instance = instantiate(store, wat(text))
    for mode in ("call", "return"):
        store.set_debug_handler(lambda store, event, mode=mode: places.append(walk(store.debug_frames(mode))))
        with pytest.raises(Trap) as caught:
            invoke(store, instance.exports["main"], ())
    assert places == [[((0, caught.value.where.offset), [], [7, 0])]] * 2


def test_a_throw_and_a_step_are_where_they_are_in_both_modes():
    store = Store(Config(guest_debug=True))
    text = """(tag $t) (func $f (throw $t)) (func (export "main") (try_table (catch_all 0) (call $f)))"""
    instance = instantiate(store, wat(text))
    store.debugger.single_step = True
    told = []
    store.set_debug_handler(
        lambda store, event: told.append([[place for place, *_ in walk(store.debug_frames(m))] for m in PC_MODES])
    )
    invoke(store, instance.exports["main"], ())
    f, main = (instance.funcs[x].code.body for x in (0, 1))
    throw, waits, after = (0, f[0].offset), (1, main[1].offset), (1, main[2].offset)
    steps = [[[(1, ins.offset)]] * 2 for ins in main[:2]]
    assert told[:-1] == [*steps, *[[[throw, waits], [throw, after]]] * 2]
    assert told[-1] == [[(1, main[-1].offset)]] * 2


def test_an_exception_of_the_host_comes_out_of_a_frame_that_waits():
    store = Store(Config(guest_debug=True))

    def throws(caller, args):
        raise UncaughtException(instance.tags[0], ())

    text = f"""(module {HOST} (tag $t) (func (export "main") (try_table (catch_all 0) (call $host))))"""
    instance = instantiate(store, wat(text), [store.alloc_host_func(FuncType((), ()), throws)])
    told = []
    store.set_debug_handler(lambda store, event: told.append([walk(store.debug_frames(m))[0][0] for m in PC_MODES]))
    invoke(store, instance.exports["main"], ())
    body = instance.exports["main"].code.body
    assert told == [[(0, body[1].offset), (0, body[2].offset)]]


def test_what_a_handler_of_an_exception_left_on_the_stack():
    text = f"""(module {HOST} (tag $t (param i32))
      (func (export "main")
        (block $b (result i32) (try_table (catch $t $b) (throw $t (i32.const 42))) (i32.const 0))
        (call $host) (drop)))"""
    watched = Watched(text, values)
    watched.call()
    assert watched.seen == [([], [42])]


def test_a_reference_that_nothing_uses_any_more_is_seen_and_kept():
    text = f"""(module {HOST} (type $s (struct (field i32)))
      (func (export "main") (struct.new $s (i32.const 5)) (call $host) (drop)))"""

    def look(cursor):
        gc.collect()
        assert cursor.num_stacks() == 1
        return cursor.stack(0)

    watched = Watched(text, look)
    watched.call()
    ((t, v),) = watched.seen
    assert isinstance(t, RefType)
    assert isinstance(v, StructInst)
    assert v.fields == [5]


def test_only_the_current_activation_is_seen():
    text = f"""(module {HOST} (global $n (mut i32) (i32.const 0))
      (func (export "main") (param i32) (drop (i32.const 11)) (i32.const 1) (call $host) (drop))
      (func (export "inner") (param i64) (i64.const 3) (call $host) (drop)))"""
    store = Store(Config(guest_debug=True))
    seen = []

    def host(caller, args):
        seen.append(walk(store.debug_frames()))
        if len(seen) == 1:
            invoke(store, instance.exports["inner"], (9,))
            seen.append(walk(store.debug_frames()))
        return ()

    instance = instantiate(store, wat(text), [store.alloc_host_func(FuncType((), ()), host)])
    invoke(store, instance.exports["main"], (8,))
    before, inner, after = seen
    assert before == after
    assert [frame[1:] for frame in before] == [([8], [1])]
    assert [frame[1:] for frame in inner] == [([9], [3])]


def test_beyond_the_last_frame_everything_is_an_error_but_done():
    def look(cursor):
        cursor.move_to_parent()
        assert cursor.done()
        accessors = [
            cursor.function_index_and_pc, cursor.instance, cursor.module, cursor.num_locals, cursor.num_stacks,
            cursor.move_to_parent, cursor.function, cursor.instruction, cursor.instruction_index,
            lambda: cursor.local(0), lambda: cursor.stack(0), lambda: cursor.mark, lambda: cursor.is_frame_of(None),
        ]  # fmt: skip
        for accessor in accessors:
            with pytest.raises(CursorError, match="beyond"):
                accessor()
        return True

    watched = Watched(f'(module {HOST} (func (export "main") (call $host)))', look)
    watched.call()
    assert watched.seen == [True]


def test_a_cursor_is_of_no_use_once_the_store_goes_on():
    watched = Watched(f'(module {HOST} (func (export "main") (call $host) (call $host)))', lambda cursor: cursor)
    watched.call()
    for cursor in watched.seen:
        for accessor in (cursor.done, cursor.num_locals, cursor.move_to_parent):
            with pytest.raises(CursorError, match="went on"):
                accessor()


def test_the_store_may_be_changed_while_a_cursor_stands_as_long_as_nothing_runs():
    def look(cursor):
        store = cursor.store
        before = walk(store.debug_frames())
        instance = store.instances[0]
        instance.globals[0].value = 77
        instance.mems[0].data[0] = 5
        assert instance.mems[0].grow(1) == 1
        instance.tables[0].set(0, instance.funcs[1])
        instantiate(store, wat("(memory 1) (func)"))
        store.debugger.set_breakpoint(instance, 0, cursor.instruction().offset)
        store.set_fuel(1_000)
        gc.collect()
        assert (cursor.function_index_and_pc(), *values(cursor)) == before[0]
        assert not cursor.done()
        return before

    text = f"""(module {HOST} (memory 1) (table 1 funcref) (global (mut i32) (i32.const 0))
      (func (export "main") (result i32 i32 i32 i32) (local i64)
        (i32.const 3) (call $host)
        (global.get 0) (i32.load8_u (i32.const 0)) (memory.size)))"""
    watched = Watched(text, look)
    assert watched.call() == [3, 77, 5, 2]
    assert [frame[1:] for frame in watched.seen[0]] == [([0], [3])]


def test_a_cursor_is_of_no_use_after_a_call_in_between():
    store = Store(Config(guest_debug=True))

    def host(caller, args):
        cursor = store.debug_frames()
        assert cursor.num_locals() == 0
        invoke(store, instance.exports["other"], ())
        with pytest.raises(CursorError, match="went on"):
            cursor.num_locals()
        return ()

    text = f'(module {HOST} (func (export "main") (call $host)) (func (export "other")))'
    instance = instantiate(store, wat(text), [store.alloc_host_func(FuncType((), ()), host)])
    invoke(store, instance.exports["main"], ())


def test_without_guest_debug_there_are_no_frames_and_no_handler():
    store = Store()
    assert store.debug_frames() is None
    with pytest.raises(ValueError, match="guest_debug"):
        store.set_debug_handler(print)


def test_outside_of_any_activation_a_cursor_is_done():
    assert Store(Config(guest_debug=True)).debug_frames().done()


def test_there_are_no_locals_and_operands_but_those_there_are():
    def look(cursor):
        for accessor, i in ((cursor.local, 2), (cursor.local, -1), (cursor.stack, 1), (cursor.stack, -1)):
            with pytest.raises(IndexError):
                accessor(i)
        return cursor.num_locals(), cursor.num_stacks()

    text = f'(module {HOST} (func (export "main") (param i32) (local i64) (i32.const 0) (call $host) (drop)))'
    watched = Watched(text, look)
    watched.call("main", 1)
    assert watched.seen == [(2, 1)]


def test_values_have_the_types_of_their_places_and_all_their_bits():
    text = f"""(module {HOST} (func $f (export "main") (param i64 f32) (local v128 f64 funcref)
      (local.set 2 (v128.const i32x4 1 2 3 4))
      (f32.const nan:0x200001) (f64.const -nan:0x4000000000001) (i32.const -1) (v128.const i64x2 5 -1) (ref.func $f)
      (call $host) (drop) (drop) (drop) (drop) (drop)))"""

    def look(cursor):
        return [cursor.local(i) for i in range(cursor.num_locals())], [
            cursor.stack(i) for i in range(cursor.num_stacks())
        ]

    watched = Watched(text, look)
    watched.call("main", 2**64 - 1, 1.5)
    ((locals_, stack),) = watched.seen
    assert [(v.type, v.bits) for v in locals_[:4]] == [
        (I64, 2**64 - 1), (F32, 0x3FC00000), (V128, 4 << 96 | 3 << 64 | 2 << 32 | 1), (F64, 0),
    ]  # fmt: skip
    assert locals_[4].value is None
    assert [(v.type, v.bits) for v in stack[:4]] == [
        (F32, 0x7FA00001), (F64, 0xFFF4000000000001), (I32, 2**32 - 1), (V128, (2**64 - 1) << 64 | 5),
    ]  # fmt: skip
    assert stack[4].value is watched.instance.exports["main"]
    with pytest.raises(TypeError, match="has no bits"):
        _ = stack[4].bits


def test_references_of_every_hierarchy_are_seen_as_what_they_are():
    text = f"""(module {HOST} (tag $t (param i32)) (type $s (struct (field i32))) (type $a (array i8))
      (func $f (export "main") (param externref) (local anyref exnref)
        (local.set 1 (ref.i31 (i32.const 9)))
        (local.set 2 (block $b (result exnref) (try_table (catch_all_ref $b) (throw $t (i32.const 4))) unreachable))
        (local.get 0) (struct.new $s (i32.const 5)) (array.new_fixed $a 2 (i32.const 6) (i32.const 7))
        (any.convert_extern (local.get 0)) (ref.null $s) (ref.func $f) (local.get 2)
        (call $host) drop drop drop drop drop drop drop))"""

    def look(cursor):
        return ([cursor.local(i) for i in range(cursor.num_locals())],
                [cursor.stack(i) for i in range(cursor.num_stacks())])  # fmt: skip

    watched = Watched(text, look)
    extern = watched.store.alloc_extern("a value of the host")
    watched.call("main", extern)
    ((locals_, stack),) = watched.seen
    assert [str(v.type) for v in locals_] == ["externref", "anyref", "exnref"]
    assert locals_[0].value is extern
    assert locals_[1].value == 9
    assert locals_[2].value.values == (4,)
    host, struct, array, any_, null, func, exn = (v.value for v in stack)
    assert (host, struct.fields, list(array.elems)) == (extern, [5], [6, 7])
    assert any_ is extern
    assert null is None
    assert (func, exn) == (watched.instance.exports["main"], locals_[2].value)
    assert all(isinstance(v.type, RefType) for v in stack)


def test_instance_and_module_are_those_of_the_frame():
    watched = Watched(TWO_FRAMES, lambda c: (c.instance(), c.module(), c.function().funcidx, c.instruction().row.name))
    watched.call()
    assert watched.seen == [(watched.instance, watched.instance.module, 2, "call")]


@pytest.mark.parametrize(
    "tail",
    ["return_call $g (A)", "return_call_indirect (type $v) (A) (i32.const 0)", "return_call_ref $v (A) (ref.func $g)"],
)
def test_a_tail_call_replaces_its_frame(tail):
    text = f"""(module {HOST} (type $v (func (param i32))) (table 1 funcref) (elem (i32.const 0) $g)
      (func (export "main") (param i32) (call $f (local.get 0)))
      (func $f (param i32) ({tail.replace("A", "i32.add (local.get 0) (i32.const 1)")}))
      (func $g (param i32) (i64.const 7) (call $host) (drop)))"""
    watched = Watched(text, walk)
    watched.call("main", 5)
    ((g, main),) = watched.seen
    assert (g[0][0], *g[1:]) == (2, [6], [7])
    assert (main[0][0], *main[1:]) == (0, [5], [5])


def test_a_tail_call_of_the_host_leaves_its_callers():
    text = f"""(module {HOST} (func (export "main") (i32.const 3) (call $f) (drop)) (func $f (return_call $host)))"""
    watched = Watched(text, walk)
    watched.call()
    ((main,),) = watched.seen
    assert (main[0][0], *main[1:]) == (0, [], [3])


def test_a_tail_call_of_the_host_by_the_outermost_frame_leaves_none():
    watched = Watched(f'(module {HOST} (func (export "main") (return_call $host)))', walk)
    watched.call()
    assert watched.seen == [[]]


def test_arguments_are_on_the_stack_while_a_reference_is_called():
    text = f"""(module {HOST} (type $t (func (param i32) (result i32))) (table 1 funcref) (elem (i32.const 0) $f)
      (func $f (type $t) (call $host) (local.get 0))
      (func (export "main") (result i32)
        (i32.const 4) (call_indirect (type $t) (i32.const 6) (i32.const 0)) i32.add))"""
    watched = Watched(text, walk)
    assert watched.call() == [10]
    assert [frame[1:] for frame in watched.seen[0]] == [([6], []), ([], [4, 6, 0])]


def test_the_exception_of_a_legacy_clause_is_no_operand():
    text = f"""(module {HOST} (tag $t (param i32)) (tag $u)
      (func (export "main") (result i32)
        i32.const 1
        try (result i32)
          i32.const 2
          i32.const 3
          throw $t
        catch $t
          i32.const 4
          call $host
          try (result i32)
            throw $u
          catch $u
            i32.const 5
            i32.const 6
            call $host
            i32.add
          end
          i32.add
          i32.add
        end
        i32.add))"""
    module = parse(text.encode(), EXECUTED)
    validate(module, EXECUTED)
    watched = Watched(module, values)
    assert watched.call() == [19]
    assert watched.seen == [([], [1, 3, 4]), ([], [1, 3, 4, 5, 6])]


def test_operands_of_a_loop_with_parameters_and_of_many_values():
    text = f"""(module {HOST} (func $two (result i32 i64) (i32.const 8) (i64.const 9))
      (func (export "main") (param i32)
        (i32.const 1) (call $two)
        (loop (param i32 i64) (result i32 i64)
          (call $host)
          (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        drop drop drop))"""
    watched = Watched(text, values)
    watched.call("main", 2)
    assert watched.seen == [([2], [1, 8, 9]), ([1], [1, 8, 9])]


@pytest.mark.parametrize("room", [1, 40, 1 << 20])
def test_types_that_are_not_remembered_are_found_again(monkeypatch, room):
    monkeypatch.setattr(operands, "MAX_REMEMBERED", room)
    pushes = "".join(f"(i32.const {n})" for n in range(30))
    text = f"""(module {HOST}
      (func (export "main") {pushes} (call $f (i32.const 5)) (call $f (i32.const 6)) {"(drop)" * 30})
      (func $f (param i32) (i64.const 1) (call $host) (drop)))"""
    watched = Watched(text, walk)
    watched.call()
    assert [[frame[1:] for frame in frames] for frames in watched.seen] == [
        [([n], [1]), ([], [*range(30), n])] for n in (5, 6)
    ]


def test_tall_stacks_take_memory_in_proportion_to_the_body():
    n = 20_000
    body = b"\x00" + b"\x41\x00" * n + b"\x1a" * n + b"\x10\x00\x0b"
    size = len(body)
    leb = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14])
    section = b"\x01" + leb + body
    inner = len(section)
    head = wasm(f'(module {HOST} (func (export "main")))')
    head = head[: head.index(b"\x0a\x04\x01\x02\x00\x0b")]
    module = decode(head + b"\x0a" + bytes([inner & 127 | 128, inner >> 7 & 127 | 128, inner >> 14]) + section)
    validate(module)
    watched = Watched(module, walk)
    watched.call()
    assert [frame[1:] for frame in watched.seen[0]] == [([], [])]
    lowering = watched.instance.exports["main"].lowered
    assert len(lowering.blocks) <= 2 * n + 5
    assert watched.store.debugger.operands.before(watched.instance.exports["main"], n).types == (I32,) * n


def test_a_store_with_a_debugger_has_the_build_of_steps_whatever_its_build():
    assert build_of(Config()) is DEFAULT
    for build in (None, Build(inline=False)):
        found = build_of(Config(build=build, guest_debug=True))
        assert found.steps
        assert not found.fold
        assert found.inline is (build is None)
        assert build_of(Config(build=build, guest_debug=True)) is found
    assert build_of(replace(Config(), build=found, guest_debug=False)).steps is False
