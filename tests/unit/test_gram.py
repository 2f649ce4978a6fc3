"""subsets/gram.py: what stands for the Gram matrix of many columns, beside the matrix itself."""

import numpy as np
import pytest

from neurosieve.probes import solver
from neurosieve.probes.solver import GramCache, Sketch, fit, row_weights
from neurosieve.subsets import gram
from neurosieve.subsets.gram import WideGram, gram_of


@pytest.fixture
def wide(monkeypatch):
    """X (300, 60), y, weights of the rows, LARGE lowered to 55 columns and WIDE to 40."""
    rng = np.random.default_rng(3)
    X = (rng.standard_normal((300, 12)) @ rng.standard_normal((12, 60)) + rng.standard_normal((300, 60))).astype("f4")
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    y = (X[:, :3] + 0.5 * rng.standard_normal((300, 3))).argmax(1)
    monkeypatch.setattr(gram, "LARGE", 55)
    monkeypatch.setattr(gram, "WIDE", 40)
    return X, y, row_weights(fit(X, y, 3, 0.0, 0.1), X)


def test_few_columns_have_the_matrix_and_no_sketch(wide):
    X, _, weights = wide
    assert type(gram_of(X[:, :54], weights)) is GramCache
    assert type(gram_of(X, weights)) is WideGram and gram_of(X, weights).columns == 60


def test_the_matrix_is_made_when_it_is_asked_for_and_once(wide, monkeypatch):
    X, _, weights = wide
    made = []
    monkeypatch.setattr(gram, "GramCache", lambda *given: made.append(1) or GramCache(*given))
    found = gram_of(X, weights)
    part = found.take(np.arange(50))
    part.solver(1.0, 0.1)(np.ones((1, 50), np.float32))
    assert not made
    np.testing.assert_array_equal(part.gram, GramCache(X, weights).gram[:50, :50])
    np.testing.assert_array_equal(found.gram, GramCache(X, weights).gram)
    assert len(made) == 1


@pytest.mark.parametrize("columns", [slice(0, 45), slice(0, 20), np.arange(59, 4, -1), np.array([7, 3, 50])])
def test_parts_of_parts_are_those_columns(wide, columns):
    X, _, weights = wide
    turned = np.random.default_rng(0).permutation(60)
    part = gram_of(X, weights).take(turned).take(columns)
    at = turned[columns]
    assert part.columns == len(at) and isinstance(part, WideGram) == (len(at) >= 40)
    np.testing.assert_array_equal(part.gram, GramCache(X, weights).gram[np.ix_(at, at)])
    if len(at) >= 40:
        rows = np.random.default_rng(1).standard_normal((2, len(at)), np.float32)
        sketch = Sketch(X, weights).take(at)
        np.testing.assert_array_equal(part.times(rows), sketch.times(rows))
        factors = np.linspace(0.5, 2, len(at), dtype=np.float32)
        np.testing.assert_array_equal(part.scaled(factors).times(rows), sketch.scaled(factors).times(rows))


@pytest.mark.parametrize("l1", [0.0, 0.003])
def test_fits_have_the_minimum_of_the_matrix(wide, l1, monkeypatch):
    X, y, weights = wide
    monkeypatch.setattr(solver, "RANK", 10)  # so that the sketch is not exact
    sketched = fit(X, y, 3, l1, 0.01, 1e-7, cache=gram_of(X, weights))
    exact = fit(X, y, 3, l1, 0.01, 1e-7, cache=GramCache(X, weights))
    assert sketched.gap <= 1e-7
    assert sketched.objective == pytest.approx(exact.objective, rel=3e-7)
