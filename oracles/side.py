"""Side environments: engines whose packages need another CPython than ours.

An environment is a virtualenv under the user's cache directory, installed from a lock with hashes that is part of this
package, and beside it a copy of the few files of ``oracles`` that a worker needs (standard library only, syntax of
CPython 3.10).  The copy is compared with our own files before every start, so it never lags behind.  Interpreters are
executed before they are believed: the shims of version managers exist without the version they are named after.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from oracles.adapter import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ENVIRONMENTS", "Environment", "candidates", "install", "problem", "worker"]

HERE = Path(__file__).resolve().parent
_MARK = "installed.json"
_PROBE = (
    "import ensurepip, json, platform, sys, venv;"
    "print(json.dumps([platform.python_implementation(), *sys.version_info[:3]]))"
)
_CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}


@dataclass(frozen=True)
class Environment:
    """What an oracle's environment is made of; ``files`` are relative to this package."""

    oracle: str
    python: tuple[int, int]
    lock: str
    files: tuple[str, ...]

    @property
    def directory(self) -> Path:
        return platformdirs.user_cache_path("wasm-wfuzz") / "environments" / self.oracle.replace("@", "-")

    @property
    def interpreter(self) -> Path:
        return self.directory / "venv" / "bin" / "python"

    def lock_hash(self) -> str:
        return hashlib.sha256((HERE / self.lock).read_bytes()).hexdigest()

    def is_current(self) -> bool:
        """Return whether it was installed to its end from the present lock."""
        try:
            mark = json.loads((self.directory / _MARK).read_text())
        except (OSError, ValueError):
            return False
        is_ours = isinstance(mark, dict) and mark.get("lock") == self.lock_hash()
        return is_ours and self.interpreter.exists()


_WORKER = ("__init__.py", "plan.py", "outcome.py", "traps.py", "protocol.py", "worker.py", "adapter.py")
_WASMTIME = sorted(f"adapters/{path.name}" for path in (HERE / "adapters").glob("wasmtime*.py"))
ENVIRONMENTS: dict[str, Environment] = {
    "wasmer@1.1": Environment(
        "wasmer@1.1",
        (3, 10),
        "adapters/wasmer1.txt",
        (*_WORKER, "adapters/__init__.py", "adapters/wasmer.py", "adapters/wasmer1.py"),
    ),
    **{
        f"wasmtime@{release}": Environment(
            f"wasmtime@{release}",
            sys.version_info[:2],
            f"adapters/wasmtime{release}.txt",
            (*_WORKER, "kept.py", "metered.py", "shadows.py", "adapters/__init__.py", *_WASMTIME),
        )
        for release in (48, 36)
    },
}


def worker(base: str) -> tuple[list[str], Path]:
    """Return the command that starts a worker of the oracle and the directory that holds its ``oracles``."""
    environment = ENVIRONMENTS[base]
    if not environment.is_current():
        raise Unavailable(f"{base} is not installed; install it with: wfuzz oracles install {base}")
    root = environment.directory / "worker"
    for name in environment.files:
        content = (HERE / name).read_bytes()
        target = root / "oracles" / name
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            new = target.with_suffix(f".{os.getpid()}")
            new.write_bytes(content)
            new.replace(target)
    return [str(environment.interpreter), "-m", "oracles.worker"], root


def candidates(version: tuple[int, int]) -> Iterator[Path]:
    """Yield paths where an interpreter of that version may be, each once."""
    name = f"python{version[0]}.{version[1]}"
    home = Path.home()
    places = [Path(d) for d in os.environ.get("PATH", "").split(os.pathsep) if d]
    roots = (
        (Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions", f"{version[0]}.{version[1]}*/bin"),
        (home / ".local/share/uv/python", f"cpython-{version[0]}.{version[1]}*/bin"),
        (Path("/opt"), f"*{version[0]}.{version[1]}*/bin"),
        (Path("/Library/Frameworks/Python.framework/Versions"), f"{version[0]}.{version[1]}/bin"),
    )
    for root, pattern in roots:
        places += sorted(root.glob(pattern))
    places += [Path("/usr/bin"), Path("/usr/local/bin"), Path("/opt/homebrew/bin")]
    yield from dict.fromkeys(place / name for place in places if (place / name).exists())


def problem(python: Path, version: tuple[int, int]) -> str | None:
    """Run an interpreter and return why it cannot make the environment, or None."""
    try:
        done = subprocess.run(
            [str(python), "-c", _PROBE], capture_output=True, text=True, timeout=30, check=False, env=_CLEAN
        )
    except (OSError, subprocess.SubprocessError) as e:
        return f"{python} does not run: {e}"
    try:
        implementation, *found = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return f"{python} does not work: {last[:200]}"
    if (implementation, tuple(found[:2])) != ("CPython", version):
        return f"{python} is {implementation} {'.'.join(map(str, found))}"
    return None


def install(base: str, python: Path | None = None, say: Callable[[str], None] = print) -> Path:
    """Make the environment of an oracle and return its directory, or raise Unavailable with one sentence."""
    environment = ENVIRONMENTS.get(base)
    if environment is None:
        raise Unavailable(f"{base} needs no environment of its own; those that do: {', '.join(ENVIRONMENTS)}")
    interpreter = _find(environment, python)
    say(f"{base}: using {interpreter}")
    directory = environment.directory
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    _run([str(interpreter), "-m", "venv", str(directory / "venv")])
    pip = [str(environment.interpreter), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _run([*pip, "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(HERE / environment.lock)])
    (directory / _MARK).write_text(json.dumps({"lock": environment.lock_hash(), "python": str(interpreter)}))
    say(f"{base}: installed in {directory}")
    return directory


def _find(environment: Environment, python: Path | None) -> Path:
    wanted = ".".join(map(str, environment.python))
    if python is not None:
        reason = problem(python, environment.python)
        if reason is not None:
            raise Unavailable(f"{environment.oracle} needs CPython {wanted}: {reason}")
        return python
    reasons = []
    for candidate in candidates(environment.python):
        reason = problem(candidate, environment.python)
        if reason is None:
            return candidate
        reasons.append(reason)
    tried = f"; tried: {'; '.join(reasons)}" if reasons else ""
    raise Unavailable(f"no CPython {wanted} found for {environment.oracle}; name one with --python{tried}")


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=_CLEAN)
    except (OSError, subprocess.SubprocessError) as e:
        raise Unavailable(f"{command[0]} failed: {e}") from e
    if done.returncode:
        last = ((done.stderr or done.stdout).strip().splitlines() or ["no output"])[-1]
        raise Unavailable(f"{' '.join(command[1:5])} ... failed: {last[:300]}")
