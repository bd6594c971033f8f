"""Element and data segments in text, with the forms in which a table or memory brings its own (spec: text-elem).

Function indices in place of expressions stand for ``ref.func`` expressions, at the type ``(ref func)`` of a list that
says ``func``.
"""

from __future__ import annotations

from engine.instructions import TABLE
from engine.module import Active, Data, Declare, Elem, Expr, In, Passive
from engine.text.lexer import Kind
from engine.types import FUNC, FUNCREF, I32, AddrType, RefType, ref

from .instructions import InstructionReader

__all__ = ["SegmentReader"]

_FUNCTIONS = ref(False, FUNC)
_REF_FUNC, _END = TABLE.by_name["ref.func"], TABLE.by_name["end"]
_CONST = {bits: TABLE.by_name[f"i{bits}.const"] for bits in (32, 64)}


class SegmentReader(InstructionReader):
    """Reads segments; the keyword and the identifier are taken."""

    def elem(self) -> Elem:
        """Spec: text-elem."""
        if self.keyword_if("declare"):
            t, init = self._elements(False)
            return Elem(t, init, Declare())
        mode: Active | Passive = Passive()
        if self.opens("table") or self.words_ahead(1):
            x = self._use("table", "table")
            mode = Active(x, self.offset())
        elif self.at(Kind.LPAR) and not self.opens("ref"):
            mode = Active(0, self.offset())
        t, init = self._elements(isinstance(mode, Active) and mode.index == 0)
        return Elem(t, init, mode)

    def _use(self, keyword: str, space: str) -> int:
        """Take ``(table x)`` or ``(memory x)``; the index alone is how the first release wrote it."""
        if self.words_ahead(1):
            return self.index(space)
        self.enter_if(keyword)
        x = self.index(space)
        self.leave()
        return x

    def _elements(self, bare: bool) -> tuple[RefType, tuple[Expr, ...]]:
        """Take ``func x*`` or a type and expressions; ``bare`` allows indices without ``func``."""
        if self.at_reftype():
            t = self.reftype()
            return t, tuple(self._expressions())
        if not self.keyword_if("func") and not (bare and (self.words_ahead(1) or self.at(Kind.RPAR))):
            self.refuse("func or a reference type")
        return _FUNCTIONS, tuple(self._functions())

    def _functions(self) -> list[Expr]:
        init: list[Expr] = []
        while self.words_ahead(1):
            at = self.starts[self.pos]
            init.append((In(_REF_FUNC, (self.index("func"),), at), In(_END, (), at)))
        return init

    def _expressions(self) -> list[Expr]:
        init: list[Expr] = []
        while not self.at(Kind.RPAR):
            if self.enter_if("item"):
                init.append(self.expression())
                self.leave()
            else:
                init.append(self.folded())
        return init

    def inline_elements(self, t: RefType) -> tuple[RefType, tuple[Expr, ...]]:
        """Take ``(elem ...)`` of a table of this type and return what the segment holds."""
        if not self.enter_if("elem"):
            self.refuse("elem")
        if self.words_ahead(1) or (self.at(Kind.RPAR) and t is FUNCREF):
            init = self._functions()
            t = _FUNCTIONS if t is FUNCREF else t
        else:
            init = self._expressions()
        self.leave()
        return t, tuple(init)

    def data(self) -> Data:
        """Spec: text-data."""
        mode: Active | Passive = Passive()
        if self.opens("memory") or self.words_ahead(1):
            x = self._use("memory", "mem")
            mode = Active(x, self.offset())
        elif self.at(Kind.LPAR):
            mode = Active(0, self.offset())
        return Data(self.strings(), mode)

    def origin(self, x: int, addrtype: AddrType, at: int) -> Active:
        """Return the mode of a segment that fills table or memory ``x`` from its start."""
        const = _CONST[32 if addrtype is I32 else 64]
        return Active(x, (In(const, (0,), at), In(_END, (), at)))
