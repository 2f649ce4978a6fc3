"""name-scope: where a name that is read is bound: a parameter, a local variable or outside. Scopes: `scoped_reads`.

The name itself tells little, and nor does its neighbourhood: the binding stands anywhere above it in the function.
"""

from __future__ import annotations

from neurosieve.config import Task
from neurosieve.prepare.python_tokens import SCOPES, scoped_reads
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import Sample, Want, token_sample, too_long

UNIT = "token"
SOURCE = "corpus"
KEYS = ("balanced", "cap_per_type", "max_rows_per_input", "leave_out")
CLASSES = SCOPES
DESCRIPTION = "Whether a name read in a Python function is a parameter, a local variable or bound outside the function."
PER_FILE = 1


def why_not(record: Record, task: Task) -> str | None:
    return too_long(record.text, task)


def build(records: list[Record], want: Want) -> Sample:
    return token_sample(records, want, scoped_reads)
