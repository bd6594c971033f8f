"""Campaigns, comparison, reduction, the runner of the official scripts, and the command line ``wfuzz``.

The top layer: it may import ``engine``, ``generators`` and ``oracles``; of ours, only ``ci`` and the tests import it.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["__version__", "baselines"]

__version__ = "0.1.0"


def baselines() -> Path:
    """Return the directory of checked-in expectations: the copy in an installed wheel, else ``ci/baselines`` itself."""
    installed = Path(__file__).parent / "baselines"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "ci" / "baselines"
