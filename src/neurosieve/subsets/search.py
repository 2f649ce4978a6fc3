"""The search for the smallest subset of neurons, on train, tune and judge (METHOD 3.1); all that test scores is frozen.

Reads: prepare/tasks/<task>/{train,tune,judge,card}, activations/<model>/<task>/{train,tune,judge},
probes/baselines/<task>, probes/models/<model>/<task>, and that of the untrained twin where the model has one.
Writes subsets/search/<model>/<task>:

curves.json            {"model", "task", "metric", "n_neurons", "n_kept": not constant, "n_layers", "width",
                       "columns_per_neuron", "margin": {"value", "reason"}, "confidence", "penalties": those tried,
                       "reference": {"set", "neurons", "l1", "l2", "tune", "judge"}, "oracle": {"judge"},
                       "baseline": which of "baselines" is best on tune, "baselines": {majority|surface|untrained:
                       {"tune", "judge"}}, "dev": {"too_small", "half_width", "half_widths", "half_size", "rows",
                       "files", "rows_needed": or null}, "headline", "best_ranking", "mean_tune": {ranking: mean over
                       log n, by which the best is chosen}, "curves": {name: see :func:`_report`, :func:`_result`},
                       "random": {"sizes", "tune", "judge": means over draws, "judge_low", "judge_high": range},
                       "beats_random": {"rankings": {name: see :func:`minimal.beats_random`}, "sizes":
                       those of all rankings, "random_suffices_from": from which on no ranking beats random, or null},
                       "layers": see :func:`layers.select_layers`}.
                       Curves: the rankings (of an untrained twin the headline alone), pipeline (not of a
                       twin; see :func:`pipeline_curve`; it also has "layers", "threshold",
                       "neurons_in", "tried"), random-<draw>, bottom (the headline ranking from its end)
predictions_judge.npy  int16 classes or float32 numbers (probes, rows): judge predictions of every size of every curve,
                       in the rows that the curve's "predictions" names
frozen.json            {"unit", "classes", "pair_features", "layers", "width", "headline", "best_ranking", "sets":
                       {key: {"kind": oracle|reference|subset|random|bottom, "ranking": whose size it has, "draw",
                       "claimed": the size is n_minimal (else it is an estimate), "neurons": global indices, best
                       first, "l1", "l2", "judge": primary metric}}}. Keys: all, reference, subset-<ranking>,
                       random-<draw>-<ranking>, bottom-<ranking>, subset-pipeline
frozen.safetensors     <key>.weights (columns, K), <key>.intercept (K,), <key>.mean and <key>.scale (columns,), float32:
                       scores = ((x - mean) * scale) @ weights + intercept

Nothing here reads test. Of the penalties of ``probes.penalties`` (strongest first) only the reference's own and its
two neighbours are tried at each size, and the best on tune is taken: the whole list at every size costs the search
several times over, and along a ranking the best penalty moves slowly. Ties go to the stronger penalty.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from neurosieve.artifacts import ArtifactError, Paths, Writer, read_json, read_npy, read_tensors
from neurosieve.config import Params, Penalty
from neurosieve.probes import intervals, metrics, rankings
from neurosieve.probes.baselines import MAJORITY
from neurosieve.probes.features import Features, Standardizer, layout, standardize_train
from neurosieve.probes.fit import candidates
from neurosieve.probes.solver import GramCache, Probe, fit, row_weights
from neurosieve.redundancy import Clusters, cluster_neurons, sample_train
from neurosieve.subsets import layers, minimal

log = logging.getLogger(__name__)

SPLITS = ("train", "tune", "judge")
RANDOM, BOTTOM, PIPELINE = "random", "bottom", "pipeline"


@dataclass(frozen=True)
class Data:
    """Standardised features of the kept neurons, in the order of ``kept``, and how predictions are scored."""

    features: Features
    kept: np.ndarray
    standardizer: Standardizer
    X: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    gram: GramCache
    metric: str
    score: metrics.Metric
    bootstrap: intervals.FileBootstrap
    penalties: list[Penalty]
    params: Params

    @property
    def n_classes(self) -> int:
        return len(self.features.classes)

    def counts(self, split: str, predicted: np.ndarray) -> np.ndarray:
        """Confusion counts by file, (..., F, K, K), or sums of numbers."""
        return metrics.counts_by_file(self.y[split], predicted, self.features.files(split), self.n_classes)

    def value(self, split: str, predicted: np.ndarray) -> float:
        return float(self.score(self.counts(split, predicted).sum(0)))

    def judged(self, predicted: np.ndarray) -> Judged:
        C = self.counts("judge", predicted)
        return Judged(float(self.score(C.sum(0))), self.bootstrap.replicates(C, self.score))


@dataclass(frozen=True)
class Judged:
    """Primary metric on judge, and in the (B,) bootstrap replicates."""

    value: float
    replicates: np.ndarray


@dataclass(frozen=True)
class Rival:
    """What subsets are compared with: the reference and the best baseline."""

    reference: Judged
    baseline: Judged
    margin: float
    confidence: float

    def lower(self, found: Judged, other: Judged) -> float:
        return float(intervals.lower(found.replicates - other.replicates, self.confidence))


@dataclass(frozen=True)
class Point:
    """One size: the probes of the candidate penalties (for warm starts) and which of them is best on tune."""

    tried: list[Probe]
    chosen: int
    tune: float
    predicted: np.ndarray
    judged: Judged

    @property
    def probe(self) -> Probe:
        return self.tried[self.chosen]


@dataclass
class Curve:
    """Subsets along one order of the kept neurons.

    ``order`` are positions in ``data.kept``; ``points`` begin with all neurons and grow by :meth:`test`.
    """

    data: Data
    rival: Rival
    order: np.ndarray
    points: dict[int, Point]
    _X: dict[str, np.ndarray] = field(default_factory=dict)
    _gram: GramCache | None = None

    @property
    def sizes(self) -> np.ndarray:
        return np.array(sorted(self.points))

    def test(self, size: int) -> Point:
        """Fit, tune and judge the first ``size`` neurons, each penalty from its weights at the next larger size."""
        if size not in self.points:
            larger = min(s for s in self.points if s > size)
            self.points[size] = fit_point(self.data, *self._first(size), self.points[larger].tried)
        return self.points[size]

    def _first(self, size: int) -> tuple[dict[str, np.ndarray], GramCache]:
        """Features of the first ``size`` neurons: one copy in this order for the largest size, slices of it after."""
        columns = self.data.features.columns(self.order[:size])
        if self._gram is None or self._X["train"].shape[1] < len(columns):
            self._X = {split: np.take(X, columns, axis=1) for split, X in self.data.X.items()}
            self._gram = self.data.gram.take(columns)
        part = slice(0, len(columns))
        return {split: X[:, part] for split, X in self._X.items()}, self._gram.take(part)

    def lowers(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower bounds of (subset - reference) and of (subset - best baseline), by size."""
        found = [self.points[s].judged for s in self.sizes]
        return (
            np.array([self.rival.lower(j, self.rival.reference) for j in found]),
            np.array([self.rival.lower(j, self.rival.baseline) for j in found]),
        )

    def differences(self) -> np.ndarray:
        return np.array([self.points[s].judged.value for s in self.sizes]) - self.rival.reference.value

    def passes(self) -> np.ndarray:
        return minimal.passes(*self.lowers(), self.rival.margin)

    def within(self) -> np.ndarray:
        """Whether the estimate alone is within the margin, by size."""
        return self.differences() > -self.rival.margin

    def release(self) -> None:
        """Free the copies of the features; the points stay."""
        self._X, self._gram = {}, None


