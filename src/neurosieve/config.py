"""The typed model of params.yaml: one file is one whole benchmark.

Reads: the params file. Writes: nothing (``python -m neurosieve.cli schema`` prints the JSON schema).
Every block that belongs to a phase has the phase's name. Unknown keys are refused, with the key's path, its line,
what was found and what to write instead.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

PHASES = ("prepare", "activations", "redundancy", "probes", "subsets", "concepts", "leaderboard")
SPLITS = ("train", "tune", "judge", "test")
# Rankings that others are to beat: every search has them beside its own, so they cannot be searched themselves.
CONTROL_RANKINGS = ("bottom", "random")
# Says where data and model folders lie, before `data_root` of the params file: a fact of the machine.
DATA_VARIABLE = "NEUROSIEVE_DATA"
# Ends of the names of source files.
LANGUAGES = {"python": (".py",), "java": (".java",), "c": (".c", ".h")}
# Top-level keys of params.yaml that each phase reads: the params of the phase's DVC stage.
PHASE_KEYS: dict[str, tuple[str, ...]] = {
    "prepare": ("benchmark", "seed", "numerics", "run", "prepare"),
    "activations": ("benchmark", "numerics", "run", "models", "activations", "probes.pair_features"),
    "redundancy": ("benchmark", "seed", "numerics", "run", "redundancy"),
    "probes": ("benchmark", "seed", "numerics", "run", "models", "probes"),
    "subsets": ("benchmark", "seed", "numerics", "run", "models", "redundancy.rows", "probes", "subsets", "published"),
    "concepts": (
        "benchmark", "seed", "numerics", "run", "models", "activations.batch_tokens", "probes.pair_features",
        "probes.bootstrap", "probes.confidence", "subsets.headline", "concepts",
    ),
    "leaderboard": (
        "benchmark", "version", "seed", "numerics", "run", "models", "prepare", "activations",
        "redundancy", "probes", "subsets", "published", "concepts", "leaderboard",
    ),
}  # fmt: skip

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="sha256 of the file, lower-case hex")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
Package = Annotated[str, Field(min_length=1, max_length=200)]  # data may have owner/name
Share = Annotated[float, Field(gt=0, lt=1)]


def _known_ranking(name: str) -> str:
    if name not in ranking_names():
        raise ValueError(f"no ranking has this name; {_suggest(name, ranking_names())}")
    return name


def _each_once(value: list[str]) -> list[str]:
    twice = sorted({v for v in value if value.count(v) > 1})
    if twice:
        raise ValueError(f"named twice: {', '.join(twice)}")
    return value


def _below(name: str) -> str:
    if name.startswith("/") or ".." in Path(name).parts:
        raise ValueError("a path below `folder:`, so without .. and not from the root; mend `folder:` instead")
    return name


RankingName = Annotated[str, AfterValidator(_known_ranking)]


class ConfigError(ValueError):
    """A params file that cannot be used; the message says where, what was found and what to write."""


class Block(BaseModel):
    """A mapping of params.yaml: unknown keys refused, values frozen, no silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Wheel(Block):
    """A pure-Python wheel, fetched from the package registry by name, version and hash, never installed."""

    name: Name
    version: str = Field(pattern=r"^[0-9][A-Za-z0-9.!+_-]*$", description="exact version")
    licence: str = Field(min_length=1, description="licence as the wheel states it")
    sha256: Sha256

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


class DataFile(Block):
    """A file of a dataset, refused when its content is another."""

    name: Annotated[str, AfterValidator(_below)] = Field(
        min_length=1, description="path below the folder; .gz is unpacked while it is read"
    )
    sha256: Sha256 | None = Field(description="of the file as it lies there; null: the run stops and prints it")
    source: str = Field("", description="where a user gets the file; told where it is missing")


class HubDataset(Block):
    """A dataset of the Hugging Face hub, read by the `datasets` library; its scripts are never run."""

    id: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$", description="owner/name")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$", description="commit: the 40 hex digits of the dataset's history")
    configuration: str | None = Field(None, description="the dataset's configuration, where it has several")
    splits: dict[Literal["train", "dev", "test", "all"], str] = Field(
        min_length=1, description="the dataset's own name of each split; `all` where the benchmark splits it"
    )


class Columns(Block):
    """Names of the columns (keys of a json line) of named-column data."""

    text: str = Field("text", description="the input; of a pair the left one")
    right: str | None = Field(None, description="the right input of a pair")
    label: str | None = Field(None, description="the class")
    target: str | None = Field(None, description="the number to predict, for metric r2, instead of a class")
    package: str | None = Field(None, description="project or repository; no column: all rows are of one package")
    file: str | None = Field(None, description="what is never parted by a split: file, commit; no column: a row each")
    name: str | None = Field(None, description="name of the input, for messages and the page")
    split: str | None = Field(None, description="train, dev (or valid, validation) or test, where the rows give it")


