"""Settings of the lens `dictionary`."""

from __future__ import annotations

from pydantic import Field

from neurosieve.config.base import Block


class Settings(Block):
    draws: int = Field(19, ge=19, description="random dictionaries of the same size")
    rotations: int = Field(3, gt=0, description="random rotations of the layer's neurons")
    expansion: int = Field(4, gt=0, description="latents for each neuron of the layer")
    active: int = Field(16, gt=0, description="latents that a row may have above 0")
    epochs: int = Field(15, gt=0)
    batch: int = Field(256, gt=0, description="rows per step")
    learning_rate: float = Field(0.002, gt=0, description="of Adam")
    rows: int = Field(2000, ge=100, description="train rows at most that latents and neurons are put in order on")
    headline: int = Field(16, gt=0, description="latents of the headline")
    ratio: float = Field(1.5, gt=1, description="of the sizes that are tried until one reaches the score")
