"""The polish of a fitted probe against scikit-learn, SciPy and a closed form, all in float64."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from probe_inputs import make as correlated
from probe_inputs import objective, of
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from neurosieve.probes.metrics import NUMBER
from neurosieve.probes.polish import COLUMNS, polish
from neurosieve.probes.solver import ABSENT, GramCache, fit

make = partial(correlated, factors=6)


def theirs(X: np.ndarray, y: np.ndarray, l2: float) -> LogisticRegression:
    """scikit-learn's Newton solver."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it must have converged
        model = LogisticRegression(solver="newton-cholesky", C=1 / (len(y) * l2), tol=1e-9, max_iter=100)
        return model.fit(X.astype(np.float64), y)


SHAPES = [(300, 40, 2), (60, 90, 2), (300, 30, 4), (80, 60, 12)]


@pytest.mark.parametrize(("n", "p", "k"), SHAPES)
@pytest.mark.parametrize("l2", [0.1, 0.001])
def test_the_minimum_of_scikit_learn_to_eight_digits(n, p, k, l2):
    X, y = make(n, p, k)
    rough = fit(X, y, k, 0.0, l2, gap=1e-3)
    found = polish(X, y, k, rough)
    other = theirs(X, y, l2)
    least = objective(X, y, other.coef_.T, other.intercept_, 0.0, l2)
    assert found.gap <= 1e-8 < rough.gap and found.iterations > rough.iterations
    assert found.weights.dtype == found.intercept.dtype == np.float32 and found.weights.shape == rough.weights.shape
    assert of(X, y, found) == pytest.approx(least, rel=1e-8)
    assert of(X, y, found) == pytest.approx(found.objective, rel=1e-11)  # what is reported is what is returned
    assert least >= found.objective * (1 - found.gap) * (1 - 1e-12)  # and certified
    assert of(X, y, rough) - least > 1e-7 * least  # there was something to do
    np.testing.assert_allclose(found.weights, other.coef_.T, atol=2e-4)


def test_the_minimum_of_scipy_to_eight_digits():
    X, y = make(200, 25, 3, seed=1)
    X64, onehot = X.astype(np.float64), np.eye(3)[y]

    def whole(v: np.ndarray) -> tuple[float, np.ndarray]:
        W, b = v[:75].reshape(25, 3), v[75:]
        Z = X64 @ W + b
        R = (np.exp(Z - np.logaddexp.reduce(Z, axis=1)[:, None]) - onehot) / 200
        return objective(X, y, W, b, 0.0, 0.01), np.concatenate([(X64.T @ R + 0.01 * W).ravel(), R.sum(0)])

    least = minimize(whole, np.zeros(78), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})
    found = polish(X, y, 3, fit(X, y, 3, 0.0, 0.01))
    assert found.gap <= 1e-8 and of(X, y, found) == pytest.approx(least.fun, rel=1e-8)


def test_a_number_by_its_closed_form():
    rng = np.random.default_rng(0)
    X, _ = make(150, 20, 2)
    y = 30 + 7 * (X[:, :3].sum(axis=1) + rng.normal(size=150))
    rough = fit(X, y, NUMBER, 0.0, 0.05, gap=1e-3)
    rough = replace(rough, weights=rough.weights * np.float32(1.01), gap=1e-3)  # the solver is hard to stop early here
    found = polish(X, y, NUMBER, rough)
    X64 = X.astype(np.float64) - X.astype(np.float64).mean(0)
    exact = np.linalg.solve(X64.T @ X64 / 150 + 0.05 * np.eye(20), X64.T @ (y - y.mean()) / 150)
    np.testing.assert_allclose(found.weights[:, 0], exact, rtol=1e-4, atol=1e-5)
    least = (np.square(X64 @ exact - (y - y.mean())).mean() / 2 + 0.025 * np.square(exact).sum()) / y.std() ** 2
    assert found.gap <= 1e-8 and found.number and found.objective == pytest.approx(least, rel=1e-8)
    assert np.abs(rough.weights[:, 0] - exact).max() > 10 * np.abs(found.weights[:, 0] - exact).max()


@pytest.mark.parametrize("absent", [(1,), (0, 2)])
def test_a_class_without_rows_stays_out_of_reach(absent):
    X, y = make(200, 15, 4)
    present = np.setdiff1d(np.arange(4), absent)
    X, y = X[np.isin(y, present)], y[np.isin(y, present)]
    found = polish(X, y, 4, fit(X, y, 4, 0.0, 0.01, gap=1e-3))
    other = theirs(X, np.searchsorted(present, y), 0.01)
    least = objective(X, np.searchsorted(present, y), other.coef_.T, other.intercept_, 0.0, 0.01)
    assert found.gap <= 1e-8 and found.objective == pytest.approx(least, rel=1e-8)
    assert (found.intercept[list(absent)] == np.float32(ABSENT)).all() and not found.weights[:, list(absent)].any()
    assert np.isin(found.predict(X), present).all()


@pytest.mark.parametrize("k", [2, 3])
def test_separable_classes(k):
    """Hardly any penalty: saturated rows, so that the objective is anything but quadratic."""
    X, _ = make(120, 30, k)
    y = X[:, :k].argmax(axis=1)
    found = polish(X, y, k, fit(X, y, k, 0.0, 1e-6, gap=1e-2))
    assert found.gap <= 1e-8 and (found.predict(X) == y).all()
    other = theirs(X, y, 1e-6)
    assert of(X, y, found) == pytest.approx(objective(X, y, other.coef_.T, other.intercept_, 0.0, 1e-6), rel=1e-7)


def test_the_metric_decides_how_fast_not_where_to():
    X, y = make(300, 30, 4)
    rough = fit(X, y, 4, 0.0, 0.01, gap=1e-3)
    first, second = polish(X, y, 4, rough), polish(X, y, 4, rough, cache=GramCache(X[:40]))
    assert max(first.gap, second.gap) <= 1e-8 and first.objective == pytest.approx(second.objective, rel=1e-8)
    again = polish(X, y, 4, rough)
    assert np.array_equal(first.weights, again.weights) and np.array_equal(first.intercept, again.intercept)


def test_a_gap_that_float32_weights_cannot_resolve_ends_with_the_best_there_is():
    X, y = make(300, 30, 4)
    found = polish(X, y, 4, fit(X, y, 4, 0.0, 0.01), gap=1e-30)
    assert 1e-30 < found.gap < 1e-10


def test_what_is_left_as_it_is():
    X, y = make(60, 12, 2)
    sparse = fit(X, y, 2, 0.01, 0.01)
    assert polish(X, y, 2, sparse) is sparse
    wide, y = make(60, COLUMNS + 1, 2)
    probe = fit(wide, y, 2, 0.0, 0.1)
    assert polish(wide, y, 2, probe) is probe


def test_a_probe_of_other_columns_is_told():
    X, y = make(60, 12, 2)
    with pytest.raises(ValueError, match="weights"):
        polish(X[:, :8], y, 2, fit(X, y, 2, 0.0, 0.1))
