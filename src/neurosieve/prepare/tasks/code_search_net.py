"""code-search-net: does a function do what a docstring says? CodeSearchNet's own jsonl, in any of its languages.

Reads roles `train`, `dev` and `test`, or `all`: jsonl, plain or .gz, one object a line with "code", "docstring",
"func_name", "repo" (the package) and "path" (with the package, the file), and "partition" (train, valid or test) and
"language" where they are known. With `packages:` or `shares:` the role `all` is split by them, else by its partitions.
All pairs match; the task's `negatives:` say how the others are made. The left side is the first paragraph of the
docstring, the right one the code without docstring (Python; in other languages it is no part of the code), with the
function's own name masked in both.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from neurosieve.config import Task
from neurosieve.prepare.hard_negatives import match_sample
from neurosieve.prepare.printer import CODE_MASK, TEXT_MASK, mask, summary, without_docstring
from neurosieve.prepare.python_source import functions
from neurosieve.prepare.records import (
    PrepareError,
    Record,
    make_record,
    missing_key,
    read_records,
    text_fault,
)
from neurosieve.prepare.sampling import pair_too_long

UNIT = "pair"
SOURCE = "folder"
ROLES = {"all": False, "train": False, "dev": False, "test": False}
KEYS = ("negatives", "balanced")
CLASSES = ("MISMATCH", "MATCH")
DESCRIPTION = (
    "Whether the first paragraph of a docstring belongs to a function or to another one of the same split with like "
    "words, with function names masked; codes of negatives are codes of matching pairs as far as possible (the share "
    "is given)."
)
PER_FILE = 1
#: Docstrings with fewer words, the function's own name not counted, say too little to be matched.
MIN_WORDS = 4

_EXAMPLE = (
    '{"code": "def f(): ...", "docstring": "...", "func_name": "f", "repo": "owner/name", "path": "a/b.py", '
    '"partition": "train", "language": "python"}'
)
_KEYS = ("code", "docstring", "func_name", "repo", "path")
_PARTITIONS = {"train": "train", "valid": "dev", "test": "test"}
_WORD = re.compile(r"[^\W\d_]\w*")
_NAME = re.compile(r"\w+")
_MASKS = frozenset((*TEXT_MASK.split(), *CODE_MASK.split()))

build = match_sample


def read(files: dict[str, Path], task: Task) -> list[Record]:
    """Records of the lines.

    Raises
    ------
    PrepareError : names the file and, for each bad line, its number, what was found and what to write instead; a task
        without `negatives:`.
    """
    if task.negatives is None:
        raise PrepareError("all pairs match; write `negatives: {kind: hard}` to make those that do not")
    if task.negatives.per_positive > 1 and task.balanced:
        raise PrepareError(f"balanced: {task.negatives.per_positive} negatives a positive are not; take it out")
    drawn = task.packages is not None or task.shares is not None

    def make(row: dict[str, Any], part: str | None, number: int, where: str) -> Record | str:
        fault = _fault(row, part, by_partition=part is None and not drawn)
        return fault or _record(row, part or (None if drawn else _PARTITIONS[row["partition"]]), where)

    return read_records(files, _EXAMPLE, make)


def _fault(row: dict[str, Any], part: str | None, *, by_partition: bool) -> str | None:
    """What is wrong with a line's object, and what to write."""
    fault = missing_key(row, (*_KEYS, *(("partition",) if by_partition else ())), _EXAMPLE)
    if fault is not None:
        return fault
    for key in _KEYS:
        if key == "func_name" and row[key] == "":  # functions without a name, as JavaScript has them
            continue
        fault = text_fault(key, row[key])
        if fault is not None:
            return fault
    partition = row.get("partition")
    if partition is not None and (not isinstance(partition, str) or partition not in _PARTITIONS):
        return f"'partition' is {str(partition)[:40]!r}; write one of {', '.join(_PARTITIONS)}"
    if partition is not None and part is not None and _PARTITIONS[partition] != part:
        return f"'partition' is {partition!r} in the file of the role {part}; keep one of the two"
    if not isinstance(row.get("language", ""), str):
        return f"'language' is {str(row['language'])[:40]}; write a string, as in {_EXAMPLE}"
    return None


def _record(row: dict[str, Any], split: str | None, where: str) -> Record:
    own = next(reversed(_NAME.findall(row["func_name"])), "")
    text, code = summary(row["docstring"]), _code(row)
    if own:
        text, code = mask(text, own, TEXT_MASK), mask(code, own, CODE_MASK)
    file = f"{row['repo']}/{row['path']}"
    return make_record(
        text, package=row["repo"], file=file, name=row["func_name"] or "(no name)", where=where, split=split, right=code
    )


def _code(row: dict[str, Any]) -> str:
    """Code without its docstring, where the language keeps it in the code."""
    code: str = row["code"]
    if row.get("language", "python").lower() == "python":
        for function in functions(code)[:1]:
            if function.docstring_span is not None:
                return without_docstring(function.source, function.docstring_span)
    return code


def _words(text: str) -> list[str]:
    """Words but for those of the masks."""
    return [word for word in _WORD.findall(text) if word not in _MASKS]


def why_not(record: Record, task: Task) -> str | None:
    words, right = _words(record.text), record.right or ""
    if len(words) < MIN_WORDS:
        return f"docstring of fewer than {MIN_WORDS} words"
    if f" {' '.join(words)} " in f" {' '.join(_words(right))} ":  # in a comment, or in code with a syntax error
        return "docstring stands in the code too"
    if right.rstrip().endswith(":"):
        return "nothing but a docstring in the body"
    return pair_too_long(record, task)
