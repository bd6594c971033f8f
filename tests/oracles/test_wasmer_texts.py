"""Frames in the texts of wasmer's traps: read to the last digit, or not at all."""

from __future__ import annotations

import pytest

from oracles.adapters.wasmer import TrappedSession, frames_of
from oracles.outcome import Exhausted, Returned, Trapped
from oracles.plan import Plan, Step

FRAMES = "    at <unnamed> (<module>[2]:0x26f)\n    at f (m[14]:0x825)\n    at <unnamed> (<module>[3]:0xffffffff)"
SHOWN = [[2, 0x26F], [14, 0x825], [3, 0xFFFF_FFFF]]
TEXT = f"integer divide by zero\n{FRAMES}"


@pytest.mark.parametrize("most", [0, 1, 2, 3, 4])
def test_frames_are_read_up_to_a_number(most: int) -> None:
    assert frames_of(TEXT, most) == SHOWN[:most]


@pytest.mark.parametrize(
    "line",
    ["", "    at f", "    at f (m[1]:0x1", "  at f (m[1]:0x1)", "    at f (m[1]:0xg)", "    at f (m[]:0x1)", "more"],
)
def test_a_line_that_is_no_frame_leaves_all_of_them_out(line: str) -> None:
    assert frames_of(f"{TEXT}\n{line}", 20) is None


def test_a_trap_outside_of_any_function_has_no_frames() -> None:
    assert frames_of("out of bounds memory access", 20) == []


def test_a_session_tells_frames_of_traps_where_the_plan_wants_them() -> None:
    session = TrappedSession(Plan(()))
    trap = Trapped("integer divide by zero", None, TEXT)
    assert session.trapped(TEXT) == (trap, {})
    assert session.dispatch(Step("debug", {"frames": 2})) == (Returned(), None)
    assert session.trapped(TEXT) == (trap, {"frames": SHOWN[:2]})
    assert session.trapped(f"call stack exhausted\n{FRAMES}") == (Exhausted("stack"), {})
    assert session.trapped("unreachable\n    at f") == (Trapped("unreachable", None, "unreachable\n    at f"), {})
