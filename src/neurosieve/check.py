"""What would stop a run, found before it: `neurosieve check`, and the part of it that takes no time at each start.

Reads what the params file names and lies on this machine, with the readers of the phases themselves; writes nothing,
fetches nothing. No result depends on it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from neurosieve import estimates, numerics
from neurosieve.artifacts import ArtifactError, sha256_file
from neurosieve.config import ConfigError, Params
from neurosieve.config.files import absent

# Of config.json, what a fresh network does not depend on.
_BESIDE = {
    "_name_or_path", "architectures", "dtype", "finetuning_task", "id2label", "label2id", "num_labels", "problem_type",
    "torch_dtype", "transformers_version", "use_cache",
}  # fmt: skip
_VOCABULARIES = ("vocab.*", "merges.txt", "*.model")  # where there is no tokenizer.json
THREADS = "NEUROSIEVE_THREADS"


def start_faults(params: Params, *, here: bool = True) -> list[str]:
    """What stops a run, as far as it can be told without opening data or models; ``here``: its jobs run here too."""
    from neurosieve.prepare.task import entry_faults

    faults = [*estimates.lacking(params), *(machine_faults(params) if here else ())]
    for task in params.run.tasks:
        faults += entry_faults(params, task)
    faults += _too_few_draws(params)
    return list(dict.fromkeys(faults))


def _too_few_draws(params: Params) -> Iterator[str]:
    """Of `decide_status`, which comes after all dumps and probes: can any of so many rows be supported?"""
    from neurosieve.probes.intervals import IntervalError
    from neurosieve.probes.status import adjust

    rows = [f"{model} {task}" for model in params.trained_models for task in params.run.tasks]
    try:
        adjust({row: {} for row in rows}, params.probes.confidence, params.probes.bootstrap)
    except IntervalError as error:
        yield f"probes.bootstrap: {error}"


def machine_faults(params: Params) -> list[str]:
    """What the environment asks of this machine that it has not: a device, threads, a language model's key."""
    faults = []
    named = os.environ.get(THREADS)
    if named is not None and (not named.isdigit() or not 1 <= int(named) <= cores()):
        faults.append(
            f"{THREADS}: found {named!r}; this machine has {cores()} cores: write 1 to {cores()}, or unset it"
        )
    if estimates.device() != "cpu":
        from neurosieve.activations.batches import ActivationsError
        from neurosieve.activations.devices import find_device  # imports torch, which takes seconds

        try:
            find_device(params.numerics)
        except ActivationsError as error:
            faults.append(str(error))
    if "explain" in params.lenses and params.concepts.lenses is not None:
        faults += _key_faults(params.concepts.lenses.of("explain"))
    return faults


def _key_faults(explain: Any) -> Iterator[str]:
    """Of a user's language model: whether its key is there. Nothing is asked of the server."""
    from neurosieve.concepts.lenses._chat import Chat, ServerError

    if explain.address is not None:
        try:
            Chat(explain.address, explain.model, explain.key_variable, explain.timeout, explain.tries)
        except ServerError as error:
            yield str(error)


def data_faults(params: Params) -> Iterator[str]:
    """What is wrong with the data and model folders that lie here: files are read whole, by the phases' own readers."""
    from neurosieve.prepare.task import entry_faults

    missing = params.missing_files()

    def here(key: str) -> bool:
        return not any(line.startswith(f"{key}:") for line in missing)

    yield from input_faults(
        params,
        [name for name in params.corpora if here(f"prepare.corpora.{name}")],
        [t for t in params.run.tasks if here(f"prepare.tasks.{t}") and not entry_faults(params, t)],
    )
    if here("leaderboard.published_figures.file"):
        from neurosieve.leaderboard.published_figures import read_figures

        yield from _told(ConfigError, partial(read_figures, params))
    yield from _model_faults(params)


def input_faults(params: Params, corpora: list[str], tasks: list[str]) -> list[str]:
    """The part of :func:`data_faults` that concerns these corpora and tasks; all their files must lie here."""
    from neurosieve.prepare import corpus, task

    faults = [fault for name in corpora for fault in corpus.corpus_faults(params, name)]
    return faults + [fault for name in tasks for fault in task.data_faults(params, name)]


def _model_faults(params: Params) -> Iterator[str]:
    from neurosieve.activations.batches import ActivationsError
    from neurosieve.activations.models import check_folder  # imports torch and transformers, which takes seconds

    for name in dict.fromkeys(params.trained(model) for model in params.run.models):
        entry = params.models[name]
        for folder in filter(None, (entry.path, *entry.folders.values())):
            path = params.resolve(folder)
            if path.is_dir():
                look = partial(check_folder, path, name, entry.weights, entry.trust_remote_code)
                yield from (
                    f"models.{name}: {fault}"
                    for fault in [*_told((ActivationsError, ArtifactError), look), *_unreadable(path)]
                )


def _unreadable(folder: Path) -> list[str]:
    """Files of a model's folder that are cut off or something else than their name says."""
    faults = []
    for path in sorted(folder.glob("*.json")):
        if (why := absent(path)) is not None:
            faults.append(why)
            continue
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            faults.append(f"{path}: not valid json ({error}); get the file again")
    for path in sorted(folder.glob("*.safetensors")):
        if absent(path) is not None:  # said by check_folder
            continue
        try:
            with safe_open(path, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            faults.append(f"{path}: not readable as safetensors ({error}); get the file again")
    return faults


def _told(kind: type[Exception] | tuple[type[Exception], ...], look: Callable[[], Any]) -> list[str]:
    try:
        look()
    except kind as error:
        return str(error).splitlines()
    return []


def notices(params: Params, jobs_cores: int | None = None, *, here: bool = True) -> list[str]:
    """What stops no run, but may not be meant: numerics that do not hold on this machine, where the jobs run ``here``;
    untrained twins that are one network, more cores than there are.
    """
    found: dict[str, str] = {}
    told = [line for line in [numerics.notice(params.numerics)] if line and here]
    if jobs_cores is not None and jobs_cores > cores():
        told.append(f"{jobs_cores} cores were asked for, this machine has {cores()}: jobs will wait for each other")
    for name in params.probed:
        network = _network(params, name)
        if network is not None and (other := found.setdefault(network, name)) != name:
            told.append(
                f"models.{name}: the same network as {other}: its configuration, its tokenizer and its seed are equal; "
                "their figures will be too: give one another `seed:`, or leave one out"
            )
    return told


def _network(params: Params, name: str) -> str | None:
    """What an untrained twin is made of; None for other models, and where the configuration lies not in a folder."""
    entry, trained = params.models[name], params.models[params.trained(name)]
    if entry.untrained is None:
        return None
    made: list[Any] = [entry.seed, trained.part, trained.neurons]
    if entry.embeddings == "kept":  # of equal configurations too they are those of one model
        made.append(entry.untrained)
    made.append(None if entry.finetune is None else entry.finetune.model_dump(mode="json"))
    if trained.path is None:
        wheel = None if trained.wheel is None else trained.wheel.sha256
        return json.dumps([*made, trained.hub, trained.revision, wheel, trained.wheel_path])
    folder = params.resolve(trained.path)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        made.append({key: value for key, value in config.items() if key not in _BESIDE})
    except (OSError, ValueError, AttributeError):
        return None
    whole = folder / "tokenizer.json"
    files = [whole] if whole.is_file() else sorted({path for name in _VOCABULARIES for path in folder.glob(name)})
    if any(map(absent, files)):
        return None
    made.append({path.name: sha256_file(path) for path in files})
    return json.dumps(made, sort_keys=True)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
