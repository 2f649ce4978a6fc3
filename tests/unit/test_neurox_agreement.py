"""LCA, probeless and clusters against what NeuroX answered to the same inputs (tests/data/neurox_agreement)."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosieve.constant import constant_neurons
from neurosieve.probes import rankings
from neurosieve.probes.rankings import Ranking, RankingInput
from neurosieve.probes.rankings.lca import _entry_step
from neurosieve.redundancy import Sample, cluster_neurons

FOLDER = Path("tests/data/neurox_agreement")
_spec = importlib.util.spec_from_file_location("neurox_agreement_inputs", FOLDER / "inputs.py")
inputs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(inputs)

UNTIED = ["real-1", "real-2", "whole"]


def stored(kind: str, name: str, *arrays: np.ndarray) -> dict[str, Any]:
    """NeuroX's answers, checked to be of these very inputs."""
    found = json.loads((FOLDER / f"{kind}-{name}.json").read_text(encoding="utf-8"))
    message = "numpy draws other numbers from this seed; make the data again as its README.md says"
    assert found["sha256"] == inputs.digest(*arrays), message
    return found


def lca(weights: np.ndarray, step: float) -> Ranking:
    X, y = np.zeros((2, len(weights)), np.float32), np.zeros(2, np.int64)
    n_classes = weights.shape[1]
    return rankings.load("lca")(RankingInput(X=X, y=y, weights=weights, columns=1, n_classes=n_classes, mass_step=step))


def test_every_file_of_figures_is_compared():
    wanted = {f"lca-{name}.json" for name in inputs.WEIGHTS} | {f"data-{name}.json" for name in inputs.DATA}
    assert {p.name for p in FOLDER.glob("*.json")} == wanted
    assert set(inputs.WEIGHTS) == {*UNTIED, "ties"}


@pytest.mark.parametrize("stride", inputs.STRIDES)
@pytest.mark.parametrize("name", UNTIED)
def test_lca_takes_the_same_neurons_at_every_mass(name, stride):
    weights = inputs.WEIGHTS[name]()
    steps = {int(k): s for k, s in stored("lca", name, weights)["orderings"][str(stride)].items()}
    # NeuroX has a step at mass 0, which takes the first neuron of every class; ours starts with the first real step
    steps[1] = steps.pop(0) + steps.get(1, [])
    order, begin = lca(weights, 1 / stride).order, 0
    for k in sorted(steps):
        end = begin + len(steps[k])
        assert sorted(order[begin:end].tolist()) == sorted(steps[k]), f"mass {k}/{stride}"
        begin = end
    assert begin == len(weights)


@pytest.mark.parametrize("mass", inputs.MASSES)
@pytest.mark.parametrize("name", UNTIED)
def test_lca_takes_the_same_neurons_of_every_class(name, mass):
    weights = inputs.WEIGHTS[name]()
    found = stored("lca", name, weights)["top"][str(mass)]
    ranking = lca(weights, mass)
    for c, theirs in enumerate(found["per_class"]):
        assert ranking.per_class[c, : len(theirs)].tolist() == theirs
        assert taken(weights[:, c], mass) == len(theirs)
    assert sorted(ranking.order[: len(found["union"])].tolist()) == found["union"]


def taken(weights: np.ndarray, mass: float) -> int:
    """Neurons of the first step: the shortest prefix that holds the share ``mass``."""
    sizes = np.abs(weights.astype(np.float64))
    return int((_entry_step(sizes, rankings.by_score(sizes), mass) == 1).sum())


@pytest.mark.parametrize("mass", inputs.MASSES)
def test_with_ties_lca_takes_as_many_neurons_of_the_same_weights(mass):
    """Which of several neurons of one weight comes first NeuroX leaves to an unstable sort; ours takes the lowest."""
    weights = inputs.WEIGHTS["ties"]()
    for c, theirs in enumerate(stored("lca", "ties", weights)["top"][str(mass)]["per_class"]):
        ours = lca(weights, mass).per_class[c, : len(theirs)]
        assert np.abs(weights[ours, c]).tolist() == np.abs(weights[theirs, c]).tolist()
        assert taken(weights[:, c], mass) == len(theirs)


def test_neurons_without_weight_are_last_and_not_in_neurox_at_all():
    weights = inputs.WEIGHTS["ties"]()
    none = np.flatnonzero(~weights.any(axis=1))
    for stride, steps in stored("lca", "ties", weights)["orderings"].items():
        missing = sorted(set(range(len(weights))) - {n for step in steps.values() for n in step})
        assert missing == none.tolist() == lca(weights, 1 / int(stride)).order[-len(none) :].tolist()


def probeless(X: np.ndarray, y: np.ndarray) -> Ranking:
    n_classes = int(y.max()) + 1
    weights = np.zeros((X.shape[1], 1), np.float32)
    return rankings.load("probeless")(RankingInput(X=X, y=y, weights=weights, columns=1, n_classes=n_classes))


@pytest.mark.parametrize("name", ["three-classes", "two-classes"])
def test_probeless_order_is_the_same(name):
    X, y = inputs.DATA[name]()
    found, ours = stored("data", name, X, y)["probeless"], probeless(X, y)
    assert ours.order.tolist() == found["order"]
    theirs = found["per_class"] if name == "three-classes" else found["per_class"][:1]  # two classes have one order
    assert ours.per_class.tolist() == theirs


def test_with_ties_probeless_scores_fall_alike():
    """Eight neurons have a double: the same score, in an order that NeuroX leaves to an unstable sort."""
    X, y = inputs.DATA["ties"]()
    found, ours = stored("data", "ties", X, y)["probeless"], probeless(X, y)
    double = {**{50 + i: i for i in range(8)}, 59: 58}  # and two constant neurons both score nothing
    assert ours.order.tolist() != found["order"]
    for mine, theirs in zip([ours.order, *ours.per_class], [found["order"], *found["per_class"]], strict=True):
        assert [double.get(n, n) for n in mine.tolist()] == [double.get(n, n) for n in theirs]


@pytest.mark.parametrize("name", list(inputs.DATA))
def test_clusters_are_the_same_at_every_threshold(name):
    X, y = inputs.DATA[name]()
    found = stored("data", name, X, y)["clusters"]
    constant = constant_neurons(X)[None]
    ours = cluster_neurons(Sample.of([X]), inputs.THRESHOLDS)
    sizes = set()
    for threshold, labels in zip(inputs.THRESHOLDS, ours.labels, strict=True):
        theirs = found[str(threshold)]
        # NeuroX gives a neuron that never varies the correlation 0 with all others: a cluster of its own. Ours drops it
        alone = [[int(n)] for n in np.flatnonzero(constant)]
        assert all(cluster in theirs for cluster in alone)
        partition = sorted(np.flatnonzero(labels == c).tolist() for c in range(labels.max() + 1))
        assert partition == [cluster for cluster in theirs if cluster not in alone]
        sizes.add(len(partition))
    assert len(sizes) == len(inputs.THRESHOLDS)  # every threshold cuts elsewhere, or nothing would be compared
    assert alone == ([[58], [59]] if name == "ties" else [])
