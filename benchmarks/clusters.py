"""Time and exactness of the correlation clusters against numpy.corrcoef in float64 and scipy, on made-up neurons.

    OPENBLAS_NUM_THREADS=1 python benchmarks/clusters.py [--rows 4000] [--neurons 2000 5000 10000]

Prints one line per size: processor seconds of both, their ratio, the largest error of |r|, and whether
the partitions at all thresholds are the same. Writes nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from neurosieve.redundancy.clusters import correlate, cut, medoids, unit_columns

THRESHOLDS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def made_up(rows: int, neurons: int, rng: np.random.Generator) -> np.ndarray:
    """(rows, neurons) float32: mixtures of a few hundred heavy-tailed sources with noise of many strengths."""
    sources = rng.standard_t(4, (rows, neurons // 20)).astype(np.float32)
    mixing = rng.standard_normal((neurons // 20, neurons)).astype(np.float32)
    mixing *= rng.random(mixing.shape, np.float32) < 0.03
    noise = rng.standard_normal((rows, neurons), np.float32)
    return sources @ mixing + noise * rng.random(neurons, np.float32)


def ours(x: np.ndarray, layer_of: np.ndarray, layers: int) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    marks = [time.process_time()]
    z = unit_columns(x)
    marks.append(time.process_time())
    distances = correlate(z, layer_of, layers).distances
    marks.append(time.process_time())
    labels = cut(distances, THRESHOLDS)
    marks.append(time.process_time())
    for row in labels:
        medoids(distances, row)
    marks.append(time.process_time())
    steps = ("standardise", "correlate", "link and cut", "medoids")
    return distances, labels, dict(zip(steps, np.diff(marks).tolist(), strict=True))


def theirs(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    start = time.process_time()
    r = np.abs(np.corrcoef(x, rowvar=False, dtype=np.float64))
    distances = 1 - r[np.triu_indices(len(r), 1)]
    tree = linkage(np.maximum(distances, 0, out=distances), "average")
    labels = np.stack([fcluster(tree, threshold, "distance") for threshold in THRESHOLDS])
    return distances, labels, time.process_time() - start


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = len(np.unique(np.stack([a, b]), axis=1).T)
    return pairs == len(np.unique(a)) == len(np.unique(b))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--neurons", type=int, nargs="+", default=[2000, 5000, 10000])
    parser.add_argument("--layers", type=int, default=13)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        sys.exit("set OPENBLAS_NUM_THREADS=1: processor seconds of several threads do not compare")
    for neurons in args.neurons:
        x = made_up(args.rows, neurons, np.random.default_rng(args.seed))
        layer_of = np.arange(neurons) * args.layers // neurons
        distances, labels, steps = ours(x, layer_of, args.layers)
        reference, reference_labels, seconds = theirs(x)
        own = sum(steps[name] for name in ("standardise", "correlate", "link and cut"))
        detail = ", ".join(f"{name} {value:.2f}" for name, value in steps.items())
        print(
            f"{args.rows} rows x {neurons} neurons: corrcoef + scipy {seconds:.2f} s, ours {own:.2f} s, "
            f"ratio {seconds / own:.2f} ({detail}; medoids are not in the ratio); "
            f"largest error of |r| {np.abs(distances - reference).max():.1e}; "
            f"thresholds with the same partition "
            f"{sum(map(same_partition, labels, reference_labels))} of {len(THRESHOLDS)}; "
            f"clusters {labels.max(axis=1) + 1}",
            flush=True,
        )


if __name__ == "__main__":
    main()