class Corpus(Block):
    """Where source code comes from: pinned wheels, a folder whose first-level folders are packages, or a table."""

    language: Literal["python", "java", "c"] = "python"
    wheels: list[Wheel] | None = None
    folder: str | None = Field(
        None, description="folder with one sub-folder per package, source files below; with `files:`, their folder"
    )
    sha256: Sha256 | None = Field(None, description="of a folder of source files: what `neurosieve checksum` prints")
    files: dict[Name, DataFile] | None = Field(
        None, description="tables (jsonl, csv, parquet) of functions instead of source files, by any names"
    )
    columns: Columns | None = Field(None, description="columns of the tables: text, package, file, name")
    licence: str | None = Field(None, description="licence of a folder corpus, for the task cards")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.wheels is None) == (self.folder is None):
            raise ValueError("give exactly one of `wheels:` and `folder:`")
        if self.wheels is not None and self.language != "python":
            raise ValueError("wheels hold Python; write `language: python`, or give a `folder:`")
        if self.files is not None and (self.folder is None or self.sha256 is not None):
            raise ValueError("`files:` go with `folder:`, and have a sha256 each; take the corpus's own `sha256:` out")
        if self.columns is not None and self.files is None:
            raise ValueError("`columns:` are those of the tables under `files:`; give both or neither")
        return self


class SplitRows(Block):
    """Rows wanted per split; fewer are taken (and said so on the card) where the corpus has no more."""

    train: int = Field(gt=0)
    tune: int = Field(gt=0)
    judge: int = Field(gt=0)
    test: int = Field(gt=0)


class Packages(Block):
    """Which packages make which split; dev is cut into tune and judge by file. No package stands in two splits."""

    train: list[Package] = Field(min_length=1)
    dev: list[Package] = Field(min_length=1)
    test: list[Package] = Field(min_length=1)

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        seen: dict[str, str] = {}
        for split in ("train", "dev", "test"):
            for package in getattr(self, split):
                if package in seen:
                    raise ValueError(
                        f"package {package!r} is in {seen[package]} and in {split}; keep it in one of them"
                    )
                seen[package] = split
        return self


