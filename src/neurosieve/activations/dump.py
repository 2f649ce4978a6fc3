"""Run a plan and write its vectors: a batch at a time, each row straight to its place in the layer's file.

Writes layer_00.npy ... layer_LL.npy, float32 (vectors, width), C order; of several plans that run as one, a set of
files each. Beside the model and the plan, memory holds one batch and the sums of the one text whose windows are not all
done: nothing that grows with the split.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from neurosieve.activations.batches import ActivationsError, Plan
from neurosieve.activations.models import Loaded, layer_states
from neurosieve.memory import out_of_memory

SHORT = 8  # sub-words of a part up to which parts are summed together


@dataclass(frozen=True)
class Target:
    """Where so many consecutive vectors of a plan go: files of the layers (see :func:`preallocate`), vector first."""

    first: int
    vectors: int
    files: list[tuple[int, int]]

    def write(self, vectors: np.ndarray, layers: list[np.ndarray]) -> None:
        """Those of the vectors that go here; values (n, width) per layer."""
        here = (vectors >= self.first) & (vectors < self.first + self.vectors)
        if here.all():
            for file, values in zip(self.files, layers, strict=True):
                write_rows(file, vectors - self.first, values)
        elif here.any():
            for file, values in zip(self.files, layers, strict=True):
                write_rows(file, vectors[here] - self.first, values[here])


def targets(
    stack: ExitStack, plans: Sequence[Plan], paths: Sequence[list[Path]], width: int, *, make: bool = True
) -> list[Target]:
    """Files of each of the plans that are run as one, one per layer; made, or opened where others made them."""
    found, first = [], 0
    for plan, own in zip(plans, paths, strict=True):
        if make:
            files = [preallocate(stack, path, plan.vectors, width) for path in own]
        else:
            files = open_layers(stack, own, plan.vectors, width)
        found.append(Target(first, plan.vectors, files))
        first += plan.vectors
    return found


def write_layers(
    loaded: Loaded,
    plan: Plan,
    parts: Sequence[Plan],
    paths: Sequence[list[Path]],
    title: str,
    names: Sequence[str] = (),
) -> None:
    """Compute every vector of ``plan``, which is made of the vectors of ``parts``, one after another.

    Parameters
    ----------
    paths : of each part, one file per layer, to be made. Means are summed in float64.
    title : name of the progress bar. names : of the parts, for messages.

    Raises
    ------
    ActivationsError
        out of memory (never a smaller batch instead: its composition is part of the result), values not finite.
    """
    with ExitStack() as stack:
        opened = targets(stack, parts, paths, loaded.width)
        for vectors, layers in run_plan(loaded, plan, title, where=place_in(parts, names or [title] * len(parts))):
            for target in opened:
                target.write(vectors, layers)
            del vectors, layers  # not kept while the next batch runs


def place_in(parts: Sequence[Plan], names: Sequence[str]) -> Callable[[int], str]:
    """A vector of a plan that is made of these parts, in words."""

    def where(vector: int) -> str:
        for part, name in zip(parts, names, strict=True):
            if vector < part.vectors:
                return f"vector {vector} ({name})"
            vector -= part.vectors
        raise IndexError(vector)

    return where


@dataclass
class Kept:
    """Parts of vectors that a shard leaves to others: vectors and places (parts,), values (parts, layers, width)."""

    vectors: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)


class _Open:
    """A vector of several parts: the sum (or maximum) of the first of them, float64, and those that came too early.

    They are taken in the order of the text, whichever batch has them: sums in another order have other bits.
    """

    def __init__(self, parts: int) -> None:
        self.parts, self.next = parts, 0
        self.value: np.ndarray | None = None
        self.early: dict[int, np.ndarray] = {}

    def take(self, place: int, part: np.ndarray, how: str) -> bool:
        """Whether it is whole now."""
        self.early[place] = part
        while self.next in self.early:
            part = self.early.pop(self.next)
            if self.value is None:
                self.value = part
            else:
                self.value = np.maximum(self.value, part) if how == "max" else self.value + part
            self.next += 1
        return self.next == self.parts


def run_plan(
    loaded: Loaded,
    plan: Plan,
    title: str,
    first: int = 0,
    stop: int | None = None,
    apart: np.ndarray | None = None,
    kept: Kept | None = None,
    where: Callable[[int], str] | None = None,
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Every vector of the plan once, as they are done: indices (n,), and per layer their values float32 (n, width).

    Without a title there is no progress bar. Of batches [first, stop), where they are given; parts of vectors that
    ``apart`` (vectors,) marks are then not summed but put into ``kept``. Raises as :func:`write_layers` does.
    """
    open_vectors: dict[int, _Open] = {}
    specials = len(loaded.coding.prefix) + len(loaded.coding.suffix)
    written = 0
    lo, hi = plan.batch_bounds[first], plan.batch_bounds[plan.batches if stop is None else stop]
    total = int((plan.window_stop - plan.window_start)[lo:hi].sum() + (hi - lo) * specials)
    with tqdm(
        total=total, desc=title, unit=" sub-words", unit_scale=True, mininterval=5, disable=not title
    ) as progress:
        for batch in range(first, plan.batches if stop is None else stop):
            for vectors, layers in _run_batch(loaded, plan, batch, open_vectors, apart, kept):
                if len(vectors) == 0:
                    continue
                written += len(vectors)
                for layer, values in enumerate(layers):
                    if not np.isfinite(values).all():
                        row = int(vectors[np.flatnonzero(~np.isfinite(values).all(axis=1))[0]])
                        place = f"vector {row} ({title})" if where is None else where(row)
                        why = {
                            "float16": "too large for float16: write `dtype: bfloat16` or `dtype: float32` under "
                            "`activations:`",
                            "bfloat16": "the weights are damaged, or write `dtype: float32` under `activations:`",
                        }.get(loaded.facts.get("dtype", "float32"), "the weights are damaged or too large for float32")
                        raise ActivationsError(f"model {loaded.name}: layer {layer} of {place} is not finite; {why}")
                yield vectors, layers
                del vectors, layers, values  # not kept while the next batch runs
            a, b = plan.batch_bounds[batch : batch + 2]
            progress.update(int((plan.window_stop - plan.window_start)[a:b].sum() + (b - a) * specials))
    if (stop is None and written != plan.vectors) or open_vectors:
        raise AssertionError(f"{written} of {plan.vectors} vectors made, {len(open_vectors)} unfinished")


