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

import itertools
import logging
import time
from collections.abc import Generator, Mapping
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
from neurosieve.probes.solver import (
    GramCache,
    Memory,
    Probe,
    Product,
    alone,
    fitting,
    gram_of,
    row_weights,
    side_by_side,
    together,
)

log = logging.getLogger(__name__)

SPLITS = ("train", "tune", "judge")
ORACLE = "all"
STRIDE = np.float32(0.8)  # of the last step of a path: the length of the next that is tried first
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
    """A probe per penalty, started from its own in ``warm`` as far as that goes, else from those before."""
    cache = cache or gram_of(data["train"])
    return alone(data["train"], path(data["train"], labels["train"], n_classes, penalties, params, cache, warm))


def path(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    penalties: list[Penalty],
    params: Params,
    cache: GramCache,
    warm: list[Probe] | None = None,
) -> Generator[Product, Any, list[Probe]]:
    """The same as a generator that asks for its products with X (see solver.together).

    Those of one l1 come one after the other, for among them the columns that have weights change least; those of
    different l1 go side by side, for products of many rows take less time a row.
    """
    chains: dict[float, list[int]] = {}
    for i, penalty in enumerate(penalties):
        chains.setdefault(penalty.l1, []).append(i)

    def chain(at: list[int]) -> Generator[Product, Any, list[Probe]]:
        probes: list[Probe] = []
        memory = Memory()
        for i in at:
            found = yield from fitting(
                X, y, n_classes, penalties[i].l1, penalties[i].l2, params.probes.gap, params.probes.max_iterations,
                warm[i] if warm is not None and i < len(warm) else _ahead(probes), cache, memory=memory,
            )  # fmt: skip
            probes.append(found)
        return probes

    found = yield from side_by_side([chain(at) for at in chains.values()])
    places = itertools.chain.from_iterable(chains.values())
    by_place = dict(zip(places, itertools.chain.from_iterable(found), strict=True))
    return [by_place[i] for i in range(len(penalties))]


def _ahead(probes: list[Probe]) -> Probe | None:
    """Where the next probe of a path is likely to lie: further on the way from the last but one to the last."""
    if len(probes) < 2 or probes[-1].l1 > 0:
        return probes[-1] if probes else None
    last, before = probes[-1], probes[-2]
    return replace(
        last,
        weights=last.weights + STRIDE * (last.weights - before.weights),
        intercept=last.intercept + STRIDE * (last.intercept - before.intercept),
    )


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

    def columns(self, first: int, last: int) -> slice:
        """The columns of the kept neurons of layers first to last."""
        at, c = self.at(first, last), self.features.columns_per_neuron
        return slice(int(at[0]) * c, (int(at[-1]) + 1) * c)


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

    def add(self, name: str, layers: tuple[int, int], data: Data, probes: list[Probe]) -> None:
        """Choose among the probes of a set on tune."""
        columns = data.columns(*layers)
        part = {split: X[:, columns] for split, X in data.X.items()}
        probe, tried = best_on_tune(probes, part, data.y, data.n_classes, data.score)
        self.probes[name] = probe
        self.entries[name] = {
            "layers": list(layers),
            "neurons": (columns.stop - columns.start) // data.features.columns_per_neuron,
            "l1": probe.l1,
            "l2": probe.l2,
            "gap": probe.gap,
            "iterations": probe.iterations,
            "objective": probe.objective,
            "nonzero": int(np.count_nonzero(probe.weights)),
            "tried": tried,
        }
        for split, predictions in self.predictions.items():
            predicted = probe.predict(part[split])
            predictions[name] = metrics.stored(predicted)
            self.entries[name][split] = metrics.report(data.y[split], predicted, data.n_classes, data.scored)


def fit_sets(params: Params, data: Data, sets: Mapping[str, tuple[int, int]], title: str) -> Fits:
    """A probe for each feature set, its penalty chosen on tune; sets that share layers share their products with X."""
    fits = Fits()
    X, y, n_classes = data.X["train"], data.y["train"], data.n_classes
    columns = {name: data.columns(*layers) for name, layers in sets.items()}
    penalties = strongest_first(params.probes.penalties)
    single = [name for name, (first, last) in sets.items() if first == last]
    suffixes = [name for name in sets if name not in single and name.startswith(SUFFIX)]
    wide = [name for name in sets if name not in single and name not in suffixes]
    with tqdm(total=len(sets), desc=title, unit="set", mininterval=5) as bar:

        def fit_all(paths: Mapping[str, Generator[Product, Any, list[Probe]]]) -> None:
            found = together(X, [(columns[name], fits_of) for name, fits_of in paths.items()])
            for name, probes in zip(paths, found, strict=True):
                fits.add(name, sets[name], data, probes)
            bar.update(len(paths))

        for name in single:  # no two have a column in common
            part = X[:, columns[name]]
            fit_all({name: path(part, y, n_classes, penalties, params, gram_of(part))})
        if wide or suffixes:
            # the best single layer shapes the metric for the sets of many layers
            best = max(single, key=lambda name: max(t["tune"] for t in fits.entries[name]["tried"]), default=None)
            weights = None if best is None else row_weights(fits.probes[best], X[:, columns[best]])
            gram = gram_of(X, weights)
            part_of = {name: X[:, columns[name]] for name in (*wide, *suffixes)}
            # a cache of its own for each, which goes with its path: it keeps the factors that it made
            fit_all({n: path(part_of[n], y, n_classes, penalties, params, gram.take(columns[n])) for n in wide})
            # a suffix is tried with the best penalty on all neurons and its neighbours, from the weights there
            oracle = fits.probes[ORACLE]
            around = candidates(penalties, oracle.l1, oracle.l2)
            starts = {n: [replace(oracle, weights=oracle.weights[columns[n]])] for n in suffixes}
            fit_all(
                {n: path(part_of[n], y, n_classes, around, params, gram.take(columns[n]), starts[n]) for n in suffixes}
            )
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
