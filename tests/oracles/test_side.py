"""Side environments: interpreters are executed before they are believed, and an environment is whole or not there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import pytest

from oracles import side
from oracles.adapter import OracleId, Unavailable, load
from oracles.conformance import CHECKS, failure
from oracles.outcome import Returned, Unsupported
from oracles.plan import Plan, Step
from oracles.process import Oracle
from oracles.side import ENVIRONMENTS, HERE, candidates, install, problem, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oracles.conformance import Check

WASMER = ENVIRONMENTS["wasmer@1.1"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path / "cache")
    return tmp_path / "cache"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def test_a_shim_that_lies_is_found_out(tmp_path: Path) -> None:
    shim = script(tmp_path / "python3.10", "echo 'pyenv: python3.10: command not found' >&2; exit 127")
    reason = problem(shim, (3, 10))
    assert reason is not None
    assert "command not found" in reason


def test_another_implementation_or_version_is_named(tmp_path: Path) -> None:
    pypy = script(tmp_path / "python3.10", "echo '[\"PyPy\", 3, 10, 14]'")
    assert "is PyPy 3.10.14" in str(problem(pypy, (3, 10)))
    newer = problem(Path(sys.executable), (3, 10))
    assert newer is not None
    assert "is CPython 3." in newer
    assert problem(Path(sys.executable), sys.version_info[:2]) is None
    assert "does not run" in str(problem(tmp_path / "absent", (3, 10)))


def test_candidates_are_looked_for_in_path_and_version_managers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = script(tmp_path / "bin" / "python3.10", "")
    pyenv = script(tmp_path / "pyenv" / "versions" / "3.10.9" / "bin" / "python3.10", "")
    monkeypatch.setenv("PATH", f"{tmp_path / 'nothing'}:{tmp_path / 'bin'}")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert list(candidates((3, 10)))[:2] == [here, pyenv]


def test_without_a_fitting_interpreter_one_sentence_says_so(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = script(tmp_path / "bin" / "python3.10", "exit 1")
    monkeypatch.setattr(side, "candidates", lambda _: [shim])
    with pytest.raises(Unavailable, match=r"no CPython 3\.10 found for wasmer@1\.1; name one with --python; tried: .*"):
        install("wasmer@1.1")
    with pytest.raises(Unavailable, match=r"needs CPython 3\.10: .* is CPython"):
        install("wasmer@1.1", Path(sys.executable))
    assert not cache.exists()


@pytest.mark.usefixtures("cache")
def test_an_environment_that_is_not_installed_to_its_end_is_none() -> None:
    with pytest.raises(Unavailable, match=r"wfuzz oracles install wasmer@1\.1"):
        worker("wasmer@1.1")
    script(WASMER.interpreter, "")
    for mark in ("", "[]", '{"lock": "of another time"}'):
        (WASMER.directory / "installed.json").write_text(mark or "{")
        assert not WASMER.is_current()
    with pytest.raises(Unavailable, match="not installed"):
        Oracle("wasmer@1.1:singlepass").start()


def test_the_copy_for_the_worker_never_lags_behind(cache: Path) -> None:
    script(WASMER.interpreter, "")
    (WASMER.directory / "installed.json").write_text(f'{{"lock": "{WASMER.lock_hash()}"}}')
    command, root = worker("wasmer@1.1")
    assert command[0] == str(WASMER.interpreter)
    assert cache in root.parents
    stale = root / "oracles" / "plan.py"
    stale.write_text("old")
    worker("wasmer@1.1")
    for name in WASMER.files:
        assert (root / "oracles" / name).read_bytes() == (HERE / name).read_bytes()


def test_the_lock_pins_every_package_by_hash() -> None:
    lines = (HERE / WASMER.lock).read_text().splitlines()
    names = [line.split("==")[0] for line in lines if line and not line.startswith((" ", "#"))]
    assert names == ["wasmer", "wasmer-compiler-cranelift", "wasmer-compiler-singlepass"]
    assert sum("--hash=sha256:" in line for line in lines) > len(names)


def test_an_oracle_of_a_version_is_that_version_or_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"wasmtime@48 is not what this process has, which is wasmtime 50\."):
        load("wasmtime@48")


def test_an_oracle_without_an_environment_is_refused() -> None:
    with pytest.raises(Unavailable, match="needs no environment"):
        install("wasmtime")


@pytest.mark.parametrize("release", [48, 36])
def test_an_older_wasmtime_is_made_of_all_files_of_its_adapter(release: int) -> None:
    older = ENVIRONMENTS[f"wasmtime@{release}"]
    assert older.python == sys.version_info[:2]
    assert {f"adapters/{path.name}" for path in (HERE / "adapters").glob("wasmtime*.py")} <= set(older.files)
    assert (HERE / older.lock).read_text().count("--hash=sha256:") > 5


_OLDER = {
    "wasmtime@48": "wasmtime 48", "wasmtime@48:none": "wasmtime 48", "wasmtime@48:winch": "wasmtime 48:winch",
    "wasmtime@48:pulley": "wasmtime 48:pulley",
    "wasmtime@36": "wasmtime 36", "wasmtime@36:none": "wasmtime 36", "wasmtime@36:winch": "",
}  # fmt: skip


@pytest.fixture(scope="module", params=_OLDER)
def older(request: pytest.FixtureRequest) -> Iterator[Oracle]:
    with Oracle(request.param) as supervised:
        yield supervised


@pytest.mark.external
def test_an_older_wasmtime_counts_by_its_own_model(older: Oracle) -> None:
    assert older.description.version == OracleId.parse(older.id).version + ".0.0"
    assert older.description.fuel_model == _OLDER[older.id]
    assert bool(older.description.fuel_note) == (not older.description.fuel_model)


@pytest.mark.external
@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.name)
def test_an_older_wasmtime_passes_the_kit(older: Oracle, check: Check) -> None:
    assert failure(check, older.run, older.description) is None


@pytest.mark.external
def test_36_refuses_external_references_in_slices_instead_of_aborting() -> None:
    text = '(module (func (export "f") (param externref)) (func (export "g") (param anyref)))'
    calls = [("f", ["externref", 3]), ("g", ["anyref", {"host": 3}]), ("g", ["anyref", {"i31": 3}])]
    steps = (
        Step("yield_schedule", {"intervals": [1]}),
        Step("assemble", {"module": "m", "text": "t"}),
        Step("instantiate", {"instance": "i", "module": "m", "imports": {}}),
        *(Step("call", {"instance": "i", "export": name, "args": [value]}) for name, value in calls),
    )
    for sliced, lacks in ((True, Unsupported("new external references where calls are asynchronous")), (False, None)):
        with Oracle("wasmtime@36") as oracle:
            records = oracle.run(Plan(steps[0 if sliced else 1 :], texts={"t": text.encode()}, features=("all",)))
        assert [record.outcome for record in records[-3:]] == [lacks or Returned(), lacks or Returned(), Returned()]


@pytest.mark.external
def test_36_shows_a_number_made_external_though_it_has_allocated_nothing() -> None:
    text = '(module (func (export "f") (result externref) (extern.convert_any (ref.i31 (i32.const 5)))))'
    steps = (
        Step("assemble", {"module": "m", "text": "t"}),
        Step("instantiate", {"instance": "i", "module": "m", "imports": {}}),
        Step("call", {"instance": "i", "export": "f", "args": []}),
    )
    with Oracle("wasmtime@36") as oracle:
        for first in ((), (Step("yield_schedule", {"intervals": [1]}),)):
            records = oracle.run(Plan((*first, *steps), texts={"t": text.encode()}, features=("all",)))
            assert records[-1].outcome == Returned((("externref", {"any": {"i31": 5}}),))


@pytest.mark.external
def test_36_says_what_its_wheel_lacks() -> None:
    with Oracle("wasmtime@36") as oracle:
        description = oracle.description
        plan = Plan((Step("validate", {"module": "m"}),), modules={"m": b"\0asm\1\0\0\0"}, features=("exceptions",))
        assert [record.outcome for record in oracle.run(plan)] == [Unsupported("feature exceptions")]
    assert not {"exceptions", "custom-page-sizes"} & set(description.features)
    assert ("exnref" in description.types, "throw" in description.actions) == (False, False)
    with pytest.raises(Unavailable, match=r"36.0.0 has no variant pulley here"), Oracle("wasmtime@36:pulley") as pulley:
        assert pulley.description
