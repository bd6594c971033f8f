"""Ways to spoil a snapshot that know what it is made of: numbers, digits, references, lists, objects, frames.

Each changes plain data in place.  Half of all changes are in what is suspended, because there the most must fit; some
make an instantiation of a call or a call of an instantiation.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from generators.source import Source

__all__ = ["spoil"]

_INTEGERS = (0, 1, -1, 2, 15, 16, 17, 4095, 4096, 65535, 65536, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 64, 10**30)
_OTHERS: tuple[Any, ...] = (None, True, False, 0, -1, 1.5, "", "0", "f0", "o0", "i1", "x0", "i32", [], {}, [[]], [0, 0])
_STARTS = ("entry", "loop", "bulk", "plain", "end", "")
_HEX = "0123456789abcdefgF"

Place = tuple[Any, Any]  # a container, and an index or name in it


def spoil(source: Source, data: Any) -> None:
    """Change one thing, or swap or copy two."""
    everywhere = list(_places(data))
    calls = list(_places(data["calls"])) if isinstance(data.get("calls"), dict) else []
    places = calls if calls and source.chance(50) else everywhere
    if not places:
        return
    references = [place for place in places if _kind(place[0][place[1]]) == "reference"]
    if references and source.chance(25):
        _retarget(source, references, data)
        return
    if calls and source.chance(5):
        _rewrap(source, data["calls"])
        return
    container, key = source.choose(places)
    value = container[key]
    how = source.below(12)
    if how == 0:
        container[key] = _copy(source.choose(_OTHERS))
    elif how == 1:
        _graft(source, everywhere, container, key)
    elif how == 2:
        _swap(source, everywhere, container, key)
    elif isinstance(container, list) and how < 6:
        _in_list(source, container, key)
    elif how == 6 and isinstance(container, dict):
        _in_object(source, container, key)
    else:
        container[key] = _other(source, key, value, everywhere)


def _places(data: Any) -> Iterator[Place]:
    """Give every place in plain data, without recursion."""
    todo = [data]
    while todo:
        container = todo.pop()
        found: Any = container.items() if isinstance(container, dict) else enumerate(container)
        for key, value in list(found):
            yield container, key
            if isinstance(value, (dict, list)):
                todo.append(value)


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _kind(value: Any) -> Any:
    """Return what values must share to stand for each other: references with references, digits with digits."""
    if isinstance(value, str):
        return "reference" if value[:1] in "fxio" and value[1:].isdigit() else len(value)
    return type(value)


def _alike(source: Source, places: list[Place], value: Any) -> Place | None:
    """Return a place with something of the same kind, if one is found soon."""
    for _ in range(20):
        container, key = source.choose(places)
        if _kind(container[key]) == _kind(value) and container[key] != value:
            return container, key
    return None


def _graft(source: Source, places: list[Place], container: Any, key: Any) -> None:
    other = _alike(source, places, container[key]) or source.choose(places)
    container[key] = _copy(other[0][other[1]])


def _retarget(source: Source, references: list[Place], data: Any) -> None:
    """Let a reference point to something else that there is, of any type."""
    container, key = source.choose(references)
    store = data["store"] if isinstance(data.get("store"), dict) else {}
    letter, part = source.choose((("o", "objects"), ("f", "funcs"), ("x", "externs"), ("i", "")))
    there = store.get(part)
    n = source.below(len(there)) if isinstance(there, list) and there else 0
    container[key] = f"{letter}{n}"


def _rewrap(source: Source, calls: dict[str, Any]) -> None:
    """Take what is suspended for the start function of an instantiation, or its start function for a call."""
    name = source.choose(sorted(calls))
    going = calls[name]
    if isinstance(going, dict) and "call" in going and source.chance(80):
        calls[name] = going["call"]
    else:
        numbers: tuple[Any, ...] = (None, 0, 1, source.below(20))
        check, required = source.choose(numbers), source.choose(numbers)
        call = None if check is not None and source.chance(80) else going
        calls[name] = {"instance": 0, "check": check, "required": required, "lengths": [], "call": call}


def _swap(source: Source, places: list[Place], container: Any, key: Any) -> None:
    other = _alike(source, places, container[key])
    if other is not None:
        mine, yours = _copy(container[key]), _copy(other[0][other[1]])
        container[key] = yours
        other[0][other[1]] = mine


def _in_list(source: Source, container: list[Any], key: int) -> None:
    how = source.below(5)
    if how == 0:
        del container[key]
    elif how == 1:
        container.insert(key, _copy(container[key]))
    elif how == 2:
        del container[key:]
    elif how == 3:
        container += [container[key]] * source.choose((1, 10, 1000))
    else:
        container.append(_copy(source.choose(_OTHERS)))


def _in_object(source: Source, container: dict[str, Any], key: str) -> None:
    how = source.below(3)
    value = container[key]
    if how != 2:
        del container[key]
    if how:
        container[source.choose((key + "s", "x", "tail", "host", "array", "tag", ""))] = value


def _other(source: Source, key: Any, value: Any, places: list[Place]) -> Any:
    """Return another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return source.choose((value + 1, value - 1, value * 2, source.below(64), source.choose(_INTEGERS)))
    if key == "start":
        return source.choose(_STARTS)
    if isinstance(value, str) and value:
        return _other_text(source, value)
    if isinstance(value, list) and value:
        return value[::-1] if source.chance(50) else [*value, *_copy(value)]
    other = source.choose(places)
    return _copy(other[0][other[1]])


def _other_text(source: Source, value: str) -> str:
    if _kind(value) == "reference":
        n = source.choose((int(value[1:]) + 1, max(int(value[1:]) - 1, 0), source.below(16), source.choose(_INTEGERS)))
        return f"{source.choose((value[0], *'fxio'))}{n}"
    how = source.below(4)
    i = source.below(len(value))
    if how == 0:
        return value[:i]
    if how == 1:
        return value + value[i:]
    return value[:i] + source.choose(_HEX) + value[i + 1 :]
