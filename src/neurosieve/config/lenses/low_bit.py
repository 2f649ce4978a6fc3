"""Settings of the lens `low-bit`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from neurosieve.config.base import Block, each_once


class Settings(Block):
    draws: int = Field(20, ge=19, description="sets of random neurons of the same layers")
    bits: list[Annotated[int, Field(ge=1, le=16)]] = Field([8, 4, 2], min_length=1, description="of values and weights")
    headline: int = Field(4, ge=1, description="one of the bits")
    ratio: float = Field(1.3, gt=1, description="of the sizes at which the subset is tried, along its order")
    clip: float = Field(
        0.0, ge=0, lt=0.5, description="share of train values beyond each end of the range; 0: from least to largest"
    )

    _unique = field_validator("bits")(each_once)
