"""The solver against scikit-learn, against its own bounds in float64, and on inputs that are hard or wrong."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from probe_inputs import make, objective, of
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from neurosieve.probes import solver
from neurosieve.probes.solver import GramCache, Memory, Probe, SolverError, alone, fit, fitting, row_weights, together

SHAPES = [(200, 30, 4), (60, 90, 3), (200, 20, 2), (50, 80, 2)]


@pytest.mark.parametrize(("n", "p", "k"), SHAPES)
@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.01), (0.0, 0.001), (0.01, 0.01), (0.005, 0.003)])
def test_same_minimum_as_scikit_learn(n, p, k, l1, l2):
    """Rows more and fewer than columns, two and more classes; both objectives written out in float64."""
    X, y = make(n, p, k)
    probe = fit(X, y, k, l1, l2, gap=2e-7)
    same = {"C": 1 / (n * (l1 + l2)), "l1_ratio": l1 / (l1 + l2)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it must have converged
        theirs = LogisticRegression(solver="saga", tol=1e-7, max_iter=20000, **same).fit(X.astype(np.float64), y)
    found = objective(X, y, theirs.coef_.T, theirs.intercept_, l1, l2)
    assert of(X, y, probe) == pytest.approx(found, rel=1e-6)
    assert of(X, y, probe) == pytest.approx(probe.objective, rel=2e-7)  # what is reported, from float32 products
    assert (probe.predict(X) == theirs.predict(X)).mean() >= 1 - 1 / n
    np.testing.assert_allclose(probe.weights, theirs.coef_.T, atol=3e-3)


@pytest.mark.parametrize(("n", "p", "k"), SHAPES)
@pytest.mark.parametrize("l1", [0.0, 0.005])
def test_reported_gap_bounds_the_distance_to_the_minimum(n, p, k, l1):
    X, y = make(n, p, k, seed=1)
    best = of(X, y, fit(X, y, k, l1, 0.01, gap=2e-7))
    for gap in (1e-1, 1e-2, 1e-3, 1e-4):
        probe = fit(X, y, k, l1, 0.01, gap=gap)
        assert probe.gap <= gap
        assert best <= of(X, y, probe) * (1 + 1e-7) and of(X, y, probe) - best <= (probe.gap + 1e-6) * best


def test_dual_bound_by_hand_at_a_loose_gap():
    """The gap again, from the dual objective: entropy of the probabilities minus the conjugate of the penalty."""
    l1, l2, k = 0.01, 0.02, 3
    X, y = make(100, 12, k)
    probe = fit(X, y, k, l1, l2, gap=0.1)
    Z = X.astype(np.float64) @ probe.weights.astype(np.float64) + probe.intercept
    P = np.exp(Z - np.logaddexp.reduce(Z, axis=1, keepdims=True))
    R = P - np.eye(k)[y]
    assert np.abs(R.mean(0)).max() < 1e-6  # feasible: the intercept is at its optimum
    G = X.T @ R / len(X)
    dual = -(P * np.log(P)).sum(1).mean() - np.square(np.maximum(np.abs(G) - l1, 0)).sum() / (2 * l2)
    primal = of(X, y, probe)
    assert probe.gap > 1e-3  # loose enough to tell it from rounding
    assert probe.gap == pytest.approx((primal - dual) / primal, rel=1e-3)
    assert dual <= of(X, y, fit(X, y, k, l1, l2, gap=1e-6))


def test_no_weight_where_the_penalty_is_above_every_gradient():
    X, y = make(150, 10, 3)
    share = np.bincount(y) / len(y)
    largest = np.abs(X.T @ (share - np.eye(3)[y]) / len(X)).max()
    assert not fit(X, y, 3, 1.01 * largest, 0.01).weights.any()
    below = fit(X, y, 3, 0.9 * largest, 0.01)
    assert 0 < np.count_nonzero(below.weights) < below.weights.size
    np.testing.assert_allclose(
        below.scores(X).mean(0) - below.scores(X).mean(), np.log(share) - np.log(share).mean(), atol=0.1
    )


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("l1", [0.0, 0.003])
def test_start_and_metric_change_the_way_not_the_end(k, l1):
    X, y = make(300, 40, k)
    cold = fit(X, y, k, l1, 0.01, gap=1e-6)
    near = fit(X, y, k, l1, 0.02, gap=1e-6)
    weighted = GramCache(X, row_weights(near, X))
    far = replace(near, weights=np.full_like(near.weights, 30.0), intercept=np.full_like(near.intercept, -50.0))
    ways = [
        fit(X, y, k, l1, 0.01, gap=1e-6, warm=w, cache=c) for w, c in ((near, None), (near, weighted), (far, weighted))
    ]
    for probe in ways:
        assert probe.objective == pytest.approx(cold.objective, rel=2e-6)
        np.testing.assert_allclose(probe.weights, cold.weights, atol=5e-3)
    assert fit(X, y, k, l1, 0.01, warm=cold).iterations <= 2


def test_same_bits_again_and_on_a_view():
    X, y = make(200, 60, 4)
    for l1 in (0.0, 0.005):
        first, again = fit(X[:, :40].copy(), y, 4, l1, 0.01), fit(X[:, :40].copy(), y, 4, l1, 0.01)
        assert np.array_equal(first.weights, again.weights) and np.array_equal(first.intercept, again.intercept)
        view = fit(X[:, :40], y, 4, l1, 0.01, cache=GramCache(X).take(slice(0, 40)))
        assert view.objective == pytest.approx(first.objective, rel=2e-4)


def test_row_order_does_not_matter_beyond_the_gap():
    X, y = make(400, 30, 3)
    order = np.random.default_rng(0).permutation(len(X))
    one, other = fit(X, y, 3, 0.0, 0.01), fit(X[order], y[order], 3, 0.0, 0.01)
    assert one.objective == pytest.approx(other.objective, rel=1e-4)
    assert (one.predict(X) == other.predict(X)).mean() >= 0.995


def test_cache_of_columns():
    X, _ = make(100, 12, 2)
    cache = GramCache(X)
    np.testing.assert_allclose(cache.gram, X.T.astype(np.float64) @ X / 100, atol=1e-5)
    columns = np.array([7, 0, 3])
    np.testing.assert_array_equal(cache.take(columns).gram, cache.gram[columns][:, columns])
    np.testing.assert_array_equal(cache.take(slice(2, 5)).gram, cache.gram[2:5, 2:5])
    factors, before = np.linspace(0.1, 2, 12).astype(np.float32), cache.gram.copy()
    np.testing.assert_allclose(cache.scaled(factors).gram, GramCache(X * factors).gram, atol=1e-5)
    np.testing.assert_array_equal(cache.gram, before)
    weights = np.linspace(0, 2, 100)
    np.testing.assert_allclose(GramCache(X, weights).gram, (X.T * weights).astype(np.float64) @ X / 100, atol=1e-5)


def test_row_weights_are_the_variance_of_the_classes():
    X = np.array([[0.0], [50.0], [1.0]], np.float32)
    two = Probe(np.array([[1.0]], np.float32), np.zeros(1, np.float32), 0, 0, 0, 0, 1)
    raw = np.array([0.25, 0.0, np.e / (1 + np.e) ** 2])
    np.testing.assert_allclose(row_weights(two, X), raw / raw.mean(), atol=1e-6)
    three = replace(two, weights=np.array([[1.0, 0, 0]], np.float32), intercept=np.zeros(3, np.float32))
    weights = row_weights(three, X)
    assert weights.mean() == pytest.approx(1) and weights[1] < 1e-6 < weights[2] < weights[0]


@pytest.mark.parametrize("k", [2, 3])
def test_a_penalty_by_column_has_the_minimum_that_scipy_finds(k):
    """Weights split into what is above and what is below zero, so that the objective is smooth."""
    X, y = make(150, 10, k)
    factors, outputs = np.linspace(0, 3, 10).astype(np.float32), 1 if k == 2 else k
    probe = fit(X, y, k, 0.02, 0.05, gap=2e-7, factors=factors)

    def whole(v: np.ndarray) -> float:
        up, down, b = v[: 10 * outputs].reshape(10, -1), v[10 * outputs : -outputs].reshape(10, -1), v[-outputs:]
        return objective(X, y, up - down, b, 0.0, 0.05) + 0.02 * float(factors @ (up + down).sum(axis=1))

    bounds = [(0, None)] * 20 * outputs + [(None, None)] * outputs
    least = minimize(
        whole, np.zeros(21 * outputs), bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-8, "maxfun": 10**6}
    )
    mine = objective(X, y, probe.weights, probe.intercept.astype(np.float64), 0.0, 0.05)
    mine += 0.02 * float(factors @ np.abs(probe.weights).sum(axis=1))
    assert mine == pytest.approx(least.fun, rel=1e-6) and probe.objective == pytest.approx(mine, rel=2e-7)
    assert probe.l1 == 0.02 and probe.objective < 0.999 * fit(X, y, k, 0.06, 0.05).objective


def test_predictions_and_ties():
    probe = Probe(np.array([[1.0, 0, 1]], np.float32), np.zeros(3, np.float32), 0, 0, 0, 0, 1)
    np.testing.assert_array_equal(probe.predict(np.array([[2.0], [-2.0]], np.float32)), [0, 1])
    binary = Probe(np.array([[1.0]], np.float32), np.array([-1.0], np.float32), 0, 0, 0, 0, 1)
    np.testing.assert_array_equal(binary.predict(np.array([[2.0], [1.0], [0.0]], np.float32)), [1, 0, 0])


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("l1", [0.0, 1e-5])
def test_separable_classes_and_constant_columns(k, l1):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(k), 40)
    X = rng.normal(size=(len(y), 4)).astype(np.float32)
    X[:, 0] += 20 * y
    X[:, 1] = 0
    X[:, 2] = 3
    probe = fit(X, y, k, l1, 1e-5, max_iterations=5000)
    assert (probe.predict(X) == y).all() and np.isfinite(probe.weights).all()
    assert not probe.weights[1].any() and 0 < probe.objective < 0.05


def test_columns_that_are_copies_share_their_weight():
    X, y = make(200, 6, 3)
    twice = fit(np.concatenate([X, X], axis=1), y, 3, 0.0, 0.02, gap=1e-7)
    once = fit(X, y, 3, 0.0, 0.01, gap=1e-7)
    np.testing.assert_allclose(twice.weights[:6], twice.weights[6:], atol=1e-4)
    np.testing.assert_allclose(twice.weights[:6] + twice.weights[6:], once.weights, atol=2e-3)


def test_one_column_one_row_per_class():
    probe = fit(np.array([[-1.0], [1.0]], np.float32), np.array([0, 1]), 2, 0.0, 0.1, gap=1e-6)
    w = float(probe.weights[0, 0])  # minimum of log(1+exp(-w)) + 0.05 w^2
    assert 0.1 * w == pytest.approx(1 / (1 + np.exp(w)), abs=1e-4) and abs(float(probe.intercept[0])) < 1e-5


@pytest.mark.parametrize("l1", [0.0, 0.003])
def test_gap_not_reached_is_an_error_that_says_what_to_do(l1):
    X, y = make(200, 30, 3)
    with pytest.raises(
        SolverError,
        match=r"after 3 iterations, wanted 1.0e-06 \(200 rows, 30 columns, 3 classes.*max_iterations.*penalt",
    ):
        fit(X, y, 3, l1, 0.001, gap=1e-6, max_iterations=3)


def test_wrong_input_is_named():
    X, y = make(60, 5, 3)
    with pytest.raises(ValueError, match=r"class 0 has no row in train \(rows by class: \[0, \d+, 0\]\)"):
        fit(X[y == 1], y[y == 1], 3, 0.0, 0.01)
    with pytest.raises(ValueError, match=r"found classes 0 \.\. 2, expected 0 \.\. 1"):
        fit(X, y, 2, 0.0, 0.01)
    with pytest.raises(ValueError, match="l2 > 0"):
        fit(X, y, 3, 0.01, 0.0)
    with pytest.raises(ValueError, match="float32"):
        fit(X.astype(np.float64), y, 3, 0.0, 0.01)
    with pytest.raises(ValueError, match="float32"):
        fit(X, y[:-1], 3, 0.0, 0.01)
    with pytest.raises(ValueError, match="cache is of 4 columns, X has 5"):
        fit(X, y, 3, 0.0, 0.01, cache=GramCache(X[:, :4]))
    with pytest.raises(ValueError, match="warm start has weights"):
        fit(X, y, 3, 0.0, 0.01, warm=fit(X[:, :4], y, 3, 0.0, 0.01))
    X[7, 2] = np.nan
    for l1 in (0.0, 0.01):
        with pytest.raises(ValueError, match="not finite"):
            fit(X, y, 3, l1, 0.01)


@pytest.mark.parametrize("absent", [(1,), (0, 2), (3,)])
def test_a_class_without_train_rows_is_never_predicted_and_costs_the_others_nothing(absent):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(120, 6)).astype(np.float32)
    present = [c for c in range(4) if c not in absent]
    y = np.array(present)[rng.integers(len(present), size=120)]
    whole = fit(X, y, 4, 0.0, 0.05)
    alone = fit(X, np.searchsorted(present, y), len(present), 0.0, 0.05)
    assert whole.weights.shape == (6, 4) and whole.intercept.shape == (4,)
    assert set(whole.predict(X)) <= set(present)
    assert np.array_equal(whole.predict(X), np.array(present)[alone.predict(X)])
    again = fit(X, y, 4, 0.0, 0.05, warm=whole)
    assert again.iterations <= 2 and whole.objective == pytest.approx(again.objective, rel=1e-4)


def test_a_metric_far_off_is_slow_at_worst_and_never_certified_wrongly():
    """Saturated rows: the line search once leapt to intercepts of 1e8, where a bound that is none was taken for one."""
    rng = np.random.default_rng(0)
    for columns in (10, 120):
        X = (5 * rng.normal(size=(40, columns))).astype(np.float32)
        y = np.arange(40) % 4
        far = GramCache(rng.normal(size=(500, columns)).astype(np.float32))  # of rows of a fifth of the size
        for l2 in (1e-3, 0.1):
            own, other = fit(X, y, 4, 0.0, l2), fit(X, y, 4, 0.0, l2, cache=far)
            assert 0 <= other.gap <= 1e-4 and other.objective == pytest.approx(own.objective, rel=1.1e-4)
            assert other.objective == pytest.approx(of(X, y, other), rel=1e-4)


def test_fits_that_share_products_find_what_each_finds_alone():
    """Nested columns, a gap between them, two labels on the same columns, two and more classes, with l1 and without."""
    X, y = make(300, 40, 4)
    other = np.random.default_rng(1).integers(0, 2, len(y))
    asked = [
        (slice(0, 40), y, 4, 0.0, 0.01), (slice(0, 40), other, 2, 0.0, 0.03), (slice(0, 25), y, 4, 0.0, 0.01),
        (slice(30, 40), y, 4, 0.0, 0.1), (slice(5, 25), y, 4, 0.004, 0.01),
    ]  # fmt: skip
    found = together(X, [(c, fitting(X[:, c], labels, k, l1, l2, gap=1e-6)) for c, labels, k, l1, l2 in asked])
    for probe, (columns, labels, k, l1, l2) in zip(found, asked, strict=True):
        own = fit(X[:, columns], labels, k, l1, l2, gap=1e-6)
        assert probe.gap <= 1e-6 and (probe.l1, probe.l2) == (l1, l2)
        assert of(X[:, columns], labels, probe) == pytest.approx(of(X[:, columns], labels, own), rel=1.1e-6)
        np.testing.assert_allclose(probe.weights, own.weights, atol=2e-3)
    again = together(X, [(c, fitting(X[:, c], labels, k, l1, l2, gap=1e-6)) for c, labels, k, l1, l2 in asked])
    assert all(np.array_equal(a.weights, b.weights) for a, b in zip(found, again, strict=True))


def test_what_a_fit_leaves_shortens_the_next_and_changes_no_minimum():
    X, y = make(400, 120, 5)
    memory = Memory()
    first = alone(X, fitting(X, y, 5, 0.0, 0.01, memory=memory))
    assert len(memory.pairs) >= first.iterations - 1
    near = alone(X, fitting(X, y, 5, 0.0, 0.003, gap=1e-6, warm=first, memory=memory))
    without = fit(X, y, 5, 0.0, 0.003, gap=1e-6, warm=first)
    assert near.iterations < without.iterations
    assert of(X, y, near) == pytest.approx(of(X, y, without), rel=2e-6)


def test_fits_side_by_side_are_one_generator_and_find_the_same():
    X, y = make(300, 40, 4)
    other = np.random.default_rng(1).integers(0, 2, len(y))
    cache = GramCache(X)  # two share their products with it
    asked = [(y, 4, 0.004, 0.01), (other, 2, 0.0, 0.03), (y, 4, 0.0, 0.1), (y, 4, 0.001, 0.01)]
    found, again = (
        alone(
            X,
            solver.side_by_side([fitting(X, labels, k, l1, l2, gap=1e-6, cache=cache) for labels, k, l1, l2 in asked]),
        )
        for _ in range(2)
    )
    for probe, same, (labels, k, l1, l2) in zip(found, again, asked, strict=True):
        own = fit(X, labels, k, l1, l2, gap=1e-6)
        assert probe.gap <= 1e-6 and np.array_equal(probe.weights, same.weights)
        assert of(X, labels, probe) == pytest.approx(of(X, labels, own), rel=1.1e-6)


def test_model_of_a_proximal_step_is_that_of_bfgs():
    """Against the updates one by one, dense and in float64; a pair that bends the wrong way is left out."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 8), np.float32)
    cache, C = GramCache(X), np.array([[0.3, -0.1], [-0.1, 0.2]])
    true = np.kron(C, X.T.astype(np.float64) @ np.diag(rng.random(200)) @ X / 100)
    steps = rng.standard_normal((4, 16))
    pairs = [(s.reshape(2, 8).astype(np.float32), (true @ s).reshape(2, 8).astype(np.float32)) for s in steps]
    model = solver._Model(cache, C, [pairs[0], (pairs[1][0], -pairs[1][1]), *pairs[2:]])
    B0 = np.kron(C, cache.gram)
    B = B0 * (steps[3] @ true @ steps[3]) / (steps[3] @ B0 @ steps[3])
    for s in steps[[0, 2, 3]]:
        change, seen = true @ s, B @ s
        B = B - np.outer(seen, seen) / (s @ seen) + np.outer(change, change) / (change @ s)
    D = rng.standard_normal((2, 8)).astype(np.float32)
    np.testing.assert_allclose(alone(X, model.times(D)).ravel(), B @ D.ravel(), atol=1e-4)
    np.testing.assert_allclose(alone(X, model.times(pairs[3][0])), pairs[3][1], atol=1e-4)
    np.testing.assert_allclose(alone(X, solver._Model(cache, C, []).times(D)).ravel(), B0 @ D.ravel(), atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_sketch_multiplies_by_the_inverse_of_what_it_stands_for(weighted):
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((500, 8)) @ rng.standard_normal((8, 60)) + 0.01 * rng.standard_normal((500, 60))).astype(
        np.float32
    )
    weights = rng.random(500) if weighted else None
    sketch, gram = solver.Sketch(X, weights), GramCache(X, weights)
    # more directions than X has of any size: next to nothing is left out
    np.testing.assert_allclose(sketch.basis.T @ sketch.basis + np.diag(sketch.tail), gram.gram, atol=2e-3)
    columns, factors = np.array([3, 50, 7, 8]), rng.random(60).astype(np.float32)
    rows = rng.standard_normal((3, 60)).astype(np.float32)
    for part, at in ((sketch, slice(0, 60)), (sketch.take(columns), columns), (sketch.scaled(factors), slice(0, 60))):
        whole = part.basis.T.astype(np.float64) @ part.basis + np.diag(part.tail)
        wanted = rows[:, at] @ np.linalg.inv(0.25 * whole + 0.5 * np.eye(part.columns))
        np.testing.assert_allclose(part.solver(0.25, 0.5)(rows[:, at]), wanted, atol=1e-4)
        np.testing.assert_allclose(part.times(rows[:, at]), rows[:, at] @ whole, atol=1e-3)


