"""Control tasks and description length: labels, fits, selectivity on test, and codes by scikit-learn."""

from __future__ import annotations

import hashlib
import itertools
import zlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from neurosieve.artifacts import Paths, Writer, read_json, read_jsonl, read_tensors
from neurosieve.config import Params, load_params
from neurosieve.probes import fit_controls
from neurosieve.probes.control import FLOOR, _constant, control_labels, description_length, file_blocks
from neurosieve.probes.features import layout
from neurosieve.subsets.score import Scorer, predict_controls

# --- labels


def test_the_label_of_a_type_depends_on_nothing_but_its_name():
    types = [f"name_{i}" for i in range(200)] + ["", "\u00e9t\u00e9", "a\nb", "\ud800"]
    counts = np.array([5, 0, 3, 2])
    labels = control_labels(types, counts, 7361, "token-roles", 0)
    shuffled = np.random.default_rng(0).permutation(len(types))
    assert np.array_equal(
        control_labels([types[i] for i in shuffled], counts, 7361, "token-roles", 0), labels[shuffled]
    )
    assert control_labels(types[:1], counts, 7361, "token-roles", 0)[0] == labels[0]
    assert set(labels.tolist()) == {0, 2, 3}  # a class without train rows is never drawn
    for other in (control_labels(types, counts, 7361, "token-roles", 1), control_labels(types, counts, 7361, "x", 0)):
        assert 0.2 < (other == labels).mean() < 0.6  # by chance 0.25 + 0.09 + 0.04
    by_hand = []
    for name in types[:50]:
        digest = hashlib.sha256(f"7361/token-roles/0/{name}".encode()).hexdigest()[:16]
        by_hand.append([0, 0, 0, 0, 0, 2, 2, 2, 3, 3][int(int(digest, 16) / 2**64 * 10)])
    assert labels[:50].tolist() == by_hand


def test_labels_follow_the_class_distribution():
    counts = np.array([700, 200, 90, 10])
    labels = control_labels([str(i) for i in range(40000)], counts, 1, "t", 3)
    share = counts / counts.sum()
    spread = np.sqrt(share * (1 - share) / 40000)
    assert np.all(np.abs(np.bincount(labels, minlength=4) / 40000 - share) < 4 * spread)


# --- description length


def test_blocks_end_with_the_file_that_reaches_the_share():
    files = np.random.default_rng(0).integers(12, size=200) * 3
    shares = [0.001, 0.002, 0.3, 0.6, 1.0]
    order, ends = file_blocks(files, shares, 5)
    assert sorted(order) == list(range(200)) and ends[-1] == 200 and ends == sorted(set(ends))
    along = files[order]
    changes = {0, 200, *(np.flatnonzero(np.diff(along)) + 1).tolist()}
    assert len(changes) == 12 + 1 and set(ends) <= changes  # a file's rows stand together
    for share in shares:
        assert min(e for e in changes if e >= max(1, round(share * 200))) in ends
    assert len(ends) == 4  # the first two shares end with the same file
    assert all(np.all(np.diff(order[along == f]) > 0) for f in np.unique(files))
    assert not np.array_equal(file_blocks(files, shares, 6)[0], order)


def by_scikit_learn(X, y, ends, n_classes, l2):
    """Bits of every block; the penalty in scikit-learn's terms is the same at every number of rows."""
    bits = [ends[0] * np.log2(n_classes)]
    for begin, end in itertools.pairwise(ends):
        if len(set(y[:begin])) == 1:
            bits.append((end - begin) * np.log2(n_classes))
            continue
        theirs = LogisticRegression(C=1 / (len(y) * l2), tol=1e-12, max_iter=20000).fit(
            X[:begin].astype(float), y[:begin]
        )
        p = np.zeros((end - begin, n_classes))
        p[:, theirs.classes_] = theirs.predict_proba(X[begin:end].astype(float))
        bits.append(-np.log2((1 - FLOOR) * p[np.arange(end - begin), y[begin:end]] + FLOOR / n_classes).sum())
    return bits


