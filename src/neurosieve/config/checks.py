"""What one block of params.yaml says of another: names that must exist, keys that go together."""

from __future__ import annotations

from neurosieve.config.base import suggest
from neurosieve.config.names import (
    CONTROL_RANKINGS,
    attribution_names,
    ranking_names,
    ranks_numbers,
    signed,
    task_kinds,
)
from neurosieve.config.params import Params


def cross_checks(params: Params) -> list[tuple[tuple[str | int, ...], str]]:
    faults: list[tuple[tuple[str | int, ...], str]] = []

    def known(keys: tuple[str | int, ...], name: str, names: list[str], what: str) -> bool:
        if name in names:
            return True
        faults.append((keys, f"found {name!r}, which is no {what}; {suggest(name, names)}"))
        return False

    faults += _same_files(params)
    named = {"models": params.run.models, "twins": params.run.twins}
    for place, model in ((("run", key, i), name) for key, names in named.items() for i, name in enumerate(names)):
        if not known(place, model, list(params.models), "model under `models:`"):
            continue
        entry = params.models[model]
        if entry.untrained is not None:
            trained = [name for name, other in params.models.items() if other.untrained is None]
            known(("models", model, "untrained"), entry.untrained, trained, "trained model under `models:`")
        if place[1] == "twins":
            faults += [(place, why) for why in _no_twin(params, model)]
        if "published" in params.run.protocols and params.models[params.trained(model)].only_layers is not None:
            fault = "the protocol `published` takes every layer; take `published` from run.protocols, or this out"
            faults.append((("models", params.trained(model), "only_layers"), fault))
        if params.numerics == "portable" and params.activations.dtype != "float32":
            faults.append((("activations", "dtype"), "portable numerics need float32; or write `numerics: fast`"))
        tasks = list(params.prepare.tasks)
        for tuned in entry.folders:
            known(("models", model, "folders", tuned), tuned, tasks, "task under `prepare.tasks:`")
        for j, tuned in enumerate(entry.finetune.tasks if entry.finetune is not None else ()):
            key = ("models", model, "finetune", "tasks", j)
            if known(key, tuned, tasks, "task under `prepare.tasks:`") and tuned in entry.folders:
                faults.append((key, f"{tuned!r} has a folder under `folders:` already; keep one"))
    for i, name in enumerate(params.run.tasks):
        if not known(("run", "tasks", i), name, list(params.prepare.tasks), "task under `prepare.tasks:`"):
            continue
        task = params.prepare.tasks[name]
        at = ("prepare", "tasks", name)
        known((*at, "kind"), task.kind, task_kinds(), "kind of task")
        if sum(source is not None for source in (task.corpus, task.folder, task.dataset)) != 1:
            faults.append((at, "give exactly one of `corpus:`, `folder:` and `dataset:`"))
        if (task.folder is None) != (task.files is None):
            faults.append((at, "`folder:` and `files:` go together: a folder, and its files with their sha256"))
        if task.packages is not None and task.shares is not None:
            faults.append((at, "`packages:` and `shares:` both say the splits; keep one"))
        if task.corpus is not None and known((*at, "corpus"), task.corpus, list(params.prepare.corpora), "corpus"):
            corpus = params.prepare.corpora[task.corpus]
            if task.packages is None and task.shares is None:
                faults.append((at, "a task on a corpus needs `packages:` with train, dev and test, or `shares:`"))
            elif corpus.wheels is not None:
                names, what = [w.name for w in corpus.wheels], f"wheel of corpus {task.corpus!r}"
                for split in ("train", "dev", "test") if task.packages is not None else ():
                    for j, package in enumerate(getattr(task.packages, split)):
                        known((*at, "packages", split, j), package, names, what)
                for j, package in enumerate(task.shares.held_out if task.shares is not None else ()):
                    known((*at, "shares", "held_out", j), package, names, what)
    attribution, faithfulness = params.concepts.attribution, params.concepts.faithfulness
    for i, name in enumerate(attribution.methods if attribution is not None else ()):
        known(("concepts", "attribution", "methods", i), name, attribution_names(), "attribution method")
    methods = attribution.methods if attribution is not None else ()
    causal = [*methods, *(f"{name}.signed" for name in methods if name in attribution_names() and signed(name))]
    for i, name in enumerate(faithfulness.orders if faithfulness is not None else ()):
        orders = ["chosen", *params.probes.rankings, *causal]
        known(("concepts", "faithfulness", "orders", i), name, orders, "order: chosen, a ranking, or a causal one")
    languages = params.concepts.languages
    for language, source in languages.sources.items() if languages is not None else ():
        places = ("concepts", "languages", "sources", language, "corpus")
        known(places, source.corpus, list(params.prepare.corpora), "corpus")
    numbers = [name for name in params.run.tasks if (t := params.prepare.tasks.get(name)) and t.metric == "r2"]
    judged_by: list[tuple[tuple[str | int, ...], str]] = []
    if params.subsets.headline in params.subsets.rankings:
        judged_by.append((("subsets", "headline"), params.subsets.headline))
    if params.subsets.pipeline is not None:
        judged_by.append((("subsets", "pipeline", "ranking"), params.subsets.pipeline.ranking))
    for keys, ranking in judged_by:
        if numbers and not ranks_numbers(ranking):
            able = [n for n in ranking_names() if ranks_numbers(n) and n not in CONTROL_RANKINGS]
            found = f"{ranking!r} ranks by classes, and task {numbers[0]!r} has `metric: r2`, a number"
            faults.append((keys, f"{found}; write one of: {', '.join(able)}"))
    if numbers and not any(ranks_numbers(name) for name in params.subsets.rankings):
        found = f"none of {params.subsets.rankings} ranks for a number, and task {numbers[0]!r} has `metric: r2`"
        able = [n for n in params.probes.rankings if ranks_numbers(n) and n not in CONTROL_RANKINGS]
        faults.append((("subsets", "rankings"), f"{found}; add one of: {', '.join(able) or '(none defined)'}"))
    for i, ranking in enumerate(params.subsets.rankings):
        known(("subsets", "rankings", i), ranking, params.probes.rankings, "ranking under `probes.rankings:`")
    curves = [*params.subsets.contenders, *CONTROL_RANKINGS, *(["pipeline"] if params.subsets.pipeline else [])]
    for i, ranking in enumerate(params.leaderboard.curve_rankings or ()):
        known(
            ("leaderboard", "curve_rankings", i), ranking, curves, "curve: one under `subsets:`, rankings and searches"
        )
    figures = params.leaderboard.published_figures
    if figures is not None:
        own = ("leaderboard", "published_figures")
        for name in figures.tasks:
            known((*own, "tasks", name), name, list(params.prepare.tasks), "task under `prepare.tasks:`")
        for name in figures.models:
            known((*own, "models", name), name, list(params.models), "model under `models:`")
    for margin in params.subsets.margins:
        if margin != "default":
            known(("subsets", "margins", margin), margin, list(params.prepare.tasks), "task under `prepare.tasks:`")
    return faults


