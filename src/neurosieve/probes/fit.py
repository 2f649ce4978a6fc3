"""Probes on all neurons, on each layer and on each prefix of layers, and the rankings of the neurons.

Reads: prepare/tasks/<task>/{train,tune,judge,card}, activations/<model>/<task>/{train,tune,judge}.
Writes probes/models/<model>/<task>:

probes.json            {"order": names of the feature sets, "sets": {name: {"layers": [first, last], "neurons", "l1",
                       "l2", "gap", "iterations", "objective", "nonzero", "tune": metrics, "judge": metrics,
                       "tried": [{"l1", "l2", "tune"}]}}, "oracle": "all", "reference": best set on tune, "layers",
                       "width", "kept": neurons that are not constant, "constant_neurons": their number by layer,
                       "rankings": names}
predictions_tune.npy   int16 (sets, rows), predictions_judge.npy alike, in the order of "order"
weights.safetensors    weights (columns, K) and intercept (K,) of the oracle, float32; reference_weights and
                       reference_intercept alike, columns those of the reference's kept neurons
kept.npy               int32 (kept,) global indices of the neurons that are not constant on train
ranking_<name>.npy     int32 (kept,) global indices, best first; ranking_<name>_per_class.npy (classes or 1, kept)
"""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
from tqdm import tqdm

from neurosieve.artifacts import Paths, Writer, read_json
from neurosieve.config import Params, Penalty
from neurosieve.probes import metrics, rankings
from neurosieve.probes.features import Features, layout, standardize_train
from neurosieve.probes.solver import GramCache, Probe, fit, row_weights

log = logging.getLogger(__name__)

ORACLE = "all"


def strongest_first(penalties: list[Penalty]) -> list[Penalty]:
    """From the strongest penalty to the weakest, so that each fit starts from a smaller one."""
    return sorted(penalties, key=lambda p: (-(p.l1 + p.l2), -p.l1))


def tuned(
    data: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    n_classes: int,
    penalties: list[Penalty],
    score: metrics.Metric,
    params: Params,
    cache: GramCache | None = None,
) -> tuple[Probe, list[dict[str, float]]]:
    """Probe with the penalty that is best on tune, ties to the stronger; and the score of each penalty.

    ``data`` holds "train" and "tune", float32 (rows, columns), standardised.
    """
    best: Probe | None = None
    best_score, tried, probe = -np.inf, [], None
    cache = cache or GramCache(data["train"])
    for penalty in strongest_first(penalties):
        probe = fit(
            data["train"], labels["train"], n_classes, penalty.l1, penalty.l2,
            gap=params.probes.gap, max_iterations=params.probes.max_iterations, warm=probe, cache=cache,
        )  # fmt: skip
        value = float(score(_confusion(labels["tune"], probe.predict(data["tune"]), n_classes)))
        tried.append({"l1": penalty.l1, "l2": penalty.l2, "tune": value})
        if value > best_score:
            best, best_score = probe, value
    assert best is not None
    return best, tried


