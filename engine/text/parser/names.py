"""What identifiers mean: one :class:`Space` per index space of a module, and the scopes inside a function.

Identifiers and ``@name`` annotations also become the name section of the module, so spaces remember them by index.
"""

from __future__ import annotations

from engine.binary.names import Names

__all__ = ["NOUNS", "FreeSpace", "Labels", "Scope", "Space"]

# What the suite calls a member of a space, in "unknown function" and in "duplicate func".
NOUNS = {
    "type": "type", "func": "function", "table": "table", "mem": "memory", "global": "global", "tag": "tag",
    "elem": "elem segment", "data": "data segment", "local": "local", "label": "label", "field": "field",
}  # fmt: skip


class Space:
    """Identifiers of one index space; ``names`` is what its members are called, for the name section."""

    __slots__ = ("ids", "names", "size")

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.names: dict[int, str] = {}
        self.size = 0

    def add(self, id: str | None, name: str | None = None) -> bool:
        """Add a member; tell False if its identifier is taken."""
        x = self.size
        self.size += 1
        called = id if name is None else name
        if called is not None:
            self.names[x] = called
        if id is None:
            return True
        return self.ids.setdefault(id, x) == x


class FreeSpace(Space):
    """A space of names only: identifiers may stand in it twice."""

    __slots__ = ()

    def add(self, id: str | None, name: str | None = None) -> bool:
        super().add(id, name)
        return True


class Labels:
    """The labels around a place in a body, innermost last; an identifier means the innermost of its name."""

    __slots__ = ("count", "depths", "names", "open")

    def __init__(self) -> None:
        self.open: list[str | None] = []
        self.depths: dict[str, list[int]] = {}
        self.names: dict[int, str] = {}
        self.count = 0

    def enter(self, id: str | None, name: str | None = None) -> None:
        called = id if name is None else name
        if called is not None:
            self.names[self.count] = called
        self.count += 1
        if id is not None:
            self.depths.setdefault(id, []).append(len(self.open))
        self.open.append(id)

    def leave(self) -> None:
        id = self.open.pop()
        if id is not None:
            self.depths[id].pop()

    def index(self, id: str) -> int | None:
        """Return the relative depth of a label, or None if no such label is around."""
        depths = self.depths.get(id)
        return len(self.open) - 1 - depths[-1] if depths else None


class Scope:
    """All names of a module; ``locals`` and ``labels`` are those of the function that is being read."""

    def __init__(self) -> None:
        self.module: str | None = None
        self.spaces = {space: Space() for space in NOUNS if space not in ("label", "field", "local")}
        self.fields: dict[int, Space] = {}  # by type
        self.params: dict[int, Space] = {}  # by type; nothing can refer to these
        self.locals = Space()
        self.labels = Labels()
        self.spaces["local"] = self.locals
        self._locals: dict[int, dict[int, str]] = {}
        self._labels: dict[int, dict[int, str]] = {}

    def enter_function(self) -> None:
        """Forget the locals and labels of the function before."""
        self.locals = self.spaces["local"] = Space()
        self.labels = Labels()

    def leave_function(self, funcidx: int) -> None:
        """Keep the names of locals and labels for the name section."""
        if self.locals.names:
            self._locals[funcidx] = self.locals.names
        if self.labels.names:
            self._labels[funcidx] = self.labels.names

    def names(self) -> Names:
        """Return everything that has a name."""
        spaces = self.spaces
        return Names(
            self.module,
            funcs=spaces["func"].names,
            locals=self._locals,
            labels=self._labels,
            types=spaces["type"].names,
            tables=spaces["table"].names,
            mems=spaces["mem"].names,
            globals=spaces["global"].names,
            elems=spaces["elem"].names,
            datas=spaces["data"].names,
            fields={x: space.names for x, space in self.fields.items() if space.names},
            tags=spaces["tag"].names,
            params={x: space.names for x, space in self.params.items() if space.names},
        )
