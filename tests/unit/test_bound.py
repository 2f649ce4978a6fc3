"""The certified bound against all sets of a few neurons, and the relaxation that it takes its outputs from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LogisticRegression
from subset_inputs import CASES, Case, make

from neurosieve.probes.metrics import NUMBER
from neurosieve.subsets.bound import BLOCK, _Turn, certify, lower_bounds
from neurosieve.subsets.contenders import Fitted, SubsetInput, elimination
from neurosieve.subsets.contenders.relaxation import LEAST, Relaxed, of_all, relax, scaled, shares_of
from neurosieve.subsets.target import InfeasibleError, Target

ROWS = 50
CHUNK = 256  # sets that are minimised together
ACCURACY = 26  # e to the power of so much is what the error of the minimisation has fallen by


def neurons_of(case: Case) -> int:
    return 12 if case in (CASES["two classes"], CASES["a number"]) else 9


def minima(given: SubsetInput, l1: float, l2: float) -> tuple[np.ndarray, np.ndarray]:
    """(sets, neurons) every set there is, and its least objective, by accelerated proximal gradient in float64 with the
    weights outside the set held at zero: shares no code with what is tested."""
    X, y, n = given.X.astype(np.float64), given.y, len(given.y)
    sets = (np.arange(2**given.neurons)[:, None] >> np.arange(given.neurons)) & 1
    inside = np.repeat(sets, given.columns, axis=1)[:, None, :]
    if given.n_classes == NUMBER:
        wanted, stiff = ((y - y.mean()) / y.std())[None], 1.0
    else:
        classes = np.unique(y)
        wanted, stiff = (y == classes[-1:, None] if len(classes) == 2 else y == classes[:, None]) * 1.0, 0.5
    k = len(wanted)

    def loss(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(sets, K', n) outputs, and the (sets,) mean losses."""
        if given.n_classes == NUMBER:
            return Z, np.square(Z - wanted).sum(1).mean(1) / 2
        if k == 1:
            return 1 / (1 + np.exp(-Z)), (np.logaddexp(0, Z) - wanted * Z).sum(1).mean(1)
        return softmax(Z, axis=1), (logsumexp(Z, axis=1) - (wanted * Z).sum(1)).mean(1)

    largest = np.linalg.eigvalsh(X.T @ X / n)[-1]
    step = 1 / (stiff * (0.5 if k == 1 and stiff < 1 else 1.0) * max(largest, 1.0) + l2)
    momentum = (1 - np.sqrt(l2 * step)) / (1 + np.sqrt(l2 * step))
    values = []
    for first in range(0, len(sets), CHUNK):
        these = inside[first : first + CHUNK]
        W = V = np.zeros((len(these), k, X.shape[1]))
        b = c = np.zeros((len(these), k, 1))
        for _ in range(int(ACCURACY / np.sqrt(l2 * step))):
            R = (loss(V @ X.T + c)[0] - wanted) / n
            U = (V - step * (R @ X + l2 * V)) * these
            N = np.sign(U) * np.maximum(np.abs(U) - step * l1, 0) if l1 else U
            m = c - step * R.sum(axis=2, keepdims=True)
            V, c, W, b = N + momentum * (N - W), m + momentum * (m - b), N, m
        penalty = l1 * np.abs(W).sum((1, 2)) + l2 / 2 * np.square(W).sum((1, 2))
        values.append(loss(W @ X.T + b)[1] + penalty)
    return sets, np.concatenate(values)


@pytest.fixture(scope="module", params=CASES.values(), ids=list(CASES))
def truth(request):
    """A case, and the least objective of any set by its number of neurons."""
    case = replace(request.param, copies=min(request.param.copies, 4), l2=0.1)
    given = make(case, ROWS, neurons_of(case), gap=1e-7)
    sets, value = minima(given, case.l1, case.l2)
    size = sets.sum(axis=1)
    return case, given, np.array([value[size == k].min() for k in range(given.neurons + 1)])


