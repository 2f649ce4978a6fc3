"""How many of the chosen neurons are among the first of a ranking, against chance. Reads and writes no files."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from scipy.stats import hypergeom

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


def precedence(scores: np.ndarray, chosen: np.ndarray, candidates: np.ndarray, width: int) -> dict[str, float | None]:
    """Probability that a chosen neuron has a higher score than another candidate, ties counted half (Mann-Whitney).

    "all": over all pairs; "in_layers": over pairs of one layer. scores : (neurons,), of all global indices.
    """
    member = np.isin(candidates, chosen)
    layer = candidates // width
    wins, pairs = 0.0, 0
    for at in np.unique(layer).tolist():
        own_wins, own_pairs = _wins(scores[candidates[layer == at]], member[layer == at])
        wins, pairs = wins + own_wins, pairs + own_pairs
    all_wins, all_pairs = _wins(scores[candidates], member)
    return {
        "all": all_wins / all_pairs if all_pairs else None,
        "in_layers": wins / pairs if pairs else None,
    }


def _wins(scores: np.ndarray, member: np.ndarray) -> tuple[float, int]:
    inside = int(member.sum())
    return float(ranks(scores)[member].sum()) - inside * (inside + 1) / 2, inside * (len(member) - inside)
