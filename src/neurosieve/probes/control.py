"""How much of a probe's score is the probe's own memory: control tasks and online description length (METHOD 3.1).

Reads: prepare/tasks/<task>/{train,card}, activations/<model>/<task>/train, probes/models/<model>/<task> (the penalty of
the oracle). Writes probes/controls/<model>/<task>:

controls.json         {"model", "task", "unit", "classes", "l1", "l2", "control": null but for tokens, else {"seeds",
                      "rows", "types", "counts": train rows by class, "fits": per seed {"majority": most frequent class
                      of the control labels of train, "majority_share", "train_accuracy", "objective", "gap",
                      "iterations"}}, "description_length": see :func:`description_length`}. Where a number is
                      predicted "counts" is null, a fit has "mean" of the control numbers of train and "train_r2" in
                      the place of the first three, and "description_length" is null, with "reason"
types.jsonl           tokens only: {"type", "labels": one per seed}, the types of train, sorted
controls.safetensors  tokens only: weights float32 (seeds, columns, K'), intercept (seeds, K'), mean and scale
                      (columns,), neurons int32 (kept,): scores = ((x - mean) * scale) @ weights[i] + intercept[i]

Control task (Hewitt and Liang 2019): every token type has one random class, drawn from the class distribution of the
train rows (or the number of a random train row); the probe of all neurons is fitted on these labels with the oracle's
penalty. What it scores on test tokens of types that train has comes from knowing the type by heart; the task's score on
the same tokens minus it is the selectivity, which score_test computes. A sequence or a pair is a new type each, so
there is none.
"""

from __future__ import annotations

import hashlib
import logging
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import qr

from neurosieve.artifacts import Paths, iter_jsonl, read_json
from neurosieve.config import Params
from neurosieve.flow import writer
from neurosieve.numerics import add
from neurosieve.probes.features import layout, standardize_train
from neurosieve.probes.metrics import NUMBER, report
from neurosieve.probes.solver import ABSENT, Probe, fitting, gram_of, together

log = logging.getLogger(__name__)

FLOOR = 0.01  # share of the uniform distribution in every code: a class not seen so far costs log2(K / FLOOR) bits


def control_labels(types: Sequence[str], counts: np.ndarray, seed: int, task: str, control: int) -> np.ndarray:
    """Control classes, int64 (types,): a pure function of (seed, task, control, type), also for types of other splits.

    ``counts`` (K,) are the train rows by class: the sha256 of the name draws one train row, whose class is taken.
    """
    ends = np.cumsum(counts)
    return np.searchsorted(ends, _train_rows(types, int(ends[-1]), seed, task, control), side="right").astype(np.int64)


def control_numbers(types: Sequence[str], targets: np.ndarray, seed: int, task: str, control: int) -> np.ndarray:
    """The same for numbers, float64 (types,): the target of the train row that is drawn, rows by rising target."""
    return np.sort(targets)[_train_rows(types, len(targets), seed, task, control)]


def _train_rows(types: Sequence[str], rows: int, seed: int, task: str, control: int) -> list[int]:
    draws = (
        int.from_bytes(hashlib.sha256(f"{seed}/{task}/{control}/{t}".encode("utf-8", "surrogatepass")).digest()[:8])
        for t in types
    )
    return [draw * rows >> 64 for draw in draws]


def file_blocks(files: np.ndarray, shares: Sequence[float], seed: int | Sequence[int]) -> tuple[np.ndarray, list[int]]:
    """Order of the rows and the ends of the blocks in it, for an online code.

    The files come in random order, the rows of a file together; a block ends with the first file that reaches its share
    of the rows. Shares that end with the same file make one block, so none is empty.
    """
    codes, at = np.unique(np.asarray(files), return_inverse=True)
    place = np.random.default_rng(seed).permutation(codes.size)[at]
    order = np.argsort(place, kind="stable")
    file_ends = np.cumsum(np.bincount(place))
    wanted = [file_ends[np.searchsorted(file_ends, min(round(share * at.size), at.size))] for share in shares]
    return order, sorted({int(end) for end in wanted})


def code_bits(probe: Probe, X: np.ndarray, y: np.ndarray, n_classes: int) -> float:
    """Bits to tell the classes y of rows X under (1 - FLOOR) p + FLOOR / K, with p of the probe, in float64."""
    A = probe.scores(X).astype(np.float64)
    if A.shape[1] == 1:
        A = np.hstack([np.zeros_like(A), A])
    A -= A.max(axis=1, keepdims=True)
    p = np.exp(A[np.arange(len(y)), y]) / np.exp(A).sum(axis=1)
    return float(-np.log2((1 - FLOOR) * p + FLOOR / n_classes).sum())


