"""The search for the smallest subset of neurons, on train, tune and judge (METHOD 3.1); all that test scores is frozen.

Reads: prepare/tasks/<task>/{train,tune,judge,card}, activations/<model>/<task>/{train,tune,judge},
probes/baselines/<task>, probes/models/<model>/<task>, and those of its untrained twins.
Writes subsets/search/<model>/<task>:

curves.json            {"model", "task", "metric", "n_neurons", "n_kept": not constant, "n_layers", "width",
                       "columns_per_neuron", "margin": {"value", "reason"}, "confidence", "penalties": those tried,
                       "reference", "layer_reference": {"set", "curve": contender or null, "neurons", "l1", "l2",
                       "tune", "judge"} (see reference.py), "weak_reference": see :func:`reference.shown_weak`,
                       "oracle": {"judge"},
                       "baseline": which of "baselines" is best on tune, "baselines": {majority|surface|untrained:
                       {"tune", "judge"}}, "dev": {"too_small", "half_width", "half_widths", "half_size", "rows",
                       "files", "rows_needed": or null}, "headline", "best_ranking" (a contender), "mean_tune":
                       {contender: mean over log n, by which the best is chosen}, "curves": {name: see report.py},
                       "random": {"sizes", "tune", "judge": means over draws, "judge_low", "judge_high": range},
                       "beats_random": {"rankings": {contender: see :func:`minimal.beats_random`}, "sizes":
                       those of all contenders, "random_suffices_from": from which on none beats random, or null},
                       "layers": see :func:`layers.select_layers`, "bound": see :func:`_bound`, or null,
                       "draws": see :func:`draws.draws_sha256`, of judge}.
                       Curves: rankings and searches (of an untrained twin, and of a row that may claim nothing, the
                       headline alone, of the latter at a few sizes), pipeline (of neither; see
                       :func:`pipeline.pipeline_curve`; it also has "layers", "threshold", "neurons_in", "tried"),
                       random-<draw>, bottom (the first ranking of the row from its end)
predictions_judge.npy  int16 classes or float32 numbers (probes, rows): judge predictions of every size of every curve,
                       in the rows that the curve's "predictions" names
minima_judge.npy       int32 (contenders with a minimum, replicates): see :func:`minimal.drawn_minima`; in the row that
                       the curve's "minima" names
frozen.json            {"unit", "classes", "pair_features", "layers", "width", "headline", "best_ranking", "sets":
                       {key: {"kind": oracle|layer-reference|reference|subset|random|bottom, "ranking": the contender
                       whose size it has, "draw", "claimed": the size is n_minimal (else it is an estimate), "neurons":
                       global indices, best first, "l1", "l2", "judge": primary metric}}}. Keys: all, layer-reference,
                       reference, subset-<contender>, random-<draw>-<contender>, bottom-<contender>, subset-pipeline
frozen.safetensors     <key>.weights (columns, K), <key>.intercept (K,), <key>.mean and <key>.scale (columns,), float32:
                       scores = ((x - mean) * scale) @ weights + intercept

Nothing here reads test. Of the penalties of ``probes.penalties`` (strongest first) only the layer reference's own and
its two neighbours are tried at each size, and the best on tune is taken: the whole list at every size costs the search
several times over, and along a ranking the best penalty moves slowly. Ties go to the stronger penalty.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from neurosieve.artifacts import ArtifactError, Paths, read_npy
from neurosieve.config import Params
from neurosieve.flow import writer
from neurosieve.subsets import layers, minimal, report
from neurosieve.subsets.bound import certify
from neurosieve.subsets.curves import BOTTOM, PIPELINE, RANDOM, Curve, Dev, Walk, against_random, walk_random
from neurosieve.subsets.data import Data, Judged, Probed, Rival, best_baseline, fit_point, load_data, not_beaten
from neurosieve.subsets.draws import draws_sha256
from neurosieve.subsets.frozen import Frozen, freeze_references, freeze_subsets
from neurosieve.subsets.pipeline import pipeline_curve
from neurosieve.subsets.reference import Reference, best_reference, layer_reference, shown_weak

log = logging.getLogger(__name__)


@dataclass
class Searched:
    """Curves, what they are compared with, and what they come to.

    curves: of the contenders, rankings and searches. controls: random draws and bottom. of_layers, reference, weak: see
    reference.py. on_tune: mean over log sizes, by contender; best: the contender that is best by it. results: see
    :func:`report.result`, of the contenders and the pipeline. controlled: contenders at whose size the controls were
    tested. below: as in :class:`Row`. pipeline: its curve, where there is one; steps: what else curves.json has of it.
    """

    curves: dict[str, Curve]
    controls: dict[str, Curve]
    of_layers: Reference
    reference: Reference
    rival: Rival
    dev: Dev
    weak: dict[str, Any] | None
    on_tune: dict[str, float]
    best: str
    below: str | None
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    controlled: list[str] = field(default_factory=list)
    pipeline: dict[str, Curve] = field(default_factory=dict)
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, Curve]:
        return {**self.curves, **self.pipeline}

    @property
    def with_minimum(self) -> dict[str, Curve]:
        """Those of which a minimum is claimed."""
        return {name: curve for name, curve in self.all.items() if self.results[name]["n_minimal"] is not None}

    @property
    def no_claim(self) -> str | None:
        """Why nothing can be claimed of this row, whatever a curve does."""
        return report.no_claim(self.dev.too_small, self.below, self.weak)


@dataclass(frozen=True)
class Row:
    """A model and a task: what is searched, and what for.

    control: whether the model is an untrained twin. baseline, opponent: name of the best baseline, and its judge
    scores; baselines: scores of all. below: see :func:`data.not_beaten`; such a row may claim nothing.
    """

    params: Params
    paths: Paths
    model: str
    task: str
    control: bool
    probed: Probed
    data: Data
    baseline: str
    opponent: Judged
    baselines: dict[str, dict[str, float]]
    below: str | None

    def order(self, ranking: str) -> np.ndarray:
        """Positions among the kept neurons in the order of a ranking."""
        position = np.full(self.data.features.n_neurons, -1)
        position[self.data.kept] = np.arange(len(self.data.kept))
        order: np.ndarray = position[read_npy(self.paths.probes(self.model, self.task) / f"ranking_{ranking}.npy")]
        return order

    @property
    def contenders(self) -> list[str]:
        """Of a row that may claim nothing, as an untrained twin, the headline alone. Not all rankings rank for a
        number."""
        settings = self.params.subsets
        if self.control or self.below is not None:
            return [settings.headline]
        ranked = self.probed.probes["rankings"]
        return [name for name in settings.contenders if name in ranked or name in settings.searches]

    @property
    def coarse(self) -> list[int]:
        """Sizes of the controls, ascending; of a row that may claim nothing, a few, of all curves."""
        settings = self.params.subsets
        ratio = settings.control_ratio ** (1 if self.below is None else 2)
        return minimal.thin(minimal.size_grid(len(self.data.kept), settings.ratio), ratio)

    @property
    def grid(self) -> list[int]:
        """Sizes of the contenders, ascending."""
        if self.below is not None:
            return self.coarse
        return minimal.size_grid(len(self.data.kept), self.params.subsets.ratio)

    def rival(self, reference: Judged) -> Rival:
        """What subsets are compared with, given the judge scores of the reference."""
        return Rival(reference, self.opponent, self.params.margin(self.task).value, self.params.probes.confidence)


def load_row(params: Params, paths: Paths, model: str, task: str) -> Row:
    """What the phases before have of the row.

    Raises
    ------
    ArtifactError
        where the probes were fitted on other neurons than are there now.
    """
    probed = Probed.read(paths, model, task)
    data = load_data(params, paths, model, task, probed.oracle, probed.layer_probe)
    if not np.array_equal(data.kept, probed.kept):
        folder = paths.probes(model, task)
        raise ArtifactError(f"{folder}: kept.npy names other neurons than train has now; run `fit-probes` again")
    baseline, predicted, baselines = best_baseline(data, paths, task, params.twins_of(model))
    opponents = {name: data.judged(those) for name, those in predicted.items()}
    of_layers = data.judged(probed.judge[probed.probes["reference"]])
    return Row(
        params, paths, model, task, params.models[model].untrained is not None, probed, data, baseline,
        opponents[baseline], baselines, not_beaten(of_layers, opponents, params.probes.confidence),
    )  # fmt: skip


def search_subsets(params: Params, paths: Paths, *, model: str, task: str) -> None:
    """Write subsets/search/<model>/<task>; the module's docstring says what."""
    began = time.monotonic()
    row = load_row(params, paths, model, task)
    # All neurons are the same features in every order: fitted once, from the oracle's weights.
    full = fit_point(row.data, row.data.whole, [row.probed.oracle] * len(row.data.penalties))
    with tqdm(desc=f"subsets {model} {task}", unit="size", mininterval=5) as progress:
        walk = Walk(row.data, full, progress, coarse=row.below is not None)
        searched = walk_grid(row, walk)
        walk_to_minima(row, walk, searched)
        walk_controls(row, walk, searched)
        if params.subsets.pipeline is not None and not row.control and row.below is None:
            walk_pipeline(row, walk, searched)
    found = curves_report(row, walk, searched)
    frozen = freeze(row, searched)
    predictions = [curve.points[s].predicted for curve in _every(searched).values() for s in curve.sizes]
    minima = [minimal.drawn_minima(curve.tested(searched.rival)) for curve in searched.with_minimum.values()]
    with writer(params, paths, "search_subsets", model=model, task=task) as out:
        out.json("curves.json", found)
        out.npy("predictions_judge.npy", np.stack(predictions))
        out.npy("minima_judge.npy", np.array(minima, np.int32).reshape(-1, params.probes.bootstrap))
        out.json("frozen.json", frozen.report(params.subsets.headline, searched.best))
        out.tensors("frozen.safetensors", frozen.tensors)
        out.facts = {"probes": len(predictions), "kept": len(row.data.kept), "sets": len(frozen.sets)}
        out.facts["dev_too_small"] = searched.dev.too_small
    log.info("%s, %s: %d sizes in %.1f s", model, task, len(predictions), time.monotonic() - began)


