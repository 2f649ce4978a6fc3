"""Train a whole model on a sequence or pair task, before its activations for that task are taken.

Reads prepare/tasks/<task>/train and card (never tune, judge or test), and the model's folder. Writes the artifact
activations/<model>/<task>/finetuned: config.json, model.safetensors (float32), the tokenizer's files, head.safetensors,
report.json; and while it runs .finetuned.checkpoint beside it: state.json and step-00000000.safetensors, gone when it
is done.

A linear head stands on the pooled last hidden state: `activations.pooling` over an input's own sub-words, and of a pair
the `probes.pair_features` of its two sides, each run through the same model. Loss: cross-entropy, or the squared error
of the target standardised on the training rows. AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), decay on matrices
only; the rate rises linearly over the share `warmup` of all steps, then falls linearly to 0; gradients are clipped to a
norm of 1. The head is kept beside the model: head.safetensors, weight (outputs, columns) and bias.

Validation. A share of the train files, drawn with the seed. A pair whose sides lie on either side of the cut is in
neither part, and counted. Training stops after `patience` epochs without a better validation loss, and the weights of
the best epoch are kept.

Same bytes. What is random in a step (dropout) comes from the seed and the number of the step, the order of an epoch
from the seed and the number of the epoch. Under `numerics: portable` one thread computes, however many there are: MKL
shares the sum of a small product between threads, which changes the last bits of gradients. Square roots of the
optimiser come from numpy, for those of torch differ between processors. docs/fine-tune.md says what is not promised.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import transformers
from torch.nn import functional
from tqdm import tqdm

from neurosieve.activations.batches import CHUNK, ActivationsError, Coding
from neurosieve.activations.devices import find_device
from neurosieve.activations.models import CONFIG, PLAIN, Loaded, load_model, short_ids
from neurosieve.artifacts import (
    Paths,
    Writer,
    code_sha256,
    dump_json,
    read_json,
    read_jsonl,
    sha256_file,
    write_text,
)
from neurosieve.config import Finetune, Params
from neurosieve.flow import inputs_of, settings_of, writer
from neurosieve.memory import out_of_memory
from neurosieve.numerics import add

log = logging.getLogger(__name__)

WEIGHTS, HEAD = "model.safetensors", "head.safetensors"
BETAS, EPSILON, CLIP = (0.9, 0.999), 1e-8, 1.0
HEAD_DEVIATION = 0.02  # of the head's first weights
POOL = 16  # batches among which inputs of like length are put together, which spares padding
CHECKPOINT_SECONDS = 300.0  # between two checkpoints inside an epoch; changes no result
# What a model folder has beside config and weights: tokenizers, and code that `trust_remote_code` allows.
KEPT = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges*", "*.model", "*.jinja", "*.py")


@dataclass(frozen=True)
class Data:
    """The train split of a task, cut into what is trained on and what stops the training.

    ids : sub-words of each input, without special tokens. inputs : (rows, 1), of pairs (rows, 2). labels : (rows,)
    int64, or float32 standardised targets. outputs : classes, or 1 for a target. fit, validation : rows of each part.
    """

    ids: list[np.ndarray]
    inputs: np.ndarray
    labels: np.ndarray
    outputs: int
    regression: bool
    fit: np.ndarray
    validation: np.ndarray
    facts: dict[str, Any]


def read_data(paths: Paths, task: str, coding: Coding, settings: Finetune, key: str) -> Data:
    """Rows of the train split; ``key`` is that of the settings in the params file, for messages.

    Raises
    ------
    ActivationsError
        a token task, an input without sub-words, or too few files to validate on some of them.
    """
    card = read_json(paths.task(task) / "card" / "card.json")
    if card["unit"] not in ("sequence", "pair"):
        raise ActivationsError(
            f"{key}.tasks: found {task!r}, a {card['unit']} task: models are trained on sequence and pair tasks only; "
            "take it out of the list, and the model stays as it is on it"
        )
    folder = paths.task(task) / "train"
    texts, rows = read_jsonl(folder / "inputs.jsonl"), read_jsonl(folder / "rows.jsonl")
    sides = ("input", "input2") if card["unit"] == "pair" else ("input",)
    regression = not card["classes"]
    inputs = np.array([[row[side] for side in sides] for row in rows], np.int64)
    labels = np.array([row["target" if regression else "label"] for row in rows])

    specials = len(coding.prefix) + len(coding.suffix)
    room = min(settings.max_subwords, (coding.maximum or math.inf) - specials)
    ids: list[np.ndarray] = []
    for first in range(0, len(texts), CHUNK):
        chunk = texts[first : first + CHUNK]
        encodings = coding.tokenizer.encode_batch([text["text"] for text in chunk], add_special_tokens=False)
        ids += [np.array(encoding.ids, np.int64) for encoding in encodings]
    lengths = np.array([len(found) for found in ids])
    if not lengths.all():
        raise ActivationsError(
            f"{folder}/inputs.jsonl:{int(np.argmin(lengths)) + 1}: no sub-words in the text; leave empty inputs out"
        )

    names = sorted({texts[i]["file"] for i in inputs.ravel()})
    chosen = max(1, round(settings.validation * len(names)))
    if chosen >= len(names):
        raise ActivationsError(
            f"{key}.validation: found {settings.validation:g}, which leaves {len(names) - chosen} of {len(names)} "
            f"files of {folder} to train on; give more files, or take the task out of {key}.tasks"
        )
    drawn = np.random.default_rng([settings.seed, 0]).permutation(len(names))[:chosen]
    held = {names[i] for i in drawn}
    inside = np.array([text["file"] in held for text in texts])[inputs]
    fit, validation = np.flatnonzero(~inside.any(axis=1)), np.flatnonzero(inside.all(axis=1))
    if not len(fit) or not len(validation):
        raise ActivationsError(
            f"{key}.validation: {len(fit)} rows to train on and {len(validation)} to validate on, of {len(rows)}; the "
            "others are pairs of files of both parts; write another share, or take the task out of the list"
        )
    facts: dict[str, Any] = {
        "inputs": len(texts),
        "cut_inputs": int((lengths > room).sum()),
        "cut_subwords": int(np.maximum(lengths - room, 0).sum()),
        "rows": len(fit),
        "validation_rows": len(validation),
        "rows_across": len(rows) - len(fit) - len(validation),
        "files": len(names) - chosen,
        "validation_files": chosen,
    }
    if regression:
        mean, deviation = labels[fit].mean(), labels[fit].std()
        if deviation == 0:
            raise ActivationsError(f"{folder}/rows.jsonl: every target is {mean:g}, so there is nothing to learn")
        labels = ((labels - mean) / deviation).astype(np.float32)
        facts |= {"target_mean": float(mean), "target_deviation": float(deviation)}
    return Data(
        ids=[found[: int(min(room, len(found)))] for found in ids],
        inputs=inputs,
        labels=labels,
        outputs=1 if regression else len(card["classes"]),
        regression=regression,
        fit=fit,
        validation=validation,
        facts=facts,
    )


def row_lengths(data: Data) -> np.ndarray:
    """Sub-words of the longest input of each row."""
    return np.array([len(found) for found in data.ids])[data.inputs].max(axis=1)


def epoch_batches(data: Data, batch: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Rows of each step of an epoch: all training rows once, in random order but for neighbours of like length."""
    rng = np.random.default_rng([seed, 1, epoch])
    order, lengths = rng.permutation(data.fit), row_lengths(data)
    batches: list[np.ndarray] = []
    for first in range(0, len(order), POOL * batch):
        pool = order[first : first + POOL * batch]
        pool = pool[np.argsort(-lengths[pool], kind="stable")]
        batches += [pool[i : i + batch] for i in range(0, len(pool), batch)]
    return [batches[i] for i in rng.permutation(len(batches))]


