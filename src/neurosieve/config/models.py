"""Block `models`: where a model comes from, what of it is measured, and how it is trained first."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from neurosieve.config.base import COMMIT, Block, FilePath, Name, Seed, Share, Wheel, each_once


class Finetune(Block):
    """Training of the whole model on the train split of a task, before its activations for that task are taken."""

    tasks: list[Name] = Field(min_length=1, description="sequence and pair tasks; on others the model stays frozen")
    epochs: int = Field(gt=0, description="at most so many")
    learning_rate: float = Field(gt=0, description="of AdamW, after a linear warm-up, falling linearly to 0")
    batch: int = Field(gt=0, description="rows per step")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps")
    weight_decay: float = Field(0.01, ge=0)
    validation: Share = Field(0.1, description="share of the train files on which training is stopped; never dev")
    patience: int = Field(1, gt=0, description="epochs without a better validation loss before it stops")
    max_subwords: int = Field(512, gt=8, description="an input's first sub-words; longer inputs are counted")
    seed: Seed = 0

    _unique = field_validator("tasks")(each_once)


class Model(Block):
    """A model: a folder, a model of the hub, the model inside a wheel, or the untrained twin of another model."""

    path: FilePath | None = Field(
        None, description="folder as `save_pretrained` writes it, as given or below data_root"
    )
    hub: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$", description="id on the Hugging Face hub: owner/name"
    )
    revision: str | None = Field(
        None,
        pattern=COMMIT,
        description="of a hub model, its commit: `neurosieve fetch` prints it; without it a run is only planned",
    )
    wheel: Wheel | None = None
    wheel_path: str | None = Field(None, description="folder of the model inside the wheel")
    untrained: Name | None = Field(None, description="name of the model whose configuration is initialised afresh")
    folders: dict[Name, FilePath] = Field(
        default_factory=dict, description="by task: folder of this model fine-tuned for the task, used there instead"
    )
    finetune: Finetune | None = Field(None, description="train on sequence and pair tasks first; null: frozen")
    weights: Literal["safetensors", "bin"] = Field(
        "safetensors", description="bin: pickled weights, of which tensors alone are loaded"
    )
    trust_remote_code: bool = Field(
        False, description="run Python code that comes with the model, with all your rights; read it first"
    )
    part: Literal["encoder", "decoder", "both"] = Field(
        "encoder", description="of an encoder-decoder: whose layers; both: those of the encoder, then the decoder's"
    )
    neurons: Literal["hidden", "feed-forward", "attention"] = Field(
        "hidden",
        description="hidden states (layer 0 the embedding); or, per block, the feed-forward activations after the "
        "non-linearity, or the attention output",
    )
    seed: Seed = Field(0, description="seed of the fresh initialisation")
    embeddings: Literal["fresh", "kept"] = Field(
        "fresh", description="of an untrained twin; kept: the trained model's, all other weights are fresh"
    )
    layers: int | None = Field(None, gt=0, description="layers, for hidden states with the embedding; checked on load")
    width: int | None = Field(None, gt=0, description="units per layer, checked on load")
    only_layers: list[int] | None = Field(
        None,
        min_length=1,
        description="numbers of the layers whose neurons are measured, for a model too large for all; its twin has the "
        "same; null: all",
    )
    parameters: int | None = Field(None, gt=0, description="for the estimates of a plan, where weights are not here")
    note: str = Field("", description="shown on the leaderboard page")

    @field_validator("only_layers")
    @classmethod
    def _ascending(cls, value: list[int] | None) -> list[int] | None:
        if value is not None and (value != sorted(set(value)) or value[0] < 0):
            raise ValueError(f"numbers of layers from 0, ascending, each once; write {sorted({abs(n) for n in value})}")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(v is not None for v in (self.path, self.hub, self.wheel, self.untrained)) != 1:
            raise ValueError("give exactly one of `path:`, `hub:`, `wheel:` and `untrained:`")
        if (self.wheel is None) != (self.wheel_path is None):
            raise ValueError("`wheel:` and `wheel_path:` go together")
        if self.hub is None and self.revision is not None:
            raise ValueError("`revision:` is a commit of a hub model; give `hub:` with it, or take it out")
        taken = self.folders or self.trust_remote_code or self.weights != "safetensors" or self.only_layers
        if self.untrained is not None and taken:
            raise ValueError("an untrained twin takes these from the model it names; take them out")
        if self.only_layers is not None and self.layers is not None and self.only_layers[-1] >= self.layers:
            raise ValueError(f"`only_layers:` names {self.only_layers[-1]}, and the layers are 0 to {self.layers - 1}")
        if self.embeddings == "kept" and self.untrained is None:
            raise ValueError("`embeddings: kept` is for an untrained twin; give `untrained:` with it, or take it out")
        if self.embeddings == "kept" and self.finetune is not None:
            raise ValueError("`finetune:` trains a twin from fresh weights; take it out, or `embeddings: kept`")
        return self
