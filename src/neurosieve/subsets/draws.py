"""What bootstrap replicates are of, as one sum. Reads and writes no files."""

from __future__ import annotations

import hashlib

import numpy as np

from neurosieve.probes.features import Rows
from neurosieve.probes.intervals import FileBootstrap


def draws_sha256(rows: Rows, bootstrap: FileBootstrap) -> str:
    """sha256 of a split's labels, of the file of each row and of the files of every draw.

    Replicates of two models of which it is equal are paired, whatever run or revision they are of: replicate b of both
    is the metric on the same rows.
    """
    sum_of_all = hashlib.sha256()
    labels = np.asarray(rows.labels)
    for array, kind in (
        (labels, "<f8" if labels.dtype.kind == "f" else "<i8"),
        (rows.files, "<i8"),
        (bootstrap.weights, "<f4"),
    ):
        sum_of_all.update(f"{array.shape} {kind}\n".encode())
        sum_of_all.update(np.ascontiguousarray(array, kind).tobytes())
    return sum_of_all.hexdigest()
