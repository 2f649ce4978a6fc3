"""The rankings beside lca and probeless, each against an independent answer (those two: test_lca_probeless.py)."""

from __future__ import annotations

import importlib
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, rankdata
from sklearn.linear_model import OrthogonalMatchingPursuit
from sklearn.metrics import average_precision_score, roc_auc_score

from neurosieve.probes import rankings
from neurosieve.probes.rankings import RankingInput, from_scores
from neurosieve.probes.rankings._places import places
from neurosieve.probes.solver import fit

gaussian = importlib.import_module("neurosieve.probes.rankings.gaussian")
greedy = importlib.import_module("neurosieve.probes.rankings.greedy")
l1_path = importlib.import_module("neurosieve.probes.rankings.l1_path")


def given(X, y, *, classes=None, columns=1, seed=0) -> RankingInput:
    X, y = np.asarray(X, np.float32), np.asarray(y)
    classes = int(y.max()) + 1 if classes is None else classes
    weights = np.zeros((X.shape[1], 1 if classes == 2 else classes), np.float32)
    return RankingInput(X=X, y=y, weights=weights, columns=columns, n_classes=classes, seed=seed)


def made_up(rows=400, columns=30, classes=4, seed=0, ties=False) -> RankingInput:
    """Standardised columns of many degrees of use, with correlations between them; some columns with few values."""
    rng = np.random.default_rng(seed)
    y = rng.choice(classes, size=rows, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    X = rng.normal(size=(rows, columns)) + rng.normal(size=(rows, 3)) @ rng.normal(size=(3, columns))
    X += (rng.normal(size=(classes, columns)) * rng.uniform(0, 1.5, columns))[y]
    if ties:
        X[:, ::2] = np.round(X[:, ::2])
        X[:, 4] = -X[:, 4] * 0
    X = (X - X.mean(0)) / np.where(X.std(0) > 0, X.std(0), 1)
    return given(X, y, classes=classes)


def expected_order(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-np.round(scores, 12), kind="stable")


# --- rank statistics


def test_places_by_hand():
    X = np.array([[2.0, 0], [-1, -0.0], [2, 1], [5, 0]], np.float32)
    ((columns, first, last),) = places(X, np.array([0, 1, 1, 0]))
    assert columns == slice(0, 2)
    # column 0: -1 at 0, the two 2s at 1..2, 5 at 3; class 0 holds 2 and 5, class 1 holds -1 and 2
    assert first[0].tolist() == [1, 3, 0, 1] and last[0].tolist() == [2, 3, 0, 2]
    # column 1: three zeros, of either sign, at 0..2
    assert first[1].tolist() == [0, 0, 0, 3] and last[1].tolist() == [2, 2, 2, 3]


def test_places_agree_with_scipy_ranks_across_bands(monkeypatch):
    monkeypatch.setattr("neurosieve.probes.rankings._places.BAND", 7)
    data = made_up(ties=True)
    seen = []
    for columns, first, last in places(data.X, data.y):
        seen += range(*columns.indices(data.X.shape[1]))
        for i, column in enumerate(data.X[:, columns].T):
            expected = np.concatenate([np.sort(rankdata(column)[data.y == c]) for c in range(4)])
            np.testing.assert_array_equal((first[i] + last[i]) / 2 + 1, expected)
    assert seen == list(range(30))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
def test_auroc_is_that_of_sklearn(classes, ties):
    data = made_up(classes=classes, ties=ties)
    expected = np.array([[abs(roc_auc_score(data.y == c, x) - 0.5) for x in data.X.T] for c in range(classes)])
    ranking = rankings.load("auroc")(data)
    np.testing.assert_array_equal(ranking.order, expected_order(expected.mean(0)))
    rows = [expected_order(e) for e in (expected[:1] if classes == 2 else expected)]
    np.testing.assert_array_equal(ranking.per_class, rows)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
def test_average_precision_is_that_of_sklearn(classes, ties):
    data = made_up(classes=classes, ties=ties)
    expected = np.array(
        [[max(average_precision_score(data.y == c, s * x) for s in (1, -1)) for x in data.X.T] for c in range(classes)]
    )
    ranking = rankings.load("average-precision")(data)
    np.testing.assert_array_equal(ranking.order, expected_order(expected.mean(0)))
    rows = [expected_order(e) for e in (expected[:1] if classes == 2 else expected)]
    np.testing.assert_array_equal(ranking.per_class, rows)


@pytest.mark.parametrize("name", ["auroc", "average-precision"])
def test_of_several_columns_the_best_counts(name):
    y = [0, 0, 1, 1]
    useless, good, fair = [1, 2, 1, 2], [0, 1, 5, 6], [0, 3, 2, 4]
    data = given(np.transpose([fair, fair, useless, good]), y, columns=2)
    assert rankings.load(name)(data).order.tolist() == [1, 0]


def test_rare_classes_do_not_decide_the_order_of_all():
    """A class of one row separates perfectly by chance in many neurons: it counts in its own order alone."""
    y = np.repeat([0, 1, 2], [30, 30, 1])
    data = given(np.zeros((61, 3)), y)
    scores = np.array([[0.1, 0.3, 0.2], [0.1, 0.3, 0.2], [0.5, 0.0, 0.1]])
    ranking = from_scores(data, np.arange(3), scores)
    assert ranking.order.tolist() == [1, 2, 0] and ranking.per_class[2].tolist() == [0, 2, 1]
    few = given(np.zeros((3, 3)), [0, 1, 2])
    assert from_scores(few, np.arange(3), scores).order.tolist() == [0, 1, 2]  # none has enough: all count


# --- means


def test_mean_select_by_hand():
    X = [[0, 3, 7], [2, 1, 7], [4, 3, 7], [10, 1, 7]]
    y = [0, 0, 1, 2]
    # ranges 10, 2, 0; class 0: |1 - 7|, |2 - 2|; class 1: |4 - 4|, |3 - 5/3|; class 2: |10 - 2|, |1 - 7/3|
    # over the range: .6 0, 0 2/3, .8 2/3, means .467 .444; the third neuron is constant
    ranking = rankings.load("mean-select")(given(X, y))
    assert ranking.order.tolist() == [0, 1, 2]
    assert ranking.per_class.tolist() == [[0, 1, 2], [1, 0, 2], [0, 1, 2]]


def test_mean_select_adds_up_the_columns_of_a_neuron():
    X = [[0, 0, 0, 0], [10, 10, 10, 10], [0, 0, 0, 0], [0, 6, 4, 10]]
    # class means 5 5 5 5 and 0 3 2 5, ranges 10: .5 + .2 against .3 + 0
    assert rankings.load("mean-select")(given(X, [0, 0, 1, 1], columns=2)).order.tolist() == [0, 1]
    assert rankings.load("mean-select")(given(np.array(X)[:, [2, 3, 0, 1]], [0, 0, 1, 1], columns=2)).order[0] == 1


# --- controls


def test_bottom_is_lca_from_its_end():
    data = made_up()
    data.weights[:] = np.random.default_rng(0).normal(size=data.weights.shape)
    top, bottom = rankings.load("lca")(data), rankings.load("bottom")(data)
    np.testing.assert_array_equal(bottom.order, top.order[::-1])
    np.testing.assert_array_equal(bottom.per_class, top.per_class[:, ::-1])


def test_random_depends_on_the_seed_alone():
    one, other = made_up(seed=1), made_up(seed=2)
    order = rankings.load("random")(one).order
    np.testing.assert_array_equal(order, rankings.load("random")(other).order)
    reseeded = RankingInput(one.X, one.y, one.weights, 1, 4, seed=9)
    assert (rankings.load("random")(reseeded).order != order).any()


# --- gaussian


def gaussian_by_brute_force(data: RankingInput, depth: int) -> list[int]:
    """Every step fits every candidate anew, with scipy's density."""
    judged = gaussian._sample(data.y, data.seed)
    fitted = np.setdiff1d(np.arange(len(data.y)), judged)
    c, classes = data.columns, data.n_classes
    count = np.bincount(data.y[fitted])

    def likelihood(neurons: list[int]) -> float:
        Z = data.X[:, (np.array(neurons)[:, None] * c + np.arange(c)).ravel()].astype(np.float64)
        parts = [Z[fitted][data.y[fitted] == k] for k in range(classes)]
        S = [np.cov(part.T, bias=True).reshape(Z.shape[1], -1) for part in parts]
        T = np.diag(sum(n * np.diag(s) for n, s in zip(count, S, strict=True)) / len(fitted))
        prior, floor = gaussian.PRIOR, gaussian.FLOOR * np.eye(Z.shape[1])
        log_density = np.stack(
            [
                np.log(n / len(fitted))
                + multivariate_normal(part.mean(0), (n * s + prior * T) / (n + prior) + floor).logpdf(Z[judged])
                for n, s, part in zip(count, S, parts, strict=True)
            ]
        )
        own = log_density[data.y[judged], np.arange(len(judged))]
        return float((own - logsumexp(log_density, axis=0)).sum())

    alone = [likelihood([j]) for j in range(data.neurons)]
    taken: list[int] = []
    for _ in range(depth):
        left = [j for j in range(data.neurons) if j not in taken]
        taken.append(max(left, key=lambda j: likelihood([*taken, j])))
    return taken + sorted((j for j in range(data.neurons) if j not in taken), key=lambda j: -alone[j])


@pytest.mark.parametrize(("classes", "columns"), [(3, 1), (2, 2)])
def test_gaussian_is_the_greedy_selection_by_refits(classes, columns, monkeypatch):
    monkeypatch.setattr(gaussian, "DEPTH", 6)
    monkeypatch.setattr(gaussian, "BLOCK", 5)
    data = made_up(rows=300, columns=12 * columns, classes=classes, seed=5)
    data = RankingInput(data.X, data.y, data.weights, columns, classes, seed=2)
    expected = gaussian_by_brute_force(data, 6)
    assert rankings.load("gaussian")(data).order.tolist() == expected
    assert expected[:6] != sorted(expected[:6], key=[*gaussian_by_brute_force(data, 1)].index)  # not what each is alone


def test_gaussian_looks_at_few_candidates_only(monkeypatch):
    data = made_up(columns=40)
    alone = None
    for candidates in (40, 8):
        monkeypatch.setattr(gaussian, "CANDIDATES", candidates)
        monkeypatch.setattr(gaussian, "DEPTH", 1)
        order = rankings.load("gaussian")(data).order
        alone = order if alone is None else alone
        np.testing.assert_array_equal(order, alone)  # blocks of 8 neurons give the same
    monkeypatch.setattr(gaussian, "DEPTH", 8)
    order = rankings.load("gaussian")(data).order
    assert set(order[:8].tolist()) == set(alone[:8].tolist())
    np.testing.assert_array_equal(order[8:], alone[8:])


def test_gaussian_tells_classes_apart_by_their_spread_and_stands_singular_classes():
    """Equal means: no linear ranking sees the neuron; copies, constants and a class of two rows break nothing."""
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1, 2], [200, 200, 2])
    X = rng.normal(size=(402, 8))
    X[:, 5] *= np.where(y == 1, 6, 1)
    X[:, 6] = X[:, 5]
    X[:, 7] = 0
    X[y == 1, 0] = 0.25  # constant within a class
    ranking = rankings.load("gaussian")(given(X, y))
    assert set(ranking.order[:2].tolist()) == {0, 5}  # and not the copy
    assert sorted(ranking.order.tolist()) == list(range(8))


