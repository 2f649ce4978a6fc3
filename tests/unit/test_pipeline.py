"""Layers, clusters, ranking, one after the other, on a planted benchmark whose layers all carry a part of the class."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from neurosieve.artifacts import Paths, Writer, read_json, read_npy, read_tensors
from neurosieve.config import Params, load_params
from neurosieve.probes import fit_baselines, fit_probes, intervals, metrics
from neurosieve.probes.features import read_rows
from neurosieve.subsets import minimal, pipeline, search, search_subsets
from neurosieve.subsets.reference import reference_judge

LAYERS, WIDTH, MARGIN = 3, 16, 0.06
ROWS, FILES = {"train": 1500, "tune": 700, "judge": 4000}, {"train": 20, "tune": 20, "judge": 80}
# three units, one for each class, and their weight; layer 2 matters little: two layers are within half the margin
CARRIERS = {1: 1.0, 17: 0.8, 4: 0.15, 20: 0.15, 33: 0.11}
# 8 and 24 resemble each other less (r = 0.67) than 40 of layer 2 resembles both (r = 0.82)
PAIR, BRIDGE = (8, 24), 40
TWINS = (11, 12)  # of layer 0, nearly equal
CONSTANT = 15


def make_params(**pipeline) -> Params:
    raw = load_params("params.yaml").model_dump(mode="json")
    task = {"kind": "token-roles", "corpus": "wheels", "metric": "accuracy", "rows": {**ROWS, "test": 1}}
    raw["run"] |= {"models": ["m"], "tasks": ["t"]}
    raw["models"] = {"m": {"path": "."}}
    raw["prepare"]["tasks"] = {"t": task}
    raw["redundancy"]["rows"] = ROWS["train"]
    raw["probes"] |= {"bootstrap": 199, "penalties": [{"l1": 0.0, "l2": 0.01}, {"l1": 0.0, "l2": 0.001}]}
    raw["probes"] |= {"baseline_penalties": [{"l1": 0.0, "l2": 1.0}], "baseline_ngrams": [1, 1]}
    raw["probes"] |= {"rankings": ["lca"]}
    margins = {"default": {"value": MARGIN, "reason": "what 4000 rows can resolve"}}
    raw["subsets"] |= {"rankings": ["lca"], "searches": [], "headline": "lca", "margins": margins}
    raw["subsets"]["pipeline"] = {"thresholds": [None, 0.3], "ranking": "lca", "ratio": 1.5, **pipeline}
    return Params.model_validate(raw)


def make_vectors(rng: np.random.Generator, n: int) -> np.ndarray:
    X = rng.normal(size=(n, LAYERS * WIDTH))
    X[:, PAIR[0]] = X[:, BRIDGE] + np.sqrt(0.5) * X[:, PAIR[0]]
    X[:, PAIR[1]] = X[:, BRIDGE] + np.sqrt(0.5) * X[:, PAIR[1]]
    X[:, TWINS[1]] = X[:, TWINS[0]] + 0.2 * X[:, TWINS[1]]
    X[:, CONSTANT] = 2.5
    return X.astype(np.float32)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    paths, params = Paths("tiny", tmp_path_factory.mktemp("build")), make_params()
    rng = np.random.default_rng(3)
    for split, n in ROWS.items():
        X = make_vectors(rng, n)
        y = sum(weight * X[:, at : at + 3] for at, weight in CARRIERS.items()).argmax(axis=1)
        files = [f"{split}{i % FILES[split]:02d}.py" for i in range(n)]
        with Writer(paths.task("t") / split, "prepare", {}) as out:
            inputs = [{"id": i, "text": f"x = t{i % 7}", "file": f, "package": "p"} for i, f in enumerate(files)]
            out.jsonl("inputs.jsonl", inputs)
            out.jsonl(
                "rows.jsonl",
                [
                    {"input": i, "start": 4, "end": 6, "label": c, "type": f"t{i % 7}", "seen": True}
                    for i, c in enumerate(y.tolist())
                ],
            )
        with Writer(paths.activations("m", "t", split), "activations", {}) as out:
            for layer in range(LAYERS):
                out.npy(f"layer_{layer:02d}.npy", X[:, layer * WIDTH : (layer + 1) * WIDTH])
            out.facts = {"layers": LAYERS, "width": WIDTH, "vectors": n}
    card = {"task": "t", "unit": "token", "classes": ["a", "b", "c"], "metric": "accuracy", "scored_classes": [0, 1, 2]}
    with Writer(paths.task("t") / "card", "prepare", {}) as out:
        out.json("card.json", card)
    fit_baselines(params, paths, task="t")
    fit_probes(params, paths, model="m", task="t")
    search_subsets(params, paths, model="m", task="t")
    return params, paths


@pytest.fixture(scope="module")
def curves(bench):
    return read_json(bench[1].search("m", "t") / "curves.json")


def train(paths: Paths) -> np.ndarray:
    folder = paths.activations("m", "t", "train")
    return np.hstack([read_npy(folder / f"layer_{i:02d}.npy") for i in range(LAYERS)]).astype(float)


def clusters(X: np.ndarray, threshold: float) -> np.ndarray:
    distance = 1 - np.abs(np.corrcoef(X.T))
    np.fill_diagonal(distance, 0)
    return fcluster(linkage(squareform(distance, checks=False), "average"), threshold, "distance")


def test_layers_are_chosen_from_the_stored_predictions(bench, curves):
    layers = curves["layers"]
    assert layers["bottom"]["layers"] == 2 and layers["bottom"]["passes"] == [False, True, True]
    assert layers["bottom"]["neurons"] == 31 and layers["top"]["layers"] == 3
    assert not any(entry["passes"] for entry in layers["single"])
    probes = read_json(bench[1].probes("m", "t") / "probes.json")["sets"]
    by_number = [probes[name]["judge"]["accuracy"] for name in ("layer-00", "prefix-01", "all")]
    assert layers["bottom"]["judge"] == pytest.approx(by_number)
    by_number = [probes[name]["judge"]["accuracy"] for name in ("layer-02", "suffix-01", "all")]
    assert layers["top"]["judge"] == pytest.approx(by_number)


def test_the_clusters_are_those_of_the_neurons_in_the_chosen_layers_alone(bench, curves):
    X = np.delete(train(bench[1]), CONSTANT, axis=1)
    inside = clusters(X[:, : 2 * WIDTH - 1], 0.3)  # 8 and 24 stay apart: the bridge lies above the chosen layers
    everywhere = clusters(X, 0.3)
    assert len(set(inside)) == 30 and len(set(everywhere)) == 44
    assert everywhere[PAIR[0]] == everywhere[PAIR[1] - 1] and inside[PAIR[0]] != inside[PAIR[1] - 1]
    tried = curves["curves"]["pipeline"]["tried"]
    assert [(t["threshold"], t["neurons"]) for t in tried] == [(None, 31), (0.3, 30)]


def test_every_threshold_clusters_what_the_layers_left_and_the_medoid_stands_for_its_cluster(bench, monkeypatch):
    params, paths = bench
    params = make_params(thresholds=[0.3, 0.9, None, 0.1])
    seen = []
    original = pipeline.cluster_neurons
    monkeypatch.setattr(
        pipeline, "cluster_neurons", lambda *given: seen.append((given, original(*given))) or seen[-1][1]
    )
    made = []
    whole = search.pipeline_curve
    monkeypatch.setattr(search, "pipeline_curve", lambda *given: made.append((given[0], whole(*given))) or made[-1][1])
    search_subsets(params, Paths("tiny", paths.root.parent), model="m", task="t")
    (((_, thresholds, neurons), found),) = seen  # one tree of these neurons, cut at all thresholds
    assert thresholds == [0.3, 0.9, 0.1]
    assert neurons.tolist() == [i for i in range(2 * WIDTH) if i != CONSTANT]
    kept = pipeline.representatives(found, 0, neurons)
    assert kept.tolist() == [i for i in neurons.tolist() if i != TWINS[1]]  # a cluster of two: the lower unit
    written = read_json(paths.search("m", "t") / "curves.json")["curves"]["pipeline"]
    X = np.delete(train(paths), CONSTANT, axis=1)[:, : 2 * WIDTH - 1]
    expected = [len(set(clusters(X, t))) if t else 31 for t in (0.3, 0.9, None, 0.1)]
    assert [t["neurons"] for t in written["tried"]] == expected
    best = max(t["tune"] for t in written["tried"])
    chosen = min((t for t in written["tried"] if t["tune"] == best), key=lambda t: t["neurons"])
    assert (written["threshold"], written["neurons_in"]) == (chosen["threshold"], chosen["neurons"])
    ((data, (curve, _)),) = made  # the point of all its neurons has its weights in the order of the ranking
    point = curve.points[curve.largest]
    assert (point.probe.predict(data.X["judge"][:, point.neurons]) == point.predicted).mean() > 0.999
    search_subsets(bench[0], paths, model="m", task="t")  # as it was


def test_neurons_that_cannot_be_clustered_stand_for_themselves():
    found = pipeline.Clusters(np.array([1, 2, 3]), np.zeros((1, 8)), [np.array([2])], np.zeros((3, 1)))
    assert pipeline.representatives(found, 0, np.array([1, 2, 3, 6])).tolist() == [2, 6]


def test_the_pipeline_has_one_margin_against_the_one_reference(bench, curves):
    """Sizes that are within the margin of the pipeline's own base, though not of the reference, must fail."""
    params, paths = bench
    curve = curves["curves"]["pipeline"]
    assert curve["kind"] == "pipeline" and curve["layers"] == 2
    rows = read_rows(paths, "t", "judge")
    bootstrap = intervals.task_bootstrap(params.seed, "t", "judge", rows.files, params.probes.bootstrap)

    def spread(predicted):
        C = metrics.confusion_by_file(rows.labels, predicted, rows.files, 3)
        return bootstrap.replicates(C, metrics.accuracy)

    stored = read_npy(paths.search("m", "t") / "predictions_judge.npy")[curve["predictions"]]
    reference = reference_judge(paths, "m", "t")
    lower = [float(intervals.lower(spread(p) - spread(reference), 0.95)) for p in stored]
    compounded = [intervals.lower(spread(p) - spread(stored[-1]), 0.95) for p in stored]
    above = [b > 0 for b in curve["baseline_lower"]]
    assert curve["lower"] == pytest.approx(lower)
    itself = [v > -MARGIN and a for v, a in zip(lower, above, strict=True)]
    assert not any(ok and not alone for ok, alone in zip(curve["passes"], itself, strict=True))
    assert any(c > -MARGIN and not ok for c, ok in zip(compounded, curve["passes"], strict=True))
    accuracy = (stored == rows.labels).mean(axis=1)
    assert curve["difference"] == pytest.approx(accuracy - (reference == rows.labels).mean())
    assert not curves["dev"]["too_small"] and curve["n_minimal"] < curve["neurons_in"]
    found = minimal.bracket(np.array(curve["sizes"]), np.array(curve["passes"]))
    assert (
        curve["n_minimal"] == found.first
        and curve["n_minimal"] - 1 in curve["sizes"]
        and max(curve["layers_used"]) <= 1
    )


