"""C: functions of a file, and the classes of their tokens, by the pinned tree-sitter grammar.

Reads and writes no files. arXiv 2305.00875 tags no C; the published classes here are those of its Java task, by word:
MODIFIER is a storage class, a qualifier or a function specifier, TYPE a reserved word that names a type or a part of
it (`unsigned`, `void`), character literals are STRING. Names of the standard library that the grammar takes for
primitive types (`size_t`, `uint8_t`) are IDENT, for C reserves no such word. The preprocessor is not run: its
directives and the bodies of its macros have no class, names in it are IDENT.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from functools import cache

import tree_sitter_c
from tree_sitter import Language, Node, Parser

from neurosieve.prepare import syntax_tree, unread
from neurosieve.prepare.python_source import Function
from neurosieve.prepare.syntax_tree import Place, Scopes, Tagged, UnknownLeaf, words

TAGSETS = {
    "published": ("MODIFIER", "IDENT", "KEYWORD", "TYPE", "NUMBER", "STRING"),
    "fine": (
        "QUALIFIER", "KEYWORD", "PRIMITIVE_TYPE", "TYPE_REF", "FUNCTION_DECL", "FUNCTION_CALL", "FIELD", "LOCAL_VAR",
        "PARAMETER", "OUTER_NAME", "LABEL", "PREPROC", "OPERATOR", "NUMBER", "STRING", "CHAR", "BOOLEAN_NULL",
    ),
}  # fmt: skip
#: Leaves that never make a row: comments, brackets and delimiters, the body of a macro.
NO_CLASS = words("comment preproc_arg ( ) [ ] [[ ]] { } , ; . : :: -> ...") | {"\n"}
_WHOLE = ("string_literal", "char_literal", "system_lib_string", "comment")
QUALIFIERS = words(
    "_Atomic _Nonnull _Noreturn __based __cdecl __clrcall __extension__ __fastcall __forceinline __inline __inline__ "
    "__restrict__ __stdcall __thiscall __thread __unaligned __vectorcall __volatile__ _unaligned auto const constexpr "
    "extern inline noreturn register restrict static thread_local volatile ms_restrict_modifier "
    "ms_signed_ptr_modifier ms_unsigned_ptr_modifier"
)
KEYWORDS = words(
    "_Alignas _Alignof _Generic __alignof __alignof__ __asm __asm__ __attribute __attribute__ __declspec __except "
    "__finally __leave __try _alignof alignas alignof asm break case continue default do else enum for goto if "
    "offsetof return sizeof struct switch typedef union while"
)
TYPE_PARTS = frozenset(("long", "short", "signed", "unsigned"))
#: Words of types that C reserves; what else the grammar calls primitive is a name of a library.
RESERVED_TYPES = frozenset(("_Bool", "_Complex", "bool", "char", "double", "float", "int", "void"))
#: Reserved words that the grammar reads as names.
RESERVED_NAMES = frozenset(("_Static_assert", "static_assert", "typeof", "__typeof", "__typeof__", "typeof_unqual"))
OPERATORS = words("! != % %= & && &= * *= + ++ += - -- -= / /= < << <<= <= = == > >= >> >>= ? ^ ^= | |= || ~")
CONSTANTS = frozenset(("true", "false", "NULL", "nullptr"))
DIRECTIVES = words(
    "#define #elif #elifdef #elifndef #else #endif #if #ifdef #ifndef #include defined preproc_directive "
    "system_lib_string"
)
NAMES = frozenset(("identifier", "field_identifier", "type_identifier", "statement_identifier"))
LITERALS = frozenset(("number_literal", "string_literal", "char_literal"))

# `*`, `=` and others also write pointers in declarations
_COMPUTES = words(
    "binary_expression unary_expression update_expression assignment_expression conditional_expression "
    "pointer_expression init_declarator initializer_pair enumerator"
)
_DECLARATORS = (
    "pointer_declarator", "array_declarator", "parenthesized_declarator", "init_declarator", "attributed_declarator",
    "function_declarator",
)  # fmt: skip
_SCOPES = words(
    "compound_statement for_statement function_definition function_declarator abstract_function_declarator "
    "preproc_function_def translation_unit"
)
_PREPROC = (
    "preproc_ifdef",
    "preproc_elifdef",
    "preproc_def",
    "preproc_function_def",
    "preproc_params",
    "preproc_defined",
)
_CONDITION = re.compile(r"^[ \t]*#[ \t]*(if|ifdef|ifndef|endif)\b", re.MULTILINE)


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_c.language()))


def _name(definition: Node) -> str:
    """Name of a function definition: the innermost declarator; "" where there is none."""
    node = definition.child_by_field_name("declarator")
    while node is not None and node.type != "identifier":
        node = node.child_by_field_name("declarator") or next(
            (child for child in node.named_children if child.type in (*_DECLARATORS, "identifier")), None
        )
    return (node.text or b"").decode("utf-8") if node is not None else ""


def functions(text: str) -> list[Function]:
    """All function definitions of a file, in its order; both sides of an `#if` are read.

    What is no function to the grammar but looks like one (parameters of the old style, a macro in or for the header, a
    body after two headers of an `#if`) counts as one with a syntax error, and so does a definition without a name or
    without parameters (a macro that stands for one, a class of C++), or with one end of an `#if` alone.
    """
    data = text.encode("utf-8")
    root = _parser().parse(data).root_node
    found = list(_definitions(root))
    functions = [_function(data, node) for node in found]
    stray = any(
        node.type == "compound_statement" for node in syntax_tree.nodes(root, not_below=("function_definition",))
    )
    if not root.has_error and not stray:
        return functions
    at = syntax_tree.offsets(data)
    known = [(at(node.start_byte), at(node.end_byte)) for node in found]
    return unread.merged(functions, unread.braces(text, known, anywhere=False))


def _definitions(root: Node) -> Iterator[Node]:
    for node in syntax_tree.nodes(root, not_below=("function_definition",)):
        if node.type == "function_definition":
            yield node


def _function(data: bytes, node: Node) -> Function:
    name, source = _name(node), syntax_tree.moved_left(data, node)[0]
    # both heads of an `#if` may have a brace of their own: the body after them then holds an `#endif` alone
    opened = sum(-1 if word == "endif" else 1 for word in _CONDITION.findall(source))
    return Function(
        name=name,
        qualname=name,
        start_line=node.start_point[0] + 1,
        end_line=node.end_point[0] + 1,
        source=source,
        docstring=None,
        docstring_span=None,
        has_error=node.has_error or not name or not _has_parameters(node) or opened != 0,
    )


def _has_parameters(definition: Node) -> bool:
    node = definition.child_by_field_name("declarator")
    while node is not None and node.type != "function_declarator":
        node = node.child_by_field_name("declarator") or next(
            (child for child in node.named_children if child.type in _DECLARATORS), None
        )
    return node is not None


def one_function(text: str) -> Function | None:
    """The function that a text is, kept as it is; None where it is none or several. `has_error` is the text's."""
    found = functions(text)
    if len(found) != 1:
        return None
    error = found[0].has_error or _parser().parse(text.encode("utf-8")).root_node.has_error
    return dataclasses.replace(found[0], source=text, has_error=error)


