"""A language model's own predictions of tokens, with some of its neurons changed on the way. Reads and writes no files.

Layer i of the hidden states is what :func:`neurosieve.activations.models.hidden_states` calls it, and is changed there:
layer 0 where it enters block 1, a layer between at the output of its block, the last one at the model's output, which
for pre-norm models lies after the final norm and goes straight into the head. Feed-forward activations are changed
where they enter the second product of the MLP, attention outputs where they leave the product that ends the attention,
before norm and residual: layer i is block i + 1 there, as in the dumps (sites.py finds the products). A forward pass
then goes on from the changed values, so the layers above see them.

A changed neuron is set to a reference, from which it keeps ``amount`` times its deviation. The reference is its mean
on train, or what it is at another position (:class:`Donors`: resampling, Chan et al. 2022, "Causal scrubbing"), in the
unchanged model. With amount 0 it is the reference. Positions are all, or only those where a prediction is read.

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
from neurosieve.activations.models import TEXT as TRIAL
from neurosieve.activations.models import Loaded, NoHeadError, hidden_states, short_ids
from neurosieve.activations.sites import SiteError, find_sites, linear_size

# what stands at a position that is of no row: other text, a special token, padding
TEXT, SPECIAL, PADDING = -1, -2, -3


@dataclass(frozen=True)
class Batch:
    """Windows run at once. ids, attention (windows, sub-words); of its tokens, arrays (tokens,):

    window, position : where the model's prediction of the token is read; target : the token's first sub-word.
    row : (windows, sub-words) int64, the row whose token stands there, whether it is predicted or not; else TEXT,
        SPECIAL or PADDING. None where nobody needs it.
    """

    ids: torch.Tensor
    attention: torch.Tensor
    window: np.ndarray
    position: np.ndarray
    target: np.ndarray
    row: np.ndarray | None = None


@dataclass(frozen=True)
class Sample:
    """Tokens to predict. rows (tokens,): their rows, in the order of the batches; facts: counts."""

    rows: np.ndarray
    batches: list[Batch]
    facts: dict[str, int]


@dataclass(frozen=True)
class Site:
    """Where neurons are. kind: hidden, feed-forward or attention; width: units per layer.

    places: of each layer a module, and whether the layer is what enters it (else what leaves it).
    """

    kind: str
    width: int
    places: list[tuple[Any, bool]]

    @property
    def layers(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class Donors:
    """Values to put in the place of others. states: of each layer (positions, width), None for layers not needed.

    index : of each batch (windows, sub-words) int64, the position whose values are put there; -1: it stays as it is.
    facts : counts, see :func:`draw_donors`.
    """

    states: list[torch.Tensor | None]
    index: list[np.ndarray]
    facts: dict[str, int]


@dataclass(frozen=True)
class Change:
    """Neurons (global indices) whose deviation from ``mean`` (neurons,) float32 is multiplied by ``amount``.

    site : None for hidden states. donors : reference in the place of the mean, which may be None then.
    predicted : changed only at the positions where predictions are read, else at all.
    """

    neurons: np.ndarray
    mean: np.ndarray | None
    amount: float
    site: Site | None = None
    donors: Donors | None = None
    predicted: bool = False


@dataclass
class Cursor:
    """Which batch runs, for changes that differ from batch to batch; whoever runs the model sets it."""

    number: int = 0
    batch: Batch | None = None

    def move(self, number: int, batch: Batch) -> None:
        self.number, self.batch = number, batch


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
    # which token each sub-word of the texts belongs to, whichever window its part was put into
    row_of = np.full(len(plan.ids), TEXT)
    begin = plan.window_start[window_of]
    for part in range(len(window_of)):
        row_of[begin[part] + plan.part_start[part] : begin[part] + plan.part_stop[part]] = kept[plan.part_vector[part]]
    batches = list(_batches(plan, taken, coding, mask, batch_tokens, row_of))
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
    plan: Plan, taken: dict[int, np.ndarray], coding: Coding, mask: int | None, batch_tokens: int, row_of: np.ndarray
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
        rows = np.full(ids.shape, PADDING)
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
            rows[row, : len(filled)] = SPECIAL
            rows[row, len(prefix) : len(prefix) + len(text)] = row_of[plan.window_start[w] : plan.window_stop[w]]
        yield Batch(
            torch.from_numpy(ids),
            torch.from_numpy(attention),
            np.array(window, np.int64),
            np.array(position, np.int64),
            np.array(target, np.int64),
            rows,
        )


def draw_donors(
    batches: Sequence[Batch],
    labels: np.ndarray,
    files: np.ndarray,
    states: list[torch.Tensor | None],
    mask: int | None,
    rng: np.random.Generator,
    whole: bool = False,
    line_files: Sequence[np.ndarray] | None = None,
) -> Donors:
    """For every position another one, at random among those of its kind in other files.

    The kind of a sub-word of a labelled token is the token's class, that of other text is "other text", both apart for
    masked and for visible sub-words; that of a special token is its id. A position whose kind no other file has takes
    one at random of any kind of another file, masked where it is masked if there is one: ``facts`` counts these as
    ``other_kind``. Padding stays as it is. The class is that of the token that stands there: in a causal model the
    place before a predicted token counts with its own token, not with the one to come. ``whole``: the class is that of
    the whole window, so that special tokens are of its kind too. ``line_files``: of each batch the codes of its
    windows' files, where the two sides of a row are of two files and its own code stands for both.

    labels, files : (rows,) int64 of all rows that ``Batch.row`` speaks of. states : as :func:`collect` gives them.
    NoHeadError where all windows are of one file.
    """
    of_row = np.concatenate([rows_of(batch).ravel() for batch in batches])
    ids = np.concatenate([batch.ids.numpy().ravel() for batch in batches])
    of_line = [_file_of(batch, files) for batch in batches] if line_files is None else line_files
    file = np.concatenate([np.repeat(own, batch.ids.shape[1]) for own, batch in zip(of_line, batches, strict=True)])
    here = np.flatnonzero(of_row != PADDING)
    if len(np.unique(file[here])) < 2:
        raise NoHeadError("all windows are of one file, and values are taken from another one")
    label = np.where(of_row >= 0, labels[np.maximum(of_row, 0)], TEXT)
    masked = np.zeros(len(ids), bool) if mask is None else (ids == mask) & (of_row != SPECIAL)
    # one number for each kind: classes and other text from 0 on, masked ones odd; special tokens below all of them
    special = ids
    if whole:
        line = np.concatenate([np.repeat(_any_row(batch), batch.ids.shape[1]) for batch in batches])
        special = ids * (labels.max() + 2) + np.where(line >= 0, labels[np.maximum(line, 0)], TEXT) + 1
    kind = np.where(of_row == SPECIAL, -2 - special, 2 * (label - TEXT) + masked)
    donor = np.full(len(ids), -1)
    donor[here] = here
    unserved = here
    for level in (kind, masked.astype(np.int64), np.zeros(len(ids), np.int64)):
        found = _from_other_files(level[here], file[here], rng)
        at = (donor == np.arange(len(ids)))[here] & (found >= 0)
        donor[here[at]] = here[found[at]]
        if level is kind:
            unserved = here[found < 0]
    bounds = np.cumsum([batch.ids.numel() for batch in batches])[:-1]
    index = [part.reshape(batch.ids.shape) for part, batch in zip(np.split(donor, bounds), batches, strict=True)]
    labelled = int((of_row >= 0).sum())
    return Donors(states, index, {"positions": len(here), "labelled": labelled, "other_kind": len(unserved)})


def _from_other_files(kind: np.ndarray, file: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each place another one of the same kind and of another file, evenly at random; -1 where there is none."""
    order = np.lexsort((file, kind))
    new_kind = np.diff(kind[order], prepend=kind[order[0]] - 1) != 0
    new_run = new_kind | (np.diff(file[order], prepend=file[order[0]] - 1) != 0)
    in_kind, in_run = np.cumsum(new_kind) - 1, np.cumsum(new_run) - 1
    begin, size = np.flatnonzero(new_kind)[in_kind], np.bincount(in_kind)[in_kind]
    own, own_size = np.flatnonzero(new_run)[in_run], np.bincount(in_run)[in_run]
    others = size - own_size
    drawn = rng.integers(np.maximum(others, 1))  # of all of the kind but those of the own file, which lie together
    place = begin + drawn
    place += np.where(place >= own, own_size, 0)
    out = np.full(len(kind), -1)
    out[order] = np.where(others > 0, order[np.minimum(place, len(order) - 1)], -1)
    return out


