"""Lenses of ``concepts.lenses``: which there are, what each says of itself, and its settings.

A lens is a file of concepts/lenses/; one that takes settings has a file of the same name here, with a class
``Settings(Block)``. A file dropped in is a key of ``concepts.lenses``, without a change elsewhere. Constants of a lens
are read as text, so that no lens, and nothing that it needs, is imported with the params file.
"""

from __future__ import annotations

import ast
import functools
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, create_model

from neurosieve.config.base import Block
from neurosieve.config.names import PACKAGE, lens_names

LENS_UNITS = ("token", "sequence", "pair")


@dataclass(frozen=True)
class LensFacts:
    """What the file of a lens says of itself in lines ``UNITS = ...``; see concepts/lenses/__init__.py.

    units : kinds of rows that it looks at; numbers : whether it does where a number is predicted, too; model : whether
    it reads the model's folder; others : rows that it reads beside its own, "tasks" for those of the model in all
    tasks of the run, "models" for those of its setting ``models`` in the task, "twins" for those of its
    untrained twins that run, None for none.
    """

    units: tuple[str, ...]
    numbers: bool = False
    model: bool = False
    others: str | None = None


@functools.cache
def lens_facts(name: str) -> LensFacts:
    """The constants of a lens, from its text; ValueError for one without UNITS or with others than there are."""
    path = PACKAGE / "concepts" / "lenses" / f"{name.replace('-', '_')}.py"
    said: dict[str, Any] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            key = node.targets[0].id
            if key in ("UNITS", "NUMBERS", "NEEDS_MODEL", "OTHERS"):
                said[key] = ast.literal_eval(node.value)
    found = LensFacts(
        said.get("UNITS", ()), said.get("NUMBERS", False), said.get("NEEDS_MODEL", False), said.get("OTHERS")
    )
    if not found.units or set(found.units) - set(LENS_UNITS):
        raise ValueError(f"{path.name}: found UNITS = {found.units!r}; write a tuple of some of {LENS_UNITS}")
    if found.others not in (None, "tasks", "models", "twins"):
        raise ValueError(f'{path.name}: found OTHERS = {found.others!r}; write "tasks", "models", "twins" or None')
    return found


class NoSettings(Block):
    """A lens without settings: {}."""


def lens_settings(name: str) -> type[Block]:
    """The class of a lens's settings: that of its file here, if it has one."""
    stem = name.replace("-", "_")
    if not (PACKAGE / "config" / "lenses" / f"{stem}.py").is_file():
        return NoSettings
    found: type[Block] = importlib.import_module(f"{__name__}.{stem}").Settings
    return found


class LensesBlock(Block):
    """Which lenses are looked through: name -> settings ({} for the defaults); a lens that is not named is off."""

    def names(self) -> list[str]:
        """Lenses that are on, sorted."""
        return [name for name in sorted(type(self).model_fields) if getattr(self, name) is not None]

    def of(self, name: str) -> Block:
        """Settings of a lens; KeyError for one that is off or has no file."""
        found: Block | None = getattr(self, name, None) if name in type(self).model_fields else None
        if found is None:
            raise KeyError(name)
        return found


if TYPE_CHECKING:
    Lenses = LensesBlock
else:
    _FIELDS = {name: (Annotated[lens_settings(name) | None, Field()], None) for name in lens_names()}
    Lenses = create_model("Lenses", __base__=LensesBlock, __doc__=LensesBlock.__doc__, **_FIELDS)
