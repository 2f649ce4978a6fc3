"""Ranking by how well the value of one neuron alone separates a class from the others: |AUROC - 0.5|.

AUROC is the probability that a row of the class has the larger value than a row of another class, ties counted half
(Mann and Whitney 1947); the distance from 0.5, because a probe can use either sign. Of several columns the best counts.
"""

from __future__ import annotations

import numpy as np

from neurosieve.probes.rankings import Ranking, RankingInput, from_scores
from neurosieve.probes.rankings._places import best_column, places


def rank(data: RankingInput) -> Ranking:
    """Order by the mean over classes of |AUROC - 0.5|, one class against the rest; per class by its own."""
    classes, codes, count = np.unique(data.y, return_inverse=True, return_counts=True)
    offsets = np.cumsum(count) - count
    pairs = count * (len(codes) - count)
    apart = np.empty((len(classes), data.X.shape[1]))
    for columns, first, last in places(data.X, codes):
        # twice the sum of the midranks, which begin at 1; integers, so that equal and mirrored neurons tie exactly
        midranks = np.add.reduceat(first + last, offsets, axis=1, dtype=np.int64) + 2 * count
        wins = midranks - count * (count + 1)  # twice the pairs won
        apart[:, columns] = (np.abs(wins - pairs) / (2 * pairs)).T
    return from_scores(data, classes, best_column(apart, data.columns))
