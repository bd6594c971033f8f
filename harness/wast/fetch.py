"""Installing the pinned suite: from its public archives, or from an archive at hand.

Whatever the source, a file is taken because its SHA-256 is in the manifest and is written under the manifest's name;
all of them are there or nothing is installed.  The directory appears by one rename.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from harness.wast.archive import contents
from harness.wast.suite import SuiteError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.wast.suite import Manifest

__all__ = ["MAX_DOWNLOAD", "TIMEOUT_S", "install"]

TIMEOUT_S = 30.0  # without a byte
MAX_DOWNLOAD = 256 << 20
_CHUNK = 1 << 16


def _no_progress(source: str, done: int, total: int | None) -> None:
    """Ignore progress."""


def install(
    manifest: Manifest,
    target: Path,
    sources: Sequence[str] = (),
    progress: Callable[[str, int, int | None], None] = _no_progress,
) -> None:
    """Put every file of the manifest into ``target``, which is replaced, or raise SuiteError and leave it untouched.

    ``sources`` are paths and http(s) addresses, the manifest's own where empty.  ``progress(source, bytes, total)``
    follows a download.  Raises ArchiveError for an archive that cannot be read.
    """
    wanted = {digest: [info.name for info in infos] for digest, infos in manifest.by_hash().items()}
    sizes = {info.size for info in manifest.files.values()}
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
        staging = Path(temporary, "suite")
        staging.mkdir()
        for source in sources or manifest.sources:
            if not wanted:
                break
            for _, data in contents(_local(source, Path(temporary, "download"), progress)):
                if len(data) not in sizes:
                    continue
                for name in wanted.pop(hashlib.sha256(data).hexdigest(), ()):
                    _write(staging / name, data)
        missing = sorted(name for names in wanted.values() for name in names)
        if missing:
            raise SuiteError(
                f"{len(missing)} of {len(manifest.files)} files are missing or not as pinned in "
                f"{', '.join(sources or manifest.sources)}, first {missing[0]}; nothing was installed"
            )
        if target.exists():
            target.rename(Path(temporary, "replaced"))
        staging.rename(target)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())


def _local(source: str, temporary: Path, progress: Callable[[str, int, int | None], None]) -> Path:
    """Return a path with the source's bytes, downloaded to ``temporary`` if it is an address."""
    if "://" not in source:
        path = Path(source)
        if not path.is_file():
            raise SuiteError(f"{source} is not a file")
        return path
    if not source.startswith(("http://", "https://")):
        raise SuiteError(f"{source} is neither a file nor an http address")
    done = 0
    try:
        with urllib.request.urlopen(source, timeout=TIMEOUT_S) as response, temporary.open("wb") as f:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() and len(length) < 16 else None
            while chunk := response.read(_CHUNK):
                done += len(chunk)
                if done > MAX_DOWNLOAD:
                    raise SuiteError(f"{source} sends more than {MAX_DOWNLOAD >> 20} MiB")
                f.write(chunk)
                progress(source, done, total)
            if total is not None and done < total:
                raise SuiteError(f"{source} ended after {done} of {total} bytes")
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as e:
        reason = getattr(e, "reason", None) or e
        raise SuiteError(
            f"{source} cannot be downloaded ({' '.join(str(reason).split())[:200]}); "
            "`wfuzz spec fetch --from ARCHIVE` takes an archive that you have"
        ) from e
    return temporary
