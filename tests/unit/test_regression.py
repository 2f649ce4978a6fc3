"""Tasks whose target is a number: metrics, bootstrap, solver, rankings, baselines and nulls against other answers.

The whole chain on planted truth is in test_planted_numbers.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import ElasticNet, Ridge
from sklearn.metrics import r2_score, root_mean_squared_error

from neurosieve.artifacts import Paths, Writer, read_json, read_npy
from neurosieve.concepts.auroc import concordance
from neurosieve.concepts.null import permute_numbers
from neurosieve.config import CONTROL_RANKINGS, ConfigError, Penalty, load_params, ranking_names, ranks_numbers
from neurosieve.probes import baselines, fit_baselines, intervals, metrics, rankings
from neurosieve.probes.control import control_numbers
from neurosieve.probes.features import read_rows
from neurosieve.probes.metrics import NUMBER
from neurosieve.probes.rankings import RankingInput
from neurosieve.probes.rankings.correlation import rank as by_correlation
from neurosieve.probes.solver import GramCache, SolverError, fit, row_weights

# --- metrics and bootstrap -------------------------------------------------------------------------------------------


@pytest.fixture
def rows():
    """Numbers far from 0 in files of unequal size, and three predictors: a good one, a poor one, a constant."""
    rng = np.random.default_rng(5)
    files = rng.integers(9, size=400)
    y = 1000 + 7 * rng.standard_normal(400) + files
    predicted = np.stack([y + rng.standard_normal(400), 1000 + 20 * rng.standard_normal(400), np.full(400, 1003.0)])
    return y, predicted.astype(np.float32), files


def test_metrics_are_those_of_sklearn_and_scipy(rows):
    y, predicted, files = rows
    C = metrics.counts_by_file(y, predicted, files, NUMBER)
    assert C.shape == (3, 9, 1, 6)
    for i, p in enumerate(predicted.astype(float)):
        total, found = C[i].sum(0), metrics.report(y, predicted[i], NUMBER, [])
        assert list(found) == list(metrics.NUMBER_METRICS)
        assert metrics.r2(total) == pytest.approx(r2_score(y, p), abs=1e-12) == pytest.approx(found["r2"])
        assert metrics.rmse(total) == pytest.approx(root_mean_squared_error(y, p), rel=1e-12)
        if i < 2:
            assert metrics.pearson(total) == pytest.approx(stats.pearsonr(y, p)[0], abs=1e-10)
            assert found["spearman"] == pytest.approx(stats.spearmanr(y, p)[0], abs=1e-12)
    assert found["spearman"] is None and found["pearson"] is None and found["r2"] < 0  # of the constant
    assert metrics.metric("r2", C[:, 3]).shape == (3,)


def test_spearman_with_ties_is_scipys():
    rng = np.random.default_rng(0)
    for _ in range(20):
        y, p = rng.integers(6, size=(2, 40)).astype(float)
        np.testing.assert_array_equal(metrics.ranks(y), stats.rankdata(y))
        assert metrics.spearman(y, p) == pytest.approx(stats.spearmanr(y, p)[0], abs=1e-12)


def test_ranks_of_columns_are_scipys():
    X = np.random.default_rng(1).integers(6, size=(40, 5)).astype(np.float32)
    np.testing.assert_array_equal(metrics.column_ranks(X), stats.rankdata(X, axis=0))
    assert metrics.column_ranks(X[:, :0]).shape == (40, 0)


def test_metrics_where_they_are_not_defined():
    same, other = np.full(5, 0.1), np.arange(5.0)
    assert metrics.report(same, other, NUMBER, []) == {
        "r2": None, "spearman": None, "pearson": None, "rmse": pytest.approx(root_mean_squared_error(same, other))
    }  # fmt: skip
    assert metrics.report(np.zeros(0), np.zeros(0), NUMBER, []) == dict.fromkeys(metrics.NUMBER_METRICS)
    assert metrics.r2(metrics.counts_by_file(same, other, np.zeros(5, int), NUMBER)[0]) == 0
    for bad in (np.array([np.nan, 1]), np.array([1, np.inf])):
        with pytest.raises(ValueError, match="not finite"):
            metrics.sums_by_file(np.array([0.0, 1]), bad, np.zeros(2, int))
    with pytest.raises(ValueError, match="differ in their rows"):
        metrics.sums_by_file(np.zeros(2), np.zeros(3), np.zeros(2, int))


def test_replicates_are_the_metrics_of_resampled_rows(rows):
    y, predicted, files = rows
    bootstrap = intervals.FileBootstrap(files, 40, 3)
    C = metrics.counts_by_file(y, predicted, files, NUMBER)
    for name, want in (("r2", r2_score), ("rmse", root_mean_squared_error)):
        got = bootstrap.replicates(C, lambda c, name=name: metrics.metric(name, c))
        for r in range(40):
            take = np.repeat(np.arange(y.size), bootstrap.weights[r].astype(int)[files])
            np.testing.assert_allclose(got[:, r], [want(y[take], p[take].astype(float)) for p in predicted], rtol=1e-9)
    # paired: of two predictors the same files are drawn
    d = bootstrap.replicates(C, metrics.r2)
    assert intervals.lower(d[0] - d[1], 0.95) > 0 > intervals.upper(d[1] - d[0], 0.95)


# --- solver ----------------------------------------------------------------------------------------------------------


def make(n: int, p: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated standardised features, and numbers of another scale that depend on a few of them."""
    rng = np.random.default_rng([seed, n, p])
    X = rng.normal(size=(n, 8)) @ rng.normal(size=(8, p)) + 0.5 * rng.normal(size=(n, p))
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    return X, 300 + 20 * (X[:, :5] @ rng.normal(size=5) + rng.normal(size=n))