def rows_of(batch: Batch) -> np.ndarray:
    """``batch.row``; ValueError where it is None."""
    if batch.row is None:
        raise ValueError("the batches do not say which token stands where; take them from draw_sample")
    return batch.row


def _file_of(batch: Batch, files: np.ndarray) -> np.ndarray:
    """File of each window; of those without a labelled token -1, which there are none of in a sample."""
    row = _any_row(batch)
    return np.where(row >= 0, files[np.maximum(row, 0)], -1)


def _any_row(batch: Batch) -> np.ndarray:
    """A row of each window; below 0 where it has none."""
    return np.asarray(rows_of(batch).max(axis=1))


def find_site(loaded: Loaded, kind: str) -> Site:
    """Where the neurons of a kind (hidden, feed-forward, attention) are changed.

    NoHeadError where the layers are not the outputs of a list of blocks, or the products of a block cannot be told.
    """
    if kind == "hidden":
        blocks = blocks_of(loaded)
        between = [(block, False) for block in list(blocks)[:-1]]
        # a pooler inside reads what leaves the last block, which no norm follows in models that have one
        pooled = isinstance(getattr(loaded.model.base_model, "pooler", None), torch.nn.Module)
        last = blocks[-1] if pooled and loaded.model.base_model is not loaded.model else loaded.model.base_model
        return Site(kind, loaded.width, [(blocks[0], True), *between, (last, False)])
    coding = loaded.coding
    text = [*coding.prefix, *coding.tokenizer.encode(TRIAL, add_special_tokens=False).ids]
    ids = torch.tensor([text])
    try:
        found = find_sites(loaded.model.base_model, lambda: [hidden_states(loaded.model.base_model, ids, None)], kind)
    except SiteError as error:
        raise NoHeadError(f"its {kind} neurons cannot be told: {error}") from error
    sizes = {linear_size(product) for product in found.products}
    if len(set(map(id, found.products))) < len(found.products) or len(sizes) > 1:
        raise NoHeadError("its blocks share a product or differ in width, so that no single layer could be changed")
    (size,) = sizes
    assert size is not None
    return Site(kind, size[0] if found.inputs else size[1], [(product, found.inputs) for product in found.products])


