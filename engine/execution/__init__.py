"""Running code: bodies lowered to graphs of basic blocks, one driver loop, instantiation (spec: exec).

``lower`` makes the blocks by the ``rules`` of a ``build``, out of ``closures`` that ``generate`` derives from the rows
by ``inline``; ``driver`` runs them on frames of ``frame``, as ``fuel`` allows; ``calls`` is the way in.
"""
