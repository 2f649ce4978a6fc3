"""Probes on all neurons, on each layer, on each prefix and suffix of layers, and the rankings of the neurons.

Reads: prepare/tasks/<task>/{train,tune,judge,card}, activations/<model>/<task>/{train,tune,judge}.
Writes probes/models/<model>/<task>:

probes.json            {"order": names of the feature sets, "sets": {name: {"layers": [first, last], "neurons", "l1",
                       "l2", "gap", "iterations", "objective", "nonzero", "tune": metrics, "judge": metrics,
                       "tried": [{"l1", "l2", "tune"}]}}, "oracle": "all", "reference": best set on tune but for the
                       suffixes, "layers", "width", "kept": neurons that are not constant, "constant_neurons": their
                       number by layer, "rankings": names; where a number is predicted also "not_applicable": those that
                       rank by classes only and are left out}
predictions_tune.npy   int16 classes or float32 numbers (sets, rows), predictions_judge.npy alike, in the order of
                       "order"
weights.safetensors    weights (columns, K) and intercept (K,) of the oracle, float32; reference_weights and
                       reference_intercept alike, columns those of the reference's kept neurons, with reference_mean and
                       reference_scale (columns,): scores = ((x - mean) * scale) @ weights + intercept
kept.npy               int32 (kept,) global indices of the neurons that are not constant on train
ranking_<name>.npy     int32 (kept,) global indices, best first; ranking_<name>_per_class.npy (classes or 1, kept)
agreement.json         how far the rankings agree (see agreement.agreement): "rankings", "sizes", "sizes_left_out",
                       "overlap", "avg_overlap", "mean_overlap", "neuron_vote", "chance", "consensus"
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from neurosieve.artifacts import Paths, read_json
from neurosieve.config import CONTROL_RANKINGS, Params, Penalty, ranks_numbers
from neurosieve.flow import writer
from neurosieve.probes import metrics, rankings
from neurosieve.probes.agreement import agreement
from neurosieve.probes.features import Features, Standardizer, layout, standardize_train
from neurosieve.probes.solver import GramCache, Probe, fit, row_weights

log = logging.getLogger(__name__)

SPLITS = ("train", "tune", "judge")
ORACLE = "all"
SUFFIX = "suffix-"  # the last layers: tried beside the others, never the reference (METHOD 3.1)


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
    probes = solve(data, labels, n_classes, strongest_first(penalties), params, cache)
    return best_on_tune(probes, data, labels, n_classes, score)


def solve(
    data: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    n_classes: int,
    penalties: list[Penalty],
    params: Params,
    cache: GramCache | None = None,
    warm: list[Probe] | None = None,
) -> list[Probe]:
    """A probe per penalty, each started from its own in ``warm``, else from the one before."""
    probes: list[Probe] = []
    cache = cache or GramCache(data["train"])
    for i, penalty in enumerate(penalties):
        start = warm[i] if warm is not None else probes[-1] if probes else None
        probe = fit(
            data["train"], labels["train"], n_classes, penalty.l1, penalty.l2,
            gap=params.probes.gap, max_iterations=params.probes.max_iterations, warm=start, cache=cache,
        )  # fmt: skip
        probes.append(probe)
    return probes


def best_on_tune(
    probes: list[Probe],
    data: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    n_classes: int,
    score: metrics.Metric,
) -> tuple[Probe, list[dict[str, float]]]:
    """The first of the probes that no other beats on tune, and the score of each."""
    found = [float(score(_counts(labels["tune"], p.predict(data["tune"]), n_classes))) for p in probes]
    tried = [{"l1": p.l1, "l2": p.l2, "tune": value} for p, value in zip(probes, found, strict=True)]
    return probes[found.index(max(found))], tried


def candidates(penalties: list[Penalty], l1: float, l2: float) -> list[Penalty]:
    """The penalty (l1, l2) and its neighbours in the order from strong to weak."""
    ordered = strongest_first(penalties)
    at = next(i for i, p in enumerate(ordered) if (p.l1, p.l2) == (l1, l2))
    return ordered[max(0, at - 1) : at + 2]


def _counts(y: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """(K, K) counts of all rows, or (1, 6) sums of numbers."""
    return metrics.counts_by_file(y, predicted, np.zeros(len(y), np.int64), n_classes, 1)[0]


def feature_sets(kept: np.ndarray, features: Features) -> dict[str, tuple[int, int]]:
    """Name -> first and last layer. Sets without a kept neuron are left out; the first prefix is the first layer, the
    last is all, and so is the first suffix."""
    last = features.layers - 1
    measured = features.measured
    sets = {ORACLE: (0, last)}
    sets |= {f"layer-{i:02d}": (i, i) for i in measured if len(measured) > 1}
    sets |= {f"prefix-{i:02d}": (0, i) for i in measured[1:-1]}
    sets |= {f"{SUFFIX}{i:02d}": (i, last) for i in measured[1:-1]}
    layer_of = kept // features.width
    return {name: (a, b) for name, (a, b) in sets.items() if ((layer_of >= a) & (layer_of <= b)).any()}


def applicable(params: Params, n_classes: int) -> tuple[list[str], list[str]]:
    """Those of ``probes.rankings`` that rank for the task's target, and the others; the headline ranking is never among
    the others (config/checks.py)."""
    named = params.probes.rankings
    known = [name for name in named if n_classes != metrics.NUMBER or ranks_numbers(name)]
    return known, [name for name in named if name not in known]


@dataclass(frozen=True)
class Data:
    """Features and labels of the splits that probes are fitted, tuned and judged on, constant neurons left out.

    X: split -> float32 (rows, columns of the kept neurons), standardised by ``standardizer``. y: split -> (rows,).
    kept (kept,) and constant: sorted global indices of the neurons that are not and are constant on train.
    """

    features: Features
    X: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    kept: np.ndarray
    constant: np.ndarray
    standardizer: Standardizer
    n_classes: int
    scored: list[int]
    score: metrics.Metric

    def at(self, first: int, last: int) -> np.ndarray:
        """Positions among the kept neurons of those of layers first to last: consecutive, for kept is sorted."""
        layer_of = self.kept // self.features.width
        return np.flatnonzero((layer_of >= first) & (layer_of <= last))


def load_data(features: Features, card: Mapping[str, Any]) -> Data:
    labels = {split: features.labels(split) for split in SPLITS}
    everything = features.everything
    data = {split: features.load(split) for split in SPLITS}
    alive, standardizer = standardize_train(data["train"], features, everything)
    kept, columns = everything[alive], features.columns(np.flatnonzero(alive))
    for split in SPLITS:
        data[split] = standardizer.apply(data[split])
        if len(kept) < len(everything):
            data[split] = np.ascontiguousarray(data[split][:, columns])
    return Data(
        features, data, labels, kept, everything[~alive], standardizer.take(columns),
        len(card["classes"]), card["scored_classes"], metrics.primary(card),
    )  # fmt: skip


@dataclass
class Fits:
    """What fitting the feature sets finds, by name of the set; "predictions" by split and name, as they are stored."""

    probes: dict[str, Probe] = field(default_factory=dict)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)  # of probes.json
    predictions: dict[str, dict[str, np.ndarray]] = field(default_factory=lambda: {"tune": {}, "judge": {}})


def fit_sets(params: Params, data: Data, sets: Mapping[str, tuple[int, int]], title: str) -> Fits:
    """A probe for each feature set, its penalty chosen on tune."""
    fits = Fits()
    gram: GramCache | None = None
    undecided: tuple[float, np.ndarray | None] = (-np.inf, None)  # tune score and row weights of the best single layer
    wider: list[Probe] = []  # probes of the set that holds the next suffix: all neurons, then each suffix
    # single layers first: they are cheap, and the best of them shapes the metric for the sets of many layers
    order = sorted(sets, key=lambda name: sets[name][0] != sets[name][1])
    for name in tqdm(order, desc=title, unit="set", mininterval=5):
        first, last = sets[name]
        at = data.at(first, last)
        # the columns of consecutive layers are a slice: no copy
        columns = slice(at[0] * data.features.columns_per_neuron, (at[-1] + 1) * data.features.columns_per_neuron)
        part = {split: X[:, columns] for split, X in data.X.items()}
        if first == last:
            cache = GramCache(part["train"])
        else:
            gram = GramCache(data.X["train"], undecided[1]) if gram is None else gram
            cache = gram.take(columns)
        penalties, warm = strongest_first(params.probes.penalties), None
        if name.startswith(SUFFIX):
            # as along a ranking: from the wider set's weights, its best penalty and the neighbours of that
            around = candidates(penalties, fits.probes[ORACLE].l1, fits.probes[ORACLE].l2)
            penalties, wider = around, [p for p in wider if any((p.l1, p.l2) == (c.l1, c.l2) for c in around)]
            warm = [replace(p, weights=p.weights[-part["train"].shape[1] :]) for p in wider]
        probes = solve(part, data.y, data.n_classes, penalties, params, cache, warm)
        probe, tried = best_on_tune(probes, part, data.y, data.n_classes, data.score)
        if name == ORACLE or warm is not None:
            wider = probes
        if first == last and (value := max(t["tune"] for t in tried)) > undecided[0]:
            undecided = value, row_weights(probe, part["train"])
        fits.probes[name] = probe
        fits.entries[name] = {
            "layers": [first, last],
            "neurons": len(at),
            "l1": probe.l1,
            "l2": probe.l2,
            "gap": probe.gap,
            "iterations": probe.iterations,
            "objective": probe.objective,
            "nonzero": int(np.count_nonzero(probe.weights)),
            "tried": tried,
        }
        for split, predictions in fits.predictions.items():
            predicted = probe.predict(part[split])
            predictions[name] = metrics.stored(predicted)
            fits.entries[name][split] = metrics.report(data.y[split], predicted, data.n_classes, data.scored)
    return fits


def choose_reference(results: Mapping[str, Mapping[str, Any]], metric: str) -> str:
    """The set that is best on tune, ties to fewer neurons; the suffixes are no candidates."""
    return max(
        (name for name in results if not name.startswith(SUFFIX)),
        key=lambda name: (results[name]["tune"][metric], -results[name]["neurons"]),
    )


def rank_neurons(params: Params, data: Data, oracle: Probe, names: list[str]) -> dict[str, rankings.Ranking]:
    """The rankings of these names, of positions among the kept neurons."""
    given = rankings.RankingInput(
        X=data.X["train"], y=data.y["train"], weights=oracle.weights, columns=data.features.columns_per_neuron,
        n_classes=data.n_classes, seed=params.seed, mass_step=params.probes.lca_step,
    )  # fmt: skip
    return {name: rankings.load(name)(given) for name in names}


def fit_probes(params: Params, paths: Paths, *, model: str, task: str) -> None:
    """Write probes/models/<model>/<task>; see the module's docstring."""
    began = time.monotonic()
    features = layout(paths, params, model, task)
    card = read_json(paths.task(task) / "card" / "card.json")
    ranked, not_applicable = applicable(params, len(card["classes"]))
    data = load_data(features, card)
    kept, sets = data.kept, feature_sets(data.kept, features)
    fits = fit_sets(params, data, sets, f"probes {model} {task}")
    results = {name: fits.entries[name] for name in sets}
    reference = choose_reference(results, card["metric"])
    oracle, best = fits.probes[ORACLE], fits.probes[reference]
    found = rank_neurons(params, data, oracle, ranked)
    orders = {name: kept[ranking.order] for name, ranking in found.items()}
    standardizer = data.standardizer.take(features.columns(data.at(*sets[reference])))
    constant = np.bincount(data.constant // features.width, minlength=features.layers)

    with writer(params, paths, "fit_probes", model=model, task=task) as out:
        for name, ranking in found.items():
            out.npy(f"ranking_{name}.npy", orders[name].astype(np.int32))
            out.npy(f"ranking_{name}_per_class.npy", kept[ranking.per_class].astype(np.int32))
        out.json("agreement.json", agreement(orders, params.probes.agreement_sizes, CONTROL_RANKINGS))
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
                "rankings": ranked,
                **({"not_applicable": not_applicable} if not_applicable else {}),
            },
        )
        out.npy("kept.npy", kept.astype(np.int32))
        out.tensors(
            "weights.safetensors",
            {"weights": oracle.weights, "intercept": oracle.intercept,
             "reference_weights": best.weights, "reference_intercept": best.intercept,
             "reference_mean": standardizer.mean.astype(np.float32),
             "reference_scale": (1.0 / standardizer.std).astype(np.float32)},
        )  # fmt: skip
        for split, rows in fits.predictions.items():
            out.npy(f"predictions_{split}.npy", np.stack([rows[name] for name in results]))
        out.facts = {"kept": len(kept), "constant": int(constant.sum()), "sets": len(results)}
    log.info("%s, %s: %d sets in %.1f s", model, task, len(results), time.monotonic() - began)
