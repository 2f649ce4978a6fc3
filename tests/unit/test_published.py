"""The published protocol: its probe against finite differences and torch, its search on hand-made cases."""

import dataclasses

import numpy as np
import pytest
import torch

from neurosieve.artifacts import Paths, Writer, check_files, read_json, read_jsonl
from neurosieve.config import Params, Published, Tolerances, load_params
from neurosieve.flow import inputs_of
from neurosieve.leaderboard.collect import published_rows
from neurosieve.leaderboard.table import COLUMNS, TableError, build_table, changed_cells, to_csv
from neurosieve.probes.metrics import macro_f1
from neurosieve.redundancy import random_members
from neurosieve.subsets import reproduce_published
from neurosieve.subsets.published import spread
from neurosieve.subsets.published.probe import Method, Models, gradient, log_loss, method_of, start, train
from neurosieve.subsets.published.search import (
    Data,
    Fit,
    Job,
    Result,
    Row,
    best_row,
    cluster,
    find_oracles,
    first_above,
    fit_jobs,
    grid_of,
    search,
    select_layers,
)

SGD = Method(adam=False, epochs=3, patience=2, batch=16, learning_rate=0.1)
ADAM = Method(adam=True, epochs=3, patience=None, batch=16, learning_rate=0.01)


def problem(rows=50, columns=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, columns)).astype(np.float32)
    y = (X[:, 0] + 0.3 * rng.standard_normal(rows) > 0).astype(int) + (X[:, 1] > 0.5) * (classes > 2)
    return X, y


def models_of(columns, classes, l1, l2, seed=0):
    """One feature set; a model per penalty."""
    rngs = [[np.random.default_rng([seed, j]) for j in range(len(l1))]]
    return start(rngs, columns, classes, np.array([l1]), np.array([l2]))


def objective(W, b, X, y, l1, l2):
    """The published objective, in float64 and from its definition; W (columns, K)."""
    Z = X.astype(np.float64) @ W + b
    loss = np.log(np.exp(Z - Z.max(1, keepdims=True)).sum(1)) + Z.max(1) - Z[np.arange(len(y)), y]
    return loss.mean() + l1 * np.abs(W).sum() + l2 * np.sqrt(np.square(W).sum())


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (0.05, 0.0), (0.0, 0.5), (0.05, 0.5)])
def test_the_gradient_is_that_of_finite_differences(l1, l2):
    X, y = problem()
    models = models_of(6, 3, [0.01, l1], [0.1, l2])
    grad, intercept = gradient(models, X[None], y[None])
    W, b = models.of(0, 1).astype(np.float64), models.intercept[0, 0].reshape(3, 2)[:, 1].astype(np.float64)
    step = 1e-6

    def slope(at, change):
        high, low = at.copy(), at.copy()
        high[change] += step
        low[change] -= step
        values = [objective(v, b, X, y, l1, l2) if at is W else objective(W, v, X, y, l1, l2) for v in (high, low)]
        return (values[0] - values[1]) / (2 * step)

    want = np.array([[slope(W, (i, k)) for k in range(3)] for i in range(6)])
    np.testing.assert_allclose(grad[0].reshape(6, 3, 2)[:, :, 1], want, atol=2e-5)
    np.testing.assert_allclose(intercept[0, 0].reshape(3, 2)[:, 1], [slope(b, (k,)) for k in range(3)], atol=2e-5)


def test_the_norm_is_not_squared():
    """The gradient of l2 * ||W||_F keeps its size when W grows; that of the square would grow with it."""
    X, y = problem()
    sizes = []
    for scale in (1, 10):
        with_norm, without = (models_of(6, 3, [0.0], [l2]) for l2 in (0.5, 0.0))
        for models in (with_norm, without):
            models.weights *= scale
        difference = gradient(with_norm, X[None], y[None])[0] - gradient(without, X[None], y[None])[0]
        sizes.append(np.linalg.norm(difference))
    np.testing.assert_allclose(sizes, 0.5, rtol=1e-4)


