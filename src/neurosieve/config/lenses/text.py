"""Settings of the lens `text`."""

from __future__ import annotations

from pydantic import Field

from neurosieve.config.base import Block


class Settings(Block):
    tokens: int = Field(8, gt=0, description="sub-words of the vocabulary listed for a neuron, at either end")
    min_count: int = Field(5, gt=0, description="judge rows that a type must have")
    top: int = Field(20, gt=0, description="types whose share in both lists is the overlap")
    permutations: int = Field(200, ge=19, description="of types, of about the same number of rows each")
    draws: int = Field(20, ge=19, description="draws of as many random neurons of the same layers")
