"""Instrumented twins: a module that does what another does, and writes down where each of its frames stands.

No engine here lets a debugger look into its frames, but each executes Wasm.  So before every call and every
instruction that may trap, the twin of a module stores all locals that have a value and all operands in a memory of its
own, and puts the operands back.  When a trap or a function of the host has stopped it, that memory has what a debugger
would show of the original at that place.  Of a reference it tells whether it is null.

The records of live frames lie one after the other, outermost first, whatever entered or left in between: a frame
begins where its caller said that its own record ends (the global ``base``), a tail call gives its place to the callee,
and ``end`` is where the record of the innermost frame ends that has come to a site.  A session reads them by the step
``shadow`` (``oracles.shadows``).  Indices of the original stay what they are; memory and globals are appended to their
spaces, temporary locals to those of each function, and a function without a site stays as it is.  The types of operands
are those of the validator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.binary import decode, encode
from engine.features import COMPATIBLE, FUNCTION_REFERENCES
from engine.instructions.immediates import MemArg
from engine.instructions.model import Control
from engine.matching import top
from engine.module import Code, Export, FuncImport, Global
from engine.types import I32, DefType, GlobalType, Limits, MemType, RefType, ref
from engine.validation import validate
from engine.validation.places import places
from generators.build import END, const, instr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.features import FeatureSet
    from engine.module import In, Module
    from engine.types import ValType
    from engine.validation.context import Context
    from engine.validation.places import Place

__all__ = ["EXPORTS", "PAGES", "Shown", "Site", "Twin", "frames_of", "is_site", "twin_of"]

EXPORTS = {"memory": "debug.memory", "end": "debug.end", "base": "debug.base"}  # by which field of ``shadow`` names it
PAGES = 16
_HEADER = 4  # bytes of a record before its values: the number of the site
_STOPS = frozenset({Control.CALL, Control.TAIL_CALL, Control.THROW, Control.UNREACHABLE})

_OPENERS = frozenset({Control.BLOCK, Control.LOOP, Control.IF, Control.TRY_TABLE, Control.TRY})


class Site(NamedTuple):
    """A place that a frame may stand at, and where its record has the values.

    ``locals`` and ``operands`` are (offset in the record, type), None for a local without a value.  At a tail call the
    frame is gone as soon as the callee runs.  ``size`` is that of every record of the function.
    """

    funcidx: int
    offset: int
    is_tail_call: bool
    locals: tuple[tuple[int, ValType] | None, ...]
    operands: tuple[tuple[int, ValType], ...]
    size: int


class Shown(NamedTuple):
    """What is shown of a frame: numbers and vectors as bits, references as 1 for null and 0, None where unknown."""

    funcidx: int
    offset: int
    locals: tuple[int | None, ...]
    operands: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Twin:
    """The bytes of a twin; ``sites[n]`` is the site whose number is n."""

    wasm: bytes
    sites: tuple[Site, ...]


def is_site(ins: In) -> bool:
    """Tell whether a frame can be seen at an instruction: it hands control to others, or may trap."""
    return ins.row.control in _STOPS or bool(ins.row.traps)


def twin_of(wasm: bytes, features: FeatureSet = COMPATIBLE) -> Twin:
    """Return the twin of a module, or raise MalformedError or InvalidError.

    ValueError is for a module that has one of the exports that twins have.
    """
    module = decode(wasm, features)
    validate(module, features)
    if taken := {e.name for e in module.exports} & set(EXPORTS.values()):
        raise ValueError(f"there is an export {min(taken)} already")
    return _Instrumenter(module, FUNCTION_REFERENCES in features).twin()


def frames_of(twin: Twin, shadow: bytes, *, is_in_host: bool) -> tuple[Shown, ...]:
    """Return the live frames, innermost first, or raise ValueError if the shadow is none of this twin.

    A frame that called the host by a tail call is gone while the host runs.
    """
    shown: list[Shown] = []
    base = 0
    while base < len(shadow):
        number = int.from_bytes(shadow[base : base + _HEADER], "little")
        if number >= len(twin.sites) or len(shadow) < base + twin.sites[number].size:
            raise ValueError(f"no record of a frame at {base:#x}")
        site = twin.sites[number]
        end = base + site.size
        if not (is_in_host and end == len(shadow) and site.is_tail_call):
            shown.append(_shown(site, shadow[base:end]))
        base = end
    return tuple(shown[::-1])


def _shown(site: Site, record: bytes) -> Shown:
    def value(slot: tuple[int, ValType] | None) -> int | None:
        return None if slot is None else int.from_bytes(record[slot[0] : slot[0] + _width(slot[1])], "little")

    return Shown(site.funcidx, site.offset, tuple(map(value, site.locals)), tuple(map(value, site.operands)))


def _width(t: ValType) -> int:
    return 4 if isinstance(t, RefType) else t.bits // 8


def _slots(at: int, types: Sequence[ValType | None]) -> tuple[list[tuple[int, ValType] | None], int]:
    """Return where values of these types lie from ``at`` on, none for None, and where they end."""
    slots: list[tuple[int, ValType] | None] = []
    for t in types:
        slots.append(None if t is None else (at, t))
        at += 0 if t is None else _width(t)
    return slots, at


class _Instrumenter:
    """Makes the twin of one module, which has been validated."""

    def __init__(self, module: Module, has_typed: bool) -> None:
        context: Context = module.context
        self.has_typed = has_typed
        self.module = module
        self.context = context
        self.memory = len(context.mems)
        self.end = len(context.globals)
        self.base = self.end + 1
        self.index = {id(t): x for x, t in reversed(list(enumerate(context.types)))}
        self.sites: list[Site] = []

    def twin(self) -> Twin:
        module = self.module
        first = sum(isinstance(i.desc, FuncImport) for i in module.imports)
        codes = tuple(_Function(self, first + x, code).code() for x, code in enumerate(module.codes))
        counter = Global(GlobalType(True, I32), (const(I32, 0), END))
        exports = (
            Export(EXPORTS["memory"], "mem", self.memory), Export(EXPORTS["end"], "global", self.end),
            Export(EXPORTS["base"], "global", self.base),
        )  # fmt: skip
        twin = replace(
            module,
            codes=codes,
            mems=(*module.mems, MemType(Limits(PAGES, PAGES))),
            globals=(*module.globals, counter, counter),
            exports=(*module.exports, *exports),
        )
        return Twin(encode(twin), tuple(self.sites))

    def open(self, t: ValType) -> ValType:
        """Return a type as the module writes it.

        Some instructions give references of a type that only modules with typed references can write, ``ref.func`` for
        one; to others they are any references of the hierarchy.
        """
        if isinstance(t, RefType) and not self.has_typed:
            return ref(True, top(t.heap))
        if isinstance(t, RefType) and isinstance(t.heap, DefType):
            return ref(t.null, self.index[id(t.heap)])
        return t


class _Function:
    """Makes the body of one function of a twin."""

    def __init__(self, of: _Instrumenter, funcidx: int, code: Code) -> None:
        functype: Any = of.context.funcs[funcidx].comp
        has_all = all(not isinstance(t, RefType) or t.null for _, t in code.locals)
        self.of = of
        self.original = code
        self.funcidx = funcidx
        self.tracked = None if has_all else len(functype.params)
        view = of.context.function(functype, code.locals)
        self.types = list(view.locals)
        self.places = places(view, code.body, functype.results, self.tracked)
        self.record = len(self.types)  # the local with its address
        self.temporaries: dict[tuple[int, ValType], int] = {}
        self.size = self._size()

    def _size(self) -> int:
        """Return the size of a record, which has room for the operands at any site; 0 without a site."""
        stops = [p for p, ins in zip(self.places, self.original.body, strict=True) if p is not None and is_site(ins)]
        locals_end = _slots(_HEADER, self.types)[1]
        return max((_slots(locals_end, p.operands)[1] for p in stops), default=0) + 15 & ~15

    def code(self) -> Code:
        if not self.size:
            return self.original
        body = [instr("global.get", self.of.base), instr("local.set", self.record)]
        for ins, place in zip(self.original.body, self.places, strict=True):
            if place is not None and is_site(ins):
                body += self.told(ins, place)
            elif place is not None and ins.row.control in _OPENERS:
                body += self.keep(place)
            body.append(ins)
        added = [(1, I32), *((1, self.of.open(t)) for _, t in self.temporaries)]
        return Code((*self.original.locals, *added), tuple(body))

    def told(self, ins: In, place: Place) -> list[In]:
        """Return what stores locals and operands before an instruction."""
        site = self.site(ins, place)
        self.of.sites.append(site)
        held = self.held(place.operands)
        out = [instr("local.set", x) for x in reversed(held[place.height :])]
        out += self.store(0, I32, const(I32, len(self.of.sites) - 1))
        for x, slot in enumerate(site.locals):
            if slot is not None:
                out += self.store(*slot, instr("local.get", x))
        for x, slot in zip(held, site.operands, strict=True):
            out += self.store(*slot, instr("local.get", x))
        end = [instr("local.get", self.record), const(I32, self.size), instr("i32.add")]
        out += [*end, instr("global.set", self.of.end)]
        if ins.row.control is Control.CALL:
            out += [*end, instr("global.set", self.of.base)]
        elif ins.row.control is Control.TAIL_CALL:
            out += [instr("local.get", self.record), instr("global.set", self.of.base)]
        return [*out, *(instr("local.get", x) for x in held[place.height :])]

    def keep(self, place: Place) -> list[In]:
        """Return what puts the operands in their temporaries too, for the sites in a construct that begins."""
        held = self.held(place.operands)[place.height :]
        return [*(instr("local.set", x) for x in reversed(held)), *(instr("local.get", x) for x in held)]

    def site(self, ins: In, place: Place) -> Site:
        known = [
            t if self.tracked is None or x < self.tracked or not isinstance(t, RefType) or t.null or x in place.given
            else None for x, t in enumerate(self.types)
        ]  # fmt: skip
        locals_, _ = _slots(_HEADER, known)
        operands, _ = _slots(_slots(_HEADER, self.types)[1], place.operands)
        is_tail_call = ins.row.control is Control.TAIL_CALL
        shown = tuple(slot for slot in operands if slot is not None)
        return Site(self.funcidx, ins.offset, is_tail_call, tuple(locals_), shown, self.size)

    def held(self, operands: Sequence[ValType]) -> list[int]:
        """Return the temporary of each operand, which belongs to its height and its type.

        What a construct cannot reach of the stack stays in its temporaries until the construct ends.
        """
        out = []
        for at in enumerate(operands):
            if at not in self.temporaries:
                self.temporaries[at] = self.record + 1 + len(self.temporaries)
            out.append(self.temporaries[at])
        return out

    def store(self, at: int, t: ValType, value: In) -> list[In]:
        """Return what stores a value, or whether a reference is null, in the record."""
        where = MemArg(0, at, self.of.memory)
        if isinstance(t, RefType):
            return [instr("local.get", self.record), value, instr("ref.is_null"), instr("i32.store", where)]
        return [instr("local.get", self.record), value, instr(f"{t}.store", where)]
