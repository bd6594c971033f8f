"""The command line ``wfuzz``: which commands there are, what the exit codes mean, and nothing of what commands do.

A command lives in ``harness/commands/NAME.py`` and is imported when it is named, so that ``wfuzz --help`` costs no
engine.  It ends with one of the codes of :class:`Exit`: by returning it, by ``sys.exit`` or by ``click``'s
``Context.exit``.  For a foreseen failure it raises ``click.UsageError`` (code 2) or :class:`EnvironmentProblem` (3).
Whatever else escapes a command is our fault: one sentence, code 4, and the traceback where ``--debug`` asks for it.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import os
import sys
import traceback
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "EnvironmentProblem", "Exit", "main", "wfuzz"]

COMMANDS = {
    "run": "Fuzz engines against the reference engine and save what differs.",
    "spec": "Run the official specification scripts on one engine.",
    "repro": "Run a saved case again and say whether it still shows.",
    "reduce": "Shrink a saved case while it keeps its signature.",
    "diff": "Run one module or script on two engines side by side.",
    "trace": "Show what a saved case executes, instruction by instruction.",
    "validate": "Say whether modules are valid, and why not.",
    "wat": "Print a binary module as text.",
    "wasm": "Assemble a module in the text format.",
    "oracles": "List the engines that can be compared here, or install one.",
}

# Failures of the machine rather than of the program.
_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class Exit(IntEnum):
    """What the exit status of ``wfuzz`` means."""

    CLEAN = 0
    FINDINGS = 1
    USAGE = 2
    ENVIRONMENT = 3
    INTERNAL = 4
    INCONCLUSIVE = 5
    INTERRUPTED = 130


class EnvironmentProblem(click.ClickException):
    """Something that the machine lacks: an engine, the official suite, room on the disk; the message says the cure."""

    exit_code = Exit.ENVIRONMENT


class _ReaderGone(Exception):
    """Whoever read our output went away, as ``head`` does; click would end with the status of findings."""


class _Lazy(click.Group):
    """A group that knows its commands by name and imports one when it is called."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            result: object = super().invoke(ctx)
            if sys.stdout is not None:  # which it is where it was closed
                sys.stdout.flush()
        except BrokenPipeError as e:
            raise _ReaderGone from e
        return result

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if importlib.util.find_spec(f"harness.commands.{name}")]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(importlib.import_module(f"harness.commands.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if names := self.list_commands(ctx):
            with formatter.section("Commands"):
                formatter.write_dl([(name, COMMANDS[name]) for name in names])


_EPILOG = (
    "Exit status: 0 clean, 1 findings, 2 wrong usage, 3 something is missing on this machine, 4 internal error, "
    "5 too much was inconclusive, 130 interrupted."
)


@click.group(cls=_Lazy, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wfuzz")
@click.option("--debug", is_flag=True, help="Show the traceback of an internal error.")
@click.pass_context
def wfuzz(ctx: click.Context, debug: bool) -> None:
    """Find where WebAssembly engines disagree with the specification and with each other."""
    ctx.meta["harness.debug"] = debug


def _internal(error: BaseException, debug: bool) -> Exit:
    """Report an escaped exception in one sentence, after its traceback if wanted."""
    if debug:
        traceback.print_exception(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    what = " ".join(str(error).split())[:300]
    cause = f"{type(error).__name__}: {what}" if what else type(error).__name__
    advice = "" if debug else "run `wfuzz --debug ...` for the traceback, and "
    print(f"wfuzz: internal error{place}: {cause} ({advice}report it as CONTRIBUTING.md says)", file=sys.stderr)
    return Exit.INTERNAL


def _run(args: Sequence[str] | None) -> int:
    """Run the command line and return its exit status."""
    debug = "--debug" in list(sys.argv[1:] if args is None else args)[:1]
    try:
        result = wfuzz.main(args, prog_name="wfuzz", standalone_mode=False)
    except click.ClickException as e:
        e.show()
        # click's own 1 would read as "findings"
        return Exit.USAGE if e.exit_code == 1 else e.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("wfuzz: interrupted", file=sys.stderr)
        return Exit.INTERRUPTED
    except _ReaderGone:
        # the interpreter's last flush must not complain either
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return Exit.INTERRUPTED
    except OSError as e:
        if e.errno not in _MACHINE:
            return _internal(e, debug)
        print(f"wfuzz: {e.strerror}{f': {e.filename}' if e.filename else ''}", file=sys.stderr)
        return Exit.ENVIRONMENT
    except Exception as e:  # noqa: BLE001  the boundary: nothing may escape it
        return _internal(e, debug)
    return result if isinstance(result, int) else Exit.CLEAN


def main(args: Sequence[str] | None = None) -> None:
    """Run ``wfuzz`` and end the process with its exit status; never returns."""
    sys.exit(int(_run(args)))
