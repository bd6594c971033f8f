"""What instantiation costs, in a model that charges for it (spec: none, as for all fuel).

An engine that compiles ahead does what it can at once: it makes the images of memories and tables out of segments whose
place it knows, and that is free.  What is left it compiles to a *startup function*: constant expressions, tables filled
with a value, segments whose place is not known, the call of the start function.  That one counts as any function does,
from its entry on; without anything to do there is none.  A :class:`Startup` tells what it does, a :class:`Meter` counts
while it is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import ExhaustionError, Resource
from engine.execution.sight import GLOBAL, LITERAL, UNCHECKED, kind_of, literal_global
from engine.instructions import numeric
from engine.instructions.model import Effect
from engine.matching import matches
from engine.module import Active, Passive
from engine.types import FUNCREF, Arrow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from engine.instructions.model import Instr
    from engine.module import Elem, Expr, In, Module
    from engine.runtime.instance import ModuleInst
    from engine.validation.context import Context

    Lengths = dict[int, Sequence[int]]
    Checks = Iterator[ExhaustionError | None]

__all__ = ["Meter", "Startup", "StartupFunctions"]

MAX_IMAGE = 1 << 20  # elements of a table that are laid out ahead
DENSE = 16 << 20  # bytes: the image of a memory may be this large however little of it is data
HOST_PAGE_BITS = 12  # memories of smaller pages have no image
BY_EXPRESSIONS = 4  # the bit in the flag of an element segment that has expressions for its elements


@dataclass(frozen=True)
class StartupFunctions:
    """wasmtime's startup functions, where memories have images (on Linux).

    ``operator`` is what an instruction costs, ``entry`` what it costs to enter a function, ``call`` to call the start
    function.  As in other functions, a number of elements that is a constant and at most ``unchecked`` makes no check
    point.  Segments are paid for ``before`` they are copied, or after; where it ``loses_end``, what is charged after
    the last check is lost, unless there is a start function to call.  They are Cranelift's, whatever compiles the
    functions of a module.

    The function asks whether images must be copied, which is so, page by page of the host, where the module imports
    a memory.  Where they need not be, what was charged since the last check is lost: it is written on the other branch
    alone.  A function that has nothing to do but to ask is there if some memories have images and others have none.
    """

    operator: Callable[[Instr], int]
    entry: int = 1
    call: int = 1
    unchecked: int = UNCHECKED
    before: bool = False
    loses_end: bool = False

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
        not_in_images, images = _images(module, context)
        datas = {x: mode.offset for x, mode in not_in_images}
        asks = bool(images) and len(images) < len(context.mems)
        if not (before or passive or tables or elems or datas or asks or module.start is not None):
            return None
        copies = context.imported["mem"] > 0
        return Startup(self, before, tables, elems, datas, images, copies, module.start is not None)


@dataclass(frozen=True)
class Startup:
    """What the startup function of a module does.

    It evaluates the constant expressions ``before`` all tables and active segments; fills the ``tables``, by their
    number among those defined, with the values of expressions; copies the active segments ``elems`` and ``datas``, by
    their number, with the offset and the elements that are expressions; and calls the start function if it ``starts``.
    ``images`` are the sizes of the images of memories, in bytes, which it ``copies`` or not.
    """

    rule: StartupFunctions
    before: list[Expr]
    tables: dict[int, Expr]
    elems: dict[int, list[Expr]]
    datas: dict[int, Expr]
    images: list[int]
    copies: bool
    starts: bool


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


def _images(module: Module, context: Context) -> tuple[list[tuple[int, Active]], list[int]]:
    """Return the active data segments that are not in the image of a memory, all or none, and the sizes of images."""
    active = [(x, data.mode) for x, data in enumerate(module.datas) if isinstance(data.mode, Active)]
    spans: dict[int, tuple[int, int, int]] = {}  # by memory: bytes of data, begin and end of the image
    for x, mode in active:
        d, n, t = _place(mode.offset), len(module.datas[x].init), context.mem(mode.index)
        is_own = mode.index >= context.imported["mem"]
        if d is None or not is_own or d + n > t.limits.min << t.page_bits or (n and t.page_bits < HOST_PAGE_BITS):
            return active, []
        if n:
            size, begin, end = spans.get(mode.index, (0, d, d))
            spans[mode.index] = size + n, min(begin, d), max(end, d + n)
    if any(end - begin >= max(2 * size, DENSE) for size, begin, end in spans.values()):
        return active, []
    pages = ((begin >> HOST_PAGE_BITS, -(-end >> HOST_PAGE_BITS)) for _, (_, begin, end) in sorted(spans.items()))
    return [], [(last - first) << HOST_PAGE_BITS for first, last in pages]


# -- counting


class Meter:
    """The fuel of a startup function: what it has charged since it last wrote back to the store is ``unsaved``.

    Beside that, ``pending`` is what it charges at the end of its basic block, that is, at the next check or when it
    ends.  ``lengths`` are those of the bulk operators that constant expressions had, by the identity of the expression.
    A check stands still by yielding: None where the store's interval is used up, the error where there is no fuel;
    whoever goes on has seen to that, or gets it again.
    """

    __slots__ = ("instance", "lengths", "pending", "resumable", "rule", "startup", "store", "unsaved")

    def __init__(self, instance: ModuleInst, startup: Startup, lengths: Lengths, resumable: bool) -> None:
        self.instance = instance
        self.store = instance.store
        self.startup = startup
        self.rule = startup.rule
        self.lengths = lengths
        self.resumable = resumable
        self.unsaved = 0
        self.pending = 0

    @property
    def required_fuel(self) -> int:
        """What must be added to the store to go on from exhausted fuel."""
        return 1 - (self.store.fuel_left or 0)

    def enter(self) -> Checks:
        """Charge for the entry of a function."""
        self.pending += self.rule.entry
        yield from self.check()

    def evaluated(self, exprs: Iterable[Expr]) -> Checks:
        """Charge for the evaluation of constant expressions."""
        for expr in exprs:
            lengths = iter(self.lengths.get(id(expr), ()))
            for pc, ins in enumerate(expr):
                self.pending += self.rule.operator(ins.row)
                if ins.row.bulk is not None:
                    yield from self.copied(next(lengths), self._is_constant(expr[pc - 1]))

    def _is_constant(self, before: In) -> bool:
        """Tell whether an instruction gives what a translator sees as a constant."""
        kind = kind_of(before.row)
        module, context = self.instance.module, self.instance.context
        return kind == LITERAL or (kind == GLOBAL and literal_global(module, context, before.imms[0]) is not None)

    def copied(self, n: int, is_constant: bool, exprs: Iterable[Expr] = ()) -> Checks:
        """Charge for so many pieces, and for expressions that come in between, before the check.

        A number that is a constant and small is not checked.
        """
        self.pending += n
        yield from self.evaluated(exprs)
        if not is_constant or n > self.rule.unchecked:
            yield from self.check()

    def check(self) -> Checks:
        """Stand still unless there is fuel left."""
        store = self.store
        assert store.fuel_left is not None
        self.unsaved += self.pending
        self.pending = 0
        if store.fuel_left - self.unsaved > store.fuel_reserve:
            return
        self.save()
        while store.fuel_left < 1:
            yield ExhaustionError(Resource.FUEL)
        store.inject(store.fuel_left)
        if self.resumable and store.fuel_interval is not None:
            yield None

    def save(self) -> None:
        """Write back what was charged: it is not given back by a trap any more."""
        assert self.store.fuel_left is not None
        self.store.fuel_left -= self.unsaved
        self.unsaved = 0

    def pass_images(self) -> Checks:
        """Charge for the images of memories; where none is copied, what no check has flushed is lost."""
        startup = self.startup
        if startup.images and not startup.copies:
            self.pending = 0
        for size in startup.images if startup.copies else ():
            yield from self.copied(size, False)

    def finish(self) -> None:
        """Leave the startup function, or call the start function."""
        starts = self.startup.starts
        if starts or not self.rule.loses_end:
            self.unsaved += self.pending + (self.rule.call if starts else 0)
        self.pending = 0
        self.save()
