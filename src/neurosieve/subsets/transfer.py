"""Do the neurons of one task serve another? The headline subset of task A, tried on task B, for all tasks of a model.

Reads, for every task of the run: prepare/tasks/<task>/{train,tune,judge,card}, activations/<model>/<task>/{train,tune,
judge}, probes/models/<model>/<task> (kept neurons, judge predictions), subsets/search/<model>/<task>.
Nothing here reads test: it is a question about dev, and nothing is chosen by it.
Writes subsets/transfer/<model>/transfer.json:

{"model", "ranking": the headline, "tasks", "metric": {task: primary metric},
 "subsets": {task: {"neurons": number, "claimed"} or null where the task has neither minimum nor estimate},
 "reference": {task: judge score}, "matrix": {B: {A: see :func:`entry`, or null where A has no subset}},
 "overlap": {A: {B: see :func:`overlap`, or null}}}

A's neurons are refitted on B: columns as B has them (a pair task has several to a neuron), standardised by B's train,
fitted with the penalties that B's search tried, the best on B's tune judged on
B's judge. Neurons that are constant on B's train are left out there, and counted. Beside it stand as many neurons of
B's own random orders (the draws of its search), treated alike. Whether A and B predict classes or numbers plays no
part: neurons are refitted on B's target and scored by its metric. The diagonal is the row's own subset as the search
judged it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from neurosieve.artifacts import Paths, read_json, read_npy
from neurosieve.config import Params, Penalty
from neurosieve.flow import writer
from neurosieve.probes import intervals, metrics
from neurosieve.probes.agreement import chance_overlap
from neurosieve.probes.features import Features, layout, standardize_train
from neurosieve.probes.fit import tuned
from neurosieve.subsets import minimal
from neurosieve.subsets.curves import RANDOM, random_orders
from neurosieve.subsets.data import SPLITS
from neurosieve.subsets.reference import reference_judge

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """Task B as others' neurons meet it: its rows, its score, its reference on judge and what its search found.

    ``X`` by split: standardised features of the neurons ``kept``, in their order.
    """

    features: Features
    kept: np.ndarray
    X: dict[str, np.ndarray]
    score: metrics.Metric
    bootstrap: intervals.FileBootstrap
    reference: np.ndarray
    curves: dict[str, Any]
    params: Params

    def counts(self, predicted: np.ndarray) -> np.ndarray:
        """(F, K, K) confusion counts by file of judge, or sums of numbers."""
        labels, files = self.features.labels("judge"), self.features.files("judge")
        return metrics.counts_by_file(labels, predicted, files, len(self.features.classes))

    def value(self, predicted: np.ndarray) -> float:
        return float(self.score(self.counts(predicted).sum(0)))

    def predict(self, neurons: np.ndarray) -> np.ndarray:
        """Judge predictions of a probe on these neurons (kept ones of this task), its penalty tuned on tune."""
        columns = self.features.columns(np.searchsorted(self.kept, neurons))
        X = {split: np.take(rows, columns, axis=1) for split, rows in self.X.items()}
        labels = {split: self.features.labels(split) for split in SPLITS}
        penalties = [Penalty.model_validate(p, strict=False) for p in self.curves["penalties"]]
        probe, _ = tuned(X, labels, len(self.features.classes), penalties, self.score, self.params)
        return probe.predict(X["judge"])


def entry(target: Target, neurons: np.ndarray, orders: list[np.ndarray]) -> dict[str, Any]:
    """Neurons of another task on this one.

    "neurons": used; "constant": left out, being constant here; "judge": primary metric; "difference", "lower": to this
    task's reference, and its one-sided bound; "share_kept" of (reference - best baseline), null where the reference is
    not above it; "random", "random_low", "random_high": mean and range of as many random neurons over the draws.
    """
    used = neurons[np.isin(neurons, target.kept)]
    confidence = target.params.probes.confidence
    reference = target.value(target.reference)
    found: dict[str, Any] = {"neurons": len(used), "constant": len(neurons) - len(used)}
    if not len(used):
        return {**found, **dict.fromkeys((*JUDGED, *DRAWN))}
    predicted = target.predict(used)
    random = [target.value(target.predict(target.kept[order[: len(used)]])) for order in orders]
    mine, other = (target.bootstrap.replicates(target.counts(p), target.score) for p in (predicted, target.reference))
    value = target.value(predicted)
    return {
        **found,
        "judge": value,
        "difference": value - reference,
        "lower": float(intervals.lower(mine - other, confidence)),
        "share_kept": minimal.share_kept(value, reference, _best_baseline(target.curves)),
        **_drawn(random),
    }


JUDGED = ("judge", "difference", "lower", "share_kept")
DRAWN = ("random", "random_low", "random_high")


def own(curves: Mapping[str, Any], frozen: Mapping[str, Any]) -> dict[str, Any]:
    """The same keys for the row's own subset, from its search."""
    name = curves["headline"]
    curve = curves["curves"][name]
    at = curve["sizes"].index(curve["size"])
    draws = [e["judge"] for e in frozen["sets"].values() if e["kind"] == RANDOM and e["ranking"] == name]
    return {
        "neurons": curve["size"],
        "constant": 0,
        "judge": curve["judge"][at],
        "difference": curve["difference"][at],
        "lower": curve["lower"][at],
        "share_kept": curve["share_kept"],
        **_drawn(draws),
    }


