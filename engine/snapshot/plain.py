"""Reading plain data that nobody vouches for: every deviation is a :class:`SnapshotError` with the path to it.

A check is a function of one item that returns what it means.  The path is put together on the way out: whoever goes
into a part adds its name to an error that comes from there, so that good data pays nothing for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import WasmError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SnapshotError", "at", "boolean", "each", "fields", "items", "named", "shown", "string", "whole"]

T = TypeVar("T")
_SHOWN = 40


class SnapshotError(WasmError):
    """A store that cannot be saved, or data that is no snapshot or does not fit what it is restored with.

    ``path`` leads to the part at fault, as in ``store.mems[2].pages``.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self._path = path

    @property
    def path(self) -> str:
        """The way to the part at fault, empty for the whole."""
        return self._path.lstrip(".")

    def inside(self, part: str) -> SnapshotError:
        """Put ``part`` before the path, and return self."""
        self._path = part + self._path
        return self

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def at(part: str, check: Callable[..., T], *args: Any) -> T:
    """Return what ``check`` makes of ``args``; an error from there is inside ``part``."""
    try:
        return check(*args)
    except SnapshotError as e:
        raise e.inside(part) from None


def each(data: list[Any], check: Callable[[Any], T]) -> list[T]:
    """Return what ``check`` makes of the items of a list."""
    out: list[T] = []
    try:
        for item in data:
            out.append(check(item))
    except SnapshotError as e:
        raise e.inside(f"[{len(out)}]") from None
    return out


def shown(data: Any) -> str:
    """Return a few characters that tell what was found."""
    if isinstance(data, (dict, list)):
        return f"{'an object' if isinstance(data, dict) else 'a list'} of {len(data)}"
    if isinstance(data, str):
        return repr(data[:_SHOWN])
    if type(data) is int and data.bit_length() > 4 * _SHOWN:
        return "a huge number"
    return f"{data!r:.{_SHOWN}}"


def fields(data: Any, *names: str) -> dict[str, Any]:
    """Return an object that must have just these fields."""
    if type(data) is not dict:
        raise SnapshotError(f"expected an object, found {shown(data)}")
    if len(data) != len(names) or any(name not in data for name in names):
        for name in names:
            if name not in data:
                raise SnapshotError(f"field {name!r} is missing")
        extra = next(name for name in data if name not in names)
        raise SnapshotError(f"unknown field {shown(extra)}")
    return data


def items(data: Any, most: int | None = None) -> list[Any]:
    """Return a list, of at most so many items."""
    if type(data) is not list:
        raise SnapshotError(f"expected a list, found {shown(data)}")
    if most is not None and len(data) > most:
        raise SnapshotError(f"{len(data)} items where there are at most {most}")
    return data


def named(data: Any, check: Callable[[Any], T]) -> dict[str, T]:
    """Return what ``check`` makes of the members of an object whose names are free."""
    if type(data) is not dict:
        raise SnapshotError(f"expected an object, found {shown(data)}")
    for name in data:
        if type(name) is not str:
            raise SnapshotError(f"expected a name, found {shown(name)}")
    return {name: at(f"[{name[:_SHOWN]!r}]", check, data[name]) for name in sorted(data)}


def whole(data: Any, least: int, most: int) -> int:
    """Return an integer within bounds."""
    if type(data) is not int:
        raise SnapshotError(f"expected an integer, found {shown(data)}")
    if not least <= data <= most:
        raise SnapshotError(f"{shown(data)} is not from {least} to {most}")
    return data


def boolean(data: Any) -> bool:
    """Return true or false."""
    if type(data) is not bool:
        raise SnapshotError(f"expected true or false, found {shown(data)}")
    return data


def string(data: Any) -> str:
    """Return a string."""
    if type(data) is not str:
        raise SnapshotError(f"expected a string, found {shown(data)}")
    return data
