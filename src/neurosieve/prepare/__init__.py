"""Phase `prepare`: functions of a corpus, and the labelled rows of a task in four splits.

`extract_corpus` writes prepare/corpora/<corpus>; `prepare_task` reads it, or a user's files, and writes
prepare/tasks/<task>/{train,tune,judge,test}, each with inputs.jsonl and rows.jsonl, and prepare/tasks/<task>/card.
Other phases fetch wheels with the module `wheels` of this package, so nothing is imported here before it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurosieve.artifacts import Paths
    from neurosieve.config import Params


def extract_corpus(params: Params, paths: Paths, *, corpus: str) -> None:
    """Write the functions of a corpus of params.yaml; see :func:`neurosieve.prepare.corpus.extract_corpus`."""
    from neurosieve.prepare.corpus import extract_corpus as run

    run(params, paths, corpus=corpus)


def prepare_task(params: Params, paths: Paths, *, task: str) -> None:
    """Write the splits and the card of a task of params.yaml; see :func:`neurosieve.prepare.task.prepare_task`."""
    from neurosieve.prepare.task import prepare_task as run

    run(params, paths, task=task)
