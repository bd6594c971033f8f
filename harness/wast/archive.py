"""The files in an archive that somebody else made: contents only, bounded, nothing is ever unpacked by name.

Paths inside the archive are handed back as labels and never touch the file system; links, devices and anything that is
not a regular file are passed over.  What is bounded: the bytes that decompression gives, the number of members and
the size of one.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["MAX_MEMBER", "ArchiveError", "contents"]

MAX_MEMBER = 16 << 20
MAX_TOTAL = 1 << 30
MAX_MEMBERS = 200_000

# Any: the three stubs agree on nothing but what is done here.
_OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"BZh": bz2.open,
}
_BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError,
    RuntimeError, ValueError,
)  # fmt: skip


class ArchiveError(Exception):
    """The archive cannot be read, or is larger than any suite; the message is one sentence."""


class _Readable(Protocol):
    def read(self, n: int = -1, /) -> bytes: ...


class _Bounded:
    """A stream that gives at most MAX_TOTAL bytes before it raises ArchiveError."""

    def __init__(self, stream: _Readable) -> None:
        self.stream = stream
        self.left = MAX_TOTAL

    def read(self, n: int = 1 << 16) -> bytes:
        data = self.stream.read(min(n, 1 << 20) if n >= 0 else 1 << 20)
        self.left -= len(data)
        if self.left < 0:
            raise ArchiveError(f"the archive holds more than {MAX_TOTAL >> 20} MiB")
        return data


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield label and contents of each regular file of at most MAX_MEMBER bytes in a tar or zip archive.

    A tar may be compressed by gzip, xz or bzip2.  A file that is no archive yields itself.  Raises ArchiveError.
    """
    try:
        with path.open("rb") as f:
            head = f.read(8)
        if zipfile.is_zipfile(path):
            yield from _zip(path)
        elif opener := next((o for magic, o in _OPENERS.items() if head.startswith(magic)), None):
            with opener(path, "rb") as stream:
                yield from _tar(stream)
        elif tarfile.is_tarfile(path):
            with path.open("rb") as stream:
                yield from _tar(stream)
        elif path.stat().st_size <= MAX_MEMBER:
            yield path.name, path.read_bytes()
        else:
            raise ArchiveError(f"{path} is neither a tar nor a zip archive")
    except _BROKEN as e:
        raise ArchiveError(f"{path} cannot be read as an archive: {' '.join(str(e).split())[:200]}") from e


def _tar(stream: IO[bytes] | _Readable) -> Iterator[tuple[str, bytes]]:
    bounded = _Bounded(stream)
    with tarfile.open(fileobj=bounded, mode="r|") as tar:  # type: ignore[call-overload]
        for n, member in enumerate(tar):
            if n >= MAX_MEMBERS:
                raise ArchiveError(f"the archive has more than {MAX_MEMBERS} members")
            tar.members = []  # the stream is read once: keep nothing
            if member.isreg() and 0 <= member.size <= MAX_MEMBER and (f := tar.extractfile(member)) is not None:
                yield member.name, f.read()


def _zip(path: Path) -> Iterator[tuple[str, bytes]]:
    with ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(path))
        infos = archive.infolist()
        if len(infos) > MAX_MEMBERS:
            raise ArchiveError(f"the archive has more than {MAX_MEMBERS} members")
        left = MAX_TOTAL
        for info in infos:
            if info.is_dir() or info.file_size > MAX_MEMBER:
                continue
            with archive.open(info) as f:
                data = f.read(MAX_MEMBER + 1)
            left -= len(data)
            if left < 0:
                raise ArchiveError(f"the archive holds more than {MAX_TOTAL >> 20} MiB")
            if len(data) <= MAX_MEMBER and info.external_attr >> 28 in (0, 8):  # a regular file, or no Unix mode
                yield info.filename, data
