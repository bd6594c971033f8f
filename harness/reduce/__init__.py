"""Making a finding small while it keeps its signature.

Four views of one case, each with its own passes, coarse before fine: the choice tape (``tape``), the steps around the
modules (``steps``), the functions' bodies (``bodies``), and what a module lists (``sections``, driven by ``module``).
Every candidate goes through one question (``check``), every loop of deletions through one function (``chunks``).  A
case that was reduced below its generator's reach has no tape any more; it replays from its plan like any other.
"""

from __future__ import annotations

__all__: list[str] = []