def fit_point(data: Data, part: dict[str, np.ndarray], gram: GramCache, warm: list[Probe]) -> Point:
    """Fit each candidate penalty from its probe in ``warm``, of these columns and more; judge the best on tune."""
    tried = [
        fit(
            part["train"], data.y["train"], data.n_classes, penalty.l1, penalty.l2,
            gap=data.params.probes.gap, max_iterations=data.params.probes.max_iterations,
            warm=replace(start, weights=start.weights[: part["train"].shape[1]]), cache=gram,
        )
        for penalty, start in zip(data.penalties, warm, strict=True)
    ]  # fmt: skip
    tune = [data.value("tune", probe.predict(part["tune"])) for probe in tried]
    chosen = tune.index(max(tune))
    predicted = metrics.stored(tried[chosen].predict(part["judge"]))
    return Point(tried, chosen, tune[chosen], predicted, data.judged(predicted))


def load_data(params: Params, paths: Paths, model: str, task: str, oracle: Probe, reference: Probe) -> Data:
    """Features as the probes phase makes them: constant neurons dropped, standardised by train."""
    features = layout(paths, params, model, task)
    card = read_json(paths.task(task) / "card" / "card.json")
    everything = np.arange(features.n_neurons)
    X = {split: features.load(split) for split in SPLITS}
    alive, standardizer = standardize_train(X["train"], features, everything)
    kept = everything[alive]
    columns = features.columns(kept)
    for split in SPLITS:
        X[split] = standardizer.apply(X[split])
        if len(kept) < len(everything):
            X[split] = np.take(X[split], columns, axis=1)
    n = params.probes.bootstrap
    return Data(
        features=features,
        kept=kept,
        standardizer=standardizer.take(columns),
        X=X,
        y={split: features.labels(split) for split in SPLITS},
        gram=GramCache(X["train"], row_weights(oracle, X["train"])),
        metric=card["metric"],
        score=metrics.primary(card),
        bootstrap=intervals.task_bootstrap(
            params.seed, task, "judge", features.files("judge"), n, features.rows("judge").sides
        ),
        penalties=candidates(params.probes.penalties, reference.l1, reference.l2),
        params=params,
    )


