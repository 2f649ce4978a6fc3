"""Clusters of correlated neurons: |correlation|, average linkage, cuts, medoids. Reads and writes no files.

Correlation clustering of Dalvi et al. 2020 (arXiv 2004.04010, section 4.2): the distance of two neurons is 1 - |r|,
the linkage is average (UPGMA). Every cut is made in one tree over all neurons given, so that no threshold sees the
result of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

TILE = 1024  # neurons on a side of a matrix product
# Mean |r| of two candidates closer than this is a tie: it lies above the error of the float32 product (see Pairs).
TIE_DECIMALS = 5


class Pairs:
    """Correlations of n neurons, each pair once: the sum of the products of unit columns, read some rows at a time.

    In float32. Against float64 the largest error of |r| found was 1e-6 at 4,000 rows and 4e-6 at 50,000 (with
    heavy-tailed neurons; BLAS adds in float32); copies of a neuron come out that close to 1.
    Holds 2 n^2 bytes: bands of rows of the upper triangle, (some, those from the first of them on).
    """

    def __init__(self, layer_of: np.ndarray, layers: int) -> None:
        """Of neurons whose layers are ``layer_of``, int (n,), ascending, each below ``layers``."""
        self.n, self.layers = len(layer_of), layers
        self.present, starts = np.unique(layer_of, return_index=True)
        self.bounds = np.append(starts, self.n)
        self.bands = [  # each within a layer, of about as many neurons
            (int(part[0]), int(part[-1]) + 1)
            for start, stop in zip(self.bounds[:-1], self.bounds[1:], strict=True)
            for part in np.array_split(np.arange(start, stop), -(-(stop - start) // TILE))
        ]
        self.values: list[np.ndarray] = []

    def add(self, chunks: Iterable[np.ndarray]) -> Pairs:
        """Add the products of some rows of the columns, float32 (rows, n) each, with themselves."""
        buffer = np.empty((TILE, TILE), np.float32)
        fresh = not self.values
        for z in chunks:
            for number, (start, stop) in enumerate(self.bands):
                if fresh:
                    self.values.append(np.empty((stop - start, self.n - start), np.float32))
                left, band = z[:, start:stop].T, self.values[number]
                # first a column with itself, which BLAS does in half the time
                for first, last in [(start, stop), *((a, min(a + TILE, self.n)) for a in range(stop, self.n, TILE))]:
                    out = band[:, first - start : last - start]
                    if fresh:
                        np.matmul(left, z[:, first:last], out=out)
                    else:
                        out += np.matmul(left, z[:, first:last], out=buffer[: stop - start, : last - first])
            fresh = False
        return self

    def join(self, other: Pairs, own: np.ndarray, others: np.ndarray, apart: np.ndarray) -> None:
        """Make these the correlations over the rows of both parts: own own' r + others others' r' + apart apart'.

        float64 (n,) each. ``own`` and ``others`` are the roots of each part's share in a neuron's sum of squares,
        ``apart`` that of the difference between the means of the parts, with its sign: their squares add up to 1, so
        that no digits are lost.
        """
        own, others, apart = (weights.astype(np.float32) for weights in (own, others, apart))
        for (start, stop), band, second in zip(self.bands, self.values, other.values, strict=True):
            for i, row, of_other in zip(range(start, stop), band, second, strict=True):  # a row stays in the cache
                row *= own[i] * own[start:]
                row += others[i] * others[start:] * of_other
                row += apart[i] * apart[start:]

    def nearest(self) -> np.ndarray:
        """Each neuron's largest |r| to another neuron of each layer, float32 (n, layers); NaN where there is none."""
        nearest = np.full((self.n, self.layers), -np.inf, np.float32)
        bounds = list(zip(self.present, self.bounds[:-1], self.bounds[1:], strict=True))
        for (start, stop), band in zip(self.bands, self.values, strict=True):
            own = np.arange(stop - start)
            layer = self.present[np.searchsorted(self.bounds, start, side="right") - 1]
            for other, first, last in bounds:
                if last <= start:
                    continue
                first = max(first, start)
                r = np.abs(band[:, first - start : last - start])
                if other == layer:
                    r[own, own] = -np.inf
                np.maximum(nearest[first:last, layer], r.max(axis=0), out=nearest[first:last, layer])
                np.maximum(nearest[start:stop, other], r.max(axis=1), out=nearest[start:stop, other])
        nearest[np.isneginf(nearest)] = np.nan
        return np.minimum(nearest, 1)

    def distances(self, kept: np.ndarray | None = None, *, give_up: bool = False) -> np.ndarray:
        """1 - |r| >= 0 of all pairs, or of those of the neurons ``kept``, bool (n,): float64, condensed as in scipy.

        ``give_up``: the correlations are let go of band by band, so that they and the distances are never both held.
        """
        of = np.arange(self.n) if kept is None else np.flatnonzero(kept)
        distances = np.empty(len(of) * (len(of) - 1) // 2)
        done, everything = 0, len(of) == self.n
        for number, (start, stop) in enumerate(self.bands):
            band = self.values[number]
            if give_up:
                self.values[number] = np.empty((0, 0), np.float32)
            at = int(np.searchsorted(of, start))
            for i in of[at : np.searchsorted(of, stop)]:
                at += 1
                row = band[i - start, i - start + 1 :] if everything else band[i - start, of[at:] - start]
                np.subtract(1.0, np.abs(row), out=distances[done : done + len(row)])
                done += len(row)
        return np.maximum(distances, 0, out=distances)


def cut(distances: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Clusters of average linkage at each distance, int32 (thresholds, n), numbered by their lowest neuron."""
    n = round((1 + (1 + 8 * len(distances)) ** 0.5) / 2)
    labels = np.zeros((len(thresholds), n), np.int32)
    if n < 2:
        return labels
    tree = linkage(distances, "average")
    for row, threshold in zip(labels, thresholds, strict=True):
        _, first, inverse = np.unique(fcluster(tree, threshold, "distance"), return_index=True, return_inverse=True)
        row[:] = np.argsort(np.argsort(first))[inverse]
    return labels


def medoids(distances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Position of each cluster's medoid, int32 (clusters,): the member with the highest mean |r| to the others.

    Ties, which every cluster of two is, go to the lowest position: the lower layer, then the lower unit (METHOD 3.1).
    """
    offset = _offsets(len(labels))
    order = np.argsort(labels, kind="stable")
    starts = np.append(0, np.flatnonzero(np.diff(labels[order])) + 1)
    size = np.diff(np.append(starts, len(order)))
    found = order[starts].astype(np.int32)
    for number in np.flatnonzero(size > 2):
        members = order[starts[number] : starts[number] + size[number]]
        total = np.zeros(len(members))
        for k, i in enumerate(members[:-1]):
            r = 1 - distances[offset[i] + members[k + 1 :]]
            total[k] += r.sum()
            total[k + 1 :] += r
        found[number] = members[np.argmax(np.round(total / (len(members) - 1), TIE_DECIMALS))]
    return found


def _offsets(n: int) -> np.ndarray:
    """offset[i] + j is the place of the pair i < j among the condensed distances."""
    i = np.arange(n, dtype=np.int64)
    return n * i - (i + 2) * (i + 1) // 2
