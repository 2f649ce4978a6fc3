"""How few bits do the chosen neurons need?

Question: what does a probe score whose input, the activations of the chosen neurons, and whose weights have 8, 4 or 2
bits, how many neurons does it then need, and how many bytes is that?

Null: as many random neurons of the same layers, with a probe of their own at the same penalty, quantised alike: the
headline is the score that is lost. Beside it stands what 32 bits score.

Source: uniform quantisation to 2^b levels between the least and the largest train value of each column, values beyond
are set to the nearest end; of weights between the least and the largest of each output (Jacob et al. 2018, CVPR,
2704-2713: an affine scale per channel). The probe is fitted in float32 and then quantised, not fitted again.

found: "neurons", "margin", "float": {"chosen", "random": {mean, low, high}: judge scores, "bytes_row", "bytes_probe",
"n_within"}, "bits": [{"bits", "chosen", "random", "chosen_less_random": {difference, low, high}, "less_float": {...},
"loss": {chosen, random}, "weights_only", "values_only": judge scores, "bytes_row": of the activations of one row,
"bytes_probe": weights, intercepts and ranges, "n_within": the smallest tested number of neurons, along the order of the
subset, from which on the estimate stays within the margin of the subset in float32, or null, "sizes": [{n, judge}]}].
Reads and writes no files.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from neurosieve.concepts.lenses import Headline, LensInput, LensReport
from neurosieve.concepts.lenses._fitting import Report, Target, drawn, sizes_up_to, target_of
from neurosieve.probes.solver import Probe

UNITS = ("token", "sequence", "pair")
NUMBERS = True
FLOAT_BYTES = 4


def ranges(X: np.ndarray, clip: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the range of each column (rows, columns), float64: least and largest, or the quantiles clip, 1 - clip."""
    if clip == 0:
        return X.min(axis=0).astype(np.float64), X.max(axis=0).astype(np.float64)
    low, high = np.quantile(X.astype(np.float64), [clip, 1 - clip], axis=0)
    return low, high


def quantise(X: np.ndarray, low: np.ndarray, high: np.ndarray, bits: int) -> np.ndarray:
    """Values rounded to the nearest of 2^bits levels from low to high, (columns,) each, in float32.

    A column whose range is empty becomes its one value. Halves round to the even level.
    """
    step = (high - low) / (2**bits - 1)
    code = np.divide(X - low, step, out=np.zeros(X.shape), where=step > 0)
    return np.asarray((np.clip(np.rint(code), 0, 2**bits - 1) * step + low).astype(np.float32))


def quantised(probe: Probe, bits: int) -> Probe:
    """The probe with the weights of each output quantised over their own range; intercepts stay in float32."""
    low, high = ranges(probe.weights)
    return replace(probe, weights=quantise(probe.weights, low, high, bits))


def bytes_of(columns: int, outputs: int, bits: int | None) -> tuple[int, int]:
    """Bytes of the values of one row, packed, and of a probe: weights, intercepts, two ends of the range of every
    column and output. bits None: float32, which needs no ranges."""
    if bits is None:
        return columns * FLOAT_BYTES, (columns + 1) * outputs * FLOAT_BYTES
    ends = 2 * (columns + outputs) * FLOAT_BYTES
    return math.ceil(columns * bits / 8), math.ceil(columns * outputs * bits / 8) + outputs * FLOAT_BYTES + ends


def first_within(sizes: list[int], scores: list[float], least: float) -> int | None:
    """The smallest size from which on every score is above ``least``; None where the last is not."""
    found = None
    for size, score in zip(reversed(sizes), reversed(scores), strict=True):
        if score <= least:
            break
        found = size
    return found


def predictions(
    probe: Probe, train: np.ndarray, judge: np.ndarray, bits: int, clip: float, *, weights: bool = True,
    values: bool = True,
) -> np.ndarray:  # fmt: skip
    """Judge predictions (rows,) of a probe with its weights, and the values of judge, quantised."""
    X = quantise(judge, *ranges(train, clip), bits) if values else judge
    return (quantised(probe, bits) if weights else probe).predict(X)


def along(
    target: Target,
    train: np.ndarray,
    judge: np.ndarray,
    sizes: list[int],
    per_neuron: int,
    bits: list[int],
    clip: float,
) -> dict[int | None, list[float]]:
    """Judge scores of the first n neurons for each size, by bits; None: float32. Columns are in the subset's order."""
    found: dict[int | None, list[float]] = {each: [] for each in (None, *bits)}
    for n in sizes:
        own = slice(0, n * per_neuron)
        probe = target.fit(train[:, own])
        for each, scores in found.items():
            predicted = (
                probe.predict(judge[:, own])
                if each is None
                else predictions(probe, train[:, own], judge[:, own], each, clip)
            )
            scores.append(target.judged(predicted, value_only=True).value)
    return found


def look(data: LensInput) -> LensReport:
    """All chosen neurons."""
    settings, target, c = data.settings, target_of(data), data.features.columns_per_neuron
    margin = data.params.margin(data.task).value
    train, judge = data.matrix("train", data.chosen), data.matrix("judge", data.chosen)
    sizes = sizes_up_to(len(data.chosen), settings.ratio)
    curves = along(target, train, judge, sizes, c, settings.bits, settings.clip)

    def fitted(neurons: np.ndarray) -> tuple[Probe, np.ndarray, np.ndarray]:
        X = data.matrix("train", neurons)
        return target.fit(X), X, data.matrix("judge", neurons)

    own = (target.fit(train), train, judge)
    others = [fitted(draw) for draw in data.random_sets(data.chosen, settings.draws)]
    exact = [target.judged(probe.predict(X)) for probe, _, X in (own, *others)]
    outputs = own[0].weights.shape[1]
    least = exact[0].value - margin
    entries: list[Report] = []
    headline = None
    every = settings.bits if settings.headline in settings.bits else [*settings.bits, settings.headline]
    for bits in every:
        low = [target.judged(predictions(*each, bits, settings.clip)) for each in (own, *others)]
        loss = [before.value - after.value for before, after in zip(exact, low, strict=True)]
        row, size = bytes_of(train.shape[1], outputs, bits)
        entry: Report = {
            "bits": bits,
            "chosen": low[0].value,
            "random": drawn([judged.value for judged in low[1:]]),
            "chosen_less_random": target.difference(low[0], low[1:]),
            "less_float": target.difference(low[0], exact[:1]),
            "loss": {"chosen": loss[0], "random": drawn(loss[1:])},
            "weights_only": target.judged(predictions(*own, bits, settings.clip, values=False), value_only=True).value,
            "values_only": target.judged(predictions(*own, bits, settings.clip, weights=False), value_only=True).value,
            "bytes_row": row,
            "bytes_probe": size,
        }
        if bits in curves:
            entry["n_within"] = first_within(sizes, curves[bits], least)
            entry["sizes"] = [{"n": n, "judge": value} for n, value in zip(sizes, curves[bits], strict=True)]
        entries.append(entry)
        if bits == settings.headline:
            headline = Headline(f"score kept at {bits} bits, less that at 32", -loss[0], -np.array(loss[1:]))
    assert headline is not None
    row, size = bytes_of(train.shape[1], outputs, None)
    found = {
        "neurons": len(data.chosen),
        "margin": margin,
        "float": {
            "chosen": exact[0].value,
            "random": drawn([judged.value for judged in exact[1:]]),
            "bytes_row": row,
            "bytes_probe": size,
            "n_within": first_within(sizes, curves[None], least),
        },
        "bits": entries,
    }
    return LensReport(headline, found)
