"""Cases on disk: what is written comes back, nothing half-written has a name, and hostile directories are refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import jsonschema
import pytest

from harness.case import Case, CaseError, Finding, load_case, save_case, sweep
from oracles.plan import HostFunc, Limits, Plan, Step

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "case.schema.json"
EMPTY = b"\0asm\1\0\0\0"
CASE = Case(
    Plan(
        steps=(
            Step("validate", {"module": "m"}),
            Step("instantiate", {"instance": "a", "module": "m", "imports": {"env": ["@host"]}}),
            Step("call", {"instance": "a", "export": "f", "args": [["i32", "00000001"]]}),
            Step("observe", {}),
        ),
        modules={"m": EMPTY},
        texts={"t": b"(module)"},
        hosts={"log": HostFunc(("i32",), (), (("record",), ("mix", 7)))},
        features=("mvp",),
        nan="none",
        limits=Limits(memory_pages=16),
    ),
    {"seed": 1, "index": 7, "profile": "standard", "versions": {"wfuzz": "0"}},
    ("reference", "wasmer@1.1:singlepass"),
    (1, 2, 2**64),
    Finding("sig", "R2", 2, "result", "i32:1", "i32:2"),
)


@pytest.fixture
def saved(tmp_path):
    return save_case(CASE, tmp_path / "case", {"modules/m.wat": "(module)", "finding.md": "# finding"})


def edit(directory: Path, change) -> None:
    data = json.loads((directory / "case.json").read_text())
    change(data)
    (directory / "case.json").write_text(json.dumps(data))


def refused(directory: Path) -> str:
    with pytest.raises(CaseError) as caught:
        load_case(directory)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


def test_a_saved_case_loads_equal(saved):
    assert load_case(saved).plan.digest() == CASE.plan.digest()
    loaded = load_case(saved)
    assert (loaded.provenance, loaded.oracles, loaded.tape, loaded.finding) == (
        CASE.provenance, CASE.oracles, CASE.tape, CASE.finding,
    )  # fmt: skip


def test_a_saved_case_fits_the_published_schema(saved):
    jsonschema.validate(json.loads((saved / "case.json").read_text()), json.loads(SCHEMA.read_text()))


def test_saving_is_deterministic(saved, tmp_path):
    again = save_case(load_case(saved), tmp_path / "again")
    assert (again / "case.json").read_bytes() == (saved / "case.json").read_bytes()


def test_a_name_that_is_taken_stays_as_it_is(saved):
    before = (saved / "case.json").read_bytes()
    with pytest.raises(FileExistsError):
        save_case(CASE, saved)
    assert (saved / "case.json").read_bytes() == before


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_full_disk_leaves_no_half_case(tmp_path, monkeypatch, call):
    real = getattr(os, call)
    for survive in range(12):
        left = survive

        def limited(*args, **kwargs):
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, limited)
            try:
                save_case(CASE, tmp_path / f"case{survive}")
            except OSError as e:
                assert e.errno == errno.ENOSPC
        directory = tmp_path / f"case{survive}"
        assert not directory.exists() or load_case(directory).tape == CASE.tape
    assert not list(tmp_path.glob(".writing-*"))


def test_sweeping_removes_what_an_interrupted_writer_left(tmp_path):
    (tmp_path / "x" / ".writing-case-1").mkdir(parents=True)
    (tmp_path / "x" / ".writing-case-1" / "case.json").write_text("{")
    (tmp_path / "kept").mkdir()
    sweep(tmp_path)
    assert [p.name for p in (tmp_path / "x").iterdir()] == []
    assert (tmp_path / "kept").is_dir()


def test_a_wrong_hash_is_refused(saved):
    (saved / "modules" / "m.wasm").write_bytes(EMPTY + b"\0")
    assert "SHA-256" in refused(saved)


def test_a_missing_module_is_refused(saved):
    (saved / "modules" / "m.wasm").unlink()
    assert "modules/m.wasm is missing" in refused(saved)


@pytest.mark.parametrize("name", ["run.sh", ".hidden", "case.json~"])
def test_unknown_files_are_refused(saved, name):
    (saved / name).write_text("x")
    assert "unknown file" in refused(saved)


def test_an_unknown_module_file_is_refused(saved):
    (saved / "modules" / "other.wasm").write_bytes(EMPTY)
    assert "unknown file" in refused(saved)


@pytest.mark.parametrize("place", ["case.json", "modules/m.wasm", "modules", "reduced", "finding.md"])
def test_links_are_refused(saved, tmp_path, place):
    target = tmp_path / "elsewhere"
    if (saved / place).exists():
        (saved / place).rename(target)
    else:
        target.mkdir()
    (saved / place).symlink_to(target)
    refused(saved)


def test_special_files_are_refused_without_waiting(saved):
    (saved / "modules" / "m.wasm").unlink()
    os.mkfifo(saved / "modules" / "m.wasm")
    assert "not a plain file" in refused(saved)


@pytest.mark.parametrize("name", ["../m", "/etc/passwd", "..", ".m", "a/b", "a\0b", "x" * 65, ""])
def test_names_that_leave_the_directory_are_refused(saved, name):
    entry = {"sha256": hashlib.sha256(EMPTY).hexdigest(), "size": len(EMPTY)}
    edit(saved, lambda d: d["plan"]["modules"].update({name: entry}))
    assert "not a module name" in refused(saved)


@pytest.mark.parametrize("oracle", ["/bin/sh", "sh -c true", "../x", "", "Reference", "a" * 41, "x:y z", "a;b"])
def test_oracles_are_ids_never_commands(saved, oracle):
    edit(saved, lambda d: d.update(oracles=[oracle]))
    assert "is not an oracle id" in refused(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(command="true"),
        lambda d: d["plan"].update(limits={"step_ms": -1}),
        lambda d: d["plan"].update(limits={"commands": 1}),
        lambda d: d["plan"]["steps"].append({"kind": "exec", "command": "true"}),
        lambda d: d["plan"]["steps"].append({"kind": "validate", "module": "m", "command": "true"}),
        lambda d: d["plan"].update(modules=[]),
        lambda d: d["plan"].update(steps=None),
        lambda d: d.update(plan=3),
        lambda d: d.pop("tape"),
        lambda d: d.update(tape=[1.5]),
        lambda d: d.update(tape=[-1]),
        lambda d: d.update(tape=[True]),
        lambda d: d.update(tape=[0] * 65537),
        lambda d: d.update(format=2),
        lambda d: d.update(provenance={"command": "true"}),
        lambda d: d.update(provenance={"without": [1]}),
        lambda d: d.update(finding={"signature": 1}),
    ],
)
def test_anything_but_a_case_is_refused(saved, change):
    edit(saved, change)
    refused(saved)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": NaN}', b'{"format": 1, "format": 1}',
        b"[" * 200_000, b'{"a":' * 100_000, b'{"format": ' + b"9" * 5000 + b"}", b" " * (16 << 20) + b"  ",
    ],
)  # fmt: skip
def test_hostile_json_is_refused(saved, text):
    (saved / "case.json").write_bytes(text)
    refused(saved)


def test_a_directory_with_too_many_files_is_refused(saved):
    for i in range(300):
        (saved / "modules" / f"f{i}.wat").write_text("")
    assert "more than" in refused(saved)


def test_what_is_not_a_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "directory" in refused(tmp_path / "file")
    assert "directory" in refused(tmp_path / "nothing")


def test_a_module_name_that_cannot_be_a_file_is_not_written(tmp_path):
    with pytest.raises(CaseError):
        save_case(Case(Plan(steps=(), modules={"../x": EMPTY})), tmp_path / "case")
    assert list(tmp_path.iterdir()) == []
