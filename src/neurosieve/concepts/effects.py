"""What the chosen neurons do to a language model's predictions: dose, side effects, tasks against each other, members.

Reads, for every task of run.tasks: prepare/tasks/<task>/{judge,card}, activations/<model>/<task>/train (and, for the
readout, judge), subsets/search/<model>/<task> (frozen.json, frozen.safetensors); and the model's folder, head included.
Writes: concepts/effects/<model>: effects.json.

Beside every set stand random ones: as many neurons of the same layers, none chosen, none constant (null: the chosen
neurons matter to the model as any others of their layers do). Of a set measured in part the rest is not drawn either,
unless a layer has too few others (``apart`` is false then). Harm is a fall of the log-probability of the right token.

dose : the deviation of the first ``neurons`` of the set from their means on train is multiplied by each dose; harm
    and divergence should grow with the distance from 1 on either side, if the model reads these neurons.
outside : the same at OUTSIDE_DOSES on tokens of the same inputs that have no label: is the harm specific to the
    tokens of the task?
matrix : the set of each task ablated (dose 0), the tokens of each task predicted; the first n of each, n the smallest
    set's size, so that sets are comparable, and whole sets. What differs between tasks is which tokens are predicted:
    tasks that label the same tokens cannot part here, however different their labels.
readout : the same for what the tasks' probes read: the model is run with the set of one task ablated inside it, and the
    frozen probe of all neurons of every task scored on what the model then computes. The values of the ablated neurons
    themselves are left as they were for the probe, so that only what flows on through the model counts.
members : the first ``members`` of a set ablated together and one by one; harm of the set against the sum.
"""

from __future__ import annotations

import logging
import re
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from neurosieve.artifacts import Paths, read_json, read_jsonl, read_npy
from neurosieve.concepts import chosen_neurons
from neurosieve.concepts.ablation import (
    Neurons,
    NoAblation,
    check_weights,
    compare,
    draw_neurons,
    judge_sample,
    load_head,
)
from neurosieve.concepts.effect_sizes import Cells, monotonicity, set_against_members, side_effects
from neurosieve.config import Params
from neurosieve.config.concepts import Effects
from neurosieve.constant import column_moments
from neurosieve.flow import writer
from neurosieve.probes.features import Features, layout, resampled
from neurosieve.probes.intervals import MIN_FILES, FileBootstrap
from neurosieve.sources.wheels import DEFAULT_CACHE
from neurosieve.subsets.transfer import overlap

if TYPE_CHECKING:
    from neurosieve.activations.batches import Rows
    from neurosieve.activations.models import Loaded
    from neurosieve.concepts.language import Batch, Prediction, Sample

log = logging.getLogger(__name__)

OUTSIDE_DOSES = (0.0, 2.0)  # of those that are measured inside
TOKEN = re.compile(r"\w+|[^\w\s]")  # words and marks, whatever the language


def measure_effects(params: Params, paths: Paths, *, model: str, cache: Any = DEFAULT_CACHE) -> None:
    """Measure ``params.concepts.effects`` for a model with a language-modelling head, over its tasks of tokens.

    effects.json: "reason", null or why nothing could be measured; "tasks": {task: :meth:`Bench.of_task`, or "reason"};
    "matrix": see :func:`matrix`; "readout" likewise, null where it is off.

    Raises
    ------
    ArtifactError
        the model's weights are not those whose activations were taken.
    """
    began = time.monotonic()
    report: dict[str, Any] = {"model": model, "reason": None, "tasks": {}, "matrix": None, "readout": None}
    facts: dict[str, Any] = {}
    try:
        report |= measured(params, paths, model, cache)
        facts = {"passes": report.pop("passes")}
    except NoAblation as why:
        report["reason"] = str(why)
    with writer(params, paths, "measure_effects", model=model) as out:
        out.json("effects.json", report)
        out.facts = facts
    log.info("%s: effects in %.1f s", model, time.monotonic() - began)


