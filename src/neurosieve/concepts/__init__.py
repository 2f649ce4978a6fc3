"""What the chosen neurons encode: how well each tells a class, against a null, and the token types it reacts to most.

Where a number is predicted, Spearman's correlation with it stands in the place of the metric.

Reads: subsets/search/<model>/<task> (frozen.json), activations/<model>/<task>/{train,judge},
prepare/tasks/<task>/judge (inputs.jsonl, rows.jsonl), card.
Writes: concepts/neurons/<model>/<task>: concepts.json; contexts.jsonl with lines of source code, which stays in build/
and is never published. The other rule of the phase, with its own folder, is in :mod:`neurosieve.concepts.ablation`.
"""

from __future__ import annotations

import importlib
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosieve.artifacts import ArtifactError, Paths, read_json, read_jsonl, read_npy
from neurosieve.concepts import metrics
from neurosieve.concepts.auroc import auroc, concordance, top_types
from neurosieve.concepts.heatmap import heat_maps, page
from neurosieve.concepts.null import (
    Null,
    benjamini_hochberg,
    critical,
    family_wise,
    permute,
    permute_numbers,
    pooled,
    purity,
)
from neurosieve.concepts.properties import describe as describe_properties
from neurosieve.concepts.sanity import checked
from neurosieve.config import Concepts, Params
from neurosieve.constant import column_moments
from neurosieve.flow import writer
from neurosieve.probes.features import Features, layout

# The other rules of the phase, each with its own module and folder.
_RULES = {
    "ablate_neurons": "ablation",
    "attribute_neurons": "attribution",
    "measure_faithfulness": "faithfulness",
    "measure_effects": "effects",
    "apply_lens": "lenses",
    "find_language_neurons": "languages",
}
TARGET = "target"  # what a neuron goes with where a number is predicted


