"""Printed text assembles, with another project's assembler, to the module that was printed."""

from __future__ import annotations

import dataclasses

import pytest
import wasmtime

from engine import UnsupportedError, decode, encode
from engine.features import EXECUTED, WASM_3
from engine.instructions import TABLE
from engine.module import Code, Custom, Data, In, Module, Passive
from engine.text.printer import print_expr, print_instr, print_module, print_string
from engine.types import I32, I64, FuncType, Limits, MemType, RecType, SubType
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from tests.support.wasm import wasm

FUNCTION = RecType((SubType(True, (), FuncType((), ())),))


def plain(m: Module) -> bytes:
    """Return the canonical bytes, with runs of locals joined and without a data count that nothing needs."""
    codes = []
    for code in m.codes:
        runs: list = []
        for n, t in code.locals:
            if n and runs and runs[-1][1] is t:
                runs[-1] = (runs[-1][0] + n, t)
            elif n:
                runs.append((n, t))
        codes.append(dataclasses.replace(code, locals=tuple(runs)))
    return encode(dataclasses.replace(m, codes=tuple(codes), data_count=None))


def survives(m: Module, features=EXECUTED) -> None:
    text = print_module(m)
    assert text.isascii()
    assert plain(decode(bytes(wasmtime.wat2wasm(text)), features)) == plain(m)


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("seed", range(5))
def test_generated_modules_survive(preset, seed):
    survives(generate(Source.fresh("print", seed), PRESETS[preset]).module)


MODULES = {
    "empty": "",
    "names": r"""(import "a" "\c3\a9\"\\\00\e2\80\ae" (func (param i32 f64) (result i32 i64)))""",
    "imports": """(import "m" "t" (table i64 1 5 funcref)) (import "m" "m" (memory 1 2))
        (import "m" "g" (global (mut f32))) (import "m" "t" (tag (param i32)))""",
    "tags": '(tag (param f64)) (export "t" (tag 0))',
    "memories": "(memory 1) (memory i64 2 3) (memory 1 1 shared)",
    "tables": "(table 1 2 externref) (table 3 (ref func) (ref.func 0)) (func)",
    "globals": """(global (mut i32) (i32.const 5)) (global funcref (ref.func 0)) (func)
        (global i64 (i64.add (i64.const 1) (i64.const 2)))""",
    "exports": '(func) (export "" (func 0)) (export "a b" (func 0)) (start 0)',
    "types": """(rec (type (sub (struct (field (mut i8)) (field i64))))
             (type (sub final 0 (struct (field (mut i8)) (field i64) (field (ref null 1))))))
        (type (array (mut (ref extern)))) (type (sub 0 (struct (field (mut i8)) (field i64))))""",
    "elements": """(table 1 funcref) (table 1 externref) (func) (global funcref (ref.null func))
        (elem (i32.const 0) func 0 0) (elem func) (elem declare func 0) (elem declare externref)
        (elem (table 1) (offset (i32.const 0)) externref (ref.null extern)) (elem funcref (ref.null func) (ref.func 0))
        (elem (table 0) (i32.const 0) funcref (item (global.get 0)))""",
    "data": r"""(memory 1) (data (i32.const 1) "\00\ff\n\"abc") (data "")
        (data (offset (i32.add (i32.const 1) (i32.const 2))) "x")""",
    "control": """(func (param i32) (result i32) (local i64 i64 f32)
        block (result i32) i32.const 1 if nop else loop br 1 end end
        i32.const 2 i32.const 2 br_if 0 i32.const 3 br_table 0 1 0 end)""",
    "block types": """(type (func (param i32) (result i32 i32)))
        (func i32.const 0 block (type 0) i32.const 0 end drop drop)""",
    "calls": """(table 0 funcref) (table 0 funcref)
        (func i32.const 0 call_indirect 1 (type 0) i32.const 0 call_indirect (type 0) call 0)""",
    "memory accesses": """(memory 1) (func i32.const 0 i64.load32_u offset=123456789 align=1 drop
        i32.const 0 i32.const 1 i32.store8 offset=4294967295 memory.size drop i32.const 0 memory.grow drop)""",
    "bulk": """(memory 1) (data "") (table 1 funcref) (table 1 funcref) (elem funcref) (func
        i32.const 0 i32.const 0 i32.const 0 memory.init 0 i32.const 0 i32.const 0 i32.const 0 memory.copy
        i32.const 0 i32.const 0 i32.const 0 memory.fill i32.const 0 i32.const 0 i32.const 0 table.init 1 0
        i32.const 0 i32.const 0 i32.const 0 table.copy 1 0 data.drop 0 elem.drop 0)""",
    "references": """(func ref.null extern drop ref.null func ref.is_null drop
        ref.null func ref.null func i32.const 0 select (result funcref) drop
        i32.const 1 i32.const 2 i32.const 3 select drop)""",
    "constants": """(func f32.const nan:0x1 f32.const -nan f32.const -inf f64.const nan:0x4000000000001
        f64.const -0x1p-1074 f64.const 1e308 f32.const -0.0 f32.const 0x1.fffffep127
        i32.const -2147483648 i64.const -9223372036854775808 unreachable)""",
}


