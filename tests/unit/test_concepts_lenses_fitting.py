"""Lenses on bases, populations, bits and symbols, against closed forms, numpy, scipy and scikit-learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import hadamard
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.metrics import accuracy_score

from neurosieve.concepts.lenses import _fitting, dictionary, low_bit, population, subspace, symbols, synergy
from neurosieve.concepts.lenses._fitting import Target
from neurosieve.config import Params, load_params
from neurosieve.probes import metrics
from neurosieve.probes.intervals import FileBootstrap


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def target(y: np.ndarray, judge: np.ndarray, **changes: Any) -> Target:
    """Two or more classes, scored by accuracy, ten files."""
    files = np.arange(len(judge)) % 10
    made = Target(
        train=y, judge=judge, files=files, n_classes=int(y.max()) + 1, score=metrics.accuracy,
        bootstrap=FileBootstrap(files, 200, 1), confidence=0.95, l1=0.0, l2=0.01,
    )  # fmt: skip
    return replace(made, **changes)


# what is fitted and judged


def test_scores_are_those_of_scikit_learn_and_a_difference_is_paired():
    y, judge = rng(1).integers(2, size=300), rng(2).integers(2, size=200)
    of = target(y, judge)
    one, other = rng(3).integers(2, size=200), rng(4).integers(2, size=200)
    assert of.judged(one).value == pytest.approx(accuracy_score(judge, one))
    found = of.difference(of.judged(one), [of.judged(other), of.judged(judge)])
    wanted = accuracy_score(judge, one) - (accuracy_score(judge, other) + 1) / 2
    assert found["difference"] == pytest.approx(wanted)
    assert found["low"] < wanted < found["high"]
    # the same predictions differ by nothing in any replicate
    assert of.difference(of.judged(one), [of.judged(one)]) == {"difference": 0, "low": 0, "high": 0}
    assert of.constant == max(judge.mean(), 1 - judge.mean())


def test_sizes_grow_to_the_last():
    assert _fitting.sizes_up_to(10, 2) == [1, 2, 4, 8, 10]
    assert _fitting.sizes_up_to(4, 1.1) == [1, 2, 3, 4]
    assert _fitting.sizes_up_to(1, 3) == [1]


def test_columns_are_standardised_by_train_and_constant_ones_are_zero():
    train, judge = rng(5).normal(3, 2, (500, 2)), rng(6).normal(3, 2, (100, 2))
    train[:, 1] = judge[:, 1] = 7
    a, b = _fitting.standardised(train, judge)
    np.testing.assert_allclose(a[:, 0], (train[:, 0] - train[:, 0].mean()) / train[:, 0].std(), atol=1e-6)
    np.testing.assert_allclose(b[:, 0], (judge[:, 0] - train[:, 0].mean()) / train[:, 0].std(), atol=1e-6)
    assert not a[:, 1].any() and not b[:, 1].any()


# subspace


def spread(rows: int, sd: list[float], seed: int = 7) -> np.ndarray:
    """Rows with these standard deviations along random orthogonal directions, centred."""
    turn = np.linalg.qr(rng(seed).standard_normal((len(sd), len(sd))))[0]
    X = rng(seed + 1).standard_normal((rows, len(sd))) * sd @ turn
    return (X - X.mean(axis=0)).astype(np.float32)


@pytest.mark.parametrize("rows", [400, 12])  # more rows than columns, and fewer
def test_principal_directions_are_those_of_scikit_learn(rows):
    X = spread(rows, [3.0, 2.0, 1.5, 1.0, 0.7, *[0.5] * 15])
    found, pca = subspace.principal(X), PCA(svd_solver="full").fit(X)
    k = 6
    np.testing.assert_allclose(found.variance[:k], pca.explained_variance_[:k] * (rows - 1) / rows, rtol=1e-4)
    np.testing.assert_allclose(np.abs(np.sum(found.vectors[:, :k].T * pca.components_[:k], axis=1)), 1, atol=1e-5)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(len(found.variance)), atol=1e-6)
    assert found.needed(0.9) == int((np.cumsum(pca.explained_variance_ratio_) < 0.9).sum()) + 1


def test_how_many_directions_are_needed_by_hand():
    directions = subspace.Directions(np.eye(4), np.array([4.0, 3.0, 2.0, 1.0]))
    assert [directions.needed(share) for share in (0.4, 0.41, 0.7, 0.71, 0.99)] == [1, 2, 2, 3, 4]


def test_the_hebbian_rule_finds_the_principal_directions_one_by_one():
    X = spread(3000, [4.0, 2.5, 1.5, 0.8, 0.4])
    W = subspace.hebbian(X, 5, 12, [1])
    np.testing.assert_allclose(np.linalg.norm(W, axis=1), 1, atol=0.05)
    exact = subspace.principal(X)
    cosines = np.abs(np.sum(W * exact.vectors.T, axis=1)) / np.linalg.norm(W, axis=1)
    assert (cosines > 0.98).all(), cosines
    learnt = subspace.span_variance(X, W)
    assert [learnt.needed(s) for s in (0.6, 0.9, 0.99)] == [exact.needed(s) for s in (0.6, 0.9, 0.99)]
    np.testing.assert_array_equal(W, subspace.hebbian(X, 5, 12, [1]))


def test_angles_between_spans_by_hand():
    turn = np.deg2rad(30)
    other = np.eye(4)
    other[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    one, two = subspace.agreement(np.eye(4), other, [1, 2])
    assert one["largest_angle"] == pytest.approx(30) and one["shared"] == pytest.approx(0.75)
    assert one["by_chance"] == 0.25
    assert two["largest_angle"] == pytest.approx(0, abs=1e-5) and two["shared"] == pytest.approx(1)


def test_a_direction_that_holds_the_label_beats_any_single_neuron():
    y, judge = rng(8).integers(2, size=600), rng(9).integers(2, size=600)
    # the label shifts ten neurons a little and in the same way: it is the first principal direction
    train, held = (
        rng(seed).standard_normal((600, 10)) + np.where(labels, 1.0, -1.0)[:, None]
        for seed, labels in ((10, y), (11, judge))
    )
    train, held = _fitting.standardised(train, held)
    draws = [np.array([[5], [6]])]
    found = subspace.score_sizes(target(y, judge), subspace.principal(train), train, held, [np.array([0])], draws, 0.99)
    score = found["scores"][0]
    assert score["directions"] > 0.99 and 0.75 < score["chosen"] < 0.92
    assert score["directions_less_chosen"]["low"] > 0.05
    assert score["random"]["low"] == min(score["draws"]) and len(score["draws"]) == 2


# synergy


def test_the_o_information_of_three_normal_variables_in_closed_form():
    # copies of one source: the total of all pairs' redundancy; x + y = z: synergy
    r = 0.8
    R = np.full((3, 3), r) + (1 - r) * np.eye(3)
    # omega = sum over pairs I(i;j) - [terms] = log((1 - r^2)^{-3/2} * det) / ...: total minus dual total correlation
    total = -np.linalg.slogdet(R)[1] / 2
    inverse = np.linalg.inv(R)
    dual = (np.linalg.slogdet(R)[1] + np.log(np.diagonal(inverse)).sum()) / 2
    assert synergy.o_information(R) == pytest.approx(total - dual)
    # with three variables it is the interaction information I(x;y) - I(x;y|z), here by partial correlation
    partial = (r - r * r) / (1 - r * r)
    wanted = -np.log(1 - r * r) / 2 + np.log(1 - partial**2) / 2
    assert synergy.o_information(R) == pytest.approx(wanted)
    assert wanted > 0


def test_copies_are_redundant_sums_are_synergistic_and_independent_neurons_neither():
    source, noise = rng(12).standard_normal(5000), rng(13).standard_normal((5000, 4))
    copies = source[:, None] + 0.3 * noise[:, :3]
    sums = np.stack([source, noise[:, 3], source + noise[:, 3] + 0.3 * noise[:, 0]], axis=1)
    omega = [
        float(synergy.o_information(synergy.correlations(synergy.normal_scores(X)))) for X in (copies, sums, noise)
    ]
    assert omega[0] > 0.5 and omega[1] < -0.5 and abs(omega[2]) < 0.01
    # ranks alone count: any increasing function of a neuron changes nothing
    bent = synergy.normal_scores(np.exp(copies))
    np.testing.assert_allclose(synergy.normal_scores(copies), bent)


def test_what_adding_a_variable_changes_is_the_difference_of_two_o_informations():
    A = rng(14).standard_normal((4, 4))
    C = A @ A.T + np.eye(4)
    scale = 1 / np.sqrt(np.diagonal(C))
    R = C * scale * scale[:, None]

    def information(at: list[int]) -> float:  # of these with the last, normal variables
        det = lambda own: np.linalg.det(R[np.ix_(own, own)])  # noqa: E731
        return float(np.log(det(at) / det([*at, 3])) / 2)

    by_hand = -2 * information([0, 1, 2]) + sum(information(at) for at in ([1, 2], [0, 2], [0, 1]))
    with_it, without = synergy.o_information(R), synergy.o_information(R[:3, :3])
    assert with_it - without == pytest.approx(by_hand)


def test_a_label_that_two_neurons_share_is_redundant_and_one_that_needs_both_is_synergistic():
    labels = rng(15).integers(2, size=8000)
    sign = np.where(labels, 1.0, -1.0)
    noise = rng(16).standard_normal((8000, 2))
    shared = np.stack([sign + 0.05 * noise[:, 0], sign + 0.06 * noise[:, 1]], axis=1) + 0.5 * noise[:, :1]
    # the second neuron is the noise of the first: alone it says nothing, with it the first is clear
    needed = np.stack([0.3 * sign + noise[:, 0], noise[:, 0] + 0.05 * noise[:, 1]], axis=1)
    found = [synergy.about_label(synergy.normal_scores(X), labels, [0, 1]) for X in (shared, needed)]
    assert found[0]["index"] > 0.2 and found[1]["index"] < -0.3
    # the information of a neuron that parts the classes widely cannot be far from their entropy
    whole, alone, without = synergy.label_information(synergy.normal_scores(shared), labels, [0, 1])
    assert whole >= alone.max() - 1e-9 and np.allclose(without, alone[::-1])


def test_the_information_about_a_label_is_that_of_normal_classes():
    labels = rng(17).integers(2, size=40000)
    x = np.stack([rng(18).standard_normal(40000) * np.where(labels, 3.0, 1.0), rng(19).standard_normal(40000)], axis=1)
    x = x / x.std(axis=0)
    whole, alone, _ = synergy.label_information(x, labels, [0, 1])
    wanted = np.log(5) / 2 - np.log(9) / 4  # half log of the whole variance, less the mean of those within
    assert alone[0] == pytest.approx(wanted, abs=0.02) and alone[1] == pytest.approx(0, abs=1e-3)
    assert whole == pytest.approx(alone.sum(), abs=0.01)


def test_sets_are_compared_with_a_bound_and_the_bias_is_taken_off():
    source, noise = rng(20).standard_normal(600), rng(21).standard_normal((600, 10))
    Z = synergy.normal_scores(np.concatenate([source[:, None] + noise[:, :5], noise[:, 5:]], axis=1))
    chosen, random = [np.arange(5)] * 2, [np.arange(5, 10)] * 2
    found = synergy.compare(Z, chosen, random, target(np.arange(600) % 2, np.arange(600) % 2), rng(22), 10)
    # of five members with correlations of a half it is 0.397
    assert 0.3 < found["omega"]["chosen"]["mean"] < 0.5 and abs(found["omega"]["random"]["mean"]) < 0.05
    assert found["omega_low"] < found["omega_difference"] < found["omega_high"] and found["omega_low"] > 0
    assert found["chosen_above"] == 1 and abs(found["bias"]) < 0.01
    R = synergy.correlations(Z)
    np.testing.assert_allclose(R, np.corrcoef(Z, rowvar=False), atol=1e-6)
    by_hand = float(synergy.o_information(R[:5, :5]))
    assert found["omega"]["chosen"]["mean"] == pytest.approx(by_hand - found["bias"])


# dictionary


def test_gradients_of_the_autoencoder_are_those_of_torch():
    torch = pytest.importorskip("torch")
    made = dictionary.Autoencoder.random(6, 12, 3, rng(23))
    made.encoder_bias += rng(24).normal(0, 0.1, 12).astype(np.float32)
    made.bias += rng(25).normal(0, 0.1, 6).astype(np.float32)
    X = rng(26).standard_normal((40, 6)).astype(np.float32)
    E, e, D, b = (torch.tensor(w, requires_grad=True) for w in made.weights)
    Z = (torch.tensor(X) - b) @ E + e
    top = torch.topk(Z, 3, dim=1)
    kept = torch.zeros_like(Z).scatter(1, top.indices, torch.relu(top.values))
    loss = ((kept @ D + b - torch.tensor(X)) ** 2).sum(dim=1).mean()
    loss.backward()
    value, gradients = made.gradients(X)
    assert value == pytest.approx(loss.item(), rel=1e-5)
    for mine, theirs in zip(gradients, (E.grad, e.grad, D.grad, b.grad), strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), atol=1e-5)
    assert ((made.encode(X) > 0).sum(axis=1) <= 3).all()


def test_it_learns_sparse_directions_that_neurons_mix():
    directions = np.linalg.qr(rng(27).standard_normal((8, 8)))[0]
    present = np.eye(8)[rng(28).integers(8, size=2000)] * rng(29).uniform(1, 2, (2000, 1))
    X = (present @ directions).astype(np.float32)
    made = dictionary.train(X, 16, 1, 30, 64, 0.01, rng(30))
    assert dictionary.rebuilt(made, X) > 0.9
    cosines = np.abs(made.decoder @ directions.T).max(axis=0)
    assert (cosines > 0.9).sum() >= 6, cosines
    np.testing.assert_allclose(np.linalg.norm(made.decoder, axis=1), 1, atol=1e-5)
    assert dictionary.rebuilt(dictionary.Autoencoder.random(8, 16, 1, rng(31)), X) < 0.8
    again = dictionary.train(X, 16, 1, 30, 64, 0.01, rng(30))
    np.testing.assert_array_equal(made.decoder, again.decoder)


def test_a_basis_with_the_label_on_one_axis_needs_one_column():
    y, judge = rng(32).integers(2, size=500), rng(33).integers(2, size=400)
    train, held = (rng(seed).standard_normal((len(labels), 8)) for seed, labels in ((34, y), (35, judge)))
    train[:, 5] += 8 * y
    held[:, 5] += 8 * judge
    turn = hadamard(8) / np.sqrt(8)  # the axis of the label is an eighth of every column
    of, rows = target(y, judge), np.arange(500)
    straight = dictionary.needed(dictionary.Basis.of(train, held, of, rows), of, 0.95, 1.5)
    mixed = dictionary.needed(dictionary.Basis.of(train @ turn, held @ turn, of, rows), of, 0.95, 1.5)
    # n of the eight columns see a distance of 8 sqrt(n / 8): one scores 0.921, two 0.977 (Phi of half of it)
    assert straight[0] == 1 and mixed[0] == 2
    assert [entry["judge"] for entry in mixed[1]] == pytest.approx([0.921, 0.977], abs=0.03)
    assert dictionary.needed(dictionary.Basis.of(train, held, of, rows), of, 1.01, 1.5)[0] is None


# population


def test_measures_of_a_population_by_hand():
    R = np.array([[1, 0.5, -0.5], [0.5, 1, 0.2], [-0.5, 0.2, 1]])
    assert population.mean_abs_correlation(R) == pytest.approx(0.4)
    eigenvalues = np.linalg.eigvalsh(R)
    assert population.participation_ratio(R) == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())
    assert population.participation_ratio(np.eye(5)) == pytest.approx(5)
    assert population.participation_ratio(np.ones((5, 5))) == pytest.approx(1)
    X = rng(37).standard_normal((200, 3))
    np.testing.assert_allclose(population.correlation(X), np.corrcoef(X, rowvar=False))
    assert population.mean_abs_correlation(np.eye(1)) == 0


def test_entropy_of_the_best_classes():
    labels = np.arange(400) % 4
    X = 5 * (labels[:, None] == np.array([0, 1, 2, 2])) + rng(38).standard_normal((400, 4))
    # two neurons of one class, one of two others: 1/4, 1/4, 1/2
    assert population.class_entropy(X, labels, 4, [0, 1, 2, 3]) == pytest.approx(1.5)
    assert population.class_entropy(X[:, :1], labels, 4, [0, 1, 2, 3]) == 0


def test_many_neurons_that_share_a_label_stand_more_than_one_that_has_it_alone():
    y = rng(39).integers(2, size=800)
    sign = np.where(y, 1.0, -1.0)[:, None]
    many = (sign + 0.1 * rng(40).standard_normal((800, 20))).astype(np.float32)
    one = np.concatenate([many[:, :1], rng(41).standard_normal((800, 19))], axis=1).astype(np.float32)
    of = target(y, y)
    made = [population.Population(of.fit(X), X) for X in (many, one)]
    noise, area = population.stand(made, of, "noise", [1.0, 2.0], 2, 1, [1])
    assert noise["levels"][0]["chosen"] > 0.99 and 0.75 < noise["levels"][0]["random"]["mean"] < 0.9
    assert noise["levels"][0]["low"] > 0.05 and area[0] > area[1] + 0.2
    lost, _ = population.stand(made, of, "dropout", [0.5], 8, 1, [1])
    assert lost["levels"][0]["chosen"] > 0.99 and lost["levels"][0]["random"]["mean"] < 0.95


def test_dropping_takes_all_columns_of_whole_neurons():
    X = np.ones((3, 8), np.float32)
    kept = population.dropped(0.5, 2, rng(42))(X)
    assert kept.sum() == 12 and (kept[:, ::2] == kept[:, 1::2]).all() and (kept == kept[0]).all()
    noise = population.noisy(0.5, rng(43))(np.zeros((20000, 1), np.float32))
    assert noise.std() == pytest.approx(0.5, abs=0.01)


# low-bit


def test_values_are_rounded_to_the_levels_of_their_column_by_hand():
    low, high = np.array([0.0, -1.0, 5.0]), np.array([3.0, 1.0, 5.0])
    X = np.array([[0.4, -1.0, 5.0], [1.6, 0.1, 7.0], [9.0, -3.0, 5.0]], np.float32)
    # two bits: 0 1 2 3; -1 -1/3 1/3 1; one value only. What lies outside goes to the nearest end
    wanted = [[0, -1, 5], [2, 1 / 3, 5], [3, -1, 5]]
    np.testing.assert_allclose(low_bit.quantise(X, low, high, 2), wanted, atol=1e-6)
    # sixteen bits are near exact
    Y = rng(44).uniform(0, 3, (50, 1)).astype(np.float32)
    np.testing.assert_allclose(low_bit.quantise(Y, low[:1], high[:1], 16), Y, atol=3 / 65535 / 2 + 1e-6)
    assert [len(np.unique(low_bit.quantise(Y, low[:1], high[:1], bits))) for bits in (1, 2)] == [2, 4]


def test_ranges_are_ends_or_quantiles():
    X = np.arange(101, dtype=np.float32)[:, None]
    assert [end[0] for end in low_bit.ranges(X)] == [0, 100]
    assert [end[0] for end in low_bit.ranges(X, 0.05)] == [5, 95]


def test_bytes_by_hand():
    # ten columns, three outputs, four bits: 5 bytes a row; 15 of weights, 12 of intercepts, 26 ends of ranges
    assert low_bit.bytes_of(10, 3, 4) == (5, 15 + 12 + 2 * 13 * 4)
    assert low_bit.bytes_of(3, 1, 2) == (1, 1 + 4 + 2 * 4 * 4)
    assert low_bit.bytes_of(10, 3, None) == (40, 33 * 4)


def test_the_smallest_size_from_which_on_all_stay_within():
    assert low_bit.first_within([1, 2, 3, 4], [0.9, 0.5, 0.8, 0.9], 0.7) == 3
    assert low_bit.first_within([1, 2], [0.9, 0.8], 0.7) == 1
    assert low_bit.first_within([1, 2], [0.9, 0.6], 0.7) is None


def test_many_bits_change_no_prediction_and_one_bit_of_a_skewed_neuron_loses_the_label():
    y, judge = rng(45).integers(2, size=500), rng(46).integers(2, size=500)
    train, held = (
        (rng(seed).standard_normal((500, 2)) * 0.1 + labels[:, None]).astype(np.float32)
        for seed, labels in ((47, y), (48, judge))
    )
    train[0] = 100  # one row stretches the range: with one bit all others fall on one level
    of = target(y, judge)
    probe = of.fit(train)
    exact = probe.predict(held)
    assert (low_bit.predictions(probe, train, held, 16, 0.0) == exact).mean() > 0.99
    assert len(np.unique(low_bit.predictions(probe, train, held, 1, 0.0))) == 1
    curves = low_bit.along(of, train, held, [1, 2], 1, [1], 0.0)
    assert curves[None][1] == of.judged(exact).value and curves[1][1] < 0.6


# symbols


def test_symbols_by_hand():
    train = np.array([[-2.0], [-0.4], [0.1], [0.6], [1.7]], np.float32)
    judge = np.array([[0.5], [0.51], [-0.6], [0.0]], np.float32)
    sign = symbols.encode(train, judge, "sign")
    assert sign[0].ravel().tolist() == [0, 0, 1, 1, 1] and sign[1].ravel().tolist() == [1, 1, 0, 0]
    ternary = symbols.encode(train, judge, "ternary")
    assert ternary[0].ravel().tolist() == [-1, 0, 0, 1, 1] and ternary[1].ravel().tolist() == [0, 1, -1, 0]
    quarters = symbols.encode(train, judge, "quarters")  # ends -0.4, 0.1 and 0.6
    assert quarters[0].argmax(axis=1).tolist() == [0, 0, 0, 1, 2]
    assert quarters[0].sum(axis=1).tolist() == [0, 0, 1, 1, 1]
    assert quarters[1].tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]]
    with pytest.raises(ValueError, match="code 'bits' is unknown"):
        symbols.encode(train, judge, "bits")


def test_symbols_of_carriers_say_the_label_and_those_of_noise_do_not():
    y, judge = rng(49).integers(2, size=400), rng(50).integers(2, size=400)
    train, held = _fitting.standardised(*(rng(s).standard_normal((400, 6)) for s in (51, 52)))
    train[:, :2] += 2 * np.where(y, 1, -1)[:, None]
    held[:, :2] += 2 * np.where(judge, 1, -1)[:, None]
    own, noise = ((train[:, at], held[:, at]) for at in (slice(0, 2), slice(2, 4)))
    found, draws = symbols.carried(target(y, judge), own, [noise, noise], ["sign", "ternary"])
    assert found["values"] > 0.98 and found["codes"]["sign"]["judge"] > 0.93
    assert found["codes"]["sign"]["random"]["high"] < 0.65 and len(draws["ternary"]) == 2
    assert found["codes"]["sign"]["less_random"]["low"] > 0.2
    assert found["codes"]["sign"]["less_values"]["high"] <= 0.01


def test_ranks_are_kept_by_normal_scores():
    x = rng(53).exponential(size=100)
    assert spearmanr(x, synergy.normal_scores(x[:, None])[:, 0]).statistic == pytest.approx(1)


def test_population_opens_the_untrained_twins_that_run():
    raw = load_params(Path("params.yaml")).model_dump(mode="json")
    raw["concepts"]["lenses"] = {"population": {}, "symbols": {}, "subspace": {}}
    params = Params.model_validate(raw, strict=False)
    rows = params.lens_rows("population", "neurosieve-base", "last-use")
    assert rows == [("neurosieve-base", "last-use"), ("neurosieve-base-untrained", "last-use")]
    assert len(params.lens_rows("symbols", "neurosieve-base", "last-use")) == len(params.run.tasks)
    assert params.lens_rows("subspace", "neurosieve-base", "last-use") == [("neurosieve-base", "last-use")]
