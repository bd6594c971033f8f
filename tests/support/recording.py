"""Which rows were executed: a build of the reference engine that notes each instruction before and after it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.execution.build import RULES, Build

if TYPE_CHECKING:
    from engine.execution.lower import Lowering
    from engine.execution.rules import Plan, Rule

__all__ = ["Recording"]


@dataclass
class Recording:
    """``begun`` are the names of the rows that control came to, ``ended`` those after which it went on.

    Nothing is folded in ``build``, so that no value is computed later than its instruction stands.
    """

    begun: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    build: Build = field(init=False)

    def __post_init__(self) -> None:
        rules = {name: partial(self._note, rule) for name, rule in RULES.items()}
        self.build = Build(rules=rules, inline=False, fold=False)

    def _note(self, rule: Rule, low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
        name = p.row.name
        low.body.append(lambda R: self.begun.add(name))
        rule(low, p, imms, offset)
        if not low.dead:
            low.body.append(lambda R: self.ended.add(name))
