"""What each layer of a model costs: parameters, bytes and floating-point operations, counted and not timed.

Reads the header of the model's files of weights; writes nothing. The counts are facts of the activations' manifests.

Order of execution. One short text is run with a hook on every module; a layer is there when the first module returns
(or is given) the tensor that holds its neurons. What was called before that moment is needed for the layer, what was
called later is not: of an encoder-decoder's decoder, the whole encoder is. Nothing here knows an architecture.

Counted are, for a layer and everything below it:

- parameters: of the modules called, each once however often it is called, embedding tables whole. A parameter of a
  module that is never called itself counts with the innermost module around it that is.
- bytes: of these parameters in float32, as this project computes, and as stored in the model's files.
- flops per sub-word: two for each multiply-add of the linear products (torch.nn.Linear, transformers' Conv1D; products
  of tables, such as those of relative positions, are shared by T sub-words), and for each attention below the layer
  4 * T * A over a context of T sub-words: the products of queries and keys, and of weights and values, A = heads * head
  width. A block has one attention, that of a decoder which sees an encoder two. Masks and sliding windows are not
  deducted: the implementation computes the products first. Biases, norms, activations and softmax are not counted, as
  is usual.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from neurosieve.activations.models import Loaded, pickled_sizes, raw_states, run_part, short_ids
from neurosieve.activations.sites import linear_size

FLOAT32 = 4
STORED = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}  # the rest: one byte


_Seen = tuple[int, torch.Tensor, torch.Tensor]  # event, tensor (kept, so that its memory is not reused), its copy then


class _Trace:
    """A forward pass of a short text, as a list of calls in their order; layer i is there after ``ends[i]`` events."""

    def __init__(self, loaded: Loaded, ids: torch.Tensor) -> None:
        self.began: dict[Any, int] = {}  # module -> event of its first call
        self.products: list[tuple[int, Any, int]] = []  # event, module, rows
        tensors: list[_Seen] = []
        events = 0

        def note(values: Any) -> None:
            for value in values if isinstance(values, (tuple, list)) else (values,):
                if isinstance(value, torch.Tensor) and value.ndim in (2, 3):
                    tensors.append((events, value, value.clone()))

        def before(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            nonlocal events
            note((*args, *kwargs.values()))
            events += 1
            self.began.setdefault(module, events)
            if (size := linear_size(module)) is not None:
                given = args[0] if args else next(iter(kwargs.values()))
                self.products.append((events, module, given.numel() // size[0]))

        def after(module: Any, args: tuple[Any, ...], output: Any) -> None:
            nonlocal events
            events += 1
            note(output)

        hooks = []
        for module in loaded.model.modules():
            hooks.append(module.register_forward_pre_hook(before, with_kwargs=True))
            hooks.append(module.register_forward_hook(after))
        try:
            states = [state for stack in raw_states(loaded, ids, None) for state in stack]
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
            same = tensor.data_ptr() == state.data_ptr() and tensor.numel() == state.numel()
            # the copy: a later step may work in place
            if event >= at and same and torch.equal(copy.reshape(state.shape), state):
                found = at = event
                break
        ends.append(found)
    whole: list[int] = []
    for end in reversed(ends):
        last = last if end is None else end
        whole.append(last)
    return whole[::-1]


def layer_costs(loaded: Loaded, window: int) -> dict[str, Any]:
    """{"window": T, "layers": [{"layer", "parameters", "bytes", "bytes_stored", "flops"}, ...], "matrices_not_counted"}

    Cumulative integers, layer 0 to the last. Where layer i is not the output of block i of one stack, there is
    "blocks", too: how many must run. ``window`` is params' activations.window, T the smaller of it and the positions
    of the model.
    "matrices_not_counted": elements of matrices that are called and belong neither to a linear layer nor to an
    embedding, whose products are missing in "flops" (0 for the architectures that are tested here).
    """
    context = min(window, loaded.coding.maximum or window)
    ids = short_ids(loaded.coding)
    trace = _Trace(loaded, ids)
    stored = _stored_sizes(loaded)
    encoder, blocks = _blocks(loaded, ids)
    attentions = _attentions(loaded, trace, encoder, blocks)
    owned, other = _parameters(loaded.model, trace)
    layers = []
    for layer, end in enumerate(trace.ends):
        # a call that begins at the event at which a layer is there comes after it
        names = [name for name, (began, _) in owned.items() if began <= end]
        products = _multiply_adds(
            [(m, rows) for event, m, rows in trace.products if event <= end], ids.numel(), context
        )
        layers.append(
            {
                "layer": layer,
                "parameters": sum(owned[name][1] for name in names),
                "bytes": FLOAT32 * sum(owned[name][1] for name in names),
                "bytes_stored": sum(owned[name][1] * stored[name] for name in names),
                "flops": 2 * products + 4 * context * attentions[layer],
                **({} if loaded.sites is None and loaded.part is None else {"blocks": blocks[layer]}),
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


def _multiply_adds(products: list[tuple[Any, int]], subwords: int, context: int) -> int:
    """Of linear products of so many rows, per sub-word, rounded up.

    A decoder may be fed one more than the text has; still more rows are those of a table, made once for a window.
    """
    total: Counter[int] = Counter()
    for module, rows in products:
        size = linear_size(module)
        assert size is not None
        whole, by = (rows, context) if rows > subwords + 1 else (min(rows, subwords), subwords)
        total[by] += whole * size[0] * size[1]
    return sum(-(-count // by) for by, count in total.items())


def _blocks(loaded: Loaded, ids: torch.Tensor) -> tuple[int, list[int]]:
    """Blocks of the encoder that run before the decoder's, and blocks that run for each layer."""
    first = 0 if loaded.sites is None else 1
    if loaded.part is None:
        return 0, [layer + first for layer in range(loaded.layers)]
    encoder = len(run_part(loaded, ids, None, output_hidden_states=True).encoder_hidden_states) - 1
    own = encoder + 1 - first if loaded.part.kind == "both" else 0  # layers that are the encoder's
    return encoder, [layer + first if layer < own else encoder + layer - own + first for layer in range(loaded.layers)]


