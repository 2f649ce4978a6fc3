"""What is asked of a minimal subset, on planted carriers whose answers are known, and figures by hand."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import planted
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from tqdm import tqdm

from neurosieve.artifacts import Paths, Writer, check_files, read_json, read_manifest, read_npy
from neurosieve.config import Params
from neurosieve.probes import fit_baselines, fit_probes
from neurosieve.probes.agreement import chance_overlap
from neurosieve.probes.solver import SolverError
from neurosieve.subsets import check_robustness, robustness, search_subsets
from neurosieve.subsets.contenders import Fitted, elimination

K = 4
COMMON = {"layers": 3, "width": 30, "rows": (1200, 600, 4000, 200), "margin": 0.03}
# each carrier is three times there; once; once, and the label is a number
SETTINGS = {
    "copies": planted.Setting(carriers=K, copies=2, noise=0.05, correlation=1.0, **COMMON),
    "single": planted.Setting(carriers=K, copies=0, noise=0.05, **COMMON),
    "number": planted.Setting(carriers=K, copies=0, noise=0.3, classes=0, **COMMON | {"margin": 0.05}),
}
L2 = 0.003
QUIET = tqdm(disable=True)


def make_params(task: str, **subsets) -> Params:
    return planted.make_params(
        SETTINGS[task], [task], 3,
        probes={"bootstrap": 199, "penalties": [{"l1": 0.0, "l2": L2}], "rankings": ["lca"]},
        subsets={"rankings": ["lca"], "searches": ["elimination"], "headline": "elimination", "pipeline": None,
                 "random_draws": 2, "half_draws": 1, "robustness": {"resamples": 4, "disjoint": 4}, **subsets},
    )  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """The rows of the planted model, asked; the folders of test are taken away first: whoever asks for one fails."""
    paths = Paths("planted", tmp_path_factory.mktemp("build"))
    truths = {}
    for task, setting in SETTINGS.items():
        params = make_params(task)
        truths[task] = planted.build(paths, setting, task, seed=3)
        fit_baselines(params, paths, task=task)
        for model in params.run.models:
            fit_probes(params, paths, model=model, task=task)
        search_subsets(params, paths, model=planted.MODEL, task=task)
        shutil.rmtree(paths.task(task) / "test")
        shutil.rmtree(paths.activations(planted.MODEL, task, "test"))
        check_robustness(params, paths, model=planted.MODEL, task=task)
    return paths, truths


def found_of(bench, task: str):
    return read_json(bench[0].robustness(planted.MODEL, task) / "robustness.json")


def arrays(bench, task: str, split: str):
    """Raw vectors and labels."""
    folder = bench[0].activations(planted.MODEL, task, split)
    X = np.hstack([read_npy(folder / f"layer_{i:02d}.npy") for i in range(COMMON["layers"])]).astype(np.float64)
    rows = (bench[0].task(task) / split / "rows.jsonl").read_text().splitlines()
    key = "target" if task == "number" else "label"
    return X, np.array([json.loads(row)[key] for row in rows])


@pytest.fixture(scope="module")
def subset(bench):
    """The subset of ``copies``, to be changed by tests."""
    return robustness.read_subset(make_params("copies"), bench[0], planted.MODEL, "copies", "elimination")


def test_the_search_finds_the_carriers(bench):
    """What the tests below rest on."""
    for task, truth in bench[1].items():
        found = found_of(bench, task)
        assert found["reason"] is None and found["size"] == K
        assert truth.covered(found["members"]["neurons"]) == K


# --- is every member needed?


@pytest.mark.parametrize("task", SETTINGS)
def test_every_carrier_is_needed(bench, task):
    found, setting = found_of(bench, task), SETTINGS[task]
    members = found["members"]
    assert members["losses"] == K and members["undecided"] == members["gains"] == 0
    assert members["by_chance"] == pytest.approx(0.05 * K)
    assert members["change"] == pytest.approx([-setting.cost()] * K, abs=0.02)  # the same for each, by symmetry
    for low, change, high in zip(members["low"], members["change"], members["high"], strict=True):
        assert low < change < high < 0
    worst = int(np.argmin(members["change"]))
    assert members["largest"] == {"neuron": members["neurons"][worst], "change": members["change"][worst]}
    assert min(members["rise"]) > 0 and members["gap"] <= robustness.MEMBER_GAP


@pytest.mark.parametrize("task", ["single", "number"])
def test_without_a_member_as_scikit_learn_fits_it(bench, task):
    members = found_of(bench, task)["members"]
    train, judge = arrays(bench, task, "train"), arrays(bench, task, "judge")

    def score(neurons: list[int]) -> float:
        (X, y), (X2, y2) = ((s[0][:, neurons], s[1]) for s in (train, judge))
        mean, std = X.mean(0), X.std(0)
        if task == "number":
            model = Ridge(alpha=len(y) * L2).fit((X - mean) / std, y)
        else:
            model = LogisticRegression(C=1 / (len(y) * L2), tol=1e-8, max_iter=1000).fit((X - mean) / std, y)
        return float(model.score((X2 - mean) / std, y2))

    whole = score(members["neurons"])
    assert members["judge"] == pytest.approx(whole, abs=1e-3)
    for neuron, change in zip(members["neurons"], members["change"], strict=True):
        without = score([n for n in members["neurons"] if n != neuron])
        assert change == pytest.approx(without - whole, abs=1e-3)


def test_an_exact_copy_is_not_needed(bench, subset):
    """S and a copy of its first neuron: that one and the copy can each go, the others cannot."""
    truth, kept = bench[1]["copies"], subset.data.kept
    first = kept[subset.fitted.neurons[0]]
    group = next(g for g in truth.groups if first in g)
    copy = np.searchsorted(kept, next(n for n in group if n != first))
    fitted = subset.given.fit(np.append(subset.fitted.neurons, copy), subset.fitted)
    found = robustness.members(replace(subset, fitted=fitted), QUIET)
    assert found["losses"] == K - 1 and found["undecided"] == 2 and found["gains"] == 0
    pair = [0, K]
    assert np.abs(found["change"][pair]).max() < 0.002 and np.abs(found["change"][1:K]).min() > 0.05
    # a half each costs half the penalty of one that has all the weight, and the fit is the same
    weight = found["rise"][pair]
    assert (weight > 0).all() and weight.max() < 0.2 * found["rise"][1:K].min()


def test_a_set_of_one_neuron_has_none_to_leave_out(subset):
    alone = subset.given.fit(subset.fitted.neurons[:1], subset.fitted)
    found = robustness.members(replace(subset, fitted=alone), QUIET)
    assert found["change"].tolist() == [0] and found["losses"] == found["gains"] == 0 and found["undecided"] == 1


def test_members_without_the_close_gap(subset, monkeypatch):
    """Where a fit does not come to the close gap, that of the params is taken, and told."""
    subset = replace(subset, given=replace(subset.given, gap=1e-4))
    fit = type(subset.given).fit

    def fails(given, neurons, near):
        if given.gap < 1e-4:
            raise SolverError("not reached")
        return fit(given, neurons, near)

    def all_fail(X, fits):
        raise SolverError("not reached")

    monkeypatch.setattr(type(subset.given), "fit", fails)
    monkeypatch.setattr(robustness, "together", all_fail)
    found = robustness.members(subset, QUIET)
    assert found["losses"] == K and robustness.MEMBER_GAP < found["gap"] <= 1e-4


# --- is it this set?


@pytest.mark.parametrize("task", ["single", "number"])
def test_halves_of_train_find_the_same_carriers(bench, task):
    found, n = found_of(bench, task)["halves"], found_of(bench, task)["n_kept"]
    assert found["reason"] is None and len(found["rows"]) == 4
    assert [sum(found["rows"][:2]), sum(found["rows"][2:])] == [COMMON["rows"][0]] * 2
    assert found["frequency"] == [1.0] * K and found["ever"] == K and found["passing"] == 4
    assert sorted(found["chosen"]["neurons"]) == sorted(found_of(bench, task)["members"]["neurons"])
    assert found["chosen"]["times"] == [4] * K
    assert found["jaccard"] == found["jaccard_all"] == found["jaccard_subset"] == 1
    assert found["ever_by_chance"] == pytest.approx(n * (1 - (1 - K / n) ** 4))
    assert found["chance"] == pytest.approx(chance_overlap(K, K, n))
    assert all(score == pytest.approx(found_of(bench, task)["judge"], abs=2e-3) for score in found["sets"]["judge"])
    again = found_of(bench, task)["again"]
    assert again["jaccard"] == 1 and again["passes"]
    assert again["objective"] == pytest.approx(again["objective_subset"], rel=2e-4)


def test_halves_by_hand(bench, subset, monkeypatch):
    """Sets that the four halves are made to give; frequencies and overlaps from them on paper."""
    S = subset.fitted.neurons
    others = np.setdiff1d(np.arange(subset.given.neurons), S)
    sets = [S, np.append(S[:2], others[:2]), np.append(S[:2], others[:2]), others[2:6]]
    turn = iter(sets)

    def searched(subset, begun):
        _, X, y, probe = begun.args
        assert len(X) == len(y) and np.abs(X.mean(0)).max() < 1e-3  # a half is standardised by itself
        assert X.std(0) == pytest.approx(1, abs=1e-3) and probe is subset.given.full.probe
        return Fitted(next(turn), probe), 1e-4

    monkeypatch.setattr(robustness, "_searched", searched)
    found = robustness.halves(subset, 4, [1], QUIET)
    assert found["frequency"].tolist() == [0.75, 0.75, 0.25, 0.25]
    assert found["ever"] == K + 2 + 4 and found["chosen"]["times"].sum() == 16
    assert found["jaccard"] == pytest.approx((2 / 6 + 0) / 2)
    assert found["jaccard_all"] == pytest.approx((2 / 6 + 2 / 6 + 0 + 1 + 0 + 0) / 6)
    assert found["jaccard_subset"] == pytest.approx((1 + 2 / 6 + 2 / 6 + 0) / 4)
    assert found["sets"]["judge"][0] == pytest.approx(subset.judged.value, abs=1e-3)
    assert found["sets"]["passes"] == [True, False, False, False] and found["passing"] == 1


def test_halves_are_complementary_and_share_no_file():
    files = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4])
    found = list(robustness.half_rows(files, None, 6, [1]))
    assert len(found) == 6
    for one, other in zip(found[::2], found[1::2], strict=True):
        assert sorted([*one, *other]) == list(range(9))
        assert not set(files[one]) & set(files[other])
        assert {len(set(files[one])), len(set(files[other]))} == {2, 3}
    again = list(robustness.half_rows(files, None, 6, [1]))
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    assert len({tuple(one) for one in found[::2]}) > 1
    assert list(robustness.half_rows(np.zeros(4, int), None, 2, [1])) == []


def test_pairs_between_the_halves_are_in_neither():
    """Six pairs of four files; any two files hold the pairs that are written beside them."""
    sides = np.array([[0, 1], [1, 2], [2, 3], [0, 3], [1, 1]])
    files = np.array([0, 1, 2, 3, 4, 4])
    inside = {(0, 1): [0, 4, 5], (1, 2): [1, 4, 5], (2, 3): [2], (0, 3): [3], (0, 2): [], (1, 3): [4, 5]}
    cuts = [[(0, 1), (2, 3)], [(0, 2), (1, 3)], [(0, 3), (1, 2)]]
    expected = {tuple(tuple(inside[half]) for half in order) for cut in cuts for order in (cut, cut[::-1])}
    found = [tuple(rows.tolist()) for rows in robustness.half_rows(files, sides, 200, [2])]
    assert set(zip(found[::2], found[1::2], strict=True)) == expected


def test_a_half_with_one_label_is_told(bench, subset):
    """Three files, the rows of the second class all in one of them: a cut leaves a half without it."""
    data = subset.data
    files = np.where(data.y["train"] == 1, 0, np.arange(len(data.y["train"])) % 2 + 1)
    rows = replace(data.features.rows("train"), files=files)
    features = replace(data.features, _rows={**data.features._rows, "train": rows})
    found = robustness.halves(replace(subset, data=replace(data, features=features)), 2, [1], QUIET)
    assert "one label" in found["reason"]
    rows = replace(rows, files=np.zeros_like(files))
    features = replace(data.features, _rows={**data.features._rows, "train": rows})
    found = robustness.halves(replace(subset, data=replace(data, features=features)), 2, [1], QUIET)
    assert "single file" in found["reason"]


def test_chance_by_layer_by_enumeration():
    """One of three neurons in the first layer and two of four in the second: all pairs of sets."""
    sets = [{a, *b} for a in range(3) for b in itertools.combinations(range(3, 7), 2)]
    mean = np.mean([len(a & b) / len(a | b) for a in sets for b in sets])
    assert robustness.chance_overlap_by_layer([1, 2], [3, 4]) == pytest.approx(mean)
    assert robustness.chance_overlap_by_layer([5], [40]) == pytest.approx(chance_overlap(5, 5, 40))
    assert robustness.chance_overlap_by_layer([5, 0], [5, 9]) == pytest.approx(1)


# --- is there another one?


def test_as_many_disjoint_sets_as_there_are_copies(bench):
    """S, a set of copies, another one; then only noise is left."""
    found, truth = found_of(bench, "copies")["disjoint"], bench[1]["copies"]
    assert found["passing"] == 3 and found["stopped"] == "failed" and len(found["sets"]) == 4
    for entry in found["sets"][:3]:
        assert truth.covered(entry["neurons"]) == K and entry["passes"]
        assert entry["judge"] == pytest.approx(found["sets"][0]["judge"], abs=2e-3)
    neurons = [n for entry in found["sets"] for n in entry["neurons"]]
    assert len(set(neurons)) == len(neurons) == 4 * K and not set(found["sets"][3]["neurons"]) & truth.planted
    assert found["sets"][3]["difference"] == pytest.approx(-0.4, abs=0.1) and not found["sets"][3]["passes"]
    assert found["sets"][0]["neurons"] == found_of(bench, "copies")["members"]["neurons"]


def test_disjoint_sets_end_where_they_must(bench, subset):
    assert found_of(bench, "single")["disjoint"]["passing"] == 1
    found = robustness.disjoint(subset, 1, QUIET)
    assert (found["passing"], found["stopped"], len(found["sets"])) == (2, "limit", 2)
    large = subset.given.fit(np.arange(subset.given.neurons // 2 + 1), subset.given.full)
    found = robustness.disjoint(replace(subset, fitted=large), 1, QUIET)
    assert (found["passing"], found["stopped"]) == (1, "neurons")


def test_the_rule_is_that_of_the_search(bench):
    for task in SETTINGS:
        curves = read_json(bench[0].search(planted.MODEL, task) / "curves.json")
        curve, found = curves["curves"]["elimination"], found_of(bench, task)
        at = curve["sizes"].index(curve["n_minimal"])
        first = found["disjoint"]["sets"][0]
        assert first["passes"] and found["judge"] == first["judge"] == curve["judge"][at]
        assert (first["difference"], first["lower"]) == (curve["difference"][at], curve["lower"][at])
        assert first["baseline_lower"] == curve["baseline_lower"][at]
        assert found["reference"] == curves["reference"]["judge"] and found["margin"] == SETTINGS[task].margin


# --- labels shuffled


@pytest.mark.parametrize("task", SETTINGS)
def test_shuffled_labels_are_not_above_chance(bench, task):
    found = found_of(bench, task)["shuffled"]
    assert not found["above_chance"] and found["p"] > robustness.LEVEL
    assert found["judge"] == pytest.approx(found["chance"], abs=0.03)
    assert found["train"] > found["judge"] + 0.005  # what is fitted to chance


def test_labels_that_are_not_shuffled_are_far_above_chance(bench, subset, monkeypatch):
    """The question can be answered with yes."""

    class Same:
        def __init__(self) -> None:
            self.rng, self.calls = np.random.Generator(np.random.PCG64(1)), 0

        def permutation(self, values):
            self.calls += 1
            return values if self.calls <= 2 else self.rng.permutation(values)

    monkeypatch.setattr(robustness.np.random, "default_rng", lambda seed: Same())
    found = robustness.shuffled(subset, [1], QUIET)
    assert found["above_chance"] and found["p"] == pytest.approx(1 / (1 + robustness.PERMUTATIONS))
    assert found["judge"] > 0.9 and found["chance"] == pytest.approx(0.5, abs=0.01)


def test_a_fit_that_does_not_come_to_its_gap_is_made_again_with_a_looser_one(subset):
    tried = []

    def begun(gap: float):
        tried.append(gap)
        if gap < robustness.LOOSE:
            raise SolverError("not reached")
        return replace(subset.given, gap=gap)

    fitted, gap = robustness._searched(subset, begun)
    assert tried == [subset.given.gap, robustness.LOOSE] and gap == robustness.LOOSE and len(fitted.neurons) == K
    with pytest.raises(SolverError):
        robustness._searched(replace(subset, given=replace(subset.given, gap=robustness.LOOSE)), lambda gap: begun(0.0))


# --- the steps of elimination


def test_larger_steps_above_a_size(subset, monkeypatch):
    """From all neurons to 12, above which a third may go at a time, and no further at such a step."""
    sizes = []
    fit = type(subset.given).fit
    monkeypatch.setattr(
        type(subset.given), "fit", lambda given, n, near: (sizes.append(len(n)), fit(given, n, near))[1]
    )
    n = subset.given.neurons
    elimination.begin(replace(subset.given, coarse_above=12))(8, subset.given.full)
    steps = [n, *sizes, 8]
    large = [s for s in steps if s >= 12]
    assert large[-1] == 12 and all(b == max(12, -(-2 * a // 3)) for a, b in itertools.pairwise(large))
    assert steps[len(large) :] == [11, 10, 9, 8]
    sizes.clear()
    elimination.begin(subset.given)(8, subset.given.full)
    assert all(a / b <= 1.1 or a - b == 1 for a, b in itertools.pairwise([n, *sizes, 8]))


# --- the run function and its file


def test_the_folder_is_whole_and_repeats(bench):
    paths = bench[0]
    folder = paths.robustness(planted.MODEL, "single")
    check_files(folder)
    inputs = read_manifest(folder)["inputs"]
    assert not [name for name in inputs if name.endswith("/test")]
    assert any("search" in name for name in inputs)
    assert any(planted.TWIN in name for name in inputs)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    check_robustness(make_params("single"), paths, model=planted.MODEL, task="single")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_without_a_minimum_nothing_is_read(bench, tmp_path, monkeypatch):
    params, paths = make_params("single"), Paths("planted", tmp_path)
    shutil.copytree(bench[0].root, paths.root)
    curves = read_json(paths.search(planted.MODEL, "single") / "curves.json")
    curves["curves"]["elimination"] |= {"n_minimal": None, "reason": "dev too small"}
    with Writer(paths.search(planted.MODEL, "single"), "subsets", {}) as out:
        out.json("curves.json", curves)
    monkeypatch.setattr(robustness, "load_row", lambda *given: pytest.fail("the activations were loaded"))
    check_robustness(params, paths, model=planted.MODEL, task="single")
    found = read_json(paths.robustness(planted.MODEL, "single") / "robustness.json")
    expected = {"model": planted.MODEL, "task": "single", "headline": "elimination", "reason": "dev too small"}
    assert found == expected


def test_a_ranking_is_asked_for_its_members_alone(bench, subset):
    for found in (
        robustness.again(replace(subset, begin=None), QUIET),
        robustness.halves(replace(subset, begin=None), 2, [1], QUIET),
        robustness.disjoint(replace(subset, begin=None), 2, QUIET),
        robustness.shuffled(replace(subset, begin=None), [1], QUIET),
    ):
        assert list(found) == ["reason"] and "ranking" in found["reason"]


def test_what_there_is_nothing_to_ask_of(bench):
    with pytest.raises(robustness.RobustnessError, match=r"write \{resamples: 10, disjoint: 5\}"):
        check_robustness(make_params("single", robustness=None), bench[0], model=planted.MODEL, task="single")
    with pytest.raises(robustness.RobustnessError, match="untrained twin"):
        check_robustness(make_params("single"), bench[0], model=planted.TWIN, task="single")


@pytest.mark.parametrize("found", [{"resamples": 3, "disjoint": 1}, {"resamples": 0, "disjoint": 1}, {"resamples": 2}])
def test_settings_that_are_refused(found):
    with pytest.raises(ValueError, match=r"robustness"):
        make_params("single", robustness=found)