def objective(X, y, w, b, l1, l2) -> float:
    z = (y - y.mean()) / y.std()
    error = X.astype(float) @ w / y.std() + (b - y.mean()) / y.std() - z
    w = w / y.std()
    return float(np.square(error).mean() / 2 + l1 * np.abs(w).sum() + l2 / 2 * np.square(w).sum())


@pytest.mark.parametrize(("n", "p"), [(200, 30), (60, 90)])
@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.1), (0.0, 0.001), (0.02, 0.01), (0.005, 0.003)])
def test_same_minimum_as_scikit_learn(n, p, l1, l2):
    X, y = make(n, p)
    z = (y - y.mean()) / y.std()
    probe = fit(X, y, NUMBER, l1, l2, gap=1e-6, max_iterations=20_000)
    same = (
        ElasticNet(alpha=l1 + l2, l1_ratio=l1 / (l1 + l2), tol=1e-12, max_iter=1_000_000) if l1 else Ridge(alpha=n * l2)
    ).fit(X.astype(float), z)
    best = objective(X, y, same.coef_ * y.std(), same.intercept_ * y.std() + y.mean(), l1, l2)
    own = objective(X, y, probe.weights[:, 0].astype(float), float(probe.intercept[0]), l1, l2)
    assert best * (1 - 1e-6) <= own <= best * (1 + 2e-6)
    assert probe.objective == pytest.approx(own, rel=1e-5) and probe.gap <= 1e-6
    np.testing.assert_allclose(probe.weights[:, 0] / y.std(), same.coef_, atol=0.01)
    predicted = probe.predict(X)
    assert probe.number and predicted.dtype == np.float32 and predicted.shape == (n,)
    np.testing.assert_allclose((predicted - y.mean()) / y.std(), same.predict(X.astype(float)), atol=0.01)
    assert (probe.weights.shape, probe.intercept.shape) == ((p, 1), (1,))


@pytest.mark.parametrize("l1", [0.0, 0.01])
def test_the_gap_bounds_the_distance_from_the_minimum_and_a_warm_start_helps(l1):
    X, y = make(150, 60)
    tight = fit(X, y, NUMBER, l1, 0.01, gap=1e-7, max_iterations=20_000)
    loose = fit(X, y, NUMBER, l1, 0.01, gap=0.05)
    assert loose.gap <= 0.05 and loose.objective * (1 - loose.gap) <= tight.objective * (1 + 1e-7)
    again = fit(X, y, NUMBER, l1, 0.01, gap=1e-4, warm=tight)
    assert again.iterations <= 2 and np.allclose(again.weights, tight.weights, atol=0.05)


def test_the_unit_of_the_target_changes_nothing_but_the_unit():
    X, y = make(120, 40)
    for l1 in (0.0, 0.02):
        probe, other = fit(X, y, NUMBER, l1, 0.01), fit(X, -1000 * y + 5, NUMBER, l1, 0.01)
        np.testing.assert_allclose(other.predict(X), -1000 * probe.predict(X) + 5, rtol=2e-3)
        assert other.objective == pytest.approx(probe.objective, rel=2e-4)


def test_the_cache_of_more_columns_serves_a_part_and_rows_have_no_weights():
    X, y = make(150, 50)
    columns = np.arange(3, 40, 2)
    cache = GramCache(X).take(columns)
    part = np.ascontiguousarray(X[:, columns])
    a, b = fit(part, y, NUMBER, 0.0, 0.01, cache=cache), fit(part, y, NUMBER, 0.0, 0.01)
    np.testing.assert_allclose(a.weights, b.weights, rtol=1e-3, atol=1e-3)
    assert row_weights(a, part) is None


