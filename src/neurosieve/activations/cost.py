"""What each layer of a model costs: parameters, bytes and floating-point operations, counted and not timed.

Reads the header of the model's safetensors files; writes nothing. The counts are facts of the activations' manifests.

Order of execution. One short text is run with a hook on every module; a layer is there when the first module returns
(or is given) the tensor that is its hidden state. What was called before that moment is needed for the layer, what
was called later is not. Nothing here knows an architecture.

Counted are, for a layer and everything below it:

- parameters: of the modules called, each once however often it is called, embedding tables whole. A parameter of a
  module that is never called itself counts with the innermost module around it that is.
- bytes: of these parameters in float32, as this project computes, and as stored in the model's files.
- flops per sub-word: two for each multiply-add of the linear products (torch.nn.Linear, transformers' Conv1D), and for
  each block below the layer 4 * T * A of attention over a context of T sub-words: the products of queries and keys,
  and of weights and values, A = heads * head width. Masks and sliding windows are not deducted: the implementation
  computes the products first. Biases, norms, activations and softmax are not counted, as is usual.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from neurosieve.activations.models import Loaded, hidden_states, short_ids, weight_files

FLOAT32 = 4
STORED = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}  # the rest: one byte


_Seen = tuple[int, torch.Tensor, torch.Tensor]  # event, tensor (kept, so that its memory is not reused), its copy then


class _Trace:
    """A forward pass of a short text, as a list of calls in their order; layer i is there after ``ends[i]`` events."""

    def __init__(self, model: Any, ids: torch.Tensor) -> None:
        self.began: dict[Any, int] = {}  # module -> event of its first call
        self.products: list[tuple[int, int]] = []  # event, multiply-adds of the whole text
        tensors: list[_Seen] = []
        events = 0

        def note(values: Any) -> None:
            for value in values if isinstance(values, (tuple, list)) else (values,):
                if isinstance(value, torch.Tensor) and value.ndim == 3:
                    tensors.append((events, value, value.clone()))

        def before(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            nonlocal events
            note((*args, *kwargs.values()))
            events += 1
            self.began.setdefault(module, events)
            if (size := linear_size(module)) is not None:
                given = args[0] if args else next(iter(kwargs.values()))
                self.products.append((events, given.numel() // size[0] * size[0] * size[1]))

        def after(module: Any, args: tuple[Any, ...], output: Any) -> None:
            nonlocal events
            events += 1
            note(output)

        hooks = []
        for module in model.modules():
            hooks.append(module.register_forward_pre_hook(before, with_kwargs=True))
            hooks.append(module.register_forward_hook(after))
        try:
            states = hidden_states(model, ids, None)
        finally:
            for hook in hooks:
                hook.remove()
        self.ends = _ends(states, tensors, events)


def _ends(states: Sequence[torch.Tensor], tensors: list[_Seen], last: int) -> list[int]:
    """Event at which each hidden state is there; one that no module saw counts as there with the next, from above."""
    ends: list[int | None] = []
    at = 0
    for state in states:
        found = None
        for event, tensor, copy in tensors:
            same = tensor.data_ptr() == state.data_ptr() and tensor.shape == state.shape
            if event >= at and same and torch.equal(copy, state):  # the copy: a later step may work in place
                found = at = event
                break
        ends.append(found)
    whole: list[int] = []
    for end in reversed(ends):
        last = last if end is None else end
        whole.append(last)
    return whole[::-1]


def linear_size(module: Any) -> tuple[int, int] | None:
    """Inputs and outputs of a linear layer; None for any other module."""
    if isinstance(module, torch.nn.Linear):
        return module.in_features, module.out_features
    return (module.nx, module.nf) if isinstance(module, Conv1D) else None


def layer_costs(loaded: Loaded, window: int) -> dict[str, Any]:
    """{"window": T, "layers": [{"layer", "parameters", "bytes", "bytes_stored", "flops"}, ...], "matrices_not_counted"}

    Cumulative integers, layer 0 to the last; ``window`` is params' activations.window, T the smaller of it and the
    positions of the model. "matrices_not_counted": elements of matrices that are called and belong neither to a linear
    layer nor to an embedding, whose products are missing in "flops" (0 for the architectures that are tested here).
    """
    context = min(window, loaded.coding.maximum or window)
    ids = short_ids(loaded.coding)
    trace = _Trace(loaded.model, ids)
    stored = _stored_sizes(loaded)
    attention = 4 * context * _attention_width(loaded)
    owned, other = _parameters(loaded.model, trace)
    layers = []
    for layer, end in enumerate(trace.ends):
        # a call that begins at the event at which a layer is there comes after it
        names = [name for name, (began, _) in owned.items() if began <= end]
        products = sum(count for event, count in trace.products if event <= end)
        layers.append(
            {
                "layer": layer,
                "parameters": sum(owned[name][1] for name in names),
                "bytes": FLOAT32 * sum(owned[name][1] for name in names),
                "bytes_stored": sum(owned[name][1] * stored[name] for name in names),
                "flops": -(-2 * products // ids.numel()) + layer * attention,
            }
        )
    return {"window": context, "layers": layers, "matrices_not_counted": other}


def _parameters(model: Any, trace: _Trace) -> tuple[dict[str, tuple[int, int]], int]:
    """Name -> (event of the first call that needs it, elements), shared parameters once; elements of other matrices."""
    modules = dict(model.named_modules())
    began: dict[int, tuple[int, str]] = {}
    other = 0
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owner = name.rpartition(".")[0]
        known = isinstance(modules[owner], torch.nn.Embedding) or linear_size(modules[owner]) is not None
        while modules[owner] not in trace.began:
            owner = owner.rpartition(".")[0]
        first = (trace.began[modules[owner]], name)
        if id(parameter) not in began and parameter.ndim > 1 and not known:
            other += parameter.numel()
        began[id(parameter)] = min(first, began.get(id(parameter), first))
    sizes = {id(parameter): parameter.numel() for parameter in model.parameters()}
    return {name: (event, sizes[key]) for key, (event, name) in began.items()}, other


def _attention_width(loaded: Loaded) -> int:
    """Heads times head width, which is the width of the model unless its configuration says otherwise."""
    config = loaded.model.config
    heads, size = getattr(config, "num_attention_heads", None), getattr(config, "head_dim", None)
    return heads * size if isinstance(heads, int) and isinstance(size, int) else loaded.width


def _stored_sizes(loaded: Loaded) -> dict[str, int]:
    """Bytes of an element of each parameter in the model's files, found by name with or without a prefix.

    A parameter that has another name there (older files) gets the size that most elements of the files have.
    """
    found: dict[str, int] = {}
    elements: dict[int, int] = {}
    for path in weight_files(loaded.folder):
        for key, entry in _header(path).items():
            size = STORED.get(entry["dtype"], 1)
            found[key] = size
            begin, end = entry["data_offsets"]
            elements[size] = elements.get(size, 0) + (end - begin) // size
    common = max(sorted(elements), key=lambda size: elements[size])
    sizes = {}
    for name, _ in loaded.model.named_parameters(remove_duplicate=False):
        ends = [key for key in found if key == name or key.endswith(f".{name}")]
        sizes[name] = found[min(ends, key=len)] if ends else common
    return sizes


def _header(path: Path) -> dict[str, Any]:
    """Header of a safetensors file: tensors by name, with their type and place."""
    with path.open("rb") as handle:
        (length,) = struct.unpack("<Q", handle.read(8))
        entries = json.loads(handle.read(length))
    return {key: entry for key, entry in entries.items() if key != "__metadata__"}
