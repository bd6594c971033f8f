"""The numerics chapter: pure functions with the paper's names, width first (spec: exec-numeric).

``ints`` holds operators on integers, ``floats`` on floating-point numbers, ``conversions`` between them.  Values are as
``engine.values`` says.  ``iadd(32, i, j)`` is the paper's iadd_32(i, j).

**The inlinable subset.**  Execution inlines the function of every row marked ``hot`` through ``ast``, with the widths
as constants.  Such a function is a docstring, assignments, and one ``return``: no loop, no raise, no statement that
branches.  It may call

* functions of the subset, among them ``mask`` and ``signed``; they are inlined in turn;
* builtins and functions of ``math`` and ``struct`` by plain name, and methods of its operands.

A conditional expression on a width (``x if n == 64 else ...``) must be decided before its branches are inlined: that is
how one definition serves f32, which needs a rounding statement, and f64, which needs none.  Every other free name is a
constant of the module.  Functions that trap are ordinary functions, and their rows are not hot.
"""
