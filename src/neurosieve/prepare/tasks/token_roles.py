"""token-roles: what part a name plays (METHOD 5: sound, 73.6 % of names are ambiguous). Roles: `identifiers`."""

from __future__ import annotations

from neurosieve.config import Task
from neurosieve.prepare.python_tokens import ROLES, identifiers
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import Sample, Want, token_sample, too_long

UNIT = "token"
SOURCE = "corpus"
KEYS = ("balanced", "cap_per_type", "max_rows_per_input", "leave_out")
CLASSES = ROLES
DESCRIPTION = "Which role a name plays in a Python function, for example a variable read, a parameter or a method call."
PER_FILE = 1


def why_not(record: Record, task: Task) -> str | None:
    return too_long(record.text, task)


def build(records: list[Record], want: Want) -> Sample:
    return token_sample(records, want, identifiers)
