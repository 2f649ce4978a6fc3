"""Agreement between rankings, by hand and by enumeration."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from neurosieve.probes.agreement import agreement, chance_overlap, overlap, vote


def orders(**lists):
    return {name: np.array(order) for name, order in lists.items()}


THREE = orders(a=[0, 1, 2, 3, 4, 5], b=[1, 0, 3, 2, 4, 5], c=[5, 4, 1, 0, 2, 3])


def test_overlap_is_intersection_over_union():
    assert overlap(np.array([3, 1, 2]), np.array([2, 9, 3])) == 2 / 4
    assert overlap(np.array([1, 2]), np.array([2, 1])) == 1
    assert overlap(np.array([1, 2]), np.array([3, 4])) == 0


def test_overlap_of_every_pair_by_hand():
    found = agreement(THREE, [1, 3])
    assert found["rankings"] == ["a", "b", "c"] and found["sizes"] == [1, 3] and found["sizes_left_out"] == []
    # first ones 0, 1, 5 all differ; first threes 012, 103, 541
    np.testing.assert_allclose(found["overlap"]["1"], np.eye(3))
    at_three = [[1, 2 / 4, 1 / 5], [2 / 4, 1, 1 / 5], [1 / 5, 1 / 5, 1]]
    np.testing.assert_allclose(found["overlap"]["3"], at_three)
    np.testing.assert_allclose(found["avg_overlap"], (np.eye(3) + at_three) / 2)
    assert found["mean_overlap"] == pytest.approx({"a": (0.25 + 0.1) / 2, "b": (0.25 + 0.1) / 2, "c": 0.1})


def test_neuron_vote_leaves_the_ranking_itself_out():
    found = agreement(THREE, [1, 3])
    # points 3 2 1: without a: b gives 1:3 0:2 3:1, c gives 5:3 4:2 1:1 -> 1:4 5:3 0:2 4:2 3:1
    # without b: 0:3 1:2 2:1 and 5:3 4:2 1:1 -> 0:3 1:3 5:3 4:2 2:1; without c: 0:5 1:5 2:1 3:1
    assert vote([THREE["b"], THREE["c"]], 3).tolist() == [1, 5, 0, 4, 3]
    assert vote([THREE["a"], THREE["c"]], 3).tolist() == [0, 1, 5, 4, 2]
    assert vote([THREE["a"], THREE["b"]], 3).tolist() == [0, 1, 2, 3]
    # a: {0} against {1}, {0 1 2} against {1 5 0}; b: {1} against {0}, {1 0 3} against {0 1 5}; c: {5} and {0}, {5 4 1}
    assert found["neuron_vote"] == pytest.approx({"a": (0 + 2 / 4) / 2, "b": (0 + 2 / 4) / 2, "c": (0 + 1 / 5) / 2})
    # 0: 3+2, 1: 2+3+1, 2: 1, 3: 1, 4: 2, 5: 3
    assert found["consensus"].tolist() == [1, 0, 5]


def test_controls_are_compared_but_do_not_vote():
    found = agreement(THREE, [1, 3], controls=["c"])
    assert found["neuron_vote"]["c"] == pytest.approx((0 + 1 / 5) / 2)
    assert found["neuron_vote"]["a"] == pytest.approx((0 + 2 / 4) / 2)  # the vote of b alone
    assert found["mean_overlap"] == pytest.approx({"a": 0.25, "b": 0.25, "c": 0.1})
    assert found["consensus"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(("size", "neurons"), [(1, 5), (2, 7), (3, 4), (3, 8)])
def test_chance_is_the_mean_over_all_sets(size, neurons):
    fixed = np.arange(size)
    every = [overlap(fixed, np.array(other)) for other in combinations(range(neurons), size)]
    assert chance_overlap(size, size, neurons) == pytest.approx(np.mean(every), rel=1e-12)
    assert agreement(orders(a=range(neurons), b=range(neurons)), [size])["chance"] == {
        "overlap": {str(size): pytest.approx(np.mean(every))},
        "avg_overlap": pytest.approx(np.mean(every)),
    }


def test_random_rankings_agree_by_chance():
    rng = np.random.default_rng(0)
    found = agreement({str(i): rng.permutation(2000) for i in range(30)}, [50, 300])
    off = ~np.eye(30, dtype=bool)
    assert found["avg_overlap"][off].mean() == pytest.approx(found["chance"]["avg_overlap"], rel=0.05)
    assert np.mean(list(found["neuron_vote"].values())) == pytest.approx(found["chance"]["avg_overlap"], rel=0.15)


def test_one_ranking_alone_and_sizes_that_say_nothing():
    alone = agreement(orders(a=[2, 0, 1]), [2, 3, 9])
    assert alone["sizes"] == [2] and alone["sizes_left_out"] == [3, 9]
    assert alone["mean_overlap"] == alone["neuron_vote"] == {"a": None} and alone["consensus"].tolist() == [2, 0]
    nothing = agreement(orders(a=[1, 0]), [2])
    assert nothing["sizes"] == [] and nothing["avg_overlap"] is None and nothing["consensus"] is None


def test_neurons_are_named_by_their_global_indices():
    found = agreement(orders(a=[70, 5, 900], b=[5, 70, 900]), [1, 2])
    assert found["consensus"].tolist() == [5, 70] and found["overlap"]["2"][0, 1] == 1
