"""How well the value of a neuron tells a class: the metrics that may name a neuron, for many neurons and label draws.

Every metric is 0 for a neuron that has nothing to do with the class, whatever the share of rows that the class has, and
1 for one that tells it without error; correlation only where the neuron has one value in the class and one outside it:
in a rare class it is small for any other, so that the best class by it is rather a common one. A neuron may be high or
low in a class: both directions are scored. Reads and writes no files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from neurosieve.concepts.auroc import auroc_of_ranks
from neurosieve.config.concepts import METRICS
from neurosieve.probes.metrics import column_ranks
from neurosieve.probes.rankings._places import runs

DIRECTIONS = (1, -1)  # high in the class, low in the class: the last axis of scores
TIE_DECIMALS = 12  # a class and its complement have correlations r and -r only up to rounding
BLOCK = 1 << 17  # rows of all draws that are sorted at once: what a cache holds

# (columns (rows, columns), labels (draws, rows), classes) -> (draws, columns, classes, 2)
Metric = Callable[[np.ndarray, np.ndarray, Sequence[int]], np.ndarray]


def scores(metric: str, X: np.ndarray, drawn: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Scores of every column for every class under every draw of labels, float64 (draws, columns, classes, 2).

    Last axis: high in the class, low in the class. NaN for a class without rows, or without rows outside it.

    metric : a name in SCORES; X : (rows, columns); drawn : (draws, rows) ints from 0; classes : those asked for.
    """
    return SCORES[metric](X, drawn, classes)


