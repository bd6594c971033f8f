"""How one module may be written in several ways (spec: binary).

The format leaves some choices: an integer may be longer than it must, table 0 of a segment may be named, a type may
stand in a group of its own, a section may be there and be empty.  All ways decode to the same module.  Only the
shortest is of use to a program; a decoder under test should see the others.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SHORTEST", "Form"]


class Form(NamedTuple):
    """``explicit_index`` names table or memory 0 in a segment, ``explicit_types`` writes ``rec`` and ``sub final``."""

    explicit_index: bool = False
    explicit_types: bool = False
    empty_sections: bool = False


SHORTEST = Form()