class Shares(Block):
    """Splits drawn with the seed: shares of the groups, within every package. dev is cut into tune and judge later."""

    train: Share
    dev: Share
    test: Share
    group: Literal["file", "package"] = Field("file", description="what is never parted: a file (commit), a package")
    held_out: list[Package] = Field(
        default_factory=list,
        description="packages without train rows: their files are shared between dev and test, all others are train",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(self.train + self.dev + self.test - 1) > 1e-9:
            raise ValueError(f"shares of {self.train:g}, {self.dev:g} and {self.test:g} must add up to 1")
        if self.held_out and self.group == "package":
            raise ValueError("`held_out:` names the packages already; write `group: file`")
        return self


class Negatives(Block):
    """Pairs that do not match, made for data that has matching pairs only (code search)."""

    kind: Literal["hard", "random"] = Field("hard", description="hard: codes most like the query by TF-IDF of words")
    per_positive: int = Field(1, gt=0)
    pool: int = Field(30, gt=0, description="hard: drawn from so many most similar codes")


class Task(Block):
    """One task: a builder (`kind`) applied to a corpus, to files of a folder, or to a dataset of the hub."""

    kind: str = Field(description="a file of src/neurosieve/prepare/tasks/, with - for _")
    corpus: Name | None = Field(None, description="a name under prepare.corpora")
    folder: str | None = Field(None, description="folder of the `files:`, as written or below data_root")
    files: dict[str, DataFile] | None = Field(
        None, description="files by their role: those that the kind of task names (docs/add-a-task.md)"
    )
    dataset: HubDataset | None = Field(None, description="kinds `table` and `table-pairs`: a dataset of the hub")
    columns: Columns | None = Field(None, description="kinds `table` and `table-pairs`: names of the columns")
    tagset: Literal["published", "fine"] = Field(
        "published", description="source-tokens: the classes of arXiv 2305.00875, or finer ones"
    )
    misaligned: Literal["error", "skip"] = Field(
        "error", description="tagged-lines: lines with other numbers of tokens and tags are refused, or left out"
    )
    classes: list[str] | None = Field(
        None, min_length=2, description="labels that make rows, in this order; tokens of other tags are context only"
    )
    balanced: bool = Field(False, description="at most rows / classes rows of each class, in every split")
    packages: Packages | None = Field(None, description="packages per split")
    shares: Shares | None = Field(None, description="splits drawn with the seed, where neither data nor packages say")
    duplicates: Literal["drop", "keep"] = Field(
        "drop", description="copies of an input of an earlier split: left out, or kept; the card counts them either way"
    )
    negatives: Negatives | None = Field(None, description="code search: pairs that do not match, where none are given")
    metric: Literal["macro_f1", "accuracy", "r2"] = Field(
        description="primary metric: accuracy for balanced two-class tasks, r2 where a number is predicted"
    )
    rows: SplitRows
    inputs: int | None = Field(
        None, gt=0, description="distinct inputs of the data at most, which pairs share: for the estimates of a plan"
    )
    tune_share: Share = Field(0.3, description="share of the dev files that go to tune; the rest is judge")
    max_characters: int = Field(2000, gt=0, description="functions longer than this are left out, and counted")
    max_rows_per_input: int = Field(40, gt=0, description="at most so many labelled tokens of one function")
    cap_per_type: int | None = Field(None, gt=0, description="most rows of one token type, in train only")


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
    seed: int = Field(0, ge=0)


class Prepare(Block):
    corpora: dict[Name, Corpus]
    tasks: dict[Name, Task]


class Model(Block):
    """A model: a folder, a model of the hub, the model inside a wheel, or the untrained twin of another model."""

    path: str | None = Field(None, description="folder as `save_pretrained` writes it, as given or below data_root")
    hub: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$", description="id on the Hugging Face hub: owner/name"
    )
    revision: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{40}$",
        description="of a hub model, its commit: `neurosieve fetch` prints it; without it a run is only planned",
    )
    wheel: Wheel | None = None
    wheel_path: str | None = Field(None, description="folder of the model inside the wheel")
    untrained: Name | None = Field(None, description="name of the model whose configuration is initialised afresh")
    folders: dict[Name, str] = Field(
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
    seed: int = Field(0, ge=0, description="seed of the fresh initialisation")
    layers: int | None = Field(None, gt=0, description="layers, for hidden states with the embedding; checked on load")
    width: int | None = Field(None, gt=0, description="units per layer, checked on load")
    parameters: int | None = Field(None, gt=0, description="for the estimates of a plan, where weights are not here")
    note: str = Field("", description="shown on the leaderboard page")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(v is not None for v in (self.path, self.hub, self.wheel, self.untrained)) != 1:
            raise ValueError("give exactly one of `path:`, `hub:`, `wheel:` and `untrained:`")
        if (self.wheel is None) != (self.wheel_path is None):
            raise ValueError("`wheel:` and `wheel_path:` go together")
        if self.hub is None and self.revision is not None:
            raise ValueError("`revision:` is a commit of a hub model; give `hub:` with it, or take it out")
        if self.untrained is not None and (self.folders or self.trust_remote_code or self.weights != "safetensors"):
            raise ValueError("an untrained twin takes these from the model it names; take them out")
        return self


class Activations(Block):
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="type in which the model computes; activations are stored in float32. portable: float32"
    )
    subword: Literal["first", "last", "mean"] = Field(description="how sub-word vectors make a token's vector")
    pooling: Literal["mean", "first", "last", "max"] = Field(description="how token vectors make a sequence's vector")
    window: int = Field(gt=8, description="sub-words per window, special tokens included; windows overlap by half")
    batch_tokens: int = Field(
        gt=0,
        description="sub-words per batch, padding included: a scientific parameter, "
        "for the composition of a batch changes the last bits",
    )


class Redundancy(Block):
    rows: int = Field(gt=1, description="train rows used, sampled with the seed")
    thresholds: list[Share] = Field(min_length=1, description="distances 1-|r| at which the linkage is cut")
    cka_rows: int = Field(gt=3, description="rows per CKA batch")
    cka_batches: int = Field(gt=0)
    representative: Literal["medoid", "random"] = Field(
        "medoid", description="the neuron that stands for a cluster; random (seeded), as published, to compare with"
    )


class Penalty(Block):
    l1: float = Field(ge=0)
    l2: float = Field(gt=0, description="above 0, else the minimum is not unique")


