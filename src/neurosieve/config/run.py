"""Block `run`: what of the file runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from neurosieve.config.base import Block, Name, each_once


class Run(Block):
    models: list[Name] = Field(min_length=1)
    tasks: list[Name] = Field(min_length=1)
    twins: list[Name] = Field(
        default_factory=list,
        description="further untrained twins of models that run: they get activations and probes alone, and no rows; "
        "a model is compared with the twin that is best on tune",
    )
    protocols: list[Literal["strict", "published"]] = Field(
        ["strict"],
        min_length=1,
        description="rules of the measurement: `strict`, always, and beside it `published`, the steps of arXiv "
        "2305.00875 with their choices on test, to set next to the published figures",
    )

    _unique = field_validator("models", "tasks", "twins", "protocols")(each_once)

    @field_validator("protocols")
    @classmethod
    def _strict(cls, value: list[str]) -> list[str]:
        if "strict" not in value:
            raise ValueError("`strict` must be there: a published row is never shown without the strict one")
        return value
