"""What the probes of other tasks still read when one task's neurons are ablated inside the model.

The truer question to a set of neurons than which tokens the model predicts: does the model make what another task reads
from them? The model is run on unmasked inputs with the set at its means, and the frozen probe of all neurons is scored
on what it then computes. The ablated neurons themselves keep their values for the probe: that a probe which reads them
would miss them is no news of the model.
Reads: subsets/search/<model>/<task> (frozen.json, frozen.safetensors). Writes nothing.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_softmax
from tqdm import tqdm

from neurosieve.artifacts import read_json, read_jsonl, read_tensors
from neurosieve.config import Params
from neurosieve.probes.features import Features
from neurosieve.probes.solver import Probe

if TYPE_CHECKING:
    from neurosieve.activations.models import Loaded
    from neurosieve.concepts.ablation import Neurons

SET = "all"  # of frozen.json: the probe of all neurons


class Readout:
    """The frozen probe of a task, and the judge rows of a few inputs that it is scored on.

    rows : (rows,) of judge. values (rows, neurons): of the probe's ``neurons``, with nothing changed.
    """

    def __init__(self, params: Params, features: Features, loaded: Loaded, inputs: int) -> None:
        from neurosieve.activations.batches import Rows, plan_inputs
        from neurosieve.activations.dump import extract

        self._extract = extract
        self.features = features
        # the head is not asked, and costs as much as some blocks
        self.loaded = dataclasses.replace(loaded, model=loaded.model.base_model)
        folder = features.paths.search(features.model, features.task)
        frozen, tensors = read_json(folder / "frozen.json"), read_tensors(folder / "frozen.safetensors")
        entry = frozen["sets"][SET]
        self.neurons = np.array(entry["neurons"], np.int64)
        self.mean, self.scale = tensors[f"{SET}.mean"], tensors[f"{SET}.scale"]
        self.probe = Probe(
            tensors[f"{SET}.weights"], tensors[f"{SET}.intercept"], gap=0.0, iterations=0, objective=0.0,
            l1=entry["l1"], l2=entry["l2"],
        )  # fmt: skip
        judge = features.paths.task(features.task) / "judge"
        texts, entries = read_jsonl(judge / "inputs.jsonl"), read_jsonl(judge / "rows.jsonl")
        of_rows = features.rows("judge").inputs
        rng = np.random.default_rng([params.seed, zlib.crc32(features.task.encode()), zlib.crc32(b"readout")])
        taken = np.sort(rng.permutation(np.unique(of_rows))[:inputs])
        self.rows = np.flatnonzero(np.isin(of_rows, taken))
        spans = np.array([[entries[row][k] for k in ("start", "end")] for row in self.rows.tolist()], np.int64)
        self.plan = plan_inputs(
            [texts[i] | {"id": new} for new, i in enumerate(taken.tolist())],
            Rows(np.searchsorted(taken, of_rows[self.rows]), spans[:, 0], spans[:, 1]),
            loaded.coding,
            lambda kind, index: f"{judge}/{kind}.jsonl:{int((taken if kind == 'inputs' else self.rows)[index]) + 1}",
            subword=params.activations.subword,
            pooling=params.activations.pooling,
            window=params.activations.window,
            batch_tokens=params.activations.batch_tokens,
        )
        self.values = self._run()
        self.labels = features.labels("judge")[self.rows]

    def _run(self) -> np.ndarray:
        layers, units = np.divmod(self.neurons, self.features.width)
        return self._extract(self.loaded, layers, units, self.plan)

    def right(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of raw values (rows, neurons): the probe's log-probability of the right class (rows,) in nats, float64, and
        whether it is predicted."""
        standardised = (values - self.mean) * self.scale
        scores = self.probe.scores(standardised).astype(np.float64)
        if scores.shape[1] == 1:
            scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
        log_p = log_softmax(scores, axis=1)
        return log_p[np.arange(len(self.labels)), self.labels], self.probe.predict(standardised) == self.labels

    def without(self, which: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """:meth:`right` with the neurons ``which`` at their ``means`` inside the model, themselves as they were."""
        from neurosieve.concepts import language

        with language.changed(self.loaded, language.Change(which, means, 0.0)):
            values = self._run()
        themselves = np.isin(self.neurons, which)
        values[:, themselves] = self.values[:, themselves]
        return self.right(values)

    def nothing(self) -> np.ndarray:
        """Log-probability (rows,) where every neuron is at its mean: the probe's intercept alone."""
        return self.right(np.broadcast_to(self.mean, self.values.shape))[0]


def read_out(
    readouts: Mapping[str, Readout], drawn: Mapping[str, Neurons], progress: tqdm[Any]
) -> tuple[dict[tuple[str, str], tuple[np.ndarray, np.ndarray]], dict[str, np.ndarray], dict[str, Any]]:
    """For effect_sizes.Cells: changes of the probes' log-probabilities by the sets ``drawn``, and by all neurons at
    their means. Third, {task: {"untouched", "without": {task of the set}, "random": {task of the set}}}: accuracies."""
    changes, whole = {}, {}
    accuracy: dict[str, dict[str, Any]] = {}
    for b, readout in readouts.items():
        before, right = readout.right(readout.values)
        whole[b] = readout.nothing() - before
        accuracy[b] = {"untouched": float(right.mean()), "without": {}, "random": {}}
        for a, neurons in drawn.items():
            found = []
            for which in (neurons.chosen, *neurons.random):
                found.append(readout.without(which, neurons.means(which)))
                progress.update()
            change = np.stack([log_p - before for log_p, _ in found])
            changes[a, b] = change[0], change[1:]
            accuracy[b]["without"][a] = float(found[0][1].mean())
            accuracy[b]["random"][a] = float(np.mean([right.mean() for _, right in found[1:]]))
    return changes, whole, accuracy