def blocks_of(loaded: Loaded) -> Any:
    """The model's list of blocks; NoHeadError where its layers are not the outputs of such a list."""
    for module in loaded.model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == loaded.layers - 1:
            return module
    raise NoHeadError(f"no list of {loaded.layers - 1} blocks, one per layer, at which a layer could be changed")


@contextmanager
def changed(loaded: Loaded, change: Change | None) -> Iterator[Cursor]:
    """Within the context the model runs with the neurons changed; ``loaded`` is as load_language_model gives it.

    The cursor that it gives must be moved to each batch before it runs, where the change has donors or is of the
    predicted positions only.
    """
    cursor = Cursor()
    hooks: list[Any] = []
    if change is not None:
        site = change.site or find_site(loaded, "hidden")
        layer_of = change.neurons // site.width
        if len(layer_of) and not 0 <= layer_of.min() <= layer_of.max() < site.layers:
            raise ValueError(f"neurons must lie in 0..{site.layers * site.width - 1}, found {change.neurons.max()}")
        for layer in np.unique(layer_of).tolist():
            hooks.append(_hook(site.places[layer], _setting(change, layer, layer_of == layer, site.width, cursor)))
    try:
        yield cursor
    finally:
        for hook in hooks:
            hook.remove()


def _setting(change: Change, layer: int, here: np.ndarray, width: int, cursor: Cursor) -> Any:
    """A function that gives a layer's states with the neurons ``here`` of a change set."""
    units = torch.from_numpy(change.neurons[here] % width)
    mean = None if change.mean is None else torch.from_numpy(change.mean[here].astype(np.float32))
    donors = None if change.donors is None else change.donors.states[layer]
    if donors is None and mean is None:
        raise ValueError(f"layer {layer}: neither a mean nor the states of donors")
    amount = change.amount

    def at_some(state: torch.Tensor) -> torch.Tensor:
        assert cursor.batch is not None
        batch = cursor.batch
        where = torch.ones(batch.ids.shape, dtype=torch.bool)
        if change.predicted:
            where.zero_()
            where[batch.window, batch.position] = True
        reference: Any = mean
        if change.donors is not None and donors is not None:
            index = torch.from_numpy(change.donors.index[cursor.number])
            where &= index >= 0
            reference = donors[index[where]][:, units]
        out = state.clone(memory_format=torch.contiguous_format)
        rows = out.view(*batch.ids.shape, width)
        picked = rows[where]
        picked[:, units] = torch.lerp(reference, picked[:, units], amount)
        rows[where] = picked
        return out

    def everywhere(state: torch.Tensor) -> torch.Tensor:
        out = state.clone()
        reference: Any = mean
        out[..., units] = torch.lerp(reference, state[..., units], amount)  # exact for the amounts 0 and 1
        return out

    return at_some if change.donors is not None or change.predicted else everywhere


