"""What every file of probes/rankings/ must keep to; a file dropped in is tested without a change here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurosieve.config import CONTROL_RANKINGS, load_params, ranking_names
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
each_ranking = pytest.mark.parametrize("name", ranking_names())
each_that_looks = pytest.mark.parametrize("name", sorted(set(ranking_names()) - set(CONTROL_RANKINGS)))
each_case = pytest.mark.parametrize(("classes", "columns"), CASES)


def test_rankings_of_the_default_benchmark_have_files():
    params = load_params("params.yaml")
    assert set(params.subsets.rankings) <= set(params.probes.rankings) <= set(ranking_names())
    assert set(CONTROL_RANKINGS) <= set(ranking_names())


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


@each_that_looks
@each_case
def test_renumbering_the_neurons_renumbers_the_order(name, classes, columns):
    data = planted(classes, columns)
    moved = np.random.default_rng(0).permutation(40)
    at = (moved[:, None] * columns + np.arange(columns)).ravel()
    ranking = rankings.load(name)(data)
    renumbered = rankings.load(name)(replace(data, X=data.X[:, at], weights=data.weights[at]))
    np.testing.assert_array_equal(moved[renumbered.order], ranking.order)
    np.testing.assert_array_equal(moved[renumbered.per_class], ranking.per_class)


@each_that_looks
@each_case
def test_planted_neurons_come_first(name, classes, columns):
    assert set(rankings.load(name)(planted(classes, columns)).order[:3].tolist()) == set(PLANTED)


@each_that_looks
def test_neurons_that_are_all_alike_stay_in_their_order(name):
    X = np.repeat(np.array([[1.0], [-1], [1], [-1]], np.float32), 5, axis=1)
    data = RankingInput(X, np.array([0, 1, 0, 1]), np.ones((5, 1), np.float32), 1, 2)
    assert rankings.load(name)(data).order.tolist() == [0, 1, 2, 3, 4]


@each_ranking
def test_a_class_without_rows_changes_nothing_but_its_own_row(name):
    data = planted(4, 1)
    w = np.insert(data.weights, 2, 0, axis=1)
    more = replace(data, y=data.y + (data.y >= 2), weights=w, n_classes=5)
    ranking, without = rankings.load(name)(more), rankings.load(name)(data)
    assert ranking.per_class.shape == (5, 40)
    if name != "random":
        np.testing.assert_array_equal(ranking.order, without.order)
        np.testing.assert_array_equal(np.delete(ranking.per_class, 2, axis=0), without.per_class)
        expected = np.arange(40)[::-1] if name == "bottom" else np.arange(40)
        np.testing.assert_array_equal(ranking.per_class[2], expected)


@each_that_looks
def test_per_class_orders_know_the_class(name):
    """Neuron i carries class i alone."""
    rng = np.random.default_rng(4)
    y = rng.integers(4, size=500)
    X = rng.normal(size=(500, 30))
    X[:, :4] += 3 * (y[:, None] == np.arange(4))
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    data = RankingInput(X, y, fit(X, y, 4, 0.0, 0.01).weights, 1, 4)
    ranking = rankings.load(name)(data)
    assert ranking.per_class[:, 0].tolist() == [0, 1, 2, 3]
    assert set(ranking.order[:4].tolist()) == {0, 1, 2, 3}


@each_that_looks
def test_the_sign_and_the_scale_of_a_neuron_do_not_matter_to_a_probe(name):
    data = planted(4, 1)
    flip = np.where(np.arange(40) % 3 == 0, -1, 1).astype(np.float32)
    flipped = rankings.load(name)(replace(data, X=data.X * flip, weights=data.weights * flip[:, None]))
    np.testing.assert_array_equal(flipped.order, rankings.load(name)(data).order)
