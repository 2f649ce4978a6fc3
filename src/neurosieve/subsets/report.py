"""What curves.json says of curves: pure functions of what was tested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosieve.probes import intervals
from neurosieve.subsets import minimal
from neurosieve.subsets.curves import Curve
from neurosieve.subsets.data import Data, Probed, Rival
from neurosieve.subsets.reference import Reference

OPPONENTS = {
    "majority": "the majority class",
    "surface": "the best surface baseline",
    "untrained": "the untrained twin",
}


def of_the_row(data: Data, probed: Probed, rival: Rival, of_layers: Reference, reference: Reference) -> dict[str, Any]:
    """What curves.json has of the row before any curve: the neurons, the reference and how it is fitted."""
    return {
        "metric": data.metric,
        "n_neurons": data.features.n_neurons,
        "n_kept": len(data.kept),
        "n_layers": data.features.layers,
        "width": data.features.width,
        "columns_per_neuron": data.features.columns_per_neuron,
        "confidence": rival.confidence,
        "penalties": [p.model_dump(mode="json") for p in data.penalties],
        "layer_reference": of_layers.report(),
        "reference": reference.report(),
        "oracle": {"judge": data.value("judge", probed.judge[probed.probes["oracle"]])},
    }


def no_claim(too_small: bool, below: str | None, weak: Mapping[str, Any] | None) -> str | None:
    """Why nothing can be claimed of a row, or None. ``below``: see :func:`data.not_beaten`; ``weak``: see
    :func:`reference.shown_weak`."""
    if too_small:
        return "dev too small"
    if below is not None:
        return f"the best of whole layers is not above {OPPONENTS[below]} on judge, and only a coarse curve was made"
    if weak is not None:
        found, more = f"{weak['neurons']:,} neurons of {weak['curve']}", f"{weak['difference']:.4f}"
        return f"the reference is weak: {found} score {more} more on judge"
    return None


def why_none_passes(curve: Curve, rival: Rival, baseline: str) -> str | None:
    """Why no size of a curve passes, or None where one does. ``baseline``: name of the best."""
    if curve.passes(rival).any():
        return None
    largest = curve.points[curve.largest].judged
    every = "all neurons" if curve.largest == len(curve.data.kept) else "all neurons that the pipeline keeps"
    if rival.lower(largest, rival.reference) <= -rival.margin:
        return f"{every} are not within the margin of the reference, nor is a smaller set"
    if rival.lower(largest, rival.baseline) <= 0:
        return f"{every} are not above the best baseline ({baseline}), nor is a smaller set"
    return f"{every} pass by themselves, but no size does on the curve fitted to those that are near the best on tune"


def result(curve: Curve, rival: Rival, reason: str | None) -> dict[str, Any]:
    """What a contender's curve comes to: the minimum with its intervals, or the estimate and why there is no minimum.

    "n_minimal", "n_least": fewest neurons that the curve does not rule out (minimal.least_possible), "n_minimal_low",
    "n_minimal_high": where another judge would put it (minimal.other_judge), "replicates_without" (replicates in which
    no size passes: an end of the interval among them is only a lower limit), "n_failing": largest tested size that
    fails, "n_every": smallest from which on every tested size passes, "n_estimate" (smallest tested size within the
    margin, where no minimum is claimed), "size": the minimum or else the estimate, or null, "reason": why no minimum
    is claimed, or null; "share_kept" of (reference - best baseline) on judge, "share_flag": below 0.9, and
    "layers_used" of the subset of that size.
    """
    tested = curve.tested(rival)
    found = minimal.bracket(tested.sizes, minimal.fitted_passes(tested))
    n_minimal = None if reason else found.first
    least, low, high, without = None, None, None, None
    if n_minimal is not None:
        least, (low, high, without) = minimal.least_possible(tested), minimal.other_judge(tested)
    estimate = minimal.bracket(tested.sizes, curve.within(rival)).first
    size = n_minimal if n_minimal is not None else estimate
    share, layers = None, None
    if size is not None:
        point, width = curve.points[size], curve.data.features.width
        share = minimal.share_kept(point.judged.value, rival.reference.value, rival.baseline.value)
        layers = np.unique(curve.data.kept[point.neurons] // width)
    return {
        "n_minimal": n_minimal,
        "n_least": least,
        "n_minimal_low": low,
        "n_minimal_high": high,
        "replicates_without": without,
        "n_failing": found.failing,
        "n_every": found.every,
        "n_estimate": None if n_minimal is not None else estimate,
        "size": size,
        "reason": reason,
        "share_kept": share,
        "share_flag": None if share is None else share < minimal.SHARE_FLAG,
        "layers_used": layers,
    }


def coarse(curve: Curve, rival: Rival) -> dict[str, Any]:
    """The same keys for a control, whose coarse curve is not bisected: no minimum, only which sizes pass."""
    found = minimal.bracket(curve.sizes, curve.passes(rival))
    empty = dict.fromkeys(
        ("n_minimal", "n_least", "n_minimal_low", "n_minimal_high", "replicates_without", "n_estimate", "size",
         "share_kept", "share_flag", "layers_used")
    )  # fmt: skip
    return {**empty, "n_failing": found.failing, "n_every": found.every, "reason": "control"}


def report(curve: Curve, rival: Rival, first_row: int) -> dict[str, Any]:
    """Lists by size, ascending: "sizes", "l1", "l2", "tune", "judge", "difference" and "lower" of (subset - reference),
    "baseline_lower" of (subset - best baseline), "passes" by the rule of the minimum, "gap", "iterations",
    "predictions": rows of predictions_judge.npy."""
    points = [curve.points[s] for s in curve.sizes]
    tested = curve.tested(rival)
    return {
        "sizes": tested.sizes,
        "l1": [p.probe.l1 for p in points],
        "l2": [p.probe.l2 for p in points],
        "tune": [p.tune for p in points],
        "judge": [p.judged.value for p in points],
        "difference": tested.difference,
        "lower": intervals.lower(tested.replicates, tested.confidence),
        "baseline_lower": intervals.lower(tested.baseline_replicates, tested.confidence),
        "passes": minimal.fitted_passes(tested),
        "gap": [p.probe.gap for p in points],
        "iterations": [p.probe.iterations for p in points],
        "predictions": list(range(first_row, first_row + len(points))),
    }


def mean(draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and range over the random draws, which all have the same sizes."""
    judge = np.array([draw["judge"] for draw in draws])
    return {
        "sizes": draws[0]["sizes"],
        "tune": np.mean([draw["tune"] for draw in draws], axis=0),
        "judge": judge.mean(0),
        "judge_low": judge.min(0),
        "judge_high": judge.max(0),
    }
