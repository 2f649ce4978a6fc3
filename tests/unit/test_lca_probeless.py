"""LCA and probeless against orders worked out by hand or by the definition."""

from __future__ import annotations

import numpy as np
import pytest

from neurosieve.probes import rankings
from neurosieve.probes.rankings import RankingInput
from neurosieve.probes.solver import fit


def given(weights, *, X=None, y=None, columns=1, classes=3, step=0.001) -> RankingInput:
    weights = np.asarray(weights, np.float32)
    X = np.zeros((2, len(weights)), np.float32) if X is None else np.asarray(X, np.float32)
    y = np.zeros(len(X), np.int64) if y is None else np.asarray(y)
    return RankingInput(X=X, y=y, weights=weights, columns=columns, n_classes=classes, mass_step=step)


def lca_by_definition(weights: np.ndarray, step: float) -> np.ndarray:
    """Step by step: union over classes of the shortest prefixes that hold a share p of the class's mass."""
    mass = np.abs(weights.astype(np.float64))
    taken: list[int] = []
    for k in range(1, round(1 / step) + 1):
        union: set[int] = set()
        for c in range(mass.shape[1]):
            order = sorted(range(len(mass)), key=lambda j: (-mass[j, c], j))
            held, wanted = 0.0, k * step * mass[:, c].sum()
            for j in order:
                if held >= wanted - 1e-9 * mass[:, c].sum() or not mass[j, c]:
                    break
                union.add(j)
                held += mass[j, c]
        taken += sorted(union - set(taken), key=lambda j: (-mass[j].sum(), j))
    return np.array(taken + [j for j in range(len(mass)) if j not in taken])


def test_lca_by_hand():
    # class 0 has masses .5 .3 .2 0 0, class 1 has 0 .1 .2 .7 0; with steps of a quarter
    weights = np.array([[-5, 0], [3, 1], [2, -2], [0, 7], [0, 0]]) / 10
    ranking = rankings.load("lca")(given(weights, step=0.25))
    # p = .25 takes 0 and 3 (mass .5 and .7: 3 first), .5 none, .75 takes 1 (.4) and 2 (.4): by index; 4 has no weight
    assert ranking.order.tolist() == [3, 0, 1, 2, 4]
    assert ranking.per_class.tolist() == [[0, 1, 2, 3, 4], [3, 2, 1, 0, 4]]


def test_ties_inside_a_step_go_by_mass_then_index():
    weights = np.array([[1.0, 0, 2], [1, 0, 0], [1, 4, 0], [1, 0, 2]])
    assert rankings.load("lca")(given(weights, step=0.999)).order.tolist() == [2, 0, 3, 1]


@pytest.mark.parametrize("step", [0.001, 0.01, 0.13])
@pytest.mark.parametrize("classes", [1, 4])
def test_lca_follows_its_definition(step, classes):
    rng = np.random.default_rng(classes)
    weights = rng.standard_t(2, size=(60, classes)).astype(np.float32)
    weights[rng.random(weights.shape) < 0.3] = 0
    weights[50:55] = 0
    got = rankings.load("lca")(given(weights, step=step)).order
    np.testing.assert_array_equal(got, lca_by_definition(weights, step))


def test_columns_of_a_neuron_are_one_group_in_lca():
    # neurons (1, 1), (1.5, 0), (0, -3): summed masses 2, 1.5, 3
    ranking = rankings.load("lca")(given([[1], [1], [1.5], [0], [0], [-3]], columns=2, classes=2))
    assert ranking.order.tolist() == [2, 0, 1]


def test_probeless_by_hand():
    X = [[1, 0, 3], [3, 0, 1], [5, 1, 2], [5, 3, 2], [0, 5, 2]]
    y = [0, 0, 1, 1, 2]  # means (2, 0, 2), (5, 2, 2), (0, 5, 2): distances 3+2+5, 2+5+3, 0
    ranking = rankings.load("probeless")(given(np.zeros((3, 3)), X=X, y=y))
    assert ranking.order.tolist() == [0, 1, 2]  # a tie of ten: by index
    # class 0: 3+2, 2+5, 0; class 1: 3+5, 2+3, 0; class 2: 2+5, 5+3, 0
    assert ranking.per_class.tolist() == [[1, 0, 2], [0, 1, 2], [1, 0, 2]]


def test_probeless_adds_up_the_columns_of_a_neuron_and_ignores_absent_classes():
    X = [[0, 0, 0, 3], [2, 2, 0, 0]]  # two columns each: distances 2+2 and 0+3
    data = given(np.zeros((4, 3)), X=X, y=[0, 2], columns=2)
    assert rankings.load("probeless")(data).order.tolist() == [0, 1]


def test_two_classes_have_one_order():
    data = given([[0.5], [-2], [1]], X=[[0, 1, 2], [0, 3, 3]], y=[0, 1], classes=2)
    for name in ("lca", "probeless"):
        ranking = rankings.load(name)(data)
        assert ranking.order.tolist() == [1, 2, 0] and ranking.per_class.tolist() == [[1, 2, 0]]


def test_lca_on_a_probe_with_zero_weights():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 20)).astype(np.float32)
    y = (X[:, 4] - X[:, 11] + 0.3 * rng.normal(size=300) > 0).astype(int)
    probe = fit(X, y, 2, 0.1, 0.01)
    zero = np.flatnonzero(probe.weights[:, 0] == 0)
    order = rankings.load("lca")(given(probe.weights, X=X, y=y, classes=2)).order
    assert set(order[:2].tolist()) == {4, 11} and len(zero) > 5
    np.testing.assert_array_equal(order[-len(zero) :], zero)


def test_unknown_ranking():
    with pytest.raises(ValueError, match=r"ranking .lcaa. has no file; write one of: .*lca.*probeless"):
        rankings.load("lcaa")
