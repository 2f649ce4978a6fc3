"""Linear centred kernel alignment (CKA) between layers, from mini-batches. Reads and writes no files.

CKA (Kornblith et al. 2019, arXiv 1905.00414) is HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with K = X X', L = Y Y'.
Two estimators of HSIC: the biased tr(K H L H) / (n - 1)^2, and the unbiased HSIC_1 of Song et al. 2012 (JMLR 13,
equation 5). Both are averaged over batches before the division (Nguyen et al. 2021, arXiv 2010.15327, equation 3).
HSIC_1 is written as the inner product of U-centred Gram matrices over n(n - 3) (Szekely and Rizzo 2014), so that by
Cauchy and Schwarz both CKAs lie in [-1, 1] whatever the batches. Gram matrices are symmetric: half of each is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

TILE = 384  # rows on a side of a piece of the Gram matrices: those of all layers stay in the processor's cache
NOISE = 1e-9  # float64 rounding allowed beyond the bounds [-1, 1]
FLAT = "the layer's vectors do not vary over the rows of the batches"
NOT_MEASURED = "the layer is not among the model's `only_layers`"
ONE_ROW = "the layer's vectors vary over the rows of the batches in one row alone, but for rounding"


def hsic(layers: Iterable[np.ndarray], scales: Sequence[float] | None = None) -> tuple[np.ndarray, ...]:
    """Unbiased and biased linear HSIC of every pair of layers, float64 (layers, layers) each, and what rounding may
    make of the unbiased HSIC of each with itself, float64 (layers,).

    ``layers`` are the vectors of the same n >= 4 rows, (n, width) each, times ``scales``; widths may differ.
    Rounding: that of float32 vectors, n entries of the Gram matrix off by 2^-22 of its trace; that of float64
    arithmetic, mostly of the mean that is taken off, 2^-48 of the vectors as they are.
    """
    centred, norms, means = [], [], []
    for number, layer in enumerate(layers):
        x = layer.astype(np.float64)
        if scales is not None:
            x *= scales[number]
        mean = x.mean(axis=0)
        x -= mean  # of equal float32 values it is exact: a column constant in the batch becomes zero
        centred.append(x)
        norms.append(np.einsum("ij,ij->i", x, x))
        means.append(mean @ mean)
    n, k = len(centred[0]), np.stack(norms)
    if n < 4:
        raise ValueError(f"the unbiased HSIC needs at least 4 rows, found {n}")
    trace = k.sum(axis=1)
    # X is centred, so that without its diagonal row i of K sums to -K_ii, and U-centring adds a_i + a_j to K_ij
    added = k / (n - 2) - (trace / (2 * (n - 1) * (n - 2)))[:, None]
    unbiased = np.zeros((len(k), len(k)))
    tiles = np.array_split(np.arange(n), -(-n // TILE))
    held = np.empty(len(k) * len(tiles[0]) ** 2)
    for number, rows in enumerate(tiles):
        for others in tiles[number:]:
            gram = held[: len(k) * len(rows) * len(others)].reshape(len(k), len(rows), len(others))
            left, right = slice(rows[0], rows[-1] + 1), slice(others[0], others[-1] + 1)
            for out, x, a in zip(gram, centred, added, strict=True):
                np.matmul(x[left], x[right].T, out=out)
                out += a[left, None]
                out += a[right]
            if left == right:
                gram[:, np.arange(len(rows)), np.arange(len(rows))] = 0
            flat = gram.reshape(len(k), -1)
            unbiased += (1 if left == right else 2) * (flat @ flat.T)
    # tr(K L) is the inner product of the U-centred matrices, and what U-centring took
    biased = unbiased + n / (n - 2) * (k @ k.T) - np.outer(trace, trace) / ((n - 1) * (n - 2))
    rounding = n * 2.0**-44 * trace**2 + 2.0**-96 * (trace + n * np.array(means)) * trace
    return unbiased / (n * (n - 3)), biased / (n - 1) ** 2, rounding / (n * (n - 3))


def batches(rows: int, size: int, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Row indices of ``count`` batches of ``size``, without replacement until a pass over the rows is used up."""
    per_pass = rows // size
    for number in range(count):
        if number % per_pass == 0:
            order = rng.permutation(rows)
        start = number % per_pass * size
        yield np.sort(order[start : start + size])


class Rows(Protocol):
    """Vectors of a layer, read by their indices: an array (rows, width), or what reads them from a file."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: np.ndarray, /) -> np.ndarray: ...


def layer_cka(
    layers: Sequence[Rows | None],
    size: int,
    count: int,
    rng: np.random.Generator,
    largest: Sequence[float] | None = None,
) -> dict[str, Any]:
    """CKA of every pair of layers from ``count`` batches of ``size`` rows (all rows where there are fewer).

    ``largest`` : about the largest absolute value of each layer, for layers that are no arrays. A layer that is None
    was not measured.

    Returns ``unbiased`` and ``biased``, nested lists with None in the rows and columns of layers left out;
    ``left_out``, reason by layer; ``rows`` per batch, ``batches``. Left out are layers that do not vary, and those of
    which but one row differs: their unbiased HSIC is 0, and what is computed is rounding.

    Raises
    ------
    ValueError
        fewer than four rows.
    ArithmeticError
        a value outside [-1, 1] by more than float64 noise, which would be a fault of this module.
    """
    every, measured = len(layers), [number for number, layer in enumerate(layers) if layer is not None]
    if largest is not None:
        largest = [largest[number] for number in measured]
    read = [layer for layer in layers if layer is not None]
    rows = len(read[0])
    size = min(size, rows)
    sums = np.zeros((2, len(read), len(read)))
    rounding = np.zeros(len(read))
    # powers of two, which change no bit of a CKA: squares of squares of huge and tiny values stay within float64
    if largest is None:
        largest = [float(np.abs(np.asarray(layer)).max(initial=0)) for layer in read]
    scales = [2.0 ** -np.frexp(value)[1] for value in largest]
    for batch in tqdm(batches(rows, size, count, rng), desc="CKA batches", total=count, mininterval=5):
        *found, noise = hsic((layer[batch] for layer in read), scales)
        sums += found
        rounding += noise
    out: dict[str, Any] = {"rows": size, "batches": count, "left_out": {}}
    own = np.diagonal(sums, axis1=1, axis2=2)
    flat, one_row = ~(own[1] > 0), own[0] <= rounding
    left_out = flat | one_row
    for name, total, diagonal in zip(("unbiased", "biased"), sums, own, strict=True):
        known = np.where(left_out, np.nan, diagonal)
        value = total / np.sqrt(np.outer(known, known))
        if np.nanmax(np.abs(value), initial=0) > 1 + NOISE:
            raise ArithmeticError(f"{name} CKA reaches {np.nanmax(np.abs(value))}, outside [-1, 1]")
        value = np.clip(value, -1, 1)
        whole = np.full((every, every), np.nan)
        whole[np.ix_(measured, measured)] = value
        out[name] = [[None if np.isnan(v) else float(v) for v in row] for row in whole]
    why = dict.fromkeys(range(every), NOT_MEASURED)
    for layer, no, one in zip(measured, flat, one_row, strict=True):
        why[layer] = FLAT if no else ONE_ROW if one else ""
    out["left_out"] = {str(layer): reason for layer, reason in why.items() if reason}
    return out
