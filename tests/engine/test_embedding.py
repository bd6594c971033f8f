"""The examples of the page for embedders run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "embedding.md"


def test_the_examples_run():
    examples = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) == 3
    exec(compile("\n".join(examples), str(PAGE), "exec"), {"__name__": "example"})
