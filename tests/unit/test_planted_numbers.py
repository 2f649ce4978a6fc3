"""The whole chain of rules, up to the leaderboard and an export, on numbers made from a few carriers (planted.py)."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import planted
import pytest
from planted import MODEL, TWIN
from scipy import stats

from neurosieve.artifacts import Paths, Writer, read_json, read_npy
from neurosieve.concepts import ablate_neurons, describe_neurons
from neurosieve.leaderboard import build_leaderboard, table
from neurosieve.probes import fit_controls
from neurosieve.probes.features import read_rows
from neurosieve.probes.metrics import NUMBER, report
from neurosieve.redundancy import measure_redundancy
from neurosieve.results import load_results
from neurosieve.subsets import reproduce_published, score_test, search_subsets, transfer_subsets
from neurosieve.use import Neurons, export_neurons

SMALL = {"width": 100, "rows": (1200, 600, 4000, 1200), "classes": NUMBER, "margin": 0.03}
SETTINGS = [
    planted.Setting(carriers=5, copies=2, noise=0.15, **SMALL),
    planted.Setting(carriers=3, copies=0, noise=0.1, **SMALL | {"margin": 0.08}),
    planted.Setting(carriers=8, copies=1, noise=0.02, correlation=0.99, **SMALL | {"margin": 0.04}, unit="sequence"),
]
CHANGES = {
    "probes": {"bootstrap": 300, "rankings": ["lca", "greedy", "correlation", "l1-path", "probeless"]},
    "redundancy": {"rows": 2000, "thresholds": [0.3], "cka_batches": 1},
    "subsets": {"rankings": ["probeless", "lca", "greedy"], "control_ratio": 4.0, "random_draws": 2},
}


def params_of(setting: planted.Setting, seed: int = 0, **changes):
    return planted.make_params(setting, ["task"], seed, planted.SPARSE, **CHANGES | changes)


@pytest.fixture(scope="module", params=list(enumerate(SETTINGS)), ids=lambda p: f"{p[1].carriers}x{p[1].copies + 1}")
def bench(request, tmp_path_factory):
    seed, setting = request.param
    params, paths = params_of(setting, seed), Paths("planted", tmp_path_factory.mktemp("build"))
    truth = planted.build(paths, setting, "task", seed)
    planted.run_probes(params, paths, "task")
    planted.run_subsets(params, paths, "task")
    params.subsets.rankings.remove("probeless")  # planted.measure reads those that are there
    yield params, paths, truth, planted.measure(params, paths, truth, "task")
    shutil.rmtree(paths.root)


def test_the_best_r2_is_what_a_probe_has(bench):
    _, _, truth, found = bench
    setting = truth.setting
    assert found["reference"] == pytest.approx(setting.accuracy(), abs=0.02)
    assert setting.cost() == pytest.approx(1 / (setting.carriers * (1 + setting.noise)))


def test_the_minimum_is_the_number_of_carriers(bench):
    _, _, truth, found = bench
    k = truth.setting.carriers
    assert found["status"] == found["test_status"] == "supported" and found["confirmed"]
    assert not found["dev_too_small"]
    for order in ("greedy", "pipeline", "lca", "elimination"):
        curve = found["curves"][order]
        assert curve["n_minimal"] in (k, k + 1), order
        assert curve["low"] <= curve["n_minimal"] <= curve["high"]
        assert curve["covered"] == k, order
    for order, random in found["random"].items():
        assert found["curves"][order]["test"] - random >= 5 * truth.setting.margin


def test_rankings_of_classes_are_left_out_and_named(bench):
    _, paths, _, _ = bench
    probes = read_json(paths.probes(MODEL, "task") / "probes.json")
    assert probes["rankings"] == ["lca", "greedy", "correlation", "l1-path"]
    assert probes["not_applicable"] == ["probeless"]
    assert read_json(paths.probes(MODEL, "task") / "agreement.json")["rankings"] == probes["rankings"]
    assert "probeless" not in read_json(paths.search(MODEL, "task") / "curves.json")["curves"]


def test_scores_of_test_are_those_of_the_stored_numbers(bench):
    _, paths, truth, _ = bench
    scores = read_json(paths.scores(MODEL, "task") / "scores.json")
    stored = read_npy(paths.scores(MODEL, "task") / "predictions_test.npy")
    assert stored.dtype == np.float32
    rows = (paths.task("task") / "test" / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    y = np.array([float(line.partition('"target": ')[2].split(",")[0].rstrip("}")) for line in rows])
    for name, entry in (("all", scores["sets"]["all"]), ("baseline-majority", scores["baselines"]["majority"])):
        want = report(y, stored[scores["predictions"].index(name)], NUMBER, [])
        assert {k: entry[k] for k in want} == want
    assert scores["sets"]["all"]["low"] < scores["sets"]["all"]["r2"] < scores["sets"]["all"]["high"]
    assert "accuracy" not in scores["sets"]["all"]
    selectivity = scores["selectivity"]
    if truth.setting.unit == "token":
        assert selectivity["metric"] == "r2" and selectivity["low"] > 0.5
        assert selectivity["task"] - selectivity["control_mean"] == pytest.approx(selectivity["selectivity"])
        control = read_json(paths.controls(MODEL, "task") / "controls.json")
        assert control["description_length"] is None and "number" in control["reason"]
        assert all(-1e-3 <= fit["train_r2"] < 1 for fit in control["control"]["fits"])
    else:
        assert selectivity is None


def test_numbers_in_random_order_are_at_chance(tmp_path):
    setting, paths = SETTINGS[0], Paths("planted", tmp_path)
    planted.build(paths, setting, "task", 0, "permuted")
    assert planted.run_probes(params_of(setting), paths, "task") == "at chance"
    row = read_json(paths.status() / "status.json")["rows"][f"{MODEL}/task"]
    assert row["sample"]["design_effect"] is None and row["sample"]["score"] < 0.01
    assert row["comparisons"]["majority"]["p"] > 0.05


def test_few_judge_rows_claim_no_minimum(tmp_path):
    setting = replace(SETTINGS[0], rows=(1200, 600, 300, 300), margin=0.005)
    params, paths = params_of(setting), Paths("planted", tmp_path)
    planted.build(paths, setting, "task", 0)
    assert planted.run_probes(params, paths, "task") == "supported"
    search_subsets(params, paths, model=MODEL, task="task")
    found = read_json(paths.search(MODEL, "task") / "curves.json")
    assert found["dev"]["too_small"] and found["dev"]["rows_needed"] > 300
    assert found["curves"]["lca"]["n_minimal"] is None and found["curves"]["lca"]["n_estimate"]


# --- up to the leaderboard -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Two tasks of numbers and one of classes, of which the transfer is measured too."""
    folder = tmp_path_factory.mktemp("board")
    numbers = planted.Setting(3, 0, 0.1, **SMALL | {"width": 40, "rows": (800, 400, 1200, 800), "margin": 0.1})
    tasks = {"tokens": numbers, "texts": replace(numbers, unit="sequence"), "classes": replace(numbers, classes=2)}
    params = planted.make_params(numbers, list(tasks), 1, planted.SPARSE, **CHANGES | {
        "concepts": {"ablation": None, "faithfulness": None, "permutations": 60},
        "run": {"models": [MODEL, TWIN], "tasks": list(tasks), "protocols": ["strict", "published"]},
        "published": {"seeds": [1, 2], "token_epochs": 2, "grid": [0.01], "thresholds": [None], "shares": [0.1, 0.5]},
    })  # fmt: skip
    params = params.model_copy(update={"subsets": params.subsets.model_copy(update={"transfer": True})})
    paths = Paths("planted", folder / "build")
    rows = list(params.prepare.tasks)
    for i, (task, setting) in enumerate(tasks.items()):
        planted.build(paths, setting, task, i)
        write_card(paths, task, setting)
    for task in rows:
        planted.run_probes(
            params.model_copy(update={"run": params.run.model_copy(update={"tasks": [task]})}), paths, task
        )
    planted.decide_status(params, paths)
    for model in (TWIN, MODEL):
        for task in rows:
            measure_redundancy(params, paths, model=model, task=task)
            search_subsets(params, paths, model=model, task=task)
    for model in (TWIN, MODEL):
        for task in rows:
            fit_controls(params, paths, model=model, task=task)
            score_test(params, paths, model=model, task=task)
            describe_neurons(params, paths, model=model, task=task)
            ablate_neurons(params, paths, model=model, task=task)
            reproduce_published(params, paths, model=model, task=task)
        transfer_subsets(params, paths, model=model)
    build_leaderboard(params, paths)
    return params, paths, folder


