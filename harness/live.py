"""The state of something long, on standard error: one live line on a terminal, else a plain line now and then."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.status import Status

    from harness.campaign import Campaign

__all__ = ["Live", "campaign_line"]

LINE_EVERY_S = 10.0


class Live:
    """A context manager; call it with a function that makes the line, as often as you like."""

    def __init__(self, every_s: float = LINE_EVERY_S) -> None:
        self.every_s = every_s
        self._last = time.monotonic()
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.status import Status

            self._status = Status("starting", console=Console(stderr=True))
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __call__(self, line: Callable[[], str]) -> None:
        """Show ``line()``, unless it is too early for another."""
        now = time.monotonic()
        if now - self._last < (0.25 if self._status is not None else self.every_s):
            return
        self._last = now
        if self._status is not None:
            self._status.update(line())
        else:
            click.echo(line(), err=True)


def campaign_line(campaign: Campaign) -> str:
    """Return the state of a campaign as one line."""
    tally = campaign.tally
    rate = tally.cases / tally.elapsed_s if tally.elapsed_s else 0.0
    findings = sum(tally.of_kind("finding").values())
    runs = sum(tally.of_kind("run").values())
    return (
        f"{tally.elapsed_s:6.0f} s  {tally.cases:,} cases  {rate:.0f}/s  {findings} findings  "
        f"{tally.percent('inconclusive'):.1f}% inconclusive  {runs:,} plans"
    )
