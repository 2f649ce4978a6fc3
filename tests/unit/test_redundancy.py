"""CKA and correlation clusters against slow formulas, scipy on float64 and planted structure."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_rand_score

from neurosieve.artifacts import ArtifactError, Paths, Writer, check_files, read_json, read_manifest
from neurosieve.config import Params, Redundancy
from neurosieve.constant import column_moments, constant_columns, constant_neurons
from neurosieve.redundancy import (
    Clusters,
    Sample,
    cluster_halves,
    cluster_neurons,
    measure_redundancy,
    neighbours,
    random_members,
    summarise,
)
from neurosieve.redundancy.cka import batches, hsic, layer_cka
from neurosieve.redundancy.clusters import Pairs, cut, medoids
from neurosieve.redundancy.sample import Moments, sampled_rows, vector_files
from neurosieve.redundancy.stability import adjusted_rand, split_halves

THRESHOLDS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def mixtures(rng: np.random.Generator, rows: int, neurons: int, sources: int = 12) -> np.ndarray:
    """Neurons of many degrees of correlation, heavy-tailed, with means far from zero."""
    base = rng.standard_t(4, (rows, sources)) @ (rng.standard_normal((sources, neurons)) * (rng.random(neurons) < 0.8))
    noise = rng.standard_normal((rows, neurons)) * rng.uniform(0.05, 4, neurons)
    return (base + noise + rng.normal(0, 20, neurons)).astype(np.float32)


def in_halves(layers: list[np.ndarray], second: np.ndarray) -> Sample:
    return Sample.of(layers, [np.flatnonzero(~second), np.flatnonzero(second)])


def pairs_of(x: np.ndarray, layer_of: np.ndarray, layers: int) -> Pairs:
    return Pairs(layer_of, layers).add(Sample.of([x]).unit_rows(None, np.ones(x.shape[1], bool)))


# --- constant neurons


def test_constant_rule() -> None:
    rng = np.random.default_rng(0)
    layer = rng.normal(3, 2, (500, 6)).astype(np.float32)
    layer[:, 1] = 0.3  # max == min, though the float32 mean of it is not 0.3
    layer[:, 3] = 1e-7 * layer[:, 2]  # below 1e-6 of the median
    layer[:, 4] = 5e-6 * layer[:, 2]  # above
    assert constant_neurons(layer).tolist() == [False, True, False, True, False, False]


def test_moments_survive_a_large_mean() -> None:
    x = np.random.default_rng(0).normal(1e4, 1, (1000, 3)).astype(np.float32)
    mean, std, equal = column_moments(x)
    np.testing.assert_allclose(mean, x.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(std, x.std(0, dtype=np.float64), rtol=1e-9)
    assert not equal.any()


def test_constant_columns_take_the_median_per_kind() -> None:
    std = np.array([[1.0, 1e-9], [1.0, 1e-9], [1.0, 1e-16]])
    assert constant_columns(std, np.zeros((3, 2), bool)).tolist() == [[False, False], [False, False], [False, True]]


# --- CKA


def slow_hsic_unbiased(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. 2012, equation 3: sums over distinct indices, by brute force."""
    k, m, n = x @ x.T, y @ y.T, len(x)
    pairs = sum(k[i, j] * m[i, j] for i, j in itertools.permutations(range(n), 2))
    triples = sum(k[i, j] * m[i, q] for i, j, q in itertools.permutations(range(n), 3))
    quads = sum(k[i, j] * m[q, r] for i, j, q, r in itertools.permutations(range(n), 4))
    falling2, falling3 = n * (n - 1), n * (n - 1) * (n - 2)
    return pairs / falling2 - 2 * triples / falling3 + quads / (falling3 * (n - 3))


def test_hsic_equals_the_sums_over_distinct_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(2, 1, (9, 3)), rng.normal(-1, 3, (9, 5))
    y[:, :3] += x
    for tile in (384, 4, 1):  # in one piece, and in pieces of 3 x 3 rows, and of one
        monkeypatch.setattr("neurosieve.redundancy.cka.TILE", tile)
        unbiased, biased, _ = hsic([x, y])
        for (i, a), (j, b) in itertools.product(enumerate((x, y)), repeat=2):
            assert unbiased[i, j] == pytest.approx(slow_hsic_unbiased(a, b), rel=1e-10)
            h = np.eye(9) - 1 / 9
            assert biased[i, j] == pytest.approx(np.trace(a @ a.T @ h @ b @ b.T @ h) / 64, rel=1e-10)


