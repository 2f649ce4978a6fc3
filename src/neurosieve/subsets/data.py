"""What a search works on: standardised features of the row, what subsets are compared with, how a set is fitted.

Reads what the module docstring of search.py says; writes no files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from neurosieve.artifacts import Paths, read_json, read_npy, read_tensors
from neurosieve.config import Params, Penalty
from neurosieve.probes import intervals, metrics
from neurosieve.probes.baselines import MAJORITY
from neurosieve.probes.features import Features, Standardizer, layout, standardize_train
from neurosieve.probes.fit import candidates
from neurosieve.probes.polish import polish
from neurosieve.probes.solver import WIDE, Fitting, GramCache, Probe, alone, fitting, row_weights, together
from neurosieve.probes.twins import choose_twin
from neurosieve.subsets import minimal
from neurosieve.subsets.contenders import Fitted, SubsetInput, carried
from neurosieve.subsets.gram import WideGram, gram_of
from neurosieve.subsets.target import Target

SPLITS = ("train", "tune", "judge")
LOOSE = 1e-3  # gap of the fits among which tune chooses a penalty; that of the chosen one goes on to the params'
NARROW = 0.5  # of the columns that predictions are made from: with fewer in the set they are copied


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

    @cached_property
    def whole(self) -> Part:
        """All kept neurons, in their own order."""
        wide = {split: self.X[split] for split in ("tune", "judge")}
        return Part(np.arange(len(self.kept)), self.X["train"], self.gram, wide, np.arange(self.X["train"].shape[1]))

    def given(self, full: Point, *, coarse: bool = False) -> SubsetInput:
        """What contenders may look at; ``full`` is the point of all neurons. coarse: steps may be large everywhere."""
        return SubsetInput(
            X=self.X["train"], y=self.y["train"], columns=self.features.columns_per_neuron, n_classes=self.n_classes,
            gram=self.gram, full=full.fitted, target=Target.of(self.y["train"], self.n_classes),
            gap=self.params.probes.gap, max_iterations=self.params.probes.max_iterations,
            coarse_above=0 if coarse else self._coarse_above,
        )  # fmt: skip

    @property
    def _coarse_above(self) -> float:
        """Neurons above which steps of a search may be large: where a sketch stands for the Gram matrix hardly any
        neuron of a set matters."""
        return WIDE / self.features.columns_per_neuron if isinstance(self.gram, WideGram) else math.inf

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

    def tested(self, sizes: np.ndarray, judged: Sequence[Judged], tune: Sequence[float]) -> minimal.Tested:
        """The differences of the sizes of a curve, ascending, to both; ``tune``: their scores there."""
        values, replicates = np.array([j.value for j in judged]), np.stack([j.replicates for j in judged])
        difference = values - self.reference.value
        return minimal.Tested(
            sizes=sizes,
            difference=difference,
            replicates=replicates - self.reference.replicates,
            baseline_difference=values - self.baseline.value,
            baseline_replicates=replicates - self.baseline.replicates,
            margin=self.margin,
            confidence=self.confidence,
            last=minimal.last_near(np.asarray(tune), difference, self.margin),
        )


@dataclass(frozen=True)
class Part:
    """The features of some neurons (positions among the kept ones), columns in their order.

    X : float32 (rows of train, columns). wide : tune and judge with these columns and perhaps others, for a copy of
    them costs more than a product with a few columns too many; place : (columns,) where in ``wide`` each lies.
    """

    neurons: np.ndarray
    X: np.ndarray
    gram: GramCache
    wide: dict[str, np.ndarray]
    place: np.ndarray

    def take(self, neurons: np.ndarray, data: Data) -> Part:
        """Those of other neurons: a view where they are the first of these, else a copy from the smaller source."""
        if len(neurons) <= len(self.neurons) and np.array_equal(neurons, self.neurons[: len(neurons)]):
            first = slice(0, len(neurons) * data.features.columns_per_neuron)
            return Part(neurons, self.X[:, first], self.gram.take(first), *_narrowed(self.wide, self.place[first]))
        place = np.full(len(data.kept), -1)
        place[self.neurons] = np.arange(len(self.neurons))
        source, at = (self, place[neurons]) if (place[neurons] >= 0).all() else (data.whole, neurons)
        columns = data.features.columns(at)
        X, gram = np.take(source.X, columns, axis=1), source.gram.take(columns)
        return Part(neurons, X, gram, *_narrowed(source.wide, source.place[columns]))

    def predict(self, split: str, probe: Probe) -> np.ndarray:
        """(rows,) predictions of tune or judge by a probe of these columns."""
        weights = np.zeros((self.wide[split].shape[1], probe.weights.shape[1]), np.float32)
        weights[self.place] = probe.weights
        return replace(probe, weights=weights).predict(self.wide[split])


def _narrowed(wide: dict[str, np.ndarray], place: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The columns ``place`` of ``wide`` alone where they are few, else as it is."""
    if all(len(place) > NARROW * X.shape[1] for X in wide.values()):
        return wide, place
    return {split: np.take(X, place, axis=1) for split, X in wide.items()}, np.arange(len(place))


