"""What a model does with a few short texts, when it is loaded: that it is what its configuration says.

Reads and writes no files, and leaves no trace in the model (see :class:`Snapshot`). Nothing here knows an architecture.
What does not fit is refused (TrialError), or found out so that it is run in a way that fits:

- layers: one more than the configuration has blocks, in every stack. Layer 0 is what enters block 1, the last layer
  what the model gives out. Some lists begin with what leaves block 1 and end with the last block before and after the
  final norm (Mamba, RWKV), or end before it (CLIP): :class:`Order` puts such a list right.
- padding: whether a text alone and beside a longer one gives the same values, which fine-tuning needs.
- company: whether a text alone and beside others of its length gives the same bits; else no two plans run as one.
- chance and memory: a text run again gives the same values, whatever ran in between.
- positions: as many as the tables have rows that positions are looked up in (:class:`Positions`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from neurosieve.activations.batches import ActivationsError
from neurosieve.activations.sites import entering, leaving, listed_calls, same
from neurosieve.memory import out_of_memory

# Differences of values, of the largest beside them: rounding stays far below, another computation far above.
TOLERANCE = 1e-4
COMPANY = (5, 12, 33)  # lengths at which a text is run beside others
HALF_PRECISION = 16  # the same for bfloat16 and float16: so many of the type's own steps


class TrialError(ActivationsError):
    """A model that does not give what its configuration promises; the message says what was found."""


class Snapshot:
    """What a model's modules hold beside their weights, to be put back when a forward pass has changed it.

    Some models switch to another attention for good after one short text (BigBird), or keep tables and caches.
    Weights that the first pass changes in place (RWKV scales them down for evaluation) are no trace but the model's
    way to be run: then all stays as it is.
    """

    def __init__(self, model: Any) -> None:
        modules = list(model.modules())
        configs = {id(config): config for m in modules if (config := getattr(m, "config", None)) is not None}
        holders = [*modules, *(config for config in configs.values() if hasattr(config, "__dict__"))]
        # not the hooks: who registered one must find it in the same dict, and the library sets its own once
        self._held = [(h, {k: _copied(v) for k, v in vars(h).items() if "hook" not in k}) for h in holders]
        self._weights = [(tensor, tensor._version) for tensor in model.parameters()]
        self._buffers = [(tensor, tensor._version, tensor.clone()) for tensor in model.buffers()]

    def restore(self) -> bool:
        """Put back what has changed; whether there was anything."""
        if any(tensor._version != version for tensor, version in self._weights):
            return False
        changed = False
        for holder, before in self._held:
            now = vars(holder)
            for key, value in before.items():
                if key not in now or not _unchanged(now[key], value):
                    now[key] = _copied(value)
                    changed = True
            for key in [key for key in now if key not in before and "hook" not in key]:
                del now[key]
                changed = True
        for at, (tensor, version, copy) in enumerate(self._buffers):
            if tensor._version != version:
                changed = changed or not torch.equal(tensor, copy)
                tensor.data.copy_(copy)
                self._buffers[at] = (tensor, tensor._version, copy)
        return changed


def _copied(value: Any) -> Any:
    return value.copy() if type(value) in (dict, list, set) else value


def _unchanged(now: Any, before: Any) -> bool:
    if type(before) is dict and type(now) is dict:
        return list(now) == list(before) and all(_unchanged(now[key], before[key]) for key in now)
    if type(before) in (list, tuple) and type(now) is type(before):
        return len(now) == len(before) and all(map(_unchanged, now, before))
    return now is before or (type(now) is type(before) and isinstance(now, (int, float, str, set)) and now == before)


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """What the context changes in a model is put back when it ends well."""
    snapshot = Snapshot(model)
    yield
    snapshot.restore()


class Positions(TorchFunctionMode):
    """Within the context, the tables in which the places 0, 1, ... of a text are looked up, however they are counted.

    RoBERTa and MPNet begin to count after the padding index, OPT and BART at 2: such rows are no room for a text.
    """

    def __init__(self, length: int, words: Any) -> None:
        super().__init__()
        self.length, self.words = length, words
        self.room: int | None = None  # the longest text, None for a model without such a table

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.nn.functional.embedding, torch.embedding):
            tables = [x for x in args if isinstance(x, torch.Tensor) and x.is_floating_point()]
            places = [x for x in args if isinstance(x, torch.Tensor) and not x.is_floating_point()]
            if tables and places and tables[0] is not self.words:
                self._look(places[0], len(tables[0]))
        return func(*args, **(kwargs or {}))

    def _look(self, places: torch.Tensor, rows: int) -> None:
        if not places.ndim or places.numel() != places.shape[-1] or places.numel() < max(2, self.length):
            return
        # one place more where a decoder's input begins with a token of its own; others where the model pads the text
        flat = places.reshape(-1)[: self.length + 1].tolist()
        counted = [place - i == flat[0] for i, place in enumerate(flat)]
        if all(counted[: self.length]):
            room = rows - (flat[0] + sum(counted)) + self.length
            self.room = room if self.room is None else min(self.room, room)


@dataclass(frozen=True)
class Order:
    """How the layers follow from what the model lists. block: block 1, whose input is put for layer 0.

    lasts: of each stack, whether the model's output is put for the last hidden state listed.
    mixed: layer 0, what enters block 1, depends on a token's neighbours (MobileBERT).
    """

    block: Any = None
    lasts: tuple[bool, ...] = ()
    mixed: bool = False

    @property
    def listed(self) -> bool:
        """Whether the layers are the model's list as it is."""
        return self.block is None and not any(self.lasts)

    @contextmanager
    def caught(self) -> Iterator[list[torch.Tensor]]:
        """A list that a forward pass within the context fills with what enters block 1, where that is needed."""
        found: list[torch.Tensor] = []

        def before(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found.append(entering(args, kwargs))

        hooks = [] if self.block is None else [self.block.register_forward_pre_hook(before, with_kwargs=True)]
        try:
            yield found
        finally:
            for hook in hooks:
                hook.remove()

    def put(self, stacks: list[Any], outputs: Sequence[Any], entered: list[torch.Tensor]) -> list[Any]:
        """The hidden states of each stack in this order; ``outputs``: what each stack gives out."""
        if entered:
            stacks = [(entered[0], *stacks[0][:-2], stacks[0][-1])]
        if any(self.lasts):
            replaced = zip(stacks, outputs, self.lasts, strict=True)
            stacks = [(*states[:-1], output) if last else states for states, output, last in replaced]
        return stacks


LISTED = Order()


@dataclass(frozen=True)
class Pass:
    """Of one forward pass the hidden states of each stack as the model lists them, and what each stack gives out."""

    stacks: list[Any]
    outputs: list[Any]


@torch.inference_mode()
def find_order(
    model: Any, run: Callable[[torch.Tensor], Pass], text: list[int], skipped: int, blocks: Sequence[int | None]
) -> Order:
    """How the hidden states that a model lists are its layers.

    run : a forward pass of ids (1, sub-words). text : ids with their special tokens, of which the first ``skipped`` are
    one. blocks : of each stack that is looked at, as the configuration has them; None where it does not say.

    Raises
    ------
    TrialError : layers are missing, another run gives others, or layer 0 is neither what enters block 1 nor what
        leaves it.
    """
    ids = torch.tensor([text])
    calls, first = listed_calls(model, lambda: run(ids))
    for states, wanted in zip(first.stacks, blocks, strict=True):
        found = len(states) if states is not None else 0
        if wanted is not None and found != wanted + 1:
            raise TrialError(
                f"the configuration has {wanted} blocks, found {found} layer{'s' if found != 1 else ''}: with "
                f"output_hidden_states=True the model must give out {wanted + 1}, the embedding's output and that of "
                "every block"
            )
        if not found or not all(isinstance(state, torch.Tensor) and state.is_floating_point() for state in states):
            raise TrialError(
                "with output_hidden_states=True the model gives no list of hidden states, a tensor of real numbers each"
            )
        _check_shapes(states, ids)
    again = run(ids)
    for states, others in zip(first.stacks, again.stacks, strict=True):
        if (difference := differ(states, others)) is not None:
            raise TrialError(
                f"the same text run again gives other values ({difference}): the model draws something by chance when "
                "it is evaluated, so no result of it can be repeated"
            )
    lasts = tuple(
        isinstance(output, torch.Tensor)
        and output.shape == states[-1].shape
        and not torch.equal(output.nan_to_num(), states[-1].nan_to_num())
        for states, output in zip(first.stacks, first.outputs, strict=True)
    )
    # the same sub-word at the same place among others
    inner = text[skipped:]
    place, turned = len(inner) // 2, inner[::-1]
    turned[place] = inner[place]
    other = torch.tensor([[*text[:skipped], *turned]])
    shuffled = run(other)
    free = [
        differ([states[0][:, skipped + place]], [others[0][:, skipped + place]], states[0].abs().max()) is None
        for states, others in zip(first.stacks, shuffled.stacks, strict=True)
    ]
    if all(free):
        return Order(lasts=lasts)
    if len(first.stacks) == 1 and (block := _first_block(calls, first.stacks[0])) is not None:
        if same(entering(block.args, block.kwargs), first.stacks[0][0]):
            return Order(lasts=lasts, mixed=True)
        order = Order(block=block.module, lasts=lasts)
        if _is_norm(model, run, ids) and _embeds(order, run, ids, other, skipped + place):
            return order
    raise TrialError(
        f"layer 0 of {'a decoder' if free[0] else 'the model'} depends on a token's neighbours, so it is no embedding "
        "output, and what enters block 1 was not found"
    )


def _first_block(calls: Sequence[Any], states: Sequence[torch.Tensor]) -> Any:
    """The first call of a module of the class that is given, or gives out, the first hidden state listed."""
    kinds = [
        type(call.module)
        for call in calls
        if same(leaving(call.output), states[0]) or same(entering(call.args, call.kwargs), states[0])
    ]
    return next((call for call in calls if kinds and type(call.module) is kinds[0]), None)


def _embeds(order: Order, run: Callable[[torch.Tensor], Pass], ids: torch.Tensor, other: torch.Tensor, at: int) -> bool:
    """Whether what enters block 1 at a place is the same in two texts that are the same there."""
    with order.caught() as entered:
        run(ids)
        run(other)
    one, two = entered[0], entered[-1]
    shaped = one.shape == two.shape and one.shape[:2] == ids.shape
    return shaped and differ([one[:, at]], [two[:, at]], one.abs().max()) is None


def _is_norm(model: Any, run: Callable[[torch.Tensor], Pass], ids: torch.Tensor) -> bool:
    """Whether one module turns the last hidden state but one into the last: both are one block's."""
    calls: list[tuple[Any, Any]] = []

    def after(module: Any, args: tuple[Any, ...], output: Any) -> None:
        calls.append((next(iter(args), None), output))

    hooks = [module.register_forward_hook(after) for module in model.modules() if not any(module.children())]
    try:
        states = run(ids).stacks[0]
    finally:
        for hook in hooks:
            hook.remove()
    return any(same(given, states[-2]) and same(output, states[-1]) for given, output in calls)


@dataclass(frozen=True)
class Manners:
    """How a model must be run.

    padded: texts of several lengths may make a batch. kept: a pass changes what the next one gives. free: a text has
    the same bits alone and beside others of its length.
    """

    padded: bool
    kept: bool
    free: bool


@torch.inference_mode()
def find_manners(
    model: Any,
    run: Callable[[torch.Tensor, torch.Tensor], Sequence[torch.Tensor]],
    text: Callable[[int], list[int]],
    behind: int,
    pad: int,
    longest: int,
    room: int,
) -> Manners:
    """How a model must be run.

    run : values of all layers, each (inputs, sub-words, width), for ids and mask (inputs, sub-words).
    text : ids of a text of so many sub-words at most, with its special tokens, of which ``behind`` follow it: nothing
        is taken from these, and a decoder is fed the last one only where padding follows.
    longest, room : sub-words of the longest window, and of the largest batch.

    Raises
    ------
    TrialError : the longest window cannot be run; a text run again, or beside one of its length, gives other values.
    """
    snapshot, changed = Snapshot(model), False

    def values(*rows: list[int], restored: bool = True, of: int = 0) -> list[torch.Tensor]:
        nonlocal changed
        length = max(map(len, rows))
        ids = torch.tensor([[*row, *[pad] * (length - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
        found = run(ids, mask)
        if restored:
            changed = snapshot.restore() or changed
        _check_shapes(found, ids)
        return [state[of, : len(rows[of]) - behind].clone() for state in found]

    short = text(min(longest, 12))
    alone = values(short)
    long = text(min(longest, room))
    try:
        if len(long) * 2 <= room:
            beside = values(short, long)
        else:
            beside = values(short, text(max(len(short), room // 2)))
            values(long)
    except TrialError:
        raise
    except (IndexError, RuntimeError, ValueError, TypeError, AssertionError, MemoryError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        if out_of_memory(error):
            raise TrialError(
                f"out of memory in a window of {len(long)} sub-words; give more memory, or write a smaller "
                "`activations.window`"
            ) from error
        raise TrialError(
            f"a window of {len(long)} sub-words cannot be run ({message[:200]}): the model has fewer positions than "
            "its configuration and tokenizer say; write a smaller `activations.window`"
        ) from error
    twice = values(short, short, of=1)  # the second: no place in a batch gives other values
    for what, others in (("the same text run again", values(short)), ("a text beside itself", twice)):
        if (difference := differ(alone, others)) is not None:
            raise TrialError(f"{what} gives other values ({difference}), so no result of it can be repeated")
    kept = False
    if changed:  # many keep what matters to nobody, such as the type of what they were given last
        wanted = [alone, values(long), alone]
        found = [values(row, restored=False) for row in (short, long, short)]
        snapshot.restore()
        kept = any(
            not torch.equal(a, b)
            for one, other in zip(wanted, found, strict=True)
            for a, b in zip(one, other, strict=True)
        )
    try:
        free = _free(values, text, longest)
    except TrialError:  # a length that it cannot run; whoever has such a text is told then
        free = False
    return Manners(differ(alone, beside) is None, kept, free)


def _free(values: Callable[..., list[torch.Tensor]], text: Callable[[int], list[int]], longest: int) -> bool:
    """Whether texts of a few lengths have the same bits alone and in batches, at the first place and at the last."""
    for length in dict.fromkeys(min(longest, length) for length in COMPANY):
        row = text(length)
        alone = values(row)
        for others in (2, 5):
            for place in (0, others - 1):
                found = values(*[row] * others, of=place)
                if not all(torch.equal(a, b) for a, b in zip(alone, found, strict=True)):
                    return False
    return True


def _check_shapes(states: Sequence[torch.Tensor], ids: torch.Tensor) -> None:
    """TrialError where states are not one vector for each of the ids (inputs, sub-words)."""
    shapes = sorted({tuple(state.shape[:-1]) for state in states})
    if shapes != [tuple(ids.shape)]:
        raise TrialError(
            f"found states of the shapes {shapes} for {tuple(ids.shape)} sub-words; one vector per sub-word and layer "
            "is needed"
        )


def differ(
    found: Sequence[torch.Tensor], others: Sequence[torch.Tensor], scale: torch.Tensor | None = None
) -> str | None:
    """Where two lists of layers differ by more than rounding, in words, else None; what is not finite is not compared.

    scale : of what a difference is a share; by default of the sub-word's largest value, or where that is smaller the
        median of these: the huge values that some models have at a single sub-word hide nothing at the others.
    """
    for layer, (a, b) in enumerate(zip(found, others, strict=True)):
        steps = torch.finfo(a.dtype).eps
        tolerance = max(TOLERANCE, HALF_PRECISION * steps) if steps > TOLERANCE else TOLERANCE
        own = a.abs().amax(-1).float()
        share = (a.float() - b.float()).abs().amax(-1) / (torch.maximum(own, own.median()) if scale is None else scale)
        most = float(share.nan_to_num(0).max())  # nothing of nothing is nothing
        if math.isfinite(most) and most > tolerance:
            return f"layer {layer} by {most:.2g} of a sub-word's largest value"
    return None
