"""The whole chain of rules on benchmarks whose answer is known (tests/planted.py), with the penalties of params.yaml:
few seeds and 300 to 1,000 neurons.

benchmarks/planted_truth.py runs twenty seeds and more settings; docs/planted-truth.md keeps its tables.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import replace

import numpy as np
import planted
import pytest

from neurosieve.artifacts import Paths, read_json
from neurosieve.subsets import search_subsets

SMALL = {"width": 250, "rows": (2000, 1000, 7000, 2000)}
SETTINGS = [
    planted.Setting(carriers=5, copies=2, noise=0.15, **SMALL),
    planted.Setting(carriers=3, copies=0, noise=0.1, **SMALL | {"margin": 0.03}),
    planted.Setting(carriers=8, copies=1, noise=0.02, correlation=0.99, **SMALL),
]
THRESHOLD = 0.3
CHANGES = {
    "probes": {"bootstrap": 300},
    "redundancy": {"rows": 2000, "thresholds": [THRESHOLD], "cka_batches": 1},
    "subsets": {"control_ratio": 4.0, "random_draws": 2},
}
# the search alone, without what its minimum does not need
SEARCH = {
    "probes": {"bootstrap": 300, "rankings": ["lca"]},
    "subsets": {"rankings": ["lca"], "pipeline": None, "control_ratio": 4.0, "random_draws": 2},
}


def params_of(setting: planted.Setting, seed: int = 0, **changes):
    return planted.make_params(setting, ["task"], seed, **CHANGES | changes)


def name(setting: planted.Setting) -> str:
    return f"{setting.carriers}x{setting.copies + 1}"


@pytest.fixture(scope="module", params=list(enumerate(SETTINGS)), ids=lambda p: name(p[1]))
def bench(request, tmp_path_factory):
    seed, setting = request.param
    params, paths = params_of(setting, seed), Paths("planted", tmp_path_factory.mktemp("build"))
    truth = planted.build(paths, setting, "task", seed)
    planted.run_probes(params, paths, "task")
    planted.run_subsets(params, paths, "task")
    yield params, paths, truth, planted.measure(params, paths, truth, "task")
    shutil.rmtree(paths.root)


@pytest.mark.parametrize("setting", SETTINGS, ids=name)
def test_every_carrier_is_worth_three_margins(setting):
    assert setting.cost() >= 3 * setting.margin
    assert setting.cost() == pytest.approx(setting.accuracy() - setting.accuracy(setting.carriers - 1))


def test_the_best_accuracy_is_what_a_probe_on_many_rows_has():
    setting = SETTINGS[0]
    for carriers in (1, 4, 5):
        found = planted.fitted_accuracy(setting, carriers, rows=100_000)
        assert found == pytest.approx(setting.accuracy(carriers), abs=0.005)


def test_the_fewest_carriers_that_a_margin_allows():
    """A number: of k carriers each is worth 1 / (k (1 + noise)) of R2."""
    number = planted.Setting(carriers=10, copies=0, noise=0.25, classes=0, margin=0.2)
    assert number.fewest() == 8  # two carriers cost 0.16, three 0.24
    assert replace(number, margin=0.07).fewest() == 10
    assert replace(number, margin=0.9).fewest() == 1
    weak = planted.Setting(carriers=64, copies=0, noise=0.5, margin=0.03, rows=(6000, 3000, 12000, 3000))
    assert weak.accuracy() - weak.accuracy(56) < 0.03 <= weak.accuracy() - weak.accuracy(55)
    assert weak.fewest() == 56


def test_the_fewest_that_judge_can_tell():
    """The signs of the sums of j and of all k normal carriers differ with probability acos(sqrt(j / k)) / pi."""
    weak = planted.Setting(carriers=64, copies=0, noise=0.5, margin=0.03, rows=(6000, 3000, 12000, 3000))
    for carriers in (40, 57):
        loss = weak.accuracy() - weak.accuracy(carriers)
        differ = math.acos(math.sqrt(carriers / 64)) / math.pi
        want = 1.645 * math.sqrt((differ - loss**2) / 12000)
        assert planted.half_width(weak, carriers, 50_000) == pytest.approx(want, rel=0.1)
    assert 56 <= weak.fewest_claimed() <= 58
    assert replace(weak, rows=(6000, 3000, 1500, 3000)).fewest_claimed() > weak.fewest_claimed()


def test_unequal_classes_and_heavy_tails():
    rng = np.random.default_rng(0)
    unequal = planted.Setting(carriers=6, copies=0, noise=0.1, share=0.9)
    y = unequal.label(unequal.draw(rng, 20_000, 6, heavy=False), rng)
    assert unequal.metric == "macro_f1" and np.bincount(y) / len(y) == pytest.approx([0.9, 0.1], abs=0.01)
    for heavy, beyond in ((False, 6e-5), (True, 0.0048)):  # of t4, 4 sqrt(2) is exceeded so often, on either side
        X = unequal.draw(rng, 20_000, 10, heavy=heavy)
        assert X.std() == pytest.approx(1, abs=0.03) and (np.abs(X) > 4).mean() == pytest.approx(beyond, abs=3e-4)


def test_the_minimum_is_the_number_of_carriers(bench):
    """By elimination, and along an order that knows of copies."""
    _, _, truth, found = bench
    k = truth.setting.carriers
    assert found["status"] == found["test_status"] == "supported" and found["confirmed"]
    assert not found["dev_too_small"] and not found["weak"]
    for order in ("elimination", "greedy"):
        curve = found["curves"][order]
        assert curve["n_minimal"] in (k, k + 1), order
        assert curve["least"] <= curve["n_minimal"] and curve["low"] <= curve["n_minimal"] <= curve["high"]
        assert curve["planted"] >= 0.95 and curve["covered"] == k, order


def test_orders_that_do_not_know_of_copies_take_them_along(bench):
    """Where every neuron is scored by itself copies of the best carrier stand before the last carrier, and the weights
    of a ridge probe are shared by a carrier and its copies."""
    _, _, truth, found = bench
    s = truth.setting
    for order in ("probeless", "lca", "pipeline"):
        curve = found["curves"][order]
        assert s.carriers <= curve["n_minimal"] <= s.carriers * (s.copies + 1), order
        assert curve["covered"] == s.carriers and curve["planted"] >= 0.95
    assert (found["curves"]["probeless"]["n_minimal"] > s.carriers + 1) == (s.copies > 0)


def test_random_neurons_of_the_same_number_are_far_below(bench):
    _, _, truth, found = bench
    assert "elimination" in found["random"]
    for order, random in found["random"].items():
        assert found["curves"][order]["test"] - random >= 5 * truth.setting.margin


def test_the_reference_is_near_the_best_there_is(bench):
    _, _, truth, found = bench
    assert found["reference"] == pytest.approx(truth.setting.accuracy(), abs=0.02)


def test_clusters_are_what_was_planted(bench):
    params, paths, truth, _ = bench
    assert planted.rand_index(params, paths, truth, "task", THRESHOLD) == 1


@pytest.mark.parametrize("rows", [600, 1200])
def test_few_train_rows_do_not_make_the_minimum_too_small(rows, tmp_path):
    """12 carriers among 300 neurons of heavy tails. All of them score 4 points and more below the 12: compared with
    that, 7 to 10 carriers would do."""
    setting = planted.Setting(
        carriers=12, copies=0, noise=0.1, heavy="noise", width=75, rows=(rows, 600, 10000, 600), margin=0.02
    )
    assert setting.fewest() == 12
    params, paths = planted.make_params(setting, ["task"], 0, **SEARCH), Paths("planted", tmp_path)
    truth = planted.build(paths, setting, "task", 0)
    assert planted.run_probes(params, paths, "task") == "supported"
    search_subsets(params, paths, model=planted.MODEL, task="task")
    found = read_json(paths.search(planted.MODEL, "task") / "curves.json")
    assert found["layer_reference"]["judge"] < found["reference"]["judge"] - 0.04
    frozen = read_json(paths.search(planted.MODEL, "task") / "frozen.json")["sets"]
    for name in ("elimination", "lca"):
        curve, chosen = found["curves"][name], frozen[f"subset-{name}"]["neurons"]
        assert curve["n_minimal"] in (12, 13), name
        assert truth.covered(chosen) == 12


def test_few_judge_rows_claim_no_minimum(tmp_path):
    """The search says itself that so few rows cannot tell."""
    setting = replace(SETTINGS[0], rows=(2000, 1000, 300, 300))
    params, paths = params_of(setting), Paths("planted", tmp_path)
    planted.build(paths, setting, "task", 0)
    assert planted.run_probes(params, paths, "task") == "supported"
    search_subsets(params, paths, model=planted.MODEL, task="task")
    found = read_json(paths.search(planted.MODEL, "task") / "curves.json")
    assert found["dev"]["too_small"] and found["dev"]["rows_needed"] > 300
    for order in (*params.subsets.rankings, "pipeline"):
        curve = found["curves"][order]
        assert curve["n_minimal"] is None and curve["reason"] == "dev too small" and curve["n_estimate"]


@pytest.mark.parametrize(("labels", "status"), [("permuted", "at chance"), ("lookup", "surface")])
def test_what_is_not_there_is_not_supported(labels, status, tmp_path):
    """Labels in random order, and labels that the token alone tells though the carriers tell them as well."""
    setting = SETTINGS[0]
    paths = Paths("planted", tmp_path)
    planted.build(paths, setting, "task", 0, labels)
    assert planted.run_probes(params_of(setting), paths, "task") == status
    row = read_json(paths.status() / "status.json")["rows"][f"{planted.MODEL}/task"]
    majority = row["comparisons"]["majority"]
    assert (majority["p"] < 0.05) == (labels == "lookup")
    # with types that train lacks there is nothing to look up
    assert row["status_unseen"] == ("supported" if labels == "lookup" else "at chance")
