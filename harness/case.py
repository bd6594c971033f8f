"""A case on disk: a plan with its provenance and choice tape, in a directory with fixed file names.

    case.json            everything but the bytes of modules and texts, which it names by SHA-256
    modules/NAME.wasm    the truth, whatever a rendering says
    modules/NAME.wat     a rendering for the reader, never read back
    texts/NAME.wat       sources of ``assemble`` steps
    finding.md           a report for the reader, never read back
    reduced/             the same finding made small: a case directory again

``docs/schemas/case.schema.json`` describes case.json.
A case may come from anywhere, so loading trusts nothing: no link or special file is followed or opened, no name leaves
the directory, unknown files and fields are refused, sizes and hashes are checked before anything is decoded.  A case
names oracles by id; what an id runs is decided on this machine, never by a case.  Each refusal is one sentence.

Writing makes a sibling directory, syncs every file, then renames: there is never half a case under its final name.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from oracles.plan import Plan, PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FORMAT", "Case", "CaseError", "Finding", "ORACLE_ID", "case_from_files", "case_to_files", "load_case", "save_case",
    "strict_json", "sweep", "write_file",
]  # fmt: skip

FORMAT = 1
MAX_JSON = 16 << 20
MAX_FILE = 64 << 20
MAX_FILES = 256
MAX_TAPE = 1 << 16
ORACLE_ID = re.compile(r"[a-z][a-z0-9-]{0,39}(@[0-9][0-9A-Za-z.]{0,39})?(:[a-z0-9][a-z0-9_.=+-]{0,79})?\Z")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
_FIELDS = {"format", "plan", "provenance", "oracles", "tape", "finding"}
_TEMPORARY = ".writing-"


class CaseError(ValueError):
    """The directory is not a case, or not one to trust; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: the signature (``harness.triage``) and the first divergence as it was seen then."""

    signature: str
    rule: str
    step: int
    what: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Case:
    """A plan and where it came from.

    ``provenance`` holds ``seed``, ``index``, ``profile`` and ``versions`` where a generator made it (and in ``without``
    the instructions of its features that it left out), else ``origin``.
    ``oracles`` are the two ids compared, the reference side first.  ``tape`` rebuilds the plan through the generator of
    the same version; the plan itself is what counts.
    """

    plan: Plan
    provenance: Mapping[str, Any] = field(default_factory=dict)
    oracles: tuple[str, ...] = ()
    tape: tuple[int, ...] | None = None
    finding: Finding | None = None

    def with_plan(self, plan: Plan) -> Case:
        """Return the case with another plan, which no tape describes."""
        return replace(self, plan=plan, tape=None)


# plain data


def case_to_files(case: Case, renderings: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """Return the files of a case by path within its directory; ``renderings`` are texts to add by path."""
    plan = case.plan.to_json()
    files: dict[str, bytes] = {}
    for kind, suffix, contents in (("modules", "wasm", case.plan.modules), ("texts", "wat", case.plan.texts)):
        for name, data in contents.items():
            if not _NAME.match(name):
                raise CaseError(f"module name {name[:80]!r} cannot be a file name")
            files[f"{kind}/{name}.{suffix}"] = data
        plan[kind] = {name: {"sha256": hashlib.sha256(d).hexdigest(), "size": len(d)} for name, d in contents.items()}
    document = {
        "format": FORMAT,
        "plan": plan,
        "provenance": dict(case.provenance),
        "oracles": list(case.oracles),
        "tape": None if case.tape is None else list(case.tape),
        "finding": None if case.finding is None else {n: getattr(case.finding, n) for n in _FINDING},
    }
    files["case.json"] = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
    files.update({path: text.encode() for path, text in (renderings or {}).items()})
    return files


_FINDING = {"signature": str, "rule": str, "step": int, "what": str, "left": str, "right": str}


def case_from_files(files: Mapping[str, bytes]) -> Case:
    """Return the case in untrusted files, or raise CaseError; renderings are ignored, anything unknown is refused."""
    if "case.json" not in files:
        raise CaseError("there is no case.json")
    data = strict_json(files["case.json"], "case.json")
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise CaseError(f"case.json is not a case of format {FORMAT}")
    if unknown := sorted(set(data) - _FIELDS):
        raise CaseError(f"case.json has an unknown field {unknown[0][:80]!r}")
    if missing := sorted(_FIELDS - set(data)):
        raise CaseError(f"case.json lacks the field {missing[0]!r}")
    return Case(
        _plan(data["plan"], files), _provenance(data["provenance"]), _oracles(data["oracles"]), _tape(data["tape"]),
        _finding(data["finding"]),
    )  # fmt: skip


def strict_json(data: bytes, what: str) -> Any:
    """Return the value of untrusted JSON, or raise CaseError: bounded in size and depth, no NaN, no key twice."""
    if len(data) > MAX_JSON:
        raise CaseError(f"{what} is larger than {MAX_JSON} bytes")

    def refuse(text: str) -> NoReturn:
        raise ValueError(f"the constant {text}")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(pairs)
        if len(out) != len(pairs):
            raise ValueError("a key twice")
        return out

    try:
        return json.loads(data.decode(), parse_constant=refuse, object_pairs_hook=unique)
    except RecursionError:
        raise CaseError(f"{what} is nested too deeply") from None
    except ValueError as e:
        raise CaseError(f"{what} is not plain JSON: {str(e)[:120]}") from None


def _plan(data: Any, files: Mapping[str, bytes]) -> Plan:
    if not isinstance(data, dict):
        raise CaseError("the plan is not an object")
    expected = {"case.json"}
    data = dict(data)
    for kind, suffix in (("modules", "wasm"), ("texts", "wat")):
        table = data.get(kind, {})
        if not isinstance(table, dict):
            raise CaseError(f"the plan's {kind} are not an object")
        data[kind] = {}
        for name, entry in table.items():
            path = f"{kind}/{name}.{suffix}"
            data[kind][name] = base64.b64encode(_checked(path, name, entry, files)).decode()
            expected.add(path)
    for path in sorted(set(files) - expected):
        if not _is_rendering(path):
            raise CaseError(f"the case has an unknown file {path[:200]!r}")
    try:
        return Plan.from_json(data)
    except PlanError as e:
        raise CaseError(str(e)) from None
    except RecursionError:
        raise CaseError("the plan is nested too deeply") from None


def _checked(path: str, name: str, entry: Any, files: Mapping[str, bytes]) -> bytes:
    """Return the file that an entry of the plan names, after checking its name, size and hash."""
    if not _NAME.match(name):
        raise CaseError(f"{name[:80]!r} is not a module name")
    if not isinstance(entry, dict) or set(entry) != {"sha256", "size"}:
        raise CaseError(f"the entry of {path} has sha256 and size, nothing else")
    if path not in files:
        raise CaseError(f"{path} is missing")
    if entry["size"] != len(files[path]) or entry["sha256"] != hashlib.sha256(files[path]).hexdigest():
        raise CaseError(f"{path} does not have the size and SHA-256 that case.json gives")
    return files[path]


def _is_rendering(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return path == "finding.md" or (folder == "modules" and name.endswith(".wat"))


def _provenance(data: Any) -> dict[str, Any]:
    known = {"seed": int, "index": int, "profile": str, "versions": dict, "origin": str, "without": list}
    if not isinstance(data, dict) or any(k not in known or type(v) is not known[k] for k, v in data.items()):
        raise CaseError("provenance has seed, index, profile, without, versions and origin, nothing else")
    if any(not isinstance(v, str) for v in data.get("versions", {}).values()):
        raise CaseError("versions are strings by name")
    if any(not isinstance(v, str) for v in data.get("without", [])):
        raise CaseError("without is a list of instruction names")
    return data


def _oracles(data: Any) -> tuple[str, ...]:
    if not isinstance(data, list) or len(data) > 16 or not all(isinstance(o, str) for o in data):
        raise CaseError("oracles is a list of at most 16 oracle ids")
    for oracle in data:
        if not ORACLE_ID.match(oracle):
            raise CaseError(f"{oracle[:80]!r} is not an oracle id")
    return tuple(data)


def _tape(data: Any) -> tuple[int, ...] | None:
    if data is None:
        return None
    if not isinstance(data, list) or len(data) > MAX_TAPE:
        raise CaseError(f"the tape is a list of at most {MAX_TAPE} choices")
    if any(type(c) is not int or not 0 <= c < 1 << 128 for c in data):
        raise CaseError("a choice of the tape is an unsigned integer below 2**128")
    return tuple(data)


def _finding(data: Any) -> Finding | None:
    if data is None:
        return None
    if (
        not isinstance(data, dict)
        or set(data) != set(_FINDING)
        or any(type(data[k]) is not t for k, t in _FINDING.items())
    ):
        raise CaseError(f"a finding has {', '.join(_FINDING)}")
    return Finding(**data)


# directories


def load_case(directory: Path | str) -> Case:
    """Return the case in a directory that may be hostile, or raise CaseError."""
    path = os.fspath(directory)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as e:
        raise CaseError(f"{path} cannot be read as a directory: {e.strerror}") from None
    try:
        return case_from_files(_read_tree(fd))
    except CaseError as e:
        raise CaseError(f"{path}: {e}") from None
    except OSError as e:
        raise CaseError(f"{path}: {e.strerror or e}") from None
    finally:
        os.close(fd)


def _read_tree(fd: int) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name in _names(fd):
        mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
        if name == "reduced" and stat.S_ISDIR(mode):
            continue  # a case of its own
        if name in ("modules", "texts") and stat.S_ISDIR(mode):
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            try:
                for entry in _names(inner):
                    files[f"{name}/{entry}"] = _read_file(inner, entry, f"{name}/{entry}")
            finally:
                os.close(inner)
        elif name in ("case.json", "finding.md"):
            files[name] = _read_file(fd, name, name)
        elif stat.S_ISLNK(mode):
            raise CaseError(f"{name[:200]!r} is a symbolic link")
        else:
            raise CaseError(f"the case has an unknown file {name[:200]!r}")
    return files


def _names(fd: int) -> list[str]:
    names = []
    with os.scandir(fd) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) > MAX_FILES:
                raise CaseError(f"a directory of the case has more than {MAX_FILES} files")
    return sorted(names)


def _read_file(fd: int, name: str, shown: str) -> bytes:
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
    except OSError as e:
        if e.errno == errno.ELOOP:
            raise CaseError(f"{shown[:200]!r} is a symbolic link") from None
        raise CaseError(f"{shown[:200]!r} cannot be read: {e.strerror}") from None
    with os.fdopen(file, "rb") as stream:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise CaseError(f"{shown[:200]!r} is not a plain file")
        limit = MAX_JSON if name == "case.json" else MAX_FILE
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise CaseError(f"{shown[:200]!r} is larger than {limit} bytes")
    return data


def save_case(case: Case, directory: Path | str, renderings: Mapping[str, str] | None = None) -> Path:
    """Write a case under a name that must be free, all or nothing; OSError (a full disk) leaves nothing behind."""
    target = Path(directory)
    files = case_to_files(case, renderings)
    if target.exists():
        raise FileExistsError(errno.EEXIST, "there is something already", str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f"{_TEMPORARY}{target.name}-{os.getpid()}"
    try:
        temporary.mkdir()
        for path in sorted(files):
            (temporary / path).parent.mkdir(exist_ok=True)
            write_file(temporary / path, files[path])
        for folder in {(temporary / path).parent for path in files}:
            _sync_directory(folder)
        temporary.rename(target)
        _sync_directory(target.parent)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def sweep(directory: Path) -> None:
    """Remove what an interrupted :func:`save_case` left under ``directory``."""
    for leftover in directory.glob(f"**/{_TEMPORARY}*"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and sync it to the disk."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