class Tuned(torch.nn.Module):
    """A model and a linear head on its pooled last hidden state."""

    def __init__(self, model: Any, columns: int, outputs: int, pooling: str, features: tuple[str, ...], seed: int):
        super().__init__()
        self.model, self.pooling, self.features = model, pooling, features
        weights = np.random.default_rng([seed, 3]).normal(0, HEAD_DEVIATION, (outputs, columns)).astype(np.float32)
        self.head = torch.nn.Linear(columns, outputs)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weights))
            self.head.bias.zero_()

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, own: torch.Tensor, sides: int) -> torch.Tensor:
        """Scores (rows, outputs). ids, mask, own (rows * sides, sub-words): all left sides, then all right ones."""
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        vectors = pool(states, own, self.pooling)
        if sides == 1:
            return self.head(vectors)
        left, right = vectors.chunk(2)
        made = {"absdiff": (left - right).abs(), "product": left * right, "left": left, "right": right}
        return self.head(torch.cat([made[name] for name in self.features], dim=1))


def pool(states: torch.Tensor, own: torch.Tensor, how: str) -> torch.Tensor:
    """A vector per input, (inputs, width), of its own sub-words' states; own (inputs, sub-words) bool."""
    if how == "mean":
        return (states * own[..., None]).sum(dim=1) / own.sum(dim=1, keepdim=True)
    if how == "max":
        return states.masked_fill(~own[..., None], -math.inf).amax(dim=1)
    place = torch.arange(own.shape[1], device=own.device) * own
    at = place.max(dim=1).values if how == "last" else torch.where(own, place, own.shape[1]).min(dim=1).values
    return states[torch.arange(len(states), device=own.device), at]


