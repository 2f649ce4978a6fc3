"""Settings of the lens `population`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from neurosieve.config.base import Block


class Settings(Block):
    draws: int = Field(20, ge=19, description="populations of random neurons of the same layers")
    noise: list[Annotated[float, Field(gt=0)]] = Field(
        [0.25, 0.5, 1.0, 2.0], min_length=1, description="standard deviations of noise, in those of the neurons"
    )
    dropout: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.1, 0.25, 0.5, 0.75], min_length=1, description="shares of the members that are set to their mean"
    )
    repeats: int = Field(3, gt=0, description="draws of the noise, and of the members that are dropped")
