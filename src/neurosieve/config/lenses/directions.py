"""Settings of the lens `directions`."""

from __future__ import annotations

from pydantic import Field

from neurosieve.config.base import Block


class Settings(Block):
    draws: int = Field(20, ge=19, description="random rotations of each layer's activations")
    top: int = Field(10, gt=0, description="best neurons or directions of a layer whose score is averaged")
