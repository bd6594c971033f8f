"""``wfuzz wat``, ``wasm`` and ``validate`` on files and streams."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from engine import decode, encode, parse, print_module
from harness.cli import Exit, wfuzz

TEXT = '(module (func $f (export "f") (result i32) (i32.const 7)))'
FLAT = print_module(decode(encode(parse(TEXT, names=False))))
ILL = "(module\n  (func (result i32)\n    (i64.const 1)))"


def run(*args: str, input: str | bytes | None = None):
    result = CliRunner().invoke(wfuzz, args, input=input, standalone_mode=False)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return getattr(result.exception, "exit_code", None), str(result.exception)
    return result.return_value, result.output


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wat").write_text(TEXT)
    (tmp_path / "a.wasm").write_bytes(encode(parse(TEXT, names=False)))
    (tmp_path / "ill.wat").write_text(ILL)
    (tmp_path / "bad.wat").write_text("(module (func (foo)))")
    (tmp_path / "cut.wasm").write_bytes(b"\0asm\1\0\0\0\1")
    return tmp_path


# -- wat


def test_a_binary_becomes_text(here):
    assert run("wat", "a.wasm") == (Exit.CLEAN, FLAT)


def test_text_becomes_flat_text(here):
    assert run("wat", "-", input="(module (func (drop (i32.const 1))))")[1].split("\n")[3:5] == [
        "    i32.const 1",
        "    drop",
    ]


def test_text_goes_to_a_file(here):
    assert run("wat", "a.wasm", "-o", "b.wat") == (Exit.CLEAN, "")
    assert (here / "b.wat").read_text() == FLAT


def test_malformed_bytes_are_refused_with_their_place(here):
    assert run("wat", "cut.wasm") == (Exit.FINDINGS, "cut.wasm: unexpected end (offset 0x9)\n")


# -- wasm


def test_text_becomes_a_binary_beside_it(here):
    (here / "a.wasm").unlink()
    assert run("wasm", "a.wat") == (Exit.CLEAN, "")
    assert (here / "a.wasm").read_bytes() == encode(parse(TEXT))


def test_names_may_be_left_out(here):
    assert run("wasm", "a.wat", "--no-names", "-o", "b.wasm") == (Exit.CLEAN, "")
    assert (here / "b.wasm").read_bytes() == (here / "a.wasm").read_bytes()


def test_a_stream_becomes_a_stream(here):
    result = CliRunner().invoke(wfuzz, ["wasm", "-"], input=TEXT, standalone_mode=False)
    assert result.stdout_bytes == encode(parse(TEXT))


def test_an_error_shows_the_line(here):
    message = "bad.wat: unknown operator: foo at line 1, column 16\n(module (func (foo)))\n               ^\n"
    assert run("wasm", "bad.wat") == (Exit.FINDINGS, message)
    assert not (here / "bad.wasm").exists()


def test_the_source_is_not_overwritten(here):
    assert run("wasm", "a.wasm") == (Exit.USAGE, "a.wasm would be overwritten: name another file with -o")


# -- validate


def test_valid_modules_of_both_forms(here):
    assert run("validate", "a.wat", "a.wasm") == (Exit.CLEAN, "a.wat: valid\na.wasm: valid\n")


def test_an_invalid_text_shows_where(here):
    status, output = run("validate", "a.wat", "ill.wat")
    assert status == Exit.FINDINGS
    assert output.split("\n")[1:4] == [
        "ill.wat: invalid: type mismatch: end expects i32, found i64 (func 0) at line 3, column 18",
        "    (i64.const 1)))",
        "                 ^",
    ]


def test_an_invalid_binary_has_an_offset(here):
    (here / "ill.wasm").write_bytes(encode(parse(ILL)))
    assert run("validate", "ill.wasm")[1].startswith(
        "ill.wasm: invalid: type mismatch: end expects i32, found i64 (func 0, offset"
    )


def test_features_may_be_chosen(here):
    (here / "ext.wat").write_text("(func (i32.const 1) i32.extend8_s drop)")
    assert run("validate", "ext.wat", "--features", "wasm2")[0] == Exit.CLEAN
    assert run("validate", "ext.wat", "--features", "wasm1,sign-extension")[0] == Exit.CLEAN
    status, output = run("validate", "ext.wat", "--features", "wasm1")
    assert (status, "i32.extend8_s needs sign-extension" in output) == (Exit.FINDINGS, True)
    status, message = run("validate", "ext.wat", "--features", "nonsense")
    assert (status, "'nonsense' is no feature" in message) == (Exit.USAGE, True)


def test_sets_of_features_have_names(here):
    (here / "cast.wat").write_text("(func (result anyref) (br_on_cast 0 eqref anyref (unreachable)))")
    for args in ((), ("--features", "wasm3"), ("--features", "compatible")):
        status, output = run("validate", "cast.wat", *args)
        assert (status, "type mismatch: cast" in output) == (Exit.FINDINGS, True)
    for names in ("all", "compatible,custom-descriptors"):
        assert run("validate", "cast.wat", "--features", names)[0] == Exit.CLEAN
    (here / "exact.wat").write_text("(rec (type (descriptor 1) (struct)) (type (describes 0) (struct)))")
    assert run("validate", "exact.wat")[0] == Exit.FINDINGS
    assert run("wasm", "exact.wat")[0] == run("wat", "exact.wasm")[0] == Exit.CLEAN
    assert run("validate", "exact.wasm", "--features", "all")[0] == Exit.CLEAN


@pytest.mark.parametrize("command", ["wat", "wasm", "validate"])
def test_files_that_cannot_be_read(here, command):
    assert run(command, "none.wat") == (Exit.USAGE, "none.wat does not exist")
    assert run(command, str(here)) == (Exit.USAGE, f"{here} is a directory")


@pytest.mark.parametrize("command", ["wat", "wasm", "validate"])
def test_help_has_examples(command):
    assert f"wfuzz {command} add." in CliRunner().invoke(wfuzz, [command, "--help"]).output
