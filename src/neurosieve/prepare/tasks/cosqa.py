"""cosqa: does a Python function answer a question? CoSQA and WebQuery as CodeXGLUE has them (json arrays), or CoCLR.

Reads roles `train`, `dev` and `test`, or `all`: a json array, plain or .gz, of objects with "doc" (the question) and
"code", where known "idx", and "label" (1: the code answers it, 0: it does not). All entries of a file have a label or
none has. A file without labels, or with 1 alone, holds matching pairs only, and the task's `negatives:` say how the
others are made: from the codes of the same split, and from the role `codes` (the code base: a json object of code ->
number, or an array of codes), of which every code goes to one split. The test file of NL-code-search-WebQuery comes
without labels, but its pairs do not all match: it cannot be used.

Entries that share a question or a code are never parted: they count as a file. No projects are known: the split stands
for the package.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurosieve.config import Task
from neurosieve.prepare.hard_negatives import match_sample
from neurosieve.prepare.records import (
    NO_PACKAGE,
    PARTS,
    PrepareError,
    Record,
    digest,
    make_record,
    missing_key,
    raise_faults,
    read_text,
    spaces_key,
    split_files,
    text_fault,
    unique_keys,
)
from neurosieve.prepare.sampling import pair_too_long

log = logging.getLogger(__name__)

UNIT = "pair"
SOURCE = "folder"
ROLES = {"train": False, "dev": False, "test": False, "all": False, "codes": False}
KEYS = ("negatives", "balanced")
CLASSES = ("MISMATCH", "MATCH")
DESCRIPTION = (
    "Whether a Python function answers a question of a search engine's users, by human labels where the data have "
    "them; hard negatives of matching pairs are drawn so that the question's words tell little, and codes of negatives "
    "are codes of matching pairs as far as possible (the share is given); a question counts as a file."
)
PER_FILE = 1

_EXAMPLE = '{"idx": "cosqa-1", "doc": "how to ...", "code": "def f(): ...", "label": 1}'
_SPACE = re.compile(r"\s*")
_BASE = NO_PACKAGE[1]

build = match_sample


def read(files: dict[str, Path], task: Task) -> list[Record]:
    """Records of the entries, and one without a right text of each other code of the code base.

    Raises
    ------
    PrepareError : names the file and, for each bad entry, its line, what was found and what to write instead; a file of
        matching pairs only where the task has no `negatives:`.
    """
    negatives = task.negatives
    if negatives is not None and negatives.per_positive > 1 and task.balanced:
        raise PrepareError(f"balanced: {negatives.per_positive} negatives a positive are not; take `balanced:` out")
    records: list[Record] = []
    wanting: dict[str, int] = {}  # part -> entries that want negatives
    for part, path in split_files({role: file for role, file in files.items() if role != "codes"}):
        entries = _entries(path)
        labels = {entry.get("label") for _, entry in entries}
        if 0 not in labels and negatives is None:
            what = "no entry has the key 'label'" if None in labels else "every entry has the label 1"
            raise PrepareError(
                f"{path}: {what}, so there is no pair that does not match; write `negatives:` if all of them match "
                "(those of the unlabelled WebQuery test do not), or name the labelled file"
            )
        if 0 not in labels:
            wanting[part or "all"] = len(entries)
        records += _records(path, part, entries, labelled=0 in labels)
    if "codes" in files:
        if not wanting:
            raise PrepareError(
                f"{files['codes']}: a code base is for `negatives:` of matching pairs, but the entries have labels of "
                "both kinds; take the role `codes` out"
            )
        records += _base(files["codes"], records, wanting)
    return records


def _entries(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Line and value of each entry."""
    faults: list[str] = []
    entries: list[tuple[int, dict[str, Any]]] = []
    labelled: tuple[int, bool] | None = None
    for line, entry in _elements(path):
        fault = _fault(entry)
        if fault is None:
            has = "label" in entry
            labelled = labelled or (line, has)
            if has != labelled[1]:
                with_, without = (line, labelled[0]) if has else (labelled[0], line)
                fault = f"line {with_} has a 'label' and line {without} has none; give one to all entries or to none"
        if fault is None:
            entries.append((line, entry))
        else:
            faults.append(f"{path}:{line}: {fault}")
    raise_faults(path, faults, "faulty entries")
    return entries


