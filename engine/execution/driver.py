"""The loop that runs block graphs: explicit frames, fuel per block, no Python recursion for Wasm calls.

An :class:`Activation` is one call from the host into Wasm: a stack of frames, the last of which runs.  Everything a
pause needs is in it: when fuel runs out at a check point the frames stay, and running it again goes on there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import EngineBug, ExhaustionError, Resource, Trap, UncaughtException, Where
from engine.execution.frame import (
    BR_TABLE,
    BULK,
    CALL,
    HOST,
    IF,
    IF_REGISTER,
    JUMP,
    KEEP,
    LAZY,
    RESTORE,
    RETURN,
    RETURN_ONE,
    STOP,
    TAIL_CALL,
    TAIL_INDIRECT,
    THROW,
    UNREACHABLE,
    WEIGH,
    Block,
    Charge,
    Kept,
    Registers,
    Restored,
    lowered,
)
from engine.execution.lower import lower
from engine.runtime.heap import ExnInst
from engine.runtime.instance import Caller, HostFunc

if TYPE_CHECKING:
    from engine.runtime.instance import FuncInst
    from engine.runtime.store import Store

__all__ = ["Activation", "call_host", "host_tail", "place"]

UNMETERED = float("inf")


def call_host(store: Store, func: HostFunc, args: Registers) -> list[Any]:
    """Call a function of the host and return its results, whose number must be that of its type."""
    try:
        results = list(func.call(Caller(store), tuple(args)))
    except RecursionError:
        raise ExhaustionError(Resource.STACK) from None
    if len(results) != len(func.functype.results):
        raise EngineBug(f"{func!r} gave {len(results)} results")
    return results


def place(block: Block, offset: int | None = None) -> Where:
    """Return where the last instruction of a block stands, or the one at ``offset`` in the same function."""
    if offset is None:
        offset = block.offset
    return Where(block.code.func.funcidx, offset if offset >= 0 else None)


Frames = list[tuple[Block, Registers]]


def _handle(frames: Frames, block: Block, R: Registers, exn: ExnInst, thrown: UncaughtException | None) -> Any:
    """Return the block and the registers of the innermost handler of an exception that came out of ``block``.

    The frames above it are gone.  Without one all are, and the exception leaves: as ``thrown`` if it came from outside.
    Spec: exec-throw_ref.
    """
    where = place(block)
    tag = exn.tag
    while True:
        handlers = block.handlers
        while handlers is not None:
            for wanted, take, dest, target in handlers.clauses:
                if wanted is None or wanted is tag:
                    vs = take(exn)
                    R[dest : dest + len(vs)] = vs
                    return Restored(block, target) if type(block) is Kept else target, R
            handlers = handlers.outer
        if not frames:
            raise (thrown or UncaughtException(tag, exn.values)).at(where)
        block, R = frames.pop()


class _HostTail(Block):
    """A call of the host in place of a frame: with nothing below it, it is the host that calls the host."""

    __slots__ = ()
    is_wasm = False


def host_tail(func: HostFunc, block: Block) -> Block:
    """Return a block that calls a function of the host with its registers as arguments, and returns the results."""
    call, return_ = _HostTail(), _HostTail()
    for made in (call, return_):
        made.code, made.number, made.offset = block.code, block.number, block.offset
        made.body = []
        made.cost = made.paid = made.need = 0
    call.kind, call.callee, call.args = HOST, func, list
    call.handlers, call.dest, call.next = None, 0, return_
    n = len(func.functype.results)
    return_.kind, return_.test = RETURN, lambda R: R[:n]
    return call


class Activation:
    """One call from the host into Wasm.  ``frames`` are outermost first; where it is empty the call has ended.

    The last frame of a paused one is the block to go on with, or with ``failed``, a function of the host and what it
    raised, the block that called it.  ``paid`` is what was charged for that block already; ``passed`` tells that its
    fuel was checked, too.  An activation that is ``resumable`` pauses where the store's interval of fuel is used up.

    In stores with a debugger ``here`` is the frame that runs, None where it is the last of ``frames``, and ``unsaved``
    what was spent since the last save point when the debugger paused.
    """

    __slots__ = (
        "failed", "frames", "here", "model", "paid", "passed", "required_fuel", "results", "resumable", "store",
        "unsaved",
    )  # fmt: skip

    def __init__(self, store: Store, func: FuncInst, args: Registers, resumable: bool = False) -> None:
        code = lowered(func)
        entry = code.entry or lower(code)
        if store.depth > code.room:
            raise ExhaustionError(Resource.STACK, Where(func.funcidx))
        self.store = store
        self.model = code.lowering.build.fuel_model
        self.frames: Frames = [(entry, args + code.zeros)]
        self.resumable = resumable
        self.paid = 0
        self.passed = False
        self.required_fuel: int | None = None
        self.failed: tuple[HostFunc, Exception] | None = None
        self.results: Registers | None = None
        self.here: tuple[Block, Registers] | None = None
        self.unsaved = 0

    def answer(self, results: Registers) -> None:
        """Say what the function of the host that failed is to have returned."""
        self.failed = None
        self.results = results

    def ended(self) -> Activation:
        """Leave it by what the function of the host raised, and return it with the frames that a trap is to show."""
        assert self.failed is not None
        error, self.failed = self.failed[1], None
        if isinstance(error, Trap) and not error.activations and error.where == place(self.frames[-1][0]):
            self.frames.pop()  # it is where the trap is
        return self

    def exhausted(self) -> ExhaustionError:
        """Return the error that it is not to go on with fuel from where it paused."""
        return ExhaustionError(Resource.FUEL, place(self.frames[-1][0]))

    def run(self) -> list[Any] | None:
        """Run until the outermost frame returns, and return its results; None for a pause.

        A resumable activation pauses at an interval of fuel and, with ``required_fuel`` set, where that is exhausted;
        for any other that is an error.  A trap, an exhausted limit or an exception of the host leaves through here with
        ``where`` set; the store is intact, and ``store.fuel_left`` tells what is left of the budget (below 0 where the
        code after the last check point spent more).  After exhausted fuel, and if ``failed`` is set after an exception
        of the host, the frames are there to go on with.
        """
        store, frames, model = self.store, self.frames, self.model
        budget: int | None = store.fuel_left
        limit: float = UNMETERED if budget is None else budget - store.fuel_reserve
        saved = 0
        spent = -self.paid
        below = store.depth
        block, R = frames.pop()
        passed = self.passed and spent + block.need > limit
        self.paid, self.passed = 0, False
        self.required_fuel = None
        if self.results is not None:
            vs, self.results = self.results, None
            R[block.dest : block.dest + len(vs)] = vs
            block = block.next
        debugger: Any = store.debugger
        if debugger is not None:
            debugger.enter(self, block, R)
            saved, self.unsaved = -self.unsaved, 0
        try:
            while True:
                need = block.need
                if need and spent + need > limit:
                    if passed:
                        passed = False
                    else:
                        assert budget is not None
                        paid = block.paid
                        spent += paid
                        if budget - spent < need - paid:
                            self._pause(block, R)
                            self.required_fuel = model.required(need - paid, budget - spent)
                            if self.resumable:
                                return None
                            raise ExhaustionError(Resource.FUEL)
                        saved = spent
                        limit = spent + store.inject(budget - spent)
                        if self.resumable and store.fuel_interval is not None:
                            frames.append((block, R))  # a charge too: weighed again it would pause again
                            self.paid, self.passed = paid, True
                            return None
                        spent -= paid
                spent += block.cost
                for effect in block.body:
                    effect(R)
                kind = block.kind
                if kind == IF:
                    block = block.next if block.test(R) else block.other
                elif kind == JUMP:
                    block = block.next
                elif kind == IF_REGISTER:
                    block = block.next if R[block.test] else block.other
                elif kind == CALL:
                    code: Any = block.callee
                    entry = code.entry or lower(code)
                    new = block.args(R)
                    saved = spent
                    if len(frames) + below >= code.room:
                        raise ExhaustionError(Resource.STACK)
                    frames.append((block, R))
                    R = new
                    block = entry
                elif kind == RETURN_ONE:
                    v = block.test(R)
                    saved = spent
                    if not frames:
                        return [v]
                    block, R = frames.pop()
                    R[block.dest] = v
                    block = block.next
                elif kind == RETURN:
                    vs = block.test(R)
                    saved = spent
                    if not frames:
                        return vs  # type: ignore[no-any-return]
                    block, R = frames.pop()
                    if vs:
                        R[block.dest : block.dest + len(vs)] = vs
                    block = block.next
                elif kind == BR_TABLE:
                    i = block.test(R)
                    targets = block.targets
                    block = targets[i] if i < len(targets) else targets[-1]
                elif kind <= HOST:
                    if kind == HOST:
                        func: Any = block.callee
                        new = block.args(R)
                        saved = spent
                    else:
                        saved = spent
                        func = block.test(R)
                        new = block.args(R)
                    if type(func) is HostFunc:
                        if budget is not None:
                            store.fuel_left = budget - spent
                        spent = saved = 0
                        store.depth = below + len(frames) + 1
                        thrown = None
                        try:
                            vs = call_host(store, func, new)
                        except UncaughtException as error:
                            thrown = error
                        except EngineBug:
                            raise
                        except Exception as error:
                            if debugger is not None:
                                debugger.host_failed(self, error, block, R)
                            if self.resumable and (frames or type(block) is not _HostTail):
                                self.failed = func, error
                                frames.append((block, R))
                            raise
                        finally:  # what ran inside has spent of the same budget, however it ended
                            budget = store.fuel_left
                        limit = UNMETERED if budget is None else budget - store.fuel_reserve
                        if thrown is None:
                            R[block.dest : block.dest + len(vs)] = vs
                            block = block.next
                        else:
                            exn = ExnInst(thrown.tag, thrown.values)
                            if debugger is not None:
                                budget = None
                                debugger.threw(self, exn, block, R)
                                budget, limit = self._budget()
                            block, R = _handle(frames, block, R, exn, thrown)
                            thrown = None
                    else:
                        code = lowered(func)
                        entry = code.entry or lower(code)
                        if len(frames) + below >= code.room:
                            raise ExhaustionError(Resource.STACK)
                        frames.append((block, R))
                        R = new + code.zeros
                        block = entry
                elif kind == TAIL_CALL:
                    code = block.callee
                    entry = code.entry or lower(code)
                    if len(frames) + below > code.room:
                        raise ExhaustionError(Resource.STACK)
                    R = block.args(R)
                    saved = spent
                    block = entry
                elif kind == TAIL_INDIRECT:
                    saved = spent
                    func = block.test(R)
                    if type(func) is HostFunc:
                        R = block.args(R)
                        block = host_tail(func, block)
                        self.here = block, R
                    else:
                        code = lowered(func)
                        entry = code.entry or lower(code)
                        if len(frames) + below > code.room:
                            raise ExhaustionError(Resource.STACK)
                        R = block.args(R) + code.zeros
                        block = entry
                elif kind == BULK:
                    pieces = block.test(R)
                    if pieces < 0:
                        block = block.other
                    else:
                        spent += pieces
                        block = block.next
                elif kind == THROW:
                    saved = spent
                    exn = block.test(R)
                    if debugger is not None:
                        self._rest(budget, spent, below)
                        budget, spent, saved = None, 0, 0
                        debugger.threw(self, exn, block, R)
                        budget, limit = self._budget()
                    block, R = _handle(frames, block, R, exn, None)
                elif kind == UNREACHABLE:
                    saved = spent
                    raise block.test()
                elif kind == LAZY:
                    block.code.lowering.extend(block)
                elif kind == WEIGH:
                    cost = block.test(R)
                    block = Charge(block, *model.weighed(cost, limit - spent))
                elif kind == KEEP:
                    kept, is_lost = limit - spent, block.test
                    block = Kept(block.next, kept, is_lost)
                    if is_lost:
                        spent = saved
                elif kind == RESTORE:
                    kept = block.kept  # type: ignore[attr-defined]  # a Restored
                    if UNMETERED not in (kept, limit):  # else metering began or ended while the call paused
                        spent = int(limit - kept)
                    block = block.next
                elif kind == STOP:
                    block = block.next
                    event = debugger.stop(self, block, R)
                    if event is not None:
                        if debugger.pauses(self):
                            frames.append((block, R))
                            self.unsaved = spent - saved
                            return None
                        self._rest(budget, spent, below)
                        budget, spent, saved = None, 0, saved - spent
                        debugger.tell(self, event, block, R)
                        budget, limit = self._budget()
                else:
                    raise EngineBug(f"block of kind {kind}")
        except Trap as trap:
            if self.failed is None:  # else it may go on, and holds the trap itself
                trap.activations.append(self)
            spent = model.kept(spent, saved, block.cost - block.paid)
            if trap.where is None:
                trap.where = place(block)
            elif trap.where.funcidx is None:
                trap.where = place(block, trap.where.offset)
            elif self.failed is None and block.is_wasm:  # it came out of the host, for whom this frame waits
                frames.append((block, R))
            if debugger is not None:
                self._rest(budget, spent, below)
                budget = None
                debugger.trapped(self, trap, block, R)
            raise
        except ExhaustionError as error:
            error.at(place(block))
            if debugger is not None:
                self._rest(budget, spent, below)
                budget = None
                debugger.trapped(self, error, block, R)
            raise error from None
        finally:
            if budget is not None:
                store.fuel_left = budget - spent
            store.depth = below
            if debugger is not None:
                debugger.leave(self)

    def _rest(self, budget: int | None, spent: int, below: int) -> None:
        """Leave the store as whoever runs more Wasm in it wants to find it."""
        if budget is not None:
            self.store.fuel_left = budget - spent
        self.store.depth = below + len(self.frames) + 1

    def _budget(self) -> tuple[int | None, float]:
        """Return the budget and the limit of what may be spent before the next pause."""
        budget = self.store.fuel_left
        return budget, UNMETERED if budget is None else budget - self.store.fuel_reserve

    def _pause(self, block: Block, R: Registers) -> None:
        self.frames.append((block.weigh if type(block) is Charge else block, R))
        self.paid = block.paid