def test_cka_averages_hsic_before_it_divides() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 4))
    y = np.tanh(x @ rng.normal(size=(4, 6))) + rng.normal(size=(60, 6))
    found = layer_cka([x, y], 20, 3, np.random.default_rng(5))
    parts = [hsic([x[b], y[b]])[0] for b in batches(60, 20, 3, np.random.default_rng(5))]
    total = np.sum(parts, axis=0)
    assert found["unbiased"][0][1] == pytest.approx(total[0, 1] / np.sqrt(total[0, 0] * total[1, 1]), rel=1e-12)
    assert found["rows"] == 20
    assert found["batches"] == 3


def test_batches_do_not_repeat_a_row_within_a_pass() -> None:
    found = list(batches(10, 3, 7, np.random.default_rng(0)))
    for first in (0, 3, 6):
        rows = np.concatenate(found[first : first + 3])
        assert len(set(rows)) == len(rows)
    assert [len(b) for b in found] == [3] * 7
    assert not np.array_equal(np.concatenate(found[:3]), np.concatenate(found[3:6]))


def test_cka_is_invariant_to_rotation_shift_and_scale_but_not_to_stretching() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 8))
    y = x[:, :5] + 0.5 * rng.normal(size=(300, 5))
    rotation, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    moved = (100 * (x @ rotation) + 7).astype(np.float64)
    for kind in ("unbiased", "biased"):
        value = layer_cka([x, moved, y, x * np.r_[10, np.ones(7)]], 150, 2, np.random.default_rng(0))[kind]
        assert value[0][1] == pytest.approx(1, abs=1e-9)
        assert value[0][2] == pytest.approx(value[1][2], abs=1e-9)
        assert value[0][3] < 0.9
        assert np.array_equal(value, np.transpose(value))


def test_only_the_unbiased_cka_of_independent_layers_is_about_zero() -> None:
    rng = np.random.default_rng(4)
    layers = [rng.normal(size=(400, 100)) for _ in range(3)]
    found = layer_cka(layers, 100, 4, np.random.default_rng(0))
    off = ~np.eye(3, dtype=bool)
    assert np.abs(np.array(found["unbiased"])[off]).max() < 0.03
    assert np.array(found["biased"])[off].min() > 0.3  # as many units as rows: biased upwards
    np.testing.assert_allclose(np.diag(np.array(found["unbiased"])), 1, atol=1e-12)


def test_cka_keeps_its_bounds_with_outliers_and_leaves_out_flat_layers() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(100, 6)).astype(np.float32)
    spike = x.copy()
    spike[7] *= 1e5  # one token with a massive activation
    flat = np.tile(rng.normal(size=6), (100, 1)).astype(np.float32)
    near = (1 + 1e-7 * rng.normal(size=(100, 6))).astype(np.float32)
    found = layer_cka([x, spike, flat, near], 49, 2, np.random.default_rng(0))
    assert list(found["left_out"]) == ["2"]
    for kind in ("unbiased", "biased"):
        value = np.array(found[kind], dtype=float)
        assert np.isnan(value[2]).all() and np.isnan(value[:, 2]).all()
        kept = value[np.ix_([0, 1, 3], [0, 1, 3])]
        assert np.abs(kept).max() <= 1
        np.testing.assert_allclose(np.diag(kept), 1, atol=1e-12)


def test_cka_needs_four_rows() -> None:
    with pytest.raises(ValueError, match="at least 4 rows, found 3"):
        layer_cka([np.eye(3)], 10, 1, np.random.default_rng(0))


# --- correlation clusters


def reference_clusters(x: np.ndarray, thresholds: list[float]) -> tuple[np.ndarray, np.ndarray]:
    r = np.abs(np.corrcoef(x.astype(np.float64), rowvar=False))
    tree = linkage(squareform(np.maximum(1 - r, 0), checks=False), "average")
    return r, np.stack([fcluster(tree, t, "distance") for t in thresholds])