def extract(loaded: Loaded, layers: np.ndarray, units: np.ndarray, plan: Plan) -> np.ndarray:
    """Values float32 (vectors, neurons) of every vector of a plan, of the neurons in these layers and units."""
    places = [(layer, np.flatnonzero(layers == layer)) for layer in np.unique(layers)]
    out = np.empty((plan.vectors, len(layers)), np.float32)
    for vectors, values in run_plan(loaded, plan, ""):
        for layer, at in places:
            out[vectors[:, None], at] = values[layer][:, units[at]]
    return out


def _run_batch(
    loaded: Loaded,
    plan: Plan,
    batch: int,
    open_vectors: dict[int, _Open],
    apart: np.ndarray | None,
    kept: Kept | None,
) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    """Vectors that a batch completes: indices (n,) and per layer their values (n, width)."""
    first, stop = (int(b) for b in plan.batch_bounds[batch : batch + 2])
    ids, mask = _batch_ids(loaded, plan, first, stop)
    length = ids.shape[1]
    try:
        states: list[Any] = list(layer_states(loaded, ids, mask))
    except Exception as error:
        if isinstance(error, ActivationsError):
            raise
        if not out_of_memory(error):
            text = " ".join(str(error).split()) or type(error).__name__
            raise ActivationsError(
                f"model {loaded.name} cannot run a batch of {stop - first} windows of {length} sub-words: {text[:300]}"
            ) from error
        raise ActivationsError(
            f"out of memory in a batch of {stop - first} windows of {length} sub-words of model {loaded.name}; give "
            "more memory, or write a smaller activations.batch_tokens (and raise `version:`: the last bits change)"
        ) from error

    if any(state.shape[:2] != ids.shape for state in states):
        shapes = sorted({tuple(state.shape[:2]) for state in states})
        raise ActivationsError(
            f"model {loaded.name}: found states of the shapes {shapes} for {stop - first} windows of {length} "
            "sub-words; it gives no vector per sub-word and layer at this length: write another "
            "`activations.window`, or leave such texts out"
        )
    lo, hi = plan.part_bounds[first], plan.part_bounds[stop]
    window = np.repeat(np.arange(stop - first), np.diff(plan.part_bounds[first : stop + 1]))
    offset = window * length + len(loaded.coding.prefix)
    start, end = offset + plan.part_start[lo:hi], offset + plan.part_stop[lo:hi]
    vectors = plan.part_vector[lo:hi]
    whole = plan.vector_parts[vectors] == 1
    counts = plan.vector_length[vectors].astype(np.float64)[:, None]
    done: list[np.ndarray] = []
    shared = np.flatnonzero(~whole)
    partial = np.empty((len(shared), len(states), loaded.width))
    flats: Any = [state.reshape(-1, loaded.width) for state in states]
    if all(flat.device.type == "cpu" and flat.dtype == torch.float32 for flat in flats):
        flats = [flat.numpy() for flat in flats]
    else:
        flats, start, end = _fetch(flats, start, end, plan.how)
    count, flats = len(states), list(flats)
    for layer in range(count):
        values = _reduce(flats[layer], start, end, plan.how)
        states[layer] = flats[layer] = None  # a layer at a time is there twice
        partial[:, layer] = values[shared]
        done.append(finish(values[whole], counts[whole], plan.how))
    out = [(vectors[whole], done)]
    for part, index in enumerate(shared):
        vector, place = int(vectors[index]), int(plan.part_place[lo + index])
        if apart is not None and kept is not None and apart[vector]:
            kept.vectors.append(vector)
            kept.places.append(place)
            kept.values.append(partial[part].copy())
            continue
        found = open_vectors.setdefault(vector, _Open(int(plan.vector_parts[vector])))
        if found.take(place, partial[part], plan.how):
            del open_vectors[vector]
            assert found.value is not None
            value = finish(found.value, counts[index], plan.how)
            out.append((np.array([vector]), [value[layer : layer + 1] for layer in range(count)]))
    return out


