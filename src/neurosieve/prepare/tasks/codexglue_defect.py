"""codexglue-defect: is a function vulnerable? Devign as CodeXGLUE has it, and any jsonl of that form.

Reads jsonl, one object a line with "func" and "target", and where they are known "project" (the package), "commit_id"
(the file: functions of one commit are never parted) and "idx"; without a project all are of the package `all`, without
a commit a function is a file of its own. Roles: `all`; or `train`, `dev` and `test`; or `functions`, the benchmark's
function.json (one array of such objects), and with it `train.ids`, `dev.ids` and `test.ids`, text files with the place
of one function (from 0) a line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from neurosieve.config import Task
from neurosieve.prepare.records import (
    PARTS,
    PrepareError,
    Record,
    class_fault,
    class_name,
    make_record,
    missing_key,
    raise_faults,
    read_lines,
    read_records,
    read_text,
    text_fault,
    unique_keys,
)
from neurosieve.prepare.sampling import sequence_sample, too_long

UNIT = "sequence"
SOURCE = "folder"
KEYS = ("balanced",)
IDS = {f"{part}.ids": part for part in PARTS}
ROLES = dict.fromkeys(("all", *PARTS, "functions", *IDS), False)
CLASSES = None
DESCRIPTION = "Whether a function is vulnerable, by the labels of the user's data."
PER_FILE = 1

_EXAMPLE = '{"func": "int f(void) { ... }", "target": 1, "project": "FFmpeg", "commit_id": "..."}'

build = sequence_sample


def read(files: dict[str, Path], task: Task) -> list[Record]:
    """Records of the file or files.

    Raises
    ------
    PrepareError : names the file and, for each bad line, its number, what was found and what to write instead.
    """
    if "functions" in files:
        return _read_array(files)
    if not files.keys().isdisjoint(IDS):
        raise PrepareError(
            "`files:` has lists of ids without their functions; add the role functions, or take them out"
        )

    def make(row: dict[str, Any], part: str | None, number: int, where: str) -> Record | str:
        return _fault(row) or _record(row, part, f"{part or 'line'}-{number}", where)

    return read_records(files, _EXAMPLE, make)


def _read_array(files: dict[str, Path]) -> list[Record]:
    """Records of one json array, with the splits that the lists of ids give."""
    path = files["functions"]
    others = [role for role in files if role in ("all", *PARTS)]
    lists = [role for role in IDS if role in files]
    if others or (lists and len(lists) < len(IDS)):
        raise PrepareError(
            f"`files:` has the roles {', '.join(files)}; beside functions write all of {', '.join(IDS)}, or none"
        )
    try:
        rows = json.loads(read_text(path), object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise PrepareError(
            f"{path}:{line}: not valid json ({error}); write an array of objects like {_EXAMPLE}"
        ) from None
    if not isinstance(rows, list) or not rows:
        raise PrepareError(f"{path}:1: found {type(rows).__name__}; write an array of objects like {_EXAMPLE}")
    faults = [
        f"{path}: object {i} (from 0): {fault}"
        for i, row in enumerate(rows)
        if (fault := _fault(row) if isinstance(row, dict) else f"found {type(row).__name__}; write an object")
        is not None
    ]
    raise_faults(path, faults, "faulty objects")
    part_of: dict[int, str] = {}
    for role in lists:
        for number, line in read_lines(files[role]):
            at = f"{files[role]}:{number}"
            if not line.strip().isdecimal() or int(line) >= len(rows):
                faults.append(f"{at}: found {line[:40]!r}; write the place of a function, 0 to {len(rows) - 1}")
            elif int(line) in part_of:
                faults.append(f"{at}: function {int(line)} is in {part_of[int(line)]} already; keep one of the two")
            else:
                part_of[int(line)] = IDS[role]
    raise_faults(path, faults)
    return [_record(row, part_of.get(i), f"object-{i}", f"{path.name}[{i}]") for i, row in enumerate(rows)]


def _fault(row: dict[str, Any]) -> str | None:
    fault = missing_key(row, ("func", "target"), _EXAMPLE)
    fault = fault or text_fault("func", row["func"]) or class_fault("target", row["target"])
    for key in ("project", "commit_id"):
        if fault is None and row.get(key) is not None:
            fault = text_fault(key, row[key])
    return fault or (class_fault("idx", row["idx"]) if row.get("idx") is not None else None)


def _record(row: dict[str, Any], part: str | None, name: str, where: str) -> Record:
    package = row.get("project") or "all"
    return make_record(
        row["func"],
        package=package,
        file=f"{package}/{row.get('commit_id') or name}",
        name=f"idx-{row['idx']}" if row.get("idx") is not None else name,
        where=where,
        label=class_name(row["target"]),
        split=part,
    )


def why_not(record: Record, task: Task) -> str | None:
    return too_long(record.text, task)
