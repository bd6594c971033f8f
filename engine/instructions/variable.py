"""Variable instructions (spec: syntax-instr-variable)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError
from engine.features import MVP
from engine.instructions.immediates import GLOBALIDX, LOCALIDX
from engine.instructions.model import Effect, Instr, Region
from engine.types import Arrow

if TYPE_CHECKING:
    from engine.types import GlobalType, ValType

__all__ = ["ROWS"]

_LOCAL = frozenset({Region.LOCAL})
_GLOBAL = frozenset({Region.GLOBAL})


def local_get(frame: Any, x: int) -> Any:
    """Spec: exec-local.get."""
    return frame.locals[x]


def local_set(frame: Any, x: int, v: Any) -> None:
    """Spec: exec-local.set."""
    frame.locals[x] = v


def local_tee(frame: Any, x: int, v: Any) -> Any:
    """Spec: exec-local.tee."""
    frame.locals[x] = v
    return v


def global_get(frame: Any, x: int) -> Any:
    """Spec: exec-global.get."""
    return frame.module.globals[x].value


def global_set(frame: Any, x: int, v: Any) -> None:
    """Spec: exec-global.set."""
    frame.module.globals[x].value = v


@cache
def _push(t: ValType) -> Arrow:
    return Arrow((), (t,))


@cache
def _pop(t: ValType) -> Arrow:
    return Arrow((t,), ())


@cache
def _keep(t: ValType) -> Arrow:
    return Arrow((t,), (t,))


def _global_set(c: Any, x: int) -> Arrow:
    """Spec: valid-global.set."""
    t: GlobalType = c.global_(x)
    if not t.mutable:
        raise InvalidError("immutable global: global.set needs a mutable global")
    return _pop(t.valtype)


def _variable(name: str, opcode: int, **rest: Any) -> Instr:
    return Instr(name=name, opcode=opcode, effect=Effect.STATE, family="variable", spec=f"exec-{name}", **rest)


# fmt: off
ROWS = [
    _variable("local.get",  0x20, imms=(LOCALIDX,),  type=lambda c, x: _push(c.local(x)),
              run=local_get, reads=_LOCAL, weight=300),
    _variable("local.set",  0x21, imms=(LOCALIDX,),  type=lambda c, x: _pop(c.local(x)),
              run=local_set, writes=_LOCAL, weight=200),
    _variable("local.tee",  0x22, imms=(LOCALIDX,),  type=lambda c, x: _keep(c.local(x)),
              run=local_tee, writes=_LOCAL),
    _variable("global.get", 0x23, imms=(GLOBALIDX,), type=lambda c, x: _push(c.global_(x).valtype),
              run=global_get, reads=_GLOBAL, const=MVP),
    _variable("global.set", 0x24, imms=(GLOBALIDX,), type=_global_set,
              run=global_set, writes=_GLOBAL),
]
# fmt: on
