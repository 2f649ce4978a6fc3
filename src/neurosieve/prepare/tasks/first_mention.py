"""first-mention: a function that breaks off after a name: is it new, or did it stand above? Classes: `first_mentions`.

A function of the split makes two rows: its text up to a name that stands for the first time (NEW), and up to one that
stood above (AGAIN). The two are neighbours, and either is the first of them with equal chance, where both are left: how
long the text is tells little, and the letters around the name tell only what is usual there. Docstrings are left
out: long ones would fill the input with text that says nothing of it.

For `activations.pooling: last`: the mean over a text says less of its end.
"""

from __future__ import annotations

from itertools import pairwise

from neurosieve.config import Task
from neurosieve.prepare.printer import code_of
from neurosieve.prepare.python_tokens import NOVELTY, first_mentions
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import Sample, Want, over_files, too_long

UNIT = "sequence"
SOURCE = "corpus"
CLASSES = NOVELTY
DESCRIPTION = "Whether the name that a Python function breaks off after is new, or stood above."
PER_FILE = 1


def why_not(record: Record, task: Task) -> str | None:
    return too_long(code_of(record), task)


def build(records: list[Record], want: Want) -> Sample:
    """Two rows per function."""
    sample = Sample()
    for record in over_files(records, want.rng):
        if want.rows - len(sample.rows) < 2:
            sample.left_out["not needed"] += 1
            continue
        code = code_of(record)
        pairs = [(a, b) for a, b in pairwise(first_mentions(code)) if a.label != b.label]
        if not pairs:
            sample.left_out["no new name beside one that stood above"] += 1
            continue
        first = int(want.rng.random() < 0.5)
        some = [pair for pair in pairs if pair[0].label == first] or pairs
        for name in some[want.rng.integers(len(some))]:
            sample.rows.append({"input": sample.add_input(record, code[: name.end]), "label": name.label})
    return sample
