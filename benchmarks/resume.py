"""``python -m benchmarks.resume``: what it costs to stop and go on, and what it costs to count fuel.

CPU time.  A stop is one pause and one resume of a call that is 1, 3,000 or 9,000 frames deep: at the store's interval
of fuel, for want of fuel, and by a function of the host that raises, where most is the raising.  The best and the
median of many short rounds are told: on a machine that others use too, they lie far apart.  Fuel is compared in pairs,
one run with and one without it right after each other, over the programs of ``benchmarks.engine``, medians of nine.
"""

from __future__ import annotations

import gc
import platform
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.programs import PROGRAMS
from engine import Config, Finished, HostTrap, Store, Suspended, call_resumable, instantiate, invoke, parse, validate
from engine.execution.fuel_models import fuel_model
from engine.types import FuncType

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.execution.fuel import FuelModel

ROUNDS = 9
STOPS, BATCHES = 1_000, 200
DEPTHS = (0, 3_000, 9_000)
PLENTY = 1 << 60

# Goes down as deep as it is told, then spins: with a call of the host in the loop, or without.
TEXT = """(module (import "" "h" (func $h)) (global $asks (export "asks") (mut i32) (i32.const 0))
  (func $f (export "f") (param $n i32)
    (if (local.get $n) (then (call $f (i32.sub (local.get $n) (i32.const 1))))
      (else (if (global.get $asks) (then (loop (call $h) (br 0))) (else (loop (br 0))))))))"""


class Stop(Exception):
    """What the host raises."""


def spinning(depth: int, asks: bool, interval: int | None, fuel: int) -> tuple[Store, Suspended]:
    """Return a call that is ``depth`` frames deep and stops in every round of its loop."""

    def host(caller: Any, args: Any) -> list[Any]:
        raise Stop

    module = parse(TEXT)
    validate(module)
    store = Store(Config(max_depth=10_000))
    instance = instantiate(store, module, [store.alloc_host_func(FuncType((), ()), host)])
    asked: Any = instance.exports["asks"]
    asked.value = int(asks)
    store.set_fuel(PLENTY)
    store.set_fuel_interval(100_000_000 if interval is None else interval)
    func: Any = instance.exports["f"]
    call = call_resumable(store, func, depth)
    while not isinstance(call, Finished) and len(call.activation.frames) <= depth:
        call = call.resume(store)
    assert isinstance(call, Suspended)
    store.set_fuel_interval(interval)
    store.set_fuel(fuel)
    return store, call


def stop_ns(store: Store, call: Finished | Suspended) -> tuple[float, float]:
    """Return the best and the median time of one stop, which comes at once each time."""
    times = []
    for _ in range(BATCHES):
        start = time.process_time_ns()
        for _ in range(STOPS):
            call = call.resume(store)  # type: ignore[union-attr]
        times.append((time.process_time_ns() - start) / STOPS)
    return min(times), median(times)


def stops() -> None:
    """Print a line for each kind of stop."""
    print(f"{'ns for a stop at depth':24} " + " ".join(f"{depth:>15,}" for depth in DEPTHS) + "   best / median")
    kinds = {
        "interval of fuel": (False, 1, PLENTY),
        "out of fuel": (False, 1, 0),
        "the host raises": (True, 1, PLENTY),
    }
    for name, (asks, interval, fuel) in kinds.items():
        cells = []
        for depth in DEPTHS:
            store, call = spinning(depth, asks, interval, fuel)
            if asks:
                while not isinstance(call, HostTrap):
                    call = call.resume(store)  # type: ignore[assignment]
                store.set_fuel_interval(None)
            cells.append(stop_ns(store, call))
        print(f"{name:24} " + " ".join(f"{best:7,.0f} /{usual:6,.0f}" for best, usual in cells))


def cpu_s(action: Callable[[], Any]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def metering(model: FuelModel) -> None:
    """Print what counting by a model costs, program by program."""
    ratios = []
    for program in PROGRAMS:
        module = parse(f"(module {program.text})")
        validate(module)
        runs = []
        for fuel in (None, PLENTY):
            store = Store(Config(fuel_model=model))
            run: Any = instantiate(store, module).exports["run"]
            store.set_fuel(fuel)
            runs.append(partial(invoke, store, run, (program.argument,)))
            runs[-1]()
        pairs = []
        for i in range(ROUNDS):
            first, second = runs if i % 2 else runs[::-1]
            a, b = cpu_s(first), cpu_s(second)
            pairs.append(b / a if i % 2 else a / b)
        ratios.append(median(pairs))
        print(f"{program.name:12} {100 * (ratios[-1] - 1):+6.1f} %")
    print(f"{'all':12} {100 * (median(ratios) - 1):+6.1f} %  fuel of {model} on against off")


def main() -> None:
    """Print everything."""
    print(f"{platform.python_implementation()} {platform.python_version()}")
    gc.disable()
    stops()
    metering(fuel_model("wasmtime", 50))


if __name__ == "__main__":
    main()
