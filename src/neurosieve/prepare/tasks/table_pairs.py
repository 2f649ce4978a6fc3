"""table-pairs: pairs of texts with a class or a number, one pair in each row of a table or of a dataset of the hub.

Reads what the kind `table` reads, with `columns.right` for the right text. Without a column `file`, a text that stands
in several pairs counts as a file: it is in one split only. With one, pairs of a file are never parted: give pairs that
share a text the same one.
"""

from __future__ import annotations

from pathlib import Path

from neurosieve.config import HubDataset, Task
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import pair_sample, pair_too_long
from neurosieve.prepare.table import dataset_records, table_records

UNIT = "pair"
SOURCE = "folder"
ROLES = {"all": False, "train": False, "dev": False, "test": False}
KEYS = ("columns", "balanced")
CLASSES = None
DESCRIPTION = "Which class or number the user's table gives a pair of texts."
PER_FILE = 1

build = pair_sample


def read(files: dict[str, Path], task: Task) -> list[Record]:
    """Records of the files; raises as :func:`neurosieve.prepare.table.table_records` does."""
    return table_records(files, task, pair=True)


def read_dataset(dataset: HubDataset, task: Task) -> list[Record]:
    """Records of a dataset of the hub."""
    return dataset_records(dataset, task, pair=True)


def why_not(record: Record, task: Task) -> str | None:
    return pair_too_long(record, task)
