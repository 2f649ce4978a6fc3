"""Block `leaderboard`: the table and the page."""

from __future__ import annotations

from pydantic import Field, field_validator

from neurosieve.config.base import Block, FilePath, Name, each_once


class PublishedFigures(Block):
    """Figures of the publication, shown beside the rows of the same kind of task; other data, so never compared."""

    file: FilePath = Field(description="csv: task, model, step, layers, cluster_threshold, n_neurons, metric, score")
    source: str = Field(min_length=10, description="where the figures come from, shown on the page")
    tasks: dict[Name, str] = Field(description="task of this benchmark -> task of the file")
    models: dict[Name, str] = Field(description="model of this benchmark -> model of the file")


class Leaderboard(Block):
    title: str
    curve_rankings: list[str] | None = Field(
        None,
        description="of subsets.rankings, subsets.searches, random, bottom and (where it is on) pipeline, those whose "
        "curves the page has; null: all but pipeline",
    )
    published_figures: PublishedFigures | None = None

    @field_validator("curve_rankings")
    @classmethod
    def _unique(cls, value: list[str] | None) -> list[str] | None:
        return None if value is None else each_once(value)