def _confusion(y: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """(K, K) counts of all rows."""
    return metrics.confusion_by_file(y, predicted, np.zeros_like(y), n_classes, 1)[0]


def feature_sets(kept: np.ndarray, features: Features) -> dict[str, tuple[int, int]]:
    """Name -> first and last layer. Sets without a kept neuron are left out; prefix-00 is layer-00, the last is all."""
    last = features.layers - 1
    sets = {ORACLE: (0, last)}
    sets |= {f"layer-{i:02d}": (i, i) for i in range(features.layers) if last}
    sets |= {f"prefix-{i:02d}": (0, i) for i in range(1, last)}
    layer_of = kept // features.width
    return {name: (a, b) for name, (a, b) in sets.items() if ((layer_of >= a) & (layer_of <= b)).any()}


def fit_probes(params: Params, paths: Paths, *, model: str, task: str) -> None:
    """Write probes/models/<model>/<task>; see the module's docstring."""
    began = time.monotonic()
    features = layout(paths, params, model, task)
    card = read_json(paths.task(task) / "card" / "card.json")
    n_classes, scored, score = len(card["classes"]), card["scored_classes"], metrics.primary(card)
    splits = ("train", "tune", "judge")
    labels = {split: features.labels(split) for split in splits}
    everything = np.arange(features.n_neurons)
    data = {split: features.load(split) for split in splits}
    alive, standardizer = standardize_train(data["train"], features, everything)
    kept = everything[alive]
    for split in splits:
        data[split] = standardizer.apply(data[split])
        if len(kept) < len(everything):
            data[split] = np.ascontiguousarray(data[split][:, features.columns(kept)])
    sets = feature_sets(kept, features)
    results: dict[str, dict[str, Any]] = {}
    predictions: dict[str, dict[str, np.ndarray]] = {"tune": {}, "judge": {}}
    fitted: dict[str, Probe] = {}
    gram: GramCache | None = None
    undecided: tuple[float, np.ndarray | None] = (-np.inf, None)  # tune score and row weights of the best single layer
    layer_of = kept // features.width
    # single layers first: they are cheap, and the best of them shapes the metric for the sets of many layers
    order = sorted(sets, key=lambda name: sets[name][0] != sets[name][1])
    for name in tqdm(order, desc=f"probes {model} {task}", unit="set", mininterval=5):
        first, last = sets[name]
        at = np.flatnonzero((layer_of >= first) & (layer_of <= last))
        # kept is sorted by layer, so the columns of consecutive layers are a slice: no copy
        columns = slice(at[0] * features.columns_per_neuron, (at[-1] + 1) * features.columns_per_neuron)
        part = {split: data[split][:, columns] for split in splits}
        if first == last:
            cache = GramCache(part["train"])
        else:
            gram = GramCache(data["train"], undecided[1]) if gram is None else gram
            cache = gram.take(columns)
        probe, tried = tuned(part, labels, n_classes, params.probes.penalties, score, params, cache)
        if first == last and (value := max(t["tune"] for t in tried)) > undecided[0]:
            undecided = value, row_weights(probe, part["train"])
        fitted[name] = probe
        found: dict[str, Any] = {}
        for split in ("tune", "judge"):
            predicted = probe.predict(part[split])
            predictions[split][name] = predicted.astype(np.int16)
            found[split] = metrics.all_metrics(_confusion(labels[split], predicted, n_classes), scored)
        results[name] = {
            "layers": [first, last],
            "neurons": len(at),
            "l1": probe.l1,
            "l2": probe.l2,
            "gap": probe.gap,
            "iterations": probe.iterations,
            "objective": probe.objective,
            "nonzero": int(np.count_nonzero(probe.weights)),
            "tried": tried,
            **found,
        }
    results = {name: results[name] for name in sets}
    reference = max(results, key=lambda name: (results[name]["tune"][card["metric"]], -results[name]["neurons"]))
    oracle, best = fitted[ORACLE], fitted[reference]
    data_for_ranking = rankings.RankingInput(
        X=data["train"], y=labels["train"], weights=oracle.weights, columns=features.columns_per_neuron,
        n_classes=n_classes, seed=params.seed, mass_step=params.probes.lca_step,
    )  # fmt: skip
    constant = np.bincount(everything[~alive] // features.width, minlength=features.layers)
    inputs = [*(paths.task(task) / s for s in (*splits, "card")), *(paths.activations(model, task, s) for s in splits)]
    settings = {"model": model, "task": task, **params.settings("fit_probes")}
    with Writer(paths.probes(model, task), "probes", settings, inputs) as out:
        for name in params.subsets.rankings:
            ranking = rankings.load(name)(data_for_ranking)
            out.npy(f"ranking_{name}.npy", kept[ranking.order].astype(np.int32))
            out.npy(f"ranking_{name}_per_class.npy", kept[ranking.per_class].astype(np.int32))
        out.json(
            "probes.json",
            {
                "order": list(results),
                "sets": results,
                "oracle": ORACLE,
                "reference": reference,
                "layers": features.layers,
                "width": features.width,
                "kept": len(kept),
                "constant_neurons": constant,
                "rankings": list(params.subsets.rankings),
            },
        )
        out.npy("kept.npy", kept.astype(np.int32))
        out.tensors(
            "weights.safetensors",
            {"weights": oracle.weights, "intercept": oracle.intercept,
             "reference_weights": best.weights, "reference_intercept": best.intercept},
        )  # fmt: skip
        for split, rows in predictions.items():
            out.npy(f"predictions_{split}.npy", np.stack([rows[name] for name in results]))
        out.facts = {"kept": len(kept), "constant": int(constant.sum()), "sets": len(results)}
    log.info("%s, %s: %d sets in %.1f s", model, task, len(results), time.monotonic() - began)