def test_clusters_equal_scipy_on_float64() -> None:
    rng = np.random.default_rng(6)
    x = mixtures(rng, 1500, 640)
    layer_of = np.arange(640) // 160
    pairs = pairs_of(x, layer_of, 4)
    nearest, distances = pairs.nearest(), pairs.distances()
    r, reference = reference_clusters(x, THRESHOLDS)
    assert np.abs(distances - squareform(1 - r, checks=False)).max() < 5e-6
    labels = cut(distances, THRESHOLDS)
    assert 1 < labels[8].max() < labels[0].max() < 640
    for ours, theirs in zip(labels, reference, strict=True):
        assert adjusted_rand_score(theirs, ours) == 1
        first = [np.flatnonzero(ours == c)[0] for c in range(ours.max() + 1)]
        assert first == sorted(first)  # numbered by their lowest neuron
        for cluster, medoid in enumerate(medoids(distances, ours)):
            members = np.flatnonzero(ours == cluster)
            if len(members) < 3:
                assert medoid == members[0]
            else:
                mean = (r[np.ix_(members, members)].sum(0) - 1) / (len(members) - 1)
                assert mean[members == medoid][0] > mean.max() - 1e-5
    np.fill_diagonal(r, -1)
    expected = np.stack([r[:, layer_of == layer].max(axis=1) for layer in range(4)], axis=1)
    np.testing.assert_allclose(nearest, expected, atol=5e-6)


@pytest.mark.parametrize("give_up", [False, True])
def test_tiles_and_chunks_of_rows_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch, give_up: bool) -> None:
    x = mixtures(np.random.default_rng(7), 200, 60)
    layer_of = np.repeat([0, 1, 3], [25, 5, 30])  # layer 2 has no neuron
    r = np.abs(np.corrcoef(x.astype(np.float64), rowvar=False))
    some = np.arange(60) % 7 != 3
    for tile, chunk in ((1024, 2**28), (7, 2**28), (7, 4 * 60 * 33), (1, 4 * 60 * 90)):
        monkeypatch.setattr("neurosieve.redundancy.clusters.TILE", tile)
        monkeypatch.setattr("neurosieve.redundancy.sample.CHUNK", chunk)
        found = pairs_of(x, layer_of, 4)
        nearest = found.nearest()
        for kept in (None, some):
            found = pairs_of(x, layer_of, 4) if give_up else found
            expected = r if kept is None else r[np.ix_(kept, kept)]
            distances = found.distances(kept, give_up=give_up)
            assert distances.dtype == np.float64 and distances.min() >= 0
            np.testing.assert_allclose(distances, squareform(1 - expected, checks=False), atol=1e-6)
            assert give_up == (sum(band.size for band in found.values) == 0)
        own = r - 2 * np.eye(60)
        expected = np.stack([own[:, layer_of == i].max(axis=1) for i in (0, 1, 3)], axis=1)
        np.testing.assert_allclose(nearest[:, [0, 1, 3]], expected, atol=1e-6)
        assert np.isnan(nearest[:, 2]).all()


