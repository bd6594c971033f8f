import json
from pathlib import Path

import pytest

from engine.errors import EngineBug, InvalidError
from engine.features import EXECUTED, EXTENDED_CONST, MVP, REFERENCE_TYPES, SIMD
from engine.instructions import ROW_MODULES, TABLE, InstructionTable
from engine.instructions.immediates import MemArg
from engine.instructions.model import Control, Effect, Instr
from engine.types import (
    FUNC,
    FUNCREF,
    I32,
    I64,
    AbsHeapType,
    Arrow,
    FuncType,
    GlobalType,
    Limits,
    MemType,
    RefType,
    TableType,
    TagType,
    func_deftype,
    ref,
)
from engine.validation.context import Context

GOLDEN = Path(__file__).parents[1] / "golden"
PROPOSALS = json.loads((GOLDEN / "proposals.json").read_text())  # written by hand from the documents that it names
INDEX = json.loads((GOLDEN / "opcodes.json").read_text())  # written by hand from the index of the specification
INDEX += [row for proposal in PROPOSALS for row in proposal["rows"]]
RUNNING = (Control.BR_ON_NULL, Control.BR_ON_NON_NULL, Control.BR_ON_CAST, Control.BR_ON_CAST_BY, Control.THROW)
ONE_OF_EACH = {
    "localidx": 0, "globalidx": 0, "tableidx": 0, "memidx": 0, "elemidx": 0, "dataidx": 0, "memarg": MemArg(0, 0),
    "heaptype": FUNC, "valtypes": (I32,), "i32": 0, "i64": 0, "f32": 0, "f64": 0,
    "v128": 0, "laneidx": 0, "lanes": bytes(16), "zero": 0, "tagidx": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def context():
    """One of everything: an i32 local, a mutable i32 global, a table of functions, a memory, segments, a tag of i64."""
    c = Context()
    c.types = [func_deftype(FuncType((), ()))]
    c.funcs = [c.types[0]]
    c.tables = [TableType(FUNCREF, Limits(0))]
    c.mems = [MemType(Limits(0))]
    c.globals = [GlobalType(True, I32)]
    c.elems = [FUNCREF]
    c.datas = 1
    c.tags = [TagType(func_deftype(FuncType((I64,), ())))]
    c.locals = [I32]
    return c


def text(arrow: Arrow) -> str:
    pushes = "..." if arrow.polymorphic else " ".join(map(str, arrow.pushes))
    return f"{' '.join(map(str, arrow.pops))} -> {pushes}".strip()


def opcode(row: Instr) -> str:
    return f"{row.opcode:02X}" if isinstance(row.opcode, int) else ":".join(f"{b:02X}" for b in row.opcode)


def arrow(row: Instr, c: Context) -> Arrow:
    """Return the type for one of each immediate, at the first alignment that the row admits."""
    imms = [ONE_OF_EACH[kind.name] for kind in row.imms]
    for align in range(3):
        try:
            return row.arrow(c, tuple(imms))
        except InvalidError:
            imms = [imm._replace(align=align + 1) if isinstance(imm, MemArg) else imm for imm in imms]
    return row.arrow(c, tuple(imms))


@pytest.mark.parametrize(("name", "code", "type_"), INDEX, ids=[name for name, *_ in INDEX])
def test_row_agrees_with_the_index_of_instructions(context, name, code, type_):
    row = TABLE.by_name[name]
    assert opcode(row) == code
    assert TABLE.by_opcode[row.opcode] is row
    if type_ is not None:
        assert text(arrow(row, context)) == type_


def test_no_executed_row_is_missing_in_the_index():
    assert {row.name for row in TABLE if row.feature in EXECUTED} == {name for name, *_ in INDEX}


@pytest.mark.parametrize("proposal", PROPOSALS, ids=lambda proposal: str(proposal["feature"]))
def test_rows_of_a_proposal_need_its_feature_and_nothing_else_does(proposal):
    assert {row.name for row in TABLE if row.feature.name == proposal["feature"]} == {
        name for name, *_ in proposal["rows"]
    }


def test_iteration_is_in_opcode_order():
    order = [row.opcode if isinstance(row.opcode, tuple) else (row.opcode,) for row in TABLE]
    assert order == sorted(order)
    assert len(TABLE) == len(order) == len(set(order))


def test_each_file_of_rows_is_in_opcode_order():
    for module in ROW_MODULES:
        order = [row.opcode if isinstance(row.opcode, tuple) else (row.opcode,) for row in module.ROWS]
        assert order == sorted(order), module.__name__


def test_rows_say_how_they_run():
    for row in TABLE:
        assert (row.effect is Effect.CONTROL) == (row.control is not None), row
        assert (row.run is None) == (row.effect is Effect.CONTROL and row.control not in RUNNING), row
        assert row.family, row
        assert row.spec.startswith("exec-"), row


def test_const_rows_are_those_of_the_specification():
    const = {row.name: row.const for row in TABLE if row.const is not None}
    extended = {f"i{n}.{op}" for n in (32, 64) for op in ("add", "sub", "mul")}
    basic = {"i32.const", "i64.const", "f32.const", "f64.const", "global.get", "end"}
    assert {name for name, feature in const.items() if feature is EXTENDED_CONST} == extended
    assert {name for name, feature in const.items() if feature is MVP} == basic
    assert {name for name, feature in const.items() if feature is SIMD} == {"v128.const"}
    assert {name for name, feature in const.items() if feature is REFERENCE_TYPES} == {"ref.null", "ref.func"}


def test_keyword_is_the_word_of_the_text_format():
    assert TABLE.by_name["select t"].keyword == TABLE.by_name["select"].keyword == "select"
    assert TABLE.by_name["i32.add"].keyword == "i32.add"


def test_replace_changes_one_row_and_shares_the_others():
    changed = TABLE.replace("i32.add", fuel=7)
    assert changed.by_name["i32.add"].fuel == changed.by_opcode[0x6A].fuel == 7
    assert TABLE.by_name["i32.add"].fuel == 1
    assert [row.name for row, old in zip(changed, TABLE, strict=True) if row is not old] == ["i32.add"]


def test_replace_of_no_row_is_an_error():
    with pytest.raises(KeyError):
        TABLE.replace("i32.bad", fuel=7)


def test_with_rows_adds_and_replaces():
    new = Instr(name="i32.avg", opcode=(0xFB, 99), type=Arrow((I32, I32), (I32,)), effect=Effect.PURE, run=max)
    nop = Instr(name="nop", opcode=0x01, type=Arrow((), ()), effect=Effect.CONTROL, control=Control.NOP, fuel=3)
    table = TABLE.with_rows([new, nop])
    assert table.by_opcode[0xFB, 99] is new
    assert table.by_opcode[0x01] is nop
    assert len(table) == len(TABLE) + 1


@pytest.mark.parametrize("again", [{"name": "i32.plus"}, {"opcode": 0x06}])
def test_a_row_that_stands_twice_is_our_fault(again):
    row = TABLE.by_name["i32.add"]
    twin = Instr(
        **{"name": row.name, "opcode": row.opcode, "type": row.type, "effect": row.effect, "run": row.run} | again
    )
    with pytest.raises(EngineBug, match=r"i32.add|106"):
        InstructionTable([*TABLE, twin])


@pytest.mark.parametrize(("ts", "pops"), [((I64,), (I64, I64, I32)), ((FUNCREF,), (FUNCREF, FUNCREF, I32))])
def test_select_with_a_type_has_that_type(context, ts, pops):
    assert TABLE.by_name["select t"].arrow(context, (ts,)) == Arrow(pops, ts)


def test_select_with_a_concrete_type_is_closed(context):
    pops, (t,), _ = TABLE.by_name["select t"].arrow(context, ((ref(True, 0),),))
    assert isinstance(t, RefType)
    assert not isinstance(t.heap, int | AbsHeapType)
    assert pops == (t, t, I32)


@pytest.mark.parametrize("ts", [(), (I32, I32)])
def test_select_of_other_than_one_type_is_invalid(context, ts):
    with pytest.raises(InvalidError, match="invalid result arity"):
        TABLE.by_name["select t"].arrow(context, (ts,))


def test_select_takes_the_first_unless_the_condition_is_zero():
    assert [TABLE.by_name["select"].run(1.5, 2.5, i) for i in (0, 1, 2**31)] == [2.5, 1.5, 1.5]
    assert [TABLE.by_name["select t"].run((FUNCREF,), "f", None, i) for i in (0, 1)] == [None, "f"]
    assert TABLE.by_name["drop"].run(7) is None
