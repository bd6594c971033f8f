"""A module wrapped in a driver: its own code, and beside it functions that run the plan and tell what happened.

An engine that has no host functions, shows no tables or rounds floats still runs Wasm.  So everything that a worker
would do around the module is done by generated code inside it: host functions become functions (their actions are
plain instructions), each step becomes a function, and results, traces and state leave as a stream of 64-bit words
through one function, ``emit``.  In the *wasi* flavour ``emit`` fills a memory of the driver's own and writes it to
standard output; in the *import* flavour it is imported as ``wfuzz.emit``.

The module's code is not touched: function 0 is the one import, so that every function index moves up by one; all other
index spaces are only appended to.  Declared maxima of memories and tables are lowered to the plan's limits, which is
what growing by the limits would show.  The start function runs at the beginning of the first step instead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.instructions import TABLE
from engine.instructions.immediates import FUNCIDX, MemArg
from engine.module import Active, Code, Export, FuncImport, Global, Import, In, Module
from engine.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    FuncType,
    GlobalType,
    Limits,
    MemType,
    RecType,
    RefType,
    SubType,
)
from oracles.adapter import MAX_SLOTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.types import ValType
    from oracles.plan import Limits as PlanLimits
    from oracles.plan import Value

__all__ = [
    "DONE", "EXHAUSTED", "HOST_ERROR", "IMPORT", "TRACE", "UNKNOWN", "WASI", "Driver", "Refused", "asm",
]  # fmt: skip

WASI, IMPORT = "wasi", "import"
DONE, TRACE, HOST_ERROR, EXHAUSTED, UNKNOWN = 1, 2, 3, 4, 5  # kinds of event: the top byte of its first word
_BUFFER = 16  # where the driver's buffer of words begins
_FULL = 65536 - 8
_END = In(TABLE.by_name["end"])
_MASKS = {"i32": 2**32 - 1, "i64": 2**64 - 1}
_TYPES = {"-": None, "i32": I32, "i64": I64}


class Refused(Exception):
    """The driver cannot do this; ``str`` says what."""


def asm(text: str) -> list[In]:
    """Return the instructions of ``name immediate...`` by line or semicolon; a memarg is ``align offset mem``."""
    out = []
    for line in text.replace(";", "\n").split("\n"):
        words = line.split()
        if not words:
            continue
        row = TABLE.by_name[words[0]]
        imms: list[Any] = []
        rest = words[1:]
        for kind in row.imms:
            if kind.name == "memarg":
                align, offset, mem = (int(n) for n in rest[:3])
                imms.append(MemArg(align, offset, mem))
                rest = rest[3:]
            else:
                word = rest.pop(0)
                imms.append(_TYPES[word] if kind.name == "blocktype" else int(word) & _MASKS.get(kind.name, -1))
        out.append(In(row, tuple(imms)))
    return out


def _shifted(body: Sequence[In]) -> tuple[In, ...]:
    """Return the instructions with every function index moved up by one."""
    out = []
    for instr in body:
        if FUNCIDX in instr.row.imms:
            imms = tuple(v + (k is FUNCIDX) for k, v in zip(instr.row.imms, instr.imms, strict=True))
            instr = instr._replace(imms=imms)  # noqa: PLW2901
        out.append(instr)
    return tuple(out)


class Driver:
    """Builds the wrapped module of a valid one; indices given to its methods are those of the original module."""

    def __init__(self, module: Module, limits: PlanLimits, flavour: str) -> None:
        self.module = module
        self.flavour = flavour
        self.limits = limits
        if any(not isinstance(i.desc, FuncImport) for i in module.imports):
            raise Refused("imports other than functions")
        self._types = list(module.types)
        self._type_count = sum(len(rec.subtypes) for rec in module.types)
        self._functypes: dict[tuple[tuple[ValType, ...], tuple[ValType, ...]], int] = {}
        self._globals = list(module.globals)
        self._hosts: list[Code] = []
        self._helpers: list[tuple[int, Code]] = []
        self._exports: list[Export] = []
        self._digests: dict[int, int] = {}
        self._slots: dict[int, int] = {}
        self._turn: int | None = None
        self.base = 1 + len(module.imports) + len(module.funcs)
        self.ready = self.add_global(0)
        self.nesting = self.add_global(0)
        self.emit = 0
        self.flush = -1
        if flavour == WASI:
            self._add_output()

    # building blocks

    def functype(self, params: Sequence[ValType], results: Sequence[ValType]) -> int:
        """Return the index of a function type of the driver's own."""
        key = (tuple(params), tuple(results))
        if key not in self._functypes:
            self._types.append(RecType((SubType(True, (), FuncType(*key)),)))
            self._functypes[key] = self._type_count
            self._type_count += 1
        return self._functypes[key]

    def add_global(self, value: int) -> int:
        """Add a mutable i32 and return its index."""
        self._globals.append(Global(GlobalType(True, I32), (*asm(f"i32.const {value}"), _END)))
        return len(self._globals) - 1

    def add_func(
        self, params: Sequence[ValType], results: Sequence[ValType], declared: Sequence[ValType], body: Sequence[In]
    ) -> int:
        """Add a function of the driver's own and return its index in the wrapped module."""
        code = Code(tuple((1, t) for t in declared), (*body, _END))
        self._helpers.append((self.functype(params, results), code))
        return self.base + len(self._helpers) - 1

    def add_host(self, declared: Sequence[ValType], body: Sequence[In]) -> None:
        """Define the next imported function of the original module."""
        self._hosts.append(Code(tuple((1, t) for t in declared), (*body, _END)))

    def export(self, name: str, func: int) -> None:
        self._exports.append(Export(name, "func", func))

    def _add_output(self) -> None:
        """Add ``emit`` and ``flush`` over a memory of the driver's own, which WASI knows as ``memory``."""
        self.own = len(self.module.mems)
        at, m = self.add_global(_BUFFER), self.own
        self.emit, self.flush = self.base, self.base + 1
        self.add_func(
            (I64,), (), (),
            asm(f"""global.get {at}; local.get 0; i64.store 3 0 {m}
                global.get {at}; i32.const 8; i32.add; global.set {at}
                global.get {at}; i32.const {_FULL}; i32.ge_u; if -; call {self.flush}; end"""),
        )  # fmt: skip
        self.add_func(
            (), (), (),
            asm(f"""i32.const 0; i32.const {_BUFFER}; i32.store 2 0 {m}
                i32.const 4; global.get {at}; i32.const {_BUFFER}; i32.sub; i32.store 2 0 {m}
                i32.const 1; i32.const 0; i32.const 1; i32.const 8; call 0; drop
                i32.const {_BUFFER}; global.set {at}"""),
        )  # fmt: skip
        self._exports.append(Export("memory", "mem", m))

    def flushed(self) -> list[In]:
        """Return what makes sure that the words so far get out even if the program ends here."""
        return asm(f"call {self.flush}") if self.flavour == WASI else []

    def emit_word(self, word: int) -> list[In]:
        return asm(f"i64.const {word}; call {self.emit}")

    def emit_value(self, get: str, t: ValType) -> list[In]:
        """Return what emits the value that ``get`` pushes, word by word; of a reference only whether it is not null."""
        return [x for word in self.to_words(t) for x in (*asm(get), *word, *asm(f"call {self.emit}"))]

    def to_words(self, t: ValType) -> list[list[In]]:
        """Return what turns a value into each of its words, low word first."""
        if isinstance(t, RefType):
            return [asm("ref.is_null; i32.eqz; i64.extend_i32_u")]
        words = {
            I32: ("i64.extend_i32_u",),
            I64: ("",),
            F32: ("i32.reinterpret_f32; i64.extend_i32_u",),
            F64: ("i64.reinterpret_f64",),
            V128: ("i64x2.extract_lane 0", "i64x2.extract_lane 1"),
        }
        if t not in words:
            raise Refused(f"values of type {t}")
        return list(map(asm, words[t]))

    def constant(self, value: Value, functions: Sequence[int]) -> list[In]:
        """Return what pushes a value; ``functions`` are the original indices of the numbered functions."""
        name, payload = value
        if name in ("i32", "i64", "v128"):
            return asm(f"{name}.const {int(payload, 16)}")
        if name in ("f32", "f64"):  # by way of the integer: text assemblers and engines agree on those bits
            return asm(f"i{name[1:]}.const {int(payload, 16)}; {name}.reinterpret_i{name[1:]}")
        if name in ("funcref", "externref") and payload is None:
            return [In(TABLE.by_name["ref.null"], ((FUNCREF if name == "funcref" else EXTERNREF).heap,))]
        if name == "funcref" and isinstance(payload, int) and 0 <= payload < len(functions):
            return asm(f"ref.func {functions[payload] + 1}")
        raise Refused(f"passing {name} {payload}")

    def turn(self) -> int:
        """Return the function that is one round of ``host_mix``."""
        if self._turn is None:
            self._turn = self.add_func(
                (I64, I64), (I64,), (),
                asm("""local.get 0; local.get 1; i64.xor; i64.const 0x9E3779B97F4A7C15; i64.mul; i64.const 1; i64.add
                    local.set 0; local.get 0; local.get 0; i64.const 29; i64.shr_u; i64.xor""".replace(
                    "0x9E3779B97F4A7C15", str(0x9E3779B97F4A7C15))),
            )  # fmt: skip
        return self._turn

    def digest(self, mem: int) -> int:
        """Return the function that emits a memory's size and, for each page not zero, number + 1 and checksum, then 0.

        Pages here are the 4 KiB of an observation.
        """
        if mem not in self._digests:
            crc = self.add_func(
                (I32,), (I32,), (I32, I32, I32),  # address, end, crc, bits
                asm(f"""local.get 0; i32.const 4096; i32.add; local.set 1; i32.const -1; local.set 2
                    loop -
                      local.get 2; local.get 0; i32.load8_u 0 0 {mem}; i32.xor; local.set 2
                      i32.const 8; local.set 3
                      loop -
                        local.get 2; i32.const 1; i32.shr_u
                        i32.const 0; local.get 2; i32.const 1; i32.and; i32.sub
                        i32.const {0xEDB88320}; i32.and; i32.xor; local.set 2
                        local.get 3; i32.const 1; i32.sub; local.set 3; local.get 3; br_if 0
                      end
                      local.get 0; i32.const 1; i32.add; local.set 0
                      local.get 0; local.get 1; i32.ne; br_if 0
                    end
                    local.get 2; i32.const -1; i32.xor"""),
            )  # fmt: skip
            self._digests[mem] = self.add_func(
                (), (), (I32, I32, I32, I64),  # page, pages, at, any bits
                asm(f"""memory.size {mem}; i64.extend_i32_u; call {self.emit}
                    memory.size {mem}; i32.const 4; i32.shl; local.set 1
                    block -; loop -
                      local.get 0; local.get 1; i32.eq; br_if 1
                      i64.const 0; local.set 3; i32.const 0; local.set 2
                      loop -
                        local.get 0; i32.const 12; i32.shl; local.get 2; i32.add; i64.load 3 0 {mem}
                        local.get 3; i64.or; local.set 3
                        local.get 2; i32.const 8; i32.add; local.set 2
                        local.get 2; i32.const 4096; i32.ne; br_if 0
                      end
                      local.get 3; i64.eqz; i32.eqz
                      if -
                        local.get 0; i32.const 1; i32.add; i64.extend_i32_u; call {self.emit}
                        local.get 0; i32.const 12; i32.shl; call {crc}; i64.extend_i32_u; call {self.emit}
                      end
                      local.get 0; i32.const 1; i32.add; local.set 0; br 0
                    end; end
                    i64.const 0; call {self.emit}"""),
            )  # fmt: skip
        return self._digests[mem]

    def slots(self, table: int) -> int:
        """Return the function that emits a table's size and, if not over MAX_SLOTS, per slot whether it is not null."""
        if table not in self._slots:
            self._slots[table] = self.add_func(
                (), (), (I32,),
                asm(f"""table.size {table}; i64.extend_i32_u; call {self.emit}
                    table.size {table}; i32.const {MAX_SLOTS}; i32.gt_u; if -; return; end
                    block -; loop -
                      local.get 0; table.size {table}; i32.eq; br_if 1
                      local.get 0; table.get {table}; ref.is_null; i32.eqz; i64.extend_i32_u; call {self.emit}
                      local.get 0; i32.const 1; i32.add; local.set 0; br 0
                    end; end"""),
            )  # fmt: skip
        return self._slots[table]

    # the result

    def build(self) -> Module:
        """Return the wrapped module."""
        m = self.module
        host_types = tuple(i.desc.typeidx for i in m.imports if isinstance(i.desc, FuncImport))
        if len(self._hosts) != len(host_types):
            raise Refused("a host function is missing")
        imported = self._import()
        kept = tuple(Export("m:" + e.name, e.kind, e.index + 1) for e in m.exports if e.kind == "func")
        return Module(
            types=tuple(self._types),
            imports=(imported,),
            funcs=(*host_types, *m.funcs, *(t for t, _ in self._helpers)),
            tables=tuple(self._table(t) for t in m.tables),
            mems=(*map(self._mem, m.mems), *((MemType(Limits(1, 1)),) if self.flavour == WASI else ())),
            tags=m.tags,
            globals=tuple(replace(g, init=_shifted(g.init)) for g in self._globals),
            exports=(*kept, *self._exports),
            elems=tuple(
                replace(e, init=tuple(map(_shifted, e.init)), mode=self._mode(e.mode), flag=-1) for e in m.elems
            ),
            datas=m.datas,
            data_count=m.data_count,
            codes=(
                *self._hosts,
                *(replace(c, body=_shifted(c.body)) for c in m.codes),
                *(c for _, c in self._helpers),
            ),
        )

    def _import(self) -> Import:
        if self.flavour == WASI:
            return Import("wasi_snapshot_preview1", "fd_write", FuncImport(self.functype((I32,) * 4, (I32,))))
        return Import("wfuzz", "emit", FuncImport(self.functype((I64,), ())))

    @staticmethod
    def _mode(mode: Any) -> Any:
        return Active(mode.index, _shifted(mode.offset)) if isinstance(mode, Active) else mode

    def _mem(self, mem: MemType) -> MemType:
        if mem.addrtype is not I32 or mem.shared or mem.page_bits != 16:
            raise Refused("a memory that is shared, has 64-bit addresses or pages of bytes")
        return replace(mem, limits=_lowered(mem.limits, min(self.limits.memory_pages, 65535)))

    def _table(self, table: Any) -> Any:
        if table.type.addrtype is not I32:
            raise Refused("a table with 64-bit indices")
        init = None if table.init is None else _shifted(table.init)
        limits = _lowered(table.type.limits, self.limits.table_elements)
        return replace(table, type=replace(table.type, limits=limits), init=init)


def _lowered(limits: Limits, bound: int) -> Limits:
    if limits.min > bound:
        raise Refused(f"at least {limits.min} of a limit of {bound}")
    return Limits(limits.min, bound if limits.max is None else min(limits.max, bound))
