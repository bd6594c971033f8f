"""Wasmer 2.1 through the ``wasmer`` 1.1.0 package: exported functions without values, and one import that tells.

The package would embed more, but it rounds f32 through Python floats, shows no tables and panics on references.  So
the adapter does what it does exactly: it instantiates a module whose only import may be ``wfuzz.emit`` (an i64), calls
exports of type ``[] -> []``, and answers with the words that a call emitted as ``data.output`` (hex, little-endian).
``harness.shim`` turns plans into such modules.  Runs in a side environment with CPython 3.10.

Frames of a trap stand in its text.  Cranelift's are exact but for a load that it makes a part of the instruction that
uses it; singlepass does not find the way through its own frames.

Variants: ``cranelift`` (also where none is given) and ``singlepass``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import struct
from typing import TYPE_CHECKING, Any

from oracles.adapter import Answer, Description, RefusingSession, Session, Unavailable, blocked, refusal
from oracles.adapters.wasmer import TrappedSession
from oracles.outcome import Rejected, Returned

if TYPE_CHECKING:
    from oracles.adapter import Adapter
    from oracles.outcome import Outcome
    from oracles.plan import Plan, Step

__all__ = ["Wasmer1Adapter", "Wasmer1Session", "adapter"]

_COMMON = (
    "bulk-memory", "mutable-globals", "mvp", "reference-types", "saturating-float-to-int", "sign-extension",
)  # fmt: skip
FEATURES = {"cranelift": ("multi-value", "simd", *_COMMON), "singlepass": _COMMON}

# The release has a draft of the vector proposal: a module with one of these is refused ("proposed simd operator").
DRAFT = (
    "f32x4.demote_f64x2_zero", "f64x2.promote_low_f32x4", "f64x2.convert_low_i32x4_u", "i8x16.popcnt",
    "i16x8.extadd_pairwise_i8x16_s", "i16x8.extadd_pairwise_i8x16_u",
    "i32x4.extadd_pairwise_i16x8_s", "i32x4.extadd_pairwise_i16x8_u", "i16x8.q15mulr_sat_s",
    "i16x8.extmul_low_i8x16_s", "i16x8.extmul_high_i8x16_s", "i16x8.extmul_low_i8x16_u", "i16x8.extmul_high_i8x16_u",
    "i32x4.extmul_low_i16x8_s", "i32x4.extmul_high_i16x8_s", "i32x4.extmul_low_i16x8_u", "i32x4.extmul_high_i16x8_u",
    "i64x2.extmul_low_i32x4_s", "i64x2.extmul_high_i32x4_s", "i64x2.extmul_low_i32x4_u", "i64x2.extmul_high_i32x4_u",
    "i64x2.extend_low_i32x4_s", "i64x2.extend_high_i32x4_s", "i64x2.extend_low_i32x4_u", "i64x2.extend_high_i32x4_u",
    "i32x4.trunc_sat_f64x2_s_zero", "i32x4.trunc_sat_f64x2_u_zero",
)  # fmt: skip
_TEXT_CAP = 600


class Wasmer1Session(TrappedSession):
    """``instances`` holds the package's instances; ``words`` what the current call has emitted."""

    def __init__(self, plan: Plan, wasmer: Any, store: Any) -> None:
        super().__init__(plan)
        self.wasmer = wasmer
        self.store = store
        self.words: list[int] = []

    def step_instantiate(self, step: Step) -> Answer:
        self.instances.pop(step["instance"], None)
        wasm = self.binary(step["module"])
        try:
            module = self.wasmer.Module(self.store, wasm)
        except BaseException as e:  # noqa: BLE001  the package panics with a class of its own below BaseException
            return Rejected("module", str(e)[:_TEXT_CAP]), None
        imports = self.wasmer.ImportObject()
        signature = self.wasmer.FunctionType([self.wasmer.Type.I64], [])
        imports.register("wfuzz", {"emit": self.wasmer.Function(self.store, self.words.append, signature)})
        try:
            self.instances[step["instance"]] = self.wasmer.Instance(module, imports)
        except RuntimeError as e:
            text = str(e)
            if "Error while importing" in text:
                return Rejected("unlinkable", text[:_TEXT_CAP]), None
            outcome, data = self.trapped(text.partition("RuntimeError: ")[2] or text)
            return outcome, data or None
        return Returned(), None

    def step_call(self, step: Step) -> Answer:
        instance = self.instance(step["instance"])
        try:
            function = getattr(instance.exports, step["export"])
        except LookupError:
            raise blocked(f"no exported function {step['export']}") from None
        if step["args"]:
            raise blocked("functions without values only")
        self.words.clear()
        outcome: Outcome = Returned()
        data: dict[str, Any] = {}
        try:
            function()
        except RuntimeError as e:
            outcome, data = self.trapped(str(e))
        words = [w % 2**64 for w in self.words]
        return outcome, {"output": struct.pack(f"<{len(words)}Q", *words).hex(), **data}


class Wasmer1Adapter:
    """One compiler of the package; a store per plan."""

    def __init__(self, variant: str) -> None:
        compiler = variant or "cranelift"
        if compiler not in FEATURES:
            raise Unavailable(f"wasmer@1.1 has no variant {variant!r}; known: {', '.join(FEATURES)}")
        try:
            self.wasmer = importlib.import_module("wasmer")
            self.compiler = importlib.import_module(f"wasmer_compiler_{compiler}").Compiler
        except ImportError as e:
            raise Unavailable(f"wasmer 1.1 is not in this environment ({e}); wfuzz oracles install wasmer@1.1") from e
        self._description = Description(
            name="wasmer",
            version=importlib.metadata.version("wasmer"),
            variant=variant,
            features=FEATURES[compiler],
            without=DRAFT if "simd" in FEATURES[compiler] else (),
            steps=("instantiate", "call", "debug"),
            actions=(),
            types=(),
            nan=("module", "none"),
            sees=(),
            can=("import", "frames") if compiler == "cranelift" else ("import",),
            python=platform.python_version(),
        )

    def describe(self) -> Description:
        return self._description

    def open(self, plan: Plan) -> Session:
        what = refusal(plan, self._description)
        if what is not None:
            return RefusingSession(plan, what)
        engine = self.wasmer.engine
        return Wasmer1Session(plan, self.wasmer, self.wasmer.Store(engine.JIT(self.compiler)))


def adapter(variant: str) -> Adapter:
    """Return the adapter of a compiler, or raise Unavailable."""
    return Wasmer1Adapter(variant)
