"""A made-up build for the tests of the leaderboard: four models on four tasks, with plausible figures."""

from __future__ import annotations

import copy
import functools
import hashlib
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from neurosieve.artifacts import Paths, Writer
from neurosieve.config import Params
from neurosieve.leaderboard import benchmark_facts, collect

MODELS = {
    "neurosieve-base": (9, 384),
    "neurosieve-base-untrained": (9, 384),
    "minilm": (7, 384),
    "minilm-untrained": (7, 384),
}
# majority, surface, best score, untrained score, neurons at which the curve bends
LEVELS = {
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
    "<b>",
    "&amp;",
    "=",
    "'utf-8'",
    "0",
    "+=",
    '"""A text\nof two long lines that nobody may see."""',
]
TEST_ROWS, TEST_FILES, DRAWS = 600, 30, 1000
HEADLINE = "elimination"
CONTENDERS = ("lca", "probeless", HEADLINE)  # of an untrained twin the headline alone
FOLDERS = ("card", "baselines", "status", "redundancy", "probes", "search", "scores", "concepts")


def make_params(models: list[str] | None = None, tasks: list[str] | None = None) -> Params:
    """Params of a benchmark of these models and tasks (all by default)."""
    wheel = {"name": "minilm", "version": "1", "licence": "Apache-2.0", "sha256": "0" * 64}
    packages = {"train": ["sympy"], "dev": ["rich"], "test": ["nltk", "werkzeug", "mpmath"]}
    task = {"corpus": "wheels", "packages": packages, "rows": {"train": 1, "tune": 1, "judge": 1, "test": 1}}
    metric = {name: "accuracy" if levels[0] == 0.5 else "macro_f1" for name, levels in LEVELS.items()}
    return Params.model_validate(
        {
            "benchmark": "default",
            "version": 1,
            "seed": 7361,
            "numerics": "portable",
            "run": {"models": models or list(MODELS), "tasks": tasks or list(LEVELS), "protocols": ["strict"]},
            "models": {
                "neurosieve-base": {"path": "models/neurosieve-base", "note": "masked language model of Python"},
                "neurosieve-base-untrained": {"untrained": "neurosieve-base", "note": "freshly initialised"},
                "minilm": {"wheel": wheel, "wheel_path": "minilm", "note": "an English sentence encoder"},
                "minilm-untrained": {"untrained": "minilm"},
            },
            "prepare": {
                "corpora": {"wheels": {"folder": "corpus"}},
                "tasks": {name: {**task, "kind": name, "metric": metric[name]} for name in LEVELS},
            },
            "activations": {"subword": "last", "pooling": "mean", "window": 512, "batch_tokens": 4096},
            "redundancy": {"rows": 4000, "thresholds": [0.1], "cka_rows": 1000, "cka_batches": 4},
            "probes": {
                "penalties": [{"l1": 0.0, "l2": 0.1}],
                "gap": 1e-4,
                "max_iterations": 2000,
                "pair_features": ["absdiff", "product"],
                "bootstrap": DRAWS,
                "baseline_penalties": [{"l1": 0.0, "l2": 0.1}],
            },
            "subsets": {
                "rankings": ["lca", "probeless"],
                "searches": ["elimination"],
                "headline": HEADLINE,
                "ratio": 1.2,
                "control_ratio": 2.0,
                "random_draws": 3,
                "half_draws": 3,
                "robustness": {"resamples": 4, "disjoint": 2},
                "margins": {"default": {"value": 0.01, "reason": "the smallest loss that users would notice"}},
            },
            "concepts": {"neurons": 50, "top_types": 8, "min_count": 5, "context": 30, "ablation": {}},
            "leaderboard": {"title": "NeuroSieve: how many neurons does a task need?"},
        }
    )


