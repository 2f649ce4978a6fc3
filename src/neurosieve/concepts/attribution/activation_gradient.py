"""Size of the activation times size of the gradient, as the PLS score of language neurons has it.

arXiv 2512.19980 (2025), "Neuron-Guided Interpretation of Code LLMs": |a| * |gradient of the loss|, averaged over
samples. The loss here is minus the log-probability of the right token. It has no sign, and unlike the others takes what
a neuron has at all, its mean included, for what it contributes.
"""

from __future__ import annotations

import numpy as np

from neurosieve.concepts.attribution._passes import gradient as rules

SIGNED = False

__all__ = ["SIGNED", "contribution", "rules"]


def contribution(value: np.ndarray, coefficient: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return np.abs(value) * np.abs(coefficient)
