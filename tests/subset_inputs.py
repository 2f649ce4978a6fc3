"""Small inputs of the searches for the best set (subsets/contenders), of every kind that these must serve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurosieve.probes.metrics import NUMBER
from neurosieve.probes.solver import GramCache, fit, row_weights
from neurosieve.subsets.contenders import Fitted, SubsetInput
from neurosieve.subsets.target import Target


@dataclass(frozen=True)
class Case:
    """``classes``: those with rows, in ``n_classes``; none for a number. ``copies``: neurons that are twice there."""

    classes: tuple[int, ...] = (0, 1)
    n_classes: int = 2
    columns: int = 1
    l1: float = 0.0
    l2: float = 0.02
    copies: int = 0
    carriers: int = 3


CASES = {
    "two classes": Case(),
    "classes": Case((0, 1, 2, 3), 4),
    "a class without rows": Case((0, 1, 3), 4),
    "two of three classes have rows": Case((0, 2), 3),
    "a number": Case((), NUMBER),
    "pairs": Case(columns=2),
    "pairs, a number": Case((), NUMBER, columns=2),
    "elastic net": Case(l1=0.02),
    "elastic net, classes, pairs": Case((0, 1, 2), 3, columns=2, l1=0.02),
    "copies": Case(copies=6),
}


def make(case: Case, rows: int, neurons: int, *, seed: int = 0, gap: float = 1e-6) -> SubsetInput:
    """The first ``carriers`` neurons decide, by sums of their first columns; noise is correlated between all."""
    rng = np.random.default_rng([seed, rows, neurons, case.columns, len(case.classes)])
    X = rng.normal(size=(rows, neurons * case.columns)) + 0.5 * rng.normal(size=(rows, 1))
    first = X[:, : case.carriers * case.columns : case.columns]
    if case.classes:
        turn = 2 * np.pi * np.arange(len(case.classes)) / len(case.classes)  # each carrier tells the classes in its way
        scores = 3 * first @ np.cos(turn + np.arange(case.carriers)[:, None]) + rng.gumbel(size=(rows, len(turn))) / 2
        y = np.array(case.classes)[scores.argmax(axis=1)]
    else:
        y = 30 + 7 * (first.sum(axis=1) + 0.5 * rng.normal(size=rows))
    for i in range(case.copies):
        X[:, -1 - i] = X[:, i]
    return given(((X - X.mean(0)) / X.std(0)).astype(np.float32), y, case, gap=gap)


def given(X: np.ndarray, y: np.ndarray, case: Case, *, gap: float = 1e-6) -> SubsetInput:
    full = fit(X, y, case.n_classes, case.l1, case.l2, gap=gap)
    return SubsetInput(
        X=X, y=y, columns=case.columns, n_classes=case.n_classes, gram=GramCache(X, row_weights(full, X)),
        full=Fitted(np.arange(X.shape[1] // case.columns), full), target=Target.of(y, case.n_classes), gap=gap,
        max_iterations=2000,
    )  # fmt: skip
