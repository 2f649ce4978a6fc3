"""The rules of the minimal subset, as pure functions on arrays: which sizes to try, which pass, where the minimum lies.

Reads and writes no files. A size passes when the lower end of the one-sided interval of (subset - reference) is above
-margin and that of (subset - best baseline) is above 0, both by itself and on the increasing curve that is fitted to
the tested sizes up to the largest that is within the margin of the best on tune; the minimum is the smallest tested
size that passes (docs/minimum-rule.md says why not another rule). The largest size that fails stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosieve.probes import intervals

# Share of (reference - best baseline) below which a minimal subset is flagged: the margin alone can hide a large loss
# where the reference is hardly better than the baseline.
SHARE_FLAG = 0.9


@dataclass(frozen=True)
class Bracket:
    """Which of the tested sizes pass: ``first``, the smallest that does (None where none does); ``failing``, the
    largest that does not (None where all do); ``every``, the smallest from which on all do (None where the largest
    does not). On a curve that increases failing < first = every."""

    first: int | None
    failing: int | None
    every: int | None


@dataclass(frozen=True)
class Tested:
    """What judge says of the sizes of a curve.

    sizes : (S,) ascending. difference, baseline_difference : (S,) score less that of the reference, and of the best
    baseline. replicates, baseline_replicates : (S, B) the same in every bootstrap replicate. margin : in units of the
    metric. confidence : of the one-sided bounds, 0.95 for the 5-95 % interval. last : position of the largest size that
    is within the margin of the best on tune, and of the reference on judge: up to it the curve is taken to increase.
    """

    sizes: np.ndarray
    difference: np.ndarray
    replicates: np.ndarray
    baseline_difference: np.ndarray
    baseline_replicates: np.ndarray
    margin: float
    confidence: float
    last: int

    def fit(self, values: np.ndarray) -> np.ndarray:
        """The increasing curve of values (S, ...) up to ``last``, and from there on its value at ``last``.

        With few rows larger sets are worse, for what train says of the neurons they add is noise. That tells nothing
        against the smaller ones.
        """
        rise = increasing_fit(self.sizes[: self.last + 1], values[: self.last + 1])
        return np.concatenate([rise, np.broadcast_to(rise[-1:], values[self.last + 1 :].shape)])


def size_grid(n: int, ratio: float) -> list[int]:
    """Sizes 1 ... ``n``, ascending and distinct: from ``n`` down by ``ratio``, rounded up, but by one at the least.

    So neighbours differ by a factor of at most ``ratio`` or by one.
    """
    if n < 1 or ratio <= 1:
        raise ValueError(f"found n={n}, ratio={ratio}; a grid needs n >= 1 and ratio > 1")
    sizes = [n]
    while sizes[-1] > 1:  # 1e-9: 6 / 1.2 must give 5 whatever the last bit says
        sizes.append(min(sizes[-1] - 1, math.ceil(sizes[-1] / ratio - 1e-9)))
    return sizes[::-1]


def thin(sizes: Sequence[int], ratio: float) -> list[int]:
    """Those of the ascending ``sizes`` for a coarser curve: from the largest down, each time the smallest within a
    factor of ``ratio`` (else the next one down). So every size of the coarse curve lies on the fine one as well."""
    kept = [sizes[-1]]
    for i in range(len(sizes) - 2, -1, -1):
        if i == 0 or kept[-1] > ratio * sizes[i - 1] + 1e-9:
            kept.append(sizes[i])
    return kept[::-1]


def passes(lower: np.ndarray, baseline_lower: np.ndarray, margin: float) -> np.ndarray:
    """The rule for a size. Both bounds strictly: a subset exactly a margin below the reference fails."""
    return (np.asarray(lower) > -margin) & (np.asarray(baseline_lower) > 0)


def _suffix(ok: np.ndarray) -> np.ndarray:
    """(sizes, ...) -> how many of the largest sizes pass without a gap, per column."""
    return np.logical_and.accumulate(np.asarray(ok, dtype=bool)[::-1], axis=0).sum(axis=0)


def bracket(sizes: np.ndarray, ok: np.ndarray) -> Bracket:
    """``sizes`` (S,) ascending, ``ok`` (S,) whether each passes."""
    sizes, ok = np.asarray(sizes), np.asarray(ok, dtype=bool)
    if sizes.shape != ok.shape or sizes.ndim != 1 or len(sizes) == 0 or (np.diff(sizes) <= 0).any():
        raise ValueError(f"sizes must be ascending, one flag each; found {sizes.shape} and {ok.shape}")
    run = int(_suffix(ok))
    return Bracket(
        first=int(sizes[ok][0]) if ok.any() else None,
        failing=None if ok.all() else int(sizes[~ok][-1]),
        every=int(sizes[len(sizes) - run]) if run else None,
    )


def next_size(sizes: np.ndarray, ok: np.ndarray) -> int | None:
    """Where bisection goes on: midway between the smallest passing size and the tested one below it; None when none
    lies between, or none passes. When it ends, first - 1 was tested and fails, or first is 1."""
    first = bracket(sizes, ok).first
    below = [int(s) for s in sizes if first is not None and s < first]
    return (below[-1] + first) // 2 if first is not None and below and first - below[-1] > 1 else None


def increasing_fit(sizes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Increasing least-squares fit over the first axis (isotonic regression), by the max-min formula.

    A size weighs half the log distance between its neighbours, so sizes added by bisection do not count double.

    Parameters
    ----------
    sizes : (S,) ascending. values : (S, ...) differences, in units of the metric.

    Returns
    -------
    float64 (S, ...), in each column the increasing values nearest to it.
    """
    values = np.asarray(values, np.float64)
    if len(sizes) == 1:
        return values.copy()
    x = np.log(np.asarray(sizes, np.float64))
    weights = np.diff(np.concatenate([x[:1], (x[1:] + x[:-1]) / 2, x[-1:]]))
    flat = values.reshape(len(values), -1)
    total = np.concatenate([[0.0], np.cumsum(weights)])
    sums = np.concatenate([np.zeros((1, flat.shape[1])), np.cumsum(weights[:, None] * flat, axis=0)])
    fit = np.full(flat.shape, -np.inf)
    for a in range(len(flat)):  # the mean of sizes a .. b; of those with a <= i <= b the largest over a, least over b
        means = (sums[a + 1 :] - sums[a]) / (total[a + 1 :] - total[a])[:, None]
        fit[a:] = np.maximum(fit[a:], np.minimum.accumulate(means[::-1], axis=0)[::-1])
    return fit.reshape(values.shape)