def test_a_sketch_of_some_rows_counts_them_by_their_weight(monkeypatch):
    """As many rows as there are, but drawn by weight: one of weight 3 stands three times, those of weight 0 not."""
    X = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
    weights = np.tile([3.0, 0.0, 1.0, 0.0], 10)
    monkeypatch.setattr(solver, "SKETCHED", 39)
    for given in (weights, None):
        sketch = solver.Sketch(X, given)
        wanted = GramCache(X, given).gram
        found = sketch.basis.T @ sketch.basis + np.diag(sketch.tail)
        np.testing.assert_allclose(found, wanted, atol=0.12)
    monkeypatch.setattr(solver, "SKETCHED", 40)
    np.testing.assert_allclose(
        solver.Sketch(X, weights).basis.T @ solver.Sketch(X, weights).basis, GramCache(X, weights).gram, atol=1e-4
    )


@pytest.mark.parametrize("l1", [0.0, 0.003])
def test_a_sketch_in_the_place_of_the_gram_matrix_finds_the_same_minimum(monkeypatch, l1):
    X, y = make(300, 80, 3)
    exact = fit(X, y, 3, l1, 0.01, gap=1e-6)
    for name, value in (("WIDE", 40), ("RANK", 20), ("SKETCHED", 100)):
        monkeypatch.setattr(solver, name, value)
    assert isinstance(solver.gram_of(X), solver.Sketch) and type(solver.gram_of(X[:, :30])) is GramCache
    sketched = fit(X, y, 3, l1, 0.01, gap=1e-6)
    assert sketched.gap <= 1e-6 and of(X, y, sketched) == pytest.approx(of(X, y, exact), rel=2e-6)
    np.testing.assert_allclose(sketched.weights, exact.weights, atol=2e-3)