def write_build(params: Params, paths: Paths) -> None:
    """Write every artifact that the leaderboard reads, with the keys of the phases that write them."""
    for task in params.run.tasks:
        _write(paths.task(task) / "card", "prepare", "card.json", make_card(task))
        with Writer(paths.task(task) / "test", "prepare", {}) as out:
            out.jsonl("inputs.jsonl", [{"id": i, "file": f"{i % TEST_FILES}.py"} for i in range(TEST_ROWS)])
            labels = make_labels(task).tolist()
            out.jsonl("rows.jsonl", [{"input": i, "label": label} for i, label in enumerate(labels)])
        _write(paths.baselines(task), "probes", "baselines.json", make_baselines(task))
    status = {f"{m}/{t}": make_status(m, t) for m in params.run.models for t in params.run.tasks}
    _write(paths.status(), "probes", "status.json", {"confidence": 0.95, "family": [], "rows": status})
    for model in params.run.models:
        for task in params.run.tasks:
            search = make_search(model, task)
            with Writer(paths.activations(model, task, "train"), "activations", {}) as out:
                out.facts = {"cost": make_cost(model)}
            _write(paths.redundancy(model, task), "redundancy", "redundancy.json", make_redundancy(model))
            with Writer(paths.probes(model, task), "probes", {}) as out:
                out.json("probes.json", make_probes(model, task))
                out.json("agreement.json", make_agreement())
            controls = {"control": None, "description_length": make_description_length(model)}
            _write(paths.controls(model, task), "probes", "controls.json", controls)
            with Writer(paths.search(model, task), "subsets", {}) as out:
                out.json("curves.json", search["curves"])
                out.json("frozen.json", search["frozen"])
                out.npy("minima_judge.npy", make_minima(model, task, search["curves"]["curves"]))
            scores = make_scores(model, task, search["frozen"])
            with Writer(paths.scores(model, task), "subsets", {}) as out:
                out.json("scores.json", scores)
                out.npy("predictions_test.npy", make_predictions(model, task, scores))
            _write(
                paths.concepts(model, task), "concepts", "concepts.json", make_concepts(model, task, search["frozen"])
            )
            _write(paths.ablation(model, task), "concepts", "ablation.json", make_ablation(model, task))
            if model in params.asked:
                found = make_robustness(model, task, search)
                _write(paths.robustness(model, task), "subsets", "robustness.json", found)


def make_ablation(model: str, task: str) -> dict[str, Any]:
    """A language model of tokens alone has one."""
    if model != "neurosieve-base" or task != "token-roles":
        return {"model": model, "task": task, "ablation": None, "reason": "no usable language-modelling head"}

    def entry(chosen: float, used: bool) -> dict[str, Any]:
        return {
            "chosen": chosen,
            "random": {"mean": -0.3, "low": -0.5, "high": -0.1},
            "difference": chosen + 0.3,
            "low": chosen + 0.2,
            "high": chosen + 0.4,
            "more_than_random": used,
            "by_class": {},
            "divergence": {"chosen": 0.4, "random": 0.3},
        }

    right = {"untouched": 0.4, "0 chosen": 0.1, "0 random": 0.3, "2 chosen": 0.35, "2 random": 0.3}
    found = {
        "neurons": 50,
        "tokens": 200,
        "accuracy": right,
        "amounts": {"0": entry(-1.2, True), "2": entry(-0.3, False)},
    }
    return {"model": model, "task": task, "ablation": found, "reason": None}


