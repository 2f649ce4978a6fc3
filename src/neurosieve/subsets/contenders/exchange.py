"""Elimination, then exchanges of neurons in and out at each size (splicing, Zhu et al. 2020).

At a size the train objective is never higher than that of the set that elimination made of the set above; whether that
helps beyond train, tune says.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurosieve.subsets.contenders import Choose, Fitted, SubsetInput, carried, elimination
from neurosieve.subsets.contenders._saliency import saliency

FIRST = 4  # of a set of k neurons at first k / FIRST are exchanged at a time, then half as many where that is no better
TRIALS = 12  # fits at a size
BETTER = 2e-4  # the objective falls by at least this part: twice what the gap of a fit leaves open
LARGEST = 0.5  # of all neurons: in larger sets hardly any neuron matters


def exchange(given: SubsetInput, fitted: Fitted) -> Fitted:
    """The set after exchanges, none of which raised the train objective, most salient first."""
    size = len(fitted.neurons)
    number = min(max(1, size // FIRST), given.neurons - size)
    diagonal = np.diag(given.gram.gram).astype(np.float64)
    fitted, entering = _sorted(given, fitted, diagonal)
    for _ in range(TRIALS):
        if number < 1:
            break
        tried = given.fit(np.concatenate([fitted.neurons[: size - number], entering[:number]]), fitted)
        if tried.probe.objective < fitted.probe.objective * (1 - BETTER):
            fitted, entering = _sorted(given, tried, diagonal)
        else:
            number //= 2
    return fitted


def _sorted(given: SubsetInput, fitted: Fitted, diagonal: np.ndarray) -> tuple[Fitted, np.ndarray]:
    """The set with its most salient neurons first, and all neurons by what they would gain it, its own last.

    ``diagonal``: float64 (neurons * columns,) of the Gram matrix.
    """
    outputs, probe = given.outputs(fitted), fitted.probe
    slope = np.maximum(np.abs(given.gradient(outputs).astype(np.float64)) - probe.l1, 0)
    stiffness = given.target.curvature(outputs) * diagonal + probe.l2
    gain = given.per_neuron(np.square(slope).sum(axis=0) / stiffness)
    gain[fitted.neurons] = -1
    neurons = fitted.neurons[np.argsort(-saliency(given, fitted, outputs), kind="stable")]
    weights = carried(probe.weights, fitted.neurons, neurons, given.columns)
    return Fitted(neurons, replace(probe, weights=weights)), np.argsort(-gain, kind="stable")


def begin(given: SubsetInput) -> Choose:
    eliminate = elimination.begin(given)

    def choose(size: int, above: Fitted) -> np.ndarray:
        neurons = eliminate(size, above)
        if size > LARGEST * given.neurons:
            return neurons
        return exchange(given, given.fit(neurons, above)).neurons

    return choose
