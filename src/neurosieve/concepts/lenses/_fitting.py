"""How a lens scores sets of columns: a probe at the row's penalty, fitted on train, judged on judge by file.

Reads subsets/search/<model>/<task> (frozen.json); writes no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosieve.artifacts import read_json
from neurosieve.constant import column_moments
from neurosieve.numerics import add
from neurosieve.probes import metrics
from neurosieve.probes.intervals import MIN_FILES, FileBootstrap, lower, task_bootstrap, upper
from neurosieve.probes.solver import Probe, fit

if TYPE_CHECKING:
    from neurosieve.concepts.lenses import LensInput

Report = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """Primary metric on judge, and in the (B,) replicates of the bootstrap over files; None with too few files."""

    value: float
    replicates: np.ndarray | None


@dataclass(frozen=True)
class Target:
    """What columns are fitted to and judged by.

    train : (rows,) labels of train. judge, files : (rows,) labels and file codes of judge. n_classes : 0 for numbers.
    score : the task's primary metric of counts. bootstrap : over the files of judge, None with too few of them.
    l1, l2 : penalty, that of the chosen subset. gap, max_iterations : of the solver.
    """

    train: np.ndarray
    judge: np.ndarray
    files: np.ndarray
    n_classes: int
    score: metrics.Metric
    bootstrap: FileBootstrap | None
    confidence: float
    l1: float
    l2: float
    gap: float = 1e-5
    max_iterations: int = 2000

    def fit(self, X: np.ndarray) -> Probe:
        """A probe on standardised train columns, float32 (rows, columns)."""
        return fit(X, self.train, self.n_classes, self.l1, self.l2, self.gap, self.max_iterations)

    def judged(self, predicted: np.ndarray, *, value_only: bool = False) -> Judged:
        """Judge predictions (rows,), scored; ``value_only``: without replicates."""
        C = metrics.counts_by_file(self.judge, predicted, self.files, self.n_classes)
        without = value_only or self.bootstrap is None
        return Judged(float(self.score(C.sum(0))), None if without else self.bootstrap.replicates(C, self.score))  # type: ignore[union-attr]

    def scored(self, train: np.ndarray, judge: np.ndarray) -> Judged:
        """Fit on columns of train and judge on those of judge, float32 and standardised alike."""
        return self.judged(self.fit(train).predict(judge))

    @property
    def constant(self) -> float:
        """Score on judge of the best constant prediction."""
        best = metrics.best_constant(self.judge, self.n_classes, self.score)
        return self.judged(np.full(len(self.judge), best), value_only=True).value

    def difference(self, one: Judged, others: Sequence[Judged]) -> dict[str, float | None]:
        """One score less the mean of others, paired over files: {"difference", "low", "high"}, one-sided bounds."""
        low = high = None
        if one.replicates is not None:
            paired = one.replicates - mean_of([other.replicates for other in others if other.replicates is not None])
            low, high = float(lower(paired, self.confidence)), float(upper(paired, self.confidence))
        return {"difference": one.value - add(o.value for o in others) / len(others), "low": low, "high": high}


def target_of(data: LensInput) -> Target:
    """That of a row, at the penalty of its chosen subset, with the bootstrap that all phases have."""
    entry = read_json(data.paths.search(data.model, data.task) / "frozen.json")["sets"][data.subset]
    rows, settings = data.features.rows("judge"), data.params.probes
    enough = rows.n_files() >= MIN_FILES
    return Target(
        train=data.labels("train"),
        judge=rows.labels,
        files=rows.files,
        n_classes=len(data.classes),
        score=metrics.primary(data.card),
        bootstrap=(
            task_bootstrap(data.params.seed, data.task, "judge", rows.files, settings.bootstrap, rows.sides)
            if enough
            else None
        ),
        confidence=settings.confidence,
        l1=entry["l1"],
        l2=entry["l2"],
        gap=settings.gap,
        max_iterations=settings.max_iterations,
    )


def busiest_layer(data: LensInput) -> int:
    """The layer that has most of the chosen neurons, of equals the first."""
    return int(np.bincount(data.chosen // data.width).argmax())


def mean_of(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of arrays of one shape, added in their order."""
    total = np.zeros_like(arrays[0], dtype=np.float64)
    for array in arrays:
        total += array
    return np.asarray(total / len(arrays))


def drawn(values: Sequence[float]) -> dict[str, float]:
    """Mean and range over random draws."""
    return {"mean": float(add(values) / len(values)), "low": float(min(values)), "high": float(max(values))}


def standardised(*splits: np.ndarray) -> list[np.ndarray]:
    """Columns of the first array to mean 0 and variance 1, the others by its figures; constant ones become 0. float32.

    For columns that are made here; those of neurons are standardised where they are loaded.
    """
    mean, std, equal = column_moments(splits[0])
    scale = np.divide(1.0, std, out=np.zeros_like(std), where=~equal & (std > 1e-12 * np.abs(mean)))
    return [((split - mean) * scale).astype(np.float32) for split in splits]


def sizes_up_to(n: int, ratio: float, least: int = 1) -> list[int]:
    """Sizes ``least`` ... ``n``, growing by ``ratio`` or by one, ``n`` the last."""
    sizes = [min(least, n)]
    while sizes[-1] < n:
        sizes.append(min(n, max(sizes[-1] + 1, round(sizes[-1] * ratio))))
    return sizes
