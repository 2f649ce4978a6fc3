"""Seeded sampling over files, and the sample of one split that a task kind builds.

Reads and writes no files. Rows in corpus order would come from a few large files (METHOD 3.2, row 9).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurosieve.config import Task
from neurosieve.prepare.python_tokens import Token
from neurosieve.prepare.records import Record


@dataclass(frozen=True)
class Want:
    """What a split asks of a kind: so many rows, drawn with `rng`.

    `cap_per_type` is None but in train, `cap_per_class` None where classes are taken as they come.
    """

    rows: int
    classes: tuple[str, ...]
    max_rows_per_input: int
    cap_per_type: int | None
    rng: np.random.Generator
    cap_per_class: int | None = None


@dataclass
class Sample:
    """Inputs and rows of one split as inputs.jsonl and rows.jsonl have them (`seen` is added later).

    `left_out` counts records by reason, those that were not needed too.
    """

    inputs: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def add_input(self, record: Record, text: str) -> int:
        """Append an input; returns its id."""
        self.inputs.append(
            {"id": len(self.inputs), "text": text, "file": record.file, "package": record.package, "name": record.name}
        )
        return len(self.inputs) - 1


def too_long(text: str, task: Task) -> str | None:
    """The reason of a text longer than the task allows."""
    return f"longer than {task.max_characters} characters" if len(text) > task.max_characters else None


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


def token_sample(records: list[Record], want: Want, tokens_of: Callable[[str], list[Token]]) -> Sample:
    """Rows of a token task: whole functions as inputs, random tokens of each as rows, in the order of the text."""
    sample = Sample()
    counts: Counter[str] = Counter()
    per_class: Counter[int] = Counter()
    for record in over_files(records, want.rng):
        room = min(want.max_rows_per_input, want.rows - len(sample.rows))
        if room <= 0:
            sample.left_out["not needed"] += 1
            continue
        tokens = tokens_of(record.text)
        chosen: list[Token] = []
        for i in want.rng.permutation(len(tokens)):
            if len(chosen) == room:
                break
            free = want.cap_per_type is None or counts[tokens[i].text] < want.cap_per_type
            if free and (want.cap_per_class is None or per_class[tokens[i].label] < want.cap_per_class):
                counts[tokens[i].text] += 1
                per_class[tokens[i].label] += 1
                chosen.append(tokens[i])
        if not chosen:
            sample.left_out["every token type is at its cap"] += 1
            continue
        number = sample.add_input(record, record.text)
        sample.rows += [
            {"input": number, "start": t.start, "end": t.end, "label": t.label, "type": t.text}
            for t in sorted(chosen, key=lambda t: t.start)
        ]
    return sample
