"""What every file of probes/rankings/ must keep to; a file dropped in is tested without a change here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurosieve.config import load_params
from neurosieve.probes import rankings
from neurosieve.probes.rankings import RankingInput
from neurosieve.probes.solver import fit

PLANTED = (3, 17, 30)


def planted(classes: int, columns: int) -> RankingInput:
    """40 neurons of noise, three of which carry the class in all their columns."""
    rng = np.random.default_rng([classes, columns])
    y = rng.integers(classes, size=600)
    X = rng.normal(size=(600, 40, columns))
    for i, j in enumerate(PLANTED):
        X[:, j] += 2.5 * ((y + i) % classes)[:, None]
    X = ((X - X.mean(0)) / X.std(0)).reshape(600, -1).astype(np.float32)
    return RankingInput(X, y, fit(X, y, classes, 0.0, 0.01).weights, columns, classes, seed=3)


CASES = [(2, 1), (2, 2), (4, 1), (4, 3)]
each_ranking = pytest.mark.parametrize("name", rankings.names())
each_case = pytest.mark.parametrize(("classes", "columns"), CASES)


def test_rankings_of_the_default_benchmark_have_files():
    assert set(load_params("params.yaml").subsets.rankings) <= set(rankings.names())


@each_ranking
@each_case
def test_orders_are_permutations_of_all_neurons(name, classes, columns):
    data = planted(classes, columns)
    ranking = rankings.load(name)(data)
    assert ranking.order.shape == (40,) and np.issubdtype(ranking.order.dtype, np.integer)
    assert ranking.per_class.shape == (1 if classes == 2 else classes, 40)
    for order in (ranking.order, *ranking.per_class):
        assert sorted(order.tolist()) == list(range(40))


@each_ranking
@each_case
def test_same_input_same_order_and_input_untouched(name, classes, columns):
    data, copy = planted(classes, columns), planted(classes, columns)
    first, again = rankings.load(name)(data), rankings.load(name)(data)
    np.testing.assert_array_equal(first.order, again.order)
    np.testing.assert_array_equal(first.per_class, again.per_class)
    np.testing.assert_array_equal(data.X, copy.X)
    np.testing.assert_array_equal(data.weights, copy.weights)


@each_ranking
@each_case
def test_renumbering_the_neurons_renumbers_the_order(name, classes, columns):
    data = planted(classes, columns)
    moved = np.random.default_rng(0).permutation(40)
    at = (moved[:, None] * columns + np.arange(columns)).ravel()
    ranking = rankings.load(name)(data)
    renumbered = rankings.load(name)(replace(data, X=data.X[:, at], weights=data.weights[at]))
    np.testing.assert_array_equal(moved[renumbered.order], ranking.order)
    np.testing.assert_array_equal(moved[renumbered.per_class], ranking.per_class)


@each_ranking
@each_case
def test_planted_neurons_come_first(name, classes, columns):
    assert set(rankings.load(name)(planted(classes, columns)).order[:3].tolist()) == set(PLANTED)


@each_ranking
def test_neurons_that_are_all_alike_stay_in_their_order(name):
    X = np.repeat(np.array([[1.0], [-1], [1], [-1]], np.float32), 5, axis=1)
    data = RankingInput(X, np.array([0, 1, 0, 1]), np.ones((5, 1), np.float32), 1, 2)
    assert rankings.load(name)(data).order.tolist() == [0, 1, 2, 3, 4]
