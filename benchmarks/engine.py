"""``python -m benchmarks.engine``: this engine against pywasm in the same process.

Both run the same binary, alternately, in CPU time; the figure is the ratio of medians of seven.  Programs are warm:
the module is instantiated once and has run before.  The cold figure is the other end: from the bytes of generated
modules of about 333 instructions to the results of their first calls, with validation on our side and none on theirs.
"""

from __future__ import annotations

import gc
import io
import platform
import sys
import time
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING, Any

import pywasm
import wasmtime

from benchmarks.programs import PROGRAMS
from engine import Store, decode, instantiate, invoke, validate
from engine.errors import WasmError
from engine.features import BULK_MEMORY, MULTI_VALUE, SATURATING_FLOAT, SIGN_EXTENSION, WASM_1
from generators.module import generate
from generators.profile import Profile
from generators.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.programs import Program

ROUNDS = 7
COLD_MODULES = 40
SMALL, LARGE = 300, 366
PROFILE = Profile(
    name="cold", features=WASM_1 | {SIGN_EXTENSION, SATURATING_FLOAT, MULTI_VALUE, BULK_MEMORY}, hosts=(0, 0),
    functions=(3, 5), table_percent=0, reference_percent=0, start_percent=0, calls=(8, 12), instructions=100,
)  # fmt: skip


def cpu_s(action: Callable[[], Any]) -> float:
    """Return the CPU time of one run, which starts without garbage and collects none."""
    gc.collect()
    start = time.process_time()
    action()
    return time.process_time() - start


def compare(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float]:
    """Return the median times of both, run alternately."""
    times = [(cpu_s(ours), cpu_s(theirs)) for _ in range(ROUNDS)]
    return median(a for a, _ in times), median(b for _, b in times)


def instructions(wasm: bytes, argument: int) -> int:
    """Return how many instructions ``run`` executes."""
    store = Store()
    instance = instantiate(store, decode(wasm))
    store.fuel_left = budget = 1 << 60
    invoke(store, instance.exports["run"], (argument,))  # type: ignore[arg-type]
    return budget - store.fuel_left


def hot() -> None:
    """Print one line per program."""
    print(f"{'program':12} {'ns/instr':>9} {'pywasm':>9} {'times faster':>13}")
    for program in PROGRAMS:
        wasm = bytes(wasmtime.wat2wasm(f"(module {program.text})"))
        module = decode(wasm)
        validate(module)
        store = Store()
        run = instantiate(store, module).exports["run"]
        if not program.has_rival:
            alone(program, wasm, store, run)
            continue
        runtime = pywasm.core.Runtime()
        theirs = runtime.instance(pywasm.core.ModuleDesc.from_reader(io.BytesIO(wasm)))
        argument = program.argument

        def ours_run(store: Store = store, run: Any = run, argument: int = argument) -> Any:
            return invoke(store, run, (argument,))

        def theirs_run(runtime: Any = runtime, theirs: Any = theirs, argument: int = argument) -> Any:
            return runtime.invocate(theirs, "run", [argument])

        (a,), (b,) = ours_run(), theirs_run()
        if a != b and a != b % 2**64 and a != b % 2**32:
            sys.exit(f"{program.name}: {a} against {b}")
        n = instructions(wasm, argument)
        us, they = compare(ours_run, theirs_run)
        print(f"{program.name:12} {us / n * 1e9:9.1f} {they / n * 1e9:9.0f} {they / us:13.1f}")


def alone(program: Program, wasm: bytes, store: Store, run: Any) -> None:
    """Print the line of a program that only this engine runs."""

    def ours_run() -> Any:
        return invoke(store, run, (program.argument,))

    ours_run()
    n = instructions(wasm, program.argument)
    us = median(cpu_s(ours_run) for _ in range(ROUNDS))
    print(f"{program.name:12} {us / n * 1e9:9.1f} {'-':>9} {'-':>13}")


def cold_modules() -> list[tuple[bytes, list[tuple[str, list[Any]]]]]:
    """Return binaries of about 333 instructions with the calls to make."""
    out: list[tuple[bytes, list[tuple[str, list[Any]]]]] = []
    seed = 0
    while len(out) < COLD_MODULES:
        case = generate(Source.fresh("cold", seed), PROFILE)
        seed += 1
        size = sum(len(code.body) for code in case.module.codes)
        steps = [step for step in case.plan.steps if step.kind == "call"]
        kinds = {kind for step in steps for kind, _ in step["args"]}
        if SMALL <= size <= LARGE and kinds <= {"i32", "i64"}:
            calls = [(step["export"], [int(v, 16) for _, v in step["args"]]) for step in steps]
            if _theirs_can(case.wasm, calls):
                out.append((case.wasm, calls))
    return out


def _theirs_can(wasm: bytes, calls: list[tuple[str, list[Any]]]) -> bool:
    """Tell whether pywasm ends each call, with results or with what it raises for a trap."""
    try:
        runtime = pywasm.core.Runtime()
        runtime.instance(pywasm.core.ModuleDesc.from_reader(io.BytesIO(wasm)))
    except Exception:  # noqa: BLE001  # whatever it raises, the module is no use here
        return False
    return True


def run_ours(wasm: bytes, calls: list[tuple[str, list[Any]]]) -> None:
    module = decode(wasm)
    validate(module)
    store = Store()
    instance = instantiate(store, module)
    for name, args in calls:
        try:
            invoke(store, instance.exports[name], args)  # type: ignore[arg-type]
        except WasmError:
            continue


def run_theirs(wasm: bytes, calls: list[tuple[str, list[Any]]]) -> None:
    runtime = pywasm.core.Runtime()
    instance = runtime.instance(pywasm.core.ModuleDesc.from_reader(io.BytesIO(wasm)))
    for name, args in calls:
        try:
            runtime.invocate(instance, name, args)
        except Exception:  # noqa: BLE001  # a trap there is any exception
            runtime.machine.stack = type(runtime.machine.stack)()


def cold() -> None:
    """Print the time per module from its bytes to the results."""
    modules = cold_modules()
    for wasm, calls in modules[:5]:
        run_ours(wasm, calls)
        run_theirs(wasm, calls)

    def each(run: Callable[[bytes, list[tuple[str, list[Any]]]], None]) -> None:
        for wasm, calls in modules:
            run(wasm, calls)

    us, they = compare(lambda: each(run_ours), lambda: each(run_theirs))
    n = len(modules)
    print(f"cold module: {us / n * 1e3:.2f} ms, pywasm {they / n * 1e3:.2f} ms, ratio {us / they:.2f}")


def main() -> None:
    """Print everything."""
    print(f"{platform.python_implementation()} {platform.python_version()}, pywasm {version('pywasm')}")
    gc.disable()
    hot()
    cold()


if __name__ == "__main__":
    main()
