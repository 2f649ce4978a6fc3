"""Cases of statistics: small inputs on which a figure was wrong, or a fault had no reason."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import brentq
from scipy.special import expit, xlogy

from neurosieve.artifacts import Paths, Writer, iter_jsonl, read_json, sha256_file
from neurosieve.config import Params, Penalty, Prepare, Shares
from neurosieve.prepare import prepare_task
from neurosieve.prepare.records import PrepareError, make_record
from neurosieve.prepare.splits import part_pairs, split_records
from neurosieve.prepare.tasks import codexglue_clone, poj_104
from neurosieve.probes import metrics
from neurosieve.probes.baselines import BaselineError, Constant, Squares, _Path
from neurosieve.probes.features import Rows, read_rows
from neurosieve.probes.intervals import FileBootstrap, cells, few, lower, task_bootstrap
from neurosieve.probes.solver import fit
from neurosieve.probes.status import compare
from neurosieve.redundancy import cka
from neurosieve.redundancy.cka import layer_cka


def made(labels, files=None, seen=None):
    labels = np.asarray(labels)
    files = np.arange(len(labels)) % 20 if files is None else files
    return Rows(labels, np.arange(len(labels)), None, files, seen)


@pytest.mark.parametrize(
    ("metric", "scored", "labels", "answer", "score"),
    [
        ("accuracy", [0, 1], [0] * 4 + [1] * 96, 1, 0.96),  # train's majority, 0, would score 0.04
        ("accuracy", [0, 1], [0] * 50 + [1] * 50, 0, 0.5),
        ("macro_f1", [0, 2], [0] * 30 + [1] * 60 + [2] * 40, 2, 40 / (130 + 40)),  # 1 is frequent, but not scored
    ],
)
def test_S2_majority_is_the_best_constant_of_the_scored_split(metric, scored, labels, answer, score):
    card = {"metric": metric, "scored_classes": scored, "classes": [str(i) for i in range(max(labels) + 1)]}
    constant = Constant.from_state(Constant.fit(SimpleNamespace(card=card), ()).state()[0], {})
    rows = SimpleNamespace(rows=made(labels), text=[""] * len(labels))
    predicted = constant.predict(rows)
    assert predicted.dtype == np.int16 and set(predicted.tolist()) == {answer}
    C = metrics.confusion_by_file(rows.rows.labels, predicted, rows.rows.files, len(card["classes"])).sum(0)
    assert float(metrics.primary(card)(C)) == pytest.approx(score)
    every = [np.full(len(labels), c) for c in range(len(card["classes"]))]
    tables = metrics.confusion_by_file(rows.rows.labels, np.stack(every), rows.rows.files, len(every)).sum(1)
    assert metrics.primary(card)(tables).max() == pytest.approx(score)


def test_S2_noise_is_at_chance_where_test_has_another_majority_than_train():
    rng = np.random.default_rng(0)
    labels = (np.arange(400) % 25 > 0).astype(int)  # 16 of 0 and 384 of 1
    card = {"metric": "accuracy", "scored_classes": [0, 1], "classes": ["0", "1"]}
    rows = made(labels)
    noise = rng.integers(2, size=400).astype(np.int16)
    majority = Constant(card).predict(SimpleNamespace(rows=rows, text=[""] * 400))
    found = compare(card, rows, noise, {"majority": majority}, FileBootstrap(rows.files, 200, 1), 0.95)
    assert found["comparisons"]["majority"]["p"] > 0.5


def test_S2_the_constant_of_unseen_types_is_the_best_on_them():
    labels = np.repeat([0, 1], [300, 100])
    seen = labels == 0
    seen[:40] = False  # of the unseen 140, 40 are of class 0
    card = {"metric": "accuracy", "scored_classes": [0, 1], "classes": ["0", "1"]}
    rows = made(labels, seen=seen)
    opponents = {"majority": np.zeros(400, np.int16)}
    found = compare(card, rows, labels.astype(np.int16), opponents, FileBootstrap(rows.files, 99, 1), 0.95, unseen=True)
    assert found["comparisons"]["majority"]["score"] == pytest.approx(100 / 140)


def test_S2_the_constant_number_is_the_mean_of_the_scored_split():
    card = {"metric": "r2", "scored_classes": [], "classes": []}
    rows = made([1.0, 2.0, 6.0])
    predicted = Constant(card).predict(SimpleNamespace(rows=rows, text=[""] * 3))
    assert predicted.dtype == np.float32 and predicted.tolist() == [3.0] * 3
    assert metrics.report(rows.labels, predicted, metrics.NUMBER, [])["r2"] == 0


# --- pairs that share functions ------------------------------------------------------------------------------------


def pair(left, right, label, text=None):
    return make_record(
        text or f"f{left}", package="all", file=str(left), name=str(left), where=f"all:{left}", label=label,
        right=f"f{right}", right_name=str(right), right_file=str(right),
    )  # fmt: skip


def functions_of(records):
    return {file for r in records for file in (r.file, r.right_file)}


SHARES = {"train": 0.5, "dev": 0.3, "test": 0.2}


def test_S2_a_function_of_held_out_packages_is_in_no_train_pair():
    held = [pair(3 * i + a, 3 * i + b, "no" if a else "yes") for i in range(20) for a, b in ((0, 1), (0, 2), (1, 2))]
    others = [pair(200, 201, "yes"), pair(201, 202, "no"), pair(202, 5, "yes")]
    records = [*(replace(record, package="held") for record in held), *others]
    task = SimpleNamespace(packages=None, shares=Shares(train=0.5, dev=0.3, test=0.2, held_out=["held"]))
    parts, left_out = split_records(records, task, 1, "prepare.tasks.t")
    sides = [functions_of(members) for members in parts.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) and len(parts["train"]) == 2
    assert left_out.counts == {"a side in held-out packages too": 1}


def test_S2_pairs_that_share_functions_are_parted_by_components():
    # sixty triangles of three functions: two pairs of one class, one of the other
    pairs = [pair(3 * i + a, 3 * i + b, "no" if a else "yes") for i in range(60) for a, b in ((0, 1), (0, 2), (1, 2))]
    parts, left_out = part_pairs(pairs, SHARES, [1, "shares"])
    assert {part: len(members) for part, members in parts.items()} == {"train": 90, "dev": 54, "test": 36}
    assert not left_out.counts and left_out.parted == {"train, dev, test": "connected components"}
    sides = [functions_of(members) for members in parts.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 180
    again, _ = part_pairs(pairs[::-1], SHARES, [1, "shares"])
    assert {part: functions_of(members) for part, members in again.items()} == dict(zip(parts, sides, strict=True))
    other, _ = part_pairs(pairs, SHARES, [2, "shares"])
    assert functions_of(other["test"]) != sides[2]


def giant(n=300, seed=0):
    """Pairs of which all hang together: ten dense groups of alike functions, and pairs of two groups."""
    rng = np.random.default_rng(seed)
    found = {}
    for _ in range(12 * n):
        a, b = (int(i) for i in rng.integers(n, size=2))
        if a % 10 == b % 10 or rng.random() < 0.05:
            found[min(a, b), max(a, b)] = "yes" if a % 10 == b % 10 else "no"
    return [pair(a, b, label) for (a, b), label in found.items() if a != b]


def test_S2_functions_of_one_component_are_parted_and_pairs_across_counted():
    pairs = giant()
    parts, left_out = part_pairs(pairs, SHARES, [1, "shares"])
    assert left_out.parted == {"train, dev, test": "functions"}
    assert sum(map(len, parts.values())) + sum(left_out.counts.values()) == len(pairs)
    assert set(left_out.counts) == {f"one side in {a}, the other in {b}" for a, b in (
        ("train", "dev"), ("train", "test"), ("dev", "test"))}  # fmt: skip
    sides = [functions_of(members) for members in parts.values()]
    assert sum(map(len, sides)) == len(set.union(*sides))
    for part, members in parts.items():
        labels = Counter(r.label for r in members)
        assert min(labels["yes"], labels["no"]) >= 10, (part, labels)
    # functions drawn at random would leave share squared of the pairs in each: the cut runs between the groups
    assert len(parts["test"]) > 2 * 0.2**2 * len(pairs) and len(parts["dev"]) > 1.5 * 0.3**2 * len(pairs)


def table_task(folder, rows, **more):
    path = folder / "all.jsonl"
    path.write_text("".join(json.dumps(dict(zip(("a", "b", "y"), row, strict=True))) + "\n" for row in rows))
    entry = {
        "kind": "table-pairs", "folder": str(folder),
        "files": {"all": {"name": path.name, "sha256": sha256_file(path)}},
        "columns": {"text": "a", "right": "b", "label": "y"}, "metric": "accuracy", "shares": SHARES, "balanced": True,
        "rows": {"train": 200, "tune": 60, "judge": 60, "test": 60}, "tune_share": 0.4, **more,
    }  # fmt: skip
    prepare = Prepare.model_validate({"corpora": {}, "tasks": {"t": entry}})
    return Params.model_construct(benchmark="b", seed=1, prepare=prepare), Paths("b", folder / "build")


def test_S2_shares_and_balanced_have_both_classes_in_every_split(tmp_path):
    params, paths = table_task(tmp_path, [(r.text, r.right, r.label) for r in giant()])
    prepare_task(params, paths, task="t")
    card = read_json(paths.task("t") / "card" / "card.json")
    texts = {}
    for split, facts in card["splits"].items():
        assert facts["labels"]["no"] == facts["labels"]["yes"] >= 10, split
        texts[split] = {row["text"] for row in iter_jsonl(paths.task("t") / split / "inputs.jsonl")}
    assert sum(map(len, texts.values())) == len(set.union(*texts.values()))
    assert card["parted"] == {"train, dev, test": "functions", "tune, judge": "functions"}


def test_S2_a_split_that_cannot_be_balanced_is_refused(tmp_path):
    # pairs of the class "no" hang together, and are too few for a part of each split
    rows = [(f"x{i}", f"x{i + 1}", "yes") for i in range(0, 200, 2)] + [(f"n{i}", "n0", "no") for i in range(1, 6)]
    params, paths = table_task(tmp_path, rows)
    with pytest.raises(
        PrepareError, match=r"t\.balanced: \w+ has \d+ rows of 'yes' and none of 'no'.*take `balanced:`"
    ):
        prepare_task(params, paths, task="t")


def test_copies_of_a_function_are_one_function():
    functions = {str(i): f"int f{i // 2}() {{}}" for i in range(8)}  # two ids each
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "f.jsonl").write_text("".join(json.dumps({"idx": i, "func": t}) + "\n" for i, t in functions.items()))
        (root / "all.txt").write_text("0\t2\t1\n1\t4\t0\n3\t6\t1\n")
        records = codexglue_clone.read({"functions": root / "f.jsonl", "all": root / "all.txt"}, None)
    assert [(r.file, r.right_file, r.name, r.right_name) for r in records] == [
        ("0", "2", "0", "2"), ("0", "4", "1", "4"), ("2", "6", "3", "6"),
    ]  # fmt: skip


# --- what intervals draw -------------------------------------------------------------------------------------------


def test_S3_intervals_of_poj_draw_problems(tmp_path):
    """Seven problems: rows of one are alike, so that drawing its programs as if independent would be far too sure."""
    rng = np.random.default_rng(0)
    inputs, rows = [], []
    for problem in range(7):
        inputs += [
            {"id": 20 * problem + i, "text": "x", "file": f"p{problem}/{i}", "package": f"p{problem}", "name": ""}
            for i in range(20)
        ]
        for i in range(20):
            same, other = 20 * problem + (i + 1) % 20, int((20 * (problem + 1 + rng.integers(6)) + i) % 140)
            rows += [
                {"input": 20 * problem + i, "input2": right, "label": label}
                for label, right in enumerate((other, same))
            ]
    paths = Paths("b", tmp_path)
    for key, name in (("package", "problems"), ("file", "programs")):
        with Writer(paths.task(name) / "judge", "prepare", {}) as out:
            out.jsonl("inputs.jsonl", inputs)
            out.jsonl("rows.jsonl", rows)
        with Writer(paths.task(name) / "card", "prepare", {}) as out:
            out.json("card.json", {"resampled": {"key": key, "name": name}})
    assert poj_104.RESAMPLED == ("package", "problems")
    spread = {}
    right = rng.random(7) < 0.6  # a problem is known or not
    for name in ("problems", "programs"):
        found = read_rows(paths, name, "judge")
        bootstrap = task_bootstrap(1, name, "judge", found.files, 400, found.sides)
        known = right[found.inputs // 20] if found.inputs2 is not None else None
        predicted = np.where(known, found.labels, 1 - found.labels)
        C = metrics.confusion_by_file(found.labels, predicted, found.files, 2, bootstrap.n_files)
        replicates = bootstrap.replicates(C, metrics.accuracy)
        assert replicates.mean() == pytest.approx(right.mean(), abs=0.03)
        spread[name] = float(replicates.std()), bootstrap.n_drawn
    assert spread["problems"][1] == 7 and spread["programs"][1] == 140
    assert spread["problems"][0] > 2 * spread["programs"][0]


@pytest.mark.parametrize(("number", "says"), [(20, []), (19, ["below 20"]), (10, ["below 20"]), (7, ["little of new"])])
def test_S3_few_problems_are_said(number, says):
    notes = few("judge", number, "problems")
    assert len(notes) == len(says) and all(
        f"{number} problems" in n and s in n for n, s in zip(notes, says, strict=True)
    )


def test_pairs_within_a_file_are_drawn_as_that_file():
    files = np.array([5, 3, 3, 9])
    codes, sides = cells(files, files)
    assert codes.tolist() == [1, 0, 0, 2] and sides is None


def test_pairs_of_many_components_draw_these():
    left = np.arange(0, 60, 2)
    codes, sides = cells(np.concatenate([left, left]), np.concatenate([left + 1, left + 1]))
    assert sides is None and codes.tolist() == [*range(30), *range(30)]


def test_pairs_of_one_component_draw_functions():
    left, right = np.array([0, 1, 4, 4]), np.array([1, 2, 2, 4])
    codes, sides = cells(left, right)
    assert codes.tolist() == [0, 1, 2, 3] and sides.tolist() == [[0, 1], [1, 2], [2, 3], [3, 3]]
    bootstrap = FileBootstrap(codes, 20_000, 3, sides)
    assert (bootstrap.n_files, bootstrap.n_drawn) == (4, 4)
    drawn = np.random.default_rng(3).integers(4, size=(20_000, 4))
    counts = np.stack([(drawn == i).sum(1) for i in range(4)], axis=1)
    expected = [4 * counts[:, a] * counts[:, b] if a != b else 3 * counts[:, a] for a, b in sides]
    np.testing.assert_array_equal(bootstrap.weights, np.stack(expected, axis=1))
    # a pair of one function and a pair of two count alike on average
    np.testing.assert_allclose(bootstrap.weights.mean(0), 3, rtol=0.05)


def test_bounds_of_pairs_that_share_functions_hold():
    """Lower 95 % bounds for an accuracy where functions are easy or hard; drawing left functions alone is too sure."""
    rng = np.random.default_rng(0)
    held = Counter()
    trials = 150
    for trial in range(trials):
        ease = rng.normal(size=60)
        left, right = rng.integers(60, size=(2, 400))
        keep = left != right
        left, right = left[keep], right[keep]
        known = ease[left] + ease[right] + rng.normal(size=left.size) > -0.8
        truth = 0.6776  # of a normal of variance 3 above -0.8
        both, sides = cells(left, right)
        one = np.unique(left, return_inverse=True)[1]
        for name, codes, pairs in (("both", both, sides), ("left", one, None)):
            bootstrap = FileBootstrap(codes, 199, trial, pairs)
            C = metrics.confusion_by_file(np.ones(left.size, int), known.astype(int), codes, 2)
            held[name] += lower(bootstrap.replicates(C, metrics.accuracy), 0.95) < truth
    assert held["both"] >= 0.92 * trials > held["left"], held


# --- CKA -----------------------------------------------------------------------------------------------------------


def one_row(n, width, offset=0.0, by=1.0, noise=0.0):
    x = np.full((n, width), offset) + noise * np.random.default_rng(3).normal(size=(n, width))
    x[n // 2] += by
    return x.astype(np.float32)


@pytest.mark.parametrize("n", [4, 5, 60])
@pytest.mark.parametrize("width", [1, 3, 96])
def test_S1_a_layer_that_differs_in_one_row_has_no_unbiased_cka(n, width):
    rng = np.random.default_rng(1)
    other = rng.normal(size=(n, 5)).astype(np.float32)
    flat = np.full((n, width), 0.1, np.float32)
    odd = [
        one_row(n, width), one_row(n, width, 0.1, 0.3), one_row(n, width, 1e4, 1), one_row(n, width, 0, 1e30),
        one_row(n, width, 0, 1e-30), one_row(n, width, 0, 1, noise=3e-8),
    ]  # fmt: skip
    found = layer_cka([other, flat, *odd, 2 * other], n, 2, np.random.default_rng(0))
    assert found["left_out"] == {"1": cka.FLAT} | {str(i): cka.ONE_ROW for i in range(2, 8)}
    for kind in ("unbiased", "biased"):
        value = np.array(found[kind], float)
        assert np.isnan(value[1:8]).all() and np.isnan(value[:, 1:8]).all()
        np.testing.assert_allclose(value[np.ix_([0, 8], [0, 8])], 1, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e30])
@pytest.mark.parametrize("n", [4, 50])
def test_S1_cka_keeps_its_bounds_whatever_the_scale(n, scale):
    rng = np.random.default_rng(2)
    layers = [rng.normal(size=(n, width)) + offset for width, offset in ((1, 0), (3, 100), (40, 0), (2, -7))]
    base = layer_cka([x.astype(np.float32) for x in layers], n, 1, np.random.default_rng(0))
    found = layer_cka([(x * scale).astype(np.float32) for x in layers], n, 1, np.random.default_rng(0))
    assert found["left_out"] == base["left_out"] == {}
    for kind in ("unbiased", "biased"):
        value = np.array(found[kind])
        assert np.abs(value).max() <= 1
        np.testing.assert_allclose(value, base[kind], atol=1e-4)
        np.testing.assert_allclose(np.diag(value), 1, atol=1e-9)


# --- the solver ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "l1", "l2"), [(5, 2e-3, 2e-3), (20, 1e-4, 5e-3), (60, 2e-3, 1e-5)])
@pytest.mark.parametrize("kind", ["large", "equal", "copy"])
def test_two_rows_of_a_class_copies_and_outliers_reach_the_gap(kind, width, l1, l2):
    """Two rows of 900, every column twice, and values of twenty standard deviations, where float32 steps halt."""
    rng = np.random.default_rng(width)
    X = rng.normal(size=(900, width))
    X = np.concatenate([X, X], axis=1)
    y = np.zeros(900, int)
    y[[17, 600]] = 1
    if kind == "large":
        X[y == 1] *= 20
    elif kind == "equal":
        X[y == 1] = 20
    else:
        X[17] = 20 * X[0]
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    probe = fit(X, y, 2, l1, l2, 1e-5, 300)
    assert 0 <= probe.gap <= 1e-5
    # the certificate, by hand: the bound at the probabilities of the stored weights, their intercept at its optimum
    Z = X.astype(float) @ probe.weights[:, 0].astype(float)
    b = float(brentq(lambda b: float((expit(Z + b) - y).mean()), -200, 200, xtol=1e-14))
    p = expit(Z + b)
    value = float(np.logaddexp(0, np.where(y == 1, -1, 1) * (Z + b)).mean()) + l1 * np.abs(probe.weights).sum()
    value += l2 / 2 * float((probe.weights.astype(float) ** 2).sum())
    over = np.maximum(np.abs((p - y) @ X.astype(float) / 900) - l1, 0)
    bound = float((-xlogy(p, p) - xlogy(1 - p, 1 - p)).mean()) - float((over**2).sum()) / (2 * l2)
    assert value == pytest.approx(probe.objective, rel=1e-6)
    assert value - bound <= 2e-5 * value


def test_least_squares_that_stop_short_in_a_small_column_are_refused():
    """A column a million times larger and one smaller: conjugate gradients end before the small one counts."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 8))
    y = X.sum(axis=1)
    fitted = Squares.fit(_Path(sparse.csr_array(X), y, metrics.NUMBER), Penalty(l1=0.0, l2=1e-8))
    np.testing.assert_allclose(fitted.predict(sparse.csr_array(X)), y, atol=1e-5)
    X[:, 0], X[:, 1] = 1e6 * X[:, 0], X[:, 1] / 1e6
    with pytest.raises(BaselineError, match="did not converge"):
        Squares.fit(_Path(sparse.csr_array(X), y, metrics.NUMBER), Penalty(l1=0.0, l2=1e-8))