def make_robustness(model: str, task: str, search: dict[str, Any]) -> dict[str, Any]:
    """Half of the subset is in every set, the others in one; as many neurons beside it are in one."""
    curve = search["curves"]["curves"][HEADLINE]
    found = {"model": model, "task": task, "headline": HEADLINE, "reason": curve["reason"]}
    if curve["n_minimal"] is None:
        return found
    neurons, top, k = (
        search["frozen"]["sets"][f"subset-{HEADLINE}"]["neurons"],
        top_score(model, task),
        curve["n_minimal"],
    )
    layers, width = MODELS[model]
    outside = [n for n in range(layers * width) if n not in set(neurons)][:k]
    half = k // 2
    judged = {"judge": top - 0.02, "difference": -0.02, "lower": -0.03, "baseline_lower": 0.1, "passes": False}
    own = judged | {"judge": top, "difference": 0.0, "lower": -0.005, "passes": True}
    return {
        **found,
        "metric": metric_of(task),
        "confidence": 0.95,
        "margin": 0.01,
        "size": k,
        "l1": 0.0,
        "l2": 0.1,
        "n_kept": layers * width,
        "reference": top,
        "judge": top,
        "members": {
            "reason": None,
            "judge": top,
            "gap": 1e-5,
            "neurons": neurons,
            "change": [-0.004] + [-0.001] * (k - 1),
            "low": [-0.006] + [-0.003] * (k - 1),
            "high": [-0.002] + [0.001] * (k - 1),
            "rise": [0.001] * k,
            "losses": 1,
            "undecided": k - 1,
            "gains": 0,
            "by_chance": 0.05 * k,
            "largest": {"neuron": neurons[0], "change": -0.004},
        },
        "again": {"reason": None, "jaccard": 0.7, "objective": 0.121, "objective_subset": 0.12, **judged},
        "halves": {
            "reason": None,
            "rows": [4000, 4001, 3900, 4101],
            "gap": 1e-4,
            "frequency": [1.0] * half + [0.25] * (k - half),
            "chosen": {"neurons": [*neurons, *outside], "times": [4] * half + [1] * (k - half) + [1] * len(outside)},
            "ever": k + len(outside),
            "ever_by_chance": 700.4,
            "jaccard": 0.29,
            "jaccard_all": 0.36,
            "jaccard_subset": 0.43,
            "chance": 0.05,
            "chance_by_layer": 0.1,
            "sets": {key: [value] * 4 for key, value in judged.items()},
            "passing": 0,
        },
        "disjoint": {
            "reason": None,
            "gap": 1e-4,
            "sets": [{"neurons": neurons, **own}, {"neurons": outside, **judged}],
            "passing": 1,
            "stopped": "failed",
        },
        "shuffled": {
            "reason": None, "gap": 1e-4, "train": 0.115, "judge": 0.089, "chance": 0.087, "p": 0.134328,
            "above_chance": False,
        },
    }  # fmt: skip


def make_minima(model: str, task: str, curves: dict[str, Any]) -> np.ndarray:
    """Tested sizes about the minimum; in one replicate of a hundred none passes."""
    rng = np.random.default_rng([len(model), len(task), 1])
    claimed = sorted((c for c in curves.values() if c.get("minima") is not None), key=lambda c: int(c["minima"]))
    minima = np.zeros((len(claimed), DRAWS), np.int32)
    for row, curve in zip(minima, claimed, strict=True):
        sizes = np.array(curve["sizes"])
        at = np.searchsorted(sizes, curve["n_minimal"]) + rng.integers(-2, 3, size=DRAWS)
        row[:] = np.where(rng.random(DRAWS) < 0.01, 0, sizes[np.clip(at, 0, len(sizes) - 1)])
    return minima


def make_labels(task: str) -> np.ndarray:
    return np.random.default_rng(1).integers(len(CLASSES[task]), size=TEST_ROWS)


def make_predictions(model: str, task: str, scores: dict[str, Any]) -> np.ndarray:
    """Labels of test, each predictor wrong as often as its score says."""
    labels, rng = make_labels(task), np.random.default_rng([len(model), len(task)])
    values = [scores["sets"][name][metric_of(task)] for name in scores["predictions"]]
    wrong = rng.random((len(values), TEST_ROWS)) > np.array(values)[:, None]
    return np.where(wrong, (labels + 1) % len(CLASSES[task]), labels).astype(np.int16)


def make_cost(model: str) -> dict[str, Any]:
    """A hundred of everything for the embedding, half as much for each block."""
    amounts = [100 + 50 * i for i in range(MODELS[model][0])]
    names = ("parameters", "bytes", "bytes_stored", "flops")
    layers = [{"layer": i, **dict.fromkeys(names, amount)} for i, amount in enumerate(amounts)]
    return {"window": 512, "layers": layers, "matrices_not_counted": 0}


@functools.cache
def collected() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        params, paths = make_params(), Paths("default", folder)
        write_build(params, paths)
        return collect.collect_rows(params, paths), collect.collect_cards(params, paths)


def make_all() -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """Rows, cards and facts of the made-up benchmark, for the test alone."""
    return *copy.deepcopy(collected()), benchmark_facts(make_params())


def _write(folder: Path, phase: str, name: str, value: Any) -> None:
    with Writer(folder, phase, {}) as out:
        out.json(name, value)


def is_twin(model: str) -> bool:
    return model.endswith("-untrained")


def top_score(model: str, task: str) -> float:
    _, _, best, bare, _ = LEVELS[task]
    english = 0.04 if model.startswith("minilm") else 0.0
    return (bare if is_twin(model) else best) - english


