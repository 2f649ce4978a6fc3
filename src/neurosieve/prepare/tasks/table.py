"""table: texts with a class or a number, one in each row of a table or of a dataset of the Hugging Face hub.

Reads .jsonl, .csv (both also .gz), .parquet or .arrow; the task's `columns:` name the columns. Roles: `all`, split by
`packages:`, `shares:` or the column `split`, or `train`, `dev` and `test`. Without a column `package` a row's split
stands for its package, without a column `file` a row counts as a file: intervals are too narrow then where rows belong
together.
"""

from __future__ import annotations

from pathlib import Path

from neurosieve.config import HubDataset, Task
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import sequence_sample, too_long
from neurosieve.prepare.table import dataset_records, table_records

UNIT = "sequence"
SOURCE = "folder"
ROLES = {"all": False, "train": False, "dev": False, "test": False}
KEYS = ("columns", "balanced")
CLASSES = None
DESCRIPTION = "Which class or number the user's table gives a text."
PER_FILE = 1

build = sequence_sample


def read(files: dict[str, Path], task: Task) -> list[Record]:
    """Records of the files; raises as :func:`neurosieve.prepare.table.table_records` does."""
    return table_records(files, task, pair=False)


def read_dataset(dataset: HubDataset, task: Task) -> list[Record]:
    """Records of a dataset of the hub."""
    return dataset_records(dataset, task, pair=False)


def why_not(record: Record, task: Task) -> str | None:
    return too_long(record.text, task)
