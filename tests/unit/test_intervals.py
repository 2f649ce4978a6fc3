"""The file bootstrap against direct resampling, hand-worked adjustments and simulated coverage."""

import time

import numpy as np
import pytest

from neurosieve.probes import intervals, metrics
from neurosieve.probes.intervals import FileBootstrap, IntervalError


def _clustered(rng, n_files):
    """Two predictors of files that differ in size and difficulty; true difference in accuracy 0.06."""
    sizes = 1 + rng.geometric(0.08, size=n_files)
    files = np.repeat(np.arange(n_files), sizes)
    y = rng.integers(3, size=files.size)
    share = np.array([[0.80], [0.71]]) + rng.uniform(-0.2, 0.2, size=(2, n_files))  # wrong guesses hit in 1 of 3
    luck = rng.random(files.size)
    return y, np.where(luck < share[:, files], y, rng.integers(3, size=files.size)), files


def test_replicates_are_the_metric_of_resampled_rows():
    rng = np.random.default_rng(0)
    y, predicted, files = _clustered(rng, 12)
    bootstrap = FileBootstrap(files, 50, 9)
    assert bootstrap.weights.shape == (50, 12)
    np.testing.assert_array_equal(bootstrap.weights.sum(1), 12)
    C = metrics.confusion_by_file(y, predicted, files, 3)
    for name in metrics.METRICS:
        got = bootstrap.replicates(C, lambda c, name=name: metrics.metric(name, c, [0, 2]))
        assert got.shape == (2, 50)
        for r in range(50):
            take = np.repeat(np.arange(y.size), bootstrap.weights[r].astype(int)[files])
            table = metrics.confusion_by_file(y[take], predicted[:, take], np.zeros(take.size, int), 3)[:, 0]
            np.testing.assert_allclose(got[:, r], metrics.metric(name, table, [0, 2]), rtol=1e-13)


def test_draws_are_uniform_over_files_and_follow_the_seed():
    files = np.arange(10)
    weights = FileBootstrap(files, 20_000, 1).weights
    np.testing.assert_allclose(weights.mean(0), 1, atol=0.035)  # standard error 0.0067
    np.testing.assert_allclose(weights.var(0), 0.9, atol=0.05)  # binomial(10, 1/10)
    same = intervals.task_bootstrap(7, "t", "judge", files, 100).weights
    np.testing.assert_array_equal(intervals.task_bootstrap(7, "t", "judge", files, 100).weights, same)
    for seed, task, split in ((8, "t", "judge"), (7, "u", "judge"), (7, "t", "test")):
        assert not np.array_equal(intervals.task_bootstrap(seed, task, split, files, 100).weights, same)


def test_same_files_pair_two_predictors():
    rng = np.random.default_rng(2)
    y, predicted, files = _clustered(rng, 40)
    first, second = (FileBootstrap(files, 400, 5) for _ in range(2))
    a = first.replicates(metrics.confusion_by_file(y, predicted[0], files, 3), metrics.accuracy)
    b = second.replicates(metrics.confusion_by_file(y, predicted[0], files, 3), metrics.accuracy)
    np.testing.assert_array_equal(a, b)


def test_large_counts_stay_exact():
    C = np.full((3, 2, 2), 2**23 + 1)  # sums beyond 2**24 are not exact in float32
    got = FileBootstrap(np.arange(3), 5, 0).replicates(C, lambda c: c[..., 0, 0])
    np.testing.assert_array_equal(got, 3.0 * (2**23 + 1))


def test_bounds_are_order_statistics_dual_to_p():
    values = np.random.default_rng(1).permutation(np.arange(1, 1001) - 0.5)
    assert intervals.lower(values, 0.95) == 49.5  # 50th smallest: floor(0.05 * 1001) = 50
    assert intervals.upper(values, 0.95) == 950.5
    for shift in np.arange(45, 56):
        moved = values - shift
        assert (intervals.lower(moved, 0.95) > 0) == (intervals.p_value(moved) <= 0.05)
    assert intervals.p_value(values) == 1 / 1001
    assert intervals.p_value(-values) == 1
    assert intervals.lower(np.arange(9.0), 0.9) == 0  # 1 - 0.9 < 0.1 in floating point
    np.testing.assert_array_equal(intervals.lower(np.stack([values, -values]), 0.95), [49.5, -950.5])