def test_moments_of_parts_are_those_of_the_whole() -> None:
    x = mixtures(np.random.default_rng(18), 700, 9)
    x[:, 4] = 2.5
    x[:300, 5] = 1  # constant in the first part alone, and in both, at two values
    x[:, 6] = np.arange(700) >= 300
    first, second = np.arange(300), np.arange(300, 700)
    parts = [Moments.of(x, rows) for rows in (first, second)]
    for found, rows in ((parts[0], first), (parts[1], second), (parts[0].merged(parts[1]), np.arange(700))):
        part = x[rows].astype(np.float64)
        np.testing.assert_allclose(found.mean, part.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(found.squares, len(part) * part.var(axis=0), rtol=1e-9, atol=1e-18)
        assert found.count == len(part) and found.equal.tolist() == (np.ptp(part, axis=0) == 0).tolist()
        assert found.constant.tolist() == constant_neurons(x[rows]).tolist()


def test_correlations_of_two_parts_make_those_of_all_rows() -> None:
    """Whatever the parts are: of other means, of other spreads, constant in one of them."""
    rng = np.random.default_rng(19)
    x = mixtures(rng, 900, 80)
    second = rng.random(900) < 0.4
    x[second, 10:30] += rng.normal(0, 500, 20).astype(np.float32)  # far apart
    x[second, 30:40] *= 1e4
    x[~second, 40:45] = 7
    x[:, 45:50] = np.where(second, 3, -2)[:, None]  # constant in both
    layers = [x[:, :40], x[:, 40:]]
    joint, stable, compared = cluster_halves(in_halves(layers, second), THRESHOLDS)
    alone = cluster_neurons(Sample.of(layers), THRESHOLDS)
    assert np.array_equal(joint.neurons, alone.neurons) and len(joint.neurons) == 80 and compared == 70
    np.testing.assert_allclose(joint.nearest, alone.nearest, atol=3e-6)
    r, reference = reference_clusters(x, THRESHOLDS)
    for found in (joint, alone):
        for ours, theirs, stands in zip(found.labels, reference, found.medoids, strict=True):
            assert adjusted_rand_score(theirs, ours) == 1
            assert ours[stands].tolist() == list(range(len(stands)))
    np.fill_diagonal(r, -1)
    np.testing.assert_allclose(joint.nearest.max(axis=1), np.minimum(r.max(axis=1), 1), atol=3e-6)
    assert all(entry is not None for entry in stable)


def test_layers_are_read_from_files_as_from_memory(tmp_path: Path) -> None:
    x = mixtures(np.random.default_rng(20), 400, 40, sources=4)
    layers = [x[:, :20].copy(), x[:, 20:].copy()]
    for number, layer in enumerate(layers):
        np.save(tmp_path / f"{number}.npy", layer)
    rows = np.sort(np.random.default_rng(0).choice(400, 250, replace=False))
    found = [
        cluster_neurons(Sample.of(some, [rows]), THRESHOLDS)
        for some in (layers, [tmp_path / "0.npy", tmp_path / "1.npy"])
    ]
    assert np.array_equal(found[0].labels, found[1].labels) and np.array_equal(found[0].nearest, found[1].nearest)
    _, reference = reference_clusters(x[rows], THRESHOLDS)
    assert [adjusted_rand_score(a, b) for a, b in zip(reference, found[0].labels, strict=True)] == [1] * 9


def test_planted_copies_are_found() -> None:
    rng = np.random.default_rng(8)
    groups = np.sort(rng.integers(0, 40, 300))
    base = rng.standard_normal((800, 40))
    x = (base[:, groups] * rng.choice([-3, 0.1, 2], 300) + rng.normal(0, 9, 300)).astype(np.float32)  # signs too
    shuffled = rng.permutation(300)
    clusters = cluster_neurons(Sample.of([x[:, shuffled[:150]], x[:, shuffled[150:]]]), [0.01, 0.5])
    for labels in clusters.labels:
        assert adjusted_rand_score(groups[shuffled], labels) == 1
    for found in clusters.medoids:  # exact copies are ties: the lowest neuron stands for its cluster
        assert found.tolist() == [np.flatnonzero(clusters.labels[0] == c)[0] for c in range(40)]


def test_medoid_by_hand() -> None:
    #        |r|: 0-1 .9, 0-2 .8, 1-2 .95, 3-4 .9
    r = np.eye(5)
    for (i, j), value in {(0, 1): 0.9, (0, 2): 0.8, (1, 2): 0.95, (3, 4): 0.9}.items():
        r[i, j] = r[j, i] = value
    distances = squareform(1 - r, checks=False)
    labels = np.array([0, 0, 0, 1, 1], np.int32)
    assert medoids(distances, labels).tolist() == [1, 3]
    assert medoids(distances, np.array([0, 1, 0, 2, 3], np.int32)).tolist() == [0, 1, 3, 4]


def test_a_second_threshold_does_not_see_the_result_of_the_first() -> None:
    x = mixtures(np.random.default_rng(9), 600, 120)
    sample = Sample.of([x[:, :60], x[:, 60:]])
    both = cluster_neurons(sample, [0.3, 0.6])
    alone = cluster_neurons(sample, [0.6])
    assert np.array_equal(both.labels[1], alone.labels[0])
    assert np.array_equal(both.medoids[1], alone.medoids[0])
    _, reference = reference_clusters(x, [0.6])
    assert adjusted_rand_score(reference[0], both.labels[1]) == 1
    # the published way, a second run on what the first has left, would give other clusters here
    reduced = cluster_neurons(sample, [0.6], both.medoids[0])
    assert 1 < len(both.medoids[0]) < 120
    assert adjusted_rand_score(both.labels[1][both.medoids[0]], reduced.labels[0][both.medoids[0]]) < 1


def test_a_subset_of_neurons_is_clustered_as_if_alone() -> None:
    x = mixtures(np.random.default_rng(10), 400, 90)
    x[:, 31] = 4
    sample = Sample.of([x[:, :30], x[:, 30:60], x[:, 60:]])
    neurons = np.r_[np.arange(5, 29), np.arange(30, 60)]  # none of layer 2, one constant
    found = cluster_neurons(sample, [0.4, 0.7], neurons)
    kept = np.setdiff1d(neurons, [31])
    assert np.array_equal(found.neurons, kept)
    assert (np.delete(found.labels, kept, axis=1) == -1).all()
    _, reference = reference_clusters(x[:, kept], [0.4, 0.7])
    for ours, theirs, stands in zip(found.labels[:, kept], reference, found.medoids, strict=True):
        assert adjusted_rand_score(theirs, ours) == 1
        assert np.isin(stands, kept).all()


@pytest.mark.parametrize("varying", [0, 1])
def test_hardly_any_neuron_varies(varying: int) -> None:
    layers = [np.ones((10, 3), np.float32), np.ones((10, 3), np.float32)]
    layers[1][:5, :varying] = 2
    clusters = cluster_neurons(Sample.of(layers), [0.5])
    assert (clusters.labels >= 0).sum() == varying
    assert clusters.medoids[0].tolist() == [3][:varying]
    assert summarise(clusters.labels[0], clusters.medoids[0], 2)["clusters"] == varying
    assert neighbours(clusters, 2) == {"nearest_by_layer": [[None, None]] * 2, "nearest_other_layer": [None] * 2}


def test_summary_by_hand() -> None:
    # width 2; clusters {0, 1}, {2, 6}, {3, 4, 7}, {5}; layers 0 0 | 1 1 | 2 2 | 3 3; none constant
    labels = np.array([0, 0, 1, 2, 2, 3, 1, 2], np.int32)
    assert summarise(labels, np.array([0, 2, 3, 5]), 4) == {
        "clusters": 4,
        "neurons_left": 4,
        "share_left": 0.5,
        "multiple": 3,
        "of_two": 2,
        "share_of_two": 2 / 3,
        "largest": 3,
        "spanning": 2,
        "share_spanning": 2 / 3,
        "mean_span": 4 / 3,
        "max_span": 2,
        "representatives_per_layer": [1, 2, 1, 0],
    }


# --- stability of the clusters


@pytest.mark.parametrize(("first", "second"), [(3, 5), (1, 6), (40, 40), (1, 40), (40, 1), (1, 1), (12, 12)])
def test_adjusted_rand_is_that_of_sklearn(first: int, second: int) -> None:
    rng = np.random.default_rng(first)
    for _ in range(5):
        a, b = rng.integers(first, size=40), rng.integers(second, size=40)
        if first == 40:
            a = rng.permutation(40)
        if first == second:
            b = np.where(rng.random(40) < 0.7, (a + 1) % first, b)  # partly the same partition, renumbered
        assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)
    assert adjusted_rand(a, a[::-1].copy()[::-1]) == 1


