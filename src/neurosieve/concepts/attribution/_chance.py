"""How many of the chosen neurons are among the first of a ranking, against chance. Reads and writes no files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from scipy.stats import hypergeom, norm

from neurosieve.probes.metrics import ranks


def overlap(first: np.ndarray, chosen: np.ndarray, candidates: np.ndarray, width: int) -> dict[str, Any]:
    """Neurons that two sets of candidates (global indices, sorted or not) share, and what chance gives.

    "shared"; and twice "expected", "p_more", "p_less" (one-sided, the probability of as many or more, as many or
    fewer): for a set of as many candidates drawn at random (hypergeometric), and under "in_layers" for one that has as
    many in every layer: the sum of independent hypergeometric counts, whose distribution is their convolution.
    """
    shared = len(np.intersect1d(first, chosen, assume_unique=True))
    layers = max(int(candidates.max()) // width + 1, 1)
    of, a, b = (np.bincount(neurons // width, minlength=layers) for neurons in (candidates, first, chosen))
    whole = _counts(len(candidates), len(chosen), len(first))
    parts = [_counts(*sizes) for sizes in zip(of.tolist(), b.tolist(), a.tolist(), strict=True)]
    matched = reduce(np.convolve, parts)
    return {"shared": shared, **_against(shared, whole), "in_layers": _against(shared, matched)}


def _counts(of: int, marked: int, drawn: int) -> np.ndarray:
    """Probabilities of 0, 1, ... marked ones among those drawn."""
    found: np.ndarray = hypergeom.pmf(np.arange(min(marked, drawn) + 1), of, marked, drawn)
    return found


def _against(shared: int, probability: np.ndarray) -> dict[str, float]:
    counts = np.arange(len(probability))
    return {
        "expected": float(counts @ probability),
        "p_more": float(min(probability[shared:].sum(), 1)),
        "p_less": float(min(probability[: shared + 1].sum(), 1)),
    }


def precedence(scores: np.ndarray, chosen: np.ndarray, candidates: np.ndarray, width: int) -> dict[str, Any]:
    """How often a chosen neuron has a higher score than another candidate, ties counted half (Mann and Whitney 1947).

    "share" of all pairs and "p_more", one-sided, for as high a share where the chosen ones are drawn at random (normal
    approximation, without ties); under "in_layers" the same over pairs of one layer (van Elteren's sum of their
    statistics, drawn within layers). None where there are no pairs. scores : (neurons,), of all global indices.
    """
    member, layer = np.isin(candidates, chosen), candidates // width
    whole = [slice(None)]
    return {
        **_precede(scores[candidates], member, whole),
        "in_layers": _precede(scores[candidates], member, [layer == at for at in np.unique(layer)]),
    }


def _precede(scores: np.ndarray, member: np.ndarray, strata: Sequence[Any]) -> dict[str, float | None]:
    wins = pairs = variance = 0.0
    for at in strata:
        inside, n = int(member[at].sum()), len(member[at])
        wins += float(ranks(scores[at])[member[at]].sum()) - inside * (inside + 1) / 2
        pairs += inside * (n - inside)
        variance += inside * (n - inside) * (n + 1) / 12
    if not pairs:
        return {"share": None, "p_more": None}
    return {"share": wins / pairs, "p_more": float(norm.sf((wins - pairs / 2) / math.sqrt(variance)))}