def make_batch(data: Data, rows: np.ndarray, coding: Coding, device: torch.device) -> tuple[torch.Tensor, ...]:
    """ids, attention mask, own sub-words (inputs, longest) of the rows' inputs, left sides first, padded on the right.

    Own sub-words are those of the text, neither special tokens nor padding.
    """
    texts = [data.ids[i] for i in data.inputs[rows].T.ravel()]
    before, around = len(coding.prefix), len(coding.prefix) + len(coding.suffix)
    ids = np.full((len(texts), max(map(len, texts)) + around), coding.pad, np.int64)
    mask, own = np.zeros_like(ids), np.zeros(ids.shape, bool)
    for i, text in enumerate(texts):
        ids[i, : len(text) + around] = (*coding.prefix, *text, *coding.suffix)
        mask[i, : len(text) + around] = 1
        own[i, before : before + len(text)] = True
    return tuple(torch.from_numpy(array).to(device) for array in (ids, mask, own))


class AdamW:
    """AdamW, written out: its square roots come from numpy, which rounds them alike on every processor."""

    def __init__(self, module: torch.nn.Module, weight_decay: float) -> None:
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.first = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.second = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.weight_decay = weight_decay

    @torch.no_grad()
    def step(self, number: int, rate: float) -> None:
        """Update ``number`` (from 1) with the gradients at hand, clipped together to the norm CLIP."""
        gradients = {name: p.grad for name, p in self.parameters.items() if p.grad is not None}
        norm = math.sqrt(add(float(g.double().square().sum()) for g in gradients.values()))
        scale = min(1.0, CLIP / max(norm, 1e-12))
        a, b = BETAS
        for name, gradient in gradients.items():
            p, m, v = self.parameters[name], self.first[name], self.second[name]
            gradient = gradient * scale
            m.mul_(a).add_(gradient * (1 - a))
            v.mul_(b).add_(gradient.square_().mul_(1 - b))
            if p.ndim > 1:
                p.mul_(1 - rate * self.weight_decay)
            root = _sqrt(v).div_(math.sqrt(1 - b**number)).add_(EPSILON)
            p.sub_((m / root).mul_(rate / (1 - a**number)))


def _sqrt(values: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.sqrt(values.numpy())) if values.device.type == "cpu" else values.sqrt()


def rate_share(step: int, steps: int, warmup: float) -> float:
    """Learning rate of a step (from 0) as a share of its highest value."""
    rise = round(warmup * steps)
    return (step + 1) / rise if step < rise else (steps - step) / (steps - rise)


