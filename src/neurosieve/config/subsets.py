"""Block `subsets`: the search for the smallest subset, and its margins."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from neurosieve.config.base import Block, RankingName, SearchName, Share, each_once
from neurosieve.config.names import CONTROL_RANKINGS


class Margin(Block):
    value: Share = Field(description="in units of the primary metric")
    reason: str = Field(min_length=10)


class Pipeline(Block):
    """Layers, then one neuron per correlation cluster, then a ranking: the published steps under the strict rules."""

    thresholds: list[Share | None] = Field(
        min_length=1, description="distances 1-|r| at which clusters are cut, null for none; the best on tune is taken"
    )
    ranking: RankingName = Field("lca", description="a file of src/neurosieve/probes/rankings/, with - for _")
    ratio: float = Field(1.5, gt=1, le=4, description="ratio of the grid of sizes before bisection")

    _unique = field_validator("thresholds")(each_once)


class Robustness(Block):
    """What is asked of the headline's minimal subset of a trained model."""

    resamples: int = Field(ge=2, multiple_of=2, description="halves of train to search on, two of each random cut")
    disjoint: int = Field(ge=1, description="sets of as many neurons looked for beside it, none sharing a neuron")


class Subsets(Block):
    rankings: list[RankingName] = Field(
        min_length=1, description="those of probes.rankings along which a minimal subset is searched"
    )
    searches: list[SearchName] = Field(
        default_factory=list,
        description="searches for the best set at every size, beside the rankings: files of subsets/contenders/",
    )
    headline: str = Field(description="the search or ranking of the leaderboard's main columns")
    ratio: float = Field(gt=1, le=1.2, description="ratio of the geometric grid of sizes")
    control_ratio: float = Field(gt=1, le=4, description="the same for the random and bottom curves")
    random_draws: int = Field(ge=2)
    half_draws: int = Field(ge=1, description="random halves of the neurons whose interval gives dev_half_width")
    pipeline: Pipeline | None = Field(None, description="layers, clusters, ranking, one after the other; null: off")
    robustness: Robustness | None = Field(
        None, description="leave-one-out, halves of train, disjoint sets, shuffled labels; null: off"
    )
    transfer: bool = Field(False, description="try the subset of each task on every other task of the run")
    margins: dict[str, Margin] = Field(description="by task; `default` for the others")

    _unique = field_validator("rankings", "searches")(each_once)

    @property
    def contenders(self) -> list[str]:
        """Names of the curves that are walked to a minimum: rankings, then searches."""
        return [*self.rankings, *self.searches]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "default" not in self.margins:
            raise ValueError("margins needs an entry `default`")
        each_once(self.contenders)
        for name in self.searches:
            if name in (*CONTROL_RANKINGS, "pipeline"):
                raise ValueError(f"a search cannot have the name {name!r}, which another curve has; rename its file")
        for name in self.rankings:
            if name in CONTROL_RANKINGS:
                raise ValueError(f"{name!r} is a control, which every search has beside its rankings; leave it out")
        if self.headline not in self.contenders:
            raise ValueError(
                f"headline {self.headline!r} is not among rankings {self.rankings}, nor among searches {self.searches}"
            )
        return self
