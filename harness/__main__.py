"""``python -m harness`` is ``wfuzz``."""

from __future__ import annotations

from harness.cli import main

main()
