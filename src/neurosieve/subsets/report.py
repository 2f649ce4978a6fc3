"""What curves.json says of curves: pure functions of what was tested."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosieve.subsets import minimal
from neurosieve.subsets.curves import Curve
from neurosieve.subsets.data import Data, Given, Rival


def of_the_row(data: Data, given: Given, rival: Rival) -> dict[str, Any]:
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
        "reference": {
            "set": given.probes["reference"],
            "neurons": given.reference["neurons"],
            "l1": given.chosen.l1,
            "l2": given.chosen.l2,
            "tune": given.reference["tune"][data.metric],
            "judge": rival.reference.value,
        },
        "oracle": {"judge": data.value("judge", given.judge[given.probes["oracle"]])},
    }


def result(curve: Curve, too_small: bool, baseline: str) -> dict[str, Any]:
    """What a ranking's curve comes to: the minimum with its interval, or the estimate and why there is no minimum.

    "n_minimal", "n_minimal_low", "n_minimal_high", "replicates_without" (replicates in which all neurons fail too: an
    end of the interval among them is only a lower limit), "n_failing", "first_passing", "n_estimate" (smallest tested
    size within the margin, where no minimum is claimed), "size": the minimum or else the estimate, or null, "reason":
    why no minimum is claimed, or null; "share_kept" of (reference - best baseline) on judge, "share_flag": below 0.9,
    and "layers_used" of the subset of that size.
    """
    sizes, rival = curve.sizes, curve.rival
    found = minimal.minimum(sizes, curve.passes())
    lower, baseline_lower = curve.lowers()
    judged = [curve.points[s].judged for s in sizes]
    reason, low, high, without = None, None, None, None
    if too_small:
        reason = "dev too small"
    elif found.n_minimal is None:
        every = "all neurons" if curve.largest == len(curve.data.kept) else "all neurons that the pipeline keeps"
        reason = (
            f"{every} are not within the margin of the reference"
            if lower[-1] <= -rival.margin
            else f"{every} are not above the best baseline ({baseline})"
        )
    else:
        replicates = np.stack([j.replicates for j in judged])
        low, high, without = minimal.interval(
            sizes,
            curve.differences(),
            lower,
            replicates - rival.reference.replicates,
            curve.differences() + rival.reference.value - rival.baseline.value,
            baseline_lower,
            replicates - rival.baseline.replicates,
            rival.margin,
            rival.confidence,
        )
    n_minimal = None if reason else found.n_minimal
    estimate = minimal.minimum(sizes, curve.within()).first_passing
    size = n_minimal if n_minimal is not None else estimate
    share = None
    if size is not None:
        share = minimal.share_kept(curve.points[size].judged.value, rival.reference.value, rival.baseline.value)
    layers = (
        None if size is None else np.unique(curve.data.kept[curve.points[size].neurons] // curve.data.features.width)
    )
    return {
        "n_minimal": n_minimal,
        "n_minimal_low": low,
        "n_minimal_high": high,
        "replicates_without": without,
        "n_failing": found.n_failing,
        "first_passing": found.first_passing,
        "n_estimate": None if n_minimal is not None else estimate,
        "size": size,
        "reason": reason,
        "share_kept": share,
        "share_flag": None if share is None else share < minimal.SHARE_FLAG,
        "layers_used": layers,
    }


def coarse(curve: Curve) -> dict[str, Any]:
    """The same keys for a control, whose coarse curve is not bisected: no minimum, only which sizes pass."""
    found = minimal.minimum(curve.sizes, curve.passes())
    empty = dict.fromkeys(
        ("n_minimal", "n_minimal_low", "n_minimal_high", "replicates_without", "n_estimate", "size", "share_kept",
         "share_flag", "layers_used")
    )  # fmt: skip
    return {**empty, "n_failing": found.n_failing, "first_passing": found.first_passing, "reason": "control"}


def report(curve: Curve, first_row: int) -> dict[str, Any]:
    """Lists by size, ascending: "sizes", "l1", "l2", "tune", "judge", "difference" and "lower" of (subset - reference),
    "baseline_lower" of (subset - best baseline), "passes", "gap", "iterations", "predictions": rows of
    predictions_judge.npy."""
    points = [curve.points[s] for s in curve.sizes]
    lower, baseline_lower = curve.lowers()
    return {
        "sizes": curve.sizes,
        "l1": [p.probe.l1 for p in points],
        "l2": [p.probe.l2 for p in points],
        "tune": [p.tune for p in points],
        "judge": [p.judged.value for p in points],
        "difference": curve.differences(),
        "lower": lower,
        "baseline_lower": baseline_lower,
        "passes": curve.passes(),
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
