"""Status of every row (model, task), decided on judge before any subset is searched (METHOD 3.1).

Reads: probes/models/<model>/<task> and probes/baselines/<task> (predictions of judge), and the rows of judge and the
card of prepare/tasks/<task>.
Writes probes/status/status.json:

{"confidence", "family": [rows Holm goes over], "rows": {"<model>/<task>": {
    "status", "status_unseen" (tokens, types that train lacks; else null), "control", "reference": name of the feature
    set, "surface", "surface_unseen": names of the baselines, "twin": name or null, "scored_classes",
    "scored_classes_unseen": those of macro-F1, "notes",
    "comparisons": {"majority"|"surface"|"untrained": {"score": of the opponent, "difference": reference - opponent,
                    "lower": one-sided bound, "p", "p_holm", of "untrained" with several twins also "twins": {name:
                    {"tune", "judge"}}: scores of all at their references}}, "comparisons_unseen",
    "sample": {"score": of the reference, "rows", "files", "design_effect" and "effective_rows" (null for numbers)},
    "sample_unseen"}}}

A row is compared with the majority class, the best surface baseline and the untrained twin, in this order, by the
paired bootstrap over files; its status is the first comparison in which it is not above (`at chance`, `surface`,
`untrained`), else `supported`. "majority" is the best constant of the rows that are scored. The twin is taken at its
own reference; of several (in ``run.models`` and ``run.twins``) it is the one that is best on tune. "Supported" needs
all three, so its p-value is the largest of the three (an intersection-union test, Berger 1982); likewise that of each
comparison is the largest up to it. p_holm are these cumulated p-values, adjusted by Holm over the rows of the
benchmark: the chance of any wrong "supported" is at most 1 - confidence. All tokens and tokens of unseen types are two
families.

Untrained twins are control rows: they claim nothing, stand in no family (p_holm null), and are `untrained` where they
pass their two comparisons. A row whose model has no untrained twin in the run cannot be supported: where it passes two
comparisons it is `no twin`, and a note says what to add to the params file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurosieve.artifacts import Paths, read_json, read_npy
from neurosieve.config import Params
from neurosieve.flow import writer
from neurosieve.probes.baselines import MAJORITY
from neurosieve.probes.features import Rows, read_rows, resampled
from neurosieve.probes.intervals import (
    MIN_FILES,
    FileBootstrap,
    IntervalError,
    design_effect,
    few,
    holm,
    lower,
    p_value,
    task_bootstrap,
)
from neurosieve.probes.metrics import NUMBER, accuracy, best_constant, counts_by_file, primary, scored_among
from neurosieve.probes.twins import choose_twin

FAILS = {"majority": "at chance", "surface": "surface", "untrained": "untrained"}  # in the order of the comparisons
SUPPORTED, UNTRAINED, NO_TWIN = "supported", "untrained", "no twin"
PARTS = ("", "_unseen")  # suffixes of the keys of status.json

Comparisons = dict[str, dict[str, Any]]


def compare(
    card: Mapping[str, Any],
    rows: Rows,
    reference: np.ndarray,
    opponents: Mapping[str, np.ndarray | None],
    bootstrap: FileBootstrap,
    confidence: float,
    *,
    unseen: bool = False,
    scored: list[int] | None = None,
) -> dict[str, Any] | None:
    """Compare a row's reference with its opponents on one split.

    Parameters
    ----------
    rows : of the split.
    reference : (rows,) predicted classes, or numbers.
    opponents : (rows,) predictions of "majority", "surface" and "untrained" (left out or None without a twin). For
    the unseen types "majority" is made here: the constant that is best on them.
    bootstrap : of all rows of the split (intervals.task_bootstrap), also for the unseen types.
    unseen : score only tokens whose type does not occur in train.
    scored : classes of macro-F1; by default the card's, and of these those with enough unseen rows in this split. For
    the unseen types of test give those of judge (``scored_classes_unseen``), so that both speak of the same classes.

    Returns
    -------
    "comparisons" (p_holm None: see :func:`adjust`), "sample" and "scored_classes", as the module's docstring describes
    them. None where the unseen types are too few to be scored: in fewer than MIN_FILES files or, for macro-F1, with
    fewer than two scored classes.
    """
    at = np.ones(len(rows.labels), bool)
    if unseen:
        assert rows.seen is not None, "only tokens have types"
        at = ~rows.seen
    labels, files = rows.labels[at], rows.files[at]
    if unseen and rows.n_files(at) < MIN_FILES:
        return None
    if scored is None:
        scored = scored_among(labels, files, card["scored_classes"]) if unseen else list(card["scored_classes"])
        if unseen and card["metric"] == "macro_f1" and len(scored) < 2:
            return None
    n_classes = len(card["classes"])
    score = primary({**card, "scored_classes": scored})
    given = {name: predicted for name in FAILS if (predicted := opponents.get(name)) is not None}
    if unseen and "majority" in given:
        given["majority"] = np.full_like(given["majority"], best_constant(labels, n_classes, score))
    predicted = np.stack([reference, *given.values()])
    if predicted.shape[1] != len(at):
        raise ValueError(f"found predictions of {predicted.shape[1]} rows, expected {len(at)}")
    totals: list[np.ndarray] = []
    replicates, effect = [], None
    for row in predicted:  # a table at a time: of many classes in many files it is large
        C = counts_by_file(labels, row[at], files, n_classes, bootstrap.n_files)
        if not totals and n_classes != NUMBER:
            effect = design_effect(C, bootstrap.replicates(C, accuracy))
        totals.append(C.sum(0))
        replicates.append(bootstrap.replicates(C, score))
    values = score(np.stack(totals))
    comparisons: Comparisons = {}
    for name, value, replicate in zip(given, values[1:], replicates[1:], strict=True):
        comparisons[name] = {
            "score": float(value),
            "difference": float(values[0] - value),
            "lower": float(lower(replicates[0] - replicate, confidence)),
            "p": float(p_value(replicates[0] - replicate)),
            "p_holm": None,
        }
    sample = {
        "score": float(values[0]),
        "rows": int(at.sum()),
        "files": rows.n_files(at),
        "design_effect": effect,
        "effective_rows": float(at.sum() / effect) if effect else None,
    }
    return {"comparisons": comparisons, "sample": sample, "scored_classes": scored}


def status_of(comparisons: Comparisons, confidence: float, *, control: bool = False) -> str:
    """Status from the comparisons of a row: by p_holm where it is given, else (one row by itself, as when test
    confirms) by p. A control row is never supported."""
    for name, failed in FAILS.items():
        if name not in comparisons:
            return UNTRAINED if control else NO_TWIN  # only the twin can be absent
        entry = comparisons[name]
        p = entry["p"] if entry["p_holm"] is None else entry["p_holm"]
        if p > 1 - confidence + 1e-12:  # 1 - 0.95 is a little above 0.05
            return failed
    return SUPPORTED


def adjust(family: Mapping[str, Comparisons], confidence: float, replicates: int) -> None:
    """Set p_holm of every comparison of the family's rows, in place (see the module's docstring).

    Raises
    ------
    IntervalError
        where so few replicates cannot give a p-value small enough for so many rows.
    """
    wanted = math.ceil(len(family) / (1 - confidence) - 1e-9) - 1
    if replicates < wanted:
        raise IntervalError(
            f"{len(family)} rows cannot be told from chance with {replicates} replicates at confidence {confidence}; "
            f"write probes.bootstrap: {wanted} or more"
        )
    largest = dict.fromkeys(family, 0.0)
    for name in FAILS:
        rows = [row for row in family if name in family[row]]
        for row in rows:
            largest[row] = max(largest[row], family[row][name]["p"])
        for row, p in zip(rows, holm([largest[row] for row in rows]), strict=True):
            family[row][name]["p_holm"] = float(p)


def reference_predictions(folder: Path) -> tuple[str, np.ndarray]:
    """Name of the reference of a model on a task, and its predictions of judge, (rows,)."""
    probes = read_json(folder / "probes.json")
    return probes["reference"], read_npy(folder / "predictions_judge.npy")[probes["order"].index(probes["reference"])]


def decide_status(params: Params, paths: Paths) -> None:
    """Decide the status of every row of the run; the module's docstring says how and what is written."""
    confidence, n = params.probes.confidence, params.probes.bootstrap
    entries: dict[str, dict[str, Any]] = {}
    for task in params.run.tasks:
        folders = [paths.task(task) / "judge", paths.task(task) / "card", paths.baselines(task)]
        models = {model: paths.probes(model, task) for model in params.probed}
        card, rows = read_json(folders[1] / "card.json"), read_rows(paths, task, "judge")
        try:
            bootstrap = task_bootstrap(params.seed, task, "judge", rows.files, n, rows.sides)
        except IntervalError as error:
            raise IntervalError(f"{folders[0]}: {error}") from None
        named = read_json(folders[2] / "baselines.json")
        baselines = dict(zip(named["order"], read_npy(folders[2] / "predictions_judge.npy"), strict=True))
        references = {model: reference_predictions(folder) for model, folder in models.items()}
        for model in params.run.models:
            reference, predicted = references[model]
            twin, twins = choose_twin(paths, task, params.twins_of(model))
            opponents = {"majority": baselines[MAJORITY]}
            if twin is not None:
                opponents["untrained"] = references[twin][1]
            entry: dict[str, Any] = {
                "control": params.models[model].untrained is not None,
                "reference": reference,
                "twin": twin,
                "surface": named["surface"],
                "surface_unseen": named["surface_unseen"],
            }
            for part in PARTS:
                found = None
                if not part or rows.seen is not None:
                    opponents["surface"] = baselines[named[f"surface{part}"]]
                    found = compare(card, rows, predicted, opponents, bootstrap, confidence, unseen=bool(part))
                for key in ("comparisons", "sample", "scored_classes"):
                    entry[f"{key}{part}"] = found and found[key]
            if len(twins) > 1:
                entry["comparisons"]["untrained"]["twins"] = twins
            entry["notes"] = _notes(model, entry, resampled(card)["name"], tokens=rows.seen is not None)
            entries[f"{model}/{task}"] = entry

    family = [row for row, entry in entries.items() if not entry["control"]]
    for part in PARTS:
        adjust({r: c for r in family if (c := entries[r][f"comparisons{part}"]) is not None}, confidence, n)
        for entry in entries.values():
            comparisons = entry[f"comparisons{part}"]
            entry[f"status{part}"] = comparisons and status_of(comparisons, confidence, control=entry["control"])

    with writer(params, paths, "decide_status") as out:
        out.facts = {"rows": len(entries), "family": len(family)}
        out.json("status.json", {"confidence": confidence, "family": family, "rows": entries})


def _notes(model: str, entry: dict[str, Any], resampled: str, tokens: bool) -> list[str]:
    """What must be known to read the row."""
    notes = []
    if entry["control"]:
        notes.append("control row: an untrained model, compared without adjustment and never supported")
    elif entry["twin"] is None:
        notes.append(
            f"no untrained twin in the run, so what training adds is not known: put a model with `untrained: {model}` "
            "under models and its name into run.models"
        )
    notes += few("judge", entry["sample"]["files"], resampled)
    if tokens and entry["sample_unseen"] is None:
        notes.append("too few judge tokens of types unseen in train to score them apart")
    return notes
