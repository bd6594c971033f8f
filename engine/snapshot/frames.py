"""Suspended calls as plain data, and back: a list of frames, outermost first, and how the call stands still.

A frame is its function, the instruction that is next, locals and operands.  One that ``waits`` stands in the call at
that instruction: its operands are those below the arguments; ``kept`` is the counter of fuel that it goes on with,
where a model wants that.  ``start`` is the way by which control came to the others, which decides what is charged and
checked there; at ``weigh`` a bulk operator has its pieces charged before it does anything, and where it only has to
be executed any more, ``charge`` of the call is what they cost.  The last frame of a call that a failing host function
stopped may be a ``tail``: the host function was called in place of the frame, so nothing is left but results to come.

What comes back is checked place by place: that control can come there at all, each value against the type that
validation gives its place, what a frame returns against what the one below waits for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.execution.driver import UNMETERED, Activation, Frames, host_tail
from engine.execution.frame import WEIGH, Block, Charge, Kept, Restored
from engine.execution.fuel import Start
from engine.instructions.model import Control
from engine.matching import matches_results
from engine.runtime.instance import FuncInst, HostFunc
from engine.snapshot.graphs import Canonical, Recording, Typing, graph_of
from engine.snapshot.plain import SnapshotError, at, boolean, fields, items, shown, string, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.execution.frame import Registers
    from engine.runtime.store import Store
    from engine.snapshot.graphs import Point
    from engine.snapshot.values import ObjectReader, ObjectWriter
    from engine.types import ResultType

__all__ = ["CallReader", "CallWriter", "SavedError"]

_STARTS = ("weigh", *(start.name.lower() for start in Start))
_MAX_FUEL = 1 << 80
_MESSAGE = 4096
_WALK = 16  # registers that may be made in the time in which an instruction is lowered or typed


class SavedError(Exception):
    """What a host function raised before its store was saved: the name of the class, and the message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


def _class_of(error: Exception) -> tuple[str, str]:
    if isinstance(error, SavedError):
        return error.kind, error.message
    return type(error).__qualname__, str(error)[:_MESSAGE]


class CallWriter:
    """Writes the suspended calls of a store."""

    def __init__(self, store: Store, objects: ObjectWriter, calls: Iterable[Activation]) -> None:
        self.store = store
        self.objects = objects
        self.wanted: dict[FuncInst, set[int]] = {}
        for call in calls:
            for n, (block, _) in enumerate(call.frames):
                if block.is_wasm and not isinstance(block.code.lowering, Canonical):
                    self.wanted.setdefault(block.code.func, set()).add(_instruction(block, _waits(call, n)))
        self.graphs: dict[FuncInst, Recording] = {}
        self.typings: dict[FuncInst, Typing] = {}

    def write(self, call: Activation) -> Any:
        """Return a suspended call as plain data."""
        if call.store is not self.store:
            raise SnapshotError("a call in another store")
        if not call.frames:
            raise SnapshotError("the call is over")
        frames = [at(f".frames[{n}]", self._frame, *frame, _waits(call, n)) for n, frame in enumerate(call.frames)]
        last = call.frames[-1][0]
        failed = answer = None
        if call.failed is not None:
            host, error = call.failed
            kind, message = _class_of(error)
            failed = {"host": self.objects.reference(host), "error": kind, "message": message}
        if call.results is not None:
            answer = at(".answer", self.objects.values, call.results, self._results_wanted(last))
        return {
            "frames": frames, "resumable": call.resumable, "paid": call.paid, "passed": call.passed,
            "charge": last.cost if isinstance(last, Charge) else None, "required": call.required_fuel,
            "failed": failed, "answer": answer,
        }  # fmt: skip

    def _results_wanted(self, block: Block) -> ResultType:
        if not block.is_wasm:
            return block.callee.functype.results  # type: ignore[union-attr]
        return self._typing(block.code.func).call_at(_instruction(block, True))[1]

    def _typing(self, func: FuncInst) -> Typing:
        if func not in self.typings:
            self.typings[func] = Typing(func)
        return self.typings[func]

    def _graph(self, func: FuncInst) -> Recording:
        if func not in self.graphs:
            self.graphs[func] = graph_of(func, Recording, self.wanted[func])
        return self.graphs[func]

    def _frame(self, block: Block, R: Registers, waits: bool) -> Any:
        func = block.code.func
        reference = self.objects.reference
        if not block.is_wasm:
            where = _tail_call(func, block.offset)
            return {"tail": reference(func), "at": where, "host": reference(block.callee)}
        where = _instruction(block, waits)
        if where < 0:
            raise SnapshotError("a call stands between two instructions")
        typing = self._typing(func)
        lowering = block.code.lowering
        graph = lowering if isinstance(lowering, Canonical) else self._graph(func)
        point = graph.calls[where] if waits else _same(block, graph.begins.get(where, []))
        types = typing.operands_at(point, where)
        if waits:
            del types[len(types) - typing.call_at(where)[0] :]
        stack = () if graph is lowering else point.stack
        return {
            "func": reference(func),
            "at": where,
            "waits": waits,
            "start": _start_of(point),
            "kept": _kept(block) if isinstance(block, Kept) else None,
            "locals": self.objects.values(R[: len(typing.locals)], typing.locals),
            "operands": self.objects.values(graph.values(stack, len(types), R), types),
        }


