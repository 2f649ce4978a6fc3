"""Clusters of correlated neurons: |correlation|, average linkage, cuts, medoids. Reads and writes no files.

Correlation clustering of Dalvi et al. 2020 (arXiv 2004.04010, section 4.2): the distance of two neurons is 1 - |r|,
the linkage is average (UPGMA). Every cut is made in one tree over all neurons given, so that no threshold sees the
result of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from tqdm import tqdm

BAND = 512  # neurons per matrix product
# Mean |r| of two candidates closer than this is a tie: it lies above the error of the float32 product (see correlate).
TIE_DECIMALS = 5


def unit_columns(layer: np.ndarray) -> np.ndarray:
    """Columns of (rows, neurons), none constant, centred and scaled to length 1: float32 (neurons, rows).

    Computed in float64 and rounded once. The product of two of them is their Pearson correlation.
    """
    z = layer.T.astype(np.float64)
    z -= z.mean(axis=1, keepdims=True)
    z /= np.sqrt(np.einsum("ij,ij->i", z, z))[:, None]
    return z.astype(np.float32)


@dataclass(frozen=True)
class Correlation:
    """Distances and nearest neighbours of n neurons.

    distances : float64 (n(n-1)/2,), 1 - |r| >= 0, condensed as in scipy.spatial.distance.squareform.
    nearest : float32 (n, layers), each neuron's largest |r| to another neuron of each layer; NaN where there is none.
    """

    distances: np.ndarray
    nearest: np.ndarray


def correlate(z: np.ndarray, layer_of: np.ndarray, layers: int) -> Correlation:
    """|correlation| of all pairs of neurons, from unit columns (n, rows) float32; ``layer_of`` (n,) is ascending.

    Each pair is multiplied once, in float32. Against float64 the largest error of |r| found was 1e-6 at 4,000 rows
    and 4e-6 at 50,000 (with heavy-tailed neurons; BLAS adds in float32); copies of a neuron come out that close to 1.
    """
    n = len(z)
    distances = np.empty(n * (n - 1) // 2)
    offset = _offsets(n)
    nearest = np.full((n, layers), -np.inf, np.float32)
    present, starts = np.unique(layer_of, return_index=True)
    ends = np.append(starts[1:], n)
    bands = [(a, min(a + BAND, end)) for start, end in zip(starts, ends, strict=True) for a in range(start, end, BAND)]
    for start, stop in tqdm(bands, desc="correlation bands", mininterval=5):
        r = np.abs(z[start:stop] @ z[start:].T)
        for i in range(start, stop):
            np.subtract(1.0, r[i - start, i - start + 1 :], out=distances[offset[i] + i + 1 : offset[i] + n])
        own = np.arange(stop - start)
        r[own, own] = -np.inf
        layer = layer_of[start]
        np.maximum(nearest[start:, layer], r.max(axis=0), out=nearest[start:, layer])
        for other, first, last in zip(present, starts, ends, strict=True):
            if last > start:
                found = r[:, max(first - start, 0) : last - start].max(axis=1)
                np.maximum(nearest[start:stop, other], found, out=nearest[start:stop, other])
    nearest[np.isneginf(nearest)] = np.nan
    np.maximum(distances, 0, out=distances)
    return Correlation(distances, np.minimum(nearest, 1))


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
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    found = np.empty(len(groups), np.int32)
    for number, members in enumerate(groups):
        total = np.zeros(len(members))
        for k, i in enumerate(members[:-1] if len(members) > 2 else ()):
            r = 1 - distances[offset[i] + members[k + 1 :]]
            total[k] += r.sum()
            total[k + 1 :] += r
        found[number] = members[np.argmax(np.round(total / max(len(members) - 1, 1), TIE_DECIMALS))]
    return found


def _offsets(n: int) -> np.ndarray:
    """offset[i] + j is the place of the pair i < j among the condensed distances."""
    i = np.arange(n, dtype=np.int64)
    return n * i - (i + 2) * (i + 1) // 2
