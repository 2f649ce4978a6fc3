"""Activations as probe features: what a row's columns are, which neurons are constant, and standardisation.

Reads: prepare/tasks/<task>/<split> (inputs.jsonl, rows.jsonl), card, activations/<model>/<task>/<split>
(layer_NN.npy). Writes nothing. A split is read when it is asked for and not before.

A neuron is one component of one layer, with the global index ``layer * width + unit``. For tokens and sequences it
has one column; for pairs of vectors u, v one column for each of ``probes.pair_features``, side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neurosieve.artifacts import ArtifactError, Paths, iter_jsonl, read_json, read_manifest, read_npy
from neurosieve.config import Params
from neurosieve.constant import column_moments, constant_columns
from neurosieve.probes.intervals import cells


@dataclass(frozen=True)
class Rows:
    """Rows of one split of a task.

    labels : (rows,) int64 classes, or float64 numbers where the task has a target instead;
    inputs, inputs2 : (rows,) int64 ids of inputs (inputs2 None but for pairs);
    files : (rows,) int64 codes 0..F-1 of what the row counts with when files are resampled: the file of its input, for
    pairs of two files as intervals.cells has it, whose ``sides`` are (F, 2) or None; seen : (rows,) bool, None but for
    tokens: whether the token's type occurs in train.
    """

    labels: np.ndarray
    inputs: np.ndarray
    inputs2: np.ndarray | None
    files: np.ndarray
    seen: np.ndarray | None
    sides: np.ndarray | None = None

    def n_files(self, at: Any = slice(None)) -> int:
        """Different files (what is resampled) of the rows ``at``."""
        codes = np.unique(self.files[at])
        return int(codes.size if self.sides is None else np.unique(self.sides[codes]).size)


def resampled(card: Mapping[str, Any]) -> dict[str, str]:
    """What intervals draw: the "key" of an input that tells it and its "name"; files where a card says nothing else."""
    return card.get("resampled", {"key": "file", "name": "files"})


def read_rows(paths: Paths, task: str, split: str) -> Rows:
    """Rows of a split, in the order of rows.jsonl.

    Raises
    ------
    ArtifactError
        where a row names an input that inputs.jsonl has not.
    """
    folder = paths.task(task) / split
    key = resampled(read_json(paths.task(task) / "card" / "card.json"))["key"]
    file_of = [row[key] for row in iter_jsonl(folder / "inputs.jsonl")]
    rows = list(iter_jsonl(folder / "rows.jsonl"))
    if not rows:
        raise ArtifactError(f"{folder / 'rows.jsonl'}: found no rows; raise prepare.tasks.{task}.rows.{split}")
    inputs = np.array([row["input"] for row in rows], np.int64)
    inputs2 = np.array([row["input2"] for row in rows], np.int64) if "input2" in rows[0] else None
    for ids in (inputs,) if inputs2 is None else (inputs, inputs2):
        bad = np.flatnonzero((ids < 0) | (ids >= len(file_of)))
        if bad.size:
            raise ArtifactError(
                f"{folder / 'rows.jsonl'}:{bad[0] + 1}: found input {ids[bad[0]]}, expected 0..{len(file_of) - 1}; "
                "delete the folder and run again"
            )
    used = inputs if inputs2 is None else np.concatenate([inputs, inputs2])
    code = {name: i for i, name in enumerate(sorted({file_of[i] for i in used}))}
    files, sides = np.array([code[file_of[i]] for i in inputs], np.int64), None
    if inputs2 is not None:
        files, sides = cells(files, np.array([code[file_of[i]] for i in inputs2], np.int64))
    return Rows(
        labels=(
            np.array([row["target"] for row in rows], np.float64)
            if "target" in rows[0]
            else np.array([row["label"] for row in rows], np.int64)
        ),
        inputs=inputs,
        inputs2=inputs2,
        files=files,
        seen=np.array([row["seen"] for row in rows], bool) if "seen" in rows[0] else None,
        sides=sides,
    )


@dataclass
class Features:
    """Where the features of one (model, task) lie and how they are laid out; see :func:`layout`."""

    paths: Paths
    model: str
    task: str
    unit: str
    classes: list[str]  # none where a number is predicted
    pair_features: tuple[str, ...]
    layers: int
    width: int
    only_layers: tuple[int, ...] | None = None  # those that were dumped; None: all
    _rows: dict[str, Rows] = field(default_factory=dict, repr=False)

    @property
    def n_neurons(self) -> int:
        return self.layers * self.width

    @property
    def measured(self) -> list[int]:
        """Layers whose neurons are measured, ascending: all, or ``only_layers``."""
        return list(range(self.layers) if self.only_layers is None else self.only_layers)

    @property
    def everything(self) -> np.ndarray:
        """Global indices of the neurons that are measured, ascending."""
        return (np.array(self.measured)[:, None] * self.width + np.arange(self.width)).ravel()

    @property
    def number(self) -> bool:
        """Whether the target is a number."""
        return not self.classes

    @property
    def columns_per_neuron(self) -> int:
        return len(self.pair_features) if self.unit == "pair" else 1

    def rows(self, split: str) -> Rows:
        if split not in self._rows:
            self._rows[split] = read_rows(self.paths, self.task, split)
        return self._rows[split]

    def labels(self, split: str) -> np.ndarray:
        """(rows,) int64 classes, or float64 numbers."""
        return self.rows(split).labels

    def files(self, split: str) -> np.ndarray:
        """(rows,) int64 file codes, for the bootstrap over files."""
        return self.rows(split).files

    def seen(self, split: str) -> np.ndarray | None:
        """(rows,) bool for tokens: the type occurs in train; None for sequences and pairs."""
        return self.rows(split).seen

    def columns(self, neurons: np.ndarray) -> np.ndarray:
        """Columns of the neurons at the given positions, neuron-major: all of the first, then of the second, ..."""
        c = self.columns_per_neuron
        return (np.asarray(neurons)[:, None] * c + np.arange(c)).ravel()

    def load(self, split: str, neurons: np.ndarray | None = None) -> np.ndarray:
        """Raw features, float32 (rows, len(neurons) * columns_per_neuron), neuron-major columns.

        ``neurons`` are global indices in any order (by default all that are measured). Only the layers they lie in are
        read, each once and through a memory map.
        """
        rows = self.rows(split)
        neurons = self.everything if neurons is None else np.asarray(neurons)
        if neurons.size and (neurons.min() < 0 or neurons.max() >= self.n_neurons):
            raise ValueError(f"neurons must lie in 0..{self.n_neurons - 1}, found {neurons.min()}..{neurons.max()}")
        folder = self.paths.activations(self.model, self.task, split)
        c = self.columns_per_neuron
        out = np.empty((len(rows.labels), len(neurons), c), np.float32)
        layer_of = neurons // self.width
        for layer in np.unique(layer_of):
            path = folder / f"layer_{layer:02d}.npy"
            vectors = read_npy(path, mmap=True)
            self._check(path, vectors, rows)
            at = np.flatnonzero(layer_of == layer)
            units = neurons[at] % self.width
            whole = len(units) == self.width and bool((units == np.arange(self.width)).all())
            picked = vectors if whole else vectors[:, units]
            into = slice(at[0], at[-1] + 1) if at[-1] - at[0] + 1 == len(at) else at
            if self.unit == "token":
                out[:, into, 0] = picked
            elif self.unit == "sequence":
                out[:, into, 0] = picked[rows.inputs]
            else:
                assert rows.inputs2 is not None
                u, v = picked[rows.inputs], picked[rows.inputs2]
                for i, name in enumerate(self.pair_features):
                    out[:, into, i] = PAIR[name](u, v)
        return out.reshape(len(rows.labels), -1)

    def _check(self, path: Path, vectors: np.ndarray, rows: Rows) -> None:
        last = [len(rows.labels) - 1] if self.unit == "token" else [int(rows.inputs.max())]
        if rows.inputs2 is not None:
            last.append(int(rows.inputs2.max()))
        exact = self.unit == "token" and len(vectors) != len(rows.labels)
        if vectors.ndim != 2 or vectors.shape[1] != self.width or exact or len(vectors) <= max(last):
            raise ArtifactError(
                f"{path}: found shape {vectors.shape}, expected ({max(last) + 1} or more vectors, {self.width}); "
                "delete its folder and run the phase `activations` again"
            )


PAIR = {
    "absdiff": lambda u, v: np.abs(u - v),
    "product": lambda u, v: u * v,
    "left": lambda u, v: u,
    "right": lambda u, v: v,
}


def layout(paths: Paths, params: Params, model: str, task: str) -> Features:
    """Layout of the features of a model on a task, from the card and the manifest of the train activations."""
    card = read_json(paths.task(task) / "card" / "card.json")
    facts = read_manifest(paths.activations(model, task, "train"))["facts"]
    return Features(
        paths=paths,
        model=model,
        task=task,
        unit=card["unit"],
        classes=list(card["classes"]),
        pair_features=tuple(params.probes.pair_features),
        layers=int(facts["layers"]),
        width=int(facts["width"]),
        only_layers=tuple(facts["only_layers"]) if "only_layers" in facts else None,
    )


@dataclass(frozen=True)
class Standardizer:
    """Column means and standard deviations of train, float64 (columns,).

    A column that is constant on train (rule: :mod:`neurosieve.constant`) has ``std`` infinity, so that it becomes zero.
    """

    mean: np.ndarray
    std: np.ndarray

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Standardise a float32 array (rows, columns) in place; returns it."""
        X -= self.mean.astype(np.float32)
        X *= (1.0 / self.std).astype(np.float32)
        return X

    def take(self, columns: np.ndarray) -> Standardizer:
        return Standardizer(self.mean[columns], self.std[columns])


def standardize_train(X: np.ndarray, features: Features, neurons: np.ndarray) -> tuple[np.ndarray, Standardizer]:
    """Which of the neurons are not constant on train, and the standardiser of all their columns.

    ``X`` are raw train features of the global ``neurons``. A column is constant where max == min or the standard
    deviation lies below 1e-6 of the median over its layer (columns of its kind); a neuron is constant where all its
    columns are. Returns (kept, standardizer): bool (len(neurons),), and the standardiser of all columns of X.
    """
    mean, std, equal = column_moments(X)
    c = features.columns_per_neuron
    layer_of = neurons // features.width
    constant = equal.reshape(-1, c)
    for layer in np.unique(layer_of):
        at = layer_of == layer
        constant[at] = constant_columns(std.reshape(-1, c)[at], constant[at])
    return ~np.all(constant, axis=1), Standardizer(mean, np.where(constant.ravel(), np.inf, std))