def _waits(call: Activation, n: int) -> bool:
    """Tell whether frame ``n`` waits for results: all do but the one to go on with."""
    return n < len(call.frames) - 1 or call.failed is not None or call.results is not None


def _instruction(block: Block, waits: bool) -> int:
    """Return the instruction where a frame stands."""
    return block.next.number - 1 if waits else block.number


def _start_of(point: Point) -> str:
    return "weigh" if point.block.kind == WEIGH else point.start.name.lower()


def _kept(block: Kept) -> Any:
    left = "all" if block.kept == UNMETERED else int(block.kept)
    return {"left": left, "lost": type(block.next) is Restored}


def _same(block: Block, points: list[Point]) -> Point:
    """Return the point that a block of an ordinary graph is at."""
    if isinstance(block, Charge):
        block = block.weigh
    wanted = block.kind, block.paid, block.need, block.cost
    for point in points:
        if (point.block.kind, point.block.paid, point.block.need, point.block.cost) == wanted:
            return point
    raise SnapshotError("a call stands where no block begins")


def _tail_call(func: FuncInst, offset: int) -> int:
    """Return the index of the tail call whose offset is that."""
    for index, ins in enumerate(func.code.body):
        if ins.row.control is Control.TAIL_CALL and ins.offset == offset:
            return index
    raise SnapshotError("a call stands in no tail call")


