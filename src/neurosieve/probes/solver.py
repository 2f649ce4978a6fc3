"""Elastic-net softmax regression, solved to a stated duality gap. (Plain first version.)"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


class SolverError(RuntimeError):
    """The duality gap was not reached."""


@dataclass(frozen=True)
class Probe:
    weights: np.ndarray
    intercept: np.ndarray
    gap: float
    iterations: int
    objective: float
    l1: float
    l2: float

    def scores(self, X: np.ndarray) -> np.ndarray:
        return X @ self.weights + self.intercept

    def predict(self, X: np.ndarray) -> np.ndarray:
        z = self.scores(X)
        return (z[:, 0] > 0).astype(np.int64) if z.shape[1] == 1 else z.argmax(axis=1)


class GramCache:
    """X'X/n of standardised train features; ``take(columns)`` for a subset."""

    def __init__(self, X: np.ndarray | None = None, gram: np.ndarray | None = None) -> None:
        if gram is None:
            assert X is not None
            gram = X.T @ X / np.float32(len(X))
        self.gram = gram

    def take(self, columns: np.ndarray | slice) -> GramCache:
        gram = self.gram[columns, columns] if isinstance(columns, slice) else self.gram[np.ix_(columns, columns)]
        return GramCache(gram=gram)


def fit(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    l1: float,
    l2: float,
    gap: float = 1e-4,
    max_iterations: int = 2000,
    warm: Probe | None = None,
    cache: GramCache | None = None,
) -> Probe:
    n, p = X.shape
    k = 1 if n_classes == 2 else n_classes
    Y = np.zeros((n, k))
    if k == 1:
        Y[:, 0] = y
    else:
        Y[np.arange(n), y] = 1
    W = np.zeros((p, k))
    b = np.zeros(k)
    if warm is not None:
        m = min(p, len(warm.weights))
        W[:m] = warm.weights[:m]
    G = (cache or GramCache(X)).gram
    v = np.ones(p, np.float32)
    for _ in range(30):
        v = G @ v
        v /= np.linalg.norm(v)
    lip = (0.25 if k == 1 else 0.5) * float(v @ (G @ v)) * 1.1 + l2

    def state(W: np.ndarray, b: np.ndarray):
        Z = (X @ W.astype(np.float32)).astype(float)
        for _ in range(50):
            A = Z + b
            if k == 1:
                P = 1 / (1 + np.exp(-A))
                H = np.array([[(P * (1 - P)).mean()]])
            else:
                A -= A.max(1, keepdims=True)
                E = np.exp(A)
                P = E / E.sum(1, keepdims=True)
                H = np.diag(P.mean(0)) - P.T @ P / n
            g = (P - Y).mean(0)
            if np.abs(g).max() < 1e-13:
                break
            b = b - np.linalg.pinv(H) @ g
        A = Z + b
        if k == 1:
            loss = np.logaddexp(0, A[:, 0]) - Y[:, 0] * A[:, 0]
            ent = -(P * np.log(P) + (1 - P) * np.log(1 - P)).sum(1)
        else:
            m = A.max(1)
            loss = np.log(np.exp(A - m[:, None]).sum(1)) + m - (A * Y).sum(1)
            ent = -(P * np.log(np.maximum(P, 1e-300))).sum(1)
        g = (X.T @ ((P - Y) / n).astype(np.float32)).astype(float)
        primal = loss.mean() + l1 * np.abs(W).sum() + l2 / 2 * (W * W).sum()
        dual = ent.mean() - (np.maximum(np.abs(g) - l1, 0) ** 2).sum() / (2 * l2)
        return primal, dual, g, b

    V, t, best = W.copy(), 1.0, -np.inf
    for it in range(1, max_iterations + 1):
        primal, dual, g, b = state(V, b)
        best = max(best, dual)
        if primal - best <= gap * max(primal, 1e-12):
            return Probe(V.astype(np.float32), b.astype(np.float32), (primal - best) / primal, it, primal, l1, l2)
        U = V - (g + l2 * V) / lip
        new = np.sign(U) * np.maximum(np.abs(U) - l1 / lip, 0)
        if ((V - new) * (new - W)).sum() > 0:
            t = 1.0
        s = (1 + np.sqrt(1 + 4 * t * t)) / 2
        V, W, t = new + (t - 1) / s * (new - W), new, s
    raise SolverError("raise probes.max_iterations")
