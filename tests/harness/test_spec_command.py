"""``wfuzz spec`` and ``wfuzz spec fetch`` as a user meets them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from xml.etree import ElementTree as ET

import pytest

from harness.cli import Exit, main
from harness.wast.suite import FileInfo, Manifest

OWN = b'(module (func (export "one") (result i32) (i32.const 1)))\n(assert_return (invoke "one") (i32.const 1))\n'
WRONG = OWN + b'(assert_return (invoke "one") (i32.const 2))\n'
COUNTS = {"assert_return": 2, "module text": 1}
PINNED = {"core/base/wrong.wast": WRONG, "core/simd/wrong.wast": WRONG + b";;"}


def status(*args: object) -> int:
    with pytest.raises(SystemExit) as e:
        main([str(arg) for arg in args])
    return e.value.code


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """A pinned suite of two files, its archive, an empty user cache and empty baselines."""
    infos = {n: FileInfo(n, hashlib.sha256(d).hexdigest(), len(d), COUNTS) for n, d in PINNED.items()}
    manifest = Manifest("suite-test", (), infos)
    with zipfile.ZipFile(tmp_path / "suite.zip", "w") as z:
        for name, data in PINNED.items():
            z.writestr("somewhere/" + name, data)
    monkeypatch.setattr("harness.commands.spec.load_manifest", lambda: manifest)
    monkeypatch.setattr("harness.wast.suite.platformdirs.user_cache_path", lambda _: tmp_path / "cache")
    monkeypatch.setattr("harness.commands.spec.baselines", lambda: tmp_path / "baselines")
    return tmp_path


def test_without_a_suite_the_command_says_how_to_get_it(suite, capsys):
    assert status("spec") == Exit.ENVIRONMENT
    assert "wfuzz spec fetch --from ARCHIVE" in capsys.readouterr().err


def test_fetch_installs_and_a_run_finds_it(suite, capsys):
    assert status("spec", "fetch", "--from", suite / "suite.zip") == Exit.CLEAN
    assert "2 files, all as pinned" in capsys.readouterr().out
    assert status("spec", "--engine", "wasmtime", "--jobs", 1, "simd") == Exit.FINDINGS
    captured = capsys.readouterr()
    assert "engine 1/2, text 0/0" in captured.out
    assert (
        "core/simd/wrong.wast:3: assert_return failed: value; i32:00000002 expected, got i32:00000001" in captured.out
    )
    assert "--bless writes them" in captured.err


def test_fetch_from_something_else_is_one_sentence(suite, capsys):
    assert status("spec", "fetch", "--from", suite / "absent.zip") == Exit.ENVIRONMENT
    assert "is not a file" in capsys.readouterr().err
    assert not (suite / "cache").exists() or list((suite / "cache").iterdir()) == []


def test_what_is_blessed_is_expected_from_then_on_in_both_directions(suite, capsys):
    run = ("spec", "--engine", "wasmtime", "--suite", suite / "suite.zip", "--jobs", 2)
    assert status(*run, "--bless", "base") == Exit.CLEAN
    assert status(*run, "base") == Exit.CLEAN
    assert "exactly as expected" in capsys.readouterr().out
    assert status(*run) == Exit.FINDINGS
    assert status(*run, "--bless") == Exit.CLEAN
    (path,) = (suite / "baselines" / "spec").iterdir()
    text = path.read_text()
    assert json.loads(text)["files"]["core/simd/wrong.wast"] == {"failing": {"value": "2"}}
    path.write_text(text.replace('{"value": "2"}', '{"value": "1-2"}'))
    capsys.readouterr()
    assert status(*run, "simd") == Exit.FINDINGS
    assert "assert_return passed, expected to fail: value" in capsys.readouterr().out


def test_reports_are_written(suite, capsys):
    (suite / "own.wast").write_bytes(WRONG + b"\n")
    run = (
        "spec",
        "--engine",
        "wasmtime",
        "--suite",
        suite / "own.wast",
        "--json",
        suite / "o.json",
        "--junit",
        suite / "o.xml",
    )
    assert status(*run) == Exit.FINDINGS
    report = json.loads((suite / "o.json").read_text())
    assert report["folders"]["."]["engine"] == {"passed": 1, "total": 2}
    assert report["engine"].startswith("wasmtime@")
    assert ET.parse(suite / "o.xml").getroot().find(".//failure") is not None


def test_own_scripts_that_pass_are_clean(suite, capsys):
    (suite / "own.wast").write_bytes(OWN)
    assert status("spec", "--suite", suite / "own.wast") == Exit.CLEAN  # the default engine is ours
    out = capsys.readouterr().out
    assert "reference@" in out
    assert "all passed, as expected" in out


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("--suite", "/nonexistent"), Exit.ENVIRONMENT, "does not exist"),
        (("--engine", "nonsense", "--suite", "SUITE"), Exit.ENVIRONMENT, "no oracle 'nonsense'"),
        (("--suite", "SUITE", "nothing-like-it"), Exit.USAGE, "no script matches nothing-like-it"),
        (("--jobs", "0"), Exit.USAGE, "--jobs"),
        (("--nonsense",), Exit.USAGE, "No such option"),
    ],
)
def test_wrong_usage_is_one_sentence(suite, capsys, args, code, says):
    assert status("spec", *(str(suite / "suite.zip") if a == "SUITE" else a for a in args)) == code
    assert says in capsys.readouterr().err


def test_help_shows_the_options_of_a_run(capsys):
    assert status("spec", "--help") == Exit.CLEAN
    out = capsys.readouterr().out
    assert "--engine" in out
    assert "wfuzz spec fetch" in out