def test_numbers_that_cannot_be_fitted_are_refused():
    X, y = make(40, 5)
    for bad in (np.full(40, 3.0), 1e9 + 1e-3 * y, np.where(y > y.mean(), np.nan, y)):
        with pytest.raises(ValueError, match="differ by more than"):
            fit(X, bad, NUMBER, 0.0, 0.1)
    with pytest.raises(SolverError, match="a number"):
        fit(X, y, NUMBER, 0.01, 1e-6, gap=1e-9, max_iterations=2)


# --- rankings --------------------------------------------------------------------------------------------------------

PLANTED = (3, 17, 30)
OF_NUMBERS = [name for name in ranking_names() if ranks_numbers(name)]
each = pytest.mark.parametrize("name", OF_NUMBERS)
each_that_looks = pytest.mark.parametrize("name", sorted(set(OF_NUMBERS) - set(CONTROL_RANKINGS)))
each_width = pytest.mark.parametrize("columns", [1, 3])


def planted(columns: int, scale: float = 1.0) -> RankingInput:
    """40 neurons of noise, three of which carry the number in all their columns."""
    rng = np.random.default_rng(columns)
    values = rng.normal(size=(600, 3))
    X = rng.normal(size=(600, 40, columns))
    X[:, PLANTED] += 2 * values[:, :, None]
    X = ((X - X.mean(0)) / X.std(0)).reshape(600, -1).astype(np.float32)
    y = scale * (values @ [1.0, -1.1, 1.2] + 50)
    return RankingInput(X, y, fit(X, y, NUMBER, 0.0, 0.01).weights, columns, NUMBER, seed=3)


def test_which_rankings_rank_for_numbers_is_said_in_their_files():
    assert set(OF_NUMBERS) == {"bottom", "correlation", "greedy", "l1-path", "lca", "random"}
    for name in OF_NUMBERS:
        assert rankings.load(name).__globals__["NUMBERS"] is True


@each
@each_width
def test_orders_are_permutations_and_the_same_again(name, columns):
    data = planted(columns)
    first, again = rankings.load(name)(data), rankings.load(name)(data)
    assert first.per_class.shape == (1, 40)
    for order in (first.order, first.per_class[0]):
        assert sorted(order.tolist()) == list(range(40))
    np.testing.assert_array_equal(first.order, again.order)


@each_that_looks
@each_width
def test_planted_neurons_come_first_in_any_unit_of_the_target(name, columns):
    orders = [rankings.load(name)(planted(columns, scale)).order[:12].tolist() for scale in (1.0, -1000.0)]
    assert set(orders[0][:3]) == set(PLANTED) and orders[0] == orders[1]


@each_that_looks
def test_neurons_that_are_all_alike_stay_in_their_order(name):
    X = np.repeat(np.array([[1.0], [-1], [1], [-1]], np.float32), 5, axis=1)
    data = RankingInput(X, np.array([0.0, 2, 1, 3]), np.ones((5, 1), np.float32), 1, NUMBER)
    assert rankings.load(name)(data).order.tolist() == [0, 1, 2, 3, 4]


def test_correlation_is_pearsons_and_of_classes_the_correlation_ratio():
    data = planted(1)
    r = np.abs(np.corrcoef(data.X.T, data.y)[-1, :-1])
    np.testing.assert_array_equal(by_correlation(data).order, np.argsort(-r, kind="stable"))
    y = np.digitize(data.y, np.quantile(data.y, [0.2, 0.5, 0.9]))
    means = np.stack([data.X[y == c].mean(0, dtype=float) for c in range(4)])
    eta = (np.bincount(y)[:, None] * np.square(means - data.X.mean(0, dtype=float))).sum(0)
    found = by_correlation(replace(data, y=y, n_classes=4))
    np.testing.assert_array_equal(found.order, np.argsort(-eta / data.X.var(0, dtype=float), kind="stable"))
    for c, order in enumerate(found.per_class):
        of_class = np.abs(np.corrcoef(data.X.T, y == c)[-1, :-1])
        np.testing.assert_array_equal(order[:10], np.argsort(-of_class, kind="stable")[:10])


def test_params_refuse_a_headline_that_ranks_by_classes_only(tmp_path):
    text = Path("tests/data/tiny.yaml").read_text(encoding="utf-8")
    text = text.replace("metric: accuracy", "metric: r2").replace("headline: elimination", "headline: probeless")
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"subsets\.headline: 'probeless' ranks by classes.*doc-match.*correlation"):
        load_params(path)


