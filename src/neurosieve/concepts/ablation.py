"""Does the model itself use the neurons? Its own predictions, with them ablated or amplified (METHOD 3.2, row 24).

Reads: subsets/search/<model>/<task> (frozen.json), activations/<model>/<task>/train, prepare/tasks/<task>/{judge,card},
and the model's folder, head included.
Writes: concepts/ablation/<model>/<task>: ablation.json.

A sample of judge tokens is predicted by the model with its own language-modelling head: with nothing changed, with the
chosen neurons changed, and with as many random neurons of the same layers changed. A change multiplies a neuron's
deviation from its mean on train: amount 0 is mean ablation, 2 doubles it. All that may be said of a row that passes is
that the chosen neurons are used by the model for its own prediction of such tokens more than random neurons of the same
layers. It does not say that the model uses them for the classes of the task, nor what for; nor would a row that does
not pass say that they are unused: others may carry the same.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from neurosieve.artifacts import ArtifactError, Paths, read_jsonl, read_manifest, read_npy
from neurosieve.concepts import chosen_neurons
from neurosieve.concepts.effect_sizes import mean_replicates
from neurosieve.config import Params
from neurosieve.constant import column_moments, constant_columns
from neurosieve.flow import writer
from neurosieve.numerics import add
from neurosieve.probes.features import Features, layout
from neurosieve.probes.intervals import MIN_FILES, FileBootstrap, lower, upper
from neurosieve.sources.wheels import DEFAULT_CACHE

if TYPE_CHECKING:
    from neurosieve.activations.models import Loaded
    from neurosieve.concepts.language import Sample


class NoAblation(Exception):
    """Why nothing can be measured for a row; the text goes into the artifact."""


@dataclass(frozen=True)
class Neurons:
    """What is changed. chosen (n,), random (draws, n): global indices, sorted. mean, std: on train, by neuron.

    apart: the random sets hold no neuron of the whole subset, of which ``chosen`` may be the first ones only.
    """

    chosen: np.ndarray
    random: np.ndarray
    mean: dict[int, float]
    std: dict[int, float]
    apart: bool = True

    def means(self, neurons: np.ndarray) -> np.ndarray:
        return np.array([self.mean[n] for n in neurons.tolist()], np.float32)

    def spread(self, neurons: np.ndarray) -> float:
        """Root of the summed train variances: the typical size of what ablating them takes away."""
        return float(np.sqrt(add(self.std[n] ** 2 for n in neurons.tolist())))


def ablate_neurons(params: Params, paths: Paths, *, model: str, task: str, cache: Any = DEFAULT_CACHE) -> None:
    """Measure ``params.concepts.ablation`` for the first ``params.concepts.neurons`` neurons of the headline subset.

    The artifact of a row for which there is nothing to measure says why under ``reason``; ``ablation`` is null then.

    Raises
    ------
    ArtifactError
        the model's weights are not those whose activations were taken.
    """
    features = layout(paths, params, model, task)
    key, claimed, chosen = chosen_neurons(paths, model, task)
    facts: dict[str, Any] = {}
    found, reason = None, None
    try:
        found, facts = _measure(params, features, chosen, cache)
    except NoAblation as why:
        reason = str(why)
    report = {"model": model, "task": task, "subset": key, "claimed": claimed, "ablation": found, "reason": reason}
    with writer(params, paths, "ablate_neurons", model=model, task=task) as out:
        out.json("ablation.json", report)
        out.facts = facts


def _measure(
    params: Params, features: Features, chosen: np.ndarray, cache: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    settings = params.concepts.ablation
    entry = params.models[features.model]
    if settings is None:
        raise NoAblation("concepts.ablation is null: off")
    if features.unit != "token":
        raise NoAblation(f"a task of {features.unit}s: a language model predicts tokens only")
    if entry.untrained is not None:
        raise NoAblation("an untrained twin: its predictions are those of random weights")
    if entry.neurons != "hidden":
        raise NoAblation(f"neurons: {entry.neurons}; only hidden states can be changed inside the model so far")
    if not len(chosen):
        raise NoAblation("no neurons were chosen")
    first = np.sort(chosen[: params.concepts.neurons])
    neurons = draw_neurons(features, first, [params.seed, *_codes(features)], settings.random_draws, chosen)

    # Here, not above: it loads torch, which a row without anything to measure does not need.
    from neurosieve.concepts import language

    loaded, mask = load_head(params, features, settings.window, cache)
    sample = judge_sample(params, features, loaded, mask, settings)
    if not len(sample.rows):
        raise NoAblation("no token of judge that the model could predict")

    files, labels = features.files("judge")[sample.rows], features.labels("judge")[sample.rows]
    names, file_codes = np.unique(files, return_inverse=True)
    draws = None
    if len(names) >= MIN_FILES:
        seed = [params.seed, zlib.crc32(features.task.encode()), zlib.crc32(b"ablation")]
        draws = FileBootstrap(file_codes, params.probes.bootstrap, seed)
    untouched = language.predict(loaded, sample.batches)
    amounts, accuracy = {}, {"untouched": float(untouched.right.mean())}
    for amount in settings.amounts:
        effects, divergences, right = [], [], []
        for which in (neurons.chosen, *neurons.random):
            after = language.predict(loaded, sample.batches, language.Change(which, neurons.means(which), amount))
            effects.append(after.true - untouched.true)
            divergences.append(float(language.divergence(untouched, after).mean()))
            right.append(float(after.right.mean()))
        name = f"{amount:g}"
        amounts[name] = compare(
            effects[0], np.stack(effects[1:]), labels, features.classes, file_codes, draws, params.probes.confidence
        )
        amounts[name]["divergence"] = {"chosen": divergences[0], "random": float(np.mean(divergences[1:]))}
        accuracy[f"{name} chosen"], accuracy[f"{name} random"] = right[0], float(np.mean(right[1:]))
    found = {
        "kind": "causal" if mask is None else "masked",
        "tokens": len(sample.rows),
        "files": len(names),
        "windows": sample.facts["windows"],
        "neurons": len(neurons.chosen),
        "per_layer": np.bincount(neurons.chosen // features.width, minlength=features.layers).tolist(),
        "random_draws": settings.random_draws,
        "apart": neurons.apart,
        "confidence": params.probes.confidence,
        "log_probability": float(untouched.true.mean()),
        "accuracy": accuracy,
        "spread": {
            "chosen": neurons.spread(neurons.chosen),
            "random": float(np.mean([neurons.spread(draw) for draw in neurons.random])),
        },
        "amounts": amounts,
    }
    return found, {"tokens": len(sample.rows), **sample.facts}


class Sampling(Protocol):
    """What of the settings of a rule says which tokens are predicted."""

    tokens: int
    window: int
    per_window: int


def load_head(params: Params, features: Features, window: int, cache: Any) -> tuple[Loaded, int | None]:
    """The model with its head, and the id of its mask (None for a causal one). NoAblation where it has no usable head.

    ArtifactError where its weights are not those whose activations were taken.
    """
    import torch

    from neurosieve.activations import threads
    from neurosieve.activations.models import NoHeadError, load_language_model, model_folder, task_folder
    from neurosieve.concepts import language

    torch.set_num_threads(threads())
    entry = params.models[features.model]
    own = task_folder(params, features.paths, features.model, features.task)
    folder = own or model_folder(params, features.model, cache)[0]
    try:
        loaded, mask = load_language_model(
            folder,
            features.model,
            params.numerics,
            "safetensors" if own is not None and (own / "model.safetensors").is_file() else entry.weights,
            entry.trust_remote_code,
            window,
            params.activations.batch_tokens,
        )
        language.check_head(loaded)
    except NoHeadError as why:
        raise NoAblation(f"no usable language-modelling head: {why}") from None
    check_weights(features, loaded)
    return loaded, mask


def check_weights(features: Features, loaded: Loaded) -> None:
    """ArtifactError where the activations are not of the loaded weights."""
    source = features.paths.activations(features.model, features.task, "train")
    if read_manifest(source)["facts"]["model_sha256"] != loaded.facts["model_sha256"]:
        raise ArtifactError(f"{source}: made from other weights than {loaded.folder} has; run `activations` again")


def judge_sample(params: Params, features: Features, loaded: Loaded, mask: int | None, settings: Sampling) -> Sample:
    """The judge tokens that are predicted."""
    return token_sample(params, features, loaded, mask, settings, "judge", "tokens")


def token_sample(
    params: Params, features: Features, loaded: Loaded, mask: int | None, settings: Sampling, split: str, name: str
) -> Sample:
    """Tokens of a split that are predicted; ``name``: of the draw."""
    from neurosieve.activations.batches import Rows
    from neurosieve.concepts import language

    folder = features.paths.task(features.task) / split
    entries = read_jsonl(folder / "rows.jsonl")
    return language.draw_sample(
        read_jsonl(folder / "inputs.jsonl"),
        Rows(*(np.array([row[k] for row in entries], np.int64) for k in ("input", "start", "end"))),
        features.files(split),
        loaded.coding,
        mask,
        lambda kind, index: f"{folder}/{kind}.jsonl:{index + 1}",
        np.random.default_rng([params.seed, zlib.crc32(features.task.encode()), zlib.crc32(name.encode())]),
        tokens=settings.tokens,
        per_window=settings.per_window,
        window=settings.window,
        batch_tokens=params.activations.batch_tokens,
    )


def _codes(features: Features) -> list[int]:
    return [zlib.crc32(features.model.encode()), zlib.crc32(features.task.encode())]


def draw_neurons(
    features: Features, chosen: np.ndarray, seed: list[int], draws: int, subset: np.ndarray | None = None
) -> Neurons:
    """Random neurons beside the sorted ``chosen`` ones: in every layer as many, none chosen, none constant on train.

    subset : what ``chosen`` are the first of; none of it is drawn either, but where a layer has too few others beside
    it (``apart`` is False then). NoAblation where it has too few beside the ``chosen``. Draws are independent of each
    other and may overlap.
    """
    layers = np.unique(chosen // features.width).tolist()
    index = (np.array(layers)[:, None] * features.width + np.arange(features.width)).ravel()
    mean, std, constant = moments(features, layers)
    usable = index[~constant]
    beside = usable if subset is None else usable[~np.isin(usable, subset)]
    apart = True
    try:
        random = draw_apart(chosen, beside, features.width, np.random.default_rng(seed), draws)
    except NoAblation:
        random = draw_apart(chosen, usable, features.width, np.random.default_rng(seed), draws)
        apart = False
    of = dict(zip(index.tolist(), mean.tolist(), strict=True)), dict(zip(index.tolist(), std.tolist(), strict=True))
    return Neurons(chosen, random, *of, apart)


def moments(features: Features, layers: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation, and whether it is constant, on train, of every neuron of the layers, in their order."""
    folder = features.paths.activations(features.model, features.task, "train")
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for layer in layers:
        mean, std, equal = column_moments(read_npy(folder / f"layer_{layer:02d}.npy", mmap=True))
        found.append((mean, std, constant_columns(std, equal)))
    mean, std, constant = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return mean, std, constant


