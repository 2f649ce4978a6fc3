"""The whole file, and what the workflow asks of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from neurosieve.config.activations import Activations
from neurosieve.config.base import Block, Name
from neurosieve.config.concepts import Concepts
from neurosieve.config.files import DATA_VARIABLE, code_below, files_below, files_there, missing_files
from neurosieve.config.leaderboard import Leaderboard
from neurosieve.config.lenses import lens_facts
from neurosieve.config.models import Model
from neurosieve.config.names import CONTROL_RANKINGS, PACKAGE
from neurosieve.config.prepare import DataFile, Prepare
from neurosieve.config.probes import Probes
from neurosieve.config.published import Published
from neurosieve.config.redundancy import Redundancy
from neurosieve.config.run import Run
from neurosieve.config.settings import rule_settings
from neurosieve.config.source_tree import source_tree
from neurosieve.config.subsets import Margin, Subsets


class Params(Block):
    """A whole benchmark. Everything scientific is here; machine facts are in a Snakemake profile."""

    benchmark: Name
    version: int = Field(ge=1, description="raised whenever a score may change")
    seed: int = Field(ge=0, lt=2**32)
    numerics: Literal["portable", "fast"]
    data_root: str = Field(
        "data", description="folder below which data and models are looked for; NEUROSIEVE_DATA names another"
    )
    run: Run
    models: dict[Name, Model]
    prepare: Prepare
    activations: Activations
    redundancy: Redundancy
    probes: Probes
    subsets: Subsets
    published: Published = Field(default_factory=lambda: Published.model_validate({}))
    concepts: Concepts
    leaderboard: Leaderboard

    @property
    def probed(self) -> list[str]:
        """Models that get activations and probes: those that run, then ``run.twins``."""
        return [*self.run.models, *self.run.twins]

    def twins_of(self, model: str) -> list[str]:
        """Untrained twins of ``model`` among those that are probed, in that order; a twin has none."""
        return [name for name in self.probed if self.models[name].untrained == model]

    def searched_twins_of(self, model: str) -> list[str]:
        """Those of them that run, so that their minimal subset is searched too."""
        return [name for name in self.run.models if self.models[name].untrained == model]

    @property
    def asked(self) -> list[str]:
        """Models whose minimal subsets ``subsets.robustness`` asks about: trained ones that run, none where it is
        null."""
        return self.trained_models if self.subsets.robustness is not None else []

    @property
    def trained_models(self) -> list[str]:
        """Models that run and are no untrained twins: what is asked of a model itself is asked of these."""
        return [name for name in self.run.models if self.models[name].untrained is None]

    @property
    def lenses(self) -> list[str]:
        """Names of the lenses that the run looks through."""
        return self.concepts.lenses.names() if self.concepts.lenses is not None else []

    def lens_rows(self, lens: str, model: str, task: str) -> list[tuple[str, str]]:
        """The rows that a lens opens for a row, model and task: its own, and others where its file says so."""
        others = lens_facts(lens).others
        if others is None:
            return [(model, task)]
        if others == "tasks":
            return [(model, task), *((model, other) for other in self.run.tasks if other != task)]
        if others == "twins":
            return [(model, task), *((twin, task) for twin in self.searched_twins_of(model))]
        named = getattr(self.concepts.lenses.of(lens), "models", []) if self.concepts.lenses is not None else []
        return [(model, task), *((other, task) for other in named if other != model)]

    @property
    def corpora(self) -> list[str]:
        """Corpora that the run reads: of its tasks, and of the languages whose neurons are looked for."""
        of_tasks = {corpus for task in self.run.tasks for corpus in self.task_corpora(task)}
        return sorted(of_tasks | set(self.language_corpora))

    @property
    def language_corpora(self) -> list[str]:
        languages = self.concepts.languages
        return [] if languages is None else sorted({source.corpus for source in languages.sources.values()})

    def test_packages(self, corpus: str) -> list[str]:
        """Packages of a corpus that are test packages of a task of the run, sorted."""
        tasks = [self.prepare.tasks[name] for name in self.run.tasks]
        here = [t.packages.test for t in tasks if t.corpus == corpus and t.packages is not None]
        return sorted({package for packages in here for package in packages})

    def task_corpora(self, task: str) -> list[str]:
        corpus = self.prepare.tasks[task].corpus
        return [corpus] if corpus is not None else []

    def resolve(self, name: str) -> Path:
        """A data file or folder of this file: as it is written where that is there, else below the data root.

        In a folder that is no checkout, last of all below the one that the package lies in: the models it brings.
        """
        path = Path(name)
        if path.is_absolute() or path.exists():
            return path
        below, brought = Path(self.root) / path, PACKAGE.parents[1] / path
        return brought if not below.exists() and brought.exists() and not Path("src/neurosieve").exists() else below

    def places(self, name: str) -> str:
        """Where `resolve` looks for what is not there, for a message."""
        return name if Path(name).is_absolute() else f"{name}, nor {self.resolve(name)}"

    @property
    def root(self) -> str:
        return os.environ.get(DATA_VARIABLE) or self.data_root

    def corpus_files(self, corpus: str) -> list[str]:
        """Files of a folder corpus that are there; none for wheels, which are named by their hash."""
        entry = self.prepare.corpora[corpus]
        if entry.folder is None:
            return []
        if entry.files is not None:
            return files_there(self.data_files(entry.folder, entry.files))
        tree = source_tree(self.resolve(entry.folder), entry.language)
        return sorted(path.as_posix() for path in tree.files.values())

    def task_files(self, task: str) -> list[str]:
        """Files of a folder task that are there, of those that its entry names."""
        entry = self.prepare.tasks[task]
        return files_there(self.data_files(entry.folder, entry.files or {})) if entry.folder is not None else []

    def data_files(self, folder: str, files: dict[str, DataFile]) -> dict[str, Path]:
        """Role -> path of a dataset's files, there or not."""
        return {role: self.resolve(folder) / file.name for role, file in files.items()}

    def data_of_run(self) -> Iterator[tuple[str, str | None, dict[str, DataFile] | None]]:
        """Key, folder and files of every entry that the run reads; a corpus of several tasks comes each time."""
        for name in self.run.tasks:
            task = self.prepare.tasks[name]
            yield f"prepare.tasks.{name}", task.folder, task.files
            for corpus in self.task_corpora(name):
                yield self._of_corpus(corpus)
        yield from map(self._of_corpus, self.language_corpora)

    def _of_corpus(self, corpus: str) -> tuple[str, str | None, dict[str, DataFile] | None]:
        entry = self.prepare.corpora[corpus]
        return f"prepare.corpora.{corpus}", entry.folder, entry.files

    def figure_files(self) -> list[str]:
        """The file of published figures that the leaderboard reads, if any."""
        figures = self.leaderboard.published_figures
        return [self.resolve(figures.file).as_posix()] if figures is not None else []

    def trained(self, model: str) -> str:
        """The model itself, or the one that an untrained twin is the twin of."""
        return self.models[model].untrained or model

    def finetunes(self, model: str, task: str) -> bool:
        """Whether the model is trained on the task's train split before its activations are taken."""
        finetune = self.models[model].finetune
        return finetune is not None and task in finetune.tasks

    def training(self, model: str, task: str) -> str:
        """What was done to the model for the task before its activations were taken; the leaderboard says it."""
        entry = self.models[model]
        if self.finetunes(model, task):
            return "fine-tuned here" if entry.untrained is None else "trained from scratch"
        if entry.untrained is not None:
            return "untrained"
        return "fine-tuned folder" if task in entry.folders else "frozen"

    def model_folder(self, model: str, task: str | None = None) -> Path | None:
        """Folder of the model, of the trained one for an untrained twin; None for a model in a wheel or hub.

        With a task: the folder that the model has for it.
        """
        entry = self.models[self.trained(model)]
        path = entry.path if self.models[model].untrained is not None else entry.folders.get(task or "", entry.path)
        return None if path is None else self.resolve(path)

    def model_files(self, model: str, task: str | None = None) -> list[str]:
        """Files of :meth:`model_folder`, none where there is none."""
        entry, folder = self.models[self.trained(model)], self.model_folder(model, task)
        if folder is None:
            return []
        kinds = ("*.json", "*.txt", "*.model", "*.safetensors") + (("*.bin",) if entry.weights == "bin" else ())
        return sorted({*files_below(folder, *kinds), *(p.as_posix() for p in code_below(folder) if p.is_file())})

    def curve_rankings(self) -> list[str]:
        """Rankings and searches whose curves the page has."""
        named = self.leaderboard.curve_rankings
        return [*self.subsets.contenders, *CONTROL_RANKINGS] if named is None else list(named)

    def margin(self, task: str) -> Margin:
        return self.subsets.margins.get(task, self.subsets.margins["default"])

    def missing_files(self) -> list[str]:
        """What the run's tasks and models need and this machine has not, with where to get it; a line each."""
        return missing_files(self)

    def settings(
        self,
        rule: str,
        *,
        corpus: str | None = None,
        model: str | None = None,
        task: str | None = None,
        lens: str | None = None,
    ) -> dict[str, Any]:
        """What of this file a rule's result depends on, as plain values: Snakemake reruns the rule when it changes.

        The dotted keys a phase reads are PHASE_KEYS; here they are narrowed to the wildcards at hand.
        """
        return rule_settings(self, rule, corpus=corpus, model=model, task=task, lens=lens)