@pytest.mark.parametrize("l1", [0.0, 0.002])
def test_sparse_rows_give_the_probe_of_the_same_rows_written_out(l1):
    from scipy import sparse

    rng = np.random.default_rng(0)
    X = (rng.random((200, 30)) < 0.2).astype(np.float32)
    y = (X[:, 0] + 2 * X[:, 1] + (rng.random(200) < 0.1)).astype(int).clip(0, 3)
    written = fit(X, y, 4, l1, 0.01, gap=1e-6)
    found = alone(sparse.csr_array(X), fitting(sparse.csr_array(X), y, 4, l1, 0.01, gap=1e-6, cache=GramCache(X)))
    assert found.gap <= 1e-6 and of(X, y, found) == pytest.approx(of(X, y, written), rel=2e-6)


@pytest.mark.parametrize("k", [2, 4])
def test_screened_fits_along_penalties_have_the_gap_on_all_columns(k):
    """Falling and rising l1, from warm starts; the dual bound of all columns in float64, and the same minimum."""
    X, y = make(200, 150, k)
    probe = None
    for l1 in (0.03, 0.02, 0.012, 0.008, 0.02):
        probe = fit(X, y, k, l1, 0.01, gap=1e-4, warm=probe)
        Z = X.astype(np.float64) @ probe.weights.astype(np.float64) + probe.intercept
        if k == 2:
            Z = np.concatenate([np.zeros_like(Z), Z], axis=1)
        P = np.exp(Z - np.logaddexp.reduce(Z, axis=1, keepdims=True))
        R = (P - np.eye(k)[y])[:, 1 if k == 2 else 0 :]
        dual = -(P * np.log(P)).sum(1).mean() - np.square(np.maximum(np.abs(X.T @ R / len(X)) - l1, 0)).sum() / 0.02
        primal = of(X, y, probe)
        assert 0 < np.count_nonzero(probe.weights.any(axis=1)) < 100 and probe.l1 == l1
        assert primal - dual <= 1.01e-4 * primal and probe.objective == pytest.approx(primal, rel=1e-6)
        assert primal == pytest.approx(of(X, y, fit(X, y, k, l1, 0.01, gap=1e-6)), rel=1.1e-4)


