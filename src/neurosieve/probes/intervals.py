"""Bootstrap over files: intervals and p-values that speak of new files of the same packages.

Rows of one file are not independent, so whole files are drawn. Where the sides of a pair are of two files (functions,
problems: what the card calls `resampled`), both are drawn (:func:`cells`): whole connected components where none has
more than LARGEST of the rows, else the files, a pair then counting as often as both its sides were drawn, the product.
That is Owen's pigeonhole bootstrap (2007, Annals of Applied Statistics 1, 386-411) with one set of files on both sides
(Snijders and Borgatti 1999). In a simulation of easy and hard functions a 95 % lower bound held in 96-99 % of trials
(82-87 % with left functions alone); where pairs have nothing in common it is 1.7 times as wide as it need be.

Every predictor of a split is scored on the same draws (:func:`task_bootstrap` seeds them by task and split), so the
difference of two replicate vectors is paired.
Lower bound and p-value are dual: lower(d, c) > 0 exactly when p_value(d) <= 1 - c.
The bound is a plain percentile. In a simulation with files of unequal size and quality a 95 % lower bound of a paired
difference held in 95-96 % of trials at 100 files and more, 93-94 % at 20-40, 90-92 % at 5-10: see FEW_FILES.
Reads and writes no files.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from neurosieve.probes.metrics import Metric

LARGEST = 0.1  # of the rows, in one connected component, where whole components are drawn
MIN_FILES = 3  # with one or two files there is no spread to resample: no interval can be claimed
PART = 2**21  # cells of the tables of draws that are in memory at a time
FEW_FILES = 20  # below it the bounds are a little too narrow (see above); reports say so
VERY_FEW_FILES = 10


class IntervalError(ValueError):
    """An interval that cannot be claimed from these files or with so few replicates."""


def cells(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """What is drawn of pairs whose sides are of the files ``left`` and ``right``, (rows,) any integers each.

    Returns (codes, sides): int64 (rows,) codes 0 .. F-1 of what a row counts with, as :class:`FileBootstrap` takes
    them: its file where both sides are of one in every row, its connected component where no component has more than
    LARGEST of the rows, else its pair of files. ``sides``: int64 (F, 2), the two files of each such pair, numbered from
    0 and the lower first; else None.
    """
    files, flat = np.unique(np.stack([left, right]), return_inverse=True)
    at = np.sort(flat.reshape(2, -1), axis=0)
    if (at[0] == at[1]).all():
        return at[0].astype(np.int64), None
    from scipy.sparse.csgraph import connected_components  # a tenth of a second that pairs alone need

    graph = sparse.coo_array((np.ones(at.shape[1], np.int8), (at[0], at[1])), shape=(files.size, files.size))
    component = connected_components(graph, directed=False)[1][at[0]]  # numbered by their first files
    if np.bincount(component).max() <= LARGEST * at.shape[1]:
        return component.astype(np.int64), None
    sides, codes = np.unique(at, axis=1, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), sides.T.astype(np.int64)


class FileBootstrap:
    """``n`` draws of F files with replacement from the F files of a split.

    Parameters
    ----------
    files : (rows,) file code of every row of the split, 0 .. F-1, each code in use.
    n : replicates.
    seed : anything numpy's default_rng takes; the same seed and F give the same draws.
    sides : (F, 2) where a code is a pair of files (:func:`cells`); files 0 .. U-1 are drawn then, U times.

    Attributes
    ----------
    weights : (n, F) float32, how often each file was drawn; with ``sides`` the product for both, in a unit in which
        pairs of one file and pairs of two count alike on average.
    n_files : F, the length of the axis of files; n_drawn : files that are drawn, F or U.

    Raises
    ------
    IntervalError
        for fewer than MIN_FILES files.
    """

    def __init__(self, files: np.ndarray, n: int, seed: int | Sequence[int], sides: np.ndarray | None = None) -> None:
        codes = np.unique(np.asarray(files))
        self.n, self.n_files = n, codes.size
        if not np.array_equal(codes, np.arange(codes.size)):
            raise ValueError("files: the codes have gaps; number the files of the split from 0 without one")
        drawn_from = codes if sides is None else np.unique(sides)
        self.n_drawn = size = drawn_from.size
        if size < MIN_FILES:
            raise IntervalError(
                f"found {size} file(s) in the split; an interval over files needs {MIN_FILES} at the very least: "
                "give the split more packages or rows"
            )
        # Integer draws, not Generator.multinomial: no floating point on the way, so the same draws everywhere.
        drawn = np.random.default_rng(seed).integers(size, size=(n, size))
        self.weights = np.empty((n, codes.size), np.float32)
        for draw, files_drawn in zip(self.weights, drawn, strict=True):
            times = np.bincount(files_drawn, minlength=size)
            if sides is not None:
                one, other = sides.T
                # a file is drawn once on average, and two together (size - 1) / size times
                times = np.where(one == other, times[one] * (size - 1), times[one] * times[other] * size)
            draw[:] = times
        self._most = float(self.weights.sum(1, dtype=np.float64).max())

    def replicates(self, C_by_file: np.ndarray, metric: Metric) -> np.ndarray:
        """Metric of every draw: (..., F, K, K) counts, or (..., F, 1, 6) sums of numbers -> float64 (..., n).

        The products of counts are sums of whole numbers and exact in float32 below 2**24, else taken in float64, so
        they do not depend on the order in which a library adds; those of numbers are taken in float64.
        """
        C = np.asarray(C_by_file)
        if C.ndim < 3 or C.shape[-3] != self.n_files:
            raise ValueError(f"counts {C.shape}: expected (..., {self.n_files}, K, K), as counts_by_file gives")
        result = np.empty((*C.shape[:-3], self.n))
        size = math.prod(C.shape[-2:])
        for at in np.ndindex(C.shape[:-3]):
            table = C[at].reshape(self.n_files, -1)
            whole = np.issubdtype(table.dtype, np.integer)
            exact = np.float32 if whole and self._most * float(table.sum(-1).max()) < 2**24 else np.float64
            thin = whole and table.size > PART  # of many classes and files nearly all cells are empty
            sums: Any = sparse.csr_array(table.T).astype(exact) if thin else table.astype(exact)
            for draws in _parts(self.n, size) if whole else [slice(None)]:
                weights = self.weights[draws].astype(exact, copy=False)
                counts = np.ascontiguousarray((sums @ weights.T).T) if thin else weights @ sums
                result[at][draws] = metric(counts.reshape(-1, *C.shape[-2:]))
        return result


def _parts(n: int, size: int) -> list[slice]:
    """0 .. n-1 in parts of equal length whose tables of ``size`` cells have PART cells together, or two of them."""
    count = max(1, min(math.ceil(n * size / PART), n // 2))
    ends = [n * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def task_bootstrap(
    seed: int, task: str, split: str, files: np.ndarray, n: int, sides: np.ndarray | None = None
) -> FileBootstrap:
    """The bootstrap of a task's split: one and the same for all phases, models and sizes, hence paired.

    ``seed`` is params.seed, ``n`` params.probes.bootstrap, ``files`` and ``sides`` the codes of all rows of the split
    and what these are, as features.read_rows gives them.
    """
    return FileBootstrap(files, n, [seed, zlib.crc32(task.encode()), zlib.crc32(split.encode())], sides)


def few(split: str, number: int, name: str) -> list[str]:
    """What to say of a split with so few files (``name``: what they are called), nothing where there are enough."""
    if number >= FEW_FILES:
        return []
    if number >= VERY_FEW_FILES:
        return [f"{split} has {number} {name}: below {FEW_FILES} the bounds are a little too narrow"]
    return [
        f"{split} has {number} {name}: below {VERY_FEW_FILES} the bounds are too narrow and say little of new {name}"
    ]


def _rank(n: int, confidence: float) -> int:
    rank = math.floor((1 - confidence) * (n + 1) + 1e-9)  # 1 - 0.9 is a little below 0.1
    if rank < 1:
        raise IntervalError(
            f"{n} replicates give no bound at confidence {confidence}; "
            f"write bootstrap: {math.ceil(1 / (1 - confidence))} or more"
        )
    return rank


def lower(replicates: np.ndarray, confidence: float) -> np.ndarray:
    """One-sided lower percentile bound over the last axis: the k-th smallest, k = floor((1-confidence)(n+1))."""
    replicates = np.asarray(replicates)
    k = _rank(replicates.shape[-1], confidence)
    return np.partition(replicates, k - 1, axis=-1)[..., k - 1]


def upper(replicates: np.ndarray, confidence: float) -> np.ndarray:
    """One-sided upper percentile bound over the last axis: the k-th largest."""
    return -lower(-np.asarray(replicates), confidence)


def p_value(replicates: np.ndarray) -> np.ndarray:
    """One-sided p of "the difference is above 0" over the last axis: (1 + #(d <= 0)) / (n + 1)."""
    replicates = np.asarray(replicates)
    return (1 + (replicates <= 0).sum(-1)) / (replicates.shape[-1] + 1)


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values (Holm 1979), in the order given."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(values.size, 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted


def design_effect(C_by_file: np.ndarray, replicates_of_accuracy: np.ndarray) -> float | None:
    """Variance of the accuracy over the bootstrap, divided by its binomial variance (Kish 1965).

    rows / design effect is the number of independent rows that would know as much. None where the accuracy is 0 or 1.
    """
    C = np.asarray(C_by_file).sum(-3).astype(np.float64)
    share = float(np.trace(C) / C.sum())
    binomial = share * (1 - share) / C.sum()
    return float(np.var(replicates_of_accuracy) / binomial) if binomial > 0 else None
