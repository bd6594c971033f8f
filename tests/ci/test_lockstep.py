"""The gate of lock step: a small run is clean, and it would notice a wrong resume and a wrong count."""

from __future__ import annotations

import pytest

from ci.gates import lockstep
from harness.case import load_case


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["lockstep", *arguments])
    return lockstep.main()


@pytest.mark.parametrize("engine", ["wasmtime", "wasmtime:winch"])
def test_a_small_run_is_clean_and_says_what_it_compared(monkeypatch, capsys, engine):
    assert run(monkeypatch, "--modules", "24", "--budgets", "6", "--engine", engine) == 0
    out = capsys.readouterr().out
    assert f"modules, {engine}: 24 Agree, 6 at every check point, 18 at intervals" in out
    assert "modules: 24 per engine," in out
    assert "budgets: 6 per engine," in out
    assert "0 mismatches" in out


@pytest.mark.parametrize(
    ("plant", "what", "rule"),
    [("host-twice", "--modules", "R5"), ("no-back-edge", "--modules", "R9"), ("check-first", "--budgets", "R8")],
)
def test_a_planted_mistake_is_a_mismatch_and_kept_as_a_case(monkeypatch, capsys, tmp_path, plant, what, rule):
    engine = f"reference:plant={plant}+fuel=wasmtime-50"
    assert run(monkeypatch, what, "30", "--engine", engine, "--out", str(tmp_path)) == 1
    cases = [load_case(path.parent) for path in tmp_path.glob("*/*/case.json")]
    assert rule in {case.finding.rule for case in cases}
    assert all(case.oracles == ("reference:fuel=wasmtime-50", engine) for case in cases)


def test_small_is_what_the_command_says(monkeypatch, capsys):
    def budgets(need: str) -> int:
        arguments = ("--budgets", "12", "--first", "20", "--engine", "wasmtime")
        assert run(monkeypatch, *arguments, "--need", need) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("budgets: ")]
        return int(line.partition("per engine, ")[2].partition(" ")[0].replace(",", ""))

    assert budgets("3") < 12 * 6 < budgets("512")