def best_baseline(
    data: Data, paths: Paths, task: str, twin: str | None
) -> tuple[str, np.ndarray, dict[str, dict[str, float]]]:
    """Name and judge predictions of the opponent that is best on tune, and the scores of all of them.

    The opponents are the majority class, the best surface baseline and the reference of the untrained twin.
    """
    named = read_json(paths.baselines(task) / "baselines.json")
    stored = {split: read_npy(paths.baselines(task) / f"predictions_{split}.npy") for split in ("tune", "judge")}
    rows = {"majority": named["order"].index(MAJORITY), "surface": named["order"].index(named["surface"])}
    predicted = {name: {split: table[row] for split, table in stored.items()} for name, row in rows.items()}
    if twin is not None:
        folder = paths.probes(twin, task)
        probes = read_json(folder / "probes.json")
        row = probes["order"].index(probes["reference"])
        predicted["untrained"] = {split: read_npy(folder / f"predictions_{split}.npy")[row] for split in stored}
    scores = {name: {split: data.value(split, p[split]) for split in stored} for name, p in predicted.items()}
    best = max(scores, key=lambda name: scores[name]["tune"])
    return best, predicted[best]["judge"], scores


def random_orders(params: Params, model: str, task: str, n: int, draws: int) -> list[np.ndarray]:
    """Permutations of ``n`` neurons, seeded by the benchmark, the row and the draw."""
    names = [zlib.crc32(name.encode()) for name in (model, task, RANDOM)]
    return [np.random.default_rng([params.seed, *names, draw]).permutation(n) for draw in range(draws)]


def layer_report(
    data: Data, rival: Rival, probes: dict[str, Any], judge: dict[str, np.ndarray], *, too_small: bool
) -> dict[str, Any]:
    """Selection of layers from the stored judge predictions of the probes phase, without a refit."""
    found: dict[layers.Span, layers.Found] = {}
    for name, entry in probes["sets"].items():
        judged = data.judged(judge[name])
        found[entry["layers"][0], entry["layers"][1]] = layers.Found(
            neurons=entry["neurons"],
            judge=judged.value,
            difference=judged.value - rival.reference.value,
            lower=rival.lower(judged, rival.reference),
            baseline_lower=rival.lower(judged, rival.baseline),
        )
    return layers.select_layers(found, data.features.layers, rival.margin, too_small=too_small)


def representatives(clusters: Clusters, cut: int, inside: np.ndarray) -> np.ndarray:
    """Of the neurons ``inside`` (ascending global indices): the medoid of each cluster at threshold number ``cut``,
    and the neurons that could not be clustered, being constant in the sampled rows."""
    return np.union1d(clusters.medoids[cut], np.setdiff1d(inside, clusters.neurons))


