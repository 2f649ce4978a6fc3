"""Recursive elimination with refits (Guyon et al. 2002) by optimal-brain-surgeon saliency (Hassibi and Stork 1993).

From the set of the next larger size down, at most a tenth of the neurons at a time, each time with a refit at the
penalty of that set. The saliency of a neuron is what the objective loses, to second order, when its weights are taken
out and all others move to where they are best then.
"""

from __future__ import annotations

import math

import numpy as np

from neurosieve.subsets.contenders import Choose, Fitted, SubsetInput
from neurosieve.subsets.contenders._saliency import saliency

STEP = 1.1  # largest ratio of the numbers before and after a step
COARSE = 1.5  # the same above SubsetInput.coarse_above neurons


def begin(given: SubsetInput) -> Choose:
    def choose(size: int, above: Fitted) -> np.ndarray:
        while True:
            order = np.argsort(-saliency(given, above), kind="stable")
            after = max(size, math.ceil(len(order) / STEP))
            if len(order) > given.coarse_above:
                after = min(after, max(size, int(given.coarse_above), math.ceil(len(order) / COARSE)))
            after -= after == len(order)
            kept = above.neurons[order[:after]]
            if after == size:
                return kept
            above = given.fit(np.sort(kept), above)  # in their own order the features are gathered faster

    return choose