def _no_twin(params: Params, name: str) -> list[str]:
    """Why the model cannot stand in ``run.twins``."""
    entry = params.models[name]
    if name in params.run.models:
        return [f"found {name!r}, which is in run.models too and so a row with probes already; keep one"]
    if entry.untrained is None:
        return [f"found {name!r}, which is no untrained twin; name an entry with `untrained:`, or use run.models"]
    if entry.untrained not in params.run.models:
        return [f"found {name!r}, the twin of {entry.untrained!r}, which does not run; add that to run.models"]
    return []


def _same_files(params: Params) -> list[tuple[tuple[str | int, ...], str]]:
    """Rows and folders are files, which must differ also where a file system takes `Tiny` for `tiny`."""
    faults: list[tuple[tuple[str | int, ...], str]] = []
    of_tasks = [c for t in params.run.tasks if t in params.prepare.tasks for c in params.task_corpora(t)]
    corpora = list(dict.fromkeys([*of_tasks, *params.language_corpora]))
    for keys, names in (
        (("run", "models"), params.probed),
        (("run", "tasks"), params.run.tasks),
        (("prepare", "corpora"), corpora),
    ):
        seen: dict[str, str] = {}
        for name in names:
            other = seen.setdefault(name.lower(), name)
            if other != name:
                faults.append((keys, f"{other!r} and {name!r} are one folder where case does not count; rename one"))
    rows: dict[str, tuple[str, str]] = {}
    for model in dict.fromkeys(name.lower() for name in params.run.models):
        for task in dict.fromkeys(name.lower() for name in params.run.tasks):
            other_row = rows.setdefault(f"{model}__{task}", (model, task))
            if other_row != (model, task):
                faults.append(
                    (
                        ("run", "models"),
                        f"model {other_row[0]!r} on task {other_row[1]!r} and model {model!r} on task {task!r} would "
                        f"both write the row {model}__{task}; rename one of them",
                    )
                )
    return faults