class Probes(Block):
    penalties: list[Penalty] = Field(min_length=1, description="candidates; the best on tune is taken per feature set")
    gap: float = Field(gt=0, lt=0.1, description="relative duality gap at which the solver stops")
    max_iterations: int = Field(gt=0, description="reaching it is an error: no unsolved probe is scored")
    pair_features: list[Literal["absdiff", "product", "left", "right"]] = Field(min_length=1)
    bootstrap: int = Field(ge=100, description="replicates of the bootstrap over files")
    confidence: Share = Field(0.95, description="of the one-sided intervals")
    rankings: list[RankingName] = Field(
        ["lca", "probeless"],
        min_length=1,
        description="orders of the neurons that are made and compared: files of src/neurosieve/probes/rankings/",
    )
    agreement_sizes: list[Annotated[int, Field(gt=0)]] = Field(
        [10, 30, 100, 300], min_length=1, description="numbers of top neurons at which the rankings are compared"
    )
    lca_step: Share = Field(0.001, description="step of the mass in the LCA ranking")
    control_seeds: int = Field(5, gt=0, description="control tasks of a token task: random labels of the token types")
    description_shares: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=lambda: [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0],
        min_length=2,
        description="shares of train at which the blocks of the online description length end, ascending, the last 1.0",
    )
    baseline_ngrams: tuple[int, int] = Field((1, 4), description="character n-grams of the surface baseline")
    baseline_penalties: list[Penalty] = Field(min_length=1)

    @field_validator("baseline_ngrams", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("description_shares")
    @classmethod
    def _blocks(cls, value: list[float]) -> list[float]:
        if sorted(set(value)) != value or value[-1] != 1.0:
            raise ValueError("write ascending shares, the last of them 1.0")
        return value

    _unique = field_validator("rankings")(_each_once)

    @field_validator("agreement_sizes")
    @classmethod
    def _ascending(cls, value: list[int]) -> list[int]:
        if value != sorted(set(value)):
            raise ValueError("sizes must ascend, each once")
        return value


class Margin(Block):
    value: Share = Field(description="in units of the primary metric")
    reason: str = Field(min_length=10)


class Pipeline(Block):
    """Layers, then one neuron per correlation cluster, then a ranking: the published steps under the strict rules."""

    thresholds: list[Share | None] = Field(
        min_length=1, description="distances 1-|r| at which clusters are cut, null for none; the best on tune is taken"
    )
    ranking: RankingName = Field("lca", description="a file of src/neurosieve/probes/rankings/, with - for _")
    ratio: float = Field(1.5, gt=1, le=4, description="ratio of the grid of sizes before bisection")


class Subsets(Block):
    rankings: list[RankingName] = Field(
        min_length=1, description="those of probes.rankings along which a minimal subset is searched"
    )
    headline: RankingName = Field(description="the ranking of the leaderboard's main columns")
    ratio: float = Field(gt=1, le=1.2, description="ratio of the geometric grid of sizes")
    control_ratio: float = Field(gt=1, le=4, description="the same for the random and bottom curves")
    random_draws: int = Field(ge=2)
    half_draws: int = Field(ge=1, description="random halves of the neurons whose interval gives dev_half_width")
    pipeline: Pipeline | None = Field(None, description="layers, clusters, ranking, one after the other; null: off")
    transfer: bool = Field(False, description="try the subset of each task on every other task of the run")
    margins: dict[str, Margin] = Field(description="by task; `default` for the others")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "default" not in self.margins:
            raise ValueError("margins needs an entry `default`")
        for name in self.rankings:
            if name in CONTROL_RANKINGS:
                raise ValueError(f"{name!r} is a control, which every search has beside its rankings; leave it out")
        if self.headline not in self.rankings:
            raise ValueError(f"headline {self.headline!r} is not among rankings {self.rankings}")
        return self


class Tolerances(Block):
    """Losses, in per cent of a score, that the published search allows."""

    layers: float = Field(gt=0, lt=100, description="dL: of the oracle, for the number of layers")
    neurons: float = Field(gt=0, lt=100, description="dN: of the probe on those layers, for the number of neurons")


class Published(Block):
    """Protocol `published`; used where run.protocols names it. The defaults are those of the publication (METHOD 2)."""

    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        [1, 2, 3, 4, 5], min_length=2, description="a whole run of the protocol each"
    )
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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.shares != sorted(set(self.shares)):
            raise ValueError("shares must ascend, each once")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ")
        if any(t is not None and not 0 < t < 1 for t in self.thresholds):
            raise ValueError("thresholds are null or above 0 and below 1")
        return self


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


class Concepts(Block):
    neurons: int = Field(gt=0, description="at most so many of the chosen neurons are described, in rank order")
    top_types: int = Field(gt=0, description="token types per neuron, by mean |z|")
    min_count: int = Field(gt=0, description="a type must occur so often to be listed")
    context: int = Field(ge=0, description="characters of context each side, kept in build/ only")
    permutations: int = Field(200, gt=0, description="of the labels over token types, over functions for other tasks")
    level: Share = Field(0.05, description="family-wise, over the neurons and classes of a row, at which one is named")
    purity_top: int = Field(100, gt=0, description="rows with the largest |z| whose share of the class is given")
    ablation: Ablation | None = Field(
        None, description="change the described neurons inside the model and measure its own predictions; null: off"
    )

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.level * (self.permutations + 1) < 1:
            raise ValueError(
                f"{self.permutations} permutations cannot reach the level {self.level:g}; "
                f"write permutations: {math.ceil(1 / self.level) - 1} or more"
            )
        return self