def description_length(
    X: np.ndarray,
    y: np.ndarray,
    files: np.ndarray,
    n_classes: int,
    l1: float,
    l2: float,
    shares: Sequence[float],
    seed: Sequence[int],
    gap: float = 1e-4,
    max_iterations: int = 2000,
) -> dict[str, Any]:
    """Online code of the train labels (Voita and Titov 2020, section 3.2), and of the same labels shuffled over rows.

    The first block is sent at log2 K bits a row, every later one under the probe fitted on the blocks before it; a
    block before which there are rows of one class only is sent uniformly too. The penalty is a prior on the weights
    and does not change as rows come in: l1 and l2 at all n rows, so n/m times as much beside the mean loss of m rows.

    Parameters
    ----------
    X : float32 (rows, columns), standardised; y : int (rows,); files : (rows,) file codes.
    shares : of the rows, ascending, the last one 1: where the blocks end (:func:`file_blocks`).

    Returns
    -------
    "rows", "uniform_bits" (rows * log2 K), "bits", "bits_per_row", "compression" (uniform / bits), "shuffled_bits",
    "shuffled_compression", "floor" and "blocks": [{"train_rows", "rows", "bits", "shuffled_bits"}]. SolverError as in
    solver.fit.
    """
    order, ends = file_blocks(files, shares, seed)
    X, y, n = X[order], y[order], len(y)
    codes = {"bits": y, "shuffled_bits": np.random.default_rng([*seed, 1]).permutation(y)}
    uniform = float(np.log2(n_classes))
    blocks: list[dict[str, Any]] = []
    last: dict[str, Probe] = {}
    for begin, end in zip([0, *ends[:-1]], ends, strict=True):
        block: dict[str, Any] = {"train_rows": begin, "rows": end - begin}
        fittable = {name: labels for name, labels in codes.items() if np.unique(labels[:begin]).size > 1}
        block |= dict.fromkeys(codes, (end - begin) * uniform)
        if fittable:
            reduced = _RowSpace(X[:begin], l1)
            known = {name: labels[:begin] for name, labels in fittable.items()}
            last |= reduced.fit(known, n_classes, l1, l2, n, gap, max_iterations, last)
        for name, labels in fittable.items():
            block[name] = code_bits(last[name], X[begin:end], labels[begin:end], n_classes)
        blocks.append(block)
    bits, shuffled = (add(float(block[name]) for block in blocks) for name in codes)
    return {
        "rows": n,
        "uniform_bits": n * uniform,
        "bits": bits,
        "bits_per_row": bits / n,
        "compression": n * uniform / bits,
        "shuffled_bits": shuffled,
        "shuffled_compression": n * uniform / shuffled,
        "floor": FLOOR,
        "blocks": blocks,
    }


class _RowSpace:
    """Fits on few rows of many columns. Without l1 the weights lie in the span of the rows (representer theorem), so
    X is written in an orthonormal basis of it, in which penalty and gap are what they were."""

    def __init__(self, X: np.ndarray, l1: float) -> None:
        self.basis: np.ndarray | None = None
        if l1 == 0 and 2 * X.shape[0] <= X.shape[1]:  # with more rows the basis costs as much as it saves
            self.basis = np.ascontiguousarray(qr(X.T, mode="economic", check_finite=False)[0])
        self.X = X if self.basis is None else X @ self.basis
        self.cache = gram_of(self.X) if l1 == 0 else None

    def fit(
        self,
        labels: Mapping[str, np.ndarray],
        n_classes: int,
        l1: float,
        l2: float,
        n: int,
        gap: float,
        limit: int,
        warm: Mapping[str, Probe],
    ) -> dict[str, Probe]:
        """Probes of each of the ``labels`` on all columns with the penalties l1 and l2 at n rows, started from those of
        fewer rows."""
        factor = n / len(self.X)
        fits = {
            name: fitting(
                self.X, y, n_classes, factor * l1, factor * l2, gap, limit, self._start(warm.get(name)), self.cache
            )
            for name, y in labels.items()
        }
        every = slice(0, self.X.shape[1])
        found = together(self.X, [(every, fits_of) for fits_of in fits.values()])
        return {
            name: probe if self.basis is None else replace(probe, weights=self.basis @ probe.weights)
            for name, probe in zip(fits, found, strict=True)
        }

    def _start(self, warm: Probe | None) -> Probe | None:
        if warm is None:
            return None
        known = warm.intercept > ABSENT
        low = warm.intercept[known].min() if known.any() else 0.0
        weights = warm.weights if self.basis is None else self.basis.T @ warm.weights
        return replace(warm, weights=weights, intercept=np.where(known, warm.intercept, low))


def _of_train(predicted: np.ndarray, own: np.ndarray, n_classes: int) -> dict[str, Any]:
    """What a control probe does on the control labels of train."""
    if n_classes == NUMBER:
        return {"mean": float(own.mean()), "train_r2": report(own, predicted, n_classes, [])["r2"]}
    of_class = np.bincount(own, minlength=n_classes)
    return {
        "majority": int(of_class.argmax()),
        "majority_share": float(of_class.max() / len(own)),
        "train_accuracy": float((predicted == own).mean()),
    }


def _constant(columns: int, label: float, n_classes: int, l1: float, l2: float) -> Probe:
    """The probe of labels that are all the same, as few types may happen to draw them."""
    if n_classes == NUMBER:
        weights, intercept = np.zeros((columns, 1), np.float32), np.array([label], np.float32)
        return Probe(weights, intercept, 0.0, 0, 0.0, l1, l2, number=True)
    intercept = np.where(np.arange(n_classes) == label, 0, ABSENT).astype(np.float32)
    if n_classes == 2:
        intercept = intercept[1:] - intercept[:1]
    return Probe(np.zeros((columns, len(intercept)), np.float32), intercept, 0.0, 0, 0.0, l1, l2)