# --- l1 path


@pytest.mark.parametrize("screen", ["strong rule", "wrong"])
def test_l1_path_is_the_order_of_entry_of_separate_fits(screen, monkeypatch):
    """Without screening and warm starts, solved closely: the same steps of entry, also where the screen is wrong."""
    if screen == "wrong":
        monkeypatch.setattr(l1_path, "_likely", lambda slope, *_: np.arange(len(slope)) == 7)
    monkeypatch.setattr(l1_path, "GAP", 1e-7)
    monkeypatch.setattr(l1_path, "SLACK", 1.0001)
    monkeypatch.setattr(l1_path, "ENOUGH", 15)
    data = made_up(rows=250, columns=24, classes=3, seed=3)
    onehot = np.eye(3)[data.y]
    largest = np.abs(data.X.T @ (onehot.mean(0) - onehot) / 250).max(axis=1)
    l1, entry, masses = largest.max(), {}, {}
    for step in range(1, l1_path.STEPS + 1):
        l1 *= l1_path.RATIO
        W = np.abs(fit(data.X, data.y, 3, l1, l1_path.L2, gap=1e-7, max_iterations=20000).weights)
        for j in np.flatnonzero(W.any(axis=1)):
            if j not in entry:
                entry[j], masses[j] = step, W[j].sum()
        if len(entry) >= 15:
            break
    assert len(set(entry.values())) > 5
    entered = sorted(entry, key=lambda j: (entry[j], -masses[j]))
    rest = sorted((j for j in range(24) if j not in entry), key=lambda j: -largest[j])
    assert rankings.load("l1-path")(data).order.tolist() == [*entered, *rest]


