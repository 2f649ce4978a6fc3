"""Agreement between rankings, after Fan et al. 2023, "Evaluating Neuron Interpretation Methods of NLP Models".

Without a ground truth for neurons, what speaks for a ranking is that others find the same neurons.
AvgOverlap: two rankings overlap at size s by the intersection of their first s neurons over their union. NeuronVote:
the other rankings vote (Borda: S points for the first place, S - 1 for the second, ..., 0 from place S + 1 on, with S
the largest size), and a ranking's score is the overlap with the outcome, again at each size. Both are means over the
sizes. By chance (the first s of n neurons drawn at random, hypergeometric) the overlap is small but not 0.

Controls (config.CONTROL_RANKINGS) are compared with the others, as a check, but do not vote. Reads and writes no files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two sets of neurons, each given once."""
    shared = np.intersect1d(first, second, assume_unique=True).size
    return shared / (len(first) + len(second) - shared)


def chance_overlap(one: int, other: int, neurons: int) -> float:
    """Expected overlap of two independent random sets of ``one`` and of ``other`` of ``neurons`` (hypergeometric)."""
    least, every = max(0, one + other - neurons), math.comb(neurons, other)
    ways = math.comb(one, least) * math.comb(neurons - one, other - least)  # in whole numbers, hence exact
    total = 0.0
    for shared in range(least, min(one, other) + 1):
        total += ways / every * (shared / (one + other - shared))
        ways = ways * (one - shared) * (other - shared) // ((shared + 1) * (neurons - one - other + shared + 1))
    return total


def vote(orders: Sequence[np.ndarray], top: int) -> np.ndarray:
    """Neurons by falling Borda points of their first ``top`` places, ties by index; only those with a point.

    orders : (neurons,) indices of neurons each, best first.
    """
    points = np.zeros(max(int(order.max()) for order in orders) + 1, np.int64)
    for order in orders:
        points[order[:top]] += np.arange(top, 0, -1)[: len(order)]
    ranked = np.argsort(-points, kind="stable")
    return ranked[points[ranked] > 0]


def agreement(orders: Mapping[str, np.ndarray], sizes: Sequence[int], controls: Sequence[str] = ()) -> dict[str, Any]:
    """How far rankings of the same neurons agree.

    orders : name -> int (neurons,) indices of neurons, best first.
    sizes : ascending; those of all neurons or more say nothing and are left out, named in "sizes_left_out".

    Returns
    -------
    "rankings": names, the order of the matrices; "sizes", "sizes_left_out"; "overlap": {size: matrix}; "avg_overlap":
    their mean; "mean_overlap": {ranking: mean of its row over the other rankings that vote}; "neuron_vote": {ranking:
    score}; "chance": {"overlap": {size: value}, "avg_overlap": their mean}; "consensus": neurons by the vote of all,
    as many as the largest size. The two scores are None where no other ranking votes; matrices, scores and consensus
    are None where no size is left.
    """
    names = list(orders)
    neurons = len(next(iter(orders.values())))
    used = [size for size in sizes if size < neurons]
    found: dict[str, Any] = {
        "rankings": names,
        "sizes": used,
        "sizes_left_out": [size for size in sizes if size >= neurons],
    }
    if not used:
        nothing = ("overlap", "avg_overlap", "mean_overlap", "neuron_vote", "chance", "consensus")
        return found | dict.fromkeys(nothing)
    matrices = {
        size: np.array([[overlap(orders[a][:size], orders[b][:size]) for b in names] for a in names]) for size in used
    }
    average = np.mean([matrices[size] for size in used], axis=0)
    voters = [name for name in names if name not in controls]
    chance = {size: chance_overlap(size, size, neurons) for size in used}
    top = used[-1]
    mean_overlap: dict[str, float | None] = {}
    neuron_vote: dict[str, float | None] = {}
    for i, name in enumerate(names):
        others = [voter for voter in voters if voter != name]
        mean_overlap[name] = float(np.mean([average[i, names.index(o)] for o in others])) if others else None
        outcome = vote([orders[o] for o in others], top) if others else None
        neuron_vote[name] = (
            None if outcome is None else float(np.mean([overlap(orders[name][:s], outcome[:s]) for s in used]))
        )
    return found | {
        "overlap": {str(size): matrix for size, matrix in matrices.items()},
        "avg_overlap": average,
        "mean_overlap": mean_overlap,
        "neuron_vote": neuron_vote,
        "chance": {
            "overlap": {str(s): v for s, v in chance.items()},
            "avg_overlap": float(np.mean(list(chance.values()))),
        },
        "consensus": vote([orders[voter] for voter in voters], top)[:top] if voters else None,
    }
