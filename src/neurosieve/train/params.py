"""The typed model of the training's params file (`workflow/train.yaml`). Unknown keys are refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from neurosieve.config import Wheel


class TrainError(RuntimeError):
    """Bad input to the training; the message names the file and what to write instead."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Corpus(_Strict):
    """Which functions the models are trained on."""

    wheels: list[Wheel] = Field(min_length=1, description="wheels to train on")
    heldout: list[str] = Field(min_length=1, description="names among `wheels` kept for held-out loss only")
    task_wheels: list[Wheel] = Field(description="wheels the tasks use: no function of theirs is trained on")
    min_chars: int = Field(ge=1, description="shorter functions are left out")
    max_chars: int = Field(ge=1, description="longer functions are left out")
    max_share: float = Field(gt=0, le=1, description="largest part of all characters one wheel may give")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = {wheel.name for wheel in self.wheels}
        if unknown := sorted(set(self.heldout) - names):
            raise ValueError(f"heldout names {', '.join(unknown)}, which `wheels` does not list")
        if not names - set(self.heldout):
            raise ValueError("heldout names every wheel; leave at least one to train on")
        normal = {name.lower().replace("_", "-") for name in names}
        if both := sorted(w.name for w in self.task_wheels if w.name.lower().replace("_", "-") in normal):
            raise ValueError(f"{', '.join(both)} is among both wheels and task_wheels; take it out of wheels")
        if self.max_share * (len(names) - len(self.heldout)) < 1:
            raise ValueError("max_share is so small that the wheels together cannot give a whole corpus")
        return self


class Vocabulary(_Strict):
    """The byte-level BPE tokenizer, shared by all models."""

    size: int = Field(ge=300, le=65000, description="entries, special tokens and 256 bytes included")
    sample_chars: int = Field(ge=1, description="characters of training functions the merges are learnt on")
    max_length: int = Field(ge=8, description="longest input in tokens, special tokens included")


class Optimiser(_Strict):
    """Muon for the matrices of the hidden layers, AdamW for embeddings, norms and biases."""

    muon_lr: float = Field(gt=0)
    adam_lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup_steps: int = Field(ge=0, description="steps of linear warm-up")
    decay_share: float = Field(ge=0, le=1, description="last part of the steps, in which the rate falls to 0")


class ModelParams(_Strict):
    """Shape and training of one model."""

    objective: Literal["masked", "next"] = Field(
        description="what is predicted: masked tokens, from both sides, or each next token, from those before it"
    )
    layers: int = Field(ge=1)
    width: int = Field(ge=8)
    intermediate: int = Field(ge=8, description="width of the gated feed-forward layer")
    heads: int = Field(ge=1)
    local_attention: int = Field(ge=2, description="window in tokens of layers that do not look everywhere")
    global_every: int = Field(ge=1, description="every so many layers, from the first, one looks everywhere")
    block: int = Field(ge=8, description="tokens in one packed block")
    batch: int = Field(ge=1, description="blocks in one step")
    steps: int = Field(ge=1)
    mask_share: float | None = Field(
        default=None, gt=0, lt=1, description="part of the tokens that is chosen for prediction; of `masked` only"
    )
    precision: Literal["float32", "bfloat16"] = Field(description="of matrix products while training")
    save_every: int = Field(ge=1, description="steps between two resumable states")
    checkpoints: list[Annotated[int, Field(ge=0)]] = Field(description="steps whose weights are kept")
    optimiser: Optimiser

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(f"width {self.width} over {self.heads} heads must give an even width per head")
        if (self.objective == "masked") != (self.mask_share is not None):
            raise ValueError("mask_share belongs to objective: masked, and only there: each next token is predicted")
        if self.checkpoints != sorted(set(self.checkpoints)):
            raise ValueError("checkpoints must rise and not repeat")
        if self.checkpoints and self.checkpoints[-1] != self.steps:
            raise ValueError(f"the last of checkpoints must be steps ({self.steps}), or the list empty")
        if self.optimiser.warmup_steps > self.decay_start:
            raise ValueError("warmup_steps reaches into the decay; lower it or raise steps")
        return self

    @property
    def decay_start(self) -> int:
        """First step at which the learning rate is below its stable value."""
        return self.steps - round(self.steps * self.optimiser.decay_share)


class TrainParams(_Strict):
    """The whole params file."""

    seed: int = Field(ge=0, lt=2**31)
    corpus: Corpus
    tokenizer: Vocabulary
    models: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")], ModelParams] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, model in self.models.items():
            if model.block > self.tokenizer.max_length:
                raise ValueError(f"models.{name}.block is above tokenizer.max_length")
        return self

    def model(self, name: str) -> ModelParams:
        if name not in self.models:
            raise TrainError(f"no model {name!r} in the params file; it has {', '.join(self.models)}")
        return self.models[name]


def load_params(path: Path) -> TrainParams:
    """Read and check a params file. Raises `TrainError` with every offending key."""
    try:
        return TrainParams.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise TrainError(f"{path}: not YAML: {error}") from error
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, item['loc'])) or '(whole file)'}: {item['msg']}"
            + ("" if isinstance(item["input"], dict) else f" (found {item['input']!r})")
            for item in error.errors()
        ]
        raise TrainError(f"{path}: {len(lines)} mistake(s)\n" + "\n".join(lines)) from error


def digest(*models: BaseModel, exclude: set[str] | None = None) -> str:
    """Hex sha256 of the values of params blocks, whatever the order of their keys."""
    values = [model.model_dump(mode="json", exclude=exclude) for model in models]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
