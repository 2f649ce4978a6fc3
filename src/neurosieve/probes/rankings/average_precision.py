"""Ranking by the average precision with which the value of one neuron alone finds the rows of a class.

Average precision is the sum over thresholds of (change of recall) x precision, rows of equal value counted together.
A neuron is taken in the direction that is better for the class, for a probe can use either sign; of several columns the
best counts. Beside AUROC it asks what stands at the top alone, which matters for rare classes.
"""

from __future__ import annotations

import numpy as np

from neurosieve.probes.rankings import Ranking, RankingInput, from_scores
from neurosieve.probes.rankings._places import best_column, places, runs


def rank(data: RankingInput) -> Ranking:
    """Order by the mean over classes of the average precision, one class against the rest; per class by its own."""
    classes, codes, count = np.unique(data.y, return_inverse=True, return_counts=True)
    n = len(codes)
    offsets = np.cumsum(count) - count
    begin, end = np.repeat(offsets, count), np.repeat(offsets + count, count)  # of the class, at each of its rows
    found = np.empty((len(classes), data.X.shape[1]))
    for columns, first, last in places(data.X, codes):
        run_first, run_last = runs(first, offsets)  # rows of the class that share a value
        high = (end - run_first) / (n - first)  # precision among the rows with this value or a larger one
        low = (run_last + 1 - begin) / (last + 1)
        both = [np.add.reduceat(precision, offsets, axis=1) for precision in (high, low)]
        found[:, columns] = (np.maximum(*both) / count).T
    return from_scores(data, classes, best_column(found, data.columns))