@pytest.mark.parametrize(("k", "columns"), [(2, 6), (3, 6), (4, 90)])
def test_description_length_by_scikit_learn(k, columns):
    """Few rows of many columns too, and blocks that lack classes or have one only."""
    rng = np.random.default_rng(k)
    X = rng.normal(size=(160, columns)).astype(np.float32)
    y = X[:, :k].argmax(axis=1)
    files = np.arange(160) // 8
    y[files < 10] = np.minimum(y[files < 10], 1 + (files[files < 10] > 4))
    shares = [0.05, 0.1, 0.2, 0.4, 1.0]
    seed = [3, 9]
    order, ends = file_blocks(files, shares, seed)
    if k == 2:
        y[order[: ends[1]]] = 1  # the second block has no probe
    found = description_length(X, y, files, k, 0.0, 0.02, shares, seed, gap=1e-8)
    for name, labels in (("bits", y[order]), ("shuffled_bits", np.random.default_rng([3, 9, 1]).permutation(y[order]))):
        bits = by_scikit_learn(X[order], labels, ends, k, 0.02)
        assert [block[name] for block in found["blocks"]] == pytest.approx(bits, rel=1e-3)
        assert found[name] == pytest.approx(sum(bits), rel=1e-3)
    assert [block["rows"] for block in found["blocks"]] == np.diff([0, *ends]).tolist()
    assert [block["train_rows"] for block in found["blocks"]] == [0, *ends[:-1]]
    assert found["uniform_bits"] == pytest.approx(160 * np.log2(k)) and found["rows"] == 160
    assert found["compression"] == found["uniform_bits"] / found["bits"]
    assert found["bits_per_row"] == found["bits"] / 160
    assert found["shuffled_compression"] == found["uniform_bits"] / found["shuffled_bits"]
    assert found["compression"] > 1.2 * found["shuffled_compression"]


