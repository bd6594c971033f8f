"""A startup function under way: its script (``startup.py``), how far that has come, and what was charged.

Nothing is hidden in the stack of the interpreter, so that one that stands still can be saved, restored and dropped.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from engine.errors import ExhaustionError, Resource
from engine.execution.segments import apply_data, apply_elem
from engine.execution.startup import Act
from engine.module import Active

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.execution.startup import Startup, Step
    from engine.runtime.instance import ModuleInst

__all__ = ["Meter"]

_CHECKS = (Act.CHECK, Act.CHECK_SHOWN)


def _checks(steps: Sequence[Step]) -> int:
    return sum(step.act in _CHECKS for step in steps)


class Meter:
    """Takes the steps of a startup function, and counts.

    ``lengths`` are those of the bulk operators in its constant expressions, ``at`` is the step to come.  What it has
    charged since it last wrote back to the store is ``unsaved``, which a trap gives back; beside that, ``pending`` is
    what it charges at the end of its basic block, that is, at the next check or when it ends.  Both are 0 where it
    stands still: behind a check, where ``required_fuel`` must be added to the store, or with None, where the store's
    interval is used up.
    """

    __slots__ = (
        "at", "instance", "lengths", "pending", "required_fuel", "resumable", "startup", "steps", "store", "unsaved",
    )  # fmt: skip

    def __init__(self, instance: ModuleInst, startup: Startup, lengths: Sequence[int], resumable: bool) -> None:
        self.instance = instance
        self.store = instance.store
        self.startup = startup
        self.lengths = lengths
        self.resumable = resumable
        self.steps = startup.script(lengths)
        self.at = 0
        self.unsaved = 0
        self.pending = 0
        self.required_fuel: int | None = None

    @property
    def checks(self) -> int:
        """How many checks there are in all."""
        return _checks(self.steps)

    @property
    def check(self) -> int:
        """How many checks it has come to, the one where it stands still among them."""
        return _checks(self.steps[: self.at])

    def stand(self, check: int, required_fuel: int | None) -> None:
        """Stand still where it has come to so many checks, which must be there; 0 is the beginning."""
        behind = (n for n, step in enumerate(self.steps, 1) if step.act in _CHECKS)
        self.at = next(islice(behind, check - 1, None)) if check else 0
        self.required_fuel = required_fuel

    def run(self) -> bool:
        """Take the steps to the end, or return False where it stands still; a trap gives back what was not saved.

        What the constant expressions made is not seen if it runs out of fuel.  The images of memories are there before
        it runs.  That can be seen where it stands still at an element segment, because functions of the instance may be
        in a table by then.
        """
        if self.required_fuel is not None and not self._ask():
            return False
        steps, instance = self.steps, self.instance
        while self.at < len(steps):
            units, act, x = steps[self.at]
            self.at += 1
            self.pending += units
            if act is Act.ELEM:
                apply_elem(instance, x)
            elif act is Act.DATA:
                apply_data(instance, x)
            elif act is Act.LOSE:
                self.pending = 0
            elif act is Act.END:
                self._finish()
            elif not self._check():
                if act is Act.CHECK_SHOWN:
                    self._show_images()
                return False
        return True

    def exhausted(self) -> ExhaustionError:
        """Return the error that it is not to go on with fuel from where it stands still."""
        return ExhaustionError(Resource.FUEL)

    def _check(self) -> bool:
        """Go on if there is fuel left of what the store gave to execution."""
        store = self.store
        self.unsaved += self.pending
        self.pending = 0
        if store.fuel_left is not None and store.fuel_left - self.unsaved > store.fuel_reserve:
            return True
        self._save()
        return self._ask()

    def _ask(self) -> bool:
        """Have the store give more to execution; return False where there is none, or it is time to pause."""
        store, self.required_fuel = self.store, None
        if store.fuel_left is None:  # metering has ended while it stood still
            return True
        if store.fuel_left < 1:
            self.required_fuel = 1 - store.fuel_left
            return False
        store.inject(store.fuel_left)
        return not self.resumable or store.fuel_interval is None

    def _save(self) -> None:
        """Write back what was charged: it is not given back by a trap any more."""
        if self.store.fuel_left is not None:
            self.store.fuel_left -= self.unsaved
        self.unsaved = 0

    def _show_images(self) -> None:
        """Apply the data segments that are in images."""
        for x, data in enumerate(self.instance.module.datas):
            if isinstance(data.mode, Active) and x not in self.startup.datas:
                apply_data(self.instance, x)

    def _finish(self) -> None:
        """Leave the startup function; what it is about to lose is not charged."""
        startup = self.startup
        if startup.starts or not startup.rule.loses_end:
            self.unsaved += self.pending
        self.pending = 0
        self._save()