def walk_grid(row: Row, walk: Walk) -> Searched:
    """Random orders and contenders at the sizes of the grid; what all subsets are compared with; whether judge can
    resolve the margin. The contender that is best on tune is the best, of equals the headline."""
    settings, data = row.params.subsets, row.data
    halves, controls = walk_random(walk, row.model, row.task, row.coarse)
    grid = row.grid
    curves: dict[str, Curve] = {}
    for name in row.contenders:
        curves[name] = walk.search(name) if name in settings.searches else walk.along(row.order(name))
        walk.test(curves[name], grid)
    of_layers = layer_reference(data, row.probed)
    reference = best_reference(of_layers, curves)
    rival = row.rival(reference.judged)
    on_tune = {
        name: minimal.mean_over_log_sizes(np.array(grid), np.array([curve.points[s].tune for s in grid]))
        for name, curve in curves.items()
    }
    return Searched(
        curves=curves,
        controls=controls,
        of_layers=of_layers,
        reference=reference,
        rival=rival,
        dev=Dev.of(halves, rival),
        weak=shown_weak(curves, rival),
        on_tune=on_tune,
        best=max(curves, key=lambda name: (on_tune[name], name == settings.headline)),
        below=row.below,
    )


def settle(row: Row, walk: Walk, searched: Searched, name: str, curve: Curve) -> None:
    """Walk a curve to its minimum, or its estimate where none can be claimed, and keep what it comes to."""

    walk.close_in(curve, searched.rival, claims=searched.no_claim is None)
    reason = searched.no_claim or report.why_none_passes(curve, searched.rival, row.baseline)
    searched.results[name] = report.result(curve, searched.rival, reason)


