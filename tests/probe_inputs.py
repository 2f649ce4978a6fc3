"""Made-up features and classes for probes, and the objective of a probe written out in float64.

Used by tests/unit/test_solver.py, tests/unit/test_fit.py and tests/unit/test_polish.py.
"""

from __future__ import annotations

import numpy as np

from neurosieve.probes.solver import Probe


def make(n: int, p: int, k: int, seed: int = 0, factors: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Standardised features (n, p), correlated by so many factors, and classes (n,) that depend on them, with noise."""
    rng = np.random.default_rng([seed, n, p, k])
    X = rng.normal(size=(n, factors)) @ rng.normal(size=(factors, p)) + 0.5 * rng.normal(size=(n, p))
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    y = (X @ rng.normal(size=(p, k)) / np.sqrt(p) + rng.gumbel(size=(n, k))).argmax(1)
    y[:k] = np.arange(k)
    return X, y


def objective(X: np.ndarray, y: np.ndarray, W: np.ndarray, b: np.ndarray, l1: float, l2: float) -> float:
    """Mean loss and penalties in float64, written out; W (columns, 1) for two classes."""
    Z = X.astype(np.float64) @ W.astype(np.float64) + b
    if Z.shape[1] == 1:
        loss = np.logaddexp(0, np.where(y == 1, -1, 1) * Z[:, 0])
    else:
        loss = np.logaddexp.reduce(Z, axis=1) - Z[np.arange(len(y)), y]
    return float(loss.mean() + l1 * np.abs(W).sum() + l2 / 2 * np.square(W, dtype=np.float64).sum())


def of(X: np.ndarray, y: np.ndarray, probe: Probe) -> float:
    """The same of a probe."""
    return objective(X, y, probe.weights, probe.intercept.astype(np.float64), probe.l1, probe.l2)