def metric_of(task: str) -> str:
    return "accuracy" if LEVELS[task][0] == 0.5 else "macro_f1"


def make_card(task: str) -> dict[str, Any]:
    labels = {c: 800 - 40 * i for i, c in enumerate(CLASSES[task])}
    split = {
        "rows": sum(labels.values()),
        "inputs": 1400,
        "files": 212,
        "characters": 70_000,
        "packages": {"nltk": 3000, "werkzeug": 2400, "mpmath": 2600},
        "labels": labels,
        "seen_rows": 4000,
    }
    return {
        "task": task,
        "kind": task,
        "unit": "pair" if task == "doc-match" else "token",
        "description": "The role of a name in a Python function: is it read, stored, called, a parameter, and so on.",
        "classes": CLASSES[task],
        "metric": metric_of(task),
        "scored_classes": list(range(len(labels)))[:10],
        "splits": dict.fromkeys(("train", "tune", "judge", "test"), split),
        "types": dict.fromkeys(("train", "tune", "judge", "test"), 900),
        "majority": {"class": CLASSES[task][0], "share": dict.fromkeys(("train", "tune", "judge", "test"), 0.31)},
        "licences": {"nltk": "Apache-2.0", "werkzeug": "BSD-3-Clause", "mpmath": None},
        "left_out": {"longer than 2000 characters": 1234, "does not parse": 3},
        "short": {"test": 40},
    }


def surface_of(task: str) -> str:
    return "tfidf-cosine" if task == "doc-match" else "char-ngrams"


def make_baselines(task: str) -> dict[str, Any]:
    low, surface, *_ = LEVELS[task]
    levels = {"majority": low, "lookup": (low + surface) / 2, surface_of(task): surface}
    entries = {
        n: {"tune": metrics(v), "judge": metrics(v), "penalty": None, "features": None} for n, v in levels.items()
    }
    return {
        "task": task,
        "metric": metric_of(task),
        "order": list(levels),
        "surface": surface_of(task),
        "surface_unseen": None,
        "baselines": entries,
    }


def metrics(value: float) -> dict[str, float]:
    return {"accuracy": value, "macro_f1": value, "matthews": value - 0.1}


def comparisons(model: str, task: str, shift: float = 0.0) -> dict[str, Any]:
    low, surface, _, _, _ = LEVELS[task]
    opponents = {"majority": low, "surface": surface}
    if not is_twin(model):
        opponents["untrained"] = top_score(f"{model}-untrained", task)
    found = {}
    for name, value in opponents.items():
        difference = top_score(model, task) + shift - value
        p = 0.001 if difference > 0.015 else 0.4
        found[name] = {"score": value, "difference": difference, "lower": difference - 0.012, "p": p, "p_holm": None}
    return found


def make_status(model: str, task: str) -> dict[str, Any]:
    found = comparisons(model, task)
    fails = {"majority": "at chance", "surface": "surface", "untrained": "untrained"}
    status = next((fails[n] for n, e in found.items() if e["p"] > 0.05), "untrained" if is_twin(model) else "supported")
    if not is_twin(model):
        for entry in found.values():
            entry["p_holm"] = min(8 * entry["p"], 1.0)
    token = task != "doc-match"
    sample = {
        "score": top_score(model, task),
        "rows": 10_000,
        "files": 300,
        "design_effect": 2.5,
        "effective_rows": 4000.0,
    }
    return {
        "status": status,
        "status_unseen": ("surface" if task == "token-classes" else status) if token else None,
        "control": is_twin(model),
        "reference": "prefix-04",
        "surface": surface_of(task),
        "surface_unseen": None,
        "twin": None if is_twin(model) else f"{model}-untrained",
        "comparisons": found,
        "comparisons_unseen": None,
        "sample": sample,
        "sample_unseen": None,
        "scored_classes": [0],
        "scored_classes_unseen": None,
        "notes": ["control row: an untrained model, never supported"] if is_twin(model) else [],
    }


