"""The pinned official suite: its manifest, where it is installed, and the script files of any directory or archive.

A file is recognised by its SHA-256 alone, never by where it lies, so a GitHub archive, a checkout and the installed
copy are all the same suite.  A script that the manifest does not know keeps its path as its name and no counts.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import platformdirs

from harness.wast.archive import contents
from oracles.adapter import ALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = [
    "FileInfo", "Manifest", "SuiteError", "SuiteFile", "features_of", "installed_at", "load_installed", "load_manifest",
    "load_path", "select",
]  # fmt: skip

_MANIFEST = "suite-193e551.json"
_MAX_FILES = 100_000

# What a folder's scripts ask of an engine beyond "everything it has".  A proposal's folder names the proposal, so an
# engine without it answers Unsupported instead of passing by rejecting everything.  The scripts of threads expect
# several tables and memories to be invalid, as before 3.0.
_FEATURES = {
    "legacy": (ALL, "legacy-exceptions"),
    "proposals/custom-descriptors": (ALL, "custom-descriptors"),
    "proposals/custom-page-sizes": (ALL, "custom-page-sizes"),
    "proposals/wide-arithmetic": (ALL, "wide-arithmetic"),
    "proposals/threads": (
        "mvp", "mutable-globals", "sign-extension", "saturating-float-to-int", "multi-value", "bulk-memory", "threads",
    ),
}  # fmt: skip


class SuiteError(Exception):
    """There is no usable suite; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """``counts`` is what a reader must find in a script, by ``Command.form``; None for a file that is no script."""

    name: str
    sha256: str
    size: int
    counts: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    name: str
    sources: tuple[str, ...]  # addresses of archives that together hold every file
    files: Mapping[str, FileInfo]

    def by_hash(self) -> dict[str, list[FileInfo]]:
        """Return the files of each SHA-256; several names may have the same contents."""
        found: dict[str, list[FileInfo]] = {}
        for info in self.files.values():
            found.setdefault(info.sha256, []).append(info)
        return found


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """A script: ``name`` is FOLDER/FILE, ``info`` what the manifest pins, None for a script of one's own."""

    name: str
    data: bytes
    info: FileInfo | None = None

    @property
    def folder(self) -> str:
        return self.name.rpartition("/")[0] or "."


def parse_manifest(text: str) -> Manifest:
    """Return the manifest in our own package data."""
    data = json.loads(text)
    infos = {
        name: FileInfo(name, entry["sha256"], entry["bytes"], entry.get("counts"))
        for name, entry in data["files"].items()
    }
    return Manifest(data["name"], tuple(source["url"] for source in data["sources"]), infos)


@cache
def load_manifest() -> Manifest:
    """Return the manifest of the pinned suite."""
    return parse_manifest(files("harness.wast").joinpath("data", _MANIFEST).read_text("utf-8"))


def installed_at(manifest: Manifest) -> Path:
    """Return the directory in the user's cache where the suite is, or will be."""
    return platformdirs.user_cache_path("wasm-wfuzz") / manifest.name


def features_of(folder: str) -> tuple[str, ...]:
    """Return the features that plans for a folder's scripts ask for, whether of the suite or laid out like it."""
    return _FEATURES.get(folder, (ALL,))


def load_installed(manifest: Manifest) -> list[SuiteFile]:
    """Return the scripts of the installed suite, every one verified, or raise SuiteError."""
    root = installed_at(manifest)
    if not root.is_dir():
        raise SuiteError(
            "the official test suite is not installed: `wfuzz spec fetch` downloads it, "
            "`wfuzz spec fetch --from ARCHIVE` takes it from an archive that you have"
        )
    scripts = []
    for name, info in sorted(manifest.files.items()):
        try:
            data = (root / name).read_bytes()
        except OSError:
            data = b""
        if hashlib.sha256(data).hexdigest() != info.sha256:
            raise SuiteError(f"the installed suite is damaged ({name} in {root}): run `wfuzz spec fetch` again")
        if info.counts is not None:
            scripts.append(SuiteFile(name, data, info))
    return scripts


def load_path(path: Path, manifest: Manifest) -> list[SuiteFile]:
    """Return the scripts of a directory, of an archive or of one file, or raise SuiteError."""
    if not path.exists():
        raise SuiteError(f"{path} does not exist")
    if path.is_dir():
        found = sorted(p for p in path.rglob("*.wast") if p.is_file())[:_MAX_FILES]
        pairs: Iterable[tuple[str, bytes]] = ((p.relative_to(path).as_posix(), p.read_bytes()) for p in found)
    elif path.suffix == ".wast":
        pairs = [(path.name, path.read_bytes())]
    else:
        pairs = ((name, data) for name, data in contents(path) if name.endswith(".wast"))
    by_hash = manifest.by_hash()
    scripts = []
    for name, data in pairs:
        infos = by_hash.get(hashlib.sha256(data).hexdigest(), [])
        scripts += [SuiteFile(info.name, data, info) for info in infos] or [SuiteFile(name, data)]
    unique = {script.name: script for script in scripts}
    if not unique:
        raise SuiteError(f"no .wast file in {path}")
    return [unique[name] for name in sorted(unique)]


def select(scripts: Iterable[SuiteFile], filters: Iterable[str]) -> list[SuiteFile]:
    """Return the scripts whose name matches a filter: a glob over the whole name, or a part of it; all if no filter."""
    wanted = tuple(filters)
    return [s for s in scripts if not wanted or any(fnmatchcase(s.name, f) or f in s.name for f in wanted)]
