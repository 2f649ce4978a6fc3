"""Block `concepts`: what the chosen neurons encode, and whether the model uses them."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from neurosieve.config.base import Block, Name, Package, Share, each_once
from neurosieve.config.lenses import Lenses


def _different(value: list[float], name: str) -> list[float]:
    if len({f"{amount:g}" for amount in value}) < len(value):
        raise ValueError(f"{name} must differ in their first six digits")
    return value


# Those that pass both of NeuronEval's tests (concepts/sanity.py).
Metric = Literal["correlation", "average-precision", "f1"]
METRICS: tuple[str, ...] = get_args(Metric)


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
        return _different(value, "amounts")


class Effects(Block):
    """What the chosen neurons of all token tasks do to a language model's predictions; a forward pass of the sample of
    a task is the unit of cost, about a third of a second for 200 tokens of a model of five million weights. Passes of a
    task, of T tasks: (doses without 1 + 2 T) (random_draws + 1) + (members + 1) (member_draws + 1) + members + 2, and
    2 (random_draws + 1) of the other tokens."""

    neurons: int = Field(50, gt=0, description="at most so many of the chosen neurons are dosed, best first")
    tokens: int = Field(200, gt=0, description="judge tokens of each task that the model predicts, at most")
    outside: int = Field(100, ge=0, description="tokens of the same inputs that have no label, at most; 0: none")
    doses: list[Annotated[float, Field(ge=0)]] = Field(
        [0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 4.0],
        min_length=1,
        description="what a neuron's deviation from its train mean is multiplied by: 0 ablates, 1 changes nothing",
    )
    random_draws: int = Field(5, ge=2, description="draws of as many random neurons of the same layers")
    window: int = Field(64, gt=8, description="sub-words around the tokens that the model sees")
    per_window: int = Field(8, gt=0, description="tokens predicted in one window at most; masked models mask them all")
    members: int = Field(8, ge=0, description="of the first so many neurons each is ablated alone too; 0: none")
    member_draws: int = Field(2, gt=0, description="random sets whose members are ablated alone too")
    readout: int = Field(
        0,
        ge=0,
        description="inputs of each task on which probes are scored, each set ablated inside the model; 0: none",
    )

    @field_validator("doses")
    @classmethod
    def _unique(cls, value: list[float]) -> list[float]:
        return _different(value, "doses")


class Faithfulness(Block):
    """Orders of neurons, the first of each ablated and alone kept inside the model: are they necessary, sufficient?

    Passes of a row, for each method and order: 2 (points) (1 + random_orders + 1 for a twin), points being the shares
    below 1 and the size of the chosen subset; a pass of 200 tokens takes a third of a second for a model of five
    million weights. ``shares: []`` leaves the size of the chosen subset alone.
    """

    tokens: int = Field(200, gt=0, description="judge tokens (rows, for a task head) that m is measured on, at most")
    shares: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0],
        description="of all neurons, that are first in an order; those of MIB; none: no curve, no area",
    )
    methods: list[Literal["mean", "resample"]] = Field(
        ["mean", "resample"],
        min_length=1,
        description="what neurons are set to: the mean on train; the value at another token of the class, another file",
    )
    sites: list[Literal["hidden", "feed-forward", "attention"]] = Field(
        ["hidden"], min_length=1, description="rows whose `neurons:` are of these are measured"
    )
    orders: list[str] = Field(
        ["chosen"],
        min_length=1,
        description="chosen: the headline's subset, best first, then the rest; a ranking of `probes.rankings`; or one "
        "of `concepts.attribution`, such as relp or relp.signed",
    )
    random_orders: int = Field(20, ge=2, description="random orders with the layers of each order")
    window: int = Field(64, gt=8, description="sub-words around the tokens that the model sees")
    per_window: int = Field(8, gt=0, description="tokens predicted in one window at most; masked models mask them all")

    _unique = field_validator("methods", "sites", "orders")(each_once)

    @field_validator("shares")
    @classmethod
    def _ascending(cls, value: list[float]) -> list[float]:
        if value != sorted(set(value)):
            raise ValueError(f"shares are ascending, each once; write {sorted(set(value))}")
        return value


class LanguageSource(Block):
    """Code of one language: functions of a corpus under `prepare.corpora`, which pins what lies there by its sha256."""

    corpus: Name = Field(description="a name under prepare.corpora: wheels, a folder of code, or tables of functions")
    packages: list[Package] | None = Field(
        None, min_length=1, description="of the corpus; null: all but those that are test packages of a task of the run"
    )

    @field_validator("packages")
    @classmethod
    def _unique(cls, value: list[str] | None) -> list[str] | None:
        return None if value is None else each_once(value)


class Languages(Block):
    """Neurons of single languages: LAPE and PLS as published, beside random neurons and the untrained twin."""

    sources: dict[Name, LanguageSource] = Field(
        min_length=2, description="by language, or whatever is to be told apart"
    )
    subwords: int = Field(6000, gt=0, description="of each language and half of its files, at most one function more")
    window: int = Field(256, gt=8, description="first sub-words of a function that are read")
    share: Share = Field(0.01, description="of all feed-forward neurons, that are chosen")
    permutations: int = Field(200, ge=19, description="of the languages over files, for the null of LAPE")
    random_draws: int = Field(20, ge=2, description="draws of as many random neurons of the same layers")
    tokens: int = Field(200, gt=0, description="per language, predicted with neurons ablated")
    ablation_draws: int = Field(5, ge=2, description="of the random draws, those that are ablated too")
    predict_window: int = Field(64, gt=8, description="sub-words around the predicted tokens that the model sees")
    per_window: int = Field(4, gt=0, description="tokens predicted in one window at most; masked models mask them all")


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


class HeatMaps(Block):
    """A page of real code with the values of single neurons as background, beside the description of a row's neurons;
    token tasks only. It stays in build/."""

    neurons: int = Field(12, gt=0, description="of the described neurons, best first")
    strongest: int = Field(2, gt=0, description="functions with the largest |z|, of as many files")
    random: int = Field(1, ge=0, description="functions at random: the strongest show a neuron at its best")
    characters: int = Field(1000, gt=0, description="longer functions are left out")
    lines: int = Field(24, gt=0, description="and those of more lines")


class Concepts(Block):
    neurons: int = Field(gt=0, description="at most so many of the chosen neurons are described, best first")
    top_types: int = Field(gt=0, description="token types per neuron, by mean |z|")
    min_count: int = Field(gt=0, description="a type must occur so often to be listed")
    context: int = Field(ge=0, description="characters of context each side, kept in build/ only")
    metric: Metric = Field(
        "correlation", description="how well a neuron tells a class; AUROC is a column and names nothing"
    )
    permutations: int = Field(200, gt=0, description="of the labels over token types, over functions for other tasks")
    level: Share = Field(0.05, description="family-wise, over the neurons and classes of a row, at which one is named")
    purity_top: int = Field(100, gt=0, description="rows with the largest |z| whose share of the class is given")
    properties: bool = Field(
        True, description="of tasks on whole functions: which properties the neurons carry once length is held fixed"
    )
    ablation: Ablation | None = Field(
        None, description="change the described neurons inside the model and measure its own predictions; null: off"
    )
    effects: Effects | None = Field(
        None, description="doses, side effects, tasks against each other, a set against its members; null: off"
    )
    faithfulness: Faithfulness | None = Field(
        None, description="are the first neurons of an order necessary, or sufficient, for the predictions? null: off"
    )
    lenses: Lenses | None = Field(
        None, description="further questions to the chosen neurons: name of a lens -> its settings; null: none"
    )
    heat_maps: HeatMaps | None = Field(
        None, description="a page of code with the neurons' values as background, in build/ alone; null: off"
    )
    languages: Languages | None = Field(None, description="neurons of single programming languages; null: off")
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
