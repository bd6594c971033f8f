"""What the project knows about one instruction, and the families that fill most of it in.

One row is the only description of an instruction; decoder, encoder, printer, validator, lowering, fuel, generator
and reducer are generic over rows.  Consumers switch on ``effect``, ``control``, ``family`` and the immediate kinds,
never on a name.

How ``run`` is called, by effect:

``PURE``     ``run(*imms, *operands)`` returns the result, or a tuple where the row pushes several, or None where none.
``STATE``    ``run(frame, *imms, *operands)`` likewise; ``frame.locals`` is the list of locals of the activation and
             ``frame.module`` the module instance with ``mems tables globals funcs elems datas`` to index.
``CONTROL``  ``run`` is None; ``control`` says what lowering builds. But a branch on a reference has a ``run(frame,
             *imms, r)`` that tells whether it is taken: the taken way of ``BR_ON_NULL`` loses the
             reference, the other way that of ``BR_ON_NON_NULL``, neither that of ``BR_ON_CAST`` nor that
             of ``BR_ON_CAST_BY``, whose ``run`` takes one more operand, which both ways lose; and the
             ``run(frame, *imms, *operands)`` of ``THROW`` returns the exception.

``type`` is an arrow or a rule ``type(c, *imms) -> Arrow`` over a context whose methods give closed types and raise
``InvalidError`` (``unknown local``) where out of range: ``local(x)`` a value type, ``type(x)`` and ``func(x)`` a
DefType, ``functype(x)``, ``tag(x)`` and ``blocktype(bt)`` a FuncType, ``table mem global_`` their types, ``elem(x)`` a
reference type, ``data(x)`` None, ``label(l)`` and ``results()`` tuples of value types, ``declared(x)`` None or
``undeclared function reference``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.features import MVP, Feature
from engine.types import I32, Arrow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from engine.errors import TrapKind
    from engine.instructions.immediates import Imm
    from engine.numerics.lanes import Shape
    from engine.types import NumType

__all__ = [
    "Bulk", "Control", "Effect", "Instr", "Opcode", "Region", "binop", "cvtop", "proposal", "relop", "testop", "unop",
]  # fmt: skip

Opcode = int | tuple[int, int]


class Effect(Enum):
    """Whom the semantics may talk to; mirrors Step_pure, Step_read and Step of the spec."""

    PURE = "operands to results"
    STATE = "frame and store"
    CONTROL = "moves the program counter"


class Control(Enum):
    """The shape of a control instruction, for lowering, fuel and generation."""

    NOP = "nop"
    UNREACHABLE = "unreachable"
    BLOCK = "block"
    LOOP = "loop"
    IF = "if"
    ELSE = "else"
    END = "end"
    BR = "br"
    BR_IF = "br_if"
    BR_TABLE = "br_table"
    BR_ON_NULL = "br_on_null"
    BR_ON_NON_NULL = "br_on_non_null"
    BR_ON_CAST = "br_on_cast"
    BR_ON_CAST_BY = "br_on_cast_by"
    RETURN = "return"
    CALL = "call"
    TAIL_CALL = "tail_call"
    TRY_TABLE = "try_table"
    TRY = "try"
    CATCH = "catch"
    DELEGATE = "delegate"
    THROW = "throw"
    RETHROW = "rethrow"
    SUSPEND = "suspend"


class Region(Enum):
    """A part of the store that an instruction reads or writes."""

    LOCAL = "local"
    MEMORY = "memory"
    TABLE = "table"
    GLOBAL = "global"
    HEAP = "heap"
    SEGMENT = "segment"


@dataclass(frozen=True, slots=True)
class Bulk:
    """Work in proportion to an operand: ``length`` is its index among the operands, ``unit`` names one piece."""

    length: int
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instr:
    """One row.  Identity is equality: a table holds each row once.

    ``name`` is unique; where several rows share a keyword of the text format, a word tells them apart (``select t``).

    ``access`` is how many bytes of memory it loads or stores at an address (0: none).

    ``access`` is how many bytes of memory an instruction loads or stores at its address, 0 for any other.
    ``family`` names the function that made the row (``binop``, ``load``, ...), ``hot`` lets execution inline it,
    ``make(frame, *imms)`` returns the function of the operands that ``run`` applies, where immediates decide much,
    ``nan`` says that a NaN result has bits that the specification leaves open (spec: aux-nans),
    ``lanes`` are the shapes of the operands and of the result of a vector row, ``choices`` what an engine may run in
    place of ``run``, which is the choice of the deterministic profile (spec: aux-relaxed), and ``agree`` for each
    operand the instructions (names with immediates) behind which all choices give the same result,
    ``const`` tells the feature from which it may stand in a constant expression (None: never), ``fuel`` is the cost
    in a unit model, ``weight`` its relative frequency in generated code, ``spec`` the anchor of its execution rule.
    """

    name: str
    opcode: Opcode
    type: Arrow | Callable[..., Arrow]
    effect: Effect
    run: Callable[..., Any] | None = None
    imms: tuple[Imm, ...] = ()
    feature: Feature = MVP
    control: Control | None = None
    traps: frozenset[TrapKind] = frozenset()
    reads: frozenset[Region] = frozenset()
    writes: frozenset[Region] = frozenset()
    bulk: Bulk | None = None
    access: int = 0
    family: str = ""
    hot: bool = False
    nan: bool = False
    lanes: tuple[Shape, Shape] | None = None
    choices: tuple[Callable[..., Any], ...] = ()
    agree: tuple[tuple[tuple[Any, ...], ...], ...] = ()
    make: Callable[..., Any] | None = None
    const: Feature | None = None
    fuel: int = 1
    weight: int = 100
    spec: str = ""

    def arrow(self, c: Any, imms: tuple[Any, ...]) -> Arrow:
        """Return the instruction type under context ``c`` for these immediates."""
        return self.type if isinstance(self.type, Arrow) else self.type(c, *imms)

    @property
    def keyword(self) -> str:
        """The word of the text format."""
        return self.name.partition(" ")[0]

    def __repr__(self) -> str:
        return f"<{self.name}>"


def _numeric(
    family: str, name: str, opcode: Opcode, pops: tuple[Any, ...], pushes: tuple[Any, ...], run: Callable[..., Any],
    traps: Iterable[TrapKind], **rest: Any,
) -> Instr:  # fmt: skip
    fields: dict[str, Any] = {"hot": True, "spec": f"exec-{family}"} | rest
    return Instr(
        name=name, opcode=opcode, type=Arrow(pops, pushes), effect=Effect.PURE, run=run, family=family,
        traps=frozenset(traps), **fields,
    )  # fmt: skip


def unop(
    name: str, opcode: Opcode, t: NumType, fn: Callable[[int, Any], Any], traps: Iterable[TrapKind] = (), **rest: Any
) -> Instr:
    """``t -> t`` by ``fn(n, v)``."""
    return _numeric("unop", name, opcode, (t,), (t,), partial(fn, t.bits), traps, **rest)


def binop(
    name: str, opcode: Opcode, t: NumType, fn: Callable[[int, Any, Any], Any], traps: Iterable[TrapKind] = (),
    **rest: Any,
) -> Instr:  # fmt: skip
    """``t t -> t`` by ``fn(n, v, w)``."""
    return _numeric("binop", name, opcode, (t, t), (t,), partial(fn, t.bits), traps, **rest)


def testop(name: str, opcode: Opcode, t: NumType, fn: Callable[[int, Any], int], **rest: Any) -> Instr:
    """``t -> i32`` by ``fn(n, v)``, which gives 0 or 1."""
    return _numeric("testop", name, opcode, (t,), (I32,), partial(fn, t.bits), (), **rest)


def relop(name: str, opcode: Opcode, t: NumType, fn: Callable[[int, Any, Any], int], **rest: Any) -> Instr:
    """``t t -> i32`` by ``fn(n, v, w)``, which gives 0 or 1."""
    return _numeric("relop", name, opcode, (t, t), (I32,), partial(fn, t.bits), (), **rest)


def cvtop(
    name: str, opcode: Opcode, source: NumType, target: NumType, fn: Callable[[int, int, Any], Any],
    traps: Iterable[TrapKind] = (), **rest: Any,
) -> Instr:  # fmt: skip
    """``source -> target`` by ``fn(m, n, v)``, widths of source and target first, as in the spec."""
    run = partial(fn, source.bits, target.bits)
    return _numeric("cvtop", name, opcode, (source,), (target,), run, traps, **rest)


def applied(make: Callable[..., Any], n: int) -> Callable[..., Any]:
    """Return the ``run`` of a row with ``n`` immediates for which there is a ``make``."""

    def run(frame: Any, *args: Any) -> Any:
        return make(frame, *args[:n])(*args[n:])

    return run


def proposal(feature: Feature, rows: Iterable[Instr]) -> list[Instr]:
    """Return the rows marked as introduced by ``feature``."""
    return [replace(row, feature=feature) for row in rows]