def test_the_pipeline_is_frozen_and_has_no_part_in_the_choice_of_a_ranking(bench, curves):
    frozen = read_json(bench[1].search("m", "t") / "frozen.json")
    subset, curve = frozen["sets"]["subset-pipeline"], curves["curves"]["pipeline"]
    assert (subset["kind"], subset["ranking"], subset["claimed"]) == ("subset", "pipeline", True)
    assert len(subset["neurons"]) == curve["size"] == curve["n_minimal"] and max(subset["neurons"]) < 2 * WIDTH
    assert subset["judge"] == pytest.approx(curve["judge"][curve["sizes"].index(curve["size"])])
    assert set(curves["mean_tune"]) == {"lca"} and frozen["best_ranking"] == "lca"
    assert set(curve) - {"layers", "threshold", "neurons_in", "tried"} == set(curves["curves"]["lca"])


def test_frozen_weights_of_the_pipeline_give_its_predictions(bench, curves):
    """The order of weights, statistics and neurons survives the clustering and the ranking."""
    paths = bench[1]
    folder, key = paths.search("m", "t"), "subset-pipeline"
    tensors = read_tensors(folder / "frozen.safetensors")
    neurons = read_json(folder / "frozen.json")["sets"][key]["neurons"]
    X = np.hstack([read_npy(paths.activations("m", "t", "judge") / f"layer_{i:02d}.npy") for i in range(LAYERS)])
    Z = (X[:, neurons].astype(float) - tensors[f"{key}.mean"]) * tensors[f"{key}.scale"]
    predicted = (Z @ tensors[f"{key}.weights"] + tensors[f"{key}.intercept"]).argmax(axis=1)
    curve = curves["curves"]["pipeline"]
    row = curve["predictions"][curve["sizes"].index(curve["size"])]
    assert (predicted == read_npy(folder / "predictions_judge.npy")[row]).mean() > 0.999


def test_without_a_pipeline_there_is_none(bench, tmp_path):
    params, paths = bench
    params = params.model_copy(update={"subsets": params.subsets.model_copy(update={"pipeline": None})})
    shutil.copytree(paths.root, tmp_path / "tiny")
    paths = Paths("tiny", tmp_path)
    search_subsets(params, paths, model="m", task="t")
    assert "pipeline" not in read_json(paths.search("m", "t") / "curves.json")["curves"]
    assert "subset-pipeline" not in read_json(paths.search("m", "t") / "frozen.json")["sets"]
