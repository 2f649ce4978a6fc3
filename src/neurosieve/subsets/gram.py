"""The Gram matrix of train, for the fits of the search and for what else asks for it. No files."""

from __future__ import annotations

import functools

import numpy as np

from neurosieve.probes.solver import WIDE, GramCache, Sketch, Solver

LARGE = 8192  # columns from which a sketch is worth its iterations: Cholesky factors grow with their cube


def gram_of(X: np.ndarray, weights: np.ndarray | None) -> GramCache:
    """That of train X (rows, columns), its rows counting by ``weights``; see GramCache."""
    return GramCache(X, weights) if X.shape[1] < LARGE else WideGram(X, weights)


class WideGram(GramCache):
    """The Gram matrix of many columns: a sketch of it shapes the metric of fits, and fewer than WIDE have the matrix.

    On 12,000 x 9,984 the Cholesky factors, 4 s each, and solves with them are two thirds of a curve down to 1,500
    neurons; with the sketch it takes half the time, a third more iterations included. The matrix is made when it is
    first asked for, by the saliency of elimination or by a part of few columns, and is the same for all parts.
    """

    def __init__(self, X: np.ndarray, weights: np.ndarray | None = None) -> None:
        matrix = functools.cache(lambda: GramCache(X, weights).gram)
        self._set(Sketch(X, weights), np.arange(X.shape[1]), matrix)

    def _set(self, sketch: GramCache, at: np.ndarray, matrix: functools._lru_cache_wrapper[np.ndarray]) -> None:
        """``matrix``: of all columns; ``at``: which of them these are."""
        self.sketch, self.at, self.matrix = sketch, at, matrix

    @property
    def gram(self) -> np.ndarray:  # type: ignore[override]  # an attribute there
        return np.take(np.take(self.matrix(), self.at, axis=0), self.at, axis=1)

    @property
    def columns(self) -> int:
        return len(self.at)

    def take(self, columns: np.ndarray | slice) -> GramCache:
        at = self.at[columns]
        part: GramCache
        if len(at) < WIDE:
            part = object.__new__(GramCache)
            part._hold(np.take(np.take(self.matrix(), at, axis=0), at, axis=1))
        else:
            part = object.__new__(WideGram)
            part._set(self.sketch.take(columns), at, self.matrix)
        return part

    def scaled(self, factors: np.ndarray) -> GramCache:
        return self.sketch.scaled(factors)

    def times(self, rows: np.ndarray) -> np.ndarray:
        return self.sketch.times(rows)

    def solver(self, level: float, l2: float) -> Solver:
        return self.sketch.solver(level, l2)