def pipeline_curve(data: Data, rival: Rival, full: Point, bottom: int, paths: Paths) -> tuple[Curve, dict[str, Any]]:
    """Layers, clusters, ranking (the published LS+CC+LCA) under the strict rules: the curve to be searched.

    Of the neurons of the first ``bottom`` layers (the fewest that pass at half the margin) all are taken, or one per
    cluster of correlated ones: for each threshold the clusters are made anew from these neurons on train, the probe is
    refitted on the medoids, and the threshold that is best on tune is kept, of equals the one with fewer neurons. The
    ranking is that of this probe.
    The sizes along it are compared with the row's own reference and margin: no step has a tolerance of its own.

    Returns
    -------
    The curve, with the point of all its neurons, and {"layers", "threshold", "neurons_in", "tried": [{"threshold",
    "neurons", "tune"}]}.
    """
    params = data.params
    settings = params.subsets.pipeline
    assert settings is not None
    inside = data.kept[data.kept // data.features.width < bottom]
    cuts = [t for t in settings.thresholds if t is not None]
    clusters = None
    if cuts:
        clusters = cluster_neurons(sample_train(params, paths, data.features.model, data.features.task), cuts, inside)
    tried: list[dict[str, Any]] = []
    found: list[tuple[np.ndarray, Point]] = []
    for threshold in settings.thresholds:
        neurons = inside
        if threshold is not None:
            assert clusters is not None
            neurons = representatives(clusters, cuts.index(threshold), inside)
        at = np.searchsorted(data.kept, neurons)
        columns = data.features.columns(at)
        part = {split: np.take(X, columns, axis=1) for split, X in data.X.items()}
        warm = [replace(probe, weights=probe.weights[columns]) for probe in full.tried]
        found.append((at, fit_point(data, part, data.gram.take(columns), warm)))
        tried.append({"threshold": threshold, "neurons": len(at), "tune": found[-1][1].tune})
    best = max(range(len(tried)), key=lambda i: (tried[i]["tune"], -tried[i]["neurons"]))
    at, point = found[best]
    ranking = rankings.load(settings.ranking)(
        rankings.RankingInput(
            X=np.take(data.X["train"], data.features.columns(at), axis=1), y=data.y["train"],
            weights=point.probe.weights, columns=data.features.columns_per_neuron, n_classes=data.n_classes,
            seed=params.seed, mass_step=params.probes.lca_step,
        )
    )  # fmt: skip
    columns = data.features.columns(ranking.order)
    ordered = replace(point, tried=[replace(probe, weights=probe.weights[columns]) for probe in point.tried])
    curve = Curve(data, rival, at[ranking.order], {len(at): ordered})
    chosen = {"layers": bottom, "threshold": tried[best]["threshold"], "neurons_in": len(at), "tried": tried}
    return curve, chosen


def against_random(curves: dict[str, Curve], draws: list[Curve], confidence: float) -> dict[str, Any]:
    """ "beats_random" of curves.json, over the sizes that a ranking and the random draws have in common."""
    tested = set.intersection(*(set(draw.points) for draw in draws)) - {len(draws[0].order)}
    found: dict[str, dict[str, Any]] = {}
    for name, curve in curves.items():
        sizes = sorted(tested & set(curve.points))
        judged = [curve.points[s].judged for s in sizes]
        random = [[draw.points[s].judged for s in sizes] for draw in draws]
        if sizes:
            found[name] = minimal.beats_random(
                sizes,
                np.array([j.value for j in judged]),
                np.stack([j.replicates for j in judged]),
                np.array([[j.value for j in draw] for draw in random]),
                np.stack([np.stack([j.replicates for j in draw]) for draw in random]),
                confidence,
            )
    common = sorted(set.intersection(*(set(f["sizes"]) for f in found.values()))) if found else []
    better = [any(f["lower"][f["sizes"].index(s)] > 0 for f in found.values()) for s in common]
    return {
        "rankings": found,
        "sizes": common,
        "random_suffices_from": minimal.suffices_from(common, np.array(better)) if common else None,
    }


@dataclass
class Frozen:
    """What test will score: entries of frozen.json and their arrays."""

    data: Data
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)

    def add(
        self, key: str, kind: str, at: np.ndarray, probe: Probe, judge: float, *,
        ranking: str | None = None, draw: int | None = None, claimed: bool | None = None,
    ) -> None:  # fmt: skip
        """``at`` are positions among the kept neurons, in the order of the probe's columns."""
        self.sets[key] = {
            "kind": kind, "ranking": ranking, "draw": draw, "claimed": claimed, "neurons": self.data.kept[at],
            "l1": probe.l1, "l2": probe.l2, "judge": judge,
        }  # fmt: skip
        standardizer = self.data.standardizer.take(self.data.features.columns(at))
        for name, array in (
            ("weights", probe.weights),
            ("intercept", probe.intercept),
            ("mean", standardizer.mean),
            ("scale", 1.0 / standardizer.std),
        ):
            self.tensors[f"{key}.{name}"] = array.astype(np.float32)

    def report(self, headline: str, best: str) -> dict[str, Any]:
        """frozen.json."""
        features = self.data.features
        return {
            "unit": features.unit,
            "classes": features.classes,
            "pair_features": features.pair_features,
            "layers": features.layers,
            "width": features.width,
            "headline": headline,
            "best_ranking": best,
            "sets": self.sets,
        }


@dataclass(frozen=True)
class Given:
    """What the probes phase found for the row.

    probes: probes.json. judge: feature set -> its judge predictions (rows,). kept: global indices of the neurons that
    are not constant. oracle, chosen: the probes of all neurons and of the reference.
    """

    probes: dict[str, Any]
    judge: dict[str, np.ndarray]
    kept: np.ndarray
    oracle: Probe
    chosen: Probe

    @property
    def reference(self) -> dict[str, Any]:
        """The reference's entry of probes.json."""
        found: dict[str, Any] = self.probes["sets"][self.probes["reference"]]
        return found


