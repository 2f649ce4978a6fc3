"""Forward selection for least squares: orthogonal matching pursuit on the centred one-hot classes, or on the number.

Each step takes the neuron whose columns correlate most with what the neurons taken so far leave unexplained (Pati et
al. 1993; several targets and groups of columns: the sum of squares), so that a copy of a neuron taken is worth nothing.
Class k is divided by the root of its number of rows: before the first step the score is the variance between the
classes, as in linear discriminant analysis, and without it the most frequent class would decide alone.

No step refits. With q the part of a column that is orthogonal to the columns taken before, of length 1, the residual of
the targets Y loses q q'Y and its correlations with X lose (X'q)(q'Y): one product of X with a vector per column, which
is also less work than the whole Gram matrix X'X. After DEPTH neurons the others follow in the order of `lca`: what the
last residual correlates with is for the most part noise that fits train, and sizes beyond DEPTH then did worse than
along `lca` (0.943 against 0.957 on judge at 700 neurons of the default token-roles). Measured on hidden states of a
code model (8,000 x 1,792, ten classes): 256 neurons in 0.9 s.
"""

from __future__ import annotations

import numpy as np

from neurosieve.probes.rankings import Ranking, RankingInput, class_orders, first_of_best, lca

NUMBERS = True
DEPTH = 256  # neurons selected; the rest of the order is that of lca
TIE = 1e-6  # of the largest score: float32 products of equal columns differ by less
NOTHING = 1e-9  # of the largest score at the start: correlations below are rounding


def rank(data: RankingInput) -> Ranking:
    """Order of selection. Per class by the squared correlation with the class, before any selection."""
    classes, targets = _targets(data)
    n, c = len(data.y), data.columns
    correlations = (data.X.T @ targets.astype(np.float32)).astype(np.float64)
    per_class = np.square(correlations).T.reshape(len(classes), data.neurons, c).sum(axis=2)

    score = per_class.sum(axis=0)
    nothing = NOTHING * score.max()
    basis = np.empty((n, min(DEPTH, data.neurons) * c), order="F")  # orthonormal
    taken: list[int] = []
    used = 0
    while len(taken) < min(DEPTH, data.neurons):
        best = first_of_best(score, TIE * score.max())
        if score[best] <= nothing:
            break
        taken.append(best)
        first = used
        for column in range(best * c, (best + 1) * c):
            x = data.X[:, column].astype(np.float64)
            q = x = x - x.mean()
            for _ in range(2):  # twice is enough (Giraud et al. 2005)
                q = q - basis[:, :used] @ (basis[:, :used].T @ q)
            length = np.linalg.norm(q)
            if length > 1e-5 * np.linalg.norm(x):  # else the columns before it span it
                basis[:, used] = q / length
                used += 1
        new = basis[:, first:used]
        correlations -= (data.X.T @ new.astype(np.float32)) @ (new.T @ targets)
        score = np.square(correlations).reshape(data.neurons, -1).sum(axis=1)
        score[taken] = -1
    rest = lca.rank(data).order
    order = np.concatenate([np.array(taken, np.int64), rest[~np.isin(rest, taken)]])
    return Ranking(order, order[None] if data.number or data.n_classes == 2 else class_orders(data, classes, per_class))


def _targets(data: RankingInput) -> tuple[np.ndarray, np.ndarray]:
    """Classes with rows, and float64 (rows, their number) what is to be explained; one column for a number."""
    if data.number:
        y = data.y - data.y.mean()
        return np.zeros(1, np.int64), (y / np.linalg.norm(y))[:, None]
    classes, codes, count = np.unique(data.y, return_inverse=True, return_counts=True)
    return classes, ((np.arange(len(classes)) == codes[:, None]) - count / len(codes)) / np.sqrt(count)