def test_adjusted_rand_by_hand() -> None:
    # pairs together: 2 of 6 in each, 1 in both; expected 2 * 2 / 6
    assert adjusted_rand(np.array([0, 0, 1, 2]), np.array([7, 7, 9, 9])) == pytest.approx(
        (1 - 1 * 2 / 6) / (1.5 - 2 / 6)
    )
    with pytest.raises(ValueError, match="expected the same items"):
        adjusted_rand(np.zeros(3, int), np.zeros(4, int))


def test_halves_keep_files_whole_and_rows_even() -> None:
    rng = np.random.default_rng(0)
    files = rng.choice(60, size=1000, p=rng.dirichlet(np.ones(60)))
    second, by = split_halves(files, np.random.default_rng(1))
    assert by == "file" and 0.4 < second.mean() < 0.6
    assert not set(files[second]) & set(files[~second])
    again, _ = split_halves(files, np.random.default_rng(1))
    other, _ = split_halves(files, np.random.default_rng(2))
    assert np.array_equal(again, second) and not np.array_equal(other, second)


@pytest.mark.parametrize("files", [np.zeros(100, int), np.r_[np.zeros(80, int), np.arange(20)]])
def test_halves_of_rows_where_one_file_has_most_of_them(files: np.ndarray) -> None:
    second, by = split_halves(files, np.random.default_rng(1))
    assert by == "row" and second.sum() == 50
    assert 20 < second[:80].sum() < 60  # drawn, not cut


def halves_of(files: np.ndarray, seed: int = 0) -> np.ndarray:
    return split_halves(files, np.random.default_rng(seed))[0]


def test_stability_is_high_for_clusters_of_the_data_and_none_for_those_of_the_sample() -> None:
    rng = np.random.default_rng(15)
    groups = np.repeat(np.arange(20), 4)
    real = (rng.standard_normal((400, 20))[:, groups] + 0.3 * rng.standard_normal((400, 80))).astype(np.float32)
    noise = rng.standard_normal((24, 80)).astype(np.float32)
    halves = in_halves([real[:, :40], real[:, 40:]], halves_of(np.arange(400) % 40))
    clusters, found, compared = cluster_halves(halves, [0.3])
    assert compared == 80 and adjusted_rand_score(groups, clusters.labels[0]) == 1
    assert found == [{"adjusted_rand": 1.0, "clusters": [20, 20], "multiple": [20, 20]}]
    _, found, _ = cluster_halves(in_halves([noise], halves_of(np.arange(24))), [0.5, 0.7])
    for entry in found:
        assert min(entry["multiple"]) > 5 and abs(entry["adjusted_rand"]) < 0.1