def test_holm_equals_hand_calculation():
    # sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04 -> running maximum .04 .06 .06 .06
    np.testing.assert_allclose(intervals.holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(intervals.holm([0.9, 0.8]), [1, 1])
    assert intervals.holm([]).size == 0
    assert intervals.holm([0.2]) == 0.2


@pytest.mark.parametrize("n_files", [40, 150])
def test_lower_bound_covers_95_percent_of_simulated_benchmarks(n_files):
    rng = np.random.default_rng(11)
    covered = []
    for seed in range(600):
        y, predicted, files = _clustered(rng, n_files)
        C = metrics.confusion_by_file(y, predicted, files, 3)
        a, b = FileBootstrap(files, 499, seed).replicates(C, metrics.accuracy)
        covered.append(intervals.lower(a - b, 0.95) <= 0.06)
    assert 0.92 <= np.mean(covered) <= 0.98  # standard error 0.009


def test_row_bootstrap_would_not_cover():
    """The control of the test above: rows drawn as if independent give bounds that are too high too often."""
    rng = np.random.default_rng(12)
    covered = []
    for seed in range(200):
        _, _, files = _clustered(rng, 20)
        level = rng.uniform(0.3, 1.0, 20)
        y = np.zeros(files.size, int)
        predicted = (rng.random(files.size) >= level[files]).astype(int)
        bounds = []
        for codes in (files, np.arange(files.size)):
            C = metrics.confusion_by_file(y, predicted, codes, 2)
            bounds.append(intervals.lower(FileBootstrap(codes, 199, seed).replicates(C, metrics.accuracy), 0.95))
        covered.append(np.array(bounds) <= 0.65)
    by_file, by_row = np.mean(covered, axis=0)
    assert by_file > 0.88
    assert by_row < 0.82


def test_design_effect_is_one_for_independent_rows_and_cluster_size_for_copies():
    rng = np.random.default_rng(4)
    right = (rng.random(400) < 0.7).astype(int)
    files = np.arange(400)
    C = metrics.confusion_by_file(np.ones(400, int), right, files, 2)
    replicates = FileBootstrap(files, 2000, 1).replicates(C, metrics.accuracy)
    assert intervals.design_effect(C, replicates) == pytest.approx(1, abs=0.1)
    assert intervals.design_effect(8 * C, replicates) == pytest.approx(8, abs=0.8)
    assert intervals.design_effect(np.array([[[3, 0], [0, 4]]]), np.ones(9)) is None


def test_clear_errors():
    with pytest.raises(IntervalError, match=r"found 2 file\(s\).*needs 3"):
        FileBootstrap(np.array([0, 1, 1]), 100, 0)
    with pytest.raises(ValueError, match="gaps"):
        FileBootstrap(np.array([0, 1, 3]), 100, 0)
    with pytest.raises(IntervalError, match="write bootstrap: 100 or more"):
        intervals.lower(np.arange(50.0), 0.99)
    with pytest.raises(ValueError, match=r"expected \(..., 3, K, K\)"):
        FileBootstrap(np.arange(3), 100, 0).replicates(np.zeros((4, 2, 2)), metrics.accuracy)


def test_sixty_sizes_take_well_under_two_seconds():
    rng = np.random.default_rng(0)
    y, files = rng.integers(12, size=10_000), np.arange(10_000) % 300
    predicted = np.where(rng.random((60, 10_000)) < 0.7, y, rng.integers(12, size=(60, 10_000)))
    start = time.process_time()
    C = metrics.confusion_by_file(y, predicted, files, 12)
    FileBootstrap(files, 1000, 0).replicates(C, lambda c: metrics.macro_f1(c, range(11)))
    assert time.process_time() - start < 2