def nonsense(given: SubsetInput, seed: int) -> np.ndarray:
    """Outputs of no probe."""
    rng = np.random.default_rng(seed)
    k, n = given.target.wanted.shape
    if given.n_classes == NUMBER:
        return rng.normal(size=(k, n))
    return rng.uniform(size=(k, n)) if k == 1 else rng.dirichlet(np.ones(k), size=n).T


def turns(given: SubsetInput, size: int, number: int) -> list[Relaxed]:
    found = [relax(given, size, given.full)]
    while len(found) < number:
        found.append(relax(given, size, found[-1].fitted))
    return found


def test_the_minima_by_brute_force_are_scikit_learns():
    given = make(Case(), ROWS, 5)
    sets, value = minima(given, 0.0, 0.05)
    for i in (1, 7, 22, 31):
        X = given.X[:, sets[i] == 1].astype(np.float64)
        theirs = LogisticRegression(C=1 / (ROWS * 0.05), tol=1e-10, max_iter=10000).fit(X, given.y)
        Z = X @ theirs.coef_[0] + theirs.intercept_
        loss = np.logaddexp(0, np.where(given.y == 1, -1, 1) * Z).mean() + 0.025 * np.square(theirs.coef_).sum()
        assert value[i] == pytest.approx(loss, rel=1e-9)


def test_the_minima_by_brute_force_are_the_solvers(truth):
    _, given, least = truth
    assert least[-1] == pytest.approx(given.full.probe.objective, rel=2e-6)
    assert (np.diff(least) <= 1e-12).all() and least[0] > 1.2 * least[-1]


def test_no_set_is_below_the_bound(truth):
    case, given, least = truth
    outputs = [given.outputs(given.full), *(nonsense(given, seed) for seed in range(3))]
    outputs += [t.outputs for size in (1, 2, 4, 7) for t in turns(given, size, 3)]
    outputs += [given.outputs(given.fit(np.arange(k), given.full)) for k in (1, 3, 6)]
    for p in outputs:
        bounds = lower_bounds(given, p, case.l1, case.l2)
        assert bounds.shape == (given.neurons + 1,)
        assert (bounds <= least * (1 + 1e-9)).all()
        assert (np.diff(bounds) <= 0).all()  # more neurons can do no worse


def test_the_bound_of_all_neurons_is_off_by_the_duality_gap(truth):
    case, given, least = truth
    last = lower_bounds(given, given.outputs(given.full), case.l1, case.l2)[-1]
    assert least[-1] * (1 - 2e-6) <= last <= least[-1] * (1 + 1e-9)


def test_fewest_that_are_not_excluded_is_never_more_than_the_truth(truth):
    case, given, least = truth
    above = given.full
    seen = []
    for size in (8, 5, 3, 2, 1):
        above = given.fit(elimination.begin(given)(size, above), above)
        found, best = certify(given, above)
        fewest = int(np.argmax(least <= above.probe.objective * (1 + 1e-7)))
        assert found["n_bound"] <= fewest <= size
        assert (best <= least * (1 + 1e-9)).all() and (np.diff(best) <= 0).all()
        assert best[size] <= above.probe.objective * (1 + 1e-7)  # which the solver measures from float32 logits
        assert found["objective"] == above.probe.objective
        assert best[0] == pytest.approx(least[0], rel=1e-9)
        assert (found["l1"], found["l2"]) == (case.l1, case.l2)
        assert found["factor"] == pytest.approx(size / found["n_bound"])
        seen.append(found["n_bound"])
    assert seen == sorted(seen, reverse=True) and seen[-1] == 1  # no neuron at all is always excluded