def write_card(paths: Paths, task: str, setting: planted.Setting) -> None:
    """The card with all its keys, as prepare writes them."""
    card = read_json(paths.task(task) / "card" / "card.json")
    number = not setting.classes
    split = {"rows": 800, "inputs": 800, "files": 20, "characters": 9, "packages": {"p": 800}, "seen_rows": None}
    split["labels"] = {name: 400 for name in card["classes"]}
    with Writer(paths.task(task) / "card", "prepare", {}) as out:
        out.json("card.json", card | {
            "kind": "made-up", "description": "Made up.", "splits": dict.fromkeys(planted.SPLITS, split), "types": None,
            "majority": None if number else {"class": "class-0", "share": dict.fromkeys(planted.SPLITS, 0.5)},
            "target": {"mean": 40.0, "std": 5.5, "min": 20.0, "max": 60.0, "splits": {}} if number else None,
            "licences": {}, "left_out": {}, "short": {},
        })  # fmt: skip


def test_a_row_of_numbers_stands_on_the_leaderboard(board):
    _, paths, _ = board
    cells = {(r["model"], r["task"], r["protocol"]): r for r in table.read_csv(
        (paths.leaderboard() / "leaderboard.csv").read_text(encoding="utf-8")
    )}  # fmt: skip
    for task in ("tokens", "texts"):
        row = cells[MODEL, task, "strict"]
        assert row["metric"] == "r2" and row["status"] == "supported" and row["n_minimal"] == "3"
        assert float(row["oracle"]) == pytest.approx(10 / 11, abs=0.04) and float(row["oracle_spearman"]) > 0.9
        assert float(row["majority"]) == pytest.approx(0, abs=0.02) and "probeless" in row["note"]
        published = cells[MODEL, task, "published"]
        assert published["oracle"] == published["n_minimal"] == "" and "the target is a number" in published["note"]
        full = read_json(paths.leaderboard() / "rows" / f"{MODEL}__{task}.json")
        assert full["certified"]["classifier"]["outputs"] == 1
        assert full["test"]["oracle"]["spearman"] == pytest.approx(float(row["oracle_spearman"]), abs=1e-4)
        assert full["concepts"]["statistic"] == "spearman" and full["concepts"]["significant"] == 3
    assert cells[MODEL, "classes", "strict"]["oracle_spearman"] == ""
    assert cells[MODEL, "classes", "published"]["oracle"] != ""
    assert cells[TWIN, "texts", "strict"]["status"] == "at chance"
    twin = read_json(paths.leaderboard() / "rows" / f"{TWIN}__texts.json")
    assert any("not above the mean on judge" in note for note in twin["notes"])