def _elements(path: Path) -> Iterator[tuple[int, Any]]:
    """Line (from 1) on which each element of a json array begins, and its value."""
    text = read_text(path)
    decoder = json.JSONDecoder(object_pairs_hook=unique_keys)
    line, counted = 1, 0

    def skip(at: int) -> int:
        found = _SPACE.match(text, at)
        assert found is not None
        return found.end()

    at = skip(0)
    if text[at : at + 1] != "[":
        raise PrepareError(f"{path}:1: found {text[at : at + 40]!r}; write a json array of objects like {_EXAMPLE}")
    at = skip(at + 1)
    if text[at : at + 1] == "]":
        raise PrepareError(f"{path}:1: found an empty array; write objects like {_EXAMPLE}")
    while True:
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise PrepareError(
                f"{path}:{getattr(error, 'lineno', line)}: not valid json ({getattr(error, 'msg', error)}), in the "
                f"entry that begins on line {line}; fetch the file again, or mend it"
            ) from None
        yield line, value
        at = skip(end)
        if text[at : at + 1] == "]":
            break
        if text[at : at + 1] != ",":
            line = line + text.count("\n", counted, at)
            found = repr(text[at : at + 40]) if at < len(text) else "the end of the file"
            raise PrepareError(f"{path}:{line}: found {found} after an entry; write , and the next one, or ]")
        at = skip(at + 1)
    if text[at + 1 :].strip():
        line = line + text.count("\n", counted, skip(at + 1))
        raise PrepareError(f"{path}:{line}: found {text[skip(at + 1) :][:40]!r} after the array; take it out")


def _fault(entry: Any) -> str | None:
    """What is wrong with an entry, and what to write."""
    if not isinstance(entry, dict):
        return f"found {type(entry).__name__}; write an object like {_EXAMPLE}"
    fault = missing_key(entry, ("doc", "code"), _EXAMPLE)
    fault = fault or text_fault("doc", entry["doc"]) or text_fault("code", entry["code"])
    if fault is None and "label" in entry and (isinstance(entry["label"], bool) or entry["label"] not in (0, 1)):
        fault = f"'label' is {json.dumps(entry['label'])[:40]}; write 1 (the code answers the question) or 0"
    if fault is None and not isinstance(entry.get("idx", ""), str | int):
        fault = f"'idx' is {json.dumps(entry['idx'])[:40]}; write a string"
    elif fault is None and isinstance(entry.get("idx"), str):
        fault = text_fault("idx", entry["idx"])
    return fault


def _records(
    path: Path, part: str | None, entries: list[tuple[int, dict[str, Any]]], *, labelled: bool
) -> Iterator[Record]:
    """Records of a file; entries that are joined by a question or a code, or by others, are of one file."""
    package = part or "all"
    first: list[int] = list(range(len(entries)))  # entry -> an earlier one that it is joined with; itself: none

    def root(i: int) -> int:
        while first[i] != i:
            first[i] = first[first[i]]
            i = first[i]
        return i

    seen: dict[tuple[str, str], int] = {}
    for i, (_, entry) in enumerate(entries):
        for side in ("doc", "code"):
            a, b = root(i), root(seen.setdefault((side, spaces_key(entry[side])), i))
            first[max(a, b)] = min(a, b)
    for i, (line, entry) in enumerate(entries):
        name = str(entry.get("idx", f"entry-{i + 1}"))
        yield make_record(
            entry["doc"],
            package=package,
            file=f"{package}/entry-{root(i) + 1:06d}",
            name=name,
            where=f"{path.name}:{line}",
            label=CLASSES[entry["label"]] if labelled else None,
            split=part,
            right=entry["code"],
            right_name=name,
        )


def _base(path: Path, pairs: list[Record], wanting: dict[str, int]) -> list[Record]:
    """Records of the codes that no pair has, each in one of the splits that want negatives: by hash, as these share."""
    text = read_text(path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise PrepareError(f"{path}:{line}: not valid json ({getattr(error, 'msg', error)}); fetch it again") from None
    if not isinstance(found, dict | list) or not found:
        raise PrepareError(f"{path}: found {text[:40]!r}; write a json object of code -> number, or an array of codes")
    faults = [
        f"{path}: code {number}: {fault}"
        for number, code in enumerate(found, start=1)
        if (fault := text_fault("code", code)) is not None
    ]
    raise_faults(path, faults, "faulty codes")
    have = {record.right_key for record in pairs}
    parts = [part for part in (*PARTS, "all") if part in wanting]
    total = sum(wanting.values())
    records: list[Record] = []
    known = 0
    for number, code in enumerate(found, start=1):
        key = spaces_key(code)
        if key in have:
            known += 1
            continue
        have.add(key)
        at = int(digest(f"{_BASE} {key}")[:12], 16) / 16**12 * total
        for part in parts:
            at -= wanting[part]
            if at < 0:
                break
        name = f"code-{number}"
        records.append(
            make_record(
                code,
                package=_BASE,
                file=f"{_BASE}/{name}",
                name=name,
                where=f"{path.name}: {name}",
                split=None if part == "all" else part,
            )
        )
    log.info("%s: %d codes, %d of them of pairs or copies; %d others", path, len(found), known, len(records))
    return records


def why_not(record: Record, task: Task) -> str | None:
    return pair_too_long(record, task)
