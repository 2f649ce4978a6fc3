"""Functions of a Python file, by a pinned tree-sitter grammar.

The running interpreter's `ast` is not used: what it accepts changes between Python versions, and the corpus
must not. tree-sitter speaks in bytes; everything given out here is in characters of a Python `str`.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import tree_sitter_python
from tree_sitter import Language, Node, Parser, Query, QueryCursor

from neurosieve.prepare.syntax_tree import moved_left, offsets

_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Function:
    """A function or method as written, without decorators, moved to the left margin.

    `start_line` and `end_line` count from 1 in the file. `docstring` is the literal's content as written
    (escapes not evaluated), cleaned of its indentation; `docstring_span` gives the whole literal, prefix
    and quotes included, as character offsets [start, end) in `source`. `has_error` says that the grammar
    found a syntax error inside, `has_body` that it is no mere declaration (of an interface).
    """

    name: str
    qualname: str
    start_line: int
    end_line: int
    source: str
    docstring: str | None
    docstring_span: tuple[int, int] | None
    has_error: bool
    has_body: bool = True


@cache
def _language() -> Language:
    return Language(tree_sitter_python.language())


@cache
def _parser() -> Parser:
    return Parser(_language())


@cache
def _fold_query() -> Query:
    return Query(
        _language(),
        "(identifier) @name (comment) @drop (block . (expression_statement (string)) @drop)",
    )


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8")


def _definitions(node: Node, prefix: str) -> Iterator[tuple[Node, str]]:
    """Outermost function nodes below `node` with their qualified names; bodies are not entered."""
    for child in node.named_children:
        if child.type in ("function_definition", "class_definition"):
            name = child.child_by_field_name("name")
            qualname = prefix + (_text(name) if name is not None else "")
            if child.type == "function_definition":
                if name is not None:
                    yield child, qualname
            else:
                body = child.child_by_field_name("body")
                if body is not None:
                    yield from _definitions(body, qualname + ".")
        elif child.type not in ("expression_statement", "comment", "import_from_statement"):
            # `if`, `try`, `with`, decorated definitions, error nodes: a definition may stand inside
            yield from _definitions(child, prefix)


def _docstring_node(function: Node) -> Node | None:
    """The string literal that is the function's docstring, or None (bytes and f-strings are none)."""
    body = function.child_by_field_name("body")
    if body is None:
        return None
    first = next((child for child in body.named_children if child.type != "comment"), None)
    if first is None or first.type != "expression_statement" or len(first.named_children) != 1:
        return None
    literal = first.named_children[0]
    if literal.type != "string" or not literal.children:
        return None
    opening = _text(literal.children[0]).rstrip("\"'").lower()
    return literal if opening in ("", "r", "u") else None


def _function(node: Node, qualname: str, data: bytes) -> Function:
    source, position = moved_left(data, node)
    docstring: str | None = None
    span: tuple[int, int] | None = None
    literal = _docstring_node(node)
    if literal is not None:
        span = (position(literal.start_byte), position(literal.end_byte))
        docstring = inspect.cleandoc(
            _text(literal)[len(_text(literal.children[0])) : -len(_text(literal.children[-1]))]
        )
    name = node.child_by_field_name("name")
    assert name is not None
    return Function(
        name=_text(name),
        qualname=qualname,
        start_line=node.start_point[0] + 1,
        end_line=node.end_point[0] + 1,
        source=source,
        docstring=docstring,
        docstring_span=span,
        has_error=node.has_error,
    )


def functions(text: str) -> list[Function]:
    """All outermost functions and methods of a file, in the order of the file.

    A function inside a function belongs to the outer one. `text` must encode as UTF-8 (no lone surrogates).
    """
    data = text.encode("utf-8")
    root = _parser().parse(data).root_node
    return [_function(node, qualname, data) for node, qualname in _definitions(root, "")]


def whole_span(text: str) -> tuple[tuple[int, int] | None, bool]:
    """Docstring span, in characters, of the first outermost function of a text; and whether it has a syntax error."""
    data = text.encode("utf-8")
    root = _parser().parse(data).root_node
    node = next((node for node, _ in _definitions(root, "")), None)
    literal = _docstring_node(node) if node is not None else None
    at = offsets(data)
    return (at(literal.start_byte), at(literal.end_byte)) if literal is not None else None, root.has_error


def folded(source: str) -> str:
    """The source with names and white space folded: equal for copies that were renamed or reformatted.

    Each identifier becomes `$` and its number by first occurrence; comments, docstrings and all white space
    (inside string literals too) go. Not a program any more, only a key.
    """
    data = source.encode("utf-8")
    captures = QueryCursor(_fold_query()).captures(_parser().parse(data).root_node)
    cuts = [(node.start_byte, node.end_byte, False) for node in captures.get("name", [])]
    cuts += [(node.start_byte, node.end_byte, True) for node in captures.get("drop", [])]
    cuts.sort()
    numbers: dict[bytes, int] = {}
    parts: list[str] = []
    at = 0
    for begin, end, drop in cuts:
        if begin < at:  # a name inside a dropped stretch
            continue
        parts.append(_SPACE.sub("", data[at:begin].decode("utf-8")))
        if not drop:
            parts.append(f"${numbers.setdefault(data[begin:end], len(numbers))} ")
        at = end
    parts.append(_SPACE.sub("", data[at:].decode("utf-8")))
    return "".join(parts)


def exact_key(source: str) -> str:
    """Key of the source with only white space at line ends and blank lines ignored (hex, 32 characters)."""
    lines = (line.rstrip() for line in source.split("\n"))
    return _digest("\n".join(line for line in lines if line))


def folded_key(source: str) -> str:
    """Key of `folded(source)` (hex, 32 characters)."""
    return _digest(folded(source))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]