def train_model(params: Params, paths: Paths, *, model: str, task: str, cache: Path) -> None:
    """Train ``models.<model>`` on the train split of the task and write it as a model folder.

    Raises
    ------
    ActivationsError
        a token task, a part of a model that has no last state of its own, too little data, a loss that is not finite,
        out of memory; it names the key or the file and what to change.
    """
    settings = params.models[model].finetune
    key = f"models.{model}.finetune"
    if settings is None or task not in settings.tasks:
        raise ActivationsError(f"{key}.tasks: {task!r} is not among them; add it, or take the model as it is")
    find_device(params.numerics)  # refuses one whose bits are not those of the numerics
    # Gradients need torch's own products, and weights of single precision whatever the dump computes in
    single = params.activations.model_copy(update={"dtype": "float32"})
    loaded = load_model(params.model_copy(update={"numerics": PLAIN, "activations": single}), model, cache)
    backbone = _backbone(loaded, model)
    data = read_data(paths, task, loaded.coding, settings, key)
    for fact, text in (("cut_inputs", "inputs cut to finetune.max_subwords"), ("rows_across", "pairs not used")):
        if data.facts[fact]:
            log.warning("%s %s: %d %s, see report.json", model, task, data.facts[fact], text)
    features = tuple(params.probes.pair_features)
    columns = _state_width(loaded) * (len(features) if data.inputs.shape[1] == 2 else 1)
    part = Tuned(backbone, columns, data.outputs, params.activations.pooling, features, settings.seed)
    part.to(loaded.device)

    identity = {
        "params": {"model": model, "task": task, **settings_of(params, "finetune_model", model=model, task=task)},
        "model": loaded.facts,
        "inputs": {
            source.name: sha256_file(source / "manifest.json")
            for source in inputs_of(params, paths, "finetune_model", model=model, task=task)
        },
        "code": code_sha256("activations"),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    folder = paths.finetuned(model, task)
    checkpoint = Checkpoint(folder.with_name(f".{folder.name}.checkpoint"), identity)
    with _repeatable():
        report, best = _train(part, data, loaded.coding, settings, checkpoint, f"{model} {task}")
    with torch.no_grad():
        for name, parameter in part.named_parameters():
            parameter.copy_(best[name])
    report |= {
        "model": model,
        "task": task,
        "training": params.training(model, task),
        "loss": "squared error of the standardised target" if data.regression else "cross-entropy",
        **data.facts,
    }
    with writer(params, paths, "finetune_model", model=model, task=task) as out:
        _write_model(loaded, out)
        out.tensors(HEAD, {name: p.detach().cpu().numpy() for name, p in part.head.named_parameters()})
        out.json("report.json", report)
        out.facts = {
            **{k: v for k, v in report.items() if k not in ("epochs", "model", "task")},
            "base": loaded.facts,
            "model_sha256": sha256_file(out.path(WEIGHTS)),
        }
    checkpoint.remove()


def _backbone(loaded: Loaded, name: str) -> Any:
    """The model, made ready to be trained; of an encoder-decoder the encoder alone."""
    if loaded.part is not None:
        raise ActivationsError(
            f"models.{name}.part: found {loaded.part.kind!r}; an encoder-decoder is trained as its encoder alone: "
            f"write `part: encoder`, or take models.{name}.finetune out"
        )
    if not loaded.coding.padded or loaded.snapshot is not None:
        what = "its values depend on the padding of a batch" if loaded.snapshot is None else "it changes when it is run"
        raise ActivationsError(f"models.{name}.finetune: {what}, so it is not trained here; take it out")
    model = loaded.model
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("eager")  # the fused ones repeat no bits on a GPU
    return model.requires_grad_(True)


@torch.no_grad()
def _state_width(loaded: Loaded) -> int:
    """Of the last hidden state, whichever neurons the model's entry names."""
    return int(loaded.model(input_ids=short_ids(loaded.coding).to(loaded.device)).last_hidden_state.shape[-1])


@contextmanager
def _repeatable() -> Iterator[None]:
    """Deterministic algorithms, and the random state and settings of the process as they were afterwards."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic products on a GPU need
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    with torch.random.fork_rng():
        try:
            torch.use_deterministic_algorithms(True)
            memory.fill_uninitialized_memory = False  # all of it is written anyway
            yield
        finally:
            torch.use_deterministic_algorithms(before[0])
            memory.fill_uninitialized_memory = before[1]


def _train(
    part: Tuned, data: Data, coding: Coding, settings: Finetune, checkpoint: Checkpoint, title: str
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The report of the epochs, and the parameters of the best one."""
    optimiser = AdamW(part, settings.weight_decay)
    per_epoch = -(-len(data.fit) // settings.batch)
    steps = per_epoch * settings.epochs
    best: dict[str, torch.Tensor] = {}
    step, loss_sum, epochs = 0, 0.0, list[dict[str, Any]]()
    stored = checkpoint.load()
    if stored is not None:
        tensors, facts = stored
        step, loss_sum, epochs = facts["step"], facts["loss_sum"], facts["epochs"]
        _restore(tensors, part, optimiser, best)
    else:
        epochs.append({"epoch": 0, "train_loss": None, **_validate(part, data, coding, settings.batch)})
    batches: list[np.ndarray] = []
    saved = time.monotonic()
    with tqdm(total=steps, initial=step, desc=title, unit=" steps", mininterval=5) as progress:
        while step < steps and not _stops(epochs, settings.patience):
            epoch, at = divmod(step, per_epoch)
            if not batches or at == 0:
                batches = epoch_batches(data, settings.batch, settings.seed, epoch)
            torch.manual_seed(_step_seed(settings.seed, step))
            part.train()
            with _in_memory(data, batches[at]):
                losses = _loss(_scores(part, data, batches[at], coding), data, batches[at])
                losses.mean().backward()
            optimiser.step(step + 1, settings.learning_rate * rate_share(step, steps, settings.warmup))
            part.zero_grad(set_to_none=True)
            loss_sum += float(losses.detach().double().sum())
            step += 1
            progress.update()
            progress.set_postfix(loss=f"{float(losses.detach().mean()):.4f}", refresh=False)
            last = at + 1 == per_epoch
            found = _validate(part, data, coding, settings.batch) if last else {}
            if not all(map(math.isfinite, (loss_sum, *found.values()))):
                raise ActivationsError(f"{title}: the loss is not finite at step {step}; lower finetune.learning_rate")
            if last:
                epochs.append({"epoch": epoch + 1, "train_loss": loss_sum / len(data.fit), **found})
                loss_sum = 0.0
                if _best(epochs) == epoch + 1:
                    best = {name: p.detach().cpu().clone() for name, p in part.named_parameters()}
                progress.write(f"{title}: epoch {epoch + 1}: {json.dumps(epochs[-1])}", file=progress.fp)
            if last or time.monotonic() - saved > CHECKPOINT_SECONDS:
                checkpoint.save(_tensors(part, optimiser, best), {"step": step, "loss_sum": loss_sum, "epochs": epochs})
                saved = time.monotonic()
    report = {"epochs": epochs, "best_epoch": _best(epochs), "steps": step, "steps_planned": steps}
    return report, best


def _step_seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, 2, step]).generate_state(1, np.uint64)[0])


