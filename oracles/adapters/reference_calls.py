"""Calls into a store of ours: at once, or as resumable calls that pause, suspend and show their frames.

In a *watched* plan, one with slices or frames, every call is a resumable one.  Between two of its slices the session
sees what the host of a real engine sees between two polls.  A host function that suspends fails with a
:class:`HostPause`, and the call goes on with the results it carries, as if it had returned them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import Trap
from engine.execution.calls import invoke
from engine.execution.driver import Activation, place
from engine.execution.instantiate import Instantiation, instantiate
from engine.resume import Finished, HostTrap, Suspended, Yielded, call_resumable
from engine.runtime.instance import FuncInst, HostFunc
from engine.snapshot import Host
from engine.types import FuncType
from oracles.adapter import Stop
from oracles.adapters.reference_state import TYPES, StateSession
from oracles.outcome import Returned, Trapped, Unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.errors import Where
    from engine.module import Module
    from engine.runtime.instance import Caller, ExternVal, ModuleInst
    from engine.runtime.store import Store
    from oracles.adapter import Answer
    from oracles.plan import Plan, Step

__all__ = ["CallSession", "HostPause", "placed"]


class HostPause(Exception):
    """A host function has done what it does, and pauses before its results are given."""

    def __init__(self, times: int, results: Sequence[Any]) -> None:
        super().__init__(times)
        self.times = times
        self.results = results


def placed(where: Where | None) -> tuple[int, int] | None:
    """Return function index and offset, or None where one is not known."""
    if where is None or where.funcidx is None or where.offset is None:
        return None
    return where.funcidx, where.offset


class CallSession(StateSession):
    """A session that calls; ``hosts`` are the function objects of the plan's host functions."""

    def __init__(self, plan: Plan, store: Store) -> None:
        super().__init__(plan, store)
        self.hosts: dict[str, HostFunc] = {}
        self.resumes = False  # the call of the plan is one that can go on after a HostPause
        self.rest: Suspended | None = None  # what the step to come has to go on with

    def step_call(self, step: Step) -> Answer:
        func = self.export(step, FuncInst, HostFunc)
        args = self.values(step["args"], func.functype.params)
        results = self._watched(func, args) if self.sliced or self.shown_frames else invoke(self.store, func, args)
        return Returned(tuple(map(self.show, func.functype.results, results))), None

    def _watched(self, func: FuncInst | HostFunc, args: list[Any]) -> Sequence[Any]:
        """Call, pausing where the plan says so; only the plan's own calls show it."""
        if self.nesting:
            return self._run(func, args)
        self.resumes = True
        try:
            return self._run(func, args)
        except HostPause as pause:  # of a function that was called directly, or in place of the outermost frame
            self.pause_host(pause.times)
            return pause.results
        finally:
            self.resumes = False

    def _run(self, func: FuncInst | HostFunc, args: list[Any]) -> Sequence[Any]:
        if isinstance(func, HostFunc):
            done = call_resumable(self.store, func, *args)
            assert isinstance(done, Finished)
            return done.results
        return self._to_the_end(self.take_rest() or Yielded(Activation(self.store, func, args, resumable=True)))

    def take_rest(self) -> Suspended | None:
        """Return what the step goes on with, None where it begins."""
        rest, self.rest = self.rest, None
        return rest

    def _to_the_end(self, stopped: Suspended) -> Sequence[Any]:
        """Return the results of a call, or the instance of an instantiation, and note the frames of a trap."""
        try:
            return self._go_on(stopped)
        except Trap as trap:
            self._begin_frames(trap)
            raise

    def _go_on(self, stopped: Suspended) -> Sequence[Any]:
        """Resume a call until it ends; a call that has not begun is one that has yielded."""
        while True:
            reached = stopped.resume(self.store)
            if isinstance(reached, Finished):
                return reached.results
            stopped = self._paused(reached)
            if not self.nesting:
                self.stands_still(stopped)

    def stands_still(self, stopped: Suspended) -> None:
        """Take note of how the step of the plan is to go on, before it does."""

    def _paused(self, reached: Suspended) -> Suspended:
        """Look at a call that stands still, and return it as it is to go on; raise where it is not to."""
        if isinstance(reached, Yielded):
            if not self.nesting and self.intervals:
                self.pause("fuel")
            return reached
        if isinstance(reached, HostTrap) and isinstance(reached.host_error, HostPause):
            call, pause = reached.under_way, reached.host_error
            call.answer(list(pause.results))
            self.pause_host(pause.times)
            return Yielded(call)
        if isinstance(reached, HostTrap) and _is_trap(reached.host_error):
            self._add_frames(reached.under_way)
        raise reached.into_error()

    def instantiated(self, module: Module, imports: Sequence[ExternVal]) -> ModuleInst:
        """Instantiate, pausing where the plan says so."""
        if not (self.sliced or self.shown_frames):
            return instantiate(self.store, module, imports)
        try:
            begun = self.take_rest() or Yielded(Instantiation(self.store, module, imports))
        except Trap as trap:
            self._begin_frames(trap)
            raise
        going = begun.under_way
        assert isinstance(going, Instantiation)
        self.resumes = True
        try:
            self._to_the_end(begun)
        except HostPause as pause:  # of the host as the start function, or called in place of it
            self.pause_host(pause.times)
        finally:
            self.resumes = False
        return going.instance

    def _begin_frames(self, trap: Trap) -> None:
        """Note where the frames of a trap stand, in the activation that it was in."""
        origin = placed(trap.where)
        self.frames = [] if origin is None else [list(origin)]
        for activation in trap.activations:
            self._add_frames(activation)

    def _add_frames(self, activation: Activation | Instantiation) -> None:
        """Add where the frames of an activation stand to those of the trap, outermost last."""
        places = (placed(place(block)) for block, _ in reversed(activation.frames) if block.is_wasm)
        self.frames = [*self.frames, *(list(p) for p in places if p is not None)]

    def pause_host(self, times: int) -> None:
        """Take note of the pauses of a host function."""
        for _ in range(times):
            self.pause("host")

    # host functions

    def host_function(self, name: str) -> HostFunc:
        """Return the one function object of a host function of the plan."""
        if name not in self.hosts:
            host = self.plan.hosts[name]
            for t in (*host.params, *host.results):
                if t not in TYPES:
                    raise Stop(Unsupported(f"type {t}"))
            functype, call = self.host_of(name)
            self.hosts[name] = self.store.alloc_host_func(functype, call)
        return self.hosts[name]

    def host_of(self, name: str) -> Host:
        """Return the type of a host function of the plan, and what it calls."""
        host = self.plan.hosts[name]
        functype = FuncType(tuple(TYPES[t] for t in host.params), tuple(TYPES[t] for t in host.results))

        def call(caller: Caller, args: tuple[Any, ...]) -> Sequence[Any]:
            results = self.host_call(name, list(map(self.show, functype.params, args)))
            return list(map(self.value, results, functype.results))

        def suspending(caller: Caller, args: tuple[Any, ...]) -> Sequence[Any]:
            around, self.suspensions = self.suspensions, 0
            try:
                results = call(caller, args)
                times = self.suspensions
            except Exception:
                self.pause_host(self.suspensions)
                raise
            finally:
                self.suspensions = around
            if times and self.resumes:
                raise HostPause(times, results)
            self.pause_host(times)
            return results

        suspends = any(action[:1] == ("suspend",) for action in host.actions)
        return Host(functype, suspending if suspends else call)


def _is_trap(error: Exception) -> bool:
    """Return whether a host function failed because a call that it made has trapped."""
    return isinstance(error, Stop) and isinstance(error.outcome, Trapped)
