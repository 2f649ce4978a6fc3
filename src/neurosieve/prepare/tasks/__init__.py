"""Kinds of tasks: one file each, found by its name (`token-roles` is token_roles.py). Add a file to add a kind.

A kind is a module with

UNIT         "token" (rows label stretches of an input), "sequence" (one label per input) or "pair" (of two inputs)
SOURCE       "corpus" (records are functions of a corpus) or "folder" (records are a user's data; `read` gives them)
CLASSES      names of the classes, a row's label being the index; None: the task's `classes:`, or the labels of the
             records, sorted
DESCRIPTION  one sentence for the task's card
PER_FILE     fewest usable records of a file from which rows can be made
why_not(record, task)   why a record cannot be used, in a few words, or None
build(records, want)    a Sample from the usable records of one split; all chance from want.rng
ROLES                   only SOURCE "folder": {role: required}, the roles that the task's `files:` can have
read(files, task)       only SOURCE "folder": the records of the files, {role: path}; their sha256 were checked before.
                        PrepareError naming file and line (key) of bad data, what was found and what to write instead
classes(task, language) optional: the classes, where they depend on the task's entry or on the corpus's language
LANGUAGES               optional, only SOURCE "corpus": languages that it reads, by default Python alone
KEYS                    optional: which of OPTIONAL_KEYS of a task's entry the kind reads; the others are refused
RESAMPLED               optional: (key of an input, a word), what intervals draw: by default ("file", "files")
read_dataset(dataset, task)   optional: the records of a dataset of the hub, for tasks with `dataset:`

`read` makes its records with :func:`neurosieve.prepare.records.make_record`; `split` of a record is "train", "dev" or
"test" where the data give it, else None. `build` of sequences and pairs is :func:`neurosieve.prepare.sampling.
sequence_sample` and `pair_sample` unless a kind has its own way to make rows.

The contract tests run on every kind: SOURCE "corpus" on tests/data/tiny_corpus, "folder" on tests/data/tiny_<kind>.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Literal, Protocol, cast

from neurosieve.config import HubDataset, Task, task_kinds
from neurosieve.prepare.records import PrepareError, Record
from neurosieve.prepare.sampling import Sample, Want

#: Keys of a task's entry that some kinds read.
OPTIONAL_KEYS = (
    "columns", "negatives", "tagset", "misaligned", "balanced", "cap_per_type", "max_rows_per_input", "leave_out",
)  # fmt: skip


class Kind(Protocol):
    """The interface of a module of this folder; see the module's docstring."""

    UNIT: Literal["token", "sequence", "pair"]
    SOURCE: Literal["corpus", "folder"]
    CLASSES: tuple[str, ...] | None
    DESCRIPTION: str
    PER_FILE: int
    ROLES: dict[str, bool]

    def classes(self, task: Task, language: str) -> tuple[str, ...]: ...

    def why_not(self, record: Record, task: Task) -> str | None: ...

    def build(self, records: list[Record], want: Want) -> Sample: ...

    def read(self, files: dict[str, Path], task: Task) -> list[Record]: ...

    def read_dataset(self, dataset: HubDataset, task: Task) -> list[Record]: ...


def load_kind(name: str) -> Kind:
    """The module of a kind; PrepareError where there is none, or where it lacks a part of the interface."""
    if name not in task_kinds():
        raise PrepareError(f"found kind {name!r}; write one of: {', '.join(task_kinds())}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    parts = ["UNIT", "SOURCE", "CLASSES", "DESCRIPTION", "PER_FILE", "why_not", "build"]
    parts += ["ROLES", "read"] if getattr(module, "SOURCE", None) == "folder" else []
    missing = [part for part in parts if not hasattr(module, part)]
    if missing:
        raise PrepareError(f"{module.__name__} lacks {', '.join(missing)}; see neurosieve/prepare/tasks/__init__.py")
    return cast(Kind, module)
