"""Features against their definition, on tiny artifacts: columns, order, layers read, constants, standardisation."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from neurosieve.artifacts import ArtifactError, Paths, Writer
from neurosieve.probes import features
from neurosieve.probes.features import Features, layout, read_rows, standardize_train

LAYERS, WIDTH = 3, 4
PAIR = ("absdiff", "product", "left", "right")


def build(tmp_path: Path, unit: str, pair_features: tuple[str, ...] = PAIR) -> tuple[Features, np.ndarray]:
    """Features of a made-up task with 5 inputs in 3 files, and the vectors (LAYERS, n, WIDTH) behind them."""
    paths, rng = Paths("t", tmp_path), np.random.default_rng(0)
    rows = {
        "token": [
            {"input": i, "label": i % 2, "seen": i != 1, "start": 0, "end": 1, "type": "x"} for i in (0, 3, 1, 3)
        ],
        "sequence": [{"input": i, "label": i % 2} for i in (4, 0, 2)],
        "pair": [{"input": i, "input2": j, "label": 1} for i, j in ((0, 1), (4, 4), (2, 3))],
    }[unit]
    vectors = rng.normal(size=(LAYERS, len(rows) if unit == "token" else 5, WIDTH)).astype(np.float32)
    with Writer(paths.task("t") / "train", "prepare", {}) as out:
        out.jsonl(
            "inputs.jsonl", [{"id": i, "file": f} for i, f in enumerate(["b.py", "a.py", "b.py", "c.py", "a.py"])]
        )
        out.jsonl("rows.jsonl", rows)
    with Writer(paths.task("t") / "card", "prepare", {}) as out:
        out.json("card.json", {"unit": unit, "classes": ["no", "yes"]})
    with Writer(paths.activations("m", "t", "train"), "activations", {}) as out:
        for i, layer in enumerate(vectors):
            out.npy(f"layer_{i:02d}.npy", layer)
        out.facts = {"layers": LAYERS, "width": WIDTH}
    params = SimpleNamespace(probes=SimpleNamespace(pair_features=list(pair_features)))
    return layout(paths, params, "m", "t"), vectors  # type: ignore[arg-type]


def test_tokens_have_one_vector_a_row(tmp_path):
    found, vectors = build(tmp_path, "token")
    assert (found.n_neurons, found.columns_per_neuron, found.layers, found.width) == (12, 1, LAYERS, WIDTH)
    X = found.load("train")
    assert X.dtype == np.float32
    np.testing.assert_array_equal(X, vectors.transpose(1, 0, 2).reshape(4, 12))
    np.testing.assert_array_equal(found.labels("train"), [0, 1, 1, 1])
    np.testing.assert_array_equal(found.seen("train"), [True, True, False, True])


def test_sequences_take_the_vector_of_their_input(tmp_path):
    found, vectors = build(tmp_path, "sequence")
    np.testing.assert_array_equal(found.load("train"), vectors[:, [4, 0, 2]].transpose(1, 0, 2).reshape(3, 12))
    assert found.seen("train") is None


def test_pairs_have_the_columns_of_a_neuron_side_by_side(tmp_path):
    found, vectors = build(tmp_path, "pair")
    X = found.load("train").reshape(3, 12, 4)
    for row, (i, j) in enumerate(((0, 1), (4, 4), (2, 3))):
        for neuron in range(12):
            u, v = vectors[neuron // WIDTH, [i, j], neuron % WIDTH]
            np.testing.assert_array_equal(X[row, neuron], [abs(u - v), u * v, u, v])
    np.testing.assert_array_equal(found.columns(np.array([2, 0])), [8, 9, 10, 11, 0, 1, 2, 3])


@pytest.mark.parametrize("unit", ["token", "sequence", "pair"])
@pytest.mark.parametrize("neurons", [[7], [4, 5, 6, 7], [11, 0, 5, 1], [3, 2, 9, 8], [], [6, 6]])
def test_chosen_neurons_in_any_order(tmp_path, unit, neurons):
    found, _ = build(tmp_path, unit)
    whole, at = found.load("train"), np.array(neurons, int)
    np.testing.assert_array_equal(found.load("train", at), whole[:, found.columns(at)])


def test_only_the_layers_of_the_neurons_are_read(tmp_path, monkeypatch):
    found, _ = build(tmp_path, "token")
    read: list[str] = []
    original = features.read_npy
    monkeypatch.setattr(features, "read_npy", lambda path, mmap: read.append(path.name) or original(path, mmap=mmap))
    found.load("train", np.array([9, 1, 8]))
    assert read == ["layer_00.npy", "layer_02.npy"]


def test_files_are_coded_by_name(tmp_path):
    found, _ = build(tmp_path, "pair")
    rows = read_rows(found.paths, "t", "train")
    # pairs of b.py and a.py, a.py alone, b.py and c.py, which hang together
    np.testing.assert_array_equal(found.files("train"), [1, 0, 2])
    np.testing.assert_array_equal(rows.sides, [[0, 0], [0, 1], [1, 2]])
    assert (rows.n_files(), rows.n_files(np.array([True, True, False]))) == (3, 2)
    tokens, _ = build(tmp_path / "tokens", "token")
    assert len(set(tokens.files("train"))) == tokens.rows("train").n_files() and tokens.rows("train").sides is None


def test_faults_are_named(tmp_path):
    found, vectors = build(tmp_path, "token")
    with pytest.raises(ValueError, match=r"0\.\.11, found -1\.\.12"):
        found.load("train", np.array([-1, 12]))
    with Writer(found.paths.activations("m", "t", "train"), "activations", {}) as out:
        out.npy("layer_00.npy", vectors[0, :3])
    with pytest.raises(ArtifactError, match=r"layer_00\.npy: found shape \(3, 4\), expected \(4 .*activations"):
        found.load("train", np.array([0]))
    with pytest.raises(ArtifactError, match=r"layer_01\.npy: no such file"):
        found.load("train", np.array([4]))
    with Writer(found.paths.task("t") / "tune", "prepare", {}) as out:
        out.jsonl("inputs.jsonl", [{"id": 0, "file": "a.py"}])
        out.jsonl("rows.jsonl", [{"input": 0, "label": 0}, {"input": 1, "label": 0}])
    with pytest.raises(ArtifactError, match=r"rows\.jsonl:2: found input 1, expected 0\.\.0"):
        found.labels("tune")
    with Writer(found.paths.task("t") / "tune", "prepare", {}) as out:
        out.jsonl("inputs.jsonl", [])
        out.jsonl("rows.jsonl", [])
    with pytest.raises(ArtifactError, match=r"rows\.jsonl: found no rows"):
        read_rows(found.paths, "t", "tune")


def test_standardised_columns_have_mean_zero_and_deviation_one(tmp_path):
    found, _ = build(tmp_path, "token")
    rng = np.random.default_rng(1)
    X = (1000 + rng.normal(size=(700, 12)) * np.logspace(-2, 3, 12)).astype(np.float32)
    kept, standardizer = standardize_train(X, found, np.arange(12))
    assert kept.all()
    np.testing.assert_allclose(standardizer.mean, X.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(standardizer.std, X.std(0, dtype=np.float64), rtol=1e-9)
    Z = standardizer.apply(X.copy())
    assert Z.dtype == np.float32
    np.testing.assert_allclose(Z.mean(0, dtype=np.float64), 0, atol=5e-3)
    np.testing.assert_allclose(Z.std(0, dtype=np.float64), 1, rtol=1e-3)
    part = standardizer.take(np.array([5, 2]))
    np.testing.assert_array_equal(part.apply(X[:, [5, 2]].copy()), Z[:, [5, 2]])


def test_constant_neurons(tmp_path):
    found, _ = build(tmp_path, "token")
    X = np.random.default_rng(0).normal(size=(50, 12)).astype(np.float32)
    X[:, 2] = 7  # max == min
    X[:, 5] *= 1e-7  # below 1e-6 of its layer's median
    X[:, 8:] *= 1e-7  # a whole layer that is small is not
    kept, standardizer = standardize_train(X, found, np.arange(12))
    assert np.flatnonzero(~kept).tolist() == [2, 5]
    Z = standardizer.apply(X)
    assert not Z[:, [2, 5]].any() and np.isfinite(Z).all()
    np.testing.assert_allclose(Z[:, kept].std(0), 1, rtol=1e-4)


def test_a_neuron_of_a_pair_is_constant_where_all_its_columns_are(tmp_path):
    found, _ = build(tmp_path, "pair", ("absdiff", "product"))
    X = np.random.default_rng(0).normal(size=(50, 24)).astype(np.float32)
    X[:, 6] = 0  # neuron 3 keeps its second column
    X[:, 8:10] = 1  # neuron 4 loses both
    X[:, 1::2] *= 1e5  # columns of another kind have a median of their own
    kept, standardizer = standardize_train(X, found, np.arange(12))
    assert np.flatnonzero(~kept).tolist() == [4]
    assert np.isinf(standardizer.std[[6, 8, 9]]).all() and np.isfinite(standardizer.std[7])
