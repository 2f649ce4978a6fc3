"""The minimal-subset rules on hand-made arrays, and the search and the test scores on planted carriers."""

from __future__ import annotations

import dataclasses
import itertools
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from neurosieve.artifacts import Paths, Writer, read_json, read_jsonl, read_manifest, read_npy, read_tensors
from neurosieve.config import Model, Params, Penalty, load_params
from neurosieve.probes import decide_status, features, fit_baselines, fit_controls, fit_probes, intervals, solver
from neurosieve.probes.features import read_rows
from neurosieve.probes.fit import candidates
from neurosieve.probes.solver import Probe
from neurosieve.subsets import curves, minimal, score_test, search_subsets
from neurosieve.subsets.data import fit_point, polish_point
from neurosieve.subsets.draws import draws_sha256
from neurosieve.subsets.gram import WideGram
from neurosieve.subsets.reference import reference_judge
from neurosieve.subsets.score import _confirmed, predict_frozen
from neurosieve.subsets.search import load_row

# --- sizes


@pytest.mark.parametrize(("n", "ratio"), [(1, 1.2), (2, 1.2), (17, 1.2), (1792, 1.2), (1792, 1.05), (500, 2.0)])
def test_grid_starts_at_one_ends_at_n_and_keeps_the_ratio(n, ratio):
    sizes = minimal.size_grid(n, ratio)
    assert sizes[0] == 1 and sizes[-1] == n and sizes == sorted(set(sizes))
    assert all(b == a + 1 or b / a <= ratio + 1e-12 for a, b in itertools.pairwise(sizes))


def test_grid_by_hand():
    assert minimal.size_grid(20, 1.2) == [*range(1, 12), 13, 15, 17, 20]
    assert minimal.size_grid(21, 2.0) == [1, 2, 3, 6, 11, 21]


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(2.0, [1, 2, 3, 5, 10, 20]), (1.5, [1, 2, 3, 4, 5, 7, 10, 15, 20]), (4.0, [1, 2, 5, 20])],  # 2: not below 5 / 4
)
def test_thinned_grid_by_hand(ratio, expected):
    fine = minimal.size_grid(20, 1.2)
    assert minimal.thin(fine, ratio) == expected and set(expected) <= set(fine)


@pytest.mark.parametrize("n", [1, 2, 3, 57, 1792])
def test_thinned_grid_keeps_its_ends_and_its_ratio(n):
    fine = minimal.size_grid(n, 1.2)
    coarse = minimal.thin(fine, 2.0)
    assert coarse[0] == 1 and coarse[-1] == n and coarse == sorted(set(coarse) & set(fine))
    assert all(b <= 2 * a for a, b in itertools.pairwise(coarse))
    assert minimal.thin(fine, 1.0001) == fine  # nothing is within the ratio: every size stays


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
def test_bracket_by_hand(ok, expected):
    found = minimal.bracket(np.array([1, 4, 8, 16]), np.array([c == "1" for c in ok]))
    assert (found.every, found.failing, found.first) == expected


def test_bracket_refuses_sizes_out_of_order():
    with pytest.raises(ValueError, match="ascending"):
        minimal.bracket(np.array([2, 2]), np.array([True, True]))
    with pytest.raises(ValueError, match="ascending"):
        minimal.bracket(np.array([1, 2]), np.array([True]))


def bisect(ok, sizes):
    """Run the bisection to its end; ``ok`` tells whether a size passes."""
    sizes = sorted(sizes)
    while (size := minimal.next_size(np.array(sizes), np.array([ok(s) for s in sizes]))) is not None:
        assert size not in sizes
        sizes = sorted([*sizes, size])
    return sizes


@pytest.mark.parametrize("truth", [1, 2, 10, 11, 57, 199, 200])
def test_bisection_ends_at_adjacent_integers(truth):
    sizes = bisect(lambda n: n >= truth, minimal.size_grid(200, 1.2))
    found = minimal.bracket(np.array(sizes), np.array([s >= truth for s in sizes]))
    assert found.first == found.every == truth
    assert found.failing == (truth - 1 or None)
    assert len(sizes) <= len(minimal.size_grid(200, 1.2)) + math.ceil(math.log2(200 * 0.2)) + 1


def test_bisection_of_a_curve_that_is_not_monotone_ends_below_the_first_passing_size():
    def ok(n):  # passes at 16..20, fails at 21..99, passes from 100
        return 16 <= n <= 20 or n >= 100

    sizes = bisect(ok, minimal.size_grid(200, 1.2))
    found = minimal.bracket(np.array(sizes), np.array([ok(s) for s in sizes]))
    assert found.first == 16 and 15 in sizes and found.every > 100 > found.failing > 20


def test_no_bracket_no_bisection():
    sizes = np.array([1, 10, 100])
    assert minimal.next_size(sizes, np.array([True, True, True])) is None
    assert minimal.next_size(sizes, np.array([False, False, False])) is None


# --- where another judge would put the minimum


def other_judge(sizes, replicates, difference=None, baseline=None, margin=0.01):
    """20 replicates: the bounds at 90 % are the 2nd smallest and largest. Without noise a replicate is the estimate."""
    replicates = np.array(replicates, float)
    difference = np.median(replicates, axis=1) if difference is None else np.array(difference, float)
    base = np.full_like(replicates, 0.5) if baseline is None else np.array(baseline, float)
    tested = minimal.Tested(np.array(sizes), difference, replicates, base[:, 0], base, margin, 0.9, len(sizes) - 1)
    return minimal.other_judge(tested)


def test_another_judge_without_noise_has_the_same_minimum():
    assert other_judge([1, 4, 8], np.array([[-0.1, -0.005, 0.02]] * 20).T) == (4, 4, 0)
    baseline = np.array([[-1.0, 0.0, 0.1]] * 20).T
    assert other_judge([1, 4, 8], np.zeros((3, 20)), baseline=baseline) == (8, 8, 0)
    assert other_judge([1, 4, 8], np.array([[-0.1, -0.05, -0.02]] * 20).T) == (8, 8, 20)


def test_another_judge_differs_by_the_noise_of_both():
    # half-width r; a replicate r below its estimate is taken sqrt(2) r below and fails where 2.414 r reaches the margin
    def low_in_two(r):
        return np.array([[-0.1, 0.0, 0.0]] * 18 + [[-0.1, -r, 0.0]] * 2).T

    assert other_judge([1, 4, 8], low_in_two(0.0041)) == (4, 4, 0)
    assert other_judge([1, 4, 8], low_in_two(0.0042)) == (4, 8, 0)  # 2 r alone would be 0.0084
    assert other_judge([1, 4], low_in_two(0.0042)[:2]) == (4, 4, 2)  # no size passes in two


