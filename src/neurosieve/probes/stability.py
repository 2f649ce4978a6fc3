"""How far a probe depends on its start, on the order of the rows, and on which files train happened to hold.

METHOD 3.2, row 2: a probe solved to a duality gap has the same objective and next to the same predictions from every
start and in every order of the rows (:func:`starts_and_orders`). What no solver removes is the spread over other draws
of the train files (:func:`resample_spread`). Pure functions on arrays; reads and writes no files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from neurosieve.constant import column_moments
from neurosieve.probes.solver import GramCache, Probe, fit

# (train features, train classes, features to predict) -> predicted classes: a whole procedure, whatever its protocol
Procedure = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def resamples(files: np.ndarray, n: int, seed: int | Sequence[int]) -> Iterator[np.ndarray]:
    """Bootstrap of files: ``n`` times the row indices, int64 (rows drawn,), of F files drawn with replacement.

    ``files`` (rows,) are the file codes of train, any integers. The rows of a file stay together and in order; those of
    a file drawn twice come twice, so the number of rows varies. The same seed and files give the same draws.
    """
    codes, at = np.unique(np.asarray(files), return_inverse=True)
    rows = np.split(np.argsort(at, kind="stable"), np.cumsum(np.bincount(at))[:-1])
    rng = np.random.default_rng(seed)
    for _ in range(n):
        yield np.concatenate([rows[i] for i in rng.integers(codes.size, size=codes.size)])


def solved(n_classes: int, l1: float, l2: float, gap: float = 1e-4, max_iterations: int = 2000) -> Procedure:
    """The probe of the protocol `strict` as a procedure: columns standardised by the given train rows, then solved.

    A column with max == min in these rows is set to zero. Errors: those of solver.fit.
    """

    def procedure(X: np.ndarray, y: np.ndarray, X_eval: np.ndarray) -> np.ndarray:
        mean, std, equal = column_moments(X)
        scale = (1 / np.where(equal, np.inf, std)).astype(np.float32)
        standard = [(A - mean.astype(np.float32)) * scale for A in (X, X_eval)]
        return fit(standard[0], y, n_classes, l1, l2, gap, max_iterations).predict(standard[1])

    return procedure


def resample_spread(
    procedure: Procedure,
    X: np.ndarray,
    y: np.ndarray,
    files: np.ndarray,
    X_eval: np.ndarray,
    score: Callable[[np.ndarray], float],
    *,
    n: int = 10,
    seed: int | Sequence[int] = 0,
) -> dict[str, Any]:
    """Scores of a procedure trained on ``n`` resamples of train by file.

    Parameters
    ----------
    procedure : for example ``solved(...)``; called with float32 (rows, columns) and int (rows,) of the resample.
    X, y, files : train, raw or standardised features (rows, columns), classes and file codes (rows,).
    X_eval : (rows, columns) of other files.
    score : predicted classes of X_eval -> score.

    Returns
    -------
    "scores" in the order of the draws, "mean", "std" (of n - 1), "range" (largest - smallest), and "agreement", the
    smallest share of equal predictions between two resamples.
    """
    predicted = [procedure(X[rows], y[rows], X_eval) for rows in resamples(files, n, seed)]
    scores = [float(score(p)) for p in predicted]
    return {
        "scores": scores,
        "mean": float(np.mean(scores)),
        "std": float(np.std(scores, ddof=1)) if n > 1 else 0.0,
        "range": max(scores) - min(scores),
        "agreement": _agreement(predicted),
    }


def starts_and_orders(
    X: np.ndarray,
    y: np.ndarray,
    X_eval: np.ndarray,
    n_classes: int,
    l1: float,
    l2: float,
    *,
    starts: int = 5,
    orders: int = 5,
    seed: int | Sequence[int] = 0,
    gap: float = 1e-4,
    max_iterations: int = 2000,
) -> dict[str, Any]:
    """Fit one probe from ``starts`` random weights and in ``orders`` random orders of the rows (started at zero).

    Parameters
    ----------
    X, y : standardised train, float32 (rows, columns) and int (rows,); X_eval : float32 (rows, columns), alike.
    l1, l2, gap, max_iterations : as in solver.fit, whose errors it raises.

    Returns
    -------
    "objectives" and "iterations", starts first; "spread": (largest - smallest) / smallest objective, which the gap
    bounds by gap / (1 - gap); "agreement": smallest share of equal predictions on X_eval between two of the fits.

    Measured at gap 1e-4, l1 = 0, on hidden states of a code model (8,000 x 1,792 and less): spread below 4e-6,
    agreement 0.9991 to 0.9999. With l1 > 0 or few rows an agreement of 0.999 needs a gap of 1e-5.

    A random start has standard normal weights over the root of the columns: logits of size one, far from the solution.
    """
    rng = np.random.default_rng(seed)
    cache = GramCache(X)
    k = 1 if n_classes == 2 else n_classes
    fits = []
    for _ in range(starts):
        weights = (rng.standard_normal((X.shape[1], k)) / np.sqrt(X.shape[1])).astype(np.float32)
        warm = Probe(weights, rng.standard_normal(k).astype(np.float32), np.inf, 0, np.inf, l1, l2)
        fits.append(fit(X, y, n_classes, l1, l2, gap, max_iterations, warm, cache))
    for _ in range(orders):
        order = rng.permutation(len(X))
        fits.append(fit(X[order], y[order], n_classes, l1, l2, gap, max_iterations, None, cache))
    objectives = [probe.objective for probe in fits]
    return {
        "objectives": objectives,
        "iterations": [probe.iterations for probe in fits],
        "spread": (max(objectives) - min(objectives)) / min(objectives),
        "agreement": _agreement([probe.predict(X_eval) for probe in fits]),
    }


def _agreement(predicted: list[np.ndarray]) -> float:
    """Smallest share of equal predictions between two of the predictors; 1 for a single one."""
    pairs = ((a, b) for i, a in enumerate(predicted) for b in predicted[:i])
    return min((float((a == b).mean()) for a, b in pairs), default=1.0)