def test_stability_clusters_each_half_by_itself_without_neurons_constant_in_either() -> None:
    x = mixtures(np.random.default_rng(16), 300, 50, sources=5)
    second = np.arange(300) >= 150
    x[:150, 7] = 1.5  # constant in the first half alone
    clusters, entries, compared = cluster_halves(in_halves([x[:, :25], x[:, 25:]], second), THRESHOLDS)
    assert compared == 49 and len(clusters.neurons) == 50
    kept = np.delete(x, 7, axis=1)
    parts = [reference_clusters(kept[second == half], THRESHOLDS)[1] for half in (False, True)]
    for i, entry in enumerate(entries):
        assert entry["adjusted_rand"] == pytest.approx(adjusted_rand_score(parts[0][i], parts[1][i]), abs=1e-9)
        assert entry["clusters"] == [int(p[i].max()) for p in parts]
    assert len({e["adjusted_rand"] for e in entries}) > 3


def test_stability_without_a_neuron_to_compare() -> None:
    x = np.repeat([[1.0], [2.0]], 10, axis=0).astype(np.float32)  # constant in each half
    clusters, found, compared = cluster_halves(in_halves([x], np.arange(20) >= 10), [0.1, 0.5])
    assert compared == 0 and found == [None, None] and clusters.labels.tolist() == [[0], [0]]


def test_random_members_are_of_every_cluster_and_of_every_member_in_turn() -> None:
    labels = np.array([-1, 0, 1, 1, -1, 0, 1], np.int32)
    seen = set()
    for seed in range(60):
        found = random_members(labels, np.random.default_rng(seed))
        assert found.dtype == np.int32 and labels[found].tolist() == [0, 1]
        seen.add(tuple(found.tolist()))
    assert seen == {(a, b) for a in (1, 5) for b in (2, 3, 6)}


# --- the phase


def write_activations(paths: Paths, layers: list[np.ndarray]) -> None:
    folder = paths.activations("tiny", "roles", "train")
    with Writer(folder, "activations", {}) as out:
        for number, layer in enumerate(layers):
            out.npy(f"layer_{number:02d}.npy", layer)
        out.facts = {"layers": len(layers), "width": layers[0].shape[1], "vectors": len(layers[0])}
    write_rows(paths, [f"{i % 20}.py" for i in range(len(layers[0]))])


