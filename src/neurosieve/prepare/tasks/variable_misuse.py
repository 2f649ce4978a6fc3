"""variable-misuse: is this use of a variable the one that was written? Judged at the variable (METHOD 5).

Two uses s and t of different variables, each in scope at the other, are drawn from a function, and one of the two is
drawn to be overwritten with the name at the other. The overwritten use is the row SWAPPED, the other, now of the same
name, the row ORIGINAL. Both rows of a function have the same name, and s and t change places with equal chance: neither
the name nor the place nor the words around it alone can tell the label.
"""

from __future__ import annotations

from neurosieve.config import Task
from neurosieve.prepare.printer import code_of, replaced
from neurosieve.prepare.python_tokens import variable_uses
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import Sample, Want, over_files, too_long

UNIT = "token"
SOURCE = "corpus"
CLASSES = ("ORIGINAL", "SWAPPED")
DESCRIPTION = "Whether a variable in a Python function is the one that was written or another one in scope put there."
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
        uses = variable_uses(code)
        pairs = [(s, t) for i, s in enumerate(uses) for t in uses[i + 1 :] if t.name in s.others and s.name in t.others]
        if not pairs:
            sample.left_out["no two variables that could change places"] += 1
            continue
        pair = pairs[want.rng.integers(len(pairs))]
        swapped, original = pair if want.rng.random() < 0.5 else pair[::-1]
        text = replaced(code, swapped.start, swapped.end, original.name)
        grown = len(original.name) - len(swapped.name)
        number = sample.add_input(record, text)
        rows = []
        for use, label in ((swapped, "SWAPPED"), (original, "ORIGINAL")):
            start = use.start + (grown if use.start > swapped.start else 0)
            rows.append(
                {
                    "input": number,
                    "start": start,
                    "end": start + len(original.name),
                    "label": CLASSES.index(label),
                    "type": original.name,
                }
            )
        sample.rows += sorted(rows, key=lambda row: row["start"])
    return sample