def test_certified_at_the_penalty_of_the_set_not_of_the_probe_of_all_neurons():
    given = make(Case(l2=0.01), ROWS, 8)
    l1, l2 = 0.01, 0.2
    asked = Fitted(np.array([0, 1]), replace(given.full.probe, l1=l1, l2=l2))
    asked = replace(asked, probe=replace(asked.probe, weights=asked.probe.weights[:2]))
    found, best = certify(given, given.fit(asked.neurons, asked))
    sets, value = minima(given, l1, l2)
    least = np.array([value[sets.sum(axis=1) == k].min() for k in range(9)])
    assert (found["l1"], found["l2"]) == (l1, l2)
    assert (best <= least * (1 + 1e-9)).all() and found["n_bound"] in (1, 2)
    assert best[-1] > value[-1] * 0.9  # and it is of this penalty: that of the other one lies far below
    start = of_all(given, asked)
    assert (start.probe.l1, start.probe.l2) == (l1, l2) and start.neurons.tolist() == list(range(8))
    assert start.probe.objective == pytest.approx(value[-1], rel=1e-5)


def test_the_gradient_is_in_float64_over_all_columns():
    given = make(Case((0, 1, 2), 3, columns=2), 60, BLOCK)
    found = lower_bounds(given, p := given.target.feasible(nonsense(given, 0)), 0.01, 0.1)
    G = (p - given.target.wanted) @ given.X.astype(np.float64) / 60
    g = np.square(np.maximum(np.abs(G) - 0.01, 0)).reshape(3, BLOCK, 2).sum((0, 2))
    entropy = -(p * np.log(p)).sum() / 60
    np.testing.assert_allclose(found[[0, 1, BLOCK]], entropy - np.array([0, g.max(), g.sum()]) / 0.2, rtol=1e-12)


@pytest.mark.parametrize("case", ["two classes", "pairs, a number"])
def test_a_neuron_that_is_left_out_comes_back_where_it_is_missed(case):
    given = make(CASES[case], 200, 20)
    shares = np.array([0.0, *[0.5] * 9, *[0.0] * 10])
    turn = _Turn.of(given, 5, scaled(given, shares, given.full))
    assert turn.relaxed.fitted.neurons.tolist() == list(range(1, 10))
    following = turn.next(given, 5)
    assert 0 in following.relaxed.fitted.neurons and following.relaxed.shares.sum() == pytest.approx(5, rel=0.01)
    assert following.relaxed.fitted.probe.objective < turn.relaxed.fitted.probe.objective
    for _ in range(20):
        following = following.next(given, 5)
    assert (following.relaxed.shares[:3] > 0.99).all() and following.relaxed.shares.max() <= 1
    assert 0.97 * following.relaxed.fitted.probe.objective < following.bound <= following.relaxed.fitted.probe.objective
    exact = lower_bounds(given, following.relaxed.outputs, 0.0, CASES[case].l2)[5]
    assert following.bound == pytest.approx(exact, rel=1e-5)


# --- feasible outputs


def test_outputs_whose_residuals_do_not_sum_to_zero_are_mended(truth):
    _, given, _ = truth
    for p in (nonsense(given, 0), given.outputs(given.full), given.target.wanted * 0.0 + given.target.wanted):
        found = given.target.feasible(p)
        assert np.abs((found - given.target.wanted).mean(axis=1)).max() <= 1e-12
        if given.n_classes != NUMBER:
            assert found.min() >= 0 and found.max() <= 1
            if len(found) > 1:
                np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-12)
    centred = given.target.feasible(nonsense(given, 0))
    np.testing.assert_allclose(given.target.feasible(centred), centred, atol=1e-12)  # nothing left to mend


@pytest.mark.parametrize("case", ["two classes", "classes", "a number"])
def test_a_value_that_is_none_certifies_nothing(case):
    given = make(CASES[case], ROWS, 4)
    p = given.outputs(given.full)
    p[0, 3] = np.nan
    with pytest.raises(InfeasibleError):
        lower_bounds(given, p, 0.0, 0.02)


