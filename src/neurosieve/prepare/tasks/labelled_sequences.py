"""labelled-sequences: a user's own texts with labels.

Reads jsonl, one object a line: "text", "label" and "package" (the project it comes from), and where they are known
"file" (lines of one file are never parted; without it a line is a file of its own), "name", and "split" ("train",
"dev" or "test"). Roles: `all`, where every line needs a split unless the task has `packages:` or `shares:`, and then
has none; or `train`, `dev` and `test`, whose lines have none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurosieve.config import Task
from neurosieve.prepare.records import (
    PARTS,
    Record,
    make_record,
    missing_key,
    package_fault,
    read_records,
    text_fault,
)
from neurosieve.prepare.sampling import sequence_sample, too_long

UNIT = "sequence"
SOURCE = "folder"
KEYS = ("balanced",)
ROLES = {"all": False, "train": False, "dev": False, "test": False}
CLASSES = None
DESCRIPTION = "Which label of the user's data a text has."
PER_FILE = 1

_EXAMPLE = '{"text": "def f(): ...", "label": "bug", "package": "project-a"}'
_KEYS = ("text", "label", "package", "file", "name", "split")

build = sequence_sample


def read(files: dict[str, Path], task: Task) -> list[Record]:
    """Records of the file or files.

    Raises
    ------
    PrepareError : names the file and, for each bad line, its number, what was found and what to write instead.
    """
    seen: dict[str, tuple[str, str]] = {}

    def make(row: dict[str, Any], part: str | None, number: int, where: str) -> Record | str:
        if (fault := _fault(row, part, task)) is not None:
            return fault
        split, name = row.get("split", part), f"line-{number}"
        if (fault := package_fault(row["package"], split, where, seen)) is not None:
            return fault
        prefix = f"{part}/" if part is not None else ""
        return make_record(
            row["text"],
            package=row["package"],
            file=f"{row['package']}/{row.get('file', prefix + name)}",
            name=row.get("name", name),
            where=where,
            label=row["label"],
            split=split,
        )

    return read_records(files, _EXAMPLE, make)


def _fault(row: dict[str, Any], part: str | None, task: Task) -> str | None:
    """What is wrong with a line's object, and what to write."""
    for key in row:
        if key not in _KEYS:
            return f"found the unknown key {key!r}; the keys are {', '.join(_KEYS)}"
    fault = missing_key(row, ("text", "label", "package"), _EXAMPLE)
    if fault is not None:
        return fault
    drawn = task.packages is not None or task.shares is not None
    if part is None and not drawn and "split" not in row:
        return f"no key 'split'; write it (or give the task `packages:` or `shares:`), as in {_EXAMPLE}"
    for key, value in row.items():
        fault = text_fault(key, value)
        if fault is not None:
            return fault
    if "split" in row and (drawn or part is not None):
        name = "the roles of the files" if part is not None else "`packages:`" if task.packages else "`shares:`"
        return f"found 'split' though {name} in the params file say the splits; keep one of the two"
    if "split" in row and row["split"] not in PARTS:
        return f"'split' is {row['split']!r}; write one of {', '.join(PARTS)} (dev is cut into tune and judge)"
    return None


def why_not(record: Record, task: Task) -> str | None:
    return too_long(record.text, task)
