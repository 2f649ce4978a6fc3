"""What each rule reads and writes: its folder, the artifacts and the sources it is made from. Phases write through it.

Reads what lies outside the build folder, to take its sum; writes nothing by itself.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurosieve.artifacts import Paths, Writer, sha256_file
from neurosieve.config import SPLITS, Params
from neurosieve.config.names import PHASE_RULES
from neurosieve.config.source_tree import SourceTree, source_tree

DEV = ("train", "tune", "judge")
# Rules that load a model: its files are sources of them.
MODEL_RULES = (
    "finetune_model", "dump_activations", "ablate_neurons", "attribute_neurons", "measure_faithfulness",
    "measure_effects", "apply_lens", "find_language_neurons",
)  # fmt: skip
PHASE_OF = {rule: phase for phase, rules in PHASE_RULES.items() for rule in rules}


@dataclass(frozen=True)
class Source:
    """What a rule reads from outside the build folder.

    label : its name in manifests, without a folder of this machine. pinned : the sum that the params file gives it; its
    reader refuses another. path : where it lies, None of what a cache has by its sum. language : of a folder of code.
    """

    label: str
    pinned: str | None = None
    path: Path | None = None
    language: str | None = None

    @property
    def there(self) -> bool:
        return self.path is not None and self.path.exists()

    def found(self) -> str:
        """Sum of what lies at ``path``, each file read once in a process."""
        assert self.path is not None
        if self.language is not None:
            return tree_sha256(source_tree(self.path, self.language))
        stat = self.path.stat()
        return _file_sum(self.path.as_posix(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def sha256(self) -> str:
        """What a manifest says of it: the pinned sum, or that of the file."""
        return self.pinned if self.pinned is not None else self.found()


@functools.cache
def _file_sum(path: str, *changed: int) -> str:
    return sha256_file(Path(path))


def tree_sha256(tree: SourceTree) -> str:
    """sha256 of the paths of source files below their folder, and of their bytes."""
    sum_of_all = hashlib.sha256()
    for name, path in tree.files.items():
        sum_of_all.update(f"{name} {sha256_file(path)}\n".encode())
    return sum_of_all.hexdigest()


def folder_of(paths: Paths, rule: str, **wildcards: str) -> Path:
    """Folder of the artifact of a rule; of `prepare_task` without a split that of the card."""
    folders: dict[str, Any] = {
        "extract_corpus": paths.corpus,
        "prepare_task": lambda task, split="card": paths.task(task) / split,
        "finetune_model": paths.finetuned,
        "dump_activations": paths.activations,
        "measure_redundancy": paths.redundancy,
        "fit_baselines": paths.baselines,
        "fit_probes": paths.probes,
        "fit_controls": paths.controls,
        "decide_status": paths.status,
        "search_subsets": paths.search,
        "check_robustness": paths.robustness,
        "transfer_subsets": paths.transfer,
        "score_test": paths.scores,
        "reproduce_published": paths.published,
        "describe_neurons": paths.concepts,
        "ablate_neurons": paths.ablation,
        "attribute_neurons": paths.attribution,
        "measure_faithfulness": paths.faithfulness,
        "measure_effects": paths.effects,
        "apply_lens": paths.lens,
        "find_language_neurons": paths.languages,
        "build_leaderboard": paths.leaderboard,
        "build_site": paths.site,
    }
    found: Path = folders[rule](**wildcards)
    return found


def inputs_of(
    params: Params,
    paths: Paths,
    rule: str,
    *,
    corpus: str = "",
    model: str = "",
    task: str = "",
    split: str = "",
    lens: str = "",
) -> list[Path]:
    """Artifact folders that one artifact of a rule is made from."""

    def tasks(*parts: str, of: str = task) -> list[Path]:
        return [paths.task(of) / part for part in parts]

    def dumps(*splits: str, of: str = task) -> list[Path]:
        return [paths.activations(model, of, part) for part in splits]

    def tuned() -> list[Path]:
        return [paths.finetuned(model, task)] if params.finetunes(model, task) else []

    if rule == "extract_corpus":
        return []
    if rule == "prepare_task":
        return list(map(paths.corpus, params.task_corpora(task))) if split else tasks(*SPLITS)
    if rule == "finetune_model":
        return tasks("train", "card")
    if rule == "dump_activations":
        return [*tasks(split), *tuned()]
    if rule == "measure_redundancy":
        return [*tasks("train"), *dumps("train")]
    if rule == "fit_baselines":
        return tasks(*DEV, "card")
    if rule == "fit_probes":
        return [*tasks(*DEV, "card"), *dumps(*DEV)]
    if rule == "fit_controls":
        return [*tasks("train", "card"), *dumps("train"), paths.probes(model, task)]
    if rule == "decide_status":
        of_tasks = [folder for t in params.run.tasks for folder in (*tasks("judge", "card", of=t), paths.baselines(t))]
        return [*of_tasks, *(paths.probes(m, t) for t in params.run.tasks for m in params.probed)]
    if rule in ("search_subsets", "check_robustness"):
        of_row = [*tasks(*DEV, "card"), *dumps(*DEV), paths.baselines(task)]
        of_row += [paths.probes(name, task) for name in (model, *params.twins_of(model))]
        return of_row if rule == "search_subsets" else [*of_row, paths.search(model, task)]
    if rule == "transfer_subsets":
        of_tasks = [folder for t in params.run.tasks for folder in (*tasks(*DEV, "card", of=t), *dumps(*DEV, of=t))]
        return [*of_tasks, *(folder(model, t) for folder in (paths.probes, paths.search) for t in params.run.tasks)]
    if rule == "score_test":
        twins = params.twins_of(model)
        return [
            *tasks("test", "card"),
            *(paths.activations(m, task, "test") for m in (model, *twins)),
            *(paths.probes(m, task) for m in twins),
            paths.search(model, task),
            paths.baselines(task),
            paths.controls(model, task),
            paths.status(),
        ]
    if rule == "reproduce_published":
        return [*tasks(*SPLITS, "card"), *dumps(*SPLITS)]
    if rule == "describe_neurons":
        return [*tasks("judge", "card"), *dumps("train", "judge"), paths.search(model, task)]
    if rule == "ablate_neurons":
        return [*tasks("judge", "card"), *dumps("train"), paths.search(model, task), *tuned()]
    if rule == "attribute_neurons":
        of_row = [*tasks("train", "judge", "card"), *dumps("train", "judge"), paths.probes(model, task)]
        return [*of_row, paths.search(model, task), *tuned()]
    if rule == "measure_faithfulness":
        own = [paths.attribution(model, task)] if params.concepts.attribution is not None else []
        searches = [paths.search(name, task) for name in (model, *params.searched_twins_of(model))]
        # train rows for the means of a task's own head
        of_row = [*tasks("train", "judge", "card"), *dumps("train", "judge"), paths.probes(model, task)]
        return [*of_row, *searches, *own, *tuned()]
    if rule == "measure_effects":
        return [
            folder
            for t in params.run.tasks
            for folder in (*tasks("judge", "card", of=t), *dumps("train", "judge", of=t), paths.search(model, t))
        ]
    if rule == "apply_lens":
        opened = params.lens_rows(lens, model, task)
        return [
            *(folder for t in dict.fromkeys(t for _, t in opened) for folder in tasks(*DEV, "card", of=t)),
            *(paths.activations(m, t, split) for m, t in opened for split in DEV),
            *(folder(m, t) for m, t in opened for folder in (paths.probes, paths.search)),
            *tuned(),
        ]
    if rule == "find_language_neurons":
        return list(map(paths.corpus, params.language_corpora))
    if rule == "build_leaderboard":
        return _leaderboard_inputs(params, paths)
    if rule == "build_site":
        return [paths.leaderboard()]
    raise KeyError(rule)


def _leaderboard_inputs(params: Params, paths: Paths) -> list[Path]:
    tasks, cells = params.run.tasks, [(m, t) for m in params.run.models for t in params.run.tasks]
    of_trained = [(m, t) for m in params.trained_models for t in tasks]
    per_row = (paths.redundancy, paths.probes, paths.controls, paths.search, paths.scores, paths.concepts)
    return [
        *(paths.task(t) / part for t in tasks for part in ("card", "test")),
        *(paths.baselines(t) for t in tasks),
        *(paths.activations(m, t, "train") for m, t in cells),
        paths.status(),
        *(paths.robustness(m, t) for m in params.asked for t in tasks),
        *(paths.transfer(m) for m in params.run.models if params.subsets.transfer),
        *(folder(m, t) for folder in per_row for m, t in cells),
        *(paths.ablation(m, t) for m, t in cells if params.concepts.ablation is not None),
        *(paths.attribution(m, t) for m, t in of_trained if params.concepts.attribution is not None),
        *(paths.faithfulness(m, t) for m, t in of_trained if params.concepts.faithfulness is not None),
        *(paths.effects(m) for m in params.trained_models if params.concepts.effects is not None),
        *(paths.lens(lens, m, t) for lens in params.lenses for m, t in of_trained),
        *(paths.languages(m) for m in params.trained_models if params.concepts.languages is not None),
        *(paths.published(m, t) for m, t in cells if "published" in params.run.protocols),
    ]


def sources_of(
    params: Params,
    rule: str,
    *,
    corpus: str = "",
    model: str = "",
    task: str = "",
    split: str = "",
    lens: str = "",
) -> Iterator[Source]:
    """What one artifact of a rule is made from that lies outside the build folder. Models and datasets of the hub are
    none: a commit pins them."""
    if rule == "extract_corpus":
        entry = params.prepare.corpora[corpus]
        for package in entry.wheels or ():
            yield Source(f"{package.requirement}.whl", package.sha256)
        if entry.folder is not None and entry.files is None:
            yield Source("folder", entry.sha256, params.resolve(entry.folder), entry.language)
        for role, path in params.data_files(entry.folder or "", entry.files or {}).items():
            yield Source(role, (entry.files or {})[role].sha256, path)
    elif rule == "prepare_task" and split:
        own = params.prepare.tasks[task]
        for role, path in params.data_files(own.folder or "", own.files or {}).items():
            yield Source(role, (own.files or {})[role].sha256, path)
    elif rule in MODEL_RULES:
        wheel = params.models[params.trained(model)].wheel
        if wheel is not None:
            yield Source(f"{wheel.requirement}.whl", wheel.sha256)
        of = None if rule == "finetune_model" else task or None
        folder = params.model_folder(model, of)
        for name in params.model_files(model, of):
            yield Source(Path(name).relative_to(folder or "").as_posix(), None, Path(name))
    elif rule == "build_leaderboard":
        for name in params.figure_files():
            yield Source("published_figures", None, Path(name))


def source_sums(params: Params, rule: str, **wildcards: str) -> dict[str, str]:
    """label -> sha256 of :func:`sources_of`, as manifests have it."""
    return {source.label: source.sha256() for source in sources_of(params, rule, **wildcards)}


def settings_of(params: Params, rule: str, **wildcards: str) -> dict[str, Any]:
    """What of the params file one artifact of a rule depends on; the split chooses none of it."""
    return params.settings(rule, **{key: name for key, name in wildcards.items() if key != "split"})


def writer(params: Params, paths: Paths, rule: str, to: Paths | None = None, **wildcards: str) -> Writer:
    """The Writer of one artifact of a rule; ``wildcards`` are those of the rule, and ``split`` where it has several.

    to : paths where it is written, if these are others than those of its inputs.
    """
    return Writer(
        folder_of(to or paths, rule, **wildcards),
        PHASE_OF[rule],
        settings_of(params, rule, **wildcards),
        inputs_of(params, paths, rule, **wildcards),
        rule=rule,
        wildcards=wildcards,
        sources=source_sums(params, rule, **wildcards),
        build=paths.root,
    )
