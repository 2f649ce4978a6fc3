"""Block `probes`: the probe, its penalties, rankings and baselines."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from neurosieve.config.base import Block, RankingName, Share, each_once


class Penalty(Block):
    l1: float = Field(ge=0)
    l2: float = Field(gt=0, description="above 0, else the minimum is not unique")


class Probes(Block):
    penalties: list[Penalty] = Field(min_length=1, description="candidates; the best on tune is taken per feature set")
    gap: float = Field(gt=0, lt=0.1, description="relative duality gap at which the solver stops")
    max_iterations: int = Field(gt=0, description="reaching it is an error: no unsolved probe is scored")
    pair_features: list[Literal["absdiff", "product", "left", "right"]] = Field(min_length=1)
    bootstrap: int = Field(ge=100, description="replicates of the bootstrap over files")
    confidence: Share = Field(0.95, description="of the one-sided intervals")
    rankings: list[RankingName] = Field(
        ["lca", "probeless"],
        min_length=1,
        description="orders of the neurons that are made and compared: files of src/neurosieve/probes/rankings/",
    )
    agreement_sizes: list[Annotated[int, Field(gt=0)]] = Field(
        [10, 30, 100, 300], min_length=1, description="numbers of top neurons at which the rankings are compared"
    )
    lca_step: Share = Field(0.001, description="step of the mass in the LCA ranking")
    control_seeds: int = Field(5, gt=0, description="control tasks of a token task: random labels of the token types")
    description_shares: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=lambda: [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0],
        min_length=2,
        description="shares of train at which the blocks of the online description length end, ascending, the last 1.0",
    )
    baseline_ngrams: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]] = Field(
        (1, 4), description="character n-grams of the surface baseline"
    )
    baseline_penalties: list[Penalty] = Field(min_length=1)

    @field_validator("baseline_ngrams", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("description_shares")
    @classmethod
    def _blocks(cls, value: list[float]) -> list[float]:
        if sorted(set(value)) != value or value[-1] != 1.0:
            raise ValueError("write ascending shares, the last of them 1.0")
        return value

    _unique = field_validator("rankings", "penalties", "baseline_penalties", "pair_features")(each_once)

    @field_validator("baseline_ngrams")
    @classmethod
    def _shortest_first(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] > value[1]:
            raise ValueError("write the shortest n-gram first, then the longest")
        return value

    @field_validator("agreement_sizes")
    @classmethod
    def _ascending(cls, value: list[int]) -> list[int]:
        if value != sorted(set(value)):
            raise ValueError("sizes must ascend, each once")
        return value
