"""The published steps under the strict rules: layers, one neuron per cluster, a ranking. No files of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosieve.artifacts import Paths
from neurosieve.probes import rankings
from neurosieve.redundancy import Clusters, cluster_neurons, sample_train
from neurosieve.subsets.contenders import along
from neurosieve.subsets.curves import Curve
from neurosieve.subsets.data import Data, Point, fit_point, warm_from


def representatives(clusters: Clusters, cut: int, inside: np.ndarray) -> np.ndarray:
    """Of the neurons ``inside`` (ascending global indices): the medoid of each cluster at threshold number ``cut``,
    and the neurons that could not be clustered, being constant in the sampled rows."""
    return np.union1d(clusters.medoids[cut], np.setdiff1d(inside, clusters.neurons))


def pipeline_curve(data: Data, full: Point, bottom: int, paths: Paths) -> tuple[Curve, dict[str, Any]]:
    """Layers, clusters, ranking (the published LS+CC+LCA) under the strict rules: the curve to be searched.

    Of the neurons of the first ``bottom`` layers (the fewest that pass at half the margin) all are taken, or one per
    cluster of correlated ones: for each threshold the clusters are made anew from these neurons on train, the probe is
    refitted on the medoids, and the threshold that is best on tune is kept, of equals the one with fewer neurons. The
    ranking is that of this probe.
    The sizes along it are compared with the row's own reference and margin: no step has a tolerance of its own.

    Returns
    -------
    The curve, with the point of all its neurons, and {"layers", "threshold", "neurons_in", "tried": [{"threshold",
    "neurons", "tune"}]}.
    """
    params = data.params
    settings = params.subsets.pipeline
    assert settings is not None
    inside = data.kept[data.kept // data.features.width < bottom]
    cuts = [t for t in settings.thresholds if t is not None]
    clusters = None
    if cuts:
        clusters = cluster_neurons(sample_train(params, paths, data.features.model, data.features.task), cuts, inside)
    tried: list[dict[str, Any]] = []
    found: list[tuple[np.ndarray, Point]] = []
    for threshold in settings.thresholds:
        neurons = inside
        if threshold is not None:
            assert clusters is not None
            neurons = representatives(clusters, cuts.index(threshold), inside)
        at = np.searchsorted(data.kept, neurons)
        part = data.whole.take(at, data)
        found.append((at, fit_point(data, part, warm_from(full, at, data.features.columns_per_neuron), full.chosen)))
        tried.append({"threshold": threshold, "neurons": len(at), "tune": found[-1][1].tune})
    best = max(range(len(tried)), key=lambda i: (tried[i]["tune"], -tried[i]["neurons"]))
    at, point = found[best]
    ranking = rankings.load(settings.ranking)(
        rankings.RankingInput(
            X=np.take(data.X["train"], data.features.columns(at), axis=1), y=data.y["train"],
            weights=point.probe.weights, columns=data.features.columns_per_neuron, n_classes=data.n_classes,
            seed=params.seed, mass_step=params.probes.lca_step,
        )
    )  # fmt: skip
    ordered = point.ordered(ranking.order, data.features.columns(ranking.order))
    curve = Curve(data, along(ordered.neurons), {len(at): ordered})
    chosen = {"layers": bottom, "threshold": tried[best]["threshold"], "neurons_in": len(at), "tried": tried}
    return curve, chosen
