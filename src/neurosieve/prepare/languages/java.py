"""Java: methods and constructors of a file, and the classes of their tokens, by the pinned tree-sitter grammar.

Reads and writes no files. A method is no Java text of its own: it is parsed inside a class, and offsets are mapped
back. Published classes are those of the Java tagging task of arXiv 2305.00875, which come from a lexer: MODIFIER is
each word that may be a modifier (`default:` and `synchronized (x)` too), `void` is a KEYWORD, a character literal a
STRING. Where that lexer fell short this one does not follow: hexadecimal numbers are NUMBER (no class there), and
`null` has no class, like `true` and `false` (IDENT there).
"""

from __future__ import annotations

import dataclasses
from functools import cache

import tree_sitter_java
from tree_sitter import Language, Node, Parser

from neurosieve.prepare import syntax_tree, unread
from neurosieve.prepare.python_source import Function
from neurosieve.prepare.syntax_tree import Place, Scopes, Tagged, UnknownLeaf, words

TAGSETS = {
    "published": ("MODIFIER", "IDENT", "KEYWORD", "TYPE", "NUMBER", "STRING"),
    "fine": (
        "MODIFIER", "KEYWORD", "PRIMITIVE_TYPE", "TYPE_REF", "CLASS_NAME", "METHOD_DECL", "METHOD_CALL", "FIELD",
        "LOCAL_VAR", "PARAMETER", "OUTER_NAME", "ANNOTATION", "PACKAGE", "LABEL", "OPERATOR", "NUMBER", "STRING",
        "CHAR", "BOOLEAN_NULL",
    ),
}  # fmt: skip
#: Leaves that never make a row: comments, brackets and delimiters, and what is written with them.
NO_CLASS = words("line_comment block_comment asterisk underscore_pattern ( ) [ ] { } , ; . : :: -> @ ...")
_WHOLE = ("string_literal", "character_literal", "line_comment", "block_comment")
_COMMENTS = ("line_comment", "block_comment")
_AROUND = ("class A {\n", "\n}")
MODIFIERS = words(
    "abstract default final native non-sealed private protected public sealed static strictfp synchronized transient "
    "volatile"
)
KEYWORDS = words(
    "@interface assert break case catch class continue do else enum exports extends finally for if implements import "
    "instanceof interface module new open opens package permits provides record requires return switch this super "
    "throw throws to transitive try uses when while with yield"
)
PRIMITIVES = words("boolean_type byte char double float int long short")
OPERATORS = words("! != % %= & && &= * *= + ++ += - -- -= / /= < << <<= <= = == > >= >> >>= >>> >>>= ? ^ ^= | |= || ~")
NUMBERS = words(
    "binary_integer_literal decimal_floating_point_literal decimal_integer_literal hex_floating_point_literal "
    "hex_integer_literal octal_integer_literal"
)

_DECLARATIONS = (
    "class_declaration", "interface_declaration", "enum_declaration", "record_declaration",
    "annotation_type_declaration",
)  # fmt: skip
_METHODS = ("method_declaration", "constructor_declaration")
# `<`, `>`, `?`, `&`, `|` and `=` also write type arguments, wildcards, bounds and alternatives of a catch
_COMPUTES = words(
    "binary_expression unary_expression update_expression assignment_expression ternary_expression variable_declarator "
    "resource element_value_pair"
)
_SCOPES = words(
    "block constructor_body class_body interface_body enum_body annotation_type_body switch_block switch_rule "
    "for_statement enhanced_for_statement try_with_resources_statement catch_clause lambda_expression "
    "method_declaration constructor_declaration compact_constructor_declaration record_declaration program"
)


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_java.language()))


def _text(node: Node | None) -> str:
    return (node.text or b"").decode("utf-8") if node is not None else ""


def _outermost(root: Node) -> list[tuple[Node, str]]:
    """Method and constructor nodes that no other one holds, with their qualified names."""
    found: list[tuple[Node, str]] = []
    stack = [(root, "")]
    while stack:
        node, prefix = stack.pop()
        if node.type in _METHODS:
            found.append((node, prefix + _text(node.child_by_field_name("name"))))
            continue
        if node.type in _DECLARATIONS or node.type == "enum_constant":
            prefix += _text(node.child_by_field_name("name")) + "."
        stack.extend((child, prefix) for child in reversed(node.named_children))
    return found


def _function(node: Node, qualname: str, source: str, line: int) -> Function:
    return Function(
        name=qualname.rpartition(".")[2],
        qualname=qualname,
        start_line=node.start_point[0] + 1 - line,
        end_line=node.end_point[0] + 1 - line,
        source=source,
        docstring=None,
        docstring_span=None,
        has_error=node.has_error,
        has_body=node.child_by_field_name("body") is not None,
    )


def functions(text: str) -> list[Function]:
    """All methods and constructors of a file that stand in no other one, in the order of the file.

    Their annotations and modifiers belong to them, comments before them do not. Lambdas, initialisers and the compact
    constructors of records are no functions. What looks like one where the file has a syntax error counts as one with
    an error.
    """
    data = text.encode("utf-8")
    root = _parser().parse(data).root_node
    found = _outermost(root)
    functions = [_function(n, qualname, syntax_tree.moved_left(data, n)[0], 0) for n, qualname in found]
    if not root.has_error:
        return functions
    at = syntax_tree.offsets(data)
    known = [(at(node.start_byte), at(node.end_byte)) for node, _ in found]
    return unread.merged(functions, unread.braces(text, known, anywhere=True))


