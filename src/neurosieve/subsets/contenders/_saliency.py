"""What the neurons of a fitted set are worth to its objective."""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from neurosieve.subsets.contenders import Fitted, SubsetInput


def saliency(given: SubsetInput, fitted: Fitted, outputs: np.ndarray | None = None) -> np.ndarray:
    """(neurons of the set,) sum over a neuron's columns c and classes k of w_ck^2 / [(A + lambda I)^-1]_cc.

    A is the row-weighted Gram matrix of the set, lambda = l2 / mean curvature: half the curvature times this is the
    rise of the objective. ``outputs`` of the set, float64 (K', rows), where they are at hand.
    """
    probe = fitted.probe
    outputs = given.outputs(fitted) if outputs is None else outputs
    extra = probe.l2 / max(given.target.curvature(outputs), 1e-12)
    columns = given.at(fitted.neurons)
    while True:
        A = given.gram.take(columns).gram
        trace = float(np.trace(A))
        A.ravel()[:: len(A) + 1] += np.float32(extra)
        factor, failed = lapack.spotrf(A.T, lower=1, overwrite_a=1, clean=0)
        if not failed:
            break
        if not np.isfinite(extra + trace):
            raise FloatingPointError(f"the Gram matrix of {len(A)} columns is not finite; features overflow float32")
        extra = 10 * extra + 1e-7 * trace  # rounding: a larger lambda blurs, and decides as well
    # the diagonal of the inverse, from that of the factor: half the work of the whole inverse
    factor, _ = lapack.strtri(factor, lower=1, overwrite_c=1)
    diagonal = np.array([np.dot(factor[c:, c], factor[c:, c]) for c in range(len(A))], np.float64)
    worth = np.square(probe.weights, dtype=np.float64).sum(axis=1) / diagonal
    return given.per_neuron(worth)
