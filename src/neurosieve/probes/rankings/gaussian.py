"""Greedy selection by the likelihood of a Gaussian classifier (Torroba Hennigen et al. 2020, arXiv 2010.02812).

Each class is a Gaussian with a covariance of its own. A step takes the neuron with which the mean of
log p(class of the row | values of the neurons taken) becomes largest, over train rows that the Gaussians have not seen:
over their own rows a neuron of noise helps too, and where few rows are still in doubt it helps most. For any neuron j

    N_k(x_taken, x_j) = N_k(x_taken) N_k(x_j | x_taken),

so a step needs but the conditional mean and variance of every j: the residuals of the rows and the Schur complement of
each class's covariance are kept, and lose one rank when a column is taken. No covariance is factored anew.

Shrinkage as by an inverse Wishart prior: (n_k S_k + PRIOR T) / (n_k + PRIOR), with S_k the covariance of the n_k rows
of class k and T the diagonal of the covariance within classes. It bounds all conditional variances from below, also in
a class with fewer rows than neurons taken.

What bounds the cost: the steps look at the CANDIDATES neurons that are best by themselves (the same likelihood of one
neuron), at ROWS rows (each class in its share, seeded; the Gaussians are those of all others), and at DEPTH steps;
after them the order is that of the neurons by themselves. Measured on hidden states of a code model (8,000 x 1,792, ten
classes): 1.1 s.
"""

from __future__ import annotations

import zlib

import numpy as np

from neurosieve.probes.rankings import Ranking, RankingInput, by_score

CANDIDATES = 256
DEPTH = 48
ROWS = 1000
PRIOR = DEPTH + 2
FLOOR = 1e-6  # added to all variances: a neuron that is constant within every class has none
BLOCK = 64  # neurons whose likelihoods are computed together
BITS = 24  # of a likelihood that are compared: float32 is the precision of the steps to it


def rank(data: RankingInput) -> Ranking:
    """Order of selection, then by the neurons by themselves.

    Per class the neurons by themselves, by the log-likelihood over the rows of the class (a class with one row has
    none: by index); two classes have the one order of selection.
    """
    classes, codes = np.unique(data.y, return_inverse=True)
    judged = _sample(codes, data.seed)
    alone = np.concatenate(
        [
            _Selection(data, codes, judged, np.arange(start, min(start + CANDIDATES, data.neurons))).gains()
            for start in range(0, data.neurons, CANDIDATES)
        ],
        axis=1,
    )
    score = _rounded(alone.sum(axis=0))
    by_itself = by_score(score)
    candidates = np.sort(by_itself[:CANDIDATES])
    selection = _Selection(data, codes, judged, candidates)
    score = score[candidates]
    taken: list[int] = []
    while len(taken) < min(DEPTH, len(candidates)):
        if taken:
            score = _rounded(selection.gains().sum(axis=0))
            score[taken] = -np.inf
        taken.append(int(score.argmax()))
        selection.take(taken[-1])
    first = candidates[taken]
    order = np.concatenate([first, by_itself[~np.isin(by_itself, first)]])
    if data.n_classes == 2:
        return Ranking(order, order[None])
    per_class = np.tile(np.arange(data.neurons), (data.n_classes, 1))
    per_class[classes] = [by_score(_rounded(of_class)) for of_class in alone]
    return Ranking(order, per_class)


def _rounded(score: np.ndarray) -> np.ndarray:
    """To BITS significant bits, so that neurons which differ by rounding alone are ties."""
    mantissa, exponent = np.frexp(score)
    return np.ldexp(np.round(np.ldexp(mantissa, BITS)), exponent - BITS)


def _sample(codes: np.ndarray, seed: int) -> np.ndarray:
    """At most about ROWS rows and half of all: of each class its share, one at least if it has two."""
    rng = np.random.default_rng([seed, zlib.crc32(b"gaussian rows")])
    share = min(0.5, ROWS / len(codes))
    groups = [np.flatnonzero(codes == k) for k in range(codes.max() + 1)]
    sizes = [max(int(share * len(g)), min(1, len(g) - 1)) for g in groups]
    return np.concatenate([np.sort(rng.choice(g, n, replace=False)) for g, n in zip(groups, sizes, strict=True)])