def __getattr__(name: str) -> Any:
    """The other rules of the phase, imported when they are asked for."""
    if name in _RULES:
        return getattr(importlib.import_module(f"neurosieve.concepts.{_RULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def chosen_neurons(paths: Paths, model: str, task: str) -> tuple[str | None, bool | None, np.ndarray]:
    """The headline's subset: key in frozen.json, whether a minimum was claimed, its neurons, best first.

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

    Scores are one-vs-rest on judge: ``concepts.metric`` on all rows chooses the best class of a neuron, and whether it
    is high or low in it (``direction``). AUROC stands beside it, on all rows and, for tokens, on rows whose type does
    not occur in train, where the neurons were ranked (METHOD 3.2, row 23). For pairs the value of a neuron is the first
    of ``probes.pair_features``; token types are given for tokens alone. z-scores take mean and standard deviation from
    train. The best class is among the scored classes of the card: the others have too few rows to mean much.

    ``concept`` is the best class of a neuron whose score, in the direction it has on all of judge, is farther above
    what permuted labels give than ``concepts.level`` allows the farthest of all neurons, classes and directions; else
    None. It is judged on types unseen in train, or on all of judge where these have too few rows of the class. Labels
    are permuted over types for tokens, over (first) inputs for sequences and pairs; see
    :mod:`neurosieve.concepts.null`. z, its quantile and the p values are of standardised scores. Purity is of the rows
    that the class is judged on.

    "named" counts the named neurons by class and layer, beside what the permuted labels give (:func:`_counts`);
    "sanity" has NeuronEval's two tests of every metric on the best classes of these neurons
    (:mod:`neurosieve.concepts.sanity`).

    "properties", of sequences and pairs: which properties of whole functions these neurons carry once length is held
    fixed (:mod:`neurosieve.concepts.properties`).

    Where a number is predicted a neuron has "spearman" and "spearman_unseen" for "auroc" and "auroc_unseen", its null
    likewise, ``concept`` is "target", and there are no classes, no purity and no sanity; the report has "statistic":
    "spearman".

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
    tokens = read_tokens(paths, task) if features.unit == "token" else None
    # units that labels are permuted over
    codes = tokens.codes if tokens else np.unique(features.rows("judge").inputs, return_inverse=True)[1]
    z = z_scores(features, neurons, X) if tokens else None
    scored = [0] if features.number else card["scored_classes"]
    tested = [0] if features.number else [c for c in scored if c in labels and (labels != c).any()]
    rng = np.random.default_rng([params.seed, zlib.crc32(b"concepts"), zlib.crc32(task.encode())])
    null = (
        permute_numbers(X, labels, codes, seen, settings.permutations, rng)
        if features.number
        else permute(X, labels, codes, seen, tested, settings.permutations, rng, settings.metric)
    )
    judge = Judge(X, z, labels, seen, codes)
    described = _describe_each(features, judge, null, neurons, settings)
    types, contexts = react(tokens, z, neurons, settings) if tokens and z is not None else ([[] for _ in neurons], [])
    best_names = [entry["best_class"] for entry in described]
    names = features.classes or [TARGET]
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
        "best_class_counts": {name: best_names.count(name) for name in features.classes},
        "metric": "spearman" if features.number else settings.metric,
        "permutations": settings.permutations,
        "unit_permuted": "types" if tokens else "functions",
        "level": settings.level,
        "tested": {names[c]: "unseen" if null.on_unseen(c) else "all" for c in tested},
        "significant": sum(entry["concept"] is not None for entry in described),
        "null_max_quantile": critical(null.z, settings.level) if len(neurons) and tested else None,
        "named": _counts(described, null, names, features.layers, settings.level),
        "sanity": None if features.number else checked(X, labels, *_claims(described, features.classes), rng),
        "properties": (
            describe_properties(params, features, neurons, chosen)
            if settings.properties and features.unit != "token"
            else None
        ),
        "neurons": [entry | {"types": own} for entry, own in zip(described, types, strict=True)],
        **({"statistic": "spearman"} if features.number else {}),
    }
    maps = heat_maps(params, paths, model, task, described, z)
    with writer(params, paths, "describe_neurons", model=model, task=task) as out:
        out.json("concepts.json", report)
        out.jsonl("contexts.jsonl", contexts)
        if settings.heat_maps is not None and z is not None:  # a page without neurons says why
            out.jsonl("heatmaps.jsonl", maps)
            out.text("heatmaps.html", page(maps, model, task))
        out.facts = {
            "chosen": len(chosen),
            "described": len(neurons),
            "rows": len(labels),
            "rows_of_unseen_types": None if seen is None else int((~seen).sum()),
            "types": len(tokens.names) if tokens else None,
            "types_with_min_count": int((np.bincount(codes) >= settings.min_count).sum()) if tokens else None,
            "contexts": len(contexts),
        }


@dataclass(frozen=True)
class Tokens:
    """Judge rows of a token task: rows.jsonl, texts of inputs, names of types (sorted), and each row's type (rows,)."""

    rows: list[dict[str, Any]]
    texts: list[str]
    names: list[str]
    codes: np.ndarray


def read_tokens(paths: Paths, task: str) -> Tokens:
    rows = read_jsonl(paths.task(task) / "judge" / "rows.jsonl")
    texts = [entry["text"] for entry in read_jsonl(paths.task(task) / "judge" / "inputs.jsonl")]
    names = sorted({row["type"] for row in rows})
    code_of = {name: code for code, name in enumerate(names)}
    return Tokens(rows, texts, names, np.array([code_of[row["type"]] for row in rows]))


def react(
    tokens: Tokens, z: np.ndarray, neurons: np.ndarray, settings: Concepts
) -> tuple[list[list[dict[str, Any]]], list[dict[str, Any]]]:
    """The types that each neuron reacts to most, by z (rows, neurons), and a context of each for contexts.jsonl."""
    types: list[list[dict[str, Any]]] = [[] for _ in neurons]
    contexts: list[dict[str, Any]] = []
    for i, neuron in enumerate(neurons):
        for code in top_types(z[:, i], tokens.codes, tokens.names, settings.top_types, settings.min_count):
            at = np.flatnonzero(tokens.codes == code)
            mean, size = float(z[at, i].mean()), float(np.abs(z[at, i]).mean())
            types[i].append({"type": tokens.names[code], "count": len(at), "mean_z": mean, "mean_abs_z": size})
            example = at[np.argmax(np.abs(z[at, i]))]  # the first of the rows with the largest |z|
            context = _context(tokens.rows[example], tokens.texts, settings.context)
            contexts.append({"neuron": int(neuron), "row": int(example), "z": float(z[example, i])} | context)
    return types, contexts


@dataclass(frozen=True)
class Judge:
    """What the described neurons are judged on: values X (rows, neurons), for tokens z alike and ``seen`` (rows,),
    labels (rows,), and the units that they are permuted over, codes (rows,)."""

    X: np.ndarray
    z: np.ndarray | None
    labels: np.ndarray
    seen: np.ndarray | None
    codes: np.ndarray


def _describe_each(
    features: Features, judge: Judge, null: Null, neurons: np.ndarray, settings: Concepts
) -> list[dict[str, Any]]:
    """ "neurons" of concepts.json but for "types"; the best class of each is one of the tested."""
    X, labels, seen = judge.X, judge.labels, judge.seen
    on_all = _association(X, labels, features)
    on_unseen = None if seen is None else _association(X[~seen], labels[~seen], features)
    score = _scores(judge, null, features, settings)
    best_of = [metrics.best(values, null.classes) for values in score]
    against = _against_chance(null, best_of, settings.level)
    described = []
    for rank, neuron in enumerate(neurons):
        found = best_of[rank]
        best = None if found is None else null.classes[found[0]]
        entry = _describe(features, rank, int(neuron), on_all, on_unseen, best)
        entry["direction"] = None if found is None else found[1]
        entry["score"] = None if found is None else float(score[rank, found[0], _axis(found[1])])
        chance = against[rank]
        if chance is not None and best is not None:
            beside = on_unseen if on_unseen is not None and null.on_unseen(best) else on_all
            chance["auroc"] = float(beside[rank, best])
        entry["null"] = chance
        named = best is not None and chance is not None and chance["significant"]
        entry["concept"] = (features.classes or [TARGET])[best] if named and best is not None else None
        entry["purity"] = None
        if judge.z is not None and best is not None and not features.number:
            at = ~seen if seen is not None and null.on_unseen(best) else np.ones(len(labels), bool)
            entry["purity"] = purity(judge.z[at, rank], labels[at] == best, judge.codes[at], settings.purity_top)
        described.append(_of_number(entry) if features.number else entry)
    return described


def _scores(judge: Judge, null: Null, features: Features, settings: Concepts) -> np.ndarray:
    """On all of judge, (neurons, tested classes, 2)."""
    if features.number:
        r = 2 * concordance(judge.X, judge.labels)[:, None] - 1
        return np.stack([r, -r], axis=-1)
    return metrics.scores(settings.metric, judge.X, judge.labels[None], null.classes)[0]


def _association(X: np.ndarray, labels: np.ndarray, features: Features) -> np.ndarray:
    """(neurons, classes) AUROCs, or (neurons, 1) concordances with the number, which both have 0.5 for no relation."""
    return concordance(X, labels)[:, None] if features.number else auroc(X, labels, len(features.classes))


def _axis(direction: int) -> int:
    return metrics.DIRECTIONS.index(direction)


def _of_number(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry of a neuron in terms of Spearman's correlation."""
    found = {key: value for key, value in entry.items() if key not in ("auroc", "auroc_unseen", "best_auroc", "score")}
    value, unseen, null = entry["best_auroc"], entry["auroc_unseen"], entry["null"]
    found["spearman"] = None if value is None else 2 * value - 1
    found["spearman_unseen"] = 2 * unseen[TARGET] - 1 if unseen and unseen[TARGET] is not None else None
    if null is not None:
        sign = entry["direction"]  # the null is of the direction, which a correlation has in its sign
        signed = {"spearman": sign * null["score"], "expected": sign * null["expected"], "z": sign * null["z"]}
        found["null"] = {**{k: v for k, v in null.items() if k not in ("auroc", "score")}, **signed}
    return found | {"best_class": None}


def _values(features: Features, neurons: np.ndarray) -> np.ndarray:
    """Raw judge values float32 (rows, neurons); for pairs those of the first pair feature."""
    X = features.load("judge", neurons)[:, :: features.columns_per_neuron]
    if not np.isfinite(X).all():
        bad = int(neurons[np.argmin(np.isfinite(X).all(axis=0))])
        folder = features.paths.activations(features.model, features.task, "judge")
        raise ArtifactError(f"{folder}: found values that are not finite in neuron {bad}; run `activations` again")
    return X


def z_scores(features: Features, neurons: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Judge values X (rows, neurons) of a token task: their distance from the mean on train in standard deviations,
    float64. ArtifactError for a neuron that is constant on train."""
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
    rank: int,
    neuron: int,
    on_all: np.ndarray,
    on_unseen: np.ndarray | None,
    best: int | None,
) -> dict[str, Any]:
    layer, unit = divmod(neuron, features.width)
    names = features.classes or [TARGET]
    value = None if best is None else float(on_all[rank, best])
    return {
        "name": f"{features.model}/{layer}/{unit}",
        "neuron": neuron,
        "layer": layer,
        "unit": unit,
        "rank": rank + 1,
        "auroc": _by_class(names, on_all[rank]),
        "auroc_unseen": None if on_unseen is None else _by_class(names, on_unseen[rank]),
        "best_class": None if best is None else names[best],
        "best_auroc": value,
    }


def _against_chance(null: Null, best_of: list[tuple[int, int] | None], level: float) -> list[dict[str, Any] | None]:
    """What the null says of each neuron's best class, by position, and direction; None for a neuron without one."""
    at = [(i, best[0], _axis(best[1])) for i, best in enumerate(best_of) if best is not None]
    if not at:
        return [None] * len(best_of)
    where = tuple(np.array(at).T)
    z = null.z
    value, mean, sd, own = (v[where] for v in (null.scores[0], null.mean, null.sd, z[0]))
    # a score that is no better than that of a neuron without relation is no sign of the class, however rare it is
    evidence = np.where(value > 0, np.maximum(own, 0), 0)
    p = family_wise(evidence, z)
    q = benjamini_hochberg(pooled(evidence, z))
    found: list[dict[str, Any] | None] = [None] * len(best_of)
    for i, row in enumerate(where[0]):
        found[row] = {
            "score": float(value[i]),
            "expected": float(mean[i]),
            "sd": float(sd[i]),
            "z": float(own[i]),
            "p_max": float(p[i]),
            "q": float(q[i]),
            "significant": bool(p[i] <= level),
        }
    return found


def _claims(described: list[dict[str, Any]], classes: list[str]) -> tuple[list[int | None], np.ndarray, np.ndarray]:
    """Best class, direction (0 without one) and whether it is named, of each neuron."""
    return (
        [None if e["best_class"] is None else classes.index(e["best_class"]) for e in described],
        np.array([e["direction"] or 0 for e in described], np.int64),
        np.array([e["concept"] is not None for e in described], bool),
    )


def _counts(
    described: list[dict[str, Any]], null: Null, names: list[str], layers: int, level: float
) -> dict[str, dict[str, Any]]:
    """Of each tested class: how many neurons are named after it, in which layers, and how many permuted labels name.

    "per_layer": named neurons by layer; "low": those of them that are low in the class; "found": neurons of that best
    class with q of at most the level, which is less strict; "by_chance" and "by_chance_max": mean and maximum over the
    permutations of how many neurons have their largest z there, and above what the observed ones must exceed. A
    permutation chooses class and direction on the rows that it is judged on, which names more, if anything.
    """
    if not described or not null.classes:
        return {names[c]: _count([], layers, level) | {"by_chance": 0.0, "by_chance_max": 0} for c in null.classes}
    z = null.z[1:]
    beyond = z.max(axis=(2, 3)) > critical(null.z, level)
    at = z.max(axis=3).argmax(axis=2)
    found = {}
    for i, c in enumerate(null.classes):
        own = [e for e in described if e["null"] is not None and e["best_class"] in (names[c], None)]  # None: numbers
        drawn = (beyond & (at == i)).sum(axis=1)
        found[names[c]] = _count(own, layers, level) | {
            "by_chance": float(drawn.mean()),
            "by_chance_max": int(drawn.max(initial=0)),
        }
    return found


def _count(own: list[dict[str, Any]], layers: int, level: float) -> dict[str, Any]:
    named = [e for e in own if e["concept"] is not None]
    return {
        "neurons": len(named),
        "per_layer": np.bincount([e["layer"] for e in named], minlength=layers).tolist() if named else [0] * layers,
        "low": sum(e["direction"] < 0 for e in named),
        "found": sum(e["null"]["q"] <= level for e in own),
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
