"""Seeded sampling over files, and the sample of one split that a task kind builds.

Reads and writes no files. Rows in corpus order would come from a few large files (METHOD 3.2, row 9).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurosieve.config import Negatives, Task
from neurosieve.prepare.python_tokens import Token
from neurosieve.prepare.records import Record

NAMED = "tokens named in `leave_out:`"
CLASSES_FULL = "not needed, for its classes are full"


@dataclass(frozen=True)
class Want:
    """What a split asks of a kind: so many rows, drawn with `rng`.

    `cap_per_type` is None but in train, `cap_per_class` None where classes are taken as they come (not `balanced:`).
    `language` is that of the task's corpus, `tagset`, `negatives` and `leave_out` the task's, `seed` the benchmark's.
    """

    rows: int
    classes: tuple[str, ...]
    max_rows_per_input: int
    cap_per_type: int | None
    rng: np.random.Generator
    cap_per_class: int | None = None
    language: str = "python"
    tagset: str = "published"
    negatives: Negatives | None = None
    leave_out: frozenset[str] = frozenset()
    seed: int = 0


@dataclass
class Sample:
    """Inputs and rows of one split as inputs.jsonl and rows.jsonl have them (`seen` is added later).

    `left_out` counts records by reason, those that were not needed too. `facts` are for the split's entry on the card.
    """

    inputs: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    facts: dict[str, Any] = field(default_factory=dict)

    def add_input(self, record: Record, text: str, *, right: bool = False) -> int:
        """Append an input, the left (or only) or the right side of a record; returns its id."""
        name = record.right_name or record.name if right else record.name
        file = record.right_file or record.file if right else record.file
        self.inputs.append(
            {"id": len(self.inputs), "text": text, "file": file, "package": record.package, "name": name}
        )
        return len(self.inputs) - 1


def too_long(text: str, task: Task) -> str | None:
    """The reason of a text longer than the task allows."""
    return f"longer than {task.max_characters} characters" if len(text) > task.max_characters else None


def pair_too_long(record: Record, task: Task) -> str | None:
    """The reason of a record of which a side is longer than the task allows."""
    return too_long(record.text, task) or too_long(record.right or "", task)


def shuffled_files(records: list[Record], rng: np.random.Generator) -> list[list[Record]]:
    """Records by file, the files and the records of each in random order."""
    files: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        files[record.file].append(record)
    names = sorted(files)
    shuffled = []
    for i in rng.permutation(len(names)):
        members = files[names[i]]
        shuffled.append([members[j] for j in rng.permutation(len(members))])
    return shuffled


def over_files(records: list[Record], rng: np.random.Generator) -> Iterator[Record]:
    """Every record once: one of each file in random order, then a second of each, and so on."""
    files = shuffled_files(records, rng)
    for turn in range(max(map(len, files), default=0)):
        yield from (members[turn] for members in files if turn < len(members))


def drawn(records: list[Record], seed: int) -> Iterator[Record]:
    """As :func:`over_files`, in an order that seed, file and function decide alone.

    So tasks of one corpus take the same functions, whatever each leaves out, and a model runs them once.
    """
    files: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda r: _lot(seed, r.file, r.name, r.text)):
        files[record.file].append(record)
    names = sorted(files, key=lambda name: _lot(seed, name))
    for turn in range(max(map(len, files.values()), default=0)):
        yield from (files[name][turn] for name in names if turn < len(files[name]))


def _lot(seed: int, *parts: str) -> bytes:
    return hashlib.sha256("\0".join((str(seed), *parts)).encode("utf-8", "surrogatepass")).digest()


def token_sample(records: list[Record], want: Want, tokens_of: Callable[[str], list[Token]]) -> Sample:
    """Rows of a token task: whole functions as inputs, random tokens of each as rows, in the order of the text.

    Tokens that the task's `leave_out:` names make no rows; those of texts looked at are counted.
    """
    sample = Sample()
    counts: Counter[str] = Counter()
    per_class: Counter[int] = Counter()
    for record in drawn(records, want.seed):
        room = min(want.max_rows_per_input, want.rows - len(sample.rows))
        if room <= 0:
            sample.left_out["not needed"] += 1
            continue
        every = tokens_of(record.text)
        tokens = [token for token in every if token.text not in want.leave_out]
        if len(tokens) < len(every):
            sample.left_out[NAMED] += len(every) - len(tokens)
        if not tokens:
            sample.left_out["no token of the classes"] += 1
            continue
        chosen: list[Token] = []
        full = False
        for i in want.rng.permutation(len(tokens)):
            if len(chosen) == room:
                break
            if want.cap_per_type is not None and counts[tokens[i].text] >= want.cap_per_type:
                continue
            if want.cap_per_class is not None and per_class[tokens[i].label] >= want.cap_per_class:
                full = True
                continue
            counts[tokens[i].text] += 1
            per_class[tokens[i].label] += 1
            chosen.append(tokens[i])
        if not chosen:
            sample.left_out[CLASSES_FULL if full else "every token type is at its cap"] += 1
            continue
        number = sample.add_input(record, record.text)
        sample.rows += [
            {"input": number, "start": t.start, "end": t.end, "label": t.label, "type": t.text}
            for t in sorted(chosen, key=lambda t: t.start)
        ]
    return sample


def sequence_sample(records: list[Record], want: Want) -> Sample:
    """One row per record: {"input", "label"}, or {"input", "target"} of a number where there are no classes."""
    return _record_sample(records, want, sides=1)


def pair_sample(records: list[Record], want: Want) -> Sample:
    """One row per pair: {"input", "input2", "label"}, or "target" as in :func:`sequence_sample`."""
    return _record_sample(records, want, sides=2)


def _record_sample(records: list[Record], want: Want, sides: int) -> Sample:
    """Records of random files in turn, as long as rows are wanted of their class; equal texts of a file are one input.

    With ``cap_per_class`` and two classes there are as many rows of one as of the other: as many as the rarer one has.
    The order of the records decides nothing but the order within a file.
    """
    sample = Sample()
    ids: dict[tuple[str, str], int] = {}
    label_of = {name: label for label, name in enumerate(want.classes)}
    per_class: Counter[int] = Counter()
    cap = want.cap_per_class
    if cap is not None and len(want.classes) == 2:
        there = Counter(record.label for record in records)
        cap = min(cap, *(there[name] for name in want.classes))
    for record in over_files(records, want.rng):
        if len(sample.rows) == want.rows:
            sample.left_out["not needed"] += 1
            continue
        row: dict[str, Any] = {}
        if want.classes:
            assert record.label is not None
            row["label"] = label_of[record.label]
            if cap is not None and per_class[row["label"]] >= cap:
                sample.left_out[CLASSES_FULL] += 1
                continue
            per_class[row["label"]] += 1
        else:
            row["target"] = record.target
        for name, text, file in (
            ("input", record.text, record.file),
            ("input2", record.right or "", record.right_file or record.file),
        )[:sides]:
            if (text, file) not in ids:
                ids[text, file] = sample.add_input(record, text, right=name == "input2")
            row[name] = ids[text, file]
        sample.rows.append(row)
    return sample