def make_redundancy(model: str) -> dict[str, Any]:
    layers, width = MODELS[model]
    cka = [[round(math.exp(-abs(i - j) / 4) - 0.02 * (i != j), 4) for j in range(layers)] for i in range(layers)]
    cut = 0.9 if is_twin(model) else 0.6
    return {
        "rows": 4000,
        "kept": layers * width - 2,
        "constant": {"per_layer": [2] + [0] * (layers - 1)},
        "neighbours": {"nearest_other_layer": [0.4] * layers},
        "cka": {"unbiased": cka, "biased": cka, "left_out": {}},
        "thresholds": [
            {"threshold": t / 10, "clusters": 10, "share_left": round(1 - (t / 10) ** 1.5 * cut, 4)}
            for t in range(1, 10)
        ],
    }


def rise(sizes: list[int], low: float, high: float, bend: float, rng: np.random.Generator) -> list[float]:
    s = np.array(sizes, float)
    values = low + (high - low) * (1 - np.exp(-((s / bend) ** 0.8)) + rng.normal(0, 0.004, len(s)))
    return [round(float(v), 6) for v in values]


def make_probes(model: str, task: str) -> dict[str, Any]:
    layers, width = MODELS[model]
    top, low = top_score(model, task), LEVELS[task][0]
    rng = np.random.default_rng(layers)
    single = rise([i + 1 for i in range(layers)], (low + top) / 2, top - 0.02, 3, rng)
    prefix = rise([i + 1 for i in range(layers)], (low + top) / 2, top + 0.004, 2, rng)
    spans = {f"layer-{i:02d}": ([i, i], single[i]) for i in range(layers)}
    spans |= {f"prefix-{i:02d}": ([0, i], prefix[i]) for i in range(1, layers - 1)}
    spans = {"all": ([0, layers - 1], top), **spans}
    sets = {
        name: {
            "layers": span,
            "neurons": width,
            "l1": 0.0,
            "l2": 0.1,
            "gap": 1e-5,
            "tune": metrics(v),
            "judge": metrics(v),
            "tried": [],
        }
        for name, (span, v) in spans.items()
    }
    return {
        "order": list(sets),
        "sets": sets,
        "oracle": "all",
        "reference": "prefix-04",
        "layers": layers,
        "width": width,
        "kept": layers * width - 2,
        "constant_neurons": [2] + [0] * (layers - 1),
        "rankings": ["lca", "probeless"],
    }


def grid(n: int, ratio: float) -> list[int]:
    sizes = [1]
    while sizes[-1] < n:
        sizes.append(min(n, max(sizes[-1] + 1, math.floor(sizes[-1] * ratio))))
    return sizes