class CallReader:
    """Makes suspended calls; ``room`` bounds registers, and instructions of functions that frames are in."""

    def __init__(self, store: Store, objects: ObjectReader, room: int) -> None:
        self.store = store
        self.objects = objects
        self.room = room
        self.graphs: dict[FuncInst, Canonical] = {}
        self.typings: dict[FuncInst, Typing] = {}

    def read(self, data: Any, results: ResultType | None = None) -> Activation:
        """Return a suspended call, which must give these results if they are given."""
        fields(data, "frames", "resumable", "paid", "passed", "charge", "required", "failed", "answer")
        resumable = at(".resumable", boolean, data["resumable"])
        failed = at(".failed", self._failed, data["failed"])
        is_answered = data["answer"] is not None
        is_waiting = failed is not None or is_answered
        frames = at(".frames", items, data["frames"], self.store.config.max_depth)
        if not frames:
            raise SnapshotError("a call without frames").inside(".frames")
        made: Frames = []
        wanted = results  # what the frame below waits for
        last = len(frames) - 1
        for n, frame in enumerate(frames):
            is_tail = type(frame) is dict and "tail" in frame
            if is_tail and (n < last or not is_waiting):
                raise SnapshotError("a tail that nothing waits for").inside(f".frames[{n}]")
            if is_tail:
                one, wanted = at(f".frames[{n}]", self._tail, frame, wanted)
            else:
                one, wanted = at(f".frames[{n}]", self._frame, frame, n < last or is_waiting, wanted)
            made.append(one)
        call = Activation(self.store, made[0][0].code.func, [], resumable)
        call.frames = made
        call.failed = failed
        self._stands(call, data, is_waiting)
        if failed is not None:
            at(".failed.host", _check_results, failed[0].functype.results, wanted)
        if is_answered:
            assert wanted is not None
            call.answer(at(".answer", self.objects.values, data["answer"], wanted))
        return call

    def _stands(self, call: Activation, data: Any, waits: bool) -> None:
        """Read how the call stands still, which must be possible for its last frame."""
        block, R = call.frames[-1]
        call.paid, call.passed = at(".paid", whole, data["paid"], 0, _MAX_FUEL), at(".passed", boolean, data["passed"])
        if call.paid and waits:
            raise SnapshotError("nothing is charged there").inside(".paid")
        if data["charge"] is not None:
            cost = at(".charge", whole, data["charge"], 0, _MAX_FUEL)
            if waits or block.kind != WEIGH:
                raise SnapshotError("nothing is weighed there").inside(".charge")
            block = Charge(block, *call.model.weighed(cost))
            call.frames[-1] = block, R
        if call.passed and (waits or not block.need):
            raise SnapshotError("nothing is checked there").inside(".passed")
        if call.failed is not None and data["answer"] is not None:
            raise SnapshotError("a failure that is answered").inside(".failed")
        required = data["required"]
        call.required_fuel = None if required is None else at(".required", whole, required, 0, _MAX_FUEL)

    def _failed(self, data: Any) -> tuple[HostFunc, Exception] | None:
        if data is None:
            return None
        fields(data, "host", "error", "message")
        host = at(".host", self._function, data["host"], HostFunc)
        return host, SavedError(at(".error", string, data["error"]), at(".message", string, data["message"]))

    def _function(self, data: Any, kind: type) -> Any:
        func = self.objects.reference(data)
        if type(func) is not kind:
            raise SnapshotError(f"{shown(data)} is no function of the {'host' if kind is HostFunc else 'store'}")
        return func

    def _frame(self, data: Any, waits: bool, wanted: ResultType | None) -> tuple[tuple[Block, Registers], ResultType]:
        """Return a frame and the types of the results that it waits for, none where it does not."""
        fields(data, "func", "at", "waits", "start", "kept", "locals", "operands")
        func = at(".func", self._function, data["func"], FuncInst)
        _check_results(func.functype.results, wanted)
        where = at(".at", whole, data["at"], 0, len(func.code.body) - 1)
        if at(".waits", boolean, data["waits"]) != waits:
            raise SnapshotError("only the last frame does not wait").inside(".waits")
        start = at(".start", _start, data["start"])
        typing, graph = self._typing(func), self._graph(func)
        point = at(".at", _find, graph, where, waits, start)
        if where not in typing.known:
            self.take(_WALK * len(func.code.body))
        locals_ = at(".locals", self.objects.values, data["locals"], typing.locals_at(where))
        types = typing.operands_at(point, where)
        results: ResultType = ()
        if waits:
            taken, results = typing.call_at(where)
            del types[len(types) - taken :]
        operands = at(".operands", self.objects.values, data["operands"], types)
        R = [*locals_, *operands]
        size = max(graph.most, len(R))
        self.take(size)
        R += [None] * (size - len(R))
        block = point.block
        if data["kept"] is not None:
            if not waits:
                raise SnapshotError("only a frame that waits keeps a counter").inside(".kept")
            block = Kept(block, *at(".kept", _counter, data["kept"]))
        return (block, R), results

    def _tail(self, data: Any, wanted: ResultType | None) -> tuple[tuple[Block, Registers], ResultType]:
        """Return the frame of a host function that was called in place of a frame."""
        fields(data, "tail", "at", "host")
        func = at(".tail", self._function, data["tail"], FuncInst)
        host = at(".host", self._function, data["host"], HostFunc)
        where = at(".at", whole, data["at"], 0, len(func.code.body) - 1)
        ins = func.code.body[where]
        if ins.row.control is not Control.TAIL_CALL:
            raise SnapshotError("no tail call").inside(".at")
        _check_results(func.functype.results, wanted)
        _check_results(host.functype.results, func.functype.results)
        graph = self._graph(func)
        block = Block()
        block.code, block.number, block.offset = graph.code, where, ins.offset
        return (host_tail(host, block), []), host.functype.results

    def take(self, n: int) -> None:
        """Take room for so many registers, or for work that is like theirs."""
        self.room -= n
        if self.room < 0:
            raise SnapshotError("the calls need too much memory")

    def _typing(self, func: FuncInst) -> Typing:
        if func not in self.typings:
            self.typings[func] = Typing(func)
        return self.typings[func]

    def _graph(self, func: FuncInst) -> Canonical:
        if func not in self.graphs:
            self.take(_WALK * len(func.code.body))
            self.graphs[func] = graph_of(func, Canonical)  # type: ignore[assignment]
        return self.graphs[func]


def _start(data: Any) -> str:
    if type(data) is not str or data not in _STARTS:
        raise SnapshotError(f"unknown start {shown(data)}")
    return data


def _counter(data: Any) -> tuple[float, bool]:
    """Return the counter that a frame keeps, and whether what its callee spends is lost."""
    left = fields(data, "left", "lost")["left"]
    counter = UNMETERED if left == "all" else at(".left", whole, left, -_MAX_FUEL, _MAX_FUEL)
    return counter, at(".lost", boolean, data["lost"])


def _find(graph: Canonical, where: int, waits: bool, start: str) -> Point:
    """Return the point where a frame is said to stand."""
    if waits:
        if where not in graph.calls or start != "plain":
            raise SnapshotError(f"nothing is called at instruction {where}")
        return graph.calls[where]
    for point in graph.begins.get(where, ()):
        if _start_of(point) == start:
            return point
    raise SnapshotError(f"no block begins like this at instruction {where}")


def _check_results(given: ResultType, wanted: ResultType | None) -> None:
    """Check that a frame returns what the one below waits for."""
    if wanted is not None and not matches_results(given, wanted):
        raise SnapshotError(f"gives {list(given)} where {list(wanted)} is waited for")
