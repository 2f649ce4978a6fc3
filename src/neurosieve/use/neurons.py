"""The neurons of a frozen subset as one json file: which they are, of which model, and the probe on them.

    {"format": "neurosieve-neurons", "schema": 1, "benchmark", "version", "protocol", "numerics",
     "model": {"name", "untrained": the model whose untrained twin it is, or null, "training": what was done to it for
               the task, as the leaderboard says it (frozen, fine-tuned here, ...), "sha256", "config_sha256",
               "tokenizer_sha256", "layers", "width", and "part", "neurons", "weights" of the params file where they
               are not its defaults},
     "task": {"name", "unit": token|sequence|pair, "classes", "metric", "pair_features": null but for pairs},
     "activations": {"subword", "pooling", "window", "batch_tokens", "dtype"},
     "status", "status_unseen", "ranking", "size", "claimed": the size is a minimum (else it is an estimate), "reason":
     why no minimum is claimed, "n_least", "n_minimal_low", "n_minimal_high", "margin", "judge", "reference_judge":
     primary metric on judge of the subset and of the reference, "highest_layer", "certified": see
     leaderboard.collect.certified,
     "penalty": {"l1", "l2"}, "intercept": [per output], "search_sha256": of the search's manifest.json,
     "neurons": [{"name": "model/layer/unit", "layer", "unit", "mean", "scale": [per column], "weights": [per column
                 [per output]]}, ...] best first}

A neuron has one column, for pairs one for each of pair_features. The classifier: ((x - mean) * scale) @ weights +
intercept; the greatest output is the class, and for two classes the one output, above 0, is class 1. Of a task without
classes (metric r2) the one output is the predicted number. Numbers are the shortest decimals that are the same float32.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurosieve.artifacts import sha256_file
from neurosieve.probes import solver
from neurosieve.probes.features import PAIR

FORMAT, SCHEMA = "neurosieve-neurons", 2
ENTRY = ("part", "neurons", "weights")  # keys of a model's entry that say which neurons they are and how to read them
UNITS = ("token", "sequence", "pair")


class NeuronsError(RuntimeError):
    """A file of neurons, a model or texts that cannot be used; the message says where, and what to write."""


@dataclass(frozen=True)
class Neurons:
    """A file of neurons, read and checked; see the module's docstring.

    layers, units: (neurons,) int64. mean, scale: (columns,) float32. weights: (columns, outputs), intercept:
    (outputs,) float32. ``data`` is the whole file.
    """

    data: dict[str, Any]
    layers: np.ndarray
    units: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray

    @classmethod
    def read(cls, path: Path | str) -> Neurons:
        """Read a file that ``neurosieve export`` wrote; NeuronsError names the file and the key that is wrong."""
        return cls.from_data(read_data(Path(path)), str(path))

    @classmethod
    def from_data(cls, data: dict[str, Any], name: str = "neurons") -> Neurons:
        """The same of the content of such a file; ``name`` is for messages."""
        try:
            entries, classes = data["neurons"], data["task"]["classes"]
            unit, features = data["task"]["unit"], data["task"]["pair_features"]
            layers, width = data["model"]["layers"], data["model"]["width"]
            needed = {
                "model": ("name", "untrained", "training", "sha256"),
                "activations": ("subword", "pooling", "window"),
            }
            for part, keys in needed.items():
                for key in keys:
                    data[part][key]
            columns = len(features) if unit == "pair" else 1
            outputs = solver.outputs(len(classes))
            place = np.array([[e["layer"], e["unit"]] for e in entries], np.int64).reshape(-1, 2)
            mean, scale = (np.array([e[key] for e in entries], np.float32) for key in ("mean", "scale"))
            weights = np.array([e["weights"] for e in entries], np.float32)
            intercept = np.array(data["intercept"], np.float32)
        except KeyError as error:
            raise NeuronsError(f"{name}: no key {error}; write the file again with `neurosieve export`") from None
        except (TypeError, ValueError) as error:
            raise NeuronsError(f"{name}: {error}; write the file again with `neurosieve export`") from None
        n = len(entries)
        shapes = {"mean": (mean, (n, columns)), "scale": (scale, (n, columns)), "intercept": (intercept, (outputs,))}
        for key, (array, wanted) in {**shapes, "weights": (weights, (n, columns, outputs))}.items():
            if n == 0 or array.shape != wanted:
                raise NeuronsError(f"{name}: {key}: found numbers of the shape {array.shape}, expected {wanted}")
        if unit not in UNITS:
            raise NeuronsError(f"{name}: task.unit: found {unit!r}; write one of {', '.join(UNITS)}")
        if place.min() < 0 or place[:, 0].max() >= layers or place[:, 1].max() >= width:
            raise NeuronsError(f"{name}: neurons: a layer or unit outside of the model's {layers} x {width}")
        flat = weights.reshape(n * columns, outputs)
        return cls(data, place[:, 0], place[:, 1], mean.ravel(), scale.ravel(), flat, intercept)

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def names(self) -> list[str]:
        """model/layer/unit of each neuron."""
        return [f"{self.data['model']['name']}/{a}/{b}" for a, b in zip(self.layers, self.units, strict=True)]

    @property
    def unit(self) -> str:
        return str(self.data["task"]["unit"])

    @property
    def classes(self) -> list[str]:
        """None where a number is predicted."""
        return list(self.data["task"]["classes"])

    @property
    def pair_features(self) -> list[str]:
        """Columns of a neuron of a pair task; empty for the others."""
        return list(self.data["task"]["pair_features"] or [])

    @property
    def column_names(self) -> list[str]:
        """Names of the probe's columns, neuron by neuron: model/layer/unit, for pairs with the feature after it."""
        return [f"{name}/{f}" for name in self.names for f in self.pair_features] or self.names

    @property
    def highest_layer(self) -> int:
        return int(self.layers.max())

    def pair(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Columns (rows, neurons * features) of the values (rows, neurons) of both sides of pairs."""
        return np.stack([PAIR[name](left, right) for name in self.pair_features], axis=2).reshape(len(left), -1)

    def standardize(self, values: np.ndarray) -> np.ndarray:
        """(rows, columns) float32 in units of train's standard deviation, from its mean. A copy."""
        return (np.asarray(values, np.float32) - self.mean) * self.scale

    def scores(self, values: np.ndarray) -> np.ndarray:
        """Outputs (rows, outputs) of the probe on values (rows, columns) that are not yet standardised."""
        return self.standardize(values) @ self.weights + self.intercept

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Indices into ``classes``, int64 (rows,), ties to the lower class; float32 (rows,) where there is none."""
        scores = self.scores(values)
        if not self.classes:
            return scores[:, 0]
        return (scores[:, 0] > 0).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(axis=1)


def read_data(path: Path) -> dict[str, Any]:
    """The json of a file of neurons, its format checked and nothing else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NeuronsError(f"{path}: no such file; write it with `neurosieve export MODEL TASK`") from None
    except ValueError as error:
        raise NeuronsError(f"{path}: not valid json ({error}); write it with `neurosieve export MODEL TASK`") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise NeuronsError(f"{path}: not a file of neurons; write one with `neurosieve export MODEL TASK`")
    if data.get("schema") != SCHEMA:
        raise NeuronsError(f"{path}: schema: found {data.get('schema')!r}, expected {SCHEMA}; export it again")
    return data


def short(array: np.ndarray) -> Any:
    """A float32 array as nested lists of the shortest decimals that are read back as the same float32."""
    if array.ndim:
        return [short(row) for row in array]
    value = float(str(np.float32(array)))
    return value if np.float32(value) == array else float(array)


def to_text(data: dict[str, Any]) -> str:
    """Deterministic json with a line per key and per neuron."""
    lines = []
    for key in sorted(data):
        value = data[key]
        if key == "neurons":
            entries = ",\n".join(" " + json.dumps(e, sort_keys=True, allow_nan=False) for e in value)
            lines.append(f'"neurons": [\n{entries}\n]')
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value, sort_keys=True, allow_nan=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def manifest_sha256(folder: Path) -> str:
    return sha256_file(folder / "manifest.json")