class PublishedFigures(Block):
    """Figures of the publication, shown beside the rows of the same kind of task; other data, so never compared."""

    file: str = Field(description="csv: task, model, step, layers, cluster_threshold, n_neurons, metric, score")
    source: str = Field(min_length=10, description="where the figures come from, shown on the page")
    tasks: dict[Name, str] = Field(description="task of this benchmark -> task of the file")
    models: dict[Name, str] = Field(description="model of this benchmark -> model of the file")


class Leaderboard(Block):
    title: str
    curve_rankings: list[str] = Field(default_factory=lambda: ["lca", "probeless", "random", "bottom"])
    published_figures: PublishedFigures | None = None


class Run(Block):
    models: list[Name] = Field(min_length=1)
    tasks: list[Name] = Field(min_length=1)
    protocols: list[Literal["strict", "published"]] = Field(
        ["strict"],
        min_length=1,
        description="rules of the measurement: `strict`, always, and beside it `published`, the steps of arXiv "
        "2305.00875 with their choices on test, to set next to the published figures",
    )

    _unique = field_validator("models", "tasks", "protocols")(_each_once)

    @field_validator("protocols")
    @classmethod
    def _strict(cls, value: list[str]) -> list[str]:
        if "strict" not in value:
            raise ValueError("`strict` must be there: a published row is never shown without the strict one")
        return value