def _best(epochs: list[dict[str, Any]]) -> int:
    """The first of the epochs with the lowest validation loss; epoch 0, before any step, does not count."""
    return min(epochs[1:], key=lambda entry: entry["validation_loss"])["epoch"]


def _stops(epochs: list[dict[str, Any]], patience: int) -> bool:
    return len(epochs) > 1 and epochs[-1]["epoch"] - _best(epochs) >= patience


def _scores(part: Tuned, data: Data, rows: np.ndarray, coding: Coding) -> torch.Tensor:
    return part(*make_batch(data, rows, coding, part.head.weight.device), data.inputs.shape[1])


@contextmanager
def _in_memory(data: Data, rows: np.ndarray) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise ActivationsError(
            f"out of memory in a step of {len(rows)} rows of at most {row_lengths(data)[rows].max()} sub-words; give "
            "more memory, or write a smaller finetune.batch or finetune.max_subwords"
        ) from error


def _loss(scores: torch.Tensor, data: Data, rows: np.ndarray) -> torch.Tensor:
    """Loss of each row, (rows,)."""
    wanted = torch.from_numpy(data.labels[rows]).to(scores.device)
    if data.regression:
        return (scores[:, 0] - wanted).square()
    return functional.cross_entropy(scores, wanted, reduction="none")


@torch.no_grad()
def _validate(part: Tuned, data: Data, coding: Coding, batch: int) -> dict[str, float]:
    """Mean loss on the validation rows without dropout, and accuracy, or R2 of a target."""
    part.eval()
    lengths = row_lengths(data)[data.validation]
    rows = data.validation[np.argsort(-lengths, kind="stable")]
    losses, hits = [], []
    for first in range(0, len(rows), batch):
        some = rows[first : first + batch]
        with _in_memory(data, some):
            scores = _scores(part, data, some, coding)
        losses.append(_loss(scores, data, some).double().cpu().numpy())
        hits.append(scores.argmax(dim=1).cpu().numpy() == data.labels[some])
    loss = np.concatenate(losses)
    if data.regression:
        wanted = data.labels[data.validation].astype(np.float64)
        spread = float(((wanted - wanted.mean()) ** 2).sum())
        return {"validation_loss": float(loss.mean()), "validation_r2": 1 - float(loss.sum()) / max(spread, 1e-12)}
    return {"validation_loss": float(loss.mean()), "validation_accuracy": float(np.concatenate(hits).mean())}