def test_the_minimum_of_every_replicate_of_another_judge():
    """Half-widths: 0.2 at 4 neurons, 0 at 8, where one replicate of 20 is no bound; noise counts times sqrt 2."""
    replicates = np.array([[-0.5, 0.0, 0.0]] * 18 + [[-0.5, -0.2, 0.0], [-0.5, -0.2, -0.2]]).T
    base = np.full_like(replicates, 0.5)

    def minima(margin):
        sizes, estimates = np.array([1, 4, 8]), np.array([-0.5, 0.0, 0.0])
        tested = minimal.Tested(sizes, estimates, replicates, base[:, 0], base, margin, 0.9, 2)
        return minimal.drawn_minima(tested).tolist()

    assert minima(0.25) == [4] * 18 + [8, 0]
    assert minima(0.3) == [4] * 18 + [8, 8]
    assert minima(0.15) == [8] * 19 + [0]


def test_another_judge_sees_a_low_size_together_with_its_neighbours():
    # 4 is 0.011 below in every replicate: it fails by itself, and 2 passes on the fit of both
    assert other_judge([1, 2, 4, 8], np.array([[-0.1, 0.0, -0.011, 0.0]] * 20).T) == (2, 2, 0)


# --- the minimum on a fitted curve


def test_increasing_fit_by_hand():
    sizes = np.array([1, 2, 4, 8])  # weights 1/2, 1, 1, 1/2 in octaves
    assert minimal.increasing_fit(sizes, np.array([0.0, 3, 1, 2.5])) == pytest.approx([0, 2, 2, 2.5])
    assert minimal.increasing_fit(sizes, np.array([1.0, 0, 5, 6])) == pytest.approx([1 / 3, 1 / 3, 5, 6])
    assert minimal.increasing_fit(sizes, np.array([4.0, 3, 2, 1])) == pytest.approx([2.5] * 4)
    assert minimal.increasing_fit(sizes, np.array([1.0, 2, 2, 3])).tolist() == [1, 2, 2, 3]
    assert minimal.increasing_fit(np.array([7]), np.array([[0.5, -0.5]])).tolist() == [[0.5, -0.5]]


def test_increasing_fit_takes_every_replicate_by_itself():
    columns = np.array([[0.0, 1.0], [3.0, 0.0], [1.0, 5.0], [2.5, 6.0]])
    fit = minimal.increasing_fit(np.array([1, 2, 4, 8]), columns)
    assert fit[:, 0] == pytest.approx([0, 2, 2, 2.5]) and fit[:, 1] == pytest.approx([1 / 3, 1 / 3, 5, 6])


def test_increasing_fit_does_not_count_close_sizes_double():
    # 4 and 5 stand close together, so both weigh little against 16: widths log 2 + log(5/4)/2, log(4)/2, (log 16/5)/2
    fit = minimal.increasing_fit(np.array([1, 4, 5, 16]), np.array([-9.0, 3.0, 3.0, 0.0]))
    a, b, c = math.log(5) / 2, math.log(4) / 2, math.log(16 / 5) / 2
    assert fit == pytest.approx([-9, *[3 * (a + b) / (a + b + c)] * 3])


def fitted(rows, baseline=None, last=None):
    """20 replicates at confidence 0.9: the bounds are the 2nd smallest and the 2nd largest; margin 0.01."""
    replicates = np.array(rows, float).T
    base = np.full_like(replicates, 0.5) if baseline is None else np.array(baseline, float).T
    sizes = np.array([1, 2, 4, 8, 16])[: len(replicates)]
    last = len(sizes) - 1 if last is None else last
    return minimal.Tested(sizes, replicates.mean(1), replicates, base.mean(1), base, 0.01, 0.9, last)


def test_one_noisy_size_does_not_move_the_fitted_minimum():
    given = fitted([[-0.1, 0.0, -0.011, 0.0, 0.0]] * 20)
    ok = minimal.fitted_passes(given)
    assert ok.tolist() == [False, True, False, True, True]  # the fit is -0.0055 at 2 and 4; 4 itself fails
    assert minimal.bracket(given.sizes, ok).first == 2
    assert minimal.bracket(given.sizes, given.difference > -0.01).every == 8  # every larger size has to pass


def test_one_lucky_size_is_not_the_fitted_minimum():
    ok = minimal.fitted_passes(fitted([[-0.1, 0.0, -0.05, -0.001, 0.0]] * 20))
    assert ok.tolist() == [False, False, False, True, True]  # the fit is -0.025 at 2 and 4


def test_sizes_above_the_last_near_the_best_on_tune_tell_nothing_against_smaller_ones():
    rows = [[-0.1, 0.0, -0.02, -0.03, -0.04]] * 20  # with few rows, larger sets are worse
    assert not minimal.fitted_passes(fitted(rows)).any()
    assert minimal.fitted_passes(fitted(rows, last=1)).tolist() == [False, True, False, False, False]
    assert minimal.least_possible(fitted(rows, last=1)) == 2 and minimal.other_judge(fitted(rows, last=1)) == (2, 2, 0)
    assert fitted(rows, last=1).fit(np.array([3.0, 1, 9, 0, 0])) == pytest.approx([2] * 5)  # both weigh half an octave
    assert minimal.fitted_passes(fitted([[-0.1, 0.0, -0.02, 0.0, 0.0]] * 20, last=1)).tolist() == [
        False, True, False, True, True,
    ]  # fmt: skip


def test_fitted_minimum_passes_by_itself_too():
    # in two replicates size 1 is high and 2 low, their fit -0.02 / 3; alone 2 fails at its 2nd smallest, -0.02
    rows = [[0.02, -0.02, 0.0]] * 2 + [[-0.1, 0.0, 0.0]] * 18
    assert minimal.fitted_passes(fitted(rows)).tolist() == [False, False, True]


def test_fitted_minimum_beats_the_baseline_too():
    rows = [[0.0] * 4] * 20
    assert minimal.fitted_passes(fitted(rows, [[-0.1, 0.0, 0.1, 0.2]] * 20)).tolist() == [False, False, True, True]


def test_least_possible_by_hand():
    # size 2: -0.02 but in two replicates, so its 2nd largest is 0 and it is not ruled out; by its 2nd smallest it fails
    rows = [[-0.1, 0.0, 0.0, 0.0]] * 2 + [[-0.1, -0.02, 0.0, 0.0]] * 18
    assert minimal.least_possible(fitted(rows)) == 2
    assert minimal.bracket(np.array([1, 2, 4, 8]), minimal.fitted_passes(fitted(rows))).first == 4
    assert minimal.least_possible(fitted([[-0.1, -0.02, -0.02, 0.0]] * 20)) == 5  # 5, 6 and 7 were not tested
    assert minimal.least_possible(fitted([[0.0, 0.0]] * 20)) == 1
    assert minimal.least_possible(fitted([[-0.1, -0.1]] * 20)) is None
    assert minimal.least_possible(fitted([[0.0, 0.0, 0.0]] * 20, [[-0.1, 0.0, 0.1]] * 20)) == 3