def folded(text: str) -> str:
    """A function with its names numbered, without comments and white space: equal for renamed copies."""
    return syntax_tree.folded(text, syntax_tree.places(_parser(), text, _WHOLE), NAMES, ("comment",))


def tokens(text: str, tagset: str) -> list[Tagged]:
    """Tokens of a function that have a class, in the order of the text.

    Raises
    ------
    UnknownLeaf : a leaf of the tree without a rule, as a syntax error may leave one.
    """
    leaves = [place for place in syntax_tree.places(_parser(), text, _WHOLE) if place.leaf]
    scopes = Scopes(_SCOPES)
    fine = tagset == "fine"
    if fine:
        for place in leaves:
            role = _declared(place) if place.type == "identifier" else None
            if role is not None and role != "FUNCTION_DECL":
                scopes.declare(_owner(place), text[place.start : place.end], role)
    found = []
    for place in leaves:
        start = place.start
        if place.type == "number_literal" and text[start] in "+-":  # the grammar takes a sign into the number
            if fine:
                found.append(Tagged(start, start + 1, text[start], "OPERATOR"))
            start += 1
        word = text[start : place.end]
        tag = _fine(place, word, scopes) if fine else _published(place, word)
        if tag is not None:
            found.append(Tagged(start, place.end, word, tag))
    return found


