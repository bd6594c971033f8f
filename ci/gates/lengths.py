"""Modules for which it matters whether the length of a bulk operator is a constant to a translator (wasmtime's fuel).

Bodies are full of bulk operators whose lengths come by every road there is: literals, locals, parameters, globals,
sizes, tests of types, through blocks, loops, branches and handlers.  Few of them trap and all end: loops count down in
a local of their own.  Written as text, because a body is easier to read than to build.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.binary import encode
from engine.text.parser import parse
from oracles.plan import HOST, HostFunc, Limits, Plan, Step

if TYPE_CHECKING:
    from generators.source import Source

__all__ = ["lengths_plan", "text_of"]

SIZES = (0, 0, 1, 2, 3, 5, 7, 40, 127, 128, 129, 140)
VARIABLES = 5  # i32 locals that hold lengths
COUNTERS = 4  # as deep as loops are nested
DEPTH = 4
FUNCTIONS = 2
MEMORY, TABLE = 1 << 16, 400

HEAP_TYPES = """
(type $ints (array (mut i32))) (type $refs (array (mut anyref))) (type $smalls (array (mut i31ref)))
(elem $anys anyref (item (ref.i31 (i32.const 1))) (item (ref.null any)))
(table $any 300 anyref) (table $i31 300 i31ref)
"""


class _Writer:
    """Writes one module; ``heap`` and ``exceptions`` say whether it may use them."""

    def __init__(self, source: Source, heap: bool, exceptions: bool) -> None:
        self.source = source
        self.heap = heap
        self.exceptions = exceptions
        self.labels: list[int] = []  # how many i32 each enclosing label takes, innermost last
        self.loops = self.counters = 0
        self.left = 0  # statements that may still be written

    # lengths

    def length(self, depth: int = 2) -> str:
        """Return an expression for a length."""
        s = self.source
        if depth and s.chance(25):
            return self.nested(depth - 1)
        return s.choose((
            self.literal, self.literal, self.local, self.local, self.local, self.local, self.tee, self.global_,
            self.parameter, self.arithmetic, self.size, self.call, self.test,
        ))()  # fmt: skip

    def literal(self) -> str:
        return f"(i32.const {self.source.choose(SIZES)})"

    def local(self) -> str:
        return f"(local.get {2 + self.source.below(VARIABLES)})"

    def tee(self) -> str:
        return f"(local.tee {2 + self.source.below(VARIABLES)} {self.length(0)})"

    def global_(self) -> str:
        return f"(global.get ${self.source.choose(('same', 'var', 'sum', 'copy', 'given'))})"

    def parameter(self) -> str:
        return f"(i32.and (local.get {self.source.below(2)}) (i32.const {self.source.choose((7, 127, 255))}))"

    def arithmetic(self) -> str:
        return self.source.choose((
            "(i32.add (i32.const 2) (i32.const 3))", "(i32.eqz (i32.const 2))", "(i32.wrap_i64 (i64.const 3))",
            "(select (i32.const 4) (i32.const 4) (local.get 0))",
        ))  # fmt: skip

    def size(self) -> str:
        return self.source.choose(("(table.size $fixed)", "(table.size $few)", "(memory.size)"))

    def call(self) -> str:
        return f"(call $same {self.literal()})"

    def test(self) -> str:
        tests = ["(ref.is_null (ref.func $same))", "(ref.is_null (ref.null func))"]
        if self.heap:
            tests += [
                f"(ref.test (ref {null}{heap}) {operand})"
                for null in ("", "null ")
                for heap in ("any", "i31", "none")
                for operand in ("(ref.i31 (i32.const 1))", "(ref.null any)")
            ]
        return self.source.choose(tests)

    def nested(self, depth: int) -> str:
        """Return a construct with a length for its result."""
        s = self.source
        kind = s.below(4)
        if kind == 0:
            return f"(if (result i32) {self.condition()} (then {self.length(depth)}) (else {self.length(depth)}))"
        if kind == 1:
            branch = s.choose(("br_if 0", "br_table 0 0", "br_if 0"))
            rest = "" if "table" in branch else f"(drop) {self.length(depth)}"
            return f"(block (result i32) ({branch} {self.length(depth)} {self.condition()}) {rest})"
        if kind == 2:
            return f"(block (result i32) {self.length(depth)})"
        return f"{self.length(depth)} (loop (param i32) (result i32))"

    def condition(self) -> str:
        return self.source.choose((
            "(local.get 0)", "(local.get 1)", "(i32.const 0)", "(i32.and (local.get 0) (i32.const 1))",
        ))  # fmt: skip

    # statements

    def bulk(self) -> str:
        """Return a bulk operator that seldom traps."""
        s = self.source
        at, n = s.choose((0, 1, 20)), self.length()
        kinds = [
            f"(memory.fill (i32.const {at}) (i32.const {s.below(9)}) {n})",
            f"(memory.fill (i32.const {at}) (i32.const {s.below(9)}) {n})",
            f"(memory.copy (i32.const {at}) (i32.const 4) {n})",
            f"(memory.init $bytes (i32.const {at}) (i32.const 0) {n})",
            f"(drop (memory.grow {n}))",
            f"(table.copy $few $few (i32.const {at}) (i32.const 4) {n})",
            f"(table.copy $few $fixed (i32.const {at}) (i32.const 0) {self.literal()})",
            f"(table.fill $few (i32.const {at}) (ref.null func) {n})",
            f"(drop (table.grow $few (ref.null func) {n}))",
            f"(table.init $few $funcs (i32.const {at}) (i32.const 0) {n})",
        ]
        if self.heap:
            table, array = s.choose(("any", "i31")), s.choose(("ints", "refs", "smalls"))
            value = "(i32.const 4)" if array == "ints" else "(ref.i31 (i32.const 4))"
            made = f"(array.new_default ${array} (i32.const 200))"
            kinds += [
                f"(table.fill ${table} (i32.const {at}) (ref.i31 (i32.const 1)) {n})",
                f"(table.copy ${table} ${table} (i32.const {at}) (i32.const 9) {n})",
                f"(table.copy $any $i31 (i32.const {at}) (i32.const 9) {n})",
                f"(drop (table.grow ${table} (ref.null none) {n}))",
                f"(drop (array.new ${array} {value} {n}))",
                f"(drop (array.new_default ${array} {n}))",
                f"(array.fill ${array} {made} (i32.const {at}) {value} {n})",
                f"(array.copy ${array} ${array} {made} (i32.const {at}) {made} (i32.const 9) {n})",
                f"(drop (array.new_data $ints $bytes (i32.const 0) {n}))",
                f"(drop (array.new_elem $refs $anys (i32.const 0) {self.literal()}))",
            ]
        return s.choose(kinds)

    def statements(self, depth: int, least: int = 1) -> str:
        return " ".join(self.statement(depth) for _ in range(least + self.source.below(4)))

    def statement(self, depth: int) -> str:
        s = self.source
        self.left -= 1
        if depth == 0 or self.left < 0 or s.chance(50):
            kind = s.below(20)
            if kind < 11:
                return self.bulk()
            if kind < 17:
                return f"(local.set {2 + s.below(VARIABLES)} {self.length()})"
            return self.branch() if kind < 19 else self.leave()
        kinds = [self.block, self.block, self.loop, self.loop, self.if_, self.if_, self.switch]
        if self.exceptions:
            kinds += [self.try_, self.try_]
        return s.choose(kinds)(depth - 1)

    def inside(self, arity: int, depth: int) -> str:
        self.labels.append(arity)
        written = self.statements(depth)
        self.labels.pop()
        return written

    def target(self) -> tuple[int, int] | None:
        """Return a label to branch to and what it takes; None without any that may be taken."""
        labels = [(l, n) for l, n in enumerate(reversed(self.labels)) if n >= 0]
        return self.source.choose(labels) if labels else None

    def branch(self) -> str:
        found = self.target()
        if found is None:
            return "(nop)"
        l, arity = found
        if arity:
            return f"(drop (br_if {l} {self.length()} {self.condition()}))"
        return f"(br_if {l} {self.condition()})"

    def leave(self) -> str:
        """Return what makes the rest of a construct unreachable."""
        s = self.source
        found = self.target()
        kind = s.below(6)
        if found is not None and kind < 3:
            l, arity = found
            return f"(br {l} {self.length() if arity else ''})"
        if kind == 3:
            return f"(return {self.length()})"
        if kind == 4 and self.exceptions:
            return f"(throw $t {self.length()})"
        return f"(if {self.condition()} (then (return {self.length()})))"

    def block(self, depth: int) -> str:
        if self.source.chance(40):
            x = 2 + self.source.below(VARIABLES)
            return f"(local.set {x} (block (result i32) {self.inside(1, depth)} {self.length()}))"
        return f"(block {self.inside(0, depth)})"

    def loop(self, depth: int) -> str:
        """Return a loop that counts down, or one that never goes back."""
        s = self.source
        if self.loops == COUNTERS or s.chance(25):
            return f"(loop {self.inside(-1, depth)})"
        counter = self.counters + self.loops
        self.loops += 1
        body = self.inside(-1, depth)
        self.loops -= 1
        back = f"(br_if 0 (local.tee {counter} (i32.sub (local.get {counter}) (i32.const 1))))"
        return f"(local.set {counter} (i32.const {s.between(1, 3)})) (loop {body} {back})"

    def if_(self, depth: int) -> str:
        else_ = f"(else {self.inside(0, depth)})" if self.source.chance(50) else ""
        return f"(if {self.condition()} (then {self.inside(0, depth)}) {else_})"

    def switch(self, depth: int) -> str:
        self.labels.append(0)
        inner = self.inside(0, depth)
        table = f"(br_table {' '.join(str(self.source.below(2)) for _ in range(3))} (local.get 1))"
        outer = self.statements(depth)
        self.labels.pop()
        return f"(block (block {inner} {table}) {outer})"

    def try_(self, depth: int) -> str:
        """Return a construct with a handler, whose label takes what was thrown or nothing."""
        s = self.source
        thrower = f"(drop (call $throws {self.condition()} {self.literal()}))"
        before, after = (thrower, "") if s.chance(50) else ("", thrower)
        takes = s.below(2)
        self.labels.append(takes)
        body = self.inside(0, depth)
        self.labels.pop()
        if takes:
            x, n = 2 + s.below(VARIABLES), self.length()
            return f"(local.set {x} (block (result i32) (try_table (catch $t 0) {before} {body} {after}) {n}))"
        return f"(block (try_table (catch_all 0) {before} {body} {after}))"

    def function(self, name: str) -> str:
        self.left = 26
        groups = self.source.choose((
            "i32 i32 i32 i32 i32", "i32) (local i32) (local i32 i32) (local i32", "i32 i32 i32 i32 i32) (local i64",
        ))  # fmt: skip
        self.counters = 2 + VARIABLES + ("i64" in groups)
        counters = " ".join(["i32"] * COUNTERS)
        self.labels = [1]
        head = f'(func ${name} (export "{name}") (param i32 i32) (result i32) (local {groups}) (local {counters})'
        return f"{head} {self.statements(DEPTH, 5)} {self.length()})"

    def module(self) -> str:
        functions = "\n".join(self.function(f"f{i}") for i in range(FUNCTIONS))
        heap = HEAP_TYPES if self.heap else ""
        tag = "(tag $t (param i32))" if self.exceptions else ""
        throws = "(if (local.get 0) (then (throw $t (local.get 1))))" if self.exceptions else ""
        copy = "(global.get $same)" if self.heap else "(i32.sub (i32.const 9) (i32.const 3))"
        return f"""(module
(import "{HOST}" "given" (func $host (param i32)))
{tag}
(memory (export "memory") {self.source.choose(("1 5", "2 3", "1 160"))})
(table $few 300 {TABLE} funcref) (table $fixed 12 12 funcref)
(global $same i32 (i32.const {self.source.choose(SIZES)})) (global $var (mut i32) (i32.const 3))
(global $sum i32 (i32.add (i32.const 2) (i32.const 3))) (global $copy i32 {copy})
(global $given i32 (i32.const 200))
(data $bytes "{"0123456789" * 14}") (elem $funcs func $same $same $same) {heap}
(func $same (param i32) (result i32) (call $host (local.get 0)) (local.get 0))
(func $throws (param i32 i32) (result i32) {throws} (local.get 1))
{functions})"""


def text_of(source: Source, *, heap: bool, exceptions: bool) -> str:
    """Return a module that exports functions ``f0``... of two i32 to one."""
    return _Writer(source, heap, exceptions).module()


def lengths_plan(source: Source, *, heap: bool, exceptions: bool, features: tuple[str, ...]) -> Plan:
    """Return a plan with such a module, instance ``m``, and calls of its functions."""
    wasm = encode(parse(text_of(source, heap=heap, exceptions=exceptions)))
    steps = [Step("instantiate", {"instance": "m", "module": "m", "imports": {HOST: [HOST]}}), Step("observe", {})]
    for i in range(FUNCTIONS):
        for a in (0, 1, 2 + source.below(200)):
            args = [("i32", f"{a:08x}"), ("i32", f"{source.below(4):08x}")]
            steps += [Step("call", {"instance": "m", "export": f"f{i}", "args": args}), Step("observe", {})]
    hosts = {"given": HostFunc(("i32",), (), (("record",), ("fuel",)))}
    return Plan(tuple(steps), {"m": wasm}, hosts=hosts, limits=Limits(memory_pages=200), features=features, nan="none")
