"""Scores of a classifier, computed from confusion counts, and of a regression, computed from sums.

``C`` is an array (..., K, K) of counts, true class x predicted class, or (..., 1, 6) of sums where a number is
predicted (:func:`sums_by_file`); every metric works over the leading axes, so that one call scores all replicates of a
bootstrap. What the target of a task is, is told by the number of its classes: NUMBER, none, is a number.
Reads and writes no files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

NUMBER = 0  # number of classes of a task whose target is a number
METRICS = ("accuracy", "macro_f1", "matthews")
NUMBER_METRICS = ("r2", "spearman", "pearson", "rmse")
SUMS = ("n", "y", "yy", "p", "pp", "ee")  # last axis of sums_by_file
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
    int32 (..., F, K, K). Summed over the axis F: the confusion counts of all rows.

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
    counts = np.zeros((*predicted.shape[:-1], n_files, n_classes, n_classes), np.int32)
    for at in np.ndindex(predicted.shape[:-1]):
        cells, rows = np.unique(base + predicted[at], return_counts=True)  # far fewer than there are cells
        counts[at].reshape(-1)[cells] = rows
    return counts


def sums_by_file(y: np.ndarray, predicted: np.ndarray, files: np.ndarray, n_files: int | None = None) -> np.ndarray:
    """What R2, Pearson's correlation and the root mean squared error need to know of every file.

    Parameters
    ----------
    y : (n,) true numbers; predicted : (..., n), leading axes kept; files, n_files : as in :func:`confusion_by_file`.

    Returns
    -------
    float64 (..., F, 1, 6): rows, and the sums of y, y^2, p, p^2 and (y - p)^2; the file axis stands where that of
    confusion counts does. y and p are taken from the mean of y, which changes no metric and keeps the sums short.

    Raises
    ------
    ValueError
        for lengths that differ, and for numbers that are not finite.
    """
    y, predicted, files = np.asarray(y, np.float64), np.asarray(predicted, np.float64), np.asarray(files, np.int64)
    if y.ndim != 1 or files.shape != y.shape or predicted.shape[-1:] != y.shape:
        raise ValueError(f"y {y.shape}, files {files.shape} and predicted {predicted.shape} differ in their rows")
    if not (np.isfinite(y).all() and np.isfinite(predicted).all()):
        raise ValueError("found numbers that are not finite among the true or the predicted ones")
    n_files = n_files if n_files is not None else int(files.max(initial=-1)) + 1
    middle = y.mean() if y.size else 0.0
    y = y - middle
    sums = np.empty((*predicted.shape[:-1], n_files, 1, len(SUMS)))
    for at in np.ndindex(predicted.shape[:-1]):
        p = predicted[at] - middle
        for i, values in enumerate((None, y, y * y, p, p * p, (y - p) ** 2)):
            sums[*at, :, 0, i] = np.bincount(files, values, minlength=n_files)
    return sums


def counts_by_file(
    y: np.ndarray, predicted: np.ndarray, files: np.ndarray, n_classes: int, n_files: int | None = None
) -> np.ndarray:
    """What every metric of a task is computed from: :func:`confusion_by_file`, or for numbers :func:`sums_by_file`."""
    if n_classes == NUMBER:
        return sums_by_file(y, predicted, files, n_files)
    return confusion_by_file(y, predicted, files, n_classes, n_files)


def best_constant(y: np.ndarray, n_classes: int, score: Metric) -> int | float:
    """The class that scores best when it is always predicted, the lowest of equals; of numbers the mean (R2 is 0).

    y : (n,) true classes or numbers of the rows that are scored; score : metric of one table of counts.
    """
    if n_classes == NUMBER:
        return math.fsum(np.asarray(y, np.float64).tolist()) / len(y)
    rows = np.bincount(y, minlength=n_classes)
    scores = np.empty(n_classes)
    for constant in range(n_classes):  # a table at a time: all together have n_classes cubed cells
        table = np.zeros((1, n_classes, n_classes), np.int64)
        table[0, :, constant] = rows
        scores[constant] = score(table)[0]
    return int(scores.argmax())


def stored(predicted: np.ndarray) -> np.ndarray:
    """Predictions as the files have them: int16 classes, float32 numbers."""
    return predicted.astype(np.float32 if predicted.dtype.kind == "f" else np.int16)


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


def by_class(C: np.ndarray) -> list[dict[str, float | int | None]]:
    """Of one table (K, K): "rows" of each class, "precision", "recall" and "f1"; None where one is not defined.

    Precision is not defined where nothing is predicted as the class, recall without a row, F1 without either.
    """
    C = np.asarray(C, np.float64)

    def share(top: float, bottom: float) -> float | None:
        return float(top / bottom) if bottom else None

    return [
        {
            "rows": int(rows),
            "precision": share(right, predicted),
            "recall": share(right, rows),
            "f1": share(2 * right, rows + predicted),
        }
        for right, rows, predicted in zip(_diagonal(C), C.sum(-1), C.sum(-2), strict=True)
    ]


def _squares(C: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """From sums (..., 1, 6): rows, squares of y and of p about their means, squares of the errors; (...) each.

    0 where nothing but rounding is left, as of equal numbers.
    """
    n, y, yy, p, pp, ee = np.moveaxis(np.asarray(C, np.float64)[..., 0, :], -1, 0)
    about = [s - _ratio(t * t, n) for s, t in ((yy, y), (pp, p))]
    return n, *(np.where(a > 1e-12 * s, a, 0.0) for a, s in zip(about, (yy, pp), strict=True)), ee


def r2(C: np.ndarray) -> np.ndarray:
    """Coefficient of determination, 1 - sum of squared errors / squares of y about its mean in the same rows.

    (..., 1, 6) -> (...). Below 0 for what is worse than that mean; 0 where all y are equal, as it is not defined.
    """
    _, yy, _, ee = _squares(C)
    return np.where(yy > 0, 1 - _ratio(ee, yy), 0.0)


def pearson(C: np.ndarray) -> np.ndarray:
    """Pearson's correlation of y and p, (..., 1, 6) -> (...); 0 where one of them is constant."""
    n, yy, pp, ee = _squares(C)
    apart = np.asarray(C, np.float64)[..., 0, 1] - np.asarray(C, np.float64)[..., 0, 3]
    # the squares of y - p about its mean are those of y and of p less twice their product
    return np.clip(_ratio((yy + pp - (ee - _ratio(apart * apart, n))) / 2, np.sqrt(yy * pp)), -1, 1)