# --- random neurons


@pytest.mark.parametrize(
    ("better", "expected"),
    [("1100", 4), ("0000", 1), ("1111", None), ("0001", None), ("1010", 8), ("0100", 4)],
)
def test_random_suffices_from_the_size_from_which_on_no_size_is_better(better, expected):
    assert minimal.suffices_from([1, 2, 4, 8], np.array([c == "1" for c in better])) == expected


def test_against_random_by_hand():
    # 20 replicates, bounds at 90 % are the 2nd smallest; the draws' mean is 0.5, 0.6, 0.7 in every replicate
    random = np.array([[0.4, 0.5, 0.6], [0.6, 0.7, 0.8]])
    values = np.array([0.8, 0.65, 0.71])
    wobble = np.array([-0.08, -0.04, *[0.0] * 18])
    found = minimal.beats_random(
        [1, 4, 8], values, values[:, None] + wobble, random, np.repeat(random[:, :, None], 20, axis=2), 0.9
    )
    assert found["difference"] == pytest.approx([0.3, 0.05, 0.01])
    assert found["lower"] == pytest.approx([0.26, 0.01, -0.03])
    assert found["random_suffices_from"] == 8 and found["sizes"] == [1, 4, 8]


def test_against_random_is_paired():
    """A spread that ranking and random share falls away."""
    common = np.random.default_rng(0).normal(0, 0.2, 99)
    random = np.zeros((2, 1))
    found = minimal.beats_random([3], np.array([0.01]), 0.01 + common[None], random, random[:, :, None] + common, 0.95)
    assert found["lower"] == pytest.approx([0.01]) and found["random_suffices_from"] is None


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


# --- end to end: planted carriers among noise

CARRIERS = [3, 9, 18, 23, 34, 45]  # global indices; 3 layers of 16 units
LAYERS, WIDTH = 3, 16
CLASSES = ["a", "b", "c"]
ROWS = {"train": 1500, "tune": 800, "judge": 4000, "test": 3000}
FILES = {"train": 20, "tune": 20, "judge": 80, "test": 60}
TASKS = ("planted", "permuted")


def tiny_params(**subsets) -> Params:
    raw = load_params("params.yaml").model_dump(mode="json")
    task = {"kind": "token-roles", "corpus": "wheels", "metric": "accuracy", "rows": ROWS}
    raw["run"] |= {"models": ["tiny", "tiny-untrained"], "tasks": list(TASKS)}
    raw["models"] = {"tiny": {"path": "."}, "tiny-untrained": {"untrained": "tiny"}}
    raw["prepare"]["tasks"] = dict.fromkeys(TASKS, task)
    raw["probes"] |= {"bootstrap": 199, "gap": 1e-4, "penalties": [{"l1": 0.0, "l2": 0.1}, {"l1": 0.002, "l2": 0.002}]}
    raw["probes"] |= {"baseline_penalties": [{"l1": 0.0, "l2": 1.0}], "baseline_ngrams": [1, 2]}
    raw["probes"] |= {"rankings": ["lca", "probeless"]}
    raw["subsets"] |= {"rankings": ["lca", "probeless"], "searches": [], "headline": "lca"}
    raw["subsets"] |= {"margins": {"default": {"value": 0.06, "reason": "what 4000 rows can resolve"}}, **subsets}
    return Params.model_validate(raw)


def write_task(paths: Paths, task: str, labels: dict[str, np.ndarray]) -> None:
    """One token per input; its type says nothing about the class."""
    rng = np.random.default_rng(1)
    for split, y in labels.items():
        types = rng.integers(0, 30 if split == "train" else 40, len(y))
        texts = [f"x = t{t}" for t in types]
        with Writer(paths.task(task) / split, "prepare", {}) as out:
            out.jsonl(
                "inputs.jsonl",
                [
                    {"id": i, "text": text, "file": f"{split}{i % FILES[split]:02d}.py", "package": f"p{i % 2}"}
                    for i, text in enumerate(texts)
                ],
            )
            out.jsonl(
                "rows.jsonl",
                [
                    {"input": i, "start": 4, "end": len(text), "label": label, "type": text[4:], "seen": t < 30}
                    for i, (text, label, t) in enumerate(zip(texts, y.tolist(), types.tolist(), strict=True))
                ],
            )
    card = {"task": task, "unit": "token", "classes": CLASSES, "metric": "accuracy", "scored_classes": [0, 1, 2]}
    with Writer(paths.task(task) / "card", "prepare", {}) as out:
        out.json("card.json", card)


