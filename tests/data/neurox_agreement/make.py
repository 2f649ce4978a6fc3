"""Make the files of this folder: what NeuroX says to inputs drawn from seeds. README.md says with which NeuroX.

    python make.py FOLDER_OF_THE_NEUROX_REPOSITORY

It holds nothing of NeuroX's code, only calls of it. The inputs are made by inputs.py, which the test uses too.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path[:0] = [sys.argv[1], str(HERE)]

import inputs  # noqa: E402
from neurox.interpretation import clustering, linear_probe, probeless  # noqa: E402


def probe_of(weights: np.ndarray) -> linear_probe.LinearProbe:
    """NeuroX's probe with the given weights, float32 (neurons, classes)."""
    probe = linear_probe.LinearProbe(*weights.shape)
    with torch.no_grad():
        probe.linear.weight.copy_(torch.tensor(weights.T))
    return probe


def lca(weights: np.ndarray) -> dict:
    probe, classes = probe_of(weights), {f"class-{c}": c for c in range(weights.shape[1])}
    found: dict = {"orderings": {}, "top": {}}
    for stride in inputs.STRIDES:
        order, cutoffs = linear_probe.get_neuron_ordering(probe, classes, search_stride=stride)
        # inside a step the order is that of a Python set: sorted, so that nobody takes it for a ranking
        steps = [sorted(int(n) for n in order[a:b]) for a, b in zip([0, *cutoffs], cutoffs, strict=False)]
        found["orderings"][str(stride)] = {str(k): step for k, step in enumerate(steps) if step}
    for mass in inputs.MASSES:
        union, per_class = linear_probe.get_top_neurons(probe, mass, classes)
        found["top"][str(mass)] = {
            "union": sorted(int(n) for n in union),
            "per_class": [[int(n) for n in per_class[c]] for c in classes],
        }
    return found


def ranking(X: np.ndarray, y: np.ndarray) -> dict:
    names = {c: f"class-{c}" for c in range(int(y.max()) + 1)}
    _, per_class = probeless.get_neuron_ordering_for_all_tags(X, y, names)
    return {
        "order": [int(n) for n in probeless.get_neuron_ordering(X, y)],
        "per_class": [[int(n) for n in per_class[name]] for name in names.values()],
    }


def clusters(X: np.ndarray) -> dict:
    found = {}
    for threshold in inputs.THRESHOLDS:
        labels = clustering.create_correlation_clusters(X, clustering_threshold=threshold)
        found[str(threshold)] = sorted([int(n) for n in np.flatnonzero(labels == label)] for label in np.unique(labels))
    return found


def main() -> None:
    for name, make in inputs.WEIGHTS.items():
        weights = make()
        write(f"lca-{name}", {"input": name, "sha256": inputs.digest(weights), **lca(weights)})
    for name, make_data in inputs.DATA.items():
        X, y = make_data()
        double = X.astype(np.float64)  # as NeuroX's own loaders give it
        answer = {"probeless": ranking(double, y), "clusters": clusters(double)}
        write(f"data-{name}", {"input": name, "sha256": inputs.digest(X, y), **answer})


def write(name: str, value: dict) -> None:
    (HERE / f"{name}.json").write_text(json.dumps(value, sort_keys=True) + "\n", encoding="utf-8")


with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    main()