@pytest.mark.parametrize("text", MODULES.values(), ids=MODULES.keys())
def test_modules_survive(text):
    survives(decode(wasm(f"(module {text})"), WASM_3), WASM_3)


@pytest.mark.parametrize(
    "row", [row for row in TABLE if not row.imms and row.control is None], ids=lambda row: row.name
)
def test_instructions_without_immediates_survive(row):
    survives(Module(types=(FUNCTION,), funcs=(0,), codes=(Code((), (In(row), In(TABLE.by_name["end"]))),)))


def test_custom_sections_survive():
    m = Module(types=(FUNCTION,), customs=(Custom("a\n", b"\0\xff", 0), Custom("name", b"x", 1), Custom("b", b"", 1)))
    assert decode(bytes(wasmtime.wat2wasm(print_module(m)))).customs == m.customs


def test_text_of_a_module():
    m = decode(
        wasm("""(memory 1) (func (export "f") (param i32) (result i32)
        block local.get 0 if br 1 else nop end end i32.const 7)""")
    )
    assert (
        print_module(m)
        == """\
(module
  (type (;0;) (func (param i32) (result i32)))
  (func (;0;) (type 0)
    block
      local.get 0
      if
        br 1
      else
        nop
      end
    end
    i32.const 7
  )
  (memory (;0;) 1)
  (export "f" (func 0))
)
"""
    )


def test_single_instructions_and_expressions():
    row = TABLE.by_name
    assert print_instr(In(row["i32.const"], (2**32 - 1,))) == "i32.const -1"
    assert print_instr(In(row["select t"], ((I32,),))) == "select (result i32)"
    assert print_expr((In(row["i32.const"], (1,)), In(row["i32.const"], (2,)), In(row["i32.add"]), In(row["end"]))) == (
        "i32.const 1 i32.const 2 i32.add"
    )


def test_strings_are_ascii():
    assert print_string('a"\\é\n') == r'"a\22\5c\c3\a9\0a"'
    assert print_string(b"\xff") == r'"\ff"'


def test_indentation_is_bounded():
    body = [In(TABLE.by_name["block"], (None,))] * 20_000 + [In(TABLE.by_name["end"])] * 20_001
    text = print_module(Module(types=(FUNCTION,), funcs=(0,), codes=(Code((), tuple(body)),)))
    assert len(text) < 45 * 40_000


def test_locals_without_end_are_refused():
    code = Code(((2**32 - 1, I64),), (In(TABLE.by_name["end"]),))
    with pytest.raises(UnsupportedError, match="locals"):
        print_module(Module(types=(FUNCTION,), funcs=(0,), codes=(code,)))


def test_page_sizes_are_printed():
    text = print_module(Module(mems=(MemType(Limits(1, 2), page_bits=0),), datas=(Data(b"", Passive()),)))
    assert "(memory (;0;) 1 2 (pagesize 1))" in text