def write_vectors(paths: Paths, model: str, task: str, split: str, X: np.ndarray) -> None:
    with Writer(paths.activations(model, task, split), "activations", {}) as out:
        for layer in range(LAYERS):
            out.npy(f"layer_{layer:02d}.npy", X[:, layer * WIDTH : (layer + 1) * WIDTH])
        out.facts = {"layers": LAYERS, "width": WIDTH, "vectors": len(X)}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Both tasks through probes, status, subsets: ``planted`` has six carriers, ``permuted`` its labels shuffled."""
    paths, params = Paths("tiny", tmp_path_factory.mktemp("build")), tiny_params()
    rng = np.random.default_rng(0)
    labels: dict[str, dict[str, np.ndarray]] = {task: {} for task in TASKS}
    vectors = {}
    for split, n in ROWS.items():
        X = rng.normal(size=(n, LAYERS * WIDTH)).astype(np.float32)
        X[:, 5] = 1.5  # a constant neuron
        X[:, 20] = 0.3 * X[:, 3] + X[:, 20]  # and one that knows a little
        scores = X[:, CARRIERS[:3]] + X[:, CARRIERS[3:]]
        labels["planted"][split] = scores.argmax(axis=1)
        labels["permuted"][split] = rng.permutation(labels["planted"][split])
        vectors[split] = 4 * X + 10
    for task in TASKS:
        write_task(paths, task, labels[task])
        for split, n in ROWS.items():
            write_vectors(paths, "tiny", task, split, vectors[split])
            noise = rng.normal(size=(n, LAYERS * WIDTH)).astype(np.float32)
            write_vectors(paths, "tiny-untrained", task, split, noise)
        fit_baselines(params, paths, task=task)
        for model in params.run.models:
            fit_probes(params, paths, model=model, task=task)
        for model in params.run.models:
            search_subsets(params, paths, model=model, task=task)
    decide_status(params, paths)
    for task in TASKS:
        for model in params.run.models:
            fit_controls(params, paths, model=model, task=task)
            score_test(params, paths, model=model, task=task)
    return params, paths


def curves_of(bench, task, model="tiny"):
    return read_json(bench[1].search(model, task) / "curves.json")


def scores_of(bench, task, model="tiny"):
    return read_json(bench[1].scores(model, task) / "scores.json")


@pytest.mark.parametrize("ranking", ["lca", "probeless"])
def test_planted_carriers_are_found(bench, ranking):
    found = curves_of(bench, "planted")
    curve = found["curves"][ranking]
    assert found["n_neurons"] == 48 and found["n_kept"] == 47 and not found["dev"]["too_small"]
    assert curve["n_minimal"] in (6, 7) and curve["n_failing"] == curve["n_minimal"] - 1
    assert curve["n_minimal_low"] <= curve["n_minimal"] <= curve["n_minimal_high"] and curve["replicates_without"] == 0
    frozen = read_json(bench[1].search("tiny", "planted") / "frozen.json")["sets"][f"subset-{ranking}"]
    assert set(CARRIERS) <= set(frozen["neurons"]) and frozen["claimed"] and len(frozen["neurons"]) == curve["size"]
    assert curve["layers_used"] == [0, 1, 2]
    assert curve["share_kept"] > 0.85


def test_the_best_ranking_is_best_on_tune(bench):
    found = curves_of(bench, "planted")
    grid = minimal.size_grid(47, 1.2)
    means = {}
    for name in ("lca", "probeless"):
        curve = found["curves"][name]
        means[name] = minimal.mean_over_log_sizes(grid, [curve["tune"][curve["sizes"].index(s)] for s in grid])
    assert found["mean_tune"] == pytest.approx(means) and found["best_ranking"] == max(means, key=means.get)


def test_controls_of_the_same_size_score_far_lower(bench):
    found, scores = curves_of(bench, "planted"), scores_of(bench, "planted")
    size = found["curves"]["lca"]["size"]
    best = found["curves"]["lca"]["judge"][found["curves"]["lca"]["sizes"].index(size)]
    for name in ("random-0", "random-1", "random-2", "bottom"):
        curve = found["curves"][name]
        assert curve["judge"][curve["sizes"].index(size)] < best - 0.2
        assert curve["n_minimal"] is None and curve["reason"] == "control"
    frozen = read_json(bench[1].search("tiny", "planted") / "frozen.json")["sets"]
    ranking = read_npy(bench[1].probes("tiny", "planted") / "ranking_lca.npy")
    assert frozen["bottom-lca"]["neurons"] == ranking[::-1][:size].tolist()
    assert frozen["subset-lca"]["neurons"] == ranking[:size].tolist()
    assert len({tuple(sorted(frozen[f"random-{i}-lca"]["neurons"])) for i in range(3)}) == 3
    assert found["dev"]["half_size"] == 24 and 24 in found["curves"]["random-0"]["sizes"]
    at = found["curves"]["random-0"]["sizes"].index(24)
    half = found["curves"]["random-0"]["difference"][at] - found["curves"]["random-0"]["lower"][at]
    assert found["dev"]["half_widths"][0] == pytest.approx(half)
    mean = found["random"]
    each = [found["curves"][f"random-{i}"]["judge"] for i in range(3)]
    assert mean["judge"] == pytest.approx(np.mean(each, axis=0).tolist())
    assert scores["random"]["lca"]["accuracy"] < scores["sets"]["subset-lca"]["accuracy"] - 0.2
    assert scores["sets"]["bottom-lca"]["accuracy"] < scores["sets"]["subset-lca"]["accuracy"] - 0.2


def test_against_random_over_the_sizes_of_the_rankings_and_the_controls(bench):
    params, paths = bench
    found = curves_of(bench, "planted")
    report = found["beats_random"]
    y = np.array([row["label"] for row in read_jsonl(paths.task("planted") / "judge" / "rows.jsonl")])
    predicted = read_npy(paths.search("tiny", "planted") / "predictions_judge.npy")
    draws = [found["curves"][f"random-{i}"] for i in range(3)]
    coarse = minimal.thin(minimal.size_grid(47, 1.2), params.subsets.control_ratio)
    for name, entry in report["rankings"].items():
        curve = found["curves"][name]
        assert entry["sizes"] == sorted((set(curve["sizes"]) & set(draws[0]["sizes"])) - {47})
        assert set(coarse) - {47} <= set(entry["sizes"])  # every size of the coarse grid is one of the ranking's
        for size, difference in zip(entry["sizes"], entry["difference"], strict=True):
            mine, *random = ((predicted[c["predictions"][c["sizes"].index(size)]] == y).mean() for c in (curve, *draws))
            assert difference == pytest.approx(mine - np.mean(random))
        assert all(low < d for low, d in zip(entry["lower"], entry["difference"], strict=True))
        assert entry["lower"][entry["sizes"].index(curve["size"])] > 0.2  # six carriers against six at random
    common = set(report["rankings"]["lca"]["sizes"]) & set(report["rankings"]["probeless"]["sizes"])
    assert report["sizes"] == sorted(common)
    permuted = curves_of(bench, "permuted")["beats_random"]
    assert permuted["random_suffices_from"] is not None


def test_permuted_labels_pass_no_size(bench):
    found, scores = curves_of(bench, "permuted"), scores_of(bench, "permuted")
    curve = found["curves"]["lca"]
    assert curve["n_minimal"] is None and not any(curve["passes"])
    assert "not above the majority class" in curve["reason"] or curve["reason"] == "dev too small"
    assert scores["status"] == "at chance"
    assert scores["confirmed"] is None and scores["confirmed_subset"] is None


def test_searches_take_large_steps_on_a_sketch_and_everywhere_in_a_row_that_claims_nothing(bench):
    data, full = load_row(*bench, "tiny", "planted").data, SimpleNamespace(fitted=None)
    assert data.given(full).coarse_above == math.inf
    sketched = dataclasses.replace(data, gram=WideGram(data.X["train"]))
    assert sketched.given(full).coarse_above == solver.WIDE / data.features.columns_per_neuron
    assert data.given(full, coarse=True).coarse_above == 0


def test_a_row_that_may_claim_nothing_has_a_coarse_curve_of_the_headline_alone(bench):
    """That it may not is what the comparisons of its status say, of which no adjustment makes one smaller."""
    params, paths = bench
    for task in ("planted", "permuted"):
        row = load_row(params, paths, "tiny", task)
        stated = read_json(paths.status() / "status.json")["rows"][f"tiny/{task}"]["comparisons"]
        below = next((name for name, entry in stated.items() if entry["p"] > 0.05 + 1e-12), None)
        assert row.below == below and (below is None) == (task == "planted")
        assert all(entry["p_holm"] >= entry["p"] for entry in stated.values())
    found, full = curves_of(bench, "permuted")["curves"], curves_of(bench, "planted")["curves"]
    controls = {"bottom", *(f"random-{draw}" for draw in range(params.subsets.random_draws))}
    assert set(found) == {"lca", *controls} and set(full) > {"lca", "probeless", *controls}
    assert set(found["random-0"]["sizes"]) <= set(found["lca"]["sizes"]) | {24}  # the half
    assert len(found["lca"]["sizes"]) < len(full["lca"]["sizes"]) and found["lca"]["size"] in found["lca"]["sizes"]


def test_judge_predictions_are_those_of_the_curves(bench):
    params, paths = bench
    found = curves_of(bench, "planted")
    predicted = read_npy(paths.search("tiny", "planted") / "predictions_judge.npy")
    rows = read_jsonl(paths.task("planted") / "judge" / "rows.jsonl")
    y = np.array([row["label"] for row in rows])
    seen = []
    assert {"lca", "probeless", "pipeline", "random-0", "bottom"} <= set(found["curves"])
    for curve in found["curves"].values():
        assert curve["sizes"] == sorted(set(curve["sizes"]))
        assert [float((predicted[i] == y).mean()) for i in curve["predictions"]] == pytest.approx(curve["judge"])
        assert max(curve["gap"]) <= params.probes.gap
        seen += curve["predictions"]
    assert sorted(seen) == list(range(len(predicted))) and predicted.dtype == np.int16


def test_minima_of_the_replicates_give_the_interval_of_another_judge(bench):
    """From the stored judge predictions, by themselves: replicates of every size, and the minimum in each."""
    params, paths = bench
    row = load_row(params, paths, "tiny", "planted")
    found = curves_of(bench, "planted")
    predicted = read_npy(paths.search("tiny", "planted") / "predictions_judge.npy")
    minima = read_npy(paths.search("tiny", "planted") / "minima_judge.npy")
    claimed = [name for name, curve in found["curves"].items() if curve["n_minimal"] is not None]
    assert minima.dtype == np.int32 and minima.shape == (len(claimed), params.probes.bootstrap)
    assert {found["curves"][name]["minima"] for name in claimed} == set(range(len(claimed)))
    rival = row.rival(row.data.judged(reference_judge(paths, "tiny", "planted")))
    for name, curve in found["curves"].items():
        if name not in claimed:
            assert curve["minima"] is None
            continue
        own = minima[curve["minima"]]
        judged = [row.data.judged(predicted[i]) for i in curve["predictions"]]
        tested = rival.tested(np.array(curve["sizes"]), judged, curve["tune"])
        assert own.tolist() == minimal.drawn_minima(tested).tolist()
        assert set(own.tolist()) <= {0, *curve["sizes"]} and (own == 0).sum() == curve["replicates_without"]
        ends = [int(f(np.where(own == 0, curve["sizes"][-1], own), 0.95)) for f in (intervals.lower, intervals.upper)]
        assert ends == [curve["n_minimal_low"], curve["n_minimal_high"]]
    assert read_npy(paths.search("tiny", "permuted") / "minima_judge.npy").shape == (0, params.probes.bootstrap)


def test_draws_are_the_same_for_all_models_of_a_task_and_for_no_other_rows(bench):
    params, paths = bench
    models = params.run.models
    of = {(curves_of(bench, "planted", m)["draws"], scores_of(bench, "planted", m)["draws"]) for m in models}
    (judge, test), *others = of
    assert not others and judge != test and curves_of(bench, "permuted")["draws"] != judge
    rows = read_rows(paths, "planted", "test")
    n = params.probes.bootstrap

    def total(rows, seed=params.seed, n=n):
        return draws_sha256(rows, intervals.task_bootstrap(seed, "planted", "test", rows.files, n, rows.sides))

    assert total(rows) == test
    labels = rows.labels.copy()
    labels[0] = 1 - labels[0]
    files = np.where(rows.files == 0, 1, np.where(rows.files == 1, 0, rows.files))
    assert test not in {
        total(dataclasses.replace(rows, labels=labels)), total(dataclasses.replace(rows, files=files)),
        total(rows, seed=params.seed + 1), total(rows, n=n + 1),
    }  # fmt: skip


def test_frozen_weights_alone_give_the_predictions(bench):
    """Frozen weights on raw judge features by plain arithmetic: the predictions that the search kept."""
    paths = bench[1]
    folder = paths.search("tiny", "planted")
    frozen, tensors = read_json(folder / "frozen.json"), read_tensors(folder / "frozen.safetensors")
    X, on_tune = (
        np.hstack([read_npy(paths.activations("tiny", "planted", s) / f"layer_{i:02d}.npy") for i in range(LAYERS)])
        for s in ("judge", "tune")
    )
    tune = np.array([row["label"] for row in read_jsonl(paths.task("planted") / "tune" / "rows.jsonl")])
    found = curves_of(bench, "planted")
    stored = read_npy(folder / "predictions_judge.npy")
    for key in ("subset-lca", "random-1-lca", "bottom-lca"):
        entry, curve = frozen["sets"][key], found["curves"][key.removeprefix("subset-").removesuffix("-lca")]
        Z = (X[:, entry["neurons"]].astype(float) - tensors[f"{key}.mean"]) * tensors[f"{key}.scale"]
        predicted = (Z @ tensors[f"{key}.weights"] + tensors[f"{key}.intercept"]).argmax(axis=1)
        row = curve["predictions"][curve["sizes"].index(len(entry["neurons"]))]
        assert (predicted == stored[row]).mean() > 0.999
        Z = (on_tune[:, entry["neurons"]].astype(float) - tensors[f"{key}.mean"]) * tensors[f"{key}.scale"]
        predicted = (Z @ tensors[f"{key}.weights"] + tensors[f"{key}.intercept"]).argmax(axis=1)
        tuned = curve["tune"][curve["sizes"].index(len(entry["neurons"]))]
        assert (predicted == tune).mean() == pytest.approx(tuned, abs=2e-3)
    probes = read_json(paths.probes("tiny", "planted") / "probes.json")
    judged = read_npy(paths.probes("tiny", "planted") / "predictions_judge.npy")
    for key, name in (("all", "all"), ("layer-reference", probes["reference"])):
        neurons = frozen["sets"][key]["neurons"]
        assert len(neurons) == probes["sets"][name]["neurons"]
        Z = (X[:, neurons].astype(float) - tensors[f"{key}.mean"]) * tensors[f"{key}.scale"]
        predicted = (Z @ tensors[f"{key}.weights"] + tensors[f"{key}.intercept"]).argmax(axis=1)
        assert (predicted == judged[probes["order"].index(name)]).mean() > 0.999


def test_the_set_at_the_minimum_is_polished(bench):
    """A ridge probe is taken to a gap of 1e-8, its score and predictions with it; a sparse one stays."""
    params, paths = bench
    data = load_row(params, paths, "tiny", "planted").data
    part = data.whole.take(np.arange(5), data)
    for penalty, closer in ((Penalty(l1=0.0, l2=0.1), True), (Penalty(l1=0.002, l2=0.002), False)):
        ridge = dataclasses.replace(data, penalties=[penalty])
        cold = Probe(np.zeros((5, 3), np.float32), np.zeros(3, np.float32), 0, 0, 0, penalty.l1, penalty.l2)
        point = fit_point(ridge, part, [cold])
        found = polish_point(ridge, point)
        assert found.polished and not point.polished and (found.probe is not point.probe) == closer
        assert (found.probe.gap <= 1e-8 < point.probe.gap) == closer
        assert found.probe.objective <= point.probe.objective * (1 + 1e-7)
        assert found.predicted.tolist() == found.probe.predict(data.X["judge"][:, :5]).tolist()
        assert found.judged.value == (found.predicted == data.y["judge"]).mean()


def test_scores_on_test(bench):
    paths = bench[1]
    scores = scores_of(bench, "planted")
    assert scores["status"] == scores["test_status"] == "supported"
    assert scores["confirmed"] is True and scores["confirmed_status"] is True and scores["confirmed_subset"] is True
    rows = read_jsonl(paths.task("planted") / "test" / "rows.jsonl")
    y, seen = np.array([r["label"] for r in rows]), np.array([r["seen"] for r in rows])
    predicted = read_npy(paths.scores("tiny", "planted") / "predictions_test.npy")
    assert len(scores["predictions"]) == len(predicted)
    report = scores["sets"]["subset-lca"]
    right = predicted[scores["predictions"].index("subset-lca")] == y
    assert report["accuracy"] == pytest.approx(right.mean())
    assert report["unseen"]["rows"] == (~seen).sum() > 100
    assert report["unseen"]["accuracy"] == pytest.approx(right[~seen].mean())
    assert report["packages"]["p1"]["accuracy"] == pytest.approx(right[1::2].mean())
    assert report["low"] < report["accuracy"] < report["high"]
    reference = scores["sets"]["reference"]
    assert reference["difference"] == 0 and reference["lower"] == 0
    assert report["difference"] == pytest.approx(report["accuracy"] - reference["accuracy"])
    assert scores["baselines"]["majority"]["accuracy"] == pytest.approx(np.bincount(y).max() / len(y), abs=0.05)
    twin = scores_of(bench, "planted", "tiny-untrained")
    assert twin["untrained"] is None and twin["confirmed"] is None
    assert scores["untrained"]["accuracy"] == twin["sets"]["layer-reference"]["accuracy"]


def test_of_several_twins_the_best_on_tune_is_the_baseline_and_is_scored_on_test(bench, tmp_path):
    """A further twin with some signal: better on tune than the noise of the first, and worse than the model."""
    params, paths = bench
    further = params.models | {"second": Model(untrained="tiny"), "third": Model(untrained="tiny", seed=2)}
    run = params.run.model_copy(update={"twins": ["second", "third"]})
    params = params.model_copy(update={"models": further, "run": run})
    shutil.copytree(paths.root, tmp_path / "tiny")
    paths = Paths("tiny", tmp_path)
    rng, carried = np.random.default_rng(2), {}
    for split, n in ROWS.items():
        labels = np.array([row["label"] for row in read_jsonl(paths.task("planted") / split / "rows.jsonl")])
        for name, strength in (("second", 0.5), ("third", 0.0)):
            X = rng.normal(size=(n, LAYERS * WIDTH)).astype(np.float32)
            X[np.arange(n), labels] += strength
            write_vectors(paths, name, "planted", split, X)
            carried[name, split] = X
    for name in ("second", "third"):
        fit_probes(params, paths, model=name, task="planted")
    planted = params.model_copy(update={"run": run.model_copy(update={"tasks": ["planted"]})})
    decide_status(planted, paths)
    search_subsets(planted, paths, model="tiny", task="planted")
    score_test(planted, paths, model="tiny", task="planted")

    status = read_json(paths.status() / "status.json")["rows"]["tiny/planted"]
    assert status["twin"] == "second" and list(status["comparisons"]["untrained"]["twins"]) == [
        "second", "third", "tiny-untrained",
    ]  # fmt: skip
    found = read_json(paths.search("tiny", "planted") / "curves.json")["baselines"]["untrained"]
    assert found == pytest.approx(status["comparisons"]["untrained"]["twins"]["second"])
    assert found["judge"] > scores_of(bench, "planted")["baselines"]["majority"]["accuracy"] + 0.05
    scores = read_json(paths.scores("tiny", "planted") / "scores.json")
    told = scores["comparisons"]["untrained"]["twins"]
    assert told["second"]["test"] == scores["untrained"]["accuracy"] == scores["comparisons"]["untrained"]["score"]
    assert told["tiny-untrained"]["test"] == scores_of(bench, "planted")["untrained"]["accuracy"]
    # the same probe, standardised here by its own train vectors
    probes = read_json(paths.probes("second", "planted") / "probes.json")
    first, last = probes["sets"][probes["reference"]]["layers"]
    columns = slice(first * WIDTH, (last + 1) * WIDTH)
    X = carried["second", "train"][:, columns].astype(np.float64)
    weights = read_tensors(paths.probes("second", "planted") / "weights.safetensors")
    Z = (carried["second", "test"][:, columns] - X.mean(0)) / X.std(0)
    wanted = (Z @ weights["reference_weights"] + weights["reference_intercept"]).argmax(axis=1)
    predicted = read_npy(paths.scores("tiny", "planted") / "predictions_test.npy")
    assert (predicted[scores["predictions"].index("untrained")] == wanted).mean() > 0.999


def test_selectivity_on_test(bench):
    """Types are drawn at random in this build, so that a control probe can do no better than its majority."""
    paths = bench[1]
    scores = scores_of(bench, "planted")
    found = scores["selectivity"]
    rows = read_jsonl(paths.task("planted") / "test" / "rows.jsonl")
    seen = np.array([r["seen"] for r in rows])
    oracle = scores["sets"]["all"]["seen"]
    assert found["rows"] == seen.sum() == oracle["rows"] and found["rows_unseen"] == (~seen).sum()
    assert found["task"] == pytest.approx(oracle["accuracy"]) and found["metric"] == "accuracy"
    assert len(found["control"]) == bench[0].probes.control_seeds
    assert found["selectivity"] == pytest.approx(found["task"] - np.mean(found["control"]))
    assert found["control_mean"] < found["control_majority"] + 0.03 and found["low"] > 0.2
    assert "probes/controls/tiny/planted" in " ".join(read_manifest(paths.scores("tiny", "planted"))["inputs"])
    assert scores_of(bench, "permuted")["selectivity"]["selectivity"] < 0.1


def test_only_the_needed_layers_of_test_are_read(bench, monkeypatch):
    paths = bench[1]
    frozen = read_json(paths.search("tiny", "planted") / "frozen.json")["sets"]
    read = []
    original = features.read_npy
    monkeypatch.setattr(features, "read_npy", lambda path, mmap=False: read.append(path.name) or original(path, mmap))
    predict_frozen(paths, "tiny", "planted", ["bottom-lca"])
    layers = sorted({n // WIDTH for n in frozen["bottom-lca"]["neurons"]})
    assert read == [f"layer_{layer:02d}.npy" for layer in layers]


def test_search_is_deterministic_and_reads_no_test(bench, tmp_path):
    """With test away the search writes the same bytes, and names no test folder among its inputs."""
    params, paths = bench
    folder = paths.search("tiny", "planted")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert not [name for name in read_manifest(folder)["inputs"] if name.endswith("/test")]
    away = [paths.task("planted") / "test", paths.activations("tiny", "planted", "test")]
    for i, path in enumerate(away):
        path.rename(tmp_path / str(i))
    try:
        search_subsets(params, paths, model="tiny", task="planted")
    finally:
        for i, path in enumerate(away):
            (tmp_path / str(i)).rename(path)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.fixture(scope="module")
def searched(bench, tmp_path_factory):
    """The planted task again with the three searches, one of them the headline; test is not there."""
    root = tmp_path_factory.mktemp("searched")
    shutil.copytree(bench[1].root, root / "tiny")
    paths = Paths("tiny", root)
    for path in (paths.task("planted") / "test", paths.activations("tiny", "planted", "test")):
        shutil.rmtree(path)
    names = ["elimination", "exchange", "relaxation"]
    params = tiny_params(searches=names, headline="elimination", pipeline=None)
    called = []
    original = curves.Curve.test
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves.Curve, "test", lambda self, size: called.append((id(self), size)) or original(self, size))
        search_subsets(params, paths, model="tiny", task="planted")
        search_subsets(params, paths, model="tiny-untrained", task="planted")
    return params, paths, called


@pytest.mark.parametrize("name", ["elimination", "exchange", "relaxation"])
def test_searches_find_the_planted_carriers(searched, name):
    _, paths, _ = searched
    found = read_json(paths.search("tiny", "planted") / "curves.json")
    frozen = read_json(paths.search("tiny", "planted") / "frozen.json")
    curve, entry = found["curves"][name], frozen["sets"][f"subset-{name}"]
    assert (curve["kind"], found["curves"]["lca"]["kind"]) == ("search", "ranking")
    assert curve["n_minimal"] in (6, 7) and curve["n_failing"] == curve["n_minimal"] - 1
    assert set(CARRIERS) <= set(entry["neurons"]) and len(entry["neurons"]) == curve["n_minimal"] and entry["claimed"]
    assert set(minimal.size_grid(47, 1.2)) <= set(curve["sizes"]) and curve["sizes"][-1] == 47
    assert found["mean_tune"].keys() == {"lca", "probeless", "elimination", "exchange", "relaxation"}
    assert found["headline"] == frozen["headline"] == "elimination"
    assert name in found["beats_random"]["rankings"]
    tensors = read_tensors(paths.search("tiny", "planted") / "frozen.safetensors")
    X = np.hstack([read_npy(paths.activations("tiny", "planted", "judge") / f"layer_{i:02d}.npy") for i in range(3)])
    key = f"subset-{name}"
    Z = (X[:, entry["neurons"]].astype(float) - tensors[f"{key}.mean"]) * tensors[f"{key}.scale"]
    predicted = (Z @ tensors[f"{key}.weights"] + tensors[f"{key}.intercept"]).argmax(axis=1)
    row = curve["predictions"][curve["sizes"].index(curve["size"])]
    assert (predicted == read_npy(paths.search("tiny", "planted") / "predictions_judge.npy")[row]).mean() > 0.999


def test_controls_are_of_the_headlines_size_and_of_the_first_ranking(searched):
    _, paths, _ = searched
    found = read_json(paths.search("tiny", "planted") / "curves.json")
    frozen = read_json(paths.search("tiny", "planted") / "frozen.json")["sets"]
    size = found["curves"]["elimination"]["size"]
    ranking = read_npy(paths.probes("tiny", "planted") / "ranking_lca.npy")
    assert frozen["bottom-elimination"]["neurons"] == ranking[::-1][:size].tolist()
    assert len(frozen["random-0-elimination"]["neurons"]) == size
    twin = read_json(paths.search("tiny-untrained", "planted") / "curves.json")
    assert [n for n, c in twin["curves"].items() if c["kind"] in ("ranking", "search")] == ["elimination"]


def test_no_set_is_below_what_is_certified(searched):
    _, paths, _ = searched
    found = read_json(paths.search("tiny", "planted") / "curves.json")
    bound, curve = found["bound"], found["curves"]["elimination"]
    assert set(bound) == {"l1", "l2", "objective", "n_bound", "factor", "sizes", "found", "certified"}
    assert bound["sizes"] == curve["sizes"]
    assert all(low <= at * (1 + 1e-6) for low, at in zip(bound["certified"], bound["found"], strict=True))
    assert bound["certified"] == sorted(bound["certified"], reverse=True)
    at = curve["sizes"].index(curve["n_minimal"])
    assert (bound["l1"], bound["l2"]) == (curve["l1"][at], curve["l2"][at])
    assert bound["objective"] == pytest.approx(bound["found"][at])
    assert 1 <= bound["n_bound"] <= curve["n_minimal"]
    assert bound["factor"] == pytest.approx(curve["n_minimal"] / bound["n_bound"])


def test_where_no_minimum_is_claimed_nothing_is_bounded(searched):
    _, paths, _ = searched
    twin = read_json(paths.search("tiny-untrained", "planted") / "curves.json")
    assert twin["curves"]["elimination"]["n_minimal"] is None and twin["bound"] is None


def test_the_bound_is_for_sets_that_were_searched(bench):
    assert curves_of(bench, "planted")["bound"] is None and curves_of(bench, "planted")["headline"] == "lca"


def test_curves_are_walked_from_large_to_small_before_bisection(searched):
    grid = minimal.size_grid(47, 1.2)[::-1]
    by_curve: dict[int, list[int]] = {}
    for curve, size in searched[2]:
        by_curve.setdefault(curve, []).append(size)
    assert sum(sizes[: len(grid)] == grid for sizes in by_curve.values()) >= 5  # every ranking and search


def test_dev_too_small_claims_no_minimum(bench, tmp_path):
    """A margin that judge cannot resolve: an estimate, frozen as such, and the rows that would be needed."""
    _, paths = bench
    params = tiny_params(margins={"default": {"value": 0.02, "reason": "too small for these rows"}})
    shutil.copytree(paths.root, tmp_path / "tiny")
    paths = Paths("tiny", tmp_path)
    search_subsets(params, paths, model="tiny", task="planted")
    found = read_json(paths.search("tiny", "planted") / "curves.json")
    dev, curve = found["dev"], found["curves"]["lca"]
    assert dev["too_small"] and dev["half_width"] == np.median(dev["half_widths"]) > 0.01
    assert dev["rows_needed"] == math.ceil(4000 * (dev["half_width"] / 0.01) ** 2)
    assert curve["n_minimal"] is None and curve["n_minimal_low"] is None and curve["reason"] == "dev too small"
    within = [s for s, d in zip(curve["sizes"], curve["difference"], strict=True) if d > -0.02]
    assert curve["n_estimate"] == curve["size"] == within[0] and curve["size"] - 1 in curve["sizes"]
    assert read_json(paths.search("tiny", "planted") / "frozen.json")["sets"]["subset-lca"]["claimed"] is False
    score_test(params, paths, model="tiny", task="planted")
    scores = read_json(paths.scores("tiny", "planted") / "scores.json")
    assert scores["confirmed_subset"] is None and scores["confirmed"] is True


def test_candidates_are_the_reference_penalty_and_its_neighbours():
    grid = [Penalty(l1=0.0, l2=v) for v in (0.01, 1.0, 0.1, 0.001)]
    assert [p.l2 for p in candidates(grid, 0.0, 0.1)] == [1.0, 0.1, 0.01]
    assert [p.l2 for p in candidates(grid, 0.0, 0.001)] == [0.01, 0.001]
    assert [p.l2 for p in candidates(grid[:1], 0.0, 0.01)] == [0.01]


@pytest.mark.parametrize(
    ("status", "test_status", "subset", "expected"),
    [
        ("surface", "supported", {"claimed": True, "lower": 0.0}, (None, None, None)),
        ("supported", "supported", {"claimed": True, "lower": -0.009}, (True, True, True)),
        ("supported", "supported", {"claimed": True, "lower": -0.01}, (False, True, False)),  # a tie with the margin
        ("supported", "untrained", {"claimed": True, "lower": 0.0}, (False, False, True)),
        ("supported", "supported", {"claimed": False, "lower": -0.5}, (True, True, None)),
        ("supported", "supported", None, (True, True, None)),
    ],
)
def test_what_confirmed_means(status, test_status, subset, expected):
    found = _confirmed({"status": status, "test_status": test_status}, subset, 0.01)
    assert tuple(found[k] for k in ("confirmed", "confirmed_status", "confirmed_subset")) == expected


def test_pairs_are_searched_by_neuron(tmp_path):
    """Two columns per neuron, two classes, no untrained twin: whether u and v are near in three of sixteen neurons."""
    carriers, width = [2, 7, 12], 8
    raw = tiny_params().model_dump(mode="json")
    raw["run"] = {"models": ["tiny"], "tasks": ["pairs"]}
    raw["prepare"]["tasks"] = {"pairs": raw["prepare"]["tasks"]["planted"]}
    params, paths = Params.model_validate(raw, strict=False), Paths("tiny", tmp_path)
    rng = np.random.default_rng(3)
    majority, labels = {}, {}
    for split, n in {"train": 800, "tune": 400, "judge": 3000, "test": 200}.items():
        X = rng.normal(size=(2 * n, 2 * width)).astype(np.float32)
        distance = np.abs(X[:n] - X[n:])[:, carriers].sum(axis=1)
        y = labels[split] = (distance < 3.2).astype(int)
        write_pairs(paths, split, y)
        with Writer(paths.activations("tiny", "pairs", split), "activations", {}) as out:
            out.npy("layer_00.npy", X[:, :width])
            out.npy("layer_01.npy", X[:, width:])
            out.facts = {"layers": 2, "width": width, "vectors": 2 * n}
        # the second baseline knows a little on tune and is right on fewer rows of judge than the first
        second = np.where(np.arange(n) < n // 4, y, 0 if split == "tune" else 1 - y)
        majority[split] = np.stack([np.zeros(n, int), second]).astype(np.int16)
    with Writer(paths.task("pairs") / "card", "prepare", {}) as out:
        out.json(
            "card.json",
            {"unit": "pair", "classes": ["far", "near"], "metric": "accuracy", "scored_classes": [0, 1]},
        )
    with Writer(paths.baselines("pairs"), "probes", {}) as out:
        out.json("baselines.json", {"order": ["majority", "word-overlap"], "surface": "word-overlap"})
        for split in ("tune", "judge"):
            out.npy(f"predictions_{split}.npy", majority[split])
    fit_probes(params, paths, model="tiny", task="pairs")
    search_subsets(params, paths, model="tiny", task="pairs")
    found = read_json(paths.search("tiny", "pairs") / "curves.json")
    curve = found["curves"]["lca"]
    assert found["columns_per_neuron"] == 2 and found["n_kept"] == 16 and curve["sizes"][-1] == 16
    assert list(found["baselines"]) == ["majority", "surface"] and found["baseline"] == "surface"
    assert found["baselines"]["surface"]["judge"] < found["baselines"]["majority"]["judge"]
    assert curve["n_minimal"] in (3, 4)
    frozen = read_json(paths.search("tiny", "pairs") / "frozen.json")["sets"]["subset-lca"]
    assert set(carriers) <= set(frozen["neurons"])
    weights = read_tensors(paths.search("tiny", "pairs") / "frozen.safetensors")["subset-lca.weights"]
    assert weights.shape == (2 * len(frozen["neurons"]), 1)
    predicted = predict_pairs(paths, frozen["neurons"])
    judged = curve["judge"][curve["sizes"].index(curve["size"])]
    assert np.mean(predicted == labels["judge"]) == pytest.approx(judged, abs=1e-3)


def write_pairs(paths: Paths, split: str, y: np.ndarray) -> None:
    n = len(y)
    with Writer(paths.task("pairs") / split, "prepare", {}) as out:
        out.jsonl("inputs.jsonl", [{"id": i, "text": "", "file": f"{i % n % 50}.py"} for i in range(2 * n)])
        out.jsonl("rows.jsonl", [{"input": i, "input2": n + i, "label": int(c)} for i, c in enumerate(y)])


def predict_pairs(paths: Paths, neurons: list[int]) -> np.ndarray:
    """Judge predictions of the frozen headline subset by plain arithmetic: absdiff, product of each neuron in turn."""
    tensors = read_tensors(paths.search("tiny", "pairs") / "frozen.safetensors")
    X = np.hstack([read_npy(paths.activations("tiny", "pairs", "judge") / f"layer_0{i}.npy") for i in (0, 1)])
    u, v = X[: len(X) // 2, neurons].astype(float), X[len(X) // 2 :, neurons].astype(float)
    Z = np.stack([np.abs(u - v), u * v], axis=2).reshape(len(u), -1)
    Z = (Z - tensors["subset-lca.mean"]) * tensors["subset-lca.scale"]
    return (Z @ tensors["subset-lca.weights"] + tensors["subset-lca.intercept"])[:, 0] > 0
