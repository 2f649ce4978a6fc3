"""AUROC against scikit-learn, token types by hand, and the phase on a made-up task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from neurosieve.artifacts import ArtifactError, Paths, Writer, check_files, read_json, read_jsonl, read_manifest
from neurosieve.concepts import describe_neurons
from neurosieve.concepts.auroc import auroc, best_class, top_types
from neurosieve.config import Concepts, Params, Probes, Subsets


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


def test_auroc_by_hand() -> None:
    X = np.array([[1.0], [2.0], [2.0], [5.0]])
    # pairs (in, out): (1, 2) lost, (1, 5) lost, (2, 2) tied, (2, 5) lost
    assert auroc(X, np.array([0, 0, 1, 1]), 3)[0, :2].tolist() == [0.125, 0.875]
    assert np.isnan(auroc(X, np.array([0, 0, 1, 1]), 3)[0, 2])
    assert np.isnan(auroc(X, np.array([1, 1, 1, 1]), 2)).all()
    assert np.isnan(auroc(X[:0], np.array([], int), 2)).all()


def test_best_class_is_the_farthest_from_one_half() -> None:
    nan = float("nan")
    assert best_class(np.array([0.6, 0.1, 0.8]), [0, 1, 2]) == 1
    assert best_class(np.array([0.6, 0.1, 0.8]), [0, 2]) == 2
    assert best_class(np.array([nan, 0.5, nan]), [0, 1, 2]) == 1
    assert best_class(np.array([nan, 0.5]), [0]) is None
    assert best_class(np.array([0.2, 0.8]), [0, 1]) == 1  # a class and its complement: where it is higher
    for wins in range(1, 49):  # 1 - wins / 49 and (49 - wins) / 49 differ in the last bit for some
        assert best_class(np.array([wins / 49, (49 - wins) / 49]), [0, 1]) == int(wins < 24.5)


def test_top_types_by_hand() -> None:
    names = ["a", "b", "c", "d", "e"]
    codes = np.array([0, 0, 1, 1, 2, 2, 3, 4, 4])
    z = np.array([1.0, -3.0, 2.0, 2.0, -0.5, 0.5, 9.0, 0.0, 8.0])  # means of |z|: 2, 2, 0.5, 9 (once), 4
    assert top_types(z, codes, names, 3, 2) == [4, 0, 1]  # a before b: a tie
    assert top_types(z, codes, ["b", "a", *names[2:]], 3, 2) == [4, 1, 0]
    assert top_types(z, codes, names, 9, 1) == [3, 4, 0, 1, 2]
    assert top_types(z, codes, names, 9, 3) == []


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
    assert sum(report["best_class_counts"].values()) == 3
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
    assert entry["best_class"] == ("STORE" if expected >= 0.5 else "LOAD")
    assert entry["direction"] == 1
    assert entry["types"] == [] and entry["auroc_unseen"] is None
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


def test_nothing_chosen(tmp_path: Path) -> None:
    paths = Paths("bench", tmp_path)
    token_task(paths)
    write_search(paths, None)
    describe_neurons(settings(), paths, model="tiny", task="roles")
    report = read_json(paths.concepts("tiny", "roles") / "concepts.json")
    assert (report["subset"], report["claimed"], report["chosen"], report["neurons"]) == (None, None, 0, [])
    assert report["best_class_counts"] == {"LOAD": 0, "STORE": 0, "RARE": 0}


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