def test_neurons_are_described_by_spearmans_correlation(board):
    _, paths, _ = board
    for task in ("tokens", "texts"):
        y = read_rows(paths, task, "judge").labels
        found = read_json(paths.concepts(MODEL, task) / "concepts.json")
        assert len(found["neurons"]) == 3 and found["best_class_counts"] == {}
        for neuron in found["neurons"]:
            layer = np.load(paths.activations(MODEL, task, "judge") / f"layer_{neuron['layer']:02d}.npy")
            r = stats.spearmanr(layer[:, neuron["unit"]], y)[0]
            assert neuron["spearman"] == pytest.approx(r, abs=1e-12) and neuron["direction"] == np.sign(r)
            if task == "texts":
                assert neuron["null"]["spearman"] == neuron["spearman"] and neuron["spearman_unseen"] is None
            assert neuron["concept"] == "target" and "auroc" not in neuron and "auroc" not in neuron["null"]
            assert 0.01 < neuron["null"]["sd"] < 0.15 and abs(neuron["null"]["expected"]) < 0.05


def test_subsets_transfer_between_tasks_of_either_kind(board):
    """Neurons are neurons: on the task of the line they are refitted with its own target and metric."""
    _, paths, _ = board
    found = read_json(paths.transfer(MODEL) / "transfer.json")
    assert found["metric"] == {"tokens": "r2", "texts": "r2", "classes": "accuracy"}
    for target, source in (("tokens", "classes"), ("classes", "texts"), ("texts", "tokens")):
        assert found["matrix"][target][source]["judge"] is not None
    assert found["matrix"]["tokens"]["tokens"]["judge"] > 0.8


def test_the_results_are_read_as_figures(board):
    _, paths, folder = board
    shutil.copytree(paths.leaderboard(), folder / "results" / "planted")
    found = load_results(folder / "results", wide=True)
    assert found.loc[found.metric == "r2", "oracle_spearman"].notna().sum() == 4
    long = load_results(folder / "results")
    values = long[(long.task == "texts") & (long.figure == "test.oracle.spearman")].value
    assert len(values) == 2 and values.notna().all()


def test_an_export_predicts_the_numbers_of_the_benchmark(board, monkeypatch):
    params, paths, _ = board
    data = export_neurons(params, paths, model=MODEL, task="texts")
    neurons = Neurons.from_data(data)
    assert data["task"]["classes"] == [] and data["task"]["metric"] == "r2" and len(neurons) == 3
    folder = paths.activations(MODEL, "texts", "test")
    values = np.stack(
        [np.load(folder / f"layer_{a:02d}.npy")[:, b] for a, b in zip(neurons.layers, neurons.units, strict=True)],
        axis=1,
    )
    scores = read_json(paths.scores(MODEL, "texts") / "scores.json")
    stored = read_npy(paths.scores(MODEL, "texts") / "predictions_test.npy")
    np.testing.assert_allclose(neurons.predict(values), stored[scores["predictions"].index("subset-lca")], rtol=1e-5)
