"""Causal rankings: neurons ordered by what the model's own predictions owe them, and how many of the chosen are first.

Reads: subsets/search/<model>/<task> (frozen.json), probes/models/<model>/<task> (rankings),
activations/<model>/<task>/train, prepare/tasks/<task>/{train,card}, and the model's folder, head included.
Writes: concepts/attribution/<model>/<task>: attribution.json, attribution.safetensors.

m is the log-probability of the right token, of a sample of train tokens, as in :mod:`neurosieve.concepts.language`:
train, so that what the orders do to the model can be measured on judge. A method gives every neuron (hidden states of
all layers) a score for every token, summed over the positions of the window, as a neuron is changed at all of them.

One file, one method; a file dropped in is registered, and the contract tests run on it. ``<name>.py`` (``_`` for ``-``)
defines ``SIGNED``, whether scores have a sign (above 0: speaks for the right token), ``rules``, the context in which
the forward pass runs, and ``contribution``; see _passes.py. Files whose name begins with ``_`` are helpers.

From tokens to one score. ``<name>``: the mean over tokens of the absolute value, in which nothing cancels (AtP*, Kramar
et al. 2024). Of signed methods also ``<name>.signed``: the mean itself, as Syed et al. 2023 and the circuit benchmark
MIB average before they rank. The second says little for this m: where a model's probabilities are right, the gradient
of the log-probability of the true token is 0 in the mean, whatever the neuron (the score identity of statistics), so
that what is left is sampling noise and what the model has wrong. Both are given by class too.

What it does not say: scores are of first order, one neuron at a time around the unchanged model.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosieve.artifacts import Paths, read_npy
from neurosieve.concepts import chosen_neurons
from neurosieve.concepts.ablation import NoAblation, load_head, token_sample
from neurosieve.concepts.attribution._chance import overlap, precedence
from neurosieve.config import Params, module_named
from neurosieve.config.concepts import Attribution
from neurosieve.config.names import attribution_names
from neurosieve.constant import column_moments, constant_columns
from neurosieve.flow import writer
from neurosieve.numerics import add
from neurosieve.probes.features import Features, layout
from neurosieve.probes.metrics import spearman
from neurosieve.probes.rankings import by_score
from neurosieve.sources.wheels import DEFAULT_CACHE

if TYPE_CHECKING:
    from neurosieve.activations.models import Loaded
    from neurosieve.concepts.language import Sample

SIGNED = ".signed"


class NoAttribution(Exception):
    """Why nothing can be measured for a row; the text goes into the artifact."""


def load(name: str) -> ModuleType:
    """The file of a registered method.

    Raises
    ------
    ValueError
        for a name without a file.
    """
    return module_named(__name__, "attribution method", name, attribution_names())


def attribute_neurons(params: Params, paths: Paths, *, model: str, task: str, cache: Any = DEFAULT_CACHE) -> None:
    """Rank all neurons by the methods of ``params.concepts.attribution``, and compare with the headline's subset.

    attribution.safetensors holds of each ranking ``<ranking>.order`` int64 (neurons,), global indices, best first,
    ``<ranking>.scores`` float32 (neurons,), by index, in nats, and ``<ranking>.per_class`` float32 (classes, neurons),
    zeros for a class without tokens. Of a row for which there is nothing to measure the json says why under
    ``reason``, ``attribution`` is null there, and the other file holds no tensors.

    Raises
    ------
    ArtifactError
        the model's weights are not those whose activations were taken.
    """
    features = layout(paths, params, model, task)
    key, claimed, chosen = chosen_neurons(paths, model, task)
    found, reason = None, None
    tensors: dict[str, np.ndarray] = {}
    facts: dict[str, Any] = {}
    try:
        found, tensors, facts = _measure(params, features, chosen, cache)
    except NoAttribution as why:
        reason = str(why)
    report = {"model": model, "task": task, "subset": key, "claimed": claimed, "attribution": found, "reason": reason}
    with writer(params, paths, "attribute_neurons", model=model, task=task) as out:
        out.json("attribution.json", report)
        out.tensors("attribution.safetensors", tensors)
        out.facts = facts


def _measure(
    params: Params, features: Features, chosen: np.ndarray, cache: Any
) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Any]]:
    settings = params.concepts.attribution
    entry = params.models[features.model]
    if settings is None:
        raise NoAttribution("concepts.attribution is null: off")
    if features.unit != "token":
        raise NoAttribution(f"a task of {features.unit}s: a language model predicts tokens only")
    if entry.untrained is not None:
        raise NoAttribution("an untrained twin: its predictions are those of random weights")
    if entry.neurons != "hidden":
        raise NoAttribution(f"neurons: {entry.neurons}; only hidden states have scores so far")
    if features.only_layers is not None:
        raise NoAttribution(f"only the layers {list(features.only_layers)} were dumped, and the mean of all is needed")
    if features.number:
        raise NoAttribution("a task of numbers: scores are by class")

    loaded, mask = _load(params, features, settings, cache)
    sample = token_sample(params, features, loaded, mask, settings, "train", "attribution tokens")
    if not len(sample.rows):
        raise NoAttribution("no token of train that the model could predict")
    mean, candidates = _moments(features)
    scores, true, refused = token_scores(
        loaded, sample, mean, settings.methods, f"attribution {features.model} {features.task}"
    )

    files, labels = features.files("train")[sample.rows], features.labels("train")[sample.rows]
    credits = credits_of(scores)
    seed = [params.seed, zlib.crc32(features.task.encode()), zlib.crc32(b"attribution halves")]
    folder = features.paths.probes(features.model, features.task)
    rankings = compare(
        credits,
        chosen,
        candidates,
        features.width,
        {name: read_npy(folder / f"ranking_{name}.npy").astype(np.int64) for name in params.probes.rankings},
        split_files(files, seed),
        params.concepts.neurons,
    )
    in_class = np.bincount(labels, minlength=len(features.classes))
    found = {
        "kind": "causal" if mask is None else "masked",
        "tokens": len(sample.rows),
        "tokens_by_class": dict(zip(features.classes, in_class.tolist(), strict=True)),
        "files": len(np.unique(files)),
        "windows": sample.facts["windows"],
        "log_probability": float(true.mean()),
        "neurons": features.n_neurons,
        "candidates": len(candidates),
        "chosen": len(chosen),
        "chosen_per_layer": np.bincount(chosen // features.width, minlength=features.layers),
        "rankings": rankings,
        "refused": refused,
    }
    tensors = tensors_of(credits, labels, len(features.classes))
    return found, tensors, {"tokens": len(sample.rows), **sample.facts}


def _load(params: Params, features: Features, settings: Attribution, cache: Any) -> tuple[Loaded, int | None]:
    """As ablation.load_head, with products that have gradients.

    One thread under `portable`: shared sums change the last bits of gradients, as in fine-tuning.
    """
    import torch

    from neurosieve.activations.models import PLAIN

    try:
        found = load_head(params.model_copy(update={"numerics": PLAIN}), features, settings.window, cache)
    except NoAblation as why:
        raise NoAttribution(str(why)) from None
    if params.numerics != "fast":
        torch.set_num_threads(1)
    return found


def _moments(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Mean of every neuron on train (layers, width), and those that are not constant there (global indices)."""
    folder = features.paths.activations(features.model, features.task, "train")
    mean, varies = np.empty((features.layers, features.width)), np.empty((features.layers, features.width), bool)
    for layer in range(features.layers):
        mean[layer], std, equal = column_moments(read_npy(folder / f"layer_{layer:02d}.npy", mmap=True))
        varies[layer] = ~constant_columns(std, equal)
    return mean, np.flatnonzero(varies)