class _Selection:
    """The Gaussians of some neurons, given the values of those taken so far.

    K classes, c columns per neuron, R rows (class by class), N neurons: ``residual`` float32 (K, c, R, N) what is left
    of the rows; ``schur`` float64 (K, N * c, N * c) the conditional covariances, neuron-major; ``taken`` float32 (K, R)
    log of class share and density of the values taken.
    """

    def __init__(self, data: RankingInput, codes: np.ndarray, rows: np.ndarray, neurons: np.ndarray) -> None:
        c = data.columns
        self.own = codes[rows]
        fitted = np.ones(len(codes), bool)
        fitted[rows] = False
        count = np.bincount(codes[fitted])
        X = data.X[:, (neurons[:, None] * c + np.arange(c)).ravel()].astype(np.float64)
        means, scatter = np.empty((len(count), X.shape[1])), np.empty((len(count), X.shape[1], X.shape[1]))
        for k in range(len(count)):
            part = X[fitted & (codes == k)]
            means[k] = part.mean(axis=0)
            part -= means[k]
            np.matmul(part.T, part, out=scatter[k])
        within = np.einsum("kii->i", scatter) / fitted.sum()
        self.schur = scatter
        for k, n in enumerate(count):
            self.schur[k] /= n + PRIOR
            self.schur[k].ravel()[:: X.shape[1] + 1] += within * (PRIOR / (n + PRIOR)) + FLOOR
        left = (X[rows] - means[:, None]).reshape(len(count), len(rows), -1, c)
        self.residual = np.ascontiguousarray(np.moveaxis(left, 3, 1), np.float32)
        self.taken = np.repeat(np.log(count / fitted.sum()).astype(np.float32)[:, None], len(rows), axis=1)

    def gains(self) -> np.ndarray:
        """float64 (K, N): sum over the rows of a class of log p(class | values taken and those of the neuron)."""
        classes, c, n_rows, neurons = self.residual.shape
        blocks = self.schur.reshape(classes, neurons, c, neurons, c)
        diagonal = np.arange(neurons)
        L = np.linalg.cholesky(np.moveaxis(blocks[:, diagonal, :, diagonal, :], 0, 1))  # (K, N, c, c)
        log_root = np.log(np.einsum("knaa->kna", L)).sum(axis=2).astype(np.float32)
        scale = L.astype(np.float32)
        found = np.empty((classes, neurons))
        member = (self.own == np.arange(classes)[:, None]).astype(np.float64)
        at = self.own * n_rows + np.arange(n_rows)
        for start in range(0, neurons, BLOCK):
            block = slice(start, min(start + BLOCK, neurons))
            A = self.taken[:, :, None] - log_root[:, None, block]
            white: list[np.ndarray] = []
            for a in range(c):  # forward substitution
                w = self.residual[:, a, :, block]
                for b in range(a):
                    w = w - scale[:, None, block, a, b] * white[b]
                white.append(w / scale[:, None, block, a, a])
                A -= np.float32(0.5) * np.square(white[-1])
            flat = A.reshape(classes * n_rows, -1)
            own = flat[at]
            flat[at] = -np.inf
            others = A.max(axis=0)
            A -= others
            others += np.log(np.exp(A, out=A).sum(axis=0)) - own  # log odds against the row's class
            # log(1 + odds) and not log p, so that neurons can still be told apart where p is 1 in float32
            found[:, block] = -(member @ np.logaddexp(0, others, dtype=np.float64))
        return found

    def take(self, neuron: int) -> None:
        """Condition everything on the values of one more neuron."""
        classes, c, _, neurons = self.residual.shape
        for a in range(c):
            at = neuron * c + a
            root = np.sqrt(self.schur[:, at, at])
            u = self.residual[:, a, :, neuron] / root.astype(np.float32)[:, None]
            slope = self.schur[:, at] / root[:, None]  # (K, N * c)
            self.schur -= slope[:, :, None] * slope[:, None, :]
            by_column = np.moveaxis(slope.reshape(classes, neurons, c), 2, 1).astype(np.float32)
            self.residual -= u[:, None, :, None] * by_column[:, :, None, :]
            self.taken -= np.log(root).astype(np.float32)[:, None] + np.float32(0.5) * u * u
            # what is taken has no variance left: its own likelihood is never asked for again, but must not fail
            self.schur[:, at, :] = self.schur[:, :, at] = 0
            self.schur[:, at, at] = 1