def _published(place: Place, word: str) -> str | None:
    kind = place.type
    if kind in NAMES or kind == "primitive_type":
        return "TYPE" if word in RESERVED_TYPES else "KEYWORD" if word in RESERVED_NAMES else "IDENT"
    if kind in QUALIFIERS:
        return "MODIFIER"
    if kind in TYPE_PARTS:
        return "TYPE"
    if kind in KEYWORDS:
        return "KEYWORD"
    if kind in LITERALS:
        return "NUMBER" if kind == "number_literal" else "STRING"
    if kind in NO_CLASS or kind in OPERATORS or kind in CONSTANTS or kind in DIRECTIVES:
        return None
    raise UnknownLeaf(f"C: no rule for the leaf {kind!r} under {place.above!r}: {word!r}")


def _fine(place: Place, word: str, scopes: Scopes) -> str | None:
    kind, above = place.type, place.above
    if kind in NAMES and word in RESERVED_NAMES:
        return "KEYWORD"
    if kind in ("type_identifier", "primitive_type"):
        return "PRIMITIVE_TYPE" if word in RESERVED_TYPES else "TYPE_REF"
    if kind == "statement_identifier":
        return "LABEL"
    if kind == "field_identifier":
        called = above == "field_expression" and _is_called(place.parent)
        return "FUNCTION_CALL" if called else "FIELD"
    if kind == "identifier":
        return _name_role(place, word, scopes)
    if kind in QUALIFIERS:
        return "QUALIFIER"
    if kind in TYPE_PARTS:
        return "PRIMITIVE_TYPE"
    if kind in KEYWORDS:
        return "KEYWORD"
    if kind in LITERALS:
        return {"number_literal": "NUMBER", "string_literal": "STRING", "char_literal": "CHAR"}[kind]
    if kind in CONSTANTS:
        return "BOOLEAN_NULL"
    if kind in DIRECTIVES:
        return "PREPROC"
    if kind in OPERATORS or kind == ":":
        return "OPERATOR" if above in _COMPUTES else None
    if kind in NO_CLASS:
        return None
    raise UnknownLeaf(f"C: no rule for the leaf {kind!r} under {above!r}: {word!r}")


def _is_called(place: Place | None) -> bool:
    outer = place.up("parenthesized_expression") if place is not None else None
    return outer is not None and (outer.above, outer.field) == ("call_expression", "function")


def _declared(place: Place) -> str | None:
    """Role of what an identifier declares, or None."""
    kind, part = place.above, place.field
    if kind == "parameter_list":  # int f(a, b) int a, b; {...}
        return "PARAMETER"
    if kind == "enumerator" and part == "name":
        return "OUTER_NAME"
    if part != "declarator" and kind not in ("parenthesized_declarator", "attributed_declarator"):
        return None
    if kind == "function_declarator":
        return "FUNCTION_DECL"
    outer = place.up(*_DECLARATORS)
    owner = outer.parent
    if outer.field != "declarator" or owner is None:
        return None
    if owner.type == "parameter_declaration" or (owner.type == "declaration" and owner.above == "function_definition"):
        return "PARAMETER"
    return "LOCAL_VAR" if owner.type == "declaration" else None


def _owner(place: Place) -> Place:
    """The place from which the scope of a declared name is looked for: its whole declarator.

    A parameter of the function that is defined belongs to the definition, not to the declarator around its list.
    """
    outer = place.up(*_DECLARATORS)
    here = outer.parent if outer.above == "parameter_declaration" else outer
    if here is not None and here.parent is not None and here.above == "parameter_list":
        function = here.parent.up(*_DECLARATORS)
        if function.above == "function_definition":
            return function
    return outer


def _name_role(place: Place, word: str, scopes: Scopes) -> str:
    """Role of an identifier."""
    declared = _declared(place)
    if declared is not None:
        return declared
    here: Place | None = place
    while here is not None and here.parent is not None:
        kind, part = here.above, here.field
        if kind in ("attribute_specifier", "attribute", "attribute_declaration", "ms_declspec_modifier"):
            return "QUALIFIER"
        if part == "condition" and kind in ("preproc_if", "preproc_elif"):
            return "PREPROC"
        if kind in _SCOPES:
            break
        here = here.parent
    kind, part = place.above, place.field
    if kind in _PREPROC and (part == "name" or kind in ("preproc_params", "preproc_defined")):
        return "PREPROC"
    if (kind, part) == ("macro_type_specifier", "name"):
        return "PREPROC"
    if part == "symbol" or kind == "gnu_asm_goto_list":
        return "LABEL"
    if _is_called(place):
        return "FUNCTION_CALL"
    return scopes.find(place, word) or "OUTER_NAME"