def _tensors(part: Tuned, optimiser: AdamW, best: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The whole state of a training: by kind and name of the parameter."""
    kinds: dict[str, dict[str, torch.Tensor]] = {
        "parameter": {name: p.detach() for name, p in part.named_parameters()},
        "first": optimiser.first,
        "second": optimiser.second,
        "best": best,
    }
    return {f"{kind}/{name}": t.cpu().contiguous() for kind, found in kinds.items() for name, t in found.items()}


@torch.no_grad()
def _restore(tensors: dict[str, torch.Tensor], part: Tuned, optimiser: AdamW, best: dict[str, torch.Tensor]) -> None:
    to: dict[str, dict[str, Any]] = {
        "parameter": dict(part.named_parameters()),
        "first": optimiser.first,
        "second": optimiser.second,
    }
    for key, value in tensors.items():
        kind, _, name = key.partition("/")
        if kind == "best":
            best[name] = value
        else:
            to[kind][name].copy_(value)


class Checkpoint:
    """The state of an unfinished training: step-00000000.safetensors, and state.json, written after it, that names it.

    ``identity`` is all that the result depends on: a state of another one is not used. Both files are put in place
    whole, so that a kill at any moment leaves the last state or the one before.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder, self.identity = folder, json.loads(dump_json(identity))

    def save(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / f"step-{facts['step']:08d}.safetensors"
        part = place.with_suffix(".part")
        safetensors.torch.save_file(tensors, part)
        digest = sha256_file(part)
        part.replace(place)
        state = {"identity": self.identity, "file": place.name, "sha256": digest, **facts}
        write_text(self.folder / "state.json", dump_json(state))
        for old in sorted(self.folder.glob("step-*")):
            if old != place:
                old.unlink()

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Tensors and facts to go on from, or None, after a warning that says why where there is something."""
        if not (self.folder / "state.json").is_file():
            return None
        try:
            state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
            changed = sorted(k for k, v in self.identity.items() if state["identity"].get(k) != v)
            if changed:
                log.warning("%s: made with other %s; the training starts anew", self.folder, ", ".join(changed))
                return None
            file = self.folder / state["file"]
            if sha256_file(file) != state["sha256"]:
                log.warning("%s: not as it was written; the training starts anew", file)
                return None
            facts = {k: state[k] for k in ("step", "loss_sum", "epochs")}
            tensors = safetensors.torch.load_file(file)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError) as error:
            log.warning("%s: not a checkpoint (%s); the training starts anew", self.folder, error)
            return None
        log.warning("%s: going on after step %d", self.folder, facts["step"])
        return tensors, facts

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _write_model(loaded: Loaded, out: Writer) -> None:
    """The model as a folder that load_model reads: its own config, new weights, the tokenizer's files."""
    folder, architecture = out.path(CONFIG).parent, type(loaded.model).__name__
    if "part" in loaded.facts:  # an encoder, to be found by its names in the encoder-decoder that the config tells of
        names, architecture = _names_of_encoder(loaded)
        tensors = {names[name]: p.detach().cpu().contiguous() for name, p in loaded.model.named_parameters()}
        safetensors.torch.save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    else:
        loaded.model.save_pretrained(folder, max_shard_size="1000GB")
    for extra in sorted(folder.iterdir()):
        if extra.name != WEIGHTS:  # a config that names versions, and the like
            extra.unlink()
    config = json.loads((loaded.folder / CONFIG).read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    out.json(CONFIG, config | {"architectures": [architecture], "dtype": "float32"})
    for pattern in KEPT:
        for file in sorted(loaded.folder.glob(pattern)):
            if file.is_file():
                shutil.copyfile(file, out.path(file.name))


def _names_of_encoder(loaded: Loaded) -> tuple[dict[str, str], str]:
    """Name of an encoder's parameter -> its name in the encoder-decoder, and the latter's class."""
    options = {"local_files_only": True, "trust_remote_code": "code_sha256" in loaded.facts}
    config = transformers.AutoConfig.from_pretrained(loaded.folder, **options)
    with torch.device("meta"):
        whole = transformers.AutoModel.from_config(config, trust_remote_code=options["trust_remote_code"])
    full = {id(p): name for name, p in whole.named_parameters()}
    return {name: full[id(p)] for name, p in whole.get_encoder().named_parameters()}, type(whole).__name__
