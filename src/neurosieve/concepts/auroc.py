"""Area under the ROC curve or rank correlation of many neurons at once, and token types by their mean |z|.

Reads and writes no files.
"""

from __future__ import annotations

import numpy as np

from neurosieve.probes.rankings._places import runs

TIE_DECIMALS = 12  # a class and its complement have AUROC a and 1 - a only up to rounding


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of each column from 1, ties sharing their mean, float64 (rows, columns); values (rows, columns), no NaN.

    As scipy.stats.rankdata, whose import takes half a second.
    """
    columns = np.ascontiguousarray(values.T)
    if columns.shape[1] < 2:
        return np.ones(values.shape)
    order = np.argsort(columns, axis=1, kind="stable")
    first, last = runs(np.take_along_axis(columns, order, axis=1))
    found = np.empty(columns.shape)
    np.put_along_axis(found, order, (first + last) / 2 + 1, axis=1)
    return np.ascontiguousarray(found.T)


def auroc(X: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """One-vs-rest AUROC of every column for every class, float64 (columns, classes).

    The probability that a row of the class has a larger value than another row, ties counted half (Mann-Whitney). Below
    0.5 the neuron is lower in the class. NaN for a class without rows, or without rows outside it.

    X : (rows, columns); labels : (rows,) ints in 0..n_classes-1.
    """
    if not len(labels):
        return np.full((X.shape[1], n_classes), np.nan)
    return auroc_of_ranks(ranks(X), np.arange(n_classes)[:, None] == labels).T


def auroc_of_ranks(ranks: np.ndarray, member: np.ndarray) -> np.ndarray:
    """AUROC of every column for many sets of rows, float64 (sets, columns), NaN for an empty or a full set.

    ranks : (rows, columns) from 1, ties sharing their mean; member : (sets, rows) bool, the rows of each set.
    """
    inside = member.sum(axis=1, keepdims=True).astype(np.float64)
    pairs = inside * (member.shape[1] - inside)
    # sums of half-integers: exact in float64 whatever the order
    wins = member.astype(np.float64) @ ranks - inside * (inside + 1) / 2
    return np.divide(wins, pairs, out=np.full_like(wins, np.nan), where=pairs > 0)


def concordance(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(1 + Spearman's correlation of every column with the numbers y (rows,)) / 2, float64 (columns,): on the scale of
    an AUROC, with 0.5 for no relation. NaN where the column or y is constant."""
    if not len(y):
        return np.full(X.shape[1], np.nan)
    return concordance_of_ranks(ranks(X), ranks(y[:, None]).T)[0]


def concordance_of_ranks(ranks: np.ndarray, y_ranks: np.ndarray) -> np.ndarray:
    """The same for many sets of numbers, float64 (sets, columns), from ranks (rows, columns) and (sets, rows)."""
    a, b = ranks - ranks.mean(axis=0), y_ranks - y_ranks.mean(axis=1, keepdims=True)
    length = np.sqrt(np.square(a).sum(axis=0) * np.square(b).sum(axis=1)[:, None])
    r = np.divide(b @ a, length, out=np.full((len(b), a.shape[1]), np.nan), where=length > 0)
    return (1 + np.clip(r, -1, 1)) / 2


def best_class(values: np.ndarray, classes: list[int]) -> int | None:
    """Which of the given classes one neuron separates best, from its AUROCs (all classes,): the farthest from 0.5.

    Ties go to the class in which the neuron is higher, then to the lower index. None where no AUROC is known.
    """
    known = [c for c in classes if not np.isnan(values[c])]
    key = {c: (-round(abs(float(values[c]) - 0.5), TIE_DECIMALS), values[c] < 0.5, c) for c in known}
    return min(known, key=key.__getitem__, default=None)


def top_types(z: np.ndarray, codes: np.ndarray, names: list[str], top: int, min_count: int) -> list[int]:
    """Codes of the ``top`` types with the largest mean |z|, of those with ``min_count`` rows; ties by the type's text.

    z : (rows,) of one neuron; codes : (rows,) type of each row as an index into ``names``.
    """
    count = np.bincount(codes, minlength=len(names))
    mean = np.bincount(codes, np.abs(z), minlength=len(names)) / np.maximum(count, 1)
    return sorted(np.flatnonzero(count >= min_count).tolist(), key=lambda c: (-mean[c], names[c]))[:top]
