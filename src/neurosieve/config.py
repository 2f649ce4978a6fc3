"""The typed model of params.yaml: one file is one whole benchmark.

Reads: the params file. Writes: nothing (``python -m neurosieve.cli schema`` prints the JSON schema).
Every block that belongs to a phase has the phase's name. Unknown keys are refused, with the key's path, its line,
what was found and what to write instead.
"""

from __future__ import annotations

import difflib
import math
import re
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

PHASES = ("prepare", "activations", "redundancy", "probes", "subsets", "concepts", "leaderboard")
SPLITS = ("train", "tune", "judge", "test")
# Rankings that others are to beat: every search has them beside its own, so they cannot be searched themselves.
CONTROL_RANKINGS = ("bottom", "random")
# Names of the files of a tagged-lines task: <stem>.in and <stem>.label, the stem's {split} being one of TAGGED.
TAGGED = ("train", "dev", "valid", "test")
ENDS = (".in", ".label")
# Top-level keys of params.yaml that each phase reads: the params of the phase's DVC stage.
PHASE_KEYS: dict[str, tuple[str, ...]] = {
    "prepare": ("benchmark", "seed", "numerics", "run", "prepare"),
    "activations": ("benchmark", "numerics", "run", "models", "activations"),
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

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
Share = Annotated[float, Field(gt=0, lt=1)]


def _known_ranking(name: str) -> str:
    if name not in ranking_names():
        raise ValueError(f"no ranking has this name; {_suggest(name, ranking_names())}")
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
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="sha256 of the wheel file, lower-case hex")

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


class Corpus(Block):
    """Where source code comes from: pinned wheels, or a folder whose first-level folders are packages."""

    wheels: list[Wheel] | None = None
    folder: str | None = Field(None, description="folder with one sub-folder per package, .py files below")
    licence: str | None = Field(None, description="licence of a folder corpus, for the task cards")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.wheels is None) == (self.folder is None):
            raise ValueError("give exactly one of `wheels:` and `folder:`")
        return self


class SplitRows(Block):
    """Rows wanted per split; fewer are taken (and said so on the card) where the corpus has no more."""

    train: int = Field(gt=0)
    tune: int = Field(gt=0)
    judge: int = Field(gt=0)
    test: int = Field(gt=0)


class Packages(Block):
    """Which packages make which split; dev is cut into tune and judge by file. No package stands in two splits."""

    train: list[Name] = Field(min_length=1)
    dev: list[Name] = Field(min_length=1)
    test: list[Name] = Field(min_length=1)

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


class Task(Block):
    """One task: a builder (`kind`) applied to a corpus, or to a folder with labelled data."""

    kind: str = Field(description="a file of src/neurosieve/prepare/tasks/, with - for _")
    corpus: Name | None = Field(None, description="a name under prepare.corpora")
    folder: str | None = Field(None, description="folder with data.jsonl, or with the .in and .label files")
    stem: str = Field("{split}", description="tagged-lines: name of the files without .in; {split} is train, dev, test")
    misaligned: Literal["error", "skip"] = Field(
        "error", description="tagged-lines: lines with other numbers of tokens and tags are refused, or left out"
    )
    classes: list[str] | None = Field(
        None, min_length=2, description="tagged-lines: tags that make rows; tokens of other tags are context only"
    )
    balanced: bool = Field(False, description="tagged-lines: at most rows / classes rows of each class, in every split")
    packages: Packages | None = Field(None, description="packages per split")
    metric: Literal["macro_f1", "accuracy"] = Field(description="primary metric: accuracy for balanced two-class tasks")
    rows: SplitRows
    tune_share: Share = Field(0.3, description="share of the dev files that go to tune; the rest is judge")
    max_characters: int = Field(2000, gt=0, description="functions longer than this are left out, and counted")
    max_rows_per_input: int = Field(40, gt=0, description="at most so many labelled tokens of one function")
    cap_per_type: int | None = Field(None, gt=0, description="most rows of one token type, in train only")


class Prepare(Block):
    corpora: dict[Name, Corpus]
    tasks: dict[Name, Task]


class Model(Block):
    """A model: a folder, the model inside a wheel, or the untrained twin of another model."""

    path: str | None = Field(None, description="folder with config.json, model.safetensors, tokenizer.json")
    wheel: Wheel | None = None
    wheel_path: str | None = Field(None, description="folder of the model inside the wheel")
    untrained: Name | None = Field(None, description="name of the model whose configuration is initialised afresh")
    seed: int = Field(0, ge=0, description="seed of the fresh initialisation")
    layers: int | None = Field(None, gt=0, description="layers with the embedding layer, checked on load")
    width: int | None = Field(None, gt=0, description="units per layer, checked on load")
    note: str = Field("", description="shown on the leaderboard page")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(v is not None for v in (self.path, self.wheel, self.untrained)) != 1:
            raise ValueError("give exactly one of `path:`, `wheel:` and `untrained:`")
        if (self.wheel is None) != (self.wheel_path is None):
            raise ValueError("`wheel:` and `wheel_path:` go together")
        return self