def read_given(paths: Paths, model: str, task: str) -> Given:
    folder = paths.probes(model, task)
    probes, stored = read_json(folder / "probes.json"), read_tensors(folder / "weights.safetensors")
    number, sets = not read_json(paths.task(task) / "card" / "card.json")["classes"], probes["sets"]
    oracle, chosen = (
        Probe(
            stored[f"{prefix}weights"], stored[f"{prefix}intercept"], gap=entry["gap"], iterations=entry["iterations"],
            objective=entry["objective"], l1=entry["l1"], l2=entry["l2"], number=number,
        )
        for prefix, entry in (("", sets[probes["oracle"]]), ("reference_", sets[probes["reference"]]))
    )  # fmt: skip
    judge = dict(zip(probes["order"], read_npy(folder / "predictions_judge.npy"), strict=True))
    return Given(probes, judge, read_npy(folder / "kept.npy"), oracle, chosen)


@dataclass(frozen=True)
class Walk:
    """How the curves of a row are walked. ``full``: the point of all neurons, the same in every order."""

    data: Data
    rival: Rival
    full: Point
    progress: tqdm[Any]

    def start(self, order: np.ndarray) -> Curve:
        """The curve along an order of the kept neurons, with all of them tested."""
        columns = self.data.features.columns(order)
        tried = [replace(probe, weights=probe.weights[columns]) for probe in self.full.tried]
        return Curve(self.data, self.rival, order, {len(order): replace(self.full, tried=tried)})

    def test(self, curve: Curve, sizes: Iterable[int]) -> None:
        for size in sorted(sizes, reverse=True):
            curve.test(size)
            self.progress.update()
        curve.release()

    def close_in(self, curve: Curve, too_small: bool) -> None:
        """Bisect towards the minimum, or the estimate where none can be claimed."""
        while (size := _next(curve, too_small)) is not None:
            self.test(curve, [size])


@dataclass(frozen=True)
class Dev:
    """Whether judge can resolve the margin: half-widths of the difference of random halves to the reference."""

    half_size: int
    half_widths: list[float]
    margin: float

    @property
    def half_width(self) -> float:
        return float(np.median(self.half_widths))

    @property
    def too_small(self) -> bool:
        return self.half_width > self.margin / 2

    def report(self, data: Data) -> dict[str, Any]:
        """ "dev" of curves.json."""
        rows = len(data.y["judge"])
        return {
            "too_small": self.too_small,
            "half_width": self.half_width,
            "half_widths": self.half_widths,
            "half_size": self.half_size,
            "rows": rows,
            "files": data.bootstrap.n_drawn,
            "rows_needed": minimal.rows_needed(rows, self.half_width, self.margin) if self.too_small else None,
        }


def walk_random(walk: Walk, model: str, task: str) -> tuple[Dev, dict[str, Curve]]:
    """Random orders: at their halves for ``Dev``, and the first ``random_draws`` at a coarse grid, as controls."""
    n, rival, settings = len(walk.data.kept), walk.rival, walk.data.params.subsets
    coarse = minimal.thin(minimal.size_grid(n, settings.ratio), settings.control_ratio)
    half = -(-n // 2)
    controls: dict[str, Curve] = {}
    half_widths: list[float] = []
    draws = max(settings.random_draws, settings.half_draws)
    for draw, order in enumerate(random_orders(walk.data.params, model, task, n, draws)):
        curve = walk.start(order)
        walk.test(curve, {*coarse, half} if draw < settings.random_draws else {half})
        if draw < settings.half_draws:
            found = curve.points[half].judged
            half_widths.append(found.value - rival.reference.value - rival.lower(found, rival.reference))
        if draw < settings.random_draws:
            controls[f"{RANDOM}-{draw}"] = curve
    return Dev(half, half_widths, rival.margin), controls


@dataclass
class Searched:
    """Curves that were walked to their minimum, and what they come to.

    curves: by ranking. pipeline: its curve, where there is one. results: see :func:`_result`, of both. on_tune: mean
    over log sizes, by ranking. steps: what else curves.json has of the pipeline.
    """

    curves: dict[str, Curve]
    results: dict[str, dict[str, Any]]
    on_tune: dict[str, float]
    best: str
    pipeline: dict[str, Curve] = field(default_factory=dict)
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, Curve]:
        return {**self.curves, **self.pipeline}


