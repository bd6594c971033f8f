"""Reduction of one module of a plan on its abstract syntax: bodies, then everything that nothing needs any more.

Each candidate is validated by our engine before any oracle runs it, which is a hundred times cheaper; what does not
validate is no candidate.  The measure of bodies is ``bodies.size_of``, so every accepted step is simpler and the loop
ends.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.binary import decode, encode
from engine.errors import WasmError
from engine.features import FEATURES, MVP
from engine.instructions import TABLE
from engine.module import Code, In, Module
from engine.types import FuncType
from engine.validation import validate
from engine.validation.context import Context
from harness.reduce.bodies import constant, constant_calls, map_imms, proposals, size_of
from harness.reduce.chunks import delete_chunks
from harness.reduce.sections import SPACES, Used, remove, size_of_space
from oracles.plan import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.module import Expr
    from engine.types import DefType
    from oracles.plan import Plan

__all__ = ["ModuleReducer"]

_END = In(TABLE.by_name["end"])


class ModuleReducer:
    """Reduces module ``name``; ``plan`` is the best so far.  A module that our engine does not accept is left alone."""

    def __init__(self, plan: Plan, name: str, holds: Callable[[Plan], bool]) -> None:
        self.plan = plan
        self.name = name
        self.holds = holds
        known = (FEATURES[f] for f in plan.features if f in FEATURES)
        self.features = frozenset({MVP, *known})
        self.module: Module | None = None
        try:
            module = decode(plan.modules[name], self.features)
            validate(module, self.features)
            self.module = module
        except WasmError:
            return
        self._seen: set[bytes] = set()

    def reduce(self) -> Plan:
        """Run the passes until none helps and return the plan; BudgetSpent passes through and leaves ``plan``."""
        while self.module is not None:
            before = self.plan.modules[self.name]
            self.drop_customs()
            self.empty_bodies()
            self.drop_lists()
            self.drop_unused()
            self.simplify_bodies()
            self.retarget()
            self.drop_unused()
            self.drop_locals()
            if self.plan.modules[self.name] == before:
                break
        return self.plan

    def attempt(self, module: Module, steps: tuple[Step, ...] | None = None) -> bool:
        """Take a candidate (with other steps, if given) if it is valid and still shows the finding."""
        try:
            wasm = encode(module)
            if steps is None and wasm in self._seen:
                return False
            self._seen.add(wasm)
            module = decode(wasm, self.features)
            validate(module, self.features)
        except (WasmError, ValueError, OverflowError):
            return False
        modules = {**self.plan.modules, self.name: wasm}
        plan = replace(self.plan, modules=modules, steps=self.plan.steps if steps is None else steps)
        if not self.holds(plan):
            return False
        self.plan, self.module = plan, module
        return True

    @property
    def current(self) -> Module:
        assert self.module is not None
        return self.module

    def functype(self, n: int) -> FuncType:
        """Return the type of the ``n``-th defined function."""
        context = Context.of_module(self.current, self.features)
        deftype: DefType = context.funcs[context.imported["func"] + n]
        assert isinstance(deftype.comp, FuncType)
        return deftype.comp

    def with_body(self, n: int, body: Sequence[In]) -> Module:
        codes = self.current.codes
        code = Code(codes[n].locals, tuple(body))
        return replace(self.current, codes=(*codes[:n], code, *codes[n + 1 :]))

    # bodies

    def by_size(self) -> list[int]:
        """Return the defined functions, the longest body first."""
        codes = self.current.codes
        return sorted(range(len(codes)), key=lambda n: -len(codes[n].body))

    def empty_bodies(self) -> None:
        """Make each function return zeros at once; several functions first, because one may need another."""
        candidates = [n for n in self.by_size() if self.emptied(n) not in (None, self.current.codes[n].body)]
        kept = delete_chunks(candidates, lambda kept: self._empty([n for n in candidates if n not in kept]))
        self._empty([n for n in candidates if n not in kept])

    def _empty(self, functions: list[int]) -> bool:
        codes = list(self.current.codes)
        for n in functions:
            body = self.emptied(n)
            assert body is not None
            codes[n] = Code((), body)
        return self.attempt(replace(self.current, codes=tuple(codes)))

    def emptied(self, n: int) -> Expr | None:
        """Return the body that only returns zeros, or None for a result without a default."""
        zeros = [constant(t) for t in self.functype(n).results]
        return None if None in zeros else (*(z for z in zeros if z is not None), _END)

    def simplify_bodies(self) -> None:
        for n in self.by_size():
            while self._simplify(n):
                pass

    def _simplify(self, n: int) -> bool:
        """Take proposals for a body while they help; return whether any did."""
        body = self.current.codes[n].body
        context = Context.of_module(self.current, self.features)
        view = context.function(self.functype(n), self.current.codes[n].locals)
        size = size_of(body)
        for proposal in proposals(body, view):
            if size_of(proposal) < size and self.attempt(self.with_body(n, proposal)):
                return True
        return False

    def retarget(self) -> None:
        """Let a call step call what its function calls with constants: the callee takes over the export's name."""
        context = Context.of_module(self.current, self.features)
        imported = context.imported["func"]
        for i, step in enumerate(self.plan.steps):
            export = next((e for e in self.current.exports if e.kind == "func" and e.name == step.get("export")), None)
            if step.kind != "call" or export is None or export.index < imported:
                continue
            code = self.current.codes[export.index - imported]
            view = context.function(self.functype(export.index - imported), code.locals)
            for callee, args in constant_calls(code.body, view):
                exports = tuple(e._replace(index=callee) if e is export else e for e in self.current.exports)
                called = Step("call", {**step.args, "args": args})
                steps = (*self.plan.steps[:i], called, *self.plan.steps[i + 1 :])
                if self.attempt(replace(self.current, exports=exports), steps):
                    return

    # the rest

    def drop_customs(self) -> None:
        if self.current.customs:
            self.attempt(replace(self.current, customs=()))

    def drop_lists(self) -> None:
        """Delete exports and segments' contents, the start function, active segments."""
        if self.current.start is not None:
            self.attempt(replace(self.current, start=None))
        delete_chunks(self.current.exports, lambda kept: self.attempt(replace(self.current, exports=tuple(kept))))
        for n, elem in enumerate(self.current.elems):
            delete_chunks(elem.init, lambda kept, n=n: self._with_elem(n, kept))  # type: ignore[misc]
        for n, data in enumerate(self.current.datas):
            for shorter in (b"", data.init[: len(data.init) // 2]):
                if len(shorter) < len(data.init) and self._with_data(n, shorter):
                    break

    def _with_elem(self, n: int, init: list[Expr]) -> bool:
        elems = self.current.elems
        changed = (*elems[:n], replace(elems[n], init=tuple(init)), *elems[n + 1 :])
        return self.attempt(replace(self.current, elems=changed))

    def _with_data(self, n: int, init: bytes) -> bool:
        datas = self.current.datas
        changed = (*datas[:n], replace(datas[n], init=init), *datas[n + 1 :])
        return self.attempt(replace(self.current, datas=changed))

    def drop_unused(self) -> None:
        """Delete entries of index spaces to which nothing refers, the last ones first."""
        for space in SPACES:
            for x in range(size_of_space(self.current, space) - 1, -1, -1):
                try:
                    candidate = remove(self.current, space, x)
                except Used:
                    continue
                self.attempt(candidate)

    def drop_locals(self) -> None:
        """Delete declared locals that a body does not mention."""
        for n, code in enumerate(self.current.codes):
            flat = [t for count, t in code.locals for _ in range(count)]
            first = len(self.functype(n).params)
            used = {x for i in code.body for k, x in zip(i.row.imms, i.imms, strict=True) if k.name == "localidx"}
            keep = [x for x in range(len(flat)) if first + x in used]
            if len(keep) == len(flat):
                continue
            moved = {x: x for x in range(first)} | {first + x: first + i for i, x in enumerate(keep)}
            body = tuple(map_imms(i, "localidx", moved.__getitem__) for i in code.body)
            codes = list(self.current.codes)
            codes[n] = Code(tuple((1, flat[x]) for x in keep), body)
            self.attempt(replace(self.current, codes=tuple(codes)))
