"""Benchmarks whose answer is known: a label made from a few carriers, among noise neurons and copies of the carriers.

:func:`build` writes the tasks and activations of a model and of its untrained twin as real artifacts, so that the real
rules run on them. Used by tests/unit/test_planted.py and benchmarks/planted_truth.py.

The label is the class with the largest sum of its own carriers (two classes: whether the sum of all is above 0, or
above the quantile that makes them unequal), with noise added to each sum. Without classes the target is a number: the
sum of all carriers, with noise. Carriers are independent, of mean 0 and variance 1 and equal in weight, so that each is
needed as much as every other; where they are normal a linear probe on them is the best rule there is. A copy is its
carrier with noise of its own: it tells nothing that the carrier does not. The twin has noise everywhere.
"""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from neurosieve.artifacts import Paths, Writer, read_json, read_npy
from neurosieve.config import Params, load_params
from neurosieve.probes import decide_status, fit_baselines, fit_controls, fit_probes, intervals, metrics
from neurosieve.probes.solver import Probe, fit
from neurosieve.redundancy import measure_redundancy
from neurosieve.subsets import score_test, search_subsets

ROOT = Path(__file__).parents[1]
SPLITS = ("train", "tune", "judge", "test")
MODEL, TWIN = "planted", "planted-untrained"
TYPES = 400  # token types; one in six of them does not occur in train
RANKINGS = ["lca", "greedy", "probeless"]
CONSTANT = 3  # units of the first layer that never vary, as the first token's vector at layer 0 does
SPARSE = [{"l1": l1, "l2": 0.001} for l1 in (0.03, 0.015, 0.007, 0.003)]
MANY = 200_000  # rows on which a probe is as good as one can be, and as many on which it is scored
GROUPS = 400  # of those rows, drawn as files are


