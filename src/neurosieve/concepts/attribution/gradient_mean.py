"""Gradient times (activation - train mean): attribution patching, with the mean as what is patched in.

The first-order estimate of what mean ablation of the neuron takes from the log-probability of the right token: above 0
where the neuron speaks for it. Nanda 2023, "Attribution patching"; Syed, Rager, Conmy 2023 (arXiv 2310.10348), there
with another input's value in the place of the mean.
"""

from __future__ import annotations

import numpy as np

from neurosieve.concepts.attribution._passes import gradient as rules

SIGNED = True

__all__ = ["SIGNED", "contribution", "rules"]


def contribution(value: np.ndarray, coefficient: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return coefficient * (value - mean)