def walk_to_minima(row: Row, walk: Walk, searched: Searched) -> None:
    """Every contender to its minimum."""
    for name, curve in searched.curves.items():
        settle(row, walk, searched, name, curve)
    asked = (row.params.subsets.headline, searched.best)
    searched.controlled = [name for name in searched.curves if name in asked and searched.results[name]["size"]]


def walk_controls(row: Row, walk: Walk, searched: Searched) -> None:
    """Add the curve from the end of the first ranking, and test all controls at the sizes of the contenders."""
    settings = row.params.subsets
    first = next(name for name in settings.rankings if name in row.probed.probes["rankings"])
    searched.controls[BOTTOM] = bottom = walk.along(row.order(first)[::-1])
    walk.test(bottom, row.coarse)
    for curve in searched.controls.values():
        walk.test(curve, {searched.results[name]["size"] for name in searched.controlled})


def walk_pipeline(row: Row, walk: Walk, searched: Searched) -> None:
    """Add the curve of the pipeline; see :func:`pipeline_curve`."""
    settings = row.params.subsets
    assert settings.pipeline is not None
    # At half the margin: layers that only just pass at all of it leave the steps after them nothing to lose.
    half = replace(searched.rival, margin=searched.rival.margin / 2)
    bottom = layers.number_that_passes(layer_report(row, half, no_claim=searched.no_claim)["bottom"])
    curve, searched.steps[PIPELINE] = pipeline_curve(row.data, walk.full, bottom, row.paths)
    searched.pipeline[PIPELINE] = curve
    # one more curve beside the rankings', so a coarser one; bisection closes in on the minimum as it does there
    walk.test(curve, minimal.thin(minimal.size_grid(curve.largest, settings.ratio), settings.pipeline.ratio))
    settle(row, walk, searched, PIPELINE, curve)


