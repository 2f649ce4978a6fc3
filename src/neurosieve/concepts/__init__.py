"""What the chosen neurons encode: AUROC per class, and the token types they react to most.

Reads: subsets/search/<model>/<task> (curves.json, frozen.json), activations/<model>/<task>/{train,judge},
prepare/tasks/<task>/{train,judge} (inputs.jsonl, rows.jsonl), card.
Writes: concepts/<model>/<task>: concepts.json; contexts.jsonl with lines of source code, which stays in build/ and is
never published.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosieve.artifacts import ArtifactError, Paths, Writer, read_json, read_jsonl
from neurosieve.concepts.auroc import auroc, best_class, top_types
from neurosieve.config import Params
from neurosieve.probes.features import Features, Standardizer, layout


def chosen_neurons(paths: Paths, model: str, task: str) -> tuple[str | None, np.ndarray]:
    """Key in frozen.json of the headline ranking's minimal subset (or its estimate), and its neurons in rank order.

    The key is None, and there are no neurons, where the search names neither.
    """
    raise NotImplementedError


def describe_neurons(params: Params, paths: Paths, *, model: str, task: str) -> None:
    """Describe the first ``params.concepts.neurons`` neurons of the headline subset.

    AUROC is one-vs-rest on judge, on all rows and, for tokens, on rows whose type does not occur in train, where the
    neurons were ranked (METHOD 3.2, row 23). For pairs the value of a neuron is the first of ``probes.pair_features``;
    token types are given for tokens alone. z-scores take mean and standard deviation from train. The best class is
    among the scored classes of the card: the others have too few rows for their AUROC to mean much.

    Raises
    ------
    ArtifactError
        a chosen neuron that is constant on train.
    """
    settings = params.concepts
    features = layout(paths, params, model, task)
    card = read_json(paths.task(task) / "card" / "card.json")
    key, chosen = chosen_neurons(paths, model, task)
    neurons = chosen[: settings.neurons]
    X = _values(features, "judge", neurons)
    labels, seen = features.labels("judge"), features.seen("judge")
    on_all = auroc(X, labels, len(features.classes))
    on_unseen = None if seen is None else auroc(X[~seen], labels[~seen], len(features.classes))
    types: list[list[dict[str, Any]]] = [[] for _ in neurons]
    contexts: list[dict[str, Any]] = []
    eligible = distinct = None
    if features.unit == "token":
        rows = read_jsonl(paths.task(task) / "judge" / "rows.jsonl")
        texts = [entry["text"] for entry in read_jsonl(paths.task(task) / "judge" / "inputs.jsonl")]
        names, codes, counts = np.unique([row["type"] for row in rows], return_inverse=True, return_counts=True)
        distinct, eligible = len(names), int((counts >= settings.min_count).sum())
        z = _z_scores(features, neurons, X)
        for i, neuron in enumerate(neurons):
            for code in top_types(z[:, i], codes, names.tolist(), settings.top_types, settings.min_count):
                at = np.flatnonzero(codes == code)
                mean, size = float(z[at, i].mean()), float(np.abs(z[at, i]).mean())
                types[i].append({"type": str(names[code]), "count": len(at), "mean_z": mean, "mean_abs_z": size})
                example = at[np.argmax(np.abs(z[at, i]))]  # the first of the rows with the largest |z|
                context = _context(rows[example], texts, settings.context)
                contexts.append({"neuron": int(neuron), "row": int(example), "z": float(z[example, i])} | context)
    described = [
        _describe(features, model, rank, int(neuron), on_all, on_unseen, card["scored_classes"]) | {"types": types[rank]}
        for rank, neuron in enumerate(neurons)
    ]
    best = [entry["best_class"] for entry in described]
    report = {
        "model": model,
        "task": task,
        "unit": features.unit,
        "feature": features.pair_features[0] if features.unit == "pair" else None,
        "subset": key,
        "chosen": len(chosen),
        "described": len(neurons),
        "chosen_per_layer": np.bincount(chosen // features.width, minlength=features.layers).tolist(),
        "best_class_counts": {name: best.count(name) for name in features.classes},
        "neurons": described,
    }
    folders = [
        paths.search(model, task),
        *(paths.activations(model, task, split) for split in ("train", "judge")),
        *(paths.task(task) / part for part in ("train", "judge", "card")),
    ]
    wanted = {
        "model": model,
        "task": task,
        "concepts": settings.model_dump(mode="json"),
        "pair_features": list(params.probes.pair_features),
    }
    with Writer(paths.concepts(model, task), "concepts", wanted, folders) as out:
        out.json("concepts.json", report)
        out.jsonl("contexts.jsonl", contexts)
        out.facts = {
            "chosen": len(chosen),
            "described": len(neurons),
            "rows": len(labels),
            "rows_of_unseen_types": None if seen is None else int((~seen).sum()),
            "types": distinct,
            "types_with_min_count": eligible,
            "contexts": len(contexts),
        }


def _values(features: Features, split: str, neurons: np.ndarray) -> np.ndarray:
    """Raw values float32 (rows, neurons); for pairs those of the first pair feature."""
    X = features.load(split, neurons)[:, :: features.columns_per_neuron]
    if not np.isfinite(X).all():
        bad = int(neurons[np.argmin(np.isfinite(X).all(axis=0))])
        folder = features.paths.activations(features.model, features.task, split)
        raise ArtifactError(f"{folder}: found values that are not finite in neuron {bad}; run `activations` again")
    return X


def _z_scores(features: Features, neurons: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Judge values X (rows, neurons) in units of the standard deviation on train, float64."""
    train = Standardizer.fit(_values(features, "train", neurons))
    constant = neurons[np.isinf(train.std)]
    if constant.size:
        raise ArtifactError(
            f"{features.paths.search(features.model, features.task)}: chose neuron {constant[0]}, which is constant on "
            "train; run `search-subsets` again"
        )
    return (X - train.mean) / train.std


def _describe(
    features: Features,
    model: str,
    rank: int,
    neuron: int,
    on_all: np.ndarray,
    on_unseen: np.ndarray | None,
    scored: list[int],
) -> dict[str, Any]:
    layer, unit = divmod(neuron, features.width)
    best = best_class(on_all[rank], scored)
    value = None if best is None else float(on_all[rank, best])
    return {
        "name": f"{model}/{layer}/{unit}",
        "neuron": neuron,
        "layer": layer,
        "unit": unit,
        "rank": rank + 1,
        "auroc": _by_class(features.classes, on_all[rank]),
        "auroc_unseen": None if on_unseen is None else _by_class(features.classes, on_unseen[rank]),
        "best_class": None if best is None else features.classes[best],
        "best_auroc": value,
        "direction": None if value is None else (value > 0.5) - (value < 0.5),
    }


def _by_class(classes: list[str], values: np.ndarray) -> dict[str, float | None]:
    return {name: None if np.isnan(v) else float(v) for name, v in zip(classes, values, strict=True)}


def _context(row: dict[str, Any], texts: list[str], characters: int) -> dict[str, Any]:
    text, start, end = texts[row["input"]], row["start"], row["end"]
    return {
        "type": row["type"],
        "input": row["input"],
        "before": text[max(start - characters, 0) : start],
        "token": text[start:end],
        "after": text[end : end + characters],
    }