class Params(Block):
    """A whole benchmark. Everything scientific is here; machine facts are in a Snakemake profile."""

    benchmark: Name
    version: int = Field(ge=1, description="raised whenever a score may change")
    seed: int = Field(ge=0, lt=2**32)
    numerics: Literal["portable", "fast"]
    data_root: str = Field(
        "data", description="folder below which data and models are looked for; NEUROSIEVE_DATA names another"
    )
    run: Run
    models: dict[Name, Model]
    prepare: Prepare
    activations: Activations
    redundancy: Redundancy
    probes: Probes
    subsets: Subsets
    published: Published = Field(default_factory=lambda: Published.model_validate({}))
    concepts: Concepts
    leaderboard: Leaderboard

    def twin_of(self, model: str) -> str | None:
        """Name of the untrained twin of ``model`` among the models that run (a twin is its own twin), else None."""
        if self.models[model].untrained is not None:
            return model
        return next((m for m in self.run.models if self.models[m].untrained == model), None)

    def task_corpora(self, task: str) -> list[str]:
        corpus = self.prepare.tasks[task].corpus
        return [corpus] if corpus is not None else []

    def resolve(self, name: str) -> Path:
        """A data file or folder of this file: as it is written where that is there, else below the data root."""
        path = Path(name)
        return path if path.is_absolute() or path.exists() else Path(self.root) / path

    @property
    def root(self) -> str:
        return os.environ.get(DATA_VARIABLE) or self.data_root

    def corpus_files(self, corpus: str) -> list[str]:
        """Files of a folder corpus that are there; none for wheels, which are named by their hash."""
        entry = self.prepare.corpora[corpus]
        if entry.folder is None:
            return []
        if entry.files is not None:
            return _there(self.data_files(entry.folder, entry.files))
        return _files(self.resolve(entry.folder), *(f"**/*{end}" for end in LANGUAGES[entry.language]))

    def task_files(self, task: str) -> list[str]:
        """Files of a folder task that are there, of those that its entry names."""
        entry = self.prepare.tasks[task]
        return _there(self.data_files(entry.folder, entry.files or {})) if entry.folder is not None else []

    def data_files(self, folder: str, files: dict[str, DataFile]) -> dict[str, Path]:
        """Role -> path of a dataset's files, there or not."""
        return {role: self.resolve(folder) / file.name for role, file in files.items()}

    def figure_files(self) -> list[str]:
        """The file of published figures that the leaderboard reads, if any."""
        figures = self.leaderboard.published_figures
        return [self.resolve(figures.file).as_posix()] if figures is not None else []

    def missing_files(self) -> list[str]:
        """What the run's tasks and models need and this machine has not, with where to get it; a line each."""
        missing: list[str] = []
        for name in self.run.tasks:
            task = self.prepare.tasks[name]
            sources = [(f"prepare.tasks.{name}", task.folder, task.files)]
            for corpus in self.task_corpora(name):
                entry = self.prepare.corpora[corpus]
                sources.append((f"prepare.corpora.{corpus}", entry.folder, entry.files))
            for key, folder, files in sources:
                if folder is not None and files is None and not self.resolve(folder).is_dir():
                    missing.append(f"{key}: no folder {self.resolve(folder)}")
                for role, path in self.data_files(folder or "", files or {}).items():
                    if not path.is_file():
                        source = (files or {})[role].source
                        missing.append(f"{key}: no file {path}" + (f"; get it from {source}" if source else ""))
        for name in dict.fromkeys(self.trained(model) for model in self.run.models):
            model_entry = self.models[name]
            for folder in filter(None, (model_entry.path, *model_entry.folders.values())):
                if not self.resolve(folder).is_dir():
                    missing.append(f"models.{name}: no folder {self.resolve(folder)}")
        return list(dict.fromkeys(missing))

    def trained(self, model: str) -> str:
        """The model itself, or the one that an untrained twin is the twin of."""
        return self.models[model].untrained or model

    def finetunes(self, model: str, task: str) -> bool:
        """Whether the model is trained on the task's train split before its activations are taken."""
        finetune = self.models[model].finetune
        return finetune is not None and task in finetune.tasks

    def training(self, model: str, task: str) -> str:
        """What was done to the model for the task before its activations were taken; the leaderboard says it."""
        entry = self.models[model]
        if self.finetunes(model, task):
            return "fine-tuned here" if entry.untrained is None else "trained from scratch"
        if entry.untrained is not None:
            return "untrained"
        return "fine-tuned folder" if task in entry.folders else "frozen"

    def model_files(self, model: str, task: str | None = None) -> list[str]:
        """Files of the model's folder, of the trained one for an untrained twin; none for a model in a wheel or hub.

        With a task: of the folder that the model has for it.
        """
        entry = self.models[self.trained(model)]
        path = entry.path if self.models[model].untrained is not None else entry.folders.get(task or "", entry.path)
        kinds = ("*.json", "*.txt", "*.model", "*.py", "*.safetensors") + (("*.bin",) if entry.weights == "bin" else ())
        return _files(self.resolve(path), *kinds) if path is not None else []

    def settings(
        self, rule: str, *, corpus: str | None = None, model: str | None = None, task: str | None = None
    ) -> dict[str, Any]:
        """What of this file a rule's result depends on, as plain values: Snakemake reruns the rule when it changes.

        The dotted keys a phase reads are PHASE_KEYS; here they are narrowed to the wildcards at hand.
        """
        common = {"seed": self.seed, "numerics": self.numerics}
        if rule == "extract_corpus":
            return {"corpus": self.prepare.corpora[str(corpus)].model_dump(mode="json", exclude=_HINTS)}
        if rule == "prepare_task":
            entry = self.prepare.tasks[str(task)]
            return {"seed": self.seed, "task": entry.model_dump(mode="json", exclude=_HINTS)}
        if rule == "dump_activations":
            return {
                "numerics": self.numerics,
                "activations": self.activations.model_dump(mode="json"),
                "models": self._model_settings(str(model), task),
            }
        if rule == "finetune_model":
            return {
                "numerics": self.numerics,
                "models": self._model_settings(str(model), task),
                "pooling": self.activations.pooling,
                "pair_features": self.probes.pair_features,
            }
        if rule == "measure_redundancy":
            return {**common, "redundancy": self.redundancy.model_dump(mode="json")}
        if rule == "fit_baselines":
            return {**common, "probes": self.probes.model_dump(mode="json", exclude={"rankings", "agreement_sizes"})}
        if rule in ("fit_probes", "fit_controls"):
            return {**common, "probes": self.probes.model_dump(mode="json")}
        if rule == "decide_status":
            twins = {m: self.twin_of(m) for m in self.run.models}
            return {**common, "probes": self.probes.model_dump(mode="json"), "twins": twins, "tasks": self.run.tasks}
        if rule in ("search_subsets", "score_test"):
            subsets = self.subsets.model_dump(mode="json", exclude={"margins", "transfer"})
            margin = self.margin(str(task)).model_dump(mode="json")
            found = {**common, "probes": self.probes.model_dump(mode="json"), "subsets": subsets, "margin": margin}
            if rule == "search_subsets" and self.subsets.pipeline is not None:
                found["cluster_rows"] = self.redundancy.rows
            return found
        if rule == "transfer_subsets":
            return {
                **common,
                "probes": self.probes.model_dump(mode="json"),
                "tasks": self.run.tasks,
                "headline": self.subsets.headline,
                "random_draws": self.subsets.random_draws,
            }
        if rule == "reproduce_published":
            return {
                **common,
                "published": self.published.model_dump(mode="json"),
                "pair_features": self.probes.pair_features,
            }
        if rule == "describe_neurons":
            return {
                **common,
                "concepts": self.concepts.model_dump(mode="json", exclude={"ablation"}),
                "headline": self.subsets.headline,
                "pair_features": self.probes.pair_features,
            }
        if rule == "ablate_neurons":
            ablation = self.concepts.ablation
            return {
                **common,
                "models": self._model_settings(str(model), task),
                "neurons": self.concepts.neurons,
                "ablation": None if ablation is None else ablation.model_dump(mode="json"),
                "batch_tokens": self.activations.batch_tokens,
                "bootstrap": self.probes.bootstrap,
                "confidence": self.probes.confidence,
                "headline": self.subsets.headline,
            }
        if rule == "build_leaderboard":
            return self.model_dump(mode="json", exclude={"data_root"})
        raise KeyError(rule)

    def _model_settings(self, model: str, task: str | None) -> list[dict[str, Any]]:
        """Entries of a model and, for an untrained twin, of the model it names, with what they say of this task."""
        found = []
        for name in dict.fromkeys((model, self.trained(model))):
            entry = self.models[name]
            shown = entry.model_dump(mode="json", exclude={"note": True, "parameters": True, "finetune": {"tasks"}})
            shown["folders"] = {key: folder for key, folder in entry.folders.items() if key == task}
            if name != model or not self.finetunes(model, str(task)):
                shown["finetune"] = None
            found.append(shown)
        return found

    def margin(self, task: str) -> Margin:
        return self.subsets.margins.get(task, self.subsets.margins["default"])


