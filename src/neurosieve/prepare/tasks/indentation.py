"""indentation: is a function indented as it was written, or were lines of it moved by a level, so that it breaks?

A function of the split makes two rows: as it is (INTACT), and with up to LINES of its lines moved (BROKEN; see
`misplaced`). Both have the same words in the same order, and only a reader who knows what the lines above and below
ask for can tell. An untrained network tells much of it too, from neighbouring sub-words. Docstrings are left out: long
ones would fill the input with text that says nothing of it.
"""

from __future__ import annotations

import numpy as np

from neurosieve.config import Task
from neurosieve.prepare.printer import code_of
from neurosieve.prepare.python_tokens import misplaced
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import Sample, Want, over_files, too_long

UNIT = "sequence"
SOURCE = "corpus"
CLASSES = ("INTACT", "BROKEN")
DESCRIPTION = "Whether lines of a Python function were moved by a level of indentation, so that the function breaks."
PER_FILE = 1
#: Lines that are moved, where so many can be; one alone is lost in the mean over a function.
LINES = 3


def why_not(record: Record, task: Task) -> str | None:
    return too_long(code_of(record), task)


def _broken(code: str, places: list[tuple[int, int]], rng: np.random.Generator) -> str:
    """The function with random lines moved, each to the left or to the right with equal chance where both are left."""
    moved: dict[int, int] = {}
    while len(moved) < LINES and (free := [place for place in places if place[0] not in moved]):
        to_right = bool(rng.random() < 0.5)
        some = [place for place in free if (place[1] > 0) == to_right] or free
        start, by = some[rng.integers(len(some))]
        moved[start] = by
    for start in sorted(moved, reverse=True):
        by = moved[start]
        code = code[: min(start, start + by)] + " " * max(by, 0) + code[start:]
    return code


def build(records: list[Record], want: Want) -> Sample:
    """Two rows per function."""
    sample = Sample()
    for record in over_files(records, want.rng):
        if want.rows - len(sample.rows) < 2:
            sample.left_out["not needed"] += 1
            continue
        code = code_of(record)
        places = misplaced(code)
        if not places:
            sample.left_out["no line that could be moved"] += 1
            continue
        for text, label in ((code, "INTACT"), (_broken(code, places, want.rng), "BROKEN")):
            sample.rows.append({"input": sample.add_input(record, text), "label": CLASSES.index(label)})
    return sample
