"""The searches for the best set: saliency by its definition, what elimination and exchange promise, weights carried."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from subset_inputs import Case, given, make

from neurosieve.probes.metrics import NUMBER
from neurosieve.probes.rankings import RankingInput
from neurosieve.probes.rankings import load as load_ranking
from neurosieve.probes.solver import GramCache, Probe, fit
from neurosieve.subsets.contenders import Fitted, SubsetInput, along, carried, elimination, exchange, relaxation
from neurosieve.subsets.contenders._saliency import saliency
from neurosieve.subsets.data import Part
from neurosieve.subsets.minimal import size_grid


def walked(choose, data: SubsetInput, sizes: list[int]) -> dict[int, Fitted]:
    found = {data.neurons: data.full}
    for size in sorted(sizes, reverse=True):
        if size < data.neurons:
            above = found[min(found)]
            found[size] = data.fit(choose(size, above), above)
    return found


@pytest.mark.parametrize("l2", [0.02, 0.5])
def test_saliency_is_twice_the_rise_of_the_objective_without_the_neuron(l2):
    """Of a squared loss exactly: by refits without each neuron in turn."""
    data = make(Case((), NUMBER, l2=l2), 200, 9, gap=1e-9)
    some = data.fit(np.array([7, 2, 0, 4, 1, 5]), data.full)
    rise = [data.fit(np.delete(some.neurons, i), some).probe.objective - some.probe.objective for i in range(6)]
    found = saliency(data, some) / data.target.std**2  # weights are in units of the target
    np.testing.assert_allclose(found / 2, rise, rtol=1e-3, atol=2e-7)


def test_saliency_of_pairs_sums_over_their_columns_and_of_classes_over_them():
    data = make(Case((0, 1, 2), 3, columns=2), 200, 5)
    found = saliency(data, data.full)
    A = data.gram.gram.astype(float)
    outputs = data.outputs(data.full)
    inverse = np.linalg.inv(A + 0.02 / (outputs * (1 - outputs)).mean() * np.eye(10))
    each = np.square(data.full.probe.weights.astype(float)).sum(axis=1) / np.diag(inverse)
    np.testing.assert_allclose(found, each[::2] + each[1::2], rtol=1e-4)


def test_saliency_where_the_gram_matrix_is_singular():
    """Exact copies and next to no penalty: a factor is found all the same, and what decides still counts."""
    data = make(Case(l2=1e-9, copies=3), 300, 12, gap=1e-2)
    weak = Fitted(data.full.neurons, replace(data.full.probe, l2=1e-12))
    found = saliency(data, weak)
    assert np.isfinite(found).all() and (found >= 0).all()


def test_elimination_finds_the_carriers_and_lca_needs_no_fewer():
    data = make(Case(carriers=10, l2=0.01), 2000, 80, gap=1e-4)
    grid = size_grid(80, 1.2)
    mine = walked(elimination.begin(data), data, grid)
    assert set(mine[10].neurons.tolist()) == set(range(10))
    ranked = RankingInput(data.X, data.y, data.full.probe.weights, 1, 2, seed=0)
    order = load_ranking("lca")(ranked).order
    theirs = walked(along(order), data, grid)
    good = 1.02 * mine[10].probe.objective

    def need(found):
        return min(size for size, fitted in found.items() if fitted.probe.objective <= good)

    assert need(mine) <= need(theirs) and need(mine) <= 10


def test_elimination_drops_a_tenth_at_most_between_refits():
    data = make(Case(), 100, 50, gap=1e-4)
    sizes = []

    class Watched(SubsetInput):
        def fit(self, neurons, near):
            sizes.append((len(near.neurons), len(neurons)))
            return super().fit(neurons, near)

    watched = Watched(**data.__dict__)
    assert len(elimination.begin(watched)(5, watched.full)) == 5
    assert sizes[0][0] == 50 and all(before > after >= min(before - 1, before / 1.1) for before, after in sizes)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(sizes)) and sizes[-1][1] == 6


@pytest.mark.parametrize("case", [Case(), Case((0, 1, 2), 3, columns=2), Case((), NUMBER), Case(l1=0.01)], ids=str)
def test_exchange_is_never_above_elimination(case):
    data = make(case, 80, 30, gap=1e-6)
    above = walked(elimination.begin(data), data, [25, 20, 15, 10, 6, 4, 2])
    for size, next_larger in ((10, 15), (6, 10), (4, 6), (2, 4)):
        mine = above[size].probe.objective
        neurons = exchange.begin(data)(size, above[next_larger])
        found = data.fit(neurons, above[next_larger]).probe.objective
        assert found <= mine * (1 + 1e-6)


def test_exchange_mends_a_bad_set():
    data = make(Case(), 200, 20)
    bad = data.fit(np.array([5, 9, 14]), data.full)
    found = exchange.exchange(data, bad)
    assert set(found.neurons.tolist()) == {0, 1, 2} and found.probe.objective < 0.8 * bad.probe.objective
    again = data.fit(found.neurons, found)
    assert again.probe.objective == pytest.approx(found.probe.objective, rel=1e-5)


def test_the_relaxation_begins_from_a_larger_size_even_when_sizes_rise_again():
    """As bisection asks for them: what one neuron leaves of the others is no start for eight."""
    data = make(Case(carriers=8), 200, 40)
    fresh = walked(relaxation.begin(data), data, [20, 12, 8])[8]
    choose = relaxation.begin(data)
    found = walked(choose, data, [20, 12, 3, 1])
    between = choose(8, found[12])
    assert between.tolist() == walked(relaxation.begin(data), data, [20, 12, 8])[8].neurons.tolist()
    assert set(fresh.neurons.tolist()) == set(between.tolist()) == set(range(8))


# --- weights and features of other sets


def test_weights_are_carried_by_neuron():
    weights = np.arange(12, dtype=np.float32).reshape(6, 2)  # neurons 4, 0, 9 of two columns
    there = np.array([4, 0, 9])
    found = carried(weights, there, np.array([9, 7, 4]), 2)
    assert found.tolist() == [[8, 9], [10, 11], [0, 0], [0, 0], [0, 1], [2, 3]]
    assert np.shares_memory(carried(weights, there, there[:2], 2), weights)
    assert carried(weights, there, there[:2], 2).tolist() == weights[:4].tolist()
    assert carried(weights, there, np.array([12]), 2).tolist() == [[0, 0], [0, 0]]
    everything = carried(weights, there, np.arange(10), 2)
    np.testing.assert_array_equal(everything.reshape(10, 2, 2)[there], weights.reshape(3, 2, 2))
    assert not np.delete(everything.reshape(10, 4), there, axis=0).any()


def test_features_of_a_part_are_views_of_its_first_neurons_else_copies():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 12)).astype(np.float32)
    wide = {"tune": rng.normal(size=(9, 12)).astype(np.float32)}
    gram = GramCache(X)
    whole = Part(np.arange(6), X, gram, wide, np.arange(12))

    def columns(neurons):
        return (np.asarray(neurons)[:, None] * 2 + np.arange(2)).ravel()

    data = SimpleNamespace(
        kept=np.arange(6), whole=whole, features=SimpleNamespace(columns_per_neuron=2, columns=columns)
    )
    mixed = whole.take(np.array([5, 1, 4, 0]), data)
    for part, neurons in (
        (mixed, [5, 1, 4, 0]),
        (mixed.take(np.array([5, 1]), data), [5, 1]),
        (mixed.take(np.array([0, 5, 4]), data), [0, 5, 4]),  # of the part itself
        (mixed.take(np.array([3, 5]), data), [3, 5]),  # 3 it does not have
        (whole.take(np.array([0, 1, 2]), data), [0, 1, 2]),
    ):
        at = columns(neurons)
        assert part.neurons.tolist() == neurons
        np.testing.assert_array_equal(part.X, X[:, at])
        np.testing.assert_array_equal(part.wide["tune"][:, part.place], wide["tune"][:, at])
        assert part.wide["tune"].shape[1] in (12, len(at)) and len(at) > part.wide["tune"].shape[1] / 4
        weights = rng.normal(size=(len(at), 3)).astype(np.float32)
        probe = Probe(weights, rng.normal(size=3).astype(np.float32), 0, 0, 0, 0, 1)
        assert part.predict("tune", probe).tolist() == probe.predict(wide["tune"][:, at]).tolist()
        np.testing.assert_array_equal(part.gram.gram, gram.gram[np.ix_(at, at)])
    assert np.shares_memory(mixed.take(np.array([5, 1]), data).X, mixed.X)
    assert not np.shares_memory(mixed.take(np.array([1, 5]), data).X, mixed.X)


def test_a_probe_begun_elsewhere_is_the_same_probe():
    data = make(Case((0, 1, 2), 3), 150, 10, gap=1e-7)
    neurons = np.array([8, 0, 3])
    cold = fit(data.X[:, neurons], data.y, 3, 0.0, 0.02, gap=1e-7)
    for near in (data.full, data.fit(np.array([3, 5]), data.full)):
        warm = data.fit(neurons, near)
        assert warm.probe.objective == pytest.approx(cold.objective, rel=1e-6)
        assert given(data.X[:, neurons], data.y, Case((0, 1, 2), 3)).outputs(
            Fitted(np.arange(3), warm.probe)
        ) == pytest.approx(data.outputs(warm), abs=1e-6)