def test_screening_lets_in_what_it_left_out_wrongly(monkeypatch):
    """A warm start that is far off: no weight, and an l1 at which the strong rule keeps next to nothing."""
    X, y = make(200, 60, 3)
    none = replace(fit(X, y, 3, 0.5, 0.01), l1=0.008)
    assert not none.weights.any()
    seen = []
    monkeypatch.setattr(solver, "FEW_COLUMNS", 1.0)
    take = solver.Problem.take
    monkeypatch.setattr(solver.Problem, "take", lambda self, at: (seen.append(len(at)), take(self, at))[1])
    flat = replace(none, weights=fit(X, y, 3, 0.008, 0.01, gap=1e-6).weights * (np.arange(60) == 7)[:, None])
    found = fit(X, y, 3, 0.008, 0.01, warm=flat)
    assert found.gap <= 1e-4 and len(seen) >= 1
    assert of(X, y, found) == pytest.approx(of(X, y, fit(X, y, 3, 0.008, 0.01, gap=1e-6)), rel=1.1e-4)


@pytest.mark.parametrize("rows", [1, 2, 5, 8, 30])
def test_products_in_halves_are_those_of_the_whole_on_one_thread_and_on_two(monkeypatch, rows):
    X = np.random.default_rng(0).standard_normal((61, 83), np.float32)
    left = {False: np.random.default_rng(1).standard_normal((rows, 83), np.float32)}
    left[True] = np.random.default_rng(2).standard_normal((rows, 61), np.float32)
    monkeypatch.setattr(solver, "HALVED", X.size)
    for back, right in ((False, X.T), (True, X)):
        found = {}
        for threads in ("1", "2"):
            monkeypatch.setenv("NEUROSIEVE_THREADS", threads)
            found[threads] = solver.Product(left[back], back).alone(X)
        assert found["1"].tobytes() == found["2"].tobytes()
        np.testing.assert_allclose(found["1"], left[back].astype(np.float64) @ right, rtol=1e-4, atol=1e-5)


