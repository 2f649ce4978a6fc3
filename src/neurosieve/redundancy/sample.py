"""Train vectors of a model, read a few rows at a time, with the moments that make correlations of their columns.

Reads: activations/<model>/<task>/train (layer_NN.npy), prepare/tasks/<task>/train (the file of each vector). Writes
nothing.
A file is mapped anew for each read, so that no more of it is in memory than the rows that are worked on.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from neurosieve.artifacts import ArtifactError, Paths, iter_jsonl, read_manifest, read_npy
from neurosieve.config import Params
from neurosieve.constant import constant_columns

CHUNK = 2**28  # bytes of the standardised rows that are multiplied at once
BLOCK = 128  # rows that are computed in float64 at once: they stay in the processor's cache

Layer = np.ndarray | Path  # (vectors, width), in memory or in a file


def mapped(layer: Layer) -> np.ndarray:
    return np.asarray(read_npy(layer, mmap=True) if isinstance(layer, Path) else layer)


def take(layer: Layer, rows: np.ndarray) -> np.ndarray:
    """Those rows of a layer (vectors, width), a copy."""
    found: np.ndarray = mapped(layer)[rows]
    return found


@dataclass(frozen=True)
class Moments:
    """Of the columns of some rows, float64 (columns,) each but for ``count``, the number of rows.

    first : values of the first row. mean : means. squares : sums of squared deviations from them. equal : bool, whether
    all rows have the value of the first.
    """

    count: int
    first: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    equal: np.ndarray

    @classmethod
    def of(cls, layer: Layer, rows: np.ndarray) -> Moments:
        """Those of the columns of a layer (vectors, width), one row at least."""
        first = take(layer, rows[:1])[0].astype(np.float64)  # the squares lose no digits to a large mean
        total, squares = np.zeros((2, len(first)))
        equal = np.ones(len(first), bool)
        step = 64 * BLOCK
        for start in range(0, len(rows), step):
            some = take(layer, rows[start : start + step])
            for at in range(0, len(some), BLOCK):
                block = some[at : at + BLOCK].astype(np.float64)
                block -= first
                total += block.sum(axis=0)
                squares += np.einsum("ij,ij->j", block, block)
                if equal.any():
                    equal &= ~block.any(axis=0)
        mean = total / len(rows)
        return cls(len(rows), first, first + mean, np.maximum(squares - len(rows) * mean * mean, 0), equal)

    def merged(self, other: Moments) -> Moments:
        """Of the rows of both (Chan, Golub and LeVeque 1983)."""
        count = self.count + other.count
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        squares = self.squares + other.squares + apart * apart * (self.count * other.count / count)
        return Moments(count, self.first, mean, squares, self.equal & other.equal & (self.first == other.first))

    @classmethod
    def none(cls, count: int, width: int) -> Moments:
        """Of a layer that is not measured."""
        zeros = np.zeros(width)
        return cls(count, zeros, zeros, zeros, np.ones(width, bool))

    @property
    def constant(self) -> np.ndarray:
        """Which columns are constant among those of this layer, bool."""
        return constant_columns(np.sqrt(self.squares / self.count), self.equal)


@dataclass(frozen=True)
class Varying:
    """Some rows of a layer, with 0 for units that are constant: at most rounding would be left of them."""

    layer: Layer
    rows: np.ndarray
    constant: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: np.ndarray) -> np.ndarray:
        """float32 (rows, width) of those of the rows."""
        found = take(self.layer, self.rows[at])
        found[:, self.constant] = 0
        return found


@dataclass(frozen=True)
class Sample:
    """Sampled train vectors of a model, in one part or two.

    layers : (vectors, width) each, in order, all units; None for one that is not measured. parts : ascending indices of
    the rows of each part, of which no two have one. moments : of each part and layer. constant : bool (layers, width),
    constant on train, or in the sample, where no correlation is defined; or not measured. constant_on_train : bool
    (layers, width), constant on train, or not measured. vectors : number of train vectors that the rows are drawn from.
    """

    layers: Sequence[Layer | None]
    parts: list[np.ndarray]
    moments: list[list[Moments]]
    constant: np.ndarray
    constant_on_train: np.ndarray
    vectors: int

    @classmethod
    def of(cls, layers: Sequence[Layer | None], parts: Sequence[np.ndarray] | None = None) -> Sample:
        """Those rows of float32 layers (vectors, width), each part with a row at least; all rows where none are named.

        Raises
        ------
        ArtifactError
            values that are not finite, in any row.
        """
        vectors, width = mapped(next(layer for layer in layers if layer is not None)).shape
        parts = [np.arange(vectors)] if parts is None else list(parts)
        rest = np.setdiff1d(np.arange(vectors), np.concatenate(parts))
        moments: list[list[Moments]] = [[] for _ in parts]
        constant, constant_on_train = [], []
        for layer in layers:
            if layer is None:
                for own, rows in zip(moments, parts, strict=True):
                    own.append(Moments.none(len(rows), width))
                constant.append(np.ones(width, bool))
                constant_on_train.append(np.ones(width, bool))
                continue
            found = [Moments.of(layer, rows) for rows in parts]
            for own, one in zip(moments, found, strict=True):
                own.append(one)
            sample = found[0] if len(found) == 1 else found[0].merged(found[1])
            train = sample.merged(Moments.of(layer, rest)) if len(rest) else sample
            if not np.isfinite(train.squares).all():
                unit = int(np.argmin(np.isfinite(train.squares)))
                raise ArtifactError(f"{layer}: found values that are not finite in unit {unit}")
            constant_on_train.append(train.constant)
            constant.append(train.constant | sample.constant)
        return cls(layers, parts, moments, np.stack(constant), np.stack(constant_on_train), vectors)

    @property
    def measured(self) -> np.ndarray:
        """Which layers are measured, bool (layers,)."""
        return np.array([layer is not None for layer in self.layers])

    @property
    def rows(self) -> np.ndarray:
        """Ascending indices of the rows of all parts."""
        return np.sort(np.concatenate(self.parts))

    def constant_in(self, part: int) -> np.ndarray:
        """Which neurons are constant in the rows of one part, bool (layers, width)."""
        return np.stack([moments.constant for moments in self.moments[part]])

    def whole(self) -> list[Moments]:
        """Moments of the rows of all parts, of each layer."""
        if len(self.parts) == 1:
            return self.moments[0]
        return [first.merged(second) for first, second in zip(*self.moments, strict=True)]

    def varying(self) -> list[Varying | None]:
        """The rows of all parts of each layer, for what counts constant units for nothing."""
        rows = self.rows
        return [
            None if layer is None else Varying(layer, rows, mask)
            for layer, mask in zip(self.layers, self.constant, strict=True)
        ]

    def largest(self) -> list[float]:
        """A bound of the absolute values of each layer, above them by the root of the number of rows at most."""
        return [float((np.abs(m.mean) + np.sqrt(m.squares)).max()) for m in self.whole()]

    def unit_rows(self, part: int | None, kept: np.ndarray) -> Iterator[np.ndarray]:
        """Rows of one part, or of all, their columns centred and scaled to length 1: float32 (some rows, neurons) each.

        ``kept`` is a bool (all neurons,). The sum of the products of these rows with themselves is the Pearson
        correlation of the columns. Computed in float64 and rounded once. A column that is constant is 0. Each array is
        overwritten by the next.
        """
        rows = self.rows if part is None else self.parts[part]
        found = self.whole() if part is None else self.moments[part]
        width = self.constant.shape[1]
        masks = kept.reshape(-1, width)
        number = int(kept.sum())
        chunks = max(1, math.ceil(4 * number * len(rows) / CHUNK))
        held = np.empty((-(-len(rows) // chunks), number), np.float32)
        for some in tqdm(np.array_split(rows, chunks), desc="correlations, rows", mininterval=5):
            z, done = held[: len(some)], 0
            for layer, mask, moments in zip(self.layers, masks, found, strict=True):
                if layer is None or not (wanted := int(mask.sum())):
                    continue
                _standardise(take(layer, some), mask, moments, z[:, done : done + wanted])
                done += wanted
            yield z


def _standardise(x: np.ndarray, mask: np.ndarray, moments: Moments, out: np.ndarray) -> None:
    some = slice(None) if mask.all() else mask
    mean, squares = moments.mean[some], moments.squares[some]
    scale = np.divide(1, np.sqrt(squares), out=np.zeros_like(squares), where=(squares > 0) & ~moments.equal[some])
    for at in range(0, len(x), BLOCK):
        block = x[at : at + BLOCK, some].astype(np.float64)
        block -= mean
        block *= scale
        out[at : at + BLOCK] = block


def rng_of(params: Params, task: str, what: str) -> np.random.Generator:
    return np.random.default_rng([params.seed, zlib.crc32(what.encode()), zlib.crc32(task.encode())])


def sampled_rows(params: Params, task: str, vectors: int) -> np.ndarray:
    """Ascending indices of the train vectors that are used, of ``vectors``; they do not depend on the model."""
    rng = rng_of(params, task, "redundancy rows")
    return np.sort(rng.choice(vectors, size=min(params.redundancy.rows, vectors), replace=False))


def vector_files(paths: Paths, task: str, vectors: int) -> np.ndarray:
    """int (vectors,) codes of the file of each train vector: that of its row's input for tokens, else of its input.

    Raises
    ------
    ArtifactError
        where the task has another number of rows (tokens) or inputs than there are vectors.
    """
    folder = paths.task(task) / "train"
    files = [row["file"] for row in iter_jsonl(folder / "inputs.jsonl")]
    rows = iter_jsonl(folder / "rows.jsonl")
    first = next(rows, None)
    name = "inputs.jsonl"
    if first is not None and "seen" in first:  # tokens: a vector per row
        files, name = [files[first["input"]], *(files[row["input"]] for row in rows)], "rows.jsonl"
    if len(files) != vectors:
        raise ArtifactError(
            f"{folder / name}: found {len(files)} lines, expected {vectors}, one for each train vector; "
            "run the phase `activations` again"
        )
    return np.unique(files, return_inverse=True)[1]


def sample_train(
    params: Params, paths: Paths, model: str, task: str, parts: Sequence[np.ndarray] | None = None
) -> Sample:
    """Train vectors of ``params.redundancy.rows`` rows (all where there are fewer), the same rows for every model.

    In one part, or in ``parts`` of these rows. ArtifactError where a file has another shape than its manifest says, or
    values that are not finite.
    """
    folder = paths.activations(model, task, "train")
    facts = read_manifest(folder)["facts"]
    vectors, width = int(facts["vectors"]), int(facts["width"])
    every = range(int(facts["layers"]))
    only = set(facts.get("only_layers", every))
    layers = [folder / f"layer_{number:02d}.npy" if number in only else None for number in every]
    for path in filter(None, layers):
        found = read_npy(path, mmap=True).shape
        if found != (vectors, width):
            raise ArtifactError(f"{path}: found shape {found}, expected ({vectors}, {width}); delete its folder")
    return Sample.of(layers, [sampled_rows(params, task, vectors)] if parts is None else parts)