def walk_rankings(walk: Walk, names: list[str], folder: Path, too_small: bool, baseline: str) -> Searched:
    """The curve of each ranking; the one that is best on tune is the best, of equals the headline."""
    data, settings = walk.data, walk.data.params.subsets
    grid = minimal.size_grid(len(data.kept), settings.ratio)
    position = np.full(data.features.n_neurons, -1)
    position[data.kept] = np.arange(len(data.kept))
    curves: dict[str, Curve] = {}
    for name in names:
        curve = curves[name] = walk.start(position[read_npy(folder / f"ranking_{name}.npy")])
        walk.test(curve, grid)
        walk.close_in(curve, too_small)
    on_tune = {
        name: minimal.mean_over_log_sizes(np.array(grid), np.array([curve.points[s].tune for s in grid]))
        for name, curve in curves.items()
    }
    return Searched(
        curves=curves,
        results={name: _result(curve, too_small, baseline) for name, curve in curves.items()},
        on_tune=on_tune,
        best=max(curves, key=lambda name: (on_tune[name], name == settings.headline)),
    )


def walk_pipeline(walk: Walk, searched: Searched, given: Given, paths: Paths, too_small: bool, baseline: str) -> None:
    """Add the curve of the pipeline; see :func:`pipeline_curve`."""
    data, rival, settings = walk.data, walk.rival, walk.data.params.subsets
    assert settings.pipeline is not None
    # At half the margin: layers that only just pass at all of it leave the steps after them nothing to lose.
    strict = replace(rival, margin=rival.margin / 2)
    selected = layer_report(data, strict, given.probes, given.judge, too_small=too_small)
    bottom = layers.number_that_passes(selected["bottom"])
    curve, searched.steps[PIPELINE] = pipeline_curve(data, rival, walk.full, bottom, paths)
    searched.pipeline[PIPELINE] = curve
    # one more curve beside the rankings', so a coarser one; bisection closes in on the minimum as it does there
    walk.test(curve, minimal.thin(minimal.size_grid(len(curve.order), settings.ratio), settings.pipeline.ratio))
    walk.close_in(curve, too_small)
    searched.results[PIPELINE] = _result(curve, too_small, baseline)


def search_subsets(params: Params, paths: Paths, *, model: str, task: str) -> None:
    """Write subsets/search/<model>/<task>; the module's docstring says what."""
    began = time.monotonic()
    settings, margin = params.subsets, params.margin(task)
    twin = params.twin_of(model)
    twin = None if twin == model else twin
    given = read_given(paths, model, task)
    data = load_data(params, paths, model, task, given.oracle, given.chosen)
    folder = paths.probes(model, task)
    if not np.array_equal(data.kept, given.kept):
        raise ArtifactError(f"{folder}: kept.npy names other neurons than train has now; run `fit-probes` again")
    baseline, baseline_judge, baselines = best_baseline(data, paths, task, twin)
    rival = Rival(
        data.judged(given.judge[given.probes["reference"]]), data.judged(baseline_judge), margin.value,
        params.probes.confidence,
    )  # fmt: skip
    # All neurons are the same features in every order: fitted once, from the oracle's weights.
    full = fit_point(data, data.X, data.gram, [given.oracle] * len(data.penalties))
    # An untrained twin is a control and claims nothing: the headline ranking alone, and no pipeline.
    control = params.models[model].untrained is not None
    known = [name for name in settings.rankings if name in given.probes["rankings"]]  # not all rank for a number
    names: list[str] = [settings.headline] if control else known

    with tqdm(desc=f"subsets {model} {task}", unit="size", mininterval=5) as progress:
        walk = Walk(data, rival, full, progress)
        dev, controls = walk_random(walk, model, task)  # first: whether judge can resolve the margin at all
        searched = walk_rankings(walk, names, folder, dev.too_small, baseline)
        controls[BOTTOM] = walk.start(searched.curves[settings.headline].order[::-1])
        walk.test(
            controls[BOTTOM], minimal.thin(minimal.size_grid(len(data.kept), settings.ratio), settings.control_ratio)
        )
        controlled = [
            name for name in names if name in (settings.headline, searched.best) and searched.results[name]["size"]
        ]
        for curve in controls.values():
            walk.test(curve, {searched.results[name]["size"] for name in controlled})
        selected = layer_report(data, rival, given.probes, given.judge, too_small=dev.too_small)
        if settings.pipeline is not None and not control:
            walk_pipeline(walk, searched, given, paths, dev.too_small, baseline)

    frozen = Frozen(data)
    _freeze_references(frozen, given, rival)
    controls_of = {name: controls if name in controlled else {} for name in searched.all}
    _freeze_subsets(frozen, searched.all, controls_of, searched.results)
    reports, predictions = _report_curves(searched, controls)
    draws = [f"{RANDOM}-{draw}" for draw in range(settings.random_draws)]
    report = {
        **_of_the_row(data, given, frozen, rival),
        "model": model,
        "task": task,
        "margin": margin.model_dump(mode="json"),
        "baseline": baseline,
        "baselines": baselines,
        "dev": dev.report(data),
        "headline": settings.headline,
        "best_ranking": searched.best,
        "mean_tune": searched.on_tune,
        "curves": reports,
        "random": _mean([reports[name] for name in draws]),
        "beats_random": against_random(searched.curves, [controls[name] for name in draws], rival.confidence),
        "layers": selected,
    }
    inputs = [
        *(paths.task(task) / split for split in (*SPLITS, "card")),
        *(paths.activations(model, task, split) for split in SPLITS),
        paths.baselines(task),
        *(paths.probes(name, task) for name in (model, twin) if name),
    ]
    used = {"model": model, "task": task, "twin": twin, **params.settings("search_subsets", task=task)}
    with Writer(paths.search(model, task), "subsets", used, inputs) as out:
        out.json("curves.json", report)
        out.npy("predictions_judge.npy", np.stack(predictions))
        out.json("frozen.json", frozen.report(settings.headline, searched.best))
        out.tensors("frozen.safetensors", frozen.tensors)
        out.facts = {"probes": len(predictions), "kept": len(data.kept), "sets": len(frozen.sets)}
        out.facts["dev_too_small"] = dev.too_small
    log.info("%s, %s: %d sizes in %.1f s", model, task, len(predictions), time.monotonic() - began)