def test_a_matrix_below_the_bound_is_multiplied_as_a_whole(monkeypatch):
    monkeypatch.setattr(solver, "_beside", lambda: pytest.fail("a second thread"))
    monkeypatch.setenv("NEUROSIEVE_THREADS", "2")
    X, y = make(80, 12, 3)
    assert solver.halved(1 << 12, 1 << 13) and not solver.halved(1 << 12, (1 << 13) - 1)
    assert fit(X, y, 3, 0.0, 0.1).gap <= 1e-4


def test_a_fit_whose_products_are_in_halves_is_the_same_on_one_thread_and_on_two(monkeypatch):
    X, y = make(200, 40, 3)
    monkeypatch.setattr(solver, "HALVED", X.size)
    weights = []
    for threads in ("1", "2"):
        monkeypatch.setenv("NEUROSIEVE_THREADS", threads)
        weights.append(fit(X, y, 3, 0.0, 0.01, 1e-6).weights.tobytes())
    assert weights[0] == weights[1]


def test_pairs_whose_size_is_rounding_are_left_out_of_the_model(recwarn):
    """Their roots are no float32: the model would be of infinities."""
    cache = GramCache(np.eye(4, dtype=np.float32))
    step = np.full((1, 4), 1e-22, np.float32)
    usual = (np.ones((1, 4), np.float32), np.full((1, 4), 0.5, np.float32))
    model = solver._Model(cache, np.ones((1, 1)), [usual, (step, step)])
    without = solver._Model(cache, np.ones((1, 1)), [usual])
    for name in ("left", "right", "C"):
        assert getattr(model, name).tobytes() == getattr(without, name).tobytes()
    assert not recwarn.list
