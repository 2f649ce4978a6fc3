"""Which keys of a params file make a job or a run smaller, with the numbers they would give.

Told by `neurosieve plan` where a job needs more memory than the machine has, or a run more than a day, and by a job
that runs out of memory. Reads the estimates alone; imports nothing heavy.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurosieve import estimates
from neurosieve.config import Params
from neurosieve.memory import asked

DAY = 24 * 3600
LESS = 0.95  # a change that leaves more than this is not worth a line
ROWS = "prepare.tasks.{task}.rows"
# Rule -> keys that its memory goes with. Those that the estimates do not count are named without numbers.
KEYS: dict[str, tuple[str, ...]] = {
    "extract_corpus": ("prepare.corpora.{corpus}",),
    "prepare_task": (ROWS,),
    "finetune_model": ("models.{model}.finetune.batch", "models.{model}.finetune.max_subwords"),
    "dump_activations": ("activations.batch_tokens", "activations.window"),
    "measure_redundancy": ("redundancy.cka_rows",),
    "fit_baselines": (ROWS, "probes.baseline_ngrams"),
    "fit_probes": (ROWS, "probes.pair_features"),
    "fit_controls": (ROWS, "probes.pair_features"),
    "decide_status": ("probes.bootstrap", "prepare.tasks.*.rows"),
    "search_subsets": (ROWS, "probes.pair_features"),
    "check_robustness": (ROWS, "probes.pair_features"),
    "transfer_subsets": ("prepare.tasks.*.rows", "run.tasks"),
    "score_test": (ROWS, "probes.bootstrap"),
    "reproduce_published": (ROWS, "probes.pair_features"),
    "describe_neurons": ("concepts.neurons", ROWS),
    "ablate_neurons": ("activations.batch_tokens", "concepts.ablation.window"),
    "attribute_neurons": ("activations.batch_tokens", "concepts.attribution.window"),
    "measure_faithfulness": ("activations.batch_tokens", "concepts.faithfulness.window"),
    "measure_effects": ("activations.batch_tokens", "concepts.effects.window"),
    "apply_lens": (ROWS, "concepts.lenses"),
    "find_language_neurons": ("activations.batch_tokens", "concepts.languages"),
    "build_leaderboard": ("run.models", "run.tasks"),
    "build_site": ("run.models", "run.tasks"),
}
# Rules whose memory goes with the neurons that are measured, most of it with their square.
OF_NEURONS = (
    "measure_redundancy", "fit_probes", "fit_controls", "search_subsets", "check_robustness", "transfer_subsets",
    "score_test", "reproduce_published",
)  # fmt: skip
FOR_TIME = (
    "prepare.tasks.*.rows", "redundancy.rows", "subsets.random_draws", "subsets.rankings", "subsets.searches",
    "subsets.robustness", "run.models",
)  # fmt: skip


def out_of_memory(params: Params, job: estimates.Job, error: BaseException) -> str:
    """What to say of a job that ran out of memory: the size asked for, what was planned, which keys to change."""
    size = asked(error)
    names = " ".join(str(value) for value in (job.model, job.task, job.corpus) if value is not None)
    planned = estimates.need(params, job, estimates.device()).mem_mb
    return (
        f"out of memory in {job.rule} {names}".rstrip()
        + (f": {size} more could not be had" if size else "")
        + f". It is planned with {planned / 1e3:.1f} GB{_of_machine()}. Give it more, or {_smaller(params, job)}"
    )


def notes(params: Params, device: str = "cpu") -> Iterator[str]:
    """Lines on jobs that need more memory than this machine has, and on a run of more than a day."""
    needs = {job: estimates.need(params, job, device) for job in estimates.jobs(params)}
    there = machine_mb()
    for rule in dict.fromkeys(job.rule for job in needs):
        job = max((job for job in needs if job.rule == rule), key=lambda job: needs[job].mem_mb)
        if there is not None and needs[job].mem_mb > there:
            names = " ".join(str(value) for value in (job.model, job.task) if value is not None)
            yield (
                f"{rule} {names}: {needs[job].mem_mb / 1e3:.1f} GB of memory{_of_machine()}; take a larger machine, or "
                + _smaller(params, job)
            )
    written, free = sum(found.disk_mb for found in needs.values()), free_mb()
    if free is not None and written > free:
        ways = list(_fewer_bytes(params, written, device))
        yield (
            f"{written / 1e3:,.0f} GB of disk for artifacts, less what is there, and {free / 1e3:,.0f} GB are free; "
            f"less with: {'; '.join(ways)}; or run tasks one after another (run.tasks)"
        )
    total = sum(found.seconds for found in needs.values())
    if total > DAY:
        ways = list(_shorter(params, total, device))
        yield f"{total / 3600:,.0f} h of one core; less with: {'; '.join(ways)}; or several jobs at a time (--cores)"


def machine_mb() -> float | None:
    """Memory of this machine in megabytes, None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (AttributeError, OSError, ValueError):
        return None


def free_mb() -> float | None:
    """Megabytes that are free where artifacts are written, None where the system does not say."""
    place = Path("build") if Path("build").is_dir() else Path()
    try:
        return shutil.disk_usage(place).free / 1e6
    except OSError:
        return None


def _of_machine() -> str:
    there = machine_mb()
    return "" if there is None else f", and this machine has {there / 1e3:.1f} GB"


