"""Settings of the lens `subspace`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from neurosieve.config.base import Block, Share


class Settings(Block):
    draws: int = Field(20, ge=19, description="sets of random neurons of the same layers")
    sizes: list[Annotated[int, Field(gt=0)]] = Field(
        [2, 8, 32, 128], min_length=1, description="directions, chosen and random neurons that are compared"
    )
    share: Share = Field(0.99, description="of the variance that the directions are to hold")
    rows: int = Field(4000, ge=100, description="train rows at most that the directions are found on")
    epochs: int = Field(5, gt=0, description="times that the Hebbian rule sees these rows")