def test_params_refuse_rankings_none_of_which_ranks_for_a_number(tmp_path):
    text = Path("tests/data/tiny.yaml").read_text(encoding="utf-8").replace("metric: accuracy", "metric: r2")
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("rankings: [lca, probeless]\n  searches", "rankings: [probeless]\n  searches"))
    with pytest.raises(ConfigError, match=r"subsets\.rankings: none of \['probeless'\] ranks for a number.*lca"):
        load_params(path)


# --- baselines -------------------------------------------------------------------------------------------------------


def write_task(paths: Paths, unit: str, target) -> None:
    """Splits of texts of x's and y's in 12 files; ``target(text, text2)`` gives the number."""
    rng = np.random.default_rng(2)
    for split, n in (("train", 300), ("tune", 120), ("judge", 150), ("test", 150)):
        texts = [" ".join(rng.choice(["x", "yy", "z = 1"], size=rng.integers(2, 30))) for _ in range(n)]
        rows = []
        for i, text in enumerate(texts):
            other = texts[(i + 1) % n]
            row = {"input": i, "target": float(target(text, other) + 0.1 * rng.standard_normal())}
            if unit == "pair":
                row["input2"] = (i + 1) % n
            if unit == "token":
                end = len(text.split()[0])
                row |= {"start": 0, "end": end, "type": text[:end], "seen": True}
            rows.append(row)
        with Writer(paths.task("t") / split, "prepare", {}) as out:
            inputs = [
                {"id": i, "text": x, "file": f"{i % 12}.py", "package": "p", "name": "f"} for i, x in enumerate(texts)
            ]
            out.jsonl("inputs.jsonl", inputs)
            out.jsonl("rows.jsonl", rows)
    with Writer(paths.task("t") / "card", "prepare", {}) as out:
        out.json("card.json", {"task": "t", "unit": unit, "classes": [], "scored_classes": [], "metric": "r2"})


def length(text: str, other: str) -> float:
    return 10 + len(text)


def shared(text: str, other: str) -> float:
    a, b = set(baselines.word_pieces(text)), set(baselines.word_pieces(other))
    return 100 * len(a & b) / len(a | b)


def of_type(text: str, other: str) -> float:
    return {"x": 1.0, "yy": 5.0, "z": -7.0}[text.split()[0]]


@pytest.mark.parametrize(
    ("unit", "target", "best"), [("sequence", length, "length"), ("pair", shared, "word-overlap"),
                                 ("token", of_type, "lookup")],
)  # fmt: skip
def test_surface_baselines_of_numbers(tmp_path, unit, target, best):
    paths, params = Paths("b", tmp_path), load_params("tests/data/tiny.yaml")
    small = params.probes.model_copy(
        update={"baseline_penalties": [Penalty(l1=0.0, l2=0.001), Penalty(l1=0.0, l2=1.0)]}
    )
    params = params.model_copy(update={"probes": small})
    write_task(paths, unit, target)
    assert read_rows(paths, "t", "train").labels.dtype == np.float64
    fit_baselines(params, paths, task="t")
    found = read_json(paths.baselines("t") / "baselines.json")
    assert found["surface"] == best and found["metric"] == "r2"
    entries = found["baselines"]
    assert (
        entries[best]["judge"]["r2"] > 0.95 and entries[best]["judge"]["spearman"] > 0.6
    )  # most pairs share the same share
    assert abs(entries["majority"]["judge"]["r2"]) < 1e-9 and entries["majority"]["judge"]["spearman"] is None
    stored = read_npy(paths.baselines("t") / "predictions_judge.npy")
    assert stored.dtype == np.float32
    judge = read_rows(paths, "t", "judge").labels
    np.testing.assert_allclose(stored[found["order"].index("majority")], judge.mean(), rtol=1e-6)
    # read back from the files alone they predict the same
    names, again = baselines.predict_baselines(paths, "t", "judge")
    assert names == found["order"]
    np.testing.assert_array_equal(again, stored)


def test_tables_of_numbers_give_the_mean_of_the_key():
    e = baselines.Examples(["a b"] * 3, None, [(0, 1)] * 3, ["p", "p", "q"], read := _rows([1.0, 4.0, 10.0]))
    table = baselines.Tables.fit(baselines.Fitting(e, e, None, NUMBER, None), ("type",))
    other = baselines.Examples(["a b"] * 3, None, [(0, 1)] * 3, ["q", "p", "new"], read)
    assert table.predict(other).tolist() == [10.0, 2.5, 5.0]


