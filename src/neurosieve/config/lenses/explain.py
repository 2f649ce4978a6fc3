"""Settings of the lens `explain`."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from neurosieve.config.base import Block, Share


class Settings(Block):
    neurons: int = Field(20, gt=0, description="of the described ones, best first")
    depth: int = Field(3, gt=0, le=6, description="questions that a rule asks at most")
    leaf: int = Field(20, gt=0, description="train rows that a rule must cover")
    types: int = Field(20, gt=0, description="types that a description may list, those with the largest mean |z|")
    min_count: int = Field(5, gt=0, description="train rows that a listed type must have")
    active: Share = Field(0.05, description="share of train rows on which a neuron counts as active")
    draws: int = Field(
        20, ge=19, description="random neurons of the same layer whose descriptions are put in its place"
    )
    address: str | None = Field(
        None,
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",  # without a password or a query: both would be shown
        description="of a language model that speaks the OpenAI protocol, with its /v1, without password or query (the "
        "key is that of key_variable); lines of code are sent to it; null: none is asked",
    )
    model: str | None = Field(None, min_length=1, description="its name there")
    key_variable: str | None = Field(
        None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="environment variable that has its key; null: none"
    )
    timeout: float = Field(60.0, gt=0, description="seconds that one answer may take")
    tries: int = Field(3, gt=0, description="of a request that fails")
    asked: int = Field(5, gt=1, description="neurons that it describes, best first")
    examples: int = Field(20, gt=1, description="train tokens that it is shown of a neuron")
    context: int = Field(30, ge=0, description="characters each side of a token that it is shown")
    tokens: int = Field(60, gt=9, description="judge tokens on which it predicts, the same for all neurons")

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.address is None) != (self.model is None):
            raise ValueError("found one of address and model; write both, or neither")
        return self
