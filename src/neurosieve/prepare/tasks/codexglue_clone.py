"""codexglue-clone: do two functions do the same? BigCloneBench as CodeXGLUE has it, and any data of that form.

Reads role `functions`, jsonl with "func" and "idx", and pairs, a line `idx1<TAB>idx2<TAB>label` each: roles `train`,
`dev` and `test`, or `all`. The split stands for the package and a function for a file: neither is known. Functions with
the same text, white space folded, are one file. A function stands in many pairs: it is in one split only, and intervals
draw functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurosieve.config import Task
from neurosieve.prepare.records import (
    Record,
    class_fault,
    class_name,
    make_record,
    missing_key,
    raise_faults,
    read_lines,
    read_objects,
    spaces_key,
    split_files,
    text_fault,
)
from neurosieve.prepare.sampling import pair_sample, pair_too_long

UNIT = "pair"
SOURCE = "folder"
KEYS = ("balanced",)
ROLES = {"functions": True, "train": False, "dev": False, "test": False, "all": False}
CLASSES = None
DESCRIPTION = (
    "Whether two functions do the same, by the labels of the user's data; a function counts as a file, for the files "
    "are not known."
)
PER_FILE = 1
RESAMPLED = ("file", "functions")

_EXAMPLE = '{"func": "int f() { ... }", "idx": "17"}'
_LINE = "idx1<TAB>idx2<TAB>label"

build = pair_sample


def read(files: dict[str, Path], task: Task) -> list[Record]:
    """Records of the pairs.

    Raises
    ------
    PrepareError : names the file and, for each bad line, its number, what was found and what to write instead.
    """
    functions = _functions(files["functions"])
    first: dict[str, str] = {}  # text -> the first function that has it
    file = {idx: first.setdefault(spaces_key(text), idx) for idx, text in functions.items()}
    records: list[Record] = []
    faults: list[str] = []
    for part, path in split_files({role: file for role, file in files.items() if role != "functions"}):
        number = 0
        for number, line in read_lines(path):
            fields = line.split("\t")
            fault = _pair_fault(fields, functions, files["functions"].name)
            if fault is not None:
                faults.append(f"{path}:{number}: {fault}")
                continue
            left, right, label = fields
            records.append(
                make_record(
                    functions[left],
                    package=part or "all",
                    file=file[left],
                    name=left,
                    where=f"{path.name}:{number}",
                    label=label,
                    split=part,
                    right=functions[right],
                    right_name=right,
                    right_file=file[right],
                )
            )
        if number == 0:
            faults.append(f"{path}: no lines; write one pair a line: {_LINE}")
    raise_faults(files["functions"].parent, faults)
    return records


def _pair_fault(fields: list[str], functions: Mapping[str, str], where: str) -> str | None:
    if len(fields) != 3 or not all(field.strip() for field in fields):
        return f"found {len(fields)} fields ({chr(9).join(fields)[:60]!r}); write {_LINE}"
    for idx in fields[:2]:
        if idx not in functions:
            return f"no function of {where} has the idx {idx!r}; add it there, or take the pair out"
    if fields[2] != fields[2].strip():
        return f"found the label {fields[2]!r}, with space beside it; take the space out"
    return text_fault("label", fields[2])


def _functions(path: Path) -> dict[str, str]:
    """Functions by idx."""
    functions: dict[str, str] = {}
    lines: dict[str, int] = {}
    faults: list[str] = []
    for number, row in read_objects(path, _EXAMPLE):
        fault = row if isinstance(row, str) else _fault(row)
        if fault is None and not isinstance(row, str):
            idx = class_name(row["idx"])
            if idx not in functions:
                functions[idx], lines[idx] = row["func"], number
                continue
            fault = f"'idx' is {idx!r}, as on line {lines[idx]}; give each function its own"
        faults.append(f"{path}:{number}: {fault}")
    if not functions and not faults:
        faults.append(f"{path}: no lines; write one function a line, like {_EXAMPLE}")
    raise_faults(path, faults)
    return functions


def _fault(row: dict[str, Any]) -> str | None:
    fault = missing_key(row, ("func", "idx"), _EXAMPLE)
    return fault or text_fault("func", row["func"]) or class_fault("idx", row["idx"])


def why_not(record: Record, task: Task) -> str | None:
    return pair_too_long(record, task)
