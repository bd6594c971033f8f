"""The frame of the command line: what commands there are, and what becomes of whatever a command does."""

from __future__ import annotations

import errno
import subprocess
import sys

import click
import pytest

from harness import __version__, cli
from harness.cli import COMMANDS, EnvironmentProblem, Exit, main


@pytest.fixture
def command(monkeypatch):
    """Return a function that makes ``wfuzz run`` do what it is given."""

    def install(body):
        monkeypatch.setattr(cli.wfuzz, "get_command", lambda ctx, name: click.command("run")(body))

    return install


def status(*args: str) -> int:
    with pytest.raises(SystemExit) as e:
        main(args)
    return e.value.code


def raising(error: BaseException):
    def body() -> None:
        raise error

    return body


def test_help_lists_every_command_with_a_line(capsys):
    assert status("--help") == Exit.CLEAN
    out = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in out
        assert COMMANDS[name].split()[0] in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(name, capsys):
    assert status(name, "--help") == Exit.CLEAN
    assert capsys.readouterr().out.startswith(f"Usage: wfuzz {name} ")


def test_help_imports_neither_engine_nor_commands():
    code = (
        "import sys, harness.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'engine', 'generators', 'oracles', 'rich', 'wasmtime', 'hypothesis'}\n"
        "print([m for m in sys.modules if m.split('.')[0] in heavy or m.startswith('harness.commands.')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.endswith("\n[]\n")


def test_version(capsys):
    assert status("--version") == Exit.CLEAN
    assert capsys.readouterr().out == f"wfuzz, version {__version__}\n"


@pytest.mark.parametrize("args", [["no-such-command"], ["--no-such-option"], []])
def test_wrong_usage(args):
    assert status(*args) == Exit.USAGE


@pytest.mark.parametrize("code", list(Exit))
def test_a_command_may_return_exit_or_raise_its_status(command, code):
    command(lambda: code)
    assert status("run") == code
    command(lambda: click.get_current_context().exit(code))
    assert status("run") == code
    command(lambda: sys.exit(code))
    assert status("run") == code


def test_a_command_that_returns_nothing_is_clean(command):
    command(lambda: None)
    assert status("run") == Exit.CLEAN


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (EnvironmentProblem("no suite: run `wfuzz spec fetch`"), Exit.ENVIRONMENT, "Error: no suite: run `wfuzz spec"),
        (click.UsageError("no such engine"), Exit.USAGE, "Error: no such engine"),
        (click.ClickException("not a case"), Exit.USAGE, "Error: not a case"),
        (OSError(errno.ENOSPC, "No space left on device", "f"), Exit.ENVIRONMENT, "wfuzz: No space left on device: f"),
        (KeyboardInterrupt(), Exit.INTERRUPTED, "wfuzz: interrupted"),
        (click.Abort(), Exit.INTERRUPTED, "wfuzz: interrupted"),
    ],
)
def test_a_foreseen_failure_has_a_code_and_a_sentence(command, capsys, error, code, said):
    command(raising(error))
    assert status("run") == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [KeyError("x\ny"), RecursionError(), MemoryError(), FileNotFoundError(2, "gone", "f")]
)
def test_an_escaped_exception_is_one_sentence(command, capsys, error):
    command(raising(error))
    assert status("run") == Exit.INTERNAL
    err = capsys.readouterr().err
    assert err.startswith("wfuzz: internal error at test_cli.py:")
    assert type(error).__name__ in err
    assert err.count("\n") == 1
    assert "--debug" in err
    assert "CONTRIBUTING.md" in err


def test_debug_shows_the_traceback(command, capsys):
    command(raising(KeyError("x")))
    assert status("--debug", "run") == Exit.INTERNAL
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_finding():
    code = (
        "import click, harness.cli as c\n"
        "def flood():\n"
        "    for i in range(99999): print('x' * 99)\n"
        "c.wfuzz.get_command = lambda ctx, name: click.command('run')(flood)\n"
        "c.main(['run'])"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as flooder:
        flooder.stdout.close()
        assert (flooder.stderr.read(), flooder.wait()) == (b"", Exit.INTERRUPTED)
