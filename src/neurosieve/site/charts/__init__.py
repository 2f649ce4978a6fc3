"""The pictures of the site, one module each: rows to Vega-Lite specifications with their figures as tables.

Pure functions of row dicts (leaderboard/collect.py); nothing is read or written. A key that a row lacks, or that is
null, leaves out the picture that needs it.
"""

from __future__ import annotations

from collections.abc import Iterable

from neurosieve.site.charts import score
from neurosieve.site.charts.parts import Chart, Row

__all__ = ["Chart", "of_row"]


def _known(charts: Iterable[Chart | None]) -> list[Chart]:
    return [chart for chart in charts if chart is not None]


def of_row(row: Row, results: object = None) -> list[Chart]:
    """Pictures of one row."""
    return _known([score.chart(row)])
