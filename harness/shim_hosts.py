"""Host functions as data compiled to functions of the driver module, action by action.

What the workers do in ``oracles.adapter.Session`` is done here by instructions: an action on the instance is skipped
until the instance is made, the nesting of host calls is bounded, a ``trap`` tells its host function and then executes
``unreachable``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.types import F32, F64, I32, I64, V128, RefType
from harness.shim_module import EXHAUSTED, HOST_ERROR, TRACE, UNKNOWN, Refused, asm
from oracles.adapter import REENTRY_LIMIT, hex_of
from oracles.plan import HostFunc, PlanError

if TYPE_CHECKING:
    from engine.module import In
    from engine.types import FuncType, ValType
    from harness.shim import Program

__all__ = ["Host", "host_function"]

Host = tuple[str, HostFunc, "FuncType"]


def host_function(program: Program, host: Host, index: int) -> tuple[list[ValType], list[In]]:
    """Return the declared locals and the body of the host function that is import ``index``."""
    return _Body(program, host, index).build()


class _Body:
    """Locals: the parameters, then the results, then the mixing state."""

    def __init__(self, program: Program, host: Host, index: int) -> None:
        self.program = program
        self.driver = program.driver
        self.name, self.host, self.type = host
        self.index = index
        self.first_result = len(self.type.params)
        self.state = self.first_result + len(self.type.results)

    def build(self) -> tuple[list[ValType], list[In]]:
        kinds = [a[0] for a in self.host.actions]
        body: list[In] = []
        if "call" in kinds:
            body += self._enter()
        count = self.driver.add_global(0) if "trap" in kinds else None
        if count is not None:
            body += asm(f"global.get {count}; i32.const 1; i32.add; global.set {count}")
        for number, action in enumerate(self.host.actions):
            body += self._action(number, action, count)
        if "call" in kinds:
            nesting = self.driver.nesting
            body += asm(f"global.get {nesting}; i32.const 1; i32.sub; global.set {nesting}")
        for i in range(len(self.type.results)):
            body += asm(f"local.get {self.first_result + i}")
        return [*self.type.results, I64], body

    def _event(self, kind: int, number: int = 0) -> list[In]:
        return self.driver.emit_word(kind << 56 | number << 32 | self.index)

    def _end(self, kind: int, number: int = 0) -> list[In]:
        """Return what tells why and ends the program."""
        return [*self._event(kind, number), *self.driver.flushed(), *asm("unreachable")]

    def _enter(self) -> list[In]:
        nesting = self.driver.nesting
        return [
            *asm(f"global.get {nesting}; i32.const {REENTRY_LIMIT}; i32.ge_u; if -"), *self._end(EXHAUSTED),
            *asm(f"end; global.get {nesting}; i32.const 1; i32.add; global.set {nesting}"),
        ]  # fmt: skip

    def _action(self, number: int, action: tuple[Any, ...], count: int | None) -> list[In]:
        kind = action[0]
        if kind == "record":
            out = self._event(TRACE)
            for i, t in enumerate(self.type.params):
                out += self.driver.emit_value(f"local.get {i}", t)
            return out + self.driver.flushed()
        if kind == "mix":
            return self._mix(int(action[1]))
        if kind == "trap":
            if action[2] == 0:
                return self._end(HOST_ERROR, number)
            return [
                *asm(f"global.get {count}; i32.const {int(action[2])}; i32.eq; if -"),
                *self._end(HOST_ERROR, number), *asm("end"),
            ]  # fmt: skip
        if kind in ("fuel", "suspend"):
            raise Refused(f"action {kind}")
        if action[1] != self.program.instance:
            return []
        try:
            inner = self._on_instance(kind, action)
        except PlanError:
            return []  # nothing there, or values that do not fit: no effect
        return [*asm(f"global.get {self.driver.ready}; if -"), *inner, *asm("end")]

    def _on_instance(self, kind: str, action: tuple[Any, ...]) -> list[In]:
        program, export = self.program, action[2]
        if kind == "mem.write":
            return self._write(program.exported(export, "mem"), int(action[3]), hex_of(action[4]))
        if kind == "mem.grow":
            mem = program.exported(export, "mem")
            return asm(f"i32.const {min(int(action[3]), 2**32 - 1)}; memory.grow {mem}; drop")
        if kind == "global.set":
            x = program.exported(export, "global")
            g = program.context.global_(x)
            if not g.mutable:
                raise PlanError("immutable")
            return [*program.pushed([action[3]], [g.valtype]), *asm(f"global.set {x}")]
        if kind == "table.set":
            x, at = program.exported(export, "table"), min(int(action[3]), 2**32 - 1)
            value = program.pushed([action[4]], [program.context.table(x).reftype])
            check = asm(f"i32.const {at}; table.size {x}; i32.lt_u; if -; i32.const {at}")
            return [*check, *value, *asm(f"table.set {x}; end")]
        if kind == "call":
            x = program.exported(export, "func")
            t = program.functype(x)
            return [*program.pushed(action[3], t.params), *asm(f"call {x + 1}" + "; drop" * len(t.results))]
        raise Refused(f"action {kind}")

    @staticmethod
    def _write(mem: int, address: int, data: bytes) -> list[In]:
        if address + len(data) > 2**32 - 1 or len(data) > 1024:
            raise Refused("writing so much or so far")
        need = address + len(data)
        out = asm(f"memory.size {mem}; i64.extend_i32_u; i64.const 16; i64.shl; i64.const {need}; i64.ge_u; if -")
        for i, byte in enumerate(data):
            out += asm(f"i32.const {address + i}; i32.const {byte}; i32.store8 0 0 {mem}")
        return [*out, *asm("end")]

    def _mix(self, seed: int) -> list[In]:
        """Do ``oracles.plan.host_mix``."""
        turn, h = self.driver.turn(), self.state
        out = asm(f"i64.const {seed % 2**64}; local.set {h}")
        for i, t in enumerate(self.type.params):
            if isinstance(t, RefType):  # null is 0; the number of another cannot be seen
                out += [*asm(f"local.get {i}; ref.is_null; i32.eqz; if -"), *self._end(UNKNOWN), *asm("end")]
            for word in self.driver.to_words(t):
                out += [*asm(f"local.get {h}; local.get {i}"), *word, *asm(f"call {turn}; local.set {h}")]
        for i, t in enumerate(self.type.results):
            again = f"local.get {h}; i64.const {i}; call {turn}; local.set {h}"
            out += asm(again)
            if t is V128:
                x = self.first_result + i
                out += asm(f"local.get {h}; i64x2.splat; local.set {x}; {again}")
                out += asm(f"local.get {x}; local.get {h}; i64x2.replace_lane 1; local.set {x}")
            elif not isinstance(t, RefType):
                out += [*asm(f"local.get {h}"), *self._from_word(t), *asm(f"local.set {self.first_result + i}")]
                out += self._without_nan(self.first_result + i, t)
        return out

    @staticmethod
    def _from_word(t: ValType) -> list[In]:
        words = {
            I32: "i32.wrap_i64", I64: "", F32: "i32.wrap_i64; f32.reinterpret_i32", F64: "f64.reinterpret_i64",
        }  # fmt: skip
        if t not in words:
            raise Refused(f"values of type {t}")
        return asm(words[t])

    @staticmethod
    def _without_nan(local: int, t: ValType) -> list[In]:
        if t not in (F32, F64):
            return []
        nan = (
            "i32.const 2143289344; f32.reinterpret_i32"
            if t is F32
            else f"i64.const {0x7FF8 << 48}; f64.reinterpret_i64"
        )
        return asm(f"local.get {local}; local.get {local}; {t}.ne; if -; {nan}; local.set {local}; end")
