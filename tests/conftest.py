"""What every test has: properties without chance or clock, and golden files.

Hypothesis draws the same examples in every run and keeps no database, so a failure here is a failure everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from harness.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parent / "golden"

settings.register_profile(
    "wfuzz", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("wfuzz")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="rewrite the golden files with what the tests see")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return a check that ``text`` is what the file of that name under tests/golden holds; ``--bless`` writes it."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--bless"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert path.is_file(), f"no golden file {name}: look at the text, then run this test with --bless"
        assert text == path.read_text()

    return check


@pytest.fixture
def wfuzz(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[object, str, str]]:
    """Return a function that runs a command line: exit status, standard output, standard error."""

    def run(*args: object) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as caught:
            main([str(a) for a in args])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return caught.value.code, out, err

    return run