def _files(folder: Path, *patterns: str) -> list[str]:
    return sorted({p.as_posix() for pattern in patterns for p in folder.glob(pattern) if p.is_file()})


def _there(files: dict[str, Path]) -> list[str]:
    return sorted(path.as_posix() for path in files.values() if path.is_file())


# Of a corpus or a task, what no result depends on.
_HINTS: dict[str, Any] = {"inputs": True, "files": {"__all__": {"source": True}}}


def task_kinds() -> list[str]:
    """Kinds that can be named in ``prepare.tasks.*.kind``: one file of prepare/tasks/ each."""
    folder = Path(__file__).parent / "prepare" / "tasks"
    return sorted(p.stem.replace("_", "-") for p in folder.glob("*.py") if not p.stem.startswith("_"))


def ranking_names() -> list[str]:
    """Names of rankings: one file of probes/rankings/ each."""
    folder = Path(__file__).parent / "probes" / "rankings"
    return sorted(p.stem.replace("_", "-") for p in folder.glob("*.py") if not p.stem.startswith("_"))


def ranks_numbers(name: str) -> bool:
    """Whether the file of a ranking says that it also ranks where a number is predicted: a line ``NUMBERS = True``."""
    path = Path(__file__).parent / "probes" / "rankings" / f"{name.replace('-', '_')}.py"
    return "NUMBERS = True" in path.read_text(encoding="utf-8").splitlines()