def _hook(place: tuple[Any, bool], set_to: Any) -> Any:
    """Register that what enters or leaves a module becomes ``set_to`` of it.

    Before other hooks: the library's own, which collect the hidden states, then see what was changed.
    """
    module, entering = place

    def before(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (set_to(args[0]), *args[1:]), kwargs
        first = next(iter(kwargs))
        return args, kwargs | {first: set_to(kwargs[first])}

    def after(module: Any, args: Any, output: Any) -> Any:
        if isinstance(output, torch.Tensor):
            return set_to(output)
        if isinstance(output, tuple):
            return (set_to(output[0]), *output[1:])
        output.last_hidden_state = set_to(output.last_hidden_state)
        return output

    if entering:
        return module.register_forward_pre_hook(before, prepend=True, with_kwargs=True)
    return module.register_forward_hook(after, prepend=True)


@torch.inference_mode()
def collect(
    loaded: Loaded, batches: Sequence[Batch], site: Site, layers: Sequence[int] | None = None
) -> list[torch.Tensor | None]:
    """The values of a site's neurons in the unchanged model: of each layer (positions, width) float32.

    Positions are all of the batches, padding too, window by window. None for layers beside ``layers`` (default: all).
    """
    found: dict[int, list[torch.Tensor]] = {layer: [] for layer in (range(site.layers) if layers is None else layers)}

    def keeping(layer: int) -> Any:
        def keep(state: torch.Tensor) -> torch.Tensor:
            found[layer].append(state.reshape(-1, site.width).clone())
            return state

        return keep

    hooks = [_hook(site.places[layer], keeping(layer)) for layer in found]
    try:
        for batch in batches:
            loaded.model.base_model(input_ids=batch.ids, attention_mask=batch.attention)
    finally:
        for hook in hooks:
            hook.remove()
    return [torch.cat(found[layer]) if layer in found else None for layer in range(site.layers)]


@torch.inference_mode()
def predict(loaded: Loaded, batches: Sequence[Batch], change: Change | None = None) -> Prediction:
    """The model's predictions of the tokens of all batches; the head runs on their positions only."""
    found: list[np.ndarray] = []
    place: list[tuple[np.ndarray, np.ndarray]] = []

    def pick(module: Any, args: Any, output: Any) -> Any:
        window, position = place[-1]
        output.last_hidden_state = output.last_hidden_state[window, position][None]
        return output

    with changed(loaded, change) as cursor:
        picking = loaded.model.base_model.register_forward_hook(pick)
        try:
            for number, batch in enumerate(batches):
                cursor.move(number, batch)
                place.append((batch.window, batch.position))
                logits = loaded.model(input_ids=batch.ids, attention_mask=batch.attention).logits
                found.append(log_softmax(logits[0].numpy()))
        finally:
            picking.remove()
    log_p = np.concatenate(found)
    target = np.concatenate([batch.target for batch in batches])
    true = log_p[np.arange(len(target)), target].astype(np.float64)
    if not np.isfinite(true).all():
        raise ActivationsError(f"model {loaded.name}: a prediction is not finite; the weights are damaged")
    return Prediction(true, log_p.argmax(axis=1) == target, log_p)


def log_softmax(logits: np.ndarray) -> np.ndarray:
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
    wanted = log_softmax(whole[0].numpy())[positions]
    if alone.shape != wanted.shape or not np.allclose(alone, wanted, rtol=1e-3, atol=1e-3):
        raise NoHeadError("the head does not work position by position")
