"""Resumable calls of small modules that import one function of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from engine import Config, HostTrap, InvocationConsumed, Store, Yielded, instantiate
from engine.types import I32, FuncType
from tests.support.wasm import wat

if TYPE_CHECKING:
    from engine import Suspended
    from engine.runtime.instance import ModuleInst

__all__ = ["COUNT", "EXIT", "GIVES_I32", "NESTED", "Exit", "is_over", "raises", "setup", "start", "stopped"]

GIVES_I32 = FuncType((), (I32,))
EXIT = '(import "env" "host_fn" (func $host_fn (result i32)))'
COUNT = """(module (import "" "h" (func (result i32))) (global $g (export "g") (mut i32) (i32.const 0))
  (func (export "test") (result i32)
    (loop $l (global.set $g (i32.add (global.get $g) (i32.const 1)))
      (br_if $l (i32.lt_u (global.get $g) (i32.const 9))))
    (global.get $g)))"""


NESTED = """(module (import "env" "host_fn" (func $host_fn (result i32)))
  (func (export "test") (result i32) (i32.add (i32.const 1) (call $host_fn)))
  (func (export "trap") (result i32) unreachable)
  (func (export "spin") (result i32) (loop (br 0)) (i32.const 0)))"""


class Exit(Exception):
    """What the host raises to stop a call."""


def raises(caller: Any, args: Any) -> Any:
    """The function of the host that cannot answer."""
    raise Exit(args)


def setup(text: str, host: Any = raises, functype: FuncType = GIVES_I32, **config: Any) -> ModuleInst:
    """Return an instance whose one import is ``host``, in a store of its own with all checks."""
    store = Store(Config(checks=True, **config))
    return instantiate(store, wat(text), [store.alloc_host_func(functype, host)])


def start(i: ModuleInst, export: str = "test", *args: Any) -> Any:
    """Begin a resumable call."""
    func: Any = i.exports[export]
    return func.call_resumable(i.store, *args)


def stopped(kind: type[Suspended]) -> tuple[ModuleInst, Any]:
    """Return an instance and a suspended call of a kind."""
    if kind is HostTrap:
        i = setup(f'(module {EXIT} (func (export "test") (result i32) (call $host_fn)))')
    else:
        i = setup(COUNT)
        i.store.set_fuel(100 if kind is Yielded else 0)
        i.store.set_fuel_interval(3)
    call = start(i)
    assert type(call) is kind
    return i, call


def is_over(i: ModuleInst, call: Any) -> None:
    """Assert that a handle is consumed and nothing is left of its call."""
    assert call.is_consumed
    for use in (lambda: call.resume(i.store), call.into_error, lambda: call.activation):
        with pytest.raises(InvocationConsumed):
            use()
    call.close()
    assert i.store.vm_state()[:3] == (0, 0, 0)