def measured(params: Params, paths: Paths, model: str, cache: Any = DEFAULT_CACHE) -> dict[str, Any]:
    """effects.json but for "model" and "reason", and "passes": how often a sample was predicted.

    NoAblation where there is nothing to measure.
    """
    from neurosieve.activations.models import task_folder

    settings, entry = params.concepts.effects, params.models[model]
    if settings is None:
        raise NoAblation("concepts.effects is null: off")
    if entry.untrained is not None:
        raise NoAblation("an untrained twin: its predictions are those of random weights")
    if entry.neurons != "hidden":
        raise NoAblation(f"neurons: {entry.neurons}; only hidden states can be changed inside the model so far")
    rows: dict[str, Row] = {}
    tasks: dict[str, dict[str, Any]] = {}
    for task in params.run.tasks:
        features = layout(paths, params, model, task)
        key, claimed, chosen = chosen_neurons(paths, model, task)
        reason = None
        if features.unit != "token":
            reason = f"a task of {features.unit}s: a language model predicts tokens only"
        elif not len(chosen):
            reason = "no neurons were chosen"
        elif task_folder(params, paths, model, task) is not None:
            reason = "weights of its own for the task: its neurons are not those of the other tasks"
        tasks[task] = {"reason": reason, "subset": key, "claimed": claimed, "chosen": len(chosen)}
        if reason is None:
            rows[task] = Row(params, features, chosen)
    if not rows:
        raise NoAblation("no task of tokens with chosen neurons of the model itself")
    window = max(settings.window, params.activations.window if settings.readout else 0)
    loaded, mask = load_head(params, next(iter(rows.values())).features, window, cache)
    for task, row in list(rows.items()):
        check_weights(row.features, loaded)
        row.sample = judge_sample(params, row.features, loaded, mask, settings)
        if not len(row.sample.rows):
            tasks[task]["reason"] = "no token of judge that the model could predict"
            del rows[task]
    if not rows:
        raise NoAblation("no token of judge that the model could predict")
    found: dict[str, Any] = {
        "kind": "causal" if mask is None else "masked",
        "confidence": params.probes.confidence,
        "random_draws": settings.random_draws,
    }
    with tqdm(desc=f"effects {model}", unit="pass", mininterval=5) as progress:
        bench = Bench(params, settings, loaded, mask, progress)
        for task, row in rows.items():
            try:
                tasks[task] |= bench.of_task(row)
            except NoAblation as why:
                tasks[task]["reason"] = str(why)
        whole = {task: row for task, row in rows.items() if tasks[task]["reason"] is None}
        found |= {"tasks": tasks, "matrix": matrix(bench, whole), "readout": readout_matrix(bench, whole)}
        found["passes"] = progress.n
    return found


class Row:
    """A task of the model: its features, its chosen neurons (best first), and its sample once it is drawn."""

    sample: Sample

    def __init__(self, params: Params, features: Features, chosen: np.ndarray) -> None:
        self.features, self.task, self.chosen = features, features.task, chosen
        self.seed = [params.seed, zlib.crc32(features.model.encode()), zlib.crc32(features.task.encode())]
        judge = features.paths.task(features.task) / "judge"
        self.inputs = read_jsonl(judge / "inputs.jsonl")
        key = resampled(read_json(features.paths.task(features.task) / "card" / "card.json"))["key"]
        # one name for a file in all tasks of the corpora
        corpora = tuple(params.task_corpora(features.task))
        self.file_of = [(corpora, entry[key]) for entry in self.inputs]

    def files(self, rows: np.ndarray) -> list[tuple[tuple[str, ...], str]]:
        """Of judge rows."""
        return [self.file_of[i] for i in self.features.rows("judge").inputs[rows].tolist()]

    def draw(self, size: int, draws: int) -> Neurons:
        """The first ``size`` of the set and random neurons beside the whole set; the same for the same size."""
        return draw_neurons(self.features, np.sort(self.chosen[:size]), self.seed, draws, self.chosen)


