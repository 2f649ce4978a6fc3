"""The search of the protocol `published`: oracle, LS, CC, LCA, and the row with the best score. Touches no files.

The steps are those of METHOD 2 ("LS+CC+LCA"), with their faults: every threshold, every restart and the row that is
reported are chosen on the set that is reported (``choose``, by default test); tolerances compound; sizes are
grid points. What the description leaves open is taken as: one penalty for all sizes, chosen with all neurons on dev
(ties: the first of the grid, l1 before l2); the prefix of all layers is the oracle itself; a further clustering
threshold works on what the one before has left, as in the published files (METHOD 3.2, row 12); constant neurons are
clusters of their own (row 10); sizes beyond the neurons at hand are all of them; where no size passes, the last is the
row's; of rows with equal scores the smaller, then the earlier is reported. Inside a step of the LCA ranking, where
published files have an arbitrary order, it is that of rankings/lca.py.

Every probe starts from weights of its own, drawn from the seed and the probe's name; nothing is shared by rows that
come to the same layers, for the protocol trained each of them anew.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from neurosieve.config import Published
from neurosieve.probes.rankings import RankingInput
from neurosieve.probes.rankings.lca import rank
from neurosieve.redundancy import column_distances, random_members
from neurosieve.redundancy.clusters import cut
from neurosieve.subsets.published.probe import Method, start, train

WIDE = 512  # columns of weights trained in one product: more of them no longer fit the caches
STACK = 1 << 26  # float32 numbers of features gathered at once, 256 MB


@dataclass(frozen=True)
class Data:
    """Features and classes of the published splits.

    X : float32 (rows, neurons * columns) per set, neuron-major: "train", "dev", and the sets that are scored.
    y : int64 (rows,) per set.
    vectors : float32 (rows, neurons), in which correlations are measured; X["train"] unless neurons have more columns.
    score : (set, predicted classes) -> score, the published metric.
    names : what goes into the generators beside the seed, for example the benchmark's seed and the row's name.
    memory : fits by job, where searches that differ only in `choose` are to share them; None: none are kept.
    """

    X: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    vectors: np.ndarray
    layers: int
    width: int
    columns: int
    n_classes: int
    score: Callable[[str, np.ndarray], float]
    names: tuple[int, ...] = ()
    memory: dict[tuple[object, ...], Fit] | None = None

    @property
    def n_neurons(self) -> int:
        return self.layers * self.width

    def rng(self, seed: int, *names: object) -> np.random.Generator:
        return np.random.default_rng([*self.names, seed, zlib.crc32(repr(names).encode())])

    @property
    def sets(self) -> list[str]:
        """Sets that are predicted: all but train."""
        return [name for name in self.X if name != "train"]


@dataclass(frozen=True)
class Job:
    """One probe to be trained: ``name`` sets its start; ``neurons`` are global indices, best first or ascending."""

    seed: int
    name: tuple[object, ...]
    neurons: np.ndarray
    l1: float
    l2: float


@dataclass(frozen=True)
class Fit:
    """A trained probe: weights float32 (columns, K), epochs, predicted classes and score per set."""

    weights: np.ndarray
    epochs: int
    predicted: dict[str, np.ndarray]
    scores: dict[str, float]


# What every choice goes by: larger is better.
Choice = Callable[[Fit], float]


def on_test(fit: Fit) -> float:
    """The choice of the protocol."""
    return fit.scores["test"]


@dataclass
class Row:
    """One line of the published table: a pair of tolerances at one clustering threshold.

    k : LS(dL), the last layer kept; kept : neurons that the sizes were drawn from; base : score of the probe on them;
    n, share : size and its share of all neurons of the model; passed : whether any size met the tolerance.
    """

    dL: float
    dN: float
    k: int
    threshold: float | None
    kept: int
    base: float = np.nan
    order: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    neurons: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    share: float = np.nan
    passed: bool = False
    fit: Fit | None = None

    @property
    def n(self) -> int:
        return len(self.neurons)


@dataclass
class Result:
    """What one seed comes to: the oracle with its penalty, the rows, and the place of the reported one."""

    seed: int
    oracle: Fit
    l1: float
    l2: float
    rows: list[Row]
    reported: int

    @property
    def best(self) -> Row:
        return self.rows[self.reported]


def fit_jobs(data: Data, jobs: Sequence[Job], method: Method) -> list[Fit]:
    """Train all probes, those on the same neurons in one wide product and those of one size in batched ones."""
    keys = [(j.seed, j.name, j.neurons.astype(np.int64).tobytes(), j.l1, j.l2) for j in jobs]
    found = [None if data.memory is None else data.memory.get(key) for key in keys]
    # (size, models) -> sets of jobs on the same neurons; with shuffling a seed has an order of rows of its own
    same: dict[tuple[bytes, int], list[int]] = defaultdict(list)
    for i, job in enumerate(jobs):
        if found[i] is None:
            same[job.neurons.astype(np.int64).tobytes(), job.seed if method.shuffle else 0].append(i)
    wide = max(1, WIDE // data.n_classes)
    alike: dict[tuple[int, int], list[list[int]]] = defaultdict(list)
    for members in same.values():
        for first in range(0, len(members), wide):
            part = members[first : first + wide]
            alike[len(jobs[part[0]].neurons), len(part)].append(part)
    rows = sum(len(y) for y in data.y.values())
    for (size, models), groups in alike.items():
        deep = max(1, min(STACK // (rows * size * data.columns), wide // models))
        for first in range(0, len(groups), deep):
            _fit_stack(data, jobs, groups[first : first + deep], method, found)
    fits = [fit for fit in found if fit is not None]
    assert len(fits) == len(jobs)
    if data.memory is not None:
        data.memory.update(zip(keys, fits, strict=True))
    return fits


def _fit_stack(
    data: Data, jobs: Sequence[Job], groups: list[list[int]], method: Method, found: list[Fit | None]
) -> None:
    """Train ``groups`` (feature sets x models) of places in ``jobs`` and put the fits there."""
    X = {name: _gather(data, values, [jobs[g[0]].neurons for g in groups]) for name, values in data.X.items()}
    models = start(
        [[data.rng(jobs[i].seed, "start", *jobs[i].name) for i in g] for g in groups],
        X["train"].shape[2],
        data.n_classes,
        np.array([[jobs[i].l1 for i in g] for g in groups]),
        np.array([[jobs[i].l2 for i in g] for g in groups]),
    )
    orders = [data.rng(jobs[g[0]].seed, "order", *jobs[g[0]].name) for g in groups] if method.shuffle else None
    models = train(models, X["train"], data.y["train"], X["dev"], data.y["dev"], method, orders)
    predicted = {name: models.predict(X[name]).astype(np.int16) for name in data.sets}
    for g, group in enumerate(groups):
        for j, i in enumerate(group):
            own = {name: values[g, j] for name, values in predicted.items()}
            scores = {name: data.score(name, values) for name, values in own.items()}
            found[i] = Fit(models.of(g, j).copy(), int(models.epochs[g, j]), own, scores)


def _gather(data: Data, X: np.ndarray, neurons: list[np.ndarray]) -> np.ndarray:
    """(sets, rows, columns) of the neurons; a view where they are one run of neighbours."""
    first = neurons[0]
    if len(neurons) == 1 and (first == np.arange(first[0], first[0] + len(first))).all():
        return X[None, :, first[0] * data.columns : (first[-1] + 1) * data.columns]
    out = np.empty((len(neurons), len(X), len(first) * data.columns), np.float32)
    for target, chosen in zip(out, neurons, strict=True):
        np.take(X, (chosen[:, None] * data.columns + np.arange(data.columns)).ravel(), axis=1, out=target)
    return out


def grid_of(token: bool, settings: Published) -> list[tuple[float, float]]:
    """Penalties (l1, l2) tried with all neurons."""
    if token:
        return [(l1, l2) for l1 in settings.grid for l2 in settings.grid]
    return [(settings.sequence_penalty, settings.sequence_penalty)]


def find_oracles(
    data: Data, seeds: Sequence[int], grid: list[tuple[float, float]], method: Method
) -> dict[int, tuple[Fit, float, float]]:
    """Probe on all neurons per seed, its penalty chosen on dev."""
    found = {}
    for seed in seeds:
        jobs = [Job(seed, ("oracle", l1, l2), np.arange(data.n_neurons), l1, l2) for l1, l2 in grid]
        fits = fit_jobs(data, jobs, method)
        best = max(range(len(grid)), key=lambda i: (fits[i].scores["dev"], -i))
        found[seed] = (fits[best], *grid[best])
    return found


def search(
    data: Data,
    settings: Published,
    method: Method,
    oracles: dict[int, tuple[Fit, float, float]],
    choose: Choice = on_test,
) -> list[Result]:
    """The steps after the oracle, for all seeds of ``oracles`` together; every choice is made by ``choose``."""
    results = [Result(seed, fit, l1, l2, [], 0) for seed, (fit, l1, l2) in oracles.items()]
    last = select_layers(data, settings, method, results, choose)
    clusters: dict[tuple[bytes, float], np.ndarray] = {}
    for result in results:
        for i, tolerance in enumerate(settings.tolerances):
            k = last[result.seed][i]
            left = np.arange((k + 1) * data.width)
            for threshold in settings.thresholds:
                if threshold is not None:
                    labels = _clusters(data, left, threshold, clusters)
                    left = left[np.sort(random_members(labels, data.rng(result.seed, "cluster", i, threshold)))]
                result.rows.append(Row(tolerance.layers, tolerance.neurons, k, threshold, len(left), order=left))
    _rank_bases(data, settings, method, results, choose)
    _shrink(data, settings, method, results, choose)
    for result in results:
        result.reported = best_row([choose(row.fit) for row in result.rows if row.fit], [row.n for row in result.rows])
    return results


def best_row(scores: Sequence[float], sizes: Sequence[int]) -> int:
    """Place of the best score; ties: the smaller size, then the earlier row."""
    return max(range(len(scores)), key=lambda i: (scores[i], -sizes[i], -i))


def select_layers(
    data: Data, settings: Published, method: Method, results: list[Result], choose: Choice
) -> dict[int, list[int]]:
    """LS: per seed and tolerance the smallest k such that layers 0..k score more than (1 - dL/100) * oracle."""
    wanted = [t.layers for t in settings.tolerances]
    scores: dict[int, list[float]] = {r.seed: [] for r in results}
    open_ = list(results)
    for k in range(data.layers - 1):
        neurons = np.arange((k + 1) * data.width)
        fits = fit_jobs(data, [Job(r.seed, ("layers", k), neurons, r.l1, r.l2) for r in open_], method)
        for r, fit in zip(open_, fits, strict=True):
            scores[r.seed].append(choose(fit))
        open_ = [r for r in open_ if first_above(scores[r.seed], choose(r.oracle), min(wanted)) is None]
        if not open_:
            break
    found = {}
    for r in results:
        oracle = choose(r.oracle)
        places = [first_above(scores[r.seed], oracle, d) for d in wanted]
        found[r.seed] = [data.layers - 1 if place is None else place for place in places]
    return found


def first_above(scores: Sequence[float], whole: float, tolerance: float) -> int | None:
    """Place of the first score above (1 - tolerance/100) * whole, strictly; None where there is none."""
    return next((i for i, score in enumerate(scores) if score > (1 - tolerance / 100) * whole), None)


def _clusters(
    data: Data, neurons: np.ndarray, threshold: float, cache: dict[tuple[bytes, float], np.ndarray]
) -> np.ndarray:
    """Cluster number of each of the neurons; layers 0..k are clustered once for all seeds."""
    key = neurons.astype(np.int64).tobytes(), threshold
    if key not in cache:
        cache[key] = cluster(data.vectors[:, neurons], threshold)
    return cache[key]


def cluster(vectors: np.ndarray, threshold: float) -> np.ndarray:
    """Clusters of the columns of (rows, n): distance 1 - |r|, average linkage, cut at ``threshold``; int (n,).

    A constant column, whose correlation is not defined, is a cluster of its own.
    """
    varying = np.flatnonzero(np.ptp(vectors, axis=0) > 0)
    labels = np.empty(vectors.shape[1], np.int64)
    if len(varying):
        labels[varying] = cut(column_distances(vectors[:, varying]), [threshold])[0]
    constant = np.setdiff1d(np.arange(len(labels)), varying)
    labels[constant] = (labels[varying].max() + 1 if len(varying) else 0) + np.arange(len(constant))
    return labels


def _rank_bases(data: Data, settings: Published, method: Method, results: list[Result], choose: Choice) -> None:
    """base = probe(N), and N in the order of LCA on it."""
    places = [(r, i, row) for r in results for i, row in enumerate(r.rows)]
    fits = fit_jobs(data, [Job(r.seed, ("base", i), row.order, r.l1, r.l2) for r, i, row in places], method)
    nothing = np.zeros((0, 0), np.float32)
    for (_, _, row), fit in zip(places, fits, strict=True):
        row.base = choose(fit)
        ranked = rank(RankingInput(nothing, nothing, fit.weights, data.columns, data.n_classes, 0, settings.lca_step))
        row.order = row.order[ranked.order]


def _shrink(data: Data, settings: Published, method: Method, results: list[Result], choose: Choice) -> None:
    """Sizes from below; a row stops at the first whose retrained probe scores more than (1 - dN/100) * base.

    All open rows are trained together at each share, for their sizes are the same.
    """
    places = [(r, i, row) for r in results for i, row in enumerate(r.rows)]
    for share in settings.shares:
        n = int(share * data.n_neurons + 1e-9)  # 1e-9: floor(0.07 * 100) is 7 whatever the last bit says
        todo = [(r, i, row) for r, i, row in places if not row.passed and row.n < min(n, len(row.order))]
        jobs = [Job(r.seed, ("size", i, share), row.order[:n], r.l1, r.l2) for r, i, row in todo]
        for (_, _, row), job, fit in zip(todo, jobs, fit_jobs(data, jobs, method), strict=True):
            row.neurons, row.share, row.fit = job.neurons, len(job.neurons) / data.n_neurons, fit
            row.passed = first_above([choose(fit)], row.base, row.dN) is not None
    for r, i, row in places:  # a model so small that no share is a neuron
        if row.fit is None:
            (row.fit,) = fit_jobs(data, [Job(r.seed, ("size", i, 0), row.order[:1], r.l1, r.l2)], method)
            row.neurons, row.share = row.order[:1], 1 / data.n_neurons
