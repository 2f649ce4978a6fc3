"""Ranking by the share of variance that the value of one neuron alone explains, linearly or by class means.

For a number the squared Pearson correlation with it; for classes the correlation ratio eta^2 = variance of the class
means (each class by its rows) / variance of the values (Fisher 1925), which for two classes is the squared correlation
with either. Of several columns the best counts.
"""

from __future__ import annotations

import numpy as np

from neurosieve.probes.rankings import DECIMALS, Ranking, RankingInput, by_score, class_orders
from neurosieve.probes.rankings._places import best_column

NUMBERS = True
BLOCK = 256  # columns taken together, in float64


def rank(data: RankingInput) -> Ranking:
    """Order by the share explained; per class by that of the class against all others."""
    n = len(data.y)
    if data.number:
        classes, scale, weight = np.zeros(1, np.int64), np.ones(1), np.ones(1)
        targets = (data.y - data.y.mean())[:, None] / np.linalg.norm(data.y - data.y.mean())
    else:
        classes, codes, count = np.unique(data.y, return_inverse=True, return_counts=True)
        targets = (codes[:, None] == np.arange(len(classes))) - count / n
        scale, weight = count.astype(np.float64), count * (n - count) / n
    found = np.empty((len(classes) + 1, data.X.shape[1]))
    for start in range(0, data.X.shape[1], BLOCK):
        columns = slice(start, start + BLOCK)
        X = data.X[:, columns].astype(np.float64)
        X -= X.mean(axis=0)
        squares = np.einsum("ij,ij->j", X, X)
        # sum of (x - mean) over the rows of each class, squared; for a number the product with it
        products = np.square(targets.T @ X) / np.where(squares > 0, squares, np.inf)
        found[:-1, columns] = products / weight[:, None]
        found[-1, columns] = (products / scale[:, None]).sum(axis=0)
    best = best_column(found, data.columns)
    order = by_score(np.round(best[-1], DECIMALS))
    return Ranking(order, order[None] if data.number else class_orders(data, classes, best[:-1]))