def token_scores(
    loaded: Loaded, sample: Sample, mean: np.ndarray, methods: Sequence[str], title: str = ""
) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, str]]:
    """Scores of every neuron for every token of the sample, float64 (tokens, neurons) by method, in nats.

    And the tokens' log-probabilities, float64 (tokens,), and why methods were refused that have no rule for an
    operation of the model. ``mean`` (layers, width). ``loaded`` is of ``numerics: fast``.
    """
    from neurosieve.concepts.attribution._passes import score_tokens
    from neurosieve.concepts.attribution._relevance import NoRuleError
    from neurosieve.concepts.language import predict

    files = {name: load(name) for name in methods}
    groups: dict[Any, list[str]] = {}
    for name, file in files.items():
        groups.setdefault(file.rules, []).append(name)
    scores: dict[str, np.ndarray] = {}
    refused: dict[str, str] = {}
    for rules, names in groups.items():
        contributions = {name: files[name].contribution for name in names}
        try:
            scores |= score_tokens(loaded, sample.batches, mean, rules, contributions, title)
        except NoRuleError as why:
            refused |= dict.fromkeys(names, str(why))
    return {name: scores[name] for name in methods if name in scores}, predict(loaded, sample.batches).true, refused


def credits_of(scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What each ranking is the mean of, float64 (tokens, neurons): the sizes of scores, and signed ones themselves."""
    found = {}
    for name, values in scores.items():
        found[name] = np.abs(values)
        if load(name).SIGNED:
            found[name + SIGNED] = values
    return found


def tensors_of(credits: dict[str, np.ndarray], labels: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """attribution.safetensors, from credits (tokens, neurons) and labels (tokens,)."""
    found = {}
    for name, values in credits.items():
        by_class = [values[labels == c].mean(axis=0) if (labels == c).any() else 0 * values[0] for c in range(classes)]
        found[f"{name}.scores"] = values.mean(axis=0).astype(np.float32)
        found[f"{name}.order"] = by_score(values.mean(axis=0)).astype(np.int64)
        found[f"{name}.per_class"] = np.stack(by_class).astype(np.float32)
    return found


def split_files(files: np.ndarray, seed: list[int]) -> list[np.ndarray]:
    """Two halves of the files, drawn at random, as the places of their tokens; none with fewer than two files.

    files : (tokens,) codes.
    """
    codes = np.random.default_rng(seed).permutation(np.unique(files))
    if len(codes) < 2:
        return []
    first = np.isin(files, codes[: len(codes) // 2])
    return [np.flatnonzero(first), np.flatnonzero(~first)]


def compare(
    credits: dict[str, np.ndarray],
    chosen: np.ndarray,
    candidates: np.ndarray,
    width: int,
    probes: dict[str, np.ndarray],
    halves: list[np.ndarray],
    top: int,
) -> dict[str, Any]:
    """ "rankings" of attribution.json: each ranking of the candidates against the chosen ones, the others, itself.

    credits : (tokens, neurons) by ranking. chosen, candidates : global indices. probes : rankings of the probes,
    global indices, best first. halves : two sets of tokens, or none. top : how many of the first are listed.
    """
    scores = {name: values.mean(axis=0) for name, values in credits.items()}
    n = len(chosen)
    places = {}
    for name, order in probes.items():
        places[name] = np.full(len(scores[next(iter(scores))]) if scores else 0, np.nan)
        places[name][order] = -np.arange(len(order))
    found = {}
    for name, score in scores.items():
        order = _first(score, candidates)
        total = add(np.abs(score).tolist())
        by_layer = [add(np.abs(part).tolist()) for part in score.reshape(-1, width)]
        found[name] = {
            "top": order[:top],
            "share_by_layer": [value / total for value in by_layer] if total else None,
            "first_per_layer": np.bincount(order[:n] // width, minlength=len(score) // width),
            "overlap": overlap(order[:n], chosen, candidates, width) if n else None,
            "precedence": precedence(score, chosen, candidates, width) if n else None,
            "probes": {other: _agree(score, place, candidates) for other, place in places.items()},
            "others": {
                other: spearman(score[candidates], scores[other][candidates]) for other in scores if other != name
            },
            "halves": _halves([credits[name][half].mean(axis=0) for half in halves], n, candidates, width),
        }
    return found


def _halves(scores: list[np.ndarray], n: int, candidates: np.ndarray, width: int) -> dict[str, Any] | None:
    """Agreement of two halves of the tokens, and of their first n; None where there are none."""
    if not scores:
        return None
    one, other = scores
    shared = overlap(_first(one, candidates)[:n], _first(other, candidates)[:n], candidates, width) if n else None
    return {"spearman": spearman(one[candidates], other[candidates]), "overlap": shared}


def _first(score: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """The candidates by falling score."""
    return candidates[by_score(score[candidates])]


def _agree(score: np.ndarray, place: np.ndarray, candidates: np.ndarray) -> float | None:
    """Spearman's correlation over the candidates that the other ranking has too."""
    both = candidates[np.isfinite(place[candidates])]
    return spearman(score[both], place[both]) if len(both) else None