def overlap(a: np.ndarray, b: np.ndarray, n: int) -> dict[str, Any]:
    """How much two sets of neurons have in common.

    "shared": number of neurons in both; "jaccard": shared / in either; "expected_shared", "expected_jaccard": the
    means where both are drawn at random from ``n`` neurons (hypergeometric).
    """
    shared = len(np.intersect1d(a, b))
    x, y = len(a), len(b)
    return {
        "shared": shared,
        "jaccard": shared / (x + y - shared),
        "expected_shared": x * y / n,
        "expected_jaccard": chance_overlap(x, y, n),
    }


def transfer_subsets(params: Params, paths: Paths, *, model: str) -> None:
    """Write subsets/transfer/<model>; the module's docstring says what."""
    began = time.monotonic()
    tasks = params.run.tasks
    headline = params.subsets.headline
    folders = {task: paths.search(model, task) for task in tasks}
    frozen = {task: read_json(folder / "frozen.json") for task, folder in folders.items()}
    curves = {task: read_json(folder / "curves.json") for task, folder in folders.items()}
    kept = {task: read_npy(paths.probes(model, task) / "kept.npy") for task in tasks}
    sets = {task: found["sets"].get(f"subset-{headline}") for task, found in frozen.items()}
    subsets = {task: np.array(found["neurons"], np.int64) for task, found in sets.items() if found is not None}
    matrix: dict[str, dict[str, Any]] = {}
    references: dict[str, float] = {}
    with tqdm(desc=f"transfer {model}", total=len(tasks) ** 2, unit="pair", mininterval=5) as progress:
        for task in tasks:
            features = layout(paths, params, model, task)
            card = read_json(paths.task(task) / "card" / "card.json")
            n = params.probes.bootstrap
            target = Target(
                features=features,
                kept=kept[task],
                X=_standardised(features, kept[task]),
                score=metrics.primary(card),
                bootstrap=intervals.task_bootstrap(
                    params.seed, task, "judge", features.files("judge"), n, features.rows("judge").sides
                ),
                reference=reference_judge(paths, model, task),
                curves=curves[task],
                params=params,
            )
            references[task] = target.value(target.reference)
            orders = random_orders(params, model, task, len(kept[task]), params.subsets.random_draws)
            matrix[task] = {}
            for source in tasks:
                if source not in subsets:
                    matrix[task][source] = None
                elif source == task:
                    matrix[task][source] = own(curves[task], frozen[task])
                else:
                    matrix[task][source] = entry(target, subsets[source], orders)
                progress.update()
    report = {
        "model": model,
        "ranking": headline,
        "tasks": tasks,
        "metric": {task: curves[task]["metric"] for task in tasks},
        "subsets": {
            task: None if found is None else {"neurons": len(found["neurons"]), "claimed": found["claimed"]}
            for task, found in sets.items()
        },
        "reference": references,
        "matrix": matrix,
        "overlap": {
            a: {
                b: overlap(subsets[a], subsets[b], len(np.union1d(kept[a], kept[b])))
                if a in subsets and b in subsets
                else None
                for b in tasks
            }
            for a in tasks
        },
    }
    with writer(params, paths, "transfer_subsets", model=model) as out:
        out.json("transfer.json", report)
        out.facts = {"tasks": len(tasks), "subsets": len(subsets)}
    log.info("%s: %d tasks in %.1f s", model, len(tasks), time.monotonic() - began)


def _standardised(features: Features, kept: np.ndarray) -> dict[str, np.ndarray]:
    """Features of the kept neurons, standardised by train as the probes phase does."""
    X = {split: features.load(split, kept) for split in SPLITS}
    _, standardizer = standardize_train(X["train"], features, kept)
    return {split: standardizer.apply(rows) for split, rows in X.items()}


def _best_baseline(curves: Mapping[str, Any]) -> float:
    return float(curves["baselines"][curves["baseline"]]["judge"])


def _drawn(scores: list[float]) -> dict[str, float | None]:
    """Mean and range over the random draws."""
    if not scores:
        return dict.fromkeys(DRAWN)
    return {"random": math.fsum(scores) / len(scores), "random_low": min(scores), "random_high": max(scores)}
