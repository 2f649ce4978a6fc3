"""token-classes: the lexical class of a token (METHOD 5: weak, a lookup solves it; kept for parity with the paper)."""

from __future__ import annotations

from neurosieve.config import Task
from neurosieve.prepare.python_tokens import LEXICAL, lexical
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import Sample, Want, token_sample, too_long

UNIT = "token"
SOURCE = "corpus"
KEYS = ("balanced", "cap_per_type", "max_rows_per_input", "leave_out")
CLASSES = LEXICAL
DESCRIPTION = "Whether a token of a Python function is a keyword, name, number, string, operator or comment."
PER_FILE = 1


def why_not(record: Record, task: Task) -> str | None:
    return too_long(record.text, task)


def build(records: list[Record], want: Want) -> Sample:
    return token_sample(records, want, lexical)
