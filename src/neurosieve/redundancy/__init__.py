"""Redundancy without a task: similarity of layers (CKA), clusters of correlated neurons.

Reads: activations/<model>/<task>/train (layer_NN.npy). For sequences and pairs the vectors are those of the inputs.
Writes: redundancy/<model>/<task>: redundancy.json (CKA, neighbours, clusters per threshold), clusters.npy int32
(thresholds, neurons) with -1 for neurons not clustered, medoids_NN.npy int32 (clusters,), the global indices of the
medoids in the order of the clusters, NN being the place of the threshold in ``redundancy.thresholds``.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosieve.artifacts import ArtifactError, Paths, Writer, read_manifest, read_npy
from neurosieve.config import Params
from neurosieve.constant import column_moments, constant_columns, constant_neurons
from neurosieve.redundancy.cka import layer_cka
from neurosieve.redundancy.clusters import correlate, cut, medoids, unit_columns


@dataclass(frozen=True)
class Sample:
    """Sampled train vectors of a model.

    layers : float32 (rows, width) each, in order, all units.
    constant : bool (layers, width): constant on train, or in the sample, where no correlation is defined.
    constant_on_train : bool (layers, width): the first part of these.
    vectors : number of train vectors the rows were drawn from.
    """

    layers: list[np.ndarray]
    constant: np.ndarray
    constant_on_train: np.ndarray
    vectors: int


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


def sample_train(params: Params, paths: Paths, model: str, task: str) -> Sample:
    """Train vectors of ``params.redundancy.rows`` rows (all where there are fewer), the same rows for every model."""
    folder = paths.activations(model, task, "train")
    facts = read_manifest(folder)["facts"]
    vectors, width = int(facts["vectors"]), int(facts["width"])
    rng = np.random.default_rng([params.seed, zlib.crc32(b"redundancy rows"), zlib.crc32(task.encode())])
    rows = np.sort(rng.choice(vectors, size=min(params.redundancy.rows, vectors), replace=False))
    layers, constant, constant_on_train = [], [], []
    for number in range(int(facts["layers"])):
        path = folder / f"layer_{number:02d}.npy"
        layer = read_npy(path, mmap=True)
        if layer.shape != (vectors, width):
            raise ArtifactError(f"{path}: found shape {layer.shape}, expected ({vectors}, {width}); delete its folder")
        _, std, equal = column_moments(layer)
        if not np.isfinite(std).all():
            raise ArtifactError(f"{path}: found values that are not finite in unit {np.argmin(np.isfinite(std))}")
        constant_on_train.append(constant_columns(std, equal))
        layers.append(layer[rows])
        constant.append(constant_on_train[-1] | constant_neurons(layers[-1]))
    return Sample(layers, np.stack(constant), np.stack(constant_on_train), vectors)


def cluster_neurons(sample: Sample, thresholds: Sequence[float], neurons: np.ndarray | None = None) -> Clusters:
    """Cluster the neurons with the given global indices (all by default), constant ones left out, at all thresholds.

    Every threshold cuts the one tree of these neurons; none works on what another has left (METHOD 3.2, row 12).
    """
    width = len(sample.constant[0])
    kept = ~sample.constant.ravel()
    if neurons is not None:
        wanted = np.zeros(len(kept), bool)
        wanted[neurons] = True
        kept &= wanted
    chosen = np.flatnonzero(kept)
    columns = [
        unit_columns(layer[:, mask])
        for layer, mask in zip(sample.layers, kept.reshape(-1, width), strict=True)
        if mask.any()
    ]
    labels = np.full((len(thresholds), len(kept)), -1, np.int32)
    if not columns:
        none = np.zeros(0, np.int32)
        return Clusters(chosen, labels, [none] * len(thresholds), np.zeros((0, len(sample.layers)), np.float32))
    found = correlate(np.concatenate(columns), chosen // width, len(sample.layers))
    labels[:, chosen] = cut(found.distances, thresholds)
    return Clusters(
        chosen,
        labels,
        [chosen[medoids(found.distances, row[chosen])].astype(np.int32) for row in labels],
        found.nearest,
    )


def summarise(labels: np.ndarray, medoids: np.ndarray, layers: int) -> dict[str, Any]:
    """Figures of the clusters at one threshold, from labels (all neurons,) and medoids (clusters,).

    A cluster's span is its highest minus its lowest layer. Spans and shares are over clusters of two or more neurons
    (``multiple``); None where there is none.
    """
    width = len(labels) // layers
    count = len(medoids)
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
        "medoids_per_layer": np.bincount(medoids // width, minlength=layers).tolist(),
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
        activations that are missing, of another shape than their manifest says, not finite, or fewer than four.
    """
    settings = params.redundancy
    folder = paths.activations(model, task, "train")
    sample = sample_train(params, paths, model, task)
    rows = len(sample.layers[0])
    if rows < 4:
        raise ArtifactError(f"{folder}: found {rows} train vectors, expected 4 or more; raise the task's rows.train")
    rng = np.random.default_rng([params.seed, zlib.crc32(b"redundancy cka"), zlib.crc32(task.encode())])
    layers, width = sample.constant.shape
    # constant units count for nothing in CKA: at most rounding would be left of them
    varying = [
        np.where(mask, np.float32(0), layer) if mask.any() else layer
        for layer, mask in zip(sample.layers, sample.constant, strict=True)
    ]
    similarity = layer_cka(varying, settings.cka_rows, settings.cka_batches, rng)
    clusters = cluster_neurons(sample, settings.thresholds)
    report = {
        "model": model,
        "task": task,
        "layers": layers,
        "width": width,
        "neurons": layers * width,
        "vectors": sample.vectors,
        "rows": rows,
        "constant": {
            "per_layer": sample.constant.sum(axis=1).tolist(),
            "per_layer_on_train": sample.constant_on_train.sum(axis=1).tolist(),
        },
        "kept": len(clusters.neurons),
        "cka": similarity,
        "neighbours": neighbours(clusters, layers),
        "thresholds": [
            {"threshold": threshold, "medoids": f"medoids_{i:02d}.npy"} | summarise(labels, found, layers)
            for i, (threshold, labels, found) in enumerate(
                zip(settings.thresholds, clusters.labels, clusters.medoids, strict=True)
            )
        ],
    }
    wanted = {"model": model, "task": task, **params.settings("measure_redundancy")}
    with Writer(paths.redundancy(model, task), "redundancy", wanted, [folder]) as out:
        out.json("redundancy.json", report)
        out.npy("clusters.npy", clusters.labels)
        for i, found in enumerate(clusters.medoids):
            out.npy(f"medoids_{i:02d}.npy", found)
        out.facts = {
            "rows": rows,
            "vectors": sample.vectors,
            "neurons": layers * width,
            "constant": int(sample.constant.sum()),
            "constant_on_train": int(sample.constant_on_train.sum()),
            "kept": len(clusters.neurons),
            "cka_left_out": len(similarity["left_out"]),
        }
