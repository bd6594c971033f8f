"""Static single assignment while blocks are still being added: what a variable is in a block.

The construction of Braun et al. ("Simple and Efficient Construction of Static Single Assignment Form", CC 2013) as
Cranelift's frontend does it, without recursion.  A value that is no constant and never becomes one is UNKNOWN; one
whose block is not sealed yet, that is, may get predecessors, is a number of its own until it is known what it is.
"""

from __future__ import annotations

__all__ = ["NON_NULL", "UNKNOWN", "TooLongError", "Values"]

UNKNOWN, NON_NULL = 0, -1  # values: of what is no constant, and of references that are not null by their type


class TooLongError(Exception):
    """A body takes more steps than its size allows."""


class Values:
    """Blocks with their predecessors, and the value of each variable in each block.

    ``single`` is the one predecessor of a sealed block that has just one, else -1.  ``defs`` is by variable, then by
    block.  A value stands for another where ``alias`` says so; ``constants`` are those of the values that are.
    """

    def __init__(self, steps: int) -> None:
        self.preds: list[list[int]] = []
        self.sealed: list[bool] = []
        self.single: list[int] = []
        self.waiting: dict[int, list[tuple[int, int]]] = {}  # blocks not sealed: variables read, and their values
        self.defs: list[dict[int, int]] = []
        self.alias = [UNKNOWN]
        self.constants: dict[int, int] = {}
        self.steps = steps

    def block(self, *preds: int) -> int:
        """Add a block; one that is given its predecessors is sealed."""
        b = len(self.preds)
        self.preds.append(list(preds))
        self.sealed.append(bool(preds))
        self.single.append(preds[0] if len(preds) == 1 else -1)
        return b

    def variable(self) -> int:
        self.defs.append({})
        return len(self.defs) - 1

    def value(self) -> int:
        """Add a value that is not known yet."""
        v = len(self.alias)
        self.alias.append(v)
        return v

    def constant(self, n: int) -> int:
        v = self.value()
        self.constants[v] = n
        return v

    def known(self, v: int) -> int:
        """Return the value that ``v`` stands for."""
        if v < 0:
            return UNKNOWN
        alias = self.alias
        end = v
        while alias[end] != end:
            end = alias[end]
        while alias[v] != end:
            alias[v], v = end, alias[v]
        return end

    def spend(self, n: int = 1) -> None:
        self.steps -= n
        if self.steps < 0:
            raise TooLongError

    def use(self, x: int, b: int) -> int:
        """Return the value that a variable has where a block stands."""
        v = self.defs[x].get(b)
        return self._find(x, [(b, -1)]) if v is None else v

    def _find(self, x: int, calls: list[tuple[int, int]]) -> int:
        """Find what variable ``x`` is: in a block, or (with a value) what the predecessors of a block make of that."""
        defs, preds, single = self.defs[x], self.preds, self.single
        results: list[int] = []
        while calls:
            b, phi = calls.pop()
            if phi >= 0:
                n = len(results) - len(preds[b])
                distinct = set(map(self.known, results[n:])) - {phi}
                del results[n:]
                results.append(self._merge(phi, distinct))
                continue
            v, path = defs.get(b), [b]
            while v is None and single[b] >= 0 and len(path) <= len(preds):
                b = single[b]
                v = defs.get(b)
                path.append(b)
            self.spend(len(path) + len(preds[b]))
            if v is None:
                v = self.value()
                if self.sealed[b]:
                    calls.append((b, v))
                    calls += [(p, -1) for p in reversed(preds[b])]
                else:
                    self.waiting.setdefault(b, []).append((x, v))
                    results.append(v)
            else:
                results.append(v)
            for p in path:
                defs[p] = v
        return results.pop()

    def _merge(self, phi: int, distinct: set[int]) -> int:
        """Let ``phi`` be the one value that comes from all predecessors; 0 without any, in code never reached."""
        v = distinct.pop() if len(distinct) == 1 else UNKNOWN if distinct else self.constant(0)
        self.alias[phi] = v
        return v

    def seal(self, b: int) -> None:
        """Say that a block has all its predecessors."""
        if self.sealed[b]:
            return
        self.sealed[b] = True
        preds = self.preds[b]
        if len(preds) == 1:
            self.single[b] = preds[0]
        for x, phi in self.waiting.pop(b, ()):
            self._find(x, [(b, phi), *[(p, -1) for p in reversed(preds)]])
