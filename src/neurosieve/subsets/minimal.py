"""The rules of the minimal subset, as pure functions on arrays: which sizes to try, which pass, where the minimum lies.

Reads and writes no files. METHOD: a size passes when the lower end of the one-sided interval of (subset - reference) is
above -margin and that of (subset - best baseline) is above 0; the minimum is the smallest tested size from which on
every tested size passes. A curve need not be monotone, so the largest failing and the first passing size stand beside.
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
class Minimum:
    """Outcome of the rule over the tested sizes.

    ``n_minimal`` is None where even the largest size fails; ``n_failing`` is None where no size fails;
    ``first_passing`` is the smallest size that passes at all (below ``n_minimal`` on a curve that is not monotone).
    """

    n_minimal: int | None
    n_failing: int | None
    first_passing: int | None


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


def minimum(sizes: np.ndarray, ok: np.ndarray) -> Minimum:
    """``sizes`` (S,) ascending, ``ok`` (S,) whether each passes."""
    sizes, ok = np.asarray(sizes), np.asarray(ok, dtype=bool)
    if sizes.shape != ok.shape or sizes.ndim != 1 or len(sizes) == 0 or (np.diff(sizes) <= 0).any():
        raise ValueError(f"sizes must be ascending, one flag each; found {sizes.shape} and {ok.shape}")
    run = int(_suffix(ok))
    return Minimum(
        n_minimal=int(sizes[len(sizes) - run]) if run else None,
        n_failing=None if ok.all() else int(sizes[~ok][-1]),
        first_passing=int(sizes[ok][0]) if ok.any() else None,
    )


def next_size(sizes: np.ndarray, ok: np.ndarray) -> int | None:
    """Where bisection goes on: midway between the largest failing size and the next; None when none lies between.

    With every size passing, or with the largest one failing, there is no bracket. When it ends, n_failing + 1 =
    n_minimal.
    """
    found = minimum(sizes, ok)
    if found.n_minimal is None or found.n_failing is None or found.n_minimal - found.n_failing < 2:
        return None
    return (found.n_failing + found.n_minimal) // 2


def next_estimate(sizes: np.ndarray, ok: np.ndarray) -> int | None:
    """The same for the smallest passing size: midway between it and the tested size below."""
    first = minimum(sizes, ok).first_passing
    below = [int(s) for s in sizes if first is not None and s < first]
    return (below[-1] + first) // 2 if first is not None and below and first - below[-1] > 1 else None


def interval(
    sizes: np.ndarray,
    diff: np.ndarray,
    lower: np.ndarray,
    replicates: np.ndarray,
    baseline_diff: np.ndarray,
    baseline_lower: np.ndarray,
    baseline_replicates: np.ndarray,
    margin: float,
    confidence: float,
) -> tuple[int, int, int]:
    """Interval of n_minimal from the bootstrap of the scores, without a refit.

    In replicate b a size passes when its difference there, lowered by the half-width (estimate - lower bound) found
    on the data, is above -margin, and likewise above 0 against the baseline; n_minimal of the replicate follows by the
    same rule over the same tested sizes.

    Parameters
    ----------
    sizes, diff, lower, baseline_diff, baseline_lower : (S,) tested sizes ascending, estimates and lower bounds.
    replicates, baseline_replicates : (S, B) differences per bootstrap replicate.
    confidence : 0.95 gives the 5-95 % interval.

    Returns
    -------
    low, high : order statistics over replicates (tested sizes, never between two).
    open : replicates in which even the largest size fails. They count as larger than every size, so an end that falls
        among them is given as the largest size, which is then a lower limit of that end.
    """
    half = (np.asarray(diff) - np.asarray(lower))[:, None]
    baseline_half = (np.asarray(baseline_diff) - np.asarray(baseline_lower))[:, None]
    run = _suffix(passes(replicates - half, baseline_replicates - baseline_half, margin))
    position = len(sizes) - run  # len(sizes) where none passes: larger than every size
    low, high = (
        int(sizes[min(int(bound(position, confidence)), len(sizes) - 1)])
        for bound in (intervals.lower, intervals.upper)
    )
    return low, high, int((run == 0).sum())


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


def fitted_passes(
    sizes: np.ndarray, replicates: np.ndarray, baseline_replicates: np.ndarray, margin: float, confidence: float
) -> np.ndarray:
    """Which sizes pass on the increasing curve fitted to all tested ones, and by themselves too.

    The same fit in every replicate gives the bounds of the fitted curve: a size that is low or high by the noise of
    judge is seen together with its neighbours. The curve is taken to increase, up to noise. The minimum is the
    smallest size that passes, ``minimum(...).first_passing``, and :func:`next_estimate` closes in on it.

    Parameters
    ----------
    sizes : (S,) tested sizes, ascending.
    replicates, baseline_replicates : (S, B) differences to the reference and to the best baseline, per replicate.

    Returns
    -------
    bool (S,).
    """
    fits, baseline_fits = increasing_fit(sizes, replicates), increasing_fit(sizes, baseline_replicates)
    fitted, itself = (
        passes(intervals.lower(of_reference, confidence), intervals.lower(of_baseline, confidence), margin)
        for of_reference, of_baseline in ((fits, baseline_fits), (replicates, baseline_replicates))
    )
    return np.asarray(fitted & itself)


def least_possible(
    sizes: np.ndarray, replicates: np.ndarray, baseline_replicates: np.ndarray, margin: float, confidence: float
) -> int | None:
    """The smallest size that the fitted curve does not rule out: one more than the largest tested size whose upper
    bound fails. Parameters as in :func:`fitted_passes`. With the minimum, which the lower bounds give, it makes an
    interval of the smallest size that is truly within the margin. 1 where no size is ruled out, None where all are."""
    upper, baseline_upper = (
        intervals.upper(increasing_fit(sizes, r), confidence) for r in (replicates, baseline_replicates)
    )
    failing = minimum(sizes, passes(upper, baseline_upper, margin)).n_failing
    if failing is None:
        return 1
    return failing + 1 if failing < sizes[-1] else None


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
