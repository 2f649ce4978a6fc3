"""A language model's own predictions of tokens, with some of its neurons changed on the way. Reads and writes no files.

Layer i is what :func:`neurosieve.activations.models.hidden_states` calls it, and is changed there, at every position:
layer 0 where it enters block 1, a layer between at the output of its block, the last one at the model's output, which
for pre-norm models lies after the final norm and goes straight into the head. A forward pass then goes on from the
changed values, so the layers above see them.

Masked models predict a token's first sub-word where all of its sub-words are masked; several tokens of a window are
masked at once, as in training. Causal models predict it from what stands before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from neurosieve.activations.batches import ActivationsError, Coding, Plan, Rows, Where, plan_inputs
from neurosieve.activations.models import Loaded, NoHeadError, short_ids


@dataclass(frozen=True)
class Batch:
    """Windows run at once. ids, attention (windows, sub-words); of its tokens, arrays (tokens,):

    window, position : where the model's prediction of the token is read; target : the token's first sub-word.
    """

    ids: torch.Tensor
    attention: torch.Tensor
    window: np.ndarray
    position: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class Sample:
    """Tokens to predict. rows (tokens,): their rows, in the order of the batches; facts: counts."""

    rows: np.ndarray
    batches: list[Batch]
    facts: dict[str, int]


@dataclass(frozen=True)
class Change:
    """Neurons (global indices) whose deviation from ``mean`` (neurons,) float32 is multiplied by ``amount``."""

    neurons: np.ndarray
    mean: np.ndarray
    amount: float


@dataclass(frozen=True)
class Prediction:
    """Per token, (tokens,): log-probability (nats, float64) of the true sub-word, and whether it is the likeliest.

    log_p (tokens, vocabulary) float32: the whole distribution.
    """

    true: np.ndarray
    right: np.ndarray
    log_p: np.ndarray


def draw_sample(
    inputs: Sequence[dict[str, Any]],
    rows: Rows,
    files: np.ndarray,
    coding: Coding,
    mask: int | None,
    where: Where,
    rng: np.random.Generator,
    *,
    tokens: int,
    per_window: int,
    window: int,
    batch_tokens: int,
) -> Sample:
    """At most ``tokens`` rows, from as many files as possible: of each file one input in turn, of an input one window.

    Of an input the window of a random row is taken, and up to ``per_window`` random rows of that window. ``files``
    (rows,) are file codes. Rows that no window holds whole, or that have nothing before them in a causal model, are
    not drawn, and counted among the inputs looked at.
    """
    with_rows, first = np.unique(rows.input, return_index=True)
    drawn = rng.permutation(len(with_rows))
    turn = np.empty(len(drawn), np.int64)
    turns: dict[int, int] = {}
    for i, file in enumerate(files[first[drawn]].tolist()):
        turn[i] = turns[file] = turns.get(file, -1) + 1
    chosen = with_rows[drawn[np.argsort(turn, kind="stable")]][:tokens]
    new_id = np.full(len(inputs), -1)
    new_id[chosen] = np.arange(len(chosen))
    kept = np.flatnonzero(new_id[rows.input] >= 0)
    plan = plan_inputs(
        [inputs[i] | {"id": new} for new, i in enumerate(chosen)],
        Rows(new_id[rows.input[kept]], rows.start[kept], rows.end[kept]),
        coding,
        lambda kind, index: where(kind, int((chosen if kind == "inputs" else kept)[index])),
        subword="mean",
        pooling="mean",
        window=window,
        batch_tokens=batch_tokens,
    )
    whole = plan.vector_parts[plan.part_vector] == 1
    context = np.full(len(whole), mask is not None) | (len(coding.prefix) + plan.part_start > 0)
    window_of = np.repeat(np.arange(len(plan.window_input)), np.diff(plan.part_bounds))
    usable: list[list[int]] = [[] for _ in chosen]
    for part in np.flatnonzero(whole & context).tolist():
        usable[plan.window_input[window_of[part]]].append(part)
    taken: dict[int, np.ndarray] = {}
    left = tokens
    for parts in usable:
        if left and parts:
            order = rng.permutation(np.array(parts))
            at = int(window_of[order[0]])
            taken[at] = np.sort(order[window_of[order] == at][: min(per_window, left)])
            left -= len(taken[at])
    batches = list(_batches(plan, taken, coding, mask, batch_tokens))
    parts_taken = np.concatenate([taken[w] for w in sorted(taken)] or [np.zeros(0, np.int64)])
    masked = sum(int((batch.ids == mask).sum()) for batch in batches) if mask is not None else 0
    return Sample(
        rows=kept[plan.part_vector[parts_taken]],
        batches=batches,
        facts={
            "windows": len(taken),
            "subwords": int(sum(batch.attention.sum() for batch in batches)),
            "masked_subwords": masked,
            "rows_in_no_window": int((plan.vector_parts != 1).sum()),
            "rows_without_context": int((whole & ~context).sum()),
        },
    )


def _batches(
    plan: Plan, taken: dict[int, np.ndarray], coding: Coding, mask: int | None, batch_tokens: int
) -> Iterator[Batch]:
    """The windows in the plan's order, the longest first, so many at a time that longest * number <= batch_tokens.

    Of one length where the model cannot be padded.
    """
    prefix, suffix = coding.prefix, coding.suffix
    windows = sorted(taken)
    at = 0
    while at < len(windows):
        length = int(plan.window_stop[windows[at]] - plan.window_start[windows[at]]) + len(prefix) + len(suffix)
        here = windows[at : at + max(1, batch_tokens // length)]
        if not coding.padded:
            here = [w for w in here if plan.window_stop[w] - plan.window_start[w] == length - len(prefix) - len(suffix)]
        at += len(here)
        ids = np.full((len(here), length), coding.pad, np.int64)
        attention = np.zeros_like(ids)
        window, position, target = [], [], []
        for row, w in enumerate(here):
            text = plan.ids[plan.window_start[w] : plan.window_stop[w]]
            filled = np.array([*prefix, *text, *suffix], np.int64)
            for part in taken[w]:
                target.append(int(text[plan.part_start[part]]))
                if mask is not None:
                    filled[len(prefix) + plan.part_start[part] : len(prefix) + plan.part_stop[part]] = mask
                window.append(row)
                # a causal model's output at one place predicts the next
                position.append(len(prefix) + int(plan.part_start[part]) - (mask is None))
            ids[row, : len(filled)] = filled
            attention[row, : len(filled)] = 1
        yield Batch(
            torch.from_numpy(ids),
            torch.from_numpy(attention),
            np.array(window, np.int64),
            np.array(position, np.int64),
            np.array(target, np.int64),
        )


def blocks_of(loaded: Loaded) -> Any:
    """The model's list of blocks; NoHeadError where its layers are not the outputs of such a list."""
    for module in loaded.model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == loaded.layers - 1:
            return module
    raise NoHeadError(f"no list of {loaded.layers - 1} blocks, one per layer, at which a layer could be changed")


