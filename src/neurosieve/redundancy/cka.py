"""Linear centred kernel alignment (CKA) between layers, from mini-batches. Reads and writes no files.

CKA (Kornblith et al. 2019, arXiv 1905.00414) is HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with K = X X', L = Y Y'.
Two estimators of HSIC: the biased tr(K H L H) / (n - 1)^2, and the unbiased HSIC_1 of Song et al. 2012 (JMLR 13,
equation 5). Both are averaged over batches before the division (Nguyen et al. 2021, arXiv 2010.15327, equation 3).
HSIC_1 is written as the inner product of U-centred Gram matrices over n(n - 3) (Szekely and Rizzo 2014), so that by
Cauchy and Schwarz both CKAs lie in [-1, 1] whatever the batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

BLOCK = 8_000_000  # Gram entries of all layers held at once, 64 MB
NOISE = 1e-9  # float64 rounding allowed beyond the bounds [-1, 1]
FLAT = "the layer's vectors do not vary over the rows of the batches"
ONE_ROW = "the layer's vectors vary over the rows of the batches in one row alone, but for rounding"


def hsic(layers: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Unbiased and biased linear HSIC of every pair of layers, float64 (layers, layers) each.

    ``layers`` are the vectors of the same n >= 4 rows, (n, width) each; widths may differ.
    """
    n = len(layers[0])
    if n < 4:
        raise ValueError(f"the unbiased HSIC needs at least 4 rows, found {n}")
    centred = []
    for layer in layers:
        x = layer.astype(np.float64)
        x -= x.mean(axis=0)  # of equal float32 values it is exact: a column constant in the batch becomes zero
        centred.append(x)
    norms = np.stack([np.einsum("ij,ij->i", x, x) for x in centred])
    unbiased, biased = np.zeros((2, len(layers), len(layers)))
    step = max(1, BLOCK // (len(layers) * n))
    for start in range(0, n, step):
        stop = min(start + step, n)
        gram = np.stack([x[start:stop] @ x.T for x in centred])
        flat = gram.reshape(len(layers), -1)
        biased += flat @ flat.T
        # X is centred, so that without its diagonal row i of K sums to -K_ii, and U-centring takes this form
        gram += (norms[:, start:stop, None] + norms[:, None, :]) / (n - 2)
        gram -= (norms.sum(axis=1) / ((n - 1) * (n - 2)))[:, None, None]
        gram[:, np.arange(stop - start), np.arange(start, stop)] = 0
        unbiased += flat @ flat.T
    return unbiased / (n * (n - 3)), biased / (n - 1) ** 2


def _rounding(layer: np.ndarray) -> float:
    """What rounding may make of the unbiased HSIC of a layer (n, width), float64, with itself.

    That of float32 vectors: n entries of the Gram matrix off by 2^-22 of its trace. That of float64 arithmetic, mostly
    of the mean that is taken off: 2^-48 of the vectors as they are.
    """
    n, x = len(layer), layer - layer.mean(axis=0)
    own = float(np.einsum("ij,ij->", x, x))
    return (n * 2.0**-44 * own**2 + 2.0**-96 * float(np.einsum("ij,ij->", layer, layer)) * own) / (n * (n - 3))


def batches(rows: int, size: int, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Row indices of ``count`` batches of ``size``, without replacement until a pass over the rows is used up."""
    per_pass = rows // size
    for number in range(count):
        if number % per_pass == 0:
            order = rng.permutation(rows)
        start = number % per_pass * size
        yield np.sort(order[start : start + size])


def layer_cka(layers: list[np.ndarray], size: int, count: int, rng: np.random.Generator) -> dict[str, Any]:
    """CKA of every pair of layers from ``count`` batches of ``size`` rows (all rows where there are fewer).

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
    rows = len(layers[0])
    size = min(size, rows)
    sums = np.zeros((2, len(layers), len(layers)))
    rounding = np.zeros(len(layers))
    # powers of two, which change no bit of a CKA: squares of squares of huge and tiny values stay within float64
    scales = [2.0 ** -np.frexp(np.abs(layer).max(initial=0))[1] for layer in layers]
    for batch in tqdm(batches(rows, size, count, rng), desc="CKA batches", total=count, mininterval=5):
        picked = [layer[batch].astype(np.float64) * scale for layer, scale in zip(layers, scales, strict=True)]
        sums += hsic(picked)
        rounding += [_rounding(layer) for layer in picked]
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
        out[name] = [[None if np.isnan(v) else float(v) for v in row] for row in value]
    for layer in np.flatnonzero(left_out):
        out["left_out"][str(layer)] = FLAT if flat[layer] else ONE_ROW
    return out
