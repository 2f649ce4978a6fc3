"""Where a model's neurons are: the feed-forward activations and attention outputs of its blocks.

Reads and writes no files. Nothing here knows an architecture or a name. A short text is run once, and then single
blocks of it, with what they were given then.

Blocks. Block i is the first module called that stands in a ModuleList, is given hidden state i and returns hidden
state i + 1 (of the last one, which a final norm may follow, the class is compared instead).

Products within a block. Its linear products (torch.nn.Linear, transformers' Conv1D) are those that it calls, in their
order. One depends on another *directly* where changing the other's output changes its input while all other products
keep the outputs that they had; likewise on the block's input, and the block's output on it. Such a dependence stays at
its position, or mixes positions: then a change at the earlier positions reaches the last. (A text's last position sees
all others in causal and in bidirectional models.)

- feed-forward: the one product on which the block's output depends directly, whose input depends on other products, at
  its own position only. Nothing that depends on the block's input may reach its output directly as well. Its input is
  taken: what comes out of the non-linearity, in a gated block after the product with the gate.
- attention: the one product on which the block's output depends directly, whose input mixes the positions of other
  products, which in turn depend on the block's input or on other products. Its output is taken: what the attention
  adds, before any norm and before the residual. Cross-attention is none of it: what it mixes comes from elsewhere.

A block in which there are none or several of these is refused: experts to which sub-words are routed (a product then
decides from the block's input how much of the others reaches its output), feed-forward layers without a linear
product, a feed-forward layer that is run in chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from neurosieve.activations.batches import ActivationsError


class SiteError(ActivationsError):
    """A block whose feed-forward or attention product cannot be told; the message says why."""


@dataclass(frozen=True)
class Sites:
    """Modules at which neurons are taken. products: one per block (shared blocks: the same one again), in order.

    inputs: what goes into the products is taken, else what comes out. attention: products of all attentions of all
    blocks that run, cross-attention too, for counting costs. stacks: number of blocks of each stack.
    """

    products: list[Any]
    inputs: bool
    attention: list[Any]
    stacks: list[int]

    @contextmanager
    def caught(self) -> Iterator[list[torch.Tensor]]:
        """A list that a forward pass within the context fills, a tensor per block in the order of execution."""
        found: list[torch.Tensor] = []

        def before(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found.append(_given(args, kwargs))

        def after(module: Any, args: Any, output: Any) -> None:
            found.append(output)

        hooks = []
        for product in dict.fromkeys(self.products):
            if self.inputs:
                hooks.append(product.register_forward_pre_hook(before, with_kwargs=True))
            else:
                hooks.append(product.register_forward_hook(after))
        try:
            yield found
        finally:
            for hook in hooks:
                hook.remove()


def linear_size(module: Any) -> tuple[int, int] | None:
    """Inputs and outputs of a linear layer; None for any other module."""
    if isinstance(module, torch.nn.Linear):
        return module.in_features, module.out_features
    return (module.nx, module.nf) if isinstance(module, Conv1D) else None


@dataclass(frozen=True)
class _Call:
    """A call of a module: what it was given and gave back."""

    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any


@torch.inference_mode()
def find_sites(
    model: Any, run: Callable[[], Sequence[Sequence[torch.Tensor]]], neurons: str, skipped: int = 0
) -> Sites:
    """The sites of ``neurons`` (feed-forward or attention) in the blocks of a model.

    ``run`` runs a text of four sub-words or more and gives the hidden states of one stack of blocks, or of several; of
    the ``skipped`` first of them no neurons are taken. Raises SiteError where a block has no such site, or several.
    """
    calls, stacks = listed_calls(model, run)
    products, attention = [], []
    for stack, states in enumerate(stacks):
        for i, call in enumerate(_blocks(calls, states)):
            try:
                name, others = _find(call, neurons)
            except SiteError as error:
                raise SiteError(f"block {i} ({type(call.module).__name__}): {error}") from None
            except (RuntimeError, IndexError, ValueError, TypeError, AttributeError) as error:
                # the library's own code, run with products changed: experts to which no sub-word is routed, caches
                text = " ".join(str(error).split()) or type(error).__name__
                raise SiteError(
                    f"block {i} ({type(call.module).__name__}) cannot be run with single products changed, as one with "
                    f"a router of experts cannot ({text[:200]})"
                ) from error
            if stack >= skipped:
                products.append(call.module.get_submodule(name))
            attention += [call.module.get_submodule(other) for other in others]
    return Sites(products, neurons == "feed-forward", attention, [len(states) - 1 for states in stacks[skipped:]])


def listed_calls(model: Any, run: Callable[[], Any]) -> tuple[list[_Call], Any]:
    """Calls of all modules that stand in a ModuleList, in the order in which they begin; and what ``run`` gives."""
    began: list[list[Any]] = []
    running: list[list[Any]] = []

    def before(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        began.append([module, args, dict(kwargs), None])
        running.append(began[-1])

    def after(module: Any, args: Any, output: Any) -> None:
        running.pop()[3] = output

    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList)]
    hooks = []
    for module in dict.fromkeys(m for modules in lists for m in modules):
        hooks.append(module.register_forward_pre_hook(before, with_kwargs=True))
        hooks.append(module.register_forward_hook(after))
    try:
        stacks = run()
    finally:
        for hook in hooks:
            hook.remove()
    return [_Call(*call) for call in began], stacks


def _blocks(calls: list[_Call], states: Sequence[torch.Tensor]) -> list[_Call]:
    """The call that makes each hidden state but the first."""
    blocks: list[_Call] = []
    for i, state in enumerate(states[:-1]):
        found = [call for call in calls if same(entering(call.args, call.kwargs), state)]
        if i < len(states) - 2:
            found = [call for call in found if same(leaving(call.output), states[i + 1])]
        elif blocks:
            found = [call for call in found if type(call.module) is type(blocks[-1].module)]
        if not found:
            raise SiteError(f"no module of a list of blocks turns hidden state {i} into hidden state {i + 1}")
        blocks.append(found[0])
    return blocks


def entering(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return next((x for x in (*args, *kwargs.values()) if isinstance(x, torch.Tensor) and x.ndim == 3), None)


def leaving(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return output
    values = output if isinstance(output, (tuple, list)) else getattr(output, "values", tuple)()
    return next((x for x in values if isinstance(x, torch.Tensor)), None)


def _given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    value: torch.Tensor = args[0] if args else next(iter(kwargs.values()))
    return value


def same(found: Any, state: torch.Tensor) -> bool:
    if not isinstance(found, torch.Tensor) or found.shape != state.shape:
        return False
    return found is state or (found.data_ptr() == state.data_ptr() and torch.equal(found, state))


class _Probe:
    """Runs one block again and again, with the outputs of its products held fast or changed."""

    def __init__(self, call: _Call) -> None:
        self.call = call
        self.state = entering(call.args, call.kwargs)
        self.names = {m: name for name, m in call.module.named_modules() if linear_size(m)}
        self.modules: list[Any] = []
        self.outputs: list[torch.Tensor] = []
        _, _, calls = self._run(None, None)
        self.modules, self.outputs = [m for m, _ in calls], [out for _, out in calls]
        self.inputs, self.output, _ = self._run(None, self.outputs)

    def change(self, product: int | None, where: slice) -> tuple[list[torch.Tensor], Any]:
        """Inputs of all products and the block's output, with one product's output (None: the block's input) changed.

        At the positions ``where``; everywhere, where the tensor has other rows than the text has positions.
        """
        held, state = list(self.outputs), None
        if product is None:
            state = self._changed(self.state, where)
        else:
            held[product] = self._changed(held[product], where)
        inputs, output, _ = self._run(state, held)
        return inputs, output

    def _changed(self, value: torch.Tensor, where: slice) -> torch.Tensor:
        out = value.clone()
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(value.shape, generator=generator).to(value) * (1 + value.abs().max())
        rows = where if value.ndim > 1 and value.shape[-2] == self.state.shape[-2] else slice(None)
        out[..., rows, :] = (out + noise)[..., rows, :]
        return out

    def _run(self, state: Any, held: list[torch.Tensor] | None) -> tuple[list[torch.Tensor], Any, list[Any]]:
        """Inputs of the products, the block's output, and (product, output) of each call; held outputs cost nothing."""
        inputs: list[torch.Tensor] = []
        calls: list[Any] = []

        def replace(module: Any, inner: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
            def forward(*args: Any, **kwargs: Any) -> torch.Tensor:
                place = len(calls)
                inputs.append(_given(args, kwargs).clone())
                if held is not None and (place >= len(held) or module is not self.modules[place]):
                    raise SiteError("its products are called in an order that depends on the values")
                out = inner(*args, **kwargs) if held is None else held[place]
                calls.append((module, out.clone()))
                return out.clone()

            return forward

        # a clone: a block may work in place, and the same call is made many times
        own = self.state.clone() if state is None else state
        args = tuple(own if x is self.state else x for x in self.call.args)
        kwargs = {key: own if x is self.state else x for key, x in self.call.kwargs.items()}
        before = {module: vars(module).get("forward") for module in self.names}
        try:
            for module in self.names:
                module.forward = replace(module, module.forward)
            output = leaving(self.call.module(*args, **kwargs))
        finally:
            for module, forward in before.items():
                if forward is None:
                    del module.forward
                else:
                    module.forward = forward
        return inputs, output, calls


def _find(call: _Call, neurons: str) -> tuple[str, list[str]]:
    """Name within the block of the product at which neurons are taken, and the names of all attention products."""
    probe = _Probe(call)
    n, last = len(probe.modules), probe.state.shape[-2] - 1
    if last < 3:
        raise SiteError("the text is too short to look at it")
    from_input, _ = probe.change(None, slice(None))
    on_input = [not torch.equal(a, b) for a, b in zip(from_input, probe.inputs, strict=True)]
    depends = torch.zeros(n, n, dtype=torch.bool)  # [product, on which other]
    mixes = torch.zeros(n, n, dtype=torch.bool)
    reaches = [False] * n
    for other in range(n):
        here, out_here = probe.change(other, slice(last, last + 1))
        before, out_before = probe.change(other, slice(0, last))
        reaches[other] = not (torch.equal(out_here, probe.output) and torch.equal(out_before, probe.output))
        for product in range(n):
            row = probe.inputs[product][..., -1, :]
            mixes[product, other] = not torch.equal(before[product][..., -1, :], row)
            depends[product, other] = bool(mixes[product, other]) or not torch.equal(here[product][..., -1, :], row)
    ends = [i for i in range(n) if reaches[i] and depends[i].any()]
    attention = [i for i in ends if mixes[i].any()]
    # of cross-attention, what is mixed (keys, values) depends on nothing in the block
    fed = [on_input[i] or bool(depends[i].any()) for i in range(n)]
    own = [i for i in attention if any(mixes[i, k] and fed[k] for k in range(n))]
    forward = [i for i in ends if not mixes[i].any()]
    routed = [i for i in range(n) if reaches[i] and on_input[i]]
    names = [probe.names[module] for module in probe.modules]
    found = forward if neurons == "feed-forward" else own
    told = f"its linear products, in order: {', '.join(names) or 'none'}"
    if neurons == "feed-forward" and routed:
        raise SiteError(
            f"{names[routed[0]]} decides from the block's input what of the others comes out, as the router of experts "
            f"does: no one product ends its feed-forward layer; {told}"
        )
    if len(found) != 1:
        what = "ends a feed-forward layer" if neurons == "feed-forward" else "ends an attention"
        which = ", ".join(names[i] for i in found) or "none"
        raise SiteError(f"one product that {what} is needed, found {which}; {told}")
    if names.count(names[found[0]]) > 1:
        raise SiteError(f"{names[found[0]]} is called more than once; {told}")
    rows = probe.inputs[found[0]].numel() // probe.inputs[found[0]].shape[-1]
    if rows != last + 1:
        raise SiteError(f"{names[found[0]]} is given {rows} rows for {last + 1} sub-words")
    return names[found[0]], [names[i] for i in attention]
