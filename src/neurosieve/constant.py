"""The rule for constant neurons (METHOD 3.1), in one place for every phase that drops them.

Reads and writes no files.
"""

from __future__ import annotations

import numpy as np

CONSTANT_RATIO = 1e-6  # of the layer's median standard deviation: below it a column carries rounding only


def column_moments(X: np.ndarray, rows: int = 256) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation in float64 and whether max == min, per column of (rows, columns), blockwise."""
    first = X[0].astype(np.float64)  # shifted by the first row: the squares then lose no digits to a large mean
    total, squares = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    equal = np.ones(X.shape[1], bool)
    for start in range(0, len(X), rows):
        block = X[start : start + rows] - first
        total += block.sum(axis=0)
        squares += np.einsum("ij,ij->j", block, block)
        equal &= (block == 0).all(axis=0)
    mean = total / len(X)
    return first + mean, np.sqrt(np.maximum(squares / len(X) - mean * mean, 0)), equal


def constant_columns(std: np.ndarray, equal: np.ndarray) -> np.ndarray:
    """Which columns of one layer are constant: max == min, or a standard deviation below 1e-6 of the layer's median.

    ``std`` and ``equal`` (max == min) have one entry per unit along axis 0; further axes are columns of other kinds,
    each with a median of its own. Returns a bool array of the same shape.
    """
    return equal | (std < CONSTANT_RATIO * np.median(std, axis=0))


def constant_neurons(layer: np.ndarray) -> np.ndarray:
    """Which units of one layer's vectors (rows, width) are constant; bool (width,)."""
    _, std, equal = column_moments(layer)
    return constant_columns(std, equal)
