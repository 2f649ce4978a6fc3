"""indentation: is a function indented as it was written, or was one line of it moved by a level, so that it breaks?

A function of the split makes two rows: as it is (INTACT), and with a random one of its lines moved (BROKEN; see
`misplaced`). Both have the same tokens in the same order, and only a reader who knows what the lines above and below
ask for can tell. Docstrings are left out: long ones would fill the input with text that says nothing of it.
"""

from __future__ import annotations

from neurosieve.config import Task
from neurosieve.prepare.printer import without_docstring
from neurosieve.prepare.python_tokens import misplaced
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import Sample, Want, over_files, too_long

UNIT = "sequence"
SOURCE = "corpus"
CLASSES = ("INTACT", "BROKEN")
DESCRIPTION = "Whether one line of a Python function was moved by a level of indentation, so that the function breaks."
PER_FILE = 1


def _code(record: Record) -> str:
    return without_docstring(record.text, record.docstring_span) if record.docstring_span else record.text


def why_not(record: Record, task: Task) -> str | None:
    return too_long(_code(record), task)


def build(records: list[Record], want: Want) -> Sample:
    """Two rows per function; a line goes to the left or to the right with equal chance where lines for both are."""
    sample = Sample()
    for record in over_files(records, want.rng):
        if want.rows - len(sample.rows) < 2:
            sample.left_out["not needed"] += 1
            continue
        code = _code(record)
        places = misplaced(code)
        if not places:
            sample.left_out["no line that could be moved"] += 1
            continue
        left = [place for place in places if place[1] < 0]
        right = [place for place in places if place[1] > 0]
        some = (left, right)[int(want.rng.random() < 0.5)] or places
        start, by = some[want.rng.integers(len(some))]
        broken = code[: min(start, start + by)] + " " * max(by, 0) + code[start:]
        for text, label in ((code, "INTACT"), (broken, "BROKEN")):
            sample.rows.append({"input": sample.add_input(record, text), "label": CLASSES.index(label)})
    return sample