def last_near(tune: np.ndarray, difference: np.ndarray, margin: float) -> int:
    """Position of the largest size, (S,) ascending, that is within the margin of the best on tune, and of the reference
    on judge by its estimate, for of few tune rows sizes seem near that are not. Where no size is near on both, the
    largest that is on judge; else the best on tune."""
    on_judge = difference > -margin
    for near in (on_judge & (tune >= tune.max() - margin), on_judge):
        if near.any():
            return int(np.flatnonzero(near)[-1])
    return int(np.argmax(tune))


def fitted_passes(tested: Tested) -> np.ndarray:
    """bool (S,): which sizes pass on the curve fitted to all of them (:meth:`Tested.fit`), and by themselves too.

    The same fit in every replicate gives the bounds of the fitted curve: a size that is low or high by the noise of
    judge is seen together with its neighbours.
    """
    replicates, of_baseline = tested.replicates, tested.baseline_replicates
    fitted, itself = (
        passes(intervals.lower(r, tested.confidence), intervals.lower(b, tested.confidence), tested.margin)
        for r, b in (
            (tested.fit(replicates), tested.fit(of_baseline)),
            (replicates, of_baseline),
        )
    )
    return np.asarray(fitted & itself)


def least_possible(tested: Tested) -> int | None:
    """The smallest size that the fitted curve does not rule out: one more than the largest tested size whose upper
    bound fails. 1 where no size is ruled out, None where all are.

    With the minimum, which the lower bounds give, it makes an interval of the smallest size that is truly within the
    margin: in simulation it holds that size in 89 % of answers at a confidence of 0.95 (docs/minimum-rule.md).
    """
    upper, baseline_upper = (
        intervals.upper(tested.fit(r), tested.confidence) for r in (tested.replicates, tested.baseline_replicates)
    )
    failing = bracket(tested.sizes, passes(upper, baseline_upper, tested.margin)).failing
    if failing is None:
        return 1
    return failing + 1 if failing < tested.sizes[-1] else None


