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

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosieve.artifacts import ArtifactError, Paths, iter_jsonl, read_manifest, read_npy
from neurosieve.config import Params
from neurosieve.constant import column_moments, constant_columns, constant_neurons
from neurosieve.flow import writer
from neurosieve.redundancy.cka import layer_cka
from neurosieve.redundancy.clusters import Correlation, correlate, cut, medoids, unit_columns
from neurosieve.redundancy.stability import adjusted_rand, split_halves


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


def _rng(params: Params, task: str, what: str) -> np.random.Generator:
    return np.random.default_rng([params.seed, zlib.crc32(what.encode()), zlib.crc32(task.encode())])


def sampled_rows(params: Params, task: str, vectors: int) -> np.ndarray:
    """Ascending indices of the train vectors that are used, of ``vectors``; they do not depend on the model."""
    rng = _rng(params, task, "redundancy rows")
    return np.sort(rng.choice(vectors, size=min(params.redundancy.rows, vectors), replace=False))


def vector_files(paths: Paths, task: str, vectors: int) -> np.ndarray:
    """int (vectors,) codes of the file of each train vector: that of its row's input for tokens, else of its input.

    Raises
    ------
    ArtifactError
        where the task has another number of rows (tokens) or inputs than there are vectors.
    """
    folder = paths.task(task) / "train"
    files = [row["file"] for row in iter_jsonl(folder / "inputs.jsonl")]
    rows = iter_jsonl(folder / "rows.jsonl")
    first = next(rows, None)
    name = "inputs.jsonl"
    if first is not None and "seen" in first:  # tokens: a vector per row
        files, name = [files[first["input"]], *(files[row["input"]] for row in rows)], "rows.jsonl"
    if len(files) != vectors:
        raise ArtifactError(
            f"{folder / name}: found {len(files)} lines, expected {vectors}, one for each train vector; "
            "run the phase `activations` again"
        )
    return np.unique(files, return_inverse=True)[1]


def sample_train(params: Params, paths: Paths, model: str, task: str) -> Sample:
    """Train vectors of ``params.redundancy.rows`` rows (all where there are fewer), the same rows for every model."""
    folder = paths.activations(model, task, "train")
    facts = read_manifest(folder)["facts"]
    vectors, width = int(facts["vectors"]), int(facts["width"])
    rows = sampled_rows(params, task, vectors)
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


def _correlation(layers: list[np.ndarray], kept: np.ndarray) -> Correlation:
    """Correlation of the ``kept`` neurons, bool (all neurons,), one at least, none of them constant in ``layers``."""
    width = layers[0].shape[1]
    columns = [
        unit_columns(layer[:, mask]) for layer, mask in zip(layers, kept.reshape(-1, width), strict=True) if mask.any()
    ]
    return correlate(np.concatenate(columns), np.flatnonzero(kept) // width, len(layers))


def cluster_neurons(sample: Sample, thresholds: Sequence[float], neurons: np.ndarray | None = None) -> Clusters:
    """Cluster the neurons with the given global indices (all by default), constant ones left out, at all thresholds.

    Every threshold cuts the one tree of these neurons; none works on what another has left (METHOD 3.2, row 12).
    """
    kept = ~sample.constant.ravel()
    if neurons is not None:
        wanted = np.zeros(len(kept), bool)
        wanted[neurons] = True
        kept &= wanted
    chosen = np.flatnonzero(kept)
    labels = np.full((len(thresholds), len(kept)), -1, np.int32)
    if not len(chosen):
        none = np.zeros(0, np.int32)
        return Clusters(chosen, labels, [none] * len(thresholds), np.zeros((0, len(sample.layers)), np.float32))
    found = _correlation(sample.layers, kept)
    labels[:, chosen] = cut(found.distances, thresholds)
    return Clusters(
        chosen,
        labels,
        [chosen[medoids(found.distances, row[chosen])].astype(np.int32) for row in labels],
        found.nearest,
    )


def random_members(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One neuron of each cluster at random, int32 (clusters,), from labels (all neurons,): as published (METHOD 2)."""
    neurons = np.flatnonzero(labels >= 0)
    shuffled = rng.permutation(neurons)
    _, first = np.unique(labels[shuffled], return_index=True)
    return shuffled[first].astype(np.int32)


def stability(
    sample: Sample, files: np.ndarray, thresholds: Sequence[float], rng: np.random.Generator
) -> tuple[dict[str, Any], list[dict[str, Any] | None]]:
    """How the clusters of one half of the rows agree with those of the other; the module's docstring has the schema.

    files : int (rows,) file of each row of the sample. Returns "halves", and "stability" of every threshold, None where
    no neuron is left to compare. Costs two more linkages, each on half the rows.
    """
    second, by = split_halves(files, rng)
    parts = [[layer[at] for layer in sample.layers] for at in (~second, second)]
    constant = [np.stack([constant_neurons(layer) for layer in part]) for part in parts]
    kept = ~(sample.constant | constant[0] | constant[1]).ravel()
    halves = {
        "by": by,
        "rows": [int((~second).sum()), int(second.sum())],
        "files": [int(np.unique(files[at]).size) for at in (~second, second)],
        "neurons": int(kept.sum()),
    }
    if not kept.any():
        return halves, [None] * len(thresholds)
    cuts = [cut(_correlation(part, kept).distances, thresholds) for part in parts]
    return halves, [
        {
            "adjusted_rand": adjusted_rand(*both),
            "clusters": [int(labels.max()) + 1 for labels in both],
            "multiple": [int((np.bincount(labels) > 1).sum()) for labels in both],
        }
        for both in zip(*cuts, strict=True)
    ]


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
    sample = sample_train(params, paths, model, task)
    rows = len(sample.layers[0])
    if rows < 4:
        raise ArtifactError(f"{folder}: found {rows} train vectors, expected 4 or more; raise the task's rows.train")
    rng = _rng(params, task, "redundancy cka")
    layers, width = sample.constant.shape
    # constant units count for nothing in CKA: at most rounding would be left of them
    varying = [
        np.where(mask, np.float32(0), layer) if mask.any() else layer
        for layer, mask in zip(sample.layers, sample.constant, strict=True)
    ]
    similarity = layer_cka(varying, settings.cka_rows, settings.cka_batches, rng)
    clusters = cluster_neurons(sample, settings.thresholds)
    representatives = clusters.medoids
    if settings.representative == "random":
        rng = _rng(params, task, "redundancy representatives")
        representatives = [random_members(labels, rng) for labels in clusters.labels]
    files = vector_files(paths, task, sample.vectors)[sampled_rows(params, task, sample.vectors)]
    halves, stable = stability(sample, files, settings.thresholds, _rng(params, task, "redundancy halves"))
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
            "rows": rows,
            "vectors": sample.vectors,
            "neurons": layers * width,
            "constant": int(sample.constant.sum()),
            "constant_on_train": int(sample.constant_on_train.sum()),
            "kept": len(clusters.neurons),
            "cka_left_out": len(similarity["left_out"]),
        }
