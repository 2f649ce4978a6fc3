"""The pictures of the site, one module each: rows to Vega-Lite specifications with their figures as tables.

Pure functions of row dicts (leaderboard/collect.py); nothing is read or written. A key that a row lacks, or that is
null, leaves out the picture that needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from neurosieve.site.charts import (
    ablation,
    agreement,
    attribution,
    bound,
    cka,
    classes,
    clusters,
    contenders,
    cost,
    description,
    effects,
    faithfulness,
    languages,
    layers,
    levels,
    models,
    pair,
    penalty,
    robustness,
    score,
    transfer,
)
from neurosieve.site.charts import overview as top
from neurosieve.site.charts.parts import Chart, Row

__all__ = ["Chart", "of_model", "of_models", "of_pair", "of_row", "of_task", "overview"]


class Whole(Protocol):
    """Of site.read.Results what the pictures of a model need: each by model, or empty."""

    @property
    def transfer(self) -> Mapping[str, Any] | None: ...
    @property
    def effects(self) -> Mapping[str, Any] | None: ...
    @property
    def languages(self) -> Mapping[str, Any] | None: ...


def _known(charts: Iterable[Chart | None]) -> list[Chart]:
    return [chart for chart in charts if chart is not None]


def of_row(row: Row, results: Whole | None = None) -> list[Chart]:
    """Pictures of one row, the answer first."""
    moved = (getattr(results, "transfer", None) or {}).get(row["model"]) or {}
    return _known(
        (
            score.chart(row),
            levels.chart(row),
            classes.chart(row),
            layers.chosen(row),
            layers.scores(row),
            contenders.chart(row),
            bound.chart(row),
            robustness.halves(row),
            robustness.members(row),
            ablation.chart(row),
            *faithfulness.charts(row),
            attribution.chart(row),
            transfer.chart(row["model"], moved) if row["task"] in (moved.get("tasks") or ()) else None,
            cost.chart(row),
            clusters.chart(row),
            cka.chart(row),
            agreement.chart(row),
            penalty.chart(row),
            description.chart(row),
        )
    )


def of_task(task: str, rows: Sequence[Row], results: Whole | None = None) -> list[Chart]:
    """Pictures of all models on one task of one benchmark; ``rows`` of that task alone."""
    return _known(
        (
            models.curves(task, rows),
            models.minima(task, rows),
            models.chosen(task, rows),
            *models.layer_scores(task, rows),
            models.groups(task, rows),
        )
    )


def of_model(model: str, rows: Sequence[Row], results: Whole | None = None) -> list[Chart]:
    """Pictures of one model on all tasks of one benchmark; ``rows`` of that model alone."""
    of_all: dict[str, Any] = {name: getattr(results, name, None) or {} for name in ("transfer", "effects", "languages")}
    return _known(
        (
            models.minima(model, rows, "task"),
            models.chosen(model, rows, "task"),
            transfer.chart(model, of_all["transfer"].get(model)),
            *effects.charts(model, of_all["effects"].get(model)),
            *languages.charts(model, of_all["languages"].get(model)),
            models.costs(model, rows, cost.values),
        )
    )


def overview(rows: Sequence[Row]) -> list[Chart]:
    """The picture on top of the index."""
    return _known((top.chart(rows),))


def of_pair(a: Row, b: Row) -> list[Chart]:
    """Pictures of two rows over each other."""
    return _known((pair.curves(a, b), pair.layers(a, b)))


def of_models(
    names: tuple[str, str], scores: Sequence[Mapping[str, Any]], sizes: Sequence[Mapping[str, Any]], most: int
) -> list[Chart]:
    """Pictures of two models on the tasks that both have; arguments as of pair.differences and pair.needed."""
    return [pair.differences(scores), pair.needed(names, sizes, most)]