@contextmanager
def changed(loaded: Loaded, change: Change | None) -> Iterator[None]:
    """Within the context the model runs with the neurons changed; ``loaded`` is as load_language_model gives it."""
    hooks: list[Any] = []
    if change is not None:
        blocks = blocks_of(loaded)
        layer_of = change.neurons // loaded.width
        for layer in np.unique(layer_of).tolist():
            here = layer_of == layer
            units = torch.from_numpy(change.neurons[here] % loaded.width)
            mean = torch.from_numpy(change.mean[here].astype(np.float32))
            # before other hooks: the library's own, which collect the hidden states, then see what was changed
            if layer == 0:
                hook = _entering(units, mean, change.amount)
                hooks.append(blocks[0].register_forward_pre_hook(hook, prepend=True))
            elif layer < loaded.layers - 1:
                hook = _leaving(units, mean, change.amount)
                hooks.append(blocks[layer - 1].register_forward_hook(hook, prepend=True))
            else:
                hook = _leaving(units, mean, change.amount)
                hooks.append(loaded.model.base_model.register_forward_hook(hook, prepend=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _scaled(state: torch.Tensor, units: torch.Tensor, mean: torch.Tensor, amount: float) -> torch.Tensor:
    out = state.clone()
    out[..., units] = torch.lerp(mean, state[..., units], amount)  # exact for the amounts 0 and 1
    return out


def _entering(units: torch.Tensor, mean: torch.Tensor, amount: float) -> Any:
    def hook(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (_scaled(args[0], units, mean, amount), *args[1:])

    return hook


def _leaving(units: torch.Tensor, mean: torch.Tensor, amount: float) -> Any:
    def hook(module: Any, args: Any, output: Any) -> Any:
        if isinstance(output, torch.Tensor):
            return _scaled(output, units, mean, amount)
        if isinstance(output, tuple):
            return (_scaled(output[0], units, mean, amount), *output[1:])
        output.last_hidden_state = _scaled(output.last_hidden_state, units, mean, amount)
        return output

    return hook


@torch.inference_mode()
def predict(loaded: Loaded, batches: Sequence[Batch], change: Change | None = None) -> Prediction:
    """The model's predictions of the tokens of all batches; the head runs on their positions only."""
    found: list[np.ndarray] = []
    place: list[tuple[np.ndarray, np.ndarray]] = []

    def pick(module: Any, args: Any, output: Any) -> Any:
        window, position = place[-1]
        output.last_hidden_state = output.last_hidden_state[window, position][None]
        return output

    with changed(loaded, change):
        picking = loaded.model.base_model.register_forward_hook(pick)
        try:
            for batch in batches:
                place.append((batch.window, batch.position))
                logits = loaded.model(input_ids=batch.ids, attention_mask=batch.attention).logits
                found.append(_log_softmax(logits[0].numpy()))
        finally:
            picking.remove()
    log_p = np.concatenate(found)
    target = np.concatenate([batch.target for batch in batches])
    true = log_p[np.arange(len(target)), target].astype(np.float64)
    if not np.isfinite(true).all():
        raise ActivationsError(f"model {loaded.name}: a prediction is not finite; the weights are damaged")
    return Prediction(true, log_p.argmax(axis=1) == target, log_p)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis, float32; the sum of the exponentials in float64."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    total = np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64)
    return shifted - np.log(total).astype(np.float32)


def divergence(before: Prediction, after: Prediction) -> np.ndarray:
    """Kullback-Leibler divergence of the changed from the unchanged distribution, nats, float64 (tokens,)."""
    terms = np.exp(before.log_p)
    terms *= before.log_p - after.log_p
    return terms.sum(axis=1, dtype=np.float64)


@torch.inference_mode()
def check_head(loaded: Loaded) -> None:
    """Refuse (NoHeadError) a model whose head does not work position by position on its last layer.

    Also one whose layers cannot be changed: no list of blocks.
    """
    blocks_of(loaded)
    ids = short_ids(loaded.coding).repeat(1, 2)
    whole = loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    positions = np.arange(ids.shape[1])[::-1].copy()
    batch = Batch(ids, torch.ones_like(ids), np.zeros_like(positions), positions, np.zeros_like(positions))
    try:
        alone = predict(loaded, [batch]).log_p
    except (RuntimeError, IndexError, AttributeError, TypeError) as error:
        raise NoHeadError(f"the head cannot run on single positions ({type(error).__name__})") from error
    wanted = _log_softmax(whole[0].numpy())[positions]
    if alone.shape != wanted.shape or not np.allclose(alone, wanted, rtol=1e-3, atol=1e-3):
        raise NoHeadError("the head does not work position by position")
