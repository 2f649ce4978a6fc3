"""The whole chain of rules on benchmarks whose answer is known (tests/planted.py): few seeds and 1,000 neurons.

benchmarks/planted_truth.py runs twenty seeds and more settings; docs/planted-truth.md keeps its tables.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import planted
import pytest

from neurosieve.artifacts import Paths, read_json
from neurosieve.subsets import search_subsets

SMALL = {"width": 250, "rows": (2000, 1000, 5000, 2000)}
SETTINGS = [
    planted.Setting(carriers=5, copies=2, noise=0.15, **SMALL),
    planted.Setting(carriers=3, copies=0, noise=0.1, **SMALL | {"margin": 0.03}),
    planted.Setting(carriers=8, copies=1, noise=0.02, correlation=0.99, **SMALL),
]
THRESHOLD = 0.3
CHANGES = {
    "probes": {"bootstrap": 300},
    "redundancy": {"rows": 2000, "thresholds": [THRESHOLD], "cka_batches": 1},
    "subsets": {"headline": "greedy", "control_ratio": 4.0, "random_draws": 2},
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


def test_the_minimum_is_the_number_of_carriers(bench):
    """Along an order that knows of copies, after clustering, along LCA on a sparse probe, and by elimination."""
    _, _, truth, found = bench
    k = truth.setting.carriers
    assert found["status"] == found["test_status"] == "supported" and found["confirmed"]
    assert not found["dev_too_small"]
    for order in ("greedy", "pipeline", "lca", "elimination"):
        curve = found["curves"][order]
        assert curve["n_minimal"] in (k, k + 1), order
        assert curve["low"] <= curve["n_minimal"] <= curve["high"]
        assert curve["planted"] >= 0.95 and curve["covered"] == k, order


def test_an_order_that_does_not_know_of_copies_takes_them_along(bench):
    """Every neuron is scored by itself, so copies of the best carrier stand before the last carrier."""
    _, _, truth, found = bench
    s, curve = truth.setting, found["curves"]["probeless"]
    assert s.carriers <= curve["n_minimal"] <= s.carriers * (s.copies + 1)
    assert (curve["n_minimal"] > s.carriers + 1) == (s.copies > 0)
    assert curve["covered"] == s.carriers and curve["planted"] >= 0.95


def test_random_neurons_of_the_same_number_are_far_below(bench):
    _, _, truth, found = bench
    assert "greedy" in found["random"]
    for order, random in found["random"].items():
        assert found["curves"][order]["test"] - random >= 5 * truth.setting.margin


def test_the_reference_is_near_the_best_there_is(bench):
    _, _, truth, found = bench
    assert found["reference"] == pytest.approx(truth.setting.accuracy(), abs=0.02)


def test_clusters_are_what_was_planted(bench):
    params, paths, truth, _ = bench
    assert planted.rand_index(params, paths, truth, "task", THRESHOLD) == 1


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
