"""Block `activations`: how a text becomes vectors."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from neurosieve.config.base import Block


class Activations(Block):
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="type in which the model computes; activations are stored in float32. portable: float32"
    )
    subword: Literal["first", "last", "mean"] = Field(description="how sub-word vectors make a token's vector")
    pooling: Literal["mean", "first", "last", "max"] = Field(description="how token vectors make a sequence's vector")
    window: int = Field(gt=8, description="sub-words per window, special tokens included; windows overlap by half")
    batch_tokens: int = Field(
        gt=0,
        description="sub-words per batch, all of one length: a scientific parameter under `numerics: fast`, "
        "where the composition of a batch changes the last bits",
    )
