"""What instantiation costs, in a model that charges for it (spec: none, as for all fuel).

An engine that compiles ahead does what it can at once: it makes the images of memories and tables out of segments whose
place it knows, and that is free.  What is left it compiles to a *startup function*: constant expressions, tables filled
with a value, segments whose place is not known, the call of the start function.  That one counts as any function does,
from its entry on; without anything to do there is none.  A :class:`Startup` tells what it does, and its *script* is
that as a list of steps, which ``meter.py`` takes one after the other: where it stands still is a place in the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from engine.execution.sight import GLOBAL, LITERAL, UNCHECKED, kind_of, literal_global
from engine.instructions import numeric
from engine.instructions.model import Effect
from engine.matching import matches
from engine.module import Active, Passive
from engine.types import FUNCREF, Arrow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from engine.instructions.model import Instr
    from engine.module import Elem, Expr, In, Module
    from engine.validation.context import Context

__all__ = ["Act", "Startup", "StartupFunctions", "Step", "image_sizes"]

MAX_IMAGE = 1 << 20  # elements of a table that are laid out ahead
DENSE = 16 << 20  # bytes: the image of a memory may be this large however little of it is data
HOST_PAGE_BITS = 12  # of the hosts that most compilers compile for; memories of smaller pages have no image
BY_EXPRESSIONS = 4  # the bit in the flag of an element segment that has expressions for its elements


@dataclass(frozen=True)
class StartupFunctions:
    """wasmtime's startup functions, where memories have images (on Linux).

    ``operator`` is what an instruction costs, ``entry`` what it costs to enter a function, ``call`` to call the start
    function.  As in other functions, a number of elements that is a constant and at most ``unchecked`` makes no check
    point.  Segments are paid for ``before`` they are copied, or after; where it ``loses_end``, what is charged after
    the last check is lost, unless there is a start function to call.  They are Cranelift's, whatever compiles the
    functions of a module.

    The function asks whether images must be copied, which is so, by whole pages of the host that it is compiled for
    (``page_bits``), where the module imports a memory.  Where they need not be, what was charged since the last check
    is lost: it is written on the other branch alone.  A function that has nothing to do but to ask is there if some
    memories have images and others have none.
    """

    operator: Callable[[Instr], int]
    entry: int = 1
    call: int = 1
    unchecked: int = UNCHECKED
    before: bool = False
    loses_end: bool = False
    page_bits: int = HOST_PAGE_BITS

    def __call__(self, module: Module, context: Context) -> Startup | None:
        """Return what the startup function of a module does, None where it needs none."""
        before = [global_.init for global_ in module.globals if not _is_literal(global_.init)]
        passive = [elem for elem in module.elems if isinstance(elem.mode, Passive)]
        for elem in passive:
            before += _elements(elem)
        tables = {
            x: table.init
            for x, table in enumerate(module.tables)
            if table.init is not None and not _is_filled_ahead(table.init, table.type.limits.min)
        }
        elems = {x: [mode.offset, *_elements(module.elems[x])] for x, mode in _not_laid_out(module, context, tables)}
        not_in_images, images = _images(module, context, self.page_bits)
        datas = {x: mode.offset for x, mode in not_in_images}
        asks = bool(images) and len(images) < len(context.mems)
        if not (before or passive or tables or elems or datas or asks or module.start is not None):
            return None
        copies = context.imported["mem"] > 0
        return Startup(module, context, self, before, tables, elems, datas, images, copies, module.start is not None)


@dataclass(frozen=True)
class Startup:
    """What the startup function of a module does.

    It evaluates the constant expressions ``before`` all tables and active segments; fills the ``tables``, by their
    number among those defined, with the values of expressions; copies the active segments ``elems`` and ``datas``, by
    their number, with the offset and the elements that are expressions; and calls the start function if it ``starts``.
    ``images`` are the sizes of the images of memories, in bytes, which it ``copies`` or not.
    """

    module: Module
    context: Context
    rule: StartupFunctions
    before: list[Expr]
    tables: dict[int, Expr]
    elems: dict[int, list[Expr]]
    datas: dict[int, Expr]
    images: list[int]
    copies: bool
    starts: bool

    def expressions(self) -> Iterator[Expr]:
        """Yield the constant expressions that it evaluates, in order."""
        yield from self.before
        yield from self.tables.values()
        for exprs in self.elems.values():
            yield from exprs
        yield from self.datas.values()

    def script(self, lengths: Iterable[int]) -> list[Step]:
        """Return what it does as a list of steps; ``lengths`` are those of the bulk operators in its expressions."""
        module, rule = self.module, self.rule
        script = _Script(self, lengths)
        script.step(Act.CHECK, units=rule.entry)
        script.evaluated(self.before)
        for x, init in self.tables.items():
            script.evaluated([init])
            script.copied(module.tables[x].type.limits.min, True)
        script.check = Act.CHECK_SHOWN
        for x, elem in enumerate(module.elems):
            charge = partial(script.copied, len(elem.init), True, self.elems[x]) if x in self.elems else None
            script.segment(Act.ELEM, x, charge)
        script.check = Act.CHECK
        self._pass_images(script)
        for x in range(len(module.datas)):
            script.segment(Act.DATA, x, partial(self._charge_data, script, x) if x in self.datas else None)
        script.step(Act.END, units=rule.call if self.starts else 0)
        return script.steps

    def _charge_data(self, script: _Script, x: int) -> None:
        script.evaluated([self.datas[x]])
        script.copied(len(self.module.datas[x].init), False)

    def _pass_images(self, script: _Script) -> None:
        """Charge for the images of memories; where none is copied, what no check has flushed is lost."""
        if self.images and not self.copies:
            script.step(Act.LOSE)
        for size in self.images if self.copies else ():
            script.copied(size, False)


class Act(Enum):
    """What a step does when its units are charged."""

    CHECK = "stand still unless there is fuel left"
    CHECK_SHOWN = "the same where functions of the instance may be in a table, so that the images of memories are seen"
    ELEM = "apply an element segment"
    DATA = "apply a data segment"
    LOSE = "forget what was charged since the last check"
    END = "leave the function, or call the start function"


class Step(NamedTuple):
    """A step of a startup function: charge ``units``, then ``act``, with the segment of number ``x``."""

    units: int
    act: Act
    x: int = 0


class _Script:
    """A script in the making: ``units`` are charged by the step to come, ``check`` is how to check."""

    def __init__(self, startup: Startup, lengths: Iterable[int]) -> None:
        self.module = startup.module
        self.context = startup.context
        self.rule = startup.rule
        self.lengths = iter(lengths)
        self.steps: list[Step] = []
        self.units = 0
        self.check = Act.CHECK

    def step(self, act: Act, x: int = 0, units: int = 0) -> None:
        self.steps.append(Step(self.units + units, act, x))
        self.units = 0

    def segment(self, act: Act, x: int, charge: Callable[[], None] | None) -> None:
        """Apply a segment, before or after it is charged for."""
        if charge is None:
            self.step(act, x)
        elif self.rule.before:
            charge()
            self.step(act, x)
        else:
            self.step(act, x)
            charge()

    def evaluated(self, exprs: Iterable[Expr]) -> None:
        """Charge for the evaluation of constant expressions."""
        for expr in exprs:
            for pc, ins in enumerate(expr):
                self.units += self.rule.operator(ins.row)
                if ins.row.bulk is not None:
                    self.copied(next(self.lengths), self._is_constant(expr[pc - 1]))

    def _is_constant(self, before: In) -> bool:
        """Tell whether an instruction gives what a translator sees as a constant."""
        kind = kind_of(before.row)
        module, context = self.module, self.context
        return kind == LITERAL or (kind == GLOBAL and literal_global(module, context, before.imms[0]) is not None)

    def copied(self, n: int, is_constant: bool, exprs: Iterable[Expr] = ()) -> None:
        """Charge for so many pieces, and for expressions that come in between, before the check.

        A number that is a constant and small is not checked.
        """
        self.units += n
        self.evaluated(exprs)
        if not is_constant or n > self.rule.unchecked:
            self.step(self.check)


def _elements(elem: Elem) -> tuple[Expr, ...]:
    """Return the elements of a segment that are expressions: none where they are function indices."""
    return elem.init if elem.flag & BY_EXPRESSIONS else ()


def _is_literal(expr: Expr) -> bool:
    """Tell whether an expression is a number or a vector as it stands."""
    row = expr[0].row
    return len(expr) == 2 and row.effect is Effect.PURE and isinstance(row.type, Arrow) and not row.type.pops


def _place(expr: Expr) -> int | None:
    """Return the offset of a segment if it is a literal."""
    return expr[0].imms[0] if len(expr) == 2 and expr[0].row.run is numeric.integer else None


def _is_filled_ahead(init: Expr, min_elements: int) -> bool:
    return len(init) == 2 and [imm.name for imm in init[0].row.imms] == ["funcidx"] and min_elements <= MAX_IMAGE


def _not_laid_out(module: Module, context: Context, filled: dict[int, Expr]) -> list[tuple[int, Active]]:
    """Return the active element segments from the first on that is not laid out ahead."""
    active = [(x, elem.mode) for x, elem in enumerate(module.elems) if isinstance(elem.mode, Active)]
    imported = context.imported["table"]
    for i, (x, mode) in enumerate(active):
        elem, table, d = module.elems[x], context.table(mode.index), _place(mode.offset)
        own = mode.index - imported
        is_laid_out = (
            d is not None and own >= 0 and own not in filled and d + len(elem.init) <= min(table.limits.min, MAX_IMAGE)
            and not elem.flag & BY_EXPRESSIONS and matches(table.reftype, FUNCREF)
        )  # fmt: skip
        if not is_laid_out:
            return active[i:]
    return []


def image_sizes(module: Module, context: Context) -> list[int]:
    """Return the sizes in bytes of the images that memories of a module have, none where data need be copied."""
    return _images(module, context, HOST_PAGE_BITS)[1]


def _images(module: Module, context: Context, page_bits: int) -> tuple[list[tuple[int, Active]], list[int]]:
    """Return the active data segments that are not in the image of a memory, all or none, and the sizes of images."""
    active = [(x, data.mode) for x, data in enumerate(module.datas) if isinstance(data.mode, Active)]
    spans: dict[int, tuple[int, int, int]] = {}  # by memory: bytes of data, begin and end of the image
    for x, mode in active:
        d, n, t = _place(mode.offset), len(module.datas[x].init), context.mem(mode.index)
        is_own = mode.index >= context.imported["mem"]
        if d is None or not is_own or d + n > t.limits.min << t.page_bits or (n and t.page_bits < page_bits):
            return active, []
        if n:
            size, begin, end = spans.get(mode.index, (0, d, d))
            spans[mode.index] = size + n, min(begin, d), max(end, d + n)
    if any(end - begin >= max(2 * size, DENSE) for size, begin, end in spans.values()):
        return active, []
    pages = ((begin >> page_bits, -(-end >> page_bits)) for _, (_, begin, end) in sorted(spans.items()))
    return [], [(last - first) << page_bits for first, last in pages]