def test_outputs_outside_the_simplex_certify_nothing():
    target = Target.of(np.array([0, 1, 2, 0, 1, 2]), 3)
    even = np.full((3, 6), 1 / 3)
    with pytest.raises(InfeasibleError, match="sums to"):
        target.feasible(even * np.array([1.2, 0.8] * 3))
    with pytest.raises(InfeasibleError, match=r"from -0\.1"):
        target.feasible(even + np.array([[1], [-1], [0]]) * np.array([1, -1] * 3) * (1 / 3 + 0.1))
    two = Target.of(np.array([0, 1, 0, 1]), 2)
    with pytest.raises(InfeasibleError, match=r"from -0\.2 to 1\.2"):
        two.feasible(np.array([[1.2, -0.2, 1.2, -0.2]]))


# --- the relaxation


@pytest.mark.parametrize("size", [1, 2, 5, 9, 14, 15, 19])
def test_shares_are_those_of_the_one_threshold_that_spends_the_size(size):
    norms = np.abs(np.random.default_rng(size).normal(size=20)) ** 3
    norms[[4, 11]] = 0.0, norms[3]  # one of nothing, two alike
    found = shares_of(norms, size)
    if size < 19:
        tau = brentq(lambda t: np.minimum(1, norms / t).sum() - size, 1e-12, 2 * norms.sum(), xtol=1e-15)
        np.testing.assert_allclose(found, np.maximum(np.minimum(1, norms / tau), LEAST), rtol=1e-9)
    else:  # enough for all that are above zero
        np.testing.assert_array_equal(found, np.where(norms > 0, 1.0, LEAST))
    assert found.sum() <= size + 20 * LEAST


def test_no_other_shares_cost_less():
    norms = np.array([5.0, 2.0, 1.0, 0.5, 0.1])
    found = shares_of(norms, 2)
    cost = np.square(norms) @ (1 / found)
    rng = np.random.default_rng(0)
    for _ in range(200):
        other = np.clip(found + 0.1 * rng.normal(size=5), 1e-3, 1)
        other *= min(1.0, 2 / other.sum())
        assert np.square(norms) @ (1 / other) >= cost * (1 - 1e-5)


@pytest.mark.parametrize(
    "case", [CASES[n] for n in ("two classes", "classes", "a number", "pairs", "elastic net, classes, pairs")], ids=str
)
def test_turns_of_the_relaxation_descend_to_between_the_bound_and_the_best_set(case):
    given = make(case, ROWS, 8, gap=1e-7)
    sets, value = minima(given, case.l1, case.l2)
    for size in (2, 4):
        least = value[sets.sum(axis=1) == size].min()
        found = turns(given, size, 40)
        costs = []
        for turn in found:
            p, W = given.target.feasible(turn.outputs), turn.fitted.probe.weights.astype(np.float64)
            if case.n_classes == NUMBER:
                W = W / given.target.std
                loss = np.square(p - given.target.wanted).mean() / 2
            elif len(p) == 1:
                loss = -np.log(np.where(given.target.wanted == 1, p, 1 - p)).mean()
            else:
                loss = -(given.target.wanted * np.log(p)).sum(axis=0).mean()
            norms = np.sqrt(np.square(W).sum(axis=1).reshape(8, -1).sum(axis=1))
            costs.append(loss + case.l1 * np.abs(W).sum() + case.l2 / 2 * (np.square(norms) / turn.shares).sum())
            assert turn.shares.sum() <= size + 8 * LEAST and turn.shares.max() <= 1
        assert costs[-1] == pytest.approx(found[-1].fitted.probe.objective, rel=1e-5)
        assert (np.diff(costs) <= 1e-6 * costs[0]).all()
        bound = lower_bounds(given, found[-1].outputs, case.l1, case.l2)[size]
        assert bound <= costs[-1] * (1 + 1e-6) and costs[-1] <= least * (1 + 1e-4)
        assert costs[-1] - bound < 0.01 * costs[-1]  # together: the best set of the relaxation is solved
