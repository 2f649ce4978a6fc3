"""Python: functions as `python_source` gives them, and the classes of their tokens.

Reads and writes no files. Published classes are those of the Python tagging task of arXiv 2305.00875, which come from
`tokenize`: True, False and None are KEYWORD, a docstring is a STRING. `elif` is a KEYWORD, there it is a NAME.
"""

from __future__ import annotations

import dataclasses
from functools import cache

import tree_sitter_python
from tree_sitter import Language, Node, Parser

from neurosieve.prepare import python_source, syntax_tree, unread
from neurosieve.prepare.python_source import Function, folded, whole_span
from neurosieve.prepare.python_tokens import ROLES, identifiers
from neurosieve.prepare.syntax_tree import Place, Tagged, UnknownLeaf, words

__all__ = ["TAGSETS", "folded", "functions", "one_function", "tokens"]

TAGSETS = {
    "published": ("NAME", "STRING", "NUMBER", "KEYWORD"),
    "fine": (*ROLES, "KEYWORD", "BOOLEAN_NONE", "OPERATOR", "NUMBER", "STRING"),
}
#: Leaves that never make a row: comments, brackets and delimiters, what follows the value in an f-string.
NO_CLASS = words("comment line_continuation type_conversion ( ) [ ] { } , ; . : -> \\ ellipsis")
KEYWORDS = words(
    "and as assert async await break case class continue def del elif else except exec finally for from global if "
    "import in is lambda match nonlocal not or pass print raise return try type while with yield"
)
CONSTANTS = frozenset(("true", "false", "none"))
OPERATORS = words("!= % %= & &= * ** **= *= + += - -= / // //= /= := < << <<= <= <> = == > >= >> >>= @ @= ^ ^= | |= ~")
NUMBERS = frozenset(("integer", "float"))
STRINGS = frozenset(("string_start", "string_content", "string_end"))
NAMES = frozenset(("identifier", "_", "__future__"))
# `*args`, `f(x=1)`, `@decorator`, `print >>f` and the like compute nothing
_DELIMITS = words(
    "list_splat_pattern dictionary_splat_pattern list_splat dictionary_splat splat_pattern splat_type keyword_argument "
    "keyword_pattern keyword_separator positional_separator default_parameter typed_default_parameter decorator "
    "chevron wildcard_import except_clause interpolation type_parameter member_type "
    "parenthesized_list_splat dict_pattern case_pattern"
)


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_python.language()))


def functions(text: str) -> list[Function]:
    """All outermost functions and methods of a file, in its order; see :func:`python_source.functions`.

    A line that begins with `def` and is in none of them, for the file has a syntax error there, counts as a function
    with an error.
    """
    found = python_source.functions(text)
    known = [(function.start_line, function.end_line) for function in found]

    def literal(at: int) -> bool:
        byte = len(text[:at].encode("utf-8"))
        node = root().descendant_for_byte_range(byte, byte)
        while node is not None and node.type not in ("string", "comment", "concatenated_string"):
            node = node.parent
        return node is not None

    @cache
    def root() -> Node:
        return _parser().parse(text.encode("utf-8")).root_node

    return unread.merged(found, unread.definitions(text, known, literal))


def one_function(text: str) -> Function | None:
    """The function that a text is, kept as it is (decorators too); None where it is none or several."""
    found = python_source.functions(text)
    if len(found) != 1:
        return None
    span, has_error = whole_span(text)
    return dataclasses.replace(found[0], source=text, docstring_span=span, has_error=has_error)


def tokens(text: str, tagset: str) -> list[Tagged]:
    """Tokens of a function that have a class, in the order of the text.

    A string is one token with its prefix and quotes; of an f-string each stretch between the braces is one.

    Raises
    ------
    UnknownLeaf : a leaf of the tree without a rule, as a syntax error may leave one.
    """
    fine = tagset == "fine"
    roles = {token.start: ROLES[token.label] for token in identifiers(text)} if fine else {}
    found: list[Tagged] = []
    open_string: Place | None = None
    for place in syntax_tree.places(_parser(), text, ("string_content", "comment")):
        if not place.leaf:
            continue
        word = text[place.start : place.end]
        tag = _tag(place, text, roles.get(place.start), fine)
        if place.type in STRINGS and place.parent is open_string and found and found[-1].end == place.start:
            before = found.pop()
            found.append(Tagged(before.start, place.end, before.text + word, "STRING"))
        elif tag is not None:
            found.append(Tagged(place.start, place.end, word, tag))
        if place.type in STRINGS:
            open_string = place.parent
    return found


def _tag(place: Place, text: str, role: str | None, fine: bool) -> str | None:
    kind, above = place.type, place.above
    if role is not None:
        return role
    if kind in NAMES:
        return "OTHER" if fine else "NAME"
    if kind in STRINGS:
        return "STRING"
    if kind in NUMBERS:
        return "NUMBER"
    if kind in CONSTANTS:
        return "BOOLEAN_NONE" if fine else "KEYWORD"
    if kind == "type" and text[place.end :].lstrip().startswith("("):  # `type(x).y = 1`, which is no type alias
        return "NAME"
    if kind in KEYWORDS:
        return "KEYWORD"
    if kind in OPERATORS:
        return "OPERATOR" if fine and above not in _DELIMITS else None
    if kind in NO_CLASS:
        return None
    raise UnknownLeaf(f"Python: no rule for the leaf {kind!r} under {above!r}: {text[place.start : place.end]!r}")
