"""Scores of a classifier, computed from confusion counts.

``C`` is an array (..., K, K) of counts, true class x predicted class; every metric works over the leading axes, so
that one call scores all replicates of a bootstrap. Reads and writes no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

METRICS = ("accuracy", "macro_f1", "matthews")
SCORED_ROWS, SCORED_FILES = 20, 5  # a class with fewer rows, or rows of fewer files, is not in macro-F1 (METHOD 3.1)
Metric = Callable[[np.ndarray], np.ndarray]


class MetricError(ValueError):
    """A score that the task's rows do not allow."""


def confusion_by_file(
    y: np.ndarray, predicted: np.ndarray, files: np.ndarray, n_classes: int, n_files: int | None = None
) -> np.ndarray:
    """Confusion counts of every file.

    Parameters
    ----------
    y : (n,) true classes, 0 .. n_classes-1.
    predicted : (..., n) predicted classes; leading axes are kept (several predictors of the same rows).
    files : (n,) file codes, 0 .. n_files-1.
    n_files : files of the split; wanted where ``y`` is a part of the split's rows, else the largest code + 1.

    Returns
    -------
    int64 (..., F, K, K). Summed over the axis F: the confusion counts of all rows.

    Raises
    ------
    ValueError
        for lengths that differ, and for classes or file codes out of range.
    """
    y, predicted, files = (np.asarray(a).astype(np.int64, casting="same_kind") for a in (y, predicted, files))
    if y.ndim != 1 or files.shape != y.shape or predicted.shape[-1:] != y.shape:
        raise ValueError(f"y {y.shape}, files {files.shape} and predicted {predicted.shape} differ in their rows")
    n_files = n_files if n_files is not None else int(files.max(initial=-1)) + 1
    for what, values, end in (("y", y, n_classes), ("predicted", predicted, n_classes), ("files", files, n_files)):
        if values.size and (values.min() < 0 or values.max() >= end):
            raise ValueError(f"{what}: found {values.min()} .. {values.max()}, expected 0 .. {end - 1}")
    base = (files * n_classes + y) * n_classes
    counts = np.empty((*predicted.shape[:-1], n_files, n_classes, n_classes), np.int64)
    for at in np.ndindex(predicted.shape[:-1]):
        cells = np.bincount(base + predicted[at], minlength=n_files * n_classes**2)
        counts[at] = cells.reshape(n_files, n_classes, n_classes)
    return counts


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """top / bottom, 0 where bottom is 0."""
    return np.divide(top, bottom, out=np.zeros_like(bottom), where=bottom != 0)


def _diagonal(C: np.ndarray) -> np.ndarray:
    return np.diagonal(C, axis1=-2, axis2=-1)


def accuracy(C: np.ndarray) -> np.ndarray:
    """Share of rows on the diagonal, (..., K, K) -> (...); 0 where there is no row."""
    C = np.asarray(C, np.float64)
    return _ratio(_diagonal(C).sum(-1), C.sum((-2, -1)))


def macro_f1(C: np.ndarray, scored: Sequence[int] | None = None) -> np.ndarray:
    """Mean F1 of the scored classes (all, if None), (..., K, K) -> (...).

    F1 of a class comes from the whole table: a prediction into a class that is not scored is an error. A class
    with neither a true nor a predicted row (it happens in replicates) is left out of that replicate's mean; with
    none left the score is 0.
    """
    C = np.asarray(C, np.float64)
    chosen = np.arange(C.shape[-1]) if scored is None else np.asarray(scored, np.int64)
    if not chosen.size:
        raise MetricError(
            f"macro_f1: no class has {SCORED_ROWS} rows in {SCORED_FILES} files; "
            "give the task more judge and test rows, or write `metric: accuracy`"
        )
    rows = C.sum(-1)[..., chosen] + C.sum(-2)[..., chosen]  # true + predicted rows of each class
    return _ratio(_ratio(2 * _diagonal(C)[..., chosen], rows).sum(-1), (rows > 0).sum(-1).astype(np.float64))


def matthews(C: np.ndarray) -> np.ndarray:
    """Matthews correlation of K classes, R_K of Gorodkin (2004, eq. 8), (..., K, K) -> (...); 0 where undefined."""
    C = np.asarray(C, np.float64)
    true, predicted, total = C.sum(-1), C.sum(-2), C.sum((-2, -1))
    covariance = _diagonal(C).sum(-1) * total - (true * predicted).sum(-1)
    spread = (total**2 - (true**2).sum(-1)) * (total**2 - (predicted**2).sum(-1))
    return _ratio(covariance, np.sqrt(spread))


def metric(name: str, C: np.ndarray, scored: Sequence[int] | None = None) -> np.ndarray:
    """Metric ``name`` (one of METRICS) of ``C``; ``scored`` is used by macro_f1 only."""
    if name == "accuracy":
        return accuracy(C)
    if name == "macro_f1":
        return macro_f1(C, scored)
    if name == "matthews":
        return matthews(C)
    raise ValueError(f"metric {name!r} is unknown; write one of: {', '.join(METRICS)}")


def primary(card: Mapping[str, Any]) -> Metric:
    """The primary metric of a task's card as a function of ``C``."""
    name, scored = card["metric"], card["scored_classes"]
    return lambda C: metric(name, C, scored)


def scored_among(y: np.ndarray, files: np.ndarray, scored: Sequence[int]) -> list[int]:
    """Those of the ``scored`` classes that a part of the rows has enough of: SCORED_ROWS rows in SCORED_FILES files."""
    counts = ((c, y == c) for c in scored)
    return [c for c, at in counts if at.sum() >= SCORED_ROWS and np.unique(files[at]).size >= SCORED_FILES]


def all_metrics(C: np.ndarray, scored: Sequence[int]) -> dict[str, float | None]:
    """The three metrics of one table (K, K), for reports; None without a row, macro_f1 also without a scored class."""
    rows = np.asarray(C).sum() > 0
    return {m: float(metric(m, C, scored)) if rows and (len(scored) or m != "macro_f1") else None for m in METRICS}
