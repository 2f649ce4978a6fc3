"""Block `redundancy`: similarity of layers and neurons, without a task."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from neurosieve.config.base import Block, Share, each_once


class Redundancy(Block):
    rows: int = Field(gt=1, description="train rows used, sampled with the seed")
    thresholds: list[Share] = Field(min_length=1, description="distances 1-|r| at which the linkage is cut")
    cka_rows: int = Field(gt=3, description="rows per CKA batch")
    cka_batches: int = Field(gt=0)
    representative: Literal["medoid", "random"] = Field(
        "medoid", description="the neuron that stands for a cluster; random (seeded), as published, to compare with"
    )

    _unique = field_validator("thresholds")(each_once)
