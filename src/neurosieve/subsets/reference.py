"""What subsets are compared with: the best on tune of everything that was fitted to be good.

The probes phase has all neurons, each single layer and the first layers: its best is the *layer reference*, of which
the status speaks, for that is decided before the search. With few train rows a subset on a contender's curve can be far
better than any of them; measured by the layer reference, sets that lack neurons would pass. So the contenders' sets at
the sizes of the grid are candidates too; random and bottom neurons, being controls, are not. Where a set is better
still on judge by more than a margin, the reference is weak, and no minimum is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosieve.artifacts import Paths, read_json, read_npy
from neurosieve.probes.solver import Probe
from neurosieve.subsets.curves import Curve
from neurosieve.subsets.data import Data, Judged, Probed, Rival


@dataclass(frozen=True)
class Reference:
    """A set of neurons and its probe. name: of a set of probes.json, or <contender>-<size>. curve: the contender, else
    None. neurons: positions among the kept ones, in the order of the probe's columns. tune: primary metric."""

    name: str
    curve: str | None
    neurons: np.ndarray
    probe: Probe
    tune: float
    judged: Judged

    def report(self) -> dict[str, Any]:
        """ "reference" or "layer_reference" of curves.json."""
        return {
            "set": self.name,
            "curve": self.curve,
            "neurons": len(self.neurons),
            "l1": self.probe.l1,
            "l2": self.probe.l2,
            "tune": self.tune,
            "judge": self.judged.value,
        }


def layer_reference(data: Data, probed: Probed) -> Reference:
    """The best on tune of all neurons, single layers and first layers."""
    entry = probed.layer_entry
    first, last = entry["layers"]
    layer_of = data.kept // data.features.width
    return Reference(
        name=probed.probes["reference"],
        curve=None,
        neurons=np.flatnonzero((layer_of >= first) & (layer_of <= last)),
        probe=probed.layer_probe,
        tune=entry["tune"][data.metric],
        judged=data.judged(probed.judge[probed.probes["reference"]]),
    )


def best_reference(of_layers: Reference, curves: Mapping[str, Curve]) -> Reference:
    """The best on tune of the layer reference and every set of the curves (by contender); of equals the first."""
    found = [of_layers]
    for name, curve in curves.items():
        for size in curve.sizes:
            point = curve.points[size]
            found.append(Reference(f"{name}-{size}", name, point.neurons, point.probe, point.tune, point.judged))
    return max(found, key=lambda reference: reference.tune)


def shown_weak(curves: Mapping[str, Curve], rival: Rival) -> dict[str, Any] | None:
    """The set of the curves that is furthest above the reference on judge, where that is more than a margin and the
    lower bound of the difference is above 0: {"curve", "neurons", "difference", "lower"}; else None."""
    found: list[dict[str, Any]] = []
    for name, curve in curves.items():
        tested = curve.tested(rival)
        at = int(np.argmax(tested.difference))
        judged = curve.points[tested.sizes[at]].judged
        lower = rival.lower(judged, rival.reference)
        if tested.difference[at] > rival.margin and lower > 0:
            difference = float(tested.difference[at])
            found.append({"curve": name, "neurons": int(tested.sizes[at]), "difference": difference, "lower": lower})
    return max(found, key=lambda entry: entry["difference"]) if found else None


def reference_judge(paths: Paths, model: str, task: str) -> np.ndarray:
    """(rows,) judge predictions of the reference of a row that was searched."""
    folder = paths.search(model, task)
    curves = read_json(folder / "curves.json")
    reference = curves["reference"]
    if reference["curve"] is None:
        probes = paths.probes(model, task)
        order = read_json(probes / "probes.json")["order"]
        found: np.ndarray = read_npy(probes / "predictions_judge.npy")[order.index(reference["set"])]
        return found
    curve = curves["curves"][reference["curve"]]
    row = curve["predictions"][curve["sizes"].index(reference["neurons"])]
    return np.asarray(read_npy(folder / "predictions_judge.npy")[row])