def _smaller(params: Params, job: estimates.Job) -> str:
    """Keys that lower the memory of a job, those that are counted with what is left of it."""
    before = estimates.need(params, job).mem_mb
    keys = [
        k.format(model=params.trained(job.model) if job.model else None, task=job.task, corpus=job.corpus)
        for k in KEYS[job.rule]
    ]
    changes = [(key, *less) for key in keys if (less := halved(params, key)) is not None]
    if job.rule in estimates.WITH_MODEL and params.activations.dtype == "float32":
        half = params.activations.model_copy(update={"dtype": "bfloat16"})
        fast = params.model_copy(update={"activations": half})
        changes.append(("activations.dtype", fast, "bfloat16 instead of float32, with `numerics: fast`"))
    counted = [
        f"{key}: {change}: {after / 1e3:.1f} GB"
        for key, less, change in changes
        if (after := estimates.need(less, job).mem_mb) < LESS * before
    ]
    ways = ["write " + "; or ".join(counted)] if counted else []
    if job.rule in OF_NEURONS:
        models = [job.model] if job.model else params.run.models
        model = max(map(str, models), key=lambda name: _neurons(params, name))
        why = f"most goes with the square of its {_neurons(params, model):,} neurons, whatever the rows"
        ways.append(_fewer_layers(params, model) + why)
    elif not counted:
        ways.append(f"lower {', '.join(keys)}")
    return ", or ".join(ways)


def _neurons(params: Params, model: str) -> int:
    layers, width = estimates.shape(params, model)
    only = params.models[params.trained(model)].only_layers
    return (layers if only is None else len(only)) * width


def named_layers(params: Params, model: str, count: int) -> tuple[Params, list[int]]:
    """The params with ``count`` of a model's layers under `only_layers`, the last and others evenly below it."""
    name = params.trained(model)
    every = params.models[name].only_layers or list(range(estimates.shape(params, name)[0]))
    kept = sorted({every[-1 - round(i * len(every) / count)] for i in range(count)})
    entry = params.models[name].model_copy(update={"only_layers": kept})
    return params.model_copy(update={"models": {**params.models, name: entry}}), kept


def _fewer_layers(params: Params, model: str) -> str:
    """What to write: the most layers with which the jobs of the model fit this machine, half where all do already."""
    name, there = params.trained(model), machine_mb()
    layers = len(params.models[name].only_layers or range(estimates.shape(params, name)[0]))
    own = [job for job in estimates.jobs(params) if job.rule in OF_NEURONS and job.model == model]
    fit = there is None or max(estimates.need(params, job).mem_mb for job in own) <= there
    for count in range(layers // 2 if fit else layers - 1, 0, -1):
        fewer, kept = named_layers(params, name, count)
        most = max(estimates.need(fewer, job).mem_mb for job in own)
        if there is None or most <= there:
            return (
                f"measure {count} of its {layers} layers, `only_layers: {kept}` under models.{name}: "
                f"{most / 1e3:.1f} GB for the largest of its jobs; "
            )
    return "name a model of fewer neurons: "


def _fewer_bytes(params: Params, total: float, device: str) -> Iterator[str]:
    def after(less: Params) -> float:
        return sum(estimates.need(less, job, device).disk_mb for job in estimates.jobs(less))

    wide = max(params.run.models, key=lambda name: _neurons(params, name))
    layers = len(params.models[params.trained(wide)].only_layers or range(estimates.shape(params, wide)[0]))
    ways = [("prepare.tasks.*.rows", halved(params, "prepare.tasks.*.rows"))]
    if layers > 1:
        fewer, kept = named_layers(params, wide, max(1, layers // 4))
        ways.append((f"models.{params.trained(wide)}.only_layers", (fewer, str(kept))))
    for key, less in ways:
        if less is not None and (left := after(less[0])) < LESS * total:
            yield f"{key}: {less[1]}: {left / 1e3:,.0f} GB"


def _shorter(params: Params, total: float, device: str) -> Iterator[str]:
    for key in FOR_TIME:
        less = halved(params, key)
        if less is not None and (after := _total(less[0], device)) < LESS * total:
            yield f"{key}: {less[1]}: {after / 3600:,.0f} h"
    if device == "cpu":
        fast = params.model_copy(update={"numerics": "fast"})
        after = _total(fast, "cuda")
        if after < LESS * total:
            yield f"numerics: fast, with models on a GPU ({estimates.DEVICE_VARIABLE}=cuda): {after / 3600:,.0f} h"


def _total(params: Params, device: str) -> float:
    return sum(estimates.need(params, job, device).seconds for job in estimates.jobs(params))


def halved(params: Params, key: str) -> tuple[Params, str] | None:
    """The params with half of what stands under a dotted key, and "5 instead of 10"; None where it has no half.

    A number, each number of a block, the first half of a list; `*` stands for each name that the run has.
    """
    names = key.split(".")
    if "*" in names:
        for task in params.run.tasks:
            less = halved(params, key.replace("*", task))
            if less is None:
                return None
            params = less[0]
        return params, "half of each"
    old = _half(params, names)
    return None if old is None else (old[0], f"{old[2]} instead of {old[1]}")


def _half(value: Any, names: list[str]) -> tuple[Any, str, str] | None:
    """Value with half of what is below ``names``; before and after as text."""
    if value is None:
        return None
    if names:
        inner = value.get(names[0]) if isinstance(value, dict) else getattr(value, names[0], None)
        found = _half(inner, names[1:])
        if found is None:
            return None
        made = {**value, names[0]: found[0]} if isinstance(value, dict) else None
        return (made if made is not None else value.model_copy(update={names[0]: found[0]}), *found[1:])
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return (value // 2, str(value), str(value // 2)) if value > 1 else None
    if isinstance(value, (list, tuple)):
        kept = type(value)(value[: len(value) // 2])
        return (kept, str(len(value)), str(len(kept))) if kept else None
    if hasattr(value, "model_dump") and all(isinstance(number, int) for number in value.model_dump().values()):
        less = {name: max(1, number // 2) for name, number in value.model_dump().items()}
        return value.model_copy(update=less), "all", "half of each"
    return None
