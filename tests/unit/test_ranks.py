"""Comparison of rows and ranks: by hand, by an independent bootstrap, and through the leaderboard."""

from __future__ import annotations

import leaderboard_build as made
import numpy as np
import pytest

from neurosieve.artifacts import ArtifactError, Paths, Writer, read_json, read_npy
from neurosieve.leaderboard import collect, ranks

B = 999


def replicates(**means: float) -> dict[str, np.ndarray]:
    """A score with its own spread per model, on a common one that the pairs share."""
    rng = np.random.default_rng(0)
    common = rng.normal(0, 0.1, B)
    return {name: mean + common + rng.normal(0, 0.01, B) for name, mean in means.items()}


def test_pairs_are_compared_two_sided_and_adjusted_by_holm():
    spread = replicates(a=0.9, b=0.8, c=0.8)
    pairs = ranks.compare_scores({"a": 0.9, "b": 0.8, "c": 0.8}, spread, 0.95)
    assert [(p["a"], p["b"]) for p in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    first, second, third = pairs
    assert first["difference"] == pytest.approx(0.1)
    # the common spread of 0.1 falls away in the difference: the bootstrap is paired
    d = np.sort(spread["a"] - spread["b"])
    assert (first["low"], first["high"]) == (d[24], d[-25]) and 0.05 < first["low"] < first["high"] < 0.15
    assert first["p"] == second["p"] == pytest.approx(2 / (B + 1))  # no replicate at or below 0
    assert first["p_holm"] == second["p_holm"] == pytest.approx(3 * 2 / (B + 1))
    below = (1 + ((spread["b"] - spread["c"]) <= 0).sum()) / (B + 1)
    above = (1 + ((spread["c"] - spread["b"]) <= 0).sum()) / (B + 1)
    assert third["p"] == pytest.approx(min(1, 2 * min(below, above))) and third["p_holm"] == third["p"] > 0.05


def test_the_direction_of_a_pair_does_not_change_its_p():
    spread = replicates(a=0.8, b=0.803)
    there = ranks.compare_scores({"a": 0.8, "b": 0.803}, spread, 0.95)[0]
    back = ranks.compare_scores({"b": 0.803, "a": 0.8}, {"b": spread["b"], "a": spread["a"]}, 0.95)[0]
    assert there["p"] == back["p"] and there["low"] == -back["high"] and there["difference"] == -back["difference"]


def test_equal_models_are_not_different():
    same = np.full(B, 0.7)
    (pair,) = ranks.compare_scores({"a": 0.7, "b": 0.7}, {"a": same, "b": same}, 0.95)
    assert pair["p"] == pair["p_holm"] == 1 and pair["low"] == pair["high"] == 0


def test_interval_and_p_agree_about_zero():
    for shift in (0.0, 0.01, 0.0196, 0.0197, 0.03):
        spread = np.random.default_rng(1).normal(shift, 0.01, B)
        (pair,) = ranks.compare_scores({"a": shift, "b": 0.0}, {"a": spread, "b": np.zeros(B)}, 0.95)
        assert (pair["p"] <= 0.05) == (pair["low"] > 0)


def test_ranks_are_shared_without_evidence():
    # a beats c; b cannot be told from either
    better = ranks.better_scores(
        [
            {"a": "a", "b": "b", "difference": 0.1, "p_holm": 0.2},
            {"a": "c", "b": "a", "difference": -0.2, "p_holm": 0.05},
            {"a": "b", "b": "c", "difference": 0.1, "p_holm": 0.051},
        ],
        0.95,
    )
    assert better == [("a", "c")]
    assert ranks.ranks(["a", "b", "c"], better) == {"a": 1, "b": 1, "c": 2}
    assert ranks.ranks(["b", "c"], better) == {"b": 1, "c": 1}  # ranked apart from a


def test_two_that_are_better_make_rank_three():
    assert ranks.ranks("abc", [("a", "c"), ("b", "c"), ("b", "c")]) == {"a": 1, "b": 1, "c": 3}


def test_minima_differ_where_the_intervals_are_disjoint():
    minima = {"a": (8, 20), "b": (20, 40), "c": (41, 60), "d": (60, 100)}
    same = {name: np.full(B, float(n)) for name, (_, n) in minima.items()}
    pairs = {(p["a"], p["b"]): p for p in ranks.compare_minima(minima, same, 0.95)}
    different = {pair for pair, p in pairs.items() if p["different"]}
    assert different == {("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")}  # a and b meet at 20, c and d at 60
    assert pairs["b", "c"]["difference"] == -20 and pairs["b", "c"]["b_high"] == 60
    better = ranks.better_minima(list(pairs.values()))
    assert ranks.ranks(minima, better) == {"a": 1, "b": 1, "c": 3, "d": 3}


def test_the_interval_of_a_difference_of_minima_is_of_the_same_draws():
    """What two rows have in common falls away: each varies by hundreds, their difference by one."""
    rng = np.random.default_rng(3)
    common, own = rng.integers(100, 900, size=B), rng.integers(-1, 2, size=B)
    drawn = {"a": (common + 40 + own).astype(float), "b": common.astype(float)}
    (pair,) = ranks.compare_minima({"a": (500, 540), "b": (450, 500)}, drawn, 0.95)
    assert (pair["difference"], pair["low"], pair["high"]) == (40, 39, 41) and not pair["different"]
    (back,) = ranks.compare_minima({"b": (450, 500), "a": (500, 540)}, {"b": drawn["b"], "a": drawn["a"]}, 0.95)
    assert (back["low"], back["high"]) == (-41, -39)


def test_an_end_among_draws_in_which_no_size_passes_is_beyond_every_number():
    """Of 999 draws the ends of 95 % are the 25th; a difference is unknown where neither has a minimum."""
    minima = {"a": (1, 9), "b": (1, 5)}

    def ends(none_of_a, none_of_b):
        a, b = np.full(B, 9.0), np.full(B, 5.0)
        a[none_of_a], b[none_of_b] = np.inf, np.inf
        (pair,) = ranks.compare_minima(minima, {"a": a, "b": b}, 0.95)
        return pair["low"], pair["high"]

    none = slice(0)
    assert ends(slice(24), none) == (4, 4) and ends(slice(25), none) == (4, None)
    assert ends(none, slice(25)) == (None, 4)
    assert ends(slice(25), slice(25)) == (None, None) and ends(slice(24), slice(24)) == (4, 4)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The artifacts, the rows of the leaderboard and comparisons.json."""
    params, paths = made.make_params(), Paths("default", tmp_path_factory.mktemp("build"))
    made.write_build(params, paths)
    found = collect.collect(params, paths)
    return paths, found.rows, found.comparisons


def test_comparisons_of_the_leaderboard(built):
    _, rows, found = built
    assert list(found) == list(made.LEVELS)
    roles = found["token-roles"]
    assert len(roles["score"]) == 6 and roles["smallest_p_holm"] == pytest.approx(6 * 2 / 1001)
    # trained 0.86 and 0.82 with a loss of 0.02, twins 0.58 and 0.54: ranked apart, so the twins begin at 1 again
    assert roles["rank_score"]["neurosieve-base"] == roles["rank_score"]["neurosieve-base-untrained"] == 1
    for row in rows:
        place = found[row["task"]]
        assert row["ranks"] == {name: place[f"rank_{name}"][row["model"]] for name in ("score", "subset", "n_minimal")}
    assert set(found["doc-match"]["rank_n_minimal"].values()) == {None}  # dev too small: nothing is claimed there
    assert found["doc-match"]["n_minimal"] == []


def test_a_pair_of_the_leaderboard_is_that_of_an_independent_bootstrap(built):
    paths, _, found = built
    task, a, b = "doc-match", "neurosieve-base", "neurosieve-base-untrained"
    pair = next(p for p in found[task]["score"] if (p["a"], p["b"]) == (a, b))
    right = {}
    for model in (a, b):
        names = read_json(paths.scores(model, task) / "scores.json")["predictions"]
        predicted = read_npy(paths.scores(model, task) / "predictions_test.npy")[names.index("all")]
        right[model] = predicted == made.make_labels(task)
    d = right[a].astype(float) - right[b]
    assert pair["difference"] == pytest.approx(d.mean())
    by_file = d.reshape(-1, made.TEST_FILES).T  # row i lies in file i mod 30: as many rows in each
    drawn = np.random.default_rng(9).integers(made.TEST_FILES, size=(20_000, made.TEST_FILES))
    spread = by_file.mean(axis=1)[drawn].mean(axis=1)
    assert [pair["low"], pair["high"]] == pytest.approx(np.quantile(spread, [0.025, 0.975]).tolist(), abs=0.01)
    assert pair["p"] == pytest.approx(2 / 1001) and pair["p_holm"] <= 0.05


def test_scores_of_other_rows_are_refused(tmp_path):
    params, paths = made.make_params(["minilm"], ["doc-match"]), Paths("default", tmp_path)
    made.write_build(params, paths)
    folder = paths.scores("minilm", "doc-match")
    scores = read_json(folder / "scores.json")
    with Writer(folder, "subsets", {}) as out:
        out.json("scores.json", scores)
        out.npy("predictions_test.npy", np.zeros((len(scores["predictions"]), 7), np.int16))
    with pytest.raises(ArtifactError, match=r"predictors of 7 rows, expected \d+ of 600"):
        collect.collect(params, paths)


def test_one_model_alone_is_compared_with_none(tmp_path):
    params, paths = made.make_params(["minilm"], ["token-roles"]), Paths("default", tmp_path)
    made.write_build(params, paths)
    collected = collect.collect(params, paths)
    (row,), found = collected.rows, collected.comparisons
    assert found["token-roles"]["score"] == [] and found["token-roles"]["smallest_p_holm"] is None
    assert row["ranks"]["score"] == row["ranks"]["subset"] == 1


def test_many_pairs_get_as_many_draws_as_they_need(tmp_path, caplog, monkeypatch):
    """Six pairs: 6 * 2 / 240 = 0.05."""
    params, paths = made.make_params(tasks=["token-roles"]), Paths("default", tmp_path)
    made.write_build(params, paths)

    def compared(bootstrap):
        caplog.clear()
        changed = params.model_copy(update={"probes": params.probes.model_copy(update={"bootstrap": bootstrap})})
        return collect.collect(changed, paths).comparisons["token-roles"]

    enough, more = compared(239), compared(238)
    assert enough["smallest_p_holm"] == pytest.approx(12 / 240)
    assert more["smallest_p_holm"] == pytest.approx(12 / (3 * 238 + 1)) and not caplog.text
    for pair, other in zip(enough["score"], more["score"], strict=True):
        assert pair["difference"] == other["difference"]
        assert [other["low"], other["high"]] == pytest.approx([pair["low"], pair["high"]], abs=0.03)
    assert enough["rank_score"] == more["rank_score"]
    monkeypatch.setattr(ranks, "MOST_BLOCKS", 1)
    few = compared(238)
    assert few["smallest_p_holm"] == pytest.approx(12 / 239) and "write probes.bootstrap: 239 or more" in caplog.text
    assert set(few["rank_score"].values()) == {1}


def test_draws_that_pairs_need():
    assert [ranks.blocks(pairs, 1000, 0.95) for pairs in (0, 15, 25, 26, 45)] == [1, 1, 1, 3, 4]
    assert ranks.blocks(45, 1000, 0.95) * 1000 + 1 >= 2 * 45 / 0.05
    assert ranks.blocks(100_000, 1000, 0.95) == ranks.MOST_BLOCKS
