"""Run a plan and write its vectors: a batch at a time, each row straight to its place in the layer's file.

Writes layer_00.npy ... layer_LL.npy, float32 (vectors, width), C order. Beside the model and the plan, memory holds
one batch and the sums of the one text whose windows are not all done: nothing that grows with the split.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from neurosieve.activations.batches import ActivationsError, Plan
from neurosieve.activations.models import Loaded, layer_states
from neurosieve.memory import out_of_memory


def write_layers(loaded: Loaded, plan: Plan, paths: list[Path], title: str) -> None:
    """Compute every vector of the plan.

    Parameters
    ----------
    paths : one file per layer, to be made. Means are summed in float64.
    title : name of the progress bar.

    Raises
    ------
    ActivationsError
        out of memory (never a smaller batch instead: its composition is part of the result), values not finite.
    """
    with ExitStack() as stack:
        files = [preallocate(stack, path, plan.vectors, loaded.width) for path in paths]
        for vectors, layers in run_plan(loaded, plan, title):
            for file, values in zip(files, layers, strict=True):
                write_rows(file, vectors, values)


def run_plan(
    loaded: Loaded,
    plan: Plan,
    title: str,
    first: int = 0,
    stop: int | None = None,
    apart: np.ndarray | None = None,
    kept: tuple[list[int], list[np.ndarray]] | None = None,
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Every vector of the plan once, as they are done: indices (n,), and per layer their values float32 (n, width).

    Without a title there is no progress bar. Of batches [first, stop), where they are given; parts of vectors that
    ``apart`` (vectors,) marks are then not summed but put into ``kept``: vectors, and values (layers, width), float64.
    Raises as :func:`write_layers` does.
    """
    # vector -> parts still to come, and the sum (or maximum) of those that came, (layers, width)
    open_vectors: dict[int, tuple[int, np.ndarray]] = {}
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
                        why = {
                            "float16": "too large for float16: write `dtype: bfloat16` or `dtype: float32` under "
                            "`activations:`",
                            "bfloat16": "the weights are damaged, or write `dtype: float32` under `activations:`",
                        }.get(loaded.facts.get("dtype", "float32"), "the weights are damaged or too large for float32")
                        raise ActivationsError(
                            f"model {loaded.name}: layer {layer} of vector {row} ({title}) is not finite; {why}"
                        )
                yield vectors, layers
            a, b = plan.batch_bounds[batch : batch + 2]
            progress.update(int((plan.window_stop - plan.window_start)[a:b].sum() + (b - a) * specials))
    if (stop is None and written != plan.vectors) or open_vectors:
        raise AssertionError(f"{written} of {plan.vectors} vectors made, {len(open_vectors)} unfinished")


def _run_batch(
    loaded: Loaded,
    plan: Plan,
    batch: int,
    open_vectors: dict[int, tuple[int, np.ndarray]],
    apart: np.ndarray | None,
    kept: tuple[list[int], list[np.ndarray]] | None,
) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    """Vectors that a batch completes: indices (n,) and per layer their values (n, width)."""
    first, stop = (int(b) for b in plan.batch_bounds[batch : batch + 2])
    ids, mask = _batch_ids(loaded, plan, first, stop)
    length = ids.shape[1]
    try:
        states = layer_states(loaded, ids, mask)
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
    for layer, flat in enumerate(flats):
        values = _reduce(flat, start, end, plan.how)
        partial[:, layer] = values[shared]
        done.append(finish(values[whole], counts[whole], plan.how))
    out = [(vectors[whole], done)]
    for part, index in enumerate(shared):
        vector = int(vectors[index])
        if apart is not None and kept is not None and apart[vector]:
            kept[0].append(vector)
            kept[1].append(partial[part].copy())
            continue
        left, value = open_vectors.pop(vector, (int(plan.vector_parts[vector]), None))
        if value is None:
            value = partial[part]
        else:
            value = np.maximum(value, partial[part]) if plan.how == "max" else value + partial[part]
        if left > 1:
            open_vectors[vector] = (left - 1, value)
        else:
            value = finish(value, counts[index], plan.how)
            out.append((np.array([vector]), [value[layer : layer + 1] for layer in range(len(states))]))
    return out


def _batch_ids(loaded: Loaded, plan: Plan, first: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask of windows [first, stop), (windows, longest), padded on the right."""
    prefix, suffix = loaded.coding.prefix, loaded.coding.suffix
    specials = len(prefix) + len(suffix)
    lengths = (plan.window_stop - plan.window_start)[first:stop]
    ids = np.full((stop - first, int(lengths.max()) + specials), loaded.coding.pad, np.int64)
    mask = np.zeros_like(ids)
    for row, (begin, length) in enumerate(zip(plan.window_start[first:stop], lengths, strict=True)):
        ids[row, : length + specials] = (*prefix, *plan.ids[begin : begin + length], *suffix)
        mask[row, : length + specials] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


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
    for part in np.flatnonzero(end - start > 1):  # a loop: reduceat took seven times as long
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