@dataclass(frozen=True)
class Point:
    """One set of neurons (positions among the kept ones): the probes of the candidate penalties (for warm starts), with
    columns in the order of ``neurons``, and which of them is best on tune. polished: see :func:`polish_point`."""

    neurons: np.ndarray
    tried: list[Probe]
    chosen: int
    tune: float
    predicted: np.ndarray
    judged: Judged
    polished: bool = False

    @property
    def probe(self) -> Probe:
        return self.tried[self.chosen]

    @property
    def fitted(self) -> Fitted:
        return Fitted(self.neurons, self.probe)

    def ordered(self, order: np.ndarray, columns: np.ndarray) -> Point:
        """The same with its neurons in another order: ``order`` and ``columns`` index those here."""
        tried = [replace(probe, weights=probe.weights[columns]) for probe in self.tried]
        return replace(self, neurons=self.neurons[order], tried=tried)


def fit_point(data: Data, part: Part, warm: Sequence[Probe], likely: int = 0) -> Point:
    """Fit each candidate penalty from its probe in ``warm``, of the columns of ``part``; judge the best on tune.

    All of them share their products with X. The ``likely`` one (its number among the penalties) is solved to the gap
    of the params at once, the others to LOOSE; the best on tune then goes on to the gap of the params, if it has not
    reached it.
    """
    X, settings = part.X, data.params.probes

    def fitted(penalty: Penalty, start: Probe, gap: float) -> Fitting:
        return fitting(
            X, data.y["train"], data.n_classes, penalty.l1, penalty.l2, gap, settings.max_iterations, start, part.gram
        )

    gaps = [settings.gap if i == likely else max(settings.gap, LOOSE) for i in range(len(warm))]
    columns = slice(0, X.shape[1])
    tried = together(
        X, [(columns, fitted(*each)) for each in zip(data.penalties, warm, gaps, strict=True)]
    )  # fmt: skip
    tune = [data.value("tune", part.predict("tune", probe)) for probe in tried]
    chosen = tune.index(max(tune))
    if tried[chosen].gap > settings.gap:
        more = alone(X, fitted(data.penalties[chosen], tried[chosen], settings.gap))
        tried[chosen] = replace(more, iterations=tried[chosen].iterations + more.iterations)
        tune[chosen] = data.value("tune", part.predict("tune", tried[chosen]))
    predicted = metrics.stored(part.predict("judge", tried[chosen]))
    return Point(part.neurons, tried, chosen, tune[chosen], predicted, data.judged(predicted))


def polish_point(data: Data, point: Point) -> Point:
    """The same set with its chosen probe taken to a far smaller gap where that is cheap (probes/polish.py): what is
    frozen then does not depend on where the solver stopped. Scores and predictions are those of the polished probe."""
    part = data.whole.take(point.neurons, data)
    probe = polish(part.X, data.y["train"], data.n_classes, point.probe, cache=part.gram)
    if probe is point.probe:
        return replace(point, polished=True)
    tried = [probe if i == point.chosen else other for i, other in enumerate(point.tried)]
    predicted = metrics.stored(part.predict("judge", probe))
    tune = data.value("tune", part.predict("tune", probe))
    return Point(point.neurons, tried, point.chosen, tune, predicted, data.judged(predicted), polished=True)


def warm_from(above: Point, neurons: np.ndarray, columns: int) -> list[Probe]:
    """Starts for a set of neurons: the probes of another, zero for neurons that it lacks."""
    return [replace(p, weights=carried(p.weights, above.neurons, neurons, columns)) for p in above.tried]


