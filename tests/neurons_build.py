"""A build with what `neurosieve export`, `features` and `cost` read: a model, activations, a search made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tiny_models

from neurosieve.activations import dump_activations
from neurosieve.artifacts import Paths, Writer
from neurosieve.config import SPLITS, Activations, Model, load_params
from neurosieve.use import export_neurons
from neurosieve.use.neurons import to_text

UNITS = ("token", "sequence", "pair")
CLASSES = {"token": ["A", "B", "C"], "sequence": ["no", "yes"], "pair": ["no", "yes"]}
TEXTS = [
    "def add(first, second):\n    return first + second\n",
    "x = 1",
    "names.append(name)\n" * 9,
    "y == x[0]",
    "for index in names:\n    seen.append(index)\n",
]
NEURONS = [17, 3, 30, 16, 9, 0, 31]  # layers 0 and 1 of 0 to 2
SETTINGS = Activations(subword="mean", pooling="mean", window=24, batch_tokens=96)


def make_rows(unit: str) -> list[dict[str, Any]]:
    if unit == "pair":
        return [{"input": i, "input2": i + 1, "label": i % 2} for i in range(4)]
    if unit == "sequence":
        return [{"input": i, "label": i % 2} for i in range(5)]
    spans = [(i, a) for i, text in enumerate(TEXTS) for a in range(0, len(text) - 3, 7) if text[a : a + 3].strip()]
    rows = [{"input": i, "start": a, "end": a + 3} for i, a in spans if a < 170]
    return [{**row, "label": n % 3, "type": "x", "seen": True} for n, row in enumerate(rows)]


class Build:
    """A build with what export reads: texts and activations as the phases make them, a search made up."""

    def __init__(self, root: Path) -> None:
        self.model, self.name, self.layers, self.width = tiny_models.save(root / "model", "modernbert"), "tiny", 3, 16
        models = {"tiny": Model(path=str(self.model)), "tiny-untrained": Model(untrained="tiny", seed=1)}
        params = load_params("params.yaml")
        self.params = params.model_copy(update={
            "benchmark": "made-up", "version": 3, "seed": 1, "numerics": "portable", "activations": SETTINGS,
            "models": models, "run": params.run.model_copy(update={"models": list(models), "tasks": list(UNITS)}),
        })  # fmt: skip
        self.paths = Paths("made-up", root / "build")
        self.write({unit: unit for unit in UNITS})

    @classmethod
    def bundled(cls, root: Path, tasks: dict[str, str]) -> Build:
        """The same of params.yaml and the bundled model: its tasks with their units."""
        self = cls.__new__(cls)
        self.params = load_params("params.yaml")
        self.model, self.name, self.layers, self.width = Path("models/neurosieve-base"), "neurosieve-base", 7, 256
        self.paths = Paths(self.params.benchmark, root / "build")
        self.write(tasks)
        return self

    def write(self, tasks: dict[str, str]) -> None:
        """All that export and cost read, of tasks with these units."""
        status = {"status": "supported", "status_unseen": None}
        with Writer(self.paths.status(), "probes", {}) as out:
            out.json("status.json", {"rows": {f"{self.name}/{task}": status for task in tasks}})
        for task, unit in tasks.items():
            with Writer(self.paths.task(task) / "card", "prepare", {}) as out:
                out.json("card.json", {"unit": unit, "classes": CLASSES[unit]})
            for split in SPLITS:
                with Writer(self.paths.task(task) / split, "prepare", {}) as out:
                    inputs = [{"id": i, "text": t, "file": f"{i}.py", "package": "p"} for i, t in enumerate(TEXTS)]
                    out.jsonl("inputs.jsonl", inputs)
                    out.jsonl("rows.jsonl", make_rows(unit))
            dump_activations(self.params, self.paths, model=self.name, task=task)
            self.write_search(task, unit)

    def write_search(self, task: str, unit: str) -> None:
        columns = 2 if unit == "pair" else 1
        outputs = 3 if unit == "token" else 1
        rng = np.random.default_rng([1, len(unit)])
        tensors = {}
        sets = {}
        for key, neurons in (
            ("subset-lca", NEURONS),
            ("subset-probeless", NEURONS[:2]),
            ("all", list(range(self.layers * self.width))),
        ):
            n = len(neurons) * columns
            for name, shape in (("weights", (n, outputs)), ("intercept", (outputs,)), ("mean", (n,)), ("scale", (n,))):
                tensors[f"{key}.{name}"] = rng.normal(size=shape).astype(np.float32)
            kind, _, ranking = key.partition("-")
            sets[key] = {"kind": kind, "ranking": ranking or None, "claimed": ranking == "lca", "neurons": neurons}
            sets[key] |= {"l1": 0.0, "l2": 0.1, "judge": 0.75}
        curve = {"reason": None, "n_least": 6, "n_minimal_low": 5, "n_minimal_high": 9}
        estimate = {"reason": "dev too small", "n_least": None, "n_minimal_low": None, "n_minimal_high": None}
        # both classes are to be predicted: the scores without an intercept have their median at 0
        wanted = np.array(NEURONS)
        folder = self.paths.activations(self.name, task, "test")
        stored = np.stack([np.load(folder / f"layer_{i:02d}.npy") for i in range(self.layers)], axis=1)
        values = stored[:, wanted // self.width, wanted % self.width]
        if unit == "pair":
            values = np.stack([np.abs(values[:4] - values[1:]), values[:4] * values[1:]], axis=2).reshape(4, -1)
        scores = (values - tensors["subset-lca.mean"]) * tensors["subset-lca.scale"] @ tensors["subset-lca.weights"]
        tensors["subset-lca.intercept"] = -np.median(scores, axis=0).astype(np.float32)
        train = self.paths.activations(self.name, task, "train")
        with Writer(self.paths.search(self.name, task), "subsets", {}, [train], build=self.paths.root) as out:
            out.tensors("frozen.safetensors", tensors)
            out.json(
                "frozen.json",
                {
                    "unit": unit, "classes": CLASSES[unit], "pair_features": ["absdiff", "product"],
                    "layers": self.layers, "width": self.width, "headline": "lca", "best_ranking": "lca", "sets": sets,
                },
            )  # fmt: skip
            out.json(
                "curves.json",
                {
                    "metric": "accuracy", "columns_per_neuron": columns, "margin": {"value": 0.01},
                    "reference": {"judge": 0.76}, "curves": {"lca": curve, "probeless": estimate, "none": estimate},
                },
            )  # fmt: skip

    def export(self, unit: str, folder: Path, ranking: str | None = None) -> Path:
        path = folder / f"{unit}.json"
        path.write_text(to_text(export_neurons(self.params, self.paths, model=self.name, task=unit, ranking=ranking)))
        return path

    def text_rows(self, unit: str) -> list[dict[str, Any]]:
        """Rows of test as a user would write them."""
        found = []
        for row in make_rows(unit):
            text = {"text": TEXTS[row["input"]]}
            if unit == "pair":
                text["text2"] = TEXTS[row["input2"]]
            found.append(text | {key: row[key] for key in ("start", "end") if unit == "token"})
        return found
