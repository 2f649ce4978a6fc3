"""What a dump makes on the way for other tasks of its model: a text that several need is run once.

The job of one task computes all tasks of the run whose activations are not there yet, its own artifact and the others
beside it, in build/.ready/<benchmark>/activations. The job of another task finds its own there and takes it: moves it
to its place, without loading a model. Where it finds none, it computes; the bytes are the same (activations.batches),
and no manifest tells. So each task keeps a job of its own, which depends on nothing of the others.

Jobs of one model wait for each other on this machine. On a cluster, under `numerics: fast`, where company changes bits,
and for a model with weights of its own for the task, each job computes alone.
Reads manifests; writes nothing but by moving what a dump wrote.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from neurosieve.artifacts import Paths
from neurosieve.chain import Chain
from neurosieve.config import SPLITS, Params

RULE = "dump_activations"


class Company:
    """The other tasks that a dump of a model and a task makes ready, or that made this one ready."""

    def __init__(self, params: Params, paths: Paths, *, model: str, task: str) -> None:
        self.params, self.paths, self.model, self.task = params, paths, model, task
        self.ready = ready(paths)
        #: tasks for which the model has the same weights
        self.tasks = [t for t in params.run.tasks if not params.finetunes(model, t) and not self._folder(t)]
        self.shares = params.numerics == "portable" and "SLURM_JOB_ID" not in os.environ and task in self.tasks

    def _folder(self, task: str) -> bool:
        entry = self.params.models[self.model]
        return entry.untrained is None and task in entry.folders

    def take(self) -> bool:
        """Move the artifact of this task to its place, all splits of it; False where it is not ready."""
        if not self.shares or not self._is_ready(self.task):
            return False
        for split in SPLITS:
            target = self.paths.activations(self.model, self.task, split)
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._at(self.task, split).replace(target)
        self._tidy(self.task)
        return True

    def others(self) -> list[str]:
        """Tasks whose activations are wanted, not there and not ready, and whose inputs are those of this run."""
        if not self.shares:
            return []
        chain = Chain(self.params, self.paths, sources=False)
        found = []
        for task in self.tasks:
            if task == self.task or self._is_ready(task):
                continue
            made = chain.of_job(RULE, {"model": self.model, "task": task})
            inputs = [a for a in chain.below(a.folder for a in made) if a not in made]
            if not chain.faults(inputs, contents=True) and chain.faults(made):
                found.append(task)
        return found

    def drop(self) -> None:
        """Take away what was made ready: where the model's files changed meanwhile, its manifests may be wrong."""
        shutil.rmtree(self._at(self.task, SPLITS[0]).parents[1], ignore_errors=True)

    def _at(self, task: str, split: str) -> Path:
        return self.ready.activations(self.model, task, split)

    def _is_ready(self, task: str) -> bool:
        """Whether all splits of it are there and of this run; what is not whole, or not of it, is taken away."""
        whole = self._at(task, SPLITS[0]).parent
        if not whole.is_dir():
            return False
        chain = Chain(self.params, self.paths)
        made = chain.of_job(RULE, {"model": self.model, "task": task})
        if all(chain.own(replace(a, folder=self._at(task, a.wildcards["split"]))) is None for a in made):
            return True
        shutil.rmtree(whole)
        self._tidy(task)
        return False

    def _tidy(self, task: str) -> None:
        """Remove the folders around what is ready that are empty now."""
        folder = self._at(task, SPLITS[0]).parent
        while folder != self.ready.root and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent


def ready(paths: Paths) -> Paths:
    """Where a dump puts the artifacts of other tasks: beside the benchmark's folder, so that no stage has it."""
    return Paths(paths.root.name, paths.root.parent / ".ready")


@contextmanager
def of(params: Params, paths: Paths, *, model: str, task: str) -> Iterator[Company]:
    """The company of a dump, one job of a model at a time."""
    company = Company(params, paths, model=model, task=task)
    if not company.shares:
        yield company
        return
    try:
        import fcntl
    except ImportError:  # no such locks: nothing is shared
        company.shares = False
        yield company
        return
    company.ready.root.mkdir(parents=True, exist_ok=True)
    with (company.ready.root / f"{model}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another dump of {model}, which may make this one too", file=sys.stderr)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            company.shares = False
        yield company