def draw_apart(chosen: np.ndarray, usable: np.ndarray, width: int, rng: np.random.Generator, draws: int) -> np.ndarray:
    """(draws, neurons): of every layer as many of the ``usable`` neurons as are ``chosen``, none of these.

    Global indices, sorted by layer, then in each layer. NoAblation where a layer has too few others.
    """
    random: list[np.ndarray] = []
    for layer in np.unique(chosen // width).tolist():
        here = chosen[chosen // width == layer]
        others = usable[(usable // width == layer) & ~np.isin(usable, here)]
        if len(others) < len(here):
            raise NoAblation(f"layer {layer} has {len(here)} chosen neurons and only {len(others)} others")
        random.append(np.stack([np.sort(rng.choice(others, len(here), replace=False)) for _ in range(draws)]))
    return np.concatenate(random, axis=1)


def compare(
    chosen: np.ndarray,
    random: np.ndarray,
    labels: np.ndarray,
    classes: list[str],
    files: np.ndarray,
    bootstrap: FileBootstrap | None,
    confidence: float,
) -> dict[str, Any]:
    """Changes of the log-probability, chosen (tokens,) and random (draws, tokens), in nats: means and their difference.

    The difference is chosen minus the mean of the draws, below 0 where changing the chosen neurons hurts more; its
    one-sided bounds are over files (a ratio of sums), null with fewer than MIN_FILES files. more_than_random: the
    upper bound is below 0, and the chosen neurons hurt more than every single draw.
    """
    by_draw = random.mean(axis=1)
    paired = chosen - random.mean(axis=0)
    low = high = None
    if bootstrap is not None:
        replicates = mean_replicates(paired, files, bootstrap)
        low, high = float(lower(replicates, confidence)), float(upper(replicates, confidence))
    by_class = {}
    for label, name in enumerate(classes):
        here = labels == label
        by_class[name] = {
            "tokens": int(here.sum()),
            "chosen": float(chosen[here].mean()) if here.any() else None,
            "random": float(random[:, here].mean()) if here.any() else None,
        }
    return {
        "chosen": float(chosen.mean()),
        "random": {"mean": float(by_draw.mean()), "low": float(by_draw.min()), "high": float(by_draw.max())},
        "difference": float(paired.mean()),
        "low": low,
        "high": high,
        "more_than_random": high is not None and bool(high < 0 and chosen.mean() < by_draw.min()),
        "by_class": by_class,
    }
