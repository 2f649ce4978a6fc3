"""Rankings of neurons: one file, one ranking; a file dropped in is registered and the contract tests run on it.

A file ``<name>.py`` (``_`` for ``-``) defines ``rank(data: RankingInput) -> Ranking``. Reads and writes no files.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class RankingInput:
    """What a ranking may look at: train and a probe fitted on it, nothing of dev or test.

    X : float32 (rows, neurons * columns), standardised, neuron-major columns.
    y : int64 (rows,) class of each row.
    weights : float32 (neurons * columns, K), K = 1 for two classes, of the probe on all these neurons.
    columns : columns per neuron (more than one for pairs; they are ranked as one).
    n_classes : number of classes.
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


@dataclass(frozen=True)
class Ranking:
    """Positions of neurons, best first: ``order`` int64 (neurons,) and ``per_class`` int64 (classes or 1, neurons)."""

    order: np.ndarray
    per_class: np.ndarray


def names() -> list[str]:
    """Registered rankings, sorted."""
    return sorted(p.stem.replace("_", "-") for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))


def load(name: str) -> Callable[[RankingInput], Ranking]:
    """The function of a registered ranking.

    Raises
    ------
    ValueError
        for a name without a file.
    """
    if name not in names():
        raise ValueError(f"ranking {name!r} has no file; write one of: {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").rank


def by_score(score: np.ndarray) -> np.ndarray:
    """Positions by falling score, ties by position: the rule of every ranking."""
    return np.argsort(-np.asarray(score, np.float64), kind="stable")