def test_l1_path_of_one_predictive_pair_of_copies():
    """The first to enter is the column that correlates most; of two classes there is one weight vector."""
    data = made_up(classes=2, seed=7)
    correlation = np.abs(data.X.T @ (data.y - data.y.mean()))
    ranking = rankings.load("l1-path")(data)
    assert ranking.order[0] == correlation.argmax()
    np.testing.assert_array_equal(ranking.per_class, ranking.order[None])


def test_l1_path_ends_where_a_fit_is_not_solved(monkeypatch, caplog):
    whole = rankings.load("l1-path")(made_up()).order
    monkeypatch.setattr(l1_path, "GAP", 1e-9)
    monkeypatch.setattr(l1_path, "MAX_ITERATIONS", 15)
    order = rankings.load("l1-path")(made_up()).order
    assert "the l1 path ends before step" in caplog.text
    assert order[0] == whole[0] and sorted(order.tolist()) == list(range(30))


def test_l1_path_columns_are_one_group_and_no_signal_keeps_the_order():
    y = np.tile([0, 1], 50)
    signal = np.where(y == 1, 1.0, -1.0)
    noise = np.random.default_rng(0).normal(size=(100, 5))
    data = given(np.column_stack([noise, signal + 0.1 * noise[:, 0]]), y, columns=2)
    assert rankings.load("l1-path")(data).order[0] == 2
    assert rankings.load("l1-path")(given(np.zeros((100, 4)), y)).order.tolist() == [0, 1, 2, 3]


