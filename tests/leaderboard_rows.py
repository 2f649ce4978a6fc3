"""Made-up rows of a leaderboard, for the tests of the page: four models on four tasks, with plausible curves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurosieve.leaderboard.table import COLUMNS

SIZES = {
    "neurosieve-base": (9, 384),
    "neurosieve-base-untrained": (9, 384),
    "minilm": (7, 384),
    "minilm-untrained": (7, 384),
}
# chance, surface, best score, untrained score, neurons at which the curve has bent
TASKS = {
    "token-roles": (0.071, 0.702, 0.861, 0.583, 60),
    "token-classes": (0.113, 0.874, 0.958, 0.801, 25),
    "doc-match": (0.5, 0.643, 0.741, 0.601, 130),
    "variable-misuse": (0.5, 0.521, 0.548, 0.512, 200),
}
CLASSES = {
    "token-roles": [
        "VAR_LOAD",
        "ATTR",
        "VAR_STORE",
        "METHOD_CALL",
        "PARAM",
        "CALL",
        "FUNCDEF",
        "IMPORT",
        "KWARG",
        "CLASSDEF",
        "VAR_DEL",
        "OTHER",
    ],
    "token-classes": ["KEYWORD", "NAME", "NUMBER", "STRING", "OP"],
    "doc-match": ["no match", "match"],
    "variable-misuse": ["right", "swapped"],
}
TYPES = [
    "self",
    "return",
    "x",
    "None",
    "def",
    "__init__",
    "args",
    "<b>",
    "&amp;",
    "=",
    "'utf-8'",
    "0",
    "+=",
    "a_rather_long_name_of_a_variable",
]


def _grid(n: int, ratio: float) -> list[int]:
    sizes = [1]
    while sizes[-1] < n:
        sizes.append(min(n, max(sizes[-1] + 1, math.floor(sizes[-1] * ratio))))
    return sizes


def _curve(sizes: list[int], low: float, high: float, bend: float, rng: np.random.Generator) -> list[float]:
    s = np.array(sizes, float)
    rise = 1 - np.exp(-((s / bend) ** 0.8))
    return [round(float(v), 6) for v in low + (high - low) * rise + rng.normal(0, 0.004, len(s)) * (high - low)]


def make_row(model: str, task: str, **changed: Any) -> dict[str, Any]:
    """A row of the normalised form of collect.py."""
    layers, width = SIZES[model]
    n = layers * width
    low, surface, best, bare, bend = TASKS[task]
    twin = model.endswith("-untrained")
    if model.startswith("minilm"):
        best, bare = best - 0.04, bare - 0.01
    top = bare if twin else best
    rng = np.random.default_rng([len(model), sum(map(ord, task + model))])
    curves: dict[str, Any] = {}
    for name, at, ratio in (
        ("lca", bend, 1.2),
        ("probeless", bend * 2.2, 1.2),
        ("random", bend * 6, 2.0),
        ("bottom", bend * 14, 2.0),
    ):
        sizes = _grid(n, ratio)
        scores = _curve(sizes, low, top, at, rng)
        curves[name] = {"sizes": sizes, "scores": scores}
        if name == "random":
            wide = [0.03 * (top - low) * (1 + 3 * math.exp(-s / at)) for s in sizes]
            curves[name] |= {
                "low": [max(low, v - w) for v, w in zip(scores, wide, strict=True)],
                "high": [v + w for v, w in zip(scores, wide, strict=True)],
            }
    status = (
        "supported"
        if top > surface + 0.02 and not twin
        else "untrained"
        if top > surface
        else "surface"
        if top > low + 0.03
        else "at chance"
    )
    if task == "variable-misuse" and model == "minilm":
        status = "at chance"
    small = task == "doc-match"
    minimal = next((s for s, v in zip(*curves["lca"].values(), strict=True) if v > top - 0.008), n)
    claimed = not small and status != "at chance"
    counts = None
    if claimed:
        share = np.exp(-(((np.arange(layers) - layers * 0.45) / 2.0) ** 2))
        counts = [int(v) for v in rng.multinomial(minimal, share / share.sum())]
    test = {
        "accuracy": top,
        "macro_f1": top - 0.02,
        "matthews": top - 0.1,
        "seen": {"accuracy": top + 0.02, "macro_f1": top},
        "unseen": {"accuracy": top - 0.06, "macro_f1": top - 0.08},
        "packages": {
            p: {"accuracy": top + d, "macro_f1": top + d}
            for p, d in (("nltk", 0.01), ("werkzeug", -0.01), ("mpmath", -0.03))
        },
    }
    lower = {**test, "accuracy": top - 0.01, "macro_f1": top - 0.03}
    metric = "accuracy" if low == 0.5 else "macro_f1"
    row: dict[str, Any] = {
        "benchmark": "default",
        "version": 1,
        "protocol": "strict",
        "model": model,
        "task": task,
        "status": status,
        "metric": metric,
        "n_neurons": n,
        "layers": layers,
        "width": width,
        "oracle": test[metric],
        "oracle_low": test[metric] - 0.009,
        "oracle_high": test[metric] + 0.008,
        "reference": test[metric] + 0.003,
        "majority": low,
        "surface": surface,
        "surface_name": "char-ngrams" if metric == "macro_f1" else "tfidf-cosine",
        "untrained": None if twin else bare,
        "ranking": "lca",
        "n_minimal": minimal if claimed else None,
        "n_minimal_low": int(minimal * 0.7) if claimed else None,
        "n_minimal_high": min(n, int(minimal * 1.9)) if claimed else None,
        "n_failing": minimal - 1 if claimed else None,
        "share": minimal / n if claimed else None,
        "layers_used": "0,2-6" if claimed else None,
        "subset_test": lower[metric] if claimed else None,
        "random_test": lower[metric] - 0.11 if claimed else None,
        "bottom_test": lower[metric] - 0.24 if claimed else None,
        "confirmed": True if status == "supported" else None,
        "dev_half_width": 0.0131 if small else 0.0034,
        "best_ranking": "lca" if claimed else None,
        "best_n_minimal": minimal if claimed else None,
        "note": "dev too small: h = 0.013 > margin/2 = 0.010; about 9,000 judge rows needed; estimate 120 neurons"
        if small
        else ("control row" if twin else None),
        "model_note": "the same configuration, freshly initialised"
        if twin
        else "ModernBERT-style masked language model of Python",
        "control_of": model.removesuffix("-untrained") if twin else None,
        "reason": "",
        "reference_name": "layers 0-4",
        "margin": 0.02 if metric == "accuracy" else 0.01,
        "margin_reason": "one point of the primary metric is the smallest loss that users of a tagger would notice",
        "judge": {"reference": top + 0.004, "majority": low, "surface": surface, "untrained": None if twin else bare},
        "estimate": 120 if small else None,
        "curves": curves,
        "layer_scores": {
            "split": "tune",
            "single": _curve([i + 1 for i in range(layers)], (low + top) / 2, top - 0.02, 3, rng),
            "prefix": _curve([i + 1 for i in range(layers)], (low + top) / 2, top + 0.004, 2, rng),
        },
        "chosen_layers": counts,
        "cka": [[round(math.exp(-abs(i - j) / 4) - 0.02 * (i != j), 4) for j in range(layers)] for i in range(layers)],
        "clusters": [
            {"threshold": t / 10, "share": round(1 - (t / 10) ** 1.5 * (0.9 if twin else 0.6), 4)} for t in range(1, 10)
        ],
        "concepts": {"chosen": minimal, "neurons": [make_neuron(task, i, layers) for i in range(30)]}
        if claimed
        else None,
        "test": {
            "oracle": test,
            "reference": test,
            "subset": lower if claimed else None,
            "random": {"accuracy": top - 0.12, "macro_f1": top - 0.14, "matthews": None} if claimed else None,
            "majority": {"accuracy": low, "macro_f1": low, "matthews": 0.0},
        },
        "facts": {
            "kept share": "0.97",
            "selectivity": "0.31",
            "description length, bits": "12,345",
            "random labels": "33,210",
        },
    }
    assert set(COLUMNS) <= set(row)
    return row | changed


def make_neuron(task: str, i: int, layers: int) -> dict[str, Any]:
    """An entry of concepts.json."""
    best = CLASSES[task][i % len(CLASSES[task])]
    types = TYPES[i % 7 : i % 7 + 7] if TASKS[task][0] != 0.5 else []
    value = 0.93 - 0.006 * i
    return {
        "neuron": 384 * (i % layers) + 7 * i, "layer": i % layers, "unit": 7 * i, "rank": i + 1,
        "auroc": {best: value}, "auroc_unseen": {best: value - 0.05}, "best_class": best, "best_auroc": value,
        "direction": 1, "types": [{"type": t, "count": 9, "mean_z": 2.0, "mean_abs_z": 2.0} for t in types],
    }  # fmt: skip


def make_card(task: str) -> dict[str, Any]:
    low = TASKS[task][0]
    labels = {c: 800 - 40 * i for i, c in enumerate(CLASSES[task])}
    split = {
        "rows": sum(labels.values()),
        "inputs": 1400,
        "files": 212,
        "packages": {"nltk": 3000, "werkzeug": 2400, "mpmath": 2600},
        "labels": labels,
        "seen_rows": 4000,
    }
    return {
        "task": task,
        "kind": task,
        "unit": "pair" if task == "doc-match" else "token",
        "classes": CLASSES[task],
        "metric": "accuracy" if low == 0.5 else "macro_f1",
        "scored_classes": list(range(len(CLASSES[task])))[:10],
        "splits": {s: split for s in ("train", "tune", "judge", "test")},
        "licences": {"nltk": "Apache-2.0", "werkzeug": "BSD-3-Clause", "mpmath": "BSD-3-Clause"},
        "left_out": {"longer than 2000 characters": 1234, "does not parse": 3},
        "description": "The role of a name in a Python function: is it read, stored, called, a parameter, and so on.",
        "majority": {"test": low},
        "baselines": [
            ("Majority", f"{low:.3f} on test"),
            ("Surface baselines on tune", "lookup 0.701, previous 0.655, char-ngrams 0.702"),
        ],
    }


def make_all(models: list[str] | None = None) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    models = models or list(SIZES)
    meta = {
        "title": "NeuroSieve: how many neurons does a task need?",
        "benchmark": "default",
        "version": 1,
        "protocol": "strict",
        "numerics": "portable",
        "seed": 7361,
        "random_draws": 3,
        "models": models,
        "tasks": list(TASKS),
    }
    return [make_row(m, t) for m in models for t in TASKS], {t: make_card(t) for t in TASKS}, meta