def one_function(text: str) -> Function | None:
    """The function that a text is, kept as it is; None where it is none or several. `has_error` is the text's."""
    root = _parser().parse((_AROUND[0] + text + _AROUND[1]).encode("utf-8")).root_node
    found = _outermost(root)
    if len(found) != 1:
        return None
    node, qualname = found[0]
    function = _function(node, qualname.removeprefix("A."), text, 1)
    return dataclasses.replace(function, has_error=root.has_error)


def _places(text: str) -> list[Place]:
    return syntax_tree.places(_parser(), text, _WHOLE, _AROUND)


def folded(text: str) -> str:
    """A function with its names numbered, without comments and white space: equal for renamed copies."""
    return syntax_tree.folded(text, _places(text), ("identifier", "type_identifier"), _COMMENTS)


def tokens(text: str, tagset: str) -> list[Tagged]:
    """Tokens of a function that have a class, in the order of the text.

    Raises
    ------
    UnknownLeaf : a leaf of the tree without a rule, as a syntax error may leave one.
    """
    found = _places(text)
    leaves = [place for place in found if place.leaf]
    if tagset == "published":
        tags = [_published(place, text) for place in leaves]
    else:
        scopes = Scopes(_SCOPES, anywhere=("FIELD",))
        for place in leaves:
            if place.type == "identifier" and (role := _declared(place)):
                scopes.declare(place, text[place.start : place.end], role)
        tags = [_fine(place, text[place.start : place.end], scopes) for place in leaves]
    return [
        Tagged(p.start, p.end, text[p.start : p.end], tag)
        for p, tag in zip(leaves, tags, strict=True)
        if tag is not None
    ]


def _published(place: Place, text: str) -> str | None:
    kind = place.type
    if kind in ("identifier", "type_identifier"):
        return "IDENT"
    if kind in MODIFIERS:
        return "MODIFIER"
    if kind in PRIMITIVES:
        return "TYPE"
    if kind in KEYWORDS or kind == "void_type":
        return "KEYWORD"
    if kind in NUMBERS:
        return "NUMBER"
    if kind in ("string_literal", "character_literal"):
        return "STRING"
    if kind in NO_CLASS or kind in OPERATORS or kind in ("true", "false", "null_literal"):
        return None
    raise UnknownLeaf(f"Java: no rule for the leaf {kind!r} under {place.above!r}: {text[place.start : place.end]!r}")


def _fine(place: Place, word: str, scopes: Scopes) -> str | None:
    kind, above = place.type, place.above
    if kind == "identifier":
        return _name_role(place, word, scopes)
    if kind == "type_identifier":
        whole = place.up("scoped_type_identifier")
        if whole is not place and whole.end > place.end and word[0].islower():
            return "PACKAGE"
        return "KEYWORD" if word == "var" and whole is place else "TYPE_REF"
    if kind in MODIFIERS:
        # `default:` and `synchronized (x)` are statements, a `default` value is an annotation's
        return "MODIFIER" if above == "modifiers" else "KEYWORD"
    if kind in PRIMITIVES or kind == "void_type":
        return "PRIMITIVE_TYPE"
    if kind in KEYWORDS:
        return "KEYWORD"
    if kind in NUMBERS:
        return "NUMBER"
    if kind in ("true", "false", "null_literal"):
        return "BOOLEAN_NULL"
    if kind in ("string_literal", "character_literal"):
        return "STRING" if kind == "string_literal" else "CHAR"
    if kind in OPERATORS or kind == ":":
        return "OPERATOR" if above in _COMPUTES else None
    if kind in NO_CLASS:
        return None
    raise UnknownLeaf(f"Java: no rule for the leaf {kind!r} under {above!r}: {word!r}")


def _declared(place: Place) -> str | None:
    """Role of the variable that an identifier declares, or None."""
    parent, part = place.parent, place.field
    assert parent is not None
    kind = parent.type
    if kind == "variable_declarator" and part == "name":
        owner = parent.above
        if owner == "spread_parameter":
            return "PARAMETER"
        return "FIELD" if owner in ("field_declaration", "constant_declaration") else "LOCAL_VAR"
    if kind == "inferred_parameters" or (kind, part) in (
        ("formal_parameter", "name"),
        ("lambda_expression", "parameters"),
    ):
        return "PARAMETER"
    if (kind, part) == ("enum_constant", "name"):
        return "FIELD"
    if part == "name" and kind in (
        "catch_formal_parameter",
        "enhanced_for_statement",
        "resource",
        "instanceof_expression",
    ):
        return "LOCAL_VAR"
    return "LOCAL_VAR" if kind in ("type_pattern", "record_pattern_component") and place.before else None


def _name_role(place: Place, word: str, scopes: Scopes) -> str:
    """Role of an identifier."""
    declared = _declared(place)
    if declared is not None:
        return declared
    outer = place.up("scoped_identifier")
    kind, part = outer.above, outer.field
    if kind in ("annotation", "marker_annotation") or (kind, part) == ("element_value_pair", "key"):
        return "ANNOTATION"
    if outer is not place or kind.endswith(
        ("import_declaration", "package_declaration", "module_declaration", "_directive")
    ):
        return "PACKAGE"
    if part == "name" and kind in _DECLARATIONS:
        return "CLASS_NAME"
    if part == "name" and kind.endswith("_declaration"):
        return "METHOD_DECL"
    if (kind, part) == ("method_invocation", "name") or (kind == "method_reference" and place.before == "::"):
        return "METHOD_CALL"
    if (kind, part) == ("field_access", "field"):
        return "FIELD"
    if kind in ("break_statement", "continue_statement") or (kind == "labeled_statement" and not place.before):
        return "LABEL"
    if kind == "record_pattern":
        return "TYPE_REF"
    return scopes.find(place, word) or "OUTER_NAME"