def _of_the_row(data: Data, given: Given, frozen: Frozen, rival: Rival) -> dict[str, Any]:
    """What curves.json has of the row before any curve: the neurons, the reference and how it is fitted."""
    return {
        "metric": data.metric,
        "n_neurons": data.features.n_neurons,
        "n_kept": len(data.kept),
        "n_layers": data.features.layers,
        "width": data.features.width,
        "columns_per_neuron": data.features.columns_per_neuron,
        "confidence": rival.confidence,
        "penalties": [p.model_dump(mode="json") for p in data.penalties],
        "reference": {
            "set": given.probes["reference"],
            "neurons": len(frozen.sets["reference"]["neurons"]),
            "l1": given.chosen.l1,
            "l2": given.chosen.l2,
            "tune": given.reference["tune"][data.metric],
            "judge": rival.reference.value,
        },
        "oracle": {"judge": frozen.sets["all"]["judge"]},
    }


def _report_curves(
    searched: Searched, controls: dict[str, Curve]
) -> tuple[dict[str, dict[str, Any]], list[np.ndarray]]:
    """ "curves" of curves.json, and the judge predictions whose rows they name."""
    predictions: list[np.ndarray] = []
    reports: dict[str, dict[str, Any]] = {}
    for name, curve in {**searched.all, **controls}.items():
        kind = "ranking" if name in searched.curves else name.partition("-")[0]
        result = {**searched.results.get(name, _coarse(curve)), **searched.steps.get(name, {})}
        reports[name] = {"kind": kind, **_report(curve, len(predictions)), **result}
        predictions += [curve.points[s].predicted for s in curve.sizes]
    return reports, predictions


def _freeze_references(frozen: Frozen, given: Given, rival: Rival) -> None:
    """The probe of all neurons and the reference."""
    data = frozen.data
    first, last = given.reference["layers"]
    layer_of = data.kept // data.features.width
    in_reference = np.flatnonzero((layer_of >= first) & (layer_of <= last))
    oracle = data.value("judge", given.judge[given.probes["oracle"]])
    frozen.add("all", "oracle", np.arange(len(data.kept)), given.oracle, oracle)
    frozen.add("reference", "reference", in_reference, given.chosen, rival.reference.value)


def _freeze_subsets(
    frozen: Frozen,
    curves: dict[str, Curve],
    controls: dict[str, dict[str, Curve]],
    results: dict[str, dict[str, Any]],
) -> None:
    """The subset of each ranking at its minimum (else its estimate), and the controls of the same size."""
    for name, curve in curves.items():
        if (size := results[name]["size"]) is None:
            continue
        claimed = results[name]["n_minimal"] is not None
        for label, other in {"subset": curve, **controls[name]}.items():
            kind, _, draw = label.partition("-")
            point = other.points[size]
            frozen.add(
                f"{label}-{name}", kind, other.order[:size], point.probe, point.judged.value,
                ranking=name, draw=int(draw) if draw else None, claimed=claimed,
            )  # fmt: skip


