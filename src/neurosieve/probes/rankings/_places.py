"""Places of the rows of each class among all rows of a column, for statistics of ranks. Reads and writes no files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

BAND = 64  # columns sorted at once


def places(X: np.ndarray, codes: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Bands of columns, and where their values stand in ascending order.

    X : float32 (rows, columns), finite; codes : int (rows,) classes 0, 1, ... each with rows.

    Yields (columns, first, last), int32 (band, rows): first and last place, from 0, of the rows that share a row's
    value. The rows stand class by class, and within a class by rising value.
    """
    for start in range(0, X.shape[1], BAND):
        columns = slice(start, min(start + BAND, X.shape[1]))
        bits = (X[:, columns].T + np.float32(0)).view(np.uint32)  # + 0 makes one zero of the two
        rising = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))  # order of these integers = order of the floats
        # one sort of whole keys: no index is carried along, and integers sort to the same bits on every machine
        keys = np.sort(rising.astype(np.uint64) << np.uint64(32) | codes.astype(np.uint64), axis=1)
        first, last = runs(keys >> np.uint64(32))
        by_class = np.argsort((keys & np.uint64(0xFFFF)).astype(np.uint16), axis=1, kind="stable")
        yield columns, np.take_along_axis(first, by_class, 1), np.take_along_axis(last, by_class, 1)


def runs(values: np.ndarray, breaks: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """First and last place of the run of equal neighbours that each entry of (bands, rows) lies in, int32.

    ``breaks`` : places at which a new run begins in any case.
    """
    pairs = sliding_window_view(values, 2, axis=1)
    begins = np.concatenate([np.ones((len(values), 1), bool), pairs[..., 0] != pairs[..., 1]], axis=1)
    if breaks is not None:
        begins[:, breaks] = True
    at = np.arange(values.shape[1], dtype=np.int32)
    ends = np.concatenate([begins[:, 1:], np.ones((len(values), 1), bool)], axis=1)
    first = np.maximum.accumulate(np.where(begins, at, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, at, at[-1])[:, ::-1], axis=1)[:, ::-1]
    return first, last


def best_column(scores: np.ndarray, columns: int) -> np.ndarray:
    """(classes, neurons * columns) -> (classes, neurons): a neuron is as good as the best of its columns."""
    return scores.reshape(len(scores), -1, columns).max(axis=2)
