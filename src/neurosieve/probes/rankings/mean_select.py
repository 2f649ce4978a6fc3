"""Ranking by the distance of two means on the scale of the neuron's range ("MeanSelect", Fan et al. 2023).

Per class |mean of its rows - mean of the other rows| / (max - min), on train; the columns of a neuron are added up. In
contrast to ``probeless`` one class stands against all rows of the others, and an outlier shrinks the whole neuron.
"""

from __future__ import annotations

import numpy as np

from neurosieve.probes.rankings import Ranking, RankingInput, from_scores


def rank(data: RankingInput) -> Ranking:
    """Order by the mean over classes; per class by its own. A column with max == min counts as 0."""
    classes, count = np.unique(data.y, return_counts=True)
    sums = np.stack([data.X[data.y == c].sum(axis=0, dtype=np.float64) for c in classes])
    inside = sums / count[:, None]
    outside = (sums.sum(axis=0) - sums) / (len(data.y) - count)[:, None]
    spread = (data.X.max(axis=0) - data.X.min(axis=0)).astype(np.float64)
    apart = np.divide(np.abs(inside - outside), spread, out=np.zeros_like(inside), where=spread > 0)
    return from_scores(data, classes, apart.reshape(len(classes), data.neurons, -1).sum(axis=2))