def write_rows(paths: Paths, files: list[str], tokens: bool = True) -> None:
    """Prepared train rows: two tokens of each of half as many inputs, or pairs of the inputs."""
    if tokens:
        inputs = files[::2]
        rows = [{"input": i // 2, "label": 0, "seen": True} for i in range(len(files))]
    else:
        inputs = files
        rows = [{"input": 0, "input2": i, "label": 0} for i in range(3)]
    with Writer(paths.task("roles") / "train", "prepare", {}) as out:
        out.jsonl("inputs.jsonl", [{"id": i, "file": file} for i, file in enumerate(inputs)])
        out.jsonl("rows.jsonl", rows)


def settings(**changes: object) -> Params:
    block = {"rows": 300, "thresholds": [0.2, 0.6], "cka_rows": 100, "cka_batches": 3} | changes
    return Params.model_construct(seed=7, numerics="fast", redundancy=Redundancy.model_validate(block))


def test_measure_redundancy(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    x = mixtures(rng, 500, 24, sources=5)
    layers = [np.tile(x[0, :8], (500, 1)), x[:, 8:16].copy(), x[:, 16:].copy()]  # layer 0 constant
    layers[1][:, 2] = -1.5
    layers[2][:, 5] = -2 * layers[1][:, 0]  # a copy in another layer
    paths = Paths("bench", tmp_path)
    write_activations(paths, layers)
    folder = paths.redundancy("tiny", "roles")

    def run() -> dict[str, bytes]:
        measure_redundancy(settings(), paths, model="tiny", task="roles")
        return {p.name: p.read_bytes() for p in folder.iterdir()}

    first = run()
    assert first == run()
    assert sorted(first) == [
        "clusters.npy", "manifest.json", "redundancy.json", "representatives_00.npy", "representatives_01.npy",
    ]  # fmt: skip
    check_files(folder)
    report = read_json(folder / "redundancy.json")
    assert report["constant"] == {"per_layer": [8, 1, 0], "per_layer_on_train": [8, 1, 0]}
    assert (report["rows"], report["vectors"], report["kept"], report["neurons"]) == (300, 500, 15, 24)
    assert list(report["cka"]["left_out"]) == ["0"]
    assert report["cka"]["unbiased"][0] == [None] * 3
    assert -1 <= report["cka"]["unbiased"][1][2] <= 1
    assert report["neighbours"]["nearest_other_layer"][0] is None
    assert report["neighbours"]["nearest_by_layer"][1][0] is None
    labels = np.load(folder / "clusters.npy")
    assert labels.dtype == np.int32 and labels.shape == (2, 24)
    assert np.flatnonzero(labels[0] == -1).tolist() == [*range(8), 10]
    assert labels[0][8] == labels[0][21] == 0
    for row, summary in zip(labels, report["thresholds"], strict=True):
        stands = np.load(folder / summary["representatives"])
        assert stands.dtype == np.int32
        assert row[stands].tolist() == list(range(summary["clusters"]))
    assert report["thresholds"][0]["max_span"] == 1
    assert read_manifest(folder)["facts"]["constant"] == 9
    assert set(read_manifest(folder)["inputs"]) == {"activations/tiny/roles/train", "prepare/tasks/roles/train"}
    assert report["representative"] == "medoid"
    assert report["halves"]["by"] == "file" and sum(report["halves"]["rows"]) == 300
    assert report["halves"]["files"] == [5, 5] and report["halves"]["neurons"] == 15
    for summary in report["thresholds"]:
        assert summary["stability"]["adjusted_rand"] > 0.4  # the copy is found in both halves

    measure_redundancy(settings(rows=5000), paths, model="tiny", task="roles")
    _, reference = reference_clusters(np.concatenate(layers, axis=1)[:, labels[0] >= 0], [0.2, 0.6])
    whole = np.load(folder / "clusters.npy")[:, labels[0] >= 0]
    assert [adjusted_rand_score(a, b) for a, b in zip(reference, whole, strict=True)] == [1, 1]


def test_halves_are_of_the_files_of_the_sampled_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = mixtures(np.random.default_rng(17), 400, 6)
    x[:, 2] = np.arange(400) % 20 // 2  # the file of each row, in the order of write_rows
    paths = Paths("bench", tmp_path)
    write_activations(paths, [x])
    seen: list[Sample] = []

    def watched(sample: Sample, *rest: object) -> tuple[Clusters, list[object], int]:
        seen.append(sample)
        return cluster_halves(sample, *rest)

    monkeypatch.setattr("neurosieve.redundancy.cluster_halves", watched)
    measure_redundancy(settings(), paths, model="tiny", task="roles")
    ((first, second),) = (sample.parts for sample in seen)
    files = [set(x[rows, 2].tolist()) for rows in (first, second)]
    assert not files[0] & files[1] and files[0] | files[1] == set(range(10))
    assert len(first) + len(second) == 300 and np.intersect1d(first, second).size == 0
    report = read_json(paths.redundancy("tiny", "roles") / "redundancy.json")
    assert report["halves"]["rows"] == [len(first), len(second)]


def test_random_representatives_instead_of_medoids(tmp_path: Path) -> None:
    x = mixtures(np.random.default_rng(14), 400, 40, sources=4)
    paths = Paths("bench", tmp_path)
    write_activations(paths, [x[:, :20], x[:, 20:]])
    folder = paths.redundancy("tiny", "roles")
    found = {}
    for kind in ("medoid", "random", "random"):
        measure_redundancy(settings(representative=kind), paths, model="tiny", task="roles")
        again = found.get(kind)
        found[kind] = [np.load(folder / f"representatives_0{i}.npy") for i in range(2)]
        assert read_json(folder / "redundancy.json")["representative"] == kind
    assert all(np.array_equal(a, b) for a, b in zip(again, found["random"], strict=True))  # seeded
    labels = np.load(folder / "clusters.npy")
    for row, stands in zip(labels, found["random"], strict=True):
        assert row[stands].tolist() == list(range(row.max() + 1))
    assert any(not np.array_equal(a, b) for a, b in zip(found["medoid"], found["random"], strict=True))


def test_the_file_of_a_vector(tmp_path: Path) -> None:
    paths = Paths("bench", tmp_path)
    write_rows(paths, ["b", "b", "a", "a", "b", "b"])
    assert vector_files(paths, "roles", 6).tolist() == [1, 1, 0, 0, 1, 1]  # of tokens: of the row's input
    with pytest.raises(ArtifactError, match=r"rows.jsonl: found 6 lines, expected 7, one for each train vector"):
        vector_files(paths, "roles", 7)
    write_rows(paths, ["b", "c", "a", "b"], tokens=False)
    assert vector_files(paths, "roles", 4).tolist() == [1, 2, 0, 1]  # of pairs: of the input
    with pytest.raises(ArtifactError, match=r"inputs.jsonl: found 4 lines, expected 3"):
        vector_files(paths, "roles", 3)


def test_layers_that_are_not_measured_are_left_out_at_their_place(tmp_path: Path) -> None:
    x = mixtures(np.random.default_rng(21), 400, 24, sources=4)
    layers = [x[:, :8].copy(), x[:, 8:16].copy(), x[:, 16:].copy()]
    layers[2][:, 3] = 5
    reports, labels = [], []
    for only in (None, [0, 2]):
        paths = Paths("bench", tmp_path / str(only))
        write_activations(paths, layers if only is None else [layers[i] for i in only])
        if only is not None:  # as a dump leaves it
            folder = paths.activations("tiny", "roles", "train")
            with Writer(folder, "activations", {}) as out:
                for i in only:
                    out.npy(f"layer_{i:02d}.npy", layers[i])
                out.facts = {"layers": 3, "width": 8, "vectors": 400, "only_layers": only}
        measure_redundancy(settings(), paths, model="tiny", task="roles")
        reports.append(read_json(paths.redundancy("tiny", "roles") / "redundancy.json"))
        labels.append(np.load(paths.redundancy("tiny", "roles") / "clusters.npy"))
    whole, found = reports
    assert found["cka"]["unbiased"][0][2] == whole["cka"]["unbiased"][0][2]
    assert found["cka"]["unbiased"][1] == [None] * 3 and list(found["cka"]["left_out"]) == ["1"]
    assert "only_layers" in found["cka"]["left_out"]["1"]
    assert found["constant"] == whole["constant"] == {"per_layer": [0, 0, 1], "per_layer_on_train": [0, 0, 1]}
    assert (found["neurons"], found["kept"], found["halves"]["neurons"]) == (24, 15, 15)
    measured = np.r_[0:8, 16:19, 20:24]
    _, reference = reference_clusters(x[sampled(400)][:, measured], [0.2, 0.6])
    for row, expected in zip(labels[1], reference, strict=True):
        assert np.flatnonzero(row >= 0).tolist() == measured.tolist()
        assert adjusted_rand_score(expected, row[measured]) == 1
    assert found["neighbours"]["nearest_by_layer"][1] == [None] * 3
    assert found["neighbours"]["nearest_by_layer"][0][2] is not None
    assert found["thresholds"][0]["representatives_per_layer"][1] == 0


def sampled(vectors: int) -> np.ndarray:
    return sampled_rows(settings(), "roles", vectors)


def test_a_neuron_constant_in_the_sample_alone_is_counted_apart(tmp_path: Path) -> None:
    x = mixtures(np.random.default_rng(12), 2000, 8)
    x[:, 3] = 0
    x[1234, 3] = 1
    paths = Paths("bench", tmp_path)
    write_activations(paths, [x])
    measure_redundancy(settings(rows=20), paths, model="tiny", task="roles")
    report = read_json(paths.redundancy("tiny", "roles") / "redundancy.json")
    assert report["constant"] == {"per_layer": [1], "per_layer_on_train": [0]}


def test_bad_activations_are_named(tmp_path: Path) -> None:
    paths = Paths("bench", tmp_path)
    with pytest.raises(ArtifactError, match="no manifest"):
        measure_redundancy(settings(), paths, model="tiny", task="roles")
    x = mixtures(np.random.default_rng(13), 50, 4)
    x[9, 2] = np.nan
    write_activations(paths, [x[:, ::-1], x])
    with pytest.raises(ArtifactError, match=r"layer_00.npy: found values that are not finite in unit 1"):
        measure_redundancy(settings(), paths, model="tiny", task="roles")
    write_activations(paths, [x[:3]])
    with pytest.raises(ArtifactError, match="found 3 train vectors, expected 4 or more"):
        measure_redundancy(settings(), paths, model="tiny", task="roles")
    write_activations(paths, [x[:8], x[:7]])
    with pytest.raises(ArtifactError, match=r"layer_01.npy: found shape \(7, 4\), expected \(8, 4\)"):
        measure_redundancy(settings(), paths, model="tiny", task="roles")