def test_weights_of_zero_have_a_gradient():
    X, y = problem()
    models = models_of(6, 3, [0.1], [0.1])
    models.weights[:] = 0
    assert np.isfinite(gradient(models, X[None], y[None])[0]).all()


def torch_train(X, y, W, b, l1, l2, method):
    """The same, step by step, by torch's optimisers; returns weights (K, columns) after every epoch."""
    layer = torch.nn.Linear(X.shape[1], W.shape[1])
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(W.T))
        layer.bias.copy_(torch.tensor(b))
    kind = torch.optim.Adam if method.adam else torch.optim.SGD
    optimiser = kind(layer.parameters(), lr=method.learning_rate)
    for _ in range(method.epochs):
        for first in range(0, len(y), method.batch):
            rows = slice(first, first + method.batch)
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(layer(torch.tensor(X[rows])), torch.tensor(y[rows]))
            (loss + l1 * layer.weight.abs().sum() + l2 * layer.weight.norm()).backward()
            optimiser.step()
    return layer.weight.detach().numpy().T, layer.bias.detach().numpy()


@pytest.mark.parametrize("method", [dataclasses.replace(SGD, patience=None), ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("classes", [2, 3])
def test_steps_are_those_of_torch(method, classes):
    X, y = problem(classes=classes)
    l1, l2 = [0.0, 0.01, 0.002], [0.03, 0.0, 0.05]
    models = models_of(6, classes, l1, l2)
    first = [(models.of(0, j).copy(), models.intercept[0, 0].reshape(classes, 3)[:, j].copy()) for j in range(3)]
    trained = train(models, X[None], y, X[None], y, method)
    for j, (W, b) in enumerate(first):
        weights, intercept = torch_train(X, y, W, b, l1[j], l2[j], method)
        assert np.abs(weights - W).max() > 0.02  # it did move
        np.testing.assert_allclose(trained.of(0, j), weights, atol=2e-5)
        np.testing.assert_allclose(trained.intercept[0, 0].reshape(classes, 3)[:, j], intercept, atol=2e-5)


def test_the_start_is_uniform_within_one_over_the_root_of_the_columns():
    models = models_of(400, 3, [0.0], [0.0])
    assert 0.045 < np.abs(models.weights).max() <= 0.05
    assert abs(models.weights.mean()) < 0.003


def test_log_loss():
    X, y = problem()
    models = models_of(6, 3, [0.0, 0.0], [0.0, 0.0])
    want = [objective(models.of(0, j), models.intercept[0, 0].reshape(3, 2)[:, j], X, y, 0, 0) for j in range(2)]
    np.testing.assert_allclose(log_loss(models.logits(X[None]), y)[0], want, rtol=1e-6)


def test_patience_stops_and_the_best_epoch_is_kept():
    """Dev labels are the opposite of train's, so dev only gets worse: the first epoch is the best of the three."""
    X, y = problem(classes=2)
    method = Method(adam=False, epochs=50, patience=2, batch=16, learning_rate=0.1)
    one = train(models_of(6, 2, [0.0], [0.0]), X[None], y, X[None], y, dataclasses.replace(method, epochs=1))
    models = models_of(6, 2, [0.0, 0.0], [0.0, 0.0])
    seen = []
    found = train(models, Watched(X[None], seen), y, X[None], 1 - y, method)
    assert found.epochs.tolist() == [[1, 1]]
    assert len(seen) == 3 * 4  # three epochs of four batches
    np.testing.assert_array_equal(found.of(0, 0), one.of(0, 0))
    further = train(models_of(6, 2, [0.0], [0.0]), X[None], y, X[None], y, method)
    assert further.epochs[0, 0] > 10


class Watched(np.ndarray):
    """An array that counts how often a batch is cut out of it."""

    def __new__(cls, X, seen):
        made = np.asarray(X).view(cls)
        made.seen = seen
        return made

    def __getitem__(self, at):
        self.seen.append(at)
        return np.asarray(self)[at]


def test_models_trained_side_by_side_are_those_trained_alone():
    """Penalties in one product, feature sets in one stack, stopping at different epochs: as if each were alone."""
    X, y = problem(rows=120, columns=8)
    X_dev, y_dev = problem(rows=60, columns=8, seed=1)
    sets = [np.arange(4), np.array([7, 2, 5, 0])]
    l1, l2 = np.array([[0.0, 0.5, 0.01], [0.3, 0.0, 0.001]]), np.array([[0.0, 0.1, 2.0], [0.0, 0.5, 0.01]])
    method = Method(adam=False, epochs=40, patience=2, batch=16, learning_rate=0.2)

    def rng(g, j):
        return np.random.default_rng([g, j])

    together = start([[rng(g, j) for j in range(3)] for g in range(2)], 4, 3, l1, l2)
    found = train(together, np.stack([X[:, s] for s in sets]), y, np.stack([X_dev[:, s] for s in sets]), y_dev, method)
    epochs = set()
    for g, s in enumerate(sets):
        for j in range(3):
            alone = start([[rng(g, j)]], 4, 3, l1[g : g + 1, j : j + 1], l2[g : g + 1, j : j + 1])
            alone = train(alone, X[None][:, :, s], y, X_dev[None][:, :, s], y_dev, method)
            assert alone.epochs[0, 0] == found.epochs[g, j]
            epochs.add(int(found.epochs[g, j]))
            np.testing.assert_allclose(found.of(g, j), alone.of(0, 0), atol=1e-5)
    assert len(epochs) > 2  # they did stop at different times


def test_shuffled_rows_come_in_the_order_of_the_generator():
    X, y = problem()
    method = dataclasses.replace(SGD, patience=None, epochs=1, shuffle=True)
    order = np.random.default_rng(4).permutation(len(y))
    plain = train(
        models_of(6, 3, [0.0], [0.0]), X[None, order], y[order], X[None], y, dataclasses.replace(method, shuffle=False)
    )
    mixed = train(models_of(6, 3, [0.0], [0.0]), X[None], y, X[None], y, method, [np.random.default_rng(4)])
    np.testing.assert_array_equal(mixed.weights, plain.weights)
    with pytest.raises(ValueError, match="one generator"):
        train(models_of(6, 3, [0.0], [0.0]), X[None], y, X[None], y, method)


def test_methods_and_grids():
    settings = Published()
    token, pair = method_of("token", settings), method_of("pair", settings)
    assert (token.adam, token.epochs, token.patience, token.learning_rate) == (False, 100, 2, 1e-3)
    assert (pair.adam, pair.epochs, pair.patience, pair.batch) == (True, 10, None, 128)
    assert len(set(grid_of(True, settings))) == 36 and grid_of(False, settings) == [(1e-5, 1e-5)]
    assert [(t.layers, t.neurons) for t in settings.tolerances] == [(3, 1), (2, 1), (1, 1)]
    assert len(settings.shares) == 27 and settings.shares[:2] == [0.001, 0.002] and settings.shares[-1] == 0.9


@pytest.mark.parametrize(
    ("scores", "whole", "tolerance", "place"),
    [
        ([0.5, 0.79, 0.8, 0.9], 0.8, 1, 2),
        ([0.5, 0.792, 0.8], 0.8, 1, 2),  # exactly (1 - 1/100) * 0.8 does not pass
        ([0.5, 0.7921, 0.7], 0.8, 1, 1),  # the first, whatever comes after
        ([0.5, 0.6], 0.8, 3, None),
    ],
)
def test_the_first_above_the_tolerance(scores, whole, tolerance, place):
    assert first_above(scores, whole, tolerance) == place


def test_the_best_row_is_reported_and_ties_go_to_the_smaller():
    assert best_row([0.1, 0.9, 0.3], [1, 50, 2]) == 1
    assert best_row([0.9, 0.9, 0.9, 0.1], [30, 20, 20, 1]) == 1


def test_clusters_and_their_random_members():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((200, 3))
    noise = 0.01 * rng.standard_normal((200, 6))
    vectors = np.column_stack([base, -base]).astype(np.float32) + noise.astype(np.float32)
    vectors = np.column_stack([vectors, np.full((200, 2), 1.5, np.float32)])  # two constant ones
    labels = cluster(vectors, 0.3)
    assert labels[:3].tolist() == labels[3:6].tolist()
    assert len(set(labels.tolist())) == 5  # three pairs, and each constant column is alone
    drawn = {tuple(np.sort(random_members(labels, np.random.default_rng(seed))).tolist()) for seed in range(40)}
    assert len(drawn) == 8  # one of two, three times
    assert all(sorted(labels[list(d)]) == sorted(set(labels.tolist())) and set(d) >= {6, 7} for d in drawn)


@pytest.fixture
def planted():
    """Three layers of four neurons; layer 1 unit 2 and layer 0 unit 1 tell the class, the others are noise."""
    rng = np.random.default_rng(3)

    def split(rows):
        y = rng.integers(0, 2, rows)
        X = rng.standard_normal((rows, 12)).astype(np.float32)
        X[:, 6] += 6 * (y - 0.5)
        X[:, 1] += 1.0 * (y - 0.5)
        return X, y

    parts = {name: split(rows) for name, rows in (("train", 400), ("dev", 200), ("test", 300))}
    X, y = ({name: part[i] for name, part in parts.items()} for i in (0, 1))
    return Data(
        X=X, y=y, vectors=X["train"], layers=3, width=4, columns=1, n_classes=2,
        score=lambda name, predicted: float((predicted == y[name]).mean()),
    )  # fmt: skip


SETTINGS = Published(
    seeds=[1, 2],
    token_epochs=20,
    batch=40,
    learning_rate=0.3,
    grid=[0.0, 0.01],
    tolerances=[Tolerances(layers=3.0, neurons=1.0), Tolerances(layers=1.0, neurons=1.0)],
    shares=[0.01, 0.1, 0.25, 0.5],
)


def run(data, settings=SETTINGS, **options):
    method = method_of("token", settings)
    return search(
        data, settings, method, find_oracles(data, settings.seeds, grid_of(True, settings), method), **options
    )


def test_the_search_finds_what_was_planted(planted):
    for result in run(planted):
        assert [(r.dL, r.threshold) for r in result.rows] == [(3, None), (3, 0.3), (1, None), (1, 0.3)]
        assert {r.k for r in result.rows} == {1}  # layer 0 alone does not do, layers 0-1 do
        assert all(r.kept == 8 and r.order[0] == 6 and set(r.order.tolist()) == set(range(8)) for r in result.rows)
        # shares of 0.01 and 0.1 of twelve neurons are none and one: the one is enough, and there the search stops
        assert all(r.passed and r.neurons.tolist() == [6] and r.share == 1 / 12 for r in result.rows)
        assert all(r.fit.scores["test"] > 0.99 * r.base for r in result.rows)


def test_sizes_grow_until_the_tolerance_is_met(planted):
    """With a choice that likes ten per cent per neuron, no size passes before all are taken; the last is the row's."""
    greedy = run(planted, choose=lambda fit: 0.1 * len(fit.weights))
    for result in greedy:
        assert result.oracle.scores["test"] > 0.9
        assert all(r.k == 2 and r.base == pytest.approx(1.2) for r in result.rows)  # only all layers are within 3 %
        assert all(not r.passed and r.n == 6 and r.share == 0.5 for r in result.rows)


def test_a_size_beyond_the_neurons_at_hand_is_all_of_them(planted):
    settings = SETTINGS.model_copy(update={"shares": [0.9]})
    assert all(r.n == 8 and r.passed for result in run(planted, settings) for r in result.rows)


def test_every_layer_that_falls_short_is_passed_over(planted):
    scores = {4: 0.5, 8: 0.78, 12: 0.8}  # by neurons of the prefix
    method = method_of("token", SETTINGS)
    fits = find_oracles(planted, [1], [(0.0, 0.0)], method)
    results = [Result(1, fits[1][0], 0.0, 0.0, [], 0)]
    found = select_layers(planted, SETTINGS, method, results, lambda fit: scores[len(fit.weights)])
    assert found == {1: [1, 2]}  # 0.78 is above 0.97 * 0.8 and below 0.99 * 0.8; all layers are the oracle itself


def test_a_seed_repeats_its_bits_and_another_seed_does_not(planted):
    one, two = run(planted), run(planted)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.oracle.weights, b.oracle.weights)
        assert [r.fit.scores for r in a.rows] == [r.fit.scores for r in b.rows]
    assert not np.array_equal(one[0].oracle.weights, one[1].oracle.weights)
    alone = run(planted, SETTINGS.model_copy(update={"seeds": [2]}))
    np.testing.assert_array_equal(alone[0].oracle.weights, one[1].oracle.weights)


def test_what_is_chosen_does_not_depend_on_shared_fits(planted):
    shared = dataclasses.replace(planted, memory={})
    for choose in (lambda fit: fit.scores["test"], lambda fit: fit.scores["dev"]):
        with_memory, without = run(shared, choose=choose), run(planted, choose=choose)
        for a, b in zip(with_memory, without, strict=True):
            assert a.reported == b.reported
            assert [r.fit.scores for r in a.rows] == [r.fit.scores for r in b.rows]


def test_the_columns_of_a_pair_stay_together(planted):
    """Two columns per neuron: the probe gets both of a neuron's, and the order counts them as one."""
    X = {name: np.repeat(values, 2, axis=1) for name, values in planted.X.items()}
    pairs = dataclasses.replace(planted, X=X, columns=2)
    (fit,) = fit_jobs(pairs, [Job(1, ("x",), np.array([6, 1]), 0.0, 0.0)], method_of("pair", SETTINGS))
    assert fit.weights.shape == (4, 2)
    twin = dataclasses.replace(planted, X={n: v[:, [6, 6, 1, 1]] for n, v in planted.X.items()}, layers=1)
    (same,) = fit_jobs(twin, [Job(1, ("x",), np.arange(4), 0.0, 0.0)], method_of("pair", SETTINGS))
    np.testing.assert_allclose(fit.weights, same.weights, atol=1e-6)
    assert {r.order[0] for result in run(pairs) for r in result.rows} == {6}


def test_spread_is_over_the_reported_rows():
    def fit(score):
        return Fit(np.zeros(0), 1, {}, {"test": score})

    def row(n, score):
        return Row(1, 1, 0, None, 9, neurons=np.arange(n), fit=fit(score))

    results = [
        Result(1, fit(0.8), 0, 0, [row(5, 0.7), row(3, 0.75)], 1),
        Result(2, fit(0.9), 0, 0, [row(7, 0.85), row(2, 0.1)], 0),
    ]
    assert spread(results) == {"oracle": [0.8, 0.9], "n": [3, 7], "score": [0.75, 0.85]}


def test_models_take_and_put():
    models = models_of(4, 3, [0.0, 0.1, 0.2], [0.0, 0.0, 0.0])
    before = models.weights.copy()
    part = models.take(np.array([0]), np.array([0, 2]))
    np.testing.assert_array_equal(part.of(0, 1), models.of(0, 2))
    part.weights += 1
    models.put(part, np.array([0]), np.array([0, 2]), np.array([[False, True]]))
    np.testing.assert_array_equal(models.of(0, 2), part.of(0, 1))
    for j in (0, 1):
        np.testing.assert_array_equal(models.of(0, j), Models(before, models.intercept, models.l1, models.l2).of(0, j))


# the rule, on artifacts


ROWS = {"train": 300, "tune": 60, "judge": 120, "test": 200}


def write_bench(paths: Paths, task: str, unit: str) -> None:
    """Two layers of four neurons of which global neuron 5 tells the class; neuron 2 never varies."""
    rng = np.random.default_rng(8)
    for split, n in ROWS.items():
        y = rng.integers(0, 2, n)
        vectors = rng.standard_normal((2 * n if unit == "pair" else n, 8)).astype(np.float32) + 2
        vectors[:, 2] = 0.5
        if unit == "pair":
            vectors[n:, 5] = vectors[:n, 5] + 3 * y
        else:
            vectors[:, 5] += 4 * y
        with Writer(paths.task(task) / split, "prepare", {}) as out:
            out.jsonl("inputs.jsonl", [{"id": i, "file": f"{i % 30}.py"} for i in range(len(vectors))])
            more = [
                {"input2": n + i} if unit == "pair" else {"seen": True} if unit == "token" else {} for i in range(n)
            ]
            out.jsonl("rows.jsonl", [{"input": i, "label": int(c), **more[i]} for i, c in enumerate(y)])
        with Writer(paths.activations("m", task, split), "activations", {}) as out:
            for layer in range(2):
                out.npy(f"layer_{layer:02d}.npy", vectors[:, 4 * layer : 4 * layer + 4])
            out.facts = {"layers": 2, "width": 4, "vectors": len(vectors)}
    with Writer(paths.task(task) / "card", "prepare", {}) as out:
        card = {"unit": unit, "classes": ["a", "b"], "metric": "macro_f1", "scored_classes": [0, 1]}
        out.json("card.json", card)


UNITS = {"tokens": "token", "texts": "sequence", "pairs": "pair"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Params and paths of a run of both protocols in which reproduce_published has run on a task of each unit."""
    raw = load_params("params.yaml").model_dump()
    raw["run"] = {"models": ["m"], "tasks": list(UNITS), "protocols": ["strict", "published"]}
    raw["models"] = {"m": {"path": "."}}
    raw["prepare"]["tasks"] = dict.fromkeys(UNITS, raw["prepare"]["tasks"]["token-roles"])
    raw["published"] = {"seeds": [3, 4], "batch": 30, "learning_rate": 0.1, "grid": [0.0, 0.01], "shares": [0.2, 0.5]}
    params, paths = Params.model_validate(raw), Paths("tiny", tmp_path_factory.mktemp("build"))
    for task, unit in UNITS.items():
        write_bench(paths, task, unit)
        reproduce_published(params, paths, model="m", task=task)
    return params, paths


@pytest.mark.parametrize("task", UNITS)
def test_the_report_is_whole_and_repeats_its_bytes(bench, task):
    params, paths = bench
    folder = paths.published("m", task)
    check_files(folder)
    found = read_json(folder / "published.json")
    assert found["rows"] == {"train": 300, "test": 200, "dev": 180} and found["constant"] == 1
    assert (found["n_neurons"], found["layers"], found["width"]) == (8, 2, 4)
    assert [s["seed"] for s in found["seeds"]] == [3, 4]
    for seed in found["seeds"]:
        assert len(seed["rows"]) == 6 and [r["threshold"] for r in seed["rows"]] == [None, 0.3] * 3
        best = seed["rows"][seed["reported"]]
        assert best["score"] == max(r["score"] for r in seed["rows"])
        assert best["k"] == 1 and 1 in best["layers"] and best["share"] == best["n"] / 8
        assert best["n"] == 1 or (task == "texts" and best["n"] == 4)  # raw features: one neuron may train too slowly
        penalties = {0.0, 0.01} if task == "tokens" else {1e-5}
        assert {seed["oracle"]["l1"], seed["oracle"]["l2"]} <= penalties
        assert all(r["epochs"] == 10 for r in seed["rows"]) == (task != "tokens")
    before = (folder / "published.json").read_bytes()
    reproduce_published(params, paths, model="m", task=task)
    assert (folder / "published.json").read_bytes() == before


def test_the_metric_is_accuracy_for_tokens_and_the_tasks_own_for_others(bench):
    _, paths = bench
    for task, metric in (("tokens", "accuracy"), ("texts", "macro_f1")):
        found = read_json(paths.published("m", task) / "published.json")
        assert (found["metric"], found["primary_metric"]) == (metric, "macro_f1")
        oracle = found["seeds"][0]["oracle"]
        assert (oracle["score"] == oracle["primary"]) == (metric == "macro_f1")
    y, train = (
        [row["label"] for row in read_jsonl(paths.task("texts") / split / "rows.jsonl")] for split in ("test", "train")
    )
    most = int(np.mean(train) > 0.5)
    C = np.zeros((2, 2))
    C[0, most], C[1, most] = y.count(0), y.count(1)
    found = read_json(paths.published("m", "texts") / "published.json")
    assert found["majority"] == pytest.approx(float(macro_f1(C)))


def test_published_rows_follow_the_strict_ones_in_one_table(bench):
    params, paths = bench
    rows = published_rows(params, paths)
    assert [(r["protocol"], r["model"], r["task"]) for r in rows] == [("published", "m", t) for t in UNITS]
    found = read_json(paths.published("m", "tokens") / "published.json")
    row = rows[0]
    oracles = [s["oracle"]["score"] for s in found["seeds"]]
    assert (row["oracle"], row["oracle_low"], row["oracle_high"]) == (np.mean(oracles), min(oracles), max(oracles))
    assert (row["n_minimal"], row["n_minimal_low"], row["n_minimal_high"], row["share"]) == (1, 1, 1, 1 / 8)
    assert row["layers_used"] == "0-1" and row["metric"] == "accuracy"
    empty = ("status", "reference", "surface", "untrained", "random_test", "confirmed", "dev_half_width")
    assert all(row[name] is None for name in empty)
    for text in ("chosen on test", "not judged: see the strict row", "2 seeds", "accuracy, the published metric"):
        assert text in row["note"]
    assert "dense layer" in rows[2]["note"] and "dense layer" not in row["note"]
    strict = {**dict.fromkeys(COLUMNS), "benchmark": row["benchmark"], "version": row["version"], "protocol": "strict"}
    strict |= {"protocol": "strict", "model": "m", "task": "tokens", "oracle": 0.5}
    table = build_table([strict, *rows])
    assert [r["protocol"] for r in table] == ["strict"] + ["published"] * 3
    with pytest.raises(TableError, match="twice"):
        build_table([strict, *rows, rows[0]])
    with pytest.raises(TableError, match="several benchmarks or versions"):
        build_table([strict, row | {"version": row["version"] + 1}])
    changed = changed_cells(to_csv(table), to_csv(build_table([strict | {"oracle": 0.6}, *rows[1:]])))
    assert [(c["row"], c["column"]) for c in changed] == [("m/tokens", "oracle"), ("m/tokens (published)", "(all)")]


def test_without_the_protocol_nothing_is_read(bench):
    params, paths = bench
    run = params.run.model_copy(update={"protocols": ["strict"]})
    strict = params.model_copy(update={"run": run})
    assert published_rows(strict, paths) == []
    assert not [p for p in inputs_of(strict, paths, "build_leaderboard") if "published" in p.parts]
    assert len([p for p in inputs_of(params, paths, "build_leaderboard") if "published" in p.parts]) == 3


def test_every_probe_has_a_start_of_its_own(planted):
    """Rows that come to the same layers and sizes are trained anew, as restarts were in the publication."""
    names = [("size", 0, 0.1), ("size", 1, 0.1), ("size", 0, 0.1)]
    fits = fit_jobs(planted, [Job(1, name, np.arange(4), 0.0, 0.0) for name in names], method_of("token", SETTINGS))
    np.testing.assert_array_equal(fits[0].weights, fits[2].weights)
    assert not np.allclose(fits[0].weights, fits[1].weights, atol=1e-3)
