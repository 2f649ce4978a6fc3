"""Protocol `published`: the steps of arXiv 2305.00875 as METHOD 2 lists them, choices on test included.

So that a user with the models can set their figures beside the published ones, and next to the strict rows, which alone
are judged. Runs only where run.protocols names `published`; the leaderboard is its one reader.

Reads: prepare/tasks/<task>/{train,tune,judge,test,card}, activations/<model>/<task>/{train,tune,judge,test}.
Writes subsets/published/<model>/<task>/published.json:

{"model", "task", "metric": the published one, accuracy on token tasks, else the task's own; "primary_metric", "unit",
 "n_neurons", "layers", "width", "constant": neurons that are constant on train (zeros here, never dropped),
 "rows": {set: rows}, "majority": score of the most frequent train class on test, "shuffle",
 "seeds": [{"seed", "oracle": {"score", "primary", "dev", "l1", "l2", "epochs"},
            "rows": [{"dL", "dN", "k", "threshold", "kept", "base", "n", "share", "passed", "score", "primary", "dev",
                      "epochs", "layers": those in which the n neurons lie}], "reported": place in rows}],
 "spread": {"oracle"|"n"|"score": [smallest, largest] over seeds, of the reported rows}}

Where a number is predicted the protocol is not defined: "reason" says so, "seeds" is empty, and all but model, task,
"metric", "unit", "n_neurons", "layers" and "width" is null.

dev is tune and judge together; test is test, and also what thresholds, stopping sizes and the reported row are chosen
on, as published: that is what this protocol is kept to show. Token features are z-scored with train statistics;
sequences and pairs are not normalised (METHOD 3.2, row 13). The publication pushed pairs through a dense layer (row
19); here the columns of a pair are probes.pair_features. How sub-word vectors are pooled is the benchmark's
`activations`, the same for both protocols.
"""

from __future__ import annotations

import logging
import time
import zlib
from typing import Any

import numpy as np

from neurosieve.artifacts import Paths, read_json, read_npy
from neurosieve.config import SPLITS, Params
from neurosieve.flow import writer
from neurosieve.probes import metrics
from neurosieve.probes.features import Features, layout, standardize_train
from neurosieve.subsets.published.probe import method_of
from neurosieve.subsets.published.search import Data, Fit, Result, Row, find_oracles, grid_of, search

log = logging.getLogger(__name__)


def published_metric(card: dict[str, Any]) -> str:
    """Accuracy for tokens, the task's primary metric for the others."""
    return "accuracy" if card["unit"] == "token" else str(card["metric"])


Sets = dict[str, np.ndarray]


def load_sets(features: Features) -> tuple[Sets, Sets]:
    """Raw features and classes of the published splits train, dev and test."""
    X = {split: features.load(split) for split in SPLITS}
    y = {split: features.labels(split) for split in SPLITS}
    for values in (X, y):
        values["dev"] = np.concatenate([values.pop("tune"), values.pop("judge")])
    return X, y


def make_data(
    params: Params, features: Features, card: dict[str, Any], X: Sets, y: Sets, memory: dict[Any, Fit] | None = None
) -> tuple[Data, int]:
    """What the search takes, and how many neurons are constant on train; token features of ``X`` are z-scored in place.

    ``X`` and ``y`` have "train", "dev" and the sets that are scored; train may be a resample.
    """
    kept, standardizer = standardize_train(X["train"], features, np.arange(features.n_neurons))
    if features.unit == "token":
        for values in X.values():
            standardizer.apply(values)
    name = published_metric(card)

    def score(split: str, predicted: np.ndarray) -> float:
        return value(name, card, y[split], predicted)

    data = Data(
        X=X,
        y=y,
        vectors=X["train"] if features.columns_per_neuron == 1 else _vectors(features),
        layers=features.layers,
        width=features.width,
        columns=features.columns_per_neuron,
        n_classes=len(features.classes),
        score=score,
        names=(params.seed, zlib.crc32(f"published {features.model}/{features.task}".encode())),
        memory=memory,
    )
    return data, int((~kept).sum())