def test_least_squares_of_a_baseline_minimises_the_stated_objective():
    from scipy import sparse

    X, y = make(80, 20)
    for penalty in (Penalty(l1=0.0, l2=0.01), Penalty(l1=0.02, l2=0.01)):
        model = baselines.Squares.fit(baselines._Path(sparse.csr_array(X.astype(float)), y, NUMBER), penalty)
        exact = fit(X, y, NUMBER, penalty.l1, penalty.l2, gap=1e-7, max_iterations=20_000)
        own = objective(X, y, model.weights.astype(float), float(model.intercept[0]), penalty.l1, penalty.l2)
        assert own == pytest.approx(exact.objective, rel=1e-4)
        assert model.predict(sparse.csr_array(X.astype(float))).dtype == np.float32


def test_a_baseline_that_stops_short_of_its_minimum_is_refused(monkeypatch):
    """Conjugate gradients of scikit-learn end without a warning."""
    from scipy import sparse

    X, y = make(80, 20)
    columns = sparse.csr_array(X.astype(float) * np.geomspace(1e-2, 1e2, X.shape[1]))
    baselines.Squares.fit(baselines._Path(columns, y, NUMBER), Penalty(l1=0.0, l2=1e-4))
    monkeypatch.setattr(baselines, "MAX_ITERATIONS", 1)
    with pytest.raises(baselines.BaselineError, match="did not converge in 1 iterations"):
        baselines.Squares.fit(baselines._Path(columns, y, NUMBER), Penalty(l1=0.0, l2=1e-4))


def test_a_split_of_equal_numbers_is_refused(tmp_path):
    paths = Paths("b", tmp_path)
    write_task(paths, "sequence", length)
    with Writer(paths.task("t") / "tune", "prepare", {}) as out:
        out.jsonl("inputs.jsonl", [{"id": i, "text": "x", "file": f"{i}.py"} for i in range(5)])
        out.jsonl("rows.jsonl", [{"input": i, "target": 2.0} for i in range(5)])
    with pytest.raises(baselines.BaselineError, match=r"tune: every row has the target 2"):
        fit_baselines(load_params("tests/data/tiny.yaml"), paths, task="t")


def _rows(labels: list[float]):
    zeros = np.zeros(len(labels), np.int64)
    return baselines.Rows(np.array(labels), zeros, None, zeros, None)


# --- control tasks and concepts --------------------------------------------------------------------------------------


def test_control_numbers_are_drawn_from_train_by_the_type():
    targets = np.random.default_rng(0).gamma(2.0, size=500)
    types = [f"t{i}" for i in range(4000)]
    drawn = control_numbers(types, targets, 1, "task", 0)
    assert set(drawn) <= set(targets)
    assert stats.ks_2samp(drawn, targets).pvalue > 0.01
    np.testing.assert_array_equal(drawn[:9], control_numbers(types[:9], targets[::-1], 1, "task", 0))
    assert abs(stats.spearmanr(drawn, control_numbers(types, targets, 1, "task", 1))[0]) < 0.06


def test_concordance_is_spearmans_and_the_null_keeps_its_level():
    rng = np.random.default_rng(1)
    X = rng.integers(20, size=(300, 6)).astype(np.float32)
    y = X[:, 0] + 10 * rng.standard_normal(300)
    X[:, 5] = 1
    want = [stats.spearmanr(column, y)[0] for column in X.T[:5]]
    found = concordance(X, y)
    np.testing.assert_allclose(2 * found[:5] - 1, want, atol=1e-12)
    assert np.isnan(found[5])
    null = permute_numbers(X, y, np.arange(300), None, 200, rng)
    assert null.scores.shape == (201, 6, 1, 2)
    np.testing.assert_allclose(null.scores[0, :5, 0, 0], want, atol=1e-12)
    np.testing.assert_allclose(null.scores[0, :5, 0, 1], np.negative(want), atol=1e-12)
    z = null.z[:, :5, 0].max(axis=2)
    assert z[0, 0] == z[:, 0].max() and (z[0, 1:] < 4).all()
    assert null.sd[1, 0, 0] == pytest.approx(1 / np.sqrt(299), rel=0.2)


def test_values_of_unseen_types_are_judged_apart_where_they_are_enough():
    rng = np.random.default_rng(2)
    X, units = rng.standard_normal((400, 1)).astype(np.float32), np.arange(400)
    y, seen = X[:, 0].astype(float), np.arange(400) < 300
    null = permute_numbers(X, y, units, seen, 20, rng)
    assert null.unseen.tolist() == [True] and null.scores[0, 0, 0, 0] == 1
    assert permute_numbers(X, y, units, np.arange(400) < 390, 20, rng).unseen.tolist() == [False]
