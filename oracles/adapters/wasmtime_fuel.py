"""Which fuel model a build of wasmtime counts by, found out by small measurements when its worker starts.

Each measurement is a call with so much fuel; it leaves what the models say in their columns, or the model is not the
engine's.  What versions are known to differ in has a measurement: bulk operators by constant and by computed lengths,
refused growth, start functions and constant expressions, counters that calls by reference and handlers lose, refunds
at traps.  A new model is a new column; a test holds each column against the model of that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oracles.outcome import Rejected, Unsupported
from oracles.plan import Plan, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from oracles.adapter import Session

__all__ = ["MEASUREMENTS", "MODELS", "fitting", "measure", "plan"]

CORE = """(module
  (global $seven i32 (i32.add (i32.const 3) (i32.const 4)))
  (global $state (mut i32) (i32.const 9))
  (memory 1 4)
  (table 1 4 funcref)
  (elem (i32.const 0) $leaf)
  (data (i32.const 8) "micro")
  (func $leaf nop)
  (func $start (global.set $state (i32.const 5)))
  (start $start)
  (func (export "empty"))
  (func (export "free") (block (drop (i32.const 1))) nop (loop) return)
  (func (export "if") (param i32) (if (local.get 0) (then (global.set $state (i32.const 1))) (else nop)))
  (func (export "loop") (param i32)
    (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "call") (call $leaf) (call_indirect (i32.const 0)))
  (func (export "fill") (memory.fill (i32.const 0) (i32.const 7) (i32.const 200)))
  (func (export "fill a few") (memory.fill (i32.const 0) (i32.const 7) (i32.const 100)))
  (func (export "fill some") (param i32) (memory.fill (i32.const 0) (i32.const 7) (local.get 0)))
  (func (export "grow") (result i32) (memory.grow (i32.const 2)))
  (func (export "grow too much") (result i32) (memory.grow (i32.const 100)))
  (func (export "grow a table") (result i32) (table.grow (ref.null func) (i32.const 100)))
  (func (export "divide") (call $leaf) (if (i32.const 1) (then nop)) (drop (i32.div_u (i32.const 1) (i32.const 0))))
  (func (export "unreachable") (drop (i32.const 1)) unreachable)
  (func (export "never in bounds") (drop (i32.load offset=0xffffffff (i32.const 1))))
  (func (export "no function") (call_indirect (i32.const 3))))"""

MORE = """(module
  (type $f (func)) (type $a (array (mut i32)))
  (func $leaf nop)
  (elem declare func $leaf)
  (func (export "tail") (return_call $leaf))
  (func (export "by reference") (call_ref $f (ref.func $leaf)))
  (func (export "branch") (param i32)
    (block
      (drop (br_on_null 0 (select (result funcref) (ref.null func) (ref.func $leaf) (local.get 0))))
      (drop (i32.const 1)))
    (drop (i32.const 1)))
  (func (export "array") (drop (array.new_default $a (i32.const 5))))
  (func (export "copy") (param $n i32) (local $x (ref $a))
    (local.set $x (array.new_default $a (i32.const 9)))
    (array.copy $a $a (local.get $x) (i32.const 0) (local.get $x) (i32.const 1) (local.get $n))))"""

THROWING = """(module
  (tag $e)
  (func $throw (throw $e))
  (func (export "catch") (block $h (try_table (catch_all $h) (call $throw))))
  (func (export "throw") (drop (i32.const 1)) (throw $e)))"""

STARTUP = "(module (global i32 (i32.add (i32.const 3) (i32.const 4))))"

MEMORY = '(module (memory (export "m") 1))'
IMAGES = '(module (import "provider" "m" (memory 1)) (memory 1) (data (memory 1) (i32.const 0) "image"))'

START = ""  # of a measurement: instantiation
Measurement = tuple[str, tuple[int, ...], int, tuple["int | None", ...]]

MODELS = (
    "wasmtime 50", "wasmtime 50:winch", "wasmtime 50:pulley", "wasmtime 48", "wasmtime 48:winch", "wasmtime 48:pulley",
    "wasmtime 36",
)  # fmt: skip
# export, arguments, fuel before, fuel after by each model; None where the compiler lacks the module
MEASUREMENTS: dict[str, tuple[Measurement, ...]] = {
    CORE: (
        (START, (), 1000, (995, 995, 995, 995, 995, 995, 997)),
        ("empty", (), 1000, (999, 999, 999, 999, 999, 999, 999)),
        ("empty", (), 1, (0, 0, 0, 0, 0, 0, 0)),
        ("empty", (), 2, (1, 1, 1, 1, 1, 1, 1)),
        ("free", (), 1000, (998, 998, 998, 998, 998, 998, 998)),
        ("if", (0,), 1000, (997, 997, 997, 997, 997, 997, 997)),
        ("if", (1,), 1000, (995, 995, 995, 995, 995, 995, 995)),
        ("loop", (3,), 1000, (984, 984, 984, 984, 984, 984, 984)),
        ("loop", (3,), 9, (0, 0, 0, 0, 0, 0, 0)),
        ("call", (), 1000, (994, 994, 994, 994, 994, 994, 994)),
        ("fill", (), 1000, (795, 995, 795, 795, 995, 795, 995)),
        ("fill", (), 100, (0, 95, 0, 0, 95, 0, 95)),
        ("fill a few", (), 50, (0, 45, 0, 0, 45, 0, 45)),
        ("fill some", (0,), 1000, (995, 995, 995, 995, 995, 995, 995)),
        ("fill some", (60,), 1000, (935, 995, 935, 935, 995, 935, 995)),
        ("fill some", (60,), 40, (0, 35, 0, 0, 35, 0, 35)),
        ("grow", (), 1000, (995, 997, 995, 997, 997, 997, 997)),
        ("grow", (), 1000, (995, 997, 995, 997, 997, 997, 997)),
        ("grow too much", (), 1000, (897, 997, 897, 997, 997, 997, 997)),
        ("grow a table", (), 1000, (896, 996, 896, 896, 996, 896, 996)),
        ("divide", (), 1000, (997, 995, 997, 997, 995, 997, 997)),
        ("unreachable", (), 1000, (998, 998, 998, 998, 998, 998, 998)),
        ("never in bounds", (), 1000, (997, 997, 997, 997, 997, 997, 997)),
        ("no function", (), 1000, (997, 997, 997, 997, 997, 997, 997)),
    ),
    MORE: (
        ("tail", (), 1000, (997, None, 997, 997, None, 997, 997)),
        ("by reference", (), 1000, (996, None, 996, 997, None, 997, 997)),
        ("branch", (0,), 1000, (992, None, 992, 992, None, 992, 992)),
        ("branch", (1,), 1000, (993, None, 993, 993, None, 993, 998)),
        ("array", (), 1000, (992, None, 992, 992, None, 992, 997)),
        ("copy", (3,), 1000, (978, None, 978, 978, None, 978, 990)),
        ("copy", (3,), 10, (0, None, 0, 0, None, 0, 0)),
        ("copy", (200,), 1000, (1000, None, 1000, 1000, None, 1000, 1000)),
    ),
    STARTUP: ((START, (), 1000, (996, 996, 996, 999, 999, 999, 1000)),),
    IMAGES: ((START, (), 100_000, (95_903, 95_903, 34_463, 95_903, 95_903, 34_463, 100_000)),),
    THROWING: (
        ("catch", (), 1000, (995, None, 995, 997, None, 997, None)),
        ("throw", (), 1000, (997, None, 997, 997, None, 997, None)),
    ),
}


def plan(text: str) -> Plan:
    """Return the plan of a module's measurements: two steps for each, after one that assembles and one for fuel."""
    steps = [
        Step("assemble", {"module": "p", "text": "p"}),
        Step("instantiate", {"instance": "p", "module": "p", "imports": {}}),
        Step("assemble", {"module": "m", "text": "t"}),
        Step("set_fuel", {"fuel": 1000}),
    ]
    if MEASUREMENTS[text][0][0] != START:
        steps.append(Step("instantiate", {"instance": "i", "module": "m", "imports": {"provider": ["p"]}}))
    for export, args, fuel, _ in MEASUREMENTS[text]:
        steps.append(Step("set_fuel", {"fuel": fuel}))
        if export == START:
            steps.append(Step("instantiate", {"instance": "i", "module": "m", "imports": {"provider": ["p"]}}))
        else:
            values = [["i32", f"{n:08x}"] for n in args]
            steps.append(Step("call", {"instance": "i", "export": export, "args": values}))
    return Plan(tuple(steps), texts={"p": MEMORY.encode(), "t": text.encode()}, features=("all",), nan="none")