class Activations(Block):
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

    @field_validator("rankings")
    @classmethod
    def _unique(cls, value: list[str]) -> list[str]:
        twice = sorted({v for v in value if value.count(v) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return value

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


class Leaderboard(Block):
    title: str
    curve_rankings: list[str] = Field(default_factory=lambda: ["lca", "probeless", "random", "bottom"])


class Run(Block):
    models: list[Name] = Field(min_length=1)
    tasks: list[Name] = Field(min_length=1)
    protocols: list[Literal["strict", "published"]] = Field(
        ["strict"],
        min_length=1,
        description="rules of the measurement: `strict`, always, and beside it `published`, the steps of arXiv "
        "2305.00875 with their choices on test, to set next to the published figures",
    )

    @field_validator("models", "tasks", "protocols")
    @classmethod
    def _unique(cls, value: list[str]) -> list[str]:
        twice = sorted({v for v in value if value.count(v) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return value

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

    def corpus_files(self, corpus: str) -> list[str]:
        """Files of a folder corpus; none for wheels, which are named by their hash."""
        folder = self.prepare.corpora[corpus].folder
        return _files(folder, "**/*.py") if folder is not None else []

    def task_files(self, task: str) -> list[str]:
        folder = self.prepare.tasks[task].folder
        if folder is None:
            return []
        stem = self.prepare.tasks[task].stem
        tagged = [f"{stem.replace('{split}', s)}{end}{zipped}" for s, end, zipped in product(TAGGED, ENDS, ("", ".gz"))]
        return _files(folder, *(tagged if self.prepare.tasks[task].kind == "tagged-lines" else ["data.jsonl"]))

    def model_files(self, model: str) -> list[str]:
        """Files of the model's folder, of the trained one for an untrained twin; none for a model in a wheel."""
        entry = self.models[model]
        if entry.untrained is not None:
            return self.model_files(entry.untrained)
        return _files(entry.path, "*.json", "*.safetensors") if entry.path is not None else []

    def settings(
        self, rule: str, *, corpus: str | None = None, model: str | None = None, task: str | None = None
    ) -> dict[str, Any]:
        """What of this file a rule's result depends on, as plain values: Snakemake reruns the rule when it changes.

        The dotted keys a phase reads are PHASE_KEYS; here they are narrowed to the wildcards at hand.
        """
        common = {"seed": self.seed, "numerics": self.numerics}
        if rule == "extract_corpus":
            return {"corpus": self.prepare.corpora[str(corpus)].model_dump(mode="json")}
        if rule == "prepare_task":
            return {"seed": self.seed, "task": self.prepare.tasks[str(task)].model_dump(mode="json")}
        if rule == "dump_activations":
            entry = self.models[str(model)]
            entries = [entry] if entry.untrained is None else [entry, self.models[entry.untrained]]
            return {
                "numerics": self.numerics,
                "activations": self.activations.model_dump(mode="json"),
                "models": [e.model_dump(mode="json", exclude={"note"}) for e in entries],
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
                "models": self.settings("dump_activations", model=model)["models"],
                "neurons": self.concepts.neurons,
                "ablation": None if ablation is None else ablation.model_dump(mode="json"),
                "batch_tokens": self.activations.batch_tokens,
                "bootstrap": self.probes.bootstrap,
                "confidence": self.probes.confidence,
                "headline": self.subsets.headline,
            }
        if rule == "build_leaderboard":
            return self.model_dump(mode="json")
        raise KeyError(rule)

    def margin(self, task: str) -> Margin:
        return self.subsets.margins.get(task, self.subsets.margins["default"])


def _files(folder: str, *patterns: str) -> list[str]:
    return sorted({p.as_posix() for pattern in patterns for p in Path(folder).glob(pattern) if p.is_file()})


def task_kinds() -> list[str]:
    """Kinds that can be named in ``prepare.tasks.*.kind``: one file of prepare/tasks/ each."""
    folder = Path(__file__).parent / "prepare" / "tasks"
    return sorted(p.stem.replace("_", "-") for p in folder.glob("*.py") if not p.stem.startswith("_"))


def ranking_names() -> list[str]:
    """Names of rankings: one file of probes/rankings/ each."""
    folder = Path(__file__).parent / "probes" / "rankings"
    return sorted(p.stem.replace("_", "-") for p in folder.glob("*.py") if not p.stem.startswith("_"))


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

    def folder(keys: tuple[str | int, ...], name: str, needs: str) -> None:
        if not Path(name).is_dir():
            faults.append((keys, f"found {name!r}, which is not a folder; name a folder with {needs}"))

    for i, model in enumerate(params.run.models):
        if not known(("run", "models", i), model, list(params.models), "model under `models:`"):
            continue
        entry = params.models[model]
        if entry.untrained is not None:
            known(("models", model, "untrained"), entry.untrained, list(params.models), "model under `models:`")
        if entry.path is not None:
            folder(("models", model, "path"), entry.path, "config.json, model.safetensors and tokenizer.json")
    for i, name in enumerate(params.run.tasks):
        if not known(("run", "tasks", i), name, list(params.prepare.tasks), "task under `prepare.tasks:`"):
            continue
        task = params.prepare.tasks[name]
        at = ("prepare", "tasks", name)
        known((*at, "kind"), task.kind, task_kinds(), "kind of task")
        if (task.corpus is None) == (task.folder is None):
            faults.append((at, "give exactly one of `corpus:` and `folder:`"))
        if task.folder is not None:
            folder((*at, "folder"), task.folder, "data.jsonl, or the .in and .label files of tagged-lines")
        if task.corpus is not None and known((*at, "corpus"), task.corpus, list(params.prepare.corpora), "corpus"):
            corpus = params.prepare.corpora[task.corpus]
            if corpus.folder is not None:
                folder(("prepare", "corpora", task.corpus, "folder"), corpus.folder, "one sub-folder per package")
            if task.packages is None:
                faults.append((at, "a task on a corpus needs `packages:` with train, dev and test"))
            elif corpus.wheels is not None:
                names = [w.name for w in corpus.wheels]
                for split in ("train", "dev", "test"):
                    for j, package in enumerate(getattr(task.packages, split)):
                        known((*at, "packages", split, j), package, names, f"wheel of corpus {task.corpus!r}")
    for i, ranking in enumerate(params.subsets.rankings):
        known(("subsets", "rankings", i), ranking, params.probes.rankings, "ranking under `probes.rankings:`")
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