def _attentions(loaded: Loaded, trace: _Trace, encoder: int, blocks: list[int]) -> list[int]:
    """Summed widths of the attentions below each layer."""
    if loaded.sites is not None:
        here = {id(module) for module in loaded.sites.attention}
        began = [(event, linear_size(module)) for event, module, _ in trace.products if id(module) in here]
        return [sum(size[0] for event, size in began if size and event <= end) for end in trace.ends]
    # a block of a decoder has two: it sees the encoder as well
    twice = [max(0, count - encoder) if loaded.part is not None else 0 for count in blocks]
    return [(count + more) * _attention_width(loaded) for count, more in zip(blocks, twice, strict=True)]


def _attention_width(loaded: Loaded) -> int:
    """Heads times head width, which is the width of the model unless its configuration says otherwise."""
    config = loaded.model.config
    heads = getattr(config, "num_attention_heads", None)
    size = getattr(config, "head_dim", getattr(config, "d_kv", None))  # T5 has its own name for it
    return heads * size if isinstance(heads, int) and isinstance(size, int) else loaded.width


def _stored_sizes(loaded: Loaded) -> dict[str, int]:
    """Bytes of an element of each parameter in the model's files, found by name with or without a prefix.

    A parameter that has another name there (older files) gets the size that most elements of the files have.
    """
    found: dict[str, int] = {}
    elements: dict[int, int] = {}
    for path in loaded.weights:
        for key, (size, count) in (_header if path.suffix == ".safetensors" else pickled_sizes)(path).items():
            found[key] = size
            elements[size] = elements.get(size, 0) + count
    common = max(sorted(elements), key=lambda size: elements[size])
    sizes = {}
    for name, _ in loaded.model.named_parameters(remove_duplicate=False):
        ends = [key for key in found if key == name or key.endswith(f".{name}")]
        sizes[name] = found[min(ends, key=len)] if ends else common
    return sizes


def _header(path: Path) -> dict[str, tuple[int, int]]:
    """Tensors of a safetensors file by name: bytes of an element, elements."""
    with path.open("rb") as handle:
        (length,) = struct.unpack("<Q", handle.read(8))
        entries = json.loads(handle.read(length))
    found = {}
    for key, entry in entries.items():
        if key != "__metadata__":
            size = STORED.get(entry["dtype"], 1)
            begin, end = entry["data_offsets"]
            found[key] = size, (end - begin) // size
    return found