def drawn_minima(tested: Tested) -> np.ndarray:
    """Where the minimum would lie on other judges of the same size, one a replicate, without a refit.

    The scores of another judge differ from these by the noise of both, so the deviations of a replicate are taken
    times the root of 2. In it a size passes when the fitted curve and the size itself, each less the half-width
    (estimate - lower bound) that was found on the data, are above -margin, and likewise above 0 against the baseline;
    the minimum of the replicate follows over the same tested sizes.

    Returns
    -------
    int64 (B,), tested sizes, never between two; 0 in replicates in which no size passes. Those of two models on the
    same draws of the same files are paired.
    """
    sizes, confidence = tested.sizes, tested.confidence
    fitted: list[np.ndarray] = []
    itself: list[np.ndarray] = []
    for values, replicates in (
        (tested.difference, tested.replicates),
        (tested.baseline_difference, tested.baseline_replicates),
    ):
        estimate = np.asarray(values, np.float64)[:, None]
        drawn = estimate + math.sqrt(2) * (replicates - estimate)
        for found, of_drawn, of_estimate, of_replicates in (
            (fitted, tested.fit(drawn), tested.fit(estimate), tested.fit(replicates)),
            (itself, drawn, estimate, replicates),
        ):
            half = of_estimate - intervals.lower(of_replicates, confidence)[:, None]
            found.append(of_drawn - half)
    ok = passes(fitted[0], fitted[1], tested.margin) & passes(itself[0], itself[1], tested.margin)
    return np.where(ok.any(axis=0), np.asarray(sizes, np.int64)[ok.argmax(axis=0)], 0)


def other_judge(tested: Tested) -> tuple[int, int, int]:
    """The interval of the minimum on another judge of the same size, by :func:`drawn_minima`.

    Of a nominal 90 % it has 86 % in simulation (docs/minimum-rule.md): the sizes that bisection tested lie about this
    judge's own minimum.

    Returns
    -------
    low, high : order statistics over replicates.
    without : replicates in which no size passes. They count as larger than every size, so an end that falls among them
        is given as the largest size, which is then a lower limit of that end.
    """
    minima = drawn_minima(tested)
    none = minima == 0
    ordered = np.where(none, tested.sizes[-1], minima)
    low, high = (int(bound(ordered, tested.confidence)) for bound in (intervals.lower, intervals.upper))
    return low, high, int(none.sum())


def rows_needed(rows: int, half_width: float, margin: float) -> int:
    """Judge rows at which the half-width would be margin/2: it falls with the root of the rows."""
    return math.ceil(rows * (2 * half_width / margin) ** 2 - 1e-9)


def share_kept(subset: float, reference: float, baseline: float) -> float | None:
    """Share of (reference - best baseline) that the subset keeps; None where that is not above 0."""
    return (subset - baseline) / (reference - baseline) if reference > baseline else None


def suffices_from(sizes: Sequence[int], better: np.ndarray) -> int | None:
    """The smallest of the ascending ``sizes`` from which on none is ``better`` than random, None if the largest is."""
    run = int(_suffix(~np.asarray(better, dtype=bool)))
    return int(sizes[len(sizes) - run]) if run else None


def beats_random(
    sizes: Sequence[int], values: np.ndarray, replicates: np.ndarray, random_values: np.ndarray,
    random_replicates: np.ndarray, confidence: float,
) -> dict[str, Any]:  # fmt: skip
    """Does a ranking beat random neurons, size by size?

    Parameters
    ----------
    sizes : (S,) ascending, without the size of all neurons, where every order has the same set.
    values, replicates : (S,) and (S, B) scores of the ranking, and in the bootstrap replicates.
    random_values, random_replicates : (D, S) and (D, S, B), the same of the random draws, on the same replicates.

    Returns
    -------
    "sizes"; "difference": ranking minus the mean of the draws, by size; "lower": its one-sided bound. The bound speaks
    of new files for these draws, not of other draws; "random_suffices_from": see :func:`suffices_from`, a size being
    better where its lower bound is above 0.
    """
    difference = np.asarray(values) - np.mean(random_values, axis=0)
    lower = intervals.lower(np.asarray(replicates) - np.mean(random_replicates, axis=0), confidence)
    return {
        "sizes": list(sizes),
        "difference": difference,
        "lower": lower,
        "random_suffices_from": suffices_from(sizes, lower > 0),
    }


def mean_over_log_sizes(sizes: np.ndarray, scores: np.ndarray) -> float:
    """Mean of a curve over log n by the trapezoid rule: every doubling of the size weighs the same."""
    sizes, scores = np.asarray(sizes, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if len(sizes) == 1:
        return float(scores[0])
    x = np.log(sizes)
    return float((np.diff(x) * (scores[1:] + scores[:-1]) / 2).sum() / (x[-1] - x[0]))
