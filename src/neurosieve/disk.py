"""What a file system refuses, in a sentence with what to do: no space left, read-only, no permission."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
# numpy says how many items it could write and no more; safetensors has the system's words and no number
_SAYS_FULL = re.compile(r"no space left on device|disk quota exceeded|\d+ requested and \d+ written", re.I)
LEAST = 2**16  # bytes: with less a disk is called full, for the last file may have taken the rest


class DiskError(RuntimeError):
    """What a file system refused, and what to do."""


def full(error: BaseException | str) -> bool:
    """Whether an error, of Python, numpy or safetensors, or what one says, is a lack of space on a disk."""
    return getattr(error, "errno", None) in _FULL or bool(_SAYS_FULL.search(str(error)))


def explain(error: Exception, folders: Iterable[Path | str]) -> DiskError | None:
    """The error in a sentence, None where it is none of a file system that is full, read-only or closed to this user.

    ``folders`` are those that were to be written, for a full disk tells no name.
    """
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    number = getattr(error, "errno", None)
    if full(error):
        where = _existing(Path(name)) if isinstance(name, str) else fullest(folders)
        return DiskError(no_space(where))
    if not isinstance(name, str):
        return None
    if number == errno.EROFS:
        return DiskError(f"{name}: cannot be written, for it lies on a read-only file system; {_elsewhere()}")
    if number in (errno.EACCES, errno.EPERM):
        path = Path(name)
        there = path if os.path.exists(path) else _existing(path)  # noqa: PTH110  (Path's raises where it may not look)
        return DiskError(f"{name}: permission denied (`ls -ld {there}` shows to whom {there} is open); {_elsewhere()}")
    return None


def no_space(folder: Path) -> str:
    """What to say of a disk that is full: the folder, what may go, and that nothing is lost."""
    return (
        f"no space left on the disk of {folder.absolute()}: make room, for example by removing build/<benchmark>/ of "
        "another benchmark or `dvc gc --workspace` (`neurosieve plan` says how much a run takes); nothing half-written "
        "is kept, and the same command then goes on"
    )


def fullest(folders: Iterable[Path | str]) -> Path:
    """The folder, or what there is of the way to it, whose disk has the fewest bytes left."""
    there = [_existing(Path(folder)) for folder in folders]
    return min(there, key=lambda folder: shutil.disk_usage(folder).free)


def is_full(folder: Path | str) -> bool:
    """Whether next to nothing can be written to the disk of the folder."""
    return shutil.disk_usage(_existing(Path(folder))).free < LEAST


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if os.path.isdir(folder))  # noqa: PTH112


def _elsewhere() -> str:
    return "name another place (--output, --build), or work in a folder of your own (docs/reproduce.md)"
