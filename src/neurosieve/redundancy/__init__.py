"""Redundancy without a task: similarity of layers (CKA), clusters of correlated neurons, and how stable these are.

Reads: activations/<model>/<task>/train (layer_NN.npy), prepare/tasks/<task>/train (the file of each vector). For
sequences and pairs the vectors are those of the inputs.
Writes: redundancy/<model>/<task>: redundancy.json (CKA, neighbours, clusters per threshold), clusters.npy int32
(thresholds, neurons) with -1 for neurons not clustered, representatives_NN.npy int32 (clusters,), the global indices of
the neurons that stand for the clusters, in the order of the clusters, NN being the place of the threshold in
``redundancy.thresholds``: medoids, or random members (``redundancy.representative``).

Of redundancy.json: "thresholds": a list of what :func:`summarise` gives, with "threshold", "representatives": name of
the file, "stability": {"adjusted_rand": of the partitions of the two halves of the rows, "clusters": [of each half],
"multiple": [clusters of two or more neurons, of each half]}; "halves": {"by": "file" or "row", "rows": [of each],
"files": [of each], "neurons": those that are constant in neither half, and compared}. An index of 1 with "multiple"
[0, 0] says only that no neurons were joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosieve.artifacts import ArtifactError, Paths, read_manifest
from neurosieve.config import Params
from neurosieve.flow import writer
from neurosieve.redundancy.cka import layer_cka
from neurosieve.redundancy.clusters import Pairs, cut, medoids
from neurosieve.redundancy.sample import Sample, rng_of, sample_train, sampled_rows, vector_files
from neurosieve.redundancy.stability import adjusted_rand, split_halves

__all__ = [
    "Clusters", "Sample", "cluster_halves", "cluster_neurons", "column_distances", "measure_redundancy", "neighbours",
    "random_members", "sample_train", "summarise",
]  # fmt: skip


@dataclass(frozen=True)
class Clusters:
    """Clusters of neurons at several thresholds.

    neurons : ascending global indices of the neurons clustered.
    labels : int32 (thresholds, all neurons), the cluster of each neuron, -1 for those not clustered.
    medoids : per threshold int32 (clusters,), global index of each cluster's medoid.
    nearest : float32 (neurons clustered, layers), largest |r| of each to another neuron of each layer, NaN if none.
    """

    neurons: np.ndarray
    labels: np.ndarray
    medoids: list[np.ndarray]
    nearest: np.ndarray


def _pairs(sample: Sample, part: int | None, kept: np.ndarray) -> Pairs:
    """Correlations of the ``kept`` neurons, bool (all neurons,), over the rows of one part of the sample, or of all."""
    layers, width = sample.constant.shape
    return Pairs(np.flatnonzero(kept) // width, layers).add(sample.unit_rows(part, kept))


def _clusters(pairs: Pairs, neurons: np.ndarray, every: int, thresholds: Sequence[float]) -> Clusters:
    """Of the ``neurons`` of ``every``, whose correlations are given up."""
    labels = np.full((len(thresholds), every), -1, np.int32)
    if not len(neurons):
        none = np.zeros(0, np.int32)
        return Clusters(neurons, labels, [none] * len(thresholds), np.zeros((0, pairs.layers), np.float32))
    nearest = pairs.nearest()
    distances = pairs.distances(give_up=True)
    labels[:, neurons] = cut(distances, thresholds)
    found = [neurons[medoids(distances, row[neurons])].astype(np.int32) for row in labels]
    return Clusters(neurons, labels, found, nearest)


def cluster_neurons(sample: Sample, thresholds: Sequence[float], neurons: np.ndarray | None = None) -> Clusters:
    """Cluster the neurons with the given global indices (all by default), constant ones left out, at all thresholds.

    Every threshold cuts the one tree of these neurons; none works on what another has left (METHOD 3.2, row 12).
    """
    kept = ~sample.constant.ravel()
    if neurons is not None:
        wanted = np.zeros(len(kept), bool)
        wanted[neurons] = True
        kept &= wanted
    return _clusters(_pairs(sample, None, kept), np.flatnonzero(kept), len(kept), thresholds)


def cluster_halves(sample: Sample, thresholds: Sequence[float]) -> tuple[Clusters, list[dict[str, Any] | None], int]:
    """As :func:`cluster_neurons` of all neurons of a sample in two parts, and how the clusters of both parts agree.

    The products of the rows are made once: those of both parts give those of all rows. Returns beside the clusters the
    "stability" of every threshold (the module's docstring has the schema), None where no neuron is left to compare, and
    the number of neurons compared. Costs two more linkages.
    """
    kept = ~sample.constant.ravel()
    neurons = np.flatnonzero(kept)
    compared = (kept & ~sample.constant_in(0).ravel() & ~sample.constant_in(1).ravel())[neurons]
    cuts = []
    pairs = _pairs(sample, 0, kept)
    if compared.any():
        cuts.append(cut(pairs.distances(compared), thresholds))
    second = _pairs(sample, 1, kept)
    pairs.join(second, *_weights(sample, neurons))
    if compared.any():
        cuts.append(cut(second.distances(compared, give_up=True), thresholds))
    del second
    clusters = _clusters(pairs, neurons, len(kept), thresholds)
    if not compared.any():
        return clusters, [None] * len(thresholds), 0
    return (
        clusters,
        [
            {
                "adjusted_rand": adjusted_rand(*both),
                "clusters": [int(labels.max()) + 1 for labels in both],
                "multiple": [int((np.bincount(labels) > 1).sum()) for labels in both],
            }
            for both in zip(*cuts, strict=True)
        ],
        int(compared.sum()),
    )


def _weights(sample: Sample, neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What :meth:`Pairs.join` takes, of neurons that vary in the sample, of both parts."""
    squares, means = (
        [np.concatenate([getattr(m, name) for m in found])[neurons] for found in sample.moments]
        for name in ("squares", "mean")
    )
    first, second = (len(rows) for rows in sample.parts)
    apart = (means[0] - means[1]) * np.sqrt(first * second / (first + second))
    total = np.sqrt(squares[0] + squares[1] + apart * apart)
    return np.sqrt(squares[0]) / total, np.sqrt(squares[1]) / total, apart / total


def column_distances(columns: np.ndarray) -> np.ndarray:
    """1 - |r| of all pairs of columns of float32 (rows, n), none constant: float64, condensed as in scipy."""
    sample = Sample.of([columns])
    return _pairs(sample, None, np.ones(columns.shape[1], bool)).distances(give_up=True)


def random_members(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One neuron of each cluster at random, int32 (clusters,), from labels (all neurons,): as published (METHOD 2)."""
    neurons = np.flatnonzero(labels >= 0)
    shuffled = rng.permutation(neurons)
    _, first = np.unique(labels[shuffled], return_index=True)
    return shuffled[first].astype(np.int32)


def summarise(labels: np.ndarray, representatives: np.ndarray, layers: int) -> dict[str, Any]:
    """Figures of the clusters at one threshold, from labels (all neurons,) and representatives (clusters,).

    A cluster's span is its highest minus its lowest layer. Spans and shares are over clusters of two or more neurons
    (``multiple``); None where there is none.
    """
    width = len(labels) // layers
    count = len(representatives)
    neurons = np.flatnonzero(labels >= 0)
    size = np.bincount(labels[neurons], minlength=count)
    low, high = np.full(count, layers), np.zeros(count, int)
    np.minimum.at(low, labels[neurons], neurons // width)
    np.maximum.at(high, labels[neurons], neurons // width)
    span = (high - low)[size > 1]
    multiple = len(span)
    return {
        "clusters": count,
        "neurons_left": count,  # one neuron stands for each cluster
        "share_left": count / len(neurons) if len(neurons) else None,
        "multiple": multiple,
        "of_two": int((size == 2).sum()),
        "share_of_two": float((size == 2).sum() / multiple) if multiple else None,
        "largest": int(size.max(initial=0)),
        "spanning": int((span > 0).sum()),
        "share_spanning": float((span > 0).mean()) if multiple else None,
        "mean_span": float(span.mean()) if multiple else None,
        "max_span": int(span.max()) if multiple else None,
        "representatives_per_layer": np.bincount(representatives // width, minlength=layers).tolist(),
    }


def neighbours(clusters: Clusters, layers: int) -> dict[str, Any]:
    """Mean over the neurons of a layer of their largest |r| to another neuron: of each layer, and of any other layer.

    None where either layer has no neuron to compare with.
    """
    width = clusters.labels.shape[1] // layers
    by_layer: list[list[float | None]] = []
    other: list[float | None] = []
    for layer in range(layers):
        nearest = clusters.nearest[clusters.neurons // width == layer].astype(np.float64)
        by_layer.append([float(c.mean()) if c.size and not np.isnan(c).any() else None for c in nearest.T])
        rest = np.nan_to_num(np.delete(nearest, layer, axis=1), nan=-1).max(axis=1, initial=-1)
        other.append(float(rest.mean()) if rest.size and rest.min() >= 0 else None)
    return {"nearest_by_layer": by_layer, "nearest_other_layer": other}


def measure_redundancy(params: Params, paths: Paths, *, model: str, task: str) -> None:
    """CKA of all pairs of layers and clusters of all neurons that are not constant, on sampled train vectors.

    Raises
    ------
    ArtifactError
        activations that are missing, of another shape than their manifest says, not finite, or fewer than four; task
        rows that are not those of the activations.
    """
    settings = params.redundancy
    folder = paths.activations(model, task, "train")
    vectors = int(read_manifest(folder)["facts"]["vectors"])
    if vectors < 4:
        raise ArtifactError(f"{folder}: found {vectors} train vectors, expected 4 or more; raise the task's rows.train")
    rows = sampled_rows(params, task, vectors)
    files = vector_files(paths, task, vectors)[rows]
    second, by = split_halves(files, rng_of(params, task, "redundancy halves"))
    sample = sample_train(params, paths, model, task, [rows[~second], rows[second]])
    layers, width = sample.constant.shape
    constant, constant_on_train = (
        found & sample.measured[:, None] for found in (sample.constant, sample.constant_on_train)
    )
    rng = rng_of(params, task, "redundancy cka")
    similarity = layer_cka(sample.varying(), settings.cka_rows, settings.cka_batches, rng, sample.largest())
    clusters, stable, compared = cluster_halves(sample, settings.thresholds)
    representatives = clusters.medoids
    if settings.representative == "random":
        rng = rng_of(params, task, "redundancy representatives")
        representatives = [random_members(labels, rng) for labels in clusters.labels]
    halves = {
        "by": by,
        "rows": [int((~second).sum()), int(second.sum())],
        "files": [int(np.unique(files[at]).size) for at in (~second, second)],
        "neurons": compared,
    }
    report = {
        "model": model,
        "task": task,
        "layers": layers,
        "width": width,
        "neurons": layers * width,
        "vectors": sample.vectors,
        "rows": len(rows),
        "constant": {
            "per_layer": constant.sum(axis=1).tolist(),
            "per_layer_on_train": constant_on_train.sum(axis=1).tolist(),
        },
        "kept": len(clusters.neurons),
        "cka": similarity,
        "neighbours": neighbours(clusters, layers),
        "representative": settings.representative,
        "halves": halves,
        "thresholds": [
            {"threshold": threshold, "representatives": f"representatives_{i:02d}.npy", "stability": stable[i]}
            | summarise(labels, found, layers)
            for i, (threshold, labels, found) in enumerate(
                zip(settings.thresholds, clusters.labels, representatives, strict=True)
            )
        ],
    }
    with writer(params, paths, "measure_redundancy", model=model, task=task) as out:
        out.json("redundancy.json", report)
        out.npy("clusters.npy", clusters.labels)
        for i, found in enumerate(representatives):
            out.npy(f"representatives_{i:02d}.npy", found)
        out.facts = {
            "rows": len(rows),
            "vectors": sample.vectors,
            "neurons": layers * width,
            "constant": int(constant.sum()),
            "constant_on_train": int(constant_on_train.sum()),
            "kept": len(clusters.neurons),
            "cka_left_out": len(similarity["left_out"]),
        }
