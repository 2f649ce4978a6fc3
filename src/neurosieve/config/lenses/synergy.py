"""Settings of the lens `synergy`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from neurosieve.config.base import Block


class Settings(Block):
    draws: int = Field(20, ge=19, description="sets of random neurons of the same layers")
    sets: int = Field(20, gt=0, description="sets of each size, drawn among the chosen and among the random neurons")
    sizes: list[Annotated[int, Field(ge=3, le=50)]] = Field(
        [3, 5, 10, 20], min_length=1, description="members of a set"
    )
    headline: int = Field(10, ge=3, description="members of the sets of the headline, at most")
    permutations: int = Field(20, gt=0, description="of the labels, and of every column, for the bias")
