"""The pictures of the site, one module each: rows to Vega-Lite specifications with their figures as tables.

Pure functions of row dicts (leaderboard/collect.py); nothing is read or written. A key that a row lacks, or that is
null, leaves out the picture that needs it.
"""

from __future__ import annotations

from collections.abc import Iterable

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
    faithfulness,
    layers,
    levels,
    penalty,
    robustness,
    score,
)
from neurosieve.site.charts.parts import Chart, Row

__all__ = ["Chart", "of_row"]


def _known(charts: Iterable[Chart | None]) -> list[Chart]:
    return [chart for chart in charts if chart is not None]


def of_row(row: Row, results: object = None) -> list[Chart]:
    """Pictures of one row, the answer first."""
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
            cost.chart(row),
            clusters.chart(row),
            cka.chart(row),
            agreement.chart(row),
            penalty.chart(row),
            description.chart(row),
        )
    )