def _vectors(features: Features) -> np.ndarray:
    """Train vectors of the inputs of pairs, all layers side by side."""
    folder = features.paths.activations(features.model, features.task, "train")
    return np.concatenate([read_npy(folder / f"layer_{i:02d}.npy") for i in range(features.layers)], axis=1)


def value(metric: str, card: dict[str, Any], y: np.ndarray, predicted: np.ndarray) -> float:
    """One metric of predicted classes."""
    C = metrics.confusion_by_file(y, predicted, np.zeros_like(y), len(card["classes"]), 1)[0]
    return float(metrics.metric(metric, C, card["scored_classes"]))


def reproduce_published(params: Params, paths: Paths, *, model: str, task: str) -> None:
    """Write subsets/published/<model>/<task>; see the module's docstring."""
    began = time.monotonic()
    settings = params.published
    features = layout(paths, params, model, task)
    card = read_json(paths.task(task) / "card" / "card.json")
    if features.number:
        with writer(params, paths, "reproduce_published", model=model, task=task) as out:
            out.json("published.json", _undefined(features, card))
        return
    data, constant = make_data(params, features, card, *load_sets(features))
    method = method_of(features.unit, settings)
    oracles = find_oracles(data, settings.seeds, grid_of(features.unit == "token", settings), method)
    results = search(data, settings, method, oracles)
    majority = np.full_like(data.y["test"], np.bincount(data.y["train"]).argmax())
    report = {
        "model": model,
        "task": task,
        "metric": published_metric(card),
        "primary_metric": card["metric"],
        "unit": features.unit,
        "n_neurons": data.n_neurons,
        "layers": data.layers,
        "width": data.width,
        "constant": constant,
        "rows": {name: len(labels) for name, labels in data.y.items()},
        "majority": data.score("test", majority),
        "shuffle": settings.shuffle,
        "seeds": [_seed(result, data, card) for result in results],
        "spread": spread(results),
    }
    with writer(params, paths, "reproduce_published", model=model, task=task) as out:
        out.json("published.json", report)
        out.facts = {"seeds": len(results), "rows": sum(len(r.rows) for r in results), "constant": constant}
    log.info("%s, %s: published protocol, %d seeds in %.1f s", model, task, len(results), time.monotonic() - began)


def _undefined(features: Features, card: dict[str, Any]) -> dict[str, Any]:
    """published.json of a task whose target is a number."""
    nothing = ("constant", "rows", "majority", "shuffle", "spread")
    return {
        "model": features.model,
        "task": features.task,
        "metric": card["metric"],
        "primary_metric": card["metric"],
        "unit": features.unit,
        "n_neurons": features.n_neurons,
        "layers": features.layers,
        "width": features.width,
        "seeds": [],
        "reason": "the protocol published is defined for classes; the target is a number",
        **dict.fromkeys(nothing),
    }


def spread(results: list[Result], name: str = "test") -> dict[str, list[float]]:
    """Smallest and largest over seeds: the oracle's score, and size and score of the reported row."""
    best = [(r.oracle.scores[name], r.best.n, _fit(r.best).scores[name]) for r in results]
    return {key: [min(v), max(v)] for key, v in zip(("oracle", "n", "score"), zip(*best, strict=True), strict=True)}


def _fit(row: Row) -> Fit:
    assert row.fit is not None
    return row.fit


def _seed(result: Result, data: Data, card: dict[str, Any]) -> dict[str, Any]:
    return {
        "seed": result.seed,
        "oracle": {**_scores(result.oracle, data, card), "l1": result.l1, "l2": result.l2},
        "rows": [
            {
                "dL": row.dL,
                "dN": row.dN,
                "k": row.k,
                "threshold": row.threshold,
                "kept": row.kept,
                "base": row.base,
                "n": row.n,
                "share": row.share,
                "passed": row.passed,
                "layers": np.unique(row.neurons // data.width),
                **_scores(_fit(row), data, card),
            }
            for row in result.rows
        ],
        "reported": result.reported,
    }


def _scores(fit: Fit, data: Data, card: dict[str, Any]) -> dict[str, Any]:
    return {
        "score": fit.scores["test"],
        "primary": value(card["metric"], card, data.y["test"], fit.predicted["test"]),
        "dev": fit.scores["dev"],
        "epochs": fit.epochs,
    }