def load_params(path: Path | str) -> Params:
    """Read and check a params file.

    Raises
    ------
    ConfigError
        names the file, the line, the key, what was found and what to write instead; all faults at once.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name a params file, for example params.yaml") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    try:
        tree = yaml.compose(text, Loader=_Loader)
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506  (_Loader is a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}:1: found {type(raw).__name__}, expected a mapping that begins with `benchmark:`")
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        faults = [_explain(path, tree, raw, fault) for fault in error.errors()]
        raise ConfigError("\n".join(faults)) from None
    faults = [f"{path}:{_line(tree, keys)}: {'.'.join(map(str, keys))}: {text}" for keys, text in _cross_checks(params)]
    if faults:
        raise ConfigError("\n".join(faults))
    return params


def _cross_checks(params: Params) -> list[tuple[tuple[str | int, ...], str]]:
    faults: list[tuple[tuple[str | int, ...], str]] = []

    def known(keys: tuple[str | int, ...], name: str, names: list[str], what: str) -> bool:
        if name in names:
            return True
        faults.append((keys, f"found {name!r}, which is no {what}; {_suggest(name, names)}"))
        return False

    for i, model in enumerate(params.run.models):
        if not known(("run", "models", i), model, list(params.models), "model under `models:`"):
            continue
        entry = params.models[model]
        if entry.untrained is not None:
            known(("models", model, "untrained"), entry.untrained, list(params.models), "model under `models:`")
        if params.numerics == "portable" and params.activations.dtype != "float32":
            faults.append((("activations", "dtype"), "portable numerics need float32; or write `numerics: fast`"))
        tasks = list(params.prepare.tasks)
        for tuned in entry.folders:
            known(("models", model, "folders", tuned), tuned, tasks, "task under `prepare.tasks:`")
        for j, tuned in enumerate(entry.finetune.tasks if entry.finetune is not None else ()):
            key = ("models", model, "finetune", "tasks", j)
            if known(key, tuned, tasks, "task under `prepare.tasks:`") and tuned in entry.folders:
                faults.append((key, f"{tuned!r} has a folder under `folders:` already; keep one"))
    for i, name in enumerate(params.run.tasks):
        if not known(("run", "tasks", i), name, list(params.prepare.tasks), "task under `prepare.tasks:`"):
            continue
        task = params.prepare.tasks[name]
        at = ("prepare", "tasks", name)
        known((*at, "kind"), task.kind, task_kinds(), "kind of task")
        if sum(source is not None for source in (task.corpus, task.folder, task.dataset)) != 1:
            faults.append((at, "give exactly one of `corpus:`, `folder:` and `dataset:`"))
        if (task.folder is None) != (task.files is None):
            faults.append((at, "`folder:` and `files:` go together: a folder, and its files with their sha256"))
        if task.packages is not None and task.shares is not None:
            faults.append((at, "`packages:` and `shares:` both say the splits; keep one"))
        if task.corpus is not None and known((*at, "corpus"), task.corpus, list(params.prepare.corpora), "corpus"):
            corpus = params.prepare.corpora[task.corpus]
            if task.packages is None and task.shares is None:
                faults.append((at, "a task on a corpus needs `packages:` with train, dev and test, or `shares:`"))
            elif task.packages is not None and corpus.wheels is not None:
                names = [w.name for w in corpus.wheels]
                for split in ("train", "dev", "test"):
                    for j, package in enumerate(getattr(task.packages, split)):
                        known((*at, "packages", split, j), package, names, f"wheel of corpus {task.corpus!r}")
    numbers = [name for name in params.run.tasks if (t := params.prepare.tasks.get(name)) and t.metric == "r2"]
    judged_by: list[tuple[tuple[str | int, ...], str]] = [(("subsets", "headline"), params.subsets.headline)]
    if params.subsets.pipeline is not None:
        judged_by.append((("subsets", "pipeline", "ranking"), params.subsets.pipeline.ranking))
    for keys, ranking in judged_by:
        if numbers and not ranks_numbers(ranking):
            able = [n for n in ranking_names() if ranks_numbers(n) and n not in CONTROL_RANKINGS]
            found = f"{ranking!r} ranks by classes, and task {numbers[0]!r} has `metric: r2`, a number"
            faults.append((keys, f"{found}; write one of: {', '.join(able)}"))
    for i, ranking in enumerate(params.subsets.rankings):
        known(("subsets", "rankings", i), ranking, params.probes.rankings, "ranking under `probes.rankings:`")
    figures = params.leaderboard.published_figures
    if figures is not None:
        own = ("leaderboard", "published_figures")
        for name in figures.tasks:
            known((*own, "tasks", name), name, list(params.prepare.tasks), "task under `prepare.tasks:`")
        for name in figures.models:
            known((*own, "models", name), name, list(params.models), "model under `models:`")
    for margin in params.subsets.margins:
        if margin != "default":
            known(("subsets", "margins", margin), margin, list(params.prepare.tasks), "task under `prepare.tasks:`")
    return faults


class _Loader(yaml.SafeLoader):
    """Safe loader that refuses a key given twice and reads 1e-4 as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} given twice (first on line {seen[key]}); keep one",
                    problem_mark=key_node.start_mark,
                )
            seen[key] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML reads, takes 1e-4 for a string because it has no dot.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _suggest(found: str, names: list[str]) -> str:
    close = difflib.get_close_matches(found, names, n=1)
    return f"write {close[0]!r}?" if close else f"write one of: {', '.join(sorted(names)) or '(none defined)'}"


def _line(tree: yaml.Node | None, keys: tuple[str | int, ...]) -> int:
    """Line of the deepest node on the path ``keys``, from 1."""
    node, line = tree, 1
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(key)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line + 1
    return line


def _explain(path: Path, tree: yaml.Node | None, raw: dict[str, Any], fault: Any) -> str:
    keys = tuple(k for k in fault["loc"] if k != "[key]")
    where = f"{path}:{_line(tree, keys)}: {'.'.join(map(str, keys)) or '(top level)'}"
    if fault["type"] == "extra_forbidden":
        parent: Any = Params
        names: list[str] = _fields_at(parent, keys[:-1])
        return f"{where}: unknown key; {_suggest(str(keys[-1]), names)}"
    if fault["type"] == "missing":
        return f"{where}: missing; add `{keys[-1]}:`"
    found = repr(fault["input"])
    found = found if len(found) <= 80 else found[:77] + "..."
    return f"{where}: found {found}; {fault['msg'].removeprefix('Value error, ')}"


def _fields_at(model: Any, keys: tuple[str | int, ...]) -> list[str]:
    """Names of the fields of the block at the path ``keys``, for suggestions; empty where it is no block."""
    import typing

    here: Any = model
    for key in keys:
        if isinstance(here, type) and issubclass(here, BaseModel):
            info = here.model_fields.get(str(key))
            here = info.annotation if info else None
        else:  # dict[Name, Block] or list[Block]: the block is the last argument
            here = typing.get_args(here)[-1] if typing.get_args(here) else None
        blocks = [a for a in typing.get_args(here) if isinstance(a, type) and issubclass(a, BaseModel)]
        if blocks and typing.get_origin(here) not in (dict, list):
            here = blocks[0]
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []
