"""What the chosen neurons encode: AUROC per class, and the token types they react to most.

Reads: subsets/search/<model>/<task> (frozen.json), activations/<model>/<task>/{train,judge},
prepare/tasks/<task>/judge (inputs.jsonl, rows.jsonl), card.
Writes: concepts/<model>/<task>: concepts.json; contexts.jsonl with lines of source code, which stays in build/ and is
never published.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosieve.artifacts import ArtifactError, Paths, Writer, read_json, read_jsonl, read_npy
from neurosieve.concepts.auroc import auroc, best_class, top_types
from neurosieve.config import Params
from neurosieve.constant import column_moments
from neurosieve.probes.features import Features, layout


def chosen_neurons(paths: Paths, model: str, task: str) -> tuple[str | None, bool | None, np.ndarray]:
    """The headline ranking's subset: key in frozen.json, whether a minimum was claimed, its neurons in rank order.

    Where no minimum was claimed the subset has the size of the estimate. (None, None, no neurons) where there is none.
    """
    frozen = read_json(paths.search(model, task) / "frozen.json")
    key = f"subset-{frozen['headline']}"
    if key not in frozen["sets"]:
        return None, None, np.zeros(0, np.int64)
    entry = frozen["sets"][key]
    return key, entry["claimed"], np.array(entry["neurons"], np.int64)


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
    key, claimed, chosen = chosen_neurons(paths, model, task)
    neurons = chosen[: settings.neurons]
    X = _values(features, neurons)
    labels, seen = features.labels("judge"), features.seen("judge")
    on_all = auroc(X, labels, len(features.classes))
    on_unseen = None if seen is None else auroc(X[~seen], labels[~seen], len(features.classes))
    types: list[list[dict[str, Any]]] = [[] for _ in neurons]
    contexts: list[dict[str, Any]] = []
    eligible = distinct = None
    if features.unit == "token":
        rows = read_jsonl(paths.task(task) / "judge" / "rows.jsonl")
        texts = [entry["text"] for entry in read_jsonl(paths.task(task) / "judge" / "inputs.jsonl")]
        names = sorted({row["type"] for row in rows})
        code_of = {name: code for code, name in enumerate(names)}
        codes = np.array([code_of[row["type"]] for row in rows])
        distinct, eligible = len(names), int((np.bincount(codes) >= settings.min_count).sum())
        z = _z_scores(features, neurons, X)
        for i, neuron in enumerate(neurons):
            for code in top_types(z[:, i], codes, names, settings.top_types, settings.min_count):
                at = np.flatnonzero(codes == code)
                mean, size = float(z[at, i].mean()), float(np.abs(z[at, i]).mean())
                types[i].append({"type": names[code], "count": len(at), "mean_z": mean, "mean_abs_z": size})
                example = at[np.argmax(np.abs(z[at, i]))]  # the first of the rows with the largest |z|
                context = _context(rows[example], texts, settings.context)
                contexts.append({"neuron": int(neuron), "row": int(example), "z": float(z[example, i])} | context)
    described = [
        _describe(features, model, rank, int(neuron), on_all, on_unseen, card["scored_classes"])
        | {"types": types[rank]}
        for rank, neuron in enumerate(neurons)
    ]
    best = [entry["best_class"] for entry in described]
    report = {
        "model": model,
        "task": task,
        "unit": features.unit,
        "feature": features.pair_features[0] if features.unit == "pair" else None,
        "subset": key,
        "claimed": claimed,
        "chosen": len(chosen),
        "described": len(neurons),
        "chosen_per_layer": np.bincount(chosen // features.width, minlength=features.layers).tolist(),
        "best_class_counts": {name: best.count(name) for name in features.classes},
        "neurons": described,
    }
    folders = [
        paths.search(model, task),
        *(paths.activations(model, task, split) for split in ("train", "judge")),
        *(paths.task(task) / part for part in ("judge", "card")),
    ]
    wanted = {"model": model, "task": task, **params.settings("describe_neurons")}
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


def _values(features: Features, neurons: np.ndarray) -> np.ndarray:
    """Raw judge values float32 (rows, neurons); for pairs those of the first pair feature."""
    X = features.load("judge", neurons)[:, :: features.columns_per_neuron]
    if not np.isfinite(X).all():
        bad = int(neurons[np.argmin(np.isfinite(X).all(axis=0))])
        folder = features.paths.activations(features.model, features.task, "judge")
        raise ArtifactError(f"{folder}: found values that are not finite in neuron {bad}; run `activations` again")
    return X


def _z_scores(features: Features, neurons: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Judge values X (rows, neurons) of a token task in units of the standard deviation on train, float64."""
    folder = features.paths.activations(features.model, features.task, "train")
    mean, std = np.empty((2, len(neurons)))
    for layer in np.unique(neurons // features.width):
        at = neurons // features.width == layer
        vectors = read_npy(folder / f"layer_{layer:02d}.npy", mmap=True)  # one vector per row
        mean[at], std[at], equal = column_moments(vectors[:, neurons[at] % features.width])
        if equal.any():
            search = features.paths.search(features.model, features.task)
            raise ArtifactError(
                f"{search}: chose neuron {neurons[at][equal][0]}, which is constant on train; "
                "run the phases from `activations` on again"
            )
    return (X - mean) / std


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
