"""What test will score: the chosen sets and their probes, as they are written before test is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurosieve.probes.solver import Probe
from neurosieve.subsets.curves import Curve
from neurosieve.subsets.data import Data, Probed
from neurosieve.subsets.reference import Reference


@dataclass
class Frozen:
    """What test will score: entries of frozen.json and their arrays."""

    data: Data
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)

    def add(
        self, key: str, kind: str, at: np.ndarray, probe: Probe, judge: float, *,
        contender: str | None = None, draw: int | None = None, claimed: bool | None = None,
    ) -> None:  # fmt: skip
        """``at`` are positions among the kept neurons, in the order of the probe's columns."""
        self.sets[key] = {
            "kind": kind, "ranking": contender, "draw": draw, "claimed": claimed, "neurons": self.data.kept[at],
            "l1": probe.l1, "l2": probe.l2, "judge": judge,
        }  # fmt: skip
        standardizer = self.data.standardizer.take(self.data.features.columns(at))
        for name, array in (
            ("weights", probe.weights),
            ("intercept", probe.intercept),
            ("mean", standardizer.mean),
            ("scale", 1.0 / standardizer.std),
        ):
            self.tensors[f"{key}.{name}"] = array.astype(np.float32)

    def report(self, headline: str, best: str) -> dict[str, Any]:
        """frozen.json."""
        features = self.data.features
        return {
            "unit": features.unit,
            "classes": features.classes,
            "pair_features": features.pair_features,
            "layers": features.layers,
            "width": features.width,
            "headline": headline,
            "best_ranking": best,
            "sets": self.sets,
        }


def freeze_references(frozen: Frozen, probed: Probed, of_layers: Reference, reference: Reference) -> None:
    """The probe of all neurons, that of the best of whole layers, and what the subsets were compared with."""
    data = frozen.data
    oracle = data.value("judge", probed.judge[probed.probes["oracle"]])
    frozen.add("all", "oracle", np.arange(len(data.kept)), probed.oracle, oracle)
    for key, chosen in (("layer-reference", of_layers), ("reference", reference)):
        frozen.add(key, key, chosen.neurons, chosen.probe, chosen.judged.value)


def freeze_subsets(
    frozen: Frozen,
    curves: dict[str, Curve],
    controls: dict[str, dict[str, Curve]],
    results: dict[str, dict[str, Any]],
) -> None:
    """The subset of each contender at its minimum (else its estimate), and the controls of the same size."""
    for name, curve in curves.items():
        if (size := results[name]["size"]) is None:
            continue
        claimed = results[name]["n_minimal"] is not None
        for label, other in {"subset": curve, **controls[name]}.items():
            kind, _, draw = label.partition("-")
            point = other.points[size]
            frozen.add(
                f"{label}-{name}", kind, point.neurons, point.probe, point.judged.value,
                contender=name, draw=int(draw) if draw else None, claimed=claimed,
            )  # fmt: skip