def test_a_sparse_penalty_is_coded_too():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 20)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    found = description_length(X, y, np.arange(120) // 4, 2, 0.01, 0.01, [0.1, 0.5, 1.0], [1])
    assert found["compression"] > 1.3 > 1.1 > found["shuffled_compression"]


def test_the_floor_bounds_what_a_row_can_cost():
    """A class that comes for the first time in the last block costs log2(K / FLOOR), not infinity."""
    X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    files = np.arange(40) // 10
    order, ends = file_blocks(files, [0.5, 1.0], [0])
    y = np.arange(40) % 2
    y[order[ends[0] :]] = 2
    found = description_length(X, y, files, 3, 0.0, 0.1, [0.5, 1.0], [0])
    assert found["blocks"][1]["bits"] == pytest.approx(20 * np.log2(3 / FLOOR), rel=1e-6)


@pytest.mark.parametrize("k", [2, 3])
def test_labels_that_are_all_the_same_have_their_probe(k):
    for label in range(k):
        assert set(_constant(4, label, k, 0.0, 1.0).predict(np.ones((3, 4), np.float32)).tolist()) == {label}


# --- the rule, and selectivity on test

WIDTH, CLASSES = 20, ["a", "b", "c"]
ROWS = {"train": 900, "test": 600}


def params() -> Params:
    raw = load_params("params.yaml").model_dump(mode="json")
    raw["probes"] |= {"bootstrap": 199, "control_seeds": 3, "description_shares": [0.1, 0.5, 1.0]}
    return Params.model_validate(raw)


def build(root: Path, task: str, X: dict, y: dict, types: dict | None) -> Paths:
    """What fit_controls and the selectivity read; tokens where there are types, else sequences."""
    paths = Paths("tiny", root)
    for split, labels in y.items():
        files = [f"p{i % 2}/{i // 10}.py" for i in range(len(labels))]
        with Writer(paths.task(task) / split, "prepare", {}) as out:
            inputs = ({"id": i, "text": "", "file": f, "package": f[:2], "name": "f"} for i, f in enumerate(files))
            out.jsonl("inputs.jsonl", inputs)
            rows = [{"input": i, "label": int(c)} for i, c in enumerate(labels)]
            if types is not None:
                known = set(types["train"])
                rows = [r | {"type": t, "seen": t in known} for r, t in zip(rows, types[split], strict=True)]
            out.jsonl("rows.jsonl", rows)
        with Writer(paths.activations("tiny", task, split), "activations", {}) as out:
            out.npy("layer_00.npy", (5 * X[split] + 2).astype(np.float32)[:, :WIDTH])
            out.npy("layer_01.npy", (5 * X[split] + 2).astype(np.float32)[:, WIDTH:])
            out.facts = {"layers": 2, "width": WIDTH, "vectors": len(labels)}
    with Writer(paths.task(task) / "card", "prepare", {}) as out:
        unit = "sequence" if types is None else "token"
        out.json("card.json", {"unit": unit, "classes": CLASSES, "metric": "macro_f1", "scored_classes": [0, 1, 2]})
    with Writer(paths.probes("tiny", task), "probes", {}) as out:
        out.json("probes.json", {"oracle": "all", "sets": {"all": {"l1": 0.0, "l2": 0.01}}})
    return paths


def planted(tmp_path: Path, task: str) -> tuple[Paths, dict, dict, dict]:
    """Vectors that know the type by heart (`memory`) or the class alone (`meaning`); unit 3 is constant.

    Types have one class in `memory`, any in `meaning`; one row in ten of test has a type that train lacks.
    """
    rng = np.random.default_rng(11)
    codes, directions = rng.normal(size=(25, 2 * WIDTH)), 2 * rng.normal(size=(3, 2 * WIDTH))
    of_type = rng.integers(3, size=25)
    X, y, types = {}, {}, {}
    for split, n in ROWS.items():
        t = rng.integers(25, size=n)
        y[split] = of_type[t] if task == "memory" else rng.integers(3, size=n)
        signal = codes[t] if task == "memory" else directions[y[split]]
        X[split] = signal + 0.3 * rng.normal(size=signal.shape)
        X[split][:, 3] = 1.0
        types[split] = [f"t{i}" for i in t]
        if split == "test":
            types[split] = [f"new{i}" if i % 10 == 0 else name for i, name in enumerate(types[split])]
    return build(tmp_path, task, X, y, types), X, y, types


def selectivity(paths: Paths, task: str, oracle: np.ndarray):
    p = params()
    fit_controls(p, paths, model="tiny", task=task)
    controls = predict_controls(paths, "tiny", task, layout(paths, p, "tiny", task))
    return controls and Scorer(p, paths, task).selectivity(oracle, *controls)


def test_a_probe_that_knows_types_by_heart_is_not_selective(tmp_path):
    paths, _, y, _ = planted(tmp_path, "memory")
    found = selectivity(paths, "memory", y["test"])
    assert found["control_mean"] > 0.98 and abs(found["selectivity"]) < 0.02 and found["task"] == 1


def test_selectivity_of_what_is_no_lookup(tmp_path):
    """All figures again from the files, by plain arithmetic."""
    paths, X, y, types = planted(tmp_path, "meaning")
    oracle = np.where(np.arange(600) % 7 == 0, 0, y["test"])
    found = selectivity(paths, "meaning", oracle)
    folder = paths.controls("tiny", "meaning")
    report, tensors = read_json(folder / "controls.json"), read_tensors(folder / "controls.safetensors")
    table = {row["type"]: row["labels"] for row in read_jsonl(folder / "types.jsonl")}
    assert sorted(table) == sorted(set(types["train"])) and len(table) == report["control"]["types"] == 25
    counts = np.bincount(y["train"], minlength=3)
    assert report["control"]["counts"] == counts.tolist()
    for seed in range(3):  # the stored table is what the pure function says
        names = sorted(table)
        labels = control_labels(names, counts, params().seed, "meaning", seed)
        assert [table[name][seed] for name in names] == labels.tolist()
    kept = np.delete(np.arange(2 * WIDTH), 3)
    assert np.array_equal(tensors["neurons"], kept) and tensors["weights"].shape == (3, 39, 3)
    known = np.array([name in table for name in types["test"]])
    assert found["rows"] == known.sum() == 540 and found["rows_unseen"] == 60 and found["files"] == 120
    control, majority = [], []
    for seed in range(3):
        Z = ((5 * X["test"] + 2)[:, kept] - tensors["mean"]) * tensors["scale"]
        predicted = (Z @ tensors["weights"][seed] + tensors["intercept"][seed]).argmax(axis=1)
        own = np.array([table.get(name, [-1] * 3)[seed] for name in types["test"]])
        control.append((predicted == own)[known].mean())
        of_train = np.bincount([table[name][seed] for name in types["train"]], minlength=3)
        assert report["control"]["fits"][seed]["majority"] == of_train.argmax()
        assert report["control"]["fits"][seed]["majority_share"] == of_train.max() / 900
        majority.append((own == of_train.argmax())[known].mean())
    task = (oracle == y["test"])[known].mean()
    assert found["metric"] == "accuracy" and found["task"] == pytest.approx(task)
    assert found["control"] == pytest.approx(control, abs=2e-3) and found["control_mean"] == np.mean(found["control"])
    assert found["selectivity"] == pytest.approx(found["task"] - found["control_mean"])
    assert found["control_majority"] == pytest.approx(np.mean(majority))
    assert found["low"] < found["selectivity"] < found["high"] and found["high"] - found["low"] < 0.2
    assert found["selectivity"] > 0.35 and found["control_mean"] < found["control_majority"] + 0.05
    assert found["primary"]["metric"] == "macro_f1" and found["scored_classes"] == [0, 1, 2]
    assert found["primary"]["task"] != found["task"] and found["primary"]["selectivity"] > 0.35


def test_the_control_probe_is_the_solved_one_of_its_labels(tmp_path):
    paths, X, _, types = planted(tmp_path, "memory")
    fit_controls(params(), paths, model="tiny", task="memory")
    folder = paths.controls("tiny", "memory")
    tensors, report = read_tensors(folder / "controls.safetensors"), read_json(folder / "controls.json")
    table = {row["type"]: row["labels"] for row in read_jsonl(folder / "types.jsonl")}
    Z = ((5 * X["train"] + 2)[:, tensors["neurons"]] - tensors["mean"]) * tensors["scale"]
    own = np.array([table[name][1] for name in types["train"]])
    theirs = LogisticRegression(C=1 / (900 * 0.01), tol=1e-10, max_iter=5000).fit(Z, own)
    ours = Z @ tensors["weights"][1] + tensors["intercept"][1]
    p = np.exp(ours - ours.max(axis=1, keepdims=True))
    assert theirs.predict_proba(Z) == pytest.approx(p / p.sum(axis=1, keepdims=True), abs=0.01)
    fits = report["control"]["fits"]
    assert fits[1]["train_accuracy"] == pytest.approx((ours.argmax(axis=1) == own).mean(), abs=2e-3)
    assert all(fit["gap"] <= params().probes.gap for fit in fits)


def test_the_rule_codes_the_labels_of_train(tmp_path):
    paths, X, y, _ = planted(tmp_path, "meaning")
    fit_controls(params(), paths, model="tiny", task="meaning")
    before = {p.name: p.read_bytes() for p in paths.controls("tiny", "meaning").iterdir()}
    fit_controls(params(), paths, model="tiny", task="meaning")
    assert {p.name: p.read_bytes() for p in paths.controls("tiny", "meaning").iterdir()} == before
    found = read_json(paths.controls("tiny", "meaning") / "controls.json")["description_length"]
    Z = np.delete(X["train"], 3, axis=1)
    Z = ((Z - Z.mean(0)) / Z.std(0)).astype(np.float32)
    names = np.array([f"p{i % 2}/{i // 10}.py" for i in range(900)])
    files = np.unique(names, return_inverse=True)[1]
    seed = [params().seed, zlib.crc32(b"meaning")]
    again = description_length(Z, y["train"], files, 3, 0.0, 0.01, [0.1, 0.5, 1.0], seed)
    assert found["bits"] == pytest.approx(again["bits"], rel=1e-3) and found["compression"] > 3
    assert found["shuffled_compression"] < 1.05


def test_sequences_have_a_code_but_no_control(tmp_path):
    rng = np.random.default_rng(2)
    y = {split: rng.integers(3, size=n) for split, n in ROWS.items()}
    X = {
        split: np.eye(3)[y[split]] @ np.ones((3, 2 * WIDTH)) + rng.normal(size=(n, 2 * WIDTH))
        for split, n in ROWS.items()
    }
    paths = build(tmp_path, "seq", X, y, None)
    assert selectivity(paths, "seq", y["test"]) is None
    folder = paths.controls("tiny", "seq")
    assert sorted(p.name for p in folder.iterdir()) == ["controls.json", "manifest.json"]
    report = read_json(folder / "controls.json")
    assert report["control"] is None and report["description_length"]["rows"] == 900


def test_too_few_files_claim_nothing(tmp_path):
    paths, _, y, _ = planted(tmp_path, "meaning")
    scorer = Scorer(params(), paths, "meaning")
    labels = np.full((2, 600), -1, np.int16)
    labels[:, 0:20:2] = 1  # every other row of two tens: two files
    assert scorer.selectivity(y["test"], labels, labels, np.zeros(2, int)) is None