def load_data(params: Params, paths: Paths, model: str, task: str, oracle: Probe, reference: Probe) -> Data:
    """Features as the probes phase makes them: constant neurons dropped, standardised by train."""
    features = layout(paths, params, model, task)
    card = read_json(paths.task(task) / "card" / "card.json")
    everything = features.everything
    X = {split: features.load(split) for split in SPLITS}
    alive, standardizer = standardize_train(X["train"], features, everything)
    kept = everything[alive]
    columns = features.columns(np.flatnonzero(alive))
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
        gram=gram_of(X["train"], row_weights(oracle, X["train"])),
        metric=card["metric"],
        score=metrics.primary(card),
        bootstrap=intervals.task_bootstrap(
            params.seed, task, "judge", features.files("judge"), n, features.rows("judge").sides
        ),
        penalties=candidates(params.probes.penalties, reference.l1, reference.l2),
        params=params,
    )


def best_baseline(
    data: Data, paths: Paths, task: str, twins: Sequence[str]
) -> tuple[str, dict[str, np.ndarray], dict[str, dict[str, float]]]:
    """Name of the opponent that is best on tune, judge predictions and scores of all of them.

    The opponents are the majority class, the best surface baseline and the reference of the untrained twin, of several
    (``twins``) that of :func:`choose_twin`.
    """
    named = read_json(paths.baselines(task) / "baselines.json")
    stored = {split: read_npy(paths.baselines(task) / f"predictions_{split}.npy") for split in ("tune", "judge")}
    rows = {"majority": named["order"].index(MAJORITY), "surface": named["order"].index(named["surface"])}
    predicted = {name: {split: table[row] for split, table in stored.items()} for name, row in rows.items()}
    if (twin := choose_twin(paths, task, twins)[0]) is not None:
        folder = paths.probes(twin, task)
        probes = read_json(folder / "probes.json")
        row = probes["order"].index(probes["reference"])
        predicted["untrained"] = {split: read_npy(folder / f"predictions_{split}.npy")[row] for split in stored}
    scores = {name: {split: data.value(split, p[split]) for split in stored} for name, p in predicted.items()}
    best = max(scores, key=lambda name: scores[name]["tune"])
    return best, {name: p["judge"] for name, p in predicted.items()}, scores


def not_beaten(reference: Judged, opponents: Mapping[str, Judged], confidence: float) -> str | None:
    """Name of the first opponent on judge that the best of whole layers, ``reference``, is not above.

    With one the row is not `supported` (probes/status.py, whose adjustment over the rows only makes p-values larger),
    so it may claim nothing, and that is known before the search.
    """
    for name, opponent in opponents.items():
        p = float(intervals.p_value(reference.replicates - opponent.replicates))
        if p > 1 - confidence + 1e-12:
            return name
    return None


@dataclass(frozen=True)
class Probed:
    """What the probes phase found for the row.

    probes: probes.json. judge: feature set -> its judge predictions (rows,). kept: global indices of the neurons that
    are not constant. oracle, layer_probe: the probes of all neurons and of the best of whole layers.
    """

    probes: dict[str, Any]
    judge: dict[str, np.ndarray]
    kept: np.ndarray
    oracle: Probe
    layer_probe: Probe

    @property
    def layer_entry(self) -> dict[str, Any]:
        """Of probes.json, the entry of the best of whole layers."""
        found: dict[str, Any] = self.probes["sets"][self.probes["reference"]]
        return found

    @classmethod
    def read(cls, paths: Paths, model: str, task: str) -> Probed:
        folder = paths.probes(model, task)
        probes, stored = read_json(folder / "probes.json"), read_tensors(folder / "weights.safetensors")
        number, sets = not read_json(paths.task(task) / "card" / "card.json")["classes"], probes["sets"]
        oracle, layer_probe = (
            Probe(
                stored[f"{prefix}weights"], stored[f"{prefix}intercept"], number=number,
                **{name: entry[name] for name in ("gap", "iterations", "objective", "l1", "l2")},
            )
            for prefix, entry in (("", sets[probes["oracle"]]), ("reference_", sets[probes["reference"]]))
        )  # fmt: skip
        judge = dict(zip(probes["order"], read_npy(folder / "predictions_judge.npy"), strict=True))
        return cls(probes, judge, read_npy(folder / "kept.npy"), oracle, layer_probe)
