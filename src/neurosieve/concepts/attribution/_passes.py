"""Backward passes through a language model: how much each neuron bears on each predicted token. No files.

Layers are those of :mod:`neurosieve.concepts.language`: layer 0 where it enters block 1, a layer between at the output
of its block, the last one at the model's output. A neuron's score for a token is the sum over all positions of the
window, for that is where a change of the neuron takes place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from neurosieve.activations.batches import ActivationsError
from neurosieve.activations.models import Loaded
from neurosieve.concepts.language import Batch, blocks_of

# A context in which the forward pass runs, and which may change what the backward pass does.
Rules = Callable[[], AbstractContextManager[Any]]
# From value, coefficient (windows, positions, width) and the train mean (width,) to contributions of the same shape.
Contribution = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def gradient() -> AbstractContextManager[Any]:
    """The plain gradient."""
    return nullcontext()


def score_tokens(
    loaded: Loaded,
    batches: Sequence[Batch],
    mean: np.ndarray,
    rules: Rules,
    contributions: Mapping[str, Contribution],
    title: str = "",
) -> dict[str, np.ndarray]:
    """Scores of every neuron for every token, float64 (tokens, layers * width) by name.

    ``loaded`` is as load_language_model gives it under ``numerics: fast``, for the products that `portable` puts in
    have no gradient. ``mean`` (layers, width), on train. The ``contributions`` share the passes. ``title``: of the bar
    that shows progress; none without one. NoRuleError as the ``rules`` raise it.
    """
    width = loaded.width
    scores: dict[str, list[np.ndarray]] = {name: [] for name in contributions}
    for batch in tqdm(batches, desc=title, unit="batch", mininterval=5, disable=not title):
        found = {name: np.zeros((len(batch.target), loaded.layers * width)) for name in contributions}
        for own, part in _alike(batch):
            states, passes = _forward(loaded, part, rules)
            values = [state.detach().numpy() for state in states]
            for tokens, gradients in passes:  # one token of each window, in the order of the windows
                for layer, (value, coefficient) in enumerate(zip(values, gradients, strict=True)):
                    columns = slice(layer * width, (layer + 1) * width)
                    for name, contribution in contributions.items():
                        # padding adds nothing: its coefficients are 0
                        given = contribution(value, coefficient, mean[layer].astype(np.float32))
                        found[name][own[tokens], columns] = given.sum(axis=1, dtype=np.float64)
        for name, values_of in found.items():
            if not np.isfinite(values_of).all():
                raise ActivationsError(f"model {loaded.name}: scores of {name} are not finite; the weights are damaged")
            scores[name].append(values_of)
    return {name: np.concatenate(parts) for name, parts in scores.items()}


def _alike(batch: Batch) -> Iterator[tuple[np.ndarray, Batch]]:
    """Parts of a batch whose windows have as many tokens each, with the places of their tokens in the batch.

    As many backward passes are needed as a window has tokens: beside others it would run in theirs too.
    """
    count = np.bincount(batch.window, minlength=len(batch.ids))
    for number in np.unique(count[count > 0]).tolist():
        windows = np.flatnonzero(count == number)
        own = np.flatnonzero(count[batch.window] == number)
        ids, attention = (tensor[torch.from_numpy(windows)] for tensor in (batch.ids, batch.attention))
        window = np.searchsorted(windows, batch.window[own])
        yield own, Batch(ids, attention, window, batch.position[own], batch.target[own])


def _forward(loaded: Loaded, batch: Batch, rules: Rules) -> Any:
    """The layers' states, and the backward passes, made one after the other; every window has as many tokens.

    A pass is (tokens, coefficients of each layer), one token of every window, in the windows' order.
    """
    states: list[torch.Tensor] = []

    def entering(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        states.append(args[0].detach().clone().requires_grad_(True))
        return (states[0], *args[1:])

    def leaving(module: Any, args: Any, output: Any) -> None:
        states.append(output if isinstance(output, torch.Tensor) else output[0])

    def picking(module: Any, args: Any, output: Any) -> Any:
        states.append(output.last_hidden_state)
        output.last_hidden_state = output.last_hidden_state[batch.window, batch.position][None]
        return output

    blocks = blocks_of(loaded)
    with ExitStack() as stack:
        hooks = [blocks[0].register_forward_pre_hook(entering), loaded.model.base_model.register_forward_hook(picking)]
        hooks += [block.register_forward_hook(leaving) for block in list(blocks)[:-1]]
        for hook in hooks:
            stack.callback(hook.remove)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        with rules():
            logits = loaded.model(input_ids=batch.ids, attention_mask=batch.attention).logits[0]
        log_p = torch.log_softmax(logits, dim=-1)[torch.arange(len(batch.target)), torch.from_numpy(batch.target)]

    def passes() -> Any:
        # tokens come window by window
        each = np.arange(len(batch.window)).reshape(len(batch.ids), -1)
        for tokens in each.T:
            with torch.inference_mode(False), torch.enable_grad():
                found = torch.autograd.grad(log_p[torch.from_numpy(tokens)].sum(), states, retain_graph=True)
            yield tokens, [gradient.numpy() for gradient in found]

    return states, passes()
