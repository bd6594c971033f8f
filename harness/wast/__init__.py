"""Test scripts of the specification: read, assembled, run on one engine and judged, or on two engines and compared.

``suite``, ``archive`` and ``fetch`` know the pinned files; ``reader``, ``script`` and ``values`` what a script says;
``schedule`` and ``spectest`` make plans of it.  Then there are two ways.  One engine: ``runner`` runs the plan,
``judge`` gives each command its verdict, ``expectations`` and ``report`` hold them against what is known.  Two engines:
``watched`` makes state and fuel visible (``visible``), ``against`` runs both, ``settle`` compares.
"""
