"""Scores of everything frozen, on test: the one place that reads test activations. Nothing is chosen here.

Reads: prepare/tasks/<task>/{test,card}, subsets/search/<model>/<task> (frozen.json, frozen.safetensors, curves.json),
activations/<model>/<task>/test, of its untrained twins that and probes/models/<twin>/<task> (the probe of the
reference), probes/baselines/<task> (fitted models, no scores), probes/controls/<model>/<task> and probes/status.
Writes subsets/scores/<model>/<task>:

scores.json           see :func:`score_test`
predictions_test.npy  int16 classes or float32 numbers (predictors, rows), rows in the order of scores.json's
                      "predictions"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosieve.artifacts import Paths, iter_jsonl, read_json, read_npy, read_tensors
from neurosieve.config import Params
from neurosieve.flow import writer
from neurosieve.probes import intervals, metrics
from neurosieve.probes.baselines import MAJORITY, predict_baselines
from neurosieve.probes.features import Features, Rows, read_rows, resampled
from neurosieve.probes.solver import Probe
from neurosieve.probes.status import PARTS, SUPPORTED, compare, status_of
from neurosieve.subsets import minimal
from neurosieve.subsets.draws import draws_sha256

SPLIT = "test"


def frozen_features(paths: Paths, model: str, task: str, frozen: Mapping[str, Any]) -> Features:
    """Layout of the features that frozen.json speaks of."""
    return Features(
        paths=paths,
        model=model,
        task=task,
        unit=frozen["unit"],
        classes=frozen["classes"],
        pair_features=tuple(frozen["pair_features"]),
        layers=frozen["layers"],
        width=frozen["width"],
    )


def predict_frozen(paths: Paths, model: str, task: str, keys: list[str] | None = None) -> dict[str, np.ndarray]:
    """Test predictions (rows,) of the frozen sets (all by default), from their weights alone.

    Only the test activations of the neurons in the sets are read.
    """
    folder = paths.search(model, task)
    frozen, tensors = read_json(folder / "frozen.json"), read_tensors(folder / "frozen.safetensors")
    features = frozen_features(paths, model, task, frozen)
    predicted = {}
    for key in keys or list(frozen["sets"]):
        entry = frozen["sets"][key]
        X = features.load(SPLIT, np.array(entry["neurons"], np.int64))
        X -= tensors[f"{key}.mean"]
        X *= tensors[f"{key}.scale"]
        weights, intercept = tensors[f"{key}.weights"], tensors[f"{key}.intercept"]
        probe = Probe(
            weights, intercept, gap=0.0, iterations=0, objective=0.0, l1=entry["l1"], l2=entry["l2"],
            number=features.number,
        )  # fmt: skip
        predicted[key] = metrics.stored(probe.predict(X))
    return predicted


def predict_reference(params: Params, paths: Paths, model: str, task: str) -> np.ndarray:
    """Test predictions (rows,) of a model's reference, from the probe that the probes phase wrote."""
    folder = paths.probes(model, task)
    probes, tensors = read_json(folder / "probes.json"), read_tensors(folder / "weights.safetensors")
    card = read_json(paths.task(task) / "card" / "card.json")
    settings = {"unit": card["unit"], "classes": card["classes"], "pair_features": params.probes.pair_features}
    features = frozen_features(paths, model, task, {**settings, "layers": probes["layers"], "width": probes["width"]})
    entry, kept = probes["sets"][probes["reference"]], read_npy(folder / "kept.npy").astype(np.int64)
    first, last = entry["layers"]
    layer_of = kept // features.width
    X = features.load(SPLIT, kept[(layer_of >= first) & (layer_of <= last)])
    X -= tensors["reference_mean"]
    X *= tensors["reference_scale"]
    probe = Probe(
        tensors["reference_weights"], tensors["reference_intercept"], gap=entry["gap"], iterations=entry["iterations"],
        objective=entry["objective"], l1=entry["l1"], l2=entry["l2"], number=features.number,
    )  # fmt: skip
    return metrics.stored(probe.predict(X))


