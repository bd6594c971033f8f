"""The directory of a campaign: what survives Ctrl-C, ``kill -9`` and a full disk.

    campaign.json    what was asked for, and the versions; a directory is resumed only by the same campaign
    progress.json    the tally of all cases up to a point, replaced by renaming
    findings/SIGNATURE/INDEX/    cases (``harness.case``), at most KEEP of each signature, the lowest indices
    errors/INDEX.txt             faults of the harness itself
    summary.txt, summary.json    written at the end

A finding is on disk, synced, before the case counts as done: an interrupted campaign runs the cases after its last
recorded progress again and meets the same findings, because a case depends on its index alone.  ``.reserve`` holds
room for one more finding: it is given up when the disk is full, so that the finding at hand is saved, and the
campaign then ends.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from harness.case import CaseError, save_case, strict_json, sweep, write_file
from harness.report import Tally, renderings
from harness.triage import keep_lowest, slug

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from harness.cases import Found

__all__ = ["DirectoryError", "DiskFull", "RunDirectory"]

RESERVE_BYTES = 4 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DirectoryError(ValueError):
    """The directory is not one that this campaign may use; the message is one sentence."""


class DiskFull(OSError):
    """There is no room left; what was saved before is intact."""


class RunDirectory:
    """Owns a campaign's directory while it runs (a lock keeps others out)."""

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.tally = Tally()
        self._kept: dict[str, list[int]] = {}
        path.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise DirectoryError(f"another campaign is running in {path}") from None
        try:
            self._open(identity)
        except BaseException:
            self.close()
            raise

    def _open(self, identity: Mapping[str, Any]) -> None:
        path = self.path
        sweep(path)
        if (path / "campaign.json").exists():
            self._resume(identity)
        elif any(p.name not in (".lock", ".reserve") for p in path.iterdir()):
            raise DirectoryError(f"{path} has files but is no campaign; name an empty or new directory")
        else:
            self._full(lambda: self._replace("campaign.json", _json(identity)))
        self._full(self._make_reserve)

    def _resume(self, identity: Mapping[str, Any]) -> None:
        before = self._read("campaign.json")
        for key in sorted(set(before) | set(identity)):
            if before.get(key) != json.loads(json.dumps(identity.get(key))):
                raise DirectoryError(
                    f"{self.path} is a campaign with another {key} ({before.get(key)}, now {identity.get(key)})"
                )
        if (self.path / "progress.json").exists():
            try:
                self.tally = Tally.from_json(self._read("progress.json"))
            except (KeyError, TypeError, ValueError, AttributeError) as e:
                raise DirectoryError(f"{self.path}/progress.json is damaged: {e}") from None
        for case in (self.path / "findings").glob("*/*/case.json"):
            if case.parent.name.isdecimal():
                self._kept.setdefault(case.parent.parent.name, []).append(int(case.parent.name))

    def _read(self, name: str) -> dict[str, Any]:
        try:
            data = strict_json((self.path / name).read_bytes(), name)
        except CaseError as e:
            raise DirectoryError(f"{self.path}: {e}") from None
        if not isinstance(data, dict):
            raise DirectoryError(f"{self.path}/{name} is not an object")
        return data

    def close(self) -> None:
        """Let others in."""
        os.close(self._lock)

    # writing

    def keep(self, found: Found, index: int) -> Path | None:
        """Save a finding unless enough lower ones of its signature are kept; return where it is."""
        name = slug(found.signature)
        kept = self._kept.setdefault(name, [])
        if index in kept:
            return self.path / "findings" / name / str(index)
        wanted, gone = keep_lowest(kept, index)
        if not wanted:
            return None
        place = self.path / "findings" / name / str(index)
        self._full(lambda: save_case(found.case, place, renderings(found.case)))
        self._kept[name] = [i for i in kept if i not in gone] + [index]
        for other in gone:
            self._discard(place.parent / str(other))
        return place

    def _discard(self, place: Path) -> None:
        doomed = place.parent / f".writing-{place.name}-gone"
        place.rename(doomed)
        sweep(place.parent)

    def record_error(self, index: int, text: str) -> None:
        """Keep the traceback of a fault of our own."""
        folder = self.path / "errors"
        folder.mkdir(exist_ok=True)
        if not (folder / f"{index}.txt").exists():
            self._full(lambda: write_file(folder / f"{index}.txt", text.encode()))

    def save_progress(self) -> None:
        """Record the tally: the cases in it will not run again."""
        self._full(lambda: self._replace("progress.json", _json(self.tally.to_json())))

    def write_summary(self, lines: list[str], extra: Mapping[str, Any]) -> None:
        """Write the summary as text and as JSON."""
        self._full(lambda: self._replace("summary.txt", ("\n".join(lines) + "\n").encode()))
        self._full(lambda: self._replace("summary.json", _json({**self.tally.to_json(), **extra})))

    def places(self) -> list[str]:
        """Return the directories of kept findings."""
        return [
            str(self.path / "findings" / n / str(i)) for n, kept in sorted(self._kept.items()) for i in sorted(kept)
        ]

    def _replace(self, name: str, data: bytes) -> None:
        temporary = self.path / f".writing-{name}"
        temporary.unlink(missing_ok=True)
        write_file(temporary, data)
        temporary.rename(self.path / name)

    def _make_reserve(self) -> None:
        reserve = self.path / ".reserve"
        if not reserve.exists() or reserve.stat().st_size < RESERVE_BYTES:
            reserve.unlink(missing_ok=True)
            write_file(reserve, bytes(RESERVE_BYTES))

    def _full(self, write: Callable[[], Any]) -> None:
        """Run ``write``; when the disk is full, give up the reserve, try once more and end with DiskFull either way."""
        try:
            write()
            return
        except OSError as e:
            if e.errno not in _FULL:
                raise
        (self.path / ".reserve").unlink(missing_ok=True)
        saved = True
        try:
            write()
        except OSError as e:
            if e.errno not in _FULL:
                raise
            saved = False
        what = "the last write was completed from the reserve" if saved else "the last write is lost"
        raise DiskFull(errno.ENOSPC, f"the disk of {self.path} is full; {what}; everything saved before is intact")


def _json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()
