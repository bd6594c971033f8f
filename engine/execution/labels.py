"""Where the constructs of a body lie, found in one walk before anything is lowered.

Finding labels looks at structured rows only, and knows neither types nor heights: these come with the first
instruction of a construct that is lowered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import EngineBug
from engine.execution.frame import Label
from engine.instructions.immediates import labels_in
from engine.instructions.model import Control

if TYPE_CHECKING:
    from engine.module import Expr

__all__ = ["labels_of"]

# Members of the enumeration as globals: reading them from their class is slow.
BLOCK, LOOP, IF, ELSE, END, BR, BR_IF, CALL = (
    Control.BLOCK, Control.LOOP, Control.IF, Control.ELSE, Control.END, Control.BR, Control.BR_IF, Control.CALL,
)  # fmt: skip
TRY_TABLE, TRY, CATCH, DELEGATE = Control.TRY_TABLE, Control.TRY, Control.CATCH, Control.DELEGATE


def labels_of(body: Expr, results: int) -> dict[int, Label]:
    """Return the labels of a body by the index of the instruction after their first, and the function's own at 0."""
    root = inner = Label(None, None)
    root.height, root.params, root.results, root.arity = 0, 0, results, results
    labels, open_ = {0: root}, [root]  # for a ``try`` the innermost label is that of the current clause
    for pc, ins in enumerate(body, 1):
        control = ins[0].control
        if control is None:
            continue
        row, imms, _ = ins
        if control is END:
            open_.pop().end = pc
            if open_:
                inner = open_[-1]
        elif control is BLOCK or control is IF or control is LOOP:
            inner = labels[pc] = Label(control, inner)
            open_.append(inner)
        elif control is BR or control is BR_IF:
            open_[-1 - imms[0]].joins = True
        elif control is CALL:
            continue
        elif control is ELSE:
            inner.otherwise = pc
        elif control is TRY:
            inner = labels[pc] = Label(control, inner)
            inner.guard()
            open_.append(inner)
        elif control is CATCH:
            inner = open_[-1] = inner.follow(pc)
        elif control is DELEGATE:
            tried = open_.pop()
            tried.end = pc
            assert tried.handlers is not None
            tried.handlers.outer = open_[-1 - imms[0]].handlers
            inner = open_[-1]
        elif imms:
            for kind, value in zip(row.imms, imms, strict=True):
                for l in labels_in(kind, value):
                    open_[-1 - l].joins = True
            if control is TRY_TABLE:
                inner = labels[pc] = Label(control, inner)
                inner.guard()
                open_.append(inner)
    if open_:
        raise EngineBug("a body without its end")
    return labels
