"""doc-match: does a docstring belong to a function? Negatives are of the same file, names are masked (METHOD 5).

Within a file the sampled functions form a ring: each docstring is paired with its own function (MATCH) and with the
next one (MISMATCH). So every docstring and every function stands once in either class, as the same input, and nothing
on one side alone can tell the label.
"""

from __future__ import annotations

import re

from neurosieve.config import Task
from neurosieve.prepare.printer import CODE_MASK, TEXT_MASK, mask, summary, without_docstring
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import Sample, Want, shuffled_files, too_long

UNIT = "pair"
SOURCE = "corpus"
CLASSES = ("MISMATCH", "MATCH")
DESCRIPTION = (
    "Whether the first paragraph of a docstring belongs to a Python function or to another one of the same file, "
    "with function names masked."
)
PER_FILE = 2
#: Docstrings with fewer words, the function's own name not counted, say too little to be matched.
MIN_WORDS = 4
_WORD = re.compile(r"[^\W\d_]\w*")


def _own_name(record: Record) -> str:
    return record.name.rpartition(".")[2]


def _sides(record: Record) -> tuple[str, str]:
    """Docstring and code as printed; both mask the function's own name, whatever they are paired with."""
    assert record.docstring is not None and record.docstring_span is not None
    name = _own_name(record)
    code = without_docstring(record.text, record.docstring_span)
    return mask(summary(record.docstring), name, TEXT_MASK), mask(code, name, CODE_MASK)


def why_not(record: Record, task: Task) -> str | None:
    if record.docstring is None:
        return "no docstring"
    words = _WORD.findall(summary(record.docstring))
    if sum(word != _own_name(record) for word in words) < MIN_WORDS:
        return f"docstring of fewer than {MIN_WORDS} words"
    text, code = _sides(record)
    if code.endswith(":"):
        return "nothing but a docstring in the body"
    return too_long(text, task) or too_long(code, task)


def _distinct(members: list[Record], sample: Sample) -> list[tuple[Record, str, str]]:
    """Functions of a file with the sides they give, no two with equal docstrings (masked or not) or equal code."""
    kept: list[tuple[Record, str, str]] = []
    seen: set[str] = set()
    for record in members:
        text, code = _sides(record)
        keys = {text.lower(), summary(record.docstring or "").lower(), code}
        if keys & seen:
            sample.left_out["docstring or code equals another's in the file"] += 1
            continue
        seen |= keys
        kept.append((record, text, code))
    return kept


def build(records: list[Record], want: Want) -> Sample:
    """Two rows per function; files are taken in random order with two functions each, then with one more each."""
    sample = Sample()
    files = [_distinct(members, sample) for members in shuffled_files(records, want.rng)]
    # counted beside those of files that had one from the start: here equal docstrings left only one
    sample.left_out["only usable one in the file"] += sum(len(members) == 1 for members in files)
    files = [members for members in files if len(members) > 1]
    room = want.rows // 2
    take = [0] * len(files)
    for turn in range(1, max(map(len, files), default=0)):
        for i, members in enumerate(files):
            more = 2 if turn == 1 else 1
            if turn < len(members) and room >= more:
                take[i] += more
                room -= more
    for members, count in zip(files, take, strict=True):
        sample.left_out["not needed"] += len(members) - count
        if not count:
            continue
        sides = [
            (sample.add_input(record, text), sample.add_input(record, code)) for record, text, code in members[:count]
        ]
        for i, (text_id, code_id) in enumerate(sides):
            other = sides[(i + 1) % count][1]
            sample.rows.append({"input": text_id, "input2": code_id, "label": CLASSES.index("MATCH")})
            sample.rows.append({"input": text_id, "input2": other, "label": CLASSES.index("MISMATCH")})
    return sample
