"""A model without the blocks above a layer, for neurons that lie in the lower layers. Reads and writes no files.

The blocks are dropped before anything runs, so they take neither time nor memory; what comes after the last block (a
final norm) becomes the identity. The hidden states that are left have the same bits as those of the whole model, for
the same batches: :func:`cut` runs a short text through both and compares.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from neurosieve.activations.batches import ActivationsError
from neurosieve.activations.models import Loaded, hidden_states, short_ids


class CutError(ActivationsError):
    """A model whose blocks do not stand in one list, or need each other in another way than one after the other."""


def cut(loaded: Loaded, layer: int) -> Loaded:
    """The model with layers 0 to ``layer`` only. The model of ``loaded`` itself is changed: load it anew to have all.

    Raises
    ------
    CutError
        the model cannot be cut; it is then spoilt, load it anew and run it whole.
    ValueError
        no such layer.
    """
    if not 0 <= layer < loaded.layers:
        raise ValueError(f"layer: found {layer}; model {loaded.name} has layers 0 to {loaded.layers - 1}")
    if layer == loaded.layers - 1:
        return loaded
    if loaded.sites is not None or loaded.part is not None:
        what = (
            "the neurons of a decoder that sees an encoder" if loaded.sites is None else "neurons inside of its blocks"
        )
        raise CutError(f"model {loaded.name}: {what} are taken from the whole model only")
    if loaded.order.block is not None or loaded.snapshot is not None:
        what = "changes in a forward pass" if loaded.snapshot is not None else "lists what leaves block 1 first"
        raise CutError(f"model {loaded.name}: it {what}, so it is run whole")
    ids = short_ids(loaded.coding).to(loaded.device)
    wanted = hidden_states(loaded.model, ids, None)
    try:
        _drop(loaded, layer, ids)
        found = hidden_states(loaded.model, ids, None)
    except (IndexError, AttributeError, TypeError, KeyError, NameError) as error:
        raise CutError(f"model {loaded.name}: its code needs the blocks above layer {layer} ({error})") from error
    same = len(found) == layer + 1 and all(torch.equal(a, b) for a, b in zip(found, wanted, strict=False))
    if not same:
        raise CutError(f"model {loaded.name}: without the blocks above layer {layer} the layers below it change")
    return replace(loaded, layers=layer + 1)


def _drop(loaded: Loaded, layer: int, ids: torch.Tensor) -> None:
    """Shorten the list of blocks, and put the identity for what runs after the last of them."""
    lists = [
        (name, module)
        for name, module in loaded.model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == loaded.layers - 1
    ]
    if not lists:
        raise CutError(f"model {loaded.name}: no list of {loaded.layers - 1} blocks, one per layer")
    name, blocks = lists[0]
    order: list[Any] = []
    hooks = [m.register_forward_pre_hook(lambda module, _: order.append(module)) for m in loaded.model.modules()]
    try:
        hidden_states(loaded.model, ids, None)
    finally:
        for hook in hooks:
            hook.remove()
    inside = set(blocks.modules())
    last = max((i for i, module in enumerate(order) if module in inside), default=-1)
    after = {module for module in order[last + 1 :] if not any(module.children())}
    for path, module in list(loaded.model.named_modules()):
        if module in after:
            _put(loaded.model, path, torch.nn.Identity())
    _put(loaded.model, name, blocks[:layer])


def _put(model: Any, path: str, module: Any) -> None:
    parent, _, child = path.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