def unlabelled(texts: Sequence[str], rows: Rows, inputs: np.ndarray) -> Rows:
    """Tokens (:data:`TOKEN`) of the ``inputs`` (ids) that overlap no row and are spelled like none.

    Rows are a sample of the tokens of the classes, so a token spelled like a row may have a class that nobody wrote.
    """
    from neurosieve.activations.batches import Rows

    spans: dict[int, list[tuple[int, int]]] = {}
    spelled = set()
    for i, start, end in zip(rows.input.tolist(), rows.start.tolist(), rows.end.tolist(), strict=True):
        spans.setdefault(i, []).append((start, end))
        spelled.add(texts[i][start:end])
    found = [
        (i, match.start(), match.end())
        for i in np.unique(inputs).tolist()
        for match in TOKEN.finditer(texts[i])
        if match.group() not in spelled and all(match.end() <= a or match.start() >= b for a, b in spans.get(i, ()))
    ]
    return Rows(*np.array(found, np.int64).reshape(-1, 3).T.copy())


@dataclass
class Measured:
    """change, divergence (tokens,): of the log-probability of the right sub-word, and KL from the unchanged model."""

    change: np.ndarray
    divergence: np.ndarray
    right: float


class Bench:
    """The model, and what it was asked so far: the same change of the same sample is run once."""

    def __init__(
        self, params: Params, settings: Effects, loaded: Loaded, mask: int | None, progress: tqdm[Any]
    ) -> None:
        self.params, self.settings, self.loaded, self.mask, self.progress = params, settings, loaded, mask, progress
        self._untouched: dict[int, tuple[list[Batch], Prediction]] = {}  # with the batches, so that their id stays
        self._found: dict[Any, Measured] = {}

    def untouched(self, batches: list[Batch]) -> Prediction:
        from neurosieve.concepts import language

        if id(batches) not in self._untouched:
            self._untouched[id(batches)] = batches, language.predict(self.loaded, batches)
            self.progress.update()
        return self._untouched[id(batches)][1]

    def change(self, batches: list[Batch], neurons: Neurons, which: np.ndarray, amount: float) -> Measured:
        """``which``: some of ``neurons``."""
        from neurosieve.concepts import language

        before = self.untouched(batches)
        if amount == 1:
            zeros = np.zeros(len(before.true))
            return Measured(zeros, zeros, float(before.right.mean()))
        means = neurons.means(which)
        key = (id(batches), which.tobytes(), means.tobytes(), amount)
        if key not in self._found:
            after = language.predict(self.loaded, batches, language.Change(which, means, amount))
            self._found[key] = Measured(
                after.true - before.true, language.divergence(before, after), float(after.right.mean())
            )
            self.progress.update()
        return self._found[key]

    def changes(self, batches: list[Batch], neurons: Neurons, amount: float) -> tuple[np.ndarray, np.ndarray]:
        """Changes and divergences, (1 + draws, tokens) each: of the chosen neurons, then of every random set."""
        found = [self.change(batches, neurons, which, amount) for which in (neurons.chosen, *neurons.random)]
        return np.stack([m.change for m in found]), np.stack([m.divergence for m in found])

    def bootstrap(self, files: np.ndarray, *names: str) -> FileBootstrap | None:
        """Over file codes without gaps; None with too few."""
        if len(np.unique(files)) < MIN_FILES:
            return None
        seed = [self.params.seed, *(zlib.crc32(name.encode()) for name in names)]
        return FileBootstrap(files, self.params.probes.bootstrap, seed)

    def of_task(self, row: Row) -> dict[str, Any]:
        """Of one task: "measured": neurons dosed; "apart": see ablation.Neurons; "per_layer" of
        these; "tokens", "files", "windows" of the sample;
        "log_probability", "accuracy" untouched; "doses": {dose: ablation.compare, and "divergence"}; "monotone":
        {"below" | "above" dose 1: {"harm" | "divergence": {"chosen" | "random": monotonicity}}}; "outside" and
        "members": see there, null where they are off or there is nothing to measure.
        """
        settings, features, batches = self.settings, row.features, row.sample.batches
        neurons = row.draw(min(settings.neurons, len(row.chosen)), settings.random_draws)
        names, files = np.unique(features.files("judge")[row.sample.rows], return_inverse=True)
        labels = features.labels("judge")[row.sample.rows]
        bootstrap = self.bootstrap(files, row.task, "effects")
        untouched, confidence = self.untouched(batches), self.params.probes.confidence
        curves, doses = {}, {}
        for dose in sorted(settings.doses):
            changes, divergences = curves[dose] = self.changes(batches, neurons, dose)
            entry = compare(changes[0], changes[1:], labels, features.classes, files, bootstrap, confidence)
            entry["divergence"] = {
                "chosen": float(divergences[0].mean()),
                "random": float(divergences[1:].mean()),
            }
            doses[f"{dose:g}"] = entry
        return {
            "measured": len(neurons.chosen),
            "apart": neurons.apart,
            "per_layer": np.bincount(neurons.chosen // features.width, minlength=features.layers).tolist(),
            "tokens": len(row.sample.rows),
            "files": len(names),
            "windows": row.sample.facts["windows"],
            "log_probability": float(untouched.true.mean()),
            "accuracy": float(untouched.right.mean()),
            "doses": doses,
            "monotone": self._monotone(curves, files, bootstrap),
            "outside": self._outside(row, neurons, curves, names),
            "members": self._members(row, files, bootstrap),
        }

    def _monotone(
        self, curves: dict[float, tuple[np.ndarray, np.ndarray]], files: np.ndarray, bootstrap: FileBootstrap | None
    ) -> dict[str, Any]:
        """By side of dose 1, null with fewer than two doses there; dose 1, which changes nothing, is the first step."""
        found: dict[str, Any] = {}
        sides = {"below": [d for d in curves if d < 1][::-1], "above": [d for d in curves if d > 1]}
        for side, steps in sides.items():
            found[side] = None
            if len(steps) < 2:
                continue
            harm = np.stack([np.zeros_like(curves[steps[0]][0]), *(-curves[d][0] for d in steps)])
            divergence = np.stack([np.zeros_like(harm[0]), *(curves[d][1] for d in steps)])
            found[side] = {"doses": [1.0, *steps]}
            for name, values in (("harm", harm), ("divergence", divergence)):
                found[side][name] = {
                    who: monotonicity(curve, files, bootstrap, self.params.probes.confidence)
                    for who, curve in (("chosen", values[:, 0]), ("random", values[:, 1:].mean(axis=1)))
                }
        return found

    def _outside(
        self,
        row: Row,
        neurons: Neurons,
        curves: dict[float, tuple[np.ndarray, np.ndarray]],
        names: np.ndarray,
    ) -> dict[str, Any] | None:
        """{"tokens", "files", "log_probability", "accuracy", "doses": {dose: "chosen", "random" (changes),
        "divergence", and effect_sizes.side_effects}}; ``names`` are the files of the sample inside."""
        doses = [dose for dose in curves if dose in OUTSIDE_DOSES]
        sample, codes = self._other_tokens(row) if self.settings.outside and doses else (None, None)
        if sample is None or codes is None or not len(codes):
            return None
        inside_codes = np.searchsorted(names, row.features.files("judge")[row.sample.rows])
        outside_codes = np.searchsorted(names, codes)
        untouched = self.untouched(sample.batches)
        found: dict[str, Any] = {
            "tokens": len(codes),
            "files": len(np.unique(codes)),
            "log_probability": float(untouched.true.mean()),
            "accuracy": float(untouched.right.mean()),
            "doses": {},
        }
        bootstrap = self.bootstrap(inside_codes, row.task, "effects")
        for dose in doses:
            changes, divergences = self.changes(sample.batches, neurons, dose)
            inside, inside_divergences = curves[dose]
            found["doses"][f"{dose:g}"] = {
                "chosen": float(changes[0].mean()),
                "random": float(changes[1:].mean()),
                "divergence": {"chosen": float(divergences[0].mean()), "random": float(divergences[1:].mean())},
                **side_effects(
                    (inside[0], inside[1:]),
                    (changes[0], changes[1:]),
                    inside_divergences,
                    divergences,
                    inside_codes,
                    outside_codes,
                    bootstrap,
                    self.params.probes.confidence,
                ),
            }
        return found

    def _other_tokens(self, row: Row) -> tuple[Sample | None, np.ndarray | None]:
        """Tokens without a label, of the inputs of the sample, and the file codes of these."""
        from neurosieve.activations.batches import DroppedTokens, Rows
        from neurosieve.concepts import language

        features = row.features
        judge = features.paths.task(row.task) / "judge"
        entries = read_jsonl(judge / "rows.jsonl")
        labelled = Rows(*(np.array([entry[k] for entry in entries], np.int64) for k in ("input", "start", "end")))
        all_rows = features.rows("judge")
        texts = [entry["text"] for entry in row.inputs]
        others = unlabelled(texts, labelled, all_rows.inputs[row.sample.rows])
        file_of = np.zeros(len(texts), np.int64)
        file_of[all_rows.inputs] = all_rows.files
        for _ in range(2):  # once more without what the tokenizer drops
            if not len(others.input):
                return None, None
            try:
                sample = language.draw_sample(
                    row.inputs,
                    others,
                    file_of[others.input],
                    self.loaded.coding,
                    self.mask,
                    lambda kind, index: f"{judge}/inputs.jsonl, a token without a label ({kind} {index})",
                    np.random.default_rng([*row.seed, zlib.crc32(b"outside")]),
                    tokens=self.settings.outside,
                    per_window=self.settings.per_window,
                    window=self.settings.window,
                    batch_tokens=self.params.activations.batch_tokens,
                )
                return sample, file_of[others.input[sample.rows]]
            except DroppedTokens as dropped:
                places = zip(others.input.tolist(), others.start.tolist(), others.end.tolist(), strict=True)
                kept = np.array([texts[i][a:b] not in dropped.found for i, a, b in places], bool)
                others = Rows(others.input[kept], others.start[kept], others.end[kept])
        return None, None

    def _members(self, row: Row, files: np.ndarray, bootstrap: FileBootstrap | None) -> dict[str, Any] | None:
        """effect_sizes.set_against_members of the first ``members`` neurons; "members": [{"neuron", "alone": its harm
        alone, "added": what the set's harm grows by when it comes after those before it}], best first. Null for one."""
        settings, batches = self.settings, row.sample.batches
        ordered = row.chosen[: settings.members]
        if len(ordered) < 2:
            return None
        neurons = row.draw(len(ordered), settings.member_draws)

        def each(which: np.ndarray) -> np.ndarray:
            return np.stack([self.change(batches, neurons, np.array([n]), 0.0).change for n in which.tolist()])

        def together(which: np.ndarray) -> np.ndarray:
            return self.change(batches, neurons, np.sort(which), 0.0).change

        alone = each(ordered)
        grown = [together(ordered[:k]).mean() for k in range(1, len(ordered) + 1)]
        added = -np.diff([0.0, *grown])
        return {
            "neurons": len(ordered),
            "draws": len(neurons.random),
            "apart": neurons.apart,
            **set_against_members(
                together(ordered),
                alone,
                np.stack([together(which) for which in neurons.random]),
                np.stack([each(which) for which in neurons.random]),
                files,
                bootstrap,
                self.params.probes.confidence,
            ),
            "members": [
                {"neuron": n, "alone": -float(change.mean()), "added": float(more)}
                for n, change, more in zip(ordered.tolist(), alone, added, strict=True)
            ],
        }


def matrix(bench: Bench, rows: dict[str, Row]) -> dict[str, Any]:
    """Task x task: {"reason": null, or why there is none; "tasks", "files"; "equal", "whole": of the first n of every
    set and of whole sets: {"reason", "neurons": {task}, "apart": {task}, and effect_sizes.Cells.report};
    "overlap": {"equal", "whole":
    {task: {task: transfer.overlap, of all neurons}}}}.
    """
    if len(rows) < 2:
        return {"reason": "fewer than two tasks of tokens"}
    params, tasks = bench.params, list(rows)
    files, bootstrap = _files_of(bench, {task: row.files(row.sample.rows) for task, row in rows.items()})
    ablated = {task: everything_ablated(bench, row) for task, row in rows.items()}
    equal = min(len(row.chosen) for row in rows.values())
    found: dict[str, Any] = {"reason": None, "tasks": tasks, "files": _number(files), "overlap": {}}
    for name in ("equal", "whole"):
        sizes = {task: equal if name == "equal" else len(row.chosen) for task, row in rows.items()}
        sets = {task: row.chosen[: sizes[task]] for task, row in rows.items()}
        found[name] = {"reason": None, "neurons": sizes}
        found["overlap"][name] = {
            a: {b: overlap(sets[a], sets[b], rows[a].features.n_neurons) for b in tasks} for a in tasks
        }
        try:
            drawn = {task: row.draw(sizes[task], bench.settings.random_draws) for task, row in rows.items()}
        except NoAblation as why:
            found[name]["reason"] = str(why)
            continue
        found[name]["apart"] = {task: neurons.apart for task, neurons in drawn.items()}
        changes = {}
        for a, neurons in drawn.items():
            for b, row in rows.items():
                both = bench.changes(row.sample.batches, neurons, 0.0)[0]
                changes[a, b] = both[0], both[1:]
        cells = Cells(tasks, changes, ablated, files, bootstrap, params.probes.confidence)
        found[name] |= cells.report([params.seed, zlib.crc32(b"assignment")])
    return found


def _files_of(
    bench: Bench, names: dict[str, list[tuple[tuple[str, ...], str]]]
) -> tuple[dict[str, np.ndarray], FileBootstrap | None]:
    """Codes of the files of each task's tokens, one for a file in all tasks, and their bootstrap; None with a task of
    too few."""
    code = {name: i for i, name in enumerate(sorted({name for own in names.values() for name in own}))}
    files = {task: np.array([code[name] for name in own]) for task, own in names.items()}
    few = any(len(np.unique(own)) < MIN_FILES for own in files.values())
    return files, None if few else bench.bootstrap(np.arange(len(code)), "effects", *names)


def _number(files: dict[str, np.ndarray]) -> int:
    return len(np.unique(np.concatenate(list(files.values()))))


def readout_matrix(bench: Bench, rows: dict[str, Row]) -> dict[str, Any] | None:
    """Task x task at the readout, of the first n of every set: {"reason", "tasks", "inputs" (of a task, at most),
    "files", "rows": {task}, "neurons": n, "apart": {task}, "accuracy": see readout.read_out, and
    effect_sizes.Cells.report}, harm being
    of the log-probability of the right class by the probe. Null where it is off."""
    from neurosieve.concepts.readout import Readout, read_out

    params, inputs = bench.params, bench.settings.readout
    if not inputs:
        return None
    rows = {task: row for task, row in rows.items() if not row.features.number}
    if len(rows) < 2:
        return {"reason": "fewer than two tasks of classes of tokens"}
    equal = min(len(row.chosen) for row in rows.values())
    try:
        drawn = {task: row.draw(equal, bench.settings.random_draws) for task, row in rows.items()}
    except NoAblation as why:
        return {"reason": str(why)}
    readouts = {task: Readout(params, row.features, bench.loaded, inputs) for task, row in rows.items()}
    changes, whole, accuracy = read_out(readouts, drawn, bench.progress)
    files, bootstrap = _files_of(bench, {task: row.files(readouts[task].rows) for task, row in rows.items()})
    cells = Cells(list(rows), changes, whole, files, bootstrap, params.probes.confidence)
    return {
        "reason": None,
        "tasks": list(rows),
        "inputs": inputs,
        "files": _number(files),
        "rows": {task: len(found.rows) for task, found in readouts.items()},
        "neurons": equal,
        "apart": {task: neurons.apart for task, neurons in drawn.items()},
        "accuracy": accuracy,
        **cells.report([params.seed, zlib.crc32(b"assignment")]),
    }


def everything_ablated(bench: Bench, row: Row) -> np.ndarray:
    """Change (tokens,) where every measured neuron is at its mean: as all of the text goes through each layer, where
    those of the last measured layer are."""
    features = row.features
    folder = features.paths.activations(features.model, features.task, "train")
    last = features.measured[-1]
    mean = column_moments(read_npy(folder / f"layer_{last:02d}.npy", mmap=True))[0]
    which = last * features.width + np.arange(features.width)
    whole = Neurons(which, which[None], dict(zip(which.tolist(), mean.tolist(), strict=True)), {})
    return bench.change(row.sample.batches, whole, which, 0.0).change
