"""enclosing-block: does a name stand in a loop, in a branch, or in neither? Blocks: `blocks`.

What the block hangs on stands lines above; the indentation tells how deep a line is, not what it is in.
"""

from __future__ import annotations

from neurosieve.config import Task
from neurosieve.prepare.python_tokens import BLOCKS, blocks
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import Sample, Want, token_sample, too_long

UNIT = "token"
SOURCE = "corpus"
KEYS = ("balanced", "cap_per_type", "max_rows_per_input", "leave_out")
CLASSES = BLOCKS
DESCRIPTION = "Whether the innermost block around a name in a Python function is a loop, a branch or the body itself."
PER_FILE = 1


def why_not(record: Record, task: Task) -> str | None:
    return too_long(record.text, task)


def build(records: list[Record], want: Want) -> Sample:
    return token_sample(records, want, blocks)
