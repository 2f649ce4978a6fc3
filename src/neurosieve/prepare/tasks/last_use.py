"""last-use: is this the last mention of a variable in its function? Mentions: `mentions`.

The answer stands in the text below, often far below; the name and its neighbours hint at it (`return x`), no more.
"""

from __future__ import annotations

from neurosieve.config import Task
from neurosieve.prepare.python_tokens import MENTIONS, mentions
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import Sample, Want, token_sample, too_long

UNIT = "token"
SOURCE = "corpus"
KEYS = ("balanced", "cap_per_type", "max_rows_per_input", "leave_out")
CLASSES = MENTIONS
DESCRIPTION = "Whether a variable or parameter of a Python function is mentioned again below in the function."
PER_FILE = 1


def why_not(record: Record, task: Task) -> str | None:
    return too_long(record.text, task)


def build(records: list[Record], want: Want) -> Sample:
    return token_sample(records, want, mentions)
