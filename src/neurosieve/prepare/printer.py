"""How functions and docstrings are printed as inputs: one way for every side of every derived row.

Reads and writes no files. Code is left as written but for what a task must change, so that formatting cannot give a
label away.
"""

from __future__ import annotations

import re

from neurosieve.prepare.records import Record

_SPACE = re.compile(r"\s+")
_BLANK_LINE = re.compile(r"\n\s*\n")
#: What stands for a function's own name in its code and in its docstring.
CODE_MASK = "function"
TEXT_MASK = "this function"


def summary(docstring: str) -> str:
    """First paragraph of a docstring on one line."""
    return _SPACE.sub(" ", _BLANK_LINE.split(docstring.strip(), maxsplit=1)[0]).strip()


def without_docstring(source: str, span: tuple[int, int]) -> str:
    """The function without its docstring, `span` being the literal's [start, end); blank lines after it go too."""
    start, end = span
    head, tail = source[:start], source[end:]
    tail = re.sub(r"\A[ \t]*;?[ \t]*", "", tail)
    if tail.startswith("\n") and not head.rpartition("\n")[2].strip():  # it had its lines to itself
        head, tail = head.rpartition("\n")[0], re.sub(r"\A\n(?:[ \t]*\n)*", "\n", tail)
    return (head + tail).rstrip()


def code_of(record: Record) -> str:
    """The function without its docstring, if it has one: a long one would fill an input that is asked of its code."""
    return without_docstring(record.text, record.docstring_span) if record.docstring_span else record.text


def mask(text: str, name: str, word: str) -> str:
    """Every occurrence of `name` as a whole word replaced by `word`."""
    return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", lambda _: word, text)


def replaced(text: str, start: int, end: int, new: str) -> str:
    """The text with [start, end) replaced."""
    return text[:start] + new + text[end:]