def _next(curve: Curve, too_small: bool) -> int | None:
    """Size to test next, towards the minimum; where none can be claimed, towards the smallest size within margin."""
    passes = curve.passes()
    if too_small or not passes[-1]:
        return minimal.next_estimate(curve.sizes, curve.within())
    return minimal.next_size(curve.sizes, passes)


def _result(curve: Curve, too_small: bool, baseline: str) -> dict[str, Any]:
    """What a ranking's curve comes to: the minimum with its interval, or the estimate and why there is no minimum.

    "n_minimal", "n_minimal_low", "n_minimal_high", "replicates_without" (replicates in which all neurons fail too: an
    end of the interval among them is only a lower limit), "n_failing", "first_passing", "n_estimate" (smallest tested
    size within the margin, where no minimum is claimed), "size": the minimum or else the estimate, or null, "reason":
    why no minimum is claimed, or null; "share_kept" of (reference - best baseline) on judge, "share_flag": below 0.9,
    and "layers_used" of the subset of that size.
    """
    sizes, rival = curve.sizes, curve.rival
    found = minimal.minimum(sizes, curve.passes())
    lower, baseline_lower = curve.lowers()
    judged = [curve.points[s].judged for s in sizes]
    reason, low, high, without = None, None, None, None
    if too_small:
        reason = "dev too small"
    elif found.n_minimal is None:
        every = "all neurons" if len(curve.order) == len(curve.data.kept) else "all neurons that the pipeline keeps"
        reason = (
            f"{every} are not within the margin of the reference"
            if lower[-1] <= -rival.margin
            else f"{every} are not above the best baseline ({baseline})"
        )
    else:
        replicates = np.stack([j.replicates for j in judged])
        low, high, without = minimal.interval(
            sizes,
            curve.differences(),
            lower,
            replicates - rival.reference.replicates,
            curve.differences() + rival.reference.value - rival.baseline.value,
            baseline_lower,
            replicates - rival.baseline.replicates,
            rival.margin,
            rival.confidence,
        )
    n_minimal = None if reason else found.n_minimal
    estimate = minimal.minimum(sizes, curve.within()).first_passing
    size = n_minimal if n_minimal is not None else estimate
    share = None
    if size is not None:
        share = minimal.share_kept(curve.points[size].judged.value, rival.reference.value, rival.baseline.value)
    layers = None if size is None else np.unique(curve.data.kept[curve.order[:size]] // curve.data.features.width)
    return {
        "n_minimal": n_minimal,
        "n_minimal_low": low,
        "n_minimal_high": high,
        "replicates_without": without,
        "n_failing": found.n_failing,
        "first_passing": found.first_passing,
        "n_estimate": None if n_minimal is not None else estimate,
        "size": size,
        "reason": reason,
        "share_kept": share,
        "share_flag": None if share is None else share < minimal.SHARE_FLAG,
        "layers_used": layers,
    }


def _coarse(curve: Curve) -> dict[str, Any]:
    """The same keys for a control, whose coarse curve is not bisected: no minimum, only which sizes pass."""
    found = minimal.minimum(curve.sizes, curve.passes())
    empty = dict.fromkeys(
        ("n_minimal", "n_minimal_low", "n_minimal_high", "replicates_without", "n_estimate", "size", "share_kept",
         "share_flag", "layers_used")
    )  # fmt: skip
    return {**empty, "n_failing": found.n_failing, "first_passing": found.first_passing, "reason": "control"}


def _report(curve: Curve, first_row: int) -> dict[str, Any]:
    """Lists by size, ascending: "sizes", "l1", "l2", "tune", "judge", "difference" and "lower" of (subset - reference),
    "baseline_lower" of (subset - best baseline), "passes", "gap", "iterations", "predictions": rows of
    predictions_judge.npy."""
    points = [curve.points[s] for s in curve.sizes]
    lower, baseline_lower = curve.lowers()
    return {
        "sizes": curve.sizes,
        "l1": [p.probe.l1 for p in points],
        "l2": [p.probe.l2 for p in points],
        "tune": [p.tune for p in points],
        "judge": [p.judged.value for p in points],
        "difference": curve.differences(),
        "lower": lower,
        "baseline_lower": baseline_lower,
        "passes": curve.passes(),
        "gap": [p.probe.gap for p in points],
        "iterations": [p.probe.iterations for p in points],
        "predictions": list(range(first_row, first_row + len(points))),
    }


def _mean(draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and range over the random draws, which all have the same sizes."""
    judge = np.array([draw["judge"] for draw in draws])
    return {
        "sizes": draws[0]["sizes"],
        "tune": np.mean([draw["tune"] for draw in draws], axis=0),
        "judge": judge.mean(0),
        "judge_low": judge.min(0),
        "judge_high": judge.max(0),
    }