# --- greedy


def test_greedy_is_orthogonal_matching_pursuit():
    data = made_up(rows=300, columns=25, classes=2, seed=4)
    target = data.y - data.y.mean()
    order = rankings.load("greedy")(data).order
    supports = [
        set(np.flatnonzero(OrthogonalMatchingPursuit(n_nonzero_coefs=k, fit_intercept=False).fit(data.X, target).coef_))
        for k in range(1, 16)
    ]
    steps = [next(iter(supports[0])), *(next(iter(b - a)) for a, b in pairwise(supports))]
    assert order[:15].tolist() == steps
    assert order.tolist() != expected_order(np.abs(data.X.T @ target)).tolist()


@pytest.mark.parametrize("columns", [1, 2])
def test_greedy_takes_the_group_that_correlates_most_with_what_is_left(columns, monkeypatch):
    """Each step refitted by least squares on all targets; after the last the order of lca."""
    monkeypatch.setattr(greedy, "DEPTH", 5)
    data = made_up(rows=300, columns=14 * columns, classes=4, seed=6)
    weights = np.random.default_rng(1).normal(size=data.weights.shape).astype(np.float32)
    data = RankingInput(data.X, data.y, weights, columns, 4)
    X = data.X.astype(np.float64)
    count = np.bincount(data.y)
    Y = (np.eye(4)[data.y] - count / 300) / np.sqrt(count)

    def left(taken: list[int]) -> np.ndarray:
        at = (np.array(taken, int)[:, None] * columns + np.arange(columns)).ravel()
        residual = Y - X[:, at] @ np.linalg.lstsq(X[:, at], Y, rcond=None)[0] if taken else Y
        score = np.square(X.T @ residual).sum(1).reshape(-1, columns).sum(1)
        score[taken] = -1
        return score

    taken: list[int] = []
    for _ in range(5):
        taken.append(int(left(taken).argmax()))
    rest = [j for j in rankings.load("lca")(data).order.tolist() if j not in taken]
    assert rest != sorted(rest)
    assert rankings.load("greedy")(data).order.tolist() == [*taken, *rest]


def test_greedy_leaves_copies_for_last():
    data = made_up(columns=10, seed=8)
    X = np.column_stack([data.X, data.X[:, ::-1], data.X[:, :3] * -2])
    order = rankings.load("greedy")(given(X, data.y)).order
    base = np.where(order < 10, order, np.where(order < 20, 19 - order, order - 20))
    assert sorted(base[:10].tolist()) == list(range(10))  # one of each before any second
    assert order[10:].tolist() == sorted(order[10:].tolist())  # worth nothing alike: by index
