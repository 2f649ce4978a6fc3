"""Block `prepare`: corpora, and the tasks made of them or of data files."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from neurosieve.config.base import COMMIT, Block, DataFile, FilePath, Name, Package, Sha256, Share, Wheel, each_once


class HubDataset(Block):
    """A dataset of the Hugging Face hub, read by the `datasets` library; its scripts are never run."""

    id: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$", description="owner/name")
    revision: str = Field(pattern=COMMIT, description="commit: the 40 hex digits of the dataset's history")
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

    @model_validator(mode="after")
    def _apart(self) -> Self:
        seen: dict[str, str] = {}
        for field in ("text", "right", "label", "target"):
            column = getattr(self, field)
            if column is not None and (other := seen.setdefault(column, field)) != field:
                raise ValueError(f"{other} and {field} are both the column {column!r}; name another for one of them")
        return self


class Corpus(Block):
    """Where source code comes from: pinned wheels, a folder whose first-level folders are packages, or a table."""

    language: Literal["python", "java", "c"] = "python"
    wheels: list[Wheel] | None = None
    folder: FilePath | None = Field(
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

    _unique = field_validator("train", "dev", "test")(each_once)

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

    _unique = field_validator("held_out")(each_once)

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
    folder: FilePath | None = Field(None, description="folder of the `files:`, as written or below data_root")
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
    leave_out: list[str] | None = Field(
        None, min_length=1, description="token tasks: tokens of these texts make no rows, and are counted"
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

    @field_validator("classes", "leave_out")
    @classmethod
    def _unique(cls, value: list[str] | None) -> list[str] | None:
        return None if value is None else each_once(value)


class Prepare(Block):
    corpora: dict[Name, Corpus] = Field({}, description="for tasks that are made of source code, by name")
    tasks: dict[Name, Task]
