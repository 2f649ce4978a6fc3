"""Rankings of neurons: one file, one ranking; a file dropped in is registered and the contract tests run on it.

A file ``<name>.py`` (``_`` for ``-``) defines ``rank(data: RankingInput) -> Ranking``. Reads and writes no files.
Files whose name begins with ``_`` are helpers. A file that also ranks where the target is a number says so by a line
``NUMBERS = True`` (config/names.py reads it as text); the others rank by classes only and are left out there.

Every ranking keeps to this: the columns of one neuron are one group; classes without rows count for nothing, and their
row of ``per_class`` is the order of the index; two classes, and a number, have one row of ``per_class``; equal
neurons stay in the order of their index. ``bottom`` and ``random`` are controls (config.CONTROL_RANKINGS): what others
are to beat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from neurosieve.config import module_named, ranking_names
from neurosieve.probes.metrics import NUMBER

FEW = 20  # rows; the metrics ask as many of a class that they score
DECIMALS = 12  # scores that agree so far are ties: what rounding leaves of a sum taken in another order


@dataclass(frozen=True)
class RankingInput:
    """What a ranking may look at: train and a probe fitted on it, nothing of dev or test.

    X : float32 (rows, neurons * columns), standardised, neuron-major columns.
    y : int64 (rows,) class of each row; or float64 (rows,) numbers.
    weights : float32 (neurons * columns, K), K = 1 for two classes or a number, of the probe on all these neurons.
    columns : columns per neuron (more than one for pairs; they are ranked as one).
    n_classes : number of classes, metrics.NUMBER for numbers.
    seed : for rankings that draw.
    mass_step : step of the mass, for ``lca``.
    """

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    columns: int
    n_classes: int
    seed: int = 0
    mass_step: float = 0.001

    @property
    def neurons(self) -> int:
        return len(self.weights) // self.columns

    @property
    def number(self) -> bool:
        """Whether the target is a number."""
        return self.n_classes == NUMBER


@dataclass(frozen=True)
class Ranking:
    """Positions of neurons, best first: ``order`` int64 (neurons,) and ``per_class`` int64 (classes or 1, neurons)."""

    order: np.ndarray
    per_class: np.ndarray


def load(name: str) -> Callable[[RankingInput], Ranking]:
    """The function of a registered ranking.

    Raises
    ------
    ValueError
        for a name without a file.
    """
    rank: Callable[[RankingInput], Ranking] = module_named(__name__, "ranking", name, ranking_names()).rank
    return rank


def from_scores(data: RankingInput, classes: np.ndarray, scores: np.ndarray) -> Ranking:
    """Ranking by scores (len(classes), neurons) of the classes that have rows: together by their mean, then each alone.

    The mean, because the primary metric of many classes, macro-F1, counts them alike; the largest would be that of the
    easiest class or the noise of the rarest. Classes with fewer than FEW rows, whose score is mostly noise, count only
    where no class has more.
    """
    count = np.bincount(data.y, minlength=data.n_classes)[classes]
    counted = scores[count >= FEW] if (count >= FEW).any() else scores
    return Ranking(by_score(np.round(counted.mean(axis=0), DECIMALS)), class_orders(data, classes, scores))


def class_orders(data: RankingInput, classes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """``per_class`` of a ranking, from scores as :func:`from_scores` takes them."""
    every = np.zeros((data.n_classes, data.neurons))
    every[classes] = scores
    return np.stack([by_score(np.round(s, DECIMALS)) for s in (scores[:1] if data.n_classes == 2 else every)])


def first_of_best(score: np.ndarray, tolerance: float) -> int:
    """Lowest position whose score is within ``tolerance`` of the largest: equal neurons differ by rounding."""
    return int(np.flatnonzero(score >= score.max() - tolerance)[0])


def by_score(score: np.ndarray) -> np.ndarray:
    """Positions by falling score, ties by position: the rule of every ranking."""
    return np.argsort(-np.asarray(score, np.float64), kind="stable")
