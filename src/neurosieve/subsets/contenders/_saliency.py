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
    gram = given.gram.take(given.at(fitted.neurons)).gram
    outputs = given.outputs(fitted) if outputs is None else outputs
    extra = probe.l2 / max(given.target.curvature(outputs), 1e-12)
    while True:
        A = gram.copy()
        A.ravel()[:: len(A) + 1] += np.float32(extra)
        factor, failed = lapack.spotrf(A.T, lower=1, overwrite_a=1, clean=0)
        if not failed:
            break
        extra = 10 * extra + 1e-7 * float(np.trace(gram))  # rounding: a larger lambda blurs, and decides as well
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    worth = np.square(probe.weights, dtype=np.float64).sum(axis=1) / np.diag(inverse).astype(np.float64)
    return given.per_neuron(worth)
