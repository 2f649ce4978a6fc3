"""The minimal-subset rules on hand-made arrays, and the search and the test scores on planted carriers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neurosieve.subsets import minimal


# --- sizes


@pytest.mark.parametrize(("n", "ratio"), [(1, 1.2), (2, 1.2), (17, 1.2), (1792, 1.2), (1792, 1.05), (500, 2.0)])
def test_grid_starts_at_one_ends_at_n_and_keeps_the_ratio(n, ratio):
    sizes = minimal.size_grid(n, ratio)
    assert sizes[0] == 1 and sizes[-1] == n and sizes == sorted(set(sizes))
    assert all(b == a + 1 or b / a <= ratio + 1e-12 for a, b in zip(sizes, sizes[1:], strict=False))


def test_grid_by_hand():
    assert minimal.size_grid(20, 1.2) == [*range(1, 12), 13, 15, 17, 20]
    assert minimal.size_grid(21, 2.0) == [1, 2, 3, 6, 11, 21]


def test_grid_refuses_what_is_no_grid():
    with pytest.raises(ValueError, match="ratio"):
        minimal.size_grid(5, 1.0)
    with pytest.raises(ValueError, match="n=0"):
        minimal.size_grid(0, 1.2)


# --- the rule


def test_passes_needs_both_bounds_strictly():
    lower = np.array([-0.02, -0.01, -0.009, 0.0, 0.0])
    baseline = np.array([0.1, 0.1, 0.1, 0.0, 1e-9])
    assert minimal.passes(lower, baseline, 0.01).tolist() == [False, False, True, False, True]


@pytest.mark.parametrize(
    ("ok", "expected"),
    [
        ("1111", (1, None, 1)),
        ("0000", (None, 16, None)),
        ("0011", (8, 4, 8)),
        ("0101", (16, 8, 4)),  # not monotone: 4 passes, 8 fails again
        ("1110", (None, 16, 1)),  # all neurons fail: no minimum though smaller sizes pass
        ("0001", (16, 8, 16)),
    ],
)
def test_minimum_by_hand(ok, expected):
    found = minimal.minimum(np.array([1, 4, 8, 16]), np.array([c == "1" for c in ok]))
    assert (found.n_minimal, found.n_failing, found.first_passing) == expected


def test_minimum_refuses_sizes_out_of_order():
    with pytest.raises(ValueError, match="ascending"):
        minimal.minimum(np.array([2, 2]), np.array([True, True]))
    with pytest.raises(ValueError, match="ascending"):
        minimal.minimum(np.array([1, 2]), np.array([True]))


def bisect(ok, sizes, step):
    """Run a step function to its end; ``ok`` tells whether a size passes."""
    sizes = sorted(sizes)
    while (size := step(np.array(sizes), np.array([ok(s) for s in sizes]))) is not None:
        assert size not in sizes
        sizes = sorted([*sizes, size])
    return sizes


@pytest.mark.parametrize("truth", [1, 2, 10, 11, 57, 199, 200])
def test_bisection_ends_at_adjacent_integers(truth):
    sizes = bisect(lambda n: n >= truth, minimal.size_grid(200, 1.2), minimal.next_size)
    found = minimal.minimum(np.array(sizes), np.array([s >= truth for s in sizes]))
    assert found.n_minimal == truth
    assert found.n_failing == (truth - 1 or None)
    assert len(sizes) <= len(minimal.size_grid(200, 1.2)) + math.ceil(math.log2(200 * 0.2)) + 1


def test_bisection_takes_the_last_failing_size_of_a_curve_that_is_not_monotone():
    def ok(n):  # passes at 16..20, fails at 21..99, passes from 100
        return 16 <= n <= 20 or n >= 100

    sizes = bisect(ok, minimal.size_grid(200, 1.2), minimal.next_size)
    found = minimal.minimum(np.array(sizes), np.array([ok(s) for s in sizes]))
    assert (found.n_minimal, found.n_failing, found.first_passing) == (100, 99, 18)  # 16 and 17 are not tested
    estimate = bisect(ok, minimal.size_grid(200, 1.2), minimal.next_estimate)
    assert min(s for s in estimate if ok(s)) == 16 and 15 in estimate


@pytest.mark.parametrize("step", [minimal.next_size, minimal.next_estimate])
def test_no_bracket_no_bisection(step):
    sizes = np.array([1, 10, 100])
    assert step(sizes, np.array([True, True, True])) is None
    assert step(sizes, np.array([False, False, False])) is None


def test_no_minimum_no_bisection():
    assert minimal.next_size(np.array([1, 10, 100]), np.array([False, True, False])) is None


# --- interval of the minimum


def interval(sizes, replicates, lower_gap=0.0, baseline=None, margin=0.01):
    """Half-width ``lower_gap`` at every size; 20 replicates: the bounds at 90 % are the 2nd smallest and largest."""
    replicates = np.array(replicates, float)
    diff = np.zeros(len(sizes))
    base = np.full_like(replicates, 0.5) if baseline is None else np.array(baseline, float)
    return minimal.interval(
        np.array(sizes), diff, diff - lower_gap, replicates, diff, diff, base, margin=margin, confidence=0.9
    )


def test_interval_counts_replicates_by_hand():
    # 20 replicates: 1 with minimum 1, 14 with minimum 4, 5 with minimum 8
    rows = {1: [0.0] * 3, 4: [-0.1, 0.0, 0.0], 8: [-0.1, -0.1, 0.0]}
    replicates = np.array([rows[1]] + [rows[4]] * 14 + [rows[8]] * 5).T
    assert interval([1, 4, 8], replicates) == (4, 8, 0)


def test_interval_is_shifted_by_the_half_width():
    replicates = np.array([[-0.1, -0.005, 0.02]] * 20).T
    assert interval([1, 4, 8], replicates) == (4, 4, 0)
    assert interval([1, 4, 8], replicates, lower_gap=0.006) == (8, 8, 0)  # -0.005 - 0.006 < -0.01
    assert interval([1, 4, 8], replicates, lower_gap=0.005) == (8, 8, 0)  # a tie with the margin fails


def test_interval_uses_the_baseline_rule_too():
    replicates = np.zeros((3, 20))
    baseline = np.array([[-1.0, 0.0, 0.1]] * 20).T
    assert interval([1, 4, 8], replicates, baseline=baseline) == (8, 8, 0)


def test_interval_replicates_that_are_not_monotone_take_the_last_failure():
    assert interval([1, 4, 8], np.array([[0.0, -0.1, 0.0]] * 20).T) == (8, 8, 0)


def test_interval_counts_replicates_where_all_fail():
    good, bad = [0.0, 0.0, 0.0], [0.0, 0.0, -0.1]
    assert interval([1, 4, 8], np.array([good] * 17 + [bad] * 3).T) == (1, 8, 3)
    assert interval([1, 4, 8], np.array([bad] * 20).T) == (8, 8, 20)
    assert interval([1, 4, 8], np.array([good] * 20).T) == (1, 1, 0)


# --- small figures


def test_rows_needed_and_share():
    assert minimal.rows_needed(1000, 0.02, 0.01) == 16000
    assert minimal.rows_needed(1000, 0.005, 0.01) == 1000
    assert minimal.share_kept(0.8, 0.9, 0.4) == pytest.approx(0.8)
    assert minimal.share_kept(0.8, 0.4, 0.4) is None


def test_mean_over_log_sizes():
    assert minimal.mean_over_log_sizes([1, 10, 100], [0.0, 1.0, 0.0]) == pytest.approx(0.5)
    assert minimal.mean_over_log_sizes([1, 2, 4, 8], [0.0, 1.0, 2.0, 3.0]) == pytest.approx(1.5)
    assert minimal.mean_over_log_sizes([1], [0.7]) == 0.7