def make_search(model: str, task: str) -> dict[str, Any]:
    layers, width = MODELS[model]
    low, surface, _, _, bend = LEVELS[task]
    top = top_score(model, task)
    n = layers * width - 2
    rng = np.random.default_rng([len(model), sum(map(ord, task + model))])
    small = task == "doc-match"
    status = make_status(model, task)["status"]
    curves: dict[str, Any] = {}
    shapes = {
        "lca": (1, 1.2),
        "probeless": (2.2, 1.2),
        "random-0": (6, 2),
        "random-1": (6.5, 2),
        "random-2": (7, 2),
        "bottom": (14, 2),
        HEADLINE: (0.6, 1.2),
    }
    for name, (slower, ratio) in shapes.items():
        sizes = grid(n, ratio)
        judge = rise(sizes, low, top, bend * slower, rng)
        size = next((s for s, v in zip(sizes, judge, strict=True) if v > top - 0.008), n)
        walked, claimed = name in CONTENDERS, not small and status != "at chance"
        share = 0.85 if task == "token-classes" and model == "minilm" else 0.97
        curves[name] = {
            "kind": "search" if name == HEADLINE else "ranking" if walked else name.partition("-")[0],
            "sizes": sizes,
            "judge": judge,
            "tune": judge,
            "difference": [v - top for v in judge],
            "lower": [v - top - 0.004 for v in judge],
            "baseline_lower": [v - surface for v in judge],
            "passes": [s >= size for s in sizes],
            "predictions": sizes,
            "n_minimal": size if walked and claimed else None,
            "n_least": int(size * 0.8) if walked and claimed else None,
            "n_minimal_low": int(size * 0.7) if walked and claimed else None,
            "n_minimal_high": min(n, int(size * 1.9)) if walked and claimed else None,
            "replicates_without": 12 if task == "token-roles" and model == "minilm" else 0,
            "n_failing": size - 1,
            "n_every": size,
            "n_estimate": 120 if walked and small else None,
            "size": (size if claimed else 120 if small else None) if walked else None,
            "reason": None if claimed else "dev too small" if small else "not above the best baseline (surface)",
            "share_kept": share if claimed or small else None,
            "share_flag": share < 0.9 if claimed or small else None,
            "layers_used": [0, 2, 3, 4] if claimed or small else None,
        }
    walked = [HEADLINE] if is_twin(model) else list(CONTENDERS)
    for name in CONTENDERS:
        if name not in walked:
            del curves[name]
    with_minimum = [name for name in walked if curves[name]["n_minimal"] is not None]
    for name, curve in curves.items():
        curve["minima"] = with_minimum.index(name) if name in with_minimum else None
    draws = [curves[f"random-{i}"]["judge"] for i in range(3)]
    report = {
        "metric": metric_of(task),
        "n_neurons": layers * width,
        "n_kept": n,
        "columns_per_neuron": 2 if task == "doc-match" else 1,
        "n_layers": layers,
        "width": width,
        "margin": {"value": 0.01, "reason": "the smallest loss that users would notice"},
        "confidence": 0.95,
        "reference": {"set": "prefix-04", "curve": None, "neurons": 5 * width, "judge": top + 0.004},
        "weak_reference": None,
        "oracle": {"judge": top},
        "baseline": "surface",
        "baselines": {k: {"tune": v["score"], "judge": v["score"]} for k, v in comparisons(model, task).items()},
        "dev": {
            "too_small": small,
            "half_width": 0.0131 if small else 0.0034,
            "rows": 2000,
            "rows_needed": 13_728 if small else None,
        },
        "headline": HEADLINE,
        "best_ranking": HEADLINE,
        "mean_tune": {name: float(np.mean(curves[name]["tune"])) for name in walked},
        "curves": curves,
        "bound": make_bound(curves[HEADLINE]["sizes"], curves[HEADLINE]["n_minimal"]),
        "layers": make_layers(layers, small),
        "beats_random": {
            "rankings": {
                name: {"sizes": [1, 2], "difference": [0.1, 0.0], "lower": [0.05, -0.01], "random_suffices_from": 2}
                for name in walked
            },
            "sizes": [1, 2],
            "random_suffices_from": 2,
        },
        "draws": hashlib.sha256(f"judge of {task}".encode()).hexdigest(),
        "random": {
            "sizes": curves["random-0"]["sizes"],
            "tune": np.mean(draws, 0),
            "judge": np.mean(draws, 0),
            "judge_low": np.min(draws, 0),
            "judge_high": np.max(draws, 0),
        },
    }
    place = np.exp(-(((np.arange(layers) - layers * 0.45) / 2.0) ** 2))
    weight = np.repeat(place / place.sum() / width, width)
    order = rng.choice(layers * width, size=n, replace=False, p=weight)
    sets: dict[str, Any] = {
        "all": _frozen("oracle", None, None, range(n), top),
        "reference": _frozen("reference", None, None, range(n // 2), top),
    }
    for name in walked:
        size = curves[name]["size"]
        if size is not None:
            claimed = curves[name]["n_minimal"] is not None
            sets[f"subset-{name}"] = _frozen("subset", name, claimed, order[:size], top)
            sets |= {
                f"random-{i}-{name}": _frozen("random", name, claimed, range(size), top) | {"draw": i} for i in range(3)
            }
            sets[f"bottom-{name}"] = _frozen("bottom", name, claimed, order[-size:], top)
    return {
        "curves": report,
        "frozen": {
            "classes": CLASSES[task],
            "layers": layers,
            "width": width,
            "headline": HEADLINE,
            "best_ranking": HEADLINE,
            "sets": sets,
        },
    }


def make_bound(sizes: list[int], n_minimal: int | None) -> dict[str, Any] | None:
    """Found falls with the root of the size; certified is what 1.3 times as many neurons would have found."""
    if n_minimal is None:
        return None

    def objective(size: float) -> float:
        return 2.5 * math.exp(-math.sqrt(size) / 8) - 0.002

    n_bound = math.ceil(n_minimal / 1.3)
    return {
        "l1": 0.0,
        "l2": 0.1,
        "objective": objective(n_minimal),
        "n_bound": n_bound,
        "factor": n_minimal / n_bound,
        "sizes": sizes,
        "found": [objective(size) for size in sizes],
        "certified": [objective(1.3 * size) for size in sizes],
    }


def make_layers(layers: int, small: bool) -> dict[str, Any]:
    """All but two layers pass, from the bottom as from the top; no layer does alone."""
    count = max(layers - 2, 1)
    side = {
        "layers": None if small else count,
        "estimate": count if small else None,
        "reason": "dev too small" if small else None,
        "neurons": 100 * count,
        "score": 0.8,
        "lower": -0.005,
        "judge": [0.8] * layers,
        "lowers": [-0.02] * (count - 1) + [-0.005] * (layers - count + 1),
        "passes": [i + 1 >= count for i in range(layers)],
    }
    single = {"neurons": 100, "judge": 0.7, "lower": -0.1, "passes": False}
    return {"bottom": side, "top": side, "single": [{"layer": i, **single} for i in range(layers)]}


def _frozen(kind: str, ranking: str | None, claimed: bool | None, neurons: Any, top: float) -> dict[str, Any]:
    return {
        "kind": kind,
        "ranking": ranking,
        "draw": None,
        "claimed": claimed,
        "neurons": [int(v) for v in neurons],
        "judge": top - LOSS[kind],
    }


LOSS = {"oracle": 0.0, "reference": -0.003, "subset": 0.008, "random": 0.12, "bottom": 0.25}


def make_report(value: float, tokens: bool) -> dict[str, Any]:
    part = {"rows": 2000, "files": 90, "scored_classes": [0, 1], **metrics(value - 0.03)}
    return {
        **metrics(value),
        "low": value - 0.009,
        "high": value + 0.008,
        "seen": {**part, **metrics(value + 0.01)} if tokens else None,
        "unseen": part if tokens else None,
        "packages": {"nltk": part, "werkzeug": part, "mpmath": {**part, "macro_f1": None}},
    }


def make_scores(model: str, task: str, frozen: dict[str, Any]) -> dict[str, Any]:
    top, tokens, baselines = top_score(model, task) - 0.02, task != "doc-match", make_baselines(task)["baselines"]
    metric, status = metric_of(task), make_status(model, task)["status"]
    sets = {}
    for key, entry in frozen["sets"].items():
        loss = LOSS[entry["kind"]]
        sets[key] = {
            **{k: entry[k] for k in ("kind", "ranking", "draw", "claimed")},
            "neurons": len(entry["neurons"]),
            **make_report(top - loss, tokens),
            "difference": -loss,
            "lower": -loss - 0.004,
        }
    random = {}
    for ranking in CONTENDERS:
        draws = [e for e in sets.values() if e["kind"] == "random" and e["ranking"] == ranking]
        if draws:
            values = metrics(draws[0][metric])
            random[ranking] = {"neurons": 1, "draws": 3, **values, "low": draws[0][metric], "high": draws[0][metric]}
    own = {
        "test_status": status,
        "test_status_unseen": None,
        "comparisons_unseen": None,
        "sample": None,
        "sample_unseen": None,
    }
    return {
        "model": model,
        "task": task,
        "metric": metric,
        "rows": 8000,
        "files": 210,
        "resampled": "files",
        "packages": {"nltk": 8000},
        "sets": sets,
        "random": random,
        "baselines": {n: make_report(e["tune"][metric], tokens) for n, e in baselines.items()},
        "classes": {
            name: {label: {"rows": 400, "precision": 0.75, "recall": 0.6, "f1": 2 / 3} for label in CLASSES[task]}
            for name in ("oracle", "reference", "subset", "surface")
        },
        "surface": surface_of(task),
        "status": status,
        "status_unseen": None,
        **own,
        "untrained": None if is_twin(model) else make_report(top_score(f"{model}-untrained", task), tokens),
        "comparisons": comparisons(model, task, -0.002),
        "share_kept": {HEADLINE: 0.95} if f"subset-{HEADLINE}" in sets else {},
        "selectivity": make_selectivity(task),
        "confirmed": True if status == "supported" else None,
        "confirmed_status": True if status == "supported" else None,
        "confirmed_subset": True if status == "supported" and task != "doc-match" else None,
        "predictions": list(sets),
        "draws": hashlib.sha256(f"test of {task}".encode()).hexdigest(),
    }


def make_agreement() -> dict[str, Any]:
    return {
        "rankings": ["lca", "probeless"],
        "sizes": [10, 100],
        "sizes_left_out": [],
        "overlap": {"10": [[1, 0.2], [0.2, 1]], "100": [[1, 0.4], [0.4, 1]]},
        "avg_overlap": [[1, 0.3], [0.3, 1]],
        "mean_overlap": {"lca": 0.3, "probeless": 0.3},
        "neuron_vote": {"lca": 0.35, "probeless": 0.33},
        "chance": {"overlap": {"10": 0.01, "100": 0.05}, "avg_overlap": 0.03},
        "consensus": list(range(100)),
    }


def make_description_length(model: str) -> dict[str, Any]:
    bits = 2.5 if is_twin(model) else 0.75
    return {
        "rows": 8000,
        "uniform_bits": 8000 * 3.0,
        "bits": 8000 * bits,
        "bits_per_row": bits,
        "compression": 3.0 / bits,
        "shuffled_bits": 8000 * 2.6,
        "shuffled_compression": 3.0 / 2.6,
        "blocks": [],
    }


def make_selectivity(task: str) -> dict[str, Any] | None:
    """Of tokens; a pair has no types."""
    if task == "doc-match":
        return None
    return {
        "rows": 4000,
        "metric": "accuracy",
        "task": 0.9,
        "control": [0.6, 0.62],
        "control_mean": 0.61,
        "selectivity": 0.29,
        "low": 0.27,
        "high": 0.31,
        "control_majority": 0.4,
    }


def named(rank: int) -> bool:
    """Whether the neuron of this rank is beyond chance: every fourth is not."""
    return rank % 4 != 3


def make_concepts(model: str, task: str, frozen: dict[str, Any]) -> dict[str, Any]:
    chosen = frozen["sets"].get(f"subset-{HEADLINE}", {"neurons": []})["neurons"]
    width = frozen["width"]
    neurons = []
    for rank, neuron in enumerate(chosen[:50]):
        best = CLASSES[task][rank % len(CLASSES[task])]
        types = [TYPES[(rank + i) % len(TYPES)] for i in range(7)] if task != "doc-match" else []
        value = 0.93 - 0.006 * rank
        neurons.append(
            {
                "name": f"{model}/{neuron // width}/{neuron % width}",
                "neuron": neuron,
                "layer": neuron // width,
                "unit": neuron % width,
                "rank": rank + 1,
                "auroc": dict.fromkeys(CLASSES[task], 0.5) | {best: value},
                "auroc_unseen": {best: value - 0.05} if types else None,
                "best_class": best,
                "best_auroc": value,
                "direction": 1,
                "score": value - 0.3,
                "null": {
                    "score": value - 0.35,
                    "auroc": value - 0.05,
                    "expected": 0.02,
                    "sd": 0.04,
                    "z": (value - 0.55) / 0.04,
                    "p_max": 0.005 if named(rank) else 0.31,
                    "q": 0.001 if named(rank) else 0.12,
                    "significant": named(rank),
                },
                "concept": best if named(rank) else None,
                "purity": {"top": 100, "share": 0.64, "chance": 0.21, "types": 37} if types else None,
                "types": [{"type": t, "count": 9, "mean_z": 2.0, "mean_abs_z": 2.0} for t in types],
            }
        )
    return {
        "model": model,
        "task": task,
        "unit": "token",
        "feature": None,
        "subset": f"subset-{HEADLINE}" if chosen else None,
        "chosen": len(chosen),
        "described": len(neurons),
        "chosen_per_layer": [],
        "best_class_counts": {},
        "permutations": 200,
        "unit_permuted": "functions" if task == "doc-match" else "types",
        "level": 0.05,
        "tested": {c: "all" if task == "doc-match" or c == CLASSES[task][-1] else "unseen" for c in CLASSES[task]},
        "significant": sum(entry["concept"] is not None for entry in neurons),
        "null_max_quantile": 3.4,
        "metric": "correlation",
        "neurons": neurons,
    }