def rmse(C: np.ndarray) -> np.ndarray:
    """Root mean squared error in units of the target, (..., 1, 6) -> (...); 0 without a row."""
    C = np.asarray(C, np.float64)[..., 0, :]
    return np.sqrt(_ratio(C[..., 5], C[..., 0]))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, float64 (n,); equal values share their mean."""
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[inverse]


def column_ranks(X: np.ndarray) -> np.ndarray:
    """The same of each column, float64 (rows, columns)."""
    found = np.empty(X.shape)
    for j in range(X.shape[1]):
        found[:, j] = ranks(X[:, j])
    return found


def spearman(y: np.ndarray, predicted: np.ndarray) -> float | None:
    """Spearman's rank correlation of two (n,) arrays; None where one of them is constant."""
    a, b = (r - r.mean() for r in (ranks(y), ranks(predicted))) if len(y) else (np.zeros(0), np.zeros(0))
    length = math.sqrt(float(a @ a) * float(b @ b))
    return float(np.clip(float(a @ b) / length, -1, 1)) if length else None


def metric(name: str, C: np.ndarray, scored: Sequence[int] | None = None) -> np.ndarray:
    """Metric ``name`` (one of METRICS, or "r2", "pearson" or "rmse") of ``C``; ``scored`` is used by macro_f1 only."""
    if name in _OF_SUMS:
        return _OF_SUMS[name](C)
    if name == "accuracy":
        return accuracy(C)
    if name == "macro_f1":
        return macro_f1(C, scored)
    if name == "matthews":
        return matthews(C)
    raise ValueError(f"metric {name!r} is unknown; write one of: {', '.join((*METRICS, *_OF_SUMS))}")


_OF_SUMS: dict[str, Metric] = {"r2": r2, "pearson": pearson, "rmse": rmse}


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


def report(y: np.ndarray, predicted: np.ndarray, n_classes: int, scored: Sequence[int]) -> dict[str, float | None]:
    """All metrics of some rows: those of METRICS (:func:`all_metrics`), or of NUMBER_METRICS for numbers.

    Of numbers, None without a row; r2, spearman and pearson also where all true numbers are equal, and the two
    correlations where all predicted ones are.
    """
    C = counts_by_file(y, predicted, np.zeros(len(y), np.int64), n_classes, 1)[0]
    if n_classes != NUMBER:
        return all_metrics(C, scored)
    n, yy, pp, _ = (float(v) for v in _squares(C))
    return {
        "r2": float(r2(C)) if yy else None,
        "spearman": spearman(y, predicted),
        "pearson": float(pearson(C)) if yy and pp else None,
        "rmse": float(rmse(C)) if n else None,
    }