def _batch_ids(loaded: Loaded, plan: Plan, first: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask (ones) of windows [first, stop), all of one length, (windows, sub-words)."""
    prefix, suffix = loaded.coding.prefix, loaded.coding.suffix
    starts = plan.window_start[first:stop]
    length = int(plan.window_stop[first] - starts[0])
    ids = np.empty((stop - first, len(prefix) + length + len(suffix)), np.int64)
    ids[:, : len(prefix)], ids[:, len(prefix) + length :] = prefix, suffix
    ids[:, len(prefix) : len(prefix) + length] = plan.ids[starts[:, None] + np.arange(length)]
    found = torch.from_numpy(ids)
    return found, torch.ones_like(found)


def _fetch(
    flats: list[torch.Tensor], start: np.ndarray, end: np.ndarray, how: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows that parts are made of, float32 (layers, rows, width), and the parts' bounds among them.

    Gathered on the device and copied in one piece, in the model's own type: half the bytes in half precision.
    """
    size = np.ones_like(start) if how in ("first", "last") else end - start
    begin = np.cumsum(size) - size
    rows = np.repeat(start - begin, size) + np.arange(size.sum())
    index = torch.from_numpy(rows).to(flats[0].device)
    kinds = {flat.dtype for flat in flats}  # of several where a model of half precision keeps some tensors in float32
    taken = [flat[index] if len(kinds) == 1 else flat[index].float() for flat in flats]
    return torch.stack(taken).cpu().float().numpy(), begin, begin + size


def _reduce(flat: np.ndarray, start: np.ndarray, end: np.ndarray, how: str) -> np.ndarray:
    """Sum (float64) or maximum of the rows [start, end) of ``flat`` for every part, (parts, width); one row as is."""
    if how in ("first", "last"):
        return flat[start]
    values = flat[start].astype(np.float64)
    size = end - start
    # Row after row, as a sum over rows has it: many short parts at once, the few long ones each alone.
    for step in range(1, min(SHORT, int(size.max(initial=1)))):
        more = np.flatnonzero((size > step) & (size <= SHORT))
        rows = flat[start[more] + step]
        values[more] = np.maximum(values[more], rows) if how == "max" else values[more] + rows
    for part in np.flatnonzero(size > SHORT):
        rows = flat[start[part] : end[part]]
        values[part] = rows.max(axis=0) if how == "max" else rows.sum(axis=0, dtype=np.float64)
    return values


def finish(values: np.ndarray, counts: np.ndarray, how: str) -> np.ndarray:
    """Sums or maxima of parts as vectors, float32; ``counts`` are sub-words, and broadcast."""
    return np.ascontiguousarray(values / counts if how == "mean" else values, np.float32)


def preallocate(stack: ExitStack, path: Path, vectors: int, width: int) -> tuple[Any, int]:
    """An .npy file with its header and room for all rows; returns its descriptor and where the rows begin."""
    with path.open("wb") as handle:
        np.lib.format.write_array_header_1_0(
            handle, {"descr": "<f4", "fortran_order": False, "shape": (vectors, width)}
        )
        begin = handle.tell()
        handle.truncate(begin + vectors * width * 4)
    return open_layers(stack, [path], vectors, width)[0]


def open_layers(stack: ExitStack, paths: list[Path], vectors: int, width: int) -> list[tuple[int, int]]:
    """Files that :func:`preallocate` made, as it returns them."""
    files = []
    for path in paths:
        descriptor = os.open(path, os.O_WRONLY)
        stack.callback(os.close, descriptor)
        files.append((descriptor, path.stat().st_size - vectors * width * 4))
    return files


def write_rows(file: tuple[int, int], vectors: np.ndarray, values: np.ndarray) -> None:
    """Put row i of ``values`` (float32) at place vectors[i] of the file; neighbours in one write."""
    descriptor, begin = file
    cuts = np.flatnonzero(np.diff(vectors) != 1) + 1
    size = values.shape[1] * 4
    for a, b in zip(np.append(0, cuts), np.append(cuts, len(vectors)), strict=True):
        data = values[a:b].data.cast("B")
        place = begin + int(vectors[a]) * size
        while len(data):
            count = os.pwrite(descriptor, data, place)
            data, place = data[count:], place + count