def average_precision(X: np.ndarray, drawn: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """(AP - b) / (1 - b): average precision in excess of the share b of the class, which is what chance gives.

    AP is the sum over thresholds of (change of recall) x precision, rows of equal value counted together.
    """
    found, share = _by_place(X, drawn, classes, _precisions), share_of(drawn, classes)
    return (found - share) / (1 - share)


def f1(X: np.ndarray, drawn: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """(F1 - e) / (1 - e) of "the neuron is active": its n largest (or smallest) values, n rows being of the class, and
    what equals the last of them.

    e is what chance gives, 2 a b / (a + n) where a rows are active and b is the class's share of the rows: b, but more
    where a value at the threshold comes more than once.
    """
    found, chance = _by_place(X, drawn, classes, _hits), share_of(drawn, classes)
    size = np.stack([(drawn == c).sum(axis=1) for c in classes], axis=1)[:, None]
    active = np.stack([_active(np.sort(column), size[:, 0]) for column in X.T], axis=1)
    chance = chance * (2 * active / (active + size[..., None]))
    return (found - chance) / (1 - chance)


def correlation(X: np.ndarray, drawn: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Pearson's correlation of the value with membership in the class (point-biserial); NaN for a constant column."""
    centred = X - X.mean(axis=0, dtype=np.float64)
    length = np.sqrt(np.square(centred).sum(axis=0))
    out = np.empty((len(drawn), X.shape[1], len(classes), 2))
    for i, c in enumerate(classes):
        member = (drawn == c).astype(np.float64)
        n = member.sum(axis=1, keepdims=True)
        scale = np.sqrt(n * (1 - n / drawn.shape[1])) * length
        r = np.divide(member @ centred, scale, out=np.full(out.shape[:2], np.nan), where=scale > 0)
        out[:, :, i, 0] = np.clip(r, -1, 1)
    out[..., 1] = -out[..., 0]
    return out


def auroc(X: np.ndarray, drawn: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """2 AUROC - 1. It fails NeuronEval's test of missing labels and names no neuron; see concepts/sanity.py."""
    ranks = column_ranks(X)
    out = np.empty((len(drawn), X.shape[1], len(classes), 2))
    for i, c in enumerate(classes):
        out[:, :, i, 0] = 2 * auroc_of_ranks(ranks, drawn == c) - 1
    out[..., 1] = -out[..., 0]
    return out


SCORES: dict[str, Metric] = {
    "average-precision": average_precision,
    "correlation": correlation,
    "f1": f1,
    "auroc": auroc,
}
#: Largest minus smallest value that a metric may take, what NeuronEval scales the change of a score by.
SPAN = {"average-precision": 1.0, "correlation": 2.0, "f1": 1.0, "auroc": 2.0}
assert set(METRICS) < set(SCORES)


def best(values: np.ndarray, classes: Sequence[int]) -> tuple[int, int] | None:
    """Position in ``classes`` and direction (1 or -1) of the best score of one neuron, (classes, 2).

    Ties go to the class in which the neuron is higher, then to the lower class. None where no score is known.
    """
    known = [(i, d) for i in range(len(classes)) for d in range(2) if not np.isnan(values[i, d])]
    key = {(i, d): (-round(float(values[i, d]), TIE_DECIMALS), d, classes[i]) for i, d in known}
    found = min(known, key=key.__getitem__, default=None)
    return None if found is None else (found[0], DIRECTIONS[found[1]])


def share_of(drawn: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Share of each class in each draw, (draws, 1, classes, 1); NaN where it is 0 or 1."""
    share = np.stack([(drawn == c).mean(axis=1) for c in classes], axis=1)
    return np.where((share > 0) & (share < 1), share, np.nan)[:, None, :, None]


# Sums over the rows of a class, from places among the sorted values, for both directions:
# (first, last) place of the values equal to the row's; (k0, k1) the same among the class's rows; n rows of the class,
# N of all; runs of the column -> what to sum for high and for low.
_Terms = Callable[..., tuple[np.ndarray, np.ndarray]]


def _precisions(
    first: np.ndarray, last: np.ndarray, k0: np.ndarray, k1: np.ndarray, n: np.ndarray, N: int, _: object
) -> tuple[np.ndarray, np.ndarray]:
    """Precision at the row's value over n: their sum is the average precision."""
    return (n - k0) / ((N - first) * n), (k1 + 1) / ((last + 1) * n)


def _hits(
    first: np.ndarray,
    last: np.ndarray,
    k0: np.ndarray,
    k1: np.ndarray,
    n: np.ndarray,
    N: int,
    of: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """2 / (active + n) where the row is active: their sum is F1."""
    begin, end = of[0][N - n], of[1][n - 1]  # of the active rows: the n largest, the n smallest
    return (first >= begin) * 2 / (N - begin + n), (last <= end) * 2 / (end + 1 + n)


def _active(ascending: np.ndarray, n: np.ndarray) -> np.ndarray:
    """How many rows are active for high and for low in a class of ``n`` rows, n.shape + (2,); values (rows,)."""
    first, last = (v[0] for v in runs(ascending[None]))
    N = len(ascending)
    return np.stack([N - first[np.minimum(N - n, N - 1)], last[np.maximum(n, 1) - 1] + 1], axis=-1)


def _by_place(X: np.ndarray, drawn: np.ndarray, classes: Sequence[int], terms: _Terms) -> np.ndarray:
    """(draws, columns, classes, 2): the terms of the rows of each class, summed; NaN for an empty or full class."""
    draws, N = drawn.shape
    K = 1 + max(int(drawn.max(initial=0)), *classes)
    codes = drawn.astype(np.uint8 if K <= 256 else np.uint16)  # such integers are sorted by counting
    size = np.stack([np.bincount(row, minlength=K) for row in drawn])
    order = np.argsort(X, axis=0, kind="stable")
    out = np.full((draws, X.shape[1], len(classes), 2), np.nan)
    at = np.arange(N, dtype=np.int32)
    step = max(1, BLOCK // max(N, 1))
    for start in range(0, draws, step):
        block = slice(start, min(start + step, draws))
        part = size[block].ravel()
        offset = (np.cumsum(size[block], axis=1) - size[block]).ravel()  # of a class in its draw, rows class by class
        begin = (np.cumsum(part) - part)[part > 0]
        shape = (block.stop - block.start, N)
        offset_of = np.repeat(offset, part).reshape(shape).astype(np.int32)
        n = np.repeat(part, part).reshape(shape).astype(np.int32)
        for j in range(X.shape[1]):
            first, last = (v[0] for v in runs(X[order[:, j], j][None]))
            place = np.argsort(codes[block][:, order[:, j]], axis=1, kind="stable")
            if first[-1] == N - 1 and (first == last).all():
                low = high = place.astype(np.int32)
                k0 = k1 = at - offset_of
            else:
                low, high = first[place], last[place]
                k0, k1 = (k - offset_of for k in _runs_of_classes(low, begin))
            sums = np.zeros((len(part), 2))
            for d, values in enumerate(terms(low, high, k0, k1, n, N, (first, last))):
                sums[part > 0, d] = np.add.reduceat(values.ravel(), begin) if len(begin) else 0
            sums[(part == 0) | (part == N)] = np.nan
            out[block, j] = sums.reshape(-1, K, 2)[:, list(classes)]
    return out


def _runs_of_classes(first: np.ndarray, begin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last index in its draw of the rows of a class that share a value, (draws, rows) each.

    first : (draws, rows) place of the run that each row is in, class by class; begin : of classes, in the flat array.
    """
    begins = np.ones(first.shape, bool)
    begins[:, 1:] = first[:, 1:] != first[:, :-1]
    begins.ravel()[begin] = True
    at = np.arange(first.shape[1], dtype=np.int32)
    ends = np.concatenate([begins[:, 1:], np.ones((len(first), 1), bool)], axis=1)
    k0 = np.maximum.accumulate(np.where(begins, at, 0), axis=1)
    k1 = np.minimum.accumulate(np.where(ends, at, at[-1])[:, ::-1], axis=1)[:, ::-1]
    return k0, k1
