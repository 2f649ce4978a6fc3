"""Block `concepts`: what the chosen neurons encode, and whether the model uses them."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from neurosieve.config.base import Block, Share


class Ablation(Block):
    """Neurons changed inside a language model, to see whether its own predictions use them; token tasks only."""

    tokens: int = Field(400, gt=0, description="judge tokens that the model predicts, at most")
    amounts: list[Annotated[float, Field(ge=0)]] = Field(
        [0.0, 2.0],
        min_length=1,
        description="what a neuron's deviation from its train mean is multiplied by: 0 ablates, above 1 amplifies",
    )
    random_draws: int = Field(5, ge=2, description="draws of as many random neurons of the same layers")
    window: int = Field(64, gt=8, description="sub-words around the tokens that the model sees")
    per_window: int = Field(8, gt=0, description="tokens predicted in one window at most; masked models mask them all")

    @field_validator("amounts")
    @classmethod
    def _unique(cls, value: list[float]) -> list[float]:
        if len({f"{amount:g}" for amount in value}) < len(value):
            raise ValueError("amounts must differ in their first six digits")
        return value


class Attribution(Block):
    """Rankings of neurons by what a language model's own predictions owe them; token tasks only."""

    tokens: int = Field(200, gt=0, description="train tokens that the model predicts, at most")
    window: int = Field(64, gt=8, description="sub-words around the tokens that the model sees")
    per_window: int = Field(8, gt=0, description="tokens predicted in one window at most, a backward pass each")
    methods: list[str] = Field(
        ["gradient-mean", "relp", "activation-gradient"],
        min_length=1,
        description="files of src/neurosieve/concepts/attribution",
    )


class Concepts(Block):
    neurons: int = Field(gt=0, description="at most so many of the chosen neurons are described, best first")
    top_types: int = Field(gt=0, description="token types per neuron, by mean |z|")
    min_count: int = Field(gt=0, description="a type must occur so often to be listed")
    context: int = Field(ge=0, description="characters of context each side, kept in build/ only")
    permutations: int = Field(200, gt=0, description="of the labels over token types, over functions for other tasks")
    level: Share = Field(0.05, description="family-wise, over the neurons and classes of a row, at which one is named")
    purity_top: int = Field(100, gt=0, description="rows with the largest |z| whose share of the class is given")
    ablation: Ablation | None = Field(
        None, description="change the described neurons inside the model and measure its own predictions; null: off"
    )
    attribution: Attribution | None = Field(
        None, description="rank all neurons by what the model's own predictions owe them; null: off"
    )

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.level * (self.permutations + 1) < 1:
            raise ValueError(
                f"{self.permutations} permutations cannot reach the level {self.level:g}; "
                f"write permutations: {math.ceil(1 / self.level) - 1} or more"
            )
        return self