@dataclass(frozen=True)
class Setting:
    """What is planted. ``classes``: 0 for a number. ``noise``: variance of the label's noise relative to that of the
    sum it is added to; ``correlation``: of a copy with its carrier; ``rows`` of train, tune, judge and test, with 40 to
    100 of them a file. ``share``: of the first of two classes; where it is not a half the metric is macro-F1.
    ``heavy``: which values are of Student's t with four degrees of freedom (scaled to variance 1) instead of normal:
    "noise" of the neurons that are nothing else, "all" of the carriers too."""

    carriers: int
    copies: int
    noise: float
    correlation: float = 0.97
    classes: int = 2
    layers: int = 4
    width: int = 375
    rows: tuple[int, int, int, int] = (2500, 1500, 6000, 3000)
    margin: float = 0.02
    unit: str = "token"  # or "sequence", where a text has no type and no control task, or "pair", of it and the next
    share: float = 0.5
    heavy: str = ""

    @property
    def neurons(self) -> int:
        return self.layers * self.width

    @property
    def metric(self) -> str:
        return "r2" if not self.classes else "accuracy" if self.share == 0.5 else "macro_f1"

    def accuracy(self, carriers: int | None = None) -> float:
        """The best score (accuracy, macro-F1 or R2) there is with so many of the carriers (all by default).

        A number: of its variance k (1 + noise) the carriers explain one each. Two equal classes: the sum of j of k
        normal carriers has the correlation r = sqrt(j / (k (1 + noise))) with what the label is the sign of, and two
        normal variables have the same sign with probability 1/2 + arcsin(r)/pi (Sheppard 1899). Else: of a probe fitted
        on many rows and scored on as many others.
        """
        j = self.carriers if carriers is None else carriers
        if not self.classes:
            return j / (self.carriers * (1 + self.noise))
        if self.classes == 2 and self.share == 0.5 and self.heavy != "all":
            return 0.5 + math.asin(math.sqrt(j / (self.carriers * (1 + self.noise)))) / math.pi
        return fitted_accuracy(self, j)

    def cost(self) -> float:
        """Loss of the best accuracy from leaving out one carrier and its copies: the same for each, by symmetry."""
        return self.accuracy() - self.accuracy(self.carriers - 1)

    def fewest(self) -> int:
        """The fewest carriers that lose less than the margin."""
        return self._least(lambda j: self.accuracy() - self.accuracy(j))

    def fewest_claimed(self) -> int:
        """The fewest that lose so little that the lower bound of the difference on judge is above -margin too, in the
        middle of all draws of judge."""
        return self._least(lambda j: self.accuracy() - self.accuracy(j) + half_width(self, j))

    def _least(self, loss: Callable[[int], float]) -> int:
        """The smallest number whose loss, which falls with the number, is below the margin; by bisection."""
        return bisect.bisect_left(range(1, self.carriers), True, key=lambda j: loss(j) < self.margin) + 1

    def draw(self, rng: np.random.Generator, rows: int, neurons: int, *, heavy: bool) -> np.ndarray:
        """float32 (rows, neurons) values of mean 0 and variance 1."""
        if heavy:
            return (rng.standard_t(4, (rows, neurons)) / math.sqrt(2)).astype(np.float32)
        return rng.standard_normal((rows, neurons), np.float32)

    def label(self, carriers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Classes int64 (rows,), or numbers of another scale and offset, from the carriers' values (rows, carriers)."""
        n = len(carriers)
        if self.classes in (metrics.NUMBER, 2):
            sums = carriers.sum(1) + math.sqrt(self.noise * self.carriers) * rng.standard_normal(n)
            if not self.classes:
                return 40 + 3 * sums
            if self.share != 0.5:  # nearly so where carriers are many or normal
                sums = sums - NormalDist(0, math.sqrt(self.carriers * (1 + self.noise))).inv_cdf(self.share)
            return (sums > 0).astype(int)
        each = self.carriers / self.classes
        if each != int(each):
            raise ValueError(f"{self.carriers} carriers cannot be shared equally by {self.classes} classes")
        sums = carriers.reshape(n, int(each), self.classes).sum(1)
        return (sums + math.sqrt(self.noise * each) * rng.standard_normal(sums.shape)).argmax(axis=1)


@functools.cache
def many(setting: Setting, rows: int = MANY) -> tuple[np.ndarray, np.ndarray]:
    """Carriers float32 (2 * rows, carriers) and labels of many rows, the same for every number of carriers."""
    rng = np.random.default_rng([17, setting.carriers])
    X = setting.draw(rng, 2 * rows, setting.carriers, heavy=setting.heavy == "all")
    return X, setting.label(X, rng)


@functools.cache
def fitted(setting: Setting, carriers: int, rows: int = MANY) -> np.ndarray:
    """Predictions (rows,) of a probe on the first ``carriers`` carriers and nothing else, fitted on so many rows that
    it is the best linear rule, of as many fresh ones."""
    X, y = many(setting, rows)
    probe: Probe = fit(X[:rows, :carriers], y[:rows], setting.classes, 0.0, 1e-5, gap=1e-5)
    return probe.predict(X[rows:, :carriers])


def _counts(setting: Setting, carriers: int, rows: int) -> tuple[np.ndarray, metrics.Metric]:
    """What the metric of those predictions is computed from, by group of rows; and the metric."""
    y, groups = many(setting, rows)[1][rows:], np.arange(rows) % GROUPS
    card = {"metric": setting.metric, "classes": list(range(setting.classes))}
    C = metrics.counts_by_file(y, fitted(setting, carriers, rows), groups, setting.classes)
    return C, metrics.primary(card | {"scored_classes": card["classes"]})


def fitted_accuracy(setting: Setting, carriers: int, rows: int = MANY) -> float:
    """Score of :func:`fitted`."""
    C, score = _counts(setting, carriers, rows)
    return float(score(C.sum(0)))


@functools.cache
def half_width(setting: Setting, carriers: int, rows: int = MANY) -> float:
    """How far the one-sided bound lies below the difference of so many carriers to all of them, on as many rows as
    judge has: that of :func:`fitted` on its own rows, widened."""
    bootstrap = intervals.FileBootstrap(np.arange(rows) % GROUPS, 1000, 5)
    found = []
    for j in (carriers, setting.carriers):
        C, score = _counts(setting, j, rows)
        found.append(bootstrap.replicates(C, score))
    spread = float(np.std(found[0] - found[1]))
    return NormalDist().inv_cdf(0.95) * spread * math.sqrt(rows / setting.rows[2])


@dataclass(frozen=True)
class Truth:
    """Where things were planted: global indices. ``groups``: a carrier and its copies each, the carrier first."""

    groups: list[np.ndarray]
    constant: np.ndarray
    setting: Setting = field(repr=False)

    @property
    def planted(self) -> set[int]:
        """Carriers and copies."""
        return {int(n) for group in self.groups for n in group}

    def covered(self, neurons: list[int]) -> int:
        """Carriers of which the neuron itself or a copy is among ``neurons``."""
        return sum(bool(set(group.tolist()) & set(neurons)) for group in self.groups)

    def partition(self) -> np.ndarray:
        """(neurons,) the true cluster of every neuron: a carrier with its copies, each other neuron by itself."""
        labels = np.arange(self.setting.neurons)
        for group in self.groups:
            labels[group] = group.min()
        return labels


def make_params(
    setting: Setting,
    tasks: list[str],
    seed: int,
    penalties: list[dict[str, float]] | None = None,
    **changes: dict[str, Any],
) -> Params:
    """Params of a planted benchmark: the default ones, but for its models and tasks, the margin, the rankings, quick
    baselines, ``penalties`` where given, and ``changes`` (block -> {key: value})."""
    raw = load_params(ROOT / "params.yaml").model_dump(mode="json")
    rows = dict(zip(SPLITS, setting.rows, strict=True))
    raw |= {"benchmark": "planted", "seed": seed, "run": raw["run"] | {"models": [MODEL, TWIN], "tasks": tasks}}
    raw["models"] = {MODEL: {"path": "."}, TWIN: {"untrained": MODEL}}
    raw["prepare"]["tasks"] = {
        t: {"kind": "token-roles", "corpus": "wheels", "metric": setting.metric, "rows": rows} for t in tasks
    }
    if penalties is not None:
        raw["probes"]["penalties"] = penalties
    raw["probes"] |= {"baseline_penalties": [{"l1": 0.0, "l2": 0.01}], "baseline_ngrams": [1, 1], "rankings": RANKINGS}
    raw["subsets"] |= {"rankings": RANKINGS, "transfer": False, "robustness": None}
    reason = "at most a third of what leaving out one carrier costs, but for the settings that say otherwise"
    raw["subsets"]["margins"] = {"default": {"value": setting.margin, "reason": reason}}
    for block, values in changes.items():
        raw[block] |= values
    return Params.model_validate(raw, strict=False)


def build(paths: Paths, setting: Setting, task: str, seed: int, labels: str = "carriers") -> Truth:
    """Write prepare/tasks/<task> and the activations of the model and of its twin.

    ``labels``: "carriers"; "permuted", the same in random order; "lookup", of the token's type alone, which then is
    what the carriers tell too (their sum has the label's sign, and noise as above).
    """
    rng = np.random.default_rng([seed, 31])
    places = rng.permutation(setting.neurons)
    constant = places[places < setting.width][:CONSTANT]
    free = places[~np.isin(places, constant)]
    size = setting.copies + 1
    groups = [free[i * size : (i + 1) * size] for i in range(setting.carriers)]
    # every neuron has a scale and an offset of its own: a probe that is not standardised would be misled by them
    scale = np.exp(rng.standard_normal(setting.neurons)).astype(np.float32)
    offset = (3 * scale * rng.standard_normal(setting.neurons)).astype(np.float32)
    of_type = rng.integers(0, setting.classes or 2, TYPES)
    for split, rows in zip(SPLITS, setting.rows, strict=True):
        X = setting.draw(rng, rows, setting.neurons, heavy=bool(setting.heavy))
        carriers = X[:, [g[0] for g in groups]]
        if setting.heavy == "noise":
            carriers = setting.draw(rng, rows, setting.carriers, heavy=False)
        types = rng.integers(0, TYPES * 5 // 6 if split == "train" else TYPES, rows)
        y = setting.label(carriers, rng)
        if labels == "permuted":
            y = rng.permutation(y)
        elif labels == "lookup":
            # flip whole rows of carriers where the label they give is not the type's: their distribution stays
            if setting.classes != 2:
                raise ValueError("labels of the type alone are made for two classes")
            carriers[y != of_type[types]] *= -1
            y = of_type[types]
        for i, (first, *rest) in enumerate(groups):
            X[:, first] = carriers[:, i]
            for neuron in rest:
                X[:, neuron] *= math.sqrt(1 - setting.correlation**2)
                X[:, neuron] += setting.correlation * carriers[:, i]
        X *= scale
        X += offset
        X[:, constant] = offset[constant]
        _write_split(paths, task, split, y, types, setting.unit)
        _write_vectors(paths, MODEL, task, split, X, setting)
        twin = setting.draw(rng, rows, setting.neurons, heavy=bool(setting.heavy))
        _write_vectors(paths, TWIN, task, split, twin, setting)
    classes = [f"class-{i}" for i in range(setting.classes)]
    card = {"task": task, "unit": setting.unit, "classes": classes, "metric": setting.metric}
    with Writer(paths.task(task) / "card", "prepare", {}) as out:
        out.json("card.json", card | {"scored_classes": list(range(setting.classes))})
    return Truth(groups, constant, setting)


def _write_split(paths: Paths, task: str, split: str, y: np.ndarray, types: np.ndarray, unit: str) -> None:
    """One token (or no part) of each input; its text says no more than its type. Four packages of 25 files, fewer
    where rows are few."""
    files, seen = min(100, len(y) // 40), TYPES * 5 // 6
    target = "target" if y.dtype.kind == "f" else "label"
    texts = [f"x = t{t}" for t in types.tolist()]
    with Writer(paths.task(task) / split, "prepare", {}) as out:
        out.jsonl(
            "inputs.jsonl",
            [
                {"id": i, "text": text, "file": f"{split}/{i % files:03d}.py", "package": f"{split}-{i % files % 4}",
                 "name": f"f{i}"}
                for i, text in enumerate(texts)
            ],
        )  # fmt: skip
        out.jsonl(
            "rows.jsonl",
            [
                {"input": i, target: label}
                | ({"start": 4, "end": len(text), "type": text[4:], "seen": t < seen} if unit == "token" else {})
                | ({"input2": (i + 1) % len(texts)} if unit == "pair" else {})
                for i, (text, label, t) in enumerate(zip(texts, y.tolist(), types.tolist(), strict=True))
            ],
        )  # fmt: skip


def _write_vectors(paths: Paths, model: str, task: str, split: str, X: np.ndarray, setting: Setting) -> None:
    settings = {"activations": {"subword": "last", "pooling": "mean", "window": 64, "batch_tokens": 512}}
    with Writer(paths.activations(model, task, split), "activations", settings) as out:
        for layer in range(setting.layers):
            out.npy(f"layer_{layer:02d}.npy", X[:, layer * setting.width : (layer + 1) * setting.width])
        cost = [
            dict.fromkeys(("parameters", "bytes", "bytes_stored", "flops"), 100 * (i + 1))
            for i in range(setting.layers)
        ]
        out.facts = {
            "layers": setting.layers,
            "width": setting.width,
            "vectors": len(X),
            "cost": {"window": 64, "layers": cost},
        }
        out.facts |= {"model_sha256": "0" * 64, "config_sha256": "1" * 64}


def run_probes(params: Params, paths: Paths, task: str) -> str:
    """Baselines, the probes of both models, and the row's status."""
    fit_baselines(params, paths, task=task)
    for model in params.run.models:
        fit_probes(params, paths, model=model, task=task)
    decide_status(params, paths)
    return str(read_json(paths.status() / "status.json")["rows"][f"{MODEL}/{task}"]["status"])


def run_subsets(params: Params, paths: Paths, task: str) -> None:
    """Clusters, the search of both models, and the scores on test."""
    measure_redundancy(params, paths, model=MODEL, task=task)
    search_subsets(params, paths, model=MODEL, task=task)
    # of the twin the reference alone is scored on test, so its curves may be few
    few = {
        "rankings": ["lca"],
        "searches": [],
        "headline": "lca",
        "pipeline": None,
        "random_draws": 2,
        "half_draws": 1,
        "ratio": 1.2,
    }
    light = params.model_copy(update={"subsets": params.subsets.model_copy(update=few)})
    search_subsets(light, paths, model=TWIN, task=task)
    fit_controls(params, paths, model=MODEL, task=task)
    score_test(params, paths, model=MODEL, task=task)


def rand_index(params: Params, paths: Paths, truth: Truth, task: str, threshold: float) -> float:
    """Adjusted Rand index of the clusters at a threshold against what was planted, constant ones left out."""
    labels = read_npy(paths.redundancy(MODEL, task) / "clusters.npy")[params.redundancy.thresholds.index(threshold)]
    if not np.array_equal(np.flatnonzero(labels < 0), np.sort(truth.constant)):
        raise AssertionError(f"left out {np.flatnonzero(labels < 0)}, constant are {np.sort(truth.constant)}")
    kept = labels >= 0
    return float(adjusted_rand_score(truth.partition()[kept], labels[kept]))


def searched(params: Params, paths: Paths, truth: Truth, task: str) -> dict[str, Any]:
    """What the search found, beside what was planted.

    "dev_too_small", "half_width", "reference" and "layer_reference" (judge), "weak": whether the reference is,
    "curves": {name: {"n_minimal", "least": fewest that are not ruled out, "low", "high", "reason", "size", "planted":
    share of the chosen neurons that are carriers or copies, "covered": carriers among them, themselves or by a copy}}.
    """
    found = read_json(paths.search(MODEL, task) / "curves.json")
    frozen = read_json(paths.search(MODEL, task) / "frozen.json")["sets"]
    curves = {}
    for name in [n for n in (*params.subsets.contenders, "pipeline") if n in found["curves"]]:
        curve = found["curves"][name]
        chosen = frozen[f"subset-{name}"]["neurons"] if curve["size"] else []
        curves[name] = {
            "n_minimal": curve["n_minimal"],
            "least": curve["n_least"],
            "low": curve["n_minimal_low"],
            "high": curve["n_minimal_high"],
            "reason": curve["reason"],
            "size": curve["size"],
            "planted": sum(n in truth.planted for n in chosen) / len(chosen) if chosen else None,
            "covered": truth.covered(chosen),
        }
    return {
        "dev_too_small": found["dev"]["too_small"],
        "half_width": found["dev"]["half_width"],
        "reference": found["reference"]["judge"],
        "layer_reference": found["layer_reference"]["judge"],
        "weak": found["weak_reference"] is not None,
        "curves": curves,
    }


def measure(params: Params, paths: Paths, truth: Truth, task: str) -> dict[str, Any]:
    """What :func:`searched` says, and of test "status", "test_status", "confirmed"; "test" of every curve; "random":
    {name: mean test score of random neurons of the same number}, for the curves that have such controls. Scores are of
    the setting's metric."""
    metric = truth.setting.metric
    scores = read_json(paths.scores(MODEL, task) / "scores.json")
    found = searched(params, paths, truth, task)
    for name, curve in found["curves"].items():
        curve["test"] = scores["sets"][f"subset-{name}"][metric] if curve["size"] else None
    found |= {key: scores[key] for key in ("status", "test_status", "confirmed")}
    return found | {"random": {name: entry[metric] for name, entry in scores["random"].items()}}
