"""Settings of the lens `symbols`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from neurosieve.config.base import Block, each_once


class Settings(Block):
    draws: int = Field(20, ge=19, description="sets of random neurons of the same layers")
    codes: list[Literal["sign", "ternary", "quarters"]] = Field(
        ["sign", "ternary"], min_length=1, description="what a value becomes; the headline is of the first"
    )
    symbols: int = Field(30, gt=0, description="chosen neurons of each task at most, best first")

    _unique = field_validator("codes")(each_once)
