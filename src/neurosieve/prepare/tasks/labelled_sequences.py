"""labelled-sequences: a user's own texts with labels.

Reads <folder>/data.jsonl, one object a line: "text", "label" and "package" (the project it comes from), and where they
are known "file" (lines of one file are never parted; without it a line is a file of its own), "name", and "split"
("train", "dev" or "test"), which every line needs where the task has no `packages:` and no line may have where it has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurosieve.config import Task
from neurosieve.prepare.python_source import exact_key
from neurosieve.prepare.records import PrepareError, Record
from neurosieve.prepare.sampling import Sample, Want, over_files, too_long
from neurosieve.prepare.splits import PARTS

UNIT = "sequence"
SOURCE = "folder"
CLASSES = None
DESCRIPTION = "Which label of the user's data a text has."
PER_FILE = 1
#: Faults of a file that are told at once.
MAX_FAULTS = 20

_EXAMPLE = '{"text": "def f(): ...", "label": "bug", "package": "project-a"}'
_KEYS = ("text", "label", "package", "file", "name", "split")


def read(path: Path, task: Task) -> list[Record]:
    """Records of data.jsonl.

    Raises
    ------
    PrepareError : names the file and, for each bad line, its number, what was found and what to write instead.
    """
    records: list[Record] = []
    faults: list[str] = []
    seen: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(_lines(path), start=1):
        fault = None
        try:
            row = json.loads(line)
        except ValueError as error:
            row, fault = None, f"not valid json ({error}); found {line[:60]!r}; write a line like {_EXAMPLE}"
        fault = fault or _fault(row, task) or _two_splits(row, number, seen)
        if fault is None:
            file = row.get("file", f"line-{number}")
            records.append(
                Record(
                    package=row["package"],
                    file=f"{row['package']}/{file}",
                    name=row.get("name", f"line-{number}"),
                    text=row["text"],
                    key=exact_key(row["text"]),
                    label=row["label"],
                    split=row.get("split"),
                )
            )
        else:
            faults.append(f"{path}:{number}: {fault}")
    if len(faults) > MAX_FAULTS:
        faults[MAX_FAULTS:] = [f"{path}: {len(faults) - MAX_FAULTS} more faulty lines"]
    if not records and not faults:
        faults = [f"{path}: no lines; write one object a line, like {_EXAMPLE}"]
    if faults:
        raise PrepareError("\n".join(faults))
    return records


def _lines(path: Path) -> Iterator[str]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PrepareError(f"{path}: no such file; write one object a line, like {_EXAMPLE}") from None
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), start=1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PrepareError(
                f"{path}:{number}: not UTF-8 at byte {error.start} of the line; save it as UTF-8"
            ) from None


def _fault(row: Any, task: Task) -> str | None:
    """What is wrong with a line's value, and what to write."""
    if not isinstance(row, dict):
        return f"found {type(row).__name__}; write an object like {_EXAMPLE}"
    for key in row:
        if key not in _KEYS:
            return f"found the unknown key {key!r}; the keys are {', '.join(_KEYS)}"
    needed = ["text", "label", "package"] + ([] if task.packages is not None else ["split"])
    for key in needed:
        if key not in row:
            more = " (or give the task `packages:` in the params file)" if key == "split" else ""
            return f"no key {key!r}; write it{more}, as in {_EXAMPLE}"
    for key, value in row.items():
        if not isinstance(value, str):
            return f"{key!r} is {json.dumps(value)[:40]}; write a string, in double quotes"
        if not value.strip():
            return f"{key!r} is empty; write some text or leave the line out"
        if "\0" in value:
            return f"{key!r} has a NUL character (\\u0000); take it out"
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return f"{key!r} has half a surrogate pair (\\ud800 to \\udfff); write the whole character"
    if "split" in row and task.packages is not None:
        return "found 'split' though the task has `packages:` in the params file; keep one of the two"
    if "split" in row and row["split"] not in PARTS:
        return f"'split' is {row['split']!r}; write one of {', '.join(PARTS)} (dev is cut into tune and judge)"
    return None


def _two_splits(row: dict[str, str], number: int, seen: dict[str, tuple[str, int]]) -> str | None:
    """What is wrong where a package that `seen` has in one split (on a line) stands in another one here."""
    package, split = row["package"], row.get("split", "")
    other, line = seen.setdefault(package, (split, number))
    if split == other:
        return None
    return (
        f"package {package!r} is in {split} here and in {other} on line {line}; keep a package in one split, "
        "for texts of one package are not independent"
    )


def why_not(record: Record, task: Task) -> str | None:
    return too_long(record.text, task)


def build(records: list[Record], want: Want) -> Sample:
    """One row per record."""
    sample = Sample()
    for record in over_files(records, want.rng):
        if len(sample.rows) == want.rows:
            sample.left_out["not needed"] += 1
            continue
        assert record.label is not None
        number = sample.add_input(record, record.text)
        sample.rows.append({"input": number, "label": want.classes.index(record.label)})
    return sample
