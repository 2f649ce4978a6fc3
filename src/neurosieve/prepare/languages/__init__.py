"""Languages of source code: the functions of a file, the function that a text is, and the classes of its tokens.

One module each, found by its name. It has

TAGSETS                 {"published": names of the classes of arXiv 2305.00875, "fine": names of finer ones}
functions(text)         all outermost functions of a file
one_function(text)      the function that a text is; None where it is none or several
folded(text)            a function with names, comments and white space folded away: equal for renamed copies
tokens(text, tagset)    the tokens of a function that have a class; UnknownLeaf where a leaf has no rule

Reads and writes no files. A new language is a module here and a line in LANGUAGES of config/names.py.
"""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from neurosieve.config import LANGUAGES
from neurosieve.prepare.python_source import Function
from neurosieve.prepare.syntax_tree import Tagged


class SourceLanguage(Protocol):
    """The interface of a module of this folder; see the module's docstring."""

    TAGSETS: dict[str, tuple[str, ...]]

    def functions(self, text: str) -> list[Function]: ...

    def one_function(self, text: str) -> Function | None: ...

    def folded(self, text: str) -> str: ...

    def tokens(self, text: str, tagset: str) -> list[Tagged]: ...


def load_language(name: str) -> SourceLanguage:
    """The module of a language of config.LANGUAGES; KeyError for another name."""
    if name not in LANGUAGES:
        raise KeyError(f"found language {name!r}; write one of: {', '.join(LANGUAGES)}")
    return cast(SourceLanguage, importlib.import_module(f"{__name__}.{name}"))
