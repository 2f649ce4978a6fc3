"""The neurons of one task on the others: planted carriers, scikit-learn as the judge, overlap by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from neurosieve.artifacts import Paths, Writer, check_files, read_json, read_manifest
from neurosieve.config import Params, load_params
from neurosieve.probes import intervals, metrics
from neurosieve.subsets import transfer_subsets
from neurosieve.subsets.curves import random_orders
from neurosieve.subsets.transfer import overlap

LAYERS, WIDTH, DRAWS, L2 = 2, 8, 2, 0.01
ROWS, FILES = {"train": 600, "tune": 300, "judge": 900}, {"train": 10, "tune": 10, "judge": 45}
# `sum` and `same` ask for the same two neurons, `other` for two more, `pair` whether the first two differ in u and v
CARRIERS = {"sum": [1, 9], "same": [1, 9], "other": [4, 12], "pair": [1, 9]}
SUBSETS = {"sum": [9, 1], "same": [1, 9, 3], "other": [12, 4], "pair": None}
TASKS = list(CARRIERS)
CONSTANT = 3  # on `other` alone
REFERENCE, BASELINE = 0.95, 0.6  # of the made-up searches


def make_params() -> Params:
    raw = load_params("params.yaml").model_dump(mode="json")
    task = {"kind": "token-roles", "corpus": "wheels", "metric": "accuracy", "rows": {**ROWS, "test": 1}}
    raw["run"] |= {"models": ["m"], "tasks": TASKS}
    raw["models"] = {"m": {"path": "."}}
    raw["prepare"]["tasks"] = dict.fromkeys(TASKS, task)
    raw["probes"] |= {"bootstrap": 199, "penalties": [{"l1": 0.0, "l2": L2}], "pair_features": ["absdiff", "product"]}
    raw["probes"] |= {"rankings": ["lca"], "gap": 1e-6}
    margins = {"default": {"value": 0.05, "reason": "none of them is looked at"}}
    raw["subsets"] |= {"rankings": ["lca"], "headline": "lca", "random_draws": DRAWS, "margins": margins}
    return Params.model_validate(raw)


def columns(task: str, X: np.ndarray) -> np.ndarray:
    """(rows, neurons, columns per neuron) from the vectors."""
    if task != "pair":
        return X[:, :, None]
    u, v = X[: len(X) // 2], X[len(X) // 2 :]
    return np.stack([np.abs(u - v), u * v], axis=2)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """No test split lies there: whoever asks for one fails."""
    params, paths = make_params(), Paths("b", tmp_path_factory.mktemp("build"))
    rng = np.random.default_rng(2)
    data = {}
    for task, carriers in CARRIERS.items():
        for split, n in ROWS.items():
            X = rng.normal(size=(2 * n if task == "pair" else n, LAYERS * WIDTH)).astype(np.float32)
            if task == "other":
                X[:, CONSTANT] = 1
            shape = columns(task, X)[:, carriers, 0].sum(axis=1) + rng.normal(0, 0.4, n)
            y = (shape > (2.2 if task == "pair" else 0)).astype(int)
            data[task, split] = columns(task, X), y
            with Writer(paths.task(task) / split, "prepare", {}) as out:
                out.jsonl("inputs.jsonl", [{"id": i, "file": f"{i % FILES[split]}.py"} for i in range(len(X))])
                rows = [{"input": i, "label": c, "seen": True} for i, c in enumerate(y.tolist())]
                if task == "pair":
                    rows = [{"input": i, "input2": i + n, "label": c} for i, c in enumerate(y.tolist())]
                out.jsonl("rows.jsonl", rows)
            with Writer(paths.activations("m", task, split), "activations", {}) as out:
                for layer in range(LAYERS):
                    out.npy(f"layer_{layer:02d}.npy", X[:, layer * WIDTH : (layer + 1) * WIDTH])
                out.facts = {"layers": LAYERS, "width": WIDTH}
        card = {"unit": "pair" if task == "pair" else "token", "classes": ["no", "yes"], "metric": "accuracy"}
        with Writer(paths.task(task) / "card", "prepare", {}) as out:
            out.json("card.json", {**card, "scored_classes": [0, 1]})
        write_search(paths, task, data[task, "judge"][1])
    transfer_subsets(params, paths, model="m")
    return params, paths, data


def write_search(paths: Paths, task: str, y: np.ndarray) -> None:
    """What the probes and the search would leave: a reference wrong in one row of twenty, the subset, its draws."""
    reference = np.where(np.arange(len(y)) % 20 == 0, 1 - y, y)
    with Writer(paths.probes("m", task), "probes", {}) as out:
        out.json("probes.json", {"order": ["all", "layer-01"], "reference": "layer-01"})
        out.npy("predictions_judge.npy", np.stack([1 - y, reference]).astype(np.int16))
        out.npy(
            "kept.npy", np.setdiff1d(np.arange(LAYERS * WIDTH), [CONSTANT] if task == "other" else []).astype(np.int32)
        )
    neurons, sets, size = SUBSETS[task], {}, None
    if neurons is not None:
        size = len(neurons)
        sets["subset-lca"] = {"kind": "subset", "ranking": "lca", "claimed": task == "sum", "neurons": neurons}
        for draw, judge in enumerate((0.5, 0.7)):
            sets[f"random-{draw}-lca"] = {"kind": "random", "ranking": "lca", "judge": judge, "neurons": [0] * size}
    curve = {"sizes": [1, 2, 3], "judge": [0.7, 0.8, 0.9], "difference": [-0.25, -0.15, -0.05], "size": size}
    curve |= {"lower": [-0.3, -0.2, -0.1], "share_kept": 0.77}
    baselines = {"surface": {"tune": 0.6, "judge": BASELINE}}
    curves = {"metric": "accuracy", "headline": "lca", "baseline": "surface", "baselines": baselines}
    curves |= {"reference": {"set": "layer-01", "curve": None}, "penalties": [{"l1": 0.0, "l2": L2}]}
    with Writer(paths.search("m", task), "subsets", {}) as out:
        out.json("curves.json", {**curves, "curves": {"lca": curve}})
        out.json("frozen.json", {"sets": sets})


def fitted(data, task: str, neurons: list[int]) -> np.ndarray:
    """Judge predictions by scikit-learn of a probe on these neurons."""
    train, judge = (data[task, split][0][:, neurons].reshape(ROWS[split], -1) for split in ("train", "judge"))
    mean, std = train.mean(0), train.std(0)
    model = LogisticRegression(C=1 / (ROWS["train"] * L2), tol=1e-8, max_iter=1000)
    return model.fit((train - mean) / std, data[task, "train"][1]).predict((judge - mean) / std)


def transfer_of(bench):
    return read_json(bench[1].transfer("m") / "transfer.json")


def test_every_ordered_pair_of_tasks_is_there_and_a_task_without_a_subset_is_null(bench):
    found = transfer_of(bench)
    check_files(bench[1].transfer("m"))
    assert found["tasks"] == TASKS and found["ranking"] == "lca" and found["model"] == "m"
    assert {(b, a) for b, row in found["matrix"].items() for a in row} == {(b, a) for b in TASKS for a in TASKS}
    assert all(row["pair"] is None for row in found["matrix"].values()) and found["subsets"]["pair"] is None
    assert found["subsets"]["sum"] == {"neurons": 2, "claimed": True} and not found["subsets"]["other"]["claimed"]
    assert found["reference"] == pytest.approx(dict.fromkeys(TASKS, REFERENCE))
    assert not [name for name in read_manifest(bench[1].transfer("m"))["inputs"] if name.endswith("/test")]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("source", ["sum", "same", "other"])
def test_scores_are_those_of_a_probe_on_these_neurons(bench, task, source):
    params, _, data = bench
    if task == source:
        return
    entry = transfer_of(bench)["matrix"][task][source]
    neurons = [n for n in SUBSETS[source] if (task, n) != ("other", CONSTANT)]
    assert (entry["neurons"], entry["constant"]) == (len(neurons), len(SUBSETS[source]) - len(neurons))
    y = data[task, "judge"][1]
    right = fitted(data, task, neurons) == y
    assert entry["judge"] == pytest.approx(right.mean(), abs=3 / 900)
    assert entry["difference"] == pytest.approx(entry["judge"] - REFERENCE)
    assert entry["share_kept"] == pytest.approx((entry["judge"] - BASELINE) / (REFERENCE - BASELINE))
    files = np.arange(900) % 45
    order = sorted(range(45), key=lambda f: f"{f}.py")
    codes = np.argsort(order)[files]
    bootstrap = intervals.task_bootstrap(params.seed, task, "judge", codes, 199)
    C = [metrics.confusion_by_file(y, p, codes, 2) for p in (fitted(data, task, neurons), wrong_in_twenty(y))]
    mine, reference = (bootstrap.replicates(c, metrics.accuracy) for c in C)
    assert entry["lower"] == pytest.approx(float(intervals.lower(mine - reference, 0.95)), abs=5 / 900)
    kept = np.setdiff1d(np.arange(LAYERS * WIDTH), [CONSTANT] if task == "other" else [])
    orders = random_orders(params, "m", task, len(kept), DRAWS)
    random = [(fitted(data, task, kept[o[: len(neurons)]].tolist()) == y).mean() for o in orders]
    assert entry["random"] == pytest.approx(np.mean(random), abs=3 / 900)
    assert [entry["random_low"], entry["random_high"]] == pytest.approx([min(random), max(random)], abs=3 / 900)


def wrong_in_twenty(y: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(y)) % 20 == 0, 1 - y, y)


def test_neurons_of_a_like_task_serve_and_those_of_an_unlike_one_do_not(bench):
    matrix = transfer_of(bench)["matrix"]
    assert matrix["same"]["sum"]["judge"] > 0.85 and matrix["pair"]["sum"]["judge"] > 0.8
    assert matrix["other"]["sum"]["judge"] < 0.6 and matrix["sum"]["other"]["judge"] < 0.6
    assert matrix["pair"]["sum"]["judge"] > matrix["pair"]["other"]["judge"] + 0.1


def test_the_diagonal_is_the_own_subset_as_it_was_searched(bench):
    entry = transfer_of(bench)["matrix"]["same"]["same"]
    assert (entry["neurons"], entry["constant"]) == (3, 0)
    assert (entry["judge"], entry["difference"], entry["lower"], entry["share_kept"]) == (0.9, -0.05, -0.1, 0.77)
    assert (entry["random"], entry["random_low"], entry["random_high"]) == (pytest.approx(0.6), 0.5, 0.7)


def test_same_bytes_again(bench):
    params, paths, _ = bench
    before = {p.name: p.read_bytes() for p in paths.transfer("m").iterdir()}
    transfer_subsets(params, paths, model="m")
    assert {p.name: p.read_bytes() for p in paths.transfer("m").iterdir()} == before


def test_overlap_by_hand():
    # two of four and two of four: none, one or two in common with chances 1/6, 4/6, 1/6
    found = overlap(np.array([7, 2]), np.array([2, 5]), 4)
    assert found["shared"] == 1 and found["jaccard"] == pytest.approx(1 / 3)
    assert found["expected_shared"] == pytest.approx(1)
    assert found["expected_jaccard"] == pytest.approx(4 / 6 / 3 + 1 / 6)
    # three and three of four must share two
    assert overlap(np.array([0, 1, 2]), np.array([1, 2, 3]), 4)["expected_jaccard"] == pytest.approx(
        (math.comb(3, 2) * 2 / 4 + 1) / 4
    )
    assert overlap(np.arange(3), np.arange(3), 1000)["jaccard"] == 1


def test_overlap_of_the_tasks(bench):
    found = transfer_of(bench)["overlap"]
    assert found["sum"]["same"]["shared"] == 2 and found["sum"]["same"]["jaccard"] == pytest.approx(2 / 3)
    assert found["sum"]["other"]["jaccard"] == 0 and found["sum"]["pair"] is None
    assert found["sum"]["same"]["expected_shared"] == pytest.approx(2 * 3 / 16)