def measure(text: str, open_: Callable[[Plan], Session]) -> list[int | None]:
    """Return what each measurement of a module leaves, None where the engine lacks the module or step."""
    asked = plan(text)
    session = open_(asked)
    try:
        answers = [session.run(step) for step in asked.steps]
    finally:
        session.close()
    if any(isinstance(outcome, (Rejected, Unsupported)) for outcome, _ in answers):
        return [None] * len(MEASUREMENTS[text])
    left = [(data or {}).get("fuel") for _, data in answers]
    return left[-1 : -2 * len(MEASUREMENTS[text]) : -2][::-1]


def fitting(open_: Callable[[Plan], Session]) -> tuple[str, str]:
    """Return the model by which the engine behind ``open_`` counts, or "" and why that is none."""
    found = {text: measure(text, open_) for text in MEASUREMENTS}
    reasons: list[tuple[int, str]] = []
    for column, model in enumerate(MODELS):
        wrong = [
            f"{export or 'instantiation'} leaves {left} of {fuel}, {wanted[column]} by {model}"
            for text, rows in MEASUREMENTS.items()
            for (export, _, fuel, wanted), left in zip(rows, found[text], strict=True)
            if left != wanted[column]
        ]
        if not wrong:
            return model, ""
        reasons.append((len(wrong), wrong[0]))
    return "", f"it counts by none of {len(MODELS)} fuel models: {min(reasons)[1]}"
