"""Ranking without a probe (Antverg and Belinkov 2022): the distances between the class means of a neuron.

score_j = sum over pairs of classes of |mean_a,j - mean_b,j|, on standardised train features.
"""

from __future__ import annotations

import numpy as np

from neurosieve.probes.rankings import Ranking, RankingInput, by_score


def rank(data: RankingInput) -> Ranking:
    """Order by score; per class the sum over the pairs that the class is in. Classes without rows are left out."""
    classes = [c for c in range(data.n_classes) if (data.y == c).any()]
    means = np.stack([data.X[data.y == c].mean(axis=0, dtype=np.float64) for c in classes])
    # (classes, columns) -> distances to every other class, columns of a neuron added up
    apart = np.stack([np.abs(means - m).sum(axis=0) for m in means]).reshape(len(classes), data.neurons, -1).sum(2)
    per_class = np.zeros((data.n_classes, data.neurons))
    per_class[classes] = apart
    rows = per_class[:1] if data.n_classes == 2 else per_class  # two classes have one distance
    return Ranking(by_score(apart.sum(axis=0)), np.stack([by_score(r) for r in rows]))
