"""Metrics against scikit-learn, token types by hand, the null on made-up neurons, and the phase on a made-up task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import false_discovery_control, hmean, rankdata
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from neurosieve.artifacts import ArtifactError, Paths, Writer, check_files, read_json, read_jsonl, read_manifest
from neurosieve.concepts import _against_chance, describe_neurons, sanity
from neurosieve.concepts.auroc import auroc, top_types
from neurosieve.concepts.metrics import SCORES, best, scores
from neurosieve.concepts.null import (
    Null,
    benjamini_hochberg,
    critical,
    family_wise,
    judged_on_unseen,
    permute,
    permuted_labels,
    pooled,
    purity,
)
from neurosieve.config import Concepts, Params, Probes, Subsets
from neurosieve.config.concepts import METRICS, HeatMaps
from neurosieve.config.prepare import Prepare, Task
from neurosieve.probes.metrics import column_ranks


def test_auroc_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 700)
    X = (rng.normal(size=(700, 9)) + labels[:, None] * np.linspace(-1, 1, 9)).astype(np.float32)
    X[:, 4:7] = np.round(X[:, 4:7])  # many ties
    X[:, 8] = 3  # nothing but ties
    found = auroc(X, labels, 4)
    expected = [[roc_auc_score(labels == c, X[:, j]) for c in range(4)] for j in range(9)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found[8] == 0.5).all()


@pytest.mark.parametrize("rows", [1, 2, 500])
def test_ranks_equal_scipy(rows: int) -> None:
    rng = np.random.default_rng(0)
    for values in (
        rng.normal(size=(rows, 7)).astype(np.float32),
        rng.integers(4, size=(rows, 7)),
        np.where(rng.random((rows, 7)) < 0.5, 0.0, -0.0),
    ):
        assert column_ranks(values).tolist() == rankdata(values, axis=0).tolist()


def test_auroc_by_hand() -> None:
    X = np.array([[1.0], [2.0], [2.0], [5.0]])
    # pairs (in, out): (1, 2) lost, (1, 5) lost, (2, 2) tied, (2, 5) lost
    assert auroc(X, np.array([0, 0, 1, 1]), 3)[0, :2].tolist() == [0.125, 0.875]
    assert np.isnan(auroc(X, np.array([0, 0, 1, 1]), 3)[0, 2])
    assert np.isnan(auroc(X, np.array([1, 1, 1, 1]), 2)).all()
    assert np.isnan(auroc(X[:0], np.array([], int), 2)).all()


def made_up(rows: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Columns with many ties, with few, with none and with nothing else; five draws of labels 0, 1 and 2."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 5))
    X[:, 0], X[:, 1], X[:, 4] = np.round(X[:, 0]), np.round(X[:, 1], 2), 3
    drawn = rng.choice(3, size=(5, rows), p=[0.1, 0.3, 0.6])
    X[:, 2] += drawn[0] == 0
    return X.astype(np.float32), drawn


def one_by_one(X: np.ndarray, drawn: np.ndarray, classes: list[int], score: Any) -> np.ndarray:
    return np.array([[[[score(y == c, s * x) for s in (1, -1)] for c in classes] for x in X.T] for y in drawn])


def active_f1(member: np.ndarray, x: np.ndarray) -> float:
    return float(f1_score(member, x >= np.sort(x)[-member.sum()]))


def test_average_precision_equals_scikit_learn() -> None:
    X, drawn = made_up()
    precision = one_by_one(X, drawn, [0, 2], average_precision_score)
    share = np.array([[(y == c).mean() for c in (0, 2)] for y in drawn])[:, None, :, None]
    found = scores("average-precision", X, drawn, [0, 2])
    np.testing.assert_allclose(found, (precision - share) / (1 - share), atol=1e-12)
    assert abs(found[:, 4]).max() < 1e-12  # nothing but ties: the share of the class


def test_f1_equals_scikit_learn() -> None:
    X, drawn = made_up()
    expected = one_by_one(X, drawn, [0, 2], active_f1)
    # by chance: precision is the share of the class, recall that of the active rows
    chance = one_by_one(X, drawn, [0, 2], lambda m, x: hmean([m.mean(), (x >= np.sort(x)[-m.sum()]).mean()]))
    found = scores("f1", X, drawn, [0, 2])
    np.testing.assert_allclose(found, (expected - chance) / (1 - chance), atol=1e-12)
    assert abs(found[:, 4]).max() < 1e-12  # nothing but ties


def test_scores_are_nothing_by_chance_whatever_the_ties() -> None:
    rng = np.random.default_rng(3)
    x = np.maximum(rng.normal(size=(1000, 1)) - 1, 0)  # as after a ReLU, five of six rows equal
    y = rng.random(1000) < 0.3
    drawn = np.stack([rng.permutation(y) for _ in range(300)]).astype(int)
    for metric in SCORES:
        np.testing.assert_allclose(scores(metric, x, drawn, [1])[:, 0, 0].mean(axis=0), 0, atol=0.01)


def test_correlation_and_auroc_equal_numpy_and_scikit_learn() -> None:
    X, drawn = made_up()
    expected = one_by_one(X[:, :4], drawn, [0, 2], lambda m, x: np.corrcoef(m, x)[0, 1])
    found = scores("correlation", X, drawn, [0, 2])
    np.testing.assert_allclose(found[:, :4], expected, atol=1e-9)
    assert np.isnan(found[:, 4]).all()
    expected = one_by_one(X, drawn, [0, 2], lambda m, x: 2 * roc_auc_score(m, x) - 1)
    np.testing.assert_allclose(scores("auroc", X, drawn, [0, 2]), expected, atol=1e-12)


@pytest.mark.parametrize("metric", SCORES)
def test_scores_of_a_perfect_and_of_a_missing_class(metric: str) -> None:
    y = np.array([0, 0, 0, 1, 1, 0, 0, 0, 0, 0])
    X = np.array([[-1.0, 5, 4, 9, 8, 0, 1, 2, 3, 7]]).T
    found = scores(metric, X, np.stack([y, np.zeros(10, int), np.ones(10, int)]), [1, 3])
    assert np.isnan(found[1:]).all() and np.isnan(found[:, :, 1]).all()
    if metric in ("average-precision", "f1", "auroc"):
        assert found[0, 0, 0, 0] == pytest.approx(1)
    assert found[0, 0, 0, 1] < 0


def test_best_is_the_largest_score_of_a_class_and_direction() -> None:
    nan = float("nan")
    assert best(np.array([[0.1, -0.1], [-0.8, 0.8], [0.6, -0.6]]), [0, 1, 4]) == (1, -1)
    assert best(np.array([[nan, nan], [0.0, 0.0]]), [0, 1]) == (1, 1)
    assert best(np.array([[nan, nan]]), [0]) is None
    assert best(np.array([[-0.3, 0.3], [0.3 + 1e-15, -0.3]]), [0, 1]) == (1, 1)  # a class and its complement
    assert best(np.array([[-0.3, 0.3 + 1e-15], [0.3, -0.3]]), [0, 1]) == (1, 1)


# --- NeuronEval's tests


def test_every_metric_that_may_name_a_neuron_passes_both_tests_and_auroc_fails_one() -> None:
    found = sanity.ideal()
    assert {metric for metric, tests in found.items() if sanity.passes(tests)} == {*METRICS, sanity.RAW}
    auroc_falls = {test: [v < -sanity.EPSILON for v in values.values()] for test, values in found["auroc"].items()}
    assert auroc_falls == {"missing": [True, True, True, False], "extra": [True] * 4}
    # half of the labels lost: precision is a half; AUROC loses 1/2 of the missing rows among the others
    assert found[sanity.RAW]["missing"]["0.1"] == pytest.approx(-0.5, abs=0.02)
    assert found["auroc"]["missing"]["0.1"] == pytest.approx(-0.05 / 0.95 / 2, abs=0.002)
    assert found["correlation"]["missing"]["0.01"] == pytest.approx((np.sqrt(0.5) - 1) / 2, abs=0.01)


def test_wrong_labels_are_as_many_as_published() -> None:
    member = np.arange(4000) < 400
    lost, added = (f(member, 50, np.random.default_rng(0)) for f in (sanity.with_missing, sanity.with_extra))
    assert not (lost & ~member).any() and lost.sum(axis=1).mean() == pytest.approx(200, abs=5)
    assert (added & member).sum(axis=1).tolist() == [400] * 50
    assert added.sum(axis=1).mean() == pytest.approx(800, abs=10)
    half = sanity.with_extra(np.arange(4000) < 2000, 50, np.random.default_rng(0))
    assert half.sum(axis=1).mean() == pytest.approx(3000, abs=20)


def test_real_neurons_are_tested_with_their_class_and_direction() -> None:
    rng = np.random.default_rng(5)
    labels = rng.choice(3, size=3000, p=[0.1, 0.2, 0.7])
    X = rng.normal(size=(3000, 4)).astype(np.float32)
    X[:, 0] += 3 * (labels == 0)
    X[:, 1] -= 3 * (labels == 1)
    direction, named = np.array([1, -1, 1, 0]), np.array([True, True, False, False])
    report = sanity.checked(X, labels, [0, 1, 0, None], direction, named, rng)
    assert (report["neurons"], report["named"]) == (3, 2)
    for metric in METRICS:
        assert report["metrics"][metric]["missing"]["falls_named"] == 1
        assert report["metrics"][metric]["extra"]["falls_named"] == 1
    wrong = sanity.checked(X, labels, [0, 1, 0, None], -direction, named, rng)["metrics"]["correlation"]
    assert wrong["missing"]["falls_named"] == wrong["extra"]["falls_named"] == 0  # a negative correlation rises
    nothing = sanity.checked(X, labels, [None] * 4, direction, named & False, rng)["metrics"]["f1"]["extra"]
    assert nothing == {"falls": None, "change": None, "falls_named": None}


def test_top_types_by_hand() -> None:
    names = ["a", "b", "c", "d", "e"]
    codes = np.array([0, 0, 1, 1, 2, 2, 3, 4, 4])
    z = np.array([1.0, -3.0, 2.0, 2.0, -0.5, 0.5, 9.0, 0.0, 8.0])  # means of |z|: 2, 2, 0.5, 9 (once), 4
    assert top_types(z, codes, names, 3, 2) == [4, 0, 1]  # a before b: a tie
    assert top_types(z, codes, ["b", "a", *names[2:]], 3, 2) == [4, 1, 0]
    assert top_types(z, codes, names, 9, 1) == [3, 4, 0, 1, 2]
    assert top_types(z, codes, names, 9, 3) == []


# --- the null


def p_alone(X: np.ndarray, labels: np.ndarray, units: np.ndarray, n: int = 199, seed: int = 0) -> np.ndarray:
    """p of every neuron by itself for class 0."""
    z = permute(X, labels, units, None, [0], n, np.random.default_rng(seed), "auroc").z
    return np.array([family_wise(z[0, [j], 0].max(axis=1), z[:, [j]])[0] for j in range(X.shape[1])])


@pytest.mark.parametrize(
    ("metric", "score"),
    [("auroc", lambda m, x: 2 * roc_auc_score(m, x) - 1), ("correlation", lambda m, x: np.corrcoef(m, x)[0, 1])],
)
def test_scores_under_permutation_equal_a_loop(metric: str, score: Any) -> None:
    rng = np.random.default_rng(4)
    units = np.sort(rng.integers(0, 40, 300))
    units = np.unique(units, return_inverse=True)[1][rng.permutation(300)]
    labels, seen = rng.integers(0, 3, 300), units % 3 == 0
    X = np.round(rng.normal(size=(300, 4)) + labels[:, None], 1).astype(np.float32)  # ties
    labels[(labels == 2) & ~seen] = rng.integers(0, 2, ((labels == 2) & ~seen).sum())  # class 2: seen types only
    null = permute(X, labels, units, seen, [0, 2], 7, np.random.default_rng(5), metric)
    drawn = permuted_labels(labels, units, 7, np.random.default_rng(5), seen.astype(int))
    assert null.on_unseen(0) and not null.on_unseen(2)
    assert (drawn[0] == labels).all() and (drawn[1:] != labels).any(axis=1).all()
    for i, (c, at) in enumerate([(0, ~seen), (2, np.ones(300, bool))]):
        expected = np.array([[score(row[at] == c, X[at, j]) for j in range(4)] for row in drawn])
        np.testing.assert_allclose(null.scores[:, :, i], np.stack([expected, -expected], axis=-1), atol=1e-9)
    np.testing.assert_allclose(null.z.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(null.z.std(axis=0), 1)


def test_labels_of_a_unit_move_as_one_sequence_within_the_stratum() -> None:
    units = np.array([3, 0, 0, 1, 2, 0, 1, 1, 2, 2, 4, 5, 6, 6, 6])
    labels = np.array([9, 1, 2, 5, 6, 3, 4, 5, 6, 7, 8, 0, 6, 6, 7])
    groups = (units >= 5).astype(int)  # 5 and 6 swap with nobody: they alone have their number of rows in the group
    turns = {u: labels[units == u].tolist() for u in range(7)}
    found = set()
    for drawn in permuted_labels(labels, units, 400, np.random.default_rng(0), groups)[1:]:
        rotated = {u: drawn[units == u].tolist() for u in range(7)}
        for members in ([0, 1, 2], [3, 4], [5], [6]):
            keys = [
                next(s for s in members if row in [turns[s][k:] + turns[s][:k] for k in range(len(row))])
                for row in (rotated[u] for u in members)
            ]
            assert sorted(keys) == members
        found.add(tuple(drawn.tolist()))
    # 6 orders and 3 turns of three sequences; 2 orders; 3 turns of the last: the first draws are far from all of them
    assert len(found) > 300


def test_a_longer_sequence_is_read_round_from_any_place() -> None:
    units, labels = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 2, 3, 4])
    found = {tuple(row) for row in permuted_labels(labels, units, 200, np.random.default_rng(0)).tolist()}
    swapped = {(*pair, *three) for pair in ((2, 3), (3, 4), (4, 2)) for three in ((0, 1, 0), (1, 0, 1))}
    kept = {(*pair, *three) for pair in ((0, 1), (1, 0)) for three in ((2, 3, 4), (3, 4, 2), (4, 2, 3))}
    assert found == swapped | kept


def test_types_known_by_heart_are_significant_over_tokens_and_not_over_types() -> None:
    rng = np.random.default_rng(2)
    units = np.repeat(np.arange(30), 100)
    labels = rng.permutation(np.arange(30) % 3)[units]  # every type has one class
    X = rng.normal(size=(30, 100))[units] + 0.3 * rng.normal(size=(3000, 100))  # a value per type, whatever its class
    over_tokens, over_types = p_alone(X, labels, np.arange(3000)), p_alone(X, labels, units)
    assert (over_tokens <= 0.05).mean() > 0.75
    assert (over_types <= 0.05).mean() <= 0.1
    middling = np.abs(auroc(X, labels, 3)[:, 0] - 0.5).argsort()[50]
    assert over_tokens[middling] == 1 / 200 and over_types[middling] > 0.2


def test_a_planted_neuron_is_significant() -> None:
    rng = np.random.default_rng(3)
    units = np.repeat(np.arange(60), 5)
    labels = rng.integers(0, 3, 60)[units]
    X = rng.normal(size=(60, 6))[units] + rng.normal(size=(300, 6))
    X[:, 4] -= 3 * (labels == 1)
    for metric in SCORES:
        null = permute(X, labels, units, None, [0, 1, 2], 199, np.random.default_rng(1), metric)
        p = family_wise(null.z[0].max(axis=(1, 2)), null.z)
        assert p[4] == 1 / 200 and p[[0, 1, 2, 3, 5]].min() > 0.05
        assert null.z[0, 4, :, 1].argmax() == 1  # low in class 1


@pytest.mark.parametrize("metric", METRICS)
def test_family_wise_rate_on_neurons_without_a_concept(metric: str) -> None:
    rng = np.random.default_rng(6)
    wrong = 0
    for _ in range(40):
        count = np.minimum(rng.geometric(0.3, 80), 12)
        units = np.repeat(np.arange(80), count)
        profiles = np.where(count > 3, 1, 0)[:, None]  # common types have other classes than rare ones
        labels = (rng.random((80, 1)) < 0.3 + 0.4 * profiles)[units, 0] + (rng.random(len(units)) < 0.2)
        X = rng.normal(size=(80, 8))[units] + 0.5 * rng.normal(size=(len(units), 8))
        z = permute(X, labels.astype(int), units, None, [0, 1, 2], 99, rng, metric).z
        wrong += family_wise(z[0].max(axis=(1, 2)), z).min() <= 0.1
    assert 1 <= wrong <= 8  # 4 expected; more than 8 in one of fifty such tests


def test_to_tell_common_types_from_rare_ones_is_no_concept() -> None:
    rng = np.random.default_rng(7)
    count = np.repeat([1, 20], [200, 40])
    units = np.repeat(np.arange(240), count)
    labels = (rng.random(240) < np.where(count > 1, 0.2, 0.9))[units].astype(int)
    X = np.log(count)[units][:, None] + rng.normal(size=(len(units), 1))
    assert auroc(X, labels, 2)[0, 0] > 0.6
    null = permute(X, labels, units, None, [0], 199, rng, "auroc")
    assert null.mean[0, 0, 0] > 0.2
    assert family_wise(null.z[0, :, 0].max(axis=1), null.z)[0] > 0.1


def test_p_values_by_hand() -> None:
    # an observation and three draws of two neurons and two classes; the maxima are 3, 2, 1, 4
    high = np.array([[[3, 0], [-2, 1]], [[1, 2], [0, 0]], [[1, -1], [0, 1]], [[0, 0], [-4, 0]]], float)
    z = np.stack([high, -high], axis=-1)
    evidence = np.array([3.0, 2.0])
    assert family_wise(evidence, z).tolist() == [2 / 4, 3 / 4]
    assert family_wise(np.array([4.5, 0.0]), z).tolist() == [0, 1]  # never 0 for what was observed: its maximum counts
    assert family_wise(evidence, z[..., :1]).tolist() == [1 / 4, 2 / 4]  # without the lows the last maximum is 0
    # maxima over classes without the observation: 2, 0, 1, 1, 0, 4
    assert pooled(evidence, z).tolist() == [2 / 7, 3 / 7]
    assert (critical(z, 0.25), critical(z, 0.5), critical(z, 0.2)) == (3, 2, 4)
    for level in (0.2, 0.25, 0.5, 0.8):
        for value in (0.0, 1.0, 1.5, 2.5, 3.5, 5.0):
            passes = family_wise(np.array([value]), z)[0] <= level
            assert passes == (value > critical(z, level))


def test_benjamini_hochberg_equals_scipy() -> None:
    rng = np.random.default_rng(8)
    for p in (rng.random(30), rng.integers(1, 20, 50) / 200, np.array([1.0, 0.01]), np.array([0.3])):
        np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), rtol=1e-12)
    assert benjamini_hochberg(np.array([0.04, 0.01, 0.03])).tolist() == pytest.approx([0.04, 0.03, 0.04])


def test_purity_by_hand() -> None:
    z = np.array([0.1, -5.0, 4.0, 3.0, -3.0, 0.0])
    member = np.array([True, True, False, True, False, False])
    types = np.array([0, 7, 7, 2, 1, 1])
    assert purity(z, member, types, 3) == {"top": 3, "share": 2 / 3, "chance": 0.5, "types": 2}
    assert purity(z, member, types, 4) == {"top": 4, "share": 0.5, "chance": 0.5, "types": 3}
    assert purity(z, member, types, 50) == {"top": 6, "share": 0.5, "chance": 0.5, "types": 4}


def test_a_class_is_judged_on_unseen_types_where_there_are_enough() -> None:
    units = np.arange(60) // 4  # 15 types of 4 rows
    assert judged_on_unseen(units < 5, units)
    assert not judged_on_unseen(np.arange(60) < 19, units)  # rows
    assert not judged_on_unseen((units < 4) | (units == 20), units)  # types
    assert not judged_on_unseen(units >= 4, units)  # the rest


def test_permutations_must_reach_the_level() -> None:
    Concepts.model_validate({"neurons": 1, "top_types": 1, "min_count": 1, "context": 0, "permutations": 19})
    with pytest.raises(ValidationError, match="write permutations: 19 or more"):
        Concepts.model_validate({"neurons": 1, "top_types": 1, "min_count": 1, "context": 0, "permutations": 18})


# --- the phase

WIDTH = 3


def write_search(paths: Paths, neurons: list[int] | None) -> None:
    sets: dict[str, Any] = {"all": {"neurons": list(range(2 * WIDTH)), "claimed": None}}
    sets["subset-probeless"] = {"neurons": [3], "claimed": True}
    if neurons is not None:
        sets["subset-lca"] = {"neurons": neurons, "claimed": False}
    with Writer(paths.search("tiny", "roles"), "subsets", {}) as out:
        out.json("frozen.json", {"headline": "lca", "best_ranking": "probeless", "sets": sets})


def write_task(paths: Paths, unit: str, rows: list[dict[str, Any]], texts: list[str]) -> None:
    with Writer(paths.task("roles") / "judge", "prepare", {}) as out:
        out.jsonl("rows.jsonl", rows)
        out.jsonl("inputs.jsonl", [{"id": i, "text": t, "file": f"f{i}.py"} for i, t in enumerate(texts)])
    with Writer(paths.task("roles") / "card", "prepare", {}) as out:
        out.json("card.json", {"unit": unit, "classes": ["LOAD", "STORE", "RARE"], "scored_classes": [0, 1]})


def write_activations(paths: Paths, split: str, layers: list[np.ndarray]) -> None:
    with Writer(paths.activations("tiny", "roles", split), "activations", {}) as out:
        for number, layer in enumerate(layers):
            out.npy(f"layer_{number:02d}.npy", layer.astype(np.float32))
        out.facts = {"layers": len(layers), "width": WIDTH, "vectors": len(layers[0])}


def settings(**changes: int) -> Params:
    block = {"neurons": 3, "top_types": 2, "min_count": 2, "context": 4} | changes
    return Params.model_construct(
        seed=7,
        numerics="fast",
        prepare=Prepare.model_construct(tasks={"roles": Task.model_construct(kind="table", corpus=None)}, corpora={}),
        concepts=Concepts.model_validate(block),
        probes=Probes.model_construct(pair_features=["absdiff", "product"]),
        subsets=Subsets.model_construct(headline="lca"),
    )


def token_task(paths: Paths) -> tuple[dict[str, list[np.ndarray]], list[dict[str, Any]]]:
    """Seven judge rows over two inputs; returns the activations by split, and the judge rows."""
    texts = ["total = total + x1", "x1 = y"]
    spans = [(0, 0, 5, 1), (0, 8, 13, 0), (0, 16, 18, 0), (1, 0, 2, 1), (1, 5, 6, 2), (0, 0, 5, 1), (1, 5, 6, 0)]
    judge = [
        {"input": i, "start": a, "end": b, "label": c, "type": texts[i][a:b], "seen": texts[i][a:b] == "total"}
        for i, a, b, c in spans
    ]
    write_task(paths, "token", judge, texts)
    rng = np.random.default_rng(0)
    vectors = {
        "train": [rng.normal(2, 3, (50, WIDTH)) for _ in range(2)],
        "judge": [rng.normal(0, 1, (7, WIDTH)) for _ in range(2)],
    }
    vectors["judge"][1][:, 2] = [0, 4, 4, -1, 99, -30, 5]  # neuron 5: LOAD above STORE
    for split, layers in vectors.items():
        write_activations(paths, split, layers)
    return vectors, judge


def test_tokens(tmp_path: Path) -> None:
    paths = Paths("bench", tmp_path)
    vectors, judge = token_task(paths)
    write_search(paths, [5, 0, 4, 1])
    describe_neurons(settings(), paths, model="tiny", task="roles")
    folder = paths.concepts("tiny", "roles")
    check_files(folder)
    report = read_json(folder / "concepts.json")
    assert (report["subset"], report["claimed"]) == ("subset-lca", False)
    assert (report["chosen"], report["described"], report["chosen_per_layer"]) == (4, 3, [2, 2])
    assert [(n["name"], n["rank"]) for n in report["neurons"]] == [("tiny/1/2", 1), ("tiny/0/0", 2), ("tiny/1/1", 3)]
    first = report["neurons"][0]
    labels = np.array([row["label"] for row in judge])
    for entry in report["neurons"]:
        x = vectors["judge"][entry["layer"]][:, entry["unit"]].astype(np.float32)
        for c, name in enumerate(("LOAD", "STORE", "RARE")):
            assert entry["auroc"][name] == pytest.approx(roc_auc_score(labels == c, x))
        unseen = [2, 3, 4, 6]
        for c, name in enumerate(("LOAD", "STORE", "RARE")):
            assert entry["auroc_unseen"][name] == pytest.approx(roc_auc_score(labels[unseen] == c, x[unseen]))
    # RARE has AUROC 1 and is not among the scored classes
    assert (first["best_class"], first["best_auroc"], first["direction"]) == ("STORE", 0.0, -1)
    assert first["score"] == pytest.approx(np.corrcoef(labels == 1, [0, -4, -4, 1, -99, 30, -5])[0, 1], rel=1e-5)
    assert sum(report["best_class_counts"].values()) == 3 and report["properties"] is None
    train = vectors["train"][1][:, 2].astype(np.float32).astype(np.float64)
    z = (np.array([0, 4, 4, -1, 99, -30, 5]) - train.mean()) / train.std()
    of = {"total": z[[0, 1, 5]], "x1": z[[2, 3]], "y": z[[4, 6]]}
    ranked = sorted(of, key=lambda t: -np.abs(of[t]).mean())[:2]
    assert [t["type"] for t in first["types"]] == ranked
    assert ranked == ["y", "total"]
    for entry in first["types"]:
        assert entry["count"] == len(of[entry["type"]])
        assert entry["mean_z"] == pytest.approx(of[entry["type"]].mean(), rel=1e-5)
        assert entry["mean_abs_z"] == pytest.approx(np.abs(of[entry["type"]]).mean(), rel=1e-5)
    contexts = read_jsonl(folder / "contexts.jsonl")
    assert len(contexts) == 6
    assert contexts[1]["row"] == 5  # of total, the row with the largest |z|
    assert contexts[0] == {
        "neuron": 5,
        "row": 4,
        "z": pytest.approx(z[4], rel=1e-5),
        "type": "y",
        "input": 1,
        "before": "1 = ",
        "token": "y",
        "after": "",
    }
    texts = ["total = total + x1", "x1 = y"]
    for context in contexts:
        row = judge[context["row"]]
        text = texts[row["input"]]
        assert context["token"] == row["type"] == context["type"]
        assert context["before"] == text[max(row["start"] - 4, 0) : row["start"]]
        assert context["after"] == text[row["end"] : row["end"] + 4]
    facts = read_manifest(folder)["facts"]
    assert (facts["types"], facts["types_with_min_count"], facts["rows_of_unseen_types"]) == (3, 3, 4)


def test_min_count_and_determinism(tmp_path: Path) -> None:
    paths = Paths("bench", tmp_path)
    token_task(paths)
    write_search(paths, [5])
    folder = paths.concepts("tiny", "roles")

    def run() -> dict[str, bytes]:
        describe_neurons(settings(min_count=3), paths, model="tiny", task="roles")
        return {p.name: p.read_bytes() for p in folder.iterdir()}

    assert run() == run()
    report = read_json(folder / "concepts.json")
    assert [t["type"] for t in report["neurons"][0]["types"]] == ["total"]
    assert read_manifest(folder)["facts"]["types_with_min_count"] == 1


def test_pairs_use_the_first_pair_feature(tmp_path: Path) -> None:
    paths = Paths("bench", tmp_path)
    rng = np.random.default_rng(1)
    rows = [{"input": int(i), "input2": int(j), "label": k % 2} for k, (i, j) in enumerate(rng.integers(0, 9, (40, 2)))]
    write_task(paths, "pair", rows, ["code"] * 9)
    layers = [rng.normal(size=(9, WIDTH)).astype(np.float32) for _ in range(2)]
    for split in ("train", "judge"):
        write_activations(paths, split, layers)
    write_search(paths, [4])
    describe_neurons(settings(), paths, model="tiny", task="roles")
    report = read_json(paths.concepts("tiny", "roles") / "concepts.json")
    assert (report["unit"], report["feature"]) == ("pair", "absdiff")
    unit = layers[1][:, 1]
    difference = [abs(unit[row["input"]] - unit[row["input2"]]) for row in rows]
    (entry,) = report["neurons"]
    expected = roc_auc_score([row["label"] == 1 for row in rows], difference)
    assert entry["auroc"]["STORE"] == pytest.approx(expected)
    assert entry["auroc"]["LOAD"] == pytest.approx(1 - expected)
    assert entry["auroc"]["RARE"] is None
    r = np.corrcoef([row["label"] for row in rows], difference)[0, 1]
    assert entry["best_class"] == ("STORE" if r >= 0 else "LOAD")
    assert entry["direction"] == 1 and entry["score"] == pytest.approx(abs(r), rel=1e-5)
    assert report["properties"] == {"reason": "the language of the inputs is not known", "language": None}
    assert entry["types"] == [] and entry["auroc_unseen"] is None and entry["purity"] is None
    assert report["unit_permuted"] == "functions" and report["tested"] == {"LOAD": "all", "STORE": "all"}
    assert entry["concept"] is None and entry["null"]["p_max"] > 0.05  # random numbers
    assert entry["null"]["auroc"] == entry["best_auroc"]
    assert read_jsonl(paths.concepts("tiny", "roles") / "contexts.jsonl") == []


def test_sequences(tmp_path: Path) -> None:
    paths = Paths("bench", tmp_path)
    rows = [{"input": i, "label": int(i > 4)} for i in range(9)]
    write_task(paths, "sequence", rows, ["code"] * 9)
    layers = [np.arange(27.0).reshape(9, WIDTH)]
    for split in ("train", "judge"):
        write_activations(paths, split, layers)
    write_search(paths, [1])
    describe_neurons(settings(), paths, model="tiny", task="roles")
    (entry,) = read_json(paths.concepts("tiny", "roles") / "concepts.json")["neurons"]
    assert entry["auroc"] == {"LOAD": 0.0, "STORE": 1.0, "RARE": None}
    assert (entry["best_class"], entry["best_auroc"], entry["direction"]) == ("STORE", 1.0, 1)


def test_only_what_is_beyond_chance_is_named(tmp_path: Path) -> None:
    """Neuron 1 follows STORE on all types; neuron 4 on those of train alone; neuron 2 has a value per type."""
    paths = Paths("bench", tmp_path)
    rng = np.random.default_rng(3)
    words = [f"w{i:02d}" for i in range(80)]
    of = np.repeat(np.arange(80), 30)  # type of each row
    label_of, seen_of = rng.permutation(np.arange(80) % 2), np.arange(80) < 30
    rows = [
        {"input": 0, "start": 0, "end": 3, "label": int(label_of[t]), "type": words[t], "seen": bool(seen_of[t])}
        for t in of
    ]
    write_task(paths, "token", rows, ["w00"])
    layers = [rng.normal(size=(2400, WIDTH)).astype(np.float32) for _ in range(2)]
    layers[0][:, 1] += 3 * label_of[of]
    layers[0][:, 2] = rng.normal(size=80)[of]
    layers[1][:, 1] += 5 * label_of[of] * seen_of[of]
    for split in ("train", "judge"):
        write_activations(paths, split, layers)
    write_search(paths, [1, 2, 4])
    describe_neurons(settings(purity_top=20), paths, model="tiny", task="roles")
    report = read_json(paths.concepts("tiny", "roles") / "concepts.json")
    assert (report["permutations"], report["unit_permuted"], report["level"]) == (200, "types", 0.05)
    assert report["tested"] == {"LOAD": "unseen", "STORE": "unseen"}
    planted, by_heart, on_seen = report["neurons"]
    assert (planted["concept"], by_heart["concept"], on_seen["concept"]) == ("STORE", None, None)
    assert on_seen["best_class"] == "STORE" and on_seen["best_auroc"] > 0.65  # all of judge would have named it
    assert report["significant"] == 1 and report["metric"] == "correlation"
    chance = {"by_chance": pytest.approx(0.02, abs=0.03), "by_chance_max": pytest.approx(1, abs=1)}
    empty = {"neurons": 0, "per_layer": [0, 0], "low": 0, "found": 0} | chance
    assert report["named"] == {"LOAD": empty, "STORE": empty | {"neurons": 1, "per_layer": [1, 0], "found": 1}}
    assert report["sanity"]["neurons"] == 3 and report["sanity"]["named"] == 1
    assert report["sanity"]["metrics"]["correlation"]["missing"]["falls_named"] == 1
    assert planted["null"]["p_max"] == 1 / 201 and planted["null"]["significant"]
    for entry in report["neurons"]:
        null = entry["null"]
        assert null["auroc"] == entry["auroc_unseen"][entry["best_class"]]
        assert null["z"] == pytest.approx((null["score"] - null["expected"]) / null["sd"])
        assert null["significant"] == (null["p_max"] <= 0.05)
        assert null["significant"] == (null["z"] > report["null_max_quantile"])
        assert null["q"] <= null["p_max"] * 3
    unseen = np.flatnonzero(~seen_of[of])
    over_tokens = permute(
        layers[0][unseen, 2:], label_of[of[unseen]], np.arange(1500), None, [0, 1], 200, rng, "correlation"
    ).z
    assert over_tokens[0].max() > critical(over_tokens, 0.05)  # tokens permuted would have named neuron 2
    x = layers[0][:, 1].astype(np.float64)
    top = unseen[np.argsort(-np.abs(x - x.mean())[unseen])[:20]]
    expected = {"top": 20, "share": label_of[of[top]].mean(), "chance": label_of[~seen_of].mean()}
    assert planted["purity"] == expected | {"types": len(set(of[top]))}


def test_evidence_needs_the_direction_of_all_rows_and_more_than_no_relation() -> None:
    draws = np.linspace(-0.01, 0.01, 99)[:, None, None]
    # of the only class: high, as on all rows; low; high, but below 0; above 0, but less so than by chance
    observed, chance = np.array([[[0.4], [-0.4], [-0.1], [0.2]], [[0.0], [0.0], [-0.4], [0.6]]])
    high = np.concatenate([observed[None], chance + draws])
    null = Null(np.stack([high, -high], axis=-1), [1], np.array([True]))
    found = _against_chance(null, [(0, 1)] * 4, 0.05)
    assert [entry is not None and entry["significant"] for entry in found] == [True, False, False, False]
    assert [entry and entry["p_max"] for entry in found] == [0.01, 1, 1, 1]
    expected = [entry["expected"] for entry in found if entry]
    assert expected == pytest.approx([0.004, -0.004, -0.397, 0.596])  # the observation is one of the hundred
    down = _against_chance(null, [None, (0, -1), None, None], 0.05)
    assert down[0] is down[2] is None and down[1] is not None and down[1]["significant"]


def test_nothing_chosen(tmp_path: Path) -> None:
    paths = Paths("bench", tmp_path)
    token_task(paths)
    write_search(paths, None)
    describe_neurons(settings(), paths, model="tiny", task="roles")
    report = read_json(paths.concepts("tiny", "roles") / "concepts.json")
    assert (report["subset"], report["claimed"], report["chosen"], report["neurons"]) == (None, None, 0, [])
    assert report["best_class_counts"] == {"LOAD": 0, "STORE": 0, "RARE": 0}
    assert (report["significant"], report["null_max_quantile"]) == (0, None)
    assert {name: of["neurons"] for name, of in report["named"].items()} == {"LOAD": 0, "STORE": 0}
    assert report["sanity"]["neurons"] == 0
    assert not (paths.concepts("tiny", "roles") / "heatmaps.html").exists()
    params = settings()
    block = params.concepts.model_copy(update={"heat_maps": HeatMaps()})
    describe_neurons(params.model_copy(update={"concepts": block}), paths, model="tiny", task="roles")
    assert "No neuron of this row is shown" in (paths.concepts("tiny", "roles") / "heatmaps.html").read_text()


def test_faults_are_named(tmp_path: Path) -> None:
    paths = Paths("bench", tmp_path)
    vectors, _ = token_task(paths)
    write_search(paths, [5])
    vectors["train"][1][:, 2] = 1.5
    write_activations(paths, "train", vectors["train"])
    with pytest.raises(ArtifactError, match="chose neuron 5, which is constant on train"):
        describe_neurons(settings(), paths, model="tiny", task="roles")
    vectors["judge"][1][3, 2] = np.inf
    write_activations(paths, "judge", vectors["judge"])
    with pytest.raises(ArtifactError, match="not finite in neuron 5"):
        describe_neurons(settings(), paths, model="tiny", task="roles")
