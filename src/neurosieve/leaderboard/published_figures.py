"""Figures of the publication beside our rows: other data, other models where so mapped, so shapes alone compare.

Reads the csv that ``leaderboard.published_figures.file`` names: task, model, step, layers, cluster_threshold,
n_neurons, metric, score; a line per step (oracle, lca, ls, cc, ls+cc+lca). Writes no files.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from neurosieve.config import ConfigError, Params
from neurosieve.leaderboard.measures import NONE, Table, count, decimals, share
from neurosieve.leaderboard.table import FIGURES

KEY = "leaderboard.published_figures"
HEADS = ("task", "model", "step", "n_neurons", "metric", "score")
ORACLE = "oracle"
SUBSETS = ("ls+cc+lca", "lca")  # the steps that end in a ranked subset
Figures = dict[tuple[str, str], dict[str, Any]]


def read_figures(params: Params) -> Figures:
    """(model, task) of this benchmark -> cells of table.FIGURES and ``n_all``, the neurons of the published model.

    Of the steps in SUBSETS the line with the best score is taken, of equal ones that with fewer neurons. Pairs without
    an oracle in the file are left out. Empty where ``leaderboard.published_figures`` is null.

    Raises
    ------
    ConfigError
        naming file and line, or the key: no such file, a missing column, a cell that is no number, a line given twice,
        or a mapped name that the file does not have.
    """
    block = params.leaderboard.published_figures
    if block is None:
        return {}
    path = params.resolve(block.file)
    if not path.is_file():
        raise ConfigError(f"{KEY}.file: no file {path}; name a csv with the columns {', '.join(HEADS)}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{number}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    found: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in HEADS if name not in (reader.fieldnames or ())]
    if missing:
        raise ConfigError(f"{path}:1: no column {', '.join(missing)}; write the columns {', '.join(HEADS)}")
    for line in reader:
        entry = _entry(line, f"{path}:{reader.line_num}")
        steps = found.setdefault((line["task"], line["model"]), {})
        if steps.get(entry["step"]) and entry["step"] == ORACLE:
            raise ConfigError(f"{path}:{reader.line_num}: a second {ORACLE} of {line['model']}; keep one")
        steps.setdefault(entry["step"], []).append(entry)
    for name, mapping, at in (("tasks", block.tasks, 0), ("models", block.models, 1)):
        known = sorted({key[at] for key in found})
        for ours, theirs in mapping.items():
            if theirs not in known:
                raise ConfigError(f"{KEY}.{name}.{ours}: found {theirs!r}; {path} has: {', '.join(known)}")
    return {
        (model, task): _cells(name, found[their_task, name])
        for task, their_task in block.tasks.items()
        for model, name in block.models.items()
        if ORACLE in found.get((their_task, name), {})
    }


def _entry(line: Mapping[str, str], where: str) -> dict[str, Any]:
    try:
        score, size = float(line["score"]), int(line["n_neurons"])
    except (TypeError, ValueError):
        raise ConfigError(
            f"{where}: found score {line['score']!r} and n_neurons {line['n_neurons']!r}; write a number and a count"
        ) from None
    if not math.isfinite(score) or not 0 <= score <= 1 or size < 1:
        raise ConfigError(f"{where}: found score {score:g} and {size} neurons; scores are shares, from 0 to 1")
    return {"step": line["step"], "score": score, "n_neurons": size, "metric": line["metric"]}


def _cells(model: str, steps: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    oracle = steps[ORACLE][0]
    subsets = [entry for step in SUBSETS for entry in steps.get(step, ()) if entry["metric"] == oracle["metric"]]
    best = max(subsets, key=lambda entry: (entry["score"], -entry["n_neurons"]), default=None)
    return {
        "published_model": model,
        "published_metric": oracle["metric"],
        "published_score": oracle["score"],
        "published_n_neurons": None if best is None else best["n_neurons"],
        "published_subset_score": None if best is None else best["score"],
        "n_all": oracle["n_neurons"],
    }


def put_beside(rows: Sequence[dict[str, Any]], figures: Figures) -> None:
    """Add the cells of table.FIGURES to rows of the leaderboard, of either protocol."""
    for row in rows:
        cells = figures.get((row["model"], row["task"]), {})
        row |= {name: cells.get(name) for name in FIGURES}


def table(params: Params, rows: Sequence[Mapping[str, Any]], figures: Figures) -> Table | None:
    """The strict rows beside the published figures, task by task; None where no row has any."""
    block = params.leaderboard.published_figures
    lines = []
    order = {name: i for i, name in enumerate(params.run.tasks)}
    for row in sorted(rows, key=lambda row: order[row["task"]]):
        cells = figures.get((row["model"], row["task"]))
        if cells is None:
            continue
        size, best = cells["published_n_neurons"], row["best_baseline"]
        ours = row["n_minimal"] if row["n_minimal"] is not None else row["estimate"]
        claimed = row["n_minimal"] is not None
        lines.append(
            (
                f"{row['task']}, {row['model']}",
                [
                    f"{cells['published_model']}, {cells['published_metric']}",
                    decimals(cells["published_score"]),
                    count(size) + ("" if size is None else f" ({share(size / cells['n_all'])})"),
                    decimals(cells["published_subset_score"]),
                    f"{row['status']}, {row['metric']}",
                    decimals(row["oracle"]),
                    count(ours, about=not claimed) + ("" if ours is None else f" ({share(ours / row['n_neurons'])})"),
                    decimals(row["subset_test"]),
                    NONE if row.get(best) is None else f"{decimals(row[best])} ({best})",
                ],
            )
        )
    if not lines or block is None:
        return None
    return {
        "title": "Beside the published figures",
        "text": f"Published: {block.source}. Data and models differ from those here, and so do rules and often the "
        "metric: never compare absolute scores, only shapes, such as how far the score of a subset is from that of "
        "all neurons, and where baselines stand. “About” marks an estimate without a claim.",
        "heads": [
            "published model, metric", "all neurons", "subset", "its score",
            "here: status, metric", "all neurons", "subset", "its score", "best baseline",
        ],
        "lines": lines,
    }  # fmt: skip
