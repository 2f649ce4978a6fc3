"""What a model predicts with a head: tokens with its language-modelling head, rows of a task with its task head.

A task head is that with which a model was trained here (head.safetensors beside its weights, on the pooled last hidden
state as in activations/finetune.py), or that of a folder of a fine-tuned model (`models.<name>.folders`) whose
config.json names an architecture for sequence classification, loaded by transformers; its outputs are the classes of
the card in their order, or by their names where `id2label` has them.
Reads, for task heads, prepare/tasks/<task>/{judge,train} and the model's folder. Writes no files.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurosieve.activations import threads
from neurosieve.activations.batches import ActivationsError, Coding
from neurosieve.activations.finetune import HEAD, Tuned
from neurosieve.activations.models import (
    Loaded,
    NoHeadError,
    hidden_states,
    load_model,
    load_task_model,
    short_ids,
    task_folder,
)
from neurosieve.artifacts import read_json, read_jsonl, read_tensors
from neurosieve.concepts import language
from neurosieve.concepts.ablation import NoAblation, Sampling, check_weights
from neurosieve.concepts.language import PADDING, SPECIAL, Batch, Change, Donors, Prediction, Site
from neurosieve.config import Params
from neurosieve.probes.features import Features, resampled

Scores = Callable[[Batch], torch.Tensor]  # of a batch, (rows, classes)


@dataclass(frozen=True)
class Target:
    """Judge rows that a model predicts. rows (items,): which; kind: causal, masked or head; facts: counts.

    predict : with some neurons changed. donors : values of other positions, for resampling; NoHeadError where all is
    of one file. mean : of every neuron of a site (float64), where that of the dumped vectors is not that of positions.
    """

    loaded: Loaded
    kind: str
    rows: np.ndarray
    facts: dict[str, Any]
    predict: Callable[[Change | None], Prediction]
    donors: Callable[[Site, np.random.Generator], Donors]
    mean: Callable[[Site], np.ndarray] | None = None


def of_tokens(sample: language.Sample, features: Features, loaded: Loaded, mask: int | None) -> Target:
    """The tokens of a sample, predicted by a language model as load_language_model gives it."""
    return Target(
        loaded,
        "causal" if mask is None else "masked",
        sample.rows,
        dict(sample.facts),
        lambda change: language.predict(loaded, sample.batches, change),
        lambda site, rng: language.draw_donors(
            sample.batches,
            features.labels("judge"),
            features.files("judge"),
            language.collect(loaded, sample.batches, site),
            mask,
            rng,
        ),
    )


def of_task(params: Params, features: Features, settings: Sampling, cache: Any) -> Target:
    """Judge rows of a sequence or pair task, predicted by the task head of the row's own weights.

    At most ``tokens`` rows, of as many files as possible. The mean of a neuron is that over all positions of as many
    rows of train. NoAblation where there is no such head.
    """
    torch.set_num_threads(threads())
    model, task = features.model, features.task
    folder = task_folder(params, features.paths, model, task)
    if folder is None:
        raise NoAblation(f"a task of {features.unit}s, and no weights of this model that were trained for it")
    try:
        if params.finetunes(model, task):
            loaded, scores = _trained_here(params, features, folder, cache)
            longest = params.models[model].finetune.max_subwords  # type: ignore[union-attr]
        else:
            loaded, scores = _of_library(params, features, folder)
            longest = params.activations.window
        check_task_head(loaded, scores, 2 if features.unit == "pair" else 1)
    except NoHeadError as why:
        raise NoAblation(f"no usable task head: {why}") from None
    check_weights(features, loaded)

    def batches_of(split: str) -> tuple[np.ndarray, list[Batch]]:
        rows = features.rows(split)
        texts = [row["text"] for row in read_jsonl(features.paths.task(task) / split / "inputs.jsonl")]
        rng = np.random.default_rng([params.seed, zlib.crc32(task.encode()), zlib.crc32(b"tokens")])
        taken = in_turn(rows.files, settings.tokens, rng)
        sides = np.stack([rows.inputs] if rows.inputs2 is None else [rows.inputs, rows.inputs2], axis=1)
        return row_batches(texts, sides, rows.labels, taken, loaded.coding, longest, params.activations.batch_tokens)

    rows, batches = batches_of("judge")

    def mean(site: Site) -> np.ndarray:
        _, of_train = batches_of("train")
        return position_mean(language.collect(loaded, of_train, site), of_train)

    def donors(site: Site, rng: np.random.Generator) -> Donors:
        judge = features.rows("judge")
        states = language.collect(loaded, batches, site)
        own = (
            None
            if judge.sides is None or judge.inputs2 is None
            else line_files(batches, rows, judge.inputs, judge.inputs2, file_of("judge"))
        )
        return language.draw_donors(batches, judge.labels, judge.files, states, None, rng, whole=True, line_files=own)

    def file_of(split: str) -> np.ndarray:
        key = resampled(read_json(features.paths.task(task) / "card" / "card.json"))["key"]
        named = [row[key] for row in read_jsonl(features.paths.task(task) / split / "inputs.jsonl")]
        return np.unique(named, return_inverse=True)[1]

    facts = {
        "windows": sum(len(batch.ids) for batch in batches),
        "subwords": int(sum(batch.attention.sum() for batch in batches)),
    }
    return Target(loaded, "head", rows, facts, lambda c: predict_rows(loaded, batches, scores, c), donors, mean)


def _trained_here(params: Params, features: Features, folder: Path, cache: Any) -> tuple[Loaded, Scores]:
    single = params.activations.model_copy(update={"dtype": "float32"})
    loaded = load_model(params.model_copy(update={"activations": single}), features.model, cache, folder)
    if loaded.part is not None or loaded.snapshot is not None or not loaded.order.listed:
        raise NoHeadError("its layers are not the hidden states that it lists, at which they could be changed")
    stored = read_tensors(folder / HEAD)
    columns = stored["weight"].shape[1]
    part = Tuned(
        loaded.model, columns, len(stored["weight"]), params.activations.pooling, features.pair_features, seed=0
    )
    part.head.load_state_dict({name: torch.from_numpy(value) for name, value in stored.items()})
    part.eval()

    def scores(batch: Batch) -> torch.Tensor:
        sides = len(batch.ids) // len(batch.target)
        found: torch.Tensor = part(batch.ids, batch.attention, torch.from_numpy(language.rows_of(batch) >= 0), sides)
        return found

    return loaded, scores


def _of_library(params: Params, features: Features, folder: Path) -> tuple[Loaded, Scores]:
    if features.unit == "pair":
        raise NoHeadError("a task of pairs, whose two texts it would take as one")
    entry = params.models[features.model]
    loaded = load_task_model(
        folder,
        features.model,
        params.numerics,
        entry.weights,
        entry.trust_remote_code,
        params.activations.window,
        params.activations.batch_tokens,
    )
    order = class_order(loaded.model.config, features.classes)

    def scores(batch: Batch) -> torch.Tensor:
        found: torch.Tensor = loaded.model(input_ids=batch.ids, attention_mask=batch.attention).logits
        return found[:, order]

    return loaded, scores


@torch.inference_mode()
def check_task_head(loaded: Loaded, scores: Scores, sides: int) -> None:
    """Refuse (NoHeadError) a model whose head does not read the last layer where it is changed."""
    site = language.find_site(loaded, "hidden") if loaded.sites is None else None
    if site is None:
        return
    ids = short_ids(loaded.coding).repeat(sides, 1)
    around = len(loaded.coding.prefix), ids.shape[1] - len(loaded.coding.suffix)
    ids[1:, around[0]] = loaded.coding.tokenizer.encode("b", add_special_tokens=False).ids[0]  # not one text twice
    row = np.full(ids.shape, SPECIAL)
    row[:, slice(*around)] = 0
    batch = Batch(ids, torch.ones_like(ids), np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64), row)
    listed = hidden_states(loaded.model, ids, batch.attention)[-1]
    (found,) = [state for state in language.collect(loaded, [batch], site, [site.layers - 1]) if state is not None]
    if not torch.allclose(found, listed.reshape(found.shape), rtol=1e-3, atol=1e-3):
        raise NoHeadError("what its head reads is not its last layer")
    last = (site.layers - 1) * site.width + np.arange(site.width)
    twice = Change(last, np.zeros(site.width, np.float32), 0.5, site)
    plain = predict_rows(loaded, [batch], scores).log_p
    if np.allclose(plain, predict_rows(loaded, [batch], scores, twice).log_p, rtol=0, atol=1e-7):
        raise NoHeadError("its head does not read its last layer where that can be changed")


def in_turn(files: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """At most so many rows, sorted: of every file one in turn, in random order. files : (rows,) codes."""
    drawn = rng.permutation(len(files))
    turn = np.empty(len(drawn), np.int64)
    turns: dict[int, int] = {}
    for i, file in enumerate(files[drawn].tolist()):
        turn[i] = turns[file] = turns.get(file, -1) + 1
    return np.sort(drawn[np.argsort(turn, kind="stable")][:number])


def row_batches(
    texts: list[str],
    inputs: np.ndarray,
    labels: np.ndarray,
    taken: np.ndarray,
    coding: Coding,
    longest: int,
    batch_tokens: int,
) -> tuple[np.ndarray, list[Batch]]:
    """The rows ``taken`` in the order in which they run, and their batches, the longest first.

    inputs : (rows, sides); labels : (rows,). Of a text the first sub-words are read, at most ``longest``, as many as
    the model has positions for. A batch has the left sides of its rows first, then the right ones. ``Batch.row`` has a
    row's number at all its sub-words, so that donors are of inputs of the same class; ``target`` is its class, and no
    position is that of a prediction.
    """
    around = len(coding.prefix) + len(coding.suffix)
    room = min(longest, (coding.maximum or longest + around) - around)
    flat = [texts[i] for i in inputs[taken].ravel()]
    encoded = coding.tokenizer.encode_batch(flat, add_special_tokens=False)
    ids = [encoding.ids[:room] for encoding in encoded]
    sides = inputs.shape[1]
    lengths = np.array([len(found) for found in ids]).reshape(-1, sides)
    order = np.lexsort((*lengths.T, -lengths.max(axis=1)))
    batches: list[Batch] = []
    at = 0
    while at < len(order):
        length = int(lengths[order[at]].max()) + around
        here = order[at : at + max(1, batch_tokens // (length * sides))]
        if not coding.padded:  # alone, or beside others of the very same lengths, and never two lengths at once
            here = here[[bool((lengths[i] == lengths[order[at], 0]).all()) for i in here]]
            if not len(here):
                raise NoHeadError("its values depend on padding, and the two sides of a pair differ in length")
        at += len(here)
        lines = (here[None, :] * sides + np.arange(sides)[:, None]).ravel()
        filled = np.full((len(lines), length), coding.pad, np.int64)
        attention, row = np.zeros_like(filled), np.full(filled.shape, PADDING)
        for line, i in enumerate(lines):
            whole = [*coding.prefix, *ids[i], *coding.suffix]
            filled[line, : len(whole)], attention[line, : len(whole)] = whole, 1
            row[line, : len(whole)] = SPECIAL
            row[line, len(coding.prefix) : len(coding.prefix) + len(ids[i])] = taken[i // sides]
        nowhere = np.zeros(0, np.int64)
        target = labels[taken[here]].astype(np.int64)
        batches.append(Batch(torch.from_numpy(filled), torch.from_numpy(attention), nowhere, nowhere, target, row))
    return taken[order], batches


def line_files(
    batches: Sequence[Batch], rows: np.ndarray, left: np.ndarray, right: np.ndarray, file_of: np.ndarray
) -> list[np.ndarray]:
    """File codes of the windows of each batch of pairs: left sides, then right ones. rows : in the batches' order;
    left, right : (rows of the split,) inputs; file_of : (inputs,) codes."""
    ends = np.cumsum([len(batch.target) for batch in batches])[:-1]
    return [file_of[np.concatenate([left[own], right[own]])] for own in np.split(rows, ends)]


def position_mean(states: list[torch.Tensor | None], batches: list[Batch]) -> np.ndarray:
    """Mean of every neuron over all positions but padding, float64 (layers * width,)."""
    own = np.concatenate([batch.attention.numpy().ravel() == 1 for batch in batches])
    return np.concatenate([s.numpy()[own].mean(axis=0, dtype=np.float64) for s in states if s is not None])


def class_order(config: Any, classes: list[str]) -> list[int]:
    """Which output of the head each class of the card is. NoHeadError where their numbers differ."""
    stated = {int(k): str(v) for k, v in (getattr(config, "id2label", None) or {}).items()}
    if config.num_labels != len(classes):
        raise NoHeadError(f"its head has {config.num_labels} outputs, and the task {len(classes)} classes")
    if sorted(stated.values()) == sorted(classes):
        place = {name: i for i, name in stated.items()}
        return [place[name] for name in classes]
    return list(range(len(classes)))


@torch.inference_mode()
def predict_rows(loaded: Loaded, batches: Sequence[Batch], scores: Scores, change: Change | None = None) -> Prediction:
    """The head's predictions of the rows of all batches; ``log_p`` (rows, classes)."""
    found = []
    with language.changed(loaded, change) as cursor:
        for number, batch in enumerate(batches):
            cursor.move(number, batch)
            found.append(language.log_softmax(scores(batch).numpy()))
    target = np.concatenate([batch.target for batch in batches])
    log_p = np.concatenate(found)
    true = log_p[np.arange(len(target)), target].astype(np.float64)
    if not np.isfinite(true).all():
        raise ActivationsError(f"model {loaded.name}: a prediction is not finite; the weights are damaged")
    return Prediction(true, log_p.argmax(axis=1) == target, log_p)
