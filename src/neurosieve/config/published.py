"""Block `published`: the steps of arXiv 2305.00875, for the protocol of this name."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from neurosieve.config.base import Block, Seed, Share, each_once


class Tolerances(Block):
    """Losses, in per cent of a score, that the published search allows."""

    layers: float = Field(gt=0, lt=100, description="dL: of the oracle, for the number of layers")
    neurons: float = Field(gt=0, lt=100, description="dN: of the probe on those layers, for the number of neurons")


class Published(Block):
    """Protocol `published`; used where run.protocols names it. The defaults are those of the publication (METHOD 2)."""

    seeds: list[Seed] = Field([1, 2, 3, 4, 5], min_length=2, description="a whole run of the protocol each")
    shuffle: bool = Field(False, description="draw a new order of the rows every epoch; the published files never do")
    batch: int = Field(128, gt=0, description="rows per step of the optimiser")
    learning_rate: float = Field(1e-3, gt=0, description="of both optimisers")
    token_epochs: int = Field(100, gt=0, description="most epochs of stochastic gradient descent on token tasks")
    patience: int = Field(2, gt=0, description="token tasks stop after so many epochs without a lower loss on dev")
    grid: list[Annotated[float, Field(ge=0)]] = Field(
        [0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
        min_length=1,
        description="token tasks: l1 and l2 are each one of these, chosen on dev with all neurons, kept for all sizes",
    )
    sequence_epochs: int = Field(10, gt=0, description="epochs of Adam on sequence and pair tasks")
    sequence_penalty: float = Field(1e-5, ge=0, description="l1 and l2 of sequence and pair tasks")
    tolerances: list[Tolerances] = Field(
        [
            Tolerances(layers=3.0, neurons=1.0),
            Tolerances(layers=2.0, neurons=1.0),
            Tolerances(layers=1.0, neurons=1.0),
        ],
        min_length=1,
        description="pairs (dL, dN), each searched",
    )
    thresholds: list[float | None] = Field(
        [None, 0.3], min_length=1, description="distances 1-|r| at which neurons are clustered; null: they are not"
    )
    shares: list[Share] = Field(
        [0.001, 0.002, 0.003, 0.004, 0.005]
        + [round(0.01 * i, 2) for i in range(1, 11)]
        + [round(0.05 * i, 2) for i in range(3, 11)]
        + [0.6, 0.7, 0.8, 0.9],
        min_length=1,
        description="subset sizes as shares of all neurons of the model, ascending; the first that passes is taken",
    )
    lca_step: Share = Field(0.001, description="step of the mass in the LCA ranking")

    _unique = field_validator("seeds", "grid", "tolerances", "thresholds")(each_once)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.shares != sorted(set(self.shares)):
            raise ValueError("shares must ascend, each once")
        if any(t is not None and not 0 < t < 1 for t in self.thresholds):
            raise ValueError("thresholds are null or above 0 and below 1")
        return self