def predict_controls(
    paths: Paths, model: str, task: str, features: Features
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """What the control probes of probes/controls say of test; None for sequences and pairs, which have none.

    Returns (predicted, labels, majority): int16 (seeds, rows) predicted control classes, int16 (seeds, rows) control
    classes of the rows' types, -1 where train lacks the type, and int64 (seeds,) the most frequent control class of
    train. For numbers float32 (seeds, rows), float64 (seeds, rows), NaN where train lacks the type, and float64
    (seeds,) the mean of the control numbers of train.
    """
    folder = paths.controls(model, task)
    control = read_json(folder / "controls.json")["control"]
    if control is None:
        return None
    tensors = read_tensors(folder / "controls.safetensors")
    X = features.load(SPLIT, tensors["neurons"].astype(np.int64))
    X -= tensors["mean"]
    X *= tensors["scale"]
    probes = (
        Probe(W, b, gap=0.0, iterations=0, objective=0.0, l1=0.0, l2=0.0, number=features.number)
        for W, b in zip(tensors["weights"], tensors["intercept"], strict=True)
    )
    predicted = np.stack([metrics.stored(probe.predict(X)) for probe in probes])
    of_type = {row["type"]: row["labels"] for row in iter_jsonl(folder / "types.jsonl")}
    unseen = [np.nan if features.number else -1] * len(predicted)
    types = [row["type"] for row in iter_jsonl(paths.task(task) / SPLIT / "rows.jsonl")]
    labels = np.array([of_type.get(name, unseen) for name in types], np.float64 if features.number else np.int16).T
    constant = "mean" if features.number else "majority"
    return predicted, labels, np.array([fit[constant] for fit in control["fits"]])


class Scorer:
    """Scores of predictions of test: in all, by seen and unseen types, by package, with the interval over files."""

    def __init__(self, params: Params, paths: Paths, task: str) -> None:
        self.card = read_json(paths.task(task) / "card" / "card.json")
        self.n_classes = len(self.card["classes"])
        self.rows: Rows = read_rows(paths, task, SPLIT)
        self.confidence = params.probes.confidence
        self.metric = metrics.primary(self.card)
        self.bootstrap = intervals.task_bootstrap(
            params.seed, task, SPLIT, self.rows.files, params.probes.bootstrap, self.rows.sides
        )
        packages = [entry["package"] for entry in iter_jsonl(paths.task(task) / SPLIT / "inputs.jsonl")]
        self.packages = np.array([packages[i] for i in self.rows.inputs])

    def counts(self, predicted: np.ndarray, at: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(F, K, K) confusion counts by file of the rows ``at``, or sums of numbers."""
        rows = self.rows
        return metrics.counts_by_file(
            rows.labels[at], predicted[at], rows.files[at], self.n_classes, self.bootstrap.n_files
        )

    def replicates(self, predicted: np.ndarray) -> np.ndarray:
        return self.bootstrap.replicates(self.counts(predicted), self.metric)

    def value(self, predicted: np.ndarray) -> float:
        return float(self.metric(self.counts(predicted).sum(0)))

    def report(self, predicted: np.ndarray) -> dict[str, Any]:
        """All metrics (metrics.report); "low", "high" (two one-sided bounds of the primary one); "seen", "unseen" (null
        but for tokens) and "packages", each with its rows and with macro-F1 over the classes it has enough rows of."""
        replicates = self.replicates(predicted)
        parts: dict[str, dict[str, Any] | None] = {"seen": None, "unseen": None}
        if self.rows.seen is not None:
            parts = {"seen": self._part(predicted, self.rows.seen), "unseen": self._part(predicted, ~self.rows.seen)}
        return {
            **metrics.report(self.rows.labels, predicted, self.n_classes, self.card["scored_classes"]),
            "low": float(intervals.lower(replicates, self.confidence)),
            "high": float(intervals.upper(replicates, self.confidence)),
            **parts,
            "packages": {
                name: self._part(predicted, self.packages == name) for name in sorted(set(self.packages.tolist()))
            },
        }

    def selectivity(
        self, oracle: np.ndarray, predicted: np.ndarray, labels: np.ndarray, majority: np.ndarray
    ) -> dict[str, Any] | None:
        """Task score of the oracle minus the mean score of the control probes, on test tokens of types that train has.

        Parameters
        ----------
        oracle : (rows,) what the probe of all neurons predicts.
        predicted, labels, majority : as :func:`predict_controls` returns them.

        Returns
        -------
        {"rows", "files", "rows_unseen": those left out, "metric": "accuracy" (of numbers "r2"), "task", "control":
        [per seed], "control_mean", "selectivity": task - control_mean, "low", "high": its two one-sided bounds over
        files, "control_majority": mean score of always the most frequent control class (of the mean control number),
        "primary": the same figures in the primary metric, over "scored_classes" (those of the card that these rows have
        enough of)}. None where the rows lie in fewer than intervals.MIN_FILES files.
        """
        at = (labels >= 0 if self.n_classes else np.isfinite(labels)).all(axis=0)
        files = self.rows.files[at]
        if self.rows.n_files(at) < intervals.MIN_FILES:
            return None
        n_files = self.bootstrap.n_files
        constant = np.broadcast_to(majority[:, None], labels.shape)

        def counts(y: np.ndarray, p: np.ndarray) -> np.ndarray:
            return metrics.counts_by_file(y[at], p[at], files, self.n_classes, n_files)

        task = counts(self.rows.labels, oracle)
        floor = np.stack([counts(y, p).sum(0) for y, p in zip(labels, constant, strict=True)])
        scored = metrics.scored_among(self.rows.labels[at], files, self.card["scored_classes"])

        def figures(name: str) -> dict[str, Any] | None:
            if name == "macro_f1" and not scored:
                return None

            def score(C: np.ndarray) -> np.ndarray:
                return metrics.metric(name, C, scored)

            totals, drawn = [], []
            for y, p in zip(labels, predicted, strict=True):  # a table at a time: of many classes it is large
                control = counts(y, p)
                totals.append(control.sum(0))
                drawn.append(self.bootstrap.replicates(control, score))
            each = score(np.stack(totals))
            value = float(score(task.sum(0)))
            replicates = self.bootstrap.replicates(task, score) - np.stack(drawn).mean(0)
            return {
                "metric": name,
                "task": value,
                "control": each.tolist(),
                "control_mean": float(each.mean()),
                "selectivity": value - float(each.mean()),
                "low": float(intervals.lower(replicates, self.confidence)),
                "high": float(intervals.upper(replicates, self.confidence)),
                "control_majority": float(score(floor).mean()),
            }

        return {
            "rows": int(at.sum()),
            "files": self.rows.n_files(at),
            "rows_unseen": int((~at).sum()),
            **(figures("accuracy" if self.n_classes else "r2") or {}),
            "primary": figures(self.card["metric"]),
            "scored_classes": scored,
        }

    def _part(self, predicted: np.ndarray, at: np.ndarray) -> dict[str, Any]:
        labels, files = self.rows.labels[at], self.rows.files[at]
        scored = metrics.scored_among(labels, files, self.card["scored_classes"])
        found = metrics.report(labels, predicted[at], self.n_classes, scored)
        return {"rows": int(at.sum()), "files": self.rows.n_files(at), "scored_classes": scored, **found}


def score_test(params: Params, paths: Paths, *, model: str, task: str) -> None:
    """Write subsets/scores/<model>/<task>. scores.json:

    {"model", "task", "metric", "rows", "files": that are resampled, "resampled": what to call these,
     "packages": rows by package,
     "sets": {key of frozen.json: {"kind", "ranking", "draw", "claimed", "neurons": number, metrics and parts as
              :meth:`Scorer.report` has them, "difference": primary metric minus the reference's, "lower": its bound}},
     "random": {ranking: {"neurons", "draws", the metrics: means over draws, "low", "high": range of the primary
              one}},
     "classes": {predictor: {class: as in metrics.by_class}} of oracle, reference, the headline subset, surface and
     untrained; null for numbers,
     "baselines": {name: report}, "surface": name, "untrained": report of the reference of the twin that status.json
     names, or null; with several twins "comparisons" has "twins" under "untrained": {name: {"test"}},
     "status", "status_unseen": as judge decided; "test_status", "test_status_unseen": of the same comparisons on test,
     by raw p (Holm goes over rows, at the leaderboard), "comparisons", "comparisons_unseen", "sample",
     "sample_unseen": as in status.json,
     "selectivity": null but for tokens, see :meth:`Scorer.selectivity`,
     "share_kept": {ranking: share of (reference - best baseline) that the frozen subset keeps on test},
     "confirmed_status": the three comparisons hold on test; "confirmed_subset": the lower bound of (headline subset -
     reference) is above -margin, null where no minimum is claimed; "confirmed": both; each is null for a row whose
     status is not `supported`, for such a row claims nothing; "predictions": names of the rows of predictions_test.npy;
     "draws": see :func:`draws.draws_sha256`, of test}
    """
    twins = params.twins_of(model)
    scorer = Scorer(params, paths, task)
    folder = paths.search(model, task)
    frozen, curves = read_json(folder / "frozen.json"), read_json(folder / "curves.json")
    entry = read_json(paths.status() / "status.json")["rows"][f"{model}/{task}"]
    sets = predict_frozen(paths, model, task)
    baselines = dict(zip(*predict_baselines(paths, task, SPLIT), strict=True))
    references = {name: predict_reference(params, paths, name, task) for name in twins}
    untrained = references.get(entry["twin"])
    controls = predict_controls(paths, model, task, frozen_features(paths, model, task, frozen))

    reported = _report_sets(scorer, frozen["sets"], sets)
    status = _status(scorer, entry, sets["layer-reference"], baselines, untrained)
    if len(references) > 1:
        scores = {name: {"test": scorer.value(predicted)} for name, predicted in references.items()}
        status["comparisons"]["untrained"]["twins"] = scores
    shown = {
        "oracle": sets["all"],
        "reference": sets["reference"],
        "subset": sets.get(f"subset-{frozen['headline']}"),
        "surface": baselines[entry["surface"]],
        "untrained": untrained,
    }
    report = {
        "model": model,
        "task": task,
        "metric": scorer.card["metric"],
        "rows": len(scorer.rows.labels),
        "files": scorer.bootstrap.n_drawn,
        "resampled": resampled(scorer.card)["name"],
        "packages": {name: int((scorer.packages == name).sum()) for name in sorted(set(scorer.packages.tolist()))},
        "sets": reported,
        "random": _random(reported, scorer.card["metric"]),
        "baselines": {name: scorer.report(predicted) for name, predicted in baselines.items()},
        "classes": _classes(scorer, shown),
        "surface": entry["surface"],
        "untrained": None if untrained is None else scorer.report(untrained),
        **status,
        "selectivity": None if controls is None else scorer.selectivity(sets["all"], *controls),
        "share_kept": _share_kept(
            scorer, reported, sets, _opponents(baselines, untrained, entry["surface"])[curves["baseline"]]
        ),
        **_confirmed(status, reported.get(f"subset-{frozen['headline']}"), curves["margin"]["value"]),
    }
    predictions = {
        **sets,
        **{f"baseline-{name}": p for name, p in baselines.items()},
        **({} if untrained is None else {"untrained": untrained}),
    }
    report["predictions"] = list(predictions)
    report["draws"] = draws_sha256(scorer.rows, scorer.bootstrap)
    with writer(params, paths, "score_test", model=model, task=task) as out:
        out.json("scores.json", report)
        out.npy("predictions_test.npy", np.stack(list(predictions.values())))
        out.facts = {"rows": report["rows"], "predictors": len(predictions)}


def _report_sets(
    scorer: Scorer, frozen: Mapping[str, Mapping[str, Any]], predicted: Mapping[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """ "sets" of scores.json: each frozen set, and its difference to the reference."""
    reference = scorer.replicates(predicted["reference"])
    reported: dict[str, dict[str, Any]] = {}
    for key, own in predicted.items():
        difference = scorer.replicates(own) - reference
        reported[key] = {
            **{name: frozen[key][name] for name in ("kind", "ranking", "draw", "claimed")},
            "neurons": len(frozen[key]["neurons"]),
            **scorer.report(own),
            "difference": scorer.value(own) - scorer.value(predicted["reference"]),
            "lower": float(intervals.lower(difference, scorer.confidence)),
        }
    return reported


def _classes(
    scorer: Scorer, predicted: Mapping[str, np.ndarray | None]
) -> dict[str, dict[str, dict[str, float | int | None]]] | None:
    """ "classes" of scores.json: what each predictor reaches on each class."""
    if not scorer.n_classes:
        return None
    return {
        name: dict(zip(scorer.card["classes"], metrics.by_class(scorer.counts(own).sum(0)), strict=True))
        for name, own in predicted.items()
        if own is not None
    }


def _opponents(
    baselines: Mapping[str, np.ndarray], untrained: np.ndarray | None, surface: str
) -> dict[str, np.ndarray | None]:
    """What the reference is compared with, by its name in status.json; no untrained where the model has no twin."""
    return {"majority": baselines[MAJORITY], "surface": baselines[surface], "untrained": untrained}


def _status(
    scorer: Scorer,
    entry: Mapping[str, Any],
    reference: np.ndarray,
    baselines: Mapping[str, np.ndarray],
    untrained: np.ndarray | None,
) -> dict[str, Any]:
    """The status that judge decided (``entry`` of status.json), and the same comparisons on test, by part."""
    status: dict[str, Any] = {}
    for part in PARTS:
        found = None
        if entry[f"comparisons{part}"] is not None:
            found = compare(
                scorer.card, scorer.rows, reference, _opponents(baselines, untrained, entry[f"surface{part}"]),
                scorer.bootstrap, scorer.confidence, unseen=bool(part), scored=entry[f"scored_classes{part}"],
            )  # fmt: skip
        status[f"status{part}"] = entry[f"status{part}"]
        status[f"test_status{part}"] = found and status_of(
            found["comparisons"], scorer.confidence, control=entry["control"]
        )
        for name in ("comparisons", "sample"):
            status[f"{name}{part}"] = found and found[name]
    return status


def _share_kept(
    scorer: Scorer,
    reported: Mapping[str, Mapping[str, Any]],
    predicted: Mapping[str, np.ndarray],
    baseline: np.ndarray | None,
) -> dict[str, float | None]:
    """By contender: what its frozen subset keeps of what the reference has above the best baseline."""
    assert baseline is not None
    reference, floor = scorer.value(predicted["reference"]), scorer.value(baseline)
    return {
        report["ranking"]: minimal.share_kept(scorer.value(predicted[key]), reference, floor)
        for key, report in reported.items()
        if report["kind"] == "subset"
    }


def _confirmed(status: Mapping[str, Any], subset: Mapping[str, Any] | None, margin: float) -> dict[str, bool | None]:
    """Whether test confirms what judge claimed; ``subset`` is the report of the headline's frozen subset."""
    if status["status"] != SUPPORTED:
        return {"confirmed": None, "confirmed_status": None, "confirmed_subset": None}
    of_status = status["test_status"] == SUPPORTED
    of_subset = bool(subset["lower"] > -margin) if subset and subset["claimed"] else None
    return {
        "confirmed": of_status and of_subset is not False,
        "confirmed_status": of_status,
        "confirmed_subset": of_subset,
    }


def _random(reported: Mapping[str, Mapping[str, Any]], metric: str) -> dict[str, Any]:
    """Means of the random draws, by the contender whose size they have."""
    found = {}
    for name in dict.fromkeys(r["ranking"] for r in reported.values() if r["kind"] == "random"):
        draws = [r for r in reported.values() if r["kind"] == "random" and r["ranking"] == name]
        found[name] = {
            "neurons": draws[0]["neurons"],
            "draws": len(draws),
            **{
                m: float(np.mean([d[m] for d in draws]))
                for m in (*metrics.METRICS, *metrics.NUMBER_METRICS)
                if all(d.get(m) is not None for d in draws)
            },
            "low": min(d[metric] for d in draws),
            "high": max(d[metric] for d in draws),
        }
    return found
