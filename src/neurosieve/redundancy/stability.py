"""Are the clusters those of the data, or of the sample? Two halves of the rows, compared. Reads and writes no files.

The rows are split in two halves by file, for rows of one file are alike; the neurons are clustered on each half, and
the two partitions compared by the adjusted Rand index (Hubert and Arabie 1985): 1 for the same partition, 0 on average
for independent ones with clusters of the same sizes.
"""

from __future__ import annotations

import numpy as np

SMALLEST = 1 / 3  # share of the rows that the smaller half holds at least; else one file has most of the rows


def split_halves(files: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Which rows are in the second half, bool (rows,), and what the split is by: "file" or "row".

    files : int (rows,) file of each row. The files are shuffled, and each goes to the half that has fewer rows. Where
    the smaller half would have less than SMALLEST of the rows, single rows are drawn instead.
    """
    codes, at, count = np.unique(files, return_inverse=True, return_counts=True)
    second, held = np.zeros(len(codes), bool), [0, 0]
    for code in rng.permutation(len(codes)):
        second[code] = held[1] < held[0]
        held[int(second[code])] += int(count[code])
    if min(held) >= SMALLEST * len(files):
        return second[at], "file"
    rows = np.zeros(len(files), bool)
    rows[rng.permutation(len(files))[: len(files) // 2]] = True
    return rows, "row"


def adjusted_rand(first: np.ndarray, second: np.ndarray) -> float:
    """Adjusted Rand index of two partitions, labels int (items,) each, -1 or any other integer being one cluster.

    1 where both agree on every pair, also where both are trivial (all apart, or all together).
    """
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"found labels of shapes {first.shape} and {second.shape}, expected the same items")
    _, a = np.unique(first, return_inverse=True)
    _, b = np.unique(second, return_inverse=True)

    def pairs(labels: np.ndarray) -> int:
        count = np.unique(labels, return_counts=True)[1].astype(np.int64)
        return int((count * (count - 1) // 2).sum())

    both, in_a, in_b, every = pairs(a * (int(b.max(initial=0)) + 1) + b), pairs(a), pairs(b), pairs(np.zeros_like(a))
    if both == in_a == in_b or every == 0:
        return 1.0
    expected = in_a * in_b / every
    return (both - expected) / ((in_a + in_b) / 2 - expected)