@dataclass(frozen=True)
class ControlTask:
    """The control probes of a token task.

    types: of train, sorted. labels (seeds, types): their control classes or numbers. probes: one per seed. entry:
    "control" of controls.json.
    """

    types: list[str]
    labels: np.ndarray
    probes: list[Probe]
    entry: dict[str, Any]


def fit_control_task(
    params: Params,
    task: str,
    of_row: Sequence[str],
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    l1: float,
    l2: float,
    title: str,
) -> ControlTask:
    """A probe per control seed on the rows X (rows, columns), whose types are ``of_row``; y are the task's targets."""
    types = sorted(set(of_row))
    at = {name: i for i, name in enumerate(types)}
    rows = np.array([at[name] for name in of_row])
    counts = None if n_classes == NUMBER else np.bincount(y, minlength=n_classes)
    seeds = range(params.probes.control_seeds)
    labels = np.stack(
        [
            control_numbers(types, y, params.seed, task, seed)
            if counts is None
            else control_labels(types, counts, params.seed, task, seed)
            for seed in seeds
        ]
    )
    cache = gram_of(X) if l1 == 0 else None
    own = [labels[seed][rows] for seed in seeds]
    settings = (n_classes, l1, l2, params.probes.gap, params.probes.max_iterations, None, cache)
    varied = [seed for seed in seeds if np.unique(own[seed]).size > 1]
    log.info("%s: %d fits", title, len(varied))
    every = slice(0, X.shape[1])
    found = together(X, [(every, fitting(X, own[seed], *settings)) for seed in varied])
    solved = dict(zip(varied, found, strict=True))
    probes = [solved.get(seed) or _constant(X.shape[1], own[seed][0], n_classes, l1, l2) for seed in seeds]
    fits = [
        {
            **_of_train(probe.predict(X), of_seed, n_classes),
            "objective": probe.objective,
            "gap": probe.gap,
            "iterations": probe.iterations,
        }
        for probe, of_seed in zip(probes, own, strict=True)
    ]
    entry = {"seeds": len(seeds), "rows": len(rows), "types": len(types), "counts": counts, "fits": fits}
    return ControlTask(types, labels, probes, entry)


def fit_controls(params: Params, paths: Paths, *, model: str, task: str) -> None:
    """Write probes/controls/<model>/<task>; see the module's docstring."""
    began = time.monotonic()
    features = layout(paths, params, model, task)
    n_classes, y = len(features.classes), features.labels("train")
    probes = read_json(paths.probes(model, task) / "probes.json")
    oracle = probes["sets"][probes["oracle"]]
    l1, l2 = oracle["l1"], oracle["l2"]
    everything = features.everything
    X = features.load("train")
    alive, standardizer = standardize_train(X, features, everything)
    kept, columns = everything[alive], features.columns(np.flatnonzero(alive))
    X = standardizer.apply(X)
    if len(kept) < len(everything):
        X = np.ascontiguousarray(X[:, columns])
    standardizer = standardizer.take(columns)

    found: dict[str, Any] = {
        "model": model,
        "task": task,
        "unit": features.unit,
        "classes": features.classes,
        "l1": l1,
        "l2": l2,
        "control": None,
        "description_length": None,
    }
    if n_classes == NUMBER:
        found["reason"] = "description length: an online code is defined for classes; the target is a number"
    else:
        found["description_length"] = description_length(
            X, y, features.files("train"), n_classes, l1, l2, params.probes.description_shares,
            [params.seed, zlib.crc32(task.encode())], params.probes.gap, params.probes.max_iterations,
        )  # fmt: skip
    control: ControlTask | None = None
    if features.unit == "token":
        of_row = [row["type"] for row in iter_jsonl(paths.task(task) / "train" / "rows.jsonl")]
        control = fit_control_task(params, task, of_row, X, y, n_classes, l1, l2, f"controls {model} {task}")
        found["control"] = control.entry

    with writer(params, paths, "fit_controls", model=model, task=task) as out:
        out.json("controls.json", found)
        out.facts = {"rows": len(y), "kept": len(kept), "types": 0, "seeds": 0}
        if control is not None:
            types, labels, fits = control.types, control.labels, control.probes
            out.jsonl("types.jsonl", ({"type": t, "labels": labels[:, i].tolist()} for i, t in enumerate(types)))
            out.tensors(
                "controls.safetensors",
                {
                    "weights": np.stack([probe.weights for probe in fits]),
                    "intercept": np.stack([probe.intercept for probe in fits]),
                    "mean": standardizer.mean.astype(np.float32),
                    "scale": (1 / standardizer.std).astype(np.float32),
                    "neurons": kept.astype(np.int32),
                },
            )
            out.facts |= {"types": len(types), "seeds": len(fits)}
    log.info("%s, %s: controls in %.1f s", model, task, time.monotonic() - began)