def layer_report(row: Row, rival: Rival, *, no_claim: str | None) -> dict[str, Any]:
    """Selection of layers from the stored judge predictions of the probes phase, without a refit."""
    found: dict[layers.Span, layers.Found] = {}
    for name, entry in row.probed.probes["sets"].items():
        judged = row.data.judged(row.probed.judge[name])
        found[entry["layers"][0], entry["layers"][1]] = layers.Found(
            neurons=entry["neurons"],
            judge=judged.value,
            difference=judged.value - rival.reference.value,
            lower=rival.lower(judged, rival.reference),
            baseline_lower=rival.lower(judged, rival.baseline),
        )
    features = row.data.features
    return layers.select_layers(
        layers.every_span(found, features.measured, features.layers), features.layers, rival.margin, no_claim=no_claim
    )


def _every(searched: Searched) -> dict[str, Curve]:
    """All curves, in the order of curves.json and of predictions_judge.npy."""
    return {**searched.all, **searched.controls}


def curves_report(row: Row, walk: Walk, searched: Searched) -> dict[str, Any]:
    """curves.json."""
    settings, rival = row.params.subsets, searched.rival
    reports: dict[str, dict[str, Any]] = {}
    first, with_minimum = 0, list(searched.with_minimum)
    for name, curve in _every(searched).items():
        kind = (
            "search" if name in settings.searches else "ranking" if name in searched.curves else name.partition("-")[0]
        )
        result = {**searched.results.get(name, report.coarse(curve, rival)), **searched.steps.get(name, {})}
        reports[name] = {"kind": kind, **report.report(curve, rival, first), **result}
        reports[name]["minima"] = with_minimum.index(name) if name in with_minimum else None
        first += len(curve.points)
    random = [f"{RANDOM}-{draw}" for draw in range(settings.random_draws)]
    return {
        **report.of_the_row(row.data, row.probed, rival, searched.of_layers, searched.reference),
        "weak_reference": searched.weak,
        "model": row.model,
        "task": row.task,
        "margin": row.params.margin(row.task).model_dump(mode="json"),
        "baseline": row.baseline,
        "baselines": row.baselines,
        "dev": searched.dev.report(row.data),
        "headline": settings.headline,
        "best_ranking": searched.best,
        "mean_tune": searched.on_tune,
        "curves": reports,
        "random": report.mean([reports[name] for name in random]),
        "beats_random": against_random(searched.curves, [searched.controls[name] for name in random], rival.confidence),
        "layers": layer_report(row, rival, no_claim=searched.no_claim),
        "bound": _bound(row, walk, searched),
        "draws": draws_sha256(row.data.features.rows("judge"), row.data.bootstrap),
    }


def _bound(row: Row, walk: Walk, searched: Searched) -> dict[str, Any] | None:
    """What :func:`certify` says of the headline's minimal subset, with the curve beside it: "sizes", "found": train
    objective of the headline's set of that size at that penalty, "certified": no set of that size is below. Null where
    no minimum is claimed, and where the headline is a ranking: the bound is for sets that were searched.
    """
    headline = row.params.subsets.headline
    size = searched.results[headline]["n_minimal"]
    if size is None or row.control or headline not in row.params.subsets.searches:
        return None
    curve = searched.curves[headline]
    minimum = curve.points[size]
    found, best = certify(row.data.given(walk.full), minimum.fitted)
    sizes = curve.sizes
    objectives = [curve.points[s].tried[minimum.chosen].objective for s in sizes]
    return {**found, "sizes": sizes, "found": objectives, "certified": best[sizes]}


def freeze(row: Row, searched: Searched) -> Frozen:
    """Everything that test will score."""
    frozen = Frozen(row.data)
    freeze_references(frozen, row.probed, searched.of_layers, searched.reference)
    controls = {name: searched.controls if name in searched.controlled else {} for name in searched.all}
    freeze_subsets(frozen, searched.all, controls, searched.results)
    return frozen
